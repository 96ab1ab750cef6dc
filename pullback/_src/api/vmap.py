"""`vmap`: map a function over an axis of its arguments, all at once."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from ..base import pytree
from ..base.config import settings
from ..control.chunks import checked_batch_size, in_chunks
from ..control.common import depends_on, stage_flat
from ..control.scan import element, slice_aval
from ..core.array import Array
from ..ops.joining import concatenate
from ..ops.slicing import slice_in_dim
from ..transforms.batch import Axis, batch, to_dim
from .common import check_callable, flatten_output, name_of, to_array, unflatten_output, wraps
from .stage import argument_names


def vmap(
    fun: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_name: Any = None,
    axis_size: int | None = None,
    spmd_axis_name: Any = None,
    *,
    batch_size: int | None = None,
) -> Callable[..., Any]:
    """Vectorise `fun` over an axis of its arguments.

    Args:
        fun: a function of pytrees of arrays.
        in_axes: which axis of each positional argument to map: an int, None (not mapped), or a tuple or list
            with an entry for each argument, each a pytree prefix of the argument with such leaves. Keyword
            arguments are mapped over axis 0.
        out_axes: where the mapped axis goes in the results: an int or a pytree prefix of the output; None
            for a result that does not depend on the mapped arguments.
        axis_name: a name for the axis, for collectives (`lax.psum(x, axis_name)`) inside `fun`.
        axis_size: the size of the axis; needed only if nothing is mapped.
        spmd_axis_name: accepted for compatibility; no effect on one device.
        batch_size: how many lanes to take at a time (all, if None). The chunks are taken by a loop, traced
            once, so that intermediate values need the memory of one chunk; a rest is taken by itself.
            Arguments that are not mapped are traced too. Not together with axis_name.

    Returns:
        A function of arguments with one more axis than `fun`'s, returning results with one more axis.

    Raises:
        ValueError: sizes of mapped axes that differ, an axis that an argument does not have, or axes whose
            structure does not fit the arguments'.
    """
    check_callable("vmap", fun)
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    if not (in_axes is None or isinstance(in_axes, (int, tuple, dict)) or hasattr(in_axes, "__index__")):
        raise TypeError(
            f"vmap: in_axes must be an int, None, or a tuple with an entry for each argument, got {in_axes!r}"
        )

    if batch_size is not None:
        batch_size = checked_batch_size("vmap", batch_size)
        if axis_name is not None:
            raise ValueError(
                f"vmap: batch_size={batch_size} and axis_name={axis_name!r} exclude each other: a collective "
                "needs all lanes at once. Drop batch_size, or take the collective outside of the function."
            )

    def called(args: Any, kwargs: Any) -> Any:
        return fun(*args, **kwargs)

    @wraps(fun, "vmap")
    def mapped(*args: Any, **kwargs: Any) -> Any:
        if isinstance(in_axes, tuple) and len(in_axes) != len(args):
            raise ValueError(
                f"vmap: in_axes {in_axes} has {len(in_axes)} entries, but {name_of(fun)} was called with "
                f"{len(args)} positional arguments; there must be one for each (keyword arguments are mapped "
                "over axis 0)"
            )
        leaves, args_tree = pytree.flatten(args)
        axes = pytree.flatten_axes("vmap in_axes", args_tree, in_axes)
        if kwargs:
            keyword_leaves, kwargs_tree = pytree.flatten(kwargs)
            leaves += keyword_leaves
            axes = axes + [0] * len(keyword_leaves)
        names = _Names(fun, args, kwargs)
        values = [v if isinstance(v, Array) else _argument(names, i, v) for i, v in enumerate(leaves)]
        dims = [
            None if a is None else _axis(names, i, v, a)
            for i, (v, a) in enumerate(zip(values, axes, strict=True))
        ]
        size = _size(names, values, dims, axis_size)
        out_tree: Any = None

        def flat(*xs: Any) -> list[Any]:
            nonlocal out_tree
            if kwargs:
                count = args_tree.num_leaves
                keywords = pytree.unflatten(kwargs_tree, xs[count:])
                out = fun(*pytree.unflatten(args_tree, xs[:count]), **keywords)
            else:
                out = fun(*pytree.unflatten(args_tree, xs))
            out_leaves, out_tree = flatten_output(out, "vmap: the function's output")
            return out_leaves

        outs: list[Any]
        out_dims: Sequence[int | None]
        if batch_size is None or batch_size >= size:
            outs, out_dims = batch(flat, Axis(size, axis_name), values, dims)
        elif settings().disable_jit:
            outs, out_dims = _chunks_in_python(flat, values, dims, size, batch_size)
        else:
            function, tree = (called, pytree.structure_of((args, kwargs))) if kwargs else (fun, args_tree)
            outs, out_dims, out_tree = _in_chunks(function, tree, values, dims, size, batch_size)
        if out_tree is None and isinstance(out_axes, int):
            wanted: list[Any] = [out_axes]
        else:
            structure = pytree.structure_of(0) if out_tree is None else out_tree
            wanted = pytree.flatten_axes("vmap out_axes", structure, out_axes)
        results = [
            o if d == w and d is not None else _place(o, d, w, size)
            for o, d, w in zip(outs, out_dims, wanted, strict=True)
        ]
        return unflatten_output(out_tree, results)

    return mapped


def _in_chunks(
    function: Callable[..., Any],
    tree: Any,
    values: list[Any],
    dims: list[int | None],
    size: int,
    batch_size: int,
) -> tuple[list[Any], list[int | None], Any]:
    """Results with the mapped dimension first (None where nothing mapped is in them), their structure."""
    columns = [v if d is None else to_dim(v, d, 0, size) for v, d in zip(values, dims, strict=True)]
    lane = [c.aval if d is None else slice_aval(c.aval) for c, d in zip(columns, dims, strict=True)]
    staged = stage_flat(function, tree, lane, "vmap")
    mapped = (False,) * len(staged.consts) + tuple(d is not None for d in dims)
    outs = in_chunks(staged.program, [*staged.consts, *columns], mapped, size, batch_size)
    reached = depends_on(staged.program, mapped)
    return (
        [o if r else element(o, 0) for o, r in zip(outs, reached, strict=True)],
        [0 if r else None for r in reached],
        staged.out_tree,
    )


def _chunks_in_python(
    flat: Callable[..., list[Any]],
    values: list[Any],
    dims: list[int | None],
    size: int,
    batch_size: int,
) -> tuple[list[Any], list[int | None]]:
    """Chunk after chunk (`disable_jit`), for looking at values inside of the function."""
    found = []
    for start in range(0, size, batch_size):
        stop = min(start + batch_size, size)
        parts = [
            v if d is None else slice_in_dim(v, start, stop, axis=d)
            for v, d in zip(values, dims, strict=True)
        ]
        outs, out_dims = batch(flat, Axis(stop - start), parts, dims)
        found.append([to_dim(o, d, 0, stop - start) for o, d in zip(outs, out_dims, strict=True)])
    joined = [concatenate(list(column), 0) for column in zip(*found, strict=True)]
    return joined, [0] * len(joined)


class _Names:
    """The names of the arguments' leaves, worked out where a message needs them."""

    __slots__ = ("fun", "args", "kwargs")

    def __init__(self, fun: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.fun = fun
        self.args = args
        self.kwargs = kwargs

    def __call__(self) -> list[str]:
        return argument_names(self.fun, pytree.structure_of((self.args, self.kwargs)))


def _argument(names: _Names, leaf: int, value: Any) -> Array:
    try:
        return to_array(value, "vmap")
    except TypeError:
        return to_array(value, f"vmap({name_of(names.fun)}): the argument {names()[leaf]}")


def _axis(names: _Names, leaf: int, value: Any, axis: Any) -> int:
    try:
        number = operator.index(axis)
    except TypeError:
        raise TypeError(
            f"vmap: in_axes must have ints and None as leaves, got {axis!r} of type {type(axis).__name__}"
        ) from None
    ndim = value.aval.ndim
    if not -ndim <= number < ndim:
        raise ValueError(
            f"vmap: axis {number} is out of range for the argument {names()[leaf]} of "
            f"shape {value.aval.shape}, which has {ndim} dimension{'s' if ndim != 1 else ''}. Use "
            "in_axes=None for arguments that are not mapped."
        )
    return number % ndim


def _size(names: _Names, values: list[Any], dims: list[int | None], given: int | None) -> int:
    sizes = {v.aval.shape[d] for v, d in zip(values, dims, strict=True) if d is not None}
    if given is not None:
        sizes.add(operator.index(given))
    if len(sizes) == 1:
        return sizes.pop()
    if not sizes:
        raise ValueError(
            "vmap needs at least one mapped argument (an in_axes entry that is not None), or axis_size"
        )
    lines = [
        f"    the argument {name} of shape {v.aval.shape} has size {v.aval.shape[d]} along axis {d}"
        for name, v, d in zip(names(), values, dims, strict=True)
        if d is not None
    ]
    if given is not None:
        lines.append(f"    axis_size is {given}")
    raise ValueError("vmap: the mapped axes must all have one size, but\n" + "\n".join(lines))


def _place(value: Any, dim: int | None, wanted: Any, size: int) -> Any:
    if wanted is None:
        if dim is not None:
            raise ValueError(
                f"vmap: out_axes is None for a result of shape {value.aval.shape} (with the mapped axis) "
                "that depends on mapped arguments; give it an int"
            )
        return value
    ndim = value.aval.ndim + (dim is None)
    if not -ndim <= wanted < ndim:
        raise ValueError(
            f"vmap: out_axes {wanted} is out of range for a result with {ndim} dimensions (the mapped one "
            "included)"
        )
    return to_dim(value, dim, wanted % ndim, size)
