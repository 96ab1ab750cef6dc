"""How dtypes lie in memory and in registers, and the loads and stores between the two.

In registers an element is a `Value`; of complex numbers and random keys it is a pair of them. Booleans are
bytes in memory and i1 in registers; half-precision floats are widened to float.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ...core import dtypes
from .index import Index
from .ir import Emitter, Value, mangle, type_text, vector_literal
from .math.convert import from_stored_bits, rounded_bits

Element = Value | tuple[Value, ...]


BYTES = {
    "i1": 1,
    "i8": 1,
    "i16": 2,
    "i32": 4,
    "i64": 8,
    "half": 2,
    "bfloat": 2,
    "float": 4,
    "double": 8,
    "ptr": 8,
}


class Storage(NamedTuple):
    """How an element lies in memory (`components` of type `memory`) and what it is in a register."""

    memory: str
    register: str
    components: int
    bytes: int  # of one component
    # The dtype if it is a 16-bit float: its bits are loaded and stored, since vectors of LLVM's own types
    # for them are not implemented on all CPUs.
    narrow: np.dtype[Any] | None = None
    # Whether registers hold numbers, and not only the bits of a dtype that LLVM does not know.
    computable: bool = True


@functools.cache
def storage_of(dtype: np.dtype) -> Storage:
    """The storage of a dtype."""
    if dtypes.is_key(dtype):
        return Storage("i32", "i32", 2, 4)
    if dtype == dtypes.bfloat16:
        return Storage("i16", "float", 1, 2, dtype)
    match dtype.kind:
        case "b":
            return Storage("i8", "i1", 1, 1)
        case "i" | "u":
            return Storage(f"i{8 * dtype.itemsize}", f"i{8 * dtype.itemsize}", 1, dtype.itemsize)
        case "f" if dtype.itemsize > 1:
            if dtype.itemsize == 2:
                return Storage("i16", "float", 1, 2, dtype)
            kind = "float" if dtype.itemsize == 4 else "double"
            return Storage(kind, kind, 1, dtype.itemsize)
        case "c":
            part = "float" if dtype.itemsize == 8 else "double"
            return Storage(part, part, 2, dtype.itemsize // 2)
    return Storage(f"i{8 * max(dtype.itemsize, 1)}", "bits", 1, max(dtype.itemsize, 1), computable=False)


def components(element: Element) -> tuple[Value, ...]:
    return element if isinstance(element, tuple) else (element,)


def lanes_of(element: Element) -> int:
    return max(c.lanes for c in components(element))


def level_of(element: Element) -> int:
    return max([c.level for c in element]) if isinstance(element, tuple) else element.level


class Content(NamedTuple):
    """What memory holds, for loads of it.

    Attributes:
        base: the address of element 0.
        storage: how an element lies there.
        level: of the outermost scope in which the memory holds this.
        version: tells contents of the same memory apart.
        extent: finds the first element that may be read at all and the one after the last, if they are known.
    """

    base: Value
    storage: Storage
    level: int
    version: object
    extent: Callable[[], tuple[int, int] | None] | None = None

    @classmethod
    def now(cls, e: Emitter, base: Value, storage: Storage) -> Content:
        """What the memory holds at this place of the function, which may be written over at the next."""
        return cls(base, storage, e.level, object())


def load(e: Emitter, content: Content, at: Index) -> Element:
    """The element(s) at `at` (in elements from the content's base)."""
    storage = content.storage
    if storage.components == 1:
        return to_register(e, _load(e, content, at), storage)
    even = at * 2 if at.vector is None else _doubled(e, at)
    return tuple([_load(e, content, even + k, pair=k) for k in range(2)])


def _doubled(e: Emitter, at: Index) -> Index:
    assert at.vector is not None
    scalar = Index(at.terms, at.const, at.lanes, at.low, at.high) * 2
    return Index(
        scalar.terms, scalar.const, scalar.lanes, scalar.low, scalar.high, e.add(at.vector, at.vector)
    )


def _load(e: Emitter, content: Content, at: Index, pair: int | None = None) -> Value:
    """As `load`, of one component; `pair` tells which, if there are two."""
    if at.vector is not None:
        return _gather(e, content, at)
    if at.lanes is None:
        return _load_run(e, content, at, 1)
    elem = content.storage.memory
    offsets = at.lanes
    low, count = min(offsets), len(offsets)
    width = max(offsets) - low + 1
    if pair is not None:  # both components from the same window
        low, width = low - pair, width + 1
        width += width % 2
    if width <= max(2 * count, 8):
        if pair is None and content.extent is not None and count < 2 * width:
            low, width = _block(e, at, low, width, content.extent())
        window = _load_run(e, content, _at(at, low), width)
        return e.shuffle(window, [k - low for k in offsets])
    if e.tile is not None and count == TILE and {v.name: c for v, c in at.terms}.get(e.tile[0]) == 1:
        return _from_tile(e, content, at)
    if _apart(offsets) and elem in _SUFFIX:
        return _load_apart(e, content, at)
    # Runs of consecutive elements are loaded as vectors, single ones one by one.
    parts: list[Value] = []
    start = 0
    while start < count:
        stop = start + 1
        while stop < count and offsets[stop] == offsets[stop - 1] + 1:
            stop += 1
        if stop == start + 1:
            while stop < count and offsets[stop] == offsets[start]:
                stop += 1
            part = _load_run(e, content, _at(at, offsets[start]), 1)
            parts.append(e.splat(part, stop - start))
        else:
            parts.append(_load_run(e, content, _at(at, offsets[start]), stop - start))
        start = stop
    assert sum(p.lanes for p in parts) == count, elem
    return e.concat(parts)


def _block(e: Emitter, at: Index, low: int, width: int, extent: tuple[int, int] | None) -> tuple[int, int]:
    """The block of lanes around a window (its first offset and its length), or the window itself.

    Blocks are as long as the vector that is made, and begin at multiples of that. So windows that differ by
    a few elements, as those of the terms of a small product do, are read together.
    """
    assert at.lanes is not None
    count = len(at.lanes)
    first = (at.const + low) // count * count - at.const
    if extent is None or (low, width) == (first, count) or first + count < low + width:
        return low, width
    if any(c * e.divisor(v) % count for v, c in at.terms):
        return low, width
    least, greatest = at.low - min(at.lanes), at.high - max(at.lanes)
    if least + first < extent[0] or greatest + first + count > extent[1]:
        return low, width
    return first, count


LINE = 64  # bytes of the cache that are brought into it together
TILE = 8  # rows of a tile that is transposed in registers


def _from_tile(e: Emitter, content: Content, at: Index) -> Value:
    """One row of a tile of which memory has the columns: all rows are made at once."""
    assert e.tile is not None and at.lanes is not None
    row = e.tile[1]
    first = Index(at.terms, at.const - row, at.lanes, at.low, at.high)
    key = ("tile", content.base.name, content.version, first.key, content.storage.memory)
    for scope in reversed(e.scopes):
        if key in scope.known:
            return scope.known[key][row]
    columns = [_load_run(e, content, _at(first, k), TILE) for k in at.lanes]
    rows = transpose(e, columns)
    e.scopes[max(v.level for v in rows)].known[key] = rows
    return rows[row]


# Lanes of two vectors a step of the transposition takes, for two results: single elements, pairs and halves
# are
# exchanged, as the instructions of x86 for this do.
_STEPS = (
    ((0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15)),
    ((0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)),
    ((0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)),
)


def transpose(e: Emitter, columns: Sequence[Value]) -> list[Value]:
    """Eight rows from eight columns.

    Each step is a basic block: LLVM tries to combine shuffles of shuffles, in vain, but sees one block at a
    time, which takes three quarters of the time.
    """
    (low, high), (pairs, other_pairs), (left, right) = _STEPS
    x = columns
    t = [e.mix(x[k], x[k + 1], m) for k in range(0, TILE, 2) for m in (low, high)]
    e.cut(t)
    u = [e.mix(t[k + j], t[k + j + 2], m) for k in (0, 4) for j in (0, 1) for m in (pairs, other_pairs)]
    e.cut(u)
    return [e.mix(u[k], u[k + 4], m) for m in (left, right) for k in range(4)]


_SUFFIX = {"float": "f32", "double": "f64", "i32": "i32", "i64": "i64"}


def _apart(offsets: Sequence[int]) -> bool:
    """Whether lanes lie at equal distances, none beside another: as much code for all of them as for one."""
    step = offsets[1] - offsets[0] if len(offsets) >= 8 else 0
    return abs(step) > 1 and all(b - a == step for a, b in pairwise(offsets))


def _places(e: Emitter, base: Value, at: Index, elem: str, offsets: Sequence[int]) -> Value:
    """The addresses of lanes."""
    place, count = address(e, base, _at(at, 0), elem), len(offsets)
    numbers = vector_literal(offsets, "i64")
    return e.pure(
        f"getelementptr {elem}, ptr {place.name}, <{count} x i64> {numbers}", "ptr", count, place.level
    )


def _load_apart(e: Emitter, content: Content, at: Index) -> Value:
    """Lanes that are apart, by one instruction where the machine has it."""
    assert at.lanes is not None
    storage, count = content.storage, len(at.lanes)
    elem = storage.memory
    places = _places(e, content.base, at, elem, at.lanes)
    level = max(content.level, places.level)
    key = (places.name, count, content.version, elem)
    known: Value | None = e.scopes[level].known.get(key)
    if known is None:
        known = Value("%" + e.fresh(), elem, count, level)
        suffix = f"v{count}{_SUFFIX[elem]}.v{count}p0"
        name = f"llvm.masked.gather.{suffix}"
        e.module.declare(name, known.type, [f"<{count} x ptr>", "i32", f"<{count} x i1>", known.type])
        e.scopes[level].lines.append(
            f"{known.name} = call {known.type} @{name}({places.typed}, i32 {storage.bytes}, "
            f"<{count} x i1> splat (i1 true), {known.type} poison)"
        )
        e.scopes[level].known[key] = known
    return known


def _at(index: Index, lane: int) -> Index:
    """The index of one lane's offset."""
    return Index(index.terms, index.const + lane, None, index.low, index.high)


def address(e: Emitter, base: Value, at: Index, elem: str) -> Value:
    """The address `at` elements after `base`.

    A constant is added last: places that differ by it share the rest, and instructions have room for it.
    """
    offset = at.variable(e)
    place = base
    if offset is not None:
        level = max(base.level, offset.level)
        place = e.pure(f"getelementptr {elem}, ptr {base.name}, i64 {offset.name}", "ptr", 1, level)
    if not at.const:
        return place
    return e.pure(f"getelementptr {elem}, ptr {place.name}, i64 {at.const}", "ptr", 1, place.level)


def _load_run(e: Emitter, content: Content, at: Index, count: int) -> Value:
    """`count` consecutive elements."""
    storage = content.storage
    place = address(e, content.base, at, storage.memory)
    level = content.level if content.level > place.level else place.level
    key = (place.name, count, content.version, storage.memory)
    known = e.scopes[level].known.get(key)
    if known is None:
        name = "%" + e.fresh()
        known = Value(name, storage.memory, count, level)
        e.scopes[level].lines.append(f"{name} = load {known.type}, ptr {place.name}, align {storage.bytes}")
        e.scopes[level].known[key] = known
    return known


def _gather(e: Emitter, content: Content, at: Index) -> Value:
    base, storage, level = content.base, content.storage, content.level
    if at.vector is not None and at.vector.elem == "i32" and at.lanes is None:
        # One instruction gathers at twice as many short indices; the rest of them goes into the address.
        index, base = at.vector, address(e, base, Index(at.terms, at.const), storage.memory)
    else:
        index = at.value(e)
    if index.lanes == 1:
        place = e.pure(
            f"getelementptr {storage.memory}, ptr {base.name}, {index.typed}",
            "ptr",
            1,
            max(base.level, index.level),
        )
        return _typed_load(e, place, storage, max(level, place.level))
    if storage.memory in ("float", "double", "i32", "i64"):
        return _gathered(e, base, index, storage, level)
    parts = []
    for lane in range(index.lanes):
        offset = e.extract(index, lane)
        place = e.pure(
            f"getelementptr {storage.memory}, ptr {base.name}, {offset.typed}",
            "ptr",
            1,
            max(base.level, offset.level),
        )
        parts.append(_typed_load(e, place, storage, max(level, place.level)))
    return e.concat(parts)


def _gathered(e: Emitter, base: Value, index: Value, storage: Storage, level: int) -> Value:
    """Elements at the lanes of an index: one instruction where the CPU has it, twice as fast in the cache."""
    lanes = index.lanes
    places = e.pure(
        f"getelementptr {storage.memory}, ptr {base.name}, {index.typed}",
        "ptr",
        lanes,
        max(base.level, index.level),
    )
    level = max(level, places.level)
    pointers, kind = f"<{lanes} x ptr>", type_text(storage.memory, lanes)
    name = f"llvm.masked.gather.{mangle(storage.memory, lanes)}.v{lanes}p0"
    e.module.declare(name, kind, [pointers, "i32", f"<{lanes} x i1>", kind])
    result = Value("%" + e.fresh(), storage.memory, lanes, level)
    e.scopes[level].lines.append(
        f"{result.name} = call {kind} @{name}({pointers} {places.name}, i32 {storage.bytes}, "
        f"<{lanes} x i1> splat (i1 true), {kind} poison)"
    )
    return result


def _typed_load(e: Emitter, place: Value, storage: Storage, level: int) -> Value:
    name = "%" + e.fresh()
    e.scopes[level].lines.append(f"{name} = load {storage.memory}, ptr {place.name}, align {storage.bytes}")
    return Value(name, storage.memory, 1, level)


def to_register(e: Emitter, x: Value, storage: Storage) -> Value:
    """A loaded value as it is held in registers."""
    if storage.register == storage.memory or not storage.computable:
        return x
    if storage.register == "i1":
        return e.icmp("ne", x, e.const(0, x))
    assert storage.narrow is not None
    return from_stored_bits(e, x, storage.narrow)


def to_memory(e: Emitter, x: Value, storage: Storage) -> Value:
    """A register's value as it is stored."""
    if storage.register == storage.memory or not storage.computable:
        return x
    if storage.register == "i1":
        return e.convert("zext", x, "i8")
    assert storage.narrow is not None
    return rounded_bits(e, x, storage.narrow)


def prefetch(e: Emitter, address: Value, index: Index, storage: Storage, lanes: int) -> None:
    """Have the memory of consecutive lanes brought into the cache; it need not exist."""
    if index.lanes != tuple(range(lanes)) or index.vector is not None:
        return
    e.module.declare("llvm.prefetch.p0", "void", ["ptr", "i32", "i32", "i32"])
    first = index.scalar(e)
    place = e.pure(
        f"getelementptr {storage.memory}, ptr {address.name}, {first.typed}", "ptr", 1, first.level
    )
    for line in range(0, lanes * storage.bytes, LINE):
        there = place
        if line:
            there = e.pure(f"getelementptr i8, ptr {place.name}, i64 {line}", "ptr", 1, place.level)
        e.line(f"call void @llvm.prefetch.p0(ptr {there.name}, i32 0, i32 3, i32 1)")


def store(
    e: Emitter, base: Value, at: Index, storage: Storage, element: Element, lanes: int, past_cache: int = 0
) -> None:
    """Store the element of each lane at its index.

    past_cache: if it is not 0, to write past the cache; the bytes that the address is a multiple of.
    """
    parts = [e.splat(to_memory(e, c, storage), lanes) for c in components(element)]
    if storage.components == 2:
        at = at * 2
        both = e.concat(parts)
        merged = [k + part * lanes for k in range(lanes) for part in range(2)]
        value = e.shuffle(both, merged)
        offsets = [2 * k + part for k in range(lanes) for part in range(2)] if at.lanes is None else [
            k + part for k in at.lanes for part in range(2)
        ]  # fmt: skip
        if at.lanes is None and lanes > 1:
            raise ValueError("lanes that are stored at one place")
    else:
        value, offsets = parts[0], [0] * lanes if at.lanes is None else list(at.lanes)
    store_lanes(e, base, at, storage, value, offsets, past_cache)


def store_lanes(
    e: Emitter,
    base: Value,
    at: Index,
    storage: Storage,
    value: Value,
    offsets: Sequence[int],
    past_cache: int = 0,
) -> None:
    """Store the lanes of `value` at `offsets` from the scalar part of `at`: runs as vectors."""
    if past_cache and list(offsets) == list(range(len(offsets))):
        place = address(e, base, _at(at, 0), storage.memory)
        e.line(f"store {value.typed}, ptr {place.name}, align {past_cache}, !nontemporal !0")
        e.streams = e.module.streams = True
        return
    if _apart(offsets) and storage.memory in _SUFFIX:
        elem, count = storage.memory, len(offsets)
        places = _places(e, base, at, elem, offsets)
        name = f"llvm.masked.scatter.v{count}{_SUFFIX[elem]}.v{count}p0"
        e.module.declare(name, "void", [value.type, f"<{count} x ptr>", "i32", f"<{count} x i1>"])
        e.line(
            f"call void @{name}({value.typed}, {places.typed}, i32 {storage.bytes}, "
            f"<{count} x i1> splat (i1 true))"
        )
        return
    order = sorted(range(len(offsets)), key=lambda k: offsets[k])
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and offsets[order[stop]] == offsets[order[stop - 1]] + 1:
            stop += 1
        run = e.shuffle(value, order[start:stop])
        place = address(e, base, _at(at, offsets[order[start]]), storage.memory)
        e.line(f"store {run.typed}, ptr {place.name}, align {storage.bytes}")
        start = stop
