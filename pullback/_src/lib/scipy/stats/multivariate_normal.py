"""The multivariate normal distribution."""

from __future__ import annotations

import math
from typing import Any

from ....base.errors import ShapeError
from ....core.array import Array
from ....ops.arithmetic import log_p
from ....ops.factorization import cholesky
from ....ops.families import broadcast_shapes
from ....ops.matrices import diagonal
from ....ops.structural import broadcast_to, reduce_sum_p, reshape
from ....ops.transcendental import exp_p
from ....ops.triangular import triangular_solve
from ...numpy.promotion import promote_inexact
from . import norm

__all__ = ["logpdf", "pdf"]


def logpdf(x: Any, mean: Any, cov: Any, allow_singular: None = None) -> Array:
    """The logarithm of the density at x.

    Args:
        x: points, of shape (..., n).
        mean: means, of shape (..., n).
        cov: positive definite matrices, of shape (..., n, n); a number means that times the identity.
        allow_singular: must be None.
    """
    if allow_singular is not None:
        raise NotImplementedError(
            "multivariate_normal.logpdf: allow_singular is not supported; leave it None, and restrict x to "
            "the subspace on which the covariance is positive definite"
        )
    x, mean, cov = promote_inexact("multivariate_normal.logpdf", x, mean, cov)
    if not mean.aval.shape:
        return norm.logpdf(x, mean, cov**0.5)
    n = mean.aval.shape[-1]
    if not cov.aval.shape:
        deviation = x - mean
        squares = reduce_sum_p.bind(deviation * deviation, axes=(deviation.aval.ndim - 1,))
        return -0.5 * (squares / cov + n * (math.log(2 * math.pi) + log_p.bind(cov)))
    if cov.aval.ndim < 2 or cov.aval.shape[-2:] != (n, n):
        raise ShapeError(
            "multivariate_normal.logpdf: mean and cov do not fit together, of shapes "
            f"{mean.aval.shape} and {cov.aval.shape}"
        )
    root = cholesky(cov)
    deviation = x - mean
    front = broadcast_shapes("multivariate_normal.logpdf", deviation.aval.shape[:-1], cov.aval.shape[:-2])
    column = reshape(broadcast_to(deviation, (*front, n)), (*front, n, 1))
    solved = triangular_solve(broadcast_to(root, (*front, n, n)), column, left_side=True, lower=True)
    last = (len(front),)
    squares = reduce_sum_p.bind(reshape(solved * solved, (*front, n)), axes=last)
    logs = log_p.bind(diagonal(root))
    log_determinant = reduce_sum_p.bind(logs, axes=(logs.aval.ndim - 1,))
    return -0.5 * squares - 0.5 * n * math.log(2 * math.pi) - log_determinant


def pdf(x: Any, mean: Any, cov: Any) -> Array:
    """The density at x."""
    return exp_p.bind(logpdf(x, mean, cov))
