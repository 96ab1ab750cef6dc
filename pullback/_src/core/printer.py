"""The text of programs: `{ lambda ; a:f32[3]. let b:f32[3] = sin a in (b,) }`."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .program import Atom, Equation, Literal, Program, Var


class _Names:
    """Short names for variables: a, b, ..., z, ba, bb, ..."""

    def __init__(self) -> None:
        self._names: dict[Var, str] = {}

    def __call__(self, var: Var) -> str:
        if var not in self._names:
            number, text = len(self._names), ""
            while True:
                number, digit = divmod(number, 26)
                text = chr(ord("a") + digit) + text
                if number == 0:
                    break
            self._names[var] = text
        return self._names[var]

    def typed(self, var: Var) -> str:
        return f"{self(var)}:{var.aval.str_short()}"

    def atom(self, atom: Atom) -> str:
        if isinstance(atom, Literal):
            return f"{_value(atom.value)}:{atom.aval.str_short()}"
        return self(atom)


def _value(value: Any) -> str:
    data = getattr(value, "_data", value)
    return str(data)


def program_text(
    program: Program, *, indent: int = 0, source_info: bool = False, names: _Names | None = None
) -> str:
    """The program as text; `source_info` adds each equation's place in the user's code."""
    names = names or _Names()
    pad = "  " * indent
    consts = " ".join(names.typed(v) for v in program.constvars)
    inputs = " ".join(names.typed(v) for v in program.invars)
    head = f"{{ lambda {consts + ' ' if consts else ''}; {inputs}. let"
    used = _used(program)
    lines = []
    for eqn in program.eqns:
        line = pad + "    " + equation_text(eqn, names, used, indent + 2)
        if source_info and eqn.location is not None:
            line += f"  # {eqn.location.file}:{eqn.location.line}"
        lines.append(line)
    outs = ", ".join(names.atom(v) for v in program.outvars)
    tail = f"in ({outs}{',' if len(program.outvars) == 1 else ''}) }}"
    if not lines:
        return f"{head} {tail}"
    return "\n".join([head, *lines, pad + "  " + tail])


def _used(program: Program) -> set[Var]:
    used = {v for v in program.outvars if isinstance(v, Var)}
    for eqn in program.eqns:
        used.update(v for v in eqn.invars if isinstance(v, Var))
    return used


def equation_text(
    eqn: Equation, names: _Names | None = None, used: set[Var] | None = None, indent: int = 0
) -> str:
    """One equation as text."""
    names = names or _Names()
    args = " ".join(names.atom(v) for v in eqn.invars)
    params = _params_text(eqn.params, indent)
    outs = " ".join(
        names.typed(v) if used is None or v in used else f"_:{v.aval.str_short()}" for v in eqn.outvars
    )
    return f"{outs} = {eqn.primitive.name}{params} {args}".rstrip()


def _params_text(params: dict[str, Any], indent: int) -> str:
    if not params:
        return ""
    pad = "  " * (indent + 1)
    items = [f"{key}={_param_text(params[key], indent + 1)}" for key in sorted(params)]
    text = "[" + " ".join(items) + "]"
    if "\n" not in text and len(text) <= 80:
        return text
    return "[\n" + "".join(f"{pad}{item}\n" for item in items) + "  " * indent + "]"


def _param_text(value: Any, indent: int) -> str:
    if isinstance(value, Program):
        return program_text(value, indent=indent)
    if isinstance(value, tuple) and any(isinstance(v, Program) for v in value):
        return "(" + ", ".join(_param_text(v, indent) for v in value) + ")"
    if isinstance(value, np.dtype):
        return dtypes.dtype_name(value)
    if callable(value) and not isinstance(value, type):
        return getattr(value, "__name__", type(value).__name__)
    return str(value)
