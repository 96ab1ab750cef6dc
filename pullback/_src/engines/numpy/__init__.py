"""The NumPy engine: eager evaluation, and the executable specification of every primitive."""

from . import arithmetic, compare, complex, convert, gather, iota, joining, prng, reduction, scatter, slicing, special, structural, transcendental  # noqa: F401 - they register kernels
from .engine import engine

__all__ = ["engine"]
