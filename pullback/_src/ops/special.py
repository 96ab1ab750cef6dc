"""Special functions of mathematical statistics and physics, elementwise, with their derivatives.

Definitions and derivatives: NIST Digital Library of Mathematical Functions (DLMF), chapters 5 (gamma), 6
(exponential integrals), 7 (error functions), 8 (incomplete gamma and beta), 10 (Bessel), 25 (zeta). A
derivative by an order parameter for which there is no formula raises an error and is never zero silently.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..base.errors import NotDifferentiableError
from ..core import rules
from ..core.array import Array, scalar
from ..core.primitive import Primitive
from .arithmetic import add_p, div_p, log_p, mul_p, sign_p, square_p, sub_p
from .compare import eq_p, select_n_p
from .complex import neg_p
from .families import checked, elementwise, operands, unary
from .transcendental import exp_p, log1p_p

__all__ = [
    "bessel_i0e",
    "bessel_i1e",
    "betainc",
    "digamma",
    "erf",
    "erf_inv",
    "erfc",
    "igamma",
    "igamma_grad_a",
    "igammac",
    "lgamma",
    "polygamma",
    "random_gamma_grad",
    "zeta",
]


def _c(x: Any, value: float) -> Any:
    return scalar(value, x.aval.dtype)


def _times(t: Any, factor: Any) -> Any:
    return mul_p.bind(t, factor)


def no_partial(name: str, parameter: str) -> Callable[..., Any]:
    """In place of a partial derivative that is not available: an error that says so."""

    def partial(*_: Any, **__: Any) -> Any:
        raise NotDifferentiableError(
            f"{name} has no derivative by {parameter} here. Apply lax.stop_gradient to that argument if its "
            "derivative should be zero, or give the function a rule of its own with custom_jvp."
        )

    return partial


# Error functions ----------------------------------------------------------------------------------


def _gaussian(x: Any, factor: float) -> Any:
    """factor exp(-x^2)."""
    return mul_p.bind(_c(x, factor), exp_p.bind(neg_p.bind(square_p.bind(x))))


_TWO_BY_ROOT_PI = 2 / math.sqrt(math.pi)

erf_p = elementwise("erf", lambda t, ans, x: _times(t, _gaussian(x, _TWO_BY_ROOT_PI)), accepts="f")
erfc_p = elementwise("erfc", lambda t, ans, x: _times(t, _gaussian(x, -_TWO_BY_ROOT_PI)), accepts="f")
erf_inv_p = elementwise(
    "erf_inv",
    lambda t, ans, x: _times(t, mul_p.bind(_c(x, 1 / _TWO_BY_ROOT_PI), exp_p.bind(square_p.bind(ans)))),
    accepts="f",
)
# exp(x^2) erfc(x): d = 2x erfcx(x) - 2/sqrt(pi)
erfcx_p = elementwise(
    "erfcx",
    lambda t, ans, x: _times(t, sub_p.bind(mul_p.bind(mul_p.bind(_c(x, 2), x), ans), _c(x, _TWO_BY_ROOT_PI))),
    accepts="f",
)
# Dawson's integral: d = 1 - 2x dawsn(x)
dawsn_p = elementwise(
    "dawsn",
    lambda t, ans, x: _times(t, sub_p.bind(_c(x, 1), mul_p.bind(mul_p.bind(_c(x, 2), x), ans))),
    accepts="f",
)
# The quantile function of the normal distribution: d = sqrt(2 pi) exp(ans^2 / 2)
ndtri_p = elementwise(
    "ndtri",
    lambda t, ans, p: _times(
        t, mul_p.bind(_c(p, math.sqrt(2 * math.pi)), exp_p.bind(mul_p.bind(_c(p, 0.5), square_p.bind(ans))))
    ),
    accepts="f",
)
# log of the normal distribution function: d = exp(-x^2/2 - ans) / sqrt(2 pi)
log_ndtr_p = elementwise(
    "log_ndtr",
    lambda t, ans, x: _times(
        t,
        mul_p.bind(
            _c(x, 1 / math.sqrt(2 * math.pi)),
            exp_p.bind(sub_p.bind(mul_p.bind(_c(x, -0.5), square_p.bind(x)), ans)),
        ),
    ),
    accepts="f",
)

# Gamma and its relatives --------------------------------------------------------------------------

lgamma_p = elementwise("lgamma", lambda t, ans, x: _times(t, digamma_p.bind(x)), accepts="f")
digamma_p: Primitive = elementwise(
    "digamma", lambda t, ans, x: _times(t, polygamma_p.bind(_c(x, 1), x)), accepts="f"
)
polygamma_p: Primitive = elementwise(
    "polygamma",
    no_partial("polygamma", "its order m"),
    lambda t, ans, m, x: _times(t, polygamma_p.bind(add_p.bind(m, _c(m, 1)), x)),
    accepts="f",
)
zeta_p: Primitive = elementwise(
    "zeta",
    no_partial("zeta", "its exponent x"),
    lambda t, ans, x, q: _times(t, mul_p.bind(neg_p.bind(x), zeta_p.bind(add_p.bind(x, _c(x, 1)), q))),
    accepts="f",
)
spence_p = elementwise("spence", lambda t, ans, x: _times(t, _spence_derivative(x)), accepts="f")


def _spence_derivative(x: Any) -> Any:
    """log x / (1 - x), whose limit at 1 is -1."""
    one = _c(x, 1)
    at_one = eq_p.bind(x, one)
    safe = select_n_p.bind(at_one, x, _c(x, 2))
    return select_n_p.bind(at_one, div_p.bind(log_p.bind(safe), sub_p.bind(one, safe)), _c(x, -1))


def _gamma_density(a: Any, x: Any) -> Any:
    """x^(a-1) exp(-x) / Gamma(a), by logarithms."""
    power = mul_p.bind(sub_p.bind(a, _c(a, 1)), log_p.bind(x))
    return exp_p.bind(sub_p.bind(sub_p.bind(power, x), lgamma_p.bind(a)))


igamma_p = elementwise(
    "igamma",
    lambda t, ans, a, x: _times(t, igamma_grad_a_p.bind(a, x)),
    lambda t, ans, a, x: _times(t, _gamma_density(a, x)),
    accepts="f",
)
igammac_p = elementwise(
    "igammac",
    lambda t, ans, a, x: _times(neg_p.bind(t), igamma_grad_a_p.bind(a, x)),
    lambda t, ans, a, x: _times(neg_p.bind(t), _gamma_density(a, x)),
    accepts="f",
)
igamma_grad_a_p: Primitive = elementwise("igamma_grad_a", None, None, accepts="f")
random_gamma_grad_p = elementwise("random_gamma_grad", None, None, accepts="f")
for _primitive in (igamma_grad_a_p, random_gamma_grad_p):
    del rules.jvp[_primitive]
    rules.not_differentiable[_primitive] = (
        "it is a derivative by a shape parameter, of which the next has no known formula"
    )


def _beta_density(a: Any, b: Any, x: Any) -> Any:
    """x^(a-1) (1-x)^(b-1) / B(a, b), by logarithms."""
    log_beta = sub_p.bind(add_p.bind(lgamma_p.bind(a), lgamma_p.bind(b)), lgamma_p.bind(add_p.bind(a, b)))
    left = mul_p.bind(sub_p.bind(a, _c(a, 1)), log_p.bind(x))
    right = mul_p.bind(sub_p.bind(b, _c(b, 1)), log1p_p.bind(neg_p.bind(x)))
    return exp_p.bind(sub_p.bind(add_p.bind(left, right), log_beta))


regularized_incomplete_beta_p = elementwise(
    "regularized_incomplete_beta",
    no_partial("betainc", "its parameter a"),
    no_partial("betainc", "its parameter b"),
    lambda t, ans, a, b, x: _times(t, _beta_density(a, b, x)),
    accepts="f",
)

# Modified Bessel functions, exponentially scaled --------------------------------------------------


def _i1e_derivative(ans: Any, x: Any) -> Any:
    """i0e - (sign x + 1/x) i1e, whose limit at 0 is 1/2."""
    at_zero = eq_p.bind(x, _c(x, 0))
    safe = select_n_p.bind(at_zero, x, _c(x, 1))
    factor = add_p.bind(sign_p.bind(safe), div_p.bind(_c(x, 1), safe))
    value = sub_p.bind(bessel_i0e_p.bind(safe), mul_p.bind(select_n_p.bind(at_zero, ans, _c(x, 0)), factor))
    return select_n_p.bind(at_zero, value, _c(x, 0.5))


bessel_i0e_p: Primitive = elementwise(
    "bessel_i0e",
    lambda t, ans, x: _times(t, sub_p.bind(bessel_i1e_p.bind(x), mul_p.bind(sign_p.bind(x), ans))),
    accepts="f",
)
bessel_i1e_p: Primitive = elementwise(
    "bessel_i1e", lambda t, ans, x: _times(t, _i1e_derivative(ans, x)), accepts="f"
)

# Exponential integrals ----------------------------------------------------------------------------

expi_p = elementwise("expi", lambda t, ans, x: _times(t, div_p.bind(exp_p.bind(x), x)), accepts="f")
# E_n(x): d = -E_{n-1}(x), and E_0(x) = exp(-x) / x
expn_p: Primitive = elementwise(
    "expn",
    no_partial("expn", "its order n"),
    lambda t, ans, n, x: _times(neg_p.bind(t), _expn_below(n, x)),
    accepts="f",
)


def _expn_below(n: Any, x: Any) -> Any:
    zero = _c(n, 0)
    lower = sub_p.bind(n, _c(n, 1))
    none_below = eq_p.bind(n, zero)
    # Below order 0 the recurrence (n-1) E_n = exp(-x) - x E_(n-1) gives E_{-1} = exp(-x) (1 + 1/x) / x.
    inverse = div_p.bind(_c(x, 1), x)
    extended = mul_p.bind(mul_p.bind(exp_p.bind(neg_p.bind(x)), inverse), add_p.bind(_c(x, 1), inverse))
    value = expn_p.bind(select_n_p.bind(none_below, lower, zero), x)
    return select_n_p.bind(none_below, value, extended)


# Functions of lax ---------------------------------------------------------------------------------


def erf(x: Any) -> Array:
    """The error function 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    return unary(erf_p, x)


def erfc(x: Any) -> Array:
    """1 - erf(x), accurate for large x."""
    return unary(erfc_p, x)


def erf_inv(x: Any) -> Array:
    """The inverse of erf on [-1, 1]; NaN outside."""
    return unary(erf_inv_p, x)


def lgamma(x: Any) -> Array:
    """log |Gamma(x)|."""
    return unary(lgamma_p, x)


def digamma(x: Any) -> Array:
    """The derivative of log Gamma(x)."""
    return unary(digamma_p, x)


def polygamma(m: Any, x: Any) -> Array:
    """The derivative of order m of digamma at x, for whole m >= 0 of x's dtype."""
    return checked(polygamma_p, *operands("polygamma", m, x))


def zeta(x: Any, q: Any) -> Array:
    """Hurwitz' zeta function, the sum over n >= 0 of (n + q)^(-x)."""
    return checked(zeta_p, *operands("zeta", x, q))


def igamma(a: Any, x: Any) -> Array:
    """The regularized lower incomplete gamma function P(a, x)."""
    return checked(igamma_p, *operands("igamma", a, x))


def igammac(a: Any, x: Any) -> Array:
    """The regularized upper incomplete gamma function Q(a, x) = 1 - P(a, x)."""
    return checked(igammac_p, *operands("igammac", a, x))


def igamma_grad_a(a: Any, x: Any) -> Array:
    """The derivative of `igamma` by a."""
    return checked(igamma_grad_a_p, *operands("igamma_grad_a", a, x))


def random_gamma_grad(a: Any, sample: Any) -> Array:
    """The derivative by a of a sample of the gamma distribution whose P(a, sample) is held fixed."""
    return checked(random_gamma_grad_p, *operands("random_gamma_grad", a, sample))


def betainc(a: Any, b: Any, x: Any) -> Array:
    """The regularized incomplete beta function I_x(a, b)."""
    return checked(regularized_incomplete_beta_p, *operands("betainc", a, b, x))


def bessel_i0e(x: Any) -> Array:
    """exp(-|x|) I0(x), I0 the modified Bessel function of order 0."""
    return unary(bessel_i0e_p, x)


def bessel_i1e(x: Any) -> Array:
    """exp(-|x|) I1(x), I1 the modified Bessel function of order 1."""
    return unary(bessel_i1e_p, x)
