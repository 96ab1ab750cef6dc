"""Traces: what happens when a primitive is applied.

There is one current trace. A transformation installs its own trace, remembers the one below it as its
parent, and hands down to the parent whatever does not involve its own tracers. At the bottom is `EVAL`,
which computes on concrete arrays with the eager engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ..base import errors, source
from . import engine, rules
from .array import Array, ConcreteArray, wrap
from .aval import ShapedArray, shaped_array
from .engine import quiet

if TYPE_CHECKING:
    from .primitive import Primitive
    from .program import Program


class Trace:
    """A way to process primitives.

    Attributes:
        active: turns False when the transformation has ended.
        eager: whether operations on concrete arrays are evaluated at once (they are unless a program is
            being staged), so that libraries may compute them without asking the trace.
        location: where in the user's code the transformation was started.
    """

    __slots__ = ("active", "eager", "location")

    name = "trace"

    def __init__(self, *, eager: bool) -> None:
        self.active = True
        self.eager = eager
        self.location: source.Location | None = None

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Apply `primitive`; returns one value or, if it has several results, a list."""
        raise NotImplementedError

    def run(self, program: Program, args: Sequence[Any]) -> list[Any]:
        """Apply `program`, which has no constants and runs no code of the user's, as one step.

        A trace transforms the program (which is memoized) and hands the result to the trace below, so that
        un-jitted code passes through any number of transformations in one descent. It need not be current.
        """
        raise NotImplementedError


class Tracer(Array):
    """A stand-in for an array inside a transformation."""

    __slots__ = ("_trace", "__weakref__")

    _trace: Trace

    def concrete(self) -> ConcreteArray | None:
        """The concrete value behind the tracer, where the transformation knows it."""
        return None

    def describe(self) -> str:
        """Whose tracer this is, for error messages."""
        return f"traced by {self._trace.name}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}<{self.aval.str_short()}>"

    def __format__(self, spec: str) -> str:
        return (
            format(repr(self), spec)
            if not spec
            else format(self._concrete_or_raise("format()", errors.ConcretizationTypeError), spec)
        )

    # Conversions to Python and NumPy need a value; where there is none the error says what to do instead.

    def _concrete_or_raise(
        self, use: str, error: type[errors.ConcretizationTypeError], hint: str = ""
    ) -> ConcreteArray:
        value = self.concrete()
        if value is not None:
            return value
        raise error(
            f"{use} needs a concrete value, but got a traced array of type {self.aval.str_short()}, "
            f"{self.describe()}, whose value is not known while the function is being traced.\n" + hint
        )

    def __bool__(self) -> bool:
        return bool(
            self._concrete_or_raise(
                "a Python condition (if, while, and, or, not, assert, bool())",
                errors.TracerBoolConversionError,
                "Use lax.cond, lax.select or numpy.where for a value-dependent choice, lax.while_loop for a "
                "loop, or mark the argument static (static_argnums of jit).",
            )
        )

    def __int__(self) -> int:
        return int(self._concrete_or_raise("int()", errors.ConcretizationTypeError, _CAST_HINT))

    def __float__(self) -> float:
        return float(self._concrete_or_raise("float()", errors.ConcretizationTypeError, _CAST_HINT))

    def __complex__(self) -> complex:
        return complex(self._concrete_or_raise("complex()", errors.ConcretizationTypeError, _CAST_HINT))

    def __index__(self) -> int:
        return self._concrete_or_raise(
            "a Python integer (range(), indexing a list, a shape)",
            errors.TracerIntegerConversionError,
            "Index arrays, not lists, with traced integers; use lax.fori_loop for loops; pass shapes as "
            "static arguments (static_argnums of jit).",
        ).__index__()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self._concrete_or_raise(
            "a NumPy function (numpy.asarray or similar)",
            errors.TracerArrayConversionError,
            "Use the function of the same name in pullback.numpy, or pure_callback to call NumPy code.",
        ).__array__(dtype, copy)

    def item(self, *args: int) -> Any:
        return self._concrete_or_raise("item()", errors.ConcretizationTypeError, _CAST_HINT).item(*args)

    def tolist(self) -> Any:
        return self._concrete_or_raise("tolist()", errors.ConcretizationTypeError, _CAST_HINT).tolist()

    def block_until_ready(self) -> Tracer:
        return self


_CAST_HINT = (
    "Keep the value as an array (numpy.astype, .astype(...)), or compute it outside of the transformed "
    "function."
)


class EvalTrace(Trace):
    """Evaluation on concrete arrays with the eager engine."""

    __slots__ = ()

    name = "evaluation"

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        kernel = engine.kernels.get(primitive)
        if kernel is None:
            return self._without_kernel(primitive, args, params)
        try:
            operands = [a._data for a in args]
            try:
                out = quiet.context.run(kernel, *operands, **params)
            except RuntimeError:  # entered already: a finalizer or signal handler inside a kernel
                out = engine.quietly(kernel, *operands, **params)
        except Exception as error:
            raise explain(error, primitive, args, params) from error
        if primitive.multiple_results:
            return [wrap(o) for o in out]
        if "weak_type" in params:
            return ConcreteArray(out, shaped_array(out.shape, out.dtype, params["weak_type"]))
        # All operands weak; bools, like the condition of select_n, have no say, and no bool is weak.
        weak = False
        if out.dtype.kind != "b":
            for a in args:
                aval = a.aval
                if aval.weak_type:
                    weak = True
                elif aval.dtype.kind != "b":
                    weak = False
                    break
        return ConcreteArray(out, shaped_array(out.shape, out.dtype, weak))

    def run(self, program: Program, args: Sequence[Any]) -> list[Any]:
        compiled = program.memo.get("eager executable")
        out: list[Any] = (engine.step_executable(program) if compiled is None else compiled)(args)
        return out

    def _without_kernel(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        for a in args:
            if isinstance(a, Tracer):
                raise leak_error(a)
        rule = rules.evaluate.get(primitive) or rules.decompose.get(primitive)
        if rule is None:
            engine.load_eager()
            if primitive in engine.kernels:
                return self.process(primitive, args, params)
            raise NotImplementedError(
                f"the primitive {primitive.name!r} has no implementation for evaluation; if it is yours, "
                "give it one (rules.evaluate, rules.decompose or a kernel of the engine)"
            )
        return rule(*args, **params)


def explain(
    error: Exception, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]
) -> Exception:
    """A better error than the engine's: a leak, or what the shape rule says; otherwise the original."""
    for a in args:
        if isinstance(a, Tracer):
            return leak_error(a)
    if isinstance(error, errors.PullbackError):
        return error
    try:
        rules.abstract[primitive](*[a.aval for a in args], **params)
    except Exception as better:
        return better
    return error


def leak_error(tracer: Tracer) -> errors.UnexpectedTracerError:
    """The error for a tracer that is used outside of the transformation that made it."""
    trace = tracer._trace
    made = f" The transformation was started {source.describe(trace.location)}." if trace.location else ""
    return errors.UnexpectedTracerError(
        f"a traced array of type {tracer.aval.str_short()}, made by {trace.name}, was used after that "
        "transformation had ended or outside of it (a leaked tracer). Return the value from the transformed "
        "function instead of storing it in a global, an attribute or a list."
        f"{made}\nIt was used {source.describe(source.capture())}"
    )


EVAL = EvalTrace(eager=True)
# Evaluation once more, step by step, of what failed: for the error that names the operation.
EXPLAIN = EvalTrace(eager=True)
CURRENT: ContextVar[Trace] = ContextVar("pullback_trace", default=EVAL)


def delegate(trace: Trace, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
    """Process a primitive under `trace`, making it the current one where its rules may run Python."""
    if trace is EVAL and primitive in engine.kernels:
        return EVAL.process(primitive, args, params)
    token = CURRENT.set(trace)
    try:
        return trace.process(primitive, args, params)
    finally:
        CURRENT.reset(token)


class using:
    """Context manager: make `trace` the current one."""

    __slots__ = ("_trace", "_token")

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def __enter__(self) -> Trace:
        self._token = CURRENT.set(self._trace)
        return self._trace

    def __exit__(self, *exc: object) -> None:
        CURRENT.reset(self._token)


def aval_of(value: Any) -> ShapedArray:
    """The type of an array or tracer."""
    return value.aval
