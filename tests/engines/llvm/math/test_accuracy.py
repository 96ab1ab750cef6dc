"""The transcendental functions against mpmath, and their special values against NumPy."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np
import pytest

import pullback as pb
import pullback.numpy as jnp
from pullback import lax

from .accuracy import BINARY, DOUBLE, SINGLE, UNARY, binary_error, errors, references, unary_error
from .harness import run

DTYPES = pytest.mark.parametrize("dtype", [SINGLE, DOUBLE], ids=["float32", "float64"])


@DTYPES
@pytest.mark.parametrize("name", UNARY)
def test_unary_functions_are_accurate(name: str, dtype: np.dtype[Any]) -> None:
    error, place = unary_error(name, dtype, 80)
    assert error <= UNARY[name][2][dtype == DOUBLE], (error, place)


@DTYPES
@pytest.mark.parametrize("name", BINARY)
def test_binary_functions_are_accurate(name: str, dtype: np.dtype[Any]) -> None:
    error, place = binary_error(name, dtype, 300)
    assert error <= BINARY[name][1][dtype == DOUBLE], (error, place)


_NUMPY = {
    **{
        n: getattr(np, n)
        for n in [
            "exp",
            "exp2",
            "expm1",
            "log",
            "log1p",
            "log2",
            "log10",
            "sin",
            "cos",
            "tan",
            "sinh",
            "cosh",
            "tanh",
        ]
    },
    **{n: getattr(np, "arc" + n[1:]) for n in ["asin", "acos", "atan", "asinh", "acosh", "atanh"]},
    "sqrt": np.sqrt,
    "cbrt": np.cbrt,
}


def _specials(dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    info = np.finfo(dtype)
    tiny = [info.tiny, info.smallest_subnormal, 3 * info.smallest_subnormal]
    values = [0.0, 1.0, np.inf, np.nan, info.max, 2.0, 0.5, *tiny]
    return np.array([s * float(v) for v in values for s in (1, -1)], dtype)


@DTYPES
@pytest.mark.parametrize("name", _NUMPY)
@pytest.mark.parametrize("lanes", [1, 5])
def test_special_values_are_numpys(name: str, dtype: np.dtype[Any], lanes: int) -> None:
    x = _specials(dtype)
    with np.errstate(all="ignore"):
        want = _NUMPY[name](x.astype(np.longdouble)).astype(dtype)
    got = run(name, x, lanes=lanes)
    np.testing.assert_allclose(
        got, want, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).smallest_subnormal
    )
    exact = (want == 0) | ~np.isfinite(want)
    np.testing.assert_array_equal(
        np.signbit(got[exact & (want == want)]), np.signbit(want[exact & (want == want)])
    )


@DTYPES
@pytest.mark.parametrize("name", ["atan2", "pow", "hypot", "nextafter", "rem"])
def test_special_pairs_are_numpys(name: str, dtype: np.dtype[Any]) -> None:
    x = np.concatenate([_specials(dtype), np.array([3.0, -3.0, 1e9, -2.5], dtype)])
    x, y = (a.reshape(-1) for a in np.meshgrid(x, x))
    function = {
        "atan2": np.arctan2,
        "pow": np.power,
        "hypot": np.hypot,
        "nextafter": np.nextafter,
        "rem": np.fmod,
    }
    with np.errstate(all="ignore"):
        wide = x if name == "nextafter" else x.astype(np.longdouble)
        want = function[name](wide, y.astype(wide.dtype)).astype(dtype)
    got = run(name, x, y)
    np.testing.assert_allclose(
        got, want, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).smallest_subnormal
    )
    exact = ((want == 0) & (got == 0)) | np.isinf(want)
    np.testing.assert_array_equal(np.signbit(got[exact]), np.signbit(want[exact]))


def test_a_lane_does_not_see_its_neighbours() -> None:
    """Huge arguments take another path; lanes beside them must not change by that."""
    rng = np.random.default_rng(1)
    for dtype in (SINGLE, DOUBLE):
        x = rng.uniform(-50, 50, 64).astype(dtype)
        mixed = x.copy()
        mixed[5::16] = 1e30
        for name in ("sin", "cos", "tan"):
            alone, beside = run(name, x), run(name, mixed)
            keep = mixed == x
            np.testing.assert_array_equal(alone[keep], beside[keep])
            np.testing.assert_array_equal(run(name, mixed, lanes=1), beside)


@DTYPES
def test_powers_of_negative_numbers(dtype: np.dtype[Any]) -> None:
    rng = np.random.default_rng(2)
    x = -np.exp(rng.normal(0, 0.3, 200)).astype(dtype)
    y = rng.integers(-60, 60, 200).astype(dtype)
    found = errors(run("pow", x, y), references(BINARY["pow"][0], x, y), dtype)
    assert found.max() <= 2


@DTYPES
@pytest.mark.parametrize("exponent", [-1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
def test_powers_with_a_known_exponent(dtype: np.dtype[Any], exponent: float) -> None:
    """They are products and square roots, with the special values of the general function."""
    rng, info = np.random.default_rng(4), np.finfo(dtype)
    most = min(info.maxexp, -info.minexp) / max(abs(exponent), 1) - 3
    x = np.concatenate([2.0 ** rng.uniform(-most, most, 300), rng.uniform(0.5, 2, 300)]).astype(dtype)

    def power(x: Any) -> Any:
        with pb.enable_x64(True):
            compiled = pb.jit(lambda x: lax.pow(x, jnp.asarray(exponent, x.dtype))).lower(x).compile()
            assert compiled.as_text("llvm").count("llvm.fma") == 0  # there is no polynomial
            return np.asarray(compiled(x))

    found = errors(power(x), references(BINARY["pow"][0], x, np.full_like(x, exponent)), dtype)
    assert found.max() <= 2
    edges = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, -2.5, info.max, info.smallest_subnormal]
    special = np.array(edges, dtype)
    general = run("pow", special, np.full_like(special, exponent))
    np.testing.assert_allclose(power(special), general, rtol=2 * info.eps)
    numbers = ~np.isnan(general)
    np.testing.assert_array_equal(np.signbit(power(special))[numbers], np.signbit(general)[numbers])


@DTYPES
def test_lgamma_below_zero(dtype: np.dtype[Any]) -> None:
    """Next to its zeros the error is relative to 1."""
    x = -np.random.default_rng(3).uniform(0.01, 30, 200).astype(dtype)
    x = x[np.abs(x - np.rint(x)) > 0.01]
    found = errors(run("lgamma", x), references(UNARY["lgamma"][0], x), dtype, floor=1.0)
    assert found.max() <= 8
    assert np.isposinf(run("lgamma", np.array([0, -1, -2, np.inf, -np.inf], dtype))).all()


@DTYPES
def test_digamma(dtype: np.dtype[Any]) -> None:
    """Near its zeros the error is relative to 1."""
    rng = np.random.default_rng(4)
    x = np.concatenate([np.exp(rng.normal(0, 3, 200)), -rng.uniform(0.05, 20, 200)]).astype(dtype)
    x = x[(x > 0) | (np.abs(x - np.rint(x)) > 0.02)]
    found = errors(run("digamma", x), references(mp.digamma, x), dtype, floor=1.0)
    assert found.max() <= (1 if dtype == SINGLE else 12)
    special = run("digamma", np.array([0.0, -0.0, -1.0, np.inf, np.nan], dtype))
    np.testing.assert_array_equal(special, np.array([-np.inf, np.inf, np.nan, np.inf, np.nan], dtype))


@DTYPES
def test_erf_inv(dtype: np.dtype[Any]) -> None:
    """The specification's polynomials: the error grows as x^2 is rounded before it is subtracted from 1."""
    x = np.random.default_rng(5).uniform(-1, 1, 300).astype(dtype)
    want = np.array([float(v) for v in references(mp.erfinv, x)])
    bound = np.finfo(dtype).eps * (4 + 1 / (1 - np.abs(x.astype(np.float64))))
    assert (np.abs(run("erf_inv", x) - want) <= bound * np.abs(want)).all()
    ends = run("erf_inv", np.array([1, -1, 0, 1.5, np.nan], dtype))
    np.testing.assert_array_equal(ends, np.array([np.inf, -np.inf, 0, np.nan, np.nan], dtype))


@DTYPES
@pytest.mark.parametrize("name", ["erfcx", "log_ndtr", "ndtri", "bessel_i0e", "bessel_i1e", "erf", "erfc"])
def test_limits_are_scipys(name: str, dtype: np.dtype[Any]) -> None:
    import scipy.special

    ends = [0, 1, -1, np.inf, -np.inf, np.nan, 40, -40, 1e30, -1e30, 0.5, 2, 1e-30]
    x = np.array(ends, dtype)
    want = getattr(scipy.special, name.removeprefix("bessel_"))(x.astype(np.float64))
    with np.errstate(over="ignore", under="ignore"):
        np.testing.assert_allclose(run(name, x), want.astype(dtype), rtol=8 * np.finfo(dtype).eps)


@DTYPES
def test_logaddexp(dtype: np.dtype[Any]) -> None:
    rng = np.random.default_rng(6)
    x, y = rng.normal(0, 20, (2, 300)).astype(dtype)
    want = np.logaddexp(x.astype(np.longdouble), y.astype(np.longdouble))
    scale = np.maximum(np.maximum(np.abs(x), np.abs(y)), 1)
    assert (np.abs(run("logaddexp", x, y) - want) <= 2 * np.finfo(dtype).eps * scale).all()
    inf = np.inf
    x, y = np.array([[inf, -inf, inf, -inf, np.nan], [inf, -inf, -inf, 3, 1]], dtype)
    with np.errstate(invalid="ignore"):
        want = np.logaddexp(x, y)
    np.testing.assert_array_equal(run("logaddexp", x, y), want)


def test_remainders_of_all_sizes_are_exact() -> None:
    rng = np.random.default_rng(7)
    for dtype in (SINGLE, DOUBLE):
        x, y = (np.exp(rng.normal(0, 20, (2, 500))) * rng.choice([-1, 1], (2, 500))).astype(dtype)
        np.testing.assert_array_equal(run("rem", x, y), np.fmod(x, y))
