"""Kernel of `ops.conv`: windows as a strided view, then one matrix product for each group."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ...core import dtypes
from ...ops import conv as ops
from ...ops.dot import result_dtype
from .register import kernel

Array = np.ndarray[Any, Any]
_NATIVE = "biufc"


@kernel(ops.conv_general_dilated_p)
def conv_general_dilated(
    x: Array,
    w: Array,
    *,
    window_strides: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
    lhs_dilation: tuple[int, ...],
    rhs_dilation: tuple[int, ...],
    feature_group_count: int,
    batch_group_count: int,
    precision: Any,
    preferred_element_type: np.dtype[Any] | None,
) -> Array:
    dtype = result_dtype("conv_general_dilated", x.dtype, w.dtype, preferred_element_type)
    computing = np.dtype(np.float32) if dtypes.is_floating(dtype) and dtype.itemsize < 4 else dtype
    x, w = x.astype(computing, copy=False), w.astype(computing, copy=False)
    rank = x.ndim - 2
    x = _padded(x, padding, lhs_dilation)
    spans = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], rhs_dilation, strict=True)]
    batch, features = x.shape[:2]
    outputs = w.shape[0]
    if any(size < span for size, span in zip(x.shape[2:], spans, strict=True)):
        room = (max((s - k) // t + 1, 0) for s, k, t in zip(x.shape[2:], spans, window_strides, strict=True))
        return np.zeros((batch // batch_group_count, outputs, *room), dtype)
    windows = sliding_window_view(x, spans, axis=tuple(range(2, 2 + rank))) if rank else x
    steps = [slice(None, None, s) for s in (*window_strides, *rhs_dilation)]
    windows = windows[(slice(None), slice(None), *steps)]
    places = windows.shape[2 : 2 + rank]
    groups = feature_group_count * batch_group_count
    # To (groups, batch, places, features, window): at most one of the two group counts exceeds 1.
    rows, columns = batch // batch_group_count, features // feature_group_count
    windows = windows.reshape(batch_group_count, rows, feature_group_count, columns, *places, *w.shape[2:])
    windows = windows.transpose(0, 2, 1, *range(4, 4 + rank), 3, *range(4 + rank, 4 + 2 * rank))
    left = windows.reshape(groups, rows * math.prod(places), columns * math.prod(w.shape[2:]))
    right = w.reshape(groups, outputs // groups, left.shape[2]).swapaxes(1, 2)
    out = np.matmul(left, right).reshape(groups, rows, *places, outputs // groups)
    out = out.transpose(1, 0, 2 + rank, *range(2, 2 + rank)).reshape(rows, outputs, *places)
    return out.astype(dtype, copy=False)


def _padded(x: Array, padding: tuple[tuple[int, int], ...], dilation: tuple[int, ...]) -> Array:
    """x with zeros between its elements and around; negative padding cuts elements off, from either side."""
    if all(d == 1 for d in dilation) and not any(lo or hi for lo, hi in padding):
        return x
    source, target, sizes = [], [], []
    for size, d, (lo, hi) in zip(x.shape[2:], dilation, padding, strict=True):
        length = max(((size - 1) * d + 1 if size else 0) + lo + hi, 0)
        # Element i goes to lo + i d, if that is inside.
        first = max(0, -(lo // d))
        count = max(0, min(size - 1, (length - 1 - lo) // d) - first + 1)
        start = lo + first * d
        source.append(slice(first, first + count))
        target.append(slice(start, start + (count - 1) * d + 1, d) if count else slice(0, 0))
        sizes.append(length)
    out = np.zeros((*x.shape[:2], *sizes), x.dtype)
    out[(slice(None), slice(None), *target)] = x[(slice(None), slice(None), *source)]
    return out
