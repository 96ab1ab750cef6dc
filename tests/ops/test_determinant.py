"""Determinants and pseudoinverses against NumPy and JAX, singular matrices included."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from pullback._src.base.errors import ShapeError
from pullback._src.core.array import as_array
from pullback._src.ops import determinant as ops

from .. import oracle
from ..flat import flat, vjp_of
from ..matrix import Sample, arrays, matrix_cells, run_cell
from .domains import uniform
from .matrices import REAL_AND_COMPLEX, general

Array = np.ndarray[Any, Any]


def of_rank(rank: int, n: int, dtype: Any) -> Array:
    """A random n x n matrix of lower rank."""
    wide = np.complex128 if np.dtype(dtype).kind == "c" else np.float64
    return (uniform(-1, 1, (n, rank), wide, 1) @ uniform(-1, 1, (rank, n), wide, 2)).astype(dtype)


def _cofactors(x: Array) -> Array:
    n = x.shape[-1]
    out = np.empty_like(x)
    for i in range(n):
        for j in range(n):
            minor = np.delete(np.delete(x, i, 0), j, 1)
            out[i, j] = (-1) ** (i + j) * np.linalg.det(minor)
    return out


def _samples() -> list[Sample]:
    out = []
    for dtype in REAL_AND_COMPLEX:
        name = np.dtype(dtype).name
        cofactor = ops.cofactor_p.bind
        tolerance = {"rtol": 1e-12, "atol": 1e-12}
        for n in (1, 2, 4):
            x = general((n, n), dtype)
            out.append(
                Sample(
                    f"det-{n}-{name}",
                    ops.det,
                    (x,),
                    lambda v: np.asarray(np.linalg.det(v)),
                    (0,),
                    **tolerance,
                    primitives=("det", "cofactor"),
                )
            )
            out.append(
                Sample(
                    f"cofactor-{n}-{name}",
                    cofactor,
                    (x,),
                    _cofactors,
                    (0,),
                    1,
                    **tolerance,
                    primitives=("cofactor",),
                )
            )
        for rank in (1, 2, 3):
            x = of_rank(rank, 4, dtype)
            # The determinant itself is rounding error; all else is not.
            out.append(
                Sample(
                    f"cofactor-rank-{rank}-{name}",
                    cofactor,
                    (x,),
                    _cofactors,
                    (0,),
                    1,
                    batchable=(),
                    **tolerance,
                )
            )
        out.append(
            Sample(
                f"slogdet-{name}",
                ops.slogdet,
                (general((3, 3), dtype),),
                lambda v: [np.asarray(o) for o in np.linalg.slogdet(v)],
                (0,),
                **tolerance,
                primitives=("slogdet",),
            )
        )
        out += [
            Sample(
                f"pinv-{shape[0]}x{shape[1]}-{name}",
                lambda v: ops.pinv(v, 1e-10),
                (general(shape, dtype),),
                np.linalg.pinv,
                (0,),
                2 if shape == (4, 2) else 1,
                **tolerance,
                primitives=("pinv",),
            )
            for shape in ((3, 3), (4, 2), (2, 4))
        ]
    return out


SAMPLES = _samples()


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_gradients_agree_with_jax(dtype: Any) -> None:
    for n in (1, 2, 3, 4):
        x = general((2, n, n), dtype)
        oracle.check(ops.det, jax.numpy.linalg.det, x, units=64)
        oracle.check_grad(ops.det, jax.numpy.linalg.det, x, units=64)
        oracle.check_grad(ops.slogdet, jax.numpy.linalg.slogdet, x, units=64)


@pytest.mark.parametrize(
    "x",
    [
        [[1, 2, 3, 4], [2, 4, 6, 8], [0, 1, 0, 1], [1, 0, 0, 2]],
        [[1, 2, 3, 4], [2, 4, 6, 8], [3, 6, 9, 12], [1, 0, 0, 2]],
        [[1, 0, 2, 1], [2, 0, 4, 2], [3, 0, 6, 3], [4, 0, 8, 4]],
    ],
    ids=["rank-3", "rank-2", "rank-1"],
)
def test_gradients_at_singular_matrices_agree_with_jax(x: Any) -> None:
    x = np.array(x, np.float32)
    (gradient,) = vjp_of(flat(ops.det), (0,), 1)(*arrays([x, np.float32(1)]))
    np.testing.assert_allclose(gradient, jax.grad(jax.numpy.linalg.det)(x), rtol=1e-4, atol=1e-4)
    found = np.asarray(ops.cofactor_p.bind(as_array(x)))
    np.testing.assert_allclose(found, _cofactors(x.astype(np.float64)), atol=1e-4)


def test_pseudoinverse_of_lower_rank() -> None:
    x = of_rank(2, 4, np.float32)
    options = {"rtol": 1e-4}
    oracle.check(ops.pinv, jax.numpy.linalg.pinv, x, **options, units=64)
    oracle.check_grad(ops.pinv, jax.numpy.linalg.pinv, x, **options, units=512)


def test_a_tolerance_for_each_matrix() -> None:
    x = general((2, 3, 3), np.float32)
    np.testing.assert_allclose(
        ops.pinv(x, np.array([1e-6, 2.0], np.float32)),
        [np.linalg.inv(x[0]), np.zeros((3, 3))],
        rtol=1e-5,
        atol=1e-6,
    )


def test_matrices_of_nans_and_without_elements() -> None:
    nan = np.full((3, 3), np.nan, np.float32)
    for found in (ops.det(nan), ops.cofactor_p.bind(as_array(nan)), ops.pinv(nan, 1e-5)):
        assert np.isnan(np.asarray(found)).all()
    empty = np.zeros((0, 0), np.float32)
    assert float(np.asarray(ops.det(empty))) == 1.0
    assert ops.cofactor_p.bind(as_array(empty)).shape == (0, 0)
    assert [float(np.asarray(o)) for o in ops.slogdet(empty)] == [1.0, 0.0]


def test_errors_explain() -> None:
    with pytest.raises(ShapeError, match="det expects square"):
        ops.det(np.zeros((2, 3), np.float32))
    with pytest.raises(ShapeError, match=r"tolerance of shape \(3,\)"):
        ops.pinv(np.zeros((1, 2, 3), np.float32), np.zeros(3, np.float32))
