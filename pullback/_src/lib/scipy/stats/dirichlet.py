"""The Dirichlet distribution."""

from __future__ import annotations

from typing import Any

from ....base.errors import ShapeError
from ....core.array import Array
from ....ops.reduction import reduce_and
from ....ops.structural import reduce_sum_p
from ....ops.transcendental import exp_p
from ...numpy.joining import concatenate
from ...numpy.promotion import promote_inexact
from .. import special
from .common import inside

__all__ = ["logpdf", "pdf"]


def logpdf(x: Any, alpha: Any) -> Array:
    """The logarithm of the density at x.

    Args:
        x: probability vectors along the first dimension, of shape (n, ...), or (n - 1, ...) without the last
            component.
        alpha: parameters, of shape (n,).
    """
    x, alpha = promote_inexact("dirichlet.logpdf", x, alpha)
    if alpha.aval.ndim != 1:
        raise ShapeError(f"dirichlet.logpdf: alpha must have one dimension, got shape {alpha.aval.shape}")
    n = alpha.aval.shape[0]
    if x.aval.shape[0] not in (n, n - 1):
        raise ShapeError(f"dirichlet.logpdf: x must have {n} or {n - 1} components, got shape {x.aval.shape}")
    if x.aval.shape[0] == n - 1:
        x = concatenate([x, 1 - reduce_sum_p.bind(x, axes=(0,))[None]], axis=0)
    total = reduce_sum_p.bind(x, axes=(0,))
    factors = alpha.reshape((n,) + (1,) * (x.aval.ndim - 1)) - 1.0
    terms = reduce_sum_p.bind(special.xlogy(factors, x), axes=(0,))
    normalizer = reduce_sum_p.bind(special.gammaln(alpha), axes=(0,)) - special.gammaln(
        reduce_sum_p.bind(alpha, axes=(0,))
    )
    # Sums of rounded components differ from one by their rounding.
    valid = reduce_and(x > 0, (0,)) & (abs(total - 1) < 1e-6)
    return inside(valid, terms - normalizer)


def pdf(x: Any, alpha: Any) -> Array:
    """The density at x."""
    return exp_p.bind(logpdf(x, alpha))
