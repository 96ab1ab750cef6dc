"""`scipy.linalg` against JAX and SciPy."""

from __future__ import annotations

from typing import Any

import jax
import jax.scipy.linalg as jsl
import numpy as np
import pytest
import scipy.linalg

from pullback._src.base.errors import ShapeError
from pullback._src.lib.scipy import linalg, matrix_functions

from ... import oracle
from ...ops.domains import uniform
from ...ops.matrices import general, hermitian, positive, triangular

pytestmark = pytest.mark.usefixtures("together")

_DTYPES = [np.float32, np.complex64]


def both(
    name: str, *args: Any, units: float = 64, argnums: Any = (0,), grad: bool = True, **options: Any
) -> None:
    """Values and pullbacks agree with JAX's."""
    ours = getattr(linalg, name, None) or getattr(matrix_functions, name)
    theirs = getattr(jsl, name)
    oracle.check(ours, theirs, *args, units=units, **options)
    if grad:
        oracle.check_grad(ours, theirs, *args, argnums=argnums, units=4 * units, **options)


@pytest.mark.parametrize("dtype", _DTYPES)
def test_factorisations_agree_with_jax(dtype: Any) -> None:
    for lower in (False, True):
        both("cholesky", positive((3, 3), dtype), lower=lower)
        both("eigh", hermitian((3, 3), dtype), lower=lower)
        both("eigh", hermitian((3, 3), dtype), lower=lower, eigvals_only=True)
    for shape in ((3, 3), (4, 2), (2, 4)):
        x = general(shape, dtype)
        both("lu", x)
        both("lu", x, permute_l=True)
        both("lu_factor", x)
        both("svd", x, full_matrices=False)
        both("svd", x, compute_uv=False)
        for mode in ("full", "economic", "r"):
            both("qr", x, mode=mode, grad=False)
    both("inv", general((3, 3), dtype))
    both("det", general((3, 3), dtype))


@pytest.mark.parametrize("dtype", _DTYPES)
@pytest.mark.parametrize("right", [(3,), (3, 2)])
def test_equations_agree_with_jax(dtype: Any, right: Any) -> None:
    b = uniform(-1, 1, right, dtype)
    both("solve", general((3, 3), dtype), b, argnums=(0, 1))
    # JAX transposes the solution with a complex positive matrix as if the matrix were symmetric.
    real = dtype is np.float32
    both("solve", positive((3, 3), dtype), b, assume_a="pos", argnums=(0, 1) if real else (), grad=real)
    for trans in (0, 1, 2, "C"):
        for lower in (False, True):
            a = triangular((3, 3), dtype, lower)
            both("solve_triangular", a, b, trans=trans, lower=lower, argnums=(0, 1))
    both("solve_triangular", a, b, lower=True, unit_diagonal=True, argnums=(0, 1))
    for lower in (False, True):
        through = lambda module, lower=lower: lambda a, b: module.cho_solve(module.cho_factor(a, lower), b)
        args = positive((3, 3), dtype), b
        oracle.check(through(linalg), through(jsl), *args, units=64)
        oracle.check_grad(through(linalg), through(jsl), *args, argnums=(0, 1), units=256)
    for trans in (0, 1, 2):
        solved = lambda module, trans=trans: lambda a, b: module.lu_solve(module.lu_factor(a), b, trans)
        args = general((3, 3), dtype), b
        oracle.check(solved(linalg), solved(jsl), *args, units=64)
        oracle.check_grad(solved(linalg), solved(jsl), *args, argnums=(0, 1), units=256)


def test_stacks_of_equations_broadcast() -> None:
    a, b = general((2, 3, 3), np.float32), uniform(-1, 1, (3, 2), np.float32)
    np.testing.assert_allclose(linalg.solve(a, b), np.linalg.solve(a, b), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        linalg.lu_solve(linalg.lu_factor(a), b), np.linalg.solve(a, b), rtol=1e-5, atol=1e-6
    )
    p = positive((2, 3, 3), np.float32)
    np.testing.assert_allclose(
        linalg.cho_solve(linalg.cho_factor(p), b), np.linalg.solve(p, b), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("dtype", _DTYPES)
def test_decompositions_reproduce_the_matrix(dtype: Any) -> None:
    x = general((4, 4), dtype)
    close = lambda found: np.testing.assert_allclose(found, x, rtol=1e-4, atol=1e-4)
    t, z = map(np.asarray, linalg.schur(x))
    close(z @ t @ z.conj().T)
    t, z = map(np.asarray, linalg.schur(x, output="complex"))
    close(z @ t @ z.conj().T)
    h, q = map(np.asarray, linalg.hessenberg(x, calc_q=True))
    close(q @ h @ q.conj().T)
    np.testing.assert_allclose(linalg.hessenberg(x), h)
    np.testing.assert_allclose(np.tril(h, -2), 0)
    for side in ("right", "left"):
        u, p = map(np.asarray, linalg.polar(x, side))
        close(u @ p if side == "right" else p @ u)
        np.testing.assert_allclose(u @ u.conj().T, np.eye(4), atol=1e-5)
    q, r, order = map(np.asarray, linalg.qr(x, pivoting=True))
    np.testing.assert_allclose(q @ r, x[:, order], rtol=1e-4, atol=1e-4)
    assert order.dtype == np.int32
    p, lower, upper = map(np.asarray, linalg.lu(x))
    close(p @ lower @ upper)


@pytest.mark.parametrize("kind", [1, 2, 3])
@pytest.mark.parametrize("dtype", _DTYPES)
def test_generalised_eigenvalues_agree_with_scipy(kind: int, dtype: Any) -> None:
    a, b = hermitian((3, 3), dtype), positive((3, 3), dtype, 1)
    w, v = map(np.asarray, linalg.eigh(a, b, type=kind))
    expected, vectors = scipy.linalg.eigh(a, b, type=kind)
    np.testing.assert_allclose(w, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.abs(v), np.abs(vectors), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        linalg.eigh(a, b, type=kind, eigvals_only=True), expected, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("scale", [1e-3, 0.5, 3.0, 30.0])
def test_expm_agrees_with_jax(scale: float) -> None:
    for dtype in _DTYPES:
        x = (uniform(-1, 1, (3, 3), dtype) * scale / 3).astype(dtype)
        both("expm", x, units=4096)
        np.testing.assert_allclose(
            matrix_functions.expm(x), scipy.linalg.expm(x.astype(np.complex128)), rtol=1e-3, atol=1e-4
        )
    wide = uniform(-1, 1, (2, 3, 3), np.float64) * scale / 3
    oracle.check(matrix_functions.expm, jsl.expm, wide, x64=True, units=65536)
    oracle.check(matrix_functions.expm, jsl.expm, np.triu(wide), x64=True, upper_triangular=True, units=65536)


def test_expm_of_large_and_empty_matrices() -> None:
    huge = np.full((2, 2), 1e30, np.float32)
    assert np.isnan(np.asarray(matrix_functions.expm(huge))).all()
    assert matrix_functions.expm(np.zeros((0, 0), np.float32)).shape == (0, 0)
    jitted = jax.jit(jsl.expm)(np.eye(2, dtype=np.float32))
    np.testing.assert_allclose(matrix_functions.expm(np.eye(2, dtype=np.float32)), jitted, rtol=1e-6)


def test_derivative_of_expm_agrees_with_scipy() -> None:
    a, e = uniform(-1, 1, (3, 3), np.float32), uniform(-1, 1, (3, 3), np.float32, 1)
    value, derivative = matrix_functions.expm_frechet(a, e)
    expected = scipy.linalg.expm_frechet(a, e)
    np.testing.assert_allclose(value, expected[0], rtol=1e-5)
    np.testing.assert_allclose(derivative, expected[1], rtol=1e-4)
    np.testing.assert_allclose(
        matrix_functions.expm_frechet(a, e, compute_expm=False), expected[1], rtol=1e-4
    )


def test_structured_matrices_agree_with_jax() -> None:
    c, r = uniform(-1, 1, (4,), np.complex64), uniform(-1, 1, (3,), np.complex64, 1)
    both("toeplitz", c, r, argnums=(0, 1))
    both("toeplitz", c)
    both("hankel", c, r, argnums=(0, 1))
    both("hankel", c)
    both("circulant", c)
    both("companion", c)
    both("leslie", c, r, argnums=(0, 1))
    for n in (1, 4):
        both("hilbert", n, grad=False)
        for scale in (None, "sqrtn", "n"):
            both("dft", n, scale, grad=False)
    oracle.check(matrix_functions.toeplitz, jsl.toeplitz, np.arange(6, dtype=np.int32).reshape(2, 3))
    oracle.check(matrix_functions.toeplitz, jsl.toeplitz, 2.0)


def test_block_diag_agrees_with_jax() -> None:
    arrays = [uniform(-1, 1, s, np.float32, i) for i, s in enumerate([(2, 3), (1, 1), (2,), ()])]
    both("block_diag", *arrays, argnums=(0, 1, 2, 3))
    both("block_diag", np.ones((2, 2), np.int32), arrays[0], grad=False)
    both("block_diag", np.ones((2, 2), np.int32), np.ones((1, 2), np.int8), grad=False)
    both("block_diag", grad=False)
    both("block_diag", np.ones((1, 1, 1), np.float32), grad=False)


def test_errors_explain() -> None:
    eye = np.eye(2, dtype=np.float32)
    with pytest.raises(ShapeError, match=r"2 rows; got shape \(3,\)"):
        linalg.solve(eye, np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="assume_a"):
        linalg.solve(eye, eye, assume_a="odd")
    with pytest.raises(ValueError, match="trans must be"):
        linalg.lu_solve(linalg.lu_factor(eye), eye, 3)
    with pytest.raises(ValueError, match="mode must be"):
        linalg.qr(eye, mode="thin")
    with pytest.raises(ShapeError, match="expm expects square"):
        matrix_functions.expm(np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match="side"):
        linalg.polar(eye, "up")
