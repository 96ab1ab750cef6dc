"""Linear systems against SciPy and JAX."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import numpy as np
import pytest
import scipy.linalg

from pullback._src.base.errors import DTypeError, ShapeError
from pullback._src.core.array import as_array
from pullback._src.ops import triangular as ops

from .. import oracle
from ..matrix import Sample, matrix_cells, run_cell
from .domains import uniform
from .matrices import REAL_AND_COMPLEX, general, triangular

Array = np.ndarray[Any, Any]


def _triangle(a: Array, lower: bool, unit: bool) -> Array:
    a = np.tril(a) if lower else np.triu(a)
    if unit:
        a = a - np.eye(a.shape[-1], dtype=a.dtype) * a + np.eye(a.shape[-1], dtype=a.dtype)
    return a


def _reference(a: Array, b: Array, left: bool, lower: bool, transpose: bool, conj: bool, unit: bool) -> Array:
    a = _triangle(a, lower, unit)
    a = np.swapaxes(a, -1, -2) if transpose else a
    a = np.conj(a) if conj else a
    if left:
        return np.linalg.solve(a, b)
    return np.swapaxes(np.linalg.solve(np.swapaxes(a, -1, -2), np.swapaxes(b, -1, -2)), -1, -2)


_FLAGS = [
    (True, True, False, False, False),
    (True, False, True, True, False),
    (False, True, True, True, True),
    (False, False, False, True, False),
]


def _samples() -> list[Sample]:
    out = []
    for flags in _FLAGS:
        left, lower = flags[:2]
        for dtype, stack in ((np.float64, ()), (np.complex128, ()), (np.float32, (2,))):
            order = 1 if dtype is np.float32 else 2
            label = "".join(str(int(f)) for f in flags)
            out.append(
                Sample(
                    f"triangular_solve-{label}-{np.dtype(dtype).name}",
                    lambda a, b, flags=flags: ops.bind_triangular(a, b, *flags),
                    (
                        triangular((*stack, 3, 3), dtype, lower),
                        uniform(-1, 1, (*stack, *((3, 2) if left else (2, 3))), dtype),
                    ),
                    lambda a, b, flags=flags: _reference(a, b, *flags),
                    (0, 1),
                    order,
                    (0, 1),
                    rtol=1e-5 if order == 1 else 1e-13,
                    primitives=("triangular_solve",),
                )
            )
    for dtype, transpose in itertools.product(REAL_AND_COMPLEX, (False, True)):
        out.append(
            Sample(
                f"solve-{transpose}-{np.dtype(dtype).name}",
                lambda a, b, transpose=transpose: ops.solve(a, b, transpose_a=transpose),
                (general((3, 3), dtype), uniform(-1, 1, (3, 2), dtype)),
                lambda a, b, transpose=transpose: np.linalg.solve(a.T if transpose else a, b),
                (0, 1),
                2,
                (0, 1),
                rtol=1e-13,
                primitives=("solve",),
            )
        )
    for dtype in REAL_AND_COMPLEX:
        out.append(
            Sample(
                f"inv-{np.dtype(dtype).name}",
                ops.inv,
                (general((2, 3, 3), dtype),),
                np.linalg.inv,
                (0,),
                primitives=("inv",),
            )
        )
        diagonals = [uniform(-1, 1, (4,), dtype, i) for i in range(3)]
        diagonals[1] = diagonals[1] + 3
        out.append(
            Sample(
                f"tridiagonal_solve-{np.dtype(dtype).name}",
                ops.tridiagonal_solve,
                (*diagonals, uniform(-1, 1, (4, 2), dtype, 4)),
                _tridiagonal_reference,
                (0, 1, 2, 3),
                2,
                (0, 1, 2, 3),
                rtol=1e-13,
                primitives=("tridiagonal_solve",),
            )
        )
    return out


def _tridiagonal_reference(dl: Array, d: Array, du: Array, b: Array) -> Array:
    return np.linalg.solve(np.diag(dl[1:], -1) + np.diag(d) + np.diag(du[:-1], 1), b)


SAMPLES = _samples()


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@pytest.mark.parametrize("left_side", [False, True])
@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 3), (7, 3, 3)])
def test_all_flags_agree_with_jax(shape: tuple[int, ...], left_side: bool) -> None:
    names = ("lower", "transpose_a", "conjugate_a", "unit_diagonal")
    b = uniform(-1, 1, (*shape[:-2], *((3, 2) if left_side else (2, 3))), np.complex64)
    solve, jax_solve = ops.triangular_solve, jax.lax.linalg.triangular_solve
    with oracle.together():
        for flags in itertools.product((False, True), repeat=4):
            options = {"left_side": left_side, **dict(zip(names, flags, strict=True))}
            a = triangular(shape, np.complex64, options["lower"])
            oracle.check(solve, jax_solve, a, b, **options, units=32)
            oracle.check_grad(solve, jax_solve, a, b, argnums=(0, 1), **options)
            strided = np.swapaxes(np.array(np.swapaxes(a, -1, -2)), -1, -2)
            np.testing.assert_allclose(
                solve(as_array(strided), as_array(b), **options),
                _reference(a, b, left_side, *flags),
                rtol=1e-4,
                atol=1e-5,
                err_msg=str(options),
            )


@pytest.mark.parametrize("left_side", [False, True])
def test_a_vector_on_the_right_hand_side(left_side: bool) -> None:
    a, b = triangular((3, 3), np.float32), uniform(-1, 1, (3,), np.float32)
    oracle.check(ops.triangular_solve, jax.lax.linalg.triangular_solve, a, b, lower=True, left_side=left_side)


def test_singular_matrices_give_infinities() -> None:
    a = np.array([[[1.0, 1.0], [1.0, 1.0]], [[2.0, 0.0], [0.0, 4.0]]], np.float32)
    b = np.array([[[1.0], [2.0]], [[1.0], [2.0]]], np.float32)
    np.testing.assert_array_equal(ops.solve(a, b), [[[-np.inf], [np.inf]], [[0.5], [0.5]]])
    found = np.asarray(ops.inv(a))
    assert np.isinf(found[0]).all()
    np.testing.assert_array_equal(found[1], [[0.5, 0.0], [0.0, 0.25]])
    zero = np.zeros((1, 1), np.float32)
    np.testing.assert_array_equal(
        ops.triangular_solve(zero, np.ones((1, 1), np.float32), lower=True), [[np.inf]]
    )


def test_empty_systems() -> None:
    assert ops.triangular_solve(np.zeros((0, 0), np.float32), np.zeros((2, 0), np.float32)).shape == (2, 0)
    assert ops.solve(np.zeros((0, 0), np.float32), np.zeros((0, 2), np.float32)).shape == (0, 2)
    assert ops.inv(np.zeros((2, 0, 0), np.float32)).shape == (2, 0, 0)


def test_tridiagonal_agrees_with_jax_and_scipy() -> None:
    diagonals = [uniform(-1, 1, (2, 5), np.float32, i) + (3 if i == 1 else 0) for i in range(3)]
    b = uniform(-1, 1, (2, 5, 3), np.float32, 7)
    diagonals[0][..., 0] = 0
    diagonals[2][..., -1] = 0
    oracle.check(ops.tridiagonal_solve, jax.lax.linalg.tridiagonal_solve, *diagonals, b, units=32)
    oracle.check_grad(
        ops.tridiagonal_solve, jax.lax.linalg.tridiagonal_solve, *diagonals, b, argnums=(0, 1, 2, 3)
    )
    bands = np.zeros((3, 5))
    bands[0, 1:], bands[1], bands[2, :-1] = diagonals[2][0, :-1], diagonals[1][0], diagonals[0][0, 1:]
    found = np.asarray(ops.tridiagonal_solve(*diagonals, b))[0]
    np.testing.assert_allclose(found, scipy.linalg.solve_banded((1, 1), bands, b[0]), rtol=1e-4)


def test_errors_explain() -> None:
    square, b = np.zeros((3, 3), np.float32), np.zeros((3, 2), np.float32)
    with pytest.raises(ShapeError, match=r"square matrices.*\(2, 3\)"):
        ops.inv(np.zeros((2, 3), np.float32))
    with pytest.raises(ShapeError, match=r"3 rows; got shape \(2, 3\)"):
        ops.solve(square, b.T)
    with pytest.raises(ShapeError, match="at least 2 dimensions"):
        ops.inv(np.zeros(3, np.float32))
    with pytest.raises(DTypeError, match="float16"):
        ops.inv(square.astype(np.float16))
    with pytest.raises(DTypeError, match="one dtype"):
        ops.solve(square, b.astype(np.complex64))
    with pytest.raises(NotImplementedError, match="perturb_singular"):
        ops.tridiagonal_solve(b[:, 0], b[:, 0], b[:, 0], b, perturb_singular=True)
