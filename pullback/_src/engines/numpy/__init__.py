"""The NumPy engine: eager evaluation, and the executable specification of every primitive."""

# Importing a module registers its kernels.
from . import (  # noqa: F401 (imported for the kernels that they register)
    arithmetic,
    compare,
    complex,
    conv,
    convert,
    cumulative,
    determinant,
    diagonal,
    dot,
    empty,
    factorization,
    fft,
    gather,
    iota,
    joining,
    prng,
    reduction,
    sampling,
    scatter,
    search,
    slicing,
    sort,
    special,
    special_integrals,
    spectral,
    stable,
    structural,
    transcendental,
    triangular,
    windows,
)
from .engine import engine

__all__ = ["engine"]
