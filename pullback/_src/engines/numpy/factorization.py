"""Kernels of `ops.factorization`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import factorization as ops
from .lapack import indices, lapack, per_matrix
from .register import kernel

Array = np.ndarray[Any, Any]


@kernel(ops.cholesky_p)
def cholesky(x: Array) -> Array:
    try:
        return np.linalg.cholesky(x)
    except np.linalg.LinAlgError:
        # NumPy gives up on the whole stack if one matrix is not positive definite.
        (out,) = per_matrix(lambda a: (np.linalg.cholesky(a),), x, (np.empty_like(x),))
        return np.tril(out)


@kernel(ops.lu_p)
def lu(x: Array) -> tuple[Array, Array, Array]:
    rows, columns = x.shape[-2:]
    batch = x.shape[:-2]
    factors = np.empty_like(x)
    pivots = np.empty((*batch, min(rows, columns)), np.int32)
    if x.size:
        getrf = lapack("getrf", x.dtype)
        for index in indices(x):
            factors[index], pivots[index], _ = getrf(x[index])
    return factors, pivots, lu_pivots_to_permutation(pivots, permutation_size=rows)


@kernel(ops.lu_pivots_to_permutation_p)
def lu_pivots_to_permutation(pivots: Array, *, permutation_size: int) -> Array:
    batch = pivots.shape[:-1]
    out = np.empty((*batch, permutation_size), pivots.dtype)
    out[...] = np.arange(permutation_size)
    for index in np.ndindex(batch):
        row = out[index]
        for i, j in enumerate(pivots[index].tolist()):
            if not 0 <= j < permutation_size:
                raise IndexError(f"lu_pivots_to_permutation: pivot {j} is no row of {permutation_size}")
            row[i], row[j] = row[j], row[i]
    return out


@kernel(ops.qr_p)
def qr(x: Array, *, pivoting: bool, full_matrices: bool) -> tuple[Array, ...]:
    if pivoting:
        return _pivoted(x, full_matrices)
    q, r = np.linalg.qr(x, mode="complete" if full_matrices else "reduced")
    return q, r


def _pivoted(x: Array, full_matrices: bool) -> tuple[Array, ...]:
    from scipy.linalg import qr as factorize

    rows, columns = x.shape[-2:]
    batch = x.shape[:-2]
    k = rows if full_matrices else min(rows, columns)
    outputs = (
        np.empty((*batch, rows, k), x.dtype),
        np.empty((*batch, k, columns), x.dtype),
        np.empty((*batch, columns), np.int32),
    )
    for index in indices(x):
        results = factorize(
            x[index], pivoting=True, mode="full" if full_matrices else "economic", check_finite=False
        )
        for out, result in zip(outputs, results, strict=True):
            out[index] = result
    return outputs


@kernel(ops.geqrf_p)
def geqrf(x: Array) -> tuple[Array, Array]:
    reflectors = np.empty_like(x)
    taus = np.empty((*x.shape[:-2], min(x.shape[-2:])), x.dtype)
    if x.size:
        for index in indices(x):
            reflectors[index], taus[index], *_ = lapack("geqrf", x.dtype)(x[index])
    return reflectors, taus


@kernel(ops.householder_product_p)
def householder_product(a: Array, taus: Array) -> Array:
    out = np.empty_like(a)
    if a.size:
        routine = lapack("ungqr" if a.dtype.kind == "c" else "orgqr", a.dtype)
        for index in indices(a):
            out[index] = routine(a[index], taus[index])[0]
    return out
