"""Gathering in native code: every mode, indices anywhere, nothing read outside of the operand."""

from __future__ import annotations

from collections.abc import Iterator
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

MODES = ["clip", "fill", "promise_in_bounds"]
DTYPES = [
    np.bool_,
    np.int8,
    np.uint16,
    np.int64,
    np.float16,
    jnp.bfloat16,
    np.float32,
    np.float64,
    np.complex64,
]
EXTREMES = [-(2**31), -1, 0, 1, 5, 6, 7, 2**31 - 1]


@pytest.fixture(scope="module", autouse=True)
def _wide() -> Iterator[None]:
    with enable_x64(True):
        yield


def numbers(*shape: int, dtype: Any = np.float32) -> np.ndarray[Any, Any]:
    return np.random.RandomState(0).uniform(-50, 50, shape).astype(dtype)


def windows(mode: str, sizes: tuple[int, ...]) -> Any:
    """Windows of a matrix at index vectors that are the rows of the indices."""
    numbers = lax.GatherDimensionNumbers((1, 2), (), (0, 1))
    return lambda x, i: lax.gather(x, i, numbers, sizes, mode=mode)


@given(
    st.lists(st.integers(-(2**31), 2**31 - 1) | st.integers(-9, 9), min_size=1, max_size=40),
    st.sampled_from(MODES),
    st.sampled_from([(6,), (700,), (6, 3), (6, 70)]),
)
def test_indices_anywhere(indices: list[int], mode: str, shape: tuple[int, ...]) -> None:
    agree(lambda x, i: x.at[i].get(mode=mode), numbers(*shape), np.array(indices, np.int32), guard=True)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int64, np.uint32, np.uint64])
def test_index_dtypes(mode: str, dtype: Any) -> None:
    info = np.iinfo(dtype)
    indices = np.array([[info.min, 0], [info.max, 1], [0, info.max], [3, 3], [7, 69]], dtype)
    agree(windows(mode, (2, 3)), numbers(7, 70), indices, guard=True)
    agree(windows(mode, (2, 3)), numbers(200, 300), indices, guard=True)
    agree(windows(mode, (2, 70)), numbers(7, 70), indices, guard=True)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [7, 300])
def test_dtypes(mode: str, dtype: Any, n: int) -> None:
    x = jnp.asarray(numbers(n)).astype(dtype)
    for count in (1, 11, 200):
        indices = np.arange(-3, count - 3, dtype=np.int32) * 7
        agree(lambda x, i: x.at[i].get(mode=mode), x, indices, guard=True)


def test_keys() -> None:
    keys = pb.random.split(pb.random.key(0), 100)
    agree(lambda k, i: (k[i], k.at[i[0]].get(mode="fill")), keys, np.arange(-4, 200, 9))


@pytest.mark.parametrize("i", EXTREMES)
@pytest.mark.parametrize("mode", MODES)
def test_one_window(i: int, mode: str) -> None:
    for n in (5, 200):
        x = numbers(n, 3)
        agree(lambda x, i: (x.at[i].get(mode=mode), x.at[i, i].get(mode=mode)), x, np.int32(i), guard=True)
        agree(lambda x, i: (x * 2).at[i].get(mode=mode) + 1, x, np.int32(i))
    agree(windows(mode, (2, 2)), numbers(30, 40), np.array([[i, 3]], np.int32), guard=True)


def test_fill_values() -> None:
    indices = np.array([-300, 2, 300], np.int32)
    for value, dtype in ((7, np.int8), (2.5, np.float16), (1 - 2j, np.complex64), (True, np.bool_)):
        agree(
            lambda x, i, v=value: x.at[i].get(mode="fill", fill_value=v), numbers(100, dtype=dtype), indices
        )


def test_dimensions_in_any_order() -> None:
    x, i, j = numbers(5, 60, 7), np.array([[0, 9, -2], [3, 3, 4]]), np.array([1, 59, -7])
    agree(
        lambda x, i, j: (x[:, j], x[i, :, i], x[i, j], x[..., i], x[:, i % 5, None, 2]), x, i, j, guard=True
    )
    batched = lax.GatherDimensionNumbers((1,), (1,), (1,), (0,), (0,))
    agree(lambda x, i: lax.gather(x, i, batched, (1, 1, 7)), x, np.arange(5)[:, None] * 13 - 1, guard=True)
    agree(
        lambda x, i: jnp.take_along_axis(x, i, axis=1), x, np.random.RandomState(0).randint(0, 60, (5, 9, 7))
    )


def test_nothing_to_gather() -> None:
    x = numbers(5, 60)
    agree(lambda x, i: (x[i], x[:, i], x[:0][:, i], x.at[i, :0].get()), x, np.zeros(0, np.int32))


def test_within_expressions() -> None:
    x, i = numbers(1000), np.arange(-5, 400, 3)

    def f(x: Any, i: Any) -> Any:
        y = jnp.tanh(x)
        return (
            (y[i] * 2 + jnp.flip(x)[i]).sum(),
            x[i].reshape(-1, 5) + 1,
            x[x[i].astype(int)],
        )

    agree(f, x, i, rtol=1e-6)
    agree(pb.vmap(lambda x, i: x[i] + 1, (0, None)), numbers(20, 50), np.array([3, -1, 70]))
    agree(pb.grad(lambda x, i: (x[i] ** 2).sum()), x, i, rtol=1e-6)


def test_within_loops() -> None:
    agree(
        lambda x, i: lax.scan(lambda c, k: (c + x[k], x[i[k % 9]]), 0.0, jnp.arange(100)),
        numbers(100),
        np.arange(9) * 9,
        rtol=1e-6,
    )


@pytest.mark.parametrize("start", [0, 1, 2])
def test_small_operands_broadcast(start: int) -> None:
    """Windows of what lies in registers, repeated along a dimension next to theirs."""
    x, k = numbers(3, 3, 3), np.zeros((3, 60), np.int32)

    def repeated(x: Any, k: Any, start: Any) -> Any:
        part = lax.dynamic_slice(x, (0, start, start), (3, 1, 2))
        rows = pb.vmap(lambda x, k: x[k])(part, k)
        return [
            lax.broadcast_in_dim(rows * 2, (3, 60, 3, 2), (0, 1, 3)),
            lax.broadcast_in_dim(rows, (5, 3, 60, 2), (1, 2, 3)) + 1,
            lax.broadcast_in_dim(rows.T, (2, 7, 60, 3), (0, 2, 3)) * 3,
        ]

    agree(repeated, x, k, start)
