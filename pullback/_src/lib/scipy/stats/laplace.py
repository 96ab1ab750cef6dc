"""The Laplace distribution."""

from __future__ import annotations

from typing import Any

from ....core.array import Array
from ....ops.arithmetic import abs_p, log_p
from ....ops.transcendental import exp_p
from .common import standardized, where

__all__ = ["cdf", "logcdf", "logpdf", "logsf", "pdf", "sf"]


def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of the density at x."""
    z, scale = standardized("laplace.logpdf", x, loc, scale)
    return -abs_p.bind(z) - log_p.bind(2 * scale)


def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The density at x."""
    return exp_p.bind(logpdf(x, loc, scale))


def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The probability of values up to x."""
    z, scale = standardized("laplace.cdf", x, loc, scale)
    return where(z < 0, 0.5 * exp_p.bind(-abs_p.bind(z)), 1 - 0.5 * exp_p.bind(-abs_p.bind(z)))


def logcdf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of `cdf`."""
    return log_p.bind(cdf(x, loc, scale))


def sf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The probability of values above x."""
    z, scale = standardized("laplace.sf", x, loc, scale)
    return where(z > 0, 0.5 * exp_p.bind(-abs_p.bind(z)), 1 - 0.5 * exp_p.bind(-abs_p.bind(z)))


def logsf(x: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of `sf`."""
    return log_p.bind(sf(x, loc, scale))
