"""Eigenvalues and -vectors, singular values and vectors against NumPy, SciPy and JAX.

Vectors of complex Hermitian matrices and singular vectors have a free phase, which LAPACK fixes in another
way than the derivative rules do; the samples then are functions of the vectors that do not depend on it.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import scipy.linalg

from pullback._src.base.errors import NotDifferentiableError, ShapeError
from pullback._src.ops import arithmetic, matrices
from pullback._src.ops import spectral as ops
from pullback._src.transforms.jvp import jvp

from .. import oracle
from ..matrix import Sample, arrays, matrix_cells, run_cell
from .domains import uniform
from .matrices import REAL_AND_COMPLEX, general, hermitian

Array = np.ndarray[Any, Any]


def _first_projection(columns: Any) -> Any:
    """The products of all pairs of elements of the first vector: independent of its phase."""
    first = arithmetic.mul(columns, arrays([np.eye(1, columns.shape[-1]).astype(columns.dtype)])[0])
    return matrices.matmul(first, matrices.adjoint(first))


def _eigh(x: Any) -> list[Any]:
    v, w = ops.eigh(x)
    return [_first_projection(v), w]


def _eigh_reference(x: Array) -> list[Array]:
    w, v = np.linalg.eigh(x)
    return [v[:, :1] @ v[:, :1].conj().T, w]


def _svd(x: Any) -> list[Any]:
    u, s, vh = ops.svd(x, full_matrices=False)
    return [_first_projection(u), s, _first_projection(matrices.adjoint(vh))]


def _svd_reference(x: Array) -> list[Array]:
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    return [u[:, :1] @ u[:, :1].conj().T, s, vh[:1].conj().T @ vh[:1]]


def _eig(x: Any) -> list[Any]:
    return ops.eig(x, compute_left_eigenvectors=False)


def _eig_reference(x: Array) -> list[Array]:
    return [o.astype(np.complex128) for o in np.linalg.eig(x)]


def _samples() -> list[Sample]:
    out = []
    for dtype in REAL_AND_COMPLEX:
        name = np.dtype(dtype).name
        h, g = hermitian((3, 3), dtype), general((3, 3), dtype)
        tolerance = {"rtol": 1e-12, "atol": 1e-13}
        out += [
            Sample(f"eigh-{name}", _eigh, (h,), _eigh_reference, (0,), **tolerance, primitives=("eigh",)),
            Sample(
                f"eigvalsh-{name}",
                lambda x: ops.eigvalsh(x, lower=False),
                (h,),
                np.linalg.eigvalsh,
                (0,),
                **tolerance,
                primitives=("eigvalsh",),
            ),
            Sample(
                f"svdvals-{name}",
                lambda x: ops.svd(x, compute_uv=False),
                (general((3, 2), dtype),),
                lambda x: np.linalg.svd(x, compute_uv=False),
                (0,),
                **tolerance,
                primitives=("svd",),
            ),
            Sample(f"eig-{name}", _eig, (g,), _eig_reference, (0,), **tolerance, primitives=("eig",)),
            Sample(
                f"eigvals-{name}",
                lambda x: ops.eig(x, compute_left_eigenvectors=False, compute_right_eigenvectors=False),
                (g,),
                lambda x: np.linalg.eigvals(x).astype(np.complex128),
                (0,),
                **tolerance,
            ),
        ]
        for rows, columns, order in ((3, 3, 2), (4, 2, 1), (2, 4, 1)):
            x = general((rows, columns), dtype)
            label = f"svd-{rows}x{columns}-{name}"
            out.append(Sample(label, _svd, (x,), _svd_reference, (0,), order, **tolerance))
        full = lambda x: list(ops.svd(x))
        out.append(
            Sample(
                f"svd-full-{name}",
                full,
                (general((4, 2), dtype),),
                lambda x: list(np.linalg.svd(x)),
                **tolerance,
            )
        )
        left = lambda x: ops.eig(x, compute_right_eigenvectors=False)
        left_reference = lambda x: [
            o.astype(np.complex128) for o in scipy.linalg.eig(x, left=True, right=False)
        ]
        out.append(Sample(f"eig-left-{name}", left, (g,), left_reference, **tolerance))
    g = general((4, 4), np.float64)
    out += [
        Sample(
            "schur",
            lambda x: list(ops.schur(x)),
            (g,),
            lambda x: list(scipy.linalg.schur(x)),
            primitives=("schur",),
        ),
        Sample(
            "hessenberg",
            lambda x: list(ops.hessenberg(x)),
            (g,),
            lambda x: list(scipy.linalg.lapack.dgehrd(x)[:2]),
            primitives=("hessenberg",),
        ),
        Sample(
            "tridiagonal",
            lambda x: list(ops.tridiagonal(x)),
            (hermitian((4, 4), np.float64),),
            lambda x: list(scipy.linalg.lapack.dsytrd(x, lower=True)[:4]),
            primitives=("tridiagonal",),
        ),
    ]
    return out


SAMPLES = _samples()


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize("stack", [(), (2,)])
def test_gradients_agree_with_jax(dtype: Any, stack: tuple[int, ...]) -> None:
    h = hermitian((*stack, 3, 3), dtype)
    for lower in (True, False):
        oracle.check(ops.eigh, jax.lax.linalg.eigh, h, lower=lower, units=64)
    oracle.check_grad(ops.eigh, jax.lax.linalg.eigh, h, units=128)
    for shape in ((3, 3), (4, 2), (2, 4)):
        x = general((*stack, *shape), dtype)
        oracle.check(ops.svd, jax.lax.linalg.svd, x, full_matrices=False, units=64)
        oracle.check_grad(ops.svd, jax.lax.linalg.svd, x, full_matrices=False, units=256)
        oracle.check_grad(ops.svd, jax.lax.linalg.svd, x, compute_uv=False, units=128)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_eig_agrees_with_jax(dtype: Any) -> None:
    # LAPACK leaves the sign of real vectors open, and the two libraries link different ones: compare squares.
    x = general((2, 3, 3), dtype)

    def squares(eig: Any) -> Any:
        def run(x: Any, **options: Any) -> list[Any]:
            return [w if i == 0 else w * w for i, w in enumerate(eig(x, **options))]

        return run

    ours, theirs = squares(ops.eig), squares(jax.lax.linalg.eig)
    for left, right in ((False, True), (True, True), (False, False)):
        options = {"compute_left_eigenvectors": left, "compute_right_eigenvectors": right}
        oracle.check(ours, theirs, x, **options, units=64)
    oracle.check_grad(ours, theirs, x, units=128, **options)
    options = {"compute_left_eigenvectors": False, "enable_eigvec_derivs": True}
    oracle.check_grad(ours, theirs, x, units=256, **options)


def test_matrices_without_factorisation_give_nans() -> None:
    bad = np.array([[1.0, np.nan], [np.nan, 1.0]], np.float32)
    x = np.stack([bad, np.diag([1.0, 2.0]).astype(np.float32)])
    for results in (ops.eigh(x), ops.svd(x), ops.eig(x)):
        for result in results:
            found = np.asarray(result)
            assert np.isnan(found[0]).all()
            assert np.isfinite(found[1]).all()
    for result in (ops.eigvalsh(x), ops.svd(x, compute_uv=False)):
        assert np.isnan(np.asarray(result)[0]).all()
        np.testing.assert_allclose(np.sort(np.asarray(result)[1]), [1, 2])


def test_values_are_differentiable_where_vectors_are_not() -> None:
    x, t = arrays([np.eye(3, dtype=np.float32)]), arrays([uniform(-1, 1, (3, 3), np.float32)])
    for values in (ops.eigvalsh, lambda v: ops.svd(v, compute_uv=False)):
        ((_,), (derivative,)) = jvp(lambda v, f=values: [f(v)], x, t)
        assert np.isfinite(np.asarray(derivative)).all()
        np.testing.assert_allclose(np.sum(np.asarray(derivative)), np.trace(np.asarray(t[0])), rtol=1e-5)


def test_undetermined_vectors_have_no_derivative() -> None:
    x = arrays([general((4, 2), np.float32)])
    with pytest.raises(NotDifferentiableError, match="full_matrices=False"):
        jvp(ops.svd, x, x)
    square = arrays([general((3, 3), np.float32)])
    with pytest.raises(NotDifferentiableError, match="left eigenvectors"):
        jvp(ops.eig, square, square)


def test_empty_matrices() -> None:
    x = np.zeros((0, 0), np.float32)
    assert [o.shape for o in ops.eigh(x)] == [(0, 0), (0,)]
    assert [o.shape for o in ops.svd(x)] == [(0, 0), (0,), (0, 0)]
    assert [o.shape for o in ops.eig(x)] == [(0,), (0, 0), (0, 0)]
    assert [o.shape for o in ops.hessenberg(x)] == [(0, 0), (0,)]
    assert [o.shape for o in ops.tridiagonal(x)] == [(0, 0), (0,), (0,), (0,)]


def test_errors_explain() -> None:
    with pytest.raises(ShapeError, match="eigh expects square"):
        ops.eigh(np.zeros((2, 3), np.float32))
    with pytest.raises(NotImplementedError, match="subset_by_index"):
        ops.eigh(np.zeros((3, 3), np.float32), subset_by_index=(0, 1))
    with pytest.raises(NotImplementedError, match="subset_by_index"):
        ops.svd(np.zeros((3, 3), np.float32), subset_by_index=(0, 1))
    with pytest.raises(NotImplementedError, match="sorting"):
        ops.schur(np.zeros((3, 3), np.float32), sort_eig_vals=True)
