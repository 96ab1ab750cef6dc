"""The Engine protocol, the registry of engines, and the kernels of the eager engine.

No layer imports an engine: engines are reached by name through this registry, which imports them when
they are first needed.
"""

from __future__ import annotations

import contextvars
import importlib
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..base.config import settings

if TYPE_CHECKING:
    from .array import ConcreteArray
    from .primitive import Primitive
    from .program import Program


class Executable(Protocol):
    """A compiled program."""

    def __call__(self, args: Sequence[ConcreteArray]) -> list[ConcreteArray]: ...


class Engine(Protocol):
    """What an engine offers: turn a program into something that runs."""

    name: str

    def compile(self, program: Program) -> Executable: ...


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
    """The name of the engine that `jit` compiles with (the flag `engine`)."""
    return settings().engine


def load_eager() -> None:
    """Make sure that the eager engine's kernels are there."""
    get("numpy")


def executable(program: Program) -> Any:
    """The program compiled for the default engine (compiled once)."""
    if (name := default()) == "numpy":
        return eager_executable(program)
    compiled = program.memo.get(name)
    if compiled is None:
        compiled = program.memo[name] = get(name).compile(program)
    return compiled


def eager_executable(program: Program) -> Any:
    """The program compiled for the eager engine, which starts faster (compiled once)."""
    compiled = program.memo.get("eager executable")
    if compiled is None:
        compiled = program.memo["eager executable"] = get("numpy").compile(program)
    return compiled


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
