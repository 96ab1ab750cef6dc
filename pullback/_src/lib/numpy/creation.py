"""Making arrays: from values, filled, identities, from functions and buffers.

Under a staging trace all of these record operations, so that a program holds the recipe of a large array
and not its elements. In evaluation, arrays of zeros and ones are built by NumPy directly.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ...base.errors import DTypeError, ShapeError
from ...core import dtypes
from ...core.array import Array, ConcreteArray, as_array, from_numpy, scalar, wrap
from ...core.trace import CURRENT
from ...ops import arithmetic as ar
from ...ops import compare as cmp
from ...ops.convert import bitcast_convert_type, convert_element_type, copy_p
from ...ops.iota import iota_p
from ...ops.structural import broadcast_to, canonical_shape, reshape
from ...ops.structural import full as filled
from .mapping import mapped
from .promotion import asarray as to_array
from .promotion import check_arraylike, is_number, strengthen

__all__ = [
    "array",
    "asarray",
    "ascontiguousarray",
    "asfarray",
    "astype",
    "copy",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "frombuffer",
    "fromfile",
    "fromfunction",
    "fromiter",
    "fromstring",
    "full",
    "full_like",
    "identity",
    "ones",
    "ones_like",
    "tri",
    "zeros",
    "zeros_like",
]

_current = CURRENT.get
_BOOL = np.dtype(np.bool_)


def refuse_sharding(name: str, out_sharding: Any) -> None:
    """Raise unless the argument out_sharding is None."""
    if out_sharding is not None:
        raise NotImplementedError(
            f"{name}: out_sharding needs an engine with several devices; this one has one, so leave it None"
        )


# From values --------------------------------------------------------------------------------------


def array(
    object: Any,
    dtype: Any = None,
    copy: bool | None = True,
    order: str | None = "K",
    ndmin: int = 0,
    *,
    device: Any = None,
    out_sharding: Any = None,
) -> Array:
    """An array from a number, a NumPy array, a nested sequence of both, or an object that converts itself.

    Args:
        object: the value.
        dtype: the result's dtype (default: by promotion; Python floats give float32, ints int32, or 64 bits
            with enable_x64). Python numbers by themselves become weakly typed.
        copy: ignored: arrays are immutable and never share memory with what the user can write to.
        order: only "K" (or None) is supported.
        ndmin: leading dimensions of size 1 are added up to this number.
        device: ignored; there is one device.
        out_sharding: must be None.

    Raises:
        TypeError: the value is none that an array can hold.
        ValueError: sequences that are not rectangular.
        OverflowError: a Python integer does not fit into the dtype.
    """
    if order not in (None, "K"):
        raise NotImplementedError(
            f"array: only order='K' is supported, since arrays have no memory layout; got {order!r}"
        )
    refuse_sharding("array", out_sharding)
    if object is None:
        raise ValueError("None is not a value that an array can hold; use nan for a missing number")
    out = to_array(_plain(object), dtype, name="array")
    if out.aval.ndim < ndmin:
        out = reshape(out, (1,) * (ndmin - out.aval.ndim) + out.aval.shape)
    return out


def _plain(value: Any) -> Any:
    """Ranges and buffers as NumPy arrays, which conversion knows."""
    if isinstance(value, range):
        return list(value)
    if isinstance(value, (bytearray, memoryview)):
        return np.asarray(value)
    return value


def asarray(
    a: Any,
    dtype: Any = None,
    order: str | None = None,
    *,
    copy: bool | None = None,
    device: Any = None,
    out_sharding: Any = None,
) -> Array:
    """`a` as an array, unchanged where it is one of the right dtype (see `array`)."""
    if type(a) is ConcreteArray and dtype is None and order is None and not copy:
        return a
    return array(a, dtype, copy, order, device=device, out_sharding=out_sharding)


def ascontiguousarray(a: Any, dtype: Any = None) -> Array:
    """`a` as an array of at least one dimension."""
    return array(a, dtype, ndmin=1)


def asfarray(a: Any, dtype: Any = None) -> Array:
    """`a` as an array of a floating-point dtype (default: the default one)."""
    found = dtypes.default_float_dtype() if dtype is None else dtypes.check_user_dtype(dtype, "asfarray")
    return array(a, found if dtypes.is_inexact(found) else dtypes.default_float_dtype())


def copy(a: Any, order: str | None = None) -> Array:
    """A copy of an array or number."""
    check_arraylike("copy", a)
    return copy_p.bind(array(a, order=order))


def astype(x: Any, dtype: Any, /, *, copy: bool = False, device: Any = None) -> Array:
    """The elements of x as another dtype.

    Floats become integers by truncation, out of range the nearest one; complex numbers lose their imaginary
    parts; bool means "is not zero".

    Args:
        x: an array or number.
        dtype: the new dtype (None: the default float dtype).
        copy: whether to copy even if the dtype is the same.
        device: ignored; there is one device.
    """
    check_arraylike("astype", x)
    found = dtypes.default_float_dtype() if dtype is None else dtypes.check_user_dtype(dtype, "astype")
    out = strengthen(convert_element_type(as_array(x), found))
    return copy_p.bind(out) if copy else out


# Filled -------------------------------------------------------------------------------------------


def _shape(shape: Any) -> tuple[int, ...]:
    if type(shape) is tuple:
        for d in shape:
            if type(d) is not int or d < 0:
                break
        else:
            return shape
    if isinstance(shape, Array) and shape.ndim == 0:
        shape = operator.index(shape)
    sizes = canonical_shape(shape)
    if any(d < 0 for d in sizes):
        raise ShapeError(f"a shape must have non-negative sizes; got {sizes}")
    return sizes


def _dtype(dtype: Any, name: str) -> np.dtype[Any]:
    return dtypes.default_float_dtype() if dtype is None else dtypes.check_user_dtype(dtype, name)


def zeros(shape: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None) -> Array:
    """An array of zeros.

    Args:
        shape: an int or a sequence of ints.
        dtype: default: the default float dtype.
        device: ignored; there is one device.
        out_sharding: must be None.
    """
    refuse_sharding("zeros", out_sharding)
    found = _dtype(dtype, "zeros")
    if _current().eager:
        return wrap(np.zeros(_shape(shape), found))
    return filled(_shape(shape), False if found.kind == "b" else 0, found)


def ones(shape: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None) -> Array:
    """An array of ones (see `zeros`)."""
    refuse_sharding("ones", out_sharding)
    found = _dtype(dtype, "ones")
    if _current().eager:
        return wrap(np.ones(_shape(shape), found))
    return filled(_shape(shape), found.kind == "b" or 1, found)


def empty(shape: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None) -> Array:
    """An array whose elements do not matter: zeros, since arrays cannot be written to later."""
    return zeros(shape, dtype, device=device, out_sharding=out_sharding)


def full(
    shape: Any, fill_value: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None
) -> Array:
    """An array filled with `fill_value`, a number or an array that broadcasts to `shape`.

    The dtype is by default that of the fill value (weakly typed for a Python number).
    """
    refuse_sharding("full", out_sharding)
    check_arraylike("full", fill_value)
    return _fill(_shape(shape), array(fill_value, dtype))


def _fill(shape: tuple[int, ...], value: Any) -> Array:
    from_shape = value.aval.shape
    if len(from_shape) > len(shape) or any(
        a not in (1, b) for a, b in zip(reversed(from_shape), reversed(shape), strict=False)
    ):
        raise ShapeError(f"a fill value of shape {from_shape} cannot be broadcast to shape {shape}")
    return broadcast_to(value, shape)


def _like(name: str, a: Any, dtype: Any, shape: Any) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """Shape, dtype and weak type of the `*_like` functions."""
    if (
        not isinstance(a, Array)
        and hasattr(a, "shape")
        and hasattr(a, "dtype")
        and not isinstance(a, (np.ndarray, np.generic))
    ):
        own_shape, own_dtype, weak = (
            tuple(a.shape),
            dtypes.canonicalize_dtype(a.dtype),
            bool(getattr(a, "weak_type", False)),
        )
    else:
        check_arraylike(name, a)
        aval = as_array(a).aval
        own_shape, own_dtype, weak = aval.shape, aval.dtype, aval.weak_type
    if dtype is not None:
        own_dtype, weak = dtypes.check_user_dtype(dtype, name), False
    return own_shape if shape is None else _shape(shape), own_dtype, weak


def _full_like(name: str, a: Any, fill_value: Any, dtype: Any, shape: Any) -> Array:
    if type(a) is ConcreteArray and dtype is None and shape is None and type(fill_value) is int:
        aval = a.aval
        if aval.tangent is aval and _current().eager:
            return ConcreteArray(np.full(aval.shape, fill_value, aval.dtype), aval)
    found_shape, found_dtype, weak = _like(name, a, dtype, shape)
    if dtypes.is_key(found_dtype):
        raise DTypeError(f"{name} cannot fill an array of random keys with a number")
    if found_dtype == dtypes.float0:
        return wrap(np.zeros(found_shape, found_dtype))
    if is_number(fill_value):
        if _current().eager and not weak:
            return wrap(np.full(found_shape, to_array(fill_value, found_dtype)._data))
        value: Any = convert_element_type(to_array(fill_value, found_dtype), found_dtype, weak_type=weak)
    else:
        check_arraylike(name, a, fill_value)
        value = convert_element_type(as_array(fill_value), found_dtype, weak_type=weak)
    return _fill(found_shape, value)


def zeros_like(
    a: Any, dtype: Any = None, shape: Any = None, *, device: Any = None, out_sharding: Any = None
) -> Array:
    """An array of zeros with the shape and dtype of `a` (an array, a number, or anything that has both)."""
    refuse_sharding("zeros_like", out_sharding)
    return _full_like("zeros_like", a, 0, dtype, shape)


def ones_like(
    a: Any, dtype: Any = None, shape: Any = None, *, device: Any = None, out_sharding: Any = None
) -> Array:
    """An array of ones with the shape and dtype of `a` (an array, a number, or anything that has both)."""
    refuse_sharding("ones_like", out_sharding)
    return _full_like("ones_like", a, 1, dtype, shape)


def empty_like(
    prototype: Any, dtype: Any = None, shape: Any = None, *, device: Any = None, out_sharding: Any = None
) -> Array:
    """An array whose elements do not matter (zeros), with the shape and dtype of `prototype`."""
    refuse_sharding("empty_like", out_sharding)
    return _full_like("empty_like", prototype, 0, dtype, shape)


def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    shape: Any = None,
    *,
    device: Any = None,
    out_sharding: Any = None,
) -> Array:
    """An array with the shape and dtype of `a`, filled with `fill_value` (a number or a fitting array)."""
    refuse_sharding("full_like", out_sharding)
    return _full_like("full_like", a, fill_value, dtype, shape)


# Matrices -----------------------------------------------------------------------------------------


def _diagonal_index(name: str, k: Any) -> int:
    try:
        return operator.index(k)
    except TypeError as error:
        if isinstance(error, DTypeError) or isinstance(k, Array):
            raise
        raise ValueError(f"{name}: k must be an integer; got {k!r}") from None


def eye(N: Any, M: Any = None, k: Any = 0, dtype: Any = None, *, device: Any = None) -> Array:
    """An N by M matrix (default: square) with ones on the k-th diagonal (above the main one: k > 0)."""
    found = _dtype(dtype, "eye")
    rows, columns = _matrix_shape("eye", N, M)
    offset = _diagonal_index("eye", k)
    if _current().eager:
        return wrap(np.eye(rows, columns, max(-rows, min(offset, columns)), dtype=np.bool_).astype(found))
    row, column = _row_and_column(rows, columns, offset)
    return convert_element_type(cmp.eq_p.bind(row, column), found)


def _matrix_shape(name: str, n: Any, m: Any) -> tuple[int, int]:
    try:
        rows = operator.index(n)
        columns = rows if m is None else operator.index(m)
    except TypeError as error:
        raise TypeError(
            f"{name}: sizes must be integers known before tracing; got {n!r} and {m!r}"
        ) from error
    if rows < 0 or columns < 0:
        raise ValueError(f"{name}: sizes must not be negative; got {rows} and {columns}")
    return rows, columns


def _row_and_column(rows: int, columns: int, offset: int) -> tuple[Any, Any]:
    """Row numbers plus offset, and column numbers, in shapes that broadcast."""
    int32 = np.dtype(np.int32)
    row = iota_p.bind(dtype=int32, shape=(rows, 1), dimension=0)
    column = iota_p.bind(dtype=int32, shape=(1, columns), dimension=1)
    return (ar.add_p.bind(row, scalar(offset, int32)) if offset else row), column


def identity(n: Any, dtype: Any = None) -> Array:
    """The n by n identity matrix."""
    return eye(n, dtype=_dtype(dtype, "identity"))


def tri(N: Any, M: Any = None, k: Any = 0, dtype: Any = None) -> Array:
    """An N by M matrix (default: square) with ones at and below the k-th diagonal, zeros above."""
    found = _dtype(dtype, "tri")
    rows, columns = _matrix_shape("tri", N, M)
    row, column = _row_and_column(rows, columns, _diagonal_index("tri", k))
    return convert_element_type(cmp.ge_p.bind(row, column), found)


def fromfunction(function: Callable[..., Any], shape: Any, *, dtype: Any = float, **kwargs: Any) -> Any:
    """The array of function(i, j, ...) for all indices of `shape`.

    Args:
        function: a function of as many scalars as there are dimensions; it is called once, mapped over all.
        shape: an int or a sequence of ints.
        dtype: the dtype of the indices.
        kwargs: further arguments of the function.
    """
    sizes = _shape(shape)
    found = dtypes.check_user_dtype(dtype, "fromfunction")

    def call(known: tuple[Any, ...], rest: tuple[int, ...]) -> Any:
        if not rest:
            return function(*known, **kwargs)
        line = iota_p.bind(dtype=found, shape=(rest[0],), dimension=0)
        return mapped(lambda i: call((*known, i), rest[1:]), [line], [0], rest[0])

    return call((), sizes)


# Buffers ------------------------------------------------------------------------------------------


def frombuffer(buffer: Any, dtype: Any = float, count: int = -1, offset: int = 0) -> Array:
    """A vector of the numbers in a bytes-like object.

    Args:
        buffer: bytes or an object with the buffer protocol.
        dtype: how to read it (`float` means the 64 bits of Python's).
        count: how many numbers (-1: all).
        offset: the byte to begin at.
    """
    return from_numpy(np.frombuffer(buffer, dtypes.as_numpy_dtype(dtype), count, offset))


def fromstring(string: str, dtype: Any = float, count: int = -1, *, sep: str) -> Array:
    """A vector of the numbers written in a text, separated by `sep`."""
    return from_numpy(np.fromstring(string, dtypes.as_numpy_dtype(dtype), count, sep=sep))


def fromiter(iter: Any, dtype: Any, count: int = -1) -> Array:
    """A vector of the numbers that an iterable of concrete numbers gives."""
    found = dtypes.check_user_dtype(dtype, "fromiter")
    return from_numpy(np.fromiter(iter, found, count))


def fromfile(file: Any, dtype: Any = float, count: int = -1, sep: str = "", offset: int = 0) -> Array:
    """A vector of the numbers in a file (see `numpy.fromfile`)."""
    return from_numpy(np.fromfile(file, dtypes.as_numpy_dtype(dtype), count, sep, offset))


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Array:
    """An array from an object with the DLPack protocol (its memory is copied)."""
    if not (hasattr(x, "__dlpack__") and hasattr(x, "__dlpack_device__")):
        raise TypeError(
            "from_dlpack expects an object with the methods __dlpack__ and __dlpack_device__, got "
            f"{type(x).__name__}; use numpy.asarray for numbers and sequences"
        )
    return from_numpy(np.from_dlpack(x))


def _view(self: Any, dtype: Any = None) -> Any:
    """The array's bits read as another dtype; the last dimension grows or shrinks with the width."""
    if dtype is None:
        return self
    found = dtypes.check_user_dtype(dtype, "view")
    own = self.aval.dtype
    if found == own:
        return self
    if found.kind == "b":
        return convert_element_type(_view(self, np.uint8), found)
    if own.kind == "b":
        return _view(convert_element_type(self, np.uint8), found)
    if found.itemsize == own.itemsize:
        return bitcast_convert_type(self, found)
    shape = self.aval.shape
    if not shape:
        raise ValueError(f"view: an array without dimensions keeps its width; got {own} and {found}")
    if found.itemsize < own.itemsize:
        ratio = own.itemsize // found.itemsize
        return reshape(bitcast_convert_type(self, found), (*shape[:-1], shape[-1] * ratio))
    ratio = found.itemsize // own.itemsize
    if shape[-1] % ratio:
        raise ShapeError(
            f"view: the last dimension of {shape} is no multiple of {ratio}; {own} cannot be read as {found}"
        )
    return bitcast_convert_type(reshape(self, (*shape[:-1], shape[-1] // ratio, ratio)), found)


METHODS: dict[str, Any] = {
    "astype": lambda self, dtype, copy=False, device=None: astype(self, dtype, copy=copy),
    "copy": copy,
    "view": _view,
}
