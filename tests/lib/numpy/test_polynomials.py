"""Polynomials, against JAX."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback._src.base.config import enable_x64
from pullback.test_util import check_grads

from ...ops.domains import uniform
from .expressions import check, parametrize


@parametrize(
    [
        "jnp.polyval([1,2],f)",
        "jnp.polyval(i,f)",
        "jnp.polyval(i,i)",
        "jnp.polyval(f,2)",
        "jnp.polyadd(i,i)",
        "jnp.polyadd(f,jnp.ones(2))",
        "jnp.polymul(i,f)",
        "jnp.polysub(i,f)",
        "jnp.polyder(i)",
        "jnp.polyder(f,2)",
        "jnp.polyint(i)",
        "jnp.polyint(f,2,k=f[:2])",
        "jnp.polyint(f,2,k=3)",
        "jnp.poly(f)",
        "jnp.roots(f)",
        "jnp.roots(i)",
        "jnp.polydiv(f,jnp.array([1.,1.]))",
        "jnp.vander(i)",
        "jnp.vander(i,2)",
        "jnp.vander(f,increasing=True)",
        "jnp.polyval(m,f)",
        "jnp.polyval(f,m)",
        "jnp.polyval(jnp.array([]),f)",
        "jnp.polyval(f,[1])",
        "jnp.polyval(jnp.ones((3,2)),f[:2])",
        "jnp.polyadd([1],f)",
        "jnp.polymul(f,f)",
        "jnp.polymul(i,i)",
        "jnp.polymul(jnp.array([0.,1.]),f,trim_leading_zeros=True)",
        "jnp.polymul(m,f)",
        "jnp.polysub(f[:2],f)",
        "jnp.polyder(f,0)",
        "jnp.polyder(f,5)",
        "jnp.polyder(f,-1)",
        "jnp.polyder(c)",
        "jnp.polyder(jnp.array(3.))",
        "jnp.polyint(f,0)",
        "jnp.polyint(f,-1)",
        "jnp.polyint(f,k=2)",
        "jnp.polyint(f,2,k=jnp.array([1.]))",
        "jnp.polyint(f,3,k=jnp.array([1.,2.]))",
        "jnp.poly(i)",
        "jnp.poly(jnp.array([]))",
        "jnp.poly(jnp.array([1+1j,1-1j]))",
        "jnp.poly(jnp.array([[1.,2.],[3.,4.]]))",
        "jnp.poly(2.)",
        "jnp.poly(jnp.ones((2,3)))",
        "jnp.roots(jnp.array([0.,1.,-3.,2.]))",
        "jnp.roots(jnp.array([0.,0.]))",
        "jnp.roots(jnp.array([5.]))",
        "jnp.roots(f,strip_zeros=False)",
        "jnp.roots(m)",
        "jnp.roots([1.,2.])",
        "jnp.polydiv(jnp.array([1.,5.,6.,4.]),jnp.array([1.,2.]))",
        "jnp.polydiv(i,jnp.array([1,1]))",
        "jnp.polydiv(f[:1],f)",
        "jnp.polydiv(jnp.array([1.,5.,6.]),jnp.array([1.,2.]),trim_leading_zeros=True)",
        "jnp.vander(f,4)",
        "jnp.vander(f,0)",
        "jnp.vander(f,-1)",
        "jnp.vander(m)",
        "jnp.vander(c)",
        "jnp.vander(jnp.array([0.,1.]),3)",
        "jnp.vander(b)",
        "jnp.vander(jnp.array(2.))",
        "jnp.polyfit(jnp.array([0.,1,2,3]),jnp.array([1.,3,5,7.5]),1)",
        "jnp.polyfit(jnp.array([0.,1,2,3]),jnp.array([1.,3,5,7.5]),2)",
        "jnp.polyfit(jnp.array([0.,1,2,3]),jnp.array([[1.,2],[3,4],[5,6],[7.5,8]]),1)",
        "jnp.polyfit(jnp.array([0.,1,2,3]),jnp.array([1.,3,5,7.5]),1,full=True)",
        "jnp.polyfit(jnp.array([0.,1,2,3]),jnp.array([1.,3,5,7.5]),1,cov=True)",
        "jnp.polyfit(jnp.array([0.,1,2,3]),jnp.array([1.,3,5,7.5]),1,cov='unscaled')",
        "jnp.polyfit(jnp.array([0.,1,2,3]),jnp.array([1.,3,5,7.5]),1,w=jnp.array([1.,2,1,1]))",
        "jnp.polyfit(f,f[:2],1)",
        "jnp.polyfit(f,f,-1)",
        "jnp.polyfit(m,f,1)",
    ]
)
def test_polynomials(text: str) -> None:
    check(text)


@pytest.mark.parametrize("name", ["polyadd", "polysub", "polymul"])
def test_gradients_of_pairs(name: str) -> None:
    with enable_x64(True):
        a, b = pnp.asarray(uniform(-1, 1, (4,), np.float64)), pnp.asarray(uniform(-1, 1, (3,), np.float64, 1))
        check_grads(getattr(pnp, name), (a, b), 2)


@pytest.mark.parametrize("count", [3, 20])
def test_gradients_of_polyval(count: int) -> None:
    with enable_x64(True):
        p = pnp.asarray(uniform(-1, 1, (count,), np.float64))
        check_grads(pnp.polyval, (p, pnp.asarray(uniform(0.2, 0.9, (2,), np.float64))), 2)


def test_long_polynomials_are_loops() -> None:
    p = uniform(-1, 1, (40,), np.float32)
    np.testing.assert_allclose(float(pnp.polyval(pnp.asarray(p), 0.5)), np.polyval(p, 0.5), rtol=1e-6)
    program = pb.make_jaxpr(pnp.polyval)(pnp.asarray(p), 0.5)
    assert len(program.eqns) < 10


def test_roots_against_numpy() -> None:
    for p in ([1.0, -3.0, 2.0, 0.0], [0.0, 2.0, 0.0, -8.0, 0.0, 0.0], [1.0, 0.0, 1.0]):
        found = np.sort_complex(np.asarray(pnp.roots(pnp.array(p))))
        np.testing.assert_allclose(found, np.sort_complex(np.roots(p)), atol=1e-6)


def test_roots_are_differentiable() -> None:
    """The derivative of a simple root r by the coefficient of X^k is -r^k / p'(r)."""
    with enable_x64(True):
        p = pnp.array([1.0, -4.5, 2.0])
        jacobian = pb.jacfwd(lambda p: pnp.sort(pnp.roots(p, strip_zeros=False).real))(p)
        r = np.sort(np.roots([1.0, -4.5, 2.0]))
        expected = -np.stack([r**2, r, r**0], 1) / (2 * r - 4.5)[:, None]
        np.testing.assert_allclose(np.asarray(jacobian), expected, rtol=1e-9)


def test_tracing_needs_known_zeros() -> None:
    with pytest.raises(pb.errors.ConcretizationTypeError, match="strip_zeros=False"):
        pb.jit(pnp.roots)(pnp.ones(3))
    np.testing.assert_allclose(
        np.asarray(pb.jit(lambda p: pnp.roots(p, strip_zeros=False))(pnp.array([1.0, -1.0]))), [1.0]
    )


def test_polyfit_of_more_than_jax_accepts() -> None:
    """JAX refuses integers; the covariance is that of NumPy."""
    x, y = np.array([0, 1, 2, 3, 4]), np.array([1, 3, 5, 7, 10])
    np.testing.assert_allclose(np.asarray(pnp.polyfit(x, y, 1)), np.polyfit(x, y, 1), rtol=1e-5)
    with enable_x64(True):
        found, covariance = pnp.polyfit(x, y, 2, cov=True)
        expected, expected_covariance = np.polyfit(x, y, 2, cov=True)
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-10)
        np.testing.assert_allclose(np.asarray(covariance), expected_covariance, rtol=1e-8)
    with pytest.raises(ValueError, match="covariance"):
        pnp.polyfit(x[:2], y[:2], 1, cov=True)


@pytest.mark.parametrize(
    "call",
    [
        lambda: pnp.polyval(pnp.array(3.0), 1.0),
        lambda: pnp.polyder(pnp.array(3.0)),
        lambda: pnp.polymul(pnp.ones((2, 2)), pnp.ones(2)),
        lambda: pnp.roots(pnp.ones((2, 2))),
        lambda: pnp.polyfit(pnp.ones((2, 2)), pnp.ones(2), 1),
        lambda: pnp.polyfit(pnp.ones(2), pnp.ones(2), 1, w=pnp.ones(3)),
    ],
)
def test_wrong_shapes(call: object) -> None:
    with pytest.raises(pb.errors.ShapeError):
        call()  # type: ignore[operator]


def test_infinite_zeros_leave_the_leading_coefficient() -> None:
    assert np.array_equal(pnp.poly(pnp.array([1.0, np.nan])), [1, np.nan, np.nan], equal_nan=True)
    with pytest.raises(ValueError, match="polyint: coefficients need a dimension"):
        pnp.polyint(3.0)
