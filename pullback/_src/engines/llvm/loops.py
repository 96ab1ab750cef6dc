"""The loops of a stage, as `stages.plan` decides them: for several threads, around blocks of vector lanes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from .index import ZERO, Index
from .ir import Emitter, Value, constant, type_text
from .parallel import chunks_for, parallel_for
from .stages import LONG_BODY, Axis, Stage
from .storage import BYTES, TILE
from .sums import Accumulation, Elements

KEPT = 1 << 16  # bytes of sums that are kept in memory while rows are added to them
SHORT_SUM = 8  # terms that are in registers together
GROUPS = 16  # of rows that are added one after the other before such sums are combined pairwise
NARROWEST = 384  # and the least that are worth it; for maxima, which lose no accuracy, a third less
PANEL = 64  # indices of a second axis between which a transposing loop goes back and forth


class StageWriter(Accumulation):
    """Writes the loops of one stage."""

    def __init__(self, e: Emitter, stage: Stage, fixed: dict[int, Index]) -> None:
        super().__init__(e, stage, fixed)
        self._parted = False  # whether the blocks are shared by threads
        e.module.work += e.module.turns * self._time()

    def _time(self) -> float:
        """Nanoseconds that the stage takes, roughly."""
        plan, stage = self.plan, self.stage
        terms = math.prod([n for n, r in zip(stage.domain, stage.reduced, strict=True) if r])
        # The terms of short sums are read together.
        reads = (plan.cost - plan.body) / (terms if terms <= SHORT_SUM else 1)
        return (plan.body + reads) * math.prod(stage.domain)

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
            self._parted = True
            self._share_blocks(block, self._parts(work, block))
        elif self.sums and len(self.sums) == len(self.stage.outputs) and not plan.grouped:
            self._share_terms(work)
        else:
            self._outer(plan.outer)

    def _parts(self, work: float, block: Axis) -> int:
        """Into how many parts the blocks are cut; those of sums down columns stay wide (`_is_wide`)."""
        blocks, _ = self._divided(block.size)
        chunks = chunks_for(work, blocks)
        if self.sums and self.plan.inner and self._is_wide(blocks):
            most = max(2, block.size * self._sum_bytes // NARROWEST)
            chunks = min(chunks, 1 << (most.bit_length() - 1))  # even for the usual numbers of threads
        return chunks

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
        blocks, rest = self._divided(block.size)

        def some(inner: Emitter, start: Value, stop: Value, chunk: Value) -> None:
            self.e = inner
            step = constant(count, "i64")
            begin = inner.mul(start, step)
            inner.multiples[begin.name] = count
            self._full_blocks(begin, inner.mul(stop, step), -(-blocks // chunks))

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
        total: Elements = []
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

    def _partial(self, reduced: Sequence[Axis]) -> Elements:
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
        """All blocks of lanes along an axis of this size."""
        blocks, rest = self._divided(size)
        if blocks == 1:
            self._lanes(ZERO, self.plan.count)
        elif blocks:
            self._full_blocks(constant(0, "i64"), constant(blocks * self.plan.count, "i64"), blocks)
        self._rest(blocks, rest)

    def _divided(self, size: int) -> tuple[int, int]:
        """How many blocks of lanes an axis has, and how many indices after them.

        The last block may overlap with the one before: elements are computed twice then. That is quicker than
        a vector of an odd length, and a long loop body need not be written a second time for it. But a loop
        that threads share may write past the cache, which needs aligned addresses: the rest comes after it.
        """
        plan = self.plan
        blocks, rest = divmod(size, plan.count)
        long = plan.tile is None and (bool(plan.inner) or (plan.body > LONG_BODY and not self._parted))
        return (blocks + 1, 0) if rest and blocks and plan.repeatable and long else (blocks, rest)

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
        total = blocks * plan.count * self._sum_bytes
        rows = plan.inner[0].size
        least = NARROWEST if self._inexact else NARROWEST * 2 // 3
        return blocks > 1 and least <= total <= KEPT and rows >= 32 and not plan.full

    @property
    def _inexact(self) -> bool:
        """Whether accuracy depends on the order of the terms."""
        return any(o.reducer.inexact for o in self.sums if o.reducer)

    @property
    def _sum_bytes(self) -> int:
        """The bytes of the sums of one column."""
        return sum(BYTES[i.elem] for o in self.sums if o.reducer for i in o.reducer.identity)

    def _by_rows(self, start: Value, stop: Value, most: int) -> None:
        e, plan = self.e, self.plan
        assert plan.block is not None
        block, count, axis = plan.block, plan.count, plan.inner[0]
        self.width = count
        several = 8 if plan.cost < 0.5 and self._inexact else 4 if plan.cost < 1.5 else 1
        rows = next((k for k in range(several, several // 2, -1) if axis.size % k == 0), several)
        groups = axis.size // rows
        levels = self._levels(groups, most * count * self._sum_bytes)
        kinds = [i for o in self.sums if o.reducer for i in o.reducer.identity]
        # The sums of the rows at hand, and one partial sum a level (see `_pairwise`).
        slot = most * count
        kept = [e.stack(i.elem, slot * (levels + 2 if levels else 1)) for i in kinds]
        here = constant(0, "i64")

        def at_level(level: Value) -> Value:
            return e.mul(e.add(level, constant(1, "i64")), constant(slot, "i64"))

        def blocks(body: Callable[..., None], *slots: Value) -> None:
            """`body` with the places of each block's sums in these slots."""
            with e.loop(start, stop, count) as loop:
                self._set_lanes(self._whole_blocks(loop.index), count)
                offset = e.sub(loop.index, start)
                body(*[places(e.add(offset, first)) for first in slots])
            self.at[block.dims[-1]] = ZERO

        def places(offset: Value) -> list[Value]:
            return [
                e.here(f"getelementptr {i.elem}, ptr {k.name}, i64 {offset.name}", "ptr", 1)
                for i, k in zip(kinds, kept, strict=True)
            ]

        def read(places: list[Value]) -> Elements:
            pairs = zip(kinds, places, strict=True)
            return self._grouped(
                [
                    e.here(
                        f"load {type_text(i.elem, count)}, ptr {p.name}, align {BYTES[i.elem]}", i.elem, count
                    )
                    for i, p in pairs
                ]
            )

        def write(values: Elements | Sequence[Value], places: list[Value]) -> None:
            flat = [v for t in values for v in (t if isinstance(t, tuple) else (t,))]
            for value, place in zip(flat, places, strict=True):
                e.line(f"store {e.splat(value, count).typed}, ptr {place.name}, align {BYTES[value.elem]}")

        def add(begin: Value, end: Value, limit: int, step: int, into: Value) -> None:
            """Add the rows from `begin` to `end`, all of which are below the limit."""

            def body(places: list[Value]) -> None:
                terms = []
                for k in range(step):
                    self.at[axis.dims[-1]] = first + k
                    terms.append(self._reduce(plan.inner[1:]))
                write(self._combine(read(places), self._tree(terms)), places)

            with e.loop(begin, end, step) as down:
                first = Index.along(down.index, 0, limit - step)
                blocks(body, into)

        def row(part: Value) -> Value:
            """The first row of a part, of which there are two to the power of `levels`."""
            group = e.lshr(e.mul(part, constant(groups, "i64")), constant(levels, "i64"))
            return e.mul(group, constant(rows, "i64"))

        whole, result = groups * rows, here
        if not levels:
            blocks(lambda mine: write(kinds, mine), here)
            add(constant(0, "i64"), constant(whole, "i64"), whole, rows, here)
        else:
            result = constant((levels + 1) * slot, "i64")
            with e.loop(constant(0, "i64"), constant(1 << levels, "i64")) as parts:
                blocks(lambda mine: write(kinds, mine), here)
                after = e.add(parts.index, constant(1, "i64"))
                add(row(parts.index), row(after), whole, rows, here)
                self.at[axis.dims[-1]] = ZERO
                with e.whilst([constant(0, "i64")]) as carry:
                    (level,) = carry.carried
                    carry.test(e.convert("trunc", e.lshr(parts.index, level), "i1"))
                    blocks(
                        lambda mine, other: write(self._combine(read(other), read(mine)), mine),
                        here,
                        at_level(level),
                    )
                    carry.update([e.add(level, constant(1, "i64"))])
                (level,) = carry.results
                blocks(lambda mine, other: write(read(mine), other), here, at_level(level))
        if whole < axis.size:
            add(constant(whole, "i64"), constant(axis.size, "i64"), axis.size, 1, result)
        self.at[axis.dims[-1]] = ZERO
        blocks(lambda mine: self._store(read(mine), count), result)

    def _levels(self, groups: int, size: int) -> int:
        """In how many levels parts of so many groups of rows are added up, whose sums take so many bytes."""
        if not self._inexact:
            return 0
        return min(max(groups // GROUPS, 1).bit_length() - 1, max(4 * KEPT // size - 2, 0))

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
        if self.plan.grouped:
            self._groups(start, count)
        elif self.plan.tile is None:
            self._inside(self._set_lanes(start, count))
        else:
            self._rows(self.plan.tile, start, count, 0)

    def _groups(self, start: Index, count: int) -> None:
        """Sums of a few terms each, all of which are in one vector."""
        terms = self._leaf(self._set_lanes(start, count))
        (reduced,) = self.plan.full
        sums = [
            o.reducer.groups(self.e, t, reduced.size)
            for o, t in zip(self.sums, terms, strict=True)
            if o.reducer
        ]
        self.at[reduced.dims[-1]] = ZERO
        self.at[self._block.dims[-1]] = Index.of_lanes(range(count)) + start
        self._store(sums, count)

    def _panels(self, tile: Axis, start: Value, stop: Value) -> None:
        """Blocks from `start` to `stop` for all indices of the tile axis, a panel of them at a time.

        So the lines of memory that a block touches in one direction are still in the cache when it comes to
        their other elements, and few pages are in use.
        """
        e, place = self.e, tile.dims[-1]
        whole = tile.size // TILE * TILE
        size = min(PANEL, whole)
        with e.loop(constant(0, "i64"), constant(whole, "i64"), size) as panels:
            end = e.add(panels.index, constant(size, "i64"))
            if whole % size:
                end = e.call("llvm.umin", "i64", end, constant(whole, "i64"))
            with e.loop(start, stop, self.plan.count) as loop:
                lanes = self._set_lanes(self._whole_blocks(loop.index), self.plan.count)
                with e.loop(panels.index, end, TILE) as along:
                    for row in range(TILE):
                        e.tile = along.index.name, row
                        self.at[place] = Index.along(along.index, 0, whole - TILE) + row
                        self._inside(lanes)
                    e.tile = None
        if tile.size % TILE:
            with e.loop(start, stop, self.plan.count) as loop:
                self._rows(tile, self._whole_blocks(loop.index), self.plan.count, whole)

    def _rows(self, tile: Axis, start: Index, count: int, first: int) -> None:
        """The indices of the tile axis from `first` on, one by one."""
        lanes = self._set_lanes(start, count)
        with self.e.loop(constant(first, "i64"), constant(tile.size, "i64")) as loop:
            self.at[tile.dims[-1]] = Index.along(loop.index, first, tile.size - 1)
            self._inside(lanes)
        self.at[tile.dims[-1]] = ZERO

    def _whole_blocks(self, variable: Value) -> Index:
        """The index of the first lane of a block: of the last one so that it ends where the axis does."""
        size, count = self._block.size, self.plan.count
        blocks, _ = self._divided(size)
        if blocks * count <= size:
            return Index.along(variable, 0, blocks * count - count)
        e, last = self.e, size - count
        start = e.call("llvm.umin", "i64", variable, constant(last, "i64"))
        e.multiples[start.name] = math.gcd(e.divisor(variable), last)
        return Index.along(start, 0, last)

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


def write_stage(e: Emitter, stage: Stage, fixed: dict[int, Index] | None = None) -> None:
    """Write the loops of a stage; `fixed` gives the index of dimensions that are looped over outside."""
    if math.prod(stage.domain):
        StageWriter(e, stage, fixed or {}).write()


__all__ = ["write_stage"]
