"""All that an executable is made from beside its program; on disk, so that a known program is not lowered.

The machine code is on disk by itself, under the module's text, and is shared by programs with the same text.
"""

from __future__ import annotations

import marshal
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from . import cache

MOST_CONSTANTS = 1 << 16
"""Bytes of constants that a blueprint on disk may have: larger ones are data, which belong to the user."""


class ModuleText:
    """The text of an LLVM module, and what its object code is called on disk."""

    __slots__ = ("_keys", "_packed", "_text")

    def __init__(self, text: str = "", packed: bytes = b"", keys: Sequence[str] = ()) -> None:
        self._text = text
        self._packed = packed
        self._keys = tuple(keys)

    @property
    def text(self) -> str:
        """The text; it is unpacked when it is wanted, which is not if the code is on disk."""
        return self._text or zlib.decompress(self._packed).decode()

    @property
    def packed(self) -> bytes:
        return self._packed or zlib.compress(self._text.encode(), 1)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of its object code, by level."""
        if not self._keys:
            self._keys = (cache.key_of(self._text, 0), cache.key_of(self._text, 1))
        return self._keys


class Blueprint(NamedTuple):
    """What compiling a program has found.

    Attributes:
        module: of the program.
        names: the external functions that it calls.
        first, hot: the levels of the code generator (`tiers.py`).
        calls: after how many the program is hot.
        arena_bytes: its scratch memory.
        work: nanoseconds that it takes, roughly.
        aliases: results that are in the memory of an input, with the number of that.
        overwritten: inputs whose memory is written over.
        constants: arrays that it reads.
    """

    module: ModuleText
    names: list[str]
    first: int
    hot: int
    calls: int
    arena_bytes: int
    work: float
    aliases: dict[int, int]
    overwritten: list[int]
    constants: list[np.ndarray[Any, Any]]


def save(key: str, plan: Blueprint) -> None:
    """Keep it on disk under the program's fingerprint, if there is a cache."""
    constants = [np.ascontiguousarray(c) for c in plan.constants]
    if sum(c.nbytes for c in constants) > MOST_CONSTANTS or any(not c.dtype.isnative for c in constants):
        return
    if any(c.dtype.kind == "V" for c in constants):
        return  # extended types, whose names NumPy does not know
    packed = plan.module.packed
    head = plan._asdict() | {
        "module": [len(packed), *plan.module.keys],
        "work": float(plan.work),  # bytes is what a number of NumPy's would become
        "constants": [[c.dtype.str, c.shape] for c in constants],
    }
    table = marshal.dumps(head, 2)
    parts = [len(table).to_bytes(8, "little"), table, packed, *[c.tobytes() for c in constants]]
    cache.write(key, b"".join(parts))


def load(key: str) -> Blueprint | None:
    """The blueprint under a fingerprint, or None. The cache has verified that it is as it was written."""
    content = cache.read(key)
    if content is None:
        return None
    start = 8 + int.from_bytes(content[:8], "little")
    head = marshal.loads(content[8:start])
    size, *keys = head["module"]
    place = start + size
    constants = []
    for dtype, shape in head["constants"]:
        count = int(np.prod(shape, dtype=np.int64))
        one = np.frombuffer(content, dtype, count, place).reshape(shape).copy()
        place += one.nbytes
        constants.append(one)
    head |= {
        "module": ModuleText(packed=content[start : start + size], keys=keys),
        "constants": constants,
    }
    return Blueprint(**head)


__all__ = ["Blueprint", "ModuleText", "load", "save"]
