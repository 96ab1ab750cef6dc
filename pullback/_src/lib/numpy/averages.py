"""Means, weighted means, variances and standard deviations over axes of an array.

Half precision is computed in float32; results are strongly typed, as in JAX.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...base.errors import DTypeError, ShapeError
from ...core import dtypes
from ...core.array import Array, ConcreteArray, as_array, scalar
from ...core.aval import ShapedArray
from ...core.kinds import kind
from ...core.trace import CURRENT
from ...ops.arithmetic import div_p, mul_p, square_p, sub_p
from ...ops.compare import le_p, select_n_p
from ...ops.complex import conj_p, real_p
from ...ops.convert import convert_element_type
from ...ops.structural import broadcast_to, reduce_sum_p, reshape
from ...ops.transcendental import sqrt_p
from .promotion import arraylike, check_arraylike, promote_inexact, strengthen
from .reductions import ALL_AXES, reduction_axes, sum, whole, with_kept_axes

__all__ = ["average", "mean", "std", "var"]

Axis = Any

_current = CURRENT.get


def _mean_of_all(data: np.ndarray[Any, Any], **options: Any) -> np.ndarray[Any, Any]:
    return np.divide(np.add.reduce(data, **options), data.size, out=...)


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
            return whole(_mean_of_all, a)
        axes = ALL_AXES[aval.ndim] if axis is None else reduction_axes("mean", axis, aval)
        size = aval.size if axis is None else math.prod([aval.shape[i] for i in axes])
        result = div_p.bind(reduce_sum_p.bind(a, axes=axes), scalar(size, aval.dtype))
        return with_kept_axes(result, aval.shape, axes) if keepdims else result
    return masked_mean("mean", arraylike("mean", a, out), axis, dtype, keepdims, where)


def masked_mean(name: str, x: Any, axis: Axis, dtype: Any, keepdims: bool, where: Any) -> Any:
    """`mean` of an array without its short cuts, under the name of the function that a user called."""
    inside, result_dtype = _computation_dtypes(name, x, dtype)
    if kind(result_dtype) in "biu":  # the elements are rounded, not only their mean
        x = convert_element_type(x, result_dtype)
    total = sum(x, axis, dtype=inside, keepdims=keepdims, where=where)
    shape = x.aval.shape if where is None else np.broadcast_shapes(x.aval.shape, np.shape(where))
    axes = reduction_axes(name, axis, ShapedArray(shape, x.aval.dtype))
    quotient = div_p.bind(total, _count(name, shape, axes, where, inside, keepdims))
    return convert_element_type(quotient, result_dtype)


def variance(
    name: str,
    x: Any,
    axis: Axis,
    dtype: Any,
    ddof: Any,
    keepdims: bool,
    where: Any,
    given_mean: Any,
    correction: Any = None,
) -> Any:
    """`var` of an array, under the name of the function that a user called."""
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
        center: Any = masked_mean(name, x, axis, None, True, where)
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
    total = sum(squares, axis, keepdims=keepdims, where=where)
    if ddof or where is not None:
        # With no degree of freedom left the variance is undefined.
        undefined = le_p.bind(freedom, scalar(0, real_dtype))
        total = select_n_p.bind(undefined, total, scalar(math.nan, real_dtype))
        freedom = select_n_p.bind(undefined, freedom, scalar(1, real_dtype))
    return convert_element_type(div_p.bind(total, freedom), result_dtype)


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
    return variance("var", arraylike("var", a, out), axis, dtype, ddof, keepdims, where, mean, correction)


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
    x = arraylike("std", a, out)
    return sqrt_p.bind(variance("std", x, axis, dtype, ddof, keepdims, where, mean, correction))


def spread_weights(name: str, w: Any, shape: tuple[int, ...], axis: Axis, axes: tuple[int, ...]) -> Any:
    """Weights of all elements, or of the places along `axes`, in a shape that broadcasts to `shape`.

    Raises:
        ShapeError: the weights fit neither.
    """
    if w.aval.shape == shape:
        return w
    sizes = tuple(shape[i] for i in axes)
    if axis is None or w.aval.shape != sizes:
        raise ShapeError(
            f"{name}: weights of shape {w.aval.shape} fit neither the array's shape {shape} "
            f"nor the sizes of the axes ({'none given' if axis is None else sizes})"
        )
    return reshape(w, tuple(d if i in axes else 1 for i, d in enumerate(shape)))


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
    x = arraylike("average", a)
    if weights is None:
        (x,) = promote_inexact("average", x)
        result = mean(x, axis, keepdims=keepdims)
        axes = reduction_axes("average", axis, x.aval)
        total: Any = scalar(math.prod(x.aval.shape[i] for i in axes), result.aval.dtype)
    else:
        check_arraylike("average", weights)
        x, w = promote_inexact("average", x, weights)
        axes = reduction_axes("average", axis, x.aval)
        w = spread_weights("average", w, x.aval.shape, axis, axes)
        total = sum(broadcast_to(w, x.aval.shape), axes, keepdims=keepdims)
        result = div_p.bind(sum(mul_p.bind(x, w), axes, keepdims=keepdims), total)
    if not returned:
        return result
    if total.aval.shape != result.aval.shape or total.aval.weak_type:
        total = broadcast_to(strengthen(total), result.aval.shape)
    return result, total


METHODS: dict[str, Callable[..., Any]] = {"mean": mean, "std": std, "var": var}
"""Functions that are methods of arrays, under the same names."""
