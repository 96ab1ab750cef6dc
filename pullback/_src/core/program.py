"""Programs: typed, single-assignment, first-order but for sub-programs in parameters.

A `Program` takes `constvars` (bound to `consts`) and `invars`, runs `eqns` in order and returns
`outvars`. Only a program at the top (what `make_jaxpr` returns, what an engine compiles) has
constants; a program inside an equation's parameters receives everything through its `invars`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..base.source import Location
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
        from .printer import equation_text

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
        return found  # type: ignore[no-any-return]

    def __str__(self) -> str:
        from .printer import program_text

        return program_text(self)

    __repr__ = __str__

    def pretty_print(self, **options: Any) -> str:
        from .printer import program_text

        return program_text(self, **options)


def subprograms(params: dict[str, Any]) -> Iterator[Program]:
    """The programs in an equation's parameters."""
    for value in params.values():
        if isinstance(value, Program):
            yield value
        elif isinstance(value, tuple):
            for item in value:
                if isinstance(item, Program):
                    yield item
