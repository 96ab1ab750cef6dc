"""Integers: division that never traps, powers, shifts, counting bits; rounding; neighbours; threefry."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..ir import Emitter, Value
from . import scalars
from .base import (
    MAGIC,
    MANTISSA,
    WIDTH,
    add_exact,
    literal,
    rarely,
    sub_exact,
)


def _quotient(e: Emitter, x: Value, y: Value, signed: bool) -> Value:
    """The truncated quotient where y != 0 (anything elsewhere); min / -1 is min.

    Up to 32 bits, the quotient of doubles is exact when truncated: it is off an integer by 1/|y| at least.
    """
    if x.elem != "i64":
        xd, yd = (e.convert("sitofp" if signed else "uitofp", v, "double") for v in (x, y))
        q = e.ftrunc(e.fdiv(xd, yd))
        bits = e.bitcast(add_exact(e, q, e.const(MAGIC["double"] if signed else 2.0**52, q)), "i64")
        return e.convert("trunc", bits, x.elem)
    # Scalars one by one: there is no vector instruction. 1 replaces divisors that would trap.
    one = e.const(1, y)
    wrong = e.icmp("eq", y, e.const(0, y))
    if signed:
        overflow = e.and_(
            e.icmp("eq", y, e.const(-1, y)), e.icmp("eq", x, e.const(-(1 << (WIDTH[x.elem] - 1)), x))
        )
        wrong = e.or_(wrong, overflow)
    return e.binary("sdiv" if signed else "udiv", x, e.select(wrong, one, y))


def divide(e: Emitter, x: Value, y: Value, signed: bool) -> Value:
    """x / y truncated towards zero; x / 0 has all bits set, min / -1 is min."""
    x, y = e.match(x, y)
    d = literal(y)
    if d is not None and d > 0 and (signed or d < 1 << (WIDTH[y.elem] - 1)):
        return e.binary("sdiv" if signed else "udiv", x, y)
    return e.select(e.icmp("eq", y, e.const(0, y)), e.const(-1, x), _quotient(e, x, y, signed))


def remainder(e: Emitter, x: Value, y: Value, signed: bool) -> Value:
    """x - y * (x / y), of x's sign; x for y = 0."""
    x, y = e.match(x, y)
    d = literal(y)
    if d is not None and d > 0:
        return e.binary("srem" if signed else "urem", x, y)
    r = e.sub(x, e.mul(_quotient(e, x, y, signed), y))
    return e.select(e.icmp("eq", y, e.const(0, y)), x, r)


def fmod(e: Emitter, x: Value, y: Value) -> Value:
    """The exact remainder of floats, of x's sign.

    The quotient's integer part q is at most one too large when it is small enough to be exact, and then x -
    q y is exact. Large quotients, which take a long division, go to the C library's function.
    """
    x, y = e.match(x, y)
    a, b = e.fabs(x), e.fabs(y)
    q = e.ftrunc(e.fdiv(a, b))
    r = e.fma(e.fneg(q), b, a)
    r = e.select(e.fcmp("olt", r, e.const(0.0, r)), add_exact(e, r, b), r)
    r = e.select(e.fcmp("olt", a, b), a, r)  # also for an infinite divisor
    r = e.copysign(r, x)
    large = e.fcmp("oge", q, e.const(2.0 ** MANTISSA[x.elem], q))
    return rarely(e, large, [r], scalars.FMOD[x.elem], [x, y])[0]


def power(e: Emitter, x: Value, y: Value, signed: bool) -> Value:
    """x^y by repeated squaring, modulo 2^bits; for a negative exponent the truncated inverse (-1 for 0)."""
    lanes = max(x.lanes, y.lanes)
    x, y = e.splat(x, lanes), e.splat(y, lanes)
    one, zero, ones = e.const(1, x), e.const(0, y), e.const(-1, x)
    count = e.call("llvm.smax", y.elem, y, zero) if signed else y
    loop, done = e.fresh("power"), e.fresh("end")
    before = e.scope.label
    names = ["%" + e.fresh() for _ in range(3)]
    e.line(f"br label %{loop}")
    e.label(loop)
    p, b, n = (
        e.here(f"phi {v.type} [{v.name}, %{before}], [{after}, %{loop}]", v.elem, lanes)
        for v, after in ((one, names[0]), (x, names[1]), (count, names[2]))
    )
    bit = e.here(f"and {n.typed}, {e.const(1, n).name}", n.elem, lanes)
    set_ = e.here(f"icmp ne {bit.typed}, {zero.name}", "i1", lanes)
    product = e.here(f"mul {p.typed}, {b.name}", p.elem, lanes)
    e.line(f"{names[0]} = select {set_.typed}, {product.typed}, {p.typed}")
    e.line(f"{names[1]} = mul {b.typed}, {b.name}")
    e.line(f"{names[2]} = lshr {n.typed}, {e.const(1, n).name}")
    more = e.here(f"icmp ne {n.type} {names[2]}, {zero.name}", "i1", lanes)
    if lanes > 1:
        name = f"llvm.vector.reduce.or.v{lanes}i1"
        e.module.declare(name, "i1", [more.type])
        more = e.here(f"call i1 @{name}({more.typed})", "i1", 1)
    e.line(f"br i1 {more.name}, label %{loop}, label %{done}")
    e.label(done)
    result = e.here(f"phi {p.type} [{names[0]}, %{loop}]", p.elem, lanes)
    if not signed:
        return result
    odd = e.icmp("ne", e.and_(y, e.const(1, y)), zero)
    inverse = e.select(e.icmp("eq", x, e.const(0, x)), ones, e.const(0, x))
    inverse = e.select(e.icmp("eq", x, ones), e.select(odd, ones, one), inverse)
    inverse = e.select(e.icmp("eq", x, one), one, inverse)
    return e.select(e.icmp("slt", y, zero), inverse, result)


# Bits ---------------------------------------------------------------------------------------------


def _shift(op: Callable[[Emitter, Value, Value], Value]) -> Callable[[Emitter, Value, Value], Value]:
    def shift(e: Emitter, x: Value, y: Value) -> Value:
        x, y = e.match(x, y)
        width, count = WIDTH[x.elem], literal(y)
        if count is not None and 0 <= count < width:
            return op(e, x, y)
        inside = e.icmp("ult", y, e.const(width, y))
        zero = e.const(0, x)
        return e.select(inside, op(e, x, e.select(inside, y, zero)), zero)

    return shift


shift_left = _shift(lambda e, x, y: e.shl(x, y))
shift_right_logical = _shift(lambda e, x, y: e.lshr(x, y))


def shift_right_arithmetic(e: Emitter, x: Value, y: Value) -> Value:
    """Amounts of the width or more give the sign everywhere."""
    x, y = e.match(x, y)
    count, last = literal(y), WIDTH[x.elem] - 1
    if count is None or not 0 <= count <= last:
        y = e.select(e.icmp("ult", y, e.const(last, y)), y, e.const(last, y))
    return e.ashr(x, y)


def population_count(e: Emitter, x: Value) -> Value:
    return e.call("llvm.ctpop", x.elem, x)


def clz(e: Emitter, x: Value) -> Value:
    name = f"llvm.ctlz.{f'v{x.lanes}' if x.lanes > 1 else ''}{x.elem}"
    e.module.declare(name, x.type, [x.type, "i1"])
    return e.pure(f"call {x.type} @{name}({x.typed}, i1 false)", x.elem, x.lanes, x.level)


# Floats -------------------------------------------------------------------------------------------


def round_away(e: Emitter, x: Value) -> Value:
    """The nearest integer, halves away from zero."""
    a = e.fabs(x)
    below = e.floor(a)
    up = e.fcmp("oge", sub_exact(e, a, below), e.const(0.5, a))
    return e.copysign(e.select(up, add_exact(e, below, e.const(1.0, a)), below), x)


def sign(e: Emitter, x: Value) -> Value:
    """-1, 0, 1, NaN."""
    zero = e.const(0.0, x)
    y = e.select(e.fcmp("ogt", x, zero), e.const(1.0, x), x)
    y = e.select(e.fcmp("olt", x, zero), e.const(-1.0, x), y)
    return e.select(e.fcmp("oeq", x, zero), zero, y)


def next_bits(e: Emitter, bits: Value, target: Value) -> Value:
    """The neighbour of a float towards another, both as the integers of their bits (NaN excluded)."""
    zero, one = e.const(0, bits), e.const(1, bits)
    lowest = e.const(-(1 << (WIDTH[bits.elem] - 1)), bits)

    def ordered(v: Value) -> Value:  # integers in the order of the floats; both zeros are 0
        return e.select(e.icmp("slt", v, zero), e.sub(lowest, v), v)

    here, there = ordered(bits), ordered(target)
    moved = e.select(e.icmp("slt", here, there), e.add(here, one), e.sub(here, one))
    back = e.select(e.icmp("slt", moved, zero), e.sub(lowest, moved), moved)
    # From 1 down to zero keeps the sign, which the order has lost: -1 up is -0.
    gone = e.and_(e.icmp("eq", moved, zero), e.icmp("slt", bits, zero))
    back = e.select(gone, lowest, back)
    return e.select(e.icmp("eq", here, there), target, back)


def drop_bits(e: Emitter, bits: Value, dropped: int) -> Value:
    """A float's bits with the last ones rounded away, ties to even."""
    last = e.and_(e.lshr(bits, e.const(dropped, bits)), e.const(1, bits))
    bits = e.add(bits, e.add(last, e.const((1 << (dropped - 1)) - 1, bits)))
    return e.and_(bits, e.const(-(1 << dropped), bits))


def limit_exponent(e: Emitter, x: Value, exponent_bits: int) -> Value:
    """Infinity and zero for numbers that are no normal ones with so few bits of exponent."""
    bias = 2 ** (exponent_bits - 1) - 1
    size = e.fabs(x)
    top = e.fcmp("oge", size, e.const(2.0 ** (bias + 1), x))
    x = e.select(top, e.copysign(e.const(math.inf, x), x), x)
    bottom = e.fcmp("olt", size, e.const(2.0 ** (1 - bias), x))
    return e.select(bottom, e.copysign(e.const(0.0, x), x), x)


# Random bits --------------------------------------------------------------------------------------

_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)


def threefry2x32(e: Emitter, k0: Value, k1: Value, x0: Value, x1: Value) -> list[Value]:
    """Twenty rounds of Threefry-2x32.

    J. Salmon and others, "Parallel random numbers: as easy as 1, 2, 3", 2011.
    """
    keys = (k0, k1, e.xor(e.xor(k0, k1), e.const(0x1BD11BDA, k0)))
    x0, x1 = e.match(e.add(x0, k0), e.add(x1, k1))
    name = f"llvm.fshl.{f'v{x0.lanes}' if x0.lanes > 1 else ''}i32"
    e.module.declare(name, x0.type, [x0.type] * 3)
    for group in range(1, 6):
        for r in _ROTATIONS[:4] if group & 1 else _ROTATIONS[4:]:
            x0 = e.add(x0, x1)
            turned = e.pure(
                f"call {x1.type} @{name}({x1.typed}, {x1.typed}, {e.const(r, x1).typed})",
                "i32",
                x1.lanes,
                x1.level,
            )
            x1 = e.xor(turned, x0)
        x0 = e.add(x0, keys[group % 3])
        second = keys[(group + 1) % 3]
        x1 = e.add(x1, e.add(second, e.const(group, second)))
    return [x0, x1]
