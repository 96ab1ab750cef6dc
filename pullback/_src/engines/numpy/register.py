"""Registration of kernels: functions of NumPy arrays that return NumPy arrays (never NumPy scalars)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...core import engine
from ...core.aval import ShapedArray
from ...core.primitive import Primitive

Kernel = Callable[..., Any]
# For a kernel that decides something by types or parameters: what takes its place in a program, where both
# are known, as a function from (types of the operands, parameters) to a function of NumPy arrays.
bound: dict[Kernel, Callable[[Sequence[ShapedArray], dict[str, Any]], Kernel]] = {}


def kernel(primitive: Primitive) -> Callable[[Kernel], Kernel]:
    """Decorator: register a function as the primitive's kernel."""

    def register(function: Kernel) -> Kernel:
        engine.kernels[primitive] = function
        return function

    return register


def ufunc(primitive: Primitive, function: np.ufunc) -> None:
    """Register a NumPy ufunc; `out=...` makes it return an array also for operands without dimensions."""
    general = engine.kernels[primitive] = partial(function, out=...)
    bound[general] = lambda avals, params: bound_ufunc(function, avals)


def bound_ufunc(function: np.ufunc, avals: Sequence[ShapedArray]) -> Kernel:
    """A ufunc for operands of these types: by itself it returns scalars where no operand has dimensions."""
    return function if any(a.ndim for a in avals) else partial(function, out=...)
