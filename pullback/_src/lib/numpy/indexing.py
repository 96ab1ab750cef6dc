"""Reading by index: `x[...]`, iteration, `take`, `take_along_axis`.

On a concrete array in un-jitted code an index goes straight to NumPy, whose meaning is the same while it
stays in bounds. Otherwise static parts of the index become slices, traced scalars a dynamic slice, and
index arrays a gather. Out of bounds indices are clamped, unless `.at[...].get(mode="fill")` or `take`
ask for fill values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from ...base.errors import DTypeError
from ...core import dtypes
from ...core.array import Array, ConcreteArray
from ...core.aval import shaped_array
from ...core.kinds import kind
from ...core.trace import CURRENT
from ...ops.arithmetic import rem_p
from ...ops.convert import convert_element_type
from ...ops.families import broadcast_shapes
from ...ops.gather import GatherDimensionNumbers, GatherScatterMode, gather_p
from ...ops.joining import slice as lax_slice
from ...ops.joining import split
from ...ops.slicing import dynamic_slice_p, wrap_negative
from ...ops.structural import broadcast_to, full, reshape, rev
from .indices import (
    ARRAY,
    GAP,
    INT,
    SLICE,
    Entry,
    advanced_place,
    advanced_shape,
    as_axis,
    has_arrays,
    index_vectors,
    normalized,
    parse,
)
from .promotion import asarray, check_arraylike, refuse_out, weak_as

__all__ = ["take", "take_along_axis"]

_current = CURRENT.get
Mode = GatherScatterMode


# Concrete arrays ----------------------------------------------------------------------------------

_BASIC = {int, slice, type(None)}


def numpy_index(index: Any) -> Any:
    """An index for NumPy whose result is an array (never a scalar), or None where the general way must go."""
    if type(index) is not tuple:
        return _numpy_item(index)
    items = []
    ellipsis = False
    for item in index:
        if type(item) in _BASIC:
            items.append(item)
        elif item is ...:
            ellipsis = True
            items.append(item)
        else:
            found = _numpy_item(item)
            if found is None:
                return None
            items.append(found[0] if type(found) is tuple else found)
    if not ellipsis:
        items.append(...)
    return tuple(items)


def _numpy_item(item: Any) -> Any:
    t = type(item)
    if t is int:
        return (item, ...)
    if t is slice or item is None or item is ...:
        return item
    if t is ConcreteArray:
        data = item._data
        if data.dtype.kind not in "biu":
            return None
    elif t is np.ndarray or isinstance(item, np.integer):
        data = item
        if data.dtype.kind not in "biu":
            return None
    else:
        return None
    return data if data.ndim else (data, ...)


def getitem(x: Any, index: Any) -> Any:
    """x[index], by NumPy's rules; indices out of bounds are clamped.

    Raises:
        IndexError: too many indices, a mask that does not fit, a traced slice bound.
        NonConcreteBooleanIndexError: a traced mask.
        TypeError: a list, a string or floating-point numbers as index.
    """
    if type(x) is ConcreteArray and _current().eager:
        aval = x.aval
        data = x._data
        try:
            if type(index) is int:
                found = data[index, ...]
            elif type(index) is slice:
                found = data[index]
            else:
                key = numpy_index(index)
                if key is None:
                    return general_getitem(x, index)
                found = data[key]
        except (IndexError, TypeError, ValueError):
            return general_getitem(x, index)  # clamps, or has the better error
        return ConcreteArray(found, shaped_array(found.shape, aval.dtype, aval.weak_type))
    return general_getitem(x, index)


def iterate(x: Any) -> Iterator[Any]:
    """The rows of x."""
    shape = x.aval.shape
    if not shape:
        raise TypeError("iteration over an array without dimensions")
    return iter(rows(x))


def rows(x: Any) -> list[Any]:
    """The elements of x along its first dimension."""
    shape = x.aval.shape
    if type(x) is ConcreteArray and _current().eager:
        aval = shaped_array(shape[1:], x.aval.dtype, x.aval.weak_type)
        data = x._data
        if len(shape) > 1:
            return [ConcreteArray(row, aval) for row in data]
        return [ConcreteArray(data[i, ...], aval) for i in range(shape[0])]
    return [reshape(part, shape[1:]) for part in split(x, (1,) * shape[0], 0)] if shape[0] else []


# Every array --------------------------------------------------------------------------------------


def general_getitem(
    x: Any,
    index: Any,
    mode: Mode = Mode.PROMISE_IN_BOUNDS,
    fill_value: Any = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    wrap_negative_indices: bool = True,
) -> Any:
    """x[index] by slices, dynamic slices and gathers."""
    entries = parse(x.aval.shape, index, wrap_negative_indices)
    arrays = has_arrays(entries)
    scalars = not arrays and any(e.tag == ARRAY for e in entries)
    if scalars and mode is Mode.FILL_OR_DROP:
        arrays = True
    place = advanced_place(entries) if has_arrays(entries) else 0
    weak = x.aval.weak_type
    x = _static_part(x, entries)
    # Now each entry but INT and GAP stands for one dimension of x, in order.
    left = [e for e in entries if e.tag not in (INT, GAP)]
    if arrays:
        x = _gather(
            x, left, place, mode, fill_value, indices_are_sorted, unique_indices, wrap_negative_indices
        )
    elif scalars:
        x = _dynamic(x, left, wrap_negative_indices)
    if weak and not x.aval.weak_type:
        x = convert_element_type(x, x.aval.dtype, weak_type=True)
    return x


def _static_part(x: Any, entries: Sequence[Entry]) -> Any:
    """Apply slices and integers and insert new dimensions; index arrays' dimensions stay whole."""
    old = x.aval.shape
    starts, limits, steps = [], [], []
    backwards = []
    shape = []
    position = 0
    for e in entries:
        if e.tag == GAP:
            continue
        if e.dim is None:
            shape.append(1)
            position += 1
            continue
        size = old[e.dim]
        if e.tag == SLICE:
            start, step, count = e.value
            if count == 0:
                start, step = 0, 1
            elif step < 0:
                backwards.append(position)
                start, step = start + (count - 1) * step, -step
            starts.append(start)
            limits.append(start + (count - 1) * step + 1 if count else start)
            steps.append(step)
            shape.append(count)
        elif e.tag == INT:
            starts.append(e.value)
            limits.append(e.value + 1)
            steps.append(1)
            continue
        else:
            starts.append(0)
            limits.append(size)
            steps.append(1)
            shape.append(size)
        position += 1
    x = lax_slice(x, starts, limits, steps)
    x = reshape(x, tuple(shape))
    return rev(x, backwards) if backwards else x


def _dynamic(x: Any, entries: Sequence[Entry], wrap_negative_indices: bool) -> Any:
    """Index by scalars (traced, or out of bounds and to be clamped)."""
    shape = x.aval.shape
    starts = []
    zero = None
    for e, size in zip(entries, shape, strict=True):
        if e.tag == ARRAY:
            starts.append(normalized(e.value, size, e.in_bounds, wrap_negative_indices))
        else:
            zero = full((), 0, np.dtype(np.int32)) if zero is None else zero
            starts.append(zero)
    sizes = tuple(1 if e.tag == ARRAY else n for e, n in zip(entries, shape, strict=True))
    out = dynamic_slice_p.bind(x, *starts, slice_sizes=sizes)
    return reshape(out, tuple(n for e, n in zip(entries, shape, strict=True) if e.tag != ARRAY))


def _gather(
    x: Any,
    entries: Sequence[Entry],
    place: int,
    mode: Mode,
    fill_value: Any,
    indices_are_sorted: bool,
    unique_indices: bool,
    wrap_negative_indices: bool,
) -> Any:
    shape = x.aval.shape
    batch = advanced_shape(entries)
    indexed = tuple(i for i, e in enumerate(entries) if e.tag == ARRAY)
    components = [
        normalized(entries[i].value, shape[i], entries[i].in_bounds, wrap_negative_indices) for i in indexed
    ]
    if all(entries[i].in_bounds for i in indexed):
        mode = Mode.PROMISE_IN_BOUNDS
    rank = len(batch) + len(entries) - len(indexed)
    offset = tuple(d for d in range(rank) if not place <= d < place + len(batch))
    if 0 in batch:  # nothing is read, and the array may be empty
        rest = [n for i, n in enumerate(shape) if i not in indexed]
        return full(
            (*rest[:place], *batch, *rest[place:]), False if kind(x.aval.dtype) == "b" else 0, x.aval.dtype
        )
    return gather_p.bind(
        x,
        index_vectors(components, batch),
        dimension_numbers=GatherDimensionNumbers(offset, indexed, indexed),
        slice_sizes=tuple(1 if i in indexed else n for i, n in enumerate(shape)),
        unique_indices=unique_indices,
        indices_are_sorted=indices_are_sorted,
        mode=mode,
        fill_value=fill_value if mode is Mode.FILL_OR_DROP else None,
    )


# take ---------------------------------------------------------------------------------------------


def _integers(name: str, indices: Any) -> Any:
    array = asarray(indices)
    if kind(array.aval.dtype) == "b":
        return convert_element_type(array, np.dtype(np.int32))
    if kind(array.aval.dtype) not in "iu":
        raise DTypeError(f"{name}: indices must be integers; got {dtypes.dtype_name(array.aval.dtype)}")
    return array


def take(
    a: Any,
    indices: Any,
    axis: int | None = None,
    out: None = None,
    mode: str | None = None,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    fill_value: Any = None,
) -> Array:
    """Elements of `a` at `indices` along `axis` (of the flattened array if it is None).

    Args:
        a: an array.
        indices: integers of any shape; negative ones count from the end (except with mode "clip").
        axis: the dimension that `indices`' dimensions replace.
        out: not supported.
        mode: out of bounds indices give fill values ("fill", the default), are clamped ("clip"), or taken
            modulo the size ("wrap").
        unique_indices, indices_are_sorted: promises by the caller.
        fill_value: for mode "fill" (default: NaN; the smallest signed, the largest unsigned integer).
    """
    refuse_out("take", out)
    check_arraylike("take", a, indices)
    x = asarray(a)
    index = _integers("take", indices)
    if axis is None:
        x, axis = reshape(x, (x.aval.size,)), 0
    axis = as_axis(axis, x.aval.ndim)
    size = x.aval.shape[axis]
    if type(x) is ConcreteArray and type(index) is ConcreteArray and _current().eager:
        style = _NUMPY_MODES.get(mode)
        if style is not None and size:
            try:
                data = np.take(x._data, index._data, axis, mode=style)
            except (IndexError, TypeError):
                pass  # out of bounds (to be filled), or unsigned indices too wide for NumPy
            else:
                return _like(np.asarray(data, x.aval.dtype), x)
    if mode == "raise":
        raise NotImplementedError("take: mode 'raise' is not supported; use 'fill', 'clip' or 'wrap'")
    if mode == "wrap":
        index = _modulo(index, size)
        parsed = Mode.PROMISE_IN_BOUNDS
    elif mode == "clip":
        parsed = Mode.CLIP
    else:
        parsed = Mode.from_any("fill" if mode is None else mode)
        index = wrap_negative(index, size)
    shape = index.aval.shape
    if 0 in shape:
        new = (*x.aval.shape[:axis], *shape, *x.aval.shape[axis + 1 :])
        return full(new, False if kind(x.aval.dtype) == "b" else 0, x.aval.dtype)
    if size == 0:
        raise IndexError(f"take: dimension {axis} of shape {x.aval.shape} has no elements to take")
    rank = x.aval.ndim - 1 + len(shape)
    found = gather_p.bind(
        x,
        reshape(index, (*shape, 1)),
        dimension_numbers=GatherDimensionNumbers(
            tuple(d for d in range(rank) if not axis <= d < axis + len(shape)), (axis,), (axis,)
        ),
        slice_sizes=(*x.aval.shape[:axis], 1, *x.aval.shape[axis + 1 :]),
        unique_indices=unique_indices,
        indices_are_sorted=indices_are_sorted,
        mode=parsed,
        fill_value=_python_number(fill_value) if parsed is Mode.FILL_OR_DROP else None,
    )
    return weak_as(found, x)


# NumPy's "raise" serves where nothing is out of bounds.
_NUMPY_MODES: dict[Any, Literal["raise", "clip", "wrap"]] = {
    None: "raise",
    "fill": "raise",
    "clip": "clip",
    "wrap": "wrap",
}


def _like(data: np.ndarray[Any, Any], x: Any) -> ConcreteArray:
    """An array around `data` with the weak type of x."""
    return ConcreteArray(data, shaped_array(data.shape, data.dtype, x.aval.weak_type))


def _python_number(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _modulo(index: Any, size: int) -> Any:
    """The indices modulo `size`, as Python's %."""
    if kind(index.aval.dtype) == "i" and index.aval.dtype.itemsize < 4:
        index = convert_element_type(index, np.dtype(np.int32))
    rest = rem_p.bind(index, full((), max(size, 1), index.aval.dtype))
    return wrap_negative(rest, size)


def take_along_axis(
    arr: Any,
    indices: Any,
    axis: int | None = -1,
    mode: str | Mode | None = None,
    fill_value: Any = None,
    *,
    wrap_negative_indices: bool | None = None,
) -> Array:
    """For each row along `axis` the elements that the row of `indices` says.

    Args:
        arr: an array.
        indices: integers with as many dimensions as `arr`; the others broadcast.
        axis: the dimension along which rows run (None: both are flattened, `indices` being 1-dimensional).
        mode: as in `gather`; the default gives fill values out of bounds.
        fill_value: the fill value.
        wrap_negative_indices: whether negative indices count from the end (default: unless mode is "clip").
    """
    check_arraylike("take_along_axis", arr, indices)
    x, index = asarray(arr), asarray(indices)
    if kind(index.aval.dtype) not in "iu":
        raise DTypeError(
            f"take_along_axis: indices must be integers; got {dtypes.dtype_name(index.aval.dtype)}"
        )
    parsed = Mode.from_any("fill" if mode is None else mode)
    if wrap_negative_indices is None:
        wrap_negative_indices = True
    x, index, axis = along_axis("take_along_axis", x, index, axis)
    size = x.aval.shape[axis]
    if wrap_negative_indices:
        index = wrap_negative(index, size)
    shape = _broadcast_but(axis, x.aval.shape, index.aval.shape)
    x = broadcast_to(x, (*shape[:axis], size, *shape[axis + 1 :]))
    index = broadcast_to(index, (*shape[:axis], index.aval.shape[axis], *shape[axis + 1 :]))
    if index.aval.size == 0:
        return full(index.aval.shape, False if kind(x.aval.dtype) == "b" else 0, x.aval.dtype)
    if size == 0:
        raise IndexError(f"take_along_axis: dimension {axis} of shape {x.aval.shape} has no elements to take")
    others = tuple(d for d in range(len(shape)) if d != axis)
    return gather_p.bind(
        x,
        reshape(index, (*index.aval.shape, 1)),
        dimension_numbers=GatherDimensionNumbers((), (axis,), (axis,), others, others),
        slice_sizes=(1,) * len(shape),
        unique_indices=False,
        indices_are_sorted=False,
        mode=parsed,
        fill_value=_python_number(fill_value) if parsed is Mode.FILL_OR_DROP else None,
    )


def along_axis(name: str, x: Any, index: Any, axis: int | None) -> tuple[Any, Any, int]:
    """Array, indices and axis of the functions along an axis, with the default taken care of."""
    if axis is None:
        if index.aval.ndim != 1:
            raise ValueError(
                f"{name}: with axis None the indices must have 1 dimension; got {index.aval.ndim}"
            )
        return reshape(x, (x.aval.size,)), index, 0
    if x.aval.ndim != index.aval.ndim:
        raise ValueError(
            f"{name}: indices and array need the same number of dimensions; got shapes {index.aval.shape} "
            f"and {x.aval.shape}"
        )
    return x, index, as_axis(axis, x.aval.ndim)


def _broadcast_but(axis: int, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape of all dimensions but `axis`, which gets size 1."""
    first = (*a[:axis], 1, *a[axis + 1 :])
    second = (*b[:axis], 1, *b[axis + 1 :])
    return broadcast_shapes("take_along_axis", first, second)


METHODS: dict[str, Callable[..., Any] | property] = {
    "__getitem__": getitem,
    "__iter__": iterate,
    "take": take,
}
