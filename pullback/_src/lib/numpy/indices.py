"""Reading what stands between the brackets of `x[...]`, and turning it into index vectors.

An index becomes a list of `Entry`s, one for each dimension of the array and each `None`, in their order.
`indexing` reads with them, `updates` writes.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...base.errors import (
    ConcretizationTypeError,
    NonConcreteBooleanIndexError,
    ShapeError,
)
from ...core import dtypes
from ...core.array import ConcreteArray, as_array, wrap
from ...core.kinds import kind
from ...core.trace import Tracer
from ...ops.convert import convert_element_type
from ...ops.families import broadcast_shapes
from ...ops.joining import concatenate
from ...ops.slicing import wrap_negative as wrap_negative_index
from ...ops.structural import broadcast_to, reshape
from .promotion import asarray

NEW = "new"
SLICE = "slice"
INT = "int"
ARRAY = "array"
GAP = "gap"

_INT32 = np.dtype(np.int32)


class Entry:
    """One item of an index.

    Attributes:
        tag: NEW (None), SLICE, INT (static and within range, non-negative), ARRAY (also scalars that are
            traced or out of range), or GAP: an ellipsis that stands for no dimension, but separates arrays.
        dim: the dimension of the array that it indexes; None for NEW, and for an ARRAY from a bool scalar,
            which indexes a dimension of size 1 of its own.
        value: for SLICE (start, step, size); for INT an int; for ARRAY an array of integers.
        in_bounds: for ARRAY, whether all its values are known to lie within [0, size).
    """

    __slots__ = ("dim", "in_bounds", "tag", "value")

    def __init__(self, tag: str, dim: int | None, value: Any = None, in_bounds: bool = False) -> None:
        self.tag = tag
        self.dim = dim
        self.value = value
        self.in_bounds = in_bounds


def parse(shape: tuple[int, ...], index: Any, wrap_negative_indices: bool = True) -> list[Entry]:
    """The entries of an index into an array of `shape`.

    Without `wrap_negative_indices` negative integers do not count from the end, but are out of bounds.

    Raises:
        IndexError: too many indices, two ellipses, a mask that does not fit, a traced slice bound.
        NonConcreteBooleanIndexError: a traced mask.
        TypeError: an index of a wrong type.
    """
    items = _expand(shape, index)
    entries: list[Entry] = []
    dim = 0
    for item in items:
        if item is None or item is ...:
            entries.append(Entry(NEW if item is None else GAP, None))
        elif type(item) is slice:
            entries.append(Entry(SLICE, dim, _slice(item, shape[dim], len(entries))))
            dim += 1
        elif isinstance(item, (int, np.integer)) and not isinstance(item, (bool, np.bool_)):
            entries.append(_integer(int(item), dim, shape, wrap_negative_indices))
            dim += 1
        elif kind(item.aval.dtype) == "b":
            masks = _mask(item, shape[dim : dim + item.aval.ndim], dim)
            entries.extend(masks)
            dim += item.aval.ndim
        else:
            entries.append(_array(item, dim, shape, wrap_negative_indices))
            dim += 1
    return entries


def _expand(shape: tuple[int, ...], index: Any) -> list[Any]:
    """The items of an index, arrays as `Array`s, with the ellipsis written out (unless it is empty)."""
    items = index if type(index) is tuple else (index,)
    if not isinstance(index, tuple) and isinstance(index, (list, range)):
        what = "tuple(i)" if any(isinstance(i, slice) or i is None or i is ... for i in index) else "array(i)"
        raise TypeError(
            f"a {type(index).__name__} is no index (it would be ambiguous); use x[{what}] instead of x[i]"
        )
    out: list[Any] = []
    consumed = 0
    ellipsis = None
    for position, item in enumerate(items):
        if item is None or type(item) is slice:
            consumed += item is not None
        elif item is ...:
            if ellipsis is not None:
                raise IndexError("an index can only have a single ellipsis ('...')")
            ellipsis = position
        elif isinstance(item, (int, np.integer)) and not isinstance(item, (bool, np.bool_)):
            consumed += 1
        else:
            item = _as_index_array(item)
            consumed += item.aval.ndim if kind(item.aval.dtype) == "b" else 1
        out.append(item)
    if consumed > len(shape):
        raise IndexError(
            f"too many indices: an array of shape {shape} has {len(shape)} dimensions, but {consumed} are "
            "indexed"
        )
    rest: list[Any] = [slice(None)] * (len(shape) - consumed)
    if ellipsis is None:
        return out + rest
    return out[:ellipsis] + (rest or [...]) + out[ellipsis + 1 :]


def _as_index_array(item: Any) -> Any:
    if isinstance(item, str):
        raise TypeError(f"strings are no indices; got {item!r}")
    if isinstance(item, (list, tuple, range)):
        item = asarray(list(item), None if len(item) else _INT32)
    if isinstance(item, np.ndarray) and item.dtype.kind not in "biufc":
        raise TypeError(f"an index must have an integer or bool dtype; got {getattr(item, 'dtype', 'float')}")
    try:
        array = as_array(item, name="index")
    except TypeError:
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), None and integer or bool arrays are valid "
            f"indices; got {item!r}"
        ) from None
    if kind(array.aval.dtype) not in "biu":
        raise TypeError(
            f"an index must have an integer or bool dtype; got {dtypes.dtype_name(array.aval.dtype)}"
        )
    return array


def _slice(item: slice, size: int, position: int) -> tuple[int, int, int]:
    """(start, step, number of elements) of a slice of a dimension."""
    try:
        start, stop, step = item.indices(size)
    except ConcretizationTypeError:
        raise IndexError(
            f"the bounds of a slice must be static integers; got {item} at position {position}. "
            "The result's shape would depend on values; use lax.dynamic_slice for a slice of static size at "
            "a traced place."
        ) from None
    return start, step, len(range(start, stop, step))


def _integer(value: int, dim: int, shape: tuple[int, ...], wrap_negative: bool) -> Entry:
    size = shape[dim]
    if size == 0:
        raise IndexError(f"index {value} into dimension {dim}, which has size 0 (shape {shape})")
    if not -(2**31) <= value < 2**31:
        raise OverflowError(f"index {value} is too large for any array")
    if (-size if wrap_negative else 0) <= value < size:
        return Entry(INT, dim, value + size if value < 0 else value)
    return Entry(ARRAY, dim, wrap(np.array(value, _INT32)))


def _array(item: Any, dim: int, shape: tuple[int, ...], wrap_negative: bool) -> Entry:
    size = shape[dim]
    if size == 0 and item.aval.size > 0:
        raise IndexError(f"an index into dimension {dim}, which has size 0 (shape {shape})")
    value = concrete_array(item)
    if value is None:
        return Entry(ARRAY, dim, item)
    data = value._data
    if data.ndim == 0 and (-size if wrap_negative else 0) <= data < size:
        return Entry(INT, dim, int(data) % size)
    inside = data.size == 0 or bool(data.min() >= 0 and data.max() < size)
    return Entry(ARRAY, dim, value, inside)


def concrete_array(item: Any) -> ConcreteArray | None:
    """The value of an index if it is known."""
    if type(item) is ConcreteArray:
        return item
    return item.concrete() if isinstance(item, Tracer) else None


def _mask(item: Any, shape: tuple[int, ...], dim: int) -> list[Entry]:
    value = concrete_array(item)
    if value is None:
        raise NonConcreteBooleanIndexError(
            f"a bool index must be concrete, since the result's shape depends on its values; got a traced "
            f"{item.aval.str_short()}. Use numpy.where(mask, x, y), or numpy.nonzero(mask, size=n) for a "
            "fixed number of places."
        )
    if value.aval.ndim == 0:
        return [Entry(ARRAY, None, wrap(np.zeros(int(value._data), _INT32)), True)]
    if value.aval.shape != shape:
        raise IndexError(
            f"a mask must have the shape of the dimensions that it indexes; got {value.aval.shape}, "
            f"expected {shape}"
        )
    places = value._data.nonzero()
    return [Entry(ARRAY, dim + i, wrap(p.astype(_INT32)), True) for i, p in enumerate(places)]


# Properties of a list of entries ------------------------------------------------------------------


def advanced_shape(entries: Sequence[Entry]) -> tuple[int, ...]:
    """The common shape of the index arrays."""
    shapes = [e.value.aval.shape for e in entries if e.tag == ARRAY]
    try:
        return broadcast_shapes("indexing", *shapes) if shapes else ()
    except ShapeError as error:
        raise ShapeError(f"the index arrays do not fit together: {error}") from None


def has_arrays(entries: Sequence[Entry]) -> bool:
    """Whether any index array (with dimensions) occurs, so that integers count as arrays, too."""
    return any(e.tag == ARRAY and e.value.aval.ndim for e in entries)


def advanced_place(entries: Sequence[Entry]) -> int:
    """The dimension of the result at which the index arrays' dimensions stand.

    NumPy's rule: in place of the index arrays and integers if those stand together, else first.
    """
    places = [i for i, e in enumerate(entries) if e.tag in (ARRAY, INT)]
    if not places or places[-1] - places[0] + 1 != len(places):
        return 0
    return sum(e.tag != GAP for e in entries[: places[0]])


def result_shape(entries: Sequence[Entry]) -> tuple[int, ...]:
    """The shape of x[index]."""
    rest = [e.value[2] if e.tag == SLICE else 1 for e in entries if e.tag in (SLICE, NEW)]
    if not has_arrays(entries):
        return tuple(rest)
    place = advanced_place(entries)
    return (*rest[:place], *advanced_shape(entries), *rest[place:])


# Index vectors ------------------------------------------------------------------------------------


def normalized(value: Any, size: int, in_bounds: bool, wrap_negative_indices: bool) -> Any:
    """An index array without negative values that count from the end, as int32 (int64 if it was)."""
    known = concrete_array(value)
    if known is not None:
        data = known._data
        wide = np.dtype(np.int64) if size > 2**31 - 1 else _INT32
        if in_bounds:
            return wrap(data.astype(wide)) if data.dtype != wide else known
        exact = (
            np.minimum(data, np.uint64(2**62)).astype(np.int64)
            if data.dtype == np.uint64
            else data.astype(np.int64)
        )
        if wrap_negative_indices:
            exact = np.where(exact < 0, exact + size, exact)
        # Whatever is out of range stays out of range.
        return wrap(np.minimum(np.maximum(exact, -1), size).astype(wide))
    if wrap_negative_indices and not in_bounds:
        value = wrap_negative_index(value, size)
    if value.aval.dtype.itemsize < 4:
        value = convert_element_type(value, _INT32)
    return value


def index_vectors(components: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """Index arrays that broadcast to `shape` as one array of index vectors, of shape [*shape, k]."""
    if not components:
        return wrap(np.zeros((*shape, 0), _INT32))
    dtype = components[0].aval.dtype
    if any(c.aval.dtype != dtype for c in components):
        dtype = dtypes.lattice_result_type(*[(c.aval.dtype, False) for c in components])[0]
        if kind(dtype) not in "iu":
            dtype = _INT32
        components = [convert_element_type(c, dtype) for c in components]
    known = [concrete_array(c) for c in components]
    if all(k is not None for k in known):
        data = [np.broadcast_to(k._data, shape) for k in known if k is not None]
        return wrap(np.stack(data, axis=-1))
    columns = []
    for c in components:
        if c.aval.shape != shape:
            c = broadcast_to(c, shape)
        columns.append(reshape(c, (*shape, 1)))
    return concatenate(columns, len(shape))


def as_axis(axis: Any, ndim: int) -> int:
    """A non-negative axis."""
    found = operator.index(axis)
    if not -ndim <= found < ndim:
        raise ValueError(f"axis {found} is out of range for an array with {ndim} dimensions")
    return found % ndim
