"""Windows, against JAX."""

from __future__ import annotations

import numpy as np

import pullback.numpy as pnp
from pullback._src.base.config import enable_x64
from pullback.test_util import check_grads

from .expressions import check, parametrize


@parametrize(
    [
        "jnp.bartlett(0)",
        "jnp.bartlett(1)",
        "jnp.bartlett(2)",
        "jnp.bartlett(4)",
        "jnp.bartlett(7)",
        "jnp.bartlett(-1)",
        "jnp.blackman(0)",
        "jnp.blackman(1)",
        "jnp.blackman(2)",
        "jnp.blackman(4)",
        "jnp.blackman(7)",
        "jnp.blackman(-1)",
        "jnp.hamming(0)",
        "jnp.hamming(1)",
        "jnp.hamming(2)",
        "jnp.hamming(4)",
        "jnp.hamming(7)",
        "jnp.hamming(-1)",
        "jnp.hanning(0)",
        "jnp.hanning(1)",
        "jnp.hanning(2)",
        "jnp.hanning(4)",
        "jnp.hanning(7)",
        "jnp.hanning(-1)",
        "jnp.kaiser(4, 2.)",
        "jnp.kaiser(5, 8)",
        "jnp.kaiser(1, 1.)",
        "jnp.kaiser(0, 1.)",
        "jnp.kaiser(3, jnp.array(2.5))",
    ]
)
def test_windows(text: str) -> None:
    check(text)


def test_kaiser_gradients() -> None:
    with enable_x64(True):
        check_grads(lambda beta: pnp.kaiser(6, beta), (2.5,), 2)


def test_against_numpy_at_double_precision() -> None:
    with enable_x64(True):
        for name in ("bartlett", "blackman", "hamming", "hanning"):
            np.testing.assert_allclose(
                np.asarray(getattr(pnp, name)(9)), getattr(np, name)(9), rtol=1e-12, atol=1e-15
            )
        np.testing.assert_allclose(np.asarray(pnp.kaiser(9, 5.0)), np.kaiser(9, 5.0), rtol=1e-9)
