"""Neural networks and the documents' small models."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from programs.registry import normals, program

_INPUTS = [[0.52, 1.12, 0.77], [0.88, -1.08, 0.15], [0.52, 0.06, -1.30], [0.74, -2.49, 1.39]]


@program("logistic", "grad of the documents' logistic loss", normals((3,), ()), stated=(13, 2))
def logistic(lib: Any) -> Callable[..., Any]:
    np = lib.numpy
    inputs = np.array(_INPUTS)
    targets = np.array([True, True, False, True])

    def loss(W: Any, b: Any) -> Any:
        predictions = 0.5 * (np.tanh((np.dot(inputs, W) + b) / 2) + 1)
        label_probabilities = predictions * targets + (1 - predictions) * (1 - targets)
        return -np.sum(np.log(label_probabilities))

    return lib.grad(loss, (0, 1))


@program("hvp", "hvp 30×40, forward over reverse", normals((30, 40), (30, 40)), stated=(25, 4))
def hvp(lib: Any) -> Callable[..., Any]:
    gradient = lib.grad(lambda X: lib.numpy.sum(lib.numpy.tanh(X) ** 2))
    return lambda X, V: lib.jvp(gradient, (X,), (V,))[1]


def _layers(generator: np.random.Generator, widths: tuple[int, ...]) -> list[Any]:
    return [
        (
            (generator.standard_normal((m, n)) / np.sqrt(m)).astype(np.float32),
            (0.1 * generator.standard_normal(n)).astype(np.float32),
        )
        for m, n in pairwise(widths)
    ]


def _mlp_inputs(widths: tuple[int, ...], batch: int) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    def inputs(generator: np.random.Generator) -> tuple[Any, ...]:
        images = generator.standard_normal((batch, widths[0])).astype(np.float32)
        labels = generator.integers(0, widths[-1], batch).astype(np.int32)
        return _layers(generator, widths), images, labels

    return inputs


def _cross_entropy(lib: Any, logits: Any, labels: Any) -> Any:
    log_probabilities = lib.nn.log_softmax(logits)
    return -lib.numpy.mean(lib.numpy.sum(log_probabilities * lib.nn.one_hot(labels, 10), axis=-1))


@program(
    "mlp",
    "MLP 784-512-512-10, batch 128, value_and_grad",
    _mlp_inputs((784, 512, 512, 10), 128),
    stated=(4_960, 4_500),
    tolerance=1e-4,
)
def mlp(lib: Any) -> Callable[..., Any]:
    def loss(layers: Any, images: Any, labels: Any) -> Any:
        x = images
        for W, b in layers[:-1]:
            x = lib.numpy.tanh(x @ W + b)
        W, b = layers[-1]
        return _cross_entropy(lib, x @ W + b, labels)

    return lib.value_and_grad(loss)


@program(
    "small_mlp",
    "MLP 8-32-32-10, batch 16, a step of Adam",
    _mlp_inputs((8, 32, 32, 10), 16),
    group="networks",
    like="logistic",
    tolerance=1e-3,
)
def small_mlp(lib: Any) -> Callable[..., Any]:
    np, tree_map = lib.numpy, lib.tree_util.tree_map

    def loss(layers: Any, images: Any, labels: Any) -> Any:
        x = images
        for W, b in layers[:-1]:
            x = lib.nn.relu(x @ W + b)
        W, b = layers[-1]
        return _cross_entropy(lib, x @ W + b, labels)

    def step(layers: Any, images: Any, labels: Any) -> Any:
        gradient = lib.grad(loss)(layers, images, labels)
        first = tree_map(lambda g: 0.1 * g, gradient)
        second = tree_map(lambda g: 0.001 * g * g, gradient)
        return tree_map(
            lambda p, m, v: p - 1e-3 * (m / 0.1) / (np.sqrt(v / 0.001) + 1e-3), layers, first, second
        )

    return step


def _cnn_inputs(generator: np.random.Generator) -> tuple[Any, ...]:
    parameters = {
        "first": (0.3 * generator.standard_normal((3, 3, 1, 32))).astype(np.float32),
        "second": (0.06 * generator.standard_normal((3, 3, 32, 64))).astype(np.float32),
        "dense": (0.02 * generator.standard_normal((7 * 7 * 64, 10))).astype(np.float32),
        "biases": [np.zeros(n, np.float32) for n in (32, 64, 10)],
    }
    images = generator.standard_normal((32, 28, 28, 1)).astype(np.float32)
    return parameters, images, generator.integers(0, 10, 32).astype(np.int32)


@program(
    "cnn",
    "two-layer CNN 28×28, batch 32, value_and_grad",
    _cnn_inputs,
    stated=(12_850, 9_000),
    tolerance=1e-4,
)
def cnn(lib: Any) -> Callable[..., Any]:
    lax = lib.lax

    def convolve(x: Any, kernel: Any) -> Any:
        return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def pool(x: Any) -> Any:
        return lax.reduce_window(x, -np.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    def loss(parameters: Any, images: Any, labels: Any) -> Any:
        b1, b2, b3 = parameters["biases"]
        x = pool(lib.nn.relu(convolve(images, parameters["first"]) + b1))
        x = pool(lib.nn.relu(convolve(x, parameters["second"]) + b2))
        return _cross_entropy(lib, x.reshape(len(x), -1) @ parameters["dense"] + b3, labels)

    return lib.value_and_grad(loss)


@program(
    "attention",
    "causal attention, batch 4, 8 heads, 128 long, 64 wide, value_and_grad",
    normals((4, 8, 128, 64), (4, 8, 128, 64), (4, 8, 128, 64)),
    group="networks",
    like="mlp",
    tolerance=1e-4,
)
def attention(lib: Any) -> Callable[..., Any]:
    np = lib.numpy

    def loss(query: Any, key: Any, value: Any) -> Any:
        scores = np.einsum("bhqd,bhkd->bhqk", query, key) / query.shape[-1] ** 0.5
        mask = np.tril(np.ones(scores.shape[-2:], bool))
        weights = lib.nn.softmax(np.where(mask, scores, -1e9), axis=-1)
        return np.mean(np.einsum("bhqk,bhkd->bhqd", weights, value) ** 2)

    return lib.value_and_grad(loss, (0, 1, 2))


@program(
    "layer_norm",
    "layer norm 2000×512, value_and_grad",
    normals((2000, 512), (512,), (512,)),
    group="networks",
    like="softmax",
    tolerance=1e-4,
)
def layer_norm(lib: Any) -> Callable[..., Any]:
    np = lib.numpy

    def loss(x: Any, scale: Any, shift: Any) -> Any:
        centred = x - np.mean(x, axis=-1, keepdims=True)
        deviation = lib.lax.rsqrt(np.mean(centred**2, axis=-1, keepdims=True) + 1e-5)
        return np.sum(np.sin(centred * deviation * scale + shift))

    return lib.value_and_grad(loss, (0, 1, 2))


def _gru_inputs(generator: np.random.Generator) -> tuple[Any, ...]:
    def matrix(m: int, n: int) -> Any:
        return (generator.standard_normal((m, n)) / np.sqrt(m)).astype(np.float32)

    return (matrix(32, 192), matrix(64, 192), np.zeros(192, np.float32)), generator.standard_normal(
        (100, 16, 32)
    ).astype(np.float32)


@program(
    "gru",
    "GRU 64 wide, batch 16, 100 steps, value_and_grad",
    _gru_inputs,
    group="networks",
    like="lorenz",
    tolerance=1e-4,
)
def gru(lib: Any) -> Callable[..., Any]:
    np = lib.numpy

    def loss(parameters: Any, sequence: Any) -> Any:
        W, U, b = parameters

        def step(h: Any, x: Any) -> Any:
            from_input = np.split(x @ W + b, 3, axis=-1)
            from_state = np.split(h @ U, 3, axis=-1)
            reset = lib.nn.sigmoid(from_input[0] + from_state[0])
            update = lib.nn.sigmoid(from_input[1] + from_state[1])
            h = update * h + (1 - update) * np.tanh(from_input[2] + reset * from_state[2])
            return h, np.mean(h**2)

        _, losses = lib.lax.scan(step, np.zeros((16, 64)), sequence)
        return np.sum(losses)

    return lib.value_and_grad(loss)
