"""Initial values of weights."""

from ..._src.lib.nn.initializers import *

__all__ = [name for name in dir() if not name.startswith("_")]
