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
from .ir import Emitter, Value
from .lower import Lowering
from .nodes import Buffer, Node, Position, View

_NOWHERE = Buffer(None)
Groups = tuple[Sequence[int], Sequence[int], Sequence[int]]

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
        return leading(self.rows, self.columns, self.row, self.column)


@lru_cache(maxsize=1024)
def leading(rows: int, columns: int, row: int, column: int) -> tuple[bool, int] | None:
    """See `Stack.leading`."""
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
    fresh: Value | None = None,
    subtract: bool = False,
    modes: tuple[str | None, str | None] = (None, None),
) -> None:
    """out = x y for row-major matrices: addresses, whether transposed in memory, distances of rows.

    With `fresh` (i1), the product is added to what is there unless it holds; `subtract` subtracts it.
    `modes` are letters instead of whether an operand is transposed ("C": it is also conjugated).
    """
    m, n, k = sizes
    one = blas.number(e, 1.0, dtype)
    zero = blas.number(e, 0.0, dtype)
    factor = blas.number(e, -1.0, dtype) if subtract else one
    beta = one if subtract else zero if fresh is None else e.select(fresh, zero, one)
    of_x, of_y = [mode or ("T" if o[1] else "N") for mode, o in zip(modes, (x, y), strict=True)]
    # What BLAS sees is the transposes: out^T = y^T x^T.
    blas.call(
        e,
        f"{blas.letter(dtype)}gemm",
        [of_y, of_x, n, m, k, factor, y[0], y[2], x[0], x[2], beta, *out],
    )


__all__ = [
    "RATE", "Stack", "arranged", "as_stack", "changed", "converted", "gemm", "leading", "merged",
    "result_stack", "stack_of",
]  # fmt: skip
