"""Bisection in native code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pullback as pb
import pullback.numpy as jnp
from pullback._src.base.config import enable_x64

from .comparison import agree

Numbers = st.lists(
    st.sampled_from([0.0, -0.0, np.inf, -np.inf, np.nan]) | st.floats(-9, 9, width=16), min_size=1
)


@given(
    Numbers, Numbers, st.sampled_from(["left", "right"]), st.sampled_from([np.float16, np.float32, np.int8])
)
def test_values_anywhere(array: list[float], values: list[float], side: str, dtype: Any) -> None:
    with np.errstate(all="ignore"):
        a, v = np.sort(np.nan_to_num(array) if dtype is np.int8 else array).astype(dtype), np.array(values)
        v = (np.clip(np.nan_to_num(v), -99, 99) if dtype is np.int8 else v).astype(dtype)
    agree(lambda a, v: jnp.searchsorted(a, v, side=side), np.sort(a), v, guard=True)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.uint32, jnp.bfloat16, np.float64])
@pytest.mark.parametrize("n", [1, 7, 63, 64, 127, 128, 1000])
def test_dtypes(dtype: Any, n: int) -> None:
    with enable_x64(True):
        r = np.random.RandomState(0)
        a = jnp.asarray(np.sort(r.randint(0, 90, n))).astype(dtype)
        v = jnp.asarray(r.randint(0, 99, (7, 30))).astype(dtype)
        agree(
            lambda a, v: (jnp.searchsorted(a, v), jnp.searchsorted(a, v, side="right")),
            jnp.sort(a),
            v,
            guard=True,
        )
        agree(lambda a, v: (jnp.searchsorted(a, v[0, 0]), jnp.searchsorted(a * 1, v)), jnp.sort(a), v)


def test_arrays_that_are_not_sorted() -> None:
    # Whatever the result, nothing outside of the array is read.
    x = np.random.RandomState(0).randn(1000).astype(np.float32)
    agree(lambda a, v: (jnp.searchsorted(a, v) >= 0) & (jnp.searchsorted(a, v) <= 1000), x, x, guard=True)


def test_in_programs() -> None:
    x = np.random.RandomState(0).randn(300).astype(np.float32)
    agree(lambda x: jnp.searchsorted(jnp.sort(x), x * 2) + 1, x)
    agree(lambda x: jnp.digitize(x, jnp.linspace(-1, 1, 20)), x)
    agree(lambda x: jnp.interp(x, jnp.arange(5.0), jnp.arange(5.0) ** 2), x, rtol=1e-6)
    agree(lambda x: jnp.histogram(x, 20)[0], x)
    agree(pb.vmap(lambda v: jnp.searchsorted(jnp.arange(9.0), v)), x)
    agree(lambda a, v: jnp.searchsorted(a[::-2], v), -np.sort(x), x)
    agree(lambda a: jnp.searchsorted(a, a[:0]), x)
