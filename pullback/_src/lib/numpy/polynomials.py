"""Polynomials, as vectors of coefficients with the highest power first."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ...base.errors import DTypeError, ShapeError
from ...control.scan import scan
from ...core import dtypes
from ...core.array import Array, scalar
from ...core.kinds import kind
from ...ops import arithmetic as ar
from ...ops.complex import conj_p, neg_p
from ...ops.convert import convert_element_type
from ...ops.iota import iota
from ...ops.joining import concatenate
from ...ops.structural import broadcast_to, expand_dims, full, reshape
from . import linalg
from .contractions import convolve
from .creation import array, eye, zeros
from .elementwise import sqrt
from .promotion import asarray, check_arraylike, promote, promote_inexact, strengthen
from .reductions import sum as sum_
from .sorting import concrete_value

__all__ = [
    "poly",
    "polyadd",
    "polyder",
    "polydiv",
    "polyfit",
    "polyint",
    "polymul",
    "polysub",
    "polyval",
    "roots",
    "vander",
]


def _coefficients(name: str, p: Any) -> Any:
    """Coefficients of a floating-point or complex dtype, in the first dimension."""
    (x,) = promote_inexact(name, p)
    if x.aval.ndim == 0:
        raise ShapeError(f"{name}: coefficients need a dimension; got a number")
    return strengthen(x)


def _static_vector(values: list[float], dtype: Any, ndim: int) -> Array:
    data = np.asarray(values, np.float64).reshape(-1, *[1] * (ndim - 1))
    return array(data, dtype)


def polyval(p: Any, x: Any, *, unroll: int = 16) -> Array:
    """The value of a polynomial, by Horner's rule.

    Args:
        p: coefficients along the first dimension.
        x: an array or number.
        unroll: polynomials of more coefficients are evaluated in a loop.
    """
    check_arraylike("polyval", p, x)
    p, x = promote("polyval", p, x)
    p, x = strengthen(p), strengthen(x)
    if p.aval.ndim == 0:
        raise ShapeError("polyval: coefficients need a dimension; got a number")
    if x.aval.dtype.kind == "b":
        raise DTypeError("polyval expects numbers; got dtype bool")
    count = p.aval.shape[0]
    shape = np.broadcast_shapes(p.aval.shape[1:], x.aval.shape)
    total: Any = full(shape, 0, x.aval.dtype)
    if count <= unroll:
        for i in range(count):
            total = ar.add_p.bind(ar.mul_p.bind(total, x), p[i])
        return total
    return scan(lambda y, c: (ar.add_p.bind(ar.mul_p.bind(y, x), c), None), total, p)[0]


def _same_length(name: str, a1: Any, a2: Any) -> tuple[Any, Any]:
    x, y = promote(name, a1, a2)
    if x.aval.ndim == 0 or y.aval.ndim == 0:
        x, y = (reshape(v, (1,)) if v.aval.ndim == 0 else v for v in (x, y))
    size = max(x.aval.shape[0], y.aval.shape[0])
    return _padded(x, size), _padded(y, size)


def _padded(x: Any, size: int) -> Any:
    missing = size - x.aval.shape[0]
    if not missing:
        return x
    return concatenate([zeros((missing, *x.aval.shape[1:]), x.aval.dtype), strengthen(x)], 0)


def polyadd(a1: Any, a2: Any) -> Array:
    """The sum of two polynomials."""
    return ar.add_p.bind(*_same_length("polyadd", a1, a2))


def polysub(a1: Any, a2: Any) -> Array:
    """The difference of two polynomials."""
    return ar.sub_p.bind(*_same_length("polysub", a1, a2))


def _trimmed(name: str, p: Any) -> Any:
    """Without leading zeros, which must be known."""
    values = concrete_value(p, name)
    nonzero = np.flatnonzero(values)
    return p[int(nonzero[0]) :] if nonzero.size else p[p.aval.shape[0] :]


def polymul(a1: Any, a2: Any, *, trim_leading_zeros: bool = False) -> Array:
    """The product of two polynomials, in floating point.

    Args:
        a1, a2: vectors of coefficients.
        trim_leading_zeros: whether to drop leading zeros first (not under tracing).
    """
    check_arraylike("polymul", a1, a2)
    x, y = (strengthen(v) for v in promote_inexact("polymul", a1, a2))
    if trim_leading_zeros:
        x, y = (_trimmed("polymul with trim_leading_zeros", v) for v in (x, y))
        x, y = (v if v.aval.shape[0] else zeros(1, v.dtype) for v in (x, y))
    if x.aval.ndim != 1 or y.aval.ndim != 1:
        raise ShapeError(f"polymul expects vectors; got shapes {x.aval.shape} and {y.aval.shape}")
    return convolve(x, y, mode="full")


def polydiv(u: Any, v: Any, *, trim_leading_zeros: bool = False) -> tuple[Array, Array]:
    """Quotient and remainder of two polynomials, in floating point.

    Args:
        u: the dividend's coefficients.
        v: the divisor's coefficients, of which the first is not zero.
        trim_leading_zeros: whether the remainder loses its leading zeros (not under tracing). Otherwise it is
            as long as the dividend.
    """
    check_arraylike("polydiv", u, v)
    rest, divisor = (strengthen(x) for x in promote_inexact("polydiv", u, v))
    m, n = rest.aval.shape[0] - 1, divisor.aval.shape[0] - 1
    quotients = []
    for k in range(m - n + 1):
        digit = ar.div_p.bind(rest[k], divisor[0])
        quotients.append(digit)
        # The leading coefficient vanishes exactly.
        lower = ar.sub_p.bind(rest[k + 1 : k + n + 1], ar.mul_p.bind(digit, divisor[1:]))
        zero = zeros(1, rest.dtype)
        rest = concatenate([rest[:k], zero, lower, rest[k + n + 1 :]], 0)
    quotient = concatenate([reshape(q, (1,)) for q in quotients], 0) if quotients else zeros(1, rest.dtype)
    return quotient, _trimmed("polydiv with trim_leading_zeros", rest) if trim_leading_zeros else rest


def polyder(p: Any, m: int = 1) -> Array:
    """The derivative of order m of a polynomial.

    Raises:
        ValueError: m is negative.
    """
    m = operator.index(m)
    if m < 0:
        raise ValueError(f"polyder: the order must not be negative; got {m}")
    x = _coefficients("polyder", p)
    if m == 0:
        return x
    count = x.aval.shape[0]
    kept = max(count - m, 0)
    factors = [float(math.perm(count - 1 - i, m)) for i in range(kept)]
    return ar.mul_p.bind(x[:kept], _static_vector(factors, x.dtype, x.aval.ndim))


def polyint(p: Any, m: int = 1, k: Any = None) -> Array:
    """The integral of order m of a polynomial.

    Args:
        p: coefficients.
        m: the order.
        k: the constants of integration, the first integral's first (default: zeros).

    Raises:
        ValueError: m is negative, or `k` is neither a number, of length 1 nor of length m.
    """
    m = operator.index(m)
    if m < 0:
        raise ValueError(f"polyint: the order must not be negative; got {m}")
    check_arraylike("polyint", p, 0 if k is None else k)
    constants: Any = asarray(0 if k is None else k)
    (x, constants) = promote_inexact("polyint", p, constants)
    x, constants = strengthen(x), strengthen(constants)
    if not x.aval.ndim:
        raise ShapeError("polyint: coefficients need a dimension; got a number")
    if constants.aval.ndim > 1 or constants.aval.size not in (1, m):
        raise ValueError(f"polyint: k must be a number or have length 1 or {m}; got shape {constants.shape}")
    if m == 0:
        return x
    count = x.aval.shape[0]
    factors = [1.0 / math.perm(count - 1 - i + m, m) for i in range(count)]
    scaled = ar.mul_p.bind(x, _static_vector(factors, x.dtype, x.aval.ndim))
    constants = broadcast_to(reshape(constants, (constants.aval.size,)), (m,))
    powers = _static_vector([1.0 / math.factorial(m - 1 - j) for j in range(m)], x.dtype, 1)
    return concatenate([scaled, ar.mul_p.bind(constants, powers)], 0)


def poly(seq_of_zeros: Any) -> Array:
    """The polynomial with the given zeros, or the characteristic polynomial of a square matrix.

    Raises:
        ValueError: neither a vector nor a square matrix.
    """
    (x,) = promote_inexact("poly", seq_of_zeros)
    x = strengthen(x)
    shape = x.aval.shape
    if len(shape) == 2 and shape[0] == shape[1] and shape[0]:
        x = linalg.eigvals(x)
    elif len(shape) > 1:
        raise ValueError(f"poly expects a vector of zeros or a square matrix; got shape {shape}")
    given: Any = reshape(x, (x.aval.size,))
    if x.aval.size == 0:
        return full((), 1, x.aval.dtype)
    zero = zeros(1, x.dtype)
    out: Any = full((1,), 1, x.aval.dtype)
    for i in range(x.aval.size):  # times (X - x[i]); the leading coefficient is 1 even if x[i] is not finite
        rest = ar.sub_p.bind(concatenate([out[1:], zero], 0), ar.mul_p.bind(given[i], out))
        out = concatenate([out[:1], rest], 0)
    return out


def roots(p: Any, *, strip_zeros: bool = True) -> Array:
    """The complex roots of a polynomial: the eigenvalues of its companion matrix.

    Args:
        p: a vector of coefficients.
        strip_zeros: whether leading and trailing zero coefficients are dropped first, which is not possible
            under tracing, where the number of roots must be known; a leading zero then gives NaN.
    """
    x = _coefficients("roots", p)
    if x.aval.ndim != 1:
        raise ShapeError(f"roots expects a vector of coefficients; got shape {x.aval.shape}")
    at_zero = 0
    if strip_zeros:
        nonzero = np.flatnonzero(concrete_value(x, "roots (use strip_zeros=False)"))
        if not nonzero.size:
            return zeros(0, dtypes.to_complex_dtype(x.aval.dtype))
        first, last = int(nonzero[0]), int(nonzero[-1])
        at_zero = x.aval.shape[0] - 1 - last
        x = x[first : last + 1]
    count = x.aval.shape[0]
    dtype = dtypes.to_complex_dtype(x.aval.dtype)
    if count < 2:
        return zeros(at_zero, dtype)
    top = expand_dims(ar.div_p.bind(neg_p.bind(x[1:]), x[0]), (0,))
    shifted: Any = eye(count - 1, dtype=x.dtype)
    companion = concatenate([top, shifted[:-1]], 0)
    found = linalg.eigvals(companion)
    return concatenate([found, zeros(at_zero, dtype)], 0) if at_zero else found


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Array:
    """The matrix of powers of the elements of a vector: column j holds x**(N - 1 - j).

    Args:
        x: a vector.
        N: the number of columns (default: as many as rows).
        increasing: whether the powers increase.

    Raises:
        ValueError: x is no vector, or N is negative.
    """
    (vector,) = promote("vander", x)
    vector = strengthen(vector)
    if vector.aval.ndim != 1:
        raise ValueError(f"vander expects a vector; got shape {vector.aval.shape}")
    if vector.aval.dtype.kind == "b":
        raise DTypeError("vander expects numbers; got dtype bool")
    count = vector.aval.shape[0] if N is None else operator.index(N)
    if count < 0:
        raise ValueError(f"vander: N must not be negative; got {N}")
    powers: Any = iota(np.int32, count)
    if not increasing:
        powers = powers[::-1]
    if kind(vector.aval.dtype) in "iu":
        powers = convert_element_type(powers, vector.aval.dtype)
    return ar.pow_p.bind(expand_dims(vector, (1,)), expand_dims(powers, (0,)))


def polyfit(
    x: Any, y: Any, deg: int, rcond: float | None = None, full: bool = False, w: Any = None, cov: Any = False
) -> Any:
    """The polynomial of degree `deg` that fits points best, in the sense of least squares.

    Args:
        x: the M abscissas.
        y: the M ordinates, or an (M, K) matrix of K sets.
        deg: the degree.
        rcond: singular values below this fraction of the largest are ignored (default: M eps).
        full: whether to return the tuple (coefficients, residuals, rank, singular values, rcond).
        w: weights of the residuals (M).
        cov: whether to return the coefficients' covariance too; "unscaled" if weights are reliable.

    Raises:
        ValueError: a negative degree, or too few points for the covariance.
        TypeError: x, y and w do not fit together.
    """
    deg = operator.index(deg)
    if deg < 0:
        raise ValueError(f"polyfit: the degree must not be negative; got {deg}")
    check_arraylike("polyfit", x, y)
    abscissas, ordinates = (strengthen(v) for v in promote_inexact("polyfit", x, y))
    shape = abscissas.aval.shape
    if len(shape) != 1 or not shape[0]:
        raise ShapeError(f"polyfit: x must be a vector that is not empty; got shape {shape}")
    if ordinates.aval.ndim not in (1, 2) or ordinates.aval.shape[0] != shape[0]:
        raise ShapeError(f"polyfit: y must have {shape[0]} rows, as x; got shape {ordinates.aval.shape}")
    dtype = abscissas.aval.dtype
    if rcond is None:
        rcond = shape[0] * float(dtypes.finfo(dtype).eps)
    matrix: Any = vander(abscissas, deg + 1)
    if w is not None:
        weights = convert_element_type(asarray(w), dtype)
        if weights.aval.shape != shape:
            raise ShapeError(f"polyfit: w must have the shape of x, {shape}; got {weights.aval.shape}")
        matrix = ar.mul_p.bind(matrix, expand_dims(weights, (1,)))
        column = expand_dims(weights, (1,)) if ordinates.aval.ndim == 2 else weights
        ordinates = ar.mul_p.bind(ordinates, column)
    # Columns of unit length make the system well conditioned.
    squares = ar.square_p.bind(ar.abs_p.bind(matrix))
    scale: Any = convert_element_type(sqrt(sum_(squares, axis=0)), dtype)
    matrix = ar.div_p.bind(matrix, scale)
    solution, residuals, rank, singular = linalg.lstsq(matrix, ordinates, rcond)
    by_row = expand_dims(scale, (1,)) if ordinates.aval.ndim == 2 else scale
    solution = ar.div_p.bind(solution, by_row)
    if full:
        return solution, residuals, rank, singular, scalar(rcond, dtypes.to_real_dtype(dtype))
    if not cov:
        return solution
    adjoint = matrix.T if kind(dtype) != "c" else conj_p.bind(matrix).T
    covariance = ar.div_p.bind(linalg.inv(adjoint @ matrix), scale[:, None] * scale[None, :])
    if not (isinstance(cov, str) and cov == "unscaled"):
        free = shape[0] - (deg + 1)
        if free <= 0:
            raise ValueError(
                f"polyfit: {shape[0]} points are too few for the covariance of {deg + 1} coefficients"
            )
        residuals = residuals / free
        covariance = (
            covariance * residuals if ordinates.aval.ndim == 1 else covariance[:, :, None] * residuals
        )
    return solution, covariance
