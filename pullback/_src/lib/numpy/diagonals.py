"""Diagonals of matrices, matrices with a diagonal, and triangles."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.array import Array, ConcreteArray, wrap
from ...core.aval import shaped_array
from ...core.kinds import kind
from ...core.primitive import Primitive
from ...core.trace import CURRENT
from ...ops.arithmetic import add_p
from ...ops.compare import ge_p, le_p, select_n_p
from ...ops.iota import iota_p
from ...ops.joining import pad_p
from ...ops.structural import full
from ...ops.structural import reshape as lax_reshape
from .indexing import general_getitem
from .indices import as_axis
from .manipulation import moveaxis, ravel
from .promotion import arraylike

__all__ = ["diag", "diagflat", "diagonal", "tril", "triu"]

_current = CURRENT.get
_INT32 = np.dtype(np.int32)


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The elements a[..., i, i + offset] of the planes of `axis1` and `axis2`, along a new last dimension."""
    x = arraylike("diagonal", a)
    if x.aval.ndim < 2:
        raise ValueError(f"diagonal needs at least 2 dimensions; got shape {x.aval.shape}")
    first, second = as_axis(axis1, x.aval.ndim), as_axis(axis2, x.aval.ndim)
    if first == second:
        raise ValueError(f"diagonal: axis1 and axis2 must differ; got {axis1} and {axis2}")
    if type(x) is ConcreteArray and _current().eager:
        data = np.diagonal(x._data, operator.index(offset), first, second)
        return ConcreteArray(data, shaped_array(data.shape, x.aval.dtype, x.aval.weak_type))
    x = moveaxis(x, (first, second), (-2, -1))
    rows, columns = x.aval.shape[-2:]
    offset = operator.index(offset)
    count = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    steps = np.arange(count, dtype=np.int32)
    at = (..., wrap(steps - np.int32(min(offset, 0))), wrap(steps + np.int32(max(offset, 0))))
    if count == 0:
        return full((*x.aval.shape[:-2], 0), False if kind(x.aval.dtype) == "b" else 0, x.aval.dtype)
    return general_getitem(x, at, unique_indices=True, indices_are_sorted=True)


def diag(v: Any, k: int = 0) -> Array:
    """The matrix with `v` on its k-th diagonal, or, if `v` is a matrix, its k-th diagonal."""
    x = arraylike("diag", v)
    k = operator.index(k)
    if x.aval.ndim == 2:
        return diagonal(x, k)
    if x.aval.ndim != 1:
        raise ValueError(f"diag needs 1 or 2 dimensions; got shape {x.aval.shape}")
    if type(x) is ConcreteArray and _current().eager:
        data = np.diag(x._data, k)
        return ConcreteArray(data, shaped_array(data.shape, x.aval.dtype, x.aval.weak_type))
    # Element i of the flat matrix of n columns is at i (n + 1), shifted by k columns or -k rows.
    size = x.aval.size
    n = size + abs(k)
    if size == 0:
        return full((n, n), False if kind(x.aval.dtype) == "b" else 0, x.aval.dtype)
    start = k if k >= 0 else -k * n
    used = (size - 1) * (n + 1) + 1
    zero = full((), False if kind(x.aval.dtype) == "b" else 0, x.aval.dtype)
    flat = pad_p.bind(x, zero, padding_config=((start, n * n - start - used, n),))
    return lax_reshape(flat, (n, n))


def diagflat(v: Any, k: int = 0) -> Array:
    """The matrix with the flattened `v` on its k-th diagonal."""
    return diag(ravel(v), k)


def _triangle(name: str, m: Any, k: int, keep: Primitive) -> Array:
    x = arraylike(name, m)
    if x.aval.ndim < 2:
        raise ValueError(f"{name} needs at least 2 dimensions; got shape {x.aval.shape}")
    if type(x) is ConcreteArray and _current().eager:
        cut = np.tril if keep is le_p else np.triu
        return ConcreteArray(cut(x._data, operator.index(k)), x.aval)
    rows, columns = x.aval.shape[-2:]
    row = iota_p.bind(dtype=_INT32, shape=(rows, 1), dimension=0)
    column = iota_p.bind(dtype=_INT32, shape=(1, columns), dimension=1)
    inside = keep.bind(column, add_p.bind(row, full((), operator.index(k), _INT32)))
    zero = full((), False if kind(x.aval.dtype) == "b" else 0, x.aval.dtype)
    return select_n_p.bind(inside, zero, x)


def tril(m: Any, k: int = 0) -> Array:
    """Matrices (the last two dimensions) with zeros above the k-th diagonal."""
    return _triangle("tril", m, k, le_p)


def triu(m: Any, k: int = 0) -> Array:
    """Matrices (the last two dimensions) with zeros below the k-th diagonal."""
    return _triangle("triu", m, k, ge_p)


METHODS: dict[str, Callable[..., Any]] = {"diagonal": diagonal}
"""Functions that are methods of arrays, under the same names."""
