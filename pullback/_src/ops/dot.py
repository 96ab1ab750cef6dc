"""Contractions: `dot_general` and the functions of `lax` that are made of it.

A contraction is bilinear, so its derivatives are contractions too. With operands X[batch, free, contracted]
and Y[batch, contracted, free'], Z = XY, the cotangents are X' = Z'Y^T and Y' = X^T Z' for each index of the
batch (no conjugation: cotangents pair bilinearly).
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..base.errors import DTypeError, ShapeError
from ..core import dtypes, rules
from ..core.array import Array, as_array
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.kinds import kind
from ..core.primitive import Primitive
from .convert import convert_element_type
from .structural import add_any, canonical_axis, moveaxis, product_coefficient, transpose_p

__all__ = ["DotDimensionNumbers", "Precision", "batch_matmul", "dot", "dot_general"]

Axes = tuple[int, ...]
DotDimensionNumbers = tuple[tuple[Axes, Axes], tuple[Axes, Axes]]


class Precision(enum.Enum):
    """How accurately an accelerator multiplies; on the CPU all three are the operands' full precision."""

    DEFAULT = 0
    HIGH = 1
    HIGHEST = 2

    def __repr__(self) -> str:
        return f"Precision.{self.name}"

    __str__ = __repr__


_PRECISIONS = {
    "default": Precision.DEFAULT,
    "fastest": Precision.DEFAULT,
    "bfloat16": Precision.DEFAULT,
    "high": Precision.HIGH,
    "bfloat16_3x": Precision.HIGH,
    "tensorfloat32": Precision.HIGH,
    "highest": Precision.HIGHEST,
    "float32": Precision.HIGHEST,
    "bfloat16_6x": Precision.HIGHEST,
}
PairOfPrecisions = tuple[Precision, Precision]


def canonical_precision(precision: Any) -> PairOfPrecisions | None:
    """None, or one `Precision` for each operand, from a `Precision`, its name, or a pair of those.

    Raises:
        ValueError: unknown name.
    """
    if precision is None:
        return None
    if isinstance(precision, (tuple, list)):
        if len(precision) != 2:
            raise ValueError(
                f"precision must be one value or one for each of the two operands; got {precision!r}"
            )
        first, second = precision
    else:
        first = second = precision
    return _one_precision(first), _one_precision(second)


def _one_precision(value: Any) -> Precision:
    if value is None:
        return Precision.DEFAULT
    if isinstance(value, Precision):
        return value
    try:
        return _PRECISIONS[value.lower()]
    except (AttributeError, KeyError):
        raise ValueError(
            f"unknown precision {value!r}; use lax.Precision.DEFAULT, HIGH or HIGHEST, or one of "
            f"{sorted(_PRECISIONS)}"
        ) from None


dot_general_p = Primitive("dot_general")


def bind_dot(
    x: Any, y: Any, dimension_numbers: DotDimensionNumbers, precision: Any = None, preferred: Any = None
) -> Any:
    """`dot_general` of arrays with canonical parameters (what rules use)."""
    return dot_general_p.bind(
        x, y, dimension_numbers=dimension_numbers, precision=precision, preferred_element_type=preferred
    )


def matmul_numbers(batch_rank: int) -> DotDimensionNumbers:
    """The dimension numbers of a matrix product of stacks of matrices."""
    batch = tuple(range(batch_rank))
    return ((batch_rank + 1,), (batch_rank,)), (batch, batch)


_MATMUL_NUMBERS = [matmul_numbers(i) for i in range(8)]


def matmul(x: Any, y: Any) -> Any:
    """The matrix product of two stacks of matrices with equal leading dimensions."""
    rank = x.aval.ndim - 2
    return dot_general_p.bind(
        x,
        y,
        dimension_numbers=_MATMUL_NUMBERS[rank] if rank < 8 else matmul_numbers(rank),
        precision=None,
        preferred_element_type=None,
    )


def dot_general(
    lhs: Any,
    rhs: Any,
    dimension_numbers: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
    *,
    out_sharding: Any = None,
) -> Array:
    """The general contraction of two arrays.

    Args:
        lhs, rhs: arrays.
        dimension_numbers: `((lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch))`, sequences of
            dimensions.
        precision: None, a `Precision`, its name, or a pair of them.
        preferred_element_type: dtype in which to accumulate, and of the result.
        out_sharding: accepted for compatibility; there is one device.

    Returns:
        An array whose dimensions are the batch dimensions, those of lhs that are left, those of rhs that are
        left.

    Raises:
        ShapeError: dimensions that do not exist or whose sizes differ.
    """
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = dimension_numbers
    lhs = as_array(lhs, name="dot_general")
    rhs = as_array(rhs, name="dot_general")
    numbers = (
        (_axes(lhs_contract), _axes(rhs_contract)),
        (_axes(lhs_batch), _axes(rhs_batch)),
    )
    if preferred_element_type is not None:
        preferred_element_type = dtypes.check_user_dtype(preferred_element_type, "dot_general")
    return bind_dot(lhs, rhs, numbers, canonical_precision(precision), preferred_element_type)


def _axes(axes: Any) -> Axes:
    return tuple(operator.index(a) for a in axes)


def dot(
    lhs: Any,
    rhs: Any,
    *,
    dimension_numbers: Any = None,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Array:
    """The product of vectors and matrices (one or two dimensions each), or, with `dimension_numbers`,
    `dot_general`.

    Raises:
        ShapeError: other ranks, or different sizes of the dimensions that are summed over.
    """
    lhs = as_array(lhs, name="dot")
    rhs = as_array(rhs, name="dot")
    if dimension_numbers is None:
        x, y = lhs.aval, rhs.aval
        if x.ndim not in (1, 2) or y.ndim not in (1, 2) or x.shape[-1] != y.shape[0]:
            raise ShapeError(
                "dot expects a vector or matrix and another whose first dimension is the former's "
                "last; got shapes "
                f"{x.shape} and {y.shape}. Use dot_general, or numpy.matmul, for more dimensions."
            )
        dimension_numbers = (((x.ndim - 1,), (0,)), ((), ()))
    return dot_general(lhs, rhs, dimension_numbers, precision, preferred_element_type)


def batch_matmul(lhs: Any, rhs: Any, precision: Any = None) -> Array:
    """Matrix products of two stacks of matrices with the same leading dimensions."""
    lhs = as_array(lhs, name="batch_matmul")
    rhs = as_array(rhs, name="batch_matmul")
    if min(lhs.ndim, rhs.ndim) < 2 or lhs.ndim != rhs.ndim:
        raise ShapeError(
            f"batch_matmul expects two arrays of one rank of at least 2; got shapes {lhs.shape} and "
            f"{rhs.shape}"
        )
    return bind_dot(lhs, rhs, matmul_numbers(lhs.ndim - 2), canonical_precision(precision))


# Rules --------------------------------------------------------------------------------------------


def free_axes(ndim: int, contract: Axes, batch: Axes) -> Axes:
    """The dimensions that are neither contracted nor batch dimensions."""
    return tuple([i for i in range(ndim) if i not in contract and i not in batch])


@lru_cache(maxsize=4096)
def _shape(x: tuple[int, ...], y: tuple[int, ...], numbers: DotDimensionNumbers) -> tuple[int, ...]:
    """The shape of the result: a value's, its tangents' and the next layer's product are often alike.

    Raises:
        ShapeError: the dimensions do not exist or do not fit.
    """
    (xc, yc), (xb, yb) = numbers
    for shape, contract, batch, side in ((x, xc, xb, "lhs"), (y, yc, yb, "rhs")):
        used = contract + batch
        if used and (len({*used}) != len(used) or min(used) < 0 or max(used) >= len(shape)):
            raise ShapeError(
                f"dot_general: the {side} has shape {shape}; its contracting dimensions "
                f"{contract} and batch "
                f"dimensions {batch} must be distinct and exist"
            )
    for a, b, what in ((xc, yc, "contracting"), (xb, yb, "batch")):
        if len(a) != len(b) or [x[i] for i in a] != [y[j] for j in b]:
            raise ShapeError(
                f"dot_general: {what} dimensions must have equal sizes; lhs of shape {x} has "
                f"{tuple(x[i] for i in a)} in its dimensions {a}, rhs of shape {y} has "
                f"{tuple(y[j] for j in b)} in its dimensions {b}"
            )
    return (
        *[x[i] for i in xb],
        *[n for i, n in enumerate(x) if i not in xc and i not in xb],
        *[n for i, n in enumerate(y) if i not in yc and i not in yb],
    )


def result_dtype(
    name: str, x: np.dtype[Any], y: np.dtype[Any], preferred: np.dtype[Any] | None
) -> np.dtype[Any]:
    """The dtype of a contraction.

    Raises:
        DTypeError: operands that are no numbers, or a preferred dtype of another kind.
    """
    if kind(x) not in "biufc" or kind(y) not in "biufc":
        raise DTypeError(f"{name} expects numbers; got {dtypes.dtype_name(x)} and {dtypes.dtype_name(y)}")
    dtype = x if x == y else dtypes.promote_types(x, y)
    if preferred is None or preferred == dtype:
        return dtype
    if kind(dtype) in "fc" and kind(preferred) not in ("fc" if kind(dtype) == "f" else "c"):
        raise DTypeError(
            f"{name}: preferred_element_type {dtypes.dtype_name(preferred)} cannot hold products of "
            f"{dtypes.dtype_name(x)} and {dtypes.dtype_name(y)}"
        )
    return preferred


def _dot_general_abstract(
    x: ShapedArray,
    y: ShapedArray,
    *,
    dimension_numbers: DotDimensionNumbers,
    precision: Any,
    preferred_element_type: Any,
) -> ShapedArray:
    shape = _shape(x.shape, y.shape, dimension_numbers)
    dtype = result_dtype("dot_general", x.dtype, y.dtype, preferred_element_type)
    return shaped_array(shape, dtype, x.weak_type and y.weak_type)


def _dot_general_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
    x, y = primals
    tx, ty = tangents
    out = dot_general_p.bind(x, y, **params)
    if type(tx) is Zero:
        if type(ty) is Zero or out.aval.tangent is not out.aval:
            return out, Zero(out.aval.tangent)
        return out, dot_general_p.bind(x, ty, **params)
    if type(ty) is Zero:
        return out, dot_general_p.bind(tx, y, **params)
    return out, add_any(dot_general_p.bind(tx, y, **params), dot_general_p.bind(x, ty, **params))


def _dot_general_transpose(
    ct: Any,
    x: Any,
    y: Any,
    *,
    dimension_numbers: DotDimensionNumbers,
    precision: Any,
    preferred_element_type: Any,
) -> list[Any]:
    (xc, yc), (xb, yb) = dimension_numbers
    if type(x) is rules.Linear:
        return [_cotangent(ct, x.aval, y, (xc, yc), (xb, yb), False, precision), None]
    return [None, _cotangent(ct, y.aval, x, (yc, xc), (yb, xb), True, precision)]


def _cotangent(
    ct: Any,
    aval: ShapedArray,
    other: Any,
    contract: tuple[Axes, Axes],
    batch: tuple[Axes, Axes],
    second: bool,
    precision: Any,
) -> Any:
    """The cotangent of one operand (of type `aval`; the second one where `second`), the other being known."""
    numbers, other_first, permutation = _cotangent_plan(aval.ndim, other.aval.ndim, contract, batch, second)
    out = bind_dot(other, ct, numbers, precision) if other_first else bind_dot(ct, other, numbers, precision)
    if permutation is not None:
        out = transpose_p.bind(out, permutation=permutation)
    if out.aval.dtype is aval.dtype and not out.aval.weak_type:
        return out
    return convert_element_type(out, aval.dtype)


@lru_cache(maxsize=1024)
def _cotangent_plan(
    rank: int, other_rank: int, contract: tuple[Axes, Axes], batch: tuple[Axes, Axes], second: bool
) -> tuple[DotDimensionNumbers, bool, Axes | None]:
    """How a cotangent is found: dimension numbers, whether the other operand is first, a permutation."""
    mine, others = contract
    my_batch, other_batch = batch
    batch_rank = len(my_batch)
    my_free = free_axes(rank, mine, my_batch)
    other_free = free_axes(other_rank, others, other_batch)
    start = batch_rank + (0 if second else len(my_free))
    ct_contract = tuple(range(start, start + len(other_free)))
    if second and not my_batch and len(mine) == 1 and rank == 2 and mine == (0,):
        # The usual case, X^T Z', comes out in place if X goes first.
        return ((other_free, ct_contract), ((), ())), True, None
    # The result's dimensions, in terms of the operand's: batch, free, contracted in the order of the other's.
    contracted = [mine[others.index(i)] for i in sorted(others)]
    places = [*my_batch, *my_free, *contracted]
    order = tuple(sorted(range(len(places)), key=places.__getitem__))
    permutation = None if order == tuple(range(len(order))) else order
    return ((ct_contract, other_free), (tuple(range(batch_rank)), other_batch)), False, permutation


def _dot_general_batch(
    axis: Any,
    values: Sequence[Any],
    dims: Sequence[int | None],
    *,
    dimension_numbers: DotDimensionNumbers,
    **params: Any,
) -> tuple[Any, int]:
    x, y = values
    dx, dy = dims
    (xc, yc), (xb, yb) = dimension_numbers
    if dx is not None:
        xc, xb = _shift(xc, dx), _shift(xb, dx)
    if dy is not None:
        yc, yb = _shift(yc, dy), _shift(yb, dy)
    if dx is not None and dy is not None:
        xb, yb = (dx, *xb), (dy, *yb)
        out_dim = 0
    elif dx is not None:
        out_dim = len(xb) + free_axes(x.aval.ndim, xc, xb).index(dx)
    else:
        out_dim = len(xb) + x.aval.ndim - len(xc) - len(xb) + free_axes(y.aval.ndim, yc, yb).index(dy)
    return dot_general_p.bind(x, y, dimension_numbers=((xc, yc), (xb, yb)), **params), out_dim


def _shift(axes: Axes, dim: int) -> Axes:
    return tuple(a + (a >= dim) for a in axes)


rules.abstract[dot_general_p] = _dot_general_abstract
rules.jvp[dot_general_p] = _dot_general_jvp
rules.coefficient[dot_general_p] = product_coefficient(dot_general_p)
rules.transpose[dot_general_p] = _dot_general_transpose
rules.batch[dot_general_p] = _dot_general_batch


def contract_last(x: Any, y: Any, axis_x: int, axis_y: int) -> Any:
    """The contraction of one dimension of each of two arrays without batch dimensions."""
    return bind_dot(
        x, y, (((canonical_axis(axis_x, x.aval.ndim),), (canonical_axis(axis_y, y.aval.ndim),)), ((), ()))
    )


def matrix_transpose(x: Any) -> Any:
    """x with its last two dimensions swapped."""
    return moveaxis(x, x.aval.ndim - 1, x.aval.ndim - 2)
