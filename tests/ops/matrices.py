"""Well-conditioned random matrices for the tests of linear algebra."""

from __future__ import annotations

from typing import Any

import numpy as np

from .domains import uniform

Array = np.ndarray[Any, Any]
REAL_AND_COMPLEX = (np.float64, np.complex128)


def general(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Array:
    """Random matrices, square ones with a dominant diagonal of distinct elements, in no particular order."""
    x = uniform(-1, 1, shape, dtype, seed)
    if shape[-1] == shape[-2]:
        x = x + np.diag(np.roll(1.5 + np.arange(shape[-1]), 1)).astype(dtype)
    return x.astype(dtype)


def hermitian(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Array:
    """Random Hermitian matrices with well separated eigenvalues."""
    x = uniform(-1, 1, shape, dtype, seed)
    x = (x + np.conj(np.swapaxes(x, -1, -2))) / 2
    return (x + np.diag(3.0 * np.arange(shape[-1]))).astype(dtype)


def positive(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Array:
    """Random Hermitian positive definite matrices."""
    return (hermitian(shape, dtype, seed) + 3 * np.eye(shape[-1])).astype(dtype)


def triangular(shape: tuple[int, ...], dtype: Any, lower: bool = True, seed: int = 0) -> Array:
    """Random triangular matrices with ones in the other triangle, which nothing may read."""
    x = general(shape, dtype, seed)
    ones = np.ones(shape)
    return (np.tril(x) + np.triu(ones, 1) if lower else np.triu(x) + np.tril(ones, -1)).astype(dtype)
