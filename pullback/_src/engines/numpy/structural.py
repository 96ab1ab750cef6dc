"""Kernels of `ops.structural`. Views are fine: arrays are immutable."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import structural as ops
from .register import kernel, ufunc

Array = np.ndarray[Any, Any]

ufunc(ops.add_any_p, np.add)


@kernel(ops.broadcast_in_dim_p)
def broadcast_in_dim(x: Array, *, shape: tuple[int, ...], broadcast_dimensions: tuple[int, ...]) -> Array:
    if x.ndim == 0:
        return np.full(shape, x)
    placed = [1] * len(shape)
    before = -1
    for size, dim in zip(x.shape, broadcast_dimensions, strict=True):
        if dim <= before:
            raise ValueError("broadcast_dimensions must increase")
        before = dim
        placed[dim] = size
    return np.broadcast_to(x.reshape(placed), shape)


# The character codes of float16 and bfloat16 (`dtype.name` costs microseconds).
LOW_PRECISION = "eE"


@kernel(ops.reduce_sum_p)
def reduce_sum(x: Array, *, axes: tuple[int, ...]) -> Array:
    if x.dtype.char in LOW_PRECISION:
        return np.add.reduce(x, axis=axes, dtype=np.float32, out=...).astype(x.dtype)
    return np.add.reduce(x, axis=axes, dtype=x.dtype, out=...)


@kernel(ops.reshape_p)
def reshape(x: Array, *, shape: tuple[int, ...]) -> Array:
    return x.reshape(shape)


@kernel(ops.transpose_p)
def transpose(x: Array, *, permutation: tuple[int, ...]) -> Array:
    return x.transpose(permutation)


@kernel(ops.rev_p)
def rev(x: Array, *, dimensions: tuple[int, ...]) -> Array:
    return np.flip(x, dimensions) if dimensions else x  # without dimensions, a NumPy scalar for rank 0
