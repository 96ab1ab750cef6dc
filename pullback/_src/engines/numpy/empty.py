"""Kernel of `ops.empty`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import empty as ops
from .register import kernel


@kernel(ops.empty_p)
def empty(*, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    return np.empty(shape, dtype)
