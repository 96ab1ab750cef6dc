"""Linear algebra."""

from .._src.lib.numpy.linalg import *
