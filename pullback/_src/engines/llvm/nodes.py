"""Nodes: arrays as functions from an index to an element.

A node is what the lowering knows of an array: memory (`View`), a vector in a register (`Registers`), or how
its elements are computed from other nodes'. Nothing here decides what is computed when; see `stages`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .index import ZERO, Index
from .ir import Emitter, Value, constant, vector_literal
from .storage import (
    Element,
    Storage,
    components,
    lanes_of,
    level_of,
    load,
    storage_of,
    to_memory,
    to_register,
)

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
    itself."""

    def __init__(self) -> None:
        self.views: list[tuple[View, Index]] = []
        self.registers: list[tuple[Registers, Index]] = []
        self.direct: list[Index] = []
        self.cuts: list[tuple[Index, int]] = []  # an index, and a bound on both sides of which it may be
        self.cost = 0.0
        self.waits = False  # whether a node waits for memory, step by step, unless more lanes go on meanwhile
        self._seen: set[Any] = set()
        self._keys = Keys()

    def first(self, node: Node, at: Position) -> bool:
        key = (node, self._keys[at])
        if key in self._seen:
            return False
        self._seen.add(key)
        return True


class Keys:
    """What tells positions apart; found once for those that many nodes share."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[int, tuple[Position, tuple[Any, ...]]] = {}

    def __getitem__(self, at: Position) -> tuple[Any, ...]:
        known = self._known.get(id(at))
        if known is None:
            known = self._known[id(at)] = at, tuple([i.key for i in at])
        return known[1]


class Node:
    """An array of `shape` and `dtype`."""

    __slots__ = ("shape", "dtype", "storage")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.dtype = dtype
        self.storage: Storage = storage_of(dtype)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def pieced(self) -> bool:
        """Whether the elements come from different nodes in different parts (see `Pieces`)."""
        return False

    @property
    def bytes(self) -> int:
        return self.size * self.storage.bytes * self.storage.components

    def element(self, e: Emitter, at: Position) -> Element:
        """The element at a position (written once for each)."""
        key = (self, tuple([i.key for i in at]))
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
        """Add what `compute` reads to `found`."""
        raise NotImplementedError

    def broadcast(self, at: Position) -> Position:
        """The position of an operand that broadcasts to a result at `at`."""
        first = len(at) - len(self.shape)
        if not first and 1 not in self.shape:
            return at
        return tuple([ZERO if n == 1 else i for n, i in zip(self.shape, at[first:], strict=True)])


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides, in elements, of an array without gaps."""
    strides = [1] * len(shape)
    for d in range(len(shape) - 2, -1, -1):
        strides[d] = strides[d + 1] * shape[d + 1]
    return tuple(strides)


class View(Node):
    """Memory seen through an offset and strides (in elements)."""

    __slots__ = ("buffer", "offset", "strides")

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
        total = self.offset
        for index, stride in zip(at, self.strides, strict=True):
            total = total + index * stride
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
        return load(e, self.address(e), index, self.storage, self.level(e), self.buffer)

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

    def pointer(self, e: Emitter) -> Value:
        """The address of the first element."""
        address = self.buffer.base_in(e)
        assert address is not None
        base = e.local(address)
        offset = (self.offset * self.storage.components).scalar(e)
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
        total = ZERO
        for index, stride in zip(at, row_major(self.shape), strict=True):
            total = total + index * stride
        return total

    def visit(self, at: Position, found: Accesses) -> None:
        found.registers.append((self, self._flat(at)))

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


class Constant(Node):
    """A scalar known at compile time."""

    __slots__ = ("value",)

    def __init__(self, value: Any, dtype: np.dtype[Any]) -> None:
        super().__init__((), dtype)
        self.value = np.asarray(value, dtype)

    def compute(self, e: Emitter, at: Position) -> Element:
        storage = self.storage
        if storage.components == 2:
            kind = {"i32": np.uint32, "float": np.float32, "double": np.float64}[storage.memory]
            words = np.frombuffer(self.value.tobytes(), kind)
            return tuple([constant(w, storage.register) for w in words])
        if not storage.computable:
            return constant(int.from_bytes(self.value.tobytes(), "little"), storage.memory)
        return constant(
            self.value.item() if self.value.dtype.kind in "iub" else float(self.value), storage.register
        )

    def visit(self, at: Position, found: Accesses) -> None:
        pass


class Iota(Node):
    """The index along one dimension."""

    __slots__ = ("dimension",)

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], dimension: int) -> None:
        super().__init__(shape, dtype)
        self.dimension = dimension

    def compute(self, e: Emitter, at: Position) -> Element:
        index = at[self.dimension]
        register = self.storage.register
        if index.static:
            if index.lanes is None:
                return constant(index.const, register)
            lanes = index.static_lanes(len(index.lanes))
            return Value(vector_literal(lanes, register), register, len(lanes), 0)
        if register in ("float", "double"):
            # Exact up to 2**24 (float) and 2**53, as the counter itself would be after conversion.
            small = index.value(e) if index.high >= 2**31 else self._narrow(e, index)
            return e.convert("sitofp", small, register)
        if register == "i64" and index.high >= 2**31:
            return index.value(e)
        narrow = self._narrow(e, index)
        if register == "i32":
            return narrow
        return e.convert("trunc" if register in ("i8", "i16") else "sext", narrow, register)

    def _narrow(self, e: Emitter, index: Index) -> Value:
        """The index in 32 bits, which vectors prefer."""
        scalar = Index(index.terms, index.const, None, index.low, index.high).scalar(e)
        result = (
            e.convert("trunc", scalar, "i32") if scalar.name[0] == "%" else constant(int(scalar.name), "i32")
        )
        if index.lanes is not None:
            result = e.add(result, Value(vector_literal(index.lanes, "i32"), "i32", len(index.lanes), 0))
        return result

    def visit(self, at: Position, found: Accesses) -> None:
        found.direct.append(at[self.dimension])
        found.cost += 1


class Types(NamedTuple):
    """The dtypes of an elementwise operation."""

    inputs: tuple[np.dtype[Any], ...]
    out: np.dtype[Any]


class Map(Node):
    """An elementwise function of nodes, which broadcast as in NumPy."""

    __slots__ = ("rule", "operands", "types", "params", "weight", "depth", "chain", "_aligned", "_pieced")

    def __init__(
        self,
        rule: Callable[..., Any],
        operands: Sequence[Node],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        params: dict[str, Any],
        weight: float,
    ) -> None:
        super().__init__(shape, dtype)
        self.rule = rule
        self.operands = tuple(operands)
        self.params = params
        self.weight = weight
        self._pieced = any(o.pieced for o in operands)
        self._aligned = 1 not in shape and all(o.shape == shape for o in operands)
        self.depth = 1 + max([depth_of(o) for o in operands], default=0)
        self.chain = weight + max([chain_of(o) for o in operands], default=0.0)
        self.types = Types(tuple([o.dtype for o in operands]), dtype)

    @property
    def pieced(self) -> bool:
        return self._pieced

    def compute(self, e: Emitter, at: Position) -> Element:
        elements = [o.element(e, there) for o, there in self.reads(at)]
        return rounded(e, self.rule(e, self.types, *elements, **self.params), self.storage)

    def reads(self, at: Position) -> list[tuple[Node, Position]]:
        """The operands, and the positions at which they are read."""
        if self._aligned:
            return [(o, at) for o in self.operands]
        return [(o, o.broadcast(at)) for o in self.operands]

    def visit(self, at: Position, found: Accesses) -> None:
        if found.first(self, at):
            found.cost += self.weight
            for o, there in self.reads(at):
                o.visit(there, found)


class Pieces(Node):
    """Nodes one after the other along an axis.

    Which of them an element comes from is known when the index's bounds tell: stages are cut where it
    changes.
    """

    __slots__ = ("parts", "axis", "starts")

    def __init__(self, shape: tuple[int, ...], parts: Sequence[Node], axis: int) -> None:
        super().__init__(shape, parts[0].dtype)
        self.parts = list(parts)
        self.axis = axis
        self.starts = [0]
        for part in parts:
            self.starts.append(self.starts[-1] + part.shape[axis])

    @property
    def pieced(self) -> bool:
        return True

    def _only(self, index: Index) -> int | None:
        """The number of the part that the whole range of an index lies in."""
        for k in range(len(self.parts)):
            if self.starts[k] <= index.low and index.high < self.starts[k + 1]:
                return k
        return None

    def _within(self, at: Position, k: int, index: Index) -> Position:
        return (*at[: self.axis], index, *at[self.axis + 1 :])

    def compute(self, e: Emitter, at: Position) -> Element:
        index = at[self.axis]
        only = None if index.vector is not None else self._only(index)
        if only is not None:
            return self.parts[only].element(e, self._within(at, only, index + -self.starts[only]))
        if index.static and index.lanes is not None:
            return self._by_lanes(e, at, index.static_lanes(len(index.lanes)))
        assert index.lanes is None, "a stage across different parts"
        # Not known beforehand: each part at an index that is moved into it, and a choice between them.
        place = index.value(e)
        result: tuple[Value, ...] = ()
        for k, part in enumerate(self.parts):
            size = part.shape[self.axis]
            inside = e.sub(place, e.const(self.starts[k], place))
            inside = e.call("llvm.smax", "i64", inside, e.const(0, inside))
            inside = e.call("llvm.smin", "i64", inside, e.const(size - 1, inside))
            moved = Index.along(inside, 0, size - 1)
            values = components(part.element(e, self._within(at, k, moved)))
            if k == 0:
                result = values
            else:
                later = e.icmp("sge", place, e.const(self.starts[k], place))
                result = tuple([e.select(later, v, r) for v, r in zip(values, result, strict=True)])
        return result if len(result) > 1 else result[0]

    def _by_lanes(self, e: Emitter, at: Position, lanes: Sequence[int]) -> Element:
        """The element where each lane's part is known: parts whose other lanes do not matter, and a choice.
        The element where each lane's part is known: parts whose other lanes do not matter, and a choice."""
        result: tuple[Value, ...] = ()
        for k, part in enumerate(self.parts):
            low, high = self.starts[k], self.starts[k + 1] - 1
            here = [low <= i <= high for i in lanes]
            if not any(here):
                continue
            inside = Index.of_lanes([min(max(i, low), high) - low for i in lanes])
            values = components(part.element(e, self._within(at, k, inside)))
            if not result:
                result = tuple([e.splat(v, len(lanes)) for v in values])
            else:
                mask = Value(vector_literal(here, "i1"), "i1", len(lanes), 0)
                result = tuple([e.select(mask, v, r) for v, r in zip(values, result, strict=True)])
        return result if len(result) > 1 else result[0]

    def visit(self, at: Position, found: Accesses) -> None:
        index = at[self.axis]
        only = None if index.vector is not None else self._only(index)
        found.direct.append(index)  # its bounds are those of one dimension, not of several merged ones
        if only is not None:
            self.parts[only].visit(self._within(at, only, index + -self.starts[only]), found)
            return
        for k, part in enumerate(self.parts):
            if k:
                found.cuts.append((index, self.starts[k]))
            part.visit(self._within(at, k, index + -self.starts[k]), found)


def variables(domain: tuple[int, ...]) -> Position:
    """Variables that stand for the loops'; dimensions of size 1 have none."""
    return tuple(
        [ZERO if n == 1 else Index.along(Value(f"?{d}", "i64", 1, 0), 0, n - 1) for d, n in enumerate(domain)]
    )


def regions(shape: tuple[int, ...], node: Node, most: int) -> list[list[tuple[int, int]]] | None:
    """The parts of a domain in each of which all elements come from the same nodes; None if more than `most`.

    A part is given by its first index and size along each dimension.
    """
    found = Accesses()
    node.visit(variables(shape), found)
    cuts = [{0, n} for n in shape]
    for index, bound in found.cuts:
        if len(index.terms) != 1 or index.vector is not None or index.lanes is not None:
            return None
        variable, c = index.terms[0]
        if variable.name[0] != "?":
            return None
        d = int(variable.name[1:])
        # The first v at which c·v + const is on the other side of the bound.
        cut = -((index.const - bound) // c) if c > 0 else (index.const - bound) // -c + 1
        if 0 < cut < shape[d]:
            cuts[d].add(cut)
    if math.prod([len(c) - 1 for c in cuts]) > most:
        return None
    edges = [sorted(c) for c in cuts]
    spans = [[(a, b - a) for a, b in itertools.pairwise(e)] for e in edges]
    return [list(region) for region in itertools.product(*spans)]


def depth_of(node: Node) -> int:
    """How many operations in a row a node's elements need."""
    while isinstance(node, Remap):
        node = node.source
    if isinstance(node, Part):
        return 1 + max([depth_of(o) for o in node.whole.operands], default=0)
    return node.depth if isinstance(node, Map) else 0


def chain_of(node: Node) -> float:
    """Nanoseconds that the operations in a row take which a node's element needs."""
    while isinstance(node, Remap):
        node = node.source
    if isinstance(node, Part):
        return node.whole.weight + max([chain_of(o) for o in node.whole.operands], default=0.0)
    return node.chain if isinstance(node, Map) else 0.0


def rounded(e: Emitter, element: Element, storage: Storage) -> Element:
    """Half-precision results, rounded as if each operation stored its result."""
    if storage.narrow is not None and isinstance(element, Value):
        return to_register(e, to_memory(e, element, storage), storage)
    return element


class Results(Node):
    """An elementwise function with several results; see `Part`."""

    __slots__ = ("rule", "operands", "types", "params", "weight")

    def __init__(
        self,
        rule: Callable[..., Any],
        operands: Sequence[Node],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        params: dict[str, Any],
        weight: float,
    ) -> None:
        super().__init__(shape, dtype)
        self.rule, self.operands, self.params, self.weight = rule, tuple(operands), params, weight
        self.types = Types(tuple([o.dtype for o in operands]), dtype)

    def compute(self, e: Emitter, at: Position) -> Element:
        elements = [o.element(e, there) for o, there in self.reads(at)]
        return tuple(self.rule(e, self.types, *elements, **self.params))

    def reads(self, at: Position) -> list[tuple[Node, Position]]:
        """The operands, and the positions at which they are read."""
        return [(o, o.broadcast(at)) for o in self.operands]

    def visit(self, at: Position, found: Accesses) -> None:
        if found.first(self, at):
            found.cost += self.weight
            for o, there in self.reads(at):
                o.visit(there, found)


class Part(Node):
    """One result of `Results`."""

    __slots__ = ("whole", "number")

    def __init__(self, whole: Results, number: int, dtype: np.dtype[Any]) -> None:
        super().__init__(whole.shape, dtype)
        self.whole, self.number = whole, number

    def compute(self, e: Emitter, at: Position) -> Element:
        element = self.whole.element(e, at)
        assert isinstance(element, tuple)
        return element[self.number]

    def visit(self, at: Position, found: Accesses) -> None:
        self.whole.visit(at, found)


class Remap(Node):
    """The elements of a node at other positions."""

    __slots__ = ("source", "mapping")

    def __init__(self, source: Node, shape: tuple[int, ...], mapping: Callable[[Position], Position]) -> None:
        super().__init__(shape, source.dtype)
        self.source = source
        self.mapping = mapping

    @property
    def pieced(self) -> bool:
        return self.source.pieced

    def compute(self, e: Emitter, at: Position) -> Element:
        return self.source.element(e, self.mapping(at))

    def visit(self, at: Position, found: Accesses) -> None:
        self.source.visit(self.mapping(at), found)


def whole(shape: Sequence[int]) -> Position:
    """The position whose lanes are all elements of an array, in row-major order."""
    count = math.prod(shape)
    if count == 1:
        return (ZERO,) * len(shape)
    grid = np.unravel_index(np.arange(count), tuple(shape))
    return tuple([Index.of_lanes([int(k) for k in g]) for g in grid])


__all__ = [
    "Accesses", "Buffer", "Constant", "Iota", "Map", "Node", "Part", "Pieces", "Position", "Registers",
    "Remap", "Results", "Row", "Types", "View", "lanes_of", "regions", "reshaped_strides", "row_major",
    "variables", "whole",
]  # fmt: skip
