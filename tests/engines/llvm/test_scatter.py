"""Scattering in native code: order, modes, indices anywhere, memory in place."""

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
from pullback._src.base.config import enable_x64, num_threads
from pullback._src.engines.llvm import scatter as module

from .comparison import agree
from .test_slicing import in_place  # noqa: F401 (a fixture)

MODES = ["clip", "drop", "promise_in_bounds"]
METHODS = ["set", "add", "subtract", "multiply", "min", "max"]
DTYPES = [np.int8, np.uint16, np.int64, np.float16, jnp.bfloat16, np.float32, np.float64]


@pytest.fixture(scope="module", autouse=True)
def _wide() -> Iterator[None]:
    with enable_x64(True):
        yield


def numbers(*shape: int, dtype: Any = np.float32) -> np.ndarray[Any, Any]:
    # Small integers: sums in any order are exact.
    return np.random.RandomState(0).randint(-4, 5, shape).astype(dtype)


@given(
    st.lists(st.integers(-(2**31), 2**31 - 1) | st.integers(-9, 9), min_size=1, max_size=40),
    st.sampled_from(MODES),
    st.sampled_from(METHODS),
    st.sampled_from([(6,), (700,), (6, 3), (6, 170)]),
)
def test_indices_anywhere(indices: list[int], mode: str, method: str, shape: tuple[int, ...]) -> None:
    i = np.array(indices, np.int32)
    u = numbers(len(indices), *shape[1:])
    agree(lambda x, i, u: getattr(x.at[i], method)(u, mode=mode), numbers(*shape), i, u, guard=True)


@given(
    st.lists(
        st.tuples(*[st.integers(-(2**31), 2**31 - 1) | st.integers(-9, 99)] * 2), min_size=1, max_size=9
    ),
    st.sampled_from(MODES),
    st.sampled_from([(1, 1), (2, 3), (7, 1), (2, 70), (7, 80), (7, 79)]),
)
def test_windows_anywhere(indices: list[tuple[int, int]], mode: str, sizes: tuple[int, int]) -> None:
    dims = lax.ScatterDimensionNumbers((1, 2), (), (0, 1))
    for function in (lax.scatter, lax.scatter_add):
        agree(
            lambda x, i, u, f=function: f(x * 2, i, u, dims, mode=mode),
            numbers(7, 80),
            np.array(indices, np.int32),
            numbers(len(indices), *sizes),
            guard=True,
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [7, 300])
def test_dtypes(dtype: Any, method: str, n: int) -> None:
    x = jnp.asarray(numbers(n)).astype(dtype)
    u = jnp.asarray(numbers(40)).astype(dtype)
    indices = np.arange(40, dtype=np.int32) * 7 % 11 - 2
    agree(lambda x, i, u: getattr(x.at[i], method)(u), x, indices, u)
    agree(lambda x, i, u: getattr(x.at[i], method)(u), x, np.uint8(3), u[0])


@pytest.mark.parametrize("n", [3, 300])
def test_other_dtypes(n: int) -> None:
    indices = np.array([0, 2, 2, 400], np.int64)
    keys = pb.random.split(pb.random.key(0), n)
    agree(lambda k, i: k.at[i].set(k[0]), keys, indices)
    agree(lambda x, i: (x.at[i].set(True), x.at[i].min(False)), numbers(n, dtype=np.bool_), indices)
    z = numbers(n) + 1j * numbers(n)
    agree(
        lambda x, i: (x.at[i].add(1j), x.at[i].multiply(2j), x.at[i].set(3)), z.astype(np.complex64), indices
    )


def test_half_sums_are_rounded_once() -> None:
    x, i = np.full(100, 2048, np.float16), np.zeros(3000, np.int32)
    agree(lambda x, i: x.at[i].add(np.float16(1)), x, i)
    agree(lambda x, i: x.at[i].add(np.float16(1)), x[:4], i)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint64, np.int64])
@pytest.mark.parametrize("mode", MODES)
def test_index_dtypes(dtype: Any, mode: str) -> None:
    info = np.iinfo(dtype)
    indices = np.array([info.min, info.max, 5, 5, 0], dtype)
    for n in (7, 300):
        agree(
            lambda x, i: x.at[i].add(jnp.arange(5.0, dtype=np.float32), mode=mode),
            numbers(n),
            indices,
            guard=True,
        )


def test_last_update_wins() -> None:
    i = np.array([3, 5, 3, 3, 5])
    agree(lambda x, i: x.at[i].set(jnp.arange(5.0, dtype=np.float32)), numbers(100), i)
    agree(lambda x, i: x.at[:, i].set(jnp.arange(500, dtype=np.float32).reshape(100, 5)), numbers(100, 9), i)


def test_dimensions_in_any_order() -> None:
    x, i, j = numbers(5, 60, 7), np.array([[0, 9, -2], [3, 3, 4]]), np.array([1, 59, -7])

    def f(x: Any, i: Any, j: Any) -> Any:
        return (
            x.at[:, j].add(numbers(5, 3, 7)),
            x.at[i, :, i].set(numbers(2, 3, 60)),
            x.at[i, j].max(2.0),
            x.at[..., i].multiply(numbers(5, 60, 2, 3)),
            x.at[i[0, 0], 3:50].add(1.0),
        )

    agree(f, x, i, j, guard=True)
    batched = lax.ScatterDimensionNumbers((1,), (1,), (1,), (0,), (0,))
    agree(
        lambda x, i, u: lax.scatter_add(x, i, u, batched),
        x,
        np.arange(5)[:, None] * 13 - 1,
        numbers(5, 7),
        guard=True,
    )


def test_scalars_and_empty() -> None:
    x = numbers(100)
    agree(lambda x: x.at[()].add(2.0), np.float32(3))
    agree(lambda x, i: (x.at[i].add(1.0), x[:0].at[i].set(2.0)), x, np.zeros(0, np.int32))


def test_segment_sums() -> None:
    r = np.random.RandomState(0)
    segments = r.randint(0, 20, 500)
    agree(
        lambda x, i: jnp.zeros((20, 3)).at[i].add(x),
        numbers(500, 3),
        segments,
    )
    agree(lambda i: jnp.bincount(i, length=30), segments)


def test_operand_that_is_needed() -> None:
    def f(x: Any, i: Any) -> Any:
        y = x + 1
        z = y.at[i].add(y[i + 1])
        w = z.at[i].set(jnp.flip(z)[:5])
        v = w.at[w[:5].astype(int) % 50].multiply(w[i])
        return v * 2, z.sum(), y[3:9], y

    agree(f, numbers(100), np.array([3, 5, 3, 8, 1]))


def test_arguments_stay() -> None:
    x = jnp.asarray(numbers(500))
    before = np.asarray(x).copy()
    agree(lambda x, i: (x.at[i].set(7.0), x.at[i + 1].add(2.0)), x, np.arange(40), guard=True)
    np.testing.assert_array_equal(before, np.asarray(x))


def test_loops_write_in_place(in_place: list[list[bool]]) -> None:  # noqa: F811
    def body(k: Any, x: Any) -> Any:
        return x.at[k].add(x[k - 1]).at[3, k % 7].set(1.0).at[jnp.array([1, k])].multiply(2.0)

    agree(lambda x: lax.fori_loop(0, 20, body, x), numbers(300, 7))
    assert in_place == [[False, True]] or in_place == [[True]]


def test_gradient_of_indexing_in_a_loop() -> None:
    def f(x: Any) -> Any:
        return lax.scan(lambda c, k: (c + x[k] * x[k - 1], None), 0.0, jnp.arange(1, 90))[0]

    agree(pb.grad(f), numbers(100), rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", MODES)
def test_single_windows_of_small_arrays(method: str, mode: str) -> None:
    x, row = numbers(4, 5), numbers(5) + 1

    def f(x: Any, i: Any, row: Any) -> Any:
        def change(place: Any, value: Any) -> Any:
            return getattr(place, method)(value, mode=mode)

        return (
            change(x.at[i], row), change(x.at[:, i], 2.0), change(x.at[i, i], row[1]),
            change(x[:1].at[0, i], 3.0),
            change(x.astype(np.int8).at[i, 1:3], np.int8(3)), change(x.reshape(2, 2, 5).at[:, i], x[:2, :]),
            change(x[:, :1].at[i], 5.0), change(x.reshape(5, 4).at[2, i], 9.0),
        )  # fmt: skip

    for i in (-(2**31), -5, -1, 0, 1, 3, 4, 2**31 - 1):
        agree(f, x, np.int32(i), row)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3,), (37,), (64,), (9, 5), (2, 70)])
def test_parts_of_many_sums_are_shared(
    shape: tuple[int, ...], dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEAST", 500)
    monkeypatch.setattr(module, "DENSE", 1)
    shared, used = module._shared, []
    monkeypatch.setattr(module, "_shared", lambda *xs: used.append(xs[3]) or shared(*xs))
    n = 1003
    x, updates = numbers(*shape, dtype=dtype), numbers(n, *shape[1:], dtype=dtype)
    indices = np.random.RandomState(1).randint(-2 * shape[0], 2 * shape[0], n)
    for mode in MODES[:2]:
        agree(lambda x, i, u, m=mode: x.at[i].add(u, mode=m), x, indices, updates, guard=True)
    agree(lambda x, i, u: (x + 1).at[i].add(u * 2) + 1, x, indices % shape[0], updates, guard=True)
    agree(lambda x, i, u: x.at[i].max(u).at[i].set(u[0]), x, indices, updates, guard=True)
    several = indices.reshape(17, 59) % shape[0], updates.reshape(17, 59, *shape[1:])
    agree(lambda x, i, u: x.at[i].add(u), x, *several, guard=True)
    agree(pb.vmap(lambda x, i, u: x.at[i].add(u)), np.stack([x, x]), *[v[:2] for v in several], guard=True)
    assert set(used) & {8}


def test_sums_are_the_same_for_any_number_of_threads() -> None:
    r = np.random.RandomState(0)
    x, updates = r.randn(50).astype(np.float32), r.randn(150_000).astype(np.float32)
    x[:2], indices = -0.0, r.randint(2, 50, 150_000)
    results = []
    for count in (1, 2, 5):
        with num_threads(count):
            results.append(np.asarray(pb.jit(lambda x, i, u: x.at[i].add(u))(x, indices, updates)))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
    assert np.signbit(results[0][:2]).all()
    exact = x.astype(np.float64)
    np.add.at(exact, indices, updates)
    np.testing.assert_allclose(results[0], exact, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint32])
@pytest.mark.parametrize("size", [90, 300])
def test_the_most_extreme_indices(dtype: Any, size: int) -> None:
    """What is out of range is left out, at whichever end; nothing around the array is touched."""
    bounds = np.iinfo(dtype)
    places = np.array([bounds.min, bounds.min + 1, 0, 1, size - 1, size, bounds.max - 1, bounds.max, 7])
    places = places.astype(dtype)[:, None]
    numbers = lax.ScatterDimensionNumbers((), (0,), (0,))

    def f(x: Any, updates: Any, places: Any) -> Any:
        return (
            lax.scatter_add(x, places, updates, numbers),
            lax.scatter(x, places, updates, numbers),
            x.at[places[:, 0]].add(updates),
        )

    x, updates = np.arange(size, dtype=np.float32), np.arange(1, 10, dtype=np.float32)
    agree(f, x, updates, places, guard=True)
    own, *_ = pb.jit(f)(x, updates, places)
    expected = x.copy()
    for place, update in zip(places[:, 0], updates, strict=True):
        if 0 <= int(place) < size:
            expected[int(place)] += update
    np.testing.assert_array_equal(own, expected)
