"""The Gumbel distribution of maxima."""

from __future__ import annotations

from typing import Any

from ....core.array import Array
from ....ops.arithmetic import log_p
from ....ops.transcendental import exp_p, expm1_p
from ...numpy.promotion import promote_inexact
from .common import standardized

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of the density at x."""
    z, scale = standardized("gumbel_r.logpdf", x, loc, scale)
    return -z - exp_p.bind(-z) - log_p.bind(scale)


def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The density at x."""
    return exp_p.bind(logpdf(x, loc, scale))


def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The probability of values up to x."""
    z, scale = standardized("gumbel_r.cdf", x, loc, scale)
    return exp_p.bind(-exp_p.bind(-z))


def logcdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of `cdf`."""
    return log_p.bind(cdf(x, loc, scale))


def sf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The probability of values above x."""
    z, scale = standardized("gumbel_r.sf", x, loc, scale)
    return -expm1_p.bind(-exp_p.bind(-z))


def logsf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of `sf`."""
    return log_p.bind(sf(x, loc, scale))


def ppf(q: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The value up to which the probability is q."""
    q, loc, scale = promote_inexact("gumbel_r.ppf", q, loc, scale)
    return loc - scale * log_p.bind(-log_p.bind(q))
