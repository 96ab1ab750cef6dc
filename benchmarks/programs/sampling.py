"""Random numbers, samplers, and pricing."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from programs.registry import key, program


def _key(seed: int) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    return lambda generator: (key(seed),)


@program("random_normal", "random.normal of 4M", _key(0), stated=(85_000, 15_000))
def random_normal(lib: Any) -> Callable[..., Any]:
    return lambda k: lib.random.normal(k, (4_000_000,))


@program(
    "random_normal_original",
    "random.normal of 4M, the original stream",
    _key(1),
    group="sampling",
    like="random_normal",
    partitionable=False,
)
def random_normal_original(lib: Any) -> Callable[..., Any]:
    return lambda k: lib.random.normal(k, (4_000_000,))


@program(
    "dropout",
    "dropout mask and scale, 1000×1000",
    _key(2),
    group="sampling",
    like="random_normal",
    tolerance=0.0,
)
def dropout(lib: Any) -> Callable[..., Any]:
    np = lib.numpy
    return lambda k: np.where(lib.random.bernoulli(k, 0.75, (1000, 1000)), 4.0 / 3.0, 0.0)


@program(
    "split_and_draw",
    "10,000 keys, 8 exponential draws each",
    _key(3),
    group="sampling",
    like="random_normal",
)
def split_and_draw(lib: Any) -> Callable[..., Any]:
    return lambda k: lib.vmap(lambda k: lib.random.exponential(k, (8,)))(lib.random.split(k, 10_000))


def _chains(generator: np.random.Generator) -> tuple[Any, ...]:
    return key(4), generator.standard_normal((64, 2))


@program(
    "metropolis",
    "Metropolis sampler, 64 chains, 1,000 steps, f64",
    _chains,
    group="sampling",
    like="lorenz",
    x64=True,
    tolerance=1e-8,
)
def metropolis(lib: Any) -> Callable[..., Any]:
    np, random = lib.numpy, lib.random

    def log_density(x: Any) -> Any:
        return -0.05 * (x[..., 0] ** 2 - 4) ** 2 - 0.5 * (x[..., 1] - x[..., 0]) ** 2

    def sample(k: Any, start: Any) -> Any:
        def step(state: Any, k: Any) -> Any:
            x, density = state
            move, accept = random.split(k)
            proposal = x + 0.8 * random.normal(move, x.shape)
            proposed = log_density(proposal)
            taken = np.log(random.uniform(accept, density.shape)) < proposed - density
            x = np.where(taken[:, None], proposal, x)
            return (x, np.where(taken, proposed, density)), np.mean(x, axis=0)

        (x, _), means = lib.lax.scan(step, (start, log_density(start)), random.split(k, 1_000))
        return x, means

    return sample


def _regression(generator: np.random.Generator) -> tuple[Any, ...]:
    x = generator.standard_normal((100, 5))
    y = (x @ generator.standard_normal(5) > 0).astype(np.float64)
    return key(5), x, y, np.zeros(5)


@program(
    "hmc",
    "HMC for logistic regression, 100 samples of 10 leapfrog steps, f64",
    _regression,
    group="sampling",
    like="lorenz",
    x64=True,
    tolerance=1e-8,
)
def hmc(lib: Any) -> Callable[..., Any]:
    np, random, lax = lib.numpy, lib.random, lib.lax

    def sample(k: Any, x: Any, y: Any, start: Any) -> Any:
        def energy(w: Any) -> Any:
            logits = x @ w
            return np.sum(np.logaddexp(0.0, logits) - y * logits) + 0.5 * np.sum(w**2)

        def leapfrog(_: Any, state: Any) -> Any:
            w, momentum = state
            momentum = momentum - 0.05 * lib.grad(energy)(w)
            w = w + 0.1 * momentum
            return w, momentum - 0.05 * lib.grad(energy)(w)

        def step(w: Any, k: Any) -> Any:
            draw, accept = random.split(k)
            momentum = random.normal(draw, w.shape)
            proposal, last = lax.fori_loop(0, 10, leapfrog, (w, momentum))
            before = energy(w) + 0.5 * np.sum(momentum**2)
            after = energy(proposal) + 0.5 * np.sum(last**2)
            w = np.where(np.log(random.uniform(accept)) < before - after, proposal, w)
            return w, w

        return lax.scan(step, start, random.split(k, 100))[1]

    return sample


def _options(generator: np.random.Generator) -> tuple[Any, ...]:
    n = 200_000
    return tuple(
        generator.uniform(low, high, n).astype(np.float32)
        for low, high in ((80, 120), (80, 120), (0.2, 2), (0.0, 0.05), (0.1, 0.5))
    )


@program(
    "black_scholes",
    "Black–Scholes prices and three Greeks, 200,000 options",
    _options,
    group="sampling",
    like="elementwise",
    tolerance=1e-4,
)
def black_scholes(lib: Any) -> Callable[..., Any]:
    np = lib.numpy

    def price(spot: Any, strike: Any, time: Any, rate: Any, volatility: Any) -> Any:
        spread = volatility * np.sqrt(time)
        d1 = (np.log(spot / strike) + (rate + 0.5 * volatility**2) * time) / spread
        cdf = lib.scipy.stats.norm.cdf
        return spot * cdf(d1) - strike * np.exp(-rate * time) * cdf(d1 - spread)

    return lib.vmap(lib.value_and_grad(price, (0, 3, 4)))


@program(
    "monte_carlo_option",
    "Asian option by 20,000 paths of 50 steps, grad",
    lambda generator: (key(6), np.float32(100.0), np.float32(0.2)),
    group="sampling",
    like="random_normal",
    tolerance=1e-4,
)
def monte_carlo_option(lib: Any) -> Callable[..., Any]:
    np = lib.numpy

    def price(spot: Any, volatility: Any, k: Any) -> Any:
        step = 1 / 50
        noise = lib.random.normal(k, (20_000, 50))
        growth = (0.03 - 0.5 * volatility**2) * step + volatility * math.sqrt(step) * noise
        paths = spot * np.exp(np.cumsum(growth, axis=1))
        return math.exp(-0.03) * np.mean(np.maximum(np.mean(paths, axis=1) - 100.0, 0.0))

    return lambda k, spot, volatility: lib.value_and_grad(price, (0, 1))(spot, volatility, k)
