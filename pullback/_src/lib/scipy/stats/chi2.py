"""The chi-square distribution."""

from __future__ import annotations

import math
from typing import Any

from ....core.array import Array
from ....ops.arithmetic import log_p
from ....ops.transcendental import exp_p
from .. import special
from .common import inside, standardized, where

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]


def logpdf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of the density at x, for df degrees of freedom."""
    z, scale, df = standardized("chi2.logpdf", x, loc, scale, df)
    return inside(
        z >= 0,
        special.xlogy(df / 2 - 1.0, z)
        - z / 2
        - special.gammaln(df / 2)
        - df / 2 * math.log(2)
        - log_p.bind(scale),
    )


def pdf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The density at x."""
    return exp_p.bind(logpdf(x, df, loc, scale))


def cdf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The probability of values up to x."""
    z, scale, df = standardized("chi2.cdf", x, loc, scale, df)
    return special.gammainc(df / 2, where(z > 0, z / 2, 0.0))


def logcdf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of `cdf`."""
    return log_p.bind(cdf(x, df, loc, scale))


def sf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The probability of values above x."""
    z, scale, df = standardized("chi2.sf", x, loc, scale, df)
    return special.gammaincc(df / 2, where(z > 0, z / 2, 0.0))


def logsf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of `sf`."""
    return log_p.bind(sf(x, df, loc, scale))
