"""Writes `pullback/_src/engines/llvm/math/coefficients.py`: the polynomials of the LLVM engine's functions.

Each polynomial minimises the sum of squares of the relative error at Chebyshev nodes, which is within a small
factor of the minimax polynomial. The coefficients are rounded one after the other, lowest first: after each
rounding the remaining ones are fitted anew, so that they correct it. The degree is the least that makes the
polynomial's share of the relative error, before rounding, smaller than a target.

    python tools/generate_coefficients.py
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np

mp.mp.dps = 70
OUT = Path(__file__).parent.parent / "pullback/_src/engines/llvm/math/coefficients.py"
Function = Callable[[Any], Any]


def rounded(value: Any, single: bool) -> Any:
    return mp.mpf(float(np.float32(float(value)))) if single else mp.mpf(float(value))


def nodes(n: int, low: Any, high: Any) -> list[Any]:
    half, middle = (mp.mpf(high) - low) / 2, (mp.mpf(high) + low) / 2
    return [middle + half * mp.cos(mp.pi * (2 * k + 1) / (2 * n)) for k in range(n)]


def solve(rest: list[Any], weights: list[Any], places: list[Any], first: int, degree: int) -> list[Any]:
    """Coefficients of powers `first` to `degree` that minimise the sum of weighted squares at the places."""
    n = degree + 1 - first
    rows = [[w * x**first * x**k for k in range(n)] for x, w in zip(places, weights, strict=True)]
    right = [w * v for v, w in zip(rest, weights, strict=True)]
    matrix, vector = mp.matrix(n, n), mp.matrix(n, 1)
    for i in range(n):
        vector[i] = mp.fdot([row[i] for row in rows], right)
        for j in range(i, n):
            matrix[i, j] = matrix[j, i] = mp.fdot([row[i] for row in rows], [row[j] for row in rows])
    return list(mp.lu_solve(matrix, vector))


def fit(f: Function, weight: Function, low: Any, high: Any, degree: int, single: bool | None) -> list[Any]:
    places = nodes(2 * degree + 6, low, high)
    weights = [weight(x) for x in places]
    rest = [f(x) for x in places]
    if single is None:
        return solve(rest, weights, places, 0, degree)
    done: list[Any] = []
    for k in range(degree + 1):
        done.append(rounded(solve(rest, weights, places, k, degree)[0], single))
        rest = [v - done[-1] * x**k for v, x in zip(rest, places, strict=True)]
    return done


def memo(f: Function) -> Function:
    known: dict[Any, Any] = {}

    def call(x: Any) -> Any:
        if x not in known:
            known[x] = f(x)
        return known[x]

    return call


def error(coefficients: list[Any], f: Function, weight: Function, low: Any, high: Any) -> float:
    places = [mp.mpf(low) + (mp.mpf(high) - low) * (k + mp.mpf("0.37")) / 200 for k in range(200)]
    return max(float(abs((mp.polyval(coefficients[::-1], x) - f(x)) * weight(x))) for x in places)


def one(x: Any) -> Any:
    return mp.mpf(1)


TABLE: list[tuple[str, Function, Any, Any, Function, float, float]] = []


def entry(
    name: str,
    f: Function,
    low: Any,
    high: Any,
    weight: Function = one,
    single: float = 27,
    double: float = 56.5,
) -> None:
    """A polynomial for `f` on [low, high].

    Times `weight` its error is relative; `single` and `double` are the targets in bits (0: none).
    """
    TABLE.append((name, f, low, high, weight, single, double))


# The functions. Where the variable is u = x^2, x is its root.
LN2 = mp.log(2)
entry("EXP", lambda r: (mp.exp(r) - 1 - r) / r**2, -0.3475, 0.3475, lambda r: r**2)
entry("EXP2", lambda r: (2**r - 1) / r, -0.5, 0.5, lambda r: r)
entry("EXPM1", lambda r: (mp.exp(r) - 1 - r) / r**2, -0.3475, 0.3475, lambda r: r)
entry(
    "LOG",
    lambda s: (mp.log1p(s) - s + s * s / 2) / s**3,
    mp.sqrt(0.5) - 1,
    mp.sqrt(2) - 1,
    lambda s: s**2,
    double=0,
)


def _atanh_series(u: Any) -> Any:  # log((1+w)/(1-w)) = 2 w + w u R(u), u = w^2
    w = mp.sqrt(u)
    return (2 * mp.atanh(w) / w - 2) / u


entry(
    "LOG_ATANH",
    _atanh_series,
    0,
    ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * 1.01,
    lambda u: u / 2,
    single=0,
    double=58,
)
# log(1 + f) for f in [0, 1].
entry(
    "LOG1P",
    lambda f: (mp.log1p(f) - f + f * f / 2) / f**3,
    0,
    1,
    lambda f: f**3 / mp.log1p(f),
    double=0,
)
entry("LOG1P_ATANH", _atanh_series, 0, mp.mpf(1) / 9, lambda u: u / 2, single=0, double=58)


def _pow_log(u: Any) -> Any:  # log((1+w)/(1-w)) / (2 w) = 1 + u/3 + u^2 Q(u)
    w = mp.sqrt(u)
    return (mp.atanh(w) / w - 1 - u / 3) / u**2


entry(
    "POW_LOG",
    _pow_log,
    0,
    ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * 1.01,
    lambda u: u**2,
    single=0,
    double=66,
)


def _log_rest(f: Any) -> Any:  # log(1 + f) = f - f^2 / 2 + f^3 P(f)
    return (mp.log1p(f) - f + f * f / 2) / f**3


# For powers of floats, computed in double.
entry("POWF_LOG", _log_rest, mp.sqrt(0.5) - 1, mp.sqrt(2) - 1, lambda f: f**2, single=0, double=37)
entry("POWF_EXP", lambda r: (mp.exp(r) - 1 - r) / r**2, -0.3475, 0.3475, lambda r: r**2, single=0, double=31)


def _by_root(g: Function) -> Function:
    return lambda u: g(mp.sqrt(u))


Q = mp.mpf("0.79") ** 2
entry("SIN", _by_root(lambda x: (mp.sin(x) - x) / x**3), 0, Q, lambda u: u)
entry("COS", _by_root(lambda x: (mp.cos(x) - 1 + x * x / 2) / x**4), 0, Q, lambda u: u * u)
entry("TANH", _by_root(lambda x: (mp.tanh(x) - x) / x**3), 0, mp.mpf("0.626") ** 2, lambda u: u, double=57)
entry("SINH", _by_root(lambda x: (mp.sinh(x) - x) / x**3), 0, mp.mpf(1), lambda u: u)
entry("ATAN", _by_root(lambda x: (mp.atan(x) - x) / x**3), 0, mp.mpf("0.551") ** 2, lambda u: u)
entry("ASIN", _by_root(lambda x: (mp.asin(x) - x) / x**3), 0, mp.mpf("0.317"), lambda u: u)
entry("ERF", _by_root(lambda x: (mp.erf(x) - x) / x), 0, mp.mpf(1))


def _erfcx(a: Any) -> Any:
    if a < 1000:
        return mp.exp(a * a) * mp.erfc(a)
    u = 1 / (2 * a * a)
    return (1 - u + 3 * u**2 - 15 * u**3) / (a * mp.sqrt(mp.pi))


def _erfcx_in_q(scale: int, factor: Function) -> Function:
    def f(q: Any) -> Any:  # q = (a - scale) / (a + scale)
        if q >= 1:
            return factor(mp.mpf(10) ** 60) / (mp.mpf(10) ** 60 * mp.sqrt(mp.pi))
        a = scale * (1 + q) / (1 - q)
        return factor(a) * _erfcx(a)

    return f


# For floats, from a = 0.5 on and everywhere, with a factor that q has in its denominator, too.
_ERFCX_1 = memo(_erfcx_in_q(1, lambda a: a + 1))
entry("ERFCX", _ERFCX_1, -mp.mpf(1) / 3, mp.mpf(37) / 45, lambda q: 1 / _ERFCX_1(q), single=27.5, double=0)
entry("ERFCX_WHOLE", _ERFCX_1, -1, mp.mpf(37) / 45, lambda q: 1 / _ERFCX_1(q), single=27.5, double=0)
entry("ERFCX", _erfcx_in_q(4, lambda a: 1 + 2 * a), -1, mp.mpf(24) / 32, single=0, double=56)


def _stirling(w: Any) -> Any:  # log gamma(z) = (z - 1/2) log z - z + log(2 pi) / 2 + P(1/z^2) / z
    if w < mp.mpf("1e-4"):
        return sum(mp.bernoulli(2 * k) / (2 * k * (2 * k - 1)) * w ** (k - 1) for k in range(1, 16))
    z = 1 / mp.sqrt(w)
    return z * (mp.loggamma(z) - (z - 0.5) * mp.log(z) + z - mp.log(2 * mp.pi) / 2)


def _digamma(w: Any) -> Any:  # digamma(z) = log z - 1 / (2 z) - w P(w), w = 1/z^2
    if w < mp.mpf("1e-4"):
        return sum(mp.bernoulli(2 * k) / (2 * k) * w ** (k - 1) for k in range(1, 16))
    z = 1 / mp.sqrt(w)
    return (mp.log(z) - 1 / (2 * z) - mp.digamma(z)) / w


entry("LGAMMA", lambda d: mp.loggamma(2 + d) / d, -0.75, 0.5, lambda d: mp.mpf(5), single=0, double=57)
entry("STIRLING", _stirling, 0, mp.mpf(1) / 64, lambda w: mp.mpf("0.02"), single=0, double=57)
entry("DIGAMMA", _digamma, 0, mp.mpf(1) / 64, lambda w: mp.sqrt(w) / 8, single=0, double=58)


# The scaled complement from 26 on, in u = 1 / a^2.
entry("ERFCX_TAIL", lambda u: _erfcx(1 / mp.sqrt(u)) / mp.sqrt(u), 0, mp.mpf(1) / 676, single=0, double=57)


def _scaled_bessel(order: int) -> Function:
    def f(y: Any) -> Any:  # exp(-x) I0(x), exp(-x) I1(x) / x, y = x - 4
        x = y + 4
        if x == 0:
            return mp.mpf(1) / (1 + order)
        return mp.exp(-x) * mp.besseli(order, x) / (x if order else 1)

    return f


def _bessel_tail(order: int) -> Function:
    def f(t: Any) -> Any:  # sqrt(x) exp(-x) I(x), t = 1 / x
        if t < mp.mpf("1e-6"):
            mu = 4 * order**2
            series = 1 - (mu - 1) * t / 8 + (mu - 1) * (mu - 9) * t**2 / 128
            return (series - (mu - 1) * (mu - 9) * (mu - 25) * t**3 / 3072) / mp.sqrt(2 * mp.pi)
        return mp.sqrt(1 / t) * mp.exp(-1 / t) * mp.besseli(order, 1 / t)

    return f


entry("I0_NEAR", _scaled_bessel(0), -4, 4, lambda y: mp.sqrt(7 * (y + 4.2)) / 2, single=0, double=56)
entry("I1_NEAR", _scaled_bessel(1), -4, 4, lambda y: 2 * (y + 4.5), single=0, double=56)
entry("I0_FAR", _bessel_tail(0), 0, mp.mpf(1) / 8, lambda t: mp.mpf("2.5"), single=0, double=56)
entry("I1_FAR", _bessel_tail(1), 0, mp.mpf(1) / 8, lambda t: mp.mpf("2.7"), single=0, double=56)


def _normal_quantile_tail(t: Any) -> Any:
    # With r = sqrt(-2 log p) and t = 2 / r: r - x, where p is the probability below -x. A start for Halley's
    # method, so few digits do.
    r = 2 / t
    start = r - (mp.log(r) + 0.92) / r
    return r - mp.findroot(lambda v: mp.log(mp.erfc(v / mp.sqrt(2)) / 2) + r * r / 2, start)


entry("NDTRI_TAIL", _normal_quantile_tail, mp.mpf(2) / 39, 1, single=0, double=21)


def _normal_quantile_centre(u: Any) -> Any:  # x / y for the probability 1/2 - y below -x, u = y^2
    y = mp.sqrt(u)
    return mp.sqrt(2) * mp.erfinv(2 * y) / y


entry(
    "NDTRI_CENTRE",
    _normal_quantile_centre,
    0,
    mp.mpf("0.3751") ** 2,
    lambda u: mp.mpf("0.4"),
    single=0,
    double=56,
)


def main() -> None:
    lines = [
        '"""Coefficients of polynomials, lowest power first, written by `tools/generate_coefficients.py`.',
        "",
        "Each comment states the polynomial's share of the relative error, in bits.",
        '"""',
        "",
    ]
    for name, f, low, high, weight, *targets in TABLE:
        f, weight = memo(f), memo(weight)
        low, high = mp.mpf(low), mp.mpf(high)
        for suffix, bits, single in (("32", targets[0], True), ("64", targets[1], False)):
            if not bits:
                continue
            best: tuple[float, list[Any]] | None = None
            for degree in range(2, 40):
                exact = fit(f, weight, low, high, degree, None)
                if error(exact, f, weight, low, high) > 2.0**-bits:
                    continue
                c = fit(f, weight, low, high, degree, single)
                worst = error(c, f, weight, low, high)
                best = worst, c
                break
            assert best is not None, name
            print(name + suffix, len(best[1]) - 1, np.log2(best[0]), flush=True)
            lines.append(f"# {-np.log2(best[0]):.1f}")
            lines.append(f"{name}_{suffix} = (")
            lines += [f"    {float(v)!r}," for v in best[1]]
            lines.append(")")
    OUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
