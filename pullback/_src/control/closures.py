"""Closures and rules: `closure_convert`, and `custom_gradient`, whose rule is a closure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..base import pytree
from ..base.errors import StructureError
from ..core import dtypes
from ..core.array import as_array
from ..core.evaluate import evaluate
from ..core.program import Program
from ..core.staging import stage
from ..core.trace import Tracer
from .common import name_of, to_arrays
from .custom_rules import results
from .custom_tangents import SymbolicZero, user_zero
from .custom_vjp import custom_vjp


class Converted:
    """A function whose closed-over tracers have become arguments; called as `converted(*args, *consts)`."""

    __slots__ = ("program", "in_tree", "out_tree", "kept", "moved", "__name__")

    def __init__(
        self, program: Program, in_tree: Any, out_tree: Any, kept: list[Any], moved: list[bool], name: str
    ) -> None:
        self.program = program
        self.in_tree = in_tree
        self.out_tree = out_tree
        self.kept = kept
        self.moved = moved
        self.__name__ = name

    def __call__(self, *args_and_consts: Any) -> Any:
        count = sum(self.moved)
        split = len(args_and_consts) - count
        leaves, tree = pytree.flatten(tuple(args_and_consts[:split]))
        if tree != self.in_tree:
            difference = pytree.explain_structure_difference(
                self.in_tree, tree, "the example arguments", "the arguments"
            )
            raise StructureError(
                f"the function that closure_convert made of {self.__name__} takes arguments of the structure "
                "of the "
                f"example's, then {count} closed-over value{'s' if count != 1 else ''}: {difference}"
            )
        given, kept = iter(args_and_consts[split:]), iter(self.kept)
        consts = [as_array(next(given)) if moved else next(kept) for moved in self.moved]
        operands = to_arrays(leaves, tree, f"the arguments of {self.__name__}")
        return pytree.unflatten(self.out_tree, evaluate(self.program, operands, consts))


def closure_convert(fun: Callable[..., Any], *example_args: Any) -> tuple[Callable[..., Any], list[Any]]:
    """Turn the traced values over which `fun` closes into arguments.

    Functions with rules of their own cannot be differentiated by closed-over values: convert the closure
    first, and pass the values along.

    Args:
        fun: a function of pytrees of arrays.
        example_args: arguments of the types with which it will be called; it is traced with these.

    Returns:
        A function `converted(*args, *consts)` and the list `consts` of the closed-over values.

    Example:
        >>> def minimize(objective, x0):
        ...     converted, consts = closure_convert(objective, x0)
        ...     return _minimize(converted, x0, *consts)  # a custom_vjp function with nondiff_argnums=(0,)
    """
    leaves, in_tree = pytree.flatten(example_args)
    arrays = to_arrays(leaves, in_tree, f"closure_convert of {name_of(fun)}")
    out_tree: Any = None

    def flat(*xs: Any) -> list[Any]:
        nonlocal out_tree
        outs, out_tree = results(fun(*pytree.unflatten(in_tree, xs)), lambda: f"the output of {name_of(fun)}")
        return outs

    program = stage(flat, [a.aval for a in arrays], name=name_of(fun), purpose="closure_convert")
    moved = [isinstance(c, Tracer) for c in program.consts]
    kept = [c for c, m in zip(program.consts, moved, strict=True) if not m]
    consts = [c for c, m in zip(program.consts, moved, strict=True) if m]
    opened = Program(program.invars, program.outvars, program.eqns, program.constvars, (), program.name)
    return Converted(opened, in_tree, out_tree, kept, moved, name_of(fun)), consts


class ConvertedPullback:
    """A pullback whose closed-over arrays have become arguments; called as `converted(cotangent, consts)`."""

    __slots__ = ("run", "inexact", "zeros", "tree")

    def __init__(self, run: Any, inexact: list[int], zeros: list[Any], tree: Any) -> None:
        self.run = run  # from cotangents of inexact outputs to those results that are arrays
        self.inexact = inexact
        self.zeros = zeros  # the other results (None, float0, symbolic zeros); `_ARRAY` in place of arrays
        self.tree = tree

    def __call__(self, cotangent: Any, consts: Sequence[Any]) -> Any:
        leaves = pytree.leaves_of(cotangent)
        arrays = iter(self.run(*[leaves[i] for i in self.inexact], *consts))
        return pytree.unflatten(self.tree, [next(arrays) if z is _ARRAY else z for z in self.zeros])


_ARRAY = object()


def convert_pullback(pullback: Callable[..., Any], out: Any) -> tuple[ConvertedPullback, list[Any]]:
    """Turn the arrays over which a pullback closes into arguments, so that they can be kept as residuals.

    Args:
        pullback: a function from a cotangent of `out`, in its structure, to any pytree.
        out: the output.
    """
    primals, out_tree = results(out, lambda: f"the output that belongs to {name_of(pullback)}")
    inexact = [i for i, p in enumerate(primals) if p.aval.tangent is p.aval]
    tree: Any = None
    zeros: list[Any] = []

    def run(*cotangents: Any) -> list[Any]:
        nonlocal tree
        full = [None if i in inexact else user_zero(p.aval.tangent, False) for i, p in enumerate(primals)]
        for i, ct in zip(inexact, cotangents, strict=True):
            full[i] = ct
        found, tree = pytree.flatten(pullback(pytree.unflatten(out_tree, full)), lambda leaf: leaf is None)
        zeros[:] = [leaf if _is_zero(leaf) else _ARRAY for leaf in found]
        return [leaf for leaf in found if not _is_zero(leaf)]

    run.__name__ = name_of(pullback)
    converted, consts = closure_convert(run, *[primals[i] for i in inexact])
    return ConvertedPullback(converted, inexact, zeros, tree), consts


def _is_zero(leaf: Any) -> bool:
    return leaf is None or isinstance(leaf, SymbolicZero) or getattr(leaf, "dtype", None) == dtypes.float0


def custom_gradient(fun: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: a function that returns its value and its backward pass.

    Args:
        fun: returns a pair (output, vjp): `vjp` takes a cotangent of the output and returns the cotangents of
            the arguments, a tuple if there are several. It may close over anything that `fun` computed.

    Example:
        >>> @custom_gradient
        ... def f(x):
        ...     return x ** 2, lambda g: (g * x,)
    """

    def value(*args: Any, **kwargs: Any) -> Any:
        out, _ = _pair(fun, fun(*args, **kwargs))
        return out

    def fwd(*args: Any, **kwargs: Any) -> Any:
        out, rule = _pair(fun, fun(*args, **kwargs))
        return out, (*convert_pullback(rule, out), args)

    def bwd(residuals: Any, cotangent: Any) -> Any:
        converted, consts, args = residuals
        found = converted(cotangent, consts)
        if len(args) == 1 and not (isinstance(found, (tuple, list)) and len(found) == 1):
            return (found,)
        return tuple(found) if isinstance(found, list) else found

    value.__name__ = bwd.__name__ = name_of(fun)
    wrapped = custom_vjp(value)
    wrapped.__doc__ = fun.__doc__
    wrapped.defvjp(fwd, bwd)
    return wrapped


def _pair(fun: Any, out: Any) -> tuple[Any, Any]:
    if not isinstance(out, (tuple, list)) or len(out) != 2 or not callable(out[1]):
        raise TypeError(
            f"custom_gradient expects {name_of(fun)} to return a pair (output, function from the output's "
            "cotangent "
            f"to the arguments'), got {out!r}"
        )
    return out[0], out[1]
