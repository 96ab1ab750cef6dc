"""Calling a program: the primitive behind `jit` and of of all that runs a recorded program as one step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import rules
from .aval import ShapedArray
from .engine import eager_executable, executable
from .evaluate import evaluate
from .primitive import Primitive
from .program import Program
from .staging import StagingTrace
from .trace import CURRENT, Tracer, leak_error

__all__ = ["call", "eager_executable", "executable", "jit_p"]

jit_p = Primitive("jit", multiple_results=True, call_like=True)


def call(program: Program, args: Sequence[Any]) -> list[Any]:
    """Run `program` as one step under the current trace (recorded operation by operation when staging)."""
    return CURRENT.get().run(program, args)


def _evaluate(*args: Any, program: Program, name: str, inline: bool) -> list[Any]:
    for a in args:
        if isinstance(a, Tracer):
            raise leak_error(a)
    return (eager_executable if inline else executable)(program)(args)


def _abstract(*avals: ShapedArray, program: Program, name: str, inline: bool) -> list[ShapedArray]:
    return program.out_avals


def _staging(trace: StagingTrace, args: Sequence[Any], params: dict[str, Any]) -> list[Any]:
    if params["inline"]:
        return evaluate(params["program"], args)
    return trace.record(jit_p, args, params)


rules.evaluate[jit_p] = _evaluate
rules.abstract[jit_p] = _abstract
rules.staging[jit_p] = _staging
