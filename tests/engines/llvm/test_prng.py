"""Random keys and bits in native code: the NumPy engine's, bit for bit, in both layouts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as jnp
from pullback import lax
from pullback._src.base.config import enable_x64, threefry_partitionable

from .comparison import agree


@pytest.fixture(scope="module", autouse=True, params=[False, True], ids=["historical", "partitionable"])
def _layout(request: Any) -> Iterator[None]:
    with threefry_partitionable(request.param), enable_x64(True):
        yield


KEYS = pb.random.split(pb.random.key(7), 5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize(
    "shape", [(), (1,), (2,), (7,), (64,), (65,), (200,), (201,), (3, 67), (10, 300), (0,), (3, 0)]
)
def test_bits(dtype: Any, shape: tuple[int, ...]) -> None:
    agree(lambda k: pb.random.bits(k, shape, dtype), KEYS[3], guard=True)
    agree(pb.vmap(lambda k: pb.random.bits(k, shape, dtype)), KEYS, guard=True)


@pytest.mark.parametrize("shape", [(1,), (2,), (3,), (50,), (3, 7), (400,), (0,)])
def test_split(shape: tuple[int, ...]) -> None:
    agree(lambda k: pb.random.split(k, shape), KEYS[1], guard=True)
    agree(pb.vmap(lambda k: pb.random.split(k, shape)), KEYS)
    agree(lambda k: pb.random.key_data(pb.random.split(k, shape)), KEYS[1])


def test_fold_in() -> None:
    agree(pb.random.fold_in, KEYS[0], np.uint32(2**32 - 5))
    agree(pb.vmap(pb.random.fold_in, (None, 0)), KEYS[0], np.arange(100, dtype=np.uint32))
    agree(pb.vmap(pb.random.fold_in), KEYS, np.arange(5, dtype=np.uint32))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64])
def test_seeds(dtype: Any) -> None:
    for n in (5, 100):
        seeds = (np.arange(n, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)).astype(dtype)
        agree(pb.vmap(pb.random.key), seeds)
        agree(lambda s: pb.random.key(s[0]), seeds)


def test_words_of_keys() -> None:
    for n in (3, 200):
        keys = pb.random.split(KEYS[0], n)
        agree(lambda k: (pb.random.key_data(k), pb.random.key_data(k)[:, 1], pb.random.key_data(k[1])), keys)
        words = np.arange(4 * n, dtype=np.uint32).reshape(2, n, 2) * 77777
        agree(lambda w: (pb.random.wrap_key_data(w), pb.random.wrap_key_data(w.T.T[1])), words)
        agree(lambda w: pb.random.bits(pb.random.wrap_key_data(w[0, 1]), (3,)), words)
        # The words of a key in row-major order, through every kind of index.
        agree(lambda w: pb.random.key_data(pb.random.wrap_key_data(w + 1)).reshape(-1)[::-1], words)


def test_in_programs() -> None:
    def walk(key: Any, n: Any) -> Any:
        key, part = pb.random.split(key)
        return key, (pb.random.bits(part), pb.random.bits(pb.random.fold_in(key, n), (100,)))

    agree(lambda k: lax.scan(walk, k, jnp.arange(20, dtype=np.uint32)), KEYS[0])
    agree(
        lambda k, x: jnp.where(x > 0, pb.random.uniform(k, (300,)), 0.5) + x,
        KEYS[0],
        np.arange(300.0),
        rtol=1e-15,
    )
    for n in (10, 1001, 100_000):
        agree(
            lambda k, n=n: (pb.random.normal(k, (n,), np.float32).sum(), pb.random.uniform(k, (n,))),
            KEYS[0],
            rtol=2e-6,
        )
