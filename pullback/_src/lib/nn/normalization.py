"""Functions along an axis: normalization and encoding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core import dtypes
from ...core.array import Array, as_array, scalar
from ...core.axis_env import axis_size
from ...ops.arithmetic import add_p, log_p, max_p, mul_p, square_p, sub_p
from ...ops.collective import axis_index
from ...ops.compare import eq_p
from ...ops.convert import convert_element_type
from ...ops.families import broadcast_shapes
from ...ops.iota import broadcasted_iota
from ...ops.structural import broadcast_to, canonical_axis, expand_dims
from ...ops.transcendental import rsqrt_p
from ..numpy import averages, reductions
from ..numpy.promotion import promote_inexact
from ..scipy.exponential_sums import log_softmax, logsumexp, softmax

__all__ = ["log_softmax", "logmeanexp", "logsumexp", "one_hot", "softmax", "standardize"]


def logmeanexp(x: Any, axis: Any = None, where: Any = None, keepdims: bool = False) -> Array:
    """log(mean(exp(x))) without overflow.

    Args:
        x: an array.
        axis: the dimensions to average over (default: all).
        where: a boolean mask of the elements that count.
        keepdims: keep these dimensions with size 1.
    """
    total = logsumexp(x, axis=axis, where=where, keepdims=keepdims)
    array = as_array(x)
    if where is None:
        axes = reductions.reduction_axes("logmeanexp", axis, array.aval)
        count = math.prod(array.aval.shape[i] for i in axes)
        return total - (math.log(count) if count else -math.inf)
    mask = as_array(where)
    ones = broadcast_to(mask, broadcast_shapes("logmeanexp", mask.aval.shape, array.aval.shape))
    counts = reductions.sum(ones, axis=axis, keepdims=keepdims)
    return sub_p.bind(total, log_p.bind(convert_element_type(counts, total.aval.dtype)))


def standardize(
    x: Any,
    axis: Any = -1,
    mean: Any = None,
    variance: Any = None,
    epsilon: Any = 1e-05,
    where: Any = None,
    *,
    algorithm: str = "fast",
) -> Array:
    """(x - mean) / sqrt(variance + epsilon).

    Args:
        x: an array.
        axis: the dimensions over which mean and variance are taken.
        mean, variance: instead of those of x.
        epsilon: a small number against division by zero.
        where: a boolean mask of the elements that count for mean and variance.
        algorithm: 'fast' (mean of squares less square of the mean) or 'two_pass' (accurate where the mean is
            large beside the deviations).
    """
    (x,) = promote_inexact("standardize", x)
    if algorithm not in ("fast", "two_pass"):
        raise ValueError(f"standardize: algorithm must be 'fast' or 'two_pass', got {algorithm!r}")
    if mean is None:
        mean = averages.mean(x, axis, keepdims=True, where=where)
    mean = promote_inexact("standardize", mean)[0]
    if variance is None:
        if algorithm == "fast":
            squares = averages.mean(square_p.bind(x), axis, keepdims=True, where=where)
            variance = sub_p.bind(squares, square_p.bind(mean))
            variance = max_p.bind(variance, scalar(0.0, x.aval.dtype))
        else:
            deviations = square_p.bind(sub_p.bind(x, mean))
            variance = averages.mean(deviations, axis, keepdims=True, where=where)
    x, mean, variance, small = promote_inexact("standardize", x, mean, variance, epsilon)
    return mul_p.bind(sub_p.bind(x, mean), rsqrt_p.bind(add_p.bind(variance, small)))


def one_hot(x: Any, num_classes: Any, *, dtype: Any = None, axis: Any = -1) -> Array:
    """1 at the index x of a new dimension, else 0; all 0 where x is out of range.

    Args:
        x: integers.
        num_classes: the size of the new dimension.
        dtype: the result's dtype (default: the default float).
        axis: the place of the new dimension, or the name of a mapped axis of that size, over which the
            result is then spread.
    """
    indices = as_array(x, name="one_hot")
    size = int(num_classes)
    wanted = dtypes.default_float_dtype() if dtype is None else dtypes.check_user_dtype(dtype, "one_hot")
    if not isinstance(axis, (int, np.integer)):
        if axis_size(axis) != size:
            raise ValueError(f"one_hot: the axis {axis!r} has size {axis_size(axis)}, not num_classes={size}")
        return convert_element_type(
            eq_p.bind(indices, convert_element_type(axis_index(axis), indices.aval.dtype)), wanted
        )
    place = canonical_axis(axis, indices.aval.ndim + 1)
    shape = tuple(size if i == place else 1 for i in range(indices.aval.ndim + 1))
    classes = broadcasted_iota(indices.aval.dtype, shape, place)
    return convert_element_type(eq_p.bind(expand_dims(indices, (place,)), classes), wanted)
