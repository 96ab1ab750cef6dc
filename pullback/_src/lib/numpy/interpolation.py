"""Piecewise linear interpolation, and phases without jumps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...base.errors import ShapeError
from ...core.array import Array, scalar
from ...core.kinds import kind
from ...ops import arithmetic as ar
from ...ops import compare as cmp
from ...ops.complex import real_p
from ...ops.convert import convert_element_type
from ...ops.cumulative import cumsum_p
from ...ops.joining import concatenate
from ...ops.structural import canonical_axis, full, moveaxis
from . import operators
from .promotion import asarray, check_arraylike, promote, promote_inexact, strengthen
from .sorting import argsort, searchsorted

__all__ = ["interp", "unwrap"]


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Array:
    """The piecewise linear function through the points (xp, fp), elementwise at x.

    Args:
        x: real numbers.
        xp: a vector of increasing real numbers (of any order with `period`).
        fp: a vector as long as `xp`, real or complex.
        left: the value below xp[0] (default: fp[0]), or "extrapolate" to continue the first line.
        right: the value above xp[-1] (default: fp[-1]), or "extrapolate".
        period: the period of the function; `left` and `right` then have no meaning.

    Raises:
        ValueError: complex abscissas, vectors that do not fit together, an unknown text.
    """
    check_arraylike("interp", x, xp, fp)
    for name, value in (("left", left), ("right", right)):
        if isinstance(value, str) and value != "extrapolate":
            raise ValueError(f"interp: the only text that {name} may be is 'extrapolate'; got {value!r}")
    at, points, values = (strengthen(v) for v in promote_inexact("interp", x, xp, fp))
    if kind(asarray(x).aval.dtype) == "c" or kind(asarray(xp).aval.dtype) == "c":
        raise ValueError("interp: x and xp must be real, since complex numbers have no order")
    if points.aval.ndim != 1 or values.aval.shape != points.aval.shape or not points.aval.size:
        raise ShapeError(
            "interp: xp and fp must be vectors of one size that is not 0; got shapes "
            f"{points.aval.shape} and {values.aval.shape}"
        )
    if kind(values.aval.dtype) == "c":
        at, points = real_p.bind(at), real_p.bind(points)
    if period is not None:
        at, points, values = _periodic(at, points, values, period)
        left = right = None
    count = points.aval.shape[0]
    upper = ar.clamp_p.bind(
        scalar(1, np.dtype(np.int32)),
        convert_element_type(searchsorted(points, at, side="right"), np.int32),
        scalar(max(count - 1, 0), np.dtype(np.int32)),
    )
    lower = ar.max_p.bind(ar.sub_p.bind(upper, scalar(1, np.dtype(np.int32))), scalar(0, np.dtype(np.int32)))
    low, low_value = points[lower], values[lower]
    width = ar.sub_p.bind(points[upper], low)
    rise = ar.sub_p.bind(values[upper], low_value)
    empty = cmp.eq_p.bind(width, scalar(0, width.aval.dtype))
    safe = cmp.select_n_p.bind(empty, width, scalar(1, width.aval.dtype))
    share = ar.div_p.bind(ar.sub_p.bind(at, low), safe)
    inside = ar.add_p.bind(low_value, ar.mul_p.bind(convert_element_type(share, values.aval.dtype), rise))
    out = cmp.select_n_p.bind(empty, inside, low_value)
    if not isinstance(left, str):
        below = values[0] if left is None else convert_element_type(asarray(left), values.aval.dtype)
        out = cmp.select_n_p.bind(cmp.lt_p.bind(at, points[0]), out, below)
    if not isinstance(right, str):
        above = values[-1] if right is None else convert_element_type(asarray(right), values.aval.dtype)
        out = cmp.select_n_p.bind(cmp.gt_p.bind(at, points[-1]), out, above)
    return out


def _periodic(at: Any, points: Any, values: Any, period: Any) -> tuple[Any, Any, Any]:
    """Abscissas within one period, with the neighbouring point of the next period at either end."""
    if isinstance(period, (int, float)) and period == 0:
        raise ValueError("interp: the period must not be 0")
    size = ar.abs_p.bind(convert_element_type(asarray(period), points.aval.dtype))
    at = operators.remainder_of(at, size)
    points = operators.remainder_of(points, size)
    order = argsort(points)
    points, values = points[order], values[order]
    points = concatenate([ar.sub_p.bind(points[-1:], size), points, ar.add_p.bind(points[:1], size)], 0)
    return at, points, concatenate([values[-1:], values, values[:1]], 0)


def unwrap(p: Any, discont: Any = None, axis: int = -1, period: Any = 2 * math.pi) -> Array:
    """Remove jumps of whole periods between neighbours along `axis`.

    Args:
        p: real numbers.
        discont: the smallest difference of neighbours that is a jump (default and minimum: half a period).
        axis: the dimension along which neighbours are compared.
        period: the period of the numbers (integers stay integers with an integer one).

    Raises:
        ValueError: complex numbers.
    """
    check_arraylike("unwrap", p)
    x, whole = promote("unwrap", p, period)
    x = strengthen(x)
    if kind(x.aval.dtype) == "c":
        raise ValueError("unwrap is defined for real numbers; apply it to the angles of complex ones")
    if x.aval.ndim == 0:
        raise ShapeError("unwrap needs an array of at least one dimension")
    place = canonical_axis(axis, x.aval.ndim)
    x = moveaxis(x, place, 0)
    if x.aval.shape[0] < 2:
        return moveaxis(x, 0, place)
    dtype = x.aval.dtype
    two = scalar(2, dtype)
    integral = kind(dtype) in "iu"
    half = operators.floor_divide(whole, two) if integral else ar.div_p.bind(whole, two)
    step = ar.sub_p.bind(x[1:], x[:-1])
    wrapped = ar.sub_p.bind(operators.remainder_of(ar.add_p.bind(step, half), whole), half)
    # A jump of exactly half a period keeps its direction (odd integer periods have no half).
    ambiguous = ar.and_p.bind(
        cmp.eq_p.bind(wrapped, ar.sub_p.bind(scalar(0, dtype), half)), cmp.gt_p.bind(step, scalar(0, dtype))
    )
    if integral:
        even = cmp.eq_p.bind(operators.remainder_of(whole, two), scalar(0, dtype))
        ambiguous = ar.and_p.bind(ambiguous, even)
    wrapped = cmp.select_n_p.bind(ambiguous, wrapped, half)
    limit = half if discont is None else convert_element_type(asarray(discont), dtype)
    size = step if kind(dtype) == "u" else ar.abs_p.bind(step)
    small = cmp.lt_p.bind(size, limit)
    correction = cmp.select_n_p.bind(small, ar.sub_p.bind(wrapped, step), full((), 0, dtype))
    total = cumsum_p.bind(correction, axis=0, reverse=False)
    out = concatenate([x[:1], ar.add_p.bind(x[1:], total)], 0)
    return moveaxis(out, 0, place)
