"""sin, cos, tan, asin, acos, atan, atan2.

Arguments are reduced by multiples of pi/2 in three parts (W. J. Cody and W. Waite, "Software Manual for the
Elementary Functions", 1980; with fma the first step is exact). Huge ones take a scalar function of the module
that multiplies by the needed 192 bits of 2/pi (M. Payne and R. Hanek, "Radian reduction for trigonometric
functions", 1983); one jump decides whether some lane needs it.
"""

from __future__ import annotations

import math

from ..ir import Emitter, Value
from . import coefficients as c
from .base import (
    add_exact,
    define,
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

# The bits of 2/pi, after 64 zeros.
_TWO_BY_PI = (
    0x0, 0xA2F9836E4E441529, 0xFC2757D1F534DDC0, 0xDB6295993C439041, 0xFE5163ABDEBBC561, 0xB7246E3A424DD2E0,
    0x06492EEA09D1921C, 0xFE1DEB1CB129A73E, 0xE88235F52EBB4484, 0xE99C7026B45F7E41, 0x3991D639835339F4,
    0x9C845F8BBDF9283B, 0x1FF897FFDE05980F, 0xEF2F118B5A0A6D1F, 0x6D367ECF27CB09B7, 0x4F463F669E5FEA2D,
    0x7527BAC7EBE5F17B, 0x3D0739F78A5292EA, 0x6BFB5FB11F8D5D08, 0x56033046FC7B6BAB, 0xF0CFBC209AF4361D,
)  # fmt: skip

# With |x| = m 2^e: the 192 bits of 2/pi from the one of weight 2^(1 - e) on, times m, modulo 2^192. The two
# highest bits are the quadrant; what follows is the fraction, which is rounded to the nearest quadrant and
# normalised before it becomes a double. Infinity gives NaN.
_REDUCE = """
@pb.two_by_pi = internal constant [21 x i64] [{words}]
declare i64 @llvm.fshl.i64(i64, i64, i64)
declare i128 @llvm.ctlz.i128(i128, i1)
define internal {{ double, double, i64 }} @pb.quadrant.f64(double %x) {{
  %bits = bitcast double %x to i64
  %raised = lshr i64 %bits, 52
  %biased = and i64 %raised, 2047
  %fraction = and i64 %bits, 4503599627370495
  %m = or i64 %fraction, 4503599627370496
  %place = sub i64 %biased, 1013
  %low_place = icmp slt i64 %place, 0
  %p = select i1 %low_place, i64 0, i64 %place
  %word = lshr i64 %p, 6
  %shift = and i64 %p, 63
  %a0 = getelementptr i64, ptr @pb.two_by_pi, i64 %word
  %a1 = getelementptr i64, ptr %a0, i64 1
  %a2 = getelementptr i64, ptr %a0, i64 2
  %a3 = getelementptr i64, ptr %a0, i64 3
  %w0 = load i64, ptr %a0
  %w1 = load i64, ptr %a1
  %w2 = load i64, ptr %a2
  %w3 = load i64, ptr %a3
  %v0 = call i64 @llvm.fshl.i64(i64 %w0, i64 %w1, i64 %shift)
  %v1 = call i64 @llvm.fshl.i64(i64 %w1, i64 %w2, i64 %shift)
  %v2 = call i64 @llvm.fshl.i64(i64 %w2, i64 %w3, i64 %shift)
  %wide = zext i64 %m to i128
  %x1 = zext i64 %v1 to i128
  %x2 = zext i64 %v2 to i128
  %t0 = mul i64 %m, %v0
  %t1 = mul i128 %wide, %x1
  %t2 = mul i128 %wide, %x2
  %s0 = zext i64 %t0 to i128
  %u0 = shl i128 %s0, 64
  %u2 = lshr i128 %t2, 64
  %u1 = add i128 %u0, %t1
  %product = add i128 %u1, %u2
  %rounded = add i128 %product, 42535295865117307932921825928971026432
  %quadrant = lshr i128 %rounded, 126
  %whole = shl i128 %quadrant, 126
  %rest = sub i128 %product, %whole
  %negative = icmp slt i128 %rest, 0
  %opposite = sub i128 0, %rest
  %size = select i1 %negative, i128 %opposite, i128 %rest
  %z = call i128 @llvm.ctlz.i128(i128 %size, i1 false)
  %zeros = and i128 %z, 127
  %n = shl i128 %size, %zeros
  %n0 = lshr i128 %n, 75
  %n1 = lshr i128 %n, 22
  %h = trunc i128 %n0 to i64
  %l1 = trunc i128 %n1 to i64
  %l = and i64 %l1, 9007199254740991
  %hf = sitofp i64 %h to double
  %lf = sitofp i64 %l to double
  %ls = fmul double %lf, 0x3CA0000000000000
  %r0 = fmul double %hf, 0x3FF921FB54442D18
  %rn = fneg double %r0
  %e0 = call double @llvm.fma.f64(double %hf, double 0x3FF921FB54442D18, double %rn)
  %e1 = call double @llvm.fma.f64(double %hf, double 0x3C91A62633145C07, double %e0)
  %e2 = call double @llvm.fma.f64(double %ls, double 0x3FF921FB54442D18, double %e1)
  %r1 = fadd double %r0, %e2
  %zs = trunc i128 %zeros to i64
  %exponent = sub i64 972, %zs
  %power = shl i64 %exponent, 52
  %unit = bitcast i64 %power to double
  %r2 = fmul double %r1, %unit
  %flip = icmp slt i64 %bits, 0
  %back = xor i1 %flip, %negative
  %r3 = fneg double %r2
  %r4 = select i1 %back, double %r3, double %r2
  %nothing = fsub double %x, %x
  %r = fadd double %r4, %nothing
  %d0 = fsub double %r0, %r1
  %d1 = fadd double %d0, %e2
  %d2 = fmul double %d1, %unit
  %d3 = fneg double %d2
  %d = select i1 %back, double %d3, double %d2
  %q0 = trunc i128 %quadrant to i64
  %q1 = sub i64 0, %q0
  %q = select i1 %flip, i64 %q1, i64 %q0
  %o0 = insertvalue {{ double, double, i64 }} poison, double %r, 0
  %o1 = insertvalue {{ double, double, i64 }} %o0, double %d, 1
  %o2 = insertvalue {{ double, double, i64 }} %o1, i64 %q, 2
  ret {{ double, double, i64 }} %o2
}}""".format(words=", ".join(f"i64 {w - (w >> 63 << 64)}" for w in _TWO_BY_PI))

_REDUCE_FLOAT = """
define internal { float, float, i32 } @pb.quadrant.f32(float %x) {
  %d = fpext float %x to double
  %o = call { double, double, i64 } @pb.quadrant.f64(double %d)
  %r = extractvalue { double, double, i64 } %o, 0
  %q = extractvalue { double, double, i64 } %o, 2
  %s = fptrunc double %r to float
  %b = fpext float %s to double
  %t = fsub double %r, %b
  %l = fptrunc double %t to float
  %k = trunc i64 %q to i32
  %o0 = insertvalue { float, float, i32 } poison, float %s, 0
  %o1 = insertvalue { float, float, i32 } %o0, float %l, 1
  %o2 = insertvalue { float, float, i32 } %o1, i32 %k, 2
  ret { float, float, i32 } %o2
}"""


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
            lost = add_exact(
                e, sub_exact(e, exact, sub_exact(e, middle, back)), sub_exact(e, step, back)
            )
            low = e.fma(k, third, add_exact(e, lost, e.fma(k, second, e.fneg(step))))
            r = e.copysign(add_exact(e, middle, low), middle)  # -0 + 0 would be 0
            low = sub_exact(e, low, sub_exact(e, r, middle))
        else:
            r = low = e.fma(k, third, e.fma(k, second, exact))
        huge = e.fcmp("ogt", e.fabs(x), e.const(_MODERATE[x.elem], x))
        e.module.declare("llvm.fma.f64", "double", ["double"] * 3)
        define(e, "pb.quadrant.f64", _REDUCE)
        if x.elem == "float":
            define(e, "pb.quadrant.f32", _REDUCE_FLOAT)
        helper = "pb.quadrant.f32" if x.elem == "float" else "pb.quadrant.f64"
        r, low, bits = rarely(e, huge, [r, low, bits], helper, [x])
        return r, low, bits

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
    return from_bits(e, e.xor(to_bits(e, y), sign))


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


