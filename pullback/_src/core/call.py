"""Calling a program: the primitive behind `jit` and of of all that runs a recorded program as one step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import engine, rules
from .array import ConcreteArray
from .aval import ShapedArray
from .evaluate import evaluate
from .primitive import Primitive
from .program import Program
from .staging import StagingTrace
from .trace import CURRENT, EVAL, Tracer, leak_error

jit_p = Primitive("jit", multiple_results=True, call_like=True)


def executable(program: Program) -> Any:
    """The compiled program (compiled once)."""
    compiled = program.memo.get("executable")
    if compiled is None:
        compiled = program.memo["executable"] = engine.get(engine.default()).compile(program)
    return compiled


def eager_executable(program: Program) -> Any:
    """The program compiled for the eager engine, which starts faster (compiled once)."""
    compiled = program.memo.get("eager executable")
    if compiled is None:
        compiled = program.memo["eager executable"] = engine.get("numpy").compile(program)
    return compiled


def call(program: Program, args: Sequence[Any]) -> list[Any]:
    """Run `program` as one step under the current trace (recorded operation by operation when staging)."""
    if CURRENT.get() is EVAL:
        for a in args:
            if type(a) is not ConcreteArray:
                break
        else:
            return eager_executable(program)(args)
    return jit_p.bind(*args, program=program, name=program.name, inline=True)


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
