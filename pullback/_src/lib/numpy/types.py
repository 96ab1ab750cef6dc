"""Scalar types, questions about dtypes and shapes, constants, printing, files.

`float32` and the like are dtypes where one is expected (`x.dtype == float32`, `zeros(3, float32)`) and make
arrays when called: `float32(1.5)`.
"""

from __future__ import annotations

import builtins
import math
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ml_dtypes
import numpy as np

from ...core import dtypes
from ...core.array import Array, from_numpy
from ...core.dtype_lattice import COMPLEXES, FLOATS, INEXACT, INTEGERS, SIGNED, UNSIGNED
from ...ops.structural import canonical_axis
from .promotion import asarray

__all__ = [
    "ComplexWarning",
    "ScalarType",
    "__array_namespace_info__",
    "array2string",
    "array_repr",
    "array_str",
    "bfloat16",
    "bool",
    "bool_",
    "can_cast",
    "cdouble",
    "character",
    "complex64",
    "complex128",
    "complex_",
    "complexfloating",
    "csingle",
    "double",
    "dtype",
    "e",
    "euler_gamma",
    "finfo",
    "flexible",
    "float4_e2m1fn",
    "float6_e2m3fn",
    "float6_e3m2fn",
    "float8_e3m4",
    "float8_e4m3",
    "float8_e4m3b11fnuz",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
    "float16",
    "float32",
    "float64",
    "float_",
    "floating",
    "generic",
    "get_printoptions",
    "iinfo",
    "inexact",
    "inf",
    "int2",
    "int4",
    "int8",
    "int16",
    "int32",
    "int64",
    "int_",
    "integer",
    "isdtype",
    "issubdtype",
    "iterable",
    "load",
    "nan",
    "ndarray",
    "ndim",
    "newaxis",
    "number",
    "object_",
    "pi",
    "printoptions",
    "promote_types",
    "result_type",
    "save",
    "savez",
    "set_printoptions",
    "shape",
    "signedinteger",
    "single",
    "size",
    "uint",
    "uint2",
    "uint4",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "unsignedinteger",
]

pi: float = math.pi
e: float = math.e
euler_gamma: float = 0.5772156649015329
inf: float = math.inf
nan: float = math.nan
newaxis: None = None


# Scalar types -------------------------------------------------------------------------------------


class ScalarTypeMeta(type):
    """The type of `float32` and the like: equal to their dtypes, and callable to make arrays."""

    dtype: np.dtype[Any]

    def __call__(cls, x: Any) -> Array:
        return asarray(x, dtype=cls.dtype)

    def __eq__(cls, other: object) -> builtins.bool:
        if cls is other:
            return True
        if isinstance(other, (type, np.dtype)):
            try:
                return builtins.bool(cls.dtype == dtypes.as_numpy_dtype(other))
            except TypeError:
                return False
        return False

    def __hash__(cls) -> int:
        return hash(cls.dtype.type)

    def __instancecheck__(cls, instance: Any) -> builtins.bool:
        return isinstance(instance, cls.dtype.type)

    def __reduce__(cls) -> Any:
        return _scalar_type, (cls.__name__,)


_scalar_types: dict[str, ScalarTypeMeta] = {}


def _scalar_type(name: str) -> Any:
    return _scalar_types[name]


def _make(kind: Any) -> Any:
    numpy_dtype = np.dtype(kind)
    doc = f"The dtype {numpy_dtype.name}; called with a value, it makes an array of that dtype."
    made = ScalarTypeMeta(
        numpy_dtype.name, (), {"dtype": numpy_dtype, "__doc__": doc, "__module__": "pullback.numpy"}
    )
    _scalar_types[numpy_dtype.name] = made
    return made


bool_: Any = _make(np.bool_)
bool: Any = bool_
int2: Any = _make(ml_dtypes.int2)
int4: Any = _make(ml_dtypes.int4)
int8: Any = _make(np.int8)
int16: Any = _make(np.int16)
int32: Any = _make(np.int32)
int64: Any = _make(np.int64)
uint2: Any = _make(ml_dtypes.uint2)
uint4: Any = _make(ml_dtypes.uint4)
uint8: Any = _make(np.uint8)
uint16: Any = _make(np.uint16)
uint32: Any = _make(np.uint32)
uint64: Any = _make(np.uint64)
float4_e2m1fn: Any = _make(ml_dtypes.float4_e2m1fn)
float6_e2m3fn: Any = _make(ml_dtypes.float6_e2m3fn)
float6_e3m2fn: Any = _make(ml_dtypes.float6_e3m2fn)
float8_e3m4: Any = _make(ml_dtypes.float8_e3m4)
float8_e4m3: Any = _make(ml_dtypes.float8_e4m3)
float8_e4m3b11fnuz: Any = _make(ml_dtypes.float8_e4m3b11fnuz)
float8_e4m3fn: Any = _make(ml_dtypes.float8_e4m3fn)
float8_e4m3fnuz: Any = _make(ml_dtypes.float8_e4m3fnuz)
float8_e5m2: Any = _make(ml_dtypes.float8_e5m2)
float8_e5m2fnuz: Any = _make(ml_dtypes.float8_e5m2fnuz)
float8_e8m0fnu: Any = _make(ml_dtypes.float8_e8m0fnu)
bfloat16: Any = _make(ml_dtypes.bfloat16)
float16: Any = _make(np.float16)
float32: Any = _make(np.float32)
float64: Any = _make(np.float64)
complex64: Any = _make(np.complex64)
complex128: Any = _make(np.complex128)

single: Any = float32
double: Any = float64
csingle: Any = complex64
cdouble: Any = complex128
int_: Any = int64
uint: Any = uint64
float_: Any = float64
complex_: Any = complex128

generic = np.generic
number = np.number
integer = np.integer
signedinteger = np.signedinteger
unsignedinteger = np.unsignedinteger
inexact = np.inexact
floating = np.floating
complexfloating = np.complexfloating
flexible = np.flexible
character = np.character
object_ = np.object_
ScalarType = np.ScalarType
ComplexWarning = np.exceptions.ComplexWarning

dtype = np.dtype
ndarray = Array


# Questions about dtypes ---------------------------------------------------------------------------


def _dtype_of(x: Any) -> Any:
    """The dtype that a dtype, a scalar type, an array or a NumPy scalar means."""
    return x.dtype if isinstance(x, (Array, np.ndarray, np.generic)) else dtypes.as_numpy_dtype(x)


def finfo(dtype: Any) -> Any:
    """Limits of a floating-point (or complex) dtype: `eps`, `max`, `min`, `tiny`, `bits`, ...

    Args:
        dtype: a dtype, a scalar type, or an array whose dtype is meant.
    """
    return dtypes.finfo(_dtype_of(dtype))


def iinfo(int_type: Any) -> Any:
    """Limits of an integer dtype: `max`, `min`, `bits`.

    Args:
        int_type: a dtype, a scalar type, or an array whose dtype is meant.
    """
    return dtypes.iinfo(_dtype_of(int_type))


def issubdtype(arg1: Any, arg2: Any) -> builtins.bool:
    """Whether the dtype or category `arg1` lies in the category `arg2` (`floating`, `integer`, ...)."""
    return dtypes.issubdtype(_unwrapped(arg1), _unwrapped(arg2))


def _unwrapped(x: Any) -> Any:
    return x.dtype.type if isinstance(x, ScalarTypeMeta) else x


_KINDS: dict[str, frozenset[Any]] = {
    "bool": frozenset({np.dtype(np.bool_)}),
    "signed integer": SIGNED,
    "unsigned integer": UNSIGNED,
    "integral": INTEGERS,
    "real floating": FLOATS,
    "complex floating": COMPLEXES,
    "numeric": INTEGERS | INEXACT,
}


def isdtype(dtype: Any, kind: Any) -> builtins.bool:
    """Whether a dtype is of a kind of the array API standard.

    Args:
        dtype: a dtype or a scalar type.
        kind: "bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating",
            "numeric"; a dtype; or a tuple of these, of which one must hold.

    Raises:
        ValueError: an unknown name.
        TypeError: `kind` is neither a name, a dtype nor a tuple.
    """
    found = dtypes.as_numpy_dtype(dtype)
    for option in kind if isinstance(kind, tuple) else (kind,):
        if isinstance(option, str) and option in _KINDS:
            if found in _KINDS[option]:
                return True
            continue
        try:
            if not isinstance(option, (str, type, np.dtype)):
                raise TypeError(option)
            if found == dtypes.as_numpy_dtype(option):
                return True
        except TypeError:
            if isinstance(option, str):
                raise ValueError(
                    f"isdtype: unknown kind {option!r}; expected one of {sorted(_KINDS)}, or a dtype"
                ) from None
            raise TypeError(
                f"isdtype: a kind is a name, a dtype or a tuple of these; got {option!r}"
            ) from None
    return False


def can_cast(from_: Any, to: Any, casting: Any = "safe") -> builtins.bool:
    """Whether values of one dtype can become another under NumPy's rules for `casting`."""
    source = from_ if isinstance(from_, (builtins.bool, int, float, complex)) else _dtype_of(from_)
    return builtins.bool(np.can_cast(source, dtypes.as_numpy_dtype(to), casting))


def promote_types(a: Any, b: Any) -> Any:
    """The dtype to which two dtypes promote (Python's int, float, complex are weak)."""
    return dtypes.public_dtype(dtypes.promote_types(_weak_or_dtype(a), _weak_or_dtype(b)))


def _weak_or_dtype(x: Any) -> Any:
    return x if x in (int, float, complex) and not isinstance(x, ScalarTypeMeta) else dtypes.as_numpy_dtype(x)


def result_type(*args: Any) -> Any:
    """The dtype of an operation on arrays, numbers and dtypes, by promotion.

    Raises:
        ValueError: no arguments.
        TypeError: an argument that has no dtype.
    """
    return dtypes.public_dtype(
        dtypes.result_type(*[a.dtype if isinstance(a, ScalarTypeMeta) else a for a in args])
    )


# Questions about shapes ---------------------------------------------------------------------------


def shape(a: Any) -> tuple[int, ...]:
    """The shape of an array or nested sequence."""
    found = getattr(a, "shape", None)
    if isinstance(found, tuple):
        return found
    return () if a is None else asarray(a).shape


def ndim(a: Any) -> int:
    """The number of dimensions of an array or nested sequence."""
    return len(shape(a))


def size(a: Any, axis: Any = None) -> int:
    """The number of elements, or the size of one dimension (or the product over several).

    Raises:
        ValueError: `axis` is out of range.
    """
    sizes = shape(a)
    if axis is None:
        return math.prod(sizes)
    axes = axis if isinstance(axis, (tuple, list)) else (operator.index(axis),)
    return math.prod(sizes[canonical_axis(i, len(sizes))] for i in axes)


def iterable(y: Any) -> builtins.bool:
    """Whether `iter(y)` works."""
    return builtins.bool(np.iterable(y))


# Printing and files -------------------------------------------------------------------------------


def array_repr(
    arr: Any,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: builtins.bool | None = None,
) -> str:
    """The text that describes an array, as `repr` does, with options."""
    text = np.array_repr(np.asarray(arr), max_line_width, precision, suppress_small)
    return "Array" + text.removeprefix("array")


def array_str(
    a: Any,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: builtins.bool | None = None,
) -> str:
    """The elements of an array as a text, as `str` does, with options."""
    return np.array_str(np.asarray(a), max_line_width, precision, suppress_small)


def array2string(a: Any, *args: Any, **options: Any) -> str:
    """The elements of an array as a text (see `numpy.array2string`)."""
    return np.array2string(np.asarray(a), *args, **options)


def set_printoptions(*args: Any, **options: Any) -> None:
    """Set how arrays are printed, NumPy's included (see `numpy.set_printoptions`)."""
    np.set_printoptions(*args, **options)


def get_printoptions() -> Any:
    """How arrays are printed: the options of `set_printoptions`."""
    return np.get_printoptions()


@contextmanager
def printoptions(*args: Any, **options: Any) -> Iterator[Any]:
    """Context manager: print arrays with the options of `set_printoptions`."""
    with np.printoptions(*args, **options) as found:
        yield found


def save(file: Any, arr: Any, allow_pickle: builtins.bool = True) -> None:
    """Write an array to a file in NumPy's format `.npy`."""
    np.save(file, np.asarray(arr), allow_pickle)


def savez(file: Any, *args: Any, allow_pickle: builtins.bool = True, **kwds: Any) -> None:
    """Write arrays to a file in NumPy's format `.npz`, under the names of the keyword arguments."""
    np.savez(
        file,
        *[np.asarray(a) for a in args],
        allow_pickle=allow_pickle,
        **{name: np.asarray(a) for name, a in kwds.items()},
    )


def load(file: Any, *args: Any, **options: Any) -> Any:
    """Read an array from a `.npy` file, or a mapping of NumPy arrays from a `.npz` file."""
    found = np.load(file, *args, **options)
    if not isinstance(found, np.ndarray):
        return found
    if found.dtype == np.dtype("V2"):  # how NumPy writes bfloat16
        found = found.view(ml_dtypes.bfloat16)
    return from_numpy(found)


class __array_namespace_info__:
    """What the array API standard asks a namespace about itself."""

    def capabilities(self) -> dict[str, Any]:
        """What works outside of traced functions, and the largest number of dimensions."""
        return {"boolean indexing": True, "data-dependent shapes": False, "max dimensions": 64}

    def default_device(self) -> None:
        """The default device: there is only one."""
        return

    def devices(self) -> list[Any]:
        """All devices."""
        return [None]

    def default_dtypes(self, *, device: Any = None) -> dict[str, Any]:
        """The dtypes of Python's numbers."""
        return {
            "real floating": dtypes.default_float_dtype(),
            "complex floating": dtypes.default_complex_dtype(),
            "integral": dtypes.default_int_dtype(),
            "indexing": dtypes.default_int_dtype(),
        }

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, Any]:
        """The standard's dtypes (of a kind as in `isdtype`) by name."""
        names = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128"
        found = {name: np.dtype(name) for name in names.split()}
        found = {name: d for name, d in found.items() if dtypes.canonicalize_dtype(d) == d}
        return found if kind is None else {name: d for name, d in found.items() if isdtype(d, kind)}
