"""The beta-binomial distribution."""

from __future__ import annotations

from typing import Any

from ....core.array import Array
from ....ops.arithmetic import floor_p, log_p
from ....ops.transcendental import exp_p
from ...numpy.promotion import promote_inexact
from .. import special
from .common import inside

__all__ = ["logpmf", "pmf"]


def logpmf(k: Any, n: Any, a: Any, b: Any, loc: Any = 0) -> Array:
    """The logarithm of the probability of k among n trials whose probability is beta-distributed."""
    k, loc, n, a, b = promote_inexact("betabinom.logpmf", k, loc, n, a, b)
    k = k - loc
    return inside(
        (k >= 0) & (k <= n) & (floor_p.bind(k) == k),
        special.betaln(k + a, n - k + b)
        - special.betaln(a, b)
        - log_p.bind(n + 1)
        - special.betaln(n - k + 1, k + 1),
    )


def pmf(k: Any, n: Any, a: Any, b: Any, loc: Any = 0) -> Array:
    """The probability of k."""
    return exp_p.bind(logpmf(k, n, a, b, loc))
