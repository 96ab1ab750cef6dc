"""`custom_root`: roots found by any solver, with the derivatives of the equation's solution.

With f(u, x(u)) = 0, the implicit function theorem gives the tangent dx as the solution of the linear system
(df/dx) dx = -(df/du) du, at the solution (`linear_solve`). So derivatives do not depend on how the solver got
there, and those of higher order are derivatives of that linear system.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..base import pytree
from ..base.errors import DTypeError, NotDifferentiableError
from ..core import dtypes, rules
from ..core.aval import Zero
from ..core.evaluate import evaluate
from ..core.primitive import Primitive
from ..core.program import Program
from ..ops.complex import neg_p
from ..ops.structural import strong, zeros
from ..transforms.batch import Axis, batch_program, to_dim
from ..transforms.linearize import linearize
from .common import LeafNames, chosen, name_of, nonzero_of, stage_flat, to_arrays, with_common_consts
from .counted import abstract_call, evaluate_call
from .linear_parts import tangent_part, transposed_part
from .linear_solve import System
from .user_solvers import TreeFunction, check_result, stage_solver

__all__ = ["custom_root"]

root_p = Primitive("root", multiple_results=True, call_like=True)


class Root(NamedTuple):
    """An equation and how it is solved. All programs take the same constants first.

    Attributes:
        f: (constants, x) -> f(x).
        solve: (constants, guess) -> (x, further results).
        tangent: (constants, x, b) -> the solution v of J v = b, with J the derivative of f at x.
        transposed: the same for the transpose of J; None if there is no such solver.
        size: the number of arrays that x consists of.
    """

    f: Program
    solve: Program
    tangent: Program
    transposed: Program | None
    size: int

    def system(self) -> System:
        """The linear system of tangents; its constants are those of the equation, and the solution."""
        known = len(self.f.invars) - self.size
        matvec = tangent_part(self.f, (False,) * known + (True,) * self.size)
        return System(matvec, self.tangent, self.transposed, self.size)


def custom_root(
    f: Callable[[Any], Any],
    initial_guess: Any,
    solve: Callable[[Callable[[Any], Any], Any], Any],
    tangent_solve: Callable[[Callable[[Any], Any], Any], Any],
    has_aux: bool = False,
) -> Any:
    """The root of `f` that `solve` finds, with derivatives by the implicit function theorem.

    Derivatives, to any order, are by all that `f` closes over; there is none by the guess. `solve` itself is
    not differentiated and may do anything that can be traced.

    Args:
        f: a function from x to a pytree like x.
        initial_guess: where the solver starts: a pytree of real or complex arrays.
        solve: `solve(f, initial_guess)` returns x, a pytree like the guess, with f(x) = 0.
        tangent_solve: `tangent_solve(g, b)` returns the solution v of g(v) = b, for a linear function g (the
            derivative of f at the root). It must be linear in b. For scalars: `lambda g, b: b / g(1.0)`.
            Reverse mode transposes it; if it contains what cannot be transposed, such as a `while_loop`, it
            is called with the transpose of g instead.
        has_aux: `solve` returns (x, auxiliary data); the data have no derivatives.

    Returns:
        x, or (x, auxiliary data).

    Raises:
        StructureError, ShapeError, DTypeError: `f` or a solver returns something that is not like the guess;
            the guess is an integer.

    Source: Christianson, "Reverse accumulation and implicit functions" (1998); Blondel et al., "Efficient and
    modular implicit differentiation" (2022).
    """
    label = "custom_root"
    for which, function in (("f", f), ("solve", solve), ("tangent_solve", tangent_solve)):
        if not callable(function):
            raise TypeError(f"{label}: {which} must be a function, got {function!r}")
    leaves, in_tree = pytree.flatten((initial_guess,))
    tree = in_tree.child(0)
    guess = [strong(v) for v in to_arrays(leaves, tree, f"{label}: initial_guess")]
    avals = [v.aval for v in guess]
    for i, aval in enumerate(avals):
        if not dtypes.is_inexact(aval.dtype):
            raise DTypeError(
                f"{LeafNames(label + ': initial_guess', tree)[i]} has dtype {dtypes.dtype_name(aval.dtype)}; "
                "roots are real or complex numbers: write 1.0 for 1, or convert it with .astype(float)"
            )
    equation = stage_flat(f, in_tree, avals, f"{label}: f")
    check_result(
        f"{label}: the result of f", tree, avals, equation.out_tree, equation.out_avals, "initial_guess"
    )
    program, own, count = equation.program, equation.consts, len(guess)
    residual = TreeFunction(lambda xs: evaluate(program, [*own, *xs]), tree, avals, label, name_of(f))
    like = "initial_guess"
    solver, aux_tree = stage_solver(
        label,
        "solve",
        lambda flat: solve(residual, pytree.unflatten(tree, flat)),
        tree,
        avals,
        avals,
        has_aux,
        like,
    )

    def stage_tangent(transposed: bool) -> Program:
        def call(flat: Sequence[Any]) -> Any:
            x, b = flat[:count], flat[count:]
            run = _transposed_derivative if transposed else _derivative
            g = TreeFunction(run(program, own, x), tree, avals, label, f"the derivative of {name_of(f)}")
            return tangent_solve(g, pytree.unflatten(tree, b))

        return stage_solver(label, "tangent_solve", call, tree, [*avals, *avals], avals, False, like)[0]

    tangent = stage_tangent(False)
    try:
        back = tangent.with_consts_as_inputs()
        transposed = transposed_part(back, count), tangent.consts
    except NotDifferentiableError:
        other = stage_tangent(True)
        transposed = other.with_consts_as_inputs(), other.consts
    closed, consts = with_common_consts(
        [
            (program, own),
            (solver.with_consts_as_inputs(), solver.consts),
            (tangent.with_consts_as_inputs(), tangent.consts),
            transposed,
        ]
    )
    root = Root(closed[0], closed[1], closed[2], closed[3], count)
    outs = root_p.bind(*consts, *guess, root=root, program=root.solve)
    x = pytree.unflatten(tree, outs[:count])
    return (x, pytree.unflatten(aux_tree, outs[count:])) if has_aux else x


def _derivative(
    program: Program, consts: Sequence[Any], x: Sequence[Any]
) -> Callable[[Sequence[Any]], list[Any]]:
    """The derivative at x as a function of tangents."""
    outs, linear = linearize(lambda *xs: evaluate(program, [*consts, *xs]), x)

    def run(tangents: Sequence[Any]) -> list[Any]:
        rest = iter(evaluate(linear.program, tangents, linear.residuals))
        return [next(rest) if nz else zeros(o.aval) for o, nz in zip(outs, linear.out_nonzero, strict=True)]

    return run


def _transposed_derivative(
    program: Program, consts: Sequence[Any], x: Sequence[Any]
) -> Callable[[Sequence[Any]], list[Any]]:
    """The transpose of the derivative at x as a function of cotangents."""
    _, linear = linearize(lambda *xs: evaluate(program, [*consts, *xs]), x)

    def run(cts: Sequence[Any]) -> list[Any]:
        found = transposed_part(linear.program.with_consts_as_inputs(), len(x))
        return evaluate(found, [*linear.residuals, *chosen(cts, linear.out_nonzero)])

    return run


# Rules --------------------------------------------------------------------------------------------------


def _jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, root: Root, program: Program
) -> tuple[list[Any], list[Any]]:
    count = root.size
    known = len(primals) - count
    consts = primals[:known]
    outs = root_p.bind(*primals, root=root, program=program)
    out_tangents: list[Any] = [Zero(o.aval.tangent) for o in outs]
    mask = nonzero_of(tangents[:known])
    if any(mask):
        x = outs[:count]
        push = tangent_part(root.f, (*mask, *[False] * count))
        moved = evaluate(push, [*consts, *x, *chosen(tangents[:known], mask)])
        out_tangents[:count] = root.system().bind([*consts, *x], [neg_p.bind(m) for m in moved])
    return outs, out_tangents


def _batch(
    axis: Axis, values: Sequence[Any], dims: Sequence[int | None], *, root: Root, program: Program
) -> tuple[list[Any], list[int | None]]:
    count = root.size
    known = len(values) - count
    consts = tuple(dims[:known])

    def batched(program: Program) -> tuple[Program, tuple[int | None, ...]]:
        others = len(program.invars) - known
        outs = (*[0] * count, *[None] * (len(program.outvars) - count))
        found, out_dims = batch_program(program, axis, (*consts, *[0] * others), outs)
        return found.with_consts_as_literals(), out_dims

    solve, out_dims = batched(root.solve)
    back = None if root.transposed is None else batched(root.transposed)[0]
    mapped = Root(batched(root.f)[0], solve, batched(root.tangent)[0], back, count)
    guess = [to_dim(v, d, 0, axis.size) for v, d in zip(values[known:], dims[known:], strict=True)]
    return root_p.bind(*values[:known], *guess, root=mapped, program=solve), list(out_dims)


rules.evaluate[root_p] = evaluate_call
rules.abstract[root_p] = abstract_call
rules.jvp[root_p] = _jvp
rules.batch[root_p] = _batch
rules.not_transposable[root_p] = "its derivative is a linear_solve, which has a transpose"
