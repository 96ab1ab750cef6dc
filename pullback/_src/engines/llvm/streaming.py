"""Large results are written past the cache.

A store to memory that is not in the cache reads the line first, and what it pushes out has to be written:
twice the traffic of a store that goes to memory directly (`!nontemporal`). Whoever reads the result next has
to wait for memory, which costs half of what is gained if it is soon. So this is done for results of programs
only, and large ones, by loops that several threads share and that write one vector after the other.

Such a store needs an aligned address, and the compiler must know it. Results are aligned to 64 bytes; what
divides the variables of loops is noted when they are written (`Emitter.multiples`).
"""

from __future__ import annotations

import math

from . import jit
from .index import Index
from .ir import Emitter
from .storage import Storage

LEAST = 1 << 23  # bytes of a result: several times the second cache
MOST = 4  # results at the same time: the processor combines a few lines of stores
ALIGNMENT = 64  # of results
NEEDED = 32  # below this, the compiler would write single elements


def possible() -> bool:
    """Whether the machine has such stores."""
    return jit.host()[0].startswith("x86_64")


def worth_it(size: int) -> bool:
    """Whether a result of so many bytes is written past the cache."""
    return size >= LEAST


def alignment(e: Emitter, at: Index, storage: Storage) -> int:
    """The alignment of a vector in a result that is written past the cache; 0 if it cannot be."""
    if not e.outlined or e.tile is not None or storage.components != 1 or at.lanes is None:
        return 0
    size = len(at.lanes) * storage.bytes
    whole = at.lanes == tuple(range(len(at.lanes))) and size >= ALIGNMENT and not size & (size - 1)
    if not whole or at.vector is not None:
        return 0
    factors = [c * e.divisor(e.local(v)) for v, c in at.terms]
    found = math.gcd(ALIGNMENT, storage.bytes * math.gcd(at.const, *factors))
    return found if found >= NEEDED else 0


def fence(e: Emitter) -> None:
    """At the end of a function: what it has stored past the cache is seen before what comes after."""
    if e.streams:
        e.module.declare("llvm.x86.sse.sfence", "void", [])
        e.line("call void @llvm.x86.sse.sfence()")
