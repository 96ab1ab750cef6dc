"""Products of vectors, matrices and higher arrays: dot, matmul, tensordot, outer, cross, convolve
and their like.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ...base.errors import ShapeError
from ...core import dtypes
from ...core.array import Array, ConcreteArray, wrap
from ...core.aval import shaped_array
from ...core.engine import quietly
from ...core.kinds import kind
from ...core.trace import CURRENT, EVAL
from ...ops.arithmetic import mul_p, sub_p
from ...ops.compare import select_n_p
from ...ops.complex import conj_p
from ...ops.conv import conv_general_dilated
from ...ops.convert import convert_element_type
from ...ops.dot import bind_dot, canonical_precision, matmul_numbers
from ...ops.joining import concatenate, split
from ...ops.structural import canonical_axis, full, moveaxis, reshape, rev, transpose
from . import reductions
from .promotion import check_arraylike, promote, promote_inexact, refuse_out

__all__ = [
    "convolve",
    "correlate",
    "cross",
    "dot",
    "inner",
    "kron",
    "matmul",
    "matvec",
    "outer",
    "tensordot",
    "trace",
    "vdot",
    "vecdot",
    "vecmat",
]

# Dtypes in which NumPy's dot gives the result that is wanted: no low precision, which accumulates in float32.
_DIRECT = frozenset(
    np.dtype(c)
    for c in (np.float32, np.float64, np.complex64, np.complex128, np.int32, np.int64, np.uint32, np.uint64)
)
_current = CURRENT.get
_VECTORS = {
    (1, 1): (((0,), (0,)), ((), ())),
    (1, 2): (((0,), (0,)), ((), ())),
    (2, 1): (((1,), (0,)), ((), ())),
    (2, 2): (((1,), (0,)), ((), ())),
}


def _fast(a: Any, b: Any) -> Any:
    """The product of vectors and matrices of one dtype, if concrete straight from NumPy; None where
    that is not the case.
    """
    if isinstance(a, Array) and isinstance(b, Array):
        x, y = a.aval, b.aval
        if x.dtype is y.dtype and 1 <= x.ndim <= 2 and 1 <= y.ndim <= 2 and x.dtype in _DIRECT:
            if x.shape[-1] != y.shape[0]:
                return None
            if type(a) is not ConcreteArray or type(b) is not ConcreteArray or _current() is not EVAL:
                return bind_dot(a, b, _VECTORS[x.ndim, y.ndim])
            data = quietly(a._data.dot, b._data)
            if type(data) is not np.ndarray:
                data = np.asarray(data)
            return ConcreteArray(data, shaped_array(data.shape, x.dtype, x.weak_type and y.weak_type))
    return None


def _promoted(
    name: str, a: Any, b: Any, precision: Any, preferred_element_type: Any
) -> tuple[Any, Any, Any, np.dtype[Any] | None]:
    x, y = promote(name, a, b)
    if preferred_element_type is not None:
        preferred_element_type = dtypes.check_user_dtype(preferred_element_type, name)
    return x, y, None if precision is None else canonical_precision(precision), preferred_element_type


def _check_sizes(name: str, x: Any, y: Any, i: int, j: int) -> None:
    if x.aval.shape[i] != y.aval.shape[j]:
        raise ShapeError(
            f"{name}: cannot multiply shapes {x.aval.shape} and {y.aval.shape}: dimension {i} of the "
            "first has size "
            f"{x.aval.shape[i]}, dimension {j} of the second {y.aval.shape[j]}; they must be equal"
        )


def _product(x: Any, y: Any, preferred: Any) -> Any:
    out = mul_p.bind(x, y)
    return out if preferred is None else convert_element_type(out, preferred)


def dot(
    a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None, out_sharding: Any = None
) -> Array:
    """The sum of products over the last dimension of `a` and the last but one (of a vector: the only one) of
    `b`.

    Args:
        a, b: arrays; a number (no dimensions) multiplies.
        precision, preferred_element_type: see `lax.dot_general`.
        out_sharding: accepted for compatibility; there is one device.

    Returns:
        An array of shape `a.shape[:-1] + b.shape[:-2] + b.shape[-1:]`.

    Raises:
        ShapeError: the two dimensions have different sizes.
    """
    if precision is None and preferred_element_type is None:
        found = _fast(a, b)
        if found is not None:
            return found
    x, y, precision, preferred = _promoted("dot", a, b, precision, preferred_element_type)
    ranks = x.aval.ndim, y.aval.ndim
    if not ranks[0] or not ranks[1]:
        return _product(x, y, preferred)
    _check_sizes("dot", x, y, -1, -2 if ranks[1] > 1 else -1)
    numbers = _VECTORS.get(ranks) or (((ranks[0] - 1,), (max(ranks[1] - 2, 0),)), ((), ()))
    return bind_dot(x, y, numbers, precision, preferred)


def matmul(
    a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None, out_sharding: Any = None
) -> Array:
    """The matrix product of two (stacks of) matrices, whose leading dimensions broadcast; vectors have one
    dimension.

    Args:
        a, b: arrays with at least one dimension.
        precision, preferred_element_type: see `lax.dot_general`.
        out_sharding: accepted for compatibility; there is one device.

    Raises:
        ShapeError: no dimensions, inner dimensions of different sizes, or leading ones that do not broadcast.
    """
    if precision is None and preferred_element_type is None:
        found = _fast(a, b)
        if found is not None:
            return found
    x, y, precision, preferred = _promoted("matmul", a, b, precision, preferred_element_type)
    x_rank, y_rank = x.aval.ndim, y.aval.ndim
    if not x_rank or not y_rank:
        raise ShapeError(
            f"matmul expects arrays with at least one dimension; got shapes {x.aval.shape} and "
            f"{y.aval.shape}. Use * "
            "to multiply by a number."
        )
    _check_sizes("matmul", x, y, -1, -2 if y_rank > 1 else -1)
    numbers = _VECTORS.get((x_rank, y_rank))
    if numbers is not None:
        return bind_dot(x, y, numbers, precision, preferred)
    if y_rank <= 2:
        return bind_dot(x, y, (((x_rank - 1,), (0,)), ((), ())), precision, preferred)
    if x_rank == 1:
        return bind_dot(x, y, (((0,), (y_rank - 2,)), ((), ())), precision, preferred)
    if x.aval.shape[:-2] == y.aval.shape[:-2]:
        return bind_dot(x, y, matmul_numbers(x_rank - 2), precision, preferred)
    return _broadcasting_matmul(x, y, precision, preferred)


def _broadcasting_matmul(x: Any, y: Any, precision: Any, preferred: Any) -> Any:
    """Leading dimensions that only one operand has stay free dimensions of it: nothing is repeated."""
    x_shape, y_shape = x.aval.shape, y.aval.shape
    rank = max(len(x_shape), len(y_shape)) - 2
    x_lead = (1,) * (rank + 2 - len(x_shape)) + x_shape[:-2]
    y_lead = (1,) * (rank + 2 - len(y_shape)) + y_shape[:-2]
    shared, x_only, y_only = [], [], []
    for i, (p, q) in enumerate(zip(x_lead, y_lead, strict=True)):
        if p == q:
            shared.append(i)
        elif q == 1:
            x_only.append(i)
        elif p == 1:
            y_only.append(i)
        else:
            raise ShapeError(
                f"matmul: the leading dimensions of shapes {x_shape} and {y_shape} do not broadcast: "
                f"{p} and {q}"
            )
    x_kept, y_kept = sorted(shared + x_only), sorted(shared + y_only)
    x = reshape(x, (*(x_lead[i] for i in x_kept), *x_shape[-2:]))
    y = reshape(y, (*(y_lead[i] for i in y_kept), *y_shape[-2:]))
    batch = tuple(x_kept.index(i) for i in shared), tuple(y_kept.index(i) for i in shared)
    out = bind_dot(x, y, (((len(x_kept) + 1,), (len(y_kept),)), batch), precision, preferred)
    rows, columns = rank, rank + 1
    places = [*shared, *x_only, rows, *y_only, columns]
    return transpose(out, sorted(range(rank + 2), key=places.__getitem__))


def vdot(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Array:
    """The inner product of two arrays as vectors, with `a` conjugated."""
    x, y, precision, preferred = _promoted("vdot", a, b, precision, preferred_element_type)
    if kind(x.aval.dtype) == "c":
        x = conj_p.bind(x)
    if x.aval.size != y.aval.size:
        raise ShapeError(f"vdot expects arrays of equal sizes; got shapes {x.aval.shape} and {y.aval.shape}")
    x, y = reshape(x, (x.aval.size,)), reshape(y, (y.aval.size,))
    return bind_dot(x, y, _VECTORS[1, 1], precision, preferred)


def _conjugated(x: Any) -> Any:
    return conj_p.bind(x) if kind(x.aval.dtype) == "c" else x


def vecdot(
    x1: Any, x2: Any, /, *, axis: int = -1, precision: Any = None, preferred_element_type: Any = None
) -> Array:
    """Inner products along `axis` (x1 conjugated); the other dimensions broadcast.

    Raises:
        ShapeError: different sizes along `axis`.
    """
    x, y, precision, preferred = _promoted("vecdot", x1, x2, precision, preferred_element_type)
    if not x.aval.ndim or not y.aval.ndim:
        raise ShapeError(
            f"vecdot expects at least one dimension; got shapes {x.aval.shape} and {y.aval.shape}"
        )
    x = moveaxis(x, canonical_axis(axis, x.aval.ndim), x.aval.ndim - 1)
    y = moveaxis(y, canonical_axis(axis, y.aval.ndim), y.aval.ndim - 1)
    _check_sizes("vecdot", x, y, -1, -1)
    row = reshape(_conjugated(x), (*x.aval.shape[:-1], 1, x.aval.shape[-1]))
    column = reshape(y, (*y.aval.shape, 1))
    out = matmul(row, column, precision=precision, preferred_element_type=preferred)
    return reshape(out, out.shape[:-2])


def matvec(x1: Any, x2: Any, /) -> Array:
    """Products of (stacks of) matrices (..., m, n) and vectors (..., n)."""
    x, y = promote("matvec", x1, x2)
    if x.aval.ndim < 2 or y.aval.ndim < 1:
        raise ShapeError(
            f"matvec expects a matrix and a vector; got shapes {x.aval.shape} and {y.aval.shape}"
        )
    _check_sizes("matvec", x, y, -1, -1)
    out = matmul(x, reshape(y, (*y.aval.shape, 1)))
    return reshape(out, out.shape[:-1])


def vecmat(x1: Any, x2: Any, /) -> Array:
    """Products of (stacks of) conjugated vectors (..., m) and matrices (..., m, n)."""
    x, y = promote("vecmat", x1, x2)
    if x.aval.ndim < 1 or y.aval.ndim < 2:
        raise ShapeError(
            f"vecmat expects a vector and a matrix; got shapes {x.aval.shape} and {y.aval.shape}"
        )
    _check_sizes("vecmat", x, y, -1, -2)
    out = matmul(reshape(_conjugated(x), (*x.aval.shape[:-1], 1, x.aval.shape[-1])), y)
    return reshape(out, (*out.shape[:-2], out.shape[-1]))


def inner(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Array:
    """The sum of products over the last dimensions of both arrays (without conjugation)."""
    x, y, precision, preferred = _promoted("inner", a, b, precision, preferred_element_type)
    if not x.aval.ndim or not y.aval.ndim:
        return _product(x, y, preferred)
    _check_sizes("inner", x, y, -1, -1)
    numbers = ((x.aval.ndim - 1,), (y.aval.ndim - 1,)), ((), ())
    return bind_dot(x, y, numbers, precision, preferred)


def outer(a: Any, b: Any, out: None = None) -> Array:
    """The products of all elements of `a` with all elements of `b`: (a.size, b.size)."""
    refuse_out("outer", out)
    x, y = promote("outer", a, b)
    return mul_p.bind(reshape(x, (x.aval.size, 1)), reshape(y, (1, y.aval.size)))


def kron(a: Any, b: Any) -> Array:
    """The Kronecker product: block i of the result is a[i] * b."""
    x, y = promote("kron", a, b)
    rank = max(x.aval.ndim, y.aval.ndim)
    x_shape = (1,) * (rank - x.aval.ndim) + x.aval.shape
    y_shape = (1,) * (rank - y.aval.ndim) + y.aval.shape
    x = reshape(x, [d for size in x_shape for d in (size, 1)])
    y = reshape(y, [d for size in y_shape for d in (1, size)])
    return reshape(mul_p.bind(x, y), [p * q for p, q in zip(x_shape, y_shape, strict=True)])


def tensordot(
    a: Any,
    b: Any,
    axes: Any = 2,
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Array:
    """The sum of products over some dimensions of both arrays.

    Args:
        a, b: arrays.
        axes: how many of the last dimensions of `a` pair with the first of `b`; or two sequences of
            dimensions; or two dimensions.
        precision, preferred_element_type: see `lax.dot_general`.
        out_sharding: accepted for compatibility; there is one device.

    Returns:
        An array with the other dimensions of `a`, then those of `b`.
    """
    x, y, precision, preferred = _promoted("tensordot", a, b, precision, preferred_element_type)
    x_rank, y_rank = x.aval.ndim, y.aval.ndim
    if isinstance(axes, (list, tuple)):
        if len(axes) != 2:
            raise TypeError(
                f"tensordot: axes must be a number or a pair of (sequences of) dimensions; got {axes!r}"
            )
        first, second = (list(s) if isinstance(s, (list, tuple, np.ndarray)) else [s] for s in axes)
    else:
        count = operator.index(axes)
        if count > min(x_rank, y_rank) or count < 0:
            raise ShapeError(
                f"tensordot: axes={count} is more than shapes {x.aval.shape} and {y.aval.shape} have"
            )
        first, second = list(range(x_rank - count, x_rank)), list(range(count))
    if len(first) != len(second):
        raise ShapeError(
            f"tensordot: axes must name equally many dimensions of both arrays; got {first} and {second}"
        )
    x_axes = tuple(canonical_axis(i, x_rank) for i in first)
    y_axes = tuple(canonical_axis(i, y_rank) for i in second)
    return bind_dot(x, y, ((x_axes, y_axes), ((), ())), precision, preferred)


def trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None
) -> Array:
    """The sums along the diagonals of the dimensions `axis1` and `axis2`.

    Args:
        a: an array with at least two dimensions.
        offset: which diagonal; positive ones lie above the main one.
        dtype: the dtype in which to add, and of the result (default: as for `sum`).
    """
    refuse_out("trace", out)
    check_arraylike("trace", a)
    (x,) = promote("trace", a)
    rank = x.aval.ndim
    if rank < 2:
        raise ShapeError(f"trace expects at least two dimensions; got shape {x.aval.shape}")
    first, second = canonical_axis(axis1, rank), canonical_axis(axis2, rank)
    if first == second:
        raise ValueError(
            f"trace: axis1 and axis2 must differ; got {axis1} and {axis2} for shape {x.aval.shape}"
        )
    placed = [1] * rank
    placed[first], placed[second] = x.aval.shape[first], x.aval.shape[second]
    mask = np.eye(placed[first], placed[second], operator.index(offset), dtype=np.bool_)
    if first > second:
        mask = mask.T
    zero = full((), False if x.aval.dtype == np.bool_ else 0, x.aval.dtype)
    chosen = select_n_p.bind(wrap(mask.reshape(placed)), zero, x)
    return reductions.sum(chosen, axis=(first, second), dtype=dtype)


def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Array:
    """The cross products of vectors with 3 (or 2) components along an axis; the other dimensions broadcast.

    Args:
        a, b: arrays.
        axisa, axisb: where the components stand.
        axisc: where they stand in the result (two vectors of 2 components give numbers).
        axis: the same place for all three.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = promote("cross", a, b)
    x = moveaxis(x, canonical_axis(axisa, x.aval.ndim), x.aval.ndim - 1)
    y = moveaxis(y, canonical_axis(axisb, y.aval.ndim), y.aval.ndim - 1)
    sizes = x.aval.shape[-1], y.aval.shape[-1]
    if any(s not in (2, 3) for s in sizes):
        raise ShapeError(f"cross expects vectors with 2 or 3 components; got {sizes[0]} and {sizes[1]}")
    p, q = _components(x), _components(y)
    if sizes == (2, 2):
        return _cross_part(p, q, 0, 1)
    p, q = _with_third(p), _with_third(q)
    parts = [_cross_part(p, q, i, j) for i, j in ((1, 2), (2, 0), (0, 1))]
    shape = parts[0].aval.shape
    joined = concatenate([reshape(c, (*shape, 1)) for c in parts], len(shape))
    return moveaxis(joined, len(shape), canonical_axis(axisc, len(shape) + 1))


def _cross_part(p: list[Any], q: list[Any], i: int, j: int) -> Any:
    return sub_p.bind(mul_p.bind(p[i], q[j]), mul_p.bind(p[j], q[i]))


def _components(x: Any) -> list[Any]:
    parts = split(x, [1] * x.aval.shape[-1], x.aval.ndim - 1)
    return [reshape(c, c.aval.shape[:-1]) for c in parts]


def _with_third(components: list[Any]) -> list[Any]:
    if len(components) == 3:
        return components
    first = components[0].aval
    return [*components, full(first.shape, 0, first.dtype)]


def convolve(
    a: Any, v: Any, mode: str = "full", *, precision: Any = None, preferred_element_type: Any = None
) -> Array:
    """The discrete convolution of two vectors.

    Args:
        a, v: vectors.
        mode: "full" (all overlaps), "same" (as many as the longer vector has elements) or "valid" (full
            overlaps).
        precision, preferred_element_type: see `lax.dot_general`.
    """
    return _convolution("convolve", a, v, mode, precision, preferred_element_type)


def correlate(
    a: Any, v: Any, mode: str = "valid", *, precision: Any = None, preferred_element_type: Any = None
) -> Array:
    """The discrete cross-correlation of two vectors (v conjugated); see `convolve`."""
    return _convolution("correlate", a, v, mode, precision, preferred_element_type)


def _convolution(name: str, a: Any, v: Any, mode: str, precision: Any, preferred_element_type: Any) -> Any:
    x, w = promote_inexact(name, a, v)
    if x.aval.ndim != 1 or w.aval.ndim != 1:
        raise ShapeError(f"{name} expects two vectors; got shapes {x.aval.shape} and {w.aval.shape}")
    if not x.aval.size or not w.aval.size:
        raise ShapeError(
            f"{name} expects vectors with elements; got shapes {x.aval.shape} and {w.aval.shape}"
        )
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"{name}: mode must be 'full', 'same' or 'valid'; got {mode!r}")
    flipped = False
    if name == "correlate":
        w = _conjugated(w)
    if x.aval.size < w.aval.size:
        x, w = w, x
        flipped = name == "correlate"
    if name == "convolve":
        w = rev(w, (0,))
    size = w.aval.size
    if mode == "full":
        padding = (size - 1, size - 1)
    elif mode == "valid":
        padding = (0, 0)
    else:
        padding = (size // 2, size - size // 2 - 1)
    out = conv_general_dilated(
        reshape(x, (1, 1, x.aval.size)),
        reshape(w, (1, 1, size)),
        (1,),
        (padding,),
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    out = reshape(out, (out.aval.size,))
    return rev(out, (0,)) if flipped else out


def _matmul(self: Any, other: Any) -> Any:
    if isinstance(other, (list, tuple)):
        raise TypeError(f"unsupported operand type(s) for @: 'Array' and {type(other).__name__!r}")
    return matmul(self, other)


def _reflected_matmul(self: Any, other: Any) -> Any:
    if isinstance(other, (list, tuple)):
        raise TypeError(f"unsupported operand type(s) for @: {type(other).__name__!r} and 'Array'")
    return matmul(other, self)


METHODS: dict[str, Any] = {
    "__matmul__": _matmul,
    "__rmatmul__": _reflected_matmul,
    "dot": dot,
    "trace": trace,
}
