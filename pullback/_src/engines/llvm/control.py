"""Lowerings of loops and branches to native ones.

A loop's state is kept in registers where it is small. Larger states have two places that change roles
from turn to turn: the body reads one and writes the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...core.program import Equation, Literal, Program, Var
from .deferred import Iota
from .index import Index
from .ir import Value, constant
from .latest import LatestWrites
from .lower import Lowering, lowering
from .math import bounds
from .nodes import Buffer, Node, Registers, View
from .parallel import POLL, poll
from .separate import is_separate, write_separately
from .shared_scan import Turns, element_of
from .storage import components, storage_of

Out = Sequence[View | None]
UNKNOWN = 1e6  # turns that a loop may take whose number is not known
_LIMITS = {"lt": 0, "le": 0, "gt": 1, "ge": 1}  # comparisons with a limit, and where the counter is


class State:
    """A loop's state: for each part, registers or two places in memory.

    A part that each turn changes in place stays in its first place.

    Args:
        first: the operands of `eqn` from number `start` on, which are the first state.
        out: where the last state should go.
    """

    def __init__(self, lw: Lowering, eqn: Equation, start: int, first: Sequence[Node], out: Out) -> None:
        self.lw = lw
        self.kinds = [(n.shape, n.dtype) for n in first]
        self.small = [lw.small(n) for n in first]
        self.initial: list[Value] = []
        self.memory: list[tuple[View, View] | None] = []
        self.in_place = [False] * len(first)
        e = lw.e
        for k, (node, small) in enumerate(zip(first, self.small, strict=True)):
            if small:
                self.memory.append(None)
                self.initial.extend([e.splat(v, node.size) for v in lw.registers(node).values])
                continue
            here = lw.renewed(eqn, start + k) if isinstance(node, View) and node.contiguous else None
            if here is None:
                here = lw.result(node, out[k])
                lw.place(here.buffer)
                here = lw.into(node, here)
                lw.flush()
            there = lw.result(node)
            self.memory.append((here, there))
            # Whether the second place is needed is known when the loop has been written.
            self.initial.extend([lw.address(here), Value(f"%{e.fresh('there')}", "ptr", 1, 0)])
        self.record = lw.arena.record()

    def nodes(self, values: Sequence[Value], level: int) -> list[Node]:
        """The state that these values are."""
        nodes: list[Node] = []
        k = 0
        for (shape, dtype), small in zip(self.kinds, self.small, strict=True):
            if small:
                n = storage_of(dtype).components
                element = tuple(values[k : k + n])
                nodes.append(Registers(shape, dtype, element if n > 1 else element[0]))
                k += n
            else:
                nodes.append(View(Buffer(values[k], level), shape, dtype))
                k += 2
        return nodes

    def given(self, nodes: Sequence[Node]) -> list[View | None]:
        """The memory that a turn may write over: that of the state it gets."""
        return [node if isinstance(node, View) else None for node in nodes]

    def last(self, values: Sequence[Value], level: int, even: bool = False) -> list[Node]:
        """The state after the loop. Its memory is that of the results from now on.

        even: whether the number of turns is even, so that the last state is where the first one was.
        """
        nodes = self.nodes(values, level)
        for k, (node, memory) in enumerate(zip(nodes, self.memory, strict=True)):
            if memory is None:
                continue
            assert isinstance(node, View)
            here, there = memory
            if self.in_place[k] or even:
                node = nodes[k] = View(
                    Buffer(here.buffer.base, level), here.shape, here.dtype, here.strides, here.offset
                )
            node.buffer.bytes = node.bytes
            node.buffer.slots = here.buffer.slots + there.buffer.slots
            here.buffer.slots = there.buffer.slots = ()
            self.lw.made(node.buffer)
        return nodes

    def places(self, values: Sequence[Value], level: int) -> list[View | None]:
        """Where the next state goes; None for registers."""
        places: list[View | None] = []
        k = 0
        for (shape, dtype), small in zip(self.kinds, self.small, strict=True):
            if small:
                places.append(None)
                k += storage_of(dtype).components
            else:
                places.append(View(Buffer(values[k + 1], level), shape, dtype))
                k += 2
        return places

    def following(self, nodes: Sequence[Node], values: Sequence[Value]) -> list[Value]:
        """The values of the next state, which has been computed as `nodes`."""
        e = self.lw.e
        result: list[Value] = []
        k = 0
        for number, (node, small) in enumerate(zip(nodes, self.small, strict=True)):
            if small:
                result.extend([e.splat(v, node.size) for v in self.lw.registers(node).values])
                k += len(components(self.lw.registers(node).values))
            else:
                assert isinstance(node, View) and node.buffer.base is not None
                self.in_place[number] = node.buffer.base.name == values[k].name
                result.extend(values[k : k + 2] if self.in_place[number] else [values[k + 1], values[k]])
                k += 2
        return result

    def place(self) -> None:
        """Say where the second places are, before the loop; what is changed in place has none of its own."""
        lw = self.lw
        k = 0
        for memory, in_place, (_, dtype) in zip(self.memory, self.in_place, self.kinds, strict=True):
            if memory is None:
                k += storage_of(dtype).components
                continue
            here, there = self.initial[k : k + 2]
            k += 2
            _, view = memory
            if in_place:
                lw.e.scopes[here.level].lines.append(
                    f"{there.name} = getelementptr i8, ptr {here.name}, i64 0"
                )
                continue
            lw.place_beside(view.buffer, there, self.record)
        lw.arena.forget(self.record)


@lowering("scan")
def scan(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node]:
    params = eqn.params
    length, count, carries = params["length"], params["num_consts"], params["num_carry"]
    consts, first, xs = operands[:count], operands[count : count + carries], operands[count + carries :]
    lw.flush()
    consts = [prepared(lw, c) for c in consts]
    xs = [x if isinstance(x, (View, Iota)) else lw.memory(x) for x in xs]
    ys = [lw.result(v.aval, w) for v, w in zip(eqn.outvars[carries:], out[carries:], strict=True)]
    for y in ys:
        lw.place(y.buffer)
    if length == 0:
        return [*first, *ys]
    lw.flush()
    shared = Turns(lw, eqn) if not carries and lw.shares else None
    if shared is not None and shared.worth_sharing:
        shared.write(consts, xs, ys)
        return list(ys)
    state = State(lw, eqn, count, first, out[:carries])
    lw.flush()
    separate = is_separate(lw, eqn)

    def write(
        first: Sequence[Value], consts: Sequence[Node], xs: Sequence[Node], ys: Sequence[View]
    ) -> Sequence[Value]:
        return _turns(lw, eqn, state, first, consts, xs, ys, None if separate else state.place)

    last: Sequence[Value]
    if separate:
        last = write_separately(lw, state.initial, consts, xs, ys, write, state.place)
    else:
        last = write(state.initial, consts, xs, ys)
    return [*state.last(last, lw.e.level, length % 2 == 0), *ys]


def _turns(
    lw: Lowering,
    eqn: Equation,
    state: State,
    first: Sequence[Value],
    consts: Sequence[Node],
    xs: Sequence[Node],
    ys: Sequence[View],
    before: Callable[[], None] | None,
) -> Sequence[Value]:
    """Write a scan's loop from the first state on; returns the last one. `before` writes what stands before
    it."""
    e, params = lw.e, eqn.params
    length, carries = params["length"], params["num_carry"]
    writes = LatestWrites(params["program"], params["num_consts"], carries)
    with e.loop(constant(0, "i64"), constant(length, "i64"), 1, [*first, *writes.initial]) as loop:
        level = e.level
        at = Index.along(loop.index, 0, length - 1)
        if params["reverse"]:
            at = at * -1 + (length - 1)
        slices = [element_of(x, at) for x in xs]
        parts = [element_of(y, at) for y in ys]
        assert all(isinstance(part, View) for part in parts)
        now = state.nodes(loop.carried, level)
        for k, (low, high) in counters(eqn).items():
            bounds.within(e, lw.scalar(now[k]), low, high)
        places = [*state.places(loop.carried, level), *[part for part in parts if isinstance(part, View)]]
        around, lw.module.turns = lw.module.turns, lw.module.turns * length
        writes.begin(lw, loop.carried[len(first) :])
        places += [None] * len(writes.initial)
        results = lw.run(writes.program, [*consts, *now, *slices], places, state.given(now))
        lw.flush()
        lw.module.turns = around
        following = state.following(results[:carries], loop.carried)
        loop.update([*following, *writes.end(lw, results)])
        if before is not None:
            before()
        poll(e, loop.index, POLL)
    return loop.results[: len(first)]


def counters(eqn: Equation) -> dict[int, tuple[int, int]]:
    """The parts of a scan's state that count up from a number in the code, and between what they are."""
    params = eqn.params
    body: Program = params["program"]
    consts, length = params["num_consts"], params["length"]
    made = {v: inner for inner in body.eqns for v in inner.outvars}
    found = {}
    for k in range(params["num_carry"]):
        old, new, first = body.invars[consts + k], body.outvars[k], eqn.invars[consts + k]
        inner = made.get(new) if type(new) is Var and type(first) is Literal else None
        if inner is None or inner.primitive.name != "add" or inner.invars[0] is not old:
            continue
        step = inner.invars[1]
        if type(step) is not Literal or old.aval.shape or old.aval.dtype.kind not in "iu":
            continue
        low = int(first.value)
        high = low + (length - 1) * int(step.value)
        if 0 <= low <= high <= np.iinfo(old.aval.dtype).max:
            found[k] = low, high
    return found


def prepared(lw: Lowering, node: Node) -> Node:
    """An operand that a loop reads: computed before it."""
    return (
        node
        if isinstance(node, (View, Registers))
        else lw.registers(node)
        if lw.small(node)
        else lw.memory(node)
    )


@lowering("while")
def while_(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node]:
    params = eqn.params
    first = params["cond_nconsts"]
    second = first + params["body_nconsts"]
    lw.flush()
    test_consts = [prepared(lw, c) for c in operands[:first]]
    step_consts = [prepared(lw, c) for c in operands[first:second]]
    lw.flush()
    state = State(lw, eqn, second, operands[second:], out)
    e = lw.e
    writes = LatestWrites(params["body_program"], params["body_nconsts"], len(eqn.outvars))
    count = len(state.initial)
    with e.whilst([*state.initial, *writes.initial, constant(0, "i64")]) as loop:
        *carried, turn = loop.carried
        level = e.level
        now = state.nodes(carried, level)
        around, lw.module.turns = lw.module.turns, lw.module.turns * most_turns(params)
        (go_on,) = lw.run(params["cond_program"], [*test_consts, *now], [None])
        loop.test(lw.scalar(go_on))
        writes.begin(lw, carried[count:])
        places = [*state.places(carried, level), *[None] * len(writes.initial)]
        results = lw.run(writes.program, [*step_consts, *now], places, state.given(now))
        lw.flush()
        lw.module.turns = around
        following = state.following(results[: len(eqn.outvars)], carried)
        latest = writes.end(lw, results)
        state.place()
        loop.update([*following, *latest, e.add(turn, constant(1, "i64"))])
        poll(e, turn, POLL)
    return state.last(loop.results[:count], e.level)


def most_turns(params: Mapping[str, Any]) -> float:
    """About how many turns a `while` loop takes at most, for estimates of its time.

    A loop that counts its turns up from zero to a number in the code, as iterations do that may not converge,
    ends there. Under `vmap` the counter is one of each lane, and the loop's body tests it for the next turn.
    """
    test: Program = params["cond_program"]
    body: Program = params["body_program"]
    before = body.invars[params["body_nconsts"] :]
    found = UNKNOWN
    made: dict[Any, Equation] = {v: eqn for eqn in body.eqns for v in eqn.outvars}
    steps: dict[int, float] = {}  # by how much the states grow that are counters
    for k, (old, new) in enumerate(zip(before, body.outvars, strict=True)):
        eqn = made.get(new)
        if eqn is not None and eqn.primitive.name == "select_n":  # lanes that are done keep theirs
            others = [made.get(v) for v in eqn.invars[1:] if v is not old]
            eqn = others[0] if len(others) == 1 else None
        if eqn is not None and eqn.primitive.name == "add" and eqn.invars[0] is old:
            grown = eqn.invars[1]
            if isinstance(grown, Literal) and grown.aval.dtype.kind in "iu":
                steps[k] = float(grown.value)
    for program, counters in ((test, test.invars[params["cond_nconsts"] :]), (body, body.outvars)):
        alone = {v for eqn in program.eqns if eqn.primitive.name != "and" for v in eqn.invars}
        for eqn in program.eqns:
            place = _LIMITS.get(eqn.primitive.name)
            if place is None or eqn.outvars[0] in alone:
                continue
            limit = eqn.invars[1 - place]
            for k, step in steps.items():
                if counters[k] is eqn.invars[place] and isinstance(limit, Literal) and step > 0:
                    found = min(found, max(float(limit.value) / step, 1.0))
    return found


@lowering("cond")
def cond(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node]:
    index, *rest = operands
    branches: Sequence[Program] = eqn.params["branches"]
    lw.flush()
    which = lw.scalar(index)
    arguments = [prepared(lw, x) for x in rest]
    lw.flush()
    e = lw.e
    last = len(branches) - 1
    small = [lw.small(v.aval) for v in eqn.outvars]
    places = [None if s else lw.result(v.aval, w) for v, w, s in zip(eqn.outvars, out, small, strict=True)]
    for view in places:
        if view is not None:
            lw.place(view.buffer)

    def case(k: int) -> Callable[[], list[Value]]:
        def write() -> list[Value]:
            results = lw.run(branches[k], arguments, places)
            lw.flush()
            values: list[Value] = []
            for node, s in zip(results, small, strict=True):
                if s:
                    values.extend([e.splat(v, node.size) for v in lw.registers(node).values])
            return values

        return write

    def choose(k: int) -> list[Value]:
        """The results of branch k or a later one."""
        if k == last:
            return case(k)()
        here = e.icmp("sle", which, e.const(k, which))
        return e.branch(here, [case(k), lambda: choose(k + 1)])

    values = choose(0)
    nodes: list[Node] = []
    k = 0
    for var, view in zip(eqn.outvars, places, strict=True):
        if view is not None:
            nodes.append(view)
            continue
        n = storage_of(var.aval.dtype).components
        element = tuple(values[k : k + n])
        nodes.append(Registers(var.aval.shape, var.aval.dtype, element if n > 1 else element[0]))
        k += n
    return nodes


__all__: Any = ["State", "cond", "scan", "while_"]
