"""Scans without a state: threads share their turns."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as jnp
from pullback import lax, random
from pullback._src.base.config import enable_x64, num_threads
from pullback._src.core import engine as registry
from pullback._src.engines.llvm import parallel, shared_scan
from pullback._src.engines.llvm.engine import Compilation

from .agreement import draw, same
from .test_soundness import _bits, _compiled, _run_guarded

TABLE = np.arange(40, dtype=np.float32).reshape(8, 5)


def turns_of(x: Any, n: Any) -> Any:
    """As many turns of a loop as `n` says, at most fifty."""
    return lax.while_loop(
        lambda s: s[0] < n % 50, lambda s: (s[0] + 1, s[1] + jnp.float32(0.1) * jnp.sin(s[1])), (0, x)
    )[1]


def mapped(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x: lax.map(f, x)


def of_each(f: Callable[..., Any]) -> Callable[..., Any]:
    """f(row, number of the row) for each row."""
    return lambda x: lax.map(lambda pair: f(*pair), (x, jnp.arange(x.shape[0])))


def _reversed(x: Any) -> Any:
    return lax.scan(lambda _, row: (None, (jnp.sin(row), row[0] > 0)), None, x, reverse=True)[1]


def _registers(x: Any) -> Any:
    mean, most = jnp.tanh(x.mean(0)[:4]), x.max() > 1
    return lax.map(lambda row: (jnp.exp(row[:4]) * mean, jnp.where(most, row[0], row[1]), most), x)


def _in_a_scan(x: Any) -> Any:
    def turn(c: Any, k: Any) -> Any:
        y = lax.map(lambda row: jnp.tanh(row + c[k]).sum(), x)
        return c + y[: c.shape[0]].sum() * jnp.float32(0.01), y

    return lax.scan(turn, x[0], jnp.arange(3))


def _scan_inside(x: Any) -> Any:
    def one(row: Any) -> Any:
        last, all_ = lax.scan(lambda c, v: (c * jnp.float32(0.5) + v, c * row), row, row)
        return last, all_.sum(0)

    return lax.map(one, x)


def _map_inside(x: Any) -> Any:
    return lax.map(lambda row: lax.map(lambda v: jnp.sin(v + row).sum(), row).cumsum(), x)


def _places(row: Any, k: Any) -> Any:
    i = (jnp.arange(2 * row.shape[0]) * (k + 3)) % row.shape[0]
    return row[i].sum(), jnp.zeros_like(row).at[i].add(jnp.sin(row)[i // 2]), jnp.asarray(TABLE)[i % 8].sum(0)


def _branches(row: Any, k: Any) -> Any:
    return lax.switch(k % 3, [jnp.sin, lambda v: turns_of(v, k), lambda v: v[::-1]], row)


def _numbers(row: Any, k: Any) -> Any:
    key = random.fold_in(random.key(3), k)
    return random.normal(key, row.shape) * row, random.split(key)


def _matrices(row: Any, k: Any) -> Any:
    n = 12
    a = jnp.outer(row[:n], row[:n]) + n * jnp.eye(n, dtype=row.dtype)
    f = jnp.linalg.cholesky(a)
    return f, jnp.linalg.solve(a, row[:n]), lax.linalg.triangular_solve(f, a, left_side=True, lower=True)


def _products(row: Any, k: Any) -> Any:
    a = jnp.sin(row[:, None] * row)
    return a @ a.T, a @ row


def _kinds(row: Any, k: Any) -> Any:
    return row.astype(jnp.bfloat16) * 2, lax.complex(row, row[::-1]) * 1j, row > 0, jnp.sort(row), k


def _convolved(row: Any, k: Any) -> Any:
    image = jnp.broadcast_to(row, (2, 3, row.shape[0]))
    return lax.conv_general_dilated(image, jnp.ones((4, 3, 3)), (1,), "SAME").sum(0)


PROGRAMS: dict[str, Any] = {
    "rows": mapped(lambda row: (jnp.exp(-row * row).cumsum(), jnp.tanh(row).sum())),
    "loops of several lengths": of_each(turns_of),
    "in chunks": lambda x: pb.vmap(turns_of, batch_size=3)(x, jnp.arange(x.shape[0]) * 7),
    "derivatives of loops": lambda x: pb.vmap(pb.grad(lambda r, n: turns_of(r, n).sum()), batch_size=3)(
        x, jnp.arange(x.shape[0])
    ),
    "a Jacobian in chunks": lambda x: pb.jacrev(lambda v: jnp.sin(x) @ jnp.tanh(v * x[0]), batch_size=4)(
        x[1]
    ),
    "reversed": _reversed,
    "registers": _registers,
    "in a scan": _in_a_scan,
    "a scan inside": _scan_inside,
    "a map inside": _map_inside,
    "places": of_each(_places),
    "branches": of_each(_branches),
    "random numbers": of_each(_numbers),
    "matrices": of_each(_matrices),
    "products": of_each(_products),
    "dtypes": of_each(_kinds),
    "a convolution": of_each(_convolved),
    "results without elements": mapped(lambda row: (row[:0], jnp.sin(row).sum())),
    "what is read by nobody": lambda x: lax.map(lambda row: (jnp.sin(row), jnp.cos(row)), x)[1][::2].T,
}  # fmt: skip


@pytest.fixture(params=["on the stack", "in the arena"])
def scratch(request: Any, monkeypatch: Any) -> None:
    """Where scratch memory is; and what is short is long enough to be shared."""
    monkeypatch.setattr(parallel, "CHUNK", 400.0)
    monkeypatch.setattr(shared_scan, "LONGEST", 1e9)
    if request.param == "in the arena":
        monkeypatch.setattr(shared_scan, "ON_STACK", 0)


def shared(compilation: Compilation) -> bool:
    return "@pb_parallel_few(" in compilation.text


@pytest.mark.parametrize("name", PROGRAMS)
def test_threads_change_nothing(name: str, scratch: None) -> None:
    """The bits are those of one thread, and of code that shares nothing; on runs one after the other."""
    compilation, values, program = _compiled(PROGRAMS[name], draw(45, 33))
    assert shared(compilation)
    alone = Compilation(program, shares=False)
    assert not shared(alone)
    expected = _bits(alone.finish()(values))
    executable = compilation.finish()
    for threads in (1, 2, 3, 8, 8, 3, 2):
        with num_threads(threads):
            assert _bits(executable(values)) == expected, threads


@pytest.mark.parametrize("name", PROGRAMS)
def test_results_within_guarded_memory(name: str, scratch: None) -> None:
    for shape in ((12, 12), (33, 17), (3, 65)):
        compilation, values, program = _compiled(PROGRAMS[name], draw(*shape))
        if name == "matrices" and shape[1] < 12:
            continue
        executable = compilation.finish()
        reference = registry.get("numpy").compile(program)(values)
        for end in (True, False):
            for found, expected in zip(
                _run_guarded(compilation, executable, values, end), reference, strict=True
            ):
                if found.dtype.kind in "fc" and found.dtype.itemsize > 2:
                    np.testing.assert_allclose(found, expected._data, rtol=2e-4, atol=2e-4)
                else:
                    same(found, expected._data)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 7, 63, 64, 65, 127, 130, 1000])
def test_each_turn_is_made_once(length: int, reverse: bool, monkeypatch: Any) -> None:
    monkeypatch.setattr(parallel, "CHUNK", 10.0)

    def f(x: Any, n: Any) -> Any:
        def turn(_: Any, pair: Any) -> Any:
            return None, lax.while_loop(
                lambda s: s[0] < pair[1], lambda s: (s[0] + 1, s[1] + 1), (0, pair[0])
            )

        return lax.scan(turn, None, (x, n), reverse=reverse)[1]

    x, n = np.arange(length, dtype=np.int32) * 10, np.arange(length, dtype=np.int32) % 7
    compilation, values, _ = _compiled(f, x, n)
    assert shared(compilation) == (length > 2)
    for threads in (1, 2, 5):
        with num_threads(threads):
            turns, sums = [r._data for r in compilation.finish()(values)]
        np.testing.assert_array_equal(turns, n)
        np.testing.assert_array_equal(sums, x + n)


def _text(f: Any, *args: Any) -> str:
    return _compiled(f, *args)[0].text


def test_what_is_worth_sharing() -> None:
    """By the time it takes; loops of unknown length if there are several."""
    x = draw(1000, 300)
    heavy = mapped(lambda row: jnp.tanh(jnp.sin(row)).sum())
    assert "@pb_parallel_few(" in _text(heavy, x)
    assert "@pb_parallel_few(" not in _text(heavy, x[:100, :10])
    assert ", i32 0)" in _text(heavy, x)
    assert "@pb_parallel_few(" in _text(of_each(turns_of), x[:3, :10])
    assert ", i32 1)" in _text(of_each(turns_of), x[:3, :10])
    assert "@pb_parallel_few(" not in _text(of_each(turns_of), x[:2, :10])


def test_bodies_that_share_their_own_loops() -> None:
    x = draw(4, 300_000)
    text = _text(mapped(lambda row: jnp.sin(row * row).sum()), x)
    assert "@pb_parallel(" in text
    assert "@pb_parallel_few(" not in text


def test_large_arrays_in_the_body() -> None:
    """What makes arrays of more than a mebibyte needs their memory once."""
    text = _text(mapped(lambda row: turns_of(jnp.broadcast_to(row, (300_000,)), 3).sum()), draw(100, 1))
    assert "@pb_parallel_few(" not in text


def test_what_runs_in_python_stays_in_one_thread() -> None:
    seen: list[int] = []

    def look(value: Any) -> Any:
        seen.append(int(value))
        return np.float32(value)

    def f(x: Any) -> Any:
        def one(row: Any) -> Any:
            y = pb.pure_callback(look, pb.ShapeDtypeStruct((), jnp.float32), row[0])
            return turns_of(row, 40).sum() + y

        return lax.map(one, x)

    x = np.repeat(np.arange(50, dtype=np.float32)[:, None], 3, 1)
    assert not shared(_compiled(f, x)[0])
    with num_threads(3):
        pb.jit(f)(jnp.asarray(x)).block_until_ready()
    assert seen == list(range(50))


def test_what_turns_out_to_run_in_python() -> None:
    """Complex numbers have native additions and no native maximum: that is found while lowering."""

    def f(x: Any) -> Any:
        z = lax.map(lambda row: lax.cummax(lax.complex(turns_of(row, 20), row)), x)
        return z, lax.map(lambda row: turns_of(row, 30), x)

    compilation, values, program = _compiled(f, draw(40, 9))
    assert not compilation.shares
    assert not shared(compilation)
    assert len(compilation.lowering.host_calls) == 1
    reference = registry.get("numpy").compile(program)(values)
    for found, expected in zip(compilation.finish()(values), reference, strict=True):
        np.testing.assert_allclose(found._data, expected._data, rtol=1e-5)
    loops = pb.jit(f).lower(*values).compile().as_text("loops")
    assert "scan, 40 turns:" in loops
    assert "parts for threads" not in loops


def test_parts_are_listed() -> None:
    x = jnp.asarray(draw(40, 9))
    loops = pb.jit(lambda x: lax.map(lambda row: turns_of(jnp.sin(row), 30), x)).lower(x).compile()
    first, *rest = loops.as_text("loops").splitlines()
    assert first == "scan, 40 turns, 14 parts for threads:"
    assert rest
    assert all(line.startswith("  ") for line in rest)


def test_scratch_memory_is_for_some_threads(monkeypatch: Any) -> None:
    """The analysis counts it for each thread that may take part; not if the turns are not shared."""

    def f(x: Any) -> Any:
        return lax.map(lambda row: jnp.sort(jnp.outer(row, row).reshape(-1)).cumsum(), x)

    x = draw(64, 60)
    one = Compilation(_compiled(f, x)[2], shares=False).arena_bytes
    compilation, values, _ = _compiled(f, x)
    assert 14 * one < compilation.arena_bytes < 18 * one
    with num_threads(40):
        many = _bits(compilation.finish()(values))
    with num_threads(1):
        assert many == _bits(compilation.finish()(values))
    monkeypatch.setattr(shared_scan, "SCRATCH_OF_ALL", 3 * one)
    assert 2 * one < _compiled(f, x)[0].arena_bytes < 4 * one
    monkeypatch.setattr(shared_scan, "SCRATCH_OF_ALL", one)
    compilation, _, _ = _compiled(f, x)
    assert compilation.arena_bytes == one
    assert not shared(compilation)


def test_donated_arguments() -> None:
    def f(x: Any, y: Any) -> Any:
        z = lax.map(lambda row: turns_of(row, 30), x)
        return z + y, jnp.sin(x)

    expected = pb.jit(f)(jnp.asarray(draw(40, 9)), jnp.asarray(draw(40, 9, seed=1)))
    for threads in (1, 3):
        with num_threads(threads):
            given = jnp.asarray(draw(40, 9)), jnp.asarray(draw(40, 9, seed=1))
            found = pb.jit(f, donate_argnums=(0, 1))(*given)
        assert _bits(found) == _bits(expected)
        assert given[1].is_deleted()


def test_long_programs(monkeypatch: Any) -> None:
    """Nests in the body are functions of their own there, too."""
    monkeypatch.setattr(sys.modules[Compilation.__module__], "LONG_PROGRAM", 1)
    monkeypatch.setattr(parallel, "CHUNK", 20_000.0)

    def one(row: Any) -> Any:
        for _ in range(5):
            row = jnp.sin(row) / (1 + jnp.abs(row).sum()) + jnp.cumsum(row)
        return row

    compilation, values, program = _compiled(mapped(one), draw(200, 100))
    assert "@part" in compilation.text
    assert shared(compilation)
    expected = _bits(Compilation(program, shares=False).finish()(values))
    for threads in (1, 3):
        with num_threads(threads):
            assert _bits(compilation.finish()(values)) == expected


def test_double_precision() -> None:
    with enable_x64(True):
        x = np.linspace(0.1, 2, 500)
        n = np.arange(500) % 50
        found = pb.jit(pb.vmap(turns_of, batch_size=8))(jnp.asarray(x), jnp.asarray(n))
        rows = [turns_of(jnp.asarray(a), jnp.asarray(b)) for a, b in zip(x[:60], n[:60], strict=True)]
    np.testing.assert_allclose(found[:60], np.array(rows), rtol=1e-15)
