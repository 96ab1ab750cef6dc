"""Reductions of the rows of an array by segments: integers say to which segment each row belongs."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..base.errors import ConcretizationTypeError, DTypeError, ShapeError
from ..core import dtypes
from ..core.array import Array
from ..core.trace import Tracer
from .numpy import reductions
from .numpy.creation import full
from .numpy.promotion import arraylike
from .numpy.updates import update

__all__ = ["segment_max", "segment_min", "segment_prod", "segment_sum"]


def segment_sum(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
    out_sharding: None = None,
) -> Array:
    """The sum of each segment's rows.

    Args:
        data: (n, ...), an array.
        segment_ids: (n,), integers: row i belongs to segment `segment_ids[i]`. Rows of segments that are not
            among 0 ... num_segments - 1 are left out.
        num_segments: the number of segments, which must be known when a function is traced; by default one
            more than the largest of `segment_ids`.
        indices_are_sorted, unique_indices: promises about `segment_ids`.
        bucket_size: reduce so many rows at a time, and then the results: long sums round less.
        mode: what becomes of rows out of bounds: "drop" (default), "clip" or "promise_in_bounds".
        out_sharding: must be None.

    Returns:
        (num_segments, ...), in the dtype of `data`; 0 for segments without rows.

    Raises:
        ShapeError: `data` has not as many rows as `segment_ids` has elements.
        DTypeError: `segment_ids` are no integers.
        ConcretizationTypeError: `num_segments` is neither given nor known.
    """
    identity = lambda dtype: 0
    return _reduced(
        "segment_sum", "add", identity, reductions.sum, data, segment_ids, num_segments,
        indices_are_sorted, unique_indices, bucket_size, mode, out_sharding,
    )  # fmt: skip


def segment_prod(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
    out_sharding: None = None,
) -> Array:
    """The product of each segment's rows; 1 for segments without rows. All else is as for `segment_sum`."""
    identity = lambda dtype: 1
    return _reduced(
        "segment_prod", "multiply", identity, reductions.prod, data, segment_ids, num_segments,
        indices_are_sorted, unique_indices, bucket_size, mode, out_sharding,
    )  # fmt: skip


def segment_max(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
    out_sharding: None = None,
) -> Array:
    """The maximum of each segment's rows; the dtype's least value for segments without rows; see
    `segment_sum`.
    """
    identity = lambda dtype: reductions.extreme_value(dtype, greatest=False)
    return _reduced(
        "segment_max", "max", identity, reductions.max, data, segment_ids, num_segments,
        indices_are_sorted, unique_indices, bucket_size, mode, out_sharding,
    )  # fmt: skip


def segment_min(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
    out_sharding: None = None,
) -> Array:
    """The minimum of each segment's rows; the dtype's greatest value for segments without rows; see
    `segment_sum`.
    """
    identity = lambda dtype: reductions.extreme_value(dtype, greatest=True)
    return _reduced(
        "segment_min", "min", identity, reductions.min, data, segment_ids, num_segments,
        indices_are_sorted, unique_indices, bucket_size, mode, out_sharding,
    )  # fmt: skip


def _reduced(
    name: str,
    operation: str,
    identity: Callable[[np.dtype[Any]], Any],
    reducer: Callable[..., Any],
    data: Any,
    segment_ids: Any,
    num_segments: int | None,
    indices_are_sorted: bool,
    unique_indices: bool,
    bucket_size: int | None,
    mode: Any,
    out_sharding: None,
) -> Array:
    if out_sharding is not None:
        raise NotImplementedError(f"{name}: there is one device, so out_sharding must be None")
    x, ids = arraylike(name, data), arraylike(name, segment_ids)
    if not dtypes.is_integer(ids.aval.dtype):
        raise DTypeError(f"{name}: segment_ids must be integers, got {ids.aval.str_short()}")
    if ids.aval.ndim != 1 or x.aval.shape[:1] != ids.aval.shape:
        raise ShapeError(
            f"{name} expects segment_ids of shape (n,) for data of shape (n, ...), got {ids.aval.shape} for "
            f"data of shape {x.aval.shape}"
        )
    count = _count(name, ids, num_segments)
    dtype, rest = x.aval.dtype, x.aval.shape[1:]
    options: dict[str, Any] = {"mode": mode, "wrap_negative_indices": False}
    start = identity(dtype)
    if bucket_size is None:
        options |= {"indices_are_sorted": indices_are_sorted, "unique_indices": unique_indices}
        return update(full((count, *rest), start, dtype), ids, x, operation, **options)
    size = operator.index(bucket_size)
    if size < 1:
        raise ValueError(f"{name}: bucket_size must be at least 1, got {size}")
    buckets = np.arange(ids.aval.size) // size
    shape = (-(-ids.aval.size // size), count, *rest)
    parts = update(full(shape, start, dtype), (buckets, ids), x, operation, **options)
    return reducer(parts, axis=0, initial=start).astype(dtype)


def _count(name: str, ids: Any, num_segments: int | None) -> int:
    if num_segments is not None:
        count = operator.index(num_segments)
        if count < 0:
            raise ValueError(f"{name}: num_segments must not be negative, got {count}")
        return count
    if isinstance(ids, Tracer):
        ids = ids._concrete_or_raise(
            f"{name} without 'num_segments'",
            ConcretizationTypeError,
            f"The shape of its result depends on the values. Say how many segments there are: {name}(..., "
            "num_segments=n).",
        )
    return int(np.asarray(ids).max(initial=-1)) + 1
