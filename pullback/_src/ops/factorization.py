"""Factorisations by elimination and reflection: Cholesky, LU, QR and their parts.

Each rule differentiates the defining equation and projects onto the structure of the factors. With Phi the
projection onto lower triangular matrices that halves the diagonal:

* A = L L^H: dL = L Phi(L^-1 dA L^-H) (S. P. Smith 1995; I. Murray, "Differentiation of the Cholesky
  decomposition", 2016, section 3.1).
* P A = L U: with F = L^-1 P dA U^-1, dL = L tril(F, -1) and dU = triu(F) U.
* A = Q R: with C = Q^H dA R^-1 and the skew-Hermitian W that agrees with C below the diagonal, dR = (C - W)
  R and dQ = Q (W - C) + dA R^-1 (Walter and Lehmann, "Algorithmic differentiation of linear algebra
  functions", 2010).
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base.errors import NotDifferentiableError, ShapeError
from ..core import rules
from ..core.array import Array, as_array, scalar
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.kinds import kind
from ..core.primitive import Primitive
from .arithmetic import add_p, mul_p, sub_p
from .compare import eq_p
from .complex import real_p
from .convert import convert_element_type
from .dot import matmul
from .iota import iota_p
from .joining import concatenate_p, slice
from .matrices import (
    adjoint,
    batch_leading,
    check_matrix,
    diagonal_part,
    identity,
    no_transpose,
    product,
    swap,
    tril,
    triu,
)
from .structural import broadcast_in_dim, reshape
from .triangular import bind_triangular

__all__ = [
    "cholesky",
    "geqrf",
    "householder_product",
    "lu",
    "lu_pivots_to_permutation",
    "qr",
    "symmetrize",
]

_INT32 = np.dtype(np.int32)


def half(x: Any) -> Any:
    """x / 2."""
    return mul_p.bind(x, scalar(0.5, x.aval.dtype))


def symmetrize(x: Any) -> Any:
    """(X + X^H) / 2: the nearest Hermitian matrix."""
    return half(add_p.bind(x, adjoint(x)))


# cholesky -----------------------------------------------------------------------------------------

cholesky_p = Primitive("cholesky")


def cholesky(x: Any, *, symmetrize_input: bool = True) -> Array:
    """The lower triangular L with L L^H = X, for (a stack of) Hermitian positive definite matrices.

    Args:
        x: (..., n, n).
        symmetrize_input: factor (X + X^H) / 2, so that derivatives are symmetric; otherwise only the lower
            triangle of x is read.

    Returns:
        L, with NaNs for matrices that are not positive definite.
    """
    x = as_array(x, name="cholesky")
    check_matrix("cholesky", x.aval, square=True)
    if symmetrize_input:
        x = symmetrize(x)
    return cholesky_p.bind(x)


def _cholesky_abstract(x: ShapedArray) -> ShapedArray:
    check_matrix("cholesky", x, square=True)
    return x


def _phi(x: Any) -> Any:
    """The lower triangle with half of the diagonal."""
    lower = tril(x)
    return sub_p.bind(lower, half(diagonal_part(lower)))


def _cholesky_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    lower = cholesky_p.bind(*primals)
    inner = bind_triangular(lower, tangents[0])
    inner = bind_triangular(lower, inner, left_side=False, transpose_a=True, conjugate_a=True)
    return lower, matmul(lower, _phi(inner))


rules.abstract[cholesky_p] = _cholesky_abstract
rules.jvp[cholesky_p] = _cholesky_jvp
rules.batch[cholesky_p] = batch_leading(cholesky_p)
no_transpose(cholesky_p, "the factor is not linear in the matrix")

# lu -----------------------------------------------------------------------------------------------

lu_p = Primitive("lu", multiple_results=True)


def lu(x: Any) -> tuple[Array, Array, Array]:
    """The LU factorisation with row pivoting, P X = L U.

    Args:
        x: (..., m, n).

    Returns:
        L (without its diagonal of ones) and U in one array of x's shape; the pivots (..., min(m, n)), int32,
        row i having been swapped with row pivots[i]; and the permutation (..., m), int32, so that
        x[permutation] = L U.
    """
    x = as_array(x, name="lu")
    check_matrix("lu", x.aval)
    return tuple(lu_p.bind(x))


def _lu_abstract(x: ShapedArray) -> list[ShapedArray]:
    check_matrix("lu", x)
    rows, columns = x.shape[-2:]
    batch = x.shape[:-2]
    return [
        x.strip_weak_type(),
        shaped_array((*batch, min(rows, columns)), _INT32),
        shaped_array((*batch, rows), _INT32),
    ]


def _permutation_matrix(permutation: Any, dtype: np.dtype[Any]) -> Any:
    """P with (P X)[i] = X[permutation[i]]."""
    shape = permutation.aval.shape
    columns = iota_p.bind(dtype=_INT32, shape=shape[-1:], dimension=0)
    return convert_element_type(eq_p.bind(reshape(permutation, (*shape, 1)), columns), dtype)


def _completed(factor: Any, size: int) -> Any:
    """The triangular factor as a square matrix, with the columns (or rows) of the identity after its own."""
    shape = factor.aval.shape
    rows, columns = shape[-2:]
    if rows == columns:
        return factor
    batch = shape[:-2]
    eye = identity(size, factor.aval.dtype)
    if columns < size:
        rest, dimension = slice(eye, (0, columns), (size, size)), len(batch) + 1
    else:
        rest, dimension = slice(eye, (rows, 0), (size, size)), len(batch)
    rest = broadcast_in_dim(rest, (*batch, *rest.aval.shape), (len(batch), len(batch) + 1))
    return concatenate_p.bind(factor, rest, dimension=dimension)


def _lu_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    factors, pivots, permutation = lu_p.bind(*primals)
    shape = factors.aval.shape
    batch_rank = len(shape) - 2
    rows, columns = shape[-2:]
    k = min(rows, columns)
    start = (0,) * (batch_rank + 2)
    dtype = factors.aval.dtype
    # Both factors are completed to square matrices; the equations below then hold for every shape.
    lower = tril(slice(factors, start, (*shape[:-1], k)), -1)
    lower = add_p.bind(lower, _rectangular_identity(rows, k, dtype))
    upper = triu(slice(factors, start, (*shape[:-2], k, columns)))
    lower, upper = _completed(lower, rows), _completed(upper, columns)
    inner = matmul(_permutation_matrix(permutation, dtype), tangents[0])
    inner = bind_triangular(lower, inner, unit_diagonal=True)
    inner = bind_triangular(upper, inner, left_side=False, lower=False)
    out = add_p.bind(matmul(lower, tril(inner, -1)), matmul(triu(inner), upper))
    return [factors, pivots, permutation], [out, Zero(pivots.aval.tangent), Zero(permutation.aval.tangent)]


def _rectangular_identity(rows: int, columns: int, dtype: np.dtype[Any]) -> Any:
    return slice(identity(max(rows, columns), dtype), (0, 0), (rows, columns))


rules.abstract[lu_p] = _lu_abstract
rules.jvp[lu_p] = _lu_jvp
rules.batch[lu_p] = batch_leading(lu_p)
no_transpose(lu_p, "the factors are not linear in the matrix")

lu_pivots_to_permutation_p = Primitive("lu_pivots_to_permutation")


def lu_pivots_to_permutation(pivots: Any, permutation_size: int) -> Array:
    """The permutation that a sequence of row swaps amounts to.

    Args:
        pivots: (..., k) integers; row i is swapped with row pivots[i], in order.
        permutation_size: the number of rows, at least k.

    Returns:
        (..., permutation_size) integers: the row that ends up in each place.
    """
    pivots = as_array(pivots, name="lu_pivots_to_permutation")
    size = operator.index(permutation_size)
    _pivots_abstract(pivots.aval, permutation_size=size)
    return lu_pivots_to_permutation_p.bind(pivots, permutation_size=size)


def _pivots_abstract(pivots: ShapedArray, *, permutation_size: int) -> ShapedArray:
    if kind(pivots.dtype) not in "iu" or pivots.ndim < 1 or pivots.shape[-1] > permutation_size:
        raise ShapeError(
            "lu_pivots_to_permutation expects integers of shape (..., k) with k at most permutation_size "
            f"({permutation_size}); got {pivots.str_short()}"
        )
    return shaped_array((*pivots.shape[:-1], permutation_size), pivots.dtype, pivots.weak_type)


rules.abstract[lu_pivots_to_permutation_p] = _pivots_abstract
rules.batch[lu_pivots_to_permutation_p] = batch_leading(lu_pivots_to_permutation_p)
rules.not_differentiable[lu_pivots_to_permutation_p] = "its operand and result are integers"
no_transpose(lu_pivots_to_permutation_p, "its operand and result are integers")

# qr -----------------------------------------------------------------------------------------------

qr_p = Primitive("qr", multiple_results=True)


def qr(
    x: Any, *, pivoting: bool = False, full_matrices: bool = True, use_magma: bool | None = None
) -> tuple[Array, ...]:
    """The QR factorisation X = Q R (with `pivoting`, X[:, p] = Q R).

    Args:
        x: (..., m, n).
        pivoting: order the columns so that the diagonal of R decreases.
        full_matrices: Q is m x m and R m x n; otherwise m x k and k x n with k = min(m, n).
        use_magma: accepted for compatibility.

    Returns:
        (q, r), or (q, r, p) with the int32 permutation p of shape (..., n).
    """
    x = as_array(x, name="qr")
    check_matrix("qr", x.aval)
    return tuple(qr_p.bind(x, pivoting=bool(pivoting), full_matrices=bool(full_matrices)))


def _qr_abstract(x: ShapedArray, *, pivoting: bool, full_matrices: bool) -> list[ShapedArray]:
    check_matrix("qr", x)
    rows, columns = x.shape[-2:]
    batch = x.shape[:-2]
    k = rows if full_matrices else min(rows, columns)
    out = [shaped_array((*batch, rows, k), x.dtype), shaped_array((*batch, k, columns), x.dtype)]
    if pivoting:
        out.append(shaped_array((*batch, columns), _INT32))
    return out


def _qr_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, pivoting: bool, full_matrices: bool
) -> tuple[Any, Any]:
    q, r, *permutation = qr_p.bind(*primals, pivoting=pivoting, full_matrices=full_matrices)
    (x,), (dx,) = primals, tangents
    rows, columns = x.aval.shape[-2:]
    if full_matrices and rows > columns:
        raise NotDifferentiableError(
            f"qr with full_matrices=True has no derivative for more rows than columns ({rows} x "
            f"{columns}): the last "
            "columns of Q are not determined by the matrix. Use full_matrices=False (mode='reduced')."
        )
    if permutation:
        dx = matmul(dx, swap(_permutation_matrix(permutation[0], x.aval.dtype)))
    square = min(rows, columns)
    if columns > rows:
        # Q and the first columns of R come from the first columns of X; the rest of R is Q^H X.
        begin, rank = (0,) * x.aval.ndim, x.aval.ndim
        first = (*x.aval.shape[:-1], square)
        r_square, dx_square = slice(r, begin, (*r.aval.shape[:-1], square)), slice(dx, begin, first)
        dq, dr = _qr_tangents(q, r_square, dx_square)
        offset = (*begin[:-1], square)
        rest = slice(r, offset, r.aval.shape)
        dx_rest = slice(dx, offset, dx.aval.shape)
        # X_rest = Q R_rest, and dQ^H Q is skew, so dR_rest = Q^H dX_rest - Q^H dQ R_rest.
        q_adjoint = adjoint(q)
        dr_rest = sub_p.bind(matmul(q_adjoint, dx_rest), product(q_adjoint, dq, rest))
        dr = concatenate_p.bind(dr, dr_rest, dimension=rank - 1)
    else:
        dq, dr = _qr_tangents(q, r, dx)
    return [q, r, *permutation], [dq, dr, *(Zero(p.aval.tangent) for p in permutation)]


def _qr_tangents(q: Any, r: Any, dx: Any) -> tuple[Any, Any]:
    dx_rinv = bind_triangular(r, dx, left_side=False, lower=False)
    c = matmul(adjoint(q), dx_rinv)
    below = tril(c, -1)
    w = sub_p.bind(below, adjoint(below))
    if kind(c.aval.dtype) == "c":
        # The diagonal of R is real: the imaginary part of C's belongs to W.
        diagonal = diagonal_part(c)
        w = add_p.bind(w, sub_p.bind(diagonal, convert_element_type(real_p.bind(diagonal), c.aval.dtype)))
    difference = sub_p.bind(c, w)
    return sub_p.bind(dx_rinv, matmul(q, difference)), matmul(difference, r)


rules.abstract[qr_p] = _qr_abstract
rules.jvp[qr_p] = _qr_jvp
rules.batch[qr_p] = batch_leading(qr_p)
no_transpose(qr_p, "the factors are not linear in the matrix")

# The parts of a QR factorisation ------------------------------------------------------------------

geqrf_p = Primitive("geqrf", multiple_results=True)
householder_product_p = Primitive("householder_product")


def geqrf(x: Any) -> tuple[Array, Array]:
    """The QR factorisation in LAPACK's form: reflectors below R, and their factors tau (..., min(m, n))."""
    x = as_array(x, name="geqrf")
    check_matrix("geqrf", x.aval)
    return tuple(geqrf_p.bind(x))


def householder_product(a: Any, taus: Any) -> Array:
    """The product of elementary reflectors as LAPACK stores them: the first columns of Q.

    Args:
        a: (..., m, n) with m >= n: the reflectors below the diagonal.
        taus: (..., k) with k <= n: their factors.

    Returns:
        (..., m, n).
    """
    a, taus = as_array(a, name="householder_product"), as_array(taus, name="householder_product")
    _householder_abstract(a.aval, taus.aval)
    return householder_product_p.bind(a, taus)


def _geqrf_abstract(x: ShapedArray) -> list[ShapedArray]:
    check_matrix("geqrf", x)
    return [x.strip_weak_type(), shaped_array((*x.shape[:-2], min(x.shape[-2:])), x.dtype)]


def _householder_abstract(a: ShapedArray, taus: ShapedArray) -> ShapedArray:
    check_matrix("householder_product", a)
    rows, columns = a.shape[-2:]
    if rows < columns or taus.shape[:-1] != a.shape[:-2] or taus.ndim < 1 or taus.shape[-1] > columns:
        raise ShapeError(
            "householder_product expects reflectors (..., m, n) with m >= n and factors (..., k) "
            "with k <= n; got "
            f"shapes {a.shape} and {taus.shape}"
        )
    return a if taus.weak_type else a.strip_weak_type()


rules.abstract[geqrf_p] = _geqrf_abstract
rules.abstract[householder_product_p] = _householder_abstract
for _p in (geqrf_p, householder_product_p):
    rules.batch[_p] = batch_leading(_p)
    rules.not_differentiable[_p] = "only whole QR factorisations (qr) have a derivative rule"
    no_transpose(_p, "it is not linear in its operands")
