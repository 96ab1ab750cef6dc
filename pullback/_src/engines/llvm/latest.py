"""The element that a loop's turn has written last, in a register.

A recurrence that is written entry by entry into an array reads in each turn what the turn before has stored.
Through memory that takes five cycles of a chain that everything waits for. So the place and the value of the
last write are registers of the loop's state, and who reads an element compares the places first: a branch,
not a selection, so the processor guesses the outcome and does not wait for memory. It is the same number
either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ...core.program import Atom, Equation, Program, Var
from .index import Index
from .ir import Emitter, Value, constant
from .nodes import Node, Registers
from .storage import storage_of

if TYPE_CHECKING:
    from .lower import Lowering


class Latest(NamedTuple):
    """An array has `value` at `place` (i64), if that is one of its places."""

    place: Value
    value: Value

    def instead_of(self, e: Emitter, element: Registers, at: Index) -> Registers:
        """An element of the array that has been read at `at`, or the same from the register."""
        (loaded,) = element.values
        same = e.icmp("eq", at.value(e), self.place)
        (value,) = e.branch(same, [lambda: [self.value], lambda: [loaded]])
        return Registers(element.shape, element.dtype, value)


class LatestWrites:
    """The parts of a loop's state of which each turn writes one element and reads others.

    Args:
        body: the program of a turn.
        consts: how many of its inputs come before the state.
        count: the parts of the state.

    Attributes:
        program: the body; its last results are the places and values of the writes.
        initial: the state of the registers before the first turn.
    """

    def __init__(self, body: Program, consts: int, count: int) -> None:
        made: dict[Atom, Equation] = {v: eqn for eqn in body.eqns for v in eqn.outvars}
        read = {eqn.invars[0] for eqn in body.eqns if _reads_one(eqn)}
        self._states: list[Var] = []
        self.initial: list[Value] = []
        extra: list[Atom] = []
        self._first = len(body.outvars)
        for old, new in zip(body.invars[consts : consts + count], body.outvars, strict=False):
            eqn = made.get(new) if old in read else None
            written = None if eqn is None or eqn.invars[0] is not old else _written(eqn)
            if written is not None:
                self._states.append(old)
                extra.extend(written)
                elem = storage_of(old.aval.dtype).register
                zero = constant(0 if elem[0] == "i" else 0.0, elem)
                self.initial += [constant(-1, "i64"), zero]
        self.program = body
        if extra:
            self.program = Program(body.invars, [*body.outvars, *extra], body.eqns, name=body.name)

    def begin(self, lw: Lowering, values: Sequence[Value]) -> None:
        """A turn begins with these registers."""
        for k, state in enumerate(self._states):
            lw.latest[state] = Latest(values[2 * k], values[2 * k + 1])

    def end(self, lw: Lowering, results: Sequence[Node]) -> list[Value]:
        """The registers after a turn whose program has these results."""
        values = []
        for k, state in enumerate(self._states):
            del lw.latest[state]
            place, value = results[self._first + 2 * k : self._first + 2 * k + 2]
            index = lw.scalar(place)
            if index.elem != "i64":
                index = lw.e.convert("zext" if place.dtype.kind == "u" else "sext", index, "i64")
            values += [index, lw.scalar(value)]
        return values


def _reads_one(eqn: Equation) -> bool:
    return eqn.primitive.name == "dynamic_slice" and eqn.params["slice_sizes"] == (1,)


def _written(eqn: Equation) -> tuple[Atom, Atom] | None:
    """The place and the value of an element that replaces another one of an array with one dimension."""
    array = eqn.invars[0].aval
    storage = storage_of(array.dtype)
    if array.ndim != 1 or storage.components != 1 or storage.memory != storage.register:
        return None
    if eqn.primitive.name == "dynamic_update_slice":
        _, value, place = eqn.invars
    elif eqn.primitive.name == "scatter":
        _, place, value = eqn.invars
    else:
        return None
    return (place, value) if place.aval.size == 1 == value.aval.size else None


__all__ = ["Latest", "LatestWrites"]
