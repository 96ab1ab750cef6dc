"""Continuous distributions that are transforms of uniform and normal numbers.

Formulas: L. Devroye, "Non-Uniform Random Variate Generation", 1986; for the inverse Gaussian, Michael,
Schucany & Haas, The American Statistician 30, 1976.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...base.errors import ShapeError
from ...core import dtypes
from ...core.array import Array, as_array, scalar
from ...ops import arithmetic as ar
from ...ops import transcendental as tr
from ...ops.arithmetic import abs_p, add_p, div_p, log_p, mul_p, pow_p, square_p, sub_p
from ...ops.compare import ge_p, le_p, lt_p, select_n_p
from ...ops.complex import neg_p
from ...ops.convert import convert_element_type
from ...ops.joining import slice_p
from ...ops.structural import canonical_shape, reduce_sum_p, reshape
from .gammas import gamma_samples
from .keys import ArgumentError, check_key, float_dtype, split_key, whole_number
from .uniform import (
    between,
    broadcast_parameter,
    constant,
    parameter,
    parameter_dtype,
    sample_shape,
    standard_normal,
    unit_interval,
)

__all__ = [
    "ball",
    "cauchy",
    "double_sided_maxwell",
    "exponential",
    "generalized_normal",
    "gumbel",
    "laplace",
    "logistic",
    "lognormal",
    "maxwell",
    "pareto",
    "rademacher",
    "rayleigh",
    "triangular",
    "wald",
    "weibull_min",
]

DType = np.dtype[Any]


def _start(name: str, key: Any, shape: Any, dtype: Any) -> tuple[Any, tuple[int, ...], DType]:
    return check_key(name, key)[0], canonical_shape(shape), float_dtype(name, dtype)


def _tiny(dtype: DType) -> float:
    return float(dtypes.finfo(dtype).tiny)


def _epsilon(dtype: DType) -> float:
    return float(dtypes.finfo(dtype).eps)


def _above_minus_one(dtype: DType) -> Any:
    return constant(float(np.nextafter(np.array(-1, dtype), np.array(0, dtype))), dtype)


# Without parameters -------------------------------------------------------------------------------


def exponential_samples(key: Any, shape: tuple[int, ...], dtype: DType) -> Any:
    """-log(1 - u)."""
    return neg_p.bind(tr.log1p_p.bind(neg_p.bind(unit_interval(key, shape, dtype))))


def exponential(key: Any, shape: Any = (), dtype: Any = None) -> Array:
    """Numbers of density exp(-x) for x > 0.

    Args:
        key: a random key.
        shape: the result's shape.
        dtype: a float dtype (default: the default float).
    """
    return exponential_samples(*_start("exponential", key, shape, dtype))


def halves(key: Any, shape: tuple[int, ...], dtype: DType) -> tuple[Any, Any]:
    """Two independent arrays of uniform numbers, the second for the bits below those of the first."""
    both = unit_interval(key, (2, *shape), dtype)
    ends = [(0,) * len(shape), shape]
    parts = [
        slice_p.bind(both, start_indices=(i, *ends[0]), limit_indices=(i + 1, *ends[1]), strides=None)
        for i in (0, 1)
    ]
    return reshape(parts[0], shape), reshape(parts[1], shape)


def check_mode(name: str, mode: Any) -> bool:
    """Whether the mode asks for high precision.

    Raises:
        ValueError: it is neither 'low' nor 'high' (None means 'low').
    """
    if mode not in (None, "low", "high"):
        raise ArgumentError(f"{name}: mode must be 'high' or 'low', got {mode!r}")
    return bool(mode == "high")


def gumbel_samples(key: Any, shape: tuple[int, ...], dtype: DType, high: bool = False) -> Any:
    """-log(-log u)."""
    if not high:
        u = between(key, shape, dtype, constant(_tiny(dtype), dtype), constant(1.0, dtype))
        return neg_p.bind(log_p.bind(neg_p.bind(log_p.bind(u))))
    coarse, fine = halves(key, shape, dtype)
    refined = add_p.bind(
        add_p.bind(coarse, mul_p.bind(scalar(_epsilon(dtype), dtype), fine)), scalar(_tiny(dtype), dtype)
    )
    u = select_n_p.bind(ge_p.bind(coarse, scalar(0.5, dtype)), refined, coarse)
    return neg_p.bind(log_p.bind(neg_p.bind(tr.log1p_p.bind(neg_p.bind(u)))))


def gumbel(key: Any, shape: Any = (), dtype: Any = None, mode: Any = None) -> Array:
    """Numbers of density exp(-(x + exp(-x))).

    Args:
        key: a random key.
        shape: the result's shape.
        dtype: a float dtype (default: the default float).
        mode: 'low' or 'high'; 'high' draws twice the bits, for accurate tails.
    """
    high = check_mode("gumbel", mode)
    return gumbel_samples(*_start("gumbel", key, shape, dtype), high)


def laplace(key: Any, shape: Any = (), dtype: Any = None) -> Array:
    """Numbers of density exp(-|x|) / 2. Arguments as for `exponential`."""
    single, size, wanted = _start("laplace", key, shape, dtype)
    u = between(single, size, wanted, _above_minus_one(wanted), constant(1.0, wanted))
    return mul_p.bind(ar.sign_p.bind(u), tr.log1p_p.bind(neg_p.bind(abs_p.bind(u))))


def logistic(key: Any, shape: Any = (), dtype: Any = None) -> Array:
    """Numbers of density exp(-x) / (1 + exp(-x))^2. Arguments as for `exponential`."""
    single, size, wanted = _start("logistic", key, shape, dtype)
    u = between(single, size, wanted, constant(_tiny(wanted), wanted), constant(1.0, wanted))
    return sub_p.bind(log_p.bind(u), tr.log1p_p.bind(neg_p.bind(u)))


def cauchy(key: Any, shape: Any = (), dtype: Any = None) -> Array:
    """Numbers of density 1 / (pi (1 + x^2)). Arguments as for `exponential`."""
    single, size, wanted = _start("cauchy", key, shape, dtype)
    u = between(single, size, wanted, constant(_epsilon(wanted), wanted), constant(1.0, wanted))
    return tr.tan_p.bind(mul_p.bind(scalar(math.pi, wanted), sub_p.bind(u, scalar(0.5, wanted))))


def maxwell_samples(key: Any, shape: tuple[int, ...], dtype: DType) -> Any:
    """The length of a vector of three normal numbers."""
    squares = square_p.bind(standard_normal(key, (*shape, 3), dtype))
    return tr.sqrt_p.bind(reduce_sum_p.bind(squares, axes=(len(shape),)))


def maxwell(key: Any, shape: Any = (), dtype: Any = None) -> Array:
    """Numbers of density sqrt(2/pi) x^2 exp(-x^2/2) for x > 0. Arguments as for `exponential`."""
    return maxwell_samples(*_start("maxwell", key, shape, dtype))


def signs(key: Any, shape: tuple[int, ...], dtype: DType) -> Any:
    """-1 or 1, with equal probability."""
    float_kind = dtypes.default_float_dtype()
    positive = lt_p.bind(unit_interval(key, shape, float_kind), scalar(0.5, float_kind))
    return sub_p.bind(mul_p.bind(scalar(2, dtype), convert_element_type(positive, dtype)), scalar(1, dtype))


def rademacher(key: Any, shape: Any = (), dtype: Any = None) -> Array:
    """-1 or 1, with equal probability.

    Args:
        key: a random key.
        shape: the result's shape.
        dtype: any dtype of numbers (default: the default integer).
    """
    single, _ = check_key("rademacher", key)
    wanted = dtypes.default_int_dtype() if dtype is None else dtypes.check_user_dtype(dtype, "rademacher")
    return signs(single, canonical_shape(shape), wanted)


# With parameters ----------------------------------------------------------------------------------


def double_sided_maxwell(key: Any, loc: Any, scale: Any, shape: Any = (), dtype: Any = None) -> Array:
    """loc + scale s m, with m of the Maxwell distribution and a random sign s.

    Args:
        key: a random key.
        loc, scale: place and width; they broadcast against `shape` plus their own dimensions.
        shape: the shape in front of the parameters' shape.
        dtype: a float dtype (default: the default float).
    """
    single, size, wanted = _start("double_sided_maxwell", key, shape, dtype)
    place, width = parameter("loc", loc, wanted), parameter("scale", scale, wanted)
    full = (*size, *sample_shape("double_sided_maxwell", None, place, width))
    first, second = split_key(single, 2)
    signed = mul_p.bind(signs(second, full, wanted), maxwell_samples(first, full, wanted))
    return add_p.bind(mul_p.bind(signed, width), place)


def lognormal(key: Any, sigma: Any = 1.0, shape: Any = None, dtype: Any = None) -> Array:
    """exp(sigma z) for z normal.

    Args:
        key: a random key.
        sigma: the standard deviation of the logarithm.
        shape: the result's shape (default: sigma's).
        dtype: a float dtype (default: sigma's).
    """
    single, _ = check_key("lognormal", key)
    wanted = parameter_dtype("lognormal", dtype, sigma)
    deviation = parameter("lognormal", sigma, wanted)
    size = sample_shape("lognormal", shape, deviation)
    return tr.exp_p.bind(mul_p.bind(standard_normal(single, size, wanted), deviation))


def pareto(key: Any, b: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Numbers of density b / x^(b+1) for x > 1.

    Args:
        key: a random key.
        b: the exponent, positive.
        shape: the result's shape (default: b's).
        dtype: a float dtype (default: b's).
    """
    single, _ = check_key("pareto", key)
    wanted = parameter_dtype("pareto", dtype, b)
    exponent = parameter("pareto", b, wanted)
    size = sample_shape("pareto", shape, exponent)
    return tr.exp_p.bind(div_p.bind(exponential_samples(single, size, wanted), exponent))


def weibull_min(key: Any, scale: Any, concentration: Any, shape: Any = (), dtype: Any = None) -> Array:
    """scale (-log(1 - u))^(1/concentration): Weibull's distribution.

    Args:
        key: a random key.
        scale, concentration: parameters, positive; the result has the shape to which they and the samples
            broadcast.
        shape: the samples' shape.
        dtype: a float dtype (default: the default float).
    """
    single, size, wanted = _start("weibull_min", key, shape, dtype)
    width, power = parameter("scale", scale, wanted), parameter("concentration", concentration, wanted)
    samples = exponential_samples(single, size, wanted)
    return mul_p.bind(pow_p.bind(samples, div_p.bind(scalar(1.0, wanted), power)), width)


def rayleigh(key: Any, scale: Any, shape: Any = None, dtype: Any = None) -> Array:
    """scale sqrt(-2 log u).

    Args:
        key: a random key.
        scale: the width.
        shape: the result's shape (default: scale's).
        dtype: a float dtype (default: scale's).
    """
    single, _ = check_key("rayleigh", key)
    wanted = parameter_dtype("rayleigh", dtype, scale)
    width = parameter("rayleigh", scale, wanted)
    size = sample_shape("rayleigh", shape, width)
    logs = log_p.bind(unit_interval(single, size, wanted))
    return mul_p.bind(width, tr.sqrt_p.bind(mul_p.bind(logs, scalar(-2.0, wanted))))


def wald(key: Any, mean: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Numbers of the inverse Gaussian distribution with the given mean and shape parameter 1.

    Args:
        key: a random key.
        mean: the mean, positive.
        shape: the result's shape (default: mean's).
        dtype: a float dtype (default: mean's).
    """
    single, _ = check_key("wald", key)
    wanted = parameter_dtype("wald", dtype, mean)
    mu = parameter("wald", mean, wanted)
    size = sample_shape("wald", shape, mu)
    first, second = split_key(single, 2)
    y = square_p.bind(standard_normal(first, size, wanted))
    u = unit_interval(second, size, wanted)
    two, mu2 = scalar(2.0, wanted), square_p.bind(mu)
    root = tr.sqrt_p.bind(
        add_p.bind(mul_p.bind(mul_p.bind(scalar(4.0, wanted), mu), y), mul_p.bind(mu2, square_p.bind(y)))
    )
    x = sub_p.bind(add_p.bind(mu, div_p.bind(mul_p.bind(mu2, y), two)), mul_p.bind(div_p.bind(mu, two), root))
    smaller = le_p.bind(u, div_p.bind(mu, add_p.bind(mu, x)))
    return select_n_p.bind(smaller, div_p.bind(mu2, x), x)


def triangular(key: Any, left: Any, mode: Any, right: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Numbers whose density rises linearly from `left` to `mode` and falls linearly to `right`.

    Args:
        key: a random key.
        left, mode, right: the corners of the density.
        shape: the result's shape (default: that of the broadcast parameters).
        dtype: a float dtype (default: that of the parameters).
    """
    single, _ = check_key("triangular", key)
    wanted = parameter_dtype("triangular", dtype, left, mode, right)
    low, top, high = (parameter("triangular", x, wanted) for x in (left, mode, right))
    size = sample_shape("triangular", shape, low, top, high)
    u = unit_interval(single, size, wanted)
    width = sub_p.bind(high, low)
    rising = tr.sqrt_p.bind(mul_p.bind(mul_p.bind(u, width), sub_p.bind(top, low)))
    rest = sub_p.bind(scalar(1.0, wanted), u)
    falling = tr.sqrt_p.bind(mul_p.bind(mul_p.bind(rest, width), sub_p.bind(high, top)))
    before = lt_p.bind(u, div_p.bind(sub_p.bind(top, low), width))
    return select_n_p.bind(before, sub_p.bind(high, falling), add_p.bind(low, rising))


def generalized_normal_samples(key: Any, p: Any, shape: tuple[int, ...], dtype: DType) -> Any:
    """s g^(1/p) for a random sign s and g of the gamma distribution with parameter 1/p."""
    first, second = split_key(key, 2)
    inverse = div_p.bind(scalar(1.0, dtype), p)
    size = gamma_samples(first, broadcast_parameter(inverse, shape), log_space=False)
    return mul_p.bind(signs(second, shape, dtype), pow_p.bind(size, inverse))


def generalized_normal(key: Any, p: Any, shape: Any = (), dtype: Any = None) -> Array:
    """Numbers of density proportional to exp(-|x|^p).

    Args:
        key: a random key.
        p: the exponent, positive.
        shape: the result's shape.
        dtype: a float dtype (default: the default float).
    """
    single, size, wanted = _start("generalized_normal", key, shape, dtype)
    return generalized_normal_samples(single, parameter("p", p, wanted), size, wanted)


def ball(key: Any, d: int, p: Any = 2, shape: Any = (), dtype: Any = None) -> Array:
    """Points distributed uniformly in the unit ball of the p-norm in d dimensions.

    Source: Barthe, Guédon, Mendelson & Naor, Annals of Probability 33, 2005.

    Args:
        key: a random key.
        d: the number of dimensions.
        p: the norm's exponent, positive.
        shape: the shape in front of the points.
        dtype: a float dtype (default: the default float).

    Returns:
        Points of shape (*shape, d).
    """
    single, size, wanted = _start("ball", key, shape, dtype)
    dimension = whole_number("ball: d", d)
    power = parameter("p", p, wanted)
    if power.aval.shape:
        raise ShapeError(f"ball: p must be a number, got an array of shape {as_array(p).aval.shape}")
    first, second = split_key(single, 2)
    points = generalized_normal_samples(first, power, (*size, dimension), wanted)
    radii = exponential_samples(second, size, wanted)
    total = reduce_sum_p.bind(pow_p.bind(abs_p.bind(points), power), axes=(len(size),))
    length = pow_p.bind(add_p.bind(total, radii), div_p.bind(scalar(1.0, wanted), power))
    return div_p.bind(points, reshape(length, (*size, 1)))
