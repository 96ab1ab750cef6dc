"""Nests: stages that share loops.

Stages are collected in an open nest. A stage joins the nest's last stage if their domains agree and it reads
what that writes only at the same place; or the nest, as a further loop within the leading dimensions' loops,
if it reads what the nest writes only from the same place along those. If the nest begins with a reduction of
a large array down its columns, stages share blocks of columns instead of leading dimensions. Otherwise the
nest is written and a new one begins.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from . import streaming
from .alike import described, write_once
from .deferred import Remap
from .index import ZERO, Index
from .ir import Emitter, Value, constant
from .loops import write_stage
from .nodes import Accesses, Buffer, Position, Row, variables
from .parallel import CHUNK, chunks_for, parallel_for
from .stages import Stage, element_cost

if TYPE_CHECKING:
    from .module import Module
    from .nodes import View

WORTH_SHARING = 32  # elements within a shared loop, for some stage, that make it worth while
MOST = 24  # results of a nest
LONGEST = 12.0  # ns of operations on an element, above which nothing is gained by doing more in the same loop
HEAVY_CHAIN = 2.0  # likewise in a long program
CACHED = 1 << 16  # elements of an array that costs next to nothing to write and read again
CALLED = 100.0  # ns of work beside which a call takes no time
SCRATCH = 1 << 16  # bytes of a row that may be kept on the stack
AHEAD = 1 << 10, 1 << 14  # bytes of a row that is brought into the cache while the one before is worked on
FAR = 1 << 20  # bytes of the least array that is not there already
NEAR = 1 << 21  # bytes of columns that stay there between two stages
COLUMNS = 256  # bytes of each row that a block of columns has


class Nest:
    """Stages to be written together."""

    def __init__(self, long: bool = False) -> None:
        self.long = long  # whether it is one of many in a long program
        self.stages: list[Stage] = []
        self.shared = 0  # leading dimensions with common loops
        self.columns = 0  # or the indices of the last dimension that go through all stages together
        self.released: set[Buffer] = set()  # not needed after this nest
        # Where each buffer is written, at the variables that stand for the loops'; and by which stage.
        self.written: dict[Buffer, tuple[Index, Stage, bool]] = {}
        self.read: set[Buffer] = set()
        self.pieced: set[Buffer] = set()  # written by several outputs
        # What writing it found out: what is kept for a turn of the common loops (and its size), and into how
        # many parts the loops were cut for threads.
        self.rows: dict[Buffer, int] = {}
        self.parts: list[int] = []

    def add(self, stage: Stage) -> bool:
        """Take the stage in, if it fits."""
        if not self.stages:
            self.stages.append(stage)
            self._note(stage, stage)
            return True
        if len(self.written) > MOST:
            return False
        reads = self._reads(stage)
        last = self.stages[-1]
        if (
            self._same_loops(last, stage)
            and not is_long(operations_of(last) + operations_of(stage), math.prod(stage.domain), self.long)
            and all(self._same_place(view, flat, last) for view, flat in reads)
        ):
            if stage.reduced != last.reduced:
                last.reduced = tuple([a or b for a, b in zip(last.reduced, stage.reduced, strict=True)])
            both = [*reads_of(last), *reads_of(stage)], last.operations + stage.operations
            last.outputs.extend(stage.outputs)
            last.reads, last.operations = (len(last.outputs), both[0]), both[1]
            last.found.extend(stage.found)
            self._note(stage, last)
            return True
        shared = self._common(stage, reads)
        if shared:
            self.shared = shared
            self.stages.append(stage)
            self._note(stage, stage)
            return True
        columns = self._common_columns(stage, reads)
        if columns:
            self.columns = columns
            self.stages.append(stage)
            self._note(stage, stage)
        return bool(columns)

    def independent(self, stage: Stage) -> bool:
        """Whether the stage may be written before the nest, which came first."""
        if not self.written.keys().isdisjoint([v.buffer for v, _ in reads_of(stage)]):
            return False
        written = {o.view.buffer for o in stage.outputs}
        # Only who has a place may be given that of another.
        placed = [w for w in written if w.address is not None]
        return self.read.isdisjoint(written) and not any(b.precedes(w) for b in self.read for w in placed)

    def buffers(self) -> set[Buffer]:
        """All memory that the nest reads and writes."""
        return self.read | self.written.keys()

    def release(self, released: set[Buffer], needed: set[Buffer]) -> None:
        """State which buffers are not needed any more when this nest has been written, and the others, which
        come later and need these."""
        self.released = {b for b in self.written if b in released and b not in needed}

    def _note(self, stage: Stage, into: Stage) -> None:
        at = variables(stage.domain)
        self.read.update([v.buffer for v, _ in reads_of(stage)])
        for output in stage.outputs:
            buffer = output.view.buffer
            if buffer in self.written:
                self.pieced.add(buffer)
            self.written[buffer] = (stage.stored_at(output, at), into, output.reducer is not None)

    def _reads(self, stage: Stage) -> list[tuple[View, Index]]:
        """What a stage reads of the nest's results."""
        return [(v, flat) for v, flat in reads_of(stage) if v.buffer in self.written]

    def _same_loops(self, last: Stage, stage: Stage) -> bool:
        if last.domain != stage.domain or any(stage.reduced[: self.shared]):
            return False
        return last.reduced == stage.reduced or not any(last.reduced) or not any(stage.reduced)

    def _same_place(self, view: View, flat: Index, last: Stage) -> bool:
        place, stage, reduced = self.written[view.buffer]
        return stage is last and not reduced and place.key == flat.key

    def _common(self, stage: Stage, reads: list[tuple[View, Index]]) -> int:
        """How many leading dimensions the stage can share with the nest."""
        limit = self.shared or len(self.stages[0].domain)
        for other in (self.stages[0], stage):
            free = next((d for d, r in enumerate(other.reduced) if r), len(other.domain))
            limit = min(limit, free)
        domain = self.stages[0].domain
        count = 0
        while count < min(limit, len(stage.domain)) and stage.domain[count] == domain[count]:
            count += 1
        while count and not self._worth(stage, count):
            count -= 1
        while count and not all(self._same_row(view, flat, count, stage.domain) for view, flat in reads):
            count -= 1
        if count and not reads and not self._reads_alike(stage):
            return 0  # nothing is gained
        return count

    def _common_columns(self, stage: Stage, reads: list[tuple[View, Index]]) -> int:
        """How many columns make a block, if the stage shares the columns of a large array's reduction.

        All stages then go down the rows of a few columns, which stay in the cache meanwhile.
        """
        first = self.stages[0]
        above, kept = first.reduced[:-1], first.reduced[-1:]
        if not above or not all(above) or kept != (False,) or stage.reduced[-1:] != (False,):
            return 0
        size = max([v.storage.bytes for v, _ in reads_of(first)], default=0)
        total = first.domain[-1]
        if total != stage.domain[-1] or total * max(size, 4) < 3 * COLUMNS:
            return 0
        if math.prod(first.domain) * size < FAR or math.prod(first.domain[:-1]) * COLUMNS > NEAR:
            return 0
        if not reads and not self._reads_alike(stage):
            return 0
        if not all(self._same_column(view, flat, stage) for view, flat in reads):
            return 0
        few, more = [n // max(size, 4) for n in (COLUMNS, COLUMNS * 3 // 2)]
        return more if -(-total // few) in (3, 5, 7) else few  # an even number, for two threads and for four

    def _same_column(self, view: View, flat: Index, stage: Stage) -> bool:
        """Whether the read element was written at the same index of the last dimension."""
        place, writer, _ = self.written[view.buffer]
        return _by_column(place, writer) == _by_column(flat, stage) is not None

    def _worth(self, stage: Stage, count: int) -> bool:
        inner = max(math.prod(s.domain[count:]) for s in [*self.stages, stage])
        return inner >= WORTH_SHARING and math.prod(stage.domain[:count]) > 1

    def _reads_alike(self, stage: Stage) -> bool:
        """Whether the stage reads memory that the nest reads, too."""
        return any(v.buffer in self.read for v, _ in reads_of(stage))

    def _same_row(self, view: View, flat: Index, count: int, domain: tuple[int, ...]) -> bool:
        """Whether the read element was written at the same index of the leading dimensions."""
        place = self.written[view.buffer][0]
        leading = {f"?{d}" for d in range(count)}
        here = {v.name: c for v, c in flat.terms}
        there = {v.name: c for v, c in place.terms}
        for name in leading | {n for n in (*here, *there) if n[0] != "?"}:
            if here.get(name, 0) != there.get(name, 0):
                return False
        if flat.vector is not None or place.vector is not None:
            return False
        # Rows must not overlap: what the other indices reach stays between two neighbours.
        stage = self.written[view.buffer][1]
        steps = [abs(there.get(f"?{d}", 0)) for d, n in enumerate(stage.domain[:count]) if n > 1]
        if not all(steps):
            return False
        low, high = _reach(place, count, stage.domain)
        mine_low, mine_high = _reach(flat, count, domain)
        return low <= mine_low and mine_high <= high and high - low < min(steps, default=1 << 62)

    # Writing ---------------------------------------------------------------------------------------------

    def write(self, e: Emitter, place: Callable[[Buffer], None]) -> None:
        """Write all stages; `place` gives a buffer its memory."""
        rows = self.rows = self._forward()
        self._stream()
        self._look_ahead()
        for stage in self.stages:
            for output in stage.outputs:
                if output.needed and output.view.buffer not in rows:
                    place(output.view.buffer)
        # What stores single elements is no longer than a call with all of them as arguments.
        single = all(math.prod(s.domain) == 1 for s in self.stages)
        work = self._work()
        if not single and self._is_apart(e.module, work):
            alone = e.outlined or work < 2 * CHUNK
            more = self.shared, self.columns, e.module.turns, e.module.long, alone
            write_once(e, described(self.stages, rows, *more), lambda inner: self._write(inner, rows), alone)
        else:
            self._write(e, rows)

    def _is_apart(self, module: Module, work: float) -> bool:
        """Whether the nest is worth a function of its own."""
        # What takes so long does not notice the call, and LLVM compiles it while the rest is written. The
        # loops that threads share are functions anyway.
        if module.long:
            return True
        # Reductions of the same kind, which take many lines, are one function.
        divided = module.divided or (module.reduces and any(any(s.reduced) for s in self.stages))
        return divided and module.turns == 1.0 and CALLED < work < 2 * CHUNK

    def _work(self) -> float:
        """Nanoseconds that the nest takes, roughly."""
        return sum(cost_of(s) * math.prod(s.domain) for s in self.stages)

    def _write(self, e: Emitter, rows: dict[Buffer, int]) -> None:
        if len(self.stages) == 1 or (self.columns and self._writes_over()):
            for stage in self.stages:
                write_stage(e, stage)
            return
        if self.columns:
            self._write_columns(e)
            return
        domain = self.stages[0].domain[: self.shared]
        work = self._work()
        first = next((d for d, n in enumerate(domain) if n > 1), 0)
        chunks = 1 if e.outlined else chunks_for(work, domain[first])
        if chunks > 1:

            def part(inner: Emitter, start: Value, stop: Value, chunk: Value) -> None:
                self._loops(inner, first, dict.fromkeys(range(first), ZERO), (start, stop), rows)

            parallel_for(e, domain[first], chunks, part)
        else:
            self._loops(e, 0, {}, None, rows)

    def _writes_over(self) -> bool:
        """Whether the nest writes over what it reads, so that nothing may be computed twice."""
        return any(b.precedes(w) for b in self.read for w in self.written)

    def _write_columns(self, e: Emitter) -> None:
        """All stages for one block of columns after the other; the last may overlap with the one before."""
        count, total = self.columns, self.stages[0].domain[-1]
        blocks, last = -(-total // count), total - count

        def part(inner: Emitter, start: Value, stop: Value, chunk: Value) -> None:
            module = inner.module
            module.turns *= blocks
            with inner.loop(start, stop) as loop:
                first = inner.mul(loop.index, constant(count, "i64"))
                first = inner.call("llvm.umin", "i64", first, constant(last, "i64"))
                inner.multiples[first.name] = math.gcd(count, last)
                for stage in self.stages:
                    write_stage(inner, _block(stage, Index.along(first, 0, last), count))
            module.turns /= blocks

        chunks = 1 if e.outlined else chunks_for(self._work(), blocks)
        if chunks > 1:
            parallel_for(e, blocks, chunks, part)
        else:
            part(e, constant(0, "i64"), constant(blocks, "i64"), constant(0, "i64"))

    def _loops(
        self,
        e: Emitter,
        d: int,
        fixed: dict[int, Index],
        part: tuple[Value, Value] | None,
        rows: dict[Buffer, int],
    ) -> None:
        if d == self.shared:
            dropped = frozenset([v.name for index in fixed.values() for v, _ in index.terms])
            for buffer, size in rows.items():
                buffer.row = Row(e.stack("i8", size), dropped, e.level)
            for stage in self.stages:
                write_stage(e, stage, fixed)
            for buffer in rows:
                buffer.row = None
            return
        n = self.stages[0].domain[d]
        if n == 1:
            self._loops(e, d + 1, {**fixed, d: ZERO}, None, rows)
            return
        start, stop = part or (constant(0, "i64"), constant(n, "i64"))
        with e.loop(start, stop) as loop:
            self._loops(e, d + 1, {**fixed, d: Index.along(loop.index, 0, n - 1)}, None, rows)

    def _stream(self) -> None:
        """Find what is written past the cache: large results that no other stage reads."""
        large = [
            (k, o)
            for k, stage in enumerate(self.stages)
            for o in stage.outputs
            if o.view.buffer.streams and o.reducer is None and streaming.worth_it(o.node.bytes)
        ]
        if not 0 < len(large) <= streaming.MOST:
            return
        for number, output in large:
            readers = {
                k for k, s in enumerate(self.stages) for v, _ in reads_of(s) if v.buffer is output.view.buffer
            }
            output.streams = readers <= {number}

    def _look_ahead(self) -> None:
        """Find what a stage reads again, after an earlier one: meanwhile no memory is read.

        So what the next turn of the common loops begins with can be on its way to the cache.
        """
        first, *others = self.stages
        sizes = [(d, n) for d, n in enumerate(first.domain[: self.shared]) if n > 1]
        if not others or not sizes:
            return
        turns = math.prod([n for _, n in sizes])
        seen = {(v.buffer, flat.key) for v, flat in reads_of(first) if _is_streamed(v, first, turns)}
        for stage in others:
            stage.around = sizes[-1][0]
            for view, flat in reads_of(stage):
                if (view.buffer, flat.key) in seen and stage.domain == first.domain:
                    seen.remove((view.buffer, flat.key))
                    stage.ahead.append(view)

    def _forward(self) -> dict[Buffer, int]:
        """Find what need not be stored, and what is needed for one turn of the shared loops only (with its
        size)."""
        rows: dict[Buffer, int] = {}
        for stage in self.stages if self.released else ():
            others = [s for s in self.stages if s is not stage]
            for output in stage.outputs:
                view = output.view
                if view.buffer not in self.released or view.buffer in self.pieced:
                    continue
                elsewhere = any(v.buffer is view.buffer for s in others for v, _ in reads_of(s))
                if output.reducer is None and not elsewhere:
                    output.needed = False  # read from registers only, if at all
                elif others and not self.columns and view.contiguous:
                    index, _, _ = self.written[view.buffer]
                    low, high = _reach(index, self.shared, stage.domain)
                    size = (high + 1) * view.storage.bytes * view.storage.components
                    if low >= 0 and size <= SCRATCH:
                        rows[view.buffer] = size
        return rows


def is_long(operations: float, size: int, among_many: bool) -> bool:
    """Whether a loop with so many nanoseconds of operations on an element should not be extended.

    Short loops of a long program are often the same, and then they are compiled once.
    """
    return operations > (HEAVY_CHAIN if among_many and size <= CACHED else LONGEST)


def _is_streamed(view: View, stage: Stage, turns: int) -> bool:
    """Whether a stage reads all of a large array, a short row of it in each of so many turns."""
    least, most = AHEAD
    whole = view.contiguous and view.shape == stage.domain and view.storage.components == 1
    return whole and view.bytes >= FAR and least <= view.bytes // turns <= most


def _by_column(index: Index, stage: Stage) -> tuple[object, ...] | None:
    """What tells indices apart, with the stage's last dimension as such; None if it is not used plainly."""
    column = f"?{len(stage.domain) - 1}"
    if index.lanes is not None or index.vector is not None or column not in [v.name for v, _ in index.terms]:
        return None
    return index.const, frozenset([("" if v.name == column else v.name, c) for v, c in index.terms])


def _block(stage: Stage, first: Index, count: int) -> Stage:
    """A stage for some indices of its last dimension: so many from `first` on."""

    def moved(at: Position) -> Position:
        return (*at[:-1], at[-1] + first)

    outputs = [
        replace(
            o,
            view=o.view.with_layout((*o.view.shape[:-1], count), o.view.strides, first * o.view.strides[-1]),
            node=Remap(o.node, (*stage.domain[:-1], count), moved),
        )
        for o in stage.outputs
    ]
    return Stage((*stage.domain[:-1], count), stage.reduced, outputs, along=stage.along)


def _reach(index: Index, leading: int, domain: tuple[int, ...]) -> tuple[int, int]:
    """The bounds of an index over all dimensions but the leading ones."""
    low = high = index.const
    for variable, c in index.terms:
        if variable.name[0] == "?" and (d := int(variable.name[1:])) >= leading:
            low += min(0, c * (domain[d] - 1))
            high += max(0, c * (domain[d] - 1))
    return low, high


def reads_of(stage: Stage) -> list[tuple[View, Index]]:
    """The memory that a stage reads, at the variables that stand for the loops'."""
    if stage.reads is None or stage.reads[0] != len(stage.outputs):
        found = Accesses()
        at = variables(stage.domain)
        for output in stage.outputs:
            output.node.visit(at, found)
        stage.reads = len(stage.outputs), found.views
        stage.operations, stage.found = found.cost, [found]
    return stage.reads[1]


def cost_of(stage: Stage) -> float:
    """Nanoseconds that an element takes, roughly."""
    return element_cost(operations_of(stage), [v for v, _ in reads_of(stage)], len(stage.outputs))


def operations_of(stage: Stage) -> float:
    """Nanoseconds that the operations on an element take, roughly."""
    reads_of(stage)
    return stage.operations


__all__ = ["Nest", "is_long", "reads_of"]
