"""The Engine protocol, the registry of engines, and the kernels of the eager engine.

What an engine knows about a program that it has compiled is an `Inspection`. Each compilation is logged
(logger `pullback`, flag `log_compiles`).

No layer imports an engine: engines are reached by name through this registry, which imports them when
they are first needed.
"""

from __future__ import annotations

import contextvars
import importlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from ..base.config import settings
from .program import subprograms

if TYPE_CHECKING:
    from ..base.source import Location
    from .array import ConcreteArray
    from .primitive import Primitive
    from .program import Program


logger = logging.getLogger("pullback")


class Executable(Protocol):
    """A compiled program. It may have an attribute `report`, a text that says how it was compiled."""

    def __call__(self, args: Sequence[ConcreteArray]) -> list[ConcreteArray]: ...


class Engine(Protocol):
    """What an engine offers: turn a program into something that runs.

    Optional methods: `inspect(program, donated) -> Inspection`; and `compile_donating(program, donated) ->
    Executable`, whose executables write results into the memory of the inputs with the numbers `donated`
    where that is safe, and delete those.
    """

    name: str

    def compile(self, program: Program) -> Executable: ...


class HostCall(NamedTuple):
    """An equation that a compiled program runs in Python."""

    primitive: str
    types: str  # of its operands and results
    reason: str
    location: Location | None

    def __str__(self) -> str:
        where = "" if self.location is None else f" at {self.location}"
        return f"{self.primitive} ({self.types}): {self.reason}{where}"


class Inspection(Protocol):
    """What an engine tells about a program that it has compiled."""

    stages: Sequence[str]
    """What `text` can show: the stages on the way from the recorded program, in order."""
    temp_bytes: int
    """The scratch memory of a call."""
    code_bytes: int
    """The size of the machine code."""
    host_calls: Sequence[HostCall]
    aliases: Mapping[int, int]
    """Results that are written into the memory of a donated input: their numbers, and the inputs'."""

    def text(self, stage: str) -> str: ...


_modules = {"numpy": "pullback._src.engines.numpy", "llvm": "pullback._src.engines.llvm"}
_engines: dict[str, Engine] = {}

# primitive -> function of NumPy arrays (params as keywords) returning an array, or a sequence of
# arrays for a primitive with several results. Filled by the NumPy engine.
kernels: dict[Primitive, Callable[..., Any]] = {}


def get(name: str) -> Engine:
    """The engine called `name`, imported on first use."""
    try:
        return _engines[name]
    except KeyError:
        pass
    if name not in _modules:
        raise ValueError(f"unknown engine {name!r}; known: {', '.join(sorted(_modules))}")
    engine: Engine = importlib.import_module(_modules[name]).engine
    return _engines.setdefault(name, engine)


def default() -> str:
    """The name of the engine that `jit` compiles with: the flag `engine`, where that engine can run."""
    return settings().engine if os.name == "posix" else "numpy"


def load_eager() -> None:
    """Make sure that the eager engine's kernels are there."""
    get("numpy")


def executable(program: Program) -> Any:
    """The program compiled for the default engine (compiled once)."""
    if (name := default()) == "numpy":
        return eager_executable(program)
    compiled = program.memo.get(name)
    if compiled is None:
        compiled = program.memo[name] = _logged(name, program, get(name).compile)
    return compiled


def donating_executable(program: Program, donated: tuple[int, ...]) -> Any:
    """The program compiled for the default engine, which may use the memory of some inputs for results."""
    name = default()
    compile_donating: Any = getattr(get(name), "compile_donating", None)
    if compile_donating is None:
        return executable(program)
    key = name, "donating", donated
    compiled = program.memo.get(key)
    if compiled is None:
        compiled = _logged(name, program, lambda program: compile_donating(program, donated))
        program.memo[key] = compiled
    return compiled


def eager_executable(program: Program) -> Any:
    """The program compiled for the eager engine, which starts faster (compiled once)."""
    compiled = program.memo.get("eager executable")
    if compiled is None:
        compiled = program.memo["eager executable"] = _logged("numpy", program, get("numpy").compile)
    return compiled


LOOPS = frozenset({"scan", "while"})
"""Names of the primitives that run a program many times (the layer that defines them is above)."""


def step_executable(program: Program) -> Any:
    """The program compiled as a step of un-jitted code: for the eager engine, unless it has loops."""
    return executable(program) if _has_loops(program) else eager_executable(program)


def _has_loops(program: Program) -> bool:
    found: bool | None = program.memo.get("loops")
    if found is None:
        found = program.memo["loops"] = any(
            eqn.primitive.call_like
            and (eqn.primitive.name in LOOPS or any(_has_loops(p) for p in subprograms(eqn.params)))
            for eqn in program.eqns
        )
    return found


def _logged(name: str, program: Program, compile: Callable[[Program], Any]) -> Any:
    """The result of `compile(program)`, of which one line is logged if the flag `log_compiles` is set."""
    if not settings().log_compiles:
        return compile(program)
    started = time.perf_counter()
    compiled = compile(program)
    report = getattr(compiled, "report", "")
    logger.warning(
        "Compiled %s (%d equations) for the engine %s in %.1f ms%s",
        program.name or "a program",
        len(program.eqns),
        name,
        1e3 * (time.perf_counter() - started),
        f": {report}" if report else "",
    )
    return compiled


def inspect(name: str, program: Program, donated: tuple[int, ...] = ()) -> Inspection:
    """What the engine called `name` tells about a program.

    Raises:
        NotImplementedError: the engine tells nothing.
    """
    look: Any = getattr(get(name), "inspect", None)
    if look is None:
        raise NotImplementedError(
            f"the engine {name!r} does not show how it compiles programs; choose one that does (llvm)"
        )
    inspection: Inspection = look(program, donated)
    return inspection


# NumPy reports overflow, division by zero and invalid operations as warnings, which array programs expect
# to be silent (the results are inf and nan). Its error state lives in a context variable, so running a
# kernel in a context of our own switches the warnings off without touching the user's setting, and costs
# a tenth of numpy.errstate.
class _Quiet(threading.local):
    def __init__(self) -> None:
        self.context = contextvars.Context()  # empty: it keeps nothing of the caller's alive
        self.context.run(np.seterr, all="ignore")


quiet = _Quiet()


def quietly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """`function(*args, **kwargs)` with NumPy's floating point warnings switched off."""
    try:
        return quiet.context.run(function, *args, **kwargs)
    except RuntimeError as error:
        if "cannot enter context" not in str(error):
            raise
    # Already inside: a kernel that runs Python code (a finalizer, a signal handler) came back here.
    with np.errstate(all="ignore"):
        return function(*args, **kwargs)
