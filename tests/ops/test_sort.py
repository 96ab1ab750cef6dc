"""Sorting, against NumPy and JAX."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback._src.base.errors import ShapeError
from pullback._src.core.array import wrap
from pullback._src.ops import sort as ops

from .. import oracle
from ..matrix import Sample, matrix_cells, run_cell
from .domains import BFLOAT16, DTYPE_NAMES, FLOAT16, distinct, integers, uniform

Array = np.ndarray[Any, Any]


def _by_key(keys: Array, values: Array, axis: int) -> list[Array]:
    order = np.argsort(keys, axis, kind="stable")
    return [np.take_along_axis(keys, order, axis), np.take_along_axis(values, order, axis)]


def _greatest(x: Array, k: int, axis: int) -> list[Array]:
    order = np.argsort(-x.astype(np.float64), axis, kind="stable").astype(np.int32)
    order = np.take(order, np.arange(k), axis)
    return [np.take_along_axis(x, order, axis), order]


def _samples() -> list[Sample]:
    out = []
    for axis in (0, 1, -1):
        x = distinct((4, 3), np.float64)
        out.append(
            Sample(
                f"sort-f64-{axis}",
                lambda v, axis=axis: ops.sort(v, axis),
                (x,),
                lambda v, axis=axis: np.sort(v, axis),
                (0,),
                primitives=("sort",),
            )
        )
        x = distinct((2, 5), np.float32)
        out.append(
            Sample(
                f"sort-f32-{axis}",
                lambda v, axis=axis: ops.sort(v, axis),
                (x,),
                lambda v, axis=axis: np.sort(v, axis),
                (0,),
                1,
            )
        )
        pair = (distinct((3, 4), np.float64, 1), uniform(-1, 1, (3, 4), np.float64, 2))
        out.append(
            Sample(
                f"sort-pair-{axis}",
                lambda k, v, axis=axis: ops.sort_key_val(k, v, axis),
                pair,
                lambda k, v, axis=axis: _by_key(k, v, axis),
                (0, 1),
                2,
                (0, 1),
            )
        )
        out.append(
            Sample(
                f"top_k-f64-{axis}",
                lambda v, axis=axis: ops.top_k(v, 2, axis=axis),
                (distinct((4, 3), np.float64),),
                lambda v, axis=axis: _greatest(v, 2, axis),
                (0,),
                primitives=("top_k",),
            )
        )
    for dtype in (np.int32, np.uint8, np.bool_, FLOAT16, BFLOAT16, np.int64):
        x = integers(0, 9, (3, 6), dtype)
        name = DTYPE_NAMES[np.dtype(dtype).name]
        out.append(
            Sample(
                f"sort-{name}", ops.sort, (x,), lambda v: np.sort(v.astype(np.float64), -1).astype(v.dtype)
            )
        )
        out.append(Sample(f"top_k-{name}", lambda v: ops.top_k(v, 3), (x,), lambda v: _greatest(v, 3, -1)))
    keys = (
        integers(0, 2, (2, 6), np.int32),
        integers(0, 2, (2, 6), np.int32, 1),
        uniform(0, 1, (2, 6), np.float32),
    )

    def two_keys(first: Array, second: Array, values: Array) -> list[Array]:
        order = np.lexsort((second, first), -1)
        return [np.take_along_axis(v, order, -1) for v in (first, second, values)]

    out.append(
        Sample("sort-two-keys", lambda *v: ops.sort(v, num_keys=2), keys, two_keys, (2,), 1, (0, 1, 2))
    )
    z = uniform(-1, 1, (2, 4), np.complex128)
    out.append(Sample("sort-c128", ops.sort, (z,), lambda v: np.sort(v, -1), (0,)))
    out.append(Sample("sort-empty", ops.sort, (np.zeros((0, 3), np.float32),), lambda v: v, (0,), 1))
    out.append(
        Sample(
            "sort-empty-axis", lambda v: ops.sort(v, 0), (np.zeros((0, 3), np.float32),), lambda v: v, (0,), 1
        )
    )
    out.append(
        Sample(
            "top_k-none",
            lambda v: ops.top_k(v, 0),
            (distinct((2, 3), np.float32),),
            lambda v: _greatest(v, 0, -1),
            (0,),
            1,
        )
    )
    return out


SAMPLES = _samples()


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


_SPECIAL = [0.0, -0.0, np.nan, 1.0, -1.0, -0.0, np.inf, -np.inf, 0.0, -np.nan, 1.0]


@pytest.mark.parametrize("dtype", [np.float32, FLOAT16, BFLOAT16])
def test_order_of_special_values_like_jax(dtype: Any) -> None:
    x = np.array(_SPECIAL, dtype)
    oracle.check(ops.sort, jax.lax.sort, x)
    places = np.arange(len(x), dtype=np.int32)
    with_places = lambda sort: lambda v, p: sort((v, p), num_keys=1)
    oracle.check(with_places(ops.sort), with_places(jax.lax.sort), x, places)
    # JAX puts a NaN with a negative sign last; here every NaN is the greatest.
    x = x[~(np.isnan(x) & np.signbit(x))]
    oracle.check(ops.top_k, jax.lax.top_k, x, len(x))
    zeros = lambda v: np.signbit(np.asarray(v)[np.asarray(v) == 0]).tolist()
    assert zeros(ops.sort(x)) == zeros(jax.lax.sort(jax.numpy.asarray(x)))
    assert zeros(ops.top_k(x, len(x))[0]) == zeros(jax.lax.top_k(jax.numpy.asarray(x), len(x))[0])


def test_order_of_complex_numbers_like_jax() -> None:
    parts = [-1.0, 0.0, -0.0, 2.0, np.nan]
    z = np.array([complex(a, b) for a in parts for b in parts], np.complex64)
    places = np.arange(len(z), dtype=np.int32)
    oracle.check(ops.sort, jax.lax.sort, z)
    with_places = lambda sort: lambda v, p: sort((v, p), num_keys=1)
    oracle.check(with_places(ops.sort), with_places(jax.lax.sort), z, places)


def test_results_like_jax() -> None:
    x = integers(0, 3, (3, 8), np.int32)
    oracle.check(ops.sort, jax.lax.sort, x, 0)
    oracle.check(ops.sort_key_val, jax.lax.sort_key_val, x, distinct((3, 8), np.float32))
    oracle.check(ops.top_k, jax.lax.top_k, x, 3)
    oracle.check(ops.top_k, jax.lax.top_k, x, 3, axis=0)
    oracle.check(ops.top_k, jax.lax.top_k, np.ones(3, np.complex64), 2)


def test_derivatives_at_ties_like_jax() -> None:
    x = np.array([[1, 2, 1, 0], [3, 3, 3, 3]], np.float32)
    oracle.check_grad(ops.sort, jax.lax.sort, x)
    oracle.check_grad(ops.top_k, jax.lax.top_k, x, k=2)


def test_errors_say_what_is_wrong() -> None:
    x, y = wrap(np.ones((2, 3), np.float32)), wrap(np.ones((3,), np.float32))
    with pytest.raises(ShapeError, match=r"one shape; got \(2, 3\), \(3,\)"):
        ops.sort((x, y))
    with pytest.raises(ValueError, match="axis 2 is out of range"):
        ops.sort(x, 2)
    with pytest.raises(ValueError, match="num_keys must lie between 1 and 1"):
        ops.sort(x, num_keys=2)
    with pytest.raises(ValueError, match="k must lie between 0 and 3, the size of axis 1; got 4"):
        ops.top_k(x, 4)


@given(st.data())
def test_any_array(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=3)))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    size = int(np.prod(shape))
    values = data.draw(st.lists(st.floats(width=32), min_size=size, max_size=size))
    x = np.array(values, np.float32).reshape(shape)
    np.testing.assert_array_equal(np.asarray(ops.sort(x, axis)), np.sort(x, axis))
    places = np.indices(shape, np.int32)[axis]
    _, order = ops.sort_key_val(x, places, axis)
    np.testing.assert_array_equal(np.asarray(order), np.argsort(x, axis, kind="stable"))
