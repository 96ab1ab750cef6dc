"""Random programs of updates, views and loops: what is changed in place is never seen by anybody else."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import pullback.numpy as jnp
from pullback import lax

from .comparison import agree

N = 96  # elements of each array: more than registers take


def _set(a: Any, b: Any, k: int, i: Any) -> Any:
    return lax.dynamic_update_slice(a, b[k : k + 9] + 1, (i + k,))


def _set_view(a: Any, b: Any, k: int, i: Any) -> Any:
    return lax.dynamic_update_slice(a, lax.dynamic_slice(b, (i + k,), (70,)), (k,))


def _scatter(a: Any, b: Any, k: int, i: Any) -> Any:
    return a.at[b[:7].astype(np.int32) % N].add(b[k] + a[i])


def _scatter_one(a: Any, b: Any, k: int, i: Any) -> Any:
    return a.at[i + k].set(b[i])


def _gather(a: Any, b: Any, k: int, i: Any) -> Any:
    return a[(b.astype(np.int32) + k) % N]


def _sort(a: Any, b: Any, k: int, i: Any) -> Any:
    return jnp.sort(a).at[k].set(b[i]) if k % 2 else jnp.cumsum(a % 5)


OPERATIONS = [
    _set,
    _set_view,
    _scatter,
    _scatter_one,
    _gather,
    _sort,
    lambda a, b, k, i: a + b,
    lambda a, b, k, i: a[::-1],
    lambda a, b, k, i: jnp.concatenate([a[k:], b[:k]]),
    lambda a, b, k, i: a.reshape(8, -1).T.reshape(-1),
    lambda a, b, k, i: jnp.where(a > b, a - 5, b[k]),
    lambda a, b, k, i: jnp.broadcast_to(a[k], (N,)),
    lambda a, b, k, i: a * (b.max() % 3),
]
Step = st.tuples(
    st.integers(0, len(OPERATIONS) - 1),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 20),
)
Steps = st.lists(Step, min_size=1, max_size=7)


def _run(steps: Any, pool: tuple[Any, ...], i: Any) -> tuple[Any, ...]:
    arrays = list(pool)
    for operation, x, y, result, k in steps:
        arrays[result] = OPERATIONS[operation](arrays[x], arrays[y], k, i)
    return tuple(arrays)


@given(Steps, Steps, Steps, st.booleans(), st.booleans())
@settings(max_examples=15)
def test_programs(before: Any, inner: Any, outer: Any, nested: bool, doubled: bool) -> None:
    def f(x: Any, y: Any, i: Any) -> Any:
        pool = _run(before, (x, y, x * 2, y + 1), i)

        def turn(k: Any, pool: Any) -> Any:
            again = _run(outer, pool, k)
            if nested:
                again = lax.fori_loop(0, 3, lambda j, p: _run(inner, p, j + k), again)
            return again

        last = lax.fori_loop(0, 4, turn, pool)
        if doubled:
            last, sums = lax.scan(lambda p, k: (_run(inner, p, k), (p[0][k], p[1])), last, jnp.arange(3))
            return (*_run(before, last, i), sums, pool[0])
        return _run(before, last, i)

    r = np.random.RandomState(0)
    x, y = r.randint(0, 99, (2, N)).astype(np.float32)
    agree(f, x, y, np.int32(5))
