"""The primitive of `scan`: evaluation, types, forward mode and batching (reverse mode: `scan_reverse`).

`scan_p` applies `program`: (constants, carry, slices) -> (carry, outputs) to each slice of its last operands.
Every rule yields scans again: of the jvp of the program; of its value-and-residual part, whose residuals are
stacked, and its linear part; of the transposed program, in the other direction, with the cotangents of the
constants summed in the carry; of the batched program. Which carries have tangents, cotangents or a mapped
dimension is a fixed point, found by growing the set until the program agrees.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..base.errors import ShapeError
from ..core import rules
from ..core.array import ConcreteArray
from ..core.aval import ShapedArray, shaped_array
from ..core.call import eager_executable
from ..core.primitive import Primitive
from ..core.program import Program
from ..core.trace import CURRENT, EXPLAIN
from ..ops.structural import instantiate, moveaxis
from ..transforms.batch import Axis, batch_program, to_dim
from ..transforms.jvp import jvp_program
from .common import Mask, chosen, nonzero_of, positions, rewired, run_whole, spread

scan_p = Primitive("scan", multiple_results=True, call_like=True)


def stacked_aval(aval: ShapedArray, length: int) -> ShapedArray:
    return shaped_array((length, *aval.shape), aval.dtype, aval.weak_type)


# Evaluation and types -----------------------------------------------------------------------------


def _evaluate(
    *args: ConcreteArray,
    program: Program,
    length: int,
    reverse: bool,
    unroll: int,
    num_consts: int,
    num_carry: int,
) -> list[Any]:
    if CURRENT.get() is not EXPLAIN:
        params = {
            "program": program,
            "length": length,
            "reverse": reverse,
            "unroll": unroll,
            "num_consts": num_consts,
            "num_carry": num_carry,
        }
        return run_whole(scan_p, program, args, params)
    step = eager_executable(program)
    consts = args[:num_consts]
    carry: Sequence[ConcreteArray] = args[num_consts : num_consts + num_carry]
    xs = [
        (a._data, v.aval)
        for a, v in zip(args[num_consts + num_carry :], program.invars[num_consts + num_carry :], strict=True)
    ]
    out_avals = program.out_avals
    ys = [np.empty((length, *a.shape), a.dtype) for a in out_avals[num_carry:]]
    for i in range(length - 1, -1, -1) if reverse else range(length):
        at = (i, ...)
        outs = step((*consts, *carry, *[ConcreteArray(data[at], aval) for data, aval in xs]))
        carry = outs[:num_carry]
        for stacked, y in zip(ys, outs[num_carry:], strict=True):
            stacked[i] = y._data
    last = [c if c.aval is a else ConcreteArray(c._data, a) for c, a in zip(carry, out_avals, strict=False)]
    return last + [
        ConcreteArray(y, stacked_aval(a, length)) for y, a in zip(ys, out_avals[num_carry:], strict=True)
    ]


def _abstract(
    *avals: ShapedArray,
    program: Program,
    length: int,
    reverse: bool,
    unroll: int,
    num_consts: int,
    num_carry: int,
) -> list[ShapedArray]:
    first = num_consts + num_carry
    for i, (aval, expected) in enumerate(zip(avals, program.in_avals, strict=True)):
        wanted = expected if i < first else stacked_aval(expected, length)
        if aval.shape != wanted.shape or aval.dtype != wanted.dtype:
            raise ShapeError(
                f"scan: operand {i} is {aval.str_short()}; the program takes {wanted.str_short()}"
            )
    outs = program.out_avals
    return outs[:num_carry] + [stacked_aval(a, length) for a in outs[num_carry:]]


# Forward mode -------------------------------------------------------------------------------------


def grow_mask(start: Sequence[bool], step: Callable[[Mask], Sequence[bool]]) -> Mask:
    """The least mask that contains `start` and all that `step` adds to it."""
    mask = tuple(start)
    while True:
        grown = tuple(map(operator.or_, mask, step(mask)))
        if grown == mask:
            return mask
        mask = grown


def derived(program: Program, key: tuple[Any, ...], derive: Callable[[], Any]) -> Any:
    """What `derive` makes of the program, once."""
    found = program.memo.get(("scan", *key))
    if found is None:
        found = program.memo["scan", *key] = derive()
    return found


def split_operands(
    values: Sequence[Any], num_consts: int, num_carry: int
) -> tuple[list[Any], list[Any], list[Any]]:
    """Constants, carry, slices."""
    return (
        list(values[:num_consts]),
        list(values[num_consts : num_consts + num_carry]),
        list(values[num_consts + num_carry :]),
    )


class Pushed(NamedTuple):
    """A body's jvp in the order of a scan's operands, and where its tangents are.

    Attributes:
        program: the jvp; its first inputs are `extra`.
        extra: constants of its own.
        num_consts, num_carry: how many there are of each (with `extra`).
        mask: which operands have tangents.
        out_nonzero: which results have.
    """

    program: Program
    extra: tuple[Any, ...]
    num_consts: int
    num_carry: int
    mask: Mask
    out_nonzero: Mask

    def operands(
        self, primals: Sequence[Any], tangents: Sequence[Any], num_consts: int, num_carry: int
    ) -> list[Any]:
        """The operands of the loop over `program`; `tangents` are those of the operands in `mask`."""
        consts, carry, xs = split_operands(primals, num_consts, num_carry)
        t_consts, t_carry, t_xs = split_operands(
            tangents,
            sum(self.mask[:num_consts]),
            sum(self.mask[num_consts : num_consts + num_carry]),
        )
        return [*self.extra, *consts, *t_consts, *carry, *t_carry, *xs, *t_xs]

    def results(self, outs: Sequence[Any], num_carry: int) -> tuple[list[Any], list[Any]]:
        """The loop's results and their tangents (those in `out_nonzero`)."""
        n = self.num_carry  # with tangents
        ys = len(self.out_nonzero) - num_carry
        return (
            [*outs[:num_carry], *outs[n : n + ys]],
            [*outs[num_carry:n], *outs[n + ys :]],
        )


def pushed_body(program: Program, nonzero: Mask, num_consts: int, num_carry: int) -> Pushed:
    """The body's jvp, for tangents of the operands in `nonzero` and of the carries that get one."""
    return derived(
        program,
        ("jvp", nonzero, num_consts, num_carry),
        lambda: _jvp_body(program, nonzero, num_consts, num_carry),
    )


def _jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    program: Program,
    num_consts: int,
    num_carry: int,
    **rest: Any,
) -> tuple[list[Any], list[Any]]:
    pushed = pushed_body(program, nonzero_of(tangents), num_consts, num_carry)
    moving = [instantiate(t) for t in chosen(tangents, pushed.mask)]
    outs = scan_p.bind(
        *pushed.operands(primals, moving, num_consts, num_carry),
        program=pushed.program,
        num_consts=pushed.num_consts,
        num_carry=pushed.num_carry,
        **rest,
    )
    values, out_tangents = pushed.results(outs, num_carry)
    return values, spread(pushed.out_nonzero, out_tangents, [v.aval for v in values])


def carry_fixed_point(
    nonzero: Mask, num_consts: int, num_carry: int, out_nonzero: Callable[[Mask], Sequence[bool]]
) -> Mask:
    """`nonzero` with the carries added that get a tangent in some iteration."""
    before, after = nonzero[:num_consts], nonzero[num_consts + num_carry :]
    carry = grow_mask(
        nonzero[num_consts : num_consts + num_carry],
        lambda carry: out_nonzero((*before, *carry, *after))[:num_carry],
    )
    return (*before, *carry, *after)


def _jvp_body(program: Program, nonzero: Mask, num_consts: int, num_carry: int) -> Pushed:
    mask = carry_fixed_point(nonzero, num_consts, num_carry, lambda m: jvp_program(program, m)[1])
    pushed, found = jvp_program(program, mask)
    count = len(program.invars)
    ins: list[int] = []
    first = num_consts + num_carry
    place = positions(mask, count)
    for start, stop in ((0, num_consts), (num_consts, first), (first, count)):
        ins += range(start, stop)
        ins += [p for p in place[start:stop] if p is not None]
    out_nonzero = (*mask[num_consts:first], *found[num_carry:])
    outs = with_tangents(program.out_avals, found, out_nonzero, num_carry, len(program.outvars), primals=True)
    body, extra = rewired(pushed, ins, outs)
    moving_carry = sum(mask[num_consts:first])
    return Pushed(
        body,
        extra,
        len(extra) + num_consts + sum(mask[:num_consts]),
        num_carry + moving_carry,
        mask,
        out_nonzero,
    )


def with_tangents(
    avals: Sequence[ShapedArray], found: Mask, wanted: Mask, num_carry: int, start: int, *, primals: bool
) -> list[int | ShapedArray]:
    """Positions of results in the order of a scan's: carry, its tangents, outputs, their tangents.

    The tangents in `found` come from position `start` on; those that are only in `wanted` are zeros.
    """
    place = positions(found, start)
    outs: list[int | ShapedArray] = []
    for begin, end in ((0, num_carry), (num_carry, len(avals))):
        if primals:
            outs += range(begin, end)
        for p, aval, nz in zip(place[begin:end], avals[begin:end], wanted[begin:end], strict=True):
            if nz:
                outs.append(aval.tangent if p is None else p)
    return outs


# Batching -----------------------------------------------------------------------------------------


class Batched(NamedTuple):
    """A loop of a batched body.

    Attributes:
        operands: its operands.
        program: its body.
        num_consts: how many of the operands are constants.
        out_dims: the mapped dimensions of its results.
    """

    operands: list[Any]
    program: Program
    num_consts: int
    out_dims: list[int | None]


def batched_loop(
    axis: Axis,
    values: Sequence[Any],
    dims: Sequence[int | None],
    program: Program,
    num_consts: int,
    num_carry: int,
) -> Batched:
    """The loop over `program` with operands that are mapped at `dims`."""
    first = num_consts + num_carry
    consts, carry, xs = split_operands(values, num_consts, num_carry)
    # The dimension of slices stays first; that of a slice itself is one less.
    xs = [moveaxis(x, 0, 1) if d == 0 else x for x, d in zip(xs, dims[first:], strict=True)]
    x_dims = tuple(None if d is None else max(d - 1, 0) for d in dims[first:])
    const_dims = tuple(dims[:num_consts])
    start = tuple(d is not None for d in dims[num_consts:first])
    batched, extra, carry_mask, y_dims = derived(
        program,
        ("batch", axis.size, axis.name, const_dims, start, x_dims, num_consts, num_carry),
        lambda: _batch_body(program, axis, const_dims, start, x_dims, num_carry),
    )
    carry = [
        to_dim(c, d, 0, axis.size) if mapped else c
        for c, d, mapped in zip(carry, dims[num_consts:first], carry_mask, strict=True)
    ]
    out_dims = [0 if mapped else None for mapped in carry_mask]
    out_dims += [None if d is None else d + 1 for d in y_dims]
    return Batched([*extra, *consts, *carry, *xs], batched, len(extra) + num_consts, out_dims)


def _batch(
    axis: Axis,
    values: Sequence[Any],
    dims: Sequence[int | None],
    *,
    program: Program,
    num_consts: int,
    num_carry: int,
    **rest: Any,
) -> tuple[list[Any], list[int | None]]:
    batched = batched_loop(axis, values, dims, program, num_consts, num_carry)
    outs = scan_p.bind(
        *batched.operands,
        program=batched.program,
        num_consts=batched.num_consts,
        num_carry=num_carry,
        **rest,
    )
    return outs, batched.out_dims


def _batch_body(
    program: Program,
    axis: Axis,
    const_dims: tuple[int | None, ...],
    start: Mask,
    x_dims: tuple[int | None, ...],
    num_carry: int,
) -> tuple[Program, tuple[Any, ...], Mask, tuple[int | None, ...]]:
    """The batched body, its constants, which carries are mapped (at 0), and the outputs' dimensions."""
    free = (None,) * (len(program.outvars) - num_carry)

    def run(mask: Mask) -> tuple[Program, tuple[int | None, ...]]:
        carry_dims = tuple(0 if mapped else None for mapped in mask)
        return batch_program(program, axis, (*const_dims, *carry_dims, *x_dims), (*carry_dims, *free))

    mask = grow_mask(start, lambda mask: [d is not None for d in run(mask)[1][:num_carry]])
    batched, out_dims = run(mask)
    program, consts = rewired(batched, range(len(batched.invars)), range(len(batched.outvars)))
    return program, consts, mask, out_dims[num_carry:]


rules.evaluate[scan_p] = _evaluate
rules.abstract[scan_p] = _abstract
rules.jvp[scan_p] = _jvp
rules.batch[scan_p] = _batch
