"""Registration of kernels: functions of NumPy arrays that return NumPy arrays (never NumPy scalars)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...core import engine
from ...core.primitive import Primitive

Kernel = Callable[..., Any]


def kernel(primitive: Primitive) -> Callable[[Kernel], Kernel]:
    """Decorator: register a function as the primitive's kernel."""

    def register(function: Kernel) -> Kernel:
        engine.kernels[primitive] = function
        return function

    return register


def ufunc(primitive: Primitive, function: np.ufunc) -> None:
    """Register a NumPy ufunc; `out=...` makes it return an array also for operands without dimensions."""
    engine.kernels[primitive] = partial(function, out=...)
