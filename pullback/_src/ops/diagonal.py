"""Matrices that are diagonal: placing a vector on the diagonal, and reading it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..base.errors import ShapeError
from ..core import rules
from ..core.array import Array, as_array
from ..core.aval import ShapedArray, shaped_array
from ..core.primitive import Primitive
from .structural import linear_primitive, moveaxis

__all__ = ["embed_diagonal", "extract_diagonal"]

embed_diagonal_p = linear_primitive("embed_diagonal")
extract_diagonal_p = linear_primitive("extract_diagonal")


def embed_diagonal(x: Any) -> Array:
    """The matrices of shape `(..., n, n)` with the vectors `x`, of shape `(..., n)`, on their diagonals."""
    return embed_diagonal_p.bind(as_array(x, name="embed_diagonal"))


def extract_diagonal(x: Any) -> Array:
    """The diagonals, of shape `(..., n)`, of the square matrices `x`, of shape `(..., n, n)`."""
    array = as_array(x, name="extract_diagonal")
    _extract_abstract(array.aval)  # NumPy would take the diagonals of other matrices, too
    return extract_diagonal_p.bind(array)


def _embed_abstract(x: ShapedArray) -> ShapedArray:
    if not x.shape:
        raise ShapeError(f"embed_diagonal expects vectors (at least one dimension), got {x.str_short()}")
    return shaped_array((*x.shape, x.shape[-1]), x.dtype, x.weak_type)


def _extract_abstract(x: ShapedArray) -> ShapedArray:
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(
            f"extract_diagonal expects square matrices of shape (..., n, n), got {x.str_short()}"
        )
    return shaped_array(x.shape[:-1], x.dtype, x.weak_type)


def _batch(primitive: Primitive) -> Any:
    def rule(axis: Any, values: Sequence[Any], dims: Sequence[int]) -> tuple[Any, int]:
        return primitive.bind(moveaxis(values[0], dims[0], 0)), 0

    return rule


rules.abstract[embed_diagonal_p] = _embed_abstract
rules.abstract[extract_diagonal_p] = _extract_abstract
rules.transpose[embed_diagonal_p] = lambda ct, x: [extract_diagonal_p.bind(ct)]
rules.transpose[extract_diagonal_p] = lambda ct, x: [embed_diagonal_p.bind(ct)]
rules.batch[embed_diagonal_p] = _batch(embed_diagonal_p)
rules.batch[extract_diagonal_p] = _batch(extract_diagonal_p)
