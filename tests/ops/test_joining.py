"""concatenate, split, pad and slice, against NumPy and JAX."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback._src.base.errors import DTypeError, ShapeError
from pullback._src.core.array import wrap
from pullback._src.ops import joining as ops

from .. import oracle
from ..matrix import Sample, matrix_cells, run_cell
from .domains import BFLOAT16, DTYPE_NAMES, integers, uniform

lax = jax.lax
Config = list[tuple[int, int, int]]


def _x(shape: tuple[int, ...], dtype: Any = "float32", seed: int = 0) -> np.ndarray[Any, Any]:
    return uniform(-1, 1, shape, dtype, seed)


def _pad_reference(x: np.ndarray[Any, Any], value: Any, config: Config) -> np.ndarray[Any, Any]:
    """Place the elements one by one."""
    shape = [n + lo + hi + i * max(n - 1, 0) for n, (lo, hi, i) in zip(x.shape, config, strict=True)]
    out = np.full(shape, value, x.dtype)
    for index in np.ndindex(x.shape):
        at = tuple(lo + k * (i + 1) for k, (lo, _, i) in zip(index, config, strict=True))
        if all(0 <= k < n for k, n in zip(at, shape, strict=True)):
            out[at] = x[index]
    return out


def _pads() -> list[Sample]:
    configs: list[Config] = [
        [(1, 2, 0), (0, 1, 0)],
        [(0, 0, 1), (2, -1, 2)],
        [(-1, 3, 0), (-2, -1, 0)],
        [(-2, 1, 1), (1, -3, 1)],
        [(-3, 0, 1), (0, 0, 0)],
    ]
    return [
        Sample(
            f"pad-{DTYPE_NAMES[dtype]}-{k}",
            lambda x, v, c=config: ops.pad(x, v, c),
            (_x((3, 4), dtype), np.asarray(0.5, dtype)),
            lambda x, v, c=config: _pad_reference(x, v, c),
            differentiable=(0, 1),
            batchable=(0, 1),
            primitives=("pad",),
        )
        for k, config in enumerate(configs)
        for dtype in (("float32", "complex64") if k == 3 else ("float32",))
    ]


SAMPLES = [
    *_pads(),
    *[
        Sample(
            f"concatenate-{DTYPE_NAMES[dtype]}-{axis}",
            lambda x, y, z, a=axis: ops.concatenate([x, y, z], a),
            tuple(_x(s, dtype, i) for i, s in enumerate(shapes)),
            lambda x, y, z, a=axis: np.concatenate([x, y, z], a),
            differentiable=(0, 1, 2),
            batchable=(0, 1, 2),
            primitives=("concatenate",),
        )
        for dtype, axis, shapes in (
            ("float32", 0, [(2, 3), (1, 3), (0, 3)]),
            ("float32", 1, [(2, 3), (2, 1), (2, 2)]),
            ("complex64", 0, [(2,), (3,), (1,)]),
        )
    ],
    Sample(
        "concatenate-i32",
        lambda x, y: ops.concatenate([x, y], 0),
        (integers(0, 9, (2,), "int32"), integers(0, 9, (3,), "int32")),
        lambda x, y: np.concatenate([x, y]),
        batchable=(0, 1),
        primitives=("concatenate",),
    ),
    *[
        Sample(
            f"split-{DTYPE_NAMES[dtype]}-{axis}",
            lambda x, a=axis, s=sizes: ops.split(x, s, a),
            (_x((4, 5), dtype),),
            lambda x, a=axis, s=sizes: np.split(x, np.cumsum(s)[:-1], a),
            differentiable=(0,),
            primitives=("split",),
        )
        for dtype, axis, sizes in (
            ("float32", 0, (1, 3)),
            ("float32", 1, (2, 0, 3)),
            ("complex64", 1, (4, 1)),
        )
    ],
    *[
        Sample(
            f"slice-{DTYPE_NAMES[dtype]}-{k}",
            lambda x, w=window: ops.slice(x, *w),
            (_x((5, 6), dtype),),
            lambda x, w=window: x[tuple(map(slice, *w))],
            differentiable=(0,),
            primitives=("slice",),
        )
        for k, (dtype, window) in enumerate(
            (
                ("float32", ((1, 2), (4, 6))),
                ("float32", ((0, 1), (5, 6), (2, 3))),
                ("float32", ((2, 0), (2, 6), (2, 1))),
                ("complex64", ((0, 0), (4, 5), (3, 2))),
            )
        )
    ],
]


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


_SIDE = st.tuples(st.integers(-2, 3), st.integers(-2, 3), st.integers(0, 2))


@given(st.lists(st.tuples(st.integers(0, 4), _SIDE), min_size=1, max_size=2))
@settings(max_examples=60)
def test_pad_like_the_definition(sides: list[tuple[int, tuple[int, int, int]]]) -> None:
    shape = tuple(n for n, _ in sides)
    config = [c for _, c in sides]
    x = _x(shape)
    if any(n + lo + hi + i * max(n - 1, 0) < 0 for n, (lo, hi, i) in sides):
        with pytest.raises(ShapeError, match="removes more elements"):
            ops.pad(wrap(x), wrap(np.float32(2).reshape(())), config)
        return
    actual = ops.pad(wrap(x), 2.0, config)
    np.testing.assert_array_equal(np.asarray(actual), _pad_reference(x, 2.0, config))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint32", "float16", "bfloat16", "complex64"])
def test_types_against_jax(dtype: str) -> None:
    x = np.asarray(_x((3, 4)) * 3).astype(BFLOAT16 if dtype == "bfloat16" else dtype)
    zero = np.zeros((), x.dtype)
    for ours, theirs in (
        (lambda v: ops.concatenate([v, v], 1), lambda v: lax.concatenate([v, v], 1)),
        (lambda v: ops.split(v, (1, 2), 0), lambda v: lax.split(v, (1, 2), 0)),
        (
            lambda v: ops.pad(v, zero, [(1, 0, 1), (-1, 2, 0)]),
            lambda v: lax.pad(v, zero, [(1, 0, 1), (-1, 2, 0)]),
        ),
        (lambda v: ops.slice(v, (0, 1), (3, 4), (2, 1)), lambda v: lax.slice(v, (0, 1), (3, 4), (2, 1))),
    ):
        oracle.assert_same(ours(wrap(x)), theirs(x))


def test_padding_keeps_the_sign_of_zero() -> None:
    out = ops.pad(wrap(_x((2,))), wrap(np.float32(-0.0).reshape(())), [(1, 1, 0)])
    assert np.signbit(np.asarray(out)[[0, -1]]).all()


def test_errors() -> None:
    x, y = wrap(_x((2, 3))), wrap(_x((3, 2)))
    with pytest.raises(ShapeError, match=r"must agree in all other dimensions; got \(2, 3\), \(3, 2\)"):
        ops.concatenate([x, y], 0)
    with pytest.raises(ValueError, match="at least one operand"):
        ops.concatenate([], 0)
    with pytest.raises(DTypeError, match="operands of one dtype; got float32, int32"):
        ops.concatenate([x, wrap(np.zeros((2, 3), np.int32))], 0)
    with pytest.raises(ShapeError, match="add up to 3"):
        ops.split(x, (1, 1), 1)
    with pytest.raises(ShapeError, match="0 <= start <= limit <= size"):
        ops.slice(x, (0, 0), (2, 4))
    with pytest.raises(ShapeError, match="strides must be positive"):
        ops.slice(x, (0, 0), (2, 3), (0, 1))
    with pytest.raises(ValueError, match="interior padding must not be negative"):
        ops.pad(x, 0.0, [(0, 0, -1), (0, 0, 0)])
    with pytest.raises(ShapeError, match="padding value must be a scalar"):
        ops.pad(x, x, [(1, 0, 0), (0, 0, 0)])
