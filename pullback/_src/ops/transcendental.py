"""Elementwise transcendental functions, with their derivatives.

Derivatives are the textbook ones (Abramowitz & Stegun, chapter 4), written by the result where that is
cheaper or more accurate: d tanh = 1 - tanh^2.
"""

from __future__ import annotations

import math
from typing import Any

from ..core.array import Array, scalar
from ..core.primitive import Primitive
from .arithmetic import add_p, div_p, mul_p, square_p, sub_p
from .complex import neg_p
from .families import binary, elementwise, unary

__all__ = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "cos",
    "cosh",
    "exp",
    "exp2",
    "expm1",
    "log1p",
    "logistic",
    "rsqrt",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
]


def _c(x: Any, value: float) -> Any:
    return scalar(value, x.aval.dtype)


def _one_minus_square(x: Any) -> Any:
    """1 - x^2 as (1 - x)(1 + x): no cancellation near |x| = 1."""
    one = _c(x, 1)
    return mul_p.bind(sub_p.bind(one, x), add_p.bind(one, x))


def _one_plus_square(x: Any) -> Any:
    return add_p.bind(_c(x, 1), square_p.bind(x))


exp_p = elementwise("exp", lambda t, ans, x: mul_p.bind(t, ans))
exp2_p = elementwise("exp2", lambda t, ans, x: mul_p.bind(t, mul_p.bind(_c(x, math.log(2)), ans)))
expm1_p = elementwise("expm1", lambda t, ans, x: mul_p.bind(t, add_p.bind(ans, _c(ans, 1))))
log1p_p = elementwise("log1p", lambda t, ans, x: div_p.bind(t, add_p.bind(x, _c(x, 1))))
sqrt_p = elementwise("sqrt", lambda t, ans, x: mul_p.bind(t, div_p.bind(_c(x, 0.5), ans)))
rsqrt_p = elementwise("rsqrt", lambda t, ans, x: mul_p.bind(t, mul_p.bind(_c(x, -0.5), div_p.bind(ans, x))))
cbrt_p = elementwise(
    "cbrt", lambda t, ans, x: mul_p.bind(t, div_p.bind(_c(x, 1 / 3), square_p.bind(ans))), accepts="f"
)
logistic_p = elementwise(
    "logistic", lambda t, ans, x: mul_p.bind(t, mul_p.bind(ans, sub_p.bind(_c(x, 1), ans)))
)

sin_p: Primitive = elementwise("sin", lambda t, ans, x: mul_p.bind(t, cos_p.bind(x)))
cos_p: Primitive = elementwise("cos", lambda t, ans, x: mul_p.bind(t, neg_p.bind(sin_p.bind(x))))
tan_p = elementwise("tan", lambda t, ans, x: mul_p.bind(t, _one_plus_square(ans)))
asin_p = elementwise("asin", lambda t, ans, x: mul_p.bind(t, rsqrt_p.bind(_one_minus_square(x))))
acos_p = elementwise("acos", lambda t, ans, x: mul_p.bind(t, neg_p.bind(rsqrt_p.bind(_one_minus_square(x)))))
atan_p = elementwise("atan", lambda t, ans, x: div_p.bind(t, _one_plus_square(x)))

sinh_p: Primitive = elementwise("sinh", lambda t, ans, x: mul_p.bind(t, cosh_p.bind(x)))
cosh_p: Primitive = elementwise("cosh", lambda t, ans, x: mul_p.bind(t, sinh_p.bind(x)))
tanh_p = elementwise("tanh", lambda t, ans, x: mul_p.bind(t, sub_p.bind(_c(x, 1), square_p.bind(ans))))
asinh_p = elementwise("asinh", lambda t, ans, x: mul_p.bind(t, rsqrt_p.bind(_one_plus_square(x))))
acosh_p = elementwise(
    "acosh",
    lambda t, ans, x: mul_p.bind(
        t, mul_p.bind(rsqrt_p.bind(sub_p.bind(x, _c(x, 1))), rsqrt_p.bind(add_p.bind(x, _c(x, 1))))
    ),
)
atanh_p = elementwise("atanh", lambda t, ans, x: div_p.bind(t, _one_minus_square(x)))


def _squared_radius(x: Any, y: Any) -> Any:
    return add_p.bind(square_p.bind(x), square_p.bind(y))


atan2_p = elementwise(
    "atan2",
    lambda t, ans, x, y: mul_p.bind(t, div_p.bind(y, _squared_radius(x, y))),
    lambda t, ans, x, y: mul_p.bind(t, div_p.bind(neg_p.bind(x), _squared_radius(x, y))),
)


def exp(x: Any) -> Array:
    """e to the power x."""
    return unary(exp_p, x)


def exp2(x: Any) -> Array:
    """2 to the power x."""
    return unary(exp2_p, x)


def expm1(x: Any) -> Array:
    """exp(x) - 1, accurate near zero."""
    return unary(expm1_p, x)


def log1p(x: Any) -> Array:
    """log(1 + x), accurate near zero."""
    return unary(log1p_p, x)


def sqrt(x: Any) -> Array:
    """The square root (NaN for negative real x)."""
    return unary(sqrt_p, x)


def rsqrt(x: Any) -> Array:
    """1 / sqrt(x)."""
    return unary(rsqrt_p, x)


def cbrt(x: Any) -> Array:
    """The real cube root."""
    return unary(cbrt_p, x)


def logistic(x: Any) -> Array:
    """1 / (1 + exp(-x))."""
    return unary(logistic_p, x)


def sin(x: Any) -> Array:
    """The sine of x in radians."""
    return unary(sin_p, x)


def cos(x: Any) -> Array:
    """The cosine of x in radians."""
    return unary(cos_p, x)


def tan(x: Any) -> Array:
    """The tangent of x in radians."""
    return unary(tan_p, x)


def asin(x: Any) -> Array:
    """The inverse sine, in [-pi/2, pi/2]."""
    return unary(asin_p, x)


def acos(x: Any) -> Array:
    """The inverse cosine, in [0, pi]."""
    return unary(acos_p, x)


def atan(x: Any) -> Array:
    """The inverse tangent, in [-pi/2, pi/2]."""
    return unary(atan_p, x)


def atan2(x: Any, y: Any) -> Array:
    """The angle of the point (y, x), in [-pi, pi]: the inverse tangent of x / y in the right quadrant."""
    return binary(atan2_p, x, y)


def sinh(x: Any) -> Array:
    """The hyperbolic sine."""
    return unary(sinh_p, x)


def cosh(x: Any) -> Array:
    """The hyperbolic cosine."""
    return unary(cosh_p, x)


def tanh(x: Any) -> Array:
    """The hyperbolic tangent."""
    return unary(tanh_p, x)


def asinh(x: Any) -> Array:
    """The inverse hyperbolic sine."""
    return unary(asinh_p, x)


def acosh(x: Any) -> Array:
    """The inverse hyperbolic cosine."""
    return unary(acosh_p, x)


def atanh(x: Any) -> Array:
    """The inverse hyperbolic tangent."""
    return unary(atanh_p, x)
