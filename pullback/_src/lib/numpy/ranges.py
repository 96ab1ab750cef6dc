"""Ranges, and numbers spaced evenly or in equal quotients.

Under a staging trace these record `iota` and arithmetic, so that no large array is baked into a program.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ...base.errors import ConcretizationTypeError, DTypeError
from ...core import dtypes
from ...core.array import Array, as_array, scalar, wrap
from ...core.kinds import kind
from ...core.trace import CURRENT, Tracer
from ...ops import arithmetic as ar
from ...ops.convert import convert_element_type
from ...ops.iota import iota_p
from ...ops.joining import concatenate
from ...ops.structural import broadcast_to, canonical_axis, moveaxis, reshape
from ...ops.structural import full as filled
from . import operators
from .creation import refuse_sharding, zeros
from .elementwise import divide, log10
from .promotion import check_arraylike, is_number, promote_inexact, strengthen

__all__ = ["arange", "geomspace", "linspace", "logspace"]

_current = CURRENT.get


_SIZE_HINT = (
    "Pass it as a static argument (static_argnums of jit), or make a range of the greatest size and mask it "
    "(numpy.where)."
)


def _concrete_scalar(name: str, value: Any) -> Any:
    """A Python or NumPy number from an argument that must be known while tracing."""
    if is_number(value) or isinstance(value, np.generic):
        return value
    check_arraylike(name, value)
    if isinstance(value, Tracer):
        value = value._concrete_or_raise(
            f"{name}, whose size depends on its arguments,", ConcretizationTypeError, _SIZE_HINT
        )
    known = np.asarray(value)
    if known.ndim:
        raise ValueError(f"{name}: arguments must be numbers; got an array of shape {known.shape}")
    return known[()]


def arange(
    start: Any,
    stop: Any = None,
    step: Any = None,
    dtype: Any = None,
    *,
    device: Any = None,
    out_sharding: Any = None,
) -> Array:
    """The numbers start, start + step, ... below stop (above it, for a negative step).

    Args:
        start: the first number, or, without `stop`, the end of a range from 0.
        stop: the end, not included.
        step: the difference of neighbours (default 1).
        dtype: default: by promotion of the arguments.
        device: ignored; there is one device.
        out_sharding: must be None.

    Raises:
        TypeError: an argument is traced (the size must be known), or the dtype is bool.
        ValueError: an argument is complex or no scalar.
        ZeroDivisionError: step is 0.
    """
    refuse_sharding("arange", out_sharding)
    given = [_concrete_scalar("arange", v) for v in (start, stop, step) if v is not None]
    if any(isinstance(v, (complex, np.complexfloating)) for v in given):
        raise ValueError("arange is defined for real numbers; got a complex argument")
    found = dtypes.result_type(*given) if dtype is None else dtypes.check_user_dtype(dtype, "arange")
    if found.kind == "b":
        raise DTypeError("arange does not make bools; give a dtype of numbers")
    first: Any = 0 if stop is None else _concrete_scalar("arange", start)
    last = _concrete_scalar("arange", start if stop is None else stop)
    by: Any = 1 if step is None else _concrete_scalar("arange", step)
    if isinstance(first, (int, np.integer)) and isinstance(by, (int, np.integer)):
        first, by = int(first), int(by)
    else:
        first, by = float(first), float(by)
    if by == 0:
        raise ZeroDivisionError("arange: step must not be 0")
    if isinstance(by, int) and isinstance(last, (int, np.integer)):
        count = max(0, -((first - int(last)) // by))
    else:
        count = max(0, math.ceil((float(last) - first) / by))
    if _current().eager:
        return wrap(_numpy_range(first, by, count).astype(found))
    # Computed in 64 bits and then rounded, as in evaluation.
    if isinstance(by, int):
        wide = found if kind(found) in "iu" else np.dtype(np.int64)
    else:
        wide = np.dtype(np.float64)
    out = iota_p.bind(dtype=wide, shape=(count,), dimension=0)
    if by != 1:
        out = ar.mul_p.bind(out, scalar(_wrapped(by, wide), wide))
    if first != 0:
        out = ar.add_p.bind(out, scalar(_wrapped(first, wide), wide))
    return strengthen(out if wide == found else convert_element_type(out, found))


def _wrapped(value: Any, dtype: np.dtype[Any]) -> Any:
    """An int modulo the range of an integer dtype."""
    return int(np.asarray(value).astype(dtype)) if dtype.kind in "iu" else value


def _numpy_range(first: Any, by: Any, count: int) -> np.ndarray[Any, Any]:
    indices = np.arange(count)
    if by != 1:
        indices = indices * by
    return indices + first if first != 0 else indices


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """`num` evenly spaced numbers from start to stop.

    Args:
        start, stop: numbers or arrays that broadcast together; differentiable.
        num: how many.
        endpoint: whether the last one is `stop`; otherwise `stop` would come next.
        retstep: whether to return the difference of neighbours too (NaN if there is only one).
        dtype: default: by promotion, at least float; integers are rounded down.
        axis: the place of the new dimension in the result.
        device: ignored; there is one device.

    Returns:
        The array, or the pair (array, step).
    """
    num = operator.index(num)
    if num < 0:
        raise ValueError(f"linspace: the number of samples must not be negative; got {num}")
    check_arraylike("linspace", start, stop)
    low, high = (strengthen(x) for x in promote_inexact("linspace", start, stop))
    computed = low.aval.dtype
    found = computed if dtype is None else dtypes.check_user_dtype(dtype, "linspace")
    if dtype is not None and dtypes.is_inexact(found):
        computed = dtypes.promote_types(computed, found)
    low, high = convert_element_type(low, computed), convert_element_type(high, computed)
    shape = np.broadcast_shapes(low.aval.shape, high.aval.shape)
    low, high = broadcast_to(low, shape), broadcast_to(high, shape)
    intervals = num - 1 if endpoint else num
    real_dtype = dtypes.to_real_dtype(computed)
    if intervals > 0:
        step = ar.div_p.bind(ar.sub_p.bind(high, low), scalar(intervals, computed))
        count = num - 1 if endpoint else num
        t = iota_p.bind(dtype=real_dtype, shape=(count, *[1] * len(shape)), dimension=0)
        t = ar.div_p.bind(t, scalar(intervals, real_dtype))
        t = convert_element_type(t, computed)
        rest = ar.sub_p.bind(scalar(1, computed), t)
        out = ar.add_p.bind(ar.mul_p.bind(low, rest), ar.mul_p.bind(high, t))
        if endpoint:
            out = concatenate([out, reshape(high, (1, *shape))], 0)
    else:
        step = filled(shape, math.nan, computed)
        out = reshape(low, (1, *shape)) if num else zeros((0, *shape), computed)
    out = moveaxis(out, 0, canonical_axis(axis, out.aval.ndim))
    if dtypes.is_integer(found) and not dtypes.is_integer(computed) and kind(computed) == "f":
        out = ar.floor_p.bind(out)
    out = convert_element_type(out, found)
    return (out, step) if retstep else out


def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Array:
    """Powers of `base` with `num` evenly spaced exponents from start to stop (see `linspace`)."""
    check_arraylike("logspace", start, stop)
    exponents = linspace(start, stop, num, endpoint, axis=axis)
    out = operators.power(*promote_inexact("logspace", base, exponents))
    return out if dtype is None else convert_element_type(out, dtypes.check_user_dtype(dtype, "logspace"))


def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Array:
    """`num` numbers from start to stop with equal quotients of neighbours (see `linspace`)."""
    check_arraylike("geomspace", start, stop)
    computed = dtypes.result_type(start, stop)
    if dtype is not None:
        found = dtypes.check_user_dtype(dtype, "geomspace")
        computed = dtypes.promote_types(computed, found)
    else:
        found = dtypes.to_inexact_dtype(computed)
    computed = dtypes.to_inexact_dtype(computed)
    low, high = (convert_element_type(as_array(x), computed) for x in (start, stop))
    low, high = strengthen(low), strengthen(high)
    exponents = linspace(filled((), 0, computed), log10(divide(high, low)), num, endpoint, axis=axis)
    powers = operators.power(filled((), 10, computed), exponents)
    shape = list(np.broadcast_shapes(low.aval.shape, high.aval.shape))
    place = canonical_axis(axis, len(shape) + 1)
    first = reshape(broadcast_to(low, tuple(shape)), (*shape[:place], 1, *shape[place:]))
    return convert_element_type(ar.mul_p.bind(first, powers), found)
