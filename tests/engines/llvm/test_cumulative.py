"""Cumulative operations in native code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pullback as pb
import pullback.numpy as jnp
from pullback import lax
from pullback._src.base.config import enable_x64

from .comparison import agree, both

FUNCTIONS = [lax.cumsum, lax.cumprod, lax.cummax, lax.cummin]
DTYPES = [np.int8, np.uint16, np.int64, np.float16, jnp.bfloat16, np.float32, np.float64, np.complex64]


def numbers(*shape: int, low: int = -3, high: int = 4) -> np.ndarray[Any, Any]:
    # Small integers: sums in any order are exact.
    return np.random.RandomState(0).randint(low, high, shape).astype(np.float32)


@given(
    st.lists(st.integers(1, 9) | st.sampled_from([33, 70, 150]), min_size=1, max_size=3),
    st.integers(0, 2),
    st.booleans(),
    st.sampled_from([lax.cumsum, lax.cummax, lax.cummin]),
)
def test_shapes(shape: list[int], axis: int, reverse: bool, function: Any) -> None:
    x = numbers(*shape)
    agree(lambda x: function(x + 1, axis % len(shape), reverse), x, guard=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("reverse", [False, True])
def test_dtypes(dtype: Any, function: Any, reverse: bool) -> None:
    extreme = function in (lax.cummax, lax.cummin) and dtype is np.complex64
    with enable_x64(True):
        for shape in ((9,), (211,), (3, 40), (40, 3), (30, 100)):
            low, high = (1, 3) if function is lax.cumprod else (0, 4)
            x = np.minimum(numbers(*shape, low=low, high=high), 1 + (np.arange(shape[-1]) < 5))
            x = jnp.asarray(x).astype(dtype)
            agree(
                lambda x: [function(x, axis, reverse) for axis in range(x.ndim)],
                x,
                host=len(shape) if extreme else 0,
            )


@pytest.mark.parametrize("n", [9, 300])
def test_nan_and_infinity(n: int) -> None:
    x = numbers(n)
    x[n // 2], x[n // 2 + 1], x[n // 3] = np.nan, 5, np.inf
    for function in FUNCTIONS:
        agree(lambda x, f=function: (f(x, 0), f(x, 0, True)), x)


@pytest.mark.parametrize("shape", [(5,), (100,), (20, 30)])
def test_cumlogsumexp(shape: tuple[int, ...]) -> None:
    x = numbers(*shape) * 20
    agree(lambda x: (lax.cumlogsumexp(x, 0), lax.cumlogsumexp(x, x.ndim - 1, True)), x, rtol=2e-6)
    agree(lambda x: lax.cumlogsumexp(x, 0), np.full(shape, -np.inf, np.float32))


@pytest.mark.parametrize("n", [400_000, 400_007, 1_000_003])
@pytest.mark.parametrize("reverse", [False, True])
def test_long_rows(n: int, reverse: bool) -> None:
    x = numbers(n)
    agree(lambda x: lax.cumsum(x, 0, reverse), x, guard=True)
    agree(lambda x: lax.cumsum(x.astype(np.int32), 0, reverse), x)
    agree(lambda x: lax.cummax(x.reshape(-1, 1) + jnp.arange(n)[:, None], 0, reverse), x)


def test_many_rows_and_columns() -> None:
    for shape in ((1000, 700), (3, 500, 401), (500, 3, 401)):
        agree(lambda x: [lax.cumsum(x * 2, axis) for axis in range(x.ndim)], numbers(*shape))


def test_accuracy_of_a_long_sum() -> None:
    x = np.random.RandomState(0).uniform(0, 1, 1 << 20).astype(np.float32)
    (native,), (reference,), _ = both(lambda x: lax.cumsum(x, 0), x)
    exact = np.cumsum(x.astype(np.float64))
    errors = [np.max(np.abs(a - exact) / exact) for a in (native, reference)]
    assert errors[0] < errors[1] / 2  # vectors are joined, and not single terms
    assert errors[0] < 1e-5


def test_within_programs() -> None:
    def f(x: Any) -> Any:
        y = jnp.cumsum(x * 2, 0)
        return (
            (y * x).sum(),
            jnp.cumsum(y.T, 0)[::2] + 1,
            lax.scan(lambda c, r: (c + jnp.cumsum(r), c), x[0], x),
        )

    agree(f, numbers(20, 30), rtol=1e-6)
    agree(pb.grad(lambda x: (jnp.cumsum(x) ** 2).sum()), numbers(100), rtol=1e-6)
    agree(pb.vmap(jnp.cumsum), numbers(9, 50))
    agree(lambda x: (lax.cumsum(x[:0], 0), lax.cumsum(x[:1], 0), lax.cumsum(x[:, :0], 1)), numbers(20, 30))
    agree(lambda x: (lax.cumsum(jnp.exp(x[:1]), 0) + 1, jnp.exp(x)), numbers(20, 90), rtol=1e-6)
