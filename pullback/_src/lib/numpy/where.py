"""`where`: choice by a condition."""

from __future__ import annotations

from typing import Any

from ...core.array import Array, ConcreteArray, as_array
from ...core.kinds import kind
from ...ops.compare import select_n_p
from .logic import truth
from .promotion import check_arraylike, promote
from .sorting import nonzero

__all__ = ["where"]


def where(
    condition: Any, x: Any = None, y: Any = None, /, *, size: int | None = None, fill_value: Any = None
) -> Any:
    """Elementwise x where `condition` holds, else y; with one argument, the indices where it holds.

    The derivative goes to the chosen operand only; but an infinite or NaN derivative of the other one is
    still NaN after multiplication by zero, so make its argument harmless with a `where` of its own.

    Args:
        condition: an array or number; nonzero means True.
        x, y: arrays or numbers, which promote and broadcast together with the condition.
        size: with one argument, the fixed number of indices (see `nonzero`).
        fill_value: with `size`, what fills missing indices.

    Raises:
        TypeError: only one of x and y, or an argument that is no array or number.
        ValueError: size or fill_value with three arguments.
    """
    if (
        type(x) is ConcreteArray
        and type(y) is ConcreteArray
        and type(condition) is ConcreteArray
        and size is None
        and fill_value is None
        and x.aval.dtype is y.aval.dtype
        and condition.aval.dtype.kind == "b"
    ):
        return select_n_p.bind(condition, y, x)
    if x is None and y is None:
        check_arraylike("where", condition)
        return nonzero(condition, size=size, fill_value=fill_value)
    check_arraylike("where", condition, x, y)
    if size is not None or fill_value is not None:
        raise ValueError("where: size and fill_value are for one argument; three were given")
    test = condition if isinstance(condition, Array) else as_array(condition, name="where")
    if kind(test.aval.dtype) != "b":
        test = truth(test)
    on_true, on_false = promote("where", x, y)
    return select_n_p.bind(test, on_false, on_true)
