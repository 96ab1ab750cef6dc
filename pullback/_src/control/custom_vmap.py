"""`custom_vmap`: functions with a rule for `vmap` given by the user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..base import pytree
from ..base.errors import StructureError, UnexpectedTracerError
from ..core import rules
from ..core.evaluate import evaluate
from ..core.primitive import Primitive
from ..core.program import Program
from ..core.trace import CURRENT, EVAL
from ..ops.joining import concatenate
from ..ops.slicing import index_in_dim
from ..ops.structural import moveaxis, reshape
from ..transforms.batch import Axis, batch
from ..transforms.jvp import jvp as push
from .custom_rules import (
    Arguments,
    CustomFunction,
    FlatFunction,
    closure_error,
    name_of,
    register_call,
    results,
)

custom_vmap_call_p = Primitive("custom_vmap_call", multiple_results=True, call_like=True)


class custom_vmap(CustomFunction):
    """Decorator: give a function a rule for `vmap`.

    The rule, set with `def_vmap`, is called as `rule(axis_size, in_batched, *args)`: `in_batched` has the
    structure of `args` with a bool at each leaf that tells whether it is mapped, over its leading axis. It
    returns the outputs and, in the same structure, which of them are mapped (over their leading axis).

    Example:
        >>> @custom_vmap
        ... def f(x, y):
        ...     return x @ y
        >>> @f.def_vmap
        ... def f_vmap(axis_size, in_batched, x, y):
        ...     ...
        ...     return out, True
    """

    kind = "custom_vmap"

    def __init__(self, fun: Callable[..., Any]) -> None:
        super().__init__(fun)
        self.vmap_rule: Callable[..., Any] | None = None

    def def_vmap(self, vmap_rule: Callable[..., Any]) -> Callable[..., Any]:
        """Set the rule; usable as a decorator."""
        if not callable(vmap_rule):
            raise TypeError(
                f"def_vmap expects a function, got {vmap_rule!r} of type {type(vmap_rule).__name__}"
            )
        self.vmap_rule = vmap_rule
        return vmap_rule

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name = name_of(self.fun)
        rule = self.vmap_rule
        if rule is None:
            raise AttributeError(
                f"the custom_vmap function {name} has no rule: define one with {name}.def_vmap"
            )
        positional = self.signature.resolve(args, kwargs)
        if CURRENT.get() is EVAL:
            return self.fun(*positional)
        call = Arguments(self.signature, positional)

        def flat_rule(
            size: int, batched: Sequence[bool], values: Sequence[Any]
        ) -> tuple[list[Any], list[bool]]:
            return _run_rule(call, rule, size, batched, values)

        try:
            outs = custom_vmap_call_p.bind(
                *call.operands,
                name=name,
                call_jaxpr=FlatFunction(call.run, name),
                rule=FlatFunction(flat_rule, name_of(rule)),
                num_consts=0,
            )
        except UnexpectedTracerError as error:
            raise closure_error("custom_vmap", name, [self.fun, rule], error) from error
        return pytree.unflatten(call.out_tree, outs)


def _run_rule(
    call: Arguments, rule: Callable[..., Any], size: int, batched: Sequence[bool], values: Sequence[Any]
) -> tuple[list[Any], list[bool]]:
    """The user's rule on flat values; returns flat results and which of them are mapped."""
    label = f"the rule {name_of(rule)} of the custom_vmap function {name_of(call.signature.fun)}"
    in_batched = list(call.diff_args(list(batched)))
    pair = call.apply(rule, size, in_batched, *call.diff_args(values))
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"{label} must return a pair (output, which outputs are mapped), got {pair!r}")
    outs, tree = results(pair[0], lambda: f"the output of {label}")
    flags, flag_tree = pytree.flatten(pair[1])
    if flag_tree != tree:
        difference = pytree.explain_structure_difference(tree, flag_tree, "the output", "the flags")
        raise StructureError(f"{label} must return flags in the structure of its output: {difference}")
    if call.out_tree is None:
        call.out_tree = tree
    elif tree != call.out_tree:
        difference = pytree.explain_structure_difference(
            call.out_tree, tree, "the function's output", "the rule's"
        )
        raise StructureError(f"{label} must return an output of the function's structure: {difference}")
    for i, (out, flag) in enumerate(zip(outs, flags, strict=True)):
        if flag and (out.aval.ndim == 0 or out.aval.shape[0] != size):
            raise TypeError(
                f"{label}: output {i} is said to be mapped, so its leading axis must have size {size}; got "
                f"{out.aval.str_short()}"
            )
    return outs, [bool(f) for f in flags]


def sequential_vmap(f: Callable[..., Any]) -> custom_vmap:
    """A function that `vmap` applies to one element after the other."""
    mapped = custom_vmap(f)

    def rule(axis_size: int, in_batched: Sequence[Any], *args: Any) -> tuple[Any, Any]:
        flags, _ = pytree.flatten(tuple(in_batched))
        leaves, tree = pytree.flatten(args)
        rows = []
        out_tree: Any = None
        for i in range(axis_size):
            element = [index_in_dim(v, i, 0, False) if b else v for v, b in zip(leaves, flags, strict=True)]
            out, out_tree = results(
                mapped(*pytree.unflatten(tree, element)), lambda: f"the output of {name_of(f)}"
            )
            rows.append([reshape(v, (1, *v.aval.shape)) for v in out])
        stacked = [concatenate(column, 0) for column in zip(*rows, strict=True)]
        return pytree.unflatten(out_tree, stacked), pytree.unflatten(out_tree, [True] * len(stacked))

    mapped.def_vmap(rule)
    return mapped


# Rules of the primitive -------------------------------------------------------------------------------


def _jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, call_jaxpr: Any, **params: Any
) -> tuple[list[Any], list[Any]]:
    # The derivative of the function itself: the rule is for mapping it, which an outer vmap no longer does.
    return push(lambda *args: _run(call_jaxpr, args), primals, tangents)


def _run(call: Any, args: Sequence[Any]) -> list[Any]:
    return evaluate(call, args) if isinstance(call, Program) else call(*args)


def _batch(
    axis: Axis,
    values: Sequence[Any],
    dims: Sequence[int | None],
    *,
    call_jaxpr: Any,
    rule: Any,
    num_consts: int,
    **params: Any,
) -> tuple[list[Any], list[int | None]]:
    if all(d is None for d in dims):  # only closed-over values may be mapped, of which the rule knows nothing
        return batch(lambda *args: _run(call_jaxpr, args), axis, values, dims)
    own = [v if d is None else moveaxis(v, d, 0) for v, d in zip(values, dims, strict=True)][num_consts:]
    outs, flags = rule(axis.size, [d is not None for d in dims[num_consts:]], own)
    return outs, [0 if flag else None for flag in flags]


register_call(custom_vmap_call_p, "custom_vmap")
rules.jvp[custom_vmap_call_p] = _jvp
rules.batch[custom_vmap_call_p] = _batch
