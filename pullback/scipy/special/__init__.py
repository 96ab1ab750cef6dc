"""Special functions with derivatives."""

from ..._src.lib.scipy.special import *

__all__ = [name for name in dir() if not name.startswith("_")]
