"""Errors of the vector functions in units of the last place, against mpmath, over the whole domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np

from .harness import run

Function = Callable[..., Any]
SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


def _logistic(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def _real(f: Function) -> Function:
    def function(*xs: Any) -> Any:
        y = f(*xs)
        return mp.nan if isinstance(y, mp.mpc) and y.imag != 0 else mp.mpf(y.real)

    return function


def _power(x: Any, y: Any) -> Any:
    return mp.power(x, y)


def _lgamma(x: Any) -> Any:
    return mp.loggamma(x).real


def _log_ndtr(x: Any) -> Any:
    return mp.log(mp.erfc(-x / mp.sqrt(2)) / 2) if x < 5 else mp.log1p(-mp.erfc(x / mp.sqrt(2)) / 2)


def _quantile(p: Any) -> Any:
    if p > 0.01:
        return mp.sqrt(2) * mp.erfinv(2 * p - 1)
    r = mp.sqrt(-2 * mp.log(p))
    return -mp.findroot(lambda v: mp.log(mp.erfc(v / mp.sqrt(2)) / 2) - mp.log(p), r - (mp.log(r) + 0.92) / r)


# name: (reference, (lowest, highest) of the domain, largest errors allowed for float32 and float64)
UNARY: dict[str, tuple[Function, tuple[float, float], tuple[float, float]]] = {
    "exp": (mp.exp, (-800, 800), (1, 1)),
    "exp2": (lambda x: mp.power(2, x), (-1100, 1100), (1, 1)),
    "expm1": (mp.expm1, (-800, 800), (2, 2)),
    "log": (mp.log, (0, np.inf), (1, 1)),
    "log1p": (mp.log1p, (-1, np.inf), (2, 2)),
    "log2": (lambda x: mp.log(x) / mp.log(2), (0, np.inf), (2, 2)),
    "log10": (mp.log10, (0, np.inf), (2, 2)),
    "logistic": (_logistic, (-800, 800), (2, 2)),
    "sin": (mp.sin, (-np.inf, np.inf), (2, 2)),
    "cos": (mp.cos, (-np.inf, np.inf), (2, 2)),
    "tan": (mp.tan, (-np.inf, np.inf), (2.25, 2.25)),
    "asin": (mp.asin, (-1, 1), (2, 2)),
    "acos": (mp.acos, (-1, 1), (2, 2)),
    "atan": (mp.atan, (-np.inf, np.inf), (2, 2)),
    "sinh": (mp.sinh, (-800, 800), (2, 2)),
    "cosh": (mp.cosh, (-800, 800), (2, 2)),
    "tanh": (mp.tanh, (-800, 800), (2, 2)),
    "asinh": (mp.asinh, (-np.inf, np.inf), (2, 2)),
    "acosh": (mp.acosh, (1, np.inf), (2.25, 2.25)),
    "atanh": (mp.atanh, (-1, 1), (2, 2)),
    "erf": (mp.erf, (-7, 7), (2, 2)),
    "erfc": (mp.erfc, (-7, 27), (4, 3)),
    "sqrt": (mp.sqrt, (0, np.inf), (0.5, 0.5)),
    "rsqrt": (lambda x: 1 / mp.sqrt(x), (0, np.inf), (1.5, 1.5)),
    "cbrt": (lambda x: mp.sign(x) * mp.cbrt(abs(x)), (-np.inf, np.inf), (1, 1)),
    "erfcx": (lambda x: mp.exp(x * x) * mp.erfc(x), (-27, 1e5), (1, 6)),
    "log_ndtr": (_log_ndtr, (-1e5, 37), (1, 6)),
    "ndtri": (_quantile, (0, 1), (1, 4)),
    "bessel_i0e": (lambda x: mp.exp(-abs(x)) * mp.besseli(0, x), (-1e5, 1e5), (1, 8)),
    "bessel_i1e": (lambda x: mp.exp(-abs(x)) * mp.besseli(1, x), (-1e5, 1e5), (1, 8)),
    "lgamma": (_lgamma, (0, np.inf), (1, 5)),
}
BINARY: dict[str, tuple[Function, tuple[float, float]]] = {
    "atan2": (mp.atan2, (2, 2)),
    "pow": (_power, (1, 2)),
    "hypot": (mp.hypot, (1, 1.5)),
}


def unary_samples(
    domain: tuple[float, float], dtype: np.dtype[Any], count: int, seed: int = 0
) -> np.ndarray[Any, Any]:
    """Numbers across all exponents, evenly spread ones, and neighbours of the ends, inside of the domain."""
    rng = np.random.default_rng(seed)
    info = np.finfo(dtype)
    integer = np.dtype(f"i{dtype.itemsize}")
    bounds = np.iinfo(integer)
    anywhere = rng.integers(bounds.min, bounds.max, count, dtype=integer, endpoint=True).view(dtype)
    with np.errstate(all="ignore"):
        parts = [
            anywhere,
            rng.uniform(-1.5, 1.5, count),
            rng.uniform(-12, 12, count),
            rng.uniform(max(domain[0], -1e5), min(domain[1], 1e5), count),
            np.exp(rng.normal(0, 4, count)),
            1 + rng.normal(0, 1e-3, count // 4),
            np.arange(1, 40) * (np.pi / 2),
            [info.tiny, info.smallest_subnormal, info.eps, -info.tiny, -info.smallest_subnormal, info.max],
        ]
        x = np.concatenate([np.asarray(p, dtype) for p in parts])
    x = x[np.isfinite(x)]
    return x[(x >= domain[0]) & (x <= domain[1]) & (x != 0)]


def binary_samples(name: str, dtype: np.dtype[Any], count: int, seed: int = 0) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    if name == "pow":
        x = np.concatenate([np.exp(rng.normal(0, 2, count)), 1 + rng.normal(0, 1e-3, count)]).astype(dtype)
        span = 86 if dtype == SINGLE else 700
        with np.errstate(all="ignore"):
            y = rng.uniform(-1, 1, x.size) * span / np.abs(np.log(x.astype(np.float64)))
        keep = np.isfinite(y)
        pairs = x[keep], y[keep].astype(dtype)
    else:
        size = np.exp(rng.normal(0, 5, (2, count))) * rng.choice([-1, 1], (2, count))
        near = rng.normal(0, 1, (2, count))
        pairs = tuple(np.concatenate([size, near], axis=1).astype(dtype))
    return list(pairs)


def errors(
    got: np.ndarray[Any, Any], want: list[Any], dtype: np.dtype[Any], floor: float = 0.0
) -> np.ndarray[Any, Any]:
    """|got - want| in units of the last place of `want`; 0 for an infinite result of what overflows."""
    info = np.finfo(dtype)
    lowest = int(info.minexp) - int(info.nmant)
    overflow = mp.mpf(float(info.max)) * (1 + mp.mpf(2) ** (-info.nmant - 2))
    out = np.zeros(len(want))
    for k, (g, w) in enumerate(zip(got.tolist(), want, strict=True)):
        if abs(w) > overflow:
            out[k] = 0 if np.isinf(g) and (g > 0) == (w > 0) else np.inf
        elif not np.isfinite(g):
            out[k] = np.inf
        else:
            exponent = max(int(mp.frexp(max(abs(w), mp.mpf(floor)))[1]) - 1 - int(info.nmant), lowest)
            out[k] = float(mp.ldexp(abs(mp.mpf(g) - w), -exponent))
    return out


def references(function: Function, *xs: np.ndarray[Any, Any]) -> list[Any]:
    with mp.workprec(140):
        rows = zip(*[x.astype(np.float64).tolist() for x in xs], strict=True)
        # Huge arguments of periodic functions are reduced by mpmath itself, with more digits.
        return [_real(function)(*[mp.mpf(v) for v in row]) for row in rows]


def unary_error(name: str, dtype: np.dtype[Any], count: int, seed: int = 0) -> tuple[float, float]:
    """The largest error found and where."""
    function, domain, _ = UNARY[name]
    x = unary_samples(domain, dtype, count, seed)
    found = errors(run(name, x), references(function, x), dtype)
    k = int(np.argmax(found))
    return float(found[k]), float(x[k])


def binary_error(name: str, dtype: np.dtype[Any], count: int, seed: int = 0) -> tuple[float, Any]:
    xs = binary_samples(name, dtype, count, seed)
    found = errors(run(name, *xs), references(BINARY[name][0], *xs), dtype)
    k = int(np.argmax(found))
    return float(found[k]), tuple(float(x[k]) for x in xs)
