"""Loops that count: what is known of the counter saves tests, and changes no result."""

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as jnp
from pullback import lax
from pullback._src.base.config import enable_x64
from pullback._src.engines.llvm.engine import Compilation

from .agreement import check

N = 12
X = np.linspace(-1, 1, N, dtype=np.float32)


def text_of(function: Any, *args: Any) -> str:
    return Compilation(pb.jit(function).stage(args, {}).open_program).text


def reading(start: int, stop: int, step: int, offset: int, dtype: Any = np.int32) -> Any:
    """Reads and writes elements at a counter, off the ends too."""

    def run(x: Any) -> Any:
        def turn(state: Any, _: Any) -> Any:
            i, x = state
            j = i + dtype(offset)
            x = x.at[j].add(2 * x[j] + x[i - dtype(1)])
            filled = x.at[j].get(mode="fill", fill_value=7)
            return (i + dtype(step), x), (x[i * dtype(2)], filled, i < j, i == dtype(3), i - dtype(4))

        length = max(0, -((start - stop) // step))
        return lax.scan(turn, (jnp.asarray(dtype(start)), x), None, length=length)

    return run


@pytest.mark.parametrize("offset", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize(("start", "stop", "step"), [(0, N, 1), (1, N - 1, 1), (2, N, 3), (N - 1, 0, -1)])
def test_places_at_a_counter(start: int, stop: int, step: int, offset: int) -> None:
    check(reading(start, stop, step, offset), X)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint8, np.uint32, np.int64])
def test_dtypes_of_counters(dtype: Any) -> None:
    with enable_x64(dtype is np.int64):
        check(reading(1, N, 1, 1, dtype), X)


@pytest.mark.parametrize(("dtype", "start"), [(np.int8, 120), (np.uint8, 250), (np.int32, 2**31 - 5)])
def test_counters_that_overflow(dtype: Any, start: int) -> None:
    def run(x: Any) -> Any:
        def turn(i: Any, _: Any) -> Any:
            return i + dtype(1), (i, x[i], i < dtype(3), i * dtype(2), i + dtype(100))

        return lax.scan(turn, jnp.asarray(dtype(start)), None, length=N)

    check(run, X)


def test_sums_and_products_that_overflow() -> None:
    def run(x: Any) -> Any:
        def turn(i: Any, _: Any) -> Any:
            far = i * np.int32(2**28)
            return i + 1, (
                far,
                far < 0,
                x[far],
                i + np.int32(2**31 - 4),
                x[i + np.int32(2**31 - 4)],
                i - 5 > 0,
            )

        return lax.scan(turn, 0, None, length=N)

    check(run, X)


def test_counters_in_other_computations() -> None:
    def run(x: Any) -> Any:
        def turn(i: Any, y: Any) -> Any:
            y = y + jnp.where(jnp.arange(N) < i, x * i, 0.0)
            return lax.cond(i >= 0, lambda: y + x[i], lambda: y)

        return lax.fori_loop(0, N, turn, x)

    check(run, X)
    check(pb.grad(lambda x: run(x).sum()), X)
    check(pb.vmap(run), np.stack([X, 2 * X]))


def test_places_that_are_known_to_be_there_are_not_tested() -> None:
    def run(x: Any) -> Any:
        return lax.fori_loop(2, N, lambda i, x: x.at[i].set(x[i - 1] + x[i - 2] * 0.5), x)

    def beyond(x: Any) -> Any:
        return lax.fori_loop(2, N + 1, lambda i, x: x.at[i].set(x[i - 1] + x[i - 2] * 0.5), x)

    big = np.linspace(0, 1, 5000, dtype=np.float32)
    assert "llvm.smax" not in text_of(run, big)
    check(run, X)
    check(beyond, X)
