"""Iterative solvers of linear systems."""

from ..._src.lib.scipy.sparse_linalg import *

__all__ = [name for name in dir() if not name.startswith("_")]
