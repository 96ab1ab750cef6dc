"""The gamma distribution and those derived from it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...base.errors import ShapeError
from ...core.array import Array, as_array, scalar
from ...ops.arithmetic import add_p, div_p, max_p, mul_p, sub_p
from ...ops.convert import stop_gradient_array
from ...ops.reduction import reduce_max_p
from ...ops.sampling import random_gamma
from ...ops.structural import canonical_shape, reduce_sum_p, reshape
from ...ops.transcendental import exp_p, sqrt_p
from .keys import check_key, split_key
from .uniform import broadcast_parameter, parameter, parameter_dtype, sample_shape, standard_normal

__all__ = ["beta", "chisquare", "dirichlet", "f", "gamma", "loggamma", "t"]


def gamma_samples(key: Any, a: Any, log_space: bool) -> Any:
    """Samples (or their logarithms) for an array of parameters of the samples' shape and dtype."""
    return random_gamma(key, a, log_space)


def _start(
    name: str, key: Any, shape: Any, dtype: Any, *parameters: Any
) -> tuple[Any, list[Any], np.dtype[Any]]:
    """The key, the parameters in the samples' shape and dtype, and that dtype."""
    single, _ = check_key(name, key)
    wanted = parameter_dtype(name, dtype, *parameters)
    arrays = [parameter(name, p, wanted) for p in parameters]
    size = sample_shape(name, shape, *arrays)
    return single, [broadcast_parameter(a, size) for a in arrays], wanted


def gamma(key: Any, a: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Numbers of density x^(a-1) exp(-x) / Gamma(a), with a derivative by `a`.

    Args:
        key: a random key.
        a: the shape parameter, positive.
        shape: the result's shape (default: a's).
        dtype: a float dtype (default: a's).
    """
    single, (alpha,), _ = _start("gamma", key, shape, dtype, a)
    return gamma_samples(single, alpha, log_space=False)


def loggamma(key: Any, a: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Logarithms of numbers of the gamma distribution, accurate for small `a`. Arguments as for `gamma`."""
    single, (alpha,), _ = _start("loggamma", key, shape, dtype, a)
    return gamma_samples(single, alpha, log_space=True)


def _chisquare(key: Any, df: Any, dtype: np.dtype[Any]) -> Any:
    logs = gamma_samples(key, div_p.bind(df, scalar(2.0, dtype)), log_space=True)
    return mul_p.bind(exp_p.bind(logs), scalar(2.0, dtype))


def chisquare(key: Any, df: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Sums of the squares of `df` normal numbers.

    Args:
        key: a random key.
        df: degrees of freedom, positive.
        shape: the result's shape (default: df's).
        dtype: a float dtype (default: df's).
    """
    single, (freedom,), wanted = _start("chisquare", key, shape, dtype, df)
    return _chisquare(single, freedom, wanted)


def f(key: Any, dfnum: Any, dfden: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Quotients of two chi-square numbers, each divided by its degrees of freedom.

    Args:
        key: a random key.
        dfnum, dfden: degrees of freedom of numerator and denominator, positive.
        shape: the result's shape (default: that of the broadcast parameters).
        dtype: a float dtype (default: that of the parameters).
    """
    single, (numerator, denominator), wanted = _start("f", key, shape, dtype, dfnum, dfden)
    first, second = split_key(single, 2)
    above = div_p.bind(_chisquare(second, numerator, wanted), numerator)
    return div_p.bind(above, div_p.bind(_chisquare(first, denominator, wanted), denominator))


def t(key: Any, df: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Student's t distribution.

    Args:
        key: a random key.
        df: degrees of freedom, positive.
        shape: the result's shape (default: df's).
        dtype: a float dtype (default: df's).
    """
    single, (freedom,), wanted = _start("t", key, shape, dtype, df)
    first, second = split_key(single, 2)
    z = standard_normal(first, freedom.aval.shape, wanted)
    half = div_p.bind(freedom, scalar(2.0, wanted))
    return mul_p.bind(z, sqrt_p.bind(div_p.bind(half, gamma_samples(second, half, log_space=False))))


def beta(key: Any, a: Any, b: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Numbers of density proportional to x^(a-1) (1-x)^(b-1) on (0, 1).

    Args:
        key: a random key.
        a, b: the parameters, positive.
        shape: the result's shape (default: that of the broadcast parameters).
        dtype: a float dtype (default: that of the parameters).
    """
    single, (alpha, beta_), _ = _start("beta", key, shape, dtype, a, b)
    first, second = split_key(single, 2)
    log_x = gamma_samples(first, alpha, log_space=True)
    log_y = gamma_samples(second, beta_, log_space=True)
    # x / (x + y), scaled by the larger so that nothing underflows.
    largest = max_p.bind(log_x, log_y)
    x, y = exp_p.bind(sub_p.bind(log_x, largest)), exp_p.bind(sub_p.bind(log_y, largest))
    return div_p.bind(x, add_p.bind(x, y))


def dirichlet(key: Any, alpha: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Probability vectors of density proportional to the product of p_i^(alpha_i - 1).

    Args:
        key: a random key.
        alpha: parameters, positive, of shape (..., n).
        shape: the result's shape without its last dimension (default: alpha's).
        dtype: a float dtype (default: alpha's).

    Returns:
        Vectors of shape (*shape, n).
    """
    single, _ = check_key("dirichlet", key)
    wanted = parameter_dtype("dirichlet", dtype, alpha)
    array = parameter("dirichlet", alpha, wanted)
    ndim = array.aval.ndim
    if ndim < 1:
        raise ShapeError(
            f"dirichlet requires alpha of at least one dimension, got shape {as_array(alpha).aval.shape}"
        )
    front = array.aval.shape[:-1] if shape is None else canonical_shape(shape)
    size = sample_shape("dirichlet", (*front, array.aval.shape[-1]), array)
    logs = gamma_samples(single, broadcast_parameter(array, size), log_space=True)
    last, kept = (len(size) - 1,), (*size[:-1], 1)
    largest = stop_gradient_array(reshape(reduce_max_p.bind(logs, axes=last), kept))
    weights = exp_p.bind(sub_p.bind(logs, largest))
    return div_p.bind(weights, reshape(reduce_sum_p.bind(weights, axes=last), kept))
