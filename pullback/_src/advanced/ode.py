"""`odeint`: initial value problems, differentiable in every direction."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..api.common import check_callable, name_of, to_array
from ..base import pytree
from ..base.errors import DTypeError, ShapeError, StructureError
from ..control import taylor as _control_flow  # noqa: F401  # power series of loops
from ..control.common import LeafNames, stage_flat
from ..control.ode import Problem, bind_odeint
from ..control.ode_solver import Tolerances
from ..core import dtypes
from ..core.array import ConcreteArray
from ..core.aval import shaped_array
from ..core.kinds import kind
from ..core.program import Program
from ..ops.convert import convert_element_type


def odeint(
    func: Callable[..., Any],
    y0: Any,
    t: Any,
    *args: Any,
    rtol: float = 1.4e-8,
    atol: float = 1.4e-8,
    mxstep: float = math.inf,
    hmax: float = math.inf,
) -> Any:
    """The solution of the initial value problem dy/dt = func(y, t, *args), y(t[0]) = y0, at the times t.

    Adaptive steps of Dormand & Prince's Runge-Kutta pair of orders 5 and 4, with dense output. Derivatives
    are those of the equation: forward mode solves it together with its tangents, reverse mode solves the
    adjoint equation backwards from the states at the times `t`, in constant memory. Both compose to any
    order.

    Args:
        func: (y, t, *args) -> the derivative of y by t, of y's structure, shapes and dtypes. `t` is a
            scalar. Values that `func` closes over are arguments too: one can differentiate by them.
        y0: the initial state, a pytree of floating-point or complex arrays.
        t: at least one time, increasing, a floating-point array. For decreasing times solve for -t.
        args: further arguments, pytrees of arrays.
        rtol, atol: the local error that a step may make: atol + rtol |y| in the root mean square over all
        entries.
        mxstep: the most steps from one time to the next.
        hmax: the longest step.

    Returns:
        y at the times t: a pytree of y0's structure whose leaves have a leading dimension of len(t). It is
        NaN at times that are not reached: after `mxstep` steps, where values become infinite, or at a time
        before steps that have been made (times that are known are checked to increase).

    Raises:
        TypeError, ValueError: `func` does not return what y0 is like; times that are no increasing vector;
            tolerances that are not positive.

    Source: Dormand & Prince (1980); Hairer, Nørsett & Wanner, "Solving Ordinary Differential Equations I",
    II.4; Chen et al., "Neural ordinary differential equations" (2018).

    Example:
        >>> y = odeint(lambda y, t, k: -k * y, 1.0, pnp.array([0.0, 1.0]), 2.0)
        >>> print(y.round(4))  # 1 and exp(-2)
        [1.     0.1353]
    """
    check_callable("odeint", func)
    tolerances = _tolerances(rtol, atol, mxstep, hmax)
    leaves, y_tree = pytree.flatten(y0)
    names = LeafNames("y0", y_tree)
    state = [_state(leaf, names[i]) for i, leaf in enumerate(leaves)]
    ts = _times(t)
    arg_leaves, arg_tree = pytree.flatten(args)
    arg_names = LeafNames("args", arg_tree)
    given = [to_array(a, f"odeint: {arg_names[i]}") for i, a in enumerate(arg_leaves)]
    time = shaped_array((), ts.aval.dtype)
    in_tree = pytree.flatten((y0, 0.0, *args))[1]
    staged = stage_flat(func, in_tree, [*[y.aval for y in state], time, *[a.aval for a in given]], "odeint")
    _check_slopes(func, staged.out_tree, y_tree, [y.aval for y in state], staged.out_avals)
    program = staged.memo.get("odeint")
    if program is None:
        program = staged.memo["odeint"] = _arranged(staged.program, len(staged.consts), len(state))
    problem = Problem(program, len(staged.consts) + len(given), ts.aval, tolerances)
    return pytree.unflatten(y_tree, bind_odeint(problem, [*staged.consts, *given, *state, ts]))


def _arranged(program: Program, consts: int, state: int) -> Program:
    """(constants, state, time, arguments) -> ... as (constants, arguments, state, time) -> ..."""
    invars = program.invars
    first, last = consts, consts + state + 1
    order = [*invars[:first], *invars[last:], *invars[first:last]]
    return Program(order, program.outvars, program.eqns, name=program.name)


def _state(leaf: Any, name: str) -> Any:
    value: Any = to_array(leaf, f"odeint: {name}")
    if kind(value.aval.dtype) not in "fc":
        raise DTypeError(
            f"odeint: {name} is {value.aval.str_short()}; a state that changes continuously is "
            f"floating-point or "
            "complex. Convert it with .astype."
        )
    return convert_element_type(value, value.aval.dtype) if value.aval.weak_type else value


def _times(t: Any) -> Any:
    ts: Any = to_array(t, "odeint: t")
    aval = ts.aval
    if kind(aval.dtype) != "f":
        raise DTypeError(
            f"odeint: the times t must be floating-point, got {aval.str_short()}; convert them with .astype"
        )
    if aval.ndim != 1 or not aval.size:
        raise ShapeError(
            f"odeint: t must be a vector of at least one time (the first is that of y0), got shape "
            f"{aval.shape}"
        )
    if type(ts) is ConcreteArray and np.any(np.diff(np.asarray(ts._data)) < 0):
        raise ValueError(
            "odeint: the times t must increase. To solve backwards substitute s = -t: solve "
            "lambda y, s: -func(y, -s) at the times -t."
        )
    return convert_element_type(ts, aval.dtype) if aval.weak_type else ts


def _tolerances(rtol: Any, atol: Any, mxstep: Any, hmax: Any) -> Tolerances:
    values = []
    for name, value in (("rtol", rtol), ("atol", atol), ("mxstep", mxstep), ("hmax", hmax)):
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"odeint: {name} must be a number known before tracing, got {value!r}") from None
        if not (number > 0 or (number == 0 and name in ("rtol", "atol"))):
            raise ValueError(f"odeint: {name} must be positive, got {value}")
        values.append(number)
    if values[0] == values[1] == 0:
        raise ValueError("odeint: rtol and atol cannot both be zero")
    return Tolerances(*values)


def _check_slopes(func: Any, tree: Any, expected_tree: Any, expected: Any, found: Any) -> None:
    if tree != expected_tree:
        difference = pytree.explain_structure_difference(expected_tree, tree, "y0", "the derivative")
        raise StructureError(
            f"odeint: {name_of(func)} must return dy/dt in the structure of y0: {difference}"
        )
    names = LeafNames("", tree)
    for i, (a, b) in enumerate(zip(expected, found, strict=True)):
        where = f"the derivative{names[i]}" if names[i] else "the derivative"
        if a.shape != b.shape:
            raise ShapeError(
                f"odeint: {where} that {name_of(func)} returns has shape {b.shape}, but that part of y0 "
                f"has {a.shape}; "
                "dy/dt has the shape of y"
            )
        if a.dtype != b.dtype:
            raise DTypeError(
                f"odeint: {where} that {name_of(func)} returns has dtype {dtypes.dtype_name(b.dtype)}, but "
                f"that part "
                f"of y0 has {dtypes.dtype_name(a.dtype)}; convert y0 or the derivative with .astype"
            )
