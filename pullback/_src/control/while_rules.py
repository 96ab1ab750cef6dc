"""The primitive of `while_loop`: evaluation, types, forward mode, batching (reverse mode: `while_reverse`).

Forward mode carries tangents along in the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..base.errors import ShapeError
from ..core import rules
from ..core.array import ConcreteArray
from ..core.aval import ShapedArray
from ..core.call import eager_executable
from ..core.evaluate import evaluate
from ..core.primitive import Primitive
from ..core.program import Program
from ..core.staging import stage
from ..core.trace import CURRENT, EXPLAIN
from ..ops.compare import select_n_p
from ..ops.reduction import reduce_or_p
from ..ops.structural import instantiate, reshape
from ..transforms.batch import Axis, batch_program, to_dim
from ..transforms.jvp import jvp_program
from .chunks import OfChunk, chunk_of_lanes, lanes_in_chunks
from .common import Mask, chosen, depends_on, nonzero_of, positions, rewired, run_whole, spread
from .scan_rules import grow_mask

while_p = Primitive("while", multiple_results=True, call_like=True)


def bind_while(
    cond_program: Program,
    cond_consts: Sequence[Any],
    body_program: Program,
    body_consts: Sequence[Any],
    carry: Sequence[Any],
    slots: int | OfChunk | None = None,
) -> list[Any]:
    """Bind the primitive; `slots`: how many states reverse mode may hold, None: as many as fit."""
    return while_p.bind(
        *cond_consts,
        *body_consts,
        *carry,
        cond_program=cond_program,
        body_program=body_program,
        cond_nconsts=len(cond_consts),
        body_nconsts=len(body_consts),
        slots=slots,
    )


# Evaluation and types -----------------------------------------------------------------------------


def _evaluate(
    *args: ConcreteArray,
    cond_program: Program,
    body_program: Program,
    cond_nconsts: int,
    body_nconsts: int,
    slots: int | OfChunk | None,
) -> list[Any]:
    if CURRENT.get() is not EXPLAIN:
        params = {
            "cond_program": cond_program,
            "body_program": body_program,
            "cond_nconsts": cond_nconsts,
            "body_nconsts": body_nconsts,
            "slots": slots,
        }
        return run_whole(while_p, body_program, args, params)
    test, step = eager_executable(cond_program), eager_executable(body_program)
    first = cond_nconsts + body_nconsts
    cond_consts, body_consts = args[:cond_nconsts], args[cond_nconsts:first]
    carry: Sequence[ConcreteArray] = args[first:]
    while test((*cond_consts, *carry))[0]._data:
        carry = step((*body_consts, *carry))
    return [
        c if c.aval is aval else ConcreteArray(c._data, aval)
        for c, aval in zip(carry, body_program.out_avals, strict=True)
    ]


def _abstract(
    *avals: ShapedArray,
    cond_program: Program,
    body_program: Program,
    cond_nconsts: int,
    body_nconsts: int,
    slots: int | OfChunk | None,
) -> list[ShapedArray]:
    expected = [
        *cond_program.in_avals[:cond_nconsts],
        *body_program.in_avals,
    ]
    for i, (aval, wanted) in enumerate(zip(avals, expected, strict=True)):
        if aval.shape != wanted.shape or aval.dtype != wanted.dtype:
            raise ShapeError(
                f"while: operand {i} is {aval.str_short()}; the programs take {wanted.str_short()}"
            )
    return body_program.out_avals


def split_operands(
    values: Sequence[Any], cond_nconsts: int, body_nconsts: int
) -> tuple[list[Any], list[Any], list[Any]]:
    """Constants of the condition, constants of the body, carry."""
    first = cond_nconsts + body_nconsts
    return list(values[:cond_nconsts]), list(values[cond_nconsts:first]), list(values[first:])


# Derivatives --------------------------------------------------------------------------------------


def tangent_mask(body_program: Program, body_nconsts: int, consts: Mask, carry: Mask) -> Mask:
    """The operands of the body that have tangents, among them the carries that get one in some iteration."""
    return (*consts, *grow_mask(carry, lambda mask: jvp_program(body_program, (*consts, *mask))[1]))


def _jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    cond_program: Program,
    body_program: Program,
    cond_nconsts: int,
    body_nconsts: int,
    slots: int | OfChunk | None,
) -> tuple[list[Any], list[Any]]:
    cond_consts, body_consts, carry = split_operands(primals, cond_nconsts, body_nconsts)
    moving = tangents[cond_nconsts:]
    nonzero = nonzero_of(moving)
    mask = tangent_mask(body_program, body_nconsts, nonzero[:body_nconsts], nonzero[body_nconsts:])
    given = [instantiate(t) for t in chosen(moving, mask)]
    count = sum(mask[:body_nconsts])
    test, body, extra = jvp_programs(cond_program, body_program, cond_nconsts, body_nconsts, mask)
    outs = bind_while(
        test, cond_consts, body, [*extra, *body_consts, *given[:count]], [*carry, *given[count:]], slots
    )
    n = len(carry)
    return outs[:n], spread(mask[body_nconsts:], outs[n:], body_program.out_avals)


def jvp_programs(
    cond_program: Program, body_program: Program, cond_nconsts: int, body_nconsts: int, mask: Mask
) -> tuple[Program, Program, tuple[Any, ...]]:
    """The condition, ignoring tangents, and the body with tangents: (constants, theirs, carry, its)."""
    key = ("while_jvp", cond_program, body_nconsts, mask)
    found = body_program.memo.get(key)
    if found is None:
        pushed, out_nonzero = jvp_program(body_program, mask)
        count = len(body_program.invars)
        place = positions(mask, count)
        ins = [
            *range(body_nconsts),
            *[p for p in place[:body_nconsts] if p is not None],
            *range(body_nconsts, count),
            *[p for p in place[body_nconsts:] if p is not None],
        ]
        avals = body_program.out_avals
        carry = mask[body_nconsts:]
        outs: list[int | ShapedArray] = [*range(len(avals))]
        for p, aval, nz in zip(positions(out_nonzero, len(avals)), avals, carry, strict=True):
            if nz:
                outs.append(aval.tangent if p is None else p)
        body, extra = rewired(pushed, ins, outs)
        test, _ = rewired(
            cond_program,
            [*range(len(cond_program.invars)), *[a.tangent for a in chosen(avals, carry)]],
            [0],
        )
        found = body_program.memo[key] = test, body, extra
    return found


rules.evaluate[while_p] = _evaluate
rules.abstract[while_p] = _abstract
rules.jvp[while_p] = _jvp


# Batching -----------------------------------------------------------------------------------------


class BatchedWhile(NamedTuple):
    """A loop over mapped values, before it is bound.

    Attributes:
        mask: which carries are mapped, along their first dimension.
    """

    test: Program
    test_operands: list[Any]
    body: Program
    body_operands: list[Any]
    carry: list[Any]
    mask: Mask

    @property
    def by_lane(self) -> bool:
        """Whether the condition is mapped."""
        return bool(self.test.out_avals[0].shape)

    def lanes(self) -> BatchedWhile:
        """The loop that runs until all lanes have ended; a lane that has ended keeps its values.

        The lanes' conditions are the first carry, so that they are computed once in each iteration.

        Raises:
            NotImplementedError: the loop has side effects.
        """
        if self.body.effectful or self.test.effectful:
            raise NotImplementedError(
                "while_loop with side effects (callbacks, prints) cannot be batched over its condition: the "
                "effects would take place for lanes that have ended too. Move them out of the loop."
            )
        key = ("while_lanes", self.body)
        found = self.test.memo.get(key)
        if found is None:
            found = self.test.memo[key] = _lane_programs(
                self.test, len(self.test_operands), self.body, len(self.body_operands)
            )
        any_lane, step = found
        active = evaluate(self.test, [*self.test_operands, *self.carry])[0]
        operands = [*self.test_operands, *self.body_operands]
        return BatchedWhile(any_lane, [], step, operands, [active, *self.carry], (True, *self.mask))


def batched_while(
    axis: Axis,
    values: Sequence[Any],
    dims: Sequence[int | None],
    cond_program: Program,
    body_program: Program,
    cond_nconsts: int,
    body_nconsts: int,
) -> BatchedWhile:
    """The loop with operands that are mapped at `dims`."""
    cond_consts, body_consts, carry = split_operands(values, cond_nconsts, body_nconsts)
    carry_dims = dims[cond_nconsts + body_nconsts :]
    test, body, mask = _batched_programs(axis, dims, cond_program, body_program, cond_nconsts, body_nconsts)
    carry = [to_dim(c, d, 0, axis.size) if m else c for c, d, m in zip(carry, carry_dims, mask, strict=True)]
    body, body_extra = rewired(body, range(len(body.invars)), range(len(body.outvars)))
    test, test_extra = rewired(test, range(len(test.invars)), [0])
    return BatchedWhile(test, [*test_extra, *cond_consts], body, [*body_extra, *body_consts], carry, mask)


def _batched_programs(
    axis: Axis,
    dims: Sequence[int | None],
    cond_program: Program,
    body_program: Program,
    cond_nconsts: int,
    body_nconsts: int,
) -> tuple[Program, Program, Mask]:
    """The batched condition and body, and which carries are mapped."""
    cond_dims, body_dims, carry_dims = split_operands(dims, cond_nconsts, body_nconsts)

    def run(mask: Mask) -> tuple[Program, Mask, Program]:
        """The batched body, which of its results are mapped, and the batched condition."""
        mapped = tuple(0 if m else None for m in mask)
        body, found = batch_program(body_program, axis, (*body_dims, *mapped), mapped)
        test, (pred_dim,) = batch_program(cond_program, axis, (*cond_dims, *mapped))
        # Lanes that end at different times keep all of their values apart.
        return body, tuple(d is not None or pred_dim is not None for d in found), test

    mask = grow_mask([d is not None for d in carry_dims], lambda mask: run(mask)[1])
    body, _, test = run(mask)
    return test, body, mask


def chunk_of_loop(
    axis: Axis,
    dims: Sequence[int | None],
    cond_program: Program,
    body_program: Program,
    cond_nconsts: int,
    body_nconsts: int,
) -> int | None:
    """How many lanes of a loop go together, as its condition is mapped; None: all of them."""
    size = chunk_of_lanes(axis, body_program.out_avals, (cond_program, body_program))
    if size is None:
        return None
    cond_mapped, body_mapped, carry_mapped = split_operands(
        [d is not None for d in dims], cond_nconsts, body_nconsts
    )
    mask = grow_mask(carry_mapped, lambda mask: depends_on(body_program, (*body_mapped, *mask)))
    if not any(depends_on(cond_program, (*cond_mapped, *mask))):
        return None
    # The programs of a chunk say it exactly, and are needed anyway if there are chunks.
    programs = cond_program, body_program
    at_first = [0 if m else None for m in (*cond_mapped, *body_mapped, *carry_mapped)]
    test = _batched_programs(Axis(size), at_first, *programs, cond_nconsts, body_nconsts)[0]
    return size if test.out_avals[0].shape else None


def _batch(
    axis: Axis,
    values: Sequence[Any],
    dims: Sequence[int | None],
    *,
    cond_program: Program,
    body_program: Program,
    cond_nconsts: int,
    body_nconsts: int,
    slots: int | OfChunk | None,
) -> tuple[list[Any], list[int | None]]:
    size = chunk_of_loop(axis, dims, cond_program, body_program, cond_nconsts, body_nconsts)
    if size is not None:
        params = {
            "cond_program": cond_program,
            "body_program": body_program,
            "cond_nconsts": cond_nconsts,
            "body_nconsts": body_nconsts,
            "slots": slots if isinstance(slots, OfChunk) else OfChunk(slots),
        }
        return lanes_in_chunks(while_p, axis, values, dims, size, params, body_program.memo)
    found = batched_while(axis, values, dims, cond_program, body_program, cond_nconsts, body_nconsts)
    by_lane = found.by_lane
    if by_lane:
        found = found.lanes()
    outs = bind_while(found.test, found.test_operands, found.body, found.body_operands, found.carry, slots)
    first = 1 if by_lane else 0
    return outs[first:], [0 if m else None for m in found.mask[first:]]


def _lane_programs(test: Program, num_test: int, body: Program, num_body: int) -> tuple[Program, Program]:
    carry_avals = body.in_avals[num_body:]
    active_aval = test.out_avals[0]

    def any_lane(active: Any, *carry: Any) -> list[Any]:
        return [reduce_or_p.bind(active, axes=tuple(range(active.aval.ndim)))]

    def step(*args: Any) -> list[Any]:
        test_consts, body_consts = args[:num_test], args[num_test : num_test + num_body]
        active, *carry = args[num_test + num_body :]
        new = [
            _where(active, n, c) for n, c in zip(evaluate(body, [*body_consts, *carry]), carry, strict=True)
        ]
        return [evaluate(test, [*test_consts, *new])[0], *new]

    loop_avals = [active_aval, *carry_avals]
    consts = [*test.in_avals[:num_test], *body.in_avals[:num_body]]
    return stage(any_lane, loop_avals, name="any_lane"), stage(step, [*consts, *loop_avals], name=body.name)


def _where(active: Any, new: Any, old: Any) -> Any:
    shape = active.aval.shape
    return select_n_p.bind(reshape(active, shape + (1,) * (new.aval.ndim - len(shape))), old, new)


rules.batch[while_p] = _batch
