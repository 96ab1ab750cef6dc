"""Simplification of programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..core.program import Atom, Equation, Program, subprograms


def eliminate_dead_code(
    program: Program,
    used_outputs: Sequence[bool] | None = None,
    *,
    keep_effects: bool = True,
    reduced: Callable[[Equation, Sequence[bool]], Equation] | None = None,
) -> Program:
    """The program without the equations that no (used) output needs; effects are kept (by default).

    Inputs stay as they are, so that callers need not change. `reduced` may replace an equation with programs
    in it by one that computes less; it is told which of the results are needed.
    """
    outvars = program.outvars
    if used_outputs is not None:
        outvars = tuple(v for v, used in zip(outvars, used_outputs, strict=True) if used)
    needed: set[Atom] = set(outvars)
    kept = []
    same = len(outvars) == len(program.outvars)
    for eqn in reversed(program.eqns):
        if needed.isdisjoint(eqn.outvars) and not (keep_effects and _effectful(eqn)):
            same = False
            continue
        if reduced is not None and eqn.primitive.call_like:
            less = reduced(eqn, [v in needed for v in eqn.outvars])
            same, eqn = same and less is eqn, less
        kept.append(eqn)
        needed.update(eqn.invars)
    if same:
        return program
    kept.reverse()
    return Program(program.invars, outvars, kept, program.constvars, program.consts, program.name)


def _effectful(eqn: Equation) -> bool:
    """Whether running an equation does more than computing its results."""
    primitive = eqn.primitive
    return primitive.effectful or (primitive.call_like and any(p.effectful for p in subprograms(eqn.params)))


def outputs_only(program: Program, outputs: tuple[int, ...]) -> Program:
    """The program with some of its outputs only, and without what only the others needed."""
    key = ("outputs", outputs)
    if key not in program.memo:
        used = [i in outputs for i in range(len(program.outvars))]
        program.memo[key] = eliminate_dead_code(program, used)
    return program.memo[key]
