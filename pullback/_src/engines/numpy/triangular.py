"""Kernels of `ops.triangular`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import triangular as ops
from .lapack import blas, indices, lapack
from .register import kernel

Array = np.ndarray[Any, Any]


@kernel(ops.triangular_solve_p)
def triangular_solve(
    a: Array,
    b: Array,
    *,
    left_side: bool,
    lower: bool,
    transpose_a: bool,
    conjugate_a: bool,
    unit_diagonal: bool,
) -> Array:
    if b.size == 0:
        return np.zeros_like(b)
    if a.ndim == 2:
        return _one(a, b, left_side, lower, transpose_a, conjugate_a, unit_diagonal)
    n = a.shape[-1]
    if a.size // (n * n) <= n:
        out = np.empty_like(b)
        for index in indices(a):
            out[index] = _one(a[index], b[index], left_side, lower, transpose_a, conjugate_a, unit_diagonal)
        return out
    # Many small systems: substitution, a row of all systems at once.
    if conjugate_a:
        a = a.conj()
    if transpose_a != (not left_side):  # X op(A) = B is op(A)^T X^T = B^T
        a = a.swapaxes(-1, -2)
        lower = not lower
    x = np.array(b if left_side else b.swapaxes(-1, -2))
    order = range(n) if lower else range(n - 1, -1, -1)
    for i in order:
        if not unit_diagonal:
            x[..., i, :] /= a[..., i, i, None]
        rest = np.s_[i + 1 :] if lower else np.s_[:i]
        x[..., rest, :] -= a[..., rest, i, None] * x[..., i, None, :]
    return x if left_side else x.swapaxes(-1, -2)


def _one(
    a: Array,
    b: Array,
    left_side: bool,
    lower: bool,
    transpose_a: bool,
    conjugate_a: bool,
    unit_diagonal: bool,
) -> Array:
    if conjugate_a and not transpose_a:
        a = a.conj()
    if a.flags.c_contiguous:
        # In BLAS's column-major order these bytes are the transposed matrix.
        a, lower = a.T, not lower
        transposed = 0 if transpose_a else 1
        if transpose_a and conjugate_a:
            a = a.conj()
    else:
        transposed = (2 if conjugate_a else 1) if transpose_a else 0
    out: Array = blas("trsm", b.dtype)(
        1.0, a, b, side=0 if left_side else 1, lower=lower, trans_a=transposed, diag=unit_diagonal
    )
    return out


@kernel(ops.solve_p)
def solve(a: Array, b: Array, *, transpose_a: bool) -> Array:
    if transpose_a:
        a = a.swapaxes(-1, -2)
    try:
        return np.linalg.solve(a, b)
    except np.linalg.LinAlgError:
        pass
    out = np.empty_like(b)
    for index in indices(a):
        out[index] = solve_regardless(a[index], b[index])
    return out


def solve_regardless(a: Array, b: Array) -> Array:
    """The solution by factors, dividing by zero where the matrix is singular."""
    lu, pivots, _ = lapack("getrf", a.dtype)(a)
    out: Array = lapack("getrs", a.dtype)(lu, pivots, b)[0]
    return out


@kernel(ops.inv_p)
def inv(a: Array) -> Array:
    try:
        return np.linalg.inv(a)
    except np.linalg.LinAlgError:
        pass
    out = np.empty_like(a)
    eye = np.eye(a.shape[-1], dtype=a.dtype)
    for index in indices(a):
        out[index] = solve_regardless(a[index], eye)
    return out


@kernel(ops.tridiagonal_solve_p)
def tridiagonal_solve(dl: Array, d: Array, du: Array, b: Array) -> Array:
    out = np.empty_like(b)
    if b.size == 0:
        return out
    for index in indices(b):
        *_, x, info = lapack("gtsv", b.dtype)(dl[index][1:], d[index], du[index][:-1], b[index])
        out[index] = x if info == 0 else np.nan
    return out
