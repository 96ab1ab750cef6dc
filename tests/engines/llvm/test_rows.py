"""Reductions of rows: the last vector of a row overlaps, and rows come to the cache ahead of time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as jnp

from .comparison import agree

LENGTHS = [33, 47, 64, 100, 1000, 1001, 4097]


def random(*shape: int) -> Any:
    return np.random.RandomState(0).randn(*shape).astype(np.float32)


@pytest.mark.parametrize("n", LENGTHS)
def test_each_term_counts_once(n: int) -> None:
    x = random(3, n)
    small = (x * 10).astype(np.int16)
    agree(lambda x: (jnp.sum(x, -1), jnp.sum(jnp.exp(x), -1)), x, rtol=1e-5, guard=True)
    agree(lambda x: (jnp.prod(1 + x / n, -1), jnp.prod(jnp.exp(x / n), -1)), x, rtol=1e-4, guard=True)
    agree(lambda x: (jnp.sum(x > 0, -1), jnp.any(x > 3, -1), jnp.all(x > -3, -1)), x, guard=True)
    agree(lambda i: (jnp.sum(i, -1), jnp.prod(i, -1), jnp.max(i, -1), jnp.min(i, -1)), small, guard=True)
    agree(lambda i: [f(i, axes=(1,)) for f in (pb.lax.reduce_xor, pb.lax.reduce_or)], small, guard=True)
    agree(lambda x: pb.lax.reduce_xor(x > 0, axes=(1,)), x, guard=True)
    agree(lambda x: (jnp.argmax(x, -1), jnp.argmin(x, -1), jnp.max(x, -1), jnp.sum(x * x, -1)), x, rtol=1e-5)


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("place", [0, 1, -33, -1])
def test_not_a_number_anywhere(n: int, place: int) -> None:
    x = random(3, n)
    x[1, place], x[2, place] = np.nan, np.inf
    functions: list[Callable[[Any], Any]] = [jnp.max, jnp.min, jnp.sum]
    for f in functions:
        agree(lambda x, f=f: f(x, axis=-1), x, rtol=1e-5)
        assert np.isnan(pb.jit(lambda x, f=f: f(x, axis=-1))(x)).tolist() == [False, True, False]


def _prefetches(f: Callable[..., Any], x: Any) -> bool:
    return "@llvm.prefetch" in str(pb.jit(f).lower(x).compile().as_text("llvm"))


def test_rows_ahead() -> None:
    x = random(1100, 300)
    assert _prefetches(pb.nn.softmax, x)
    agree(pb.nn.softmax, x, rtol=1e-5, guard=True)
    agree(lambda x: (x - jnp.mean(x, -1, keepdims=True)) ** 2, x, rtol=1e-5, guard=True)
    # Small arrays are in the cache, long rows would drive each other out, and a single pass needs no help.
    assert not _prefetches(pb.nn.softmax, x[:500])
    assert not _prefetches(pb.nn.softmax, random(30, 10_000))
    assert not _prefetches(lambda x: jnp.max(x, -1), x)


def _columns(f: Callable[..., Any], *args: Any, **options: Any) -> bool:
    text = str(pb.jit(f, **options).lower(*args).compile().as_text("loops"))
    return "columns" in text


def _centred(x: Any) -> Any:
    return jnp.sum((x - jnp.mean(x, 0)) ** 2, axis=0), jnp.max(x, axis=0)


@pytest.mark.parametrize("shape", [(1500, 192), (700, 1000), (2003, 333), (30, 10_001)])
def test_blocks_of_columns(shape: tuple[int, ...]) -> None:
    x = random(*shape)
    x[3, 7], x[5, 8], x[:, 9] = np.nan, np.inf, -np.inf
    functions = (
        lambda x: pb.scipy.special.logsumexp(x, axis=0), lambda x: pb.nn.softmax(x, axis=0), _centred,
        lambda x: jnp.sum(jnp.exp(x - jnp.max(x, axis=0)), axis=0),
        lambda x: (x - jnp.min(x, axis=0)) / (1 + jnp.max(x, axis=0)),
    )  # fmt: skip
    for f in functions:
        assert _columns(f, x)
        agree(f, x, rtol=1e-4, guard=True)
        agree(f, x.astype(np.float16), rtol=1e-2)
    with pb.enable_x64():
        agree(_centred, x.astype(np.float64), rtol=1e-12, guard=True)
    agree(lambda i: jnp.sum((i - jnp.max(i, axis=0)) ** 2, axis=0), random(*shape).astype(np.int8))


def test_columns_of_several_dimensions() -> None:
    def f(x: Any) -> Any:
        return jnp.sum((x - jnp.mean(x, (0, 1))) ** 2, (0, 1))

    assert _columns(f, random(50, 41, 200))
    agree(f, random(50, 41, 200), rtol=1e-4, guard=True)


def test_other_columns_are_not_shared() -> None:
    x = random(1500, 300)
    # What is read is written at another column, or at all of them; or there is little.
    for f in (
        lambda x: jnp.max(x, 0)[::-1] + 1,
        lambda x: jnp.roll(jnp.max(x, 0), 1) - jnp.sum(x, axis=0),
        lambda x: jnp.sum(x * jnp.roll(jnp.max(x, 0), 3), axis=0),
        lambda x: jnp.sum(x - jnp.max(jnp.max(x, 0)), axis=0),
        lambda x: jnp.cumsum(jnp.max(x, 0)),
    ):
        agree(f, x, rtol=1e-4, guard=True)
    assert not _columns(_centred, x[:100])
    assert not _columns(_centred, random(9000, 200))
    assert not _columns(lambda x: jnp.sum(x * jnp.roll(jnp.max(x, 0), 3), axis=0), x)


def test_columns_in_donated_memory() -> None:
    def f(x: Any) -> Any:
        return x - jnp.max(x, axis=0) * jnp.mean(x, axis=0)

    x = random(1500, 333)
    expected = np.asarray(pb.jit(f)(x))
    for _ in range(3):
        np.testing.assert_array_equal(pb.jit(f, donate_argnums=0)(jnp.array(x)), expected)


def test_reductions_that_are_alike_are_one_function() -> None:
    def moments(x: Any) -> Any:
        mean = jnp.mean(x, axis=(0, 2))
        return mean, jnp.mean((x - mean[:, None]) ** 2, axis=(0, 2))

    def called(f: Callable[..., Any], x: Any) -> list[int]:
        names = re.findall(r"call void @(part\d+)\(", agree(f, x, rtol=1e-5, guard=True).text)
        return sorted(Counter(names).values())

    x = random(300, 200, 50)
    assert called(moments, x) == [2]
    assert called(lambda x: jnp.sum(x, axis=0), x[0]) == []
