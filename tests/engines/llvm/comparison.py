"""Running functions on the LLVM engine and on the NumPy engine, with exact comparison and guarded memory."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from typing import Any

import numpy as np

import pullback as pb
import pullback.numpy as jnp
from pullback._src.core import engine as registry
from pullback._src.core.array import ConcreteArray
from pullback._src.engines.llvm import lowerings  # noqa: F401 (fills the table)
from pullback._src.engines.llvm.engine import Compilation

Arrays = list[np.ndarray[Any, Any]]


def both(f: Callable[..., Any], *args: Any, guard: bool = False) -> tuple[Arrays, Arrays, Compilation]:
    """The results of `f` in native code, those of the NumPy engine, and the compilation.

    guard: the arguments end right before memory that cannot be read or written, or begin right after it.
    """
    args = pb.tree_util.tree_map(jnp.asarray, args)
    staged = pb.jit(f).stage(args, {})
    program = staged.open_program
    values = [*staged.consts, *pb.tree_util.tree_leaves(args)]
    compilation = Compilation(program)
    executable = compilation.finish()
    native = [_numbers(a) for a in executable(values)]
    reference = [_numbers(a) for a in registry.get("numpy").compile(program)(values)]
    if guard:
        for end in (True, False):
            guarded = [guarded_copy(a, end) for a in values]
            again = [_numbers(a) for a in executable(guarded)]
            for x, y in zip(again, native, strict=True):
                np.testing.assert_array_equal(x, y)
            for x, y in zip(guarded, values, strict=True):
                np.testing.assert_array_equal(_numbers(x), _numbers(y))  # arguments are never modified
    return native, reference, compilation


def _numbers(a: Any) -> np.ndarray[Any, Any]:
    data: np.ndarray[Any, Any] = a._data
    if data.dtype.names:
        return data["fry"]
    return data.astype(np.float32) if data.dtype.kind == "V" else data


def agree(
    f: Callable[..., Any], *args: Any, rtol: float = 0, host: int = 0, guard: bool = False
) -> Compilation:
    """Assert that both engines' results are equal (or close), in native code with `host` host calls."""
    native, reference, compilation = both(f, *args, guard=guard)
    assert len(compilation.lowering.host_calls) == host
    assert len(native) == len(reference)
    for got, expected in zip(native, reference, strict=True):
        assert got.dtype == expected.dtype
        assert got.shape == expected.shape
        if rtol:
            scale = np.max(np.abs(expected[np.isfinite(expected)]), initial=0)
            np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol * scale)
        else:
            np.testing.assert_array_equal(got, expected)
    return compilation


_libc = ctypes.CDLL(None, use_errno=True)
_kept: list[Any] = []


def guarded_copy(array: ConcreteArray, end: bool) -> ConcreteArray:
    """A copy of an array whose memory ends (or begins) at a page that must not be touched."""
    data = array._data
    page = mmap.PAGESIZE
    pages = max(-(-data.nbytes // page), 1)
    region = mmap.mmap(-1, (pages + 2) * page)
    _kept.append(region)
    start = ctypes.addressof(ctypes.c_char.from_buffer(region))
    _libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for guard in (start, start + (pages + 1) * page):
        if _libc.mprotect(guard, page, 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    offset = page + (pages * page - data.nbytes if end else 0)
    copy = np.frombuffer(region, np.uint8, data.nbytes, offset).view(data.dtype).reshape(data.shape)
    copy[...] = data
    return ConcreteArray(copy, array.aval)


__all__ = ["agree", "both", "guarded_copy"]
