"""`scipy.special`: special functions on arrays, with derivatives.

Arguments promote as in numpy; integers become floats. Definitions follow SciPy. Only `expit`, `logit`,
`xlogy`, `xlog1py`, `boxcox`, `boxcox1p`, `wofz` and the sums of exponentials take complex numbers.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from ...core import dtypes
from ...core.array import Array, scalar, wrap
from ...core.kinds import kind
from ...core.primitive import Primitive
from ...ops import special as sp
from ...ops import special_integrals as si
from ...ops.arithmetic import abs_p, add_p, div_p, floor_p, log_p, mul_p, rem_p, sub_p
from ...ops.compare import eq_p, ge_p, gt_p, lt_p, select_n_p
from ...ops.complex import neg_p
from ...ops.convert import convert_element_type
from ...ops.families import FLOAT, check_kind
from ...ops.joining import concatenate
from ...ops.structural import broadcast_to, reshape
from ...ops.transcendental import exp_p, expm1_p, log1p_p, logistic_p
from ..numpy.promotion import promote_inexact, strengthen
from .exponential_sums import log_softmax as _log_softmax
from .exponential_sums import logsumexp
from .exponential_sums import softmax as _softmax

__all__ = [
    "bernoulli",
    "bessel_jn",
    "beta",
    "betainc",
    "betaln",
    "boxcox",
    "boxcox1p",
    "comb",
    "dawsn",
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfcx",
    "erfinv",
    "exp1",
    "expi",
    "expit",
    "expn",
    "factorial",
    "fresnel",
    "gamma",
    "gammainc",
    "gammaincc",
    "gammaln",
    "gammasgn",
    "hyp1f1",
    "hyp2f1",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "kl_div",
    "log_ndtr",
    "log_softmax",
    "loggamma",
    "logit",
    "logsumexp",
    "multigammaln",
    "ndtr",
    "ndtri",
    "owens_t",
    "poch",
    "polygamma",
    "rel_entr",
    "sici",
    "softmax",
    "spence",
    "wofz",
    "xlog1py",
    "xlogy",
    "zeta",
]


def _c(x: Any, value: float) -> Any:
    return scalar(value, x.aval.dtype)


def _real(name: str, *args: Any) -> list[Any]:
    """The arguments promoted to one real dtype.

    Raises:
        DTypeError: an argument is complex.
    """
    promoted = promote_inexact(name, *args)
    if kind(promoted[0].aval.dtype) == "c":
        check_kind(name, promoted[0].aval.dtype, FLOAT)
    return promoted


def _unary(primitive: Primitive, name: str, x: Any) -> Any:
    return primitive.bind(_real(name, x)[0])


def _strong(name: str, *args: Any) -> list[Any]:
    """Real arguments without weak types: what JAX composes of other functions has strong results."""
    return [strengthen(x) for x in _real(name, *args)]


def _strong_unary(primitive: Primitive, name: str, x: Any) -> Any:
    return primitive.bind(*_strong(name, x))


def _where(condition: Any, x: Any, y: Any) -> Any:
    return select_n_p.bind(condition, y, x)


# Error functions and the normal distribution ------------------------------------------------------


def erf(x: Any) -> Array:
    """The error function."""
    return _unary(sp.erf_p, "erf", x)


def erfc(x: Any) -> Array:
    """1 - erf(x), accurate for large x."""
    return _unary(sp.erfc_p, "erfc", x)


def erfcx(x: Any) -> Array:
    """exp(x^2) erfc(x)."""
    return _strong_unary(sp.erfcx_p, "erfcx", x)


def erfinv(x: Any) -> Array:
    """The inverse of erf."""
    return _unary(sp.erf_inv_p, "erfinv", x)


def dawsn(x: Any) -> Array:
    """Dawson's integral: exp(-x^2) times the integral of exp(t^2) from 0 to x."""
    return _strong_unary(sp.dawsn_p, "dawsn", x)


def wofz(z: Any) -> Array:
    """The Faddeeva function exp(-z^2) erfc(-iz), complex."""
    (z,) = promote_inexact("wofz", z)
    return si.wofz_p.bind(convert_element_type(z, dtypes.to_complex_dtype(z.aval.dtype)))


def ndtr(x: Any) -> Array:
    """The normal distribution function."""
    (x,) = _strong("ndtr", x)
    return mul_p.bind(_c(x, 0.5), sp.erfc_p.bind(mul_p.bind(x, _c(x, -math.sqrt(0.5)))))


def ndtri(p: Any) -> Array:
    """The inverse of `ndtr`."""
    return _strong_unary(sp.ndtri_p, "ndtri", p)


def log_ndtr(x: Any, series_order: int = 3) -> Array:
    """log(ndtr(x)), accurate in the lower tail.

    Args:
        x: an array.
        series_order: accepted and without effect: the result is accurate to rounding everywhere.
    """
    return _strong_unary(sp.log_ndtr_p, "log_ndtr", x)


def owens_t(h: Any, a: Any) -> Array:
    """Owen's T: the probability that X > h and 0 < Y < aX for independent normal X and Y."""
    return si.owens_t_p.bind(*_strong("owens_t", h, a))


# Gamma, beta and zeta -----------------------------------------------------------------------------


def gammaln(x: Any) -> Array:
    """log |Gamma(x)|."""
    return _unary(sp.lgamma_p, "gammaln", x)


def loggamma(x: Any) -> Array:
    """log Gamma(x) for real x; NaN where Gamma is negative."""
    (x,) = _real("loggamma", x)
    return _where(lt_p.bind(gammasgn(x), _c(x, 0)), _c(x, math.nan), sp.lgamma_p.bind(x))


def gammasgn(x: Any) -> Array:
    """The sign of Gamma(x): NaN at negative integers and at -infinity."""
    (x,) = _strong("gammasgn", x)
    floor = floor_p.bind(x)
    odd = eq_p.bind(rem_p.bind(abs_p.bind(floor), _c(x, 2)), _c(x, 1))
    below = _where(odd, _c(x, -1), _c(x, 1))
    below = _where(eq_p.bind(x, floor), _c(x, math.nan), below)
    negative = lt_p.bind(x, _c(x, 0))
    sign = _where(negative, below, _c(x, 1))
    minus_zero = eq_p.bind(div_p.bind(_c(x, 1), x), _c(x, -math.inf))
    sign = _where(minus_zero, _c(x, -1), sign)
    return strengthen(_where(x != x, _c(x, math.nan), broadcast_to(sign, x.aval.shape)))


def gamma(x: Any) -> Array:
    """The gamma function."""
    (x,) = _strong("gamma", x)
    return mul_p.bind(gammasgn(x), exp_p.bind(sp.lgamma_p.bind(x)))


def digamma(x: Any) -> Array:
    """The derivative of log Gamma(x)."""
    return _unary(sp.digamma_p, "digamma", x)


def polygamma(n: Any, x: Any) -> Array:
    """The derivative of order n of digamma at x."""
    return sp.polygamma_p.bind(*_real("polygamma", n, x))


def multigammaln(a: Any, d: int) -> Array:
    """The logarithm of the multivariate gamma function of dimension d."""
    (a,) = _strong("multigammaln", a)
    if int(d) != d or d < 1:
        raise ValueError(f"multigammaln: d must be a positive integer, got {d!r}")
    total = _c(a, 0.25 * d * (d - 1) * math.log(math.pi))
    for j in range(int(d)):
        total = add_p.bind(total, sp.lgamma_p.bind(sub_p.bind(a, _c(a, j / 2))))
    return total


def factorial(n: Any, exact: bool = False) -> Array:
    """n! as a float; 0 for negative n.

    Raises:
        NotImplementedError: exact=True; arrays hold no integers of arbitrary size.
    """
    if exact:
        raise NotImplementedError("factorial(exact=True) is not supported; use math.factorial")
    (n,) = _real("factorial", n)
    value = exp_p.bind(sp.lgamma_p.bind(add_p.bind(n, _c(n, 1))))
    return _where(lt_p.bind(n, _c(n, 0)), _c(n, 0), value)


def comb(N: Any, k: Any, *, repetition: bool = False) -> Array:
    """The number of choices of k out of N things, as a float; 0 unless 0 <= k <= N."""
    n, r = _real("comb", N, k)
    if repetition:
        n = _where(eq_p.bind(r, _c(r, 0)), n, sub_p.bind(add_p.bind(n, r), _c(n, 1)))
    one = _c(n, 1)
    logs = sub_p.bind(
        sub_p.bind(sp.lgamma_p.bind(add_p.bind(n, one)), sp.lgamma_p.bind(add_p.bind(r, one))),
        sp.lgamma_p.bind(add_p.bind(sub_p.bind(n, r), one)),
    )
    possible = ge_p.bind(n, r) & ge_p.bind(r, _c(r, 0)) & ge_p.bind(n, _c(n, 0))
    return _where(possible, exp_p.bind(logs), _c(n, 0))


def poch(z: Any, m: Any) -> Array:
    """Pochhammer's symbol Gamma(z + m) / Gamma(z)."""
    z, m = _strong("poch", z, m)
    upper = add_p.bind(z, m)
    signs = mul_p.bind(gammasgn(upper), gammasgn(z))
    size = exp_p.bind(sub_p.bind(sp.lgamma_p.bind(upper), sp.lgamma_p.bind(z)))
    return _where(eq_p.bind(m, _c(m, 0)), _c(m, 1), mul_p.bind(signs, size))


def betaln(a: Any, b: Any) -> Array:
    """log |B(a, b)|."""
    a, b = _real("betaln", a, b)
    return sub_p.bind(
        add_p.bind(sp.lgamma_p.bind(a), sp.lgamma_p.bind(b)), sp.lgamma_p.bind(add_p.bind(a, b))
    )


def beta(a: Any, b: Any) -> Array:
    """B(a, b) = Gamma(a) Gamma(b) / Gamma(a + b)."""
    a, b = _strong("beta", a, b)
    signs = mul_p.bind(mul_p.bind(gammasgn(a), gammasgn(b)), gammasgn(add_p.bind(a, b)))
    return mul_p.bind(signs, exp_p.bind(betaln(a, b)))


def betainc(a: Any, b: Any, x: Any) -> Array:
    """The regularized incomplete beta function I_x(a, b)."""
    return sp.regularized_incomplete_beta_p.bind(*_real("betainc", a, b, x))


def gammainc(a: Any, x: Any) -> Array:
    """The regularized lower incomplete gamma function P(a, x)."""
    return sp.igamma_p.bind(*_real("gammainc", a, x))


def gammaincc(a: Any, x: Any) -> Array:
    """The regularized upper incomplete gamma function Q(a, x)."""
    return sp.igammac_p.bind(*_real("gammaincc", a, x))


def zeta(x: Any, q: Any = None) -> Array:
    """Hurwitz' zeta function, the sum over n >= 0 of (n + q)^(-x); q = 1 is Riemann's."""
    return sp.zeta_p.bind(*_real("zeta", x, 1.0 if q is None else q))


@cache
def _bernoulli_numbers(n: int) -> tuple[float, ...]:
    from scipy.special import bernoulli as numbers

    return tuple(float(b) for b in numbers(n))


def bernoulli(n: int) -> Array:
    """The Bernoulli numbers B_0 ... B_n."""
    if int(n) != n or n < 0:
        raise ValueError(f"bernoulli: n must be a non-negative integer, got {n!r}")
    return wrap(np.array(_bernoulli_numbers(int(n)), dtypes.default_float_dtype()))


def spence(x: Any) -> Array:
    """The dilogarithm: the integral of log t / (1 - t) from 1 to x."""
    return _strong_unary(sp.spence_p, "spence", x)


def hyp1f1(a: Any, b: Any, x: Any) -> Array:
    """Kummer's confluent hypergeometric function, differentiable by x."""
    return si.hyp1f1_p.bind(*_strong("hyp1f1", a, b, x))


def hyp2f1(a: Any, b: Any, c: Any, x: Any) -> Array:
    """Gauss' hypergeometric function, differentiable by x."""
    return si.hyp2f1_p.bind(*_strong("hyp2f1", a, b, c, x))


# Integrals and Bessel functions -------------------------------------------------------------------


def expi(x: Any) -> Array:
    """The exponential integral Ei(x)."""
    return _strong_unary(sp.expi_p, "expi", x)


def expn(n: Any, x: Any) -> Array:
    """The exponential integral E_n(x), for whole n >= 0."""
    return sp.expn_p.bind(*_strong("expn", n, x))


def exp1(x: Any) -> Array:
    """The exponential integral E_1(x)."""
    (x,) = _strong("exp1", x)
    return sp.expn_p.bind(_c(x, 1), x)


def sici(x: Any) -> tuple[Array, Array]:
    """The sine and cosine integrals Si(x), Ci(x)."""
    (x,) = _strong("sici", x)
    return si.sine_integral_p.bind(x), si.cosine_integral_p.bind(x)


def fresnel(x: Any) -> tuple[Array, Array]:
    """The Fresnel integrals S(x), C(x)."""
    (x,) = _strong("fresnel", x)
    return si.fresnel_sine_p.bind(x), si.fresnel_cosine_p.bind(x)


def i0e(x: Any) -> Array:
    """exp(-|x|) I0(x)."""
    return _unary(sp.bessel_i0e_p, "i0e", x)


def i0(x: Any) -> Array:
    """The modified Bessel function of the first kind of order 0."""
    (x,) = _real("i0", x)
    return mul_p.bind(exp_p.bind(abs_p.bind(x)), sp.bessel_i0e_p.bind(x))


def i1e(x: Any) -> Array:
    """exp(-|x|) I1(x)."""
    return _unary(sp.bessel_i1e_p, "i1e", x)


def i1(x: Any) -> Array:
    """The modified Bessel function of the first kind of order 1."""
    (x,) = _real("i1", x)
    return mul_p.bind(exp_p.bind(abs_p.bind(x)), sp.bessel_i1e_p.bind(x))


def bessel_jn(z: Any, *, v: int, n_iter: int = 50) -> Array:
    """The Bessel functions J_0 ... J_v of z, along a new first dimension.

    Args:
        z: an array.
        v: the greatest order.
        n_iter: accepted and without effect: the results are accurate to rounding.
    """
    (z,) = _real("bessel_jn", z)
    shape = (1, *z.aval.shape)
    return concatenate([reshape(si.bessel_j_p.bind(_c(z, n), z), shape) for n in range(int(v) + 1)], 0)


# Logarithms and entropies -------------------------------------------------------------------------


def expit(x: Any) -> Array:
    """1 / (1 + exp(-x))."""
    return logistic_p.bind(*promote_inexact("expit", x))


def logit(x: Any) -> Array:
    """log(x / (1 - x))."""
    (x,) = promote_inexact("logit", x)
    return sub_p.bind(log_p.bind(x), log1p_p.bind(neg_p.bind(x)))


def _zero_times(primitive: Primitive, name: str, x: Any, y: Any) -> Any:
    """x f(y), and 0 where x = 0 (also where f(y) is infinite)."""
    x, y = promote_inexact(name, x, y)
    at_zero = eq_p.bind(x, _c(x, 0))
    safe = _where(at_zero & ~(y != y), _c(y, 1), y)
    return _where(at_zero & ~(y != y), mul_p.bind(x, safe), mul_p.bind(x, primitive.bind(safe)))


def xlogy(x: Any, y: Any) -> Array:
    """x log(y), and 0 where x = 0."""
    return _zero_times(log_p, "xlogy", x, y)


def xlog1py(x: Any, y: Any) -> Array:
    """x log(1 + y), and 0 where x = 0."""
    return _zero_times(log1p_p, "xlog1py", x, y)


def entr(x: Any) -> Array:
    """-x log(x); 0 at 0 and -infinity below."""
    (x,) = _real("entr", x)
    value = neg_p.bind(xlogy(x, x))
    return _where(lt_p.bind(x, _c(x, 0)), _c(x, -math.inf), value)


def rel_entr(p: Any, q: Any) -> Array:
    """p log(p / q) for positive p and q; 0 where p = 0 <= q, else infinity."""
    p, q = _real("rel_entr", p, q)
    zero = _c(p, 0)
    both = gt_p.bind(p, zero) & gt_p.bind(q, zero)
    one = _c(p, 1)
    safe_p, safe_q = _where(both, p, one), _where(both, q, one)
    value = mul_p.bind(safe_p, sub_p.bind(log_p.bind(safe_p), log_p.bind(safe_q)))
    none = eq_p.bind(p, zero) & ge_p.bind(q, zero)
    out = _where(both, value, _where(none, zero, _c(p, math.inf)))
    return _where((p != p) | (q != q), _c(p, math.nan), out)


def kl_div(p: Any, q: Any) -> Array:
    """p log(p / q) - p + q for positive p and q; q where p = 0 <= q, else infinity."""
    p, q = _real("kl_div", p, q)
    return add_p.bind(sub_p.bind(rel_entr(p, q), p), q)


def boxcox(x: Any, lmbda: Any) -> Array:
    """(x^lmbda - 1) / lmbda, and log(x) where lmbda = 0."""
    x, power = promote_inexact("boxcox", x, lmbda)
    return _box_cox(log_p.bind(x), power)


def boxcox1p(x: Any, lmbda: Any) -> Array:
    """((1 + x)^lmbda - 1) / lmbda, and log(1 + x) where lmbda = 0."""
    x, power = promote_inexact("boxcox1p", x, lmbda)
    return _box_cox(log1p_p.bind(x), power)


def _box_cox(log_x: Any, power: Any) -> Any:
    at_zero = eq_p.bind(power, _c(power, 0))
    safe = _where(at_zero, _c(power, 1), power)
    return _where(at_zero, log_x, div_p.bind(expm1_p.bind(mul_p.bind(safe, log_x)), safe))


def softmax(x: Any, /, *, axis: Any = None) -> Array:
    """exp(x) / sum(exp(x)), over all elements unless `axis` is given."""
    return _softmax(x, axis)


def log_softmax(x: Any, /, *, axis: Any = None) -> Array:
    """log(softmax(x)), over all elements unless `axis` is given."""
    return _log_softmax(x, axis)
