"""Collectives over the named axes of vmap: psum and its family.

Each primitive names its axes in `axes`. The trace of the vmap that binds a name applies the rule in
`rules.collective`, which turns the collective into operations along the mapped dimension; other traces treat
it like any operation.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..base import pytree
from ..base.errors import ShapeError
from ..core import dtypes, rules
from ..core.array import Array, as_array, scalar, wrap
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.axis_env import axis_size as bound_size
from ..core.kinds import kind
from ..core.primitive import Primitive
from .arithmetic import add_p, div_p, mul_p
from .compare import eq_p, select
from .convert import convert_element_type
from .gather import GatherDimensionNumbers, gather
from .iota import iota
from .reduction import reduce_max_p, reduce_min_p
from .structural import (
    broadcast_in_dim,
    canonical_axis,
    linear_primitive,
    moveaxis,
    reduce_sum_p,
    reshape,
)

__all__ = [
    "all_gather",
    "all_to_all",
    "axis_index",
    "axis_size",
    "pargmax",
    "pargmin",
    "pbroadcast",
    "pmax",
    "pmean",
    "pmin",
    "ppermute",
    "pshuffle",
    "psum",
    "psum_scatter",
    "pswapaxes",
]

Names = tuple[Any, ...]


# Arguments ------------------------------------------------------------------------------------------


def _names(name: str, axis_name: Any, groups: Any = None) -> Names:
    """The axis names as a tuple; each must be bound."""
    if groups is not None:
        raise NotImplementedError(
            f"{name}: axis_index_groups are not supported for the axes of vmap; split the axis into two with "
            "nested vmaps and use the inner one's name"
        )
    names = tuple(axis_name) if isinstance(axis_name, (tuple, list)) else (axis_name,)
    for n in names:
        bound_size(n)
    if len(set(names)) != len(names):
        raise ValueError(f"{name}: an axis name is repeated in {names}")
    return names


def _one_name(name: str, axis_name: Any, groups: Any = None) -> Any:
    names = _names(name, axis_name, groups)
    if len(names) != 1:
        raise NotImplementedError(
            f"{name} works over one axis name, got {names}; call it once for each name, one after the other"
        )
    return names[0]


def _map(name: str, function: Callable[[Any], Any], x: Any) -> Any:
    leaves, tree = pytree.flatten(x)
    return pytree.unflatten(tree, [function(as_array(leaf, name=name)) for leaf in leaves])


def axis_size(axis_name: Any) -> int:
    """The number of elements along a named axis (the product, for several names), as a Python int.

    Raises:
        NameError: no enclosing vmap binds the name.
    """
    size = 1
    for name in _names("axis_size", axis_name):
        size *= bound_size(name)
    return size


# Reductions -----------------------------------------------------------------------------------------


def psum(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """Sum over one or several named axes.

    Args:
        x: arrays or pytrees of arrays; bools count as integers. A Python number is multiplied by the axes'
            size and stays a Python number, so `psum(1, name)` is the size.
        axis_name: a name, or a tuple of names, bound by `vmap(..., axis_name=...)`.
        axis_index_groups: not supported for axes of vmap.

    Raises:
        NameError: no enclosing vmap binds the name.
    """
    names = _names("psum", axis_name, axis_index_groups)
    leaves, tree = pytree.flatten(x)
    return pytree.unflatten(tree, [_psum_leaf(leaf, names) for leaf in leaves])


def _psum_leaf(leaf: Any, names: Names) -> Any:
    if isinstance(leaf, (bool, int, float, complex)) and not isinstance(leaf, np.generic):
        return leaf * axis_size(names)
    array = as_array(leaf, name="psum")
    if kind(array.aval.dtype) == "b":
        array = convert_element_type(array, dtypes.default_int_dtype())
    return psum_p.bind(array, axes=names) if names else array


def pmean(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """Mean over named axes; arguments as for `psum`."""
    names = _names("pmean", axis_name, axis_index_groups)
    size = axis_size(names)

    def mean(value: Any) -> Any:
        if not dtypes.is_inexact(value.aval.dtype):
            value = convert_element_type(value, dtypes.default_float_dtype())
        total = psum_p.bind(value, axes=names) if names else value
        return div_p.bind(total, scalar(size, total.aval.dtype))

    return _map("pmean", mean, x)


def pmax(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """Maximum over named axes; arguments as for `psum`."""
    names = _names("pmax", axis_name, axis_index_groups)
    return _map("pmax", lambda v: pmax_p.bind(v, axes=names), x)


def pmin(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """Minimum over named axes; arguments as for `psum`."""
    names = _names("pmin", axis_name, axis_index_groups)
    return _map("pmin", lambda v: pmin_p.bind(v, axes=names), x)


def pargmax(x: Any, axis_name: Any) -> Any:
    """The index along a named axis at which the maximum stands (the first), for every element of `x`."""
    return _position("pargmax", x, axis_name, pmax)


def pargmin(x: Any, axis_name: Any) -> Any:
    """The index along a named axis at which the minimum stands (the first), for every element of `x`."""
    return _position("pargmin", x, axis_name, pmin)


def _position(name: str, x: Any, axis_name: Any, extremum: Callable[..., Any]) -> Any:
    axis = _one_name(name, axis_name)
    value = as_array(x, name=name)
    index = broadcast_in_dim(axis_index(axis), value.aval.shape, ())
    beyond = broadcast_in_dim(scalar(bound_size(axis), index.aval.dtype), value.aval.shape, ())
    return pmin(select(eq_p.bind(value, extremum(value, axis)), index, beyond), axis)


psum_p = linear_primitive("psum")
pmax_p = Primitive("pmax")
pmin_p = Primitive("pmin")


def _same_type(x: ShapedArray, *, axes: Names) -> ShapedArray:
    return x


def _rest(primitive: Primitive, value: Any, axes: Names, name: Any) -> Any:
    """The collective over the axes other than `name`."""
    others = tuple([a for a in axes if a != name])
    return primitive.bind(value, axes=others) if others else value


def _sum_mapped(axis: Any, value: Any, dim: int | None) -> Any:
    if dim is None:
        return mul_p.bind(value, scalar(axis.size, value.aval.dtype))
    return reduce_sum_p.bind(value, axes=(dim,))


def _psum_collective(
    axis: Any, values: Sequence[Any], dims: Sequence[int | None], *, axes: Names
) -> tuple[Any, None]:
    return _rest(psum_p, _sum_mapped(axis, values[0], dims[0]), axes, axis.name), None


def _extremum(primitive: Primitive, reduction: Primitive) -> None:
    def collective(
        axis: Any, values: Sequence[Any], dims: Sequence[int | None], *, axes: Names
    ) -> tuple[Any, None]:
        value = values[0] if dims[0] is None else reduction.bind(values[0], axes=(dims[0],))
        return _rest(primitive, value, axes, axis.name), None

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], *, axes: Names) -> tuple[Any, Any]:
        # As for reduce_max: ties share the tangent equally.
        (x,), (t,) = primals, tangents
        out = primitive.bind(x, axes=axes)
        if x.aval.tangent is not x.aval:
            return out, Zero(out.aval.tangent)
        at = convert_element_type(eq_p.bind(x, out), x.aval.dtype)
        share = div_p.bind(at, psum_p.bind(at, axes=axes))
        return out, psum_p.bind(mul_p.bind(share, t), axes=axes)

    rules.abstract[primitive] = _same_type
    rules.collective[primitive] = collective
    rules.jvp[primitive] = jvp
    rules.not_transposable[primitive] = "its jvp rule sums"


rules.abstract[psum_p] = _same_type
rules.collective[psum_p] = _psum_collective
rules.transpose[psum_p] = lambda ct, x, *, axes: [psum_p.bind(ct, axes=axes)]
_extremum(pmax_p, reduce_max_p)
_extremum(pmin_p, reduce_min_p)


# axis_index -----------------------------------------------------------------------------------------

axis_index_p = Primitive("axis_index")


def axis_index(axis_name: Any) -> Array:
    """Which element of a named axis this is: an int32 scalar (row-major, for several names).

    Raises:
        NameError: no enclosing vmap binds the name.
    """
    names = _names("axis_index", axis_name)
    if not names:
        return as_array(np.int32(0))
    index: Any = axis_index_p.bind(axes=names[:1])
    for name in names[1:]:
        outer = mul_p.bind(index, scalar(bound_size(name), index.aval.dtype))
        index = add_p.bind(outer, axis_index_p.bind(axes=(name,)))
    return index


def _axis_index_collective(
    axis: Any, values: Sequence[Any], dims: Sequence[int | None], *, axes: Names
) -> tuple[Any, int]:
    return iota(np.int32, axis.size), 0


rules.abstract[axis_index_p] = lambda *, axes: shaped_array((), np.dtype(np.int32))
rules.collective[axis_index_p] = _axis_index_collective
rules.not_differentiable[axis_index_p] = "it has no operands"
rules.not_transposable[axis_index_p] = "it has no operands"


# all_gather -----------------------------------------------------------------------------------------

all_gather_p = linear_primitive("all_gather")
psum_scatter_p = linear_primitive("psum_scatter")


def all_gather(
    x: Any, axis_name: Any, *, axis_index_groups: Any = None, axis: int = 0, tiled: bool = False
) -> Any:
    """All values along a named axis, stacked along a new dimension, or concatenated if `tiled`.

    Args:
        x: arrays or pytrees of arrays.
        axis_name: a name, or a tuple of names (gathered in row-major order).
        axis_index_groups: not supported for axes of vmap.
        axis: the place of the new dimension in the result; with `tiled` the dimension along which to
            concatenate.
        tiled: concatenate instead of stacking.
    """
    names = _names("all_gather", axis_name, axis_index_groups)

    def one(value: Any) -> Any:
        rank = value.aval.ndim + (not tiled)
        place = canonical_axis(axis, rank)
        shape = value.aval.shape
        if not tiled:
            value = reshape(value, (*shape[:place], 1, *shape[place:]))
        for name in reversed(names):
            value = all_gather_p.bind(value, axes=(name,), dimension=place, size=bound_size(name))
        return value

    return _map("all_gather", one, x)


def _resized(x: ShapedArray, dimension: int, size: int) -> ShapedArray:
    return shaped_array((*x.shape[:dimension], size, *x.shape[dimension + 1 :]), x.dtype, x.weak_type)


def _all_gather_collective(
    axis: Any, values: Sequence[Any], dims: Sequence[int | None], *, axes: Names, dimension: int, size: int
) -> tuple[Any, None]:
    value = _mapped(values[0], dims[0], axis.size)  # the mapped dimension is 0
    gathered = moveaxis(value, 0, dimension)
    shape = gathered.aval.shape
    merged = (*shape[:dimension], shape[dimension] * shape[dimension + 1], *shape[dimension + 2 :])
    return reshape(gathered, merged), None


def _mapped(value: Any, dim: int | None, size: int) -> Any:
    """The value with its mapped dimension in front."""
    if dim is None:
        shape = value.aval.shape
        return broadcast_in_dim(value, (size, *shape), tuple(range(1, len(shape) + 1)))
    return moveaxis(value, dim, 0)


def _shifted(primitive: Primitive, *parameters: str) -> Callable[..., tuple[Any, int]]:
    """The batch rule over another axis of an operation whose `parameters` are dimensions."""

    def rule(axis: Any, values: Sequence[Any], dims: Sequence[int], **params: Any) -> tuple[Any, int]:
        shifted = {k: v + 1 if k in parameters else v for k, v in params.items()}
        return primitive.bind(moveaxis(values[0], dims[0], 0), **shifted), 0

    return rule


rules.abstract[all_gather_p] = lambda x, *, axes, dimension, size: _resized(
    x, dimension, x.shape[dimension] * size
)
rules.collective[all_gather_p] = _all_gather_collective
rules.transpose[all_gather_p] = lambda ct, x, **params: [psum_scatter_p.bind(ct, **params)]
rules.batch[all_gather_p] = _shifted(all_gather_p, "dimension")


# psum_scatter ---------------------------------------------------------------------------------------


def psum_scatter(
    x: Any, axis_name: Any, *, scatter_dimension: int = 0, axis_index_groups: Any = None, tiled: bool = False
) -> Any:
    """The sum over a named axis, of which each element of the axis keeps its own part of `scatter_dimension`.

    Args:
        x: arrays or pytrees of arrays.
        axis_name: a name.
        scatter_dimension: the dimension to distribute. Its size is the axis's, and it is removed; with
            `tiled` it is a multiple of the axis's size, and it is divided by that.
        axis_index_groups: not supported for axes of vmap.
        tiled: keep the dimension.

    Raises:
        ShapeError: the dimension has another size.
    """
    name = _one_name("psum_scatter", axis_name, axis_index_groups)
    size = bound_size(name)

    def one(value: Any) -> Any:
        shape = value.aval.shape
        place = canonical_axis(scatter_dimension, len(shape))
        _check_divides("psum_scatter", "scatter_dimension", shape, place, name, size, tiled)
        out = psum_scatter_p.bind(value, axes=(name,), dimension=place, size=size)
        return out if tiled else reshape(out, shape[:place] + shape[place + 1 :])

    return _map("psum_scatter", one, x)


def _check_divides(
    what: str, parameter: str, shape: tuple[int, ...], place: int, name: Any, size: int, tiled: bool
) -> None:
    if shape[place] % size if tiled else shape[place] != size:
        wanted = f"a multiple of {size}" if tiled else str(size)
        raise ShapeError(
            f"{what}: {parameter}={place} of an array of shape {shape} must have size {wanted}, because the "
            "axis "
            f"{name!r} has {size} elements; got {shape[place]}"
        )


def _psum_scatter_collective(
    axis: Any, values: Sequence[Any], dims: Sequence[int | None], *, axes: Names, dimension: int, size: int
) -> tuple[Any, int]:
    total = _sum_mapped(axis, values[0], dims[0])
    shape = total.aval.shape
    parts = (*shape[:dimension], size, shape[dimension] // size, *shape[dimension + 1 :])
    return reshape(total, parts), dimension


rules.abstract[psum_scatter_p] = lambda x, *, axes, dimension, size: _resized(
    x, dimension, x.shape[dimension] // size
)
rules.collective[psum_scatter_p] = _psum_scatter_collective
rules.transpose[psum_scatter_p] = lambda ct, x, **params: [all_gather_p.bind(ct, **params)]
rules.batch[psum_scatter_p] = _shifted(psum_scatter_p, "dimension")


# ppermute -------------------------------------------------------------------------------------------

ppermute_p = linear_primitive("ppermute")


def ppermute(x: Any, axis_name: Any, perm: Any) -> Any:
    """Send values between the elements of a named axis.

    Args:
        x: arrays or pytrees of arrays.
        axis_name: a name.
        perm: pairs (source index, destination index); no source and no destination twice. Elements that
            receive nothing get zeros.
    """
    name = _one_name("ppermute", axis_name)
    size = bound_size(name)
    pairs = tuple((operator.index(s), operator.index(d)) for s, d in perm)
    sources, targets = [s for s, _ in pairs], [d for _, d in pairs]
    for what, indices in (("source", sources), ("destination", targets)):
        if len(set(indices)) != len(indices):
            raise ValueError(f"ppermute: a {what} index is repeated in {pairs}")
        if any(not 0 <= i < size for i in indices):
            raise ValueError(
                f"ppermute: a {what} index in {pairs} is not in 0..{size - 1}, the axis {name!r}"
            )
    return _map("ppermute", lambda v: ppermute_p.bind(v, axes=(name,), perm=pairs), x)


def pshuffle(x: Any, axis_name: Any, perm: Any) -> Any:
    """Permute values along a named axis: element i receives the value of element `perm[i]`."""
    size = axis_size(axis_name)
    if sorted(perm) != list(range(size)):
        raise ValueError(f"pshuffle: perm must be a permutation of 0..{size - 1}, got {tuple(perm)}")
    return ppermute(x, axis_name, list(zip(perm, range(size), strict=True)))


def pbroadcast(x: Any, axis_name: Any, source: int) -> Any:
    """The value of the element `source` of a named axis, on every element."""
    name = _one_name("pbroadcast", axis_name)
    size = bound_size(name)
    if not 0 <= source < size:
        raise ValueError(f"pbroadcast: source={source} is not in 0..{size - 1}, the axis {name!r}")

    def one(value: Any) -> Any:
        here = broadcast_in_dim(eq_p.bind(axis_index(name), as_array(np.int32(source))), value.aval.shape, ())
        nothing = broadcast_in_dim(scalar(0, value.aval.dtype), value.aval.shape, ())
        return psum(select(here, value, nothing), name)

    return _map("pbroadcast", one, x)


def _ppermute_collective(
    axis: Any,
    values: Sequence[Any],
    dims: Sequence[int | None],
    *,
    axes: Names,
    perm: tuple[tuple[int, int], ...],
) -> tuple[Any, int]:
    value = _mapped(values[0], dims[0], axis.size)
    source_of = np.full((axis.size, 1), axis.size, np.int32)  # out of range: filled with zeros
    for source, target in perm:
        source_of[target] = source
    rank = value.aval.ndim
    numbers = GatherDimensionNumbers(
        offset_dims=tuple(range(1, rank)), collapsed_slice_dims=(0,), start_index_map=(0,)
    )
    sizes = (1, *value.aval.shape[1:])
    return gather(value, wrap(source_of), numbers, sizes, unique_indices=True, mode="fill", fill_value=0), 0


def _ppermute_transpose(ct: Any, x: Any, *, axes: Names, perm: tuple[tuple[int, int], ...]) -> list[Any]:
    return [ppermute_p.bind(ct, axes=axes, perm=tuple((d, s) for s, d in perm))]


rules.abstract[ppermute_p] = lambda x, *, axes, perm: x
rules.collective[ppermute_p] = _ppermute_collective
rules.transpose[ppermute_p] = _ppermute_transpose
rules.batch[ppermute_p] = _shifted(ppermute_p)


# all_to_all -----------------------------------------------------------------------------------------

all_to_all_p = linear_primitive("all_to_all")


def all_to_all(
    x: Any,
    axis_name: Any,
    split_axis: int,
    concat_axis: int,
    *,
    axis_index_groups: Any = None,
    tiled: bool = False,
) -> Any:
    """Exchange parts: element i of the named axis receives part i of every element's `split_axis`.

    Args:
        x: arrays or pytrees of arrays.
        axis_name: a name.
        split_axis: the dimension to distribute. Its size is the axis's, and it is removed; with `tiled` it is
            a multiple of that, and it is divided.
        concat_axis: the place of the new dimension, along which the received parts stand; with `tiled` the
            dimension along which they are concatenated.
        axis_index_groups: not supported for axes of vmap.
        tiled: keep the dimensions.
    """
    name = _one_name("all_to_all", axis_name, axis_index_groups)
    size = bound_size(name)

    def one(value: Any) -> Any:
        shape = value.aval.shape
        split = canonical_axis(split_axis, len(shape))
        concat = canonical_axis(concat_axis, len(shape))
        _check_divides("all_to_all", "split_axis", shape, split, name, size, tiled)
        if not tiled:
            return all_to_all_p.bind(value, axes=(name,), split_axis=split, concat_axis=concat, size=size)
        value = reshape(value, (*shape[:split], size, shape[split] // size, *shape[split + 1 :]))
        out = all_to_all_p.bind(value, axes=(name,), split_axis=split, concat_axis=concat, size=size)
        long = out.aval.shape
        return reshape(out, (*long[:concat], size * long[concat + 1], *long[concat + 2 :]))

    return _map("all_to_all", one, x)


def pswapaxes(x: Any, axis_name: Any, axis: int, *, axis_index_groups: Any = None) -> Any:
    """Exchange a named axis with a dimension of the same size."""
    return all_to_all(x, axis_name, axis, axis, axis_index_groups=axis_index_groups)


def _all_to_all_abstract(
    x: ShapedArray, *, axes: Names, split_axis: int, concat_axis: int, size: int
) -> ShapedArray:
    shape = list(x.shape)
    del shape[split_axis]
    shape.insert(concat_axis, size)
    return shaped_array(tuple(shape), x.dtype, x.weak_type)


def _all_to_all_collective(
    axis: Any,
    values: Sequence[Any],
    dims: Sequence[int | None],
    *,
    axes: Names,
    split_axis: int,
    concat_axis: int,
    size: int,
) -> tuple[Any, int]:
    value = _mapped(values[0], dims[0], axis.size)  # (sender, ..., receiver, ...)
    value = moveaxis(value, split_axis + 1, 0)  # (receiver, sender, ...)
    return moveaxis(value, 1, concat_axis + 1), 0


def _all_to_all_transpose(
    ct: Any, x: Any, *, axes: Names, split_axis: int, concat_axis: int, size: int
) -> list[Any]:
    return [all_to_all_p.bind(ct, axes=axes, split_axis=concat_axis, concat_axis=split_axis, size=size)]


rules.abstract[all_to_all_p] = _all_to_all_abstract
rules.collective[all_to_all_p] = _all_to_all_collective
rules.transpose[all_to_all_p] = _all_to_all_transpose
rules.batch[all_to_all_p] = _shifted(all_to_all_p, "split_axis", "concat_axis")


def _elsewhere(primitive: Primitive) -> Callable[..., tuple[Any, int]]:
    def rule(axis: Any, values: Sequence[Any], dims: Sequence[int], **params: Any) -> tuple[Any, int]:
        return primitive.bind(values[0], **params), dims[0]

    return rule


def _unbound(primitive: Primitive) -> Callable[..., Any]:
    def rule(*args: Any, axes: Names, **params: Any) -> Any:
        for name in axes:
            bound_size(name)
        raise NameError(f"{primitive.name} over {axes} was reached outside of the vmap that binds these axes")

    return rule


for _primitive in (psum_p, pmax_p, pmin_p):
    rules.batch[_primitive] = _elsewhere(_primitive)
for _primitive in rules.collective:
    rules.evaluate[_primitive] = _unbound(_primitive)
