"""Programs: typed, single-assignment, first-order but for sub-programs in parameters.

A `Program` takes `constvars` (bound to `consts`) and `invars`, runs `eqns` in order and returns
`outvars`. Only a program at the top (what `make_jaxpr` returns, what an engine compiles) has
constants; a program inside an equation's parameters receives everything through its `invars`. The
text of programs is at the end of this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np

from ..base.source import Location
from . import dtypes
from .aval import ShapedArray

if TYPE_CHECKING:
    from .primitive import Primitive


class Var:
    """A variable; variables are compared by identity."""

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray) -> None:
        self.aval = aval

    def __repr__(self) -> str:
        return f"Var{id(self) % 10**6}:{self.aval.str_short()}"


@final
class Literal:
    """A scalar constant written into an equation."""

    __slots__ = ("value", "aval")

    def __init__(self, value: Any, aval: ShapedArray) -> None:
        self.value = value
        self.aval = aval

    @property
    def val(self) -> Any:
        return self.value

    def __repr__(self) -> str:
        return f"{self.value}:{self.aval.str_short()}"


Atom = Var | Literal


NO_PARAMS: dict[str, Any] = {}
"""The parameters of all equations without any: most have none."""


class Equation:
    """`outvars = primitive[params] invars`, with the place in the user's code that asked for it."""

    __slots__ = ("primitive", "invars", "outvars", "params", "location")

    def __init__(
        self,
        primitive: Primitive,
        invars: Sequence[Atom],
        outvars: Sequence[Var],
        params: dict[str, Any],
        location: Location | None,
    ) -> None:
        self.primitive = primitive
        self.invars = invars
        self.outvars = outvars
        self.params = params
        self.location = location

    def __repr__(self) -> str:
        return equation_text(self)


class Program:
    """A program. Immutable once built; transformations keep their results in `memo`."""

    __slots__ = (
        "invars",
        "outvars",
        "eqns",
        "constvars",
        "consts",
        "memo",
        "name",
        "_effects",
        "__weakref__",
    )

    def __init__(
        self,
        invars: Sequence[Var],
        outvars: Sequence[Atom],
        eqns: Sequence[Equation],
        constvars: Sequence[Var] = (),
        consts: Sequence[Any] = (),
        name: str = "",
    ) -> None:
        self.invars = tuple(invars)
        self.outvars = tuple(outvars)
        self.eqns = tuple(eqns)
        self.constvars = tuple(constvars)
        self.consts = tuple(consts)
        self.name = name
        self.memo: dict[Any, Any] = {}
        self._effects: bool | None = None

    @property
    def jaxpr(self) -> Program:
        """The program itself (JAX tells closed and open programs apart; here there is one kind)."""
        return self

    @property
    def in_avals(self) -> list[ShapedArray]:
        return [v.aval for v in self.invars]

    @property
    def out_avals(self) -> list[ShapedArray]:
        return [v.aval for v in self.outvars]

    @property
    def literals(self) -> tuple[Any, ...]:
        return self.consts

    @property
    def effectful(self) -> bool:
        """Whether running the program does more than computing its results (callbacks)."""
        if self._effects is None:
            self._effects = any(
                e.primitive.effectful or any(p.effectful for p in subprograms(e.params)) for e in self.eqns
            )
        return self._effects

    @property
    def effects(self) -> frozenset[str]:
        return frozenset({"callback"}) if self.effectful else frozenset()

    def with_consts_as_inputs(self) -> Program:
        """The same program with its constants as leading inputs."""
        if not self.constvars:
            return self
        found = self.memo.get("consts as inputs")
        if found is None:
            found = Program(self.constvars + self.invars, self.outvars, self.eqns, name=self.name)
            self.memo["consts as inputs"] = found
        return found

    def with_consts_as_literals(self) -> Program:
        """The same program with its constants written into the equations, fit to be a parameter."""
        if not self.constvars:
            return self
        value: dict[Any, Atom] = {
            v: Literal(c, v.aval) for v, c in zip(self.constvars, self.consts, strict=True)
        }
        eqns = [
            Equation(e.primitive, [value.get(v, v) for v in e.invars], e.outvars, e.params, e.location)
            for e in self.eqns
        ]
        return Program(self.invars, [value.get(v, v) for v in self.outvars], eqns, name=self.name)

    def __str__(self) -> str:
        return program_text(self)

    __repr__ = __str__

    def pretty_print(self, *, source_info: bool = False) -> str:
        """The program as text, with `source_info` also each equation's place in the user's code."""
        return program_text(self, source_info=source_info)


def subprograms(params: dict[str, Any]) -> Iterator[Program]:
    """The programs in an equation's parameters."""
    for value in params.values():
        if isinstance(value, Program):
            yield value
        elif isinstance(value, tuple):
            for item in value:
                if isinstance(item, Program):
                    yield item


# Text: `{ lambda ; a:f32[3]. let b:f32[3] = sin a in (b,) }` ---------------------------------------------


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
        line = pad + "    " + equation_text(eqn, names, used, indent + 2, source_info)
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
    eqn: Equation,
    names: _Names | None = None,
    used: set[Var] | None = None,
    indent: int = 0,
    source_info: bool = False,
) -> str:
    """One equation as text."""
    names = names or _Names()
    args = " ".join(names.atom(v) for v in eqn.invars)
    params = _params_text(eqn.params, indent, source_info)
    outs = " ".join(
        names.typed(v) if used is None or v in used else f"_:{v.aval.str_short()}" for v in eqn.outvars
    )
    return f"{outs} = {eqn.primitive.name}{params} {args}".rstrip()


def _params_text(params: dict[str, Any], indent: int, source_info: bool) -> str:
    if not params:
        return ""
    pad = "  " * (indent + 1)
    items = [f"{key}={_param_text(params[key], indent + 1, source_info)}" for key in sorted(params)]
    text = "[" + " ".join(items) + "]"
    if "\n" not in text and len(text) <= 80:
        return text
    return "[\n" + "".join(f"{pad}{item}\n" for item in items) + "  " * indent + "]"


def _param_text(value: Any, indent: int, source_info: bool) -> str:
    if isinstance(value, Program):
        return program_text(value, indent=indent, source_info=source_info)
    if isinstance(value, tuple) and any(isinstance(v, Program) for v in value):
        return "(" + ", ".join(_param_text(v, indent, source_info) for v in value) + ")"
    if isinstance(value, np.dtype):
        return dtypes.dtype_name(value)
    if callable(value) and not isinstance(value, type):
        return getattr(value, "__name__", type(value).__name__)
    return str(value)
