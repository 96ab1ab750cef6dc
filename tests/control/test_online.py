"""The states that a `while_loop` keeps while it runs, for reverse mode: which, what that costs, lanes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import lax
from pullback._src.base.config import enable_x64, engine
from pullback._src.control.counted import COUNT, integer
from pullback._src.control.schedule import extra_steps, kept_steps, online_extra_steps
from pullback._src.control.while_reverse import Record
from pullback._src.core.aval import shaped_array
from pullback._src.core.evaluate import evaluate
from pullback._src.core.staging import stage
from pullback._src.ops.arithmetic import add_p
from pullback._src.ops.compare import lt_p

from ..matrix import Sample, matrix_cells, run_cell
from .counting import Counter

X = np.array([[0.7, 1.3], [-0.4, 0.2], [0.1, -1.1]])


def turns(x: Any, stop: Any, checkpoints: int | None = 3) -> Any:
    body = lambda s: (s[0] + 1, pnp.sin(s[1]) * x + 0.1)
    return lax.while_loop(lambda s: s[0] < stop, body, (0, x), checkpoints=checkpoints)[1].sum()


def unrolled(x: Any, stop: int) -> Any:
    c = x
    for _ in range(stop):
        c = pnp.sin(c) * x + 0.1
    return c.sum()


def numpy_gradient(x: Any) -> Any:
    states = [np.asarray(x)]
    for _ in range(9):
        states.append(np.sin(states[-1]) * x + 0.1)
    w, dx = np.ones_like(x), np.zeros_like(x)
    for c in reversed(states[:-1]):
        w, dx = w * np.cos(c) * x, dx + w * np.sin(c)
    return dx + w


SAMPLES = [
    Sample(  # its derivatives are in test_compositions
        "loop-adjoint-mapped-f64",
        pb.vmap(pb.grad(lambda x: turns(x, 9))),
        (X,),
        numpy_gradient,
        primitives=("loop_record", "loop_adjoint_mapped", "empty"),
    ),
]


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


# The schedule -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slots", "most"), [(1, 1.5), (2, 4 / 3), (3, 1.25), (5, 1.2), (10, 1.21), (20, 1.28)]
)
def test_few_more_steps_than_with_a_known_length(slots: int, most: float) -> None:
    for steps in [*range(1, 300), *range(300, 3000, 37)] if slots > 1 else range(1, 60):
        found = online_extra_steps(steps, slots)
        # The first run is among the extra steps of the schedule for the known length, without the last step.
        least = max(extra_steps(steps, slots) - steps + 1, 0)
        assert least <= found
        assert steps + found <= most * (steps + least)
        assert found <= extra_steps(steps, slots)


def test_all_states_are_kept_while_there_is_room() -> None:
    for steps in range(12):
        assert kept_steps(steps, 12) == list(range(steps))
        assert online_extra_steps(steps, 12) == 0


def recorded(slots: int) -> Callable[[int], Any]:
    """A loop that counts, with its number of turns as an operand: what it keeps."""
    pair = [COUNT, shaped_array((3,), np.dtype(np.float64))]
    test = stage(lambda stop, i, x: [lt_p.bind(i, stop)], [COUNT, *pair], name="test")
    body = stage(
        lambda i, x: [add_p.bind(i, integer(1)), add_p.bind(x, pnp.asarray([1.0, 2.0, 3.0]))],
        pair,
        name="body",
    ).with_consts_as_literals()
    record = Record(test, body, 1, 0, (True, True), slots)
    program = stage(lambda *xs: record.bind(xs), [COUNT, *pair], name="run")
    start = [integer(0), pnp.zeros(3)]
    return pb.jit(lambda stop: evaluate(program, [stop, *start]))


@pytest.mark.parametrize("name", ["llvm", "numpy"])
@pytest.mark.parametrize("slots", [1, 2, 3, 4, 7, 20])
def test_the_loop_keeps_what_the_schedule_says(slots: int, name: str) -> None:
    with enable_x64(), engine(name):
        run = recorded(slots)
        lengths = range(400) if name == "llvm" else (0, 1, 2, slots, slots + 1, slots + 2, 61)
        for steps in [*lengths, 5000] if name == "llvm" else lengths:
            n, count, order, at, i, x, *last = (np.asarray(v) for v in run(integer(steps)))
            expected = kept_steps(steps, slots)
            assert (int(n), int(count)) == (steps, len(expected))
            assert sorted(order) == list(range(slots))
            used = order[: len(expected)]
            assert at[used].tolist() == i[used].tolist() == expected
            assert np.array_equal(x[used], np.outer(expected, [1.0, 2.0, 3.0]))
            assert np.array_equal(last[1], [steps, 2 * steps, 3 * steps])


@pytest.mark.parametrize("name", ["llvm", "numpy"])
@pytest.mark.parametrize("slots", [1, 2, 3, 8, 40])
def test_every_step_is_run_as_often_as_the_schedule_says(slots: int, name: str) -> None:
    counted = Counter()

    def f(x: Any, stop: Any) -> Any:
        body = lambda s: (s[0] + 1, pnp.sin(counted(s[1])))
        return lax.while_loop(lambda s: s[0] < stop, body, (0, x), checkpoints=slots)[1]

    with engine(name):
        gradient = pb.jit(pb.grad(f))
        for steps in (0, 1, 2, 5, 11, 36, 60):
            counted.count = 0
            gradient(0.5, steps)
            # The value, the states, and each step that is reversed.
            assert counted.count == 2 * steps + online_extra_steps(steps, slots)


# Derivatives --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["llvm", "numpy"])
def test_compositions(name: str) -> None:
    with enable_x64(), engine(name):
        x, v = pnp.asarray(X), pnp.asarray(X[::-1] + 0.3)
        f, g = (lambda x: turns(x, 12)), (lambda x: unrolled(x, 12))

        def all_of(f: Any) -> list[Any]:
            gradient = pb.vmap(pb.grad(f))
            return [
                gradient(x),
                pb.jvp(gradient, (x,), (v,))[1],
                pb.grad(lambda x: (gradient(x) * v).sum())(x),
                pb.grad(lambda x: (pb.grad(lambda x: pb.vmap(f)(x).sum())(x) * v).sum())(x),
                pb.vmap(pb.hessian(f))(x),
                pb.jit(pb.vmap(pb.jacrev(pb.grad(f))))(x),
                lax.map(pb.grad(f), x),
                pb.grad(lambda x: (lax.map(pb.grad(f), x) * v).sum())(x),
                pb.vmap(lambda v: pb.vjp(f, x[0])[1](v)[0])(v[:, 0]),
                pb.vmap(pb.vmap(pb.grad(f)))(pnp.stack([x, v])),
            ]

        for found, expected in zip(all_of(f), all_of(g), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)


STOPS = (3, 0, 47)


@pytest.mark.parametrize(("slots", "name"), [(1, "numpy"), (5, "llvm")])
def test_lanes_that_end_at_different_times(slots: int, name: str) -> None:
    """A lane that is done has states that are beyond its own end."""
    with enable_x64(), engine(name):
        xs, vs, stops = pnp.asarray(X), pnp.asarray(X + 0.2), pnp.asarray(STOPS)
        gradient = pb.vmap(pb.grad(lambda x, stop: turns(x, stop, slots)))
        expected = [pb.grad(unrolled)(x, n) for x, n in zip(xs, STOPS, strict=True)]
        np.testing.assert_allclose(gradient(xs, stops), np.stack(expected), rtol=1e-11, atol=1e-14)
        pushed = pb.jvp(lambda x: gradient(x, stops), (xs,), (vs,))[1]
        second = [pb.hessian(unrolled)(x, n) @ v for x, v, n in zip(xs, vs, STOPS, strict=True)]
        np.testing.assert_allclose(pushed, np.stack(second), rtol=1e-10, atol=1e-13)
        back = pb.grad(lambda x: (gradient(x, stops) * vs).sum())(xs)
        np.testing.assert_allclose(back, np.stack(second), rtol=1e-10, atol=1e-13)


def test_lanes_with_slots_of_their_own() -> None:
    """Lanes choose between branches, and with them between what the loops in these have kept."""

    def of(loop: Any) -> Any:
        return lambda x: lax.cond(x[0] > 0, lambda x: loop(x, 13), lambda x: loop(x * x, 6), x)

    with enable_x64():
        x = pnp.asarray(X)
        for derivative in (pb.grad, pb.hessian):
            expected = pb.vmap(derivative(of(unrolled)))(x)
            np.testing.assert_allclose(pb.vmap(derivative(of(turns)))(x), expected, rtol=1e-11, atol=1e-13)
            found = pb.jit(pb.vmap(derivative(of(turns))))(x)
            np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)


def test_no_lanes() -> None:
    loop = lambda x: lax.while_loop(lambda s: s.sum() < 3, lambda s: s * x + 1, x).sum()
    assert pb.vmap(pb.grad(loop))(pnp.zeros((0, 2))).shape == (0, 2)


@pytest.mark.parametrize("name", ["llvm", "numpy"])
def test_loops_in_loops(name: str) -> None:
    def nested(x: Any) -> Any:
        def body(s: Any) -> Any:
            inner = lax.while_loop(
                lambda t: t[0] < s[0] + 1, lambda t: (t[0] + 1, pnp.sin(t[1]) * x), (0, s[1]), checkpoints=2
            )
            return s[0] + 1, inner[1] + 0.2

        return lax.while_loop(lambda s: s[0] < 5, body, (0, x), checkpoints=2)[1].sum()

    def written(x: Any) -> Any:
        c = x
        for i in range(5):
            for _ in range(i + 1):
                c = pnp.sin(c) * x
            c = c + 0.2
        return c.sum()

    with enable_x64(), engine(name):
        x = pnp.asarray(X[0])
        np.testing.assert_allclose(pb.grad(nested)(x), pb.grad(written)(x), rtol=1e-12)
        np.testing.assert_allclose(pb.jit(pb.hessian(nested))(x), pb.hessian(written)(x), rtol=1e-11)
        xs = pnp.asarray(X)
        np.testing.assert_allclose(pb.vmap(pb.grad(nested))(xs), pb.vmap(pb.grad(written))(xs), rtol=1e-12)


def test_power_series_of_a_gradient() -> None:
    with enable_x64():
        x, terms = pnp.asarray(0.4), [pnp.asarray(1.0), pnp.asarray(0.5), pnp.asarray(-0.2)]
        found = pb.jet(pb.grad(lambda x: turns(x, 11)), (x,), (terms,))
        expected = pb.jet(pb.grad(lambda x: unrolled(x, 11)), (x,), (terms,))
        for a, b in zip(pb.tree.leaves(found), pb.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11)


# Memory -------------------------------------------------------------------------------------------------


def test_states_take_the_memory_of_the_slots() -> None:
    """Under `jit` the states that the loop keeps are where reverse mode keeps its own."""

    def temp_bytes(checkpoints: int) -> int:
        compiled = pb.jit(pb.grad(lambda x: turns(x, 1000, checkpoints))).lower(pnp.zeros(10_000)).compile()
        return int(compiled.memory_analysis().temp_size_in_bytes)

    state = 40_000
    assert temp_bytes(10) <= (10 + 8.1) * state  # two states and two cotangents of loops, constants, x
    assert temp_bytes(20) - temp_bytes(10) <= 10.5 * state


def test_forward_mode_keeps_nothing() -> None:
    def names(program: Any) -> str:
        return str(program)

    x = pnp.zeros(3)
    assert "loop_record" not in names(pb.make_jaxpr(lambda x: pb.jvp(lambda x: turns(x, 5), (x,), (x,)))(x))
    assert "loop_record" in names(pb.make_jaxpr(pb.grad(lambda x: turns(x, 5)))(x))
