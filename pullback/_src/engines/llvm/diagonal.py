"""Lowerings of `extract_diagonal` and `embed_diagonal`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.program import Equation
from .deferred import Iota, Map, Remap
from .ir import Emitter, Value
from .lower import Lowering, lowering
from .nodes import Node, View
from .storage import Element, components
from .structural import moved

Out = Sequence[View | None]
INT32 = np.dtype(np.int32)


@lowering("extract_diagonal")
def extract_diagonal(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node]:
    (x,) = operands
    shape = x.shape[:-1]
    if isinstance(x, View):
        return [x.with_layout(shape, (*x.strides[:-2], x.strides[-2] + x.strides[-1]))]
    return [moved(lw, x, shape, lambda at: (*at, at[-1]))]


@lowering("embed_diagonal")
def embed_diagonal(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    (x,) = operands
    shape = eqn.outvars[0].aval.shape
    if not x.storage.computable:
        return None
    row, column = [Iota(shape, INT32, len(shape) - 2 + k) for k in range(2)]
    spread = Remap(x, shape, lambda at: (*at[:-2], at[-1]))

    def choose(e: Emitter, types: Any, element: Element, i: Value, j: Value) -> Element:
        on = e.icmp("eq", i, j)
        parts = [e.select(on, v, e.const(0, v)) for v in components(element)]
        return tuple(parts) if len(parts) > 1 else parts[0]

    return [lw.computed(Map(choose, [spread, row, column], shape, x.dtype, {}, 0.1))]


__all__ = ["embed_diagonal", "extract_diagonal"]
