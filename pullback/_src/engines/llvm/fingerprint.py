"""What tells programs apart, in all processes alike: the key of a program's blueprint on disk."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import importlib.metadata
import marshal
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...core import dtypes
from ...core.array import ConcreteArray
from ...core.aval import ShapedArray
from ...core.primitive import Primitive
from ...core.program import Literal, Program, Var
from ...ops.prng import THREEFRY
from . import jit
from .inline import CALLS

_PLAIN = frozenset((type(None), bool, int, float, complex, str, bytes))
_SMALL = 64  # bytes of a literal that are quicker written than hashed


class _UnknownError(TypeError):
    """A parameter that has no text of its own, such as a function of the user's."""


def fingerprint(program: Program, donated: Sequence[int] = ()) -> str | None:
    """A text that is equal for equal programs only; None if it holds what cannot be told apart, as callbacks.

    It covers this library's own code too, since that decides what a program becomes.
    """
    try:
        found = _digest(program)
    except _UnknownError:
        return None
    return hashlib.sha256(f"{_environment()} {tuple(donated)!r} {found}".encode()).hexdigest()


@functools.cache
def _environment() -> str:
    """The versions of all that takes part in compiling."""
    root = Path(__file__).resolve().parents[2]
    parts = [jit.version(), "program 4"]
    for name in ("numpy", "scipy", "ml_dtypes"):
        try:
            parts.append(importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            parts.append("")
    for folder in ("base", "core", "ops", "transforms", "engines"):
        for place, folders, files in os.walk(root / folder):
            folders.sort()
            for file in sorted(files):
                if file.endswith(".py"):
                    about = os.stat(os.path.join(place, file))
                    parts.append(f"{place} {file} {about.st_size} {about.st_mtime_ns}")
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _digest(program: Program) -> str:
    """The hash of a program, of its contents alone."""
    found: str | None = program.memo.get("fingerprint")
    if found is None:
        # Of values of Python's own types; version 2 has no references, so equal values give equal bytes.
        data = marshal.dumps(_contents(program), 2)
        found = program.memo["fingerprint"] = hashlib.sha256(data).hexdigest()
    return found


def _contents(program: Program) -> list[Any]:
    """All that makes up a program. Variables are numbers; types are numbers in a list at the end."""
    numbers: dict[Any, int] = {}
    types: dict[ShapedArray, int] = {}

    def named(variables: Iterable[Var]) -> Iterator[int]:
        for variable in variables:
            numbers[variable] = len(numbers)
            yield types.setdefault(variable.aval, len(types))

    def read(atoms: Iterable[Any]) -> list[Any]:
        return [_literal(atom) if type(atom) is Literal else numbers[atom] for atom in atoms]

    contents: list[Any] = [[*named(program.invars)], [*named(program.constvars)]]
    contents.append([*map(_value, program.consts)])
    for eqn in program.eqns:
        name, params = eqn.primitive.name, eqn.params
        call = CALLS.get(name)
        given: Any = None
        if call is not None:  # its other parameters are rules that have done their work
            given = [_digest(params[call]), params.get("prevent_cse")]
        elif params:
            given = [*params, *[v if type(v) in _PLAIN else _value(v) for v in params.values()]]
        contents += name, given, read(eqn.invars)
        for variable in eqn.outvars:  # numbers up to the next name
            numbers[variable] = len(numbers)
            contents.append(types.setdefault(variable.aval, len(types)))
    contents.append(read(program.outvars))
    contents.append([*map(_type, types)])
    return contents


_long_name = functools.cache(dtypes.dtype_name)  # NumPy works it out each time


def _dtype_name(dtype: Any) -> str:
    """A name of the dtype's own: NumPy's code if it is one of NumPy's."""
    return dtype.str if getattr(dtype, "isbuiltin", 0) == 1 else _long_name(dtype)


def _type(aval: ShapedArray) -> list[Any]:
    return [aval.shape, _dtype_name(aval.dtype), aval.weak_type]


def _literal(literal: Literal) -> list[Any]:
    value = literal.value
    if type(value) is ConcreteArray and value._data.nbytes <= _SMALL and not value._data.dtype.hasobject:
        return [*_type(literal.aval), value._data.tobytes()]
    return [*_type(literal.aval), _value(value)]


def _is_plain(values: tuple[Any, ...]) -> bool:
    """Whether a tuple is all made of tuples and values of Python's own types."""
    for value in values:
        kind = type(value)
        if kind not in _PLAIN and (kind is not tuple or not _is_plain(value)):
            return False
    return True


def _value(value: Any) -> Any:
    """A parameter in values of Python's own types. Lists are only what stands for another type's value."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is tuple:
        return value if _is_plain(value) else ["tuple", *map(_value, value)]
    if isinstance(value, (np.dtype, dtypes.KeyDType)):
        return ["dtype", _dtype_name(value)]
    if isinstance(value, Program):
        return ["program", _digest(value)]
    if isinstance(value, (ConcreteArray, np.ndarray, np.generic)):
        data = value._data if isinstance(value, ConcreteArray) else np.asarray(value)
        if data.dtype.hasobject:
            raise _UnknownError
        digest = hashlib.sha256(np.ascontiguousarray(data).tobytes()).hexdigest()
        return ["array", data.shape, data.dtype.name, digest]
    if isinstance(value, enum.Enum):
        return ["enum", kind.__qualname__, value.name]
    if isinstance(value, ShapedArray):
        return ["type", *_type(value)]
    if isinstance(value, Primitive):
        return ["primitive", value.name]
    if value is THREEFRY:
        return ["threefry"]
    if isinstance(value, type) and issubclass(value, np.generic):
        return ["scalar", value.__name__]
    if isinstance(value, (tuple, list)):
        return ["sequence", kind.__qualname__, *map(_value, value)]
    if isinstance(value, dict):
        return ["dict", *map(_value, value), *map(_value, value.values())]
    if dataclasses.is_dataclass(value):
        return [
            "record",
            kind.__qualname__,
            *[_value(getattr(value, field.name)) for field in dataclasses.fields(value)],
        ]
    raise _UnknownError


__all__ = ["fingerprint"]
