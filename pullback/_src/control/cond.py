"""Choosing one of several functions by a value: `cond`, `switch`, `platform_dependent`.

`cond_p` takes an int32 index and the operands of all branches; only the chosen branch runs. Where a
transformation knows the index (un-jitted code), its rules go straight to that branch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..base import pytree
from ..base.config import settings
from ..base.errors import DTypeError, ShapeError, StructureError
from ..core import rules
from ..core.array import ConcreteArray, as_array, wrap
from ..core.aval import ShapedArray, shaped_array
from ..core.axis_env import named_axes
from ..core.call import eager_executable
from ..core.evaluate import evaluate
from ..core.primitive import Primitive
from ..core.program import Program
from ..core.staging import stage
from ..ops.arithmetic import max_p, min_p
from ..ops.compare import eq_p, ne_p, select_n_p
from ..ops.convert import convert_element_type_p, stop_gradient_array
from ..ops.reduction import argmax_p, reduce_max_p
from ..ops.slicing import dynamic_slice_p
from ..ops.structural import reshape
from ..transforms.batch import Axis, batch, batch_program, to_dim
from ..transforms.jvp import concrete, jvp, jvp_program
from ..transforms.linearize import LinearizeTrace, linearize_program
from ..transforms.transpose import transpose_program
from .common import (
    LeafNames,
    Mask,
    Staged,
    chosen,
    linearize_inline,
    name_of,
    nonzero_of,
    positions,
    rewired,
    same_type,
    spread,
    stage_flat,
    to_arrays,
    union,
    with_common_consts,
)

__all__ = ["cond", "platform_dependent", "switch"]

cond_p = Primitive("cond", multiple_results=True, call_like=True)

_INT32 = np.dtype(np.int32)
_INDICES = [wrap(np.array(i, np.int32)) for i in range(16)]
_MISSING: Any = object()
_MOST_COMBINATIONS = 16  # of a branch with others that are remembered

Branches = tuple[Program, ...]


# The functions ------------------------------------------------------------------------------------


def cond(
    pred: Any,
    true_fun: Any,
    false_fun: Any,
    *operands: Any,
    operand: Any = _MISSING,
    linear: Any = None,
) -> Any:
    """`true_fun(*operands)` where `pred` holds, else `false_fun(*operands)`; only one of them runs.

    Both functions are traced, so that they must return the same structure, shapes and dtypes. Under `vmap`
    over `pred` a function runs, for all lanes, if some lane takes it; results are selected lane by lane. The
    lanes that do not take it neither change derivatives nor make them NaN.

    Args:
        pred: a boolean scalar (or a number: true unless it is zero).
        true_fun, false_fun: functions of the operands.
        operands: pytrees of arrays.
        operand: a single operand, by keyword (an older form).
        linear: accepted for compatibility; ignored.

    The oldest form, `cond(pred, true_operand, true_fun, false_operand, false_fun)`, works too.

    Raises:
        TypeError: `pred` is no scalar of a real type; the functions' results differ in structure or type.
    """
    if len(operands) == 2 and callable(false_fun) and callable(operands[1]) and not callable(true_fun):
        (true_operand, on_true), (false_operand, on_false) = (true_fun, false_fun), operands
        return cond(pred, lambda t, f: on_true(t), lambda t, f: on_false(f), true_operand, false_operand)
    if not (callable(true_fun) and callable(false_fun)):
        raise TypeError(
            "cond: true_fun and false_fun must be functions, got "
            f"{type(true_fun).__name__} and {type(false_fun).__name__}"
        )
    if operand is not _MISSING:
        if operands:
            raise TypeError(
                f"cond: got `operand` by keyword and also {len(operands)} positional operands; pass one kind"
            )
        operands = (operand,)
    index = _index_of_predicate(pred)
    if settings().disable_jit and type(index) is ConcreteArray:
        return (true_fun if index._data else false_fun)(*operands)
    return _cond("cond", index, (false_fun, true_fun), operands, ("false_fun", "true_fun"))


def switch(
    index: Any, branches: Sequence[Callable[..., Any]], *operands: Any, operand: Any = _MISSING
) -> Any:
    """`branches[index](*operands)`, with the index clamped to the valid range; only that branch runs.

    Args:
        index: an integer scalar.
        branches: functions that return the same structure, shapes and dtypes.
        operands: pytrees of arrays.
        operand: a single operand, by keyword.

    Raises:
        TypeError: the index is no integer scalar; the functions' results differ in structure or type.
        ValueError: there are no branches.
    """
    branches = tuple(branches)
    if not all(map(callable, branches)):
        raise TypeError("switch: branches must be a sequence of functions")
    if operand is not _MISSING:
        if operands:
            raise TypeError(
                f"switch: got `operand` by keyword and {len(operands)} positional operands; pass one kind"
            )
        operands = (operand,)
    if not branches:
        raise ValueError("switch: expected at least one branch, got an empty sequence")
    chosen_index = _branch_index(index, len(branches))
    if len(branches) == 1:
        return branches[0](*operands)
    if settings().disable_jit and type(chosen_index) is ConcreteArray:
        return branches[int(chosen_index._data)](*operands)
    names = tuple(f"branch {i}" for i in range(len(branches)))
    return _cond("switch", chosen_index, branches, operands, names)


def platform_dependent(*args: Any, default: Callable[..., Any] | None = None, **per_platform: Any) -> Any:
    """Call the function given for the platform that the program is made for, else `default`.

    Args:
        args: the arguments of the function.
        default: the function for platforms that have none of their own.
        per_platform: functions by the names of platforms: cpu, cuda, rocm, tpu.

    Raises:
        NotImplementedError: there is neither a function for the platform nor a default.
    """
    function = per_platform.get("cpu", default)
    if function is None:
        raise NotImplementedError(
            "platform_dependent: no function for the platform 'cpu' (given: "
            f"{', '.join(sorted(per_platform)) or 'none'}); give one, or a default"
        )
    return function(*args)


def _index_of_predicate(pred: Any) -> Any:
    """0 or 1 as an int32 scalar."""
    if pred is True or pred is False:
        return _INDICES[pred]
    if pred is None:
        raise TypeError("cond: the predicate is None; expected a boolean scalar")
    try:
        value: Any = as_array(pred)
    except TypeError:
        raise TypeError(
            f"cond: the predicate must be a boolean scalar, got {pred!r} of type {type(pred).__name__}"
        ) from None
    aval = value.aval
    if aval.shape:
        raise ShapeError(
            f"cond: the predicate must be a scalar, got {aval.str_short()} of shape {aval.shape}. Reduce it "
            "with .any() or .all(), or choose elementwise with numpy.where."
        )
    if aval.dtype.kind == "c" or (aval.dtype.kind == "V" and aval.tangent is not aval):
        raise DTypeError(f"cond: the predicate must be boolean or a real number, got dtype {value.dtype}")
    if type(value) is ConcreteArray:
        return _INDICES[bool(value._data)]
    if aval.dtype.kind != "b":
        value = ne_p.bind(
            value, convert_element_type_p.bind(_INDICES[0], new_dtype=aval.dtype, weak_type=False)
        )
    return convert_element_type_p.bind(value, new_dtype=_INT32, weak_type=False)


def _branch_index(index: Any, count: int) -> Any:
    """The index clamped to 0..count-1, an int32 scalar."""
    value: Any = as_array(index, name="switch: the index")
    aval = value.aval
    if aval.shape:
        raise ShapeError(f"switch: the index must be a scalar, got {aval.str_short()} of shape {aval.shape}")
    if aval.dtype.kind not in "iu":
        raise DTypeError(
            f"switch: the index must be an integer, got dtype {value.dtype}; use cond for booleans"
        )
    if type(value) is ConcreteArray:
        i = min(max(int(value._data), 0), count - 1)
        return _INDICES[i] if i < len(_INDICES) else wrap(np.array(i, np.int32))
    if aval.dtype != _INT32:
        if aval.dtype.itemsize > 4 or (aval.dtype.kind == "u" and aval.dtype.itemsize == 4):
            value = _clamped(value, count)  # before it is narrowed
        value = convert_element_type_p.bind(value, new_dtype=_INT32, weak_type=False)
    return _clamped(value, count)


def _clamped(value: Any, count: int) -> Any:
    dtype = value.aval.dtype
    low, high = (wrap(np.array(i, dtype)) for i in (0, count - 1))
    return min_p.bind(max_p.bind(value, low), high)


def _cond(
    name: str,
    index: Any,
    functions: Sequence[Callable[..., Any]],
    operands: tuple[Any, ...],
    names: Sequence[str],
) -> Any:
    leaves, in_tree = pytree.flatten(operands)
    arrays = to_arrays(leaves, in_tree, f"{name}: operand")
    avals = [a.aval for a in arrays]
    staged = [stage_flat(f, in_tree, avals, name) for f in functions]
    first = staged[0]
    joined = first.memo.get(key := tuple(staged))
    if joined is None:
        # In the message the branches come as the user wrote them: true_fun before false_fun.
        order = [1, 0] if name == "cond" else range(len(staged))
        _check_branches(
            name, [staged[i] for i in order], [names[i] for i in order], [functions[i] for i in order]
        )
        joined = with_common_consts([(s.program, s.consts) for s in staged])
        if all(s.reusable for s in staged):
            if len(first.memo) >= _MOST_COMBINATIONS:
                first.memo.clear()
            first.memo[key] = joined
    branches, consts = joined
    outs = cond_p.bind(index, *consts, *arrays, branches=branches)
    return pytree.unflatten(first.out_tree, outs)


def _check_branches(
    name: str, staged: Sequence[Staged], names: Sequence[str], functions: Sequence[Any]
) -> None:
    first = staged[0]
    for other, other_name, function in zip(staged[1:], names[1:], functions[1:], strict=True):
        who = f"{names[0]} ({name_of(functions[0])}) and {other_name} ({name_of(function)})"
        if other.out_tree != first.out_tree:
            difference = pytree.explain_structure_difference(
                first.out_tree, other.out_tree, f"the result of {names[0]}", f"the result of {other_name}"
            )
            raise StructureError(f"{name}: {who} must return results of the same structure: {difference}.")
        pairs = list(zip(first.out_avals, other.out_avals, strict=True))
        wrong = [i for i, (a, b) in enumerate(pairs) if not same_type(a, b)]
        if wrong:
            paths = LeafNames("", first.out_tree)
            lines = [
                f"  the result{' at ' + paths[i] if paths[i] else ''} is {pairs[i][0].str_short()} "
                f"from {names[0]}, {pairs[i][1].str_short()} from {other_name}"
                for i in wrong
            ]
            shapes = any(pairs[i][0].shape != pairs[i][1].shape for i in wrong)
            error = ShapeError if shapes else DTypeError
            raise error(
                f"{name}: {who} must return results of the same types, but\n"
                + "\n".join(lines)
                + ("\nGive both the same shape." if shapes else "\nConvert one of them with .astype.")
            )


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
        index, branches = _INDICES[0], (branch,)
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
    cases: dict[int, list[Any]] = {}
    for k in taken if not together else range(len(branches)):
        branch = branches[k]
        if together or not branch.eqns:
            outs, out_dims = batch(lambda *xs, branch=branch: evaluate(branch, xs), axis, operands, dims)
            cases[k] = [to_dim(o, d, 0, axis.size) for o, d in zip(outs, out_dims, strict=True)]
            continue
        either, consts = _lanes(branches, axis, dims, k)
        if known is None:
            some = reduce_max_p.bind(_takes(index, k), axes=(0,))
            found = convert_element_type_p.bind(some, new_dtype=_INT32, weak_type=False)
        else:
            found = _INDICES[1]
        cases[k] = cond_p.bind(found, *consts, index, *operands, branches=either)
    filler = next(iter(cases.values()), [])
    columns = zip(*[cases.get(k, filler) for k in range(len(branches))], strict=True)
    which = ne_p.bind(index, _INDICES[0]) if last == 1 else index
    return [_select(which, column) for column in columns], [0] * len(branches[0].outvars)


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
        first = argmax_p.bind(takes, axis=0, index_dtype=_INT32)
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
    indices = shaped_array((axis.size,), _INT32)
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
    starts = [first if i == dim else _INDICES[0] for i in range(len(shape))]
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
