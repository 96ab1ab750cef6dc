"""Kernels of `ops.reduction`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...core import dtypes
from ...core.kinds import kind
from ...ops import reduction as ops
from .register import kernel
from .structural import LOW_PRECISION

Array = np.ndarray[Any, Any]


def smallest(dtype: np.dtype[Any]) -> Any:
    """The identity of the maximum."""
    letter = kind(dtype)
    if letter in "fc":
        return -np.inf
    return False if letter == "b" else dtypes.iinfo(dtype).min


def greatest(dtype: np.dtype[Any]) -> Any:
    """The identity of the minimum."""
    letter = kind(dtype)
    if letter in "fc":
        return np.inf
    return True if letter == "b" else dtypes.iinfo(dtype).max


def _extremum(reduce: Callable[..., Any], identity: Callable[[np.dtype[Any]], Any]) -> Callable[..., Array]:
    def run(x: Array, *, axes: tuple[int, ...]) -> Array:
        if x.size:
            return reduce(x, axis=axes, out=...)
        shape = tuple(d for i, d in enumerate(x.shape) if i not in axes)
        return np.full(shape, identity(x.dtype), x.dtype)

    return run


kernel(ops.reduce_max_p)(_extremum(np.maximum.reduce, smallest))
kernel(ops.reduce_min_p)(_extremum(np.minimum.reduce, greatest))


@kernel(ops.reduce_prod_p)
def reduce_prod(x: Array, *, axes: tuple[int, ...]) -> Array:
    if x.dtype.char in LOW_PRECISION:
        return np.multiply.reduce(x, axis=axes, dtype=np.float32, out=...).astype(x.dtype)
    return np.multiply.reduce(x, axis=axes, dtype=x.dtype, out=...)


@kernel(ops.reduce_and_p)
def reduce_and(x: Array, *, axes: tuple[int, ...]) -> Array:
    return np.bitwise_and.reduce(x, axis=axes, out=...)


@kernel(ops.reduce_or_p)
def reduce_or(x: Array, *, axes: tuple[int, ...]) -> Array:
    return np.bitwise_or.reduce(x, axis=axes, out=...)


@kernel(ops.reduce_xor_p)
def reduce_xor(x: Array, *, axes: tuple[int, ...]) -> Array:
    return np.bitwise_xor.reduce(x, axis=axes, out=...)


def _comparable(x: Array) -> Array:
    """`x`, or float32 in place of a float dtype whose argmax does not put NaN first."""
    return x.astype(np.float32) if x.dtype.kind == "V" else x


@kernel(ops.argmax_p)
def argmax(x: Array, *, axis: int, index_dtype: np.dtype[Any]) -> Array:
    return np.asarray(_comparable(x).argmax(axis)).astype(index_dtype)


@kernel(ops.argmin_p)
def argmin(x: Array, *, axis: int, index_dtype: np.dtype[Any]) -> Array:
    return np.asarray(_comparable(x).argmin(axis)).astype(index_dtype)


@kernel(ops.reduce_precision_p)
def reduce_precision(x: Array, *, exponent_bits: int, mantissa_bits: int) -> Array:
    info = dtypes.finfo(x.dtype)
    bits = x.view(np.dtype(f"u{x.dtype.itemsize}"))
    word = bits.dtype.type
    dropped = info.nmant - mantissa_bits
    if dropped > 0:
        # Adding half of the last kept place rounds; one less where that place is even breaks ties.
        last_kept = (bits >> word(dropped)) & word(1)
        bits = bits + (word((1 << (dropped - 1)) - 1) + last_kept)
        bits = bits & word(~((1 << dropped) - 1) & (2 ** (8 * x.dtype.itemsize) - 1))
    out = np.asarray(bits, word).view(x.dtype)
    if exponent_bits < info.nexp:
        bias = 2 ** (exponent_bits - 1) - 1
        wide = np.abs(out.astype(np.float64))
        sign = np.copysign(np.float64(1), x.astype(np.float64))
        out = np.where(wide >= 2.0 ** (bias + 1), (sign * np.inf).astype(x.dtype), out)
        out = np.where(wide < 2.0 ** (1 - bias), (sign * 0.0).astype(x.dtype), out)
    return np.where(np.isnan(x), x, out)
