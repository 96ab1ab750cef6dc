"""Programs without calls: the programs of `jit` and of functions with custom rules, written out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core.program import Equation, Literal, Program, Var, subprograms

# The parameter that holds the program of a call.
CALLS = {
    "jit": "program",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vmap_call": "call_jaxpr",
    "checkpoint": "jaxpr",
    **dict.fromkeys(("loop", "loop_record", "loop_tangent"), "program"),
    **dict.fromkeys(("loop_adjoint", "loop_adjoint_mapped", "loop_adjoint_tangent"), "program"),
    **dict.fromkeys(("linear_solve", "root"), "program"),
    "odeint": "call_jaxpr",
    "odeint_tangent": "call_jaxpr",
}


def inline_calls(program: Program) -> Program:
    """The program with all calls replaced by what they call, also in the bodies of its loops and branches."""
    found: Program | None = program.memo.get("without calls")
    if found is None:
        found = program.memo["without calls"] = _without_calls(program) if _has_calls(program) else program
    return found


def _has_calls(program: Program) -> bool:
    return any(e.primitive.name in CALLS or any(map(_has_calls, subprograms(e.params))) for e in program.eqns)


def _without_calls(program: Program) -> Program:
    eqns: list[Equation] = []
    value: dict[Var, Any] = {}
    _inline(program, value, eqns)
    outvars = [_read(value, v) for v in program.outvars]
    return Program(program.invars, outvars, eqns, program.constvars, program.consts, program.name)


def _inlined_param(value: Any) -> Any:
    if isinstance(value, Program):
        return inline_calls(value)
    if isinstance(value, tuple) and any(isinstance(v, Program) for v in value):
        return tuple(map(_inlined_param, value))
    return value


def _read(value: dict[Var, Any], atom: Any) -> Any:
    return atom if isinstance(atom, Literal) else value.get(atom, atom)


def _inline(program: Program, value: dict[Var, Any], eqns: list[Equation]) -> None:
    """Append the program's equations; `value` maps its variables to those of the result."""
    for eqn in program.eqns:
        operands = [_read(value, v) for v in eqn.invars]
        key = CALLS.get(eqn.primitive.name)
        if key is None:
            results = [Var(v.aval) for v in eqn.outvars]
            value.update(zip(eqn.outvars, results, strict=True))
            params = {k: _inlined_param(v) for k, v in eqn.params.items()}
            eqns.append(Equation(eqn.primitive, operands, results, params, eqn.location))
            continue
        called: Program = eqn.params[key]
        called = called.with_consts_as_literals()
        inner: dict[Var, Any] = dict(zip(called.invars, operands, strict=True))
        _inline(called, inner, eqns)
        for var, result in zip(eqn.outvars, called.outvars, strict=True):
            value[var] = _read(inner, result)


__all__: Sequence[str] = ["inline_calls"]
