"""NumPy's functions on arrays that can be differentiated, batched and compiled."""

from .._src.lib.numpy import methods as _methods  # noqa: F401 - gives arrays their operators and methods
from .._src.lib.numpy.averages import *
from .._src.lib.numpy.bits import *
from .._src.lib.numpy.contractions import *
from .._src.lib.numpy.creation import *
from .._src.lib.numpy.cumulatives import *
from .._src.lib.numpy.diagonals import *
from .._src.lib.numpy.einsum import *
from .._src.lib.numpy.elementwise import *
from .._src.lib.numpy.floating import *
from .._src.lib.numpy.histograms import *
from .._src.lib.numpy.index_tricks import *
from .._src.lib.numpy.indexing import *
from .._src.lib.numpy.integers import *
from .._src.lib.numpy.interpolation import *
from .._src.lib.numpy.joining import *
from .._src.lib.numpy.logic import *
from .._src.lib.numpy.manipulation import *
from .._src.lib.numpy.nan_reductions import *
from .._src.lib.numpy.padding import *
from .._src.lib.numpy.polynomials import *
from .._src.lib.numpy.quantiles import *
from .._src.lib.numpy.ranges import *
from .._src.lib.numpy.reductions import *
from .._src.lib.numpy.selection import *
from .._src.lib.numpy.sets import *
from .._src.lib.numpy.sorting import *
from .._src.lib.numpy.statistics import *
from .._src.lib.numpy.types import *
from .._src.lib.numpy.ufunc import *
from .._src.lib.numpy.ufunc_methods import *
from .._src.lib.numpy.updates import *
from .._src.lib.numpy.vectorize import *
from .._src.lib.numpy.where import *
from .._src.lib.numpy.windows import *
from . import fft, linalg  # noqa: F401 - sub-modules

__all__ = [name for name in dir() if not name.startswith("_")]
