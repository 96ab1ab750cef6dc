"""Vectors whose length is no power of two, from one basic block to another.

Within a block LLVM handles a vector of ten numbers as one of sixteen. Between blocks (sums that a loop
carries, what was moved out of a loop) it passes ten scalars, and taking vectors apart and putting them
together again costs more than the loops do. So what crosses the border of a block is made longer before, and
shortened where it is used, neither of which takes an instruction.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

_ELEMENTS = frozenset({"i8", "i16", "i32", "i64", "float", "double"})
_VECTOR = re.compile(r"<(\d+) x (\w+)>")
_ODD = re.compile(r"<(?!(?:2|4|8|16|32|64|128) x )\d+ x \w+>")
_NAME = re.compile(r"%[\w.]+")
_INCOMING = re.compile(r"\[(.+?), (%[\w.]+)\](?=, \[|$)")
# Instructions whose result has the type that stands first in them.
_FIRST = frozenset({
    "fadd", "fsub", "fmul", "fdiv", "frem", "fneg", "add", "sub", "mul", "shl", "lshr", "ashr", "and", "or",
    "xor", "udiv", "sdiv", "urem", "srem", "load", "call", "phi", "insertelement",
})  # fmt: skip
_CONVERSIONS = frozenset({
    "fptosi", "fptoui", "sitofp", "uitofp", "zext", "sext", "trunc", "fpext", "fptrunc", "bitcast",
})  # fmt: skip

Type = tuple[int, str]


def lengthened(text: str) -> str:
    """A function in which vectors that other blocks read have a power of two as their length."""
    if " phi " not in text:
        return text
    types = _results(text)
    if not types:
        return text
    lines = text.split("\n")
    crossing = _crossing(lines, types)
    return "\n".join(_rewritten(lines, crossing)) if crossing else text


def _results(text: str) -> dict[str, Type]:
    """The results of an odd length."""
    types: dict[str, Type] = {}
    end = 0
    while match := _ODD.search(text, end):
        first, end = text.rfind("\n", 0, match.start()) + 1, text.find("\n", match.end())
        if end < 0:
            end = len(text)
        name, sign, rest = text[first:end].partition(" = ")
        if not sign or name[0] != "%":
            continue
        operation = rest.partition(" ")[0]
        if operation in _FIRST:
            typed = _VECTOR.match(rest, len(operation) + 1)
            if typed is None:
                continue
            count, elem = typed.groups()
        elif operation in _CONVERSIONS:
            count, elem = _VECTOR.findall(rest)[-1]
        elif operation == "shufflevector":
            found = _VECTOR.findall(rest)
            (_, elem), (count, _) = found[0], found[-1]
        elif operation == "select":
            found = _VECTOR.findall(rest)
            count, elem = found[1] if len(found) > 1 else found[0]
        else:
            continue
        length = int(count)
        if length & (length - 1) and elem in _ELEMENTS:
            types[name] = length, elem
    return types


def _crossing(lines: Sequence[str], types: dict[str, Type]) -> dict[str, Type]:
    """Those of the results that are read in another block than that in which they are made."""
    here: set[str] = set()
    crossing: dict[str, Type] = {}
    mentions = _mentioning(types)
    for line in lines:
        if line.endswith(":"):
            here = set()
            continue
        if not mentions(line):
            continue
        name, sign, rest = line.partition(" = ")
        phi = rest.startswith("phi ")
        for used in _NAME.findall(rest if sign else line):
            if used in types and (phi or used not in here):
                crossing[used] = types[used]
        if sign and name in types:
            if phi:
                crossing[name] = types[name]
            else:
                here.add(name)
    return crossing


def _mentioning(types: dict[str, Type]) -> Callable[[str], Any]:
    """Whether a line has one of the lengths: whoever makes or uses a vector says how long it is."""
    return re.compile("|".join({f"<{length} x " for length, _ in types.values()})).search


def _rewritten(lines: Sequence[str], crossing: dict[str, Type]) -> list[str]:
    result: list[str] = []
    here: dict[str, str] = {}  # by what name a vector is known in the block
    count = 0
    mentions = _mentioning(crossing)

    def short(match: re.Match[str]) -> str:
        nonlocal count
        name = match.group()
        if name not in crossing:
            return name
        if name not in here:
            count += 1
            here[name] = f"{name}.{count}"
            length, elem = crossing[name]
            result.append(_moved(here[name], f"{name}.w", elem, _power(length), length))
        return here[name]

    for line in lines:
        if line.endswith(":"):
            here = {}
            result.append(line)
            continue
        if not mentions(line):
            result.append(line)
            continue
        name, sign, rest = line.partition(" = ")
        if not sign:
            result.append(_NAME.sub(short, line))
            continue
        if rest.startswith("phi "):
            result.append(_phi(name, rest, *crossing[name]) if name in crossing else line)
            continue
        rest = _NAME.sub(short, rest)
        result.append(f"{name} = {rest}")
        if name in crossing:
            here[name] = name
            length, elem = crossing[name]
            result.append(_moved(f"{name}.w", name, elem, length, _power(length)))
    return result


def _phi(name: str, rest: str, length: int, elem: str) -> str:
    def value(text: str) -> str:
        if text[0] == "%":
            return f"{text}.w"
        if text[0] == "<":
            return text[:-1] + f", {elem} poison" * (_power(length) - length) + ">"
        return text  # the same in all lanes

    incoming = ", ".join([f"[{value(v)}, {label}]" for v, label in _INCOMING.findall(rest)])
    return f"{name}.w = phi {_wide(length, elem)} {incoming}"


def _power(length: int) -> int:
    return 1 << length.bit_length()


def _wide(length: int, elem: str) -> str:
    return f"<{_power(length)} x {elem}>"


def _moved(name: str, source: str, elem: str, length: int, to: int) -> str:
    """The first lanes of a vector of another length."""
    kind = f"<{length} x {elem}>"
    return f"{name} = shufflevector {kind} {source}, {kind} poison, <{to} x i32> <{_first(length, to)}>"


@cache
def _first(length: int, to: int) -> str:
    """The mask of a shuffle of a vector to another length."""
    return ", ".join([f"i32 {k}" if k < length else "i32 poison" for k in range(to)])


__all__ = ["lengthened"]
