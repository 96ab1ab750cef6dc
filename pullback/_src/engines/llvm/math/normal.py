"""erfcx, and the normal distribution: log_ndtr, ndtri; single precision goes by way of double."""

from __future__ import annotations

import math

from ..ir import Emitter, Value
from . import coefficients as c
from .base import add_exact, at_least, mul_exact, poly, sub_exact, through_double
from .error import scaled_complement
from .exponential import exp, log, log1p

# From here on the tail's series is used.
_FAR = 26.0


def _scaled(e: Emitter, a: Value) -> Value:
    """exp(a^2) erfc(a) for all a >= 0."""
    far = e.fcmp("ogt", a, e.const(_FAR, a))
    near = scaled_complement(e, e.select(far, e.const(_FAR, a), a))
    inverse = e.fdiv(e.const(1.0, a), at_least(e, a, 1.0))
    tail = mul_exact(e, inverse, poly(e, mul_exact(e, inverse, inverse), c.ERFCX_TAIL_64))
    return e.select(far, tail, near)


@through_double
def erfcx(e: Emitter, x: Value) -> Value:
    """exp(x^2) erfc(x): for negative x, 2 exp(x^2) - erfcx(-x)."""
    y = _scaled(e, e.fabs(x))
    square = mul_exact(e, x, x)
    lost = e.fma(x, x, e.fneg(square))
    grown = exp(e, square)
    # Where exp(x^2) overflows, a product with the square's rounding error may be NaN.
    small = e.fcmp("olt", square, e.const(700.0, x))
    grown = e.select(small, e.fma(grown, lost, grown), grown)
    other = sub_exact(e, add_exact(e, grown, grown), y)
    return e.select(e.fcmp("olt", x, e.const(0.0, x)), other, y)


@through_double
def log_ndtr(e: Emitter, x: Value) -> Value:
    """The logarithm of the probability below x, with that of the tail beyond a = |x|: exp(-a^2 / 2) R / 2."""
    a, half = e.fabs(x), e.const(0.5, x)
    r = mul_exact(e, _scaled(e, mul_exact(e, a, e.const(math.sqrt(0.5), x))), half)
    square = mul_exact(e, a, a)
    lower = e.fma(e.fneg(square), half, log(e, r))
    lost = mul_exact(e, e.fma(a, a, e.fneg(square)), half)
    tail = mul_exact(e, exp(e, e.fneg(mul_exact(e, square, half))), r)
    small = e.fcmp("olt", square, e.const(1600.0, x))
    tail = e.fma(e.fneg(tail), e.select(small, lost, e.const(0.0, x)), tail)
    upper = log1p(e, e.fneg(tail))
    return e.select(e.fcmp("olt", x, e.const(0.0, x)), lower, upper)


@through_double
def ndtri(e: Emitter, p: Value) -> Value:
    """The number below which a normal variable is with probability p.

    A polynomial in the middle; in the tails a rough one and a step of Halley's method.
    """
    one, half, zero = e.const(1.0, p), e.const(0.5, p), e.const(0.0, p)
    y = sub_exact(e, p, half)
    near = mul_exact(e, y, poly(e, mul_exact(e, y, y), c.NDTRI_CENTRE_64))
    upper = e.fcmp("ogt", p, half)
    q = e.select(upper, sub_exact(e, one, p), p)
    r = e.sqrt(mul_exact(e, log(e, q), e.const(-2.0, p)))
    x = sub_exact(e, r, poly(e, e.fdiv(e.const(2.0, p), r), c.NDTRI_TAIL_64))
    # (probability below -x - q) / density at x, where q is exp(-r^2 / 2): powers that underflow do not occur.
    ratio = mul_exact(e, scaled_complement(e, mul_exact(e, x, e.const(math.sqrt(0.5), p))), half)
    exponent = mul_exact(e, mul_exact(e, sub_exact(e, x, r), half), add_exact(e, x, r))
    f = mul_exact(e, sub_exact(e, ratio, exp(e, exponent)), e.const(math.sqrt(2 * math.pi), p))
    step = e.fdiv(f, sub_exact(e, one, mul_exact(e, mul_exact(e, f, x), half)))
    x = add_exact(e, x, step)
    far = e.select(upper, x, e.fneg(x))
    result = e.select(e.fcmp("olt", e.fabs(y), e.const(0.375, p)), near, far)
    result = e.select(
        e.fcmp("oeq", q, zero), e.select(upper, e.const(math.inf, p), e.const(-math.inf, p)), result
    )
    valid = e.and_(e.fcmp("oge", p, zero), e.fcmp("ole", p, one))
    return e.select(valid, result, e.const(math.nan, p))
