"""Kernels of `ops.sampling`: rejection loops on all samples at once.

Gamma: Marsaglia & Tsang, ACM Transactions on Mathematical Software 26, 2000. Poisson: products of uniform
numbers (Knuth) for rates below 10, else Hörmann's transformed rejection (Insurance: Mathematics and Economics
12, 1993). Binomial: sums of geometric numbers where the expected count is at most 10, else Hörmann's
transformed rejection (Journal of Statistical Computation and Simulation 46, 1993).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...ops import prng as prng_ops
from ...ops import sampling as ops
from .prng import from_words, random_bits, random_split
from .register import kernel
from .special import erf_inv

Array = np.ndarray[Any, Any]
DType = np.dtype[Any]


def _log_gamma(x: Array) -> Array:
    from scipy.special import gammaln

    return np.asarray(gammaln(x.astype(np.float64))).astype(x.dtype)


def _uniform(keys: Array, shape: tuple[int, ...], dtype: DType, partitionable: bool) -> Array:
    """Numbers in [0, 1) of shape keys.shape + shape, for float32 or float64."""
    width = dtype.itemsize * 8
    bits = random_bits(keys, bit_width=width, shape=shape, partitionable=partitionable)
    word = prng_ops.UNSIGNED[width]
    one = np.ones((), dtype).view(word)
    bits = (bits >> word.type(width - np.finfo(dtype).nmant)) | one
    return np.asarray(bits.view(dtype) - dtype.type(1))


def _normal(keys: Array, dtype: DType, partitionable: bool) -> Array:
    """One normal number from each key."""
    low = np.nextafter(dtype.type(-1), dtype.type(0))
    u = _uniform(keys, (), dtype, partitionable) * (dtype.type(1) - low) + low
    return np.asarray(dtype.type(math.sqrt(2)) * erf_inv(np.maximum(low, u)))


def _computing_dtype(dtype: DType) -> DType:
    return dtype if dtype in (np.float32, np.float64) else np.dtype(np.float32)


# gamma --------------------------------------------------------------------------------------------


@kernel(ops.random_gamma_p)
def random_gamma(keys: Array, a: Array, *, log_space: bool, partitionable: bool = False) -> Array:
    dtype = _computing_dtype(a.dtype)
    n = math.prod(a.shape[keys.ndim :])
    if a.size == 0:
        return np.empty(a.shape, a.dtype)
    own = random_split(keys, shape=(n,), partitionable=partitionable).reshape(-1)
    samples = _gamma(own, a.astype(dtype).reshape(-1), log_space, partitionable)
    return samples.reshape(a.shape).astype(a.dtype, copy=False)


def _gamma(keys: Array, a: Array, log_space: bool, partitionable: bool) -> Array:
    real = a.dtype.type
    boosted = a < 1  # sample with a + 1, then scale by u^(1/a)
    shape = np.where(boosted, a + real(1), a)
    d = shape - real(1 / 3)
    c = real(1 / 3) / np.sqrt(d)

    pair = random_split(keys, shape=(2,), partitionable=partitionable)
    keys, boost_keys = np.ascontiguousarray(pair[:, 0]), np.ascontiguousarray(pair[:, 1])
    volume = np.ones_like(a)
    # Invalid parameters never get accepted by the comparison; they are NaN and take no part.
    active = np.flatnonzero(a > 0)
    volume[~(a > 0)] = np.nan
    while active.size:
        three = random_split(keys[active], shape=(3,), partitionable=partitionable)
        keys[active] = three[:, 0]
        x, v = _positive_cube_root(three[:, 1], c[active], partitionable)
        x2, v3 = x * x, v * v * v
        u = _uniform(three[:, 2], (), a.dtype, partitionable)
        volume[active] = v3
        d_active = d[active]
        again = (u >= real(1) - real(0.0331) * (x2 * x2)) & (
            np.log(u) >= x2 * real(0.5) + d_active * ((real(1) - v3) + np.log(v3))
        )
        active = active[again]
    if log_space:
        logs = np.log1p(-_uniform(boost_keys, (), a.dtype, partitionable))
        boost = np.where(boosted & (logs != 0), logs / a, real(0))
        return np.asarray(np.log(d) + np.log(volume) + boost)
    base = real(1) - _uniform(boost_keys, (), a.dtype, partitionable)
    return np.asarray(d * volume * np.where(boosted, np.power(base, real(1) / a), real(1)))


def _positive_cube_root(keys: Array, c: Array, partitionable: bool) -> tuple[Array, Array]:
    """For each key, normal x until v = 1 + c x is positive."""
    x, v = np.empty_like(c), np.empty_like(c)
    keys = np.ascontiguousarray(keys)
    active = np.arange(c.size)
    while active.size:
        pair = random_split(keys[active], shape=(2,), partitionable=partitionable)
        keys[active] = pair[:, 0]
        x[active] = _normal(pair[:, 1], c.dtype, partitionable)
        v[active] = c.dtype.type(1) + x[active] * c[active]
        active = active[v[active] <= 0]
    return x, v


# Loops with one key for all samples ---------------------------------------------------------------


def _each_key(sampler: Callable[..., Array], keys: Array, *parameters: Array) -> Array:
    """The sampler's results for each key and its parameters, stacked."""
    flat = keys.reshape(-1)
    shape = parameters[0].shape
    rows = [p.reshape(flat.size, *shape[keys.ndim :]) for p in parameters]
    return np.stack(
        [sampler(flat[i : i + 1].reshape(()), *[r[i] for r in rows]) for i in range(flat.size)]
    ).reshape(shape)


def _split(key: Array, n: int, partitionable: bool) -> list[Array]:
    keys = random_split(key, shape=(n,), partitionable=partitionable)
    return [from_words(keys["fry"][i]) for i in range(n)]


@kernel(ops.random_poisson_p)
def random_poisson(keys: Array, rate: Array, *, dtype: DType, partitionable: bool = False) -> Array:
    if rate.size == 0:
        return np.empty(rate.shape, dtype)
    work = rate.astype(_computing_dtype(rate.dtype))
    sampler = functools.partial(_poisson, dtype=dtype, partitionable=partitionable)
    if keys.ndim:
        return _each_key(sampler, keys, work)
    return sampler(keys, work)


def _poisson(key: Array, rate: Array, *, dtype: DType, partitionable: bool) -> Array:
    few = np.isnan(rate) | (rate < 10)
    out = np.empty(rate.shape, dtype)
    # All samples take part in each draw, so that the numbers do not depend on the other samples' rates.
    if few.any():
        out[...] = _poisson_by_products(key, np.where(few, rate, rate.dtype.type(0)), dtype, partitionable)
    if not few.all():
        large = np.where(few, rate.dtype.type(1e5), rate)
        out = np.where(few, out, _poisson_by_rejection(key, large, dtype, partitionable))
    return np.where(rate == 0, np.zeros((), dtype), out)


def _poisson_by_products(key: Array, rate: Array, dtype: DType, partitionable: bool) -> Array:
    count = np.zeros(rate.shape, dtype)
    log_product = np.zeros(rate.shape, rate.dtype)
    while True:
        going = log_product > -rate
        if not going.any():
            return count - np.ones((), dtype)
        key, draw = _split(key, 2, partitionable)
        count = np.where(going, count + np.ones((), dtype), count)
        log_product = log_product + np.log(_uniform(draw, rate.shape, rate.dtype, partitionable))


def _poisson_by_rejection(key: Array, rate: Array, dtype: DType, partitionable: bool) -> Array:
    real = rate.dtype.type
    log_rate = np.log(rate)
    b = real(0.931) + real(2.53) * np.sqrt(rate)
    a = real(-0.059) + real(0.02483) * b
    inverse_alpha = real(1.1239) + real(1.1328) / (b - real(3.4))
    v_r = real(0.9277) - real(3.6224) / (b - real(2))
    out = np.full(rate.shape, real(-1))
    accepted = np.zeros(rate.shape, np.bool_)
    while not accepted.all():
        key, first, second = _split(key, 3, partitionable)
        u = _uniform(first, rate.shape, rate.dtype, partitionable) - real(0.5)
        v = _uniform(second, rate.shape, rate.dtype, partitionable)
        u_shifted = real(0.5) - np.abs(u)
        k = np.floor((real(2) * a / u_shifted + b) * u + rate + real(0.43))
        s = np.log(v * inverse_alpha / (a / (u_shifted * u_shifted) + b))
        t = -rate + k * log_rate - _log_gamma(k + real(1))
        at_once = (u_shifted >= real(0.07)) & (v <= v_r)
        refused = (k < 0) | ((u_shifted < real(0.013)) & (v > u_shifted))
        accept = at_once | (~refused & (s <= t))
        out = np.where(accept, k, out)
        accepted |= accept
    return out.astype(dtype)


@kernel(ops.random_binomial_p)
def random_binomial(keys: Array, count: Array, probability: Array, *, partitionable: bool = False) -> Array:
    if count.size == 0:
        return np.empty(count.shape, count.dtype)
    dtype = _computing_dtype(count.dtype)
    sampler = functools.partial(_binomial, partitionable=partitionable)
    operands = count.astype(dtype), probability.astype(dtype)
    out = _each_key(sampler, keys, *operands) if keys.ndim else sampler(keys, *operands)
    return out.astype(count.dtype, copy=False)


def _binomial(key: Array, count: Array, probability: Array, *, partitionable: bool) -> Array:
    real = count.dtype.type
    small = probability < real(0.5)
    q = np.where(small, probability, real(1) - probability)
    bad_count = np.isnan(count) | (count < 0)
    bad_q = np.isnan(q) | (q < 0)
    infinite = np.isinf(count)
    q = np.where(bad_q, real(0.01), q)
    by_sums = bad_count | (count * q <= 10)
    n = np.floor(np.where(bad_count | infinite, real(0), count))
    by_sums |= infinite
    out = np.zeros(count.shape, count.dtype)
    if by_sums.any():
        out[...] = _binomial_by_sums(key, np.where(by_sums, n, real(0)), q, partitionable)
    if not by_sums.all():
        rejected = _binomial_by_rejection(
            key, np.where(by_sums, real(1e4), n), np.where(by_sums, real(0.5), q), partitionable
        )
        out = np.where(by_sums, out, rejected)
    invalid = bad_q | bad_count
    out = np.where(invalid, real(np.nan), out)
    out = np.where(infinite & ~invalid, real(np.inf), out)
    return np.asarray(np.where(small | invalid | infinite, out, n - out))


def _binomial_by_sums(key: Array, n: Array, q: Array, partitionable: bool) -> Array:
    real = n.dtype.type
    log1_q = np.log1p(-q)
    geometric_sum, successes = np.zeros(n.shape, n.dtype), np.zeros(n.shape, n.dtype)
    while True:
        going = geometric_sum <= n
        if not going.any():
            return np.asarray(successes - real(1))
        draw, key = _split(key, 2, partitionable)
        successes = np.where(going, successes + real(1), successes)
        u = _uniform(draw, n.shape, n.dtype, partitionable)
        geometric_sum = geometric_sum + np.ceil(np.log(u) / log1_q)


@functools.cache
def _stirling_tails() -> Array:
    """log k! less Stirling's formula for k + 1, for k = 0 ... 9."""
    return np.array(
        [
            math.lgamma(k + 1) - ((k + 0.5) * math.log(k + 1) - (k + 1) + 0.5 * math.log(2 * math.pi))
            for k in range(10)
        ]
    )


def _stirling_tail(k: Array) -> Array:
    real = k.dtype.type
    inside = np.clip(k, real(0), real(9))
    exact = _stirling_tails().astype(k.dtype)[np.floor(inside).astype(np.intp)]
    next_k = k + real(1)
    square = next_k * next_k
    series = (real(1 / 12) - (real(1 / 360) - real(1 / 1260) / square) / square) / next_k
    return np.asarray(np.where(k <= 9, exact, series))


def _binomial_by_rejection(key: Array, n: Array, q: Array, partitionable: bool) -> Array:
    real = n.dtype.type
    deviation = np.sqrt(n * q * (real(1) - q))
    b = real(1.15) + real(2.53) * deviation
    a = real(-0.0873) + real(0.0248) * b + real(0.01) * q
    c = n * q + real(0.5)
    v_r = real(0.92) - real(4.2) / b
    r = q / (real(1) - q)
    alpha = (real(2.83) + real(5.1) / b) * deviation
    m = np.floor((n + real(1)) * q)
    out = np.full(n.shape, real(-1))
    accepted = np.zeros(n.shape, np.bool_)
    while not accepted.all():
        key, first, second = _split(key, 3, partitionable)
        u = _uniform(first, n.shape, n.dtype, partitionable) - real(0.5)
        v = _uniform(second, n.shape, n.dtype, partitionable)
        us = real(0.5) - np.abs(u)
        k = np.floor((real(2) * a / us + b) * u + c)
        at_once = (us >= real(0.07)) & (v <= v_r)
        refused = (k < 0) | (k > n)
        s = np.log(v * alpha / (a / (us * us) + b))
        bound = (
            (m + real(0.5)) * np.log((m + real(1)) / (r * (n - m + real(1))))
            + (n + real(1)) * np.log((n - m + real(1)) / (n - k + real(1)))
            + (k + real(0.5)) * np.log(r * (n - k + real(1)) / (k + real(1)))
            + _stirling_tail(m)
            + _stirling_tail(n - m)
            - _stirling_tail(k)
            - _stirling_tail(n - k)
        )
        accept = at_once | (~refused & (s <= bound))
        out = np.where(accept, k, out)
        accepted |= accept
    return out
