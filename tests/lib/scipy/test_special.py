"""`scipy.special`, against SciPy in value and against JAX in type and derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.scipy.special as jsp
import numpy as np
import pytest
import scipy.special as reference

import pullback as pb
import pullback.scipy.special as special
from pullback._src.base.config import enable_x64

from ... import oracle

_RNG = np.random.default_rng(0)


def _points(*ranges: tuple[float, float]) -> list[np.ndarray[Any, Any]]:
    return [_RNG.uniform(low, high, 12) for low, high in ranges]


_CASES: list[tuple[str, list[np.ndarray[Any, Any]]]] = [
    ("beta", _points((0.5, 4), (0.5, 4))),
    ("betainc", _points((0.5, 4), (0.5, 4), (0.1, 0.9))),
    ("betaln", _points((0.5, 4), (0.5, 4))),
    ("boxcox", _points((0.5, 4), (-2, 2))),
    ("boxcox1p", _points((-0.5, 4), (-2, 2))),
    ("comb", [np.array([5.0, 6, 3, 2]), np.array([2.0, 0, 3, 4])]),
    ("dawsn", _points((-4, 4))),
    ("digamma", _points((-3.9, 6))),
    ("entr", [np.array([-1.0, 0, 0.3, 2, np.nan])]),
    ("erf", _points((-4, 4))),
    ("erfc", _points((-4, 6))),
    ("erfcx", _points((-2, 30))),
    ("erfinv", _points((-1, 1))),
    ("exp1", _points((0.1, 9))),
    ("expi", _points((-3, 9))),
    ("expit", _points((-9, 9))),
    ("expn", [np.array([0.0, 1, 2, 5]), np.array([0.5, 0.5, 3, 9])]),
    ("factorial", [np.array([-1.0, 0, 1, 5, 10])]),
    ("gamma", _points((-3.9, 6))),
    ("gammainc", _points((0.3, 9), (0.1, 9))),
    ("gammaincc", _points((0.3, 9), (0.1, 9))),
    ("gammaln", _points((-3.9, 6))),
    ("hyp1f1", _points((0.5, 2), (1, 3), (-2, 2))),
    ("hyp2f1", _points((0.5, 2), (0.5, 2), (1, 3), (-0.6, 0.6))),
    ("i0", _points((-6, 6))),
    ("i0e", _points((-6, 6))),
    ("i1", _points((-6, 6))),
    ("i1e", _points((-6, 6))),
    ("kl_div", [np.array([0.0, 0.2, 0.2, -1, 0]), np.array([0.5, 0.3, 0, 1, 0])]),
    ("log_ndtr", _points((-40, 5))),
    ("logit", _points((0.01, 0.99))),
    ("ndtr", _points((-8, 8))),
    ("ndtri", _points((0.001, 0.999))),
    ("owens_t", _points((-3, 3), (-3, 3))),
    ("poch", _points((0.5, 4), (0.5, 3))),
    ("polygamma", [np.array([0.0, 1, 2, 3]), np.array([0.5, 1, 2, 3])]),
    ("rel_entr", [np.array([0.0, 0.2, 0.2, -1, 0]), np.array([0.5, 0.3, 0, 1, 0])]),
    ("spence", _points((0.1, 5))),
    ("xlog1py", [np.array([0.0, 0, 2, 1]), np.array([-1.0, 3, 0.5, np.nan])]),
    ("xlogy", [np.array([0.0, 0, 2, 1]), np.array([0.0, 3, 0.5, np.nan])]),
    ("zeta", _points((1.5, 5), (0.5, 4))),
]


def _id(value: Any) -> str:
    return value if isinstance(value, str) else ""


@pytest.mark.parametrize(("name", "args"), _CASES, ids=_id)
def test_against_scipy(name: str, args: list[np.ndarray[Any, Any]]) -> None:
    function, expected = getattr(special, name), getattr(reference, name)(*args)
    with enable_x64(True):
        np.testing.assert_allclose(np.asarray(function(*args)), expected, rtol=2e-12, atol=1e-13)
    singles = [a.astype(np.float32) for a in args]
    out = function(*singles)
    assert out.dtype == np.float32
    rounded = getattr(reference, name)(*[a.astype(np.float64) for a in singles])
    np.testing.assert_allclose(np.asarray(out), rounded, rtol=2e-5, atol=2e-6)


# Functions that are differentiable by all arguments; the others are so by the last one.
_BY_ALL = {
    "beta",
    "betaln",
    "boxcox",
    "boxcox1p",
    "owens_t",
    "poch",
    "kl_div",
    "rel_entr",
    "xlog1py",
    "xlogy",
}


@pytest.mark.parametrize(("name", "args"), [c for c in _CASES if c[0] not in ("comb", "factorial")], ids=_id)
def test_gradients_against_differences_of_scipy(name: str, args: list[np.ndarray[Any, Any]]) -> None:
    inside = [np.where(np.isnan(a), 1.0, a) for a in args]
    if name in ("entr", "rel_entr", "kl_div", "xlogy", "xlog1py"):
        inside = [np.abs(a) + 0.05 for a in inside]
    argnums = tuple(range(len(args))) if name in _BY_ALL else (len(args) - 1,)
    step = 1e-6
    with enable_x64(True):
        found = pb.grad(lambda *xs: getattr(special, name)(*xs).sum(), argnums)(*inside)
    for position, gradient in zip(argnums, found, strict=True):
        up, down = list(inside), list(inside)
        up[position], down[position] = inside[position] + step, inside[position] - step
        expected = (getattr(reference, name)(*up) - getattr(reference, name)(*down)) / (2 * step)
        np.testing.assert_allclose(
            np.asarray(gradient), expected, rtol=2e-6, atol=1e-7 * np.abs(expected).max()
        )


@pytest.mark.parametrize("name", ["xlogy", "xlog1py", "rel_entr", "kl_div"])
def test_gradients_at_zero_are_finite(name: str) -> None:
    function: Callable[..., Any] = getattr(special, name)
    out = pb.grad(lambda x: function(x, 2.0))(0.0)
    assert np.isfinite(float(out))


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1)])
@pytest.mark.parametrize(
    "options", [{}, {"keepdims": True}, {"return_sign": True}, {"b": "factors"}, {"where": "mask"}]
)
def test_logsumexp_against_jax(axis: Any, options: dict[str, Any]) -> None:
    x = _RNG.normal(size=(3, 4)).astype(np.float32)
    replaced = {
        "factors": _RNG.uniform(0, 2, (3, 4)).astype(np.float32),
        "mask": _RNG.uniform(size=(3, 4)) > 0.3,
    }
    filled = {k: replaced.get(v, v) if isinstance(v, str) else v for k, v in options.items()}
    oracle.check(special.logsumexp, jsp.logsumexp, x, axis=axis, **filled)


def test_logsumexp_of_infinities_and_of_nothing() -> None:
    assert float(special.logsumexp(np.float32([-np.inf, -np.inf]))) == -np.inf
    assert float(special.logsumexp(np.float32([np.inf, 1]))) == np.inf
    assert float(special.logsumexp(np.zeros(0, np.float32))) == -np.inf
    np.testing.assert_allclose(
        float(special.logsumexp(np.float32([1000, 1000]))), 1000 + np.log(2), rtol=1e-6
    )
    grad = pb.grad(special.logsumexp)(np.float32([-np.inf, 0.0]))
    np.testing.assert_array_equal(np.asarray(grad), [0, 1])


def test_logsumexp_with_negative_factors() -> None:
    a, b = np.float32([1.0, 2.0]), np.float32([1.0, -1.0])
    assert np.isnan(float(special.logsumexp(a, b=b)))
    value, sign = special.logsumexp(a, b=b, return_sign=True)
    expected = np.exp(1.0) - np.exp(2.0)
    assert float(sign) == -1
    np.testing.assert_allclose(float(value), np.log(-expected), rtol=1e-6)


def test_pairs() -> None:
    x = _points((0.2, 5))[0]
    with enable_x64(True):
        for ours, theirs in (
            (special.sici(x), reference.sici(x)),
            (special.fresnel(x), reference.fresnel(x)),
        ):
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(np.asarray(a), b, rtol=1e-12)
        z = x + 0.5j
        np.testing.assert_allclose(np.asarray(special.wofz(z)), reference.wofz(z), rtol=1e-12)
        out = np.asarray(special.bessel_jn(x, v=3))
        np.testing.assert_allclose(out, [reference.jv(n, x) for n in range(4)], rtol=1e-11)
        np.testing.assert_allclose(
            np.asarray(special.multigammaln(x + 2, 3)), reference.multigammaln(x + 2, 3), rtol=1e-12
        )
        np.testing.assert_allclose(np.asarray(special.bernoulli(6)), reference.bernoulli(6), rtol=1e-14)


def test_signs_of_gamma() -> None:
    x = np.array([-2.5, -1.5, -1.0, -0.5, 0.0, -0.0, 0.5, 3.0, np.nan])
    expected = [-1, 1, np.nan, -1, 1, -1, 1, 1, np.nan]
    np.testing.assert_array_equal(np.asarray(special.gammasgn(x.astype(np.float32))), np.float32(expected))
    np.testing.assert_allclose(np.asarray(special.loggamma(np.float32(2.5))), 0.284683, rtol=1e-5)
    assert np.isnan(float(special.loggamma(np.float32(-0.5))))


def test_softmax_is_over_all_elements_by_default() -> None:
    x = _RNG.normal(size=(2, 3)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(special.softmax(x)), reference.softmax(x), rtol=1e-6)
    np.testing.assert_allclose(
        np.asarray(special.log_softmax(x, axis=0)), reference.log_softmax(x, axis=0), rtol=1e-5
    )


def test_types_follow_jax() -> None:
    for name in ("erf", "expit", "entr"):
        for x in (0.5, np.float16([0.5, 0.25]), np.array([1], np.int32)):
            oracle.check(getattr(special, name), getattr(jsp, name), x, units=64)


def test_errors() -> None:
    with pytest.raises(TypeError, match="list"):
        special.erf([1.0, 2.0])
    with pytest.raises(NotImplementedError, match="exact"):
        special.factorial(3, exact=True)
    with pytest.raises(ValueError, match="positive integer"):
        special.multigammaln(3.0, 0)


@pytest.mark.parametrize("compiled", [False, True])
def test_normal_distribution_far_out(compiled: bool) -> None:
    """Each tail is accurate relative to itself; derivatives are those of the density, to the third."""
    points = np.array([-37.0, -20, -5, -1.2, -0.6, -1e-300, 0, 0.3, 0.9, 3, 9, 37])
    density = np.exp(-points * points / 2) / np.sqrt(2 * np.pi)
    with enable_x64():
        f = special.ndtr
        wanted = [reference.ndtr(points), density, -points * density, (points**2 - 1) * density]
        for want in wanted:
            g = pb.vmap(f)
            found = (pb.jit(g) if compiled else g)(points)
            np.testing.assert_allclose(found, want, rtol=3e-13, atol=1e-300)
            f = pb.grad(f)
        ends = (pb.jit(special.ndtr) if compiled else special.ndtr)(np.array([-np.inf, np.inf, np.nan]))
        np.testing.assert_array_equal(ends, [0.0, 1.0, np.nan])
