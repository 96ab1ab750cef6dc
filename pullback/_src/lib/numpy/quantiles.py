"""Quantiles, percentiles and medians, with weights and without NaN."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core.array import Array, scalar
from ...core.kinds import kind
from ...ops.arithmetic import add_p, and_p, ceil_p, div_p, floor_p, max_p, min_p, mul_p, not_p, or_p, sub_p
from ...ops.compare import eq_p, ge_p, gt_p, le_p, lt_p, select_n_p
from ...ops.convert import convert_element_type
from ...ops.cumulative import cumsum_p
from ...ops.sort import sort as sort_operands
from ...ops.structural import broadcast_to, expand_dims, reshape, transpose
from . import averages, reductions
from .indexing import take_along_axis
from .nan_reductions import is_nan
from .promotion import arraylike, check_arraylike, promote_inexact

__all__ = [
    "median",
    "nanmedian",
    "nanpercentile",
    "nanquantile",
    "percentile",
    "quantile",
]


_METHODS = ("linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf")


def _quantile(
    name: str,
    a: Any,
    q: Any,
    axis: Any,
    out: Any,
    overwrite_input: bool,
    method: str,
    keepdims: bool,
    weights: Any,
    *,
    ignore_nan: bool,
) -> Any:
    if out is not None or overwrite_input:
        raise ValueError(f"{name} does not support 'out' or 'overwrite_input': arrays are immutable")
    if method not in _METHODS:
        raise ValueError(f"{name}: method must be one of {', '.join(_METHODS)}; got {method!r}")
    if weights is not None and method != "inverted_cdf":
        raise NotImplementedError(f"{name}: weights need method='inverted_cdf'; got method={method!r}")
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

    def in_columns(v: Any) -> Any:
        return reshape(transpose(v, (*axes, *rest)), (length, *kept))

    columns = in_columns(x)
    levels = reshape(q, (q.aval.size, *[1] * len(kept)))
    one, zero = scalar(1, dtype), scalar(0, dtype)
    if weights is None:
        columns = sort_operands(columns, 0)
        nan_count = reductions.sum(is_nan(columns), 0, dtype, keepdims=True)
        count = sub_p.bind(scalar(length, dtype), nan_count) if ignore_nan else scalar(length, dtype)
        undefined = eq_p.bind(count, zero) if ignore_nan else gt_p.bind(nan_count, zero)
        result = _between(columns, levels, broadcast_to(count, (1, *kept)), method)
    else:
        w = convert_element_type(arraylike(name, weights), dtype)
        w = broadcast_to(averages.spread_weights(name, w, shape, axis, axes), shape)
        columns, w = sort_operands((columns, in_columns(w)), 0, num_keys=1)
        result, undefined = _weighted(columns, w, levels, ignore_nan)
    inside = and_p.bind(ge_p.bind(levels, zero), le_p.bind(levels, one))
    defined = and_p.bind(inside, not_p.bind(undefined))
    result = select_n_p.bind(defined, scalar(math.nan, dtype), result)
    result_shape = tuple(1 if i in axes else d for i, d in enumerate(shape)) if keepdims else kept
    return convert_element_type(reshape(result, (*q.aval.shape, *result_shape)), result_dtype)


def _at(columns: Any, places: Any) -> Any:
    """The elements of sorted columns at places, which may be floats."""
    return take_along_axis(columns, convert_element_type(places, np.dtype(np.int32)), 0, mode="clip")


def _weighted(columns: Any, w: Any, levels: Any, ignore_nan: bool) -> tuple[Any, Any]:
    """Weighted quantiles of sorted columns, and where they are undefined."""
    zero = scalar(0, columns.aval.dtype)
    nan = is_nan(columns)
    if ignore_nan:
        w = select_n_p.bind(nan, w, zero)
    total = reductions.sum(w, 0, keepdims=True)
    # The first element at which the share of the weights so far reaches the level, but one that has a weight.
    share = expand_dims(div_p.bind(cumsum_p.bind(w, axis=0, reverse=False), total), (1,))
    before = or_p.bind(lt_p.bind(share, expand_dims(levels, (0,))), le_p.bind(share, zero))
    result = _at(columns, reductions.sum(before, 0))
    undefined = or_p.bind(
        not_p.bind(gt_p.bind(total, zero)), reductions.any(lt_p.bind(w, zero), 0, keepdims=True)
    )
    if not ignore_nan:
        undefined = or_p.bind(undefined, reductions.any(nan, 0, keepdims=True))
    return result, undefined


def _between(columns: Any, levels: Any, count: Any, method: str) -> Any:
    """Quantiles of sorted columns, of which the first `count` elements of each take part."""
    dtype = columns.aval.dtype
    one, zero, half = scalar(1, dtype), scalar(0, dtype), scalar(0.5, dtype)
    if method == "inverted_cdf":
        return _at(columns, max_p.bind(sub_p.bind(ceil_p.bind(mul_p.bind(levels, count)), one), zero))
    last = max_p.bind(sub_p.bind(count, one), zero)
    place = mul_p.bind(levels, last)
    low, high = (max_p.bind(min_p.bind(v, last), zero) for v in (floor_p.bind(place), ceil_p.bind(place)))
    if method == "lower":
        return _at(columns, low)
    if method == "higher":
        return _at(columns, high)
    if method == "nearest":
        return _at(columns, select_n_p.bind(le_p.bind(sub_p.bind(place, low), half), high, low))
    weight = half if method == "midpoint" else sub_p.bind(place, low)
    below = mul_p.bind(_at(columns, low), sub_p.bind(one, weight))
    return add_p.bind(below, mul_p.bind(_at(columns, high), weight))


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
        method: between two elements: "linear" interpolation, "lower", "higher", "midpoint" or "nearest";
            "inverted_cdf": the first element at which the share of elements up to it reaches q.
        keepdims: whether reduced axes stay as dimensions of size 1.
        weights: how much each element counts, for "inverted_cdf": an array of the shape of `a`, or of the
            sizes of the axes. Negative weights give NaN.
    """
    return _quantile(
        "quantile", a, q, axis, out, overwrite_input, method, keepdims, weights, ignore_nan=False
    )


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
    return _quantile(
        "nanquantile", a, q, axis, out, overwrite_input, method, keepdims, weights, ignore_nan=True
    )


def _shares(name: str, q: Any) -> Any:
    (q,) = promote_inexact(name, arraylike(name, q))
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
    return _quantile(
        "percentile",
        a,
        _shares("percentile", q),
        axis,
        out,
        overwrite_input,
        method,
        keepdims,
        weights,
        ignore_nan=False,
    )


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
    return _quantile(
        "nanpercentile",
        a,
        _shares("nanpercentile", q),
        axis,
        out,
        overwrite_input,
        method,
        keepdims,
        weights,
        ignore_nan=True,
    )


def median(
    a: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Array:
    """The median over `axis` (of an even number: the mean of the middle two); NaN if there is a NaN."""
    return _quantile(
        "median", a, 0.5, axis, out, overwrite_input, "midpoint", keepdims, None, ignore_nan=False
    )


def nanmedian(
    a: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Array:
    """The median over `axis` of the elements that are not NaN."""
    return _quantile(
        "nanmedian", a, 0.5, axis, out, overwrite_input, "midpoint", keepdims, None, ignore_nan=True
    )
