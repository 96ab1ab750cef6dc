"""Training a small classifier: a network with one hidden layer, softmax cross-entropy, and Adam.

All of it is written with the library, as a user of it would: `jit(value_and_grad(loss))` gives the
gradient with respect to a dictionary of weights, and `tree_util.tree_map` applies the update to it.
"""

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

import pullback as pb
import pullback.numpy as pnp

from .csv_data import LabelledData

_HIDDEN_UNITS = 64
_BATCH_SIZE = 64
_EPOCHS = 30
_MIN_STEPS = 600
_LEARNING_RATE = 3e-3
_WEIGHT_DECAY = 1e-4
_TEST_FRACTION = 0.2
_SEED = 0

Parameters = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What a training run ends with.

    Attributes:
      initial_loss: the loss (see `loss`) on all training rows before the first step, in nats.
      final_loss: the same after the last step.
      correct: how many of the test rows are classified correctly.
      test_rows: how many test rows there are.
      train_rows: how many training rows there are.
    """

    initial_loss: float
    final_loss: float
    correct: int
    test_rows: int
    train_rows: int

    @property
    def accuracy(self) -> float:
        """The fraction of the test rows that is classified correctly."""
        return self.correct / self.test_rows


def logits(parameters: Parameters, features: Any) -> Any:
    """Unnormalised log-probabilities: f32[rows, columns] -> f32[rows, classes]."""
    hidden = pnp.tanh(pnp.dot(features, parameters["W1"]) + parameters["b1"])
    return pnp.dot(hidden, parameters["W2"]) + parameters["b2"]


def loss(parameters: Parameters, features: Any, targets: Any) -> Any:
    """Mean cross-entropy against one-hot targets, with a small penalty on the weights' squares."""
    log_probabilities = pb.nn.log_softmax(logits(parameters, features))
    penalty = pnp.sum(parameters["W1"] ** 2) + pnp.sum(parameters["W2"] ** 2)
    return -pnp.mean(pnp.sum(targets * log_probabilities, axis=1)) + _WEIGHT_DECAY * penalty


def adam(parameters: Parameters, state: Parameters, gradient: Parameters) -> tuple[Parameters, Parameters]:
    """One step of Adam (Kingma and Ba 2015, algorithm 1) on a dictionary of weights."""
    step = state["step"] + 1
    mean = pb.tree_util.tree_map(lambda m, g: 0.9 * m + 0.1 * g, state["mean"], gradient)
    square = pb.tree_util.tree_map(lambda s, g: 0.999 * s + 0.001 * g**2, state["square"], gradient)
    rate = _LEARNING_RATE * pnp.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    parameters = pb.tree_util.tree_map(
        lambda p, m, s: p - rate * m / (pnp.sqrt(s) + 1e-8), parameters, mean, square
    )
    return parameters, {"step": step, "mean": mean, "square": square}


def train(data: LabelledData, epochs: int | None = None) -> Result:
    """Train on four fifths of the rows, with a progress bar on stderr, and test on the rest.

    The split and the initial weights come from fixed seeds: the same data give the same result.

    Args:
      data: at least two rows.
      epochs: how often to go through the rows; by default 30 times, or more where that is few steps.
    """
    shuffled = np.random.default_rng(_SEED).permutation(len(data.labels))
    test_count = max(1, round(_TEST_FRACTION * len(shuffled)))
    test, rows = shuffled[:test_count], shuffled[test_count:]
    features = _standardized(data.features, rows)
    targets = np.eye(len(data.classes), dtype=np.float32)[data.labels]

    loss_and_gradient = pb.jit(pb.value_and_grad(loss))
    update = pb.jit(adam)
    key, init_key = pb.random.split(pb.random.key(_SEED))
    parameters = _initial_parameters(init_key, features.shape[1], len(data.classes))
    zeros = pb.tree_util.tree_map(pnp.zeros_like, parameters)
    state = {"step": pnp.float32(0), "mean": zeros, "square": zeros}
    initial_loss = float(loss(parameters, features[rows], targets[rows]))

    batch_size = min(_BATCH_SIZE, len(rows))
    batches = len(rows) // batch_size
    if epochs is None:
        epochs = max(_EPOCHS, _MIN_STEPS // batches)
    progress = tqdm(range(epochs), desc="training", unit="epoch", file=sys.stderr)
    for _ in progress:
        key, epoch_key = pb.random.split(key)
        order = rows[np.asarray(pb.random.permutation(epoch_key, len(rows)))]
        # Batches of one size only, since compiled programs are specialised to shapes; the rows that
        # are left over are others in every epoch.
        for batch in order[: batches * batch_size].reshape(batches, batch_size):
            value, gradient = loss_and_gradient(parameters, features[batch], targets[batch])
            parameters, state = update(parameters, state, gradient)
        progress.set_postfix(loss=f"{float(value):.4f}")

    final_loss = float(loss(parameters, features[rows], targets[rows]))
    predicted = np.asarray(pnp.argmax(logits(parameters, features[test]), axis=1))
    correct = int(np.sum(predicted == data.labels[test]))
    return Result(initial_loss, final_loss, correct, len(test), len(rows))


def _standardized(features: npt.NDArray[np.float64], rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
    """Shifted and scaled by the mean and deviation of the training rows; a constant column becomes 0.

    Scaling by the largest magnitude first keeps the squares of huge and of tiny numbers in range.
    """
    largest = np.max(np.abs(features), axis=0)
    scaled = features / np.where(largest > 0, largest, 1.0)
    deviation = np.std(scaled[rows], axis=0)
    centred = scaled - np.mean(scaled[rows], axis=0)
    return np.asarray(centred / np.where(deviation > 1e-7, deviation, 1.0), np.float32)


def _initial_parameters(key: Any, columns: int, classes: int) -> Parameters:
    """Normal weights of variance 1 / (number of inputs), zero biases."""
    key1, key2 = pb.random.split(key)
    return {
        "W1": pb.random.normal(key1, (columns, _HIDDEN_UNITS)) / math.sqrt(columns),
        "b1": pnp.zeros(_HIDDEN_UNITS),
        "W2": pb.random.normal(key2, (_HIDDEN_UNITS, classes)) / math.sqrt(_HIDDEN_UNITS),
        "b2": pnp.zeros(classes),
    }
