"""Jacobians and Hessians: a whole basis pushed forward or pulled back at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core.array import wrap
from ..core.aval import ShapedArray, Zero
from ..core.kinds import kind
from ..ops.structural import full, instantiate, reshape, strong
from ..ops.joining import slice as slice_array
from ..transforms.batch import Axis, batch, to_dim
from ..transforms.jvp import jvp
from ..transforms.linearize import linearize
from ..transforms.transpose import pull_back
from .common import (
    Selected,
    check_callable,
    check_inputs,
    flatten_output,
    name_of,
    split_aux,
    unflatten_output,
    wraps,
)
from ..base.errors import DTypeError
from ..base import pytree


def _basis(avals: Sequence[ShapedArray]) -> list[Any]:
    """The standard basis of the space of arrays of these types: for each, an array with a leading axis over it."""
    total = sum(a.size for a in avals)
    offset = 0
    out = []
    for a in avals:
        data = np.zeros((total, a.size), a.dtype)
        np.fill_diagonal(data[offset : offset + a.size], 1)
        offset += a.size
        out.append(wrap(data.reshape(total, *a.shape)))
    return out


def _blocks(flat: Any, axis: int, avals: Sequence[ShapedArray]) -> list[Any]:
    """Split the basis axis `axis` of an array into the shapes of `avals`."""
    shape = flat.aval.shape
    if len(avals) == 1:
        return [reshape(flat, (*shape[:axis], *avals[0].shape, *shape[axis + 1 :]))]
    out = []
    offset = 0
    for a in avals:
        start = [0] * len(shape)
        stop = list(shape)
        start[axis], stop[axis] = offset, offset + a.size
        offset += a.size
        part = slice_array(flat, start, stop)
        out.append(reshape(part, (*shape[:axis], *a.shape, *shape[axis + 1 :])))
    return out


def jacfwd(
    fun: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """The Jacobian of `fun` by forward mode: one pass for each input element; for tall Jacobians.

    Args:
        fun: a function of pytrees of arrays that returns a pytree of arrays (with `has_aux`, a pair of that
            and auxiliary data).
        argnums: the positional arguments by which to differentiate.
        has_aux: whether `fun` returns auxiliary data, which are passed through.
        holomorphic: a promise that `fun` is holomorphic; inputs must then be complex.

    Returns:
        A function of the same arguments. Its result has the structure of the output with, in the place of each
        leaf, the structure of the input; each array has shape `output.shape + input.shape`.
    """
    return _jacobian("jacfwd", fun, argnums, has_aux, holomorphic, _forward)


def jacrev(
    fun: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """The Jacobian of `fun` by reverse mode: one pass for each output element; for wide Jacobians.

    Args and result as in `jacfwd`.
    """
    return _jacobian("jacrev", fun, argnums, has_aux, holomorphic, _reverse, allow_int)


def _jacobian(
    name: str,
    fun: Callable[..., Any],
    argnums: Any,
    has_aux: bool,
    holomorphic: bool,
    method: Callable[..., Any],
    allow_int: bool = False,
) -> Callable[..., Any]:
    check_callable(name, fun)

    @wraps(fun, name)
    def jacobian_function(*args: Any, **kwargs: Any) -> Any:
        selected = Selected(name, argnums, args, kwargs)
        check_inputs(name, selected, holomorphic=holomorphic, allow_int=allow_int)
        state: dict[str, Any] = {}

        def flat(*leaves: Any) -> list[Any]:
            out = selected.call(fun, leaves)
            aux_leaves: list[Any] = []
            if has_aux:
                out, aux = split_aux(name, out)
                aux_leaves, state["aux_tree"] = flatten_output(aux, f"{name}: auxiliary data")
            leaves_out, state["tree"] = flatten_output(out, f"{name}: the function's output")
            state["count"] = len(leaves_out)
            for leaf in leaves_out:
                _check_output(name, fun, leaf, holomorphic)
            return [*leaves_out, *aux_leaves]

        rows, aux_values = method(flat, selected.leaves, state)
        blocks = [selected.unflatten(row) for row in rows]
        result = blocks[0] if state["tree"] is None else pytree.unflatten(state["tree"], blocks)
        if has_aux:
            return result, unflatten_output(state["aux_tree"], aux_values)
        return result

    return jacobian_function


def _check_output(name: str, fun: Callable[..., Any], leaf: Any, holomorphic: bool) -> None:
    letter = kind(leaf.aval.dtype)
    if name == "jacfwd":
        if holomorphic and letter != "c":
            raise DTypeError(f"jacfwd with holomorphic=True expects complex outputs, got {leaf.aval.str_short()}")
        return
    if holomorphic and letter != "c":
        raise DTypeError(f"{name} with holomorphic=True expects complex outputs, but {name_of(fun)} returned {leaf.aval.str_short()}")
    if not holomorphic and letter == "c":
        raise DTypeError(
            f"{name} expects real-valued outputs unless holomorphic=True, but {name_of(fun)} returned "
            f"{leaf.aval.str_short()}. If the function is holomorphic pass holomorphic=True; otherwise use vjp."
        )
    if letter not in "fc":
        raise DTypeError(f"{name} expects outputs of a float dtype, but {name_of(fun)} returned {leaf.aval.str_short()}")


def _forward(flat: Callable[..., Any], leaves: list[Any], state: dict[str, Any]) -> tuple[list[list[Any]], list[Any]]:
    avals = [v.aval for v in leaves]
    basis = _basis(avals)
    total = sum(a.size for a in avals)

    def push(*tangents: Any) -> list[Any]:
        values, pushed = jvp(flat, leaves, tangents)
        count = state["count"]
        state["out_avals"] = [v.aval for v in values[:count]]
        return [*[instantiate(t) for t in pushed[:count]], *values[count:]]

    outs, dims = batch(push, Axis(total), basis, [0] * len(basis))
    count = state["count"]
    rows = []
    for out, dim in zip(outs[:count], dims[:count], strict=True):
        last = to_dim(out, dim, out.aval.ndim - (dim is not None), total)
        rows.append(_blocks(last, last.aval.ndim - 1, avals))
    return rows, outs[count:]


def _reverse(flat: Callable[..., Any], leaves: list[Any], state: dict[str, Any]) -> tuple[list[list[Any]], list[Any]]:
    values, derivative = linearize(flat, leaves)
    count = state["count"]
    outs = values[:count]
    avals = [o.aval for o in outs]
    total = sum(a.size for a in avals)
    nonzero = derivative.out_nonzero
    program = derivative.program

    def pull(*cts: Any) -> list[Any]:
        given = [ct for ct, nz in zip(cts, nonzero, strict=False) if nz]
        given += [Zero(v.aval) for v in program.outvars[len(given) :]]
        return [instantiate(ct) for ct in pull_back(program, derivative.residuals, given)]

    if total == 1:
        # One output element: its cotangent is 1, and no axis needs to be mapped.
        pulled = pull(*[strong(full(a.shape, 1, a.dtype)) for a in avals])
        pulled = [reshape(p, (1, *p.aval.shape)) for p in pulled]
    else:
        found, dims = batch(pull, Axis(total), _basis(avals), [0] * count)
        pulled = [to_dim(p, d, 0, total) for p, d in zip(found, dims, strict=True)]
    columns = iter(pulled)
    by_input = []
    for leaf, nz in zip(leaves, derivative.in_nonzero, strict=True):
        if nz:
            by_input.append(_blocks(next(columns), 0, avals))
        else:
            by_input.append([np.zeros((*a.shape, *leaf.aval.shape), leaf.aval.tangent.dtype) for a in avals])
    return [[column[i] for column in by_input] for i in range(count)], values[count:]


def hessian(
    fun: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """The Hessian of `fun`, forward over reverse: `jacfwd(jacrev(fun))`.

    Args and result as in `jacfwd`; each array has shape `output.shape + input.shape + input.shape`.
    """
    return jacfwd(jacrev(fun, argnums, has_aux, holomorphic), argnums, has_aux, holomorphic)


jacobian = jacrev
