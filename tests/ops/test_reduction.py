"""Reductions, against NumPy and JAX."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback._src.base.errors import ShapeError
from pullback._src.core.array import wrap
from pullback._src.ops import reduction as ops

from .. import oracle
from ..matrix import Sample, matrix_cells, run_cell
from .domains import BFLOAT16, DTYPE_NAMES, FLOAT16, distinct, integers, uniform

_NUMPY = {"reduce_sum": np.sum, "reduce_max": np.max, "reduce_min": np.min, "reduce_prod": np.prod}
_BITS = {"reduce_and": np.bitwise_and, "reduce_or": np.bitwise_or, "reduce_xor": np.bitwise_xor}
_AXES = {"all": (0, 1, 2), "first": (0,), "last": (2,), "outer": (0, 2), "none": ()}


def _samples() -> list[Sample]:
    out = []
    for name, reduce in _NUMPY.items():
        for (label, axes), (dtype, order) in itertools.product(
            _AXES.items(), ((np.float32, 1), (np.float64, 2), (np.int32, 0))
        ):
            x = integers(-3, 3, (2, 3, 4), dtype) if order == 0 else distinct((2, 3, 4), dtype)
            function = lambda v, name=name, axes=axes: getattr(ops, name)(v, axes)
            reference = lambda v, reduce=reduce, axes=axes: np.asarray(reduce(v, axis=axes)).astype(v.dtype)
            out.append(
                Sample(
                    f"{name}-{DTYPE_NAMES[np.dtype(dtype).name]}-{label}",
                    function,
                    (x,),
                    reference,
                    (0,) if order else (),
                    order,
                    primitives=(name,),
                )
            )
        for dtype in (np.complex64, np.complex128):
            z = uniform(-1, 1, (3, 2), dtype)
            function = lambda v, name=name: getattr(ops, name)(v, (0,))
            reference = lambda v, reduce=reduce: reduce(v, axis=0)
            differentiable = (0,) if dtype is np.complex128 else ()
            out.append(
                Sample(
                    f"{name}-{DTYPE_NAMES[np.dtype(dtype).name]}", function, (z,), reference, differentiable
                )
            )
        for dtype in (FLOAT16, BFLOAT16):
            x = distinct((3, 5), dtype)
            reference = lambda v, reduce=reduce: reduce(v.astype(np.float32), axis=1).astype(v.dtype)
            out.append(
                Sample(
                    f"{name}-{DTYPE_NAMES[dtype.name]}",
                    lambda v, name=name: getattr(ops, name)(v, (1,)),
                    (x,),
                    reference,
                )
            )
    for name, reduce in _BITS.items():
        for dtype in (np.bool_, np.int32, np.uint8, np.int64):
            x = integers(0, 1, (3, 4), bool) if dtype is np.bool_ else integers(0, 100, (3, 4), dtype)
            for axes in ((0,), (0, 1)):
                function = lambda v, name=name, axes=axes: getattr(ops, name)(v, axes)
                reference = lambda v, reduce=reduce, axes=axes: np.asarray(
                    reduce.reduce(v, axis=axes), v.dtype
                )
                out.append(
                    Sample(
                        f"{name}-{DTYPE_NAMES[np.dtype(dtype).name]}-{len(axes)}",
                        function,
                        (x,),
                        reference,
                        primitives=(name,),
                    )
                )
    for name, find in {"argmax": np.argmax, "argmin": np.argmin}.items():
        for dtype in (np.float32, np.float64, np.int32, np.bool_, FLOAT16, BFLOAT16):
            x = distinct((3, 4), dtype) if np.dtype(dtype) != bool else integers(0, 1, (3, 4), bool)
            for axis in (0, 1):
                function = lambda v, name=name, axis=axis: getattr(ops, name)(v, axis, np.int32)
                reference = lambda v, find=find, axis=axis: find(v.astype(np.float64), axis).astype(np.int32)
                out.append(
                    Sample(
                        f"{name}-{DTYPE_NAMES[np.dtype(dtype).name]}-{axis}",
                        function,
                        (x,),
                        reference,
                        primitives=(name,),
                    )
                )
    for bits in ((8, 7), (5, 10), (4, 3), (8, 0), (8, 23)):
        function = lambda v, bits=bits: ops.reduce_precision(v, *bits)
        reference = lambda v, bits=bits: np.asarray(jax.lax.reduce_precision(v, *bits))
        out.append(
            Sample(
                f"reduce_precision-{bits[0]}-{bits[1]}",
                function,
                (uniform(-3, 3, (4, 5), np.float32),),
                reference,
                primitives=("reduce_precision",),
            )
        )
    out.append(
        Sample(
            "reduce_precision-derivative",
            lambda v: ops.reduce_precision(v, 11, 52),
            (uniform(-3, 3, (4,), np.float64),),
            lambda v: v,
            (0,),
        )
    )
    return out


SAMPLES = _samples()


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@pytest.mark.parametrize("name", [*_NUMPY, *_BITS])
@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.int32, np.uint8, np.bool_, FLOAT16, BFLOAT16])
def test_like_jax(name: str, dtype: Any) -> None:
    ours, theirs = getattr(ops, name), getattr(jax.lax, name)
    for shape, axes in [((0, 3), (0,)), ((0, 3), (0, 1)), ((2, 3), (1,)), ((), ()), ((2, 0), (0,))]:
        oracle.check(ours, theirs, integers(0, 1, shape, dtype), axes)


@pytest.mark.parametrize("name", ["reduce_max", "reduce_min", "reduce_prod", "reduce_sum"])
@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_derivatives_at_ties_and_zeros_like_jax(name: str, dtype: Any) -> None:
    x = np.array([[1, 2, 2, 0], [3, 3, 3, 3], [0, 0, 1, -1], [1, -2, 5, 5]], dtype)
    for axes in [(0,), (1,), (0, 1), ()]:
        oracle.check_grad(getattr(ops, name), getattr(jax.lax, name), x, axes=axes)


@pytest.mark.parametrize("name", ["reduce_max", "reduce_min", "reduce_sum", "reduce_prod"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, FLOAT16, BFLOAT16])
def test_nan_and_infinities_like_jax(name: str, dtype: Any) -> None:
    x = np.array([[np.nan, 1, 2], [np.inf, -np.inf, 0], [1, np.inf, np.inf], [-1, -np.inf, np.nan]], dtype)
    oracle.check(getattr(ops, name), getattr(jax.lax, name), x, (1,), x64=np.dtype(dtype) == np.float64)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("dtype", [np.float32, FLOAT16, BFLOAT16])
def test_positions_of_nan_and_ties_like_jax(name: str, dtype: Any) -> None:
    x = np.array([[np.nan, 1, np.nan], [np.inf, np.inf, 0], [1, -np.inf, -np.inf], [0.0, -0.0, 0.0]], dtype)
    oracle.check(getattr(ops, name), getattr(jax.lax, name), x, 1, np.int32)
    oracle.check(getattr(ops, name), getattr(jax.lax, name), x, 0, np.uint8)


def test_reduce_precision_of_special_values_like_jax() -> None:
    x = np.array(
        [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e38, -1e-38, 65504, 65519.9, 65520, 6e-5, 2.5, 3.5], np.float32
    )
    for bits in ((5, 10), (8, 7), (2, 1)):
        oracle.check(ops.reduce_precision, jax.lax.reduce_precision, x, *bits)


def test_weak_types_like_jax() -> None:
    for name in _NUMPY:
        oracle.check(getattr(ops, name), getattr(jax.lax, name), 2.0, ())
    oracle.check(lambda x: ops.reduce_max(x, ()), lambda x: jax.lax.reduce_max(x, ()), 2)


def test_errors_say_what_is_wrong() -> None:
    x = wrap(np.ones((2, 0), np.float32))
    y = wrap(np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match=r"axis 2 is out of range .* 2 dimensions"):
        ops.reduce_max(x, (2,))
    with pytest.raises(ValueError, match="repeated axes"):
        ops.reduce_sum(x, (0, 0))
    with pytest.raises(ShapeError, match=r"no element along axis 1 of shape \(2, 0\)"):
        ops.argmax(x, 1, np.int32)
    with pytest.raises(TypeError, match=r"reduce_and expects operands of kind bool, .* got dtype float32"):
        ops.reduce_and(x, (0,))
    with pytest.raises(TypeError, match="index_dtype must be an integer dtype; got float32"):
        ops.argmin(y, 0, np.float32)
    with pytest.raises(ValueError, match="at least one bit of exponent"):
        ops.reduce_precision(x, 0, 3)


@given(st.data())
def test_any_axes(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(0, 3), max_size=4)))
    axes = tuple(data.draw(st.sets(st.integers(0, len(shape) - 1)))) if shape else ()
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    for name, initial in (
        ("reduce_sum", 0),
        ("reduce_prod", 1),
        ("reduce_max", -np.inf),
        ("reduce_min", np.inf),
    ):
        actual = np.asarray(getattr(ops, name)(x, axes))
        with np.errstate(over="ignore"):  # products of so many elements may overflow
            expected = np.asarray(_NUMPY[name](x, axis=axes, initial=initial))
        assert actual.dtype == np.float32
        np.testing.assert_allclose(actual, expected, rtol=1e-6)
