"""Uniform and normal numbers: from bits to numbers of every dtype."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from ...base.errors import DTypeError, ShapeError
from ...core import dtypes
from ...core.array import Array, as_array, scalar, wrap
from ...core.kinds import kind
from ...ops import arithmetic as ar
from ...ops import complex as cx
from ...ops import prng
from ...ops.convert import bitcast_convert_type_p, convert_element_type, stop_gradient_array
from ...ops.families import broadcast_shapes
from ...ops.special import erf_inv_p, erf_p
from ...ops.structural import broadcast_to, canonical_shape
from .keys import ArgumentError, check_key, float_dtype, split_key

__all__ = ["normal", "truncated_normal", "uniform"]


def parameter(name: str, value: Any, dtype: np.dtype[Any]) -> Any:
    """A parameter of a distribution as an array of the samples' dtype (strongly typed)."""
    array = as_array(value, name=name)
    if kind(array.aval.dtype) == "c" and kind(dtype) != "c":
        raise DTypeError(f"{name} expects real parameters, got {array.aval.str_short()}")
    return convert_element_type(array, dtype)


def parameter_dtype(name: str, dtype: Any, *values: Any) -> np.dtype[Any]:
    """The samples' dtype: the given one, else that to which the parameters promote (at least float)."""
    if dtype is not None:
        return float_dtype(name, dtype)
    return dtypes.canonicalize_dtype(dtypes.to_inexact_dtype(dtypes.result_type(float, *values)))


def sample_shape(name: str, shape: Any, *parameters: Any) -> tuple[int, ...]:
    """The samples' shape: that of the broadcast parameters, or the given one, to which they must broadcast.

    Raises:
        ValueError: the parameters do not broadcast to the given shape.
    """
    shapes = [p.aval.shape for p in parameters]
    if shape is None:
        return broadcast_shapes(name, *shapes) if shapes else ()
    wanted = canonical_shape(shape)
    if any(shapes) and broadcast_shapes(name, wanted, *shapes) != wanted:
        raise ShapeError(
            f"{name} requires a shape to which its parameters broadcast: got shape {wanted} and parameters "
            f"of shapes {', '.join(map(str, shapes))}"
        )
    return wanted


# The bits that make a float in [1, 2): sign and exponent of 1.
_ONES: dict[np.dtype[Any], tuple[int, int, int]] = {}


def _layout(dtype: np.dtype[Any]) -> tuple[int, int, int]:
    """Bits to draw, bits of the mantissa, and the bits of the number 1."""
    found = _ONES.get(dtype)
    if found is None:
        width = dtype.itemsize * 8
        mantissa = int(dtypes.finfo(dtype).nmant)
        one = int(np.ones((), dtype).view(f"u{dtype.itemsize}"))
        if width < 16:
            raise DTypeError(
                f"random numbers of dtype {dtypes.dtype_name(dtype)} are not available; convert float32 ones"
            )
        found = _ONES.setdefault(dtype, (8 if mantissa < 8 else width, mantissa, one))
    return found


def unit_interval(key: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Numbers in [0, 1), equally spaced: random bits as the mantissa of a float in [1, 2), less 1."""
    width, mantissa, one = _layout(dtype)
    word = prng.UNSIGNED[dtype.itemsize * 8]
    bits = prng.random_bits(key, width, shape)
    if bits.aval.dtype != word:
        bits = convert_element_type(bits, word)
    bits = ar.shift_right_logical_p.bind(bits, scalar(width - mantissa, word))
    bits = ar.or_p.bind(bits, scalar(one, word))
    return ar.sub_p.bind(bitcast_convert_type_p.bind(bits, new_dtype=dtype), scalar(1.0, dtype))


def between(key: Any, shape: tuple[int, ...], dtype: np.dtype[Any], low: Any, high: Any) -> Any:
    """Numbers in [low, high), for arrays of the dtype."""
    unit = unit_interval(key, shape, dtype)
    scaled = ar.add_p.bind(ar.mul_p.bind(unit, ar.sub_p.bind(high, low)), low)
    return ar.max_p.bind(low, scaled)


def constant(value: float, dtype: np.dtype[Any]) -> Any:
    """A strongly typed scalar constant."""
    key = (value, dtype)
    found = _constants.get(key)
    if found is None:
        found = _constants.setdefault(key, wrap(np.array(value, dtype)))
    return found


_constants: dict[tuple[float, np.dtype[Any]], Any] = {}


def uniform(key: Any, shape: Any = (), dtype: Any = None, minval: Any = 0.0, maxval: Any = 1.0) -> Array:
    """Uniformly distributed numbers in [minval, maxval).

    Args:
        key: a random key.
        shape: the result's shape.
        dtype: a float dtype (default: float32, or float64 with 64-bit types).
        minval, maxval: numbers or arrays that broadcast to `shape`.
    """
    single, _ = check_key("uniform", key)
    wanted = float_dtype("uniform", dtype)
    size = canonical_shape(shape)
    if type(minval) is float and type(maxval) is float and minval == 0.0 and maxval == 1.0:
        return unit_interval(single, size, wanted)
    low, high = parameter("uniform", minval, wanted), parameter("uniform", maxval, wanted)
    sample_shape("uniform", size, low, high)
    return between(single, size, wanted, low, high)


@cache
def _open_interval(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """The least number above -1, and the distance from it to 1."""
    low = np.nextafter(np.array(-1, dtype), np.array(0, dtype), out=...)
    return wrap(low), wrap(np.subtract(np.array(1, dtype), low, out=...))


def standard_normal(key: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """sqrt(2) erf_inv(u) for u uniform in (-1, 1)."""
    low, span = _open_interval(dtype)
    unit = unit_interval(key, shape, dtype)
    u = ar.max_p.bind(low, ar.add_p.bind(ar.mul_p.bind(unit, span), low))
    return ar.mul_p.bind(scalar(math.sqrt(2), dtype), erf_inv_p.bind(u))


def normal(key: Any, shape: Any = (), dtype: Any = None) -> Array:
    """Normally distributed numbers of mean 0 and variance 1.

    Args:
        key: a random key.
        shape: the result's shape.
        dtype: a float or complex dtype (default: the default float). The parts of complex numbers have
            variance 1/2.
    """
    single, _ = check_key("normal", key)
    size = canonical_shape(shape)
    wanted = dtypes.default_float_dtype() if dtype is None else dtypes.check_user_dtype(dtype, "normal")
    if dtypes.is_complex(wanted):
        real_dtype = dtypes.to_real_dtype(wanted)
        key_re, key_im = split_key(single, 2)
        parts = cx.complex_p.bind(
            standard_normal(key_re, size, real_dtype), standard_normal(key_im, size, real_dtype)
        )
        return ar.div_p.bind(parts, scalar(math.sqrt(2), wanted))
    if not dtypes.is_floating(wanted):
        raise ArgumentError(
            f"dtype argument to `normal` must be a float or complex dtype, got {dtypes.dtype_name(wanted)}"
        )
    return standard_normal(single, size, wanted)


def truncated_normal(key: Any, lower: Any, upper: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Normally distributed numbers of mean 0 and variance 1 (before truncation) between two bounds.

    Args:
        key: a random key.
        lower, upper: the bounds; they broadcast to `shape`.
        shape: the result's shape (default: that of the broadcast bounds).
        dtype: a float dtype (default: that of the bounds).
    """
    single, _ = check_key("truncated_normal", key)
    wanted = parameter_dtype("truncated_normal", dtype, lower, upper)
    low, high = parameter("truncated_normal", lower, wanted), parameter("truncated_normal", upper, wanted)
    size = sample_shape("truncated_normal", shape, low, high)
    root = scalar(math.sqrt(2), wanted)
    u = between(
        single, size, wanted, erf_p.bind(ar.div_p.bind(low, root)), erf_p.bind(ar.div_p.bind(high, root))
    )
    out = ar.mul_p.bind(root, erf_inv_p.bind(u))
    # Rounding must not carry a sample out of the open interval.
    least = ar.nextafter_p.bind(stop_gradient_array(low), constant(math.inf, wanted))
    most = ar.nextafter_p.bind(stop_gradient_array(high), constant(-math.inf, wanted))
    return ar.min_p.bind(most, ar.max_p.bind(least, out))


def broadcast_parameter(value: Any, shape: tuple[int, ...]) -> Any:
    """A parameter repeated to the samples' shape."""
    return value if value.aval.shape == shape else broadcast_to(value, shape)
