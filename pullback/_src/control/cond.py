"""Choosing one of several functions by a value: `cond`, `switch`, `platform_dependent`.

`cond_p` takes an int32 index and the operands of all branches; only the chosen branch runs (`cond_rules`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..base import pytree
from ..base.config import settings
from ..base.errors import DTypeError, ShapeError, StructureError
from ..core.array import ConcreteArray, as_array, wrap
from ..ops.arithmetic import max_p, min_p
from ..ops.compare import ne_p
from ..ops.convert import convert_element_type_p
from .common import (
    LeafNames,
    Staged,
    name_of,
    same_type,
    stage_flat,
    to_arrays,
    with_common_consts,
)
from .cond_rules import INDICES, INT32, cond_p

__all__ = ["cond", "platform_dependent", "switch"]

_MISSING: Any = object()
_MOST_COMBINATIONS = 16  # of a branch with others that are remembered


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
    over `pred` a function runs, for all lanes, if some lane takes it (or if both are a few elementwise
    operations); results are selected lane by lane. The lanes that do not take it neither change derivatives
    nor make them NaN.

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
        return INDICES[pred]
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
        return INDICES[bool(value._data)]
    if aval.dtype.kind != "b":
        value = ne_p.bind(
            value, convert_element_type_p.bind(INDICES[0], new_dtype=aval.dtype, weak_type=False)
        )
    return convert_element_type_p.bind(value, new_dtype=INT32, weak_type=False)


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
        return INDICES[i] if i < len(INDICES) else wrap(np.array(i, np.int32))
    if aval.dtype != INT32:
        if aval.dtype.itemsize > 4 or (aval.dtype.kind == "u" and aval.dtype.itemsize == 4):
            value = _clamped(value, count)  # before it is narrowed
        value = convert_element_type_p.bind(value, new_dtype=INT32, weak_type=False)
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
