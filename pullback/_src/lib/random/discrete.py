"""Integers and other discrete outcomes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...base.errors import DTypeError, ShapeError
from ...core import dtypes
from ...core.array import Array, as_array, scalar
from ...core.kinds import kind
from ...ops import arithmetic as ar
from ...ops.arithmetic import add_p, and_p, div_p, log_p, mul_p, rem_p, sub_p
from ...ops.compare import eq_p, gt_p, le_p, lt_p, select_n_p
from ...ops.complex import neg_p
from ...ops.convert import convert_element_type
from ...ops.cumulative import cumsum
from ...ops.families import broadcast_shapes
from ...ops.joining import concatenate, slice_p
from ...ops.prng import UNSIGNED, random_bits
from ...ops.reduction import argmax_p
from ...ops.sampling import random_binomial, random_poisson
from ...ops.sort import top_k
from ...ops.structural import broadcast_to, canonical_axis, canonical_shape, full, moveaxis, reshape
from ...ops.transcendental import log1p_p
from .continuous import check_mode, gumbel_samples, halves
from .keys import ArgumentError, check_key, split_key
from .uniform import broadcast_parameter, parameter, parameter_dtype, sample_shape, unit_interval

__all__ = ["bernoulli", "binomial", "categorical", "geometric", "multinomial", "poisson", "randint"]

DType = np.dtype[Any]
_INT32 = np.dtype(np.int32)


def integer_dtype(name: str, dtype: Any) -> DType:
    """The canonical form of an integer dtype that the user gave (None: the default one)."""
    if dtype is None:
        return dtypes.default_int_dtype()
    wanted = dtypes.check_user_dtype(dtype, name)
    if not dtypes.is_integer(wanted) or dtypes.itemsize_bits(wanted) < 8:
        raise DTypeError(f"{name} only accepts integer dtypes, got {dtypes.dtype_name(wanted)}")
    return wanted


# Integers in a range ------------------------------------------------------------------------------


def _combine(key: Any, shape: tuple[int, ...], dtype: DType, span: Any, multiplier: Any, low: Any) -> Any:
    """low + (a number of twice the dtype's bits, modulo the span), from two draws of bits.

    The number is high 2^w + low; with the multiplier 2^w mod span the remainder needs w bits only.
    """
    width = dtype.itemsize * 8
    first, second = split_key(key, 2)
    high_bits, low_bits = random_bits(first, width, shape), random_bits(second, width, shape)
    total = add_p.bind(mul_p.bind(rem_p.bind(high_bits, span), multiplier), rem_p.bind(low_bits, span))
    offset = convert_element_type(rem_p.bind(total, span), dtype)
    return add_p.bind(low, offset)


def randint_between(key: Any, shape: tuple[int, ...], low: int, high: int, dtype: DType) -> Any:
    """`randint` for bounds that are Python ints."""
    info = dtypes.iinfo(dtype)
    if dtype.itemsize < 4:
        low, high = (max(int(info.min), min(b, int(info.max) + 1)) for b in (low, high))
        return convert_element_type(randint_between(key, shape, low, high, _INT32), dtype)
    default = dtypes.iinfo(dtypes.default_int_dtype())
    for bound in (low, high):
        if not min(info.min, default.min) <= bound <= max(info.max + 1, default.max):
            raise OverflowError(f"randint: the bound {bound} is out of range for {dtypes.dtype_name(dtype)}")
    size = 2 ** (dtype.itemsize * 8)
    beyond = high > info.max
    lowest, highest = (max(info.min, min(b, info.max)) for b in (low, high))
    span = 1 if highest <= lowest else highest - lowest + (1 if beyond else 0)
    # The square wraps around, as it does in the dtype's arithmetic.
    root = 2 ** (dtype.itemsize * 4) % span
    multiplier = root * root % size % span
    word = UNSIGNED[dtype.itemsize * 8]
    # A span of all numbers wraps to 0, and a remainder by 0 is the number itself.
    return _combine(
        key,
        shape,
        dtype,
        scalar(span % size, word),
        scalar(multiplier, word),
        scalar(int(lowest), dtype),
    )


def randint(key: Any, shape: Any, minval: Any, maxval: Any, dtype: Any = None) -> Array:
    """Uniformly distributed integers in [minval, maxval).

    Args:
        key: a random key.
        shape: the result's shape.
        minval, maxval: integers or integer arrays that broadcast to `shape`; where maxval <= minval the
            result is minval.
        dtype: an integer dtype (default: the default integer).
    """
    single, _ = check_key("randint", key)
    wanted = integer_dtype("randint", dtype)
    size = canonical_shape(shape)
    if type(minval) is int and type(maxval) is int:
        return randint_between(single, size, minval, maxval, wanted)
    if wanted.itemsize < 4:
        # Narrow integers are drawn as int32, in which the bound beyond their greatest number exists.
        limits = dtypes.iinfo(wanted)
        low, high = (
            ar.clamp_p.bind(
                scalar(int(limits.min), _INT32), _bound(b, _INT32)[0], scalar(int(limits.max) + 1, _INT32)
            )
            for b in (minval, maxval)
        )
        return convert_element_type(randint(single, size, low, high, _INT32), wanted)
    low, _ = _bound(minval, wanted)
    high, beyond = _bound(maxval, wanted)
    sample_shape("randint", size, low, high)
    word = UNSIGNED[wanted.itemsize * 8]
    one = scalar(1, word)
    span = convert_element_type(sub_p.bind(high, low), word)
    span = select_n_p.bind(le_p.bind(high, low), span, one)
    if beyond is not None:
        span = select_n_p.bind(and_p.bind(beyond, gt_p.bind(high, low)), span, add_p.bind(span, one))
    multiplier = rem_p.bind(scalar(2 ** (wanted.itemsize * 4), word), span)
    multiplier = rem_p.bind(mul_p.bind(multiplier, multiplier), span)
    return _combine(single, size, wanted, span, multiplier, low)


def _bound(value: Any, dtype: DType) -> tuple[Any, Any]:
    """A bound clipped to the dtype's range, and where it exceeded its greatest number (None: nowhere)."""
    array = as_array(value, name="randint")
    own = array.aval.dtype
    if kind(own) == "c":
        raise DTypeError(f"randint expects integer bounds, got {array.aval.str_short()}")
    if kind(own) not in "iu":
        return convert_element_type(array, dtype), None
    info, own_info = dtypes.iinfo(dtype), dtypes.iinfo(own)
    beyond = None
    if own_info.max > info.max:
        most = scalar(int(info.max), own)
        beyond = gt_p.bind(array, most)
        array = ar.min_p.bind(array, most)
    if own_info.min < info.min:
        array = ar.max_p.bind(array, scalar(int(info.min), own))
    return convert_element_type(array, dtype), beyond


# Yes or no, and choices among categories ----------------------------------------------------------


def bernoulli(key: Any, p: Any = 0.5, shape: Any = None, mode: str = "low") -> Array:
    """True with probability p.

    Args:
        key: a random key.
        p: probabilities, of a float dtype.
        shape: the result's shape (default: p's).
        mode: 'low' or 'high'; 'high' draws twice the bits, so that small p are accurate.
    """
    single, _ = check_key("bernoulli", key)
    high = check_mode("bernoulli", mode)
    probability = as_array(p, name="bernoulli")
    if kind(probability.aval.dtype) != "f":
        raise DTypeError(
            f"bernoulli probability `p` must have a floating dtype, got {probability.aval.str_short()}."
        )
    dtype = probability.aval.dtype
    size = sample_shape("bernoulli", shape, probability)
    if not high:
        return lt_p.bind(unit_interval(single, size, dtype), probability)
    coarse, fine = halves(single, size, dtype)
    epsilon = scalar(float(dtypes.finfo(dtype).eps), dtype)
    return lt_p.bind(mul_p.bind(fine, epsilon), sub_p.bind(probability, coarse))


def categorical(
    key: Any, logits: Any, axis: int = -1, shape: Any = None, replace: bool = True, mode: Any = None
) -> Array:
    """Categories with probabilities softmax(logits), by the Gumbel maximum.

    Args:
        key: a random key.
        logits: unnormalized log probabilities; the categories lie along `axis`.
        axis: the categories' dimension.
        shape: the result's shape, to which that of logits without `axis` broadcasts (default: that shape).
        replace: whether one category may be drawn repeatedly; if not, the leading dimensions of `shape`
            number distinct draws.
        mode: precision, see `gumbel`.
    """
    single, _ = check_key("categorical", key)
    high = check_mode("categorical", mode)
    values = as_array(logits, name="categorical")
    values = convert_element_type(values, dtypes.to_inexact_dtype(values.aval.dtype))
    dtype = values.aval.dtype
    place = canonical_axis(axis, values.aval.ndim)
    own = values.aval.shape
    batch = own[:place] + own[place + 1 :]
    size = batch if shape is None else canonical_shape(shape)
    if broadcast_shapes("categorical", size, batch) != size:
        raise ShapeError(
            f"categorical: shape {size} is not one to which the batch shape {batch} of logits broadcasts"
        )
    front = size[: len(size) - len(batch)]
    if replace:
        rest = size[len(front) :]
        noise = gumbel_samples(single, (*front, *rest[:place], own[place], *rest[place:]), dtype, high)
        return argmax_p.bind(
            add_p.bind(noise, values), axis=len(front) + place, index_dtype=dtypes.default_int_dtype()
        )
    draws = int(np.prod(front, dtype=np.int64))
    if draws > own[place]:
        raise ArgumentError(
            f"categorical: {draws} draws without replacement from {own[place]} categories are not possible"
        )
    noise = gumbel_samples(single, own, dtype, high)
    _, indices = top_k(add_p.bind(values, noise), draws, axis=place)
    return reshape(moveaxis(indices, place, 0), size)


# Counts -------------------------------------------------------------------------------------------


def poisson(key: Any, lam: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Numbers of events at the rate `lam`.

    Args:
        key: a random key.
        lam: rates, not negative (as float32).
        shape: the result's shape (default: lam's).
        dtype: an integer dtype (default: the default integer).
    """
    single, _ = check_key("poisson", key)
    wanted = integer_dtype("poisson", dtype)
    rate = parameter("poisson", lam, np.dtype(np.float32))
    size = sample_shape("poisson", shape, rate)
    return random_poisson(single, broadcast_parameter(rate, size), wanted)


def binomial(key: Any, n: Any, p: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Numbers of successes in n trials of probability p, as floats.

    Args:
        key: a random key.
        n: numbers of trials; NaN results where negative or NaN.
        p: probabilities of success; NaN results where outside [0, 1].
        shape: the result's shape (default: that of the broadcast parameters).
        dtype: a float dtype (default: that of the parameters).
    """
    single, _ = check_key("binomial", key)
    wanted = parameter_dtype("binomial", dtype, n, p)
    count, probability = parameter("binomial", n, wanted), parameter("binomial", p, wanted)
    size = sample_shape("binomial", shape, count, probability)
    return random_binomial(single, broadcast_parameter(count, size), broadcast_parameter(probability, size))


def multinomial(key: Any, n: Any, p: Any, *, shape: Any = None, dtype: Any = None, unroll: Any = 1) -> Array:
    """How often each category occurs in n draws, as floats.

    Args:
        key: a random key.
        n: numbers of draws, of shape (...).
        p: the categories' probabilities, of shape (..., k).
        shape: the result's shape, (..., k) (default: that to which n and p broadcast).
        dtype: a float dtype (default: that of the parameters).
        unroll: accepted and without effect: the draws of all categories are written out.
    """
    single, _ = check_key("multinomial", key)
    wanted = parameter_dtype("multinomial", dtype, n, p)
    count, probability = parameter("multinomial", n, wanted), parameter("multinomial", p, wanted)
    if probability.aval.ndim < 1:
        raise ShapeError("multinomial requires p of at least one dimension, the categories")
    k = probability.aval.shape[-1]
    size = sample_shape("multinomial", shape, reshape(count, (*count.aval.shape, 1)), probability)
    if size[-1] != k:
        raise ShapeError(f"multinomial: shape {size} must end with the number of categories, {k}")
    probability = broadcast_parameter(probability, size)
    remaining = broadcast_to(count, size[:-1])
    axis = len(size) - 1
    total = cumsum(probability, axis, reverse=True)
    safe = select_n_p.bind(eq_p.bind(total, scalar(0.0, wanted)), total, scalar(1.0, wanted))
    ratio = ar.min_p.bind(
        scalar(1.0, wanted), ar.max_p.bind(scalar(0.0, wanted), div_p.bind(probability, safe))
    )
    counts = []
    for i, subkey in enumerate(split_key(single, k)):
        start = (*[0] * axis, i)
        share = slice_p.bind(ratio, start_indices=start, limit_indices=(*size[:-1], i + 1), strides=None)
        drawn = random_binomial(subkey, remaining, reshape(share, size[:-1]))
        remaining = sub_p.bind(remaining, drawn)
        counts.append(reshape(drawn, (*size[:-1], 1)))
    return concatenate(counts, axis) if counts else full(size, 0, wanted)


def geometric(key: Any, p: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Numbers of trials of probability p up to the first success.

    Args:
        key: a random key.
        p: probabilities, in (0, 1].
        shape: the result's shape (default: p's).
        dtype: an integer dtype (default: the default integer).
    """
    single, _ = check_key("geometric", key)
    wanted = integer_dtype("geometric", dtype)
    float_kind = parameter_dtype("geometric", None, p)
    probability = parameter("geometric", p, float_kind)
    size = sample_shape("geometric", shape, probability)
    u = unit_interval(single, size, float_kind)
    u = select_n_p.bind(eq_p.bind(u, scalar(0.0, float_kind)), u, scalar(1.0, float_kind))
    trials = ar.floor_p.bind(div_p.bind(log_p.bind(u), log1p_p.bind(neg_p.bind(probability))))
    return convert_element_type(add_p.bind(trials, scalar(1.0, float_kind)), wanted)
