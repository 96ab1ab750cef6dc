"""Lowering of `bitcast_convert_type`: elementwise for equal widths, another view of memory for others."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.program import Equation
from . import maps
from .index import ZERO
from .lower import Lowering, lowering
from .nodes import Buffer, Node, Registers, View

Out = Sequence[View | None]


@lowering("bitcast_convert_type")
def bitcast_convert_type(
    lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out
) -> list[Node] | None:
    (x,) = operands
    aval = eqn.outvars[0].aval
    if x.dtype.itemsize == aval.dtype.itemsize:
        return maps.lower_elementwise(lw, eqn, operands, out)
    if not x.storage.computable or not Node(aval.shape, aval.dtype).storage.computable:
        return None
    view = lw.memory(x)
    if not isinstance(x, Registers) and (aval.dtype.itemsize > x.dtype.itemsize or view.offset is not ZERO):
        view = lw.store(lw.result(x), view)  # at an address that suits the wider type
    lw.settle(view)
    lw.flush()
    if view.buffer.address is None:
        return None  # there is nothing of it
    return [
        lw.computed(
            View(Buffer(view.buffer.base, max(lw.e.level, view.buffer.level)), aval.shape, aval.dtype)
        )
    ]


__all__ = ["bitcast_convert_type"]
