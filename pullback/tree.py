"""Pytrees under the short names of `jax.tree`: ``pullback.tree.map`` is `pullback.tree_util.tree_map`."""

from pullback._src.base.pytree import static
from pullback._src.base.pytree import tree_all as all
from pullback._src.base.pytree import tree_broadcast as broadcast
from pullback._src.base.pytree import tree_flatten as flatten
from pullback._src.base.pytree import tree_flatten_with_path as flatten_with_path
from pullback._src.base.pytree import tree_leaves as leaves
from pullback._src.base.pytree import tree_leaves_with_path as leaves_with_path
from pullback._src.base.pytree import tree_map as map
from pullback._src.base.pytree import tree_map_with_path as map_with_path
from pullback._src.base.pytree import tree_reduce as reduce
from pullback._src.base.pytree import tree_reduce_associative as reduce_associative
from pullback._src.base.pytree import tree_structure as structure
from pullback._src.base.pytree import tree_transpose as transpose
from pullback._src.base.pytree import tree_unflatten as unflatten

__all__ = [
    "all",
    "broadcast",
    "flatten",
    "flatten_with_path",
    "leaves",
    "leaves_with_path",
    "map",
    "map_with_path",
    "reduce",
    "reduce_associative",
    "static",
    "structure",
    "transpose",
    "unflatten",
]
