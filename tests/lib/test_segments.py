"""Reductions by segments, against NumPy's `ufunc.at`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp

Array = np.ndarray[Any, Any]
UFUNCS = {
    "segment_sum": np.add,
    "segment_prod": np.multiply,
    "segment_max": np.maximum,
    "segment_min": np.minimum,
}
IDS = np.array([2, 0, 2, 5, 2, -1, 0], np.int32)


def _reference(name: str, data: Array, count: int) -> Array:
    info = pnp.iinfo if data.dtype.kind in "iu" else pnp.finfo
    low, high = info(data.dtype).min, info(data.dtype).max
    if data.dtype.kind not in "iu":
        low, high = -np.inf, np.inf
    empty = {"segment_sum": 0, "segment_prod": 1, "segment_max": low, "segment_min": high}[name]
    out = np.full((count, *data.shape[1:]), empty, np.float64)
    for row, segment in zip(data.astype(np.float64), IDS.tolist(), strict=True):
        if 0 <= segment < count:
            out[segment] = UFUNCS[name](out[segment], row)
    return out


@pytest.mark.parametrize("name", UFUNCS)
@pytest.mark.parametrize("dtype", ["float32", "int32", "uint8", "bfloat16"])
@pytest.mark.parametrize("shape", [(7,), (7, 3), (7, 0)])
def test_values(name: str, dtype: str, shape: tuple[int, ...]) -> None:
    function = getattr(pb.ops, name)
    data = np.random.default_rng(0).integers(1, 5, shape).astype(pnp.dtype(dtype))
    for count in (6, 4, 8):
        found = [
            function(data, IDS, None if count == 6 else count),
            function(data, IDS, count, bucket_size=3),
            pb.jit(function, static_argnums=2)(data, IDS, count),
        ]
        for out in found:
            assert out.dtype == data.dtype
            assert np.array_equal(np.asarray(out, np.float64), _reference(name, data, count))


def test_rows_out_of_bounds() -> None:
    data = pnp.arange(7.0)
    assert pb.ops.segment_sum(data, IDS, 3).tolist() == [7, 0, 6]
    assert pb.ops.segment_sum(data, IDS, 3, mode="clip").tolist() == [12, 0, 9]
    assert pb.ops.segment_sum(pnp.zeros((0, 2)), pnp.zeros(0, int), 2).tolist() == [[0, 0], [0, 0]]
    assert pb.ops.segment_sum(pnp.zeros((0, 2)), pnp.zeros(0, int)).shape == (0, 2)


@pytest.mark.parametrize("name", UFUNCS)
def test_derivatives_and_batches(name: str) -> None:
    data = np.random.default_rng(1).normal(size=(7, 2)).astype(np.float32)
    weights = np.random.default_rng(2).normal(size=(3, 2)).astype(np.float32)
    ids = np.array([2, 0, 2, 1, 2, 1, 0])
    loss = lambda x: (weights * getattr(pb.ops, name)(x, ids, 3)).sum()
    pb.test_util.check_grads(loss, (data,), order=2, atol=0.05, rtol=0.05)
    rows = np.stack([data, data[::-1]])
    found = pb.jit(pb.vmap(pb.grad(loss)))(rows)
    assert np.allclose(found, np.stack([pb.grad(loss)(row) for row in rows]), rtol=1e-5, atol=1e-6)


def test_errors() -> None:
    with pytest.raises(pb.errors.ConcretizationTypeError, match=r"num_segments=n"):
        pb.jit(pb.ops.segment_sum)(pnp.ones(3), pnp.arange(3))
    with pytest.raises(ValueError, match=r"got \(2,\) for data of shape \(3,\)"):
        pb.ops.segment_sum(pnp.ones(3), pnp.arange(2))
    with pytest.raises(TypeError, match="must be integers"):
        pb.ops.segment_sum(pnp.ones(3), pnp.ones(3))
    with pytest.raises(ValueError, match="not be negative"):
        pb.ops.segment_max(pnp.ones(3), pnp.arange(3), -1)
