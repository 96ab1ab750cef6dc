"""Linear algebra."""

from .._src.lib.numpy.linalg import *
from .._src.lib.numpy.norms import *

__all__ = [name for name in dir() if not name.startswith("_")]
