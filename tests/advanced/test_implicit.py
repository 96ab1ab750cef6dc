"""`implicit` against closed forms, SciPy and explicit derivatives; under every transformation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.optimize

import pullback as pb
import pullback.numpy as pnp
from pullback import implicit, lax
from pullback._src.base.config import engine
from pullback.errors import ConvergenceError, DTypeError, ShapeError, StructureError
from pullback.test_util import check_grads


@pytest.fixture(autouse=True)
def _wide() -> Iterator[None]:
    with pb.enable_x64(True):
        yield


# Solvers ------------------------------------------------------------------------------------------------

SOLVERS = {
    "newton": implicit.newton(),
    "newton-gmres": implicit.newton(linear_solver=implicit.gmres()),
    "newton-plain": implicit.newton(line_search=False),
    "bisection": implicit.bisection(0.0, 100.0),
    "anderson": implicit.anderson(),
    "iteration": implicit.iteration(0.2, max_steps=3000),
}
LINEAR = {
    "dense": implicit.dense(),
    "gmres": implicit.gmres(),
    "bicgstab": implicit.bicgstab(),
    "cg": implicit.cg(),
}


@pytest.mark.parametrize("name", SOLVERS)
def test_square_roots_by_every_solver(name: str) -> None:
    """The path has no part in the derivatives: all solvers agree with the closed form, to third order."""

    def f(a: Any) -> Any:
        return implicit.root(lambda x, a: a - x * x, pnp.ones_like(a), a, solver=SOLVERS[name])

    a = np.array([0.5, 2.0, 7.0])
    np.testing.assert_allclose(f(a), np.sqrt(a), rtol=1e-11)
    np.testing.assert_allclose(pb.vmap(f)(a), np.sqrt(a), rtol=1e-11)
    np.testing.assert_allclose(pb.jit(pb.jacfwd(f))(a), np.diag(0.5 / np.sqrt(a)), rtol=1e-11)
    np.testing.assert_allclose(pb.vmap(pb.grad(f))(a), 0.5 / np.sqrt(a), rtol=1e-11)
    np.testing.assert_allclose(pb.vmap(pb.grad(pb.grad(f)))(a), -0.25 * a**-1.5, rtol=1e-11)
    third = pb.vmap(pb.jacfwd(pb.grad(pb.jacfwd(f))))(a)
    np.testing.assert_allclose(third, 0.375 * a**-2.5, rtol=1e-10)


A = np.array([[3.0, 1.0, -0.5], [0.5, 2.0, 0.25], [-1.0, 0.75, 4.0]])
S = A @ A.T
B = np.array([1.0, -2.0, 0.5])


@pytest.mark.parametrize("name", LINEAR)
def test_linear_solvers(name: str) -> None:
    """The Jacobian of the root of S x + x^3 = b by b is (S + 3 diag x^2)^-1."""

    def f(b: Any) -> Any:
        return implicit.root(
            lambda x: pnp.asarray(S) @ x + x**3 - b, pnp.zeros(3), linear_solver=LINEAR[name]
        )

    x = scipy.optimize.fsolve(lambda x: S @ x + x**3 - B, np.zeros(3), xtol=1e-14)
    expected = np.linalg.inv(S + np.diag(3 * x**2))
    np.testing.assert_allclose(f(B), x, rtol=1e-10)
    np.testing.assert_allclose(pb.jacrev(f)(B), expected, rtol=1e-9)
    np.testing.assert_allclose(pb.jit(pb.jacfwd(f))(B), expected, rtol=1e-9)


def test_many_unknowns_take_the_iterative_solver() -> None:
    n = 700

    def f(a: Any) -> Any:
        def residual(x: Any) -> Any:
            return (2 + a) * x - 0.5 * pnp.roll(x, 1) - 0.4 * pnp.roll(x, -1) - pnp.ones(n)

        return implicit.root(residual, pnp.zeros(n)).sum()

    # The solution is constant: 1 / (1.1 + a).
    np.testing.assert_allclose(pb.jit(f)(0.3), n / 1.4, rtol=1e-9)
    np.testing.assert_allclose(pb.grad(f)(0.3), -n / 1.4**2, rtol=1e-9)


def test_rosenbrock() -> None:
    def objective(x: Any, a: Any) -> Any:
        return (a - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2

    def f(a: Any) -> Any:
        return implicit.argmin(objective, pnp.array([-1.2, 1.0]), a)

    np.testing.assert_allclose(f(1.5), [1.5, 2.25], rtol=1e-9)
    np.testing.assert_allclose(pb.jacrev(f)(1.5), [1.0, 3.0], rtol=1e-8)
    np.testing.assert_allclose(pb.jacfwd(pb.jacrev(f))(1.5), [0.0, 2.0], rtol=1e-7, atol=1e-7)


# Structure and types ------------------------------------------------------------------------------------


def test_trees() -> None:
    def residual(x: Any, p: Any) -> Any:
        u, v = x["u"], x["v"]
        return {"u": p[0] * u + v.sum() - 1, "v": v**3 + v + u * p[1]["c"]}

    def f(p: Any) -> Any:
        x = implicit.root(residual, {"u": 1, "v": np.zeros(3)}, p)
        return x["u"] * x["v"].sum(), x["v"]

    p = (2.0, {"c": np.array([0.3, -1.0, 0.7])})

    def flat(z: Any) -> Any:
        return [p[0] * z[0] + z[1:].sum() - 1, *(z[1:] ** 3 + z[1:] + z[0] * p[1]["c"])]

    z = scipy.optimize.fsolve(flat, np.zeros(4), xtol=1e-14)
    product, v = pb.jit(f)(p)
    np.testing.assert_allclose(product, z[0] * z[1:].sum(), rtol=1e-9)
    np.testing.assert_allclose(v, z[1:], rtol=1e-9)
    check_grads(f, (p,), 2)


def test_closures_are_differentiated() -> None:
    def f(a: Any) -> Any:
        return implicit.fixed_point(lambda x: pnp.cos(a * x), 0.5)

    x = float(f(0.9))
    assert abs(x - np.cos(0.9 * x)) < 1e-11
    expected = -x * np.sin(0.9 * x) / (1 + 0.9 * np.sin(0.9 * x))
    np.testing.assert_allclose(pb.grad(f)(0.9), expected, rtol=1e-10)
    check_grads(f, (0.9,), 3)


def test_nested() -> None:
    """A root within a root, and a root of a gradient of a root."""

    def inner(a: Any) -> Any:
        return implicit.root(lambda y: y**3 - a, 1.0)

    def outer(b: Any) -> Any:
        return implicit.root(lambda x: inner(x) + pb.grad(inner)(x) - b, 2.0)

    # x^(1/3) + x^(-2/3) / 3 = b
    x = scipy.optimize.brentq(lambda x: x ** (1 / 3) + x ** (-2 / 3) / 3 - 2.0, 1, 20, xtol=1e-14)
    slope = x ** (-2 / 3) / 3 - 2 / 9 * x ** (-5 / 3)
    np.testing.assert_allclose(outer(2.0), x, rtol=1e-9)
    np.testing.assert_allclose(pb.jit(pb.grad(outer))(2.0), 1 / slope, rtol=1e-8)


@pb.jit
def _jitted(x: Any) -> Any:
    return pb.jit(lambda x: x * x)(x)


SQUARES = {
    "jit": _jitted,
    "scan": lambda x: lax.scan(lambda c, _: (c * x, None), 1.0, None, length=2)[0],
    "fori_loop": lambda x: lax.fori_loop(0, 2, lambda i, c: c * x, 1.0),
    "while_loop": lambda x: lax.while_loop(lambda s: s[0] < 2, lambda s: (s[0] + 1, s[1] * x), (0, 1.0))[1],
    "cond": lambda x: lax.cond(x > 0, lambda x: x * x, lambda x: x, x),
    "checkpoint": pb.checkpoint(lambda x: x * x),
    "root": lambda x: implicit.root(lambda y: y - x * x, 1.0),
}


@pytest.mark.parametrize("name", SQUARES)
def test_residuals_with_calls_and_loops(name: str) -> None:
    """Their values are factors of the tangents, which are transposed."""
    square = SQUARES[name]

    def cube_root(a: Any) -> Any:
        return implicit.root(lambda x: square(x) * x - a, 1.0)

    for run in (pb.grad(cube_root), pb.jit(pb.grad(cube_root)), pb.jacfwd(cube_root)):
        np.testing.assert_allclose(run(8.0), 1 / 12, rtol=1e-10)
    np.testing.assert_allclose(pb.grad(pb.grad(cube_root))(8.0), -2 / 9 * 8 ** (-5 / 3), rtol=1e-8)


def test_single_precision() -> None:
    def f(a: Any) -> Any:
        return implicit.root(lambda x, a: x**3 - a, np.float32(1), a)

    x, slope = pb.value_and_grad(f)(np.float32(5))
    assert x.dtype == slope.dtype == np.float32
    np.testing.assert_allclose([x, slope], [5 ** (1 / 3), 5 ** (-2 / 3) / 3], rtol=1e-6)


@pytest.mark.parametrize("holomorphic", [True, False])
def test_complex_numbers(holomorphic: bool) -> None:
    """z^2 = a (1 + i), and z |z| = a (1 + i), whose derivative is linear over the reals only."""

    def f(a: Any) -> Any:
        z = implicit.root(lambda z: z * (z if holomorphic else pnp.abs(z)) - a * (1 + 1j), 1.0 + 0.5j)
        return pnp.array([z.real, z.imag])

    def reference(a: float) -> complex:
        r = np.sqrt(a * np.sqrt(2))
        return complex(r * np.exp(0.125j * np.pi if holomorphic else 0.25j * np.pi))

    z = reference(2.0)
    np.testing.assert_allclose(f(2.0), [z.real, z.imag], rtol=1e-11)
    for jacobian in (pb.jacfwd, pb.jacrev):
        np.testing.assert_allclose(jacobian(f)(2.0), np.array([z.real, z.imag]) / 4.0, rtol=1e-10)
    check_grads(f, (2.0,), 2)


# Hyper-parameters and layers ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["numpy", "llvm"])
def test_ridge_regression(name: str) -> None:
    """Gradient and Hessian of a test loss by the regularization, against the closed form of the weights."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 4)), rng.normal(size=20)
    x_test, y_test = rng.normal(size=(8, 4)), rng.normal(size=8)

    def weights(strength: Any) -> Any:
        def loss(w: Any) -> Any:
            return ((x @ w - y) ** 2).sum() + (strength * w**2).sum()

        return implicit.argmin(loss, pnp.zeros(4), linear_solver=implicit.cg())

    def direct(strength: Any) -> Any:
        return pnp.linalg.solve(x.T @ x + pnp.diag(strength), x.T @ y)

    def through(solution: Any) -> Any:
        return lambda strength: ((x_test @ solution(strength) - y_test) ** 2).mean()

    strength = np.array([0.1, 1.0, 3.0, 0.5])
    with engine(name):
        found = pb.jit(pb.grad(through(weights)))(strength), pb.jit(pb.hessian(through(weights)))(strength)
    np.testing.assert_allclose(found[0], pb.grad(through(direct))(strength), rtol=1e-9)
    np.testing.assert_allclose(found[1], pb.hessian(through(direct))(strength), rtol=1e-8, atol=1e-12)


def test_equilibrium_layer() -> None:
    """Gradients of a layer against those through 200 unrolled iterations."""
    rng = np.random.default_rng(1)
    params = {"w": 0.3 * rng.normal(size=(5, 5)), "b": rng.normal(size=5)}

    def layer(z: Any, params: Any) -> Any:
        return pnp.tanh(params["w"] @ z + params["b"])

    def loss(params: Any) -> Any:
        return (implicit.fixed_point(layer, pnp.zeros(5), params, linear_solver=implicit.gmres()) ** 3).sum()

    def unrolled(params: Any) -> Any:
        z = pb.lax.fori_loop(0, 200, lambda i, z: layer(z, params), pnp.zeros(5))
        return (z**3).sum()

    found, expected = pb.jit(pb.grad(loss))(params), pb.jit(pb.grad(unrolled))(params)
    for key in params:
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-9, atol=1e-13)


def test_bisection_of_arrays() -> None:
    x, info = implicit.root(
        lambda x: pnp.exp(x) - np.array([1.0, 2.0, 9.0]),
        np.zeros(3),
        solver=implicit.bisection(np.array([-1.0, 0.0, 1.0]), 3.0),
        info=True,
    )
    np.testing.assert_allclose(x, np.log([1.0, 2.0, 9.0]), rtol=1e-15, atol=1e-15)
    assert bool(info.converged) and info.steps < 70


# Failures -----------------------------------------------------------------------------------------------


def test_no_convergence() -> None:
    def f(a: Any, **options: Any) -> Any:
        return implicit.root(lambda x: x * x + a, 1.0, **options)

    with pytest.raises(ConvergenceError, match=r"implicit\.root: the solver did not converge: after"):
        f(1.0)
    with pytest.raises(ConvergenceError, match=r"after 2 steps max\|residual\| is 0\.00694"):
        f(-2.0, solver=implicit.newton(max_steps=2))
    with pytest.raises(ConvergenceError, match="same sign at both ends of a bracket"):
        f(-2.0, solver=implicit.bisection(2.0, 3.0))
    with pytest.raises(ConvergenceError, match="did not converge"):
        pb.grad(f)(1.0)
    x, info = f(-2.0, solver=implicit.bisection(2.0, 3.0), info=True)
    assert np.isnan(x) and not info.converged
    x, info = pb.jit(lambda a: f(a, solver=implicit.newton(max_steps=2), info=True))(-2.0)
    assert not info.converged and info.steps == 2 and abs(x - np.sqrt(2)) < 0.01
    _, info = pb.vmap(lambda a: f(a, info=True))(np.array([-2.0, 1.0]))
    assert list(np.asarray(info.converged)) == [True, False]
    _, info = implicit.fixed_point(
        lambda x: 3 * x + 1, 1.0, solver=implicit.iteration(max_steps=9), info=True
    )
    assert not info.converged and info.steps == 9


def test_errors() -> None:
    with pytest.raises(TypeError, match=r"a solver must return \(x, implicit.Info"):
        implicit.root(lambda x: x, 1.0, solver=lambda f, x: x)
    with pytest.raises(StructureError, match="result of f must be like initial_guess"):
        implicit.root(lambda x: (x, x), 1.0)
    with pytest.raises(StructureError, match="f must return a pytree like its argument"):
        implicit.fixed_point(lambda x: (x, x), 1.0)
    with pytest.raises(ShapeError, match=r"got \[\(3,\)\] and returned \[\(2,\)\]"):
        implicit.fixed_point(lambda x: x[:2], np.ones(3))
    with pytest.raises(DTypeError, match="guess must be real"):
        implicit.argmin(lambda x: pnp.abs(x) ** 2, 1.0j)
    with pytest.raises(TypeError, match="scalar"):
        implicit.argmin(lambda x: x, np.ones(2))
    with pytest.raises(ValueError, match=r"lower must be below upper, got lower=3.0 and upper=2.0"):
        implicit.bisection(3.0, 2.0)
    with pytest.raises(ShapeError, match=r"lower has shape \(3,\), which does not broadcast"):
        implicit.root(lambda x: x, np.ones(2), solver=implicit.bisection(-np.ones(3), 1.0))
    with pytest.raises(TypeError, match="complex numbers have no order"):
        implicit.root(lambda x: x, 1.0j, solver=implicit.bisection(-1.0, 1.0))
    for make in (implicit.newton, implicit.anderson, implicit.iteration):
        with pytest.raises(ValueError, match=r"max_steps must be a positive integer, got 0"):
            make(max_steps=0)
        with pytest.raises(ValueError, match="tol must not be negative"):
            make(tol=-1.0)
    with pytest.raises(ValueError, match="memory must be at least 1"):
        implicit.anderson(memory=0)
    with pytest.raises(ValueError, match="restart must be at least 1"):
        implicit.gmres(restart=0)
