"""Comparisons and selection, against NumPy and JAX."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import numpy as np
import pytest

from pullback._src.core.array import wrap
from pullback._src.ops import compare as ops

from .. import oracle
from ..matrix import Sample, matrix_cells, run_cell
from .domains import BFLOAT16, DTYPE_NAMES, SPECIAL, distinct, integers, uniform

_COMPARISONS = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


def _selected(which: Any, *cases: Any) -> Any:
    index = np.broadcast_to(
        which.astype(np.int32), np.broadcast_shapes(which.shape, *[c.shape for c in cases])
    )
    return np.choose(np.clip(index, 0, len(cases) - 1), [np.broadcast_to(c, index.shape) for c in cases])


def _samples() -> list[Sample]:
    out = []
    for (name, reference), dtype in itertools.product(
        _COMPARISONS.items(), (np.float32, np.float64, np.int32, np.uint8, np.bool_, BFLOAT16)
    ):
        if np.dtype(dtype).kind in "biu":
            x, y = integers(0, 1, (2, 3), dtype, 1), integers(0, 1, (3,), dtype, 2)
        else:
            x, y = distinct((2, 3), dtype, 1), distinct((3,), dtype, 2)
        label = f"{name}-{DTYPE_NAMES[np.dtype(dtype).name]}"
        differentiable = (0, 1) if dtype is np.float64 else ()
        out.append(
            Sample(
                label, getattr(ops, name), (x, y), reference, differentiable, 1, (0, 1), primitives=(name,)
            )
        )
    for name in ("eq", "ne"):
        z, w = np.array([1 + 1j, 2, 0], np.complex64), np.array([1 + 1j, 2j, 0], np.complex64)
        out.append(Sample(f"{name}-c64", getattr(ops, name), (z, w), _COMPARISONS[name], batchable=(0, 1)))
    for dtype in (np.float32, np.float64, np.complex128, np.int32, np.bool_):
        inexact = np.dtype(dtype).kind in "fc"
        make = (
            (lambda shape, seed, d=dtype: uniform(-1, 1, shape, d, seed))
            if inexact
            else (lambda shape, seed, d=dtype: integers(0, 1, shape, d, seed))
        )
        wide = dtype in (np.float64, np.complex128)
        for label, shapes, cases in [
            ("two", ((2, 3), (2, 3), (2, 3)), 2),
            ("broadcast", ((2, 1), (3,), ()), 2),
            ("three", ((2, 3), (2, 3), (3,), (2, 1)), 3),
            ("one", ((2, 3), (2, 3)), 1),
            ("empty", ((0, 3), (3,), ()), 2),
        ]:
            which = integers(0, 1, shapes[0], np.bool_) if cases < 3 else integers(-1, 3, shapes[0], np.int32)
            args = (which, *(make(s, i) for i, s in enumerate(shapes[1:])))
            positions = tuple(range(1, len(args)))
            out.append(
                Sample(
                    f"select_n-{DTYPE_NAMES[np.dtype(dtype).name]}-{label}",
                    ops.select_n,
                    args,
                    _selected,
                    positions if inexact else (),
                    2 if wide else 1,
                    (0, *positions),
                    primitives=("select_n",),
                )
            )
    return out


SAMPLES = _samples()


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@pytest.mark.parametrize("name", _COMPARISONS)
def test_special_values_like_jax(name: str) -> None:
    x, y = (np.array(v, np.float32) for v in zip(*itertools.product(SPECIAL, SPECIAL), strict=True))
    oracle.check(getattr(ops, name), getattr(jax.lax, name), x, y)
    oracle.check(getattr(ops, name), getattr(jax.lax, name), x.astype(BFLOAT16), y.astype(BFLOAT16))
    oracle.check(getattr(ops, name), getattr(jax.lax, name), x, 1.0)
    oracle.check(getattr(ops, name), getattr(jax.lax, name), x, np.ones(3, np.int32))


def test_selection_like_jax() -> None:
    which, x, y = np.array([True, False, True]), distinct((3,), np.float32, 1), distinct((3,), np.float32, 2)
    oracle.check(ops.select, jax.lax.select, which, x, y)
    oracle.check(ops.select_n, jax.lax.select_n, which, x, y)
    oracle.check(ops.select_n, jax.lax.select_n, np.array([0, 1, 2], np.int32), x, y, x)
    oracle.check_grad(ops.select, jax.lax.select, which, x, y, argnums=(1, 2))
    oracle.check(ops.select_n, jax.lax.select_n, which, x, y.astype(np.int32))
    oracle.check(ops.select_n, jax.lax.select_n, which.astype(np.float32), x, y)
    oracle.check(ops.select_n, jax.lax.select_n, which, x, y, x)


def test_errors_say_what_is_wrong() -> None:
    x, y = wrap(np.ones((2, 3), np.float32)), wrap(np.ones((4,), np.float32))
    with pytest.raises(
        TypeError, match=r"lt: operands of shapes \(2, 3\) and \(4,\) cannot be broadcast together"
    ):
        ops.lt(x, y)
    with pytest.raises(TypeError, match="eq expects operands of one dtype; got float32, int32"):
        ops.eq(x, wrap(np.ones(3, np.int32)))
