"""Indices: where an element of an array is, for all lanes of a vector at once.

An index along one dimension is `constant + Σ coefficient·variable` (the same in all lanes; variables are loop
variables and other integers known only at run time), plus a constant for each lane.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .ir import Emitter, Value, constant, vector_literal

_Terms = tuple[tuple[Value, int], ...]


class Index:
    """`const + Σ coefficient * variable + lanes[k]` in lane k; `low` and `high` bound it over the loops.

    `lanes` is None when it is the same in all lanes. `vector` is a part that only run time knows, lane by
    lane: of i64, or of i32 if the index then has no `lanes`.
    """

    __slots__ = ("terms", "const", "lanes", "vector", "low", "high", "_key", "described")

    def __init__(
        self,
        terms: _Terms = (),
        const: int = 0,
        lanes: tuple[int, ...] | None = None,
        low: int = 0,
        high: int = 0,
        vector: Value | None = None,
    ) -> None:
        self.terms = terms
        self.const = const
        self.lanes = lanes
        self.vector = vector
        self.low = low
        self.high = high
        self._key: tuple[object, ...] | None = None
        self.described: object = None  # see `alike`

    @staticmethod
    def of(value: int) -> Index:
        return Index((), value, None, value, value)

    @staticmethod
    def along(variable: Value, low: int, high: int) -> Index:
        """A runtime value with these bounds (inclusive)."""
        return Index(((variable, 1),), 0, None, low, high)

    @staticmethod
    def of_lanes(lanes: Sequence[int]) -> Index:
        if all(k == lanes[0] for k in lanes):
            return Index.of(lanes[0])
        return Index((), 0, tuple(lanes), min(lanes), max(lanes))

    @property
    def key(self) -> tuple[object, ...]:
        """What tells indices apart."""
        if self._key is None:
            terms = [(v.name, c) for v, c in self.terms]
            self._key = (
                tuple(terms if len(terms) < 2 else sorted(terms)),
                self.const,
                self.lanes,
                self.vector.name if self.vector is not None else None,
            )
        return self._key

    @property
    def static(self) -> bool:
        """Whether the index is known at compile time in all lanes."""
        return not self.terms and self.vector is None

    def __add__(self, other: Index | int) -> Index:
        if isinstance(other, int):
            if other == 0:
                return self
            return Index(
                self.terms, self.const + other, self.lanes, self.low + other, self.high + other, self.vector
            )
        if other is ZERO:
            return self
        if self is ZERO:
            return other
        if self.vector is not None and other.vector is not None:
            raise ValueError("an index has at most one part that differs between lanes at run time")
        if not other.terms:
            terms = self.terms
        elif not self.terms:
            terms = other.terms
        else:
            terms = _merged(self.terms, other.terms)
        if self.lanes is None:
            lanes = other.lanes
        elif other.lanes is None:
            lanes = self.lanes
        else:
            lanes = tuple([a + b for a, b in zip(self.lanes, other.lanes, strict=True)])
        return Index(
            terms,
            self.const + other.const,
            lanes,
            self.low + other.low,
            self.high + other.high,
            self.vector if self.vector is not None else other.vector,
        )

    def __mul__(self, factor: int) -> Index:
        if factor == 1:
            return self
        if factor == 0 or self is ZERO:
            return ZERO
        if self.vector is not None:
            raise ValueError("a part that differs between lanes at run time must be scaled by the caller")
        low, high = self.low * factor, self.high * factor
        return Index(
            tuple([(v, c * factor) for v, c in self.terms]),
            self.const * factor,
            None if self.lanes is None else tuple([k * factor for k in self.lanes]),
            min(low, high),
            max(low, high),
        )

    def plus(self, indices: Iterable[Index], factors: Iterable[int]) -> Index:
        """This index and Σ factor·index, as by `+` and `*`, in one go: addresses are made of them."""
        terms, const, lanes, low, high, vector = (
            self.terms, self.const, self.lanes, self.low, self.high, self.vector,
        )  # fmt: skip
        for index, factor in zip(indices, factors, strict=True):
            if not factor or index is ZERO:
                continue
            if index.vector is not None:
                if factor != 1 or vector is not None:
                    raise ValueError(
                        "an index has one part at most that run time knows, lane by lane, unscaled"
                    )
                vector = index.vector
            const += index.const * factor
            if factor > 0:
                low += index.low * factor
                high += index.high * factor
            else:
                low += index.high * factor
                high += index.low * factor
            if index.terms:
                scaled = index.terms if factor == 1 else tuple([(v, c * factor) for v, c in index.terms])
                terms = _merged(terms, scaled) if terms else scaled
            if index.lanes is not None:
                own = index.lanes if factor == 1 else tuple([k * factor for k in index.lanes])
                lanes = own if lanes is None else tuple([a + b for a, b in zip(lanes, own, strict=True)])
        if terms is self.terms and const == self.const and lanes is self.lanes and vector is self.vector:
            return self
        return Index(terms, const, lanes, low, high, vector)

    def static_lanes(self, count: int) -> tuple[int, ...]:
        """The index in each of `count` lanes, if it is static."""
        if self.lanes is None:
            return (self.const,) * count
        return tuple([self.const + k for k in self.lanes])

    def variable(self, e: Emitter) -> Value | None:
        """Σ coefficient·variable as an i64, or None if there are no variables."""
        total: Value | None = None
        # Summed from the outermost level inwards, so that each partial sum stands as far out as it can.
        for v, c in sorted(self.terms, key=lambda term: term[0].level):
            v = e.local(v)
            part = v if c == 1 else e.mul(v, constant(c, "i64"))
            total = part if total is None else e.add(total, part)
        return total

    def scalar(self, e: Emitter) -> Value:
        """The part that is the same in all lanes, as an i64."""
        total = self.variable(e)
        if total is None:
            return constant(self.const, "i64")
        return e.add(total, constant(self.const, "i64")) if self.const else total

    def value(self, e: Emitter) -> Value:
        """The index as an i64, or a vector of them."""
        result = self.scalar(e)
        if self.lanes is not None:
            lanes = Value(vector_literal(self.lanes, "i64"), "i64", len(self.lanes), 0)
            result = e.add(result, lanes)
        if self.vector is not None:
            result = e.add(self.vector, result)
        return result


def _merged(some: _Terms, others: _Terms) -> _Terms:
    """The terms of a sum."""
    if len(some) == len(others) == 1 and some[0][0].name != others[0][0].name:
        return some + others
    sums = {v.name: (v, c) for v, c in some}
    for v, c in others:
        sums[v.name] = (v, sums[v.name][1] + c) if v.name in sums else (v, c)
    return tuple([(v, c) for v, c in sums.values() if c])


ZERO = Index.of(0)
