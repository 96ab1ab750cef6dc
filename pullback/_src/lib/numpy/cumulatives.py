"""Cumulative sums and products, differences, gradients on a grid, and the trapezoidal rule."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...base.errors import DTypeError
from ...core import dtypes
from ...core.array import Array, as_array
from ...core.kinds import kind
from ...core.primitive import Primitive
from ...ops.compare import ne_p
from ...ops.convert import convert_element_type
from ...ops.cumulative import cumprod_p, cumsum_p
from ...ops.joining import concatenate
from ...ops.joining import slice as static_slice
from ...ops.structural import broadcast_to, canonical_axis, full, moveaxis, reshape
from . import reductions
from .promotion import arraylike, check_arraylike, promote, promote_inexact, strengthen

__all__ = [
    "cumprod",
    "cumsum",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "ediff1d",
    "gradient",
    "trapezoid",
]


# cumulative sums and products ---------------------------------------------------------------------


def _cumulate(name: str, primitive: Primitive, x: Any, axis: int | None, dtype: Any) -> Any:
    if axis is None or x.aval.ndim == 0:
        x = reshape(x, (x.aval.size,))
        axis = 0
    axis = canonical_axis(axis, x.aval.ndim)
    if dtype is not None:
        target = dtypes.check_user_dtype(dtype, name)
    else:
        target = dtypes.default_int_dtype() if kind(x.aval.dtype) == "b" else x.aval.dtype
    if kind(target) == "b":
        # Addition and multiplication of truth values count in integers.
        counts = _cumulate(name, primitive, convert_element_type(x, np.dtype(np.int32)), axis, np.int32)
        return ne_p.bind(counts, full((), 0, np.dtype(np.int32)))
    return primitive.bind(convert_element_type(strengthen(x), target), axis=axis, reverse=False)


def cumsum(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Array:
    """The sums of the elements up to each place along `axis`.

    Args:
        a: an array or a number.
        axis: the axis; None means the flattened array.
        dtype: the dtype in which to add, and of the result (default: that of `a`; for bools the default int).
    """
    return _cumulate("cumsum", cumsum_p, arraylike("cumsum", a, out), axis, dtype)


def cumprod(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Array:
    """The products of the elements up to each place along `axis`; the arguments are those of `cumsum`."""
    return _cumulate("cumprod", cumprod_p, arraylike("cumprod", a, out), axis, dtype)


def _cumulative(
    name: str, primitive: Primitive, neutral: int, x: Any, axis: int | None, dtype: Any, include_initial: bool
) -> Any:
    x = arraylike(name, x)
    if x.aval.ndim == 0:
        raise ValueError(f"{name} needs an array with at least one dimension; got a scalar")
    if axis is None:
        if x.aval.ndim > 1:
            raise ValueError(f"{name} of an array of shape {x.aval.shape} needs an axis")
        axis = 0
    axis = canonical_axis(axis, x.aval.ndim)
    if dtype is None and primitive is cumsum_p:
        dtype = reductions.accumulator_dtype(x.aval.dtype, True)
    out = _cumulate(name, primitive, x, axis, dtype)
    if not include_initial:
        return out
    shape = (*out.aval.shape[:axis], 1, *out.aval.shape[axis + 1 :])
    return concatenate([full(shape, neutral, out.aval.dtype), out], axis)


def cumulative_sum(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Array:
    """The sums of the elements up to each place along `axis`, by the array API standard.

    Args:
        x: an array with at least one dimension.
        axis: the axis, which may be left out for a vector.
        dtype: the dtype in which to add, and of the result (default: as for `sum`; products stay in
            the dtype of `x`).
        include_initial: whether the result starts with zero (and is longer by one).
    """
    return _cumulative("cumulative_sum", cumsum_p, 0, x, axis, dtype, include_initial)


def cumulative_prod(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Array:
    """The products of the elements up to each place; the arguments are those of `cumulative_sum`."""
    return _cumulative("cumulative_prod", cumprod_p, 1, x, axis, dtype, include_initial)


# differences --------------------------------------------------------------------------------------


def _part(x: Any, axis: int, start: int | None, stop: int | None, step: int = 1) -> Any:
    """x[start:stop:step] along `axis`."""
    starts = [0] * x.aval.ndim
    stops = list(x.aval.shape)
    steps = [1] * x.aval.ndim
    starts[axis], stops[axis], steps[axis] = slice(start, stop, step).indices(x.aval.shape[axis])
    stops[axis] = max(stops[axis], starts[axis])
    return static_slice(x, starts, stops, steps)


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Array:
    """The n-th differences of neighbours along `axis` (for bools: whether they differ).

    Args:
        a: an array.
        n: how often to take differences.
        axis: the axis.
        prepend, append: arrays or numbers to put before and behind `a` along the axis first.
    """
    x = arraylike("diff", a)
    n = operator.index(n)
    if n < 0:
        raise ValueError(f"diff: n must not be negative; got {n}")
    if x.aval.ndim == 0:
        raise ValueError("diff needs an array with at least one dimension; got a scalar")
    axis = canonical_axis(axis, x.aval.ndim)
    if n == 0:
        return x
    parts = []
    for extra in (prepend, append):
        if extra is not None:
            check_arraylike("diff", extra)
            extra = as_array(extra)
            if extra.aval.ndim == 0:
                extra = broadcast_to(extra, (*x.aval.shape[:axis], 1, *x.aval.shape[axis + 1 :]))
        parts.append(extra)
    pieces = [p for p in (parts[0], x, parts[1]) if p is not None]
    if len(pieces) > 1:
        x = concatenate(promote("diff", *pieces), axis)
    for _ in range(n):
        high, low = _part(x, axis, 1, None), _part(x, axis, None, -1)
        x = ne_p.bind(high, low) if kind(x.aval.dtype) == "b" else high - low
    return x


def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Array:
    """The differences of neighbours in the flattened array, between `to_begin` and `to_end` where given."""
    x = arraylike("ediff1d", ary)
    if kind(x.aval.dtype) == "b":
        raise DTypeError("ediff1d: bools have no differences; convert them to integers")
    result: Any = diff(reshape(x, (x.aval.size,)))
    before = [] if to_begin is None else [_flat("ediff1d", to_begin, result.aval.dtype)]
    after = [] if to_end is None else [_flat("ediff1d", to_end, result.aval.dtype)]
    return concatenate([*before, result, *after], 0)


def _flat(name: str, x: Any, dtype: np.dtype[Any]) -> Any:
    array = arraylike(name, x)
    return convert_element_type(reshape(array, (array.aval.size,)), dtype)


def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int | None = None) -> Any:
    """Derivatives along axes of a function given on a grid: central differences, one-sided at the ends.

    Args:
        f: the values, at least two along each axis.
        varargs: the spacing: nothing (one), a number for all axes, or for each axis a number or the vector
            of its coordinates.
        axis: an axis or a sequence of axes (default: all).
        edge_order: only 1 is supported.

    Returns:
        An array like `f` for one axis, else a list with one for each axis.
    """
    if edge_order is not None and edge_order != 1:
        raise NotImplementedError(
            f"gradient supports edge_order=1 only; got {edge_order}. Set the first and last differences "
            "yourself, with .at[0].set(...)"
        )
    check_arraylike("gradient", f, *varargs)
    (x, *spacing) = promote_inexact("gradient", f, *varargs)
    ndim = x.aval.ndim
    if axis is None:
        axes: tuple[int, ...] = tuple(range(ndim))
    else:
        axes = tuple(canonical_axis(a, ndim) for a in (axis if isinstance(axis, (tuple, list)) else (axis,)))
    if any(x.aval.shape[a] < 2 for a in axes):
        raise ValueError(
            f"gradient needs at least two elements along each axis; got shape {x.aval.shape}, axes {axes}"
        )
    if not spacing:
        steps: list[Any] = [1.0] * len(axes)
    elif len(spacing) == 1 and spacing[0].aval.ndim == 0:
        steps = spacing * len(axes)
    elif len(spacing) == len(axes):
        steps = spacing
    else:
        raise TypeError(f"gradient: {len(axes)} axes need no spacing, one, or as many; got {len(spacing)}")
    out = [_gradient_along(x, a, h) for a, h in zip(axes, steps, strict=True)]
    return out[0] if len(out) == 1 else out


def _gradient_along(x: Any, axis: int, h: Any) -> Any:
    low, middle, high = _part(x, axis, None, -2), _part(x, axis, 1, -1), _part(x, axis, 2, None)
    first = _part(x, axis, 1, 2) - _part(x, axis, 0, 1)
    last = _part(x, axis, -1, None) - _part(x, axis, -2, -1)
    if isinstance(h, float) or h.aval.ndim == 0:
        return concatenate([first / h, (high - low) / (h * 2), last / h], axis)
    if h.aval.shape != (x.aval.shape[axis],):
        raise ValueError(
            f"gradient: coordinates along axis {axis} must be a vector of {x.aval.shape[axis]} elements; got "
            f"shape {h.aval.shape}"
        )
    widths = diff(h)
    along = partial(_as_axis, axis=axis, ndim=x.aval.ndim)
    left, right = along(_part(widths, 0, None, -1)), along(_part(widths, 0, 1, None))
    # The derivative of the parabola through three neighbours.
    inner = (
        low * (-right / (left * (left + right)))
        + middle * ((right - left) / (left * right))
        + high * (left / (right * (left + right)))
    )
    return concatenate(
        [first / along(_part(widths, 0, None, 1)), inner, last / along(_part(widths, 0, -1, None))], axis
    )


def _as_axis(v: Any, axis: int, ndim: int) -> Any:
    """A vector laid along one axis of `ndim`."""
    return reshape(v, tuple(v.aval.size if i == axis else 1 for i in range(ndim)))


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Array:
    """The integral along `axis` by the trapezoidal rule.

    Args:
        y: the values.
        x: their places: an array like `y` or a vector along the axis; else they are `dx` apart.
        dx: the distance of neighbours.
        axis: the axis.
    """
    if x is None:
        check_arraylike("trapezoid", y)
        values, step = promote_inexact("trapezoid", y, dx)
        values = moveaxis(values, canonical_axis(axis, values.aval.ndim), values.aval.ndim - 1)
    else:
        check_arraylike("trapezoid", y, x)
        values, places = promote_inexact("trapezoid", y, x)
        index = canonical_axis(axis, values.aval.ndim)
        values = moveaxis(values, index, values.aval.ndim - 1)
        if places.aval.ndim != 1:
            places = moveaxis(places, canonical_axis(axis, places.aval.ndim), places.aval.ndim - 1)
        step = diff(places)
    last = values.aval.ndim - 1
    heights = _part(values, last, 1, None) + _part(values, last, None, -1)
    areas: Any = reductions.sum(step * heights, -1)
    return areas * 0.5


METHODS: dict[str, Callable[..., Any]] = {"cumprod": cumprod, "cumsum": cumsum}
"""Functions that are methods of arrays, under the same names."""
