"""Loops that are joined, and memory that is used again, as small programs that once went wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.lax as lax
import pullback.numpy as jnp
from pullback._src.base.config import num_threads
from pullback._src.engines.llvm import parallel
from pullback.scipy.special import logsumexp

from .agreement import check, draw
from .comparison import agree


def test_a_product_without_terms_keeps_its_operands() -> None:
    """An outer product is a map of its operands, whose memory must stay until it is computed."""

    def f(a: Any, b: Any, c: Any) -> Any:
        outer = lax.dot_general(a @ a, c, (((), ()), ((0,), (0,))))
        return outer + (b @ b) @ c

    check(f, draw(20, 20), draw(20, 20, seed=1), draw(20, 20, seed=2))


def test_a_loop_without_turns_keeps_its_operands() -> None:
    def f(x: Any, y: Any, z: Any, empty: Any) -> Any:
        last, _ = lax.scan(lambda c, i: (c * i[0], None), x @ x, empty)
        return last + (y @ y) @ z

    check(f, draw(40, 40), draw(40, 40, seed=1), draw(40, 40, seed=2), draw(0, 3))


def test_a_reduction_along_a_shared_loop() -> None:
    """A sum over a dimension whose loop several stages share is a stage of its own."""

    def f(x: Any) -> Any:
        y = jnp.exp(x)
        z = jnp.tanh(y - y.max(2, keepdims=True))
        return z, z.sum(1)

    check(f, draw(5, 6, 40))
    check(pb.vmap(f), draw(3, 5, 6, 40))


def test_sums_of_what_is_the_same_in_all_lanes() -> None:
    def f(x: Any) -> Any:
        return jnp.broadcast_to(x[:, None], (*x.shape, 17)).sum(1), jnp.broadcast_to(x, (45, *x.shape)).sum()

    check(f, draw(200))
    check(f, draw(3))
    check(lambda x: jnp.broadcast_to(jnp.sin(x @ x)[0, 0], (1000,)).sum(), draw(30, 30))


def test_elements_around_padding_are_written_twice() -> None:
    """What was stored first is not taken for the content of memory that is written again."""

    def f(x: Any) -> Any:
        return lax.pad(x, jnp.float32(1), ((2, 0, 1),)) / 20

    check(f, draw(1000))
    check(pb.vmap(f), draw(3, 33))


def test_an_update_of_an_array_with_itself() -> None:
    def f(x: Any) -> Any:
        y = x @ x
        return lax.dynamic_update_slice(y, y, (0, 0))

    check(f, draw(30, 30))


def test_loads_within_parallel_loops_within_loops(monkeypatch: Any) -> None:
    """Levels of the function around a parallel loop mean nothing within it."""
    monkeypatch.setattr(parallel, "CHUNK", 100.0)

    def f(x: Any) -> Any:
        def outer(c: Any, _: Any) -> Any:
            return lax.scan(lambda d, _: (jnp.sin(d[::-1]) * 1.5, d[0]), c, None, length=3)

        return lax.scan(outer, x, None, length=2)

    check(f, draw(1000))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_vectors_of_half_precision(dtype: str) -> None:
    """Moving their lanes: LLVM aborts at vectors of its own 16-bit types on many CPUs."""

    def f(x: Any, i: Any) -> Any:
        parts = x[0, 0], x[i, 0], x[::2, 1], -x[::13, 1], -x[::19, 1], x[i % 3, i % 2], x.sum(0)
        return [jnp.concatenate([jnp.broadcast_to(p, (2, 3, 5)) for p in parts[:2]]), *parts, x.T[i % 2] * 2]

    check(f, draw(40, 17, dtype=dtype), np.arange(5))
    check(f, draw(5, 3, dtype=dtype), np.arange(5))


def test_parts_of_concatenations_with_merged_loops() -> None:
    def f(a: Any) -> Any:
        return jnp.concatenate([a, a, a], 2)[:3, :3, :3, :3]

    check(f, draw(3, 11, 3, 11))

    def g(a: Any) -> Any:
        return jnp.split(lax.pad(a, jnp.float32(0), ((0, 997, 0), (0, 6, 0))), 3, axis=1)

    check(g, draw(3, 3))


def test_a_branch_reads_its_result() -> None:
    """What a branch writes is not read before the branch, where the memory is known already."""

    def f(x: Any) -> Any:
        def branch(x: Any) -> Any:
            y = jnp.sin(x) @ x
            return y, (y * 2)[::-1] @ x

        return lax.cond(x[0, 0] > -100, branch, lambda x: (x, x), x)

    check(f, draw(10, 10))


def test_a_cumulative_sum_that_a_loop_stacks() -> None:
    def f(x: Any) -> Any:
        _, sums = lax.scan(lambda c, row: (c, jnp.cumsum(row)), 0, x)
        return sums[0, :3] * 2, sums

    check(f, draw(1, 100))
    check(f, draw(4, 100))


def test_gathers_within_parallel_loops_within_loops(monkeypatch: Any) -> None:
    monkeypatch.setattr(parallel, "CHUNK", 100.0)

    def f(x: Any, i: Any) -> Any:
        def outer(c: Any, _: Any) -> Any:
            return lax.scan(lambda d, _: (jnp.sin(d[i]) * 1.5, d[0]), c, None, length=3)

        return lax.scan(outer, x, None, length=2)

    check(f, draw(100), np.arange(100) * 7 % 100)
    check(f, draw(1000), np.arange(1000) * 7 % 1000)


def _repeated(step: Any, times: int) -> Any:
    def f(x: Any) -> Any:
        x = jnp.sin(x)
        for _ in range(times):
            x = step(x)
        return x

    return f


@pytest.mark.parametrize(
    "step",
    [
        lambda x: lax.rev(x, (0,)),
        lambda x: jnp.concatenate([x[1:], x[:1]]),
        lambda x: lax.pad(x[1:], jnp.float32(0), ((0, 1, 0),)),
    ],
)
def test_long_chains_of_what_only_moves_elements(step: Any) -> None:
    """Nodes are neither nested without end nor walked once for each way to them."""
    check(_repeated(step, 400), draw(1000))


def _loops(f: Any, *args: Any) -> str:
    text: str = pb.jit(f).lower(*args).compile().as_text("loops")
    return text


def test_stages_that_do_not_need_the_last_nest_join_the_one_before() -> None:
    """A sum over what several stages share does not end their loops."""

    def f(x: Any) -> Any:
        y = jnp.exp(x - x.max(1, keepdims=True))
        z = y / y.sum(1, keepdims=True)
        total = z.sum(0)
        w = jnp.sin(z) - jnp.cos(z).max(1, keepdims=True)
        return total, w

    x = draw(300, 50)
    loops = _loops(f, x)
    assert loops.count("for each of 300") == 1
    assert loops.index("for each of 300") < loops.index("300 of it reduced")
    check(f, x)
    check(pb.vmap(f), draw(3, 60, 50))


def test_a_nest_that_another_needs_is_stored() -> None:
    """What a nest keeps for itself must not be what a later open nest reads."""

    def f(x: Any) -> Any:
        y = jnp.exp(x)
        z = jnp.tanh(y * 2)
        down = (y * z).sum(0)
        return down, ((z - z.mean(1, keepdims=True)) ** 2).sum(1), down[None] + y[:2]

    check(f, draw(200, 40))
    check(f, draw(40, 200))


def test_nodes_that_routines_need_are_stored_once() -> None:
    def f(x: Any, y: Any) -> Any:
        z = x + 1
        return z @ y, z.T @ y, z + y

    x, y = draw(60, 60), draw(60, 60, seed=1)
    loops = _loops(f, x, y)
    assert loops.count("= add(in0, 1") == 1
    check(f, x, y)


def test_stored_nodes_are_not_read_when_their_memory_is_written_over() -> None:
    def f(x: Any, y: Any) -> Any:
        z = x + 1
        first = z @ y
        changed = z.T.reshape(-1).at[3].set(7.0)
        return first, changed, z @ first

    check(f, draw(40, 40), draw(40, 40, seed=1))


@pytest.mark.parametrize("columns", [256, 1000, 1501])
def test_sums_down_wide_columns_by_several_threads(columns: int) -> None:
    x = np.random.RandomState(0).randn(700, columns).astype(np.float32)

    def f(x: Any) -> Any:
        return logsumexp(x, axis=0), x.sum(0), (x * x).max(0), jnp.argmax(x, 0)

    agree(f, x, rtol=2e-5, guard=True)
    compilation = agree(lambda x: logsumexp(x, axis=0), x, rtol=2e-5, guard=True)
    assert all(parts % 2 == 0 or parts > 8 for parts in compilation.lowering.module.shared)
    results = []
    for count in (1, 2, 5):
        with num_threads(count):
            results.append([np.asarray(y) for y in pb.jit(f)(x)])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_rolled_arrays_are_not_stored() -> None:
    def step(_: Any, cells: Any) -> Any:
        shifts = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
        near = sum(jnp.roll(cells, shift, (0, 1)) for shift in shifts)
        return ((near == 3) | ((cells == 1) & (near == 2))).astype(cells.dtype)

    cells = np.random.default_rng(0).integers(0, 2, (37, 41)).astype(np.int32)
    agree(lambda cells: step(0, cells), cells, guard=True)
    agree(lambda cells: lax.fori_loop(0, 6, step, cells), cells, guard=True)
    text: str = pb.jit(lambda cells: lax.fori_loop(0, 6, step, cells)).lower(cells).compile().as_text("loops")
    stored = {line.split()[0].removesuffix("[...]") for line in text.splitlines() if " : " in line}
    assert len(stored) == 2  # the result, and a step's


@pytest.mark.parametrize("turns", [3, 7])
def test_rolled_arrays_of_rolled_arrays(turns: int) -> None:
    def f(x: Any) -> Any:
        for k in range(turns):
            x = jnp.roll(x, (k + 1, -k), (0, 1)) + jnp.concatenate([x[5:], 2 * x[:5]])
        return x

    agree(f, np.random.default_rng(0).integers(-9, 9, (23, 19)).astype(np.float32), guard=True)
