"""Helpers of the matrix operations: triangles, diagonals and adjoints of stacks of matrices.

Triangles and diagonals are selections by constant masks, so that infinities and NaNs outside of them do not
spread, and so that they are linear with every rule.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..base.errors import DTypeError, ShapeError
from ..core import dtypes, rules
from ..core.array import ConcreteArray, scalar, wrap
from ..core.aval import ShapedArray
from ..core.kinds import kind
from ..core.primitive import Primitive
from .arithmetic import mul_p
from .compare import select_n_p
from .complex import conj_p
from .dot import matmul
from .structural import broadcast_in_dim, moveaxis, reduce_sum_p, reshape, transpose_p


@functools.lru_cache(maxsize=256)
def _lower_mask(rows: int, columns: int, k: int) -> ConcreteArray:
    return wrap(np.tri(rows, columns, k, dtype=np.bool_))


@functools.lru_cache(maxsize=256)
def diagonal_mask(rows: int, columns: int) -> ConcreteArray:
    """True on the main diagonal."""
    return wrap(np.eye(rows, columns, dtype=np.bool_))


@functools.lru_cache(maxsize=256)
def identity(size: int, dtype: np.dtype[Any]) -> ConcreteArray:
    """The identity matrix."""
    return wrap(np.eye(size, dtype=dtype))


def zero_like(x: Any) -> Any:
    """The scalar 0 of x's dtype."""
    return scalar(0, x.aval.dtype)


def tril(x: Any, k: int = 0) -> Any:
    """The elements on and below diagonal k of the last two dimensions; zero elsewhere."""
    rows, columns = x.aval.shape[-2:]
    return select_n_p.bind(_lower_mask(rows, columns, k), zero_like(x), x)


def triu(x: Any, k: int = 0) -> Any:
    """The elements on and above diagonal k of the last two dimensions; zero elsewhere."""
    rows, columns = x.aval.shape[-2:]
    return select_n_p.bind(_lower_mask(rows, columns, k - 1), x, zero_like(x))


def diagonal_part(x: Any) -> Any:
    """The matrix with everything but its diagonal set to zero."""
    return select_n_p.bind(diagonal_mask(*x.aval.shape[-2:]), zero_like(x), x)


def off_diagonal(x: Any) -> Any:
    """The matrix with its diagonal set to zero."""
    return select_n_p.bind(diagonal_mask(*x.aval.shape[-2:]), x, zero_like(x))


def diagonal(x: Any) -> Any:
    """The diagonals of a stack of matrices: (..., m, n) to (..., min(m, n))."""
    rows, columns = x.aval.shape[-2:]
    return reduce_sum_p.bind(diagonal_part(x), axes=(x.aval.ndim - (2 if columns <= rows else 1),))


def trace(x: Any) -> Any:
    """The traces of a stack of matrices."""
    rank = x.aval.ndim
    return reduce_sum_p.bind(diagonal_part(x), axes=(rank - 2, rank - 1))


def adjoint(x: Any) -> Any:
    """The conjugate transposes of a stack of matrices."""
    swapped = swap(x)
    return conj_p.bind(swapped) if kind(x.aval.dtype) == "c" else swapped


def swap(x: Any) -> Any:
    """The transposes of a stack of matrices."""
    rank = x.aval.ndim
    return transpose_p.bind(x, permutation=(*range(rank - 2), rank - 1, rank - 2))


def conj(x: Any) -> Any:
    """The complex conjugate; a real array unchanged."""
    return conj_p.bind(x) if kind(x.aval.dtype) == "c" else x


def scale_columns(x: Any, factors: Any) -> Any:
    """X diag(factors)."""
    shape = factors.aval.shape
    return mul_p.bind(x, reshape(factors, (*shape[:-1], 1, shape[-1])))


def scale_rows(x: Any, factors: Any) -> Any:
    """diag(factors) X."""
    return mul_p.bind(reshape(factors, (*factors.aval.shape, 1)), x)


def product(*matrices: Any) -> Any:
    """The product of stacks of matrices, from the left."""
    return functools.reduce(matmul, matrices)


def to_leading(x: Any, dim: int | None, size: int) -> Any:
    """x with its mapped dimension first, repeated along a new one if it has none."""
    if dim is None:
        shape = x.aval.shape
        return broadcast_in_dim(x, (size, *shape), tuple(range(1, len(shape) + 1)))
    return moveaxis(x, dim, 0)


def batch_leading(primitive: Primitive) -> Callable[..., tuple[Any, Any]]:
    """The batch rule of operations on the last dimensions of all operands: mapped dimensions go first."""

    def rule(axis: Any, values: Sequence[Any], dims: Sequence[int | None], **params: Any) -> tuple[Any, Any]:
        aligned = [to_leading(v, d, axis.size) for v, d in zip(values, dims, strict=True)]
        out = primitive.bind(*aligned, **params)
        return out, [0] * len(out) if primitive.multiple_results else 0

    return rule


def check_matrix(name: str, x: ShapedArray, *, square: bool = False) -> None:
    """Raise unless x is a (stack of) floating-point or complex matrices, square where required."""
    if x.ndim < 2:
        raise ShapeError(
            f"{name} expects a matrix or a stack of matrices (at least 2 dimensions); got shape {x.shape}"
        )
    if square and x.shape[-1] != x.shape[-2]:
        raise ShapeError(
            f"{name} expects square matrices (the last two dimensions equal); got shape {x.shape}"
        )
    if x.dtype not in LAPACK_DTYPES:
        raise DTypeError(
            f"{name} works in float32, float64, complex64 and complex128; got {dtypes.dtype_name(x.dtype)}. "
            "Convert with astype first."
        )


LAPACK_DTYPES = frozenset(np.dtype(t) for t in (np.float32, np.float64, np.complex64, np.complex128))


def no_transpose(primitive: Primitive, why: str) -> None:
    """Declare that a primitive is never linear in its operands."""
    rules.not_transposable[primitive] = why
