"""Solvers of linear systems for `implicit`: functions of (matvec, b) that return x.

x and b are pytrees. For complex numbers `matvec` may be linear over the reals only (the derivative of a
function that is not holomorphic); `dense` solves these as well.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..api.vmap import vmap
from ..base import pytree
from ..core import dtypes
from ..lib.flatten_util import ravel_pytree
from ..lib.numpy import linalg
from ..lib.numpy.creation import eye, zeros_like
from ..lib.numpy.elementwise import imag, real
from ..lib.numpy.joining import concatenate
from ..lib.numpy.norms import norm
from ..lib.scipy import krylov

LinearSolver = Callable[[Callable[[Any], Any], Any], Any]

FEW = 500
"""Up to so many unknowns `dense` is the default."""


def default_tolerance(dtype: Any) -> float:
    """eps^(3/4) of a dtype: about 2e-12 for 64 bits and 6e-6 for 32."""
    real_dtype = dtypes.to_real_dtype(np.dtype(dtype))
    return float(dtypes.finfo(real_dtype).eps) ** 0.75


def ravel_real(tree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """All leaves as one real vector, and the function that undoes it."""
    flat, unravel = ravel_pytree(tree)
    if not dtypes.is_complex(flat.dtype):
        return flat, unravel
    n, dtype = flat.size, flat.dtype
    return concatenate([real(flat), imag(flat)]), lambda v: unravel((v[:n] + 1j * v[n:]).astype(dtype))


def dense() -> LinearSolver:
    """The matrix, column by column, and an LU decomposition: n products for n unknowns, and n² numbers."""

    def solve(matvec: Callable[[Any], Any], b: Any) -> Any:
        flat, unravel = ravel_real(b)
        rows = vmap(lambda v: ravel_real(matvec(unravel(v)))[0])(eye(flat.size, dtype=flat.dtype))
        return unravel(linalg.solve(rows.T, flat))

    return solve


def cg(
    tol: float | None = None, max_steps: int | None = None, precondition: Callable[[Any], Any] | None = None
) -> LinearSolver:
    """Conjugate gradients, for symmetric (Hermitian) positive definite systems.

    Args:
        tol: stop when the norm of the residual is at most `tol` times that of b; by default eps^(3/4).
        max_steps: by default ten times the number of unknowns.
        precondition: an approximation of the inverse, a function of pytrees like b.
    """
    return _krylov(krylov.cg, tol, max_steps, precondition)


def bicgstab(
    tol: float | None = None, max_steps: int | None = None, precondition: Callable[[Any], Any] | None = None
) -> LinearSolver:
    """Stabilized biconjugate gradients, for any system; the arguments are those of `cg`."""
    return _krylov(krylov.bicgstab, tol, max_steps, precondition)


def gmres(
    tol: float | None = None,
    max_steps: int | None = None,
    precondition: Callable[[Any], Any] | None = None,
    restart: int = 20,
) -> LinearSolver:
    """Generalized minimal residuals with restarts, for any system; see `cg`. Steps are products."""
    if restart < 1:
        raise ValueError(f"implicit.gmres: restart must be at least 1, got {restart}")
    return _krylov(partial(krylov.gmres, restart=restart), tol, max_steps, precondition)


def _krylov(
    method: Callable[..., krylov.Found],
    tol: float | None,
    max_steps: int | None,
    precondition: Callable[[Any], Any] | None,
) -> LinearSolver:
    def solve(matvec: Callable[[Any], Any], b: Any) -> Any:
        flat, unravel = ravel_pytree(b)
        limit = (default_tolerance(flat.dtype) if tol is None else tol) * norm(flat)
        most = 10 * flat.size if max_steps is None else max_steps

        def prepared(x: Any) -> Any:
            return x if precondition is None else ravel_pytree(precondition(unravel(x)))[0]

        return unravel(
            method(
                lambda x: ravel_pytree(matvec(unravel(x)))[0], flat, zeros_like(flat), limit, most, prepared
            )[0]
        )

    return solve


def automatic(iterative: LinearSolver) -> LinearSolver:
    """`dense` for up to `FEW` unknowns, and another solver for more."""
    direct = dense()

    def solve(matvec: Callable[[Any], Any], b: Any) -> Any:
        size = sum(int(np.prod(v.shape)) for v in pytree.leaves_of(b))
        return (direct if size <= FEW else iterative)(matvec, b)

    return solve
