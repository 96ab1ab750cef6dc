"""Calling a program: the primitive behind `jit` and of all that runs a recorded program as one step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import rules
from .aval import ShapedArray
from .engine import eager_executable, executable
from .evaluate import evaluate
from .primitive import Primitive
from .program import Program
from .staging import LinearTrace, StagingTrace, StagingTracer
from .trace import CURRENT, Tracer, leak_error

__all__ = ["call", "dependent", "eager_executable", "executable", "jit_p"]

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
    program: Program = params["program"]
    if params["inline"]:
        return evaluate(program, args)
    if isinstance(trace, LinearTrace):
        # The jvp of a call has values and tangents among its results. The values are no equations of the
        # tape, for they may be factors of tangents.
        mine = tuple([isinstance(a, StagingTracer) and a._trace is trace for a in args])
        if not all(dependent(program, mine)):
            return evaluate(program, args)
    return trace.record(jit_p, args, params)


def dependent(program: Program, inputs: tuple[bool, ...]) -> tuple[bool, ...]:
    """Which outputs depend on any of these inputs."""
    key = ("dependent", inputs)
    found: tuple[bool, ...] | None = program.memo.get(key)
    if found is None:
        reached = {v for v, given in zip(program.invars, inputs, strict=True) if given}
        for eqn in program.eqns:
            given = tuple([v in reached for v in eqn.invars])
            if eqn.primitive is jit_p:
                outs = dependent(eqn.params["program"], given)
                reached.update([v for v, depends in zip(eqn.outvars, outs, strict=True) if depends])
            elif any(given):
                reached.update(eqn.outvars)
        found = program.memo[key] = tuple([v in reached for v in program.outvars])
    return found


rules.evaluate[jit_p] = _evaluate
rules.abstract[jit_p] = _abstract
rules.staging[jit_p] = _staging
