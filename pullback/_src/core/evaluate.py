"""Evaluation of programs under the current trace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..base.source import LOCATION
from .program import Literal, Program, Var


def last_uses(program: Program) -> list[tuple[Var, ...]]:
    """For each equation, the variables that nothing after it needs."""
    memo = program.memo.get("last_uses")
    if memo is None:
        seen = {v for v in program.outvars if isinstance(v, Var)}
        memo = []
        for eqn in reversed(program.eqns):
            dead = []
            for v in (*eqn.invars, *eqn.outvars):
                if isinstance(v, Var) and v not in seen:
                    seen.add(v)
                    dead.append(v)
            memo.append(tuple(dead))
        memo.reverse()
        program.memo["last_uses"] = memo
    return memo


def evaluate(program: Program, args: Sequence[Any], consts: Sequence[Any] | None = None) -> list[Any]:
    """Run `program` by binding each equation: under a transformation's trace this transforms it.

    `consts` replaces the program's own constants. Intermediate values are dropped after their last use.
    """
    values: dict[Var, Any] = dict(
        zip(program.constvars, program.consts if consts is None else consts, strict=True)
    )
    values.update(zip(program.invars, args, strict=True))
    token = LOCATION.set(None)
    try:
        for eqn, dead in zip(program.eqns, last_uses(program), strict=True):
            operands = [v.value if type(v) is Literal else values[v] for v in eqn.invars]
            LOCATION.set(eqn.location)
            out = eqn.primitive.bind(*operands, **eqn.params)
            if eqn.primitive.multiple_results:
                values.update(zip(eqn.outvars, out, strict=True))
            else:
                values[eqn.outvars[0]] = out
            for var in dead:
                del values[var]
    finally:
        LOCATION.reset(token)
    return [v.value if isinstance(v, Literal) else values[v] for v in program.outvars]
