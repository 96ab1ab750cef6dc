"""Conversions between dtypes, against JAX."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pullback as pb
from pullback._src.core.array import wrap
from pullback._src.ops import convert as ops

from .. import oracle
from ..matrix import Sample, matrix_cells, run_cell
from .domains import BFLOAT16, DTYPE_NAMES, FLOAT16, integers, uniform

_ALL = [
    np.bool_,
    np.int8,
    np.uint8,
    np.int32,
    np.uint32,
    np.int64,
    np.uint64,
    FLOAT16,
    BFLOAT16,
    np.float32,
    np.float64,
    np.complex64,
    np.complex128,
]
_INEXACT = [np.float32, np.float64, np.complex64, np.complex128]


def _to(new: Any, convert: Any) -> Any:
    return lambda v: convert(v, new)


def _array(dtype: Any) -> Any:
    return integers(0, 1, (2, 3), dtype) if np.dtype(dtype).kind in "biu" else uniform(-1, 1, (2, 3), dtype)


def _name(dtype: Any) -> str:
    return {"int8": "i8", "uint64": "u64"}.get(np.dtype(dtype).name) or DTYPE_NAMES[np.dtype(dtype).name]


def _samples() -> list[Sample]:
    out = []
    for old, new in itertools.product(_INEXACT, _INEXACT):
        x = _array(old)
        convert = lambda v, new=new: ops.convert_element_type(v, new)
        reference = lambda v, new=new: (v.real if np.dtype(new).kind == "f" else v).astype(new)
        # Finite differences need 64 bits; the others' derivatives are compared with JAX's below.
        wide = old in (np.float64, np.complex128) and new in (np.float64, np.complex128)
        if np.dtype(new).itemsize >= 8 and new is not np.complex64 and not wide:
            continue  # 64-bit types are enabled for 64-bit arguments only
        covered = ("convert_element_type",) if old is not new else ()
        out.append(
            Sample(
                f"convert-{_name(old)}-{_name(new)}",
                convert,
                (x,),
                reference,
                (0,) if wide else (),
                primitives=covered,
            )
        )
    x = uniform(-1, 1, (2, 3), np.float32)
    out += [
        Sample(
            "bitcast-f32-i32",
            lambda v: ops.bitcast_convert_type(v, np.int32),
            (x,),
            lambda v: v.view(np.int32),
            primitives=("bitcast_convert_type",),
        ),
        Sample(
            "bitcast-narrower",
            lambda v: ops.bitcast_convert_type(v, np.uint8),
            (x,),
            lambda v: v.reshape(2, 3, 1).view(np.uint8),
        ),
        Sample(
            "bitcast-wider",
            lambda v: ops.bitcast_convert_type(v, np.int32),
            (integers(0, 99, (3, 2), np.int16),),
            lambda v: v.view(np.int32)[:, 0],
        ),
        Sample(
            "copy-f64",
            ops.copy_p.bind,
            (x.astype(np.float64),),
            lambda v: v,
            (0,),
            primitives=("copy",),
        ),
        Sample(
            "stop_gradient-f32", ops.stop_gradient_array, (x,), lambda v: v, primitives=("stop_gradient",)
        ),
    ]
    return out


SAMPLES = _samples()


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@pytest.mark.parametrize("old", _ALL)
def test_conversions_like_jax(old: Any) -> None:
    if np.dtype(old).kind == "b":
        x = np.array([True, False])
    elif np.dtype(old).kind in "iu":
        info = np.iinfo(old)
        x = np.array([info.min, info.max, 0, 1, info.max // 2 + 1], old)
    else:
        x = np.array([0, -0.0, 0.5, -1.5, 2.75, 100.25, -100], old)
    for new in _ALL:
        convert = partial(_to, new)
        if np.dtype(old).kind != "c" or np.dtype(new).kind == "c":  # JAX warns of other ones
            negative = np.dtype(old).kind in "fV" and np.dtype(new).kind == "u"
            oracle.check(
                convert(ops.convert_element_type),
                convert(jax.lax.convert_element_type),
                np.abs(x) if negative else x,
                x64=True,
            )


@pytest.mark.parametrize("old", [np.float32, np.float64, FLOAT16, BFLOAT16])
def test_conversions_out_of_range_saturate_like_jax(old: Any) -> None:
    x = np.array([np.inf, -np.inf, np.nan, 1e4, -1e4, 3e4, -3e4, -1, -0.5, 255.5, 256, 127.9, -128.9], old)
    if old in (np.float32, np.float64):
        x = np.concatenate(
            [x, np.array([2.0**31, -(2.0**31), 2.0**32, 2.0**63, -(2.0**63), 2.0**64, 1e30, -1e30], old)]
        )
    for new in (np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64):
        convert = partial(_to, new)
        oracle.check(convert(ops.convert_element_type), convert(jax.lax.convert_element_type), x, x64=True)


def test_weak_types_like_jax() -> None:
    for value in (2, 2.0, True):
        for new in (np.float32, np.int32):
            convert = partial(_to, new)
            oracle.check(convert(ops.convert_element_type), convert(jax.lax.convert_element_type), value)


def test_derivatives_pass_through_inexact_conversions() -> None:
    x = uniform(-1, 1, (3,), np.float32)
    for new in (FLOAT16, BFLOAT16, np.complex64):
        convert = partial(_to, new)
        oracle.check_grad(convert(ops.convert_element_type), convert(jax.lax.convert_element_type), x)
    through = lambda v: ops.convert_element_type(ops.convert_element_type(v, np.int32), np.float32)
    assert float(pb.grad(through)(1.5)) == 0.0


def test_stop_gradient_has_no_derivative() -> None:
    product = lambda x: ops.stop_gradient_array(x) * x  # type: ignore[operator]
    assert float(pb.grad(product)(3.0)) == 3.0
    assert ops.stop_gradient_array(np.int32(3)).dtype == jnp.int32


def test_errors_say_what_is_wrong() -> None:
    with pytest.raises(TypeError, match="needs a last dimension of size 2"):
        ops.bitcast_convert_type(wrap(np.ones((2, 3), np.int16)), np.int32)


@given(st.lists(st.floats(width=32), min_size=1, max_size=8))
def test_any_float_converts_to_integers_like_jax(values: list[float]) -> None:
    x = np.array(values, np.float32)
    for new in (np.int32, np.uint8):
        expected = np.asarray(jax.lax.convert_element_type(jnp.asarray(x), new))
        np.testing.assert_array_equal(np.asarray(ops.convert_element_type(x, new)), expected)
