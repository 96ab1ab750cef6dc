"""Linear algebra."""

from .._src.lib.scipy.linalg import *
from .._src.lib.scipy.matrix_functions import *
