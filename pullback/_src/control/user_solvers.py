"""Solvers given by users: the functions that they get, and what they return, checked and recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..base import pytree
from ..base.errors import DTypeError, ShapeError, StructureError
from ..core.aval import ShapedArray
from ..core.program import Program
from ..core.staging import stage
from ..ops.convert import convert_element_type
from ..ops.structural import strong
from .common import LeafNames, same_type, to_arrays
from .custom_rules import results


class TreeFunction:
    """A program of flat values as a function of one pytree, as a user's solver gets it.

    It checks its argument: a solver that calls it with another structure or shape has a mistake.
    """

    __slots__ = ("run", "tree", "avals", "label", "__name__", "__weakref__")

    def __init__(
        self,
        run: Callable[[Sequence[Any]], Sequence[Any]],
        tree: pytree.TreeSpec,
        avals: Sequence[ShapedArray],
        label: str,
        name: str,
    ) -> None:
        self.run = run
        self.tree = tree
        self.avals = avals
        self.label = label
        self.__name__ = name

    def __call__(self, x: Any) -> Any:
        leaves, tree = pytree.flatten(x)
        what = f"{self.label}: the argument of {self.__name__}"
        check_structure(what, self.tree, tree, "expected", "the argument")
        arrays = to_arrays(leaves, tree, what)
        for i, (value, aval) in enumerate(zip(arrays, self.avals, strict=True)):
            if value.aval.weak_type and value.aval.dtype != aval.dtype:
                arrays[i] = value = convert_element_type(value, aval.dtype)
            check_type(what, tree, i, aval, value.aval)
        return pytree.unflatten(self.tree, self.run(arrays))


def check_structure(
    what: str, expected: pytree.TreeSpec, found: pytree.TreeSpec, expected_name: str, found_name: str
) -> None:
    """Raise a StructureError that names the first difference unless the structures are equal."""
    if expected != found:
        difference = pytree.explain_structure_difference(expected, found, expected_name, found_name)
        raise StructureError(f"{what} has the wrong structure: {difference}")


def check_type(
    what: str, tree: pytree.TreeSpec, leaf: int, expected: ShapedArray, found: ShapedArray
) -> None:
    """Raise unless a leaf has the shape and dtype that are expected."""
    if same_type(expected, found):
        return
    where = LeafNames("", tree)[leaf]
    error = ShapeError if expected.shape != found.shape else DTypeError
    raise error(
        f"{what}{' at ' + where if where else ''}: expected {expected.str_short(False)}, got "
        f"{found.str_short(False)}"
    )


def check_result(
    what: str,
    tree: pytree.TreeSpec,
    avals: Sequence[ShapedArray],
    out_tree: pytree.TreeSpec,
    outs: Sequence[ShapedArray],
    like: str,
) -> None:
    """Raise unless what a user's function returned has the structure and types of `like`."""
    check_structure(f"{what} must be like {like}; it", tree, out_tree, like, "the result")
    for i, (aval, out) in enumerate(zip(avals, outs, strict=True)):
        check_type(f"{what} must have the shapes and dtypes of {like}", tree, i, aval, out)


def stage_solver(
    label: str,
    which: str,
    call: Callable[[Sequence[Any]], Any],
    tree: pytree.TreeSpec,
    in_avals: Sequence[ShapedArray],
    avals: Sequence[ShapedArray],
    has_aux: bool,
    like: str,
) -> tuple[Program, Any]:
    """The program of a user's solver, its results checked, and the structure of the auxiliary ones.

    Args:
        call: the solver on flat values; it returns a solution like `tree` and `avals`, or that and more.
    """
    aux_tree: Any = None
    what = f"{label}: the solution that {which} returns"

    def run(*flat: Any) -> list[Any]:
        nonlocal aux_tree
        out = call(flat)
        aux: list[Any] = []
        if has_aux:
            if not (isinstance(out, (tuple, list)) and len(out) == 2):
                raise StructureError(
                    f"{label}: with has_aux=True {which} must return a pair (solution, auxiliary data), got "
                    f"{pytree.format_structure(pytree.structure_of(out))}"
                )
            out, more = out
            aux, aux_tree = results(more, lambda: f"{label}: the auxiliary data of {which}")
        leaves, out_tree = results(out, lambda: what)
        if len(leaves) == len(avals):
            leaves = [
                convert_element_type(v, a.dtype) if v.aval.weak_type and v.aval.dtype != a.dtype else v
                for v, a in zip(leaves, avals, strict=True)
            ]
        check_result(what, tree, avals, out_tree, [v.aval for v in leaves], like)
        return [*map(strong, leaves), *aux]

    return stage(run, in_avals, name=which, purpose=f"{label}: {which}"), aux_tree
