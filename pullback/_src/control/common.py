"""What the control-flow primitives share: staging users' functions, and rewriting the programs that result.

A program in an equation's parameters has no constants. What a user's function captures (arrays, tracers of
enclosing transformations) therefore becomes leading inputs of its program and leading operands of the
equation; likewise the constants of the programs that transformations derive from it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..base import pytree
from ..base.config import trace_context
from ..base.errors import DTypeError, ShapeError, StructureError
from ..core import dtypes
from ..core.array import Array, ConcreteArray, as_array, scalar
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.axis_env import bound_axes
from ..core.call import executable
from ..core.primitive import Primitive
from ..core.program import Atom, Equation, Literal, Program, Var, subprograms
from ..core.specialize import operation
from ..core.staging import stage
from ..core.trace import using
from ..ops.prng import THREEFRY, random_wrap_p
from ..ops.structural import add_any_p, broadcast_in_dim_p, strong
from ..transforms.linearize import LinearizeTrace
from ..transforms.simplify import eliminate_dead_code

Mask = tuple[bool, ...]


# Staging ------------------------------------------------------------------------------------------


class Staged:
    """A function's program.

    Attributes:
        program: the inputs are `consts`, then the leaves of the arguments; it has no constants of its own.
        consts: the values that the function captured.
        out_tree: the structure of its result.
        memo: what callers derive from it once for all calls.
        reusable: whether it captures no tracers.
    """

    __slots__ = ("program", "consts", "out_tree", "memo", "reusable")

    def __init__(self, program: Program, consts: tuple[Any, ...], out_tree: pytree.TreeSpec) -> None:
        self.program = program
        self.consts = consts
        self.out_tree = out_tree
        self.memo: dict[Any, Any] = {}
        self.reusable = all(type(c) is ConcreteArray for c in consts)

    @property
    def out_avals(self) -> list[ShapedArray]:
        return self.program.out_avals


# function -> {(structure and types of arguments, context): Staged}; entries live as long as the function.
_staged: weakref.WeakKeyDictionary[Any, dict[Any, Staged]] = weakref.WeakKeyDictionary()
_MOST_ENTRIES = 128


def name_of(function: Any) -> str:
    """A function's name, for messages and programs."""
    return getattr(function, "__name__", None) or type(function).__name__


def stage_flat(
    function: Callable[..., Any], in_tree: pytree.TreeSpec, in_avals: Sequence[ShapedArray], purpose: str
) -> Staged:
    """The program of `function`, whose positional arguments have the structure `in_tree` (a tuple).

    The same function object with the same types is not traced again, unless it captures tracers: what those
    stand for may change with every call.
    """
    axes = bound_axes()
    key = (in_tree, tuple(in_avals), trace_context(), tuple(axes.items()) if axes else None)
    try:
        entries = _staged.get(function)
    except TypeError:  # not hashable, or of a type without weak references
        return _stage(function, in_tree, in_avals, purpose)
    if entries is not None:
        found = entries.get(key)
        if found is not None:
            return found
    staged = _stage(function, in_tree, in_avals, purpose)
    if not staged.reusable:
        return staged
    if entries is None:
        _staged[function] = entries = {}
    elif len(entries) >= _MOST_ENTRIES:
        entries.clear()
    entries[key] = staged
    return staged


def _stage(
    function: Callable[..., Any], in_tree: pytree.TreeSpec, in_avals: Sequence[ShapedArray], purpose: str
) -> Staged:
    arguments = pytree.canonical_structure(in_tree)
    out_tree = in_tree

    def run(*leaves: Any) -> list[Any]:
        nonlocal out_tree
        out = function(*pytree.unflatten(arguments, leaves))
        outs, out_tree = pytree.flatten(out)
        for i, value in enumerate(outs):
            if not isinstance(value, Array):
                outs[i] = _output(value, i, out_tree, function, purpose)
        return outs

    program = stage(
        run, in_avals, name=name_of(function), purpose=purpose, arg_names=lambda: LeafNames("", in_tree)
    )
    return Staged(program.with_consts_as_inputs(), program.consts, out_tree)


def _output(value: Any, index: int, out_tree: pytree.TreeSpec, function: Any, purpose: str) -> Array:
    try:
        return as_array(value)
    except TypeError:
        where = LeafNames("", out_tree)[index]
        raise TypeError(
            f"{purpose}: the function {name_of(function)} must return arrays or numbers (in any containers), "
            f"but its result{' at ' + where if where else ''} is {value!r} of type {type(value).__name__}"
        ) from None


class LeafNames(Sequence[str]):
    """Names of the leaves of a tree, such as `carry['w'][0]`; paths are worked out when one is asked for."""

    def __init__(self, root: str, tree: pytree.TreeSpec) -> None:
        self._root = root
        self._tree = tree

    def __len__(self) -> int:
        return self._tree.num_leaves

    def __getitem__(self, index: Any) -> Any:
        skeleton = pytree.unflatten(self._tree, range(self._tree.num_leaves))
        return self._root + pytree.keystr(pytree.tree_leaves_with_path(skeleton)[index][0])


def to_arrays(leaves: list[Any], tree: pytree.TreeSpec, what: str) -> list[Any]:
    """Each leaf as an array; the error names the first that cannot be one."""
    for i, leaf in enumerate(leaves):
        if not isinstance(leaf, Array):
            try:
                leaves[i] = as_array(leaf)
            except TypeError:
                raise TypeError(
                    f"{LeafNames(what, tree)[i]}: expected an array or a number, got {leaf!r} of type "
                    f"{type(leaf).__name__}. Let the function capture values of other types."
                ) from None
    return leaves


# Checks -------------------------------------------------------------------------------------------


def same_type(a: ShapedArray, b: ShapedArray) -> bool:
    """Equal shapes and dtypes; weak types do not matter."""
    return a is b or (a.shape == b.shape and a.dtype == b.dtype)


def check_carry_structure(name: str, expected: pytree.TreeSpec, found: pytree.TreeSpec) -> None:
    """Raise a StructureError that names the differing path unless the carry keeps its structure."""
    if expected != found:
        difference = pytree.explain_structure_difference(
            expected, found, "the carry input", "the carry output"
        )
        raise StructureError(
            f"{name}: the body must return a carry of the structure that it takes: {difference}.\n"
            "Return every part of the carry, changed or not, in the same containers."
        )


def check_carry_types(
    name: str, tree: pytree.TreeSpec, expected: Sequence[ShapedArray], found: Sequence[ShapedArray]
) -> None:
    """Raise an error that lists the leaves whose type changes unless the carry keeps its types."""
    wrong = [i for i, (a, b) in enumerate(zip(expected, found, strict=True)) if not same_type(a, b)]
    if not wrong:
        return
    names = LeafNames("carry", tree)
    lines = [
        f"  {names[i]} goes in as {expected[i].str_short()}, comes out as {found[i].str_short()}"
        for i in wrong
    ]
    shapes = any(expected[i].shape != found[i].shape for i in wrong)
    i = next(i for i in wrong if not shapes or expected[i].shape != found[i].shape)
    hint = (
        f"Give {names[i]} its final shape before the loop (here {found[i].shape}, for example with "
        "numpy.broadcast_to or numpy.zeros), or reduce the new value to the old shape."
        if shapes
        else f"Convert the initial value ({names[i]}.astype({dtypes.dtype_name(found[i].dtype)})) "
        f"or the new one (.astype({dtypes.dtype_name(expected[i].dtype)}))."
    )
    error = ShapeError if shapes else DTypeError
    raise error(
        f"{name}: the carry must have the same types (shapes and dtypes) in every iteration, but\n"
        + "\n".join(lines)
        + "\n"
        + hint
    )


def promoted_carry(carry: Sequence[ShapedArray], found: Sequence[ShapedArray]) -> list[ShapedArray] | None:
    """Types of the carry where weakly typed initial values (Python numbers) take the body's dtype.

    None if nothing is to be promoted.
    """
    out: list[ShapedArray] = []
    changed = False
    for a, b in zip(carry, found, strict=True):
        if a.weak_type and a.dtype != b.dtype and a.shape == b.shape:
            dtype = dtypes.lattice_result_type((a.dtype, True), (b.dtype, b.weak_type))[0]
            if dtype != a.dtype:
                out.append(shaped_array(a.shape, dtype, False))
                changed = True
                continue
        out.append(a)
    return out if changed else None


# Programs -----------------------------------------------------------------------------------------


def zero_atom(aval: ShapedArray, eqns: list[Equation]) -> Atom:
    """An atom that is zero of the given type; appends the equations that make it."""
    if dtypes.is_key(aval.dtype):
        words = zero_atom(shaped_array((*aval.shape, 2), np.dtype(np.uint32)), eqns)
        keys = Var(aval)
        eqns.append(Equation(random_wrap_p, [words], [keys], {"impl": THREEFRY}, None))
        return keys
    value = scalar(False if aval.dtype.kind == "b" else 0, aval.dtype)
    if not aval.weak_type:
        value = strong(value)
    literal = Literal(value, value.aval)
    if not aval.shape:
        return literal
    var = Var(aval)
    params = {"shape": aval.shape, "broadcast_dimensions": ()}
    eqns.append(Equation(broadcast_in_dim_p, [literal], [var], params, None))
    return var


def sum_atom(x: Var, y: Atom, eqns: list[Equation]) -> Var:
    """x + y; appends the equation."""
    var = Var(x.aval)
    eqns.append(Equation(add_any_p, [x, y], [var], {}, None))
    return var


def has_effect(eqn: Equation) -> bool:
    """Whether the equation does more than compute its results."""
    if eqn.primitive.effectful:
        return True
    return eqn.primitive.call_like and any(p.effectful for p in subprograms(eqn.params))


def rewired(
    program: Program, ins: Sequence[int | ShapedArray], outs: Sequence[int | ShapedArray]
) -> tuple[Program, tuple[Any, ...]]:
    """The program with its inputs and outputs chosen anew, and the values of its constants.

    `ins` are positions of the old inputs, or types of new ones that are ignored; `outs` are positions of the
    old outputs, or types of outputs that are zero. The constants become leading inputs.
    """
    eqns = list(program.eqns)
    invars = [program.invars[i] if isinstance(i, int) else Var(i) for i in ins]
    outvars = [program.outvars[o] if isinstance(o, int) else zero_atom(o, eqns) for o in outs]
    return build(program.constvars, invars, outvars, eqns, program.name), program.consts


def build(
    constvars: Sequence[Var],
    invars: Sequence[Var],
    outvars: Sequence[Atom],
    eqns: Sequence[Equation],
    name: str,
) -> Program:
    """A program without dead equations whose constants are leading inputs."""
    return eliminate_dead_code(Program([*constvars, *invars], outvars, eqns, name=name))


def with_common_consts(
    pairs: Sequence[tuple[Program, Sequence[Any]]],
) -> tuple[tuple[Program, ...], list[Any]]:
    """Programs whose leading inputs are their own constants as new programs that take those of all."""
    consts: list[Any] = []
    position: dict[int, int] = {}
    for _, own in pairs:
        for value in own:
            if id(value) not in position:
                position[id(value)] = len(consts)
                consts.append(value)
    out = []
    for program, own in pairs:
        leading = [Var(c.aval) for c in consts]
        for var, value in zip(program.invars, own, strict=False):
            leading[position[id(value)]] = var
        out.append(
            Program([*leading, *program.invars[len(own) :]], program.outvars, program.eqns, name=program.name)
        )
    return tuple(out), consts


def depends_on(program: Program, marked: Sequence[bool]) -> list[bool]:
    """Which outputs depend on one of the marked inputs."""
    reached = {v for v, m in zip(program.invars, marked, strict=True) if m}
    for eqn in program.eqns:
        for v in eqn.invars:
            if type(v) is Var and v in reached:
                reached.update(eqn.outvars)
                break
    return [type(v) is Var and v in reached for v in program.outvars]


# Evaluation ---------------------------------------------------------------------------------------


def run_whole(
    primitive: Primitive, program: Program, args: Sequence[Any], params: dict[str, Any]
) -> list[Any]:
    """Evaluate a loop as one compiled program of a single equation; `program` is where that is remembered."""
    key = (primitive, *params.values())
    whole = program.memo.get(key)
    if whole is None:
        whole = program.memo[key] = operation(primitive, [a.aval for a in args], params)
    return executable(whole)(args)


# Rules --------------------------------------------------------------------------------------------


def nonzero_of(tangents: Sequence[Any]) -> Mask:
    """Which tangents (or cotangents) are not symbolic zeros."""
    return tuple(type(t) is not Zero for t in tangents)


def chosen(values: Sequence[Any], mask: Sequence[bool]) -> list[Any]:
    """The values at the places that are marked."""
    return [v for v, m in zip(values, mask, strict=True) if m]


def positions(mask: Sequence[bool], start: int = 0) -> list[int | None]:
    """For each marked place its number among the marked ones (counted from `start`), else None."""
    out: list[int | None] = []
    for m in mask:
        out.append(start if m else None)
        start += bool(m)
    return out


def spread(mask: Sequence[bool], values: Sequence[Any], avals: Sequence[ShapedArray]) -> list[Any]:
    """The values at the marked places, symbolic zeros (of the avals' tangent types) elsewhere."""
    rest = iter(values)
    return [next(rest) if m else Zero(a.tangent) for m, a in zip(mask, avals, strict=True)]


def union(masks: Sequence[Sequence[bool]]) -> Mask:
    """Where any of the masks is marked."""
    return tuple(map(any, zip(*masks, strict=True)))


def linearize_inline(
    trace: LinearizeTrace,
    function: Callable[..., Sequence[Any]],
    primals: Sequence[Any],
    tangents: Sequence[Any],
) -> tuple[list[Any], list[Any]]:
    """A linearization rule for what is written with other operations: run it under the trace itself."""
    with using(trace):
        outs = function(*map(trace.pair, primals, tangents))
    pairs = [trace.split(o) for o in outs]
    return [p for p, _ in pairs], [t for _, t in pairs]
