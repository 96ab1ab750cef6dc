"""The solver of `odeint`: the Runge-Kutta pair of Dormand and Prince, with adaptive steps and dense output.

Formulas: Dormand & Prince, "A family of embedded Runge-Kutta formulae" (1980); step sizes: Hairer, Nørsett &
Wanner, "Solving Ordinary Differential Equations I", sections II.4 and II.6; the state in the middle of a
step: Shampine, "Some practical Runge-Kutta formulas" (1986).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core.array import wrap
from ..ops.arithmetic import abs as absolute
from ..ops.arithmetic import add, bitwise_and, clamp, div, max, min, mul, pow, square, sub
from ..ops.compare import eq, ge, gt, le, lt, select_n
from ..ops.convert import convert_element_type
from ..ops.joining import concatenate
from ..ops.slicing import index_in_dim, slice_in_dim
from ..ops.structural import broadcast_to, full, reduce_sum_p, reshape
from ..ops.transcendental import sqrt
from .scan import scan
from .while_loop import while_loop

Field = Callable[[Sequence[Any], Any], Sequence[Any]]


class Tolerances(NamedTuple):
    """Of local errors, relative and absolute; the most steps to one time; the longest step."""

    rtol: float
    atol: float
    mxstep: float
    hmax: float


_NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0)
_STAGES: tuple[tuple[float, ...], ...] = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
)
_STEP = (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)
_FOURTH = (5179 / 57600, 0.0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40)
_ERROR = tuple(a - b for a, b in zip((*_STEP, 0.0), _FOURTH, strict=True))
_MIDDLE = (
    6025192743 / 30085553152 / 2,
    0.0,
    51252292925 / 65400821598 / 2,
    -2691868925 / 45128329728 / 2,
    187940372067 / 1594534317056 / 2,
    -1776094331 / 19743644256 / 2,
    11237099 / 235043384 / 2,
)
_SAFETY, _GROWTH, _SHRINKAGE, _ORDER = 0.9, 10.0, 0.2, 5.0


class _State(NamedTuple):
    """The solver between steps: now, the last step (from, in the middle), and the length of the next."""

    y: Sequence[Any]
    f: Sequence[Any]
    t: Any
    dt: Any
    last_y: Sequence[Any]
    last_f: Sequence[Any]
    middle: Sequence[Any]
    last_t: Any


def solve(field: Field, y0: Sequence[Any], ts: Any, tolerances: Tolerances) -> list[Any]:
    """The states at the times `ts` (increasing), stacked; NaN where the solver does not get.

    Args:
        field: (state, time) -> derivatives, lists of arrays of the same types as the state's.
    """
    n = ts.aval.shape[0]
    t0 = index_in_dim(ts, 0, 0, False)
    first = [reshape(y, (1, *y.aval.shape)) for y in y0]
    if n == 1:
        return first
    f0 = list(field(y0, t0))
    dt = _limited(_initial_step(field, y0, f0, t0, tolerances), tolerances)
    start = _State(list(y0), f0, t0, dt, list(y0), f0, list(y0), t0)

    def advance(state: _State, target: Any) -> tuple[_State, list[Any]]:
        state = _advance(field, state, target, tolerances)
        return state, _interpolated(state, target)

    _, rows = scan(advance, start, slice_in_dim(ts, 1, n))
    return [concatenate([a, b], 0) for a, b in zip(first, rows, strict=True)]


def _advance(field: Field, state: _State, target: Any, tolerances: Tolerances) -> _State:
    """Steps until `target` lies within the last one."""
    counted = math.isfinite(tolerances.mxstep)

    def unfinished(carry: tuple[Any, _State]) -> Any:
        count, s = carry
        going = bitwise_and(lt(s.t, target), gt(s.dt, 0.0))
        return bitwise_and(going, lt(count, int(tolerances.mxstep))) if counted else going

    def step(carry: tuple[Any, _State]) -> tuple[Any, _State]:
        count, s = carry
        new, ratio = _step(field, s, tolerances)
        accepted = le(ratio, 1.0)
        kept = [select_n(accepted, a, b) for a, b in zip(_leaves(s), _leaves(new), strict=True)]
        state = _rebuilt(s, kept)._replace(dt=new.dt)
        return (add(count, 1) if counted else count), state

    zero = wrap(np.zeros((), np.int32))
    return while_loop(unfinished, step, (zero, state))[1]


def _leaves(s: _State) -> list[Any]:
    return [*s.y, *s.f, *s.last_y, *s.last_f, *s.middle, s.t, s.dt, s.last_t]


def _rebuilt(like: _State, leaves: list[Any]) -> _State:
    n = len(like.y)
    y, f, last_y, last_f, middle = (leaves[i * n : (i + 1) * n] for i in range(5))
    t, dt, last_t = leaves[5 * n :]
    return _State(y, f, t, dt, last_y, last_f, middle, last_t)


def _step(field: Field, s: _State, tolerances: Tolerances) -> tuple[_State, Any]:
    """The state after one step, with the length of the next, and the error over what is tolerated."""
    slopes = [s.f]
    for node, weights in zip(_NODES, _STAGES, strict=True):
        y = _moved(s.y, s.dt, weights, slopes)
        slopes.append(list(field(y, add(s.t, mul(s.dt, node)))))
    new_y = _moved(s.y, s.dt, _STEP, slopes)
    new_t = add(s.t, s.dt)
    slopes.append(list(field(new_y, new_t)))
    middle = _moved(s.y, s.dt, _MIDDLE, slopes)
    errors = [times(_combined(_ERROR, column), s.dt) for column in zip(*slopes, strict=True)]
    ratio = _error_ratio(errors, s.y, new_y, s.dt, tolerances)
    dt = _limited(_next_step(s.dt, ratio), tolerances)
    return _State(new_y, slopes[-1], new_t, dt, s.y, s.f, middle, s.t), ratio


def _combined(weights: Sequence[float], values: Sequence[Any]) -> Any:
    total: Any = None
    for w, v in zip(weights, values, strict=False):
        if w:
            term = mul(v, w)
            total = term if total is None else add(total, term)
    return total


def _moved(y: Sequence[Any], dt: Any, weights: Sequence[float], slopes: Sequence[Sequence[Any]]) -> list[Any]:
    columns = zip(*slopes, strict=True)
    return [add(v, times(_combined(weights, c), dt)) for v, c in zip(y, columns, strict=True)]


def times(x: Any, t: Any, convert_only: bool = False) -> Any:
    """x * t in the type of x, for a time t; or only x in the type of t."""
    if convert_only:
        return x if x.aval.dtype == t.aval.dtype else convert_element_type(x, t.aval.dtype)
    return mul(x, t if x.aval.dtype == t.aval.dtype else convert_element_type(t, x.aval.dtype))


def _mean_square(values: Sequence[Any], scales: Sequence[Any], like: Any, mean: bool) -> Any:
    """The square root of the sum (or mean) of squares of values over scales, in the type of `like`."""
    total: Any = None
    for v, s in zip(values, scales, strict=True):
        ratio = square(div(absolute(v), s))
        term = times(reduce_sum_p.bind(ratio, axes=tuple(range(ratio.aval.ndim))), like, convert_only=True)
        total = term if total is None else add(total, term)
    if mean:
        total = div(total, float(np.maximum(sum(v.aval.size for v in values), 1)))
    return sqrt(total)


def _error_ratio(
    errors: Sequence[Any], y: Sequence[Any], new_y: Sequence[Any], dt: Any, tolerances: Tolerances
) -> Any:
    scales = [
        add(mul(max(absolute(a), absolute(b)), tolerances.rtol), tolerances.atol)
        for a, b in zip(y, new_y, strict=True)
    ]
    return _mean_square(errors, scales, dt, mean=True)


def _next_step(dt: Any, ratio: Any) -> Any:
    least = select_n(lt(ratio, 1.0), full((), _SHRINKAGE, dt.aval.dtype), full((), 1.0, dt.aval.dtype))
    nothing = eq(ratio, 0.0)
    safe = select_n(nothing, ratio, full((), 1.0, dt.aval.dtype))
    factor = min(max(mul(pow(safe, -1.0 / _ORDER), _SAFETY), least), _GROWTH)
    return mul(dt, select_n(nothing, factor, full((), _GROWTH, dt.aval.dtype)))


def _limited(dt: Any, tolerances: Tolerances) -> Any:
    """A step's length in [0, hmax]."""
    return clamp(0.0, dt, tolerances.hmax)


def _initial_step(field: Field, y0: Sequence[Any], f0: Sequence[Any], t0: Any, tolerances: Tolerances) -> Any:
    dtype = t0.aval.dtype
    scales = [add(mul(absolute(y), tolerances.rtol), tolerances.atol) for y in y0]
    d0, d1 = (_mean_square(v, scales, t0, mean=False) for v in (y0, f0))
    small = _either(lt(d0, 1e-5), lt(d1, 1e-5))
    one = full((), 1.0, dtype)
    guess = mul(div(d0, select_n(small, d1, one)), 0.01)
    h0 = select_n(small, guess, full((), 1e-6, dtype))
    f1 = field([add(y, times(f, h0)) for y, f in zip(y0, f0, strict=True)], add(t0, h0))
    changes = [sub(a, b) for a, b in zip(f1, f0, strict=True)]
    d2 = div(_mean_square(changes, scales, t0, mean=False), h0)
    largest = max(d1, d2)
    flat = le(largest, 1e-15)
    by_order = pow(div(full((), 0.01, dtype), select_n(flat, largest, one)), 1.0 / _ORDER)
    h1 = select_n(flat, by_order, max(mul(h0, 1e-3), 1e-6))
    return min(mul(h0, 100.0), h1)


def _either(a: Any, b: Any) -> Any:
    return max(a, b)


def _interpolated(s: _State, target: Any) -> list[Any]:
    """The state within the last step: the quartic through both ends, their slopes and the middle."""
    span = sub(s.t, s.last_t)
    still = eq(span, 0.0)
    x = div(sub(target, s.last_t), select_n(still, span, full((), 1.0, span.aval.dtype)))
    reached = bitwise_and(ge(s.t, target), ge(target, s.last_t))
    outs = []
    for y0, y1, middle, f0, f1 in zip(s.last_y, s.y, s.middle, s.last_f, s.f, strict=True):
        d0, d1 = times(f0, span), times(f1, span)
        up, half = sub(y1, y0), sub(middle, y0)
        # With y0 taken off all values: no cancellation of what the solution has in common.
        a = add(sub(mul(half, 16.0), mul(up, 8.0)), mul(sub(d1, d0), 2.0))
        b = sub(add(mul(up, 14.0), mul(d0, 5.0)), add(mul(half, 32.0), mul(d1, 3.0)))
        c = add(sub(mul(half, 16.0), mul(up, 5.0)), sub(d1, mul(d0, 4.0)))
        inner = times(a, x)
        for coefficient in (b, c, d0):
            inner = times(add(inner, coefficient), x)
        value = add(y0, inner)
        nan = full(value.aval.shape, math.nan, value.aval.dtype)
        outs.append(select_n(broadcast_to(reached, value.aval.shape), nan, value))
    return outs
