"""Lowering of `dot_general`: sums of products, by loops of our own or by BLAS.

Products of small matrices, of vectors, and of dtypes that BLAS does not know are ordinary reductions, fused
with what is around them. Halves are multiplied as float32, as NumPy's engine does it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ...core import dtypes
from ...core.program import Equation
from . import blas
from .deferred import Remap
from .lower import Lowering, lowering
from .matrices import as_stack, converted, multiply, result_stack
from .nodes import Node, Position, View
from .reducers import reducer
from .reduction import reduced
from .thin import Factor, multiplied, product, thin_product

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


@lru_cache(maxsize=256)
def _others(rank: int, contracted: tuple[int, ...], batched: tuple[int, ...]) -> tuple[int, ...]:
    """The dimensions of an operand that the result has for themselves."""
    return tuple([d for d in range(rank) if d not in contracted and d not in batched])


@lowering("dot_general")
def dot_general(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    x, y = operands
    aval = eqn.outvars[0].aval
    (xc, yc), (xb, yb) = eqn.params["dimension_numbers"]
    dtype = computing_dtype(aval.dtype)
    if not all(n.storage.computable for n in (x, y)) or dtypes.is_key(x.dtype):
        return None
    x, y = converted(x, dtype), converted(y, dtype)
    xf = _others(len(x.shape), tuple(xc), tuple(xb))
    yf = _others(len(y.shape), tuple(yc), tuple(yb))
    batch, inner = tuple([x.shape[d] for d in xb]), tuple([x.shape[d] for d in xc])
    rows, columns = tuple([x.shape[d] for d in xf]), tuple([y.shape[d] for d in yf])
    m, n, k, many = math.prod(rows), math.prod(columns), math.prod(inner), math.prod(batch)
    own = dtype == aval.dtype
    first, last, end = len(batch), len(batch) + len(rows), len(batch) + len(rows) + len(columns)
    if own and m * n * k > OWN and min(m, n) > 1 and k and many:
        view = lw.permuted(eqn, out[0]) or lw.result(aval, out[0])
        thin = thin_product(lw, Factor(x, xb, xf, xc), Factor(y, yb, yf, yc), view)
        if thin is not None:
            return [thin]
    if m * n * k > OWN and min(m, n) > 1 and k and many and blas.letter(dtype):
        matrices = as_stack(lw, x, (xb, xf, xc)), as_stack(lw, y, (yb, yc, yf))
        where = out[0] if own and out[0] is not None and out[0].contiguous else None
        view = lw.result(aval if own else Node(aval.shape, dtype), where)
        lw.flush()
        lw.place(view.buffer)
        multiply(lw, *matrices, result_stack(view, many, m, n), many)
        return [converted(view, aval.dtype)]
    # As many loops as the result has dimensions, then the sum's.
    domain = (*batch, *rows, *columns, *inner)
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
