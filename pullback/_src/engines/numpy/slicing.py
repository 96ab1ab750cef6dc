"""Kernels of `ops.slicing`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ops import slicing as ops
from .register import kernel

Array = np.ndarray[Any, Any]


def _window(shape: tuple[int, ...], starts: Sequence[Array], sizes: tuple[int, ...]) -> tuple[Any, ...]:
    """The slices of a window of `sizes` at `starts`, moved inside of an array of `shape`."""
    if not len(starts) == len(shape) == len(sizes):
        raise ValueError("as many start indices and sizes as dimensions are needed")
    out: list[Any] = []
    for size, start, wanted in zip(shape, starts, sizes, strict=True):
        if not 0 <= wanted <= size:
            raise ValueError("a window larger than the operand")
        at = min(max(int(start), 0), size - wanted)
        out.append(slice(at, at + wanted))
    out.append(...)
    return tuple(out)


@kernel(ops.dynamic_slice_p)
def dynamic_slice(x: Array, *starts: Array, slice_sizes: tuple[int, ...]) -> Array:
    return x[_window(x.shape, starts, slice_sizes)]


@kernel(ops.dynamic_update_slice_p)
def dynamic_update_slice(x: Array, update: Array, *starts: Array) -> Array:
    window = _window(x.shape, starts, update.shape)
    if x.dtype != update.dtype:
        raise TypeError("operand and update of different dtypes")
    out = x.copy()
    out[window] = update
    return out
