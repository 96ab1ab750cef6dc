"""Both libraries under one set of names, so that one test body runs on Pullback and on JAX."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.custom_batching
import jax.custom_derivatives
import jax.numpy as jnp
import numpy as np

import pullback as pb
import pullback.custom_batching
import pullback.custom_derivatives
import pullback.lax
import pullback.numpy as pnp

PULLBACK = SimpleNamespace(
    pb=pb,
    np=pnp,
    lax=pullback.lax,
    derivatives=pullback.custom_derivatives,
    batching=pullback.custom_batching,
)
JAX = SimpleNamespace(
    pb=jax, np=jnp, lax=jax.lax, derivatives=jax.custom_derivatives, batching=jax.custom_batching
)


def assert_same(body: Callable[[Any], Any], rtol: float = 1e-5, atol: float = 1e-6) -> None:
    """`body(library)` gives the same structure, types and values on both libraries."""
    ours, theirs = body(PULLBACK), body(JAX)
    our_leaves, our_tree = pb.tree_util.tree_flatten(ours)
    their_leaves, their_tree = jax.tree_util.tree_flatten(theirs)
    assert str(our_tree) == str(their_tree)
    for a, b in zip(our_leaves, their_leaves, strict=True):
        assert np.shape(a) == np.shape(b)
        assert np.asarray(a).dtype == np.asarray(b).dtype, f"{a!r} and {b!r}"
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=atol)
