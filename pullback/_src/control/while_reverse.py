"""Linearization of `while_loop`: its first run keeps states, and its tangents are those of a counted loop.

`loop_record` is the loop that also gives the number of its turns and the states that reverse mode may begin
with (`online.py`). They are a cache, without tangents: `counted.py` derives the tangents from the operands.
So forward mode of this loop is a loop that keeps the same states and carries tangents along.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..core import rules
from ..core.aval import ShapedArray, Zero
from ..core.evaluate import evaluate
from ..core.primitive import Primitive
from ..core.program import Program
from ..core.staging import stage
from ..ops.arithmetic import add_p
from ..ops.empty import empty
from ..ops.iota import iota_p
from ..ops.structural import instantiate, zeros
from ..transforms.batch import Axis, to_dim
from ..transforms.linearize import LinearizeTrace
from ..transforms.simplify import eliminate_dead_code
from .chunks import OfChunk
from .common import Mask, chosen, nonzero_of, spread
from .counted import COUNT, INT, Loop, abstract_call, evaluate_call, integer, loop_while, tangents_of
from .online import Links, first_links, keep, summary
from .while_rules import (
    batched_while,
    bind_while,
    chunk_of_loop,
    jvp_programs,
    split_operands,
    tangent_mask,
    while_p,
)

loop_record_p = Primitive("loop_record", multiple_results=True, call_like=True)

MEMORY = 64 << 20
"""Bytes that the states of a loop may take in reverse mode unless its user says how many there may be."""
FEW, MANY = 8, 256
TOLD = 4  # results of a recorded loop before the states


def default_slots(carry: Sequence[ShapedArray]) -> int:
    """As many states as fit into `MEMORY`, within limits (256 allow 33,000 turns that run thrice at most)."""
    size = sum(math.prod(a.shape) * a.dtype.itemsize for a in carry)
    return max(FEW, min(MANY, MEMORY // max(size, 1)))


class Record(NamedTuple):
    """A loop whose first run keeps states: its operands are those of `while`.

    Its results: the number of turns; how many states are kept, the slots in the order of their steps, the
    step of each slot's state (as `counted.Loop` takes them); the states of the carries in `kept`; the carry.
    """

    cond_program: Program
    body_program: Program
    cond_nconsts: int
    body_nconsts: int
    kept: Mask
    slots: int

    def bind(self, operands: Sequence[Any]) -> list[Any]:
        memo = self.body_program.memo
        key = ("record", self.cond_program, *self[2:])
        program = memo.get(key)
        if program is None:
            avals = [*self.cond_program.in_avals[: self.cond_nconsts], *self.body_program.in_avals]
            recorded = stage(lambda *xs: self._run(xs), avals, name=self.body_program.name)
            program = memo[key] = eliminate_dead_code(recorded.with_consts_as_literals())
        return loop_record_p.bind(*operands, record=self, program=program)

    def _run(self, operands: Sequence[Any]) -> list[Any]:
        cond_consts, body_consts, carry = split_operands(operands, self.cond_nconsts, self.body_nconsts)
        count, last = len(Links._fields), len(carry)

        def step(turn: Any, *rest: Any) -> list[Any]:
            values = rest[len(rest) - last :]
            kept = chosen(values, self.kept)
            links, states = keep(turn, kept, Links(*rest[:count]), rest[count : len(rest) - last])
            new = evaluate(self.body_program, [*body_consts, *values])
            return [add_p.bind(turn, integer(1)), *links, *states, *new]

        states = [empty((self.slots, *c.aval.shape), c.aval.dtype) for c in chosen(carry, self.kept)]
        turns, *rest = loop_while(
            lambda *xs: evaluate(self.cond_program, [*cond_consts, *xs[len(xs) - last :]])[0],
            step,
            [integer(0), *first_links(self.slots), *states, *carry],
        )
        links = Links(*rest[:count])
        return [turns, *summary(links), *rest[count:]]

    def parts(self, results: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Of the results: what tells of the turns, the states, the carry."""
        first = TOLD + sum(self.kept)
        return list(results[:TOLD]), list(results[TOLD:first]), list(results[first:])

    def split(self, values: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """The condition's constants, the body's, the carry."""
        return split_operands(values, self.cond_nconsts, self.body_nconsts)


def _linearize(
    trace: LinearizeTrace,
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    cond_program: Program,
    body_program: Program,
    cond_nconsts: int,
    body_nconsts: int,
    slots: int | OfChunk | None,
) -> tuple[list[Any], list[Any]]:
    moving = nonzero_of(tangents[cond_nconsts:])
    mask = tangent_mask(body_program, body_nconsts, moving[:body_nconsts], moving[body_nconsts:])[
        body_nconsts:
    ]
    if not any(mask):
        cond_consts, body_consts, carry = split_operands(primals, cond_nconsts, body_nconsts)
        outs = bind_while(cond_program, cond_consts, body_program, body_consts, carry, slots)
        return outs, spread(mask, (), body_program.out_avals)
    if isinstance(slots, OfChunk):
        cond_consts, body_consts, carry = split_operands(primals, cond_nconsts, body_nconsts)
        test, body = _counting(cond_program, body_program, cond_nconsts, body_nconsts)
        turns, *outs = bind_while(test, cond_consts, body, body_consts, [integer(0), *carry], slots)
        number = slots.slots or default_slots(body_program.out_avals)
        loop = Loop(body_program, body_nconsts, len(carry), None, False, number)
        return outs, tangents_of(loop, [turns, *primals[cond_nconsts:]], tangents[cond_nconsts:])
    slots = slots or default_slots(body_program.out_avals)
    record = Record(cond_program, body_program, cond_nconsts, body_nconsts, (False,) * len(mask), slots)
    outs, out_tangents = _record_linearize(trace, primals, tangents, record=record)
    return outs[TOLD:], out_tangents[TOLD:]


def _record_linearize(
    trace: LinearizeTrace, primals: Sequence[Any], tangents: Sequence[Any], *, record: Record, **_: Any
) -> tuple[list[Any], list[Any]]:
    full_record = record._replace(kept=(True,) * len(record.kept))
    turns, states, carry = full_record.parts(full_record.bind(primals))
    loop = Loop(
        record.body_program, record.body_nconsts, len(carry), None, False, record.slots, recorded=True
    )
    operands = [*turns, *states, *primals[record.cond_nconsts :]]
    out_tangents = tangents_of(loop, operands, tangents[record.cond_nconsts :])
    outs = [*turns, *chosen(states, record.kept)]
    return [*outs, *carry], [*_without_tangents(outs), *out_tangents]


def _without_tangents(values: Sequence[Any]) -> list[Any]:
    return [Zero(v.aval.tangent) for v in values]


def _record_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, record: Record, **_: Any
) -> tuple[list[Any], list[Any]]:
    cond_consts, body_consts, carry = record.split(primals)
    moving = tangents[record.cond_nconsts :]
    nonzero = nonzero_of(moving)
    count = record.body_nconsts
    mask = tangent_mask(record.body_program, count, nonzero[:count], nonzero[count:])
    given = [instantiate(t) for t in chosen(moving, mask)]
    first = sum(mask[:count])
    test, body, extra = jvp_programs(
        record.cond_program, record.body_program, record.cond_nconsts, count, mask
    )
    further = record._replace(
        cond_program=test,
        body_program=body,
        body_nconsts=len(extra) + count + first,
        kept=(*record.kept, *[False] * (len(given) - first)),
    )
    outs = further.bind([*cond_consts, *extra, *body_consts, *given[:first], *carry, *given[first:]])
    turns, states, values = further.parts(outs)
    results = [*turns, *states]
    n = len(carry)
    out_tangents = spread(mask[count:], values[n:], record.body_program.out_avals)
    return [*results, *values[:n]], [*_without_tangents(results), *out_tangents]


def _record_batch(
    axis: Axis, values: Sequence[Any], dims: Sequence[int | None], *, record: Record, **_: Any
) -> tuple[list[Any], list[int | None]]:
    test, body, *counts = record[:4]
    if chunk_of_loop(axis, dims, test, body, *counts) is not None:
        return _record_chunks(axis, values, dims, record)
    found = batched_while(axis, values, dims, test, body, *counts)
    kept = record.kept
    by_lane = found.by_lane
    if by_lane:
        # Each lane counts its own turns.
        first = sum(counts)
        values = [*values[:first], integer(0), *values[first:]]
        dims = [*dims[:first], None, *dims[first:]]
        found = batched_while(axis, values, dims, *_counting(test, body, *counts), *counts).lanes()
        kept = (False, False, *kept)
    further = Record(
        found.test, found.body, len(found.test_operands), len(found.body_operands), kept, record.slots
    )
    outs = further.bind([*found.test_operands, *found.body_operands, *found.carry])
    turns, states, carry = further.parts(outs)
    state_dims = [1 if m else None for m in chosen(found.mask, kept)]
    carry_dims = [0 if m else None for m in found.mask]
    if not by_lane:
        return [*turns, *states, *carry], [*[None] * TOLD, *state_dims, *carry_dims]
    _, own, *carry = carry
    return [own, *turns[1:], *states, *carry], [0, *[None] * (TOLD - 1), *state_dims, *carry_dims[2:]]


def _record_chunks(
    axis: Axis, values: Sequence[Any], dims: Sequence[int | None], record: Record
) -> tuple[list[Any], list[int | None]]:
    """Lanes in chunks keep the initial state alone: the adjoint, in the same chunks, runs them once more."""
    counts = record.cond_nconsts, record.body_nconsts
    first = sum(counts)
    test, body = _counting(record.cond_program, record.body_program, *counts)
    outs, out_dims = rules.batch[while_p](
        axis,
        [*values[:first], integer(0), *values[first:]],
        [*dims[:first], None, *dims[first:]],
        cond_program=test,
        body_program=body,
        cond_nconsts=counts[0],
        body_nconsts=counts[1],
        slots=record.slots,
    )
    own, *carry = outs
    places = iota_p.bind(dtype=INT, shape=(record.slots,), dimension=0)
    told = [own, integer(1), places, zeros(places.aval)]
    states, state_dims = [], []
    for initial, d in chosen(list(zip(values[first:], dims[first:], strict=True)), record.kept):
        value = initial if d is None else to_dim(initial, d, 0, axis.size)
        states.append(to_dim(value, None, 0, record.slots))
        state_dims.append(None if d is None else 1)
    return [*told, *states, *carry], [0, *[None] * (TOLD - 1), *state_dims, *out_dims[1:]]


def _counting(
    cond_program: Program, body_program: Program, cond_nconsts: int, body_nconsts: int
) -> tuple[Program, Program]:
    """The loop with the number of turns as the first carry."""
    key = ("counting", cond_program, cond_nconsts, body_nconsts)
    found = body_program.memo.get(key)
    if found is None:
        tested = cond_program.in_avals
        test = stage(
            lambda *xs: evaluate(cond_program, [*xs[:cond_nconsts], *xs[cond_nconsts + 1 :]]),
            [*tested[:cond_nconsts], COUNT, *tested[cond_nconsts:]],
            name=cond_program.name,
        )
        avals = body_program.in_avals

        def step(*xs: Any) -> list[Any]:
            turn = add_p.bind(xs[body_nconsts], integer(1))
            return [turn, *evaluate(body_program, [*xs[:body_nconsts], *xs[body_nconsts + 1 :]])]

        body = stage(step, [*avals[:body_nconsts], COUNT, *avals[body_nconsts:]], name=body_program.name)
        found = body_program.memo[key] = test.with_consts_as_literals(), body.with_consts_as_literals()
    return found


rules.linearize[while_p] = _linearize
rules.not_transposable[while_p] = "linearization makes loop_tangent of it, which has a transpose"

rules.evaluate[loop_record_p] = evaluate_call
rules.abstract[loop_record_p] = abstract_call
rules.jvp[loop_record_p] = _record_jvp
rules.linearize[loop_record_p] = _record_linearize
rules.batch[loop_record_p] = _record_batch
rules.not_transposable[loop_record_p] = "linearization makes loop_tangent of it, which has a transpose"
