"""Linearization of `while_loop`: its turns are counted, and its tangents are those of a counted loop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..core import rules
from ..core.aval import ShapedArray
from ..core.evaluate import evaluate
from ..core.program import Program
from ..core.staging import stage
from ..ops.arithmetic import add_p
from ..transforms.linearize import LinearizeTrace
from .common import nonzero_of, spread
from .counted import COUNT, Loop, integer, tangents_of
from .while_rules import bind_while, split_operands, tangent_mask, while_p

MEMORY = 64 << 20
"""Bytes that the states of a loop may take in reverse mode unless its user says how many there may be."""
FEW, MANY = 8, 256


def default_slots(carry: Sequence[ShapedArray]) -> int:
    """As many states as fit into `MEMORY`, within limits (256 allow 33,000 turns that run thrice at most)."""
    size = sum(math.prod(a.shape) * a.dtype.itemsize for a in carry)
    return max(FEW, min(MANY, MEMORY // max(size, 1)))


def _linearize(
    trace: LinearizeTrace,
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    cond_program: Program,
    body_program: Program,
    cond_nconsts: int,
    body_nconsts: int,
    slots: int | None,
) -> tuple[list[Any], list[Any]]:
    cond_consts, body_consts, carry = split_operands(primals, cond_nconsts, body_nconsts)
    moving = tangents[cond_nconsts:]
    nonzero = nonzero_of(moving)
    mask = tangent_mask(body_program, body_nconsts, nonzero[:body_nconsts], nonzero[body_nconsts:])
    if not any(mask[body_nconsts:]):
        outs = bind_while(cond_program, cond_consts, body_program, body_consts, carry, slots)
        return outs, spread(mask[body_nconsts:], (), body_program.out_avals)
    test, body = _counting(cond_program, body_program, cond_nconsts, body_nconsts)
    n, *outs = bind_while(test, cond_consts, body, body_consts, [integer(0), *carry])
    states = default_slots(body_program.out_avals) if slots is None else slots
    loop = Loop(body_program, body_nconsts, len(carry), None, False, states)
    return outs, tangents_of(loop, [n, *body_consts, *carry], moving)


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
