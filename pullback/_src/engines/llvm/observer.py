"""Who looks on while a program is lowered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...core.program import Equation

if TYPE_CHECKING:
    from .nests import Nest
    from .nodes import Node


class Observer:
    """Is told what a lowering does, in the order in which code is written. This one does not care.

    `depth` is the number of programs that are being walked, one within the other, `level` that of the loops
    and branches that are open.
    """

    def equation(self, eqn: Equation, depth: int, level: int) -> None:
        """An equation is about to be lowered."""

    def lowered(
        self, eqn: Equation, operands: Sequence[Node], results: Sequence[Node], depth: int, level: int
    ) -> None:
        """An equation has been lowered."""

    def end(self, depth: int) -> None:
        """All equations of the innermost program have been lowered."""

    def nest(self, nest: Nest, depth: int, level: int) -> None:
        """A nest is about to be written."""

    def written(self, nest: Nest, depth: int, level: int) -> None:
        """A nest has been written."""

    def shared(self, chunks: int) -> None:
        """Threads share the turns of the loop that the last equation stands for, in so many chunks."""
