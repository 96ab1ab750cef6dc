"""Programs without what nobody needs, in the bodies of their loops and branches as well.

A loop's results are its last state and what its turns stack. Those that nothing reads are left out, with
what only they need: parts of the state that only follow themselves, and the operands that these read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...core.program import Equation, Program
from ...transforms.simplify import eliminate_dead_code

Mask = Sequence[bool]


def without_unused(program: Program, used: Mask | None = None) -> Program:
    """The program with the used ones of its results only, and the equations that these need (or that have
    effects). It takes the inputs that it took before."""
    key = "needed", None if used is None or all(used) else tuple(used)
    found: Program | None = program.memo.get(key)
    if found is None:
        found = program.memo[key] = eliminate_dead_code(program, key[1], reduced=_reduced)
        found.memo["needed", None] = found
    return found


def _reduced(eqn: Equation, used: Mask) -> Equation:
    reduce = _LOOPS.get(eqn.primitive.name)
    return eqn if reduce is None else reduce(eqn, used)


def _chosen(values: Sequence[Any], mask: Mask) -> list[Any]:
    return [v for v, kept in zip(values, mask, strict=True) if kept]


def _read(*programs: Program) -> Mask:
    """Which inputs one of the programs reads."""
    read = {v for p in programs for eqn in p.eqns for v in eqn.invars}
    for p in programs:
        read.update(p.outvars)
    return [any(v in read for v in inputs) for inputs in zip(*[p.invars for p in programs], strict=True)]


def _with(eqn: Equation, operands: Mask, results: Mask, params: dict[str, Any]) -> Equation:
    return Equation(
        eqn.primitive, _chosen(eqn.invars, operands), _chosen(eqn.outvars, results),
        {**eqn.params, **params}, eqn.location,
    )  # fmt: skip


def _taking(program: Program, inputs: Mask) -> Program:
    """The program with these of its inputs only, which are all that it reads."""
    if all(inputs):
        return program
    key = "taking", tuple(inputs)
    found: Program | None = program.memo.get(key)
    if found is None:
        invars = _chosen(program.invars, inputs)
        found = Program(
            invars, program.outvars, program.eqns, program.constvars, program.consts, program.name
        )
        program.memo[key] = found
    return found


def _scan(eqn: Equation, used: Mask) -> Equation:
    params = eqn.params
    program, consts, count = params["program"], params["num_consts"], params["num_carry"]
    state = slice(consts, consts + count)
    kept = list(used)
    while True:
        body = without_unused(program, kept)
        read = _read(body)
        more = [*[k or r for k, r in zip(kept[:count], read[state], strict=True)], *kept[count:]]
        if more == kept:
            break
        kept = more
    inputs = [*read[:consts], *kept[:count], *read[consts + count :]]
    if body is program and all(inputs):
        return eqn
    changed = {"num_consts": sum(read[:consts]), "num_carry": sum(kept[:count])}
    return _with(eqn, inputs, kept, {"program": _taking(body, inputs), **changed})


def _while(eqn: Equation, used: Mask) -> Equation:
    params = eqn.params
    program, consts, first = params["body_program"], params["body_nconsts"], params["cond_nconsts"]
    test = without_unused(params["cond_program"])
    tested = _read(test)
    kept = [u or r for u, r in zip(used, tested[first:], strict=True)]
    while True:
        body = without_unused(program, kept)
        read = _read(body)
        more = [k or r for k, r in zip(kept, read[consts:], strict=True)]
        if more == kept:
            break
        kept = more
    if body is program and test is params["cond_program"] and all(tested[:first]) and all(read[:consts]):
        return eqn
    changed = {
        "cond_program": _taking(test, [*tested[:first], *kept]),
        "body_program": _taking(body, [*read[:consts], *kept]),
        "cond_nconsts": sum(tested[:first]),
        "body_nconsts": sum(read[:consts]),
    }
    return _with(eqn, [*tested[:first], *read[:consts], *kept], kept, changed)


def _cond(eqn: Equation, used: Mask) -> Equation:
    branches: Sequence[Program] = eqn.params["branches"]
    left = [without_unused(p, used) for p in branches]
    read = _read(*left)
    if all(read) and all(new is old for new, old in zip(left, branches, strict=True)):
        return eqn
    return _with(eqn, [True, *read], used, {"branches": tuple([_taking(p, read) for p in left])})


_LOOPS: dict[str, Callable[[Equation, Mask], Equation]] = {"scan": _scan, "while": _while, "cond": _cond}

__all__: Sequence[str] = ["without_unused"]
