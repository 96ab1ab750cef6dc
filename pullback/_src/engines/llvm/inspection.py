"""What there is to see of a compiled program: the stages on its way, its memory, its calls of Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ...core.engine import HostCall
from . import cache, jit
from .coverage import reason
from .listing import Listing
from .module import SEPARATOR

if TYPE_CHECKING:
    from .engine import Compilation
    from .observer import Observer


class LlvmInspection:
    """The stages of a compilation (`core.engine.Inspection`).

    Args:
        compilation: of the program.
        again: compiles it again under the eyes of an observer.
    """

    stages: Sequence[str] = ("simplified", "loops", "llvm", "assembly")

    def __init__(self, compilation: Compilation, again: Callable[[Observer], Compilation]) -> None:
        self._compilation = compilation
        self._again = again
        self.temp_bytes = compilation.arena_bytes
        self.aliases = dict(compilation.aliases)
        self.host_calls = [
            HostCall(call.name, call.types, reason(call.name), call.location)
            for call in compilation.lowering.host_calls
        ]

    def text(self, stage: str) -> str:
        """One of `stages` as text."""
        if stage == "simplified":
            return str(self._compilation.program)
        if stage == "loops":
            listing = Listing()
            aliases = self._again(listing).aliases
            head = [f"out{j} is in the memory of in{k}" for j, k in sorted(aliases.items())]
            return "\n".join([*head, listing.text()])
        if stage == "llvm":
            return self._compilation.text
        if stage == "assembly":
            return "\n".join([jit.assembly(part) for part in self._compilation.text.split(SEPARATOR)])
        raise ValueError(f"there is no stage {stage!r}; there are {', '.join(self.stages)}")

    @cached_property
    def code_bytes(self) -> int:
        """The size of the machine code."""
        return jit.code_size(cache.compiled(self._compilation.text))
