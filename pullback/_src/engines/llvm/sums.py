"""The innermost part of a stage: its elements at a position, stored or combined along the reduced axes.

Terms are combined in an order that the shape alone decides: a few as a tree, up to two blocks one after the
other in each lane, more as blocks that are combined pairwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from . import streaming
from .deferred import rounded
from .index import ZERO, Index
from .ir import Emitter, Value, constant, type_text, vector_literal
from .parallel import evaluated
from .reducers import Reducer
from .stages import BRIEF, LONG_BODY, Axis, Stage, plan
from .storage import BYTES, components, prefetch, store

BLOCK = 64  # terms that a lane adds one after the other before sums are combined pairwise
_MASKS = {"float": "i32", "double": "i64", "i1": "i8"}  # the type of a lane's mask, if it is another one
UNROLL = 16  # products of a reduction that are written out instead of looped over
FEW = 8  # other terms that are, and products in stages that are done at once
GROUP = 4  # products that are added in each turn there
MANY, WIDE = 256, 64  # terms, and bytes of a vector, whose lanes a function may combine

Elements = list[tuple[Value, ...]]  # of each of the sums: the values that its reducer carries
Term = Callable[[Index], Elements]


class Accumulation:
    """A stage at the position that `at` says; what is around it sets the indices that are looped over."""

    def __init__(self, e: Emitter, stage: Stage, fixed: dict[int, Index]) -> None:
        self.e = e
        self.stage = stage
        self.plan = plan(stage, fixed, e.module.turns)
        self.at: list[Index] = [fixed.get(d, ZERO) for d in range(len(stage.domain))]
        self.sums = [o for o in stage.outputs if o.reducer is not None]
        self.width = 1  # lanes of the terms that are accumulated
        # A part of an axis instead of all of it: its first index and its size.
        self.window: tuple[Axis, Value, int] | None = None

    def _leaf(self, lanes: int) -> Elements:
        """Store what is stored at this position; the elements to be accumulated."""
        e, at = self.e, tuple(self.at)
        e.positions += 1
        terms = []
        for output in self.stage.outputs:
            element = output.node.element(e, at)
            if output.reducer is None:
                view, place = output.view, output.view.where(at)
                if output.needed:
                    alignment = streaming.alignment(e, place, view.storage) if output.streams else 0
                    store(e, view.address(e), place, view.storage, element, lanes, alignment)
                e.scope.known[view.buffer, place.key] = element
            else:
                terms.append(tuple([e.splat(v, lanes) for v in components(element)]))
        if self.stage.ahead:
            around = self.stage.around
            following = (*at[:around], at[around] + 1, *at[around + 1 :])
            for view in self.stage.ahead:
                prefetch(e, view.address(e), view.where(following), view.storage, lanes)
        return terms

    def _store(self, sums: Elements, lanes: int) -> None:
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

    def _reduce_all(self, axes: Sequence[Axis]) -> Elements:
        """Over axes the last of which has the lanes: vectors are accumulated, at the end their lanes."""
        self.width = self.plan.count
        vectors = self._reduce(axes)
        terms = math.prod([axis.size for axis in axes])
        triples = zip(self.sums, vectors, strict=True)
        return [self._together(o.reducer, v, terms) for o, v in triples if o.reducer]

    def _together(self, reducer: Reducer, vectors: tuple[Value, ...], terms: int) -> tuple[Value, ...]:
        """All lanes combined into one, in a function if the terms take much longer than a call."""
        e, (vector, *more) = self.e, vectors
        if more or terms < MANY or vector.lanes * BYTES[vector.elem] < WIDE:
            return reducer.lanes(e, vectors)
        key = ("lanes", reducer.name, reducer.identity[0].name, vector.type)
        return (evaluated(e, key, [vector], lambda e, arguments: reducer.lanes(e, (arguments[0],))[0]),)

    def _reduce(self, axes: Sequence[Axis]) -> Elements:
        """The combined elements of the sums, along these axes."""
        if not axes:
            return self._leaf(self.width)
        axis = axes[0]
        count = self.plan.count if axis is self.plan.block else 1
        start, size = ZERO, axis.size
        if self.window is not None and self.window[0] is axis:
            size = self.window[2]
            start = Index.along(self.window[1], 0, axis.size - 1)
        turns, rest = divmod(size, count)

        def term(index: Index) -> Elements:
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

    def _overlapping(self, size: int, term: Term) -> Elements:
        """Terms along the axis with the lanes whose last vector overlaps with the one before.

        What the one before has is left out, if it makes a difference: it gets the value that changes nothing.
        """
        e, count = self.e, self.plan.count
        turns, rest = divmod(size, count)
        last = size - count

        def final() -> Elements:
            old = range(count - rest)
            return self._masked(
                term(Index.of(last)),
                lambda elem: Value(
                    vector_literal([0 if k in old else -1 for k in range(count)], elem), elem, count, 0
                ),
            )

        if self.plan.body <= LONG_BODY and not all(o.reducer and o.reducer.idempotent for o in self.sums):
            return self._combine(self._accumulate(turns, count, term), final())

        def clamped(index: Index) -> Elements:
            if index.static:
                return term(index) if index.const <= last else final()
            at = index.scalar(e)
            first = e.call("llvm.umin", "i64", at, constant(last, "i64"))
            return self._masked(
                term(Index.along(first, 0, last)), lambda elem: _lanes_from(e, elem, count, e.sub(first, at))
            )

        return self._accumulate(turns + 1, count, clamped)

    def _masked(self, terms: Elements, mask: Callable[[str], Value]) -> Elements:
        """The terms in the lanes where the mask (of integers of the given type) has all bits; elsewhere what
        changes nothing."""
        e, masked = self.e, []
        for output, term in zip(self.sums, terms, strict=True):
            reducer = output.reducer
            assert reducer is not None
            if reducer.idempotent:
                masked.append(term)
                continue
            kept = []
            for value, identity in zip(term, reducer.identity, strict=True):
                bits = mask(_MASKS.get(value.elem, value.elem))
                if reducer.zero and value.elem != "i1":
                    kept.append(e.bitcast(e.and_(e.bitcast(value, bits.elem), bits), value.elem))
                else:
                    condition = e.icmp("ne", bits, e.const(0, bits))
                    kept.append(e.select(condition, value, e.splat(identity, bits.lanes)))
            masked.append(tuple(kept))
        return masked

    def _combine(self, x: Elements, y: Elements) -> Elements:
        triples = zip(self.sums, x, y, strict=True)
        return [o.reducer.combine(self.e, a, b) for o, a, b in triples if o.reducer is not None]

    def _tree(self, parts: list[Elements]) -> Elements:
        sums = zip(self.sums, zip(*parts, strict=True), strict=True)
        return [o.reducer.joined(self.e, terms) for o, terms in sums if o.reducer]

    def _chains(self, terms: list[Elements]) -> Elements:
        """Products added one after the other, which takes one instruction for each, in two chains."""
        chains = []
        for part in (terms[::2], terms[1::2]):
            total = part[0]
            for term in part[1:]:
                total = self._combine(total, term)
            chains.append(total)
        return self._combine(*chains)

    def _accumulate(self, turns: int, step: int, term: Term) -> Elements:
        """The combination of `term(k * step)` for k in range(turns)."""
        few = turns <= FEW and self.plan.cost * turns < 8
        if turns == 1 or few:
            return self._tree([term(Index.of(k * step)) for k in range(turns)])
        if turns <= UNROLL and self.stage.along is not None:
            if turns > FEW and turns % GROUP == 0 and self._brief:
                begin, end = constant(0, "i64"), constant(turns * step, "i64")
                return self._sequence(
                    begin, end, turns // GROUP, GROUP * step,
                    lambda index: self._chains([term(index + k * step) for k in range(GROUP)]),
                )  # fmt: skip
            return self._chains([term(Index.of(k * step)) for k in range(turns)])
        if turns <= 2 * BLOCK or not any(o.reducer and o.reducer.inexact for o in self.sums):
            return self._sequence(constant(0, "i64"), constant(turns * step, "i64"), turns, step, term)
        return self._pairwise(turns, step, term)

    @property
    def _brief(self) -> bool:
        """Whether the stage is done before longer code would have been compiled."""
        return self.plan.cost * math.prod(self.stage.domain) * self.e.module.turns < BRIEF

    def _sequence(self, start: Value, stop: Value, turns: int, step: int, term: Term) -> Elements:
        e = self.e
        first = [e.splat(i, self.width) for o in self.sums if o.reducer for i in o.reducer.identity]
        with e.loop(start, stop, step, first) as loop:
            terms = term(Index.along(loop.index, 0, turns * step - step))
            total = self._combine(self._grouped(loop.carried), terms)
            loop.update([e.splat(v, self.width) for t in total for v in t])
        return self._grouped(loop.results)

    def _grouped(self, values: Sequence[Value]) -> Elements:
        groups, k = [], 0
        for o in self.sums:
            assert o.reducer is not None
            n = len(o.reducer.identity)
            groups.append(tuple(values[k : k + n]))
            k += n
        return groups

    def _pairwise(self, turns: int, step: int, term: Term) -> Elements:
        """Sums of blocks of terms, combined as a balanced tree with a stack of one partial sum a level.

        After a block, the partial sums of as many levels are combined as the number of blocks before it has
        trailing ones: as a binary counter carries.
        """
        e, width = self.e, self.width
        lanes = constant(width, "i64")
        blocks = -(-turns // BLOCK)
        kinds = [i.elem for o in self.sums if o.reducer for i in o.reducer.identity]
        stacks = [e.stack(elem, width * (blocks.bit_length() + 1)) for elem in kinds]

        def places(offset: Value) -> list[Value]:
            return [
                e.here(f"getelementptr {elem}, ptr {s.name}, i64 {offset.name}", "ptr", 1)
                for elem, s in zip(kinds, stacks, strict=True)
            ]

        def read(offset: Value) -> Elements:
            found = zip(kinds, places(offset), strict=True)
            return self._grouped(
                [
                    e.here(f"load {type_text(elem, width)}, ptr {p.name}, align 4", elem, width)
                    for elem, p in found
                ]
            )

        with e.loop(constant(0, "i64"), constant(blocks, "i64")) as loop:
            start = e.mul(loop.index, constant(BLOCK * step, "i64"))
            stop = e.add(start, constant(BLOCK * step, "i64"))
            if turns % BLOCK:  # the last block has fewer
                stop = e.call("llvm.smin", "i64", stop, constant(turns * step, "i64"))
            block = [v for t in self._sequence(start, stop, turns, step, term) for v in t]
            with e.whilst([constant(0, "i64"), *block]) as carry:
                level, *partial = carry.carried
                carry.test(e.convert("trunc", e.lshr(loop.index, level), "i1"))
                total = self._combine(read(e.mul(level, lanes)), self._grouped(partial))
                carry.update([e.add(level, constant(1, "i64")), *[v for t in total for v in t]])
            level, *partial = carry.results
            for place, v in zip(places(e.mul(level, lanes)), partial, strict=True):
                e.line(f"store {v.typed}, ptr {place.name}, align 4")
        parts = [read(constant(k * width, "i64")) for k in range(blocks.bit_length()) if blocks >> k & 1]
        result = parts[0]
        for part in parts[1:]:
            result = self._combine(part, result)
        return result


def _lanes_from(e: Emitter, elem: str, lanes: int, start: Value) -> Value:
    """All bits in the lanes from number `-start` on, and none before: a window over zeros and ones."""
    known, key, size = e.scopes[0].known, ("lanes", elem, lanes), BYTES[elem]
    if key not in known:
        zeros = e.stack(elem, 2 * lanes)
        ones = Value("%" + e.fresh("w"), "ptr", 1, 0)
        e.frame.append(f"store {type_text(elem, lanes)} zeroinitializer, ptr {zeros.name}, align 64")
        e.frame.append(f"{ones.name} = getelementptr i8, ptr {zeros.name}, i64 {lanes * size}")
        e.frame.append(f"store {constant(-1, elem, lanes).typed}, ptr {ones.name}, align {size}")
        known[key] = ones
    place = e.pure(f"getelementptr {elem}, ptr {known[key].name}, {start.typed}", "ptr", 1, start.level)
    return e.pure(f"load {type_text(elem, lanes)}, ptr {place.name}, align {size}", elem, lanes, start.level)


__all__ = ["Accumulation", "Elements"]
