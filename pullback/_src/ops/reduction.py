"""Reductions over axes: extrema, product, logical and bitwise ones, positions of extrema; `reduce_precision`.

The sum, from which every transpose is built, stands in `structural`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..base.errors import DTypeError, ShapeError
from ..core import dtypes, rules
from ..core.array import Array, as_array
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.primitive import Primitive
from .arithmetic import div_p, mul_p
from .compare import eq_p
from .convert import convert_element_type
from .families import check_kind, elementwise
from .joining import concatenate_p, split_p
from .structural import (
    abstract_reduction,
    batch_reduction,
    canonical_axis,
    linear_coefficient,
    reduce_sum_p,
    reduced_shape,
    reshape,
    transpose,
)

__all__ = [
    "argmax",
    "argmin",
    "reduce_and",
    "reduce_max",
    "reduce_min",
    "reduce_or",
    "reduce_precision",
    "reduce_prod",
    "reduce_sum",
    "reduce_xor",
]


def _reduction(name: str, accepts: str) -> Primitive:
    primitive = Primitive(name)
    rules.abstract[primitive] = abstract_reduction(name, accepts)
    rules.batch[primitive] = batch_reduction(primitive)
    return primitive


def canonical_axes(axes: Any, ndim: int) -> tuple[int, ...]:
    """Distinct non-negative axes, in increasing order."""
    out = sorted(canonical_axis(a, ndim) for a in axes)
    if len(set(out)) != len(out):
        raise ValueError(f"a reduction over repeated axes: {tuple(axes)}")
    return tuple(out)


def _reduce(primitive: Primitive, operand: Any, axes: Any, accepts: str = "biufc") -> Array:
    operand = as_array(operand, name=primitive.name)
    check_kind(primitive.name, operand.aval.dtype, accepts)
    return primitive.bind(operand, axes=canonical_axes(axes, operand.aval.ndim))


# Extrema ------------------------------------------------------------------------------------------


def _extremum_jvp(primitive: Primitive) -> Callable[..., Any]:
    """The mean of the tangents at all places where the extremum is attained."""

    def rule(primals: Sequence[Any], tangents: Sequence[Any], *, axes: tuple[int, ...]) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        ans = primitive.bind(x, axes=axes)
        if type(t) is Zero:
            return ans, Zero(ans.aval.tangent)
        shape = x.aval.shape
        kept = tuple(i for i in range(len(shape)) if i not in axes)
        spread = ans
        if axes and kept:
            spread = reshape(ans, tuple(1 if i in axes else d for i, d in enumerate(shape)))
        attained = convert_element_type(eq_p.bind(x, spread), x.aval.dtype)
        count = reduce_sum_p.bind(attained, axes=axes)
        total = reduce_sum_p.bind(mul_p.bind(t, attained), axes=axes)
        return ans, div_p.bind(total, count)

    return rule


reduce_max_p = _reduction("reduce_max", "biufc")
reduce_min_p = _reduction("reduce_min", "biufc")
rules.jvp[reduce_max_p] = _extremum_jvp(reduce_max_p)
rules.jvp[reduce_min_p] = _extremum_jvp(reduce_min_p)


def reduce_sum(operand: Any, axes: Any) -> Array:
    """The sum over `axes`; zero over nothing. The dtype stays that of the operand."""
    return _reduce(reduce_sum_p, operand, axes, "iufc")


def reduce_max(operand: Any, axes: Any) -> Array:
    """The maximum over `axes`; NaN if one is met; the smallest value of the dtype over nothing.

    Where several elements attain the maximum its derivative is the mean of theirs. Complex numbers are
    ordered lexicographically.
    """
    return _reduce(reduce_max_p, operand, axes)


def reduce_min(operand: Any, axes: Any) -> Array:
    """The minimum over `axes`; NaN if one is met; the greatest value of the dtype over nothing."""
    return _reduce(reduce_min_p, operand, axes)


# Product ------------------------------------------------------------------------------------------

reduce_prod_p = _reduction("reduce_prod", "iufc")


def reduce_prod(operand: Any, axes: Any) -> Array:
    """The product over `axes`; one over nothing."""
    return _reduce(reduce_prod_p, operand, axes, "iufc")


def _reduce_prod_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, axes: tuple[int, ...]
) -> tuple[Any, Any]:
    """The product rule along a balanced tree of products: no division, so zeros do no harm."""
    (x,), (t,) = primals, tangents
    ans = reduce_prod_p.bind(x, axes=axes)
    if type(t) is Zero:
        return ans, Zero(ans.aval.tangent)
    shape = x.aval.shape
    kept = tuple(i for i in range(len(shape)) if i not in axes)
    flat = (math.prod(shape[a] for a in axes), *reduced_shape(shape, axes))
    x, t = (reshape(transpose(v, (*axes, *kept)), flat) for v in (x, t))
    size = flat[0]
    if size == 0:
        return ans, Zero(ans.aval.tangent)
    product_rule = rules.jvp[mul_p]
    while size > 1:
        half = size // 2
        sizes = (half, half, size - 2 * half) if size % 2 else (half, half)
        x_parts, t_parts = (split_p.bind(v, sizes=sizes, axis=0) for v in (x, t))
        x, t = product_rule(x_parts[:2], t_parts[:2])
        if size % 2:  # an odd one out waits for the next round
            x = concatenate_p.bind(x, x_parts[2], dimension=0)
            t = concatenate_p.bind(t, t_parts[2], dimension=0)
        size = half + size % 2
    return ans, reshape(t, ans.aval.shape)


rules.jvp[reduce_prod_p] = _reduce_prod_jvp

# Logical and bitwise reductions -------------------------------------------------------------------


def _no_tangent(primitive: Primitive) -> Callable[..., Any]:
    """The jvp rule of an operation on values that have no tangents, or whose result has none."""

    def rule(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
        out = primitive.bind(*primals, **params)
        return out, Zero(out.aval.tangent)

    return rule


def _bit_reduction(name: str) -> Primitive:
    primitive = _reduction(name, "biu")
    rules.jvp[primitive] = _no_tangent(primitive)
    return primitive


reduce_and_p = _bit_reduction("reduce_and")
reduce_or_p = _bit_reduction("reduce_or")
reduce_xor_p = _bit_reduction("reduce_xor")


def reduce_and(operand: Any, axes: Any) -> Array:
    """The bitwise (for bool: logical) and over `axes`; all ones over nothing."""
    return _reduce(reduce_and_p, operand, axes, "biu")


def reduce_or(operand: Any, axes: Any) -> Array:
    """The bitwise (for bool: logical) or over `axes`; zero over nothing."""
    return _reduce(reduce_or_p, operand, axes, "biu")


def reduce_xor(operand: Any, axes: Any) -> Array:
    """The bitwise (for bool: logical) exclusive or over `axes`; zero over nothing."""
    return _reduce(reduce_xor_p, operand, axes, "biu")


# Positions of extrema -----------------------------------------------------------------------------


def _position(name: str) -> Primitive:
    primitive = Primitive(name)

    def abstract(x: ShapedArray, *, axis: int, index_dtype: np.dtype[Any]) -> ShapedArray:
        check_kind(name, x.dtype, "biuf")
        if not dtypes.is_integer(index_dtype):
            raise DTypeError(
                f"{name}: index_dtype must be an integer dtype; got {dtypes.dtype_name(index_dtype)}"
            )
        if not 0 <= axis < x.ndim:
            raise ValueError(f"{name}: axis {axis} is out of range for shape {x.shape}")
        if x.shape[axis] == 0:
            raise ShapeError(f"{name}: there is no element along axis {axis} of shape {x.shape}")
        return shaped_array(reduced_shape(x.shape, (axis,)), index_dtype)

    def batch(
        mapped: Any, values: Sequence[Any], dims: Sequence[int], *, axis: int, index_dtype: np.dtype[Any]
    ) -> tuple[Any, int]:
        (x,), (dim,) = values, dims
        shifted = axis + (axis >= dim)
        return primitive.bind(x, axis=shifted, index_dtype=index_dtype), dim - (shifted < dim)

    rules.abstract[primitive] = abstract
    rules.batch[primitive] = batch
    rules.jvp[primitive] = _no_tangent(primitive)
    return primitive


argmax_p = _position("argmax")
argmin_p = _position("argmin")


def _find(primitive: Primitive, operand: Any, axis: Any, index_dtype: Any) -> Array:
    operand = as_array(operand, name=primitive.name)
    dtype = dtypes.check_user_dtype(index_dtype, primitive.name)
    axis = canonical_axis(axis, operand.aval.ndim)
    # NumPy's kernel would find complex extrema, and any index dtype would do.
    rules.abstract[primitive](operand.aval, axis=axis, index_dtype=dtype)
    operand = convert_element_type(operand, operand.aval.dtype)  # positions are not weakly typed
    return primitive.bind(operand, axis=axis, index_dtype=dtype)


def argmax(operand: Any, axis: int, index_dtype: Any) -> Array:
    """The index of the first maximum along `axis` (of the first NaN, if there is one), as `index_dtype`."""
    return _find(argmax_p, operand, axis, index_dtype)


def argmin(operand: Any, axis: int, index_dtype: Any) -> Array:
    """The index of the first minimum along `axis` (of the first NaN, if there is one), as `index_dtype`."""
    return _find(argmin_p, operand, axis, index_dtype)


# reduce_precision ---------------------------------------------------------------------------------


def _reduce_precision_partial(t: Any, ans: Any, x: Any, **params: int) -> Any:
    return reduce_precision_p.bind(t, **params)


reduce_precision_p = elementwise("reduce_precision", _reduce_precision_partial, accepts="f")
rules.transpose[reduce_precision_p] = lambda ct, x, **params: [reduce_precision_p.bind(ct, **params)]
rules.coefficient[reduce_precision_p] = linear_coefficient(reduce_precision_p)


def reduce_precision(operand: Any, exponent_bits: int, mantissa_bits: int) -> Array:
    """The nearest number with so many bits of exponent and mantissa (ties to even), in the operand's dtype.

    Numbers too large become infinite, numbers too small for a normal one become zero.
    """
    if exponent_bits < 1 or mantissa_bits < 0:
        raise ValueError(
            "reduce_precision needs at least one bit of exponent and no negative number of bits of mantissa; "
            f"got {exponent_bits} and {mantissa_bits}"
        )
    operand = as_array(operand, name="reduce_precision")
    check_kind("reduce_precision", operand.aval.dtype, "f")
    params = {"exponent_bits": int(exponent_bits), "mantissa_bits": int(mantissa_bits)}
    return reduce_precision_p.bind(operand, **params)
