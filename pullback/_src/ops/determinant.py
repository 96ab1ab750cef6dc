"""Determinants and the pseudoinverse: functions of a matrix whose derivatives need more than a solve.

* d det(A) = sum(cof(A) . dA) holds for every matrix (Jacobi's formula). The matrix of cofactors is a
  polynomial of the elements; it is computed from the singular value decomposition, A = U diag(s) V^H, as
  det(U) det(V^H) conj(U) diag(prod of the other s) conj(V)^H, which needs no inverse, so that singular
  matrices have right derivatives, to second order too.
* d log|det A| = Re tr(A^-1 dA) (Giles 2008, section 2.2.3).
* The pseudoinverse: Golub and Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares
  problems whose variables separate", 1973, for matrices of constant rank.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base.errors import ShapeError
from ..core import dtypes, rules
from ..core.array import Array, ConcreteArray, as_array, scalar, wrap
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.kinds import kind
from ..core.primitive import Primitive
from .arithmetic import mul_p, sub_p
from .compare import select_n_p
from .complex import complex_p, imag_p, neg_p, real_p
from .convert import convert_element_type
from .dot import matmul
from .families import broadcast_shapes
from .joining import slice
from .matrices import (
    adjoint,
    batch_leading,
    check_matrix,
    conj,
    diagonal,
    identity,
    no_transpose,
    off_diagonal,
    product,
    swap,
    to_leading,
    trace,
)
from .spectral import svd_p
from .structural import add_any, moveaxis, reduce_sum_p, reshape, squeeze
from .triangular import solve_p

__all__ = ["det", "pinv", "slogdet"]

det_p = Primitive("det")
cofactor_p = Primitive("cofactor")
slogdet_p = Primitive("slogdet", multiple_results=True)
pinv_p = Primitive("pinv")


def det(x: Any) -> Array:
    """The determinants of (a stack of) square matrices."""
    x = as_array(x, name="det")
    check_matrix("det", x.aval, square=True)
    return det_p.bind(x)


def slogdet(x: Any) -> tuple[Array, Array]:
    """The sign (for complex matrices: the phase) of the determinant, and the logarithm of its size."""
    x = as_array(x, name="slogdet")
    check_matrix("slogdet", x.aval, square=True)
    return tuple(slogdet_p.bind(x))


def pinv(x: Any, rtol: Any) -> Array:
    """The Moore-Penrose inverse; singular values up to `rtol` times the largest count as zero."""
    x, rtol = as_array(x, name="pinv"), as_array(rtol, name="pinv")
    _pinv_abstract(x.aval, rtol.aval)
    return pinv_p.bind(x, rtol)


# det ----------------------------------------------------------------------------------------------


def _det_abstract(x: ShapedArray) -> ShapedArray:
    check_matrix("det", x, square=True)
    return shaped_array(x.shape[:-2], x.dtype, x.weak_type)


def _det_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    (x,), (t,) = primals, tangents
    rank = x.aval.ndim
    return det_p.bind(x), reduce_sum_p.bind(mul_p.bind(cofactor_p.bind(x), t), axes=(rank - 2, rank - 1))


def _cofactor_abstract(x: ShapedArray) -> ShapedArray:
    check_matrix("cofactor", x, square=True)
    return x


@functools.lru_cache(maxsize=64)
def _others(n: int) -> ConcreteArray:
    """(n, n, n): whether k is neither i nor j."""
    i, j, k = np.ogrid[:n, :n, :n]
    return wrap((k != i) & (k != j))


def _products_of_others(s: Any) -> Any:
    """(..., n, n): the product of all values but the i-th and the j-th."""
    shape = s.aval.shape
    n = shape[-1]
    rank = len(shape)
    factors = select_n_p.bind(_others(n), scalar(1, s.aval.dtype), reshape(s, (*shape[:-1], 1, 1, n)))
    total = None
    for k in range(n):
        begin, end = [0] * (rank + 2), list(factors.aval.shape)
        begin[-1], end[-1] = k, k + 1
        column = squeeze(slice(factors, begin, end), (rank + 1,))
        total = column if total is None else mul_p.bind(total, column)
    return total


def _cofactor_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    # In the basis of the singular vectors A is diagonal. The cofactors of diag(s) + E are, to first order,
    # prod_{k != i} s_k + sum_j P_ij E_jj on the diagonal and -P_ij E_ji off it, P_ij = prod_{k != i, j} s_k.
    (x,), (t,) = primals, tangents
    dtype = x.aval.dtype
    s, u, vh = svd_p.bind(x, full_matrices=False, compute_uv=True)
    pairs = off_diagonal(convert_element_type(_products_of_others(s), dtype))
    e = product(adjoint(u), t, adjoint(vh))
    shape = s.aval.shape
    sums = matmul(pairs, reshape(diagonal(e), (*shape, 1)))  # (..., n, 1)
    inner = sub_p.bind(mul_p.bind(sums, identity(shape[-1], dtype)), mul_p.bind(pairs, swap(e)))
    phase = reshape(mul_p.bind(det_p.bind(u), det_p.bind(vh)), (*shape[:-1], 1, 1))
    return cofactor_p.bind(x), mul_p.bind(product(conj(u), inner, conj(vh)), phase)


rules.abstract[det_p] = _det_abstract
rules.jvp[det_p] = _det_jvp
rules.batch[det_p] = batch_leading(det_p)
no_transpose(det_p, "the determinant is not linear in the matrix")
rules.abstract[cofactor_p] = _cofactor_abstract
rules.jvp[cofactor_p] = _cofactor_jvp
rules.batch[cofactor_p] = batch_leading(cofactor_p)
no_transpose(cofactor_p, "the cofactors are not linear in the matrix")

# slogdet ------------------------------------------------------------------------------------------


def _slogdet_abstract(x: ShapedArray) -> list[ShapedArray]:
    check_matrix("slogdet", x, square=True)
    batch = x.shape[:-2]
    return [shaped_array(batch, x.dtype), shaped_array(batch, dtypes.to_real_dtype(x.dtype))]


def _slogdet_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    (x,), (t,) = primals, tangents
    sign, logdet = slogdet_p.bind(x)
    dlog = trace(solve_p.bind(x, t, transpose_a=False))
    if kind(x.aval.dtype) != "c":
        return [sign, logdet], [Zero(sign.aval), dlog]
    turn = imag_p.bind(dlog)
    rotation = complex_p.bind(scalar(0, turn.aval.dtype), turn)
    return [sign, logdet], [mul_p.bind(sign, rotation), real_p.bind(dlog)]


rules.abstract[slogdet_p] = _slogdet_abstract
rules.jvp[slogdet_p] = _slogdet_jvp
rules.batch[slogdet_p] = batch_leading(slogdet_p)
no_transpose(slogdet_p, "the determinant is not linear in the matrix")

# pinv ---------------------------------------------------------------------------------------------


def _pinv_abstract(x: ShapedArray, rtol: ShapedArray) -> ShapedArray:
    check_matrix("pinv", x)
    if broadcast_shapes("pinv", x.shape[:-2], rtol.shape) != x.shape[:-2]:
        raise ShapeError(f"pinv: a tolerance of shape {rtol.shape} does not fit matrices of shape {x.shape}")
    return shaped_array((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype, x.weak_type and rtol.weak_type)


def _pinv_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    (x, rtol), (t, _) = primals, tangents
    p = pinv_p.bind(x, rtol)
    if type(t) is Zero:
        return p, Zero(p.aval)
    p_adjoint, t_adjoint = adjoint(p), adjoint(t)
    # dP = -P dA P + P P^H dA^H (1 - A P) + (1 - P A) dA^H P^H P; the last two vanish for full rank.
    out = neg_p.bind(product(p, t, p))
    left, right = product(p, p_adjoint, t_adjoint), product(t_adjoint, p_adjoint, p)
    out = add_any(out, sub_p.bind(left, product(left, x, p)))
    out = add_any(out, sub_p.bind(right, product(p, matmul(x, right))))
    return p, out


rules.abstract[pinv_p] = _pinv_abstract
rules.jvp[pinv_p] = _pinv_jvp


def _pinv_batch(axis: Any, values: Any, dims: Any) -> tuple[Any, int]:
    (x, rtol), (dx, dr) = values, dims
    x = to_leading(x, dx, axis.size)
    if dr is not None:
        # A tolerance broadcasts against the leading dimensions of the stack.
        rtol = moveaxis(rtol, dr, 0)
        shape = rtol.aval.shape
        rtol = reshape(rtol, (shape[0], *([1] * (x.aval.ndim - 2 - len(shape))), *shape[1:]))
    return pinv_p.bind(x, rtol), 0


rules.batch[pinv_p] = _pinv_batch
no_transpose(pinv_p, "the pseudoinverse is not linear in the matrix")
