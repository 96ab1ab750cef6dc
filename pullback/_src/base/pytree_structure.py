"""Flattening, and how two structures relate: equal, prefix, different; and the words for where they differ.

These are the functions that the transformations call. They work on `TreeSpec`, optree's own structure type;
the public surface over it is in `pytree.py`.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeAlias

import optree

from pullback._src.base.key_paths import KeyPath, keystr
from pullback._src.base.pytree_nodes import (
    BUILTIN_NODES,
    NAMESPACE,
    TreeSpec,
    child_keys,
    flatten_one_level,
    is_forced_leaf,
    leaf_types,
    node_metadata,
)

LeafPredicate: TypeAlias = Callable[[Any], bool]


def _with_forced_leaves(is_leaf: LeafPredicate) -> LeafPredicate:
    return lambda node: is_forced_leaf(node) or is_leaf(node)


def _flat_tuple(length: int) -> TreeSpec:
    tree: Any = (0,) * length
    return optree.tree_structure(tree, namespace=NAMESPACE)


_FLAT_TUPLES: tuple[TreeSpec, ...] = tuple(map(_flat_tuple, range(17)))
_FLAT_LENGTHS: dict[int, int] = {id(spec): length for length, spec in enumerate(_FLAT_TUPLES)}
_LEAF: TreeSpec = _FLAT_TUPLES[1].child(0)


def flatten(tree: Any, is_leaf: LeafPredicate | None = None) -> tuple[list[Any], TreeSpec]:
    """The leaves of `tree`, depth first, and its structure. `None` is a node without children.

    `is_leaf(subtree)` may declare further subtrees leaves, `None` included.
    """
    if is_leaf is None:
        # The trees of most calls are an array or a tuple of arrays; these ways cost a fraction of optree's.
        if type(tree) in leaf_types:
            return [tree], _LEAF
        if type(tree) is tuple and len(tree) < len(_FLAT_TUPLES) and leaf_types.issuperset(map(type, tree)):
            return list(tree), _FLAT_TUPLES[len(tree)]
    return optree.tree_flatten(
        tree, is_forced_leaf if is_leaf is None else _with_forced_leaves(is_leaf), namespace=NAMESPACE
    )


def unflatten(treedef: TreeSpec, leaves: Iterable[Any]) -> Any:
    """The tree of this structure with these leaves; ValueError when there are too few or too many of them."""
    length = _FLAT_LENGTHS.get(id(treedef))
    if length is not None:
        tree = tuple(leaves)
        if len(tree) == length:
            return tree
        leaves = tree
    return treedef.unflatten(leaves)


def leaves_of(tree: Any, is_leaf: LeafPredicate | None = None) -> list[Any]:
    """The leaves of `tree`, depth first."""
    return flatten(tree, is_leaf)[0]


def structure_of(tree: Any, is_leaf: LeafPredicate | None = None) -> TreeSpec:
    """The structure of `tree`."""
    return flatten(tree, is_leaf)[1]


def _sort_keys(node: TreeSpec) -> TreeSpec:
    if (node.type is not dict and node.type is not defaultdict) or node.num_children < 2:
        return node
    mapping: Any = node.unflatten(range(node.num_leaves))
    ordered = {key: mapping[key] for key in node.entries()}
    if list(ordered) == list(mapping):
        return node
    return structure_of(ordered if node.type is dict else defaultdict(mapping.default_factory, ordered))


def canonical_structure(treedef: TreeSpec) -> TreeSpec:
    """An equal structure whose dicts unflatten with their keys in sorted order.

    Equal structures may differ in one thing: dicts come back in the key order of the tree that was flattened.
        What is cached under a structure (a compiled function) must not depend on which of its equals came
        first, so build the arguments of a function that is traced once for all with this.
    """
    return treedef.transform(_sort_keys)


def node_data(treedef: TreeSpec) -> tuple[type, Any] | None:
    """The type and the metadata of the root node, or None for a leaf."""
    one_level = treedef.one_level()
    if one_level is None:
        return None
    node_type, metadata, _ = one_level.walk(range(one_level.num_leaves), lambda *node: node)
    return node_type, None if _is_named_tuple(node_type) else node_metadata(node_type, metadata)


def _is_named_tuple(node_type: type | None) -> bool:
    return node_type is not None and bool(
        optree.is_namedtuple_class(node_type) or optree.is_structseq_class(node_type)
    )


def _format_node(node_type: type, metadata: Any, children: Sequence[str]) -> str:
    if node_type is type(None):
        return "None"
    if node_type is tuple:
        return f"({', '.join(children)}{',' if len(children) == 1 else ''})"
    inside = ", ".join(children)
    if node_type is list:
        return f"[{inside}]"
    if node_type is dict:
        return f"{{{', '.join(f'{key!r}: {child}' for key, child in zip(metadata, children, strict=True))}}}"
    # optree gives the class itself as the metadata of a namedtuple that is a node by itself.
    if _is_named_tuple(node_type) and metadata is node_type:
        return f"CustomNode(namedtuple[{node_type.__name__}], [{inside}])"
    return f"CustomNode({node_type.__name__}[{node_metadata(node_type, metadata)}], [{inside}])"


def format_structure(treedef: TreeSpec) -> str:
    """The structure as text: ``PyTreeDef({'a': *, 'b': (*, *)})``."""
    return f"PyTreeDef({treedef.walk(['*'] * treedef.num_leaves, _format_node)})"


# ---- Differences between structures, in words.

_PrefixSide: TypeAlias = Literal["neither", "expected", "received"]
_Difference: TypeAlias = tuple[KeyPath, str, str]
"""The key path, and what the expected and the received tree have there."""

_MAX_DIFFERENCES = 5
_MAX_KEYS = 12


class _View:
    """A subtree of a structure, with its leaves where they are known."""

    def __init__(self, treedef: TreeSpec, leaves: Sequence[Any] | None) -> None:
        self.treedef, self.leaves = treedef, leaves
        self.type = treedef.type

    @property
    def is_leaf(self) -> bool:
        return self.type is None

    @property
    def keys(self) -> list[Hashable]:
        return self.treedef.entries()

    def children(self) -> Iterator[_View]:
        start = 0
        for child in self.treedef.children():
            stop = start + child.num_leaves
            yield _View(child, None if self.leaves is None else self.leaves[start:stop])
            start = stop

    def describe(self) -> str:
        if self.type is None:
            return "a leaf" if self.leaves is None else f"a leaf of type {type(self.leaves[0]).__name__}"
        if self.type is type(None):
            return "None (a node without leaves)"
        name, count = self.type.__name__, self.treedef.num_children
        article = "an" if name[0] in "aeiouAEIOU" else "a"
        if self.type is list or self.type is tuple:
            return f"{article} {name} of length {count}" if count else f"an empty {name}"
        if self.type in BUILTIN_NODES:
            return f"{article} {name} with {_format_keys(self.keys)}" if count else f"an empty {name}"
        kind = "namedtuple" if _is_named_tuple(self.type) else "node"
        return f"{article} {name} ({kind} with {_count(count, 'child', 'children')})"


def _count(number: int, singular: str, plural: str) -> str:
    return f"{number} {singular if number == 1 else plural}"


def _format_keys(keys: Sequence[Hashable]) -> str:
    shown = ", ".join(map(repr, keys[:_MAX_KEYS]))
    more = f" and {len(keys) - _MAX_KEYS} more" if len(keys) > _MAX_KEYS else ""
    return f"{'key' if len(keys) == 1 else 'keys'} {shown}{more}"


def _compare_nodes(expected: _View, received: _View) -> tuple[str, str] | None:
    """How two nodes differ as such (children aside): a description of each, or None if they agree."""
    if expected.type is received.type and expected.treedef.one_level() == received.treedef.one_level():
        return None
    ours, theirs = expected.describe(), received.describe()
    if expected.type is not received.type:
        if ours == theirs:  # two classes of one name
            ours, theirs = f"{ours} [{expected.type}]", f"{theirs} [{received.type}]"
        return ours, theirs
    if expected.type in (dict, OrderedDict, defaultdict):
        missing = [key for key in expected.keys if key not in received.keys]
        extra = [key for key in received.keys if key not in expected.keys]
        notes = [f"missing: {', '.join(map(repr, missing[:_MAX_KEYS]))}"] if missing else []
        notes += [f"not expected: {', '.join(map(repr, extra[:_MAX_KEYS]))}"] if extra else []
        if not notes and expected.keys != received.keys:
            notes = ["the same keys in another order"]
        if notes:
            return ours, f"{theirs} ({'; '.join(notes)})"
    if ours == theirs:
        data, other_data = node_data(expected.treedef), node_data(received.treedef)
        assert data is not None and other_data is not None
        if expected.type is defaultdict:
            return f"{ours} and factory {data[1][0]!r}", f"{theirs} and factory {other_data[1][0]!r}"
        return f"{ours} with static data {data[1]!r}", f"{theirs} with static data {other_data[1]!r}"
    return ours, theirs


def _differences(
    expected: _View, received: _View, prefix: _PrefixSide, path: KeyPath
) -> Iterator[_Difference]:
    if (prefix == "expected" and expected.is_leaf) or (prefix == "received" and received.is_leaf):
        return
    difference = _compare_nodes(expected, received)
    if difference is not None:
        yield path, *difference
        return
    for key, ours_child, theirs_child in zip(
        child_keys(expected.treedef), expected.children(), received.children(), strict=True
    ):
        yield from _differences(ours_child, theirs_child, prefix, (*path, key))


def _view(tree: Any, is_leaf: LeafPredicate | None = None) -> _View:
    if isinstance(tree, TreeSpec):
        return _View(tree, None)
    leaves, treedef = flatten(tree, is_leaf)
    return _View(treedef, leaves)


def _sentence(difference: _Difference, expected_name: str, received_name: str) -> str:
    path, ours, theirs = difference
    if path:
        return f"at key path {keystr(path)}, {expected_name} has {ours}, but {received_name} has {theirs}"
    return f"{expected_name} is {ours}, but {received_name} is {theirs}"


def _explain(
    expected: _View, received: _View, expected_name: str, received_name: str, prefix: _PrefixSide = "neither"
) -> str:
    differences = _differences(expected, received, prefix, ())
    sentences = [_sentence(difference, expected_name, received_name) for difference in differences]
    if len(sentences) < 2:
        return "".join(sentences)
    shown = sentences[:_MAX_DIFFERENCES]
    if len(sentences) > _MAX_DIFFERENCES:
        shown.append(
            f"and {_count(len(sentences) - _MAX_DIFFERENCES, 'more difference', 'more differences')}"
        )
    return "".join(f"\n  * {sentence}" for sentence in shown)


def explain_structure_difference(
    expected: Any,
    received: Any,
    expected_name: str = "the expected tree",
    received_name: str = "the tree received",
) -> str:
    """Say where and how two structures differ, for an error message: ``f'... must agree: {explanation}.'``

    Args:
        expected, received: pytrees, or structures (`TreeSpec`). Trees give better texts: the types of leaves.
        expected_name, received_name: what to call the two in the text, e.g. "the carry input".

    Returns:
        The empty string if the structures are equal; a clause without final period if they differ in one
        place ("at key path ['w'][0], the carry input has a leaf of type float, but the carry output has a
        tuple of length 2"); else a list of such clauses, each on a line of its own.
    """
    return _explain(_view(expected), _view(received), expected_name, received_name)


def prefix_errors(
    prefix_tree: Any,
    full_tree: Any,
    is_leaf: LeafPredicate | None = None,
    prefix_name: str = "the prefix tree",
    full_name: str = "the full tree",
) -> list[str]:
    """What keeps `prefix_tree` from being a prefix of `full_tree`: a clause for each place; none if it is."""
    differences = _differences(_view(prefix_tree, is_leaf), _view(full_tree), "expected", ())
    return [_sentence(difference, prefix_name, full_name) for difference in differences]


# ---- Prefixes.


def _collect_up_to(treedef: TreeSpec, tree: Any, subtrees: list[Any]) -> bool:
    """Append the subtrees of `tree` at the leaves of `treedef`; False at the first node that differs."""
    node_type: Any = treedef.type
    if node_type is None:
        subtrees.append(tree)
        return True
    if type(tree) is not node_type:
        return False
    children: Sequence[Any]
    if node_type is tuple or node_type is list:
        if len(tree) != treedef.num_children:
            return False
        children = tree
    else:
        # Only the root is opened: `is_leaf` is asked about the root first, then about its children.
        if structure_of(tree, lambda node: node is not tree) != treedef.one_level():
            return False
        children = flatten_one_level(tree)[0]
    return all(
        _collect_up_to(child_def, child, subtrees)
        for child_def, child in zip(treedef.children(), children, strict=True)
    )


def flatten_up_to(
    treedef: TreeSpec, tree: Any, treedef_name: str = "the expected structure", tree_name: str = "the tree"
) -> list[Any]:
    """The subtrees of `tree` at the leaves of `treedef`, which must be a prefix of its structure.

    Stricter than optree's own method, which takes the mapping types for one another.

    Raises:
        ValueError: `treedef` is not a prefix; the message names the key path.
    """
    leaves, full = flatten(tree)
    if full == treedef:
        return leaves
    subtrees: list[Any] = []
    if not _collect_up_to(treedef, tree, subtrees):
        difference = _explain(_View(treedef, None), _View(full, leaves), treedef_name, tree_name, "expected")
        raise ValueError(f"Pytree structures do not match: {difference}.")
    return subtrees


def broadcast_prefix(prefix_tree: Any, full_tree: Any, is_leaf: LeafPredicate | None = None) -> list[Any]:
    """The leaves of `prefix_tree`, each repeated for every leaf of the subtree of `full_tree` at its place.

    Args:
        prefix_tree: a tree prefix of `full_tree`; `is_leaf` applies to it.
        full_tree: any pytree.

    Returns:
        As many values as `full_tree` has leaves.

    Raises:
        ValueError: it is not a prefix; the message names the key path.

    Example:
        >>> broadcast_prefix((1, 2), ([0, 0], {'a': 0}))
        [1, 1, 2]
    """
    prefix_leaves, prefix = flatten(prefix_tree, is_leaf)
    subtrees = flatten_up_to(prefix, full_tree, "the prefix tree", "the full tree")
    result: list[Any] = []
    for leaf, subtree in zip(prefix_leaves, subtrees, strict=True):
        result.extend([leaf] * structure_of(subtree).num_leaves)
    return result


def _spread(axes: TreeSpec, treedef: TreeSpec, counts: list[int]) -> bool:
    """Append how many leaves of `treedef` each leaf of `axes` stands for; False if it is not a prefix."""
    node_type = axes.type
    if node_type is None:
        counts.append(treedef.num_leaves)
        return True
    if node_type is not treedef.type or axes.num_children != treedef.num_children:
        return False
    if node_type is not tuple and node_type is not list and axes.one_level() != treedef.one_level():
        return False
    return all(_spread(a, t, counts) for a, t in zip(axes.children(), treedef.children(), strict=True))


def flatten_axes(
    name: str, treedef: TreeSpec, axis_tree: Any, *, tree_name: str = "the tree of values"
) -> list[Any]:
    """One axis for each leaf of `treedef`, from a tree prefix such as vmap's `in_axes`; None is a leaf.

    Args:
        name: the argument's name, for the error message: "vmap in_axes".
        treedef: the structure of the values.
        axis_tree: a prefix of that structure with any leaves; None means 'not mapped' and is not a node.
        tree_name: what to call the values in the error message.

    Raises:
        ValueError: `axis_tree` is not a prefix; the message names the key path.

    Example:
        >>> flatten_axes('in_axes', structure_of((1, {'a': 2, 'b': 3})), (None, 0))
        [None, 0, 0]
    """
    if axis_tree is None or type(axis_tree) is int:
        return [axis_tree] * treedef.num_leaves
    axes, axes_def = flatten(axis_tree, _is_none)
    if axes_def == treedef:
        return axes
    counts: list[int] = []
    if not _spread(axes_def, treedef, counts):
        difference = _explain(_View(treedef, None), _View(axes_def, axes), tree_name, name, "received")
        raise ValueError(
            f"{name} must have the structure of {tree_name}, or be a tree prefix of it, with an integer"
            f" or None at each leaf, but got {axis_tree!r}: {difference}."
        )
    result: list[Any] = []
    for axis, count in zip(axes, counts, strict=True):
        result.extend([axis] * count)
    return result


def _is_none(node: Any) -> bool:
    return node is None
