"""Kernels of `ops.diagonal`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import diagonal as ops
from .register import kernel

Array = np.ndarray[Any, Any]


@kernel(ops.embed_diagonal_p)
def embed_diagonal(x: Array) -> Array:
    size = x.shape[-1]
    out = np.zeros((*x.shape, size), x.dtype)
    # The diagonal is every (size + 1)-th element of each matrix.
    out.reshape(*x.shape[:-1], size * size)[..., :: size + 1] = x
    return out


@kernel(ops.extract_diagonal_p)
def extract_diagonal(x: Array) -> Array:
    return np.diagonal(x, axis1=-2, axis2=-1)
