"""Lowerings of `argmax` and `argmin`: reductions of (index, value) pairs.

The first of equal values counts, and the first NaN before all numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.program import Equation
from .deferred import Iota
from .ir import Emitter, Value, constant
from .lower import Lowering, lowering
from .nodes import Accesses, Node, Position, Registers, View
from .reducers import Reducer
from .reduction import reduced
from .storage import Element, components

Out = Sequence[View | None]


class Numbered(Node):
    """Elements with their index along an axis: (index, value), or (index, real, imaginary)."""

    __slots__ = ("values", "numbers")

    def __init__(self, values: Node, axis: int, dtype: np.dtype[Any]) -> None:
        super().__init__(values.shape, dtype)
        self.values = values
        self.numbers = Iota(values.shape, dtype, axis)

    def compute(self, e: Emitter, at: Position) -> Element:
        number, *value = e.match(
            components(self.numbers.element(e, at))[0], *components(self.values.element(e, at))
        )
        return number, *value

    def visit(self, at: Position, found: Accesses) -> None:
        found.opaque = True
        self.values.visit(at, found)
        self.numbers.visit(at, found)
        found.cost += 0.2


def _reducer(values: np.dtype[Any], elem: str, numbers: np.dtype[Any], greatest: bool) -> Reducer:
    floating = elem in ("float", "double")
    worst: Any
    if floating:
        order, worst = ("ogt" if greatest else "olt"), (-np.inf if greatest else np.inf)
    elif elem == "i1":
        order, worst = ("ugt" if greatest else "ult"), not greatest
    else:
        sign = "u" if values.kind == "u" else "s"
        order, worst = (
            f"{sign}{'gt' if greatest else 'lt'}",
            getattr(np.iinfo(values), "min" if greatest else "max"),
        )

    def combine(e: Emitter, x: tuple[Value, ...], y: tuple[Value, ...]) -> tuple[Value, ...]:
        (i, a), (j, b) = x, y
        earlier = e.icmp("slt", j, i)
        if floating:
            better, same = e.fcmp(order, b, a), e.fcmp("oeq", b, a)
            nan, other = e.isnan(b), e.isnan(a)
            better = e.or_(better, e.and_(nan, e.not_(other)))
            same = e.or_(same, e.and_(nan, other))
        else:
            better, same = e.icmp(order, b, a), e.icmp("eq", b, a)
        chosen = e.or_(better, e.and_(same, earlier))
        return e.select(chosen, j, i), e.select(chosen, b, a)

    last = np.iinfo(numbers).max
    index = {1: "i8", 2: "i16", 4: "i32", 8: "i64"}[numbers.itemsize]
    return Reducer((constant(last, index), constant(worst, elem)), combine, idempotent=True)


@lowering("argmax", "argmin")
def position(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    (x,) = operands
    aval, axis, dtype = eqn.outvars[0].aval, eqn.params["axis"], eqn.params["index_dtype"]
    if not x.storage.computable or x.storage.components != 1 or not x.size:
        return None
    if dtype.kind not in "iu" or x.shape[axis] > np.iinfo(f"i{dtype.itemsize}").max:
        return None
    signed = np.dtype(f"i{dtype.itemsize}")
    r = _reducer(x.dtype, x.storage.register, signed, eqn.primitive.name == "argmax")
    result = reduced(lw, Numbered(x, axis, dtype), (axis,), r, aval, out[0])
    if isinstance(result, Registers):
        return [Registers(result.shape, dtype, result.values[0])]
    return [result]


__all__ = ["Numbered", "position"]
