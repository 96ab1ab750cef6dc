"""Long programs in segments.

The nests of a long program are functions (`nests.py`), and so are its products of matrices: what is left of
the program itself is a list of calls, and of addresses in its scratch memory. LLVM takes as long for some
hundred of those as for the functions, and would begin when all else is done. So calls with so many arguments
become a function, too, which LLVM compiles while the rest is lowered.
"""

from __future__ import annotations

import re

from .ir import Emitter

ARGUMENTS = 500  # of the calls in a segment: what LLVM takes 3 ms for
_CALL = "call void @part"
_NAME = re.compile(r"%[\w.]+")
_ARGUMENT = re.compile(r"(?<=[ (])((?:\w+|<[^>]*>) (%[\w.]+))")
_ADDRESS = re.compile(r"(%[\w.]+) = getelementptr \w+, ptr (%[\w.]+), i64 \d+$")


class Segments:
    """What becomes of the outermost lines of a function that is being written."""

    def __init__(self, e: Emitter) -> None:
        self._e = e
        self._first = 0  # lines that stay as they are
        self._seen = 0  # lines that were looked at
        self._arguments = 0  # of calls between the two
        self._places: dict[str, tuple[str, str]] = {}  # how addresses are computed, and from what
        self._moved = False

    def cut(self) -> None:
        """Make a segment of the last lines, if there are enough calls and nothing else among them."""
        e = self._e
        lines = e.scopes[0].lines
        if self._seen == len(lines) or e.level:
            return
        for k in range(self._seen, len(lines)):
            line = lines[k]
            if line.startswith(_CALL):
                self._arguments += line.count(",") + 1
            elif address := _ADDRESS.match(line):
                self._places[address[1]] = line, address[2]
            else:
                self._first, self._arguments = k + 1, 0
        self._seen = len(lines)
        if self._arguments >= ARGUMENTS:
            self._close(lines)

    def _close(self, lines: list[str]) -> None:
        parameters: dict[str, None] = {}  # in the order in which they are met
        written: list[str] = []
        known: set[str] = set()  # addresses that are written

        for line in lines[self._first :]:
            if line.startswith(_CALL):
                for argument, name in _ARGUMENT.findall(line):
                    if name in self._places:
                        base = self._address(name, known, written)
                        parameters[f"ptr {base}"] = None
                    else:
                        parameters[argument] = None
                written.append(line)
        head = ", ".join(parameters)
        text = "\n".join(["entry:", *written, "ret void"])
        name = self._e.module.function("segment", head, text)
        lines[self._first :] = [f"call void @{name}({head})"]
        self._moved = True
        self._first = self._seen = len(lines)
        self._arguments = 0

    def _address(self, name: str, known: set[str], written: list[str]) -> str:
        """Write how an address is computed, unless it is known; returns what it is computed from."""
        line, base = self._places[name]
        if base in self._places:
            base = self._address(base, known, written)
        if name not in known:
            known.add(name)
            written.append(line)
        return base

    def finish(self) -> None:
        """Write the addresses that were only in segments and are needed elsewhere, too."""
        lines = self._e.scopes[0].lines
        if not self._moved:
            return
        known = {line.partition(" = ")[0] for line in lines if " = " in line}
        written: list[str] = []
        for line in lines:
            for name in _NAME.findall(line):
                if name in self._places and name not in known:
                    self._address(name, known, written)
        lines[:0] = written
