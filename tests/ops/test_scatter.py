"""scatter and its kind, against JAX: samples of each pattern, and random dimension numbers in each mode."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from pullback._src.base.errors import DTypeError, ShapeError
from pullback._src.core.array import wrap
from pullback._src.ops import scatter as ops

from .. import oracle
from ..flat import flat, vjp_of
from ..matrix import Sample, matrix_cells, run_cell
from .domains import distinct, uniform
from .windows import PATTERNS, Case, random_case

lax = jax.lax
NAMES = ("scatter", "scatter_add", "scatter_sub", "scatter_mul", "scatter_min", "scatter_max")
_REPEATED = Case((4,), *[np.array([[1], [3], [1], [1]], np.int32)] * 2, ((), (0,), (0,)), (1,))


def _theirs(name: str, case: Case, **options: Any) -> Any:
    numbers = lax.ScatterDimensionNumbers(*case.numbers)
    return lambda x, i, u: getattr(lax, name)(x, i, u, numbers, **options)


def _ours(name: str, case: Case, **options: Any) -> Any:
    numbers = ops.ScatterDimensionNumbers(*case.numbers)
    return lambda x, i, u: getattr(ops, name)(x, i, u, numbers, **options)


def _values(case: Case, dtype: str) -> tuple[Any, Any]:
    """Operand and updates without ties or zeros, so that extrema and products are smooth."""
    size = int(np.prod(case.shape)) + int(np.prod(case.result_shape))
    values = distinct((size,), dtype) if dtype != "complex64" else uniform(0.5, 2, (size,), dtype)
    count = int(np.prod(case.shape))
    return values[:count].reshape(case.shape), values[count:].reshape(case.result_shape)


def _sample(name: str, label: str, case: Case, mode: str, dtype: str, **options: Any) -> Sample:
    x, updates = _values(case, dtype)
    indices = case.indices_outside if mode == "drop" else case.indices
    return Sample(
        f"{name}-{label}-{mode}-{dtype}",
        _ours(name, case, mode=mode, **options),
        (x, indices, updates),
        lambda x, i, u: np.asarray(_theirs(name, case, mode=mode, **options)(x, i, u)),
        differentiable=(0, 2),
        batchable=(0, 1, 2),
        rtol=1e-6,
        primitives=(name,),
    )


SAMPLES = [
    *[_sample(n, "windows", PATTERNS["windows"], "drop", "float32") for n in NAMES],
    *[_sample(n, "repeated", _REPEATED, "clip", "float32") for n in NAMES],
    *[
        _sample("scatter_add", label, case, "drop", "float32")
        for label, case in PATTERNS.items()
        if label != "windows"
    ],
    *[_sample("scatter", label, case, "clip", "float32") for label, case in PATTERNS.items()],
    *[_sample(n, "rows", PATTERNS["rows"], "clip", "complex64") for n in NAMES[:4]],
    _sample("scatter", "unique", PATTERNS["elements"], "promise_in_bounds", "float32", unique_indices=True),
    _sample(
        "scatter_mul", "unique", PATTERNS["elements"], "promise_in_bounds", "float32", unique_indices=True
    ),
]


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@pytest.mark.parametrize("mode", ["clip", "drop"])
@pytest.mark.parametrize("seed", range(24))
def test_random_dimension_numbers(seed: int, mode: str) -> None:
    name = NAMES[seed % len(NAMES)]
    case = random_case(np.random.default_rng((seed, len(mode))), inside=False)
    x = uniform(-1, 1, case.shape, "float32", seed)
    updates = uniform(-1, 1, case.result_shape, "float32", seed + 1)
    ours = _ours(name, case, mode=mode)(wrap(x), wrap(case.indices), wrap(updates))
    oracle.assert_same(
        ours, _theirs(name, case, mode=mode)(x, case.indices, updates), f"{name}, {case}", units=64
    )


@pytest.mark.parametrize("name", ["scatter", "scatter_add", "scatter_sub", "scatter_min", "scatter_max"])
@pytest.mark.parametrize("ties", [False, True])
def test_gradients_against_jax(name: str, ties: bool) -> None:
    x = np.array([1, 2, 3, 4], np.float32)
    updates = np.array([2, 4, 2, 2] if ties else [7, -4, 5, 6], np.float32)
    cotangent = np.array([1, 2, 4, 8], np.float32)
    indices = _REPEATED.indices
    _, pullback = jax.vjp(lambda x, u: _theirs(name, _REPEATED)(x, indices, u), x, updates)
    ours = flat(lambda x, u: _ours(name, _REPEATED)(x, wrap(indices), u))
    oracle.assert_same(
        vjp_of(ours, (0, 1), 2)(wrap(x), wrap(updates), wrap(cotangent)),
        pullback(jax.numpy.asarray(cotangent)),
    )


def test_gradient_of_a_product_with_zeros() -> None:
    """The derivative by each factor is the product of the others, also where factors are zero."""
    x = np.array([2, 0, 3], np.float32)
    indices = np.array([[0], [0], [1], [2], [2]], np.int32)
    updates = np.array([0, 5, 7, 0, 0], np.float32)
    case = Case((3,), indices, indices, ((), (0,), (0,)), (1,))
    function = flat(lambda x, u: _ours("scatter_mul", case)(x, wrap(indices), u))
    one = wrap(np.ones(3, np.float32))
    by_x, by_updates = vjp_of(function, (0, 1), 2)(wrap(x), wrap(updates), one)
    np.testing.assert_array_equal(np.asarray(by_x), [0, 7, 0])
    np.testing.assert_array_equal(np.asarray(by_updates), [10, 0, 0, 0, 0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "float16", "bfloat16", "complex64"])
def test_types_against_jax(name: str, dtype: str) -> None:
    if dtype == "complex64" and name in ("scatter_min", "scatter_max"):
        return  # JAX has no minima of complex numbers
    x = np.asarray([1, 2, 3, 4]).astype(jax.numpy.dtype(dtype))
    updates = np.asarray([5, 1, 2, 2]).astype(x.dtype)
    indices = np.array([[1], [3], [1], [4]], np.int32)
    ours = _ours(name, _REPEATED)(wrap(x), wrap(indices), wrap(updates))
    oracle.assert_same(ours, _theirs(name, _REPEATED)(x, indices, updates))


def test_low_precision_accumulates_in_single() -> None:
    indices = np.zeros((3000, 1), np.int32)
    case = Case((1,), indices, indices, ((), (0,), (0,)), (1,))
    zero, ones = wrap(np.zeros(1, np.float16)), wrap(np.ones(3000, np.float16))
    out = _ours("scatter_add", case)(zero, wrap(indices), ones)
    assert float(np.asarray(out)[0]) == 3000


def test_scalar_operand() -> None:
    indices = np.zeros((3, 0), np.int32)
    case = Case((), indices, indices, ((), (), ()), ())
    updates = wrap(np.array([1, 2, 3], np.float32))
    x = wrap(np.array(10, np.float32))
    assert float(_ours("scatter", case)(x, wrap(indices), updates)) == 3
    assert float(_ours("scatter_add", case)(x, wrap(indices), updates)) == 16


def test_errors() -> None:
    x = wrap(uniform(-1, 1, (3, 4), "float32"))
    index = wrap(np.zeros((2, 1), np.int32))
    rows = ops.ScatterDimensionNumbers((1,), (0,), (0,))
    with pytest.raises(ShapeError, match="is larger than the operand"):
        ops.scatter(x, index, wrap(np.zeros((2, 5), np.float32)), rows)
    with pytest.raises(ShapeError, match=r"have the dimensions \(3,\) outside of the window"):
        ops.scatter(x, index, wrap(np.zeros((3, 4), np.float32)), rows)
    with pytest.raises(DTypeError, match="operands of one dtype; got float32, int32"):
        ops.scatter(x, index, wrap(np.zeros((2, 4), np.int32)), rows)
    with pytest.raises(DTypeError, match="scatter_add expects operands of kind"):
        ops.scatter_add(wrap(np.zeros((3, 4), bool)), index, wrap(np.zeros((2, 4), bool)), rows)
    with pytest.raises(ShapeError, match="ascending update_window_dims"):
        ops.scatter(x, index, wrap(np.zeros((2, 4), np.float32)), ops.ScatterDimensionNumbers((), (0,), (0,)))
