"""Shapes: reshaping, permuting, broadcasting, repeating, flipping and rolling."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...base.errors import ConcretizationTypeError, ShapeError
from ...core.array import Array, ConcreteArray, wrap
from ...core.aval import shaped_array
from ...core.kinds import kind
from ...core.trace import CURRENT
from ...ops.complex import neg_p
from ...ops.cumulative import cumsum
from ...ops.families import broadcast_shapes as common_shape
from ...ops.joining import concatenate
from ...ops.joining import slice as lax_slice
from ...ops.slicing import dynamic_slice_p
from ...ops.structural import broadcast_in_dim, full, rev, transpose_p
from ...ops.structural import broadcast_to as lax_broadcast_to
from ...ops.structural import reshape as lax_reshape
from . import operators
from .indexing import general_getitem, take
from .indices import as_axis, concrete_array
from .promotion import arraylike, asarray, check_arraylike
from .updates import update

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_arrays",
    "broadcast_shapes",
    "broadcast_to",
    "expand_dims",
    "flip",
    "fliplr",
    "flipud",
    "matrix_transpose",
    "moveaxis",
    "permute_dims",
    "ravel",
    "repeat",
    "reshape",
    "resize",
    "roll",
    "rollaxis",
    "rot90",
    "squeeze",
    "swapaxes",
    "tile",
    "transpose",
]

_current = CURRENT.get
_INT32 = np.dtype(np.int32)


def int_axes(axes: Any, ndim: int) -> tuple[int, ...]:
    """One axis or several as non-negative ones, which must be distinct."""
    given = axes if isinstance(axes, (tuple, list)) else (axes,)
    found = tuple(as_axis(a, ndim) for a in given)
    if len(set(found)) != len(found):
        raise ValueError(f"axes must be distinct; got {axes}")
    return found


# reshape ------------------------------------------------------------------------------------------


def _sizes(shape: Any) -> tuple[int, ...]:
    if isinstance(shape, (int, np.integer)):
        return (int(shape),)
    try:
        if isinstance(shape, (Array, np.ndarray)) and shape.ndim == 0:
            return (operator.index(shape),)
        return tuple(map(operator.index, shape))
    except ConcretizationTypeError:
        raise
    except TypeError:
        raise TypeError(f"a shape must be a sequence of integers; got {shape!r}") from None


def _completed(size: int, old: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with -1 replaced by what is left."""
    if -1 in shape:
        known = 1
        unknown = 0
        for d in shape:
            if d == -1:
                unknown += 1
            else:
                known *= d
        if unknown > 1:
            raise ShapeError(f"reshape: only one size can be -1 (left open); got {shape}")
        if known == 0 or size % known:
            raise ShapeError(
                f"reshape: cannot turn shape {old} ({size} elements) into {shape}: the sizes given make "
                f"{known}, which does not divide {size}"
            )
        return tuple(size // known if d == -1 else d for d in shape)
    return shape


def reshape(
    a: Any, shape: Any, order: str = "C", *, copy: bool | None = None, out_sharding: None = None
) -> Array:
    """The elements of `a` in another shape of the same size.

    Args:
        a: an array.
        shape: an int or a sequence of ints, of which one may be -1: whatever is left.
        order: "C" reads and writes with the last dimension running fastest, "F" with the first.
        copy: ignored: arrays are immutable.

    Raises:
        ShapeError: the sizes do not agree.
    """
    if type(a) is ConcreteArray and order == "C" and _current().eager:
        try:
            data = a._data.reshape(shape)
        except (ValueError, TypeError):
            pass  # the general way has the error
        else:
            return ConcreteArray(data, shaped_array(data.shape, a.aval.dtype, a.aval.weak_type))
    x = arraylike("reshape", a)
    sizes = _completed(x.aval.size, x.aval.shape, _sizes(shape))
    if order == "C":
        return lax_reshape(x, sizes)
    if order == "F":
        flipped = lax_reshape(_reversed(x), sizes[::-1])
        return _reversed(flipped)
    raise NotImplementedError(f"reshape: order must be 'C' or 'F'; got {order!r}")


def _reversed(x: Any) -> Any:
    ndim = x.aval.ndim
    return x if ndim < 2 else transpose_p.bind(x, permutation=tuple(range(ndim - 1, -1, -1)))


def ravel(a: Any, order: str = "C", *, out_sharding: None = None) -> Array:
    """All elements of `a` in one dimension; `order` as in `reshape` ("K" means "C")."""
    x = arraylike("ravel", a)
    return reshape(x, (x.aval.size,), "C" if order == "K" else order)


def squeeze(a: Any, axis: Any = None) -> Array:
    """Without the dimensions `axis` of size 1 (default: all of size 1).

    Raises:
        ValueError: a dimension of another size.
    """
    x = arraylike("squeeze", a)
    shape = x.aval.shape
    if axis is None:
        return lax_reshape(x, tuple(d for d in shape if d != 1))
    axes = int_axes(axis, len(shape))
    if any(shape[d] != 1 for d in axes):
        raise ShapeError(f"squeeze: only dimensions of size 1 can go; got axis {axis} of shape {shape}")
    return lax_reshape(x, tuple(d for i, d in enumerate(shape) if i not in axes))


def expand_dims(a: Any, axis: Any) -> Array:
    """With dimensions of size 1 inserted, which stand at `axis` (an int or several) of the result."""
    x = arraylike("expand_dims", a)
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    ndim = x.aval.ndim + count
    axes = int_axes(axis, ndim)
    rest = iter(x.aval.shape)
    return lax_reshape(x, tuple(1 if i in axes else next(rest) for i in range(ndim)))


def _at_least(name: str, ndim: int, arrays: tuple[Any, ...]) -> Any:
    if len(arrays) == 1 and isinstance(arrays[0], (list, tuple)):
        check_arraylike(name, arrays[0])
    out = []
    for a in arrays:
        x = arraylike(name, a)
        shape = x.aval.shape
        if len(shape) < ndim:
            if ndim == 3 and len(shape) == 2:
                shape = (*shape, 1)
            elif ndim == 3 and len(shape) == 1:
                shape = (1, *shape, 1)
            else:
                shape = (1,) * (ndim - len(shape)) + shape
            x = lax_reshape(x, shape)
        out.append(x)
    return out[0] if len(out) == 1 else out


def atleast_1d(*arys: Any) -> Any:
    """Each array with at least 1 dimension; a list if several are given."""
    return _at_least("atleast_1d", 1, arys)


def atleast_2d(*arys: Any) -> Any:
    """Each array with at least 2 dimensions, new ones first; a list if several are given."""
    return _at_least("atleast_2d", 2, arys)


def atleast_3d(*arys: Any) -> Any:
    """Each array with at least 3 dimensions (a matrix gets a last one); a list if several are given."""
    return _at_least("atleast_3d", 3, arys)


# permuting ----------------------------------------------------------------------------------------


def transpose(a: Any, axes: Any = None) -> Array:
    """With dimensions permuted: dimension i of the result is dimension axes[i] of `a` (default: reversed).

    Raises:
        ShapeError: `axes` is no permutation.
    """
    x = arraylike("transpose", a)
    ndim = x.aval.ndim
    if axes is None:
        return _reversed(x)
    order = tuple(as_axis(i, ndim) for i in axes)
    if order == tuple(range(ndim)):
        return x
    return transpose_p.bind(x, permutation=order)


def permute_dims(a: Any, /, axes: Any) -> Array:
    """With dimensions permuted; see `transpose`."""
    return transpose(a, axes)


def matrix_transpose(x: Any, /) -> Array:
    """With the last two dimensions exchanged."""
    found = arraylike("matrix_transpose", x)
    if found.aval.ndim < 2:
        raise ShapeError(f"matrix_transpose needs at least 2 dimensions; got shape {found.aval.shape}")
    return swapaxes(found, -1, -2)


def swapaxes(a: Any, axis1: int, axis2: int) -> Array:
    """With two dimensions exchanged."""
    x = arraylike("swapaxes", a)
    order = list(range(x.aval.ndim))
    i, j = as_axis(axis1, x.aval.ndim), as_axis(axis2, x.aval.ndim)
    order[i], order[j] = j, i
    return x if i == j else transpose_p.bind(x, permutation=tuple(order))


def moveaxis(a: Any, source: Any, destination: Any) -> Array:
    """With the dimensions `source` (one or several) moved to `destination`, the others in their order."""
    x = arraylike("moveaxis", a)
    ndim = x.aval.ndim
    origin, target = int_axes(source, ndim), int_axes(destination, ndim)
    if len(origin) != len(target):
        raise ValueError(
            f"moveaxis: as many destinations as sources are needed; got {source} and {destination}"
        )
    order = [d for d in range(ndim) if d not in origin]
    for to, where in sorted(zip(target, origin, strict=True)):
        order.insert(to, where)
    return transpose(x, order)


def rollaxis(a: Any, axis: int, start: int = 0) -> Array:
    """With dimension `axis` moved to stand before the dimension `start` (of `a`)."""
    x = arraylike("rollaxis", a)
    ndim = x.aval.ndim
    axis = as_axis(axis, ndim)
    start = operator.index(start)
    if not -ndim <= start <= ndim:
        raise ValueError(f"rollaxis: start {start} is out of range for {ndim} dimensions")
    start = start + ndim if start < 0 else start
    return moveaxis(x, axis, start - 1 if start > axis else start)


def flip(m: Any, axis: Any = None) -> Array:
    """With the order of elements reversed along `axis` (one, several, or None: all)."""
    x = arraylike("flip", m)
    axes = tuple(range(x.aval.ndim)) if axis is None else int_axes(axis, x.aval.ndim)
    return rev(x, axes) if axes else x


def fliplr(m: Any) -> Array:
    """With the order of columns (dimension 1) reversed."""
    return flip(m, 1)


def flipud(m: Any) -> Array:
    """With the order of rows (dimension 0) reversed."""
    return flip(m, 0)


def rot90(m: Any, k: int = 1, axes: Sequence[int] = (0, 1)) -> Array:
    """Rotated k times by 90 degrees in the plane of `axes`, from the first towards the second."""
    x = arraylike("rot90", m)
    if x.aval.ndim < 2:
        raise ValueError(f"rot90 needs at least 2 dimensions; got shape {x.aval.shape}")
    first, second = (as_axis(d, x.aval.ndim) for d in axes)
    if first == second:
        raise ValueError(f"rot90: axes must differ; got {tuple(axes)}")
    turns = operator.index(k) % 4
    if turns == 0:
        return x
    if turns == 2:
        return flip(x, (first, second))
    if turns == 1:
        return swapaxes(flip(x, second), first, second)
    return flip(swapaxes(x, first, second), second)


# broadcasting -------------------------------------------------------------------------------------


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape to which the given shapes broadcast.

    Raises:
        ShapeError: they do not.
    """
    return common_shape("broadcast_shapes", *map(_sizes, shapes)) if shapes else ()


def broadcast_to(array: Any, shape: Any, *, out_sharding: None = None) -> Array:
    """Repeated to `shape` by NumPy's rules.

    Raises:
        ShapeError: a size is neither 1 nor that of `shape`, counted from the right.
    """
    x = arraylike("broadcast_to", array)
    sizes = _sizes(shape)
    old = x.aval.shape
    if len(old) > len(sizes) or any(
        n not in (1, m) for n, m in zip(reversed(old), reversed(sizes), strict=False)
    ):
        raise ShapeError(f"broadcast_to: an array of shape {old} cannot be broadcast to {sizes}")
    return lax_broadcast_to(x, sizes)


def broadcast_arrays(*args: Any) -> list[Array]:
    """The arrays repeated to their common shape."""
    arrays = [arraylike("broadcast_arrays", a) for a in args]
    shape = broadcast_shapes(*[a.aval.shape for a in arrays])
    return [lax_broadcast_to(a, shape) for a in arrays]


# repeating ----------------------------------------------------------------------------------------


def tile(A: Any, reps: Any) -> Array:
    """`A` repeated reps[i] times along dimension i (of the array with dimensions prepended as needed)."""
    x = arraylike("tile", A)
    counts = _sizes(reps)
    ndim = max(len(counts), x.aval.ndim)
    counts = (1,) * (ndim - len(counts)) + counts
    shape = (1,) * (ndim - x.aval.ndim) + x.aval.shape
    if all(c == 1 for c in counts):
        return lax_reshape(x, shape)
    split = [n for c, d in zip(counts, shape, strict=True) for n in (c, d)]
    spread = broadcast_in_dim(lax_reshape(x, shape), split, range(1, 2 * ndim, 2))
    return lax_reshape(spread, tuple(c * d for c, d in zip(counts, shape, strict=True)))


def repeat(
    a: Any,
    repeats: Any,
    axis: int | None = None,
    *,
    total_repeat_length: int | None = None,
    out_sharding: None = None,
) -> Array:
    """Each element along `axis` repeated.

    Args:
        a: an array.
        repeats: how often: an int, or an array of ints, one for each element along `axis`.
        axis: the dimension (None: `a` is flattened first).
        total_repeat_length: the result's size along `axis`, needed if `repeats` is traced. What is too much
            is cut off; what is missing repeats the last element.
    """
    x = arraylike("repeat", a)
    check_arraylike("repeat", repeats)
    if axis is None:
        x, axis = lax_reshape(x, (x.aval.size,)), 0
    axis = as_axis(axis, x.aval.ndim)
    size = x.aval.shape[axis]
    counts = asarray(repeats)
    if counts.aval.ndim > 1 or (counts.aval.ndim == 1 and counts.aval.size not in (1, size)):
        raise ValueError(
            f"repeat: repeats must be an int or have shape ({size},); got shape {counts.aval.shape}"
        )
    known = concrete_array(counts)
    if known is None:
        if total_repeat_length is None:
            raise ConcretizationTypeError(
                "repeat: the result's size depends on repeats, which is traced; give total_repeat_length, or "
                "make repeats static"
            )
        return _repeat_traced(x, counts, axis, size, operator.index(total_repeat_length))
    if kind(known.aval.dtype) not in "iub":
        raise TypeError(f"repeat: repeats must be integers; got {known.aval.str_short()}")
    data = known._data.reshape(-1)
    if (data < 0).any():
        raise ValueError(f"repeat: repeats must not be negative; got {data.tolist()}")
    if data.size == 1 and total_repeat_length is None:
        return _repeat_equally(x, int(data[0]), axis)
    places = np.repeat(np.arange(size, dtype=np.int32), np.broadcast_to(data, (size,)).astype(np.int64))
    if total_repeat_length is not None:
        places = places[:total_repeat_length]
        missing = operator.index(total_repeat_length) - places.size
        places = np.concatenate([places, np.full(missing, size - 1, np.int32)])
    index = (slice(None),) * axis + (wrap(places),)
    return general_getitem(x, index)


def _repeat_equally(x: Any, count: int, axis: int) -> Array:
    shape = x.aval.shape
    spread = broadcast_in_dim(
        x, (*shape[: axis + 1], count, *shape[axis + 1 :]), [d + (d > axis) for d in range(len(shape))]
    )
    return lax_reshape(spread, (*shape[:axis], shape[axis] * count, *shape[axis + 1 :]))


def _repeat_traced(x: Any, counts: Any, axis: int, size: int, total: int) -> Array:
    """Element i starts where the counts before it end; a place holds the number of later starts up to it."""
    counts = lax_broadcast_to(counts, (size,))
    ends = cumsum(counts, axis=0, reverse=False)
    starts = lax_slice(ends, (0,), (max(size - 1, 0),))
    marks = update(full((total,), 0, _INT32), starts, full((), 1, _INT32), "add")
    places = cumsum(marks, axis=0, reverse=False)
    return take(x, places, axis, mode="clip")


def resize(a: Any, new_shape: Any) -> Array:
    """The elements of `a`, repeated as often as needed or cut off, in `new_shape`."""
    x = arraylike("resize", a)
    shape = _sizes(new_shape)
    if any(d < 0 for d in shape):
        raise ValueError(f"resize: sizes must not be negative; got {shape}")
    flat = lax_reshape(x, (x.aval.size,))
    wanted = math.prod(shape)
    if x.aval.size == 0 or wanted == 0:
        return full(shape, False if kind(x.aval.dtype) == "b" else 0, x.aval.dtype)
    times = -(-wanted // x.aval.size)
    if times > 1:
        flat = tile(flat, times)
    return lax_reshape(lax_slice(flat, (0,), (wanted,)), shape)


def roll(a: Any, shift: Any, axis: Any = None) -> Array:
    """Elements moved by `shift` places along `axis`, those that leave coming back at the other end.

    Args:
        a: an array.
        shift: an int (possibly traced), or several, which broadcast with `axis`.
        axis: a dimension or several (None: as if `a` were flattened).
    """
    x = arraylike("roll", a)
    if axis is None:
        flat = roll(lax_reshape(x, (x.aval.size,)), shift, 0)
        return lax_reshape(flat, x.aval.shape)
    if x.aval.size == 0:
        return x
    axes = [as_axis(d, x.aval.ndim) for d in (axis if isinstance(axis, (tuple, list)) else (axis,))]
    if isinstance(shift, (tuple, list)):
        shifts: list[Any] = list(shift)
    elif isinstance(shift, (Array, np.ndarray)) and shift.ndim:
        shifts = [general_getitem(asarray(shift), i) for i in range(shift.size)]
    else:
        shifts = [shift]
    if len(shifts) != len(axes):
        if len(shifts) != 1 and len(axes) != 1:
            raise ShapeError(f"roll: shift {shift} and axis {axis} do not broadcast together")
        longest = max(len(shifts), len(axes))
        shifts, axes = shifts * (longest // len(shifts)), axes * (longest // len(axes))
    for amount, dim in zip(shifts, axes, strict=True):
        x = _roll_once(x, amount, dim)
    return x


def _roll_once(x: Any, shift: Any, axis: int) -> Any:
    shape = x.aval.shape
    size = shape[axis]
    if isinstance(shift, Array):
        known = concrete_array(shift)
        if known is None:
            # size - shift elements from the end, read from the array written twice.
            start = operators.remainder_of(neg_p.bind(shift), size)
            twice = concatenate([x, x], axis)
            zero = full((), 0, start.aval.dtype)
            starts = [start if d == axis else zero for d in range(len(shape))]
            return dynamic_slice_p.bind(twice, *starts, slice_sizes=shape)
        shift = int(known)
    amount = operator.index(shift) % size
    if amount == 0:
        return x
    cut = size - amount
    zeros = [0] * len(shape)
    limits = list(shape)
    starts_back, limits_front = list(zeros), list(limits)
    starts_back[axis], limits_front[axis] = cut, cut
    return concatenate([lax_slice(x, starts_back, limits), lax_slice(x, zeros, limits_front)], axis)


# Methods ------------------------------------------------------------------------------------------


def _reshape_method(self: Any, *args: Any, order: str = "C", copy: bool | None = None) -> Array:
    """The elements in another shape, given as one sequence or as separate ints; see `numpy.reshape`."""
    return reshape(self, args[0] if len(args) == 1 else args, order)


def _transpose_method(self: Any, *args: Any) -> Array:
    """With dimensions permuted, given as one sequence or as separate ints; see `numpy.transpose`."""
    if not args or (len(args) == 1 and args[0] is None):
        return transpose(self)
    return transpose(self, args[0] if len(args) == 1 and isinstance(args[0], (tuple, list)) else args)


def _flatten_method(self: Any, order: str = "C") -> Array:
    """All elements in one dimension."""
    return ravel(self, order)


METHODS: dict[str, Callable[..., Any] | property] = {
    "T": property(_reversed, doc="With the order of the dimensions reversed."),
    "mT": property(matrix_transpose, doc="With the last two dimensions exchanged."),
    "flatten": _flatten_method,
    "ravel": ravel,
    "repeat": repeat,
    "reshape": _reshape_method,
    "squeeze": squeeze,
    "swapaxes": swapaxes,
    "transpose": _transpose_method,
}
