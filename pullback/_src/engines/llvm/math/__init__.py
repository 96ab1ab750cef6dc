"""Elementwise functions as plain vector code: any number of lanes, float and double, no calls."""
