"""Transcendental functions, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from pullback._src.ops import transcendental as ops

from ..matrix import Sample, matrix_cells, run_cell

_X = np.linspace(-0.9, 0.8, 6, dtype=np.float32).reshape(2, 3)
SAMPLES = [
    Sample("tanh-f32", ops.tanh, (_X,), np.tanh, differentiable=(0,), primitives=("tanh",)),
    Sample("tanh-c64", ops.tanh, (_X + 1j * _X[::-1],), np.tanh, differentiable=(0,), primitives=("tanh",)),
    Sample("tanh-f64", ops.tanh, (_X.astype(float),), np.tanh, differentiable=(0,), primitives=("tanh",)),
    Sample(
        "atan2-f32",
        ops.atan2,
        (_X, _X[::-1] + np.float32(0.05)),
        np.arctan2,
        differentiable=(0, 1),
        batchable=(0, 1),
        primitives=("atan2",),
    ),
]


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)
