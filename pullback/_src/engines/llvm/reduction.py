"""Lowerings of reductions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...core.aval import ShapedArray
from ...core.program import Equation
from .deferred import Constant, Remap
from .index import Index
from .lower import Lowering, lowering, takes_pieces
from .nodes import Node, Registers, View
from .reducers import Reducer, reducer
from .storage import components

Out = Sequence[View | None]

KINDS = {
    "reduce_sum": "sum",
    "reduce_prod": "prod",
    "reduce_max": "max",
    "reduce_min": "min",
    "reduce_and": "and",
    "reduce_or": "or",
    "reduce_xor": "xor",
}
UNROLLED = 512  # bytes of an operand that is reduced in registers
ROW = 32, 1024  # terms in a row that are reduced for themselves
LARGE = 1 << 16  # elements of an operand whose parts lie far from each other


@lowering(*KINDS)
def reduce(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    (x,) = operands
    aval = eqn.outvars[0].aval
    kind = KINDS[eqn.primitive.name]
    if not x.storage.computable or (kind in ("max", "min") and x.storage.components == 2):
        return None
    return [reduced(lw, x, eqn.params["axes"], reducer(kind, x.dtype), aval, out[0])]


def reduced(
    lw: Lowering, x: Node, axes: Sequence[int], r: Reducer, aval: Node | ShapedArray, out: View | None
) -> Node:
    """The elements of `x` combined along `axes`: in registers if there are few."""
    shape = tuple([n for d, n in enumerate(x.shape) if d not in axes])
    if not axes:
        return x
    if not all(x.shape[d] for d in axes):
        zero = Registers((), x.dtype, r.identity if len(r.identity) > 1 else r.identity[0])
        return Remap(zero, shape, lambda at: ())
    if math.prod(shape) and x.bytes <= UNROLLED and not lw.pending(x):
        return _in_registers(lw, x, axes, shape, r)
    first = _rows_first(x, axes)
    if first:
        kept = [n for d, n in enumerate(x.shape) if d not in first]
        rows = Node(tuple(kept), x.dtype)
        x, axes = lw.reduce(x, first, r, lw.result(rows)), [d for d in axes if d not in first]
    view = lw.result(aval, out)
    return lw.reduce(x, axes, r, view)


def _rows_first(x: Node, axes: Sequence[int]) -> list[int]:
    """The last dimensions, if they are reduced for themselves before dimensions around that are not reduced.

    Otherwise the loops would go from one short row to another far away in memory, for each element of the
    result.
    """
    last = len(x.shape)
    while last and last - 1 in axes:
        last -= 1
    terms = math.prod(x.shape[last:])
    if isinstance(x, View) and x.strides[-1] != 1:
        return []
    if not ROW[0] <= terms <= ROW[1] or x.size < LARGE or x.storage.narrow is not None:
        return []
    around = [d for d in axes if d < last and x.shape[d] > 1]
    return list(range(last, len(x.shape))) if around else []


def _in_registers(
    lw: Lowering, x: Node, axes: Sequence[int], shape: tuple[int, ...], r: Reducer
) -> Registers:
    """Halves are combined until one is left: the lanes are sorted so that each half holds all results."""
    e = lw.e
    order = [*axes, *[d for d in range(len(x.shape)) if d not in axes]]
    numbers = np.unravel_index(np.arange(x.size), [x.shape[d] for d in order])
    at = [Index.of(0)] * len(x.shape)
    for d, lanes in zip(order, numbers, strict=True):
        at[d] = Index.of_lanes([int(k) for k in lanes])
    parts = tuple([e.splat(v, x.size) for v in components(x.element(e, tuple(at)))])
    inner = math.prod(shape)
    if inner == 1 and r.of_truths:
        return Registers(shape, x.dtype, r.lanes(e, parts)[0])
    turns = x.size // inner
    pending = None
    while turns > 1:
        half = turns // 2
        low = tuple([e.shuffle(v, range(half * inner)) for v in parts])
        high = tuple([e.shuffle(v, range(half * inner, 2 * half * inner)) for v in parts])
        if turns % 2:
            rest = tuple([e.shuffle(v, range((turns - 1) * inner, turns * inner)) for v in parts])
            pending = rest if pending is None else r.combine(e, pending, rest)
        parts = r.combine(e, low, high)
        turns = half
    if pending is not None:
        parts = r.combine(e, parts, pending)
    return Registers(shape, x.dtype, parts if len(parts) > 1 else parts[0])


takes_pieces.update(KINDS)

__all__ = ["Constant", "reduce", "reduced"]
