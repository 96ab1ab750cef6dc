"""Sums, products, extrema, truth of all or any, and positions of extrema, over axes of an array.

All results are strongly typed, as in JAX. `where` selects the elements that take part; it broadcasts against
the array. `initial` is combined with the result.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ...base.errors import DTypeError, ShapeError
from ...core import dtypes
from ...core.array import Array, ConcreteArray, as_array, scalar
from ...core.aval import ShapedArray, shaped_array
from ...core.engine import quietly
from ...core.kinds import kind
from ...core.primitive import Primitive
from ...core.trace import CURRENT
from ...ops.arithmetic import add_p, max_p, min_p, mul_p, sub_p
from ...ops.compare import ne_p, select_n_p
from ...ops.convert import convert_element_type
from ...ops.reduction import (
    argmax_p,
    argmin_p,
    reduce_and_p,
    reduce_max_p,
    reduce_min_p,
    reduce_or_p,
    reduce_prod_p,
)
from ...ops.structural import reduce_sum_p, reshape
from .promotion import arraylike, check_arraylike, strengthen

__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "max",
    "min",
    "prod",
    "ptp",
    "sum",
]

Axis = Any

ALL_AXES = [tuple(range(n)) for n in range(65)]


def reduction_axes(name: str, axis: Axis, aval: ShapedArray) -> tuple[int, ...]:
    """The axes that a user's `axis` (None, an int or a sequence of ints) means, in increasing order.

    Raises:
        ValueError: out of range, or repeated.
    """
    ndim = aval.ndim
    if axis is None:
        return ALL_AXES[ndim]
    given = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    out = []
    for a in given:
        index = operator.index(a)
        if not -ndim <= index < ndim:
            raise ValueError(f"{name}: axis {index} is out of bounds for an array of shape {aval.shape}")
        out.append(index % ndim)
    if len(set(out)) != len(out):
        raise ValueError(f"{name}: duplicate value in 'axis': {axis}")
    return tuple(sorted(out))


def with_kept_axes(result: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """The result of reducing an array of `shape` with the reduced axes put back as dimensions of size 1."""
    return reshape(result, tuple(1 if i in axes else d for i, d in enumerate(shape)))


def masked(name: str, a: Any, where: Any, neutral: Any) -> Any:
    """`a` where `where` holds and `neutral` elsewhere, broadcast against each other."""
    mask = as_array(where, name=name)
    if mask.aval.dtype != np.bool_:
        raise DTypeError(
            f"{name}: where must be a boolean array; got dtype {dtypes.dtype_name(mask.aval.dtype)}"
        )
    return select_n_p.bind(mask, scalar(neutral, a.aval.dtype), a)


def _with_initial(name: str, combine: Primitive, result: Any, initial: Any) -> Any:
    check_arraylike(name, initial)
    value = as_array(initial, name=name)
    if value.aval.ndim:
        raise ShapeError(f"{name}: initial must be a scalar; got shape {value.aval.shape}")
    return combine.bind(result, convert_element_type(value, result.aval.dtype))


# Un-jitted code most often reduces the whole of a small array: that goes straight to NumPy, whose results are
# the kernels' own for the dtypes in question.

_current = CURRENT.get


def whole(kernel: Callable[..., Any], a: ConcreteArray) -> ConcreteArray:
    """What `kernel`, a reduction of NumPy, makes of all elements."""
    dtype = a.aval.dtype
    return ConcreteArray(quietly(kernel, a._data, axis=None, out=...), shaped_array((), dtype))


# sum and product ----------------------------------------------------------------------------------


def accumulator_dtype(dtype: np.dtype[Any], promote_integers: bool) -> np.dtype[Any]:
    """Sums and products of small integers need wider ones."""
    letter = kind(dtype)
    if letter == "b" or (letter == "i" and promote_integers):
        default = dtypes.default_int_dtype()
    elif letter == "u" and promote_integers:
        default = np.dtype(f"u{dtypes.default_int_dtype().itemsize}")
    else:
        return dtype
    return default if default.itemsize > dtype.itemsize else dtype


def _accumulate(
    name: str,
    primitive: Primitive,
    combine: Primitive,
    neutral: int,
    a: Any,
    axis: Axis,
    dtype: Any,
    out: Any,
    keepdims: bool,
    initial: Any,
    where: Any,
    promote_integers: bool,
) -> Any:
    x = arraylike(name, a, out)
    if dtype is None:
        x = strengthen(x)
        target = accumulator_dtype(x.aval.dtype, promote_integers)
    else:
        target = dtypes.check_user_dtype(dtype, name)
    if x.aval.dtype != target or x.aval.weak_type:
        x = convert_element_type(x, target)
    if where is not None:
        x = masked(name, x, where, neutral)
    axes = reduction_axes(name, axis, x.aval)
    result = primitive.bind(x, axes=axes)
    if initial is not None:
        result = _with_initial(name, combine, result, initial)
    return with_kept_axes(result, x.aval.shape, axes) if keepdims else result


def sum(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
    promote_integers: bool = True,
) -> Array:
    """The sum of the elements over `axis` (default: all).

    Args:
        a: an array or a number.
        axis: an axis, a tuple of axes, or None.
        dtype: the dtype in which to add, and of the result. By default small integers and bools are added as
            the default integer (with `promote_integers`), and everything else in its own dtype.
        keepdims: whether reduced axes stay as dimensions of size 1.
        initial: a number to add.
        where: a mask of the elements to add.
    """
    if (
        isinstance(a, Array)
        and dtype is None
        and where is None
        and initial is None
        and out is None
        and a.aval.dtype.char in "fdFD"
        and not a.aval.weak_type
    ):
        if axis is None and not keepdims and type(a) is ConcreteArray and _current().eager:
            return whole(np.add.reduce, a)
        if axis is None and not keepdims:
            return reduce_sum_p.bind(a, axes=ALL_AXES[a.aval.ndim])
        axes = reduction_axes("sum", axis, a.aval)
        result = reduce_sum_p.bind(a, axes=axes)
        return with_kept_axes(result, a.aval.shape, axes) if keepdims else result
    return _accumulate(
        "sum", reduce_sum_p, add_p, 0, a, axis, dtype, out, keepdims, initial, where, promote_integers
    )


def prod(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
    promote_integers: bool = True,
) -> Array:
    """The product of the elements over `axis` (default: all); the arguments are those of `sum`."""
    return _accumulate(
        "prod", reduce_prod_p, mul_p, 1, a, axis, dtype, out, keepdims, initial, where, promote_integers
    )


# extrema ------------------------------------------------------------------------------------------


def _extremum(
    name: str,
    primitive: Primitive,
    combine: Primitive,
    a: Any,
    axis: Axis,
    out: Any,
    keepdims: bool,
    initial: Any,
    where: Any,
) -> Any:
    if (
        type(a) is ConcreteArray
        and axis is None
        and not keepdims
        and initial is None
        and where is None
        and out is None
        and a.aval.dtype.char in "fdil"
        and not a.aval.weak_type
        and a.aval.size
        and _current().eager
    ):
        return whole(np.maximum.reduce if combine is max_p else np.minimum.reduce, a)
    x = strengthen(arraylike(name, a, out))
    if where is not None:
        if initial is None:
            raise ValueError(
                f"{name} of no elements is undefined: with the mask 'where', give 'initial', its value then"
            )
        worst = extreme_value(x.aval.dtype, greatest=combine is min_p)
        x = masked(name, x, where, worst)
    axes = reduction_axes(name, axis, x.aval)
    shape = x.aval.shape
    if initial is None and x.aval.size == 0 and 0 in [shape[i] for i in axes]:
        raise ValueError(
            f"{name} of no elements (shape {shape}, axes {axes}) is undefined; give 'initial', its value then"
        )
    result = primitive.bind(x, axes=axes)
    if initial is not None:
        result = _with_initial(name, combine, result, initial)
    return with_kept_axes(result, shape, axes) if keepdims else result


def extreme_value(dtype: np.dtype[Any], *, greatest: bool) -> Any:
    """The greatest or the smallest value of a dtype (for inexact ones: an infinity)."""
    letter = kind(dtype)
    if letter in "fc":
        return math.inf if greatest else -math.inf
    if letter == "b":
        return greatest
    info = dtypes.iinfo(dtype)
    return int(info.max if greatest else info.min)


def max(
    a: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Array:
    """The greatest element over `axis` (default: of all); NaN if there is one.

    Raises:
        ValueError: there are no elements, or `where` is given, and no `initial`.
    """
    return _extremum("max", reduce_max_p, max_p, a, axis, out, keepdims, initial, where)


def min(
    a: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Array:
    """The smallest element over `axis` (default: of all); NaN if there is one.

    Raises:
        ValueError: there are no elements, or `where` is given, and no `initial`.
    """
    return _extremum("min", reduce_min_p, min_p, a, axis, out, keepdims, initial, where)


amax = max
amin = min


def ptp(a: Any, axis: Axis = None, out: None = None, keepdims: bool = False) -> Array:
    """The difference between the greatest and the smallest element over `axis`."""
    x = arraylike("ptp", a, out)
    if kind(x.aval.dtype) == "b":
        raise DTypeError("ptp: bools have no differences; convert them to integers")
    return sub_p.bind(max(x, axis, keepdims=keepdims), min(x, axis, keepdims=keepdims))


# truth --------------------------------------------------------------------------------------------


def _truth(
    name: str, primitive: Primitive, neutral: bool, a: Any, axis: Axis, out: Any, keepdims: bool, where: Any
) -> Any:
    x: Any = arraylike(name, a, out)
    if x.aval.dtype != np.bool_:
        x = ne_p.bind(x, scalar(0, x.aval.dtype))
    if where is not None:
        x = masked(name, x, where, neutral)
    axes = reduction_axes(name, axis, x.aval)
    result = strengthen(primitive.bind(x, axes=axes))
    return with_kept_axes(result, x.aval.shape, axes) if keepdims else result


def any(a: Any, axis: Axis = None, out: None = None, keepdims: bool = False, *, where: Any = None) -> Array:
    """Whether some element over `axis` is not zero; False of none."""
    return _truth("any", reduce_or_p, False, a, axis, out, keepdims, where)


def all(a: Any, axis: Axis = None, out: None = None, keepdims: bool = False, *, where: Any = None) -> Array:
    """Whether no element over `axis` is zero; True of none."""
    return _truth("all", reduce_and_p, True, a, axis, out, keepdims, where)


def count_nonzero(a: Any, axis: Axis = None, keepdims: bool = False) -> Array:
    """How many elements over `axis` are not zero, as the default integer."""
    x: Any = arraylike("count_nonzero", a)
    return sum(
        ne_p.bind(x, scalar(0, x.aval.dtype)), axis, dtype=dtypes.default_int_dtype(), keepdims=keepdims
    )


# positions ----------------------------------------------------------------------------------------


def _position(name: str, primitive: Primitive, a: Any, axis: Any, out: Any, keepdims: bool | None) -> Any:
    x = arraylike(name, a, out)
    shape = x.aval.shape
    if axis is None:
        x = reshape(x, (x.aval.size,))
        index, axes = 0, ALL_AXES[len(shape)]
    else:
        axes = reduction_axes(name, operator.index(axis), x.aval)
        index = axes[0]
    if x.aval.shape[index] == 0:
        raise ValueError(f"{name} of no elements (shape {shape}, axis {axis}) is undefined")
    if kind(x.aval.dtype) == "c":
        raise DTypeError(f"{name} does not accept complex arrays ({x.aval.str_short()})")
    result = primitive.bind(x, axis=index, index_dtype=dtypes.default_int_dtype())
    return with_kept_axes(result, shape, axes) if keepdims else strengthen(result)


def argmax(a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Array:
    """The index of the first greatest element along `axis` (default: of the flattened array), or of a NaN."""
    return _position("argmax", argmax_p, a, axis, out, keepdims)


def argmin(a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Array:
    """The index of the first smallest element along `axis` (default: of the flattened array), or of a NaN."""
    return _position("argmin", argmin_p, a, axis, out, keepdims)


METHODS: dict[str, Callable[..., Any]] = {
    "all": all,
    "any": any,
    "argmax": argmax,
    "argmin": argmin,
    "max": max,
    "min": min,
    "prod": prod,
    "ptp": ptp,
    "sum": sum,
}
"""Functions that are methods of arrays, under the same names."""
