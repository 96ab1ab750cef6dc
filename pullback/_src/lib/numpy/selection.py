"""Choosing among arrays and parts of them: `select`, `choose`, `piecewise`, `insert`, `delete`, ..."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...base.errors import ConcretizationTypeError, ShapeError
from ...core.array import Array, wrap
from ...core.kinds import kind
from ...ops.compare import select_n_p
from ...ops.convert import convert_element_type
from ...ops.joining import concatenate
from ...ops.joining import slice as lax_slice
from ...ops.sort import sort_key_val
from ...ops.structural import expand_dims, full, reshape
from . import logic, operators
from .indexing import general_getitem, rows, take
from .indices import as_axis, concrete_array
from .manipulation import broadcast_arrays, broadcast_to, moveaxis
from .mapping import mapped
from .promotion import arraylike, asarray, check_arraylike, promote, refuse_out
from .updates import update

__all__ = [
    "apply_along_axis",
    "apply_over_axes",
    "choose",
    "compress",
    "delete",
    "extract",
    "insert",
    "piecewise",
    "select",
    "trim_zeros",
]


def _as_bool(x: Any) -> Any:
    return x if kind(x.aval.dtype) == "b" else logic.not_equal(x, 0)


def _static(name: str, what: str, x: Any) -> np.ndarray[Any, Any]:
    known = concrete_array(x)
    if known is None:
        raise ConcretizationTypeError(
            f"{name}: the result's shape depends on {what}, which must be concrete; got a traced "
            f"{x.aval.str_short()}"
        )
    return known._data


# Choosing by elements -----------------------------------------------------------------------------


def select(condlist: Any, choicelist: Any, default: Any = 0) -> Array:
    """Elementwise the choice that belongs to the first condition that holds, or `default` where none does.

    Args:
        condlist: bool arrays.
        choicelist: as many arrays or numbers; all promote and broadcast together.
        default: an array or a number.
    """
    conditions, choices = list(condlist), list(choicelist)
    if not conditions or len(conditions) != len(choices):
        raise ValueError(
            f"select needs as many choices as conditions and at least one; got {len(choices)} "
            f"and {len(conditions)}"
        )
    check_arraylike("select", *conditions, *choices, default)
    *values, out = promote("select", *choices, default)
    tests = [_as_bool(asarray(c)) for c in conditions]
    tests_and_values = broadcast_arrays(*tests, *values, out)
    tests, values, out = (
        tests_and_values[: len(tests)],
        tests_and_values[len(tests) : -1],
        tests_and_values[-1],
    )
    for test, value in zip(reversed(tests), reversed(values), strict=True):
        out = select_n_p.bind(test, out, value)
    return out


def choose(a: Any, choices: Any, out: None = None, mode: str = "raise") -> Array:
    """Elementwise choices[a]: an element of the array that `a` numbers.

    Args:
        a: integers.
        choices: arrays, which promote and broadcast together and with `a`.
        out: not supported.
        mode: numbers out of range: "raise" (concrete `a` only), "clip" or "wrap".
    """
    refuse_out("choose", out)
    items = list(choices)
    check_arraylike("choose", a, *items)
    which = asarray(a)
    if kind(which.aval.dtype) not in "iub":
        raise TypeError(f"choose: the numbers of choices must be integers; got {which.aval.str_short()}")
    which = convert_element_type(which, np.dtype(np.int32))
    count = len(items)
    if mode == "raise":
        data = _static("choose", "mode 'raise' (use 'clip' or 'wrap'): it", which)
        if data.size and (data.min() < 0 or data.max() >= count):
            raise ValueError(f"choose: numbers must lie within 0..{count - 1}")
    elif mode == "wrap":
        which = operators.remainder_of(which, count)
    elif mode != "clip":
        raise ValueError(f"choose: mode must be 'raise', 'clip' or 'wrap'; got {mode!r}")
    first, *rest = broadcast_arrays(which, *promote("choose", *items))
    return select_n_p.bind(first, *rest)


def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Array:
    """Elementwise the value of the function that belongs to the last condition that holds.

    Args:
        x: the argument of the functions.
        condlist: a bool array or a sequence of them.
        funclist: for each condition a function of x (and `args`, `kw`) or a number; one more is for the
            elements where none holds (default: 0).
    """
    found = arraylike("piecewise", x)
    if isinstance(condlist, (Array, np.ndarray)):
        array = asarray(condlist)
        conditions = [array] if array.aval.ndim == found.aval.ndim else rows(array)
    else:
        conditions = [asarray(c) for c in condlist]
    functions = list(funclist)
    if len(functions) == len(conditions):
        functions.append(0)
    if len(functions) != len(conditions) + 1:
        raise ValueError(
            f"piecewise: {len(conditions)} conditions need as many functions or one more; "
            f"got {len(functions)}"
        )
    values = []
    for f in functions:
        value = asarray(f(found, *args, **kw) if callable(f) else f)
        values.append(broadcast_to(convert_element_type(value, found.aval.dtype), found.aval.shape))
    out = values[-1]
    for test, value in zip(conditions, values[:-1], strict=True):
        out = select_n_p.bind(broadcast_to(_as_bool(test), found.aval.shape), out, value)
    return out


# Choosing parts -----------------------------------------------------------------------------------


def compress(
    condition: Any,
    a: Any,
    axis: int | None = None,
    *,
    size: int | None = None,
    fill_value: Any = 0,
    out: None = None,
) -> Array:
    """The slices of `a` along `axis` for which the 1-dimensional, concrete `condition` holds.

    Args:
        condition: bools; missing ones at the end count as False.
        a: an array.
        axis: the dimension (None: `a` is flattened first).
        size: where given, how many slices to return: more are cut off, missing ones are `fill_value`.
        fill_value: see `size`.
        out: not supported.
    """
    refuse_out("compress", out)
    check_arraylike("compress", condition, a)
    x, test = asarray(a), asarray(condition)
    if test.aval.ndim != 1:
        raise ValueError(f"compress: the condition must have 1 dimension; got shape {test.aval.shape}")
    if axis is None:
        x, axis = reshape(x, (x.aval.size,)), 0
    axis = as_axis(axis, x.aval.ndim)
    places = np.flatnonzero(_static("compress", "the condition", test)).astype(np.int32)
    if places.size and places[-1] >= x.aval.shape[axis]:
        raise ValueError("compress: the condition holds beyond the end of the array")
    if size is None:
        return take(x, wrap(places), axis)
    size = operator.index(size)
    kept = places[:size]
    missing = size - kept.size
    found = take(x, wrap(kept), axis)
    shape = (*x.aval.shape[:axis], missing, *x.aval.shape[axis + 1 :])
    fill = convert_element_type(asarray(fill_value), x.aval.dtype)
    return concatenate([found, broadcast_to(fill, shape)], axis) if missing else found


def extract(condition: Any, arr: Any, *, size: int | None = None, fill_value: Any = 0) -> Array:
    """The elements of `arr` where the concrete `condition` holds, in one dimension; see `compress`."""
    check_arraylike("extract", condition, arr)
    test = asarray(condition)
    flat = reshape(test, (test.aval.size,))
    return compress(flat, asarray(arr), size=size, fill_value=fill_value)


def _places(name: str, obj: Any, size: int, extra: int) -> np.ndarray[Any, Any]:
    """Concrete, non-negative places in a dimension of `size` (+ extra) elements."""
    if isinstance(obj, slice):
        return np.arange(*obj.indices(size))
    check_arraylike(name, obj)
    data = _static(name, "the places", asarray(obj))
    if data.dtype.kind == "b":
        if data.ndim != 1 or data.size != size:
            raise ShapeError(f"{name}: a mask must have shape ({size},); got {data.shape}")
        return np.flatnonzero(data)
    if data.dtype.kind not in "iu":
        raise TypeError(f"{name}: places must be integers; got dtype {data.dtype}")
    out = data.astype(np.int64)
    if out.size and (out.min() < -size or out.max() >= size + extra):
        raise IndexError(f"{name}: places {out.tolist()} are out of range for a dimension of size {size}")
    return np.where(out < 0, out + size, out)


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Array:
    """With `values` inserted before the places `obj` along `axis` (None: `arr` is flattened first).

    Args:
        arr: an array.
        obj: an int, a slice, or a concrete array of ints: places in `arr`.
        values: a number or an array that broadcasts to the inserted slices.
        axis: the dimension.
    """
    check_arraylike("insert", arr, 0 if isinstance(obj, slice) else obj, values)
    x, new = asarray(arr), asarray(values)
    if axis is None:
        x, axis = reshape(x, (x.aval.size,)), 0
    axis = as_axis(axis, x.aval.ndim)
    new = convert_element_type(new, x.aval.dtype, weak_type=x.aval.weak_type)
    shape = x.aval.shape
    size = shape[axis]
    places = _places("insert", obj, size, 1)
    if places.size == 1:
        at = int(places.reshape(-1)[0])
        if places.ndim == 0 and new.aval.ndim:
            # One place, several slices: their number is that of the values' first dimension.
            new = moveaxis(expand_dims(new, tuple(range(x.aval.ndim - new.aval.ndim))), 0, axis)
        count = new.aval.shape[axis] if new.aval.ndim == x.aval.ndim else 1
        new = broadcast_to(new, (*shape[:axis], count, *shape[axis + 1 :]))
        starts, limits = [0] * len(shape), list(shape)
        middle_start, middle_limit = list(starts), list(limits)
        middle_start[axis] = middle_limit[axis] = at
        return concatenate(
            [lax_slice(x, starts, middle_limit), new, lax_slice(x, middle_start, limits)], axis
        )
    # Sorted, each place moves by the number of insertions before it; the other places are the old elements'.
    order = np.argsort(places, kind="stable")
    targets = places.copy()
    targets[order] += np.arange(places.size)
    old = np.setdiff1d(np.arange(size + places.size), targets)
    new = broadcast_to(new, (*shape[:axis], places.size, *shape[axis + 1 :]))
    whole = (*shape[:axis], size + places.size, *shape[axis + 1 :])
    out = full(whole, False if kind(x.aval.dtype) == "b" else 0, x.aval.dtype)
    prefix = (slice(None),) * axis
    out = update(out, (*prefix, wrap(old.astype(np.int32))), x, "set", unique_indices=True)
    return update(out, (*prefix, wrap(targets.astype(np.int32))), new, "set", unique_indices=True)


def delete(arr: Any, obj: Any, axis: int | None = None, *, assume_unique_indices: bool = False) -> Array:
    """Without the slices at the places `obj` along `axis` (None: `arr` is flattened first).

    `obj` is an int, a slice, a concrete array of ints or a mask; with `assume_unique_indices` a traced array
    of distinct, in-bounds ints, too.
    """
    check_arraylike("delete", arr, 0 if isinstance(obj, slice) else obj)
    x = asarray(arr)
    if axis is None:
        x, axis = reshape(x, (x.aval.size,)), 0
    axis = as_axis(axis, x.aval.ndim)
    size = x.aval.shape[axis]
    if assume_unique_indices and not isinstance(obj, slice):
        index = asarray(obj)
        if concrete_array(index) is None:
            return _delete_traced(x, reshape(index, (index.aval.size,)), axis)
    places = _places("delete", obj, size, 0)
    kept = np.setdiff1d(np.arange(size), places).astype(np.int32)
    return general_getitem(x, (slice(None),) * axis + (wrap(kept),), unique_indices=True)


def _delete_traced(x: Any, index: Any, axis: int) -> Array:
    """The places that stay are the first in the order of a stable sort by "deleted or not"."""
    size = x.aval.shape[axis]
    deleted = update(full((size,), 0, np.dtype(np.int32)), index, full((), 1, np.dtype(np.int32)), "set")
    numbers = wrap(np.arange(size, dtype=np.int32))
    _, order = sort_key_val(deleted, numbers)
    kept = lax_slice(order, (0,), (size - index.aval.size,))
    return take(x, kept, axis)


def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Array:
    """The smallest part of a concrete array, along `axis`, outside of which all is zero.

    Args:
        filt: an array with known values.
        trim: whether to cut in front ("f"), at the back ("b"), or at both ends ("fb").
        axis: the dimensions to cut: an int, several, or None for all.
    """
    x = arraylike("trim_zeros", filt)
    shape = x.aval.shape
    axes = range(len(shape)) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    nonzero = _static("trim_zeros", "the values", x) != 0
    start, limit = [0] * len(shape), list(shape)
    ends = trim.lower()
    for d in {as_axis(a, len(shape)) for a in axes} if "f" in ends or "b" in ends else ():
        places = np.flatnonzero(nonzero.any(axis=tuple([i for i in range(len(shape)) if i != d])))
        if places.size == 0:
            limit[d] = 0
            continue
        if "f" in ends:
            start[d] = int(places[0])
        if "b" in ends:
            limit[d] = int(places[-1]) + 1
    return lax_slice(x, tuple(start), tuple(limit))


# Applying functions -------------------------------------------------------------------------------


def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any) -> Array:
    """`func1d` (of a 1-dimensional array) applied to each line along `axis`.

    The dimensions of its result stand in place of `axis`. `func1d` is called once, mapped over all lines.
    """
    x = arraylike("apply_along_axis", arr)
    axis = as_axis(axis, x.aval.ndim)
    rest = x.aval.shape[:axis] + x.aval.shape[axis + 1 :]
    lines = moveaxis(x, axis, -1)
    count = int(np.prod(rest, dtype=np.int64))
    lines = reshape(lines, (count, x.aval.shape[axis]))
    out = mapped(lambda line: func1d(line, *args, **kwargs), [lines], [0], count)
    inner = out.aval.shape[1:]
    out = reshape(out, (*rest, *inner))
    places = tuple(range(len(rest), len(rest) + len(inner)))
    return moveaxis(out, places, tuple(range(axis, axis + len(inner))))


def apply_over_axes(func: Callable[[Any, int], Any], a: Any, axes: Any) -> Array:
    """`func(a, axis)` applied for each of `axes` in turn; a dimension that it removes stays with size 1."""
    x = arraylike("apply_over_axes", a)
    for axis in axes if isinstance(axes, (tuple, list)) else (axes,):
        place = as_axis(axis, x.aval.ndim)
        out = asarray(func(x, place))
        if out.aval.ndim == x.aval.ndim - 1:
            out = expand_dims(out, (place,))
        if out.aval.ndim != x.aval.ndim:
            raise ValueError("apply_over_axes: the function must keep the number of dimensions or remove one")
        x = out
    return x
