"""Student's t distribution."""

from __future__ import annotations

import math
from typing import Any

from ....core.array import Array
from ....ops.arithmetic import log_p
from ....ops.transcendental import exp_p, log1p_p
from .. import special
from .common import standardized

__all__ = ["logpdf", "pdf"]


def logpdf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The logarithm of the density at x, for df degrees of freedom."""
    z, scale, df = standardized("t.logpdf", x, loc, scale, df)
    return (
        special.gammaln((df + 1) / 2)
        - special.gammaln(df / 2)
        - 0.5 * log_p.bind(math.pi * df)
        - log_p.bind(scale)
        - (df + 1) / 2 * log1p_p.bind(z * z / df)
    )


def pdf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Array:
    """The density at x."""
    return exp_p.bind(logpdf(x, df, loc, scale))
