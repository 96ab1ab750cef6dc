"""Lowerings of `ops.windows`: reductions over sliding windows, selection and deposit at their extrema.

A window of few elements is written out: the elements at one place of all windows are a strided slice of the
padded operand, and the result is an elementwise function of these slices, fused with what is around it.
Padding holds a value that never wins, except against its equals: then nothing is selected or deposited, as it
lies outside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core import dtypes
from ...core.program import Equation
from ...ops.windows import Windows
from ..numpy.reduction import greatest as greatest_value
from ..numpy.reduction import smallest
from .deferred import Constant, Map, Remap
from .ir import Value, constant
from .lower import Lowering, lowering
from .nodes import Node, Position, View
from .reducers import Reducer, reducer
from .reduction import reduced
from .stages import Output, Stage
from .storage import components
from .structural import pad_into, sliced

Out = Sequence[View | None]

WRITTEN = 64  # elements of a window that are written out


def padded(lw: Lowering, x: Node, windows: Windows, value: Any) -> Node:
    """x with its elements spread and `value` between and around them, in memory."""
    config = [(lo, hi, b - 1) for (lo, hi), b in zip(windows.padding, windows.base_dilation, strict=True)]
    if not any(map(any, config)):
        return x
    like = Node(padded_shape(x.shape, windows), x.dtype)
    view = pad_into(lw, lw.result(like), x, Constant(value, x.dtype), config)
    lw.flush()
    return view


def padded_shape(shape: Sequence[int], windows: Windows) -> tuple[int, ...]:
    """The shape of the spread and padded operand."""
    sizes = zip(shape, windows.padding, windows.base_dilation, strict=True)
    return tuple([max((b * (n - 1) + 1 if n else 0) + lo + hi, 0) for n, (lo, hi), b in sizes])


def elements(lw: Lowering, x: Node, windows: Windows, counts: tuple[int, ...]) -> list[Node]:
    """For each place within a window, the elements there of all windows."""
    if not isinstance(x, View) and math.prod(windows.dimensions) * math.prod(counts) > x.size:
        x = lw.memory(x)  # elements are read several times
    parts = []
    for place in np.ndindex(*windows.dimensions):
        starts = [k * w for k, w in zip(place, windows.window_dilation, strict=True)]
        if isinstance(x, View):
            parts.append(sliced(lw, x, starts, windows.strides, counts))
        else:
            parts.append(Remap(x, counts, _strided(starts, windows.strides)))
    return parts


def _strided(starts: Sequence[int], steps: Sequence[int]) -> Any:
    def mapping(at: Position) -> Position:
        return tuple([i * k + s for i, k, s in zip(at, steps, starts, strict=True)])

    return mapping


def _combined(e: Any, types: Any, *xs: Any, r: Reducer) -> Any:
    """All elements combined, as a balanced tree."""
    parts = [components(x) for x in xs]
    while len(parts) > 1:
        joined = [r.combine(e, *parts[k : k + 2]) for k in range(0, len(parts) - 1, 2)]
        parts = joined + parts[len(joined) * 2 :]
    return parts[0] if len(parts[0]) > 1 else parts[0][0]


@lowering("reduce_window_sum", "reduce_window_max", "reduce_window_min")
def reduce_window(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    (x,) = operands
    windows: Windows = eqn.params["windows"]
    aval = eqn.outvars[0].aval
    name = eqn.primitive.name.removeprefix("reduce_window_")
    if not x.storage.computable or (dtypes.is_complex(x.dtype) and name != "sum"):
        return None
    if not aval.size:
        return [lw.result(aval, out[0])]
    value = 0 if name == "sum" else smallest(x.dtype) if name == "max" else greatest_value(x.dtype)
    r = reducer(name, x.dtype)
    source = padded(lw, x, windows, value)
    if math.prod(windows.dimensions) <= WRITTEN:
        parts = elements(lw, source, windows, aval.shape)
        return [lw.computed(Map(_combined, parts, aval.shape, aval.dtype, {"r": r}, 0.05 * len(parts)))]
    source = lw.memory(source)
    rank = len(aval.shape)

    def mapping(at: Position) -> Position:
        sizes = zip(at[:rank], at[rank:], windows.strides, windows.window_dilation, strict=True)
        return tuple([i * s + k * w for i, k, s, w in sizes])

    terms = Remap(source, (*aval.shape, *windows.dimensions), mapping)
    return [reduced(lw, terms, range(rank, 2 * rank), r, aval, out[0])]


def _better(e: Any, dtype: np.dtype[Any], x: Value, best: Value, greatest: bool) -> Value:
    """Whether x comes before the best so far: NaN before all numbers, the first of equals stays."""
    if dtypes.is_floating(dtype):
        found: Value = e.fcmp("ugt" if greatest else "ult", x, best)
        return e.and_(found, e.fcmp("ord", best, best))
    sign = "s" if dtype.kind == "i" else "u"
    return e.icmp(f"{sign}{'gt' if greatest else 'lt'}", x, best)


def _chosen(e: Any, types: Any, *xs: Any, greatest: bool) -> Any:
    """The number of the first extremum."""
    best, place = xs[0], constant(0, "i8")
    for k, x in enumerate(xs[1:], 1):
        better = _better(e, types.inputs[0], x, best, greatest)
        best = e.select(better, x, best)
        place = e.select(better, constant(k, "i8"), place)
    return place


def _selected(e: Any, types: Any, *xs: Any, greatest: bool) -> Any:
    """Of the second half of the operands, the one that belongs to the extremum of the first."""
    half = len(xs) // 2
    best, value = xs[0], xs[half]
    for x, t in zip(xs[1:half], xs[half + 1 :], strict=True):
        better = _better(e, types.inputs[0], x, best, greatest)
        best = e.select(better, x, best)
        pairs = zip(components(t), components(value), strict=True)
        chosen = tuple([e.select(better, a, b) for a, b in pairs])
        value = chosen if isinstance(t, tuple) else chosen[0]
    return value


def _known(x: Node, t: Node, windows: Windows) -> bool:
    return (
        x.storage.computable
        and t.storage.computable
        and not dtypes.is_complex(x.dtype)
        and math.prod(windows.dimensions) <= WRITTEN
    )


@lowering("window_select")
def window_select(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    t, x = operands
    windows, greatest = eqn.params["windows"], eqn.params["greatest"]
    aval = eqn.outvars[0].aval
    if not _known(x, t, windows):
        return None
    if not x.size or not aval.size:
        return [Remap(Constant(0, t.dtype), aval.shape, lambda at: ())]
    worst = (smallest if greatest else greatest_value)(x.dtype)
    values = elements(lw, padded(lw, x, windows, worst), windows, aval.shape)
    tangents = elements(lw, padded(lw, t, windows, 0), windows, aval.shape)
    cost = 0.1 * len(values)
    node = Map(_selected, [*values, *tangents], aval.shape, aval.dtype, {"greatest": greatest}, cost)
    return [lw.computed(node)]


def _if_chosen(e: Any, types: Any, chosen: Any, u: Any, *, place: int) -> Any:
    """u where the place has been chosen, else 0."""
    here = e.icmp("eq", chosen, e.const(place, chosen))
    parts = tuple([e.select(here, c, e.const(0, c)) for c in components(u)])
    return parts if isinstance(u, tuple) else parts[0]


def _deposited(e: Any, types: Any, *xs: Any, r: Reducer) -> Any:
    """The sum of the second half of the operands where the first half says that it belongs here."""
    half = len(xs) // 2
    terms = [
        _if_chosen(e, types, c, u, place=k) for k, (c, u) in enumerate(zip(xs[:half], xs[half:], strict=True))
    ]
    return _combined(e, types, *terms, r=r)


@lowering("window_deposit")
def window_deposit(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    u, x = operands
    windows, greatest = eqn.params["windows"], eqn.params["greatest"]
    aval = eqn.outvars[0].aval
    if not _known(x, u, windows):
        return None
    counts = u.shape
    if not x.size or not u.size:
        return [Remap(Constant(0, u.dtype), aval.shape, lambda at: ())]
    worst = (smallest if greatest else greatest_value)(x.dtype)
    values = elements(lw, padded(lw, x, windows, worst), windows, counts)
    chosen = Map(_chosen, values, counts, np.dtype(np.int8), {"greatest": greatest}, 0.1 * len(values))
    shape = padded_shape(x.shape, windows)
    starts = [lo for lo, _ in windows.padding]
    spans = [w * (k - 1) + 1 for k, w in zip(windows.dimensions, windows.window_dilation, strict=True)]
    whole = shape == x.shape and not any(starts)
    if all(s >= span for s, span in zip(windows.strides, spans, strict=True)):
        result: Node = _scatter(
            lw, lw.result(Node(shape, u.dtype), out[0] if whole else None), chosen, u, windows
        )
    else:
        result = _gathered(lw, lw.memory(chosen), u, windows, spans, shape)
    return [_unpadded(lw, result, windows, aval.shape)]


def _unpadded(lw: Lowering, node: Node, windows: Windows, shape: tuple[int, ...]) -> Node:
    """The elements of a padded array that belong to one of `shape`; zeros for those that were cut off."""
    if node.shape == shape and not any(map(any, windows.padding)):
        return node
    back = []
    config = []
    for n, total, (lo, _), b in zip(shape, node.shape, windows.padding, windows.base_dilation, strict=True):
        # Elements 0, b, ... from `lo` on: first cut or extended to begin there.
        need = (n - 1) * b + 1 if n else 0
        config.append((-lo, need - (total - lo), 0))
        back.append(b)
    if any(lo > 0 or hi > 0 for lo, hi, _ in config):
        like = Node(
            tuple([t + lo + hi for t, (lo, hi, _) in zip(node.shape, config, strict=True)]), node.dtype
        )
        node = pad_into(lw, lw.result(like), node, Constant(0, node.dtype), config)
        lw.flush()
        return sliced(lw, node, [0] * len(shape), back, shape)
    return sliced(lw, node, [-lo for lo, _, _ in config], back, shape)


def _scatter(lw: Lowering, view: View, chosen: Node, u: Node, windows: Windows) -> View:
    """Write what windows that do not overlap deposit: each place of a window is an output of one loop."""
    counts = u.shape
    covered = all(
        s == k and c * s == n and w == 1
        for c, s, k, n, w in zip(
            counts, windows.strides, windows.dimensions, view.shape, windows.window_dilation, strict=True
        )
    )
    if not covered:
        view = lw.rewritten(lw.store(view, Remap(Constant(0, view.dtype), view.shape, lambda at: ())))
    outputs = []
    for k, place in enumerate(np.ndindex(*windows.dimensions)):
        starts = [i * w for i, w in zip(place, windows.window_dilation, strict=True)]
        target = sliced(lw, view, starts, windows.strides, counts)
        assert isinstance(target, View)
        outputs.append(Output(target, Map(_if_chosen, [chosen, u], counts, view.dtype, {"place": k}, 0.06)))
    lw.stage(Stage(counts, (False,) * len(counts), outputs))
    lw.flush()
    return view


def _gathered(
    lw: Lowering, chosen: Node, u: Node, windows: Windows, spans: Sequence[int], shape: tuple[int, ...]
) -> Node:
    """What windows that overlap deposit: for each element, a sum over the windows that it may lie in.

    Window p covers the elements p s + k w. With the choices and deposits spread by s, element q is
    place k of the one at q - k w.
    """
    config, sizes = [], []
    for c, n, s, span in zip(u.shape, shape, windows.strides, spans, strict=True):
        # The spread array begins span - 1 before the first element and ends with the last one.
        length = (c - 1) * s + 1
        config.append((span - 1, n - length, s - 1))
        sizes.append(span - 1 + n)
    parts: list[Node] = []
    for node, value in ((chosen, -1), (u, 0)):
        view = pad_into(
            lw, lw.result(Node(tuple(sizes), node.dtype)), node, Constant(value, node.dtype), config
        )
        for place in np.ndindex(*windows.dimensions):
            shifts = zip(place, spans, windows.window_dilation, strict=True)
            starts = [span - 1 - k * w for k, span, w in shifts]
            parts.append(sliced(lw, view, starts, [1] * len(shape), shape))
    lw.flush()
    return Map(_deposited, parts, shape, u.dtype, {"r": reducer("sum", u.dtype)}, 0.1 * len(parts))


__all__ = ["reduce_window", "window_deposit", "window_select"]
