"""Functions of matrices (`scipy.linalg.expm`), and matrices of special structure (`toeplitz`, ...)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core import dtypes
from ...core.array import Array, scalar
from ...ops.compare import select_n_p
from ...ops.convert import stop_gradient_array
from ...ops.matrices import check_matrix, identity
from ...ops.structural import reshape
from ...ops.triangular import bind_triangular, solve_p
from ...transforms.jvp import concrete, jvp
from ..numpy import contractions, creation, elementwise, floating, indexing, joining, reductions
from ..numpy.promotion import promote, promote_inexact, strengthen

__all__ = ["circulant", "companion", "dft", "expm", "expm_frechet", "hankel", "hilbert", "leslie", "toeplitz"]

# The diagonal Pade approximants of exp and the largest norms for which they are accurate to the rounding unit
# (N. J. Higham, "The scaling and squaring method for the matrix exponential revisited", 2005, tables 2.3 and
# 2.1).
_PADE_7 = (17297280.0, 8648640.0, 1995840.0, 277200.0, 25200.0, 1512.0, 56.0, 1.0)
_PADE_13 = (
    64764752532480000.0,
    32382376266240000.0,
    7771770303897600.0,
    1187353796428800.0,
    129060195264000.0,
    10559470521600.0,
    670442572800.0,
    33522128640.0,
    1323241920.0,
    40840800.0,
    960960.0,
    16380.0,
    182.0,
    1.0,
)
_LIMIT_7 = 3.925724783138660  # single precision
_LIMIT_13 = 5.371920351148152  # double precision


def expm(A: Any, *, upper_triangular: bool = False, max_squarings: int = 16) -> Array:
    """The exponentials of square matrices, by scaling and squaring of a Pade approximant (Higham 2005).

    Args:
        A: (..., n, n).
        upper_triangular: whether A is, so that the quotient of the approximant is a triangular system.
        max_squarings: matrices whose norm needs more squarings give NaN.
    """
    (a,) = promote_inexact("scipy.linalg.expm", A)
    check_matrix("scipy.linalg.expm", a.aval, square=True)
    if not a.aval.size:
        return a
    double = a.aval.dtype.itemsize // (2 if a.aval.dtype.kind == "c" else 1) == 8
    limit, coefficients = (_LIMIT_13, _PADE_13) if double else (_LIMIT_7, _PADE_7)
    size = reductions.max(reductions.sum(elementwise.abs(stop_gradient_array(a)), axis=-2), axis=-1)
    squarings = elementwise.maximum(0.0, floating.ceil(elementwise.log2(size / limit)))
    tail = (*squarings.shape, 1, 1)
    scaled = a * reshape(elementwise.exp2(-squarings), tail)
    out = _approximant(scaled, coefficients, upper_triangular)
    known = concrete(squarings)
    steps = max_squarings
    if known is not None:
        most = float(np.max(known._data, initial=0))
        steps = min(max_squarings, int(most)) if math.isfinite(most) else 0
    for i in range(steps):
        more = reshape(squarings > i, tail)
        out = select_n_p.bind(more, out, contractions.matmul(out, out))
    in_range = reshape(squarings <= max_squarings, tail)
    return select_n_p.bind(in_range, scalar(math.nan, out.aval.dtype), out)


def _approximant(a: Any, coefficients: tuple[float, ...], upper_triangular: bool) -> Any:
    """q(A)^-1 p(A), where p has the coefficients and q(x) = p(-x)."""
    n = a.aval.shape[-1]
    square = contractions.matmul(a, a)
    power: Any = identity(n, a.aval.dtype)
    even: Any = 0.0
    odd: Any = 0.0
    for i in range(0, len(coefficients), 2):
        even = even + coefficients[i] * power
        odd = odd + coefficients[i + 1] * power
        if i + 2 < len(coefficients):
            power = square if i == 0 else contractions.matmul(power, square)
    odd = contractions.matmul(a, odd)
    numerator, denominator = even + odd, even - odd
    if upper_triangular:
        return bind_triangular(denominator, numerator, lower=False)
    return solve_p.bind(denominator, numerator, transpose_a=False)


def expm_frechet(A: Any, E: Any, *, method: str | None = None, compute_expm: bool = True) -> Any:
    """The derivative of the matrix exponential at A in the direction E, by forward-mode differentiation of
    `expm`.

    Args:
        A, E: (..., n, n).
        method: accepted for compatibility.
        compute_expm: return (expm(A), derivative) instead of the derivative alone.
    """
    a, e = promote_inexact("scipy.linalg.expm_frechet", A, E)
    (value,), (derivative,) = jvp(lambda x: [expm(x)], [a], [e])
    return (value, derivative) if compute_expm else derivative


# Matrices of special structure --------------------------------------------------------------------


def _vector(name: str, x: Any) -> Any:
    (v,) = promote("scipy.linalg." + name, x)
    return reshape(strengthen(v), (1,)) if v.aval.ndim == 0 else v


def _gather(values: Any, indices: np.ndarray[Any, Any]) -> Any:
    return indexing.take(values, creation.asarray(indices.astype(np.int32)), axis=-1)


def toeplitz(c: Any, r: Any = None) -> Array:
    """The matrices with constant diagonals: first column c, first row r (default: the conjugate of c).

    Args:
        c: (..., m).
        r: (..., n); its first element is not read.
    """
    column = _vector("toeplitz", c)
    row = elementwise.conj(column) if r is None else _vector("toeplitz", r)
    column, row = promote("scipy.linalg.toeplitz", column, row)
    m, n = column.aval.shape[-1], row.aval.shape[-1]
    values = joining.concatenate([row[..., :0:-1], column], axis=-1)
    i, j = np.ogrid[:m, :n]
    return _gather(values, i - j + n - 1)


def hankel(c: Any, r: Any = None) -> Array:
    """The matrix with constant anti-diagonals: first column c, last row r (default: zeros)."""
    column = _vector("hankel", c)
    row = creation.zeros_like(column) if r is None else _vector("hankel", r)
    column, row = promote("scipy.linalg.hankel", column, row)
    m, n = column.aval.shape[-1], row.aval.shape[-1]
    i, j = np.ogrid[:m, :n]
    return _gather(joining.concatenate([column, row[..., 1:]], axis=-1), i + j)


def circulant(c: Any) -> Array:
    """The matrix whose columns are c, moved down by one more row each."""
    column = _vector("circulant", c)
    n = column.aval.shape[-1]
    i, j = np.ogrid[:n, :n]
    return _gather(column, (i - j) % n)


def companion(a: Any) -> Array:
    """The companion matrix of a polynomial with the coefficients a, highest power first."""
    (v,) = promote_inexact("scipy.linalg.companion", a)
    n = v.aval.shape[-1] if v.aval.ndim else 1
    if n < 2:
        raise ValueError(f"scipy.linalg.companion needs at least 2 coefficients; got shape {v.aval.shape}")
    first = -v[..., 1:] / v[..., :1]
    rest = creation.eye(n - 2, n - 1, dtype=v.aval.dtype)
    if v.aval.ndim > 1:
        rest = rest + creation.zeros((*v.aval.shape[:-1], 1, 1), v.aval.dtype)
    return joining.concatenate([first[..., None, :], rest], axis=-2)


def leslie(f: Any, s: Any) -> Array:
    """The Leslie matrix of fecundities f (n,) and survival rates s (n - 1,)."""
    first, below = promote_inexact("scipy.linalg.leslie", f, s)
    n = first.aval.shape[-1]
    if below.aval.shape[-1] != n - 1 or n < 2:
        raise ValueError(
            "scipy.linalg.leslie expects n >= 2 fecundities and n - 1 survival rates; got shapes "
            f"{first.aval.shape} and "
            f"{below.aval.shape}"
        )
    diagonal = below[..., :, None] * creation.eye(n - 1, n, dtype=below.aval.dtype)
    return joining.concatenate([first[..., None, :], diagonal], axis=-2)


def hilbert(n: int) -> Array:
    """The Hilbert matrix, 1 / (i + j + 1)."""
    i, j = np.ogrid[:n, :n]
    return creation.asarray((1.0 / (i + j + 1)).astype(dtypes.default_float_dtype()))


def dft(n: int, scale: str | None = None, *, dtype: Any = None) -> Array:
    """The matrix of the discrete Fourier transform.

    Args:
        n: its size.
        scale: None, "sqrtn" (divide by the square root of n) or "n".
        dtype: a complex dtype (default: the default one).
    """
    if scale not in (None, "sqrtn", "n"):
        raise ValueError(f"scipy.linalg.dft: scale must be None, 'sqrtn' or 'n'; got {scale!r}")
    found = (
        dtypes.default_complex_dtype()
        if dtype is None
        else dtypes.check_user_dtype(dtype, "scipy.linalg.dft")
    )
    i, j = np.ogrid[:n, :n]
    values = np.exp(-2j * np.pi * (i * j % max(n, 1)) / max(n, 1))
    divisor = {None: 1.0, "sqrtn": math.sqrt(n), "n": float(n)}[scale]
    return creation.asarray((values / (divisor or 1.0)).astype(found))
