"""The exponential distribution."""

from __future__ import annotations

from typing import Any

from ....core.array import Array
from ....ops.arithmetic import log_p
from ....ops.transcendental import exp_p, expm1_p, log1p_p
from ...numpy.promotion import promote_inexact
from .common import inside, standardized, where

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of the density at x."""
    z, scale = standardized("expon.logpdf", x, loc, scale)
    return inside(z >= 0, -z - log_p.bind(scale))


def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The density at x."""
    return exp_p.bind(logpdf(x, loc, scale))


def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The probability of values up to x."""
    z, scale = standardized("expon.cdf", x, loc, scale)
    return where(z >= 0, -expm1_p.bind(-z), 0.0)


def logcdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of `cdf`."""
    return log_p.bind(cdf(x, loc, scale))


def sf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The probability of values above x."""
    z, scale = standardized("expon.sf", x, loc, scale)
    return where(z >= 0, exp_p.bind(-z), 1.0)


def logsf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of `sf`."""
    return log_p.bind(sf(x, loc, scale))


def ppf(q: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The value up to which the probability is q."""
    q, loc, scale = promote_inexact("expon.ppf", q, loc, scale)
    return loc - scale * log1p_p.bind(-q)
