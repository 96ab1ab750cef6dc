"""Contractions against NumPy and JAX."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback._src.base.errors import DTypeError, ShapeError
from pullback._src.core.array import as_array
from pullback._src.ops import dot as ops

from .. import oracle
from ..matrix import Sample, matrix_cells, run_cell
from .domains import BFLOAT16, FLOAT16, uniform

# name: (shapes, dimension numbers, einsum)
_CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...], Any, str]] = {
    "vector-vector": ((3,), (3,), (((0,), (0,)), ((), ())), "i,i->"),
    "matrix-vector": ((4, 3), (3,), (((1,), (0,)), ((), ())), "ij,j->i"),
    "vector-matrix": ((3,), (3, 2), (((0,), (0,)), ((), ())), "i,ij->j"),
    "matrix-matrix": ((4, 3), (3, 2), (((1,), (0,)), ((), ())), "ij,jk->ik"),
    "first-first": ((3, 4), (3, 2), (((0,), (0,)), ((), ())), "ji,jk->ik"),
    "last-last": ((4, 3), (2, 3), (((1,), (1,)), ((), ())), "ij,kj->ik"),
    "first-last": ((3, 4), (2, 3), (((0,), (1,)), ((), ())), "ji,kj->ik"),
    "outer": ((2,), (3,), (((), ()), ((), ())), "i,j->ij"),
    "batched": ((2, 4, 3), (2, 3, 2), (((2,), (1,)), ((0,), (0,))), "bij,bjk->bik"),
    "batched-last-last": ((2, 4, 3), (2, 2, 3), (((2,), (2,)), ((0,), (0,))), "bij,bkj->bik"),
    "batched-first-first": ((2, 3, 4), (2, 3, 2), (((1,), (1,)), ((0,), (0,))), "bji,bjk->bik"),
    "batch-inside": ((4, 2, 3), (3, 5, 2), (((2,), (0,)), ((1,), (2,))), "ibj,jkb->bik"),
    "two-contracted": ((2, 3, 4), (4, 5, 3), (((1, 2), (2, 0)), ((), ())), "iab,bka->ik"),
    "two-batches": ((2, 3, 4), (3, 2, 4), (((2,), (2,)), ((1, 0), (0, 1))), "abj,baj->ba"),
    "batch-and-outer": ((2, 3), (2, 4), (((), ()), ((0,), (0,))), "bi,bj->bij"),
    "empty-contraction": ((3, 0), (0, 2), (((1,), (0,)), ((), ())), "ij,jk->ik"),
}


def _samples() -> list[Sample]:
    out = []
    for name, (x_shape, y_shape, numbers, formula) in _CASES.items():
        function = lambda x, y, numbers=numbers: ops.dot_general(x, y, numbers)
        reference = lambda x, y, formula=formula: np.asarray(np.einsum(formula, x, y))
        dtypes: list[Any] = [(np.float64, 2), (np.float32, 1)]
        if name in ("matrix-vector", "batch-inside"):
            dtypes += [(np.complex128, 2), (np.complex64, 1), (np.int32, 0), (np.bool_, 0)]
        for dtype, order in dtypes:
            if order:
                args = (uniform(-1, 1, x_shape, dtype), uniform(-1, 1, y_shape, dtype))
            else:
                rng = np.random.default_rng(3)
                args = tuple(rng.integers(0, 5, s).astype(dtype) for s in (x_shape, y_shape))
            out.append(
                Sample(
                    f"dot-{name}-{np.dtype(dtype).name}",
                    function,
                    args,
                    reference,
                    (0, 1) if order and name != "empty-contraction" else (),
                    order,
                    (0, 1),
                    primitives=("dot_general",),
                )
            )
    for dtype in (FLOAT16, BFLOAT16):
        args = (uniform(-1, 1, (4, 30), dtype), uniform(-1, 1, (30, 2), dtype))
        accumulated = lambda x, y: (x.astype(np.float32) @ y.astype(np.float32)).astype(x.dtype)
        out.append(Sample(f"dot-{dtype.name}", ops.dot, args, accumulated, (), 0, (0, 1)))
    return out


SAMPLES = _samples()


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@pytest.mark.parametrize("name", sorted(_CASES))
def test_gradients_agree_with_jax(name: str) -> None:
    x_shape, y_shape, numbers, _ = _CASES[name]
    for dtype in (np.float32, np.complex64):
        args = (uniform(-1, 1, x_shape, dtype), uniform(-1, 1, y_shape, dtype))
        options = {"dimension_numbers": numbers}
        oracle.check(ops.dot_general, jax.lax.dot_general, *args, **options)
        oracle.check_grad(ops.dot_general, jax.lax.dot_general, *args, argnums=(0, 1), **options)


@pytest.mark.parametrize("preferred", [np.float32, np.float64, np.int32, None])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.float32, np.float32),
        (FLOAT16, FLOAT16),
        (np.int8, np.int8),
        (np.float32, np.int32),
        (BFLOAT16, np.float32),
    ],
)
def test_result_dtypes_agree_with_jax(first: Any, second: Any, preferred: Any) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(-4, 4, (3, 4)).astype(first), rng.integers(-4, 4, (4, 2)).astype(second)
    if preferred is np.int32 and np.dtype(first) != np.int8:
        with pytest.raises(DTypeError, match="preferred_element_type"):
            ops.dot(as_array(x), as_array(y), preferred_element_type=preferred)
        return
    oracle.check(ops.dot, jax.lax.dot, x, y, x64=preferred is np.float64, preferred_element_type=preferred)


def test_mixed_operands_have_gradients_of_their_own_dtypes() -> None:
    x, y = uniform(-1, 1, (3, 4), np.float32), uniform(-1, 1, (4, 2), BFLOAT16)
    oracle.check_grad(ops.dot, jax.lax.dot, x, y, argnums=(0, 1))


@given(st.data())
def test_any_dimension_numbers(data: st.DataObject) -> None:
    batch = data.draw(st.integers(0, 2))
    contracted = data.draw(st.integers(0, 2))
    letters = "abcdefgh"
    x_letters = letters[: batch + contracted + data.draw(st.integers(0, 2))]
    y_new = data.draw(st.integers(0, 2))
    y_letters = letters[: batch + contracted] + letters[len(x_letters) : len(x_letters) + y_new]
    x_order = "".join(data.draw(st.permutations(x_letters)))
    y_order = "".join(data.draw(st.permutations(y_letters)))
    sizes = dict(zip(letters, (2, 3, 1, 4, 2, 1, 3, 2), strict=True))
    rng = np.random.default_rng(0)
    x = rng.normal(size=[sizes[c] for c in x_order])
    y = rng.normal(size=[sizes[c] for c in y_order])
    shared = data.draw(st.permutations(letters[: batch + contracted]))
    batches, summed = shared[:batch], shared[batch:]
    numbers = tuple(
        tuple(tuple(order.index(c) for c in chosen) for order in (x_order, y_order))
        for chosen in (summed, batches)
    )
    free = [c for c in x_order if c not in shared] + [c for c in y_order if c not in shared]
    expected = np.einsum(f"{x_order},{y_order}->{''.join([*batches, *free])}", x, y)
    found = np.asarray(ops.dot_general(x.astype(np.float32), y.astype(np.float32), numbers))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_batch_matmul_agrees_with_jax() -> None:
    x, y = uniform(-1, 1, (2, 5, 4, 3), np.float32), uniform(-1, 1, (2, 5, 3, 2), np.float32)
    oracle.check(ops.batch_matmul, jax.lax.batch_matmul, x, y)


@pytest.mark.parametrize(
    ("shapes", "numbers", "message"),
    [
        (((2, 3), (4, 2)), (((1,), (0,)), ((), ())), "contracting dimensions must have equal sizes.*3.*4"),
        (((2, 3), (3, 2)), (((1,), (0,)), ((0,), (1,))), None),
        (((2, 3), (3, 4)), (((1,), (0,)), ((0,), (1,))), "batch dimensions must have equal sizes"),
        (((2, 3), (3, 4)), (((2,), (0,)), ((), ())), "distinct and exist"),
        (((2, 3), (2, 3)), (((1, 1), (1, 1)), ((), ())), "distinct and exist"),
    ],
)
def test_bad_dimension_numbers(shapes: Any, numbers: Any, message: str | None) -> None:
    x, y = (np.zeros(s, np.float32) for s in shapes)
    if message is None:
        assert ops.dot_general(x, y, numbers).shape == (2,)
        return
    with pytest.raises(ShapeError, match=message):
        ops.dot_general(x, y, numbers)


def test_dot_explains_shapes() -> None:
    with pytest.raises(ShapeError, match=r"\(2, 3\) and \(2, 3\)"):
        ops.dot(np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32))
    with pytest.raises(ShapeError, match="batch_matmul"):
        ops.batch_matmul(np.zeros(3, np.float32), np.zeros(3, np.float32))


def test_precision_names() -> None:
    highest = ops.Precision.HIGHEST
    assert ops.canonical_precision("highest") == (highest, highest)
    assert ops.canonical_precision((highest, None)) == (highest, ops.Precision.DEFAULT)
    with pytest.raises(ValueError, match="unknown precision 'enough'"):
        ops.canonical_precision("enough")
    with pytest.raises(ValueError, match="two operands"):
        ops.canonical_precision((highest,))
