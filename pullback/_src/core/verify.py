"""The verifier: checks a program's invariants. Run between passes in debug mode and in tests."""

from __future__ import annotations

from typing import Any

from ..base.errors import VerificationError
from . import rules
from .program import Equation, Literal, Program, Var, equation_text, subprograms


def verify(program: Program) -> Program:
    """Return `program` if it is well formed.

    Every variable is defined once and before its use, every equation's results have the types that the
    primitive's shape rule gives, parameters are hashable, and sub-programs are well formed and closed.

    Raises:
        VerificationError: naming the equation that breaks an invariant.
    """
    defined: set[Var] = set()
    if len(program.constvars) != len(program.consts):
        raise VerificationError(f"{len(program.constvars)} constants declared, {len(program.consts)} given")
    for var in program.constvars + program.invars:
        if var in defined:
            raise VerificationError(f"the input {var} is listed twice")
        defined.add(var)
    for eqn in program.eqns:
        _verify_equation(eqn, defined)
    for atom in program.outvars:
        if isinstance(atom, Var) and atom not in defined:
            raise VerificationError(f"the output {atom} is not defined")
    return program


def _verify_equation(eqn: Equation, defined: set[Var]) -> None:
    def fail(reason: str) -> VerificationError:
        return VerificationError(f"{reason}\n    in {equation_text(eqn)}\n    {eqn.location or ''}")

    for atom in eqn.invars:
        if isinstance(atom, Literal):
            if atom.value.aval.shape != atom.aval.shape or atom.value.aval.dtype != atom.aval.dtype:
                raise fail(f"the literal {atom} has a value of another type")
        elif atom not in defined:
            raise fail(f"the variable {atom} is used before it is defined")
    for sub in subprograms(eqn.params):
        if sub.constvars:
            raise fail("a sub-program has constants of its own")
        verify(sub)
    try:
        hash(tuple(eqn.params.items()))
    except TypeError as error:
        raise fail(f"a parameter is not hashable ({error})") from None
    rule = rules.abstract.get(eqn.primitive)
    if rule is None:
        raise fail(f"the primitive {eqn.primitive} has no shape rule")
    try:
        expected: Any = rule(*[a.aval for a in eqn.invars], **eqn.params)
    except Exception as error:
        raise fail(f"the shape rule refuses the operands: {error}") from error
    expected = list(expected) if eqn.primitive.multiple_results else [expected]
    found = [v.aval for v in eqn.outvars]
    if [e.strip_weak_type() for e in expected] != [f.strip_weak_type() for f in found]:
        raise fail(f"the shape rule gives {expected}, the equation says {found}")
    for var in eqn.outvars:
        if var in defined:
            raise fail(f"the variable {var} is defined twice")
        defined.add(var)
