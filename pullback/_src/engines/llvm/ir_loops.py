"""Loops in the making: what stands before them, their blocks, and what is known behind them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .ir_values import Value

if TYPE_CHECKING:
    from .ir import Emitter


class Loop:
    """A counted loop in the making.

    `index` is the variable; `carried` are the values of `carries` inside of the loop; `update` gives their
    next values; after the loop, `results` are their last ones.
    """

    def __init__(self, e: Emitter, start: Value, stop: Value, step: int, carries: Sequence[Value]) -> None:
        self.e = e
        self._stop, self._step = stop, step
        self._before = e.scope.label
        self._start = start
        self._head, self._exit = e.fresh("head"), e.fresh("exit")
        e.inside(self._head)
        e.module.loops += 1
        level = e.level
        self.index = Value("%" + e.fresh("i"), "i64", 1, level)
        e.multiples[self.index.name] = math.gcd(e.divisor(start), step)
        self._carries = list(carries)
        self.carried = [Value("%" + e.fresh("c"), c.elem, c.lanes, level) for c in carries]
        self._next: list[Value] = list(self.carried)
        self.results: list[Value] = []

    def update(self, values: Sequence[Value]) -> None:
        """The carried values for the next turn."""
        self._next = list(values)

    def close(self) -> None:
        e, latch = self.e, self.e.scope.label
        following, done = "%" + e.fresh("n"), "%" + e.fresh("d")
        e.line(f"{following} = add nuw nsw i64 {self.index.name}, {self._step}")
        e.line(f"{done} = icmp sge i64 {following}, {self._stop.name}")
        e.line(f"br i1 {done}, label %{self._exit}, label %{self._head}")
        # The jump into the loop comes last, after all that was moved out of it.
        head = [f"br label %{self._head}", f"{self._head}:"]
        head.append(
            f"{self.index.name} = phi i64 [{self._start.name}, %{self._before}], [{following}, %{latch}]"
        )
        for inside, first, after in zip(self.carried, self._carries, self._next, strict=True):
            head.append(
                f"{inside.name} = phi {inside.type} [{first.name}, %{self._before}], [{after.name}, %{latch}]"
            )
        scope = e.scope
        scope.lines[:0] = head
        e.pop()
        e.label(self._exit)
        self.results = [e.behind(after, latch) for after in self._next]


class While:
    """A loop with a test in the making: `test` ends its head, what follows is its body.

    `carried`, `update` and `results` are as in `Loop`.
    """

    def __init__(self, e: Emitter, carries: Sequence[Value]) -> None:
        self.e = e
        self._before = e.scope.label
        self._head, self._body, self._exit = e.fresh("head"), e.fresh("body"), e.fresh("exit")
        e.inside(self._head)
        e.module.loops += 1
        self._carries = list(carries)
        self.carried = [Value("%" + e.fresh("c"), c.elem, c.lanes, e.level) for c in carries]
        self._next: list[Value] = list(self.carried)
        self.results: list[Value] = []

    def test(self, condition: Value) -> None:
        """Go on while `condition` (i1) holds."""
        e = self.e
        e.line(f"br i1 {condition.name}, label %{self._body}, label %{self._exit}")
        e.label(self._body)

    def update(self, values: Sequence[Value]) -> None:
        self._next = list(values)

    def close(self) -> None:
        e, latch = self.e, self.e.scope.label
        e.line(f"br label %{self._head}")
        head = [f"br label %{self._head}", f"{self._head}:"]
        for inside, first, after in zip(self.carried, self._carries, self._next, strict=True):
            head.append(
                f"{inside.name} = phi {inside.type} [{first.name}, %{self._before}], [{after.name}, %{latch}]"
            )
        e.scope.lines[:0] = head
        e.pop()
        e.label(self._exit)
        # What the last test saw is known behind it.
        self.results = [Value(v.name, v.elem, v.lanes, e.level) for v in self.carried]


__all__ = ["Loop", "While"]
