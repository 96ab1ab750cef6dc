"""Sorting, searching, and the places of nonzero elements."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ...base.errors import ConcretizationTypeError
from ...core import dtypes
from ...core.array import Array, ConcreteArray, as_array, from_numpy, scalar
from ...core.trace import Tracer
from ...ops.arithmetic import add_p, div_p, rem_p
from ...ops.compare import gt_p, ne_p, select_n_p
from ...ops.convert import convert_element_type
from ...ops.cumulative import cumsum_p
from ...ops.iota import broadcasted_iota, iota
from ...ops.joining import concatenate
from ...ops.search import searchsorted as search
from ...ops.sort import sort as sort_operands
from ...ops.structural import canonical_axis, expand_dims, full, reshape, rev
from .promotion import arraylike, promote

__all__ = [
    "argpartition",
    "argsort",
    "argwhere",
    "flatnonzero",
    "lexsort",
    "nonzero",
    "partition",
    "searchsorted",
    "sort",
    "sort_complex",
]


def _sortable(name: str, a: Any, axis: int | None, kind: Any = None, order: Any = None) -> tuple[Any, int]:
    if kind is not None:
        raise TypeError(f"{name} does not support 'kind'; say stable=True or stable=False")
    if order is not None:
        raise TypeError(f"{name} does not support 'order': arrays have no fields")
    x = arraylike(name, a)
    if axis is None:
        return reshape(x, (x.aval.size,)), 0
    return x, canonical_axis(axis, x.aval.ndim)


# sorting ------------------------------------------------------------------------------------------


def sort(
    a: Any,
    axis: int | None = -1,
    *,
    kind: None = None,
    order: None = None,
    stable: bool = True,
    descending: bool = False,
) -> Array:
    """A sorted copy, with NaN at the end.

    Args:
        a: an array.
        axis: the axis along which to sort; None sorts the flattened array.
        stable: accepted for the sake of the API; sorting is always stable.
        descending: whether the greatest comes first (and NaN before it).
    """
    x, axis = _sortable("sort", a, axis, kind, order)
    result = sort_operands(x, axis, stable)
    if x.aval.weak_type:
        result = convert_element_type(result, x.aval.dtype, weak_type=True)
    return rev(result, (axis,)) if descending else result


def argsort(
    a: Any,
    axis: int | None = -1,
    *,
    kind: None = None,
    order: None = None,
    stable: bool = True,
    descending: bool = False,
    dtype: Any = None,
) -> Array:
    """The indices that sort an array, as the default integer or `dtype`; equal elements keep their order.

    Args:
        a, axis, stable, descending: as for `sort`.
        dtype: an integer dtype for the indices.
    """
    x, axis = _sortable("argsort", a, axis, kind, order)
    index_dtype = dtypes.default_int_dtype() if dtype is None else dtypes.check_user_dtype(dtype, "argsort")
    places = broadcasted_iota(index_dtype, x.aval.shape, axis)
    if not descending:
        return sort_operands((x, places), axis, stable)[1]
    # Reversed before and after, equal elements come out in their own order.
    backwards = sort_operands((rev(x, (axis,)), rev(places, (axis,))), axis, stable)[1]
    return rev(backwards, (axis,))


def sort_complex(a: Any) -> Array:
    """Sorted along the last axis, as complex numbers: by real parts, then by imaginary ones."""
    x = sort(a)
    if x.aval.dtype.kind == "c":
        return x
    inexact = dtypes.to_inexact_dtype(x.aval.dtype)
    return convert_element_type(x, dtypes.to_complex_dtype(inexact))


def lexsort(keys: Any, axis: int = -1) -> Array:
    """The indices that sort by several keys, of which the last decides first.

    Args:
        keys: a sequence of arrays of one shape, or an array whose rows are the keys.
        axis: the axis along which to sort.
    """
    columns = [arraylike("lexsort", k) for k in keys]
    if not columns:
        raise TypeError("lexsort needs at least one key")
    if columns[0].aval.ndim == 0:
        return full((), 0, dtypes.default_int_dtype())
    axis = canonical_axis(axis, columns[0].aval.ndim)
    places = broadcasted_iota(dtypes.default_int_dtype(), columns[0].aval.shape, axis)
    return sort_operands((*columns[::-1], places), axis, num_keys=len(columns))[-1]


def partition(a: Any, kth: int, axis: int = -1) -> Array:
    """The elements rearranged: the smaller ones before the kth in sorted order, the greater ones behind it.

    The result is in fact sorted: the contract leaves the order within the parts open.
    """
    x, axis = _sortable("partition", a, axis)
    canonical_axis(kth, x.aval.shape[axis])
    return sort(x, axis)


def argpartition(a: Any, kth: int, axis: int = -1) -> Array:
    """The indices that `partition` an array."""
    x, axis = _sortable("argpartition", a, axis)
    canonical_axis(kth, x.aval.shape[axis])
    return argsort(x, axis)


def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None, *, method: str = "scan") -> Array:
    """The places at which to insert the elements of `v` into the sorted vector `a` so that it stays sorted.

    Args:
        a: a vector in ascending order, or in any order with a `sorter`.
        v: an array or number.
        side: before ("left") or behind ("right") equal elements.
        sorter: indices that sort `a`.
        method: accepted for the sake of the API ("scan", "scan_unrolled", "sort", "compare_all").
    """
    if side not in ("left", "right"):
        raise ValueError(f"searchsorted: side must be 'left' or 'right'; got {side!r}")
    if method not in ("scan", "scan_unrolled", "sort", "compare_all"):
        raise ValueError(f"searchsorted: unknown method {method!r}")
    a, v = promote("searchsorted", a, v)
    if a.aval.ndim != 1:
        raise ValueError(f"searchsorted: the sorted array must have one dimension; got shape {a.aval.shape}")
    if sorter is not None:
        a = a[sorter]
    return search(a, v, side, dtypes.default_int_dtype())


# nonzero elements ---------------------------------------------------------------------------------


def concrete_value(x: Any, function: str) -> np.ndarray[Any, Any]:
    """The value of an array whose elements decide the shape of a result.

    Raises:
        ConcretizationTypeError: the value is not known; the message says what to do.
    """
    if type(x) is ConcreteArray:
        return x._data
    assert isinstance(x, Tracer)
    return x._concrete_or_raise(
        f"{function} without 'size'",
        ConcretizationTypeError,
        "The shape of its result depends on the values. Say how many elements there are: "
        f"{function}(..., size=n).",
    )._data


def nonzero(a: Any, *, size: int | None = None, fill_value: Any = None) -> tuple[Array, ...]:
    """The indices of the nonzero elements: for each dimension a vector of the default integer.

    Args:
        a: an array with at least one dimension.
        size: how many indices to return. Needed where values are not known (under jit): the result is cut to
            that length or filled up.
        fill_value: with `size`, a number, or one for each dimension, for missing indices (default 0).

    Raises:
        ConcretizationTypeError: traced values and no size.
    """
    x = arraylike("nonzero", a)
    if x.aval.ndim == 0:
        raise ValueError("nonzero needs an array with at least one dimension; use atleast_1d(x).nonzero()")
    dtype = dtypes.default_int_dtype()
    if size is None:
        return tuple(
            from_numpy(i.astype(dtype), copy=False) for i in np.nonzero(concrete_value(x, "nonzero"))
        )
    size = operator.index(size)
    shape = x.aval.shape
    if isinstance(fill_value, tuple):
        fills = list(fill_value)
        if len(fills) != len(shape):
            raise ValueError(f"nonzero: {len(shape)} dimensions need as many fill values; got {len(fills)}")
    else:
        fills = [0 if fill_value is None else fill_value] * len(shape)
    fills = [convert_element_type(as_array(f), dtype) for f in fills]
    if x.aval.size == 0 or size == 0:
        return tuple(full((size,), f) for f in fills)
    truth = x if x.aval.dtype == np.bool_ else ne_p.bind(x, scalar(0, x.aval.dtype))
    marks = convert_element_type(reshape(truth, (x.aval.size,)), dtype)
    counts = cumsum_p.bind(marks, axis=0, reverse=False)
    # The k-th nonzero element stands where the count reaches k.
    wanted = add_p.bind(iota(dtype, size), scalar(1, dtype))
    flat = search(counts, wanted, "left", dtype)
    missing = gt_p.bind(wanted, counts[-1])
    out = []
    step = x.aval.size
    for length, fill in zip(shape, fills, strict=True):
        step //= length
        index = rem_p.bind(div_p.bind(flat, scalar(step, dtype)), scalar(length, dtype))
        out.append(select_n_p.bind(missing, index, fill))
    return tuple(out)


def flatnonzero(a: Any, *, size: int | None = None, fill_value: Any = None) -> Array:
    """The indices of the nonzero elements of the flattened array; further arguments as for `nonzero`."""
    x = arraylike("flatnonzero", a)
    return nonzero(reshape(x, (x.aval.size,)), size=size, fill_value=fill_value)[0]


def argwhere(a: Any, *, size: int | None = None, fill_value: Any = None) -> Array:
    """The indices of the nonzero elements as rows of a matrix; `size` and `fill_value` as for `nonzero`."""
    x = arraylike("argwhere", a)
    if x.aval.ndim == 0:
        count = nonzero(reshape(x, (1,)), size=size, fill_value=fill_value)[0].shape[0]
        return full((count, 0), 0, dtypes.default_int_dtype())
    if fill_value is not None and not isinstance(fill_value, tuple):
        given: Any = as_array(fill_value)
        if given.aval.ndim:
            fill_value = tuple(given[i] for i in range(given.aval.shape[0]))
    columns = nonzero(x, size=size, fill_value=fill_value)
    return concatenate([expand_dims(c, (1,)) for c in columns], 1)


METHODS: dict[str, Callable[..., Any]] = {
    "argpartition": argpartition,
    "argsort": argsort,
    "nonzero": nonzero,
    "partition": partition,
    "searchsorted": searchsorted,
    "sort": sort,
}
"""Functions that are methods of arrays, under the same names."""
