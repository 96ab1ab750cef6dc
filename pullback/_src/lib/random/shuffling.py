"""Permutations, and draws from the elements of an array."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...base.errors import DTypeError, ShapeError
from ...core import dtypes
from ...core.array import Array, as_array, scalar
from ...core.kinds import kind
from ...ops.arithmetic import add_p, div_p, log_p, mul_p, sub_p
from ...ops.compare import lt_p, select_n_p
from ...ops.convert import convert_element_type
from ...ops.cumulative import cumsum
from ...ops.gather import GatherDimensionNumbers, GatherScatterMode, gather
from ...ops.iota import iota
from ...ops.joining import slice_p
from ...ops.prng import random_bits
from ...ops.sort import sort_key_val, top_k
from ...ops.structural import canonical_axis, canonical_shape, expand_dims, full, reshape
from .continuous import check_mode, gumbel_samples
from .discrete import randint_between
from .keys import ArgumentError, check_key, split_key
from .uniform import unit_interval

__all__ = ["choice", "permutation"]


def _take(x: Any, indices: Any, axis: int) -> Any:
    """The slices of x at `indices` (in range) along `axis`; the indices' dimensions take its place."""
    ndim, added = x.aval.ndim, indices.aval.ndim
    window = tuple(range(axis)) + tuple(range(axis + added, ndim - 1 + added))
    sizes = tuple(1 if i == axis else d for i, d in enumerate(x.aval.shape))
    return gather(
        x,
        expand_dims(indices, (added,)),
        GatherDimensionNumbers(window, (axis,), (axis,)),
        sizes,
        mode=GatherScatterMode.PROMISE_IN_BOUNDS,
    )


def _shuffle(key: Any, x: Any, axis: int) -> Any:
    """x sorted along an axis by random bits, as often as makes equal bits unlikely to decide the order."""
    shape = x.aval.shape
    size = math.prod(shape)
    rounds = math.ceil(3 * math.log(max(1, size)) / math.log(2**32 - 1))
    for _ in range(rounds):
        key, subkey = split_key(key, 2)
        _, x = sort_key_val(random_bits(subkey, 32, shape), x, axis)
    return x


def _population(name: str, a: Any) -> tuple[Any, int]:
    """The array to draw from, or None and the number of integers 0 ... n - 1 to draw from."""
    if isinstance(a, int) and not isinstance(a, bool):
        return None, a
    if isinstance(a, (list, tuple)):
        raise DTypeError(
            f"{name} expects an array or an integer, got a {type(a).__name__}; convert it with numpy.array"
        )
    array = as_array(a, name=name)
    if array.aval.shape:
        return array, 0
    if kind(array.aval.dtype) not in "iu":
        raise DTypeError(f"{name} expects an array or an integer, got {array.aval.str_short()}")
    return None, int(array)


def _first(x: Any, n: int, axis: int) -> Any:
    limits = tuple(n if i == axis else d for i, d in enumerate(x.aval.shape))
    if limits == x.aval.shape:
        return x
    return slice_p.bind(x, start_indices=(0,) * len(limits), limit_indices=limits, strides=None)


def _permuted(key: Any, array: Any, n: int, axis: int, independent: bool) -> Any:
    if array is None:
        return _shuffle(key, iota(dtypes.default_int_dtype(), n), 0)
    if independent or array.aval.ndim == 1:
        return _shuffle(key, array, axis)
    order = _shuffle(key, iota(dtypes.default_int_dtype(), array.aval.shape[axis]), 0)
    return _take(array, order, axis)


def permutation(key: Any, x: Any, axis: int = 0, independent: bool = False) -> Array:
    """The elements of x in random order.

    Args:
        key: a random key.
        x: an array, or an integer n for the integers 0 ... n - 1.
        axis: the dimension along which slices are permuted.
        independent: whether each line along `axis` gets a permutation of its own.

    Returns:
        An array of x's shape and dtype.
    """
    single, _ = check_key("permutation", key)
    array, n = _population("permutation", x)
    if array is None:
        canonical_axis(axis, 1)
        if n < 0:
            raise ArgumentError(f"permutation: the number of elements must not be negative, got {n}")
        return _permuted(single, None, n, 0, independent)
    return _permuted(single, array, 0, canonical_axis(axis, array.aval.ndim), independent)


def _search(sorted_values: Any, queries: Any) -> Any:
    """For each query the index of the first value that is not less, by bisection."""
    n = sorted_values.aval.shape[0]
    index_dtype = np.dtype(np.int32)
    low = full(queries.aval.shape, 0, index_dtype)
    high = full(queries.aval.shape, n, index_dtype)
    for _ in range(max(1, n.bit_length())):
        middle = div_p.bind(add_p.bind(low, high), scalar(2, index_dtype))
        # The last index, where low = high = n, is read but does not decide: n is never left.
        inside = select_n_p.bind(
            lt_p.bind(middle, scalar(n, index_dtype)), scalar(n - 1, index_dtype), middle
        )
        less = lt_p.bind(_take(sorted_values, inside, 0), queries)
        going = lt_p.bind(low, high)
        up = select_n_p.bind(less, low, add_p.bind(middle, scalar(1, index_dtype)))
        down = select_n_p.bind(less, middle, high)
        low = select_n_p.bind(going, low, up)
        high = select_n_p.bind(going, high, down)
    return low


def choice(
    key: Any,
    a: Any,
    shape: Any = (),
    replace: bool = True,
    p: Any = None,
    axis: int = 0,
    mode: Any = None,
) -> Array:
    """Random draws from the slices of an array.

    Args:
        key: a random key.
        a: an array, or an integer n for the integers 0 ... n - 1.
        shape: the draws' shape.
        replace: whether one slice may be drawn repeatedly.
        p: the slices' probabilities (default: equal).
        axis: the dimension along which slices are drawn.
        mode: precision of draws without replacement by probabilities, see `gumbel`.

    Returns:
        Draws of shape a.shape[:axis] + shape + a.shape[axis + 1:].

    Raises:
        ValueError: more draws without replacement than slices; no slices; p of another shape.
    """
    single, _ = check_key("choice", key)
    high = check_mode("choice", mode)
    size = canonical_shape(shape)
    array, n = _population("choice", a)
    place = canonical_axis(axis, 1 if array is None else array.aval.ndim)
    if array is not None:
        n = array.aval.shape[place]
    draws = math.prod(size)
    result_shape = (
        size if array is None else (*array.aval.shape[:place], *size, *array.aval.shape[place + 1 :])
    )
    if draws == 0:
        return full(result_shape, 0, dtypes.default_int_dtype() if array is None else array.aval.dtype)
    if n <= 0:
        raise ArgumentError("choice: a must be greater than 0 unless no samples are taken")
    if not replace and draws > n:
        raise ArgumentError(
            f"choice: cannot take a larger sample (size {draws}) than a population (size {n}) without replace"
        )
    if p is None and not replace:
        return reshape(_first(_permuted(single, array, n, place, False), draws, place), result_shape)
    if p is None:
        indices = randint_between(single, size, 0, n, dtypes.default_int_dtype())
    else:
        indices = reshape(_weighted(single, p, n, size, draws, replace, high), size)
    if array is None:
        return indices
    return reshape(_take(array, indices, place), result_shape)


def _weighted(key: Any, p: Any, n: int, shape: tuple[int, ...], draws: int, replace: bool, high: bool) -> Any:
    probabilities = as_array(p, name="choice")
    probabilities = convert_element_type(probabilities, dtypes.to_inexact_dtype(probabilities.aval.dtype))
    if probabilities.aval.shape != (n,):
        raise ShapeError(
            "choice: p must be None or a vector with the same size as a.shape[axis]; p has shape "
            f"{probabilities.aval.shape} and a.shape[axis] is {n}."
        )
    dtype = probabilities.aval.dtype
    if not replace:
        keys = add_p.bind(gumbel_samples(key, (n,), dtype, high), log_p.bind(probabilities))
        return convert_element_type(top_k(keys, draws)[1], dtypes.default_int_dtype())
    cumulative = cumsum(probabilities, 0)
    total = reshape(slice_p.bind(cumulative, start_indices=(n - 1,), limit_indices=(n,), strides=None), ())
    rest = sub_p.bind(scalar(1.0, dtype), unit_interval(key, shape, dtype))
    found = _search(cumulative, mul_p.bind(total, rest))
    return convert_element_type(found, dtypes.default_int_dtype())
