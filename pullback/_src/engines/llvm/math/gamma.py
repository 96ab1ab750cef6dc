"""lgamma and digamma; single precision goes by way of double.

lgamma: a polynomial around 2, to which [1/2, 8] is moved by the recurrence; Stirling's series above;
reflection below. digamma: the recurrence to 8 and above, the asymptotic series, reflection. Relative
precision is lost next to the zeros of lgamma on the negative axis and to all zeros of digamma.
"""

from __future__ import annotations

import math

from ..ir import Emitter, Value
from . import coefficients as c
from .base import add_exact, fnma, mul_exact, poly, sub_exact, through_double
from .exponential import log


def _folded(e: Emitter, x: Value) -> tuple[Value, Value, Value, Value]:
    """With the nearest integer k: |x - k| folded to t <= 1/4; pi t, its square, where folded, and x - k."""
    r = sub_exact(e, x, e.rint(x))
    a = e.fabs(r)
    big = e.fcmp("ogt", a, e.const(0.25, x))
    t = mul_exact(e, e.select(big, sub_exact(e, e.const(0.5, x), a), a), e.const(math.pi, x))
    return t, mul_exact(e, t, t), big, r


@through_double
def lgamma(e: Emitter, x: Value) -> Value:
    one, half = e.const(1.0, x), e.const(0.5, x)
    reflected = e.fcmp("olt", x, half)
    z = e.select(reflected, sub_exact(e, one, x), x)
    # [1/2, 5/4) goes up, [5/2, 8) goes down to [5/4, 5/2]: the logarithm of the product is added.
    low = e.fcmp("olt", z, e.const(1.25, x))
    w, product = z, e.select(low, z, one)
    for _ in range(6):
        above = e.fcmp("ogt", w, e.const(2.5, x))
        w = e.select(above, sub_exact(e, w, one), w)
        product = e.select(above, mul_exact(e, product, w), product)
    w = e.select(low, add_exact(e, z, one), w)
    large = e.fcmp("oge", z, e.const(8.0, x))
    d = e.select(low, sub_exact(e, z, one), sub_exact(e, w, e.const(2.0, x)))
    near = mul_exact(e, d, poly(e, d, c.LGAMMA_64))
    logarithm = log(e, e.select(large, z, product))
    moved = add_exact(e, near, e.select(low, e.fneg(logarithm), logarithm))
    inverse = e.fdiv(one, z)
    series = mul_exact(e, inverse, poly(e, mul_exact(e, inverse, inverse), c.STIRLING_64))
    series = add_exact(e, series, e.const(0.5 * math.log(2 * math.pi) - 0.5, x))
    far = e.fma(sub_exact(e, z, half), sub_exact(e, logarithm, one), series)
    y = e.select(large, far, moved)
    t, u, big, _ = _folded(e, x)
    sine = e.fma(mul_exact(e, t, u), poly(e, u, c.SIN_64), t)
    sine = e.select(big, poly(e, u, (1.0, -0.5, *c.COS_64)), sine)
    other = sub_exact(e, e.fneg(log(e, mul_exact(e, sine, e.const(1 / math.pi, x)))), y)
    y = e.select(reflected, other, y)
    infinity = e.const(math.inf, x)
    return e.select(e.fcmp("oeq", e.fabs(x), infinity), infinity, y)


@through_double
def digamma(e: Emitter, x: Value) -> Value:
    one, zero = e.const(1.0, x), e.const(0.0, x)
    reflected = e.fcmp("olt", x, e.const(0.5, x))
    z = e.select(reflected, sub_exact(e, one, x), x)
    small = e.fcmp("olt", z, e.const(8.0, x))
    # The sum of 1 / (z + k) as one fraction.
    top, bottom = one, z
    for k in range(1, 8):
        factor = add_exact(e, z, e.const(float(k), x))
        top = e.fma(top, factor, bottom)
        bottom = mul_exact(e, bottom, factor)
    steps = e.select(small, e.fdiv(top, bottom), zero)
    w = e.select(small, add_exact(e, z, e.const(8.0, x)), z)
    inverse = e.fdiv(one, w)
    square = mul_exact(e, inverse, inverse)
    rest = e.fma(
        square, poly(e, square, c.DIGAMMA_64), add_exact(e, mul_exact(e, inverse, e.const(0.5, x)), steps)
    )
    y = sub_exact(e, log(e, w), rest)
    t, u, big, r = _folded(e, x)
    s = e.fma(mul_exact(e, t, u), poly(e, u, c.SIN_64), t)
    w = poly(e, u, (1.0, -0.5, *c.COS_64))
    cotangent = e.fdiv(e.select(big, s, w), e.select(big, w, s))
    y = e.select(reflected, fnma(e, e.const(math.pi, x), e.copysign(cotangent, r), y), y)
    # Poles: minus infinity at 0 (plus at -0), NaN at negative integers, as the limits from both sides differ.
    pole = e.and_(e.fcmp("oeq", e.rint(x), x), e.fcmp("ole", x, zero))
    at_pole = e.select(
        e.fcmp("oeq", x, zero), e.copysign(e.const(math.inf, x), e.fneg(x)), e.const(math.nan, x)
    )
    return e.select(pole, at_pole, y)
