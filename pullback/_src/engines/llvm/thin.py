"""Products of matrices with few columns, by loops of our own.

BLAS packs its operands and works on tiles of dozens of rows and columns, which is a waste on matrices that
fit in registers. Here the vector lanes go along the short dimension that the result has innermost:

* few terms (`k`): the terms are written out, so that the short operand's rows are read from the nearest
  memory or stay in registers. The loops are those of any reduction: elementwise operations that make the
  long operand or use the result join them.
* many terms, few rows and columns: the sums of some rows are kept in registers, one vector for each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .deferred import Map, Remap
from .index import Index
from .lower import Lowering
from .matrices import arranged
from .nodes import Node, Position, View
from .reducers import reducer
from .stages import LANE_BYTES, Output, Stage

TERMS = 16  # that are written out
SUMS = 24  # registers that all sums would fill
TOGETHER = 8  # registers that are filled with sums at a time
REGISTER = 64  # bytes of one
SHORT = 4  # columns that fill vectors well enough
MOST_COLUMNS = LANE_BYTES // 4


class Factor(NamedTuple):
    """An operand: its batch dimensions, those that the result has, and those that are summed over."""

    node: Node
    batch: Sequence[int]
    free: Sequence[int]
    terms: Sequence[int]

    def at(self, domain: tuple[int, ...], batch: Sequence[int], free: Sequence[int], terms: int) -> Node:
        """The operand over a domain: where its batch and free dimensions are there, and the first of the
        terms'."""
        place = dict(zip([*self.batch, *self.free], [*batch, *free], strict=True))
        place |= {d: terms + j for j, d in enumerate(self.terms)}
        order = [place[d] for d in range(len(self.node.shape))]

        def mapping(at: Position) -> Position:
            return tuple([at[k] for k in order])

        return Remap(self.node, domain, mapping)

    def sizes(self, dims: Sequence[int]) -> tuple[int, ...]:
        return tuple([self.node.shape[d] for d in dims])

    def in_order(self, lw: Lowering) -> Factor:
        """The operand in memory, with its free dimensions innermost."""
        node, (last,) = self.node, [d for d in self.free if self.node.shape[d] > 1]
        if isinstance(node, View) and node.strides[last] == 1:
            return self
        view = lw.memory(arranged(node, (self.batch, self.terms, self.free)))
        first, second = len(self.batch), len(self.batch) + len(self.terms)
        return Factor(view, range(first), range(second, len(view.shape)), range(first, second))


def product(e: Any, types: Any, x: Any, y: Any) -> Any:
    """x * y, in the result's type."""
    if isinstance(x, tuple):
        (a, b), (c, d) = x, y
        return e.fsub(e.fmul(a, c), e.fmul(b, d)), e.fadd(e.fmul(a, d), e.fmul(b, c))
    if x.elem == "i1":
        return e.and_(x, y)
    return e.mul(x, y) if x.elem[0] == "i" else e.fmul(x, y)


def multiplied(x: Node, y: Node) -> Map:
    """The products of two nodes' elements."""
    return Map(product, [x, y], x.shape, x.dtype, {}, 0.06)


def thin_product(lw: Lowering, x: Factor, y: Factor, view: View) -> View | None:
    """Write the product into `view`, whose dimensions are the batch's, those of x and those of y.

    None if loops of our own would be slower than BLAS, or the dtype is not float32 or float64.
    """
    batch, rank = len(x.batch), len(view.shape)
    if x.node.dtype.char not in "fd" or not view.size:
        return None
    order = sorted(range(rank), key=lambda d: -view.strides[d])
    innermost = [d for d in order if view.shape[d] > 1][-1]
    of_x, of_y = range(batch, batch + len(x.free)), range(batch + len(x.free), rank)
    if innermost in of_y:
        long, short, of_long, of_short = x, y, of_x, of_y
    elif innermost in of_x:
        long, short, of_long, of_short = y, x, of_y, of_x
    else:
        return None
    bytes_ = x.node.storage.bytes
    columns, rows = math.prod(short.sizes(short.free)), math.prod(long.sizes(long.free))
    terms = math.prod(x.sizes(x.terms))
    if columns != view.shape[innermost] or not SHORT <= columns <= LANE_BYTES // bytes_:
        return None
    if terms <= TERMS:
        return _few_terms(lw, (long, of_long), (short.in_order(lw), of_short), view, order)
    registers = rows * -(-columns * bytes_ // REGISTER)
    if registers <= SUMS:
        return _few_sums(lw, (long, of_long), (short, of_short), view)
    return None


def _few_terms(
    lw: Lowering,
    long: tuple[Factor, Sequence[int]],
    short: tuple[Factor, Sequence[int]],
    view: View,
    order: Sequence[int],
) -> View:
    """Loops over the result in the order of its memory, with the terms written out."""
    inner, rank = long[0].sizes(long[0].terms), len(view.shape)
    shape = tuple([view.shape[d] for d in order])
    domain = (*shape, *inner)
    place = [order.index(d) for d in range(rank)]
    x, y = (
        factor.at(domain, place[: len(factor.batch)], [place[d] for d in dims], rank)
        for factor, dims in (long, short)
    )
    target = view.with_layout(shape, tuple([view.strides[d] for d in order]))
    output = Output(target, multiplied(x, y), reducer("sum", view.dtype))
    lanes = max(k for k in range(rank) if shape[k] > 1)
    reduced = (False,) * rank + (True,) * len(inner)
    lw.stage(Stage(domain, reduced, [output], along=lanes))
    return view


def _few_sums(
    lw: Lowering, long: tuple[Factor, Sequence[int]], short: tuple[Factor, Sequence[int]], view: View
) -> View:
    """A loop over the terms with a vector of sums for each of some of the other operand's rows."""
    (rows, of_rows), (columns, of_columns) = long, short
    batch, sizes = len(rows.batch), rows.sizes(rows.free)
    kept = [*range(batch), *of_columns]
    # Around all dimensions are blocks of rows.
    many = _together(sizes, math.prod(columns.sizes(columns.free)) * view.storage.bytes)
    blocks, rank = math.prod(sizes) // many, 1 + len(kept)
    strides = [many * view.strides[of_rows[-1]], *[view.strides[d] for d in kept]]
    shape = (blocks, *[view.shape[d] for d in kept])
    domain = (*shape, *rows.sizes(rows.terms))
    y = columns.at(domain, range(1, 1 + batch), range(1 + batch, rank), rank)
    outputs = []
    for number in range(many):
        index = [int(i) for i in np.unravel_index(number, sizes)]
        offset = sum(i * view.strides[d] for i, d in zip(index, of_rows, strict=True))
        target = view.with_layout(shape, tuple(strides), offset)
        x = _row(rows, domain, rank, index, many if blocks > 1 else 0)
        outputs.append(Output(target, multiplied(x, y), reducer("sum", view.dtype)))
    reduced = (False,) * rank + (True,) * len(rows.terms)
    lanes = max(k for k in range(1, rank) if shape[k] > 1)
    lw.stage(Stage(domain, reduced, outputs, along=lanes))
    return view


def _together(sizes: Sequence[int], row: int) -> int:
    """How many rows, of so many bytes each, are summed up at a time."""
    rows, registers = math.prod(sizes), -(-row // REGISTER)
    if len(sizes) > 1 or rows * registers <= TOGETHER:
        return rows
    most = max(k for k in range(1, rows + 1) if rows % k == 0 and (k == 1 or k * registers <= TOGETHER))
    return most if most >= SHORT else rows


def _row(factor: Factor, domain: tuple[int, ...], rank: int, index: Sequence[int], step: int) -> Node:
    """The operand at an index of its free dimensions, `step` further for each index of the first dimension.

    The domain's other dimensions are the batch's, those of another operand up to `rank`, and the terms'.
    """

    def mapping(at: Position) -> Position:
        place = dict(zip(factor.free, [Index.of(i) for i in index], strict=True))
        if step:
            place[factor.free[-1]] += at[0] * step
        place |= {d: at[1 + k] for k, d in enumerate(factor.batch)}
        place |= {d: at[rank + k] for k, d in enumerate(factor.terms)}
        return tuple([place[d] for d in range(len(factor.node.shape))])

    return Remap(factor.node, domain, mapping)


__all__ = ["Factor", "multiplied", "product", "thin_product"]
