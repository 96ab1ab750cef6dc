"""Data types: which exist, how 64-bit ones are narrowed, how they promote, and how they are printed.

Inside the library a dtype is always a ``numpy.dtype``. Three groups go beyond NumPy's own:

* bfloat16, the 8-, 6- and 4-bit floats and the 2- and 4-bit integers are ``ml_dtypes`` extensions. NumPy
  gives all of them the kind 'V', so the predicates below test membership in sets instead of ``dtype.kind``.
* ``float0`` is the dtype of tangents of integers and booleans: it has one value and no bytes.
* ``KEY_DTYPE`` is the dtype of random keys: a structured dtype of 8 bytes, so that NumPy reshapes, indexes
  and concatenates arrays of keys as it does any others. Users see it as the object ``key_dtype``.

Promotion follows JAX: its lattice with weakly typed Python scalars is documented in
https://docs.jax.dev/en/latest/type_promotion.html.
"""

from __future__ import annotations

import functools
import os
import sys
import warnings
from typing import Any, ClassVar, Final

import numpy as np
from ml_dtypes import bfloat16, finfo, iinfo

from ..base.config import TraceContext, settings
from ..base.errors import DTypeError
from .dtype_lattice import (
    BFLOAT16,
    BOOL,
    COMPLEXES,
    FLOATS,
    INEXACT,
    INTEGERS,
    KEY_DTYPE,
    NUMERIC,
    SIGNED,
    SMALL_FLOATS,
    SMALL_SIGNED,
    SMALL_UNSIGNED,
    SUPPORTED,
    UNSIGNED,
    DType,
    Node,
    TypePromotionError,
    dtype_name,
    float0,
    least_upper_bound,
)

__all__ = [
    "KEY_DTYPE",
    "DType",
    "KeyDType",
    "TypePromotionError",
    "as_numpy_dtype",
    "bfloat16",
    "canonicalize_dtype",
    "canonicalize_value_dtype",
    "check_user_dtype",
    "default_complex_dtype",
    "default_float_dtype",
    "default_int_dtype",
    "dtype_name",
    "extended",
    "finfo",
    "float0",
    "iinfo",
    "is_bool",
    "is_complex",
    "is_extended",
    "is_floating",
    "is_inexact",
    "is_integer",
    "is_key",
    "is_signed_integer",
    "is_supported",
    "is_unsigned_integer",
    "issubdtype",
    "itemsize_bits",
    "key_dtype",
    "lattice_result_type",
    "prng_key",
    "promote_types",
    "public_dtype",
    "python_scalar_dtype",
    "result_type",
    "scalar_type_of",
    "short_name",
    "to_complex_dtype",
    "to_inexact_dtype",
    "to_real_dtype",
]


# ---- The dtypes ------------------------------------------------------------------------------------------


class extended(np.generic):
    """Abstract scalar type of dtypes that are no numbers; only for ``issubdtype``."""


class prng_key(extended):
    """Abstract scalar type of random keys; only for ``issubdtype``."""


class _fry(prng_key):
    """Scalar type of threefry keys: keeps the one dtype apart from its category in ``issubdtype``."""


class KeyDType:
    """What users see as the dtype of an array of random keys; prints as ``key<fry>``.

    There is one instance, ``key_dtype``. It equals ``KEY_DTYPE`` and has the same hash.
    """

    __slots__ = ()

    name: ClassVar[str] = "key<fry>"
    itemsize: ClassVar[int] = KEY_DTYPE.itemsize
    type: ClassVar[Any] = prng_key
    _instance: ClassVar[KeyDType | None] = None

    def __new__(cls) -> KeyDType:
        if cls._instance is None:
            cls._instance = object.__new__(cls)
        return cls._instance

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, np.dtype) and bool(other == KEY_DTYPE))

    def __hash__(self) -> int:
        return hash(KEY_DTYPE)

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> str:
        return "key_dtype"


key_dtype: Final = KeyDType()


# The canonical form of each dtype with enable_x64 on, and with it off.
_WIDE: Final[dict[DType, DType]] = {dtype: dtype for dtype in SUPPORTED}
_NARROW: Final[dict[DType, DType]] = {
    **_WIDE,
    np.dtype(np.float64): np.dtype(np.float32),
    np.dtype(np.int64): np.dtype(np.int32),
    np.dtype(np.uint64): np.dtype(np.uint32),
    np.dtype(np.complex128): np.dtype(np.complex64),
}
# NumPy's dtypes for Python's numbers, as (wide, narrow).
_PYTHON_DTYPES: Final[dict[type, tuple[DType, DType]]] = {
    bool: (BOOL, BOOL),
    int: (np.dtype(np.int64), np.dtype(np.int32)),
    float: (np.dtype(np.float64), np.dtype(np.float32)),
    complex: (np.dtype(np.complex128), np.dtype(np.complex64)),
}


def is_bool(dtype: DType) -> bool:
    """Whether ``dtype`` is bool."""
    return dtype == BOOL


def is_integer(dtype: DType) -> bool:
    """Whether ``dtype`` is an integer type, signed or not; bool is none."""
    return dtype in INTEGERS


def is_signed_integer(dtype: DType) -> bool:
    """Whether ``dtype`` is a signed integer type."""
    return dtype in SIGNED


def is_unsigned_integer(dtype: DType) -> bool:
    """Whether ``dtype`` is an unsigned integer type."""
    return dtype in UNSIGNED


def is_floating(dtype: DType) -> bool:
    """Whether ``dtype`` is a real floating-point type of any width, bfloat16 and smaller ones included."""
    return dtype in FLOATS


def is_complex(dtype: DType) -> bool:
    """Whether ``dtype`` is complex64 or complex128."""
    return dtype in COMPLEXES


def is_inexact(dtype: DType) -> bool:
    """Whether ``dtype`` is floating-point or complex: the dtypes whose values have derivatives."""
    return dtype in INEXACT


def is_key(dtype: DType | KeyDType) -> bool:
    """Whether ``dtype`` is that of random keys."""
    return dtype is KEY_DTYPE or dtype == KEY_DTYPE


def is_extended(dtype: DType | KeyDType) -> bool:
    """Whether ``dtype`` is an extended one; random keys have the only one that there is."""
    return dtype is KEY_DTYPE or dtype == KEY_DTYPE


def is_supported(dtype: DType) -> bool:
    """Whether arrays may have this dtype, 64-bit ones included whatever the flag says."""
    return dtype in SUPPORTED


# ---- Conversion to NumPy's dtypes, canonical dtypes --------------------------------------------------------


def as_numpy_dtype(dtype: Any) -> DType:
    """The NumPy dtype meant by a dtype, name, scalar type or Python type; 64-bit types are left alone.

    Raises:
      TypeError: ``dtype`` means no dtype.
    """
    if isinstance(dtype, np.dtype):
        # Files are read with foreign byte orders; arrays in memory are native.
        return dtype if dtype.isnative else dtype.newbyteorder("=")
    if dtype is key_dtype:
        return KEY_DTYPE
    inner = getattr(dtype, "dtype", None)
    if isinstance(inner, np.dtype):  # scalar types of a numpy namespace, such as `pullback.numpy.float32`
        return as_numpy_dtype(inner)
    try:
        return as_numpy_dtype(np.dtype(dtype))
    except TypeError:
        raise DTypeError(
            f"Expected a dtype, like numpy.float32, 'bfloat16' or int, "
            f"but got {dtype!r} of type {type(dtype).__name__}."
        ) from None


def public_dtype(dtype: DType) -> DType | KeyDType:
    """The dtype as users see it: ``key_dtype`` for keys, NumPy's for all others."""
    return key_dtype if dtype == KEY_DTYPE else dtype


def canonicalize_dtype(dtype: Any) -> DType:
    """The dtype that arrays get where ``dtype`` is meant: with enable_x64 off, 64 bits become 32."""
    try:
        found = (_WIDE if settings().enable_x64 else _NARROW).get(dtype)
    except TypeError:  # not hashable, so no dtype: the conversion below says so
        found = None
    if found is not None:
        return found
    converted = as_numpy_dtype(dtype)
    return converted if settings().enable_x64 else _NARROW.get(converted, converted)


def canonicalize_value_dtype(dtype: Any) -> DType:
    """The dtype of the array made from a NumPy value of this dtype, narrowed without a warning.

    Raises:
      DTypeError: arrays cannot have this dtype (objects, strings, dates).
    """
    canonical = canonicalize_dtype(dtype)
    if canonical not in SUPPORTED:
        raise _unsupported(canonical, "")
    return canonical


def python_scalar_dtype(python_type: type) -> DType:
    """The canonical dtype of bool, int, float, complex, or a subclass such as an IntEnum."""
    pair = _PYTHON_DTYPES.get(python_type)
    if pair is None:
        for base in python_type.__mro__:
            if base in _PYTHON_DTYPES:
                pair = _PYTHON_DTYPES[base]
                break
        else:
            raise DTypeError(
                f"Expected one of Python's number types (bool, int, float, complex), but got {python_type!r}."
            )
    return pair[0] if settings().enable_x64 else pair[1]


def default_int_dtype() -> DType:
    """The dtype of Python ints: int64, or int32 where enable_x64 is off."""
    return python_scalar_dtype(int)


def default_float_dtype() -> DType:
    """The dtype of Python floats: float64, or float32 where enable_x64 is off."""
    return python_scalar_dtype(float)


def default_complex_dtype() -> DType:
    """The dtype of Python complex numbers: complex128, or complex64 where enable_x64 is off."""
    return python_scalar_dtype(complex)


def _unsupported(dtype: DType, function_name: str) -> DTypeError:
    requested = f" requested in {function_name}" if function_name else ""
    return DTypeError(
        f"Arrays hold booleans, numbers or random keys, but the dtype{requested} is {dtype.name}. "
        "Keep such data in NumPy arrays or Python lists, and pass numbers that encode it."
    )


_LIBRARY_ROOT: Final = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep


def _user_stack_level() -> int:
    """The ``stacklevel`` with which the caller's warnings name the innermost line outside the library."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_LIBRARY_ROOT):
        frame = frame.f_back
        level += 1
    return level


def check_user_dtype(dtype: Any, function_name: str = "") -> DType:
    """The canonical form of a dtype that the user wrote in a call of ``function_name``.

    Warns:
      UserWarning: a 64-bit dtype is narrowed. Python's ``int``, ``float`` and ``complex`` mean the default
        dtypes and are narrowed silently.

    Raises:
      DTypeError: this is no dtype, or arrays cannot have it.
    """
    if isinstance(dtype, type) and dtype in _PYTHON_DTYPES:
        return python_scalar_dtype(dtype)
    requested = as_numpy_dtype(dtype)
    if requested not in SUPPORTED:
        raise _unsupported(requested, function_name)
    canonical = canonicalize_dtype(requested)
    if canonical != requested:
        where = f" requested in {function_name}" if function_name else ""
        warnings.warn(
            f"Explicitly requested dtype {requested.name}{where} is not available, and will be truncated to "
            f"dtype {canonical.name}. To enable 64-bit dtypes, call config.update('jax_enable_x64', True) "
            "or set the environment variable PULLBACK_ENABLE_X64=1.",
            UserWarning,
            stacklevel=_user_stack_level(),
        )
    return canonical


# ---- Names -------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def short_name(dtype: DType | KeyDType) -> str:
    """The name in printed programs: 'f32', 'i32', 'u8', 'bool', 'bf16', 'c64', 'key<fry>', 'float0'."""
    name = dtype_name(dtype)
    if name in ("bool", "float0", key_dtype.name):
        return name
    for long, short in (("bfloat", "bf"), ("float", "f"), ("uint", "u"), ("int", "i"), ("complex", "c")):
        if name.startswith(long):
            return short + name[len(long) :]
    return name


# ---- Categories --------------------------------------------------------------------------------------------

# NumPy's scalar types of the ml_dtypes extensions are no subclasses of its abstract ones, so here they are.
_ABSTRACT: Final[dict[type, type]] = {
    **{dtype.type: np.signedinteger for dtype in SMALL_SIGNED},
    **{dtype.type: np.unsignedinteger for dtype in SMALL_UNSIGNED},
    **{dtype.type: np.floating for dtype in (*SMALL_FLOATS, BFLOAT16)},
}


def _scalar_type(dtype: Any) -> type:
    if isinstance(dtype, type) and issubclass(dtype, np.generic):
        return dtype
    numpy_dtype = as_numpy_dtype(dtype)
    return _fry if numpy_dtype == KEY_DTYPE else numpy_dtype.type


def issubdtype(a: Any, b: Any) -> bool:
    """Whether the type ``a`` lies in the category ``b``.

    Like ``numpy.issubdtype``, and it also knows the extension types (``issubdtype('bfloat16',
    numpy.floating)``) and random keys (``issubdtype(key.dtype, prng_key)``).
    """
    type_a, type_b = _scalar_type(a), _scalar_type(b)
    if issubclass(type_a, type_b):
        return True
    abstract = _ABSTRACT.get(type_a)
    return abstract is not None and issubclass(abstract, type_b)


def itemsize_bits(dtype: Any) -> int:
    """The number of bits that one element needs; below 8 for the small types, which NumPy pads to bytes."""
    numpy_dtype = as_numpy_dtype(dtype)
    if numpy_dtype in INTEGERS:
        return int(iinfo(numpy_dtype).bits)
    if numpy_dtype in FLOATS:
        return int(finfo(numpy_dtype).bits)
    return numpy_dtype.itemsize * 8


def _python_type(dtype: DType) -> type:
    if dtype == BOOL:
        return bool
    if dtype in INTEGERS:
        return int
    if dtype in FLOATS:
        return float
    if dtype in COMPLEXES:
        return complex
    raise DTypeError(f"No Python number type corresponds to the dtype {dtype_name(dtype)}.")


def scalar_type_of(x: Any) -> type:
    """The Python number type (bool, int, float, complex) of the same kind as the array or dtype ``x``."""
    if x is None:
        raise ValueError("scalar_type_of expects an array, a number or a dtype, but got None.")
    return _python_type(_dtype_and_weak_type(x)[0])


def to_inexact_dtype(dtype: DType) -> DType:
    """``dtype`` itself if inexact; else the float type for it: float64 for 64-bit integers, else float32."""
    if dtype in INEXACT:
        return dtype
    if dtype not in NUMERIC:
        raise DTypeError(f"Expected a dtype of numbers, but got {dtype_name(dtype)}.")
    return np.dtype(np.float64 if dtype.itemsize == 8 else np.float32)


def to_complex_dtype(dtype: DType) -> DType:
    """The complex dtype whose parts hold the values of ``dtype``: complex128 for 64 bits, else complex64."""
    inexact = to_inexact_dtype(dtype)
    if inexact in COMPLEXES:
        return inexact
    return np.dtype(np.complex128 if inexact.itemsize == 8 else np.complex64)


def to_real_dtype(dtype: DType) -> DType:
    """The dtype of the real part: float32 for complex64, float64 for complex128, else ``dtype`` itself."""
    if dtype in COMPLEXES:
        return np.dtype(np.float64 if dtype.itemsize == 16 else np.float32)
    return dtype


# ---- Promotion ---------------------------------------------------------------------------------------------


def _node(dtype: DType, weak_type: bool) -> Node:
    return _python_type(dtype) if weak_type and dtype != BOOL else dtype


def _as_node(dtype: Any) -> Node:
    return dtype if dtype is int or dtype is float or dtype is complex else as_numpy_dtype(dtype)


_promoted: dict[tuple[Any, Any, TraceContext], DType] = {}


def promote_types(a: Any, b: Any) -> DType:
    """The dtype to which the dtypes ``a`` and ``b`` promote.

    Python's ``int``, ``float`` and ``complex`` stand for weak types: ``promote_types('float16', float)`` is
    float16, and a result that is itself weak has NumPy's dtype for it. As in JAX, the result has 64 bits
    where an operand has, even with enable_x64 off.
    """
    key = (a, b, settings().trace_context)
    found = _promoted.get(key)
    if found is None:
        found = _promoted[key] = _compute_promoted(frozenset({_as_node(a), _as_node(b)}))
    return found


def _compute_promoted(nodes: frozenset[Node]) -> DType:
    if len(nodes) == 1:  # equal dtypes need no lattice: that lets random keys through
        only: DType = np.dtype(next(iter(nodes)))
        return only
    node = least_upper_bound(settings().numpy_dtype_promotion, nodes)
    if isinstance(node, type):
        return np.dtype(node)
    dtype: DType = node
    # 64 bits that only arise from combining narrower operands, like uint32 and int32, do not exist.
    return (
        dtype
        if any(_NARROW.get(operand, operand) != operand for operand in nodes)
        else canonicalize_dtype(dtype)
    )


_lattice_results: dict[tuple[TraceContext, tuple[tuple[DType, bool], ...]], tuple[DType, bool]] = {}


def lattice_result_type(*args: tuple[DType, bool]) -> tuple[DType, bool]:
    """The (dtype, weak type) to which operands, each given as (dtype, weak type), promote.

    The result is canonical; operands are taken as they are, as arrays have canonical dtypes already.

    Raises:
      TypePromotionError: the operands have no common type.
    """
    key = (settings().trace_context, args)
    found = _lattice_results.get(key)
    if found is None:
        found = _lattice_results[key] = _compute_lattice_result_type(args)
    return found


def _compute_lattice_result_type(args: tuple[tuple[DType, bool], ...]) -> tuple[DType, bool]:
    if not args:
        raise ValueError("At least one array or dtype is needed to find a result type.")
    mode = settings().numpy_dtype_promotion
    dtypes = frozenset(dtype for dtype, _ in args)
    all_weak = all(weak for _, weak in args)
    if len(dtypes) == 1:
        result: Node = next(iter(dtypes))
        weak_type = all_weak
    elif all_weak and mode != "strict":
        # Weak operands keep their own precisions among themselves.
        result = least_upper_bound(mode, dtypes)
        weak_type = True
    else:
        result = least_upper_bound(mode, frozenset(_node(dtype, weak) for dtype, weak in args))
        weak_type = isinstance(result, type)
    dtype = canonicalize_dtype(result)
    return dtype, weak_type and dtype != BOOL


def _dtype_and_weak_type(x: Any) -> tuple[DType, bool]:
    """The canonical dtype of an array, number or dtype, and whether it is weak."""
    if isinstance(x, type) and x in _PYTHON_DTYPES:
        return python_scalar_dtype(x), x is not bool
    if isinstance(x, (bool, int, float, complex)) and not isinstance(x, np.generic):
        return python_scalar_dtype(type(x)), not isinstance(x, bool)
    if isinstance(x, (np.dtype, KeyDType, str, type)) or x is None:
        return canonicalize_value_dtype(x), False
    dtype = getattr(x, "dtype", None)
    if isinstance(dtype, (np.dtype, KeyDType)):
        return canonicalize_value_dtype(dtype), bool(getattr(x, "weak_type", False))
    raise DTypeError(
        f"Expected arrays, numbers or dtypes, but got {x!r} of type {type(x).__name__}; "
        "convert lists and tuples to arrays first."
    )


def result_type(*args: Any, return_weak_type_flag: bool = False) -> Any:
    """The dtype that an operation on ``args`` (arrays, numbers, dtypes) has, by promotion.

    Returns:
      The canonical dtype, or the pair (dtype, whether it is weak) with ``return_weak_type_flag``.
    """
    dtype, weak_type = lattice_result_type(*map(_dtype_and_weak_type, args))
    if weak_type:
        # A weak result is a Python number in disguise, so it has that number's dtype.
        dtype = python_scalar_dtype(_python_type(dtype))
    return (dtype, weak_type) if return_weak_type_flag else dtype
