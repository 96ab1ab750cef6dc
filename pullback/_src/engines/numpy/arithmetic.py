"""Kernels of `ops.arithmetic`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import arithmetic as ops
from .register import bound, bound_ufunc, kernel, ufunc

Array = np.ndarray[Any, Any]

ufunc(ops.add_p, np.add)
ufunc(ops.sub_p, np.subtract)
ufunc(ops.mul_p, np.multiply)
ufunc(ops.max_p, np.maximum)
ufunc(ops.min_p, np.minimum)
ufunc(ops.sign_p, np.sign)
ufunc(ops.floor_p, np.floor)
ufunc(ops.ceil_p, np.ceil)
ufunc(ops.is_finite_p, np.isfinite)
ufunc(ops.nextafter_p, np.nextafter)
ufunc(ops.abs_p, np.abs)
ufunc(ops.square_p, np.square)
ufunc(ops.log_p, np.log)
ufunc(ops.not_p, np.invert)
ufunc(ops.and_p, np.bitwise_and)
ufunc(ops.or_p, np.bitwise_or)
ufunc(ops.xor_p, np.bitwise_xor)


@kernel(ops.div_p)
def div(x: Array, y: Array) -> Array:
    if x.dtype.kind not in "iu":
        return np.divide(x, y, out=...)
    # Integers truncate towards zero; x / 0 is all ones and min / -1 is min, as in lax.
    safe = np.where(y == 0, np.ones_like(y), y)
    if x.dtype.kind == "u":
        return np.where(y == 0, ~np.zeros_like(x), x // safe)
    quotient = x // safe
    exact = quotient * safe == x
    quotient = np.where(~exact & ((x < 0) != (safe < 0)), quotient + np.ones_like(x), quotient)
    return np.where(y == 0, -np.ones_like(x), quotient)


bound[div] = lambda avals, params: div if avals[0].dtype.kind in "iu" else bound_ufunc(np.divide, avals)


@kernel(ops.rem_p)
def rem(x: Array, y: Array) -> Array:
    if x.dtype.kind not in "iu":
        return np.fmod(x, y, out=...)
    return np.where(y == 0, x, np.fmod(x, np.where(y == 0, np.ones_like(y), y)))


@kernel(ops.relu_p)
def relu(x: Array) -> Array:
    return np.maximum(x, x.dtype.type(0), out=...)


@kernel(ops.clamp_p)
def clamp(low: Array, x: Array, high: Array) -> Array:
    return np.minimum(np.maximum(low, x), high, out=...)


@kernel(ops.round_p)
def round(x: Array, *, rounding_method: int) -> Array:
    if rounding_method == 1:
        return np.rint(x, out=...)
    # Halves away from zero; adding 0.5 first would round 0.49999997 up.
    size = np.abs(x)
    below = np.floor(size)
    return np.copysign(np.where(size - below >= 0.5, below + 1, below).astype(x.dtype), x, out=...)


@kernel(ops.integer_pow_p)
def integer_pow(x: Array, *, y: int) -> Array:
    if y < 0:
        return np.divide(np.ones((), x.dtype), integer_pow(x, y=-y), out=...)
    result = None
    power = x
    while y:
        if y & 1:
            result = power if result is None else np.multiply(result, power, out=...)
        y >>= 1
        if y:
            power = np.multiply(power, power, out=...)
    return np.ones_like(x) if result is None else result


@kernel(ops.pow_p)
def pow(x: Array, y: Array) -> Array:
    if x.dtype.kind in "iu":
        # A negative exponent: the truncated inverse, which is 0 but for x = 1 and -1.
        result = np.power(x, np.maximum(y, np.zeros((), y.dtype)), dtype=x.dtype, out=...)
        if y.dtype.kind == "u":
            return result
        odd = (y & np.ones((), y.dtype)).astype(bool)
        inverse = np.where(x == 1, 1, np.where(x == -1, np.where(odd, -1, 1), np.where(x == 0, -1, 0)))
        return np.where(y < 0, inverse, result).astype(x.dtype)
    if y.dtype != x.dtype:
        y = y.astype(x.dtype)
    return np.power(x, y, out=...)


def _width(x: Array) -> int:
    return x.dtype.itemsize * 8


@kernel(ops.shift_left_p)
def shift_left(x: Array, y: Array) -> Array:
    count = y.astype(np.uint64)
    inside = count < _width(x)
    return np.where(inside, np.left_shift(x, np.where(inside, y, 0).astype(x.dtype)), np.zeros_like(x))


@kernel(ops.shift_right_logical_p)
def shift_right_logical(x: Array, y: Array) -> Array:
    bits = x if x.dtype.kind == "u" else x.view(np.dtype(f"u{x.dtype.itemsize}"))
    if y.ndim == 0 and 0 <= int(y) < _width(x):  # the common case, in one call
        moved = np.right_shift(bits, y if y.dtype == bits.dtype else y.astype(bits.dtype), out=...)
        return moved if x.dtype == bits.dtype else moved.view(x.dtype)
    count = y.astype(np.uint64)
    inside = count < _width(x)
    moved = np.right_shift(bits, np.where(inside, y, 0).astype(bits.dtype))
    return np.where(inside, moved, np.zeros((), bits.dtype)).view(x.dtype)


@kernel(ops.shift_right_arithmetic_p)
def shift_right_arithmetic(x: Array, y: Array) -> Array:
    count = np.minimum(y.astype(np.uint64), np.uint64(_width(x) - 1))
    if x.dtype.kind == "u":
        signed = x.view(np.dtype(f"i{x.dtype.itemsize}"))
        return np.right_shift(signed, count.astype(signed.dtype), out=...).view(x.dtype)
    return np.right_shift(x, count.astype(x.dtype), out=...)


@kernel(ops.population_count_p)
def population_count(x: Array) -> Array:
    return np.asarray(np.bitwise_count(x.view(np.dtype(f"u{x.dtype.itemsize}"))), x.dtype)


@kernel(ops.clz_p)
def clz(x: Array) -> Array:
    bits = x.view(np.dtype(f"u{x.dtype.itemsize}"))
    shift = 1
    while shift < _width(x):  # fill with ones below the leading one
        bits = bits | (bits >> np.asarray(shift, bits.dtype))
        shift *= 2
    return np.asarray(_width(x) - np.asarray(np.bitwise_count(bits), np.int64), x.dtype)
