"""Lowering of `gather`: windows read where they are needed, at indices that are computed there, too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.program import Equation
from ...ops.gather import GatherDimensionNumbers, GatherScatterMode
from ..numpy.gather import fill_number
from .deferred import Constant, Map, Remap
from .index import ZERO, Index
from .ir import Emitter, Value, constant
from .lower import Lowering, lowering
from .math import bounds
from .nodes import Accesses, Node, Position, Registers, View
from .storage import Content, Element, components, load

Out = Sequence[View | None]

COST = 0.5  # ns of an element at a place that run time knows
FAR = 1 << 20  # the stride that stands for one that is not known


def placed(e: Emitter, value: Value, dtype: np.dtype[Any], limit: int) -> tuple[Value, Value]:
    """An index moved into [0, limit], as i64, and whether it was there (i1), lane by lane."""
    if bounds.inside(e, value, limit):
        return _wide(e, value), constant(True, "i1", value.lanes)
    unsigned = dtype.kind == "u"
    most = e.const(min(limit, int(np.iinfo(dtype).max)), value)
    if unsigned:
        inside = e.call("llvm.umin", value.elem, value, most)
    else:
        inside = e.call(
            "llvm.smin", value.elem, e.call("llvm.smax", value.elem, value, e.const(0, value)), most
        )
    valid = e.icmp("eq", inside, value)
    return _wide(e, inside), valid


def _wide(e: Emitter, value: Value) -> Value:
    return value if value.elem == "i64" else e.convert("zext", value, "i64")


def found_in(e: Emitter, value: Value, dtype: np.dtype[Any], limit: int) -> tuple[Value, Value]:
    """An index as i64, which means something only if the other value is true: it is in [0, limit]."""
    if bounds.inside(e, value, limit):
        return _wide(e, value), constant(True, "i1", value.lanes)
    most = e.const(min(limit, int(np.iinfo(dtype).max)), value)
    valid = e.icmp("ule", value, most)  # without a sign, negative numbers are large
    return _wide(e, value), valid


class Places:
    """How index vectors say where windows are: what gather and scatter have in common.

    Args:
        shape: the operand's shape.
        sizes: the windows' sizes along the operand's dimensions.
        index_map, removed, batching, indices_batching: as in the dimension numbers.
        drop: whether it matters that a window is out of range.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        sizes: Sequence[int],
        index_map: Sequence[int],
        removed: Sequence[int],
        batching: Sequence[int],
        indices_batching: Sequence[int],
        mode: GatherScatterMode,
    ) -> None:
        self.index_map = index_map
        self.limits = [shape[d] - sizes[d] for d in index_map]
        self.batch_of = dict(zip(batching, indices_batching, strict=True))
        self.kept = [d for d in range(len(shape)) if d not in removed and d not in batching]
        self.drop = mode is GatherScatterMode.FILL_OR_DROP
        self.rank = len(shape)

    def start(
        self, e: Emitter, indices: Node, batch: Position, view: View, *, tests: bool = False
    ) -> tuple[Index, Value | None]:
        """The flat index of the windows at a position of the batch, and whether they are in range.

        tests: the index will be used only if they are. Otherwise it is moved into the array.
        """
        flat, vector, valid = view.offset, None, None
        place = found_in if tests and self.drop else placed
        for c, (d, limit) in enumerate(zip(self.index_map, self.limits, strict=True)):
            raw = components(indices.element(e, (*batch, Index.of(c))))[0]
            value, inside = place(e, raw, indices.dtype, limit)
            if self.drop and inside.name[0] == "%":
                valid = inside if valid is None else e.and_(*e.match(valid, inside))
            stride = view.strides[d]
            if value.lanes == 1:
                flat = flat + Index.along(value, 0, limit) * stride
            else:
                part = value if stride == 1 else e.mul(value, e.const(stride, value))
                vector = part if vector is None else e.add(vector, part)
        for d, b in self.batch_of.items():
            flat = flat + batch[b] * view.strides[d]
        if vector is not None:
            flat = Index(flat.terms, flat.const, flat.lanes, flat.low, flat.high, vector)
        return flat, valid

    def within(self, flat: Index, window: Position, view: View) -> Index:
        """The flat index of a position within a window."""
        return flat.plus(window, [view.strides[d] for d in self.kept])


class Gather(Node):
    """Windows of memory (or of registers) at computed places."""

    __slots__ = ("source", "indices", "places", "batch_dims", "offset_dims", "fill", "variable")

    def __init__(
        self,
        source: View | Registers,
        indices: Node,
        shape: tuple[int, ...],
        places: Places,
        offset_dims: Sequence[int],
        fill: Constant | None,
        variable: Value,
    ) -> None:
        super().__init__(shape, source.dtype)
        self.source = source
        self.indices = indices
        self.places = places
        self.offset_dims = tuple(offset_dims)
        self.batch_dims = tuple([d for d in range(len(shape)) if d not in offset_dims])
        self.fill = fill
        self.variable = variable  # stands for what is not known

    def _parts(self, at: Position) -> tuple[Position, Position]:
        return tuple([at[d] for d in self.batch_dims]), tuple([at[d] for d in self.offset_dims])

    def compute(self, e: Emitter, at: Position) -> Element:
        batch, window = self._parts(at)
        view = self.source if isinstance(self.source, View) else self.source.in_memory(e)
        flat, valid = self.places.start(e, self.indices, batch, view)
        flat = self.places.within(flat, window, view)
        base = view.buffer.base_in(e)
        assert base is not None
        element = load(e, Content(e.local(base), view.storage, view.level(e), view.buffer), flat)
        if self.fill is None or valid is None:
            return element
        return masked(e, valid, element, self.fill)

    def visit(self, at: Position, found: Accesses) -> None:
        if not found.first(self, at):
            return
        found.opaque = True
        found.cost += COST
        batch, window = self._parts(at)
        for c in range(len(self.places.limits)):
            self.indices.visit((*batch, Index.of(c)), found)
        found.direct.extend(batch)
        if isinstance(self.source, View):
            flat = self.source.offset + Index.along(self.variable, 0, 0)
            for index in batch:
                flat = flat + Index(index.terms) * FAR
            found.views.append((self.source, self.places.within(flat, window, self.source)))
        else:
            found.direct.extend(window)


def masked(e: Emitter, valid: Value, element: Element, fill: Constant) -> Element:
    """The element where valid, else the number."""
    other = components(fill.compute(e, ()))
    chosen = [e.select(valid, x, y) for x, y in zip(components(element), other, strict=True)]
    return tuple(chosen) if len(chosen) > 1 else chosen[0]


def number(dtype: np.dtype[Any], fill_value: Any) -> Constant:
    """What windows out of range are filled with."""
    value = fill_number(dtype, fill_value)
    return Constant(np.asarray(value, dtype), dtype)


@lowering("gather")
def gather(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    x, indices = operands
    params = eqn.params
    aval = eqn.outvars[0].aval
    if not x.storage.computable:
        return None
    numbers: GatherDimensionNumbers = params["dimension_numbers"]
    sizes, mode = params["slice_sizes"], params["mode"]
    if not aval.size:
        return [lw.result(aval, out[0])]
    places = Places(
        x.shape,
        sizes,
        numbers.start_index_map,
        numbers.collapsed_slice_dims,
        numbers.operand_batching_dims,
        numbers.start_indices_batching_dims,
        mode,
    )
    fill = number(x.dtype, params["fill_value"]) if places.drop else None
    if math.prod(indices.shape[:-1]) == 1 and not isinstance(x, Registers):
        return [_window(lw, x, indices, aval.shape, places, numbers.offset_dims, fill)]
    source = x if isinstance(x, (View, Registers)) else lw.memory(x)
    if not isinstance(indices, (View, Registers)) and indices.size < aval.size:
        indices = lw.registers(indices) if lw.small(indices) else indices
    variable = Value("%" + lw.e.fresh("gathered"), "i64", 1, 0)
    node = Gather(source, indices, aval.shape, places, numbers.offset_dims, fill, variable)
    return [lw.computed(node)]


def _window(
    lw: Lowering,
    x: Node,
    indices: Node,
    shape: tuple[int, ...],
    places: Places,
    offset_dims: Sequence[int],
    fill: Constant | None,
) -> Node:
    """A single window: a view, or a part of what is not computed yet."""
    e = lw.e
    lw.settle(indices)
    batch = (ZERO,) * (len(indices.shape) - 1)
    starts = [ZERO] * len(x.shape)
    valid: Value | None = None
    for c, (d, limit) in enumerate(zip(places.index_map, places.limits, strict=True)):
        value, inside = placed(
            e, components(indices.element(e, (*batch, Index.of(c))))[0], indices.dtype, limit
        )
        starts[d] = Index.along(value, 0, limit)
        if inside.name[0] == "%":
            valid = inside if valid is None else e.and_(valid, inside)
    if isinstance(x, View):
        offset, strides = ZERO, [0] * len(shape)
        for start, stride in zip(starts, x.strides, strict=True):
            offset = offset + start * stride
        for d, source in zip(offset_dims, places.kept, strict=True):
            strides[d] = x.strides[source]
        node: Node = x.with_layout(shape, tuple(strides), offset)
    else:
        kept = dict(zip(places.kept, offset_dims, strict=True))

        def mapping(at: Position) -> Position:
            return tuple([starts[d] + at[kept[d]] if d in kept else starts[d] for d in range(len(starts))])

        node = Remap(x, shape, mapping)
    if fill is not None and valid is not None:
        source_node, found = node, valid

        def select(e: Emitter, types: Any, element: Element) -> Element:
            return masked(e, e.local(found), element, fill)

        node = Map(select, [source_node], shape, x.dtype, {}, 0.03)
    if isinstance(node, View) and node.buffer.pending:
        return node
    return lw.computed(node)


__all__ = ["Gather", "Places", "gather", "masked", "number", "placed"]
