"""`eval_shape`: types without computing anything."""

from __future__ import annotations

import tracemalloc
from typing import Any

import jax
import numpy as np

import pullback as pb
import pullback.numpy as pnp

HUGE = pb.ShapeDtypeStruct((10**6, 10**6), np.float32)


def test_nothing_is_allocated() -> None:
    tracemalloc.start()
    out = pb.eval_shape(lambda x: {"y": pnp.sin(x) @ x.T, "s": pnp.sum(x, axis=0)}, HUGE)
    grown = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert out["y"].shape == (10**6, 10**6) and out["s"].shape == (10**6,)
    assert grown < 10**7


def test_agrees_with_jax() -> None:
    f = lambda np_: lambda x, n, *, k: (np_.sin(x) * n, {"a": x > 0, "k": k, "one": np_.ones((2, 0))})
    mine = pb.eval_shape(f(pnp), np.ones(3, np.float32), 2, k=1.5)
    theirs = jax.eval_shape(f(jax.numpy), np.ones(3, np.float32), 2, k=1.5)
    assert jax.tree.structure(mine) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
        assert (a.shape, a.dtype, a.weak_type) == (b.shape, b.dtype, b.weak_type)
        assert isinstance(a, pb.ShapeDtypeStruct)


def test_arguments_may_be_anything_with_shape_and_dtype() -> None:
    class Spec:
        shape = (2, 3)
        dtype = np.dtype(np.int32)

    assert pb.eval_shape(lambda x: x, Spec()).shape == (2, 3)
    assert pb.eval_shape(lambda x: x, np.ones(3)).dtype == np.float32
    assert pb.eval_shape(lambda x: x * 2, 1.0).weak_type
    assert pb.eval_shape(pb.grad(pnp.sum), HUGE) == HUGE
    tracers: list[Any] = []
    pb.jit(lambda x: tracers.append(pb.eval_shape(pnp.sin, x)) or x)(np.ones(2))
    assert tracers[0].shape == (2,)
