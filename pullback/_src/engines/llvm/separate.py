"""Scans as functions of their own.

The gradient of a scan is a scan forward and one backward, each with a long body. As functions they are parts
of the module (`module.py`), so LLVM compiles the first one while the second one is lowered. The function's
arguments are what it captures, a place for the last state (the addresses of what is in memory), and its
scratch memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...core.program import Equation, Program, subprograms
from .ir import Emitter, Value, constant, leave_unless
from .lower import Lowering
from .nodes import Node, View
from .parallel import CHUNK, context_of
from .shared_scan import captured, captured_view, work_of
from .storage import BYTES

LONG_BODY = 24  # equations
WORTH_CALLING = 2_000.0  # nanoseconds of a loop beside which the call takes no time
WORTH_SHARING = 2 * CHUNK  # nanoseconds of a body that shares its own loops

Write = Callable[[Sequence[Value], Sequence[Node], Sequence[Node], Sequence[View]], Sequence[Value]]


def long_loops(program: Program) -> int:
    """How many scans the program has, also one within the other, whose bodies are long."""
    inner = sum([long_loops(p) for eqn in program.eqns for p in subprograms(eqn.params)])
    return inner + sum([_is_long(eqn) for eqn in program.eqns])


def _is_long(eqn: Equation) -> bool:
    return eqn.primitive.name == "scan" and len(eqn.params["program"].eqns) >= LONG_BODY


def is_separate(lw: Lowering, eqn: Equation) -> bool:
    """Whether a scan becomes a function."""
    if not (lw.module.separate and lw.shares and _is_long(eqn)):
        return False
    work = work_of(eqn.params["program"])
    # In a function, loops are not shared by threads, and nothing runs in Python.
    return work.native and work.time < WORTH_SHARING and work.time * eqn.params["length"] > WORTH_CALLING


def write_separately(
    lw: Lowering,
    state: Sequence[Value],
    consts: Sequence[Node],
    xs: Sequence[Node],
    ys: Sequence[View],
    write: Write,
    before: Callable[[], None],
) -> list[Value]:
    """Have `write` write the loop as a function, and call it; returns the values of the last state.

    `write` is given the first state and what the loop reads and writes, as the function sees them, and
    returns the last state there. `before` writes what stands before the call.
    """
    e = lw.e
    inner = Emitter(lw.module, prefix=f"{e.own[1:]}.f.", outlined=True)  # no name is the function around's
    state = [inner.local(value) for value in state]
    consts = [captured(e, inner, node) for node in consts]
    xs = [captured(e, inner, node) for node in xs]
    ys = [captured_view(e, inner, view) for view in ys]
    with lw.within(inner, Value("%arena", "ptr", 1, 0)) as arena:
        last = write(state, consts, xs, ys)
    before()
    offset, places = 0, []
    for value in last:
        place = inner.here(f"getelementptr i8, ptr %results, i64 {offset}", "ptr", 1)
        inner.line(f"store {value.typed}, ptr {place.name}, align {BYTES[value.elem]}")
        places.append(offset)
        offset += -(-BYTES[value.elem] * value.lanes // 8) * 8
    inner.line("ret i32 0")
    context, store = context_of(e, inner)
    inner.frame.extend(context)
    text = inner.text()
    if "label %interrupted" in text:
        text += "\ninterrupted:\nret i32 1"
    parameters = "ptr %context, ptr %results, ptr %arena"
    name = lw.module.function("loop", parameters, f"entry:\n{text}", "i32")
    results = e.stack("i8", max(offset, 1))
    arguments = f"{store().typed}, {results.typed}, {_scratch(lw, arena.size).typed}"
    status = e.here(f"call i32 @{name}({arguments})", "i32", 1)
    leave_unless(e, e.icmp("eq", status, constant(0, "i32")), "interrupted")
    values = []
    for value, at in zip(last, places, strict=True):
        here = e.here(f"getelementptr i8, ptr {results.name}, i64 {at}", "ptr", 1)
        values.append(
            e.here(f"load {value.type}, ptr {here.name}, align {BYTES[value.elem]}", value.elem, value.lanes)
        )
    return values


def _scratch(lw: Lowering, size: int) -> Value:
    """The address of scratch memory for a call."""
    if not size:
        return Value("null", "ptr", 1, 0)
    slot = lw.arena.take(size)
    lw.arena.give(slot)  # after the call
    return lw.e.pure(f"getelementptr i8, ptr {lw.arena_base.name}, i64 {slot.offset}", "ptr", 1, 0)


__all__ = ["is_separate", "long_loops", "write_separately"]
