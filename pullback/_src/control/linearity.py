"""Whether a program is linear in some of its inputs, as far as can be said without running it.

Each value gets two marks: whether it depends on these inputs, and whether it is zero where they are. A sum
of what depends or vanishes is linear, a product of two values that depend is not, and so on. Programs within
equations are walked with the marks of their operands: calls, the branches of a `cond` that does not ask for
the inputs, and loops, turn by turn until the marks of what they carry have been met before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..base import source
from ..base.errors import NotDifferentiableError
from ..core import rules
from ..core.array import ConcreteArray
from ..core.call import dependent
from ..core.program import Equation, Literal, Program
from ..core.specialize import is_plain
from ..transforms.simplify import eliminate_dead_code

__all__ = ["check_linear"]


class _Marks(NamedTuple):
    """What is known of a value.

    Attributes:
        depends: whether it may depend on the inputs.
        vanishes: whether it is zero where they are zero.
        mixed: whether some of its entries may depend on the inputs, and others not.
    """

    depends: bool
    vanishes: bool
    mixed: bool = False


_INPUT = _Marks(True, True)
_CONSTANT = _Marks(False, False)
_ANYTHING = _Marks(True, False, True)

_SUMS = ("add", "sub", "add_any")
_PRODUCTS = ("mul", "dot_general", "conv_general_dilated")
# What puts entries of several operands into one array: which operands.
_JOINS = {
    "concatenate": slice(None),
    "dynamic_update_slice": slice(2),
    "pad": slice(None),
    "scatter": slice(None, None, 2),
    "select_n": slice(1, None),
}


class _NotLinearError(Exception):
    """An equation that is not linear, and why."""

    def __init__(self, reason: str, eqn: Equation) -> None:
        self.reason = reason
        self.location = eqn.location


def check_linear(label: str, program: Program, consts: Sequence[Any], count: int) -> None:
    """Raise if a program is certainly not linear in its last `count` inputs.

    What only running could tell (loops and branches that depend on the inputs, users' rules) passes.

    Args:
        label: what the message begins with.
        program: its inputs are `consts`, then those in question.
        consts: values that do not depend on the inputs; terms that are zero are no terms.
        count: of the inputs in question.

    Raises:
        NotDifferentiableError: an operation that is not linear, or a term that does not depend on x.
    """
    if program.memo.get(("linear", count)):
        return
    inputs = [_INPUT] * count
    try:
        try:
            _walk(program, [*[_CONSTANT] * len(consts), *inputs])
            program.memo["linear", count] = True
        except _NotLinearError:
            zero = [_Marks(False, _is_zero(c)) for c in consts]
            if not any(z.vanishes for z in zero):
                raise
            _walk(program, [*zero, *inputs])
    except _NotLinearError as error:
        raise NotDifferentiableError(
            f"{label}: matvec must be linear, but it {error.reason}. Solve equations that are not linear "
            "with lax.custom_root or implicit.root; move constant terms to the right-hand side b.\n"
            f"{source.describe(error.location)}"
        ) from None


def _is_zero(value: Any) -> bool:
    return type(value) is ConcreteArray and not np.any(value._data)


def _walk(program: Program, inputs: Sequence[_Marks]) -> list[_Marks]:
    """The marks of a program's outputs."""
    key = ("marks", tuple(inputs))
    found: list[_Marks] | None = program.memo.get(key)
    if found is None:
        marks: dict[Any, _Marks] = dict(zip(program.invars, inputs, strict=True))

        def of(atom: Any) -> _Marks:
            if type(atom) is Literal:
                return _Marks(False, _is_zero(atom.value))
            return marks.get(atom, _CONSTANT)

        for eqn in eliminate_dead_code(program).eqns:
            operands = [of(v) for v in eqn.invars]
            marks.update(zip(eqn.outvars, _equation(eqn, operands), strict=True))
        found = program.memo[key] = [of(v) for v in program.outvars]
    return found


def _equation(eqn: Equation, operands: Sequence[_Marks]) -> Sequence[_Marks]:
    """The marks of an equation's results."""
    outs = len(eqn.outvars)
    if not any(m.depends for m in operands):
        return [_Marks(False, _stays_zero(eqn, operands))] * outs
    params = eqn.params
    match eqn.primitive.name:
        case "jit":
            return _walk(params["program"], operands)
        case "checkpoint":
            return _walk(params["jaxpr"], operands)
        case "cond":
            which, *rest = operands
            if which.depends:
                return [_ANYTHING] * outs
            return _joined([_walk(branch, rest) for branch in params["branches"]])
        case "scan":
            return _turns(
                params["program"], operands, params["num_consts"], params["num_carry"], params["length"]
            )
        case "loop":
            loop = params["loop"]
            if loop.counts and operands[0].depends:
                return [_ANYTHING] * outs
            return _turns(loop.program, operands[loop.counts :], loop.num_consts, loop.num_carry, loop.length)
        case "while":
            first, last = params["cond_nconsts"], params["body_nconsts"]
            if _asks(params["cond_program"], params["body_program"], operands, first, last):
                return [_ANYTHING] * outs
            return _turns(params["body_program"], operands[first:], last, outs, None)
    reason = _not_linear(eqn, operands)
    if reason:
        raise _NotLinearError(reason, eqn)
    joined = operands[_JOINS.get(eqn.primitive.name, slice(0))]
    mixed = any(m.mixed for m in operands) or len({m.depends for m in joined}) > 1
    return [_Marks(True, _stays_zero(eqn, operands), mixed)] * outs


def _turns(
    body: Program, operands: Sequence[_Marks], num_consts: int, num_carry: int, length: int | None
) -> list[_Marks]:
    """The marks of what a loop carries in the end, and of what it collects."""
    consts, carry = operands[:num_consts], list(operands[num_consts : num_consts + num_carry])
    slices = operands[num_consts + num_carry :]
    met = [carry]
    collected: list[list[_Marks]] = []
    while length is None or len(met) <= length:
        outs = _walk(body, [*consts, *carry, *slices])
        carry = outs[:num_carry]
        collected.append(outs[num_carry:])
        if carry in met:  # from here on, turns are like those before
            carry = _joined(met)
            break
        met.append(carry)
    if not collected:  # no turn: what is collected is empty
        return [*carry, *[_Marks(False, True)] * (len(body.outvars) - num_carry)]
    return [*carry, *_joined(collected)]


def _joined(cases: Sequence[Sequence[_Marks]]) -> list[_Marks]:
    """What is known of values if any of the cases may hold."""
    return [
        _Marks(
            any(m.depends for m in marks),
            all(m.vanishes for m in marks),
            any(m.mixed for m in marks) or len({m.depends for m in marks}) > 1,
        )
        for marks in zip(*cases, strict=True)
    ]


def _asks(cond: Program, body: Program, operands: Sequence[_Marks], first: int, last: int) -> bool:
    """Whether the number of turns of a `while` depends on the inputs."""
    depends = [m.depends for m in operands]
    carry = depends[first + last :]
    while True:
        after = dependent(body, (*depends[first : first + last], *carry))
        grown = [a or b for a, b in zip(carry, after, strict=True)]
        if grown == carry:
            return dependent(cond, (*depends[:first], *carry))[0]
        carry = grown


def _not_linear(eqn: Equation, operands: Sequence[_Marks]) -> str:
    """Why an operation on values that depend on x is not linear; empty if it is, or nobody knows."""
    primitive = eqn.primitive
    if primitive.name in _SUMS and not all(m.depends or m.vanishes for m in operands):
        return "adds a term that does not depend on its argument"
    depends = [m.depends for m in operands]
    mixed = any(m.mixed for m in operands)  # then the factors may be entries of which one is constant
    if (primitive.name in _PRODUCTS and all(depends)) or (primitive.name == "div" and depends[1]):
        return "" if mixed else f"applies {primitive.name!r} where the result is not linear in its argument"
    if is_plain(primitive) and not (primitive in rules.transpose or primitive in rules.decompose):
        return f"applies {primitive.name!r} to a value that depends on its argument"
    return ""


def _stays_zero(eqn: Equation, operands: Sequence[_Marks]) -> bool:
    """Whether the results are known to be zero, if these operands are."""
    vanishes = [m.vanishes for m in operands]
    if eqn.primitive.name in _PRODUCTS:
        return any(vanishes)
    if eqn.primitive.name == "div":
        return vanishes[0]
    return all(vanishes) and eqn.primitive in rules.transpose and is_plain(eqn.primitive)
