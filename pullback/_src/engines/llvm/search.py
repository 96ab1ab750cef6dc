"""Lowering of `searchsorted`: bisection, for as many values at once as a vector holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.program import Equation
from .index import Index
from .ir import Emitter, Value, constant
from .lower import Lowering, lowering
from .nodes import Accesses, Node, Position, Registers, View
from .storage import Element, load

Out = Sequence[View | None]

COST = 1.0  # ns of a step
FIRST = 3  # steps without gathering


class Found(Node):
    """For each value the number of elements of a sorted array that come before it."""

    __slots__ = ("array", "values", "right", "variable")

    def __init__(
        self, array: View | Registers, values: Node, dtype: np.dtype[Any], right: bool, variable: Value
    ) -> None:
        super().__init__(values.shape, dtype)
        self.array, self.values, self.right, self.variable = array, values, right, variable

    def _before(self, e: Emitter, x: Value, y: Value) -> Value:
        """Whether an element comes before a value; NaN comes last."""
        if self.right:  # not (y < x)
            return e.not_(self._less(e, y, x))
        return self._less(e, x, y)

    def _less(self, e: Emitter, x: Value, y: Value) -> Value:
        if x.elem in ("float", "double"):
            return e.or_(e.fcmp("olt", x, y), e.and_(e.isnan(y), e.not_(e.isnan(x))))
        return e.icmp("slt" if self.array.dtype.kind == "i" else "ult", x, y)

    def compute(self, e: Emitter, at: Position) -> Element:
        value = self.values.element(e, at)
        assert isinstance(value, Value)
        view = self.array if isinstance(self.array, View) else self.array.in_memory(e)
        n, lanes, stride = view.shape[0], value.lanes, view.strides[0]
        steps = n.bit_length()
        first = constant(0, "i64", lanes)
        if lanes > 1 and steps > 2 * FIRST:
            first = self._among(e, view, value, 1 << (steps - FIRST))
            steps -= FIRST
        carries = [first, constant(1 << (steps - 1), "i64")]
        # The greatest number of elements of which the last comes before the value, bit by bit.
        with e.loop(constant(0, "i64"), constant(steps, "i64"), 1, carries) as loop:
            found, step = loop.carried
            probe = e.add(*e.match(found, step))
            inside = e.icmp("ule", probe, e.const(n, probe))
            last = e.sub(e.call("llvm.umin", "i64", probe, e.const(n, probe)), e.const(1, probe))
            place = last if stride == 1 else e.mul(last, e.const(stride, last))
            if lanes == 1:
                flat = view.offset + Index.along(place, 0, (n - 1) * stride)
            else:
                o = view.offset
                flat = Index(o.terms, o.const, o.lanes, o.low, o.high, place)
            element = load(e, view.address(e), flat, view.storage, e.level, object())
            assert isinstance(element, Value)
            before = e.and_(inside, self._before(e, element, value))
            loop.update([e.select(before, probe, found), e.lshr(step, constant(1, "i64"))])
        (total, _), register = loop.results, self.storage.register
        return total if register == "i64" else e.convert("trunc", total, register)

    def _among(self, e: Emitter, view: View, value: Value, step: int) -> Value:
        """The greatest multiple of `step` of elements of which the last comes before the value.

        All values are compared with the same few elements, which stay in registers: gathering takes longer.
        """
        found = constant(0, "i64", value.lanes)
        for count in range(step, view.shape[0] + 1, step):
            place = view.offset + (count - 1) * view.strides[0]
            element = load(e, view.address(e), place, view.storage, view.level(e), view.buffer)
            assert isinstance(element, Value)
            before = e.splat(self._before(e, element, value), value.lanes)
            found = e.select(before, e.const(count, found), found)
        return found

    def visit(self, at: Position, found: Accesses) -> None:
        if not found.first(self, at):
            return
        found.cost += COST * self.array.shape[0].bit_length()
        self.values.visit(at, found)
        if isinstance(self.array, View):
            found.views.append((self.array, self.array.offset + Index.along(self.variable, 0, 0)))


@lowering("searchsorted")
def searchsorted(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    array, values = operands
    dtype = eqn.params["index_dtype"]
    if (
        not array.storage.computable
        or array.storage.components != 1
        or not array.size
        or dtype.kind not in "iu"
    ):
        return None
    if array.size > np.iinfo(dtype).max:
        return None
    source = array if isinstance(array, (View, Registers)) else lw.memory(array)
    variable = Value("%" + lw.e.fresh("searched"), "i64", 1, 0)
    return [lw.computed(Found(source, values, dtype, eqn.params["side"] == "right", variable))]


__all__ = ["Found", "searchsorted"]
