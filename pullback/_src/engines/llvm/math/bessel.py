"""Modified Bessel functions times exp(-|x|), of orders 0 and 1; single precision goes by way of double."""

from __future__ import annotations

from ..ir import Emitter, Value
from . import coefficients as c
from .base import at_least, at_most, mul_exact, poly, sub_exact, through_double


def _parts(
    e: Emitter, a: Value, near: tuple[float, ...], far: tuple[float, ...]
) -> tuple[Value, Value, Value]:
    """A polynomial for a <= 8, one in 1/a over sqrt(a) beyond, and where that is."""
    centred = sub_exact(e, at_most(e, a, 8.0), e.const(4.0, a))
    large = at_least(e, a, 8.0)
    inverse = e.fdiv(e.const(1.0, a), large)
    tail = e.fdiv(poly(e, inverse, far), e.sqrt(large))
    return poly(e, centred, near), tail, e.fcmp("ogt", a, e.const(8.0, a))


@through_double
def i0e(e: Emitter, x: Value) -> Value:
    near, far, large = _parts(e, e.fabs(x), c.I0_NEAR_64, c.I0_FAR_64)
    return e.select(large, far, near)


@through_double
def i1e(e: Emitter, x: Value) -> Value:
    near, far, large = _parts(e, e.fabs(x), c.I1_NEAR_64, c.I1_FAR_64)
    return e.select(large, e.copysign(far, x), mul_exact(e, x, near))
