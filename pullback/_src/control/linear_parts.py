"""Linear parts of programs: their tangents, and transposes of what is linear."""

from __future__ import annotations

from typing import Any

from ..core.evaluate import evaluate
from ..core.program import Program
from ..core.staging import stage
from ..ops.structural import zeros
from ..transforms.linearize import linearize_program
from ..transforms.simplify import eliminate_dead_code
from ..transforms.transpose import transpose_program
from .common import Mask


def tangent_part(program: Program, mask: Mask) -> Program:
    """The program of (inputs, tangents of those in `mask`) -> tangents of all outputs.

    It is made by linearizing, not by pushing tangents along: values and tangents are in equations of their
    own, so that it can be transposed in the tangents (a loop that carries both could not).
    """
    key = ("tangent part", mask)
    found: Program | None = program.memo.get(key)
    if found is None:
        split = linearize_program(program, mask)
        avals = program.in_avals
        count = len(program.outvars)

        def run(*args: Any) -> list[Any]:
            values = args[: len(avals)]
            outs = evaluate(split.primal, values)
            residuals = split.residuals(values, outs[count:])
            rest = iter(evaluate(split.linear, [*residuals, *args[len(avals) :]]))
            return [
                next(rest) if nz else zeros(a.tangent)
                for a, nz in zip(program.out_avals, split.out_nonzero, strict=True)
            ]

        tangents = [a.tangent for a, moved in zip(avals, mask, strict=True) if moved]
        staged = stage(run, [*avals, *tangents], name=program.name).with_consts_as_literals()
        found = program.memo[key] = eliminate_dead_code(staged)
    return found


def transposed_part(program: Program, count: int) -> Program:
    """The transpose of a program in its last `count` inputs: (others, cotangents) -> cotangents.

    Raises:
        NotDifferentiableError: it is not linear in these.
    """
    key = ("transposed part", count)
    found: Program | None = program.memo.get(key)
    if found is None:
        avals = program.in_avals
        known = len(avals) - count
        linear = (False,) * known + (True,) * count
        back, nonzero = transpose_program(program, linear, (True,) * len(program.outvars))

        def run(*args: Any) -> list[Any]:
            rest = iter(evaluate(back, args))
            return [next(rest) if nz else zeros(a) for a, nz in zip(avals[known:], nonzero, strict=True)]

        cotangents = [a.tangent for a in program.out_avals]
        found = stage(run, [*avals[:known], *cotangents], name=program.name).with_consts_as_literals()
        program.memo[key] = found
    return found
