"""Comparisons, logical and bitwise functions, tests of values, and `where`."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from ...base.errors import DTypeError
from ...core.array import Array, scalar
from ...core.kinds import kind
from ...ops import arithmetic as ar
from ...ops import compare as cmp
from ...ops.complex import imag_p, real_p
from ...ops.convert import convert_element_type
from ...ops.reduction import reduce_and_p
from ...ops.structural import full
from . import operators
from .factories import binary, unary
from .promotion import asarray, check_arraylike, promote, promote_inexact, refuse_out
from .ufunc import make_ufunc

__all__ = [
    "allclose",
    "array_equal",
    "array_equiv",
    "bitwise_and",
    "bitwise_count",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "equal",
    "greater",
    "greater_equal",
    "invert",
    "isclose",
    "iscomplex",
    "iscomplexobj",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "isreal",
    "isrealobj",
    "isscalar",
    "left_shift",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "not_equal",
    "right_shift",
]

_BOOL = np.dtype(np.bool_)
_NAN_FREE = "biu"


# Comparisons --------------------------------------------------------------------------------------


def _comparison(name: str, primitive: Any, doc: str) -> Any:
    general = operators.comparison(name, primitive, getattr(np, name))
    return binary(name, primitive, doc, kinds="biufc", compares=True, general=general)


equal = _comparison("equal", cmp.eq_p, "x == y, elementwise.")
not_equal = _comparison("not_equal", cmp.ne_p, "x != y, elementwise.")
less = _comparison(
    "less", cmp.lt_p, "x < y, elementwise; complex numbers are ordered by real, then imaginary part."
)
less_equal = _comparison("less_equal", cmp.le_p, "x <= y, elementwise; complex numbers lexicographically.")
greater = _comparison("greater", cmp.gt_p, "x > y, elementwise; complex numbers lexicographically.")
greater_equal = _comparison(
    "greater_equal", cmp.ge_p, "x >= y, elementwise; complex numbers lexicographically."
)


# Logical functions --------------------------------------------------------------------------------


def truth(x: Any) -> Any:
    """Whether each element is not zero."""
    aval = x.aval
    return x if aval.dtype is _BOOL or aval.dtype == _BOOL else cmp.ne_p.bind(x, full((), 0, aval.dtype))


def _logical(name: str, primitive: Any, doc: str, identity: bool) -> Any:
    def general(x: Any, y: Any) -> Any:
        check_arraylike(name, x, y)
        return primitive.bind(*promote(name, truth(asarray(x)), truth(asarray(y))))

    def function(x: Any, y: Any, /) -> Any:
        return general(x, y)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return make_ufunc(function, identity=identity)


logical_and = _logical("logical_and", ar.and_p, "Whether both are nonzero, elementwise.", True)
logical_or = _logical("logical_or", ar.or_p, "Whether at least one is nonzero, elementwise.", False)
logical_xor = _logical("logical_xor", ar.xor_p, "Whether exactly one is nonzero, elementwise.", False)
logical_not = unary("logical_not", lambda x: ar.not_p.bind(truth(x)), "Whether x is zero, elementwise.")


# Bits ---------------------------------------------------------------------------------------------

bitwise_and = make_ufunc(
    binary("bitwise_and", ar.and_p, "The bitwise (bool: logical) and of integers, elementwise.", kinds="biu"),
    identity=-1,
)
bitwise_or = make_ufunc(
    binary("bitwise_or", ar.or_p, "The bitwise (bool: logical) or of integers, elementwise.", kinds="biu"),
    identity=0,
)
bitwise_xor = make_ufunc(
    binary(
        "bitwise_xor",
        ar.xor_p,
        "The bitwise (bool: logical) exclusive or of integers, elementwise.",
        kinds="biu",
    ),
    identity=0,
)
bitwise_not = unary("bitwise_not", ar.not_p.bind, "All bits inverted (bool: logical not), elementwise.")
bitwise_invert = unary("bitwise_invert", ar.not_p.bind, "All bits inverted (bool: logical not), elementwise.")
invert = unary("invert", ar.not_p.bind, "All bits inverted (bool: logical not), elementwise.")


def left_shift(x: Any, y: Any, /) -> Array:
    """x with its bits moved y places up, elementwise."""
    return operators.left_shift(x, y)


def right_shift(x1: Any, x2: Any, /) -> Array:
    """x1 with its bits moved x2 places down, elementwise, keeping the sign."""
    return operators.right_shift(x1, x2)


def bitwise_left_shift(x: Any, y: Any, /) -> Array:
    """x with its bits moved y places up, elementwise."""
    return operators.left_shift(x, y)


def bitwise_right_shift(x1: Any, x2: Any, /) -> Array:
    """x1 with its bits moved x2 places down, elementwise, keeping the sign."""
    return operators.right_shift(x1, x2)


def bitwise_count(x: Any, /) -> Array:
    """The number of bits that are set in |x|, elementwise, as uint8."""
    (x,) = promote("bitwise_count", x)
    letter = kind(x.aval.dtype)
    if letter not in "biu":
        raise DTypeError(f"bitwise_count expects integers; got dtype {x.dtype}")
    if letter == "b":
        return convert_element_type(x, np.uint8)
    return convert_element_type(
        ar.population_count_p.bind(ar.abs_p.bind(x) if letter == "i" else x), np.uint8
    )


# Tests of values ----------------------------------------------------------------------------------


def _false(x: Any) -> Any:
    return full(x.aval.shape, False, _BOOL)


def isnan(x: Any, /) -> Array:
    """Whether x is NaN (complex: either part), elementwise."""
    (x,) = promote("isnan", x)
    if kind(x.aval.dtype) in _NAN_FREE:
        return _false(x)
    return cmp.ne_p.bind(x, x)


def isfinite(x: Any, /) -> Array:
    """Whether x is neither infinite nor NaN (complex: both parts), elementwise."""
    (x,) = promote("isfinite", x)
    letter = kind(x.aval.dtype)
    if letter in _NAN_FREE:
        return full(x.aval.shape, True, _BOOL)
    if letter == "c":
        return ar.and_p.bind(ar.is_finite_p.bind(real_p.bind(x)), ar.is_finite_p.bind(imag_p.bind(x)))
    return ar.is_finite_p.bind(x)


def isinf(x: Any, /) -> Array:
    """Whether x is infinite (complex: either part), elementwise."""
    (x,) = promote("isinf", x)
    letter = kind(x.aval.dtype)
    if letter in _NAN_FREE:
        return _false(x)
    if letter == "c":
        return ar.or_p.bind(isinf(real_p.bind(x)), isinf(imag_p.bind(x)))
    return cmp.eq_p.bind(ar.abs_p.bind(x), scalar(np.inf, x.aval.dtype))


def _is_infinity(name: str, x: Any, infinity: float, out: Any) -> Array:
    refuse_out(name, out)
    (x,) = promote(name, x)
    letter = kind(x.aval.dtype)
    if letter == "c":
        raise ValueError(f"{name} is defined for real numbers; complex ones have no sign")
    if letter in _NAN_FREE:
        return _false(x)
    return cmp.eq_p.bind(x, scalar(infinity, x.aval.dtype))


def isposinf(x: Any, /, out: None = None) -> Array:
    """Whether x is positive infinity, elementwise."""
    return _is_infinity("isposinf", x, np.inf, out)


def isneginf(x: Any, /, out: None = None) -> Array:
    """Whether x is negative infinity, elementwise."""
    return _is_infinity("isneginf", x, -np.inf, out)


def iscomplex(x: Any) -> Array:
    """Whether x has a nonzero imaginary part, elementwise."""
    (x,) = promote("iscomplex", x)
    if kind(x.aval.dtype) != "c":
        return _false(x)
    part = imag_p.bind(x)
    return cmp.ne_p.bind(part, scalar(0, part.aval.dtype))


def isreal(x: Any) -> Array:
    """Whether x has no imaginary part, elementwise."""
    return ar.not_p.bind(iscomplex(x))


def iscomplexobj(x: Any) -> builtins.bool:
    """Whether x is a complex number or an array of a complex dtype."""
    if x is None:
        return False
    if isinstance(x, Array):
        return kind(x.aval.dtype) == "c"
    return builtins.bool(np.iscomplexobj(x))


def isrealobj(x: Any) -> builtins.bool:
    """Whether x is neither a complex number nor an array of a complex dtype."""
    return not iscomplexobj(x)


def isscalar(element: Any) -> builtins.bool:
    """Whether `element` is a Python or NumPy scalar, or an array without dimensions."""
    if isinstance(element, Array):
        return element.ndim == 0
    if hasattr(element, "__jax_array__") or hasattr(element, "__pullback_array__"):
        return asarray(element).ndim == 0
    return builtins.bool(np.isscalar(element))


# Closeness ----------------------------------------------------------------------------------------


def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Array:
    """Whether |a - b| <= atol + rtol |b|, elementwise; infinities are close to themselves only.

    Args:
        a: an array or number.
        b: the array or number that the relative tolerance refers to.
        rtol: relative tolerance.
        atol: absolute tolerance.
        equal_nan: whether NaN is close to NaN.
    """
    x, y = promote("isclose", a, b)
    if kind(x.aval.dtype) == "b":
        return cmp.eq_p.bind(x, y)
    x, y = promote_inexact("isclose", x, y)
    size = ar.abs_p.bind(y)
    real_dtype = size.aval.dtype
    relative, absolute = (convert_element_type(asarray(t), real_dtype) for t in (rtol, atol))
    distance = ar.abs_p.bind(ar.sub_p.bind(x, y))
    near = cmp.le_p.bind(distance, ar.add_p.bind(absolute, ar.mul_p.bind(relative, size)))
    both_finite = ar.and_p.bind(isfinite(x), isfinite(y))
    out = ar.or_p.bind(ar.and_p.bind(both_finite, near), cmp.eq_p.bind(x, y))
    if equal_nan:
        out = ar.or_p.bind(out, ar.and_p.bind(isnan(x), isnan(y)))
    return out


def _all(x: Any) -> Any:
    return reduce_and_p.bind(x, axes=tuple(range(x.aval.ndim)))


def allclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Array:
    """Whether all elements are close (see `isclose`), as a bool array without dimensions."""
    check_arraylike("allclose", a, b)
    return _all(isclose(a, b, rtol, atol, equal_nan))


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Array:
    """Whether both arrays have one shape and equal elements.

    Args:
        a1, a2: arrays, numbers or nested lists.
        equal_nan: whether NaN equals NaN.
    """
    x, y = _comparable(a1), _comparable(a2)
    if x is None or y is None or x.aval.shape != y.aval.shape:
        return asarray(False)
    same = equal(x, y)
    if equal_nan:
        same = ar.or_p.bind(same, ar.and_p.bind(isnan(x), isnan(y)))
    return _all(same)


def _comparable(x: Any) -> Any:
    try:
        return asarray(x)
    except (TypeError, ValueError):
        return None


def array_equiv(a1: Any, a2: Any) -> Array:
    """Whether the arrays broadcast to one shape in which all elements are equal."""
    x, y = _comparable(a1), _comparable(a2)
    if x is None or y is None:
        return asarray(False)
    try:
        np.broadcast_shapes(x.aval.shape, y.aval.shape)
    except ValueError:
        return asarray(False)
    return _all(equal(x, y))
