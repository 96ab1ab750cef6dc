"""`Array`: what users hold.

`Array` is the common base of concrete arrays and tracers; its operators and methods are attached by
`lib.numpy` (the library above this layer). `ConcreteArray` wraps a NumPy buffer and an interned type
in two slots at fixed offsets, so that compiled code can read both without running Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.errors import DeletedArrayError
from ..base.pytree import mark_leaf_type
from . import dtypes
from .aval import ShapedArray, Typed, shaped_array


class Array(Typed):
    """An immutable n-dimensional array, concrete or traced.

    `isinstance(x, Array)` holds for both. Use `pullback.numpy` functions to make arrays.
    """

    __slots__ = ()
    __array_priority__ = 100

    @property
    def dtype(self) -> Any:
        return dtypes.public_dtype(self.aval.dtype)

    @property
    def itemsize(self) -> int:
        return self.aval.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.aval.size * self.aval.dtype.itemsize

    def __len__(self) -> int:
        return len(self.aval)

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "arrays are immutable and cannot be assigned to; instead of x[index] = value write "
            "x = x.at[index].set(value), which gives a changed copy"
        )

    # Defining __eq__ (attached later) would remove hashing silently; say it here.
    def __hash__(self) -> int:
        raise TypeError(
            f"unhashable type: arrays have no hash (here {self.aval.str_short()}). "
            "If this array is a static argument, pass a Python number or a tuple instead."
        )

    if TYPE_CHECKING:
        # Attached by `lib.numpy` when it is imported, for concrete arrays and tracers alike.
        at: Any
        T: Array

        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, index: Any) -> Array: ...
        def __iter__(self) -> Iterator[Array]: ...
        def __neg__(self) -> Array: ...
        def __pos__(self) -> Array: ...
        def __abs__(self) -> Array: ...
        def __invert__(self) -> Array: ...
        def __eq__(self, other: object) -> Any: ...
        def __ne__(self, other: object) -> Any: ...
        def __add__(self, other: Any) -> Array: ...
        def __radd__(self, other: Any) -> Array: ...
        def __sub__(self, other: Any) -> Array: ...
        def __rsub__(self, other: Any) -> Array: ...
        def __mul__(self, other: Any) -> Array: ...
        def __rmul__(self, other: Any) -> Array: ...
        def __truediv__(self, other: Any) -> Array: ...
        def __rtruediv__(self, other: Any) -> Array: ...
        def __floordiv__(self, other: Any) -> Array: ...
        def __rfloordiv__(self, other: Any) -> Array: ...
        def __mod__(self, other: Any) -> Array: ...
        def __rmod__(self, other: Any) -> Array: ...
        def __pow__(self, other: Any) -> Array: ...
        def __rpow__(self, other: Any) -> Array: ...
        def __matmul__(self, other: Any) -> Array: ...
        def __rmatmul__(self, other: Any) -> Array: ...
        def __and__(self, other: Any) -> Array: ...
        def __rand__(self, other: Any) -> Array: ...
        def __or__(self, other: Any) -> Array: ...
        def __ror__(self, other: Any) -> Array: ...
        def __xor__(self, other: Any) -> Array: ...
        def __rxor__(self, other: Any) -> Array: ...
        def __lshift__(self, other: Any) -> Array: ...
        def __rlshift__(self, other: Any) -> Array: ...
        def __rshift__(self, other: Any) -> Array: ...
        def __rrshift__(self, other: Any) -> Array: ...
        def __lt__(self, other: Any) -> Array: ...
        def __le__(self, other: Any) -> Array: ...
        def __gt__(self, other: Any) -> Array: ...
        def __ge__(self, other: Any) -> Array: ...


class ConcreteArray(Array):
    """An array with a value: an immutable NumPy buffer and its interned type."""

    __slots__ = ("_data", "aval", "__weakref__")

    _data: np.ndarray[Any, Any]

    def __init__(self, data: np.ndarray[Any, Any], aval: ShapedArray) -> None:
        self._data = data
        self.aval = aval

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if dtypes.is_key(self.aval.dtype):
            raise TypeError(
                "random keys cannot be converted to NumPy arrays; use random.key_data(key) for their words"
            )
        if dtype is not None and np.dtype(dtype) != self._data.dtype:
            if copy is False:
                raise ValueError(
                    f"an array of dtype {dtypes.dtype_name(self.aval.dtype)} cannot become one of dtype "
                    f"{np.dtype(dtype).name} without a copy; leave out copy=False"
                )
            return self._data.astype(dtype)
        if copy:
            return self._data.copy()
        view = self._data.view()
        view.flags.writeable = False
        return view

    def __buffer__(self, flags: int) -> memoryview:
        return self.__array__().data

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        # DLPack can mark memory as read-only since its version 1; for older consumers it must be copied.
        if max_version is not None and max_version >= (1, 0) and not copy:
            return self.__array__().__dlpack__(
                stream=stream, max_version=max_version, dl_device=dl_device, copy=copy
            )
        if copy is False:
            raise BufferError(
                "arrays are immutable, which DLPack can say only from version 1.0 on; allow a copy"
            )
        return self._data.copy().__dlpack__(stream=stream)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._data.__dlpack_device__()

    def __bool__(self) -> bool:
        if self.aval.size != 1:
            raise ValueError(
                f"the truth value of an array with {self.aval.size} elements (shape {self.shape}) is "
                "ambiguous; use .any() or .all(), or .size > 0 to ask whether it has elements"
            )
        return bool(self._data.reshape(()))

    def __int__(self) -> int:
        return int(self._scalar("int"))

    def __float__(self) -> float:
        return float(self._scalar("float"))

    def __complex__(self) -> complex:
        return complex(self._scalar("complex"))

    def __index__(self) -> int:
        if self.aval.ndim != 0 or self.aval.dtype.kind not in "iub":
            raise TypeError(
                f"only integer arrays without dimensions can be used as an index, got {self.aval.str_short()}"
            )
        return int(self._data)

    def _scalar(self, kind: str) -> Any:
        if self.aval.ndim != 0:
            raise TypeError(
                f"only arrays without dimensions can be converted to a Python {kind}; got shape {self.shape}"
            )
        return self._data.item()

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        if self.aval.ndim > 0:
            raise TypeError(
                f"the format {spec!r} applies to arrays without dimensions, got shape {self.shape}; format "
                "the elements, or use numpy.array2string"
            )
        return format(self._data[()], spec)

    def __str__(self) -> str:
        if dtypes.is_key(self.aval.dtype):
            return repr(self)
        return str(self._data)

    def __repr__(self) -> str:
        return array_repr(self)

    def item(self, *args: int) -> Any:
        """The element (of an array of size one, or at `args`) as a Python scalar."""
        return self._data.item(*args)

    def tolist(self) -> Any:
        """The array as nested lists of Python scalars."""
        return self._data.tolist()

    def tobytes(self, order: Any = "C") -> bytes:
        return self._data.tobytes(order)

    def block_until_ready(self) -> ConcreteArray:
        """Return the array; its value is always ready on this engine."""
        return self

    def is_deleted(self) -> bool:
        """Whether the array's memory has been given away (`donate_argnums` of `jit`) or freed (`delete`)."""
        return False

    def delete(self) -> None:
        """Drop the array's memory; reading the array is an error from now on."""
        if id(self) not in CONSTANTS:
            _drop_data(self)
            self.__class__ = DeletedArray

    def __deepcopy__(self, memo: Any) -> ConcreteArray:
        return self  # immutable

    def __copy__(self) -> ConcreteArray:
        return self

    def __reduce__(self) -> Any:
        return _rebuild, (self._data, self.aval)


_drop_data: Callable[[Any], None] = ConcreteArray.__dict__["_data"].__delete__  # of the slot


class DeletedArray(ConcreteArray):
    """What an array becomes when its memory is given away: it still has a type, but no value.

    It is a class of its own so that code which knows the type of its operands need not ask.
    """

    __slots__ = ()

    @property
    def _data(self) -> Any:  # type: ignore[override]  # instead of the slot
        raise DeletedArrayError(
            f"the array of type {self.aval.str_short()} has been deleted: it was donated to a jitted "
            "function (donate_argnums or donate_argnames), which used its memory for a result, or its method "
            "delete() was called. Use the function's result, pass a copy, or do not donate the argument."
        )

    def __repr__(self) -> str:
        return f"Array(deleted, {self.aval.str_short()})"

    __str__ = __repr__

    def is_deleted(self) -> bool:
        return True

    def delete(self) -> None:
        """Nothing is left to be deleted."""

    def block_until_ready(self) -> ConcreteArray:
        return self._data

    def __deepcopy__(self, memo: Any) -> ConcreteArray:
        return self._data

    def __copy__(self) -> ConcreteArray:
        return self._data


mark_leaf_type(ConcreteArray)
mark_leaf_type(DeletedArray)


def _rebuild(data: np.ndarray[Any, Any], aval: ShapedArray) -> ConcreteArray:
    return ConcreteArray(data, aval)


def array_repr(array: ConcreteArray) -> str:
    """`Array([1., 2.], dtype=float32)`, with `weak_type=True` where it holds."""
    aval = array.aval
    if dtypes.is_key(aval.dtype):
        words = array._data["fry"]
        return f"Array({aval.shape}, dtype={dtypes.dtype_name(aval.dtype)}) overlaying:\n{words}"
    prefix = "Array("
    dtype_text = f"dtype={dtypes.dtype_name(aval.dtype)}"
    if aval.dtype == dtypes.float0:
        body = np.array2string(np.zeros(aval.shape, bool), separator=", ", prefix=prefix)
    elif aval.size == 0 and aval.ndim > 0:
        body = f"[], shape={aval.shape}"
    else:
        body = np.array2string(array._data, separator=", ", prefix=prefix, suffix=",")
    if aval.weak_type:
        dtype_text += ", weak_type=True"
    last_line = body[body.rfind("\n") + 1 :]
    width = np.get_printoptions()["linewidth"]
    separator = ", "
    if len(last_line) + len(dtype_text) + 3 > width or (
        "\n" not in body and len(prefix + body) + len(dtype_text) + 3 > width
    ):
        separator = ",\n" + " " * len(prefix)
    return f"{prefix}{body}{separator}{dtype_text})"


def wrap(data: np.ndarray[Any, Any], weak_type: bool = False) -> ConcreteArray:
    """An array around `data`, which nobody else may write to."""
    return ConcreteArray(data, shaped_array(data.shape, data.dtype, weak_type))


_scalars: dict[tuple[type, Any, np.dtype[Any]], ConcreteArray] = {}
_held: list[Any] = []  # their buffers: what has two references is never given away
CONSTANTS: set[int] = set()  # the identities of the arrays in `_scalars`, which live as long as the process


def scalar(value: bool | int | float | complex, dtype: np.dtype[Any]) -> ConcreteArray:
    """A weakly typed array without dimensions, of the given dtype, from a Python number.

    Small tables of constants recur in every program, so the arrays are cached.
    """
    # 0.0 equals -0.0, so where a zero is in play the text is what tells values apart.
    key = (type(value), value if value and type(value) is not complex else repr(value), dtype)
    found = _scalars.get(key)
    if found is not None:
        return found
    array = _weak_scalar(value, dtype)
    if len(_scalars) < 4096:
        array = _scalars.setdefault(key, array)
        CONSTANTS.add(id(array))
        _held.append(array._data)
    return array


def _weak_scalar(value: bool | int | float | complex, dtype: np.dtype[Any]) -> ConcreteArray:
    if dtype.kind in "iu" and type(value) is int:
        info = dtypes.iinfo(dtype)
        if not info.min <= value <= info.max:
            raise OverflowError(
                f"the Python integer {value} does not fit into {dtype.name}"
                + (
                    "; enable 64-bit types with config.update('enable_x64', True)"
                    if dtype.itemsize == 4
                    else ""
                )
            )
    return ConcreteArray(np.array(value, dtype), shaped_array((), dtype, True))


def python_scalar(value: bool | int | float | complex) -> ConcreteArray:
    """A weakly typed array of the default dtype for the Python number's type.

    Not one of the cached constants: this is how values come in, which change from call to call.
    """
    if value.__class__ is bool or isinstance(value, (bool, np.bool_)):
        return wrap(np.array(value, np.bool_))
    return _weak_scalar(value, dtypes.python_scalar_dtype(type(value)))


def as_array(value: Any, *, name: str = "argument") -> Array:
    """`value` as an `Array`: arrays and tracers unchanged, Python numbers weakly typed, NumPy copied in.

    Raises:
        TypeError: `value` is no array, number, or object that converts itself to one.
    """
    if isinstance(value, Array):
        return value
    if isinstance(value, (bool, int, float, complex)) and not isinstance(value, np.generic):
        return python_scalar(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return from_numpy(value)
    for hook in ("__pullback_array__", "__jax_array__"):
        convert = getattr(type(value), hook, None)
        if convert is not None:
            return as_array(convert(value), name=name)
    if hasattr(value, "__array__") or hasattr(value, "__array_interface__") or _has_buffer(value):
        return from_numpy(np.asarray(value))
    raise TypeError(
        f"{name}: expected an array or a number, got {_show(value)} of type {type(value).__name__}."
        + (" Convert lists and tuples with numpy.array first." if isinstance(value, (list, tuple)) else "")
    )


def _has_buffer(value: Any) -> bool:
    """Whether an object offers its numbers by the buffer protocol (array.array, memoryview, ...)."""
    if isinstance(value, (str, bytes)):
        return False
    try:
        memoryview(value)
    except TypeError:
        return False
    return True


def from_numpy(value: np.ndarray[Any, Any] | np.generic, *, copy: bool = True) -> ConcreteArray:
    """A NumPy array or scalar as an `Array` of the canonical dtype (copied: the user may write to it)."""
    dtype = value.dtype
    canonical = dtypes.canonicalize_value_dtype(dtype)
    data = np.array(value, dtype=canonical, copy=True if copy else None, order="C", subok=False)
    return ConcreteArray(data, shaped_array(data.shape, data.dtype))


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
