"""`cond` and `switch` with a predicate for each lane: what runs, and derivatives of what does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import lax
from pullback._src.control.cond_rules import CHEAP as MOST
from pullback.test_util import check_grads

COMPILED: list[Any] = [lambda f: f, pb.jit]


@pytest.fixture(autouse=True, params=["llvm", "numpy"])
def _setting(request: pytest.FixtureRequest) -> Iterator[None]:
    before = pb.config.engine
    pb.config.update("engine", request.param)
    try:
        with pb.enable_x64(True):
            yield
    finally:
        pb.config.update("engine", before)


class Counted:
    """A function of a number that counts its runs in compiled code."""

    def __init__(self, f: Callable[[Any], Any]) -> None:
        self.f = f
        self.runs = 0

    def _run(self, x: Any) -> Any:
        self.runs += 1
        return self.f(x)

    def __call__(self, x: Any) -> Any:
        shape = pb.ShapeDtypeStruct(x.shape, x.dtype)
        return pb.pure_callback(self._run, shape, x, vmap_method="expand_dims")


@pytest.mark.parametrize("wrap", COMPILED)
def test_a_branch_that_no_lane_takes_is_not_run(wrap: Any) -> None:
    branches = [Counted(np.sin), Counted(np.cos), Counted(np.exp)]
    f = wrap(pb.vmap(lambda i, x: lax.switch(i, branches, x)))
    x = np.array([0.1, 0.2, 0.3])
    for index, runs in [([0, 2, 0], [1, 0, 1]), ([1, 1, 1], [0, 1, 0]), ([-5, 7, 1], [1, 1, 1])]:
        for b in branches:
            b.runs = 0
        found = f(np.array(index, np.int32), x)
        functions = [[np.sin, np.cos, np.exp][min(max(i, 0), 2)] for i in index]
        np.testing.assert_allclose(found, [g(v) for g, v in zip(functions, x, strict=True)])
        assert [b.runs for b in branches] == runs


def guarded(x: Any) -> Any:
    """Branches with derivatives that are not finite outside of them."""
    branches = [lambda x, w: pnp.sqrt(x) * w, lambda x, w: -x * w, lambda x, w: pnp.log(-1 - x) + w]
    return lax.switch(pnp.where(x > 0, 0, pnp.where(x >= -1, 1, 2)), branches, x, 2.0 * x + 3.0)


def slope(x: Any) -> Any:
    """The derivative of `guarded`."""
    with np.errstate(all="ignore"):
        right = (2 * x + 3) / (2 * np.sqrt(x)) + 2 * np.sqrt(x)
        return np.where(x > 0, right, np.where(x >= -1, -4 * x - 3, 1 / (1 + x) + 2))


POINTS = np.array([0.25, 0.0, -1.0, -3.0, 2.0])


@pytest.mark.parametrize("wrap", COMPILED)
def test_lanes_that_do_not_take_a_branch_have_no_part_in_its_derivative(wrap: Any) -> None:
    mapped = pb.vmap(guarded)
    total = lambda x: pnp.sum(mapped(x))
    expected = slope(POINTS)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(wrap(pb.grad(total))(POINTS), expected)
    np.testing.assert_allclose(wrap(pb.vmap(pb.grad(guarded)))(POINTS), expected)
    one = np.ones_like(POINTS)
    np.testing.assert_allclose(wrap(lambda x: pb.jvp(mapped, (x,), (one,))[1])(POINTS), expected)
    np.testing.assert_array_equal(
        wrap(pb.jacrev(mapped))(POINTS), np.diag(np.diag(pb.jacrev(mapped)(POINTS)))
    )
    second = wrap(pb.hessian(total))(POINTS)
    assert np.isfinite(second).all()
    np.testing.assert_allclose(wrap(pb.vmap(pb.grad(pb.grad(guarded))))(POINTS), np.diag(second))


def test_exact_zeros_where_a_branch_does_not_use_an_operand() -> None:
    f = pb.vmap(lambda x, y: lax.cond(x > 0, lambda x, y: 1.0 / y, lambda x, y: x * x, x, y))
    x, y = np.array([1.0, -1.0, 2.0]), np.array([2.0, 0.0, 4.0])
    found = pb.grad(lambda y: pnp.sum(f(x, y)))(y)
    np.testing.assert_array_equal(found, [-0.25, 0.0, -0.0625])


def test_shared_operands_are_not_spoiled() -> None:
    f = lambda x, w: pnp.sum(pb.vmap(lambda x: lax.cond(x > 0, lambda: pnp.log(x) * w, lambda: x * w))(x))
    x = np.array([1.0, 0.0, np.e])
    np.testing.assert_allclose(pb.grad(f, 1)(x, 2.0), 1.0)
    np.testing.assert_allclose(pb.grad(f)(x, 2.0), [2.0, 2.0, 2 / np.e])
    np.testing.assert_allclose(pb.jit(pb.grad(f))(x, 2.0), [2.0, 2.0, 2 / np.e])


def test_derivatives_of_second_order_and_nested_maps() -> None:
    f = lambda x: lax.cond(x > 0, lambda x: pnp.sin(x) * x, lambda x: x**3, x)
    twice = pb.vmap(pb.vmap(f))
    x = np.array([[0.3, -0.4], [1.2, 0.9], [-0.7, -1.1]])
    check_grads(twice, (x,), order=2)
    np.testing.assert_allclose(twice(x), np.where(x > 0, np.sin(x) * x, x**3))
    np.testing.assert_allclose(pb.jit(twice)(x), np.where(x > 0, np.sin(x) * x, x**3))


@pytest.mark.parametrize("wrap", COMPILED)
def test_a_loop_in_a_branch_ends_though_it_would_not_in_other_lanes(wrap: Any) -> None:
    def halvings(x: Any) -> Any:
        return lax.while_loop(lambda s: s[0] != 1, lambda s: (s[0] // 2, s[1] + 1), (x, 0))[1]

    f = pb.vmap(lambda x: lax.cond(x > 0, halvings, lambda x: -1, x))
    np.testing.assert_array_equal(wrap(f)(np.array([8, 0, 1, -4, 32])), [3, -1, 0, -1, 5])


def test_collectives_are_of_all_lanes() -> None:
    f = lambda x: lax.cond(x > 0, lambda x: lax.psum(x, "i"), lambda x: x, x)
    x = np.array([1.0, -2.0, 4.0])
    np.testing.assert_allclose(pb.vmap(f, axis_name="i")(x), [3.0, -2.0, 3.0])


def test_no_lanes() -> None:
    assert pb.vmap(guarded)(np.zeros(0)).shape == (0,)
    assert pb.jit(pb.vmap(guarded))(np.zeros(0)).shape == (0,)


def test_keys_and_integers_as_operands() -> None:
    keys = pb.random.split(pb.random.key(0), 3)
    f = lambda p, key, n: lax.cond(
        p, lambda k, n: pb.random.bits(k, (), np.uint32) + n, lambda k, n: n, key, n
    )
    n = np.arange(3, dtype=np.uint32)
    found = pb.vmap(f)(np.array([True, False, True]), keys, n)
    expected = [int(pb.random.bits(keys[i], (), np.uint32)) + i if i != 1 else 1 for i in range(3)]
    np.testing.assert_array_equal(found, np.array(expected, np.uint64).astype(np.uint32))


def test_transposing_a_linear_function_with_branches_for_each_lane() -> None:
    p = np.array([True, False, True])
    f = lambda t: pb.vmap(lambda p, t: lax.cond(p, lambda t: 3.0 * t, lambda t: -t, t))(p, t)
    np.testing.assert_allclose(pb.linear_transpose(f, np.zeros(3))(np.ones(3))[0], [3.0, -1.0, 3.0])


# Branches of a few elementwise operations -------------------------------------------------------------------

# Functions of x and a value that all lanes share, whose derivatives are infinite or NaN in other lanes.
CHEAP = {
    "sqrt": (lambda x, w: pnp.sqrt(x) * w, lambda x, w: w * x),
    "log": (lambda x, w: w * pnp.log(x), lambda x, w: 0.0),
    "quotient": (lambda x, w: w / x, lambda x, w: w * w),
    "power": (lambda x, w: x**w, lambda x, w: pnp.sin(x)),
    "where inside": (lambda x, w: pnp.where(x > 1, pnp.log(x), w * x), lambda x, w: x),
}
LANES = np.array([4.0, 0.0, -1.0, 0.25])


def _cheap(name: str) -> Callable[[Any, Any], Any]:
    on_true, on_false = CHEAP[name]
    return lambda x, w: lax.cond(x > 0, on_true, on_false, x, w)


@pytest.mark.parametrize("name", CHEAP)
def test_cheap_branches_are_selected_and_derivatives_stay_finite(name: str) -> None:
    f = _cheap(name)
    w = 1.5

    def total(x: Any, w: Any) -> Any:
        return pb.vmap(f, (0, None))(x, w).sum()

    def lane_by_lane(g: Any) -> Any:
        return np.stack([np.asarray(g(x, w)) for x in LANES])

    assert "cond" not in str(pb.make_jaxpr(total)(LANES, w))
    np.testing.assert_allclose(pb.vmap(f, (0, None))(LANES, w), lane_by_lane(f), rtol=1e-14)
    by_x, by_w = lane_by_lane(pb.grad(f)), lane_by_lane(pb.grad(f, 1))
    by_xx, by_xw = lane_by_lane(pb.grad(pb.grad(f))), lane_by_lane(pb.grad(pb.grad(f), 1))
    for wrap in (lambda f: f, pb.jit):
        found = wrap(pb.grad(total, (0, 1)))(LANES, w)
        np.testing.assert_allclose(found[0], by_x, rtol=1e-13)
        np.testing.assert_allclose(found[1], by_w.sum(), rtol=1e-13)
        np.testing.assert_allclose(wrap(pb.vmap(pb.grad(f), (0, None)))(LANES, w), by_x, rtol=1e-13)
        np.testing.assert_allclose(wrap(pb.jacfwd(total))(LANES, w), by_x, rtol=1e-13)
        np.testing.assert_allclose(wrap(pb.jacfwd(total, 1))(LANES, w), by_w.sum(), rtol=1e-13)
        for outer in (pb.jacfwd, pb.jacrev):
            second = wrap(outer(pb.grad(total), (0, 1)))(LANES, w)
            np.testing.assert_allclose(second[0], np.diag(by_xx), rtol=1e-13)
            np.testing.assert_allclose(second[1], by_xw, rtol=1e-13)


def test_which_branches_are_cheap() -> None:
    def chain(x: Any, n: int) -> Any:
        for _ in range(n):
            x = x * x
        return x

    def has_cond(f: Any) -> bool:
        batched = pb.vmap(lambda x: lax.cond(x > 0, f, lambda x: x, x))
        return "cond[" in str(pb.make_jaxpr(batched)(pnp.ones(3)))

    assert not has_cond(lambda x: chain(x, MOST))
    assert not has_cond(lambda x: pb.jit(pnp.sin)(x) + 1.0)
    assert has_cond(lambda x: chain(x, MOST + 1))
    assert has_cond(pb.scipy.special.gammaln)
    assert has_cond(lambda x: pb.jit(lambda x: chain(x, MOST))(x) + 1.0)
    assert has_cond(lambda x: lax.fori_loop(0, 2, lambda i, x: x * x, x))
    assert has_cond(lambda x: (x * pnp.ones(3)).sum())


@pytest.mark.parametrize("jitted", [False, True])
def test_checks_for_nan_do_not_see_lanes_that_do_not_take_a_branch(jitted: bool) -> None:
    f = pb.vmap(lambda x: lax.cond(x > 0, pnp.log, lambda x: x, x))
    with pb.debug_nans(True):
        found = (pb.jit(f) if jitted else f)(LANES)
    np.testing.assert_allclose(found, [np.log(4), 0, -1, np.log(0.25)], rtol=1e-6)
