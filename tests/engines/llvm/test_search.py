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
from pullback._src.engines.llvm import search as lowering

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


def _arrays(n: int, dtype: Any) -> dict[str, Any]:
    r, info = np.random.RandomState(n), np.finfo(dtype)
    arrays = {
        "uniform": r.rand(n),
        "grid": np.linspace(0, 1, n),
        "normal": r.randn(n),
        "exponential": np.exp(np.linspace(-40, 40, n)),
        "ties": r.randint(0, 9, n),
        "equal": np.full(n, 2.5),
        "subnormal": r.randint(-90, 90, n) * float(info.smallest_subnormal),
        "largest": r.uniform(-1, 1, n) * float(info.max),
        "neighbours": 1 + r.randint(0, 5, n) * float(info.eps),
        "infinite": np.concatenate([[-np.inf] * 3, r.randn(n - 6), [np.inf] * 3]),
        "nan": np.concatenate([r.randn(n - 4), [np.inf], [np.nan] * 3]),
        "all nan": np.full(n, np.nan),
        "zeros": np.concatenate([-r.rand(n // 2), [-0.0, 0.0, -0.0], r.rand(n - n // 2 - 3)]),
    }
    return {name: np.sort(a.astype(dtype)) for name, a in arrays.items()}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [64, 100, 1000])
def test_many_values_begin_with_a_table(n: int, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    make = lowering.make_table
    monkeypatch.setattr(lowering, "make_table", lambda *xs: made.append(1) or make(*xs))
    r, info = np.random.RandomState(0), np.finfo(dtype)
    special = np.array(
        [
            0.0,
            -0.0,
            np.inf,
            -np.inf,
            np.nan,
            -np.nan,
            info.max,
            -info.max,
            info.tiny,
            info.smallest_subnormal,
        ],
        dtype,
    )
    with enable_x64(True):
        for a in _arrays(n, dtype).values():
            finite = a[np.isfinite(a)]
            near = [np.nextafter(finite, s).astype(dtype) for s in (np.inf, -np.inf)] if finite.size else []
            around = [(r.rand(20 * n) * 3 - 1).astype(dtype), a, special, *near]
            if finite.size:
                with np.errstate(over="ignore", invalid="ignore"):
                    around.append(
                        r.uniform(-0.1, 1.1, 25 * n).astype(dtype) * (finite[-1] - finite[0]) + finite[0]
                    )
            values = np.concatenate(around)
            agree(
                lambda a, v: (jnp.searchsorted(a, v), jnp.searchsorted(a, v, side="right")),
                a,
                values,
                guard=True,
            )
            agree(
                lambda a, v: jnp.searchsorted(a[::-1][::-1][::2], v.reshape(-1, 1)),
                a,
                values[: len(values) // 2 * 2],
            )
    assert made


def test_a_table_in_a_loop() -> None:
    r = np.random.RandomState(0)
    x, v = np.sort(r.rand(3, 80).astype(np.float32)), r.rand(3, 5000).astype(np.float32)

    def turn(total: Any, pair: Any) -> Any:
        found = jnp.searchsorted(pair[0] * 2, pair[1] * 2)
        return total + found, (found.sum(), jnp.tanh(total))

    agree(lambda x, v: pb.lax.scan(turn, jnp.zeros(5000, jnp.int32), (x, v)), x, v, rtol=1e-6)
    agree(pb.vmap(jnp.searchsorted), x, v)
    agree(
        lambda x, v: pb.lax.cond(x[0, 0] > 0, jnp.searchsorted, lambda x, v: (v * 0).astype(int), x[0], v[0]),
        x,
        v,
    )
    many = r.rand(200_000).astype(np.float32)
    agree(jnp.searchsorted, np.sort(r.rand(300).astype(np.float32)), many)
    agree(lambda x, v: jnp.interp(v, x, x * x), x[0], many, rtol=1e-5)


def test_arrays_that_are_not_sorted() -> None:
    # Whatever the result, nothing outside of the array is read.
    x = np.random.RandomState(0).randn(1000).astype(np.float32)
    for y in (x, np.tile(x, 30)):
        agree(lambda a, v: (jnp.searchsorted(a, v) >= 0) & (jnp.searchsorted(a, v) <= 1000), x, y, guard=True)


def test_in_programs() -> None:
    x = np.random.RandomState(0).randn(300).astype(np.float32)
    agree(lambda x: jnp.searchsorted(jnp.sort(x), x * 2) + 1, x)
    agree(lambda x: jnp.digitize(x, jnp.linspace(-1, 1, 20)), x)
    agree(lambda x: jnp.interp(x, jnp.arange(5.0), jnp.arange(5.0) ** 2), x, rtol=1e-6)
    agree(lambda x: jnp.histogram(x, 20)[0], x)
    agree(pb.vmap(lambda v: jnp.searchsorted(jnp.arange(9.0), v)), x)
    agree(lambda a, v: jnp.searchsorted(a[::-2], v), -np.sort(x), x)
    agree(lambda a: jnp.searchsorted(a, a[:0]), x)
