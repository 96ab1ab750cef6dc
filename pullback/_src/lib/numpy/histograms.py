"""Counts: of integers, in bins, and in boxes of a grid."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ...core import dtypes
from ...core.array import Array, as_array, scalar
from ...core.kinds import kind
from ...ops.arithmetic import add_p, max_p, sub_p
from ...ops.compare import eq_p, le_p, select_n_p
from ...ops.convert import convert_element_type
from ...ops.joining import concatenate
from ...ops.search import searchsorted as search
from ...ops.structural import expand_dims, full, reshape, rev
from . import reductions
from .cumulatives import diff
from .promotion import arraylike, check_arraylike, promote, promote_inexact
from .ranges import linspace
from .sorting import concrete_value

__all__ = [
    "bincount",
    "digitize",
    "histogram",
    "histogram2d",
    "histogram_bin_edges",
    "histogramdd",
]


def bincount(x: Any, weights: Any = None, minlength: int = 0, *, length: int | None = None) -> Array:
    """How often each of the integers 0, 1, 2, ... occurs, or the sums of their weights.

    Args:
        x: a vector of integers; negative ones count as 0.
        weights: a vector of the same length.
        minlength: the least length of the result.
        length: the length of the result: greater integers are left out. Needed where values are not known.

    Raises:
        ConcretizationTypeError: traced values and no length.
    """
    values = arraylike("bincount", x)
    if kind(values.aval.dtype) not in "biu":
        raise TypeError(f"bincount needs integers; got dtype {dtypes.dtype_name(values.aval.dtype)}")
    if values.aval.ndim != 1:
        raise ValueError(f"bincount needs a vector; got shape {values.aval.shape}")
    minlength = operator.index(minlength)
    if length is None:
        known = concrete_value(values, "bincount")
        size = max(minlength, int(known.max()) + 1 if known.size else 0)
    else:
        size = max(operator.index(length), 0)
    amounts: Any = (
        full((), 1, dtypes.default_int_dtype()) if weights is None else arraylike("bincount", weights)
    )
    if weights is not None and amounts.aval.shape != values.aval.shape:
        raise ValueError(
            f"bincount: weights of shape {amounts.aval.shape} for integers of shape {values.aval.shape}"
        )
    if kind(values.aval.dtype) == "b":
        values = convert_element_type(values, np.dtype(np.int32))
    places = max_p.bind(values, scalar(0, values.aval.dtype)) if kind(values.aval.dtype) == "i" else values
    counts: Any = full((size,), 0, amounts.aval.dtype)
    return counts.at[places].add(amounts, mode="drop")


def digitize(x: Any, bins: Any, right: bool = False, *, method: str | None = None) -> Array:
    """The indices of the bins to which the elements belong.

    Args:
        x: an array.
        bins: a monotonic vector of limits. Index i means bins[i-1] <= x < bins[i] (or the reverse order).
        right: whether bins hold their right limit in place of the left one.
        method: accepted for the sake of the API.
    """
    check_arraylike("digitize", x, bins)
    limits = as_array(bins)
    if limits.aval.ndim != 1:
        raise ValueError(f"digitize: bins must be a vector; got shape {limits.aval.shape}")
    values, limits = promote("digitize", x, limits)
    int_dtype = dtypes.default_int_dtype()
    size = limits.aval.shape[0]
    if size == 0:
        return full(values.aval.shape, 0, int_dtype)
    ascending: Any = search(limits, values, "left" if right else "right", int_dtype)
    other: Any = search(rev(limits, (0,)), values, "left" if right else "right", int_dtype)
    rising = le_p.bind(limits[0], limits[-1])
    return select_n_p.bind(rising, size - other, ascending)


def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Array:
    """The limits of a histogram's bins.

    Args:
        a: the data.
        bins: how many bins of equal width, or a vector of limits, which is returned.
        range: the first and the last limit (default: the least and the greatest element).
        weights: not used: they do not change the limits.
    """
    if isinstance(bins, str):
        raise NotImplementedError(
            f"histogram_bin_edges: bins must be a number or limits; got the rule {bins!r}. Rules depend on "
            "the data: take the limits from numpy.histogram_bin_edges, outside of transformations"
        )
    x = arraylike("histogram_bin_edges", a)
    dtype = dtypes.to_inexact_dtype(x.aval.dtype)
    given = arraylike("histogram_bin_edges", bins)
    if given.aval.ndim == 1:
        return convert_element_type(given, dtypes.to_inexact_dtype(given.aval.dtype))
    count = operator.index(bins)
    if range is None:
        flat = reshape(x, (x.aval.size,))
        if x.aval.size == 0:
            raise ValueError("a histogram of no elements needs a range or limits")
        low, high = reductions.min(flat), reductions.max(flat)
    else:
        low, high = (as_array(v) for v in range)
    low, high = (convert_element_type(v, dtype) for v in (low, high))
    same = eq_p.bind(low, high)
    half = scalar(0.5, dtype)
    low = select_n_p.bind(same, low, sub_p.bind(low, half))
    high = select_n_p.bind(same, high, add_p.bind(high, half))
    return linspace(low, high, count + 1, dtype=dtype)


def _bin_indices(x: Any, edges: Any) -> Any:
    """Indices into counts with a bin before the first and one behind the last, which is closed."""
    dtype = np.dtype(np.int32)
    last = edges.aval.shape[0] - 1
    index = search(edges, x, "right", dtype)
    return select_n_p.bind(eq_p.bind(x, edges[last]), index, scalar(last, dtype))


def histogram(
    a: Any, bins: Any = 10, range: Any = None, weights: Any = None, density: bool | None = None
) -> Any:
    """How many elements lie in each bin.

    Args:
        a: the data, flattened.
        bins, range: as for `histogram_bin_edges`.
        weights: an array like `a`: what each element counts.
        density: whether to divide by the total and by the bins' widths.

    Returns:
        The counts, as floats, and the limits of the bins. A bin holds its left limit, the last one both.
    """
    x = arraylike("histogram", a)
    if weights is None:
        (x,) = promote_inexact("histogram", x)
        w: Any = full(x.aval.shape, 1, x.aval.dtype)
    else:
        x, w = promote_inexact("histogram", x, arraylike("histogram", weights))
        if w.aval.shape != x.aval.shape:
            raise ValueError(f"histogram: weights of shape {w.aval.shape} for data of shape {x.aval.shape}")
    edges: Any = histogram_bin_edges(x, bins, range)
    size = edges.aval.shape[0]
    x, edges_of = promote("histogram", reshape(x, (x.aval.size,)), edges)
    counts: Any = full((size + 1,), 0, w.aval.dtype)
    counts = counts.at[_bin_indices(x, edges_of)].add(reshape(w, (w.aval.size,)))[1:size]
    if density:
        counts = counts / diff(edges) / reductions.sum(counts)
    return counts, edges


def histogramdd(
    sample: Any, bins: Any = 10, range: Any = None, weights: Any = None, density: bool | None = None
) -> Any:
    """How many points lie in each box of a grid.

    Args:
        sample: the points, a matrix with a row for each.
        bins: a number of bins or a vector of limits for all dimensions, or a list with one for
            each.
        range: for each dimension the first and the last limit, or None.
        weights: a vector: what each point counts.
        density: whether to divide by the total and by the boxes' volumes.

    Returns:
        The counts, and a list of the limits along each dimension.
    """
    points = arraylike("histogramdd", sample)
    (points,) = promote_inexact("histogramdd", points)
    if points.aval.ndim != 2:
        raise ValueError(f"histogramdd needs a matrix of points; got shape {points.aval.shape}")
    count, ndim = points.aval.shape
    if weights is not None:
        w = arraylike("histogramdd", weights)
        if w.aval.shape != (count,):
            raise ValueError(f"histogramdd: weights of shape {w.aval.shape} for {count} points")
    else:
        w = full((count,), 1, dtypes.default_int_dtype())
    per_axis = list(bins) if isinstance(bins, (list, tuple)) else [bins] * ndim
    if len(per_axis) != ndim:
        raise ValueError(f"histogramdd: {ndim} dimensions need as many bins; got {len(per_axis)}")
    ranges = [None] * ndim if range is None else list(range)
    if len(ranges) != ndim:
        raise ValueError(f"histogramdd: {ndim} dimensions need as many ranges; got {len(ranges)}")
    edges: list[Any] = []
    index: Any = full((count,), 0, np.dtype(np.int32))
    shape = []
    for i, (b, r) in enumerate(zip(per_axis, ranges, strict=True)):
        column = points[:, i]
        limits = histogram_bin_edges(column, b, r)
        edges.append(limits)
        values, limits = promote("histogramdd", column, limits)
        shape.append(limits.aval.shape[0] + 1)
        index = index * shape[-1] + _bin_indices(values, limits)
    counts: Any = full((math.prod(shape),), 0, w.aval.dtype)
    counts = reshape(counts.at[index].add(w), tuple(shape))
    counts = counts[tuple(slice(1, -1) for _ in shape)]
    if density:
        counts = counts / reductions.sum(counts)
        for i, limits in enumerate(edges):
            widths = diff(limits)
            counts = counts / expand_dims(widths, [j for j, _ in enumerate(edges) if j != i])
    return counts, edges


def histogram2d(
    x: Any, y: Any, bins: Any = 10, range: Any = None, weights: Any = None, density: bool | None = None
) -> Any:
    """How many points (x, y) lie in each cell of a grid.

    Args:
        x, y: vectors of one length.
        bins: a number of bins or a vector of limits for both axes, or a pair of these.
        range, weights, density: as for `histogramdd`.

    Returns:
        The counts, and the limits along x and along y.
    """
    x, y = promote("histogram2d", x, y)
    if x.aval.ndim != 1 or x.aval.shape != y.aval.shape:
        raise ValueError(
            f"histogram2d needs two vectors of one length; got shapes {x.aval.shape}, {y.aval.shape}"
        )
    if not isinstance(bins, (list, tuple)) or len(bins) != 2:
        bins = [bins, bins]
    points = concatenate([reshape(v, (x.aval.size, 1)) for v in (x, y)], 1)
    counts, (x_edges, y_edges) = histogramdd(points, bins, range, weights, density)
    return counts, x_edges, y_edges
