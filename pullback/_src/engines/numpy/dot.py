"""Kernels of `ops.dot`.

The way to compute a contraction is found once for each combination of dimension numbers and ranks. The cases
of vectors and matrices go straight to `ndarray.dot`, the NumPy call with the least overhead; transposed
matrices are views that BLAS reads as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...core import dtypes
from ...core.aval import ShapedArray
from ...ops import dot as ops
from .register import bound, kernel

Array = np.ndarray[Any, Any]
Contraction = Callable[[Array, Array], Array]

_plans: dict[tuple[Any, int, int], Contraction] = {}
_FULL = {np.dtype(t) for t in (np.float32, np.float64, np.complex64, np.complex128, np.bool_)} | {
    np.dtype(f"{letter}{size}") for letter in "iu" for size in (1, 2, 4, 8)
}


@kernel(ops.dot_general_p)
def dot_general(
    x: Array,
    y: Array,
    *,
    dimension_numbers: Any,
    precision: Any,
    preferred_element_type: np.dtype[Any] | None,
) -> Array:
    plan = _plans.get((dimension_numbers, x.ndim, y.ndim))
    if plan is None:
        plan = _plans[dimension_numbers, x.ndim, y.ndim] = make_plan(dimension_numbers, x.ndim, y.ndim)
    dtype = x.dtype
    if (
        dtype is y.dtype
        and (preferred_element_type is None or preferred_element_type is dtype)
        and dtype in _FULL
    ):
        out = plan(x, y)
        return out if type(out) is np.ndarray else np.asarray(out)
    return _mixed(plan, x, y, preferred_element_type)


def _bound(avals: Sequence[ShapedArray], params: dict[str, Any]) -> Callable[..., Array]:
    numbers, preferred = params["dimension_numbers"], params["preferred_element_type"]
    x, y = avals
    # A float64 dtype equals None.
    if x.dtype != y.dtype or x.dtype not in _FULL or (preferred is not None and preferred != x.dtype):
        return partial(dot_general, **params)
    plan = make_plan(numbers, x.ndim, y.ndim)
    if len(numbers[0][0]) + len(numbers[1][0]) < max(x.ndim, y.ndim):
        return plan
    return lambda x, y: np.asarray(plan(x, y))  # of two vectors NumPy makes a scalar


bound[dot_general] = _bound


def _mixed(plan: Contraction, x: Array, y: Array, preferred: np.dtype[Any] | None) -> Array:
    dtype = ops.result_dtype("dot_general", x.dtype, y.dtype, preferred)
    computing = dtype
    if dtype not in _FULL:
        computing = np.dtype(np.float32) if dtypes.is_floating(dtype) else np.dtype(np.int32)
    out = np.asarray(plan(x.astype(computing, copy=False), y.astype(computing, copy=False)))
    return out if out.dtype == dtype else out.astype(dtype)


def make_plan(dimension_numbers: Any, x_rank: int, y_rank: int) -> Contraction:
    (xc, yc), (xb, yb) = dimension_numbers
    if not xb and len(xc) == 1 and x_rank <= 2 and y_rank <= 2:
        first, second = xc == (x_rank - 1,), yc == (0,)
        if first and second:
            return lambda x, y: x.dot(y)
        if first:
            return lambda x, y: x.dot(y.T)
        if second:
            return lambda x, y: x.T.dot(y)
        return lambda x, y: x.T.dot(y.T)
    if not xb and not xc:
        return np.multiply.outer
    batch = tuple(range(len(xb)))
    if xb == batch and yb == batch and x_rank == y_rank == len(xb) + 2:
        last, previous = x_rank - 1, x_rank - 2
        if len(xc) == 1:
            return _batched(len(xb), xc[0] == last, yc[0] == previous)
    return _general(dimension_numbers, x_rank, y_rank)


def _batched(batch_rank: int, last: bool, first: bool) -> Contraction:
    """Stacks of matrices: sum over the last (or last but one) dimension of x and the first (or
    last) of y's matrices.
    """

    def contract(x: Array, y: Array) -> Array:
        if x.shape[:batch_rank] != y.shape[:batch_rank]:
            raise ValueError("batch dimensions differ")  # matmul would broadcast them
        return np.matmul(x if last else x.swapaxes(-1, -2), y if first else y.swapaxes(-1, -2))

    return contract


def _general(dimension_numbers: Any, x_rank: int, y_rank: int) -> Contraction:
    (xc, yc), (xb, yb) = dimension_numbers
    x_order = (*xb, *ops.free_axes(x_rank, xc, xb), *xc)
    y_order = (*yb, *yc, *ops.free_axes(y_rank, yc, yb))
    batch_rank, contracted = len(xb), len(xc)
    x_free_rank = x_rank - batch_rank - contracted

    def contract(x: Array, y: Array) -> Array:
        x, y = x.transpose(x_order), y.transpose(y_order)
        batch = x.shape[:batch_rank]
        x_free = x.shape[batch_rank : batch_rank + x_free_rank]
        y_free = y.shape[batch_rank + contracted :]
        summed = math.prod(y.shape[batch_rank : batch_rank + contracted])
        if y.shape[: batch_rank + contracted] != batch + x.shape[batch_rank + x_free_rank :]:
            raise ValueError("batch or contracted dimensions differ")
        rows, columns = math.prod(x_free), math.prod(y_free)
        left, right = x.reshape(*batch, rows, summed), y.reshape(*batch, summed, columns)
        return np.matmul(left, right).reshape((*batch, *x_free, *y_free))

    return contract
