"""Functions by what they are made of: code, and the values that it captures.

A function that is written inside of another is a new object at each call, and one at the top of a module sees
other values when its globals change. So the identity of a function object says neither that two functions do
the same, nor that one still does what it did. Its code, with the values of its closure, its defaults and the
globals that it names, does. Of these values, arrays and real or complex numbers are *dynamic*: they become
arguments of what is compiled once. All else has to be the same.

Not every function can be described like that: objects of users' classes may change without a trace, and what
a function does to variables around it must happen at each call.
"""

from __future__ import annotations

import dis
import functools
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from ..api.common import name_of
from ..api.jit import JitFunction, jit
from ..base import pytree
from ..base.config import settings
from ..base.errors import ConcretizationTypeError
from ..base.pytree_nodes import is_tree_node
from ..core.array import Array

__all__ = ["call_compiled"]

KEPT = 128
"""So many compiled calls are kept."""

# Packages whose functions and modules stay what they are.
_CONSTANT = frozenset(
    ["builtins", "cmath", "collections", "functools", "math", "numpy", "operator", "pullback", "typing"]
)
_STORES = frozenset(["STORE_GLOBAL", "DELETE_GLOBAL"])
_CELL_STORES = frozenset(["STORE_DEREF", "DELETE_DEREF"])


class _Unknown(Exception):
    """A value that may change without being noticed."""


class _Same:
    """An object as a part of a key: equal to itself only."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return type(other) is _Same and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


class _Slot:
    """In the place of a dynamic value."""


_SLOT = _Slot()


class _Walk:
    """One walk through values: collects what is static and what is dynamic, and puts in other dynamic ones.

    Attributes:
        key: what is static, in the order in which it is met.
        dynamic: what is dynamic, likewise.
    """

    def __init__(self, given: Iterator[Any] | None = None) -> None:
        self.key: list[Any] = []
        self.dynamic: list[Any] = []
        self._given = given
        self._open: set[int] = set()  # functions that are being walked through

    def value(self, value: Any) -> Any:
        """The value, with other dynamic ones in it if there are any to be put in."""
        kind = type(value)
        if kind in (float, complex, _Slot) or isinstance(value, Array) or _is_numeric(value):
            self.key.append(_SLOT)
            self.dynamic.append(value)
            return value if self._given is None else next(self._given)
        if value is None or kind in (int, bool, str, bytes):
            self.key.append((kind, value))
        elif kind is FunctionType:
            return self._function(value)
        elif kind is functools.partial:
            self.key.append(kind)
            inner = [self.value(v) for v in (value.func, value.args, value.keywords)]
            return functools.partial(inner[0], *inner[1], **inner[2])
        elif is_tree_node(kind):
            return self._container(value)
        elif _is_constant(value, kind):
            self.key.append(_Same(value))
        else:
            raise _Unknown
        return value

    def _container(self, value: Any) -> Any:
        leaves, tree = pytree.flatten(value)
        self.key.append(tree)
        before = len(self.dynamic)
        found = [self.value(v) for v in leaves]
        # A list stays the same list where nothing in it is replaced: the function may add to it.
        return value if len(self.dynamic) == before else pytree.unflatten(tree, found)

    def _function(self, f: FunctionType) -> Any:
        names, writes = _facts(f.__code__)
        if writes or id(f) in self._open:
            raise _Unknown
        self._open.add(id(f))
        self.key.append((_Same(f.__code__), _Same(f.__globals__)))
        before = len(self.dynamic)
        cells = [self._cell(c) for c in f.__closure__ or ()]
        defaults, keyword_defaults = self.value(f.__defaults__), self.value(f.__kwdefaults__)
        own: dict[str, Any] = {}
        if _root(f.__globals__.get("__name__")) not in _CONSTANT:
            known = f.__globals__
            used = tuple([n for n in names if n in known])
            self.key.append(used)
            own = {n: self.value(known[n]) for n in used}
        self._open.remove(id(f))
        if len(self.dynamic) == before:
            return f
        changed = any(own[n] is not f.__globals__[n] for n in own)
        copy = FunctionType(
            f.__code__,
            {**f.__globals__, **own} if changed else f.__globals__,
            f.__name__,
            defaults,
            tuple([CellType(c) for c in cells]) if f.__closure__ is not None else None,
        )
        copy.__kwdefaults__ = keyword_defaults
        copy.__dict__.update(f.__dict__)
        return copy

    def _cell(self, cell: CellType) -> Any:
        try:
            content = cell.cell_contents
        except ValueError:  # a variable that has no value yet
            raise _Unknown from None
        return self.value(content)


def _is_numeric(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc"


def _is_constant(value: Any, kind: type) -> bool:
    """Whether an object stays what it is, as far as what is computed with it is concerned."""
    if kind is ModuleType:
        return _root(value.__name__) in _CONSTANT
    if kind is BuiltinFunctionType:
        return value.__self__ is None or type(value.__self__) is ModuleType
    if isinstance(value, type):
        return _root(value.__module__) in _CONSTANT or is_tree_node(value)
    if isinstance(value, (np.dtype, slice, range, JitFunction)) or value is Ellipsis:
        return True
    return callable(value) and _root(getattr(value, "__module__", None)) in _CONSTANT


def _root(name: Any) -> str:
    return name.partition(".")[0] if isinstance(name, str) else ""


@functools.lru_cache(maxsize=1024)
def _facts(code: CodeType) -> tuple[tuple[str, ...], bool]:
    """The names of globals that code may read, and whether it writes to variables outside of it."""
    names: dict[str, None] = dict.fromkeys(code.co_names)
    writes = False
    pending = [code]
    while pending:
        inner = pending.pop()
        names.update(dict.fromkeys(inner.co_names))
        pending.extend(c for c in inner.co_consts if isinstance(c, CodeType))
        for instruction in dis.get_instructions(inner):
            name = instruction.opname
            writes |= name in _STORES or (name in _CELL_STORES and instruction.argval in code.co_freevars)
    return tuple(names), writes


# Calls ------------------------------------------------------------------------------------------------------

_compiled: dict[Any, JitFunction | None] = {}


def call_compiled(function: Callable[..., Any], *args: Any) -> Any:
    """`function(*args)`, compiled once for all calls whose arguments differ in arrays and numbers only.

    Args:
        function: a function of the library, which depends on nothing but its arguments.
        args: any values, functions among them. It is called as it is if they cannot be described, or if the
            values of arrays decide what is computed.
    """
    if settings().disable_jit:
        return function(*args)
    walk = _Walk()
    try:
        walk.value(args)
        key = (function, tuple(walk.key))
        known = key in _compiled
        run = _compiled.get(key)
    except (_Unknown, TypeError):  # what is not hashable cannot be told from others either
        return function(*args)
    if known and run is None:
        return function(*args)
    refused: tuple[type[Exception], ...] = (ConcretizationTypeError,)
    if run is None:
        run = _compiled[key] = _compile(function, args, len(walk.dynamic))
        refused = (Exception,)  # an error of the function itself comes again below
        while len(_compiled) > KEPT:
            _compiled.pop(next(iter(_compiled)), None)
    try:
        return run(*walk.dynamic)
    except refused:
        _compiled[key] = None
    return function(*args)


def _compile(function: Callable[..., Any], args: tuple[Any, ...], count: int) -> JitFunction:
    """The call as a function of what is dynamic in its arguments."""
    # What is kept holds the functions of the first call, but not their arrays.
    skeleton = _Walk(iter([_SLOT] * count)).value(args)

    def called(*dynamic: Any) -> Any:
        return function(*_Walk(iter(dynamic)).value(skeleton))

    called.__name__ = name_of(function)
    compiled: JitFunction = jit(called)
    return compiled
