"""Large results are written past the cache: where that is done, and that it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as jnp
from pullback._src.engines.llvm import parallel, streaming

from .comparison import agree

Programs = Callable[..., Any]


def streamed(f: Programs, *args: Any, **options: Any) -> int:
    """How many stores of the program go past the cache."""
    text = str(pb.jit(f, **options).lower(*args).compile().as_text("llvm"))
    assert ("sfence" in text) == ("!nontemporal" in text) == ("!0 = " in text)
    return text.count("!nontemporal")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small arrays count as large, and are shared between threads."""
    if not streaming.possible():
        pytest.skip("this machine has no such stores")
    monkeypatch.setattr(streaming, "LEAST", 1 << 12)
    monkeypatch.setattr(parallel, "CHUNK", 100.0)


def random(*shape: int) -> Any:
    return np.random.RandomState(0).randn(*shape).astype(np.float32)


@pytest.mark.parametrize("n", [1024, 4096, 5000, 5008, 70_001])
def test_long_vectors(n: int) -> None:
    x = random(n)
    assert streamed(lambda x: jnp.tanh(x) * 2, x)
    agree(lambda x: jnp.tanh(x) * 2, x, rtol=1e-6, guard=True)
    agree(lambda x: (x + 1, x * 2, x.astype(np.float16), x > 0, jnp.sum(x)), x, rtol=1e-5, guard=True)
    agree(lambda x: (x + 1, x + 2, x + 3, x + 4, x + 5, x + 6), x, guard=True)


@pytest.mark.parametrize(
    "shape", [(50, 1000), (64, 64), (40, 96), (33, 1024), (7, 30, 40), (50, 37), (50, 1001)]
)
def test_rows(shape: tuple[int, ...]) -> None:
    x = random(*shape)
    aligned = shape[-1] * 4 % streaming.NEEDED == 0
    assert bool(streamed(lambda x: pb.nn.softmax(x, axis=-1), x)) == aligned
    agree(lambda x: pb.nn.softmax(x, axis=-1), x, rtol=1e-5, guard=True)
    agree(lambda x: (x - x.max(-1, keepdims=True), x[..., ::-1] + 1, x.T * 2), x, guard=True)
    agree(lambda x: x[:, : shape[1] - 8] + x[:, 8:], x, guard=True)


def test_what_is_read_again_stays_in_the_cache() -> None:
    x = random(40, 1024)

    def f(x: Any) -> Any:
        y = jnp.exp(x - x.max(1, keepdims=True))
        return y, y / y.sum(1, keepdims=True)

    assert streamed(f, x) < 2 * streamed(lambda x: pb.nn.softmax(x, axis=-1), x)
    agree(f, x, rtol=1e-5, guard=True)
    agree(lambda x: (jnp.sin(x), jnp.cumsum(jnp.sin(x), 1), jnp.sin(x)[::-1, ::2]), x, rtol=1e-4, guard=True)


def test_where_not() -> None:
    x = random(2048)
    assert not streamed(lambda x: x[:512] + 1, x)  # small
    assert not streamed(lambda x: x + 1, x, donate_argnums=0)  # memory that has just been read
    assert not streamed(lambda x: jnp.cumsum(x.reshape(64, 32).T + 1, 0), x)
    turns = random(6, 2048)
    agree(lambda x: pb.lax.scan(lambda c, r: (c + r, c * r), x[0], x), turns, rtol=1e-5, guard=True)


def test_the_call_through_ctypes_aligns_results() -> None:
    x = jnp.asarray(random(70_001))
    executable: Any = pb.jit(lambda x: x * 3).lower(x).compile().runtime_executable()
    for _ in range(5):
        (result,) = executable._call_slowly([np.asarray(x)])
        data = np.asarray(result)
        assert data.ctypes.data % streaming.ALIGNMENT == 0
        np.testing.assert_array_equal(data, np.asarray(x) * 3)
