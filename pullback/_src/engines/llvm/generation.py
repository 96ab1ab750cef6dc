"""Code generation in parts, by native threads (`generation_ir.py`).

A module's text may have several *parts*, each a module by itself, with a separator between them. A program
is cut while it is lowered (`module.py`), so LLVM is at work on the first parts while Python writes the next.
What becomes of them is linked together (`jit.link`) and kept together on disk.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from . import jit
from .module import SEPARATOR

FUNCTIONS = {
    "LLVMPY_ContextCreate": 0,
    "LLVMPY_ContextDispose": 1,
    "LLVMPY_CreateTargetMachine": 10,
    "LLVMPY_DisposeTargetMachine": 1,
    "LLVMPY_ParseAssembly": 3,
    "LLVMPY_SetTarget": 2,
    "LLVMPY_VerifyModule": 2,
    "LLVMPY_TargetMachineEmitToMemory": 4,
    "LLVMPY_DisposeModule": 1,
}
"""What the native threads call of LLVM, with the numbers of arguments."""


class _Job(ctypes.Structure):
    _fields_ = (
        ("state", ctypes.c_int64),
        ("text", ctypes.c_char_p),
        ("target", ctypes.c_void_p),
        ("triple", ctypes.c_char_p),
        ("cpu", ctypes.c_char_p),
        ("features", ctypes.c_char_p),
        ("effort", ctypes.c_int64),
        ("object", ctypes.c_void_p),
        ("error", ctypes.c_void_p),
    )


class Driver(NamedTuple):
    """The native functions, and how many threads may be at work beside the caller's."""

    start: Callable[[Any, int], None]
    wait: Callable[[Any], None]
    finish: Callable[[], None]
    threads: Callable[[], int]


_driver: list[Driver] = []
_starting = threading.Lock()  # held around a fork, so that none is made while LLVM is at work


def install(driver: Driver) -> None:
    """Have the native threads do the work; called once, when the runtime has been linked."""
    _driver.append(driver)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_pause, after_in_parent=_resume, after_in_child=_resume)
    atexit.register(driver.finish)


def _pause() -> None:
    jit.lock.acquire()  # who has it may start tasks
    _starting.acquire()
    _driver[0].finish()


def _resume() -> None:
    _starting.release()
    jit.lock.release()


class Task:
    """The object code of one part, in the making.

    Args:
        text: the part.
        opt: the effort of the code generator, 0 to 3.
    """

    __slots__ = ("_finished", "_job")

    def __init__(self, text: str, opt: int) -> None:
        triple, name, features = jit.host()
        self._job = _Job(
            text=text.encode(),
            target=jit.target(),
            triple=triple.encode(),
            cpu=name.encode(),
            features=features.encode(),
            effort=opt,
        )
        self._finished = False
        driver = _driver[0]
        with _starting:
            driver.start(ctypes.byref(self._job), driver.threads())

    def result(self) -> bytes:
        """The object code, when it is done; to be called once.

        Raises:
            CompileError: the text is no valid module.
        """
        job = self._job
        _driver[0].wait(ctypes.byref(job))
        self._finished = True
        return jit.taken(job.object, job.error)

    def __del__(self, exiting: list[bool] = jit.exiting) -> None:
        # The job's memory is in use until it is done, which all jobs are when the process exits.
        if not self._finished and not exiting:
            with suppress(jit.CompileError):
                self.result()


_NOTHING = "define void @nothing() {\nret void\n}\n"
_prepared: list[Task] = []


def _prepare() -> None:
    """Have a thread of a process's first stream make what the first task needs, while Python has no part yet.

    A target machine, what LLVM builds when one is used, and the thread's memory take about 3 ms.
    """
    if _driver and not _prepared and _driver[0].threads():
        _prepared.append(Task(_NOTHING, 0))


class Stream:
    """The parts of a module that is being written: each is compiled as soon as it comes.

    Args:
        opt: the effort of the code generator, 0 to 3, or a function that is asked when the first part comes.
    """

    def __init__(self, opt: int | Callable[[], int]) -> None:
        _prepare()
        self._opt = opt
        self._tasks: dict[str, Task] = {}

    def add(self, *parts: str) -> None:
        """Begin to compile some parts."""
        if callable(self._opt):
            self._opt = self._opt()
        if _driver:
            self._tasks.update([(part, Task(part, self._opt)) for part in parts])

    def take(self, part: str, opt: int) -> Task | None:
        """The task that compiles a part with this effort, if there is one."""
        return self._tasks.pop(part, None) if opt == self._opt else None


def object_code(text: str, *, opt: int = 1, stream: Stream | None = None) -> bytes:
    """The object code of a module, whose parts several threads compile.

    Args:
        text: its parts, `SEPARATOR` between them.
        opt: the effort of the code generator, 0 to 3.
        stream: where parts may have been compiled already.

    Raises:
        CompileError: the text is no valid module.
    """
    parts = text.split(SEPARATOR)
    begun = [stream.take(part, opt) if stream else None for part in parts]
    if not _driver or begun == [None]:
        return by_itself(text, opt=opt)
    tasks = [task or Task(part, opt) for part, task in zip(parts, begun, strict=True)]
    return jit.together([task.result() for task in tasks])


def by_itself(text: str, *, opt: int = 1) -> bytes:
    """As `object_code`, by the calling thread alone, one part after the other."""
    return jit.together([jit.compile_ir(part, opt=opt) for part in text.split(SEPARATOR)])
