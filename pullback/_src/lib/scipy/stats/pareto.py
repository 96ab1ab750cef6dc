"""The Pareto distribution."""

from __future__ import annotations

from typing import Any

from ....core.array import Array
from ....ops.arithmetic import log_p
from ....ops.transcendental import exp_p
from ...numpy.promotion import promote_inexact
from .common import inside, standardized, where

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def logpdf(x: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of the density at x, for exponent b."""
    z, scale, b = standardized("pareto.logpdf", x, loc, scale, b)
    return inside(z >= 1, log_p.bind(b) - log_p.bind(scale) - (b + 1.0) * log_p.bind(where(z >= 1, z, 1.0)))


def pdf(x: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The density at x."""
    return exp_p.bind(logpdf(x, b, loc, scale))


def cdf(x: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The probability of values up to x."""
    z, scale, b = standardized("pareto.cdf", x, loc, scale, b)
    return where(z >= 1, 1 - where(z >= 1, z, 1.0) ** -b, 0.0)


def logcdf(x: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of `cdf`."""
    return log_p.bind(cdf(x, b, loc, scale))


def sf(x: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The probability of values above x."""
    z, scale, b = standardized("pareto.sf", x, loc, scale, b)
    return where(z >= 1, where(z >= 1, z, 1.0) ** -b, 1.0)


def logsf(x: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of `sf`."""
    return log_p.bind(sf(x, b, loc, scale))


def ppf(q: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The value up to which the probability is q."""
    q, loc, scale, b = promote_inexact("pareto.ppf", q, loc, scale, b)
    return loc + scale * (1 - q) ** (-1 / b)
