"""Scans without a state, whose turns several threads share.

`lax.map`, `vmap(batch_size=)` and other loops in chunks are scans in which no turn needs another one's
results. If they take long enough, the body becomes a function for a part of the turns, and the runtime's
threads share the parts. Which turns are a part follows from the program alone, and each turn runs the same
code whoever runs it, so the results are the same bit for bit for any number of threads.

Each thread has scratch memory of its own for the body; the more of it is needed, the fewer threads may take
part. Within a part nothing is shared any further: a body with long loops of its own, which share their work
already, stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ...core.program import Equation, Program, subprograms
from .coverage import is_native
from .deferred import Iota, Remap
from .index import ZERO, Index
from .ir import Emitter, Value
from .lower import OPERATION, Lowering, Unshareable
from .maps import weight
from .matrices import RATE
from .nodes import Buffer, Node, Registers, View
from .parallel import MOST_CHUNKS, POLL, chunks_for, poll, run_shared
from .threads import MAX_THREADS

LONGEST = 40_000.0  # nanoseconds of an equation in the body that shares its own loops
FEWEST = 3  # turns of unknown length that are worth sharing: the first one runs alone
PARTS = 16  # into which turns of unknown length are cut; more if those take
PART = 100.0  # nanoseconds each, with one turn of each `while` loop
ON_STACK = 1 << 14  # bytes of scratch memory that lie on a thread's stack
SCRATCH = 1 << 20  # bytes of an array in the body, above which its turns are not shared
SCRATCH_OF_ALL = 8 << 20  # bytes of scratch memory of all threads
FEW_THREADS = 16  # that have so much
SORTING = 10.0  # nanoseconds for an element


class Work(NamedTuple):
    """What is known of a program's work before it is lowered.

    Attributes:
        time: nanoseconds, roughly, with one turn of each `while` loop.
        known: whether it has no `while` loops.
        longest: nanoseconds of the longest equation.
        largest: bytes of the largest array that it makes.
        native: whether no equation is known to run in Python.
    """

    time: float
    known: bool
    longest: float
    largest: int
    native: bool


def work_of(program: Program) -> Work:
    """The program's work."""
    found: Work | None = program.memo.get("work")
    if found is None:
        parts = [_equation(eqn) for eqn in program.eqns]
        found = program.memo["work"] = Work(
            sum([w.time for w in parts]),
            all(w.known for w in parts),
            max([w.longest for w in parts], default=0.0),
            max([w.largest for w in parts], default=0),
            all(w.native for w in parts),
        )
    return found


def _equation(eqn: Equation) -> Work:
    name = eqn.primitive.name
    largest = max([v.aval.size * v.aval.dtype.itemsize for v in eqn.outvars], default=0)
    native = is_native(name) and not eqn.primitive.effectful
    inner = [work_of(p) for p in subprograms(eqn.params)]
    if not inner:
        time = OPERATION + (_operations(eqn) if eqn.outvars else 0.0)
        return Work(time, True, time, largest, native)
    times = [w.time for w in inner]
    return Work(
        max(times) if name == "cond" else sum(times) * eqn.params.get("length", 1),
        name != "while" and all(w.known for w in inner),
        max([w.longest for w in inner]),
        max([largest, *[w.largest for w in inner]]),
        native and all(w.native for w in inner),
    )


# Primitives that do about n operations for each element of matrices with n columns.
_CUBIC = frozenset(
    {
        "cholesky", "det", "eigh", "eigvalsh", "geqrf", "householder_product", "inv", "lu", "qr", "slogdet",
        "solve", "svd", "triangular_solve",
    }
)  # fmt: skip


def _operations(eqn: Equation) -> float:
    """Nanoseconds of the operations of an equation without programs of its own."""
    name, (first, *_) = eqn.primitive.name, [v.aval for v in eqn.outvars]
    rate = RATE.get(first.dtype.char, 1 / 8)
    operands = [v.aval for v in eqn.invars]
    if name == "dot_general":
        (contracted, _), _ = eqn.params["dimension_numbers"]
        return first.size * math.prod([operands[0].shape[d] for d in contracted]) * rate
    most = max([a.size for a in (*operands, first)])
    if name in _CUBIC:
        return most * operands[0].shape[-1] * rate
    return most * (SORTING if name == "sort" else weight(name, first.dtype))


class Turns:
    """The turns of a scan without a state, of which threads may share parts."""

    def __init__(self, lw: Lowering, eqn: Equation) -> None:
        self.lw = lw
        self.program: Program = eqn.params["program"]
        self.length: int = eqn.params["length"]
        self.reverse: bool = eqn.params["reverse"]
        self.work = work_of(self.program)

    @property
    def worth_sharing(self) -> bool:
        """Whether the turns should be shared, as far as one knows before the body is written."""
        work = self.work
        if self.lw.e.outlined or not work.native or self.length < 2:
            return False
        if work.longest >= LONGEST or work.largest > SCRATCH:
            return False
        return self._long or (not work.known and self.length >= FEWEST)

    @property
    def _long(self) -> bool:
        """Whether the turns are known to be long."""
        return chunks_for(self.work.time * self.length, self.length) > 1

    def _parts(self) -> tuple[int, int]:
        """Into how many parts the turns are cut, and of how many turns; the last one may have fewer."""
        time = self.work.time * self.length
        if self.work.known:
            most = chunks_for(time, self.length)
        else:
            most = min(MOST_CHUNKS, self.length, max(PARTS, int(time / PART)))
        size = -(-self.length // most)
        return -(-self.length // size), size

    def write(self, consts: Sequence[Node], xs: Sequence[Node], ys: Sequence[View]) -> None:
        """Write the loop; its operands and results are in memory or in registers."""
        lw, length = self.lw, self.length
        e, module = lw.e, lw.module
        chunks, size = self._parts()
        inner = Emitter(module, prefix="m.", outlined=True)
        chunk, first, end, base = [
            Value(f"%m.{name}", elem, 1, 0)
            for name, elem in (("chunk", "i64"), ("first", "i64"), ("end", "i64"), ("arena", "ptr"))
        ]
        consts = [captured(e, inner, c) for c in consts]
        xs = [captured(e, inner, x) for x in xs]
        ys = [captured_view(e, inner, y) for y in ys]
        lw.observer.shared(chunks)
        with lw.within(inner, base) as arena, inner.loop(first, end) as loop:
            at = Index.along(loop.index, 0, length - 1)
            if self.reverse:
                at = at * -1 + (length - 1)
            slices = [element_of(x, at) for x in xs]
            places = [_part(y, at) for y in ys]
            around, module.turns = module.turns, module.turns * length
            lw.run(self.program, [*consts, *slices], places)
            lw.flush()
            module.turns = around
            poll(inner, loop.index, POLL)
        threads = MAX_THREADS
        if arena.size > ON_STACK:
            threads = min(FEW_THREADS, SCRATCH_OF_ALL // arena.size)
            if threads < 2:
                raise Unshareable
        head = [
            f"{first.name} = mul i64 {chunk.name}, {size}",
            f"%m.next = add i64 {first.name}, {size}",
            f"{end.name} = call i64 @llvm.smin.i64(i64 %m.next, i64 {length})",
            *self._scratch(inner, base, arena.size, min(threads, chunks)),
        ]
        module.declare("llvm.smin.i64", "i64", ["i64", "i64"])
        run_shared(e, inner, chunk, chunks, head=head, threads=threads, wait=not self._long)

    def _scratch(self, inner: Emitter, base: Value, size: int, threads: int) -> list[str]:
        """The lines that say where a part's scratch memory is."""
        lw = self.lw
        if not size:
            return []
        if size <= ON_STACK:
            return [f"{base.name} = alloca [{size} x i8], align 64"]
        slot = lw.arena.take(threads * size)
        lw.arena.give(slot)  # after the loop
        whole = lw.e.pure(f"getelementptr i8, ptr {lw.arena_base.name}, i64 {slot.offset}", "ptr", 1, 0)
        return [
            f"%m.offset = mul i64 %thread, {size}",
            f"{base.name} = getelementptr i8, ptr {inner.local(whole).name}, i64 %m.offset",
        ]


def element_of(x: Node, at: Index) -> Node:
    """The part of an array at an index of its first dimension."""
    return _part(x, at) if isinstance(x, View) else Remap(x, x.shape[1:], lambda position: (at, *position))


def _part(x: View, at: Index) -> View:
    return View(x.buffer, x.shape[1:], x.dtype, x.strides[1:], x.offset + at * x.strides[0])


def captured(e: Emitter, inner: Emitter, node: Node) -> Node:
    """A node of the function around (in memory or registers, or an iota) as one of a function within."""
    if isinstance(node, View):
        return captured_view(e, inner, node)
    if isinstance(node, Registers):
        values = [inner.local(v) for v in node.values]
        return Registers(node.shape, node.dtype, tuple(values) if len(values) > 1 else values[0])
    assert isinstance(node, Iota)
    return node


def captured_view(e: Emitter, inner: Emitter, view: View) -> View:
    """Memory as a function within sees it."""
    address = inner.local(view.pointer(e))
    return View(Buffer(address), view.shape, view.dtype, view.strides, ZERO)


__all__ = ["Turns", "Work", "captured", "captured_view", "element_of", "work_of"]
