"""Slices at computed places (`dynamic_slice`, `dynamic_update_slice`) and helpers for one dimension.

Start indices are clamped, so that the slice lies within the array. The static `slice` stands in
`ops.joining`, beside its transpose `pad`.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base.errors import DTypeError, ShapeError
from ..core import dtypes, rules
from ..core.array import Array, ConcreteArray, as_array
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.kinds import kind
from ..core.primitive import Primitive
from .arithmetic import add_p
from .compare import lt_p, select_n_p
from .convert import convert_element_type
from .families import mismatch, operands, result_weak
from .gather import GatherDimensionNumbers, GatherScatterMode, gather_p
from .joining import concatenate, slice, slice_p, with_batch_dim
from .scatter import ScatterDimensionNumbers, scatter_p
from .structural import (
    canonical_axis,
    canonical_shape,
    expand_dims,
    full,
    instantiate,
    linear_coefficient,
    moveaxis,
    reshape,
    zeros,
)

__all__ = [
    "dynamic_index_in_dim",
    "dynamic_slice",
    "dynamic_slice_in_dim",
    "dynamic_update_index_in_dim",
    "dynamic_update_slice",
    "dynamic_update_slice_in_dim",
    "index_in_dim",
    "slice",
    "slice_in_dim",
    "slice_p",
]

Linear = rules.Linear

dynamic_slice_p = Primitive("dynamic_slice")
dynamic_update_slice_p = Primitive("dynamic_update_slice")


# Start indices ------------------------------------------------------------------------------------

_INT32 = np.dtype(np.int32)


def index_array(index: Any, name: str) -> Any:
    """An index as an array of integers; Python ints become int32 (int64 where they do not fit)."""
    if isinstance(index, Array):
        found = index
    elif isinstance(index, (int, np.integer)) and not isinstance(index, bool):
        wide = not -(2**31) <= index < 2**31
        dtype = np.dtype(np.int64) if wide else _INT32
        return ConcreteArray(np.array(index, dtype), shaped_array((), dtype))
    else:
        found = as_array(index, name=name)
    if kind(found.aval.dtype) not in "iu":
        raise DTypeError(f"{name}: indices must be integers; got {found.aval.str_short()}")
    return found


def wrap_negative(index: Any, size: int) -> Any:
    """An array of indices in which negative ones count from the end (`size` is added to them)."""
    dtype = index.aval.dtype
    if kind(dtype) == "u":
        return index
    if dtype.itemsize < 4:  # `size` may not fit
        index = convert_element_type(index, _INT32)
        dtype = _INT32
    zero = full((), 0, dtype)
    return select_n_p.bind(lt_p.bind(index, zero), index, add_p.bind(index, full((), size, dtype)))


def _start_indices(
    name: str, start_indices: Any, shape: tuple[int, ...], allow_negative_indices: bool | Sequence[bool]
) -> list[Any]:
    if isinstance(start_indices, (Array, np.ndarray)):
        array = index_array(start_indices, name)
        if array.aval.ndim != 1:
            raise ShapeError(
                f"{name}: start indices must be a sequence of scalars or a 1-d array; got {array.aval}"
            )
        start_indices = [reshape(slice(array, (i,), (i + 1,)), ()) for i in range(array.aval.size)]
    if len(start_indices) != len(shape):
        raise ShapeError(f"{name}: shape {shape} needs {len(shape)} start indices; got {len(start_indices)}")
    if isinstance(allow_negative_indices, bool):
        allowed: Sequence[bool] = [allow_negative_indices] * len(shape)
    else:
        allowed = list(allow_negative_indices)
        if len(allowed) != len(shape):
            raise ShapeError(f"{name}: allow_negative_indices needs {len(shape)} entries; got {len(allowed)}")
    out = []
    for index, size, negative in zip(start_indices, shape, allowed, strict=True):
        if negative and isinstance(index, (int, np.integer)):
            index = int(index) + size if index < 0 else int(index)
            out.append(index_array(index, name))
        else:
            array = index_array(index, name)
            out.append(wrap_negative(array, size) if negative else array)
    return out


def _check_starts(name: str, starts: Sequence[ShapedArray], rank: int) -> None:
    if len(starts) != rank:
        raise ShapeError(
            f"{name}: an operand of {rank} dimensions needs {rank} start indices; got {len(starts)}"
        )
    for s in starts:
        if s.shape != () or kind(s.dtype) not in "iu":
            raise ShapeError(f"{name}: start indices must be scalar integers; got {s.str_short()}")


# dynamic_slice ------------------------------------------------------------------------------------


def dynamic_slice(
    operand: Any,
    start_indices: Any,
    slice_sizes: Any,
    *,
    allow_negative_indices: bool | Sequence[bool] = True,
) -> Array:
    """The slice of `slice_sizes` that starts at `start_indices`, moved inside where it would not fit.

    Args:
        operand: an array.
        start_indices: a scalar integer for each dimension (a sequence or a 1-d array); may be traced.
        slice_sizes: a static size for each dimension.
        allow_negative_indices: whether negative start indices count from the end.
    """
    operand = as_array(operand, name="dynamic_slice")
    starts = _start_indices("dynamic_slice", start_indices, operand.aval.shape, allow_negative_indices)
    return dynamic_slice_p.bind(operand, *starts, slice_sizes=canonical_shape(slice_sizes))


def _dynamic_slice_abstract(
    x: ShapedArray, *starts: ShapedArray, slice_sizes: tuple[int, ...]
) -> ShapedArray:
    _check_starts("dynamic_slice", starts, x.ndim)
    if len(slice_sizes) != x.ndim or any(not 0 <= s <= d for s, d in zip(slice_sizes, x.shape, strict=True)):
        raise ShapeError(
            f"dynamic_slice: slice sizes {slice_sizes} must lie between 0 and the operand's shape {x.shape}"
        )
    return shaped_array(slice_sizes, x.dtype, result_weak((x, *starts)))


def _dynamic_slice_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, slice_sizes: tuple[int, ...]
) -> tuple[Any, Any]:
    out = dynamic_slice_p.bind(*primals, slice_sizes=slice_sizes)
    if type(tangents[0]) is Zero:
        return out, Zero(out.aval.tangent)
    return out, dynamic_slice_p.bind(tangents[0], *primals[1:], slice_sizes=slice_sizes)


def _dynamic_slice_transpose(ct: Any, x: Any, *starts: Any, slice_sizes: tuple[int, ...]) -> list[Any]:
    base = zeros(x.aval.strip_weak_type())
    return [dynamic_update_slice_p.bind(base, ct, *starts), *([None] * len(starts))]


def _index_vector(starts: Sequence[Any], dims: Sequence[int | None], size: int) -> tuple[Any, bool]:
    """The start indices as one array of index vectors along the last dimension, and whether it is batched."""
    batched = any(d is not None for d in dims)
    dtype = dtypes.result_type(*[s.aval.dtype for s in starts])
    columns = []
    for s, d in zip(starts, dims, strict=True):
        column = convert_element_type(s, dtype)
        if batched:
            column = with_batch_dim(column, d, size)
        columns.append(expand_dims(column, (column.aval.ndim,)))
    return concatenate(columns, columns[0].aval.ndim - 1), batched


def _dynamic_slice_batch(
    axis: Any, values: Sequence[Any], dims: Sequence[int | None], *, slice_sizes: tuple[int, ...]
) -> tuple[Any, int]:
    x, *starts = values
    dim, *start_dims = dims
    if all(d is None for d in start_dims):
        assert dim is not None
        zero = full((), 0, starts[0].aval.dtype if starts else _INT32)
        sizes = (*slice_sizes[:dim], axis.size, *slice_sizes[dim:])
        return dynamic_slice_p.bind(x, *starts[:dim], zero, *starts[dim:], slice_sizes=sizes), dim
    rank = len(starts)
    indices, _ = _index_vector(starts, start_dims, axis.size)
    batching: tuple[int, ...] = ()
    index_map = tuple(range(rank))
    if dim is not None:
        x = moveaxis(x, dim, 0)
        batching = (0,)
        index_map = tuple(range(1, rank + 1))
        slice_sizes = (min(1, axis.size), *slice_sizes)
    numbers = GatherDimensionNumbers(tuple(range(1, rank + 1)), (), index_map, batching, batching)
    return gather_p.bind(
        x,
        indices,
        dimension_numbers=numbers,
        slice_sizes=slice_sizes,
        unique_indices=dim is not None,
        indices_are_sorted=dim is not None,
        mode=GatherScatterMode.CLIP,
        fill_value=None,
    ), 0


rules.abstract[dynamic_slice_p] = _dynamic_slice_abstract
rules.jvp[dynamic_slice_p] = _dynamic_slice_jvp
rules.coefficient[dynamic_slice_p] = linear_coefficient(dynamic_slice_p)
rules.transpose[dynamic_slice_p] = _dynamic_slice_transpose
rules.batch[dynamic_slice_p] = _dynamic_slice_batch


# dynamic_update_slice -----------------------------------------------------------------------------


def dynamic_update_slice(
    operand: Any,
    update: Any,
    start_indices: Any,
    *,
    allow_negative_indices: bool | Sequence[bool] = True,
) -> Array:
    """The operand with the slice that starts at `start_indices` (moved inside where needed) replaced.

    Args:
        operand: an array.
        update: the new contents, of the operand's dtype and rank and not larger than it.
        start_indices: a scalar integer for each dimension (a sequence or a 1-d array); may be traced.
        allow_negative_indices: whether negative start indices count from the end.
    """
    operand, update = operands("dynamic_update_slice", operand, update)
    starts = _start_indices("dynamic_update_slice", start_indices, operand.aval.shape, allow_negative_indices)
    return dynamic_update_slice_p.bind(operand, update, *starts)


def _dynamic_update_slice_abstract(x: ShapedArray, update: ShapedArray, *starts: ShapedArray) -> ShapedArray:
    _check_starts("dynamic_update_slice", starts, x.ndim)
    if x.dtype != update.dtype:
        raise mismatch("dynamic_update_slice", [dtypes.dtype_name(x.dtype), dtypes.dtype_name(update.dtype)])
    if update.ndim != x.ndim or any(u > d for u, d in zip(update.shape, x.shape, strict=True)):
        raise ShapeError(
            f"dynamic_update_slice: the update of shape {update.shape} must have the rank of the operand of "
            f"shape {x.shape} and not be larger"
        )
    return shaped_array(x.shape, x.dtype, result_weak((x, update, *starts)))


def _dynamic_update_slice_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    x, update, *starts = primals
    out = dynamic_update_slice_p.bind(x, update, *starts)
    tx, tu = tangents[:2]
    if type(tx) is Zero and type(tu) is Zero:
        return out, Zero(out.aval.tangent)
    return out, dynamic_update_slice_p.bind(instantiate(tx), instantiate(tu), *starts)


def _dynamic_update_slice_transpose(ct: Any, x: Any, update: Any, *starts: Any) -> list[Any]:
    x_ct = update_ct = None
    shape = update.aval.shape
    if type(x) is Linear:
        x_ct = dynamic_update_slice_p.bind(ct, full(shape, 0, ct.aval.dtype), *starts)
    if type(update) is Linear:
        update_ct = dynamic_slice_p.bind(ct, *starts, slice_sizes=shape)
    return [x_ct, update_ct, *([None] * len(starts))]


def _dynamic_update_slice_batch(
    axis: Any, values: Sequence[Any], dims: Sequence[int | None]
) -> tuple[Any, int]:
    x, update, *starts = values
    dim, update_dim, *start_dims = dims
    x = with_batch_dim(x, dim, axis.size)
    update = with_batch_dim(update, update_dim, axis.size)
    if all(d is None for d in start_dims):
        zero = full((), 0, starts[0].aval.dtype if starts else _INT32)
        return dynamic_update_slice_p.bind(x, update, zero, *starts), 0
    rank = len(starts)
    indices, _ = _index_vector(starts, start_dims, axis.size)
    dims_after = tuple(range(1, rank + 1))
    return scatter_p.bind(
        x,
        indices,
        update,
        dimension_numbers=ScatterDimensionNumbers(dims_after, (), dims_after, (0,), (0,)),
        indices_are_sorted=True,
        unique_indices=True,
        mode=GatherScatterMode.CLIP,
    ), 0


rules.abstract[dynamic_update_slice_p] = _dynamic_update_slice_abstract
rules.jvp[dynamic_update_slice_p] = _dynamic_update_slice_jvp
rules.coefficient[dynamic_update_slice_p] = linear_coefficient(dynamic_update_slice_p)
rules.transpose[dynamic_update_slice_p] = _dynamic_update_slice_transpose
rules.batch[dynamic_update_slice_p] = _dynamic_update_slice_batch


# One dimension ------------------------------------------------------------------------------------


def slice_in_dim(
    operand: Any, start_index: int | None, limit_index: int | None, stride: int = 1, axis: int = 0
) -> Array:
    """`operand[..., start:limit:stride, ...]` along `axis`; negative bounds count from the end."""
    operand = as_array(operand, name="slice_in_dim")
    shape = operand.aval.shape
    axis = canonical_axis(axis, len(shape))
    size = shape[axis]
    start = 0 if start_index is None else operator.index(start_index)
    limit = size if limit_index is None else operator.index(limit_index)
    starts = [0] * len(shape)
    limits = list(shape)
    strides = [1] * len(shape)
    starts[axis] = start + size if start < 0 else start
    limits[axis] = limit + size if limit < 0 else limit
    strides[axis] = operator.index(stride)
    return slice(operand, starts, limits, strides)


def index_in_dim(operand: Any, index: int, axis: int = 0, keepdims: bool = True) -> Array:
    """The element at a static `index` along `axis`, with the dimension kept (of size 1) or removed.

    Raises:
        IndexError: the index is out of range.
    """
    operand = as_array(operand, name="index_in_dim")
    shape = operand.aval.shape
    axis = canonical_axis(axis, len(shape))
    index = operator.index(index)
    size = shape[axis]
    if not -size <= index < size:
        raise IndexError(f"index_in_dim: index {index} is out of range for dimension {axis} of shape {shape}")
    index = index + size if index < 0 else index
    out = slice_in_dim(operand, index, index + 1, axis=axis)
    return out if keepdims else reshape(out, (*shape[:axis], *shape[axis + 1 :]))


def _starts_in_dim(name: str, index: Any, axis: int, shape: tuple[int, ...], negative: bool) -> list[Any]:
    if negative and isinstance(index, (int, np.integer)):
        at: Any = index_array(int(index) + shape[axis] if index < 0 else int(index), name)
    else:
        at = index_array(index, name)
        if negative:
            at = wrap_negative(at, shape[axis])
    starts: list[Any] = [full((), 0, at.aval.dtype)] * len(shape)
    starts[axis] = at
    return starts


def dynamic_slice_in_dim(
    operand: Any, start_index: Any, slice_size: int, axis: int = 0, *, allow_negative_indices: bool = True
) -> Array:
    """`slice_size` elements from `start_index` (a scalar, possibly traced) on, along `axis`."""
    operand = as_array(operand, name="dynamic_slice_in_dim")
    shape = operand.aval.shape
    axis = canonical_axis(axis, len(shape))
    sizes = (*shape[:axis], operator.index(slice_size), *shape[axis + 1 :])
    starts = _starts_in_dim("dynamic_slice_in_dim", start_index, axis, shape, allow_negative_indices)
    return dynamic_slice_p.bind(operand, *starts, slice_sizes=sizes)


def dynamic_index_in_dim(
    operand: Any, index: Any, axis: int = 0, keepdims: bool = True, *, allow_negative_indices: bool = True
) -> Array:
    """The element at `index` (a scalar, possibly traced) along `axis`, with the dimension kept or removed."""
    operand = as_array(operand, name="dynamic_index_in_dim")
    out = dynamic_slice_in_dim(operand, index, 1, axis, allow_negative_indices=allow_negative_indices)
    if keepdims:
        return out
    shape = operand.aval.shape
    axis = canonical_axis(axis, len(shape))
    return reshape(out, (*shape[:axis], *shape[axis + 1 :]))


def dynamic_update_slice_in_dim(
    operand: Any, update: Any, start_index: Any, axis: int, *, allow_negative_indices: bool = True
) -> Array:
    """The operand with `update` written from `start_index` (a scalar, possibly traced) on, along `axis`."""
    operand, update = operands("dynamic_update_slice_in_dim", operand, update)
    shape = operand.aval.shape
    axis = canonical_axis(axis, len(shape))
    starts = _starts_in_dim("dynamic_update_slice_in_dim", start_index, axis, shape, allow_negative_indices)
    return dynamic_update_slice_p.bind(operand, update, *starts)


def dynamic_update_index_in_dim(
    operand: Any, update: Any, index: Any, axis: int, *, allow_negative_indices: bool = True
) -> Array:
    """The operand with its element at `index` (a scalar, possibly traced) along `axis` replaced.

    `update` may lack the dimension `axis`.
    """
    operand, update = operands("dynamic_update_index_in_dim", operand, update)
    axis = canonical_axis(axis, operand.aval.ndim)
    if update.aval.ndim != operand.aval.ndim:
        if update.aval.ndim + 1 != operand.aval.ndim:
            raise ShapeError(
                f"dynamic_update_index_in_dim: the update of shape {update.aval.shape} must have the rank of "
                f"the operand of shape {operand.aval.shape} or one dimension less"
            )
        update = expand_dims(update, (axis,))
    return dynamic_update_slice_in_dim(
        operand, update, index, axis, allow_negative_indices=allow_negative_indices
    )
