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
    if new_dtype.kind in "iu" and x.dtype.kind in "fV":
        return _saturated(x, new_dtype)
    return x.astype(new_dtype)


def _saturated(x: Array, dtype: np.dtype[Any]) -> Array:
    """Floats as integers: out of range the nearest one, and 0 for NaN (a plain cast would be undefined)."""
    info = np.iinfo(dtype)
    low, limit = float(info.min), float(info.max // 2 + 1) * 2
    wide = x.astype(np.float64)
    if wide.size and low < np.minimum.reduce(wide, axis=None) and np.maximum.reduce(wide, axis=None) < limit:
        return wide.astype(dtype)  # the usual case; NaN fails the comparisons
    out = np.where((wide > low) & (wide < limit), wide, 0.0).astype(dtype)
    out = np.where(wide >= limit, info.max, out)
    return np.where(wide <= low, info.min, out)


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
