"""The normal distribution."""

from __future__ import annotations

import math
from typing import Any

from ....core.array import Array
from ....ops.arithmetic import log_p
from ....ops.transcendental import exp_p
from ...numpy.promotion import promote_inexact
from .. import special
from .common import standardized

__all__ = ["cdf", "isf", "logcdf", "logpdf", "logsf", "pdf", "ppf", "sf"]


def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of the density at x, for mean `loc` and standard deviation `scale`."""
    z, scale = standardized("norm.logpdf", x, loc, scale)
    return -0.5 * (z * z + math.log(2 * math.pi)) - log_p.bind(scale)


def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The density at x."""
    return exp_p.bind(logpdf(x, loc, scale))


def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The probability of values up to x."""
    return special.ndtr(standardized("norm.cdf", x, loc, scale)[0])


def logcdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of `cdf`, accurate in the lower tail."""
    return special.log_ndtr(standardized("norm.logcdf", x, loc, scale)[0])


def sf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The probability of values above x."""
    return special.ndtr(-standardized("norm.sf", x, loc, scale)[0])


def logsf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of `sf`, accurate in the upper tail."""
    return special.log_ndtr(-standardized("norm.logsf", x, loc, scale)[0])


def ppf(q: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The value up to which the probability is q."""
    q, loc, scale = promote_inexact("norm.ppf", q, loc, scale)
    return special.ndtri(q) * scale + loc


def isf(q: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The value above which the probability is q."""
    q, loc, scale = promote_inexact("norm.isf", q, loc, scale)
    return loc - special.ndtri(q) * scale
