"""Mapping in chunks: a scan over chunks of a program that is mapped over a chunk's lanes.

The one mechanism behind `lax.map(batch_size=)`, `vmap(batch_size=)` and the Jacobians' `batch_size=`: the
memory for what lies between inputs and results is that of one chunk.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from ..core.program import Program
from ..core.trace import CURRENT
from ..ops.joining import concatenate, slice
from ..ops.structural import reshape
from ..transforms.batch import Axis, batch_program
from .common import Mask, chosen, rewired
from .scan_rules import scan_p


def checked_batch_size(name: str, size: Any) -> int:
    """`batch_size` as a positive int."""
    try:
        number = operator.index(size)
    except TypeError:
        raise TypeError(
            f"{name}: batch_size must be an integer (or None, which takes all at once), got {size!r}"
        ) from None
    if number < 1:
        raise ValueError(f"{name}: batch_size must be at least 1, got {number}")
    return number


def in_chunks(program: Program, operands: Sequence[Any], mapped: Mask, length: int, size: int) -> list[Any]:
    """The results of `program` for `length` lanes, `size` at a time; a rest is taken by itself.

    `program` has no constants and is that of one lane; operands that are `mapped` have the lanes along their
    first dimension, as all results do.
    """
    size = min(size, max(length, 1))
    fixed = chosen(operands, [not m for m in mapped])
    slices = chosen(operands, mapped)
    count, remainder = divmod(length, size)
    whole = count * size
    chunk, consts = _chunk(program, mapped, size)
    stacked = scan_p.bind(
        *consts,
        *fixed,
        *[reshape(_part(x, 0, whole), (count, size, *x.aval.shape[1:])) for x in slices],
        program=chunk,
        length=count,
        reverse=False,
        unroll=1,
        num_consts=len(consts) + len(fixed),
        num_carry=0,
    )
    outs = [reshape(y, (whole, *y.aval.shape[2:])) for y in stacked]
    if remainder:
        rest, consts = _chunk(program, mapped, remainder)
        last = CURRENT.get().run(rest, [*consts, *fixed, *[_part(x, whole, length) for x in slices]])
        outs = [concatenate([y, z], 0) for y, z in zip(outs, last, strict=True)]
    return outs


def _chunk(program: Program, mapped: Mask, size: int) -> tuple[Program, tuple[Any, ...]]:
    """The program of `size` lanes, inputs that are not mapped first, and values of its leading inputs."""
    key = ("chunk", mapped, size)
    if key not in program.memo:
        dims = tuple(0 if m else None for m in mapped)
        batched, _ = batch_program(program, Axis(size), dims, (0,) * len(program.outvars))
        order = sorted(range(len(mapped)), key=lambda i: mapped[i])
        program.memo[key] = rewired(batched, order, range(len(batched.outvars)))
    found: tuple[Program, tuple[Any, ...]] = program.memo[key]
    return found


def _part(x: Any, start: int, stop: int) -> Any:
    """x[start:stop]."""
    rest = x.aval.shape[1:]
    return slice(x, (start, *[0] * len(rest)), (stop, *rest))
