"""`ravel_pytree`: a pytree as a vector, and back; against JAX."""

from __future__ import annotations

from typing import Any

import jax
import jax.flatten_util
import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback.flatten_util import ravel_pytree

TREES: list[Any] = [
    {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float32(7)},
    (np.arange(3, dtype=np.float32), [np.ones((2, 0), np.float32), None]),
    [np.arange(2, dtype=np.int32), np.float32(1.5)],
    {"half": np.ones(2, np.float16), "full": np.zeros(1, np.float32)},
    (1.0, 2),
    np.ones((2, 2), np.float32),
    {},
    (np.ones(2, np.complex64), np.ones(1, np.float32)),
]


@pytest.mark.parametrize("tree", TREES, ids=lambda t: str(jax.tree.structure(t)))
def test_agrees_with_jax(tree: Any) -> None:
    mine, unravel = ravel_pytree(tree)
    theirs, their_unravel = jax.flatten_util.ravel_pytree(tree)
    assert mine.dtype == theirs.dtype and mine.shape == theirs.shape
    np.testing.assert_array_equal(np.asarray(mine), np.asarray(theirs))
    back, their_back = unravel(mine), their_unravel(theirs)
    assert jax.tree.structure(back) == jax.tree.structure(their_back)
    for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(their_back), strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_under_transformations() -> None:
    tree = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float32(7)}
    flat, unravel = ravel_pytree(tree)
    loss = lambda v: pnp.sum(unravel(v)["w"] ** 2) * unravel(v)["b"]
    direct = pb.grad(lambda t: pnp.sum(t["w"] ** 2) * t["b"])(tree)
    np.testing.assert_allclose(np.asarray(pb.grad(loss)(flat)), np.asarray(ravel_pytree(direct)[0]))
    np.testing.assert_allclose(np.asarray(pb.jit(lambda t: ravel_pytree(t)[0])(tree)), np.asarray(flat))
    rows = pb.vmap(unravel)(pnp.stack([flat, flat * 2]))
    assert rows["w"].shape == (2, 2, 3)


def test_errors() -> None:
    flat, unravel = ravel_pytree({"a": np.ones(3, np.float32)})
    with pytest.raises(ValueError, match=r"a vector of 3 elements, got shape \(4,\)"):
        unravel(pnp.ones(4))
    with pytest.raises(TypeError, match="dtype float32, got int32"):
        unravel(pnp.ones(3, int))
    assert flat.shape == (3,)
