"""Linear programs that act entry by entry: their matrices are diagonal (entries in row-major order).

A chain of elementwise operations has a derivative x' -> c * x'. Composing the factors on the way (they are
residuals: known, and not repeated for each direction) gives c at the cost of one pass, where pushing a
basis of n directions through the chain costs n. This is Jacobian pre-accumulation (Griewank & Walther,
"Evaluating Derivatives", chapter 10) for diagonal local Jacobians.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.call import call
from ..core.program import Equation, Literal, Program, Var
from ..core.staging import stage
from ..ops.arithmetic import add_p, div_p, mul_p, sub_p
from ..ops.complex import neg_p
from ..ops.structural import add_any_p, broadcast_to, full, reshape_p

_SUMS = {add_any_p, add_p, sub_p}
_PRODUCTS = {mul_p, div_p}


def diagonal_outputs(program: Program) -> tuple[int | None, ...]:
    """For each output of a linear program (constants open), the input of which it is an entrywise multiple.

    None for outputs that are not.
    """
    found = program.memo.get("diagonal outputs")
    if found is None:
        source = _sources(program)
        found = program.memo["diagonal outputs"] = tuple(
            source.get(v) if isinstance(v, Var) else None for v in program.outvars
        )
    return found


def _sources(program: Program) -> dict[Var, int]:
    """Which variables are entrywise multiples of a single input, and of which."""
    source = {v: i for i, v in enumerate(program.invars)}
    for eqn in program.eqns:
        linear = [v for v in eqn.invars if isinstance(v, Var) and v in source]
        if not linear or len(eqn.outvars) != 1:
            continue
        out = eqn.outvars[0]
        if any(v.aval.size != out.aval.size or v.aval.dtype != out.aval.dtype for v in linear):
            continue
        if not _is_entrywise(eqn, linear):
            continue
        if (
            len({source[v] for v in linear}) == 1
            and program.invars[source[linear[0]]].aval.dtype == out.aval.dtype
        ):
            source[out] = source[linear[0]]
    return source


def _is_entrywise(eqn: Equation, linear: Sequence[Var]) -> bool:
    if eqn.primitive is reshape_p:
        return True
    if any(v.aval.shape != eqn.outvars[0].aval.shape for v in linear):
        return False
    if eqn.primitive in _SUMS:
        return len(linear) == 2
    if eqn.primitive is div_p:
        return len(linear) == 1 and eqn.invars[0] is linear[0]
    if eqn.primitive is mul_p:
        return len(linear) == 1
    return eqn.primitive is neg_p


def diagonal_coefficients(program: Program, residuals: Sequence[Any]) -> list[Any]:
    """The factors c of the outputs that `diagonal_outputs` names, in order."""
    factors = program.memo.get("diagonal coefficients")
    if factors is None:
        avals = [v.aval for v in program.constvars]
        factors = stage(lambda *known: _coefficients(program, known), avals, name="coefficients")
        program.memo["diagonal coefficients"] = factors
    return call(factors, residuals)


def _coefficients(program: Program, residuals: Sequence[Any]) -> list[Any]:
    source = _sources(program)
    known = dict(zip(program.constvars, residuals, strict=True))
    factor: dict[Var, Any] = {v: full((), 1, v.aval.dtype) for v in program.invars}
    for eqn in program.eqns:
        (out, *_) = eqn.outvars
        if out not in source:
            continue
        operands = [_operand(v, known, factor) for v in eqn.invars]
        # Factors may be smaller than what they multiply.
        if eqn.primitive is reshape_p and operands[0].aval.ndim == 0:
            factor[out] = operands[0]
            continue
        if eqn.primitive is reshape_p or (
            eqn.primitive in _SUMS and operands[0].aval.shape != operands[1].aval.shape
        ):
            operands = [broadcast_to(o, v.aval.shape) for o, v in zip(operands, eqn.invars, strict=True)]
        factor[out] = eqn.primitive.bind(*operands, **eqn.params)
    wanted = [v for v, s in zip(program.outvars, diagonal_outputs(program), strict=True) if s is not None]
    return [broadcast_to(factor[v], v.aval.shape) for v in wanted]  # type: ignore[index]  # variables


def _operand(atom: Any, known: dict[Var, Any], factor: dict[Var, Any]) -> Any:
    if isinstance(atom, Literal):
        return atom.value
    return known[atom] if atom in known else factor[atom]
