"""The objectives of ADBench: Gaussian mixture, LSTM, bundle adjustment.

Šrajer, Kukelova, Fitzgibbon: A benchmark of selected algorithmic differentiation tools on some problems in
computer vision and machine learning. Optimization Methods and Software 33 (2018), 889–906.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from programs.registry import program


def _gmm_inputs(n: int, d: int, k: int) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    def inputs(generator: np.random.Generator) -> tuple[Any, ...]:
        return (
            generator.standard_normal(k),
            generator.uniform(0, 1, (k, d)),
            0.3 * generator.standard_normal((k, d * (d + 1) // 2)),
            generator.standard_normal((n, d)),
        )

    return inputs


def _log_wishart_prior(lib: Any, logs: Any, diagonals: Any, lower: Any, gamma: float, m: int) -> Any:
    np = lib.numpy
    k, p = diagonals.shape
    n = p + m + 1
    log_gamma = 0.25 * p * (p - 1) * math.log(math.pi)
    log_gamma += sum(math.lgamma(0.5 * n + 0.5 * (1 - j)) for j in range(1, p + 1))
    constant = n * p * (math.log(gamma) - 0.5 * math.log(2)) - log_gamma
    frobenius = np.sum(diagonals**2) + np.sum(lower**2)
    return 0.5 * gamma**2 * frobenius - m * np.sum(logs) - k * constant


def _gmm(lib: Any) -> Callable[..., Any]:
    np = lib.numpy

    def objective(alphas: Any, means: Any, icf: Any, x: Any) -> Any:
        n, d = x.shape
        logs = np.sum(icf[:, :d], axis=1)
        diagonals = np.exp(icf[:, :d])
        columns, rows = np.triu_indices(d, 1)
        lower = np.zeros((len(alphas), d, d), x.dtype).at[:, rows, columns].set(icf[:, d:])
        centred = x[:, None, :] - means
        transformed = diagonals * centred + np.einsum("kij,nkj->nki", lower, centred)
        inner = alphas + logs - 0.5 * np.sum(transformed**2, axis=2)
        likelihood = np.sum(lib.scipy.special.logsumexp(inner, axis=1))
        likelihood -= n * lib.scipy.special.logsumexp(alphas)
        prior = _log_wishart_prior(lib, logs, diagonals, icf[:, d:], 1.0, 0)
        return -n * d * 0.5 * math.log(2 * math.pi) + likelihood + prior

    return lib.grad(objective, (0, 1, 2))


@program(
    "gmm",
    "ADBench GMM (n 1000, d 10, K 25, f64), gradient",
    _gmm_inputs(1000, 10, 25),
    stated=(4_340, 1_500),
    x64=True,
)
def gmm(lib: Any) -> Callable[..., Any]:
    return _gmm(lib)


@program(
    "gmm_small",
    "ADBench GMM (n 1000, d 2, K 5, f64), gradient",
    _gmm_inputs(1000, 2, 5),
    group="adbench",
    like="gmm",
    x64=True,
)
def gmm_small(lib: Any) -> Callable[..., Any]:
    return _gmm(lib)


def _lstm_inputs(layers: int, wide: int, steps: int) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    def inputs(generator: np.random.Generator) -> tuple[Any, ...]:
        letters = generator.integers(0, wide, steps)
        return (
            generator.uniform(-1, 1, (2 * layers, 4 * wide)),
            generator.uniform(-1, 1, (3, wide)),
            generator.uniform(-1, 1, (2 * layers, wide)),
            np.eye(wide)[letters],
        )

    return inputs


def _lstm(lib: Any) -> Callable[..., Any]:
    np = lib.numpy

    def cell_step(weight: Any, bias: Any, hidden: Any, cell: Any, x: Any) -> tuple[Any, Any]:
        gates = np.concatenate((x, hidden, x, hidden)) * weight + bias
        forget, ingate, outgate, change = np.split(gates, 4)
        cell = cell * lib.nn.sigmoid(forget) + lib.nn.sigmoid(ingate) * np.tanh(change)
        return lib.nn.sigmoid(outgate) * np.tanh(cell), cell

    def objective(main: Any, extra: Any, state: Any, sequence: Any) -> Any:
        def step(state: Any, letters: Any) -> tuple[Any, Any]:
            x, target = letters
            x = x * extra[0]
            rows = []
            for i in range(0, len(state), 2):
                x, cell = cell_step(main[i], main[i + 1], state[i], state[i + 1], x)
                rows += [x, cell]
            prediction = x * extra[1] + extra[2]
            normalized = prediction - np.log(np.sum(np.exp(prediction)) + 2)
            return np.stack(rows), np.dot(target, normalized)

        _, terms = lib.lax.scan(step, state, (sequence[:-1], sequence[1:]))
        return -np.sum(terms) / (terms.size * sequence.shape[1])

    return lib.grad(objective, (0, 1))


@program(
    "lstm",
    "ADBench LSTM (2 layers, 14 wide, 1024 steps, f64), gradient",
    _lstm_inputs(2, 14, 1024),
    stated=(16_400, 4_000),
    x64=True,
)
def lstm(lib: Any) -> Callable[..., Any]:
    return _lstm(lib)


@program(
    "lstm_deep",
    "ADBench LSTM (4 layers, 14 wide, 300 steps, f64), gradient",
    _lstm_inputs(4, 14, 300),
    group="adbench",
    like="lstm",
    x64=True,
)
def lstm_deep(lib: Any) -> Callable[..., Any]:
    return _lstm(lib)


_CAMERAS, _POINTS, _OBSERVATIONS = 49, 2_000, 10_000


def _bundle_inputs(generator: np.random.Generator) -> tuple[Any, ...]:
    cameras = np.concatenate(
        (
            0.1 * generator.standard_normal((_CAMERAS, 3)),
            generator.standard_normal((_CAMERAS, 3)) + np.array([0, 0, -8]),
            np.full((_CAMERAS, 1), 500.0),
            0.1 * generator.standard_normal((_CAMERAS, 2)),
            1e-2 * generator.standard_normal((_CAMERAS, 2)),
        ),
        axis=1,
    )
    return (
        cameras,
        generator.standard_normal((_POINTS, 3)),
        generator.uniform(0.5, 1, _OBSERVATIONS),
        generator.integers(0, _CAMERAS, _OBSERVATIONS).astype(np.int32),
        generator.integers(0, _POINTS, _OBSERVATIONS).astype(np.int32),
        500 * generator.standard_normal((_OBSERVATIONS, 2)),
    )


@program(
    "bundle_adjustment",
    "ADBench BA (49 cameras, 10,000 observations, f64), residuals and Jacobian rows",
    _bundle_inputs,
    group="adbench",
    like="gmm",
    x64=True,
)
def bundle_adjustment(lib: Any) -> Callable[..., Any]:
    np = lib.numpy

    def rotate(rotation: Any, x: Any) -> Any:
        theta = np.sqrt(np.sum(rotation**2))
        axis = rotation / theta
        cosine, sine = np.cos(theta), np.sin(theta)
        return x * cosine + np.cross(axis, x) * sine + axis * (np.dot(axis, x) * (1 - cosine))

    def residual(camera: Any, x: Any, weight: Any, feature: Any) -> Any:
        in_camera = rotate(camera[:3], x - camera[3:6])
        projected = in_camera[:2] / in_camera[2]
        square = np.sum(projected**2)
        distorted = projected * (1 + camera[9] * square + camera[10] * square**2)
        return weight * (distorted * camera[6] + camera[7:9] - feature)

    def rows(camera: Any, x: Any, weight: Any, feature: Any) -> Any:
        value = residual(camera, x, weight, feature)
        jacobians = lib.jacrev(residual, (0, 1, 2))(camera, x, weight, feature)
        return value, np.concatenate((*jacobians[:2], jacobians[2][:, None]), axis=1)

    def adjust(cameras: Any, points: Any, weights: Any, views: Any, seen: Any, features: Any) -> Any:
        reprojection = lib.vmap(rows)(cameras[views], points[seen], weights, features)
        return *reprojection, 1 - weights**2

    return adjust
