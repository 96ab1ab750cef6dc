"""Initial values of weights: functions that make an initializer `init(key, shape, dtype)`.

Sources: LeCun et al. 1998 (`lecun_*`), Glorot & Bengio 2010 (`glorot_*`), He et al. 2015 (`he_*`), Saxe et
al. 2014 (`orthogonal`), Xiao et al. 2018 (`delta_orthogonal`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from ...base.errors import ShapeError
from ...core import dtypes
from ...core.array import Array, as_array, scalar
from ...ops.arithmetic import mul_p
from ...ops.complex import complex_p, neg_p
from ...ops.convert import convert_element_type
from ...ops.joining import pad
from ...ops.structural import broadcast_to, canonical_shape, full, moveaxis, reshape
from ...ops.transcendental import cos_p, log1p_p, sin_p, sqrt_p
from ..random import keys as random_keys
from ..random import multivariate
from ..random import uniform as distributions

__all__ = [
    "Initializer",
    "constant",
    "delta_orthogonal",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "kaiming_normal",
    "kaiming_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "ones",
    "orthogonal",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]

Axes = int | Sequence[int]


class Initializer(Protocol):
    """Makes an array of initial values from a random key, a shape and a dtype."""

    def __call__(self, key: Any, shape: Any, dtype: Any = None) -> Array: ...


def _dtype(given: Any, default: Any) -> np.dtype[Any]:
    chosen = default if given is None else given
    return dtypes.default_float_dtype() if chosen is None else dtypes.check_user_dtype(chosen, "initializer")


def zeros(key: Any, shape: Any, dtype: Any = None) -> Array:
    """All zeros; the key is not used."""
    return full(canonical_shape(shape), 0, _dtype(dtype, None))


def ones(key: Any, shape: Any, dtype: Any = None) -> Array:
    """All ones; the key is not used."""
    return full(canonical_shape(shape), 1, _dtype(dtype, None))


def constant(value: Any, dtype: Any = None) -> Initializer:
    """An initializer of arrays filled with a value, or with an array that broadcasts to the shape."""
    default = dtype

    def init(key: Any, shape: Any, dtype: Any = None) -> Array:
        array = convert_element_type(as_array(value, name="constant"), _dtype(dtype, default))
        return broadcast_to(array, canonical_shape(shape))

    return init


def _scaled(samples: Any, factor: Any) -> Any:
    return mul_p.bind(samples, convert_element_type(as_array(factor), samples.aval.dtype))


def uniform(scale: Any = 0.01, dtype: Any = None) -> Initializer:
    """An initializer of numbers uniform in [0, scale)."""
    default = dtype

    def init(key: Any, shape: Any, dtype: Any = None) -> Array:
        return _scaled(distributions.uniform(key, shape, _dtype(dtype, default)), scale)

    return init


def normal(stddev: Any = 0.01, dtype: Any = None) -> Initializer:
    """An initializer of normal numbers of mean 0 and the given standard deviation."""
    default = dtype

    def init(key: Any, shape: Any, dtype: Any = None) -> Array:
        return _scaled(distributions.normal(key, shape, _dtype(dtype, default)), stddev)

    return init


def truncated_normal(
    stddev: Any = 0.01, dtype: Any = None, lower: Any = -2.0, upper: Any = 2.0
) -> Initializer:
    """An initializer of `stddev` times normal numbers that were truncated to [lower, upper]."""
    default = dtype

    def init(key: Any, shape: Any, dtype: Any = None) -> Array:
        samples = distributions.truncated_normal(key, lower, upper, shape, _dtype(dtype, default))
        return _scaled(samples, stddev)

    return init


# Variance scaling ---------------------------------------------------------------------------------


def _product(shape: tuple[int, ...], axes: Axes) -> int:
    if isinstance(axes, (int, np.integer)):
        return shape[axes]
    return math.prod(shape[a] for a in axes)


def _fans(shape: tuple[int, ...], in_axis: Axes, out_axis: Axes, batch_axis: Axes) -> tuple[float, float]:
    """The numbers of inputs and outputs that one output and one input is connected with."""
    if len(shape) <= 1:
        raise ShapeError(
            "the numbers of a weight's inputs and outputs need at least two dimensions, "
            f"in_axis and out_axis; got shape {shape}"
        )
    inputs, outputs = _product(shape, in_axis), _product(shape, out_axis)
    batch = _product(shape, batch_axis)
    field = math.prod(shape) / inputs / outputs / batch
    return inputs * field, outputs * field


def _complex_in_disc(
    key: Any, shape: tuple[int, ...], real: np.dtype[Any], radius: Callable[..., Any]
) -> Any:
    """Complex numbers of a uniformly distributed angle."""
    first, second = random_keys.split_key(random_keys.check_key("initializer", key)[0], 2)
    length = radius(first)
    angle = mul_p.bind(scalar(2 * math.pi, real), distributions.unit_interval(second, shape, real))
    return complex_p.bind(mul_p.bind(length, cos_p.bind(angle)), mul_p.bind(length, sin_p.bind(angle)))


def _complex_uniform(key: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Points uniform in the unit disc."""
    real = dtypes.to_real_dtype(dtype)
    return _complex_in_disc(
        key, shape, real, lambda k: sqrt_p.bind(distributions.unit_interval(k, shape, real))
    )


def _complex_truncated_normal(key: Any, upper: float, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Normal points of variance 1, truncated to the disc of radius `upper`."""
    real = dtypes.to_real_dtype(dtype)

    def radius(k: Any) -> Any:
        share = scalar(-math.expm1(-(upper**2)), real)
        u = mul_p.bind(share, distributions.unit_interval(k, shape, real))
        return sqrt_p.bind(neg_p.bind(log1p_p.bind(neg_p.bind(u))))

    return _complex_in_disc(key, shape, real, radius)


def variance_scaling(
    scale: Any,
    mode: str,
    distribution: str,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    dtype: Any = None,
) -> Initializer:
    """An initializer of numbers of variance scale / n.

    Args:
        scale: a positive number.
        mode: what n is: 'fan_in' (inputs), 'fan_out' (outputs), 'fan_avg' or 'fan_geo_avg' (their arithmetic
            or geometric mean).
        distribution: 'truncated_normal', 'normal' or 'uniform'.
        in_axis, out_axis, batch_axis: the dimensions of inputs, outputs and independent weights; all others
            are a receptive field.
        dtype: the initializer's default dtype.

    Raises:
        ValueError: an unknown mode or distribution, when the initializer is called.
    """
    default = dtype

    def init(key: Any, shape: Any, dtype: Any = None) -> Array:
        wanted = _dtype(dtype, default)
        size = canonical_shape(shape)
        fan_in, fan_out = _fans(size, in_axis, out_axis, batch_axis)
        means = {
            "fan_in": fan_in,
            "fan_out": fan_out,
            "fan_avg": (fan_in + fan_out) / 2,
            "fan_geo_avg": math.sqrt(fan_in * fan_out),
        }
        if mode not in means:
            raise ValueError(
                f"invalid mode {mode!r} for variance scaling; expected one of {', '.join(means)}"
            )
        variance = scale / means[mode]
        complex_valued = dtypes.is_complex(wanted)
        if distribution == "normal":
            return _scaled(distributions.normal(key, size, wanted), math.sqrt(variance))
        if distribution == "uniform":
            if complex_valued:
                return _scaled(_complex_uniform(key, size, wanted), math.sqrt(2 * variance))
            samples = distributions.uniform(key, size, wanted, -1.0, 1.0)
            return _scaled(samples, math.sqrt(3 * variance))
        if distribution == "truncated_normal":
            # The divisors are the standard deviations after truncation at two of them.
            if complex_valued:
                points = _complex_truncated_normal(key, 2.0, size, wanted)
                return _scaled(points, math.sqrt(variance) / 0.95311164380491208)
            samples = distributions.truncated_normal(key, -2.0, 2.0, size, wanted)
            return _scaled(samples, math.sqrt(variance) / 0.87962566103423978)
        raise ValueError(
            f"invalid distribution {distribution!r} for variance scaling; "
            "expected 'truncated_normal', 'normal' or 'uniform'"
        )

    return init


def _variant(name: str, scale: float, mode: str, distribution: str) -> Callable[..., Initializer]:
    def make(
        in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
    ) -> Initializer:
        return variance_scaling(scale, mode, distribution, in_axis, out_axis, batch_axis, dtype)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"`variance_scaling({scale}, {mode!r}, {distribution!r})`."
    return make


glorot_uniform = _variant("glorot_uniform", 1.0, "fan_avg", "uniform")
glorot_normal = _variant("glorot_normal", 1.0, "fan_avg", "truncated_normal")
lecun_uniform = _variant("lecun_uniform", 1.0, "fan_in", "uniform")
lecun_normal = _variant("lecun_normal", 1.0, "fan_in", "truncated_normal")
he_uniform = _variant("he_uniform", 2.0, "fan_in", "uniform")
he_normal = _variant("he_normal", 2.0, "fan_in", "truncated_normal")
xavier_uniform = glorot_uniform
xavier_normal = glorot_normal
kaiming_uniform = he_uniform
kaiming_normal = he_normal

# Orthogonal matrices ------------------------------------------------------------------------------


def orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """An initializer of `scale` times matrices with orthonormal columns, uniformly distributed.

    Args:
        scale: a factor.
        column_axis: the dimension of the columns; all others together are the rows.
        dtype: the initializer's default dtype.
    """
    default = dtype

    def init(key: Any, shape: Any, dtype: Any = None) -> Array:
        wanted = _dtype(dtype, default)
        size = canonical_shape(shape)
        if len(size) < 2:
            raise ShapeError(f"the orthogonal initializer requires at least two dimensions, got shape {size}")
        place = column_axis % len(size)
        columns = size[place]
        rows = math.prod(size) // columns if columns else 0
        matrix = multivariate.orthogonal(key, columns, (), wanted, rows)
        rest = tuple(d for i, d in enumerate(size) if i != place)
        return _scaled(moveaxis(reshape(matrix, (columns, *rest)), 0, place), scale)

    return init


def delta_orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """An initializer of convolution kernels that are orthogonal at their centre and zero elsewhere.

    The shape has 3 to 5 dimensions, the last two of them inputs and outputs, of which there are no fewer.
    """
    default = dtype

    def init(key: Any, shape: Any, dtype: Any = None) -> Array:
        size = canonical_shape(shape)
        if len(size) not in (3, 4, 5):
            raise ShapeError(f"the delta-orthogonal initializer requires 3 to 5 dimensions, got shape {size}")
        if size[-1] < size[-2]:
            raise ShapeError(
                f"the delta-orthogonal initializer requires shape[-1] >= shape[-2], got shape {size}"
            )
        wanted = _dtype(dtype, default)
        matrix = orthogonal(scale, column_axis, wanted)(key, size[-2:])
        window = size[:-2]
        centred = reshape(matrix, (*(1 for _ in window), *size[-2:]))
        config = [((k - 1) // 2, k - 1 - (k - 1) // 2, 0) for k in window]
        return pad(centred, scalar(0, wanted), (*config, (0, 0, 0), (0, 0, 0)))

    return init
