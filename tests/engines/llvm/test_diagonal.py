"""Diagonals in native code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as jnp

from .comparison import agree


@pytest.mark.parametrize("n", [1, 3, 40])
@pytest.mark.parametrize("dtype", [np.float32, np.int8, np.bool_, np.complex64])
def test_vectors_and_matrices(n: int, dtype: Any) -> None:
    x = np.random.RandomState(0).randint(0, 2, (2, n)).astype(dtype)
    agree(lambda x: (jnp.diag(x[0]), jnp.diag(x[1], 1), pb.vmap(jnp.diag)(x)), x)
    agree(
        lambda x: (jnp.diagonal(x), jnp.diag(x * x.T) if x.dtype != bool else x, jnp.diag(x).sum()),
        x[:1].T & x[:1] if dtype is np.bool_ else x[:1].T * x[:1],
    )
    agree(pb.vmap(jnp.diagonal), np.stack([x[:1].T @ x[:1]] * 3))


def test_in_programs() -> None:
    x = np.random.RandomState(0).randn(30).astype(np.float32)
    agree(lambda x: (jnp.diag(jnp.tanh(x)) @ jnp.outer(x, x)).sum(0), x, rtol=2e-6)
    agree(pb.grad(lambda x: (jnp.diag(x) * jnp.outer(x, x)).sum()), x, rtol=2e-6)
    agree(pb.hessian(lambda x: (x**3).sum()), x[:5], rtol=2e-6)
    agree(lambda x: jnp.diag(jnp.diag(x)), np.zeros((0, 0), np.float32))
