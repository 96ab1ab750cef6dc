"""Factorisations and equations of matrices that do not promote dtypes."""

from .._src.ops.determinant import *
from .._src.ops.factorization import *
from .._src.ops.spectral import *
from .._src.ops.triangular import *
