"""Kernels of `ops.stable`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import stable as ops
from .register import kernel, ufunc

Array = np.ndarray[Any, Any]

ufunc(ops.log2_p, np.log2)
ufunc(ops.log10_p, np.log10)
ufunc(ops.hypot_p, np.hypot)


@kernel(ops.logaddexp_p)
def logaddexp(x: Array, y: Array) -> Array:
    if x.dtype.kind != "c":
        return np.logaddexp(x, y, out=...)
    larger, smaller = np.maximum(x, y), np.minimum(x, y)
    difference = np.where(larger == smaller, np.zeros((), x.dtype), smaller - larger)
    return np.add(larger, np.log1p(np.exp(difference)), out=...)


@kernel(ops.sinc_p)
def sinc(x: Array, *, order: int) -> Array:
    if order == 0:
        return np.asarray(np.sinc(x), x.dtype)
    u = np.asarray(x * np.asarray(np.pi, x.dtype))
    near = np.abs(u) < 1.0 + 0.5 * order
    safe = np.where(near, np.ones((), x.dtype), u)
    quarter_turns = (np.sin(safe), np.cos(safe), -np.sin(safe), -np.cos(safe))
    far = quarter_turns[0] / safe
    for k in range(1, order + 1):
        far = (quarter_turns[k % 4] - np.asarray(k, x.dtype) * far) / safe
    small = np.where(near, u, np.zeros((), x.dtype))
    squared = small * small
    *rest, total = (np.asarray(c, x.dtype) for c in ops.sinc_coefficients(order))
    for coefficient in reversed(rest):
        total = total * squared + coefficient
    if order % 2:
        total = total * small
    return np.asarray(np.where(near, total, far) * np.asarray(np.pi**order, x.dtype), x.dtype)
