"""Searching in a sorted array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base.errors import DTypeError, ShapeError
from ..core import dtypes, rules
from ..core.array import scalar
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.kinds import kind
from ..core.primitive import Primitive
from .arithmetic import add_p, and_p, min_p, not_p, or_p, shift_right_logical_p
from .compare import lt_p, ne_p, select_n_p
from .convert import convert_element_type
from .families import check_kind
from .joining import with_batch_dim
from .sort import take_along
from .structural import full, moveaxis, reshape

searchsorted_p = Primitive("searchsorted")


def _abstract(a: ShapedArray, v: ShapedArray, *, side: str, index_dtype: np.dtype[Any]) -> ShapedArray:
    check_kind("searchsorted", a.dtype, "biufc")
    if a.ndim != 1:
        raise ShapeError(f"searchsorted: the sorted array must have one dimension; got shape {a.shape}")
    if a.dtype != v.dtype:
        raise DTypeError(f"searchsorted: expected one dtype; got {a.str_short()} and {v.str_short()}")
    if side not in ("left", "right"):
        raise ValueError(f"searchsorted: side must be 'left' or 'right'; got {side!r}")
    return shaped_array(v.shape, index_dtype)


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
    out = searchsorted_p.bind(*primals, **params)
    return out, Zero(out.aval.tangent)


def _batch(axis: Any, values: Sequence[Any], dims: Sequence[int | None], **params: Any) -> tuple[Any, int]:
    (a, v), (a_dim, v_dim) = values, dims
    if a_dim is None:
        assert v_dim is not None
        return searchsorted_p.bind(a, v, **params), v_dim
    rows = moveaxis(a, a_dim, 0)
    queries = with_batch_dim(v, v_dim, axis.size)
    shape = queries.aval.shape
    flat = reshape(queries, (axis.size, v.aval.size // (axis.size if v_dim is not None and axis.size else 1)))
    return reshape(_binary_search(rows, flat, **params), shape), 0


def _decompose(a: Any, v: Any, **params: Any) -> Any:
    found = _binary_search(reshape(a, (1, *a.aval.shape)), reshape(v, (1, v.aval.size)), **params)
    return reshape(found, v.aval.shape)


def _precedes(x: Any, y: Any) -> Any:
    """x < y in the order of sorting, in which NaN is the greatest."""
    less = lt_p.bind(x, y)
    if kind(x.aval.dtype) not in "fc":
        return less
    return or_p.bind(less, and_p.bind(ne_p.bind(y, y), not_p.bind(ne_p.bind(x, x))))


def _binary_search(rows: Any, queries: Any, *, side: str, index_dtype: np.dtype[Any]) -> Any:
    """For each row of `rows` [b, n] the places of the row of `queries` [b, m]."""
    size = rows.aval.shape[1]
    low = full(queries.aval.shape, 0, index_dtype)
    high = full(queries.aval.shape, size, index_dtype)
    one, last = scalar(1, index_dtype), scalar(max(size - 1, 0), index_dtype)
    for _ in range(size.bit_length()):
        middle = shift_right_logical_p.bind(add_p.bind(low, high), one)
        found = take_along(rows, min_p.bind(middle, last), 1)
        beyond = _precedes(found, queries) if side == "left" else not_p.bind(_precedes(queries, found))
        beyond = and_p.bind(beyond, lt_p.bind(low, high))
        low = select_n_p.bind(beyond, low, add_p.bind(middle, one))
        high = select_n_p.bind(beyond, middle, high)
    return low


def searchsorted(a: Any, v: Any, side: str = "left", index_dtype: Any = np.int32) -> Any:
    """The places at which to insert the elements of `v` into the sorted vector `a` so that it stays sorted.

    Args:
        a: a vector in ascending order (NaN last).
        v: an array of the same dtype.
        side: before ("left") or behind ("right") equal elements.
        index_dtype: the dtype of the result, which has the shape of `v`.
    """
    dtype = dtypes.as_numpy_dtype(index_dtype)
    _abstract(a.aval, v.aval, side=side, index_dtype=dtype)
    a = convert_element_type(a, a.aval.dtype)  # places are not weakly typed
    return searchsorted_p.bind(a, v, side=side, index_dtype=dtype)


rules.abstract[searchsorted_p] = _abstract
rules.jvp[searchsorted_p] = _jvp
rules.batch[searchsorted_p] = _batch
rules.decompose[searchsorted_p] = _decompose
