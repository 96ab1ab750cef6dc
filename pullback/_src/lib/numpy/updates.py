"""Writing by index: `x.at[...].set(...)` and its kind, `put_along_axis`, `put`, `place`, `fill_diagonal`.

Arrays are immutable: each of these returns a new array. On concrete arrays in un-jitted code NumPy writes
into a copy; otherwise a contiguous static window becomes a `dynamic_update_slice`, and everything else a
scatter. Updates out of bounds are dropped, unless the mode says otherwise.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...base.errors import DTypeError, ShapeError
from ...control.while_loop import while_loop
from ...core import dtypes
from ...core.array import Array, ConcreteArray, wrap
from ...core.aval import shaped_array
from ...core.engine import quietly
from ...core.kinds import kind
from ...core.primitive import Primitive
from ...core.trace import CURRENT, EVAL, using
from ...ops.arithmetic import add_p, clamp
from ...ops.compare import lt_p, select_n_p
from ...ops.convert import convert_element_type
from ...ops.gather import GatherScatterMode
from ...ops.reduction import reduce_max_p
from ...ops.scatter import (
    ScatterDimensionNumbers,
    scatter_add_p,
    scatter_max_p,
    scatter_min_p,
    scatter_mul_p,
    scatter_p,
    scatter_sub_p,
)
from ...ops.slicing import dynamic_update_slice_p, wrap_negative
from ...ops.structural import broadcast_to, full, reshape
from . import operators
from .indexing import along_axis, general_getitem, numpy_index
from .indices import (
    ARRAY,
    GAP,
    INT,
    NEW,
    SLICE,
    Entry,
    advanced_place,
    advanced_shape,
    concrete_array,
    has_arrays,
    index_vectors,
    normalized,
    parse,
    result_shape,
)
from .promotion import asarray, check_arraylike, is_number

__all__ = ["fill_diagonal", "place", "put", "put_along_axis"]

_current = CURRENT.get
Mode = GatherScatterMode
_INT32 = np.dtype(np.int32)

# Operation: the primitive, and NumPy's function (None: assignment).
_OPERATIONS: dict[str, tuple[Primitive, np.ufunc | None]] = {
    "set": (scatter_p, None),
    "add": (scatter_add_p, np.add),
    "subtract": (scatter_sub_p, np.subtract),
    "multiply": (scatter_mul_p, np.multiply),
    "min": (scatter_min_p, np.minimum),
    "max": (scatter_max_p, np.maximum),
}


# Concrete arrays ----------------------------------------------------------------------------------

_NUMBER_KINDS = {bool: "b", int: "iufc", float: "fc", complex: "c"}


def _update_concrete(x: ConcreteArray, index: Any, value: Any, function: np.ufunc | None) -> Any:
    """The update by NumPy, or None where the general way must go."""
    dtype = x.aval.dtype
    if type(value) is ConcreteArray:
        if value.aval.dtype is not dtype:
            return None
        data: Any = value._data
        ndim = data.ndim
    else:
        if kind(dtype) not in _NUMBER_KINDS.get(type(value), ""):
            return None
        data, ndim = value, 0
    key = numpy_index(index)
    if key is None or (function is not None and (dtype.kind in "bV" or dtype.itemsize == 2)):
        return None
    out = x._data.copy()
    try:
        advanced = _has_array(key)
        if ndim and ndim > (x._data[key] if advanced else out[key]).ndim:
            return None
        if function is None:
            out[key] = data
        elif advanced:
            quietly(function.at, out, key, data)
        else:
            target = out[key]
            quietly(function, target, data, out=target)
    except (IndexError, ValueError, TypeError, OverflowError):
        return None  # drops what is out of bounds, or has the better error
    return ConcreteArray(out, x.aval)


def _has_array(key: Any) -> bool:
    if type(key) is np.ndarray:
        return True
    if type(key) is tuple:
        for item in key:
            if type(item) is np.ndarray:
                return True
    return False


# Every array --------------------------------------------------------------------------------------


def update(
    x: Any,
    index: Any,
    values: Any,
    operation: str,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: str | Mode | None = None,
    wrap_negative_indices: bool = True,
) -> Any:
    """`x` with `values` (broadcast to the shape of x[index]) combined into it at `index`.

    Args:
        x: an array.
        index: as in x[index].
        values: a number or an array; it is converted to the dtype of x, with a warning if that is not safe.
        operation: "set", "add", "subtract", "multiply", "min" or "max".
        indices_are_sorted, unique_indices: promises by the caller.
        mode: "drop" (default), "clip" or "promise_in_bounds".
        wrap_negative_indices: whether negative indices count from the end.
    """
    primitive, function = _OPERATIONS[operation]
    if mode is not None:
        mode = Mode.from_any(mode)
    if type(x) is ConcreteArray and wrap_negative_indices and _current().eager:
        found = _update_concrete(x, index, values, function)
        if found is not None:
            return found
    entries = parse(x.aval.shape, index, wrap_negative_indices)
    old = x.aval
    x, values = _common_dtype(x, values)
    values = _broadcast_values(values, result_shape(entries))
    out = _scatter(
        primitive,
        x,
        entries,
        values,
        indices_are_sorted,
        unique_indices,
        Mode.FILL_OR_DROP if mode is None else mode,
        wrap_negative_indices,
    )
    if out.aval.dtype != old.dtype or out.aval.weak_type != old.weak_type:
        out = convert_element_type(out, old.dtype, weak_type=old.weak_type)
    return out


def _common_dtype(x: Any, values: Any) -> tuple[Any, Any]:
    """Both operands in the dtype in which to combine them: that of x, if the values can be cast to it."""
    dtype = x.aval.dtype
    if is_number(values):
        described = (dtypes.python_scalar_dtype(type(values)), not isinstance(values, bool))
        array = None
    else:
        array = values if isinstance(values, Array) else asarray(values)
        if array.aval.dtype == dtype:
            return x, array
        described = (array.aval.dtype, array.aval.weak_type)
    if dtypes.is_extended(dtype) or dtypes.is_extended(described[0]):
        raise DTypeError(
            f".at[]: cannot write values of dtype {dtypes.dtype_name(described[0])} into an array of dtype "
            f"{dtypes.dtype_name(dtype)}"
        )
    promoted = dtypes.lattice_result_type((dtype, x.aval.weak_type), described)[0]
    if promoted != dtype and not (x.aval.weak_type and kind(promoted) == kind(dtype)):
        warnings.warn(
            f"values of dtype {dtypes.dtype_name(described[0])} cannot be cast safely to the array's dtype "
            f"{dtypes.dtype_name(dtype)}; convert them with .astype, since this will become an error",
            FutureWarning,
            stacklevel=4,
        )
        x = convert_element_type(x, promoted)
    if array is None:
        array = asarray(values)
    return x, convert_element_type(array, promoted)


def _broadcast_values(values: Any, shape: tuple[int, ...]) -> Any:
    found = values.aval.shape
    if found == shape:
        return values
    if len(found) > len(shape) or any(
        n not in (1, m) for n, m in zip(reversed(found), reversed(shape), strict=False)
    ):
        raise ShapeError(f".at[]: values of shape {found} cannot be broadcast to the indexed shape {shape}")
    return broadcast_to(values, shape)


def _scatter(
    primitive: Primitive,
    x: Any,
    entries: Sequence[Entry],
    values: Any,
    indices_are_sorted: bool,
    unique_indices: bool,
    mode: Mode,
    wrap_negative_indices: bool,
) -> Any:
    """Combine `values`, of the shape of x[entries], into x."""
    shape = x.aval.shape
    indexing = [e for e in entries if e.tag not in (NEW, GAP)]
    sizes = tuple(1 if e.dim is None else shape[e.dim] for e in indexing)
    arrays = has_arrays(entries)
    static = all(e.tag != ARRAY for e in indexing)
    if (
        static
        and primitive is scatter_p
        and all(e.tag == INT or e.value[1] == 1 or e.value[2] == 1 for e in indexing)
    ):
        window = tuple(1 if e.tag == INT else e.value[2] for e in indexing)
        if 0 in window:
            return x
        starts = [wrap(np.array(e.value if e.tag == INT else e.value[0], _INT32)) for e in indexing]
        return dynamic_update_slice_p.bind(x, reshape(values, window), *starts)
    # The dimensions of the values in order: (B, i) for those of the index arrays, entries for slices.
    rest: list[Any] = [e for e in entries if e.tag in (SLICE, NEW)]
    batch = advanced_shape(entries) if arrays else ()
    place = advanced_place(entries) if arrays else 0
    layout: list[Any] = [*rest[:place], *(("B", i) for i in range(len(batch))), *rest[place:]]
    layout = [item for item in layout if type(item) is tuple or item.tag == SLICE]
    extent = [batch[item[1]] if type(item) is tuple else item.value[2] for item in layout]
    values = reshape(values, tuple(extent))
    # Slices with steps become index arrays with a dimension of their own, others are windows.
    window_dims = tuple(i for i, item in enumerate(layout) if type(item) is not tuple and item.value[1] == 1)
    batch_dims = [i for i in range(len(layout)) if i not in window_dims]
    vector_shape = tuple(extent[i] for i in batch_dims)
    first = next((j for j, i in enumerate(batch_dims) if type(layout[i]) is tuple), 0)
    trailing = len(batch_dims) - first - len(batch)
    index_map, inserted, components = [], [], []
    for dim, (e, size) in enumerate(zip(indexing, sizes, strict=True)):
        if e.tag == SLICE and e.value[1] == 1:
            if e.value[2] != size:
                index_map.append(dim)
                components.append(wrap(np.array(e.value[0], _INT32)))
            continue
        index_map.append(dim)
        inserted.append(dim)
        if e.tag == INT:
            components.append(wrap(np.array(e.value, _INT32)))
        elif e.tag == ARRAY:
            at = normalized(e.value, size, e.in_bounds, wrap_negative_indices)
            if at.aval.ndim:
                at = reshape(at, (*at.aval.shape, *([1] * trailing)))
            components.append(at)
        else:
            start, step, count = e.value
            along = batch_dims.index(next(i for i, item in enumerate(layout) if item is e))
            places = np.arange(count, dtype=_INT32) * step + start
            components.append(
                wrap(places.reshape(count, *([1] * (len(batch_dims) - along - 1))).astype(_INT32))
            )
    if all(e.tag != ARRAY or e.in_bounds for e in indexing):
        mode = Mode.PROMISE_IN_BOUNDS
    out = primitive.bind(
        reshape(x, sizes),
        index_vectors(components, vector_shape),
        values,
        dimension_numbers=ScatterDimensionNumbers(window_dims, tuple(inserted), tuple(index_map)),
        indices_are_sorted=indices_are_sorted
        or (not arrays and all(e.tag != SLICE or e.value[1] > 0 for e in indexing)),
        unique_indices=unique_indices or not arrays,
        mode=mode,
    )
    return reshape(out, shape)


# .at[...] -----------------------------------------------------------------------------------------


class IndexUpdateHelper:
    """What `x.at` is: `x.at[index]` names a part of x to update or read."""

    __slots__ = ("array",)

    def __init__(self, array: Any) -> None:
        self.array = array

    def __getitem__(self, index: Any) -> IndexUpdateRef:
        return IndexUpdateRef(self.array, index)

    def __repr__(self) -> str:
        return f"IndexUpdateHelper({self.array!r})"


class IndexUpdateRef:
    """A part of an array; each method returns a new array in which that part is changed.

    All methods take `indices_are_sorted` and `unique_indices` (promises by the caller), `mode` (what to do
    with indices out of bounds: "drop", the default, "clip" or "promise_in_bounds"; for `get` "fill", "clip"
    or "promise_in_bounds") and `wrap_negative_indices` (whether negative indices count from the end).
    """

    __slots__ = ("array", "index")

    def __init__(self, array: Any, index: Any) -> None:
        self.array = array
        self.index = index

    def __repr__(self) -> str:
        return f"IndexUpdateRef({self.array!r}, {self.index!r})"

    def get(
        self,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: str | Mode | None = None,
        fill_value: Any = None,
        out_sharding: None = None,
        wrap_negative_indices: bool = True,
    ) -> Any:
        """x[index], with a choice of what to do out of bounds: clamp (default) or fill with `fill_value`."""
        if mode is None:
            parsed = Mode.PROMISE_IN_BOUNDS if fill_value is None else Mode.FILL_OR_DROP
        else:
            parsed = Mode.from_any(mode)
        if fill_value is not None and hasattr(fill_value, "item"):
            fill_value = fill_value.item()
        return general_getitem(
            self.array,
            self.index,
            parsed,
            fill_value,
            indices_are_sorted,
            unique_indices,
            wrap_negative_indices,
        )

    def set(self, values: Any, *, out_sharding: None = None, **options: Any) -> Any:
        """x with x[index] replaced by `values`; of several values for one element the last one wins."""
        return update(self.array, self.index, values, "set", **options)

    def add(self, values: Any, *, out_sharding: None = None, **options: Any) -> Any:
        """x with `values` added to x[index]; several values for one element add up."""
        return update(self.array, self.index, values, "add", **options)

    def subtract(self, values: Any, *, out_sharding: None = None, **options: Any) -> Any:
        """x with `values` subtracted from x[index]."""
        return update(self.array, self.index, values, "subtract", **options)

    def multiply(self, values: Any, *, out_sharding: None = None, **options: Any) -> Any:
        """x with x[index] multiplied by `values`."""
        return update(self.array, self.index, values, "multiply", **options)

    mul = multiply

    def divide(self, values: Any, *, out_sharding: None = None, **options: Any) -> Any:
        """x with x[index] divided by `values`; integers become floats."""
        return operators.divide(self.array, self._factors(values, options))

    def power(self, values: Any, *, out_sharding: None = None, **options: Any) -> Any:
        """x with x[index] raised to the power `values`."""
        return operators.power(self.array, self._factors(values, options))

    def _factors(self, values: Any, options: dict[str, Any]) -> Any:
        """An array of ones of the shape of x, multiplied by `values` at the index."""
        ones = full(self.array.aval.shape, 1, self.array.aval.dtype)
        return update(ones, self.index, values, "multiply", **options)

    def min(self, values: Any, *, out_sharding: None = None, **options: Any) -> Any:
        """x with x[index] replaced by the minimum of it and `values`."""
        return update(self.array, self.index, values, "min", **options)

    def max(self, values: Any, *, out_sharding: None = None, **options: Any) -> Any:
        """x with x[index] replaced by the maximum of it and `values`."""
        return update(self.array, self.index, values, "max", **options)

    def apply(
        self,
        func: Callable[[Any], Any],
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: str | Mode | None = None,
        wrap_negative_indices: bool = True,
    ) -> Any:
        """x with the elementwise `func` applied to x[index], once for each time an element is indexed."""
        x, index = self.array, self.index
        options: dict[str, Any] = {"mode": mode, "wrap_negative_indices": wrap_negative_indices}
        reading = Mode.CLIP

        def once(current: Any) -> Any:
            old = general_getitem(current, index, reading, wrap_negative_indices=wrap_negative_indices)
            return update(
                current, index, convert_element_type(func(old), current.aval.dtype), "set", **options
            )

        entries = parse(x.aval.shape, index, wrap_negative_indices)
        if unique_indices or not has_arrays(entries):
            return once(x)
        static = all(e.tag != ARRAY or concrete_array(e.value) is not None for e in entries)
        with using(EVAL if static else _current()):
            counts = update(full(x.aval.shape, 0, _INT32), index, full((), 1, _INT32), "add", **options)

        def masked(current: Any, done: Any) -> Any:
            return select_n_p.bind(lt_p.bind(done, counts), current, once(current))

        known = concrete_array(counts)
        if known is not None:
            for done in range(int(known._data.max(initial=0))):
                x = masked(x, full((), done, _INT32))
            return x
        one = full((), 1, _INT32)
        most = reduce_max_p.bind(counts, axes=tuple(range(counts.aval.ndim)))
        _, x = while_loop(
            lambda state: lt_p.bind(state[0], most),
            lambda state: (add_p.bind(state[0], one), masked(state[1], state[0])),
            (full((), 0, _INT32), x),
        )
        return x


def at(self: Any) -> IndexUpdateHelper:
    """`x.at[index].set(values)` and so on: new arrays in which a part is changed; see `IndexUpdateRef`."""
    return IndexUpdateHelper(self)


# Functions ----------------------------------------------------------------------------------------


def _refuse_inplace(name: str, inplace: bool) -> None:
    if inplace:
        raise ValueError(
            f"{name} cannot change an array in place, since arrays are immutable; pass inplace=False to "
            "get a new one"
        )


def put_along_axis(
    arr: Any, indices: Any, values: Any, axis: int | None, inplace: bool = True, *, mode: str | None = None
) -> Array:
    """For each row along `axis`, write `values` at the places that the row of `indices` says.

    Args:
        arr: an array.
        indices: integers with as many dimensions as `arr`; the others broadcast.
        values: broadcast to the shape of the (broadcast) indices.
        axis: the dimension along which rows run (None: `arr` is flattened and gets its shape back).
        inplace: must be False.
        mode: out of bounds indices are dropped (default) or clamped ("clip").
    """
    _refuse_inplace("put_along_axis", inplace)
    check_arraylike("put_along_axis", arr, indices, values)
    whole, index = asarray(arr), asarray(indices)
    if kind(index.aval.dtype) not in "iu":
        raise DTypeError(
            f"put_along_axis: indices must be integers; got {dtypes.dtype_name(index.aval.dtype)}"
        )
    x, index, axis = along_axis("put_along_axis", whole, index, axis)
    shape = x.aval.shape
    size = shape[axis]
    index = wrap_negative(index, size)
    index = broadcast_to(index, (*shape[:axis], index.aval.shape[axis], *shape[axis + 1 :]))
    others = tuple(d for d in range(len(shape)) if d != axis)
    x, given = _common_dtype(x, values)
    out = scatter_p.bind(
        x,
        reshape(index, (*index.aval.shape, 1)),
        _broadcast_values(given, index.aval.shape),
        dimension_numbers=ScatterDimensionNumbers((), (axis,), (axis,), others, others),
        indices_are_sorted=False,
        unique_indices=False,
        mode=Mode.from_any(mode),
    )
    return reshape(
        convert_element_type(out, whole.aval.dtype, weak_type=whole.aval.weak_type), whole.aval.shape
    )


def put(a: Any, ind: Any, v: Any, mode: str | None = None, *, inplace: bool = True) -> Array:
    """Write `v`, repeated as often as needed, at the flat indices `ind`.

    `mode` says what happens out of bounds: "drop" (default), "clip" or "wrap". `inplace` must be False.
    """
    _refuse_inplace("put", inplace)
    check_arraylike("put", a, ind, v)
    x, index, values = asarray(a), asarray(ind), asarray(v)
    count = index.aval.size
    if count == 0 or values.aval.size == 0:
        return x
    index = reshape(index, (count,))
    flat = reshape(x, (x.aval.size,))
    if mode == "wrap":
        index = operators.remainder_of(index, x.aval.size)
        mode = "clip"
    elif mode == "clip":  # negative indices do not count from the end
        index = clamp(0, index, max(x.aval.size - 1, 0))
    elif mode not in (None, "drop", "fill"):
        raise ValueError(f"put: mode must be None, 'clip', 'drop' or 'wrap'; got {mode!r}")
    places = wrap(np.arange(count, dtype=_INT32) % np.int32(values.aval.size))
    chosen = general_getitem(reshape(values, (values.aval.size,)), places)
    return reshape(update(flat, index, chosen, "set", mode=mode), x.aval.shape)


def place(arr: Any, mask: Any, vals: Any, *, inplace: bool = True) -> Array:
    """Write `vals`, repeated as often as needed, in order where the concrete `mask` holds.

    `inplace` must be False.
    """
    _refuse_inplace("place", inplace)
    check_arraylike("place", arr, mask, vals)
    x, values = asarray(arr), asarray(vals)
    known = concrete_array(asarray(mask))
    if known is None:
        raise TypeError("place needs a concrete mask; use numpy.where for a traced one")
    if known.aval.size != x.aval.size:
        raise ShapeError(
            f"place: mask and array need the same size; got shapes {known.aval.shape} and {x.aval.shape}"
        )
    places = np.flatnonzero(known._data).astype(np.int32)
    return put(x, wrap(places), values, inplace=False)


def fill_diagonal(a: Any, val: Any, wrap: bool = False, *, inplace: bool = True) -> Array:
    """Write `val`, repeated as often as needed, on the diagonal a[i, i, ..., i].

    Args:
        a: an array of at least 2 dimensions (all equal if more than 2).
        val: a number or an array.
        wrap: whether the diagonal of a tall matrix starts again after the last column.
        inplace: must be False.
    """
    _refuse_inplace("fill_diagonal", inplace)
    check_arraylike("fill_diagonal", a, val)
    x = asarray(a)
    shape = x.aval.shape
    if len(shape) < 2:
        raise ValueError(f"fill_diagonal needs an array of at least 2 dimensions; got shape {shape}")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise ValueError(f"fill_diagonal: all dimensions must be equal; got shape {shape}")
    step = 1 + sum(int(np.prod(shape[i:])) for i in range(1, len(shape)))
    end = x.aval.size if wrap or len(shape) > 2 else min(x.aval.size, shape[1] * shape[1])
    return put(x, as_int32(np.arange(0, end, step)), val, inplace=False)


def as_int32(values: np.ndarray[Any, Any]) -> ConcreteArray:
    data = values.astype(np.int32)
    return ConcreteArray(data, shaped_array(data.shape, data.dtype))


METHODS: dict[str, Callable[..., Any] | property] = {"at": property(at)}
