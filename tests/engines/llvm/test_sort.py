"""Sorting in native code: every dtype and axis, stable, NaN last."""

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
from pullback._src.engines.llvm import shared_sort, sorting_ir
from pullback._src.engines.llvm import sort as lowering

from .comparison import agree, both

DTYPES = [np.bool_, np.int8, np.uint8, np.int16, np.int32, np.uint32, np.int64, np.uint64]
FLOATS = [np.float16, jnp.bfloat16, np.float32, np.float64]
SHAPES = [(1,), (5,), (24,), (25,), (300,), (5000,), (4, 3), (70, 9), (9, 70), (3, 40, 5)]
SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, -np.nan, 1e-40, -1e-40]


@pytest.fixture(scope="module", autouse=True)
def _wide() -> Iterator[None]:
    with enable_x64(True):
        yield


def numbers(*shape: int, dtype: Any = np.float32) -> Any:
    low, high = (0, 2) if dtype is np.bool_ else (-90, 90)
    return jnp.asarray(np.random.RandomState(0).randint(low, high, shape)).astype(dtype)


@pytest.mark.parametrize("dtype", [*DTYPES, *FLOATS])
@pytest.mark.parametrize("shape", SHAPES)
def test_dtypes_and_axes(dtype: Any, shape: tuple[int, ...]) -> None:
    x = numbers(*shape, dtype=dtype)
    for axis in range(len(shape)):
        agree(lambda x, a=axis: (lax.sort(x, a), jnp.argsort(x, a)), x, guard=True)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.uint64, np.int64])
def test_extremes_of_the_dtype(dtype: Any) -> None:
    info = np.iinfo(dtype)
    x = np.array([info.max, 0, info.min, 1, info.max - 1, info.min + 1] * 9, dtype)
    agree(lambda x: (lax.sort(x), jnp.argsort(x), *lax.top_k(x, 20)), x, guard=True)


@given(
    st.lists(st.sampled_from(SPECIAL) | st.floats(width=32), min_size=1, max_size=90),
    st.sampled_from([np.float16, np.float32, np.float64]),
)
def test_special_values(values: list[float], dtype: Any) -> None:
    with np.errstate(all="ignore"):
        x = np.array(values).astype(dtype)
    native, reference, _ = both(lambda x: (lax.sort(x), jnp.argsort(x), *lax.top_k(x, len(values))), x)
    for a, b in zip(native, reference, strict=True):
        np.testing.assert_array_equal(a, b)
    # Zeros of both signs keep their order (the NumPy engine sorts stably where there are such).
    np.testing.assert_array_equal(np.signbit(native[0][native[0] == 0]), np.signbit(x[x == 0]))


@pytest.mark.parametrize("n", [7, 100, 6000])
@pytest.mark.parametrize("keys", [1, 2, 3])
def test_several_operands(n: int, keys: int) -> None:
    r = np.random.RandomState(0)
    x, y, z = (
        r.randint(0, 3, n).astype(np.float32),
        r.randint(-2, 2, n),
        r.randint(0, 200, n).astype(np.int16),
    )
    w = np.arange(n) * (1 + 2j)
    random = pb.random.split(pb.random.key(0), n)
    agree(lambda *xs: lax.sort(xs, 0, num_keys=keys), x, y, z, w, random)
    agree(lambda *xs: lax.sort(xs, 1, num_keys=keys), *[np.stack([a, a[::-1], a], 0) for a in (z, x, y)])
    agree(lambda *xs: lax.sort(xs, 0, num_keys=keys), *[np.stack([a, a[::-1], a], 1) for a in (z, x, y)])


@pytest.mark.parametrize("n", [9, 300])
def test_complex(n: int) -> None:
    r = np.random.RandomState(0)
    z = r.randint(-3, 3, n) + 1j * r.randint(-3, 3, n)
    for dtype in (np.complex64, np.complex128):
        agree(lambda x: (lax.sort(x), jnp.argsort(x)), z.astype(dtype))
    z[3], z[5], z[7] = np.nan, complex(1, np.nan), complex(np.nan, 2)
    agree(jnp.argsort, z)


@pytest.mark.parametrize("dtype", [np.int8, np.uint32, np.bool_, np.float32, jnp.bfloat16, np.float64])
@pytest.mark.parametrize("shape", [(30,), (700,), (20, 30), (3, 8, 50)])
def test_top_k(dtype: Any, shape: tuple[int, ...]) -> None:
    x = numbers(*shape, dtype=dtype)
    for k in (0, 1, 4, shape[-1]):
        agree(lambda x, k=k: lax.top_k(x, k), x, guard=True)
    agree(lambda x: lax.top_k(x, 2, axis=0), x)


@pytest.mark.parametrize("k", [1, 5, 32])
def test_top_k_of_ordered_elements(k: int) -> None:
    for n in (130, 5000):
        x = np.arange(n, dtype=np.float32)
        for y in (x, -x, x // 100, x * 0, np.where(x % 7 == 0, np.nan, x)):
            agree(lambda x: lax.top_k(x, k), y, guard=True)


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.float32, np.int64, np.uint64, np.float64])
@pytest.mark.parametrize("n", [sorting_ir.LEAST, 70_001, 1_100_003])  # the keys of the last one are far apart
def test_long_arrays(n: int, dtype: Any) -> None:
    """Sorted by the runtime's routines."""
    r = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        x = np.frombuffer(r.bytes(n * np.dtype(dtype).itemsize), dtype)  # all bits: NaN and infinities, too
        few = r.integers(0, 3, n).astype(dtype)
    for threads in (1, 3):
        with num_threads(threads):
            for y in (x, few, np.zeros(n, dtype), np.sort(x)[::-1]):
                np.testing.assert_array_equal(pb.jit(lax.sort)(jnp.asarray(y)), np.sort(y))
    assert "pb_sort" in pb.jit(lax.sort).lower(x).compile().as_text("llvm")
    agree(lax.sort, x[:70_001], guard=True)


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.float32, np.int64, np.uint64, np.float64])
@pytest.mark.parametrize("shape", [(129, 128), (7, 5, 1001), (20, 5000), (3, 70_001), (2, 1_100_003)])
def test_rows_by_routines(shape: tuple[int, ...], dtype: Any) -> None:
    with np.errstate(all="ignore"):
        data = np.random.default_rng(0).bytes(np.prod(shape) * np.dtype(dtype).itemsize)
        x = np.frombuffer(data, dtype).reshape(shape)
    for threads in (1, 3):
        with num_threads(threads):
            np.testing.assert_array_equal(pb.jit(lax.sort)(jnp.asarray(x)), np.sort(x))
    assert "pb_sort_rows" in pb.jit(lax.sort).lower(x).compile().as_text("llvm")
    if x.size < 100_000:
        agree(lax.sort, x, guard=True)
    if np.dtype(dtype).kind == "f":
        zeros = np.random.default_rng(1).choice(np.array([0.0, -0.0, 1.0, -1.0], dtype), shape)
        found = np.asarray(pb.jit(lax.sort)(jnp.asarray(zeros)))
        np.testing.assert_array_equal(found, np.sort(zeros))
        signs = [
            [np.signbit(row[row == 0]).tolist() for row in y.reshape(-1, shape[-1])] for y in (found, zeros)
        ]
        assert signs[0] == signs[1], "zeros keep their order"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_values_in_long_arrays(dtype: Any) -> None:
    r = np.random.default_rng(0)
    for values in (SPECIAL, [0.0, -0.0], [0.0], [-0.0], [1.0, -0.0, 0.0], [np.nan, -0.0, 0.0, -1.0]):
        with np.errstate(all="ignore"):
            x = r.choice(np.array(values).astype(dtype), 70_000)
        found = np.asarray(pb.jit(lax.sort)(jnp.asarray(x)))
        np.testing.assert_array_equal(found, np.sort(x))
        np.testing.assert_array_equal(np.signbit(found[found == 0]), np.signbit(x[x == 0]))


def test_long_arrays_within_programs() -> None:
    """Of other shapes and strides, computed, in loops, as a part of a result, and under transformations."""
    x = numbers(70_000) + np.linspace(0, 1, 70_000).astype(np.float32)
    agree(lambda x: lax.sort(x * -2) * 4, x)
    agree(lambda x: lax.sort(x.reshape(1, -1), 1), x)
    agree(lambda x: lax.sort(x[::-1]), x)
    agree(lambda x: lax.sort(jnp.stack([x, -x], 1)[:, 1]), x)
    agree(lambda x: jnp.stack([lax.sort(x), lax.sort(-x)], 1), x)
    agree(lambda x: lax.fori_loop(0, 3, lambda k, x: lax.sort(-x), x), x)
    agree(lambda x: lax.map(lax.sort, jnp.stack([x, -x])), x)
    agree(pb.vmap(lax.sort), np.stack([x, -x]))
    agree(pb.grad(lambda x: (lax.sort(x) * jnp.arange(x.size)).sum()), x)
    agree(lax.sort, np.stack([x, -x], 1))


def test_a_long_array_that_is_given_away() -> None:
    x = numbers(70_000) * np.float32(-0.0)  # zeros of both signs, for which the elements are read once more
    expected = np.signbit(np.asarray(x))
    found = pb.jit(lax.sort, donate_argnums=0)(jnp.array(x))
    np.testing.assert_array_equal(np.signbit(np.asarray(found)), expected)


def test_many() -> None:
    x = np.random.RandomState(0).randn(70_000).astype(np.float32)
    for shape in ((70_000,), (700, 100), (7000, 10)):
        agree(lax.sort, x.reshape(shape), guard=True)
        agree(lambda x: jnp.argsort(x, 0), x.reshape(shape), guard=True)
    agree(lambda x: lax.sort((x.astype(np.int32), x), num_keys=2), x)


@pytest.mark.parametrize("n", [130, 1031, 4096])
def test_long_rows_are_shared(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lowering, "LEAST", 100)
    monkeypatch.setattr(shared_sort, "PART", 64)
    called = []
    shared = lowering.sort_shared
    monkeypatch.setattr(lowering, "sort_shared", lambda *xs: called.append(1) or shared(*xs))
    r = np.random.RandomState(0)
    for dtype in (np.bool_, np.int8, np.uint32, np.int64, np.float16, np.float32, np.float64):
        x = numbers(n, dtype=dtype)
        agree(jnp.argsort, x, guard=True)
        agree(lambda x: jnp.argsort(x, 1), x[None, :], guard=True)
        agree(jnp.argsort, np.zeros(n, dtype))  # no digit differs
        agree(jnp.argsort, r.permutation(n).astype(dtype), guard=True)
    special = r.choice(np.array(SPECIAL, np.float32), n)
    agree(jnp.argsort, special, guard=True)
    agree(jnp.argsort, special.astype(np.float64) * r.randn(n), guard=True)
    y, z = r.randint(0, 3, n), r.randn(n).astype(np.float32)
    for keys in (1, 2, 3):
        agree(
            lambda *xs, k=keys: lax.sort(xs, 0, num_keys=k), y.astype(np.int16), y[::-1] * 0.5, z, guard=True
        )
        agree(lambda *xs, k=keys: lax.sort(xs, 0, num_keys=k), y.astype(np.int16), special, z, guard=True)
    agree(jnp.argsort, np.round(z) + 1j * y, guard=True)
    agree(lambda x: jnp.argsort(jnp.tanh(x) + x), z, guard=True)
    assert called


def test_long_rows_with_any_number_of_threads() -> None:
    x = np.random.RandomState(0).randint(0, 5000, 150_001).astype(np.float32)
    expected = np.argsort(x, kind="stable")
    for count in (1, 2, 5):
        with num_threads(count):
            np.testing.assert_array_equal(pb.jit(jnp.argsort)(x), expected)


def test_in_programs() -> None:
    def f(x: Any) -> Any:
        y = jnp.sort(jnp.tanh(x), 1)
        return (
            y[:, ::-1] * 2,
            jnp.median(x),
            jnp.sort(x.T, 0) + 1,
            x[jnp.argsort(x[:, 0])],
            jnp.sort(-x)[:, 3],
        )

    agree(f, np.random.RandomState(0).randn(20, 30).astype(np.float32), rtol=1e-6)
    agree(pb.vmap(lambda x, k: x[jnp.argsort(k)]), numbers(5, 50), numbers(5, 50))
    agree(pb.grad(lambda x: (jnp.sort(x) * jnp.arange(100)).sum()), numbers(100, dtype=np.float64))
    agree(lambda x: lax.scan(lambda c, r: (jnp.sort(c + r), c[0]), x[0], x), numbers(9, 40))
    agree(lambda k: pb.random.permutation(k, 50), pb.random.key(0))
    agree(lambda x: (lax.sort(x[:0]), lax.sort(x[:, :0]), lax.sort(x[:1], 0)), numbers(9, 40))
    agree(lambda x: lax.sort(x.ravel()[:, None], 1), numbers(9, 40))
