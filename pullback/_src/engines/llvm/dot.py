"""Lowering of `dot_general`: sums of products, by loops of our own or by BLAS.

Products of small matrices, of vectors, and of dtypes that BLAS does not know are ordinary reductions, fused
with what is around them. Halves are multiplied as float32, as NumPy's engine does it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ...core import dtypes
from ...core.program import Equation
from . import blas
from .deferred import Remap
from .lower import Lowering, lowering
from .matrices import Groups, as_stack, converted, result_stack
from .nodes import Node, Position, View
from .products import multiply
from .reducers import reducer
from .reduction import reduced
from .thin import MOST_COLUMNS, Factor, multiplied, product, thin_product

Out = Sequence[View | None]

OWN = 8**3  # multiplications in a product up to which our own loops are faster than BLAS
_COMPUTED = frozenset("?bBhHiIlLqQfdFD")


def computing_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which sums of products with results of `dtype` are computed."""
    if dtype.char in _COMPUTED:
        return dtype
    return np.dtype(np.float32) if dtypes.is_floating(dtype) else np.dtype(np.int32)


def outer_positions(
    free: Sequence[int], contracted: Sequence[int], batched: Sequence[int], start: int, end: int, rank: int
) -> Any:
    """From positions of (batch, rows, columns, terms) to those of an operand."""
    place = {d: j for j, d in enumerate(batched)}
    place |= {d: start + j for j, d in enumerate(free)}
    place |= {d: end + j for j, d in enumerate(contracted)}

    def mapping(at: Position) -> Position:
        return tuple([at[place[d]] for d in range(rank)])

    return mapping


class Kind(NamedTuple):
    """What follows from the operands' shapes.

    Attributes:
        of_x, of_y: each operand's dimensions: those of the batch, those that the result has, the terms'.
        batch, rows, columns, inner: sizes of the batch, of what the result has of x and of y, of the terms.
        many, m, n, k: their products.
    """

    of_x: Groups
    of_y: Groups
    batch: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    inner: tuple[int, ...]
    many: int
    m: int
    n: int
    k: int


@lru_cache(maxsize=1024)
def _kind(x: tuple[int, ...], y: tuple[int, ...], dimension_numbers: Any) -> Kind:
    (xc, yc), (xb, yb) = dimension_numbers
    xf = tuple([d for d in range(len(x)) if d not in xc and d not in xb])
    yf = tuple([d for d in range(len(y)) if d not in yc and d not in yb])
    sizes = [tuple([shape[d] for d in dims]) for shape, dims in ((x, xb), (x, xf), (y, yf), (x, xc))]
    batch, rows, columns, inner = sizes
    many, m, n, k = map(math.prod, sizes)
    return Kind(
        (tuple(xb), xf, tuple(xc)), (tuple(yb), yf, tuple(yc)), batch, rows, columns, inner, many, m, n, k
    )


@lowering("dot_general")
def dot_general(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    x, y = operands
    aval = eqn.outvars[0].aval
    dtype = computing_dtype(aval.dtype)
    if not (x.storage.computable and y.storage.computable) or dtypes.is_key(x.dtype):
        return None
    x, y = converted(x, dtype), converted(y, dtype)
    kind = _kind(x.shape, y.shape, eqn.params["dimension_numbers"])
    (xb, xf, xc), (yb, yf, yc), batch, rows, columns, inner, many, m, n, k = kind
    own = dtype == aval.dtype
    if m * n * k > OWN and min(m, n) > 1 and many:
        if own and min(m, n) <= MOST_COLUMNS:
            view = lw.permuted(eqn, out[0]) or lw.result(aval, out[0])
            thin = thin_product(lw, Factor(x, xb, xf, xc), Factor(y, yb, yf, yc), view)
            if thin is not None:
                return [thin]
        if blas.letter(dtype):
            matrices = as_stack(lw, x, kind.of_x), as_stack(lw, y, (yb, yc, yf))
            factor, where = lw.scaled(eqn) if own else (1.0, None)
            if where is not None and not where.contiguous:
                where = None
            view = lw.result(aval if own else Node(aval.shape, dtype), where)
            lw.flush()
            lw.place(view.buffer)
            multiply(lw, *matrices, result_stack(view, many, m, n), many, factor)
            return [converted(view, aval.dtype)]
    # As many loops as the result has dimensions, then the sum's.
    domain = (*batch, *rows, *columns, *inner)
    first, last, end = len(batch), len(batch) + len(rows), len(batch) + len(rows) + len(columns)
    left = Remap(x, domain, outer_positions(xf, xc, xb, first, end, len(x.shape)))
    right = Remap(y, domain, outer_positions(yf, yc, yb, last, end, len(y.shape)))
    terms = multiplied(left, right)
    total = reduced(
        lw,
        terms,
        range(end, len(domain)),
        reducer("sum", dtype),
        Node(aval.shape, dtype),
        out[0] if own else None,
    )
    return [lw.computed(converted(total, aval.dtype))]


__all__ = ["computing_dtype", "dot_general", "product"]
