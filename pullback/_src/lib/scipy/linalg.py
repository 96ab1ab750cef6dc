"""Linear algebra: `scipy.linalg`.

The arguments `overwrite_*` and `check_finite` of SciPy are accepted and have no effect: arrays are
immutable, and values that are not finite pass through.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...base.errors import ShapeError
from ...core import dtypes
from ...core.array import Array, scalar
from ...core.kinds import kind
from ...ops import determinant, factorization, spectral, triangular
from ...ops.compare import eq_p
from ...ops.convert import convert_element_type
from ...ops.iota import iota_p
from ...ops.joining import concatenate, pad, slice
from ...ops.matrices import adjoint, check_matrix, identity, scale_columns, tril, triu
from ...ops.structural import broadcast_to, full, reshape
from ..numpy import contractions
from ..numpy.promotion import promote, promote_inexact

__all__ = [
    "block_diag",
    "cho_factor",
    "cho_solve",
    "cholesky",
    "det",
    "eigh",
    "hessenberg",
    "inv",
    "lu",
    "lu_factor",
    "lu_solve",
    "polar",
    "qr",
    "schur",
    "solve",
    "solve_triangular",
    "svd",
]


def _matrix(name: str, a: Any, *, square: bool = False) -> Any:
    (x,) = promote_inexact("scipy.linalg." + name, a)
    check_matrix("scipy.linalg." + name, x.aval, square=square)
    return x


def _system(name: str, a: Any, b: Any) -> tuple[Any, Any, bool]:
    """Matrix and right-hand side of one dtype with equal leading dimensions, and whether the latter
    was a vector.
    """
    x, y = promote_inexact("scipy.linalg." + name, a, b)
    check_matrix("scipy.linalg." + name, x.aval, square=True)
    vector = y.aval.ndim == 1
    if y.aval.ndim == 0 or y.aval.shape[-1 if vector else -2] != x.aval.shape[-1]:
        raise ShapeError(
            f"scipy.linalg.{name}: a matrix of shape {x.aval.shape} needs a right-hand side with "
            f"{x.aval.shape[-1]} rows; "
            f"got shape {y.aval.shape}"
        )
    if vector:
        y = reshape(y, (*y.aval.shape, 1))
    try:
        lead = np.broadcast_shapes(x.aval.shape[:-2], y.aval.shape[:-2])
    except ValueError:
        raise ShapeError(
            f"scipy.linalg.{name}: the leading dimensions of shapes {x.aval.shape} and {y.aval.shape} "
            "do not broadcast"
        ) from None
    return broadcast_to(x, (*lead, *x.aval.shape[-2:])), broadcast_to(y, (*lead, *y.aval.shape[-2:])), vector


def _unsystem(out: Any, vector: bool) -> Any:
    return reshape(out, out.aval.shape[:-1]) if vector else out


# Cholesky -----------------------------------------------------------------------------------------


def cholesky(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Array:
    """The Cholesky factor: upper triangular U with a = U^H U, or lower triangular L with a = L L^H.

    Only that triangle of a is read; derivatives are those of a function of Hermitian matrices, without
    symmetrisation.
    """
    x = _matrix("cholesky", a, square=True)
    factor = factorization.cholesky(x if lower else adjoint(x), symmetrize_input=False)
    return factor if lower else adjoint(factor)


def cho_factor(
    a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Array, bool]:
    """The Cholesky factor in the form that `cho_solve` takes: (factor, lower)."""
    return cholesky(a, lower), lower


def cho_solve(
    c_and_lower: tuple[Any, bool], b: Any, overwrite_b: bool = False, check_finite: bool = True
) -> Array:
    """The solution of a x = b from the Cholesky factor of a.

    Args:
        c_and_lower: the result of `cho_factor`.
        b: (n,) or (..., n, m).
    """
    c, lower = c_and_lower
    x, y, vector = _system("cho_solve", c, b)
    lower = bool(lower)
    first = triangular.bind_triangular(x, y, True, lower, not lower, not lower)
    out = triangular.bind_triangular(x, first, True, lower, lower, lower)
    return _unsystem(out, vector)


# LU -----------------------------------------------------------------------------------------------


def lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Array, Array]:
    """The LU factorisation with row pivoting in the form that `lu_solve` takes: (factors, pivots)."""
    factors, pivots, _ = factorization.lu(_matrix("lu_factor", a))
    return factors, pivots


def _permutation_matrix(permutation: Any, dtype: np.dtype[Any]) -> Any:
    """P with P[permutation[j], j] = 1."""
    shape = permutation.aval.shape
    rows = iota_p.bind(dtype=permutation.aval.dtype, shape=(shape[-1], 1), dimension=0)
    chosen = eq_p.bind(rows, reshape(permutation, (*shape[:-1], 1, shape[-1])))
    return convert_element_type(chosen, dtype)


def lu_solve(
    lu_and_piv: tuple[Any, Any], b: Any, trans: int = 0, overwrite_b: bool = False, check_finite: bool = True
) -> Array:
    """The solution of op(a) x = b from `lu_factor(a)`.

    Args:
        lu_and_piv: the result of `lu_factor`.
        b: (n,) or (..., n, m).
        trans: 0: op(a) = a; 1: its transpose; 2: its conjugate transpose.
    """
    factors, pivots = lu_and_piv
    if trans not in (0, 1, 2):
        raise ValueError(f"scipy.linalg.lu_solve: trans must be 0, 1 or 2; got {trans!r}")
    x, y, vector = _system("lu_solve", factors, b)
    order = factorization.lu_pivots_to_permutation(pivots, x.aval.shape[-1])
    p = _permutation_matrix(order, y.aval.dtype)
    p = broadcast_to(p, (*y.aval.shape[:-2], *p.aval.shape[-2:]))
    bind = triangular.bind_triangular
    if trans == 0:
        # a = P L U
        y = contractions.matmul(adjoint(p), y)
        out = bind(x, bind(x, y, lower=True, unit_diagonal=True), lower=False)
    else:
        conjugate = trans == 2
        first = bind(x, y, lower=False, transpose_a=True, conjugate_a=conjugate)
        out = bind(x, first, lower=True, transpose_a=True, conjugate_a=conjugate, unit_diagonal=True)
        out = contractions.matmul(p, out)
    return _unsystem(out, vector)


def lu(a: Any, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The LU factorisation a = P L U.

    Args:
        a: (..., m, n).
        permute_l: return (P L, U) instead of (P, L, U).
    """
    x = _matrix("lu", a)
    factors, _, permutation = factorization.lu(x)
    *lead, rows, columns = x.aval.shape
    k = min(rows, columns)
    start = (0,) * x.aval.ndim
    dtype = x.aval.dtype
    p = _permutation_matrix(permutation, dtype)
    lower: Any = tril(slice(factors, start, (*lead, rows, k)), -1)
    lower = lower + slice(identity(max(rows, k), dtype), (0, 0), (rows, k))
    upper = triu(slice(factors, start, (*lead, k, columns)))
    if permute_l:
        return contractions.matmul(p, lower), upper
    return convert_element_type(p, dtypes.to_real_dtype(dtype)), lower, upper


# Other factorisations -----------------------------------------------------------------------------


def qr(
    a: Any,
    overwrite_a: bool = False,
    lwork: Any = None,
    mode: str = "full",
    pivoting: bool = False,
    check_finite: bool = True,
) -> tuple[Array, ...]:
    """The QR factorisation.

    Args:
        a: (..., m, n).
        mode: "full" (Q is m x m), "economic" (min(m, n) columns), or "r" (R alone, as for "full").
        pivoting: order the columns so that the diagonal of R decreases; their order is returned last.
    """
    if mode not in ("full", "r", "economic"):
        raise ValueError(f"scipy.linalg.qr: mode must be 'full', 'economic' or 'r'; got {mode!r}")
    out = factorization.qr(_matrix("qr", a), pivoting=pivoting, full_matrices=mode != "economic")
    return out[1:] if mode == "r" else out


def svd(
    a: Any,
    full_matrices: bool = True,
    compute_uv: bool = True,
    overwrite_a: bool = False,
    check_finite: bool = True,
    lapack_driver: str = "gesdd",
) -> Any:
    """The singular value decomposition: (U, s, Vh), or s alone; see `numpy.linalg.svd`."""
    return spectral.svd(_matrix("svd", a), full_matrices=full_matrices, compute_uv=compute_uv)


def eigh(
    a: Any,
    b: Any = None,
    lower: bool = True,
    eigvals_only: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    turbo: bool = True,
    eigvals: None = None,
    type: int = 1,
    check_finite: bool = True,
) -> Any:
    """Ascending eigenvalues and eigenvectors of Hermitian matrices: (w, v), or w alone.

    Args:
        a: (..., n, n).
        b: a Hermitian positive definite matrix, for the generalised problem (`type` 1: a v = w b v;
            2: a b v = w v; 3: b a v = w v). It is reduced to an ordinary one by the Cholesky factor of b; the
            vectors then are normalised to v^H b v = 1 (for type 3: v^H b^-1 v = 1).
        lower: which triangle of (a + a^H) / 2 LAPACK reads (of no consequence but for rounding).
        eigvals_only: return w alone.
        eigvals: must be None.
    """
    if eigvals is not None:
        raise NotImplementedError(
            "scipy.linalg.eigh: eigvals is not supported; take a part of the result instead"
        )
    x = _matrix("eigh", a, square=True)
    if b is None:
        if eigvals_only:
            return spectral.eigvalsh(x, lower=lower)
        v, w = spectral.eigh(x, lower=lower)
        return w, v
    if type not in (1, 2, 3):
        raise ValueError(f"scipy.linalg.eigh: type must be 1, 2 or 3; got {type!r}")
    x, y, _ = _system("eigh", x, b)
    factor = factorization.cholesky(y)
    bind = triangular.bind_triangular
    if type == 1:
        reduced = bind(factor, bind(factor, x), False, True, True, True)
    else:
        reduced = contractions.matmul(contractions.matmul(adjoint(factor), x), factor)
    v, w = spectral.eigh(reduced)
    if eigvals_only:
        return w
    if type == 3:
        return w, contractions.matmul(factor, v)
    return w, bind(factor, v, True, True, True, True)


def schur(a: Any, output: str = "real") -> tuple[Array, Array]:
    """The Schur decomposition a = Z T Z^H: (T, Z).

    Args:
        a: (..., n, n).
        output: "real" (T has 2 x 2 blocks for complex eigenvalues of a real matrix) or "complex" (T is
            triangular).
    """
    if output not in ("real", "complex"):
        raise ValueError(f"scipy.linalg.schur: output must be 'real' or 'complex'; got {output!r}")
    x = _matrix("schur", a, square=True)
    if output == "complex" and kind(x.aval.dtype) != "c":
        x = convert_element_type(x, dtypes.to_complex_dtype(x.aval.dtype))
    t, z = spectral.schur(x)
    return t, z


def hessenberg(a: Any, *, calc_q: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The Hessenberg form H of a = Q H Q^H: H, or (H, Q) with `calc_q`."""
    x = _matrix("hessenberg", a, square=True)
    reflectors, taus = spectral.hessenberg(x)
    h = triu(reflectors, -1)
    if not calc_q:
        return h
    *lead, n, _ = x.aval.shape
    dtype = x.aval.dtype
    if n < 2:
        return h, broadcast_to(identity(n, dtype), x.aval.shape)
    # Q is the identity in the first row and column; the reflectors stand below the first subdiagonal.
    rank = x.aval.ndim
    inner = slice(reflectors, (*([0] * (rank - 2)), 1, 0), (*lead, n, n - 1))
    q = factorization.householder_product(inner, taus)
    column = full((*lead, n - 1, 1), 0, dtype)
    top = broadcast_to(slice(identity(n, dtype), (0, 0), (1, n)), (*lead, 1, n))
    return h, concatenate([top, concatenate([column, q], rank - 1)], rank - 2)


def polar(
    a: Any,
    side: str = "right",
    *,
    method: str = "qdwh",
    eps: float | None = None,
    max_iterations: int | None = None,
) -> tuple[Array, Array]:
    """The polar decomposition into a matrix with orthonormal rows or columns and a positive one: (u, p).

    Computed from the singular value decomposition.

    Args:
        a: (..., m, n).
        side: "right": a = u p; "left": a = p u.
        method, eps, max_iterations: accepted for compatibility.
    """
    if side not in ("right", "left"):
        raise ValueError(f"scipy.linalg.polar: side must be 'right' or 'left'; got {side!r}")
    x = _matrix("polar", a)
    u, s, vh = spectral.svd(x, full_matrices=False)
    unitary = contractions.matmul(u, vh)
    basis = adjoint(vh) if side == "right" else u
    weights = convert_element_type(s, x.aval.dtype)
    return unitary, contractions.matmul(scale_columns(basis, weights), adjoint(basis))


# Equations ----------------------------------------------------------------------------------------


def solve(
    a: Any,
    b: Any,
    lower: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    debug: bool = False,
    check_finite: bool = True,
    assume_a: str = "gen",
) -> Array:
    """The solution of a x = b.

    Args:
        a: (..., n, n).
        b: (n,) or (..., n, m).
        lower: accepted for compatibility: all of a is read.
        assume_a: "gen", "sym", "her" or "pos": a promise about a. All are solved by LU; for positive
            definite matrices that serve several right-hand sides use `cho_factor` and `cho_solve`.
    """
    if assume_a not in ("gen", "sym", "her", "pos"):
        raise ValueError(
            f"scipy.linalg.solve: assume_a must be 'gen', 'sym', 'her' or 'pos'; got {assume_a!r}"
        )
    x, y, vector = _system("solve", a, b)
    return _unsystem(triangular.solve(x, y), vector)


def solve_triangular(
    a: Any,
    b: Any,
    trans: int | str = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
    overwrite_b: bool = False,
    debug: Any = None,
    check_finite: bool = True,
) -> Array:
    """The solution of op(a) x = b with triangular a.

    Args:
        a: (..., n, n); only one triangle is read.
        b: (n,) or (..., n, m).
        trans: 0 or "N": op(a) = a; 1 or "T": its transpose; 2 or "C": its conjugate transpose.
        lower: whether a is lower triangular.
        unit_diagonal: take the diagonal as ones without reading it.
    """
    if trans not in (0, 1, 2, "N", "T", "C"):
        raise ValueError(
            f"scipy.linalg.solve_triangular: trans must be 0, 1, 2, 'N', 'T' or 'C'; got {trans!r}"
        )
    x, y, vector = _system("solve_triangular", a, b)
    transposed, conjugated = trans not in (0, "N"), trans in (2, "C")
    out = triangular.bind_triangular(x, y, True, lower, transposed, conjugated, unit_diagonal)
    return _unsystem(out, vector)


def inv(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Array:
    """The inverses of square matrices; infinite or NaN for singular ones."""
    return triangular.inv(_matrix("inv", a, square=True))


def det(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Array:
    """The determinants of square matrices."""
    return determinant.det(_matrix("det", a, square=True))


def block_diag(*arrs: Any) -> Array:
    """The matrix with the given matrices along its diagonal and zeros elsewhere; vectors count as rows."""
    if not arrs:
        return full((1, 0), 0, dtypes.default_float_dtype())
    blocks = promote("scipy.linalg.block_diag", *arrs)
    for i, x in enumerate(blocks):
        if x.aval.ndim > 2:
            raise ShapeError(
                f"scipy.linalg.block_diag expects matrices; argument {i} has shape {x.aval.shape}"
            )
    blocks = [x if x.aval.ndim == 2 else reshape(x, (1, x.aval.size)) for x in blocks]
    width = sum(x.aval.shape[1] for x in blocks)
    rows = []
    place = 0
    zero = scalar(0, blocks[0].aval.dtype)
    for x in blocks:
        columns = x.aval.shape[1]
        rows.append(pad(x, zero, [(0, 0, 0), (place, width - place - columns, 0)]))
        place += columns
    return concatenate(rows, 0)
