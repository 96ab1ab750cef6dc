"""Lowerings of `scatter` and its kind: updates one after the other, in place if nothing else needs the array.

The order of the updates is that of the index vectors, as in the NumPy engine; vectors write the windows. Many
updates that are added to few elements are cut into parts that threads share; the number of parts follows from
the shapes. Each part has sums of its own, which are added up in the order of the parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import numpy as np

from ...core.program import Equation
from ...ops.scatter import ScatterDimensionNumbers, window_sizes
from . import elementwise
from .deferred import Map, Types
from .gather import Places, placed
from .index import ZERO, Index
from .ir import Emitter, Value, constant, vector_literal
from .lower import Lowering, in_place, lowering
from .nodes import Buffer, Node, Position, Registers, View, whole
from .parallel import parallel_for, poll, poll_in, turns_between_polls
from .slicing import destination, independent
from .storage import Content, Element, components, load, store

Out = Sequence[View | None]
Combine = Callable[[Emitter, Element, Element], Element]

OPERATIONS = {
    "scatter": "",
    "scatter_add": "add",
    "scatter_sub": "sub",
    "scatter_mul": "mul",
    "scatter_min": "min",
    "scatter_max": "max",
}
COST = 1.0  # ns of an element
LANES = 64  # elements of a window that are handled at once
FLOAT32, UINT8 = np.dtype(np.float32), np.dtype(np.uint8)
LEAST = 1 << 17  # elements of updates that are worth sharing
MOST = 8  # parts
DENSE = 8  # elements of updates of a part for each of its sums
SUMS = 16  # lanes of sums

in_place.update(OPERATIONS)


@lowering(*OPERATIONS)
def scatter(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    x, indices, updates = operands
    operation = OPERATIONS[eqn.primitive.name]
    if not x.storage.computable or (operation in ("min", "max") and x.dtype.kind == "c"):
        return None
    if not x.size or not updates.size:
        return [lw.into(x, lw.result(x, out[0]))]
    numbers: ScatterDimensionNumbers = eqn.params["dimension_numbers"]
    sizes = window_sizes(numbers, len(x.shape), updates.shape)
    places = Places(
        x.shape,
        sizes,
        numbers.scatter_dims_to_operand_dims,
        numbers.inserted_window_dims,
        numbers.operand_batching_dims,
        numbers.scatter_indices_batching_dims,
        eqn.params["mode"],
    )
    wide = operation in ("add", "sub", "mul") and x.storage.narrow is not None
    dtype = FLOAT32 if wide else x.dtype

    def combine(e: Emitter, old: Element, new: Element) -> Element:
        return elementwise.rules[operation](e, Types((dtype, dtype), dtype), old, new) if operation else new

    updates, indices = independent(lw, updates, x), independent(lw, indices, x)
    if lw.small(x):
        lw.settle(x, updates, indices)
        single = math.prod(indices.shape[:-1]) == 1 < x.size and not wide
        if single and all(
            sizes[d] == (1 if d in places.index_map or d in places.batch_of else n) or n == 1
            for d, n in enumerate(x.shape)
        ):
            return [_selected(lw, lw.registers(x), indices, lw.registers(updates), places, sizes, combine)]
        view = _on_stack(lw, converted(lw.registers(x), dtype))
    elif wide:
        # Sums of halves are kept in single precision and rounded once.
        node = converted(x, dtype)
        view = lw.store(lw.result(node), node)
    else:
        view = destination(lw, eqn, 0, x, out[0])
    lw.settle(updates, indices)
    lw.flush()

    def write(e: Emitter, into: View, part: tuple[Value, Value] | None = None) -> None:
        dims, new = numbers.update_window_dims, converted(updates, dtype)
        Scatter(e, into, indices, new, places, dims, combine, bool(operation), part)

    parts = _parts(lw, operation, view, indices, updates)
    if parts > 1:
        _shared(lw, view, indices.shape[0], parts, write, combine)
    else:
        write(lw.e, view)
    after = View(Buffer(view.buffer.base, lw.e.level), view.shape, view.dtype, view.strides, view.offset)
    if lw.small(x):
        element = after.element(lw.e, whole(x.shape))
        return [lw.registers(converted(Registers(x.shape, dtype, element), x.dtype))]
    if wide:
        return [lw.store(lw.result(x, out[0]), converted(after, x.dtype))]
    after.buffer.bytes = view.buffer.bytes
    after.buffer.slots, view.buffer.slots = view.buffer.slots, ()
    lw.made(after.buffer)
    return [after]


def _parts(lw: Lowering, operation: str, view: View, indices: Node, updates: Node) -> int:
    """Into how many parts the updates are cut that threads share; 1: not worth it."""
    if operation != "add" or lw.e.outlined or len(indices.shape) < 2 or updates.size < LEAST:
        return 1
    if view.storage.components != 1 or view.storage.register == "i1" or not view.contiguous:
        return 1
    return max(1, min(MOST, indices.shape[0], updates.size // (DENSE * view.size)))


def _shared(
    lw: Lowering,
    view: View,
    count: int,
    parts: int,
    write: Callable[[Emitter, View, tuple[Value, Value]], None],
    combine: Combine,
) -> None:
    """Add parts of the updates to sums of their own, and those to the array.

    Args:
        view: the array, which has its old content.
        count: index vectors along the first dimension.
        write: adds the updates of a part to an array.
    """
    size, storage = view.size, view.storage
    stride = -(-size * storage.bytes // 128) * 128  # so that no two parts have a line of the cache in common
    base = lw.address(lw.result(Node((parts * stride,), UINT8)))
    # Adding this changes nothing, not even the sign of zero.
    nothing = -0.0 if storage.register in ("float", "double") else 0

    def sums_at(e: Emitter, number: Value) -> View:
        offset = e.mul(number, constant(stride, "i64"))
        place = e.here(f"getelementptr i8, ptr {e.local(base).name}, i64 {offset.name}", "ptr", 1)
        return View(Buffer(place, e.level), view.shape, view.dtype)

    def each(e: Emitter, body: Callable[[Index, int], None]) -> None:
        whole_vectors, rest = divmod(size, SUMS)
        if whole_vectors:
            with e.loop(constant(0, "i64"), constant(whole_vectors * SUMS, "i64"), SUMS) as loop:
                at = Index.of_lanes(range(SUMS)) + Index.along(loop.index, 0, (whole_vectors - 1) * SUMS)
                body(at, SUMS)
        if rest:
            body(Index.of_lanes(range(rest)) + whole_vectors * SUMS, rest)

    def some(e: Emitter, start: Value, stop: Value, chunk: Value) -> None:
        sums = sums_at(e, chunk)
        zero = constant(nothing, storage.register)

        def clear(at: Index, lanes: int) -> None:
            store(e, sums.pointer(e), at, storage, zero, lanes)

        each(e, clear)
        write(e, sums, (start, stop))

    e = lw.e
    used = parallel_for(e, count, parts, some)
    address = view.pointer(e)
    parts_of = [sums_at(e, constant(k, "i64")).pointer(e) for k in range(used)]

    def add(at: Index, lanes: int) -> None:
        total = load(e, Content.now(e, address, storage), at)
        for place in parts_of:
            total = combine(e, total, load(e, Content.now(e, place, storage), at))
        store(e, address, at, storage, total, lanes)

    each(e, add)


def _selected(
    lw: Lowering,
    x: Registers,
    indices: Node,
    updates: Registers,
    places: Places,
    sizes: Sequence[int],
    combine: Combine,
) -> Registers:
    """One window of a small array, of size 1 along the dimensions with an index: its lanes are selected."""
    e = lw.e
    grid = np.unravel_index(np.arange(x.size), x.shape)
    batch = (ZERO,) * (len(indices.shape) - 1)
    chosen: Value = constant(True, "i1", x.size)
    for c, (d, limit) in enumerate(zip(places.index_map, places.limits, strict=True)):
        raw = components(indices.element(e, (*batch, Index.of(c))))[0]
        start, inside = placed(e, raw, indices.dtype, limit)
        numbers = Value(vector_literal([int(k) for k in grid[d]], "i32"), "i32", x.size, 0)
        here = e.icmp("eq", numbers, e.splat(e.convert("trunc", start, "i32"), x.size))
        chosen = e.and_(chosen, here)
        if places.drop:
            chosen = e.and_(chosen, e.splat(inside, x.size))
    # The other dimensions are covered whole.
    source = np.zeros(x.size, int)
    for d in places.kept:
        source = source * sizes[d] + (grid[d] if sizes[d] > 1 else 0)
    moved = tuple([e.shuffle(e.splat(v, updates.size), [int(k) for k in source]) for v in updates.values])
    old = tuple([e.splat(v, x.size) for v in x.values])
    several = len(old) > 1
    new = components(combine(e, old if several else old[0], moved if several else moved[0]))
    parts = [e.select(chosen, e.splat(b, x.size), a) for a, b in zip(old, new, strict=True)]
    return Registers(x.shape, x.dtype, tuple(parts) if several else parts[0])


def converted(x: Node, dtype: np.dtype) -> Node:
    """The node in another floating-point dtype."""
    if x.dtype == dtype:
        return x
    return Map(elementwise.rules["convert_element_type"], [x], x.shape, dtype, {}, 0.05)


def _on_stack(lw: Lowering, x: Node) -> View:
    """A copy of a small array that may be changed."""
    e = lw.e
    base = e.stack(x.storage.memory, x.size * x.storage.components)
    store(e, base, Index.of_lanes(range(x.size)), x.storage, x.element(e, whole(x.shape)), x.size)
    return View(Buffer(base, e.level), x.shape, x.dtype)


class Scatter:
    """Writes the loops."""

    def __init__(
        self,
        e: Emitter,
        view: View,
        indices: Node,
        updates: Node,
        places: Places,
        window_dims: Sequence[int],
        combine: Combine,
        reads: bool,
        part: tuple[Value, Value] | None = None,  # of the first dimension of the index vectors
    ) -> None:
        self.e, self.view, self.indices, self.updates = e, view, indices, updates
        self.places, self.combine, self.reads = places, combine, reads
        self.window_dims = tuple(window_dims)
        self.window = tuple([updates.shape[d] for d in window_dims])
        self.batch_dims = [d for d in range(len(updates.shape)) if d not in window_dims]
        e.module.work += e.module.turns * COST * updates.size
        with ExitStack() as loops:
            batch = self._loops(loops, indices.shape[:-1], math.prod(self.window), part)
            self.flat, valid = places.start(e, indices, batch, view, tests=True)
            if valid is None:
                self._windows(batch)
            else:
                e.branch(valid, [lambda: self._windows(batch), list])

    def _loops(
        self,
        loops: ExitStack,
        shape: Sequence[int],
        inner: int,
        part: tuple[Value, Value] | None = None,
    ) -> Position:
        """Loops within each other, the innermost over `inner` elements; the first over a part, if given."""
        at = []
        for d, n in enumerate(shape):
            if n == 1:
                at.append(ZERO)
                continue
            e, start, stop = self.e, constant(0, "i64"), constant(n, "i64")
            if part is not None and d == 0:
                start, stop = part
            turns = turns_between_polls(n, math.prod(shape[d + 1 :]) * inner)
            if turns:
                piece = loops.enter_context(e.loop(start, stop, turns))
                poll(e, constant(0, "i64"), 1)
                start, stop = (
                    piece.index,
                    e.call("llvm.umin", "i64", e.add(piece.index, constant(turns, "i64")), stop),
                )
            loop = loops.enter_context(e.loop(start, stop))
            at.append(Index.along(loop.index, 0, n - 1))
        return tuple(at)

    def _windows(self, batch: Position) -> Sequence[Value]:
        """Write one window."""
        sizes = self.window
        if math.prod(sizes) <= LANES:
            self._write(batch, whole(sizes), math.prod(sizes))
            return []
        with ExitStack() as loops:
            outer = self._loops(loops, sizes[:-1], sizes[-1])
            turns, rest = divmod(sizes[-1], LANES)
            if turns:
                stop = constant(turns * LANES, "i64")
                with self.e.loop(constant(0, "i64"), stop, LANES) as loop:
                    poll_in(self.e, loop.index, turns * LANES, 1, LANES)
                    lanes = Index.of_lanes(range(LANES)) + Index.along(loop.index, 0, (turns - 1) * LANES)
                    self._write(batch, (*outer, lanes), LANES)
            if rest:
                self._write(batch, (*outer, Index.of_lanes(range(rest)) + turns * LANES), rest)
        return []

    def _write(self, batch: Position, window: Position, lanes: int) -> None:
        e, view = self.e, self.view
        at = [ZERO] * len(self.updates.shape)
        for d, index in zip([*self.batch_dims, *self.window_dims], [*batch, *window], strict=True):
            at[d] = index
        element = self.updates.element(e, tuple(at))
        flat = self.places.within(self.flat, window, view)
        assert view.buffer.base is not None
        if self.reads:
            old = load(e, Content.now(e, view.buffer.base, view.storage), flat)
            element = self.combine(e, old, element)
        store(e, view.buffer.base, flat, view.storage, element, lanes)


__all__ = ["Scatter", "converted", "scatter"]
