"""Mapping in chunks: a scan over chunks of a program that is mapped over a chunk's lanes.

The one mechanism behind `lax.map(batch_size=)`, `vmap(batch_size=)` and the Jacobians' `batch_size=`: the
memory for what lies between inputs and results is that of one chunk. Loops whose lanes end at different times
are taken in chunks, too: a chunk is done when its own lanes are.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..base.config import settings
from ..core.aval import ShapedArray, shaped_array
from ..core.axis_env import named_axes
from ..core.call import jit_p
from ..core.primitive import Primitive
from ..core.program import Program
from ..core.specialize import carries_python, operation
from ..ops.convert import stop_gradient_array
from ..ops.joining import concatenate, slice
from ..ops.structural import reshape
from ..transforms.batch import Axis, batch_program, to_dim
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
        last = jit_p.bind(
            *consts,
            *fixed,
            *[_part(x, whole, length) for x in slices],
            program=rest,
            name=rest.name,
            inline=False,
        )
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


# Loops whose lanes end at different times ---------------------------------------------------------


class Width(NamedTuple):
    """The most that goes together: bytes of each part of the state, and lanes.

    in_registers: whether that is in registers, which are best filled by powers of two.
    """

    bytes: int
    lanes: int
    in_registers: bool = False


WIDTH = {"llvm": Width(256, 64, True), "numpy": Width(1 << 14, 1024)}
"""By engine. What the LLVM engine keeps in registers takes no longer in several chunks than in one, and
chunks of half of what they hold are as quick and compiled in half the time; the NumPy engine takes as long
for one element as for some thousands."""
FEWEST = 8
"""Lanes that go together even if their state is large: a matrix that they share is read once for them all."""


class OfChunk(NamedTuple):
    """In place of a number of slots: that of a loop over a chunk of lanes, or of one that `map` runs.

    It keeps no states while it runs first. Those of all chunks would be in memory at the same time; the
    adjoint of a chunk, which runs the loop again, needs those of this chunk alone.
    """

    slots: int | None


def chunk_of_lanes(
    axis: Axis, carry: Sequence[ShapedArray], programs: Sequence[Program], times: int = 1
) -> int | None:
    """How many lanes of a loop go together; None: all of them.

    Args:
        carry: the types of one lane's state.
        programs: those of the loop. Lanes go together if these have collectives over the axis, or may have
            some in Python functions, or have side effects.
        times: how many such states are at work.
    """
    width = WIDTH[settings().engine]
    largest = times * max([math.prod(a.shape) * a.dtype.itemsize for a in carry], default=1)
    most = max(FEWEST, min(width.lanes, width.bytes // max(largest, 1)))
    size = 1 << (most.bit_length() - 1)
    if axis.size <= size or any(p.effectful for p in programs):
        return None
    if axis.name is not None and any(axis.name in named_axes(p) or carries_python(p) for p in programs):
        return None
    if width.in_registers and width.bytes >= FEWEST * largest:
        half = size // 2
        return half if half >= FEWEST else size
    count = axis.size // size
    return -(-axis.size // count) if count > 1 else None


def lanes_in_chunks(
    primitive: Primitive,
    axis: Axis,
    values: Sequence[Any],
    dims: Sequence[int | None],
    size: int,
    params: dict[str, Any],
    memo: dict[Any, Any],
) -> tuple[list[Any], list[int | None]]:
    """The batched operation, `size` lanes at a time; all of its results are mapped.

    Copies of the last lane fill up the last chunk, so that all chunks run one program. They take as many
    turns as that lane; what becomes of them is left out, and has no derivative.
    """
    mapped = tuple([d is not None for d in dims])
    operands = _each_once(
        lambda v, d: v if d is None else to_dim(v, d, 0, axis.size), list(zip(values, dims, strict=True))
    )
    lane = tuple([_lane(v.aval) if m else v.aval for v, m in zip(operands, mapped, strict=True)])
    key = ("one lane", primitive, lane, *params.values())
    program = memo.get(key)
    if program is None:
        program = memo[key] = operation(primitive, lane, params)
    missing = -axis.size % size
    checked = settings().debug_nans or settings().debug_infs  # copies may be NaN where no lane is
    if not missing or checked:
        outs = in_chunks(program, operands, mapped, axis.size, size)
    else:
        operands = _each_once(
            lambda v, m: _filled(v, missing) if m else v, list(zip(operands, mapped, strict=True))
        )
        whole = in_chunks(program, operands, mapped, axis.size + missing, size)
        outs = [_part(y, 0, axis.size) for y in whole]
    return outs, [0] * len(outs)


def _each_once(f: Callable[[Any, Any], Any], pairs: Sequence[tuple[Any, Any]]) -> list[Any]:
    """`f` of each pair; of an operand that occurs twice the same value."""
    made: dict[tuple[int, Any], Any] = {}
    for v, how in pairs:
        if (id(v), how) not in made:
            made[id(v), how] = f(v, how)
    return [made[id(v), how] for v, how in pairs]


def _filled(x: Any, missing: int) -> Any:
    """x and so many more of its last element."""
    length, *rest = x.aval.shape
    last = reshape(stop_gradient_array(_part(x, length - 1, length)), tuple(rest))
    return concatenate([x, to_dim(last, None, 0, missing)], 0)


def _lane(aval: ShapedArray) -> ShapedArray:
    return shaped_array(aval.shape[1:], aval.dtype, aval.weak_type)
