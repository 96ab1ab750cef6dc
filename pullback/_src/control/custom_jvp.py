"""`custom_jvp`: functions with a forward-mode rule given by the user.

The rule serves both modes: reverse mode records and transposes what the rule does with tangents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..base import pytree
from ..base.errors import StructureError, UnexpectedTracerError
from ..core import rules
from ..core.aval import Zero
from ..core.primitive import Primitive
from ..core.trace import CURRENT, EVAL, Tracer, using
from ..ops.structural import add_any, zeros
from ..transforms.batch import Axis, batch
from ..transforms.linearize import LinearizeTrace, linearize, push_forward
from .call import merge_zeros, split_nonzero
from .custom_rules import (
    Arguments,
    CustomFunction,
    FlatFunction,
    MappedOutputs,
    at,
    batched_call,
    check_closure,
    closure_error,
    name_of,
    register_call,
    results,
)
from .custom_tangents import SymbolicZero, for_user, from_user, user_zero

custom_jvp_call_p = Primitive("custom_jvp_call", multiple_results=True, call_like=True)


class custom_jvp(CustomFunction):
    """Decorator: give a function a rule for its derivative.

    Args:
        fun: a function of arrays, numbers and pytrees of them.
        nondiff_argnums: positions of arguments that are not differentiated (functions, strings, shapes).
        nondiff_argnames: the same by name.

    The rule, set with `defjvp`, takes the non-differentiable arguments, then a tuple of the others (primals)
    and a tuple of their tangents, and returns the output and its tangent. It must be linear in the tangents.

    Example:
        >>> @custom_jvp
        ... def log1pexp(x):
        ...     return pnp.log(1. + pnp.exp(x))
        >>> @log1pexp.defjvp
        ... def log1pexp_jvp(primals, tangents):
        ...     (x,), (x_dot,) = primals, tangents
        ...     return log1pexp(x), (1 - 1 / (1 + pnp.exp(x))) * x_dot
    """

    kind = "custom_jvp"

    def __init__(
        self, fun: Callable[..., Any], nondiff_argnums: Any = (), nondiff_argnames: Any = ()
    ) -> None:
        super().__init__(fun, nondiff_argnums, nondiff_argnames)
        self.jvp: Callable[..., Any] | None = None
        self.symbolic_zeros = False

    def defjvp(self, jvp: Callable[..., Any], symbolic_zeros: bool = False) -> Callable[..., Any]:
        """Set the rule; usable as a decorator.

        Args:
            jvp: called as `jvp(*nondiff_args, primals, tangents)`; returns a pair (output, output tangent).
            symbolic_zeros: pass tangents that are zero as `SymbolicZero` instead of arrays of zeros.
        """
        if not callable(jvp):
            raise TypeError(f"defjvp expects a function, got {jvp!r} of type {type(jvp).__name__}")
        self.jvp = jvp
        self.symbolic_zeros = symbolic_zeros
        return jvp

    def defjvps(self, *jvps: Callable[..., Any] | None) -> None:
        """Set the rule by one function an argument: `jvp(t, ans, *args)` is that argument's contribution.

        None means that the contribution is zero. For functions without non-differentiable arguments.
        """
        if self.nondiff_argnums:
            raise TypeError("defjvps cannot be used with nondiff_argnums; use defjvp")
        name = name_of(self.fun)

        def jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
            if len(jvps) != len(primals):
                raise TypeError(
                    f"defjvps of {name}: {len(jvps)} rules were given, the function has {len(primals)} "
                    "arguments"
                )
            ans = self(*primals)
            leaves, tree = results(ans, lambda: f"the output of {name}")
            totals: list[Any] = [Zero(v.aval.tangent) for v in leaves]
            for rule, tangent in zip(jvps, tangents, strict=True):
                if rule is None or all(isinstance(t, SymbolicZero) for t in pytree.leaves_of(tangent)):
                    continue
                given = pytree.tree_map(_instantiated, tangent)
                term, term_tree = pytree.flatten(rule(given, ans, *primals))
                _check_structure(f"a rule given to defjvps of {name}", tree, term_tree)
                for i, t in enumerate(term):
                    t = from_user(
                        t, leaves[i].aval.tangent, at(f"a rule of defjvps of {name}, output", tree, i)
                    )
                    if type(t) is not Zero:
                        totals[i] = t if type(totals[i]) is Zero else add_any(totals[i], t)
            return ans, pytree.unflatten(
                tree, [SymbolicZero(t.aval) if type(t) is Zero else t for t in totals]
            )

        self.defjvp(jvp, symbolic_zeros=True)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.jvp is None:
            raise AttributeError(
                f"the custom_jvp function {name_of(self.fun)} has no rule: define one with "
                f"{name_of(self.fun)}.defjvp"
            )
        positional = self.signature.resolve(args, kwargs)
        if CURRENT.get() is EVAL:
            return self.fun(*positional)
        return bind_jvp(Arguments(self.signature, positional), self.jvp, self.symbolic_zeros)


def bind_jvp(call: Arguments, rule: Callable[..., Any], symbolic: bool) -> Any:
    """Apply a function with a user's jvp rule to the arguments of a call."""
    fun, name = call.signature.fun, name_of(call.signature.fun)
    try:
        outs = custom_jvp_call_p.bind(
            *call.operands,
            name=name,
            call_jaxpr=FlatFunction(call.run, name),
            jvp=flat_jvp(call, rule, symbolic),
            num_consts=0,
            symbolic_zeros=symbolic,
        )
    except UnexpectedTracerError as error:
        raise closure_error(call.signature.kind, name, [fun, rule], error) from error
    return pytree.unflatten(call.out_tree, outs)


def flat_jvp(call: Arguments, rule: Callable[..., Any], symbolic: bool) -> FlatFunction:
    """A user's jvp rule as a function of flat primals and tangents (arrays or `Zero`) of all operands."""
    return FlatFunction(lambda ps, ts: _run_rule(call, rule, symbolic, ps, ts), name_of(rule))


def _instantiated(tangent: Any) -> Any:
    return user_zero(tangent.aval, False) if isinstance(tangent, SymbolicZero) else tangent


def _run_rule(
    call: Arguments, rule: Callable[..., Any], symbolic: bool, primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """The user's rule on flat primals and tangents (arrays or `Zero`)."""
    hidden = call.hidden
    given = [for_user(t, symbolic) for t in tangents[hidden:]]
    signature = call.signature
    label = f"the jvp rule {name_of(rule)} of the {signature.kind} function {name_of(signature.fun)}"
    pair = call.apply(
        rule, *call.nondiff_args(primals), call.diff_args(primals[hidden:]), call.diff_args(given)
    )
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"{label} must return a pair (output, output tangent), got {pair!r}")
    outs, tree = results(pair[0], lambda: f"the primal output of {label}")
    call.check_primal_output(label, outs, tree)
    out_tangents, tangent_tree = pytree.flatten(pair[1])
    _check_structure(label, tree, tangent_tree)
    checked = [
        from_user(t, o.aval.tangent, at(f"{label}: the tangent at output", tree, i), exact=True)
        for i, (t, o) in enumerate(zip(out_tangents, outs, strict=True))
    ]
    return outs, checked


def _check_structure(label: str, tree: Any, tangent_tree: Any) -> None:
    if tree != tangent_tree:
        difference = pytree.explain_structure_difference(
            tree, tangent_tree, "the primal output", "the tangent output"
        )
        raise StructureError(
            f"{label} must return a tangent with the structure of the primal output: {difference}"
        )


# Rules of the primitive -----------------------------------------------------------------------------


def _jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, name: str, jvp: Any, num_consts: int, **params: Any
) -> tuple[list[Any], list[Any]]:
    check_closure("custom_jvp", name, tangents[:num_consts])
    return jvp(primals[num_consts:], tangents[num_consts:])


def _linearize(
    trace: LinearizeTrace, primals: Sequence[Any], tangents: Sequence[Any], **params: Any
) -> tuple[list[Any], list[Any]]:
    outs, pushed = _jvp(primals, tangents, **params)
    if not any(isinstance(o, Tracer) and o._trace is trace.tape for o in outs):
        return outs, pushed
    # The rule hands tangents to a whole program (the jvp of a jitted function, or of a loop), which gives
    # values and tangents in one equation on the tape. Linearizing the rule by the tangents, at zero, keeps
    # them apart. A rule is linear in the tangents, so its derivative is the rule.
    count = params["num_consts"]
    own, own_tangents = primals[count:], tangents[count:]
    mask, given = split_nonzero(own_tangents)
    avals = [p.aval for p in own]
    nonzero: list[bool] = []

    def run(*inner: Any) -> list[Any]:
        values, found = params["jvp"](own, merge_zeros(avals, mask, inner))
        nonzero[:] = [type(t) is not Zero for t in found]
        return [*values, *[t for t in found if type(t) is not Zero]]

    with using(trace.parent):
        values, derivative = linearize(run, [zeros(t.aval) for t in given])
    flat = push_forward(derivative.program, derivative.residuals, given)
    outs = values[: len(nonzero)]
    moved = merge_zeros([v.aval for v in values], derivative.out_nonzero, flat)[len(nonzero) :]
    return outs, merge_zeros([o.aval for o in outs], nonzero, moved)


def _batch(
    axis: Axis,
    values: Sequence[Any],
    dims: Sequence[int | None],
    *,
    call_jaxpr: Any,
    jvp: Any,
    num_consts: int,
    **params: Any,
) -> tuple[list[Any], list[int | None]]:
    mapped = MappedOutputs(axis, dims)
    outs = custom_jvp_call_p.bind(
        *values,
        call_jaxpr=batched_call(call_jaxpr, axis, dims, mapped),
        jvp=batched_jvp(jvp, axis, dims[num_consts:], mapped),
        num_consts=num_consts,
        **params,
    )
    return outs, mapped.dims


def batched_jvp(
    jvp: FlatFunction, axis: Axis, dims: Sequence[int | None], mapped: MappedOutputs
) -> FlatFunction:
    """A flat jvp rule mapped over an axis; a tangent is mapped as its primal is."""

    def run(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        outs, out_dims, pushed, pushed_dims = map_jvp(jvp, axis, primals, dims, tangents, dims)
        mapped.decide([a is not None or b is not None for a, b in zip(out_dims, pushed_dims, strict=True)])
        placed = [mapped.place(o, d, i) for i, (o, d) in enumerate(zip(outs, out_dims, strict=True))]
        return placed, [
            Zero(o.aval.tangent) if type(t) is Zero else mapped.place(t, d, i)
            for i, (o, t, d) in enumerate(zip(placed, pushed, pushed_dims, strict=True))
        ]

    return FlatFunction(run, jvp.__name__)


def map_jvp(
    jvp: Callable[..., Any],
    axis: Axis,
    primals: Sequence[Any],
    primal_dims: Sequence[int | None],
    tangents: Sequence[Any],
    tangent_dims: Sequence[int | None],
) -> tuple[list[Any], list[int | None], list[Any], list[int | None]]:
    """Run a flat jvp rule mapped over an axis.

    Returns:
        The outputs, their mapped dimensions, the tangents (arrays, or a `Zero` of the unmapped type) and
        theirs.
    """
    given = [i for i, t in enumerate(tangents) if type(t) is not Zero]
    count = len(primals)
    pushed: list[Any] = []

    def run(*flat: Any) -> list[Any]:
        inner: list[Any] = [Zero(p.aval.tangent) for p in flat[:count]]
        for i, t in zip(given, flat[count:], strict=True):
            inner[i] = t
        outs, pushed[:] = jvp(flat[:count], inner)
        return [*outs, *[t for t in pushed if type(t) is not Zero]]

    flat_dims = [*primal_dims, *[tangent_dims[i] for i in given]]
    values, dims = batch(run, axis, [*primals, *[tangents[i] for i in given]], flat_dims)
    rest = iter(zip(values[len(pushed) :], dims[len(pushed) :], strict=True))
    pairs = [(t, None) if type(t) is Zero else next(rest) for t in pushed]
    return values[: len(pushed)], dims[: len(pushed)], [t for t, _ in pairs], [d for _, d in pairs]


register_call(custom_jvp_call_p, "custom_jvp")
rules.jvp[custom_jvp_call_p] = _jvp
rules.linearize[custom_jvp_call_p] = _linearize
rules.batch[custom_jvp_call_p] = _batch
