"""`scipy.sparse.linalg` against NumPy, SciPy and JAX, with derivatives and the errors of wrong use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.scipy.sparse.linalg as jax_sparse
import numpy as np
import pytest
import scipy.sparse.linalg as reference

import pullback as pb
import pullback.numpy as pnp
import pullback.scipy.sparse.linalg as sparse
from pullback._src.base.config import engine
from pullback.errors import NotDifferentiableError, ShapeError, StructureError

N = 24
RNG = np.random.default_rng(0)
GENERAL = RNG.normal(size=(N, N)) + 8 * np.eye(N)
SYMMETRIC = GENERAL @ GENERAL.T
COMPLEX = GENERAL + 1j * RNG.normal(size=(N, N))
HERMITIAN = COMPLEX @ COMPLEX.conj().T
B = RNG.normal(size=N)

METHODS = ["cg", "bicgstab", "gmres"]
SYSTEMS = [("cg", SYMMETRIC), ("cg", HERMITIAN), ("bicgstab", GENERAL), ("bicgstab", COMPLEX)]
SYSTEMS += [("gmres", GENERAL), ("gmres", COMPLEX)]


@pytest.fixture(autouse=True)
def _wide() -> Iterator[None]:
    with pb.enable_x64(True), jax.enable_x64(True):
        yield


def matrix(name: str) -> np.ndarray[Any, Any]:
    return SYMMETRIC if name == "cg" else GENERAL


@pytest.mark.parametrize(("name", "a"), SYSTEMS, ids=[f"{n}-{a.dtype}" for n, a in SYSTEMS])
@pytest.mark.parametrize("as_function", [False, True])
def test_solutions(name: str, a: Any, as_function: bool) -> None:
    b = B + (1j * B[::-1] if a.dtype.kind == "c" else 0)
    operator = (lambda x: pnp.asarray(a) @ x) if as_function else a
    x, info = getattr(sparse, name)(operator, b, tol=1e-11)
    assert info == 0 and x.dtype == a.dtype
    assert np.linalg.norm(a @ np.asarray(x) - b) <= 1.01e-11 * np.linalg.norm(b)
    np.testing.assert_allclose(x, np.linalg.solve(a, b), rtol=1e-7)
    theirs, _ = getattr(jax_sparse, name)(jax.numpy.asarray(a), jax.numpy.asarray(b), tol=1e-11)
    np.testing.assert_allclose(x, theirs, rtol=1e-7)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", ["numpy", "llvm"])
def test_derivatives(name: str, kind: str) -> None:
    a, solve = matrix(name), getattr(sparse, name)

    def f(a: Any, b: Any) -> Any:
        return (solve(a, b, tol=1e-13)[0] ** 2).sum()

    x = np.linalg.solve(a, B)
    w = np.linalg.solve(a.T, 2 * x)
    with engine(kind):
        ga, gb = pb.jit(pb.grad(f, (0, 1)))(a, B)
        _, push = pb.jit(lambda b, db: pb.jvp(lambda b: f(a, b), (b,), (db,)))(B, np.cos(B))
        hessian = pb.jit(pb.hessian(lambda b: f(a, b)))(B)
    inverse = np.linalg.inv(a)
    np.testing.assert_allclose(gb, w, rtol=1e-8)
    np.testing.assert_allclose(ga, -np.outer(w, x), rtol=1e-8)
    np.testing.assert_allclose(push, w @ np.cos(B), rtol=1e-8)
    np.testing.assert_allclose(hessian, 2 * inverse.T @ inverse, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", METHODS)
def test_many_right_hand_sides(name: str) -> None:
    a = matrix(name)
    b = np.stack([B, 0 * B, 3 * B[::-1]])
    x, info = pb.vmap(lambda b: getattr(sparse, name)(a, b, tol=1e-11))(b)
    np.testing.assert_allclose(x, np.linalg.solve(a, b.T).T, rtol=1e-7, atol=1e-14)
    assert list(np.asarray(info)) == [0, 0, 0]


@pytest.mark.parametrize("name", METHODS)
def test_starts_preconditioners_and_limits(name: str) -> None:
    a, solve = matrix(name), getattr(sparse, name)
    exact = np.linalg.solve(a, B)
    x, info = solve(a, B, x0=exact, tol=1e-9)
    np.testing.assert_array_equal(x, exact)
    x, info = solve(a, B, M=np.linalg.inv(a), maxiter=2, tol=1e-10)
    assert info == 0
    np.testing.assert_allclose(x, exact, rtol=1e-7)
    options = {"restart": 1} if name == "gmres" else {}
    _, info = solve(a, B, maxiter=1, tol=1e-12, **options)
    assert info == (2 if name == "bicgstab" else 1)
    x, info = solve(a, B, atol=1e9)
    np.testing.assert_array_equal(x, np.zeros(N))
    np.testing.assert_array_equal(solve(a, 0 * B)[0], np.zeros(N))


def test_the_number_of_steps_is_that_of_scipy() -> None:
    """The most steps of CG that do not suffice, and the iterate there, are SciPy's."""
    for steps in (1, 3, 6):
        theirs, _ = reference.cg(SYMMETRIC, B, rtol=1e-14, maxiter=steps)
        ours, info = sparse.cg(SYMMETRIC, B, tol=1e-14, maxiter=steps)
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)
        assert info == steps
        theirs, _ = reference.bicgstab(GENERAL, B, rtol=1e-14, maxiter=steps)
        ours, _ = sparse.bicgstab(GENERAL, B, tol=1e-14, maxiter=steps)
        np.testing.assert_allclose(ours, theirs, rtol=1e-8)
    theirs, _ = reference.gmres(GENERAL, B, rtol=1e-14, restart=5, maxiter=2)
    ours, info = sparse.gmres(GENERAL, B, tol=1e-14, restart=5, maxiter=2)
    np.testing.assert_allclose(ours, theirs, rtol=1e-8)
    assert info == 10


def test_gmres_of_exact_spaces_and_of_singular_systems() -> None:
    np.testing.assert_allclose(sparse.gmres(np.eye(4), np.arange(4.0))[0], np.arange(4.0), rtol=1e-15)
    shift = np.roll(np.eye(5), 1, 0)  # every space but the whole one is useless
    np.testing.assert_allclose(sparse.gmres(shift, np.eye(5)[0])[0], np.roll(np.eye(5)[0], -1), atol=1e-15)
    x, info = sparse.gmres(np.zeros((3, 3)), np.ones(3))
    assert info > 0 and np.isfinite(x).all()
    x, info = sparse.gmres(np.diag([1.0, 2.0, 0.0]), np.array([1.0, 2.0, 0.0]))
    assert info == 0
    np.testing.assert_allclose(x, [1, 1, 0], atol=1e-14)


def test_trees_of_any_precision() -> None:
    def matvec(x: Any) -> Any:
        return {"u": 3 * x["u"] + x["v"].sum(), "v": 2 * x["v"] + x["u"]}

    b = {"u": np.float32(1), "v": np.ones(2, np.float32)}
    for name in METHODS:
        x, info = getattr(sparse, name)(matvec, b)
        assert info == 0 and x["v"].dtype == np.float32
        out = matvec(x)
        np.testing.assert_allclose(out["u"], 1, rtol=1e-4)
        np.testing.assert_allclose(out["v"], 1, rtol=1e-4)


def test_errors() -> None:
    a = SYMMETRIC
    with pytest.raises(ShapeError, match=r"A must be a square matrix, got shape \(2, 3\)"):
        sparse.cg(np.ones((2, 3)), np.ones(3))
    with pytest.raises(TypeError, match="A must be a matrix or a function"):
        sparse.cg([[1.0]], np.ones(1))
    with pytest.raises(TypeError, match="M must be a matrix or a function"):
        sparse.gmres(a, B, M=3)
    with pytest.raises(ShapeError, match=r"x0 must be like b: expected float64\[24\], got float64\[3\]"):
        sparse.bicgstab(a, B, x0=np.ones(3))
    with pytest.raises(StructureError, match="x0"):
        sparse.bicgstab(a, B, x0=(B,))
    with pytest.raises(StructureError, match="result of matvec must be like b"):
        sparse.cg(lambda x: (x, x), B)
    with pytest.raises(NotDifferentiableError, match="matvec must be linear"):
        sparse.cg(pnp.sin, B)
    with pytest.raises(ValueError, match="solve_method must be 'batched' or 'incremental', got 'x'"):
        sparse.gmres(a, B, solve_method="x")
    with pytest.raises(ValueError, match="restart must be at least 1"):
        sparse.gmres(a, B, restart=0)
