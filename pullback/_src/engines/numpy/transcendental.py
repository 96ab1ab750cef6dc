"""Kernels of `ops.transcendental`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import transcendental as ops
from .register import kernel, ufunc

Array = np.ndarray[Any, Any]

ufunc(ops.exp_p, np.exp)
ufunc(ops.exp2_p, np.exp2)
ufunc(ops.expm1_p, np.expm1)
ufunc(ops.log1p_p, np.log1p)
ufunc(ops.sqrt_p, np.sqrt)
ufunc(ops.cbrt_p, np.cbrt)
ufunc(ops.sin_p, np.sin)
ufunc(ops.cos_p, np.cos)
ufunc(ops.tan_p, np.tan)
ufunc(ops.asin_p, np.arcsin)
ufunc(ops.acos_p, np.arccos)
ufunc(ops.atan_p, np.arctan)
ufunc(ops.sinh_p, np.sinh)
ufunc(ops.cosh_p, np.cosh)
ufunc(ops.tanh_p, np.tanh)
ufunc(ops.asinh_p, np.arcsinh)
ufunc(ops.acosh_p, np.arccosh)
ufunc(ops.atanh_p, np.arctanh)


@kernel(ops.rsqrt_p)
def rsqrt(x: Array) -> Array:
    return np.divide(np.ones((), x.dtype), np.sqrt(x), out=...)


@kernel(ops.logistic_p)
def logistic(x: Array) -> Array:
    # exp(-x) may overflow to inf; the quotient is then 0, as it should be.
    one = np.ones((), x.dtype)
    return np.divide(one, one + np.exp(-x), out=...)


@kernel(ops.atan2_p)
def atan2(x: Array, y: Array) -> Array:
    if x.dtype.kind == "c":
        # -i log((y + ix) / sqrt(x^2 + y^2))
        return (-1j * np.log((y + 1j * x) / np.sqrt(x * x + y * y))).astype(x.dtype)
    return np.arctan2(x, y, out=...)
