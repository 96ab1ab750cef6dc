"""Kernels of `ops.determinant`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import determinant as ops
from .register import kernel

Array = np.ndarray[Any, Any]


@kernel(ops.det_p)
def det(x: Array) -> Array:
    return np.asarray(np.linalg.det(x))


@kernel(ops.cofactor_p)
def cofactor(x: Array) -> Array:
    n = x.shape[-1]
    if n == 2:
        out = np.empty_like(x)
        out[..., 0, 0], out[..., 1, 1] = x[..., 1, 1], x[..., 0, 0]
        out[..., 0, 1], out[..., 1, 0] = -x[..., 1, 0], -x[..., 0, 1]
        return out
    try:
        u, s, vh = np.linalg.svd(x)
    except np.linalg.LinAlgError:
        return np.full_like(x, np.nan)
    others = np.ones_like(s)
    for i in range(n):
        others[..., i] = np.prod(s[..., :i], axis=-1) * np.prod(s[..., i + 1 :], axis=-1)
    phase = np.linalg.det(u) * np.linalg.det(vh)
    product: Array = np.matmul(u.conj() * (others * np.asarray(phase)[..., None])[..., None, :], vh.conj())
    return product


@kernel(ops.slogdet_p)
def slogdet(x: Array) -> tuple[Array, Array]:
    sign, logdet = np.linalg.slogdet(x)
    return np.asarray(sign), np.asarray(logdet)


@kernel(ops.pinv_p)
def pinv(x: Array, rtol: Array) -> Array:
    try:
        return np.linalg.pinv(x, rtol)
    except np.linalg.LinAlgError:
        return np.full((*x.shape[:-2], x.shape[-1], x.shape[-2]), np.nan, x.dtype)
