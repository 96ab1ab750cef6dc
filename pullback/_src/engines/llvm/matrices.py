"""Matrices in memory: nodes as what BLAS can read, and products of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from . import blas, elementwise
from .deferred import Map, Remap
from .index import ZERO, Index
from .ir import Emitter, Value, constant
from .lower import Lowering
from .nodes import Buffer, Node, Position, View
from .parallel import MOST_CHUNKS, called, chunks_for, parallel_for

_NOWHERE = Buffer(None)
Groups = tuple[Sequence[int], Sequence[int], Sequence[int]]

TILE = 120_000.0  # ns of a product's tile
NARROW = 128  # rows and columns that a tile has at least: fewer make BLAS slow
RATE = {"f": 1 / 60, "d": 1 / 30, "F": 1 / 15, "D": 1 / 8}  # ns for a multiplication and addition in BLAS


class Stack(NamedTuple):
    """A stack of matrices in memory: `view` holds the first element; strides are in elements."""

    view: View
    step: int  # from one matrix to the next
    rows: int
    columns: int
    row: int  # from one row to the next
    column: int

    @property
    def transposed(self) -> Stack:
        return Stack(self.view, self.step, self.columns, self.rows, self.column, self.row)

    def place(self, e: Emitter, matrix: Index = ZERO, row: Index = ZERO, column: Index = ZERO) -> Value:
        """The address of an element."""
        return self.view.pointer(e, matrix * self.step + row * self.row + column * self.column)

    @property
    def leading(self) -> tuple[bool, int] | None:
        """Whether BLAS, which has columns one after the other, reads this as a transposed matrix's transpose
        (False: rows lie one after the other), and the distance between them; None if it cannot be read."""
        return _leading(self.rows, self.columns, self.row, self.column)


@lru_cache(maxsize=1024)
def _leading(rows: int, columns: int, row: int, column: int) -> tuple[bool, int] | None:
    if (column == 1 or columns == 1) and (row >= columns or rows == 1):
        return False, max(row, columns, 1)
    if (row == 1 or rows == 1) and (column >= rows or columns == 1):
        return True, max(column, rows, 1)
    return None


def merged(shape: Sequence[int], strides: Sequence[int], dims: Sequence[int]) -> int | None:
    """The one stride with which dimensions can be walked through together; None if there is none."""
    step: int | None = None
    size = 1
    for d in reversed(dims):
        if shape[d] == 1:
            continue
        if step is None:
            step, size = strides[d], shape[d]
        elif strides[d] != step * size:
            return None
        else:
            size *= shape[d]
    return 1 if step is None else step


def stack_of(view: View, groups: Groups) -> Stack | None:
    """The view as a stack of matrices whose batch, rows and columns are the given dimensions."""
    batch, rows, columns = groups
    found = _layout(view.shape, view.strides, (tuple(batch), tuple(rows), tuple(columns)))
    return None if found is None else Stack(view, *found)


@lru_cache(maxsize=1024)
def _layout(
    shape: tuple[int, ...], strides: tuple[int, ...], groups: tuple[tuple[int, ...], ...]
) -> tuple[int, int, int, int, int] | None:
    """What follows the view in the `Stack` of an array."""
    step, row, column = [merged(shape, strides, dims) for dims in groups]
    if step is None or row is None or column is None:
        return None
    batch, rows, columns = [math.prod([shape[d] for d in dims]) for dims in groups]
    return 0 if batch == 1 else step, rows, columns, row, column


def as_stack(lw: Lowering, node: Node, groups: Groups) -> Stack:
    """The node in memory, as a stack of matrices that BLAS can read; copied only if it must be."""
    if isinstance(node, View):
        found = stack_of(node, groups)
    else:
        found = stack_of(View(_NOWHERE, node.shape, node.dtype), groups)
        if found is not None and found.leading is not None:
            found = stack_of(lw.memory(node), groups)
    if found is None or found.leading is None:
        found = stack_of(lw.memory(arranged(node, groups)), _in_order(groups))
    assert found is not None and found.leading is not None
    return found


def arranged(node: Node, groups: Groups) -> Node:
    """The node with its dimensions in the order of the groups."""
    order = [d for dims in groups for d in dims]
    if order == list(range(len(node.shape))):
        return node if not isinstance(node, View) else Remap(node, node.shape, lambda at: at)
    inverse = [order.index(d) for d in range(len(order))]
    shape = tuple([node.shape[d] for d in order])

    def mapping(at: Position) -> Position:
        return tuple([at[k] for k in inverse])

    return Remap(node, shape, mapping)


def _in_order(groups: Groups) -> Groups:
    first, second = len(groups[0]), len(groups[0]) + len(groups[1])
    return range(first), range(first, second), range(second, second + len(groups[2]))


def result_stack(view: View, batch: int, rows: int, columns: int) -> Stack:
    """Memory without gaps as a stack of row-major matrices."""
    return Stack(view, rows * columns if batch > 1 else 0, rows, columns, columns, 1)


def changed(lw: Lowering, view: View) -> View:
    """Memory that a routine has changed, with its new content."""
    buffer = Buffer(view.buffer.base, lw.e.level, view.buffer.bytes)
    buffer.slots, view.buffer.slots = view.buffer.slots, ()
    lw.made(buffer)
    return View(buffer, view.shape, view.dtype, view.strides, view.offset)


def converted(node: Node, dtype: np.dtype[Any]) -> Node:
    """The node's elements in another dtype."""
    if node.dtype == dtype:
        return node
    rule: Callable[..., Any] = elementwise.rules["convert_element_type"]
    return Map(rule, [node], node.shape, dtype, {}, 0.03)


# Products ---------------------------------------------------------------------------------------------


def gemm(
    e: Emitter,
    dtype: np.dtype[Any],
    sizes: tuple[int | Value, int | Value, int | Value],
    x: tuple[Value, bool, int],
    y: tuple[Value, bool, int],
    out: tuple[Value, int],
    *,
    factor: float = 1.0,
    fresh: Value | None = None,
    subtract: bool = False,
    modes: tuple[str | None, str | None] = (None, None),
) -> None:
    """out = factor x y for row-major matrices: addresses, whether transposed in memory, distances of rows.

    With `fresh` (i1), the product is added to what is there unless it holds; `subtract` subtracts it.
    `modes` are letters instead of whether an operand is transposed ("C": it is also conjugated).
    """
    m, n, k = sizes
    one = blas.number(e, 1.0, dtype)
    zero = blas.number(e, 0.0, dtype)
    alpha = blas.number(e, -1.0 if subtract else factor, dtype)
    beta = one if subtract else zero if fresh is None else e.select(fresh, zero, one)
    of_x, of_y = [mode or ("T" if o[1] else "N") for mode, o in zip(modes, (x, y), strict=True)]
    # What BLAS sees is the transposes: out^T = y^T x^T.
    blas.call(
        e,
        f"{blas.letter(dtype)}gemm",
        [of_y, of_x, n, m, k, alpha, y[0], y[2], x[0], x[2], beta, *out],
    )


def multiply(lw: Lowering, x: Stack, y: Stack, out: Stack, batch: int, factor: float = 1.0) -> None:
    """out = factor x y for stacks of matrices that are in memory; large products are cut into tiles for
    threads.

    In programs of some length, products of the same kind are calls of one function.
    """
    e, dtype = lw.e, x.view.dtype
    e.module.elsewhere += e.module.turns * batch * _work(x, y)
    stacks = x, y, out
    if not e.module.divided:
        _multiply(e, *stacks, batch, factor)
        return

    def write(inner: Emitter, places: Sequence[Value]) -> None:
        left, right, goal = [
            stack._replace(view=View(Buffer(place), stack.view.shape, dtype))
            for stack, place in zip(stacks, places, strict=True)
        ]
        _multiply(inner, left, right, goal, batch, factor)

    key = ("product", dtype.char, batch, factor, *[s[1:] for s in stacks], e.outlined)
    called(e, key, [s.place(e) for s in stacks], write)


def _work(x: Stack, y: Stack) -> float:
    """Nanoseconds that the product of two matrices takes, roughly."""
    return x.rows * y.columns * x.columns * RATE[x.view.dtype.char] + 100.0


def _multiply(e: Emitter, x: Stack, y: Stack, out: Stack, batch: int, factor: float) -> None:
    m, n, k = x.rows, y.columns, x.columns
    of_x, of_y = x.leading, y.leading
    assert of_x is not None and of_y is not None, "BLAS cannot read this"
    (xt, ldx), (yt, ldy) = of_x, of_y
    work = _work(x, y)

    def product(e: Emitter, b: Index, i: Index, j: Index, rows: int | Value, columns: int | Value) -> None:
        left = x.place(e, b, i), xt, ldx
        right = y.place(e, b, ZERO, j), yt, ldy
        goal = out.place(e, b, i, j), out.row
        gemm(e, x.view.dtype, (rows, columns, k), left, right, goal, factor=factor)

    if batch > 1:

        def some(e: Emitter, start: Value, stop: Value, chunk: Value | None = None) -> None:
            with blas.alone(e), e.loop(start, stop) as loop:
                product(e, Index.along(loop.index, 0, batch - 1), ZERO, ZERO, m, n)

        chunks = chunks_for(work * batch, batch)
        if chunks > 1:
            parallel_for(e, batch, chunks, some)
        else:
            some(e, constant(0, "i64"), constant(batch, "i64"))
        return
    down, across = tiles(m, n, work)
    if down * across == 1:
        with blas.alone(e):
            product(e, ZERO, ZERO, ZERO, m, n)
        return
    height, width = -(-m // down), -(-n // across)

    def tile(e: Emitter, first: Value, end: Value, chunk: Value) -> None:
        i = e.mul(e.binary("udiv", chunk, constant(across, "i64")), constant(height, "i64"))
        j = e.mul(e.binary("urem", chunk, constant(across, "i64")), constant(width, "i64"))
        rows = e.call("llvm.smin", "i64", e.sub(constant(m, "i64"), i), constant(height, "i64"))
        columns = e.call("llvm.smin", "i64", e.sub(constant(n, "i64"), j), constant(width, "i64"))
        with blas.alone(e):
            product(e, ZERO, Index.along(i, 0, m - 1), Index.along(j, 0, n - 1), rows, columns)

    parallel_for(e, down * across, down * across, tile)


@lru_cache(maxsize=1024)
def tiles(rows: int, columns: int, work: float) -> tuple[int, int]:
    """Into how many tiles a product is cut, along rows and columns."""
    down = across = 1
    while 2 * down * across <= min(work / TILE, MOST_CHUNKS):
        height, width = rows / down, columns / across
        if max(height, width) < 2 * NARROW:
            break
        if height >= width:
            down *= 2
        else:
            across *= 2
    # No tile may be empty.
    height, width = -(-rows // down), -(-columns // across)
    return -(-rows // height), -(-columns // width)


__all__ = [
    "RATE", "Stack", "arranged", "as_stack", "changed", "converted", "gemm", "merged", "multiply",
    "result_stack", "stack_of",
]  # fmt: skip
