"""Pytrees: nested containers of arrays, as the transformations and the users see them.

The functions named ``tree_*``, ``treedef_*`` and ``register_*`` are public and have JAX's names and meaning;
their structures are `PyTreeDef`. The others (`flatten`, `unflatten`, `flatten_axes`, ...) are for the
library; their structures are `TreeSpec`, optree's own type, so that no wrapper is paid for on the way of
every transformed call.

Nodes are tuple, list, dict, OrderedDict, defaultdict, None, namedtuples and registered types; everything else
is a leaf. Differences from JAX: dicts are rebuilt in the key order of the tree that was flattened (JAX sorts
them), keys that cannot be compared are ordered by their types' names (JAX raises), and struct sequences such
as `time.struct_time` are nodes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import optree

from pullback._src.base.key_paths import (
    DictKey,
    FlattenedIndexKey,
    GetAttrKey,
    KeyEntry,
    KeyPath,
    SequenceKey,
    keystr,
)
from pullback._src.base.pytree_nodes import (
    NAMESPACE,
    Partial,
    TreeSpec,
    flatten_one_level,
    flatten_one_level_with_keys,
    is_forced_leaf,
    is_tree_node,
    mark_leaf_type,
    register_dataclass,
    register_pytree_node,
    register_pytree_node_class,
    register_pytree_with_keys,
    register_pytree_with_keys_class,
    register_static,
    static,
)
from pullback._src.base.pytree_structure import (
    LeafPredicate,
    broadcast_prefix,
    canonical_structure,
    explain_structure_difference,
    flatten,
    flatten_axes,
    flatten_up_to,
    format_structure,
    leaves_of,
    node_data,
    prefix_errors,
    structure_of,
    unflatten,
)

__all__ = [
    "DictKey",
    "FlattenedIndexKey",
    "GetAttrKey",
    "KeyEntry",
    "KeyPath",
    "LeafPredicate",
    "Partial",
    "PyTreeDef",
    "SequenceKey",
    "TreeSpec",
    "all_leaves",
    "broadcast_prefix",
    "build_tree",
    "canonical_structure",
    "explain_structure_difference",
    "flatten",
    "flatten_axes",
    "flatten_one_level",
    "flatten_one_level_with_keys",
    "flatten_up_to",
    "format_structure",
    "is_tree_node",
    "keystr",
    "leaves_of",
    "mark_leaf_type",
    "prefix_errors",
    "register_dataclass",
    "register_pytree_node",
    "register_pytree_node_class",
    "register_pytree_with_keys",
    "register_pytree_with_keys_class",
    "register_static",
    "static",
    "structure_of",
    "tree_all",
    "tree_broadcast",
    "tree_flatten",
    "tree_flatten_with_path",
    "tree_leaves",
    "tree_leaves_with_path",
    "tree_map",
    "tree_map_with_path",
    "tree_reduce",
    "tree_reduce_associative",
    "tree_structure",
    "tree_transpose",
    "tree_unflatten",
    "treedef_children",
    "treedef_is_leaf",
    "treedef_tuple",
    "unflatten",
]

T = TypeVar("T")


class PyTreeDef:
    """The structure of a pytree: its containers without its leaves.

    Compares by ``==``, is hashable and can be pickled (given that its registered types are importable). Made
    by `tree_structure` and `tree_flatten`; the library wraps the structures it works with (`TreeSpec`) in it
    wherever users see them.

    Example:
        >>> tree_structure({'b': (1, 2), 'a': 3})
        PyTreeDef({'a': *, 'b': (*, *)})
    """

    __slots__ = ("spec",)

    spec: TreeSpec

    def __init__(self, spec: TreeSpec) -> None:
        self.spec = spec

    @property
    def num_leaves(self) -> int:
        """The number of leaves."""
        return self.spec.num_leaves

    @property
    def num_nodes(self) -> int:
        """The number of nodes, leaves included."""
        return self.spec.num_nodes

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        """The tree of this structure with these leaves; ValueError when they are too few or too many."""
        return unflatten(self.spec, leaves)

    def flatten_up_to(self, tree: Any) -> list[Any]:
        """The subtrees of `tree` at the places of this structure's leaves.

        Raises:
            ValueError: this structure is not a prefix of that of `tree`; the message names the key path.
        """
        return flatten_up_to(self.spec, tree)

    def children(self) -> list[PyTreeDef]:
        """The structures of the children of the root; none for a leaf."""
        return [PyTreeDef(child) for child in self.spec.children()]

    def compose(self, inner: PyTreeDef) -> PyTreeDef:
        """This structure with `inner` in the place of each leaf."""
        return PyTreeDef(self.spec.compose(inner.spec))

    def node_data(self) -> tuple[type, Any] | None:
        """The root's type and static data, such as ``(dict, ['a', 'b'])``; None for a leaf."""
        return node_data(self.spec)

    def from_iterable_tree(self, tree: Any) -> Any:
        """Rebuild a tree from nested iterables (of any type) that have this structure's nesting and lengths.

        Raises:
            ValueError: an iterable has another length than its node.
        """
        if self.spec.is_leaf():
            return tree
        one_level = self.spec.one_level()
        assert one_level is not None
        subtrees = list(tree)
        if len(subtrees) != one_level.num_leaves:
            raise ValueError(
                f"Expected {one_level.num_leaves} children for {format_structure(one_level)},"
                f" but got {len(subtrees)}."
            )
        return one_level.unflatten(
            [
                child.from_iterable_tree(subtree)
                for child, subtree in zip(self.children(), subtrees, strict=True)
            ]
        )

    def __eq__(self, other: object) -> bool:
        return self.spec == other.spec if isinstance(other, PyTreeDef) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.spec)

    def __repr__(self) -> str:
        return format_structure(self.spec)

    def __reduce__(self) -> tuple[type[PyTreeDef], tuple[TreeSpec]]:
        return PyTreeDef, (self.spec,)


def _check_treedef(function: str, treedef: Any) -> TreeSpec:
    if not isinstance(treedef, PyTreeDef):
        raise TypeError(
            f"{function}: expected a PyTreeDef, but got {treedef!r} of type {type(treedef).__name__}."
        )
    return treedef.spec


def tree_flatten(tree: Any, is_leaf: LeafPredicate | None = None) -> tuple[list[Any], PyTreeDef]:
    """The leaves of a pytree, depth first, and its structure.

    Args:
        tree: any pytree; a value that is no node is a tree of one leaf.
        is_leaf: called with each subtree; where it returns True the subtree is a leaf.

    Example:
        >>> tree_flatten([1, (2, None), {'a': 3}])
        ([1, 2, 3], PyTreeDef([*, (*, None), {'a': *}]))
    """
    leaves, spec = flatten(tree, is_leaf)
    return leaves, PyTreeDef(spec)


def tree_unflatten(treedef: PyTreeDef, leaves: Iterable[Any]) -> Any:
    """The pytree of structure `treedef` with these leaves: the inverse of `tree_flatten`.

    Raises:
        ValueError: there are too few or too many leaves.
        TypeError: `treedef` is not a structure.
    """
    return unflatten(_check_treedef("tree_unflatten", treedef), leaves)


def tree_leaves(tree: Any, is_leaf: LeafPredicate | None = None) -> list[Any]:
    """The leaves of a pytree, depth first."""
    return flatten(tree, is_leaf)[0]


def tree_structure(tree: Any, is_leaf: LeafPredicate | None = None) -> PyTreeDef:
    """The structure of a pytree."""
    return PyTreeDef(flatten(tree, is_leaf)[1])


_ORDINALS = ("second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")


def _flatten_rest(function: str, spec: TreeSpec, rest: tuple[Any, ...]) -> list[list[Any]]:
    columns = []
    for position, tree in enumerate(rest):
        ordinal = _ORDINALS[position] if position < len(_ORDINALS) else f"{position + 2}th"
        columns.append(flatten_up_to(spec, tree, f"the first tree of {function}", f"the {ordinal} tree"))
    return columns


def tree_map(f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: LeafPredicate | None = None) -> Any:
    """Apply `f` to the leaves of a pytree (and to what stands at their places in further trees).

    Args:
        f: called with a leaf of `tree` and, for each tree of `rest`, its subtree at that place.
        tree: the pytree whose structure the result has.
        rest: further pytrees; the structure of `tree` must be a prefix of theirs.
        is_leaf: called with each subtree of `tree`; where it returns True the subtree is a leaf.

    Raises:
        ValueError: a structure does not match; the message names the key path.

    Example:
        >>> tree_map(lambda x, y: x + y, {'a': 1, 'b': 2}, {'a': 10, 'b': 20})
        {'a': 11, 'b': 22}
    """
    leaves, spec = flatten(tree, is_leaf)
    if not rest:
        return unflatten(spec, map(f, leaves))
    return unflatten(spec, map(f, leaves, *_flatten_rest("tree_map", spec, rest)))


_ABSENT: Any = object()


def tree_reduce(
    function: Callable[[T, Any], T],
    tree: Any,
    initializer: Any = _ABSENT,
    is_leaf: LeafPredicate | None = None,
) -> T:
    """`functools.reduce` over the leaves of a pytree.

    Raises:
        TypeError: there are no leaves and no initializer.

    Example:
        >>> tree_reduce(lambda total, leaf: total + leaf, {'a': 1, 'b': (2, 3)})
        6
    """
    leaves = leaves_of(tree, is_leaf)
    reduced: T = functools.reduce(function, leaves, *(() if initializer is _ABSENT else (initializer,)))
    return reduced


def tree_reduce_associative(
    operation: Callable[[T, T], T],
    tree: Any,
    *,
    identity: Any = _ABSENT,
    is_leaf: LeafPredicate | None = None,
) -> T:
    """Reduce the leaves with an associative operation, as a balanced binary tree instead of a chain.

    So a result of n leaves depends on each through about log2(n) operations, which shortens what a compiler
    must do one after the other.

    Args:
        operation: an associative function of two values.
        tree: the pytree.
        identity: the result if there are no leaves.

    Raises:
        TypeError: there are no leaves and no identity.
    """
    values = leaves_of(tree, is_leaf)
    if not values:
        if identity is _ABSENT:
            raise TypeError(
                "tree_reduce_associative: a tree without leaves can be reduced only if identity is given."
            )
        result: T = identity
        return result

    def reduce_range(start: int, stop: int) -> Any:
        if stop - start == 1:
            return values[start]
        middle = (start + stop) // 2
        return operation(reduce_range(start, middle), reduce_range(middle, stop))

    reduced: T = reduce_range(0, len(values))
    return reduced


def tree_all(tree: Any, *, is_leaf: LeafPredicate | None = None) -> bool:
    """Whether all leaves are true; True for a tree without leaves."""
    return all(leaves_of(tree, is_leaf))


def all_leaves(iterable: Iterable[Any], is_leaf: LeafPredicate | None = None) -> bool:
    """Whether every element of an iterable is a leaf, so that it could be the leaves of a tree.

    Example:
        >>> all_leaves([1, 2.0]), all_leaves([1, (2, 3)])
        (True, False)
    """
    return all(structure_of(element, is_leaf).is_leaf() for element in iterable)


def tree_transpose(
    outer_treedef: PyTreeDef, inner_treedef: PyTreeDef | None, pytree_to_transpose: Any
) -> Any:
    """Turn a tree of trees inside out: ``outer(inner(leaf))`` to ``inner(outer(leaf))``.

    Args:
        outer_treedef: the structure of the outer tree.
        inner_treedef: the structure of each subtree; None takes that of the first.
        pytree_to_transpose: the tree, of structure ``outer_treedef.compose(inner_treedef)``.

    Raises:
        TypeError: the tree has another structure; the message names the key path.

    Example:
        >>> tree_transpose(tree_structure([0, 0]), tree_structure((0, 0)), [(1, 2), (3, 4)])
        ([1, 3], [2, 4])
    """
    outer = _check_treedef("tree_transpose", outer_treedef)
    if inner_treedef is not None:
        inner = _check_treedef("tree_transpose", inner_treedef)
    elif outer.num_leaves == 0:
        raise ValueError(
            "tree_transpose: without an outer leaf the inner structure is unknown; give inner_treedef."
        )
    else:
        inner = structure_of(flatten_up_to(outer, pytree_to_transpose)[0])
    leaves, received = flatten(pytree_to_transpose)
    expected = outer.compose(inner)
    if received != expected:
        difference = explain_structure_difference(
            expected, received, "the composition of outer_treedef and inner_treedef", "the tree to transpose"
        )
        raise TypeError(f"tree_transpose: structures do not match: {difference}.")
    size = inner.num_leaves
    return unflatten(inner, [unflatten(outer, leaves[offset::size]) for offset in range(size)])


def tree_broadcast(prefix_tree: Any, full_tree: Any, is_leaf: LeafPredicate | None = None) -> Any:
    """The leaves of a tree prefix, spread over the structure of `full_tree`.

    Args:
        prefix_tree: a pytree whose structure is a prefix of that of `full_tree`; `is_leaf` applies to it.
        full_tree: the pytree that gives the structure.

    Raises:
        ValueError: it is not a prefix; the message names the key path.

    Example:
        >>> tree_broadcast((1, 2), ([0, 0], {'a': 0}))
        ([1, 1], {'a': 2})
    """
    return unflatten(structure_of(full_tree), broadcast_prefix(prefix_tree, full_tree, is_leaf))


def treedef_is_leaf(treedef: PyTreeDef) -> bool:
    """Whether the structure has one node only: a leaf, None or an empty container."""
    return _check_treedef("treedef_is_leaf", treedef).num_nodes == 1


def treedef_children(treedef: PyTreeDef) -> list[PyTreeDef]:
    """The structures of the children of the root."""
    _check_treedef("treedef_children", treedef)
    return treedef.children()


def treedef_tuple(treedefs: Iterable[PyTreeDef]) -> PyTreeDef:
    """The structure of a tuple whose elements have these structures.

    Example:
        >>> treedef_tuple([tree_structure(0), tree_structure([0])])
        PyTreeDef((*, [*]))
    """
    specs = [_check_treedef("treedef_tuple", treedef) for treedef in treedefs]
    return PyTreeDef(optree.treespec_tuple(specs, namespace=NAMESPACE))


def build_tree(treedef: PyTreeDef, xs: Any) -> Any:
    """Rebuild a tree from nested iterables: ``treedef.from_iterable_tree(xs)``."""
    _check_treedef("build_tree", treedef)
    return treedef.from_iterable_tree(xs)


# ---- With key paths.


def _walk_paths(
    tree: Any,
    path: KeyPath,
    is_leaf: Callable[[KeyPath, Any], bool] | None,
    paths: list[KeyPath],
    decisions: list[bool],
) -> None:
    """Append the paths of the leaves and, in the order of visits, which subtrees were declared leaves."""
    stop = is_forced_leaf(tree) or (is_leaf is not None and bool(is_leaf(path, tree)))
    decisions.append(stop)
    # Whether a subtree is a node at all is optree's to say: asked with the root opened and nothing else.
    if stop or structure_of(tree, lambda node: node is not tree).is_leaf():
        paths.append(path)
        return
    for key, child in flatten_one_level_with_keys(tree)[0]:
        _walk_paths(child, (*path, key), is_leaf, paths, decisions)


def _flatten_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None, is_leaf_takes_path: bool
) -> tuple[list[KeyPath], list[Any], TreeSpec]:
    takes_path = is_leaf if is_leaf is None or is_leaf_takes_path else lambda _, node: is_leaf(node)
    paths: list[KeyPath] = []
    decisions: list[bool] = []
    _walk_paths(tree, (), takes_path, paths, decisions)
    # Flattening visits the same subtrees in the same order, so the recorded answers can be given again there.
    answers = iter(decisions)
    leaves, spec = optree.tree_flatten(tree, lambda _: next(answers), namespace=NAMESPACE)
    return paths, leaves, spec


def tree_flatten_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None = None, is_leaf_takes_path: bool = False
) -> tuple[list[tuple[KeyPath, Any]], PyTreeDef]:
    """As `tree_flatten`, each leaf as ``(key path, leaf)``.

    Args:
        tree: any pytree.
        is_leaf: called with each subtree, or with its path and the subtree if `is_leaf_takes_path`.

    Example:
        >>> tree_flatten_with_path({'a': [1, 2]})[0]
        [((DictKey(key='a'), SequenceKey(idx=0)), 1), ((DictKey(key='a'), SequenceKey(idx=1)), 2)]
    """
    paths, leaves, spec = _flatten_with_path(tree, is_leaf, is_leaf_takes_path)
    return list(zip(paths, leaves, strict=True)), PyTreeDef(spec)


def tree_leaves_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None = None, is_leaf_takes_path: bool = False
) -> list[tuple[KeyPath, Any]]:
    """The leaves of a pytree, each as ``(key path, leaf)``; arguments as for `tree_flatten_with_path`."""
    return tree_flatten_with_path(tree, is_leaf, is_leaf_takes_path)[0]


def tree_map_with_path(
    f: Callable[..., Any],
    tree: Any,
    *rest: Any,
    is_leaf: Callable[..., bool] | None = None,
    is_leaf_takes_path: bool = False,
) -> Any:
    """As `tree_map`, with the key path of the leaf as the first argument of `f`.

    Example:
        >>> tree_map_with_path(lambda path, x: f'{keystr(path)}={x}', {'a': [1, 2]})
        {'a': ["['a'][0]=1", "['a'][1]=2"]}
    """
    paths, leaves, spec = _flatten_with_path(tree, is_leaf, is_leaf_takes_path)
    return unflatten(spec, map(f, paths, leaves, *_flatten_rest("tree_map_with_path", spec, rest)))
