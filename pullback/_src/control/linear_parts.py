"""Linear parts of programs: their tangents, transposes, and whether they are linear as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base import source
from ..base.errors import NotDifferentiableError
from ..core import rules
from ..core.array import ConcreteArray
from ..core.evaluate import evaluate
from ..core.program import Equation, Literal, Program, Var
from ..core.specialize import is_plain
from ..core.staging import stage
from ..ops.structural import zeros
from ..transforms.jvp import jvp_program
from ..transforms.simplify import eliminate_dead_code, outputs_only
from ..transforms.transpose import transpose_program
from .common import Mask


def tangent_part(program: Program, mask: Mask) -> Program:
    """The program of (inputs, tangents of those in `mask`) -> tangents of all outputs."""
    key = ("tangent part", mask)
    found: Program | None = program.memo.get(key)
    if found is None:
        pushed, nonzero = jvp_program(program, mask)
        count = len(program.outvars)
        tangents = outputs_only(pushed, tuple(range(count, len(pushed.outvars))))

        def run(*args: Any) -> list[Any]:
            rest = iter(evaluate(tangents, args))
            return [
                next(rest) if nz else zeros(a.tangent)
                for a, nz in zip(program.out_avals, nonzero, strict=True)
            ]

        found = stage(run, pushed.in_avals, name=program.name).with_consts_as_literals()
        program.memo[key] = found
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


def check_linear(label: str, program: Program, count: int) -> None:
    """Raise if a program is certainly not linear in its last `count` inputs.

    What only running could tell (loops, users' rules) passes.

    Raises:
        NotDifferentiableError: an operation that is not linear, or a term that does not depend on x.
    """
    if program.memo.get(("linear", count)):
        return
    reached = set(program.invars[len(program.invars) - count :])
    zero = set(reached)
    for eqn in eliminate_dead_code(program).eqns:
        depends = [type(v) is Var and v in reached for v in eqn.invars]
        vanishes = [_is_zero(v, zero) for v in eqn.invars]
        if any(depends):
            reached.update(eqn.outvars)
            reason = _not_linear(eqn, depends, vanishes)
            if reason:
                raise NotDifferentiableError(
                    f"{label}: matvec must be linear, but it {reason}. Solve equations that are not linear "
                    "with lax.custom_root or implicit.root; move constant terms to the right-hand side b.\n"
                    f"{source.describe(eqn.location)}"
                )
        if _stays_zero(eqn, vanishes):
            zero.update(eqn.outvars)
    program.memo["linear", count] = True


_SUMS = ("add", "sub", "add_any")
_PRODUCTS = ("mul", "dot_general", "conv_general_dilated")


def _not_linear(eqn: Equation, depends: Sequence[bool], vanishes: Sequence[bool]) -> str:
    """Why an operation on values that depend on x is not linear; empty if it is, or nobody knows."""
    primitive = eqn.primitive
    if primitive.name in _SUMS and not all(map(max, depends, vanishes)):
        return "adds a term that does not depend on its argument"
    if (primitive.name in _PRODUCTS and all(depends)) or (primitive.name == "div" and depends[1]):
        return f"applies {primitive.name!r} where the result is not linear in its argument"
    if is_plain(primitive) and not (primitive in rules.transpose or primitive in rules.decompose):
        return f"applies {primitive.name!r} to a value that depends on its argument"
    return ""


def _is_zero(atom: Any, zero: set[Var]) -> bool:
    if type(atom) is Literal:
        value = atom.value
        return type(value) is ConcreteArray and not np.any(value._data)
    return atom in zero


def _stays_zero(eqn: Equation, vanishes: Sequence[bool]) -> bool:
    """Whether the results are known to be zero, if these operands are."""
    if eqn.primitive.name in _PRODUCTS:
        return any(vanishes)
    if eqn.primitive.name == "div":
        return vanishes[0]
    return all(vanishes) and eqn.primitive in rules.transpose and is_plain(eqn.primitive)
