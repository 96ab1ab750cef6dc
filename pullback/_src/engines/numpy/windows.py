"""Kernels of `ops.windows`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...ops import windows as ops
from .reduction import greatest as greatest_value
from .reduction import smallest
from .register import kernel
from .structural import LOW_PRECISION

Array = np.ndarray[Any, Any]


def _views(x: Array, fill: Any, windows: ops.Windows) -> Array:
    """All windows, as an array: first the dimensions along which they lie, then those within."""
    shape, inner, source = [], [], []
    for n, (lo, hi), b in zip(x.shape, windows.padding, windows.base_dilation, strict=True):
        size = max((b * (n - 1) + 1 if n else 0) + lo + hi, 0)
        # The first and the last element that negative padding leaves.
        first = max(-(lo // b), 0) if lo < 0 else 0
        last = min((size - 1 - lo) // b, n - 1) if size else -1
        shape.append(size)
        count = max(last - first + 1, 0)
        start = lo + first * b
        inner.append(slice(start, start + b * (count - 1) + 1, b) if count else slice(0, 0))
        source.append(slice(first, first + count))
    if (
        tuple(shape) == x.shape
        and all(b == 1 for b in windows.base_dilation)
        and not any(map(any, windows.padding))
    ):
        padded = x
    else:
        padded = np.full(shape, fill, x.dtype)
        padded[tuple(inner)] = x[tuple(source)]
    extent = [w * (k - 1) + 1 for k, w in zip(windows.dimensions, windows.window_dilation, strict=True)]
    if any(p < e for p, e in zip(padded.shape, extent, strict=True)):
        return np.empty((*windows.counts(x.shape), *windows.dimensions), x.dtype)
    views = np.lib.stride_tricks.sliding_window_view(padded, extent)
    places = tuple(slice(None, None, s) for s in windows.strides)
    return views[places + tuple(slice(None, None, w) for w in windows.window_dilation)]


def _axes(x: Array) -> tuple[int, ...]:
    return tuple(range(x.ndim, 2 * x.ndim))


@kernel(ops.reduce_window_sum_p)
def reduce_window_sum(x: Array, *, windows: ops.Windows) -> Array:
    wide = np.dtype(np.float32) if x.dtype.char in LOW_PRECISION else x.dtype
    out = np.add.reduce(_views(x, 0, windows), axis=_axes(x), dtype=wide, out=...)
    return out.astype(x.dtype) if wide is not x.dtype else out


def _extremum(reduce: Callable[..., Any], identity: Callable[[np.dtype[Any]], Any]) -> Callable[..., Array]:
    def run(x: Array, *, windows: ops.Windows) -> Array:
        worst = identity(x.dtype)
        views = _views(x, worst, windows)
        if not views.size:
            return np.full(windows.counts(x.shape), worst, x.dtype)
        return reduce(views, axis=_axes(x), out=...)

    return run


kernel(ops.reduce_window_max_p)(_extremum(np.maximum.reduce, smallest))
kernel(ops.reduce_window_min_p)(_extremum(np.minimum.reduce, greatest_value))


def _chosen(x: Array, windows: ops.Windows, greatest: bool) -> Array:
    """For each window the flat index of its first extremum, and -1 where all is padding."""
    counts = windows.counts(x.shape)
    size = int(np.prod(windows.dimensions))
    if x.dtype.kind == "V":  # ml_dtypes does not find NaN
        x = x.astype(np.float32)
    worst = (smallest if greatest else greatest_value)(x.dtype)
    values = _views(x, worst, windows).reshape(*counts, size)
    places = _views(np.arange(x.size).reshape(x.shape), -1, windows).reshape(*counts, size)
    best = (values.argmax if greatest else values.argmin)(-1, keepdims=True)
    return np.take_along_axis(places, best, -1)[..., 0]


@kernel(ops.window_select_p)
def window_select(t: Array, x: Array, *, windows: ops.Windows, greatest: bool) -> Array:
    if not x.size:
        return np.zeros(windows.counts(x.shape), t.dtype)
    index = _chosen(x, windows, greatest)
    return np.where(index >= 0, t.reshape(-1)[index], np.zeros((), t.dtype))


@kernel(ops.window_deposit_p)
def window_deposit(u: Array, x: Array, *, windows: ops.Windows, greatest: bool) -> Array:
    wide = np.dtype(np.float32) if u.dtype.char in LOW_PRECISION else u.dtype
    out = np.zeros(x.size, wide)
    if x.size:
        index = _chosen(x, windows, greatest)
        np.add.at(out, index[index >= 0], u.astype(wide)[index >= 0])
    return out.reshape(x.shape).astype(u.dtype)
