"""Lowering of `conv_general_dilated`: windows gathered block by block, and BLAS.

The windows are a view of the padded operand with two kinds of dimensions: free ones, which the result has
(batch, places), and terms, which are summed (features, the window's). A block of them, a few images or rows
of one, is gathered into a matrix that stays in the cache, and multiplied with the kernel. How the matrix lies
follows the operand: what is consecutive in memory stays so. The blocks go along the operand's outermost
dimension. If that is the batch, blocks have results of their own. If it is the features, as in the gradient
by the kernel, where batch and features have changed places, products are added up: a few sums, of parts given
by the shapes, which threads make.

Small convolutions, those of integers, and those with few features in a group are ordinary reductions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...core import dtypes
from ...core.program import Equation
from . import blas
from .deferred import Constant, Map, Remap
from .dot import computing_dtype, product
from .index import ZERO, Index
from .ir import Emitter, Value, constant
from .loops import write_stage
from .lower import Lowering, lowering
from .matrices import RATE, Stack, converted, gemm, stack_of
from .nodes import Accesses, Buffer, Node, Position, Registers, View, row_major, variables
from .parallel import chunks_for, parallel_for
from .reducers import reducer
from .reduction import reduced
from .stages import Output, Stage
from .structural import pad_into

Out = Sequence[View | None]

BLOCK = 1 << 17  # bytes of gathered windows
OWN = 20_000  # multiplications up to which loops of our own are taken
FEW = 4  # output features of a group, up to which they are, too
PARTS = 16  # into which the blocks are divided for threads at most
PARTIAL = 1 << 24  # bytes of partial sums


class Geometry(NamedTuple):
    """Sizes: groups, batch, places, output features and features of a group, window."""

    groups: int
    batch: int
    features: int
    outputs: int
    places: tuple[int, ...]
    window: tuple[int, ...]


@lowering("conv_general_dilated")
def conv_general_dilated(
    lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out
) -> list[Node] | None:
    x, w = operands
    aval, params = eqn.outvars[0].aval, eqn.params
    dtype = computing_dtype(aval.dtype)
    if not all(n.storage.computable for n in (x, w)) or dtypes.is_key(x.dtype):
        return None
    x, w = converted(x, dtype), converted(w, dtype)
    by_features, by_batch = params["feature_group_count"], params["batch_group_count"]
    sizes = Geometry(
        by_features * by_batch,
        x.shape[0] // by_batch,
        w.shape[1],
        w.shape[0] // (by_features * by_batch),
        aval.shape[2:],
        w.shape[2:],
    )
    terms = sizes.features * math.prod(sizes.window)
    if not aval.size or not terms or not x.size:
        zero = Constant(0, dtype)
        return [lw.computed(converted(Remap(zero, aval.shape, lambda at: ()), aval.dtype))]
    work = sizes.groups * sizes.batch * sizes.outputs * math.prod(sizes.places) * terms
    native = blas.letter(dtype) is not None and work > OWN and sizes.outputs >= FEW
    padded = _padded(lw, x, params["padding"], params["lhs_dilation"])
    steps, dilation = params["window_strides"], params["rhs_dilation"]
    if native:
        result: Node = _by_blocks(
            lw, padded, w, sizes, by_batch > 1, steps, dilation, work * RATE[dtype.char]
        )
    else:
        result = _directly(lw, padded, w, sizes, by_batch > 1, steps, dilation)
    return [lw.computed(converted(result, aval.dtype))]


# The padded operand ------------------------------------------------------------------------------------


def memory_order(node: Node) -> list[int]:
    """The dimensions from that along which neighbours are farthest apart in memory to the nearest."""
    if isinstance(node, View):
        steps = [abs(s) for s in node.strides]
    else:
        found = Accesses()
        node.visit(variables(node.shape), found)
        steps = list(row_major(node.shape))
        if found.views:
            reads = [{v.name: abs(c) for v, c in flat.terms} for _, flat in found.views]
            best = max(reads, key=len)
            if len(best) == sum(n > 1 for n in node.shape):
                steps = [best.get(f"?{d}", 0) for d in range(len(node.shape))]
    return sorted(range(len(node.shape)), key=lambda d: (-steps[d], d))


def _padded(lw: Lowering, x: Node, padding: Sequence[tuple[int, int]], dilation: Sequence[int]) -> View:
    """x with zeros between its elements and around, in memory; its dimensions lie as those of x."""
    if isinstance(x, View) and all(d == 1 for d in dilation) and not any(map(any, padding)):
        return x
    config = [(0, 0, 0), (0, 0, 0), *[(lo, hi, d - 1) for (lo, hi), d in zip(padding, dilation, strict=True)]]
    shape = [
        max((n - 1) * (inside + 1) + 1 + lo + hi, 0)
        for n, (lo, hi, inside) in zip(x.shape, config, strict=True)
    ]
    order = memory_order(x)
    inverse = [order.index(d) for d in range(len(order))]
    here = Node(tuple([shape[d] for d in order]), x.dtype)
    if isinstance(x, View):
        source: Node = x.with_layout(tuple([x.shape[d] for d in order]), tuple([x.strides[d] for d in order]))
    else:

        def mapping(at: Position) -> Position:
            return tuple([at[k] for k in inverse])

        source = Remap(x, tuple([x.shape[d] for d in order]), mapping)
    view = pad_into(lw, lw.result(here), source, Constant(0, x.dtype), [config[d] for d in order])
    return view.with_layout(tuple(shape), tuple([view.strides[d] for d in inverse]))


# Loops of our own -----------------------------------------------------------------------------------


def _directly(
    lw: Lowering,
    x: View,
    w: Node,
    sizes: Geometry,
    by_batch: bool,
    steps: Sequence[int],
    dilation: Sequence[int],
) -> Node:
    """One reduction over (batch, groups, outputs, places; features, window)."""
    rank = len(steps)
    shape = (sizes.batch, sizes.groups, sizes.outputs, *sizes.places)
    domain = (*shape, sizes.features, *sizes.window)
    first, last = 3, 3 + rank

    def of_x(at: Position) -> Position:
        n, g = at[0], at[1]
        place = [
            p * s + k * d for p, s, k, d in zip(at[first:last], steps, at[last + 1 :], dilation, strict=True)
        ]
        if by_batch:
            return (g * sizes.batch + n, at[last], *place)
        return (n, g * sizes.features + at[last], *place)

    def of_w(at: Position) -> Position:
        return (at[1] * sizes.outputs + at[2], at[last], *at[last + 1 :])

    terms = Map(product, [Remap(x, domain, of_x), Remap(w, domain, of_w)], domain, x.dtype, {}, 0.06)
    total = reduced(lw, terms, range(last, len(domain)), reducer("sum", x.dtype), Node(shape, x.dtype), None)
    merged = (sizes.batch, sizes.groups * sizes.outputs, *sizes.places)
    assert isinstance(total, (View, Registers))
    found = total.reshaped(merged)
    assert found is not None
    return found


# Blocks and BLAS -------------------------------------------------------------------------------------


class _Blocks(NamedTuple):
    """How windows are cut into blocks, what a block is as a matrix, and how the result lies.

    The windows' dimensions are numbered: 0 batch, 1 features, then places, then the window's.
    """

    shape: list[int]
    strides: list[int]  # of the windows in the operand
    free: list[int]  # dimensions of the result: rows, the outermost first
    terms: list[int]  # dimensions that are summed
    inner: int  # the dimension that is consecutive in the operand
    first: int  # blocks go along this dimension, in `firsts` parts,
    second: int | None  # and along this one, in `seconds` parts
    firsts: int
    seconds: int
    block: list[int]  # the shape of a block
    step_of: dict[Any, int]  # the result's strides, by dimension; "o" are the output features

    @property
    def adding(self) -> bool:
        """Whether the blocks' products are added up."""
        return self.first in self.terms

    @property
    def number(self) -> int:
        """How many blocks there are."""
        return self.firsts * self.seconds


def _cut(
    x: View, w: Node, sizes: Geometry, steps: Sequence[int], dilation: Sequence[int], work: float
) -> _Blocks:
    """The blocks of a convolution, by how its operands lie in memory."""
    rank = len(steps)
    shape = [sizes.batch, sizes.features, *sizes.places, *sizes.window]
    strides = [
        *x.strides[:2],
        *[s * t for s, t in zip(x.strides[2:], steps, strict=True)],
        *[s * t for s, t in zip(x.strides[2:], dilation, strict=True)],
    ]
    places, window = list(range(2, 2 + rank)), list(range(2 + rank, 2 + 2 * rank))
    free, terms = [0, *places], [1, *window]

    def far(d: int) -> tuple[int, int]:
        return (-abs(strides[d]), d)

    nearest = [d for d in range(len(shape)) if abs(strides[d]) == 1 and shape[d] > 1]
    inner = max(nearest, key=lambda d: shape[d]) if nearest else 1
    # Which layout the operands have: places last, or features. With one feature, only the kernel shows it.
    near = [d for d in memory_order(w) if w.shape[d] > 1]
    spatial = bool(near) and near[-1] >= 2 if 1 in shape[:2] else inner >= 2
    # Blocks go along the dimension whose neighbours are farthest apart, then along the next one of its kind.
    first = min(
        [d for d in range(len(shape)) if shape[d] > 1] or [0], key=lambda d: (-abs(strides[d]), -shape[d])
    )
    adding = first in terms
    side, other = (terms, free) if adding else (free, terms)
    rest = sorted([d for d in side if d != first], key=far)
    if inner in rest:
        rest.append(rest.pop(rest.index(inner)))
    side = [first, *rest]
    other = sorted(other, key=far)
    if inner in other:
        other.append(other.pop(other.index(inner)))
    free, terms = (other, side) if adding else (side, other)
    second = side[1] if len(side) > 1 else None

    # The result: rows are the free dimensions, columns the output features; one of them is consecutive.
    in_images = spatial and first == 0
    result_order: list[Any]
    if in_images:
        result_order = [0, "o", *free[1:]]
    elif spatial:
        result_order = ["o", *free]
    else:
        result_order = [*free, "o"]
    total = {d: shape[d] for d in free} | {"o": sizes.groups * sizes.outputs}
    step_of = dict(zip(result_order, row_major([total[d] for d in result_order]), strict=True))

    # How large a block is: some of the first dimension, or one of it and some of the second.
    one = math.prod(shape) // shape[first] * x.dtype.itemsize
    whole = shape[first] * one <= BLOCK
    if in_images:
        many = 1
    elif whole and work < 40_000:
        many = shape[first]
    else:
        many = _divisor(shape[first], max(1, BLOCK // one))
    some = 1 if second is None else shape[second]
    if many == 1 and second is not None and one > BLOCK:
        some = _divisor(shape[second], max(1, shape[second] * BLOCK // one))
    block = list(shape)
    block[first] = many
    if second is not None:
        block[second] = some
    seconds = 1 if second is None else shape[second] // some
    return _Blocks(
        shape, strides, free, terms, inner, first, second, shape[first] // many, seconds, block, step_of
    )


def _by_blocks(
    lw: Lowering,
    x: View,
    w: Node,
    sizes: Geometry,
    by_batch: bool,
    steps: Sequence[int],
    dilation: Sequence[int],
    work: float,
) -> View:
    """The convolution as products of blocks of windows, gathered if need be, with the kernel."""
    e, dtype = lw.e, x.dtype
    plan = _cut(x, w, sizes, steps, dilation, work)
    strides, free, terms, block, step_of = plan.strides, plan.free, plan.terms, plan.block, plan.step_of
    group_step = (
        (sizes.batch * x.strides[0] if by_batch else sizes.features * x.strides[1]) if sizes.groups > 1 else 0
    )

    # The kernel as (groups, terms in their order, outputs), read in place if a block of it is a matrix.
    wide = (sizes.groups, sizes.outputs, sizes.features, *sizes.window)
    # Of the kernel's dimensions, which have no batch and no places.
    term_dims = [1 + d if d == 1 else 1 + d - len(steps) for d in terms]
    kernel = _kernel(lw, w, wide, [0, *term_dims, 1], [block[d] for d in terms])
    offsets = dict(zip(terms, kernel.strides[1:-1], strict=True))

    windows = View(x.buffer, tuple([block[d] for d in (*free, *terms)]), dtype,
                   tuple([strides[d] for d in (*free, *terms)]), x.offset)  # fmt: skip
    rows, columns = range(len(free)), range(len(free), len(free) + len(terms))
    direct = stack_of(windows, ((), rows, columns))
    if direct is not None and direct.leading is None:
        direct = None
    # What is consecutive in the operand is so in the block.
    turned = plan.inner in free
    order = [*terms, *free] if turned else [*free, *terms]
    gathered = tuple([block[d] for d in order])
    count = math.prod(gathered)
    blocks = plan.number
    work = work + 0.2 * blocks * count * (direct is None)
    parts = min(chunks_for(work, blocks), PARTS)
    result_size = sizes.batch * sizes.groups * sizes.outputs * math.prod(sizes.places)
    if plan.adding:
        parts = max(1, min(parts, PARTIAL // (result_size * dtype.itemsize)))
        each = -(-blocks // parts)
        parts = -(-blocks // each)
    partial = plan.adding and parts > 1
    result = lw.result(Node((parts if partial else 1, result_size), dtype))
    scratch = None if direct is not None else lw.result(Node((max(parts, 1), count), dtype))
    lw.module.elsewhere += lw.module.turns * work
    lw.flush()
    lw.place(result.buffer)
    if scratch is not None:
        lw.place(scratch.buffer)

    def one_block(e: Emitter, turn: Value, chunk: Value | None, fresh: Value | None) -> None:
        """The product of one block; `fresh` tells whether it is the first of a sum."""
        at = _place_of_block(e, plan, turn)
        part = ZERO if chunk is None else Index.along(chunk, 0, parts - 1)

        def group(g: Index) -> None:
            source = g * group_step
            for d, index in at.items():
                source = source + index * strides[d]
            if direct is not None:
                left = stack_of(
                    windows.with_layout(windows.shape, windows.strides, source), ((), rows, columns)
                )
            else:
                assert scratch is not None
                here = View(
                    Buffer(scratch.buffer.base, e.level), gathered, dtype, None, scratch.offset + part * count
                )
                read = View(x.buffer, gathered, dtype, tuple([strides[d] for d in order]), x.offset + source)
                write_stage(e, Stage(gathered, (False,) * len(gathered), [Output(here, read)]))
                split = len(terms) if turned else len(free)
                left = stack_of(here, ((), range(split), range(split, len(order))))
                left = left.transposed if turned and left is not None else left
            shift = g * kernel.strides[0]
            for d, index in at.items():
                if d in offsets:
                    shift = shift + index * offsets[d]
            right = stack_of(
                kernel.with_layout((*[block[d] for d in terms], sizes.outputs), kernel.strides[1:], shift),
                ((), range(len(terms)), [len(terms)]),
            )
            place = g * (sizes.outputs * step_of["o"]) + (part * result_size if partial else ZERO)
            for d, index in at.items():
                if d in step_of:
                    place = place + index * step_of[d]
            target = View(
                result.buffer,
                (*[block[d] for d in free], sizes.outputs),
                dtype,
                (*[step_of[d] for d in free], step_of["o"]),
                result.offset + place,
            )
            goal = stack_of(target, ((), range(len(free)), [len(free)]))
            assert left is not None and right is not None and goal is not None
            _multiply(e, dtype, left, right, goal, fresh)

        if sizes.groups == 1:
            group(ZERO)
        else:
            with e.loop(constant(0, "i64"), constant(sizes.groups, "i64")) as loop:
                group(Index.along(loop.index, 0, sizes.groups - 1))

    def some_blocks(e: Emitter, start: Value, stop: Value, chunk: Value | None) -> None:
        with e.loop(start, stop) as loop:
            fresh = e.icmp("eq", loop.index, start) if plan.adding else None
            one_block(e, loop.index, chunk, fresh)

    if parts > 1:
        parallel_for(e, blocks, parts, some_blocks)
    else:
        some_blocks(e, constant(0, "i64"), constant(blocks, "i64"), None)
    final = result
    if partial:
        final = lw.result(Node((result_size,), dtype))
        lw.reduce(result, (0,), reducer("sum", dtype), final)
    return View(
        final.buffer,
        (sizes.batch, sizes.groups * sizes.outputs, *sizes.places),
        dtype,
        tuple([step_of[d] for d in (0, "o", *range(2, 2 + len(steps)))]),
        final.offset,
    )


def _place_of_block(e: Emitter, plan: _Blocks, turn: Value) -> dict[int, Index]:
    """Where the block with the number `turn` begins, along the dimensions that are cut."""
    i, j = turn, None
    if plan.seconds > 1:
        i = e.binary("udiv", turn, constant(plan.seconds, "i64"))
        j = e.binary("urem", turn, constant(plan.seconds, "i64"))
    at = {plan.first: Index.along(i, 0, plan.firsts - 1) * plan.block[plan.first]}
    if j is not None and plan.second is not None:
        at[plan.second] = Index.along(j, 0, plan.seconds - 1) * plan.block[plan.second]
    return at


def _multiply(
    e: Emitter, dtype: np.dtype[Any], left: Stack, right: Stack, goal: Stack, fresh: Value | None
) -> None:
    """goal = left @ right, or goal += left @ right where `fresh` is false, by BLAS in one thread."""
    if goal.leading is None or goal.leading[0]:
        left, right, goal = right.transposed, left.transposed, goal.transposed
    of_left, of_right, of_goal = left.leading, right.leading, goal.leading
    assert of_left is not None and of_right is not None and of_goal is not None
    (lt, ll), (rt, rl), (gt, gl) = of_left, of_right, of_goal
    assert not gt
    with blas.alone(e):
        gemm(
            e,
            dtype,
            (left.rows, right.columns, left.columns),
            (left.place(e), lt, ll),
            (right.place(e), rt, rl),
            (goal.place(e), gl),
            fresh=fresh,
        )


def _kernel(lw: Lowering, w: Node, wide: tuple[int, ...], order: Sequence[int], block: Sequence[int]) -> View:
    """The kernel, of shape `wide` (groups, outputs, features, window), its dimensions in the given order.

    In memory, such that a block of terms and the outputs are a matrix.
    """
    shape = tuple([wide[d] for d in order])
    if isinstance(w, View):
        split = w.reshaped(wide)
        if split is not None:
            view = split.with_layout(shape, tuple([split.strides[d] for d in order]))
            part = view.with_layout((*block, shape[-1]), view.strides[1:])
            found = stack_of(part, ((), range(len(block)), [len(block)]))
            if found is not None and found.leading is not None:
                return view
    outputs = wide[1]
    inverse = [list(order).index(d) for d in range(len(order))]

    def mapping(at: Position) -> Position:
        g, o, *others = [at[k] for k in inverse]
        return (g * outputs + o, *others)

    return lw.into(Remap(w, shape, mapping), lw.result(Node(shape, w.dtype)))


def _divisor(size: int, most: int) -> int:
    """The largest divisor up to `most`."""
    return next(k for k in range(min(size, most), 0, -1) if size % k == 0)


__all__ = ["conv_general_dilated", "memory_order"]
