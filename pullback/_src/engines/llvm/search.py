"""Lowering of `searchsorted`: bisection, for as many values at once as a vector holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...core.program import Equation
from .index import ZERO, Index
from .ir import Emitter, Value, constant
from .lower import Lowering, lowering
from .math.base import at_least, at_most
from .nodes import Accesses, Node, Position, Registers, View
from .parallel import poll_in
from .storage import BYTES, Content, Element, load

Out = Sequence[View | None]

INT32 = np.dtype(np.int32)
COST = 1.0  # ns of a step
FIRST = 3  # steps without gathering
LEAST = 64  # elements of an array for which a table pays
BUCKETS = 4  # for each element of the array, and
MOST = 1 << 14  # at most
WORTH = 4  # values for each entry of a table


class Table(NamedTuple):
    """Where to begin: the range of the array's elements is cut into equal buckets.

    The bucket of a number is a function that never falls, computed in the same way for elements and for
    values. So the elements of lower buckets come before a value, and those of higher ones do not, however it
    was rounded.

    Attributes:
        starts: for each bucket the number of elements in lower ones (int32).
        low, scale: what is subtracted from a number, and what the difference is multiplied by.
        steps, top: of the bisection that is left: how many, and the first (i64 and i32).
    """

    starts: View
    low: Value
    scale: Value
    steps: Value
    top: Value


def _bound(elem: str) -> float:
    """Numbers beyond are as good as this; the difference of two such does not overflow."""
    return 2.0**125 if elem == "float" else 2.0**1021


def _limited(e: Emitter, x: Value) -> Value:
    return at_most(e, at_least(e, x, -_bound(x.elem)), _bound(x.elem))


def bucket_of(e: Emitter, x: Value, low: Value, scale: Value, count: int) -> Value:
    """The bucket of a number, as an i32; NaN is in the last one."""
    place = e.binary("fmul", e.binary("fsub", _limited(e, x), e.splat(low, x.lanes)), e.splat(scale, x.lanes))
    last, zero = e.const(float(count - 1), place), e.const(0.0, place)
    place = e.select(e.fcmp("olt", place, last), place, last)
    return e.convert("fptosi", e.select(e.fcmp("ogt", place, zero), place, zero), "i32")


def make_table(lw: Lowering, array: View) -> Table:
    """Write what makes the table of an array, which is in memory."""
    e, n = lw.e, array.shape[0]
    count = min(MOST, 1 << (BUCKETS * n - 1).bit_length())
    starts = lw.result(Node((count + 1,), INT32))
    base = lw.address(starts)

    def element(index: Index) -> Value:
        x = load(e, Content.now(e, array.address(e), array.storage), array.where((index,)))
        assert isinstance(x, Value)
        return x

    def entry(number: Value) -> tuple[str, Value]:
        place = e.here(f"getelementptr i32, ptr {base.name}, i64 {number.name}", "ptr", 1).typed
        return place, e.here(f"load i32, {place}, align 4", "i32", 1)

    low, high = _limited(e, element(ZERO)), _limited(e, element(Index.of(n - 1)))
    scale = e.fdiv(e.const(float(count), low), e.binary("fsub", high, low))
    sensible = e.fcmp("olt", scale, e.const(math.inf, scale))
    scale = e.select(sensible, scale, e.const(0.0, scale))
    e.module.declare("llvm.memset.p0.i64", "void", ["ptr", "i8", "i64", "i1"])
    e.line(f"call void @llvm.memset.p0.i64({base.typed}, i8 0, i64 {4 * (count + 1)}, i1 false)")
    with e.loop(constant(0, "i64"), constant(n, "i64")) as loop:
        poll_in(e, loop.index, n, 1)
        bucket = bucket_of(e, element(Index.along(loop.index, 0, n - 1)), low, scale, count)
        place, old = entry(e.convert("zext", bucket, "i64"))
        e.line(f"store {e.add(old, constant(1, 'i32')).typed}, {place}, align 4")
    zero = constant(0, "i32")
    with e.loop(constant(0, "i64"), constant(count, "i64"), 1, [zero, zero]) as loop:
        place, own = entry(loop.index)
        total, most = loop.carried
        e.line(f"store {total.typed}, {place}, align 4")
        loop.update([e.add(total, own), e.call("llvm.umax", "i32", most, own)])
    # A bisection of m elements in bits(m) steps; at least one, since a loop runs once.
    most = e.call("llvm.umax", "i32", loop.results[1], constant(1, "i32"))
    steps = e.sub(constant(32, "i32"), e.call("llvm.ctlz", "i32", most, constant(False, "i1"), suffix="i32"))
    top = e.shl(constant(1, "i32"), e.sub(steps, constant(1, "i32")))
    return Table(starts, low, scale, e.convert("zext", steps, "i64"), top)


class Found(Node):
    """For each value the number of elements of a sorted array that come before it."""

    __slots__ = ("array", "values", "right", "variable", "table", "index")

    def __init__(
        self,
        array: View | Registers,
        values: Node,
        dtype: np.dtype[Any],
        right: bool,
        variable: Value,
        table: Table | None,
    ) -> None:
        super().__init__(values.shape, dtype)
        self.array, self.values, self.right, self.variable = array, values, right, variable
        self.table = table
        self.index = "i32" if _is_short(array) else "i64"

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
        bits = n.bit_length()
        first, steps = constant(0, self.index, lanes), constant(bits, "i64")
        top = constant(1 << (bits - 1), self.index)
        if self.table is not None:
            first, steps, top = self._start(e, value), e.local(self.table.steps), e.local(self.table.top)
        elif lanes > 1 and bits > 2 * FIRST:
            first = self._among(e, view, value, 1 << (bits - FIRST))
            steps, top = constant(bits - FIRST, "i64"), constant(1 << (bits - FIRST - 1), self.index)
        # The greatest number of elements of which the last comes before the value, bit by bit.
        with e.loop(constant(0, "i64"), steps, 1, [first, top]) as loop:
            found, step = loop.carried
            probe = e.add(*e.match(found, step))
            inside = e.icmp("ule", probe, e.const(n, probe))
            last = e.sub(e.call("llvm.umin", probe.elem, probe, e.const(n, probe)), e.const(1, probe))
            place = last if stride == 1 else e.mul(last, e.const(stride, last))
            element = _loaded(e, view, place, n)
            before = e.and_(inside, self._before(e, element, value))
            loop.update([e.select(before, probe, found), e.lshr(step, e.const(1, step))])
        (total, _), register = loop.results, self.storage.register
        if register == total.elem:
            return total
        return e.convert("trunc" if BYTES[register] < BYTES[total.elem] else "zext", total, register)

    def _start(self, e: Emitter, value: Value) -> Value:
        """The number of elements in lower buckets than the value's."""
        assert self.table is not None
        starts = self.table.starts
        count = starts.shape[0] - 1
        bucket = bucket_of(e, value, e.local(self.table.low), e.local(self.table.scale), count)
        return _loaded(e, starts, bucket, count)

    def _among(self, e: Emitter, view: View, value: Value, step: int) -> Value:
        """The greatest multiple of `step` of elements of which the last comes before the value.

        All values are compared with the same few elements, which stay in registers: gathering takes longer.
        """
        found = constant(0, self.index, value.lanes)
        for count in range(step, view.shape[0] + 1, step):
            place = view.offset + (count - 1) * view.strides[0]
            element = load(e, Content(view.address(e), view.storage, view.level(e), view.buffer), place)
            assert isinstance(element, Value)
            before = e.splat(self._before(e, element, value), value.lanes)
            found = e.select(before, e.const(count, found), found)
        return found

    def visit(self, at: Position, found: Accesses) -> None:
        if not found.first(self, at):
            return
        found.opaque = True
        found.waits = True
        found.cost += COST * (self.array.shape[0].bit_length() if self.table is None else 3)
        self.values.visit(at, found)
        for view in [self.array] + ([self.table.starts] if self.table is not None else []):
            if isinstance(view, View):
                found.views.append((view, view.offset + Index.along(self.variable, 0, 0)))


def _is_short(array: Node) -> bool:
    """Whether indices of the array fit into 32 bits."""
    stride = abs(array.strides[0]) if isinstance(array, View) else 1
    return array.size * max(stride, 1) < 2**31


def _loaded(e: Emitter, view: View, place: Value, most: int) -> Value:
    """The elements of a vector that lie so many places after its first; the places are at most `most`."""
    if place.lanes == 1:
        wide = place if place.elem == "i64" else e.convert("sext", place, "i64")
        low, high = sorted((0, most * view.strides[0]))
        flat = view.offset + Index.along(wide, low, high)
    else:
        o = view.offset
        flat = Index(o.terms, o.const, o.lanes, o.low, o.high, place)
    element = load(e, Content.now(e, view.address(e), view.storage), flat)
    assert isinstance(element, Value)
    return element


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
    table = None
    if _worth_a_table(source, values) and isinstance(source, View):
        lw.settle(source)
        lw.flush()
        table = make_table(lw, source)
    return [lw.computed(Found(source, values, dtype, eqn.params["side"] == "right", variable, table))]


def _worth_a_table(array: Node, values: Node) -> bool:
    n = array.shape[0]
    entries = min(MOST, BUCKETS * n)
    return (
        array.dtype.kind == "f"
        and array.dtype.itemsize >= 4
        and n >= LEAST
        and _is_short(array)
        and values.size >= WORTH * (entries + n)
    )


__all__ = ["Found", "searchsorted"]
