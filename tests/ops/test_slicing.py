"""Dynamic slices and the helpers for one dimension, against JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from pullback._src.base.errors import DTypeError, ShapeError
from pullback._src.core.array import wrap
from pullback._src.ops import slicing as ops

from .. import oracle
from ..matrix import Sample, matrix_cells, run_cell
from .domains import uniform

lax = jax.lax


def _x(shape: tuple[int, ...], dtype: Any = "float32", seed: int = 0) -> np.ndarray[Any, Any]:
    return uniform(-1, 1, shape, dtype, seed)


def _i(*values: int) -> list[np.ndarray[Any, Any]]:
    return [np.asarray(v, np.int32) for v in values]


def _slice_reference(x: Any, *rest: Any, sizes: tuple[int, ...]) -> Any:
    at = [min(max(int(s), 0), n - k) for s, n, k in zip(rest, x.shape, sizes, strict=True)]
    return x[tuple(slice(a, a + k) for a, k in zip(at, sizes, strict=True))]


def _update_reference(x: Any, update: Any, *rest: Any) -> Any:
    out = x.copy()
    at = [min(max(int(s), 0), n - k) for s, n, k in zip(rest, x.shape, update.shape, strict=True)]
    out[tuple(slice(a, a + k) for a, k in zip(at, update.shape, strict=True))] = update
    return out


SAMPLES = [
    *[
        Sample(
            f"dynamic_slice-{name}",
            lambda x, i, j, s=sizes: ops.dynamic_slice(x, (i, j), s, allow_negative_indices=False),
            (_x((4, 5), dtype), *_i(*starts)),
            lambda x, i, j, s=sizes: _slice_reference(x, i, j, sizes=s),
            differentiable=(0,),
            batchable=(0, 1, 2),
            primitives=("dynamic_slice",),
        )
        for name, dtype, starts, sizes in (
            ("inside", "float32", (1, 2), (2, 3)),
            ("clamped", "float32", (9, 3), (3, 4)),
            ("c64", "complex64", (3, 0), (1, 5)),
        )
    ],
    *[
        Sample(
            f"dynamic_update_slice-{name}",
            lambda x, u, i, j: ops.dynamic_update_slice(x, u, (i, j), allow_negative_indices=False),
            (_x((4, 5), dtype), _x(shape, dtype, 1), *_i(*starts)),
            _update_reference,
            differentiable=(0, 1),
            batchable=(0, 1, 2, 3),
            primitives=("dynamic_update_slice",),
        )
        for name, dtype, starts, shape in (
            ("inside", "float32", (1, 2), (2, 3)),
            ("clamped", "float32", (9, 3), (3, 4)),
            ("c64", "complex64", (3, 0), (1, 5)),
        )
    ],
]


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


_CALLS: list[tuple[str, Callable[[Any, Any, Any, Any], Any]]] = [
    ("slice_in_dim", lambda m, x, u, i: m.slice_in_dim(x, 1, 3, 1, 1)),
    ("slice_in_dim-negative", lambda m, x, u, i: m.slice_in_dim(x, -3, -1, axis=-1)),
    ("slice_in_dim-strided", lambda m, x, u, i: m.slice_in_dim(x, None, None, 2, 0)),
    ("index_in_dim", lambda m, x, u, i: m.index_in_dim(x, -1, 1)),
    ("index_in_dim-removed", lambda m, x, u, i: m.index_in_dim(x, 2, 0, keepdims=False)),
    ("dynamic_slice", lambda m, x, u, i: m.dynamic_slice(x, (i, 1), (2, 2))),
    ("dynamic_slice-array", lambda m, x, u, i: m.dynamic_slice(x, np.array([1, 2]), (2, 2))),
    ("dynamic_slice-negative", lambda m, x, u, i: m.dynamic_slice(x, (-2, -1), (1, 1))),
    ("dynamic_slice_in_dim", lambda m, x, u, i: m.dynamic_slice_in_dim(x, i, 2, 1)),
    ("dynamic_index_in_dim", lambda m, x, u, i: m.dynamic_index_in_dim(x, i, 1)),
    ("dynamic_index_in_dim-removed", lambda m, x, u, i: m.dynamic_index_in_dim(x, i, 0, keepdims=False)),
    ("dynamic_update_slice", lambda m, x, u, i: m.dynamic_update_slice(x, u, (i, 0))),
    ("dynamic_update_slice_in_dim", lambda m, x, u, i: m.dynamic_update_slice_in_dim(x, u, i, 1)),
    ("dynamic_update_index_in_dim", lambda m, x, u, i: m.dynamic_update_index_in_dim(x, u[0], i, 0)),
]


@pytest.mark.parametrize(("name", "call"), _CALLS, ids=[n for n, _ in _CALLS])
@pytest.mark.parametrize("start", [0, -1, -9, 7])
def test_helpers_against_jax(name: str, call: Callable[..., Any], start: int) -> None:
    x, update = _x((4, 5)), _x((2, 5), seed=1)
    index = np.asarray(start, np.int32)
    oracle.assert_same(call(ops, wrap(x), wrap(update), wrap(index)), call(lax, x, update, index), name)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint32", "int32"])
def test_index_dtypes(dtype: str) -> None:
    x = np.arange(300, dtype=np.float32)
    index = np.asarray(100, dtype)
    out = ops.dynamic_index_in_dim(wrap(x), wrap(index), keepdims=False)
    assert float(out) == 100


def test_errors() -> None:
    x = wrap(_x((2, 3)))
    with pytest.raises(ShapeError, match="needs 2 start indices; got 1"):
        ops.dynamic_slice(x, (0,), (1, 1))
    with pytest.raises(ShapeError, match="must lie between 0 and the operand's shape"):
        ops.dynamic_slice(x, (0, 0), (3, 1))
    with pytest.raises(DTypeError, match="indices must be integers"):
        ops.dynamic_slice(x, (0.5, 0), (1, 1))
    with pytest.raises(ShapeError, match="not be larger"):
        ops.dynamic_update_slice(x, wrap(_x((3, 3))), (0, 0))
    with pytest.raises(IndexError, match="index 3 is out of range for dimension 1"):
        ops.index_in_dim(x, 3, 1)
