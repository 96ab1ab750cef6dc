"""sinh, cosh, tanh, asinh, acosh, atanh."""

from __future__ import annotations

import math

from ..ir import Emitter, Value
from . import coefficients as c
from .base import add_exact, at_most, poly, sub_exact
from .exponential import exp, exp_moderate, log1p

_SINH = {"float": c.SINH_32, "double": c.SINH_64}
_TANH = {"float": c.TANH_32, "double": c.TANH_64}


def _odd(e: Emitter, x: Value, coefficients: tuple[float, ...]) -> Value:
    u = e.binary("fmul", x, x)
    return e.fma(e.binary("fmul", x, u), poly(e, u, coefficients), x)


def sinh(e: Emitter, x: Value) -> Value:
    """A polynomial below 1, (exp(|x|) - exp(-|x|)) / 2 above."""
    a = e.fabs(x)
    half = exp(e, a, 1)
    far = sub_exact(e, half, e.fdiv(e.const(0.25, x), half))
    near = _odd(e, a, _SINH[x.elem])
    return e.copysign(e.select(e.fcmp("olt", a, e.const(1.0, x)), near, far), x)


def cosh(e: Emitter, x: Value) -> Value:
    half = exp(e, e.fabs(x), 1)
    return add_exact(e, half, e.fdiv(e.const(0.25, x), half))


def tanh(e: Emitter, x: Value) -> Value:
    """A polynomial below 0.625, 1 - 2 / (exp(2 |x|) + 1) above."""
    a, one = e.fabs(x), e.const(1.0, x)
    twice = at_most(e, add_exact(e, a, a), 44.0)
    t = add_exact(e, exp_moderate(e, twice), one)
    far = sub_exact(e, one, e.fdiv(e.const(2.0, x), t))
    near = _odd(e, a, _TANH[x.elem])
    return e.copysign(e.select(e.fcmp("olt", a, e.const(0.625, x)), near, far), x)


def asinh(e: Emitter, x: Value) -> Value:
    """log1p(a + a^2 / (1 + sqrt(1 + a^2))) for a = |x|; for large a, log(a) + log 2."""
    a, one = e.fabs(x), e.const(1.0, x)
    large = e.fcmp("ogt", a, e.const({"float": 2.0**14, "double": 2.0**29}[x.elem], x))
    square = e.binary("fmul", a, a)
    root = e.sqrt(add_exact(e, square, one))
    inner = add_exact(e, a, e.fdiv(square, add_exact(e, root, one)))
    y = log1p(e, e.select(large, sub_exact(e, a, one), inner))
    return e.copysign(e.select(large, add_exact(e, y, e.const(math.log(2), x)), y), x)


def acosh(e: Emitter, x: Value) -> Value:
    """log1p(t + sqrt(2 t + t^2)) for t = x - 1; for large x, log(x) + log 2."""
    large = e.fcmp("ogt", x, e.const({"float": 2.0**14, "double": 2.0**29}[x.elem], x))
    t = sub_exact(e, x, e.const(1.0, x))
    root = e.sqrt(e.fma(t, t, add_exact(e, t, t)))
    y = log1p(e, e.select(large, t, add_exact(e, t, root)))
    y = e.select(large, add_exact(e, y, e.const(math.log(2), x)), y)
    return e.select(e.fcmp("olt", x, e.const(1.0, x)), e.const(math.nan, x), y)


def atanh(e: Emitter, x: Value) -> Value:
    """log1p(2 a / (1 - a)) / 2 for a = |x|."""
    a = e.fabs(x)
    y = log1p(e, e.fdiv(add_exact(e, a, a), sub_exact(e, e.const(1.0, x), a)))
    return e.copysign(e.binary("fmul", y, e.const(0.5, x)), x)
