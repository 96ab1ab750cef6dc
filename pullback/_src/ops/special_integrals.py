"""Less common special functions: integrals of sines, Owen's T, Faddeeva, hypergeometric, Bessel J.

Definitions and derivatives: NIST Digital Library of Mathematical Functions (DLMF), chapters 6, 7, 10, 13, 15;
for Owen's T, D. B. Owen, Annals of Mathematical Statistics 27, 1956.
"""

from __future__ import annotations

import math
from typing import Any

from ..core.array import scalar
from ..core.primitive import Primitive
from .arithmetic import add_p, div_p, mul_p, square_p, sub_p
from .compare import eq_p, select_n_p
from .families import elementwise
from .special import erf_p, no_partial
from .transcendental import cos_p, exp_p, sin_p


def _c(x: Any, value: complex) -> Any:
    return scalar(value, x.aval.dtype)


def _sinc(x: Any) -> Any:
    """sin x / x, and 1 at 0."""
    at_zero = eq_p.bind(x, _c(x, 0))
    safe = select_n_p.bind(at_zero, x, _c(x, 1))
    return select_n_p.bind(at_zero, div_p.bind(sin_p.bind(safe), safe), _c(x, 1))


def _quarter_turns(x: Any) -> Any:
    """pi x^2 / 2."""
    return mul_p.bind(_c(x, math.pi / 2), square_p.bind(x))


# Si(x), the integral of sin t / t from 0, and Ci(x), minus the integral of cos t / t from x to infinity
sine_integral_p = elementwise("sine_integral", lambda t, ans, x: mul_p.bind(t, _sinc(x)), accepts="f")
cosine_integral_p = elementwise(
    "cosine_integral", lambda t, ans, x: mul_p.bind(t, div_p.bind(cos_p.bind(x), x)), accepts="f"
)
# S(x) and C(x), the integrals of sin and cos of pi t^2 / 2 from 0
fresnel_sine_p = elementwise(
    "fresnel_sine", lambda t, ans, x: mul_p.bind(t, sin_p.bind(_quarter_turns(x))), accepts="f"
)
fresnel_cosine_p = elementwise(
    "fresnel_cosine", lambda t, ans, x: mul_p.bind(t, cos_p.bind(_quarter_turns(x))), accepts="f"
)


def _owens_by_h(h: Any, a: Any) -> Any:
    """-phi(h) erf(a h / sqrt(2)) / 2."""
    density = mul_p.bind(
        _c(h, -0.5 / math.sqrt(2 * math.pi)), exp_p.bind(mul_p.bind(_c(h, -0.5), square_p.bind(h)))
    )
    return mul_p.bind(density, erf_p.bind(mul_p.bind(mul_p.bind(a, h), _c(h, math.sqrt(0.5)))))


def _owens_by_a(h: Any, a: Any) -> Any:
    """exp(-h^2 (1 + a^2) / 2) / (2 pi (1 + a^2))."""
    sum_ = add_p.bind(_c(a, 1), square_p.bind(a))
    exponent = mul_p.bind(mul_p.bind(_c(h, -0.5), square_p.bind(h)), sum_)
    return div_p.bind(exp_p.bind(exponent), mul_p.bind(_c(a, 2 * math.pi), sum_))


owens_t_p = elementwise(
    "owens_t",
    lambda t, ans, h, a: mul_p.bind(t, _owens_by_h(h, a)),
    lambda t, ans, h, a: mul_p.bind(t, _owens_by_a(h, a)),
    accepts="f",
)

# exp(-z^2) erfc(-iz): d = 2i/sqrt(pi) - 2 z w
wofz_p = elementwise(
    "wofz",
    lambda t, ans, z: mul_p.bind(
        t, sub_p.bind(_c(z, 2j / math.sqrt(math.pi)), mul_p.bind(mul_p.bind(_c(z, 2), z), ans))
    ),
    accepts="c",
)


def _raised(*parameters: Any) -> list[Any]:
    return [add_p.bind(p, _c(p, 1)) for p in parameters]


def _hyp1f1_derivative(t: Any, ans: Any, a: Any, b: Any, x: Any) -> Any:
    return mul_p.bind(t, mul_p.bind(div_p.bind(a, b), hyp1f1_p.bind(*_raised(a, b), x)))


def _hyp2f1_derivative(t: Any, ans: Any, a: Any, b: Any, c: Any, x: Any) -> Any:
    factor = div_p.bind(mul_p.bind(a, b), c)
    return mul_p.bind(t, mul_p.bind(factor, hyp2f1_p.bind(*_raised(a, b, c), x)))


hyp1f1_p: Primitive = elementwise(
    "hyp1f1", no_partial("hyp1f1", "a"), no_partial("hyp1f1", "b"), _hyp1f1_derivative, accepts="f"
)
hyp2f1_p: Primitive = elementwise(
    "hyp2f1",
    no_partial("hyp2f1", "a"),
    no_partial("hyp2f1", "b"),
    no_partial("hyp2f1", "c"),
    _hyp2f1_derivative,
    accepts="f",
)


def _bessel_j_derivative(t: Any, ans: Any, v: Any, x: Any) -> Any:
    """(J_(v-1) - J_(v+1)) / 2."""
    one = _c(v, 1)
    difference = sub_p.bind(bessel_j_p.bind(sub_p.bind(v, one), x), bessel_j_p.bind(add_p.bind(v, one), x))
    return mul_p.bind(t, mul_p.bind(_c(x, 0.5), difference))


bessel_j_p: Primitive = elementwise(
    "bessel_j", no_partial("bessel_jn", "its order"), _bessel_j_derivative, accepts="f"
)
