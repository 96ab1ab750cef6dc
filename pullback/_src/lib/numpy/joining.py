"""Joining arrays and cutting them into pieces."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ...base.errors import ShapeError
from ...core import dtypes
from ...core.array import Array, ConcreteArray
from ...core.aval import shaped_array
from ...core.trace import CURRENT
from ...ops.convert import convert_element_type
from ...ops.joining import concatenate as lax_concatenate
from ...ops.joining import concatenate_p
from ...ops.joining import split as lax_split
from ...ops.structural import reshape
from .indexing import rows
from .indices import as_axis, concrete_array
from .manipulation import atleast_2d, atleast_3d, moveaxis, ravel
from .promotion import arraylike, asarray, check_arraylike, promote, refuse_out

__all__ = [
    "append",
    "array_split",
    "block",
    "column_stack",
    "concat",
    "concatenate",
    "dsplit",
    "dstack",
    "hsplit",
    "hstack",
    "split",
    "stack",
    "unstack",
    "vsplit",
    "vstack",
]

_current = CURRENT.get


def _operands(name: str, arrays: Any, dtype: Any) -> list[Any]:
    """The arrays of a sequence (or the rows of an array), promoted to one dtype."""
    if isinstance(arrays, (Array, np.ndarray)):
        if arrays.ndim == 0:
            raise TypeError(f"{name} expects a sequence of arrays; got an array without dimensions")
        found = rows(asarray(arrays))
    else:
        try:
            found = list(arrays)
        except TypeError:
            raise TypeError(f"{name} expects a sequence of arrays; got {type(arrays).__name__}") from None
    if not found:
        raise ValueError(f"{name} needs at least one array")
    first = found[0]
    if not (
        isinstance(first, Array)
        and all(isinstance(x, Array) and x.aval.dtype is first.aval.dtype for x in found)
    ):
        found = [stack(x) if isinstance(x, (tuple, list)) and _holds_arrays(x) else x for x in found]
        check_arraylike(name, *found)
        found = [x if isinstance(x, Array) else asarray(x) for x in found]
        found = promote(name, *found)
    if dtype is not None:
        wanted = dtypes.check_user_dtype(dtype, name)
        found = [convert_element_type(x, wanted) for x in found]
    return found


def _holds_arrays(xs: Any) -> bool:
    """Whether a nested sequence has arrays as its items: they are stacked, as NumPy would.

    A pullback returns a tuple, so that rows of a Jacobian come in tuples. Sequences of numbers are refused.
    """
    return len(xs) > 0 and all(isinstance(x, (Array, np.ndarray)) for x in xs)


def _numpy_operands(arrays: list[Any]) -> list[Any] | None:
    """The buffers, where NumPy can do the work: concrete arrays in un-jitted code."""
    if not _current().eager:
        return None
    out = []
    for x in arrays:
        if type(x) is not ConcreteArray:
            return None
        out.append(x._data)
    return out


def _wrapped(data: np.ndarray[Any, Any], arrays: list[Any]) -> ConcreteArray:
    weak = all(x.aval.weak_type for x in arrays)
    return ConcreteArray(data, shaped_array(data.shape, data.dtype, weak))


def concatenate(arrays: Any, axis: int | None = 0, dtype: Any = None) -> Array:
    """Join arrays along an existing dimension.

    Args:
        arrays: a sequence of arrays whose shapes agree except along `axis`; they promote to one dtype.
        axis: the dimension (None: all are flattened first).
        dtype: the result's dtype.

    Raises:
        ShapeError: shapes that do not fit.
    """
    found = _operands("concatenate", arrays, dtype)
    if axis is None:
        found, axis = [ravel(x) for x in found], 0
    if any(x.aval.ndim == 0 for x in found):
        raise ShapeError("concatenate: arrays without dimensions cannot be concatenated; use stack")
    return _concatenated(found, as_axis(axis, found[0].aval.ndim))


def _concatenated(arrays: list[Any], axis: int) -> Any:
    buffers = _numpy_operands(arrays)
    if buffers is not None:
        try:
            return _wrapped(np.concatenate(buffers, axis), arrays)
        except ValueError:
            pass  # the shape rule has the better error
    if len(arrays) == 1:
        return arrays[0]
    return concatenate_p.bind(*arrays, dimension=axis)


def concat(arrays: Any, /, *, axis: int | None = 0) -> Array:
    """Join arrays along an existing dimension; see `concatenate`."""
    return concatenate(arrays, axis)


def stack(arrays: Any, axis: int = 0, out: None = None, dtype: Any = None) -> Array:
    """Join arrays of one shape along a new dimension, which stands at `axis` of the result.

    Raises:
        ShapeError: the shapes differ.
    """
    refuse_out("stack", out)
    found = _operands("stack", arrays, dtype)
    shape = found[0].aval.shape
    if any(x.aval.shape != shape for x in found):
        raise ShapeError(
            "stack: all arrays need the same shape; got " + ", ".join(str(x.aval.shape) for x in found)
        )
    axis = as_axis(axis, len(shape) + 1)
    buffers = _numpy_operands(found)
    if buffers is not None:
        if axis == 0 and shape:
            return _wrapped(np.concatenate(buffers).reshape(len(buffers), *shape), found)
        return _wrapped(np.stack(buffers, axis), found)
    new = (*shape[:axis], 1, *shape[axis:])
    return lax_concatenate([reshape(x, new) for x in found], axis)


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Array, ...]:
    """The slices of `x` along `axis`, without that dimension."""
    found = arraylike("unstack", x)
    if found.aval.ndim == 0:
        raise ValueError("unstack needs at least 1 dimension")
    return tuple(rows(moveaxis(found, axis, 0)))


def vstack(tup: Any, dtype: Any = None) -> Array:
    """Join arrays along dimension 0; arrays of fewer than 2 dimensions become rows first."""
    if isinstance(tup, list) and all(
        type(x) is tuple and len(x) == 1 and isinstance(x[0], Array) and x[0].aval.ndim == 1 for x in tup
    ):
        tup = [x for (x,) in tup]  # one row each: what stacking them first would give
    found = _operands("vstack", tup, dtype)
    shape = found[0].aval.shape
    if len(shape) == 1 and all(x.aval.shape == shape for x in found):
        return stack(found)
    return _concatenated([x if x.aval.ndim > 1 else atleast_2d(x) for x in found], 0)


def hstack(tup: Any, dtype: Any = None) -> Array:
    """Join arrays along dimension 1, or 0 if they have only one."""
    found = [reshape(x, (1,)) if x.aval.ndim == 0 else x for x in _operands("hstack", tup, dtype)]
    return _concatenated(found, 0 if found[0].aval.ndim == 1 else 1)


def dstack(tup: Any, dtype: Any = None) -> Array:
    """Join arrays along dimension 2; those with fewer dimensions get new ones (see `atleast_3d`)."""
    return _concatenated([atleast_3d(x) for x in _operands("dstack", tup, dtype)], 2)


def column_stack(tup: Any) -> Array:
    """Join 1-dimensional arrays as columns, and matrices, along dimension 1."""
    found = _operands("column_stack", tup, None)
    columns = [x if x.aval.ndim >= 2 else reshape(x, (x.aval.size, 1)) for x in found]
    return _concatenated(columns, 1)


def append(arr: Any, values: Any, axis: int | None = None) -> Array:
    """`values` joined to the end of `arr` along `axis` (None: both are flattened)."""
    if axis is None:
        return concatenate([ravel(arr), ravel(values)], 0)
    return concatenate([arr, values], axis)


def block(arrays: Any) -> Array:
    """An array from nested lists of blocks, the innermost along the last dimension and so on outwards.

    Raises:
        ShapeError: blocks that do not fit; ValueError: lists of different depths.
    """
    depth = _depth(arrays)
    leaves = list(_leaves(arrays))
    check_arraylike("block", *leaves)
    promoted = iter(promote("block", *[asarray(x) for x in leaves]))
    ndim = max(depth, *(np.ndim(x) for x in leaves))

    def build(item: Any, level: int) -> Any:
        if isinstance(item, list):
            return _concatenated([build(i, level + 1) for i in item], ndim - depth + level)
        x = next(promoted)
        return reshape(x, (1,) * (ndim - x.aval.ndim) + x.aval.shape)

    return build(arrays, 0)


def _depth(item: Any) -> int:
    if not isinstance(item, list):
        return 0
    if not item:
        raise ValueError("block: lists of blocks must not be empty")
    depths = {_depth(i) for i in item}
    if len(depths) > 1:
        raise ValueError("block: lists of blocks must have the same depth everywhere")
    return 1 + depths.pop()


def _leaves(item: Any) -> Any:
    if isinstance(item, list):
        for i in item:
            yield from _leaves(i)
    else:
        yield item


# splitting ----------------------------------------------------------------------------------------


def _boundaries(name: str, where: Any, size: int, even: bool) -> list[int]:
    """The sizes of the pieces."""
    if isinstance(where, (int, np.integer)) or (isinstance(where, (Array, np.ndarray)) and where.ndim == 0):
        count = operator.index(where)
        if count <= 0:
            raise ValueError(f"{name}: the number of pieces must be positive; got {count}")
        part, rest = divmod(size, count)
        if rest and even:
            raise ValueError(
                f"{name}: {size} elements cannot be cut into {count} equal pieces; use array_split"
            )
        return [part + (i < rest) for i in range(count)]
    if isinstance(where, Array):
        known = concrete_array(where)
        if known is None:
            raise TypeError(f"{name}: the places of cuts must be static, since shapes depend on them")
        where = known.tolist()
    places = [min(max(p + size if p < 0 else p, 0), size) for p in map(operator.index, where)]
    starts = [0, *places]
    ends = [*places, size]
    return [max(0, e - s) for s, e in zip(starts, ends, strict=True)]


def _pieces(name: str, ary: Any, where: Any, axis: int, even: bool) -> list[Array]:
    x = arraylike(name, ary)
    axis = as_axis(axis, x.aval.ndim)
    sizes = _boundaries(name, where, x.aval.shape[axis], even)
    if sum(sizes) != x.aval.shape[axis]:
        raise ValueError(f"{name}: the places of cuts must ascend; got {where}")
    return lax_split(x, sizes, axis)


def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    """Cut an array along `axis` into equal pieces (an int: how many) or at the given ascending places.

    Raises:
        ValueError: the size is no multiple of the number of pieces.
    """
    return _pieces("split", ary, indices_or_sections, axis, even=True)


def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    """Like `split`, but the first pieces may be one element larger than the last."""
    return _pieces("array_split", ary, indices_or_sections, axis, even=False)


def hsplit(ary: Any, indices_or_sections: Any) -> list[Array]:
    """`split` along dimension 1 (0 if there is only one)."""
    x = arraylike("hsplit", ary)
    return _pieces("hsplit", x, indices_or_sections, 0 if x.aval.ndim == 1 else 1, even=True)


def vsplit(ary: Any, indices_or_sections: Any) -> list[Array]:
    """`split` along dimension 0."""
    return _pieces("vsplit", ary, indices_or_sections, 0, even=True)


def dsplit(ary: Any, indices_or_sections: Any) -> list[Array]:
    """`split` along dimension 2."""
    return _pieces("dsplit", ary, indices_or_sections, 2, even=True)
