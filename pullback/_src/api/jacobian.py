"""Jacobians and Hessians: a whole basis pushed forward or pulled back at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..base import pytree
from ..base.errors import DTypeError
from ..control.chunks import checked_batch_size, in_chunks
from ..core.array import wrap
from ..core.aval import ShapedArray, shaped_array
from ..core.kinds import kind
from ..core.program import Program
from ..core.staging import stage
from ..ops.arithmetic import sub_p
from ..ops.compare import eq_p
from ..ops.convert import convert_element_type_p
from ..ops.diagonal import embed_diagonal
from ..ops.iota import iota
from ..ops.joining import slice as slice_array
from ..ops.structural import full, instantiate, reshape, strong
from ..transforms.batch import Axis, batch, to_dim
from ..transforms.diagonal import diagonal_coefficients, diagonal_outputs
from ..transforms.linearize import LinearMap, linearize, push_forward
from ..transforms.simplify import outputs_only
from ..transforms.transpose import pull_back
from .common import (
    Selected,
    check_callable,
    check_inputs,
    flatten_aux,
    flatten_output,
    name_of,
    normalize_argnums,
    split_aux,
    wraps,
)
from .tangents import TYPES, contains_points, located, on_coordinates


def _basis(avals: Sequence[ShapedArray]) -> list[Any]:
    """The standard basis of the space of arrays of these types: an array for each, the basis along axis 0."""
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
    fun: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    batch_size: int | None = None,
) -> Callable[..., Any]:
    """The Jacobian of `fun` by forward mode: one pass for each input element; for tall Jacobians.

    Args:
        fun: a function of pytrees of arrays that returns a pytree of arrays (with `has_aux`, a pair of that
            and auxiliary data).
        argnums: the positional arguments by which to differentiate.
        has_aux: whether `fun` returns auxiliary data, which are passed through.
        holomorphic: a promise that `fun` is holomorphic; inputs must then be complex.
        batch_size: how many directions to take at a time (all, if None). Less memory for what lies between
            inputs and outputs: that of `batch_size` directions, and that of the result.

    Returns:
        A function of the same arguments. Its result has the structure of the output with, in the place of
        each leaf, the structure of the input; each array has shape `output.shape + input.shape`.
    """
    return _jacobian("jacfwd", fun, argnums, has_aux, holomorphic, _forward, batch_size=batch_size)


def jacrev(
    fun: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    *,
    batch_size: int | None = None,
) -> Callable[..., Any]:
    """The Jacobian of `fun` by reverse mode: one pass for each output element; for wide Jacobians.

    Args and result as in `jacfwd`.
    """
    return _jacobian("jacrev", fun, argnums, has_aux, holomorphic, _reverse, allow_int, batch_size)


def _jacobian(
    name: str,
    fun: Callable[..., Any],
    argnums: Any,
    has_aux: bool,
    holomorphic: bool,
    method: Callable[..., Any],
    allow_int: bool = False,
    batch_size: int | None = None,
) -> Callable[..., Any]:
    check_callable(name, fun)

    if batch_size is not None:
        batch_size = checked_batch_size(name, batch_size)

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
                aux_leaves, state["rebuild_aux"] = flatten_aux(aux)
            if TYPES and contains_points(out):
                out = located(out)
            leaves_out, state["tree"] = flatten_output(out, f"{name}: the function's output")
            state["count"] = len(leaves_out)
            for leaf in leaves_out:
                _check_output(name, fun, leaf, holomorphic)
            return [*leaves_out, *aux_leaves]

        rows, aux_values = method(flat, selected.leaves, state, batch_size)
        blocks = [selected.unflatten(row) for row in rows]
        result = blocks[0] if state["tree"] is None else pytree.unflatten(state["tree"], blocks)
        if has_aux:
            return result, state["rebuild_aux"](aux_values)
        return result

    return jacobian_function


def _check_output(name: str, fun: Callable[..., Any], leaf: Any, holomorphic: bool) -> None:
    letter = kind(leaf.aval.dtype)
    if name == "jacfwd":
        if holomorphic and letter != "c":
            raise DTypeError(
                f"jacfwd with holomorphic=True expects complex outputs, got {leaf.aval.str_short()}"
            )
        return
    if holomorphic and letter != "c":
        raise DTypeError(
            f"{name} with holomorphic=True expects complex outputs, but {name_of(fun)} returned "
            f"{leaf.aval.str_short()}"
        )
    if not holomorphic and letter == "c":
        raise DTypeError(
            f"{name} expects real-valued outputs unless holomorphic=True, but {name_of(fun)} returned "
            f"{leaf.aval.str_short()}. If the function is holomorphic pass holomorphic=True; otherwise use "
            "vjp."
        )
    if letter not in "fc":
        raise DTypeError(
            f"{name} expects outputs of a float dtype, but {name_of(fun)} returned {leaf.aval.str_short()}"
        )


Rows = list[list[Any]]


def _forward(
    flat: Callable[..., Any], leaves: list[Any], state: dict[str, Any], batch_size: int | None
) -> tuple[Rows, list[Any]]:
    # The function runs once, and its linear part on the whole basis: cheaper than a jvp of it all on a
    # basis, at the memory of the residuals.
    values, derivative, program = _linear_part(flat, leaves, state)
    avals = [v.aval for v in leaves]
    total = sum(a.size for a in avals)

    def push(program: Program) -> list[Any]:
        if batch_size is not None and batch_size < total:
            found = _chunked(program, derivative.residuals, avals, batch_size, push_forward, "push")
            columns = [to_dim(o, 0, o.aval.ndim - 1, total) for o in found]
        else:
            basis = _basis(avals)
            outs, dims = batch(
                lambda *tangents: push_forward(program, derivative.residuals, tangents),
                Axis(total),
                basis,
                [0] * len(basis),
            )
            columns = [
                to_dim(o, d, o.aval.ndim - (d is not None), total) for o, d in zip(outs, dims, strict=True)
            ]
        return [_blocks(c, c.aval.ndim - 1, avals) for c in columns]

    rows = _assemble(program, derivative.residuals, avals, push)
    return _with_zero_rows(rows, derivative.out_nonzero, values, leaves, state["count"]), values[
        state["count"] :
    ]


def _reverse(
    flat: Callable[..., Any], leaves: list[Any], state: dict[str, Any], batch_size: int | None
) -> tuple[Rows, list[Any]]:
    values, derivative, program = _linear_part(flat, leaves, state)
    count = state["count"]
    inputs = [v.aval for v, nz in zip(leaves, derivative.in_nonzero, strict=True) if nz]

    def pull(program: Program) -> Rows:
        outs = program.out_avals
        total = sum(a.size for a in outs)

        def pulled(*cts: Any) -> list[Any]:
            return [instantiate(ct) for ct in pull_back(program, derivative.residuals, cts)]

        if len(outs) == total == 1:
            # One output element: its cotangent is 1, and no axis needs to be mapped.
            (out,) = outs
            found = pulled(strong(full(out.shape, 1, out.dtype)))
            return [[reshape(p, (*out.shape, *p.aval.shape)) for p in found]]
        if batch_size is not None and batch_size < total:
            columns = _chunked(program, derivative.residuals, outs, batch_size, pull_back, "pull")
        else:
            found, dims = batch(pulled, Axis(total), _basis(outs), [0] * len(outs))
            columns = [to_dim(p, d, 0, total) for p, d in zip(found, dims, strict=True)]
        by_input = [_blocks(c, 0, outs) for c in columns]
        return [[column[i] for column in by_input] for i in range(len(outs))]

    rows = _assemble(program, derivative.residuals, inputs, pull)
    complete = []
    for row, out in zip(_nonzero_rows(rows, derivative.out_nonzero[:count]), values[:count], strict=True):
        given = iter(row or [])
        blocks: list[Any] = []
        for leaf, nz in zip(leaves, derivative.in_nonzero, strict=True):
            shape = (*out.aval.shape, *leaf.aval.shape)
            if not nz:
                blocks.append(np.zeros(shape, leaf.aval.tangent.dtype))
            else:
                blocks.append(next(given) if row else full(shape, 0, leaf.aval.dtype))
        complete.append(blocks)
    return complete, values[count:]


def _chunked(
    program: Program,
    residuals: Sequence[Any],
    avals: Sequence[ShapedArray],
    batch_size: int,
    apply: Callable[..., list[Any]],
    direction: str,
) -> list[Any]:
    """A linear map applied to the basis of the space of arrays of types `avals`, a chunk at a time.

    The basis along axis 0 of each result. What is mapped is the number of the basis vector, so that no more
    than a chunk of the basis is ever there.
    """
    key = ("of a basis vector", direction)
    found = program.memo.get(key)
    if found is None:

        def run(number: Any, *values: Any) -> list[Any]:
            vector = []
            offset = 0
            for a in avals:
                place = sub_p.bind(number, wrap(np.array(offset, np.int32)))
                entries = eq_p.bind(iota(np.int32, a.size), place)
                one_hot = convert_element_type_p.bind(entries, new_dtype=a.dtype, weak_type=False)
                vector.append(reshape(one_hot, a.shape))
                offset += a.size
            return [instantiate(o) for o in apply(program, values, vector)]

        index = shaped_array((), np.dtype(np.int32))
        staged = stage(run, [index, *[r.aval for r in residuals]], name=program.name, purpose="jacobian")
        found = program.memo[key] = (staged.with_consts_as_inputs(), staged.consts)
    column, consts = found
    total = sum(a.size for a in avals)
    mapped = (False,) * len(consts) + (True,) + (False,) * len(residuals)
    return in_chunks(column, [*consts, iota(np.int32, total), *residuals], mapped, total, batch_size)


def _linear_part(
    flat: Callable[..., Any], leaves: list[Any], state: dict[str, Any]
) -> tuple[list[Any], LinearMap, Program]:
    """Values, derivative, and its program without the tangents of auxiliary outputs."""
    values, derivative = linearize(flat, leaves)
    program = derivative.program
    kept = sum(derivative.out_nonzero[: state["count"]])
    if kept < len(program.outvars):
        program = outputs_only(program, tuple(range(kept)))
    return values, derivative, program


def _assemble(
    program: Program,
    residuals: Sequence[Any],
    inputs: Sequence[ShapedArray],
    dense: Callable[[Program], Rows],
) -> Rows:
    """A row of blocks for each output: diagonal ones from their coefficients, all others by `dense`."""
    source = diagonal_outputs(program)
    diagonal = [i for i, s in enumerate(source) if s is not None]
    rows: Rows = [[] for _ in source]
    if diagonal:
        coefficients = iter(diagonal_coefficients(program, residuals))
        for i in diagonal:
            out = program.outvars[i].aval
            for k, aval in enumerate(inputs):
                shape = (*out.shape, *aval.shape)
                if k == source[i]:
                    block = embed_diagonal(reshape(next(coefficients), (aval.size,)))
                    rows[i].append(reshape(block, shape))
                else:
                    rows[i].append(full(shape, 0, aval.dtype))
    others = tuple(i for i, s in enumerate(source) if s is None)
    if others:
        rest = outputs_only(program, others) if diagonal else program
        for i, row in zip(others, dense(rest), strict=True):
            rows[i] = row
    return rows


def _nonzero_rows(rows: Rows, nonzero: Sequence[bool]) -> list[list[Any] | None]:
    given = iter(rows)
    return [next(given) if nz else None for nz in nonzero]


def _with_zero_rows(
    rows: Rows, nonzero: Sequence[bool], values: Sequence[Any], leaves: Sequence[Any], count: int
) -> Rows:
    """Rows of zeros for the outputs that do not depend on the inputs."""
    return [
        row
        if row is not None
        else [full((*v.aval.shape, *leaf.aval.shape), 0, v.aval.dtype) for leaf in leaves]
        for row, v in zip(_nonzero_rows(rows, nonzero[:count]), values[:count], strict=True)
    ]


def hessian(
    fun: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    batch_size: int | None = None,
) -> Callable[..., Any]:
    """The Hessian of `fun`, forward over reverse: `jacfwd(jacrev(fun))`.

    Args and result as in `jacfwd`; each array has shape `output.shape + input.shape + input.shape`.
    """
    check_callable("hessian", fun)

    def second(fun: Callable[..., Any]) -> Callable[..., Any]:
        inner = jacrev(fun, argnums, has_aux, holomorphic, batch_size=batch_size)
        return jacfwd(inner, argnums, has_aux, holomorphic, batch_size=batch_size)

    plain = second(fun)

    @wraps(fun, "hessian")
    def hessian_function(*args: Any, **kwargs: Any) -> Any:
        if not TYPES:
            return plain(*args, **kwargs)
        # Both derivatives are by coordinates around one point, so that the second is symmetric.
        moved, at = on_coordinates(fun, normalize_argnums("hessian", argnums, len(args)), args)
        return (plain if moved is fun else second(moved))(*at, **kwargs)

    return hessian_function
