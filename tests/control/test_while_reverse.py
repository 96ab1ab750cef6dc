"""Reverse mode of while_loop, and of fori_loop with `checkpoints`: derivatives with few states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import lax
from pullback._src.base.config import enable_x64, engine
from pullback._src.control.schedule import extra_steps, first_part
from pullback.test_util import check_grads

from ..matrix import Sample, matrix_cells, run_cell
from .counting import Counter


def turns(x: Any, stop: Any, checkpoints: int | None = None) -> Any:
    """A loop whose turns depend on `stop`, with a constant, a counter and two values."""

    def body(state: Any) -> Any:
        i, a, b = state
        return i + 1, pnp.sin(a) * x + 0.3 * b, b * pnp.cos(a)

    state = (0, x, pnp.ones_like(x))
    return lax.while_loop(lambda s: s[0] < stop, body, state, checkpoints=checkpoints)[1:]


def unrolled(x: Any, stop: int) -> Any:
    a, b = x, pnp.ones_like(x)
    for _ in range(stop):
        a, b = pnp.sin(a) * x + 0.3 * b, b * pnp.cos(a)
    return a, b


def both(x: Any, stop: Any, checkpoints: int | None = None) -> Any:
    a, b = turns(x, stop, checkpoints)
    return (a * a + b).sum()


def both_unrolled(x: Any, stop: int) -> Any:
    a, b = unrolled(x, stop)
    return (a * a + b).sum()


X = np.array([0.7, 1.3, -0.4])


def numpy_adjoint(x: Any) -> Any:
    """The gradient of `both`, by hand."""
    x = np.asarray(x)
    states = [(x, np.ones_like(x))]
    for _ in range(11):
        a, b = states[-1]
        states.append((np.sin(a) * x + 0.3 * b, b * np.cos(a)))
    a, b = states.pop()
    da, db, dx = 2 * a, np.ones_like(b), np.zeros_like(x)
    for a, b in reversed(states):
        dx = dx + da * np.sin(a)
        da, db = da * x * np.cos(a) - db * b * np.sin(a), 0.3 * da + db * np.cos(a)
    return dx + da


def fori(x: Any) -> Any:
    return lax.fori_loop(0, 7, lambda i, c: pnp.sin(c) * x + 0.1 * i, x, checkpoints=2)


def fori_reference(x: Any) -> Any:
    c = x
    for i in range(7):
        c = np.sin(c) * x + 0.1 * i
    return c


SAMPLES = [
    Sample(
        "loop-adjoint-f64",
        pb.grad(lambda x: both(x, 11, 3)),
        (X,),
        numpy_adjoint,
        (0,),
        primitives=("loop_adjoint", "loop_adjoint_tangent", "loop_record"),
    ),
    Sample("loop-f64", fori, (X,), fori_reference, (0,), primitives=("loop",)),
]


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@pytest.mark.parametrize("slots", [1, 2, 3, 7, 13, 40, None])
@pytest.mark.parametrize("stop", [0, 1, 2, 13])
def test_any_number_of_turns_and_states(slots: int | None, stop: int) -> None:
    with enable_x64():
        x = pnp.asarray(X)
        found = pb.grad(lambda x: both(x, stop, slots))(x)
        np.testing.assert_allclose(found, pb.grad(lambda x: both_unrolled(x, stop))(x), rtol=1e-13)


@pytest.mark.parametrize("name", ["llvm", "numpy"])
def test_all_orders_and_modes(name: str) -> None:
    with enable_x64(), engine(name):
        x = pnp.asarray(X)
        f, g = (lambda x: both(x, 9, 3)), (lambda x: both_unrolled(x, 9))
        np.testing.assert_allclose(pb.jacrev(pb.jacrev(f))(x), pb.hessian(g)(x), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(pb.jacfwd(pb.jacrev(f))(x), pb.hessian(g)(x), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(pb.jacrev(pb.jacfwd(f))(x), pb.hessian(g)(x), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(pb.jit(pb.hessian(f))(x), pb.hessian(g)(x), rtol=1e-12, atol=1e-13)
        third = pb.grad(lambda x: pb.grad(lambda x: pb.grad(f)(x).sum())(x).sum())(x)
        expected = pb.grad(lambda x: pb.grad(lambda x: pb.grad(g)(x).sum())(x).sum())(x)
        np.testing.assert_allclose(third, expected, rtol=1e-11)
        check_grads(f, (x,), 3, modes=("fwd", "rev"))


def test_the_derivative_by_what_the_inner_gradient_does_not_see() -> None:
    """Inner and outer derivatives are by different operands of the loop."""

    def f(x: Any, y: Any) -> Any:
        body = lambda s: (s[0] + 1, pnp.sin(s[1] * y) + x)
        return lax.while_loop(lambda s: s[0] < 6, body, (0, x * x), checkpoints=2)[1]

    def g(x: Any, y: Any) -> Any:
        s = x * x
        for _ in range(6):
            s = pnp.sin(s * y) + x
        return s

    with enable_x64():
        for outer in (pb.jacfwd, pb.jacrev):
            found = outer(pb.grad(f, 0), 1)(0.4, 1.3)
            np.testing.assert_allclose(found, pb.jacfwd(pb.grad(g, 0), 1)(0.4, 1.3), rtol=1e-12)
            np.testing.assert_allclose(
                outer(outer(pb.grad(f, 0), 1), 0)(0.4, 1.3),
                pb.jacfwd(pb.jacfwd(pb.grad(g, 0), 1), 0)(0.4, 1.3),
                rtol=1e-12,
            )


def test_the_adjoint_is_linear_in_its_cotangents() -> None:
    """The outer derivative is by the cotangent alone."""

    def scaled(w: Any) -> Any:
        return pb.grad(lambda x: (turns(x, 8, 2)[0] * w).sum())(pnp.asarray(X))

    def expected(w: Any) -> Any:
        return pb.grad(lambda x: (unrolled(x, 8)[0] * w).sum())(pnp.asarray(X))

    with enable_x64():
        w = pnp.asarray([0.3, -1.0, 2.0])
        np.testing.assert_allclose(pb.jacrev(scaled)(w), pb.jacfwd(expected)(w), rtol=1e-12)
        np.testing.assert_allclose(pb.jacfwd(scaled)(w), pb.jacfwd(expected)(w), rtol=1e-12)
        linear = pb.linear_transpose(scaled, w)
        np.testing.assert_allclose(linear(w)[0], pb.jacfwd(expected)(w).T @ w, rtol=1e-12)


def test_lanes_with_different_numbers_of_turns() -> None:
    def f(x: Any, stop: Any) -> Any:
        return both(x, stop, 3)

    with enable_x64():
        xs, stops = pnp.asarray(np.stack([X, X + 0.1, X - 0.2])), pnp.asarray([3, 0, 8])
        for derivative in (pb.grad, pb.hessian):
            found = pb.vmap(derivative(f))(xs, stops)
            expected = [
                derivative(lambda x, n=n: both_unrolled(x, n))(x) for x, n in zip(xs, (3, 0, 8), strict=True)
            ]
            np.testing.assert_allclose(found, np.stack(expected), rtol=1e-12, atol=1e-14)
            assert np.array_equal(pb.jit(pb.vmap(derivative(f)))(xs, stops), found)


def test_the_condition_may_depend_on_the_differentiated_value() -> None:
    """Newton's iteration for a square root: the derivative of what the loop computes."""

    def root(a: Any) -> Any:
        step = lambda s: (0.5 * (s[0] + a / s[0]), s[0])
        return lax.while_loop(lambda s: abs(s[0] - s[1]) > 1e-14, step, (a, 2 * a))[0]

    with enable_x64():
        np.testing.assert_allclose(pb.grad(root)(2.0), 0.5 / np.sqrt(2), rtol=1e-13)
        np.testing.assert_allclose(pb.grad(pb.grad(root))(2.0), -0.25 * 2**-1.5, rtol=1e-12)


def test_values_of_other_types_are_carried_along() -> None:
    def f(x: Any) -> Any:
        def body(s: Any) -> Any:
            i, flags, key, c = s
            key, sub = pb.random.split(key)
            return i + 1, ~flags, key, c * x + pnp.where(flags, c, 0.0) + 0.1 * pb.random.normal(sub)

        start = (0, pnp.array([True, False]), pb.random.key(3), x)
        return lax.while_loop(lambda s: s[0] < 5, body, start, checkpoints=2)[3].sum()

    def g(x: Any) -> Any:
        flags, key, c = pnp.array([True, False]), pb.random.key(3), x
        for _ in range(5):
            key, sub = pb.random.split(key)
            c, flags = c * x + pnp.where(flags, c, 0.0) + 0.1 * pb.random.normal(sub), ~flags
        return c.sum()

    x = pnp.array([0.3, 0.8])
    np.testing.assert_allclose(pb.grad(f)(x), pb.grad(g)(x), rtol=1e-6)


def test_complex_values() -> None:
    def f(z: Any) -> Any:
        return abs(lax.while_loop(lambda s: s[0] < 4, lambda s: (s[0] + 1, s[1] ** 2 * z + 0.1), (0, z))[1])

    def g(z: Any) -> Any:
        c = z
        for _ in range(4):
            c = c**2 * z + 0.1
        return abs(c)

    z = pnp.asarray(0.4 + 0.7j)
    np.testing.assert_allclose(pb.grad(f)(z), pb.grad(g)(z), rtol=1e-5)


def test_every_step_is_run_as_often_as_the_schedule_says() -> None:
    """That of loops whose length is not known is in test_online."""
    counted = Counter()

    def f(x: Any) -> Any:
        return lax.fori_loop(0, 30, lambda i, c: pnp.sin(counted(c)), x, checkpoints=4)

    pb.grad(f)(0.5)
    # The value, the states, and each step that is reversed.
    assert counted.count == 30 + extra_steps(30, 4) + 30


@pytest.mark.parametrize(
    ("steps", "slots", "extra"),
    [
        (10, 3, 15),
        (56, 5, 140),
        (100, 5, 316),
        (100, 10, 222),
        (1000, 10, 3636),
        (1000, 20, 2747),
        (10**4, 20, 37976),
        (10**6, 50, 4658945),
    ],
)
def test_published_numbers_of_extra_steps(steps: int, slots: int, extra: int) -> None:
    assert extra_steps(steps, slots) == extra


def test_the_schedule_is_the_best_there_is() -> None:
    best: dict[tuple[int, int], int] = {}

    def least(steps: int, slots: int) -> int:
        """By trying all first parts."""
        if steps <= 1:
            return 0
        if slots == 1:
            return steps * (steps - 1) // 2
        if (steps, slots) not in best:
            best[steps, slots] = min(
                m + least(steps - m, slots - 1) + least(m, slots) for m in range(1, steps)
            )
        return best[steps, slots]

    for slots in range(1, 7):
        for steps in range(1, 60):
            assert extra_steps(steps, slots) == least(steps, slots)
            if slots > 1 and steps > 1:
                m = first_part(steps, slots)
                assert m + least(steps - m, slots - 1) + least(m, slots) == least(steps, slots)


def test_states_take_the_memory_of_the_slots() -> None:
    def temp_bytes(checkpoints: int) -> int:
        body = lambda i, x: x + 0.001 * pnp.sin(x)
        f = lambda x: lax.fori_loop(0, 1000, body, x, checkpoints=checkpoints).sum()
        compiled = pb.jit(pb.grad(f)).lower(pnp.zeros(10_000)).compile()
        return int(compiled.memory_analysis().temp_size_in_bytes)

    state = 40_000
    assert temp_bytes(10) <= 1.2 * (10 + 5) * state
    assert temp_bytes(20) - temp_bytes(10) <= 10.5 * state


@pytest.mark.parametrize(("checkpoints", "error"), [(0, ValueError), (-3, ValueError), (2.5, TypeError)])
def test_bad_numbers_of_states(checkpoints: Any, error: type[Exception]) -> None:
    for loop in (
        lambda: lax.while_loop(lambda c: c < 3, lambda c: c + 1, 0, checkpoints=checkpoints),
        lambda: lax.fori_loop(0, 3, lambda i, c: c + 1, 0, checkpoints=checkpoints),
    ):
        with pytest.raises(error, match="checkpoints must be"):
            loop()
