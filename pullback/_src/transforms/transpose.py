"""Reverse mode: running a linear program backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..base import source
from ..base.errors import NotDifferentiableError
from ..core import rules
from ..core.aval import Zero
from ..core.evaluate import evaluate
from ..core.program import Equation, Literal, Program, Var
from ..core.rules import Linear
from ..core.specialize import carries_python, is_plain
from ..core.staging import LinearTrace, StagingTrace
from ..core.trace import CURRENT
from ..ops.structural import add_any_p


def backward_pass(program: Program, residuals: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
    """Cotangents of a linear program's inputs from those of its outputs (arrays or `Zero`).

    `residuals` are the values of the program's constants. Runs under the current trace, so that the
    backward pass can itself be evaluated, staged, differentiated or batched.
    """
    known: dict[Var, Any] = dict(zip(program.constvars, residuals, strict=True))
    cts: dict[Var, Any] = {}

    def accumulate(var: Any, ct: Any) -> None:
        if type(ct) is Zero or type(var) is Literal or var in known:
            return
        previous = cts.get(var)
        cts[var] = ct if previous is None else add_any_p.bind(previous, ct)

    for outvar, ct in zip(program.outvars, cotangents, strict=True):
        accumulate(outvar, ct)
    token = source.LOCATION.set(None)
    try:
        for eqn in reversed(program.eqns):
            primitive = eqn.primitive
            if primitive.multiple_results:
                ct_out: Any = [cts.pop(v, None) for v in eqn.outvars]
                if all(ct is None for ct in ct_out):
                    continue
                ct_out = [
                    Zero(v.aval.tangent) if ct is None else ct
                    for v, ct in zip(eqn.outvars, ct_out, strict=True)
                ]
            else:
                ct_out = cts.pop(eqn.outvars[0], None)
                if ct_out is None:
                    continue
            source.LOCATION.set(eqn.location)
            args = [
                atom.value if type(atom) is Literal else known[atom] if atom in known else Linear(atom.aval)
                for atom in eqn.invars
            ]
            rule = rules.transpose.get(primitive)
            if rule is None:
                raise NotDifferentiableError(_no_transpose(eqn))
            try:
                results = rule(ct_out, *args, **eqn.params)
            except Exception as error:
                # A product of two linear arguments, say. Rules that run the user's code speak for themselves.
                if sum(type(a) is Linear for a in args) < 2 or not is_plain(primitive):
                    raise
                raise NotDifferentiableError(_no_transpose(eqn)) from error
            for atom, ct in zip(eqn.invars, results, strict=True):
                if ct is not None:
                    accumulate(atom, ct)
    finally:
        source.LOCATION.reset(token)
    return [cts.get(v, Zero(v.aval)) for v in program.invars]


def pull_back(program: Program, residuals: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
    """Like `backward_pass`; from the second time on, the transposed program runs as one step."""
    trace = CURRENT.get()
    given = tuple([type(ct) is not Zero for ct in cotangents])
    step = _step(program, given) if trace.eager else None
    if step is None:
        return backward_pass(program, residuals, cotangents)
    transposed, nonzero = step
    outs = iter(trace.run(transposed, [*residuals, *[ct for ct in cotangents if type(ct) is not Zero]]))
    return [next(outs) if nz else Zero(v.aval) for v, nz in zip(program.invars, nonzero, strict=True)]


def _step(program: Program, given: tuple[bool, ...]) -> tuple[Program, tuple[bool, ...]] | None:
    """The transpose with the constants as inputs, for the given cotangents; None on the first use."""
    memo = program.memo
    step: tuple[Program, tuple[bool, ...]] | None = memo.get(("pull back", given))
    if step is None and not carries_python(program):
        if "pulled back" in memo:
            linear = (False,) * len(program.constvars) + (True,) * len(program.invars)
            step = transpose_program(program.with_consts_as_inputs(), linear, given)
            memo["pull back", given] = step
        memo["pulled back"] = True
    return step


def _no_transpose(eqn: Equation) -> str:
    reason = rules.not_transposable.get(eqn.primitive, "it is not linear in these arguments")
    return (
        f"the operation {eqn.primitive.name!r} cannot be transposed (reverse-mode differentiation): "
        f"{reason}.\n{source.describe(eqn.location)}"
    )


def transpose_program(
    program: Program, linear: tuple[bool, ...], ct_nonzero: tuple[bool, ...]
) -> tuple[Program, tuple[bool, ...]]:
    """The transpose of a program that is linear in the inputs marked by `linear`.

    Returns the program of (the other inputs, cotangents of the outputs in `ct_nonzero`) -> cotangents of
    the linear inputs, leaving out those that are zero, and which of the linear inputs' are not zero.
    """
    key = ("transpose", linear, ct_nonzero)
    if key not in program.memo:
        staging = StagingTrace("differentiation")
        parts = _parts(program, linear)
        tape = LinearTrace(staging)
        inputs = [
            (tape if lin else staging).new_input(a) for a, lin in zip(program.in_avals, linear, strict=True)
        ]
        given = [
            staging.new_input(v.aval.tangent) for v, nz in zip(program.outvars, ct_nonzero, strict=True) if nz
        ]
        token = CURRENT.set(staging)
        try:
            if parts is None:
                CURRENT.set(tape)
                outputs = evaluate(program, inputs)
                taped = tape.finish(outputs)
                residuals: Sequence[Any] = taped.consts
                CURRENT.set(staging)
            else:
                known, taped = parts
                residuals = evaluate(known, [x for x, lin in zip(inputs, linear, strict=True) if not lin])
            rest = iter(given)
            cts = [
                next(rest) if nz else Zero(v.aval.tangent)
                for v, nz in zip(taped.outvars, ct_nonzero, strict=True)
            ]
            results = backward_pass(taped, residuals, cts)
        finally:
            CURRENT.reset(token)
        nonzero = tuple(type(ct) is not Zero for ct in results)
        transposed = staging.finish(
            [ct for ct in results if type(ct) is not Zero], program.name
        ).with_consts_as_literals()
        program.memo[key] = transposed, nonzero
    return program.memo[key]


def _parts(program: Program, linear: tuple[bool, ...]) -> tuple[Program, Program] | None:
    """The program of what does not depend on the linear inputs, and the linear one that takes its results.

    None if that takes more than sorting the equations: calls among the linear ones are written out when they
    are recorded.
    """
    dependent: set[Any] = {v for v, lin in zip(program.invars, linear, strict=True) if lin}
    known: list[Equation] = []
    rest: list[Equation] = []
    constants: dict[Var, None] = {}
    for eqn in program.eqns:
        if dependent.isdisjoint(eqn.invars):
            known.append(eqn)
        elif eqn.primitive in rules.staging:
            return None
        else:
            rest.append(eqn)
            for atom in eqn.invars:
                if type(atom) is Var and atom not in dependent:
                    constants[atom] = None
            dependent.update(eqn.outvars)
    others = [v for v, lin in zip(program.invars, linear, strict=True) if not lin]
    inputs = [v for v, lin in zip(program.invars, linear, strict=True) if lin]
    return (
        Program(others, [*constants], known, program.constvars, program.consts, program.name),
        Program(inputs, program.outvars, rest, [*constants], (), program.name),
    )
