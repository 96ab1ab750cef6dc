"""Attaches the operators and methods to `Array` (and so to concrete arrays and tracers alike)."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from ...core.array import Array
from . import creation, elementwise, floating, indexing, manipulation, operators, reductions, updates


def attach(methods: dict[str, Any]) -> None:
    """Make each function or property of `methods` an attribute of `Array` under its key."""
    for name, method in methods.items():
        if isinstance(method, FunctionType) and method.__name__ in ("<lambda>", "operator", "reflected"):
            method.__name__ = name
            method.__qualname__ = f"Array.{name}"
        setattr(Array, name, method)


for _chapter in (operators, elementwise, floating, creation, indexing, updates, manipulation, reductions):
    attach(_chapter.METHODS)
