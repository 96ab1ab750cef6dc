"""`checkpoint`: trade memory for computing again in reverse mode.

Under differentiation a checkpointed function keeps its inputs and what its policy allows; its derivative is
one linear equation whose program computes the rest again, when it is transposed or run forward.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, overload

from ..base import pytree
from ..core import rules
from ..core.array import Array
from ..core.aval import ShapedArray
from ..core.call import eager_executable, jit_p
from ..core.evaluate import evaluate
from ..core.primitive import Primitive
from ..core.program import Literal, Program, Var
from ..core.staging import StagingTrace, stage
from ..core.trace import using
from ..ops.dot import dot_general_p
from ..ops.families import elementwise
from ..transforms.batch import Axis, batch_program
from ..transforms.jvp import jvp_program
from ..transforms.linearize import LinearizeTrace, linearize, linearize_program
from ..transforms.simplify import eliminate_dead_code
from ..transforms.transpose import transpose_program
from .bounded import Bounded, checkpoint_bounded
from .call import merge_zeros, split_nonzero
from .common import name_of, stage_flat, to_arrays

Policy = Callable[..., Any]

checkpoint_p = Primitive("checkpoint", multiple_results=True, call_like=True)


@overload
def checkpoint(
    fun: Callable[..., Any] | Sequence[Callable[[Any], Any]], *, slots: int, memory: None = None
) -> Bounded: ...


@overload
def checkpoint(
    fun: Callable[..., Any] | Sequence[Callable[[Any], Any]], *, slots: None = None, memory: int | str
) -> Bounded: ...


@overload
def checkpoint(
    fun: Callable[..., Any],
    *,
    concrete: bool = False,
    prevent_cse: bool = True,
    policy: Policy | None = None,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
) -> Callable[..., Any]: ...


def checkpoint(
    fun: Callable[..., Any] | Sequence[Callable[[Any], Any]],
    *,
    concrete: bool = False,
    prevent_cse: bool = True,
    policy: Policy | None = None,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    slots: int | None = None,
    memory: int | str | None = None,
) -> Callable[..., Any]:
    """A function whose intermediate values are computed again in the backward pass instead of being kept.

    With `slots` or `memory` it is the loops in the function (`scan`, `fori_loop`, `while_loop`; not those in
    their bodies) whose states are computed again, from those that are kept by the binomial schedule (Griewank
    and Walther, 2000): no other needs fewer steps. All else is kept as usual. The function returned has a
    method `plan(*args)`: how many steps will be run again, and what memory the states take.

    Args:
        fun: a function of arrays and pytrees of them; it is traced. With `slots` or `memory` also a sequence
            of functions of one argument, which are applied one after another.
        concrete: accepted for compatibility and must be False; use `static_argnums`.
        prevent_cse: keep a compiler from undoing the recomputation by sharing common subexpressions.
        policy: which intermediate values may be kept: called as `policy(primitive, *avals, **params)` for
            each operation (see `checkpoint_policies`). None: none of them.
        static_argnums: positions of arguments that are passed to `fun` as they are.
        static_argnames: names of keyword arguments that are.
        slots: how many states of a loop are kept at once, the first one included.
        memory: how many bytes the states of a loop may take, as a number or as text such as "64MB".

    Returns:
        A function of the same arguments and results.

    Raises:
        TypeError: `fun` is no function; `slots` is no integer.
        ValueError: `slots` is less than 1; not one state fits into `memory`; `slots` or `memory` is combined
            with a policy or static arguments.
    """
    if slots is not None or memory is not None:
        if policy is not None or static_argnums != () or static_argnames != ():
            raise ValueError(
                "checkpoint: slots and memory choose the states of loops that are kept; they cannot be "
                "combined with policy, static_argnums or static_argnames. Apply checkpoint twice, or let the "
                "function capture its static arguments"
            )
        return checkpoint_bounded(fun, slots, memory, checkpoint)
    if not callable(fun):
        raise TypeError(f"checkpoint expects a function, got {fun!r} of type {type(fun).__name__}")
    if concrete:
        raise NotImplementedError(
            "checkpoint(concrete=True) is not supported: mark arguments that the function's Python code "
            "branches on "
            "with static_argnums"
        )
    positions = (
        (static_argnums,) if isinstance(static_argnums, int) else tuple(map(operator.index, static_argnums))
    )
    names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)

    @functools.wraps(fun)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        called, dynamic = _without_static(fun, positions, names, args, kwargs)
        leaves, tree = pytree.flatten(dynamic)
        operands = to_arrays(leaves, tree, f"checkpoint of {name_of(fun)}")
        staged = stage_flat(called, tree, [v.aval for v in operands], "checkpoint")
        outs = checkpoint_p.bind(
            *staged.consts, *operands, jaxpr=staged.program, policy=policy, prevent_cse=prevent_cse
        )
        return pytree.unflatten(staged.out_tree, outs)

    return wrapper


def _without_static(
    fun: Callable[..., Any],
    positions: tuple[int, ...],
    names: tuple[str, ...],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A function of positional arguments that are all dynamic, and these."""
    if not kwargs and not positions:
        return fun, args
    count = len(args)
    for p in positions:
        if not -count <= p < count:
            raise ValueError(
                f"checkpoint: static_argnums={positions}, but there are {count} positional arguments"
            )
    static_positions = {p % count for p in positions}
    static = {i: args[i] for i in static_positions}
    static_kwargs = {k: v for k, v in kwargs.items() if k in names}
    dynamic = tuple([a for i, a in enumerate(args) if i not in static])

    @functools.wraps(fun)
    def called(rest: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        given = iter(rest)
        merged = [static[i] if i in static else next(given) for i in range(count)]
        return fun(*merged, **keywords, **static_kwargs)

    return called, (dynamic, {k: v for k, v in kwargs.items() if k not in names})


remat = checkpoint


# Naming values ---------------------------------------------------------------------------------------

name_p = elementwise("name", lambda t, ans, x, *, name: t, accepts="biufck")
rules.evaluate[name_p] = lambda x, *, name: x
rules.not_transposable[name_p] = "its jvp rule leaves tangents unnamed"


def checkpoint_name(x: Any, name: str) -> Any:
    """The value itself (arrays or pytrees of them), under a name that checkpoint policies can ask for."""
    if not isinstance(name, str):
        raise TypeError(f"checkpoint_name expects a string as its name, got {name!r}")
    leaves, tree = pytree.flatten(x)
    return pytree.unflatten(
        tree, [name_p.bind(v, name=name) for v in to_arrays(leaves, tree, "checkpoint_name")]
    )


# Policies -----------------------------------------------------------------------------------------------


def everything_saveable(prim: Primitive, *avals: Any, **params: Any) -> bool:
    """Keep all intermediate values: as if there were no `checkpoint`."""
    return True


def nothing_saveable(prim: Primitive, *avals: Any, **params: Any) -> bool:
    """Compute everything again: what `checkpoint` does without a policy."""
    return False


def dots_saveable(prim: Primitive, *avals: Any, **params: Any) -> bool:
    """Keep the results of products of matrices."""
    return prim is dot_general_p or prim.name == "conv_general_dilated"


def dots_with_no_batch_dims_saveable(prim: Primitive, *avals: Any, **params: Any) -> bool:
    """Keep the results of products of matrices without batch dimensions (layers applied to data)."""
    if prim is not dot_general_p:
        return False
    _, (lhs_batch, rhs_batch) = params["dimension_numbers"]
    return not lhs_batch and not rhs_batch


def save_any_names_but_these(*names_not_to_save: str) -> Policy:
    """Keep the values that `checkpoint_name` named, but for these names."""
    names = frozenset(names_not_to_save)

    def save_any_names_but_these_(prim: Primitive, *avals: Any, **params: Any) -> bool:
        return prim is name_p and params["name"] not in names

    return save_any_names_but_these_


def save_only_these_names(*names_which_can_be_saved: str) -> Policy:
    """Keep the values that `checkpoint_name` gave one of these names."""
    names = frozenset(names_which_can_be_saved)

    def save_only_these_names_(prim: Primitive, *avals: Any, **params: Any) -> bool:
        return prim is name_p and params["name"] in names

    return save_only_these_names_


def save_anything_except_these_names(*names_not_to_save: str) -> Policy:
    """Keep all values, but those that `checkpoint_name` gave one of these names."""
    names = frozenset(names_not_to_save)

    def save_anything_except_these_names_(prim: Primitive, *avals: Any, **params: Any) -> bool:
        return not (prim is name_p and params["name"] in names)

    return save_anything_except_these_names_


def save_from_both_policies(policy_1: Policy, policy_2: Policy) -> Policy:
    """Keep what either policy keeps."""

    def save_from_both_policies_(prim: Primitive, *avals: Any, **params: Any) -> bool:
        return bool(policy_1(prim, *avals, **params)) or bool(policy_2(prim, *avals, **params))

    return save_from_both_policies_


def offload_dot_with_no_batch_dims(offload_src: str, offload_dst: str) -> Policy:
    """Keep what `dots_with_no_batch_dims_saveable` keeps; there is one memory here, so nothing is moved."""
    return dots_with_no_batch_dims_saveable


def save_and_offload_only_these_names(
    *,
    names_which_can_be_saved: Sequence[str],
    names_which_can_be_offloaded: Sequence[str],
    offload_src: str,
    offload_dst: str,
) -> Policy:
    """Keep the values with any of these names; there is one memory here, so nothing is moved."""
    return save_only_these_names(*names_which_can_be_saved, *names_which_can_be_offloaded)


class CheckpointPolicies:
    """The policies, under JAX's names."""

    everything_saveable = staticmethod(everything_saveable)
    nothing_saveable = staticmethod(nothing_saveable)
    dots_saveable = staticmethod(dots_saveable)
    checkpoint_dots = staticmethod(dots_saveable)
    dots_with_no_batch_dims_saveable = staticmethod(dots_with_no_batch_dims_saveable)
    checkpoint_dots_with_no_batch_dims = staticmethod(dots_with_no_batch_dims_saveable)
    offload_dot_with_no_batch_dims = staticmethod(offload_dot_with_no_batch_dims)
    save_anything_except_these_names = staticmethod(save_anything_except_these_names)
    save_any_names_but_these = staticmethod(save_any_names_but_these)
    save_only_these_names = staticmethod(save_only_these_names)
    save_from_both_policies = staticmethod(save_from_both_policies)
    save_and_offload_only_these_names = staticmethod(save_and_offload_only_these_names)


checkpoint_policies = CheckpointPolicies()


# Splitting a program -----------------------------------------------------------------------------------


class Split:
    """A checkpointed program, split for differentiation.

    Attributes:
        forward: the program of the values and, after them, of the kept intermediate values.
        tangent: the program of (the inputs in `inputs`, kept values, tangents of nonzero inputs) -> tangents
            of nonzero outputs; it computes again what it needs.
        inputs: which inputs `tangent` takes.
        out_nonzero: which outputs have tangents.
    """

    __slots__ = ("forward", "tangent", "inputs", "out_nonzero")

    def __init__(
        self, forward: Program, tangent: Program, inputs: tuple[int, ...], out_nonzero: tuple[bool, ...]
    ) -> None:
        self.forward = forward
        self.tangent = tangent
        self.inputs = inputs
        self.out_nonzero = out_nonzero


def split_program(program: Program, nonzero: tuple[bool, ...], policy: Policy | None) -> Split:
    """Split `program` by what `policy` keeps."""
    key = ("checkpoint", nonzero, policy)
    found = program.memo.get(key)
    if found is None:
        inlined = program if policy is None else _inline_calls(program)
        found = program.memo[key] = _split(inlined, nonzero, policy)
    return found


def _split(program: Program, nonzero: tuple[bool, ...], policy: Policy | None) -> Split:
    parts = linearize_program(program, nonzero)
    primal = parts.primal
    count = len(program.outvars)
    needed = {v for v in primal.outvars[count:] if isinstance(v, Var)}
    recomputed = []
    kept: list[Var] = []
    for eqn in reversed(primal.eqns):
        wanted = [v for v in eqn.outvars if v in needed]
        if not wanted:
            continue
        if policy is not None and policy(eqn.primitive, *[v.aval for v in eqn.invars], **eqn.params):
            kept.extend(wanted)
            continue
        recomputed.append(eqn)
        needed.update(v for v in eqn.invars if isinstance(v, Var))
    recomputed.reverse()
    # An input that is a residual itself is not among `primal`'s outputs.
    direct = {i for i in parts.residual_inputs if i is not None}
    inputs = tuple(i for i, v in enumerate(primal.invars) if v in needed or i in direct)
    again = Program([primal.invars[i] for i in inputs] + kept, primal.outvars[count:], recomputed)

    def run(*flat: Any) -> list[Any]:
        given = flat[: len(again.invars)]
        place = dict(zip(inputs, given, strict=False))
        computed = iter(evaluate(again, given))
        residuals = [next(computed) if i is None else place[i] for i in parts.residual_inputs]
        return evaluate(parts.linear, [*residuals, *flat[len(again.invars) :]])

    tangent_avals = [a.tangent for a, nz in zip(program.in_avals, nonzero, strict=True) if nz]
    tangent = stage(run, [*again.in_avals, *tangent_avals], name=program.name, purpose="checkpoint")
    forward = Program(primal.invars, (*primal.outvars[:count], *kept), primal.eqns, name=program.name)
    return Split(eliminate_dead_code(forward), tangent, inputs, parts.out_nonzero)


def _inline_calls(program: Program) -> Program:
    """The program with jitted calls written out, so that a policy sees the operations in them."""
    if not any(eqn.primitive is jit_p for eqn in program.eqns):
        return program

    def run(inner: Program, args: Sequence[Any]) -> list[Any]:
        values: dict[Var, Any] = dict(zip(inner.invars, args, strict=True))
        for eqn in inner.eqns:
            operands = [v.value if isinstance(v, Literal) else values[v] for v in eqn.invars]
            if eqn.primitive is jit_p:
                outs = run(eqn.params["program"], operands)
            else:
                out = eqn.primitive.bind(*operands, **eqn.params)
                outs = out if eqn.primitive.multiple_results else [out]
            values.update(zip(eqn.outvars, outs, strict=True))
        return [v.value if isinstance(v, Literal) else values[v] for v in inner.outvars]

    return stage(lambda *args: run(program, args), program.in_avals, name=program.name, purpose="checkpoint")


# Rules of the primitive -------------------------------------------------------------------------------


def _jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, jaxpr: Program, **params: Any
) -> tuple[list[Any], list[Any]]:
    mask, given = split_nonzero(tangents)
    pushed, out_nonzero = jvp_program(jaxpr, mask)
    outs = checkpoint_p.bind(*primals, *given, jaxpr=pushed, **params)
    n = len(jaxpr.outvars)
    return outs[:n], merge_zeros(jaxpr.out_avals, out_nonzero, outs[n:])


def _linearize(
    trace: LinearizeTrace,
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    jaxpr: Program,
    policy: Policy | None,
    **params: Any,
) -> tuple[list[Any], list[Any]]:
    mask, given = split_nonzero(tangents)
    split = split_program(jaxpr, mask, policy)
    with using(trace.parent):
        outs = checkpoint_p.bind(*primals, jaxpr=split.forward, policy=policy, **params)
    n = len(jaxpr.outvars)
    kept = [primals[i] for i in split.inputs] + outs[n:]
    pushed = checkpoint_p.bind(*kept, *given, jaxpr=split.tangent, policy=policy, **params)
    return outs[:n], merge_zeros(jaxpr.out_avals, split.out_nonzero, pushed)


def _transpose(cts: Sequence[Any], *args: Any, jaxpr: Program, **params: Any) -> list[Any]:
    linear = tuple(type(a) is rules.Linear for a in args)
    ct_mask, given = split_nonzero(cts)
    transposed, nonzero = transpose_program(jaxpr, linear, ct_mask)
    known = [a for a, lin in zip(args, linear, strict=True) if not lin]
    outs = iter(checkpoint_p.bind(*known, *given, jaxpr=transposed, **params))
    flags = iter(nonzero)
    return [(next(outs) if next(flags) else None) if lin else None for lin in linear]


def _batch(
    axis: Axis, values: Sequence[Any], dims: Sequence[int | None], *, jaxpr: Program, **params: Any
) -> tuple[list[Any], list[int | None]]:
    batched, out_dims = batch_program(jaxpr, axis, tuple(dims))
    return checkpoint_p.bind(*values, jaxpr=batched, **params), list(out_dims)


def _abstract(*avals: ShapedArray, jaxpr: Program, **params: Any) -> list[ShapedArray]:
    return jaxpr.out_avals


rules.evaluate[checkpoint_p] = lambda *args, jaxpr, **params: eager_executable(jaxpr)(args)
rules.abstract[checkpoint_p] = _abstract
rules.jvp[checkpoint_p] = _jvp
rules.linearize[checkpoint_p] = _linearize
rules.transpose[checkpoint_p] = _transpose
rules.batch[checkpoint_p] = _batch


# Looking at residuals ---------------------------------------------------------------------------------


def saved_residuals(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> list[tuple[ShapedArray, str]]:
    """What reverse mode keeps between the passes through `fun`.

    Args:
        fun: the function.
        args, kwargs: arguments at which it is traced.

    Returns:
        For each kept value its type and where it comes from.
    """
    leaves, tree = pytree.flatten((args, kwargs))
    arrays = to_arrays(leaves, tree, f"saved_residuals of {name_of(fun)}")
    trace = StagingTrace("saved_residuals")
    inputs = [trace.new_input(a.aval) for a in arrays]

    def flat(*xs: Any) -> list[Any]:
        given, keywords = pytree.unflatten(tree, xs)
        outs, out_tree = pytree.flatten(fun(*given, **keywords))
        return to_arrays(outs, out_tree, f"the output of {name_of(fun)}")

    with using(trace):
        _, linear_map = linearize(flat, inputs)
        atoms = {trace.atom(r): r for r in linear_map.residuals}
    trace.active = False
    paths = [pytree.keystr(path) for path, _ in pytree.tree_leaves_with_path(pytree.unflatten(tree, arrays))]
    return [(value.aval, _origin(trace, atom, value, paths)) for atom, value in atoms.items()]


def _origin(trace: StagingTrace, atom: Any, value: Array, paths: Sequence[str]) -> str:
    if isinstance(atom, Literal):
        return "from a literal"
    if atom in trace.invars:
        path = paths[trace.invars.index(atom)]
        return f"from the argument {'args' if path.startswith('[0]') else 'kwargs'}{path[3:]}"
    for eqn in trace.eqns:
        if atom in eqn.outvars:
            if eqn.primitive is name_p:
                return f"named '{eqn.params['name']}' from {eqn.location}"
            return f"output of {eqn.primitive.name} from {eqn.location}"
    return "from a constant"


def print_saved_residuals(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Print what reverse mode keeps between the passes through `fun`, a line for each value."""
    for aval, origin in saved_residuals(fun, *args, **kwargs):
        print(f"{aval.str_short()} {origin}")
