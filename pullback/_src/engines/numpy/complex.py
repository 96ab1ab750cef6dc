"""Kernels of `ops.complex`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core import dtypes
from ...ops import complex as ops
from .register import kernel, ufunc

Array = np.ndarray[Any, Any]

ufunc(ops.neg_p, np.negative)
ufunc(ops.conj_p, np.conjugate)


@kernel(ops.real_p)
def real(z: Array) -> Array:
    return np.array(z.real)


@kernel(ops.imag_p)
def imag(z: Array) -> Array:
    return np.array(z.imag)


@kernel(ops.complex_p)
def complex(x: Array, y: Array) -> Array:
    out = np.empty(np.broadcast_shapes(x.shape, y.shape), dtypes.to_complex_dtype(x.dtype))
    out.real = x
    out.imag = y
    return out
