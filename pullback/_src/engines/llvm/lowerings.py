"""Imports the modules that fill the table of lowerings."""

from . import (  # noqa: F401 (imported for what they declare)
    argminmax,
    control,
    conv,
    cumulative,
    dot,
    gather,
    linalg,
    maps,
    prng,
    reduction,
    scatter,
    slicing,
    sort,
    structural,
    windows,
)
