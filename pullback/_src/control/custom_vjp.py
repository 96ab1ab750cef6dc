"""`custom_vjp`: functions with a reverse-mode rule given by the user.

Differentiation runs `fwd`, keeps its residuals and records one linear equation, `custom_vjp_linear`, whose
transpose is `bwd`. Forward mode needs the derivative itself: the transpose of the linear function
`bwd(residuals, .)`, found by tracing `bwd`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..base import pytree
from ..base.errors import NotDifferentiableError, StructureError, UnexpectedTracerError
from ..core import rules
from ..core.array import Array, as_array
from ..core.aval import ShapedArray, Zero
from ..core.primitive import Primitive
from ..core.staging import LinearTrace
from ..core.trace import CURRENT, EVAL, using
from ..ops.structural import reduce_sum_p
from ..transforms.batch import Axis, batch, to_dim
from ..transforms.jvp import jvp
from ..transforms.linearize import LinearizeTrace
from ..transforms.transpose import backward_pass
from .call import merge_zeros, split_nonzero
from .custom_jvp import batched_jvp, map_jvp
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
from .custom_tangents import CustomVJPPrimal, for_user, from_user

custom_vjp_call_p = Primitive("custom_vjp_call", multiple_results=True, call_like=True)
custom_vjp_linear_p = Primitive("custom_vjp_linear", multiple_results=True, call_like=True)

# What a flat forward rule returns: outputs, residuals, and the function of (residuals, cotangents of the
# outputs) that gives the cotangents of the inputs.
Forward = tuple[list[Any], list[Any], Callable[[Sequence[Any], Sequence[Any]], list[Any]]]


class custom_vjp(CustomFunction):
    """Decorator: give a function a rule for reverse-mode differentiation.

    Args:
        fun: a function of arrays, numbers and pytrees of them.
        nondiff_argnums: positions of arguments that are not differentiated (functions, strings, shapes).
        nondiff_argnames: the same by name.

    The rule is a pair of functions set with `defvjp`. Forward mode and higher derivatives work as well: `fwd`
    and `bwd` are differentiated themselves, and for `jvp` the derivative is the transpose of `bwd`, which
    must then be linear in the cotangent.

    Example:
        >>> @custom_vjp
        ... def clip_gradient(lo, hi, x):
        ...     return x
        >>> def fwd(lo, hi, x):
        ...     return x, (lo, hi)
        >>> def bwd(residuals, g):
        ...     lo, hi = residuals
        ...     return None, None, pnp.clip(g, lo, hi)
        >>> clip_gradient.defvjp(fwd, bwd)
    """

    kind = "custom_vjp"

    def __init__(
        self, fun: Callable[..., Any], nondiff_argnums: Any = (), nondiff_argnames: Any = ()
    ) -> None:
        super().__init__(fun, nondiff_argnums, nondiff_argnames)
        self.fwd: Callable[..., Any] | None = None
        self.bwd: Callable[..., Any] | None = None
        self.symbolic_zeros = False
        self.optimize_remat = False

    def defvjp(
        self,
        fwd: Callable[..., Any],
        bwd: Callable[..., Any],
        symbolic_zeros: bool = False,
        optimize_remat: bool = False,
    ) -> None:
        """Set the rule.

        Args:
            fwd: takes the function's arguments; returns a pair (output, residuals), residuals being any
                pytree.
            bwd: called as `bwd(*nondiff_args, residuals, cotangent)` with a cotangent of the output; returns
                a tuple with a cotangent for each differentiable argument, in its structure; None stands for
                zeros.
            symbolic_zeros: pass `fwd` objects with `.value` and `.perturbed` instead of arrays, and `bwd`
                cotangents that are zero as `SymbolicZero`.
            optimize_remat: accepted for compatibility; residuals are never recomputed needlessly here.
        """
        for what, rule in (("fwd", fwd), ("bwd", bwd)):
            if not callable(rule):
                raise TypeError(
                    f"defvjp expects a function as {what}, got {rule!r} of type {type(rule).__name__}"
                )
        self.fwd = fwd
        self.bwd = bwd
        self.symbolic_zeros = symbolic_zeros
        self.optimize_remat = optimize_remat

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name = name_of(self.fun)
        if self.fwd is None or self.bwd is None:
            raise AttributeError(f"the custom_vjp function {name} has no rule: define one with {name}.defvjp")
        positional = self.signature.resolve(args, kwargs)
        if CURRENT.get() is EVAL:
            return self.fun(*positional)
        return bind_vjp(Arguments(self.signature, positional), self.fwd, self.bwd, self.symbolic_zeros)


def bind_vjp(
    call: Arguments,
    fwd: Callable[..., Any],
    bwd: Callable[..., Any],
    symbolic: bool,
    jvp: FlatFunction | None = None,
) -> Any:
    """Apply a function with a user's reverse-mode rule to the arguments of a call.

    `jvp` is its flat forward-mode rule, if it has one; otherwise forward mode transposes `bwd`.
    """
    fun, name = call.signature.fun, name_of(call.signature.fun)
    rule = Rule(call, fwd, bwd, symbolic)
    try:
        outs = custom_vjp_call_p.bind(
            *call.operands,
            name=name,
            call_jaxpr=FlatFunction(call.run, name),
            fwd=FlatFunction(rule.run_fwd, name_of(fwd)),
            bwd=name_of(bwd),
            num_consts=0,
            symbolic_zeros=symbolic,
            **({} if jvp is None else {"jvp": jvp}),
        )
    except UnexpectedTracerError as error:
        raise closure_error(call.signature.kind, name, [fun, fwd, bwd], error) from error
    return pytree.unflatten(call.out_tree, outs)


class Rule:
    """A user's `fwd` and `bwd` for one call, on flat values."""

    __slots__ = ("call", "fwd", "bwd", "symbolic", "name")

    def __init__(
        self, call: Arguments, fwd: Callable[..., Any], bwd: Callable[..., Any], symbolic: bool
    ) -> None:
        self.call = call
        self.fwd = fwd
        self.bwd = bwd
        self.symbolic = symbolic
        self.name = f"{call.signature.kind} function {name_of(call.signature.fun)}"

    def run_fwd(self, primals: Sequence[Any], perturbed: Sequence[bool]) -> Forward:
        """Run `fwd` on the values of all operands."""
        call = self.call
        hidden = primals[: call.hidden]
        if any(perturbed[: call.hidden]):
            raise UnexpectedTracerError(
                f"the {self.name} got a traced value by which it is being differentiated "
                "in an argument "
                "marked by nondiff_argnums. Only arguments without a derivative (functions, strings, shapes, "
                "and arrays by "
                "which nobody differentiates) may be marked; unmark it and return None for it from bwd."
            )
        given: Sequence[Any] = primals[call.hidden :]
        if self.symbolic:
            given = [CustomVJPPrimal(p, nz) for p, nz in zip(given, perturbed[call.hidden :], strict=True)]
        label = f"the fwd rule {name_of(self.fwd)} of the {self.name}"
        pair = call.apply(self.fwd, *call.all_args(call.nondiff_args(hidden), given))
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"{label} must return a pair (output, residuals), got {pair!r}")
        outs, out_tree = results(pair[0], lambda: f"the primal output of {label}")
        call.check_primal_output(label, outs, out_tree)
        leaves, residual_tree = pytree.flatten(pair[1])
        # Arrays travel as residuals; everything else (sizes, names) stays as it is.
        arrays = [i for i, v in enumerate(leaves) if isinstance(v, Array) or hasattr(v, "__array__")]
        residuals = [as_array(leaves[i]) for i in arrays]
        static = [v if i not in arrays else None for i, v in enumerate(leaves)]
        in_avals = call.avals if not self.symbolic else [p.value.aval for p in given]

        def run_bwd(values: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
            restored = list(static)
            for i, value in zip(arrays, values[len(hidden) :], strict=True):
                restored[i] = value
            nondiff = call.nondiff_args(values[: len(hidden)])
            ct = pytree.unflatten(out_tree, [for_user(c, self.symbolic) for c in cts])
            result = call.apply(self.bwd, *nondiff, pytree.unflatten(residual_tree, restored), ct)
            return [None] * len(hidden) + self.check_cotangents(result, in_avals)

        return outs, [*hidden, *residuals], run_bwd

    def check_cotangents(self, result: Any, in_avals: Sequence[ShapedArray]) -> list[Any]:
        """The leaves of what `bwd` returned, as arrays or `Zero`, after checking structure and types."""
        tree = self.call.tree
        label = f"the bwd rule {name_of(self.bwd)} of the {self.name}"
        if isinstance(result, list):
            result = tuple(result)
        leaves, found = pytree.flatten(result, _is_none)
        if found != tree or any(leaf is None for leaf in leaves):
            leaves = self._spread(result, leaves, found, label)
        return [
            from_user(leaf, aval.tangent, at(f"{label}: the cotangent at output", tree, i))
            for i, (leaf, aval) in enumerate(zip(leaves, in_avals, strict=True))
        ]

    def _spread(self, result: Any, given: list[Any], structure: Any, label: str) -> list[Any]:
        """Leaves for each differentiable leaf, where None may stand for a whole subtree."""
        tree = self.call.tree
        count = self.call.count - len(self.call.signature.nondiff)
        found: list[Any] = []
        if isinstance(result, tuple) and _expand(structure, tree, iter(given), found):
            return found
        difference = pytree.explain_structure_difference(
            tree, result, "the tuple of arguments", "the tuple of cotangents"
        )
        raise StructureError(
            f"{label} must return a tuple with a cotangent for each of the {count} differentiable arguments, "
            "each in the "
            f"structure of its argument (None stands for zeros): {difference}"
        )


def custom_vjp_primal_tree_values(tree: Any) -> Any:
    """A tree with the values of the `CustomVJPPrimal`s that a `fwd` rule with `symbolic_zeros=True` gets."""
    return pytree.tree_map(lambda leaf: leaf.value if isinstance(leaf, CustomVJPPrimal) else leaf, tree)


def _expand(found: Any, tree: Any, leaves: Iterator[Any], out: list[Any]) -> bool:
    """Append to `out` a value for each leaf of `tree`, where None in `found` stands for a whole subtree."""
    if found.type is None:
        leaf = next(leaves)
        if leaf is None:
            out.extend([None] * tree.num_leaves)
        else:
            out.append(leaf)
        return leaf is None or tree.type is None
    if found.type is not tree.type or found.one_level() != tree.one_level():
        return False
    return all(_expand(f, t, leaves, out) for f, t in zip(found.children(), tree.children(), strict=True))


def _is_none(value: Any) -> bool:
    return value is None


# The linear equation -----------------------------------------------------------------------------------


class LinearRule:
    """The parameter of `custom_vjp_linear`: how residuals and cotangents of outputs give cotangents of
    inputs.

    Attributes:
        bwd: the flat function of (residuals, cotangents of all outputs).
        out_avals: the types of all outputs; the equation's results are the tangents of the inexact ones.
        in_nonzero: for which inputs the equation has a tangent operand (after the residuals).
        residuals: how many operands are residuals.
        forward: the user's jvp rule, if there is one, on flat primals and tangents. The first residuals are
            the primals then, which `bwd` does not take.
    """

    __slots__ = ("bwd", "out_avals", "in_nonzero", "residuals", "forward", "__name__")

    carries_python = True

    def __init__(
        self,
        bwd: Callable[..., Any],
        out_avals: Sequence[ShapedArray],
        in_nonzero: Sequence[bool],
        residuals: int,
        name: str,
        forward: Callable[..., Any] | None = None,
    ) -> None:
        self.bwd = bwd
        self.forward = forward
        self.out_avals = tuple(out_avals)
        self.in_nonzero = tuple(in_nonzero)
        self.residuals = residuals
        self.__name__ = name

    @property
    def tangent_avals(self) -> list[ShapedArray]:
        """The types of the equation's results."""
        return [a.tangent for a in self.out_avals if a.tangent is a]

    def with_zeros(self, values: Sequence[Any]) -> list[Any]:
        """A value for each output from one for each inexact output."""
        return merge_zeros(self.out_avals, [a.tangent is a for a in self.out_avals], values)

    def pull(self, residuals: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        """Cotangents of the tangent operands from those of the results."""
        own = residuals if self.forward is None else residuals[len(self.in_nonzero) :]
        found = self.bwd(own, self.with_zeros(cts))
        return [ct for ct, nz in zip(found, self.in_nonzero, strict=True) if nz]

    def push(self, residuals: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
        """The results: those of the jvp rule, or else of the transpose of `pull`, applied to tangents."""
        if self.forward is not None:
            primals = residuals[: len(self.in_nonzero)]
            given = merge_zeros([p.aval for p in primals], self.in_nonzero, tangents)
            _, pushed = self.forward(primals, given)
            return [t for t, a in zip(pushed, self.out_avals, strict=True) if a.tangent is a]
        tape = LinearTrace(CURRENT.get())
        try:
            with using(tape):
                cts = [tape.new_input(a) for a in self.tangent_avals]
                found = self.pull(residuals, cts)
                kept = [i for i, ct in enumerate(found) if type(ct) is not Zero]
                program = tape.finish([found[i] for i in kept])
            return backward_pass(program, program.consts, [tangents[i] for i in kept])
        except UnexpectedTracerError:
            raise
        except Exception as error:
            raise NotDifferentiableError(
                "forward-mode differentiation (jvp, jacfwd) of a custom_vjp function transposes its bwd rule "
                f"{self.__name__}, which must be traceable and linear in the cotangent for that; it is not: "
                f"{type(error).__name__}: {error}\nUse reverse mode (grad, vjp, jacrev), or give the "
                "function a jvp rule: with custom_jvp, which serves both modes, or, beside bwd, with "
                "custom_rule."
            ) from error
        finally:
            tape.active = False


def _linear_evaluate(*args: Any, rule: LinearRule) -> list[Any]:
    from_transpose = rule.push(args[: rule.residuals], args[rule.residuals :])
    return [_filled(t) for t in from_transpose]


def _filled(value: Any) -> Any:
    return for_user(value, False) if type(value) is Zero else value


def _linear_transpose(cts: Sequence[Any], *args: Any, rule: LinearRule) -> list[Any]:
    residuals = args[: rule.residuals]
    return [None] * rule.residuals + rule.pull(residuals, cts)


def _linear_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, rule: LinearRule
) -> tuple[list[Any], list[Any]]:
    return jvp(lambda *args: _linear_evaluate(*args, rule=rule), primals, tangents)


def _linear_batch(
    axis: Axis, values: Sequence[Any], dims: Sequence[int | None], *, rule: LinearRule
) -> tuple[list[Any], list[int]]:
    count = rule.residuals
    tangent_dims = iter(dims[count:])
    in_dims = [next(tangent_dims) if nz else None for nz in rule.in_nonzero]
    # Tangents of unmapped inputs are mapped here as well: then the transpose gives each its own cotangent.
    out_avals = [_with_batch(a, axis) for a in rule.out_avals]
    primal_dims = [] if rule.forward is None else dims[: len(in_dims)]
    bwd = batched_pullback(rule.bwd, axis, dims[len(primal_dims) : count], in_dims, [0] * len(out_avals))
    forward = None if rule.forward is None else _batched_forward(rule.forward, axis, primal_dims, in_dims)
    new = LinearRule(bwd, out_avals, rule.in_nonzero, count, rule.__name__, forward)
    outs = custom_vjp_linear_p.bind(*values, rule=new)
    return outs, [0] * len(outs)


def _batched_forward(
    jvp: Callable[..., Any], axis: Axis, primal_dims: Sequence[int | None], in_dims: Sequence[int | None]
) -> Callable[..., Any]:
    """A flat jvp rule of which only the tangents of the outputs are used, all mapped over dimension 0."""

    def run(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        _, _, pushed, dims = map_jvp(jvp, axis, primals, primal_dims, tangents, in_dims)
        return [], [
            Zero(_with_batch(t.aval, axis)) if type(t) is Zero else to_dim(t, d, 0, axis.size)
            for t, d in zip(pushed, dims, strict=True)
        ]

    return run


def _with_batch(aval: ShapedArray, axis: Axis) -> ShapedArray:
    return aval.update(shape=(axis.size, *aval.shape))


def batched_pullback(
    bwd: Callable[..., Any],
    axis: Axis,
    residual_dims: Sequence[int | None],
    in_dims: Sequence[int | None],
    out_dims: Sequence[int | None],
) -> Callable[..., Any]:
    """`bwd` mapped over an axis; cotangents of unmapped inputs are summed over it."""

    def run(residuals: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        given = [i for i, ct in enumerate(cts) if type(ct) is not Zero]
        nonzero: list[Any] = []

        def inner(*flat: Any) -> list[Any]:
            inner_cts = [_unbatched_zero(ct, d) for ct, d in zip(cts, out_dims, strict=True)]
            for i, ct in zip(given, flat[len(residuals) :], strict=True):
                inner_cts[i] = ct
            found = bwd(flat[: len(residuals)], inner_cts)
            nonzero[:] = found
            return [ct for ct in found if ct is not None and type(ct) is not Zero]

        flat_dims = [*residual_dims, *[out_dims[i] for i in given]]
        values, dims = batch(inner, axis, [*residuals, *[cts[i] for i in given]], flat_dims)
        rest = iter(zip(values, dims, strict=True))
        result: list[Any] = []
        for ct, in_dim in zip(nonzero, in_dims, strict=True):
            if ct is None:
                result.append(None)
            elif type(ct) is Zero:
                result.append(Zero(ct.aval if in_dim is None else _insert(ct.aval, in_dim, axis)))
            else:
                value, dim = next(rest)
                if in_dim is not None:
                    value = to_dim(value, dim, in_dim, axis.size)
                elif dim is not None:
                    value = reduce_sum_p.bind(value, axes=(dim,))
                result.append(value)
        return result

    return run


def _insert(aval: ShapedArray, dim: int, axis: Axis) -> ShapedArray:
    return aval.update(shape=(*aval.shape[:dim], axis.size, *aval.shape[dim:]))


def _unbatched_zero(ct: Any, dim: int | None) -> Any:
    if type(ct) is not Zero or dim is None:
        return ct
    return Zero(ct.aval.update(shape=ct.aval.shape[:dim] + ct.aval.shape[dim + 1 :]))


rules.evaluate[custom_vjp_linear_p] = _linear_evaluate
rules.abstract[custom_vjp_linear_p] = lambda *avals, rule: rule.tangent_avals
rules.transpose[custom_vjp_linear_p] = _linear_transpose
rules.jvp[custom_vjp_linear_p] = _linear_jvp
rules.batch[custom_vjp_linear_p] = _linear_batch


# Rules of the call -------------------------------------------------------------------------------------


def _forward(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    name: str,
    fwd: Any,
    bwd: str,
    num_consts: int,
    forward: Any,
) -> tuple[list[Any], list[Any], LinearRule, list[Any]]:
    check_closure("custom_vjp", name, tangents[:num_consts])
    mask, given = split_nonzero(tangents[num_consts:])
    own = primals[num_consts:]
    outs, residuals, pullback = fwd(own, mask)
    if forward is not None:
        residuals = [*own, *residuals]
    rule = LinearRule(pullback, [o.aval for o in outs], mask, len(residuals), bwd, forward)
    return outs, residuals, rule, given


def _jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    name: str,
    fwd: Any,
    bwd: str,
    num_consts: int,
    jvp: Any = None,
    **params: Any,
) -> tuple[list[Any], list[Any]]:
    if jvp is not None:
        check_closure("custom_rule", name, tangents[:num_consts])
        return jvp(primals[num_consts:], tangents[num_consts:])
    outs, residuals, rule, given = _forward(primals, tangents, name, fwd, bwd, num_consts, None)
    return outs, rule.with_zeros(rule.push(residuals, given))


def _linearize(
    trace: LinearizeTrace,
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    name: str,
    fwd: Any,
    bwd: str,
    num_consts: int,
    jvp: Any = None,
    **params: Any,
) -> tuple[list[Any], list[Any]]:
    with using(trace.parent):
        outs, residuals, rule, given = _forward(primals, tangents, name, fwd, bwd, num_consts, jvp)
    return outs, rule.with_zeros(custom_vjp_linear_p.bind(*residuals, *given, rule=rule))


def _batch(
    axis: Axis,
    values: Sequence[Any],
    dims: Sequence[int | None],
    *,
    call_jaxpr: Any,
    fwd: Any,
    num_consts: int,
    jvp: Any = None,
    **params: Any,
) -> tuple[list[Any], list[int | None]]:
    own_dims = list(dims[num_consts:])
    mapped = MappedOutputs(axis, dims)

    def batched_fwd(primals: Sequence[Any], perturbed: Sequence[bool]) -> Forward:
        pullback: Any = None
        count = 0

        def run(*flat: Any) -> list[Any]:
            nonlocal pullback, count
            outs, residuals, pullback = fwd(flat, perturbed)
            count = len(outs)
            return [*outs, *residuals]

        flat, found = batch(run, axis, primals, own_dims)
        mapped.decide([d is not None for d in found[:count]])
        outs = [mapped.place(flat[i], found[i], i) for i in range(count)]
        return outs, flat[count:], batched_pullback(pullback, axis, found[count:], own_dims, mapped.dims)

    outs = custom_vjp_call_p.bind(
        *values,
        call_jaxpr=batched_call(call_jaxpr, axis, dims, mapped),
        fwd=FlatFunction(batched_fwd, fwd.__name__),
        num_consts=num_consts,
        **params if jvp is None else {**params, "jvp": batched_jvp(jvp, axis, own_dims, mapped)},
    )
    return outs, mapped.dims


register_call(custom_vjp_call_p, "custom_vjp")
rules.jvp[custom_vjp_call_p] = _jvp
rules.linearize[custom_vjp_call_p] = _linearize
rules.batch[custom_vjp_call_p] = _batch
