"""Attaches the operators and methods to `Array` (and so to concrete arrays and tracers alike)."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from ...core.array import Array
from . import (
    averages,
    contractions,
    creation,
    cumulatives,
    diagonals,
    elementwise,
    floating,
    indexing,
    manipulation,
    operators,
    reductions,
    sorting,
    updates,
)


def attach(methods: dict[str, Any]) -> None:
    """Make each function or property of `methods` an attribute of `Array` under its key."""
    for name, method in methods.items():
        if isinstance(method, FunctionType) and method.__name__ in ("<lambda>", "operator", "reflected"):
            method.__name__ = name
            method.__qualname__ = f"Array.{name}"
        setattr(Array, name, method)


_CHAPTERS = (
    operators,
    elementwise,
    floating,
    creation,
    indexing,
    updates,
    manipulation,
    diagonals,
    reductions,
    averages,
    cumulatives,
    sorting,
    contractions,
)
for _chapter in _CHAPTERS:
    attach(_chapter.METHODS)
