"""Linear algebra."""

from .._src.lib.scipy.linalg import *
from .._src.lib.scipy.matrix_functions import *

__all__ = [name for name in dir() if not name.startswith("_")]
