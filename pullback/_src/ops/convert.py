"""Conversions between dtypes, and identities that transformations see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base.errors import DTypeError, ShapeError
from ..core import dtypes, rules
from ..core.array import Array, ConcreteArray, as_array
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.primitive import Primitive
from .families import elementwise
from .structural import linear_coefficient, moveaxis

__all__ = ["bitcast_convert_type", "convert_element_type"]

convert_element_type_p = Primitive("convert_element_type")


def convert_element_type(operand: Any, new_dtype: Any, weak_type: bool = False) -> Array:
    """The operand's elements as `new_dtype` (complex to real keeps the real part).

    Args:
        operand: an array or a number.
        new_dtype: the dtype of the result.
        weak_type: whether the result is weakly typed.
    """
    dtype = dtypes.canonicalize_value_dtype(dtypes.as_numpy_dtype(new_dtype))
    if type(operand) is not ConcreteArray:
        operand = as_array(operand, name="convert_element_type")
    aval = operand.aval
    if aval.dtype == dtype and aval.weak_type == weak_type:
        return operand
    if aval.dtype == dtype and type(operand) is ConcreteArray:
        return ConcreteArray(operand._data, shaped_array(aval.shape, dtype, weak_type))
    return convert_element_type_p.bind(operand, new_dtype=dtype, weak_type=weak_type)


def _convert_abstract(x: ShapedArray, *, new_dtype: np.dtype[Any], weak_type: bool) -> ShapedArray:
    if dtypes.is_extended(x.dtype) != dtypes.is_extended(new_dtype):
        raise DTypeError(
            f"convert_element_type: cannot convert {dtypes.dtype_name(x.dtype)} to "
            f"{dtypes.dtype_name(new_dtype)}; use random.key_data and random.wrap_key_data for random keys"
        )
    return shaped_array(x.shape, new_dtype, weak_type)


def _convert_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, new_dtype: np.dtype[Any], weak_type: bool
) -> tuple[Any, Any]:
    out = convert_element_type_p.bind(*primals, new_dtype=new_dtype, weak_type=weak_type)
    (t,) = tangents
    if type(t) is Zero or not dtypes.is_inexact(new_dtype):
        return out, Zero(out.aval.tangent)
    return out, convert_element_type_p.bind(t, new_dtype=new_dtype, weak_type=weak_type)


def _convert_transpose(ct: Any, x: Any, *, new_dtype: np.dtype[Any], weak_type: bool) -> list[Any]:
    return [convert_element_type_p.bind(ct, new_dtype=x.dtype, weak_type=x.aval.weak_type)]


rules.abstract[convert_element_type_p] = _convert_abstract
rules.jvp[convert_element_type_p] = _convert_jvp
rules.coefficient[convert_element_type_p] = linear_coefficient(convert_element_type_p)
rules.transpose[convert_element_type_p] = _convert_transpose
rules.batch[convert_element_type_p] = lambda axis, values, dims, **params: (
    convert_element_type_p.bind(values[0], **params),
    dims[0],
)

# bitcast_convert_type -----------------------------------------------------------------------------

bitcast_convert_type_p = Primitive("bitcast_convert_type")


def bitcast_convert_type(operand: Any, new_dtype: Any) -> Array:
    """The operand's bits read as another dtype.

    A narrower dtype adds a last dimension (size ratio of the widths); a wider one consumes it.
    """
    dtype = dtypes.canonicalize_value_dtype(dtypes.as_numpy_dtype(new_dtype))
    return bitcast_convert_type_p.bind(as_array(operand), new_dtype=dtype)


def _bitcast_abstract(x: ShapedArray, *, new_dtype: np.dtype[Any]) -> ShapedArray:
    old, new = x.dtype.itemsize, new_dtype.itemsize
    if old == new:
        return shaped_array(x.shape, new_dtype)
    if old > new:
        return shaped_array((*x.shape, old // new), new_dtype)
    if not x.shape or x.shape[-1] != new // old:
        raise ShapeError(
            f"bitcast_convert_type: reading {x.str_short()} as {new_dtype.name} needs a last dimension "
            f"of size {new // old}"
        )
    return shaped_array(x.shape[:-1], new_dtype)


def _bitcast_batch(
    axis: Any, values: Sequence[Any], dims: Sequence[int], *, new_dtype: np.dtype[Any]
) -> tuple[Any, int]:
    return bitcast_convert_type_p.bind(moveaxis(values[0], dims[0], 0), new_dtype=new_dtype), 0


rules.abstract[bitcast_convert_type_p] = _bitcast_abstract
rules.batch[bitcast_convert_type_p] = _bitcast_batch


def _bitcast_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
    out = bitcast_convert_type_p.bind(*primals, **params)
    return out, Zero(out.aval.tangent)


rules.jvp[bitcast_convert_type_p] = _bitcast_jvp

# Identities ---------------------------------------------------------------------------------------

copy_p: Primitive = elementwise("copy", lambda t, ans, x: copy_p.bind(t), accepts="biufck")
rules.transpose[copy_p] = lambda ct, x: [ct]
rules.coefficient[copy_p] = linear_coefficient(copy_p)

stop_gradient_p = elementwise("stop_gradient", None, accepts="biufck")
# Of a value that a linear program computes: what flows back is nothing, as it is in a derivative.
rules.transpose[stop_gradient_p] = lambda ct, x: [None]


def stop_gradient_array(x: Any) -> Array:
    """The array itself, with derivative zero."""
    x = as_array(x, name="stop_gradient")
    if x.aval.tangent is not x.aval:
        return x  # nothing to stop
    return stop_gradient_p.bind(x)
