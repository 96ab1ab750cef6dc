"""Elementwise functions whose plain formula overflows, cancels, or loses its derivative somewhere.

Each is one primitive, so that every transformation sees the function itself, and decomposes into simpler
operations for engines without a kernel of their own.
"""

from __future__ import annotations

import math
import operator
from typing import Any

from ..core import rules
from ..core.array import Array, scalar
from ..core.primitive import Primitive
from .arithmetic import abs_p, add_p, and_p, div_p, log_p, max_p, min_p, mul_p, sub_p
from .compare import eq_p, lt_p, ne_p, select_n_p
from .complex import neg_p
from .families import checked, elementwise, operands, unary
from .transcendental import cos_p, exp_p, log1p_p, logistic_p, sin_p, sqrt_p

__all__ = ["hypot", "log2", "log10", "logaddexp", "sinc"]


def _c(x: Any, value: float) -> Any:
    return scalar(value, x.aval.dtype)


# logaddexp ----------------------------------------------------------------------------------------


def _weight(x: Any, y: Any) -> Any:
    """exp(x - logaddexp(x, y)): one half where both are equal, infinities included."""
    return logistic_p.bind(_difference(x, y))


def _difference(x: Any, y: Any) -> Any:
    """x - y, and zero for equal infinities."""
    difference = sub_p.bind(x, y)
    same = and_p.bind(eq_p.bind(x, y), ne_p.bind(difference, difference))
    return select_n_p.bind(same, difference, _c(x, 0))


logaddexp_p = elementwise(
    "logaddexp",
    lambda t, ans, x, y: mul_p.bind(t, _weight(x, y)),
    lambda t, ans, x, y: mul_p.bind(t, _weight(y, x)),
)


def logaddexp(x: Any, y: Any) -> Array:
    """log(exp(x) + exp(y)), for operands of one dtype, without overflow.

    The derivatives are the weights exp(x) / (exp(x) + exp(y)); at equal infinities both are one half.
    """
    return checked(logaddexp_p, *operands("logaddexp", x, y))


def _logaddexp_decompose(x: Any, y: Any) -> Any:
    # max + log(1 + exp(-|x - y|)); complex numbers are ordered by their real parts first.
    larger = max_p.bind(x, y)
    return add_p.bind(larger, log1p_p.bind(exp_p.bind(_difference(min_p.bind(x, y), larger))))


rules.decompose[logaddexp_p] = _logaddexp_decompose


# hypot --------------------------------------------------------------------------------------------


def _direction(t: Any, ans: Any, x: Any) -> Any:
    """t x / r, and zero at r = 0, where x is zero too."""
    at_zero = eq_p.bind(ans, _c(ans, 0))
    return mul_p.bind(t, div_p.bind(x, select_n_p.bind(at_zero, ans, _c(ans, 1))))


hypot_p = elementwise(
    "hypot",
    lambda t, ans, x, y: _direction(t, ans, x),
    lambda t, ans, x, y: _direction(t, ans, y),
    accepts="f",
)


def hypot(x: Any, y: Any) -> Array:
    """sqrt(x^2 + y^2), for operands of one dtype, without overflow; its derivative at (0, 0) is zero."""
    return checked(hypot_p, *operands("hypot", x, y))


def _hypot_decompose(x: Any, y: Any) -> Any:
    x, y = abs_p.bind(x), abs_p.bind(y)
    large, small = max_p.bind(x, y), min_p.bind(x, y)
    one = _c(x, 1)
    ratio = div_p.bind(small, select_n_p.bind(eq_p.bind(large, _c(x, 0)), large, one))
    length = mul_p.bind(large, sqrt_p.bind(add_p.bind(one, mul_p.bind(ratio, ratio))))
    infinite = _c(x, math.inf)
    # An infinite side makes the length infinite, even beside NaN.
    some_infinite = max_p.bind(eq_p.bind(x, infinite), eq_p.bind(y, infinite))
    return select_n_p.bind(some_infinite, length, infinite)


rules.decompose[hypot_p] = _hypot_decompose


# sinc ---------------------------------------------------------------------------------------------

sinc_p: Primitive = elementwise(
    "sinc", lambda t, ans, x, *, order: mul_p.bind(t, sinc_p.bind(x, order=order + 1))
)


def sinc(x: Any, order: int = 0) -> Array:
    """sin(pi x) / (pi x), which is 1 at x = 0, or its derivative of the given order."""
    return unary(sinc_p, x, order=operator.index(order))


def _sinc_decompose(x: Any, *, order: int) -> Any:
    # With u = pi x and s(u) = sin(u) / u: u s_k = sin(u + k pi/2) - k s_(k-1), by differentiating u s = sin u
    # k times. The recurrence loses all digits near zero, where the Taylor series takes over.
    u = mul_p.bind(x, _c(x, math.pi))
    size = abs_p.bind(u)
    near = lt_p.bind(size, _c(size, 1.0 + 0.5 * order))
    one = _c(x, 1)
    safe = select_n_p.bind(near, u, one)
    sine, cosine = sin_p.bind(safe), cos_p.bind(safe)
    quarter_turns = [sine, cosine, neg_p.bind(sine), neg_p.bind(cosine)]
    far = div_p.bind(sine, safe)
    for k in range(1, order + 1):
        far = div_p.bind(sub_p.bind(quarter_turns[k % 4], mul_p.bind(_c(x, k), far)), safe)
    small = select_n_p.bind(near, _c(x, 0), u)
    value = select_n_p.bind(near, far, _sinc_series(small, order))
    return mul_p.bind(value, _c(x, math.pi**order)) if order else value


def sinc_coefficients(order: int) -> list[float]:
    """The coefficients c_n of the derivative's series: sum of c_n u^(2n), times u if `order` is odd.

    From the sum over n of (-1)^n / (2n+1)! u^(2n), differentiated `order` times.
    """
    first = (order + 1) // 2
    return [
        (-1) ** n / math.factorial(2 * n + 1) * math.perm(2 * n, order)
        for n in range(first, first + 12 + order)
    ]


def _sinc_series(u: Any, order: int) -> Any:
    coefficients = sinc_coefficients(order)
    squared = mul_p.bind(u, u)
    total = _c(u, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = add_p.bind(mul_p.bind(total, squared), _c(u, coefficient))
    return mul_p.bind(total, u) if order % 2 else total


rules.decompose[sinc_p] = _sinc_decompose


# logarithms ---------------------------------------------------------------------------------------


def _logarithm(name: str, base: int) -> Any:
    slope = 1 / math.log(base)
    primitive = elementwise(name, lambda t, ans, x: div_p.bind(mul_p.bind(t, _c(x, slope)), x))
    rules.decompose[primitive] = lambda x: div_p.bind(log_p.bind(x), _c(x, math.log(base)))
    return primitive


log2_p = _logarithm("log2", 2)
log10_p = _logarithm("log10", 10)


def log2(x: Any) -> Array:
    """The logarithm to base 2, exact for powers of 2 where the engine has a kernel for it."""
    return unary(log2_p, x)


def log10(x: Any) -> Array:
    """The logarithm to base 10."""
    return unary(log10_p, x)
