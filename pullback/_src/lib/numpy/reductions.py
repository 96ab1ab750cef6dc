"""Sums, products, extrema, means and variances, truth of all or any, over axes of an array.

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
from ...ops.arithmetic import add_p, div_p, max_p, min_p, mul_p, square_p, sub_p
from ...ops.compare import ne_p, select_n_p
from ...ops.complex import conj_p, real_p
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
from ...ops.structural import broadcast_to, reduce_sum_p, reshape
from ...ops.transcendental import sqrt_p
from .promotion import check_arraylike, promote_inexact, strengthen

__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "average",
    "count_nonzero",
    "max",
    "mean",
    "min",
    "prod",
    "ptp",
    "std",
    "sum",
    "var",
]

Axis = Any

_ALL_AXES = [tuple(range(n)) for n in range(65)]


def _input(name: str, a: Any, out: Any = None) -> Array:
    if out is not None:
        raise NotImplementedError(f"{name} does not support the argument 'out': arrays are immutable")
    if isinstance(a, Array):
        return a
    check_arraylike(name, a)
    return as_array(a, name=name)


def reduction_axes(name: str, axis: Axis, aval: ShapedArray) -> tuple[int, ...]:
    """The axes that a user's `axis` (None, an int or a sequence of ints) means, in increasing order.

    Raises:
        ValueError: out of range, or repeated.
    """
    ndim = aval.ndim
    if axis is None:
        return _ALL_AXES[ndim]
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


def _whole(kernel: Callable[..., Any], a: ConcreteArray) -> ConcreteArray:
    dtype = a.aval.dtype
    return ConcreteArray(quietly(kernel, a._data, axis=None, out=...), shaped_array((), dtype))


def _mean_of_all(data: np.ndarray[Any, Any], **options: Any) -> np.ndarray[Any, Any]:
    return np.divide(np.add.reduce(data, **options), data.size, out=...)


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
    x = _input(name, a, out)
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
            return _whole(np.add.reduce, a)
        if axis is None and not keepdims:
            return reduce_sum_p.bind(a, axes=_ALL_AXES[a.aval.ndim])
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
        return _whole(np.maximum.reduce if combine is max_p else np.minimum.reduce, a)
    x = strengthen(_input(name, a, out))
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
    x = _input("ptp", a, out)
    if kind(x.aval.dtype) == "b":
        raise DTypeError("ptp: bools have no differences; convert them to integers")
    return sub_p.bind(max(x, axis, keepdims=keepdims), min(x, axis, keepdims=keepdims))


# mean, variance -----------------------------------------------------------------------------------


def _computation_dtypes(name: str, x: Array, dtype: Any) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """The dtype in which to compute a mean, and that of the result."""
    if dtype is None:
        given = x.aval.dtype
        result = given if kind(given) in "fc" else dtypes.to_inexact_dtype(given)
    else:
        result = dtypes.check_user_dtype(dtype, name)
    inside = result if kind(result) in "fc" else dtypes.to_inexact_dtype(result)
    return (np.dtype(np.float32) if inside.itemsize == 2 else inside), result


def _count(
    name: str, shape: tuple[int, ...], axes: tuple[int, ...], where: Any, dtype: np.dtype[Any], keepdims: bool
) -> Any:
    """How many elements take part: a scalar, or with a mask an array."""
    if where is None:
        return scalar(math.prod(shape[i] for i in axes), dtype)
    mask = broadcast_to(as_array(where, name=name), shape)
    return sum(mask, axes, dtype=dtype, keepdims=keepdims)


def mean(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: Any = None,
) -> Array:
    """The arithmetic mean over `axis` (default: of all elements); NaN of none.

    Args:
        a: an array or a number.
        axis, keepdims, where: as for `sum`.
        dtype: the dtype in which to compute, and of the result (default: that of `a`; for ints the default
            float). Half precision is computed in float32.
    """
    if (
        dtype is None
        and where is None
        and out is None
        and isinstance(a, Array)
        and a.aval.dtype.char in "fdFD"
        and not a.aval.weak_type
    ):
        aval = a.aval
        if axis is None and not keepdims and type(a) is ConcreteArray and _current().eager:
            return _whole(_mean_of_all, a)
        axes = _ALL_AXES[aval.ndim] if axis is None else reduction_axes("mean", axis, aval)
        size = aval.size if axis is None else math.prod([aval.shape[i] for i in axes])
        result = div_p.bind(reduce_sum_p.bind(a, axes=axes), scalar(size, aval.dtype))
        return with_kept_axes(result, aval.shape, axes) if keepdims else result
    x = _input("mean", a, out)
    inside, result_dtype = _computation_dtypes("mean", x, dtype)
    if kind(result_dtype) in "biu":  # the elements are rounded, not only their mean
        x = convert_element_type(x, result_dtype)
    total = sum(x, axis, dtype=inside, keepdims=keepdims, where=where)
    shape = x.aval.shape if where is None else np.broadcast_shapes(x.aval.shape, np.shape(where))
    axes = reduction_axes("mean", axis, ShapedArray(shape, x.aval.dtype))
    quotient = div_p.bind(total, _count("mean", shape, axes, where, inside, keepdims))
    return convert_element_type(quotient, result_dtype)


def _variance(
    name: str,
    a: Any,
    axis: Axis,
    dtype: Any,
    out: Any,
    ddof: Any,
    keepdims: bool,
    where: Any,
    given_mean: Any,
    correction: Any,
    root: bool,
) -> Array:
    x = _input(name, a, out)
    if correction is not None:
        if ddof != 0:
            raise ValueError(f"{name}: 'ddof' and 'correction' mean the same; give only one of them")
        ddof = correction
    inside, result_dtype = _computation_dtypes(name, x, dtype)
    if kind(result_dtype) not in "fc":
        raise DTypeError(
            f"{name}: dtype must be floating-point or complex; got {dtypes.dtype_name(result_dtype)}"
        )
    if dtype is None:
        result_dtype = dtypes.to_real_dtype(result_dtype)
    elif kind(x.aval.dtype) == "c" and kind(inside) != "c":
        inside = dtypes.to_complex_dtype(inside)
    x = convert_element_type(x, inside)
    if given_mean is None:
        center: Any = mean(x, axis, keepdims=True, where=where)
    else:
        center = convert_element_type(as_array(given_mean, name=name), inside)
    centered: Any = sub_p.bind(x, center)
    if kind(inside) == "c":
        squares = real_p.bind(mul_p.bind(centered, conj_p.bind(centered)))
    else:
        squares = square_p.bind(centered)
    real_dtype = squares.aval.dtype
    shape = squares.aval.shape if where is None else np.broadcast_shapes(squares.aval.shape, np.shape(where))
    axes = reduction_axes(name, axis, ShapedArray(shape, real_dtype))
    count = _count(name, shape, axes, where, real_dtype, keepdims)
    freedom = sub_p.bind(count, scalar(ddof, real_dtype))
    # With no degree of freedom left the variance is undefined.
    freedom = max_p.bind(freedom, scalar(0, real_dtype))
    total = sum(squares, axis, keepdims=keepdims, where=where)
    if ddof:
        total = select_n_p.bind(
            ne_p.bind(freedom, scalar(0, real_dtype)), scalar(math.nan, real_dtype), total
        )
    result = div_p.bind(total, freedom)
    if root:
        result = sqrt_p.bind(result)
    return convert_element_type(result, result_dtype)


def var(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: Any = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: Any = None,
) -> Array:
    """The variance over `axis`: the mean of |x - mean|^2, with count - ddof in place of the count.

    Args:
        a: an array or a number; complex numbers have a real variance.
        axis, keepdims, where: as for `sum`.
        dtype: as for `mean`.
        ddof, correction: two names for what to subtract from the count; NaN if nothing remains.
        mean: the mean, if it is known (with the reduced axes kept).
    """
    return _variance("var", a, axis, dtype, out, ddof, keepdims, where, mean, correction, root=False)


def std(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: Any = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: Any = None,
) -> Array:
    """The standard deviation over `axis`: the square root of `var`, with the same arguments."""
    return _variance("std", a, axis, dtype, out, ddof, keepdims, where, mean, correction, root=True)


def average(
    a: Any, axis: Axis = None, weights: Any = None, returned: bool = False, keepdims: bool = False
) -> Any:
    """The weighted mean over `axis`.

    Args:
        a: an array or a number.
        axis: an axis, a tuple of axes, or None for all.
        weights: an array of the shape of `a`, or of the size of the axis (default: all one).
        returned: whether to return the sum of the weights too.

    Returns:
        The average, or a tuple of it and the sum of the weights.
    """
    x = _input("average", a)
    if weights is None:
        (x,) = promote_inexact("average", x)
        result = mean(x, axis, keepdims=keepdims)
        axes = reduction_axes("average", axis, x.aval)
        total: Any = scalar(math.prod(x.aval.shape[i] for i in axes), result.aval.dtype)
    else:
        check_arraylike("average", weights)
        x, w = promote_inexact("average", x, weights)
        axes = reduction_axes("average", axis, x.aval)
        if w.aval.shape != x.aval.shape:
            sizes = tuple(x.aval.shape[i] for i in axes)
            if axis is None or w.aval.shape != sizes:
                raise ShapeError(
                    f"average: weights of shape {w.aval.shape} fit neither the array's shape {x.aval.shape} "
                    f"nor the sizes of the axes ({'none given' if axis is None else sizes})"
                )
            w = reshape(w, tuple(d if i in axes else 1 for i, d in enumerate(x.aval.shape)))
        total = sum(broadcast_to(w, x.aval.shape), axes, keepdims=keepdims)
        result = div_p.bind(sum(mul_p.bind(x, w), axes, keepdims=keepdims), total)
    if not returned:
        return result
    if total.aval.shape != result.aval.shape or total.aval.weak_type:
        total = broadcast_to(strengthen(total), result.aval.shape)
    return result, total


# truth --------------------------------------------------------------------------------------------


def _truth(
    name: str, primitive: Primitive, neutral: bool, a: Any, axis: Axis, out: Any, keepdims: bool, where: Any
) -> Any:
    x: Any = _input(name, a, out)
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
    x: Any = _input("count_nonzero", a)
    return sum(
        ne_p.bind(x, scalar(0, x.aval.dtype)), axis, dtype=dtypes.default_int_dtype(), keepdims=keepdims
    )


# positions ----------------------------------------------------------------------------------------


def _position(name: str, primitive: Primitive, a: Any, axis: Any, out: Any, keepdims: bool | None) -> Any:
    x = _input(name, a, out)
    shape = x.aval.shape
    if axis is None:
        x = reshape(x, (x.aval.size,))
        index, axes = 0, _ALL_AXES[len(shape)]
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
    "mean": mean,
    "min": min,
    "prod": prod,
    "ptp": ptp,
    "std": std,
    "sum": sum,
    "var": var,
}
"""Functions that are methods of arrays, under the same names."""
