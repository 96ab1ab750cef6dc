"""Values of LLVM IR as text: their types, and literals."""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

BITS = {
    "i1": 1, "i8": 8, "i16": 16, "i32": 32, "i64": 64,
    "half": 16, "bfloat": 16, "float": 32, "double": 64, "ptr": 64,
}  # fmt: skip
FLOATS = frozenset({"half", "bfloat", "float", "double"})
_FLOAT, _DOUBLE, _BITS = struct.Struct("<f"), struct.Struct("<d"), struct.Struct("<Q")


@cache
def type_text(elem: str, lanes: int) -> str:
    """The LLVM type of `lanes` elements: a scalar for one, a vector for more."""
    return elem if lanes == 1 else f"<{lanes} x {elem}>"


class Value:
    """An SSA value or literal: its text, element type, number of lanes, and the level it lives at."""

    __slots__ = ("name", "elem", "lanes", "level")

    def __init__(self, name: str, elem: str, lanes: int, level: int) -> None:
        self.name = name
        self.elem = elem
        self.lanes = lanes
        self.level = level

    @property
    def type(self) -> str:
        return type_text(self.elem, self.lanes)

    @property
    def typed(self) -> str:
        return f"{type_text(self.elem, self.lanes)} {self.name}"

    def __repr__(self) -> str:
        return f"Value({self.typed}, level {self.level})"


def literal_text(value: Any, elem: str) -> str:
    """A number as the text of a literal of type `elem`."""
    if elem == "i1":
        return "true" if value else "false"
    if elem[0] == "i":
        bits = BITS[elem]
        value = int(value) & ((1 << bits) - 1)
        return str(value - (1 << bits) if value >> (bits - 1) else value)
    if elem == "half":
        return f"0xH{int(np.float16(value).view(np.uint16)):04X}"
    if elem == "bfloat":
        import ml_dtypes

        return f"0xR{int(np.asarray(value, ml_dtypes.bfloat16).view(np.uint16)):04X}"
    if elem == "float":
        try:
            (value,) = _FLOAT.unpack(_FLOAT.pack(value))
        except OverflowError:
            value = math.copysign(math.inf, value)
    # Both types are written as the bits of a double.
    return f"0x{_BITS.unpack(_DOUBLE.pack(value))[0]:016X}"


def vector_literal(values: Sequence[Any], elem: str) -> str:
    """The text of a constant vector."""
    return "<" + ", ".join([f"{elem} {literal_text(v, elem)}" for v in values]) + ">"


def constant(value: Any, elem: str, lanes: int = 1) -> Value:
    """A literal, the same in all lanes."""
    # Zeros and other types of numbers may be equal without being the same.
    if type(value) in (int, float) and value:
        return _known_constant(value, elem, lanes)
    return _constant(value, elem, lanes)


def _constant(value: Any, elem: str, lanes: int) -> Value:
    text = literal_text(value, elem)
    return Value(text if lanes == 1 else f"splat ({elem} {text})", elem, lanes, 0)


_known_constant = lru_cache(maxsize=4096, typed=True)(_constant)


ONES, MINUS_ONES = (
    frozenset(constant(one, elem, lanes).name for elem in ("float", "double") for lanes in (1, 2))
    for one in (1.0, -1.0)
)
"""The number one in one lane and in several, and its negative."""
TRUE, FALSE = (frozenset(constant(truth, "i1", lanes).name for lanes in (1, 2)) for truth in (True, False))
"""Conditions that hold in all lanes, and in none."""


_ORDERS = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt,
    "ge": operator.ge,
}  # fmt: skip


def _number(x: Value, unsigned: bool = False) -> float | int | None:
    """The number that a literal has in all lanes; None for what is computed, differs or is in a half type."""
    text = x.name
    if text.startswith("splat"):
        text = text[:-1].rsplit(" ", 1)[-1]
    if x.elem in ("float", "double"):
        if len(text) != 18 or not text.startswith("0x"):
            return None
        return float(_DOUBLE.unpack(_BITS.pack(int(text, 16)))[0])
    if x.elem == "i1":
        return {"true": 1, "false": 0}.get(text)
    if x.elem[0] != "i" or not text.lstrip("-").isdigit():
        return None
    return int(text) & ((1 << BITS[x.elem]) - 1) if unsigned else int(text)


def negative(x: Value) -> Value | None:
    """The negative of a number that is known."""
    number = _number(x)
    return None if number is None else constant(-number, x.elem, x.lanes)


def compared(predicate: str, x: Value, y: Value) -> Value | None:
    """How two numbers compare that are known (`olt`, `une`, `slt`, ...)."""
    kind, order = predicate[:-2], _ORDERS.get(predicate[-2:])
    floating = x.elem in FLOATS
    unsigned = kind == "u" and not floating
    a, b = _number(x, unsigned), _number(y, unsigned)
    if a is None or b is None or order is None or (x.elem == "i1" and kind):
        return None
    holds = kind == "u" if floating and (a != a or b != b) else order(a, b)
    return constant(holds, "i1", x.lanes)


@lru_cache(maxsize=1024)
def shuffle_mask(lanes: tuple[int, ...]) -> str:
    """The mask of a shuffle."""
    return ", ".join([f"i32 {k}" for k in lanes])


_SUFFIX = {"float": "f32", "double": "f64", "half": "f16", "bfloat": "bf16"}


@cache
def mangle(elem: str, lanes: int) -> str:
    """The suffix of an overloaded intrinsic: `f32`, `v8f32`, `i64`."""
    name = _SUFFIX.get(elem, elem)
    return name if lanes == 1 else f"v{lanes}{name}"
