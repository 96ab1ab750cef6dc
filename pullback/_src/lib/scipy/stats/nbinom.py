"""The negative binomial distribution."""

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
    """The logarithm of the probability of k failures before n successes of probability p."""
    k, loc, n, p = promote_inexact("nbinom.logpmf", k, loc, n, p)
    k = k - loc
    return inside(
        (k >= 0) & (floor_p.bind(k) == k),
        special.gammaln(k + n)
        - special.gammaln(n)
        - special.gammaln(k + 1)
        + special.xlogy(n, p)
        + special.xlog1py(k, -p),
    )


def pmf(k: Any, n: Any, p: Any, loc: Any = 0) -> Array:
    """The probability of k."""
    return exp_p.bind(logpmf(k, n, p, loc))
