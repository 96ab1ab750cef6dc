"""From a function of pytrees to a program: what `jit`, `make_jaxpr` and `eval_shape` share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from ..base import pytree
from ..core import dtypes
from ..core.array import Array, as_array
from ..core.aval import ShapedArray, ShapeDtypeStruct, shaped_array
from ..core.program import Program
from ..core.staging import stage
from .common import flatten_output, name_of, unflatten_output


class StagedFunction:
    """A program with the structure of its results."""

    __slots__ = ("program", "out_tree", "consts", "open_program")

    def __init__(self, program: Program, out_tree: Any) -> None:
        self.program = program
        self.out_tree = out_tree
        self.consts = program.consts
        self.open_program = program.with_consts_as_inputs()

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        return unflatten_output(self.out_tree, leaves)


def abstractify(value: Any, what: str = "an argument") -> ShapedArray:
    """The type of an array, a number, or anything with a shape and a dtype."""
    if isinstance(value, Array):
        return value.aval
    if isinstance(value, ShapeDtypeStruct):
        return shaped_array(value.shape, dtypes.canonicalize_dtype(value.dtype), value.weak_type)
    if isinstance(value, ShapedArray):
        return value
    try:
        return as_array(value).aval
    except TypeError:
        if hasattr(value, "shape") and hasattr(value, "dtype"):
            return ShapedArray(value.shape, dtypes.canonicalize_dtype(value.dtype))
        raise


def stage_function(
    fun: Callable[..., Any],
    in_tree: Any,
    avals: Sequence[ShapedArray],
    call: Callable[[Any], Any],
    *,
    purpose: str,
) -> StagedFunction:
    """Record `call(pytree of tracers)`, a pytree of structure `in_tree` with leaves of types `avals`."""
    out_tree: Any = None
    name = name_of(fun)

    def flat(*xs: Any) -> list[Any]:
        nonlocal out_tree
        out = call(pytree.unflatten(in_tree, xs))
        leaves, out_tree = flatten_output(out, f"{purpose}: the output of {name}")
        return leaves

    program = stage(
        flat, avals, name=name, purpose=f"{purpose} ({name})", arg_names=lambda: argument_names(fun, in_tree)
    )
    return StagedFunction(program, out_tree)


def argument_names(fun: Callable[..., Any], in_tree: Any) -> list[str]:
    """A name for each leaf of `(args, kwargs)`: the parameter's, with the key path inside it."""
    tree = pytree.unflatten(in_tree, list(range(in_tree.num_leaves)))
    try:
        parameters = list(inspect.signature(fun).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = []
    for path, _ in pytree.tree_leaves_with_path(tree):
        group, *rest = path
        if getattr(group, "idx", None) == 0 and rest:
            position = getattr(rest[0], "idx", 0)
            named = position < len(parameters) and parameters[position].kind in (
                inspect.Parameter.POSITIONAL_ONLY,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
            )
            head = parameters[position].name if named else f"args[{position}]"
        else:
            head = str(getattr(rest[0], "key", "kwargs")) if rest else "kwargs"
        names.append(head + pytree.keystr(tuple(rest[1:])))
    return names


def shape_struct(aval: ShapedArray) -> ShapeDtypeStruct:
    return ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type)


def eval_shape(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The shapes and dtypes of `fun(*args, **kwargs)` as a pytree of `ShapeDtypeStruct`, computing nothing.

    Arguments may be arrays or `ShapeDtypeStruct`s.
    """
    leaves, tree = pytree.flatten((args, kwargs))
    staged = stage_function(
        fun,
        tree,
        [abstractify(v) for v in leaves],
        lambda both: fun(*both[0], **both[1]),
        purpose="eval_shape",
    )
    return staged.unflatten([shape_struct(a) for a in staged.program.out_avals])
