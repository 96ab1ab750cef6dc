"""The stages of a jitted function: traced (`Lowered`), and compiled for fixed types (`Compiled`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..base import pytree
from ..core import engine
from ..core.aval import ShapedArray
from ..core.engine import HostCall, Inspection
from ..core.program import Program
from .common import to_array
from .cost import cost_of
from .stage import StagedFunction, shape_struct


class Lowered:
    """A traced function, not yet compiled.

    Attributes:
        donated: the numbers of the flat arguments whose memory may be used for results.
    """

    def __init__(self, staged: StagedFunction, donated: Sequence[int] = ()) -> None:
        self._staged = staged
        self.donated = tuple(donated)

    @property
    def jaxpr(self) -> Program:
        """The recorded program."""
        return self._staged.program

    @property
    def in_avals(self) -> list[ShapedArray]:
        """The types of the flat arguments."""
        return self._staged.program.in_avals

    @property
    def out_info(self) -> Any:
        """The shapes and dtypes of the results."""
        return self._staged.unflatten([shape_struct(a) for a in self._staged.program.out_avals])

    def as_text(self, dialect: str | None = None, *, debug_info: bool = False) -> str:
        """The program as text, with `debug_info` also each equation's place in the user's code."""
        return self._staged.program.pretty_print(source_info=debug_info)

    def cost_analysis(self) -> dict[str, float]:
        """The work in the program, see `cost.cost_of`."""
        return cost_of(self._staged.program)

    def lower(self) -> Lowered:
        return self

    def compile(self, compiler_options: Any = None) -> Compiled:
        """Compile for the default engine."""
        return Compiled(self._staged, self.donated)


@dataclass(frozen=True)
class CompiledMemoryStats:
    """The memory of one call of a compiled program, in bytes.

    Attributes:
        generated_code_size_in_bytes: machine code.
        argument_size_in_bytes: the arguments, and the arrays that the function closes over.
        output_size_in_bytes: the results.
        alias_size_in_bytes: results that are written into the memory of donated arguments (counted among
            the arguments and among the results, too).
        temp_size_in_bytes: scratch memory.
    """

    generated_code_size_in_bytes: int
    argument_size_in_bytes: int
    output_size_in_bytes: int
    alias_size_in_bytes: int
    temp_size_in_bytes: int


class Compiled:
    """A function compiled for arguments of fixed types."""

    def __init__(self, staged: StagedFunction, donated: Sequence[int] = ()) -> None:
        self._staged = staged
        self._engine = engine.default()
        bound = len(staged.consts)
        self._donated = tuple([bound + k for k in donated])
        program = staged.open_program
        if self._donated:
            self._executable = engine.donating_executable(program, self._donated)
        else:
            self._executable = engine.executable(program)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, _ = pytree.flatten((args, kwargs))
        values = [to_array(v, "an argument of a compiled function") for v in leaves]
        expected = self._staged.program.in_avals
        found = [v.aval for v in values]
        if len(found) != len(expected) or any(
            f.shape != e.shape or f.dtype != e.dtype for f, e in zip(found, expected, strict=True)
        ):
            raise TypeError(
                f"a compiled function was called with arguments of types [{_types(found)}]; it was compiled "
                f"for [{_types(expected)}]"
            )
        return self._staged.unflatten(self._executable([*self._staged.consts, *values]))

    @property
    def in_avals(self) -> list[ShapedArray]:
        """The types of the flat arguments."""
        return self._staged.program.in_avals

    @property
    def out_info(self) -> Any:
        """The shapes and dtypes of the results."""
        return self._staged.unflatten([shape_struct(a) for a in self._staged.program.out_avals])

    @cached_property
    def _inspection(self) -> Inspection:
        return engine.inspect(self._engine, self._staged.open_program, self._donated)

    @property
    def stages(self) -> tuple[str, ...]:
        """What `as_text` can show."""
        return ("program", *self._inspection.stages)

    def as_text(self, stage: str = "program") -> str:
        """The program at one stage of compilation.

        Args:
            stage: "program" (as recorded), "simplified", and what the engine adds to that: "loops" (the
                passes over memory), "llvm" and "assembly" for the LLVM engine; "python" for the NumPy engine.

        Raises:
            ValueError: the engine has no such stage.
        """
        if stage == "program":
            return str(self._staged.program)
        if stage not in self.stages:
            raise ValueError(
                f"as_text: the engine {self._engine!r} has no stage {stage!r}; it has "
                f"{', '.join(self.stages)}"
            )
        return self._inspection.text(stage)

    def cost_analysis(self) -> dict[str, float]:
        """The work in the program, see `cost.cost_of`."""
        return cost_of(self._staged.program)

    def memory_analysis(self) -> CompiledMemoryStats:
        """The memory that a call needs."""
        program, inspection = self._staged.open_program, self._inspection
        return CompiledMemoryStats(
            generated_code_size_in_bytes=inspection.code_bytes,
            argument_size_in_bytes=sum(map(_bytes, program.in_avals)),
            output_size_in_bytes=sum(map(_bytes, program.out_avals)),
            alias_size_in_bytes=sum([_bytes(program.out_avals[k]) for k in inspection.aliases]),
            temp_size_in_bytes=inspection.temp_bytes,
        )

    @property
    def host_calls(self) -> list[HostCall]:
        """The equations that run in Python, with the reason; empty if all of the program is native code."""
        return list(self._inspection.host_calls)

    def runtime_executable(self) -> Any:
        """What runs the program: a function of the list of flat arguments."""
        return self._executable


def _bytes(aval: ShapedArray) -> int:
    return aval.size * aval.dtype.itemsize


def _types(avals: Sequence[ShapedArray]) -> str:
    return ", ".join(a.str_short() for a in avals)


__all__ = ["Compiled", "CompiledMemoryStats", "Lowered"]
