"""Stages: what is stored and accumulated over a domain, and the plan of the loops that do it.

`plan` looks at what a stage reads and writes and decides the loops: which dimensions can be merged, along
which the vector lanes go, what is around them. `loops.py` writes them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from .index import ZERO, Index
from .ir import Value
from .nodes import Accesses, Node, Position, View
from .reducers import Reducer
from .storage import TILE

LANE_BYTES = 128  # of the widest element type, times lanes: two AVX-512 or four AVX2 registers a value
HEAVY_BODY = 1.2  # ns of operations that may be worth shorter vectors
LONG_BODY = 0.25  # ns of operations: what takes longer is not written twice
SHORT = 32  # bytes of a sum's terms of which a vector has several sums'
BRIEF = 10_000.0  # ns that a stage's operations take altogether


@dataclass(eq=False)
class Output:
    """`view` gets `node`'s elements; with a reducer, those of the reduced dimensions combined."""

    view: View
    node: Node
    reducer: Reducer | None = None
    needed: bool = True  # False: the elements are only read by the same stage, and not stored
    streams: bool = False  # written past the cache, if the vectors are aligned (`streaming`)


@dataclass(eq=False)
class Stage:
    """A loop nest over `domain` in the making."""

    domain: tuple[int, ...]
    reduced: tuple[bool, ...]
    outputs: list[Output] = field(default_factory=list)
    # What the first outputs read, once somebody has asked: their number, views and flat indices; and all
    # that was found there.
    reads: tuple[int, list[tuple[View, Index]]] | None = None
    found: list[Accesses] = field(default_factory=list)
    operations: float = 0.0  # ns on an element, roughly; as old as `reads`
    along: int | None = None  # the dimension that the lanes have to go along
    # What it reads that the next turn of a loop around reads, too: it goes to the cache meanwhile. And that
    # loop's dimension.
    ahead: list[View] = field(default_factory=list)
    around: int = 0

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
    # Whether `full` is the reduced axis: each so many neighbouring lanes are combined.
    grouped: bool = False


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


def plan(stage: Stage, fixed: dict[int, Index], turns: float = 1.0) -> Plan:
    """Decide the loops of a stage; the dimensions in `fixed` are given, `turns` those of loops around."""
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
    # A stage that is done at once never makes up for the time that longer ones take to compile.
    chain = max([o.node.chain for o in stage.outputs])
    brief = found.cost * math.prod(stage.domain) * turns < BRIEF
    limit = LONG_BODY if brief else max(HEAVY_BODY, 2.5 * chain)
    if not found.waits and (found.cost > 4 or found.cost > limit):
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
        around = None
        # LLVM moves the lanes of masks one by one.
        words = all(o.node.storage.register != "i1" for o in stage.outputs)
        if stage.along is None and words and all(flat.vector is None for flat in flats):
            size = SHORT // widest
            around = _around(chosen, rest, size, variables, rows[: len(flats)], rows[len(flats) :])
        if around is not None:
            several = min(around.size, target // chosen.size)
            if several > 1:
                kept = [a for a in rest if a is not around]
                body = found.cost
                return Plan(kept, around, several, [chosen], [], cost, None, body, repeatable, grouped=True)
        others = [a for a in rest if not a.reduced] + [a for a in rest if a.reduced]
        return Plan(others, block, count, [], [], cost, None, found.cost, repeatable)
    outside, summed = [a for a in rest if not a.reduced], [a for a in rest if a.reduced]
    return Plan(outside, block, count, full, summed, cost, None, found.cost, repeatable)


def _around(
    chosen: Axis,
    rest: Sequence[Axis],
    most: int,
    variables: Sequence[Value],
    loads: Sequence[dict[str, int]],
    stores: Sequence[dict[str, int]],
) -> Axis | None:
    """An axis around a reduced one of at most so many terms, if both together walk through neighbours in
    memory."""
    if chosen.size > most or not rest or any(a.reduced for a in rest):
        return None
    name, outside = variables[chosen.dims[-1]].name, variables[rest[-1].dims[-1]].name
    for number, row in enumerate([*loads, *stores]):
        inner, outer = row.get(name, 0), row.get(outside, 0)
        steps = {0: (0, 1), 1: (0, chosen.size)}.get(inner, ())
        if outer not in (steps if number < len(loads) or inner else (1,)):
            return None
    return rest[-1]


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


__all__ = ["LANE_BYTES", "Axis", "Output", "Plan", "Stage", "element_cost", "plan"]
