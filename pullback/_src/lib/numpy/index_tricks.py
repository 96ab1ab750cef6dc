"""Arrays of indices: grids, diagonals and triangles, flat and multiple indices."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...base.errors import ConcretizationTypeError, ShapeError
from ...core import dtypes
from ...core.array import Array, ConcreteArray, wrap
from ...core.kinds import kind
from ...ops.arithmetic import clamp
from ...ops.convert import convert_element_type
from ...ops.iota import broadcasted_iota
from ...ops.structural import broadcast_in_dim, full, reshape
from . import joining, logic, operators
from .indices import concrete_array
from .promotion import arraylike, asarray, check_arraylike

__all__ = [
    "c_",
    "diag_indices",
    "diag_indices_from",
    "index_exp",
    "indices",
    "ix_",
    "mask_indices",
    "meshgrid",
    "mgrid",
    "ogrid",
    "r_",
    "ravel_multi_index",
    "s_",
    "tril_indices",
    "tril_indices_from",
    "triu_indices",
    "triu_indices_from",
    "unravel_index",
]


def _integers(data: np.ndarray[Any, Any]) -> ConcreteArray:
    return wrap(data.astype(dtypes.default_int_dtype()))


# Grids --------------------------------------------------------------------------------------------


def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> list[Array]:
    """The coordinates of a grid from those along each of its dimensions.

    Args:
        xi: 1-dimensional arrays (or numbers).
        copy: ignored: arrays are immutable.
        sparse: leave dimensions along which a coordinate does not change at size 1.
        indexing: "ij": the result's dimension i belongs to argument i; "xy": the first two are exchanged.
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing must be 'xy' or 'ij'; got {indexing!r}")
    axes = [arraylike("meshgrid", x) for x in xi]
    if any(a.aval.ndim > 1 for a in axes):
        raise ShapeError(f"meshgrid needs 1-dimensional arrays; got shapes {[a.aval.shape for a in axes]}")
    axes = [reshape(a, (a.aval.size,)) for a in axes]
    ndim = len(axes)
    places = list(range(ndim))
    if indexing == "xy" and ndim > 1:
        places[0], places[1] = 1, 0
    shape = [0] * ndim
    for a, place in zip(axes, places, strict=True):
        shape[place] = a.aval.size
    out = []
    for a, place in zip(axes, places, strict=True):
        if sparse:
            own = [1] * ndim
            own[place] = a.aval.size
            out.append(reshape(a, tuple(own)))
        else:
            out.append(broadcast_in_dim(a, shape, (place,)))
    return out


def indices(dimensions: Any, dtype: Any = None, sparse: bool = False) -> Any:
    """The indices of a grid: an array of shape [k, *dimensions], or, if sparse, k arrays that broadcast."""
    sizes = tuple(map(operator.index, dimensions))
    wanted = dtypes.default_int_dtype() if dtype is None else dtypes.check_user_dtype(dtype, "indices")
    if sparse:
        out = []
        for i, n in enumerate(sizes):
            own = [1] * len(sizes)
            own[i] = n
            out.append(broadcasted_iota(wanted, own, i))
        return tuple(out)
    if not sizes:
        return full((0,), 0, wanted)
    return joining.stack([broadcasted_iota(wanted, sizes, i) for i in range(len(sizes))])


def ix_(*args: Any) -> tuple[Array, ...]:
    """Index arrays that together index the grid of the given 1-dimensional ones (masks must be concrete)."""
    out = []
    for i, a in enumerate(args):
        x = arraylike("ix_", a)
        if x.aval.ndim != 1:
            raise ValueError(f"ix_ needs 1-dimensional arrays; got shape {x.aval.shape}")
        if kind(x.aval.dtype) == "b":
            known = concrete_array(x)
            if known is None:
                raise ConcretizationTypeError(
                    "ix_ needs concrete masks: the result's shape depends on their values"
                )
            x = _integers(np.flatnonzero(known._data))
        elif x.aval.size == 0:
            x = convert_element_type(x, dtypes.default_int_dtype())
        shape = [1] * len(args)
        shape[i] = x.aval.size
        out.append(reshape(x, tuple(shape)))
    return tuple(out)


def _range(item: slice) -> np.ndarray[Any, Any]:
    """What a slice means between the brackets of mgrid: an imaginary step is a number of points."""
    start = 0 if item.start is None else item.start
    stop, step = item.stop, 1 if item.step is None else item.step
    if stop is None:
        raise ValueError("a slice of a grid needs an end")
    parts = [p.item() if hasattr(p, "item") else p for p in (start, stop, step)]
    start, stop, step = parts
    if isinstance(step, complex):
        out = np.linspace(start, stop, int(abs(step)))
        return out.astype(dtypes.default_float_dtype())
    out = np.arange(start, stop, step)
    return out.astype(dtypes.default_int_dtype() if out.dtype.kind in "iu" else dtypes.default_float_dtype())


class _Grid:
    """`mgrid` and `ogrid`: grids from slices."""

    def __init__(self, sparse: bool) -> None:
        self._sparse = sparse

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, tuple):
            return wrap(_range(key))
        axes = [_range(item) for item in key]
        dtype = (
            dtypes.default_float_dtype()
            if any(a.dtype.kind == "f" for a in axes)
            else dtypes.default_int_dtype()
        )
        grids = np.meshgrid(*axes, indexing="ij", sparse=self._sparse)
        if self._sparse:
            return [wrap(np.array(g, dtype)) for g in grids]
        return wrap(np.stack([g.astype(dtype) for g in grids]) if grids else np.zeros((0,), dtype))

    def __repr__(self) -> str:
        return "ogrid" if self._sparse else "mgrid"


mgrid = _Grid(sparse=False)
ogrid = _Grid(sparse=True)


class _Joiner:
    """`r_` and `c_`: joining arrays, numbers and ranges written between brackets."""

    def __init__(self, name: str, axis: int, columns: bool) -> None:
        self._name = name
        self._axis = axis
        self._columns = columns

    def __getitem__(self, key: Any) -> Array:
        items = key if isinstance(key, tuple) else (key,)
        if any(isinstance(i, str) for i in items):
            raise NotImplementedError(
                f"{self._name}: directives as strings are not supported; use concatenate"
            )
        parts = []
        for item in items:
            x = wrap(_range(item)) if isinstance(item, slice) else asarray(item)
            if self._columns and x.ndim < 2:
                x = reshape(x, (x.size, 1))
            elif x.ndim == 0:
                x = reshape(x, (1,))
            parts.append(x)
        return joining.concatenate(parts, self._axis)

    def __repr__(self) -> str:
        return self._name


r_ = _Joiner("r_", 0, columns=False)
c_ = _Joiner("c_", -1, columns=True)


# Diagonals and triangles --------------------------------------------------------------------------


def diag_indices(n: int, ndim: int = 2) -> tuple[Array, ...]:
    """The indices of the diagonal of an array of `ndim` dimensions of size n."""
    n, ndim = operator.index(n), operator.index(ndim)
    if n < 0 or ndim < 0:
        raise ValueError(f"diag_indices: n and ndim must not be negative; got {n} and {ndim}")
    return (_integers(np.arange(n)),) * ndim


def diag_indices_from(arr: Any) -> tuple[Array, ...]:
    """The indices of the diagonal of `arr`, whose dimensions must have one size."""
    x = arraylike("diag_indices_from", arr)
    shape = x.aval.shape
    if len(shape) < 2 or len(set(shape)) > 1:
        raise ValueError(f"diag_indices_from needs at least 2 dimensions of one size; got shape {shape}")
    return diag_indices(shape[0], len(shape))


def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Array, Array]:
    """The indices of the elements on and below the k-th diagonal of an n x m matrix (m = n by default)."""
    rows, columns = np.tril_indices(
        operator.index(n), operator.index(k), None if m is None else operator.index(m)
    )
    return _integers(rows), _integers(columns)


def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Array, Array]:
    """The indices of the elements on and above the k-th diagonal of an n x m matrix (m = n by default)."""
    rows, columns = np.triu_indices(
        operator.index(n), operator.index(k), None if m is None else operator.index(m)
    )
    return _integers(rows), _integers(columns)


def _matrix_shape(name: str, arr: Any) -> tuple[int, int]:
    shape = np.shape(arr)
    if len(shape) != 2:
        raise ValueError(f"{name} needs a matrix; got shape {shape}")
    return shape


def tril_indices_from(arr: Any, k: int = 0) -> tuple[Array, Array]:
    """The indices of the elements on and below the k-th diagonal of a matrix."""
    rows, columns = _matrix_shape("tril_indices_from", arr)
    return tril_indices(rows, k, columns)


def triu_indices_from(arr: Any, k: int = 0) -> tuple[Array, Array]:
    """The indices of the elements on and above the k-th diagonal of a matrix."""
    rows, columns = _matrix_shape("triu_indices_from", arr)
    return triu_indices(rows, k, columns)


def mask_indices(
    n: int, mask_func: Callable[[Any, int], Any], k: int = 0, *, size: int | None = None
) -> tuple[Array, ...]:
    """The indices where `mask_func(ones((n, n)), k)` is not zero, for example with `tril` or `triu`.

    `size` cuts off or fills up (with zeros) the result.
    """
    ones = full((operator.index(n), operator.index(n)), 1, dtypes.default_int_dtype())
    known = concrete_array(asarray(mask_func(ones, k)))
    if known is None:
        raise ConcretizationTypeError("mask_indices: the mask must be concrete")
    found = np.nonzero(known._data)
    if size is not None:
        count = operator.index(size)
        found = tuple(np.pad(f[:count], (0, max(0, count - f.size))) for f in found)
    return tuple(_integers(f) for f in found)


# Flat and multiple indices ------------------------------------------------------------------------


def unravel_index(indices: Any, shape: Any) -> tuple[Array, ...]:
    """Flat indices into an array of `shape` as one index array for each dimension.

    Negative indices count from the end; indices out of range are clamped.
    """
    check_arraylike("unravel_index", indices)
    flat = asarray(indices)
    if kind(flat.aval.dtype) not in "iu":
        raise TypeError(f"unravel_index: indices must be integers; got {flat.aval.str_short()}")
    sizes = (
        (operator.index(shape),)
        if not isinstance(shape, (tuple, list))
        else tuple(map(operator.index, shape))
    )
    total = math.prod(sizes)
    if kind(flat.aval.dtype) == "i":
        flat = operators.add(flat, operators.multiply(total, logic.less(flat, 0)))
    dtype = flat.aval.dtype
    flat = clamp(full((), 0, dtype), flat, full((), max(total - 1, 0), dtype))
    out = []
    for n in reversed(sizes):
        out.append(operators.remainder_of(flat, max(n, 1)))
        flat = operators.floor_divide(flat, max(n, 1))
    return tuple(reversed(out))


def ravel_multi_index(
    multi_index: Sequence[Any], dims: Any, mode: str = "raise", order: str = "C", *, dtype: Any = None
) -> Array:
    """Index arrays, one for each dimension of an array of shape `dims`, as flat indices.

    Args:
        multi_index: integer arrays, which broadcast together.
        dims: the shape.
        mode: indices out of range: "raise" (concrete indices only), "clip" or "wrap".
        order: "C" (last dimension fastest) or "F".
        dtype: the result's dtype.
    """
    sizes = tuple(map(operator.index, dims))
    if len(sizes) != len(multi_index):
        raise ValueError(
            f"ravel_multi_index: {len(sizes)} dimensions need as many index arrays; got {len(multi_index)}"
        )
    check_arraylike("ravel_multi_index", *multi_index)
    arrays = [asarray(i) for i in multi_index]
    if any(kind(a.aval.dtype) not in "iu" for a in arrays):
        raise TypeError("ravel_multi_index: indices must be integers")
    if order not in ("C", "F"):
        raise ValueError(f"ravel_multi_index: order must be 'C' or 'F'; got {order!r}")
    within = []
    for a, n in zip(arrays, sizes, strict=True):
        if mode == "raise":
            known = concrete_array(a)
            if known is None:
                raise ConcretizationTypeError(
                    "ravel_multi_index: mode 'raise' needs concrete indices; use 'clip' or 'wrap'"
                )
            if known.aval.size and (known._data.min() < 0 or known._data.max() >= n):
                raise ValueError(
                    f"ravel_multi_index: indices must lie within 0..{n - 1} in a dimension of size {n}"
                )
        elif mode == "clip":
            a = clamp(full((), 0, a.aval.dtype), a, full((), max(n - 1, 0), a.aval.dtype))
        elif mode == "wrap":
            a = operators.remainder_of(a, n)
        else:
            raise ValueError(f"ravel_multi_index: mode must be 'raise', 'clip' or 'wrap'; got {mode!r}")
        within.append((a, n))
    if order == "F":
        within.reverse()
    out: Any = None
    for a, n in within:
        out = a if out is None else operators.add(operators.multiply(out, n), a)
    if out is None:
        out = full((), 0, dtypes.default_int_dtype())
    return (
        out
        if dtype is None
        else convert_element_type(out, dtypes.check_user_dtype(dtype, "ravel_multi_index"))
    )


s_ = np.s_
index_exp = np.index_exp
