"""Programs without calls, and without equations that compute what is known already.

The programs of `jit` and of functions with custom rules are written out. Of equations with the same
primitive, operands and parameters the first one remains: `mean` and `var` of an array need its sum once. What
is computed again to save memory (`checkpoint`, loops in reverse) has no part in that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.array import ConcreteArray
from ...core.program import Equation, Literal, Program, Var

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
"""The parameter that holds the program of a call."""

_DIRECT = frozenset(("jit", "custom_jvp_call", "custom_vjp_call", "custom_vmap_call", "linear_solve", "root"))
"""Calls whose programs might as well stand where the call is."""

_MOVES = frozenset(
    ("broadcast_in_dim", "concatenate", "pad", "reshape", "rev", "slice", "split", "transpose")
)
"""What only moves elements. It costs least where it is used, so it is repeated there."""

_INEXACT = frozenset((float, complex))


class _Known:
    """The equations that need not be repeated."""

    def __init__(self) -> None:
        self._first: dict[Any, Equation] = {}  # by what they compute
        self._same: dict[Any, Var] = {}  # for results of repeated moves, those of the first one

    def first(self, eqn: Equation) -> Equation:
        """The equation to use instead of this one, or this one itself, which is known from now on."""
        primitive, params, same = eqn.primitive, eqn.params, self._same
        if primitive.call_like or primitive.effectful:
            return eqn
        atoms = [_constant(atom) if type(atom) is Literal else same.get(atom, atom) for atom in eqn.invars]
        try:
            first = self._first.setdefault((primitive, *atoms, *params.items()), eqn)
        except TypeError:  # a parameter without a hash, such as an array
            return eqn
        if first is eqn:
            return eqn
        if not _INEXACT.isdisjoint(map(type, params.values())) and repr(first.params) != repr(params):
            return eqn  # 0.0 equals -0.0
        if primitive.name not in _MOVES:
            return first
        same.update(zip(eqn.outvars, first.outvars, strict=True))
        return eqn


def inline_calls(program: Program) -> Program:
    """The program with all calls replaced by what they call, also in the bodies of its loops and branches."""
    found: Program | None = program.memo.get("without calls")
    if found is None:
        found = program.memo["without calls"] = _without_calls(program)
    return found


def _without_calls(program: Program) -> Program:
    eqns: list[Equation] = []
    value: dict[Any, Any] = {}
    _inline(program, value, eqns, _Known(), once=True)
    if len(eqns) == len(program.eqns) and all(
        new is old for new, old in zip(eqns, program.eqns, strict=True)
    ):
        return program
    outvars = [value.get(v, v) for v in program.outvars]
    return Program(program.invars, outvars, eqns, program.constvars, program.consts, program.name)


def _inline(
    program: Program, value: dict[Any, Any], eqns: list[Equation], known: _Known | None, once: bool = False
) -> None:
    """Append the program's equations.

    Args:
        value: what stands for the program's variables in the result; to begin with, for its inputs.
        known: the equations of the result that need not be repeated; None: all that follow shall be.
        once: whether the program is met only here, so that its variables can stay what they are.
    """
    known_values = value.keys()
    for eqn in program.eqns:
        primitive, invars = eqn.primitive, eqn.invars
        stay = known_values.isdisjoint(invars)
        operands = invars if stay else [value.get(v, v) for v in invars]
        key = CALLS.get(primitive.name)
        if key is not None:
            called: Program = eqn.params[key].with_consts_as_literals()
            inner: dict[Any, Any] = dict(zip(called.invars, operands, strict=True))
            _inline(called, inner, eqns, _known_in(eqn, known))
            value.update([(v, inner.get(r, r)) for v, r in zip(eqn.outvars, called.outvars, strict=True)])
            continue
        params = _inlined_params(eqn.params) if primitive.call_like else eqn.params
        new = eqn
        if not once or params is not eqn.params or not stay:
            results = eqn.outvars if once else [Var(v.aval) for v in eqn.outvars]
            value.update(zip(eqn.outvars, results, strict=True))
            new = Equation(primitive, operands, results, params, eqn.location)
        first = new if known is None else known.first(new)
        if first is new:
            eqns.append(new)
        else:
            value.update(zip(eqn.outvars, first.outvars, strict=True))


def _known_in(call: Equation, known: _Known | None) -> _Known | None:
    """What the equations of a call need not repeat."""
    if call.primitive.name == "checkpoint":
        return _Known() if call.params["prevent_cse"] else known
    return known if call.primitive.name in _DIRECT else None


def _inlined_params(params: dict[str, Any]) -> dict[str, Any]:
    inlined = {k: _inlined_param(v) for k, v in params.items()}
    return params if all(inlined[k] is v for k, v in params.items()) else inlined


def _inlined_param(value: Any) -> Any:
    if isinstance(value, Program):
        return inline_calls(value)
    if isinstance(value, tuple) and any(isinstance(v, Program) for v in value):
        inlined = tuple(map(_inlined_param, value))
        return value if all(new is old for new, old in zip(inlined, value, strict=True)) else inlined
    return value


def _constant(literal: Literal) -> Any:
    value = literal.value
    data = value._data if isinstance(value, ConcreteArray) else np.asarray(value)
    return literal.aval, data.tobytes()


__all__: Sequence[str] = ["inline_calls"]
