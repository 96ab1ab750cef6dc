"""Arithmetic, powers, exponentials, logarithms and trigonometric functions."""

from __future__ import annotations

import math
from typing import Any

from ...base.errors import DTypeError
from ...core import dtypes
from ...core.array import Array, scalar
from ...core.kinds import kind
from ...ops import arithmetic as ar
from ...ops import compare as cmp
from ...ops import transcendental as tr
from ...ops.complex import complex_p, conj_p, imag_p, neg_p, real_p
from ...ops.convert import convert_element_type
from ...ops.stable import hypot_p, log2_p, log10_p, logaddexp_p, sinc_p
from ...ops.structural import full
from . import operators
from .factories import binary, unary, unary_inexact
from .promotion import promote, promote_inexact, strengthen
from .ufunc import make_ufunc

__all__ = [
    "abs",
    "absolute",
    "acos",
    "acosh",
    "add",
    "angle",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "conj",
    "conjugate",
    "cos",
    "cosh",
    "deg2rad",
    "degrees",
    "divide",
    "divmod",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "float_power",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "hypot",
    "imag",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "negative",
    "positive",
    "pow",
    "power",
    "rad2deg",
    "radians",
    "real",
    "reciprocal",
    "remainder",
    "sign",
    "sin",
    "sinc",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
]


def _bool_to_int(x: Any) -> Any:
    """Bools as integers of the default dtype; everything else unchanged."""
    return convert_element_type(x, dtypes.default_int_dtype()) if x.aval.dtype.kind == "b" else x


# Functions of one argument ------------------------------------------------------------------------

exp = unary_inexact("exp", tr.exp_p, "e to the power x, elementwise.")
exp2 = unary_inexact("exp2", tr.exp2_p, "2 to the power x, elementwise.")
expm1 = unary_inexact("expm1", tr.expm1_p, "exp(x) - 1, elementwise and accurate near zero.")
log = unary_inexact("log", ar.log_p, "The natural logarithm, elementwise (complex: its principal branch).")
log2 = unary_inexact("log2", log2_p, "The logarithm to base 2, elementwise.", strong=True)
log10 = unary_inexact("log10", log10_p, "The logarithm to base 10, elementwise.", strong=True)
log1p = unary_inexact("log1p", tr.log1p_p, "log(1 + x), elementwise and accurate near zero.")
sqrt = unary_inexact("sqrt", tr.sqrt_p, "The square root, elementwise (NaN for negative real numbers).")
cbrt = unary_inexact("cbrt", tr.cbrt_p, "The real cube root, elementwise.")

sin = unary_inexact("sin", tr.sin_p, "The sine of x in radians, elementwise.")
cos = unary_inexact("cos", tr.cos_p, "The cosine of x in radians, elementwise.")
tan = unary_inexact("tan", tr.tan_p, "The tangent of x in radians, elementwise.")
arcsin = unary_inexact("arcsin", tr.asin_p, "The inverse sine in [-pi/2, pi/2], elementwise.")
arccos = unary_inexact("arccos", tr.acos_p, "The inverse cosine in [0, pi], elementwise.")
arctan = unary_inexact("arctan", tr.atan_p, "The inverse tangent in [-pi/2, pi/2], elementwise.")
sinh = unary_inexact("sinh", tr.sinh_p, "The hyperbolic sine, elementwise.")
cosh = unary_inexact("cosh", tr.cosh_p, "The hyperbolic cosine, elementwise.")
tanh = unary_inexact("tanh", tr.tanh_p, "The hyperbolic tangent, elementwise.")
arcsinh = unary_inexact("arcsinh", tr.asinh_p, "The inverse hyperbolic sine, elementwise.")
arccosh = unary_inexact(
    "arccosh", tr.acosh_p, "The inverse hyperbolic cosine, elementwise (NaN for real x < 1)."
)
arctanh = unary_inexact("arctanh", tr.atanh_p, "The inverse hyperbolic tangent, elementwise.")
asin = unary_inexact("asin", tr.asin_p, "The inverse sine in [-pi/2, pi/2], elementwise.")
acos = unary_inexact("acos", tr.acos_p, "The inverse cosine in [0, pi], elementwise.")
atan = unary_inexact("atan", tr.atan_p, "The inverse tangent in [-pi/2, pi/2], elementwise.")
asinh = unary_inexact("asinh", tr.asinh_p, "The inverse hyperbolic sine, elementwise.")
acosh = unary_inexact("acosh", tr.acosh_p, "The inverse hyperbolic cosine, elementwise (NaN for real x < 1).")
atanh = unary_inexact("atanh", tr.atanh_p, "The inverse hyperbolic tangent, elementwise.")


def sinc(x: Any, /) -> Array:
    """sin(pi x) / (pi x), elementwise; 1 at x = 0, where all derivatives exist too."""
    return sinc_p.bind(*promote_inexact("sinc", x), order=0)


def deg2rad(x: Any, /) -> Array:
    """Degrees as radians, elementwise."""
    (x,) = promote_inexact("deg2rad", x)
    return ar.mul_p.bind(x, scalar(math.pi / 180, x.aval.dtype))


def rad2deg(x: Any, /) -> Array:
    """Radians as degrees, elementwise."""
    (x,) = promote_inexact("rad2deg", x)
    return ar.mul_p.bind(x, scalar(180 / math.pi, x.aval.dtype))


def radians(x: Any, /) -> Array:
    """Degrees as radians, elementwise."""
    return deg2rad(x)


def degrees(x: Any, /) -> Array:
    """Radians as degrees, elementwise."""
    return rad2deg(x)


def _absolute(x: Any) -> Any:
    return x if kind(x.aval.dtype) in "bu" else ar.abs_p.bind(x)


absolute = unary("absolute", _absolute, "|x|, elementwise; real for complex x.", ar.abs_p, "if")
abs = unary("abs", _absolute, "|x|, elementwise; real for complex x.", ar.abs_p, "if")
negative = make_ufunc(unary("negative", neg_p.bind, "-x, elementwise.", neg_p, "ifc"), nin=1)
positive = unary("positive", lambda x: x, "x itself.")
sign = unary("sign", ar.sign_p.bind, "-1, 0 or 1 as the sign of x; x / |x| for complex x.", ar.sign_p, "ifc")


def fabs(x: Any, /) -> Array:
    """|x| of real numbers, elementwise, as a floating-point number.

    Raises:
        TypeError: x is complex.
    """
    (x,) = promote_inexact("fabs", x)
    if kind(x.aval.dtype) == "c":
        raise DTypeError("fabs does not accept complex numbers; use absolute")
    return ar.abs_p.bind(x)


square = unary(
    "square", lambda x: ar.square_p.bind(_bool_to_int(x)), "x * x, elementwise.", ar.square_p, "iufc"
)


def reciprocal(x: Any, /) -> Array:
    """1 / x, elementwise; integers become floats."""
    (x,) = promote_inexact("reciprocal", x)
    return ar.integer_pow(x, -1)


def real(val: Any, /) -> Array:
    """The real part, elementwise (real numbers are returned as they are)."""
    (x,) = promote("real", val)
    return real_p.bind(x) if kind(x.aval.dtype) == "c" else x


def imag(val: Any, /) -> Array:
    """The imaginary part, elementwise; zeros of the same dtype for real numbers."""
    (x,) = promote("imag", val)
    if kind(x.aval.dtype) == "c":
        return imag_p.bind(x)
    zeros = full(x.aval.shape, False if x.aval.dtype.kind == "b" else 0, x.aval.dtype)
    return convert_element_type(zeros, x.aval.dtype, weak_type=x.aval.weak_type)


def conj(x: Any, /) -> Array:
    """The complex conjugate, elementwise (real numbers are returned as they are)."""
    (x,) = promote("conj", x)
    return conj_p.bind(x) if kind(x.aval.dtype) == "c" else x


def conjugate(x: Any, /) -> Array:
    """The complex conjugate, elementwise (real numbers are returned as they are)."""
    return conj(x)


def angle(z: Any, deg: bool = False) -> Array:
    """The argument of complex numbers in [-pi, pi] (or degrees); 0 or pi for real ones."""
    (x,) = promote_inexact("angle", z)
    re, im = real(x), imag(x)
    out = tr.atan2_p.bind(im, re)
    if kind(x.aval.dtype) != "c":
        out = strengthen(out)
    return rad2deg(out) if deg else out


# Functions of two arguments -----------------------------------------------------------------------

add = make_ufunc(
    binary("add", ar.add_p, "x + y, elementwise (logical or for two bools).", general=operators.add),
    identity=0,
)
subtract = make_ufunc(binary("subtract", ar.sub_p, "x - y, elementwise."))
multiply = make_ufunc(
    binary(
        "multiply", ar.mul_p, "x * y, elementwise (logical and for two bools).", general=operators.multiply
    ),
    identity=1,
)
divide = binary("divide", ar.div_p, "x / y, elementwise; integers become floats.", kinds="fc", inexact=True)
true_divide = binary(
    "true_divide", ar.div_p, "x / y, elementwise; integers become floats.", kinds="fc", inexact=True
)
arctan2 = binary(
    "arctan2",
    tr.atan2_p,
    "The angle of the point (x2, x1) in [-pi, pi], elementwise.",
    kinds="fc",
    inexact=True,
)
atan2 = binary(
    "atan2",
    tr.atan2_p,
    "The angle of the point (x2, x1) in [-pi, pi], elementwise.",
    kinds="fc",
    inexact=True,
)
maximum = make_ufunc(
    binary("maximum", ar.max_p, "The larger of x and y, elementwise; NaN where either is NaN.", kinds="biufc")
)
minimum = make_ufunc(
    binary(
        "minimum", ar.min_p, "The smaller of x and y, elementwise; NaN where either is NaN.", kinds="biufc"
    )
)
logaddexp = make_ufunc(
    binary(
        "logaddexp",
        logaddexp_p,
        "log(exp(x) + exp(y)), elementwise, without overflow; at equal infinities both derivatives are 1/2.",
        kinds="fc",
        inexact=True,
    ),
    identity=-math.inf,
)


def _logaddexp2(x: Any, y: Any, /) -> Array:
    """log2(2**x + 2**y), elementwise, without overflow."""
    x, y = promote_inexact("logaddexp2", x, y)
    ln2 = scalar(math.log(2), x.aval.dtype)
    return ar.div_p.bind(logaddexp_p.bind(ar.mul_p.bind(x, ln2), ar.mul_p.bind(y, ln2)), ln2)


_logaddexp2.__name__ = _logaddexp2.__qualname__ = "logaddexp2"
logaddexp2 = make_ufunc(_logaddexp2, identity=-math.inf)


def floor_divide(x1: Any, x2: Any, /) -> Array:
    """The largest integer not above x1 / x2, elementwise."""
    return operators.floor_divide(x1, x2)


def remainder(x1: Any, x2: Any, /) -> Array:
    """The remainder of x1 / x2 with the sign of x2, elementwise (Python's `%`)."""
    return operators.remainder_of(x1, x2)


def mod(x1: Any, x2: Any, /) -> Array:
    """The remainder of x1 / x2 with the sign of x2, elementwise (Python's `%`)."""
    return operators.remainder_of(x1, x2)


def divmod(x1: Any, x2: Any, /) -> tuple[Array, Array]:
    """The pair of `floor_divide` and `remainder`."""
    return operators.divmod_(x1, x2)


def fmod(x1: Any, x2: Any, /) -> Array:
    """The remainder of x1 / x2 with the sign of x1, elementwise (C's `fmod`)."""
    x, y = promote("fmod", x1, x2)
    return ar.rem_p.bind(_bool_to_int(x), _bool_to_int(y))


def power(x1: Any, x2: Any, /) -> Array:
    """x1 to the power x2, elementwise.

    A Python int (or a concrete integer scalar) as exponent means repeated multiplication.

    Raises:
        TypeError: an integer base with a negative integer exponent.
    """
    return operators.power(x1, x2)


def pow(x1: Any, x2: Any, /) -> Array:
    """x1 to the power x2, elementwise: `power`."""
    return operators.power(x1, x2)


def float_power(x: Any, y: Any, /) -> Array:
    """x to the power y, elementwise, in floating point also for integers."""
    return ar.pow_p.bind(*promote_inexact("float_power", x, y))


def _hypot(x1: Any, x2: Any) -> Array:
    x, y = promote_inexact("hypot", x1, x2)
    if kind(x.aval.dtype) == "c":
        raise ValueError("hypot is defined for real numbers; take absolute values of complex ones first")
    return hypot_p.bind(x, y)


hypot = binary(
    "hypot",
    hypot_p,
    "sqrt(x1^2 + x2^2), elementwise, without overflow; ValueError for complex numbers.",
    kinds="f",
    general=_hypot,
)


def fmax(x1: Any, x2: Any) -> Array:
    """The larger of x1 and x2, elementwise; where one is NaN, the other."""
    return _ignoring_nan("fmax", x1, x2, cmp.gt_p)


def fmin(x1: Any, x2: Any) -> Array:
    """The smaller of x1 and x2, elementwise; where one is NaN, the other."""
    return _ignoring_nan("fmin", x1, x2, cmp.lt_p)


def _ignoring_nan(name: str, x1: Any, x2: Any, before: Any) -> Array:
    x, y = promote(name, x1, x2)
    take_x = before.bind(x, y)
    if kind(x.aval.dtype) in "fc":
        take_x = ar.or_p.bind(take_x, cmp.ne_p.bind(y, y))
    return cmp.select_n_p.bind(take_x, y, x)


def as_complex(x: Any) -> Any:
    """A real inexact array as a complex one; complex ones unchanged."""
    if kind(x.aval.dtype) == "c":
        return x
    return complex_p.bind(x, full((), 0, x.aval.dtype))


METHODS: dict[str, Any] = {
    "conj": conj,
    "conjugate": conj,
    "real": property(real),
    "imag": property(imag),
}
