"""Kernels of `ops.cumulative`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.primitive import Primitive
from ...ops import cumulative as ops
from .register import kernel
from .structural import LOW_PRECISION

Array = np.ndarray[Any, Any]


def _accumulate(primitive: Primitive, function: np.ufunc) -> None:
    def run(x: Array, *, axis: int, reverse: bool) -> Array:
        wide = np.dtype(np.float32) if x.dtype.char in LOW_PRECISION else x.dtype
        given = np.flip(x, axis) if reverse else x
        out: Array = function.accumulate(given, axis=axis, dtype=wide)
        if wide is not x.dtype:
            out = out.astype(x.dtype)
        return np.flip(out, axis) if reverse else out

    kernel(primitive)(run)


_accumulate(ops.cumsum_p, np.add)
_accumulate(ops.cumprod_p, np.multiply)
_accumulate(ops.cummax_p, np.maximum)
_accumulate(ops.cummin_p, np.minimum)
_accumulate(ops.cumlogsumexp_p, np.logaddexp)
