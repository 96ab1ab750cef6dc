"""The pattern of a computational graph, elimination orders, and what they cost.

Eliminating a vertex v connects each of its predecessors p with each of its successors s: the new edge carries
c(s, v) c(v, p), added to the edge (p, s) if there is one. When no vertex is left, the edges from inputs to
outputs are the entries of the Jacobian (Griewank & Reese 1991; Griewank & Walther, "Evaluating Derivatives",
chapter 9).

Sets of nodes are the bits of Python integers. A row holds a node's neighbours in its low half and, in its
high half (shifted by the number of nodes), those of them whose edge is not known to be 1 or -1. Which edges
there are after some vertices have been eliminated, and which of them are 1 or -1, depends on the set of
these vertices and not on their order: an edge is there if a path leads through the set, and it is 1 or -1 if
this is the only path and all of its edges are.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Rows = list[int]


class Bits(dict[int, tuple[int, ...]]):
    """The numbers of the bits of integers, remembered: the same sets occur again and again."""

    _LIMIT = 1 << 18

    def __missing__(self, mask: int) -> tuple[int, ...]:
        rest = mask
        out = []
        while rest:
            low = rest & -rest
            out.append(low.bit_length() - 1)
            rest ^= low
        if len(self) >= self._LIMIT:
            self.clear()
        self[mask] = found = tuple(out)
        return found


class Cost(NamedTuple):
    """Multiplications of an order: all |predecessors| |successors|, and those without a factor 1 or -1."""

    all: int
    proper: int


class Structure:
    """A graph's pattern: nodes 0 ... size - 1 in topological order, of which `vertices` are to be eliminated.

    Args:
        size: the number of nodes.
        edges: `(from, to, unit)`, where `unit` says that the edge is known to be 1 or -1.
        vertices: the nodes that are neither inputs nor outputs.
    """

    __slots__ = ("size", "vertices", "succ", "pred", "_clear", "_low", "_bits")

    def __init__(self, size: int, edges: Iterable[tuple[int, int, bool]], vertices: Sequence[int]) -> None:
        self.size = size
        self.vertices = tuple(vertices)
        self.succ = [0] * size
        self.pred = [0] * size
        for a, b, unit in edges:
            self.succ[a] |= 1 << b if unit else 1 << b | 1 << (b + size)
            self.pred[b] |= 1 << a if unit else 1 << a | 1 << (a + size)
        self._clear = [~(1 << v | 1 << (v + size)) for v in range(size)]
        self._low = (1 << size) - 1
        self._bits = Bits()

    @property
    def edge_count(self) -> int:
        return sum((row & self._low).bit_count() for row in self.succ)

    @property
    def unit_count(self) -> int:
        """The number of edges known to be 1 or -1."""
        return self.edge_count - sum((row >> self.size).bit_count() for row in self.succ)

    def key(self) -> str:
        """A digest of the structure: equal for equal graphs."""
        digest = hashlib.sha256(f"{self.size} {self.vertices}".encode())
        for row in self.succ:
            digest.update(b" %x" % row)
        return digest.hexdigest()

    def eliminate(self, v: int, succ: Rows, pred: Rows) -> None:
        """Eliminate v from the rows, in place; v's own rows stay as they were."""
        size = self.size
        bits = self._bits
        clear = self._clear[v]
        before = pred[v]
        after = succ[v]
        for rows, near, far in ((succ, before, after), (pred, after, before)):
            proper = near >> size
            if proper:
                # All new edges are products with one that is not 1 or -1.
                both = far & self._low
                both |= both << size
                for p in bits[proper]:
                    rows[p] = (rows[p] | both) & clear
            units = (near & self._low) ^ proper
            if units:
                low = far & self._low
                for p in bits[units]:
                    old = rows[p]
                    # A sum of two edges is not known to be 1 or -1.
                    rows[p] = (old | far | (low & old) << size) & clear

    def cost(self, order: Iterable[int]) -> Cost:
        """What eliminating all vertices in this order costs."""
        succ, pred = self.succ[:], self.pred[:]
        every = proper = 0
        size, low = self.size, self._low
        for v in order:
            p, s = pred[v], succ[v]
            every += (p & low).bit_count() * (s & low).bit_count()
            proper += (p >> size).bit_count() * (s >> size).bit_count()
            self.eliminate(v, succ, pred)
        return Cost(every, proper)

    def forward(self) -> tuple[int, ...]:
        """From the inputs to the outputs: what sparse forward mode computes."""
        return self.vertices

    def reverse(self) -> tuple[int, ...]:
        """From the outputs to the inputs: what sparse reverse mode computes."""
        return self.vertices[::-1]

    def markowitz(self) -> tuple[int, ...]:
        """Always a vertex with the least |predecessors| |successors|, the first of them."""
        succ, pred = self.succ[:], self.pred[:]
        low = self._low

        def degree(v: int) -> int:
            return (pred[v] & low).bit_count() * (succ[v] & low).bit_count()

        left = set(self.vertices)
        queue = [(degree(v), v) for v in self.vertices]
        heapq.heapify(queue)
        order = []
        while queue:
            known, v = heapq.heappop(queue)
            if v not in left or known != degree(v):
                continue
            left.remove(v)
            order.append(v)
            near = (succ[v] | pred[v]) & low
            self.eliminate(v, succ, pred)
            for u in self._bits[near]:
                if u in left:
                    heapq.heappush(queue, (degree(u), u))
        return tuple(order)

    def explicit(self, order: Sequence[int]) -> tuple[int, ...]:
        """`order`, checked to be a permutation of the vertices.

        Raises:
            ValueError: naming what is missing, unknown or there twice.
        """
        known = set(self.vertices)
        seen: set[int] = set()
        for v in order:
            if isinstance(v, bool) or not isinstance(v, int):
                raise ValueError(
                    f"jacobian: an explicit order holds the numbers of vertices (ints), got {v!r}"
                )
            if v in seen:
                raise ValueError(f"jacobian: the order names vertex {v} twice")
            if v not in known:
                raise ValueError(
                    f"jacobian: the order names {v}, which is no vertex of this function's graph; its "
                    f"{len(known)} vertices are {_listed(self.vertices)} (`explain` lists them)"
                )
            seen.add(v)
        missing = sorted(known - seen)
        if missing:
            raise ValueError(
                f"jacobian: an explicit order must name each of the {len(known)} vertices once; missing: "
                f"{_listed(missing)} (`explain` lists them)"
            )
        return tuple(order)


def _listed(numbers: Sequence[int]) -> str:
    if len(numbers) <= 12:
        return ", ".join(map(str, numbers)) or "none"
    return f"{', '.join(map(str, numbers[:10]))}, ..., {numbers[-1]}"
