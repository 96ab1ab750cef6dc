"""`custom_linear_solve` against NumPy and JAX, under all transformations, and the errors of wrong use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import lax
from pullback._src.base.config import engine
from pullback.errors import DTypeError, NotDifferentiableError, ShapeError, StructureError
from pullback.test_util import check_grads

from ..matrix import Sample, matrix_cells, run_cell
from .library import assert_same

A = np.array([[3.0, 1.0, -0.5], [0.5, 2.0, 0.25], [-1.0, 0.75, 4.0]])
B = np.array([1.0, -2.0, 0.5])


def dense(matvec: Any, b: Any) -> Any:
    """Any matrix, by its columns."""
    return pnp.linalg.solve(pb.jacobian(matvec)(b), b)


def jacobi(matvec: Any, b: Any) -> Any:
    """An iteration that reverse mode should not see: x <- x + (b - A x) / 4."""
    start = 0, pnp.zeros_like(b)
    return lax.while_loop(lambda s: s[0] < 200, lambda s: (s[0] + 1, s[1] + (b - matvec(s[1])) / 4), start)[1]


def solution(a: Any, b: Any, solve: Any = dense) -> Any:
    return lax.custom_linear_solve(lambda x: a @ x, b, solve, solve)


def _complex(g: Any, y: Any) -> Any:
    return pnp.linalg.solve(pb.jacfwd(g, holomorphic=True)(y), y)


def both_sides(a: Any, b: Any) -> Any:
    """A second solve from the first, for derivatives of derivatives."""
    x = solution(a, b)
    return solution(a + pnp.outer(x, x), pnp.sin(x))


def both_sides_reference(a: Any, b: Any) -> Any:
    x = np.linalg.solve(a, b)
    return np.linalg.solve(a + np.outer(x, x), np.sin(x))


SAMPLES = [
    Sample(
        "linear_solve-f64",
        both_sides,
        (A, B),
        both_sides_reference,
        (0, 1),
        batchable=(0, 1),
        rtol=1e-12,
        primitives=("linear_solve",),
    ),
    Sample(
        "linear_solve-iterative-f64",
        lambda a, b: solution(a, b, jacobi),
        (A, B),
        np.linalg.solve,
        (0, 1),
        batchable=(0, 1),
        rtol=1e-11,
        primitives=("linear_solve",),
    ),
    Sample(
        "linear_solve-c128",
        lambda a, b: lax.custom_linear_solve(lambda x: a @ x, b, _complex, _complex),
        (A + 0.5j * A.T, B + 1j),
        np.linalg.solve,
        (0, 1),
        batchable=(0, 1),
        rtol=1e-12,
        primitives=("linear_solve",),
    ),
]


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@pytest.fixture
def wide() -> Iterator[None]:
    with pb.enable_x64(True), jax.enable_x64(True):
        yield


def body(library: Any) -> Any:
    """Values and derivatives of a system of two arrays, with auxiliary data, on either library."""

    def solve(matvec: Any, b: Any) -> Any:
        flat, unravel = (pb.flatten_util if library.pb is pb else jax.flatten_util).ravel_pytree(b)
        matrix = library.pb.jacobian(lambda v: _ravel(library, matvec(unravel(v))))(flat)
        return unravel(library.np.linalg.solve(matrix, flat)), matrix[0, 0]

    def f(a: Any, u: Any, v: Any) -> Any:
        def matvec(x: Any) -> Any:
            return {"u": a @ x["u"] + x["v"][0], "v": 2.0 * x["v"] - x["u"][:2]}

        x, aux = library.lax.custom_linear_solve(
            matvec, {"u": u, "v": v}, solve, transpose_solve=solve, has_aux=True
        )
        return (x["u"] ** 2).sum() + x["v"].prod(), aux

    args = library.np.asarray(A), library.np.asarray(B), library.np.asarray(B[:2])
    gradient = library.pb.grad(f, (0, 1, 2), has_aux=True)
    hessian = library.pb.hessian(lambda u: f(args[0], u, u[:2])[0])
    mapped = library.pb.vmap(lambda u: f(args[0], u, args[2])[0])
    rows = library.np.stack([args[1], -args[1]])
    pushed = library.pb.jvp(lambda a: f(a, args[1], args[2])[0], args[:1], args[:1])
    return f(*args), gradient(*args), library.pb.jit(hessian)(args[1]), mapped(rows), pushed


def _ravel(library: Any, tree: Any) -> Any:
    return library.np.concatenate([tree["u"], tree["v"]])


def test_trees_and_auxiliary_data_as_in_jax(wide: None) -> None:
    assert_same(body, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ["numpy", "llvm"])
def test_both_engines(wide: None, name: str) -> None:
    with engine(name):
        found = pb.jit(pb.grad(lambda a, b: solution(a, b, jacobi).sum(), (0, 1)))(A, B)
    w = np.linalg.solve(A.T, np.ones(3))
    np.testing.assert_allclose(found[1], w, rtol=1e-11)
    np.testing.assert_allclose(found[0], -np.outer(w, np.linalg.solve(A, B)), rtol=1e-10)


def test_the_solver_is_not_differentiated(wide: None) -> None:
    """A solver through which no derivative can pass has the exact ones, of first and second order."""

    def rough(matvec: Any, b: Any) -> Any:
        return lax.stop_gradient(dense(matvec, b))

    expected = pb.hessian(lambda b: (pnp.linalg.solve(A + pnp.diag(b), b) ** 2).sum())(B)
    found = pb.hessian(lambda b: (solution(A + pnp.diag(b), b, rough) ** 2).sum())(B)
    np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_symmetric(wide: None) -> None:
    def f(a: Any) -> Any:
        a = (a + a.T) / 2
        return lax.custom_linear_solve(lambda x: a @ x, B, dense, symmetric=True).sum()

    check_grads(f, (A,), 2)
    expected = jax.grad(lambda a: jnp.linalg.solve((a + a.T) / 2, B).sum())(A)
    np.testing.assert_allclose(pb.grad(f)(A), expected, rtol=1e-11)


def test_taylor_series(wide: None) -> None:
    """Coefficients of x(t) with (A + t I) x = b are (-1)^k A^-(k+1) b."""
    _, terms = pb.jet(
        lambda t: solution(A + t * np.eye(3), B), (0.0,), ((1.0, 0.0, 0.0),), factorial_scaled=False
    )
    inverse = np.linalg.inv(A)
    for k, term in enumerate(terms, 1):
        expected = (-1) ** k * np.linalg.matrix_power(inverse, k + 1) @ B
        np.testing.assert_allclose(term, expected, rtol=1e-12)


def test_linear_functions_with_zero_terms_pass(wide: None) -> None:
    a = pnp.asarray(A)

    def matvec(x: Any) -> Any:
        kept = lax.scan(lambda c, r: (c + 0 * r[0], r @ c), x, a)[0]
        padded = pnp.concatenate([x, pnp.zeros(2)])
        return a @ padded[:3] + pnp.zeros(3) * a[0] + kept * 0

    np.testing.assert_allclose(lax.custom_linear_solve(matvec, B, dense), np.linalg.solve(A, B), rtol=1e-12)


LINEAR = {
    "jit": pb.jit(lambda x: A @ pb.jit(lambda x: 2 * x)(x)),
    "checkpoint": pb.checkpoint(lambda x: A @ x),
    "captured zeros": lambda x: A @ x + np.zeros(3),
    # One turn only: then the carry is multiplied by x once.
    "one turn": lambda x: A @ lax.scan(lambda c, r: (c * x, None), pnp.ones(3), None, length=1)[0],
    "collected": lambda x: A @ lax.scan(lambda c, r: (c, r * c), 2.0, x)[1],
    "begins with zero": lambda x: lax.scan(lambda c, r: (c + r[0] * r[1:], None), pnp.zeros(3), _columns(x))[
        0
    ],
    "loop": lambda x: A @ lax.fori_loop(0, 3, lambda i, c: c + x * (i + 1), x),
    "turns of an argument": lambda x: A @ lax.fori_loop(0, pnp.asarray(3), lambda i, c: c * 0.5 * i + x, x),
    "counted while": lambda x: lax.while_loop(
        lambda s: s[0] < 2, lambda s: (s[0] + 1, A @ s[1] + s[1]), (0, x)
    )[1],
    "cond": lambda x: lax.cond(B[0] > 0, lambda x: A @ x, lambda x: 2 * (A @ x), x),
    # Nobody knows: the number of turns depends on x.
    "own iteration": lambda x: (
        A
        @ lax.while_loop(
            lambda s: (s[1] * s[1]).sum() > 1e-20, lambda s: (s[0] + s[1], s[1] * 0.5), (0 * x, x)
        )[0]
    ),
}


def _columns(x: Any) -> Any:
    return pnp.concatenate([x[:, None], pnp.asarray(A).T], axis=1)


@pytest.mark.parametrize("name", LINEAR)
def test_linear_functions_with_programs_inside_pass(wide: None, name: str) -> None:
    matvec = LINEAR[name]
    matrix = np.stack([np.asarray(matvec(pnp.asarray(e))) for e in np.eye(3)], 1)
    solved = lax.custom_linear_solve(matvec, B, lambda g, b: pnp.linalg.solve(pnp.asarray(matrix), b))
    np.testing.assert_allclose(solved, np.linalg.solve(matrix, B), rtol=1e-12)


@pytest.mark.parametrize(
    ("matvec", "message"),
    [
        (pnp.sin, "applies 'sin'"),
        (lambda x: x * x, "applies 'mul'"),
        (lambda x: 1.0 / x, "applies 'div'"),
        (lambda x: x @ x * x, "applies 'dot_general'"),
        (lambda x: pnp.where(x > 0, x, 0.0), "applies 'gt'"),
        (lambda x: A @ x + 1.0, "adds a term"),
        (lambda x: B - x, "adds a term"),
        (pnp.abs, "applies 'abs'"),
        (pb.jit(lambda x: 2 * pb.jit(pnp.sin)(x)), "applies 'sin'"),
        (pb.checkpoint(lambda x: x * x), "applies 'mul'"),
        (lambda x: lax.scan(lambda c, r: (c * x, None), x, None, length=1)[0], "applies 'mul'"),
        # In the first turn the carry does not depend on x, and it is in the second.
        (lambda x: lax.scan(lambda c, r: (c * x, None), pnp.ones(3), None, length=2)[0], "applies 'mul'"),
        (lambda x: lax.scan(lambda c, r: (c + r, None), pnp.ones(3), x * pnp.eye(3))[0], "adds a term"),
        (lambda x: lax.scan(lambda c, r: (c, pnp.exp(r)), 0.0, x)[1], "applies 'exp'"),
        (lambda x: lax.fori_loop(0, 3, lambda i, c: pnp.sin(c), x), "applies 'sin'"),
        (lambda x: lax.fori_loop(0, pnp.asarray(B).astype(int)[0], lambda i, c: c * c, x), "applies 'mul'"),
        (
            lambda x: lax.while_loop(lambda s: s[0] < B[0], lambda s: (s[0] + 1, s[1] + 1.0), (0, x))[1],
            "adds a term",
        ),
        (lambda x: lax.cond(B[0] > 0, lambda x: x, lambda x: x + 1.0, x), "adds a term"),
    ],
)
@pytest.mark.parametrize("traced", [False, True])
def test_functions_that_are_not_linear(matvec: Any, message: str, traced: bool) -> None:
    def run(b: Any) -> Any:
        return lax.custom_linear_solve(matvec, b, dense)

    with pytest.raises(NotDifferentiableError, match=message) as info:
        (pb.jit(run) if traced else run)(pnp.asarray(B))
    assert "custom_root" in str(info.value)


def test_errors() -> None:
    a, b = pnp.asarray(A), pnp.asarray(B)

    def run(matvec: Any = lambda x: a @ x, solve: Any = dense, **kw: Any) -> Any:
        return lax.custom_linear_solve(matvec, b, solve, **kw)

    with pytest.raises(StructureError, match="result of matvec must be like b"):
        run(lambda x: (x, x))
    with pytest.raises(ShapeError, match=r"result of matvec .* expected float32\[3\], got float32\[2\]"):
        run(lambda x: x[:2])
    with pytest.raises(DTypeError, match=r"expected float32.*got float16"):
        run(lambda x: x.astype("float16"))
    with pytest.raises(StructureError, match="the solution that solve returns must be like b"):
        run(solve=lambda g, y: (y, y))
    with pytest.raises(ShapeError, match=r"solution that solve returns .* got float32\[\]"):
        run(solve=lambda g, y: y[0])
    with pytest.raises(ShapeError, match="solution that transpose_solve returns"):
        run(transpose_solve=lambda g, y: y[0])
    with pytest.raises(StructureError, match="has_aux=True solve must return a pair"):
        run(has_aux=True)
    with pytest.raises(ShapeError, match="the argument of "):
        run(solve=lambda g, y: g(y[:2]))
    with pytest.raises(TypeError, match="transpose_solve must be a function, got 3"):
        run(transpose_solve=3)
    with pytest.raises(NotDifferentiableError, match="pass transpose_solve, or symmetric=True"):
        pb.grad(lambda b: lax.custom_linear_solve(lambda x: a @ x, b, dense).sum())(b)
