"""Cumulative operations, against NumPy and JAX."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback._src.core.array import wrap
from pullback._src.ops import cumulative as ops

from .. import oracle
from ..matrix import Sample, matrix_cells, run_cell
from .domains import BFLOAT16, DTYPE_NAMES, FLOAT16, distinct, integers, uniform

_UFUNCS = {
    "cumsum": np.add,
    "cumprod": np.multiply,
    "cummax": np.maximum,
    "cummin": np.minimum,
    "cumlogsumexp": np.logaddexp,
}
Array = np.ndarray[Any, Any]


def _reference(name: str, x: Array, axis: int, reverse: bool) -> Array:
    wide = x.astype(np.float32) if x.dtype in (FLOAT16, BFLOAT16) else x
    given = np.flip(wide, axis) if reverse else wide
    out = _UFUNCS[name].accumulate(given, axis=axis, dtype=wide.dtype).astype(x.dtype)
    return np.flip(out, axis) if reverse else out


def _sample(name: str, x: Array, axis: int, reverse: bool, order: int) -> Sample:
    shape, direction = "x".join(map(str, x.shape)), "reverse" if reverse else "forward"
    label = f"{name}-{DTYPE_NAMES[x.dtype.name]}-{shape}-{axis}-{direction}"
    function = lambda v: getattr(ops, name)(v, axis, reverse)
    reference = lambda v: _reference(name, v, axis, reverse)
    return Sample(label, function, (x,), reference, (0,) if order else (), order, primitives=(name,))


def _samples() -> list[Sample]:
    out = []
    for name in _UFUNCS:
        for reverse in (False, True):
            out += [_sample(name, distinct((3, 5), np.float64), axis, reverse, 2) for axis in (0, 1)]
            out.append(_sample(name, distinct((4, 2), np.float32), 0, reverse, 1))
            out.append(_sample(name, distinct((1, 2), np.float32), 0, reverse, 1))
            out.append(_sample(name, np.zeros((0, 2), np.float32), 0, reverse, 1))
            out += [_sample(name, distinct((5,), low), 0, reverse, 0) for low in (FLOAT16, BFLOAT16)]
            if name != "cumlogsumexp":
                out.append(_sample(name, integers(1, 3, (2, 5), np.int32), 1, reverse, 0))
                out.append(_sample(name, integers(1, 3, (5,), np.uint8), 0, reverse, 0))
            if name in ("cumsum", "cumprod"):
                out.append(_sample(name, uniform(-1, 1, (4,), np.complex128), 0, reverse, 2))
                out.append(_sample(name, uniform(-1, 1, (4,), np.complex64), 0, reverse, 0))
    return out


SAMPLES = _samples()


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@pytest.mark.parametrize("name", _UFUNCS)
@pytest.mark.parametrize("reverse", [False, True])
def test_like_jax(name: str, reverse: bool) -> None:
    ours, theirs = getattr(ops, name), getattr(jax.lax, name)
    x = distinct((3, 7), np.float32)
    oracle.check(ours, theirs, x, axis=1, reverse=reverse, units=64)
    oracle.check_grad(ours, theirs, x, axis=1, reverse=reverse)
    oracle.check_grad(ours, theirs, x, axis=0, reverse=reverse)
    oracle.check(ours, theirs, np.arange(3), reverse=reverse)
    oracle.check(ours, theirs, np.array([True, False]), reverse=reverse)
    oracle.check(ours, theirs, 2.0, reverse=reverse)


def test_derivatives_with_zeros_and_pairs_of_equals_like_jax() -> None:
    x = np.array([1, 2, 0, 3, 0, 2], np.float32)
    oracle.check_grad(ops.cumprod, jax.lax.cumprod, x)
    for name in ("cummax", "cummin"):
        oracle.check_grad(getattr(ops, name), getattr(jax.lax, name), np.array([1, 2, 2, 3], np.float32))


@pytest.mark.parametrize("name", ["cummax", "cummin", "cumsum", "cumlogsumexp"])
def test_special_values_like_jax(name: str) -> None:
    for x in (
        [-np.inf, -np.inf, 1, 2],
        [1, np.inf, 2],
        [np.nan, 1, 2],
        [1, np.nan, 2],
        [-np.inf, 3, -np.inf],
    ):
        oracle.check(getattr(ops, name), getattr(jax.lax, name), np.array(x, np.float32), units=16)


def test_the_derivative_of_cumlogsumexp_is_finite_after_minus_infinity() -> None:
    oracle.check_grad(ops.cumlogsumexp, jax.lax.cumlogsumexp, np.array([1.0, -np.inf, 2.0], np.float32))


def test_errors_say_what_is_wrong() -> None:
    x = wrap(np.ones((2, 3), np.int32))
    with pytest.raises(ValueError, match="axis 2 is out of range for an array with 2 dimensions"):
        ops.cumsum(x, 2)
    with pytest.raises(
        TypeError, match="cumlogsumexp expects operands of kind floating-point; got dtype int32"
    ):
        ops.cumlogsumexp(x)


@given(st.data())
def test_any_shape_and_axis(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=3)))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    reverse = data.draw(st.booleans())
    x = distinct(shape, np.float32)
    for name in _UFUNCS:
        actual = np.asarray(getattr(ops, name)(x, axis, reverse))
        np.testing.assert_allclose(actual, _reference(name, x, axis, reverse), rtol=1e-5)
