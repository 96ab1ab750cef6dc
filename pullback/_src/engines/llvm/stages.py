"""Stages: loops over a domain that store and accumulate elements of nodes.

`plan` looks at what a stage reads and writes and decides the loops: which dimensions can be merged, along
which the vector lanes go, what is around them. `emit` writes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from .index import ZERO, Index
from .ir import Emitter, Value, constant, type_text, vector_literal
from .nodes import Accesses, Node, Position, View, chain_of, rounded
from .parallel import chunks_for, parallel_for
from .reducers import Reducer
from .storage import BYTES, TILE, components, store

LANE_BYTES = 128  # of the widest element type, times lanes: two AVX-512 or four AVX2 registers a value
BLOCK = 64  # terms that a lane adds one after the other before sums are combined pairwise
KEPT = 1 << 16  # bytes of sums that are kept in memory while rows are added to them
PANEL = 64  # indices of a second axis between which a transposing loop goes back and forth
UNROLL = 16  # terms of a reduction that are written out instead of looped over
HEAVY_BODY = 1.2  # ns of operations that may be worth shorter vectors
LONG_BODY = 0.25  # ns of operations: what takes longer is not written twice


@dataclass(eq=False)
class Output:
    """`view` gets `node`'s elements; with a reducer, those of the reduced dimensions combined."""

    view: View
    node: Node
    reducer: Reducer | None = None
    needed: bool = True  # False: the elements are only read by the same stage, and not stored


@dataclass(eq=False)
class Stage:
    """A loop nest over `domain` in the making."""

    domain: tuple[int, ...]
    reduced: tuple[bool, ...]
    outputs: list[Output] = field(default_factory=list)
    # What the first outputs read, once somebody has asked: their number, views and flat indices.
    reads: tuple[int, list[tuple[View, Index]]] | None = None
    operations: float = 0.0  # ns on an element, roughly; as old as `reads`
    along: int | None = None  # the dimension that the lanes have to go along

    def stored_at(self, output: Output, at: Position) -> Index:
        """Where an output's element of a position goes."""
        if output.reducer is None:
            return output.view.flat(at)
        return output.view.flat(tuple([i for i, r in zip(at, self.reduced, strict=True) if not r]))


@dataclass(eq=False)
class Axis:
    """A loop of a stage: merged dimensions, walked by the index of the last one."""

    size: int
    reduced: bool
    dims: list[int]


@dataclass(eq=False)
class Plan:
    """The loops of a stage: `outer` around `lanes`, of which the first is cut into blocks; then `inner`
    reductions."""

    outer: list[Axis]
    block: Axis | None
    count: int  # how many of the block axis's indices make one vector
    full: list[Axis]
    inner: list[Axis]
    cost: float  # ns for an element, roughly
    tile: Axis | None = None  # walked inside of the block, TILE indices at a time
    body: float = 0.0  # the operations' part of it
    # Whether elements may be computed twice, because nothing is read that the stage writes over.
    repeatable: bool = False


def probe(stage: Stage, fixed: dict[int, Index]) -> tuple[Position, list[Value], Accesses]:
    """What the stage reads, at variables that stand for the loops' ones."""
    variables = [Value(f"?{d}", "i64", 1, 0) for d in range(len(stage.domain))]
    at = tuple(
        [
            fixed.get(d, ZERO if n == 1 else Index.along(variables[d], 0, n - 1))
            for d, n in enumerate(stage.domain)
        ]
    )
    found = Accesses()
    for output in stage.outputs:
        output.node.visit(at, found)
    return at, variables, found


def element_cost(operations: float, reads: Sequence[View], stores: int) -> float:
    """Nanoseconds that an element of a stage takes, roughly."""
    return 0.05 + operations + sum([0.05 * v.storage.bytes for v in reads]) + 0.2 * stores


def plan(stage: Stage, fixed: dict[int, Index]) -> Plan:
    """Decide the loops of a stage; the dimensions in `fixed` are given."""
    at, variables, found = probe(stage, fixed)
    flats = [flat for _, flat in found.views] + [flat for _, flat in found.registers]
    stores = [stage.stored_at(o, at) for o in stage.outputs]
    rows = [{v.name: c for v, c in flat.terms} for flat in [*flats, *stores]]
    direct = {v.name for index in found.direct for v, _ in index.terms}
    direct |= {v.name for flat in flats if flat.vector is not None for v in variables}
    accumulated = [o.reducer is not None for o in stage.outputs]

    axes: list[Axis] = []
    for d, n in enumerate(stage.domain):
        if n == 1 or d in fixed:
            continue
        if axes:
            last = axes[-1]
            outer, inner = variables[last.dims[-1]].name, variables[d].name
            mergeable = (
                last.reduced == stage.reduced[d]
                and outer not in direct
                and inner not in direct
                and all(row.get(outer, 0) == row.get(inner, 0) * n for row in rows)
            )
            if mergeable:
                last.size *= n
                last.dims.append(d)
                continue
        axes.append(Axis(n, stage.reduced[d], [d]))

    def score(axis: Axis) -> float:
        name = variables[axis.dims[-1]].name
        total = 0.0
        for number, row in enumerate(rows):
            stride = row.get(name, 0)
            weight = 1.0
            if number >= len(flats):
                if accumulated[number - len(flats)]:
                    continue
                weight = 1.5
            total += weight * (
                1.0 if abs(stride) == 1 else 0.6 if stride == 0 else -1.0 if stride < 4 else -2.0
            )
        if axis.size < 8:
            total -= 2.0
        if axis.reduced:
            total -= 0.1
        return total

    widest = max([o.node.storage.bytes for o in stage.outputs] + [v.storage.bytes for v, _ in found.views])
    target = LANE_BYTES // max(widest, 4)
    # Vectors of half the length compile sooner, and are as quick if enough goes on at the same time anyway.
    chain = max([chain_of(o.node) for o in stage.outputs])
    if found.cost > 4 or found.cost > max(HEAVY_BODY, 2.5 * chain):
        target //= 2
    cost = element_cost(found.cost, [v for v, _ in found.views], len(stores))
    if not axes:
        return Plan([], None, 1, [], [], cost)
    # What has the very buffer of an output is its element in a register.
    written = {o.view.buffer for o in stage.outputs}
    repeatable = not any(v.buffer.precedes(buffer) for v, _ in found.views for buffer in written)
    crossing = _crossing(axes, variables, rows[: len(flats)], rows[len(flats) :], direct)
    if crossing is not None and not any(stage.reduced) and found.cost < 4:
        tile, block = crossing
        others = [a for a in axes if a is not tile and a is not block]
        return Plan(others, block, TILE, [], [], cost, tile, found.cost, repeatable)
    best = next((k for k, a in enumerate(axes) if stage.along in a.dims), -1)
    if best < 0:
        best = max(range(len(axes)), key=lambda k: (score(axes[k]), k))
    chosen = axes[best]
    full: list[Axis] = []
    rest = [a for a in axes if a is not chosen]
    block = chosen
    lanes = chosen.size
    if not chosen.reduced:
        # Short dimensions are lanes altogether, with further ones around them.
        while lanes * 2 <= target:
            others = [a for a in rest if not a.reduced]
            if not others:
                break
            nearest = others[-1]
            full.insert(0, block)
            rest.remove(nearest)
            block = nearest
            lanes *= block.size
    inside = math.prod(a.size for a in full)
    count = max(1, min(block.size, target // max(inside, 1)))
    if chosen.reduced:
        others = [a for a in rest if not a.reduced] + [a for a in rest if a.reduced]
        return Plan(others, block, count, [], [], cost, None, found.cost, repeatable)
    kept, summed = [a for a in rest if not a.reduced], [a for a in rest if a.reduced]
    return Plan(kept, block, count, full, summed, cost, None, found.cost, repeatable)


def _crossing(
    axes: Sequence[Axis],
    variables: Sequence[Value],
    loads: Sequence[dict[str, int]],
    stores: Sequence[dict[str, int]],
    direct: set[str],
) -> tuple[Axis, Axis] | None:
    """Two axes of which loads walk one contiguously and stores the other: the program transposes."""
    names = {variables[a.dims[-1]].name: a for a in axes if a.size >= 2 * TILE}
    inner = next((n for n in names if all(abs(row.get(n, 0)) == 1 for row in stores)), None)
    if inner is None or inner in direct:
        return None
    for row in loads:
        if abs(row.get(inner, 0)) >= TILE:
            for name, axis in names.items():
                if row.get(name, 0) == 1 and name not in direct:
                    return axis, names[inner]
    return None


class StageWriter:
    """Writes the loops of one stage."""

    def __init__(self, e: Emitter, stage: Stage, fixed: dict[int, Index]) -> None:
        self.e = e
        self.stage = stage
        self.plan = plan(stage, fixed)
        e.module.work += e.module.turns * self.plan.cost * math.prod(stage.domain)
        self.at: list[Index] = [fixed.get(d, ZERO) for d in range(len(stage.domain))]
        self.sums = [o for o in stage.outputs if o.reducer is not None]
        self.width = 1  # lanes of the terms that are accumulated
        # A part of an axis instead of all of it: its first index and its size.
        self.window: tuple[Axis, Value, int] | None = None

    # Threads ---------------------------------------------------------------------------------------------

    def write(self) -> None:
        """Write the stage, for several threads if it is worth it."""
        plan = self.plan
        work = plan.cost * math.prod(self.stage.domain)
        block = plan.block
        if self.e.outlined or block is None or chunks_for(work, 2) == 1:
            self._outer(plan.outer)
        elif plan.outer and not plan.outer[0].reduced and plan.outer[0].size > 1:
            self._share_axis(plan.outer[0], chunks_for(work, plan.outer[0].size))
        elif not block.reduced and block.size >= 2 * plan.count:
            self._share_blocks(block, chunks_for(work, block.size // plan.count))
        elif self.sums and len(self.sums) == len(self.stage.outputs):
            self._share_terms(work)
        else:
            self._outer(plan.outer)

    def _share_axis(self, axis: Axis, chunks: int) -> None:
        main = self.e

        def some(inner: Emitter, start: Value, stop: Value, chunk: Value) -> None:
            self.e = inner
            with self.looped(axis, start, stop):
                self._outer(self.plan.outer[1:])

        parallel_for(main, axis.size, chunks, some)
        self.e = main

    def _share_blocks(self, block: Axis, chunks: int) -> None:
        main, count = self.e, self.plan.count
        blocks, rest = divmod(block.size, count)

        def some(inner: Emitter, start: Value, stop: Value, chunk: Value) -> None:
            self.e = inner
            step = constant(count, "i64")
            self._full_blocks(inner.mul(start, step), inner.mul(stop, step), -(-blocks // chunks))

        parallel_for(main, blocks, chunks, some)
        self.e = main
        self._rest(blocks, rest)

    def _share_terms(self, work: float) -> None:
        """A reduction to few elements: each chunk of terms makes a partial result."""
        plan, main = self.plan, self.e
        assert plan.block is not None
        reduced = [a for a in plan.outer if a.reduced] + ([plan.block] if plan.block.reduced else plan.inner)
        axis = reduced[0]
        step = plan.count if axis is plan.block else 1
        size = -(-axis.size // chunks_for(work, axis.size // step) // step) * step
        chunks = axis.size // size
        if chunks < 2:
            self._outer(plan.outer)
            return
        one = self._partial_lanes()
        kinds = [i.elem for o in self.sums if o.reducer for i in o.reducer.identity]
        places = [main.stack(elem, chunks * one) for elem in kinds]

        def some(inner: Emitter, start: Value, stop: Value, chunk: Value) -> None:
            self.e = inner
            self.window = axis, inner.mul(chunk, constant(size, "i64")), size
            sums = [v for t in self._partial(reduced) for v in t]
            offset = inner.mul(chunk, constant(one, "i64"))
            for value, place in zip(sums, places, strict=True):
                base = inner.local(place)
                at = inner.here(f"getelementptr {value.elem}, ptr {base.name}, i64 {offset.name}", "ptr", 1)
                inner.line(f"store {inner.splat(value, one).typed}, ptr {at.name}, align 4")

        parallel_for(main, chunks, chunks, some)
        self.e = e = main
        total: list[tuple[Value, ...]] = []
        loaded = [
            e.here(f"load <{chunks * one} x {elem}>, ptr {place.name}, align 4", elem, chunks * one)
            for elem, place in zip(kinds, places, strict=True)
        ]
        if one == 1:
            groups = zip(self.sums, self._grouped(loaded), strict=True)
            total = [o.reducer.lanes(e, group) for o, group in groups if o.reducer is not None]
        else:
            parts = [
                self._grouped([e.shuffle(v, range(k * one, (k + 1) * one)) for v in loaded])
                for k in range(chunks)
            ]
            total = self._tree(parts)
        if axis.size % size:
            self.window = axis, constant(chunks * size, "i64"), axis.size % size
            total = self._combine(total, self._partial(reduced))
        self.window = None
        if not plan.block.reduced:
            self._set_lanes(ZERO, plan.block.size)
        self._store(total, one)

    def _partial_lanes(self) -> int:
        plan = self.plan
        assert plan.block is not None
        if plan.block.reduced:
            return 1
        return plan.block.size * math.prod(a.size for a in plan.full)

    def _partial(self, reduced: Sequence[Axis]) -> list[tuple[Value, ...]]:
        """The combined terms of the window."""
        plan = self.plan
        assert plan.block is not None
        if plan.block.reduced:
            return self._reduce_all(reduced)
        self.width = self._set_lanes(ZERO, plan.block.size)
        return self._reduce(reduced)

    # Loops -----------------------------------------------------------------------------------------------

    @contextmanager
    def looped(self, axis: Axis, start: Value | None = None, stop: Value | None = None) -> Iterator[None]:
        """A loop over an axis, with the position's index set."""
        e = self.e
        begin = constant(0, "i64") if start is None else start
        end = constant(axis.size, "i64") if stop is None else stop
        with e.loop(begin, end) as loop:
            self.at[axis.dims[-1]] = Index.along(loop.index, 0, axis.size - 1)
            yield
        self.at[axis.dims[-1]] = ZERO

    def _outer(self, axes: Sequence[Axis]) -> None:
        plan = self.plan
        if axes and not axes[0].reduced:
            with self.looped(axes[0]):
                self._outer(axes[1:])
        elif plan.block is None:
            self._inside(1)
        elif plan.block.reduced:
            self._store(self._reduce_all([*axes, plan.block]), 1)
        else:
            self._blocks(plan.block.size)

    def _blocks(self, size: int) -> None:
        """All blocks of lanes along an axis of this size.

        The last one may overlap with the one before: elements are computed twice then. That is quicker than a
        vector of an odd length, and a long loop body need not be written a second time for it.
        """
        plan = self.plan
        blocks, rest = divmod(size, plan.count)
        wide = bool(self.sums and plan.inner and self._is_wide(blocks))
        long = plan.tile is None and not wide and (bool(plan.inner) or plan.body > LONG_BODY)
        if rest and blocks and plan.repeatable and long:
            last = size - plan.count
            with self.e.loop(constant(0, "i64"), constant(size, "i64"), plan.count) as loop:
                start = self.e.call("llvm.umin", "i64", loop.index, constant(last, "i64"))
                self._lanes(Index.along(start, 0, last), plan.count)
            return
        if blocks == 1:
            self._lanes(ZERO, plan.count)
        elif blocks:
            self._full_blocks(constant(0, "i64"), constant(blocks * plan.count, "i64"), blocks)
        self._rest(blocks, rest)

    def _rest(self, blocks: int, rest: int) -> None:
        """The last lanes of the block axis, after so many whole blocks."""
        count = self.plan.count
        if rest and blocks and self.plan.repeatable:
            self._lanes(Index.of((blocks - 1) * count + rest), count)
        elif rest:
            self._lanes(Index.of(blocks * count), rest)

    def _full_blocks(self, start: Value, stop: Value, most: int) -> None:
        """The blocks of lanes from `start` to `stop`, at most so many."""
        plan = self.plan
        assert plan.block is not None
        if plan.tile is not None:
            self._panels(plan.tile, start, stop)
            return
        if self.sums and plan.inner and self._is_wide(most):
            self._by_rows(start, stop, most)
            return
        with self.e.loop(start, stop, plan.count) as loop:
            self._lanes(self._whole_blocks(loop.index), plan.count)

    # Sums of long rows: going down one block of columns after the other would touch another page of memory
    # with each term. So a few rows at a time are added to sums that are kept in memory.

    def _is_wide(self, blocks: int) -> bool:
        plan = self.plan
        width = blocks * plan.count
        total = width * sum(BYTES[i.elem] for o in self.sums if o.reducer for i in o.reducer.identity)
        rows = plan.inner[0].size
        return blocks > 1 and 1024 <= total <= KEPT and rows >= 32 and not plan.full

    def _by_rows(self, start: Value, stop: Value, most: int) -> None:
        e, plan = self.e, self.plan
        assert plan.block is not None
        block, count, axis = plan.block, plan.count, plan.inner[0]
        kinds = [i for o in self.sums if o.reducer for i in o.reducer.identity]
        kept = [e.stack(i.elem, most * count) for i in kinds]
        self.width = count

        def blocks(body: Callable[[list[Value]], None]) -> None:
            """`body` with the places of each block's sums."""
            with e.loop(start, stop, count) as loop:
                self._set_lanes(self._whole_blocks(loop.index), count)
                offset = e.sub(loop.index, start)
                body(
                    [
                        e.here(f"getelementptr {i.elem}, ptr {k.name}, i64 {offset.name}", "ptr", 1)
                        for i, k in zip(kinds, kept, strict=True)
                    ]
                )
            self.at[block.dims[-1]] = ZERO

        def read(places: list[Value]) -> list[tuple[Value, ...]]:
            pairs = zip(kinds, places, strict=True)
            return self._grouped(
                [
                    e.here(
                        f"load {type_text(i.elem, count)}, ptr {p.name}, align {BYTES[i.elem]}", i.elem, count
                    )
                    for i, p in pairs
                ]
            )

        def write(values: Sequence[Value], places: list[Value]) -> None:
            for value, place in zip(values, places, strict=True):
                e.line(f"store {e.splat(value, count).typed}, ptr {place.name}, align {BYTES[value.elem]}")

        def add(first: Index, rows: int) -> None:
            def body(places: list[Value]) -> None:
                terms = []
                for k in range(rows):
                    self.at[axis.dims[-1]] = first + k
                    terms.append(self._reduce(plan.inner[1:]))
                total = self._combine(read(places), self._tree(terms))
                write([v for t in total for v in t], places)

            blocks(body)

        rows = 16 if plan.cost < 0.5 else 4 if plan.cost < 1.5 else 1
        turns, rest = divmod(axis.size, rows)
        blocks(lambda places: write(kinds, places))
        with e.loop(constant(0, "i64"), constant(turns * rows, "i64"), rows) as down:
            add(Index.along(down.index, 0, turns * rows - rows), rows)
        if rest:
            add(Index.of(turns * rows), rest)
        self.at[axis.dims[-1]] = ZERO
        blocks(lambda places: self._store(read(places), count))

    def _set_lanes(self, start: Index, count: int) -> int:
        """Set the position to `count` indices of the block axis, times all of the full axes."""
        plan = self.plan
        assert plan.block is not None
        axes = [plan.block, *plan.full]
        shape = [count, *[a.size for a in plan.full]]
        lanes = math.prod(shape)
        grids = np.unravel_index(np.arange(lanes), shape)
        for axis, grid in zip(axes, grids, strict=True):
            index = Index.of_lanes([int(k) for k in grid])
            self.at[axis.dims[-1]] = index + start if axis is plan.block else index
        return lanes

    def _lanes(self, start: Index, count: int) -> None:
        if self.plan.tile is None:
            self._inside(self._set_lanes(start, count))
        else:
            self._rows(self.plan.tile, start, count, 0)

    def _panels(self, tile: Axis, start: Value, stop: Value) -> None:
        """Blocks from `start` to `stop` for all indices of the tile axis, a panel of them at a time.

        So the lines of memory that a block touches in one direction are still in the cache when it comes to
        their other elements, and few pages are in use.
        """
        e, place = self.e, tile.dims[-1]

        def panel(first: Index, size: int) -> None:
            with e.loop(start, stop, self.plan.count) as loop:
                lanes = self._set_lanes(self._whole_blocks(loop.index), self.plan.count)
                with e.loop(constant(0, "i64"), constant(size, "i64"), TILE) as along:
                    for row in range(TILE):
                        e.tile = along.index.name, row
                        self.at[place] = first + Index.along(along.index, 0, size - TILE) + row
                        self._inside(lanes)
                    e.tile = None

        size = min(PANEL, tile.size // TILE * TILE)
        panels, rest = divmod(tile.size, size)
        with e.loop(constant(0, "i64"), constant(panels * size, "i64"), size) as loop:
            panel(Index.along(loop.index, 0, panels * size - size), size)
        if rest:
            with e.loop(start, stop, self.plan.count) as loop:
                self._rows(tile, self._whole_blocks(loop.index), self.plan.count, panels * size)

    def _rows(self, tile: Axis, start: Index, count: int, first: int) -> None:
        """The indices of the tile axis from `first` on, one by one."""
        lanes = self._set_lanes(start, count)
        with self.e.loop(constant(first, "i64"), constant(tile.size, "i64")) as loop:
            self.at[tile.dims[-1]] = Index.along(loop.index, first, tile.size - 1)
            self._inside(lanes)
        self.at[tile.dims[-1]] = ZERO

    def _whole_blocks(self, variable: Value) -> Index:
        """The index of the first lane of a whole block."""
        size, count = self._block.size, self.plan.count
        return Index.along(variable, 0, size // count * count - count)

    @property
    def _block(self) -> Axis:
        assert self.plan.block is not None
        return self.plan.block

    def _inside(self, lanes: int) -> None:
        if self.sums:
            self.width = lanes
            self._store(self._reduce(self.plan.inner), lanes)
        else:
            self._leaf(lanes)

    def _leaf(self, lanes: int) -> list[tuple[Value, ...]]:
        """Store what is stored at this position; the elements to be accumulated."""
        e, at = self.e, tuple(self.at)
        e.positions += 1
        terms = []
        for output in self.stage.outputs:
            element = output.node.element(e, at)
            if output.reducer is None:
                view, place = output.view, output.view.where(at)
                if output.needed:
                    store(e, view.address(e), place, view.storage, element, lanes)
                e.scope.known[view.buffer, place.key] = element
            else:
                terms.append(tuple([e.splat(v, lanes) for v in components(element)]))
        return terms

    def _store(self, sums: list[tuple[Value, ...]], lanes: int) -> None:
        e, at = self.e, tuple(self.at)
        for output, element in zip(self.sums, sums, strict=True):
            view = output.view
            # A reducer may carry more along than is stored.
            value = element if view.storage.components > 1 else element[0]
            kept = tuple([i for i, r in zip(at, self.stage.reduced, strict=True) if not r])
            place = view.where(kept)
            store(e, view.address(e), place, view.storage, value, lanes)
            e.scope.known[view.buffer, place.key] = rounded(e, value, view.storage)

    # Reductions: the functions return the combined elements of the sums. ---------------------------------

    def _reduce_all(self, axes: Sequence[Axis]) -> list[tuple[Value, ...]]:
        """Over axes the last of which has the lanes: vectors are accumulated, at the end their lanes."""
        self.width = self.plan.count
        vectors = self._reduce(axes)
        return [o.reducer.lanes(self.e, v) for o, v in zip(self.sums, vectors, strict=True) if o.reducer]

    def _reduce(self, axes: Sequence[Axis]) -> list[tuple[Value, ...]]:
        if not axes:
            return self._leaf(self.width)
        axis = axes[0]
        count = self.plan.count if axis is self.plan.block else 1
        start, size = ZERO, axis.size
        if self.window is not None and self.window[0] is axis:
            size = self.window[2]
            start = Index.along(self.window[1], 0, axis.size - 1)
        turns, rest = divmod(size, count)

        def term(index: Index) -> list[tuple[Value, ...]]:
            self.at[axis.dims[-1]] = Index.of_lanes(range(count)) + index + start
            return self._reduce(axes[1:])

        if rest and turns and self.plan.repeatable:
            overlapping = self._overlapping(size, term)
            self.at[axis.dims[-1]] = ZERO
            return overlapping
        result = self._accumulate(turns, count, term) if turns else None
        if rest:
            self.at[axis.dims[-1]] = Index.of_lanes(range(rest)) + turns * count + start
            tail = self._leaf(rest)
            wide = [
                o.reducer.widened(self.e, t, count) for o, t in zip(self.sums, tail, strict=True) if o.reducer
            ]
            result = wide if result is None else self._combine(result, wide)
        self.at[axis.dims[-1]] = ZERO
        assert result is not None
        return result

    def _overlapping(self, size: int, term: Term) -> list[tuple[Value, ...]]:
        """Terms along the axis with the lanes whose last vector overlaps with the one before.

        What the one before has is left out: it gets the value that changes nothing.
        """
        e, count = self.e, self.plan.count
        turns, rest = divmod(size, count)
        last = size - count

        def final() -> list[tuple[Value, ...]]:
            new = Value(vector_literal([k >= count - rest for k in range(count)], "i1"), "i1", count, 0)
            return self._masked(new, term(Index.of(last)))

        if self.plan.body <= LONG_BODY:
            return self._combine(self._accumulate(turns, count, term), final())

        def clamped(index: Index) -> list[tuple[Value, ...]]:
            if index.static:
                return term(index) if index.const <= last else final()
            at = index.scalar(e)
            first = e.call("llvm.umin", "i64", at, constant(last, "i64"))
            done = e.convert("trunc", e.sub(at, first), "i32")
            lanes = Value(vector_literal(range(count), "i32"), "i32", count, 0)
            return self._masked(e.icmp("uge", lanes, done), term(Index.along(first, 0, last)))

        return self._accumulate(turns + 1, count, clamped)

    def _masked(self, condition: Value, terms: list[tuple[Value, ...]]) -> list[tuple[Value, ...]]:
        """The terms of the lanes where the condition holds; elsewhere what changes nothing."""
        e, masked = self.e, []
        for output, term in zip(self.sums, terms, strict=True):
            assert output.reducer is not None
            pairs = zip(term, output.reducer.identity, strict=True)
            masked.append(tuple([e.select(condition, v, e.splat(i, condition.lanes)) for v, i in pairs]))
        return masked

    def _combine(self, x: list[tuple[Value, ...]], y: list[tuple[Value, ...]]) -> list[tuple[Value, ...]]:
        triples = zip(self.sums, x, y, strict=True)
        return [o.reducer.combine(self.e, a, b) for o, a, b in triples if o.reducer is not None]

    def _tree(self, parts: list[list[tuple[Value, ...]]]) -> list[tuple[Value, ...]]:
        while len(parts) > 1:
            joined = [self._combine(parts[k], parts[k + 1]) for k in range(0, len(parts) - 1, 2)]
            parts = joined + parts[len(joined) * 2 :]
        return parts[0]

    def _chains(self, terms: list[list[tuple[Value, ...]]]) -> list[tuple[Value, ...]]:
        """Products added one after the other, which takes one instruction for each, in two chains."""
        chains = []
        for part in (terms[::2], terms[1::2]):
            total = part[0]
            for term in part[1:]:
                total = self._combine(total, term)
            chains.append(total)
        return self._combine(*chains)

    def _accumulate(self, turns: int, step: int, term: Term) -> list[tuple[Value, ...]]:
        """The combination of `term(k * step)` for k in range(turns)."""
        few = turns <= UNROLL and self.plan.cost * turns < 8
        if turns == 1 or few:
            return self._tree([term(Index.of(k * step)) for k in range(turns)])
        if turns <= UNROLL and self.stage.along is not None:
            return self._chains([term(Index.of(k * step)) for k in range(turns)])
        if turns <= 2 * BLOCK or not any(o.reducer and o.reducer.inexact for o in self.sums):
            return self._sequence(constant(0, "i64"), constant(turns * step, "i64"), turns, step, term)
        return self._pairwise(turns, step, term)

    def _sequence(
        self, start: Value, stop: Value, turns: int, step: int, term: Term
    ) -> list[tuple[Value, ...]]:
        e = self.e
        first = [e.splat(i, self.width) for o in self.sums if o.reducer for i in o.reducer.identity]
        with e.loop(start, stop, step, first) as loop:
            terms = term(Index.along(loop.index, 0, turns * step - step))
            total = self._combine(self._grouped(loop.carried), terms)
            loop.update([e.splat(v, self.width) for t in total for v in t])
        return self._grouped(loop.results)

    def _grouped(self, values: Sequence[Value]) -> list[tuple[Value, ...]]:
        groups, k = [], 0
        for o in self.sums:
            assert o.reducer is not None
            n = len(o.reducer.identity)
            groups.append(tuple(values[k : k + n]))
            k += n
        return groups

    def _pairwise(self, turns: int, step: int, term: Term) -> list[tuple[Value, ...]]:
        """Sums of blocks of terms, combined as a balanced tree with a stack of one partial sum a level.

        After a block, the partial sums of as many levels are combined as the number of blocks before it has
        trailing ones: as a binary counter carries.
        """
        e, width = self.e, self.width
        blocks, rest = divmod(turns, BLOCK)
        kinds = [i.elem for o in self.sums if o.reducer for i in o.reducer.identity]
        stacks = [e.stack(elem, width * (blocks.bit_length() + 1)) for elem in kinds]

        def places(number: Value) -> list[Value]:
            offset = e.mul(number, constant(width, "i64"))
            return [
                e.here(f"getelementptr {elem}, ptr {s.name}, i64 {offset.name}", "ptr", 1)
                for elem, s in zip(kinds, stacks, strict=True)
            ]

        def read(number: Value) -> list[tuple[Value, ...]]:
            found = zip(kinds, places(number), strict=True)
            return self._grouped(
                [
                    e.here(f"load {type_text(elem, width)}, ptr {p.name}, align 4", elem, width)
                    for elem, p in found
                ]
            )

        with e.loop(constant(0, "i64"), constant(blocks, "i64")) as loop:
            start = e.mul(loop.index, constant(BLOCK * step, "i64"))
            stop = e.add(start, constant(BLOCK * step, "i64"))
            block = [v for t in self._sequence(start, stop, turns, step, term) for v in t]
            with e.whilst([constant(0, "i64"), *block]) as carry:
                level, *partial = carry.carried
                carry.test(e.convert("trunc", e.lshr(loop.index, level), "i1"))
                total = self._combine(read(level), self._grouped(partial))
                carry.update([e.add(level, constant(1, "i64")), *[v for t in total for v in t]])
            level, *partial = carry.results
            for place, v in zip(places(level), partial, strict=True):
                e.line(f"store {v.typed}, ptr {place.name}, align 4")
        parts = [read(constant(k, "i64")) for k in range(blocks.bit_length()) if blocks >> k & 1]
        result = parts[0]
        for part in parts[1:]:
            result = self._combine(part, result)
        if rest:
            at = blocks * BLOCK * step
            tail = self._sequence(constant(at, "i64"), constant(at + rest * step, "i64"), turns, step, term)
            result = self._combine(result, tail)
        return result


Term = Callable[[Index], list[tuple[Value, ...]]]


def write_stage(e: Emitter, stage: Stage, fixed: dict[int, Index] | None = None) -> None:
    """Write the loops of a stage; `fixed` gives the index of dimensions that are looped over outside."""
    if math.prod(stage.domain):
        StageWriter(e, stage, fixed or {}).write()


__all__ = ["Output", "Stage", "write_stage"]
