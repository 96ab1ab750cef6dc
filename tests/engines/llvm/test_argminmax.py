"""Places of extremes in native code: the first one; NaN before all numbers."""

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

from .comparison import agree

DTYPES = [np.bool_, np.int8, np.uint8, np.int64, np.uint64, np.float16, jnp.bfloat16, np.float32, np.float64]


def numbers(*shape: int, low: int = -3, high: int = 4) -> np.ndarray[Any, Any]:
    return np.random.RandomState(0).randint(low, high, shape).astype(np.float32)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5,), (300,), (4, 3), (70, 9), (9, 70), (3, 40, 5)])
def test_dtypes_and_axes(dtype: Any, shape: tuple[int, ...]) -> None:
    with enable_x64(True):
        x = jnp.asarray(numbers(*shape, low=0 if np.dtype(dtype).kind in "ub" else -3)).astype(dtype)
        for axis in range(len(shape)):
            agree(lambda x, a=axis: (jnp.argmax(x, a), jnp.argmin(x, a)), x, guard=True)


@given(
    st.lists(st.sampled_from([0.0, -0.0, 1.0, 2.0, np.inf, -np.inf, np.nan]), min_size=1, max_size=90),
    st.sampled_from([np.int32, np.int8, np.uint8, np.uint32]),
)
def test_special_values(values: list[float], index: Any) -> None:
    x = np.array(values, np.float32)
    agree(lambda x: (lax.argmax(x, 0, index), lax.argmin(x, 0, index)), x)
    agree(lambda x: (lax.argmax(x, 0, index), lax.argmin(x, 0, index)), np.stack([x, x[::-1], x], 1))


@pytest.mark.parametrize("n", [300_000, 1_000_003])
def test_many(n: int) -> None:
    x = numbers(n, low=-(10**6), high=10**6)
    x[n // 2 : n // 2 + 2] = 2e6, 2e6
    agree(lambda x: (jnp.argmax(x), jnp.argmin(x), x.sum() * 0), x)
    x[n // 3] = np.nan
    agree(lambda x: (jnp.argmax(x), jnp.argmin(x)), x)


def test_in_programs() -> None:
    def f(x: Any) -> Any:
        y = jnp.tanh(x)
        k = y.argmax(1)
        return k, y.argmax(), y[jnp.arange(20), k], x[k], jnp.take_along_axis(x, k[:, None], 1), y.max(1)

    agree(f, numbers(20, 50) + np.arange(50, dtype=np.float32), rtol=1e-6)
    agree(pb.grad(lambda x: x.max(0).sum()), numbers(20, 30))
    agree(lambda x: lax.fori_loop(0, 9, lambda i, x: x.at[jnp.argmax(x)].add(-1.0), x), numbers(100))
    agree(lambda x: jnp.argmax(x == 2), numbers(100))


def test_extremes_of_the_dtype() -> None:
    for dtype in (np.int8, np.uint8, np.int32):
        info = np.iinfo(dtype)
        for value in (info.min, info.max):
            agree(lambda x: (jnp.argmax(x), jnp.argmin(x)), np.full(40, value, dtype))
            agree(lambda x: (jnp.argmax(x), jnp.argmin(x)), np.full(400, value, dtype))
    agree(lambda x: (jnp.argmax(x), jnp.argmin(-x)), np.full(400, -np.inf, np.float32))
