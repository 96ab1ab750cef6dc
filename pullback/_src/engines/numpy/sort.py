"""Kernels of `ops.sort`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import sort as ops
from .register import kernel

Array = np.ndarray[Any, Any]


def _keys(x: Array) -> list[Array]:
    """Real arrays whose lexicographic order is the order of `x`, the most significant first."""
    if x.dtype.kind == "c":
        return [x.real, x.imag]
    # ml_dtypes does not sort NaN to the end.
    return [x.astype(np.float32)] if x.dtype.kind == "V" else [x]


def _sorted(x: Array, axis: int) -> Array:
    """One array, sorted by itself."""
    kind = x.dtype.kind
    if kind == "V" or (kind == "c" and np.isnan(x).any()):
        return np.take_along_axis(x, _order([x], axis), axis)
    # NumPy's unstable sort is faster; only zeros of both signs can be told apart after it.
    if kind == "c" or (kind == "f" and np.signbit(x[x == 0]).any()):
        return np.sort(x, axis, kind="stable")
    return np.sort(x, axis)


def _order(operands: list[Array], axis: int) -> Array:
    keys = [key for x in operands for key in _keys(x)]
    if len(keys) == 1:
        return np.argsort(keys[0], axis, kind="stable")
    return np.lexsort(keys[::-1], axis)


@kernel(ops.sort_p)
def sort(*operands: Array, dimension: int, is_stable: bool, num_keys: int) -> list[Array]:
    if len(operands) == 1:
        return [_sorted(operands[0], dimension)]
    order = _order(list(operands[:num_keys]), dimension)
    return [np.take_along_axis(x, order, dimension) for x in operands]


def _total_order(x: Array) -> Array:
    """Integers in the order of the floats: by sign and magnitude, so that -0.0 < 0.0."""
    bits = x.view(np.dtype(f"i{x.dtype.itemsize}"))
    return np.where(bits < 0, bits ^ np.iinfo(bits.dtype).max, bits)


@kernel(ops.top_k_p)
def top_k(x: Array, *, k: int, axis: int) -> list[Array]:
    key = x if x.dtype.kind in "biu" else _total_order(np.where(np.isnan(x), np.asarray(np.nan, x.dtype), x))
    # Sorting the reversed array stably and reversing the result keeps the first of equal elements first.
    backwards = np.argsort(np.flip(key, axis), axis, kind="stable")
    order = x.shape[axis] - 1 - np.flip(backwards, axis)
    chosen = order[(slice(None),) * axis + (slice(0, k),)]
    return [np.take_along_axis(x, chosen, axis), chosen.astype(np.int32)]
