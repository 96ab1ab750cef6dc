"""Staging: recording operations into a program instead of running them.

`StagingTrace` records everything that happens while it is current, also operations on constants (so
that a large constant array is built when the program runs, not baked into it). `LinearTrace` records
only operations that involve its own tracers and lets its parent evaluate all others: what it records
from jvp rules is a linear program whose constants are the residuals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..base import source
from ..base.config import settings
from ..base.pytree import mark_leaf_type
from . import dtypes, rules
from .array import ConcreteArray
from .aval import ShapedArray
from .evaluate import evaluate
from .primitive import Primitive
from .program import NO_PARAMS, Atom, Equation, Literal, Program, Var
from .trace import CURRENT, Trace, Tracer, leak_error, using
from .verify import verify


class StagingTracer(Tracer):
    """A variable of the program being recorded."""

    __slots__ = ("aval", "_var")

    _trace: StagingTrace

    def __init__(self, trace: StagingTrace, var: Var) -> None:
        self._trace = trace
        self._var = var
        self.aval = var.aval

    def describe(self) -> str:
        return self._trace.describe(self)


mark_leaf_type(StagingTracer)


class StagingTrace(Trace):
    """Records every operation into a program."""

    __slots__ = ("eqns", "invars", "constvars", "consts", "_const_of", "arg_names", "purpose")

    name = "staging (jit, scan, make_jaxpr, ...)"

    def __init__(self, purpose: str = "", location: source.Location | None = None) -> None:
        super().__init__(eager=False)
        self.eqns: list[Equation] = []
        self.invars: list[Var] = []
        self.constvars: list[Var] = []
        self.consts: list[Any] = []
        self._const_of: dict[int, Var] = {}
        self.arg_names: Callable[[], Sequence[str]] | None = None
        self.purpose = purpose
        self.location = location or source.capture()

    def describe(self, tracer: StagingTracer) -> str:
        purpose = self.purpose or self.name
        if tracer._var in self.invars:
            index = self.invars.index(tracer._var)
            if self.arg_names is not None:
                return f"the argument {self.arg_names()[index]} of a function traced for {purpose}"
            return f"input {index} of a function traced for {purpose}"
        for eqn in self.eqns:
            if tracer._var in eqn.outvars:
                return (
                    f"the result of {eqn.primitive.name} ({eqn.location}) in a function traced for {purpose}"
                )
        return f"traced for {purpose}"

    def new_input(self, aval: ShapedArray) -> StagingTracer:
        var = Var(aval)
        self.invars.append(var)
        return StagingTracer(self, var)

    def atom(self, value: Any) -> Atom:
        """The variable or literal that stands for `value` in the recorded program."""
        if type(value) is StagingTracer and value._trace is self:
            return value._var
        if type(value) is ConcreteArray and self._is_literal(value):
            return Literal(value, value.aval)
        var = self._const_of.get(id(value))
        if var is None:
            if isinstance(value, Tracer) and not value._trace.active:
                raise leak_error(value)
            if type(value) is rules.Linear:
                raise TypeError("a transpose rule applied an operation to an argument that is linear")
            var = Var(value.aval)
            self._const_of[id(value)] = var
            self.constvars.append(var)
            self.consts.append(value)  # keeps `value` alive, so that its id stays its own
        return var

    def _is_literal(self, value: ConcreteArray) -> bool:
        return value.aval.ndim == 0 and not dtypes.is_key(value.aval.dtype)

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        if not self.active:
            raise RuntimeError("a finished trace was made current again")  # a bug of the library
        rule = rules.staging.get(primitive)
        if rule is not None:
            return rule(self, args, params)
        return self.record(primitive, args, params)

    def run(self, program: Program, args: Sequence[Any]) -> list[Any]:
        with using(self):
            return evaluate(program, args)

    def record(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Append an equation; returns tracers for its results."""
        atoms: list[Atom] = []
        avals = []
        for a in args:
            atom = a._var if type(a) is StagingTracer and a._trace is self else self.atom(a)
            atoms.append(atom)
            avals.append(atom.aval)
        out = rules.abstract[primitive](*avals, **params)
        location = source.LOCATION.get() or source.capture()
        params = params or NO_PARAMS
        if primitive.multiple_results:
            outvars = [Var(a) for a in out]
            self.eqns.append(Equation(primitive, atoms, outvars, params, location))
            return [StagingTracer(self, v) for v in outvars]
        var = Var(out)
        self.eqns.append(Equation(primitive, atoms, [var], params, location))
        return StagingTracer(self, var)

    def finish(self, outputs: Sequence[Any], name: str = "") -> Program:
        """The recorded program with the given outputs; the trace ends."""
        outvars = [self.atom(o) for o in outputs]
        self.active = False
        program = Program(self.invars, outvars, self.eqns, self.constvars, self.consts, name)
        return verify(program) if settings().enable_checks else program


class LinearTrace(StagingTrace):
    """Records the operations on its own tracers; everything else goes to `parent`."""

    __slots__ = ("parent",)

    name = "linearization"

    def __init__(self, parent: Trace, location: source.Location | None = None) -> None:
        super().__init__("", location)
        self.parent = parent
        self.eager = parent.eager

    def _is_literal(self, value: ConcreteArray) -> bool:
        # Python numbers are the same at every point; other scalars are residuals.
        return value.aval.ndim == 0 and value.aval.weak_type

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        for a in args:
            if type(a) is StagingTracer and a._trace is self:
                rule = rules.staging.get(primitive)
                return self.record(primitive, args, params) if rule is None else rule(self, args, params)
        return self.parent.process(primitive, args, params)

    def run(self, program: Program, args: Sequence[Any]) -> list[Any]:
        if any(type(a) is StagingTracer and a._trace is self for a in args):
            return super().run(program, args)
        return self.parent.run(program, args)


def stage(
    function: Callable[..., Sequence[Any]],
    in_avals: Sequence[ShapedArray],
    *,
    name: str = "",
    purpose: str = "",
    arg_names: Callable[[], Sequence[str]] | None = None,
) -> Program:
    """Record `function`, which takes and returns flat sequences of arrays (as separate arguments)."""
    trace = StagingTrace(purpose or name)
    trace.arg_names = arg_names
    inputs = [trace.new_input(a) for a in in_avals]
    token = CURRENT.set(trace)
    try:
        outputs = function(*inputs)
        return trace.finish(outputs, name)
    finally:
        trace.active = False
        CURRENT.reset(token)
