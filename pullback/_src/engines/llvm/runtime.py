"""The native runtime: memory, threads, interrupts and calls, one module of LLVM IR linked once per process.

`native()` makes it, when the first program is compiled. Nothing of it is ever freed: arrays give their
memory back through it, and threads wait in it, until the process ends.
"""

from __future__ import annotations

import contextvars
import ctypes
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np

from ...base.config import changes, settings
from ...core.array import ConcreteArray, DeletedArray
from ...core.axis_env import _sizes, bound_axes
from ...core.trace import CURRENT, EVAL
from . import cache as disk
from . import generation, jit, layout
from .blas_ir import BLAS_IR
from .entry_ir import ENTRY_IR
from .generation_ir import GENERATION_IR
from .half import HALF_FUNCTIONS, HALF_IR
from .heap import HEAP_IR
from .interrupts import POLL_IR
from .python_ir import PYTHON_IR
from .sorting_ir import ROUTINES
from .sorting_ir import text as sorting_text
from .threads import MAX_THREADS, THREADS_IR
from .trees_ir import TREES_IR
from .values_ir import VALUES_IR

_X86_IR = """
declare i64 @llvm.readcyclecounter()
declare void @llvm.x86.sse2.pause()
define internal void @pause() {
  call void @llvm.x86.sse2.pause()
  ret void
}
define internal i64 @ticks() {
  %now = call i64 @llvm.readcyclecounter()
  ret i64 %now
}
"""

_OTHER_IR = """
define internal void @pause() {
  ret void
}
define internal i64 @ticks() {
  %time = alloca {i64, i64}
  %status = call i32 @clock_gettime(i32 $CLOCK_MONOTONIC, ptr %time)
  %seconds = load i64, ptr %time
  %nano_place = getelementptr i64, ptr %time, i64 1
  %nano = load i64, ptr %nano_place
  %scaled = mul i64 %seconds, 1000000000
  %now = add i64 %scaled, %nano
  ret i64 %now
}
"""

# What compiled programs may call.
_FOR_PROGRAMS = (
    "pb_parallel", "pb_parallel_few", "pb_poll", "pb_arena_take", "pb_arena_give",
    "pb_blas_begin", "pb_blas_end", "pb_product", "pb_products", *HALF_FUNCTIONS,
)  # fmt: skip
_FOR_PYTHON = (
    "pb_entry_method",
    "pb_handler",
    "pb_set_main_thread",
    "pb_set_threads",
    "pb_workers_started",
    "pb_take_pending",
    "pb_release_memory",
    "pb_memory_limit",
    "pb_memory_statistics",
    "pb_fork_before",
    "pb_fork_in_parent",
    "pb_fork_in_child",
    "pb_blas_get_threads",
    "pb_blas_set_threads",
    "pb_generate_start",
    "pb_generate_wait",
    "pb_generate_finish",
)


MOST_GENERATORS = 8  # threads that compile a program


def _text() -> str:
    """The runtime's module. It holds no addresses, so its object code can be kept on disk."""
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    clock = _X86_IR if is_x86 else _OTHER_IR
    parts = (
        HALF_IR, HEAP_IR, THREADS_IR, POLL_IR, PYTHON_IR, VALUES_IR, TREES_IR, ENTRY_IR, BLAS_IR,
        GENERATION_IR, clock,
    )  # fmt: skip
    values = {
        "$HEAP_LIMIT": str(_memory() // 8),
        "$MADV_HUGEPAGE": "14",
        "$SIG_SETMASK": str(int(signal.SIG_SETMASK)),
        "$CLOCK_MONOTONIC": "6" if sys.platform == "darwin" else "1",
        "$LONG_TICKS": "100000" if is_x86 else "40000",  # about 40 microseconds
        "$POLL_TICKS": "100000000" if is_x86 else "50000000",  # cycles of 2 to 5 GHz, or nanoseconds
    }
    text = "\n".join(parts)
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def _memory() -> int:
    """The machine's memory in bytes."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 1 << 32


class Native:
    """The linked runtime.

    Attributes:
        symbols: the functions that programs may call, by name.
        problem: why native entries cannot be used here, or None.
    """

    def __init__(self) -> None:
        if os.name != "posix":
            raise NotImplementedError(
                "compiled programs need POSIX threads, which this operating system does not have; choose the "
                "NumPy engine"
            )
        self.problem = layout.problem()
        # The handler's capsule must exist before code that refers to it is linked, and it refers to the
        # code. So it is made around a structure of Python's, which is filled in afterwards.
        self._handler = jit.keep_forever(ctypes.create_string_buffer(128 + 5 * 8))
        capsule = jit.keep_forever(_new_capsule(self._handler))
        of_llvm = {name: jit.function_address(name, n) for name, n in generation.FUNCTIONS.items()}
        self._linked = jit.keep_forever(
            jit.link(
                disk.compiled(_text(), opt=0),  # more effort takes 65 ms longer and saves 20 ns a call
                {
                    "concrete_type": id(ConcreteArray),
                    "deleted_type": id(DeletedArray),
                    "array_type": id(np.ndarray),
                    "new_array": layout.new_from_descr(),
                    "handler_capsule": id(capsule),
                    "trace_variable": id(CURRENT),
                    "trace_evaluation": id(EVAL),
                    "settings_variable": id(settings.__self__),  # type: ignore[attr-defined]  # of a builtin
                    "axes_variable": id(_sizes),
                    "axes_none": id(_no_axes()),
                    "config_changes": changes.buffer_info()[0],
                    **{name: address or 0 for name, address in of_llvm.items()},
                },
                _FOR_PROGRAMS + _FOR_PYTHON,
            )
        )
        ctypes.memmove(self._handler, self._linked.address("pb_handler"), len(self._handler))
        self.symbols = {name: self._linked.address(name) for name in _FOR_PROGRAMS}
        sorting = jit.keep_forever(jit.link(disk.compiled(sorting_text(), opt=1), self.symbols, ROUTINES))
        self.symbols |= {name: sorting.address(name) for name in ROUTINES}
        self._method = self._linked.address("pb_entry_method")
        self.function("pb_set_main_thread", None, ctypes.c_uint64)(threading.main_thread().ident)
        self.function("pb_set_threads", None, ctypes.c_int64)(thread_count())
        self.take_pending = self.function("pb_take_pending", ctypes.c_int)
        self.set_threads = self.function("pb_set_threads", None, ctypes.c_int64)
        os.register_at_fork(
            before=self.function("pb_fork_before", None),
            after_in_parent=self.function("pb_fork_in_parent", None),
            after_in_child=self.function("pb_fork_in_child", None),
        )
        # Before a fork, hooks run from the last one to the first: what waits must not hold the heap's lock.
        if all(of_llvm.values()):
            driver = generation.Driver(
                self.function("pb_generate_start", None, ctypes.c_void_p, ctypes.c_int64),
                self._waiting("pb_generate_wait", ctypes.c_void_p),
                self._waiting("pb_generate_finish"),
                lambda: min(thread_count(), MOST_GENERATORS) - 1,
            )
            generation.install(driver)

    def symbols_for(self, names: Iterable[str]) -> dict[str, int]:
        """The addresses of those of the names that are the runtime's, and of what LLVM may call by itself."""
        known = self.symbols
        return {name: known[name] for name in (*HALF_FUNCTIONS, *names) if name in known}

    def function(self, name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
        """A function of the runtime for calls from Python (which keep the GIL)."""
        return ctypes.PYFUNCTYPE(result, *arguments)(self._linked.address(name))

    def _waiting(self, name: str, *arguments: Any) -> Callable[..., Any]:
        """A function of the runtime that waits for other threads, without the GIL."""
        return ctypes.CFUNCTYPE(None, *arguments)(self._linked.address(name))

    def place(self, name: str) -> int:
        """The address of a variable of the runtime."""
        return self._linked.address(name)

    def new_function(self, table: Any) -> Callable[..., Any]:
        """The entry whose `__self__` is `table`."""
        if self.problem is not None:
            raise NotImplementedError(f"programs have no native entries here: {self.problem}")
        function: Callable[..., Any] = _new_builtin(self._method, table, None)
        return function


_new_builtin = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)(
    ("PyCFunction_NewEx", ctypes.pythonapi)
)


def _new_capsule(block: Any) -> Any:
    new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(
        ("PyCapsule_New", ctypes.pythonapi)
    )
    name = jit.keep_forever(ctypes.create_string_buffer(b"mem_handler"))
    return new(ctypes.addressof(block), ctypes.addressof(name), None)


def _no_axes() -> Any:
    """The value of the variable of bound axes where none is bound."""
    return contextvars.Context().run(bound_axes)


@cache
def _native() -> Native:
    return Native()


def native() -> Native:
    """The runtime, linked on first use."""
    with jit.lock:
        return _native()


@cache
def _cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def thread_count() -> int:
    """How many threads a program may use here: the flag `num_threads`, or the CPUs of the process."""
    return min(settings().num_threads or _cpus(), MAX_THREADS)


def release_memory() -> None:
    """Give the memory that is kept for reuse back to the operating system."""
    native().function("pb_release_memory", None)()


def set_memory_limit(number: int) -> None:
    """Keep at most this many bytes of freed memory for reuse (an eighth of the machine's by default)."""
    native().function("pb_memory_limit", None, ctypes.c_int64)(number)


def memory_statistics(*, reset_peak: bool = False) -> dict[str, int]:
    """Bytes of results and arenas: in use, at their peak, and kept (only blocks of 64 KiB or more)."""
    out = (ctypes.c_int64 * 3)()
    native().function("pb_memory_statistics", None, ctypes.c_void_p, ctypes.c_int)(
        ctypes.addressof(out), reset_peak
    )
    return {"used": out[0], "peak": out[1], "kept": out[2]}


def workers_started() -> int:
    """How many threads the pool has started so far."""
    count: int = native().function("pb_workers_started", ctypes.c_int64)()
    return count
