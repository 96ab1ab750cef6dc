"""Constructors for families of primitives: an ordinary operation costs two or three lines.

A *partial* gives the contribution of one operand's tangent: `lambda t, ans, x, y: mul(t, y)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..base.errors import DTypeError, ShapeError
from ..core import dtypes, rules
from ..core.array import Array, as_array, scalar
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.kinds import kind
from ..core.primitive import Primitive
from .structural import add_any, broadcast_to, moveaxis, reduce_sum_p, reshape

__all__: list[str] = []  # nothing here is a function of lax

Partial = Callable[..., Any]

FLOAT = "f"
COMPLEX = "c"
INEXACT = "fc"
SIGNED = "ifc"
REAL = "iuf"
NUMERIC = "iufc"
INTEGRAL = "iub"
ANY = "biufc"

_KIND_NAMES = {"b": "bool", "i": "integer", "u": "unsigned integer", "f": "floating-point", "c": "complex"}


def check_kind(name: str, dtype: np.dtype[Any], accepts: str) -> None:
    """Raise a `DTypeError` unless the dtype is of one of the kinds in `accepts`."""
    if kind(dtype) not in accepts:
        wanted = ", ".join(_KIND_NAMES[k] for k in accepts)
        raise DTypeError(f"{name} expects operands of kind {wanted}; got dtype {dtypes.dtype_name(dtype)}")


def broadcast_shapes(name: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape to which the operands' shapes broadcast, by NumPy's rules.

    Raises:
        ShapeError: naming the operation and all shapes.
    """
    shape = _common_shape(*shapes)
    if shape is not None:
        return shape
    listed = " and ".join(map(str, shapes)) if len(shapes) == 2 else ", ".join(map(str, shapes))
    for i in range(1, max(map(len, shapes)) + 1):
        sizes = [*dict.fromkeys([s[-i] for s in shapes if len(s) >= i and s[-i] != 1])]
        if len(sizes) > 1:
            break
    raise ShapeError(
        f"{name}: operands of shapes {listed} cannot be broadcast together: dimension "
        f"{-i} is {sizes[0]} in one and {sizes[1]} in another. Sizes must be equal or 1, counted "
        "from the right."
    )


@lru_cache(maxsize=4096)
def _common_shape(*shapes: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape to which shapes broadcast, or None; the same few come again and again."""
    out: list[int] = []
    for i in range(1, max(map(len, shapes)) + 1):
        size = 1
        for s in shapes:
            if len(s) >= i and s[-i] != 1:
                if size not in (1, s[-i]):
                    return None
                size = s[-i]
        out.append(size)
    return tuple(reversed(out))


def operands(name: str, *values: Any) -> list[Any]:
    """The values as arrays of one dtype; Python numbers take the dtype of the arrays beside them.

    Raises:
        DTypeError: arrays of different dtypes (`numpy` functions promote, `lax` functions do not).
    """
    dtype = None
    out: list[Any] = []
    for v in values:
        if isinstance(v, Array):
            if dtype is None:
                dtype = v.aval.dtype
            elif v.aval.dtype != dtype:
                raise mismatch(name, [getattr(x, "dtype", type(x).__name__) for x in values])
            out.append(v)
        elif isinstance(v, (bool, int, float, complex)) and not isinstance(v, np.generic):
            out.append(v)
        else:
            v = as_array(v, name=name)
            if dtype is not None and v.aval.dtype != dtype:
                raise mismatch(name, [getattr(x, "dtype", type(x).__name__) for x in values])
            dtype = v.aval.dtype
            out.append(v)
    if dtype is None:
        arrays = [as_array(v) for v in out]
        dtype = dtypes.result_type(*out)
        return [a if a.aval.dtype == dtype else scalar(v, dtype) for a, v in zip(arrays, out, strict=True)]
    for i, v in enumerate(out):
        if not isinstance(v, Array):
            out[i] = scalar(_fitting(name, v, dtype), dtype)
    return out


def _fitting(name: str, value: Any, dtype: np.dtype[Any]) -> Any:
    letter = kind(dtype)
    if (
        (isinstance(value, complex) and letter != "c")
        or (isinstance(value, float) and letter in "biu")
        or (letter == "b" and not isinstance(value, bool))
    ):
        raise mismatch(name, [dtypes.dtype_name(dtype), type(value).__name__])
    return value


def mismatch(name: str, found: Sequence[Any]) -> DTypeError:
    return DTypeError(
        f"{name} expects operands of one dtype; got {', '.join(map(str, found))}. Convert with "
        f"lax.convert_element_type, or use the function in numpy, which promotes."
    )


def result_weak(avals: Sequence[ShapedArray]) -> bool:
    return all(a.weak_type for a in avals)


# Elementwise operations ---------------------------------------------------------------------------

# The kinds of dtypes that an elementwise primitive accepts. NumPy's kernels would promote others silently, so
# the functions that users call check.
_accepted: dict[Primitive, str] = {}


def unary(primitive: Primitive, x: Any, **params: Any) -> Array:
    """Apply an elementwise primitive to an array or a number, checking its dtype."""
    return checked(primitive, as_array(x, name=primitive.name), **params)


def binary(primitive: Primitive, x: Any, y: Any) -> Array:
    """Apply an elementwise primitive to two operands of one dtype, checking it; numbers adapt to arrays."""
    x, y = operands(primitive.name, x, y)
    accepts = _accepted[primitive]
    if kind(x.aval.dtype) not in accepts:
        check_kind(primitive.name, x.aval.dtype, accepts)
    return primitive.bind(x, y)


def checked(primitive: Primitive, *arrays: Any, **params: Any) -> Array:
    """Apply an elementwise primitive to arrays of one dtype, checking that it accepts that dtype."""
    accepts = _accepted[primitive]
    if kind(arrays[0].aval.dtype) not in accepts:
        check_kind(primitive.name, arrays[0].aval.dtype, accepts)
    return primitive.bind(*arrays, **params)


def elementwise(
    name: str,
    *partials: Partial | None,
    accepts: str = INEXACT,
    result: Callable[[np.dtype[Any]], np.dtype[Any]] | None = None,
    arity: int | None = None,
) -> Primitive:
    """An elementwise primitive of `len(partials)` operands of one dtype, which broadcast like NumPy's.

    `partials[i]` is the derivative by operand i (None: zero everywhere). `result` maps the operands'
    dtype to the result's (default: the same).
    """
    arity = len(partials) if arity is None else arity
    primitive = Primitive(name, elementwise=True)
    _accepted[primitive] = accepts
    if arity == 1:

        def abstract_unary(x: ShapedArray, **params: Any) -> ShapedArray:
            if kind(x.dtype) not in accepts:
                check_kind(name, x.dtype, accepts)
            return x if result is None else shaped_array(x.shape, result(x.dtype), x.weak_type)

        rules.abstract[primitive] = abstract_unary
        rules.batch[primitive] = lambda axis, values, dims, **params: (
            primitive.bind(values[0], **params),
            dims[0],
        )
    else:
        known: dict[tuple[ShapedArray, ...], ShapedArray] = {}  # types are interned, and stay

        def abstract(*avals: ShapedArray, **params: Any) -> ShapedArray:
            found = known.get(avals)
            if found is None:
                found = known[avals] = combined(avals)
            return found

        def combined(avals: tuple[ShapedArray, ...]) -> ShapedArray:
            first = avals[0]
            dtype, shape, weak = first.dtype, first.shape, first.weak_type
            agree = True
            for a in avals:
                if a is not first:
                    if a.dtype != dtype:
                        raise mismatch(name, [dtypes.dtype_name(a.dtype) for a in avals])
                    agree = agree and a.shape == shape
                    weak = weak and a.weak_type
            if kind(dtype) not in accepts:
                check_kind(name, dtype, accepts)
            if not agree:
                shape = broadcast_shapes(name, *[a.shape for a in avals])
            return shaped_array(shape, dtype if result is None else result(dtype), weak)

        rules.abstract[primitive] = abstract
        rules.batch[primitive] = lambda axis, values, dims, **params: batch_broadcasting(
            primitive, values, dims, params
        )
    define_jvp(primitive, *partials)
    return primitive


def define_jvp(primitive: Primitive, *partials: Partial | None) -> None:
    """The jvp rule of an elementwise primitive from its partial derivatives."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
        ans = primitive.bind(*primals, **params)
        total = None
        shape = ans.aval.shape
        for t, partial in zip(tangents, partials, strict=True):
            if type(t) is Zero or partial is None:
                continue
            term = partial(t, ans, *primals, **params)
            if type(term) is Zero:
                continue
            if term.aval.shape != shape:
                term = broadcast_to(term, shape)
            total = term if total is None else add_any(total, term)
        return ans, Zero(ans.aval.tangent) if total is None else total

    rules.jvp[primitive] = jvp


def batch_broadcasting(
    primitive: Primitive, values: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]
) -> tuple[Any, int]:
    """The batch rule of operations that broadcast: mapped dimensions go first, ranks are made equal."""
    mapped = [(v, d) for v, d in zip(values, dims, strict=True) if d is not None]
    ranks = [v.aval.ndim - (d is not None) for v, d in zip(values, dims, strict=True)]
    rank = max(ranks)
    dim = mapped[0][1]
    same_place = all(d == dim and v.aval.ndim == rank + 1 for v, d in mapped)
    if same_place and (dim == 0 or len(mapped) == len(values)):
        return primitive.bind(*values, **params), dim
    aligned = []
    for v, d, r in zip(values, dims, ranks, strict=True):
        if d is not None:
            v = moveaxis(v, d, 0)
            if r < rank:
                shape = v.aval.shape
                v = reshape(v, (shape[0], *([1] * (rank - r)), *shape[1:]))
        aligned.append(v)
    return primitive.bind(*aligned, **params), 0


def unbroadcast(ct: Any, aval: Any) -> Any:
    """Sum a cotangent over the dimensions along which its operand (an aval or `Linear`) was broadcast."""
    from_shape = ct.aval.shape
    shape = aval.shape
    if from_shape == shape:
        return ct
    extra = len(from_shape) - len(shape)
    axes = tuple(range(extra)) + tuple(
        i + extra for i, d in enumerate(shape) if d == 1 and from_shape[i + extra] != 1
    )
    out = reduce_sum_p.bind(ct, axes=axes) if axes else ct
    return out if out.aval.shape == shape else reshape(out, shape)
