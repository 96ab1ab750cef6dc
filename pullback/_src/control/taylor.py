"""Power series through calls and control flow: the programs that they run are those of `jet_program`.

Loops carry the coefficients along; which carries move is a fixed point, as in forward mode. Functions with a
derivative rule of the user's (custom_jvp, custom_vjp) need nothing here: their series follow from that rule,
so that Taylor mode and nested forward mode agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core import rules
from ..core.aval import ShapedArray
from ..core.call import jit_p
from ..core.evaluate import evaluate
from ..core.program import Program
from ..ops.structural import instantiate, zeros
from ..transforms.jet import Terms, jet, jet_program, join
from .checkpoint import checkpoint_p
from .chunks import OfChunk
from .common import Mask, rewired, union, with_common_consts
from .cond_rules import Branches, cond_p
from .counted import loop_p, loop_tangent_p
from .custom_vmap import custom_vmap_call_p
from .loop_adjoint import loop_adjoint_mapped_p, loop_adjoint_p, loop_adjoint_tangent_p
from .scan_rules import derived, grow_mask, scan_p
from .while_reverse import loop_record_p
from .while_rules import while_p

AllTerms = Sequence[Terms | None]
Pushed = tuple[list[Any], list[Terms | None]]


def _moving(terms: AllTerms) -> Mask:
    return tuple(t is not None for t in terms)


def _flat(terms: AllTerms, values: Sequence[Any], mask: Sequence[bool], order: int) -> list[Any]:
    """The coefficients of the marked values, one after the other; zeros where there are none."""
    out: list[Any] = []
    for t, v, m in zip(terms, values, mask, strict=True):
        if m:
            out += [zeros(v.aval.tangent)] * order if t is None else map(instantiate, t)
    return out


def _places(found: Sequence[bool], order: int) -> list[list[int] | None]:
    """For each value, where a program of `jet_program` has its coefficients among operands or results."""
    places: list[list[int] | None] = []
    start = len(found)
    for m in found:
        places.append(list(range(start, start + order)) if m else None)
        start += order if m else 0
    return places


def _chosen(
    places: Sequence[list[int] | None], avals: Sequence[ShapedArray], wanted: Sequence[bool], order: int
) -> list[int | ShapedArray]:
    """The places of the wanted values' coefficients; types, which stand for zeros, of those without."""
    out: list[int | ShapedArray] = []
    for place, aval, m in zip(places, avals, wanted, strict=True):
        if m:
            out += [aval.tangent] * order if place is None else place
    return out


# Calls ------------------------------------------------------------------------------------------------


def _call(primitive: Any, key: str) -> rules.Rule:
    def rule(order: int, values: Sequence[Any], terms: AllTerms, **params: Any) -> Pushed:
        mask = _moving(terms)
        program, out_mask = jet_program(params[key], order, mask)
        operands = [*values, *_flat(terms, values, mask, order)]
        return join(primitive.bind(*operands, **{**params, key: program}), out_mask, order)

    return rule


def _custom_vmap(
    order: int, values: Sequence[Any], terms: AllTerms, *, call_jaxpr: Any, **params: Any
) -> Pushed:
    def run(*args: Any) -> Sequence[Any]:
        return evaluate(call_jaxpr, args) if isinstance(call_jaxpr, Program) else call_jaxpr(*args)

    return jet(run, values, terms, order)


def _counted(
    order: int, values: Sequence[Any], terms: AllTerms, *, program: Program, **params: Any
) -> Pushed:
    return jet(lambda *xs: evaluate(program, xs), values, terms, order)


# cond -------------------------------------------------------------------------------------------------


def _cond(order: int, values: Sequence[Any], terms: AllTerms, *, branches: Branches) -> Pushed:
    operands, mask = values[1:], _moving(terms[1:])
    key = ("jet of cond", branches, order, mask)
    found = branches[0].memo.get(key)
    if found is None:
        found = branches[0].memo[key] = _jet_branches(branches, order, mask)
    pushed, consts, out_mask = found
    flat = _flat(terms[1:], operands, mask, order)
    return join(cond_p.bind(values[0], *consts, *operands, *flat, branches=pushed), out_mask, order)


def _jet_branches(branches: Branches, order: int, mask: Mask) -> tuple[Branches, list[Any], Mask]:
    pushed = [jet_program(b, order, mask) for b in branches]
    out_mask = union([m for _, m in pushed])
    avals = branches[0].out_avals
    pairs = []
    for program, found in pushed:
        outs = [*range(len(avals)), *_chosen(_places(found, order), avals, out_mask, order)]
        pairs.append(rewired(program, range(len(program.invars)), outs))
    return *with_common_consts(pairs), out_mask


# scan -------------------------------------------------------------------------------------------------


def _scan(
    order: int,
    values: Sequence[Any],
    terms: AllTerms,
    *,
    program: Program,
    num_consts: int,
    num_carry: int,
    **rest: Any,
) -> Pushed:
    first = num_consts + num_carry
    given = _moving(terms)
    pushed, extra, mask, out_mask = derived(
        program,
        ("jet", order, given, num_consts, num_carry),
        lambda: _jet_body(program, order, given, num_consts, num_carry),
    )
    operands: list[Any] = [*extra]
    for start, stop in ((0, num_consts), (num_consts, first), (first, len(values))):
        part = slice(start, stop)
        operands += [*values[part], *_flat(terms[part], values[part], mask[part], order)]
    consts = len(extra) + num_consts + order * sum(mask[:num_consts])
    moved = order * sum(mask[num_consts:first])
    outs = scan_p.bind(*operands, program=pushed, num_consts=consts, num_carry=num_carry + moved, **rest)
    # Results: carry, its coefficients, outputs, their coefficients.
    n, ys = num_carry + moved, len(program.outvars) - num_carry
    ordered = [*outs[:num_carry], *outs[n : n + ys], *outs[num_carry:n], *outs[n + ys :]]
    return join(ordered, out_mask, order)


def _jet_body(
    program: Program, order: int, given: Mask, num_consts: int, num_carry: int
) -> tuple[Program, tuple[Any, ...], Mask, Mask]:
    """The body's jet in the order of a scan's operands, its constants, the masks of what moves in and out."""
    first, count = num_consts + num_carry, len(program.invars)
    before, after = given[:num_consts], given[first:]
    carry = grow_mask(
        given[num_consts:first],
        lambda carry: jet_program(program, order, (*before, *carry, *after))[1][:num_carry],
    )
    mask = (*before, *carry, *after)
    pushed, found = jet_program(program, order, mask)
    in_places, out_places = _places(mask, order), _places(found, order)
    ins: list[int | ShapedArray] = []
    for start, stop in ((0, num_consts), (num_consts, first), (first, count)):
        part = slice(start, stop)
        ins += [*range(start, stop), *_chosen(in_places[part], program.in_avals[part], mask[part], order)]
    out_mask = (*carry, *found[num_carry:])
    outs: list[int | ShapedArray] = []
    avals = program.out_avals
    for start, stop in ((0, num_carry), (num_carry, len(avals))):
        part = slice(start, stop)
        outs += [*range(start, stop), *_chosen(out_places[part], avals[part], out_mask[part], order)]
    return *rewired(pushed, ins, outs), mask, out_mask


# while ------------------------------------------------------------------------------------------------


def _while(
    order: int,
    values: Sequence[Any],
    terms: AllTerms,
    *,
    cond_program: Program,
    body_program: Program,
    cond_nconsts: int,
    body_nconsts: int,
    slots: int | OfChunk | None,
) -> Pushed:
    # The number of iterations does not depend on t: the condition sees the values only.
    first = cond_nconsts + body_nconsts
    given = _moving(terms[cond_nconsts:])
    key = ("jet of while", cond_program, body_nconsts, order, given)
    found = body_program.memo.get(key)
    if found is None:
        found = body_program.memo[key] = _jet_while(cond_program, body_program, body_nconsts, order, given)
    test, body, extra, mask = found
    consts = slice(cond_nconsts, first)
    const_terms = _flat(terms[consts], values[consts], mask[:body_nconsts], order)
    carry_mask = mask[body_nconsts:]
    outs = while_p.bind(
        *values[:cond_nconsts],
        *extra,
        *values[consts],
        *const_terms,
        *values[first:],
        *_flat(terms[first:], values[first:], carry_mask, order),
        cond_program=test,
        body_program=body,
        cond_nconsts=cond_nconsts,
        body_nconsts=len(extra) + body_nconsts + len(const_terms),
        slots=slots,
    )
    return join(outs, carry_mask, order)


def _jet_while(
    cond_program: Program, body_program: Program, body_nconsts: int, order: int, given: Mask
) -> tuple[Program, Program, tuple[Any, ...], Mask]:
    """The condition, ignoring coefficients, the body with them, its constants, and which operands move."""
    before = given[:body_nconsts]
    carry = grow_mask(
        given[body_nconsts:], lambda carry: jet_program(body_program, order, (*before, *carry))[1]
    )
    mask = (*before, *carry)
    pushed, found = jet_program(body_program, order, mask)
    places, avals = _places(mask, order), body_program.in_avals
    ins: list[int | ShapedArray] = []
    for start, stop in ((0, body_nconsts), (body_nconsts, len(avals))):
        part = slice(start, stop)
        ins += [*range(start, stop), *_chosen(places[part], avals[part], mask[part], order)]
    out_avals = body_program.out_avals
    outs = [*range(len(out_avals)), *_chosen(_places(found, order), out_avals, carry, order)]
    body, extra = rewired(pushed, ins, outs)
    moving = [a.tangent for a, m in zip(out_avals, carry, strict=True) if m for _ in range(order)]
    test, _ = rewired(cond_program, [*range(len(cond_program.invars)), *moving], [0])
    return test, body, extra, mask


rules.jet[jit_p] = _call(jit_p, "program")
rules.jet[checkpoint_p] = _call(checkpoint_p, "jaxpr")
rules.jet[custom_vmap_call_p] = _custom_vmap
rules.jet[cond_p] = _cond
rules.jet[scan_p] = _scan
rules.jet[while_p] = _while
for _primitive in (loop_p, loop_record_p, loop_tangent_p):
    rules.jet[_primitive] = _counted
for _primitive in (loop_adjoint_p, loop_adjoint_mapped_p, loop_adjoint_tangent_p):
    rules.jet[_primitive] = _counted
