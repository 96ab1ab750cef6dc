"""Kernel of `ops.iota`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import iota as ops
from .register import kernel

Array = np.ndarray[Any, Any]


@kernel(ops.iota_p)
def iota(*, dtype: np.dtype[Any], shape: tuple[int, ...], dimension: int) -> Array:
    line = np.arange(shape[dimension]).astype(dtype)
    if len(shape) == 1:
        return line
    return np.broadcast_to(line.reshape(line.size, *([1] * (len(shape) - dimension - 1))), shape)
