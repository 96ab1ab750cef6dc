"""Lowerings of `ops.structural`, `joining`, `iota`, `empty`, `slicing`: what only moves elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.program import Equation
from .deferred import Constant, Iota, Map, Pieces, Remap
from .index import ZERO, Index
from .ir import constant
from .lower import Lowering, lowering, takes_pieces
from .math import bounds
from .nodes import Node, Position, Registers, View

Out = Sequence[View | None]
FEW = 3  # arrays whose concatenation is not stored if what reads it need not have it in memory


def moved(lw: Lowering, source: Node, shape: tuple[int, ...], mapping: Any) -> Node:
    """The elements of `source` at other positions: in registers if both are small."""
    node = Remap(source, shape, mapping)
    if isinstance(source, Registers) and lw.small(node):
        return lw.registers(node)
    return node


@lowering("broadcast_in_dim")
def broadcast_in_dim(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node]:
    (x,) = operands
    shape, dims = eqn.params["shape"], eqn.params["broadcast_dimensions"]
    if isinstance(x, View):
        strides = [0] * len(shape)
        for n, stride, d in zip(x.shape, x.strides, dims, strict=True):
            strides[d] = 0 if n == 1 else stride
        return [x.with_layout(shape, tuple(strides))]
    sizes = x.shape

    def mapping(at: Position) -> Position:
        return tuple([ZERO if n == 1 else at[d] for n, d in zip(sizes, dims, strict=True)])

    return [moved(lw, x, shape, mapping)]


@lowering("transpose")
def transpose(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node]:
    (x,) = operands
    permutation = eqn.params["permutation"]
    shape = tuple([x.shape[d] for d in permutation])
    if isinstance(x, View):
        return [x.with_layout(shape, tuple([x.strides[d] for d in permutation]))]
    inverse = [permutation.index(d) for d in range(len(permutation))]
    return [moved(lw, x, shape, lambda at: tuple([at[d] for d in inverse]))]


@lowering("rev")
def rev(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node]:
    (x,) = operands
    dims = eqn.params["dimensions"]
    if isinstance(x, View):
        strides = tuple([-s if d in dims else s for d, s in enumerate(x.strides)])
        offset = sum(x.strides[d] * (x.shape[d] - 1) for d in dims if x.shape[d])
        return [x.with_layout(x.shape, strides, offset)]
    shape = x.shape

    def mapping(at: Position) -> Position:
        return tuple([i * -1 + (shape[d] - 1) if d in dims else i for d, i in enumerate(at)])

    return [moved(lw, x, shape, mapping)]


@lowering("slice")
def slice_(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node]:
    (x,) = operands
    starts = eqn.params["start_indices"]
    steps = eqn.params["strides"] or (1,) * len(starts)
    return [sliced(lw, x, starts, steps, eqn.outvars[0].aval.shape)]


def sliced(
    lw: Lowering, x: Node, starts: Sequence[int], steps: Sequence[int], shape: tuple[int, ...]
) -> Node:
    """Every `steps`-th element from `starts` on."""
    if isinstance(x, View):
        strides = tuple([s * k for s, k in zip(x.strides, steps, strict=True)])
        offset = sum(s * k for s, k in zip(x.strides, starts, strict=True)) if math.prod(shape) else 0
        return x.with_layout(shape, strides, offset)

    def mapping(at: Position) -> Position:
        return tuple([i * k + s for i, k, s in zip(at, steps, starts, strict=True)])

    return moved(lw, x, shape, mapping)


@lowering("split")
def split(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node]:
    (x,) = operands
    axis, start, parts = eqn.params["axis"], 0, []
    for size, var in zip(eqn.params["sizes"], eqn.outvars, strict=True):
        starts = [start if d == axis else 0 for d in range(len(x.shape))]
        parts.append(sliced(lw, x, starts, [1] * len(starts), var.aval.shape))
        start += size
    return parts


@lowering("reshape")
def reshape(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node]:
    (x,) = operands
    return [reshaped(lw, x, eqn.outvars[0].aval.shape)]


def reshaped(lw: Lowering, x: Node, shape: tuple[int, ...]) -> Node:
    """The node in another shape: elementwise functions of memory are reshaped where they read."""
    found = _reshaped(x, shape)
    if found is None:
        view = lw.memory(x)
        found = view.reshaped(shape)
        assert found is not None
    return found


def _reshaped(x: Node, shape: tuple[int, ...]) -> Node | None:
    if x.shape == shape:
        return x
    if isinstance(x, (View, Registers)):
        return x.reshaped(shape)
    # Dimensions that are split, and dimensions of size 1, keep indices affine.
    if _splits_only(x.shape, shape):
        if isinstance(x, Pieces) and not _between_rows(x, shape):
            return None
        return Remap(x, shape, _splitting(x.shape, shape))
    if isinstance(x, Map):
        operands = []
        for o in x.operands:
            if o.size == 1:
                operands.append(_single(o))
                continue
            inner = _reshaped(o, shape) if o.shape == x.shape else None
            if inner is None:
                return None
            operands.append(inner)
        return Map(x.rule, operands, shape, x.dtype, x.params, x.weight)
    return None


def _between_rows(x: Pieces, shape: tuple[int, ...]) -> bool:
    """Whether a piece ends where a row does when the shape is this one, which splits the pieces' axis.

    Others would be put together where they are read, and be copied from there.
    """
    parts = next(parts for d, parts in _groups(x.shape, shape) or [] if d == x.axis)
    row = math.prod([shape[k] for k in parts[1:]])
    return all(start % row == 0 for start in x.starts)


def _single(x: Node) -> Node:
    """The only element of a node, as a node without dimensions."""
    at = (ZERO,) * len(x.shape)
    return Remap(x, (), lambda _: at) if x.shape else x


def _groups(old: Sequence[int], new: Sequence[int]) -> list[tuple[int, list[int]]] | None:
    """For each dimension of `old` larger than 1, the dimensions of `new` it is split into; None if not so."""
    groups = []
    k = 0
    for d, n in enumerate(old):
        if n == 1:
            continue
        parts: list[int] = []
        have = 1
        while have < n:
            if k == len(new):
                return None
            if new[k] != 1:
                parts.append(k)
                have *= new[k]
            k += 1
        if have != n:
            return None
        groups.append((d, parts))
    return groups


def _splits_only(old: Sequence[int], new: Sequence[int]) -> bool:
    return math.prod(old) > 0 and _groups(old, new) is not None


def _splitting(old: Sequence[int], new: Sequence[int]) -> Any:
    groups = _groups(old, new)
    assert groups is not None

    def mapping(at: Position) -> Position:
        result = [ZERO] * len(old)
        for d, parts in groups:
            step = 1
            for k in reversed(parts):
                result[d] = result[d] + at[k] * step
                step *= new[k]
        return tuple(result)

    return mapping


@lowering("iota")
def iota(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node]:
    aval = eqn.outvars[0].aval
    node = Iota(aval.shape, aval.dtype, eqn.params["dimension"])
    if not node.storage.computable or node.storage.components == 2 or node.storage.register == "i1":
        values = np.broadcast_to(
            np.arange(aval.shape[node.dimension])
            .astype(aval.dtype)
            .reshape([-1 if d == node.dimension else 1 for d in range(aval.ndim)]),
            aval.shape,
        )
        return [lw.constant(np.ascontiguousarray(values))]
    return [lw.registers(node) if lw.small(node) else node]


@lowering("empty")
def empty(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node]:
    return [lw.empty(eqn.outvars[0].aval, out[0])]


# Joining ------------------------------------------------------------------------------------------------


def picked(lw: Lowering, sources: Sequence[Registers], choice: Sequence[int], aval: Any) -> Registers:
    """Lanes of all sources, one after the other, in a new order."""
    e = lw.e
    parts = []
    for c in range(len(sources[0].values)):
        joined = e.concat([e.splat(s.values[c], s.size) for s in sources])
        parts.append(e.shuffle(joined, list(choice)))
    return Registers(aval.shape, aval.dtype, parts[0] if len(parts) == 1 else tuple(parts))


@lowering("concatenate")
def concatenate(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node]:
    aval, axis = eqn.outvars[0].aval, eqn.params["dimension"]
    parts = [o for o in operands if o.shape[axis]]
    if lw.small(aval):
        numbers, first = [], 0
        for o in parts:
            numbers.append(np.arange(first, first + o.size).reshape(o.shape))
            first += o.size
        choice = np.concatenate(numbers, axis).ravel()
        return [picked(lw, [lw.registers(o) for o in parts], [int(k) for k in choice], aval)]
    if out[0] is None and len(parts) <= FEW:
        return [parts[0] if len(parts) == 1 else Pieces(aval.shape, parts, axis)]
    view = lw.result(aval, out[0])
    start = 0
    for o in parts:
        lw.store(view.with_layout(o.shape, view.strides, start * view.strides[axis]), o)
        start += o.shape[axis]
    return [view]


@lowering("pad")
def pad(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node]:
    x, value = operands
    aval = eqn.outvars[0].aval
    config = eqn.params["padding_config"]
    source, target, steps, sizes = kept(x.shape, aval.shape, config)
    inner = sliced(lw, x, source, [1] * len(source), tuple(sizes)) if math.prod(sizes) else None
    if lw.small(aval):
        choice = np.zeros(aval.shape, int)
        if inner is None:
            return [picked(lw, [lw.registers(value)], [0] * aval.size, aval)]
        where = tuple([slice(t, t + n * s, s) for t, n, s in zip(target, sizes, steps, strict=True)])
        choice[where] = np.arange(1, inner.size + 1).reshape(sizes)
        sources = [lw.registers(value), lw.registers(inner)]
        return [picked(lw, sources, [int(k) for k in choice.ravel()], aval)]
    if out[0] is None and inner is not None and all(s == 1 for s in steps):
        return [_framed(inner, value, target, aval.shape)]
    return [pad_into(lw, lw.result(aval, out[0]), x, value, config)]


Config = Sequence[tuple[int, int, int]]


def kept(
    shape: Sequence[int], padded: Sequence[int], config: Config
) -> tuple[list[int], list[int], list[int], list[int]]:
    """Of the elements of an array that padding does not cut off: where the first is, where it goes, the steps
    there, and their number, in each dimension."""
    source, target, steps, sizes = [], [], [], []
    for n, total, (low, _, interior) in zip(shape, padded, config, strict=True):
        step = interior + 1
        # Source element k lands at low + k * step; those that land within [0, total) are kept.
        first = max(0, -(low // step))
        last = max(first, min(n, -((low - total) // step)))
        source.append(first)
        target.append(low + first * step)
        steps.append(step)
        sizes.append(last - first)
    return source, target, steps, sizes


def pad_into(lw: Lowering, view: View, x: Node, value: Node, config: Config) -> View:
    """Store `x` in `view`, with `value` between its elements and around."""
    source, target, steps, sizes = kept(x.shape, view.shape, config)
    full = Remap(value, view.shape, lambda at: ())
    if not math.prod(sizes):
        return lw.store(view, full)
    inner = sliced(lw, x, source, [1] * len(source), tuple(sizes))
    if all(s == 1 for s in steps):
        _pad_border(lw, view, value, target, sizes)
    else:
        view = lw.rewritten(lw.store(view, full))
    strides = tuple([s * k for s, k in zip(view.strides, steps, strict=True)])
    offset = sum(s * k for s, k in zip(view.strides, target, strict=True))
    lw.store(view.with_layout(tuple(sizes), strides, offset), inner)
    return view


def _framed(node: Node, value: Node, starts: Sequence[int], shape: tuple[int, ...]) -> Node:
    """The node with `value` around it, axis by axis."""
    for d, (start, total) in enumerate(zip(starts, shape, strict=True)):
        have = node.shape[d]
        if have == total:
            continue
        parts: list[Node] = []
        for size in (start, have, total - start - have):
            box = (*node.shape[:d], size, *node.shape[d + 1 :])
            parts.append(node if len(parts) == 1 else Remap(value, box, lambda at: ()))
        full = (*node.shape[:d], total, *node.shape[d + 1 :])
        node = Pieces(full, [p for p in parts if p.shape[d]], d)
    return node


def _pad_border(lw: Lowering, view: View, value: Node, starts: Sequence[int], sizes: Sequence[int]) -> None:
    """Fill what lies outside of a box."""
    shape, offset = list(view.shape), 0
    for d, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        for low, high in ((0, start), (start + size, view.shape[d])):
            if high > low:
                box = tuple([high - low if k == d else n for k, n in enumerate(shape)])
                lw.store(
                    view.with_layout(box, view.strides, offset + low * view.strides[d]),
                    Remap(value, box, lambda at: ()),
                )
        offset += start * view.strides[d]
        shape[d] = size


# Windows at places that only run time knows ----------------------------------------------------------------


def clamped(lw: Lowering, start: Node, most: int) -> Index:
    """A start index moved into [0, most]."""
    if isinstance(start, Constant):
        return Index.of(min(max(int(start.value), 0), most))
    e = lw.e
    value = lw.scalar(start)
    unsigned = start.dtype.kind == "u"
    if bounds.inside(e, value, most):
        return Index.along(value if value.elem == "i64" else e.convert("zext", value, "i64"), 0, most)
    if value.elem != "i64":
        value = e.convert("zext" if unsigned else "sext", value, "i64")
    zero, top = constant(0, "i64"), constant(most, "i64")
    if unsigned:
        value = e.call("llvm.umin", "i64", value, top)
    else:
        value = e.call("llvm.smin", "i64", e.call("llvm.smax", "i64", value, zero), top)
    return Index.along(value, 0, most)


@lowering("dynamic_slice")
def dynamic_slice(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node]:
    x, *starts = operands
    sizes = eqn.params["slice_sizes"]
    at = [clamped(lw, s, n - size) for s, n, size in zip(starts, x.shape, sizes, strict=True)]
    if isinstance(x, Registers) and not all(i.static for i in at):
        lw.settle(x)
        x = x.in_memory(lw.e)
    if isinstance(x, View):
        offset = ZERO
        for i, stride in zip(at, x.strides, strict=True):
            offset = offset + i * stride
        view = x.with_layout(sizes, x.strides, offset)
        if not lw.small(view) or view.buffer.pending:
            return [view]
        element = lw.registers(view)
        latest = lw.latest.get(eqn.invars[0]) if lw.latest and sizes == (1,) else None
        return [element if latest is None else latest.instead_of(lw.e, element, at[0])]
    return [moved(lw, x, sizes, lambda p: tuple([i + s for i, s in zip(p, at, strict=True)]))]


takes_pieces.update(
    ("broadcast_in_dim", "transpose", "rev", "slice", "split", "reshape", "concatenate", "pad")
)
