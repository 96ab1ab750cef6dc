"""Solvers of equations for `implicit`: functions of (f, guess) that return (x, Info).

x is a pytree like the guess, and f(x) another. They are not differentiated, so they may do anything that can
be traced; these here are `while_loop`s of vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..api.vjp import linearize
from ..base import pytree
from ..base.errors import ShapeError
from ..control.while_loop import while_loop
from ..core import dtypes
from ..core.array import ConcreteArray, as_array
from ..lib.flatten_util import ravel_pytree
from ..lib.numpy import linalg
from ..lib.numpy.contractions import vdot
from ..lib.numpy.creation import eye, zeros
from ..lib.numpy.elementwise import abs as absolute
from ..lib.numpy.elementwise import real, sign
from ..lib.numpy.logic import isfinite
from ..lib.numpy.manipulation import broadcast_to
from ..lib.numpy.norms import norm
from ..lib.numpy.promotion import asarray
from ..lib.numpy.reductions import all as all_of
from ..lib.numpy.reductions import max as max_of
from ..lib.numpy.where import where
from .linear_solvers import LinearSolver, automatic, default_tolerance, gmres


class Info(NamedTuple):
    """How a solver ended: three scalar arrays.

    Attributes:
        converged: whether it reached its tolerance.
        steps: how many steps it took.
        error: the largest entry of |f(x)|.
    """

    converged: Any
    steps: Any
    error: Any


Solver = Callable[[Callable[[Any], Any], Any], tuple[Any, Info]]


def _vectors(f: Callable[[Any], Any], guess: Any) -> tuple[Callable[[Any], Any], Any, Callable[[Any], Any]]:
    """The function of vectors, the first vector, and what makes a pytree of one."""
    x, unravel = ravel_pytree(guess)
    return lambda v: ravel_pytree(f(unravel(v)))[0], x, unravel


def _largest(x: Any) -> Any:
    return max_of(absolute(x), initial=0)


def _small(error: Any, x: Any, tol: float | None) -> Any:
    tol = default_tolerance(x.dtype) if tol is None else tol
    return error <= tol * (1 + _largest(x))


def newton(
    tol: float | None = None,
    max_steps: int = 50,
    linear_solver: LinearSolver | None = None,
    line_search: bool = True,
    merit: Callable[[Any], Any] | None = None,
) -> Solver:
    """Newton's method: the residual is linearized once a step, and the linear system solved.

    Args:
        tol: converged if max|f(x)| is at most `tol * (1 + max|x|)`, or the step is nothing but rounding; by
            default eps^(3/4), about 2e-12 for 64 bits and 6e-6 for 32.
        max_steps: the most steps.
        linear_solver: by default `dense` for up to 500 unknowns, `gmres` for more.
        line_search: halve a step (20 times at most) that does not make `merit` smaller.
        merit: by default the norm of f. For minima, where f is a gradient, the objective: then directions in
            which it does not fall are replaced by that of the gradient.
    """
    _check("newton", tol, max_steps)
    solve_linear = automatic(gmres()) if linear_solver is None else linear_solver

    def solve(f: Callable[[Any], Any], guess: Any) -> tuple[Any, Info]:
        run, x, unravel = _vectors(f, guess)
        rounding = 16 * float(dtypes.finfo(dtypes.to_real_dtype(np.dtype(x.dtype))).eps)

        def measured(x: Any) -> tuple[Any, Any, Any]:
            r = run(x)
            size = norm(r)
            return r, size, size if merit is None else merit(unravel(x))

        def better(size: Any, value: Any, old_size: Any, old_value: Any) -> Any:
            # Near a minimum an objective is flat to rounding long before its gradient is zero.
            flat = value <= old_value + rounding * absolute(old_value)
            return (value < old_value) | (flat & (size < old_size))

        def turn(state: Any) -> Any:
            k, x, r, size, value, _, _ = state
            _, push = linearize(run, x)
            step = solve_linear(push, r)
            if merit is not None:
                step = where(real(vdot(r, step)) > 0, step, r)

            def halve(state: Any) -> Any:
                h, t, *_ = state
                return h + 1, t * 0.5, *measured(x - t * 0.5 * step)

            t = as_array(1.0).astype(x.dtype)
            _, t, new_r, new_size, new_value = while_loop(
                lambda s: ~better(s[3], s[4], size, value) & (s[0] < (20 if line_search else 0)),
                halve,
                (as_array(0), t, *measured(x - t * step)),
            )
            rounded = _largest(step) <= rounding * _largest(x)
            good = better(new_size, new_value, size, value) | (not line_search)
            x, r = where(good, x - t * step, x), where(good, new_r, r)
            size, value = where(good, new_size, size), where(good, new_value, value)
            done = _small(_largest(r), x, tol) | rounded
            return k + 1, x, r, size, value, done, (good | done) & isfinite(size)

        r, size, value = measured(x)
        start = as_array(0), x, r, size, value, _small(_largest(r), x, tol), isfinite(size)
        k, x, r, _, _, done, _ = while_loop(lambda s: ~s[5] & s[6] & (s[0] < max_steps), turn, start)
        return unravel(x), Info(done, k, _largest(r))

    return solve


def iteration(damping: float = 1.0, tol: float | None = None, max_steps: int = 1000) -> Solver:
    """x <- x + damping * f(x): for a fixed point of g, where f(x) is g(x) - x, the plain iteration x <- g(x).

    Args:
        damping: the part of the step that is taken.
        tol: converged if max|f(x)| is at most `tol * (1 + max|x|)`; by default eps^(3/4).
        max_steps: the most steps.
    """
    _check("iteration", tol, max_steps)

    def solve(f: Callable[[Any], Any], guess: Any) -> tuple[Any, Info]:
        run, x, unravel = _vectors(f, guess)

        def turn(state: Any) -> Any:
            k, x, r, _ = state
            x = x + damping * r
            r = run(x)
            return k + 1, x, r, _largest(r)

        r = run(x)
        k, x, _, error = while_loop(
            lambda s: (s[3] > _threshold(s[1], tol)) & (s[0] < max_steps),
            turn,
            (as_array(0), x, r, _largest(r)),
        )
        return unravel(x), Info(_small(error, x, tol), k, error)

    return solve


def _threshold(x: Any, tol: float | None) -> Any:
    return (default_tolerance(x.dtype) if tol is None else tol) * (1 + _largest(x))


def anderson(
    memory: int = 5,
    mixing: float = 1.0,
    ridge: float | None = None,
    tol: float | None = None,
    max_steps: int = 200,
) -> Solver:
    """Anderson acceleration of `iteration`: a secant method with the last few steps.

    Args:
        memory: how many differences of steps are kept.
        mixing: the part of the (accelerated) residual that is added.
        ridge: what is added to the normal equations, relative to their largest entry; by default 10 eps.
        tol: converged if max|f(x)| is at most `tol * (1 + max|x|)`; by default eps^(3/4).
        max_steps: the most steps.

    Source: Walker & Ni, "Anderson acceleration for fixed-point iterations" (2011).
    """
    _check("anderson", tol, max_steps)
    if memory < 1:
        raise ValueError(f"implicit.anderson: memory must be at least 1, got {memory}")

    def solve(f: Callable[[Any], Any], guess: Any) -> tuple[Any, Info]:
        run, x, unravel = _vectors(f, guess)
        n, dtype = x.shape[0], x.dtype
        eps = float(dtypes.finfo(dtypes.to_real_dtype(np.dtype(dtype))).eps)
        extra = 10 * eps if ridge is None else ridge

        def turn(state: Any) -> Any:
            k, x, r, dx, dr, _ = state
            gram = dr.conj() @ dr.T
            scale = _largest(gram)
            scale = where(scale > 0, scale, 1)
            weights = linalg.solve(gram / scale + extra * eye(memory, dtype=dtype), dr.conj() @ r / scale)
            step = mixing * r - weights @ (dx + mixing * dr)
            further = run(x + step)
            place = k % memory
            dx, dr = dx.at[place].set(step), dr.at[place].set(further - r)
            return k + 1, x + step, further, dx, dr, _largest(further)

        r, empty = run(x), zeros((memory, n), dtype)
        k, x, *_, error = while_loop(
            lambda s: (s[5] > _threshold(s[1], tol)) & (s[0] < max_steps),
            turn,
            (as_array(0), x, r, empty, empty, _largest(r)),
        )
        return unravel(x), Info(_small(error, x, tol), k, error)

    return solve


def bisection(lower: Any, upper: Any, max_steps: int | None = None) -> Solver:
    """Halve an interval in which f changes its sign, entry by entry of an array.

    Each entry of f(x) must depend on the same entry of x only. The guess gives structure, shapes and dtypes.
    If f has the same sign at both ends, x is NaN there and `converged` False.

    Args:
        lower, upper: the ends: numbers, or arrays or pytrees that fit the guess.
        max_steps: by default as many as halve the interval down to neighbouring numbers.
    """
    _check("bisection", None, 1 if max_steps is None else max_steps)
    _check_bracket(lower, upper)

    def solve(f: Callable[[Any], Any], guess: Any) -> tuple[Any, Info]:
        run, x, unravel = _vectors(f, guess)
        if dtypes.is_complex(x.dtype):
            raise TypeError("implicit.bisection: complex numbers have no order; use newton")
        a, b = (_end(which, value, guess, x) for which, value in (("lower", lower), ("upper", upper)))
        fa, fb = run(a), run(b)
        # From any interval to one number: all bits of the mantissa and of the exponent.
        info = dtypes.finfo(np.dtype(x.dtype))
        most = info.nmant + info.maxexp if max_steps is None else max_steps
        fits = (sign(fa) * sign(fb) <= 0) & (a <= b)

        def turn(state: Any) -> Any:
            k, a, b, _ = state
            m = a + (b - a) / 2
            fm = sign(run(m))
            new_a = where((fm == sign(fa)) | (fm == 0), m, a)
            new_b = where(fm == sign(fa), b, m)
            return k + 1, new_a, new_b, ((new_a != a) | (new_b != b)).any()

        start = as_array(0), where(fa == 0, a, where(fb == 0, b, a)), where(fa == 0, a, b), as_array(True)
        k, a, b, moved = while_loop(lambda s: s[3] & (s[0] < most), turn, start)
        at_a, at_b = absolute(run(a)), absolute(run(b))
        x = where(fits, where(at_a <= at_b, a, b), np.nan)
        error = max_of(where(fits, where(at_a <= at_b, at_a, at_b), np.nan), initial=0)
        return unravel(x), Info(all_of(fits) & ~moved, k, error)

    return solve


def _end(which: str, value: Any, guess: Any, x: Any) -> Any:
    """An end of the interval as a vector."""
    leaves, tree = pytree.flatten(guess)
    ends, end_tree = pytree.flatten(value)
    if len(ends) == 1 and len(leaves) != 1:
        ends = ends * len(leaves)
    elif end_tree != tree:
        raise ShapeError(f"implicit.bisection: {which} must be a number or like the guess")
    out = []
    for end, leaf in zip(ends, leaves, strict=True):
        end = asarray(end)
        try:
            out.append(broadcast_to(end, leaf.shape))
        except ValueError:
            raise ShapeError(
                f"implicit.bisection: {which} has shape {end.shape}, which does not broadcast to that of the "
                f"guess, {leaf.shape}"
            ) from None
    return ravel_pytree(pytree.unflatten(tree, out))[0].astype(x.dtype)


def _check_bracket(lower: Any, upper: Any) -> None:
    for a, b in zip(pytree.leaves_of(lower), pytree.leaves_of(upper), strict=False):
        known = [isinstance(v, (int, float, np.ndarray, np.generic, ConcreteArray)) for v in (a, b)]
        if all(known) and not np.all(np.asarray(a) < np.asarray(b)):
            raise ValueError(f"implicit.bisection: lower must be below upper, got lower={a} and upper={b}")


def _check(name: str, tol: float | None, max_steps: int) -> None:
    if tol is not None and isinstance(tol, (int, float)) and not tol >= 0:
        raise ValueError(f"implicit.{name}: tol must not be negative, got {tol}")
    if not isinstance(max_steps, (int, np.integer)) or max_steps < 1:
        raise ValueError(f"implicit.{name}: max_steps must be a positive integer, got {max_steps!r}")


__all__ = ["Info", "Solver", "anderson", "bisection", "iteration", "newton"]
