"""Primitives: the operations that the intermediate representation knows."""

from __future__ import annotations

from typing import Any

from .trace import CURRENT

registry: dict[str, Primitive] = {}


class Primitive:
    """An operation with rules in the tables of `core.rules`.

    Operands are positional (arrays or tracers), parameters keyword-only, static and hashable.

    Attributes:
        name: unique name, as printed in programs.
        multiple_results: whether `bind` returns a list of arrays.
        effectful: whether an equation must be kept and ordered even if nothing uses its results.
        elementwise: whether the operation acts entry by entry after broadcasting its operands.
        call_like: whether parameters hold programs (`core.program.subprograms` finds them).
    """

    __slots__ = ("name", "multiple_results", "effectful", "elementwise", "call_like")

    def __init__(
        self,
        name: str,
        *,
        multiple_results: bool = False,
        effectful: bool = False,
        elementwise: bool = False,
        call_like: bool = False,
    ) -> None:
        if name in registry:
            raise ValueError(f"a primitive named {name!r} exists already")
        self.name = name
        self.multiple_results = multiple_results
        self.effectful = effectful
        self.elementwise = elementwise
        self.call_like = call_like
        registry[name] = self

    def bind(self, *args: Any, **params: Any) -> Any:
        """Apply the operation under the current trace."""
        return CURRENT.get().process(self, args, params)

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> Any:
        return _lookup, (self.name,)


def _lookup(name: str) -> Primitive:
    return registry[name]
