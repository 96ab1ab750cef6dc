"""Mapping functions over dimensions of arrays, for chapters that need it: a small vmap of pytrees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...base.pytree import tree_flatten, tree_unflatten
from ...transforms.batch import Axis, batch, to_dim
from .promotion import asarray


def mapped(function: Callable[..., Any], args: Sequence[Any], dims: Sequence[int | None], size: int) -> Any:
    """`function` of arrays, called once for all positions along the dimensions `dims` of `args`.

    The results, a pytree, have the mapped dimension first; `size` is its size.
    """
    structure: Any = None

    def flat(*values: Any) -> list[Any]:
        nonlocal structure
        leaves, structure = tree_flatten(function(*values))
        return [asarray(leaf) for leaf in leaves]

    axis = Axis(size)
    values, out_dims = batch(flat, axis, args, dims)
    return tree_unflatten(structure, [to_dim(v, d, 0, size) for v, d in zip(values, out_dims, strict=True)])
