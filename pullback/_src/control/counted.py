"""Loops over a number of turns whose reverse mode holds a bounded number of states.

`while_loop`, once its turns have been counted, and `scan` under `checkpoint(slots=...)` are differentiated as
such loops. Four primitives are closed under all transformations. With F the loop, u its operands, J the
derivative of F and dots for tangents:

    loop                   F(u)
    loop_tangent           J(u) du                               linear in du
    loop_adjoint           J(u)' w                               linear in w
    loop_adjoint_tangent   the derivative of J(u)' w along (du, dw)  linear in (du, dw)

The derivative of a loop is the loop of the body's derivative, F1(u, du) = (F(u), J(u) du). The derivative of
an adjoint is never taken through the machinery that reverses a loop (`loop_adjoint`): as second derivatives
are symmetric, it is the u-part of the adjoint of F1 for the cotangents (dw, w). So reverse mode of reverse
mode holds as few states as reverse mode, of twice the size.

Each equation carries the program that computes it, which is what engines see.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core import rules
from ..core.array import wrap
from ..core.aval import ShapedArray, shaped_array
from ..core.call import executable
from ..core.evaluate import evaluate
from ..core.primitive import Primitive
from ..core.program import Program
from ..core.staging import stage
from ..ops.arithmetic import add_p, max_p
from ..ops.compare import lt_p, select_n_p
from ..ops.reduction import reduce_max_p
from ..ops.structural import instantiate
from ..transforms.batch import Axis
from ..transforms.jvp import jvp
from ..transforms.linearize import LinearizeTrace
from ..transforms.simplify import eliminate_dead_code
from .chunks import chunk_of_lanes, lanes_in_chunks
from .common import Mask, chosen, linearize_inline, nonzero_of, spread
from .scan_rules import Pushed, batched_loop, pushed_body, scan_p, stacked_aval
from .while_rules import bind_while

INT = np.dtype(np.int64)
COUNT = shaped_array((), INT)

loop_p = Primitive("loop", multiple_results=True, call_like=True)
loop_tangent_p = Primitive("loop_tangent", multiple_results=True, call_like=True)


def integer(value: int) -> Any:
    return wrap(np.asarray(value, INT))


class Loop(NamedTuple):
    """A body, applied a number of times: (constants, carry, slices) -> (carry, outputs), as that of a scan.

    Attributes:
        length: the number of turns. None: it is the first operand, and there are no slices or outputs.
        reverse: whether the slices are taken from the last to the first.
        slots: how many states of the carry reverse mode holds.
        recorded: whether the operands tell of states that were kept while the loop ran: after the number of
            turns, how many there are, the slots in the order of their steps, the step of each slot's state,
            and for each carry its values. These are a cache. Nothing is differentiated by them.
    """

    program: Program
    num_consts: int
    num_carry: int
    length: int | None
    reverse: bool
    slots: int
    recorded: bool = False

    @property
    def counts(self) -> int:
        """How many operands come before those of the body."""
        return (1 if self.length is None else 0) + (3 + self.num_carry if self.recorded else 0)

    @property
    def in_avals(self) -> list[ShapedArray]:
        first = self.num_consts + self.num_carry
        avals = self.program.in_avals
        head = [COUNT] if self.length is None else []
        if self.recorded:
            head += [COUNT, *[shaped_array((self.slots,), INT)] * 2]
            head += [states_aval(a, self.slots) for a in avals[self.num_consts : first]]
        slices = [stacked_aval(a, self.length or 0) for a in avals[first:]]
        return head + avals[:first] + slices

    @property
    def out_avals(self) -> list[ShapedArray]:
        avals = self.program.out_avals
        return avals[: self.num_carry] + [stacked_aval(a, self.length or 0) for a in avals[self.num_carry :]]

    def run(self, operands: Sequence[Any]) -> list[Any]:
        """The results, with operations that engines know."""
        if self.length is not None:
            return scan_p.bind(
                *operands,
                program=self.program,
                length=self.length,
                reverse=self.reverse,
                unroll=1,
                num_consts=self.num_consts,
                num_carry=self.num_carry,
            )
        n, rest = operands[0], operands[self.counts :]
        consts, carry = rest[: self.num_consts], rest[self.num_consts :]
        return loop_while(
            lambda i, *_: lt_p.bind(i, n),
            lambda i, *c: [add_p.bind(i, integer(1)), *evaluate(self.program, [*consts, *c])],
            [integer(0), *carry],
        )[1:]

    def bind(self, operands: Sequence[Any]) -> list[Any]:
        """The results, by the primitive."""
        program = self.derived("run", lambda *xs: self.run(xs), self.in_avals)
        return loop_p.bind(*operands, loop=self, program=program)

    def unrecorded(self, values: Sequence[Any]) -> tuple[Loop, list[Any]]:
        """The loop without kept states, and those of `values`, one for each operand, that are left."""
        if not self.recorded:
            return self, list(values)
        return self._replace(recorded=False), [values[0], *values[self.counts :]]

    def pushed(self, nonzero: Mask) -> tuple[Loop, Pushed]:
        """The loop of values and tangents; `nonzero` says which of the body's operands have tangents."""
        pushed = pushed_body(self.program, nonzero, self.num_consts, self.num_carry)
        loop = self._replace(
            program=pushed.program,
            num_consts=pushed.num_consts,
            num_carry=pushed.num_carry,
            recorded=False,
        )
        return loop, pushed

    def derived(
        self, key: Any, function: Callable[..., Sequence[Any]], avals: Sequence[ShapedArray]
    ) -> Program:
        """The program of `function`, recorded once for all equal loops."""
        memo = self.program.memo
        place = ("loop", *self[1:], key)
        found: Program | None = memo.get(place)
        if found is None:
            recorded = stage(function, avals, name=self.program.name)
            found = memo[place] = eliminate_dead_code(recorded.with_consts_as_literals())
        return found


def states_aval(aval: ShapedArray, slots: int) -> ShapedArray:
    """The type of as many states."""
    return shaped_array((slots, *aval.shape), aval.dtype)


def checked_slots(what: str, slots: Any) -> int | None:
    """A number of states, checked; None stays.

    Raises:
        TypeError: it is no integer.
        ValueError: it is less than 1.
    """
    if slots is None:
        return None
    try:
        number = operator.index(slots)
    except TypeError:
        raise TypeError(
            f"{what} must be an integer, the number of states that reverse mode may hold, got {slots!r} of "
            f"type {type(slots).__name__}"
        ) from None
    if number < 1:
        raise ValueError(f"{what} must be at least 1 (the first state is always kept), got {number}")
    return number


def loop_while(
    test: Callable[..., Any], step: Callable[..., Sequence[Any]], carry: Sequence[Any]
) -> list[Any]:
    """A `while` of functions of flat values, which may capture others."""
    avals = [c.aval for c in carry]
    condition = stage(lambda *c: [test(*c)], avals, name="while")
    body = stage(step, avals, name="while")
    return bind_while(
        condition.with_consts_as_inputs(),
        condition.consts,
        eliminate_dead_code(body.with_consts_as_inputs()),
        body.consts,
        carry,
    )


def evaluate_call(*args: Any, program: Program, **_: Any) -> list[Any]:
    return executable(program)(args)


def abstract_call(*avals: ShapedArray, program: Program, **_: Any) -> list[ShapedArray]:
    return program.out_avals


def differentiate_as(primitive: Primitive, again: Callable[..., list[Any]]) -> None:
    """Differentiate and batch a primitive as the function that computes the same with other primitives."""
    rules.decompose[primitive] = again
    rules.jvp[primitive] = lambda primals, tangents, **params: jvp(
        lambda *xs: again(*xs, **params), primals, tangents
    )
    rules.linearize[primitive] = lambda trace, primals, tangents, **params: linearize_inline(
        trace, lambda *xs: again(*xs, **params), primals, tangents
    )


# The loop -----------------------------------------------------------------------------------------------


def _jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, loop: Loop, **_: Any
) -> tuple[list[Any], list[Any]]:
    c = loop.counts
    further, pushed = loop.pushed(nonzero_of(tangents[c:]))
    moving = [instantiate(t) for t in chosen(tangents[c:], pushed.mask)]
    outs = further.bind(
        [*primals[:c], *pushed.operands(primals[c:], moving, loop.num_consts, loop.num_carry)]
    )
    values, out_tangents = pushed.results(outs, loop.num_carry)
    return values, spread(pushed.out_nonzero, out_tangents, loop.out_avals)


def _linearize(
    trace: LinearizeTrace, primals: Sequence[Any], tangents: Sequence[Any], *, loop: Loop, program: Program
) -> tuple[list[Any], list[Any]]:
    outs = loop_p.bind(*primals, loop=loop, program=program)
    return outs, tangents_of(loop, primals, tangents[loop.counts :])


def tangents_of(loop: Loop, primals: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
    """The tangents of a loop's results as one equation, linear in those of the body's operands."""
    _, pushed = loop.pushed(nonzero_of(tangents))
    if not any(pushed.out_nonzero):
        return spread(pushed.out_nonzero, (), loop.out_avals)
    moving = [instantiate(t) for t in chosen(tangents, pushed.mask)]
    outs = bind_tangent(loop, pushed.mask, primals, moving)
    return spread(pushed.out_nonzero, outs, loop.out_avals)


def bind_tangent(loop: Loop, mask: Mask, primals: Sequence[Any], moving: Sequence[Any]) -> list[Any]:
    avals = [*loop.in_avals, *[a.tangent for a in chosen(loop.in_avals[loop.counts :], mask)]]
    program = loop.derived(("tangent", mask), lambda *xs: _tangent(loop, mask, xs, Loop.run), avals)
    return loop_tangent_p.bind(*primals, *moving, loop=loop, mask=mask, program=program)


def _tangent(
    loop: Loop, mask: Mask, args: Sequence[Any], run: Callable[[Loop, Sequence[Any]], list[Any]]
) -> list[Any]:
    loop, args = loop.unrecorded(args)
    c = loop.counts
    further, pushed = loop.pushed(mask)
    count = c + len(mask)
    operands = pushed.operands(args[c:count], args[count:], loop.num_consts, loop.num_carry)
    return pushed.results(run(further, [*args[:c], *operands]), loop.num_carry)[1]


def _batch(
    axis: Axis, values: Sequence[Any], dims: Sequence[int | None], *, loop: Loop, **rest: Any
) -> tuple[list[Any], list[int | None]]:
    if loop.length is None and dims[0] is not None:
        size = chunk_of_lanes(axis, loop.program.out_avals, (loop.program,))
        if size is not None:
            params = {"loop": loop, **rest}
            return lanes_in_chunks(loop_p, axis, values, dims, size, params, loop.program.memo)
        loop, values, dims = with_common_count(loop, values, dims)
        outs, out_dims = _batch(axis, values, dims, loop=loop)
        return outs[1:], out_dims[1:]
    c = loop.counts
    batched = batched_loop(axis, values[c:], dims[c:], loop.program, loop.num_consts, loop.num_carry)
    further = loop._replace(program=batched.program, num_consts=batched.num_consts)
    return further.bind([*values[:c], *batched.operands]), batched.out_dims


def with_common_count(
    loop: Loop, values: Sequence[Any], dims: Sequence[int | None]
) -> tuple[Loop, list[Any], list[int | None]]:
    """Lanes of different numbers of turns as lanes of as many turns as the longest has.

    The new loop's constants begin with the lane's own number, its carry with the turn; a lane that is done
    keeps its values. The states that were kept, if there are any, are of such lanes already.
    """
    n, *kept = values[: loop.counts]
    _, *kept_dims = dims[: loop.counts]
    rest, rest_dims = values[loop.counts :], dims[loop.counts :]
    if loop.recorded:
        # The turn of a state is its step.
        kept, kept_dims = [*kept[:3], kept[2], *kept[3:]], [*kept_dims[:3], kept_dims[2], *kept_dims[3:]]
    count = loop.num_consts

    def body(own: Any, *args: Any) -> list[Any]:
        consts, turn, carry = args[:count], args[count], args[count + 1 :]
        active = lt_p.bind(turn, own)
        new = evaluate(loop.program, [*consts, *carry])
        kept = [select_n_p.bind(active, o, x) for o, x in zip(carry, new, strict=True)]
        return [add_p.bind(turn, integer(1)), *kept]

    avals = loop.program.in_avals
    program = loop.derived("lanes", body, [COUNT, *avals[:count], COUNT, *avals[count:]])
    # Of no lanes the greatest number is the least integer.
    longest = max_p.bind(reduce_max_p.bind(n, axes=tuple(range(n.aval.ndim))), integer(0))
    lanes = loop._replace(program=program, num_consts=count + 1, num_carry=loop.num_carry + 1)
    return (
        lanes,
        [longest, *kept, n, *rest[:count], integer(0), *rest[count:]],
        [None, *kept_dims, dims[0], *rest_dims[:count], None, *rest_dims[count:]],
    )


# The tangents -------------------------------------------------------------------------------------------


def _again(*args: Any, loop: Loop, mask: Mask, **_: Any) -> list[Any]:
    return _tangent(loop, mask, args, Loop.bind)


rules.evaluate[loop_p] = evaluate_call
rules.abstract[loop_p] = abstract_call
rules.jvp[loop_p] = _jvp
rules.linearize[loop_p] = _linearize
rules.batch[loop_p] = _batch
rules.not_transposable[loop_p] = "linearization makes loop_tangent of it, which has a transpose"

rules.evaluate[loop_tangent_p] = evaluate_call
rules.abstract[loop_tangent_p] = abstract_call
differentiate_as(loop_tangent_p, _again)
