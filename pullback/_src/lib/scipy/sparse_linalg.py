"""Iterative solution of linear systems: `scipy.sparse.linalg`.

The matrix is an array or a function; nothing but products with it is needed. Derivatives are those of the
solution of the system (`lax.custom_linear_solve`): another system, solved by the same method.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ...base import pytree
from ...base.errors import ShapeError
from ...control.linear_solve import custom_linear_solve
from ...control.user_solvers import check_structure, check_type
from ...core import dtypes
from ...core.array import Array
from ...ops.structural import strong
from ..flatten_util import ravel_pytree
from ..numpy.elementwise import maximum
from ..numpy.norms import norm
from ..numpy.promotion import asarray, promote_inexact
from ..numpy.where import where
from . import krylov

__all__ = ["bicgstab", "cg", "gmres"]

Function = Callable[[Any], Any]

_ARGUMENTS = """
    Args:
        A: a square matrix, or a function x -> A x that keeps the structure, shapes and dtypes of x{matrix}.
        b: the right-hand side, a pytree of arrays (together one vector).
        x0: where to start, like b; by default zeros.
        tol, atol: stop when the norm of b - A x is at most max(tol * norm(b), atol).
        maxiter: {most}.
        M: a preconditioner: a matrix or a function that approximates the inverse of A{preconditioner}.{more}

    Returns:
        (x, info): x is like b; info is 0 if the tolerance was reached, otherwise the number of products
        with A that were spent (an integer array). Under reverse mode a second system, with the
        transposed matrix, is solved to the same tolerance; there is no derivative by x0 and M.

    Raises:
        NotDifferentiableError: A is a function that is not linear.
        TypeError, ValueError: arguments that do not fit each other.

    Source: {source}
    """


def _document(**parts: str) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        function.__doc__ += _ARGUMENTS.format(**{"preconditioner": "", "more": "", "matrix": ""} | parts)
        return function

    return decorate


def _operator(name: str, which: str, a: Any) -> Function:
    """A matrix, or an object with a product, or a function, as a function."""
    if not isinstance(a, Array) and hasattr(a, "__array__"):
        a = asarray(a)
    if isinstance(a, Array):
        if a.ndim != 2 or a.shape[0] != a.shape[1]:
            raise ShapeError(f"{name}: {which} must be a square matrix, got shape {a.shape}")
        return lambda x: a @ x
    if hasattr(a, "__matmul__"):
        return lambda x: a @ x
    if callable(a):
        return a
    raise TypeError(
        f"{name}: {which} must be a matrix or a function of a vector, got {a!r} of type {type(a).__name__}"
    )


def _solve(
    name: str,
    method: Callable[..., krylov.Found],
    a: Any,
    b: Any,
    x0: Any,
    tol: Any,
    atol: Any,
    most: int | None,
    m: Any,
    hermitian: bool = False,
    step: int = 1,
) -> tuple[Any, Any]:
    label = f"scipy.sparse.linalg.{name}"
    matvec = _operator(label, "A", a)
    precondition = None if m is None else _operator(label, "M", m)
    b = pytree.tree_map(lambda v: strong(promote_inexact(label, v)[0]), b)
    leaves, tree = pytree.flatten(b)
    if x0 is not None:
        x0 = pytree.tree_map(asarray, x0)
        starts, start_tree = pytree.flatten(x0)
        check_structure(f"{label}: x0", tree, start_tree, "b", "x0")
        for i, (value, start) in enumerate(zip(leaves, starts, strict=True)):
            check_type(f"{label}: x0 must be like b", tree, i, value.aval, strong(start).aval)
    size = sum(v.size for v in leaves)
    most = 10 * size * step if most is None else most * step

    def solve(matvec: Function, b: Any) -> tuple[Any, Any]:
        flat, unravel = ravel_pytree(b)

        def product(x: Any) -> Any:
            return ravel_pytree(matvec(unravel(x)))[0]

        def prepared(x: Any) -> Any:
            return x if precondition is None else ravel_pytree(precondition(unravel(x)))[0]

        start = ravel_pytree(pytree.tree_map(lambda v: v * 0, b) if x0 is None else x0)[0]
        limit = maximum(tol * norm(flat), atol)
        x, products, error = method(product, flat, start, limit, most, prepared)
        return unravel(x), where(error <= limit, 0, maximum(products, 1))

    symmetric = hermitian and not any(dtypes.is_complex(v.dtype) for v in leaves)
    return custom_linear_solve(matvec, b, solve, solve, symmetric=symmetric, has_aux=True)


@_document(
    matrix=": Hermitian and positive definite",
    most="the most steps, each with one product; by default ten times the number of unknowns",
    preconditioner=", Hermitian and positive definite as well",
    source='Hestenes & Stiefel, "Methods of conjugate gradients for solving linear systems" (1952).',
)
def cg(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: Any = 1e-5,
    atol: Any = 0.0,
    maxiter: int | None = None,
    M: Any = None,
) -> tuple[Any, Any]:
    """Solve A x = b by conjugate gradients, for Hermitian positive definite A."""
    return _solve("cg", krylov.cg, A, b, x0, tol, atol, maxiter, M, hermitian=True)


@_document(
    most="the most steps, each with two products; by default ten times the number of unknowns",
    source='van der Vorst, "Bi-CGSTAB", SIAM J. Sci. Stat. Comput. 13 (1992).',
)
def bicgstab(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: Any = 1e-5,
    atol: Any = 0.0,
    maxiter: int | None = None,
    M: Any = None,
) -> tuple[Any, Any]:
    """Solve A x = b by stabilized biconjugate gradients, for any A."""
    return _solve("bicgstab", krylov.bicgstab, A, b, x0, tol, atol, maxiter, M)


@_document(
    most="the most restarts; by default ten times the number of unknowns",
    more="""
        restart: how many products span the space in which a solution is sought before starting anew.
        solve_method: "batched" or "incremental", accepted as in JAX; both stop within a space.""",
    source='Saad & Schultz, "GMRES", SIAM J. Sci. Stat. Comput. 7 (1986).',
)
def gmres(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: Any = 1e-5,
    atol: Any = 0.0,
    restart: int = 20,
    maxiter: int | None = None,
    M: Any = None,
    solve_method: str = "batched",
) -> tuple[Any, Any]:
    """Solve A x = b by the generalized minimal residual method, for any A."""
    if solve_method not in ("batched", "incremental"):
        raise ValueError(
            f"scipy.sparse.linalg.gmres: solve_method must be 'batched' or 'incremental', got "
            f"{solve_method!r}"
        )
    if restart < 1:
        raise ValueError(f"scipy.sparse.linalg.gmres: restart must be at least 1, got {restart}")

    return _solve(
        "gmres", partial(krylov.gmres, restart=restart), A, b, x0, tol, atol, maxiter, M, step=restart
    )
