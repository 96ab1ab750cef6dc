"""Windows that are written over: in place where that cannot be seen."""

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
from pullback._src.engines.llvm import control

from .agreement import check, draw
from .comparison import agree

Starts = st.integers(-(2**31), 2**31 - 1) | st.integers(-40, 40)


@pytest.fixture(scope="module", autouse=True)
def _wide() -> Iterator[None]:
    with enable_x64(True):
        yield


def numbers(*shape: int, dtype: Any = np.float32) -> np.ndarray[Any, Any]:
    return np.random.RandomState(0).uniform(-50, 50, shape).astype(dtype)


@pytest.fixture
def in_place(monkeypatch: pytest.MonkeyPatch) -> list[list[bool]]:
    """For each loop that is lowered, which parts of its state stay where they are."""
    seen: list[list[bool]] = []
    following = control.State.following

    def observed(self: control.State, *args: Any) -> Any:
        result = following(self, *args)
        seen.append(self.in_place)
        return result

    monkeypatch.setattr(control.State, "following", observed)
    return seen


@given(
    Starts,
    Starts,
    st.sampled_from([(20, 30, 3, 4), (3, 4, 2, 1), (3, 4, 1, 1), (5, 2, 5, 2), (20, 30, 20, 1)]),
)
def test_windows_anywhere(i: int, j: int, sizes: tuple[int, int, int, int]) -> None:
    m, n, h, w = sizes
    x, u = numbers(m, n), numbers(h, w) + 1000
    agree(lambda x, u, i, j: lax.dynamic_update_slice(x, u, (i, j)), x, u, np.int32(i), np.int32(j))


@pytest.mark.parametrize(
    "dtype", [np.bool_, np.int8, np.uint16, np.int64, np.float16, np.float64, np.complex64]
)
@pytest.mark.parametrize("n", [6, 300])
def test_dtypes(dtype: Any, n: int) -> None:
    agree(lambda x, i: lax.dynamic_update_slice(x, x[:3], (i,)), numbers(n, dtype=dtype), np.int32(2))


def test_keys() -> None:
    keys = pb.random.split(pb.random.key(0), 200)
    agree(lambda x, i: lax.dynamic_update_slice(x, x[:2], (i,)), keys, np.uint8(200))


@pytest.mark.parametrize("start", [0, 3, 99])
def test_literal_starts(start: int) -> None:
    for n in (7, 100):
        agree(lambda x: lax.dynamic_update_slice(x, x[:2] * 2, (start,)), numbers(n))


def test_scalars_and_empty() -> None:
    agree(lambda x: lax.dynamic_update_slice(x, x + 1, ()), np.float32(3))
    agree(lambda x: lax.dynamic_update_slice(x, x[:0], (3,)), numbers(100))
    agree(lambda x: lax.dynamic_update_slice(x, x, (3,)), numbers(0))


def test_arguments_and_constants_stay() -> None:
    constant = jnp.asarray(numbers(500))
    x = jnp.asarray(numbers(500))
    before = np.asarray(x).copy(), np.asarray(constant).copy()
    agree(lambda x: (x.at[3].set(7.0), lax.dynamic_update_slice(constant, x[:5] * 2, (9,))), x)
    np.testing.assert_array_equal(before, (np.asarray(x), np.asarray(constant)))


def test_old_contents_that_are_still_needed() -> None:
    def f(x: Any, i: Any) -> Any:
        y = x + 1
        z = lax.dynamic_update_slice(y, y[:100] * 3, (i,))
        w = lax.dynamic_update_slice(z, z[100:300] * 2, (i + 50,))
        head = w[:5].reshape(5, 1)
        v = lax.dynamic_update_slice(w, w[:10] * 3, (i,))
        u = lax.dynamic_update_slice(v[::-1], w[3:9], (i,))
        return v * 2, z.sum(), head * 1, u, y[7]

    agree(f, numbers(1000), np.int32(3), rtol=1e-6)


def test_shared_memory() -> None:
    def f(x: Any, i: Any) -> Any:
        y = jnp.exp(x)
        t = y.T
        z = lax.dynamic_update_slice(y, y[:2, :2], (i, i))
        return z, t + 1, lax.dynamic_update_slice(jnp.broadcast_to(y[0], (40, 30)), y[:1], (i, 0))

    agree(f, numbers(40, 30) / 50, np.int32(3), rtol=1e-6)


def test_loops_write_in_place(in_place: list[list[bool]]) -> None:
    def step(carry: Any, k: Any) -> Any:
        s, x = carry
        s = s * 0.5 + x[k]
        near = x[3:6]
        x = lax.dynamic_update_slice(x, s[None], (k,))
        return (s, x), near.sum()

    agree(lambda x: lax.scan(step, (jnp.float32(0), x), jnp.arange(300)), numbers(300), rtol=1e-6)
    assert in_place == [[False, True]]


def test_nested_loops_write_in_place(in_place: list[list[bool]]) -> None:
    def row(i: Any, x: Any) -> Any:
        return lax.fori_loop(
            0, 10, lambda j, x: lax.dynamic_update_slice(x, (x[i] + x[j])[None], (i * 10 + j,)), x
        )

    def f(x: Any) -> Any:
        y = lax.fori_loop(0, 50, row, x / 100)
        return y, lax.dynamic_update_slice(y, y[:2], (7,)), y.sum()

    agree(f, numbers(1000), rtol=1e-5)
    assert all(flags[-1] for flags in in_place) and len(in_place) == 2


def test_while_writes_in_place(in_place: list[list[bool]]) -> None:
    def f(x: Any, n: Any) -> Any:
        def step(c: Any) -> Any:
            k, x = c
            return k + 1, lax.dynamic_update_slice(x, x[k][None] + 1, (k + 1,))

        return lax.while_loop(lambda c: c[0] < n, step, (0, x))

    for n in (0, 5, 200):
        agree(f, numbers(100), np.int32(n))
    assert all(flags[-1] for flags in in_place)


def test_exchanged_parts_of_the_state() -> None:
    def step(c: Any, k: Any) -> Any:
        a, b = c
        return (lax.dynamic_update_slice(b, a[3:4], (k,)), lax.dynamic_update_slice(a, b[3:4], (k,))), a[3]

    agree(lambda x: lax.scan(step, (x, x + 1), jnp.arange(101)), numbers(500))


def test_state_that_a_turn_returns_as_it_was(in_place: list[list[bool]]) -> None:
    def step(c: Any, k: Any) -> Any:
        return lax.dynamic_update_slice(c, c[:1] + 1, (k,)), c

    agree(lambda x: lax.scan(step, x, jnp.arange(5)), numbers(100))
    agree(lambda x: lax.scan(lambda c, k: (c, c.sum()), x, jnp.arange(5)), numbers(100), rtol=1e-6)


@pytest.mark.parametrize(
    "box", [((1, 29), (1, 39)), ((0, 30), (3, 40)), ((2, 30), (0, 40)), ((0, 29), (0, 39))]
)
def test_most_of_an_array_is_replaced_by_what_is_computed_from_it(box: Any) -> None:
    (a, b), (c, d) = box

    def step(u: Any) -> Any:
        inner = u[a:b, c:d]
        return u.at[a:b, c:d].set(2 * inner + jnp.roll(u, 1, 0)[a:b, c:d] - u.T[c:d, a:b].T)

    def f(u: Any, length: int) -> Any:
        return lax.fori_loop(0, length, lambda _, u: step(u) / 3, u)

    u = draw(30, 40)
    check(step, u)
    check(pb.vmap(step), draw(3, 30, 40))
    for length in (1, 2, 5, 6):
        check(lambda u, n=length: f(u, n), u)
        check(lambda u, n=length: (f(u, n), u.sum()), u)
        check(pb.grad(lambda u, n=length: f(u, n).sum()), u)


def test_such_an_array_is_not_copied() -> None:
    def f(u: Any) -> Any:
        return lax.fori_loop(0, 4, lambda _, u: u.at[1:-1].set(u[2:] + u[:-2]), u)

    u = draw(5000)
    compiled = pb.jit(f).lower(u).compile()
    loops = compiled.as_text("loops")
    assert loops.count("float32[5000] =") == 1  # the loop's first state
    assert loops.count("float32[4998] =") == 1
    np.testing.assert_array_equal(np.asarray(compiled(u))[[0, -1]], u[[0, -1]])
    check(f, u)
