"""Norms of vectors and matrices, for `numpy.linalg`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.array import Array
from ...core.kinds import kind
from ...ops import spectral
from ...ops.structural import canonical_axis, reshape, transpose
from . import creation, elementwise, reductions
from .promotion import promote_inexact

__all__ = ["matrix_norm", "norm", "vector_norm"]


def squared(x: Any) -> Any:
    """|x|^2, real."""
    if kind(x.aval.dtype) == "c":
        return elementwise.real(x * elementwise.conj(x))
    return x * x


def _axes(axis: Any, rank: int) -> tuple[int, ...]:
    """The axes that None (all), an integer or several mean, in the given order."""
    if axis is None:
        return tuple(range(rank))
    return tuple(canonical_axis(i, rank) for i in (axis if isinstance(axis, (tuple, list)) else (axis,)))


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    """The norm of vectors or matrices.

    Args:
        x: an array.
        ord: for vectors inf, -inf, 0 or any number p; for matrices "fro", "nuc", inf, -inf, 1, -1, 2, -2;
            None is the 2-norm of all elements along the axes.
        axis: an axis (vectors), two (matrices), or None: the whole array.
        keepdims: whether reduced axes stay as dimensions of size 1.
    """
    (a,) = promote_inexact("linalg.norm", x)
    if axis is None and ord is None:
        return elementwise.sqrt(reductions.sum(squared(a), keepdims=keepdims))
    axes = _axes(axis, a.aval.ndim)
    if len(axes) == 1:
        return _vector_norm(a, 2 if ord is None else ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix_norm(a, ord, axes, keepdims)
    raise ValueError(
        f"linalg.norm: one axis (vectors) or two (matrices) are possible; got {axes} for ord={ord!r}"
    )


def _vector_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    options: dict[str, Any] = {"axis": axes, "keepdims": keepdims}
    if isinstance(ord, str):
        raise ValueError(
            f"linalg.norm: ord={ord!r} is no norm of vectors; use a number, or two axes for matrices"
        )
    if ord == 2:
        return elementwise.sqrt(reductions.sum(squared(x), **options))
    size = elementwise.abs(x)
    if ord == np.inf:
        return reductions.max(size, **options)
    if ord == -np.inf:
        return reductions.min(size, **options)
    if ord == 0:
        return reductions.sum(x != 0, dtype=size.dtype, **options)
    if ord == 1:
        return reductions.sum(size, **options)
    p = creation.asarray(ord, dtype=size.dtype)
    return elementwise.power(reductions.sum(elementwise.power(size, p), **options), 1 / p)


def _matrix_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    rows, columns = axes
    if rows == columns:
        raise ValueError(f"linalg.norm: the two axes of matrices must differ; got {axes}")
    if ord is None or ord in ("f", "fro"):
        return elementwise.sqrt(reductions.sum(squared(x), axis=axes, keepdims=keepdims))
    if ord in (1, -1, np.inf, -np.inf):
        summed, searched = (rows, columns) if abs(ord) == 1 else (columns, rows)
        sums = reductions.sum(elementwise.abs(x), axis=summed, keepdims=True)
        extremum = reductions.max if ord > 0 else reductions.min
        out = extremum(sums, axis=searched, keepdims=True)
    elif ord in (2, -2, "nuc"):
        order = [i for i in range(x.aval.ndim) if i not in axes] + [rows, columns]
        s = spectral.svd(transpose(x, order), compute_uv=False)
        reduce: Any = {2: reductions.max, -2: reductions.min, "nuc": reductions.sum}[ord]
        reduced = reduce(s, axis=-1)
        lead = iter(reduced.shape)
        out = reshape(reduced, [1 if i in axes else next(lead) for i in range(x.aval.ndim)])
    else:
        raise ValueError(
            f"linalg.norm: ord={ord!r} is no norm of matrices; use 'fro', 'nuc', inf, -inf, 1, -1, 2 or -2"
        )
    if keepdims:
        return out
    return reshape(out, [d for i, d in enumerate(out.shape) if i not in axes])


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Array:
    """The norm of vectors along one or several axes (default: all elements)."""
    (a,) = promote_inexact("linalg.vector_norm", x)
    return _vector_norm(a, ord, _axes(axis, a.aval.ndim), keepdims)


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Array:
    """The norm of matrices in the last two dimensions."""
    return norm(x, ord, (-2, -1), keepdims)
