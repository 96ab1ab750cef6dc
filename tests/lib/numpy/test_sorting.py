"""Sorting, searching and sets of `numpy`, against JAX."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pullback as pb
from pullback._src.base.errors import ConcretizationTypeError
from pullback._src.lib.numpy import sets, sorting

from ... import oracle
from ...matrix import arrays
from ...ops.domains import BFLOAT16, FLOAT16, distinct, integers, uniform

pytestmark = pytest.mark.usefixtures("together")

_DTYPES = [np.float32, np.complex64, np.int32, np.uint8, np.bool_, FLOAT16, BFLOAT16]
_SPECIAL = np.array([np.nan, 1, -0.0, 0.0, np.inf, np.nan, -np.inf, 1], np.float32)


def _array(dtype: Any, shape: tuple[int, ...] = (3, 4)) -> Any:
    kind = np.dtype(dtype).kind
    return integers(0, 3, shape, dtype) if kind in "biu" else uniform(-1, 1, shape, dtype).round(1)


@pytest.mark.parametrize("name", ["sort", "argsort", "sort_complex"])
@pytest.mark.parametrize("dtype", _DTYPES)
def test_sorting_like_jax(name: str, dtype: Any) -> None:
    ours, theirs = getattr(sorting, name), getattr(jnp, name)
    x = _array(dtype)
    oracle.check(ours, theirs, x)
    if name != "sort_complex":
        oracle.check(ours, theirs, x, axis=0, descending=True)
        oracle.check(ours, theirs, x, axis=None)


def test_sorting_options_like_jax() -> None:
    x = _array(np.float32)
    for name in ("sort", "argsort"):
        ours, theirs = getattr(sorting, name), getattr(jnp, name)
        for descending in (False, True):
            oracle.check(ours, theirs, _SPECIAL, descending=descending)
        oracle.check(ours, theirs, x, kind="stable")
        oracle.check(ours, theirs, x, order=0)
        oracle.check(ours, theirs, x, axis=2)
        oracle.check(ours, theirs, 3.0)
        oracle.check(ours, theirs, 3.0, axis=None)
        oracle.check(ours, theirs, [1, 2])
    oracle.check(sorting.argsort, jnp.argsort, x, dtype=np.int8)
    oracle.check(sorting.argsort, jnp.argsort, x, x64=True)
    oracle.check_grad(sorting.sort, jnp.sort, x, descending=True)


def test_lexsort_like_jax() -> None:
    a, b = integers(0, 2, (3, 8), np.int32), integers(0, 2, (3, 8), np.int32, 1)
    for axis in (-1, 0):
        oracle.check(
            lambda *k, axis=axis: sorting.lexsort(k, axis), lambda *k, axis=axis: jnp.lexsort(k, axis), a, b
        )
    oracle.check(sorting.lexsort, jnp.lexsort, a)
    oracle.check(sorting.lexsort, jnp.lexsort, np.arange(3))


@pytest.mark.parametrize("kth", [0, 2, -1])
def test_partitions_separate_the_kth_element(kth: int) -> None:
    x = distinct((3, 5), np.float32)
    for axis in (0, 1):
        kth_here = min(kth, x.shape[axis] - 1)
        actual = np.asarray(sorting.partition(x, kth_here, axis))
        expected = np.partition(x, kth_here, axis)
        np.testing.assert_array_equal(np.take(actual, kth_here, axis), np.take(expected, kth_here, axis))
        np.testing.assert_array_equal(np.sort(actual, axis), np.sort(x, axis))
        order = np.asarray(sorting.argpartition(x, kth_here, axis))
        np.testing.assert_array_equal(np.take_along_axis(x, order, axis), actual)
    with pytest.raises(ValueError, match="axis 9 is out of range"):
        sorting.partition(x, 9)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint8, FLOAT16, BFLOAT16])
def test_searchsorted_like_jax(side: str, dtype: Any) -> None:
    a, v = np.sort(_array(dtype, (7,)).astype(np.float32)).astype(dtype), _array(dtype, (2, 5))
    oracle.check(sorting.searchsorted, jnp.searchsorted, a, v, side=side)


def test_searchsorted_options_like_jax() -> None:
    a = np.array([-np.inf, -1, 0, 0, 2, np.inf, np.nan], np.float32)
    for side in ("left", "right"):
        oracle.check(sorting.searchsorted, jnp.searchsorted, a, _SPECIAL, side=side)
        oracle.check(sorting.searchsorted, jnp.searchsorted, np.zeros(0, np.float32), _SPECIAL, side=side)
    oracle.check(sorting.searchsorted, jnp.searchsorted, a, 1)
    oracle.check(sorting.searchsorted, jnp.searchsorted, np.arange(5), 2.5)
    oracle.check(sorting.searchsorted, jnp.searchsorted, a, 1.0, side="middle")
    oracle.check(sorting.searchsorted, jnp.searchsorted, np.ones((2, 2), np.float32), 1.0)
    oracle.check(sorting.searchsorted, jnp.searchsorted, [1.0, 2.0], 1.0)
    x, order = np.array([3, 1, 2], np.float32), np.array([1, 2, 0], np.int32)
    with_sorter = lambda f: lambda a, v, s: f(a, v, sorter=s)
    oracle.check(with_sorter(sorting.searchsorted), with_sorter(jnp.searchsorted), x, 1.5, order)


def test_searchsorted_under_vmap_equals_a_loop() -> None:
    tables, queries = np.sort(distinct((4, 7), np.float32), -1), uniform(-4, 4, (4, 5), np.float32)
    tables[1, -2:] = np.nan
    queries[2, 0] = np.nan
    for side in ("left", "right"):
        search = lambda a, v, side=side: sorting.searchsorted(a, v, side)
        expected = np.stack([np.searchsorted(a, v, side) for a, v in zip(tables, queries, strict=True)])
        np.testing.assert_array_equal(np.asarray(pb.vmap(search)(tables, queries)), expected)
        expected = np.stack([np.searchsorted(a, queries[0], side) for a in tables])
        np.testing.assert_array_equal(
            np.asarray(pb.vmap(search, in_axes=(0, None))(tables, queries[0])), expected
        )


@pytest.mark.parametrize("name", ["nonzero", "flatnonzero", "argwhere"])
def test_places_of_nonzero_elements_like_jax(name: str) -> None:
    ours, theirs = getattr(sorting, name), getattr(jnp, name)
    x = integers(0, 1, (3, 4), np.int32)
    oracle.check(ours, theirs, x)
    oracle.check(ours, theirs, x > 0)
    oracle.check(ours, theirs, x.astype(np.float32), x64=True)
    for size in (0, 3, 20):
        oracle.check(ours, theirs, x, size=size)
        oracle.check(ours, theirs, x, size=size, fill_value=-1)
    oracle.check(ours, theirs, np.zeros((0, 3), np.float32))
    oracle.check(ours, theirs, np.zeros((0, 3), np.float32), size=2)
    oracle.check(ours, theirs, 3.0)
    if name != "flatnonzero":
        oracle.check(ours, theirs, x, size=20, fill_value=(7, 8))
        oracle.check(ours, theirs, x, size=20, fill_value=(7, 8, 9))


def test_traced_values_need_a_size() -> None:
    with pytest.raises(ConcretizationTypeError, match=r"nonzero\(\.\.\., size=n\)"):
        pb.jit(sorting.nonzero)(np.ones(3, np.float32))
    (found,) = pb.jit(lambda x: sorting.nonzero(x, size=4))(np.array([0, 1, 1], np.float32))
    assert found.tolist() == [1, 2, 0, 0]
    with pytest.raises(ConcretizationTypeError, match=r"unique\(\.\.\., size=n\)"):
        pb.jit(sets.unique)(np.ones(3, np.float32))


@pytest.mark.parametrize("dtype", _DTYPES)
def test_unique_elements_like_jax(dtype: Any) -> None:
    x = _array(dtype, (2, 5))
    everything = {"return_index": True, "return_inverse": True, "return_counts": True}
    oracle.check(sets.unique, jnp.unique, x)
    oracle.check(sets.unique, jnp.unique, x, **everything)
    oracle.check(sets.unique, jnp.unique, x, size=12, fill_value=1, **everything)


def test_unique_elements_with_options_like_jax() -> None:
    everything = {"return_index": True, "return_inverse": True, "return_counts": True}
    x = np.array([3, 1, 2, 1, 3], np.int32)
    for size in (2, 3, 7):
        oracle.check(sets.unique, jnp.unique, x, size=size, **everything)
    for equal_nan in (True, False):
        oracle.check(sets.unique, jnp.unique, _SPECIAL, equal_nan=equal_nan, **everything)
    rows = np.array([[1, 2, 1], [1, 2, 1], [0, 3, 0], [1, 2, 1]], np.int32)
    for axis in (0, 1):
        oracle.check(sets.unique, jnp.unique, rows, axis=axis, **everything)
        oracle.check(sets.unique, jnp.unique, rows, axis=axis, size=4, fill_value=7, **everything)
    oracle.check(sets.unique, jnp.unique, np.zeros((0,), np.float32), **everything)
    oracle.check(sets.unique, jnp.unique, np.zeros((0,), np.float32), size=2)
    oracle.check(sets.unique, jnp.unique, 3.0)
    for name in ("unique_all", "unique_counts", "unique_inverse", "unique_values"):
        oracle.check(getattr(sets, name), getattr(jnp, name), rows)
        oracle.check(getattr(sets, name), getattr(jnp, name), x, size=5, fill_value=0)


@pytest.mark.parametrize("name", ["union1d", "intersect1d", "setdiff1d", "setxor1d", "isin"])
def test_set_operations_like_jax(name: str) -> None:
    ours, theirs = getattr(sets, name), getattr(jnp, name)
    x, y = integers(0, 6, (2, 4), np.int32), integers(3, 9, (5,), np.int32, 1)
    oracle.check(ours, theirs, x, y)
    oracle.check(ours, theirs, x, y.astype(np.float32))
    oracle.check(ours, theirs, x, np.zeros((0,), np.int32))
    if name == "isin":
        oracle.check(ours, theirs, x, y, invert=True)
        oracle.check(ours, theirs, _SPECIAL, np.array([np.nan, 1], np.float32))
        oracle.check(ours, theirs, x, [1, 2])
        return
    for size in (1, 3, 12):
        oracle.check(ours, theirs, x, y, size=size)
        oracle.check(ours, theirs, x, y, size=size, fill_value=-1)
    if name != "union1d":
        u, v = np.array([4, 1, 7, 3], np.int32), np.array([3, 9, 4], np.int32)
        oracle.check(ours, theirs, u, v, assume_unique=True)
    if name == "intersect1d":
        oracle.check(ours, theirs, x, y, return_indices=True)
        oracle.check(ours, theirs, x, y, return_indices=True, size=6)


@given(st.lists(st.integers(0, 5), max_size=12), st.integers(0, 8))
def test_unique_of_any_list(values: list[int], size: int) -> None:
    x = np.array(values, np.int32)
    found, index, inverse, counts = sets.unique(arrays([x])[0], True, True, True)
    expected = np.unique(x, True, True, True)
    for a, e in zip((found, index, inverse, counts), expected, strict=True):
        np.testing.assert_array_equal(np.asarray(a), e)
    padded = np.asarray(sets.unique(x, size=size, fill_value=-1))
    np.testing.assert_array_equal(
        padded, np.pad(expected[0][:size], (0, max(0, size - len(expected[0]))), constant_values=-1)
    )
