"""Forward mode: pushing tangents along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..base import source
from ..base.errors import NotDifferentiableError
from ..base.pytree import mark_leaf_type
from ..core import rules
from ..core.array import ConcreteArray
from ..core.aval import Zero
from ..core.evaluate import evaluate
from ..core.primitive import Primitive
from ..core.program import Program
from ..core.specialize import SecondUse, operands, operation, split
from ..core.staging import stage
from ..core.trace import CURRENT, Trace, Tracer, delegate


class JVPTracer(Tracer):
    """A primal with a tangent that is not known to be zero."""

    __slots__ = ("primal", "tangent", "aval")

    def __init__(self, trace: JVPTrace, primal: Any, tangent: Any) -> None:
        self._trace = trace
        self.primal = primal
        self.tangent = tangent
        self.aval = primal.aval

    def concrete(self) -> ConcreteArray | None:
        return concrete(self.primal)

    def __repr__(self) -> str:
        return f"JVPTracer<{self.aval.str_short()}>(primal={self.primal!r}, tangent={self.tangent!r})"


def concrete(value: Any) -> ConcreteArray | None:
    """The concrete array behind a value, if it is known."""
    if type(value) is ConcreteArray:
        return value
    return value.concrete() if isinstance(value, Tracer) else None


mark_leaf_type(JVPTracer)


class JVPTrace(Trace):
    """Applies each primitive's jvp rule; rules run under `parent`, the trace below."""

    __slots__ = ("parent",)

    name = "forward-mode differentiation (jvp)"

    def __init__(self, parent: Trace) -> None:
        super().__init__(eager=parent.eager)
        self.parent = parent
        self.location = source.capture()

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        parent = self.parent
        primals, tangents, step = split(_steps, self, JVPTracer, primitive, args, params)
        if not tangents:
            return delegate(parent, primitive, args, params)
        if step is not None:
            outs = parent.run(step.program, primals + tangents)
            if step.is_simple:
                return JVPTracer(self, outs[0], outs[1])
            results = self._pairs(outs, step.out_nonzero)
            return results if primitive.multiple_results else results[0]
        rule = rules.jvp.get(primitive)
        if rule is None:
            raise no_derivative(primitive)
        token = CURRENT.set(parent)
        try:
            out, out_tangent = rule(primals, [self.split(a)[1] for a in args], **params)
        finally:
            CURRENT.reset(token)
        if primitive.multiple_results:
            return [self.pair(p, t) for p, t in zip(out, out_tangent, strict=True)]
        return self.pair(out, out_tangent)

    def run(self, program: Program, args: Sequence[Any]) -> list[Any]:
        mask = tuple([type(a) is JVPTracer and a._trace is self for a in args])
        if True not in mask:
            return self.parent.run(program, args)
        pushed, out_nonzero = jvp_program(program, mask)
        primals = [a.primal if nz else a for a, nz in zip(args, mask, strict=True)]
        tangents = [a.tangent for a, nz in zip(args, mask, strict=True) if nz]
        return self._pairs(self.parent.run(pushed, primals + tangents), out_nonzero)

    def _pairs(self, outs: Sequence[Any], out_nonzero: tuple[bool, ...]) -> list[Any]:
        """The results of a program that `jvp_program` gave, put together."""
        tangents = iter(outs[len(out_nonzero) :])
        return [
            JVPTracer(self, o, next(tangents)) if nz else o for o, nz in zip(outs, out_nonzero, strict=False)
        ]

    def pair(self, primal: Any, tangent: Any) -> Any:
        return primal if type(tangent) is Zero else JVPTracer(self, primal, tangent)

    def split(self, value: Any) -> tuple[Any, Any]:
        if type(value) is JVPTracer and value._trace is self:
            return value.primal, value.tangent
        return value, Zero(value.aval.tangent)


def no_derivative(primitive: Primitive) -> NotDifferentiableError:
    """The error for an operation without a derivative."""
    reason = rules.not_differentiable.get(primitive, "no jvp rule is defined for it")
    return NotDifferentiableError(
        f"the operation {primitive.name!r} cannot be differentiated: {reason}.\n"
        "Apply lax.stop_gradient to its inputs if its derivative should be zero, or give the function a rule "
        "of its own with custom_jvp or custom_vjp."
    )


def jvp(
    function: Callable[..., Sequence[Any]], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """Push `tangents` (arrays or `Zero`) along `function` of flat arguments; returns primals and tangents."""
    trace = JVPTrace(CURRENT.get())
    arguments = [
        p if type(t) is Zero else JVPTracer(trace, p, t) for p, t in zip(primals, tangents, strict=True)
    ]
    token = CURRENT.set(trace)
    try:
        outputs = function(*arguments)
    finally:
        CURRENT.reset(token)
        trace.active = False
    values: list[Any] = []
    out_tangents: list[Any] = []
    for o in outputs:
        primal, tangent = trace.split(o)
        values.append(primal)
        out_tangents.append(tangent)
    return values, out_tangents


def jvp_program(program: Program, nonzero: tuple[bool, ...]) -> tuple[Program, tuple[bool, ...]]:
    """The program of (primals, nonzero tangents) -> (primals, nonzero tangents) out, and which those are."""
    key = ("jvp", nonzero)
    if key not in program.memo:
        out_nonzero: tuple[bool, ...] = ()

        def run(*flat: Any) -> list[Any]:
            nonlocal out_nonzero
            primals = flat[: len(program.invars)]
            given = iter(flat[len(program.invars) :])
            tangents = [
                next(given) if nz else Zero(p.aval.tangent) for p, nz in zip(primals, nonzero, strict=True)
            ]
            outs, out_tangents = jvp(lambda *xs: evaluate(program, xs), primals, tangents)
            out_nonzero = tuple(type(t) is not Zero for t in out_tangents)
            return outs + [t for t in out_tangents if type(t) is not Zero]

        avals = program.in_avals
        tangent_avals = [a.tangent for a, nz in zip(avals, nonzero, strict=True) if nz]
        program.memo[key] = (
            stage(run, avals + tangent_avals, name=program.name, purpose="jvp").with_consts_as_literals(),
            out_nonzero,
        )
    return program.memo[key]


class _Step:
    """A plain operation and the pushing of its tangents, as one program of fixed types."""

    __slots__ = ("program", "out_nonzero", "is_simple")

    def __init__(self, key: tuple[Any, ...], params: dict[str, Any]) -> None:
        primitive: Primitive = key[0]
        nonzero, avals = operands(key)
        self.program, self.out_nonzero = jvp_program(operation(primitive, avals, params), nonzero)
        self.is_simple = not primitive.multiple_results and self.out_nonzero == (True,)


_steps: SecondUse[_Step] = SecondUse(_Step)
