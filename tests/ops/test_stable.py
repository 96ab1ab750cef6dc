"""Elementwise functions with a stable formula of their own, against NumPy and JAX."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pullback as pb
from pullback._src.core import rules
from pullback._src.core.array import as_array, from_numpy
from pullback._src.ops import stable as ops

from .. import oracle
from ..matrix import Sample, matrix_cells, run_cell
from .domains import BFLOAT16, DTYPE_NAMES, FLOAT16, uniform

_BINARY = {"logaddexp": np.logaddexp, "hypot": np.hypot}
_UNARY = {"log2": np.log2, "log10": np.log10, "sinc": np.sinc}


def _low(reference: Any) -> Any:
    return lambda *xs: reference(*[x.astype(np.float32) for x in xs]).astype(xs[0].dtype)


def _samples() -> list[Sample]:
    out = []
    for dtype, order in ((np.float32, 1), (np.float64, 2), (FLOAT16, 0), (BFLOAT16, 0)):
        low = order == 0
        suffix = DTYPE_NAMES[np.dtype(dtype).name]
        for name, reference in _BINARY.items():
            args = (uniform(-2, 2, (2, 3), dtype, 1), uniform(-2, 2, (3,), dtype, 2))
            out.append(
                Sample(
                    f"{name}-{suffix}",
                    getattr(ops, name),
                    args,
                    _low(reference) if low else reference,
                    () if low else (0, 1),
                    order,
                    (0, 1),
                    primitives=(name,),
                )
            )
        for name, reference in _UNARY.items():
            x = uniform(0.3, 2, (2, 3), dtype)
            differentiable = () if low else (0,)
            checked = _low(reference) if low else reference
            function = getattr(ops, name)
            out.append(
                Sample(f"{name}-{suffix}", function, (x,), checked, differentiable, order, primitives=(name,))
            )
    for name in ("log2", "log10"):
        for dtype, order in ((np.complex64, 1), (np.complex128, 2)):
            z = uniform(0.3, 2, (3,), dtype)
            suffix = DTYPE_NAMES[np.dtype(dtype).name]
            out.append(Sample(f"{name}-{suffix}", getattr(ops, name), (z,), _UNARY[name], (0,), order))
    return out


SAMPLES = _samples()


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@pytest.mark.parametrize("name", [*_BINARY, *_UNARY])
def test_special_values_and_decompositions(name: str) -> None:
    special = [0.0, -0.0, 1.0, -1.0, 1e30, 1e-30, 100.0, -100.0, np.inf, -np.inf, np.nan]
    if name in _BINARY:
        args = [np.array(v, np.float32) for v in zip(*itertools.product(special, special), strict=True)]
    else:
        args = [np.array(special, np.float32)]
    with np.errstate(all="ignore"):
        expected = {**_BINARY, **_UNARY}[name](*args)
    if name == "sinc":
        args, expected = [args[0][np.isfinite(args[0])]], expected[np.isfinite(args[0])]
    np.testing.assert_allclose(np.asarray(getattr(ops, name)(*args)), expected, rtol=2e-6, atol=1e-7)
    primitive = getattr(ops, f"{name}_p")
    params = {"order": 0} if name == "sinc" else {}
    decomposed = rules.decompose[primitive](*map(as_array, args), **params)
    np.testing.assert_allclose(np.asarray(decomposed), expected, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["logaddexp", "log2", "log10", "sinc", "hypot"])
def test_like_jax(name: str) -> None:
    ours, theirs = getattr(ops, name), getattr(jnp, name)
    count = 2 if name in _BINARY else 1
    args = [uniform(0.3, 2, (4,), np.float32, i) for i in range(count)]
    oracle.check(ours, theirs, *args, units=16)
    oracle.check_grad(ours, theirs, *args, argnums=tuple(range(count)))


def test_derivatives_at_special_points_like_jax() -> None:
    x, y = np.array([1, 2, -np.inf, 100], np.float32), np.array([1, -np.inf, 2, -100], np.float32)
    oracle.check_grad(ops.logaddexp, jnp.logaddexp, x, y, argnums=(0, 1))
    oracle.check_grad(ops.sinc, jnp.sinc, np.array([0.0, 0.5, 1.0], np.float32))
    second = jax.grad(jax.grad(jnp.sinc))(0.0)
    np.testing.assert_allclose(float(_second_derivative(0.0)), float(second), rtol=1e-5)


def _second_derivative(x: float) -> Any:
    return pb.grad(pb.grad(ops.sinc))(x)


@pytest.mark.parametrize("order", range(1, 5))
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
def test_derivatives_of_sinc_are_their_decomposition(order: int, dtype: Any) -> None:
    x = from_numpy(np.array([0, 1e-6, 0.2, -0.4, 1, 2.5, 7.25]).astype(dtype))
    kernel = np.asarray(ops.sinc(x, order))
    decomposed = np.asarray(rules.decompose[ops.sinc_p](x, order=order))
    np.testing.assert_allclose(kernel, decomposed, rtol=2e-5, atol=2e-5 * 4**order)
