"""Transcendental functions of complex numbers, from those of real ones.

Branch cuts and the formulas of the inverse functions: W. Kahan, "Branch cuts for complex elementary
functions, or much ado about nothing's sign bit", 1987.
"""

from __future__ import annotations

import math

from ..ir import Emitter, Value
from . import exponential, hyperbolic, trigonometric
from .base import add_exact, fnma, mul_exact, narrow, sub_exact, widen
from .complex import Pair, add, div, less, mul, select, sub
from .power import hypot


def _product(e: Emitter, x: Value, y: Value) -> Value:
    """x * y, 0 where x is 0 even if y is infinite."""
    zero = e.fcmp("oeq", x, e.const(0.0, x))
    return mul_exact(e, x, e.select(zero, e.copysign(e.const(1.0, y), y), y))


def _one(e: Emitter, z: Pair) -> Pair:
    return e.const(1.0, z[0]), e.const(0.0, z[0])


def _wide(e: Emitter, z: Pair) -> Pair:
    return widen(e, z[0]), widen(e, z[1])


def _narrow(e: Emitter, z: Pair) -> Pair:
    return narrow(e, z[0]), narrow(e, z[1])


def sqrt(e: Emitter, z: Pair) -> Pair:
    a, b = z
    zero, infinity = e.const(0.0, a), e.const(math.inf, a)
    ax, ay = e.fabs(a), e.fabs(b)
    larger = e.select(e.fcmp("ogt", ax, ay), ax, ay)
    edge = {"float": (2.0**120, 2.0**-90), "double": (2.0**1016, 2.0**-960)}[a.elem]
    big, small = e.fcmp("ogt", larger, e.const(edge[0], a)), e.fcmp("olt", larger, e.const(edge[1], a))
    one = e.const(1.0, a)
    down = e.select(big, e.const(2.0**-8, a), e.select(small, e.const(2.0**108, a), one))
    up = e.select(big, e.const(2.0**4, a), e.select(small, e.const(2.0**-54, a), one))
    if a.elem == "float":
        down = e.select(small, e.const(2.0**60, a), down)
        up = e.select(small, e.const(2.0**-30, a), up)
    ax, ay = mul_exact(e, ax, down), mul_exact(e, ay, down)
    t = e.sqrt(mul_exact(e, add_exact(e, ax, hypot(e, ax, ay)), e.const(0.5, a)))
    other = mul_exact(e, e.fdiv(ay, add_exact(e, t, t)), up)
    t = mul_exact(e, t, up)
    left = e.fcmp("olt", a, zero)
    real, imag = e.select(left, other, t), e.select(left, t, other)
    nothing = e.fcmp("oeq", larger, zero)
    real, imag = e.select(nothing, zero, real), e.select(nothing, zero, imag)
    far = e.fcmp("oeq", e.fabs(a), infinity)
    rest = sub_exact(e, b, b)  # 0, or NaN
    real = e.select(far, e.select(left, e.fabs(rest), infinity), real)
    imag = e.select(far, e.select(left, infinity, rest), imag)
    high = e.fcmp("oeq", e.fabs(b), infinity)
    return e.select(high, infinity, real), e.copysign(e.select(high, infinity, imag), b)


def rsqrt(e: Emitter, z: Pair) -> Pair:
    return div(e, _one(e, z), sqrt(e, z))


def exp(e: Emitter, z: Pair) -> Pair:
    """exp(a) (cos b, sin b); half of exp(a) is used, which does not overflow where a result does not."""
    a, b = z
    half = exponential.exp(e, a, 1)
    zero = e.const(0.0, a)
    c, s = trigonometric.cos(e, b), trigonometric.sin(e, b)
    gone = e.fcmp("oeq", half, zero)
    wild = e.fcmp("uno", c, c)
    c, s = (e.select(e.and_(gone, wild), zero, v) for v in (c, s))
    real, imag = mul_exact(e, half, c), _product(e, s, half)
    endless = e.and_(e.fcmp("oeq", a, e.const(math.inf, a)), wild)
    real = e.select(endless, a, real)
    real = e.select(e.fcmp("oeq", b, zero), half, real)
    imag = e.select(e.fcmp("oeq", b, zero), b, imag)
    return add_exact(e, real, real), add_exact(e, imag, imag)


def _log_size(e: Emitter, a: Value, b: Value) -> Value:
    """log |a + ib|."""
    if a.elem == "float":
        wide, other = widen(e, a), widen(e, b)
        square = e.fma(wide, wide, mul_exact(e, other, other))
        # Next to 1 the logarithm of the rounded sum would be wrong in its last digits only.
        y = exponential.log(e, square)
        y = narrow(e, mul_exact(e, y, e.const(0.5, y)))
    else:
        ax, ay = e.fabs(a), e.fabs(b)
        swapped = e.fcmp("ogt", ay, ax)
        larger, less_ = e.select(swapped, ay, ax), e.select(swapped, ax, ay)
        size = hypot(e, a, b)
        one = e.const(1.0, a)
        excess = mul_exact(e, sub_exact(e, larger, one), add_exact(e, larger, one))
        excess = e.fma(less_, less_, excess)
        near = e.and_(e.fcmp("ogt", size, e.const(0.5, a)), e.fcmp("olt", size, e.const(2.0, a)))
        y = mul_exact(e, exponential.log1p(e, excess), e.const(0.5, a))
        y = e.select(near, y, exponential.log(e, size))
    infinity = e.const(math.inf, a)
    some = e.or_(e.fcmp("oeq", e.fabs(a), infinity), e.fcmp("oeq", e.fabs(b), infinity))
    return e.select(some, infinity, y)


def log(e: Emitter, z: Pair) -> Pair:
    return _log_size(e, *z), trigonometric.atan2(e, z[1], z[0])


def log1p(e: Emitter, z: Pair) -> Pair:
    """Near 0, log(|1 + z|) is log1p(a (2 + a) + b^2) / 2."""
    a, b = z
    one, half = e.const(1.0, a), e.const(0.5, a)
    u = add_exact(e, a, one)
    near = e.and_(e.fcmp("olt", e.fabs(a), half), e.fcmp("olt", e.fabs(b), half))
    inner = e.fma(a, add_exact(e, a, e.const(2.0, a)), mul_exact(e, b, b))
    real = e.select(near, mul_exact(e, exponential.log1p(e, inner), half), _log_size(e, u, b))
    return real, trigonometric.atan2(e, b, u)


def expm1(e: Emitter, z: Pair) -> Pair:
    a, b = z
    s = trigonometric.sin(e, mul_exact(e, b, e.const(0.5, b)))
    real = mul_exact(e, exponential.expm1(e, a), trigonometric.cos(e, b))
    twice = mul_exact(e, s, e.const(2.0, s))
    return fnma(e, twice, s, real), exp(e, z)[1]


def _times(e: Emitter, z: Pair, factor: float) -> Pair:
    c = e.const(factor, z[0])
    return mul_exact(e, z[0], c), mul_exact(e, z[1], c)


def exp2(e: Emitter, z: Pair) -> Pair:
    return exp(e, _times(e, z, math.log(2)))


def log2(e: Emitter, z: Pair) -> Pair:
    return _times(e, log(e, z), 1 / math.log(2))


def log10(e: Emitter, z: Pair) -> Pair:
    return _times(e, log(e, z), 1 / math.log(10))


def logistic(e: Emitter, z: Pair) -> Pair:
    one = _one(e, z)
    return div(e, one, add(e, one, exp(e, (e.fneg(z[0]), e.fneg(z[1])))))


def logaddexp(e: Emitter, x: Pair, y: Pair) -> Pair:
    first = e.or_(less(e, x, y, "oge"), e.fcmp("uno", x[0], x[1]))
    larger, smaller = select(e, first, x, y), select(e, first, y, x)
    zero = e.const(0.0, x[0])
    same = e.and_(e.fcmp("oeq", x[0], y[0]), e.fcmp("oeq", x[1], y[1]))
    difference = select(e, same, (zero, zero), sub(e, smaller, larger))
    return add(e, larger, log1p(e, exp(e, difference)))


# Trigonometric and hyperbolic functions -------------------------------------------------------------


def sin(e: Emitter, z: Pair) -> Pair:
    a, b = z
    return (
        _product(e, trigonometric.sin(e, a), hyperbolic.cosh(e, b)),
        _product(e, hyperbolic.sinh(e, b), trigonometric.cos(e, a)),
    )


def cos(e: Emitter, z: Pair) -> Pair:
    a, b = z
    return (
        mul_exact(e, trigonometric.cos(e, a), hyperbolic.cosh(e, b)),
        e.fneg(_product(e, trigonometric.sin(e, a), hyperbolic.sinh(e, b))),
    )


def sinh(e: Emitter, z: Pair) -> Pair:
    real, imag = sin(e, (z[1], z[0]))
    return imag, real


def cosh(e: Emitter, z: Pair) -> Pair:
    a, b = z
    return (
        mul_exact(e, hyperbolic.cosh(e, a), trigonometric.cos(e, b)),
        _product(e, trigonometric.sin(e, b), hyperbolic.sinh(e, a)),
    )


def tanh(e: Emitter, z: Pair) -> Pair:
    a, b = z
    one = e.const(1.0, a)
    t, s = trigonometric.tan(e, b), hyperbolic.sinh(e, a)
    beta = e.fma(t, t, one)
    rho = e.sqrt(e.fma(s, s, one))
    bottom = e.fma(mul_exact(e, beta, s), s, one)
    real = e.fdiv(mul_exact(e, mul_exact(e, beta, rho), s), bottom)
    imag = e.fdiv(t, bottom)
    size = e.fabs(a)
    large = e.fcmp("ogt", size, e.const({"float": 11.0, "double": 22.0}[a.elem], a))
    wave = trigonometric.sin(e, add_exact(e, b, b))
    wave = e.select(e.fcmp("uno", wave, wave), e.const(0.0, wave), wave)
    small = exponential.exp(e, mul_exact(e, size, e.const(-2.0, a)))
    tail = mul_exact(e, mul_exact(e, wave, e.const(2.0, a)), small)
    return e.select(large, e.copysign(one, a), real), e.select(large, tail, imag)


def tan(e: Emitter, z: Pair) -> Pair:
    real, imag = tanh(e, (e.fneg(z[1]), z[0]))
    return imag, e.fneg(real)


def _roots(e: Emitter, z: Pair) -> tuple[Pair, Pair]:
    """sqrt(1 - z) and sqrt(1 + z)."""
    one = e.const(1.0, z[0])
    return sqrt(e, (sub_exact(e, one, z[0]), e.fneg(z[1]))), sqrt(e, (add_exact(e, one, z[0]), z[1]))


def _cross(e: Emitter, x: Pair, y: Pair) -> Value:
    """The imaginary part of conj(x) y."""
    return sub_exact(e, mul_exact(e, x[0], y[1]), mul_exact(e, x[1], y[0]))


def asin(e: Emitter, z: Pair) -> Pair:
    minus, plus = _roots(e, z)
    bottom = sub_exact(e, mul_exact(e, minus[0], plus[0]), mul_exact(e, minus[1], plus[1]))
    return trigonometric.atan2(e, z[0], bottom), hyperbolic.asinh(e, _cross(e, minus, plus))


def acos(e: Emitter, z: Pair) -> Pair:
    minus, plus = _roots(e, z)
    half = trigonometric.atan2(e, minus[0], plus[0])
    return add_exact(e, half, half), hyperbolic.asinh(e, _cross(e, plus, minus))


def asinh(e: Emitter, z: Pair) -> Pair:
    real, imag = asin(e, (e.fneg(z[1]), z[0]))
    return imag, e.fneg(real)


def acosh(e: Emitter, z: Pair) -> Pair:
    one = e.const(1.0, z[0])
    minus, plus = sqrt(e, (sub_exact(e, z[0], one), z[1])), sqrt(e, (add_exact(e, z[0], one), z[1]))
    inner = add_exact(e, mul_exact(e, minus[0], plus[0]), mul_exact(e, minus[1], plus[1]))
    half = trigonometric.atan2(e, minus[1], plus[0])
    return hyperbolic.asinh(e, inner), add_exact(e, half, half)


def atanh(e: Emitter, z: Pair) -> Pair:
    """log((1 + z) / (1 - z)) / 2; far away its expansion, as squares would overflow."""
    a, b = z
    one = e.const(1.0, a)
    # The real part is odd in a; for positive a the logarithm's argument is away from -1.
    plus = e.fabs(a)
    left = sub_exact(e, one, plus)
    square = mul_exact(e, b, b)
    ratio = e.fdiv(mul_exact(e, plus, e.const(4.0, a)), e.fma(left, left, square))
    real = e.copysign(mul_exact(e, exponential.log1p(e, ratio), e.const(0.25, a)), a)
    width = sub_exact(e, mul_exact(e, left, add_exact(e, one, plus)), square)
    imag = mul_exact(e, trigonometric.atan2(e, add_exact(e, b, b), width), e.const(0.5, a))
    size = e.select(e.fcmp("ogt", e.fabs(a), e.fabs(b)), e.fabs(a), e.fabs(b))
    far = e.fcmp("ogt", size, e.const({"float": 2.0**30, "double": 2.0**60}[a.elem], a))
    inverse = div(e, _one(e, z), z)
    real = e.select(far, e.copysign(e.fabs(inverse[0]), a), real)
    return real, e.select(far, e.copysign(e.const(math.pi / 2, b), b), imag)


def atan(e: Emitter, z: Pair) -> Pair:
    real, imag = atanh(e, (e.fneg(z[1]), z[0]))
    return imag, e.fneg(real)


def atan2(e: Emitter, x: Pair, y: Pair) -> Pair:
    """-i log((y + ix) / sqrt(x^2 + y^2))."""
    top = sub_exact(e, y[0], x[1]), add_exact(e, y[1], x[0])
    real, imag = log(e, div(e, top, sqrt(e, add(e, mul(e, x, x), mul(e, y, y)))))
    return imag, e.fneg(real)


def pow(e: Emitter, x: Pair, y: Pair) -> Pair:
    """exp(y log x), single precision by way of double; 0^y is 0, and z^0 is 1."""
    if x[0].elem == "float":
        return _narrow(e, pow(e, _wide(e, x), _wide(e, y)))
    result = exp(e, mul(e, y, log(e, x)))
    zero, nan = e.const(0.0, x[0]), e.const(math.nan, x[0])
    nothing = e.and_(e.fcmp("oeq", x[0], zero), e.fcmp("oeq", x[1], zero))
    plain = e.and_(e.fcmp("ogt", y[0], zero), e.fcmp("oeq", y[1], zero))
    empty = e.select(plain, zero, nan)
    result = select(e, nothing, (empty, empty), result)
    none = e.and_(e.fcmp("oeq", y[0], zero), e.fcmp("oeq", y[1], zero))
    return select(e, none, _one(e, x), result)
