"""Key paths: where in a pytree a leaf sits, as a tuple of entries that print like the Python access.

A path is a tuple of entries, outermost first. Each entry knows one step: a dictionary key, an index, an
attribute, or (for node types that were registered without key names) the position among the flattened
children. `keystr` turns a path into text such as ``['layers'][0].bias``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["DictKey", "FlattenedIndexKey", "GetAttrKey", "KeyEntry", "KeyPath", "SequenceKey", "keystr"]

KeyEntry: TypeAlias = Any
"""One step of a path: one of the four classes here, or whatever hashable a user's node type supplies."""

KeyPath: TypeAlias = tuple[KeyEntry, ...]
"""The steps from the root of a pytree to one of its leaves or subtrees."""


@dataclass(frozen=True, slots=True)
class DictKey:
    """The step into a mapping: ``tree[key]``."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"


@dataclass(frozen=True, slots=True)
class SequenceKey:
    """The step into a list or tuple: ``tree[idx]``."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"


@dataclass(frozen=True, slots=True)
class GetAttrKey:
    """The step to an attribute: ``tree.name``."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


@dataclass(frozen=True, slots=True)
class FlattenedIndexKey:
    """The step to the child number `key` of a node whose type was registered without key names."""

    key: int

    def __str__(self) -> str:
        return f"[<flat index {self.key}>]"


def _simple(entry: KeyEntry) -> str:
    match entry:
        case DictKey(value) | SequenceKey(value) | GetAttrKey(value) | FlattenedIndexKey(value):
            return str(value)
    return str(entry)


def keystr(keys: KeyPath, *, simple: bool = False, separator: str = "") -> str:
    """The text of a key path.

    Args:
        keys: the path, a tuple of key entries.
        simple: write the bare key of each entry (``w``) instead of its access form (``['w']``).
        separator: text to put between the entries.

    Example:
        >>> path = (DictKey('layers'), SequenceKey(0), GetAttrKey('bias'))
        >>> keystr(path)
        "['layers'][0].bias"
        >>> keystr(path, simple=True, separator='/')
        'layers/0/bias'
    """
    return separator.join(map(_simple if simple else str, keys))
