"""The rules of a called program (`core.call.jit_p`): what `jit` records.

All rules are the transformations of programs, so a jitted function stays one equation (and is compiled
once) under every transformation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core import rules
from ..core.aval import ShapedArray, Zero
from ..core.call import executable, jit_p
from ..core.program import Program
from ..transforms.batch import Axis, batch_program
from ..transforms.jvp import jvp_program
from ..transforms.linearize import LinearizeTrace, linearize_program
from ..transforms.transpose import transpose_program

__all__ = ["executable", "jit_p", "merge_zeros", "split_nonzero"]


def split_nonzero(tangents: Sequence[Any]) -> tuple[tuple[bool, ...], list[Any]]:
    """Which tangents are not symbolic zeros, and those."""
    mask = tuple(type(t) is not Zero for t in tangents)
    return mask, [t for t in tangents if type(t) is not Zero]


def merge_zeros(avals: Sequence[ShapedArray], nonzero: Sequence[bool], values: Sequence[Any]) -> list[Any]:
    """The values at the places marked `nonzero`, symbolic zeros (of the avals' tangent types) elsewhere."""
    rest = iter(values)
    return [next(rest) if nz else Zero(a.tangent) for a, nz in zip(avals, nonzero, strict=True)]


def _jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, program: Program, name: str, inline: bool
) -> tuple[list[Any], list[Any]]:
    mask, given = split_nonzero(tangents)
    pushed, out_nonzero = jvp_program(program, mask)
    outs = jit_p.bind(*primals, *given, program=pushed, name=name, inline=inline)
    n = len(program.outvars)
    return outs[:n], merge_zeros(program.out_avals, out_nonzero, outs[n:])


def _linearize(
    trace: LinearizeTrace,
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    program: Program,
    name: str,
    inline: bool,
) -> tuple[list[Any], list[Any]]:
    mask, given = split_nonzero(tangents)
    split = linearize_program(program, mask)
    outs = jit_p.bind(*primals, program=split.primal, name=name, inline=inline)
    n = len(program.outvars)
    residuals = split.residuals(primals, outs[n:])
    out_tangents = jit_p.bind(*residuals, *given, program=split.linear, name=name, inline=inline)
    return outs[:n], merge_zeros(program.out_avals, split.out_nonzero, out_tangents)


def _transpose(cts: Sequence[Any], *args: Any, program: Program, name: str, inline: bool) -> list[Any]:
    linear = tuple(type(a) is rules.Linear for a in args)
    ct_mask, given = split_nonzero(cts)
    transposed, nonzero = transpose_program(program, linear, ct_mask)
    known = [a for a, lin in zip(args, linear, strict=True) if not lin]
    outs = iter(jit_p.bind(*known, *given, program=transposed, name=name, inline=inline))
    flags = iter(nonzero)
    return [(next(outs) if next(flags) else None) if lin else None for lin in linear]


def _batch(
    axis: Axis,
    values: Sequence[Any],
    dims: Sequence[int | None],
    *,
    program: Program,
    name: str,
    inline: bool,
) -> tuple[list[Any], list[int | None]]:
    batched, out_dims = batch_program(program, axis, tuple(dims))
    return jit_p.bind(*values, program=batched, name=name, inline=inline), list(out_dims)


rules.jvp[jit_p] = _jvp
rules.linearize[jit_p] = _linearize
rules.transpose[jit_p] = _transpose
rules.batch[jit_p] = _batch
