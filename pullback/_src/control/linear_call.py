"""`linear_call`: a linear function with a transpose given by the user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..base import pytree
from ..base.errors import NotDifferentiableError, StructureError
from ..core import rules
from ..core.aval import ShapedArray, Zero
from ..core.evaluate import evaluate
from ..core.primitive import Primitive
from ..core.staging import stage
from ..ops.structural import add_any_p, instantiate
from ..transforms.batch import Axis, batch, to_dim
from .common import Mask, chosen, name_of, nonzero_of, to_arrays
from .custom_rules import at, results
from .custom_tangents import from_user
from .custom_vjp import batched_pullback
from .linear_parts import tangent_part

linear_call_p = Primitive("linear_call", multiple_results=True, call_like=True)


class _Pair:
    """The parameter: a function of (residuals, linear operands) and its transpose, both flat.

    `run` gives the results, `pull` takes (residuals, cotangents of the results, possibly `Zero`) and gives
    the cotangents of the linear operands.
    """

    __slots__ = ("run", "pull", "in_avals", "out_avals", "residuals", "__name__")

    carries_python = True

    def __init__(
        self,
        run: Callable[[Sequence[Any], Sequence[Any]], list[Any]],
        pull: Callable[[Sequence[Any], Sequence[Any]], list[Any]],
        in_avals: Sequence[ShapedArray],
        out_avals: Sequence[ShapedArray],
        residuals: int,
        name: str,
    ) -> None:
        self.run = run
        self.pull = pull
        self.in_avals = tuple(in_avals)
        self.out_avals = tuple(out_avals)
        self.residuals = residuals
        self.__name__ = name


def linear_call(
    fun: Callable[..., Any], fun_transpose: Callable[..., Any], residual_args: Any, linear_args: Any
) -> Any:
    """Apply a function that is linear in its second argument, and say how it is transposed.

    Args:
        fun: `fun(residual_args, linear_args)`, linear in `linear_args`.
        fun_transpose: `fun_transpose(residual_args, cotangent)` with a cotangent of `fun`'s output; returns a
            cotangent of `linear_args`, in its structure.
        residual_args: a pytree of arrays. Derivatives by these are those of the operations in `fun` (and, of
            the transpose, in `fun_transpose`).
        linear_args: a pytree of arrays.

    Returns:
        What `fun` returns.

    Raises:
        TypeError: `fun_transpose` returns another structure, shape or dtype.
    """
    label = f"linear_call of {name_of(fun)}"
    residual_leaves, residual_tree = pytree.flatten(residual_args)
    linear_leaves, linear_tree = pytree.flatten(linear_args)
    residuals = to_arrays(residual_leaves, residual_tree, f"{label}: residual_args")
    linear = to_arrays(linear_leaves, linear_tree, f"{label}: linear_args")
    out_tree: Any = None

    def run(res: Sequence[Any], xs: Sequence[Any]) -> list[Any]:
        nonlocal out_tree
        out = fun(pytree.unflatten(residual_tree, res), pytree.unflatten(linear_tree, xs))
        outs, out_tree = results(out, lambda: f"the output of {name_of(fun)}")
        return outs

    def pull(res: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        cotangent = pytree.unflatten(out_tree, [instantiate(ct) for ct in cts])
        found = fun_transpose(pytree.unflatten(residual_tree, res), cotangent)
        leaves, tree = results(found, lambda: f"the output of {name_of(fun_transpose)}")
        if tree != linear_tree:
            raise StructureError(
                f"{label}: the transpose {name_of(fun_transpose)} must return a cotangent in the structure "
                "of "
                "linear_args: "
                + pytree.explain_structure_difference(linear_tree, tree, "linear_args", "the cotangent")
            )
        return [
            instantiate(
                from_user(leaf, v.aval, at(f"{label}: the cotangent from {name_of(fun_transpose)}", tree, i))
            )
            for i, (leaf, v) in enumerate(zip(leaves, linear, strict=True))
        ]

    count = len(residuals)
    operands = [*residuals, *linear]
    # The results' types; the function is traced only for these.
    shapes = stage(
        lambda *flat: run(flat[:count], flat[count:]), [a.aval for a in operands], purpose="linear_call"
    )
    pair = _Pair(run, pull, [a.aval for a in linear], shapes.out_avals, count, name_of(fun))
    return pytree.unflatten(out_tree, linear_call_p.bind(*operands, pair=pair))


def _evaluate(*args: Any, pair: _Pair) -> list[Any]:
    return pair.run(args[: pair.residuals], args[pair.residuals :])


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], *, pair: _Pair) -> tuple[list[Any], list[Any]]:
    count = pair.residuals
    outs = linear_call_p.bind(*primals, pair=pair)
    moved: list[Any] = [Zero(o.aval.tangent) for o in outs]
    if any(nonzero_of(tangents[count:])):
        given = [instantiate(t) for t in tangents[count:]]
        moved = linear_call_p.bind(*primals[:count], *given, pair=pair)
    mask = nonzero_of(tangents[:count])
    if any(mask):
        further = _moved_by_residuals(primals, chosen(tangents[:count], mask), mask, pair)
        moved = [f if type(m) is Zero else add_any_p.bind(m, f) for m, f in zip(moved, further, strict=True)]
    return outs, moved


def _moved_by_residuals(
    primals: Sequence[Any], tangents: Sequence[Any], mask: Mask, pair: _Pair
) -> list[Any]:
    """The tangents of the results that come from those residuals: what the function's operations say."""
    count = pair.residuals
    staged = stage(
        lambda *flat: pair.run(flat[:count], flat[count:]), [p.aval for p in primals], purpose="linear_call"
    )
    of_constants = (False,) * len(staged.consts)
    push = tangent_part(
        staged.with_consts_as_inputs(), (*of_constants, *mask, *[False] * (len(primals) - count))
    )
    return evaluate(push, [*staged.consts, *primals, *tangents])


def _transpose(cts: Sequence[Any], *args: Any, pair: _Pair) -> list[Any]:
    count = pair.residuals
    residuals, linear = args[:count], args[count:]
    if any(type(a) is rules.Linear for a in residuals) or not all(type(a) is rules.Linear for a in linear):
        raise NotDifferentiableError(
            f"linear_call of {pair.__name__} is linear in linear_args only, in all of them"
        )
    flipped = _Pair(pair.pull, pair.run, pair.out_avals, pair.in_avals, count, pair.__name__)
    given = [instantiate(ct) for ct in cts]
    return [*[None] * count, *linear_call_p.bind(*residuals, *given, pair=flipped)]


def _batch(
    axis: Axis, values: Sequence[Any], dims: Sequence[int | None], *, pair: _Pair
) -> tuple[list[Any], list[int]]:
    count = pair.residuals
    linear_dims = list(dims[count:])
    outputs = [0] * len(pair.out_avals)

    def run(res: Sequence[Any], xs: Sequence[Any]) -> list[Any]:
        outs, found = batch(lambda *flat: pair.run(flat[:count], flat[count:]), axis, [*res, *xs], dims)
        return [to_dim(o, d, 0, axis.size) for o, d in zip(outs, found, strict=True)]

    pull = batched_pullback(pair.pull, axis, dims[:count], linear_dims, outputs)
    mapped = _Pair(
        run,
        pull,
        [v.aval for v in values[count:]],
        [a.update(shape=(axis.size, *a.shape)) for a in pair.out_avals],
        count,
        pair.__name__,
    )
    return linear_call_p.bind(*values, pair=mapped), outputs


rules.evaluate[linear_call_p] = _evaluate
rules.abstract[linear_call_p] = lambda *avals, pair: list(pair.out_avals)
rules.jvp[linear_call_p] = _jvp
rules.transpose[linear_call_p] = _transpose
rules.batch[linear_call_p] = _batch
