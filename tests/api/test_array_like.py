"""Objects with `__jax_array__` are arguments of every transformation."""

from __future__ import annotations

from typing import Any

import numpy as np

import pullback as pb
import pullback.numpy as pnp


class Boxed:
    """An array in a box."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __jax_array__(self) -> Any:
        return pnp.asarray(self.value)


X = np.array([1.0, 2.0], np.float32)


def test_array_like_arguments() -> None:
    boxed = Boxed(X)
    np.testing.assert_allclose(pb.jit(pnp.sin)(boxed), np.sin(X), rtol=1e-6)
    np.testing.assert_allclose(pb.vmap(pnp.sin)(boxed), np.sin(X), rtol=1e-6)
    np.testing.assert_allclose(pb.grad(lambda x: pnp.sin(x).sum())(boxed), np.cos(X), rtol=1e-6)
    np.testing.assert_allclose(pb.jvp(pnp.sin, (boxed,), (boxed,))[1], np.cos(X) * X, rtol=1e-6)
    np.testing.assert_allclose(pb.vjp(pnp.sin, boxed)[1](boxed)[0], np.cos(X) * X, rtol=1e-6)
    np.testing.assert_allclose(pb.jacfwd(pnp.sin)(boxed), np.diag(np.cos(X)), rtol=1e-6)
    np.testing.assert_allclose(pb.jacrev(pnp.sin)(boxed), np.diag(np.cos(X)), rtol=1e-6)
