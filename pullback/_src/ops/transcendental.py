"""Elementwise transcendental functions, with their derivatives.

Derivatives are the textbook ones (Abramowitz & Stegun, chapter 4), written by the result where that is
cheaper or more accurate: d tanh = 1 - tanh^2.
"""

from __future__ import annotations

import math
from typing import Any

from ..core.array import Array, as_array, scalar
from .arithmetic import add_p, div_p, mul_p, square_p, sub_p
from .complex import neg_p
from .families import elementwise, operands


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
logistic_p = elementwise("logistic", lambda t, ans, x: mul_p.bind(t, mul_p.bind(ans, sub_p.bind(_c(x, 1), ans))))

sin_p = elementwise("sin", lambda t, ans, x: mul_p.bind(t, cos_p.bind(x)))
cos_p = elementwise("cos", lambda t, ans, x: mul_p.bind(t, neg_p.bind(sin_p.bind(x))))
tan_p = elementwise("tan", lambda t, ans, x: mul_p.bind(t, _one_plus_square(ans)))
asin_p = elementwise("asin", lambda t, ans, x: mul_p.bind(t, rsqrt_p.bind(_one_minus_square(x))))
acos_p = elementwise("acos", lambda t, ans, x: mul_p.bind(t, neg_p.bind(rsqrt_p.bind(_one_minus_square(x)))))
atan_p = elementwise("atan", lambda t, ans, x: div_p.bind(t, _one_plus_square(x)))

sinh_p = elementwise("sinh", lambda t, ans, x: mul_p.bind(t, cosh_p.bind(x)))
cosh_p = elementwise("cosh", lambda t, ans, x: mul_p.bind(t, sinh_p.bind(x)))
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


def _unary(primitive: Any, name: str, x: Any) -> Any:
    return primitive.bind(as_array(x, name=name))


def exp(x: Any) -> Array:
    """e to the power x."""
    return _unary(exp_p, "exp", x)  # type: ignore[no-any-return]


def exp2(x: Any) -> Array:
    """2 to the power x."""
    return _unary(exp2_p, "exp2", x)  # type: ignore[no-any-return]


def expm1(x: Any) -> Array:
    """exp(x) - 1, accurate near zero."""
    return _unary(expm1_p, "expm1", x)  # type: ignore[no-any-return]


def log1p(x: Any) -> Array:
    """log(1 + x), accurate near zero."""
    return _unary(log1p_p, "log1p", x)  # type: ignore[no-any-return]


def sqrt(x: Any) -> Array:
    """The square root (NaN for negative real x)."""
    return _unary(sqrt_p, "sqrt", x)  # type: ignore[no-any-return]


def rsqrt(x: Any) -> Array:
    """1 / sqrt(x)."""
    return _unary(rsqrt_p, "rsqrt", x)  # type: ignore[no-any-return]


def cbrt(x: Any) -> Array:
    """The real cube root."""
    return _unary(cbrt_p, "cbrt", x)  # type: ignore[no-any-return]


def logistic(x: Any) -> Array:
    """1 / (1 + exp(-x))."""
    return _unary(logistic_p, "logistic", x)  # type: ignore[no-any-return]


def sin(x: Any) -> Array:
    """The sine of x in radians."""
    return _unary(sin_p, "sin", x)  # type: ignore[no-any-return]


def cos(x: Any) -> Array:
    """The cosine of x in radians."""
    return _unary(cos_p, "cos", x)  # type: ignore[no-any-return]


def tan(x: Any) -> Array:
    """The tangent of x in radians."""
    return _unary(tan_p, "tan", x)  # type: ignore[no-any-return]


def asin(x: Any) -> Array:
    """The inverse sine, in [-pi/2, pi/2]."""
    return _unary(asin_p, "asin", x)  # type: ignore[no-any-return]


def acos(x: Any) -> Array:
    """The inverse cosine, in [0, pi]."""
    return _unary(acos_p, "acos", x)  # type: ignore[no-any-return]


def atan(x: Any) -> Array:
    """The inverse tangent, in [-pi/2, pi/2]."""
    return _unary(atan_p, "atan", x)  # type: ignore[no-any-return]


def atan2(x: Any, y: Any) -> Array:
    """The angle of the point (y, x), in [-pi, pi]: the inverse tangent of x / y in the right quadrant."""
    return atan2_p.bind(*operands("atan2", x, y))  # type: ignore[no-any-return]


def sinh(x: Any) -> Array:
    """The hyperbolic sine."""
    return _unary(sinh_p, "sinh", x)  # type: ignore[no-any-return]


def cosh(x: Any) -> Array:
    """The hyperbolic cosine."""
    return _unary(cosh_p, "cosh", x)  # type: ignore[no-any-return]


def tanh(x: Any) -> Array:
    """The hyperbolic tangent."""
    return _unary(tanh_p, "tanh", x)  # type: ignore[no-any-return]


def asinh(x: Any) -> Array:
    """The inverse hyperbolic sine."""
    return _unary(asinh_p, "asinh", x)  # type: ignore[no-any-return]


def acosh(x: Any) -> Array:
    """The inverse hyperbolic cosine."""
    return _unary(acosh_p, "acosh", x)  # type: ignore[no-any-return]


def atanh(x: Any) -> Array:
    """The inverse hyperbolic tangent."""
    return _unary(atanh_p, "atanh", x)  # type: ignore[no-any-return]
