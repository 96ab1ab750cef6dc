"""Taylor mode: pushing truncated power series along.

A value x(t) is a power series x_0 + x_1 t + x_2 t^2 + ... Three kinds of operations give their coefficients:

* those with a rule of their own that gives coefficient k from lower ones (`rules.coefficient`): products,
  quotients and solutions of linear systems, and what is linear;
* those with a rule for all coefficients at once (`rules.jet`): calls of programs, which are transformed
  (`jet_program`);
* all others, by one mechanism: the jvp rule says y' = J(x) x'. Written as a program of series this gives
  coefficient k - 1 of y', and with it coefficient k of y, from those of x up to k and of y up to k - 1. What
  the rule applies again at the same operands (y itself, or the cosine in the rule of the sine) is the same
  series, so that the recurrences of elementary functions (Griewank & Walther, "Evaluating Derivatives",
  chapter 13; Moore, "Interval Analysis", chapter 11) come out of their first derivatives. Functions whose
  derivatives do not close (lgamma, digamma, polygamma, ...) make a chain of as many as there are
  coefficients.

Coefficients are computed when they are asked for. An operation of the function itself is asked for all of
them at once; operations within a jvp rule are asked for one after the other, as the recurrences need them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..base import source
from ..base.pytree import mark_leaf_type
from ..core import rules
from ..core.array import ConcreteArray, scalar
from ..core.aval import ShapedArray, Zero
from ..core.call import jit_p
from ..core.evaluate import evaluate
from ..core.primitive import Primitive
from ..core.program import Program
from ..core.staging import stage
from ..core.trace import CURRENT, EVAL, Trace, Tracer, delegate, using
from ..ops.arithmetic import div_p, mul_p
from ..ops.structural import instantiate
from .jvp import concrete, no_derivative

Terms = list[Any]
"""The coefficients 1, 2, ... of one value: arrays or `Zero`."""


_SMALL = 64  # entries of constants that are compared by value


class Rows:
    """The coefficients of an operation's results: row k holds coefficient k of each, computed on demand."""

    __slots__ = ("rows", "extend")

    def __init__(self, first: list[Any], extend: Callable[[int], list[Any]] | None) -> None:
        self.rows = [first]
        self.extend = extend

    def row(self, k: int) -> list[Any]:
        rows = self.rows
        while len(rows) <= k:
            assert self.extend is not None
            rows.append(self.extend(len(rows)))
        return rows[k]


class JetTracer(Tracer):
    """A value with a power series that is not known to be constant: one column of `Rows`."""

    __slots__ = ("rows", "column", "aval")

    def __init__(self, trace: JetTrace, rows: Rows, column: int) -> None:
        self._trace = trace
        self.rows = rows
        self.column = column
        self.aval = rows.rows[0][column].aval

    def coefficient(self, k: int) -> Any:
        return self.rows.row(k)[self.column]

    def concrete(self) -> ConcreteArray | None:
        return concrete(self.coefficient(0))

    def __repr__(self) -> str:
        return f"JetTracer<{self.aval.str_short()}>(primal={self.coefficient(0)!r})"


mark_leaf_type(JetTracer)


class _Series:
    """A series as `rules.coefficient` see it: `series[k]` is coefficient k."""

    __slots__ = ("tracer",)

    def __init__(self, tracer: JetTracer) -> None:
        self.tracer = tracer

    def __getitem__(self, k: int) -> Any:
        return self.tracer.coefficient(k)


class _Constant:
    """The series of a constant."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __getitem__(self, k: int) -> Any:
        return Zero(self.value.aval.tangent) if k else self.value


class JetTrace(Trace):
    """Computes coefficients up to `order`; rules run under `parent`, the trace below."""

    __slots__ = ("parent", "order", "known")

    name = "Taylor-mode differentiation (jet)"

    def __init__(self, parent: Trace, order: int) -> None:
        super().__init__(eager=parent.eager)
        self.parent = parent
        self.order = order
        # The operations applied within jvp rules, while an operation of the function is processed.
        self.known: dict[Any, tuple[Any, Any]] | None = None
        self.location = source.capture()

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        known = self.known
        if not any(self.owns(a) for a in args):
            # Constants of rules (the order of a Bessel function) are computed, so that they are recognised.
            fold = known is not None and primitive.elementwise and all(map(_is_small, args))
            return delegate(EVAL if fold else self.parent, primitive, args, params)
        key = (primitive, tuple(map(_identity, args)), tuple(params.items()))
        if known is not None:
            found = known.get(key)
            if found is None:
                found = known[key] = args, self._apply(primitive, args, params)
            return found[1]
        if primitive in rules.jet:
            return self._push(primitive, args, params)
        self.known = known = {}
        try:
            out = self._apply(primitive, args, params)
            known[key] = args, out
            return self._complete(out)
        finally:
            self.known = None

    def run(self, program: Program, args: Sequence[Any]) -> list[Any]:
        if not any(self.owns(a) for a in args):
            return self.parent.run(program, args)
        if self.known is not None:
            with using(self):
                return evaluate(program, args)
        values, terms = self._split(args, self.order)
        outs = self.parent.run(*self._pushed(program, values, terms))
        return self._joined(program, outs, terms)

    def owns(self, value: Any) -> bool:
        return type(value) is JetTracer and value._trace is self

    def new(self, value: Any, terms: Terms | None) -> Any:
        """The value with its coefficients; without them, or if they are all zero, the value itself."""
        if terms is None or all(type(t) is Zero for t in terms):
            return value
        rows = Rows([value], None)
        rows.rows += [[t] for t in terms]
        return JetTracer(self, rows, 0)

    def terms(self, value: Any) -> tuple[Any, Terms | None]:
        """The value and its coefficients, None for a constant."""
        if not self.owns(value):
            return value, None
        return value.coefficient(0), [value.coefficient(k) for k in range(1, self.order + 1)]

    # Operations ---------------------------------------------------------------------------------

    def _push(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """An operation of the function that has a rule for all coefficients at once."""
        values, terms = self._split(args, self.order)
        with using(self.parent):
            outs, out_terms = rules.jet[primitive](self.order, values, terms, **params)
        if primitive.multiple_results:
            return [self.new(o, t) for o, t in zip(outs, out_terms, strict=True)]
        return self.new(outs, out_terms)

    def _apply(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """The results as tracers whose coefficients are computed on demand."""
        if primitive is jit_p:
            with using(self):
                return evaluate(params["program"], args)
        values = tuple([a.coefficient(0) if self.owns(a) else a for a in args])
        out = delegate(self.parent, primitive, values, params)
        several = primitive.multiple_results
        rows = Rows(list(out) if several else [out], None)
        if primitive in rules.jet:
            rows.extend = self._extend_push(primitive, args, params)
        elif primitive in rules.coefficient:
            rows.extend = self._extend_rule(primitive, rows, args, params)
        else:
            rows.extend = self._extend_differential(primitive, args, params)
        outs = [JetTracer(self, rows, i) if _is_smooth(v.aval) else v for i, v in enumerate(rows.rows[0])]
        return outs if several else outs[0]

    def _complete(self, out: Any) -> Any:
        """Compute all coefficients and forget how."""
        outs = out if isinstance(out, list) else [out]
        results = []
        with using(self.parent):
            for value in outs:
                if self.owns(value) and value.rows.extend is not None:
                    value.rows.row(self.order)
        for value in outs:
            if self.owns(value):
                value.rows.extend = None
                if all(type(value.coefficient(k)) is Zero for k in range(1, self.order + 1)):
                    value = value.coefficient(0)
            results.append(value)
        return results if isinstance(out, list) else results[0]

    def _extend_rule(
        self, primitive: Primitive, rows: Rows, args: tuple[Any, ...], params: dict[str, Any]
    ) -> Callable[[int], list[Any]]:
        rule, several = rules.coefficient[primitive], primitive.multiple_results
        series = [_Series(a) if self.owns(a) else _Constant(a) for a in args]

        def extend(k: int) -> list[Any]:
            with using(self.parent):
                if several:
                    return list(rule(k, rows.rows, series, **params))
                return [rule(k, [r[0] for r in rows.rows], series, **params)]

        return extend

    def _extend_push(
        self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]
    ) -> Callable[[int], list[Any]]:
        def extend(k: int) -> list[Any]:
            values, terms = self._split(args, k)
            with using(self.parent):
                outs, out_terms = rules.jet[primitive](k, values, terms, **params)
            if not primitive.multiple_results:
                outs, out_terms = [outs], [out_terms]
            return [
                Zero(o.aval.tangent) if t is None else t[k - 1] for o, t in zip(outs, out_terms, strict=True)
            ]

        return extend

    def _extend_differential(
        self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]
    ) -> Callable[[int], list[Any]]:
        """Coefficient k of y from coefficient k - 1 of y' = J(x) x'."""
        derivatives: list[Any] | None = None

        def extend(k: int) -> list[Any]:
            nonlocal derivatives
            if derivatives is None:
                derivatives = self._differential(primitive, args, params)
            with using(self.parent):
                return [_over(_coefficient(self, d, k - 1), k) for d in derivatives]

        return extend

    def _differential(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> list[Any]:
        rule = rules.jvp.get(primitive)
        if rule is None:
            raise no_derivative(primitive)
        with using(self):
            tangents = [self._derivative(a) if self.owns(a) else Zero(a.aval.tangent) for a in args]
            _, out = rule(list(args), tangents, **params)
        return list(out) if primitive.multiple_results else [out]

    def _derivative(self, x: JetTracer) -> Any:
        """The derivative by t of a series."""

        def extend(k: int) -> list[Any]:
            with using(self.parent):
                return [_times(x.coefficient(k + 1), k + 1)]

        with using(self.parent):
            first = instantiate(x.coefficient(1))
        return JetTracer(self, Rows([first], extend), 0)

    # Programs -----------------------------------------------------------------------------------

    def _split(self, args: Sequence[Any], order: int) -> tuple[list[Any], list[Terms | None]]:
        values = [a.coefficient(0) if self.owns(a) else a for a in args]
        with using(self.parent):
            terms = [[a.coefficient(k) for k in range(1, order + 1)] if self.owns(a) else None for a in args]
        return values, terms

    def _pushed(
        self, program: Program, values: list[Any], terms: list[Terms | None]
    ) -> tuple[Program, list[Any]]:
        moving = tuple(t is not None for t in terms)
        with using(self.parent):
            flat = [instantiate(c) for t in terms if t is not None for c in t]
        return jet_program(program, self.order, moving)[0], values + flat

    def _joined(self, program: Program, outs: list[Any], terms: list[Terms | None]) -> list[Any]:
        out_moving = jet_program(program, self.order, tuple(t is not None for t in terms))[1]
        values, out_terms = join(outs, out_moving, self.order)
        return [self.new(v, t) for v, t in zip(values, out_terms, strict=True)]


def _is_small(value: Any) -> bool:
    return type(value) is ConcreteArray and value.aval.size <= _SMALL


def _identity(value: Any) -> Any:
    """What tells operands apart: equal small constants are one."""
    return (value.aval, value._data.tobytes()) if _is_small(value) else id(value)


def _is_smooth(aval: ShapedArray) -> bool:
    return aval.tangent is aval and aval.dtype.kind != "V"


def _coefficient(trace: JetTrace, value: Any, k: int) -> Any:
    """Coefficient k of what a rule has returned."""
    if type(value) is Zero:
        return value
    if trace.owns(value):
        return value.coefficient(k)
    return Zero(value.aval.tangent) if k else value


def _times(x: Any, factor: float) -> Any:
    if type(x) is Zero or factor == 1:
        return x
    return mul_p.bind(x, scalar(factor, x.aval.dtype))


def _over(x: Any, divisor: float) -> Any:
    if type(x) is Zero or divisor == 1:
        return x
    return div_p.bind(x, scalar(divisor, x.aval.dtype))


def join(outs: Sequence[Any], moving: Sequence[bool], order: int) -> tuple[list[Any], list[Terms | None]]:
    """Values and coefficients from what a program of `jet_program` returns."""
    count = len(moving)
    terms: list[Terms | None] = []
    start = count
    for m in moving:
        terms.append(list(outs[start : start + order]) if m else None)
        start += order if m else 0
    return list(outs[:count]), terms


def jet(
    function: Callable[..., Sequence[Any]],
    primals: Sequence[Any],
    terms: Sequence[Terms | None],
    order: int,
) -> tuple[list[Any], list[Terms | None]]:
    """Push power series along `function` of flat arguments.

    `terms` are the coefficients 1 to `order` of each argument (not scaled by factorials), None for constants;
    likewise the second result.
    """
    trace = JetTrace(CURRENT.get(), order)
    arguments = [trace.new(p, t) for p, t in zip(primals, terms, strict=True)]
    token = CURRENT.set(trace)
    try:
        outputs = function(*arguments)
    finally:
        CURRENT.reset(token)
        trace.active = False
    pairs = [trace.terms(o) for o in outputs]
    return [p for p, _ in pairs], [t for _, t in pairs]


def jet_program(program: Program, order: int, moving: tuple[bool, ...]) -> tuple[Program, tuple[bool, ...]]:
    """The program of (values, coefficients of those that move) -> the same of the results, and which move.

    The coefficients 1 to `order` of a value follow each other.
    """
    key = ("jet", order, moving)
    if key not in program.memo:
        out_moving: tuple[bool, ...] = ()

        def run(*flat: Any) -> list[Any]:
            nonlocal out_moving
            values, terms = join(flat, moving, order)
            outs, out_terms = jet(lambda *xs: evaluate(program, xs), values, terms, order)
            out_moving = tuple(t is not None for t in out_terms)
            return outs + [instantiate(c) for t in out_terms if t is not None for c in t]

        avals = program.in_avals
        term_avals = [a.tangent for a, m in zip(avals, moving, strict=True) if m for _ in range(order)]
        program.memo[key] = (
            stage(run, avals + term_avals, name=program.name, purpose="jet").with_consts_as_literals(),
            out_moving,
        )
    return program.memo[key]
