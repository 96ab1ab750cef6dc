"""The values on edges: known numbers, or scalars that the program computes.

Multiplying by 1 or -1 and by what is known costs nothing while the program is staged: a sign is carried
along, products of known numbers are numbers, and sums with a negative become differences.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.array import scalar
from ...ops.arithmetic import add_p, mul_p, sub_p
from ...ops.complex import neg_p
from ...ops.convert import convert_element_type
from ...ops.joining import slice as slice_array
from ...ops.structural import full, reshape


class Entry:
    """One entry of an array that the program computes, taken out when it is needed."""

    __slots__ = ("_array", "_index", "_value")

    def __init__(self, array: Any, index: int) -> None:
        self._array = array
        self._index = index
        self._value: Any = None

    def value(self) -> Any:
        if self._value is None:
            array = self._array
            if array.aval.size > 1:
                at = np.unravel_index(self._index, array.aval.shape)
                array = slice_array(array, [int(i) for i in at], [int(i) + 1 for i in at])
            self._value = array if array.aval.ndim == 0 else reshape(array, ())
        return self._value


class Coefficient:
    """`number`, or `number` (1 or -1) times `entry`."""

    __slots__ = ("number", "entry")

    def __init__(self, number: Any, entry: Entry | None = None) -> None:
        self.number = number
        self.entry = entry

    @property
    def unit(self) -> bool:
        """Whether this is known to be 1 or -1."""
        return self.entry is None and abs(self.number) == 1 and self.number.imag == 0

    @property
    def known(self) -> bool:
        return self.entry is None

    def negative(self) -> Coefficient:
        return Coefficient(-self.number, self.entry)

    def value(self, dtype: Any) -> Any:
        """The coefficient as a scalar of this dtype."""
        if self.entry is None:
            return full((), dtype.type(self.number), dtype)
        value = _as(self.entry.value(), dtype)
        return neg_p.bind(value) if self.number == -1 else value


ONE = Coefficient(1.0)


class Arithmetic:
    """Sums and products of coefficients, with the number of multiplications that the program makes."""

    __slots__ = ("multiplications", "additions")

    def __init__(self) -> None:
        self.multiplications = 0
        self.additions = 0

    def times(self, x: Coefficient, y: Coefficient, dtype: Any) -> Coefficient:
        """The product, computed in `dtype`."""
        if x.entry is None and y.entry is None:
            return Coefficient(_round(x.number * y.number, dtype))
        if x.unit or y.unit:
            unit, other = (x, y) if x.unit else (y, x)
            return other if unit.number == 1 else other.negative()
        self.multiplications += 1
        sign = 1.0
        factors = []
        for c in (x, y):
            if c.entry is None:
                factors.append(scalar(dtype.type(c.number).item(), dtype))
            else:
                sign *= c.number
                factors.append(_as(c.entry.value(), dtype))
        return Coefficient(sign, Entry(mul_p.bind(*factors), 0))

    def plus(self, x: Coefficient, y: Coefficient, dtype: Any) -> Coefficient:
        """The sum, computed in `dtype`."""
        if x.entry is None and y.entry is None:
            return Coefficient(_round(x.number + y.number, dtype))
        self.additions += 1
        if x.entry is None or y.entry is None:
            known, other = (x, y) if x.entry is None else (y, x)
            assert other.entry is not None
            number = scalar(dtype.type(known.number).item(), dtype)
            value = _as(other.entry.value(), dtype)
            total = add_p.bind(value, number) if other.number == 1 else sub_p.bind(number, value)
            return Coefficient(1.0, Entry(total, 0))
        a, b = _as(x.entry.value(), dtype), _as(y.entry.value(), dtype)
        if x.number == y.number:
            return Coefficient(x.number, Entry(add_p.bind(a, b), 0))
        total = sub_p.bind(a, b) if x.number == 1 else sub_p.bind(b, a)
        return Coefficient(1.0, Entry(total, 0))


def _as(value: Any, dtype: Any) -> Any:
    if value.aval.dtype == dtype and not value.aval.weak_type:
        return value
    return convert_element_type(value, dtype)


def _round(number: Any, dtype: Any) -> Any:
    return dtype.type(number).item()
