"""Loops that read what the turn before has written."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as jnp
from pullback import lax
from pullback._src.base.config import enable_x64
from pullback._src.engines.llvm.engine import Compilation

from .agreement import check

N = 40
_RNG = np.random.default_rng(3)
_TURNS = np.arange(N)
# Where each turn writes, and where it reads.
PLACES = {
    "the one before": (_TURNS, _TURNS - 1),
    "two before": (_TURNS, _TURNS - 2),
    "the same": (_TURNS, _TURNS),
    "one place": (0 * _TURNS, 0 * _TURNS),
    "random": (_RNG.integers(0, 4, N), _RNG.integers(0, 4, N)),
    "out of range": (_RNG.choice([-N - 2, -1, 0, N - 1, N, N + 3], N), _RNG.choice([-1, 0, N - 1, N], N)),
}
WRITE: dict[str, Callable[..., Any]] = {
    "slice": lambda x, i, v: lax.dynamic_update_slice(x, v[None], (i,)),
    "set": lambda x, i, v: x.at[i].set(v),
    "clip": lambda x, i, v: x.at[i].set(v, mode="clip"),
}
READ: dict[str, Callable[..., Any]] = {
    "slice": lambda x, i: lax.dynamic_slice(x, (i,), (1,))[0],
    "index": lambda x, i: x[i],
}


def step(value: Any) -> Any:
    return (value * 5 + 3) % 17 if value.dtype.kind in "iu" else jnp.cos(value) + 0.3 * value


def chain(write: str, read: str) -> Callable[..., Any]:
    def run(x: Any, written: Any, seen: Any) -> Any:
        def turn(x: Any, at: Any) -> Any:
            value = READ[read](x, at[1])
            return WRITE[write](x, at[0], step(value)), value

        return lax.scan(turn, x, (written, seen))

    return run


@pytest.mark.parametrize("write", WRITE)
@pytest.mark.parametrize("read", READ)
@pytest.mark.parametrize("kind", PLACES)
def test_elements_are_those_in_memory(kind: str, read: str, write: str) -> None:
    written, seen = (places.astype(np.int32) for places in PLACES[kind])
    check(chain(write, read), np.linspace(-1, 1, N, dtype=np.float32), written, seen)


@pytest.mark.parametrize("dtype", ["float64", "int32", "uint32", "float16", "bool", "complex64"])
def test_dtypes(dtype: str) -> None:
    with enable_x64(dtype == "float64"):
        x = (np.arange(N) % 3).astype(dtype)
        function = chain("set", "index") if dtype != "bool" else _flags
        check(function, x, *[p.astype(np.uint32) for p in PLACES["random"]])


def _flags(x: Any, written: Any, seen: Any) -> Any:
    return lax.scan(lambda x, at: (x.at[at[0]].set(~x[at[1]]), x[at[1]]), x, (written, seen))


def recurrence(start: Any) -> Any:
    def turn(i: Any, x: Any) -> Any:
        return x.at[i].set(jnp.cos(x[i - 1]) + 0.3 * x[i - 2])

    return lax.fori_loop(2, N, turn, jnp.zeros(N).at[:2].set(start))


def test_a_recurrence_and_its_derivatives() -> None:
    start = np.array([0.3, 0.7], np.float32)
    check(recurrence, start)
    check(pb.jacfwd(recurrence), start)
    check(pb.grad(lambda s: recurrence(s)[-1]), start)
    check(pb.vmap(recurrence), np.stack([start, 2 * start]))
    text = Compilation(pb.jit(recurrence).stage((start,), {}).open_program).text
    assert text.count(" = phi float [0x0000000000000000, ") == 1


def test_while_loops() -> None:
    def run(x: Any, limit: Any) -> Any:
        def turn(state: Any) -> Any:
            i, x = state
            return i + 1, x.at[i].set(step(x[i - 1]))

        return lax.while_loop(lambda state: (state[0] < N) & (state[1][state[0] - 1] < limit), turn, (1, x))

    x = np.zeros(N, np.float32)
    for limit in (2.0, 1.2, -1.0):
        check(run, x, np.float32(limit))


def test_two_states_and_loops_within_loops() -> None:
    def run(x: Any, y: Any) -> Any:
        def inner(i: Any, state: Any) -> Any:
            x, y = state
            a = x[i - 1] + y[i - 2]
            return x.at[i].set(jnp.sin(a)), y.at[i].set(jnp.cos(a) * x[i - 1])

        def outer(x: Any, k: Any) -> Any:
            x, z = lax.fori_loop(2, N, inner, (x, y))
            return x.at[k].set(z[k] + x[k - 1]), z[k]

        return lax.scan(outer, x, jnp.arange(1, 5))

    check(run, np.linspace(0, 1, N, dtype=np.float32), np.linspace(1, 2, N, dtype=np.float32))


def test_old_content_that_is_kept() -> None:
    """The array before the write is a result, too, so nothing is written over."""

    def run(x: Any) -> Any:
        def turn(x: Any, i: Any) -> Any:
            new = x.at[i].set(step(x[i - 1]))
            return new, x

        return lax.scan(turn, x, jnp.arange(1, 5))

    check(run, np.linspace(0, 1, N, dtype=np.float32))
