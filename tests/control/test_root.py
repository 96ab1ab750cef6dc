"""`custom_root` against closed forms and JAX, under all transformations, and the errors of wrong use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.flatten_util
import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import lax
from pullback._src.base.config import engine
from pullback.errors import DTypeError, ShapeError, StructureError
from pullback.test_util import check_grads

from ..matrix import Sample, matrix_cells, run_cell
from .library import assert_same

A = np.array([[3.0, 1.0, -0.5], [0.5, 2.0, 0.25], [-1.0, 0.75, 4.0]])
B = np.array([1.0, -2.0, 0.5])


def newton(f: Any, x: Any, turns: int = 40) -> Any:
    def body(x: Any) -> Any:
        return x - pnp.linalg.solve(pb.jacfwd(f)(x), f(x))

    return lax.while_loop(lambda x: pnp.abs(f(x)).max() > 1e-12, body, x)


def dense(g: Any, y: Any) -> Any:
    return pnp.linalg.solve(pb.jacobian(g)(y), y)


def root(a: Any, b: Any) -> Any:
    """The root of A x + x^3 = b, which is unique."""
    return lax.custom_root(lambda x: a @ x + x**3 - b, pnp.zeros_like(b), newton, dense)


def reference(a: Any, b: Any) -> Any:
    if a.ndim > 2:
        return np.stack([reference(m, v) for m, v in zip(a, b, strict=True)])
    x = np.zeros_like(b)
    for _ in range(50):
        x = x - np.linalg.solve(a + np.diag(3 * x**2), a @ x + x**3 - b)
    return x


SAMPLES = [
    Sample(
        "root-f64",
        root,
        (A, B),
        reference,
        (0, 1),
        batchable=(0, 1),
        rtol=1e-11,
        primitives=("root", "linear_solve"),
    )
]


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@pytest.fixture
def wide() -> Iterator[None]:
    with pb.enable_x64(True), jax.enable_x64(True):
        yield


def bisect(f: Any, x: Any) -> Any:
    """A solver without any derivative: the interval from x to x + 4 is halved."""

    def body(state: Any) -> Any:
        a, b = state
        m = (a + b) / 2
        below = f(m) < 0
        return pnp.where(below, m, a), pnp.where(below, b, m)

    return lax.fori_loop(0, 60, lambda i, s: body(s), (x, x + 4.0))[0]


def square_root(a: Any) -> Any:
    return lax.custom_root(lambda x: x * x - a, pnp.zeros_like(a), bisect, lambda g, y: y / g(1.0))


def test_derivatives_of_the_square_root(wide: None) -> None:
    """d^k sqrt(a) / da^k, in every mixture of modes, from a solver that has no derivatives."""
    a = 2.0
    second, third = -0.25 * a**-1.5, 0.375 * a**-2.5
    np.testing.assert_allclose(square_root(a), np.sqrt(a), rtol=1e-14)
    for outer in (pb.grad, pb.jacfwd):
        np.testing.assert_allclose(outer(square_root)(a), 0.5 / np.sqrt(a), rtol=1e-14)
        for inner in (pb.grad, pb.jacfwd):
            np.testing.assert_allclose(outer(inner(square_root))(a), second, rtol=1e-14)
            np.testing.assert_allclose(pb.jit(pb.grad(outer(inner(square_root))))(a), third, rtol=1e-13)
    many = np.array([0.5, 2.0, 7.0])
    np.testing.assert_allclose(pb.vmap(pb.grad(square_root))(many), 0.5 / np.sqrt(many), rtol=1e-14)
    found = pb.grad(lambda a: (pb.vmap(square_root)(a) ** 3).sum())(many)
    np.testing.assert_allclose(found, 1.5 * np.sqrt(many), rtol=1e-13)
    check_grads(square_root, (2.0,), 3)


def test_taylor_series(wide: None) -> None:
    _, terms = pb.jet(square_root, (2.0,), ((1.0, 0.0, 0.0),))
    np.testing.assert_allclose(terms, [0.5 * 2**-0.5, -0.25 * 2**-1.5, 0.375 * 2**-2.5], rtol=1e-13)


def body(library: Any) -> Any:
    """A root of two arrays with auxiliary data, on either library."""

    def solve(f: Any, x: Any) -> Any:
        for _ in range(60):
            r = f(x)
            x = {"u": x["u"] - 0.2 * r["u"], "v": x["v"] - 0.2 * r["v"]}
        return x, f(x)["v"]

    def tangent_solve(g: Any, y: Any) -> Any:
        flat, unravel = (pb.flatten_util if library.pb is pb else jax.flatten_util).ravel_pytree(y)

        def run(v: Any) -> Any:
            out = g(unravel(v))
            return library.np.concatenate([out["u"], out["v"][None]])

        return unravel(library.np.linalg.solve(library.pb.jacobian(run)(flat), flat))

    def f(a: Any, b: Any) -> Any:
        def residual(x: Any) -> Any:
            return {"u": a @ x["u"] + library.np.sin(x["v"]) - b, "v": 2 * x["v"] - x["u"][0] * b[1]}

        guess = {"u": library.np.zeros(3), "v": library.np.asarray(0.0)}
        x, aux = library.lax.custom_root(residual, guess, solve, tangent_solve, has_aux=True)
        return (x["u"] ** 2).sum() * x["v"], library.np.round(aux, 6) * 0

    args = library.np.asarray(A), library.np.asarray(B)
    gradient = library.pb.grad(f, (0, 1), has_aux=True)(*args)
    pushed = library.pb.jvp(lambda b: f(args[0], b)[0], args[1:], args[1:])
    rows = library.np.stack([args[1], 0.5 * args[1]])
    mapped = library.pb.vmap(library.pb.grad(lambda b: f(args[0], b)[0]))(rows)
    hessian = library.pb.jit(library.pb.hessian(lambda b: f(args[0], b)[0]))(args[1])
    return f(*args), gradient, pushed, mapped, hessian


def test_trees_and_auxiliary_data_as_in_jax(wide: None) -> None:
    assert_same(body, rtol=1e-6, atol=1e-8)


def test_no_derivative_by_the_guess_or_of_auxiliary_data(wide: None) -> None:
    def f(guess: Any, a: Any) -> Any:
        return lax.custom_root(
            lambda x: x * x - a,
            guess,
            lambda f, x: (bisect(f, x), 3.0 * a),
            lambda g, y: y / g(1.0),
            has_aux=True,
        )

    assert pb.grad(lambda g: f(g, 2.0)[0])(0.5) == 0
    assert pb.grad(lambda a: f(0.5, a)[1])(2.0) == 0


def test_tangent_solve_may_ignore_the_function(wide: None) -> None:
    """Its own transpose serves for reverse mode, as long as it has one."""
    inverse = np.linalg.inv(A)

    def f(b: Any) -> Any:
        return lax.custom_root(
            lambda x: A @ x - b, B, lambda f, x: x - inverse @ f(x), lambda g, y: inverse @ y
        )

    np.testing.assert_allclose(pb.jacrev(f)(B), inverse, rtol=1e-13)
    np.testing.assert_allclose(pb.jacfwd(f)(B), inverse, rtol=1e-13)


def test_tangent_solve_with_a_while_loop(wide: None) -> None:
    """What cannot be transposed is called with the transposed function."""

    def iterate(g: Any, y: Any) -> Any:
        return lax.while_loop(
            lambda v: pnp.linalg.norm(y - g(v)) > 1e-13, lambda v: v + (y - g(v)) / 5, pnp.zeros_like(y)
        )

    def f(a: Any, b: Any) -> Any:
        return lax.custom_root(lambda x: a @ x + x**3 - b, pnp.zeros_like(b), newton, iterate)

    expected = pb.jacrev(root, (0, 1))(A, B)
    for found in (pb.jacrev(f, (0, 1))(A, B), pb.jit(pb.jacfwd(f, (0, 1)))(A, B)):
        for a, e in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, e, rtol=1e-10)
    check_grads(f, (A, B), 2, rtol=1e-4)


@pytest.mark.parametrize("name", ["numpy", "llvm"])
def test_both_engines(wide: None, name: str) -> None:
    with engine(name):
        x, (ga, gb) = pb.jit(lambda a, b: (root(a, b), pb.grad(lambda *s: root(*s).sum(), (0, 1))(a, b)))(
            A, B
        )
    expected = reference(A, B)
    w = np.linalg.solve((A + np.diag(3 * expected**2)).T, np.ones(3))
    np.testing.assert_allclose(x, expected, rtol=1e-12)
    np.testing.assert_allclose(gb, w, rtol=1e-11)
    np.testing.assert_allclose(ga, -np.outer(w, expected), rtol=1e-11)


def test_complex_roots(wide: None) -> None:
    def f(a: Any) -> Any:
        def solve(f: Any, x: Any) -> Any:
            return lax.fori_loop(0, 20, lambda i, x: x - f(x) / (2 * x), x)

        return lax.custom_root(lambda x: x * x - a, pnp.ones_like(a), solve, lambda g, y: y / g(1.0 + 0j))

    a = 1.0 + 2.0j
    np.testing.assert_allclose(f(a), np.sqrt(a), rtol=1e-14)
    np.testing.assert_allclose(pb.grad(f, holomorphic=True)(a), 0.5 / np.sqrt(a), rtol=1e-14)
    check_grads(f, (a,), 2)


def test_errors() -> None:
    def run(
        f: Any = lambda x: x - 1.0, guess: Any = 1.0, solve: Any = None, tangent: Any = None, **kw: Any
    ) -> Any:
        return lax.custom_root(
            f, guess, solve or (lambda f, x: x), tangent or (lambda g, y: y / g(1.0)), **kw
        )

    with pytest.raises(StructureError, match="result of f must be like initial_guess"):
        run(lambda x: (x, x))
    with pytest.raises(ShapeError, match=r"result of f .* expected float32\[\], got float32\[3\]"):
        run(lambda x: x * pnp.ones(3))
    with pytest.raises(DTypeError, match=r"result of f .* got float16"):
        run(lambda x: x.astype("float16"))
    with pytest.raises(StructureError, match="solution that solve returns must be like initial_guess"):
        run(solve=lambda f, x: (x, x))
    with pytest.raises(ShapeError, match=r"solution that solve returns .* got float32\[2\]"):
        run(solve=lambda f, x: pnp.ones(2))
    with pytest.raises(StructureError, match="tangent_solve returns must be like initial_guess"):
        run(tangent=lambda g, y: (y, y))
    with pytest.raises(ShapeError, match="solution that tangent_solve returns"):
        run(tangent=lambda g, y: pnp.ones(2))
    with pytest.raises(StructureError, match="has_aux=True solve must return a pair"):
        run(has_aux=True)
    with pytest.raises(DTypeError, match=r"write 1.0 for 1"):
        run(guess=1)
    with pytest.raises(TypeError, match="f must be a function"):
        run(3)
