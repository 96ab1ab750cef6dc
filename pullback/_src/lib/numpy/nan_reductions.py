"""Reductions and cumulative operations that leave NaN out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...core import dtypes
from ...core.array import Array, as_array, scalar
from ...core.kinds import kind
from ...ops.arithmetic import and_p, div_p, max_p, not_p, sub_p
from ...ops.compare import eq_p, ne_p, select_n_p
from ...ops.complex import conj_p, real_p
from ...ops.convert import convert_element_type
from ...ops.structural import broadcast_to
from ...ops.transcendental import sqrt_p
from . import cumulatives, reductions
from .promotion import check_arraylike, promote_inexact

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


def _input(name: str, a: Any, out: Any = None) -> Any:
    if out is not None:
        raise NotImplementedError(f"{name} does not support the argument 'out': arrays are immutable")
    check_arraylike(name, a)
    return as_array(a, name=name)


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
    x = without_nan(_input("nansum", a, out), 0)
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
    x = without_nan(_input("nanprod", a, out), 1)
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
    x = _input(name, a, out)
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
    x = _input(name, a, out)
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


def _valid(x: Any, where: Any) -> Any:
    """The mask of the elements that count."""
    valid = not_p.bind(is_nan(x))
    if where is None:
        return valid
    mask = as_array(where)
    shape = np.broadcast_shapes(valid.aval.shape, mask.aval.shape)
    return and_p.bind(broadcast_to(valid, shape), mask)


def nanmean(
    a: Any, axis: Axis = None, dtype: Any = None, out: None = None, keepdims: bool = False, where: Any = None
) -> Array:
    """The mean over `axis` of the elements that are not NaN (NaN of none); arguments as for `mean`."""
    x = _input("nanmean", a, out)
    if kind(x.aval.dtype) not in "fc":
        return reductions.mean(x, axis, dtype, None, keepdims, where=where)
    target = x.aval.dtype if dtype is None else dtypes.check_user_dtype(dtype, "nanmean")
    if kind(target) in "biu":
        return reductions.mean(without_nan(x, 0), axis, dtype, None, keepdims, where=_valid(x, where))
    count_dtype = target
    count = reductions.sum(_valid(x, where), axis, count_dtype, keepdims=keepdims)
    total = nansum(x, axis, count_dtype, keepdims=keepdims, where=where)
    return convert_element_type(div_p.bind(total, count), target)


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
    x = _input("nanvar", a, out)
    (x,) = promote_inexact("nanvar", x)
    inside = x.aval.dtype if dtype is None else dtypes.check_user_dtype(dtype, "nanvar")
    if kind(x.aval.dtype) == "c" and kind(inside) != "c":
        inside = dtypes.to_complex_dtype(inside)
    result_dtype = (
        dtypes.to_real_dtype(x.aval.dtype) if dtype is None else dtypes.check_user_dtype(dtype, "nanvar")
    )
    if inside.itemsize == 2:
        inside = np.dtype(np.float32)
    x = convert_element_type(x, inside)
    if mean is None:
        center: Any = nanmean(x, axis, keepdims=True, where=where)
    else:
        center = convert_element_type(as_array(mean), inside)
    valid = _valid(x, where)
    centered: Any = select_n_p.bind(valid, scalar(0, inside), sub_p.bind(x, center))
    squares = centered * centered
    if kind(inside) == "c":
        squares = real_p.bind(centered * conj_p.bind(centered))
    real_dtype = squares.aval.dtype
    zero = scalar(0, real_dtype)
    count = reductions.sum(valid, axis, real_dtype, keepdims=keepdims)
    freedom = max_p.bind(sub_p.bind(count, scalar(ddof, real_dtype)), zero)
    total = reductions.sum(squares, axis, keepdims=keepdims)
    undefined = eq_p.bind(freedom, zero)
    total = select_n_p.bind(undefined, total, scalar(math.nan, real_dtype))
    freedom = select_n_p.bind(undefined, freedom, scalar(1, real_dtype))
    return convert_element_type(div_p.bind(total, freedom), result_dtype)


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
    return cumulatives.cumsum(without_nan(_input("nancumsum", a, out), 0), axis, dtype)


def nancumprod(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Array:
    """The cumulative product with NaN as one; the arguments are those of `cumprod`."""
    return cumulatives.cumprod(without_nan(_input("nancumprod", a, out), 1), axis, dtype)
