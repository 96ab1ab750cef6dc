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

from ..base import source
from ..base.source import LOCATION
from ..core import rules
from ..core.aval import ShapedArray, Zero
from ..core.call import call, eager_executable
from ..core.evaluate import evaluate
from ..core.primitive import Primitive
from ..core.program import Program, Var
from ..core.specialize import SecondUse, carries_python, operation
from ..core.staging import LinearTrace, StagingTrace
from ..core.trace import CURRENT, EVAL, Trace, delegate
from .jvp import JVPTrace, JVPTracer, no_derivative


class LinearizeTrace(JVPTrace):
    """Runs jvp rules with known primals and recorded tangents (in `linear`)."""

    __slots__ = ("linear",)

    name = "reverse-mode differentiation (grad, vjp, linearize)"

    def __init__(self, parent: Trace) -> None:
        linear = LinearTrace(parent)
        super().__init__(parent, linear)
        self.linear = linear

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        # The short way for plain operations; what it does is what `super().process` does.
        parent = self.parent
        if type(parent) is StagingTrace:
            return super().process(primitive, args, params)
        primals: list[Any] = []
        tangents: list[Any] = []
        avals: list[ShapedArray] = []
        nonzero: list[bool] = []
        for a in args:
            if type(a) is JVPTracer and a._trace is self:
                primals.append(a.primal)
                tangents.append(a.tangent)
                nonzero.append(True)
            else:
                primals.append(a)
                nonzero.append(False)
            avals.append(a.aval)
        if not tangents:
            return delegate(parent, primitive, args, params)
        types = tuple(avals)
        mask = tuple(nonzero)
        key = (primitive, mask, types, *params.items()) if params else (primitive, mask, types)
        step = _steps.get(key, primitive, mask, types, params)
        if step is None:
            return super().process(primitive, args, params)
        if parent is EVAL:
            outs = step.executable(primals)
        else:
            token = CURRENT.set(parent)
            try:
                outs = call(step.split.primal, primals)
            finally:
                CURRENT.reset(token)
        count = step.count
        residuals = (
            outs[count:] if step.residuals_are_computed else step.split.residuals(primals, outs[count:])
        )
        residuals += tangents
        recorded = self.linear.record_template(step.split.linear, step.tangent_avals, residuals)
        if step.is_simple:
            return JVPTracer(self, outs[0], recorded[0])
        given = iter(recorded)
        results = [
            JVPTracer(self, o, next(given)) if nz else o
            for o, nz in zip(outs, step.split.out_nonzero, strict=False)
        ]
        return results if primitive.multiple_results else results[0]

    def apply_rule(
        self, primitive: Primitive, primals: list[Any], tangents: list[Any], params: dict[str, Any]
    ) -> Any:
        # One look at the stack serves all equations that the rule records.
        place = LOCATION.set(source.capture())
        token = CURRENT.set(self.linear)
        try:
            rule = rules.linearize.get(primitive)
            if rule is not None:
                return rule(self, primals, tangents, **params)
            rule = rules.jvp.get(primitive)
            if rule is None:
                raise no_derivative(primitive)
            return rule(primals, tangents, **params)
        finally:
            CURRENT.reset(token)
            LOCATION.reset(place)


class LinearMap:
    """A linear program with its residuals.

    `program` takes the tangents of the inputs in `in_nonzero` and returns those of the outputs in
    `out_nonzero`; all others are zero. Its constants are open: `residuals` are their values.
    """

    __slots__ = ("program", "residuals", "in_nonzero", "out_nonzero")

    def __init__(
        self,
        program: Program,
        residuals: Sequence[Any],
        in_nonzero: tuple[bool, ...],
        out_nonzero: tuple[bool, ...],
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
        trace.pair(p, trace.linear.new_input(p.aval.tangent)) if nz else p
        for p, nz in zip(primals, mask, strict=True)
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
    program, residuals = trace.linear.finish_open([t for t in tangents if type(t) is not Zero])
    return [p for p, _ in pairs], LinearMap(program, residuals, mask, out_nonzero)


def push_forward(program: Program, residuals: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
    """Run a linear program with open constants; from the second time on as one step."""
    uses = program.memo.get("push forwards", 0)
    program.memo["push forwards"] = uses + 1
    if uses == 0 or type(CURRENT.get()) is StagingTrace or carries_python(program):
        return evaluate(program, tangents, residuals)
    return call(program.with_consts_as_inputs(), [*residuals, *tangents])


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
        self,
        primal: Program,
        linear: Program,
        residual_inputs: tuple[int | None, ...],
        out_nonzero: tuple[bool, ...],
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


class _Step:
    """A plain operation at fixed types, linearized ahead of time."""

    __slots__ = ("split", "executable", "count", "tangent_avals", "residuals_are_computed", "is_simple")

    def __init__(
        self,
        primitive: Primitive,
        nonzero: tuple[bool, ...],
        avals: tuple[ShapedArray, ...],
        params: dict[str, Any],
    ) -> None:
        self.split = linearize_program(operation(primitive, avals, params), nonzero)
        self.executable = eager_executable(self.split.primal)
        self.count = len(self.split.out_nonzero)
        self.tangent_avals = self.split.linear.out_avals
        self.residuals_are_computed = all(i is None for i in self.split.residual_inputs)
        self.is_simple = not primitive.multiple_results and self.split.out_nonzero == (True,)


_steps: SecondUse[_Step] = SecondUse(_Step)
