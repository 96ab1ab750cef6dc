"""Which types are pytree nodes: the built-in containers, the registry of user types, and `Partial`.

optree holds the registry that flattening uses (namespace `NAMESPACE`, so that other users of optree in the
same process neither see nor disturb our types). Beside it this module keeps what optree has no place for: how
a type names its children in key paths.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import warnings
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import optree

from pullback._src.base.key_paths import DictKey, FlattenedIndexKey, GetAttrKey, KeyEntry, SequenceKey

NAMESPACE = "pullback"

TreeSpec: TypeAlias = optree.PyTreeSpec
"""The internal tree structure: optree's own, so that the transformations pay for no wrapper."""

T = TypeVar("T")
TypeT = TypeVar("TypeT", bound=type)

FlattenFunction: TypeAlias = Callable[[Any], tuple[Iterable[Any], Any]]
UnflattenFunction: TypeAlias = Callable[[Any, Any], Any]
FlattenWithKeysFunction: TypeAlias = Callable[[Any], tuple[Iterable[tuple[KeyEntry, Any]], Any]]

BUILTIN_NODES: frozenset[type] = frozenset({tuple, list, dict, OrderedDict, defaultdict, type(None)})

is_forced_leaf: Callable[[object], bool] = deque.__instancecheck__
"""True for a deque, which is a leaf here as in JAX, while optree would open it.

A bound method of C, because flattening asks it once a node: written in Python it would cost more than the
rest.
"""


class NodeType(NamedTuple):
    """How a registered type is taken apart. `key_names` is set where they are the same for every instance."""

    flatten: FlattenFunction
    flatten_with_keys: FlattenWithKeysFunction | None
    key_names: tuple[KeyEntry, ...] | None


_registry: dict[type, NodeType] = {}

leaf_types: set[type] = {bool, int, float, complex, np.ndarray, *np.sctypeDict.values()}
"""Types known to be leaves, for which flattening has a short way. It need not be complete."""


def mark_leaf_type(cls: type) -> None:
    """Tell flattening that instances of exactly this class are leaves, so that it need not ask optree.

    For the classes that come by the thousand: the library's arrays and tracers.
    """
    if is_tree_node(cls):
        raise ValueError(f"{cls!r} is a pytree node type, so it cannot be marked as a leaf type.")
    leaf_types.add(cls)


def _register(nodetype: type, unflatten: UnflattenFunction, node: NodeType) -> None:
    if not isinstance(nodetype, type):
        raise TypeError(
            f"A pytree node type must be a class, but got {nodetype!r} of type {type(nodetype).__name__}."
        )
    if nodetype in _registry:
        raise ValueError(
            f"{nodetype!r} is already registered as a pytree node type; a type is registered once."
        )
    if nodetype in BUILTIN_NODES or nodetype is deque:
        raise ValueError(
            f"{nodetype!r} has a built-in meaning in pytrees that cannot be changed; use a subclass."
        )
    with warnings.catch_warnings():
        # optree warns when a registration replaces what a namedtuple would do; here that is the caller's
        # intent.
        warnings.simplefilter("ignore", UserWarning)
        optree.register_pytree_node(nodetype, node.flatten, unflatten, namespace=NAMESPACE)
    _registry[nodetype] = node
    leaf_types.discard(nodetype)


def register_pytree_node(
    nodetype: type[T],
    flatten_func: Callable[[T], tuple[Iterable[Any], Any]],
    unflatten_func: Callable[[Any, Any], T],
    flatten_with_keys_func: Callable[[T], tuple[Iterable[tuple[KeyEntry, Any]], Any]] | None = None,
) -> None:
    """Make `nodetype` a pytree node: a container whose children the transformations see.

    Only instances of exactly `nodetype` are affected, not those of its subclasses.

    Args:
        nodetype: the class.
        flatten_func: takes an instance to ``(children, aux_data)``; `aux_data` must be hashable and
            comparable with ``==``, because it becomes a part of the key under which compiled functions are
            cached.
        unflatten_func: takes ``(aux_data, children)`` back to an instance. It must accept children of any
            type: the library also builds trees of placeholders.
        flatten_with_keys_func: as `flatten_func`, but each child comes as ``(key, child)``. Optional; it
            gives key paths and error messages their names.

    Raises:
        ValueError: `nodetype` is registered already or is a built-in container.
        TypeError: `nodetype` is not a class.

    Example:
        >>> class Interval:
        ...     def __init__(self, low, high):
        ...         self.low, self.high = low, high
        >>> register_pytree_node(Interval, lambda i: ((i.low, i.high), None), lambda _, c: Interval(*c))
    """
    _register(nodetype, unflatten_func, NodeType(flatten_func, flatten_with_keys_func, None))


def register_pytree_node_class(cls: TypeT) -> TypeT:
    """Class decorator: register a class through its methods ``tree_flatten`` and ``tree_unflatten``.

    ``tree_flatten(self)`` returns ``(children, aux_data)``; the classmethod ``tree_unflatten(cls, aux_data,
    children)`` returns an instance. See `register_pytree_node` for what is required of them.

    Raises:
        ValueError: the class is registered already.
    """
    node: Any = cls
    register_pytree_node(node, operator.methodcaller("tree_flatten"), node.tree_unflatten)
    return cls


def register_pytree_with_keys(
    nodetype: type[T],
    flatten_with_keys: Callable[[T], tuple[Iterable[tuple[KeyEntry, Any]], Any]],
    unflatten_func: Callable[[Any, Any], T],
    flatten_func: Callable[[T], tuple[Iterable[Any], Any]] | None = None,
) -> None:
    """Register a node type that names its children in key paths.

    Args:
        nodetype: the class.
        flatten_with_keys: takes an instance to ``(((key, child), ...), aux_data)``; keys are usually
            `DictKey`, `SequenceKey` or `GetAttrKey`, but any hashable value that prints well will do.
        unflatten_func: takes ``(aux_data, children)`` back to an instance.
        flatten_func: the same without keys, for speed; derived from `flatten_with_keys` when absent.

    Raises:
        ValueError: `nodetype` is registered already or is a built-in container.
    """

    def drop_keys(tree: T) -> tuple[Iterable[Any], Any]:
        keyed_children, aux_data = flatten_with_keys(tree)
        return tuple(child for _, child in keyed_children), aux_data

    _register(nodetype, unflatten_func, NodeType(flatten_func or drop_keys, flatten_with_keys, None))


def register_pytree_with_keys_class(cls: TypeT) -> TypeT:
    """Class decorator: as `register_pytree_node_class`, with the method ``tree_flatten_with_keys``.

    ``tree_flatten`` is optional; where it exists it is used when no keys are needed.

    Raises:
        ValueError: the class is registered already.
    """
    node: Any = cls
    register_pytree_with_keys(
        node,
        operator.methodcaller("tree_flatten_with_keys"),
        node.tree_unflatten,
        operator.methodcaller("tree_flatten") if hasattr(cls, "tree_flatten") else None,
    )
    return cls


def _fields_getter(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """A function from an object to the tuple of these attributes (attrgetter needs two for a tuple)."""
    if len(names) == 0:
        return lambda _: ()
    getter = operator.attrgetter(*names)
    if len(names) == 1:
        return lambda instance: (getter(instance),)
    return getter


def _check_dataclass_fields(
    nodetype: type, data_fields: tuple[str, ...], meta_fields: tuple[str, ...], drop_fields: tuple[str, ...]
) -> None:
    overlap = sorted(set(data_fields) & set(meta_fields))
    if overlap:
        raise ValueError(
            f"register_dataclass: a field of {nodetype.__name__} is either data or metadata,"
            f" but {overlap} are in both data_fields and meta_fields."
        )
    if not dataclasses.is_dataclass(nodetype):
        return
    wanted = {field.name for field in dataclasses.fields(nodetype) if field.init} - set(drop_fields)
    given = {*data_fields, *meta_fields}
    if missing := sorted(wanted - given):
        raise ValueError(
            f"register_dataclass: data_fields and meta_fields must name every field of {nodetype.__name__}"
            f" that its constructor takes; missing: {missing}. Name them, or list them in drop_fields to"
            " leave them at their defaults."
        )
    if unexpected := sorted(given - wanted):
        raise ValueError(
            f"register_dataclass: data_fields and meta_fields may name only fields that the constructor of"
            f" {nodetype.__name__} takes and that drop_fields does not drop; unexpected: {unexpected}."
        )


def register_dataclass(
    nodetype: TypeT,
    data_fields: Sequence[str] | None = None,
    meta_fields: Sequence[str] | None = None,
    drop_fields: Sequence[str] = (),
) -> TypeT:
    """Register a dataclass, or a class that keyword arguments rebuild in the same way. Usable as a decorator.

    Args:
        nodetype: the class. An instance is rebuilt as ``nodetype(**fields)``.
        data_fields: the names of the fields that are children: arrays and pytrees of arrays.
        meta_fields: the names of the static fields, which must be hashable: they become a part of the tree's
            structure. For a dataclass, both may be left out: then every field with ``init=True`` is data, but
            for those marked by ``dataclasses.field(metadata={'static': True})`` (see `static`).
        drop_fields: names of dataclass fields that the tree leaves out; rebuilt instances have their
            defaults.

    Returns:
        `nodetype`, unchanged.

    Raises:
        TypeError: only one of `data_fields` and `meta_fields` was given, or none for a class that is no
            dataclass.
        ValueError: the fields named are not those of the dataclass, or overlap, or the class is registered
            already.

    Example:
        >>> @register_dataclass
        ... @dataclasses.dataclass
        ... class Layer:
        ...     weight: Array
        ...     activation: str = static(default='tanh')
    """
    if (data_fields is None) != (meta_fields is None):
        raise TypeError(
            "register_dataclass: give both data_fields and meta_fields or neither, but got"
            f" {data_fields=} and {meta_fields=}."
        )
    if data_fields is None or meta_fields is None:
        if not dataclasses.is_dataclass(nodetype):
            raise TypeError(
                f"register_dataclass: {nodetype!r} is not a dataclass, so data_fields and meta_fields are"
                " required."
            )
        fields = [f for f in dataclasses.fields(nodetype) if f.init and f.name not in drop_fields]
        data_fields = [f.name for f in fields if not f.metadata.get("static", False)]
        meta_fields = [f.name for f in fields if f.metadata.get("static", False)]
    data, meta = tuple(data_fields), tuple(meta_fields)
    _check_dataclass_fields(nodetype, data, meta, tuple(drop_fields))

    get_data, get_meta = _fields_getter(data), _fields_getter(meta)
    names = data + meta
    construct: Callable[..., Any] = nodetype

    def flatten(instance: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return get_data(instance), get_meta(instance)

    def unflatten(meta_values: tuple[Any, ...], children: Iterable[Any]) -> Any:
        return construct(**dict(zip(names, (*children, *meta_values), strict=True)))

    _register(nodetype, unflatten, NodeType(flatten, None, tuple(map(GetAttrKey, data))))
    return nodetype


def static(**field_arguments: Any) -> Any:
    """A dataclass field that `register_dataclass` treats as metadata: a part of the structure, not a child.

    Takes the arguments of `dataclasses.field`.

    Example:
        >>> @register_dataclass
        ... @dataclasses.dataclass
        ... class Operation:
        ...     x: Array
        ...     name: str = static(default='add')
    """
    metadata = {**(field_arguments.pop("metadata", None) or {}), "static": True}
    return dataclasses.field(metadata=metadata, **field_arguments)


def register_static(cls: TypeT) -> TypeT:
    """Register a hashable class as a node without leaves, static under `jit`. Usable as a decorator.

    Raises:
        ValueError: the class is registered already.
    """
    register_pytree_node(cls, lambda instance: ((), instance), lambda instance, _: instance)
    return cls


class _Unmerged:
    """Hides a `functools.partial` from another one, which would else merge the two into one."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self.function(*args, **keywords)

    def __eq__(self, other: object) -> bool:
        return self.function == other.function if isinstance(other, _Unmerged) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.function)

    def __repr__(self) -> str:
        return repr(self.function)


class Partial(functools.partial[Any]):
    """A `functools.partial` that is a pytree: the bound arguments are children, the function is static.

    So it can be passed to transformed functions, and its bound arrays are traced as any other argument.

    Example:
        >>> add_one = Partial(pnp.add, 1)
        >>> pb.jit(lambda f, x: f(x))(add_one, 2)
        Array(3, dtype=int32, weak_type=True)
    """

    def __new__(cls, func: Callable[..., Any], /, *args: Any, **keywords: Any) -> Partial:
        if isinstance(func, functools.partial):
            func = _Unmerged(func)
        return super().__new__(cls, func, *args, **keywords)


_register(
    Partial,
    lambda func, children: Partial(func, *children[0], **children[1]),
    NodeType(lambda partial: ((partial.args, partial.keywords), partial.func), None, None),
)


def is_tree_node(typ: type) -> bool:
    """Whether instances of `typ` are pytree nodes: built-in containers, namedtuples and registered types."""
    return typ in BUILTIN_NODES or typ in _registry or bool(optree.is_namedtuple_class(typ))


def node_metadata(node_type: type | None, metadata: Any) -> Any:
    """optree's metadata of a node in the form that users see: key lists of ordered mappings as tuples."""
    if node_type is OrderedDict:
        return tuple(metadata)
    if node_type is defaultdict:
        return metadata[0], tuple(metadata[1])
    return metadata


def _builtin_keys(node_type: type, entries: Sequence[Any]) -> tuple[KeyEntry, ...]:
    if node_type is list or node_type is tuple:
        return tuple(map(SequenceKey, entries))
    if node_type in BUILTIN_NODES:
        return tuple(map(DictKey, entries))
    # What remains are tuples with named fields: namedtuples, and C's kind of them, such as time.struct_time.
    if optree.is_namedtuple_class(node_type):
        return tuple(map(GetAttrKey, optree.namedtuple_fields(node_type)))
    return tuple(map(GetAttrKey, optree.structseq_fields(node_type)))


def flatten_one_level(tree: Any) -> tuple[Sequence[Any], Hashable]:
    """The children of the root node of `tree`, and its metadata.

    Raises:
        ValueError: `tree` is a leaf.

    Example:
        >>> flatten_one_level({'a': [1, 2], 'b': {'c': 3}})
        ([[1, 2], {'c': 3}], ('a', 'b'))
    """
    if is_forced_leaf(tree):
        raise ValueError(f"Expected a pytree node, but got a leaf of type {type(tree).__name__}: {tree!r}.")
    try:
        children, metadata, _, _ = optree.tree_flatten_one_level(tree, namespace=NAMESPACE)
    except ValueError:
        if type(tree) in _registry:
            raise
        raise ValueError(
            f"Expected a pytree node, but got a leaf of type {type(tree).__name__}: {tree!r}."
        ) from None
    metadata = node_metadata(type(tree), metadata)
    return children, tuple(metadata) if type(tree) is dict else metadata


def flatten_one_level_with_keys(tree: Any) -> tuple[tuple[tuple[KeyEntry, Any], ...], Hashable]:
    """As `flatten_one_level`, each child as ``(key entry, child)``.

    Raises:
        ValueError: `tree` is a leaf.
    """
    node_type = type(tree)
    node = _registry.get(node_type)
    if node is not None and node.flatten_with_keys is not None:
        keyed_children, metadata = node.flatten_with_keys(tree)
        return tuple((key, child) for key, child in keyed_children), metadata
    children, metadata = flatten_one_level(tree)
    keys: Iterable[KeyEntry]
    if node is None:
        keys = _builtin_keys(node_type, optree.tree_flatten_one_level(tree, namespace=NAMESPACE).entries)
    else:
        keys = node.key_names or map(FlattenedIndexKey, range(len(children)))
    return tuple(zip(keys, children, strict=True)), metadata


def child_keys(treedef: TreeSpec) -> tuple[KeyEntry, ...]:
    """The key entries of the children of the root of a structure, for which no instance is at hand."""
    node_type = treedef.type
    if node_type is None:
        return ()
    node = _registry.get(node_type)
    if node is None:
        return _builtin_keys(node_type, treedef.entries())
    if node.key_names is not None:
        return node.key_names
    if node.flatten_with_keys is not None:
        # Only an instance can name its children, so build one of placeholders. A class may refuse them; names
        # are for messages only, so fall back to positions rather than fail.
        try:
            one_level = treedef.one_level()
            assert one_level is not None
            instance = one_level.unflatten([object()] * one_level.num_leaves)
            return tuple(key for key, _ in node.flatten_with_keys(instance)[0])
        except Exception:
            pass
    return tuple(map(FlattenedIndexKey, range(treedef.num_children)))
