"""What `explain` tells: the graph, and what each order costs."""

from __future__ import annotations

from typing import Any

from .graph import Graph
from .orders import Chosen
from .structure import Structure

_ORDERS = ("forward", "reverse", "markowitz")


def report(name: str, graph: Graph, structure: Structure, order: Any, chosen: Chosen) -> str:
    """The text; `graph` after the eliminations, `structure` as before them."""
    outputs = len({u for u in graph.outputs if u >= 0})
    size = f"{graph.inputs} inputs, {len(structure.vertices)} vertices, {outputs} outputs"
    lines = [
        f"{name}: {size}, {structure.edge_count} edges ({structure.unit_count} of them 1 or -1)",
        "",
        f"{'order':<12}{'multiplications':>16}{'without those by 1 and -1':>28}",
    ]
    for label in _ORDERS:
        cost = structure.cost(getattr(structure, label)())
        lines.append(f"{label:<12}{cost.all:>16}{cost.proper:>28}")
    if order not in _ORDERS:
        label = order if isinstance(order, str) else "given"
        cost = structure.cost(chosen.order)
        lines.append(f"{label:<12}{cost.all:>16}{cost.proper:>28}")
        if chosen.note:
            lines.append(f"search: {chosen.note}")
    made = graph.arithmetic
    lines.append(
        f"The compiled program accumulates with {made.multiplications} multiplications and "
        f"{made.additions} additions."
    )
    lines += ["", "vertices: " + _vertices(graph, structure)]
    lines.append("eliminated in the order " + " ".join(map(str, chosen.order)))
    return "\n".join(lines)


def _vertices(graph: Graph, structure: Structure) -> str:
    return ", ".join(f"{v} {graph.nodes[v].name}" for v in structure.vertices)
