"""How much effort goes into a program's code, and when.

LLVM's code generator takes less than half of the time at its lowest level, and the code takes about a third
longer. So a program is compiled at the lowest level first. When it has been called often enough it is *hot*:
a thread in the background compiles it once more, at the level that it deserves, and changes the addresses in
its entries. Results are the same bit for bit, because what is rounded where is said by the module's text
(`ir.py`), and so is everything else that one can see of a program but its speed.

A program whose first call is expected to lose more than it gains by this, or that may run for ever, is
compiled at the higher level at once (a loop that counts its turns up to a limit in the code does not run for
ever: `control.most_turns`); so are all programs if the flag `background_compilation` is off.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ...base.config import background_compilation
from . import cache, generation, jit

if TYPE_CHECKING:
    from .blueprint import ModuleText
    from .executable import Executable
    from .module import Module

SHORT_TEXT = 150  # lines without branches, which registers are enough for
LONG_TEXT = 4000  # lines without loops
SAVED = 40_000.0  # ns that a line of the text takes less to compile at the lowest level
LOST = 0.3  # of the time of a run, by the lowest level
PATIENCE = 100  # calls after which a program is hot, however short they are
STRAIGHT_PATIENCE = 1000  # likewise without loops: a call takes a microsecond, of which little is saved


class Tiers(NamedTuple):
    """The levels of the code generator for a program: at first, and when it is hot."""

    first: int
    hot: int


def tiers(module: Module, lines: int, straight: bool = False) -> Tiers:
    """The levels for a module with so many lines; `straight` if it has no branches."""
    # Short straight code is the same at all levels. Where values are more than registers, the lowest level
    # moves them twice as often; in long code, finding better places takes time that grows faster than it.
    if not module.loops and (lines > LONG_TEXT or (lines <= SHORT_TEXT and straight)):
        return Tiers(0, 0)
    if not background_compilation.value or module.work * LOST > lines * SAVED:
        return Tiers(1, 1)
    return Tiers(0, 1)


class Promotion:
    """The way of a program's code to a higher level; called when the program is hot.

    Args:
        executable: the program; nothing happens if it is gone meanwhile.
        module: its text.
        symbols: of the module.
        level: of the code generator.
    """

    __slots__ = ("_executable", "_folder", "_level", "_module", "_symbols")

    def __init__(
        self, executable: Executable, module: ModuleText, symbols: Mapping[str, int], level: int
    ) -> None:
        self._executable = weakref.ref(executable)
        self._module = module
        self._symbols = symbols
        self._level = level
        self._folder = cache.folder_now()

    def __call__(self) -> None:
        """Have it compiled in the background."""
        _submit(self)

    def carry_out(self) -> None:
        """Compile it and change the executable's code."""
        if self._executable() is None:
            return
        start = time.perf_counter()
        text, level = self._module.text, self._level
        machine_code, known = cache.compiled_in(
            self._folder, text, level, lambda: generation.by_itself(text, opt=level)
        )
        code = jit.link(machine_code, self._symbols, ("program",))
        executable = self._executable()
        if executable is not None:
            executable.replace(code)
            executable.report += (
                "; when it was hot, code from the cache on disk"
                if known
                else f"; when it was hot, code generation with more effort {_ms(start):.1f} ms"
            )


def _ms(start: float) -> float:
    return 1e3 * (time.perf_counter() - start)


def calls_until_hot(module: Module, lines: int) -> int:
    """After how many calls the program has run for as long as the higher level takes longer to compile it.

    What it does in libraries and in the engine's own routines is as quick at either level: it does not count.
    """
    most = PATIENCE if module.loops else STRAIGHT_PATIENCE
    return max(2, min(most, round(lines * SAVED / (module.work + 1.0))))


_waiting: deque[Promotion] = deque()
_changed = threading.Condition()
_worker: threading.Thread | None = None
_exiting = False


def _submit(promotion: Promotion) -> None:
    global _worker
    with _changed:
        _waiting.append(promotion)
        if _worker is None:
            _worker = threading.Thread(target=_work, name="pullback-compiler", daemon=True)
            _worker.start()
        _changed.notify_all()


def _work() -> None:
    while True:
        with _changed:
            _changed.wait_for(lambda: _waiting or _exiting)
            if _exiting:
                return
            promotion = _waiting[0]
        # The process must not end while LLVM works: whoever holds the lock may finish.
        with jit.lock:
            if _exiting:
                return
            with suppress(jit.CompileError, MemoryError):  # the program goes on as it is
                promotion.carry_out()
        with _changed:
            _waiting.popleft()
            _changed.notify_all()


def wait() -> None:
    """Return when all hot programs have got their better code."""
    with _changed:
        _changed.wait_for(lambda: not _waiting)


@atexit.register
def _stop() -> None:
    global _exiting
    with jit.lock, _changed:
        _exiting = True
        _changed.notify_all()


def _forget_worker() -> None:
    """In the child of a fork, where there is no thread but one; what waits is done when more comes."""
    global _changed, _worker
    _changed = threading.Condition()
    _worker = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_worker)
