"""The von Mises distribution on the circle."""

from __future__ import annotations

import math
from typing import Any

from ....core.array import Array
from ....ops.arithmetic import log_p
from ....ops.transcendental import cos_p, exp_p
from ...numpy.promotion import promote_inexact
from .. import special

__all__ = ["logpdf", "pdf"]


def logpdf(x: Any, kappa: Any) -> Array:
    """The logarithm of the density at the angle x, for concentration `kappa`."""
    x, kappa = promote_inexact("vonmises.logpdf", x, kappa)
    return kappa * (cos_p.bind(x) - 1) - log_p.bind(2 * math.pi * special.i0e(kappa))


def pdf(x: Any, kappa: Any) -> Array:
    """The density at the angle x."""
    return exp_p.bind(logpdf(x, kappa))
