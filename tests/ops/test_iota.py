"""iota, against NumPy and JAX."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from pullback._src.base.errors import DTypeError
from pullback._src.ops import iota as ops
from pullback._src.ops.arithmetic import mul

from .. import oracle
from ..matrix import Sample, matrix_cells, run_cell
from .domains import DTYPE_NAMES, uniform


def _reference(dtype: Any, shape: tuple[int, ...], dimension: int) -> np.ndarray[Any, Any]:
    return np.indices(shape)[dimension].astype(dtype)


SAMPLES = [
    Sample(
        f"iota-{DTYPE_NAMES[dtype]}-{dimension}",
        lambda x, d=dtype, i=dimension: mul(x, ops.broadcasted_iota(d, (2, 3, 4), i)),
        (uniform(-1, 1, (2, 3, 4), dtype),),
        lambda x, d=dtype, i=dimension: x * _reference(d, (2, 3, 4), i),
        differentiable=(0,),
        primitives=("iota",),
    )
    for dtype, dimension in (("float32", 0), ("float32", 2), ("complex64", 1))
]


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint8", "float16", "bfloat16", "float32", "complex64"])
@pytest.mark.parametrize(("shape", "dimension"), [((5,), 0), ((2, 3), 0), ((2, 3), 1), ((0, 2), 1)])
def test_against_jax(dtype: str, shape: tuple[int, ...], dimension: int) -> None:
    theirs = jax.lax.broadcasted_iota(dtype, shape, dimension)
    oracle.assert_same(ops.broadcasted_iota(dtype, shape, dimension), theirs)


def test_one_dimension() -> None:
    oracle.assert_same(ops.iota("int32", 4), jax.lax.iota("int32", 4))


def test_errors() -> None:
    with pytest.raises(DTypeError, match="iota expects operands of kind"):
        ops.iota(bool, 3)
    with pytest.raises(ValueError, match="axis 2 is out of range"):
        ops.broadcasted_iota("int32", (2, 3), 2)
