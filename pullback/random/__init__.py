"""Random numbers from explicit keys: the same key gives the same numbers, on every machine."""

from .._src.lib.random.continuous import *
from .._src.lib.random.discrete import *
from .._src.lib.random.gammas import *
from .._src.lib.random.keys import *
from .._src.lib.random.multivariate import *
from .._src.lib.random.shuffling import *
from .._src.lib.random.uniform import *

__all__ = [name for name in dir() if not name.startswith("_")]
