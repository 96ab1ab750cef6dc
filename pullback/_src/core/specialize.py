"""Single operations as programs, so that a transformation works out an operation's rule only once per type.

Un-jitted code applies the same operations at the same types again and again. When a trace meets an
operation for the second time, it transforms the one-equation program of that operation (a transformation
of programs, which is memoized) and from then on runs the result as one step. The rules stay the only
definition of a derivative; here they are only applied ahead of time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar, final

from . import rules
from .aval import ShapedArray
from .primitive import Primitive
from .program import Equation, Program, Var
from .trace import Trace

T = TypeVar("T")

_LIMIT = 4096


class SecondUse(Generic[T]):
    """What `build(key, params)` gives for plain operations, from their second use on.

    What is used once is not worth the building, and programs whose shapes never repeat do not fill memory
    with transformed programs.

    A key starts with the primitive and holds all that `build` reads from it, and the parameters' items.
    """

    __slots__ = ("_build", "_entries")

    def __init__(self, build: Callable[[tuple[Any, ...], dict[str, Any]], T]) -> None:
        self._build = build
        self._entries: dict[Hashable, T | _Mark] = {}

    def get(self, key: tuple[Any, ...], params: dict[str, Any]) -> T | None:
        """The entry, built if need be.

        None on first use, for keys that cannot be hashed, and for operations that are not plain.
        """
        entries = self._entries
        try:
            entry = entries.get(key)
        except TypeError:
            return None
        if entry is None:
            if len(entries) >= _LIMIT:
                entries.clear()
            entries[key] = _SEEN if is_plain(key[0]) else _GENERAL
            return None
        if type(entry) is _Mark:
            if entry is _GENERAL:
                return None
            entry = entries[key] = self._build(key, params)
        return entry


def split(
    steps: SecondUse[Any],
    trace: Trace,
    tracer_type: Any,
    primitive: Primitive,
    args: Sequence[Any],
    params: dict[str, Any],
) -> tuple[list[Any], list[Any], Any]:
    """The primals of all operands, the tangents of those that are tracers of `trace`, and the step.

    Tracers have the attributes `primal` and `tangent`. There is no step if there are no tangents, on first
    use, or while a program is being staged: it should show the operations, at their places in the code.

    In the key the type of an operand without a tangent has None before it: that is cheap to put together
    while the operands are looked at (`operands` reads it).
    """
    primals: list[Any] = []
    tangents: list[Any] = []
    key: list[Any] = [primitive]
    for a in args:
        if type(a) is tracer_type and a._trace is trace:
            primals.append(a.primal)
            tangents.append(a.tangent)
        else:
            primals.append(a)
            key.append(None)  # marks the next type as that of a constant
        key.append(a.aval)
    if not tangents or not trace.eager:
        return primals, tangents, None
    if params:
        key += params.items()
    return primals, tangents, steps.get(tuple(key), params)


def operands(key: tuple[Any, ...]) -> tuple[tuple[bool, ...], tuple[ShapedArray, ...]]:
    """Which operands have tangents, and the types of all, from a key made by `split`."""
    places = [i for i, part in enumerate(key) if isinstance(part, ShapedArray)]
    return tuple([key[i - 1] is not None for i in places]), tuple([key[i] for i in places])


@final
class _Mark:
    """Entries of `SecondUse` that hold no value yet, or never will."""


_SEEN = _Mark()
_GENERAL = _Mark()


def is_plain(primitive: Primitive) -> bool:
    """Whether an operation is first-order and without effects, so that its rules do not depend on values."""
    return not (
        primitive.call_like
        or primitive.effectful
        or primitive in rules.staging
        or primitive in rules.linearize
        or primitive in rules.collective
        or primitive not in rules.abstract
    )


def carries_python(program: Program) -> bool:
    """Whether a program holds Python functions of the user's, which may do another thing at each call."""
    found = program.memo.get("carries python")
    if found is None:
        found = program.memo["carries python"] = any(
            eqn.primitive.effectful
            or any(_is_python(v) or (isinstance(v, Program) and carries_python(v)) for v in _flat(eqn.params))
            for eqn in program.eqns
        )
    return found


def _flat(params: dict[str, Any]) -> list[Any]:
    out: list[Any] = []
    for value in params.values():
        out.extend(value if isinstance(value, tuple) else (value,))
    return out


def _is_python(value: Any) -> bool:
    return callable(value) and not isinstance(value, (Program, type))


def operation(primitive: Primitive, avals: Sequence[ShapedArray], params: dict[str, Any]) -> Program:
    """The program that applies one operation."""
    invars = [Var(a) for a in avals]
    out = rules.abstract[primitive](*avals, **params)
    outvars = [Var(a) for a in (out if primitive.multiple_results else [out])]
    return Program(invars, outvars, [Equation(primitive, invars, outvars, params, None)], name=primitive.name)
