"""`odeint` against SciPy, closed forms and JAX: values, derivatives of every kind, and wrong use."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.ode import odeint as jax_odeint
from scipy.integrate import solve_ivp

import pullback as pb
import pullback.numpy as pnp
from pullback.experimental.ode import odeint
from pullback.test_util import check_grads

TIGHT = {"rtol": 1e-12, "atol": 1e-12}


@pytest.fixture(autouse=True)
def _wide() -> Iterator[None]:
    with pb.enable_x64(True), jax.enable_x64(True):
        yield


def _pendulum(n: Any) -> Callable[..., Any]:
    return lambda y, t, a, b: n.stack([y[1], -a * n.sin(y[0]) - b * y[1] * n.cos(t)])


def _van_der_pol(n: Any) -> Callable[..., Any]:
    return lambda y, t, a, b: n.stack([y[1], a * (1 - y[0] ** 2) * y[1] - b * y[0]])


def _lotka_volterra(n: Any) -> Callable[..., Any]:
    return lambda y, t, a, b: n.stack([a * y[0] - y[0] * y[1], b * y[0] * y[1] - y[1]])


PROBLEMS = [_pendulum, _van_der_pol, _lotka_volterra]
Y0, TS, A, B = np.array([1.0, 0.3]), np.linspace(0.0, 4.0, 6), 1.3, 0.4


@pytest.mark.parametrize("problem", PROBLEMS)
def test_values_agree_with_scipy(problem: Any) -> None:
    exact = solve_ivp(
        lambda t, y: problem(np)(y, t, A, B), (0, 4), Y0, t_eval=TS, rtol=1e-13, atol=1e-13, method="DOP853"
    ).y.T
    for tolerance in (1e-6, 1e-9, 1e-12):
        found = odeint(problem(pnp), Y0, TS, A, B, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(found, exact, atol=100 * tolerance + 1e-12)
    assert np.max(np.abs(odeint(problem(pnp), Y0, TS, A, B, rtol=1e-3, atol=1e-3) - exact)) > 1e-7


@pytest.mark.parametrize(
    ("problem", "engine"),
    [(_pendulum, "llvm"), (_pendulum, "numpy"), (_van_der_pol, "llvm"), (_lotka_volterra, "llvm")],
)
def test_values_and_gradients_agree_with_jax(problem: Any, engine: str) -> None:
    weights = np.random.default_rng(0).normal(size=(6, 2))
    ours = lambda *xs: pnp.sum(weights * odeint(problem(pnp), *xs))
    theirs = lambda *xs: jnp.sum(weights * jax_odeint(problem(jnp), *xs))
    pb.config.update("engine", engine)
    try:
        value, grads = pb.value_and_grad(ours, (0, 1, 2, 3))(Y0, TS, A, B)
    finally:
        pb.config.update("engine", "llvm")
    expected, expected_grads = jax.value_and_grad(theirs, (0, 1, 2, 3))(Y0, TS, A, B)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    for g, e in zip(grads, expected_grads, strict=True):
        np.testing.assert_allclose(g, e, rtol=2e-5, atol=2e-5)


# Closed forms -------------------------------------------------------------------------------------------


def _decay(k: Any, y0: Any, ts: Any) -> Any:
    return odeint(lambda y, t, k: -k * y, y0, ts, k, **TIGHT)


def test_derivatives_of_a_closed_form() -> None:
    # y = y0 exp(-k (t - t0)): by k, by y0, by each time, and again.
    k, y0, ts = 0.7, 1.5, pnp.array([0.2, 0.9, 1.6])
    last = lambda k, y0, ts: _decay(k, y0, ts)[-1]
    exact = lambda k, y0, ts: y0 * pnp.exp(-k * (ts[-1] - ts[0]))
    for transform in (
        lambda f: pb.grad(f, (0, 1, 2)),
        lambda f: pb.jacfwd(f, (0, 1, 2)),
        lambda f: pb.jit(pb.grad(f, (0, 1, 2))),
        lambda f: pb.jacfwd(pb.grad(f, (0, 1, 2)), (0, 1, 2)),
        lambda f: pb.jacrev(pb.grad(f, (0, 1, 2)), (0, 1, 2)),
        lambda f: pb.jacfwd(pb.jacfwd(f, (0, 1, 2)), (0, 1, 2)),
        lambda f: pb.jit(pb.hessian(f, (0, 1, 2))),
    ):
        found = pb.tree.leaves(transform(last)(k, y0, ts))
        wanted = pb.tree.leaves(transform(exact)(k, y0, ts))
        for f, w in zip(found, wanted, strict=True):
            np.testing.assert_allclose(f, w, rtol=1e-8, atol=1e-9)


def test_check_grads() -> None:
    f = lambda y0, ts, a: odeint(_pendulum(pnp), y0, ts, a, B, **TIGHT)
    check_grads(
        f, (pnp.asarray(Y0), pnp.asarray(TS[:2]), 1.3), order=2, modes=("fwd", "rev"), rtol=1e-5, atol=1e-5
    )


def test_times_of_all_points() -> None:
    # Each state moves along its slope with its own time, and all move against it with the first.
    found = pb.jacrev(lambda ts: _decay(0.7, 1.5, ts))(pnp.array([0.0, 0.5, 1.0]))
    y = 1.5 * np.exp(-0.7 * np.array([0.0, 0.5, 1.0]))
    expected = np.diag(-0.7 * y)
    expected[:, 0] += 0.7 * y
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_matrix_exponential_in_complex_numbers() -> None:
    m = np.array([[0.0, 1j], [-0.5 + 0.2j, 0.1]])
    y0 = np.array([1.0 + 0j, 0.3j])
    w, v = np.linalg.eig(m)
    exact = v @ np.diag(np.exp(2 * w)) @ np.linalg.inv(v) @ y0
    final = lambda m: odeint(lambda y, t, m: m @ y, y0, np.array([0.0, 2.0]), m, **TIGHT)[-1]
    np.testing.assert_allclose(final(m), exact, rtol=1e-9)
    loss = lambda m: pnp.sum(pnp.abs(final(m)) ** 2)
    dm = np.array([[0.3, 0.1j], [0.2, -0.4j]])
    h = 1e-5
    slope = (loss(m + h * dm) - loss(m - h * dm)) / (2 * h)
    np.testing.assert_allclose(pb.jvp(loss, (pnp.asarray(m),), (pnp.asarray(dm),))[1], slope, rtol=1e-7)
    np.testing.assert_allclose(np.sum(pb.grad(loss)(pnp.asarray(m)) * dm).real, slope, rtol=1e-7)


# Forms of arguments -------------------------------------------------------------------------------------


def test_containers_and_closures() -> None:
    k = pnp.asarray(0.7)

    def loss(k: Any, p: Any) -> Any:
        def field(y: Any, t: Any, p: Any) -> Any:
            return {"a": -k * y["a"], "b": (p["w"] * y["b"][0],)}

        y = odeint(field, {"a": 1.0, "b": (pnp.ones(2),)}, np.array([0.0, 1.0]), p, **TIGHT)
        assert y["a"].shape == (2,) and y["b"][0].shape == (2, 2)
        return y["a"][-1] + pnp.sum(y["b"][0][-1])

    p = {"w": pnp.array([0.1, -0.3]), "n": 3}
    np.testing.assert_allclose(loss(k, p), math.exp(-0.7) + np.sum(np.exp(p["w"])), rtol=1e-10)
    by_k = pb.grad(loss)(k, p)
    np.testing.assert_allclose(by_k, -math.exp(-0.7), rtol=1e-9)
    np.testing.assert_allclose(pb.jacfwd(loss)(k, p), -math.exp(-0.7), rtol=1e-9)
    np.testing.assert_allclose(pb.jit(pb.grad(pb.grad(loss)))(k, p), math.exp(-0.7), rtol=1e-8)
    by_w = pb.grad(lambda w: loss(k, {"w": w, "n": 3}))(p["w"])
    np.testing.assert_allclose(by_w, np.exp(p["w"]), rtol=1e-9)


def test_single_precision_and_mixed_types() -> None:
    with pb.enable_x64(False):
        y = odeint(
            lambda y, t: -y, np.float32(1), np.linspace(0, 1, 3, dtype=np.float32), rtol=1e-6, atol=1e-6
        )
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, np.exp([0, -0.5, -1]), rtol=1e-5)
    y = odeint(
        lambda y, t: (-y[0], 1j * y[1]), (np.float32(1), 1 + 0j), np.linspace(0, 1, 3), rtol=1e-6, atol=1e-6
    )
    assert y[0].dtype == np.float32 and y[1].dtype == np.complex128
    np.testing.assert_allclose(y[1][-1], np.exp(1j), rtol=1e-5)


def test_one_time_and_equal_times() -> None:
    np.testing.assert_array_equal(odeint(lambda y, t: -y, 2.0, np.array([0.5])), [2.0])
    np.testing.assert_allclose(pb.grad(lambda y: odeint(lambda y, t: -y, y, np.array([0.5]))[0])(2.0), 1.0)
    y = odeint(lambda y, t: -y, 2.0, np.array([0.0, 0.0, 1.0, 1.0]))
    np.testing.assert_allclose(y, 2 * np.exp([0, 0, -1, -1]), rtol=1e-7)


def test_lanes_have_steps_of_their_own() -> None:
    ks, ys = pnp.array([0.5, 50.0, 3.0]), pnp.array([1.0, 2.0, 3.0])
    ts = pnp.array([0.0, 0.3, 1.0])
    one = lambda k, y: _decay(k, y, ts)
    found = pb.vmap(one)(ks, ys)
    np.testing.assert_allclose(
        found, [one(k, y) for k, y in zip(ks, ys, strict=True)], rtol=1e-12, atol=1e-15
    )
    slope = lambda k, y: pb.grad(lambda k: one(k, y)[-1])(k)
    exact = [-y * np.exp(-k) for k, y in zip(ks, ys, strict=True)]
    for f in (
        pb.vmap(slope),
        pb.jit(pb.vmap(slope)),
        pb.grad(lambda k, y: pnp.sum(pb.vmap(one)(k, y)[:, -1])),
    ):
        np.testing.assert_allclose(f(ks, ys), exact, rtol=1e-8, atol=1e-10)
    shared = pb.grad(lambda k: pnp.sum(pb.vmap(lambda y: one(k, y))(ys)[:, -1]))(0.5)
    np.testing.assert_allclose(shared, -6 * np.exp(-0.5), rtol=1e-9)
    twice = pb.vmap(lambda k: pb.vmap(lambda y: pb.jacfwd(lambda k: one(k, y)[-1])(k))(ys))(ks)
    np.testing.assert_allclose(twice, -np.outer(np.exp(-ks), ys), rtol=1e-8, atol=1e-10)
    second = pb.vmap(pb.grad(pb.grad(lambda k: one(k, 1.0)[-1])))(ks)
    np.testing.assert_allclose(second, np.exp(-ks), rtol=1e-6, atol=1e-9)


def test_power_series_of_the_solution() -> None:
    exact = [math.exp(-0.7) * (-1) ** k for k in range(5)]
    series = ((1.0, 0.0, 0.0, 0.0),)
    f = lambda k: _decay(k, 1.0, pnp.array([0.0, 1.0]))[-1]
    value, terms = pb.jet(f, (0.7,), series)
    np.testing.assert_allclose([value, *terms], exact, rtol=1e-9)
    np.testing.assert_allclose(pb.jit(lambda k: pb.jet(f, (k,), series)[1])(0.7), exact[1:], rtol=1e-9)
    mapped = pb.vmap(lambda k: pb.jet(pb.grad(f), (k,), series)[1][1])(pnp.array([0.7]))
    np.testing.assert_allclose(mapped, [exact[3]], rtol=1e-8)
    with pytest.raises(pb.errors.NotDifferentiableError, match="by the times is not supported"):
        pb.jet(lambda t: odeint(lambda y, t: -y, 1.0, t), (pnp.array([0.0, 1.0]),), ([pnp.ones(2)],))


def test_limits_of_steps() -> None:
    counts = []

    def counted(y: Any, t: Any) -> Any:
        pb.debug.callback(lambda _: counts.append(1), t)
        return pnp.cos(t) + 0 * y

    odeint(counted, 0.0, np.array([0.0, 1.0]), rtol=1e-2, atol=1e-2, hmax=0.1)
    assert len(counts) >= 60
    y = odeint(lambda y, t: pnp.cos(40 * t) + 0 * y, 0.0, np.array([0.0, 0.01, 10.0, 11.0]), mxstep=5)
    assert np.isfinite(y[1]) and np.isnan(y[2])
    blown = odeint(lambda y, t: y**2, 1.0, np.array([0.0, 0.9, 1.1]))
    np.testing.assert_allclose(blown[1], 10.0, rtol=1e-5)
    assert np.isnan(blown[2])
    decreasing = pb.jit(lambda t: odeint(lambda y, t: -y, 1.0, t))(pnp.array([0.0, 1.0, -0.5]))
    assert np.isfinite(decreasing[1]) and np.isnan(decreasing[2])


ONE = np.array([0.0, 1.0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: odeint(3, 1.0, ONE), TypeError, "expects a function"),
        (lambda: odeint(lambda y, t: -y, 1, ONE), TypeError, "floating-point or complex"),
        (lambda: odeint(lambda y, t: -y, 1.0, np.array([0, 1])), TypeError, "times t must be floating-point"),
        (
            lambda: odeint(lambda y, t: -y, 1.0, 0.5),
            ValueError,
            r"a vector of at least one time .* got shape \(\)",
        ),
        (lambda: odeint(lambda y, t: -y, 1.0, ONE[:0]), ValueError, "at least one time"),
        (lambda: odeint(lambda y, t: -y, 1.0, ONE[::-1]), ValueError, "must increase.*substitute s = -t"),
        (lambda: odeint(lambda y, t: (y,), 1.0, ONE), ValueError, "in the structure of y0"),
        (lambda: odeint(lambda y, t: y[:1], pnp.ones(2), ONE), ValueError, r"has shape \(1,\).*has \(2,\)"),
        (lambda: odeint(lambda y, t: y.astype("float32"), 1.0, ONE), TypeError, "dtype float32.*has float64"),
        (lambda: odeint(lambda y, t: -y, 1.0, ONE, rtol=-1e-3), ValueError, "rtol must be positive"),
        (lambda: odeint(lambda y, t: -y, 1.0, ONE, rtol=0, atol=0), ValueError, "cannot both be zero"),
        (lambda: odeint(lambda y, t: -y, 1.0, ONE, mxstep=0), ValueError, "mxstep must be positive"),
        (
            lambda: odeint(lambda y, t: -y, 1.0, ONE, hmax="x"),
            (TypeError, ValueError),
            "hmax|could not convert",
        ),
        (lambda: odeint(lambda y, t, a: -y, 1.0, ONE, "a"), TypeError, r"args\[0\]"),
    ],
)
def test_errors(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call()
