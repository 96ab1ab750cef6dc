"""Bounds of values, so that what cannot occur is not written: an exponential that overflows, say.

A bound holds unless the value is NaN; who leaves a case out has to see that NaN stays NaN. Bounds of integers
are those of their bits without a sign. Most values have none: finding out costs a look into an empty table.
"""

from __future__ import annotations

import math
import struct
from functools import lru_cache

from ..ir import Emitter, Value
from .base import WIDTH, literal, maximum, minimum

Bounds = tuple[float, float]
UNKNOWN: Bounds = (-math.inf, math.inf)
_BITS, _DOUBLE, _SINGLE = struct.Struct(">Q"), struct.Struct(">d"), struct.Struct(">f")


@lru_cache(maxsize=4096)
def _number(text: str) -> float | None:
    start = text.rfind("0x")
    if start < 0 or text[0] == "<":
        return None
    try:
        (value,) = _DOUBLE.unpack(_BITS.pack(int(text[start:].rstrip(")"), 16)))
    except ValueError:
        return None  # half precision has letters of its own
    return None if math.isnan(value) else float(value)


def number(x: Value) -> float | None:
    """The value of a literal, the same in all lanes; None for what is computed, and for NaN."""
    if x.name[0] == "%":
        return None
    return literal(x) if x.elem[0] == "i" else _number(x.name)


def of(e: Emitter, x: Value) -> Bounds:
    """What x lies between."""
    if x.name[0] == "%":
        return e.bounds.get(x.name, UNKNOWN)
    value = number(x)
    return UNKNOWN if value is None else (value, value)


def within(e: Emitter, x: Value, low: float, high: float) -> Value:
    """x, known to lie between two numbers."""
    if x.name[0] == "%":
        known = e.bounds.get(x.name)
        e.bounds[x.name] = (low, high) if known is None else (max(low, known[0]), min(high, known[1]))
    return x


def _outward(e: Emitter, x: Value, low: float, high: float) -> None:
    """Note bounds that were computed with rounding: of the exact result, and of the rounded one."""
    if math.isnan(low) or math.isnan(high) or (low == -math.inf and high == math.inf):
        return
    low = math.nextafter(low, -math.inf) if low else low
    high = math.nextafter(high, math.inf) if high else high
    if x.elem == "float":
        low, high = min(low, _single(low)), max(high, _single(high))
    within(e, x, low, high)


def _single(x: float) -> float:
    return float(_SINGLE.unpack(_SINGLE.pack(x))[0]) if abs(x) < 3.4e38 else math.copysign(math.inf, x)


def _product(x: Bounds, y: Bounds) -> Bounds:
    ends = [a * b if a and b else 0.0 for a in x for b in y]
    low, high = min(ends), max(ends)
    # Where a product underflows, only its sign is known.
    positive = (x[0] >= 0 and y[0] >= 0) or (x[1] <= 0 and y[1] <= 0)
    negative = (x[0] >= 0 and y[1] <= 0) or (x[1] <= 0 and y[0] >= 0)
    return low if low or positive else -math.ulp(0.0), high if high or negative else math.ulp(0.0)


def add(e: Emitter, result: Value, x: Value, y: Value, sign: int = 1) -> Value:
    """x + y, or x - y: the result, with its bounds noted."""
    if e.bounds:
        (a, b), (c, d) = of(e, x), of(e, y)
        if sign < 0:
            c, d = -d, -c
        _outward(e, result, a + c, b + d)
    return result


def sub(e: Emitter, result: Value, x: Value, y: Value) -> Value:
    return add(e, result, x, y, -1)


def mul(e: Emitter, result: Value, x: Value, y: Value) -> Value:
    """x * y. The root of a square is noted, too: `exponential.exp` of its negative asks for it."""
    if x.name == y.name:
        e.roots[result.name] = x
        return within(e, result, 0.0, math.inf)
    if e.bounds:
        known = of(e, x), of(e, y)
        if UNKNOWN not in known:
            _outward(e, result, *_product(*known))
    return result


def neg(e: Emitter, result: Value, x: Value) -> Value:
    low, high = of(e, x)
    if low != -math.inf or high != math.inf:
        within(e, result, -high, -low)
    return result


def whole(e: Emitter, name: str, result: Value, x: Value, y: Value) -> Value:
    """A sum, difference or product of integers: its bounds are noted if it cannot overflow."""
    (a, b), (c, d) = of(e, x), of(e, y)
    if name == "mul" and (a < 0 or c < 0):
        return result
    low, high = (a + c, b + d) if name == "add" else (a - d, b - c) if name == "sub" else (a * c, b * d)
    return within(e, result, low, high) if low >= 0 and high < _signs(result) else result


def _signs(x: Value) -> int:
    """The first integer whose sign bit is set."""
    return int(1 << (WIDTH[x.elem] - 1))


def compared(e: Emitter, name: str, x: Value, y: Value) -> bool | None:
    """What a comparison of integers is known to give."""
    (a, b), (c, d) = of(e, x), of(e, y)
    if min(a, c) < 0 or max(b, d) >= _signs(x):
        return None  # of unknown values, and of those whose sign matters
    if name in ("gt", "le"):
        a, b, c, d = c, d, a, b
    if name in ("eq", "ne"):
        known = True if a == b == c == d else False if b < c or d < a else None
    else:  # "lt", or "gt" with operands exchanged; "ge" and "le" are the opposite
        known = True if b < c else False if a >= d else None
    return known if known is None or name in ("eq", "lt", "gt") else not known


def inside(e: Emitter, x: Value, limit: int) -> bool:
    """Whether an integer is known to be in [0, limit]."""
    low, high = of(e, x)
    return low >= 0 and high <= limit < _signs(x)


def extreme(e: Emitter, x: Value, y: Value, larger: bool) -> Value:
    """The larger or the smaller one, NaN if one of them is; numbers that are written down are not."""
    order = "ogt" if larger else "olt"
    if number(x) is not None:
        result = e.select(e.fcmp(order, x, y), x, y)
    elif (limit := number(y)) is not None:
        if not limit:  # of two zeros the second one, as elsewhere
            order = "oge" if larger else "ole"
        result = e.select(e.fcmp(order, y, x), y, x)
    else:
        result = maximum(e, x, y) if larger else minimum(e, x, y)
    (a, b), (c, d) = of(e, x), of(e, y)
    return within(e, result, max(a, c), max(b, d)) if larger else within(e, result, min(a, c), min(b, d))


COMBINED = {"fadd": add, "fsub": sub, "fmul": mul}
