"""Sets as arrays: unique elements, membership, union, intersection and differences."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np

from ...core import dtypes
from ...core.array import Array, as_array, scalar
from ...core.kinds import kind
from ...ops.arithmetic import and_p, not_p, or_p
from ...ops.compare import eq_p, ne_p, select_n_p
from ...ops.convert import convert_element_type
from ...ops.cumulative import cumsum_p
from ...ops.iota import iota
from ...ops.joining import concatenate
from ...ops.joining import slice as static_slice
from ...ops.search import searchsorted as search
from ...ops.sort import sort as sort_operands
from ...ops.structural import broadcast_to, canonical_axis, full, moveaxis, reshape
from .indexing import take
from .promotion import arraylike, check_arraylike, promote, weak_as
from .sorting import concrete_value, nonzero

__all__ = [
    "intersect1d",
    "isin",
    "setdiff1d",
    "setxor1d",
    "union1d",
    "unique",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
]


def _flat(x: Any) -> Any:
    return reshape(x, (x.aval.size,))


# unique -------------------------------------------------------------------------------------------


def _differs(x: Any, equal_nan: bool) -> Any:
    """Whether each element of a sorted vector differs from the one before it."""
    size = x.aval.shape[0]
    high, low = static_slice(x, (1,), (size,)), static_slice(x, (0,), (size - 1,))
    new = ne_p.bind(high, low)
    if equal_nan and kind(x.aval.dtype) in "fc":
        both_nan = and_p.bind(ne_p.bind(high, high), ne_p.bind(low, low))
        new = and_p.bind(new, not_p.bind(both_nan))
    return new


def _count(mask: Any, name: str, size: int | None) -> int:
    return int(np.sum(concrete_value(mask, name))) if size is None else operator.index(size)


def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    size: int | None = None,
    fill_value: Any = None,
    sorted: bool = True,
) -> Any:
    """The distinct elements, ascending.

    Args:
        ar: an array.
        return_index: also return the index of the first place of each.
        return_inverse: also return, for each element of `ar`, the index of its value in the result.
        return_counts: also return how often each occurs.
        axis: compare whole slices along this axis; None means elements.
        equal_nan: whether all NaNs count as one.
        size: the fixed length of the result. Needed where values are not known (under jit): the result is cut
            to that length or filled up.
        fill_value: what fills it up (default: the smallest element).
        sorted: accepted for the sake of the API; the result is always sorted.

    Returns:
        The values, or a tuple of them and what else was asked for, in the order of the arguments.

    Raises:
        ConcretizationTypeError: traced values and no size.
    """
    x = arraylike("unique", ar)
    if axis is None:
        whole_shape: tuple[int, ...] = x.aval.shape
        slices, axis = reshape(x, (x.aval.size,)), 0
    else:
        axis = canonical_axis(axis, x.aval.ndim)
        whole_shape = (x.aval.shape[axis],)
        slices = moveaxis(x, axis, 0)
    total = slices.aval.shape[0]
    int_dtype = dtypes.default_int_dtype()
    if total == 0:
        if size and fill_value is None:
            raise ValueError("unique of no elements with a positive size needs a fill_value")
        return _nothing(
            slices, axis, size or 0, fill_value, (return_index, return_inverse, return_counts), whole_shape
        )
    rows = reshape(slices, (total, slices.aval.size // total))
    columns: list[Any] = [
        _flat(static_slice(rows, (0, j), (total, j + 1))) for j in range(rows.aval.shape[1])
    ]
    *ordered, places = sort_operands((*columns, iota(int_dtype, total)), 0, num_keys=max(len(columns), 1))
    first: Any = full((total,), not columns, np.dtype(np.bool_))
    for column in ordered:
        start = full((1,), True, np.dtype(np.bool_))
        first = or_p.bind(first, concatenate([start, _differs(column, equal_nan)], 0))
    count = _count(first, "unique", size)
    # Where each distinct slice begins in the sorted order; what is missing begins behind the end.
    bounds: Any = nonzero(first, size=count + 1, fill_value=total)[0]
    starts = bounds[:-1]
    missing = eq_p.bind(starts, scalar(total, int_dtype))
    index = take(places, select_n_p.bind(missing, starts, scalar(0, int_dtype)), mode="clip")
    values: Any = take(slices, index, axis=0, mode="clip")
    if size is not None and fill_value is not None:
        shape = (count, *[1] * (values.aval.ndim - 1))
        fill = convert_element_type(as_array(fill_value), values.aval.dtype)
        values = select_n_p.bind(reshape(missing, shape), values, fill)
    out = [moveaxis(values, 0, axis)]
    if return_index:
        out.append(index)
    if return_inverse:
        group = cumsum_p.bind(convert_element_type(first, int_dtype), axis=0, reverse=False)
        group = group - 1
        # Sorting by the places brings the groups back into the given order.
        inverse = sort_operands((places, group), 0)[1]
        out.append(reshape(inverse, whole_shape))
    if return_counts:
        out.append(bounds[1:] - starts)
    return tuple(out) if len(out) > 1 else out[0]


def _nothing(
    slices: Any,
    axis: int,
    size: int,
    fill_value: Any,
    wanted: tuple[bool, bool, bool],
    whole_shape: tuple[int, ...],
) -> Any:
    """The results of `unique` for an array without elements."""
    int_dtype = dtypes.default_int_dtype()
    shape = (size, *slices.aval.shape[1:])
    fill = (
        full((), 0, slices.aval.dtype)
        if fill_value is None
        else convert_element_type(as_array(fill_value), slices.aval.dtype)
    )
    out = [moveaxis(broadcast_to(fill, shape), 0, axis)]
    shapes = ((size,), whole_shape, (size,))
    out += [full(s, 0, int_dtype) for s, asked in zip(shapes, wanted, strict=True) if asked]
    return tuple(out) if len(out) > 1 else out[0]


class UniqueAllResult(NamedTuple):
    """What `unique_all` returns."""

    values: Array
    indices: Array
    inverse_indices: Array
    counts: Array


class UniqueCountsResult(NamedTuple):
    """What `unique_counts` returns."""

    values: Array
    counts: Array


class UniqueInverseResult(NamedTuple):
    """What `unique_inverse` returns."""

    values: Array
    inverse_indices: Array


def unique_all(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> UniqueAllResult:
    """The distinct elements, their first places, the inverse and the counts; every NaN counts for itself."""
    return UniqueAllResult(*unique(x, True, True, True, equal_nan=False, size=size, fill_value=fill_value))


def unique_counts(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> UniqueCountsResult:
    """The distinct elements and how often each occurs; every NaN counts for itself."""
    return UniqueCountsResult(
        *unique(x, return_counts=True, equal_nan=False, size=size, fill_value=fill_value)
    )


def unique_inverse(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> UniqueInverseResult:
    """The distinct elements and, for each element, the index of its value; every NaN counts for itself."""
    return UniqueInverseResult(
        *unique(x, return_inverse=True, equal_nan=False, size=size, fill_value=fill_value)
    )


def unique_values(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Array:
    """The distinct elements; every NaN counts for itself."""
    return unique(x, equal_nan=False, size=size, fill_value=fill_value)


# membership and set operations --------------------------------------------------------------------


def isin(
    element: Any,
    test_elements: Any,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    method: str = "auto",
) -> Array:
    """Whether each element occurs among `test_elements`; NaN occurs nowhere.

    Args:
        element: an array.
        test_elements: the set, an array of any shape.
        assume_unique, method: accepted for the sake of the API.
        invert: whether to say which do not occur.
    """
    check_arraylike("isin", element, test_elements)
    x, members = promote("isin", element, test_elements)
    members = _flat(members)
    if members.aval.size == 0:
        return full(x.aval.shape, invert)
    members = sort_operands(members, 0)
    places = search(members, x, "left", np.int32)
    found = eq_p.bind(take(members, places, mode="clip"), x)
    return not_p.bind(found) if invert else found


def _two(name: str, ar1: Any, ar2: Any) -> tuple[Any, Any]:
    check_arraylike(name, ar1, ar2)
    x, y = promote(name, ar1, ar2)
    return _flat(x), _flat(y)


def union1d(ar1: Any, ar2: Any, *, size: int | None = None, fill_value: Any = None) -> Array:
    """The distinct elements of both arrays, ascending; `size` and `fill_value` as for `unique`."""
    x, y = _two("union1d", ar1, ar2)
    return unique(concatenate([x, y], 0), size=size, fill_value=fill_value)


def _compressed(name: str, values: Any, mask: Any, size: int | None, fill_value: Any) -> tuple[Any, Any]:
    """The elements of a vector where `mask` holds, and their indices, cut or filled up to `size`."""
    total = values.aval.shape[0]
    count = _count(mask, name, size)
    places = nonzero(mask, size=count, fill_value=total)[0]
    found = take(values, places, mode="clip") if total else full((count,), 0, values.aval.dtype)
    missing = eq_p.bind(places, scalar(total, places.aval.dtype))
    if size is not None:
        found = select_n_p.bind(missing, found, convert_element_type(as_array(fill_value), values.aval.dtype))
    return found, places


def setdiff1d(
    ar1: Any, ar2: Any, assume_unique: bool = False, *, size: int | None = None, fill_value: Any = None
) -> Array:
    """The distinct elements of `ar1` that do not occur in `ar2`, ascending.

    Args:
        ar1, ar2: arrays.
        assume_unique: the caller's promise that `ar1` holds no element twice (then its order is kept).
        size, fill_value: as for `unique` (the default fill value is zero).
    """
    check_arraylike("setdiff1d", ar1, ar2)
    x = _flat(as_array(ar1))
    first = None
    if not assume_unique:
        x, first = _sorted_with_marks(x)
    kept = isin(x, ar2, invert=True)
    if first is not None:
        kept = and_p.bind(first, kept)
    return _compressed("setdiff1d", x, kept, size, 0 if fill_value is None else fill_value)[0]


def _sorted_with_marks(x: Any) -> tuple[Any, Any]:
    """A vector sorted, and which of its elements differ from the one before."""
    x = weak_as(sort_operands(x, 0), x)
    if x.aval.size == 0:
        return x, full((0,), False)
    return x, concatenate([full((1,), True), _differs(x, True)], 0)


def setxor1d(
    ar1: Any, ar2: Any, assume_unique: bool = False, *, size: int | None = None, fill_value: Any = None
) -> Array:
    """The distinct elements that occur in exactly one of two arrays, ascending.

    Args:
        ar1, ar2: arrays.
        assume_unique: the caller's promise that neither holds an element twice.
        size, fill_value: as for `unique` (the default fill value is the smallest element of the result).
    """
    x, y = _two("setxor1d", ar1, ar2)
    both, first = _sorted_with_marks(concatenate([x, y], 0))
    kept = and_p.bind(first, ne_p.bind(isin(both, x), isin(both, y)))
    return _filled("setxor1d", both, kept, size, fill_value)[0]


def _filled(name: str, values: Any, kept: Any, size: int | None, fill_value: Any) -> tuple[Any, Any]:
    """`_compressed`, with the first element found as the default fill value."""
    if size is not None and fill_value is None:
        nothing = full((), 0, values.aval.dtype)
        at: Any = nonzero(kept, size=1)[0]
        fill_value = take(values, reshape(at, ()), mode="clip") if values.aval.size else nothing
    return _compressed(name, values, kept, size, fill_value)


def intersect1d(
    ar1: Any,
    ar2: Any,
    assume_unique: bool = False,
    return_indices: bool = False,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The distinct elements that occur in both arrays, ascending.

    Args:
        ar1, ar2: arrays.
        assume_unique: the caller's promise that neither holds an element twice.
        return_indices: whether to return the indices of their first places in both arrays too.
        size, fill_value: as for `unique` (the default fill value is the smallest element of the result;
            missing indices are the sizes of the arrays).
    """
    x, y = _two("intersect1d", ar1, ar2)
    int_dtype = dtypes.default_int_dtype()
    values, x_places = sort_operands((x, iota(int_dtype, x.aval.size)), 0)
    values = weak_as(values, x)
    first = full((0,), False)
    if values.aval.size:
        first = concatenate([full((1,), True), _differs(values, False)], 0)
    kept = and_p.bind(first, isin(values, y))
    found, where = _filled("intersect1d", values, kept, size, fill_value)
    if not return_indices:
        return found
    missing = eq_p.bind(where, scalar(x.aval.size, where.aval.dtype))
    sorted_y, y_places = sort_operands((y, iota(int_dtype, y.aval.size)), 0)
    out = []
    at = search(sorted_y, found, "left", int_dtype)
    for places, index in ((x_places, where), (y_places, at)):
        length = places.aval.shape[0]
        if length == 0:
            out.append(full(found.aval.shape, 0, int_dtype))
            continue
        taken = take(places, index, mode="clip")
        out.append(select_n_p.bind(missing, taken, scalar(length, int_dtype)))
    return found, out[0], out[1]
