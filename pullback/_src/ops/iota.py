"""Index arrays: `iota`, the only primitive without operands that this family needs."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..core import dtypes, rules
from ..core.array import Array
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.primitive import Primitive
from .families import NUMERIC, check_kind
from .structural import canonical_axis, canonical_shape

__all__ = ["broadcasted_iota", "iota"]

iota_p = Primitive("iota")


def iota(dtype: Any, size: int) -> Array:
    """The numbers 0, 1, ..., size - 1.

    Args:
        dtype: an integer, floating-point or complex dtype.
        size: how many.
    """
    return broadcasted_iota(dtype, (operator.index(size),), 0)


def broadcasted_iota(dtype: Any, shape: Any, dimension: int) -> Array:
    """An array of `shape` whose elements are their own index along `dimension`.

    Raises:
        DTypeError: the dtype is bool or no dtype of numbers.
        ValueError: `dimension` is out of range.
    """
    found = dtypes.check_user_dtype(dtype, "iota")
    check_kind("iota", found, NUMERIC)
    sizes = canonical_shape(shape)
    return iota_p.bind(dtype=found, shape=sizes, dimension=canonical_axis(dimension, len(sizes)))


def _iota_abstract(*, dtype: np.dtype[Any], shape: tuple[int, ...], dimension: int) -> ShapedArray:
    check_kind("iota", dtype, NUMERIC)
    return shaped_array(shape, dtype)


def _iota_jvp(primals: Any, tangents: Any, **params: Any) -> tuple[Any, Any]:
    out = iota_p.bind(**params)
    return out, Zero(out.aval.tangent)


rules.abstract[iota_p] = _iota_abstract
rules.jvp[iota_p] = _iota_jvp
rules.batch[iota_p] = lambda axis, values, dims, **params: (iota_p.bind(**params), None)
rules.not_transposable[iota_p] = "it has no operands"
