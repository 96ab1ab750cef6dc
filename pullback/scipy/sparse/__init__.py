"""Linear systems of which only products with the matrix are known."""

from . import linalg as linalg

__all__ = [name for name in dir() if not name.startswith("_")]
