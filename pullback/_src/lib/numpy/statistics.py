"""Covariances and correlations of variables."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ...base.errors import DTypeError
from ...core import dtypes
from ...core.array import Array, as_array, scalar
from ...core.kinds import kind
from ...ops.arithmetic import max_p, min_p
from ...ops.complex import complex_p, conj_p, imag_p, real_p
from ...ops.convert import convert_element_type
from ...ops.dot import matmul
from ...ops.joining import concatenate
from ...ops.structural import full, reshape, transpose
from . import averages, reductions
from .promotion import check_arraylike, promote_inexact

__all__ = [
    "corrcoef",
    "cov",
]


def _observations(name: str, m: Any, rowvar: bool) -> Any:
    if m.aval.ndim > 2:
        raise ValueError(f"{name} needs a vector or a matrix; got shape {m.aval.shape}")
    if m.aval.ndim < 2:
        return reshape(m, (1, m.aval.size))
    return m if rowvar or m.aval.shape[0] == 1 else transpose(m, (1, 0))


def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    dtype: Any = None,
) -> Array:
    """The covariance matrix of variables.

    Args:
        m: a row for each variable and a column for each observation (without `rowvar`: the other way round).
        y: more variables.
        rowvar: whether rows are variables.
        bias: divide by the number n of observations (default: by n - 1).
        ddof: divide by n - ddof.
        fweights: for each observation an integer: how often it was made.
        aweights: for each observation its relative weight.
        dtype: the dtype of the computation.

    Returns:
        A matrix; for a single variable a scalar.
    """
    check_arraylike("cov", m, *(v for v in (y, fweights, aweights) if v is not None))
    if ddof is not None and ddof != operator.index(ddof):
        raise ValueError(f"cov: ddof must be an integer; got {ddof}")
    given = [v for v in (m, y) if v is not None]
    arrays = promote_inexact("cov", *given)
    if dtype is not None:
        target = dtypes.check_user_dtype(dtype, "cov")
        arrays = [convert_element_type(v, target) for v in arrays]
    blocks = [_observations("cov", v, rowvar) for v in arrays]
    x: Any = blocks[0] if len(blocks) == 1 else concatenate(blocks, 0)
    if x.aval.shape[0] == 0:
        return full((0, 0), 0, x.aval.dtype)
    if ddof is None:
        ddof = 0 if bias else 1
    w = _weights(x, fweights, aweights)
    real_dtype = dtypes.to_real_dtype(x.aval.dtype)
    if w is None:
        total: Any = None
        center = averages.mean(x, 1, keepdims=True)
        freedom: Any = full((), x.aval.shape[1] - ddof, real_dtype)
    else:
        total = reductions.sum(w)
        center = reductions.sum(x * w, 1, keepdims=True) / total
        if ddof == 0:
            freedom = total
        elif aweights is None:
            freedom = total - ddof
        else:
            freedom = total - ddof * reductions.sum(w * _as_real(aweights, real_dtype)) / total
    centered = x - center
    weighted = centered if w is None else centered * w
    other: Any = transpose(weighted, (1, 0))
    if kind(x.aval.dtype) == "c":
        other = conj_p.bind(other)
    result = matmul(centered, other) / freedom
    return reshape(result, ()) if x.aval.shape[0] == 1 else result


def _as_real(weights: Any, dtype: np.dtype[Any]) -> Any:
    return convert_element_type(as_array(weights), dtype)


def _weights(x: Any, fweights: Any, aweights: Any) -> Any:
    dtype = dtypes.to_real_dtype(x.aval.dtype)
    w: Any = None
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is None:
            continue
        array = as_array(given)
        if array.aval.ndim != 1 or array.aval.shape[0] != x.aval.shape[1]:
            raise ValueError(
                f"cov: {name} must be a vector with one element for each of {x.aval.shape[1]} observations; "
                f"got shape {array.aval.shape}"
            )
        if name == "fweights" and kind(array.aval.dtype) not in "iu":
            raise DTypeError(f"cov: fweights must be integers; got {dtypes.dtype_name(array.aval.dtype)}")
        # Weights are sizes, as in JAX.
        array = _as_real(array, dtype)
        array = max_p.bind(array, -array)
        w = array if w is None else w * array
    return w


def corrcoef(x: Any, y: Any = None, rowvar: bool = True, dtype: Any = None) -> Array:
    """The matrix of Pearson's correlation coefficients; the arguments are those of `cov`."""
    c: Any = cov(x, y, rowvar, dtype=dtype)
    if c.aval.ndim == 0:
        return c / c
    n = c.aval.shape[0]
    diagonal = reductions.sum(
        c * convert_element_type(as_array(np.eye(n, dtype=np.float32)), c.aval.dtype), 1
    )
    real = real_p.bind(diagonal) if kind(c.aval.dtype) == "c" else diagonal
    deviation: Any = real**0.5
    c = c / reshape(deviation, (n, 1)) / reshape(deviation, (1, n))
    if kind(c.aval.dtype) != "c":
        return _limited(c)
    return complex_p.bind(_limited(real_p.bind(c)), _limited(imag_p.bind(c)))


def _limited(x: Any) -> Any:
    """x within [-1, 1], which rounding may have left."""
    return max_p.bind(min_p.bind(x, scalar(1, x.aval.dtype)), scalar(-1, x.aval.dtype))
