"""Reverse mode of counted loops (`counted.py`): the adjoint, which keeps states by the binomial schedule.

States of the carry are computed again from the nearest one that is kept. At first that is the initial state,
or there are several from when the loop ran (`online.py`); from there on no schedule runs fewer steps
(`schedule.py`). Derivatives of the adjoint begin with the initial state alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..core import rules
from ..core.array import wrap
from ..core.aval import ShapedArray, shaped_array
from ..core.call import executable
from ..core.evaluate import evaluate
from ..core.primitive import Primitive
from ..core.program import Program
from ..core.staging import stage
from ..ops.arithmetic import add_p, and_p, div_p, min_p, mul_p, sub_p
from ..ops.compare import ge_p, le_p, lt_p
from ..ops.empty import empty
from ..ops.iota import iota_p
from ..ops.structural import add_any_p, instantiate, zeros
from ..transforms.batch import Axis, batch_program, to_dim
from ..transforms.linearize import linearize_program
from ..transforms.transpose import transpose_program
from .chunks import chunk_of_lanes, lanes_in_chunks
from .common import Mask, chosen, nonzero_of
from .counted import (
    COUNT,
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
from .online import as_int, element, newest_before, put
from .scan_rules import batched_loop, split_operands

loop_adjoint_p = Primitive("loop_adjoint", multiple_results=True, call_like=True)
loop_adjoint_tangent_p = Primitive("loop_adjoint_tangent", multiple_results=True, call_like=True)
loop_adjoint_mapped_p = Primitive("loop_adjoint_mapped", multiple_results=True, call_like=True)


# The adjoint --------------------------------------------------------------------------------------------


def bind_adjoint(loop: Loop, mask: Mask, operands: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
    """The cotangents of the body's operands in `mask`.

    Args:
        mask: as `Loop.pushed` returns it.
        cts: the cotangents of the results that have tangents then.
    """
    program = _adjoint_program(loop, mask)
    return loop_adjoint_p.bind(*operands, *cts, loop=loop, mask=mask, program=program)


def _adjoint_program(loop: Loop, mask: Mask, given: bool = False) -> Program:
    _, pushed = loop.pushed(mask)
    avals = [*loop.in_avals, *[a.tangent for a in chosen(loop.out_avals, pushed.out_nonzero)]]
    return loop.derived(("adjoint", mask, given), lambda *xs: _reverse(loop, mask, xs, given), avals)


def _evaluate_adjoint(*args: Any, loop: Loop, mask: Mask, program: Program) -> list[Any]:
    return executable(_adjoint_program(loop, mask, True) if loop.recorded else program)(args)


class Parts(NamedTuple):
    """What the adjoint runs: the body, and its adjoint as `_step` has it.

    Attributes:
        sums: the types of the cotangents of the constants in the mask.
        slices: those of the slices in the mask, with all turns along the first dimension.
    """

    body: Callable[[Sequence[Any]], list[Any]]
    step: Callable[[Sequence[Any]], list[Any]]
    sums: Sequence[ShapedArray]
    slices: Sequence[ShapedArray]


def _parts(loop: Loop, mask: Mask) -> Parts:
    step = _step(loop, mask)
    m_consts, _, m_xs = split_operands(mask, loop.num_consts, loop.num_carry)
    consts, _, xs = split_operands(loop.in_avals[loop.counts :], loop.num_consts, loop.num_carry)
    return Parts(
        lambda values: evaluate(loop.program, values),
        lambda values: evaluate(step, values),
        [a.tangent for a in chosen(consts, m_consts)],
        [a.tangent for a in chosen(xs, m_xs)],
    )


def _reverse(
    loop: Loop, mask: Mask, args: Sequence[Any], given: bool, parts: Parts | None = None
) -> list[Any]:
    """Run the loop backwards, with states by the binomial schedule.

    One turn of the outer loop reverses one step. Before that, it goes from the last state that is kept to
    the step, and keeps states on its way as long as there are slots.

    Args:
        given: whether the states that were kept are arguments, which have to be copied, and not from the same
            program, whose memory they may share.
        parts: what is run, for operands that belong to it; else those of the loop.
    """
    parts = parts or _parts(loop, mask)
    count = loop.counts + len(mask)
    num_consts, num_carry = loop.num_consts, loop.num_carry
    n = integer(loop.length) if loop.length is not None else args[0]
    slots = loop.slots if loop.length is None else max(1, min(loop.slots, loop.length))
    consts, carry, xs = split_operands(args[loop.counts : count], num_consts, num_carry)
    m_consts, m_carry, _ = split_operands(mask, num_consts, num_carry)
    moving, fixed = sum(m_carry), sum(m_consts)
    ct_carry, ct_ys = list(args[count : count + moving]), list(args[count + moving :])
    one = integer(1)

    def slices(arrays: Sequence[Any], k: Any) -> list[Any]:
        at = sub_p.bind(integer((loop.length or 0) - 1), k) if loop.reverse else k
        return [element(a, at) for a in arrays]

    def forward(k: Any, stop: Any, state: Sequence[Any]) -> list[Any]:
        """The state at step `stop`, from that at step k."""

        def body(i: Any, *c: Any) -> list[Any]:
            outs = parts.body([*consts, *c, *slices(xs, i)])
            return [add_p.bind(i, one), *outs[:num_carry]]

        return loop_while(lambda i, *_: lt_p.bind(i, stop), body, [k, *state])[1:]

    def turn(r: Any, k: Any, top: Any, steps: Any, *values: Any) -> list[Any]:
        state, kept = values[:num_carry], values[num_carry : 2 * num_carry]
        ct_carry = list(values[2 * num_carry : 2 * num_carry + moving])
        sums = values[2 * num_carry + moving : 2 * num_carry + moving + fixed]
        ct_xs = values[2 * num_carry + moving + fixed :]

        def keep(k: Any, top: Any, steps: Any, *rest: Any) -> list[Any]:
            left = sub_p.bind(add_p.bind(r, one), k)
            free = sub_p.bind(integer(slots), top)
            new = add_p.bind(k, evaluate(_first_part_program(), [left, free])[0])
            state = forward(k, new, rest[:num_carry])
            top = add_p.bind(top, one)
            slot = element(order, top)
            return [new, top, *put([steps], [new], slot), *state, *put(rest[num_carry:], state, slot)]

        k, top, steps, *both = loop_while(
            lambda k, top, *_: and_p.bind(lt_p.bind(k, r), lt_p.bind(top, integer(slots - 1))),
            keep,
            [k, top, steps, *state, *kept],
        )
        reached, kept = forward(k, r, both[:num_carry]), tuple(both[num_carry:])
        found = parts.step([*consts, *reached, *slices(xs, r), *ct_carry, *slices(ct_ys, r)])
        at = sub_p.bind(integer((loop.length or 0) - 1), r) if loop.reverse else r
        further = [
            *found[fixed : fixed + moving],
            *[add_any_p.bind(a, b) for a, b in zip(sums, found, strict=False)],
            *put(ct_xs, found[fixed + moving :], at),
        ]
        # The state that was needed last is not needed again.
        is_used = ge_p.bind(element(steps, element(order, top)), r)
        top = sub_p.bind(top, as_int(is_used))
        slot = element(order, top)
        again = [element(a, slot) for a in kept]
        return [sub_p.bind(r, one), element(steps, slot), top, steps, *again, *kept, *further]

    if loop.recorded:
        number, order, steps, *kept = args[1 : loop.counts]
        top = newest_before(n, number, order, steps)
        slot = element(order, top)
        k, carry = element(steps, slot), _apart([element(a, slot) for a in kept])
        if given:
            kept = _copied(kept, order, top)
    else:
        order, steps = iota_p.bind(dtype=INT, shape=(slots,), dimension=0), zeros(shaped_array((slots,), INT))
        kept = [_with_slots(c, slots) for c in carry]
        top = k = integer(0)
    sums = [zeros(a) for a in parts.sums]
    ct_xs = [zeros(a) for a in parts.slices]
    start = [sub_p.bind(n, one), k, top, steps, *carry, *kept, *ct_carry, *sums, *ct_xs]
    outs = loop_while(lambda r, *_: ge_p.bind(r, integer(0)), turn, start)
    rest = outs[4 + 2 * num_carry :]
    return [*rest[moving : moving + len(sums)], *rest[:moving], *rest[moving + len(sums) :]]


def _with_slots(value: Any, slots: int) -> Any:
    """Room for `slots` values, of which the first is this one."""
    return put([empty((slots, *value.aval.shape), value.aval.dtype)], [value], integer(0))[0]


def _apart(values: Sequence[Any]) -> list[Any]:
    """The values, of which engines know that they are not in the memory of what they were taken from."""
    never = wrap(np.asarray(False))
    return loop_while(lambda more, *_: more, lambda more, *kept: [more, *kept], [never, *values])[1:]


def _copied(states: Sequence[Any], order: Any, top: Any) -> list[Any]:
    """The states in the slots up to place `top` of the order, in memory that is not written otherwise."""

    def copy(place: Any, *copies: Any) -> list[Any]:
        slot = element(order, place)
        following = add_p.bind(place, integer(1))
        return [following, *put(copies, [element(a, slot) for a in states], slot)]

    room = [empty(a.aval.shape, a.aval.dtype) for a in states]
    return loop_while(lambda place, *_: le_p.bind(place, top), copy, [integer(0), *room])[1:]


@lru_cache(maxsize=1)
def _first_part_program() -> Program:
    program = stage(lambda *xs: [_first_part(*xs)], [COUNT, COUNT], name="first_part")
    return program.with_consts_as_literals()


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
    operands: Sequence[Any],
    inner: Mask,
    outer: Mask,
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
        return values, along(*loop.unrecorded(operands), mask, outer, cts, moving, ct_moving)
    assert ct_moving is not None
    return values, bind_adjoint(loop, mask, operands, ct_moving)


def _bind_along(
    loop: Loop,
    operands: Sequence[Any],
    inner: Mask,
    outer: Mask,
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
    return _along(loop, operands, inner, outer, cts, moving, ct_moving if both else None)


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
    out += _bind_along(loop, operands, outer, inner, own, v, None)
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
    by_lane = loop.length is None and dims[0] is not None
    avals, programs = loop.program.out_avals, (loop.program,)
    # The chunks of the first run have kept no states.
    apart = by_lane and chunk_of_lanes(axis, avals, programs) is not None
    # Beside each state there is its cotangent.
    size = chunk_of_lanes(axis, avals, programs, 2) if apart else None
    if loop.recorded and (apart or any(d is not None for d in dims[1:4])):
        # Each lane has slots of its own: not what a loop over lanes has kept.
        dims = loop.unrecorded(dims)[1]
        loop, values = loop.unrecorded(values)
        program = _adjoint_program(loop, mask)
    if size is not None:
        params = {"loop": loop, "mask": mask, "program": program}
        return lanes_in_chunks(loop_adjoint_p, axis, values, dims, size, params, loop.program.memo)
    if by_lane:
        count = loop.counts + len(mask)
        loop, operands, operand_dims = with_common_count(loop, values[:count], dims[:count])
        first = loop.num_consts - 1
        mask = (False, *mask[:first], False, *mask[first:])
        values, dims = [*operands, *values[count:]], [*operand_dims, *dims[count:]]
    if not loop.recorded:
        batched, out_dims = _lanes_program(loop, mask, axis, values, dims)
        return evaluate(batched, values), out_dims
    return _of_lanes(axis, values, dims, Lanes(loop, mask, ()))


def _lanes_program(
    loop: Loop, mask: Mask, axis: Axis, values: Sequence[Any], dims: Sequence[int | None]
) -> tuple[Program, list[int | None]]:
    """The adjoint of lanes that take the same number of turns, and the mapped dimensions of its results.

    Slots are the first dimension of states and lanes the second, so a state is written in one piece.
    """
    avals = [v.aval for v in values]
    key = ("adjoint of lanes", mask, axis.size, axis.name, tuple(dims), tuple(avals))
    program = loop.derived(key, lambda *xs: _reverse_lanes(loop, mask, axis, xs, dims), avals)
    first = sum(mask[: loop.num_consts + loop.num_carry])
    return program, [0 if k < first else 1 for k in range(sum(mask))]


def _reverse_lanes(
    loop: Loop, mask: Mask, axis: Axis, args: Sequence[Any], dims: Sequence[int | None]
) -> list[Any]:
    first, count = loop.counts, loop.counts + len(mask)
    num_consts, num_carry = loop.num_consts, loop.num_carry
    operands, at = list(args[first:count]), list(dims[first:count])
    kept, kept_at = args[first - num_carry : first], dims[first - num_carry : first]
    if loop.recorded:
        for k, d in enumerate(kept_at, num_consts):
            if d is not None and at[k] is None:
                operands[k], at[k] = to_dim(operands[k], None, 0, axis.size), 0
    batched = batched_loop(axis, operands, at, loop.program, num_consts, num_carry)
    extra = batched.operands[: batched.num_consts - num_consts]
    carried = batched.out_dims[:num_carry]
    const_dims, _, x_dims = split_operands(at, num_consts, num_carry)
    slice_dims = [None if d is None else max(d - 1, 0) for d in x_dims]
    plain = _step(loop, mask)
    rest = len(plain.invars) - len(mask)
    step, _ = batch_program(
        plain, axis, (*const_dims, *carried, *slice_dims, *[0] * rest), (0,) * len(plain.outvars)
    )
    inner = _parts(loop, mask)
    parts = Parts(
        lambda values: evaluate(batched.program, [*extra, *values]),
        lambda values: evaluate(step.with_consts_as_literals(), values),
        [_of_all(a, 0, axis.size) for a in inner.sums],
        [_of_all(a, 1, axis.size) for a in inner.slices],
    )
    head = list(args[:first])
    if loop.recorded:
        head[first - num_carry :] = [
            x if c is None else to_dim(x, d, 1, axis.size)
            for x, d, c in zip(kept, kept_at, carried, strict=True)
        ]
    moving = sum(mask[num_consts : num_consts + num_carry])
    cts = [
        to_dim(ct, d, 0 if k < moving else 1, axis.size)
        for k, (ct, d) in enumerate(zip(args[count:], dims[count:], strict=True))
    ]
    return _reverse(loop, mask, [*head, *batched.operands[len(extra) :], *cts], False, parts)


def _of_all(aval: ShapedArray, dim: int, size: int) -> ShapedArray:
    return shaped_array((*aval.shape[:dim], size, *aval.shape[dim:]), aval.dtype)


def _of_lanes(
    axis: Axis, values: Sequence[Any], dims: Sequence[int | None], lanes: Lanes
) -> tuple[list[Any], list[int | None]]:
    """The adjoint of lanes, from states that were kept."""
    program, out_dims = _lanes_program(lanes.loop, lanes.mask, axis, values, dims)
    lanes = lanes._replace(maps=((axis.size, axis.name, tuple(dims)),))
    return loop_adjoint_mapped_p.bind(*values, lanes=lanes, program=program), out_dims


class Lanes(NamedTuple):
    """The adjoint of a recorded loop under `vmap`s: of which size, by which name, and at which dimensions."""

    loop: Loop
    mask: Mask
    maps: tuple[tuple[int, Any, tuple[int | None, ...]], ...]

    def again(self) -> Program:
        """The same without the states that were kept."""
        plain = _adjoint_program(self.loop._replace(recorded=False), self.mask)
        avals = [*self.loop.in_avals, *plain.in_avals[1 + len(self.mask) :]]
        program = self.loop.derived(
            ("unrecorded adjoint", self.mask),
            lambda *xs: evaluate(plain, self.loop.unrecorded(xs)[1]),
            avals,
        )
        for size, name, dims in self.maps:
            program = _at_first(program, Axis(size, name), dims)
        return program


def _at_first(program: Program, axis: Axis, dims: tuple[int | None, ...]) -> Program:
    """The batched program, whose results are mapped at their first dimension."""
    return batch_program(program, axis, dims, (0,) * len(program.outvars))[0].with_consts_as_literals()


def _mapped_batch(
    axis: Axis, values: Sequence[Any], dims: Sequence[int | None], *, lanes: Lanes, program: Program
) -> tuple[list[Any], list[int | None]]:
    """That for a further dimension of lanes."""
    lanes = lanes._replace(maps=(*lanes.maps, (axis.size, axis.name, tuple(dims))))
    program = _at_first(program, axis, tuple(dims))
    return loop_adjoint_mapped_p.bind(*values, lanes=lanes, program=program), [0] * len(program.outvars)


rules.transpose[loop_tangent_p] = _transpose_tangent

rules.evaluate[loop_adjoint_p] = _evaluate_adjoint
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

rules.evaluate[loop_adjoint_mapped_p] = evaluate_call
rules.abstract[loop_adjoint_mapped_p] = abstract_call
rules.batch[loop_adjoint_mapped_p] = _mapped_batch
rules.not_transposable[loop_adjoint_mapped_p] = "linearization makes other loops of it"
differentiate_as(loop_adjoint_mapped_p, lambda *args, lanes, **_: evaluate(lanes.again(), args))
