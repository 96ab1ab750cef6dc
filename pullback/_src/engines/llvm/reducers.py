"""What a reduction combines elements with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...core import dtypes
from .ir import Emitter, Value, constant
from .math.base import is_all, is_any, maximum, minimum
from .storage import Element, components, storage_of

_ZEROS = frozenset(constant(zero, elem).name for zero, elem in ((0, "i32"), (False, "i1"), (0.0, "float")))


class Reducer(NamedTuple):
    """`combine(e, x, y)` with `identity`, on elements of any number of lanes."""

    identity: tuple[Value, ...]
    combine: Callable[[Emitter, tuple[Value, ...], tuple[Value, ...]], tuple[Value, ...]]
    inexact: bool = False  # whether the order matters for accuracy
    name: str = "reduction"
    of_numbers: Callable[[Emitter, Value, Value], Value] | None = None  # `combine`, if neither is NaN
    idempotent: bool = False  # whether an element may be combined twice

    @property
    def of_truths(self) -> bool:
        """Whether it asks if some truth holds, or if all do."""
        return self.idempotent and self.identity[0].elem == "i1"

    @property
    def zero(self) -> bool:
        """Whether the identity is zero, bit for bit."""
        return all(i.name in _ZEROS for i in self.identity)

    def lanes(self, e: Emitter, element: tuple[Value, ...]) -> tuple[Value, ...]:
        """All lanes combined into one, as a balanced tree."""
        count = max(v.lanes for v in element)
        element = tuple([e.splat(v, count) for v in element])
        if self.of_truths and count > 1:
            (truths,) = element
            return (is_any(e, truths) if self.zero else is_all(e, truths),)
        if self.of_numbers is None or count == 1:
            return self._tree(e, element, self.combine)
        # Whether one is NaN is asked once, of both halves at once.
        number, (x,) = self.of_numbers, element
        (found,) = self._tree(e, element, lambda e, x, y: (number(e, x[0], y[0]),))
        half = -(-count // 2)
        unordered = e.fcmp("uno", e.shuffle(x, range(half)), e.shuffle(x, range(count - half, count)))
        return (e.select(is_any(e, unordered), constant(np.nan, found.elem), found),)

    def joined(self, e: Emitter, parts: Sequence[tuple[Value, ...]]) -> tuple[Value, ...]:
        """The elements combined into one, as a balanced tree."""
        number, combine = self.of_numbers, self.combine
        if number is None or len(parts) < 4:
            return _balanced(parts, lambda x, y: combine(e, x, y))
        # Whether one is NaN is asked of two at once.
        (found,) = _balanced(parts, lambda x, y: (number(e, x[0], y[0]),))
        pairs = [(parts[k][0], parts[min(k + 1, len(parts) - 1)][0]) for k in range(0, len(parts), 2)]
        (unordered,) = _balanced(
            [(e.fcmp("uno", x, y),) for x, y in pairs], lambda x, y: (e.or_(x[0], y[0]),)
        )
        return (e.select(unordered, constant(np.nan, found.elem), found),)

    def groups(self, e: Emitter, element: tuple[Value, ...], size: int) -> tuple[Value, ...]:
        """Each `size` neighbouring lanes combined into one, as a balanced tree."""
        count = max(v.lanes for v in element)
        element = tuple([e.splat(v, count) for v in element])
        pending: tuple[Value, ...] | None = None

        def part(first: int, lanes: int) -> tuple[Value, ...]:
            starts = range(first, element[0].lanes, size)
            return tuple([e.shuffle(v, [k + j for k in starts for j in range(lanes)]) for v in element])

        while size > 1:
            half = size // 2
            low, high = part(0, half), part(half, half)
            if size % 2:
                last = part(size - 1, 1)
                pending = last if pending is None else self.combine(e, pending, last)
            element, size = self.combine(e, low, high), half
        return element if pending is None else self.combine(e, element, pending)

    def _tree(
        self,
        e: Emitter,
        element: tuple[Value, ...],
        combine: Callable[[Emitter, tuple[Value, ...], tuple[Value, ...]], tuple[Value, ...]],
    ) -> tuple[Value, ...]:
        count = element[0].lanes
        while count > 1:
            half = count // 2
            low = tuple([e.shuffle(v, range(half)) for v in element])
            high = tuple([e.shuffle(v, range(half, 2 * half)) for v in element])
            rest = tuple([e.extract(v, count - 1) for v in element]) if count % 2 else None
            element = combine(e, low, high)
            if rest is not None and half == 1:
                element = combine(e, element, rest)
            elif rest is not None:
                # An odd lane joins the first one.
                first = combine(e, tuple([e.extract(v, 0) for v in element]), rest)
                element = tuple(
                    [e.concat([f, e.shuffle(v, range(1, half))]) for f, v in zip(first, element, strict=True)]
                )
            count = half
        return element

    def widened(self, e: Emitter, element: tuple[Value, ...], lanes: int) -> tuple[Value, ...]:
        """The element with further lanes that hold the identity."""
        have = max(v.lanes for v in element)
        if have == lanes:
            return element
        return tuple(
            [
                e.concat([e.splat(v, have), e.splat(i, lanes - have)])
                for v, i in zip(element, self.identity, strict=True)
            ]
        )


def _balanced(
    parts: Sequence[tuple[Value, ...]],
    combine: Callable[[tuple[Value, ...], tuple[Value, ...]], tuple[Value, ...]],
) -> tuple[Value, ...]:
    while len(parts) > 1:
        joined = [combine(parts[k], parts[k + 1]) for k in range(0, len(parts) - 1, 2)]
        parts = [*joined, *parts[2 * len(joined) :]]
    return parts[0]


def _register(dtype: np.dtype[Any]) -> str:
    return storage_of(dtype).register


def _by_component(op: str) -> Callable[..., Any]:
    def combine(e: Emitter, x: tuple[Value, ...], y: tuple[Value, ...]) -> tuple[Value, ...]:
        return tuple([e.binary(op, a, b) for a, b in zip(x, y, strict=True)])

    return combine


def _sum(e: Emitter, x: tuple[Value, ...], y: tuple[Value, ...]) -> tuple[Value, ...]:
    """Products that are added are contracted."""
    return tuple([e.fadd(a, b) for a, b in zip(x, y, strict=True)])


def _complex_product(e: Emitter, x: tuple[Value, ...], y: tuple[Value, ...]) -> tuple[Value, ...]:
    (a, b), (c, d) = x, y
    return e.fsub(e.fmul(a, c), e.fmul(b, d)), e.fadd(e.fmul(a, d), e.fmul(b, c))


def _extreme(dtype: np.dtype[Any], greatest: bool) -> Reducer:
    elem = _register(dtype)
    if dtypes.is_floating(dtype):
        extreme = maximum if greatest else minimum  # which propagate NaN, as NumPy does
        identity = constant(-np.inf if greatest else np.inf, elem)
        order = "ogt" if greatest else "olt"
        return Reducer(
            (identity,),
            lambda e, x, y: (extreme(e, x[0], y[0]),),
            of_numbers=lambda e, x, y: e.select(e.fcmp(order, x, y), x, y),
            idempotent=True,
        )
    if dtypes.is_bool(dtype):
        combine = _by_component("or" if greatest else "and")
        return Reducer((constant(not greatest, elem),), combine, idempotent=True)
    sign = "s" if dtype.kind == "i" else "u"
    name = f"llvm.{sign}{'max' if greatest else 'min'}"
    info = np.iinfo(dtype)
    identity = constant(info.min if greatest else info.max, elem)

    def of_integers(e: Emitter, x: tuple[Value, ...], y: tuple[Value, ...]) -> tuple[Value, ...]:
        return (e.call(name, elem, x[0], y[0]),)

    return Reducer((identity,), of_integers, idempotent=True)


def reducer(kind: str, dtype: np.dtype[Any]) -> Reducer:
    """The reducer called `sum`, `prod`, `max`, `min`, `and`, `or` or `xor` for a dtype."""
    return _reducer(kind, dtype)._replace(name=kind)


def _reducer(kind: str, dtype: np.dtype[Any]) -> Reducer:
    elem = _register(dtype)
    inexact = dtypes.is_inexact(dtype)
    if kind in ("max", "min"):
        return _extreme(dtype, kind == "max")
    if kind == "sum":
        if elem == "i1":
            return Reducer((constant(False, elem),), _by_component("or"), idempotent=True)
        zero = constant(0.0 if inexact else 0, elem)
        count = 2 if dtypes.is_complex(dtype) else 1
        return Reducer((zero,) * count, _sum if inexact else _by_component("add"), inexact)
    if kind == "prod":
        if dtypes.is_complex(dtype):
            return Reducer((constant(1.0, elem), constant(0.0, elem)), _complex_product)
        if elem == "i1":
            return Reducer((constant(True, elem),), _by_component("and"), idempotent=True)
        return Reducer((constant(1, elem),), _by_component("fmul" if inexact else "mul"))
    if kind == "and":
        return Reducer((constant(True if elem == "i1" else -1, elem),), _by_component("and"), idempotent=True)
    return Reducer((constant(0, elem),), _by_component(kind), idempotent=kind == "or")


def combined(r: Reducer, e: Emitter, x: Element, y: Element) -> tuple[Value, ...]:
    return r.combine(e, components(x), components(y))
