"""Quantiles, covariances, histograms and counts."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ...base.errors import DTypeError
from ...core import dtypes
from ...core.array import Array, as_array, scalar
from ...core.kinds import kind
from ...ops.arithmetic import add_p, ceil_p, floor_p, max_p, min_p, mul_p, sub_p
from ...ops.compare import eq_p, gt_p, le_p, lt_p, select_n_p
from ...ops.complex import complex_p, conj_p, imag_p, real_p
from ...ops.convert import convert_element_type
from ...ops.dot import matmul
from ...ops.joining import concatenate
from ...ops.search import searchsorted as search
from ...ops.sort import sort as sort_operands
from ...ops.structural import expand_dims, full, reshape, rev, transpose
from . import reductions
from .cumulatives import diff
from .indexing import take_along_axis
from .nan_reductions import is_nan
from .promotion import check_arraylike, promote, promote_inexact
from .ranges import linspace
from .sorting import concrete_value

__all__ = [
    "bincount",
    "corrcoef",
    "cov",
    "digitize",
    "histogram",
    "histogram2d",
    "histogram_bin_edges",
    "histogramdd",
    "median",
    "nanmedian",
    "nanpercentile",
    "nanquantile",
    "percentile",
    "quantile",
]


def _input(name: str, a: Any) -> Any:
    check_arraylike(name, a)
    return as_array(a, name=name)


# quantiles ----------------------------------------------------------------------------------------

_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile(
    name: str, a: Any, q: Any, axis: Any, method: str, keepdims: bool, weights: Any, ignore_nan: bool
) -> Any:
    if method not in _METHODS:
        raise ValueError(f"{name}: method must be one of {', '.join(_METHODS)}; got {method!r}")
    if weights is not None:
        raise NotImplementedError(f"{name} does not support weights")
    check_arraylike(name, a, q)
    x, q = promote_inexact(name, a, q)
    if kind(x.aval.dtype) == "c":
        raise ValueError(f"{name} does not accept complex arrays")
    if q.aval.ndim > 1:
        raise ValueError(f"{name}: q must be a number or a vector; got shape {q.aval.shape}")
    result_dtype = x.aval.dtype
    if result_dtype.itemsize == 2:
        x, q = (convert_element_type(v, np.dtype(np.float32)) for v in (x, q))
    dtype = x.aval.dtype
    shape = x.aval.shape
    axes = reductions.reduction_axes(name, axis, x.aval)
    rest = tuple(i for i in range(len(shape)) if i not in axes)
    kept = tuple(shape[i] for i in rest)
    length = math.prod(shape[i] for i in axes)
    if length == 0:
        raise ValueError(f"{name} of no elements (shape {shape}, axis {axis}) is undefined")
    columns = sort_operands(reshape(transpose(x, (*axes, *rest)), (length, *kept)), 0)
    levels = reshape(q, (q.aval.size, *[1] * len(kept)))
    one, zero = scalar(1, dtype), scalar(0, dtype)
    nan_count = reductions.sum(is_nan(columns), 0, dtype, keepdims=True)
    if ignore_nan:
        last = sub_p.bind(sub_p.bind(scalar(length, dtype), nan_count), one)
    else:
        last = full((1, *kept), length - 1, dtype)
    place = mul_p.bind(levels, max_p.bind(last, zero))
    low, high = floor_p.bind(place), ceil_p.bind(place)
    low, high = (max_p.bind(min_p.bind(v, last), zero) for v in (low, high))

    def at(places: Any) -> Any:
        return take_along_axis(columns, convert_element_type(places, np.dtype(np.int32)), 0, mode="clip")

    if method == "lower":
        result: Any = at(low)
    elif method == "higher":
        result = at(high)
    elif method == "nearest":
        nearer_low = le_p.bind(sub_p.bind(place, low), scalar(0.5, dtype))
        result = select_n_p.bind(nearer_low, at(high), at(low))
    elif method == "midpoint":
        result = (at(low) + at(high)) * 0.5
    else:
        weight = place - low
        result = at(low) * (1 - weight) + at(high) * weight
    if ignore_nan:
        undefined = eq_p.bind(nan_count, scalar(length, dtype))
    else:
        undefined = gt_p.bind(nan_count, zero)
    outside = lt_p.bind(levels, zero) | gt_p.bind(levels, one)
    result = select_n_p.bind(undefined | outside, result, scalar(math.nan, dtype))
    result_shape = tuple(1 if i in axes else d for i, d in enumerate(shape)) if keepdims else kept
    return convert_element_type(reshape(result, (*q.aval.shape, *result_shape)), result_dtype)


def _no_outputs(name: str, out: Any, overwrite_input: bool) -> None:
    if out is not None or overwrite_input:
        raise ValueError(f"{name} does not support 'out' or 'overwrite_input': arrays are immutable")


def quantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Array:
    """Quantiles over `axis`: values below which a share q of the elements lies; NaN if there is a NaN.

    Args:
        a: an array of real numbers.
        q: a share in [0, 1], or a vector of them, which becomes the first dimension of the result.
        axis: an axis, a tuple of axes, or None for all.
        method: between two elements: "linear" interpolation, "lower", "higher", "midpoint" or "nearest".
        keepdims: whether reduced axes stay as dimensions of size 1.
    """
    _no_outputs("quantile", out, overwrite_input)
    return _quantile("quantile", a, q, axis, method, keepdims, weights, False)


def nanquantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Array:
    """Quantiles over `axis` of the elements that are not NaN; the arguments are those of `quantile`."""
    _no_outputs("nanquantile", out, overwrite_input)
    return _quantile("nanquantile", a, q, axis, method, keepdims, weights, True)


def _shares(name: str, q: Any) -> Any:
    (q,) = promote_inexact(name, _input(name, q))
    return q / 100


def percentile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Array:
    """Percentiles over `axis`: `quantile` with q in [0, 100]."""
    _no_outputs("percentile", out, overwrite_input)
    return _quantile("percentile", a, _shares("percentile", q), axis, method, keepdims, weights, False)


def nanpercentile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Array:
    """Percentiles over `axis` of the elements that are not NaN: `nanquantile` with q in [0, 100]."""
    _no_outputs("nanpercentile", out, overwrite_input)
    return _quantile("nanpercentile", a, _shares("nanpercentile", q), axis, method, keepdims, weights, True)


def median(
    a: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Array:
    """The median over `axis` (of an even number: the mean of the middle two); NaN if there is a NaN."""
    _no_outputs("median", out, overwrite_input)
    return _quantile("median", a, 0.5, axis, "midpoint", keepdims, None, False)


def nanmedian(
    a: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Array:
    """The median over `axis` of the elements that are not NaN."""
    _no_outputs("nanmedian", out, overwrite_input)
    return _quantile("nanmedian", a, 0.5, axis, "midpoint", keepdims, None, True)


# covariance ---------------------------------------------------------------------------------------


def _observations(name: str, m: Any, rowvar: bool) -> Any:
    if m.aval.ndim > 2:
        raise ValueError(f"{name} needs a vector or a matrix; got shape {m.aval.shape}")
    if m.aval.ndim < 2:
        return reshape(m, (1, m.aval.size))
    return m if rowvar or m.aval.shape[0] == 1 else transpose(m, (1, 0))


def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    dtype: Any = None,
) -> Array:
    """The covariance matrix of variables.

    Args:
        m: a row for each variable and a column for each observation (without `rowvar`: the other way round).
        y: more variables.
        rowvar: whether rows are variables.
        bias: divide by the number n of observations (default: by n - 1).
        ddof: divide by n - ddof.
        fweights: for each observation an integer: how often it was made.
        aweights: for each observation its relative weight.
        dtype: the dtype of the computation.

    Returns:
        A matrix; for a single variable a scalar.
    """
    check_arraylike("cov", m, *(v for v in (y, fweights, aweights) if v is not None))
    if ddof is not None and ddof != operator.index(ddof):
        raise ValueError(f"cov: ddof must be an integer; got {ddof}")
    given = [v for v in (m, y) if v is not None]
    arrays = promote_inexact("cov", *given)
    if dtype is not None:
        target = dtypes.check_user_dtype(dtype, "cov")
        arrays = [convert_element_type(v, target) for v in arrays]
    blocks = [_observations("cov", v, rowvar) for v in arrays]
    x: Any = blocks[0] if len(blocks) == 1 else concatenate(blocks, 0)
    if x.aval.shape[0] == 0:
        return full((0, 0), 0, x.aval.dtype)
    if ddof is None:
        ddof = 0 if bias else 1
    w = _weights(x, fweights, aweights)
    real_dtype = dtypes.to_real_dtype(x.aval.dtype)
    if w is None:
        total: Any = None
        center = reductions.mean(x, 1, keepdims=True)
        freedom: Any = full((), x.aval.shape[1] - ddof, real_dtype)
    else:
        total = reductions.sum(w)
        center = reductions.sum(x * w, 1, keepdims=True) / total
        if ddof == 0:
            freedom = total
        elif aweights is None:
            freedom = total - ddof
        else:
            freedom = total - ddof * reductions.sum(w * _as_real(aweights, real_dtype)) / total
    centered = x - center
    weighted = centered if w is None else centered * w
    other: Any = transpose(weighted, (1, 0))
    if kind(x.aval.dtype) == "c":
        other = conj_p.bind(other)
    result = matmul(centered, other) / freedom
    return reshape(result, ()) if x.aval.shape[0] == 1 else result


def _as_real(weights: Any, dtype: np.dtype[Any]) -> Any:
    return convert_element_type(as_array(weights), dtype)


def _weights(x: Any, fweights: Any, aweights: Any) -> Any:
    dtype = dtypes.to_real_dtype(x.aval.dtype)
    w: Any = None
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is None:
            continue
        array = as_array(given)
        if array.aval.ndim != 1 or array.aval.shape[0] != x.aval.shape[1]:
            raise ValueError(
                f"cov: {name} must be a vector with one element for each of {x.aval.shape[1]} observations; "
                f"got shape {array.aval.shape}"
            )
        if name == "fweights" and kind(array.aval.dtype) not in "iu":
            raise DTypeError(f"cov: fweights must be integers; got {dtypes.dtype_name(array.aval.dtype)}")
        # Weights are sizes, as in JAX.
        array = _as_real(array, dtype)
        array = max_p.bind(array, -array)
        w = array if w is None else w * array
    return w


def corrcoef(x: Any, y: Any = None, rowvar: bool = True, dtype: Any = None) -> Array:
    """The matrix of Pearson's correlation coefficients; the arguments are those of `cov`."""
    c: Any = cov(x, y, rowvar, dtype=dtype)
    if c.aval.ndim == 0:
        return c / c
    n = c.aval.shape[0]
    diagonal = reductions.sum(
        c * convert_element_type(as_array(np.eye(n, dtype=np.float32)), c.aval.dtype), 1
    )
    real = real_p.bind(diagonal) if kind(c.aval.dtype) == "c" else diagonal
    deviation: Any = real**0.5
    c = c / reshape(deviation, (n, 1)) / reshape(deviation, (1, n))
    if kind(c.aval.dtype) != "c":
        return _limited(c)
    return complex_p.bind(_limited(real_p.bind(c)), _limited(imag_p.bind(c)))


def _limited(x: Any) -> Any:
    """x within [-1, 1], which rounding may have left."""
    return max_p.bind(min_p.bind(x, scalar(1, x.aval.dtype)), scalar(-1, x.aval.dtype))


# counts and histograms ----------------------------------------------------------------------------


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
    values = _input("bincount", x)
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
    amounts: Any = full((), 1, dtypes.default_int_dtype()) if weights is None else _input("bincount", weights)
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
            f"histogram_bin_edges: bins must be a number or limits; got the rule {bins!r}"
        )
    x = _input("histogram_bin_edges", a)
    dtype = dtypes.to_inexact_dtype(x.aval.dtype)
    given = _input("histogram_bin_edges", bins)
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
    x = _input("histogram", a)
    if weights is None:
        (x,) = promote_inexact("histogram", x)
        w: Any = full(x.aval.shape, 1, x.aval.dtype)
    else:
        x, w = promote_inexact("histogram", x, _input("histogram", weights))
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
    points = _input("histogramdd", sample)
    (points,) = promote_inexact("histogramdd", points)
    if points.aval.ndim != 2:
        raise ValueError(f"histogramdd needs a matrix of points; got shape {points.aval.shape}")
    count, ndim = points.aval.shape
    if weights is not None:
        w = _input("histogramdd", weights)
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
