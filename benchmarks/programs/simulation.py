"""Loops: differential equations, filters, Newton's method, recurrences."""

from collections.abc import Callable
from typing import Any

import numpy as np

from programs.registry import normals, program, uniforms


def _rk4(derivative: Callable[[Any], Any], x: Any, h: float) -> Any:
    k1 = derivative(x)
    k2 = derivative(x + h / 2 * k1)
    k3 = derivative(x + h / 2 * k2)
    k4 = derivative(x + h * k3)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


# The step is short, so that the path is not yet chaotic at its end and the results can be compared.
@program(
    "lorenz",
    "grad of 10,000 RK4 Lorenz steps (scan)",
    lambda generator: (np.array([1.0, 2.0, 20.0], np.float32),),
    stated=(910, 700),
    tolerance=2e-3,
)
def lorenz(lib: Any) -> Callable[..., Any]:
    np = lib.numpy

    def derivative(s: Any) -> Any:
        x, y, z = s
        return np.stack((10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z))

    def last(start: Any) -> Any:
        end, _ = lib.lax.scan(lambda s, _: (_rk4(derivative, s, 1e-4), None), start, None, length=10_000)
        return np.sum(end**2)

    return lib.grad(last)


@program(
    "pendulum",
    "value_and_grad of 2,000 symplectic pendulum steps, path returned, f64",
    normals((2,), dtype=np.float64),
    group="simulation",
    like="lorenz",
    x64=True,
    tolerance=1e-9,
)
def pendulum(lib: Any) -> Callable[..., Any]:
    np = lib.numpy

    def energy(start: Any) -> Any:
        def step(state: Any, _: Any) -> Any:
            angle, speed = state
            speed = speed - 0.01 * np.sin(angle)
            angle = angle + 0.01 * speed
            return (angle, speed), angle

        _, path = lib.lax.scan(step, (start[0], start[1]), None, length=2_000)
        return np.mean(path**2), path

    return lib.value_and_grad(energy, has_aux=True)


@program(
    "bodies",
    "grad of 200 leapfrog steps of 8 bodies, f64",
    normals((8, 3), (8, 3), dtype=np.float64),
    group="simulation",
    like="lorenz",
    x64=True,
    tolerance=1e-8,
)
def bodies(lib: Any) -> Callable[..., Any]:
    np = lib.numpy

    def acceleration(x: Any) -> Any:
        differences = x[None] - x[:, None]
        squares = np.sum(differences**2, axis=-1) + 0.1
        return np.sum(differences / squares[..., None] ** 1.5, axis=1)

    def spread(x: Any, v: Any) -> Any:
        def step(state: Any, _: Any) -> Any:
            x, v = state
            v = v + 0.005 * acceleration(x)
            x = x + 0.01 * v
            return (x, v + 0.005 * acceleration(x)), None

        (x, _), _ = lib.lax.scan(step, (x, v), None, length=200)
        return np.sum(x**2)

    return lib.grad(spread, (0, 1))


def _filter_inputs(generator: np.random.Generator) -> tuple[Any, ...]:
    transition = np.eye(4) + 0.1 * np.eye(4, k=2)
    return transition, np.array([-2.0, -1.0]), generator.standard_normal((300, 2)).cumsum(axis=0)


@program(
    "kalman",
    "grad of a Kalman filter's likelihood, 4 states, 300 steps, f64",
    _filter_inputs,
    group="simulation",
    like="lorenz",
    x64=True,
    tolerance=1e-9,
)
def kalman(lib: Any) -> Callable[..., Any]:
    np = lib.numpy

    def negative_log_likelihood(transition: Any, log_noise: Any, observations: Any) -> Any:
        observe = np.eye(2, 4)
        process, measure = np.exp(log_noise[0]) * np.eye(4), np.exp(log_noise[1]) * np.eye(2)

        def step(state: Any, y: Any) -> Any:
            mean, covariance = state
            mean = transition @ mean
            covariance = transition @ covariance @ transition.T + process
            innovation = y - observe @ mean
            spread = observe @ covariance @ observe.T + measure
            determinant = spread[0, 0] * spread[1, 1] - spread[0, 1] * spread[1, 0]
            adjugate = np.array([[spread[1, 1], -spread[0, 1]], [-spread[1, 0], spread[0, 0]]])
            inverse = adjugate / determinant
            gain = covariance @ observe.T @ inverse
            term = innovation @ inverse @ innovation + np.log(determinant)
            return (mean + gain @ innovation, covariance - gain @ observe @ covariance), term

        _, terms = lib.lax.scan(step, (np.zeros(4), np.eye(4)), observations)
        return 0.5 * np.sum(terms)

    return lib.grad(negative_log_likelihood, (0, 1))


@program(
    "newton",
    "Newton loops for 10,000 Kepler equations by vmap",
    uniforms((10_000,), (10_000,), low=0.05, high=0.9),
    group="simulation",
    like="elementwise",
)
def newton(lib: Any) -> Callable[..., Any]:
    np = lib.numpy

    def solve(mean_anomaly: Any, eccentricity: Any) -> Any:
        def residual(e: Any) -> Any:
            return e - eccentricity * np.sin(e) - mean_anomaly

        def step(state: Any) -> Any:
            count, e, _ = state
            value, slope = lib.value_and_grad(residual)(e)
            return count + 1, e - value / slope, np.abs(value)

        start = (0, mean_anomaly, np.full_like(mean_anomaly, np.inf))
        return lib.lax.while_loop(lambda s: (s[2] > 1e-4) & (s[0] < 50), step, start)[1]

    return lib.vmap(solve)


@program(
    "newton_system",
    "Newton loop for a system of 3 equations, f64",
    uniforms((3,), dtype=np.float64),
    group="simulation",
    like="logistic",
    x64=True,
)
def newton_system(lib: Any) -> Callable[..., Any]:
    np = lib.numpy

    def residual(v: Any, target: Any) -> Any:
        x, y, z = v
        return np.stack((x + 0.2 * np.sin(y), y + 0.2 * x * z, z + 0.1 * np.exp(-x))) - target

    def solve(target: Any) -> Any:
        def step(state: Any) -> Any:
            v, _ = state
            move = np.linalg.solve(lib.jacfwd(residual)(v, target), residual(v, target))
            return v - move, np.max(np.abs(move))

        start = (target, np.array(np.inf, target.dtype))
        return lib.lax.while_loop(lambda state: state[1] > 1e-12, step, start)[0]

    return solve


@program(
    "recurrence",
    "5,000 entries written one by one into a buffer",
    uniforms((2,)),
    group="simulation",
    like="lorenz",
    tolerance=1e-3,
)
def recurrence(lib: Any) -> Callable[..., Any]:
    np = lib.numpy

    def fill(start: Any) -> Any:
        def step(i: Any, buffer: Any) -> Any:
            return buffer.at[i].set(np.cos(buffer[i - 1]) + 0.3 * buffer[i - 2])

        return lib.lax.fori_loop(2, 5_000, step, np.zeros(5_000).at[:2].set(start))

    return fill


def _rosenbrock(lib: Any) -> Callable[[Any], Any]:
    return lambda x: lib.numpy.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@program(
    "rosenbrock_hessian",
    "Hessian of the Rosenbrock function, 10 variables",
    normals((10,)),
    group="simulation",
    like="hvp",
)
def rosenbrock_hessian(lib: Any) -> Callable[..., Any]:
    return lib.hessian(_rosenbrock(lib))


@program(
    "gradient_descent",
    "1,000 gradient steps on the Rosenbrock function, 100 variables, f64",
    uniforms((100,), dtype=np.float64),
    group="simulation",
    like="lorenz",
    x64=True,
    tolerance=1e-8,
)
def gradient_descent(lib: Any) -> Callable[..., Any]:
    gradient = lib.grad(_rosenbrock(lib))
    return lambda x: lib.lax.fori_loop(0, 1_000, lambda _, x: x - 5e-4 * gradient(x), x)
