"""Sums are as accurate as pairwise summation, along whatever dimensions they go."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as jnp

CASES: list[tuple[tuple[int, ...], Any]] = [
    ((1_000_003,), 0),
    ((50, 20_000), 1),
    ((20_000, 200), 0),  # wide columns
    ((3000, 1000), 0),
    ((2003, 999), 0),
    ((260, 128), 0),
    ((100_000, 64), 0),  # narrow ones
    ((100_000, 3), 0),
    ((300, 200, 50), (0, 2)),
    ((60, 70, 500), (0, 1)),
    ((1000, 300), None),
]


def pairwise(x: np.ndarray[Any, Any], axis: Any) -> Any:
    """NumPy's sum over terms that are neighbours in memory, which it adds pairwise."""
    axes = range(x.ndim) if axis is None else np.atleast_1d(axis)
    kept = [d for d in range(x.ndim) if d not in axes]
    rows = np.ascontiguousarray(np.transpose(x, [*kept, *axes]))
    return rows.reshape(*[x.shape[d] for d in kept], -1).sum(-1)


def error(sums: Any, exact: np.ndarray[Any, Any]) -> float:
    return float(np.sqrt(np.mean((np.asarray(sums) / exact - 1) ** 2)))


@pytest.mark.parametrize(("shape", "axis"), CASES)
def test_as_accurate_as_pairwise(shape: tuple[int, ...], axis: Any) -> None:
    """In the root mean square, but for a quarter and half an ulp, which is by chance."""
    x = np.random.default_rng(0).random(shape).astype(np.float32)
    exact = x.sum(axis, dtype=np.longdouble)
    found = error(pb.jit(lambda x: jnp.sum(x, axis))(x), exact)
    assert found <= 1.25 * error(pairwise(x, axis), exact) + 2**-24
    found = error(pb.jit(lambda x: jnp.sum(x * 1.5, axis))(x), np.longdouble(1.5) * exact)
    assert found <= 1.25 * error(pairwise(x, axis), exact) + 2**-24


def test_wide_columns_of_several_sums() -> None:
    """Sums beside each other, remainders of rows, and double precision."""
    x = np.random.default_rng(1).random((4099, 300)).astype(np.float32)
    sums = pb.jit(lambda x: (jnp.sum(x, 0), jnp.sum(x * x, 0), jnp.max(x, 0)))(x)
    exact = x.sum(0, dtype=np.longdouble), (x.astype(np.longdouble) ** 2).sum(0)
    assert error(sums[0], exact[0]) < 2**-23
    assert error(sums[1], exact[1]) < 2**-23
    np.testing.assert_array_equal(sums[2], x.max(0))
    with pb.enable_x64():
        y = x.astype(np.float64)
        assert error(pb.jit(lambda y: jnp.sum(y, 0))(y), exact[0]) < 2**-52
