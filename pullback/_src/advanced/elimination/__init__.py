"""Jacobians by vertex elimination on the scalar computational graph."""
