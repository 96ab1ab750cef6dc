"""Linearization: the linear program of a function's derivative at a point.

`LinearizeTrace` runs the jvp rules with known primals (evaluated by the trace below) and tangents that
are recorded: the result is the function's value and a linear program whose constants are the residuals.
Run forward it is the pushforward, transposed it is the pullback.

The same trace under a staging trace splits a program into one that computes values and residuals and a
linear one (`linearize_program`); no other partial evaluation is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..core import rules
from ..core.aval import Zero
from ..core.evaluate import evaluate
from ..core.primitive import Primitive
from ..core.program import Program, Var
from ..core.staging import LinearTrace, StagingTrace
from ..core.trace import CURRENT, Trace
from .jvp import JVPTrace


class LinearizeTrace(JVPTrace):
    """Runs jvp rules with known primals and recorded tangents (in `linear`)."""

    __slots__ = ("linear",)

    name = "reverse-mode differentiation (grad, vjp, linearize)"

    def __init__(self, parent: Trace) -> None:
        linear = LinearTrace(parent)
        super().__init__(parent, linear)
        self.linear = linear

    def apply_rule(self, primitive: Primitive, primals: list[Any], tangents: list[Any], params: dict[str, Any]) -> Any:
        rule = rules.linearize.get(primitive)
        if rule is None:
            return super().apply_rule(primitive, primals, tangents, params)
        token = CURRENT.set(self.linear)
        try:
            return rule(self, primals, tangents, **params)
        finally:
            CURRENT.reset(token)


class LinearMap:
    """A linear program with its residuals.

    `program` takes the tangents of the inputs in `in_nonzero` and returns those of the outputs in
    `out_nonzero`; all others are zero. `residuals` are the values of its constants.
    """

    __slots__ = ("program", "residuals", "in_nonzero", "out_nonzero")

    def __init__(
        self, program: Program, residuals: Sequence[Any], in_nonzero: tuple[bool, ...], out_nonzero: tuple[bool, ...]
    ) -> None:
        self.program = program
        self.residuals = tuple(residuals)
        self.in_nonzero = in_nonzero
        self.out_nonzero = out_nonzero


def linearize(
    function: Callable[..., Sequence[Any]], primals: Sequence[Any], nonzero: Sequence[bool] | None = None
) -> tuple[list[Any], LinearMap]:
    """Values of `function` (flat arguments) at `primals` and its derivative there as a `LinearMap`."""
    trace = LinearizeTrace(CURRENT.get())
    mask = tuple(p.aval.tangent is p.aval for p in primals) if nonzero is None else tuple(nonzero)
    arguments = [
        trace.pair(p, trace.linear.new_input(p.aval.tangent)) if nz else p for p, nz in zip(primals, mask, strict=True)
    ]
    token = CURRENT.set(trace)
    try:
        outputs = function(*arguments)
    finally:
        CURRENT.reset(token)
        trace.active = False
    pairs = [trace.split(o) for o in outputs]
    tangents = [t for _, t in pairs]
    out_nonzero = tuple(type(t) is not Zero for t in tangents)
    program = trace.linear.finish([t for t in tangents if type(t) is not Zero])
    residuals = program.consts
    return [p for p, _ in pairs], LinearMap(_without_consts(program), residuals, mask, out_nonzero)


def _without_consts(program: Program) -> Program:
    """The program with its constants left open: `residuals` of the `LinearMap` holds them."""
    return Program(program.invars, program.outvars, program.eqns, program.constvars, (), program.name)


class LinearizedProgram:
    """What `linearize_program` gives.

    Attributes:
        primal: the program of the values followed by the residuals.
        linear: the linear program of (residuals, tangents of nonzero inputs) -> tangents of nonzero outputs.
        residual_inputs: for each residual, the index of the input that it merely repeats, or None. Such
            residuals are not among `primal`'s outputs.
        out_nonzero: which outputs have tangents.
    """

    __slots__ = ("primal", "linear", "residual_inputs", "out_nonzero")

    def __init__(
        self, primal: Program, linear: Program, residual_inputs: tuple[int | None, ...], out_nonzero: tuple[bool, ...]
    ) -> None:
        self.primal = primal
        self.linear = linear
        self.residual_inputs = residual_inputs
        self.out_nonzero = out_nonzero

    def residuals(self, inputs: Sequence[Any], computed: Sequence[Any]) -> list[Any]:
        """All residuals, from the program's inputs and the computed ones among `primal`'s results."""
        rest = iter(computed)
        return [next(rest) if i is None else inputs[i] for i in self.residual_inputs]


def linearize_program(program: Program, nonzero: tuple[bool, ...]) -> LinearizedProgram:
    """Split a program (without constants) into a value-and-residual part and a linear part."""
    key = ("linearize", nonzero)
    if key not in program.memo:
        staging = StagingTrace("differentiation")
        inputs = [staging.new_input(a) for a in program.in_avals]
        token = CURRENT.set(staging)
        try:
            values, linear_map = linearize(lambda *xs: evaluate(program, xs), inputs, nonzero)
        finally:
            CURRENT.reset(token)
        position: dict[Var, int] = {v: i for i, v in enumerate(staging.invars)}
        residual_inputs = []
        computed = []
        for residual in linear_map.residuals:
            atom = staging.atom(residual)
            index = position.get(atom) if isinstance(atom, Var) else None
            residual_inputs.append(index)
            if index is None:
                computed.append(residual)
        primal = staging.finish([*values, *computed], program.name)
        linear = linear_map.program.with_consts_as_inputs()
        program.memo[key] = LinearizedProgram(primal, linear, tuple(residual_inputs), linear_map.out_nonzero)
    return program.memo[key]  # type: ignore[no-any-return]
