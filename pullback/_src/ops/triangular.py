"""Linear systems: `triangular_solve`, `solve` with a general matrix, `inv`, `tridiagonal_solve`.

For op(A) X = B, differentiation gives op(A) dX = dB - op(dA) X, and the map from dB is transposed by solving
with the transposed matrix (Giles, "Collected matrix derivative results for forward and reverse mode
algorithmic differentiation", 2008, section 2.3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..base.errors import ShapeError
from ..core import rules
from ..core.array import Array, as_array
from ..core.aval import ShapedArray, Zero
from ..core.primitive import Primitive
from .arithmetic import mul_p, sub_p
from .complex import neg_p
from .dot import matmul
from .families import mismatch, result_weak
from .joining import pad
from .matrices import (
    batch_leading,
    check_matrix,
    conj,
    no_transpose,
    swap,
    to_leading,
    tril,
    triu,
    zero_like,
)
from .structural import moveaxis, reshape

__all__ = ["triangular_solve", "tridiagonal_solve"]

Linear = rules.Linear


def _difference(x: Any, y: Any) -> Any:
    """x - y, where x may be `Zero`."""
    return neg_p.bind(y) if type(x) is Zero else sub_p.bind(x, y)


def _check_system(name: str, a: ShapedArray, b: ShapedArray, left_side: bool) -> None:
    check_matrix(name, a, square=True)
    if a.dtype != b.dtype:
        raise mismatch(name, [a.dtype, b.dtype])
    rows = -2 if left_side else -1
    if b.ndim != a.ndim or b.shape[:-2] != a.shape[:-2] or b.shape[rows] != a.shape[-1]:
        raise ShapeError(
            f"{name}: a matrix of shape {a.shape} needs a right-hand side with the same leading "
            "dimensions and "
            f"{a.shape[-1]} {'rows' if left_side else 'columns'}; got shape {b.shape}"
        )


def _batch_system(
    primitive: Primitive, left_side: bool, axis: Any, values: Any, dims: Any, params: Any
) -> tuple[Any, int]:
    """Right-hand sides that share a matrix become more columns (or rows) of one right-hand side."""
    (a, b), (da, db) = values, dims
    if da is not None:
        return primitive.bind(moveaxis(a, da, 0), to_leading(b, db, axis.size), **params), 0
    place = b.aval.ndim - 1 if left_side else b.aval.ndim - 2
    b = moveaxis(b, db, place)  # beside the columns (rows), which follow or precede it
    shape = b.aval.shape
    if left_side:
        # (..., n, m, V): the columns are m and V.
        merged = (*shape[:-2], shape[-2] * shape[-1])
    else:
        # (..., m, V, n): the rows are m and V.
        merged = (*shape[:-3], shape[-3] * shape[-2], shape[-1])
    out = primitive.bind(a, reshape(b, merged), **params)
    return reshape(out, shape), place


# triangular_solve ---------------------------------------------------------------------------------

triangular_solve_p = Primitive("triangular_solve")


def triangular_solve(
    a: Any,
    b: Any,
    *,
    left_side: bool = False,
    lower: bool = False,
    transpose_a: bool = False,
    conjugate_a: bool = False,
    unit_diagonal: bool = False,
) -> Array:
    """Solve op(A) X = B (left side) or X op(A) = B for X, with triangular A.

    Args:
        a: (..., n, n); only the given triangle is read.
        b: (..., n, m) for the left side, else (..., m, n); or without the dimension m.
        left_side: whether op(A) stands on the left of X.
        lower: whether A is lower triangular.
        transpose_a, conjugate_a: op(A) is A transposed, conjugated, both or neither.
        unit_diagonal: take the diagonal as ones without reading it.

    Returns:
        X, of the shape of b. A zero on the diagonal gives infinities and NaNs.
    """
    a = as_array(a, name="triangular_solve")
    b = as_array(b, name="triangular_solve")
    vector = b.aval.ndim == a.aval.ndim - 1
    if vector:
        shape = b.aval.shape
        b = reshape(b, (*shape, 1) if left_side else (*shape[:-1], 1, *shape[-1:]))
    _check_system("triangular_solve", a.aval, b.aval, left_side)
    out = bind_triangular(a, b, left_side, lower, transpose_a, conjugate_a, unit_diagonal)
    return reshape(out, shape) if vector else out


def bind_triangular(
    a: Any,
    b: Any,
    left_side: bool = True,
    lower: bool = True,
    transpose_a: bool = False,
    conjugate_a: bool = False,
    unit_diagonal: bool = False,
) -> Any:
    """`triangular_solve` of arrays of full rank (what rules use)."""
    return triangular_solve_p.bind(
        a,
        b,
        left_side=bool(left_side),
        lower=bool(lower),
        transpose_a=bool(transpose_a),
        conjugate_a=bool(conjugate_a) and a.aval.dtype.kind == "c",
        unit_diagonal=bool(unit_diagonal),
    )


def _triangular_abstract(a: ShapedArray, b: ShapedArray, *, left_side: bool, **params: Any) -> ShapedArray:
    _check_system("triangular_solve", a, b, left_side)
    return b.strip_weak_type() if not a.weak_type else b


def _triangular_jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    left_side: bool,
    lower: bool,
    transpose_a: bool,
    conjugate_a: bool,
    unit_diagonal: bool,
) -> tuple[Any, Any]:
    (a, b), (ta, tb) = primals, tangents
    flags = (left_side, lower, transpose_a, conjugate_a, unit_diagonal)
    x = bind_triangular(a, b, *flags)
    if type(ta) is not Zero:
        tb = _difference(tb, _times_triangle(ta, x, *flags))
    return x, tb if type(tb) is Zero else bind_triangular(a, tb, *flags)


def _times_triangle(
    ta: Any, x: Any, left_side: bool, lower: bool, transpose_a: bool, conjugate_a: bool, unit_diagonal: bool
) -> Any:
    """The product of x with a change of the part of A that is read."""
    below = -1 if unit_diagonal else 0
    ta = tril(ta, below) if lower else triu(ta, -below)
    if conjugate_a:
        ta = conj(ta)
    if transpose_a:
        ta = swap(ta)
    return matmul(ta, x) if left_side else matmul(x, ta)


def _system_coefficient(primitive: Primitive, times: Callable[..., Any]) -> rules.Rule:
    # From A X = B: A_0 X_k = B_k - sum of A_j X_(k-j) over j > 0.
    def rule(k: int, out: Sequence[Any], args: Sequence[Any], **params: Any) -> Any:
        a, b = args
        total = b[k]
        for j in range(1, k + 1):
            if type(a[j]) is not Zero and type(out[k - j]) is not Zero:
                total = _difference(total, times(a[j], out[k - j], **params))
        return total if type(total) is Zero else primitive.bind(a[0], total, **params)

    return rule


def _triangular_transpose(
    ct: Any,
    a: Any,
    b: Any,
    *,
    left_side: bool,
    lower: bool,
    transpose_a: bool,
    conjugate_a: bool,
    unit_diagonal: bool,
) -> list[Any]:
    return [None, bind_triangular(a, ct, left_side, lower, not transpose_a, conjugate_a, unit_diagonal)]


def _triangular_batch(
    axis: Any, values: Any, dims: Any, *, left_side: bool, **params: Any
) -> tuple[Any, int]:
    return _batch_system(
        triangular_solve_p, left_side, axis, values, dims, {"left_side": left_side, **params}
    )


rules.abstract[triangular_solve_p] = _triangular_abstract
rules.jvp[triangular_solve_p] = _triangular_jvp
rules.coefficient[triangular_solve_p] = _system_coefficient(triangular_solve_p, _times_triangle)
rules.transpose[triangular_solve_p] = _triangular_transpose
rules.batch[triangular_solve_p] = _triangular_batch

# solve --------------------------------------------------------------------------------------------

solve_p = Primitive("solve")


def solve(a: Any, b: Any, *, transpose_a: bool = False) -> Array:
    """Solve A X = B (or A^T X = B) with a general square matrix.

    Args:
        a: (..., n, n).
        b: (..., n, m), with the same leading dimensions.

    Returns:
        X, of the shape of b. A singular matrix gives infinities and NaNs.
    """
    a, b = as_array(a, name="solve"), as_array(b, name="solve")
    _check_system("solve", a.aval, b.aval, True)
    return solve_p.bind(a, b, transpose_a=transpose_a)


def _solve_abstract(a: ShapedArray, b: ShapedArray, *, transpose_a: bool) -> ShapedArray:
    _check_system("solve", a, b, True)
    return b.strip_weak_type() if not a.weak_type else b


def _solve_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, transpose_a: bool) -> tuple[Any, Any]:
    (a, b), (ta, tb) = primals, tangents
    x = solve_p.bind(a, b, transpose_a=transpose_a)
    if type(ta) is not Zero:
        tb = _difference(tb, _times_matrix(ta, x, transpose_a))
    return x, tb if type(tb) is Zero else solve_p.bind(a, tb, transpose_a=transpose_a)


def _times_matrix(ta: Any, x: Any, transpose_a: bool) -> Any:
    return matmul(swap(ta) if transpose_a else ta, x)


rules.abstract[solve_p] = _solve_abstract
rules.jvp[solve_p] = _solve_jvp
rules.coefficient[solve_p] = _system_coefficient(solve_p, _times_matrix)
rules.transpose[solve_p] = lambda ct, a, b, *, transpose_a: [
    None,
    solve_p.bind(a, ct, transpose_a=not transpose_a),
]
rules.batch[solve_p] = lambda axis, values, dims, **params: _batch_system(
    solve_p, True, axis, values, dims, params
)

# inv ----------------------------------------------------------------------------------------------

inv_p = Primitive("inv")


def inv(a: Any) -> Array:
    """The inverses of (a stack of) square matrices; infinities and NaNs for singular ones."""
    a = as_array(a, name="inv")
    check_matrix("inv", a.aval, square=True)
    return inv_p.bind(a)


def _inv_abstract(a: ShapedArray) -> ShapedArray:
    check_matrix("inv", a, square=True)
    return a


def _inv_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    x = inv_p.bind(*primals)
    return x, neg_p.bind(matmul(matmul(x, tangents[0]), x))


rules.abstract[inv_p] = _inv_abstract
rules.jvp[inv_p] = _inv_jvp
rules.batch[inv_p] = batch_leading(inv_p)
no_transpose(inv_p, "the inverse is not linear in the matrix")

# tridiagonal_solve --------------------------------------------------------------------------------

tridiagonal_solve_p = Primitive("tridiagonal_solve")


def tridiagonal_solve(dl: Any, d: Any, du: Any, b: Any, *, perturb_singular: bool = False) -> Array:
    """Solve A X = B with a tridiagonal matrix A.

    Args:
        dl: (..., n), the lower diagonal: A[i, i - 1] = dl[i]; dl[0] is not read.
        d: (..., n), the diagonal.
        du: (..., n), the upper diagonal: A[i, i + 1] = du[i]; the last element is not read.
        b: (..., n, m).
        perturb_singular: not supported; must be False.
    """
    if perturb_singular:
        raise NotImplementedError(
            "tridiagonal_solve: perturb_singular=True is not supported on the CPU; leave it False and add a "
            "small multiple of the identity (to d) if the matrix may be singular"
        )
    arrays = [as_array(x, name="tridiagonal_solve") for x in (dl, d, du, b)]
    _tridiagonal_abstract(*[x.aval for x in arrays])
    return tridiagonal_solve_p.bind(*arrays)


def _tridiagonal_abstract(dl: ShapedArray, d: ShapedArray, du: ShapedArray, b: ShapedArray) -> ShapedArray:
    check_matrix("tridiagonal_solve", b)
    if not dl.dtype == d.dtype == du.dtype == b.dtype:
        raise mismatch("tridiagonal_solve", [dl.dtype, d.dtype, du.dtype, b.dtype])
    if not dl.shape == d.shape == du.shape == b.shape[:-1]:
        raise ShapeError(
            "tridiagonal_solve expects diagonals of one shape (..., n) and a right-hand side (..., "
            "n, m); got "
            f"{dl.shape}, {d.shape}, {du.shape} and {b.shape}"
        )
    return b if result_weak((dl, d, du)) else b.strip_weak_type()


def _shift_rows(x: Any, by: int) -> Any:
    """Row i of the result is row i - by of x, zero where there is none."""
    config = [(0, 0, 0)] * x.aval.ndim
    config[-2] = (by, -by, 0)
    return pad(x, zero_like(x), config)


def _times_column(diagonal: Any, x: Any) -> Any:
    return mul_p.bind(reshape(diagonal, (*diagonal.aval.shape, 1)), x)


def _tridiagonal_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    *diagonals, _ = primals
    x = tridiagonal_solve_p.bind(*primals)
    total = tangents[3]
    for t, shift in zip(tangents[:3], (1, 0, -1), strict=True):
        if type(t) is not Zero:
            total = _difference(total, _times_column(t, _shift_rows(x, shift) if shift else x))
    return x, total if type(total) is Zero else tridiagonal_solve_p.bind(*diagonals, total)


def _shift(x: Any, by: int) -> Any:
    return pad(x, zero_like(x), [(0, 0, 0)] * (x.aval.ndim - 1) + [(by, -by, 0)])


def _tridiagonal_transpose(ct: Any, dl: Any, d: Any, du: Any, b: Any) -> list[Any]:
    # Of A^T the lower diagonal is A's upper one, moved by one row, and the other way round.
    return [None, None, None, tridiagonal_solve_p.bind(_shift(du, 1), d, _shift(dl, -1), ct)]


rules.abstract[tridiagonal_solve_p] = _tridiagonal_abstract
rules.jvp[tridiagonal_solve_p] = _tridiagonal_jvp
rules.transpose[tridiagonal_solve_p] = _tridiagonal_transpose
rules.batch[tridiagonal_solve_p] = batch_leading(tridiagonal_solve_p)
