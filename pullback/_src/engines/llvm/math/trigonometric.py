"""sin, cos, tan, asin, acos, atan, atan2.

Arguments are reduced by multiples of pi/2 in three parts (W. J. Cody and W. Waite, "Software Manual for the
Elementary Functions", 1980; with fma the first step is exact). Huge ones take a scalar function
(`scalars`); one jump decides whether some lane needs it.
"""

from __future__ import annotations

import math

from ..ir import Emitter, Value
from . import bounds, scalars
from . import coefficients as c
from .base import (
    add_exact,
    from_bits,
    mul_exact,
    nearest,
    poly,
    rarely,
    remember,
    sub_exact,
    to_bits,
)

# The parts of pi/2 for the reduction are cut, not rounded: all are positive, so that -0 stays -0.
_STEPS = {
    "float": (1.570796251296997, 7.549789415861596e-08, 5.390302529957765e-15),
    "double": (1.5707963267948966, 6.123233995736765e-17, 1.0828566739219139e-32),
}
_HALF_PI = {
    "float": (1.5707963705062866, -4.371138828673793e-08),
    "double": (1.5707963267948966, 6.123233995736766e-17),
}
_SIN = {"float": c.SIN_32, "double": c.SIN_64}
_COS = {"float": c.COS_32, "double": c.COS_64}
_ATAN = {"float": c.ATAN_32, "double": c.ATAN_64}
_ASIN = {"float": c.ASIN_32, "double": c.ASIN_64}
# Up to here the three-part reduction is exact enough, and quotients are small integers.
_MODERATE = {"float": 1e5, "double": 1e9}


def _reduced(e: Emitter, x: Value, precise: bool = False) -> tuple[Value, Value, Value]:
    """r = x - q pi/2 with |r| at most (a little more than) pi/4, what r lacks, and the last two bits of q.

    What r lacks is computed if `precise`, else it is r.
    """

    def compute() -> tuple[Value, Value, Value]:
        k, bits = nearest(e, x, 2 / math.pi)
        first, second, third = (e.const(-part, x) for part in _STEPS[x.elem])
        exact = e.fma(k, first, x)
        if precise:
            step = mul_exact(e, k, second)
            middle = add_exact(e, exact, step)
            back = sub_exact(e, middle, exact)
            lost = add_exact(e, sub_exact(e, exact, sub_exact(e, middle, back)), sub_exact(e, step, back))
            low = e.fma(k, third, add_exact(e, lost, e.fma(k, second, e.fneg(step))))
            r = e.copysign(add_exact(e, middle, low), middle)  # -0 + 0 would be 0
            low = sub_exact(e, low, sub_exact(e, r, middle))
        else:
            r = low = e.fma(k, third, e.fma(k, second, exact))
        if max(map(abs, bounds.of(e, x))) <= _MODERATE[x.elem]:
            return r, low, bits
        huge = e.fcmp("ogt", e.fabs(x), e.const(_MODERATE[x.elem], x))
        r, rest, bits = rarely(e, huge, [r, low if precise else None, bits], scalars.QUADRANT[x.elem], [x])
        return r, rest or r, bits

    return remember(e, ("quadrant", precise, x.name, x.type), compute)


def _sine(e: Emitter, r: Value, u: Value) -> Value:
    s = e.fma(e.binary("fmul", r, u), poly(e, u, _SIN[r.elem]), r)
    return e.copysign(s, r)  # the sum has lost the sign of zero


def _cosine(e: Emitter, r: Value, u: Value) -> Value:
    return poly(e, u, (1.0, -0.5, *_COS[r.elem]))


def _by_quadrant(e: Emitter, x: Value, quarter_turns: int) -> Value:
    r, _, q = _reduced(e, x)
    u = e.binary("fmul", r, r)
    if quarter_turns:
        q = e.add(q, e.const(quarter_turns, q))
    odd = e.icmp("ne", e.and_(q, e.const(1, q)), e.const(0, q))
    y = e.select(odd, _cosine(e, r, u), _sine(e, r, u))
    sign = e.shl(e.and_(q, e.const(2, q)), e.const(30 if x.elem == "float" else 62, q))
    return bounds.within(e, from_bits(e, e.xor(to_bits(e, y), sign)), -1.0, 1.0)


def sin(e: Emitter, x: Value) -> Value:
    return _by_quadrant(e, x, 0)


def cos(e: Emitter, x: Value) -> Value:
    return _by_quadrant(e, x, 1)


def tan(e: Emitter, x: Value) -> Value:
    r, low, q = _reduced(e, x, precise=True)
    u = e.binary("fmul", r, r)
    cube = e.fma(e.binary("fmul", r, u), poly(e, u, _SIN[x.elem]), low)
    s = e.copysign(add_exact(e, r, cube), r)
    half = e.binary("fmul", u, e.const(0.5, x))
    lost = e.fma(e.fma(r, r, e.fneg(u)), e.const(0.5, x), mul_exact(e, r, low))
    rest = e.fma(e.binary("fmul", u, u), poly(e, u, _COS[x.elem]), e.fneg(lost))
    one = e.const(1.0, x)
    w = sub_exact(e, one, half)
    t = add_exact(e, w, add_exact(e, sub_exact(e, sub_exact(e, one, w), half), rest))
    odd = e.icmp("ne", e.and_(q, e.const(1, q)), e.const(0, q))
    return e.fdiv(e.select(odd, t, s), e.select(odd, e.fneg(s), t))


# Inverse functions ---------------------------------------------------------------------------------


def _arc(e: Emitter, x: Value) -> tuple[Value, Value]:
    """For a = |x|: asin(a) where a <= 9/16, asin(sqrt((1 - a) / 2)) elsewhere; and where that is."""
    a, half = e.fabs(x), e.const(0.5, x)
    big = e.fcmp("ogt", a, e.const(0.5625, x))
    far = e.binary("fmul", sub_exact(e, e.const(1.0, x), a), half)
    z = e.select(big, far, e.binary("fmul", a, a))
    s = e.select(big, e.sqrt(far), a)
    return e.fma(e.binary("fmul", s, z), poly(e, z, _ASIN[x.elem]), s), big


def asin(e: Emitter, x: Value) -> Value:
    y, big = _arc(e, x)
    high, low = _HALF_PI[x.elem]
    other = sub_exact(e, e.const(high, x), e.fma(y, e.const(2.0, x), e.const(-low, x)))
    return e.copysign(e.select(big, other, y), x)


def acos(e: Emitter, x: Value) -> Value:
    y, big = _arc(e, x)
    high, low = _HALF_PI[x.elem]
    negative = e.fcmp("olt", x, e.const(0.0, x))
    signed = e.copysign(y, x)
    near = sub_exact(e, e.const(high, x), sub_exact(e, signed, e.const(low, x)))
    twice = add_exact(e, y, y)
    around = sub_exact(e, e.const(2 * high, x), sub_exact(e, twice, e.const(2 * low, x)))
    return e.select(big, e.select(negative, around, twice), near)


# Above this quotient, atan(v) = pi/4 + atan((v - 1) / (v + 1)).
_BEND = 0.55


def _arctangent(e: Emitter, top: Value, bottom: Value, folded: Value | None) -> Value:
    """atan(top / bottom) for 0 <= top <= bottom; pi/2 minus it where `folded` holds."""
    elem = top.elem
    high, low = _HALF_PI[elem]
    bent = e.fcmp("ogt", top, e.binary("fmul", bottom, e.const(_BEND, bottom)))
    n = e.select(bent, sub_exact(e, top, bottom), top)
    d = e.select(bent, add_exact(e, top, bottom), bottom)
    t = e.fdiv(n, d)
    u = e.binary("fmul", t, t)
    y = e.fma(e.binary("fmul", t, u), poly(e, u, _ATAN[elem]), t)
    zero = e.const(0.0, y)
    base = e.select(bent, e.const(high / 2, y), zero)
    rest = e.select(bent, e.const(low / 2, y), zero)
    if folded is not None:
        base = e.select(folded, sub_exact(e, e.const(high, y), base), base)
        rest = e.select(folded, sub_exact(e, e.const(low, y), rest), rest)
        y = e.select(folded, e.fneg(y), y)
    return add_exact(e, base, add_exact(e, y, rest))


def atan(e: Emitter, x: Value) -> Value:
    a, one = e.fabs(x), e.const(1.0, x)
    folded = e.fcmp("ogt", a, one)
    infinite = e.fcmp("oeq", a, e.const(math.inf, x))
    top = e.select(folded, one, a)
    # 1 / inf is 0 without a rule of its own; the difference of infinities in the other branch is not used.
    y = _arctangent(e, top, e.select(folded, a, one), folded)
    high = _HALF_PI[x.elem][0]
    return e.copysign(e.select(infinite, e.const(high, x), y), x)


def atan2(e: Emitter, y: Value, x: Value) -> Value:
    """The angle of the point (x, y)."""
    ax, ay = e.fabs(x), e.fabs(y)
    folded = e.fcmp("ogt", ay, ax)
    bottom, top = e.select(folded, ay, ax), e.select(folded, ax, ay)
    elem = bottom.elem
    one, zero = e.const(1.0, bottom), e.const(0.0, bottom)
    # Numbers near the upper end would overflow in the sum, those near the lower end lose bits: scale.
    large = e.fcmp("ogt", bottom, e.const({"float": 2.0**100, "double": 2.0**900}[elem], bottom))
    factor = e.select(
        large, e.const(0.25, bottom), e.const({"float": 2.0**24, "double": 2.0**54}[elem], bottom)
    )
    infinite = e.const(math.inf, bottom)
    both = e.fcmp("oeq", top, infinite)
    nothing = e.fcmp("oeq", bottom, zero)
    scaled_top = e.select(both, one, e.binary("fmul", top, factor))
    scaled_bottom = e.select(e.or_(both, nothing), one, e.binary("fmul", bottom, factor))
    angle = _arctangent(e, scaled_top, scaled_bottom, None)
    # One infinite coordinate: the quotient is 0.
    angle = e.select(e.fcmp("oeq", scaled_bottom, infinite), zero, angle)
    high, low = _HALF_PI[elem]
    angle = e.select(
        folded, sub_exact(e, e.const(high, angle), sub_exact(e, angle, e.const(low, angle))), angle
    )
    left = e.icmp("slt", to_bits(e, x), e.const(0, to_bits(e, x)))
    around = sub_exact(e, e.const(2 * high, angle), sub_exact(e, angle, e.const(2 * low, angle)))
    angle = e.select(left, around, angle)
    unordered = e.fcmp("uno", x, y)
    return e.select(unordered, e.const(math.nan, angle), e.copysign(angle, y))
