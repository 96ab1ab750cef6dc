"""`scipy.stats`, against SciPy; derivatives against finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats as reference

import pullback as pb
from pullback._src.base.config import enable_x64
from pullback.scipy import stats

_RNG = np.random.default_rng(0)
_X = np.concatenate([_RNG.normal(0.7, 1.5, 12), [0.3, 0.9, 2.5]])
_Q = np.linspace(0.05, 0.95, 7)

# name, shape parameters, functions beside logpdf and pdf
_TAILS = ["cdf", "logcdf", "sf", "logsf"]
_CONTINUOUS: list[tuple[str, tuple[float, ...], list[str]]] = [
    ("norm", (), [*_TAILS, "ppf", "isf"]),
    ("uniform", (), [*_TAILS, "ppf"]),
    ("expon", (), [*_TAILS, "ppf"]),
    ("gamma", (2.3,), _TAILS),
    ("chi2", (3.0,), _TAILS),
    ("beta", (0.7, 2.5), _TAILS),
    ("t", (4.0,), []),
    ("laplace", (), _TAILS),
    ("logistic", (), [*_TAILS, "ppf"]),
    ("cauchy", (), [*_TAILS, "ppf"]),
    ("pareto", (2.5,), [*_TAILS, "ppf"]),
    ("gumbel_r", (), [*_TAILS, "ppf"]),
    ("gumbel_l", (), [*_TAILS, "ppf"]),
]


def _close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("name", "shape", "functions"), _CONTINUOUS, ids=[c[0] for c in _CONTINUOUS])
def test_continuous_distributions(name: str, shape: tuple[float, ...], functions: list[str]) -> None:
    ours, theirs = getattr(stats, name), getattr(reference, name)
    with enable_x64(True), np.errstate(all="ignore"):
        for function in ("logpdf", "pdf", *functions):
            x = _Q if function in ("ppf", "isf") else _X
            for place in ((), (0.3,), (0.3, 2.0)):
                expected = getattr(theirs, function)(x, *shape, *place)
                _close(getattr(ours, function)(x, *shape, *place), expected)
    single = ours.logpdf(np.float32(0.4), *shape)
    assert single.dtype == np.float32


@pytest.mark.parametrize(("name", "shape"), [c[:2] for c in _CONTINUOUS], ids=[c[0] for c in _CONTINUOUS])
def test_gradients_of_log_densities(name: str, shape: tuple[float, ...]) -> None:
    low = 1.2 if name == "pareto" else 0.1
    x = np.linspace(low, 0.9 if name in ("beta", "uniform") else 2.5, 5)
    step = 1e-6
    place = (0.05, 1.1)
    with enable_x64(True):
        arguments: list[Any] = [x, *shape, *place]
        positions = tuple(range(len(arguments)))
        total = lambda *args: getattr(stats, name).logpdf(*args).sum()
        found = pb.grad(total, positions)(*arguments)
        for i, gradient in zip(positions, found, strict=True):
            up, down = list(arguments), list(arguments)
            up[i], down[i] = arguments[i] + step, arguments[i] - step
            difference = getattr(reference, name).logpdf(*up) - getattr(reference, name).logpdf(*down)
            expected = difference / (2 * step)
            np.testing.assert_allclose(
                np.asarray(gradient), expected if i == 0 else expected.sum(), rtol=1e-5, atol=1e-7
            )


_DISCRETE: list[tuple[str, tuple[float, ...], list[str]]] = [
    ("poisson", (2.5,), ["cdf"]),
    ("bernoulli", (0.3,), []),
    ("binom", (5, 0.3), []),
    ("geom", (0.3,), []),
    ("nbinom", (4, 0.3), []),
    ("betabinom", (6, 1.5, 2.5), []),
]


@pytest.mark.parametrize(("name", "shape", "functions"), _DISCRETE, ids=[c[0] for c in _DISCRETE])
def test_discrete_distributions(name: str, shape: tuple[float, ...], functions: list[str]) -> None:
    k = np.array([-1.0, 0, 1, 2, 3, 5, 7])
    with enable_x64(True), np.errstate(all="ignore"):
        for function in ("logpmf", "pmf", *functions):
            for place in ((), (1,)):
                expected = getattr(getattr(reference, name), function)(k, *shape, *place)
                _close(getattr(getattr(stats, name), function)(k, *shape, *place), expected)


def test_bernoulli_probabilities_and_quantiles() -> None:
    k, q = np.array([-0.5, 0, 0.5, 1, 2]), np.array([-0.1, 0, 0.5, 0.7, 0.9, 1.0, 1.1])
    with enable_x64(True):
        _close(stats.bernoulli.cdf(k, 0.3), reference.bernoulli.cdf(k, 0.3))
        _close(stats.bernoulli.ppf(q, 0.3), reference.bernoulli.ppf(q, 0.3))
    assert np.isnan(float(stats.bernoulli.cdf(0.0, 1.5)))


def test_distributions_without_place_and_scale() -> None:
    with enable_x64(True):
        for function in ("logpdf", "pdf", "cdf"):
            _close(getattr(stats.gennorm, function)(_X, 1.7), getattr(reference.gennorm, function)(_X, 1.7))
        for function in ("logpdf", "pdf"):
            expected = getattr(reference.vonmises, function)(_X, 1.7)
            _close(getattr(stats.vonmises, function)(_X, 1.7), expected)


def test_multivariate_normal() -> None:
    mean, x = _RNG.normal(size=3), _RNG.normal(size=(4, 2, 3))
    root = _RNG.normal(size=(3, 3))
    cov = root @ root.T + np.eye(3)
    with enable_x64(True):
        expected = reference.multivariate_normal(mean, cov)
        _close(stats.multivariate_normal.logpdf(x, mean, cov), expected.logpdf(x))
        _close(stats.multivariate_normal.pdf(x[0, 0], mean, cov), expected.pdf(x[0, 0]))
        stacked = stats.multivariate_normal.logpdf(x, mean, np.stack([cov, 2 * cov]))
        _close(np.asarray(stacked)[:, 0], expected.logpdf(x[:, 0]))
        _close(np.asarray(stacked)[:, 1], reference.multivariate_normal(mean, 2 * cov).logpdf(x[:, 1]))
        spherical = reference.multivariate_normal(mean, 2.0 * np.eye(3)).logpdf(x)
        _close(stats.multivariate_normal.logpdf(x, mean, 2.0), spherical)
        _close(stats.multivariate_normal.logpdf(x, 0.5, 4.0), reference.norm.logpdf(x, 0.5, 2.0))
        function = lambda m, c: stats.multivariate_normal.logpdf(x[0], m, c).sum()
        pb.test_util.check_grads(function, (mean, cov), order=2, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="do not fit together"):
        stats.multivariate_normal.logpdf(x, mean, np.eye(2))


def test_dirichlet() -> None:
    alpha = np.array([0.7, 2.0, 3.5])
    x = _RNG.dirichlet(alpha, 5).T
    with enable_x64(True):
        _close(stats.dirichlet.logpdf(x, alpha), reference.dirichlet(alpha).logpdf(x))
        _close(stats.dirichlet.pdf(x[:-1], alpha), reference.dirichlet(alpha).pdf(x))
        outside = stats.dirichlet.logpdf(np.array([0.5, 0.6, 0.1]), alpha)
    assert float(outside) == -np.inf
    with pytest.raises(ValueError, match="components"):
        stats.dirichlet.logpdf(np.ones(5) / 5, alpha)


def test_they_map_and_compile() -> None:
    function = lambda x: stats.norm.logpdf(x, 0.2, 1.3) + stats.gamma.logpdf(x, 2.0)
    x = np.float32([0.3, 1.2, 4.0])
    one_by_one = [float(function(v)) for v in x]
    np.testing.assert_allclose(np.asarray(pb.jit(pb.vmap(function))(x)), one_by_one, rtol=1e-5)
