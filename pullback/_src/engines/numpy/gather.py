"""Kernel of `ops.gather`, and the index arithmetic that scatters share with it.

A window is read by advanced indexing with one index array for each dimension of the operand; along the
dimensions that a window covers whole, slices do. Taking along one dimension goes to `numpy.take`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core import dtypes
from ...core.kinds import kind
from ...ops import gather as ops
from .register import kernel

Array = np.ndarray[Any, Any]
Mode = ops.GatherScatterMode


def to_intp(indices: Array) -> Array:
    """Indices of any integer dtype as intp; what does not fit stays out of range."""
    if indices.dtype == np.uint64:
        indices = np.minimum(indices, np.uint64(2**62))
    return indices.astype(np.intp, copy=False)


def place_components(indices: Array, limits: list[int], mode: Mode) -> tuple[list[Array], Array | None]:
    """The components of index vectors, within [0, limit] each, and which vectors were there (None: all).

    Args:
        indices: intp, shape [..., k].
        limits: for each component, its largest valid value.
    """
    components = []
    valid: Array | None = None
    for position, limit in enumerate(limits):
        component = indices[..., position]
        clipped = np.minimum(np.maximum(component, 0), limit)
        if mode is Mode.FILL_OR_DROP:
            inside = component == clipped
            valid = inside if valid is None else valid & inside
        components.append(clipped)
    if valid is not None and valid.all():
        valid = None
    return components, valid


def fill_number(dtype: np.dtype[Any], fill_value: Any) -> Any:
    """The number for elements out of range."""
    if fill_value is not None:
        return np.asarray(fill_value).astype(dtype)
    letter = kind(dtype)
    if letter in "fc":
        return np.nan
    if letter in "iu":
        info = dtypes.iinfo(dtype)
        return info.min if letter == "i" else info.max
    return letter == "b" or np.zeros((), dtype)


def window_index(
    operand_shape: tuple[int, ...],
    components: list[Array],
    index_map: tuple[int, ...],
    removed: tuple[int, ...],
    operand_batching: tuple[int, ...],
    indices_batching: tuple[int, ...],
    batch_shape: tuple[int, ...],
    sizes: list[int],
) -> tuple[list[Any], list[int]]:
    """For each dimension of the operand an array that broadcasts over [*batch, *window], or a slice.

    Returns the indices and the dimensions that have a slice (those of the window that are covered whole).
    """
    gone = {*removed, *operand_batching}
    component_of = dict(zip(index_map, components, strict=True))
    batch_of = dict(zip(operand_batching, indices_batching, strict=True))
    whole = [d for d, n in enumerate(operand_shape) if d not in gone and sizes[d] == n]
    if len(whole) == len(operand_shape) and math.prod(batch_shape) != 1:
        whole = []  # many windows need an index array that tells them apart
    covered = set(whole)
    partial = [d for d in range(len(operand_shape)) if d not in gone and d not in covered]
    rank = len(batch_shape) + len(partial)
    index: list[Any] = []
    first = True
    for d in range(len(operand_shape)):
        if d in covered:
            index.append(slice(None))
            continue
        if d in component_of:
            at = component_of[d].reshape((*batch_shape, *([1] * len(partial))))
        elif d in batch_of:
            place = [1] * rank
            place[batch_of[d]] = batch_shape[batch_of[d]]
            at = np.arange(batch_shape[batch_of[d]]).reshape(place)
        else:
            at = np.zeros([1] * rank, np.intp)
        if d not in gone:
            place = [1] * rank
            place[len(batch_shape) + partial.index(d)] = sizes[d]
            at = at + np.arange(sizes[d]).reshape(place)
        if first:  # has all of the batch's dimensions, so that the arrays together do
            first = False
            at = np.broadcast_to(at, (*batch_shape, *at.shape[len(batch_shape) :]))
        index.append(at)
    return index, whole


@kernel(ops.gather_p)
def gather(
    x: Array,
    indices: Array,
    *,
    dimension_numbers: ops.GatherDimensionNumbers,
    slice_sizes: tuple[int, ...],
    unique_indices: bool,
    indices_are_sorted: bool,
    mode: Mode,
    fill_value: Any,
) -> Array:
    offset_dims, collapsed, index_map, operand_batching, indices_batching = dimension_numbers
    batch_shape = indices.shape[:-1]
    if indices.dtype.kind not in "iu" or len(slice_sizes) != x.ndim:
        raise ValueError("the shape rule says what is wrong")
    limits = [x.shape[d] - slice_sizes[d] for d in index_map]
    removed = {*collapsed, *operand_batching}
    window_shape = tuple(s for d, s in enumerate(slice_sizes) if d not in removed)
    rank = len(batch_shape) + len(window_shape)
    batch_dims = [d for d in range(rank) if d not in offset_dims]
    if math.prod(batch_shape) * math.prod(window_shape) == 0:
        shape = [0] * rank
        for d, n in zip([*batch_dims, *offset_dims], [*batch_shape, *window_shape], strict=True):
            shape[d] = n
        return np.empty(shape, x.dtype)
    if min(limits, default=0) < 0:
        raise ValueError("a window larger than the operand")
    components, valid = place_components(to_intp(indices), limits, mode)
    covered = sum(slice_sizes[d] == x.shape[d] for d in range(x.ndim) if d not in removed)
    if len(index_map) == len(removed) == 1 and index_map == collapsed and covered == x.ndim - 1:
        out = np.take(x, components[0], index_map[0])
        # [*before, *batch, *after]: the result's order if the batch stands together there.
        at = index_map[0]
        order = [*range(at, at + len(batch_shape)), *range(at), *range(at + len(batch_shape), rank)]
    else:
        index, whole = window_index(
            x.shape,
            components,
            index_map,
            collapsed,
            operand_batching,
            indices_batching,
            batch_shape,
            list(slice_sizes),
        )
        indexed = [d for d in range(x.ndim) if d not in whole]
        # The dimensions with index arrays go first, so that NumPy puts theirs first in the result, too.
        out = x.transpose([*indexed, *whole])[tuple(index[d] for d in indexed)]
        if not indexed:
            out = np.broadcast_to(out, (*batch_shape, *out.shape))
        kept = [d for d in range(x.ndim) if d not in removed]
        partial = [d for d in kept if d not in whole]
        at_of = {d: len(batch_shape) + i for i, d in enumerate([*partial, *whole])}
        order = [*range(len(batch_shape)), *(at_of[d] for d in kept)]
    if rank == 0:
        out = np.asarray(out, x.dtype)  # NumPy made a scalar of it
    # `order` lists the axes of `out` as batch, then window; send them to their places in the result.
    places = [0] * rank
    for source, d in zip(order, [*batch_dims, *offset_dims], strict=True):
        places[d] = source
    if places != list(range(rank)):
        out = out.transpose(places)
    if valid is None:
        return out
    place = [1] * rank
    for d, n in zip(batch_dims, batch_shape, strict=True):
        place[d] = n
    return np.where(valid.reshape(place), out, np.asarray(fill_number(x.dtype, fill_value), x.dtype))
