"""Why `jit` traces a function anew: the new call against the most similar one before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import CodeType
from typing import Any

from ..base import source
from ..core import dtypes
from ..core.aval import ShapedArray
from ..core.engine import logger
from .common import name_of
from .stage import argument_names

# A call's key in the cache of a jitted function: the arguments' structure, their types, the static arguments,
# the configuration, the bound axes.
Key = tuple[Any, tuple[ShapedArray, ...], Any, Any, tuple[Any, ...]]

_seen: set[CodeType] = set()  # of functions whose first call was explained


def explain(fun: Callable[..., Any], key: Key, known: Iterable[Key], forgets: bool) -> None:
    """Write to the log why a call of a jitted function with this key is traced.

    `known`: the keys of the calls before; `forgets`: whether one of those could not be kept.
    """
    found = [_differences(fun, key, other) for other in known]
    if forgets:
        reason = (
            "because the programs of calls before could not be kept: the function closes over values of a "
            "transformation that is going on; pass them as arguments"
        )
        reasons = [reason]
    elif found:
        reasons = min(found, key=lambda lines: (lines[0] > 1, len(lines[1])))[1]
    else:
        reasons = _first(fun)
    place = source.describe(source.capture())
    lines = [f"jit traces {name_of(fun)} {place}".rstrip(), *[f"  {line}" for line in reasons]]
    logger.warning("\n".join(lines))


def _first(fun: Callable[..., Any]) -> list[str]:
    code = getattr(fun, "__code__", None)
    if code is None or code not in _seen:
        if code is not None:
            _seen.add(code)
        return ["because it is its first call"]
    reason = (
        "because this jitted function has not been called before; another one, of the same code "
        f"({code.co_filename}:{code.co_firstlineno}), has been: apply jit once, outside of loops and of "
        "functions that are called again and again"
    )
    return [reason]


def _differences(fun: Callable[..., Any], new: Key, old: Key) -> tuple[int, list[str]]:
    """How much two keys differ (structures most), and in what."""
    tree, avals, static, context, axes = new
    old_tree, old_avals, old_static, old_context, old_axes = old
    lines: list[str] = []
    weight = 0
    if static != old_static:
        lines += _static_differences(static, old_static)
    if tree != old_tree:
        weight = 2
        lines += _structure_differences(fun, tree, old_tree)
    else:
        names = argument_names(fun, tree)
        for name, aval, before in zip(names, avals, old_avals, strict=True):
            if aval != before:
                lines.append(f"because of the argument {name}: {_type_difference(aval, before)}")
    if context is not old_context:
        before_values = dict(old_context.values)
        lines += [
            f"because the flag {flag} is {value!r} and was {before_values.get(flag)!r}"
            for flag, value in context.values
            if value != before_values.get(flag)
        ]
    if axes != old_axes:
        lines.append(f"because the axes {dict(axes)} are bound and {dict(old_axes)} were")
    return weight, lines


def _type_difference(new: ShapedArray, old: ShapedArray) -> str:
    what = []
    if new.shape != old.shape:
        what.append(f"its shape is {new.shape} and was {old.shape}")
    if new.dtype != old.dtype:
        what.append(f"its dtype is {dtypes.dtype_name(new.dtype)} and was {dtypes.dtype_name(old.dtype)}")
    if new.weak_type != old.weak_type:
        kinds = [
            "weak (of a Python number)" if aval.weak_type else "not weak (of an array)" for aval in (new, old)
        ]
        what.append(f"its type is {kinds[0]} and was {kinds[1]}")
    return ", ".join(what)


def _structure_differences(fun: Callable[..., Any], new: Any, old: Any) -> list[str]:
    names, before = argument_names(fun, new), argument_names(fun, old)
    added = [name for name in names if name not in before]
    gone = [name for name in before if name not in names]
    lines = []
    if added:
        lines.append(f"because of the structure of the arguments: new are {_listed(added)}")
    if gone:
        lines.append(f"because of the structure of the arguments: missing are {_listed(gone)}")
    return lines or [f"because the structure of the arguments is {new} and was {old}"]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} others" if len(names) > 8 else "")


def _static_differences(new: Any, old: Any) -> list[str]:
    """`new`, `old`: empty, or the number of positional arguments and triples (where, kind, value)."""
    now, before = [{where: value for where, _, value in static[1:]} for static in (new, old)]
    lines = []
    if new[:1] != old[:1]:
        lines.append(f"because there are {new[0]} positional arguments and were {old[0]}")
    for where in {**before, **now}:
        shown = f"the static argument {where}" if isinstance(where, int) else f"the static argument {where!r}"
        if where not in now:
            lines.append(f"because {shown} is not given and was {before[where]!r}")
        elif where not in before:
            lines.append(f"because {shown} is {now[where]!r} and was not given")
        elif now[where] != before[where] or type(now[where]) is not type(before[where]):
            lines.append(f"because {shown} is {now[where]!r} and was {before[where]!r}")
    return lines or ["because static arguments are equal but of other types"]
