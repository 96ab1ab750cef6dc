"""Kernels of `ops.scatter`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core.primitive import Primitive
from ...ops import gather as gather_ops
from ...ops import scatter as ops
from .gather import place_components, to_intp, window_index
from .register import kernel

Array = np.ndarray[Any, Any]
Mode = gather_ops.GatherScatterMode

_LOW_PRECISION = {"float16", "bfloat16"}


def _define(primitive: Primitive, function: np.ufunc | None) -> None:
    """Register the kernel that combines by `function` (None: replaces)."""

    @kernel(primitive)
    def scatter(
        x: Array,
        indices: Array,
        updates: Array,
        *,
        dimension_numbers: ops.ScatterDimensionNumbers,
        indices_are_sorted: bool,
        unique_indices: bool,
        mode: Mode,
    ) -> Array:
        window_dims, inserted, index_map, operand_batching, indices_batching = dimension_numbers
        batch_shape = indices.shape[:-1]
        sizes = ops.window_sizes(dimension_numbers, x.ndim, updates.shape)
        if (
            indices.dtype.kind not in "iu"
            or x.dtype != updates.dtype
            or (x.dtype.kind == "b" and function in _NUMERIC)
        ):
            raise ValueError("the shape rule says what is wrong")
        if tuple(n for d, n in enumerate(updates.shape) if d not in window_dims) != batch_shape:
            raise ValueError("updates and indices of different batch shapes")
        if updates.size == 0 or x.size == 0:
            return x
        if x.ndim == 0:
            return scatter(
                x.reshape(1),
                np.zeros((*batch_shape, 1), np.intp),
                updates,
                dimension_numbers=ops.ScatterDimensionNumbers((), (0,), (0,)),
                indices_are_sorted=True,
                unique_indices=False,
                mode=mode,
            ).reshape(())
        limits = [x.shape[d] - sizes[d] for d in index_map]
        if any(s > n for s, n in zip(sizes, x.shape, strict=True)):
            raise ValueError("a window larger than the operand")
        components, valid = place_components(to_intp(indices), limits, mode)
        # The updates as [*batch, *partly covered dimensions, *wholly covered dimensions].
        batch_dims = [d for d in range(updates.ndim) if d not in window_dims]
        kept = [d for d in range(x.ndim) if d not in inserted and d not in operand_batching]
        index, whole = window_index(
            x.shape, components, index_map, inserted, operand_batching, indices_batching, batch_shape, sizes
        )
        axis_of = dict(zip(kept, window_dims, strict=True))
        partial = [d for d in kept if d not in whole]
        updates = updates.transpose([*batch_dims, *(axis_of[d] for d in (*partial, *whole))])
        indexed = [d for d in range(x.ndim) if d not in whole]
        at = [index[d] for d in indexed]
        if valid is not None:
            # Dropped windows leave the list; what is left has one batch dimension.
            common = (*batch_shape, *(sizes[d] for d in partial))
            at = [np.broadcast_to(a, common)[valid] for a in at]
            updates = updates[valid]
            if updates.size == 0:
                return x
        wide = function in _NUMERIC and x.dtype.name in _LOW_PRECISION
        out = x.astype(np.float32) if wide else x.copy()
        target = out.transpose([*indexed, *whole])
        if not at:
            target[...] = updates if function is None else function(target, updates)
        elif function is None:
            target[tuple(at)] = updates
        elif unique_indices and valid is None and mode is not Mode.CLIP:
            target[tuple(at)] = function(target[tuple(at)], updates)
        else:
            _combine_at(function, target, at, updates)
        return out.astype(x.dtype) if wide else out


_NUMERIC = (np.add, np.subtract, np.multiply)


def _combine_at(function: np.ufunc, target: Array, at: list[Array], updates: Array) -> None:
    """`function.at` for a target whose leading dimensions `at` indexes, through flat indices.

    NumPy has a fast loop only for one dimension and equal dtypes.
    """
    lead = target.shape[: len(at)]
    flat = np.ravel_multi_index(tuple(np.broadcast_arrays(*at)), lead)
    rest = math.prod(target.shape[len(at) :])
    packed = np.ascontiguousarray(target).reshape(-1)
    if rest != 1:
        flat = flat[..., None] * rest + np.arange(rest)
    function.at(packed, flat.reshape(-1), np.ascontiguousarray(updates, packed.dtype).reshape(-1))
    if not np.shares_memory(packed, target):
        target[...] = packed.reshape(target.shape)


_KERNELS: dict[Primitive, np.ufunc | None] = {
    ops.scatter_p: None,
    ops.scatter_add_p: np.add,
    ops.scatter_sub_p: np.subtract,
    ops.scatter_mul_p: np.multiply,
    ops.scatter_min_p: np.minimum,
    ops.scatter_max_p: np.maximum,
}
for _primitive, _function in _KERNELS.items():
    _define(_primitive, _function)
