"""Cholesky, LU and QR factorisations against NumPy, SciPy and JAX."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import scipy.linalg

from pullback._src.base.errors import DTypeError, NotDifferentiableError, ShapeError
from pullback._src.ops import factorization as ops

from .. import oracle
from ..flat import flat, vjp_of
from ..matrix import Sample, arrays, matrix_cells, run_cell
from .domains import uniform
from .matrices import REAL_AND_COMPLEX, general, hermitian, positive

Array = np.ndarray[Any, Any]


def _lu(x: Array) -> list[Array]:
    rows = x.shape[-2]
    lu, pivots = scipy.linalg.lu_factor(x)
    order = np.arange(rows)
    for i, j in enumerate(pivots):
        order[[i, j]] = order[[j, i]]
    return [lu, pivots.astype(np.int32), order.astype(np.int32)]


def _pivoted_qr(x: Array) -> list[Array]:
    q, r, p = scipy.linalg.qr(x, mode="economic", pivoting=True)
    return [q, r, p.astype(np.int32)]


def _samples() -> list[Sample]:
    out = []
    for dtype in REAL_AND_COMPLEX:
        name = np.dtype(dtype).name
        out.append(
            Sample(
                f"cholesky-{name}",
                ops.cholesky,
                (positive((3, 3), dtype),),
                np.linalg.cholesky,
                (0,),
                rtol=1e-13,
                primitives=("cholesky",),
            )
        )
        for shape in ((3, 3), (4, 2), (2, 4)):
            rows, columns = shape
            x = general(shape, dtype)
            label = f"{rows}x{columns}-{name}"
            out.append(Sample(f"lu-{label}", ops.lu, (x,), _lu, (0,), rtol=1e-12, primitives=("lu",)))
            out.append(
                Sample(
                    f"qr-{label}",
                    lambda v: ops.qr(v, full_matrices=False),
                    (x,),
                    lambda v: list(np.linalg.qr(v)),
                    (0,),
                    2 if shape != (3, 3) else 1,
                    rtol=1e-12,
                    primitives=("qr",),
                )
            )
        pivoted = lambda v: ops.qr(v, full_matrices=False, pivoting=True)
        out.append(
            Sample(f"qr-pivoted-{name}", pivoted, (general((4, 3), dtype),), _pivoted_qr, (0,), 1, rtol=1e-12)
        )
        complete = lambda v: list(np.linalg.qr(v, mode="complete"))
        out.append(Sample(f"qr-full-{name}", ops.qr, (general((4, 2), dtype),), complete))
        out.append(
            Sample(
                f"geqrf-{name}",
                ops.geqrf,
                (general((4, 2), dtype),),
                lambda v: [
                    np.swapaxes(h, -1, -2) if i == 0 else h for i, h in enumerate(np.linalg.qr(v, mode="raw"))
                ],
                rtol=1e-12,
                primitives=("geqrf",),
            )
        )
        out.append(
            Sample(
                f"householder_product-{name}",
                lambda v: ops.householder_product(*ops.geqrf(v)),
                (general((4, 2), dtype),),
                lambda v: np.linalg.qr(v)[0],
                rtol=1e-12,
                primitives=("householder_product",),
            )
        )
    out.append(
        Sample(
            "lu_pivots_to_permutation",
            lambda p: ops.lu_pivots_to_permutation(p, 4),
            (np.array([2, 3, 2], np.int32),),
            lambda p: np.asarray(jax.lax.linalg.lu_pivots_to_permutation(p, 4)),
            primitives=("lu_pivots_to_permutation",),
        )
    )
    return out


SAMPLES = _samples()


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize("stack", [(), (2,)])
def test_gradients_agree_with_jax(dtype: Any, stack: tuple[int, ...]) -> None:
    check = lambda ours, theirs, x, **options: (
        oracle.check(ours, theirs, x, **options, units=32),
        oracle.check_grad(ours, theirs, x, **options, units=128),
    )
    check(ops.cholesky, jax.lax.linalg.cholesky, positive((*stack, 3, 3), dtype))
    # Without symmetrisation only the lower triangle is read, but the rule takes the tangent as Hermitian.
    check(ops.cholesky, jax.lax.linalg.cholesky, positive((*stack, 3, 3), dtype), symmetrize_input=False)
    for shape in ((4, 4), (4, 2), (2, 4)):
        check(ops.lu, jax.lax.linalg.lu, general((*stack, *shape), dtype))
    for shape in ((3, 3), (4, 2)):
        check(ops.qr, jax.lax.linalg.qr, general((*stack, *shape), dtype), full_matrices=False)


def test_the_lower_triangle_is_read() -> None:
    a = positive((3, 3), np.float32)
    garbled = np.tril(a) + 7 * np.triu(np.ones((3, 3), np.float32), 1)
    np.testing.assert_array_equal(ops.cholesky(garbled, symmetrize_input=False), np.linalg.cholesky(a))


def test_matrices_that_are_not_positive_definite_give_nans() -> None:
    bad = np.array([[1.0, 2.0], [2.0, 1.0]], np.float32)
    good = np.eye(2, dtype=np.float32)
    for x in (bad, np.stack([good, bad]), np.full((2, 2), np.nan, np.float32)):
        oracle.check(ops.cholesky, jax.lax.linalg.cholesky, x)


def test_the_documented_gradient_of_a_complex_cholesky() -> None:
    """The Autodiff Cookbook prints these numbers for sum((L - sin L)^2)."""
    from pullback._src.ops import arithmetic, structural, transcendental

    a = np.array([[5.0, 2 + 3j, 5j], [2 - 3j, 7.0, 1 + 7j], [-5j, 1 - 7j, 12.0]], np.complex64)

    def f(x: Any) -> Any:
        lower = ops.cholesky(x)
        return structural.reduce_sum_p.bind(
            arithmetic.square(arithmetic.sub(lower, transcendental.sin(lower))), axes=(0, 1)
        )

    (found,) = vjp_of(flat(f), (0,), 1)(*arrays([a, np.complex64(1)]))
    expected = [
        [-0.7534186, -3.0509028 - 10.940545j, 5.9896846 + 3.542303j],
        [-3.0509028 + 10.940545j, -8.904491, -5.1351523 - 6.559373j],
        [5.9896846 - 3.542303j, -5.1351523 + 6.559373j, 0.01320427],
    ]
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


def test_qr_of_wide_matrices_reproduces_the_matrix() -> None:
    x = general((2, 3, 5), np.float64)
    q, r = (np.asarray(v) for v in ops.qr(x.astype(np.float32), full_matrices=False))
    assert q.shape == (2, 3, 3) and r.shape == (2, 3, 5)
    np.testing.assert_allclose(q @ r, x, rtol=1e-5, atol=1e-5)


def test_undetermined_columns_have_no_derivative() -> None:
    from pullback._src.transforms.jvp import jvp

    x = arrays([general((4, 2), np.float32)])
    with pytest.raises(NotDifferentiableError, match=r"full_matrices=False \(mode='reduced'\)"):
        jvp(ops.qr, x, x)


def test_empty_matrices() -> None:
    for shape in ((0, 0), (2, 0, 0), (0, 3, 3)):
        x = np.zeros(shape, np.float32)
        assert ops.cholesky(x).shape == shape
        assert [o.shape for o in ops.lu(x)] == [shape, shape[:-1], shape[:-1]]
        assert [o.shape for o in ops.qr(x)] == [shape, shape]
        assert [o.shape for o in ops.geqrf(x)] == [shape, shape[:-1]]


def test_symmetrize_is_half_of_matrix_and_adjoint() -> None:
    x = uniform(-1, 1, (2, 3, 3), np.complex64)
    np.testing.assert_allclose(
        ops.symmetrize(arrays([x])[0]), (x + np.conj(x.swapaxes(-1, -2))) / 2, rtol=1e-6
    )
    h = hermitian((3, 3), np.complex64)
    np.testing.assert_array_equal(ops.symmetrize(arrays([h])[0]), h)


def test_errors_explain() -> None:
    with pytest.raises(ShapeError, match=r"cholesky expects square matrices.*\(2, 3\)"):
        ops.cholesky(np.zeros((2, 3), np.float32))
    with pytest.raises(DTypeError, match="qr works in float32, float64, complex64 and complex128; got int32"):
        ops.qr(np.zeros((2, 2), np.int32))
    with pytest.raises(ShapeError, match="reflectors"):
        ops.householder_product(np.zeros((2, 3), np.float32), np.zeros(2, np.float32))
    with pytest.raises(ShapeError, match="permutation_size"):
        ops.lu_pivots_to_permutation(np.zeros(3, np.int32), 2)
    with pytest.raises(IndexError, match="pivot 5"):
        ops.lu_pivots_to_permutation(np.array([5], np.int32), 2)
