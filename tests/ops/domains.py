"""Arguments for the samples of elementwise operations."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

Array = np.ndarray[Any, Any]

FLOAT16 = np.dtype(np.float16)
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e-37, 3e38, -3e38]
DTYPE_NAMES = {
    "float16": "f16",
    "bfloat16": "bf16",
    "float32": "f32",
    "float64": "f64",
    "complex64": "c64",
    "complex128": "c128",
    "int8": "i8",
    "int32": "i32",
    "int64": "i64",
    "uint8": "u8",
    "uint32": "u32",
    "bool": "bool",
}


def uniform(low: float, high: float, shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Array:
    """Random numbers in [low, high); for complex dtypes both parts are."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(low, high, shape)
    if np.dtype(dtype).kind == "c":
        values = values + 1j * rng.uniform(low, high, shape)
    return np.asarray(values).astype(dtype)


def integers(low: int, high: int, shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Array:
    """Random integers in [low, high]."""
    return np.asarray(np.random.default_rng(seed).integers(low, high, shape, endpoint=True)).astype(dtype)


def distinct(shape: tuple[int, ...], dtype: Any, seed: int = 0, spread: float = 0.25) -> Array:
    """A random order of numbers at least `spread` apart, around zero, none of them zero."""
    size = int(np.prod(shape))
    values = (np.random.default_rng(seed).permutation(size) - size / 2 + 0.25) * spread
    return values.reshape(shape).astype(dtype)
