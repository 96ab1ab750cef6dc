"""Deferred nodes: arrays whose elements are computed, from those of other nodes, where they are read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .index import Index
from .ir import Emitter, Value, constant, vector_literal
from .nodes import Accesses, Node, Position, interned, variables
from .storage import Element, Storage, components, storage_of, to_memory, to_register


class Constant(Node):
    """A scalar known at compile time."""

    __slots__ = ("value", "head")

    most = 0.0

    def __init__(self, value: Any, dtype: np.dtype[Any]) -> None:
        super().__init__((), dtype)
        self.value = np.asarray(value, dtype)
        self.head = dtype, self.value.tobytes()  # what it is, in a trace

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
        found.trace.append(self.head)


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
        found.indices.append(at[self.dimension])
        found.trace.append(("iota", self.dtype))


class Types(NamedTuple):
    """The dtypes of an elementwise operation."""

    inputs: tuple[np.dtype[Any], ...]
    out: np.dtype[Any]


def _plain(value: object) -> object:
    """A parameter, told apart from others that Python holds to be equal."""
    return type(value), repr(value) if isinstance(value, (float, complex)) else value


def _head_of(node: Map | Results) -> object:
    """What a node is in a trace; None if its parameters are not plain."""
    params = tuple([(name, _plain(value)) for name, value in node.params.items()]) if node.params else ()
    try:
        return interned(
            type(node).__name__, node.rule, len(node.operands), node.shape, node.dtype, node.weight, params
        )  # fmt: skip
    except TypeError:
        return None


class Map(Node):
    """An elementwise function of nodes, which broadcast as in NumPy."""

    __slots__ = ("rule", "operands", "params", "weight", "most", "_aligned", "_head")

    def __init__(
        self,
        rule: Callable[..., Any],
        operands: Sequence[Node],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        params: dict[str, Any],
        weight: float,
    ) -> None:
        # As in `Node`; most nodes are made here.
        self.shape = shape
        self.size = math.prod(shape)
        self.dtype = dtype
        self.storage = storage_of(dtype)
        self.rule = rule
        self._head: object = None
        self.operands = tuple(operands)
        self.params = params
        self.weight = weight
        aligned, most = 1 not in shape, weight
        depth, chain, pieced = 0, 0.0, False
        for o in self.operands:
            most += o.most
            if o.pieced:
                pieced = True
            if o.depth > depth:
                depth = o.depth
            if o.chain > chain:
                chain = o.chain
            there = o.shape
            if there and there != shape:
                aligned = False
        self.depth, self.chain, self.most, self.pieced = depth + 1, chain + weight, most, pieced
        self._aligned = aligned  # whether operands are scalars, or read at the same position

    def compute(self, e: Emitter, at: Position) -> Element:
        elements = [o.element(e, there) for o, there in self.reads(at)]
        types = Types(tuple([o.dtype for o in self.operands]), self.dtype)
        return rounded(e, self.rule(e, types, *elements, **self.params), self.storage)

    def reads(self, at: Position) -> list[tuple[Node, Position]]:
        """The operands, and the positions at which they are read."""
        if self._aligned:
            return [(o, at if o.shape else ()) for o in self.operands]
        return [(o, o.broadcast(at)) for o in self.operands]

    def visit(self, at: Position, found: Accesses) -> None:
        if not found.first(self, at):
            return
        found.cost += self.weight
        head = self._head
        if head is None:
            head = self._head = _head_of(self)
            if head is None:
                found.opaque = True
        found.trace.append(head)
        if self._aligned:
            for o in self.operands:
                o.visit(at if o.shape else (), found)
        else:
            for o in self.operands:
                o.visit(o.broadcast(at), found)


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
        self.pieced = True

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
        found.opaque = True
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
            head = _head_of(self)
            found.trace.append(head)
            if head is None:
                found.opaque = True
            for o, there in self.reads(at):
                o.visit(there, found)


class Part(Node):
    """One result of `Results`."""

    __slots__ = ("whole", "number")

    def __init__(self, whole: Results, number: int, dtype: np.dtype[Any]) -> None:
        super().__init__(whole.shape, dtype)
        self.whole, self.number = whole, number
        self.depth = 1 + max([o.depth for o in whole.operands], default=0)
        self.chain = whole.weight + max([o.chain for o in whole.operands], default=0.0)

    def compute(self, e: Emitter, at: Position) -> Element:
        element = self.whole.element(e, at)
        assert isinstance(element, tuple)
        return element[self.number]

    def visit(self, at: Position, found: Accesses) -> None:
        found.trace.append(("part", self.number, self.dtype))
        self.whole.visit(at, found)


class Remap(Node):
    """The elements of a node at other positions."""

    __slots__ = ("source", "mapping")

    def __init__(self, source: Node, shape: tuple[int, ...], mapping: Callable[[Position], Position]) -> None:
        super().__init__(shape, source.dtype)
        self.source = source
        self.mapping = mapping
        self.pieced, self.depth, self.chain = source.pieced, source.depth, source.chain

    def compute(self, e: Emitter, at: Position) -> Element:
        return self.source.element(e, self.mapping(at))

    def visit(self, at: Position, found: Accesses) -> None:
        moved = self.mapping(at)
        # Where an index goes follows from where the variables go, if that is linear.
        code = getattr(self.mapping, "__code__", None)
        found.trace.append(code)
        if code is None:
            found.opaque = True
        found.indices.extend(moved)
        self.source.visit(moved, found)


def rounded(e: Emitter, element: Element, storage: Storage) -> Element:
    """Half-precision results, rounded as if each operation stored its result."""
    if storage.narrow is not None and isinstance(element, Value):
        return to_register(e, to_memory(e, element, storage), storage)
    return element


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


def shifted(starts: Sequence[int]) -> Callable[[Position], Position]:
    """The positions counted from `starts` on."""
    return lambda at: tuple([i + s for i, s in zip(at, starts, strict=True)])


__all__ = [
    "Constant", "Iota", "Map", "Part", "Pieces", "Remap", "Results", "Types", "regions", "rounded", "shifted",
]  # fmt: skip
