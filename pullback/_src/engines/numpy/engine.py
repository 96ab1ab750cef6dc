"""Running whole programs on NumPy arrays.

A program becomes one Python function, a line for each equation, that calls kernels on NumPy arrays: no
tracing, no dispatch and no wrapping between operations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...core import engine as registry
from ...core.array import ConcreteArray
from ...core.engine import quiet, quietly
from ...core.evaluate import evaluate, last_uses
from ...core.program import Equation, Literal, Program, Var
from ...core.trace import EVAL, EXPLAIN, Tracer, leak_error, using
from ...transforms.simplify import eliminate_dead_code
from .control import compile_source, lowerings
from .register import bound


class NumpyExecutable:
    """A program as a Python function of NumPy arrays."""

    __slots__ = ("program", "_run", "_pure")

    def __init__(self, program: Program) -> None:
        registry.load_eager()
        self.program = eliminate_dead_code(program)
        self._run, self._pure = _generate(self.program)

    def __call__(self, args: Sequence[ConcreteArray]) -> list[ConcreteArray]:
        try:
            if self._pure:
                try:
                    return quiet.context.run(self._run, *args)
                except RuntimeError:
                    return quietly(self._run, *args)
            # Python code of the user's may run inside: it must see the caller's context.
            with np.errstate(all="ignore"), using(EVAL):
                return self._run(*args)
        except Exception:
            for a in args:
                if isinstance(a, Tracer):
                    raise leak_error(a) from None
            if self._pure:
                with using(EXPLAIN):
                    evaluate(self.program, args)  # raises the error with the operation's own explanation
            raise


def _generate(program: Program, *, wrap: bool = True) -> tuple[Callable[..., Any], bool]:
    """The function from arrays to a list of arrays, and whether it consists of kernels only.

    With `wrap` False it takes and returns NumPy arrays.
    """
    text, namespace, pure = _write(program, wrap)
    exec(compile_source(text, program.name), namespace)
    return namespace["run"], pure


def _write(program: Program, wrap: bool) -> tuple[str, dict[str, Any], bool]:
    """The function's text, the names that it uses, and whether it calls kernels only."""
    namespace: dict[str, Any] = {"Array": ConcreteArray}
    names: dict[Any, str] = {}
    constants: dict[int, str] = {}
    pure = True

    def constant(value: Any) -> str:
        if id(value) not in constants:
            constants[id(value)] = name = f"c{len(constants)}"
            namespace[name] = value._data
        return constants[id(value)]

    def name_of(atom: Any) -> str:
        if isinstance(atom, Literal):
            return constant(atom.value)
        if atom not in names:
            names[atom] = f"v{len(names)}"
        return names[atom]

    for var, value in zip(program.constvars, program.consts, strict=True):
        names[var] = constant(value)
    arguments = ", ".join(name_of(v) for v in program.invars)
    lines = [f"def run({arguments}):"]
    used = {v for eqn in program.eqns for v in eqn.invars if isinstance(v, Var)}
    if wrap:
        lines += [
            f"    {names[v]} = {names[v]}._data" for v in program.invars if v in used or v in program.outvars
        ]
    kept = set(program.constvars)
    for number, (eqn, dead) in enumerate(zip(program.eqns, last_uses(program), strict=True)):
        function, is_kernel = function_of(eqn)
        pure = pure and is_kernel
        namespace[f"k{number}"] = function
        targets = ", ".join(name_of(v) for v in eqn.outvars)
        if eqn.primitive.multiple_results and eqn.outvars:
            targets += ","
        operands = ", ".join(name_of(v) for v in eqn.invars)
        lines.append(f"    {targets + ' = ' if targets else ''}k{number}({operands})")
        dying = ", ".join(name_of(v) for v in dead if v not in kept)
        if dying:
            lines.append(f"    del {dying}")
    results = []
    for number, atom in enumerate(program.outvars):
        namespace[f"a{number}"] = atom.aval
        results.append(f"Array({name_of(atom)}, a{number})" if wrap else name_of(atom))
    lines.append(f"    return [{', '.join(results)}]")
    return "\n".join(lines), namespace, pure


def _raw(program: Program) -> tuple[Callable[..., Any], bool]:
    """A program inside of another one as a function of NumPy arrays (generated once)."""
    found = program.memo.get("numpy")
    if found is None:
        found = program.memo["numpy"] = _generate(eliminate_dead_code(program), wrap=False)
    return found


def function_of(eqn: Equation) -> tuple[Callable[..., Any], bool]:
    """What computes an equation on NumPy arrays, and whether it is a kernel."""
    kernel = registry.kernels.get(eqn.primitive)
    if kernel is not None:
        bind = bound.get(kernel)
        if bind is not None:
            return bind([v.aval for v in eqn.invars], eqn.params), True
        return (partial(kernel, **eqn.params) if eqn.params else kernel), True
    lowering = lowerings.get(eqn.primitive.name)
    if lowering is not None:
        return lowering(eqn, _raw)
    primitive, params = eqn.primitive, eqn.params
    avals = [v.aval for v in eqn.invars]

    def evaluate_wrapped(*operands: Any) -> Any:
        args = tuple([ConcreteArray(o, a) for o, a in zip(operands, avals, strict=True)])
        out = EVAL.process(primitive, args, params)
        return [o._data for o in out] if primitive.multiple_results else out._data

    return evaluate_wrapped, False


class NumpyInspection:
    """What there is to see of a program that runs on NumPy arrays (`core.engine.Inspection`).

    Its scratch memory is not planned, so its size is not known; it is given as zero.
    """

    stages: Sequence[str] = ("simplified", "python")
    temp_bytes = 0
    code_bytes = 0
    host_calls: Sequence[registry.HostCall] = ()
    aliases: Mapping[int, int] = {}

    def __init__(self, program: Program) -> None:
        registry.load_eager()
        self._program = eliminate_dead_code(program)

    def text(self, stage: str) -> str:
        """One of `stages` as text; "python" has a comment at each line with the equation behind it."""
        if stage == "simplified":
            return str(self._program)
        if stage != "python":
            raise ValueError(f"there is no stage {stage!r}; there are {', '.join(self.stages)}")
        text, _, _ = _write(self._program, wrap=True)
        calls = iter(self._program.eqns)
        lines = []
        for line in text.splitlines():
            called = "= k" in line or line.lstrip().startswith("k")
            lines.append(f"{line}  # {next(calls).primitive.name}" if called else line)
        return "\n".join(lines)


class NumpyEngine:
    """The engine that runs programs with NumPy."""

    name = "numpy"

    def compile(self, program: Program) -> NumpyExecutable:
        return NumpyExecutable(program)

    def inspect(self, program: Program, donated: Sequence[int] = ()) -> NumpyInspection:
        """The stages of compilation, to look at. Donated memory is not used."""
        return NumpyInspection(program)


engine = NumpyEngine()
