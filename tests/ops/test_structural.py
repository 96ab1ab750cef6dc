"""Operations on shapes, and the sum of cotangents, against NumPy and JAX."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback._src.base.errors import ShapeError
from pullback._src.core.array import wrap
from pullback._src.ops import structural as ops

from .. import oracle
from ..matrix import Sample, matrix_cells, run_cell
from .domains import BFLOAT16, DTYPE_NAMES, distinct, integers, uniform

_DTYPES = [np.float32, np.float64, np.complex64, np.complex128, np.int32, np.bool_, BFLOAT16]


def _array(dtype: Any, shape: tuple[int, ...]) -> Any:
    if np.dtype(dtype).kind in "biu":
        return integers(0, 1, shape, dtype)
    return uniform(-1, 1, shape, dtype)


def _broadcast(x: Any, shape: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    placed = [1] * len(shape)
    for size, dim in zip(x.shape, dims, strict=True):
        placed[dim] = size
    return np.broadcast_to(x.reshape(placed), shape)


# name, shape of the argument, function, reference
_CASES: list[tuple[str, tuple[int, ...], Callable[..., Any], Callable[..., Any]]] = [
    *(
        (
            f"broadcast_in_dim-{label}",
            shape,
            lambda v, to=to, dims=dims: ops.broadcast_in_dim(v, to, dims),
            lambda v, to=to, dims=dims: _broadcast(v, to, dims),
        )
        for label, shape, to, dims in [
            ("new", (3,), (2, 3, 4), (1,)),
            ("ones", (1, 3), (2, 3), (0, 1)),
            ("scalar", (), (2, 3), ()),
            ("gap", (2, 4), (2, 3, 4), (0, 2)),
            ("empty", (1,), (0, 2), (1,)),
        ]
    ),
    ("reshape-flat", (2, 3, 2), lambda v: ops.reshape(v, (12,)), lambda v: v.reshape(12)),
    ("reshape-split", (6, 2), lambda v: ops.reshape(v, (2, 3, 2)), lambda v: v.reshape(2, 3, 2)),
    ("reshape-scalar", (1, 1), lambda v: ops.reshape(v, ()), lambda v: v.reshape(())),
    ("reshape-empty", (0, 2), lambda v: ops.reshape(v, (3, 0)), lambda v: v.reshape(3, 0)),
    ("reshape-permuted", (2, 3), lambda v: ops.reshape(v, (6,), (1, 0)), lambda v: v.T.reshape(6)),
    ("squeeze", (1, 3, 1), lambda v: ops.squeeze(v, (0, -1)), lambda v: v.squeeze((0, 2))),
    ("expand_dims", (3, 2), lambda v: ops.expand_dims(v, (0, 2)), lambda v: np.expand_dims(v, (0, 2))),
    ("transpose", (2, 3, 4), lambda v: ops.transpose(v, (2, 0, 1)), lambda v: v.transpose(2, 0, 1)),
    ("transpose-matrix", (2, 3), lambda v: ops.transpose(v, (1, 0)), lambda v: v.T),
    ("rev", (2, 3), lambda v: ops.rev(v, (1,)), lambda v: v[:, ::-1]),
    ("rev-both", (2, 3), lambda v: ops.rev(v, (0, 1)), lambda v: v[::-1, ::-1]),
    ("rev-empty", (0, 3), lambda v: ops.rev(v, (0,)), lambda v: v),
]
_PRIMITIVES = {"squeeze": "reshape", "expand_dims": "reshape"}


def _samples() -> list[Sample]:
    out = []
    for (name, shape, function, reference), dtype in itertools.product(_CASES, _DTYPES):
        base = name.split("-")[0]
        wide = dtype in (np.float64, np.complex128)
        differentiable = (0,) if wide or dtype is np.float32 else ()
        label = f"{name}-{DTYPE_NAMES[np.dtype(dtype).name]}"
        covered = (_PRIMITIVES.get(base, base),)
        order = 2 if wide else 1
        out.append(
            Sample(
                label, function, (_array(dtype, shape),), reference, differentiable, order, primitives=covered
            )
        )
    for dtype in (np.float32, np.float64, np.complex128):
        x, y = uniform(-1, 1, (2, 3), dtype, 1), uniform(-1, 1, (2, 3), dtype, 2)
        label = f"add_any-{DTYPE_NAMES[np.dtype(dtype).name]}"
        out.append(Sample(label, ops.add_any, (x, y), np.add, (0, 1), 2, (0, 1), primitives=("add_any",)))
    for axes in ((0,), (1, 2), ()):
        x = distinct((2, 3, 2), np.float64)
        out.append(
            Sample(
                f"reduce_sum-{len(axes)}",
                lambda v, a=axes: ops.reduce_sum_p.bind(v, axes=a),
                (x,),
                lambda v, a=axes: v.sum(a),
                (0,),
                primitives=("reduce_sum",),
            )
        )
    return out


SAMPLES = _samples()


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


def test_like_jax() -> None:
    x = distinct((2, 1, 3), np.float32)
    for ours, theirs, args in [
        (ops.reshape, jax.lax.reshape, ((3, 2),)),
        (ops.transpose, jax.lax.transpose, ((1, 2, 0),)),
        (ops.rev, jax.lax.rev, ((0,),)),
        (ops.squeeze, jax.lax.squeeze, ((1,),)),
        (ops.broadcast, jax.lax.broadcast, ((4, 2),)),
        (ops.collapse, jax.lax.collapse, (1,)),
        (ops.collapse, jax.lax.collapse, (0, 2)),
        (ops.collapse, jax.lax.collapse, (-2, None)),
        (ops.collapse, jax.lax.collapse, (1, 1)),
        (ops.collapse, jax.lax.collapse, (2, 1)),
        (ops.expand_dims, jax.lax.expand_dims, ((1, 3),)),
        (ops.broadcast_in_dim, jax.lax.broadcast_in_dim, ((4, 2, 5, 3), (1, 2, 3))),
    ]:
        oracle.check(lambda v, f=ours, a=args: f(v, *a), lambda v, f=theirs, a=args: f(v, *a), x)
    oracle.check(
        lambda v: ops.broadcast_in_dim(v, (2,), ()), lambda v: jax.lax.broadcast_in_dim(v, (2,), ()), 2.0
    )
    oracle.check(lambda v: ops.full((2,), v), lambda v: jax.lax.full((2,), v), 2.0)
    oracle.check(
        lambda v: ops.full((2,), v, np.dtype(np.int32)), lambda v: jax.lax.full((2,), v, np.int32), 2
    )


def test_errors_say_what_is_wrong() -> None:
    x = wrap(np.ones((2, 3), np.float32))
    with pytest.raises(
        ShapeError, match=r"cannot turn shape \(2, 3\) \(6 elements\) into \(4,\) \(4 elements\)"
    ):
        ops.reshape(x, (4,))
    with pytest.raises(ShapeError, match=r"its dimension 0 has size 2, the result's dimension 0 has 4"):
        ops.broadcast_in_dim(x, (4, 3), (0, 1))
    with pytest.raises(ShapeError, match="must increase"):
        ops.broadcast_in_dim(x, (3, 2), (1, 0))
    with pytest.raises(ShapeError, match="no permutation of the 2 dimensions"):
        ops.transpose(x, (0, 0))
    with pytest.raises(ShapeError, match="do not all have size 1"):
        ops.squeeze(x, (0,))
    with pytest.raises(ValueError, match="axis 2 is out of range for an array with 2 dimensions"):
        ops.rev(x, (2,))
    with pytest.raises(TypeError, match="a shape must be a sequence of integers"):
        ops.reshape(x, (3.0, 2.0))
    with pytest.raises(ShapeError, match="non-negative"):
        ops.full((-1,), 0.0)


@given(st.data())
def test_any_permutation_and_broadcast(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(0, 3), max_size=4)))
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    order = tuple(data.draw(st.permutations(range(len(shape)))))
    np.testing.assert_array_equal(np.asarray(ops.transpose(x, order)), x.transpose(order))
    front = tuple(data.draw(st.lists(st.integers(0, 3), max_size=2)))
    to = front + shape
    np.testing.assert_array_equal(np.asarray(ops.broadcast_to(wrap(x), to)), np.broadcast_to(x, to))
