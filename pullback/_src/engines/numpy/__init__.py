"""The NumPy engine: eager evaluation, and the executable specification of every primitive."""

# Importing a module registers its kernels.
from . import (  # noqa: F401
    arithmetic,
    compare,
    complex,
    convert,
    cumulative,
    gather,
    iota,
    joining,
    prng,
    reduction,
    scatter,
    slicing,
    special,
    structural,
    transcendental,
)
from .engine import engine

__all__ = ["engine"]
