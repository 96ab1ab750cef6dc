"""Kernels of `ops.convert`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import convert as ops
from .register import kernel

Array = np.ndarray[Any, Any]


@kernel(ops.convert_element_type_p)
def convert_element_type(x: Array, *, new_dtype: np.dtype[Any], weak_type: bool) -> Array:
    if x.dtype.kind == "c" and new_dtype.kind not in "cb":
        x = x.real
    if x.dtype.kind == "f" and new_dtype.kind in "iu":
        # Out of range saturates and NaN becomes 0; a plain cast would be undefined.
        info = np.iinfo(new_dtype)
        low, high = float(info.min), float(info.max)
        if x.size and not (low <= np.minimum.reduce(x, None) and np.maximum.reduce(x, None) < high):
            inside = np.clip(np.nan_to_num(x, nan=0.0, posinf=np.inf, neginf=-np.inf), low, high)
            above = inside >= high
            return np.asarray(np.where(above, info.max, np.where(above, 0, inside).astype(new_dtype)), new_dtype)
    return x.astype(new_dtype)


@kernel(ops.bitcast_convert_type_p)
def bitcast_convert_type(x: Array, *, new_dtype: np.dtype[Any]) -> Array:
    x = np.ascontiguousarray(x) if x.ndim else x
    if new_dtype.itemsize == x.dtype.itemsize:
        return x.view(new_dtype)
    if new_dtype.itemsize < x.dtype.itemsize:
        return x.reshape(*x.shape, 1).view(new_dtype)
    return x.view(new_dtype).reshape(x.shape[:-1])


@kernel(ops.copy_p)
def copy(x: Array) -> Array:
    return x.copy()


@kernel(ops.stop_gradient_p)
def stop_gradient(x: Array) -> Array:
    return x
