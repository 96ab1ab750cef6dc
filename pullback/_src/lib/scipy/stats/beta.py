"""The beta distribution."""

from __future__ import annotations

from typing import Any

from ....core.array import Array
from ....ops.arithmetic import log_p
from ....ops.transcendental import exp_p
from .. import special
from .common import inside, standardized, where

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]


def logpdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of the density at x, for parameters a and b."""
    z, scale, a, b = standardized("beta.logpdf", x, loc, scale, a, b)
    return inside(
        (z >= 0) & (z <= 1),
        special.xlogy(a - 1.0, z) + special.xlog1py(b - 1.0, -z) - special.betaln(a, b) - log_p.bind(scale),
    )


def pdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The density at x."""
    return exp_p.bind(logpdf(x, a, b, loc, scale))


def cdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The probability of values up to x."""
    z, scale, a, b = standardized("beta.cdf", x, loc, scale, a, b)
    return special.betainc(a, b, where(z < 0, 0.0, where(z > 1, 1.0, z)))


def logcdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of `cdf`."""
    return log_p.bind(cdf(x, a, b, loc, scale))


def sf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The probability of values above x."""
    z, scale, a, b = standardized("beta.sf", x, loc, scale, a, b)
    return special.betainc(b, a, 1 - where(z < 0, 0.0, where(z > 1, 1.0, z)))


def logsf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of `sf`."""
    return log_p.bind(sf(x, a, b, loc, scale))
