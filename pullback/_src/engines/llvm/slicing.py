"""Lowering of `dynamic_update_slice`: a window written over, in place if nothing else needs the array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.program import Equation
from .index import ZERO, Index
from .ir import Value, constant, vector_literal
from .liveness import same_memory
from .lower import Lowering, in_place, lowering
from .nodes import Node, Registers, View, row_major, whole
from .storage import Content, components, load, store
from .structural import clamped, sliced

Out = Sequence[View | None]

in_place.add("dynamic_update_slice")


@lowering("dynamic_update_slice")
def dynamic_update_slice(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node]:
    x, update, *starts = operands
    at = [clamped(lw, s, n - size) for s, n, size in zip(starts, x.shape, update.shape, strict=True)]
    if lw.small(x):
        return [_in_registers(lw, lw.registers(x), update, at)]
    if not x.size or not update.size:
        return [lw.into(x, lw.result(x, out[0]))]
    if _renews(lw, x, update, at, out[0]):
        return [_around(lw, x, update, [i.const for i in at], lw.result(x, out[0]))]
    update = independent(lw, update, x)
    view = destination(lw, eqn, 0, x, out[0])
    offset = ZERO
    for index, stride in zip(at, view.strides, strict=True):
        offset = offset + index * stride
    lw.store(view.with_layout(update.shape, view.strides, offset), update)
    return [view]


def _renews(lw: Lowering, x: Node, update: Node, at: Sequence[Index], out: View | None) -> bool:
    """Whether most of an array is replaced by what is computed from it.

    In place, all new elements would be stored elsewhere first and then moved. In other memory they are
    stored once, and few old ones are copied.
    """
    return (
        isinstance(x, View)
        and 2 * update.size > x.size
        and all(i.static for i in at)
        and not isinstance(update, (View, Registers))
        and not update.pieced
        and (out is None or not same_memory(out.buffer, x.buffer))
        and lw.reads(update, x.buffer)
    )


def _around(lw: Lowering, x: Node, update: Node, starts: Sequence[int], view: View) -> View:
    """Store an update, and the elements of `x` around it."""
    first, shape = [0] * len(starts), list(view.shape)

    def store(node: Node) -> None:
        offset = sum(i * s for i, s in zip(first, view.strides, strict=True))
        lw.store(view.with_layout(node.shape, view.strides, offset), node)

    for d, (start, size) in enumerate(zip(starts, update.shape, strict=True)):
        total = shape[d]
        for low, high in ((0, start), (start + size, total)):
            if high > low:
                first[d], shape[d] = low, high - low
                store(sliced(lw, x, first, [1] * len(first), tuple(shape)))
        first[d], shape[d] = start, size
    store(update)
    return view


def destination(lw: Lowering, eqn: Equation, number: int, x: Node, out: View | None) -> View:
    """Memory with the content of operand `number`, `x`, to be changed: its own if nothing else reads it."""
    view = lw.renewed(eqn, number)
    if view is not None:
        return view
    if out is not None and isinstance(x, View) and x.buffer.address is not None:
        assert out.buffer.address is None or x.buffer.address.name != out.buffer.address.name
    return lw.rewritten(lw.store(lw.result(x, out), x))


def independent(lw: Lowering, node: Node, x: Node) -> Node:
    """The node, computed now if it reads the memory of `x`, which is about to change."""
    if lw.small(node):
        return lw.registers(node)
    if isinstance(x, View) and lw.reads(node, x.buffer):
        node = lw.store(lw.result(node), node)
        lw.flush()
    return node


def _in_registers(lw: Lowering, x: Registers, update: Node, at: Sequence[Index]) -> Registers:
    """Lanes are selected where the window is one element along each dimension that is not static."""
    e = lw.e
    if not update.size:
        return x
    update = lw.registers(update)
    shape = x.shape
    if not all(i.static or n == 1 for i, n in zip(at, update.shape, strict=True)):
        return _through_memory(lw, x, update, at)
    grid = np.unravel_index(np.arange(x.size), shape) if shape else ()
    inside: Value = constant(True, "i1", x.size)
    known = np.ones(x.size, bool)
    source = np.zeros(x.size, int)
    for i, lanes, n, stride in zip(at, grid, update.shape, row_major(update.shape), strict=True):
        if i.static:
            place = lanes - i.const
            known &= (place >= 0) & (place < n)
            source += np.clip(place, 0, n - 1) * stride
        elif len(lanes) == 1:
            continue
        else:
            numbers = Value(vector_literal([int(k) for k in lanes], "i32"), "i32", x.size, 0)
            start = e.convert("trunc", i.scalar(e), "i32")
            inside = e.and_(inside, e.icmp("eq", numbers, e.splat(start, x.size)))
    if not known.all():
        mask = vector_literal([bool(k) for k in known], "i1")
        inside = e.and_(inside, Value(mask, "i1", x.size, 0))
    parts = []
    for old, new in zip(x.values, update.values, strict=True):
        moved = e.shuffle(e.splat(new, update.size), [int(k) for k in source])
        if x.size == 1:
            condition = e.extract(inside, 0) if inside.lanes > 1 else inside
            parts.append(e.select(condition, moved, old))
        else:
            parts.append(e.select(inside, moved, e.splat(old, x.size)))
    return Registers(shape, x.dtype, tuple(parts) if len(parts) > 1 else parts[0])


def _through_memory(lw: Lowering, x: Registers, update: Registers, at: Sequence[Index]) -> Registers:
    e = lw.e
    base = e.stack(x.storage.memory, x.size * x.storage.components)
    everything = Index.of_lanes(range(x.size))
    element = x.element(e, whole(x.shape))
    store(e, base, everything, x.storage, element, x.size)
    offset = ZERO
    lanes = np.zeros(update.size, int)
    grid = np.unravel_index(np.arange(update.size), update.shape)
    for i, k, stride in zip(at, grid, row_major(x.shape), strict=True):
        offset = offset + i * stride
        lanes += k * stride
    window = update.element(e, whole(update.shape))
    store(e, base, offset + Index.of_lanes([int(k) for k in lanes]), x.storage, window, update.size)
    result = load(e, Content.now(e, base, x.storage), everything)
    return Registers(x.shape, x.dtype, result if len(components(result)) > 1 else components(result)[0])


__all__ = ["destination", "dynamic_update_slice", "independent"]
