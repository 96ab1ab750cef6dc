"""Sorting along a dimension, and the greatest elements.

The derivative of a sort is the permutation that it applies: the tangents are gathered in the sorted order.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base.errors import ShapeError
from ..core import rules
from ..core.array import Array, as_array
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.primitive import Primitive
from .families import check_kind
from .gather import GatherDimensionNumbers, GatherScatterMode, gather
from .iota import broadcasted_iota
from .joining import with_batch_dim
from .structural import canonical_axis, expand_dims

__all__ = ["sort", "sort_key_val", "top_k"]

_INT32 = np.dtype(np.int32)


def take_along(x: Any, indices: Any, axis: int) -> Array:
    """The elements of `x` at `indices` along `axis`; the other dimensions agree, the indices are in range."""
    ndim = x.aval.ndim
    others = tuple(i for i in range(ndim) if i != axis)
    numbers = GatherDimensionNumbers((), (axis,), (axis,), others, others)
    return gather(
        x,
        expand_dims(indices, (ndim,)),
        numbers,
        tuple(min(1, d) for d in x.aval.shape),
        unique_indices=True,
        mode=GatherScatterMode.PROMISE_IN_BOUNDS,
    )


# sort ---------------------------------------------------------------------------------------------

sort_p = Primitive("sort", multiple_results=True)


def sort(operand: Any, dimension: int = -1, is_stable: bool = True, num_keys: int = 1) -> Any:
    """Sort ascending along a dimension.

    Args:
        operand: an array, or a sequence of arrays of one shape that are permuted alike.
        dimension: the dimension along which to sort.
        is_stable: whether equal elements must keep their order.
        num_keys: how many of the operands, from the first, decide the order, lexicographically.

    Returns:
        The sorted array, or a tuple of them. NaNs come last; -0.0 and 0.0 are equal; complex numbers are
        ordered by their real parts, then by their imaginary parts.

    Raises:
        ShapeError: operands of different shapes.
        ValueError: a dimension out of range; a number of keys that does not fit.
    """
    many = isinstance(operand, (tuple, list))
    arrays = [as_array(x, name="sort") for x in (operand if many else [operand])]
    if not arrays:
        raise ValueError("sort needs at least one operand")
    if not 1 <= num_keys <= len(arrays):
        raise ValueError(
            f"sort: num_keys must lie between 1 and {len(arrays)}, the number of operands; got {num_keys}"
        )
    axis = canonical_axis(dimension, arrays[0].aval.ndim)
    _sort_abstract(*[x.aval for x in arrays], dimension=axis, is_stable=is_stable, num_keys=num_keys)
    out = sort_p.bind(*arrays, dimension=axis, is_stable=bool(is_stable), num_keys=operator.index(num_keys))
    return tuple(out) if many else out[0]


def sort_key_val(keys: Any, values: Any, dimension: int = -1, is_stable: bool = True) -> tuple[Array, Array]:
    """`keys` sorted along a dimension, and `values` permuted in the same manner."""
    out: tuple[Array, Array] = sort((keys, values), dimension, is_stable, 1)
    return out


def _sort_abstract(*avals: ShapedArray, dimension: int, is_stable: bool, num_keys: int) -> list[ShapedArray]:
    shape = avals[0].shape
    if any(a.shape != shape for a in avals):
        raise ShapeError(f"sort: operands must have one shape; got {', '.join(str(a.shape) for a in avals)}")
    if not 0 <= dimension < len(shape):
        raise ValueError(f"sort: dimension {dimension} is out of range for shape {shape}")
    for a in avals[:num_keys]:
        check_kind("sort", a.dtype, "biufc")
    return [a.strip_weak_type() for a in avals]


def _sort_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, dimension: int, is_stable: bool, num_keys: int
) -> tuple[Any, Any]:
    params = {"dimension": dimension, "is_stable": is_stable, "num_keys": num_keys}
    if all(type(t) is Zero for t in tangents):
        outs = sort_p.bind(*primals, **params)
        return outs, [Zero(o.aval.tangent) for o in outs]
    places = broadcasted_iota(_INT32, primals[0].aval.shape, dimension)
    *outs, order = sort_p.bind(*primals, places, **params)
    return outs, [
        Zero(o.aval.tangent) if type(t) is Zero else take_along(t, order, dimension)
        for o, t in zip(outs, tangents, strict=True)
    ]


def _sort_batch(
    axis: Any, values: Sequence[Any], dims: Sequence[int | None], *, dimension: int, **params: Any
) -> tuple[Any, list[int]]:
    first = next(d for d in dims if d is not None)
    if any(d != first for d in dims):
        values = [with_batch_dim(v, d, axis.size) for v, d in zip(values, dims, strict=True)]
        first = 0
    outs = sort_p.bind(*values, dimension=dimension + (first <= dimension), **params)
    return outs, [first] * len(outs)


rules.abstract[sort_p] = _sort_abstract
rules.jvp[sort_p] = _sort_jvp
rules.batch[sort_p] = _sort_batch

# top_k --------------------------------------------------------------------------------------------

top_k_p = Primitive("top_k", multiple_results=True)


def top_k(operand: Any, k: int, *, axis: int = -1) -> tuple[Array, Array]:
    """The k greatest elements along `axis`, in descending order, and their indices (int32).

    Among equal elements the first comes first; NaN counts as the greatest, and 0.0 as greater than -0.0.

    Raises:
        ValueError: k is negative or greater than the size of the axis.
    """
    operand = as_array(operand, name="top_k")
    params = {"k": operator.index(k), "axis": canonical_axis(axis, operand.aval.ndim)}
    _top_k_abstract(operand.aval, **params)
    values, indices = top_k_p.bind(operand, **params)
    return values, indices


def _top_k_abstract(x: ShapedArray, *, k: int, axis: int) -> list[ShapedArray]:
    check_kind("top_k", x.dtype, "biuf")
    if not 0 <= k <= x.shape[axis]:
        raise ValueError(f"top_k: k must lie between 0 and {x.shape[axis]}, the size of axis {axis}; got {k}")
    shape = (*x.shape[:axis], k, *x.shape[axis + 1 :])
    return [shaped_array(shape, x.dtype), shaped_array(shape, _INT32)]


def _top_k_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, k: int, axis: int) -> tuple[Any, Any]:
    values, indices = top_k_p.bind(*primals, k=k, axis=axis)
    (t,) = tangents
    t_out = Zero(values.aval.tangent) if type(t) is Zero else take_along(t, indices, axis)
    return [values, indices], [t_out, Zero(indices.aval.tangent)]


def _top_k_batch(
    mapped: Any, values: Sequence[Any], dims: Sequence[int], *, k: int, axis: int
) -> tuple[Any, Any]:
    (x,), (dim,) = values, dims
    return top_k_p.bind(x, k=k, axis=axis + (dim <= axis)), [dim, dim]


rules.abstract[top_k_p] = _top_k_abstract
rules.jvp[top_k_p] = _top_k_jvp
rules.batch[top_k_p] = _top_k_batch
