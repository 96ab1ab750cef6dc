"""Kernels of `ops.search`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import search as ops
from .register import kernel

Array = np.ndarray[Any, Any]


@kernel(ops.searchsorted_p)
def searchsorted(a: Array, v: Array, *, side: Any, index_dtype: np.dtype[Any]) -> Array:
    if a.dtype.kind == "V":  # ml_dtypes does not order NaN
        a, v = a.astype(np.float32), v.astype(np.float32)
    return np.asarray(np.searchsorted(a, v, side)).astype(index_dtype)
