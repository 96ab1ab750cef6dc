"""Loops whose end depends on values: `while_loop`, and `fori_loop` on top of it and of `scan`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..base import pytree
from ..base.config import settings
from ..base.errors import ConcretizationTypeError, DTypeError, ShapeError, StructureError
from ..core import dtypes
from ..core.array import ConcreteArray, as_array, scalar, wrap
from ..core.aval import ShapedArray
from ..core.evaluate import evaluate
from ..core.kinds import kind
from ..core.program import Program
from ..core.staging import stage
from ..ops.arithmetic import add_p
from ..ops.compare import lt_p
from ..ops.convert import convert_element_type
from ..transforms.jvp import concrete
from . import loop_adjoint, while_reverse  # noqa: F401 - registers the rules of reverse mode
from .common import (
    Staged,
    check_carry_structure,
    check_carry_types,
    name_of,
    promoted_carry,
    stage_flat,
    to_arrays,
)
from .counted import Loop, checked_slots
from .scan import checked_unroll
from .scan_rules import scan_p
from .while_rules import bind_while

__all__ = ["fori_loop", "while_loop"]

_BOOL = np.dtype(np.bool_)
_UNCHECKED = object()


# The functions ------------------------------------------------------------------------------------


def while_loop(
    cond_fun: Callable[[Any], Any],
    body_fun: Callable[[Any], Any],
    init_val: Any,
    *,
    checkpoints: int | None = None,
) -> Any:
    """Apply `body_fun` to a value as long as `cond_fun` holds for it.

    As the loop `while cond_fun(val): val = body_fun(val)`, but traced once, with derivatives in both modes
    to any order. For reverse mode the loop keeps a few states while it runs (Wang, Moin and Iaccarino, 2009).
    The derivative runs the body again from these, by the binomial schedule (Griewank and Walther, 2000).

    Args:
        cond_fun: val -> a boolean scalar.
        body_fun: val -> val, of the same structure, shapes and dtypes.
        init_val: the first value, a pytree of arrays. A Python number takes the dtype that the
            body returns for it.
        checkpoints: how many states of the value reverse mode may hold, at least 1. With s of them, up to
            C(s + r, s) turns are run r + 1 times at most. By default up to 256 states that fit into 64 MB.

    Raises:
        TypeError: `cond_fun` returns no boolean scalar; `body_fun` changes the value's structure or types;
            `checkpoints` is no integer.
        ValueError: `checkpoints` is less than 1.
    """
    slots = checked_slots("while_loop: checkpoints", checkpoints)
    if not (callable(cond_fun) and callable(body_fun)):
        raise TypeError(
            f"while_loop: cond_fun and body_fun must be functions, got {type(cond_fun).__name__} and "
            f"{type(body_fun).__name__}"
        )
    if settings().disable_jit:
        try:
            value = init_val
            while cond_fun(value):
                value = body_fun(value)
            return value
        except ConcretizationTypeError:
            pass  # the condition is traced by another transformation: loop as an operation
    leaves, in_tree = pytree.flatten((init_val,))
    tree = in_tree.child(0)
    carry = to_arrays(leaves, tree, "while_loop: init_val")
    body, carry = _stage_body("while_loop", body_fun, in_tree, tree, carry)
    condition = stage_flat(cond_fun, in_tree, [c.aval for c in carry], "while_loop")
    _check_condition(condition, cond_fun)
    return pytree.unflatten(
        tree, bind_while(condition.program, condition.consts, body.program, body.consts, carry, slots)
    )


def fori_loop(
    lower: Any,
    upper: Any,
    body_fun: Callable[[Any, Any], Any],
    init_val: Any,
    *,
    unroll: int | bool | None = None,
    checkpoints: int | None = None,
) -> Any:
    """Apply `body_fun(i, val)` for i from `lower` to `upper - 1`.

    With bounds known before tracing it becomes a `scan`, otherwise a `while_loop`. Reverse mode keeps what it
    needs of every iteration of a scan, unless `checkpoints` bounds the states that it may hold.

    Args:
        lower, upper: integer scalars; no iteration takes place unless lower < upper.
        body_fun: (i, val) -> val, of the same structure, shapes and dtypes.
        init_val: the first value, a pytree of arrays. A Python number takes the dtype that the
            body returns for it.
        unroll: how many iterations an engine may join into one (0 or True: all); needs known bounds.
        checkpoints: see `while_loop`.

    Raises:
        TypeError: bounds that are no integer scalars of one type; a body that changes the value's types.
        ValueError: `unroll` is given, but the bounds are not known; `checkpoints` is less than 1.
    """
    slots = checked_slots("fori_loop: checkpoints", checkpoints)
    if not callable(body_fun):
        raise TypeError(f"fori_loop: body_fun must be a function, got {type(body_fun).__name__}")
    start, stop = _bounds(lower, upper)
    known = None
    if (low := concrete(start)) is not None and (high := concrete(stop)) is not None:
        known = int(low._data), int(high._data)
    if unroll is not None and known is None:
        raise ValueError(
            "fori_loop: unroll needs bounds known before tracing (Python integers or static arguments)"
        )
    if settings().disable_jit and known is not None:
        for i in range(*known):
            init_val = body_fun(i, init_val)
        return init_val
    if known is not None:
        start = _weak_int(start)
    leaves, in_tree = pytree.flatten((start, init_val))
    tree = in_tree.child(1)
    carry = to_arrays(leaves[1:], tree, "fori_loop: init_val")
    body, carry = _stage_body("fori_loop", body_fun, in_tree, tree, carry, start)
    counting = body.memo.get("counting")
    if counting is None:
        counting = body.memo["counting"] = _counting(body.program, len(body.consts), start.aval)
    if known is not None:
        operands, length = [*body.consts, start, *carry], max(known[1] - known[0], 0)
        if slots is not None:
            loop = Loop(counting, len(body.consts), 1 + len(carry), length, False, slots)
            return pytree.unflatten(tree, loop.bind(operands)[1:])
        outs = scan_p.bind(
            *operands,
            program=counting,
            length=length,
            reverse=False,
            unroll=1 if unroll is None else checked_unroll(unroll),
            num_consts=len(body.consts),
            num_carry=1 + len(carry),
        )
    else:
        key = ("below", stop.aval)
        condition = body.memo.get(key)
        if condition is None:
            avals = [stop.aval, *counting.in_avals[len(body.consts) :]]
            condition = body.memo[key] = stage(
                lambda end, i, *_: [lt_p.bind(i, end)], avals, name="fori_loop"
            )
        outs = bind_while(condition, [stop], counting, body.consts, [start, *carry], slots)
    return pytree.unflatten(tree, outs[1:])


def _bounds(lower: Any, upper: Any) -> tuple[Any, Any]:
    """Both bounds as integer scalars of one dtype; a Python integer takes that of the other bound."""
    bounds: list[Any] = []
    for which, bound in (("lower", lower), ("upper", upper)):
        try:
            value: Any = as_array(bound)
        except TypeError:
            raise TypeError(
                f"fori_loop: {which} must be an integer, got {bound!r} of type {type(bound).__name__}"
            ) from None
        if kind(value.aval.dtype) not in "iu":
            raise DTypeError(f"fori_loop: {which} must be an integer, got {value.aval.str_short()}")
        if value.aval.shape:
            raise ShapeError(f"fori_loop: {which} must be a scalar, got {value.aval.str_short()}")
        bounds.append(value)
    a, b = (v.aval for v in bounds)
    if a.dtype != b.dtype:
        if not (a.weak_type or b.weak_type):
            raise DTypeError(
                f"fori_loop: lower and upper must have one dtype, got {bounds[0].dtype} and "
                f"{bounds[1].dtype}; convert one"
            )
        dtype = b.dtype if a.weak_type else a.dtype
        # NumPy converts known bounds, so that they stay known also while a function is traced.
        bounds = [
            wrap(v._data.astype(dtype)) if type(v) is ConcreteArray else convert_element_type(v, dtype)
            for v in bounds
        ]
    return bounds[0], bounds[1]


def _weak_int(start: Any) -> Any:
    """The counter of a loop with known bounds: weakly typed, of the default integer dtype where it fits."""
    value = int(concrete(start)._data)  # type: ignore[union-attr]  # the bounds are known
    dtype = dtypes.default_int_dtype()
    if not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
        return start
    return scalar(value, dtype)


def _stage_body(
    name: str,
    f: Callable[..., Any],
    in_tree: pytree.TreeSpec,
    tree: pytree.TreeSpec,
    carry: list[Any],
    *counter: Any,
) -> tuple[Staged, list[Any]]:
    """The body's program, checked, and the initial carry with weak types promoted as the body asks."""
    while True:
        avals = [c.aval for c in carry]
        staged = stage_flat(f, in_tree, [*[c.aval for c in counter], *avals], name)
        promoted = staged.memo.get("promoted", _UNCHECKED)
        if promoted is _UNCHECKED:
            check_carry_structure(name, tree, staged.out_tree)
            promoted = promoted_carry(avals, staged.out_avals)
            if promoted is None:
                check_carry_types(name, tree, avals, staged.out_avals)
            staged.memo["promoted"] = promoted
        if promoted is None:
            return staged, carry
        carry = [
            c if c.aval is a else convert_element_type(c, a.dtype)
            for c, a in zip(carry, promoted, strict=True)
        ]


def _counting(program: Program, num_consts: int, counter: ShapedArray) -> Program:
    """The body (constants, i, values) -> values as one of (constants, i, values) -> (i + 1, values)."""
    one = scalar(1, counter.dtype)

    def run(*args: Any) -> list[Any]:
        return [add_p.bind(args[num_consts], one), *evaluate(program, args)]

    return stage(run, program.in_avals, name=program.name)


def _check_condition(condition: Staged, cond_fun: Any) -> None:
    tree = condition.out_tree
    name = name_of(cond_fun)
    if not tree.is_leaf():
        raise StructureError(
            f"while_loop: cond_fun ({name}) must return a boolean scalar, got {pytree.format_structure(tree)}"
        )
    (aval,) = condition.out_avals
    if aval.dtype != _BOOL:
        raise DTypeError(
            f"while_loop: cond_fun ({name}) must return a boolean scalar, got {aval.str_short()}; compare, "
            "for example with != 0"
        )
    if aval.shape:
        raise ShapeError(
            f"while_loop: cond_fun ({name}) must return a boolean scalar, got {aval.str_short()} of shape "
            f"{aval.shape}; reduce it with .any() or .all()"
        )
