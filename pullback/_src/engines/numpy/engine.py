"""Running whole programs on NumPy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core import engine as registry
from ...core.array import ConcreteArray
from ...core.evaluate import last_uses
from ...core.program import Literal, Program
from ...core.trace import EVAL
from ...transforms.simplify import eliminate_dead_code



class NumpyExecutable:
    """A program as a list of kernel calls on numbered slots."""

    def __init__(self, program: Program) -> None:
        registry.load_eager()
        program = eliminate_dead_code(program)
        slots: dict[Any, int] = {}
        initial: list[Any] = []

        def slot(atom: Any) -> int:
            if isinstance(atom, Literal):
                initial.append(atom.value)
                return len(initial) - 1
            if atom not in slots:
                slots[atom] = len(initial)
                initial.append(None)
            return slots[atom]

        self._consts = [slot(v) for v in program.constvars]
        for index, value in zip(self._consts, program.consts, strict=True):
            initial[index] = value
        self._inputs = [slot(v) for v in program.invars]
        self._code: list[Any] = []
        for eqn, dead in zip(program.eqns, last_uses(program), strict=True):
            ins = tuple(slot(v) for v in eqn.invars)
            outs = tuple(slot(v) for v in eqn.outvars)
            self._code.append((eqn.primitive, ins, eqn.params, outs, tuple(slot(v) for v in dead)))
        self._outputs = [slot(v) for v in program.outvars]
        self._out_avals = program.out_avals
        self._initial = initial

    def __call__(self, args: Sequence[ConcreteArray]) -> list[ConcreteArray]:
        values = self._initial.copy()
        for index, value in zip(self._inputs, args, strict=True):
            values[index] = value
        process = EVAL.process
        for primitive, ins, params, outs, dead in self._code:
            result = process(primitive, tuple([values[i] for i in ins]), params)
            if primitive.multiple_results:
                for index, value in zip(outs, result, strict=True):
                    values[index] = value
            else:
                values[outs[0]] = result
            for index in dead:
                values[index] = None
        return [
            value if value.aval is aval else ConcreteArray(value._data, aval)
            for value, aval in zip([values[i] for i in self._outputs], self._out_avals, strict=True)
        ]


class NumpyEngine:
    """The engine that interprets programs with NumPy."""

    name = "numpy"

    def compile(self, program: Program) -> NumpyExecutable:
        return NumpyExecutable(program)


engine = NumpyEngine()
