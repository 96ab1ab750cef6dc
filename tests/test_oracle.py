"""Comparisons with JAX that are compiled together find what those find that are not."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest

import pullback.numpy as pnp

from . import oracle

X = np.float32([0.1, 0.7, 1.3])

WRONG: dict[str, Callable[[], None]] = {
    "value": lambda: oracle.check(pnp.sin, jnp.cos, X),
    "dtype": lambda: oracle.check(pnp.isnan, jnp.sin, X),
    "weak type": lambda: oracle.check(lambda x: pnp.asarray(2.0), lambda x: 2.0 * jnp.float32(1), X),
    "number of results": lambda: oracle.check(lambda x: (x, x), lambda x: x, X),
    "error": lambda: oracle.check(pnp.sin, lambda x: jnp.reshape(x, 5), X),
    "64 bits": lambda: oracle.check(pnp.sin, lambda x: x, X.astype(np.float64), x64=True),
    "gradient": lambda: oracle.check_grad(pnp.sin, jnp.cos, X),
    "what depends on values": lambda: oracle.check(lambda x: x, lambda x: -x if x[0] > 0 else x, X),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_found(name: str) -> None:
    with pytest.raises(AssertionError):
        WRONG[name]()
    with pytest.raises(AssertionError):
        among_others(name)


def among_others(name: str) -> None:
    with oracle.together():
        oracle.check(pnp.sin, jnp.sin, X)
        WRONG[name]()
        oracle.check_grad(pnp.sin, jnp.sin, X)


def test_what_is_right_is_compiled_together(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    jit = oracle.jax.jit
    monkeypatch.setattr(oracle.jax, "jit", lambda f: compiled.append(f) or jit(f))
    with oracle.together():
        for shape in ((3,), (3, 1), (1, 3)):
            oracle.check(pnp.sin, jnp.sin, X.reshape(shape))
            oracle.check_grad(pnp.sin, jnp.sin, X.reshape(shape))
        oracle.check(pnp.add, jnp.add, 2.0, X)
    assert len(compiled) == 1
