"""Loops whose lanes end at different times are taken in chunks, each of which ends with its own lanes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import lax
from pullback._src.base.config import debug_nans, enable_x64, engine
from pullback._src.control import chunks

from .counting import Counter

COUNT = 75  # lanes: four chunks of 16, and one of 11 with copies of the last lane
RNG = np.random.default_rng(0)
STOPS = RNG.integers(0, 12, COUNT)
STOPS[41] = 60
X = RNG.uniform(0.2, 2.0, COUNT)
V = RNG.uniform(-1.0, 1.0, COUNT)


@pytest.fixture(autouse=True, params=["llvm", "numpy"])
def wrap(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Both engines with chunks of the same size; one runs compiled code, the other un-jitted code."""
    monkeypatch.setitem(chunks.WIDTH, "numpy", chunks.WIDTH["llvm"])
    with enable_x64(), engine(request.param):
        yield pb.jit if request.param == "llvm" else lambda f: f


def turn(s: Any) -> Any:
    return s[0] + 1, s[1] / (1 + s[1]), s[2]


def unfinished(s: Any) -> Any:
    return s[0] < s[2]


def turns(x: Any, stop: Any, checkpoints: int | None = None) -> Any:
    """x / (1 + stop x), in so many turns."""
    return lax.while_loop(unfinished, turn, (0, x, stop), checkpoints=checkpoints)[1]


VALUE = X / (1 + STOPS * X)
SLOPE = 1 / (1 + STOPS * X) ** 2
CURVATURE = -2 * STOPS / (1 + STOPS * X) ** 3


def equal(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=4e-14, atol=1e-15)


def test_values_and_derivatives(wrap: Any) -> None:
    mapped = pb.vmap(turns)
    total = lambda x: mapped(x, STOPS).sum()
    slopes = pb.vmap(pb.grad(turns))
    equal(wrap(mapped)(X, STOPS), VALUE)
    equal(wrap(lambda x: pb.jvp(lambda x: mapped(x, STOPS), (x,), (V,))[1])(X), V * SLOPE)
    equal(wrap(slopes)(X, STOPS), SLOPE)
    equal(wrap(pb.grad(total))(X), SLOPE)
    one = np.ones(COUNT)
    ways: list[Any] = [
        pb.vmap(pb.hessian(turns)),
        pb.vmap(pb.grad(pb.grad(turns))),
        lambda x, n: pb.jvp(lambda x: slopes(x, n), (x,), (one,))[1],
        lambda x, n: pb.grad(lambda x: slopes(x, n).sum())(x),
        lambda x, n: pb.grad(lambda x: pb.grad(total)(x).sum())(x),
        lambda x, n: pb.jvp(pb.grad(total), (x,), (one,))[1],
    ]
    # Engines get the same programs, so each of the two takes every other one.
    for way in ways[int(wrap is pb.jit) :: 2]:
        equal(wrap(way)(X, STOPS), CURVATURE)


def test_few_states_and_calls_that_are_not_compiled() -> None:
    f = lambda x, stop: turns(x, stop, 2)
    equal(pb.vmap(f)(X, STOPS), VALUE)
    for _ in range(3):  # what is done again takes another way
        equal(pb.vmap(pb.grad(f))(X, STOPS), SLOPE)
        equal(pb.grad(lambda x: pb.vmap(f)(x, STOPS).sum())(X), SLOPE)


@pytest.mark.parametrize("size", [0, 1, 33, 64, 70])
def test_numbers_of_lanes(size: int) -> None:
    """None, one; chunks of 16, the last one filled up; whole chunks of 32; the last one filled up."""
    x, stops = np.resize(X, size), np.resize(STOPS, size)
    equal(pb.vmap(turns)(x, stops), np.resize(VALUE, size))
    equal(pb.vmap(pb.grad(turns))(x, stops), np.resize(SLOPE, size))
    equal(pb.grad(lambda x: pb.vmap(turns)(x, stops).sum())(x), np.resize(SLOPE, size))


def test_same_bits_as_lane_by_lane() -> None:
    def f(x: Any, stop: Any) -> Any:
        return lax.while_loop(lambda s: s[0] < stop, lambda s: (s[0] + 1, pnp.sin(s[1]) + x), (0, x))[1]

    for g in (f, pb.grad(f)):
        one = pb.jit(g)
        alone = np.stack([np.asarray(one(x, n)) for x, n in zip(X, STOPS, strict=True)])
        np.testing.assert_array_equal(pb.jit(pb.vmap(g))(X, STOPS), alone)


def test_nested_maps(wrap: Any) -> None:
    stops = RNG.integers(0, 9, (3, COUNT))
    x = RNG.uniform(0.2, 2.0, (3, COUNT))
    slope = 1 / (1 + stops * x) ** 2
    equal(wrap(pb.vmap(pb.vmap(turns)))(x, stops), x / (1 + stops * x))
    equal(wrap(pb.vmap(pb.vmap(pb.grad(turns))))(x, stops), slope)
    x_, stops_ = np.array(x.T), np.array(stops.T)
    equal(wrap(pb.vmap(pb.vmap(pb.grad(turns))))(x_, stops_), slope.T)
    equal(wrap(pb.vmap(pb.grad(lambda x, n: pb.vmap(turns)(x, n).sum())))(x, stops), slope)
    one_number = pb.vmap(pb.vmap(pb.grad(turns), (0, None)), (None, 0))
    equal(wrap(one_number)(X, STOPS[:3]), 1 / (1 + STOPS[:3, None] * X) ** 2)


def test_axes_shared_operands_and_other_results(wrap: Any) -> None:
    """States of 3 elements along the last axis, a factor that all lanes share, and what no lane changes."""

    def f(x: Any, a: Any, stop: Any) -> Any:
        body = lambda s: (s[0] + 1, s[1] * a, s[2])
        return lax.while_loop(lambda s: s[0] < stop, body, (0, x, a))

    x = RNG.normal(size=(3, COUNT))
    a = np.array([0.9, -1.1, 1.01])
    mapped = pb.vmap(f, (1, None, 0), (0, 1, 0))
    count, y, same = wrap(mapped)(x, a, STOPS)
    np.testing.assert_array_equal(count, STOPS)
    np.testing.assert_allclose(y, x * a[:, None] ** STOPS, rtol=1e-13)
    np.testing.assert_array_equal(same, np.broadcast_to(a, (COUNT, 3)))
    w = RNG.normal(size=(3, COUNT))
    found = wrap(pb.grad(lambda x, a: (mapped(x, a, STOPS)[1] * w).sum(), (0, 1)))(x, a)
    np.testing.assert_allclose(found[0], w * a[:, None] ** STOPS, rtol=1e-13)
    by_a = (w * x * STOPS * a[:, None] ** (STOPS - 1.0)).sum(1)
    np.testing.assert_allclose(found[1], by_a, rtol=1e-12)


def test_loops_within_loops(wrap: Any) -> None:
    def in_scan(x: Any, stop: Any) -> Any:
        return lax.scan(lambda c, _: (turns(c, stop), c), x, None, length=3)[0]

    def in_while(x: Any, stop: Any) -> Any:
        body = lambda s: (s[0] + 1, turns(s[1], s[0]))
        return lax.while_loop(lambda s: s[0] < stop, body, (0, x))[1]

    for f, number in ((in_scan, 3 * STOPS), (in_while, STOPS * (STOPS - 1) // 2)):
        equal(wrap(pb.vmap(f))(X, STOPS), X / (1 + number * X))
        equal(wrap(pb.vmap(pb.grad(f)))(X, STOPS), 1 / (1 + number * X) ** 2)
        equal(wrap(pb.grad(lambda x: pb.vmap(f)(x, STOPS).sum()))(X), 1 / (1 + number * X) ** 2)  # noqa: B023
    scanned = lambda x: lax.scan(lambda c, _: (pb.vmap(turns)(c, STOPS), None), x, None, length=3)[0].sum()
    equal(wrap(pb.grad(scanned))(X), 1 / (1 + 3 * STOPS * X) ** 2)


def test_a_dynamic_fori_loop() -> None:
    f = lambda x, stop: lax.fori_loop(0, stop, lambda i, y: y / (1 + y), x)
    equal(pb.vmap(f)(X, STOPS), VALUE)
    equal(pb.jit(pb.vmap(pb.grad(f)))(X, STOPS), SLOPE)


def test_pullbacks_that_leave_the_map() -> None:
    """Residuals are arrays with lanes: these may be chosen, and put into another order."""
    x, stops = pnp.asarray(X), pnp.asarray(STOPS)
    _, pull_back = pb.vmap(lambda x, stop: pb.vjp(lambda x: turns(x, stop), x))(x, stops)
    equal(pb.vmap(lambda p: p(1.0)[0])(pull_back), SLOPE)
    order = RNG.permutation(COUNT)
    chosen = pb.tree.map(lambda r: r[order], pull_back)
    equal(pb.vmap(lambda p: p(1.0)[0])(chosen), SLOPE[order])
    equal(pb.tree.map(lambda r: r[41], pull_back)(1.0)[0], SLOPE[41])
    few = pb.tree.map(lambda r: r[order[:5]], pull_back)
    equal(pb.vmap(lambda p: p(1.0)[0])(few), SLOPE[order[:5]])


# What runs ----------------------------------------------------------------------------------------------

LONG = 50


def _lane_turns(derive: Callable[[Any], Any], stops: Any) -> int:
    """How often lanes compute the body, whose derivative needs its value, whether they need it or not."""
    counter = Counter()

    def f(x: Any, stop: Any) -> Any:
        return lax.while_loop(lambda s: s[0] < stop, lambda s: (s[0] + 1, counter(s[1]) ** 2), (0, x))[1]

    run = pb.jit(pb.vmap(derive(f)))
    run(np.ones(len(stops)), stops)
    counter.count = 0
    pb.block_until_ready(run(np.ones(len(stops)), stops))
    return counter.count


def _tangent(f: Any) -> Any:
    return lambda x, stop: pb.jvp(lambda x: f(x, stop), (x,), (1.0,))[1]


@pytest.mark.parametrize(
    ("derive", "size", "times"),
    [(lambda f: f, 16, 1), (_tangent, 16, 1), (pb.grad, 16, 3)],
    ids=["value", "jvp", "grad"],
)
def test_a_lane_that_is_done_costs_its_chunks_turns_at_most(derive: Any, size: int, times: int) -> None:
    """Reverse mode runs a turn for the value, for the states of the chunk and for its derivative."""
    stops = np.full(COUNT, 2)
    stops[40] = LONG
    turns = [stops[i : i + size].max() for i in range(0, COUNT, size)]
    found = _lane_turns(derive, stops)
    assert stops.sum() <= found <= times * size * sum(turns)
    assert found < times * COUNT * LONG / 2


def _chunk_lengths(shape: tuple[int, ...], lanes: int) -> tuple[int, ...]:
    """How many chunks there are, and of how many lanes."""

    def f(x: Any, n: Any) -> Any:
        return lax.while_loop(lambda s: s[1] < n, lambda s: (s[0] / 2, s[1] + 1), (x, 0))[0]

    program = pb.make_jaxpr(pb.vmap(f))(np.ones((lanes, *shape), np.float32), np.ones(lanes, np.int32))
    (scan,) = [eqn for eqn in program.jaxpr.eqns if eqn.primitive.name == "scan"]
    assert not [eqn for eqn in program.jaxpr.eqns if eqn.primitive.name == "jit"]
    return tuple(scan.outvars[0].aval.shape[:2])


def test_chunks_are_of_one_length() -> None:
    """As powers of two where they are in registers, else as even as they can be."""
    with enable_x64(False):
        assert _chunk_lengths((), 1000) == (32, 32)
        assert _chunk_lengths((), 96) == (3, 32)
        assert _chunk_lengths((), 97) == (4, 32)
        assert _chunk_lengths((8,), 9) == (2, 8)
        assert [_chunk_lengths((1000,), n) for n in (16, 17, 31, 64)] == [(2, 8), (2, 9), (3, 11), (8, 8)]


def test_copies_have_no_derivative() -> None:
    """That of the last lane is infinite: zero times it would be NaN."""

    def root(x: Any, stop: Any) -> Any:
        body = lambda s: (s[0] + 1, pnp.sqrt(s[1]))
        return lax.while_loop(lambda s: s[0] < stop, body, (0, x))[1]

    x = np.append(X[1:], 0.0)
    stops = np.ones(COUNT, int)
    slope = 0.5 / np.sqrt(x[:-1])
    total = lambda x: pb.vmap(root)(x, stops).sum()
    for found in (pb.grad(total)(x), pb.vmap(pb.grad(root))(x, stops)):
        equal(found[:-1], slope)
        assert found[-1] == np.inf
    with debug_nans(True):
        found = pb.jvp(lambda x: pb.vmap(root)(x, stops), (x,), (np.ones(COUNT),))[1]
        equal(found[:-1], slope)
        assert found[-1] == np.inf


def _has(f: Any, name: str, *args: Any) -> bool:
    return f"{name}[" in str(pb.make_jaxpr(f)(*args))


def test_which_loops_are_taken_in_chunks() -> None:
    def f(shape: tuple[int, ...], lanes: int, dtype: Any = np.float32) -> bool:
        loop = lambda x, n: lax.while_loop(lambda s: s[1] < n, lambda s: (s[0] / 2, s[1] + 1), (x, 0))
        stops = np.ones(lanes, np.int16)
        loop_ = lambda x, n: loop(x, n.astype(np.int32))[0]
        return _has(pb.vmap(loop_), "scan", np.ones((lanes, *shape), dtype), stops)

    with enable_x64(False):
        assert [f((), 64), f((), 65)] == [False, True]
        assert [f((3,), 16), f((3,), 17)] == [False, True]
        assert [f((1000,), 15), f((1000,), 16)] == [False, True]
    with enable_x64():
        assert [f((), 32, np.float64), f((), 33, np.float64)] == [False, True]
    # All lanes take as many turns.
    g = pb.vmap(lambda x: lax.while_loop(lambda s: s[1] < 9, lambda s: (s[0] / 2, s[1] + 1), (x, 0))[0])
    assert not _has(g, "scan", np.ones(100))


def test_collectives_are_of_all_lanes() -> None:
    def f(x: Any, stop: Any, shared: bool) -> Any:
        body = lambda s: (s[0] + 1, s[1] + (lax.pmax(s[0], "i") if shared else s[0]))
        return lax.while_loop(lambda s: s[0] < stop, body, (0, x))[1]

    x = np.zeros(COUNT, np.int64)
    found = pb.vmap(lambda x, n: f(x, n, False), axis_name="i")(x, STOPS)
    np.testing.assert_array_equal(found, STOPS * (STOPS - 1) // 2)
    mapped = pb.vmap(lambda x, n: f(x, n, True), axis_name="i")
    np.testing.assert_array_equal(mapped(x, STOPS), STOPS * (STOPS - 1) // 2)
    assert not _has(mapped, "scan", x, STOPS)
    assert _has(pb.vmap(lambda x, n: f(x, n, False), axis_name="i"), "scan", x, STOPS)


def test_side_effects_are_refused() -> None:
    def body(s: Any) -> Any:
        pb.debug.print("{}", s[0])
        return s[0] + 1, s[1]

    with pytest.raises(NotImplementedError, match="cannot be batched over its condition"):
        pb.vmap(lambda n: lax.while_loop(lambda s: s[0] < s[1], body, (0, n))[0])(STOPS)


def test_bounded_memory_of_loops_in_chunks() -> None:
    """The states of one chunk are in memory at a time."""
    bounded = pb.checkpoint(lambda x: pb.vmap(turns)(x, STOPS).sum(), slots=2)
    equal(pb.grad(bounded)(X), SLOPE)
    plan = bounded.plan(X)
    assert [(loop.kind, loop.slots) for loop in plan.loops] == [("while", 2)]
    # A chunk's lanes: whether they are active, the turn, the value and the number of turns.
    assert [loop.state_bytes for loop in plan.loops] == [25 * 16]
    named = pb.checkpoint(lambda x: pb.vmap(lambda x, n: turns(x, n, 4))(x, STOPS).sum(), slots=2)
    assert [loop.slots for loop in named.plan(X).loops] == [4]
    limited = pb.checkpoint(lambda x: pb.vmap(turns)(x, STOPS).sum(), memory="8KB")
    assert limited.plan(X).peak_bytes <= 8000
    equal(pb.grad(limited)(X), SLOPE)
    one_by_one = pb.checkpoint(lambda x: lax.map(lambda a: turns(*a), (x, STOPS)).sum(), slots=2)
    assert [(loop.kind, loop.slots) for loop in one_by_one.plan(X).loops] == [("while", 2)]
    equal(pb.grad(one_by_one)(X), SLOPE)
