"""exp, exp2, expm1, log, log2, log10, log1p, logistic, logaddexp.

exp: x = k log 2 + r, a polynomial for exp(r), times 2^k in two steps so that results below the normal numbers
are rounded once. log: x = 2^k m with m in [sqrt(1/2), sqrt(2)), a polynomial in m - 1 (float) or in
(m - 1) / (m + 1) (double; P. T. P. Tang, "Table-driven implementation of the logarithm function", 1990,
without the table, and fdlibm's order of summation).
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from ..ir import Emitter, Value
from . import bounds
from . import coefficients as c
from .base import (
    BIAS,
    INTEGER,
    MAGIC_BITS,
    MANTISSA,
    SMALLEST_NORMAL,
    add_exact,
    at_least,
    at_most,
    fnma,
    from_bits,
    nearest,
    poly,
    power_of_two,
    scale,
    scales,
    sub_exact,
    to_bits,
    to_float,
)

LOG2E = 1.4426950408889634
# log 2 in two parts: the first has trailing zeros, so that its products with exponents are exact.
LN2_HIGH = {"float": 0.693359375, "double": float.fromhex("0x1.62e42feep-1")}
LN2_LOW = {"float": -2.12194440054690583e-4, "double": float.fromhex("0x1.a39ef35793c76p-33")}
_EXP = {"float": c.EXP_32, "double": c.EXP_64}
_EXP2 = {"float": c.EXP2_32, "double": c.EXP2_64}
_EXPM1 = {"float": c.EXPM1_32, "double": c.EXPM1_64}
# Beyond these the result is 0 or infinite; from the third number on a factor of it is exactly 0. The
# processor takes a hundred cycles for a product that underflows, but none more for a product with 0. Where it
# scales numbers by itself, the number is made 0 (`_scaled`).
_LIMITS = {"float": (-104.0, 90.0, -175.4), "double": (-746.0, 711.0, -1417.5)}
# From here on exp(-x^2) is 0.
SQUARES_END = {"float": 10.2, "double": 27.3}


def reduced(e: Emitter, x: Value) -> tuple[Value, Value]:
    """r = x - k log 2 with the nearest integer k, and k with `MAGIC_BITS`."""
    k, bits = nearest(e, x, LOG2E)
    r = e.fma(k, e.const(-LN2_HIGH[x.elem], x), x)
    return e.fma(k, e.const(-LN2_LOW[x.elem], x), r), bits


def _limited(e: Emitter, x: Value, limits: tuple[float, float, float]) -> Value:
    least, most = bounds.of(e, x)
    low, high = (e.const(v, x) for v in limits[:2])
    if most > limits[1]:
        inside = e.select(e.fcmp("olt", high, x), high, x)
    else:
        inside = x
    if scales() or least >= limits[0]:
        return inside
    return e.select(e.fcmp("olt", x, low), e.const(limits[2], x), inside)


def _scaled(e: Emitter, x: Value, p: Value, k: Value, lowest: float) -> Value:
    """p * 2^k, which is 0 where x, of which p comes, is below a bound; see `_limited`."""
    if scales() and bounds.of(e, x)[0] < lowest:
        p = e.select(e.fcmp("olt", x, e.const(lowest, x)), e.const(0.0, p), p)
    return scale(e, p, k)


def exp(e: Emitter, x: Value, halvings: int = 0) -> Value:
    """exp(x), or exp(x) / 2^halvings without the overflow of exp(x)."""
    root = e.roots.get(e.negated[x.name].name) if x.name in e.negated else None
    if root is not None and not halvings:
        return exp_of_square(e, root)[0]
    r, bits = reduced(e, _limited(e, x, _LIMITS[x.elem]))
    p = poly(e, r, (1.0, 1.0, *_EXP[x.elem]))
    k = e.sub(bits, e.const(MAGIC_BITS[x.elem] + halvings, bits))
    y = _scaled(e, x, p, k, _LIMITS[x.elem][0])
    return bounds.within(e, y, 0.0, 1.0 if bounds.of(e, x)[1] <= 0 else math.inf)


def exp_of_square(e: Emitter, x: Value) -> tuple[Value, Value, Value]:
    """exp(-x^2), and |x| where that is not 0 (elsewhere a bound), and the square of the latter."""
    end = SQUARES_END[x.elem]
    a = at_most(e, e.fabs(x), end)
    square = bounds.within(e, e.binary("fmul", a, a), 0.0, end * end)
    r, bits = reduced(e, e.fneg(square))
    p = poly(e, r, (1.0, 1.0, *_EXP[x.elem]))
    y = scale(e, p, e.sub(bits, e.const(MAGIC_BITS[x.elem], bits)))
    return bounds.within(e, y, 0.0, 1.0), a, square


def exp_of_negative(e: Emitter, a: Value) -> Value:
    """exp(-a) for a size a."""
    bounds.within(e, a, 0.0, math.inf)
    return exp(e, bounds.neg(e, e.fneg(a), a))


def exp_moderate(e: Emitter, x: Value) -> Value:
    """exp(x) where the result is known to be a normal number."""
    r, bits = reduced(e, x)
    return e.binary("fmul", poly(e, r, (1.0, 1.0, *_EXP[x.elem])), power_of_two(e, bits))


def exp2(e: Emitter, x: Value) -> Value:
    limits = {"float": (-151.0, 129.0, -253.0), "double": (-1076.0, 1025.0, -2045.0)}
    inside = _limited(e, x, limits[x.elem])
    k, bits = nearest(e, inside, 1.0)
    r = sub_exact(e, inside, k)
    p = poly(e, r, (1.0, *_EXP2[x.elem]))
    return _scaled(e, x, p, e.sub(bits, e.const(MAGIC_BITS[x.elem], bits)), limits[x.elem][0])


def expm1(e: Emitter, x: Value) -> Value:
    low, high = {"float": (-18.0, 88.9), "double": (-38.0, 709.9)}[x.elem]
    inside = at_most(e, at_least(e, x, low), high)
    r, bits = reduced(e, inside)
    p = e.fma(e.binary("fmul", r, r), poly(e, r, _EXPM1[x.elem]), r)
    # 2^k may overflow where the result does not: half of it, and twice the sum.
    half = power_of_two(e, e.sub(bits, e.const(1, bits)))
    y = e.fma(p, half, sub_exact(e, half, e.const(0.5, x)))
    y = add_exact(e, y, y)
    tiny = e.fcmp("olt", e.fabs(x), e.const({"float": 2.0**-26, "double": 2.0**-55}[x.elem], x))
    return e.select(tiny, x, y)


def logistic(e: Emitter, x: Value) -> Value:
    """1 / (1 + exp(-x)), as exp(x) / (1 + exp(x)) for negative x."""
    t = exp_of_negative(e, e.fabs(x))
    one = e.const(1.0, x)
    top = e.select(e.fcmp("olt", x, e.const(0.0, x)), t, one)
    bottom = add_exact(e, t, one)
    y = e.fdiv(top, bottom)
    # What the rounding of the sum cost is taken back (to first order for small t, where it matters).
    lost = sub_exact(e, t, sub_exact(e, bottom, one))
    return bounds.within(e, fnma(e, y, lost, y), 0.0, 1.0)


# Logarithms ---------------------------------------------------------------------------------------


def split(e: Emitter, x: Value, subnormal: bool = True) -> tuple[Value, Value]:
    """x = 2^k m with m in [sqrt(1/2), sqrt(2)), for positive finite x: m, and k as an integer."""
    elem = x.elem
    shift = MANTISSA[elem] + 2
    if subnormal:
        small = e.fcmp("olt", x, e.const(SMALLEST_NORMAL[elem], x))
        x = e.select(small, e.binary("fmul", x, e.const(2.0**shift, x)), x)
    bits = to_bits(e, x)
    root = {"float": 0x3F3504F3, "double": 0x3FE6A09E667F3BCD}[elem]
    count = e.const(MANTISSA[elem], bits)
    k = e.ashr(e.sub(bits, e.const(root, bits)), count)
    m = from_bits(e, e.sub(bits, e.shl(k, count)))
    if subnormal:
        k = e.sub(k, e.select(small, e.const(shift, k), e.const(0, k)))
    return m, k


def log_near_one(e: Emitter, f: Value, k: Value | None) -> Value:
    """log(1 + f) + k log 2 for f in [sqrt(1/2) - 1, sqrt(2) - 1]."""
    low = None if k is None else e.binary("fmul", k, e.const(LN2_LOW[f.elem], f))
    if f.elem == "float":
        inner = e.fma(f, poly(e, f, c.LOG_32), e.const(-0.5, f))
        square = e.binary("fmul", f, f)
        if low is None or k is None:
            return e.fma(square, inner, f)
        rest = add_exact(e, f, e.fma(square, inner, low))
    else:
        s = e.fdiv(f, add_exact(e, f, e.const(2.0, f)))
        z = e.binary("fmul", s, s)
        half = e.binary("fmul", e.binary("fmul", f, e.const(0.5, f)), f)
        total = e.fma(z, poly(e, z, c.LOG_ATANH_64), half)
        if low is None or k is None:
            return sub_exact(e, f, sub_exact(e, half, e.binary("fmul", s, total)))
        rest = sub_exact(e, f, sub_exact(e, half, e.fma(s, total, low)))
    return e.fma(k, e.const(LN2_HIGH[f.elem], f), rest)


def with_limits(e: Emitter, x: Value, y: Value) -> Value:
    """A logarithm's value y for positive finite x, completed for the others."""
    zero, edge = e.const(0.0, x), e.const(math.nan, x)
    low, high = bounds.of(e, x)
    if low <= 0:
        edge = e.select(e.fcmp("oeq", x, zero), e.const(-math.inf, x), edge)
    y = e.select(e.fcmp("ogt", x, zero), y, edge)
    if high < math.inf:
        return y
    return e.select(e.fcmp("oeq", x, e.const(math.inf, x)), x, y)


def log(e: Emitter, x: Value) -> Value:
    m, k = split(e, x, bounds.of(e, x)[0] < SMALLEST_NORMAL[x.elem])
    y = log_near_one(e, sub_exact(e, m, e.const(1.0, m)), to_float(e, k))
    return with_limits(e, x, y)


def _other_base(e: Emitter, x: Value, slope: tuple[float, float], step: tuple[float, float]) -> Value:
    m, k = split(e, x, bounds.of(e, x)[0] < SMALLEST_NORMAL[x.elem])
    f, k = sub_exact(e, m, e.const(1.0, m)), to_float(e, k)
    y = log_near_one(e, f, None)
    high, low = (e.const(s, x) for s in slope)
    total = e.fma(y, low, e.binary("fmul", k, e.const(step[1], x)) if step[1] else e.const(0.0, x))
    if step[1]:
        total = e.fma(y, high, total)
        return with_limits(e, x, e.fma(k, e.const(step[0], x), total))
    return with_limits(e, x, add_exact(e, k, e.fma(y, high, total)))


def _two_parts(value: str, elem: str) -> tuple[float, float]:
    """A decimal number as the sum of two floats of type `elem`."""
    exact = Fraction(value)
    kind = np.float32 if elem == "float" else np.float64
    high = float(kind(float(exact)))
    return high, float(kind(float(exact - Fraction(high))))


_LOG2_SLOPE = {t: _two_parts("1.44269504088896340735992468100189214", t) for t in INTEGER}
_LOG10_SLOPE = {t: _two_parts("0.434294481903251827651128918916605082", t) for t in INTEGER}
# log10(2); the first part has trailing zeros.
_LOG10_STEP = {
    "float": (0.30078125, 0.30102999566398119521 - 0.30078125),
    "double": (float.fromhex("0x1.34413509p-2"), float.fromhex("0x1.ef3fde623e256p-35")),
}


def log2(e: Emitter, x: Value) -> Value:
    return _other_base(e, x, _LOG2_SLOPE[x.elem], (1.0, 0.0))


def log10(e: Emitter, x: Value) -> Value:
    return _other_base(e, x, _LOG10_SLOPE[x.elem], _LOG10_STEP[x.elem])


def log1p(e: Emitter, x: Value) -> Value:
    low, high = bounds.of(e, x)
    if low >= 0 and high <= 1:
        return bounds.within(e, _log1p_of_fraction(e, x), 0.0, 1.0)
    y, u = log1p_inside(e, x)
    if low <= -1 or high == math.inf:
        y = with_limits(e, u, y)
    return e.select(
        e.fcmp("olt", e.fabs(x), e.const({"float": 2.0**-26, "double": 2.0**-55}[x.elem], x)), x, y
    )


def log1p_inside(e: Emitter, x: Value) -> tuple[Value, Value]:
    """log(1 + x) for finite x above -1, NaN for NaN, but 0 for -0; and 1 + x."""
    elem, one = x.elem, e.const(1.0, x)
    u = bounds.add(e, add_exact(e, x, one), x, one)
    # What the sum lost, exactly.
    back = sub_exact(e, u, one)
    lost = add_exact(e, sub_exact(e, one, sub_exact(e, u, back)), sub_exact(e, x, back))
    m, k = split(e, u, subnormal=False)
    bounded = k
    if bounds.of(e, x)[1] > 1e38:
        bounded = e.call("llvm.smin", k.elem, k, e.const(BIAS[elem] - 1, k))
    down = power_of_two(e, e.sub(e.const(0, k), bounded))
    f = e.fma(lost, down, sub_exact(e, m, one))
    return log_near_one(e, f, to_float(e, k)), u


def _log1p_of_fraction(e: Emitter, x: Value) -> Value:
    """log(1 + x) for x in [0, 1], without a sum that is rounded."""
    square = e.binary("fmul", x, x)
    if x.elem == "float":
        return e.fma(square, e.fma(x, poly(e, x, c.LOG1P_32), e.const(-0.5, x)), x)
    s = e.fdiv(x, add_exact(e, x, e.const(2.0, x)))
    z = e.binary("fmul", s, s)
    half = e.binary("fmul", square, e.const(0.5, x))
    total = e.fma(z, poly(e, z, c.LOG1P_ATANH_64), half)
    return sub_exact(e, x, fnma(e, s, total, half))


def logaddexp(e: Emitter, x: Value, y: Value) -> Value:
    """max(x, y) + log1p(exp(-|x - y|)); equal infinities give themselves."""
    above = e.fcmp("ogt", x, y)
    larger = e.select(above, x, y)
    same = e.fcmp("oeq", x, y)
    distance = e.select(same, e.const(0.0, larger), e.fabs(sub_exact(e, x, y)))
    return add_exact(e, larger, log1p(e, exp_of_negative(e, distance)))


def exp_sum(e: Emitter, high: Value, low: Value) -> Value:
    """exp(high + low) for a small second part."""
    r, bits = reduced(e, _limited(e, high, _LIMITS[high.elem]))
    p = poly(e, add_exact(e, r, low), (1.0, 1.0, *_EXP[high.elem]))
    k = e.sub(bits, e.const(MAGIC_BITS[high.elem], bits))
    return _scaled(e, high, p, k, _LIMITS[high.elem][0])
