"""The geometric distribution."""

from __future__ import annotations

from typing import Any

from ....core.array import Array
from ....ops.arithmetic import floor_p, log_p
from ....ops.transcendental import exp_p
from ...numpy.promotion import promote_inexact
from .. import special
from .common import inside

__all__ = ["logpmf", "pmf"]


def logpmf(k: Any, p: Any, loc: Any = 0) -> Array:
    """The logarithm of the probability of k trials up to the first success, of probability p."""
    k, loc, p = promote_inexact("geom.logpmf", k, loc, p)
    k = k - loc
    return inside((k >= 1) & (floor_p.bind(k) == k), special.xlog1py(k - 1, -p) + log_p.bind(p))


def pmf(k: Any, p: Any, loc: Any = 0) -> Array:
    """The probability of k."""
    return exp_p.bind(logpmf(k, p, loc))
