"""gather, against JAX: samples of each pattern, and random dimension numbers in each mode."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from pullback._src.base.errors import DTypeError, ShapeError
from pullback._src.core.array import wrap
from pullback._src.ops import gather as ops

from .. import oracle
from ..matrix import Sample, matrix_cells, run_cell
from .domains import uniform
from .windows import PATTERNS, Case, random_case

lax = jax.lax
Dims = ops.GatherDimensionNumbers


def _theirs(case: Case, mode: Any, **options: Any) -> Any:
    numbers = lax.GatherDimensionNumbers(*case.numbers)
    return lambda x, i: lax.gather(x, i, numbers, case.sizes, mode=mode, **options)


def _ours(case: Case, mode: Any, **options: Any) -> Any:
    return lambda x, i: ops.gather(x, i, Dims(*case.numbers), case.sizes, mode=mode, **options)


SAMPLES = [
    Sample(
        f"gather-{name}-{mode}",
        _ours(case, mode),
        (uniform(-1, 1, case.shape, dtype), case.indices),
        lambda x, i, c=case, m=mode: np.asarray(_theirs(c, m, fill_value=None)(x, i)),
        differentiable=(0,),
        batchable=(0, 1),
        primitives=("gather",),
    )
    for name, case, mode, dtype in (
        ("rows", PATTERNS["rows"], "clip", "float32"),
        ("columns", PATTERNS["columns"], "clip", "float32"),
        ("elements", PATTERNS["elements"], "promise_in_bounds", "float32"),
        ("windows", PATTERNS["windows"], "clip", "complex64"),
        ("batched", PATTERNS["batched"], "clip", "float32"),
        ("one", PATTERNS["one"], "clip", "float32"),
    )
] + [
    Sample(
        f"gather-{name}-fill",
        _ours(case, "fill", fill_value=2.0),
        (uniform(-1, 1, case.shape, "float32"), case.indices_outside),
        lambda x, i, c=case: np.asarray(_theirs(c, "fill", fill_value=2.0)(x, i)),
        differentiable=(0,),
        batchable=(0, 1),
        primitives=("gather",),
    )
    for name, case in PATTERNS.items()
]


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@pytest.mark.parametrize("mode", ["clip", "fill", "promise_in_bounds"])
@pytest.mark.parametrize("seed", range(25))
def test_random_dimension_numbers(seed: int, mode: str) -> None:
    case = random_case(np.random.default_rng((seed, len(mode))), inside=mode == "promise_in_bounds")
    x = uniform(-1, 1, case.shape, "float32", seed)
    oracle.assert_same(_ours(case, mode)(wrap(x), wrap(case.indices)), _theirs(case, mode)(x, case.indices))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int32", "float16", "bfloat16", "complex64"])
def test_fill_values(dtype: str) -> None:
    x = np.asarray(np.arange(4)).astype(jax.numpy.dtype(dtype))
    index = np.array([[1], [-1], [4], [2**31 - 1]], np.int32)
    case = Case((4,), index, index, ((), (0,), (0,)), (1,))
    for fill in (None, 1):
        ours = _ours(case, "fill", fill_value=fill)(wrap(x), wrap(index))
        oracle.assert_same(ours, _theirs(case, "fill", fill_value=fill)(x, index), f"fill value {fill}")


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "uint32"])
def test_index_dtypes(dtype: str) -> None:
    x = np.arange(6, dtype=np.float32)
    index = np.array([[0], [5], [100]]).astype(dtype)
    case = Case((6,), index, index, ((), (0,), (0,)), (1,))
    for mode in ("clip", "fill"):
        oracle.assert_same(_ours(case, mode)(wrap(x), wrap(index)), _theirs(case, mode)(x, index))


def test_modes_by_name() -> None:
    parse = ops.GatherScatterMode.from_any
    assert parse(None) is parse("fill") is parse("drop") is ops.GatherScatterMode.FILL_OR_DROP
    assert parse("clip") is ops.GatherScatterMode.CLIP
    with pytest.raises(ValueError, match="unknown mode 'wrap'"):
        parse("wrap")


def test_errors() -> None:
    x = wrap(uniform(-1, 1, (3, 4), "float32"))
    index = wrap(np.zeros((2, 1), np.int32))
    rows = Dims((1,), (0,), (0,))
    with pytest.raises(ShapeError, match="must lie between 0 and the operand's shape"):
        ops.gather(x, index, rows, (1, 5))
    with pytest.raises(ShapeError, match="need slice size 1"):
        ops.gather(x, index, rows, (2, 4))
    with pytest.raises(DTypeError, match="indices must be integers; got float32"):
        ops.gather(x, wrap(np.zeros((2, 1), np.float32)), rows, (1, 4))
    with pytest.raises(ShapeError, match="need as many dimensions in the index map"):
        ops.gather(x, index, Dims((1,), (0,), (0, 1)), (1, 4))
    with pytest.raises(ShapeError, match="needs as many offset_dims"):
        ops.gather(x, index, Dims((0, 1), (0,), (0,)), (1, 4))
    with pytest.raises(ShapeError, match="got a scalar"):
        ops.gather(x, wrap(np.zeros((), np.int32)), rows, (1, 4))
