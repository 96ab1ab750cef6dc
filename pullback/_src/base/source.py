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
from types import CodeType

_LIBRARY_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep


class Location:
    """A position in the user's code: file, line and function, resolved lazily."""

    __slots__ = ("_code", "_offset")

    def __init__(self, code: CodeType, offset: int) -> None:
        self._code = code
        self._offset = offset

    @property
    def key(self) -> tuple[int, int]:
        """A cheap key of the place (valid while this location is alive)."""
        return id(self._code), self._offset

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
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        name = code.co_filename
        if name not in _library_files:
            if not name.startswith(_LIBRARY_ROOT):
                return Location(code, frame.f_lasti)
            _library_files.add(name)
        frame = frame.f_back  # type: ignore[assignment]
    return None


def describe(location: Location | None) -> str:
    """One or two lines naming `location`, for the end of an error message."""
    if location is None:
        return ""
    text = location.text
    where = f"at {location}"
    return f"{where}\n    {text}" if text else where
