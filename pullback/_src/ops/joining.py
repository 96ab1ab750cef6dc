"""Joining and cutting at fixed places: `concatenate`, `split`, `pad`, `slice`. All are linear.

`pad` and `slice` are each other's transposes, as `concatenate` and `split` are.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base.errors import ShapeError
from ..core import dtypes, rules
from ..core.array import Array, as_array, scalar
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.primitive import Primitive
from .compare import select_n_p
from .families import mismatch, operands, result_weak
from .structural import (
    broadcast_in_dim,
    canonical_axis,
    full,
    instantiate,
    linear_coefficient,
    linear_primitive,
    moveaxis,
    reduce_sum_p,
    reshape,
)

__all__ = ["concatenate", "pad", "slice", "split"]

Linear = rules.Linear


def with_batch_dim(value: Any, dim: int | None, size: int) -> Any:
    """`value` with its mapped dimension first (repeated along a new one if it has none)."""
    if dim is None:
        shape = value.aval.shape
        return broadcast_in_dim(value, (size, *shape), tuple(range(1, len(shape) + 1)))
    return moveaxis(value, dim, 0)


# concatenate --------------------------------------------------------------------------------------

concatenate_p = Primitive("concatenate")


def concatenate(operands: Any, dimension: int) -> Array:
    """Join arrays of one dtype along `dimension`.

    Args:
        operands: arrays whose shapes agree except along `dimension`.
        dimension: an existing dimension.

    Raises:
        ShapeError: shapes that do not fit; no operands.
    """
    arrays = [x if isinstance(x, Array) else as_array(x, name="concatenate") for x in operands]
    if not arrays:
        raise ValueError("concatenate needs at least one operand")
    dimension = operator.index(dimension)
    if not 0 <= dimension < arrays[0].aval.ndim:
        dimension = canonical_axis(dimension, arrays[0].aval.ndim)
    if len(arrays) == 1:
        return arrays[0]
    return concatenate_p.bind(*arrays, dimension=dimension)


def _concatenate_abstract(*avals: ShapedArray, dimension: int) -> ShapedArray:
    first = avals[0]
    before, after = first.shape[:dimension], first.shape[dimension + 1 :]
    total = 0
    for a in avals:
        if a.dtype != first.dtype:
            raise mismatch("concatenate", [dtypes.dtype_name(x.dtype) for x in avals])
        shape = a.shape
        if len(shape) != len(first.shape) or shape[:dimension] != before or shape[dimension + 1 :] != after:
            raise ShapeError(
                f"concatenate along dimension {dimension}: shapes must agree in all other dimensions; got "
                + ", ".join(str(x.shape) for x in avals)
            )
        total += shape[dimension]
    return shaped_array((*before, total, *after), first.dtype, result_weak(avals))


def _concatenate_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, dimension: int) -> tuple[Any, Any]:
    out = concatenate_p.bind(*primals, dimension=dimension)
    for t in tangents:
        if type(t) is not Zero:
            return out, concatenate_p.bind(*map(instantiate, tangents), dimension=dimension)
    return out, Zero(out.aval.tangent)


def _concatenate_transpose(ct: Any, *args: Any, dimension: int) -> list[Any]:
    parts = split_p.bind(ct, sizes=tuple(a.aval.shape[dimension] for a in args), axis=dimension)
    return [p if type(a) is Linear else None for p, a in zip(parts, args, strict=True)]


def _concatenate_batch(
    axis: Any, values: Sequence[Any], dims: Sequence[int | None], *, dimension: int
) -> tuple[Any, int]:
    first = dims[0]
    for d in dims:
        if d is None or d != first:
            break
    else:  # all are mapped over the same dimension: nothing has to move
        assert first is not None
        return concatenate_p.bind(*values, dimension=dimension + (first <= dimension)), first
    aligned = [with_batch_dim(v, d, axis.size) for v, d in zip(values, dims, strict=True)]
    return concatenate_p.bind(*aligned, dimension=dimension + 1), 0


rules.abstract[concatenate_p] = _concatenate_abstract
rules.jvp[concatenate_p] = _concatenate_jvp
rules.coefficient[concatenate_p] = linear_coefficient(concatenate_p)
rules.transpose[concatenate_p] = _concatenate_transpose
rules.batch[concatenate_p] = _concatenate_batch

# split --------------------------------------------------------------------------------------------

split_p = Primitive("split", multiple_results=True)


def split(operand: Any, sizes: Sequence[int], axis: int = 0) -> list[Array]:
    """Cut an array into consecutive pieces of the given sizes along `axis`.

    Raises:
        ShapeError: the sizes do not add up to the operand's.
    """
    operand = as_array(operand, name="split")
    pieces = tuple(operator.index(s) for s in sizes)
    axis = canonical_axis(axis, operand.aval.ndim)
    if len(pieces) == 1 and pieces[0] == operand.aval.shape[axis]:
        return [operand]
    return split_p.bind(operand, sizes=pieces, axis=axis)


def _split_abstract(x: ShapedArray, *, sizes: tuple[int, ...], axis: int) -> list[ShapedArray]:
    if any(s < 0 for s in sizes) or sum(sizes) != x.shape[axis]:
        raise ShapeError(
            f"split: sizes {sizes} must be non-negative and add up to {x.shape[axis]}, the size of dimension "
            f"{axis} of shape {x.shape}; they add up to {sum(sizes)}"
        )
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    return [shaped_array((*before, s, *after), x.dtype, x.weak_type) for s in sizes]


def _split_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
    return split_p.bind(*primals, **params), split_p.bind(*tangents, **params)


def _split_transpose(cts: Sequence[Any], x: Any, *, sizes: tuple[int, ...], axis: int) -> list[Any]:
    return [concatenate_p.bind(*map(instantiate, cts), dimension=axis)]


def _split_batch(
    mapped: Any, values: Sequence[Any], dims: Sequence[int], *, sizes: tuple[int, ...], axis: int
) -> tuple[Any, list[int]]:
    (x,), (dim,) = values, dims
    return split_p.bind(x, sizes=sizes, axis=axis + (dim <= axis)), [dim] * len(sizes)


rules.abstract[split_p] = _split_abstract
rules.jvp[split_p] = _split_jvp
rules.coefficient[split_p] = linear_coefficient(split_p)
rules.transpose[split_p] = _split_transpose
rules.batch[split_p] = _split_batch

# pad ----------------------------------------------------------------------------------------------

pad_p = Primitive("pad")

PaddingConfig = tuple[tuple[int, int, int], ...]


def pad(operand: Any, padding_value: Any, padding_config: Any) -> Array:
    """Surround and interleave an array with `padding_value`.

    Args:
        operand: an array.
        padding_value: a scalar of the operand's dtype.
        padding_config: for each dimension (low, high, interior): elements added before, after and between
            neighbours. Negative low and high remove elements.
    """
    operand, padding_value = operands("pad", operand, padding_value)
    config = tuple(
        (operator.index(lo), operator.index(hi), operator.index(i)) for lo, hi, i in padding_config
    )
    if not any(lo or hi or i for lo, hi, i in config) and len(config) == operand.aval.ndim:
        return operand
    return pad_p.bind(operand, padding_value, padding_config=config)


def _padded_size(size: int, lo: int, hi: int, interior: int) -> int:
    return size + lo + hi + interior * max(size - 1, 0)


def _pad_abstract(x: ShapedArray, value: ShapedArray, *, padding_config: PaddingConfig) -> ShapedArray:
    if value.shape != ():
        raise ShapeError(f"pad: the padding value must be a scalar; got shape {value.shape}")
    if x.dtype != value.dtype:
        raise mismatch("pad", [dtypes.dtype_name(x.dtype), dtypes.dtype_name(value.dtype)])
    if len(padding_config) != x.ndim:
        raise ShapeError(f"pad: {x.ndim} dimensions need as many (low, high, interior); got {padding_config}")
    if any(i < 0 for _, _, i in padding_config):
        raise ValueError(f"pad: interior padding must not be negative; got {padding_config}")
    shape = tuple(_padded_size(d, *c) for d, c in zip(x.shape, padding_config, strict=True))
    if any(d < 0 for d in shape):
        raise ShapeError(f"pad: {padding_config} removes more elements than the shape {x.shape} has")
    return shaped_array(shape, x.dtype, result_weak((x, value)))


def _pad_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, padding_config: PaddingConfig
) -> tuple[Any, Any]:
    out = pad_p.bind(*primals, padding_config=padding_config)
    if type(tangents[0]) is Zero and type(tangents[1]) is Zero:
        return out, Zero(out.aval.tangent)
    return out, pad_p.bind(*map(instantiate, tangents), padding_config=padding_config)


def _pad_transpose(ct: Any, x: Any, value: Any, *, padding_config: PaddingConfig) -> list[Any]:
    x_ct = value_ct = None
    if type(x) is Linear:
        x_ct = _unpad(ct, x.aval.shape, padding_config)
    if type(value) is Linear:
        outside = pad_p.bind(full(x.aval.shape, False), _true, padding_config=padding_config)
        kept = select_n_p.bind(outside, scalar(0, ct.aval.dtype), ct)
        value_ct = reduce_sum_p.bind(kept, axes=tuple(range(ct.aval.ndim)))
    return [x_ct, value_ct]


_true = scalar(True, np.dtype(np.bool_))


def _unpad(ct: Any, shape: tuple[int, ...], padding_config: PaddingConfig) -> Any:
    """The elements of `ct` at the operand's places; zero for those that negative padding removed."""
    if any(lo < 0 or hi < 0 for lo, hi, _ in padding_config):
        zero = scalar(0, ct.aval.dtype)
        removed = tuple((builtins.max(-lo, 0), builtins.max(-hi, 0), 0) for lo, hi, _ in padding_config)
        ct = pad_p.bind(ct, zero, padding_config=removed)
    starts = [builtins.max(lo, 0) for lo, _, _ in padding_config]
    limits = [
        s + builtins.max((n - 1) * (i + 1) + 1, 0) if n else s
        for s, n, (_, _, i) in zip(starts, shape, padding_config, strict=True)
    ]
    return slice(ct, starts, limits, [i + 1 for _, _, i in padding_config])


def _pad_batch(
    axis: Any, values: Sequence[Any], dims: Sequence[int | None], *, padding_config: PaddingConfig
) -> tuple[Any, int]:
    x, value = values
    dim, value_dim = dims
    if value_dim is None:
        assert dim is not None
        config = (*padding_config[:dim], (0, 0, 0), *padding_config[dim:])
        return pad_p.bind(x, value, padding_config=config), dim
    # Each example has a padding value of its own: pad with anything, then put the values in.
    x = with_batch_dim(x, dim, axis.size)
    config = ((0, 0, 0), *padding_config)
    padded = pad_p.bind(x, scalar(0, x.aval.dtype), padding_config=config)
    outside = pad_p.bind(full(x.aval.shape[1:], False), _true, padding_config=padding_config)
    columns = reshape(value, (axis.size, *([1] * len(padding_config))))
    return select_n_p.bind(outside, padded, columns), 0


rules.abstract[pad_p] = _pad_abstract
rules.jvp[pad_p] = _pad_jvp
rules.coefficient[pad_p] = linear_coefficient(pad_p)
rules.transpose[pad_p] = _pad_transpose
rules.batch[pad_p] = _pad_batch

# slice --------------------------------------------------------------------------------------------

slice_p = linear_primitive("slice")


def slice(operand: Any, start_indices: Any, limit_indices: Any, strides: Any = None) -> Array:
    """The elements at start, start + stride, ... below limit along each dimension.

    Args:
        operand: an array.
        start_indices, limit_indices: an int for each dimension, 0 <= start <= limit <= size.
        strides: a positive int for each dimension (default: 1).
    """
    operand = as_array(operand, name="slice")
    shape = operand.aval.shape
    starts = tuple(map(operator.index, start_indices))
    limits = tuple(map(operator.index, limit_indices))
    steps = None if strides is None else tuple(map(operator.index, strides))
    if steps is not None and all(s == 1 for s in steps):
        steps = None
    if steps is None and limits == shape and not any(starts) and len(starts) == len(shape):
        return operand
    return slice_p.bind(operand, start_indices=starts, limit_indices=limits, strides=steps)


def _slice_abstract(
    x: ShapedArray,
    *,
    start_indices: tuple[int, ...],
    limit_indices: tuple[int, ...],
    strides: tuple[int, ...] | None,
) -> ShapedArray:
    steps = (1,) * x.ndim if strides is None else strides
    if not len(start_indices) == len(limit_indices) == len(steps) == x.ndim:
        raise ShapeError(
            f"slice: an operand of shape {x.shape} needs {x.ndim} start indices, limits and strides; got "
            f"{start_indices}, {limit_indices}, {strides}"
        )
    if any(s < 1 for s in steps):
        raise ShapeError(f"slice: strides must be positive; got {steps}")
    if any(not 0 <= lo <= hi <= d for lo, hi, d in zip(start_indices, limit_indices, x.shape, strict=True)):
        raise ShapeError(
            f"slice: needs 0 <= start <= limit <= size in each dimension; got starts {start_indices}, limits "
            f"{limit_indices} for shape {x.shape}"
        )
    bounds = zip(start_indices, limit_indices, steps, strict=True)
    return shaped_array(tuple(-((lo - hi) // s) for lo, hi, s in bounds), x.dtype, x.weak_type)


def _slice_transpose(
    ct: Any,
    x: Any,
    *,
    start_indices: tuple[int, ...],
    limit_indices: tuple[int, ...],
    strides: tuple[int, ...] | None,
) -> list[Any]:
    steps = (1,) * len(start_indices) if strides is None else strides
    config = []
    for start, step, n, size in zip(start_indices, steps, ct.aval.shape, x.aval.shape, strict=True):
        covered = (n - 1) * step + 1 if n else 0
        config.append((start, size - start - covered, step - 1))
    return [pad_p.bind(ct, scalar(0, ct.aval.dtype), padding_config=tuple(config))]


def _slice_batch(
    axis: Any,
    values: Sequence[Any],
    dims: Sequence[int],
    *,
    start_indices: tuple[int, ...],
    limit_indices: tuple[int, ...],
    strides: tuple[int, ...] | None,
) -> tuple[Any, int]:
    (x,), (dim,) = values, dims
    return slice_p.bind(
        x,
        start_indices=(*start_indices[:dim], 0, *start_indices[dim:]),
        limit_indices=(*limit_indices[:dim], axis.size, *limit_indices[dim:]),
        strides=None if strides is None else (*strides[:dim], 1, *strides[dim:]),
    ), dim


rules.abstract[slice_p] = _slice_abstract
rules.transpose[slice_p] = _slice_transpose
rules.batch[slice_p] = _slice_batch
