"""Where native code finds what it needs in objects of Python and NumPy, and whether it is really there.

The native entry reads and writes a few fields at fixed offsets. They belong to the stable binary interfaces
of CPython and NumPy 2 and to our own class, but a free-threaded or debug build of Python lays objects out
differently. So each is looked at once, on real objects; if one is not as expected, programs are called in a
slower way that needs none of this (`executable.py`).
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from typing import Any

import numpy as np

from ...core.array import ConcreteArray, wrap

# Bytes from the start of an object. The numbers stand in the text of `entry.py` too.
TYPE = 8
CONCRETE_DATA, CONCRETE_AVAL = 16, 24
ARRAY_DATA, ARRAY_NDIM, ARRAY_DIMS, ARRAY_BASE, ARRAY_DTYPE, ARRAY_FLAGS, ARRAY_HANDLER = (
    16,
    24,
    32,
    48,
    56,
    64,
    88,
)

# Places in the table of NumPy's C functions.
_ABI_VERSION, _ARRAY_TYPE, _NEW_FROM_DESCR, _GET_HANDLER = 0, 2, 94, 305


def numpy_function(place: int) -> int:
    """The address of a function (or type) of NumPy's C interface."""
    get = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    module = importlib.import_module("numpy._core._multiarray_umath")
    table = get(module._ARRAY_API, None)
    return ctypes.c_uint64.from_address(table + 8 * place).value


def new_from_descr() -> int:
    """The address of `PyArray_NewFromDescr`."""
    return numpy_function(_NEW_FROM_DESCR)


def problem() -> str | None:
    """What is not where native code expects it, or None."""
    if (
        sys.implementation.name != "cpython"
        or ctypes.sizeof(ctypes.c_void_p) != 8
        or sys.byteorder != "little"
    ):
        return "this is no 64-bit little-endian CPython"
    if np.ndarray.__basicsize__ < 96 or ConcreteArray.__basicsize__ < 32:
        return "objects are smaller than expected"
    if not hasattr(np, "_core") or int(np.__version__.split(".")[0]) != 2:
        return f"NumPy {np.__version__} may lay arrays out differently"
    if numpy_function(_ARRAY_TYPE) != id(np.ndarray):
        return "NumPy's table of C functions is not as expected"
    if ctypes.CFUNCTYPE(ctypes.c_uint)(numpy_function(_ABI_VERSION))() >> 24 != 2:
        return "NumPy's binary interface is not version 2"
    owner = np.arange(24, dtype=np.float32).reshape(2, 3, 4).copy()
    view = owner[:, 1:, ::2]
    array, lone = wrap(owner), wrap(np.zeros(3))
    handler = ctypes.PYFUNCTYPE(ctypes.py_object)(numpy_function(_GET_HANDLER))()
    checks = {
        "the number of an object's references": ctypes.c_int32.from_address(_word(lone, CONCRETE_DATA)).value
        == 1,
        "the type of an object": _word(owner, TYPE) == id(np.ndarray),
        "an array's buffer": _word(array, CONCRETE_DATA) == id(owner),
        "an array's type": _word(array, CONCRETE_AVAL) == id(array.aval),
        "a buffer's address": _word(owner, ARRAY_DATA) == owner.ctypes.data
        and _word(view, ARRAY_DATA) == view.ctypes.data,
        "a buffer's number of dimensions": _word(owner, ARRAY_NDIM) & 0xFFFFFFFF == 3,
        "a buffer's dimensions": tuple((ctypes.c_int64 * 3).from_address(_word(view, ARRAY_DIMS)))
        == (2, 2, 2),
        "a buffer's owner": _word(owner, ARRAY_BASE) == 0 and _word(view, ARRAY_BASE) == id(owner),
        "a buffer's dtype": _word(owner, ARRAY_DTYPE) == id(owner.dtype),
        "a buffer's flags": _flags(owner) == owner.flags.num and _flags(view) == view.flags.num,
        "a buffer's allocator": _word(owner, ARRAY_HANDLER) == id(handler)
        and _word(view, ARRAY_HANDLER) == 0,
    }
    return next((f"{what} is not where it was expected" for what, good in checks.items() if not good), None)


def _word(value: Any, offset: int) -> int:
    return ctypes.c_uint64.from_address(id(value) + offset).value


def _flags(array: np.ndarray[Any, Any]) -> int:
    return ctypes.c_int32.from_address(id(array) + ARRAY_FLAGS).value
