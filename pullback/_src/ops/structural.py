"""Operations on shapes, and the sum: the transpose of a broadcast.

`broadcast_in_dim`, `reduce_sum`, `reshape`, `transpose`, `rev` and the addition of cotangents. All are
linear; every other family of operations builds on them.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..base.errors import PullbackError, ShapeError
from ..core import dtypes, rules
from ..core.array import Array, ConcreteArray, as_array, scalar
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.kinds import kind
from ..core.primitive import Primitive

__all__ = [
    "broadcast",
    "broadcast_in_dim",
    "collapse",
    "expand_dims",
    "full",
    "reshape",
    "rev",
    "squeeze",
    "transpose",
]


def linear_primitive(name: str) -> Primitive:
    """A primitive of one operand in which it is linear: its jvp is itself."""
    primitive = Primitive(name)

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
        return primitive.bind(*primals, **params), primitive.bind(*tangents, **params)

    rules.jvp[primitive] = jvp
    rules.coefficient[primitive] = linear_coefficient(primitive)
    return primitive


def linear_coefficient(primitive: Primitive) -> rules.Rule:
    """The rule for the power series of an operation that is linear in its inexact operands jointly."""

    def rule(k: int, out: Sequence[Any], args: Sequence[Any], **params: Any) -> Any:
        terms = [a[k] for a in args]
        if all(type(t) is Zero for t in terms):
            first = out[0]
            if primitive.multiple_results:
                return [Zero(o.aval.tangent) for o in first]
            return Zero(first.aval.tangent)
        operands = [
            instantiate(t) if t.aval.dtype != dtypes.float0 else a[0]
            for t, a in zip(terms, args, strict=True)
        ]
        return primitive.bind(*operands, **params)

    return rule


def product_coefficient(primitive: Primitive) -> rules.Rule:
    """The rule for the power series of what is linear in either of two operands: Cauchy's product."""

    def rule(k: int, out: Sequence[Any], args: Sequence[Any], **params: Any) -> Any:
        x, y = args
        total: Any = Zero(out[0].aval.tangent)
        for j in range(k + 1):
            a, b = x[j], y[k - j]
            if type(a) is not Zero and type(b) is not Zero:
                term = primitive.bind(a, b, **params)
                total = term if type(total) is Zero else add_any(total, term)
        return total

    return rule


def canonical_axis(axis: Any, ndim: int) -> int:
    """A non-negative axis.

    Raises:
        ValueError: out of range.
    """
    axis = operator.index(axis)
    if not -ndim <= axis < max(ndim, 0):
        raise ValueError(f"axis {axis} is out of range for an array with {ndim} dimensions")
    return axis + ndim if axis < 0 else axis


def canonical_shape(shape: Any) -> tuple[int, ...]:
    """A shape as a tuple of Python ints (a single int means one dimension)."""
    if isinstance(shape, (int, np.integer)):
        return (int(shape),)
    try:
        out = tuple(map(operator.index, shape))
    except TypeError as error:
        if isinstance(error, PullbackError):
            raise
        raise TypeError(
            f"a shape must be a sequence of integers known before tracing; got {shape!r}"
        ) from None
    if out and min(out) < 0:
        raise ShapeError(f"a shape must have non-negative sizes; got {out}")
    return out


# Addition of tangents and cotangents (same shape, same dtype): `add` without promotion and broadcasting.

add_any_p = Primitive("add_any", elementwise=True)


def add_any(x: Any, y: Any) -> Any:
    return add_any_p.bind(x, y)


def _add_any_abstract(x: ShapedArray, y: ShapedArray) -> ShapedArray:
    if x.shape != y.shape or x.dtype != y.dtype:
        raise ShapeError(
            f"a sum of cotangents of types {x.str_short()} and {y.str_short()}; they must be equal"
        )
    return x if not x.weak_type else y


def _add_any_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    out = add_any_p.bind(*primals)
    tx, ty = tangents
    if type(tx) is Zero or type(ty) is Zero:
        return out, ty if type(tx) is Zero else tx
    return out, add_any_p.bind(tx, ty)


def _add_any_batch(axis: Any, values: Sequence[Any], dims: Sequence[int | None]) -> tuple[Any, int]:
    x, y = values
    dx, dy = dims
    if dx is None:
        x, dx = broadcast_in_dim(x, y.aval.shape, tuple(i for i in range(y.aval.ndim) if i != dy)), dy
    elif dy is None:
        y = broadcast_in_dim(y, x.aval.shape, tuple(i for i in range(x.aval.ndim) if i != dx))
    elif dx != dy:
        y = moveaxis(y, dy, dx)
    return add_any_p.bind(x, y), dx  # type: ignore[return-value]  # one is mapped


rules.abstract[add_any_p] = _add_any_abstract
rules.jvp[add_any_p] = _add_any_jvp
rules.coefficient[add_any_p] = linear_coefficient(add_any_p)
rules.transpose[add_any_p] = lambda ct, x, y: [ct, ct]
rules.batch[add_any_p] = _add_any_batch


# broadcast_in_dim ---------------------------------------------------------------------------------

broadcast_in_dim_p = linear_primitive("broadcast_in_dim")


def broadcast_in_dim(operand: Any, shape: Any, broadcast_dimensions: Any) -> Array:
    """Repeat the operand along new dimensions, placing its own at `broadcast_dimensions` of the result.

    Args:
        operand: an array; each dimension has size 1 or the size of its place in `shape`.
        shape: the result's shape.
        broadcast_dimensions: for each dimension of the operand, strictly increasing, its place in the result.
    """
    operand = as_array(operand, name="broadcast_in_dim")
    shape = canonical_shape(shape)
    dims = tuple(map(operator.index, broadcast_dimensions))
    if operand.aval.shape == shape and dims == tuple(range(len(shape))):
        return operand
    return broadcast_in_dim_p.bind(operand, shape=shape, broadcast_dimensions=dims)


def broadcast(operand: Any, sizes: Any) -> Array:
    """Repeat the operand along new leading dimensions of `sizes`."""
    operand = as_array(operand, name="broadcast")
    return broadcast_to(operand, (*canonical_shape(sizes), *operand.aval.shape))


def broadcast_to(operand: Any, shape: tuple[int, ...]) -> Array:
    """Broadcast to `shape` by NumPy's rules (dimensions aligned from the right)."""
    aval, rank = operand.aval, len(shape)
    if aval.shape == shape:
        return operand
    return broadcast_in_dim_p.bind(
        operand, shape=shape, broadcast_dimensions=tuple(range(rank - aval.ndim, rank))
    )


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Array:
    """An array of `shape` filled with a scalar."""
    shape = canonical_shape(shape)
    value = as_array(fill_value, name="full")
    if dtype is not None and value.aval.dtype != dtype:
        if isinstance(fill_value, (bool, int, float, complex)):
            value = scalar(fill_value, np.dtype(dtype))
        else:
            raise TypeError(f"full: expected a fill value of dtype {dtype}, got {value.aval.str_short()}")
    if isinstance(fill_value, (bool, int, float, complex)) and dtype is not None:
        value = strong(value)
    return broadcast_in_dim(value, shape, ()) if shape else value


def strong(value: Any) -> Any:
    """A concrete scalar with its weak type removed."""
    if type(value) is ConcreteArray and value.aval.weak_type:
        return ConcreteArray(value._data, value.aval.strip_weak_type())
    return value


def zeros(aval: ShapedArray) -> Array:
    """An array of zeros of the given type."""
    return full(aval.shape, False if aval.dtype.kind == "b" else 0, aval.dtype)


def instantiate(value: Any) -> Any:
    """A symbolic zero as an array of zeros; anything else unchanged."""
    return zeros(value.aval) if type(value) is Zero else value


def _broadcast_in_dim_abstract(
    x: ShapedArray, *, shape: tuple[int, ...], broadcast_dimensions: tuple[int, ...]
) -> ShapedArray:
    dims = broadcast_dimensions
    if len(dims) != x.ndim:
        raise ShapeError(
            f"broadcast_in_dim: {x.ndim} dimensions need as many broadcast_dimensions; got {dims}"
        )
    if dims and (dims[0] < 0 or dims[-1] >= len(shape) or [*dims] != sorted({*dims})):
        raise ShapeError(
            f"broadcast_in_dim: broadcast_dimensions must increase within 0..{len(shape) - 1}; got {dims}"
        )
    for i, d in enumerate(dims):
        if x.shape[i] not in (1, shape[d]):
            raise ShapeError(
                f"broadcast_in_dim: the operand of shape {x.shape} cannot be broadcast to {shape} with "
                f"dimensions {dims}: its dimension {i} has size {x.shape[i]}, the result's dimension {d} "
                f"has {shape[d]}"
            )
    return shaped_array(shape, x.dtype, x.weak_type)


def _broadcast_in_dim_transpose(
    ct: Any, x: Any, *, shape: tuple[int, ...], broadcast_dimensions: tuple[int, ...]
) -> list[Any]:
    dims = broadcast_dimensions
    repeated = [d for i, d in enumerate(dims) if x.shape[i] == 1 and shape[d] != 1]
    axes = tuple([d for d in range(len(shape)) if d not in dims or d in repeated])
    out = reduce_sum_p.bind(ct, axes=axes) if axes else ct
    return [reshape(out, x.shape)]


def _broadcast_in_dim_batch(
    axis: Any,
    values: Sequence[Any],
    dims: Sequence[int],
    *,
    shape: tuple[int, ...],
    broadcast_dimensions: tuple[int, ...],
) -> tuple[Any, int]:
    x = moveaxis(values[0], dims[0], 0)
    return broadcast_in_dim_p.bind(
        x, shape=(axis.size, *shape), broadcast_dimensions=(0, *(d + 1 for d in broadcast_dimensions))
    ), 0


rules.abstract[broadcast_in_dim_p] = _broadcast_in_dim_abstract
rules.transpose[broadcast_in_dim_p] = _broadcast_in_dim_transpose
rules.batch[broadcast_in_dim_p] = _broadcast_in_dim_batch


# reduce_sum ---------------------------------------------------------------------------------------

reduce_sum_p = linear_primitive("reduce_sum")


def reduced_shape(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([d for i, d in enumerate(shape) if i not in axes])


def batch_reduction(primitive: Primitive) -> Callable[..., tuple[Any, int]]:
    """The batch rule of a reduction over `axes` of one operand."""

    def rule(
        axis: Any, values: Sequence[Any], dims: Sequence[int], *, axes: tuple[int, ...], **params: Any
    ) -> tuple[Any, int]:
        (x,), (dim,) = values, dims
        shifted = tuple(a + (a >= dim) for a in axes)
        return primitive.bind(x, axes=shifted, **params), dim - sum(a < dim for a in shifted)

    return rule


def abstract_reduction(name: str, accepts: str) -> Callable[..., ShapedArray]:
    def rule(x: ShapedArray, *, axes: tuple[int, ...], **params: Any) -> ShapedArray:
        if kind(x.dtype) not in accepts:
            raise TypeError(f"{name} does not accept dtype {dtypes.dtype_name(x.dtype)}")
        if axes and (len({*axes}) != len(axes) or min(axes) < 0 or max(axes) >= x.ndim):
            raise ValueError(
                f"{name}: axes {axes} are not distinct dimensions of an array of shape {x.shape}"
            )
        return shaped_array(reduced_shape(x.shape, axes), x.dtype, x.weak_type)

    return rule


def _reduce_sum_transpose(ct: Any, x: Any, *, axes: tuple[int, ...]) -> list[Any]:
    if not axes:
        return [ct]
    kept = tuple([i for i in range(x.ndim) if i not in axes])
    return [broadcast_in_dim_p.bind(ct, shape=x.shape, broadcast_dimensions=kept)]


rules.abstract[reduce_sum_p] = abstract_reduction("reduce_sum", "iufc")
rules.transpose[reduce_sum_p] = _reduce_sum_transpose
rules.batch[reduce_sum_p] = batch_reduction(reduce_sum_p)


# reshape ------------------------------------------------------------------------------------------

reshape_p = linear_primitive("reshape")


def reshape(operand: Any, new_sizes: Any, dimensions: Any = None) -> Array:
    """The operand's elements, in row-major order, in another shape of the same size.

    `dimensions`, where given, permutes the operand's dimensions first.
    """
    operand = as_array(operand, name="reshape")
    if dimensions is not None and tuple(dimensions) != tuple(range(operand.aval.ndim)):
        operand = transpose(operand, dimensions)
    shape = tuple(new_sizes)
    if operand.aval.shape == shape:
        return operand
    return reshape_p.bind(operand, shape=canonical_shape(shape))


def collapse(operand: Any, start_dimension: int, stop_dimension: int | None = None) -> Array:
    """Join the dimensions from `start_dimension` up to, without, `stop_dimension` (default: all) into one.

    Raises:
        ValueError: the range of dimensions is reversed.
    """
    operand = as_array(operand, name="collapse")
    shape = operand.aval.shape
    start, stop, _ = slice(start_dimension, stop_dimension).indices(len(shape))
    if stop < start:
        raise ValueError(
            f"collapse: dimensions {start_dimension} to {stop_dimension} of shape {shape} are no range"
        )
    return reshape(operand, (*shape[:start], math.prod(shape[start:stop]), *shape[stop:]))


def squeeze(array: Any, dimensions: Any) -> Array:
    """Remove `dimensions`, which must have size 1."""
    shape = array.aval.shape
    dims = {canonical_axis(d, len(shape)) for d in dimensions}
    if any(shape[d] != 1 for d in dims):
        raise ShapeError(f"squeeze: dimensions {sorted(dims)} of shape {shape} do not all have size 1")
    return reshape(array, tuple(s for i, s in enumerate(shape) if i not in dims))


def expand_dims(array: Any, dimensions: Any) -> Array:
    """Insert dimensions of size 1 at the given places of the result."""
    array = as_array(array, name="expand_dims")
    ndim = array.aval.ndim + len(tuple(dimensions))
    dims = {canonical_axis(d, ndim) for d in dimensions}
    if len(dims) != len(tuple(dimensions)):
        raise ValueError(f"expand_dims: repeated dimensions in {tuple(dimensions)}")
    rest = iter(array.aval.shape)
    return reshape(array, tuple(1 if i in dims else next(rest) for i in range(ndim)))


def _reshape_abstract(x: ShapedArray, *, shape: tuple[int, ...]) -> ShapedArray:
    if math.prod(shape) != x.size:
        raise ShapeError(
            f"reshape: cannot turn shape {x.shape} ({x.size} elements) into {shape} "
            f"({math.prod(shape)} elements)"
        )
    return shaped_array(shape, x.dtype, x.weak_type)


def _reshape_batch(
    axis: Any, values: Sequence[Any], dims: Sequence[int], *, shape: tuple[int, ...]
) -> tuple[Any, int]:
    x = moveaxis(values[0], dims[0], 0)
    return reshape_p.bind(x, shape=(axis.size, *shape)), 0


rules.abstract[reshape_p] = _reshape_abstract
rules.transpose[reshape_p] = lambda ct, x, *, shape: [reshape(ct, x.shape)]
rules.batch[reshape_p] = _reshape_batch


# transpose ----------------------------------------------------------------------------------------

transpose_p = linear_primitive("transpose")


def transpose(operand: Any, permutation: Any) -> Array:
    """Permute dimensions: dimension i of the result is dimension `permutation[i]` of the operand."""
    operand = as_array(operand, name="transpose")
    permutation = tuple(operator.index(i) for i in permutation)
    if permutation == tuple(range(operand.aval.ndim)):
        return operand
    return transpose_p.bind(operand, permutation=permutation)


def moveaxis(x: Any, source: int, destination: int) -> Any:
    """Move one dimension to another place, keeping the order of the others."""
    if source == destination:
        return x
    order = [i for i in range(x.aval.ndim) if i != source]
    order.insert(destination, source)
    return transpose_p.bind(x, permutation=tuple(order))


def _transpose_abstract(x: ShapedArray, *, permutation: tuple[int, ...]) -> ShapedArray:
    if sorted(permutation) != list(range(x.ndim)):
        raise ShapeError(
            f"transpose: {permutation} is no permutation of the {x.ndim} dimensions of shape {x.shape}"
        )
    return shaped_array(tuple(x.shape[i] for i in permutation), x.dtype, x.weak_type)


def _transpose_transpose(ct: Any, x: Any, *, permutation: tuple[int, ...]) -> list[Any]:
    inverse = sorted(range(len(permutation)), key=permutation.__getitem__)
    return [transpose_p.bind(ct, permutation=tuple(inverse))]


def _transpose_batch(
    axis: Any, values: Sequence[Any], dims: Sequence[int], *, permutation: tuple[int, ...]
) -> tuple[Any, int]:
    (x,), (dim,) = values, dims
    return transpose_p.bind(x, permutation=(dim, *(i + (i >= dim) for i in permutation))), 0


rules.abstract[transpose_p] = _transpose_abstract
rules.transpose[transpose_p] = _transpose_transpose
rules.batch[transpose_p] = _transpose_batch


# rev ----------------------------------------------------------------------------------------------

rev_p = linear_primitive("rev")


def rev(operand: Any, dimensions: Any) -> Array:
    """Reverse the order of elements along `dimensions`."""
    operand = as_array(operand, name="rev")
    return rev_p.bind(operand, dimensions=tuple(canonical_axis(d, operand.aval.ndim) for d in dimensions))


def _rev_batch(
    axis: Any, values: Sequence[Any], dims: Sequence[int], *, dimensions: tuple[int, ...]
) -> tuple[Any, int]:
    (x,), (dim,) = values, dims
    return rev_p.bind(x, dimensions=tuple(d + (d >= dim) for d in dimensions)), dim


rules.abstract[rev_p] = lambda x, *, dimensions: x
rules.transpose[rev_p] = lambda ct, x, *, dimensions: [rev_p.bind(ct, dimensions=dimensions)]
rules.batch[rev_p] = _rev_batch
