"""Memory for arrays: `empty_p`, whose elements are whatever was there."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import rules
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.primitive import Primitive

empty_p = Primitive("empty")


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """An array whose elements must be written before they are read; nothing is written to its memory."""
    return empty_p.bind(shape=shape, dtype=dtype)


def _empty_abstract(*, shape: tuple[int, ...], dtype: np.dtype[Any]) -> ShapedArray:
    return shaped_array(shape, dtype)


def _empty_jvp(primals: Any, tangents: Any, **params: Any) -> tuple[Any, Any]:
    out = empty_p.bind(**params)
    return out, Zero(out.aval.tangent)


rules.abstract[empty_p] = _empty_abstract
rules.jvp[empty_p] = _empty_jvp
rules.batch[empty_p] = lambda axis, values, dims, **params: (empty_p.bind(**params), None)
rules.not_transposable[empty_p] = "it has no operands"
