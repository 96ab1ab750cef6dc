"""Types for annotations."""

from ._src.core.typing import ArrayLike, DTypeLike

__all__ = ["ArrayLike", "DTypeLike"]
