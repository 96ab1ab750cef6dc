"""Imports the modules that fill the table of lowerings."""

from . import (  # noqa: F401 (imported for what they declare)
    argminmax,
    control,
    conv,
    convert,
    cumulative,
    diagonal,
    dot,
    gather,
    linalg,
    maps,
    prng,
    reduction,
    scatter,
    search,
    slicing,
    sort,
    spectral,
    structural,
    triangular,
    windows,
)
