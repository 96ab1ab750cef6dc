"""pow, integer powers, cbrt, hypot."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..ir import Emitter, Value
from . import bounds
from . import coefficients as c
from .base import (
    SMALLEST_NORMAL,
    add_exact,
    at_least,
    at_most,
    from_bits,
    mul_exact,
    narrow,
    poly,
    power_of_two,
    sub_exact,
    to_bits,
    to_float,
    widen,
)
from .exponential import LN2_HIGH, LN2_LOW, exp_sum, reduced, split


def _log_in_two_parts(e: Emitter, x: Value) -> tuple[Value, Value]:
    """log(x) for positive finite doubles as a sum of two, to some 66 bits.

    With f = m - 1 and s = f / (2 + f): log(m) = 2 s (1 + s^2/3 + s^4 Q(s^2)); s, s^2 and their product are
    sums of two doubles, Q is one.
    """
    m, k = split(e, x)
    k = to_float(e, k)
    f = sub_exact(e, m, e.const(1.0, m))
    two = e.const(2.0, m)
    d = add_exact(e, f, two)
    d_low = sub_exact(e, f, sub_exact(e, d, two))
    r = e.fdiv(e.const(1.0, m), d)
    s = mul_exact(e, f, r)
    rest = e.fma(e.fneg(s), d_low, e.fma(e.fneg(s), d, f))
    s_low = mul_exact(e, rest, r)
    s2, s2_low = add_exact(e, s, s), add_exact(e, s_low, s_low)
    z = mul_exact(e, s, s)
    z_low = e.fma(s2, s_low, e.fma(s, s, e.fneg(z)))
    third = e.const(1 / 3, m)
    p = mul_exact(e, z, third)
    p_low = e.fma(z_low, third, e.fma(z, third, e.fneg(p)))
    p_low = e.fma(z, e.const(1.850371707708594e-17, m), p_low)
    p_low = e.fma(mul_exact(e, z, z), poly(e, z, c.POW_LOG_64), p_low)
    a = mul_exact(e, s2, p)
    a_low = e.fma(s2, p, e.fneg(a))
    a_low = e.fma(s2, p_low, e.fma(s2_low, p, a_low))
    base = mul_exact(e, k, e.const(LN2_HIGH["double"], m))
    first = add_exact(e, base, s2)
    lost = sub_exact(e, s2, sub_exact(e, first, base))
    second = add_exact(e, first, a)
    lost = add_exact(e, lost, sub_exact(e, a, sub_exact(e, second, first)))
    low = add_exact(e, lost, add_exact(e, a_low, s2_low))
    low = e.fma(k, e.const(LN2_LOW["double"], m), low)
    total = add_exact(e, second, low)
    return total, sub_exact(e, low, sub_exact(e, total, second))


def _float_power(e: Emitter, a: Value, y: Value) -> Value:
    """a^y for floats a >= 0, in double: the logarithm to 37 bits, the exponential to 31."""
    wide = widen(e, a)
    m, k = split(e, wide, subnormal=False)
    f = sub_exact(e, m, e.const(1.0, m))
    inner = e.fma(f, poly(e, f, c.POWF_LOG_64), e.const(-0.5, f))
    logarithm = e.fma(to_float(e, k), e.const(math.log(2), f), e.fma(mul_exact(e, f, f), inner, f))
    logarithm = e.select(e.fcmp("oeq", a, e.const(0.0, a)), e.const(-math.inf, f), logarithm)
    infinity = e.const(math.inf, a)
    logarithm = e.select(e.fcmp("oeq", a, infinity), e.const(math.inf, f), logarithm)
    product = mul_exact(e, widen(e, y), logarithm)
    r, bits = reduced(e, at_most(e, at_least(e, product, -120.0), 100.0))
    p = poly(e, r, (1.0, 1.0, *c.POWF_EXP_64))
    return narrow(e, mul_exact(e, p, power_of_two(e, bits)))


def _known_power(e: Emitter, x: Value, y: float) -> Value | None:
    """x^y for an exponent whose power takes a few operations (at most 1.5 ulp); None for others."""
    if y in (-1.0, 1.0, 2.0, 3.0):
        power: Value = integer_power(abs(int(y)), x, lambda a, b: mul_exact(e, a, b))
        return power if y > 0 else e.fdiv(e.const(1.0, x), power)
    if y not in (-1.5, -0.5, 0.5, 1.5, 2.5):
        return None
    # Not as the square root has it: the powers of minus infinity are those of infinity, those of -0 of 0.
    infinity = e.const(math.inf, x)
    x = e.select(e.fcmp("oeq", x, e.const(-math.inf, x)), infinity, x)
    x = add_exact(e, x, e.const(0.0, x))
    root = e.sqrt(x)
    if y < 0:
        inverse = e.fdiv(e.const(1.0, x), root)
        return inverse if y == -0.5 else e.fdiv(inverse, x)
    whole = int(y)
    return root if not whole else mul_exact(e, integer_power(whole, x, lambda a, b: mul_exact(e, a, b)), root)


def pow(e: Emitter, x: Value, y: Value) -> Value:
    """x^y with the special values of IEEE 754's pow."""
    exponent = bounds.number(y)
    known = None if exponent is None else _known_power(e, x, exponent)
    if known is not None:
        return known
    x, y = e.match(x, y)
    a, one, zero = e.fabs(x), e.const(1.0, x), e.const(0.0, x)
    infinity = e.const(math.inf, x)
    if x.elem == "float":
        r = _float_power(e, a, y)
    else:
        high, low = _log_in_two_parts(e, a)
        zeros = e.fcmp("oeq", a, zero)
        high = e.select(zeros, e.const(-math.inf, x), high)
        high = e.select(e.fcmp("ult", a, infinity), high, a)  # infinity and NaN stay
        product = mul_exact(e, y, high)
        rest = e.fma(y, low, e.fma(y, high, e.fneg(product)))
        inside = e.fcmp("olt", e.fabs(product), e.const(1100.0, x))
        r = exp_sum(e, product, e.select(inside, rest, zero))
    r = e.select(e.fcmp("oeq", a, one), one, r)
    r = e.select(e.fcmp("uno", x, y), e.const(math.nan, x), r)
    half = mul_exact(e, y, e.const(0.5, y))
    broken = e.fcmp("une", e.floor(y), y)
    odd = e.and_(e.fcmp("une", e.floor(half), half), e.xor(broken, e.const(1, broken)))
    bits = to_bits(e, x)
    r = e.select(e.and_(odd, e.icmp("slt", bits, e.const(0, bits))), e.fneg(r), r)
    below = e.and_(e.fcmp("olt", x, zero), e.fcmp("ogt", x, e.const(-math.inf, x)))
    r = e.select(e.and_(broken, below), e.const(math.nan, x), r)
    return e.select(e.or_(e.fcmp("oeq", x, one), e.fcmp("oeq", y, zero)), one, r)


def integer_power(n: int, x: Any, multiply: Callable[[Any, Any], Any]) -> Any:
    """x^n for n >= 1 by repeated squaring, in the order of the specification."""
    result = None
    while True:
        if n & 1:
            result = x if result is None else multiply(result, x)
        n >>= 1
        if not n:
            return result
        x = multiply(x, x)


def hypot(e: Emitter, x: Value, y: Value) -> Value:
    """sqrt(x^2 + y^2) without overflow; infinite if one operand is, even beside NaN."""
    x, y = e.match(x, y)
    if x.elem == "float":
        wide = [widen(e, v) for v in (x, y)]
        r = narrow(e, e.sqrt(e.fma(wide[0], wide[0], mul_exact(e, wide[1], wide[1]))))
    else:
        ax, ay = e.fabs(x), e.fabs(y)
        larger = e.select(e.fcmp("ogt", ax, ay), ax, ay)
        big = e.fcmp("ogt", larger, e.const(2.0**500, x))
        small = e.fcmp("olt", larger, e.const(2.0**-500, x))
        one = e.const(1.0, x)
        down = e.select(big, e.const(2.0**-600, x), e.select(small, e.const(2.0**600, x), one))
        up = e.select(big, e.const(2.0**600, x), e.select(small, e.const(2.0**-600, x), one))
        ax, ay = mul_exact(e, ax, down), mul_exact(e, ay, down)
        r = mul_exact(e, e.sqrt(e.fma(ax, ax, mul_exact(e, ay, ay))), up)
    infinity = e.const(math.inf, x)
    some = e.or_(e.fcmp("oeq", e.fabs(x), infinity), e.fcmp("oeq", e.fabs(y), infinity))
    return e.select(some, infinity, r)


def cbrt(e: Emitter, x: Value) -> Value:
    """A third of the exponent, then Halley's iteration; the last step is exact enough for 0.7 ulp.

    The method of fdlibm's s_cbrt.c: the estimate is cut to half of the digits, so that its square is exact.
    """
    elem = x.elem
    a, zero = e.fabs(x), e.const(0.0, x)
    small = e.fcmp("olt", a, e.const(SMALLEST_NORMAL[elem], x))
    up = {"float": 24, "double": 54}[elem]
    # Cubes of numbers near the upper end would overflow, those near the lower end lose digits.
    large = e.fcmp("ogt", a, e.const(2.0 ** (4 * up), a))
    one = e.const(1.0, a)
    into = e.select(small, e.const(2.0**up, a), e.select(large, e.const(2.0**-up, a), one))
    back = e.select(small, e.const(2.0 ** -(up // 3), a), e.select(large, e.const(2.0 ** (up // 3), a), one))
    a = mul_exact(e, a, into)
    bits = to_bits(e, a)
    if elem == "double":
        words = e.convert("trunc", e.lshr(bits, e.const(32, bits)), "i32")
        estimate = e.convert("sitofp", words, "float")
        estimate = e.fma(estimate, e.const(1 / 3, estimate), e.const(715094163.0, estimate))
        words = e.convert("zext", e.convert("fptosi", estimate, "i32"), "i64")
        t = from_bits(e, e.shl(words, e.const(32, words)))
    else:
        estimate = e.convert("sitofp", bits, "float")
        estimate = e.fma(estimate, e.const(1 / 3, estimate), e.const(709958130.0, estimate))
        t = from_bits(e, e.convert("fptosi", estimate, "i32"))
    for _ in range(2 if elem == "double" else 1):
        cube = mul_exact(e, mul_exact(e, t, t), t)
        double = add_exact(e, cube, cube)
        step = e.fdiv(sub_exact(e, a, cube), add_exact(e, double, a))
        t = e.fma(t, step, t)
    bits = to_bits(e, t)
    t = from_bits(e, e.and_(bits, e.const({"float": -(1 << 12), "double": -(1 << 27)}[elem], bits)))
    quotient = e.fdiv(a, mul_exact(e, t, t))
    step = e.fdiv(sub_exact(e, quotient, t), add_exact(e, add_exact(e, t, t), quotient))
    y = e.copysign(mul_exact(e, e.fma(t, step, t), back), x)
    usual = e.and_(e.fcmp("olt", e.fabs(x), e.const(math.inf, x)), e.fcmp("one", x, zero))
    return e.select(usual, y, x)
