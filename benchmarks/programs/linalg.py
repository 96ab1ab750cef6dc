"""Matrices: products, factorizations, solves, and their derivatives."""

from collections.abc import Callable
from typing import Any

import numpy as np

from programs.registry import normals, program


def _positive_definite(generator: np.random.Generator) -> tuple[Any, ...]:
    factor = generator.standard_normal((300, 300))
    return ((factor @ factor.T / 300 + np.eye(300)).astype(np.float32),)


@program(
    "log_determinant",
    "log-det through Cholesky 300×300, grad",
    _positive_definite,
    stated=(2_575, 1_300),
    tolerance=1e-4,
)
def log_determinant(lib: Any) -> Callable[..., Any]:
    np = lib.numpy
    return lib.grad(lambda a: 2 * np.sum(np.log(np.diag(np.linalg.cholesky(a)))))


@program(
    "matrix_power",
    "chain of 50 products 64×64",
    normals((64, 64), (64, 64)),
    group="linalg",
    like="mlp",
    tolerance=1e-4,
)
def matrix_power(lib: Any) -> Callable[..., Any]:
    def chain(a: Any, b: Any) -> Any:
        for _ in range(50):
            b = a @ b * 0.1
        return b

    return chain


def _system(generator: np.random.Generator) -> tuple[Any, ...]:
    a = generator.standard_normal((200, 200)) + 20 * np.eye(200)
    return a.astype(np.float32), generator.standard_normal(200).astype(np.float32)


@program(
    "solve",
    "grad through an LU solve 200×200",
    _system,
    group="linalg",
    like="log_determinant",
    tolerance=1e-4,
)
def solve(lib: Any) -> Callable[..., Any]:
    np = lib.numpy
    return lib.grad(lambda a, b: np.sum(np.linalg.solve(a, b) ** 2), (0, 1))


def _small_systems(generator: np.random.Generator) -> tuple[Any, ...]:
    a = generator.standard_normal((10_000, 4, 4)) + 6 * np.eye(4)
    return a.astype(np.float32), generator.standard_normal((10_000, 4)).astype(np.float32)


@program(
    "small_solves",
    "10,000 solves 4×4 by vmap",
    _small_systems,
    group="linalg",
    like="log_determinant",
    tolerance=1e-4,
)
def small_solves(lib: Any) -> Callable[..., Any]:
    return lib.vmap(lib.numpy.linalg.solve)


def _small_covariances(generator: np.random.Generator) -> tuple[Any, ...]:
    factors = generator.standard_normal((5_000, 3, 3))
    covariances = factors @ np.swapaxes(factors, 1, 2) + np.eye(3)
    return covariances, generator.standard_normal((5_000, 3))


@program(
    "small_gaussians",
    "grad of 5,000 Gaussian log-densities 3×3, f64",
    _small_covariances,
    group="linalg",
    like="log_determinant",
    x64=True,
)
def small_gaussians(lib: Any) -> Callable[..., Any]:
    np = lib.numpy

    def log_density(covariance: Any, x: Any) -> Any:
        factor = np.linalg.cholesky(covariance)
        whitened = lib.scipy.linalg.solve_triangular(factor, x, lower=True)
        return -0.5 * np.sum(whitened**2) - np.sum(np.log(np.diag(factor)))

    return lib.vmap(lib.grad(log_density, (0, 1)))


@program(
    "gaussian_process",
    "grad of a Gaussian process's log-likelihood, 200 points, f64",
    normals((200, 3), (200,), (3,), dtype=np.float64),
    group="linalg",
    like="log_determinant",
    x64=True,
    tolerance=1e-9,
)
def gaussian_process(lib: Any) -> Callable[..., Any]:
    np = lib.numpy

    def negative_log_likelihood(log_scales: Any, x: Any, y: Any) -> Any:
        scaled = x * np.exp(log_scales)
        squares = np.sum((scaled[:, None] - scaled[None]) ** 2, axis=-1)
        covariance = np.exp(-0.5 * squares) + 0.1 * np.eye(len(x))
        factor = np.linalg.cholesky(covariance)
        whitened = lib.scipy.linalg.solve_triangular(factor, y, lower=True)
        return 0.5 * np.sum(whitened**2) + np.sum(np.log(np.diag(factor)))

    return lambda x, y, log_scales: lib.value_and_grad(negative_log_likelihood)(log_scales, x, y)


@program(
    "products",
    "matrix products 1000×300×700, tanh between",
    normals((1000, 300), (300, 700), (700, 50)),
    group="linalg",
    like="mlp",
    tolerance=1e-4,
)
def products(lib: Any) -> Callable[..., Any]:
    return lambda a, b, c: lib.numpy.tanh(a @ b) @ c
