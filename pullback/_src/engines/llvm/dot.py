"""Lowering of `dot_general`: sums of products, by loops of our own or by BLAS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...core import dtypes
from ...core.program import Equation
from .index import Index
from .lower import Lowering, lowering
from .nodes import Map, Node, Position, Remap, View
from .reducers import reducer
from .reduction import reduced

Out = Sequence[View | None]


def product(e: Any, types: Any, x: Any, y: Any) -> Any:
    """x * y, in the result's type."""
    if isinstance(x, tuple):
        (a, b), (c, d) = x, y
        return e.fsub(e.fmul(a, c), e.fmul(b, d)), e.fadd(e.fmul(a, d), e.fmul(b, c))
    if x.elem == "i1":
        return e.and_(x, y)
    return e.mul(x, y) if x.elem[0] == "i" else e.fmul(x, y)


@lowering("dot_general")
def dot_general(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    x, y = operands
    aval = eqn.outvars[0].aval
    (xc, yc), (xb, yb) = eqn.params["dimension_numbers"]
    if aval.dtype != x.dtype or not x.storage.computable:
        return None
    xf = [d for d in range(len(x.shape)) if d not in xc and d not in xb]
    yf = [d for d in range(len(y.shape)) if d not in yc and d not in yb]
    batch = tuple([x.shape[d] for d in xb])
    rows, columns = tuple([x.shape[d] for d in xf]), tuple([y.shape[d] for d in yf])
    inner = tuple([x.shape[d] for d in xc])
    m, n, k = math.prod(rows), math.prod(columns), math.prod(inner)
    # As many loops as the result has dimensions, then the sum's.
    domain = (*batch, *rows, *columns, *inner)
    first, last, end = len(batch), len(batch) + len(rows), len(batch) + len(rows) + len(columns)

    def places(free: Sequence[int], contracted: Sequence[int], batched: Sequence[int], start: int, rank: int) -> Any:
        place = {d: j for j, d in enumerate(batched)}
        place |= {d: start + j for j, d in enumerate(free)}
        place |= {d: end + j for j, d in enumerate(contracted)}

        def mapping(at: Position) -> Position:
            return tuple([at[place[d]] for d in range(rank)])

        return mapping

    left = Remap(x, domain, places(xf, xc, xb, first, len(x.shape)))
    right = Remap(y, domain, places(yf, yc, yb, last, len(y.shape)))
    if m * n * k > 16**3 and min(m, n) > 1 and dtypes.is_inexact(x.dtype):
        return None
    terms = Map(product, [left, right], domain, aval.dtype, {}, 0.06)
    return [reduced(lw, terms, range(end, len(domain)), reducer("sum", aval.dtype), aval, out[0])]


__all__ = ["Index", "dot_general"]
