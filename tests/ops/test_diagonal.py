"""Vectors on diagonals, and diagonals of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback._src.base.errors import ShapeError
from pullback._src.ops.diagonal import embed_diagonal, extract_diagonal
from tests.matrix import Sample, matrix_cells, run_cell


def _embedded(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(x)[..., None] * np.eye(x.shape[-1], dtype=x.dtype)


def _data(shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(0)
    data = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        data = data + 1j * rng.standard_normal(shape)
    return np.asarray(data).astype(dtype)


SAMPLES = [
    Sample(
        f"embed_diagonal-{np.dtype(dtype).name}-{'x'.join(map(str, shape))}",
        embed_diagonal,
        (_data(shape, dtype),),
        _embedded,
        differentiable=(0,),
        primitives=("embed_diagonal",),
    )
    for dtype, shape in [
        (np.float32, (3,)),
        (np.float64, (2, 4)),
        (np.complex128, (3,)),
        (np.float32, (2, 0)),
    ]
] + [
    Sample(
        f"extract_diagonal-{np.dtype(dtype).name}-{'x'.join(map(str, shape))}",
        extract_diagonal,
        (_data(shape, dtype),),
        lambda x: np.diagonal(x, axis1=-2, axis2=-1),
        differentiable=(0,),
        primitives=("extract_diagonal",),
    )
    for dtype, shape in [(np.float32, (3, 3)), (np.float64, (2, 4, 4)), (np.complex128, (3, 3))]
]


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


def test_shapes_are_checked() -> None:
    with pytest.raises(ShapeError, match=r"square matrices.*f32\[2,3\]"):
        extract_diagonal(pnp.ones((2, 3)))
    with pytest.raises(ShapeError, match="at least one dimension"):
        embed_diagonal(pnp.float32(1))


def test_the_jacobian_of_an_entrywise_function_is_an_embedded_diagonal() -> None:
    x = pnp.linspace(0.1, 1.0, 5)
    for jacobian in (pb.jacfwd, pb.jacrev):
        program = pb.make_jaxpr(jacobian(lambda x: pnp.sin(x) * x))(x)
        assert [e.primitive.name for e in program.eqns].count("embed_diagonal") == 1
        np.testing.assert_allclose(
            jacobian(lambda x: pnp.sin(x) * x)(x), np.diag(np.cos(x) * x + np.sin(x)), rtol=1e-6
        )


def test_entries_beside_the_diagonal_are_zero_where_a_factor_is_infinite() -> None:
    jacobian = np.asarray(pb.jacfwd(pnp.sqrt)(pnp.array([0.0, 4.0])))
    np.testing.assert_array_equal(jacobian, [[np.inf, 0.0], [0.0, 0.25]])
