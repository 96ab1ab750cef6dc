"""Checkpointing with a bounded number of states: of the loops in a function, and of chains of functions."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..base import pytree
from ..base.source import Location
from ..core.aval import ShapedArray
from ..core.call import jit_p
from ..core.evaluate import evaluate
from ..core.program import Equation, Literal, Program, Var
from ..core.staging import stage
from .chunks import OfChunk
from .common import name_of, stage_flat, to_arrays
from .cond_rules import cond_p
from .counted import Loop, checked_slots
from .scan_rules import scan_p
from .schedule import extra_steps, first_part
from .while_reverse import default_slots
from .while_rules import while_p

WORKING = 5
"""States in memory beside those that are kept: two of the loop, that of the step, two of cotangents."""

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


@dataclass(frozen=True)
class LoopPlan:
    """What reverse mode does with one loop, or with a chain of functions.

    Attributes:
        kind: "scan", "while" or "chain".
        location: where it is in the user's code, if that is known.
        steps: how many there are; None: the loop runs as long as a condition holds.
        slots: how many states are kept at most.
        state_bytes: the size of a state.
    """

    kind: str
    location: Location | None
    steps: int | None
    slots: int
    state_bytes: int

    @property
    def extra_steps(self) -> int | None:
        """Steps that are run again to compute states, beside the run of each step that is reversed."""
        return None if self.steps is None else extra_steps(self.steps, self.slots)

    @property
    def total_steps(self) -> int | None:
        """All steps that a value and gradient run: those for the value, the extra ones, the reversed ones.

        The last step of a chain is reversed as soon as it has been run, so its steps for the value are among
        the others.
        """
        if self.steps is None or self.extra_steps is None:
            return None
        return self.extra_steps + self.steps * (1 if self.kind == "chain" else 2)

    @property
    def peak_bytes(self) -> int:
        """Memory of the states that are kept and of those in work; what one step needs comes on top.

        Outside of `jit`, a loop of unknown length needs that of the kept states up to twice.
        """
        return (self.slots + WORKING) * self.state_bytes

    def row(self) -> tuple[str, ...]:
        """What a table says of it."""
        return (
            self.kind + (f" at {self.location}" if self.location else ""),
            "any" if self.steps is None else f"{self.steps:,}",
            f"{self.slots:,}",
            "any" if self.extra_steps is None else f"{self.extra_steps:,}",
            _size(self.state_bytes),
            _size(self.peak_bytes),
        )


@dataclass(frozen=True)
class Plan:
    """What reverse mode does with the loops of a function under `checkpoint(slots=...)`."""

    loops: tuple[LoopPlan, ...]

    @property
    def extra_steps(self) -> int | None:
        """The sum over the loops; None if one's number of steps is not known."""
        counts = [loop.extra_steps for loop in self.loops]
        return None if None in counts else sum(c for c in counts if c is not None)

    @property
    def peak_bytes(self) -> int:
        """The greatest over the loops: they are reversed one after the other."""
        return max([loop.peak_bytes for loop in self.loops], default=0)

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("loop", "steps", "slots", "extra steps", "state", "peak")]
        rows += [loop.row() for loop in self.loops]
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        return "\n".join(
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
        )


def _size(number: int) -> str:
    for unit in ("GB", "MB", "KB"):
        if number >= _UNITS[unit]:
            return f"{number / _UNITS[unit]:.4g} {unit}"
    return f"{number} B"


def parsed_memory(memory: int | str) -> int:
    """A number of bytes, also as text such as "64MB" or "1.5GiB".

    Raises:
        TypeError, ValueError: it is none.
    """
    if isinstance(memory, bool) or not isinstance(memory, (int, str)):
        raise TypeError(
            f'checkpoint: memory must be a number of bytes or text such as "64MB", got {memory!r}'
        )
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(memory))
    if match is None or match[2].upper() not in _UNITS:
        raise ValueError(
            f'checkpoint: memory must be a number of bytes or text such as "64MB" or "1.5GiB", got {memory!r}'
        )
    return int(float(match[1]) * _UNITS[match[2].upper()])


class Bounded:
    """A function whose loops hold few states in reverse mode.

    Args:
        run: the function.
        plans: what reverse mode will do with each loop, for arguments of these types.
        named: the user's function.
    """

    def __init__(
        self, run: Callable[..., Any], plans: Callable[..., Sequence[LoopPlan]], named: Callable[..., Any]
    ) -> None:
        self._run = run
        self._plans = plans
        functools.update_wrapper(self, named)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(*args, **kwargs)

    def plan(self, *args: Any, **kwargs: Any) -> Plan:
        """What reverse mode will do, for arguments of these types. Nothing is run."""
        return Plan(tuple(self._plans(*args, **kwargs)))

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        return f"checkpoint({getattr(self, '__qualname__', repr(self._run))})"


def checkpoint_bounded(
    fun: Callable[..., Any] | Sequence[Callable[[Any], Any]],
    slots: int | None,
    memory: int | str | None,
    checkpoint: Callable[[Callable[..., Any]], Callable[..., Any]],
) -> Bounded:
    """`checkpoint` with `slots` or `memory`, see there; `checkpoint` is the one without."""
    limit = None if memory is None else parsed_memory(memory)
    count = checked_slots("checkpoint: slots", slots)
    if count is not None and limit is not None:
        raise ValueError("checkpoint: give either slots or memory, not both")
    if callable(fun):
        return _loops(fun, count, limit)
    return _chain(fun, count, limit, checkpoint)


def _slots_for(
    what: str, avals: Sequence[ShapedArray], slots: int | None, limit: int | None, steps: int | None
) -> int:
    """How many states of these types are kept."""
    if slots is None:
        if limit is None:
            slots = default_slots(avals)
        else:
            size = max(_bytes(avals), 1)
            slots = limit // size - WORKING
            if slots < 1:
                raise ValueError(
                    f"checkpoint: a {what} whose state has {_size(size)} needs at least "
                    f"{_size((1 + WORKING) * size)} in reverse mode, but memory is {_size(limit)}; raise it "
                    "to that, or make the state smaller"
                )
    return slots if steps is None else max(1, min(slots, steps))


def _bytes(avals: Sequence[ShapedArray]) -> int:
    return sum(math.prod(a.shape) * a.dtype.itemsize for a in avals)


# Loops --------------------------------------------------------------------------------------------------


def _loops(fun: Callable[..., Any], slots: int | None, limit: int | None) -> Bounded:
    def staged(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, list[Any], Any]:
        called = (lambda args, kwargs: fun(*args, **kwargs)) if kwargs else fun
        leaves, tree = pytree.flatten((args, kwargs) if kwargs else args)
        operands = to_arrays(leaves, tree, f"checkpoint of {name_of(fun)}")
        found = stage_flat(called, tree, [v.aval for v in operands], "checkpoint")
        return found.program, [*found.consts, *operands], found.out_tree

    def run(*args: Any, **kwargs: Any) -> Any:
        program, operands, out_tree = staged(args, kwargs)
        key = ("bounded", slots, limit)
        bounded = program.memo.get(key)
        if bounded is None:
            bounded = program.memo[key] = _bounded(program, slots, limit)
        return pytree.unflatten(out_tree, evaluate(bounded, operands))

    return Bounded(run, lambda *args, **kw: _plans(staged(args, kw)[0], slots, limit), fun)


def _bounded(program: Program, slots: int | None, limit: int | None, mapped: bool = False) -> Program:
    """The program with its loops as loops that hold few states in reverse mode.

    Args:
        mapped: whether it is run for one element after the other, whose states shall not be held together.
    """

    def run(inner: Program, args: Sequence[Any]) -> list[Any]:
        values: dict[Var, Any] = dict(zip(inner.invars, args, strict=True))
        for eqn in inner.eqns:
            operands = [v.value if isinstance(v, Literal) else values[v] for v in eqn.invars]
            params = eqn.params
            if eqn.primitive is jit_p:
                outs = run(params["program"].with_consts_as_literals(), operands)
            elif eqn.primitive is cond_p:
                branches = tuple([_bounded(b, slots, limit, mapped) for b in params["branches"]])
                outs = cond_p.bind(*operands, **{**params, "branches": branches})
            elif _is_bounded(eqn):
                outs = _loop(eqn, slots, limit).bind(operands)
            elif eqn.primitive is while_p:
                own = _while_slots(eqn, slots, limit)
                kept = OfChunk(own) if mapped else own
                outs = while_p.bind(*operands, **{**params, "slots": kept})
            elif eqn.primitive is scan_p:
                body = _bounded(params["program"], slots, limit, True)
                outs = scan_p.bind(*operands, **{**params, "program": body})
            else:
                out = eqn.primitive.bind(*operands, **params)
                outs = out if eqn.primitive.multiple_results else [out]
            values.update(zip(eqn.outvars, outs, strict=True))
        return [v.value if isinstance(v, Literal) else values[v] for v in inner.outvars]

    found = stage(lambda *args: run(program, args), program.in_avals, name=program.name, purpose="checkpoint")
    return found.with_consts_as_literals()


def _is_bounded(eqn: Equation) -> bool:
    """Whether it is a scan that has a state."""
    return eqn.primitive is scan_p and eqn.params["num_carry"] > 0


def _loop(eqn: Equation, slots: int | None, limit: int | None) -> Loop:
    params = eqn.params
    program, length, carries = params["program"], params["length"], params["num_carry"]
    kept = _slots_for("scan", program.out_avals[:carries], slots, limit, length)
    return Loop(program, params["num_consts"], carries, length, params["reverse"], kept)


def _while_slots(eqn: Equation, slots: int | None, limit: int | None) -> int:
    own = eqn.params["slots"]
    own = own.slots if isinstance(own, OfChunk) else own
    return own or _slots_for("while_loop", eqn.params["body_program"].out_avals, slots, limit, None)


def _plans(program: Program, slots: int | None, limit: int | None) -> list[LoopPlan]:
    found: list[LoopPlan] = []
    for eqn in program.eqns:
        if eqn.primitive is jit_p:
            found += _plans(eqn.params["program"], slots, limit)
        elif eqn.primitive is cond_p:
            for branch in eqn.params["branches"]:
                found += _plans(branch, slots, limit)
        elif _is_bounded(eqn):
            loop = _loop(eqn, slots, limit)
            size = _bytes(loop.program.out_avals[: loop.num_carry])
            found.append(LoopPlan("scan", eqn.location, loop.length, loop.slots, size))
        elif eqn.primitive is while_p:
            own = _while_slots(eqn, slots, limit)
            size = _bytes(eqn.params["body_program"].out_avals)
            found.append(LoopPlan("while", eqn.location, None, own, size))
        elif eqn.primitive is scan_p:
            found += _plans(eqn.params["program"], slots, limit)
    return found


# Chains -------------------------------------------------------------------------------------------------


def _chain(
    functions: Any,
    slots: int | None,
    limit: int | None,
    checkpoint: Callable[[Callable[..., Any]], Callable[..., Any]],
) -> Bounded:
    try:
        chain = list(functions)
    except TypeError:
        chain = [functions]
    wrong = next((f for f in chain if not callable(f)), None)
    if not chain or wrong is not None:
        raise TypeError(
            "checkpoint expects a function, or a sequence of functions to be applied one after another, got "
            + (f"{wrong!r} of type {type(wrong).__name__}" if chain else "an empty sequence")
        )

    def planned(x: Any) -> LoopPlan:
        leaves, tree = pytree.flatten(x)
        avals = [a.aval for a in to_arrays(leaves, tree, "checkpoint of a chain")]
        kept = _slots_for("chain", avals, slots, limit, len(chain))
        return LoopPlan("chain", None, len(chain), kept, _bytes(avals))

    def run(start: int, stop: int, free: int, x: Any) -> Any:
        if stop - start == 1:
            return chain[start](x)
        m = start + (first_part(stop - start, free) if free > 1 else stop - start - 1)
        x = checkpoint(functools.partial(run, start, m, free))(x)
        return run(m, stop, max(free - 1, 1), x)

    return Bounded(lambda x: run(0, len(chain), planned(x).slots, x), lambda x: [planned(x)], chain[0])


__all__ = ["Bounded", "LoopPlan", "Plan", "checkpoint_bounded", "parsed_memory"]
