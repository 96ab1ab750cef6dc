"""Krylov methods for linear systems A x = b with vectors x and b: CG, BiCGStab and GMRES.

Each takes `matvec` and `precondition` as functions of vectors, a start x0, the norm of the residual at which
to stop and the most steps to spend, and returns x, the number of products and the norm of the residual
b - A x. Everything can be traced; loops are `while_loop`s.

Sources: Hestenes & Stiefel (1952); van der Vorst, "Bi-CGSTAB" (1992); Saad & Schultz, "GMRES" (1986); Saad,
"Iterative Methods for Sparse Linear Systems" (2003).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...control.while_loop import while_loop
from ...core import dtypes
from ...core.array import as_array
from ..numpy.contractions import vdot
from ..numpy.creation import eye, zeros, zeros_like
from ..numpy.elementwise import abs as absolute
from ..numpy.elementwise import conj, real, sqrt
from ..numpy.logic import isfinite
from ..numpy.norms import norm
from ..numpy.ranges import arange
from ..numpy.where import where
from .linalg import solve_triangular

Operator = Callable[[Any], Any]
Found = tuple[Any, Any, Any]


def cg(matvec: Operator, b: Any, x0: Any, limit: Any, most: int, precondition: Operator) -> Found:
    """Conjugate gradients, for Hermitian positive definite A (and preconditioners)."""
    r = b - matvec(x0)
    z = precondition(r)

    def turn(state: Any) -> Any:
        k, x, r, p, rz, _ = state
        ap = matvec(p)
        step = rz / real_dot(p, ap)
        x = x + step.astype(x.dtype) * p
        r = r - step.astype(x.dtype) * ap
        z = precondition(r)
        new = real_dot(r, z)
        return k + 1, x, r, z + (new / rz).astype(x.dtype) * p, new, norm(r)

    start = as_array(0), x0, r, z, real_dot(r, z), norm(r)
    k, x, *_, size = while_loop(lambda s: (s[5] > limit) & (s[0] < most), turn, start)
    return x, k, size


def bicgstab(matvec: Operator, b: Any, x0: Any, limit: Any, most: int, precondition: Operator) -> Found:
    """Stabilized biconjugate gradients, for any A. Stops where the recurrence breaks down."""
    r0 = b - matvec(x0)
    one = as_array(1).astype(b.dtype)

    def turn(state: Any) -> Any:
        k, x, r, p, v, rho, alpha, omega, size, _ = state
        new = vdot(r0, r)
        p = r + new / rho * (alpha / omega) * (p - omega * v)
        p_hat = precondition(p)
        v = matvec(p_hat)
        alpha = new / vdot(r0, v)
        s = r - alpha * v
        s_hat = precondition(s)
        t = matvec(s_hat)
        tt = vdot(t, t)
        omega = where(tt == 0, 0, vdot(t, s) / where(tt == 0, 1, tt))
        further = x + alpha * p_hat + omega * s_hat
        r = s - omega * t
        found = norm(r)
        sound = isfinite(found)
        x, size = where(sound, further, x), where(sound, found, size)
        return k + 1, x, r, p, v, new, alpha, omega, size, sound & (new != 0) & (omega != 0)

    start = as_array(0), x0, r0, zeros_like(b), zeros_like(b), one, one, one, norm(r0), as_array(True)
    k, x, *_, size, _ = while_loop(lambda s: (s[8] > limit) & (s[0] < most) & s[9], turn, start)
    return x, 2 * k, size


def gmres(
    matvec: Operator, b: Any, x0: Any, limit: Any, most: int, precondition: Operator, restart: int
) -> Found:
    """Generalized minimal residuals, started anew after every `restart` products, for any A.

    The preconditioner acts from the right, so that the residual is that of the system itself. The basis is
    orthogonalized twice; a rotation for each column keeps the norm of the residual at hand.
    """
    n = b.shape[0]
    m = max(1, min(restart, n))
    columns = arange(m)
    rounding = 4 * float(dtypes.finfo(dtypes.to_real_dtype(np.dtype(b.dtype))).eps)

    def turn(state: Any) -> Any:
        k, x, r, size, _ = state
        basis = zeros((m + 1, n), b.dtype).at[0].set(r / size.astype(b.dtype))
        start = as_array(0), basis, eye(m + 1, dtype=b.dtype), eye(m, dtype=b.dtype), size

        def column(state: Any) -> Any:
            j, basis, rotation, upper, _ = state
            w = matvec(precondition(basis[j]))
            length = norm(w)
            first = conj(basis) @ w
            w = w - first @ basis
            second = conj(basis) @ w
            w = w - second @ basis
            left = norm(w)
            left = where(left > rounding * length, left, 0)
            basis = basis.at[j + 1].set(where(left > 0, w / where(left > 0, left, 1).astype(b.dtype), 0))
            h = rotation @ (first + second)
            a = h[j]
            d = sqrt(absolute(a) ** 2 + left**2)
            safe = where(d > 0, d, 1).astype(b.dtype)
            c, s = where(d > 0, a / safe, 1), left.astype(b.dtype) / safe
            above, below = rotation[j], rotation[j + 1]
            rotation = rotation.at[j].set(conj(c) * above + s * below)
            rotation = rotation.at[j + 1].set(c * below - s * above)
            h = where(columns < j, h[:m], where(columns == j, d.astype(b.dtype), 0))
            return j + 1, basis, rotation, upper.at[:, j].set(h), size * absolute(rotation[j + 1, 0])

        j, basis, rotation, upper, _ = while_loop(
            lambda s: (s[0] < m) & (s[4] > limit) & (k + s[0] < most), column, start
        )
        # Columns that were not built are those of the identity.
        right = where(columns < j, rotation[:m, 0] * size.astype(b.dtype), 0)
        upper = upper + where(upper.diagonal() == 0, 1, 0) * eye(m, dtype=b.dtype)
        weights = solve_triangular(upper, right)
        further = x + precondition(weights @ basis[:m])
        r = b - matvec(further)
        found = norm(r)
        better = found < size
        return k + j, where(better, further, x), where(better, r, r), where(better, found, size), better

    r = b - matvec(x0)
    start = as_array(0), x0, r, norm(r), as_array(True)
    k, x, _, size, _ = while_loop(lambda s: (s[3] > limit) & (s[0] < most) & s[4], turn, start)
    return x, k, size


def real_dot(x: Any, y: Any) -> Any:
    """The real part of <x, y>."""
    return real(vdot(x, y))
