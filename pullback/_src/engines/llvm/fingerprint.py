"""What tells programs apart, in all processes alike: the key of a program's blueprint on disk."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import importlib.metadata
import marshal
import os
from collections.abc import Iterable, Sequence
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
    parts = [jit.version(), "program 3"]
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

    def named(variables: Iterable[Var]) -> list[int]:
        kinds = []
        for variable in variables:
            numbers[variable] = len(numbers)
            aval = variable.aval
            kind = types.get(aval)
            if kind is None:
                kind = types[aval] = len(types)
            kinds.append(kind)
        return kinds

    def read(atoms: Iterable[Any]) -> list[Any]:
        return [
            [_type(atom.aval), _value(atom.value)] if type(atom) is Literal else numbers[atom]
            for atom in atoms
        ]

    contents: list[Any] = [named(program.invars), named(program.constvars), [*map(_value, program.consts)]]
    for eqn in program.eqns:
        name, params = eqn.primitive.name, eqn.params
        call = CALLS.get(name)
        if call is not None:  # its other parameters are rules that have done their work
            given: list[Any] = [_digest(params[call]), params.get("prevent_cse")]
        elif _PLAIN.issuperset(map(type, params.values())):
            given = [*params, *params.values()]
        else:
            given = [*params, *map(_value, params.values())]
        contents.append([name, given, read(eqn.invars), named(eqn.outvars)])
    contents.append(read(program.outvars))
    contents.append([*map(_type, types)])
    return contents


_dtype_name = functools.cache(dtypes.dtype_name)  # NumPy works it out each time


def _type(aval: ShapedArray) -> list[Any]:
    return [aval.shape, _dtype_name(aval.dtype), aval.weak_type]


def _value(value: Any) -> Any:
    """A parameter in values of Python's own types. Lists are only what stands for another type's value."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is tuple:
        return value if _PLAIN.issuperset(map(type, value)) else ["tuple", *map(_value, value)]
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
