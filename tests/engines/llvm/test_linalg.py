"""Linear algebra of the LLVM engine agrees with the NumPy engine's, and is what it should be."""

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as jnp
import pullback.scipy.linalg as jsl
from pullback import lax

from .agreement import LETTERS, check, draw, same

BATCHES = [(), (2, 3)]


@pytest.fixture(autouse=True)
def _wide() -> Any:
    with pb.enable_x64(True):
        yield


def positive(*shape: int, dtype: str = "f") -> Any:
    x = draw(*shape, dtype=dtype)
    return x @ np.conj(np.swapaxes(x, -1, -2)) + 2 * np.eye(shape[-1], dtype=dtype)


def regular(*shape: int, dtype: str = "f") -> Any:
    return draw(*shape, dtype=dtype) + 3 * np.eye(shape[-1], dtype=dtype)


def orthonormal(x: Any, tolerance: float) -> None:
    product = np.conj(np.swapaxes(x, -1, -2)) @ x
    same(product, np.broadcast_to(np.eye(x.shape[-1], dtype=x.dtype), product.shape), tolerance)


@pytest.mark.parametrize("dtype", LETTERS)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("n", [1, 3, 20])
def test_cholesky(n: int, batch: Any, dtype: str) -> None:
    x = positive(*batch, n, n, dtype=dtype)
    (factor,) = check(lambda x: lax.linalg.cholesky(x, symmetrize_input=False), x)
    same(factor @ np.conj(np.swapaxes(factor, -1, -2)), x, 1e-4 if dtype in "fF" else 1e-12)


@pytest.mark.parametrize("n", [3, 20])
def test_cholesky_reads_the_lower_triangle_and_fails_with_nans(n: int) -> None:
    x = positive(40, n, n)
    check(lambda x: lax.linalg.cholesky(x, symmetrize_input=False), x + np.triu(draw(n, n), 1))
    x[1] = -x[1]
    x[2, 0, 0] = np.nan
    check(lambda x: lax.linalg.cholesky(x, symmetrize_input=False), x)
    check(lambda x: jnp.linalg.cholesky(x.mT * 2), x[:1])


@pytest.mark.parametrize("dtype", LETTERS)
@pytest.mark.parametrize("left_side", [True, False])
@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("operation", ["n", "t", "c", "h"])
def test_triangular_solve(dtype: str, left_side: bool, lower: bool, operation: str) -> None:
    def solve(a: Any, b: Any, unit: bool = False) -> Any:
        return lax.linalg.triangular_solve(
            a,
            b,
            left_side=left_side,
            lower=lower,
            transpose_a=operation in "th",
            conjugate_a=operation in "ch",
            unit_diagonal=unit,
        )

    b = draw(7, 5, dtype=dtype) if left_side else draw(5, 7, dtype=dtype)
    a = regular(7, 7, dtype=dtype)
    check(solve, a, b, tolerance=1e-4 if dtype in "fF" else 1e-11)
    check(lambda a, b: solve(a.mT, b), a, b, tolerance=1e-4 if dtype in "fF" else 1e-11)
    check(lambda a, b: solve(a, b, True), a / 8, b, tolerance=1e-4 if dtype in "fF" else 1e-11)
    a, b = regular(40, 3, 3, dtype=dtype), draw(*((40, 3, 2) if left_side else (40, 2, 3)), dtype=dtype)
    check(solve, a, b, tolerance=1e-4 if dtype in "fF" else 1e-11)


@pytest.mark.parametrize("left_side", [True, False])
def test_many_right_hand_sides(left_side: bool) -> None:
    a, b = regular(300, 300), draw(*((300, 700) if left_side else (700, 300)))
    a = np.tril(a) / 20 + np.eye(300, dtype="f")
    check(
        lambda a, b: lax.linalg.triangular_solve(a, b, left_side=left_side, lower=True), a, b, tolerance=1e-4
    )


@pytest.mark.parametrize("dtype", LETTERS)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("size", [(1, 1), (5, 5), (20, 13), (4, 9)])
def test_factorizations(size: tuple[int, int], batch: Any, dtype: str) -> None:
    x = draw(*batch, *size, dtype=dtype)
    tolerance = 1e-4 if dtype in "fF" else 1e-11
    check(lambda x: tuple(lax.linalg.lu(x)), x, tolerance=tolerance)
    for full in (False, True):
        q, r = check(lambda x, f=full: tuple(lax.linalg.qr(x, full_matrices=f)), x, tolerance=tolerance)
        same(q @ r, x, tolerance)
        u, s, vh = check(
            lambda x, f=full: tuple(jnp.linalg.svd(x, full_matrices=f)), x, tolerance=tolerance, unique=(1,)
        )
        orthonormal(u, tolerance)
        orthonormal(np.swapaxes(vh, -1, -2), tolerance)
        k = min(size)
        same((u[..., :k] * s[..., None, :]) @ vh[..., :k, :], x, tolerance)
    check(lambda x: lax.linalg.svd(x, compute_uv=False), x, tolerance=tolerance)
    if size[0] >= size[1]:
        check(lambda x: lax.linalg.householder_product(*lax.linalg.geqrf(x)), x, tolerance=tolerance)


@pytest.mark.parametrize("dtype", LETTERS)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("n", [1, 2, 6, 40])
def test_systems_and_determinants(n: int, batch: Any, dtype: str) -> None:
    a, b = regular(*batch, n, n, dtype=dtype), draw(*batch, n, 3, dtype=dtype)
    tolerance = 1e-3 if dtype in "fF" else 1e-10
    check(jnp.linalg.solve, a, b, tolerance=tolerance)
    check(lambda a, b: jnp.linalg.solve(a.mT, b[..., 0][..., None]), a, b, tolerance=tolerance)
    check(jnp.linalg.inv, a, tolerance=tolerance)
    check(lambda a: tuple(jnp.linalg.slogdet(a)), a, tolerance=tolerance)
    check(jnp.linalg.det, a / 2, tolerance=tolerance)
    if n < 40:
        check(pb.grad(lambda a, b: jnp.sum(abs(jnp.linalg.solve(a, b)) ** 2), (0, 1)), a, b, tolerance=1e-2)


@pytest.mark.parametrize("dtype", LETTERS)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("n", [1, 2, 6, 40])
@pytest.mark.parametrize("lower", [True, False])
def test_eigh(lower: bool, n: int, batch: Any, dtype: str) -> None:
    x = draw(*batch, n, n, dtype=dtype)
    tolerance = 1e-3 if dtype in "fF" else 1e-10
    v, w = check(
        lambda x: tuple(lax.linalg.eigh(x, lower=lower, symmetrize_input=False)),
        x,
        tolerance=tolerance,
        unique=(1,),
    )
    orthonormal(v, tolerance)
    part = np.tril(x) if lower else np.triu(x)
    whole = part + np.conj(np.swapaxes(part, -1, -2)) - part * np.eye(n)
    whole = whole - 1j * whole.imag * np.eye(n) if dtype in "FD" else whole
    same((v * w[..., None, :]) @ np.conj(np.swapaxes(v, -1, -2)), whole.astype(v.dtype), tolerance)
    check(
        lambda x: jnp.linalg.eigvalsh(x, "L" if lower else "U", symmetrize_input=False),
        x,
        tolerance=tolerance,
    )


def test_singular_and_undefined_matrices() -> None:
    x = regular(5, 4, 4)
    x[1, :, 2] = 0
    x[2] = 0
    check(lambda x: tuple(jnp.linalg.slogdet(x)), x)
    check(jnp.linalg.det, x)
    check(lambda x: tuple(lax.linalg.lu(x)), x)
    x[3, 1, 1] = np.nan
    check(lambda x: tuple(jnp.linalg.svd(x)), x[[2, 3, 4]], tolerance=1e-4, unique=(1,))
    check(lambda x: lax.linalg.svd(x, compute_uv=False), x, tolerance=1e-4)
    check(jnp.linalg.inv, x[[0, 4]])
    with np.errstate(all="ignore"):
        check(jnp.linalg.solve, x[[0, 2]], draw(2, 4, 2))


def test_among_other_operations() -> None:
    x = positive(30, 30)

    def log_determinant(a: Any) -> Any:
        return 2 * jnp.sum(jnp.log(jnp.diag(jnp.linalg.cholesky(a))))

    check(pb.value_and_grad(log_determinant), x)
    check(lambda a: jsl.cho_solve(jsl.cho_factor(jnp.exp(a / 100) + a), a.sum(0)), x)
    check(
        lambda a: lax.scan(lambda c, _: (jnp.linalg.solve(a, c), jnp.linalg.inv(a)[0]), a[:, :3], None, 4), x
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 7])
def test_many_small_matrices(n: int, dtype: str) -> None:
    tolerance = 1e-2 if dtype == "float32" else 1e-8
    x, a, b = positive(50, n, n, dtype=dtype), draw(50, n, n, dtype=dtype), draw(50, n, 2, dtype=dtype)
    x[3], a[3], x[4, -1, 0] = -x[3], 0, np.nan
    check(lambda x: lax.linalg.cholesky(x, symmetrize_input=False), x, tolerance=tolerance)
    check(lambda x: jnp.linalg.cholesky(jnp.exp(x / 100).reshape(25, 2, n, n) + x.reshape(25, 2, n, n)), x)
    check(jnp.linalg.solve, a, b, tolerance=tolerance)
    check(jnp.linalg.solve, a.reshape(2, 25, n, n), b.reshape(2, 25, n, 2), tolerance=tolerance)
    check(lambda a, b: jnp.linalg.solve(a.mT, b[..., :1]), a, b, tolerance=tolerance)
    check(jnp.linalg.inv, a[np.arange(50) != 3], tolerance=tolerance)
    check(jnp.linalg.det, a, tolerance=tolerance)
    check(
        pb.grad(lambda a, b: jnp.sum(jnp.linalg.solve(a, b) ** 2), (0, 1)), x[5:], b[5:], tolerance=tolerance
    )


def test_exchanges_of_rows_by_zeros() -> None:
    a = np.broadcast_to(np.array([[0, 2, 1], [0, 0, 3], [4, 1, 1]], "f"), (20, 3, 3)).copy()
    check(jnp.linalg.det, a)
    check(jnp.linalg.inv, a)


def test_empty() -> None:
    check(jnp.linalg.cholesky, draw(0, 3, 3), native=False)
    check(jnp.linalg.det, draw(2, 0, 0), native=False)
    check(lambda x: tuple(jnp.linalg.qr(x)), draw(3, 0), native=False)


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    x = positive(60, 30, 30)
    results = []
    before = pb.config.num_threads
    try:
        for count in (1, 3):
            pb.config.update("num_threads", count)
            results.append(check(lambda x: (jnp.linalg.cholesky(x), jnp.linalg.inv(x)), x, tolerance=1e-4))
    finally:
        pb.config.update("num_threads", before)
    for one, three in zip(*results, strict=True):
        np.testing.assert_array_equal(one, three)


def _factorizations(f: Any, *args: Any) -> int:
    """How many calls of the routine that factors matrices a program has."""
    text: str = pb.jit(f).lower(*args).compile().as_text("llvm")
    return sum("call" in line and "getrf" in line for line in text.splitlines())


@pytest.mark.parametrize("shape", [(30, 30), (2, 3, 20, 20)])
@pytest.mark.parametrize("dtype", LETTERS)
def test_systems_with_the_same_matrix_share_its_factors(shape: tuple[int, ...], dtype: str) -> None:
    a, b = regular(*shape, dtype=dtype), draw(*shape[:-1], 3, dtype=dtype)
    a += 9 * np.eye(shape[-1], dtype=dtype)

    def several(a: Any, b: Any) -> Any:
        c = a + 9 * jnp.eye(a.shape[-1], dtype=a.dtype)  # is not in memory
        x = jnp.linalg.solve(c, b)
        y = jnp.linalg.solve(jnp.swapaxes(c, -1, -2), x) @ jnp.swapaxes(b, -1, -2)
        z = jnp.linalg.solve(c, y) + y @ y
        return x, y, jnp.linalg.solve(2 * c, z), z

    check(several, a, b)
    derivative = lambda a, b: pb.vjp(jnp.linalg.solve, a, b)[1](jnp.cos(b))
    check(derivative, a, b)
    assert _factorizations(derivative, a, b) == 1
    assert _factorizations(lambda a, b: jnp.linalg.solve(a, jnp.linalg.solve(a + 1, b)), a, b) == 2


def test_factors_do_not_outlive_their_matrix() -> None:
    """A loop's state is written over, and a new matrix has new factors."""

    def f(a: Any, b: Any) -> Any:
        def step(a: Any, _: Any) -> Any:
            x = jnp.linalg.solve(a, b)
            y = jnp.linalg.solve(a, x)
            return a.at[0].add(y[0]), y

        return lax.scan(step, a, None, length=4)

    check(f, regular(25, 25, dtype="d"), draw(25, 25, dtype="d"))
