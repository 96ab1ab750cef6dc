"""Reductions and cumulative operations that leave NaN out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.array import Array, as_array, scalar
from ...core.kinds import kind
from ...ops.arithmetic import and_p, not_p
from ...ops.compare import ne_p, select_n_p
from ...ops.structural import broadcast_to
from ...ops.transcendental import sqrt_p
from . import averages, cumulatives, reductions
from .promotion import arraylike

__all__ = [
    "nanargmax",
    "nanargmin",
    "nancumprod",
    "nancumsum",
    "nanmax",
    "nanmean",
    "nanmin",
    "nanprod",
    "nanstd",
    "nansum",
    "nanvar",
]

Axis = Any


def is_nan(x: Any) -> Any:
    """Where an inexact array is NaN."""
    return ne_p.bind(x, x)


def without_nan(x: Any, value: Any) -> Any:
    """`x` with `value` in place of NaN."""
    if kind(x.aval.dtype) not in "fc":
        return x
    return select_n_p.bind(is_nan(x), x, scalar(value, x.aval.dtype))


def nansum(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Array:
    """The sum over `axis` of the elements that are not NaN; the arguments are those of `sum`."""
    x = without_nan(arraylike("nansum", a, out), 0)
    return reductions.sum(x, axis, dtype, None, keepdims, initial, where)


def nanprod(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Array:
    """The product over `axis` of the elements that are not NaN; the arguments are those of `sum`."""
    x = without_nan(arraylike("nanprod", a, out), 1)
    return reductions.prod(x, axis, dtype, None, keepdims, initial, where)


def _extremum(
    name: str,
    reduce: Callable[..., Any],
    worst: float,
    a: Any,
    axis: Axis,
    out: Any,
    keepdims: bool,
    initial: Any,
    where: Any,
) -> Any:
    x = arraylike(name, a, out)
    if kind(x.aval.dtype) not in "fc":
        return reduce(x, axis, None, keepdims, initial, where)
    result = reduce(without_nan(x, worst), axis, None, keepdims, initial, where)
    if initial is not None:
        return result
    # Only where everything is NaN the result is.
    nothing = reductions.all(is_nan(x), axis, None, keepdims)
    return select_n_p.bind(nothing, result, scalar(math.nan, result.aval.dtype))


def nanmax(
    a: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Array:
    """The greatest element over `axis` that is not NaN (NaN if all are); the arguments are those of `max`."""
    return _extremum("nanmax", reductions.max, -math.inf, a, axis, out, keepdims, initial, where)


def nanmin(
    a: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Array:
    """The smallest element over `axis` that is not NaN (NaN if all are); the arguments are those of `min`."""
    return _extremum("nanmin", reductions.min, math.inf, a, axis, out, keepdims, initial, where)


def _position(
    name: str, find: Callable[..., Any], worst: float, a: Any, axis: Any, out: Any, keepdims: bool | None
) -> Any:
    x = arraylike(name, a, out)
    if kind(x.aval.dtype) != "f":
        return find(x, axis, None, keepdims)
    found = find(without_nan(x, worst), axis, None, keepdims)
    nothing = reductions.all(is_nan(x), axis, None, bool(keepdims))
    return select_n_p.bind(nothing, found, scalar(-1, found.aval.dtype))


def nanargmax(a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Array:
    """The index of the first greatest element along `axis` that is not NaN; -1 if all are."""
    return _position("nanargmax", reductions.argmax, -math.inf, a, axis, out, keepdims)


def nanargmin(a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Array:
    """The index of the first smallest element along `axis` that is not NaN; -1 if all are."""
    return _position("nanargmin", reductions.argmin, math.inf, a, axis, out, keepdims)


def _split(name: str, a: Any, out: Any, where: Any) -> tuple[Any, Any]:
    """The array with zeros in place of NaN, and the mask of the elements that count (None: all)."""
    x = arraylike(name, a, out)
    if kind(x.aval.dtype) not in "fc":
        return x, where
    valid = not_p.bind(is_nan(x))
    if where is not None:
        mask = as_array(where)
        shape = np.broadcast_shapes(valid.aval.shape, mask.aval.shape)
        valid = and_p.bind(broadcast_to(valid, shape), mask)
    return without_nan(x, 0), valid


def nanmean(
    a: Any, axis: Axis = None, dtype: Any = None, out: None = None, keepdims: bool = False, where: Any = None
) -> Array:
    """The mean over `axis` of the elements that are not NaN (NaN of none); arguments as for `mean`."""
    x, counted = _split("nanmean", a, out, where)
    return averages.masked_mean("nanmean", x, axis, dtype, keepdims, counted)


def nanvar(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    where: Any = None,
    mean: Any = None,
) -> Array:
    """The variance over `axis` of the elements that are not NaN; the arguments are those of `var`."""
    x, counted = _split("nanvar", a, out, where)
    return averages.variance("nanvar", x, axis, dtype, ddof, keepdims, counted, mean)


def nanstd(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    where: Any = None,
    mean: Any = None,
) -> Array:
    """The standard deviation over `axis` of the elements that are not NaN; arguments as for `var`."""
    return sqrt_p.bind(nanvar(a, axis, dtype, out, ddof, keepdims, where, mean))


def nancumsum(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Array:
    """The cumulative sum with NaN as zero; the arguments are those of `cumsum`."""
    return cumulatives.cumsum(without_nan(arraylike("nancumsum", a, out), 0), axis, dtype)


def nancumprod(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Array:
    """The cumulative product with NaN as one; the arguments are those of `cumprod`."""
    return cumulatives.cumprod(without_nan(arraylike("nancumprod", a, out), 1), axis, dtype)
