"""The Cauchy distribution."""

from __future__ import annotations

import math
from typing import Any

from ....core.array import Array
from ....ops.arithmetic import log_p
from ....ops.transcendental import atan_p, exp_p, log1p_p, tan_p
from ...numpy.promotion import promote_inexact
from .common import standardized

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of the density at x."""
    z, scale = standardized("cauchy.logpdf", x, loc, scale)
    return -math.log(math.pi) - log_p.bind(scale) - log1p_p.bind(z * z)


def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The density at x."""
    return exp_p.bind(logpdf(x, loc, scale))


def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The probability of values up to x."""
    z, scale = standardized("cauchy.cdf", x, loc, scale)
    return 0.5 + atan_p.bind(z) / math.pi


def logcdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of `cdf`."""
    return log_p.bind(cdf(x, loc, scale))


def sf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The probability of values above x."""
    z, scale = standardized("cauchy.sf", x, loc, scale)
    return 0.5 - atan_p.bind(z) / math.pi


def logsf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of `sf`."""
    return log_p.bind(sf(x, loc, scale))


def ppf(q: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The value up to which the probability is q."""
    q, loc, scale = promote_inexact("cauchy.ppf", q, loc, scale)
    return loc + scale * tan_p.bind(math.pi * (q - 0.5))
