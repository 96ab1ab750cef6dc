"""Reverse mode of `scan`: linearization, which splits a loop into two, and transposition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core import rules
from ..core.evaluate import evaluate
from ..core.program import Equation, Literal, Program, Var
from ..ops.structural import instantiate, zeros
from ..transforms.linearize import LinearizeTrace, linearize_program
from ..transforms.simplify import eliminate_dead_code
from ..transforms.transpose import transpose_program
from .common import (
    Mask,
    build,
    chosen,
    depends_on,
    has_effect,
    nonzero_of,
    positions,
    rewired,
    spread,
    sum_atom,
    zero_atom,
)
from .scan_rules import carry_fixed_point, derived, grow_mask, scan_p, split_operands, with_tangents

# Linearization ------------------------------------------------------------------------------------


class _Linearized:
    """A body split for linearization.

    Attributes:
        mask, out_nonzero: which operands and results have tangents.
        before: the program of (constants) -> residuals that are the same in all iterations, or None.
        before_consts: its constants.
        forward: the body of values and stacked residuals; takes `forward_consts`, then the first
            `reused` results of `before`, then the original operands.
        linear: the linear body.
        fixed: where the linear scan's constant residuals come from: ("const", i), ("before", i) or
            ("value", array).
        sliced: where its sliced residuals come from: ("stacked", i) or ("xs", i).
    """

    __slots__ = (
        "mask",
        "out_nonzero",
        "before",
        "before_consts",
        "forward",
        "forward_consts",
        "reused",
        "linear",
        "fixed",
        "sliced",
    )

    mask: Mask
    out_nonzero: Mask
    before: Program | None
    before_consts: tuple[Any, ...]
    forward: Program
    forward_consts: tuple[Any, ...]
    reused: list[int]
    linear: Program
    fixed: list[tuple[str, Any]]
    sliced: list[tuple[str, int]]


def _linearize(
    trace: LinearizeTrace,
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    program: Program,
    num_consts: int,
    num_carry: int,
    **rest: Any,
) -> tuple[list[Any], list[Any]]:
    nonzero = nonzero_of(tangents)
    split: _Linearized = derived(
        program,
        ("linearize", nonzero, num_consts, num_carry),
        lambda: _linearize_body(program, nonzero, num_consts, num_carry),
    )
    consts, _, xs = split_operands(primals, num_consts, num_carry)
    invariant = [] if split.before is None else evaluate(split.before, [*split.before_consts, *consts])
    leading = [*split.forward_consts, *[invariant[i] for i in split.reused]]
    outs = scan_p.bind(
        *leading,
        *primals,
        program=split.forward,
        num_consts=len(leading) + num_consts,
        num_carry=num_carry,
        **rest,
    )
    count = len(program.outvars)
    values, stacked = outs[:count], outs[count:]
    avals = [v.aval for v in values]
    if not any(split.out_nonzero):
        return values, spread(split.out_nonzero, (), avals)
    sources = {"const": consts, "before": invariant, "stacked": stacked, "xs": xs}
    fixed = [source if kind == "value" else sources[kind][source] for kind, source in split.fixed]
    sliced = [sources[kind][i] for kind, i in split.sliced]
    mask = split.mask
    moving = [instantiate(t) for t in chosen(tangents, mask)]
    t_consts, t_carry, t_xs = split_operands(
        moving, sum(mask[:num_consts]), sum(mask[num_consts : num_consts + num_carry])
    )
    out_tangents = scan_p.bind(
        *fixed,
        *t_consts,
        *t_carry,
        *sliced,
        *t_xs,
        program=split.linear,
        num_consts=len(fixed) + len(t_consts),
        num_carry=len(t_carry),
        **rest,
    )
    return values, spread(split.out_nonzero, out_tangents, avals)


def _linearize_body(program: Program, nonzero: Mask, num_consts: int, num_carry: int) -> _Linearized:
    mask = carry_fixed_point(
        nonzero, num_consts, num_carry, lambda m: linearize_program(program, m).out_nonzero
    )
    parts = linearize_program(program, mask)
    primal = parts.primal
    count, first = len(program.outvars), num_consts + num_carry
    out = _Linearized()
    out.mask = mask
    out.out_nonzero = (*mask[num_consts:first], *parts.out_nonzero[num_carry:])

    # Where each residual comes from. What depends on constants only is computed once, before the loop.
    invariant_eqns, invariant = _invariants(primal, num_consts)
    computed = iter(primal.outvars[count:])
    stacked: list[Any] = []
    hoisted: list[Var] = []
    fixed: list[int] = []
    sliced: list[int] = []
    out.fixed, out.sliced = [], []
    for number, index in enumerate(parts.residual_inputs):
        atom = next(computed) if index is None else primal.invars[index]
        if type(atom) is Literal:
            fixed.append(number)
            out.fixed.append(("value", atom.value))
        elif index is not None and index < num_consts:
            fixed.append(number)
            out.fixed.append(("const", index))
        elif atom in invariant:
            fixed.append(number)
            out.fixed.append(("before", len(hoisted)))
            hoisted.append(atom)
        elif index is not None and index >= first:
            sliced.append(number)
            out.sliced.append(("xs", index - first))
        else:
            sliced.append(number)
            out.sliced.append(("stacked", len(stacked)))
            stacked.append(atom)

    out.before, out.before_consts, out.reused = None, (), []
    eqns: Sequence[Equation] = primal.eqns
    if hoisted:
        out.before = build(primal.constvars, primal.invars[:num_consts], hoisted, invariant_eqns, "before")
        out.before_consts = primal.consts
        # The body takes what was computed before it, where nothing else comes from the same equation.
        alone = {e.outvars[0] for e in invariant_eqns if len(e.outvars) == 1}
        out.reused = [i for i, v in enumerate(hoisted) if v in alone]
        taken = {hoisted[i] for i in out.reused}
        eqns = [e for e in eqns if taken.isdisjoint(e.outvars)]
    leading = [*primal.constvars, *[hoisted[i] for i in out.reused]]
    out.forward = build(leading, primal.invars, [*primal.outvars[:count], *stacked], eqns, program.name)
    out.forward_consts = primal.consts

    residuals = len(parts.residual_inputs)
    place = positions(mask, residuals)
    ins = [
        *fixed,
        *[p for p in place[:first] if p is not None],
        *sliced,
        *[p for p in place[first:] if p is not None],
    ]
    outs = with_tangents(program.out_avals, parts.out_nonzero, out.out_nonzero, num_carry, 0, primals=False)
    out.linear, _ = rewired(parts.linear, ins, outs)
    return out


def _invariants(program: Program, num_consts: int) -> tuple[list[Equation], set[Any]]:
    """The equations that depend on nothing but constants, and the variables known before the loop."""
    known: set[Any] = {*program.constvars, *program.invars[:num_consts]}
    eqns = []
    for eqn in program.eqns:
        if all(type(v) is Literal or v in known for v in eqn.invars) and not has_effect(eqn):
            eqns.append(eqn)
            known.update(eqn.outvars)
    return eqns, known


# Transposition ------------------------------------------------------------------------------------


def _transpose(
    cts: Sequence[Any],
    *args: Any,
    program: Program,
    reverse: bool,
    num_consts: int,
    num_carry: int,
    **rest: Any,
) -> list[Any]:
    linear = tuple(type(a) is rules.Linear for a in args)
    ct_nonzero = nonzero_of(cts)
    plan: _Transposed = derived(
        program,
        ("transpose", linear, ct_nonzero, num_consts, num_carry),
        lambda: _transpose_body(program, linear, ct_nonzero, num_consts, num_carry),
    )
    consts, carry, xs = split_operands(args, num_consts, num_carry)
    lin_consts, _, lin_xs = split_operands(linear, num_consts, num_carry)
    known_consts = [c for c, lin in zip(consts, lin_consts, strict=True) if not lin]
    known_xs = [x for x, lin in zip(xs, lin_xs, strict=True) if not lin]
    if plan.known is not None:
        # Carries that do not depend on linear operands are run forward; their values are slices from here on.
        known_carry = [c for c, lin in zip(carry, plan.linear_carry, strict=True) if not lin]
        outs = scan_p.bind(
            *known_consts,
            *known_carry,
            *known_xs,
            program=plan.known,
            reverse=reverse,
            num_consts=len(known_consts),
            num_carry=len(known_carry),
            **rest,
        )
        known_xs = known_xs + outs[len(known_carry) :]
    ct_carry = [
        instantiate(ct)
        for ct, lin, nz in zip(cts, plan.linear_carry, plan.ct_carry, strict=False)
        if lin and nz
    ]
    ct_ys = chosen(cts[num_carry:], plan.ct_ys)
    sums = [zeros(c.aval) for c in chosen(chosen(consts, lin_consts), plan.ct_consts)]
    leading = [*plan.consts, *known_consts]
    outs = scan_p.bind(
        *leading,
        *sums,
        *ct_carry,
        *known_xs,
        *ct_ys,
        program=plan.program,
        reverse=not reverse,
        num_consts=len(leading),
        num_carry=len(sums) + len(ct_carry),
        **rest,
    )
    rest_outs = iter(outs)
    out: list[Any] = []
    flags = iter(plan.ct_consts)
    out += [next(rest_outs) if lin and next(flags) else None for lin in lin_consts]
    for value, lin, nz in zip(carry, plan.linear_carry, plan.ct_carry, strict=True):
        ct = next(rest_outs) if lin and nz else None
        out.append(ct if type(value) is rules.Linear else None)
    flags = iter(plan.ct_xs)
    out += [next(rest_outs) if lin and next(flags) else None for lin in lin_xs]
    return out


class _Transposed:
    """A body transposed.

    Attributes:
        linear_carry: which carries depend on linear operands.
        known: the body of the other carries, whose outputs are their values in each iteration; or None.
        program: the transposed body; takes `consts` first.
        ct_consts, ct_carry, ct_xs: which linear constants, carries and linear slices have cotangents.
        ct_ys: which outputs' cotangents the body takes.
    """

    __slots__ = ("linear_carry", "known", "program", "consts", "ct_consts", "ct_carry", "ct_xs", "ct_ys")

    linear_carry: Mask
    known: Program | None
    program: Program
    consts: tuple[Any, ...]
    ct_consts: Mask
    ct_carry: Mask
    ct_xs: Mask
    ct_ys: Mask


def _transpose_body(
    program: Program, linear: Mask, ct_nonzero: Mask, num_consts: int, num_carry: int
) -> _Transposed:
    first = num_consts + num_carry
    lin_consts, lin_init, lin_xs = linear[:num_consts], linear[num_consts:first], linear[first:]
    out = _Transposed()
    inexact = [a.tangent is a for a in program.out_avals]
    out.linear_carry = grow_mask(
        lin_init,
        lambda carry: [
            d and i
            for d, i in zip(
                depends_on(program, (*lin_consts, *carry, *lin_xs))[:num_carry], inexact, strict=False
            )
        ],
    )
    dependent = depends_on(program, (*lin_consts, *out.linear_carry, *lin_xs))
    out.known = _known_body(program, linear, out.linear_carry, num_consts, num_carry)

    # The body as one of linear carries only: known carries come as further slices.
    lin_carry = out.linear_carry
    carries = range(num_consts, first)
    ins = [
        *range(num_consts),
        *[i for i, lin in zip(carries, lin_carry, strict=True) if lin],
        *range(first, len(program.invars)),
        *[i for i, lin in zip(carries, lin_carry, strict=True) if not lin],
    ]
    ys = [i for i in range(num_carry, len(program.outvars)) if dependent[i] and ct_nonzero[i]]
    out.ct_ys = tuple(i in ys for i in range(num_carry, len(program.outvars)))
    outs = [i for i, lin in enumerate(lin_carry) if lin] + ys
    body, _ = rewired(program, ins, outs)
    count = sum(lin_carry)
    body_linear = (*lin_consts, *([True] * count), *lin_xs, *([False] * (num_carry - count)))

    def transposed(ct_carry: Mask) -> tuple[Program, Mask]:
        return transpose_program(body, body_linear, (*ct_carry, *([True] * len(ys))))

    n_consts = sum(lin_consts)
    start = [nz for nz, lin in zip(ct_nonzero[:num_carry], lin_carry, strict=True) if lin]
    mask = grow_mask(start, lambda ct_carry: transposed(ct_carry)[1][n_consts : n_consts + count])
    back, nonzero = transposed(mask)
    out.ct_consts = nonzero[:n_consts]
    flags = iter(mask)
    out.ct_carry = tuple(lin and next(flags) for lin in lin_carry)
    out.ct_xs = nonzero[n_consts + count :]
    out.consts = back.consts

    # In: known constants, known slices, cotangents of the carry, cotangents of outputs.
    # Out: sums of the constants' cotangents, cotangents of the carry, cotangents of slices.
    known = len(body_linear) - sum(body_linear)
    known_consts = num_consts - n_consts
    in_consts, in_xs = back.invars[:known_consts], back.invars[known_consts:known]
    in_carry, in_ys = back.invars[known : known + sum(mask)], back.invars[known + sum(mask) :]
    eqns = list(back.eqns)
    results = iter(back.outvars)
    sums = [Var(a) for a in chosen(chosen(program.in_avals[:num_consts], lin_consts), out.ct_consts)]
    new_sums = [sum_atom(s, next(results), eqns) for s in sums]
    carry_avals = chosen(program.in_avals[num_consts:first], lin_carry)
    new_carry = []
    for aval, taken, found in zip(carry_avals, mask, nonzero[n_consts : n_consts + count], strict=True):
        if taken:
            new_carry.append(next(results) if found else zero_atom(aval, eqns))
    out.program = build(
        back.constvars,
        [*in_consts, *sums, *in_carry, *in_xs, *in_ys],
        [*new_sums, *new_carry, *results],
        eqns,
        program.name,
    )
    return out


def _known_body(
    program: Program, linear: Mask, linear_carry: Mask, num_consts: int, num_carry: int
) -> Program | None:
    """The part of the body that computes the carries without linear operands, giving out their values."""
    if all(linear_carry):
        return None
    first = num_consts + num_carry
    keep = [i for i in range(num_consts) if not linear[i]]
    carries = [i for i, lin in enumerate(linear_carry) if not lin]
    keep += [num_consts + i for i in carries]
    keep += [i for i in range(first, len(program.invars)) if not linear[i]]
    outs = [program.outvars[i] for i in carries] + [program.invars[num_consts + i] for i in carries]
    # Effects took place when the values were computed.
    return eliminate_dead_code(
        Program([program.invars[i] for i in keep], outs, program.eqns, name="known"), keep_effects=False
    )


rules.linearize[scan_p] = _linearize
rules.transpose[scan_p] = _transpose
