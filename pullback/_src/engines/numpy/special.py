"""Kernels of `ops.special`.

SciPy computes most of them and is imported when the first such kernel runs. What random numbers need (the
inverse error function, and the error function of a few elements) works without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...core import engine
from ...core.primitive import Primitive
from ...ops import special as ops
from ..inverse_error import DOUBLE_CENTRE, DOUBLE_MIDDLE, DOUBLE_TAIL, SINGLE_CENTRE, SINGLE_TAIL
from .register import kernel

Array = np.ndarray[Any, Any]

_FEW = 32


def scipy_kernel(primitive: Primitive, name: str, wide: bool = False) -> Callable[..., Array]:
    """Register `scipy.special.<name>`; half precision goes by float32, with `wide` all goes by float64."""
    function: Any = None

    def compute(*args: Array) -> Array:
        nonlocal function
        if function is None:
            import scipy.special

            function = getattr(scipy.special, name)
        dtype = args[0].dtype
        if wide and dtype != np.float64:
            return np.asarray(function(*[a.astype(np.float64) for a in args])).astype(dtype)
        if dtype not in (np.float32, np.float64):
            return np.asarray(function(*[a.astype(np.float32) for a in args])).astype(dtype)
        return np.asarray(function(*args), dtype)

    engine.kernels[primitive] = compute
    return compute


def _few_by_math(primitive: Primitive, function: Callable[[float], float]) -> None:
    """For few elements use the math module's function: no import, and no slower."""
    many = engine.kernels[primitive]

    def compute(x: Array) -> Array:
        if x.size > _FEW:
            return many(x)
        out = [function(v) for v in x.astype(np.float64).reshape(-1).tolist()]
        return np.array(out, np.float64).astype(x.dtype).reshape(x.shape)

    engine.kernels[primitive] = compute


scipy_kernel(ops.erf_p, "erf")
scipy_kernel(ops.erfc_p, "erfc")
_few_by_math(ops.erf_p, math.erf)
_few_by_math(ops.erfc_p, math.erfc)
scipy_kernel(ops.erfcx_p, "erfcx")
scipy_kernel(ops.dawsn_p, "dawsn")
scipy_kernel(ops.ndtri_p, "ndtri")
scipy_kernel(ops.log_ndtr_p, "log_ndtr")
scipy_kernel(ops.digamma_p, "digamma", wide=True)
scipy_kernel(ops.polygamma_p, "polygamma", wide=True)
scipy_kernel(ops.zeta_p, "zeta", wide=True)
scipy_kernel(ops.spence_p, "spence")
scipy_kernel(ops.igamma_p, "gammainc", wide=True)
scipy_kernel(ops.igammac_p, "gammaincc", wide=True)
scipy_kernel(ops.regularized_incomplete_beta_p, "betainc", wide=True)
scipy_kernel(ops.bessel_i0e_p, "i0e")
scipy_kernel(ops.bessel_i1e_p, "i1e")
scipy_kernel(ops.expi_p, "expi", wide=True)


_gammaln = scipy_kernel(ops.lgamma_p, "gammaln", wide=True)


@kernel(ops.lgamma_p)
def lgamma(x: Array) -> Array:
    out = _gammaln(x)
    out[np.isneginf(x)] = np.inf  # as C and JAX have it; SciPy says -inf
    return out


@kernel(ops.expn_p)
def expn(n: Array, x: Array) -> Array:
    from scipy.special import expn as function

    n, wide = n.astype(np.float64), x.astype(np.float64)
    whole = n == np.floor(n)
    out = function(np.where(whole & (np.abs(n) < 2**31), n, 0).astype(np.int64), wide)
    return np.asarray(np.where(whole, out, np.nan)).astype(x.dtype)


# The inverse error function. As in XLA, x^2 is rounded before it is subtracted from 1, so that normal numbers
# are those of JAX; the price is a relative error of the order of the rounding unit over 1 - |x|.

_SINGLE_CENTRE_32 = tuple(np.float32(c) for c in SINGLE_CENTRE)
_SINGLE_TAIL_32 = tuple(np.float32(c) for c in SINGLE_TAIL)
_PIECE = 1 << 14


def _horner(coefficients: Sequence[Any], w: Array) -> Array:
    p = np.multiply(w, coefficients[0], out=...)
    np.add(p, coefficients[1], out=p)
    for c in coefficients[2:]:
        np.multiply(p, w, out=p)
        np.add(p, c, out=p)
    return p


@kernel(ops.erf_inv_p)
def erf_inv(x: Array) -> Array:
    if x.dtype == np.float64:
        return _erf_inv_double(x)
    if x.dtype != np.float32:
        return _erf_inv_single(x.astype(np.float32)).astype(x.dtype)
    if x.size <= _PIECE:
        return _erf_inv_single(x)
    out = np.empty(x.size, np.float32)
    flat = x.reshape(-1)
    for start in range(0, x.size, _PIECE):  # pieces stay in the cache
        out[start : start + _PIECE] = _erf_inv_single(flat[start : start + _PIECE])
    return out.reshape(x.shape)


def _erf_inv_single(x: Array) -> Array:
    w = np.multiply(x, x, out=...)
    np.negative(w, out=w)
    np.log1p(w, out=w)
    np.negative(w, out=w)
    p = _horner(_SINGLE_CENTRE_32, w - np.float32(2.5))
    if not (w < 5).all():
        tail = w >= np.float32(5)
        p[tail] = _horner(_SINGLE_TAIL_32, np.sqrt(w[tail]) - np.float32(3))
    return _finish(x, p)


def _erf_inv_double(x: Array) -> Array:
    w = -np.log1p(-x * x)
    p = np.asarray(_horner(DOUBLE_CENTRE, w - 3.125))
    tail = w >= 6.25
    if tail.any():
        root = np.sqrt(w[tail])
        p[tail] = np.where(root < 4, _horner(DOUBLE_MIDDLE, root - 3.25), _horner(DOUBLE_TAIL, root - 5))
    return _finish(x, p)


def _finish(x: Array, p: Array) -> Array:
    out = np.multiply(p, x, out=...)
    if not np.isfinite(out).all():
        ends = np.abs(x) == 1
        out[ends] = np.copysign(np.asarray(np.inf, x.dtype), x[ends])
    return out


# Derivatives of the incomplete gamma function by its parameter -----------------------------------


@kernel(ops.igamma_grad_a_p)
def igamma_grad_a(a: Array, x: Array) -> Array:
    from scipy.special import gammaln

    dtype = a.dtype
    a, x = _double_pair(a, x)
    with np.errstate(all="ignore"):
        density = np.exp((a - 1) * np.log(x) - x - gammaln(a))
        out = np.where(density > 0, density * by_density(a, x), 0.0)
    return np.where(valid_gamma(a, x), out, np.where((a > 0) & (x == 0), 0.0, np.nan)).astype(dtype)


@kernel(ops.random_gamma_grad_p)
def random_gamma_grad(a: Array, sample: Array) -> Array:
    dtype = a.dtype
    a, x = _double_pair(a, sample)
    with np.errstate(all="ignore"):
        out = -by_density(a, x)
    return np.where(valid_gamma(a, x), out, np.where((a > 0) & (x == 0), 0.0, np.nan)).astype(dtype)


def _double_pair(a: Array, x: Array) -> tuple[Array, Array]:
    wide = np.broadcast_arrays(a.astype(np.float64), x.astype(np.float64))
    return wide[0], wide[1]


def valid_gamma(a: Array, x: Array) -> Array:
    return np.asarray((a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x))


_LARGE = 1e6


def by_density(a: Array, x: Array) -> Array:
    """dP(a, x)/da divided by the gamma density at x, for float64 a, x > 0 (elsewhere meaningless).

    Three forms: the power series of P below its mean, the continued fraction of Q above it (DLMF 8.7.1 and
    8.9.2, differentiated term by term), and for huge a the derivative of Wilson and Hilferty's cube of a
    normal variable, whose relative error is of the order of 1/a.
    """
    shape = a.shape
    a, x = a.reshape(-1), x.reshape(-1)
    out = np.full(a.shape, np.nan)
    usable = valid_gamma(a, x)
    large = usable & (a > _LARGE)
    low = usable & ~large & (x <= a + 1)
    high = usable & ~large & ~low
    for chosen, form in ((low, _by_series), (high, _by_fraction), (large, _by_cube)):
        if chosen.any():
            out[chosen] = form(a[chosen], x[chosen])
    return out.reshape(shape)


def _by_series(a: Array, x: Array) -> Array:
    # The sum over n of c_n (log x - digamma(a + n + 1)), c_n = x^(n+1) / (a (a+1) ... (a+n)).
    from scipy.special import digamma

    log_x = np.log(x)
    term = x / a
    psi = digamma(a + 1)
    total = term * (log_x - psi)
    for n in range(1, 200_000):
        term = term * (x / (a + n))
        psi = psi + 1 / (a + n)
        change = term * (log_x - psi)
        total = total + change
        if n % 8 == 0 and not (np.abs(change) > 1e-17 * np.abs(total)).any():
            break
    return np.asarray(total)


def _by_fraction(a: Array, x: Array) -> Array:
    # Q = exp(-x) x^a f / Gamma(a) with f = 1/(x+1-a- 1(1-a)/(x+3-a- 2(2-a)/(x+5-a- ...))), by Lentz's
    # algorithm on f and on its derivative by a (quantities named d*).
    from scipy.special import digamma

    b = x + 1 - a
    c, dc = np.full_like(x, 1e300), np.zeros_like(x)
    d = 1 / b
    dd = d * d
    f, df = d, dd
    for n in range(1, 200_000):
        numerator, dnumerator = -n * (n - a), float(n)
        b = b + 2
        denominator = b + numerator * d
        ddenominator = -1 + dnumerator * d + numerator * dd
        d = 1 / denominator
        dd = -ddenominator * d * d
        dc = -1 + dnumerator / c - numerator * dc / (c * c)
        c = b + numerator / c
        step, dstep = c * d, dc * d + c * dd
        f, df = f * step, df * step + f * dstep
        moving = (np.abs(step - 1) > 4e-16) | (np.abs(f * dstep) > 1e-15 * (np.abs(df) + np.abs(f)))
        if n % 8 == 0 and not moving.any():
            break
    return np.asarray(-x * (f * (np.log(x) - digamma(a)) + df))


def _by_cube(a: Array, x: Array) -> Array:
    # x = a (1 - 1/(9a) + z/(3 sqrt(a)))^3 with z fixed; the result is -dx/da.
    root = np.cbrt(x / a)
    inner = root - 1 + 1 / (9 * a)
    return np.asarray(-(x / a + 3 * a * root**2 * (1 / (9 * a**2) - inner / (2 * a))))
