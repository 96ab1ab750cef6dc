"""Transcendental functions, against NumPy and SciPy; derivatives against finite differences and JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
import scipy.special

from pullback._src.ops import transcendental as ops

from .. import oracle
from ..matrix import Sample, matrix_cells, run_cell
from .domains import BFLOAT16, DTYPE_NAMES, FLOAT16, SPECIAL, uniform

# name, reference, lower and upper limit of the real arguments
_FUNCTIONS: list[tuple[str, Callable[..., Any], float, float]] = [
    ("exp", np.exp, -2, 2),
    ("exp2", np.exp2, -2, 2),
    ("expm1", np.expm1, -0.5, 0.5),
    ("log1p", np.log1p, -0.5, 1),
    ("sqrt", np.sqrt, 0.25, 3),
    ("rsqrt", lambda x: 1 / np.sqrt(x), 0.25, 3),
    ("cbrt", np.cbrt, -3, -0.5),
    ("logistic", scipy.special.expit, -4, 4),
    ("sin", np.sin, -7, 7),
    ("cos", np.cos, -7, 7),
    ("tan", np.tan, -1.2, 1.2),
    ("asin", np.arcsin, -0.8, 0.8),
    ("acos", np.arccos, -0.8, 0.8),
    ("atan", np.arctan, -3, 3),
    ("sinh", np.sinh, -2, 2),
    ("cosh", np.cosh, -2, 2),
    ("tanh", np.tanh, -1, 1),
    ("asinh", np.arcsinh, -2, 2),
    ("acosh", np.arccosh, 1.2, 4),
    ("atanh", np.arctanh, -0.8, 0.8),
]
_NO_COMPLEX = {"cbrt"}


def _complex(name: str, reference: Callable[..., Any]) -> Callable[..., Any]:
    return (lambda z: 1 / (1 + np.exp(-z))) if name == "logistic" else reference


def _samples() -> list[Sample]:
    out = []
    for name, reference, low, high in _FUNCTIONS:
        function = getattr(ops, name)
        for dtype, order in ((np.float32, 1), (np.float64, 2)):
            x = uniform(low, high, (2, 3), dtype)
            label = f"{name}-{DTYPE_NAMES[np.dtype(dtype).name]}"
            out.append(Sample(label, function, (x,), reference, (0,), order, primitives=(name,)))
        x = uniform(low, high, (3,), np.float32)
        low_precision = lambda v, f=reference: f(v.astype(np.float32)).astype(v.dtype)
        out += [
            Sample(f"{name}-scalar", function, (x[0],), reference, (0,), 1),
            Sample(f"{name}-empty", function, (np.zeros((0, 3), np.float32),), reference, (0,), 1),
            Sample(f"{name}-f16", function, (x.astype(FLOAT16),), low_precision),
            Sample(f"{name}-bf16", function, (x.astype(BFLOAT16),), low_precision),
        ]
        if name not in _NO_COMPLEX:
            for dtype, order in ((np.complex64, 1), (np.complex128, 2)):
                # Off the axes, where the branch cuts are.
                z = uniform(low, high, (2, 2), dtype) + np.asarray(0.3j, dtype)
                label = f"{name}-{DTYPE_NAMES[np.dtype(dtype).name]}"
                out.append(
                    Sample(
                        label,
                        function,
                        (z,),
                        _complex(name, reference),
                        (0,),
                        order,
                        rtol=3e-6 if dtype is np.complex64 else None,
                    )
                )
    pair = lambda dtype: (uniform(0.3, 2, (2, 3), dtype, 1), uniform(-2, -0.3, (3,), dtype, 2))
    out += [
        Sample(
            "atan2-f64",
            ops.atan2,
            pair(np.float64),
            np.arctan2,
            (0, 1),
            batchable=(0, 1),
            primitives=("atan2",),
        ),
        Sample("atan2-f32", ops.atan2, pair(np.float32), np.arctan2, (0, 1), 1, (0, 1)),
        Sample(
            "atan2-c128",
            ops.atan2,
            pair(np.complex128),
            lambda y, x: -1j * np.log((x + 1j * y) / np.sqrt(x * x + y * y)),
            (0, 1),
            1,
            (0, 1),
        ),
    ]
    return out


SAMPLES = _samples()


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@pytest.mark.parametrize(("name", "reference"), [f[:2] for f in _FUNCTIONS])
def test_special_values(name: str, reference: Callable[..., Any]) -> None:
    x = np.array(SPECIAL, np.float32)
    with np.errstate(all="ignore"):
        expected = np.asarray(reference(x))
    actual = np.asarray(getattr(ops, name)(x))
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
    np.testing.assert_array_equal(np.signbit(actual[expected == 0]), np.signbit(expected[expected == 0]))


def test_atan2_of_zeros_and_infinities() -> None:
    y, x = np.meshgrid(*[np.array([0.0, -0.0, 1, -1, np.inf, -np.inf, np.nan], np.float32)] * 2)
    actual = np.asarray(ops.atan2(y, x))
    np.testing.assert_allclose(actual, np.arctan2(y, x), rtol=1e-6)


@pytest.mark.parametrize("name", [f[0] for f in _FUNCTIONS])
def test_like_jax(name: str) -> None:
    low, high = next(f[2:] for f in _FUNCTIONS if f[0] == name)
    ours, theirs = getattr(ops, name), getattr(jax.lax, name)
    x = uniform(low, high, (5,), np.float32)
    oracle.check(ours, theirs, x, units=16)
    oracle.check(ours, theirs, 0.5 if name != "acosh" else 1.5, units=16)
    oracle.check(ours, theirs, np.arange(3))
    oracle.check_grad(ours, theirs, x)
    if name not in _NO_COMPLEX:
        oracle.check_grad(ours, theirs, uniform(low, high, (5,), np.complex64) + np.complex64(0.3j))
