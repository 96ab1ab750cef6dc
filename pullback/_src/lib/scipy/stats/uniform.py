"""The uniform distribution on [loc, loc + scale]."""

from __future__ import annotations

import math
from typing import Any

from ....core.array import Array
from ....ops.arithmetic import log_p
from ....ops.transcendental import exp_p
from ...numpy.promotion import promote_inexact
from .common import inside, standardized, where

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of the density at x."""
    z, scale = standardized("uniform.logpdf", x, loc, scale)
    return inside((z >= 0) & (z <= 1), -log_p.bind(scale) + 0 * z)


def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The density at x."""
    return exp_p.bind(logpdf(x, loc, scale))


def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The probability of values up to x."""
    z, scale = standardized("uniform.cdf", x, loc, scale)
    return where(z < 0, 0.0, where(z > 1, 1.0, z))


def logcdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of `cdf`."""
    return log_p.bind(cdf(x, loc, scale))


def sf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The probability of values above x."""
    z, scale = standardized("uniform.sf", x, loc, scale)
    return where(z < 0, 1.0, where(z > 1, 0.0, 1 - z))


def logsf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of `sf`."""
    return log_p.bind(sf(x, loc, scale))


def ppf(q: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The value up to which the probability is q."""
    q, loc, scale = promote_inexact("uniform.ppf", q, loc, scale)
    return where((q >= 0) & (q <= 1), loc + q * scale, math.nan)
