"""Searching in sorted arrays, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from pullback._src.core.array import wrap
from pullback._src.ops import search as ops

from ..matrix import Sample, arrays, matrix_cells, run_cell
from .domains import BFLOAT16, DTYPE_NAMES, distinct, integers, uniform


def _samples() -> list[Sample]:
    out = []
    for side in ("left", "right"):
        function = lambda a, v, side=side: ops.searchsorted(a, v, side)
        for dtype in (np.float32, np.float64, np.int32, np.uint8, BFLOAT16):
            small = np.dtype(dtype).kind in "iu"
            a = integers(0, 9, (7,), dtype) if small else distinct((7,), dtype)
            v = integers(0, 9, (2, 3), dtype, 1) if small else uniform(-1, 1, (2, 3), dtype)
            a = np.sort(a.astype(np.float64)).astype(dtype)
            reference = lambda a, v, side=side: np.searchsorted(
                np.sort(a.astype(np.float64)), v.astype(np.float64), side
            ).astype(np.int32)
            # Rolled integers, as vmap's tests use, would not be sorted; floats are only scaled.
            batchable = (1,) if small else (0, 1)
            name = f"searchsorted-{DTYPE_NAMES[np.dtype(dtype).name]}-{side}"
            differentiable = (0, 1) if dtype is np.float64 else ()
            out.append(
                Sample(
                    name,
                    function,
                    (a, v),
                    reference,
                    differentiable,
                    1,
                    batchable,
                    primitives=("searchsorted",),
                )
            )
        empty = (np.zeros((0,), np.float32), np.ones((3,), np.float32))
        out.append(
            Sample(
                f"searchsorted-empty-{side}",
                function,
                empty,
                lambda a, v: np.zeros(3, np.int32),
                (),
                1,
                (0, 1),
            )
        )
    return out


SAMPLES = _samples()


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


def test_the_decomposition_equals_the_kernel() -> None:
    a, v = (
        np.array([-1, 0, 0, 2, np.inf, np.nan], np.float32),
        np.array([[-2, 0, np.nan], [2, 3, np.inf]], np.float32),
    )
    for side in ("left", "right"):
        found = ops._decompose(*arrays([a, v]), side=side, index_dtype=np.dtype(np.int32))
        np.testing.assert_array_equal(np.asarray(found), np.searchsorted(a, v, side))


def test_errors_say_what_is_wrong() -> None:
    x = wrap(np.ones((2, 3), np.float32))
    with pytest.raises(TypeError, match=r"the sorted array must have one dimension; got shape \(2, 3\)"):
        ops.searchsorted(x, x)
    with pytest.raises(TypeError, match=r"expected one dtype; got f32\[3\] and i32\[3\]"):
        ops.searchsorted(wrap(np.ones(3, np.float32)), wrap(np.ones(3, np.int32)))
