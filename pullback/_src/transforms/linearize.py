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
from ..base.pytree import mark_leaf_type
from ..base.source import LOCATION
from ..core import rules
from ..core.array import ConcreteArray
from ..core.aval import Zero
from ..core.call import call
from ..core.engine import quiet
from ..core.evaluate import evaluate
from ..core.primitive import Primitive
from ..core.program import Program, Var
from ..core.specialize import SecondUse, carries_python, operands, operation, split
from ..core.staging import StagingTrace
from ..core.trace import CURRENT, EVAL, Trace, Tracer, delegate
from .jvp import concrete, no_derivative
from .tape import OperationStep, StagedTape, Step, Tape


class LinearizeTracer(Tracer):
    """A known primal with a tangent on the tape (its reference there)."""

    __slots__ = ("primal", "tangent", "aval")

    def __init__(self, trace: LinearizeTrace, primal: Any, tangent: int) -> None:
        self._trace = trace
        self.primal = primal
        self.tangent = tangent
        self.aval = primal.aval

    def concrete(self) -> ConcreteArray | None:
        return concrete(self.primal)

    def __repr__(self) -> str:
        return f"LinearizeTracer<{self.aval.str_short()}>(primal={self.primal!r})"


mark_leaf_type(LinearizeTracer)


class LinearizeTrace(Trace):
    """Runs jvp rules with known primals and tangents that are recorded on `tape`."""

    __slots__ = ("parent", "tape")

    name = "reverse-mode differentiation (grad, vjp, linearize)"

    def __init__(self, parent: Trace) -> None:
        super().__init__(eager=parent.eager)
        self.parent = parent
        self.location = source.capture()
        self.tape: Any = Tape(parent) if parent.eager else StagedTape(parent, self.location)

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        parent = self.parent
        if not self.eager:  # while a program is being staged, rules are applied as they are
            for a in args:
                if type(a) is LinearizeTracer and a._trace is self:
                    return self._apply_rule(primitive, args, params)
            return delegate(parent, primitive, args, params)
        primals, tangents, step = split(_steps, self, LinearizeTracer, primitive, args, params)
        if not tangents:
            return delegate(parent, primitive, args, params)
        if step is None:
            return self._apply_rule(primitive, args, params)
        out: Any
        if parent is EVAL and step.kernel is not None:
            try:
                out = ConcreteArray(quiet.context.run(step.kernel, *[p._data for p in primals]), step.result)
            except Exception:
                out = EVAL.process(primitive, tuple(primals), params)  # raises again, with an explanation
            primals.append(out)
        else:
            out = delegate(parent, primitive, tuple(primals), params)
            if primitive.multiple_results:
                primals += out
            else:
                primals.append(out)
        ref = self.tape.record_step(step, [primals[i] for i in step.needs], tangents)
        if step.is_simple:
            return LinearizeTracer(self, out, ref)
        results = []
        for o, nz in zip(out if primitive.multiple_results else [out], step.out_nonzero, strict=True):
            results.append(LinearizeTracer(self, o, ref) if nz else o)
            ref -= nz
        return results if primitive.multiple_results else results[0]

    def run(self, program: Program, args: Sequence[Any]) -> list[Any]:
        mask = tuple([type(a) is LinearizeTracer and a._trace is self for a in args])
        if True not in mask:
            return self.parent.run(program, args)
        split, step = _program_step(program, mask)
        primals = [a.primal if nz else a for a, nz in zip(args, mask, strict=True)]
        tangents = [a.tangent for a, nz in zip(args, mask, strict=True) if nz]
        outs = self.parent.run(split.primal, primals)
        count = len(step.out_nonzero)
        refs = iter(self.tape.record_program(step, split.residuals(primals, outs[count:]), tangents))
        return [
            LinearizeTracer(self, o, next(refs)) if nz else o
            for o, nz in zip(outs, step.out_nonzero, strict=False)
        ]

    def _apply_rule(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Run the primitive's rule, with the tape as the current trace."""
        primals: list[Any] = []
        tangents: list[Any] = []
        for a in args:
            if type(a) is LinearizeTracer and a._trace is self:
                primals.append(a.primal)
                tangents.append(self.tape.tangent(a.tangent, a.aval.tangent))
            else:
                primals.append(a)
                tangents.append(Zero(a.aval.tangent))
        # One look at the stack serves all equations that the rule records.
        place = LOCATION.set(source.capture())
        token = CURRENT.set(self.tape)
        try:
            rule = rules.linearize.get(primitive)
            if rule is not None:
                out, out_tangent = rule(self, primals, tangents, **params)
            else:
                rule = rules.jvp.get(primitive)
                if rule is None:
                    raise no_derivative(primitive)
                out, out_tangent = rule(primals, tangents, **params)
        finally:
            CURRENT.reset(token)
            LOCATION.reset(place)
        if primitive.multiple_results:
            return [self.pair(p, t) for p, t in zip(out, out_tangent, strict=True)]
        return self.pair(out, out_tangent)

    def pair(self, primal: Any, tangent: Any) -> Any:
        """A tracer, or the primal itself if the tangent is zero."""
        return primal if type(tangent) is Zero else LinearizeTracer(self, primal, self.tape.ref(tangent))

    def split(self, value: Any) -> tuple[Any, Any]:
        """The primal, and its tangent as a value for rules to compute with."""
        if type(value) is LinearizeTracer and value._trace is self:
            return value.primal, self.tape.tangent(value.tangent, value.aval.tangent)
        return value, Zero(value.aval.tangent)


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
        LinearizeTracer(trace, p, trace.tape.new_input(p.aval.tangent)) if nz else p
        for p, nz in zip(primals, mask, strict=True)
    ]
    token = CURRENT.set(trace)
    try:
        outputs = function(*arguments)
    finally:
        CURRENT.reset(token)
        trace.active = False
    values: list[Any] = []
    refs: list[int] = []
    out_nonzero: list[bool] = []
    for o in outputs:
        nonzero_tangent = type(o) is LinearizeTracer and o._trace is trace
        out_nonzero.append(nonzero_tangent)
        if nonzero_tangent:
            refs.append(o.tangent)
            o = o.primal
        values.append(o)
    program, residuals = trace.tape.finish_open(refs)
    return values, LinearMap(program, residuals, mask, tuple(out_nonzero))


def push_forward(program: Program, residuals: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
    """Run a linear program with open constants; from the second time on as one step."""
    uses = program.memo.get("push forwards", 0)
    program.memo["push forwards"] = uses + 1
    if uses == 0 or not CURRENT.get().eager or carries_python(program):
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
        primal = staging.finish([*values, *computed], program.name).with_consts_as_literals()
        linear = linear_map.program.with_consts_as_inputs()
        program.memo[key] = LinearizedProgram(primal, linear, tuple(residual_inputs), linear_map.out_nonzero)
    return program.memo[key]


def _program_step(program: Program, nonzero: tuple[bool, ...]) -> tuple[LinearizedProgram, Step]:
    """A program split, and its linear part as a step of a tape."""
    key = ("linearized step", nonzero)
    if key not in program.memo:
        split = linearize_program(program, nonzero)
        program.memo[key] = split, Step(split.linear, split.out_nonzero)
    return program.memo[key]


def _step(key: tuple[Any, ...], params: dict[str, Any]) -> OperationStep:
    primitive: Primitive = key[0]
    nonzero, avals = operands(key)
    split = linearize_program(operation(primitive, avals, params), nonzero)
    computed = split.primal.outvars[len(split.out_nonzero) :]
    residuals = split.residuals(split.primal.invars, computed)
    return OperationStep(primitive, params, split.primal, split.linear, residuals, split.out_nonzero)


_steps: SecondUse[OperationStep] = SecondUse(_step)
