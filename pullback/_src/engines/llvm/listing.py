"""A program's loops as text: what is computed in which pass over memory."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.program import Equation, subprograms
from .deferred import Constant, Map, Part, Remap, Results
from .elementwise import rules
from .index import ZERO
from .nests import Nest
from .nodes import Buffer, Node, Registers, View
from .observer import Observer
from .stages import Stage

_NAMES = {id(rule): name for name, rule in rules.items()}
WIDTH = 100  # characters of a formula


class Listing(Observer):
    """Writes down the nests of a lowering, and the equations that write code of their own."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._buffers: dict[Buffer, str] = {}
        self._written: set[Buffer] = set()
        # The equations around with programs of their own: their levels and titles, until those are written.
        self._open: list[tuple[int, str | None]] = []

    def text(self) -> str:
        """The listing."""
        return "\n".join(self._lines)

    def _line(self, level: int, text: str, inside: int = 0) -> None:
        """Append a line about what is written at a level, `inside` of so many loops of a nest's own."""
        for number, (around, title) in enumerate(self._open):
            if title is not None and around < level:
                self._lines.append("  " * around + title)
                self._open[number] = around, None
        self._lines.append("  " * (level + inside) + text)

    # What happens ----------------------------------------------------------------------------------------

    def equation(self, eqn: Equation, depth: int, level: int) -> None:
        if any(True for _ in subprograms(eqn.params)):
            turns = f", {eqn.params['length']} turns" if "length" in eqn.params else ""
            self._open.append((level, f"{eqn.primitive.name}{turns}:"))

    def lowered(
        self, eqn: Equation, operands: Sequence[Node], results: Sequence[Node], depth: int, level: int
    ) -> None:
        if any(True for _ in subprograms(eqn.params)):
            around, title = self._open.pop()
            if title is not None:
                self._line(around, f"{title} in registers")
            return
        own = [
            node
            for node in results
            if isinstance(node, View)
            and not node.buffer.pending
            and node.buffer not in self._written
            and not any(isinstance(x, View) and x.buffer is node.buffer for x in operands)
        ]
        if own:
            made = ", ".join([f"{self._memory(node)} : {_type(node)}" for node in own])
            used = ", ".join([self._formula(x, 0)[:WIDTH] for x in operands])
            self._line(level, f"{made} = {eqn.primitive.name}({used})")
            self._written.update([node.buffer for node in own])

    def shared(self, chunks: int) -> None:
        around, title = self._open[-1]
        if title is not None:
            self._open[-1] = around, f"{title.removesuffix(':')}, {chunks} parts for threads:"

    def nest(self, nest: Nest, depth: int, level: int) -> None:
        self._written.update(nest.written)

    def written(self, nest: Nest, depth: int, level: int) -> None:
        first = nest.stages[0]
        chunks = f", {max(nest.parts)} parts for threads" if nest.parts else ""
        if len(nest.stages) == 1:
            self._stage(first, nest, level, 0, 0, chunks)
            return
        if nest.columns:
            self._line(level, f"for blocks of {nest.columns} of {first.domain[-1]} columns{chunks}:")
        else:
            self._line(level, f"for each of {_times(first.domain[: nest.shared])}{chunks}:")
        for stage in nest.stages:
            self._stage(stage, nest, level, 1, nest.shared, "")

    def _stage(self, stage: Stage, nest: Nest, level: int, inside: int, shared: int, chunks: str) -> None:
        domain = stage.domain[shared:]
        reduced = [str(n) for n, r in zip(stage.domain, stage.reduced, strict=True) if r]
        how = f", {_times(reduced)} of it reduced" if reduced else ""
        self._line(level, f"loop over {_times(domain)}{how}{chunks}:", inside)
        for output in stage.outputs:
            reducer = "" if output.reducer is None else f"{output.reducer.name} of "
            where = self._memory(output.view)
            kind = f" : {_type(output.view)}"
            if not output.needed:
                where = f"register {where}"
            elif output.view.buffer in nest.rows:
                where = f"row {where}"
            formula = self._formula(output.node, 8)
            if len(formula) > WIDTH:
                formula = formula[: WIDTH - 3] + "..."
            self._line(level, f"{where}{kind} = {reducer}{formula}", inside + 1)

    # Names -----------------------------------------------------------------------------------------------

    def _memory(self, view: View) -> str:
        buffer = view.buffer
        name = self._buffers.get(buffer)
        if name is None:
            base = "" if buffer.address is None else buffer.address.name.removeprefix("%v")
            if base.startswith(("in", "out", "const")):
                name = base
            else:
                name = f"t{len(self._buffers) + 1}"
            self._buffers[buffer] = name
        return name if view.contiguous and view.offset.key == ZERO.key else f"{name}[...]"

    def _formula(self, node: Node, depth: int) -> str:
        """The node as a formula of what it reads, down to a depth."""
        if isinstance(node, View):
            return self._memory(node)
        if isinstance(node, Constant):
            return str(node.value)
        if isinstance(node, Registers):
            return "registers"
        if isinstance(node, Part):
            node = node.whole
        if depth == 0 and isinstance(node, (Map, Results, Remap)):
            return "..."
        if isinstance(node, (Map, Results)):
            name = _NAMES.get(id(node.rule), "map")
            return f"{name}({', '.join([self._formula(x, depth - 1) for x in node.operands])})"
        if isinstance(node, Remap):
            return f"at({self._formula(node.source, depth - 1)})"
        return type(node).__name__.lower()


def _type(node: Node) -> str:
    return f"{node.dtype.name}[{','.join(map(str, node.shape))}]"


def _times(sizes: Sequence[int | str]) -> str:
    return " x ".join(map(str, sizes)) or "one element"
