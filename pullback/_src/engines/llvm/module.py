"""Modules of LLVM IR in the making: functions, and what they refer to.

A long module is cut: what has been written becomes a *part*, a module by itself, which LLVM compiles while
the next one is written (`generation.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .odd import lengthened

SEPARATOR = "\n; the next part\n"
"""Between the parts of a module's text."""

PART = 250
"""Lines after which a long module is cut. A part takes 10 ms to compile, one of them because it is apart."""

FIRST = 100
"""Lines of the first part, so that LLVM is soon at work; the next ones grow up to `PART`."""

_PARAMETER = re.compile(r" %[\w.]+")
_GLOBAL = re.compile(r"@([\w.$]+)")


class Function(NamedTuple):
    """A function of a module: `parameters` are what stands between its parentheses, `body` in its braces."""

    name: str
    result: str
    parameters: str
    body: str
    exported: bool

    def text(self, alone: bool) -> str:
        """Its definition; `alone` if it is in the same part as all that call it."""
        linkage = "internal " if alone and not self.exported else ""
        head = f"define {linkage}{self.result} @{self.name}({self.parameters})"
        return lengthened(f"{head} {{\n{self.body}\n}}")

    @property
    def declaration(self) -> str:
        return f"declare {self.result} @{self.name}({_PARAMETER.sub('', self.parameters)})"


class Module:
    """A module in the making: its functions and what it declares.

    Args:
        take: is given each part as soon as it is complete.
    """

    def __init__(self, take: Callable[[str], None] | None = None) -> None:
        self.declarations: dict[str, str] = {}
        self.globals: dict[str, str] = {}
        self.long = False  # whether all nests become functions of their own
        self.divided = False  # whether those do that take long
        self.reduces = False  # whether those do that reduce and take long
        self.separate = False  # whether scans with long bodies do (`separate.py`)
        self.loops = 0
        self.lines = 0  # of functions
        self._take = take
        self._parts: list[str] = []
        self._open: list[Function] = []  # of the part in the making
        self._closed: dict[str, Function] = {}
        self._first = 0  # lines before the part in the making
        self._names = 0
        self.nests: dict[Any, Any] = {}  # functions of nests by their structure (`alike.py`)
        self.routines: dict[Any, Any] = {}  # functions by what they do (`parallel.called`, `evaluated`)
        self.computed: set[Any] = set()  # what was written in place once (`parallel.evaluated`)
        self.constants: dict[str, str] = {}  # the names of constants by their values
        self.callees: dict[Any, str] = {}  # beginnings of calls (`Emitter.call`)
        self._written: dict[tuple[str, str], str] = {}  # the names of functions by parameters and body
        # ns that the program takes, roughly: in code of its own, and in routines that are compiled already.
        self.work = 0.0
        self.elsewhere = 0.0
        self.turns = 1.0  # of all loops around what is being written
        self.streams = False  # whether something is stored past the cache
        self.shared: list[int] = []  # into how many parts each loop was cut that threads share

    @property
    def ahead(self) -> bool:
        """Whether code is generated while the module is written."""
        return self._take is not None

    @property
    def _limit(self) -> int:
        """Lines after which the part in the making is complete."""
        return min(PART, FIRST + self._first // 4) if self.divided or self.separate else PART

    def unique(self, prefix: str) -> str:
        """A name for a function or global."""
        self._names += 1
        return f"{prefix}{self._names}"

    def function(self, prefix: str, parameters: str, body: str, result: str = "void") -> str:
        """The name of a function; those that are equal are written once."""
        name = self._written.get((parameters, body))
        if name is None:
            name = self._written[parameters, body] = self.unique(prefix)
            self.add(Function(name, result, parameters, body, False))
        return name

    def add(self, function: Function) -> None:
        """Add a function."""
        lines = function.body.count("\n")
        before = self.lines - self._first
        limit = self._limit
        if before >= limit // 2 and before + lines >= limit:
            self._close()
        self._open.append(function)
        self.lines += lines
        if self.lines - self._first >= self._limit and not function.exported:
            self._close()

    def declare(self, name: str, result: str, parameters: Sequence[str]) -> None:
        if name not in self.declarations:
            self.declarations[name] = f"declare {result} @{name}({', '.join(parameters)})"

    def text(self) -> str:
        """The module, whose parts are apart (`SEPARATOR`)."""
        if not self._parts:
            functions = [f.text(alone=True) for f in self._open]
            return self._joined([*self.globals.values(), *self.declarations.values(), *functions])
        if self._open:
            self._close(last=True)
        return SEPARATOR.join(self._parts)

    def _close(self, last: bool = False) -> None:
        """Make a part of the functions since the last one.

        The `last` one, with the exported function, is left to the thread that has written it: to one that
        has compiled nothing yet, all memory is new.
        """
        functions = [f.text(alone=False) for f in self._open]
        defined = {f.name for f in self._open}
        self._closed.update((f.name, f) for f in self._open)
        self._open, self._first = [], self.lines
        head: dict[str, str] = {}
        texts = list(functions)
        while texts:
            for name in _GLOBAL.findall(texts.pop()):
                if name in defined or name in head:
                    continue
                known = self._closed.get(name)
                text = known.declaration if known else self.globals.get(name) or self.declarations[name]
                head[name] = text
                if text.startswith("define"):
                    texts.append(text)
        part = self._joined([*head.values(), *functions])
        self._parts.append(part)
        if self._take is not None and not last:
            self._take(part)

    def _joined(self, texts: list[str]) -> str:
        return "\n".join([*texts, "!0 = !{i32 1}"] if self.streams else texts) + "\n"
