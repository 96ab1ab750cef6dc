"""The primitive behind `cond` and `switch`, and its rules.

Where a transformation knows the index (un-jitted code), its rules go straight to that branch. A `cond` whose
index is mapped has a branch for each lane. A branch of a few elementwise operations is then computed for all
lanes, with each lane's own operands; any other is run only if some lane takes it. Either way no derivative
flows to a lane that does not take the branch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..base.config import settings
from ..base.errors import ShapeError
from ..core import dtypes, rules
from ..core.array import ConcreteArray, wrap
from ..core.aval import ShapedArray, shaped_array
from ..core.axis_env import named_axes
from ..core.call import eager_executable, jit_p
from ..core.evaluate import evaluate
from ..core.primitive import Primitive
from ..core.program import Program
from ..core.staging import stage
from ..ops import arithmetic, compare, convert, transcendental
from ..ops import complex as complex_
from ..ops.compare import eq_p, ne_p, select_n_p
from ..ops.convert import convert_element_type_p, stop_gradient_array
from ..ops.reduction import argmax_p, reduce_max_p
from ..ops.slicing import dynamic_slice_p
from ..ops.structural import add_any_p, broadcast_in_dim_p, reshape, reshape_p
from ..transforms.batch import Axis, batch, batch_program, to_dim
from ..transforms.jvp import concrete, jvp, jvp_program
from ..transforms.linearize import LinearizeTrace, linearize_program
from ..transforms.transpose import transpose_program
from .common import (
    Mask,
    chosen,
    linearize_inline,
    nonzero_of,
    positions,
    rewired,
    same_type,
    spread,
    union,
    with_common_consts,
)

__all__ = ["INDICES", "INT32", "Branches", "cond_p"]

cond_p = Primitive("cond", multiple_results=True, call_like=True)

INT32 = np.dtype(np.int32)
INDICES = [wrap(np.array(i, np.int32)) for i in range(16)]

Branches = tuple[Program, ...]

CHEAP = 8
"""So many elementwise operations cost all lanes less than finding out which lanes take them."""


# Evaluation and types -----------------------------------------------------------------------------


def _evaluate(index: ConcreteArray, *operands: ConcreteArray, branches: Branches) -> list[Any]:
    i = min(max(int(index._data), 0), len(branches) - 1)
    outs = eager_executable(branches[i])(operands)
    if i == 0:
        return outs
    return [
        o if o.aval is aval else ConcreteArray(o._data, aval)
        for o, aval in zip(outs, branches[0].out_avals, strict=True)
    ]


def _abstract(index: ShapedArray, *operands: ShapedArray, branches: Branches) -> list[ShapedArray]:
    for k, branch in enumerate(branches):
        expected = branch.in_avals
        if len(expected) != len(operands) or not all(map(same_type, expected, operands)):
            raise ShapeError(f"cond: branch {k} takes {expected}, the operands are {list(operands)}")
    return branches[0].out_avals


def _chosen_branch(index: Any, branches: Branches) -> Program | None:
    """The branch that will run, if the index is known."""
    known = concrete(index)
    return None if known is None else branches[min(max(int(known._data), 0), len(branches) - 1)]


def _derived(
    branches: Branches, key: tuple[Any, ...], derive: Callable[[], tuple[Any, ...]]
) -> tuple[Any, ...]:
    """What `derive` makes of the branches, once."""
    memo = branches[0].memo
    full = ("cond", branches, *key)
    found = memo.get(full)
    if found is None:
        found = memo[full] = derive()
    return found


# Forward mode -------------------------------------------------------------------------------------


def _jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, branches: Branches
) -> tuple[list[Any], list[Any]]:
    index, operands, moving = primals[0], primals[1:], tangents[1:]
    branch = _chosen_branch(index, branches)
    if branch is not None:
        return jvp(lambda *xs: evaluate(branch, xs), operands, moving)
    nonzero = nonzero_of(moving)
    pushed, consts, out_nonzero = _derived(
        branches, ("jvp", nonzero), lambda: _jvp_branches(branches, nonzero)
    )
    outs = cond_p.bind(index, *consts, *operands, *chosen(moving, nonzero), branches=pushed)
    n = len(branches[0].outvars)
    return outs[:n], spread(out_nonzero, outs[n:], branches[0].out_avals)


def _jvp_branches(branches: Branches, nonzero: Mask) -> tuple[Branches, list[Any], Mask]:
    pushed = [jvp_program(b, nonzero) for b in branches]
    out_nonzero = union([mask for _, mask in pushed])
    avals = branches[0].out_avals
    pairs = []
    for program, mask in pushed:
        places = positions(mask, len(avals))
        tangents = [
            a.tangent if p is None else p for p, a, nz in zip(places, avals, out_nonzero, strict=True) if nz
        ]
        pairs.append(rewired(program, range(len(program.invars)), [*range(len(avals)), *tangents]))
    return *with_common_consts(pairs), out_nonzero


# Reverse mode -------------------------------------------------------------------------------------


def _linearize(
    trace: LinearizeTrace, primals: Sequence[Any], tangents: Sequence[Any], *, branches: Branches
) -> tuple[list[Any], list[Any]]:
    index, operands, moving = primals[0], primals[1:], tangents[1:]
    branch = _chosen_branch(index, branches)
    if branch is not None:
        return linearize_inline(trace, lambda *xs: evaluate(branch, xs), operands, moving)
    nonzero = nonzero_of(moving)
    forward, consts, linear, repeated, out_nonzero = _derived(
        branches, ("linearize", nonzero), lambda: _linearize_branches(branches, nonzero)
    )
    outs = cond_p.bind(index, *consts, *operands, branches=forward)
    avals = branches[0].out_avals
    n = len(avals)
    if not any(out_nonzero):
        return outs[:n], spread(out_nonzero, (), avals)
    residuals = [operands[i] for i in repeated] + outs[n:]
    out_tangents = cond_p.bind(index, *residuals, *chosen(moving, nonzero), branches=linear)
    return outs[:n], spread(out_nonzero, out_tangents, avals)


def _linearize_branches(
    branches: Branches, nonzero: Mask
) -> tuple[Branches, list[Any], Branches, list[int], Mask]:
    """Programs of values and residuals, their constants, linear programs, and which operands are residuals.

    The residuals that the branches compute share slots of equal type; a branch leaves zeros in those that it
    does not use.
    """
    splits = [linearize_program(b, nonzero) for b in branches]
    avals = branches[0].out_avals
    out_nonzero = union([s.out_nonzero for s in splits])
    repeated = sorted({i for s in splits for i in s.residual_inputs if i is not None})
    slots: list[ShapedArray] = []
    assigned: list[dict[int, int]] = []  # for each branch: slot -> number among its computed residuals
    for split in splits:
        own: dict[int, int] = {}
        for number, atom in enumerate(split.primal.outvars[len(avals) :]):
            for slot, aval in enumerate(slots):
                if slot not in own and same_type(aval, atom.aval):
                    break
            else:
                slot = len(slots)
                slots.append(atom.aval.strip_weak_type())
            own[slot] = number
        assigned.append(own)
    forward, linear = [], []
    tangent_avals = [a.tangent for a in chosen(branches[0].in_avals, nonzero)]
    for split, own in zip(splits, assigned, strict=True):
        computed = [len(avals) + own[i] if i in own else aval for i, aval in enumerate(slots)]
        forward.append(
            rewired(split.primal, range(len(split.primal.invars)), [*range(len(avals)), *computed])
        )
        of_input = {i: k for k, i in enumerate(split.residual_inputs) if i is not None}
        of_number = [k for k, i in enumerate(split.residual_inputs) if i is None]
        count = len(split.residual_inputs)
        ins: list[int | ShapedArray] = [of_input.get(i, branches[0].invars[i].aval) for i in repeated]
        ins += [of_number[own[i]] if i in own else aval for i, aval in enumerate(slots)]
        ins += range(count, count + len(tangent_avals))
        places = positions(split.out_nonzero)
        outs = [
            a.tangent if p is None else p for p, a, nz in zip(places, avals, out_nonzero, strict=True) if nz
        ]
        linear.append(rewired(split.linear, ins, outs)[0])
    programs, consts = with_common_consts(forward)
    return programs, consts, tuple(linear), repeated, out_nonzero


def _transpose(cts: Sequence[Any], index: Any, *operands: Any, branches: Branches) -> list[Any]:
    linear = tuple(type(x) is rules.Linear for x in operands)
    ct_nonzero = nonzero_of(cts)
    branch = _chosen_branch(index, branches)
    if branch is not None:
        index, branches = INDICES[0], (branch,)
    transposed, consts, nonzero = _derived(
        branches, ("transpose", linear, ct_nonzero), lambda: _transpose_branches(branches, linear, ct_nonzero)
    )
    known = [x for x, lin in zip(operands, linear, strict=True) if not lin]
    outs = iter(cond_p.bind(index, *consts, *known, *chosen(cts, ct_nonzero), branches=transposed))
    flags = iter(nonzero)
    return [None, *[next(outs) if lin and next(flags) else None for lin in linear]]


def _transpose_branches(
    branches: Branches, linear: Mask, ct_nonzero: Mask
) -> tuple[Branches, list[Any], Mask]:
    transposed = [transpose_program(b, linear, ct_nonzero) for b in branches]
    nonzero = union([mask for _, mask in transposed])
    avals = chosen(branches[0].in_avals, linear)
    pairs = []
    for program, mask in transposed:
        outs = [a if p is None else p for p, a, nz in zip(positions(mask), avals, nonzero, strict=True) if nz]
        pairs.append(rewired(program, range(len(program.invars)), outs))
    return *with_common_consts(pairs), nonzero


# Batching -----------------------------------------------------------------------------------------


def _batch(
    axis: Axis, values: Sequence[Any], dims: Sequence[int | None], *, branches: Branches
) -> tuple[list[Any], Sequence[int | None]]:
    index, operands, moved = values[0], values[1:], tuple(dims[1:])
    if dims[0] is not None:
        return _batch_select(axis, index, operands, moved, branches)
    branch = _chosen_branch(index, branches)
    if branch is not None:
        return batch(lambda *xs: evaluate(branch, xs), axis, operands, moved)
    batched, consts, out_dims = _derived(
        branches, ("batch", axis.size, axis.name, moved), lambda: _batch_branches(branches, axis, moved)
    )
    return cond_p.bind(index, *consts, *operands, branches=batched), out_dims


def _batch_branches(
    branches: Branches, axis: Axis, dims: tuple[int | None, ...]
) -> tuple[Branches, list[Any], tuple[int | None, ...]]:
    found = [batch_program(b, axis, dims) for b in branches]
    out_dims = tuple(
        next((d for d in column if d is not None), None)
        for column in zip(*[d for _, d in found], strict=True)
    )
    if any(mask != out_dims for _, mask in found):
        found = [batch_program(b, axis, dims, out_dims) for b in branches]
    pairs = [rewired(p, range(len(p.invars)), range(len(p.outvars))) for p, _ in found]
    return *with_common_consts(pairs), out_dims


def _batch_select(
    axis: Axis, index: Any, operands: Sequence[Any], dims: tuple[int | None, ...], branches: Branches
) -> tuple[list[Any], Sequence[int | None]]:
    """Each lane has an index of its own: run the branches that some lane takes and select."""
    if any(b.effectful for b in branches):
        raise NotImplementedError(
            "cond with side effects (callbacks, prints) in a branch cannot be batched over its predicate: "
            "branches would run for all lanes. Move the effect out of cond."
        )
    known = concrete(index)
    last = len(branches) - 1
    taken = range(len(branches)) if known is None else np.unique(known._data).tolist()
    # In a collective all lanes take part, whatever branch each of them takes.
    together = axis.name is not None and any(axis.name in named_axes(b) for b in branches)
    together = together or axis.size == 0
    if len(taken) == 1 and not together:
        branch = branches[taken[0]]
        return batch(lambda *xs: evaluate(branch, xs), axis, operands, dims)
    checked = settings().debug_nans or settings().debug_infs  # what no lane takes must not be complained of
    cheap = not checked and not together and all(map(_is_cheap, branches))
    cases: dict[int, list[Any]] = {}
    for k in taken if not together else range(len(branches)):
        branch = branches[k]
        if together or not branch.eqns:
            outs, out_dims = batch(lambda *xs, branch=branch: evaluate(branch, xs), axis, operands, dims)
            cases[k] = [to_dim(o, d, 0, axis.size) for o, d in zip(outs, out_dims, strict=True)]
            continue
        if cheap:
            takes = _takes(index, k)
            inputs = [_kept(takes, x, d) for x, d in zip(operands, dims, strict=True)]
            moved = [0 if x is not v else d for x, v, d in zip(inputs, operands, dims, strict=True)]
            outs, out_dims = batch(lambda *xs, branch=branch: evaluate(branch, xs), axis, inputs, moved)
            cases[k] = [to_dim(o, d, 0, axis.size) for o, d in zip(outs, out_dims, strict=True)]
            continue
        either, consts = _lanes(branches, axis, dims, k)
        if known is None:
            some = reduce_max_p.bind(_takes(index, k), axes=(0,))
            found = convert_element_type_p.bind(some, new_dtype=INT32, weak_type=False)
        else:
            found = INDICES[1]
        cases[k] = cond_p.bind(found, *consts, index, *operands, branches=either)
    filler = next(iter(cases.values()), [])
    columns = zip(*[cases.get(k, filler) for k in range(len(branches))], strict=True)
    which = ne_p.bind(index, INDICES[0]) if last == 1 else index
    return [_select(which, column) for column in columns], [0] * len(branches[0].outvars)


_SIMPLE = frozenset(
    p
    for module in (arithmetic, compare, complex_, convert, transcendental)
    for p in vars(module).values()
    if isinstance(p, Primitive) and p.elementwise
)
_SIMPLE |= {add_any_p}
_MOVES = frozenset([broadcast_in_dim_p, reshape_p, convert_element_type_p])


def _is_cheap(branch: Program) -> bool:
    """Whether a branch is at most `CHEAP` elementwise operations (no special functions)."""
    return _elementwise_operations(branch) <= CHEAP


def _elementwise_operations(program: Program) -> int:
    """Their number; more than `CHEAP` if there are others."""
    found: int | None = program.memo.get("elementwise operations")
    if found is None:
        found = 0
        for eqn in program.eqns:
            primitive = eqn.primitive
            if primitive is jit_p:
                found += _elementwise_operations(eqn.params["program"])
            elif primitive not in _MOVES:
                found += 1 if primitive in _SIMPLE else CHEAP + 1
        program.memo["elementwise operations"] = found
    return found


def _kept(takes: Any, x: Any, dim: int | None) -> Any:
    """`x` for each lane (along dimension 0), with derivatives in those that take the branch only.

    In the other lanes derivatives may be infinite or NaN. What comes out of these is selected away behind the
    branch; in reverse mode it comes out here, and must not get into the sum over the lanes of an operand that
    they share.
    """
    if not dtypes.is_inexact(x.aval.dtype):
        return x
    size = takes.aval.shape[0]
    lanes = to_dim(x, dim, 0, size)
    mask = reshape(takes, (size,) + (1,) * (lanes.aval.ndim - 1))
    return select_n_p.bind(mask, stop_gradient_array(lanes), lanes)


def _lanes(
    branches: Branches, axis: Axis, dims: tuple[int | None, ...], k: int
) -> tuple[Branches, list[Any]]:
    """Two programs of (each lane's index, operands): zeros, and branch k for all lanes.

    In a lane that does not take the branch its operands may be anything: outside of its domain, where
    derivatives are not finite and zero times them is NaN, or such that a loop in it does not end. Such a lane
    therefore gets the operands of the first lane that does take it, and no derivative flows from there.
    """
    programs, consts = _derived(
        branches, ("lanes", axis.size, axis.name, dims, k), lambda: _stage_lanes(branches[k], axis, dims, k)
    )
    return programs, consts


def _stage_lanes(
    branch: Program, axis: Axis, dims: tuple[int | None, ...], k: int
) -> tuple[Branches, list[Any]]:
    def run(index: Any, *operands: Any) -> list[Any]:
        takes = _takes(index, k)
        first = argmax_p.bind(takes, axis=0, index_dtype=INT32)
        inputs = [
            x if d is None else _own_or_borrowed(takes, first, x, d)
            for x, d in zip(operands, dims, strict=True)
        ]
        outs, out_dims = batch(lambda *xs: evaluate(branch, xs), axis, inputs, dims)
        return [to_dim(o, d, 0, axis.size) for o, d in zip(outs, out_dims, strict=True)]

    def batched(aval: ShapedArray, dim: int | None) -> ShapedArray:
        if dim is None:
            return aval
        return shaped_array((*aval.shape[:dim], axis.size, *aval.shape[dim:]), aval.dtype, aval.weak_type)

    avals = [batched(a, d) for a, d in zip(branch.in_avals, dims, strict=True)]
    indices = shaped_array((axis.size,), INT32)
    staged = stage(run, [indices, *avals], name=branch.name, purpose="vmap")
    program, consts = rewired(staged, range(len(staged.invars)), range(len(staged.outvars)))
    absent = rewired(program, range(len(program.invars)), [a.strip_weak_type() for a in program.out_avals])[0]
    return with_common_consts([(absent, consts), (program, consts)])


def _takes(index: Any, k: int) -> Any:
    """Which lanes take branch k."""
    return eq_p.bind(index, wrap(np.array(k, np.int32)))


def _own_or_borrowed(takes: Any, first: Any, x: Any, dim: int) -> Any:
    """The slices of `x` along `dim`; in place of those of lanes that do not take the branch the first's."""
    shape = x.aval.shape
    starts = [first if i == dim else INDICES[0] for i in range(len(shape))]
    sizes = tuple(1 if i == dim else n for i, n in enumerate(shape))
    borrowed = stop_gradient_array(dynamic_slice_p.bind(x, *starts, slice_sizes=sizes))
    mask = reshape(takes, tuple(n if i == dim else 1 for i, n in enumerate(shape)))
    return select_n_p.bind(mask, borrowed, x)


def _select(which: Any, column: Sequence[Any]) -> Any:
    shape = (which.aval.shape[0],) + (1,) * (column[0].aval.ndim - 1)
    return select_n_p.bind(reshape(which, shape), *column)


rules.evaluate[cond_p] = _evaluate
rules.abstract[cond_p] = _abstract
rules.jvp[cond_p] = _jvp
rules.linearize[cond_p] = _linearize
rules.transpose[cond_p] = _transpose
rules.batch[cond_p] = _batch
