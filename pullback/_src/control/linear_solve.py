"""`custom_linear_solve`: linear systems solved by any solver, with the derivatives of the solution.

With A(u) x = b, for tangents with dots,

    A dx = db - dA x,        and by transposition        w -> b' = A'^-1 w.

The rules solve such systems again; they never look into the solver. One primitive is closed under all
transformations: its tangent is a solution of the same system, its transpose one of the transposed system.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..base import pytree
from ..base.errors import NotDifferentiableError
from ..core import rules
from ..core.aval import Zero
from ..core.evaluate import evaluate
from ..core.primitive import Primitive
from ..core.program import Program
from ..ops.arithmetic import sub_p
from ..ops.complex import neg_p
from ..ops.structural import instantiate, strong
from ..transforms.batch import Axis, batch_program, to_dim
from ..transforms.simplify import outputs_only
from .common import chosen, name_of, nonzero_of, stage_flat, to_arrays, with_common_consts
from .counted import abstract_call, evaluate_call
from .linear_parts import tangent_part, transposed_part
from .linearity import check_linear
from .user_solvers import TreeFunction, check_result, stage_solver

__all__ = ["custom_linear_solve"]

linear_solve_p = Primitive("linear_solve", multiple_results=True, call_like=True)


class System(NamedTuple):
    """A linear system and how it is solved. All programs take the same constants first.

    Attributes:
        matvec: (constants, x) -> A x.
        solve: (constants, b) -> (x, further results).
        transpose_solve: (constants, w) -> (the solution of the transposed system, further results).
        size: the number of arrays that x and b consist of.
    """

    matvec: Program
    solve: Program
    transpose_solve: Program | None
    size: int

    def bind(self, consts: Sequence[Any], b: Sequence[Any]) -> list[Any]:
        """The results of `solve`, by the primitive."""
        return linear_solve_p.bind(*consts, *b, system=self, program=self.solve)

    def without_aux(self) -> System:
        """The system with solutions as the only results."""
        return self._replace(solve=outputs_only(self.solve, tuple(range(self.size))))

    def transposed(self) -> System:
        assert self.transpose_solve is not None
        back = transposed_part(self.matvec, self.size)
        return System(back, self.transpose_solve, self.solve, self.size).without_aux()


# The function -------------------------------------------------------------------------------------------


def custom_linear_solve(
    matvec: Callable[[Any], Any],
    b: Any,
    solve: Callable[[Callable[[Any], Any], Any], Any],
    transpose_solve: Callable[[Callable[[Any], Any], Any], Any] | None = None,
    symmetric: bool = False,
    has_aux: bool = False,
) -> Any:
    """The solution x of `matvec(x) = b` that `solve` finds, with derivatives of the equation's solution.

    Derivatives, to any order, by b and by all that `matvec` closes over, are solutions of systems with the
    same matrix or its transpose; `solve` itself is not differentiated and may do anything that can be traced.

    Args:
        matvec: a linear function from x to a pytree like b.
        b: a pytree of arrays.
        solve: `solve(matvec, b)` returns x, a pytree like b.
        transpose_solve: the same for the transposed system: its first argument is the transpose of `matvec`.
            Reverse mode needs it.
        symmetric: the matrix is its own transpose: `solve` serves for `transpose_solve` if none is given.
        has_aux: the solvers return (x, auxiliary data); the data have no derivatives.

    Returns:
        x, or (x, auxiliary data).

    Raises:
        NotDifferentiableError: `matvec` is not linear; or reverse mode without `transpose_solve`.
        StructureError, ShapeError, DTypeError: `matvec` or a solver returns something that is not like b.

    Source: Griewank & Walther, "Evaluating Derivatives" (2008), chapter 15.
    """
    label = "custom_linear_solve"
    for which, function in (("matvec", matvec), ("solve", solve), ("transpose_solve", transpose_solve)):
        if not callable(function) and not (which == "transpose_solve" and function is None):
            raise TypeError(f"{label}: {which} must be a function, got {function!r}")
    leaves, in_tree = pytree.flatten((b,))
    tree = in_tree.child(0)
    right = [strong(v) for v in to_arrays(leaves, tree, f"{label}: b")]
    avals = [v.aval for v in right]
    count = len(right)
    system = stage_flat(matvec, in_tree, avals, f"{label}: matvec")
    check_result(f"{label}: the result of matvec", tree, avals, system.out_tree, system.out_avals, "b")
    check_linear(label, system.program, system.consts, count)
    programs: list[tuple[Program, Sequence[Any]]] = [(system.program, system.consts)]
    forward = TreeFunction(
        lambda xs: evaluate(system.program, [*system.consts, *xs]), tree, avals, label, name_of(matvec)
    )
    solver, aux_tree = stage_solver(
        label,
        "solve",
        lambda flat: solve(forward, pytree.unflatten(tree, flat)),
        tree,
        avals,
        avals,
        has_aux,
        "b",
    )
    programs.append((solver.with_consts_as_inputs(), solver.consts))
    back: Any = None
    if transpose_solve is not None:
        back = TreeFunction(
            lambda xs: evaluate(transposed_part(system.program, count), [*system.consts, *xs]),
            tree,
            avals,
            label,
            f"the transpose of {name_of(matvec)}",
        )
        other = transpose_solve
    elif symmetric:
        back, other = forward, solve
    if back is not None:
        transposed, _ = stage_solver(
            label,
            "transpose_solve",
            lambda flat: other(back, pytree.unflatten(tree, flat)),
            tree,
            avals,
            avals,
            has_aux,
            "b",
        )
        programs.append((transposed.with_consts_as_inputs(), transposed.consts))
    closed, consts = with_common_consts(programs)
    parts = System(closed[0], closed[1], closed[2] if back is not None else None, count)
    outs = parts.bind(consts, right)
    x = pytree.unflatten(tree, outs[:count])
    return (x, pytree.unflatten(aux_tree, outs[count:])) if has_aux else x


# Rules --------------------------------------------------------------------------------------------------


def _jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, system: System, program: Program
) -> tuple[list[Any], list[Any]]:
    known = len(primals) - system.size
    consts = primals[:known]
    outs = linear_solve_p.bind(*primals, system=system, program=program)
    x = outs[: system.size]
    right: list[Any] = list(tangents[known:])
    mask = nonzero_of(tangents[:known])
    if any(mask):
        push = tangent_part(system.matvec, (*mask, *[False] * system.size))
        moved = evaluate(push, [*consts, *x, *chosen(tangents[:known], mask)])
        right = [
            Zero(o.aval.tangent) if o.aval.tangent is not o.aval else _minus(t, m)
            for o, t, m in zip(x, right, moved, strict=True)
        ]
    out_tangents: list[Any] = [Zero(o.aval.tangent) for o in outs]
    if any(nonzero_of(right)):
        found = system.without_aux().bind(consts, [instantiate(t) for t in right])
        out_tangents[: system.size] = found
    return outs, out_tangents


def _minus(x: Any, y: Any) -> Any:
    return neg_p.bind(y) if type(x) is Zero else sub_p.bind(x, y)


def _transpose(cts: Sequence[Any], *args: Any, system: System, program: Program) -> list[Any]:
    known = len(args) - system.size
    if any(type(a) is rules.Linear for a in args[:known]):
        raise NotDifferentiableError("the solution of a linear system is linear in the right-hand side only")
    if system.transpose_solve is None:
        raise NotDifferentiableError(
            "reverse-mode differentiation of custom_linear_solve needs a solver of the transposed system: "
            "pass transpose_solve, or symmetric=True if the matrix is its own transpose"
        )
    given = [instantiate(ct) for ct in cts[: system.size]]
    found = system.transposed().bind(args[:known], given)
    linear = [type(a) is rules.Linear for a in args[known:]]
    return [None] * known + [f if lin else None for f, lin in zip(found, linear, strict=True)]


def _batch(
    axis: Axis, values: Sequence[Any], dims: Sequence[int | None], *, system: System, program: Program
) -> tuple[list[Any], list[int | None]]:
    known = len(values) - system.size
    consts = tuple(dims[:known])
    count = system.size

    def batched(program: Program) -> tuple[Program, tuple[int | None, ...]]:
        outs = (*[0] * count, *[None] * (len(program.outvars) - count))
        found, out_dims = batch_program(program, axis, (*consts, *[0] * count), outs)
        return found.with_consts_as_literals(), out_dims

    solve, out_dims = batched(system.solve)
    back = None if system.transpose_solve is None else batched(system.transpose_solve)[0]
    mapped = System(batched(system.matvec)[0], solve, back, count)
    right = [to_dim(v, d, 0, axis.size) for v, d in zip(values[known:], dims[known:], strict=True)]
    return mapped.bind(values[:known], right), list(out_dims)


rules.evaluate[linear_solve_p] = evaluate_call
rules.abstract[linear_solve_p] = abstract_call
rules.jvp[linear_solve_p] = _jvp
rules.transpose[linear_solve_p] = _transpose
rules.batch[linear_solve_p] = _batch
