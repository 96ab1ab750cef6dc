"""Differentiation beyond the elementary transformations, built from those of the layer `api`."""
