"""Lowerings of cumulative sums and their kind.

Along the last dimension, a vector is scanned in log2(lanes) steps of shifted lanes and joined with what came
before; along others, vectors of neighbours walk side by side. A long row is cut into parts, given by its size
alone, of which the totals are computed first, so that threads can share it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ...core.program import Equation
from . import elementwise
from .deferred import Types
from .index import ZERO, Index
from .ir import Emitter, Value, constant
from .lower import HEAVY, Lowering, lowering
from .nodes import Accesses, Node, Position, Registers, View, variables, whole
from .parallel import chunks_for, parallel_for
from .reducers import Reducer, reducer
from .storage import Element, components, store

Out = Sequence[View | None]
Parts = tuple[Value, ...]

KINDS = {"cumsum": "sum", "cumprod": "prod", "cummax": "max", "cummin": "min", "cumlogsumexp": ""}
WIDE = 64  # lanes that walk side by side along an outer dimension
STEP = 0.4  # ns of an element, roughly
PARTS = 16  # of a long row


def _logsumexp(dtype: np.dtype) -> Reducer:
    types = Types((dtype, dtype), dtype)
    elem = "double" if dtype.itemsize == 8 else "float"

    def combine(e: Emitter, x: Parts, y: Parts) -> Parts:
        return (elementwise.rules["logaddexp"](e, types, x[0], y[0]),)

    return Reducer((constant(-np.inf, elem),), combine)


@lowering(*KINDS)
def cumulative(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    (x,) = operands
    name, axis, reverse = KINDS[eqn.primitive.name], eqn.params["axis"], eqn.params["reverse"]
    if not x.storage.computable or (name in ("", "max", "min") and x.dtype.kind == "c"):
        return None
    r = reducer(name, x.dtype) if name else _logsumexp(x.dtype)
    if not x.size or x.shape[axis] == 1:
        return [lw.into(x, lw.result(x, out[0]))]
    if lw.small(x):
        lw.settle(x)
        return [_in_registers(lw, x, axis, reverse, r)]
    found = Accesses()
    x.visit(variables(x.shape), found)
    view = lw.result(eqn.outvars[0].aval, out[0])
    if found.cost > HEAVY and math.prod(x.shape[axis:]) == x.size:
        x = lw.memory(x)
    lw.settle(x)
    lw.flush()
    lw.place(view.buffer)
    Scan(lw.e, x, view, axis, reverse, r, found.cost).write()
    return [view]


def _in_registers(lw: Lowering, x: Node, axis: int, reverse: bool, r: Reducer) -> Registers:
    e = lw.e
    value = tuple([e.splat(v, x.size) for v in components(x.element(e, whole(x.shape)))])
    n = x.shape[axis]
    numbers = np.arange(x.size).reshape(x.shape)
    place = np.broadcast_to(
        np.arange(n).reshape([-1 if d == axis else 1 for d in range(len(x.shape))]), x.shape
    )
    step = 1
    while step < n:
        there = place + step if reverse else place - step
        inside = (there >= 0) & (there < n)
        source = np.where(inside, np.roll(numbers, -step if reverse else step, axis), x.size)
        value = r.combine(e, _shifted(e, value, r, [int(k) for k in source.ravel()]), value)
        step *= 2
    return Registers(x.shape, x.dtype, value if len(value) > 1 else value[0])


def _shifted(e: Emitter, value: Parts, r: Reducer, source: Sequence[int]) -> Parts:
    """Lanes in a new order; a number of the identity's lane stands for that."""
    lanes = ", ".join([f"i32 {k}" for k in source])
    return tuple(
        [
            e.pure(
                f"shufflevector {v.typed}, {e.splat(i, v.lanes).typed}, <{len(source)} x i32> <{lanes}>",
                v.elem,
                len(source),
                v.level,
            )
            for v, i in zip(value, r.identity, strict=True)
        ]
    )


class Scan:
    """Writes the loops of a cumulative operation."""

    def __init__(
        self, e: Emitter, x: Node, view: View, axis: int, reverse: bool, r: Reducer, cost: float
    ) -> None:
        self.e, self.x, self.view, self.axis, self.reverse, self.r = e, x, view, axis, reverse, r
        self.shape = x.shape
        self.at: list[Index] = [ZERO] * len(x.shape)
        self.work = (cost + STEP) * x.size
        e.module.work += e.module.turns * self.work
        self.lanes = max(32 // x.storage.bytes, 4)

    def write(self) -> None:
        """Write the loops, for several threads if it is worth it."""
        outer = [d for d in range(self.axis) if self.shape[d] > 1]
        inner = [d for d in range(self.axis + 1, len(self.shape)) if self.shape[d] > 1]
        line = (lambda: self._columns(inner)) if inner else self._row
        if outer:
            self._shared(outer[0], lambda: self._loops(outer[1:], line))
        elif inner and self.shape[inner[0]] >= 2 * WIDE and len(inner) == 1:
            self._shared_columns(inner[0])
        elif inner and len(inner) > 1:
            self._shared(inner[0], lambda: self._columns(inner[1:]))
        elif not inner and chunks_for(self.work, PARTS) > 1 and not self.e.outlined:
            self._shared_row()
        else:
            line()

    def _loops(self, dims: Sequence[int], body: Callable[[], None]) -> None:
        if not dims:
            body()
            return
        with self.e.loop(constant(0, "i64"), constant(self.shape[dims[0]], "i64")) as loop:
            self.at[dims[0]] = Index.along(loop.index, 0, self.shape[dims[0]] - 1)
            self._loops(dims[1:], body)

    def _shared(self, d: int, body: Callable[[], None]) -> None:
        chunks = 1 if self.e.outlined else chunks_for(self.work, self.shape[d])
        if chunks == 1:
            self._loops([d], body)
            return
        main = self.e

        def some(inner: Emitter, start: Value, stop: Value, chunk: Value) -> None:
            self.e = inner
            with inner.loop(start, stop) as loop:
                self.at[d] = Index.along(loop.index, 0, self.shape[d] - 1)
                body()

        parallel_for(main, self.shape[d], chunks, some)
        self.e = main

    def _along(self, index: Index) -> Index:
        """The index along the axis of the k-th element that is added."""
        return index * -1 + (self.shape[self.axis] - 1) if self.reverse else index

    def _element(self) -> Parts:
        return components(self.x.element(self.e, tuple(self.at)))

    def _store(self, value: Parts, lanes: int) -> None:
        e = self.e
        at: Position = tuple(self.at)
        base, place = self.view.address(e), self.view.where(at)
        element: Element = value if len(value) > 1 else value[0]
        store(e, base, place, self.view.storage, element, lanes)

    # Along an outer dimension -----------------------------------------------------------------------------

    def _columns(self, inner: Sequence[int]) -> None:
        sizes = [self.shape[d] for d in inner]
        if math.prod(sizes) <= WIDE:
            for d, index in zip(inner, whole(sizes), strict=True):
                self.at[d] = index
            self._walk(math.prod(sizes))
        else:
            self._loops(inner[:-1], lambda: self._blocks(inner[-1], None))

    def _blocks(self, d: int, part: tuple[Value, Value] | None) -> None:
        """Blocks of WIDE lanes along a dimension: all of them with the rest, or those of a part."""
        e = self.e
        blocks, rest = divmod(self.shape[d], WIDE)
        first, end = part or (constant(0, "i64"), constant(blocks, "i64"))
        if blocks:
            with e.loop(first, end) as loop:
                self.at[d] = Index.of_lanes(range(WIDE)) + Index.along(loop.index, 0, blocks - 1) * WIDE
                self._walk(WIDE)
        if rest and part is None:
            self._rest(d)

    def _rest(self, d: int) -> None:
        blocks, rest = divmod(self.shape[d], WIDE)
        self.at[d] = Index.of_lanes(range(rest)) + blocks * WIDE
        self._walk(rest)

    def _shared_columns(self, d: int) -> None:
        blocks = self.shape[d] // WIDE
        chunks = 1 if self.e.outlined else chunks_for(self.work, blocks)
        if chunks == 1:
            self._blocks(d, None)
            return
        main = self.e

        def some(inner: Emitter, start: Value, stop: Value, chunk: Value) -> None:
            self.e = inner
            self._blocks(d, (start, stop))

        parallel_for(main, blocks, chunks, some)
        self.e = main
        if self.shape[d] % WIDE:
            self._rest(d)

    def _walk(self, lanes: int) -> None:
        """Along the axis, side by side."""
        e, n = self.e, self.shape[self.axis]
        first = [e.splat(i, lanes) for i in self.r.identity]
        with e.loop(constant(0, "i64"), constant(n, "i64"), 1, first) as loop:
            self.at[self.axis] = self._along(Index.along(loop.index, 0, n - 1))
            term = tuple([e.splat(v, lanes) for v in self._element()])
            total = self.r.combine(e, tuple(loop.carried), term)
            self._store(total, lanes)
            loop.update(total)

    # Along the last dimension ----------------------------------------------------------------------------

    def _lanes(self, index: Index, count: int) -> Index:
        return self._along(Index.of_lanes(range(count)) + index)

    def _scanned(self, index: Index, count: int) -> tuple[Parts, Parts]:
        """The scan of `count` elements from the index on, and their total in all lanes."""
        e = self.e
        self.at[self.axis] = self._lanes(index, count)
        value = tuple([e.splat(v, count) for v in self._element()])
        step = 1
        while step < count:
            source = [k - step if k >= step else count for k in range(count)]
            value = self.r.combine(e, _shifted(e, value, self.r, source), value)
            step *= 2
        return value, tuple([e.splat(e.extract(v, count - 1), self.lanes) for v in value])

    def _row(self) -> None:
        n = self.shape[self.axis]
        start = [self.e.splat(i, self.lanes) for i in self.r.identity]
        self._range(constant(0, "i64"), n // self.lanes * self.lanes, n % self.lanes, start)

    def _range(self, first: Value, size: int, rest: int, carry: Sequence[Value]) -> None:
        """`size` elements from `first` on, in whole vectors, then `rest` more; `carry` came before."""
        e, n, width = self.e, self.shape[self.axis], self.lanes
        if size:
            with e.loop(first, e.add(first, constant(size, "i64")), width, carry) as loop:
                value, total = self._scanned(Index.along(loop.index, 0, n - 1), width)
                before = tuple(loop.carried)
                self._store(self.r.combine(e, before, value), width)
                loop.update(self.r.combine(e, before, total))
            carry = loop.results
        if rest:
            value, _ = self._scanned(Index.along(e.add(first, constant(size, "i64")), 0, n - 1), rest)
            before = tuple([e.shuffle(c, range(rest)) for c in carry])
            self._store(self.r.combine(e, before, value), rest)

    def _shared_row(self) -> None:
        """Totals of all parts but the last, their scan, then the parts."""
        main, n, width, r = self.e, self.shape[self.axis], self.lanes, self.r
        size = -(-n // PARTS // width) * width
        parts = n // size
        places = [main.stack(i.elem, parts + 1) for i in r.identity]

        def at(e: Emitter, place: Value, number: Value) -> Value:
            base = e.local(place)
            kind = r.identity[places.index(place)].elem
            return e.here(f"getelementptr {kind}, ptr {base.name}, i64 {number.name}", "ptr", 1)

        def read(e: Emitter, number: Value) -> Parts:
            return tuple(
                [
                    e.here(f"load {i.elem}, ptr {at(e, p, number).name}, align 4", i.elem, 1)
                    for p, i in zip(places, r.identity, strict=True)
                ]
            )

        def write(e: Emitter, number: Value, value: Parts) -> None:
            for p, v in zip(places, value, strict=True):
                e.line(f"store {v.typed}, ptr {at(e, p, number).name}, align 4")

        def total(inner: Emitter, start: Value, stop: Value, chunk: Value) -> None:
            self.e = inner
            first = inner.mul(chunk, constant(size, "i64"))
            wide = 4 * width if size % (4 * width) == 0 else width
            identity = [inner.splat(i, wide) for i in r.identity]
            with inner.loop(first, inner.add(first, constant(size, "i64")), wide, identity) as loop:
                self.at[self.axis] = self._lanes(Index.along(loop.index, 0, n - 1), wide)
                term = tuple([inner.splat(v, wide) for v in self._element()])
                loop.update(r.combine(inner, tuple(loop.carried), term))
            write(inner, inner.add(chunk, constant(1, "i64")), r.lanes(inner, tuple(loop.results)))

        parallel_for(main, parts, parts, total)
        self.e = main
        write(main, constant(0, "i64"), r.identity)
        running: Parts = r.identity
        for k in range(1, parts + 1):
            number = constant(k, "i64")
            running = r.combine(main, running, read(main, number))
            write(main, number, running)

        def part(inner: Emitter, start: Value, stop: Value, chunk: Value) -> None:
            self.e = inner
            carry = [inner.splat(v, width) for v in read(inner, chunk)]
            self._range(inner.mul(chunk, constant(size, "i64")), size, 0, carry)

        parallel_for(main, parts, parts, part)
        self.e = main
        rest = n - parts * size
        if rest:
            carry = [main.splat(v, width) for v in read(main, constant(parts, "i64"))]
            self._range(constant(parts * size, "i64"), rest // width * width, rest % width, carry)


__all__ = ["Scan", "cumulative"]
