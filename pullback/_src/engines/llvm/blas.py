"""BLAS and LAPACK for compiled programs: where their routines are, and calls of them in LLVM IR.

The routines are those that NumPy or SciPy bring along. Their wheels hold OpenBLAS as a shared library of
its own; NumPy's is in the process anyway. Where there is none (NumPy built against another BLAS), the
pointers are those that SciPy exports to Cython. The two differ in the size of integers, which programs know
when they are written.

Threads. OpenBLAS would share a large product among its own threads: in another order of sums for another
number of them, and beside the threads of the program. So while a program is in a routine, OpenBLAS is set to
one thread (`alone`), and large products are cut into tiles, given by the shapes, which the program's threads
share. The setting is the process's: the first program that enters a routine makes it and the last one that
leaves restores it, which takes tens of nanoseconds when nobody else is inside. Other threads that call NumPy
in the meantime get correct results from one thread.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np

from . import dynamic, runtime
from .ir import Emitter, Value, literal_text

PREFIX = "pb_lapack_"  # of routines' names in programs
LETTERS = {"f": "s", "d": "d", "F": "c", "D": "z"}


class Library:
    """Where the routines are.

    Attributes:
        integer: the type of the routines' integers: `i64` or `i32`.
    """

    def __init__(self) -> None:
        self.integer = "i32"
        self._pattern = ""
        self._shared = 0  # a handle
        self._get_threads = 0  # the address of the function
        for path in _candidates():
            try:
                shared = dynamic.opened(path)
            except OSError:
                continue
            for pattern, integer in (("scipy_{}_64_", "i64"), ("{}_64_", "i64"), ("scipy_{}_", "i32")):
                if all(dynamic.find(shared, pattern.format(name)) for name in ("sgemm", "zheevd")):
                    self._shared, self._pattern, self.integer = shared, pattern, integer
                    self._control(shared)
                    return

    def _control(self, shared: int) -> None:
        """Make the functions that set the number of threads."""
        for pattern in (
            "scipy_openblas_{}_num_threads64_",
            "openblas_{}_num_threads64_",
            "scipy_openblas_{}_num_threads",
        ):
            functions = {kind: dynamic.find(shared, pattern.format(kind)) for kind in ("get", "set")}
            if all(functions.values()):
                for kind, address in functions.items():
                    place = runtime.native().place(f"pb_blas_{kind}_threads")
                    ctypes.c_uint64.from_address(place).value = address
                self._get_threads = functions["get"]
                return

    @property
    def controlled(self) -> bool:
        """Whether the number of threads can be set."""
        return self._get_threads != 0

    def threads(self) -> int:
        """How many threads the library uses outside of programs (1 if that is not known)."""
        return int(ctypes.CFUNCTYPE(ctypes.c_int)(self._get_threads)()) if self.controlled else 1

    def address(self, routine: str) -> int:
        """The address of a routine such as `sgemm`."""
        found = dynamic.find(self._shared, self._pattern.format(routine)) if self._shared else 0
        return found or _exported(routine)


def _candidates() -> Iterator[str]:
    """Shared libraries that have the routines or need the one that has them: NumPy, and what wheels bring."""
    array = sys.modules.get("numpy._core._multiarray_umath")
    if array is not None and array.__file__:
        yield array.__file__
    site = os.path.dirname(os.path.dirname(np.__file__))
    for name in ("numpy", "scipy"):
        for folder in (os.path.join(site, f"{name}.libs"), os.path.join(site, name, ".dylibs")):
            with suppress(OSError):
                found = [file for file in os.listdir(folder) if "openblas" in file]
                yield from [os.path.join(folder, file) for file in sorted(found)]


def _exported(routine: str) -> int:
    """The address that SciPy exports to Cython."""
    from scipy.linalg import cython_blas, cython_lapack

    for module in (cython_blas, cython_lapack):
        capsule = module.__pyx_capi__.get(routine)
        if capsule is not None:
            name = ctypes.pythonapi.PyCapsule_GetName
            name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
            pointer = ctypes.pythonapi.PyCapsule_GetPointer
            pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
            return int(pointer(capsule, name(capsule)))
    raise LookupError(f"neither BLAS nor LAPACK has a routine {routine}")


_lock = threading.Lock()


@cache
def _library() -> Library:
    return Library()


def library() -> Library:
    """The library, found at the first call."""
    with _lock:
        return _library()


def symbols(names: Iterable[str]) -> dict[str, int]:
    """The addresses of those of the names that programs know routines by."""
    wanted = [n for n in names if n.startswith(PREFIX)]
    if not wanted:
        return {}
    found = library()
    return {n: found.address(n.removeprefix(PREFIX)) for n in wanted}


# Calls ------------------------------------------------------------------------------------------------


def letter(dtype: np.dtype[Any]) -> str | None:
    """The first letter of the routines for a dtype, or None if there are none."""
    return LETTERS.get(dtype.char)


@contextmanager
def alone(e: Emitter) -> Iterator[None]:
    """Code in which BLAS keeps to the calling thread; not around a parallel loop, which may be left early."""
    controlled = library().controlled
    if controlled:
        e.module.declare("pb_blas_begin", "void", [])
        e.line("call void @pb_blas_begin()")
    yield
    if controlled:
        e.module.declare("pb_blas_end", "void", [])
        e.line("call void @pb_blas_end()")


class Constant(NamedTuple):
    """A constant that programs give a routine the address of: its name, and its type and value."""

    name: str
    text: str

    def address(self, e: Emitter) -> Value:
        """Its address in a module."""
        if self.name not in e.module.globals:
            e.module.globals[self.name] = f"@{self.name} = internal constant {self.text}, align 16"
        return Value(f"@{self.name}", "ptr", 1, 0)


@lru_cache(maxsize=256)
def _number(value: float, sign: float, elem: str) -> Constant:
    bits = literal_text(value, elem)
    zero = literal_text(0.0, elem)
    return Constant(f"number.{elem}.{bits}", f"[2 x {elem}] [{elem} {bits}, {elem} {zero}]")


@lru_cache(maxsize=1024)
def _integer(value: int, elem: str) -> Constant:
    return Constant(f"int.{elem}.{value}".replace("-", "m"), f"{elem} {value}")


def number(e: Emitter, value: float, dtype: np.dtype[Any]) -> Value:
    """The address of a real number as a constant of the dtype."""
    return _number(value, math.copysign(1.0, value), "float" if dtype.char in "fF" else "double").address(e)


def integer(e: Emitter, value: int | Value) -> Value:
    """The address of an integer in the library's size."""
    elem = library().integer
    if isinstance(value, int):
        return _integer(value, elem).address(e)
    if value.name[0] != "%":
        return integer(e, int(value.name))
    place = e.stack(elem, 1)
    narrow = value if elem == value.elem else e.convert("trunc", value, elem)
    e.line(f"store {narrow.typed}, ptr {place.name}, align 4")
    return place


Argument = int | str | Value


def call(e: Emitter, routine: str, arguments: Sequence[Argument]) -> None:
    """Call a routine. Integers and letters are passed by their addresses; values of type i64 too, pointers as
    they are. Fortran's lengths of the letters come last."""
    texts = []
    for a in arguments:
        if isinstance(a, str):
            place = Constant(f"letter.{a}", f"i8 {ord(a)}").address(e)
        elif isinstance(a, int) or a.elem == "i64":
            place = integer(e, a)
        else:
            place = e.local(a)
        texts.append(f"ptr {place.name}")
    texts += ["i64 1" for a in arguments if isinstance(a, str)]
    if PREFIX + routine not in e.module.declarations:
        e.module.declare(PREFIX + routine, "void", [t.split(" ")[0] for t in texts])
    e.line(f"call void @{PREFIX}{routine}({', '.join(texts)})")


__all__ = ["Library", "alone", "call", "integer", "letter", "library", "number", "symbols"]
