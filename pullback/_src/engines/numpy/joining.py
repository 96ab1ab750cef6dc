"""Kernels of `ops.joining`."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from ...ops import joining as ops
from .register import kernel

Array = np.ndarray[Any, Any]


@kernel(ops.concatenate_p)
def concatenate(*arrays: Array, dimension: int) -> Array:
    return np.concatenate(arrays, dimension, dtype=arrays[0].dtype, casting="equiv")


@kernel(ops.split_p)
def split(x: Array, *, sizes: tuple[int, ...], axis: int) -> list[Array]:
    if sum(sizes) != x.shape[axis]:
        raise ValueError("sizes do not add up")
    prefix = (builtins.slice(None),) * axis
    pieces = []
    start = 0
    for size in sizes:
        pieces.append(x[(*prefix, builtins.slice(start, start + size))])
        start += size
    return pieces


@kernel(ops.pad_p)
def pad(x: Array, value: Array, *, padding_config: ops.PaddingConfig) -> Array:
    sizes = []
    source = []
    target = []
    for size, (lo, hi, interior) in zip(x.shape, padding_config, strict=True):
        step = interior + 1
        spread = (size - 1) * step + 1 if size else 0
        total = spread + lo + hi
        # Source element k lands at lo + k * step; keep those that land within [0, total).
        first = max(0, -(lo // step))
        last = min(size, -((lo - total) // step))
        sizes.append(total)
        source.append(builtins.slice(first, max(first, last)))
        target.append(builtins.slice(lo + first * step, max(lo + first * step, lo + last * step), step))
    out = np.empty(sizes, x.dtype)
    out[...] = value
    part = x[tuple(source)]
    if part.size:
        out[tuple(target)] = part
    return out


@kernel(ops.slice_p)
def slice(
    x: Array,
    *,
    start_indices: tuple[int, ...],
    limit_indices: tuple[int, ...],
    strides: tuple[int, ...] | None,
) -> Array:
    if len(start_indices) != x.ndim or len(limit_indices) != x.ndim:
        raise ValueError("as many bounds as dimensions are needed")
    for start, limit, size in zip(start_indices, limit_indices, x.shape, strict=True):
        if not 0 <= start <= limit <= size:
            raise ValueError("bounds outside of the operand")
    steps = (None,) * x.ndim if strides is None else strides
    window: Any = (*map(builtins.slice, start_indices, limit_indices, steps), ...)
    return x[window]
