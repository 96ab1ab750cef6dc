"""Implicit functions: roots, fixed points and minima as differentiable functions of their parameters.

All are `custom_root`s; they differ in how the residual is stated. Derivatives are by the implicit function
theorem, with the residual linearized at the solution, so the solver's path has no part in them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..api.grad import grad
from ..base import pytree
from ..base.errors import ConvergenceError, DTypeError, ShapeError, StructureError
from ..control.linear_solve import custom_linear_solve
from ..control.root import custom_root
from ..core import dtypes
from ..core.array import ConcreteArray
from ..lib.numpy.promotion import asarray, promote_inexact
from .captured import call_compiled
from .linear_solvers import LinearSolver, automatic, bicgstab, cg, dense, gmres
from .root_solvers import Info, Solver, anderson, bisection, iteration, newton

__all__ = [
    "Info",
    "anderson",
    "argmin",
    "bicgstab",
    "bisection",
    "cg",
    "dense",
    "fixed_point",
    "gmres",
    "iteration",
    "newton",
    "root",
]


def root(
    residual: Callable[..., Any],
    guess: Any,
    *args: Any,
    solver: Solver | None = None,
    linear_solver: LinearSolver | None = None,
    info: bool = False,
) -> Any:
    """The solution x of `residual(x, *args) = 0`, as a differentiable function of `args`.

    Args:
        residual: a function that returns a pytree like x (structure, shapes and dtypes).
        guess: where the solver starts, a pytree of real or complex arrays. There is no derivative by it.
        args: parameters, any pytrees; what `residual` closes over is differentiated as well.
        solver: a function (f, guess) -> (x, Info), such as `newton()` (the default), `bisection(a, b)`,
            `anderson()`, or one of your own. It is not differentiated.
        linear_solver: a function (matvec, b) -> x that solves the linear systems of the derivatives, also
            the transposed ones; by default `dense()` for up to 500 unknowns, `gmres()` for more.
        info: whether to return (x, Info) instead of x.

    Returns:
        x, or (x, Info): whether the solver converged, its steps, and max|residual|.

    Raises:
        ConvergenceError: the solver did not converge, in un-jitted code and without `info`. Compiled code
            cannot raise; ask for `info` there.
        StructureError, ShapeError, DTypeError: the residual or a solution is not like the guess.

    Source: Christianson, "Reverse accumulation and implicit functions" (1998); Blondel et al., "Efficient and
    modular implicit differentiation" (2022).
    """
    return _found("root", _root, (residual, guess, args, solver, linear_solver), info)


def _root(residual: Any, guess: Any, args: Any, solver: Solver | None, linear: LinearSolver | None) -> Any:
    linear = automatic(gmres()) if linear is None else linear
    return _solve("root", lambda x: residual(x, *args), guess, solver or newton(), linear, False)


def fixed_point(
    f: Callable[..., Any],
    guess: Any,
    *args: Any,
    solver: Solver | None = None,
    linear_solver: LinearSolver | None = None,
    info: bool = False,
) -> Any:
    """The solution x of `x = f(x, *args)`, as a differentiable function of `args`.

    Args:
        f: a function that returns a pytree like x.
        solver: by default `anderson()`; it gets the residual f(x) - x.

    For all else see `root`.
    """
    return _found("fixed_point", _fixed_point, (f, guess, args, solver, linear_solver), info)


def _fixed_point(f: Any, guess: Any, args: Any, solver: Solver | None, linear: LinearSolver | None) -> Any:
    def residual(x: Any) -> Any:
        out = f(x, *args)
        leaves, tree = pytree.flatten(x)
        found, out_tree = pytree.flatten(out)
        if tree != out_tree:
            difference = pytree.explain_structure_difference(tree, out_tree, "the argument", "the result")
            raise StructureError(
                f"implicit.fixed_point: f must return a pytree like its argument: {difference}"
            )
        if [np.shape(v) for v in leaves] != [np.shape(v) for v in found]:
            raise ShapeError(
                "implicit.fixed_point: f must keep the shapes of its argument, got "
                f"{[np.shape(v) for v in leaves]} and returned {[np.shape(v) for v in found]}"
            )
        return pytree.unflatten(tree, [b - a for a, b in zip(leaves, found, strict=True)])

    linear = automatic(gmres()) if linear is None else linear
    return _solve("fixed_point", residual, guess, solver or anderson(), linear, False)


def argmin(
    objective: Callable[..., Any],
    guess: Any,
    *args: Any,
    solver: Solver | None = None,
    linear_solver: LinearSolver | None = None,
    info: bool = False,
) -> Any:
    """The x where `objective(x, *args)` is stationary, as a differentiable function of `args`.

    The solver looks for a root of the gradient by x. The default one goes downhill, to a local minimum.

    Args:
        objective: a function that returns a real scalar, of real x.
        solver: by default `newton(merit=objective)`; it gets the gradient of the objective.
        linear_solver: for systems with the Hessian; by default `dense()` for up to 500 unknowns, `cg()`
            for more.

    For all else see `root`.
    """
    for leaf in pytree.leaves_of(guess):
        if dtypes.is_complex(asarray(leaf).dtype):
            raise DTypeError("implicit.argmin: the guess must be real; minimize over real and imaginary part")
    return _found("argmin", _argmin, (objective, guess, args, solver, linear_solver), info)


def _argmin(objective: Any, guess: Any, args: Any, solver: Solver | None, linear: LinearSolver | None) -> Any:
    linear = automatic(cg()) if linear is None else linear

    def value(x: Any) -> Any:
        return objective(x, *args)

    minimize = newton(linear_solver=linear, merit=value) if solver is None else solver
    return _solve("argmin", grad(value), guess, minimize, linear, True)


def _solve(
    name: str,
    residual: Callable[[Any], Any],
    guess: Any,
    solver: Solver,
    linear_solver: LinearSolver,
    symmetric: bool,
) -> Any:
    """The solution and the solver's `Info`."""

    def solve(f: Callable[[Any], Any], start: Any) -> tuple[Any, Any]:
        out = solver(f, start)
        if not (isinstance(out, tuple) and len(out) == 2 and isinstance(out[1], Info)):
            raise TypeError(
                f"implicit.{name}: a solver must return (x, implicit.Info(converged, steps, error)), got "
                f"{out!r}"
            )
        return out

    def tangent_solve(g: Callable[[Any], Any], b: Any) -> Any:
        transposed = None if symmetric else linear_solver
        return custom_linear_solve(g, b, linear_solver, transposed, symmetric=symmetric)

    guess = pytree.tree_map(lambda v: promote_inexact(f"implicit.{name}", v)[0], guess)
    return custom_root(residual, guess, solve, tangent_solve, has_aux=True)


def _found(name: str, find: Callable[..., Any], given: tuple[Any, ...], with_info: bool) -> Any:
    """The solution, or (solution, Info)."""
    x, found = call_compiled(find, *given)
    if with_info:
        return x, found
    converged = found.converged
    if type(converged) is ConcreteArray and not np.all(converged._data):
        error = np.asarray(found.error)
        hint = (
            "The residual is not finite there, or has the same sign at both ends of a bracket."
            if not np.all(np.isfinite(error))
            else "Start nearer, allow more steps (max_steps), or raise tol."
        )
        raise ConvergenceError(
            f"implicit.{name}: the solver did not converge: after {np.max(np.asarray(found.steps))} steps "
            f"max|residual| is {np.max(error):.3g}. {hint} With info=True the result is returned as it is."
        )
    return x
