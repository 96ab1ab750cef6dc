"""The Bernoulli distribution."""

from __future__ import annotations

import math
from typing import Any

from ....core.array import Array
from ....ops.transcendental import exp_p
from ...numpy.promotion import promote_inexact
from .. import special
from .common import inside, where

__all__ = ["cdf", "logpmf", "pmf", "ppf"]


def logpmf(k: Any, p: Any, loc: Any = 0) -> Array:
    """The logarithm of the probability of k, for probability p."""
    k, loc, p = promote_inexact("bernoulli.logpmf", k, loc, p)
    k = k - loc
    return inside((k == 0) | (k == 1), special.xlogy(k, p) + special.xlog1py(1 - k, -p))


def pmf(k: Any, p: Any, loc: Any = 0) -> Array:
    """The probability of k."""
    return exp_p.bind(logpmf(k, p, loc))


def cdf(k: Any, p: Any) -> Array:
    """The probability of values up to k."""
    k, p = promote_inexact("bernoulli.cdf", k, p)
    value = where(k < 0, 0.0, where(k < 1, 1 - p, 1.0 + 0 * p))
    return where((p >= 0) & (p <= 1), value, math.nan)


def ppf(q: Any, p: Any) -> Array:
    """The least value up to which the probability is at least q."""
    q, p = promote_inexact("bernoulli.ppf", q, p)
    value = where(q <= 1 - p, 0 * p, 1.0)
    valid = (q >= 0) & (q <= 1) & (p >= 0) & (p <= 1)
    return where(valid, where(q == 0, -1.0, value), math.nan)
