"""Factorisations and equations of matrices that do not promote dtypes."""

from .._src.ops.determinant import *
from .._src.ops.factorization import *
from .._src.ops.spectral import *
from .._src.ops.triangular import *

__all__ = [name for name in dir() if not name.startswith("_")]
