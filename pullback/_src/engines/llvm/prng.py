"""Lowerings of random keys and bits: threefry-2x32 as a function of an element's place.

Counters depend on the place alone, so random numbers are nodes like others, computed where they are needed.
In the historical layout a block makes two words that lie half an array apart: many are stored at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.program import Equation
from ...ops.prng import KEY
from .deferred import Iota, Map, Part, Remap, Results
from .index import ZERO, Index
from .ir import Emitter, Value
from .lower import Lowering, lowering
from .math.integer import threefry2x32
from .nodes import Accesses, Node, Position, View, row_major
from .storage import Element, components

Out = Sequence[View | None]

COST = 1.2  # ns of a block
FEW = 64  # words in the historical layout that are computed one by one
UINT32 = np.dtype(np.uint32)


def _block(e: Emitter, key: Sequence[Value], low: Value, high: Value) -> list[Value]:
    """The two words that a key makes of two others."""
    first, second = key
    return threefry2x32(e, first, second, low, high)


class Drawn(Node):
    """What keys make of the numbers 0, 1, ... n - 1, which run along the last dimensions."""

    __slots__ = ("keys", "count", "partitionable")

    def __init__(self, keys: Node, shape: tuple[int, ...], dtype: np.dtype[Any], partitionable: bool) -> None:
        super().__init__((*keys.shape, *shape), dtype)
        self.keys = keys
        self.count = math.prod(shape)
        self.partitionable = partitionable

    def _flat(self, at: Position) -> Index:
        rank = len(self.keys.shape)
        return ZERO.plus(at[rank:], row_major(self.shape[rank:]))

    def compute(self, e: Emitter, at: Position) -> Element:
        key = components(self.keys.element(e, at[: len(self.keys.shape)]))
        number = Iota((self.count,), UINT32, 0).compute(e, (self._flat(at),))
        assert isinstance(number, Value)
        return self.drawn(e, key, number)

    def drawn(self, e: Emitter, key: Sequence[Value], number: Value) -> Element:
        raise NotImplementedError

    def visit(self, at: Position, found: Accesses) -> None:
        if found.first(self, at):
            found.opaque = True
            found.cost += COST
            self.keys.visit(at[: len(self.keys.shape)], found)
            found.direct.append(self._flat(at))


def word(e: Emitter, key: Sequence[Value], number: Value, count: int) -> Value:
    """A word of `count` in the historical layout: the block of i and half + i makes words i and half + i.

    For an odd count, 0 stands for the last counter.
    """
    half = (count + 1) // 2
    first = e.icmp("ult", number, e.const(half, number))
    low = e.select(first, number, e.sub(number, e.const(half, number)))
    high = e.add(low, e.const(half, low))
    if count % 2:
        high = e.select(e.icmp("eq", low, e.const(half - 1, low)), e.const(0, high), high)
    return e.select(first, *_block(e, key, low, high))


class Bits(Drawn):
    """Random unsigned integers."""

    __slots__ = ()

    def drawn(self, e: Emitter, key: Sequence[Value], number: Value) -> Element:
        bits = 8 * self.dtype.itemsize
        if self.partitionable or bits == 64:
            if self.partitionable:
                high, low = _block(e, key, e.const(0, number), number)
            else:
                high, low = _block(e, key, number, e.add(number, e.const(self.count, number)))
            if bits == 64:
                wide = e.convert("zext", high, "i64")
                return e.or_(e.shl(wide, e.const(32, wide)), e.convert("zext", low, "i64"))
            mixed = e.xor(high, low)
            return mixed if bits == 32 else e.convert("trunc", mixed, f"i{bits}")
        if bits == 32:
            return word(e, key, number, self.count)
        # Narrow integers are cut from the words, lowest bits first.
        shift = {8: 2, 16: 1}[bits]
        source = word(e, key, e.lshr(number, e.const(shift, number)), -(-self.count * bits // 32))
        part = e.and_(number, e.const((1 << shift) - 1, number))
        return e.convert("trunc", e.lshr(source, e.mul(part, e.const(bits, part))), f"i{bits}")


class Split(Drawn):
    """New keys."""

    __slots__ = ()

    def drawn(self, e: Emitter, key: Sequence[Value], number: Value) -> Element:
        if self.partitionable:
            return tuple(_block(e, key, e.const(0, number), number))
        twice = e.add(number, number)
        after = e.add(twice, e.const(1, twice))
        return word(e, key, twice, 2 * self.count), word(e, key, after, 2 * self.count)


@lowering("random_bits")
def random_bits(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    (keys,) = operands
    aval, shape = eqn.outvars[0].aval, eqn.params["shape"]
    partitionable = eqn.params.get("partitionable", False)
    if math.prod(shape) >= 2**30:
        return None
    node = Bits(keys, shape, aval.dtype, partitionable)
    if partitionable or aval.dtype.itemsize != 4 or math.prod(shape) <= FEW:
        return [lw.computed(node)]
    return [_halves(lw, keys, shape, out[0])]


def _halves(lw: Lowering, keys: Node, shape: tuple[int, ...], out: View | None) -> View:
    """Words in the historical layout, two from each block."""
    count = math.prod(shape)
    half = (count + 1) // 2
    rank = len(keys.shape)
    # An odd count has one word more than is needed.
    memory = lw.result(Node((*keys.shape, 2 * half), UINT32), out if count % 2 == 0 else None)
    if out is memory:
        strides = (*[s * count for s in row_major(keys.shape)], 1)
        memory = out.with_layout((*keys.shape, count), strides)
    low = Iota((half,), UINT32, 0)

    def block(e: Emitter, types: Any, key: tuple[Value, ...], number: Value) -> list[Value]:
        high = e.add(number, e.const(half, number))
        if count % 2:
            high = e.select(e.icmp("eq", number, e.const(half - 1, number)), e.const(0, high), high)
        return _block(e, key, number, high)

    spread = Remap(keys, (*keys.shape, 1), lambda at: at[:rank])
    both = Results(block, [spread, low], (*keys.shape, half), UINT32, {}, COST)
    for part in range(2):
        place = memory.with_layout(both.shape, memory.strides, part * half)
        lw.store(place, Part(both, part, UINT32))
    strides = memory.strides[:rank] + row_major(shape)
    return memory.with_layout((*keys.shape, *shape), strides)


@lowering("random_split")
def random_split(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    (keys,) = operands
    shape = eqn.params["shape"]
    if math.prod(shape) >= 2**30:
        return None
    return [lw.computed(Split(keys, shape, keys.dtype, eqn.params.get("partitionable", False)))]


@lowering("random_fold_in")
def random_fold_in(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node]:
    aval = eqn.outvars[0].aval

    def fold(e: Emitter, types: Any, key: tuple[Value, ...], data: Value) -> Element:
        return tuple(_block(e, key, e.const(0, data), data))

    return [lw.computed(Map(fold, operands, aval.shape, aval.dtype, {}, COST))]


@lowering("random_seed")
def random_seed(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node]:
    (seeds,) = operands
    signed = seeds.dtype.kind == "i"

    def words(e: Emitter, types: Any, x: Value) -> Element:
        if x.elem == "i64":
            return (
                e.convert("trunc", e.lshr(x, e.const(32, x)), "i32"),
                e.convert("trunc", x, "i32"),
            )
        # A 32-bit seed has no high half, whatever its sign.
        low = x if x.elem == "i32" else e.convert("sext" if signed else "zext", x, "i32")
        return e.const(0, low), low

    return [lw.computed(Map(words, operands, seeds.shape, KEY, {}, 0.05))]


class Wrapped(Node):
    """Keys from the pairs of words along the last dimension."""

    __slots__ = ("words",)

    def __init__(self, words: Node) -> None:
        super().__init__(words.shape[:-1], KEY)
        self.words = words

    def compute(self, e: Emitter, at: Position) -> Element:
        return tuple([components(self.words.element(e, (*at, Index.of(k))))[0] for k in range(2)])

    def visit(self, at: Position, found: Accesses) -> None:
        found.opaque = True
        for k in range(2):
            self.words.visit((*at, Index.of(k)), found)


class Unwrapped(Node):
    """The words of keys, along a new last dimension."""

    __slots__ = ("keys",)

    def __init__(self, keys: Node) -> None:
        super().__init__((*keys.shape, 2), UINT32)
        self.keys = keys

    def compute(self, e: Emitter, at: Position) -> Element:
        low, high = components(self.keys.element(e, at[:-1]))
        which = at[-1]
        if which.static and which.lanes is None:
            return (low, high)[which.const]
        number = which.value(e)
        return e.select(e.icmp("ne", number, e.const(0, number)), high, low)

    def visit(self, at: Position, found: Accesses) -> None:
        found.opaque = True
        self.keys.visit(at[:-1], found)
        found.direct.append(at[-1])


@lowering("random_wrap")
def random_wrap(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node]:
    return [lw.computed(Wrapped(operands[0]))]


@lowering("random_unwrap")
def random_unwrap(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node]:
    return [lw.computed(Unwrapped(operands[0]))]


__all__ = ["Bits", "Split", "Unwrapped", "Wrapped"]
