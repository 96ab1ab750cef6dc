"""What is known of values saves cases and changes no result: bounds hold, special values stay."""

from __future__ import annotations

import math
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pullback as pb
import pullback.numpy as jnp
from pullback import lax
from pullback._src.base.config import enable_x64
from pullback._src.engines.llvm.ir import Emitter, Value, constant
from pullback._src.engines.llvm.math import bounds
from pullback._src.engines.llvm.module import Module

from .harness import run
from .test_accuracy import DTYPES, errors, references

ENDS = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-30, 1.0, 10.15, 10.2, 26.9, 27.3, 30.0, 1e30, 3e38]
SINGLE = np.dtype(np.float32)


def _points(dtype: Any, scale: float) -> np.ndarray[Any, Any]:
    draws = np.random.default_rng(0).normal(0, scale, 2000)
    small = np.exp(np.random.default_rng(1).uniform(-80, 0, 200))
    return np.concatenate([draws, small, ENDS, [-x for x in ENDS]]).astype(dtype)


def _same(found: Any, wanted: Any) -> None:
    np.testing.assert_array_equal(found, wanted)
    number = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(found)[number], np.signbit(wanted)[number])


@DTYPES
def test_logarithms_of_one_and_a_fraction(dtype: Any) -> None:
    with enable_x64():
        x = np.abs(_points(dtype, 9))
        found = np.asarray(pb.jit(lambda x: jnp.log1p(jnp.exp(-jnp.abs(x))))(x))
        small = np.asarray(pb.jit(lambda x: jnp.exp(-x))(x))
    kept = (small > 0) & (small <= 1)
    assert errors(found[kept], references(mp.log1p, small[kept]), dtype).max() <= 2
    _same(found[~kept], np.log1p(small[~kept]))


@DTYPES
def test_gaussians_are_exponentials_of_squares(dtype: Any) -> None:
    with enable_x64(), np.errstate(over="ignore"):
        x = _points(dtype, 9)
        for f in (lambda x: -(x * x), lambda x: -(x**2), lambda x: -jnp.square(-x)):
            _same(pb.jit(lambda x, f=f: jnp.exp(f(x)))(x), pb.jit(jnp.exp)(-(x * x)))


@DTYPES
def test_error_functions_share_their_gaussian(dtype: Any) -> None:
    """erf, erfc and their derivatives in one program are those of each alone."""
    with enable_x64():
        x = _points(dtype, 3)
        for f in (lax.erf, lax.erfc):
            g = pb.vmap(pb.grad(f))
            both = pb.jit(lambda x, f=f, g=g: (f(x), g(x)))(x)
            _same(both[0], pb.jit(f)(x))
            _same(both[1], pb.jit(g)(x))


@DTYPES
def test_inverse_error_function_inside(dtype: Any) -> None:
    """No case is left out that occurs: numbers below 1 are those of the function of any numbers."""
    with enable_x64():
        bits = np.random.default_rng(2).integers(0, 2**63, 3000).astype(np.uint64)
        bits[:4] = 0, 2**64 - 1, 2**63, 2**63 - 2**40
        if dtype == SINGLE:
            bits = (bits >> np.uint64(32)).astype(np.uint32)
        width, mantissa = (32, 23) if dtype == SINGLE else (64, 52)

        def uniform(bits: Any) -> Any:
            one = np.ones((), dtype)
            word = lax.bitwise_or(
                lax.shift_right_logical(bits, bits.dtype.type(width - mantissa)), one.view(bits.dtype)
            )
            x = lax.bitcast_convert_type(word, dtype) - one
            low = np.nextafter(-one, np.zeros((), dtype))
            return jnp.maximum(low, x * (one - low) + low)

        x = pb.jit(uniform)(bits)
        assert float(x.min()) < -0.9999 and float(x.max()) < 1
        _same(pb.jit(lambda b: lax.erf_inv(uniform(b)))(bits), run("erf_inv", np.asarray(x)))


@DTYPES
@pytest.mark.parametrize("limit", [0.0, -0.0, 1.5, np.inf, np.nan])
@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_extremes_with_numbers(name: str, limit: float, dtype: Any) -> None:
    with enable_x64():
        x, given = _points(dtype, 2), np.full((), limit, dtype)
        f = getattr(jnp, name)
        _same(pb.jit(lambda x: f(x, given))(x), pb.jit(f)(x, np.full_like(x, limit)))
        _same(pb.jit(lambda x: f(given, x))(x), pb.jit(f)(np.full_like(x, limit), x))


@DTYPES
@pytest.mark.parametrize(
    ("limit", "functions"),
    [
        (lambda x: jnp.clip(x, -9, 9), (jnp.sin, jnp.cos, jnp.tan)),
        (lambda x: x * x + 1, (jnp.log, jnp.log2, jnp.log10)),
        (lambda x: x * x, (jnp.log1p, jnp.log, jnp.sqrt)),
        (jnp.abs, (jnp.log1p, jnp.log, jnp.exp)),
    ],
)
def test_functions_of_limited_numbers(limit: Any, functions: Any, dtype: Any) -> None:
    """Small angles, numbers of one sign: the results are those of the same numbers, given."""
    with enable_x64(), np.errstate(over="ignore"):
        x = _points(dtype, 3)
        limited = np.asarray(pb.jit(limit)(x))
        for f in functions:
            _same(pb.jit(lambda x, f=f: f(limit(x)))(x), pb.jit(f)(limited))


_NUMBERS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0**-149, -(2.0**-140), 3e38, -3e38, math.inf, -math.inf]),
    st.floats(width=32, allow_nan=False),
)


@given(
    st.tuples(*[_NUMBERS] * 4),
    st.tuples(*[st.floats(0, 1)] * 2),
    st.sampled_from(["fadd", "fsub", "fmul"]),
    _NUMBERS,
)
def test_bounds_hold(ends: Any, places: Any, name: str, term: float) -> None:
    """Rounded sums and products, and products that are added before they are rounded, lie in their bounds."""
    e = Emitter(Module())
    values, numbers = [], []
    for k, place in enumerate(places):
        low, high = sorted(ends[2 * k : 2 * k + 2])
        with np.errstate(all="ignore"):
            inside = np.float32(low) + np.float32(place) * (np.float32(high) - np.float32(low))
            inside = np.float32(low if np.isnan(inside) else min(max(inside, low), high))
        values.append(bounds.within(e, Value(f"%in{k}", "float", 1, 0), low, high))
        numbers.append(inside)
    result = bounds.COMBINED[name](e, getattr(e, name)(*values), *values)
    with np.errstate(all="ignore"):
        x, y = map(np.longdouble, numbers)
        exact = {"fadd": x + y, "fsub": x - y, "fmul": x * y}[name]
        low, high = bounds.of(e, result)
        assert np.isnan(exact) or low <= np.float32(exact) <= high
        if name == "fmul":
            number = constant(term, "float")
            total = bounds.add(e, e.fadd(result, number), result, number)
            low, high = bounds.of(e, total)
            rounded = np.float32(exact + np.longdouble(term))
            assert np.isnan(rounded) or low <= rounded <= high
