"""Ordinary differential equations as an operation: `odeint_p`, with derivatives of the equation, not of the
solver.

An equation of `odeint_p` calls a program, the solver (`ode_solver`), and knows the problem that it solves:

* forward mode solves the equation together with that of its tangents;
* linearizing records `odeint_tangent_p`, which is linear in the tangents of arguments, initial values and
  times. It solves that same system, and its transpose is the adjoint equation, solved backwards from one
  time to the one before (Pontryagin 1962; Chen, Rubanova, Bettencourt & Duvenaud, "Neural ordinary
  differential equations", 2018);
* in Taylor mode the coefficients of the solution solve the system of the coefficients.

All of these are again made of `odeint_p`, so that derivatives compose. A mapped equation is one solver for
each lane (with steps of its own); `axes` remembers how operands were mapped, so that derivatives of the one
equation are mapped in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..base.errors import NotDifferentiableError
from ..core import rules
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.call import executable
from ..core.evaluate import evaluate
from ..core.primitive import Primitive
from ..core.program import Program
from ..core.staging import stage
from ..ops.arithmetic import add, mul, sub
from ..ops.complex import neg, real
from ..ops.joining import concatenate
from ..ops.slicing import index_in_dim, slice_in_dim
from ..ops.structural import instantiate, reduce_sum_p, reshape, zeros
from ..transforms.batch import Axis, batch_program, to_dim
from ..transforms.jet import Terms, jet, jet_program, join
from ..transforms.jvp import jvp
from ..transforms.linearize import LinearizeTrace, linearize_program
from ..transforms.transpose import transpose_program
from .common import Mask, chosen, linearize_inline, nonzero_of, spread
from .ode_solver import Tolerances, solve, times
from .scan import scan

odeint_p = Primitive("odeint", multiple_results=True, call_like=True)
odeint_tangent_p = Primitive("odeint_tangent", multiple_results=True, call_like=True)

Axes = tuple[tuple[int, Any, tuple[int | None, ...]], ...]
"""How an equation is mapped: size, name, and the operands' mapped dimensions; the last is the outermost."""


class Problem(NamedTuple):
    """What one lane solves.

    Attributes:
        program: (arguments, state, time) -> derivatives of the state by time.
        num_args: how many arguments there are.
        times: the type of the times; the operands are the arguments, the initial state and the times.
        tolerances: of the solver.
    """

    program: Program
    num_args: int
    times: ShapedArray
    tolerances: Tolerances

    @property
    def state(self) -> list[ShapedArray]:
        return [a.strip_weak_type() for a in self.program.in_avals[self.num_args : -1]]

    @property
    def operands(self) -> list[ShapedArray]:
        return [*self.program.in_avals[: self.num_args], *self.state, self.times]

    @property
    def results(self) -> list[ShapedArray]:
        (n,) = self.times.shape
        return [shaped_array((n, *a.shape), a.dtype) for a in self.state]

    def derive(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` derives from this problem, once."""
        memo = self.program.memo
        full = ("odeint", self.num_args, self.times, self.tolerances, key)
        if full not in memo:
            memo[full] = make()
        return memo[full]

    def split(self, operands: Sequence[Any]) -> tuple[list[Any], list[Any], Any]:
        """Arguments, initial state, times."""
        return list(operands[: self.num_args]), list(operands[self.num_args : -1]), operands[-1]


def bind_odeint(problem: Problem, operands: Sequence[Any]) -> list[Any]:
    """The states at all times, each with a leading dimension of times."""
    return odeint_p.bind(*operands, problem=problem, axes=(), call_jaxpr=_solver(problem))


def _solver(problem: Problem) -> Program:
    def run(*operands: Any) -> list[Any]:
        args, y0, ts = problem.split(operands)
        return solve(lambda y, t: evaluate(problem.program, [*args, *y, t]), y0, ts, problem.tolerances)

    return problem.derive("solver", lambda: _staged(run, problem.operands, problem.program.name or "odeint"))


def _staged(run: Callable[..., Sequence[Any]], avals: Sequence[ShapedArray], name: str) -> Program:
    return stage(run, avals, name=name, purpose="odeint").with_consts_as_literals()


def _mapped(program: Program, axes: Axes, dims: Callable[[tuple[int | None, ...]], Any]) -> Program:
    """A lane's program, mapped; results are mapped in front. `dims` adapts the dimensions of operands."""
    for size, name, operand_dims in axes:
        out_dims = (0,) * len(program.outvars)
        program, _ = batch_program(program, Axis(size, name), dims(operand_dims), out_dims)
    return program


# Forward mode -----------------------------------------------------------------------------------------


def _augmented(problem: Problem, mask: Mask, order: int) -> Problem:
    """The equation of values and coefficients 1 to `order`: of the marked arguments, and of the state."""
    count, program = problem.num_args, problem.program
    state = len(program.outvars)
    moving = (*mask[:count], *(True,) * state, False)
    pushed, found = jet_program(program, order, moving)

    def run(*flat: Any) -> list[Any]:
        split = count + order * sum(mask[:count])
        args, arg_terms = flat[:count], flat[count:split]
        y, y_terms, t = flat[split : split + state], flat[split + state : -1], flat[-1]
        outs, terms = join(evaluate(pushed, [*args, *y, t, *arg_terms, *y_terms]), found, order)
        for out, column in zip(list(outs), terms, strict=True):
            outs += [zeros(out.aval.tangent)] * order if column is None else column
        return outs

    def make() -> Problem:
        avals = program.in_avals
        arg_terms = [a.tangent for a in chosen(avals[:count], mask[:count]) for _ in range(order)]
        y_terms = [a.tangent for a in problem.state for _ in range(order)]
        inputs = [*avals[:count], *arg_terms, *problem.state, *y_terms, avals[-1]]
        return Problem(
            _staged(run, inputs, program.name), count + len(arg_terms), problem.times, problem.tolerances
        )

    return problem.derive(("augmented", mask[:count], order), make)


def _slopes(problem: Problem, args: Sequence[Any], ys: Sequence[Any], ts: Any) -> list[Any]:
    """The derivatives by time at all times."""
    (n,) = problem.times.shape
    dims = ((None,) * problem.num_args) + (0,) * (len(ys) + 1)
    program, _ = batch_program(problem.program, Axis(n), dims, (0,) * len(ys))
    return evaluate(program, [*args, *ys, ts])


def _pushed(problem: Problem, mask: Mask) -> Program:
    """(operands, tangents of the marked ones) -> (states, their tangents), for one lane."""
    count = len(mask)

    def run(*flat: Any) -> list[Any]:
        args, y0, ts = problem.split(flat[:count])
        rest = iter(flat[count:])
        tangents = [next(rest) if m else Zero(x.aval.tangent) for m, x in zip(mask, flat, strict=False)]
        t_args, t_y0, t_ts = problem.split(tangents)
        t_y0 = [instantiate(t) for t in t_y0]
        if mask[-1]:
            # The initial state holds at the first time: moving that time moves the solution along.
            first = evaluate(problem.program, [*args, *y0, index_in_dim(ts, 0, 0, False)])
            moved = index_in_dim(t_ts, 0, 0, False)
            t_y0 = [sub(t, times(f, moved)) for t, f in zip(t_y0, first, strict=True)]
        system = _augmented(problem, mask, 1)
        outs = bind_odeint(system, [*args, *chosen(t_args, mask[: problem.num_args]), *y0, *t_y0, ts])
        ys, t_ys = outs[: len(y0)], outs[len(y0) :]
        if mask[-1]:
            slopes = _slopes(problem, args, ys, ts)
            t_ys = [
                add(t, times(f, reshape(t_ts, t_ts.aval.shape + (1,) * (f.aval.ndim - 1))))
                for t, f in zip(t_ys, slopes, strict=True)
            ]
        return [*ys, *t_ys]

    def make() -> Program:
        operands = problem.operands
        return _staged(run, [*operands, *[a.tangent for a in chosen(operands, mask)]], problem.program.name)

    return problem.derive(("pushed", mask), make)


def _jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, problem: Problem, axes: Axes, call_jaxpr: Program
) -> tuple[list[Any], list[Any]]:
    mask = nonzero_of(tangents)
    program = _mapped(_pushed(problem, mask), axes, lambda dims: (*dims, *chosen(dims, mask)))
    outs = evaluate(program, [*primals, *chosen(tangents, mask)])
    n = len(call_jaxpr.outvars)
    return outs[:n], outs[n:]


def _jet(
    order: int,
    values: Sequence[Any],
    terms: Sequence[Terms | None],
    *,
    problem: Problem,
    axes: Axes,
    **_: Any,
) -> tuple[list[Any], list[Terms | None]]:
    mask = tuple(t is not None for t in terms)
    if mask[-1]:
        raise NotDifferentiableError(
            "Taylor mode (jet) of odeint by the times is not supported: the solution is known by "
            "interpolation "
            "between steps. Differentiate by them with jvp or grad, or apply jet to the equation's function."
        )
    system = _augmented(problem, mask, order)
    count, state = problem.num_args, len(problem.state)

    def spread_out(each: Sequence[Any]) -> list[Any]:
        """For each operand's entry those of its coefficients, in the order of the system's operands."""
        args, y0 = list(each[:count]), list(each[count:-1])
        moving = [e for e, m in zip(args, mask[:count], strict=True) if m for _ in range(order)]
        return [*args, *moving, *y0, *[e for e in y0 for _ in range(order)], each[-1]]

    args, y0, ts = problem.split(values)
    arg_terms = [instantiate(c) for t in terms[:count] if t is not None for c in t]
    y_terms: list[Any] = []
    for y, t in zip(y0, terms[count:-1], strict=True):
        y_terms += [zeros(y.aval.tangent)] * order if t is None else map(instantiate, t)
    operands = [*args, *arg_terms, *y0, *y_terms, ts]
    system_axes = tuple((size, name, tuple(spread_out(dims))) for size, name, dims in axes)
    program = _mapped(_solver(system), system_axes, lambda dims: dims)
    outs = odeint_p.bind(*operands, problem=system, axes=system_axes, call_jaxpr=program)
    return join(outs, (True,) * state, order)


# Reverse mode -----------------------------------------------------------------------------------------


def _linearize(
    trace: LinearizeTrace,
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    problem: Problem,
    axes: Axes,
    call_jaxpr: Program,
) -> tuple[list[Any], list[Any]]:
    ys = odeint_p.bind(*primals, problem=problem, axes=axes, call_jaxpr=call_jaxpr)
    mask = nonzero_of(tangents)

    def dims(own: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*own, *(0,) * len(ys), *chosen(own, mask))

    lane = _tangent_program(problem, mask)
    tangent_axes = tuple((size, name, dims(own)) for size, name, own in axes)
    out_tangents = odeint_tangent_p.bind(
        *primals,
        *ys,
        *chosen(tangents, mask),
        problem=problem,
        mask=mask,
        axes=tangent_axes,
        call_jaxpr=_mapped(lane, tangent_axes, lambda dims: dims),
    )
    return ys, out_tangents


def _tangent_program(problem: Problem, mask: Mask) -> Program:
    """(operands, states, tangents) -> tangents of the states, for one lane (only the transpose reads
    states)."""
    count, state = len(mask), len(problem.state)
    pushed = _pushed(problem, mask)

    def run(*flat: Any) -> list[Any]:
        return evaluate(pushed, [*flat[:count], *flat[count + state :]])[state:]

    def make() -> Program:
        avals = pushed.in_avals
        return _staged(run, [*avals[:count], *problem.results, *avals[count:]], problem.program.name)

    return problem.derive(("tangent", mask), make)


def _tangent_transpose(
    cts: Sequence[Any], *operands: Any, problem: Problem, mask: Mask, axes: Axes, call_jaxpr: Program
) -> list[Any]:
    given = nonzero_of(cts)
    known = len(mask) + len(cts)
    if any(type(x) is rules.Linear for x in operands[:known]):
        raise NotDifferentiableError("odeint_tangent is linear in tangents only")
    linear = tuple(type(x) is rules.Linear for x in operands[known:])
    program = _pulled(problem, mask, given)
    for size, name, dims in axes:
        program = _summed_over(program, size, name, dims[:known], dims[known:], sum(given))
    found = evaluate(program, [*operands[:known], *chosen(cts, given)])
    return [None] * known + [ct if lin else None for ct, lin in zip(found, linear, strict=True)]


def _summed_over(
    program: Program,
    size: int,
    name: Any,
    known: tuple[int | None, ...],
    linear: tuple[int | None, ...],
    cts: int,
) -> Program:
    """The mapped transpose: cotangents of operands that are not mapped are summed over the lanes."""
    batched, found = batch_program(program, Axis(size, name), (*known, *(0,) * cts))

    def run(*flat: Any) -> list[Any]:
        outs = []
        for value, dim, wanted in zip(evaluate(batched, flat), found, linear, strict=True):
            if wanted is not None:
                value = to_dim(value, dim, wanted, size)
            elif dim is not None:
                value = reduce_sum_p.bind(value, axes=(dim,))
            else:
                value = mul(value, float(size))
            outs.append(value)
        return outs

    return _staged(run, batched.in_avals, program.name)


def _pulled(problem: Problem, mask: Mask, given: Mask) -> Program:
    """(operands, states, cotangents of the states) -> cotangents of the marked operands, for one lane."""
    count, state = len(mask), len(problem.state)
    arg_mask = mask[: problem.num_args]

    def run(*flat: Any) -> list[Any]:
        args, _, ts = problem.split(flat[:count])
        ys = flat[count : count + state]
        rest = iter(flat[count + state :])
        cts = [next(rest) if g else zeros(a) for g, a in zip(given, problem.results, strict=True)]
        sums = [zeros(a.tangent) for a in chosen(problem.operands[: problem.num_args], arg_mask)]
        (n,) = problem.times.shape
        last = [index_in_dim(ct, n - 1, 0, False) for ct in cts]
        system = _adjoint(problem, arg_mask)

        def step(carry: Any, row: Any) -> Any:
            adjoint, sums = carry
            y, before, after, ct = row
            ends = concatenate([reshape(neg(after), (1,)), reshape(neg(before), (1,))], 0)
            outs = bind_odeint(system, [*args, *y, *adjoint, *sums, ends])
            final = [index_in_dim(o, 1, 0, False) for o in outs[state:]]
            adjoint = [add(a, c) for a, c in zip(final[:state], ct, strict=True)]
            return (adjoint, final[state:]), None

        rows = (
            [slice_in_dim(y, 1, n) for y in ys],
            slice_in_dim(ts, 0, n - 1),
            slice_in_dim(ts, 1, n),
            [slice_in_dim(ct, 0, n - 1) for ct in cts],
        )
        (adjoint, sums), _ = scan(step, (last, sums), rows, length=n - 1, reverse=True)
        found = [*sums, *chosen(adjoint, mask[problem.num_args : -1])]
        if mask[-1]:
            found.append(_times_cotangent(problem, args, ys, ts, cts, adjoint))
        return found

    def make() -> Program:
        cotangents = chosen(problem.results, given)
        return _staged(run, [*problem.operands, *problem.results, *cotangents], problem.program.name)

    return problem.derive(("pulled", mask, given), make)


def _times_cotangent(
    problem: Problem,
    args: Sequence[Any],
    ys: Sequence[Any],
    ts: Any,
    cts: Sequence[Any],
    adjoint: Sequence[Any],
) -> Any:
    """A time moves its state along the slope; the first moves the whole solution against it."""
    slopes = _slopes(problem, args, ys, ts)
    own = _paired(slopes, cts, ts, 1)
    first = _paired([index_in_dim(f, 0, 0, False) for f in slopes], adjoint, ts, 0)
    rest = zeros(shaped_array((problem.times.shape[0] - 1,), first.aval.dtype))
    return sub(own, concatenate([reshape(first, (1,)), rest], 0))


def _paired(xs: Sequence[Any], ys: Sequence[Any], ts: Any, keep: int) -> Any:
    """The sum of products over all but the first `keep` dimensions, as real numbers of the times' type."""
    total: Any = None
    for x, y in zip(xs, ys, strict=True):
        product = mul(x, y)
        term = reduce_sum_p.bind(product, axes=tuple(range(keep, product.aval.ndim)))
        term = real(term) if term.aval.dtype.kind == "c" else term
        term = times(term, index_in_dim(ts, 0, 0, False), convert_only=True)
        total = term if total is None else add(total, term)
    return total


def _adjoint(problem: Problem, arg_mask: Mask) -> Problem:
    """The equation, backwards, of the state, of its adjoint, and of the sums of cotangents of arguments."""
    program, count, state = problem.program, problem.num_args, len(problem.state)
    split = linearize_program(program, (*arg_mask, *(True,) * state, False))
    residuals = len(split.residual_inputs)
    linear = (False,) * residuals + (True,) * (sum(arg_mask) + state)
    pulled, nonzero = transpose_program(split.linear, linear, (True,) * sum(split.out_nonzero))

    def run(*flat: Any) -> list[Any]:
        args, y, adjoint = flat[:count], flat[count : count + state], flat[count + state : count + 2 * state]
        inputs = [*args, *y, neg(flat[-1])]
        outs = evaluate(split.primal, inputs)
        values, rest = outs[:state], split.residuals(inputs, outs[state:])
        found = evaluate(pulled, [*rest, *chosen(adjoint, split.out_nonzero)])
        avals = [*chosen(program.in_avals[:count], arg_mask), *problem.state]
        cts = [instantiate(t) for t in spread(nonzero, found, avals)]
        return [*[neg(v) for v in values], *cts[sum(arg_mask) :], *cts[: sum(arg_mask)]]

    def make() -> Problem:
        args = program.in_avals[:count]
        sums = [a.tangent.strip_weak_type() for a in chosen(args, arg_mask)]
        state_avals = [*problem.state, *problem.state, *sums]
        inputs = [*args, *state_avals, program.in_avals[-1]]
        ends = shaped_array((2,), problem.times.dtype)
        return Problem(_staged(run, inputs, program.name), count, ends, problem.tolerances)

    return problem.derive(("adjoint", arg_mask), make)


# Rules ------------------------------------------------------------------------------------------------


def _batch(primitive: Primitive) -> rules.Rule:
    def rule(
        axis: Axis,
        values: Sequence[Any],
        dims: Sequence[int | None],
        *,
        axes: Axes,
        call_jaxpr: Program,
        **params: Any,
    ) -> tuple[list[Any], list[int]]:
        count = len(call_jaxpr.outvars)
        batched, _ = batch_program(call_jaxpr, axis, tuple(dims), (0,) * count)
        more = (*axes, (axis.size, axis.name, tuple(dims)))
        return primitive.bind(*values, axes=more, call_jaxpr=batched, **params), [0] * count

    return rule


def _called(call_jaxpr: Program) -> Callable[..., list[Any]]:
    return lambda *xs: evaluate(call_jaxpr, xs)


for _p in (odeint_p, odeint_tangent_p):
    rules.evaluate[_p] = lambda *args, call_jaxpr, **_: executable(call_jaxpr)(args)
    rules.abstract[_p] = lambda *avals, call_jaxpr, **_: call_jaxpr.out_avals
    rules.batch[_p] = _batch(_p)
rules.jvp[odeint_p] = _jvp
rules.linearize[odeint_p] = _linearize
rules.jet[odeint_p] = _jet
rules.jvp[odeint_tangent_p] = lambda primals, tangents, call_jaxpr, **_: jvp(
    _called(call_jaxpr), primals, tangents
)
rules.linearize[odeint_tangent_p] = lambda trace, primals, tangents, call_jaxpr, **_: linearize_inline(
    trace, _called(call_jaxpr), primals, tangents
)
rules.jet[odeint_tangent_p] = lambda order, values, terms, call_jaxpr, **_: jet(
    _called(call_jaxpr), values, terms, order
)
rules.transpose[odeint_tangent_p] = _tangent_transpose
