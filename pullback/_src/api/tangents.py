"""Types whose tangents are not of their own form: points of a rotation group, a sphere, a cone of matrices.

The derivative of a function at such a point is that of t -> f(retract(point, t)) at the zero of the point's
tangent space. The transformations therefore work on coordinates t of the tangent space; a point is moved
inside of the differentiated function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..base import pytree
from ..base.errors import StructureError
from ..core.array import Array, as_array
from ..core.trace import CURRENT


class _Type:
    __slots__ = ("tangent", "retract", "local")

    def __init__(
        self,
        tangent: Callable[[Any], Any],
        retract: Callable[[Any, Any], Any],
        local: Callable[[Any, Any], Any] | None,
    ) -> None:
        self.tangent = tangent
        self.retract = retract
        self.local = local


TYPES: dict[type, _Type] = {}


def register_type(
    cls: type,
    *,
    tangent: Callable[[Any], Any],
    retract: Callable[[Any, Any], Any],
    local: Callable[[Any, Any], Any] | None = None,
) -> None:
    """Say how the tangent spaces of a type are parametrised.

    Afterwards `grad`, `value_and_grad`, `jvp`, `vjp`, `linearize`, `jacfwd`, `jacrev`, `hessian`, `hvp` and
    `gnvp` of functions of such points are with respect to coordinates of the tangent space at the point:
    gradients, tangents and cotangents have the form of `tangent(point)`. The Hessian is the second
    derivative of f(retract(point, t)) at t = 0. `jit`, `vmap` and control flow treat points as the pytrees
    that they are.

    Args:
        cls: a class whose instances are pytrees (see `tree_util.register_pytree_node`,
            `register_dataclass`). Subclasses are types of their own.
        tangent: `tangent(point)` is the zero of the tangent space there: a pytree of arrays, which says
            what coordinates look like.
        retract: `retract(point, t)` is the point that is reached from `point` by the tangent t; with t = 0
            it is `point`. It must be differentiable at t = 0, and its derivative there says which direction
            each coordinate stands for.
        local: `local(point, other)` are coordinates t of a point nearby, with retract(point, t) = other (to
            first order is enough). Needed only to differentiate functions that return such points.

    Raises:
        TypeError: `cls` is no class, or an argument is no function.
        ValueError: `cls` has been registered before.

    Source: Absil, Mahony & Sepulchre, "Optimization Algorithms on Matrix Manifolds" (2008), chapter 4.
    """
    if not isinstance(cls, type):
        raise TypeError(f"register_type expects a class as its first argument, got {cls!r}")
    for name, function in (("tangent", tangent), ("retract", retract), ("local", local)):
        if not (callable(function) or (name == "local" and function is None)):
            raise TypeError(
                f"register_type: {name} must be a function, got {function!r} of type "
                f"{type(function).__name__}"
            )
    if cls in TYPES:
        raise ValueError(f"register_type: {cls.__name__} has been registered before")
    TYPES[cls] = _Type(tangent, retract, local)


def _is_point(value: Any) -> bool:
    return type(value) in TYPES


def contains_points(tree: Any) -> bool:
    """Whether a value of a registered type is in the tree. (Callers ask only if there are such types.)"""
    return any(map(_is_point, pytree.tree_leaves(tree, is_leaf=_is_point)))


def zero_coordinates(points: Any) -> Any:
    """The tree with the zero of its tangent space in place of each point."""

    def zero(value: Any) -> Any:
        if not _is_point(value):
            return value
        leaves = pytree.flatten(value)[0]
        if any(leaf is value for leaf in leaves):
            name = type(value).__name__
            raise TypeError(
                f"the type {name} was registered by register_type, but its instances are no pytrees. "
                f"Register it by tree_util.register_pytree_node({name}, ...) as well."
            )
        return TYPES[type(value)].tangent(value)

    return pytree.tree_map(zero, points, is_leaf=_is_point)


def retracted(points: Any, coordinates: Any) -> Any:
    """The tree with each point moved by its coordinates (and other leaves replaced by theirs)."""

    def move(value: Any, t: Any) -> Any:
        if not _is_point(value):
            return t
        moved = TYPES[type(value)].retract(value, t)
        if type(moved) is not type(value):
            raise StructureError(
                f"register_type: retract of {type(value).__name__} must return a {type(value).__name__}, got "
                f"{type(moved).__name__}"
            )
        return moved

    return pytree.tree_map(move, points, coordinates, is_leaf=_is_point)


def located(tree: Any) -> Any:
    """Within a function that is differentiated: its output with points in coordinates around themselves.

    The point around which they are is known to the current trace as a value without tangent; enclosing
    transformations see it move.
    """

    def coordinates(value: Any) -> Any:
        if not _is_point(value):
            return value
        local = TYPES[type(value)].local
        if local is None:
            raise TypeError(
                f"the function that is differentiated returns a {type(value).__name__}, whose tangents are "
                "known only for arguments. Pass local=... to register_type, or return arrays."
            )
        return local(pytree.tree_map(_primal, value), value)

    return pytree.tree_map(coordinates, tree, is_leaf=_is_point)


def _primal(value: Any) -> Any:
    split: Any = getattr(CURRENT.get(), "split", None)
    return value if split is None else split(as_array(value))[0]


def arrays_of(tree: Any) -> Any:
    """The tree with arrays as its leaves."""
    return pytree.tree_map(lambda v: v if isinstance(v, Array) else as_array(v), tree)


def on_coordinates(
    fun: Callable[..., Any], places: Sequence[int], args: Sequence[Any]
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """`fun` as a function of coordinates of the arguments at `places`, and the arguments to call it with."""
    points = {i: args[i] for i in places}
    if not TYPES or not contains_points(list(points.values())):
        return fun, tuple(args)

    def moved(*args: Any, **kwargs: Any) -> Any:
        return fun(*[retracted(points[i], a) if i in points else a for i, a in enumerate(args)], **kwargs)

    moved.__name__ = getattr(fun, "__name__", type(fun).__name__)
    return moved, tuple([zero_coordinates(a) if i in points else a for i, a in enumerate(args)])
