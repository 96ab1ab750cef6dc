"""Nodes: arrays as functions from an index to an element.

A node is what the lowering knows of an array: memory (`View`), a vector in a register (`Registers`), or how
its elements are computed from other nodes' (`deferred.py`). Nothing here decides what is computed when; see
`stages`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from .index import ZERO, Index
from .ir import Emitter, Value
from .storage import Content, Element, Storage, components, lanes_of, level_of, load, storage_of, to_memory

Position = tuple[Index, ...]


class WatchedAddress(Value):
    """An address whose owner wants to know of all contents that are given to its memory."""

    __slots__ = ("taken",)

    def __init__(self, address: Value, taken: Callable[[], None]) -> None:
        super().__init__(address.name, address.elem, address.lanes, address.level)
        self.taken = taken


class Buffer:
    """Memory: an address, known once the buffer has its place, holding this content in scopes from `level`
    on."""

    __slots__ = ("base", "level", "bytes", "slots", "pending", "row", "streams")

    def __init__(self, base: Value | None, level: int = 0, size: int = 0) -> None:
        self.base = base
        if isinstance(base, WatchedAddress):
            base.taken()
        self.level = level
        self.bytes = size
        self.slots: tuple[Any, ...] = ()  # its places in the arena: several if run time decides which it is
        self.pending = False  # whether the open nest writes it
        self.row: Row | None = None  # while loops are written that need only a row of it
        self.streams = False  # whether it is so large that it is better written past the cache (`streaming`)

    @property
    def address(self) -> Value | None:
        """The address, to compare it."""
        return self.base

    def base_in(self, e: Emitter) -> Value | None:
        """The address, for an access to this content that is being written."""
        return self.base

    def precedes(self, other: Buffer) -> bool:
        """Whether writing `other` may write over this content."""
        if self is other or self.address is None or other.address is None:
            return False
        return self.address.name == other.address.name


class Row(NamedTuple):
    """A part of a buffer, for one turn of loops: its address, the loops' variables, the level of the
    innermost."""

    base: Value
    dropped: frozenset[str]
    level: int


class Accesses:
    """What nodes read at a position: the memory, with the flat index; and dimensions whose index is used
    itself.

    `trace` tells how it is read: what each node computes, in the order in which nodes are met, a number
    for one that was met before. Together with `views`, `registers` and `indices` it says all that the code of
    the nodes follows from (`alike`), unless a node is `opaque`.
    """

    __slots__ = (
        "views", "registers", "direct", "cuts", "cost", "waits", "trace", "nodes", "indices", "opaque",
        "_seen", "_here", "_last",
    )  # fmt: skip

    def __init__(self) -> None:
        self.views: list[tuple[View, Index]] = []
        self.registers: list[tuple[Registers, Index]] = []
        self.direct: list[Index] = []
        self.cuts: list[tuple[Index, int]] = []  # an index, and a bound on both sides of which it may be
        self.cost = 0.0
        self.waits = False  # whether a node waits for memory, step by step, unless more lanes go on meanwhile
        self.trace: list[Any] = []
        self.nodes: list[Node] = []  # by their numbers in the trace
        self.indices: list[Index] = []  # that nodes use themselves
        self.opaque = False
        self._seen = ByPosition()
        self._here: dict[Any, Any] = {}  # what is seen at the last position
        self._last: Position | None = None

    def first(self, node: Node, at: Position) -> bool:
        """Whether the node is met at this position for the first time."""
        if at is not self._last:
            self._here = self._seen[at]
            self._last = at
        seen = self._here
        number = seen.get(node)
        if number is not None:
            self.trace.append(number)
            return False
        seen[node] = len(self.nodes)
        self.nodes.append(node)
        return True


class ByPosition:
    """A dictionary for each position; its key is found once for a position that many nodes share."""

    __slots__ = ("_by_key", "_known")

    def __init__(self) -> None:
        self._known: dict[int, tuple[Position, dict[Any, Any]]] = {}  # by identity
        self._by_key: dict[tuple[Any, ...], dict[Any, Any]] = {}

    def __getitem__(self, at: Position) -> dict[Any, Any]:
        known = self._known.get(id(at))
        if known is None:
            found = self._by_key.setdefault(tuple([i.key for i in at]), {})
            known = self._known[id(at)] = at, found
        return known[1]


class Node:
    """An array of `shape` and `dtype`.

    Attributes:
        pieced: whether the elements come from different nodes in different parts (see `Pieces`).
        depth: how many operations in a row an element needs.
        chain: nanoseconds that the operations in a row take which an element needs.
    """

    __slots__ = ("shape", "dtype", "size", "storage", "pieced", "depth", "chain")

    most: float = math.inf  # nanoseconds that all operations take, at most

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.size = math.prod(shape)
        self.dtype = dtype
        self.storage: Storage = storage_of(dtype)
        self.pieced = False
        self.depth = 0
        self.chain = 0.0

    @property
    def bytes(self) -> int:
        return self.size * self.storage.bytes * self.storage.components

    def element(self, e: Emitter, at: Position) -> Element:
        """The element at a position (written once for each)."""
        key = self, e.place(at)
        for scope in reversed(e.scopes):
            found = scope.known.get(key)
            if found is not None:
                return found
        element = self.compute(e, at)
        e.scopes[level_of(element)].known[key] = element
        return element

    def compute(self, e: Emitter, at: Position) -> Element:
        raise NotImplementedError

    def visit(self, at: Position, found: Accesses) -> None:
        """Add what `compute` reads to `found`; and to its trace what it does, or that it is opaque."""
        raise NotImplementedError

    def broadcast(self, at: Position) -> Position:
        """The position of an operand that broadcasts to a result at `at`."""
        shape = self.shape
        if not shape:
            return ()
        first = len(at) - len(shape)
        if not first and 1 not in shape:
            return at
        return tuple([ZERO if n == 1 else i for n, i in zip(shape, at[first:], strict=True)])


@lru_cache(maxsize=1 << 14)
def interned(*_: object) -> object:
    """An object for these arguments, which compares faster than they do."""
    return object()


@lru_cache(maxsize=1024)
def variables(domain: tuple[int, ...]) -> Position:
    """Variables that stand for the loops'; dimensions of size 1 have none."""
    return tuple(
        [ZERO if n == 1 else Index.along(Value(f"?{d}", "i64", 1, 0), 0, n - 1) for d, n in enumerate(domain)]
    )


def whole(shape: Sequence[int]) -> Position:
    """The position whose lanes are all elements of an array, in row-major order."""
    count = math.prod(shape)
    if count == 1:
        return (ZERO,) * len(shape)
    grid = np.unravel_index(np.arange(count), tuple(shape))
    return tuple([Index.of_lanes([int(k) for k in g]) for g in grid])


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides, in elements, of an array without gaps."""
    strides = [1] * len(shape)
    for d in range(len(shape) - 2, -1, -1):
        strides[d] = strides[d + 1] * shape[d + 1]
    return tuple(strides)


class View(Node):
    """Memory seen through an offset and strides (in elements)."""

    __slots__ = ("buffer", "offset", "strides", "_at", "_flat")

    most = 0.0

    def __init__(
        self,
        buffer: Buffer,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        strides: tuple[int, ...] | None = None,
        offset: Index = ZERO,
    ) -> None:
        super().__init__(shape, dtype)
        self.buffer = buffer
        self.strides = row_major(shape) if strides is None else strides
        self.offset = offset
        self._at: Position | None = None  # the last position that somebody asked for
        self._flat = ZERO

    @property
    def contiguous(self) -> bool:
        """Whether the elements lie one after the other in row-major order."""
        expected = 1
        for n, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if n != 1 and stride != expected:
                return False
            expected *= n
        return True

    def flat(self, at: Position) -> Index:
        """Where the element at a position is, in elements from the buffer's address."""
        if at is self._at:
            return self._flat
        self._flat = total = self.offset.plus(at, self.strides)
        self._at = at
        return total

    def where(self, at: Position) -> Index:
        """The index of the element at a position, from the address that `address` gives."""
        flat = self.flat(at)
        row = self.buffer.row
        if row is None:
            return flat
        terms = tuple([(v, c) for v, c in flat.terms if v.name not in row.dropped])
        return Index(terms, flat.const, flat.lanes, flat.low, flat.high, flat.vector)

    def address(self, e: Emitter) -> Value:
        """The address that `where` counts from."""
        if self.buffer.row is not None:
            return self.buffer.row.base
        base = self.buffer.base_in(e)
        assert base is not None, "memory that is read before it has its place"
        return e.local(base)

    def compute(self, e: Emitter, at: Position) -> Element:
        index = self.where(at)
        stored = (self.buffer, index.key)
        for scope in reversed(e.scopes):
            if stored in scope.known:
                return scope.known[stored]
        content = Content(self.address(e), self.storage, self.level(e), self.buffer, self._extent)
        return load(e, content, index)

    def _extent(self) -> tuple[int, int] | None:
        """Between which elements its memory lies, counted from `address`, if that is known."""
        if self.buffer.row is not None or not self.offset.static or self.offset.lanes is not None:
            return None
        reaches = [s * (n - 1) for n, s in zip(self.shape, self.strides, strict=True)]
        first = self.offset.const
        return first + sum([r for r in reaches if r < 0]), first + sum([r for r in reaches if r > 0]) + 1

    def level(self, e: Emitter) -> int:
        """The level from which on the memory holds the content, in the function that is being written."""
        buffer = self.buffer
        if buffer.row is not None:  # its content changes with each turn of the loops around
            return buffer.row.level
        if buffer.address is not None and buffer.address.name.startswith(e.own):
            return buffer.level
        return 0  # memory of the function around this one, which does not change it meanwhile

    def visit(self, at: Position, found: Accesses) -> None:
        found.views.append((self, self.flat(at)))
        found.trace.append(self.dtype)

    def pointer(self, e: Emitter, at: Index = ZERO) -> Value:
        """The address of the first element, or of one so many elements after it."""
        address = self.buffer.base_in(e)
        assert address is not None
        base = e.local(address)
        at = self.offset + at
        if at is ZERO:
            return base
        offset = (at * self.storage.components).scalar(e)
        if offset.name == "0":
            return base
        return e.pure(
            f"getelementptr {self.storage.memory}, ptr {base.name}, {offset.typed}", "ptr", 1,
            max(base.level, offset.level),
        )  # fmt: skip

    def with_layout(self, shape: tuple[int, ...], strides: tuple[int, ...], offset: Index | int = 0) -> View:
        """The same memory seen otherwise; `offset` is added."""
        return View(self.buffer, shape, self.dtype, strides, self.offset + offset)

    def reshaped(self, shape: tuple[int, ...]) -> View | None:
        """A view of another shape, if strides can express it."""
        strides = reshaped_strides(self.shape, self.strides, shape)
        return None if strides is None else View(self.buffer, shape, self.dtype, strides, self.offset)


def reshaped_strides(
    old: Sequence[int], strides: Sequence[int], new: Sequence[int]
) -> tuple[int, ...] | None:
    """The strides with which memory of shape `old` is seen as `new`, or None if it must be copied."""
    if math.prod(new) == 0:
        return row_major(new)
    source = [(n, s) for n, s in zip(old, strides, strict=True) if n != 1]
    result: list[int] = []
    k, k_end = 0, 0
    j = 0
    while j < len(new):
        if new[j] == 1:
            result.append(0)
            j += 1
            continue
        # The shortest groups of dimensions with the same number of elements.
        first, total = j, new[j]
        k = k_end
        have = source[k_end][0]
        k_end += 1
        j += 1
        while total != have:
            if total < have:
                total *= new[j]
                j += 1
            else:
                have *= source[k_end][0]
                k_end += 1
        for (_, outer), (inner_size, inner) in zip(source[k : k_end - 1], source[k + 1 : k_end], strict=True):
            if outer != inner * inner_size:
                return None
        step = source[k_end - 1][1]
        group = []
        for n in reversed(new[first:j]):
            group.append(step)
            step *= n
        result.extend(reversed(group))
    return tuple(result)


class Registers(Node):
    """A small array, flattened, as one vector for each component."""

    __slots__ = ("values", "_memory")

    most = 0.0

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], element: Element) -> None:
        super().__init__(shape, dtype)
        self.values = components(element)
        self._memory: dict[Emitter, View] = {}

    def compute(self, e: Emitter, at: Position) -> Element:
        flat = self._flat(at)
        values = [e.local(v) for v in self.values]
        if flat.static:
            count = 1 if flat.lanes is None else len(flat.lanes)
            wanted = flat.static_lanes(count)
            parts = [v if v.lanes == 1 else e.shuffle(v, wanted) for v in values]
        else:
            return self.in_memory(e).compute(e, at)
        return parts[0] if len(parts) == 1 else tuple(parts)

    def _flat(self, at: Position) -> Index:
        return ZERO.plus(at, row_major(self.shape))

    def visit(self, at: Position, found: Accesses) -> None:
        found.registers.append((self, self._flat(at)))
        found.trace.append((self.shape, self.dtype))

    def in_memory(self, e: Emitter) -> View:
        """The array in the function's stack memory, for indices that only run time knows."""
        view = self._memory.get(e)
        if view is None:
            base = e.stack(self.storage.memory, self.size * self.storage.components)
            level = max(v.level for v in map(e.local, self.values))
            lines = e.scopes[level].lines
            values = [e.splat(to_memory(e, e.local(v), self.storage), self.size) for v in self.values]
            value = values[0]
            if len(values) == 2:
                value = e.shuffle(
                    e.concat(values), [k + p * self.size for k in range(self.size) for p in range(2)]
                )
            lines.append(f"store {value.typed}, ptr {base.name}, align {self.storage.bytes}")
            view = self._memory[e] = View(Buffer(base, level), self.shape, self.dtype)
        return view

    def reshaped(self, shape: tuple[int, ...]) -> Registers:
        return Registers(shape, self.dtype, self.values)


__all__ = [
    "Accesses", "Buffer", "ByPosition", "Node", "Position", "Registers", "Row", "View", "WatchedAddress",
    "interned", "lanes_of", "reshaped_strides", "row_major", "variables", "whole",
]  # fmt: skip
