"""checkpoint with `slots` or `memory`: plans, and what execution does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import lax
from pullback._src.base.config import enable_x64, engine
from pullback._src.control.bounded import parsed_memory
from pullback.test_util import check_grads


def scanned(x: Any) -> Any:
    """A scan with slices and outputs, in both directions, and a while_loop."""
    y, ys = lax.scan(lambda c, t: (pnp.sin(c) * t + c, c * t * x), x, pnp.linspace(0.0, 1.0, 23))
    z, zs = lax.scan(lambda c, t: (pnp.cos(c) * t, c + t), y, ys, reverse=True)
    w = lax.while_loop(lambda s: s[0] < 6, lambda s: (s[0] + 1, pnp.sin(s[1]) * x), (0, z))[1]
    return (w * w).sum() + (zs * zs).sum()


X = np.linspace(0.2, 0.9, 3)


class Counter:
    """A function that counts how often it is run."""

    def __init__(self) -> None:
        self.count = 0

        def seen(x: Any) -> Any:
            self.count += 1
            return np.asarray(x)

        @pb.custom_jvp
        def counted(x: Any) -> Any:
            return pb.pure_callback(seen, x, x)

        counted.defjvp(lambda primals, tangents: (counted(*primals), tangents[0]))
        self.function = counted


@pytest.mark.parametrize("name", ["llvm", "numpy"])
@pytest.mark.parametrize("slots", [1, 2, 5, 40])
def test_derivatives_are_those_of_the_function(slots: int, name: str) -> None:
    with enable_x64(), engine(name):
        x = pnp.asarray(X)
        f = pb.checkpoint(scanned, slots=slots)
        np.testing.assert_allclose(f(x), scanned(x), rtol=1e-14)
        np.testing.assert_allclose(pb.grad(f)(x), pb.grad(scanned)(x), rtol=1e-11)
        np.testing.assert_allclose(pb.jit(pb.grad(f))(x), pb.grad(scanned)(x), rtol=1e-11)
        hessian = pb.hessian(scanned)(x)
        np.testing.assert_allclose(pb.jacfwd(pb.grad(f))(x), hessian, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(pb.jacrev(pb.grad(f))(x), hessian, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(pb.jacrev(pb.jacfwd(f))(x), hessian, rtol=1e-9, atol=1e-9)


def test_to_second_order_and_mapped() -> None:
    with enable_x64():
        f = pb.checkpoint(scanned, slots=3)
        check_grads(lambda x: f(0.1 * x), (pnp.asarray(X),), 2)
        xs = pnp.asarray(np.stack([X, X + 0.1]))
        expected = np.stack([pb.grad(scanned)(x) for x in xs])
        np.testing.assert_allclose(pb.vmap(pb.grad(f))(xs), expected, rtol=1e-11)


@pytest.mark.parametrize(
    ("steps", "slots", "extra"), [(10, 3, 15), (56, 5, 140), (100, 5, 316), (100, 10, 222)]
)
def test_execution_does_what_the_plan_says(steps: int, slots: int, extra: int) -> None:
    counter = Counter()

    def f(x: Any) -> Any:
        return lax.fori_loop(0, steps, lambda i, c: pnp.sin(counter.function(c)), x)

    bounded = pb.checkpoint(f, slots=slots)
    plan = bounded.plan(0.5)
    assert plan.extra_steps == extra
    assert plan.loops[0].steps == steps
    assert plan.loops[0].slots == slots
    assert counter.count == 0  # a plan runs nothing
    pb.value_and_grad(bounded)(0.5)
    assert counter.count == plan.loops[0].total_steps == extra + 2 * steps


@pytest.mark.parametrize(("steps", "slots"), [(1, 1), (7, 1), (10, 3), (25, 2), (30, 40)])
def test_chains(steps: int, slots: int) -> None:
    counter = Counter()
    functions = [pnp.sin, pnp.cos, pnp.tanh, lambda x: x * x + x]
    plain = [functions[k % 4] for k in range(steps)]
    chain = pb.checkpoint([lambda x, g=g: g(counter.function(x)) for g in plain], slots=slots)
    (plan,) = chain.plan(0.7).loops
    assert (plan.kind, plan.steps, plan.slots) == ("chain", steps, min(slots, steps))

    def composed(x: Any) -> Any:
        for g in plain:
            x = g(x)
        return x

    value, gradient = pb.value_and_grad(chain)(0.7)
    assert counter.count == plan.total_steps
    np.testing.assert_allclose(value, composed(0.7), rtol=1e-6)
    np.testing.assert_allclose(gradient, pb.grad(composed)(0.7), rtol=1e-5)
    np.testing.assert_allclose(pb.grad(pb.grad(chain))(0.7), pb.grad(pb.grad(composed))(0.7), rtol=1e-4)


def test_memory_is_that_of_the_plan() -> None:
    """A long loop with a large state, and a budget for it."""

    def f(x: Any) -> Any:
        return lax.fori_loop(0, 300, lambda i, c: c + 0.001 * pnp.sin(c), x).sum()

    x = pnp.zeros(20_000)
    bounded = pb.checkpoint(f, memory="2MB")
    plan = bounded.plan(x)
    assert plan.peak_bytes <= 2_000_000
    compiled = pb.jit(pb.grad(bounded)).lower(x).compile()
    assert compiled.memory_analysis().temp_size_in_bytes <= 1.2 * plan.peak_bytes
    np.testing.assert_allclose(compiled(x), pb.grad(f)(x), rtol=1e-6)


def test_loops_in_calls_and_branches_are_found() -> None:
    @pb.jit
    def inner(x: Any) -> Any:
        return lax.fori_loop(0, 8, lambda i, c: pnp.sin(c), x)

    def f(x: Any) -> Any:
        return lax.cond(x > 0, inner, lambda x: lax.fori_loop(0, 9, lambda i, c: c * x, x), inner(x))

    bounded = pb.checkpoint(f, slots=2)
    assert sorted(loop.steps for loop in bounded.plan(0.4).loops if loop.steps) == [8, 8, 9]
    for x in (0.4, -0.4):
        np.testing.assert_allclose(pb.grad(bounded)(x), pb.grad(f)(x), rtol=1e-6)


def test_a_plan_is_a_table() -> None:
    text = str(pb.checkpoint(scanned, slots=4).plan(pnp.asarray(X)))
    first, *rows = text.splitlines()
    assert first.split() == ["loop", "steps", "slots", "extra", "steps", "state", "peak"]
    assert [row.split()[0] for row in rows] == ["scan", "scan", "while"]
    assert "test_bounded.py" in rows[0]


def test_keywords_and_structures() -> None:
    def f(p: Any, *, scale: Any) -> Any:
        out = lax.fori_loop(0, 5, lambda i, c: {"a": pnp.sin(c["a"]) * scale, "b": c["a"]}, p)
        return out["a"] + out["b"]

    p = {"a": 0.3, "b": 1.0}
    found = pb.grad(lambda p: pb.checkpoint(f, slots=2)(p, scale=1.5))(p)
    expected = pb.grad(lambda p: f(p, scale=1.5))(p)
    assert found.keys() == expected.keys()
    np.testing.assert_allclose(found["a"], expected["a"], rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"slots": 0}, ValueError, "slots must be at least 1"),
        ({"slots": -2}, ValueError, "slots must be at least 1"),
        ({"slots": 1.5}, TypeError, "slots must be an integer"),
        ({"memory": "much"}, ValueError, "text such as"),
        ({"memory": [1]}, TypeError, "text such as"),
        ({"memory": "10B"}, ValueError, "raise it"),
        ({"slots": 2, "memory": 10}, ValueError, "either slots or memory"),
        ({"slots": 2, "static_argnums": 0}, ValueError, "cannot be combined"),
        ({"slots": 2, "policy": pb.checkpoint_policies.dots_saveable}, ValueError, "cannot be combined"),
    ],
)
def test_wrong_arguments(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        pb.checkpoint(scanned, **arguments)(pnp.asarray(X))


@pytest.mark.parametrize("functions", [[], [pnp.sin, 3], 4])
def test_wrong_chains(functions: Any) -> None:
    with pytest.raises(TypeError, match="sequence of functions"):
        pb.checkpoint(functions, slots=2)


def test_sizes() -> None:
    assert parsed_memory("64MB") == 64_000_000
    assert parsed_memory("1.5 KiB") == 1536
    assert parsed_memory("12") == parsed_memory(12) == 12
