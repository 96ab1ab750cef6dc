"""The generalized normal distribution, of density proportional to exp(-|x|^p)."""

from __future__ import annotations

from typing import Any

from ....core.array import Array
from ....ops.arithmetic import abs_p, log_p, sign_p
from ....ops.transcendental import exp_p
from ...numpy.promotion import promote_inexact
from .. import special

__all__ = ["cdf", "logpdf", "pdf"]


def logpdf(x: Any, beta: Any) -> Array:
    """The logarithm of the density at x, for exponent `beta`."""
    x, beta = promote_inexact("gennorm.logpdf", x, beta)
    return log_p.bind(0.5 * beta) - special.gammaln(1 / beta) - abs_p.bind(x) ** beta


def pdf(x: Any, beta: Any) -> Array:
    """The density at x."""
    return exp_p.bind(logpdf(x, beta))


def cdf(x: Any, beta: Any) -> Array:
    """The probability of values up to x."""
    x, beta = promote_inexact("gennorm.cdf", x, beta)
    return 0.5 * (1 + sign_p.bind(x) * special.gammainc(1 / beta, abs_p.bind(x) ** beta))
