"""What tells programs apart, in all processes alike: the key of a program's blueprint on disk."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import importlib.metadata
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


class _UnknownError(TypeError):
    """A parameter that has no text of its own, such as a function of the user's."""


def fingerprint(program: Program, donated: Sequence[int] = ()) -> str | None:
    """A text that is equal for equal programs only; None if it holds what cannot be told apart, as callbacks.

    It covers this library's own code too, since that decides what a program becomes.
    """
    words: list[str] = [*_environment(), repr(tuple(donated))]
    try:
        _program(program, words)
    except _UnknownError:
        return None
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


@functools.cache
def _environment() -> tuple[str, ...]:
    """The versions of all that takes part in compiling."""
    root = Path(__file__).resolve().parents[2]
    parts = [jit.version(), "program 2"]
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
    return tuple(parts)


def _program(program: Program, words: list[str]) -> None:
    found = program.memo.get("fingerprint")
    if found is None:
        own: list[str] = []
        _program_words(program, own)
        found = program.memo["fingerprint"] = hashlib.sha256("\0".join(own).encode()).hexdigest()
    words.append(found)


def _program_words(program: Program, words: list[str]) -> None:
    numbers: dict[Var, int] = {}

    def name(variables: Iterable[Var]) -> None:
        for variable in variables:
            numbers[variable] = len(numbers)
            words.append(_type(variable.aval))

    words.append("(")
    name(program.invars)
    words.append(";")
    name(program.constvars)
    for value in program.consts:
        _value(value, words)
    for eqn in program.eqns:
        words.append(eqn.primitive.name)
        call = CALLS.get(eqn.primitive.name)
        if call is not None:  # its other parameters are rules that have done their work
            _program(eqn.params[call], words)
        else:
            for key, value in eqn.params.items():
                words.append(key)
                _value(value, words)
        for atom in eqn.invars:
            _atom(atom, numbers, words)
        words.append("->")
        name(eqn.outvars)
    words.append("in")
    for atom in program.outvars:
        _atom(atom, numbers, words)
    words.append(")")


def _atom(atom: Any, numbers: dict[Var, int], words: list[str]) -> None:
    if type(atom) is Literal:
        words.append(_type(atom.aval))
        _value(atom.value, words)
    else:
        words.append(f"%{numbers[atom]}")


def _type(aval: ShapedArray) -> str:
    return f"{aval.shape}{dtypes.dtype_name(aval.dtype)}{'w' if aval.weak_type else ''}"


def _value(value: Any, words: list[str]) -> None:
    kind = type(value)
    if value is None or kind in (bool, int, float, complex, str, bytes):
        words.append(f"{kind.__name__} {value!r}")
    elif isinstance(value, Program):
        _program(value, words)
    elif isinstance(value, (ConcreteArray, np.ndarray, np.generic)):
        data = value._data if isinstance(value, ConcreteArray) else np.asarray(value)
        if data.dtype.hasobject:
            raise _UnknownError
        words.append(f"{data.shape}{data.dtype.name}")
        words.append(hashlib.sha256(np.ascontiguousarray(data).tobytes()).hexdigest())
    elif isinstance(value, enum.Enum):
        words.append(f"{kind.__qualname__}.{value.name}")
    elif isinstance(value, ShapedArray):
        words.append(_type(value))
    elif isinstance(value, (np.dtype, dtypes.KeyDType)):
        words.append(dtypes.dtype_name(value))
    elif isinstance(value, Primitive):
        words.append(value.name)
    elif value is THREEFRY:
        words.append("threefry")
    elif isinstance(value, type) and issubclass(value, np.generic):
        words.append(value.__name__)
    elif isinstance(value, (tuple, list)):
        words.append(f"{kind.__qualname__}[{len(value)}")
        for item in value:
            _value(item, words)
    elif isinstance(value, dict):
        words.append(f"dict[{len(value)}")
        for key, item in value.items():
            _value(key, words)
            _value(item, words)
    elif dataclasses.is_dataclass(value):
        words.append(kind.__qualname__)
        for field in dataclasses.fields(value):
            _value(getattr(value, field.name), words)
    else:
        raise _UnknownError


__all__ = ["fingerprint"]
