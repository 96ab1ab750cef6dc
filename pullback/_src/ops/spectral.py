"""Spectral factorisations: eigenvalues and -vectors, singular values and vectors, and related forms.

First-order perturbation theory, with `.` the elementwise product:

* Hermitian A = V diag(w) V^H: with M = V^H dA V and F_ij = 1 / (w_j - w_i) off the diagonal, dw = diag(M),
  dV = V (F . M) (Giles 2008, section 3.1).
* A = U diag(s) V^H: with P = U^H dA V and F_ij = 1 / (s_j^2 - s_i^2), ds = Re diag(P),
  dU = U (F . (P S + S P^H)) + (1 - U U^H) dA V S^-1, dV = V (F . (S P + P^H S)) + (1 - V V^H) dA^H U S^-1
  (J. Townsend, "Differentiating the singular value decomposition", 2016). For complex matrices, where each
  pair of vectors has a free phase, the diagonal of U^H dU carries all of it: i Im(P_ii) / s_i.
* General A V = V diag(w): with M = V^-1 dA V, dw = diag(M), dV = V (F . M), made orthogonal in the real
  sense to each vector and turned so that the largest element stays real: LAPACK's normalisation (Giles 2008,
  section 3.1; Boeddeker et al., "On the computation of complex-valued gradients with application to
  statistically optimum beamforming", 2017).

Where two values coincide, vectors are not differentiable and F is infinite or NaN; derivatives of the values
alone (`compute_uv=False`, `eigvalsh`) do not use F and stay finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base.errors import NotDifferentiableError
from ..core import dtypes, rules
from ..core.array import Array, as_array, scalar
from ..core.aval import ShapedArray, shaped_array
from ..core.kinds import kind
from ..core.primitive import Primitive
from .arithmetic import add_p, div_p, mul_p, sub_p
from .compare import eq_p, select_n_p
from .complex import complex_p, conj_p, imag_p, real_p
from .convert import convert_element_type
from .dot import matmul
from .factorization import half, symmetrize
from .iota import iota_p
from .matrices import (
    adjoint,
    batch_leading,
    check_matrix,
    diagonal,
    diagonal_mask,
    diagonal_part,
    no_transpose,
    off_diagonal,
    product,
    scale_columns,
    scale_rows,
)
from .reduction import argmax
from .structural import add_any, reduce_sum_p, reshape
from .triangular import solve_p

__all__ = ["eig", "eigh", "hessenberg", "schur", "svd", "tridiagonal"]

_INT32 = np.dtype(np.int32)


def _real(x: Any) -> Any:
    return real_p.bind(x) if kind(x.aval.dtype) == "c" else x


def _as(x: Any, dtype: np.dtype[Any]) -> Any:
    return convert_element_type(x, dtype)


def _inverse_gaps(values: Any) -> Any:
    """F with F_ij = 1 / (values_j - values_i), and 0 on the diagonal."""
    shape = values.aval.shape
    gaps = sub_p.bind(reshape(values, (*shape[:-1], 1, shape[-1])), reshape(values, (*shape, 1)))
    one = scalar(1, values.aval.dtype)
    return off_diagonal(div_p.bind(one, select_n_p.bind(diagonal_mask(shape[-1], shape[-1]), gaps, one)))


# eigh ---------------------------------------------------------------------------------------------

eigh_p = Primitive("eigh", multiple_results=True)


def eigh(
    x: Any,
    *,
    lower: bool = True,
    symmetrize_input: bool = True,
    sort_eigenvalues: bool = True,
    subset_by_index: tuple[int, int] | None = None,
    implementation: Any = None,
) -> tuple[Array, Array]:
    """Eigenvectors and eigenvalues of (a stack of) Hermitian matrices.

    Args:
        x: (..., n, n).
        lower: whether the lower triangle is read (without effect if the input is symmetrised).
        symmetrize_input: use (X + X^H) / 2.
        sort_eigenvalues: accepted for compatibility: they always ascend.
        subset_by_index: must be None or the whole range.
        implementation: accepted for compatibility.

    Returns:
        (v, w): columns of v (..., n, n) are the normalised eigenvectors, w (..., n) the ascending
        eigenvalues.
    """
    x = as_array(x, name="eigh")
    check_matrix("eigh", x.aval, square=True)
    if subset_by_index is not None and tuple(subset_by_index) != (0, x.aval.shape[-1]):
        raise NotImplementedError("eigh: subset_by_index is not supported; take a part of the result instead")
    if symmetrize_input:
        x = symmetrize(x)
    return tuple(eigh_p.bind(x, lower=bool(lower)))


def _eigh_abstract(x: ShapedArray, *, lower: bool) -> list[ShapedArray]:
    check_matrix("eigh", x, square=True)
    return [x.strip_weak_type(), shaped_array(x.shape[:-1], dtypes.to_real_dtype(x.dtype))]


def _eigh_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, lower: bool) -> tuple[Any, Any]:
    v, w = eigh_p.bind(*primals, lower=lower)
    inner = product(adjoint(v), tangents[0], v)
    dw = _real(diagonal(inner))
    dv = matmul(v, mul_p.bind(_as(_inverse_gaps(w), v.aval.dtype), inner))
    return [v, w], [dv, dw]


eigvalsh_p = Primitive("eigvalsh")


def eigvalsh(x: Any, *, lower: bool = True, symmetrize_input: bool = True) -> Array:
    """The ascending eigenvalues of (a stack of) Hermitian matrices."""
    x = as_array(x, name="eigvalsh")
    check_matrix("eigvalsh", x.aval, square=True)
    return eigvalsh_p.bind(symmetrize(x) if symmetrize_input else x, lower=bool(lower))


def _eigvalsh_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, lower: bool) -> tuple[Any, Any]:
    v, w = eigh_p.bind(*primals, lower=lower)
    return w, _real(diagonal(product(adjoint(v), tangents[0], v)))


rules.abstract[eigh_p] = _eigh_abstract
rules.jvp[eigh_p] = _eigh_jvp
rules.batch[eigh_p] = batch_leading(eigh_p)
no_transpose(eigh_p, "eigenvectors and -values are not linear in the matrix")


def _eigvalsh_abstract(x: ShapedArray, *, lower: bool) -> ShapedArray:
    check_matrix("eigvalsh", x, square=True)
    return shaped_array(x.shape[:-1], dtypes.to_real_dtype(x.dtype), x.weak_type)


rules.abstract[eigvalsh_p] = _eigvalsh_abstract
rules.jvp[eigvalsh_p] = _eigvalsh_jvp
rules.batch[eigvalsh_p] = batch_leading(eigvalsh_p)
no_transpose(eigvalsh_p, "eigenvalues are not linear in the matrix")

# svd ----------------------------------------------------------------------------------------------

svd_p = Primitive("svd", multiple_results=True)


def svd(
    x: Any,
    *,
    full_matrices: bool = True,
    compute_uv: bool = True,
    subset_by_index: tuple[int, int] | None = None,
    algorithm: Any = None,
) -> Any:
    """The singular value decomposition X = U diag(s) V^H of (a stack of) matrices.

    Args:
        x: (..., m, n).
        full_matrices: U is m x m and V n x n; otherwise they have k = min(m, n) columns.
        compute_uv: whether to return the vectors.
        subset_by_index: must be None or the whole range.
        algorithm: accepted for compatibility.

    Returns:
        (u, s, vh), or s alone: (..., k), descending.
    """
    x = as_array(x, name="svd")
    check_matrix("svd", x.aval)
    if subset_by_index is not None and tuple(subset_by_index) != (0, min(x.aval.shape[-2:])):
        raise NotImplementedError("svd: subset_by_index is not supported; take a part of the result instead")
    if not compute_uv:
        return svd_p.bind(x, full_matrices=False, compute_uv=False)[0]
    s, u, vh = svd_p.bind(x, full_matrices=bool(full_matrices), compute_uv=True)
    return u, s, vh


def _svd_abstract(x: ShapedArray, *, full_matrices: bool, compute_uv: bool) -> list[ShapedArray]:
    check_matrix("svd", x)
    rows, columns = x.shape[-2:]
    batch = x.shape[:-2]
    k = min(rows, columns)
    s = shaped_array((*batch, k), dtypes.to_real_dtype(x.dtype))
    if not compute_uv:
        return [s]
    u = shaped_array((*batch, rows, rows if full_matrices else k), x.dtype)
    vh = shaped_array((*batch, columns if full_matrices else k, columns), x.dtype)
    return [s, u, vh]


def _svd_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, full_matrices: bool, compute_uv: bool
) -> tuple[Any, Any]:
    (x,), (dx,) = primals, tangents
    rows, columns = x.aval.shape[-2:]
    if compute_uv and full_matrices and rows != columns:
        raise NotDifferentiableError(
            f"svd with full_matrices=True has no derivative for matrices that are not square ({rows} "
            f"x {columns}): "
            "the last singular vectors are not determined by the matrix. Use full_matrices=False."
        )
    s, u, vh = svd_p.bind(x, full_matrices=False, compute_uv=True)
    v = adjoint(vh)
    p = product(adjoint(u), dx, v)
    ds = _real(diagonal(p))
    if not compute_uv:
        return [s], [ds]
    dtype = x.aval.dtype
    factor = _as(s, dtype)
    p_adjoint = adjoint(p)
    # s_j^2 - s_i^2 as a product: the difference of squares would lose digits.
    gaps = _svd_gaps(s, dtype)
    w_u = mul_p.bind(gaps, add_any(scale_columns(p, factor), scale_rows(p_adjoint, factor)))
    w_v = mul_p.bind(gaps, add_any(scale_rows(p, factor), scale_columns(p_adjoint, factor)))
    safe = _safe_reciprocal(factor)
    if kind(dtype) == "c":
        w_u = add_any(w_u, scale_columns(diagonal_part(half(sub_p.bind(p, p_adjoint))), safe))
    du, dv = matmul(u, w_u), matmul(v, w_v)
    if rows > columns:
        du = add_any(du, scale_columns(_outside(u, matmul(dx, v)), safe))
    if columns > rows:
        dv = add_any(dv, scale_columns(_outside(v, matmul(adjoint(dx), u)), safe))
    return [s, u, vh], [ds, du, adjoint(dv)]


def _svd_gaps(s: Any, dtype: np.dtype[Any]) -> Any:
    shape = s.aval.shape
    row, column = reshape(s, (*shape[:-1], 1, shape[-1])), reshape(s, (*shape, 1))
    total = add_p.bind(row, column)
    one = scalar(1, s.aval.dtype)
    total = select_n_p.bind(diagonal_mask(shape[-1], shape[-1]), total, one)
    return _as(div_p.bind(_inverse_gaps(s), total), dtype)


def _safe_reciprocal(s: Any) -> Any:
    """1 / s, and 0 where s is 0."""
    zero, one = scalar(0, s.aval.dtype), scalar(1, s.aval.dtype)
    is_zero = eq_p.bind(s, zero)
    return select_n_p.bind(is_zero, div_p.bind(one, select_n_p.bind(is_zero, s, one)), zero)


def _outside(basis: Any, x: Any) -> Any:
    """The part of x's columns that is orthogonal to the columns of `basis`."""
    return sub_p.bind(x, product(basis, matmul(adjoint(basis), x)))


rules.abstract[svd_p] = _svd_abstract
rules.jvp[svd_p] = _svd_jvp
rules.batch[svd_p] = batch_leading(svd_p)
no_transpose(svd_p, "singular values and vectors are not linear in the matrix")

# eig ----------------------------------------------------------------------------------------------

eig_p = Primitive("eig", multiple_results=True)


def eig(
    x: Any,
    *,
    compute_left_eigenvectors: bool = True,
    compute_right_eigenvectors: bool = True,
    enable_eigvec_derivs: bool = True,
    implementation: Any = None,
    use_magma: bool | None = None,
) -> list[Array]:
    """Eigenvalues and eigenvectors of (a stack of) general square matrices; all results are complex.

    Args:
        x: (..., n, n).
        compute_left_eigenvectors, compute_right_eigenvectors: which vectors to return.
        enable_eigvec_derivs, implementation, use_magma: accepted for compatibility.

    Returns:
        [w, vl, vr] (without those that were not asked for): eigenvalues (..., n), and in columns of (..., n,
        n) the normalised vectors with vl^H x = w vl^H and x vr = w vr. Left vectors have no derivative.
    """
    x = as_array(x, name="eig")
    check_matrix("eig", x.aval, square=True)
    return eig_p.bind(
        x,
        compute_left_eigenvectors=bool(compute_left_eigenvectors),
        compute_right_eigenvectors=bool(compute_right_eigenvectors),
    )


def _eig_abstract(
    x: ShapedArray, *, compute_left_eigenvectors: bool, compute_right_eigenvectors: bool
) -> list[ShapedArray]:
    check_matrix("eig", x, square=True)
    dtype = dtypes.to_complex_dtype(x.dtype)
    vectors = shaped_array(x.shape, dtype)
    count = compute_left_eigenvectors + compute_right_eigenvectors
    return [shaped_array(x.shape[:-1], dtype), *([vectors] * count)]


def _eig_jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    compute_left_eigenvectors: bool,
    compute_right_eigenvectors: bool,
) -> tuple[Any, Any]:
    if compute_left_eigenvectors:
        raise NotDifferentiableError(
            "eig has no derivative rule for left eigenvectors; use compute_left_eigenvectors=False "
            "(or numpy.linalg.eig)"
        )
    w, v = eig_p.bind(*primals, compute_left_eigenvectors=False, compute_right_eigenvectors=True)
    inner = solve_p.bind(v, matmul(_as(tangents[0], v.aval.dtype), v), transpose_a=False)
    dw = diagonal(inner)
    if not compute_right_eigenvectors:
        return [w], [dw]
    dv = matmul(v, mul_p.bind(_inverse_gaps(w), inner))
    return [w, v], [dw, sub_p.bind(dv, scale_columns(v, _drift(v, dv)))]


def _drift(v: Any, dv: Any) -> Any:
    """How much of each vector itself its tangent must lose, for the length to stay 1 and the
    largest element real.
    """
    rank = v.aval.ndim
    squares = mul_p.bind(conj_p.bind(v), v)
    largest = argmax(real_p.bind(squares), rank - 2, _INT32)
    shape = largest.aval.shape
    rows = iota_p.bind(dtype=_INT32, shape=(v.aval.shape[-2], 1), dimension=0)
    chosen = eq_p.bind(rows, reshape(largest, (*shape[:-1], 1, shape[-1])))

    def pick(x: Any) -> Any:
        return reduce_sum_p.bind(select_n_p.bind(chosen, scalar(0, x.aval.dtype), x), axes=(rank - 2,))

    along = real_p.bind(reduce_sum_p.bind(mul_p.bind(conj_p.bind(v), dv), axes=(rank - 2,)))
    turn = div_p.bind(imag_p.bind(pick(dv)), real_p.bind(pick(v)))
    return complex_p.bind(along, turn)


rules.abstract[eig_p] = _eig_abstract
rules.jvp[eig_p] = _eig_jvp
rules.batch[eig_p] = batch_leading(eig_p)
no_transpose(eig_p, "eigenvectors and -values are not linear in the matrix")

# Factorisations without derivatives ----------------------------------------------------------------

schur_p = Primitive("schur", multiple_results=True)
hessenberg_p = Primitive("hessenberg", multiple_results=True)
tridiagonal_p = Primitive("tridiagonal", multiple_results=True)


def schur(
    x: Any, *, compute_schur_vectors: bool = True, sort_eig_vals: bool = False, select_callable: Any = None
) -> tuple[Array, ...]:
    """The Schur decomposition X = Z T Z^H: (t, z), or (t,) without vectors. T is (quasi-)upper triangular."""
    if sort_eig_vals or select_callable is not None:
        raise NotImplementedError(
            "schur: sorting of eigenvalues is not supported; leave sort_eig_vals and select_callable out, or "
            "call scipy.linalg.schur through pure_callback"
        )
    x = as_array(x, name="schur")
    check_matrix("schur", x.aval, square=True)
    return tuple(schur_p.bind(x, compute_schur_vectors=bool(compute_schur_vectors)))


def hessenberg(a: Any) -> tuple[Array, Array]:
    """The Hessenberg form in LAPACK's storage: (a, taus), reflectors below the first subdiagonal."""
    a = as_array(a, name="hessenberg")
    check_matrix("hessenberg", a.aval, square=True)
    return tuple(hessenberg_p.bind(a))


def tridiagonal(a: Any, *, lower: bool = True) -> tuple[Array, Array, Array, Array]:
    """The tridiagonal form of a Hermitian matrix in LAPACK's storage.

    Returns:
        (a, d, e, taus): reflectors in a's triangle, the real diagonal (..., n) and off-diagonal (..., n - 1).
    """
    a = as_array(a, name="tridiagonal")
    check_matrix("tridiagonal", a.aval, square=True)
    return tuple(tridiagonal_p.bind(a, lower=bool(lower)))


def _schur_abstract(x: ShapedArray, *, compute_schur_vectors: bool) -> list[ShapedArray]:
    check_matrix("schur", x, square=True)
    return [x.strip_weak_type()] * (1 + compute_schur_vectors)


def _hessenberg_abstract(x: ShapedArray) -> list[ShapedArray]:
    check_matrix("hessenberg", x, square=True)
    return [x.strip_weak_type(), shaped_array((*x.shape[:-2], max(x.shape[-1] - 1, 0)), x.dtype)]


def _tridiagonal_abstract(x: ShapedArray, *, lower: bool) -> list[ShapedArray]:
    check_matrix("tridiagonal", x, square=True)
    real = dtypes.to_real_dtype(x.dtype)
    shorter = (*x.shape[:-2], max(x.shape[-1] - 1, 0))
    return [
        x.strip_weak_type(),
        shaped_array(x.shape[:-1], real),
        shaped_array(shorter, real),
        shaped_array(shorter, x.dtype),
    ]


rules.abstract[schur_p] = _schur_abstract
rules.abstract[hessenberg_p] = _hessenberg_abstract
rules.abstract[tridiagonal_p] = _tridiagonal_abstract
for _p in (schur_p, hessenberg_p, tridiagonal_p):
    rules.batch[_p] = batch_leading(_p)
    rules.not_differentiable[_p] = (
        "no derivative of this factorisation is known that is defined at all points"
    )
    no_transpose(_p, "the factors are not linear in the matrix")
