"""One program for both libraries, and the comparison of what they return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import pullback as pb
import pullback.numpy as pnp

Program = Callable[[Any, Any], Callable[..., Any]]


def compare(program: Program, *args: Any, rtol: float = 2e-6, atol: float = 1e-6, weak: bool = False) -> Any:
    """Run `program(library, its numpy)(*args)` in both libraries; returns our result.

    Compared are structures, shapes, dtypes, values, and with `weak` the weak types.
    """
    mine = program(pb, pnp)(*args)
    theirs = program(jax, jnp)(*args)
    assert_same(mine, theirs, rtol=rtol, atol=atol, weak=weak)
    for _ in range(2):  # un-jitted code changes its ways with repetition; results may not
        assert_same(program(pb, pnp)(*args), theirs, rtol=rtol, atol=atol, weak=weak)
    return mine


def assert_same(
    mine: Any, theirs: Any, *, rtol: float = 2e-6, atol: float = 1e-6, weak: bool = False
) -> None:
    found, structure = jax.tree.flatten(mine)
    expected, expected_structure = jax.tree.flatten(theirs)
    assert structure == expected_structure
    for a, b in zip(found, expected, strict=True):
        assert np.shape(a) == np.shape(b)
        if getattr(b, "dtype", None) == jax.dtypes.float0:
            assert a.dtype == pb.float0
            continue
        x, y = np.asarray(a), np.asarray(b)
        assert x.dtype == y.dtype
        if weak:
            assert a.weak_type == b.weak_type
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)
