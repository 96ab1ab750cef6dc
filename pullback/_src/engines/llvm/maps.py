"""Lowerings of elementwise primitives: nodes that are computed where they are read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

from ...core.aval import ShapedArray
from ...core.program import Equation
from . import elementwise
from .deferred import Map, Part, Results
from .lower import Lowering, lowering, takes_pieces
from .nodes import Node, View
from .storage import storage_of

Out = Sequence[View | None]

# What an element costs, in nanoseconds of one thread, roughly; what is not listed costs one instruction.
WEIGHTS = dict.fromkeys(
    ("exp", "exp2", "expm1", "log", "log1p", "sin", "cos", "tanh", "logistic", "cbrt", "erf", "erfc"), 0.6
) | dict.fromkeys(
    ("tan", "sinh", "cosh", "asin", "acos", "atan", "atan2", "asinh", "acosh", "atanh", "pow", "erf_inv",
    "lgamma",
     "digamma", "threefry2x32"), 1.5
)  # fmt: skip
ORDINARY = 0.03
DIVISION = dict.fromkeys(("div", "sqrt", "rsqrt", "rem"), 0.2)


@cache
def weight(name: str, dtype: Any) -> float:
    """The cost of an element of an operation's result."""
    cost = WEIGHTS.get(name) or DIVISION.get(name) or ORDINARY
    return cost * max(1, dtype.itemsize / 4) ** 1.5


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    first = len(to) - len(shape)
    return first >= 0 and all(n in (1, m) for n, m in zip(shape, to[first:], strict=True))


@lru_cache(maxsize=1 << 14)
def _operation(name: str, aval: ShapedArray) -> tuple[elementwise.Rule, float, bool]:
    """The rule of an operation, the cost of an element, and whether registers hold its results."""
    return elementwise.rules[name], weight(name, aval.dtype), storage_of(aval.dtype).computable


def lower_elementwise(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    primitive, aval = eqn.primitive, eqn.outvars[0].aval
    rule, cost, computable = _operation(primitive.name, aval)
    shape = aval.shape
    for x in operands:
        there = x.shape
        # Or else a bitcast between types of different widths.
        if not x.storage.computable or (there and there != shape and not _broadcasts(there, shape)):
            return None
    if not computable:
        return None
    if primitive.multiple_results:
        if not all(storage_of(v.aval.dtype).computable for v in eqn.outvars):
            return None
        operands = [lw.memory(x) if x.pieced else x for x in operands]
        whole = Results(rule, operands, aval.shape, aval.dtype, eqn.params, cost)
        return [lw.computed(Part(whole, k, v.aval.dtype)) for k, v in enumerate(eqn.outvars)]
    return [lw.computed(Map(rule, operands, shape, aval.dtype, eqn.params, cost))]


takes_pieces.update(elementwise.rules)
for _name in elementwise.rules:
    lowering(_name)(lower_elementwise)
