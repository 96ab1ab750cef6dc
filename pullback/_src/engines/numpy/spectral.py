"""Kernels of `ops.spectral`. Matrices for which an iteration does not converge (NaNs, infinities)
give NaNs.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ...ops import spectral as ops
from .lapack import complex_of, indices, lapack, per_matrix, real_of
from .register import kernel

Array = np.ndarray[Any, Any]


@kernel(ops.eigh_p)
def eigh(x: Array, *, lower: bool) -> tuple[Array, Array]:
    triangle: Literal["L", "U"] = "L" if lower else "U"
    try:
        w, v = np.linalg.eigh(x, triangle)
    except np.linalg.LinAlgError:
        outputs = (np.empty(x.shape[:-1], real_of(x.dtype)), np.empty_like(x))
        w, v = per_matrix(lambda a: np.linalg.eigh(a, triangle), x, outputs)
    return v, w


@kernel(ops.eigvalsh_p)
def eigvalsh(x: Array, *, lower: bool) -> Array:
    triangle: Literal["L", "U"] = "L" if lower else "U"
    try:
        return np.linalg.eigvalsh(x, triangle)
    except np.linalg.LinAlgError:
        output = np.empty(x.shape[:-1], real_of(x.dtype))
        return per_matrix(lambda a: (np.linalg.eigvalsh(a, triangle),), x, (output,))[0]


@kernel(ops.svd_p)
def svd(x: Array, *, full_matrices: bool, compute_uv: bool) -> tuple[Array, ...]:
    def one(a: Array) -> tuple[Array, ...]:
        if not compute_uv:
            return (np.linalg.svd(a, compute_uv=False),)
        u, s, vh = np.linalg.svd(a, full_matrices=full_matrices)
        return s, u, vh

    try:
        return one(x)
    except np.linalg.LinAlgError:
        rows, columns = x.shape[-2:]
        batch = x.shape[:-2]
        k = min(rows, columns)
        outputs = [np.empty((*batch, k), real_of(x.dtype))]
        if compute_uv:
            outputs.append(np.empty((*batch, rows, rows if full_matrices else k), x.dtype))
            outputs.append(np.empty((*batch, columns if full_matrices else k, columns), x.dtype))
        return per_matrix(one, x, tuple(outputs))


@kernel(ops.eig_p)
def eig(x: Array, *, compute_left_eigenvectors: bool, compute_right_eigenvectors: bool) -> tuple[Array, ...]:
    dtype = complex_of(x.dtype)

    def one(a: Array) -> tuple[Array, ...]:
        if compute_left_eigenvectors:
            from scipy.linalg import eig as general

            if a.size == 0:
                w, vectors = np.zeros(a.shape[:-1]), [a] * (1 + compute_right_eigenvectors)
            else:
                w, *vectors = general(a, left=True, right=compute_right_eigenvectors)
        elif compute_right_eigenvectors:
            w, *vectors = np.linalg.eig(a)
        else:
            w, vectors = np.linalg.eigvals(a), []
        return tuple(result.astype(dtype, copy=False) for result in (w, *vectors))

    if not compute_left_eigenvectors or x.ndim == 2:
        try:
            return one(x)
        except (np.linalg.LinAlgError, ValueError):
            pass
    count = compute_left_eigenvectors + compute_right_eigenvectors
    outputs = (np.empty(x.shape[:-1], dtype), *(np.empty(x.shape, dtype) for _ in range(count)))
    return per_matrix(one, x, outputs)


@kernel(ops.schur_p)
def schur(x: Array, *, compute_schur_vectors: bool) -> tuple[Array, ...]:
    from scipy.linalg import schur as decompose

    outputs = tuple(np.empty_like(x) for _ in range(1 + compute_schur_vectors))
    return per_matrix(lambda a: decompose(a, output="real")[: len(outputs)], x, outputs)


@kernel(ops.hessenberg_p)
def hessenberg(x: Array) -> tuple[Array, Array]:
    n = x.shape[-1]
    out, taus = np.array(x), np.zeros((*x.shape[:-2], max(n - 1, 0)), x.dtype)
    if n > 1:
        for index in indices(x):
            out[index], taus[index], _ = lapack("gehrd", x.dtype)(x[index])
    return out, taus


@kernel(ops.tridiagonal_p)
def tridiagonal(x: Array, *, lower: bool) -> tuple[Array, ...]:
    n = x.shape[-1]
    batch = x.shape[:-2]
    shorter = (*batch, max(n - 1, 0))
    out = np.array(x)
    d, e = np.empty((*batch, n), real_of(x.dtype)), np.empty(shorter, real_of(x.dtype))
    taus = np.empty(shorter, x.dtype)
    if x.size:
        routine = lapack("hetrd" if x.dtype.kind == "c" else "sytrd", x.dtype)
        for index in indices(x):
            out[index], d[index], e[index], taus[index], _ = routine(x[index], lower=lower)
    return out, d, e, taus
