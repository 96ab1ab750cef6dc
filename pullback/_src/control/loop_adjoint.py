"""Reverse mode of counted loops (`counted.py`): the adjoint, which keeps states by the binomial schedule.

States of the carry are computed again from the nearest one that was kept. With a given number of slots no
schedule runs fewer steps (`schedule.py`); the number of turns is known here, so nothing has to be guessed
while the loop runs, and forward mode keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..core import rules
from ..core.aval import shaped_array
from ..core.evaluate import evaluate
from ..core.primitive import Primitive
from ..core.program import Program
from ..ops.arithmetic import add_p, and_p, div_p, min_p, mul_p, sub_p
from ..ops.compare import ge_p, lt_p
from ..ops.convert import convert_element_type_p
from ..ops.slicing import dynamic_index_in_dim, dynamic_update_index_in_dim
from ..ops.structural import add_any_p, full, instantiate, zeros
from ..transforms.batch import Axis, batch_program
from ..transforms.linearize import linearize_program
from ..transforms.transpose import transpose_program
from .common import Mask, chosen, nonzero_of
from .counted import (
    INT,
    Loop,
    abstract_call,
    bind_tangent,
    differentiate_as,
    evaluate_call,
    integer,
    loop_tangent_p,
    loop_while,
    with_common_count,
)
from .scan_rules import split_operands

loop_adjoint_p = Primitive("loop_adjoint", multiple_results=True, call_like=True)
loop_adjoint_tangent_p = Primitive("loop_adjoint_tangent", multiple_results=True, call_like=True)


# The adjoint --------------------------------------------------------------------------------------------


def bind_adjoint(loop: Loop, mask: Mask, operands: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
    """The cotangents of the body's operands in `mask`.

    Args:
        mask: as `Loop.pushed` returns it.
        cts: the cotangents of the results that have tangents then.
    """
    program = _adjoint_program(loop, mask)
    return loop_adjoint_p.bind(*operands, *cts, loop=loop, mask=mask, program=program)


def _adjoint_program(loop: Loop, mask: Mask) -> Program:
    _, pushed = loop.pushed(mask)
    avals = [*loop.in_avals, *[a.tangent for a in chosen(loop.out_avals, pushed.out_nonzero)]]
    return loop.derived(("adjoint", mask), lambda *xs: _reverse(loop, mask, xs), avals)


def _reverse(loop: Loop, mask: Mask, args: Sequence[Any]) -> list[Any]:
    """Run the loop backwards, with states by the binomial schedule.

    One turn of the outer loop reverses one step. Before that, it goes from the last state that is kept to
    the step, and keeps states on its way as long as there are slots.
    """
    count = loop.counts + len(mask)
    num_consts, num_carry = loop.num_consts, loop.num_carry
    n = integer(loop.length) if loop.length is not None else args[0]
    slots = loop.slots if loop.length is None else max(1, min(loop.slots, loop.length))
    consts, carry, xs = split_operands(args[loop.counts : count], num_consts, num_carry)
    m_consts, m_carry, m_xs = split_operands(mask, num_consts, num_carry)
    moving, fixed = sum(m_carry), sum(m_consts)
    ct_carry, ct_ys = list(args[count : count + moving]), list(args[count + moving :])
    step = _step(loop, mask)
    one = integer(1)

    def slices(arrays: Sequence[Any], k: Any) -> list[Any]:
        at = sub_p.bind(integer((loop.length or 0) - 1), k) if loop.reverse else k
        return [dynamic_index_in_dim(a, at, 0, False, allow_negative_indices=False) for a in arrays]

    def put(arrays: Sequence[Any], values: Sequence[Any], at: Any) -> list[Any]:
        return [
            dynamic_update_index_in_dim(a, v, at, 0, allow_negative_indices=False)
            for a, v in zip(arrays, values, strict=True)
        ]

    def forward(k: Any, stop: Any, state: Sequence[Any]) -> list[Any]:
        """The state at step `stop`, from that at step k."""

        def body(i: Any, *c: Any) -> list[Any]:
            outs = evaluate(loop.program, [*consts, *c, *slices(xs, i)])
            return [add_p.bind(i, one), *outs[:num_carry]]

        return loop_while(lambda i, *_: lt_p.bind(i, stop), body, [k, *state])[1:]

    def turn(r: Any, k: Any, top: Any, steps: Any, *values: Any) -> list[Any]:
        state, kept = values[:num_carry], values[num_carry : 2 * num_carry]
        ct_carry = list(values[2 * num_carry : 2 * num_carry + moving])
        sums = values[2 * num_carry + moving : 2 * num_carry + moving + fixed]
        ct_xs = values[2 * num_carry + moving + fixed :]

        def keep(k: Any, top: Any, steps: Any, *rest: Any) -> list[Any]:
            left = sub_p.bind(add_p.bind(r, one), k)
            new = add_p.bind(k, _first_part(left, sub_p.bind(integer(slots), top)))
            state = forward(k, new, rest[:num_carry])
            top = add_p.bind(top, one)
            return [new, top, *put([steps], [new], top), *state, *put(rest[num_carry:], state, top)]

        k, top, steps, *both = loop_while(
            lambda k, top, *_: and_p.bind(lt_p.bind(k, r), lt_p.bind(top, integer(slots - 1))),
            keep,
            [k, top, steps, *state, *kept],
        )
        reached, kept = forward(k, r, both[:num_carry]), tuple(both[num_carry:])
        found = evaluate(step, [*consts, *reached, *slices(xs, r), *ct_carry, *slices(ct_ys, r)])
        at = sub_p.bind(integer((loop.length or 0) - 1), r) if loop.reverse else r
        further = [
            *found[fixed : fixed + moving],
            *[add_any_p.bind(a, b) for a, b in zip(sums, found, strict=False)],
            *put(ct_xs, found[fixed + moving :], at),
        ]
        # The state that was needed last is not needed again.
        is_used = ge_p.bind(_at(steps, top), r)
        top = sub_p.bind(top, _as_int(is_used))
        again = [dynamic_index_in_dim(a, top, 0, False, allow_negative_indices=False) for a in kept]
        return [sub_p.bind(r, one), _at(steps, top), top, steps, *again, *kept, *further]

    kept = [_with_slots(c, slots) for c in carry]
    sums = [zeros(c.aval.tangent) for c in chosen(consts, m_consts)]
    ct_xs = [zeros(x.aval.tangent) for x in chosen(xs, m_xs)]
    steps = zeros(shaped_array((slots,), INT))
    start = [sub_p.bind(n, one), integer(0), integer(0), steps, *carry, *kept, *ct_carry, *sums, *ct_xs]
    outs = loop_while(lambda r, *_: ge_p.bind(r, integer(0)), turn, start)
    rest = outs[4 + 2 * num_carry :]
    return [*rest[moving : moving + len(sums)], *rest[:moving], *rest[moving + len(sums) :]]


def _at(steps: Any, top: Any) -> Any:
    return dynamic_index_in_dim(steps, top, 0, False, allow_negative_indices=False)


def _as_int(condition: Any) -> Any:
    return convert_element_type_p.bind(condition, new_dtype=INT, weak_type=False)


def _with_slots(value: Any, slots: int) -> Any:
    """Room for `slots` values, of which the first is this one."""
    room = full((slots, *value.aval.shape), 0, value.aval.dtype)
    return dynamic_update_index_in_dim(room, value, integer(0), 0, allow_negative_indices=False)


def _first_part(steps: Any, slots: Any) -> Any:
    """`schedule.first_part` of arrays; `steps` and `slots` are at least 2."""

    def more(r: Any, reach: Any) -> list[Any]:
        r = add_p.bind(r, integer(1))
        return [r, div_p.bind(mul_p.bind(reach, add_p.bind(slots, r)), r)]

    r, reach = loop_while(lambda r, reach: lt_p.bind(reach, steps), more, [integer(0), integer(1)])
    reach_before = div_p.bind(mul_p.bind(reach, r), add_p.bind(slots, r))
    reach_fewer = div_p.bind(mul_p.bind(reach, slots), add_p.bind(slots, r))
    both = sub_p.bind(add_p.bind(slots, r), integer(1))
    return min_p.bind(reach_before, sub_p.bind(steps, div_p.bind(mul_p.bind(reach_fewer, r), both)))


def _step(loop: Loop, mask: Mask) -> Program:
    """(constants, carry, slices, cotangents of results with tangents) -> cotangents of those in `mask`."""
    program = loop.program
    parts = linearize_program(program, mask)
    _, pushed = loop.pushed(mask)
    avals = program.in_avals
    outs = chosen(program.out_avals, pushed.out_nonzero)

    def run(*args: Any) -> list[Any]:
        operands, cts = args[: len(avals)], list(args[len(avals) :])
        values = evaluate(parts.primal, operands)
        residuals = parts.residuals(operands, values[len(program.outvars) :])
        # A carry may have a tangent at first only.
        wanted = chosen(parts.out_nonzero, pushed.out_nonzero)
        linear = (False,) * len(residuals) + (True,) * sum(mask)
        back, nonzero = transpose_program(parts.linear, linear, (True,) * sum(wanted))
        found = iter(evaluate(back, [*residuals, *chosen(cts, wanted)]))
        moving = chosen(avals, mask)
        return [next(found) if nz else zeros(a.tangent) for a, nz in zip(moving, nonzero, strict=True)]

    return loop.derived(("step", mask), run, [*avals, *[a.tangent for a in outs]])


def _transpose_tangent(cts: Sequence[Any], *args: Any, loop: Loop, mask: Mask, program: Program) -> list[Any]:
    count = loop.counts + len(mask)
    outs = bind_adjoint(loop, mask, args[:count], [instantiate(ct) for ct in cts])
    return [None] * count + outs


# Its derivative -----------------------------------------------------------------------------------------


def _along(
    loop: Loop,
    inner: Mask,
    outer: Mask,
    operands: Sequence[Any],
    cts: Sequence[Any],
    moving: Sequence[Any],
    ct_moving: Sequence[Any] | None,
) -> list[Any]:
    """The derivative of the adjoint with respect to the operands in `inner`.

    Args:
        cts: the adjoint's cotangents, w.
        moving: the tangents of the operands in `outer`, du.
        ct_moving: the tangents of w, or None if they are zero.
    """
    c = loop.counts
    further, pushed = loop.pushed(outer)
    _, inner_pushed = loop.pushed(inner)
    both = pushed.operands(operands[c:], moving, loop.num_consts, loop.num_carry)
    # The operands of `further` that are those of `loop` in `inner`.
    flags = pushed.operands(inner, [False] * sum(outer), loop.num_consts, loop.num_carry)
    flags = [False] * len(pushed.extra) + flags[len(pushed.extra) :]
    _, result = further.pushed(tuple(flags))
    zero = [zeros(ct.aval) for ct in cts]
    by_place = _placed(inner_pushed.out_nonzero, list(zip(ct_moving or zero, cts, strict=True)))
    # In the order of the results of `further`: those of values get dw, those of tangents w.
    n = loop.num_carry
    given: list[Any] = []
    for begin, end in ((0, n), (n, len(by_place))):
        given += [None if p is None else p[0] for p in by_place[begin:end]]
        given += [
            None if p is None else p[1]
            for p, nz in zip(by_place[begin:end], pushed.out_nonzero[begin:end], strict=True)
            if nz
        ]
    wanted = [
        zeros(a.tangent) if g is None else g
        for g, a, nz in zip(given, further.out_avals, result.out_nonzero, strict=True)
        if nz
    ]
    outs = bind_adjoint(further, result.mask, [*operands[:c], *both], wanted)
    return chosen(outs, chosen(flags, result.mask))


def _placed(mask: Sequence[bool], values: Sequence[Any]) -> list[Any]:
    rest = iter(values)
    return [next(rest) if m else None for m in mask]


def _adjoint_transpose(cts: Sequence[Any], *args: Any, loop: Loop, mask: Mask, program: Program) -> list[Any]:
    operands, w = _adjoint_parts(loop, mask, args)
    outs = bind_tangent(loop, mask, operands, [instantiate(ct) for ct in cts])
    return [*[None] * (len(args) - len(w)), *outs]


def _adjoint_parts(loop: Loop, mask: Mask, args: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
    count = loop.counts + len(mask)
    return args[:count], args[count:]


def _adjoint_directions(
    loop: Loop, mask: Mask, tangents: Sequence[Any]
) -> tuple[Mask, list[Any], list[Any] | None]:
    """The operands with tangents, their tangents, and those of the cotangents."""
    moving, ct_moving = _adjoint_parts(loop, mask, tangents)
    _, pushed = loop.pushed(nonzero_of(moving[loop.counts :]))
    given = [instantiate(t) for t in chosen(moving[loop.counts :], pushed.mask)]
    further = [instantiate(t) for t in ct_moving] if any(nonzero_of(ct_moving)) else None
    return pushed.mask, given, further


def _adjoint_along(
    along: Callable[..., list[Any]],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    loop: Loop,
    mask: Mask,
) -> tuple[list[Any], list[Any]]:
    """The adjoint and its tangents; `along` gives them if operands of the loop have tangents."""
    operands, cts = _adjoint_parts(loop, mask, primals)
    outer, moving, ct_moving = _adjoint_directions(loop, mask, tangents)
    values = bind_adjoint(loop, mask, operands, cts)
    if any(outer):
        return values, along(loop, mask, outer, operands, cts, moving, ct_moving)
    assert ct_moving is not None
    return values, bind_adjoint(loop, mask, operands, ct_moving)


def _bind_along(
    loop: Loop,
    inner: Mask,
    outer: Mask,
    operands: Sequence[Any],
    cts: Sequence[Any],
    moving: Sequence[Any],
    ct_moving: Sequence[Any] | None,
) -> list[Any]:
    args = [*operands, *cts, *moving, *(ct_moving or ())]
    params: dict[str, Any] = {
        "loop": loop,
        "inner": inner,
        "outer": outer,
        "both": ct_moving is not None,
    }
    program = loop.derived(
        ("adjoint tangent", inner, outer, ct_moving is not None),
        lambda *xs: _along_again(*xs, **params),
        [a.aval for a in args],
    )
    return loop_adjoint_tangent_p.bind(*args, program=program, **params)


def _along_again(*args: Any, loop: Loop, inner: Mask, outer: Mask, both: bool, **_: Any) -> list[Any]:
    operands, cts, moving, ct_moving = _along_parts(args, loop, inner, outer)
    return _along(loop, inner, outer, operands, cts, moving, ct_moving if both else None)


def _along_parts(
    args: Sequence[Any], loop: Loop, inner: Mask, outer: Mask
) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any], Sequence[Any]]:
    _, pushed = loop.pushed(inner)
    first = loop.counts + len(inner)
    second = first + sum(pushed.out_nonzero)
    third = second + sum(outer)
    return args[:first], args[first:second], args[second:third], args[third:]


def _along_transpose(
    cts: Sequence[Any], *args: Any, loop: Loop, inner: Mask, outer: Mask, both: bool, **_: Any
) -> list[Any]:
    """Second derivatives are symmetric: what was the direction becomes what is differentiated."""
    operands, w = _along_parts(args, loop, inner, outer)[:2]
    v = [instantiate(ct) for ct in cts]
    pushed = loop.pushed(outer)[1]
    out: list[Any] = [None] * (len(operands) + len(w))
    # w belongs to the results that have tangents along `inner`; those along `outer` may be others.
    by_place = _placed(loop.pushed(inner)[1].out_nonzero, w)
    own = [
        zeros(a.tangent) if ct is None else ct
        for ct, a, nz in zip(by_place, loop.out_avals, pushed.out_nonzero, strict=True)
        if nz
    ]
    out += _bind_along(loop, outer, inner, operands, own, v, None)
    if both:
        out += bind_tangent(loop, inner, operands, v)
    return out


# Batching -----------------------------------------------------------------------------------------------


def _adjoint_batch(
    axis: Axis,
    values: Sequence[Any],
    dims: Sequence[int | None],
    *,
    loop: Loop,
    mask: Mask,
    program: Program,
) -> tuple[list[Any], list[int | None]]:
    if loop.length is None and dims[0] is not None:
        count = 1 + len(mask)
        lanes, operands, operand_dims = with_common_count(loop, values[:count], dims[:count])
        n = loop.num_consts
        mask = (False, *mask[:n], False, *mask[n:])
        program = _adjoint_program(lanes, mask)
        values, dims = [*operands, *values[count:]], [*operand_dims, *dims[count:]]
    batched, out_dims = batch_program(program, axis, tuple(dims))
    return evaluate(batched.with_consts_as_literals(), values), list(out_dims)


rules.transpose[loop_tangent_p] = _transpose_tangent

rules.evaluate[loop_adjoint_p] = evaluate_call
rules.abstract[loop_adjoint_p] = abstract_call
rules.jvp[loop_adjoint_p] = lambda primals, tangents, *, loop, mask, program: _adjoint_along(
    _along, primals, tangents, loop, mask
)
rules.linearize[loop_adjoint_p] = lambda trace, primals, tangents, *, loop, mask, program: _adjoint_along(
    _bind_along, primals, tangents, loop, mask
)
rules.batch[loop_adjoint_p] = _adjoint_batch
rules.transpose[loop_adjoint_p] = _adjoint_transpose

rules.evaluate[loop_adjoint_tangent_p] = evaluate_call
rules.abstract[loop_adjoint_tangent_p] = abstract_call
rules.transpose[loop_adjoint_tangent_p] = _along_transpose
differentiate_as(loop_adjoint_tangent_p, _along_again)
