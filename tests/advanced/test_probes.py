"""Traces and diagonals of Hessians: exactness, absence of bias, errors that are true, convergence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import random

N = 40
SEEDS = 300


@pytest.fixture(autouse=True)
def _wide() -> Iterator[None]:
    with pb.enable_x64(True):
        yield


def _matrix(eigenvalues: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    n = len(eigenvalues)
    q = np.linalg.qr(np.random.default_rng(7).normal(size=(n, n)))[0]
    return q @ np.diag(eigenvalues) @ q.T


def _form(a: Any) -> Callable[[Any], Any]:
    return lambda x: 0.5 * x @ a @ x


FAST = _matrix(1.0 / np.arange(1, N + 1) ** 2)
MIXED = _matrix(np.linspace(-1.0, 2.0, N))
X = np.zeros(N)
KEYS = random.split(random.key(3), SEEDS)


def _coupled(p: Any) -> Any:
    """Not quadratic; `a` and `b` are coupled, `c` only enters entry by entry, `d` only linearly."""
    return (
        pnp.sum(pnp.sin(p["a"]) * p["b"][0])
        + pnp.prod(p["b"])
        + pnp.sum(pnp.exp(2 * p["c"]))
        + 3 * pnp.sum(p["d"])
    )


POINT = {
    "a": np.array([[0.3, -0.5], [1.0, 0.2]]),
    "b": np.array([0.7, 1.2, -0.4]),
    "c": np.array([0.1, 0.2]),
    "d": np.array([1.0]),
}


def _diagonal_of(f: Any, p: Any) -> Any:
    flat, unravel = pb.flatten_util.ravel_pytree(p)
    return unravel(pnp.diag(pb.hessian(lambda v: f(unravel(v)))(flat)))


# Exactness ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [None, 1, 3])
@pytest.mark.parametrize(("method", "probes"), [("exact", 2), ("auto", 7), ("auto", 100)])
def test_exact(method: str, probes: int, batch_size: int | None) -> None:
    expected = _diagonal_of(_coupled, POINT)
    options: Any = {"method": method, "probes": probes, "batch_size": batch_size}
    found = pb.hessian_diagonal(_coupled, **options)(random.key(0), POINT)
    trace = pb.hessian_trace(_coupled, **options)(random.key(0), POINT)
    assert found.exact is trace.exact is True
    for name, value in expected.items():
        np.testing.assert_allclose(found.estimate[name], value, rtol=1e-13, atol=1e-15)
        np.testing.assert_array_equal(found.error[name], np.zeros(value.shape))
    np.testing.assert_allclose(trace.estimate, sum(np.sum(v) for v in expected.values()), rtol=1e-13)
    assert trace.error == 0


def test_what_acts_entry_by_entry_is_exact_and_free() -> None:
    x = pnp.linspace(-2.0, 2.0, 100_000)
    f = lambda x: pnp.sum(pnp.sin(x) ** 3 / (1 + x * x))
    for method in ("auto", "hutchinson", "hutch++"):
        found = pb.hessian_diagonal(f, method=method, probes=6)(random.key(0), x)
        assert found.exact
        at = np.random.default_rng(0).integers(0, x.size, 5)
        second = pb.vmap(pb.grad(pb.grad(lambda x: pnp.sin(x) ** 3 / (1 + x * x))))(x[at])
        np.testing.assert_allclose(found.estimate[at], second, rtol=1e-12)
        trace = pb.hessian_trace(f, method=method, probes=6)(random.key(0), x)
        assert trace.exact
        np.testing.assert_allclose(trace.estimate, np.sum(found.estimate), rtol=1e-12)


def test_only_what_is_not_known_is_probed() -> None:
    """The part by `c` is exact, that by `d` zero, whatever the probes are."""
    found = pb.hessian_diagonal(_coupled, probes=2, method="hutchinson")(random.key(1), POINT)
    assert not found.exact
    np.testing.assert_allclose(found.estimate["c"], 4 * np.exp(2 * POINT["c"]), rtol=1e-14)
    np.testing.assert_array_equal(found.error["c"], [0, 0])
    np.testing.assert_array_equal(found.estimate["d"], [0])
    assert np.any(found.error["a"] > 0)


def test_functions_without_curvature() -> None:
    found = pb.hessian_trace(lambda x, y: pnp.sum(3 * x) + pnp.sum(y), (0, 1))(random.key(0), X, X)
    assert found.exact and found.estimate == 0
    # Off the diagonal only: the derivative by each is a multiple of the other.
    for f in (pb.hessian_trace, pb.hessian_diagonal):
        found = f(lambda x, y: pnp.sum(x * y), (0, 1))(random.key(0), X, X)
        assert found.exact and not any(np.any(v) for v in pb.tree.leaves(found.estimate))


def test_low_rank_is_exact_by_hutchpp() -> None:
    a = _matrix(np.array([5.0, -3.0, 2.0] + [0.0] * (N - 3)))
    for i in range(3):
        found = pb.hessian_trace(_form(a), probes=15, method="hutch++")(KEYS[i], X)
        assert not found.exact
        np.testing.assert_allclose(found.estimate, 4.0, rtol=1e-9)
        assert found.error < 1e-9
        diagonal = pb.hessian_diagonal(_form(a), probes=15, method="hutch++")(KEYS[i], X)
        np.testing.assert_allclose(diagonal.estimate, np.diag(a), atol=1e-9)


# Statistics ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("matrix", [FAST, MIXED], ids=["fast decay", "indefinite"])
@pytest.mark.parametrize("method", ["hutchinson", "hutch++"])
def test_traces_are_unbiased_and_errors_cover(method: str, matrix: Any) -> None:
    estimate = pb.jit(pb.vmap(lambda key: pb.hessian_trace(_form(matrix), probes=18, method=method)(key, X)))
    found = estimate(KEYS)
    deviation = np.asarray(found.estimate) - np.trace(matrix)
    spread = np.std(deviation)
    assert abs(np.mean(deviation)) < 4 * spread / np.sqrt(SEEDS)
    # The errors are of the right size, and two of them cover the trace about as often as for Student's t
    # of five degrees of freedom (90 %) or more.
    np.testing.assert_allclose(np.sqrt(np.mean(np.asarray(found.error) ** 2)), spread, rtol=0.25)
    covered = np.mean(np.abs(deviation) < 2 * np.asarray(found.error))
    assert 0.84 < covered < 0.99


@pytest.mark.parametrize("method", ["hutchinson", "hutch++"])
def test_diagonals_are_unbiased_and_errors_cover(method: str) -> None:
    estimate = pb.jit(
        pb.vmap(lambda key: pb.hessian_diagonal(_form(MIXED), probes=18, method=method)(key, X))
    )
    found = estimate(KEYS)
    deviation = np.asarray(found.estimate) - np.diag(MIXED)
    spread = np.std(deviation, axis=0)
    assert np.max(np.abs(np.mean(deviation, axis=0)) / spread) < 4.5 / np.sqrt(SEEDS)
    covered = np.mean(np.abs(deviation) < 2 * np.asarray(found.error))
    assert 0.84 < covered < 0.99


def _root_mean_square(method: str, probes: int, matrix: Any) -> float:
    estimate = pb.vmap(lambda key: pb.hessian_trace(_form(matrix), probes=probes, method=method)(key, X))
    return float(np.sqrt(np.mean((np.asarray(pb.jit(estimate)(KEYS).estimate) - np.trace(matrix)) ** 2)))


def test_rates_of_convergence() -> None:
    """With four times the probes the error halves; for hutch++ and a fast decay it falls far more."""
    slow = [_root_mean_square("hutchinson", k, FAST) for k in (9, 36)]
    fast = [_root_mean_square("hutch++", k, FAST) for k in (9, 36)]
    assert 1.7 < slow[0] / slow[1] < 2.4
    assert fast[0] / fast[1] > 5
    assert slow[0] / fast[0] > 3 and slow[1] / fast[1] > 15


# Under transformations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
@pytest.mark.parametrize("method", ["hutchinson", "hutch++", "exact"])
def test_under_transformations(method: str, engine: str) -> None:
    def f(x: Any, s: Any) -> Any:
        return pnp.sum(pnp.tanh(s * MIXED @ x)) + s**2 * pnp.sum(x) ** 2

    key, s = random.key(5), pnp.asarray(0.8)
    x = pnp.asarray(np.random.default_rng(1).normal(size=N))
    options: Any = {"method": method, "probes": 12}
    trace = lambda s: pb.hessian_trace(f, **options)(key, x, s).estimate
    pb.config.update("engine", engine)
    try:
        value = trace(s)
        np.testing.assert_allclose(pb.jit(trace)(s), value, rtol=1e-10)
        np.testing.assert_allclose(pb.vmap(trace)(pnp.stack([s, 2 * s])), [value, trace(2 * s)], rtol=1e-9)
        slope = pb.grad(trace)(s)
        np.testing.assert_allclose(pb.jit(pb.jacfwd(trace))(s), slope, rtol=1e-9)
        second = pb.grad(pb.grad(trace))(s)
        np.testing.assert_allclose(pb.jacfwd(pb.grad(trace))(s), second, rtol=1e-9)
        small = pb.hessian_trace(f, **options, batch_size=5)(key, x, s)
        np.testing.assert_allclose(small.estimate, value, rtol=1e-12)
    finally:
        pb.config.update("engine", "llvm")
    if method != "hutch++":  # whose derivatives hold the subspace fixed
        h = 1e-5
        np.testing.assert_allclose(slope, (trace(s + h) - trace(s - h)) / (2 * h), rtol=1e-6)
    exact = lambda s: pnp.trace(pb.hessian(f)(x, s))
    if method == "exact":
        np.testing.assert_allclose(
            [value, slope, second], [exact(s), pb.grad(exact)(s), pb.grad(pb.grad(exact))(s)]
        )


def test_derivatives_of_hutchpp_are_unbiased() -> None:
    f = lambda x, s: 0.5 * x @ (s * FAST + s**2 * MIXED) @ x
    slope = lambda key: pb.grad(
        lambda s: pb.hessian_trace(f, probes=12, method="hutch++")(key, X, s).estimate
    )(0.5)
    slopes = np.asarray(pb.jit(pb.vmap(slope))(KEYS))
    exact = np.trace(FAST) + np.trace(MIXED)
    assert abs(np.mean(slopes) - exact) < 4 * np.std(slopes) / np.sqrt(SEEDS)


def test_one_linearization() -> None:
    count = []

    def f(x: Any) -> Any:
        count.append(1)
        return pnp.sum(pnp.tanh(FAST @ x))

    for method in ("hutchinson", "hutch++", "exact"):
        count.clear()
        pb.hessian_trace(f, probes=30, method=method)(random.key(0), X)
        assert len(count) == 1


def test_types() -> None:
    x = {"a": np.ones(30, np.float32), "b": np.ones(20)}
    f = lambda x: pnp.sum(x["a"]) ** 2 * pnp.sum(x["b"]) ** 2
    found = pb.hessian_diagonal(f, probes=12)(random.key(0), x)
    assert found.estimate["a"].dtype == np.float32 and found.error["b"].dtype == np.float64
    np.testing.assert_allclose(found.estimate["a"], np.full(30, 800.0), rtol=1e-5)
    assert pb.hessian_trace(f, probes=12)(random.key(0), x).estimate.dtype == np.float64
    leaves, tree = pb.tree.flatten(found)
    assert len(leaves) == 4 and pb.tree.unflatten(tree, leaves).exact is False
    assert repr(pb.hessian_trace(lambda x: x**2)(random.key(0), 1.0)).startswith(
        "Estimate(estimate=2.0, error=0.0"
    )
    two = pb.hessian_diagonal(lambda x, y: x**2 * y, (0, 1))(random.key(0), 3.0, 2.0)
    assert [float(v) for v in two.estimate] == [4.0, 0.0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pb.hessian_trace(3), TypeError, "expects a function"),
        (lambda: pb.hessian_trace(pnp.sum, method="x"), ValueError, "method must be one of 'auto'.*got 'x'"),
        (lambda: pb.hessian_trace(pnp.sum, probes=1), ValueError, "probes must be at least 2, got 1"),
        (lambda: pb.hessian_trace(pnp.sum, probes=2.5), TypeError, "probes must be an integer"),
        (
            lambda: pb.hessian_diagonal(pnp.sum, method="hutch++", probes=5),
            ValueError,
            "needs at least 6 probes",
        ),
        (lambda: pb.hessian_trace(pnp.sum, batch_size=0), ValueError, "batch_size must be at least 1"),
        (
            lambda: pb.hessian_trace(pnp.sum)(random.key(0), pnp.arange(3)),
            TypeError,
            "by floating-point arguments",
        ),
        (lambda: pb.hessian_trace(pnp.abs)(random.key(0), 1j), TypeError, "real and imaginary parts"),
        (lambda: pb.hessian_trace(pnp.sin)(random.key(0), X), TypeError, "scalar"),
        (lambda: pb.hessian_trace(pnp.sum, 1)(random.key(0), X), ValueError, "argnums=1"),
        (lambda: pb.hessian_trace(lambda p: 0.0)(random.key(0), ()), ValueError, "has no arrays"),
    ],
)
def test_errors(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call()
