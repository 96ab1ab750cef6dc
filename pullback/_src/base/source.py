"""Where in the user's code an operation came from.

A `Location` is captured once per recorded equation, so capturing must be cheap: it stores the
code object and the bytecode offset of the innermost frame outside the library, and resolves
file and line only when somebody asks.
"""

from __future__ import annotations

import linecache
import os
import sys
from contextvars import ContextVar
from types import CodeType, FrameType
from typing import Protocol

_LIBRARY_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep


class Location:
    """A position in the user's code: file, line and function, resolved lazily."""

    __slots__ = ("_code", "_offset")

    def __init__(self, code: CodeType, offset: int) -> None:
        self._code = code
        self._offset = offset

    @property
    def place(self) -> tuple[CodeType, int]:
        """The code object and the offset of the instruction in it."""
        return self._code, self._offset

    @property
    def file(self) -> str:
        return self._code.co_filename

    @property
    def function(self) -> str:
        return self._code.co_qualname

    @property
    def line(self) -> int:
        for start, end, line in self._code.co_lines():
            if start <= self._offset < end and line is not None:
                return line
        return self._code.co_firstlineno

    @property
    def text(self) -> str:
        """The source line itself, stripped; empty where the source is not available."""
        return linecache.getline(self.file, self.line).strip()

    def __str__(self) -> str:
        return f"{self.file}:{self.line} ({self.function})"

    def __repr__(self) -> str:
        return f"Location({self})"


# Files known to be the library's: a set look-up is cheaper than comparing paths.
_library_files: set[str] = set()

# While a program is evaluated, its equations' own locations take the place of the caller's.
LOCATION: ContextVar[Location | None] = ContextVar("pullback_location", default=None)


def capture() -> Location | None:
    """The location of the innermost frame outside the library (None at its top level)."""
    location = LOCATION.get()
    if location is not None:
        return location
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        name = code.co_filename
        if name not in _library_files:
            if not name.startswith((_LIBRARY_ROOT, "<program ")):  # compiled programs are no user's code
                return Location(code, frame.f_lasti)
            _library_files.add(name)
        frame = frame.f_back
    return None


class _HasDepth(Protocol):
    depth: int


def place(holder: _HasDepth) -> tuple[CodeType | None, int]:
    """Like `capture`, as a bare pair, for one caller of this function that is reached in few ways.

    Looking at every frame of the stack is what costs; `holder.depth` remembers where the user's was.
    """
    location = LOCATION.get()
    if location is not None:
        return location.place
    depth = holder.depth
    if depth:
        try:
            inner = sys._getframe(depth - 1)
        except ValueError:
            pass
        else:
            outer = inner.f_back
            if outer is not None and inner.f_code.co_filename in _library_files:
                code = outer.f_code
                if code.co_filename not in _library_files and not code.co_filename.startswith(_LIBRARY_ROOT):
                    return code, outer.f_lasti
    depth = 1
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_filename not in _library_files:
            if not code.co_filename.startswith(_LIBRARY_ROOT):
                holder.depth = depth
                return code, frame.f_lasti
            _library_files.add(code.co_filename)
        frame = frame.f_back
        depth += 1
    return None, 0


def describe(location: Location | None) -> str:
    """One or two lines naming `location`, for the end of an error message."""
    if location is None:
        return ""
    text = location.text
    where = f"at {location}"
    return f"{where}\n    {text}" if text else where
