"""Random vectors and matrices."""

from __future__ import annotations

import math
from typing import Any

from ...base.errors import ShapeError
from ...core import dtypes
from ...core.array import Array
from ...ops.arithmetic import add_p, mul_p, sign_p
from ...ops.dot import matmul
from ...ops.factorization import cholesky, qr
from ...ops.families import broadcast_shapes
from ...ops.matrices import diagonal, scale_columns, swap
from ...ops.spectral import eigh, svd
from ...ops.structural import broadcast_to, canonical_shape, reshape
from ...ops.transcendental import sqrt_p
from .keys import ArgumentError, check_key, whole_number
from .uniform import normal, parameter, parameter_dtype, standard_normal

__all__ = ["multivariate_normal", "orthogonal"]


def multivariate_normal(
    key: Any, mean: Any, cov: Any, shape: Any = None, dtype: Any = None, method: str = "cholesky"
) -> Array:
    """Normally distributed vectors.

    Args:
        key: a random key.
        mean: means, of shape (..., n).
        cov: covariance matrices, of shape (..., n, n).
        shape: the shape in front of the vectors (default: that to which mean's and cov's broadcast).
        dtype: a float dtype (default: that of the parameters).
        method: the square root of the covariance: 'cholesky' (positive definite matrices), 'eigh' or 'svd'.

    Returns:
        Vectors of shape (*shape, n).
    """
    single, _ = check_key("multivariate_normal", key)
    wanted = parameter_dtype("multivariate_normal", dtype, mean, cov)
    if method not in ("svd", "eigh", "cholesky"):
        raise ArgumentError(
            f"multivariate_normal: method must be 'svd', 'eigh' or 'cholesky', got {method!r}"
        )
    centre = parameter("multivariate_normal", mean, wanted)
    covariance = parameter("multivariate_normal", cov, wanted)
    if centre.aval.ndim < 1:
        raise ShapeError(
            f"multivariate_normal requires mean of at least one dimension, got shape {centre.aval.shape}"
        )
    n = centre.aval.shape[-1]
    if covariance.aval.ndim < 2 or covariance.aval.shape[-2:] != (n, n):
        raise ShapeError(
            f"multivariate_normal requires cov of shape (..., {n}, {n}), got shape {covariance.aval.shape}"
        )
    own = broadcast_shapes("multivariate_normal", centre.aval.shape[:-1], covariance.aval.shape[:-2])
    front = own if shape is None else canonical_shape(shape)
    if broadcast_shapes("multivariate_normal", front, own) != front:
        raise ShapeError(
            f"multivariate_normal: shape {front} is not one to which the parameters' {own} broadcasts"
        )
    z = standard_normal(single, (*front, n), wanted)
    root = _square_root(covariance, method)
    if root.aval.ndim == 2:
        # One matrix for all vectors: rows z times its transpose.
        rows = reshape(z, (math.prod(front), n))
        return add_p.bind(centre, reshape(matmul(rows, swap(root)), (*front, n)))
    roots = broadcast_to(root, (*front, n, n))
    return add_p.bind(centre, reshape(matmul(roots, reshape(z, (*front, n, 1))), (*front, n)))


def _square_root(covariance: Any, method: str) -> Any:
    """A with A A^T the covariance."""
    if method == "cholesky":
        return cholesky(covariance)
    if method == "eigh":
        vectors, values = eigh(covariance)
        return scale_columns(vectors, sqrt_p.bind(values))
    u, s, _ = svd(covariance)
    return scale_columns(u, sqrt_p.bind(s))


def orthogonal(key: Any, n: int, shape: Any = (), dtype: Any = None, m: int | None = None) -> Array:
    """Orthogonal (unitary) matrices, uniformly distributed.

    Source: F. Mezzadri, Notices of the American Mathematical Society 54, 2007.

    Args:
        key: a random key.
        n: the number of rows.
        shape: the shape in front of the matrices.
        dtype: a float or complex dtype (default: the default float).
        m: the number of columns (default: n); the rows or columns, whichever are fewer, are orthonormal.

    Returns:
        Matrices of shape (*shape, n, m).
    """
    single, _ = check_key("orthogonal", key)
    rows = whole_number("orthogonal: n", n)
    columns = rows if m is None else whole_number("orthogonal: m", m)
    wanted = dtypes.default_float_dtype() if dtype is None else dtypes.check_user_dtype(dtype, "orthogonal")
    z = normal(single, (*canonical_shape(shape), max(rows, columns), min(rows, columns)), wanted)
    q, r = qr(z, full_matrices=False)
    signs = sign_p.bind(diagonal(r))
    out = mul_p.bind(q, reshape(signs, (*signs.aval.shape[:-1], 1, signs.aval.shape[-1])))
    return out if rows >= columns else swap(out)
