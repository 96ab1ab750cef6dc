"""Arithmetic of complex numbers, as pairs (real, imaginary), with the specification's order of operations."""

from __future__ import annotations

import math

from ..ir import Emitter, Value
from .base import add_exact, mul_exact, sub_exact
from .power import hypot

Pair = tuple[Value, Value]


def add(e: Emitter, x: Pair, y: Pair) -> Pair:
    return add_exact(e, x[0], y[0]), add_exact(e, x[1], y[1])


def sub(e: Emitter, x: Pair, y: Pair) -> Pair:
    return sub_exact(e, x[0], y[0]), sub_exact(e, x[1], y[1])


def neg(e: Emitter, x: Pair) -> Pair:
    return e.fneg(x[0]), e.fneg(x[1])


def mul(e: Emitter, x: Pair, y: Pair) -> Pair:
    """Without fma, so that z * conj(z) is real."""
    (a, b), (c, d) = x, y
    return (
        sub_exact(e, mul_exact(e, a, c), mul_exact(e, b, d)),
        add_exact(e, mul_exact(e, a, d), mul_exact(e, b, c)),
    )


def scaled(e: Emitter, x: Pair, factor: Value) -> Pair:
    return mul_exact(e, x[0], factor), mul_exact(e, x[1], factor)


def div(e: Emitter, x: Pair, y: Pair) -> Pair:
    """R. L. Smith's algorithm, "Algorithm 116: Complex division", 1962, with one division in each branch."""
    (a, b), (c, d) = x, y
    swapped = e.fcmp("ult", e.fabs(c), e.fabs(d))
    large, little = e.select(swapped, d, c), e.select(swapped, c, d)
    ratio = e.fdiv(little, large)
    factor = e.fdiv(e.const(1.0, large), add_exact(e, large, mul_exact(e, little, ratio)))
    ar, br = mul_exact(e, a, ratio), mul_exact(e, b, ratio)
    a, b = e.splat(a, ar.lanes), e.splat(b, ar.lanes)
    real = e.select(swapped, add_exact(e, ar, b), add_exact(e, a, br))
    imag = e.select(swapped, sub_exact(e, br, a), sub_exact(e, b, ar))
    real, imag = mul_exact(e, real, factor), mul_exact(e, imag, factor)
    zero = e.const(0.0, c)
    nothing = e.and_(e.fcmp("oeq", c, zero), e.fcmp("oeq", d, zero))
    by = e.fabs(c)
    return e.select(nothing, e.fdiv(a, by), real), e.select(nothing, e.fdiv(b, by), imag)


def absolute(e: Emitter, x: Pair) -> Value:
    return hypot(e, *x)


def equal(e: Emitter, x: Pair, y: Pair) -> Value:
    return e.and_(e.fcmp("oeq", x[0], y[0]), e.fcmp("oeq", x[1], y[1]))


def less(e: Emitter, x: Pair, y: Pair, predicate: str = "olt") -> Value:
    """By the real parts, then by the imaginary ones; false with NaN (`olt`, `ole`, `ogt` or `oge`)."""
    strict = predicate[:2] + "t"
    by_real = e.and_(e.fcmp(strict, x[0], y[0]), e.fcmp("ord", x[1], y[1]))
    tie = e.and_(e.fcmp("oeq", x[0], y[0]), e.fcmp(predicate, x[1], y[1]))
    return e.or_(by_real, tie)


def select(e: Emitter, condition: Value, x: Pair, y: Pair) -> Pair:
    return e.select(condition, x[0], y[0]), e.select(condition, x[1], y[1])


def extreme(e: Emitter, x: Pair, y: Pair, predicate: str) -> Pair:
    """The larger (`oge`) or smaller (`ole`) one; the first one that has a NaN if there is one."""
    chosen = e.or_(less(e, x, y, predicate), e.fcmp("uno", x[0], x[1]))
    return select(e, chosen, x, y)


def sign(e: Emitter, x: Pair) -> Pair:
    """x / |x|; 0 for 0."""
    size = absolute(e, x)
    infinite = e.fcmp("oeq", size, e.const(math.inf, size))
    zero = e.const(0.0, size)
    ends = [
        e.select(e.fcmp("oeq", e.fabs(v), e.const(math.inf, v)), e.copysign(e.const(1.0, v), v), zero)
        for v in x
    ]
    both = e.fcmp("oeq", e.fabs(x[0]), e.fabs(x[1]))
    nan = e.const(math.nan, size)
    ends = [e.select(both, nan, v) for v in ends]
    parts = [e.select(infinite, t, e.fdiv(v, size)) for v, t in zip(x, ends, strict=True)]
    nothing = e.fcmp("oeq", size, zero)
    return e.select(nothing, zero, parts[0]), e.select(nothing, zero, parts[1])
