"""The gamma distribution."""

from __future__ import annotations

from typing import Any

from ....core.array import Array
from ....ops.arithmetic import log_p
from ....ops.transcendental import exp_p
from .. import special
from .common import inside, standardized, where

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]


def logpdf(x: Any, a: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of the density at x, for shape parameter a."""
    z, scale, a = standardized("gamma.logpdf", x, loc, scale, a)
    return inside(z >= 0, special.xlogy(a - 1.0, z) - z - special.gammaln(a) - log_p.bind(scale))


def pdf(x: Any, a: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The density at x."""
    return exp_p.bind(logpdf(x, a, loc, scale))


def cdf(x: Any, a: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The probability of values up to x."""
    z, scale, a = standardized("gamma.cdf", x, loc, scale, a)
    return special.gammainc(a, where(z > 0, z, 0.0))


def logcdf(x: Any, a: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of `cdf`."""
    return log_p.bind(cdf(x, a, loc, scale))


def sf(x: Any, a: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The probability of values above x."""
    z, scale, a = standardized("gamma.sf", x, loc, scale, a)
    return special.gammaincc(a, where(z > 0, z, 0.0))


def logsf(x: Any, a: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of `sf`."""
    return log_p.bind(sf(x, a, loc, scale))
