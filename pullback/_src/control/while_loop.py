"""Loops whose end depends on values: `while_loop`, and `fori_loop` on top of it and of `scan`.

Forward mode carries tangents along in the loop. Linearizing records one equation for the whole loop,
`while_tangent`, which is linear in its tangents and runs the loop of primals again with them; so forward
derivatives compose to any order. It has no transpose: what reverse mode needs from each iteration has no
place in an array of fixed size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..base import pytree
from ..base.config import settings
from ..base.errors import ConcretizationTypeError, DTypeError, ShapeError, StructureError
from ..core import dtypes, rules
from ..core.array import ConcreteArray, as_array, scalar, wrap
from ..core.aval import ShapedArray
from ..core.call import eager_executable
from ..core.evaluate import evaluate
from ..core.kinds import kind
from ..core.primitive import Primitive
from ..core.program import Program
from ..core.staging import stage
from ..core.trace import CURRENT, EXPLAIN
from ..ops.arithmetic import add_p
from ..ops.compare import gt_p, lt_p, select_n_p
from ..ops.convert import convert_element_type, convert_element_type_p
from ..ops.structural import instantiate, reduce_sum_p, reshape
from ..transforms.batch import Axis, batch_program, to_dim
from ..transforms.jvp import concrete, jvp, jvp_program
from ..transforms.linearize import LinearizeTrace
from .common import (
    Mask,
    Staged,
    check_carry_structure,
    check_carry_types,
    chosen,
    linearize_inline,
    name_of,
    nonzero_of,
    positions,
    promoted_carry,
    rewired,
    run_whole,
    spread,
    stage_flat,
    to_arrays,
)
from .scan import checked_unroll
from .scan_rules import grow_mask, scan_p

__all__ = ["fori_loop", "while_loop"]

while_p = Primitive("while", multiple_results=True, call_like=True)
while_tangent_p = Primitive("while_tangent", multiple_results=True, call_like=True)

_INT32 = np.dtype(np.int32)
_BOOL = np.dtype(np.bool_)
_UNCHECKED = object()


# The functions ------------------------------------------------------------------------------------


def while_loop(cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Any) -> Any:
    """Apply `body_fun` to a value as long as `cond_fun` holds for it.

    As the loop `while cond_fun(val): val = body_fun(val)`, but traced once. Forward-mode derivatives work;
    for reverse mode use `fori_loop` with bounds known before tracing, or `scan`.

    Args:
        cond_fun: val -> a boolean scalar.
        body_fun: val -> val, of the same structure, shapes and dtypes.
        init_val: the first value, a pytree of arrays. A Python number takes the dtype that the
            body returns for it.

    Raises:
        TypeError: `cond_fun` returns no boolean scalar; `body_fun` changes the value's structure or types.
    """
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
        tree, _bind_while(condition.program, condition.consts, body.program, body.consts, carry)
    )


def fori_loop(
    lower: Any,
    upper: Any,
    body_fun: Callable[[Any, Any], Any],
    init_val: Any,
    *,
    unroll: int | bool | None = None,
) -> Any:
    """Apply `body_fun(i, val)` for i from `lower` to `upper - 1`.

    With bounds known before tracing it becomes a `scan`, which reverse mode can differentiate; otherwise a
    `while_loop`, which it cannot.

    Args:
        lower, upper: integer scalars; no iteration takes place unless lower < upper.
        body_fun: (i, val) -> val, of the same structure, shapes and dtypes.
        init_val: the first value, a pytree of arrays. A Python number takes the dtype that the
            body returns for it.
        unroll: how many iterations an engine may join into one (0 or True: all); needs known bounds.

    Raises:
        TypeError: bounds that are no integer scalars of one type; a body that changes the value's types.
        ValueError: `unroll` is given, but the bounds are not known.
    """
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
        outs = scan_p.bind(
            *body.consts,
            start,
            *carry,
            program=counting,
            length=max(known[1] - known[0], 0),
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
        outs = _bind_while(condition, [stop], counting, body.consts, [start, *carry])
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


def _bind_while(
    cond_program: Program,
    cond_consts: Sequence[Any],
    body_program: Program,
    body_consts: Sequence[Any],
    carry: Sequence[Any],
) -> list[Any]:
    return while_p.bind(
        *cond_consts,
        *body_consts,
        *carry,
        cond_program=cond_program,
        body_program=body_program,
        cond_nconsts=len(cond_consts),
        body_nconsts=len(body_consts),
    )


# Evaluation and types -----------------------------------------------------------------------------


def _evaluate(
    *args: ConcreteArray, cond_program: Program, body_program: Program, cond_nconsts: int, body_nconsts: int
) -> list[Any]:
    if CURRENT.get() is not EXPLAIN:
        params = {
            "cond_program": cond_program,
            "body_program": body_program,
            "cond_nconsts": cond_nconsts,
            "body_nconsts": body_nconsts,
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
    *avals: ShapedArray, cond_program: Program, body_program: Program, cond_nconsts: int, body_nconsts: int
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


def _split(
    values: Sequence[Any], cond_nconsts: int, body_nconsts: int
) -> tuple[list[Any], list[Any], list[Any]]:
    """Constants of the condition, constants of the body, carry."""
    first = cond_nconsts + body_nconsts
    return list(values[:cond_nconsts]), list(values[cond_nconsts:first]), list(values[first:])


# Derivatives --------------------------------------------------------------------------------------


def _tangent_mask(body_program: Program, body_nconsts: int, consts: Mask, carry: Mask) -> Mask:
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
) -> tuple[list[Any], list[Any]]:
    cond_consts, body_consts, carry = _split(primals, cond_nconsts, body_nconsts)
    moving = tangents[cond_nconsts:]
    nonzero = nonzero_of(moving)
    mask = _tangent_mask(body_program, body_nconsts, nonzero[:body_nconsts], nonzero[body_nconsts:])
    given = [instantiate(t) for t in chosen(moving, mask)]
    count = sum(mask[:body_nconsts])
    test, body, extra = _jvp_programs(cond_program, body_program, cond_nconsts, body_nconsts, mask)
    outs = _bind_while(
        test, cond_consts, body, [*extra, *body_consts, *given[:count]], [*carry, *given[count:]]
    )
    n = len(carry)
    return outs[:n], spread(mask[body_nconsts:], outs[n:], body_program.out_avals)


def _jvp_programs(
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


def _linearize(
    trace: LinearizeTrace,
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    cond_program: Program,
    body_program: Program,
    cond_nconsts: int,
    body_nconsts: int,
) -> tuple[list[Any], list[Any]]:
    params = {
        "cond_program": cond_program,
        "body_program": body_program,
        "cond_nconsts": cond_nconsts,
        "body_nconsts": body_nconsts,
    }
    outs = while_p.bind(*primals, **params)
    moving = tangents[cond_nconsts:]
    nonzero = nonzero_of(moving)
    mask = _tangent_mask(body_program, body_nconsts, nonzero[:body_nconsts], nonzero[body_nconsts:])
    avals = body_program.out_avals
    if not any(mask[body_nconsts:]):
        return outs, spread(mask[body_nconsts:], (), avals)
    given = [instantiate(t) for t in chosen(moving, mask)]
    out_tangents = while_tangent_p.bind(*primals, *given, nonzero=mask, **params)
    return outs, spread(mask[body_nconsts:], out_tangents, avals)


# while_tangent: the tangents of the loop's results, from its operands and the tangents of those in `nonzero`
# (the body's constants and the carry).


def _tangent_decompose(
    *args: Any,
    nonzero: Mask,
    cond_program: Program,
    body_program: Program,
    cond_nconsts: int,
    body_nconsts: int,
) -> list[Any]:
    count = cond_nconsts + len(nonzero)
    cond_consts, body_consts, carry = _split(args[:count], cond_nconsts, body_nconsts)
    given = args[count:]
    known = sum(nonzero[:body_nconsts])
    test, body, extra = _jvp_programs(cond_program, body_program, cond_nconsts, body_nconsts, nonzero)
    outs = _bind_while(
        test, cond_consts, body, [*extra, *body_consts, *given[:known]], [*carry, *given[known:]]
    )
    return outs[len(carry) :]


def _tangent_abstract(
    *avals: ShapedArray, nonzero: Mask, body_program: Program, body_nconsts: int, **_: Any
) -> list[ShapedArray]:
    return [a.tangent for a in chosen(body_program.out_avals, nonzero[body_nconsts:])]


def _tangent_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], **params: Any
) -> tuple[list[Any], list[Any]]:
    return jvp(lambda *xs: _tangent_decompose(*xs, **params), primals, tangents)


def _tangent_linearize(
    trace: LinearizeTrace, primals: Sequence[Any], tangents: Sequence[Any], **params: Any
) -> tuple[list[Any], list[Any]]:
    return linearize_inline(trace, lambda *xs: _tangent_decompose(*xs, **params), primals, tangents)


_NO_REVERSE = (
    "it is a while_loop (or a fori_loop whose bounds are not known before tracing), and reverse mode would "
    "have to store the values of every iteration, whose number is not known. Use fori_loop with static "
    "bounds (Python integers), scan with a fixed length, or forward mode (jvp, jacfwd); or stop the gradient "
    "at the loop's inputs with lax.stop_gradient"
)

rules.evaluate[while_p] = _evaluate
rules.abstract[while_p] = _abstract
rules.jvp[while_p] = _jvp
rules.linearize[while_p] = _linearize
rules.not_transposable[while_p] = _NO_REVERSE

rules.decompose[while_tangent_p] = _tangent_decompose
rules.abstract[while_tangent_p] = _tangent_abstract
rules.jvp[while_tangent_p] = _tangent_jvp
rules.linearize[while_tangent_p] = _tangent_linearize
rules.not_transposable[while_tangent_p] = _NO_REVERSE


# Batching -----------------------------------------------------------------------------------------


def _batch(
    axis: Axis,
    values: Sequence[Any],
    dims: Sequence[int | None],
    *,
    cond_program: Program,
    body_program: Program,
    cond_nconsts: int,
    body_nconsts: int,
) -> tuple[list[Any], list[int | None]]:
    cond_consts, body_consts, carry = _split(values, cond_nconsts, body_nconsts)
    cond_dims, body_dims, carry_dims = _split(dims, cond_nconsts, body_nconsts)

    def run(mask: Mask) -> tuple[Program, Mask, Program]:
        """The batched body, which of its results are mapped, and the batched condition."""
        mapped = tuple(0 if m else None for m in mask)
        body, found = batch_program(body_program, axis, (*body_dims, *mapped), mapped)
        test, (pred_dim,) = batch_program(cond_program, axis, (*cond_dims, *mapped))
        # Lanes that end at different times keep all of their values apart.
        return body, tuple(d is not None or pred_dim is not None for d in found), test

    mask = grow_mask([d is not None for d in carry_dims], lambda mask: run(mask)[1])
    carry = [to_dim(c, d, 0, axis.size) if m else c for c, d, m in zip(carry, carry_dims, mask, strict=True)]
    body, _, test = run(mask)
    body, body_extra = rewired(body, range(len(body.invars)), range(len(body.outvars)))
    out_dims = [0 if m else None for m in mask]
    if not test.out_avals[0].shape:
        test, test_extra = rewired(test, range(len(test.invars)), [0])
        outs = _bind_while(test, [*test_extra, *cond_consts], body, [*body_extra, *body_consts], carry)
        return outs, out_dims
    if body.effectful or cond_program.effectful:
        raise NotImplementedError(
            "while_loop with side effects (callbacks, prints) cannot be batched over its condition: the "
            "effects would take place for lanes that have ended too. Move them out of the loop."
        )
    test, test_extra = rewired(test, range(len(test.invars)), [0])
    return _batch_lanes(test, [*test_extra, *cond_consts], body, [*body_extra, *body_consts], carry), out_dims


def _batch_lanes(
    test: Program, cond_consts: list[Any], body: Program, body_consts: list[Any], carry: list[Any]
) -> list[Any]:
    """Loop until all lanes have ended; a lane that has ended keeps its values.

    The lanes' conditions are part of the carry, so that they are computed once in each iteration.
    """
    key = ("while_lanes", body)
    lanes = test.memo.get(key)
    if lanes is None:
        lanes = test.memo[key] = _lane_programs(test, len(cond_consts), body, len(body_consts))
    any_lane, step = lanes
    active = evaluate(test, [*cond_consts, *carry])[0]
    outs = _bind_while(any_lane, [], step, [*cond_consts, *body_consts], [active, *carry])
    return outs[1:]


def _lane_programs(test: Program, num_test: int, body: Program, num_body: int) -> tuple[Program, Program]:
    carry_avals = body.in_avals[num_body:]
    active_aval = test.out_avals[0]

    def any_lane(active: Any, *carry: Any) -> list[Any]:
        count = reduce_sum_p.bind(
            convert_element_type_p.bind(active, new_dtype=_INT32, weak_type=False),
            axes=tuple(range(active.aval.ndim)),
        )
        return [gt_p.bind(count, scalar(0, _INT32))]

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
