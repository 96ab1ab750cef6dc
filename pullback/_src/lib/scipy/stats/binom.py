"""The binomial distribution."""

from __future__ import annotations

from typing import Any

from ....core.array import Array
from ....ops.arithmetic import floor_p
from ....ops.transcendental import exp_p
from ...numpy.promotion import promote_inexact
from .. import special
from .common import inside

__all__ = ["logpmf", "pmf"]


def logpmf(k: Any, n: Any, p: Any, loc: Any = 0) -> Array:
    """The logarithm of the probability of k successes among n trials of probability p."""
    k, loc, n, p = promote_inexact("binom.logpmf", k, loc, n, p)
    k = k - loc
    return inside(
        (k >= 0) & (k <= n) & (floor_p.bind(k) == k),
        special.gammaln(n + 1)
        - special.gammaln(k + 1)
        - special.gammaln(n - k + 1)
        + special.xlogy(k, p)
        + special.xlog1py(n - k, -p),
    )


def pmf(k: Any, n: Any, p: Any, loc: Any = 0) -> Array:
    """The probability of k."""
    return exp_p.bind(logpmf(k, n, p, loc))
