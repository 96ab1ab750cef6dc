"""What the distributions share: standardized arguments, and supports outside of which densities vanish."""

from __future__ import annotations

import math
from typing import Any

from ....core.array import scalar
from ....ops.compare import select_n_p
from ...numpy import methods  # noqa: F401 - arrays need their operators
from ...numpy.promotion import promote_inexact


def where(condition: Any, x: Any, y: Any) -> Any:
    """x where the condition holds, else y; numbers take the dtype of the array beside them."""
    dtype = (x if hasattr(x, "aval") else y).aval.dtype
    x, y = (v if hasattr(v, "aval") else scalar(v, dtype) for v in (x, y))
    return select_n_p.bind(condition, y, x)


def inside(condition: Any, value: Any) -> Any:
    """A log density: `value` in the support, -infinity outside."""
    return where(condition, value, -math.inf)


def standardized(name: str, x: Any, loc: Any, scale: Any, *shapes: Any) -> tuple[Any, ...]:
    """(x - loc) / scale, scale, and the shape parameters, all of one dtype."""
    moved, scaled = not _is_number(loc, 0), not _is_number(scale, 1)
    x, loc, scale, *rest = promote_inexact(name, x, loc, scale, *shapes)
    z = x - loc if moved else x
    return (z / scale if scaled else z, scale, *rest)


def _is_number(x: Any, number: int) -> bool:
    """Whether x is this Python number: what is not there is not computed."""
    return type(x) in (int, float) and x == number
