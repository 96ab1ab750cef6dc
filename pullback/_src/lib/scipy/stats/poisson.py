"""The Poisson distribution."""

from __future__ import annotations

from typing import Any

from ....core.array import Array
from ....ops.arithmetic import floor_p
from ....ops.transcendental import exp_p
from ...numpy.promotion import promote_inexact
from .. import special
from .common import inside, where

__all__ = ["cdf", "logpmf", "pmf"]


def logpmf(k: Any, mu: Any, loc: Any = 0) -> Array:
    """The logarithm of the probability of k, for the rate mu."""
    k, loc, mu = promote_inexact("poisson.logpmf", k, loc, mu)
    k = k - loc
    return inside((k >= 0) & (floor_p.bind(k) == k), special.xlogy(k, mu) - special.gammaln(k + 1) - mu)


def pmf(k: Any, mu: Any, loc: Any = 0) -> Array:
    """The probability of k."""
    return exp_p.bind(logpmf(k, mu, loc))


def cdf(k: Any, mu: Any, loc: Any = 0) -> Array:
    """The probability of values up to k."""
    k, loc, mu = promote_inexact("poisson.cdf", k, loc, mu)
    k = floor_p.bind(k - loc)
    return where(k >= 0, special.gammaincc(where(k >= 0, k, 0.0) + 1, mu), 0.0)
