"""Linear algebra: `numpy.linalg`. All functions take stacks of matrices in the last two dimensions.

Integers and bools become the default float dtype. Nothing raises for values: what does not exist (a factor
of a matrix that is not positive definite, the inverse of a singular one) is NaN or infinite.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...base.errors import ShapeError
from ...core import dtypes
from ...core.array import Array, scalar
from ...ops import determinant, factorization, spectral, triangular
from ...ops.convert import convert_element_type
from ...ops.matrices import adjoint, check_matrix, identity
from ...ops.structural import broadcast_to, canonical_axis, full, reshape, transpose
from . import contractions, creation, diagonals, manipulation, reductions, where
from .einsum import einsum
from .norms import norm, squared
from .promotion import promote, promote_inexact

__all__ = [
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "trace",
    "vecdot",
]


class EigResult(NamedTuple):
    """Eigenvalues and, in columns, eigenvectors."""

    eigenvalues: Any
    eigenvectors: Any


class EighResult(NamedTuple):
    """Ascending eigenvalues and, in columns, eigenvectors of a Hermitian matrix."""

    eigenvalues: Any
    eigenvectors: Any


class QRResult(NamedTuple):
    """The factors of a QR factorisation."""

    Q: Any
    R: Any


class SlogdetResult(NamedTuple):
    """The sign and the logarithm of the absolute value of a determinant."""

    sign: Any
    logabsdet: Any


class SVDResult(NamedTuple):
    """The factors of a singular value decomposition, U diag(S) Vh."""

    U: Any
    S: Any
    Vh: Any


def _matrix(name: str, a: Any, *, square: bool = False) -> Any:
    (x,) = promote_inexact("linalg." + name, a)
    check_matrix("linalg." + name, x.aval, square=square)
    return x


# Factorisations -----------------------------------------------------------------------------------


def cholesky(a: Any, *, upper: bool = False, symmetrize_input: bool = True) -> Array:
    """The lower triangular L with a = L L^H (or the upper triangular L^H), for Hermitian positive definite
    matrices.

    Args:
        a: (..., n, n).
        upper: return the upper triangular factor U, a = U^H U.
        symmetrize_input: factor (a + a^H) / 2; otherwise only one triangle is read.

    Returns:
        The factor, NaN where a matrix is not positive definite.
    """
    x = _matrix("cholesky", a, square=True)
    if upper and not symmetrize_input:
        x = adjoint(x)  # the triangle to read is the upper one
    lower = factorization.cholesky(x, symmetrize_input=symmetrize_input)
    return adjoint(lower) if upper else lower


def qr(a: Any, mode: str = "reduced") -> Any:
    """The QR factorisation.

    Args:
        a: (..., m, n).
        mode: "reduced" (Q has min(m, n) columns), "complete" (m columns), "r" (R alone), or "raw" (LAPACK's
            reflectors, transposed, and their factors).
    """
    x = _matrix("qr", a)
    if mode == "raw":
        reflectors, taus = factorization.geqrf(x)
        return QRResult(manipulation.matrix_transpose(reflectors), taus)
    if mode not in ("reduced", "complete", "full", "r"):
        raise ValueError(f"linalg.qr: mode must be 'reduced', 'complete', 'r' or 'raw'; got {mode!r}")
    q, r = factorization.qr(x, full_matrices=mode in ("complete", "full"))
    return r if mode == "r" else QRResult(q, r)


def svd(
    a: Any,
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
    subset_by_index: tuple[int, int] | None = None,
) -> Any:
    """The singular value decomposition a = U diag(S) Vh.

    Args:
        a: (..., m, n).
        full_matrices: U is m x m and Vh n x n; otherwise they have min(m, n) columns and rows.
        compute_uv: whether to return U and Vh.
        hermitian: a promise that the matrix is Hermitian; the result is the same.
        subset_by_index: must be None or the whole range.

    Returns:
        SVDResult(U, S, Vh), or S alone.
    """
    x = _matrix("svd", a)
    out = spectral.svd(x, full_matrices=full_matrices, compute_uv=compute_uv, subset_by_index=subset_by_index)
    return SVDResult(*out) if compute_uv else out


def svdvals(x: Any, /) -> Array:
    """The singular values, descending: (..., min(m, n))."""
    return svd(x, compute_uv=False)


def eig(a: Any) -> EigResult:
    """Eigenvalues (..., n) and normalised right eigenvectors, the columns of (..., n, n), of general square
    matrices.

    Both are complex and differentiable (vectors where the eigenvalues are distinct).
    """
    w, v = spectral.eig(_matrix("eig", a, square=True), compute_left_eigenvectors=False)
    return EigResult(w, v)


def eigvals(a: Any) -> Array:
    """The eigenvalues of general square matrices, complex: (..., n)."""
    x = _matrix("eigvals", a, square=True)
    return spectral.eig(x, compute_left_eigenvectors=False, compute_right_eigenvectors=False)[0]


def _lower(name: str, uplo: str | None) -> bool:
    if uplo not in (None, "L", "U"):
        raise ValueError(f"linalg.{name}: UPLO must be 'L', 'U' or None; got {uplo!r}")
    return uplo != "U"


def eigh(a: Any, UPLO: str | None = None, symmetrize_input: bool = True) -> EighResult:
    """Ascending eigenvalues (..., n) and eigenvectors, the columns of (..., n, n), of Hermitian matrices.

    Args:
        a: (..., n, n).
        UPLO: which triangle is read, "L" or "U", if the input is not symmetrised.
        symmetrize_input: use (a + a^H) / 2.
    """
    lower = _lower("eigh", UPLO)
    v, w = spectral.eigh(_matrix("eigh", a, square=True), lower=lower, symmetrize_input=symmetrize_input)
    return EighResult(w, v)


def eigvalsh(a: Any, UPLO: str | None = "L", *, symmetrize_input: bool = True) -> Array:
    """The ascending eigenvalues of Hermitian matrices: (..., n). See `eigh`."""
    lower = _lower("eigvalsh", UPLO)
    return spectral.eigvalsh(
        _matrix("eigvalsh", a, square=True), lower=lower, symmetrize_input=symmetrize_input
    )


# Equations and inverses ---------------------------------------------------------------------------


def solve(a: Any, b: Any) -> Array:
    """The solution x of a x = b.

    Args:
        a: (..., n, n).
        b: a vector (n,), or (..., n, m); leading dimensions broadcast.

    Returns:
        x, of the (broadcast) shape of b; infinite or NaN where a is singular.
    """
    x, y = promote_inexact("linalg.solve", a, b)
    check_matrix("linalg.solve", x.aval, square=True)
    if y.aval.ndim < 1:
        raise ShapeError(
            f"linalg.solve: the right-hand side must be a vector or matrices; got shape {y.aval.shape}"
        )
    if y.aval.ndim == 1:
        # One vector for all matrices.
        shape = x.aval.shape
        if y.aval.shape[0] != shape[-1]:
            raise ShapeError(
                f"linalg.solve: shapes {shape} and {y.aval.shape} do not fit: {shape[-1]} equations"
            )
        columns = broadcast_to(reshape(y, (*y.aval.shape, 1)), (*shape[:-1], 1))
        out = triangular.solve(x, columns)
        return reshape(out, shape[:-1])
    lead = _broadcast_leading("linalg.solve", x.aval.shape, y.aval.shape)
    x = broadcast_to(x, (*lead, *x.aval.shape[-2:]))
    y = broadcast_to(y, (*lead, *y.aval.shape[-2:]))
    return triangular.solve(x, y)


def _broadcast_leading(name: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*[s[:-2] for s in shapes])
    except ValueError:
        raise ShapeError(f"{name}: the leading dimensions of shapes {shapes} do not broadcast") from None


def inv(a: Any) -> Array:
    """The inverses of square matrices; infinite or NaN for singular ones."""
    return triangular.inv(_matrix("inv", a, square=True))


def _relative_eps(dtype: np.dtype[Any], shape: tuple[int, ...], factor: float = 1.0) -> float:
    info = dtypes.finfo(dtypes.to_real_dtype(dtype))
    return factor * max(shape[-2:]) * float(info.eps)


def pinv(a: Any, rtol: Any = None, hermitian: bool = False, *, rcond: Any = None) -> Array:
    """The Moore-Penrose pseudoinverses (..., n, m) of matrices (..., m, n).

    Args:
        a: (..., m, n).
        rtol: singular values up to this fraction of the largest count as zero (default: 10 max(m, n) times
            the rounding unit); it broadcasts against the leading dimensions.
        hermitian: a promise that the matrix is Hermitian; the result is the same.
        rcond: another name of `rtol`.
    """
    x = _matrix("pinv", a)
    if rcond is not None:
        if rtol is not None:
            raise ValueError("linalg.pinv: give rtol or rcond, not both")
        rtol = rcond
    real = dtypes.to_real_dtype(x.aval.dtype)
    if rtol is None:
        tolerance: Any = scalar(_relative_eps(x.aval.dtype, x.aval.shape, 10.0) if x.aval.size else 0.0, real)
    else:
        tolerance = creation.asarray(rtol, dtype=real)
    return determinant.pinv(x, tolerance)


def lstsq(
    a: Any, b: Any, rcond: float | None = None, *, numpy_resid: bool = False
) -> tuple[Array, Array, Array, Array]:
    """The least-squares solution of a x = b, of smallest norm, by the singular value decomposition.

    Args:
        a: (m, n).
        b: (m,) or (m, k).
        rcond: singular values below this fraction of the largest count as zero (default: max(m, n) times the
            rounding unit).
        numpy_resid: return the residuals as NumPy does: none for a matrix of lower rank or without surplus
            equations.

    Returns:
        x (n,) or (n, k); the sums of squared residuals (k,); the rank; the singular values.
    """
    x, y = promote_inexact("linalg.lstsq", a, b)
    check_matrix("linalg.lstsq", x.aval)
    if x.aval.ndim != 2 or y.aval.ndim not in (1, 2) or y.aval.shape[0] != x.aval.shape[0]:
        raise ShapeError(
            "linalg.lstsq expects a matrix (m, n) and a right-hand side (m,) or (m, k); got shapes "
            f"{x.aval.shape} and "
            f"{y.aval.shape}"
        )
    rows, columns = x.aval.shape
    right = y if y.aval.ndim == 2 else reshape(y, (rows, 1))
    real = dtypes.to_real_dtype(x.aval.dtype)
    if not min(rows, columns):
        s = full((0,), 0, real)
        rank: Any = full((), 0, dtypes.default_int_dtype())
        out = full((columns, right.aval.shape[1]), 0, x.aval.dtype)
    else:
        if rcond is None:
            rcond = _relative_eps(x.aval.dtype, (rows, columns))
        u, s, vh = spectral.svd(x, full_matrices=False)
        mask = (s > 0) & (s >= creation.asarray(rcond, dtype=real) * s[0])
        rank = reductions.sum(mask)
        safe = where.where(mask, s, scalar(1, real))
        factors = where.where(mask, scalar(1, real) / safe, scalar(0, real))
        projected = contractions.matmul(adjoint(u), right)
        scaled = reshape(convert_element_type(factors, x.aval.dtype), (*factors.shape, 1)) * projected
        out = contractions.matmul(adjoint(vh), scaled)
    if numpy_resid and not (isinstance(rows, int) and rows > columns and int(rank) == columns):
        residuals = full((0,), 0, real)
    else:
        difference = right - contractions.matmul(x, out)
        residuals = reductions.sum(squared(difference), axis=0)
    return (out if y.aval.ndim == 2 else reshape(out, (columns,))), residuals, rank, s


def tensorinv(a: Any, ind: int = 2) -> Array:
    """The inverse for `tensordot` over `ind` dimensions: the first `ind` dimensions of a are the
    rows of a matrix.
    """
    (x,) = promote_inexact("linalg.tensorinv", a)
    ind = operator.index(ind)
    if ind <= 0:
        raise ValueError(f"linalg.tensorinv: ind must be positive; got {ind}")
    shape = x.aval.shape
    rows = int(np.prod(shape[:ind]))
    if rows * rows != x.aval.size:
        raise ShapeError(
            f"linalg.tensorinv: the first {ind} dimensions of shape {shape} must have as many "
            "elements as the others"
        )
    return reshape(inv(reshape(x, (rows, rows))), (*shape[ind:], *shape[:ind]))


def tensorsolve(a: Any, b: Any, axes: Sequence[int] | None = None) -> Array:
    """The x with tensordot(a, x, x.ndim) = b.

    Args:
        a: an array of shape b.shape + x.shape, with as many elements in both parts.
        b: the right-hand side.
        axes: dimensions of a to move to its end first.
    """
    x, y = promote_inexact("linalg.tensorsolve", a, b)
    if axes is not None:
        moved = [canonical_axis(i, x.aval.ndim) for i in axes]
        x = transpose(x, [i for i in range(x.aval.ndim) if i not in moved] + moved)
    shape = x.aval.shape[y.aval.ndim :]
    size = int(np.prod(shape))
    if size * y.aval.size != x.aval.size or size != y.aval.size:
        raise ShapeError(
            f"linalg.tensorsolve: shape {x.aval.shape} must be that of the right-hand side, "
            f"{y.aval.shape}, followed by "
            "another with as many elements"
        )
    return reshape(solve(reshape(x, (size, size)), reshape(y, (size,))), shape)


# Determinants -------------------------------------------------------------------------------------


def det(a: Any) -> Array:
    """The determinants of square matrices. Derivatives are right for singular matrices too."""
    return determinant.det(_matrix("det", a, square=True))


def slogdet(a: Any, *, method: str | None = None) -> SlogdetResult:
    """The sign (of a complex determinant: the phase) and log|det a| of square matrices.

    Args:
        a: (..., n, n).
        method: None or "lu"; "qr" is accepted and does the same.
    """
    if method not in (None, "lu", "qr"):
        raise ValueError(f"linalg.slogdet: method must be None, 'lu' or 'qr'; got {method!r}")
    return SlogdetResult(*determinant.slogdet(_matrix("slogdet", a, square=True)))


# Powers and products ------------------------------------------------------------------------------


def matrix_power(a: Any, n: int) -> Array:
    """The n-th power of square matrices by repeated squaring; negative powers invert."""
    (x,) = promote("linalg.matrix_power", a)
    if x.aval.ndim < 2 or x.aval.shape[-1] != x.aval.shape[-2]:
        raise ShapeError(f"linalg.matrix_power expects square matrices; got shape {x.aval.shape}")
    try:
        n = operator.index(n)
    except TypeError:
        raise TypeError(f"linalg.matrix_power: the exponent must be an integer; got {n!r}") from None
    if n == 0:
        return broadcast_to(identity(x.aval.shape[-1], x.aval.dtype), x.aval.shape)
    if n < 0:
        x, n = inv(x), -n
    result: Any = None  # set before n becomes 0: its highest bit is 1
    while True:
        if n & 1:
            result = x if result is None else contractions.matmul(result, x)
        n >>= 1
        if not n:
            return result
        x = contractions.matmul(x, x)


def multi_dot(arrays: Sequence[Any], *, precision: Any = None) -> Array:
    """The product of several matrices in the order that costs least; the first and last may be vectors."""
    factors = promote("linalg.multi_dot", *arrays)
    if len(factors) < 2:
        raise ValueError(f"linalg.multi_dot expects at least two arrays; got {len(factors)}")
    ranks = [x.aval.ndim for x in factors]
    if any(r != 2 for r in ranks[1:-1]) or any(r not in (1, 2) for r in (ranks[0], ranks[-1])):
        raise ShapeError(
            "linalg.multi_dot expects matrices, or vectors as first and last; got shapes "
            + ", ".join(str(x.aval.shape) for x in factors)
        )
    if len(factors) == 2:
        return contractions.matmul(*factors, precision=precision)
    labels: list[Any] = []
    for i, (x, rank) in enumerate(zip(factors, ranks, strict=True)):
        labels += [x, [i, i + 1][2 - rank :] if i == 0 else [i, i + 1][:rank]]
    result = ([0] if ranks[0] == 2 else []) + ([len(factors)] if ranks[-1] == 2 else [])
    return einsum(*labels, result, optimize="optimal", precision=precision)


def matmul(x1: Any, x2: Any, /, *, precision: Any = None, preferred_element_type: Any = None) -> Array:
    """The matrix product; see `numpy.matmul`."""
    return contractions.matmul(x1, x2, precision=precision, preferred_element_type=preferred_element_type)


def tensordot(
    x1: Any,
    x2: Any,
    /,
    *,
    axes: Any = 2,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Array:
    """Sums of products over some dimensions; see `numpy.tensordot`."""
    return contractions.tensordot(
        x1, x2, axes, precision=precision, preferred_element_type=preferred_element_type
    )


def vecdot(
    x1: Any, x2: Any, /, *, axis: int = -1, precision: Any = None, preferred_element_type: Any = None
) -> Array:
    """Inner products along an axis; see `numpy.vecdot`."""
    return contractions.vecdot(
        x1, x2, axis=axis, precision=precision, preferred_element_type=preferred_element_type
    )


def outer(x1: Any, x2: Any, /) -> Array:
    """The products of all elements of two vectors."""
    x, y = promote("linalg.outer", x1, x2)
    if x.aval.ndim != 1 or y.aval.ndim != 1:
        raise ShapeError(f"linalg.outer expects two vectors; got shapes {x.aval.shape} and {y.aval.shape}")
    return contractions.outer(x, y)


def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Array:
    """The cross products of vectors with three components."""
    x, y = promote("linalg.cross", x1, x2)
    if x.aval.shape[axis] != 3 or y.aval.shape[axis] != 3:
        raise ShapeError(
            f"linalg.cross expects vectors with 3 components along axis {axis}; got shapes "
            f"{x.aval.shape} and "
            f"{y.aval.shape}"
        )
    return contractions.cross(x, y, axis=axis)


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Array:
    """The sums along the diagonals of matrices in the last two dimensions."""
    return contractions.trace(x, offset, -2, -1, dtype)


def diagonal(x: Any, /, *, offset: int = 0) -> Array:
    """The diagonals of matrices in the last two dimensions."""
    return diagonals.diagonal(x, offset, -2, -1)


def matrix_transpose(x: Any, /) -> Array:
    """The matrices transposed (not conjugated)."""
    return manipulation.matrix_transpose(x)


# Condition and rank -------------------------------------------------------------------------------


def cond(x: Any, p: Any = None) -> Array:
    """The condition number |x| |x^-1| in the norm `p` (default: 2, from the singular values); see `norm`."""
    a = _matrix("cond", x)
    if 0 in a.aval.shape:
        raise ValueError(f"linalg.cond: no elements (shape {a.aval.shape}) have no condition number")
    if p in (None, 2, -2):
        s = spectral.svd(a, compute_uv=False)
        large, small = s[..., 0], s[..., -1]
        return small / large if p == -2 else large / small
    check_matrix("linalg.cond", a.aval, square=True)
    ratio: Any = norm(a, p, (-2, -1)) * norm(inv(a), p, (-2, -1))
    # A product of zero and infinity is a singular matrix, too; NaNs of the matrix stay.
    bad = reductions.any(a != a, axis=(-2, -1))
    return where.where((ratio != ratio) & ~bad, scalar(np.inf, ratio.aval.dtype), ratio)


def matrix_rank(M: Any, rtol: Any = None, *, hermitian: bool = False, tol: Any = None) -> Array:
    """The number of singular values that are not zero.

    Args:
        M: (..., m, n); vectors have rank 1 unless they are zero.
        rtol: singular values up to this fraction of the largest count as zero (default: max(m, n) times the
            rounding unit).
        hermitian: a promise that the matrix is Hermitian; the result is the same.
        tol: singular values up to this number count as zero.
    """
    (x,) = promote_inexact("linalg.matrix_rank", M)
    if tol is not None and rtol is not None:
        raise ValueError("linalg.matrix_rank: give rtol or tol, not both")
    if x.aval.ndim < 2:
        return reductions.any(x != 0).astype(dtypes.default_int_dtype())
    s = svdvals(x)
    if tol is None and rtol is None:
        rtol = _relative_eps(x.aval.dtype, x.aval.shape)
    limit = creation.asarray(rtol if tol is None else tol, dtype=s.dtype)
    if limit.ndim:
        limit = reshape(limit, (*limit.shape, 1))
    if tol is None:
        limit = reductions.max(s, axis=-1, keepdims=True) * limit
    return reductions.sum(s > limit, axis=-1)
