"""What the transformations share: arguments, argnums, checks and their error messages."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from ..base import pytree
from ..base.errors import DTypeError, ShapeError, StructureError
from ..core import dtypes
from ..core.array import Array, as_array
from ..core.aval import ShapedArray
from ..core.kinds import kind
from ..ops.convert import convert_element_type
from .tangents import TYPES, contains_points, retracted, zero_coordinates

F = TypeVar("F", bound=Callable[..., Any])


def check_callable(name: str, fun: Any) -> None:
    """Raise a TypeError unless `fun` can be called."""
    if not callable(fun):
        raise TypeError(
            f"{name} expects a function as its first argument, got {fun!r} of type {type(fun).__name__}"
        )
    code = getattr(fun, "__code__", None)
    if code is not None and code.co_flags & inspect.CO_GENERATOR:
        raise TypeError(
            f"{name} expects a function that returns arrays, got the generator function {fun.__name__}"
        )


def name_of(fun: Any) -> str:
    """A function's name for messages and programs."""
    return getattr(fun, "__name__", None) or type(fun).__name__


def wraps(fun: Callable[..., Any], prefix: str) -> Callable[[F], F]:
    """Like functools.wraps, but for any callable, saying what was done, and cheap.

    Transformations are applied inside other functions again and again, so that this counts.
    """

    def decorate(wrapper: F) -> F:
        name = name_of(fun)
        wrapper.__name__ = f"{prefix}({name})" if prefix else name
        wrapper.__doc__ = fun.__doc__
        wrapper.__wrapped__ = fun  # type: ignore[attr-defined]  # as functools does
        module = getattr(fun, "__module__", None)
        if module is not None:
            wrapper.__module__ = module
        return wrapper

    return decorate


_ARGUMENT_HINT = (
    "Pass other values by closure or functools.partial, or mark them static where the transformation "
    "allows it."
)
_OUTPUT_HINT = "A function that is transformed returns arrays, numbers, and pytrees of those."


def to_array(value: Any, what: str, hint: str = _ARGUMENT_HINT) -> Array:
    """`value` as an array; the error names the argument."""
    if isinstance(value, Array):
        return value
    try:
        return as_array(value)
    except TypeError:
        raise TypeError(
            f"{what}: expected an array or a number, got {_short(value)} of type {type(value).__name__}. "
            f"{hint}"
        ) from None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def normalize_argnums(name: str, argnums: Any, count: int) -> tuple[int, ...]:
    """`argnums` as non-negative positions.

    Raises:
        TypeError: not an int or a sequence of ints.
        ValueError: a position that the call does not have.
    """
    try:
        given = (
            (operator.index(argnums),)
            if not isinstance(argnums, (tuple, list))
            else tuple(map(operator.index, argnums))
        )
    except TypeError:
        raise TypeError(f"{name}: argnums must be an int or a tuple of ints, got {argnums!r}") from None
    out = []
    for n in given:
        if not -count <= n < count:
            raise ValueError(
                f"{name}: argnums={argnums} asks for positional argument {n}, but the function was called "
                f"with {count} positional argument{'s' if count != 1 else ''}. Pass differentiated arguments "
                "by position."
            )
        if n % count in out:
            raise ValueError(f"{name}: argnums={argnums} names positional argument {n % count} twice")
        out.append(n % count)
    return tuple(out)


class Selected:
    """The differentiated arguments of a call, flat, and how to put them back."""

    __slots__ = ("args", "kwargs", "argnums", "single", "leaves", "tree", "points")

    def __init__(self, name: str, argnums: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs
        self.single = not isinstance(argnums, (tuple, list))
        self.argnums = normalize_argnums(name, argnums, len(args))
        chosen = args[self.argnums[0]] if self.single else tuple([args[i] for i in self.argnums])
        self.points: Any = None  # in the place of which the leaves are coordinates
        if TYPES and contains_points(chosen):
            self.points = chosen
            chosen = zero_coordinates(chosen)
        if type(chosen) is not tuple and isinstance(chosen, Array):
            self.leaves: list[Any] = [chosen]
            self.tree = None
        else:
            self.leaves, self.tree = pytree.flatten(chosen)
            self.leaves = [to_array(v, f"{name}: a differentiated argument") for v in self.leaves]

    def call(self, fun: Callable[..., Any], leaves: Sequence[Any]) -> Any:
        """`fun` with the differentiated arguments rebuilt from `leaves`."""
        args = list(self.args)
        chosen = self.unflatten(leaves)
        if self.points is not None:
            chosen = retracted(self.points, chosen)
        if self.single:
            args[self.argnums[0]] = chosen
        else:
            for i, value in zip(self.argnums, chosen, strict=True):
                args[i] = value
        return fun(*args, **self.kwargs)

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """A result for each leaf, in the structure of the differentiated arguments."""
        return leaves[0] if self.tree is None else pytree.unflatten(self.tree, leaves)

    def replaced(self, args: tuple[Any, ...], kwargs: dict[str, Any], leaves: list[Any]) -> Selected:
        """The same choice in another call, with `leaves` differentiated (`args` may hold anything there)."""
        other = object.__new__(Selected)
        other.args, other.kwargs = args, kwargs
        other.argnums, other.single, other.tree = self.argnums, self.single, self.tree
        other.leaves, other.points = leaves, self.points
        return other

    def position(self, leaf: int) -> str:
        """The argument's number and the key path within it, for messages."""
        numbered = self.unflatten(range(len(self.leaves)))
        path: tuple[Any, ...] = pytree.tree_leaves_with_path(numbered)[leaf][0]
        if self.single:
            return f"{self.argnums[0]}{pytree.keystr(path)}"
        return f"{self.argnums[path[0].idx]}{pytree.keystr(path[1:])}"


def split_aux(name: str, out: Any) -> tuple[Any, Any]:
    """The pair (output, auxiliary data) that a function with has_aux=True returns."""
    if not isinstance(out, (tuple, list)) or len(out) != 2:
        raise TypeError(
            f"{name} with has_aux=True expects the function to return a pair (output, aux), got "
            f"{type(out).__name__}" + (f" of length {len(out)}" if isinstance(out, (tuple, list)) else "")
        )
    return out[0], out[1]


def check_inputs(name: str, selected: Selected, *, holomorphic: bool, allow_int: bool) -> None:
    """Raise unless the differentiated arguments have dtypes for which the derivative is defined."""
    for i, leaf in enumerate(selected.leaves):
        letter = kind(leaf.aval.dtype)
        if holomorphic:
            if letter != "c":
                raise DTypeError(
                    f"{name} with holomorphic=True expects complex inputs, got {leaf.aval.str_short()} at "
                    f"argument {selected.position(i)}. Convert it, e.g. with numpy.complex64, or drop "
                    "holomorphic=True."
                )
        elif letter in "biuk0" and not allow_int:
            raise DTypeError(
                f"{name} expects real- or complex-valued inputs, got {leaf.aval.str_short()} at argument "
                f"{selected.position(i)}. Pass a float (2.0 instead of 2; x.astype(float)), or "
                "allow_int=True, which gives integer inputs a derivative of dtype float0."
            )
        elif letter == "c" and name in ("jacfwd", "jacfwd/hessian"):
            raise DTypeError(
                f"{name} expects real-valued inputs unless holomorphic=True, got {leaf.aval.str_short()} at "
                f"argument {selected.position(i)}. If the function is holomorphic pass holomorphic=True; "
                "otherwise use jvp or vjp directly."
            )


def check_scalar_output(name: str, fun: Any, output: Any, *, holomorphic: bool) -> None:
    """Raise unless the output is a scalar of a dtype for which a gradient is defined."""
    aval = output.aval
    if aval.shape != ():
        raise ShapeError(
            f"{name} expects the function to return a scalar (shape ()), but {name_of(fun)} returned "
            f"{aval.str_short()} of shape {aval.shape}. Reduce it (for example with .sum()), or use jacrev, "
            "jacfwd or vjp."
        )
    letter = kind(aval.dtype)
    if holomorphic and letter != "c":
        raise DTypeError(
            f"{name} with holomorphic=True expects a complex output, but {name_of(fun)} returned "
            f"{aval.str_short()}"
        )
    if not holomorphic and letter == "c":
        raise DTypeError(
            f"{name} expects a real-valued output, but {name_of(fun)} returned {aval.str_short()}. If the "
            "function is holomorphic pass holomorphic=True; otherwise take the real part, or use vjp."
        )
    if letter not in "fc":
        raise DTypeError(
            f"{name} expects a real-valued output of a float dtype, but {name_of(fun)} returned "
            f"{aval.str_short()}; convert it, e.g. with .astype(float)"
        )


def flatten_output(out: Any, what: str) -> tuple[list[Any], Any]:
    """The leaves of a function's output as arrays, and its structure (None for a lone array)."""
    if isinstance(out, Array):
        return [out], None
    leaves, tree = pytree.flatten(out)
    try:
        return [to_array(v, what, _OUTPUT_HINT) for v in leaves], tree
    except TypeError:
        for path, leaf in pytree.tree_leaves_with_path(out):
            to_array(leaf, f"{what}{' at ' + pytree.keystr(path) if path else ''}", _OUTPUT_HINT)
        raise


def scalar_output(name: str, fun: Callable[..., Any], out: Any) -> Array:
    """The output of a function whose gradient is taken, which must be one array."""
    if isinstance(out, Array):
        return out
    try:
        return as_array(out)
    except TypeError:
        if isinstance(out, tuple) and len(out) == 2:
            hint = " Pass has_aux=True if the second entry is auxiliary data."
        else:
            hint = " Is a return statement missing?" if out is None else ""
        raise TypeError(
            f"{name} expects the function to return a scalar (an array of shape ()), but {name_of(fun)} "
            f"returned {_short(out)} of type {type(out).__name__}.{hint}"
        ) from None


def flatten_aux(aux: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """The arrays among auxiliary data, and the function that puts their values back among all else."""
    if isinstance(aux, Array):
        return [aux], lambda values: values[0]
    leaves, tree = pytree.flatten(aux)
    positions = [i for i, v in enumerate(leaves) if isinstance(v, Array)]

    def rebuild(values: Sequence[Any]) -> Any:
        full = list(leaves)
        for i, value in zip(positions, values, strict=True):
            full[i] = value
        return pytree.unflatten(tree, full)

    return [leaves[i] for i in positions], rebuild


def unflatten_output(tree: Any, leaves: Sequence[Any]) -> Any:
    return leaves[0] if tree is None else pytree.unflatten(tree, leaves)


def check_structure(name: str, expected: Any, got: Any, expected_name: str, got_name: str) -> None:
    """Raise a StructureError naming the differing path unless the two structures are equal."""
    if expected != got:
        raise StructureError(
            f"{name}: {pytree.explain_structure_difference(expected, got, expected_name, got_name)}"
        )


def match_weak_type(value: Any, aval: ShapedArray) -> Any:
    """A tangent or cotangent, weakly typed exactly if the value that it belongs to is.

    Whether operations on tangents lose a weak type depends on how they are carried out; results must not.
    """
    if value.aval.weak_type is aval.weak_type or value.aval.dtype != aval.dtype:
        return value
    return convert_element_type(value, aval.dtype, aval.weak_type)


def float0_zeros(shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """The derivative by an integer: an array of dtype float0."""
    return np.zeros(shape, dtypes.float0)
