"""Convolutions against JAX."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback._src.base.errors import ShapeError
from pullback._src.ops import conv as ops
from pullback._src.ops import conv_shapes

from .. import oracle
from ..matrix import Sample, matrix_cells, run_cell
from .domains import BFLOAT16, uniform

# name: (input shape, kernel shape, strides, padding, options)
_CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], Any, dict[str, Any]]] = {
    "plain-1d": ((2, 3, 7), (4, 3, 3), (1,), "VALID", {}),
    "no-space": ((2, 3), (4, 3), (), (), {}),
    "same-2d": ((2, 2, 5, 4), (3, 2, 3, 2), (1, 1), "SAME", {}),
    "strides": ((2, 2, 6, 5), (3, 2, 3, 2), (2, 3), ((1, 2), (0, 1)), {}),
    "dilations": (
        (1, 2, 5, 4),
        (3, 2, 2, 2),
        (2, 1),
        ((1, 0), (2, 1)),
        {"lhs_dilation": (2, 3), "rhs_dilation": (1, 2)},
    ),
    "negative-padding": ((1, 2, 7), (2, 2, 2), (1,), ((-1, -2),), {}),
    "wide-padding": ((1, 2, 4), (2, 2, 2), (1,), ((4, 3),), {}),
    "feature-groups": ((2, 4, 6), (6, 2, 3), (2,), ((1, 1),), {"feature_group_count": 2}),
    "depthwise": ((2, 3, 6), (3, 1, 3), (1,), "SAME", {"feature_group_count": 3}),
    "batch-groups": ((4, 3, 6), (6, 3, 3), (1,), ((1, 0),), {"batch_group_count": 2, "rhs_dilation": (2,)}),
    "channels-last": (
        (2, 5, 4, 2),
        (3, 2, 2, 3),
        (1, 1),
        "SAME_LOWER",
        {"dimension_numbers": ("NHWC", "HWIO", "NHWC")},
    ),
    "mixed-layout": ((5, 2, 2), (3, 2, 2), (1,), "VALID", {"dimension_numbers": ("WNC", "OIW", "NWC")}),
}


def _samples() -> list[Sample]:
    out = []
    chosen = {
        "plain-1d": 1,
        "strides": 1,
        "dilations": 1,
        "feature-groups": 2,
        "batch-groups": 2,
        "channels-last": 1,
    }
    for name, order in chosen.items():
        x_shape, w_shape, strides, padding, options = _CASES[name]
        dtype = np.float64 if order == 2 else np.float32
        out.append(
            Sample(
                f"conv-{name}-{np.dtype(dtype).name}",
                lambda x, w, s=strides, p=padding, o=options: ops.conv_general_dilated(x, w, s, p, **o),
                (uniform(-1, 1, x_shape, dtype), uniform(-1, 1, w_shape, dtype, 1)),
                lambda x, w, s=strides, p=padding, o=options: np.asarray(
                    jax.lax.conv_general_dilated(x, w, s, p, **o)
                ),
                (0, 1),
                order,
                (0, 1),
                rtol=1e-5 if order == 1 else 1e-13,
                atol=1e-5 if order == 1 else 1e-13,
                primitives=("conv_general_dilated",),
            )
        )
    return out


SAMPLES = _samples()


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@pytest.mark.parametrize("name", sorted(_CASES))
@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_gradients_agree_with_jax(name: str, dtype: Any) -> None:
    x_shape, w_shape, strides, padding, options = _CASES[name]
    if dtype is np.complex64 and "batch_group_count" in options:
        dtype = np.float32  # JAX does not differentiate complex convolutions with batch groups
    args = (uniform(-1, 1, x_shape, dtype), uniform(-1, 1, w_shape, dtype, 1))
    options = {"window_strides": strides, "padding": padding, **options}
    oracle.check(ops.conv_general_dilated, jax.lax.conv_general_dilated, *args, **options)
    oracle.check_grad(
        ops.conv_general_dilated, jax.lax.conv_general_dilated, *args, argnums=(0, 1), **options
    )


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.tuples(st.integers(-2, 4), st.integers(-2, 4)),
    st.sampled_from([(1, 1), (2, 1), (1, 2)]),
)
def test_any_parameters(
    size: int, window: int, stride: int, dx: int, dw: int, pads: Any, groups: Any
) -> None:
    features, batches = groups
    x = uniform(-1, 1, (2, 2, size), np.float32)
    w = uniform(-1, 1, (2, 2 // features, window), np.float32, 1)
    options = {
        "window_strides": (stride,),
        "padding": (pads,),
        "lhs_dilation": (dx,),
        "rhs_dilation": (dw,),
        "feature_group_count": features,
        "batch_group_count": batches,
    }
    if (size - 1) * dx + 1 + sum(pads) < 0 or min(pads) < -size:
        return
    oracle.check(ops.conv_general_dilated, jax.lax.conv_general_dilated, x, w, **options)
    oracle.check_grad(ops.conv_general_dilated, jax.lax.conv_general_dilated, x, w, argnums=(0, 1), **options)


@pytest.mark.parametrize("padding", ["SAME", "VALID", ((1, 2), (0, 1))])
@pytest.mark.parametrize("strides", [(1, 1), (2, 3)])
@pytest.mark.parametrize("flip", [False, True])
def test_conv_transpose_agrees_with_jax(padding: Any, strides: Any, flip: bool) -> None:
    x = uniform(-1, 1, (2, 4, 5, 3), np.float32)
    w = uniform(-1, 1, (3, 2, 2, 3) if flip else (3, 2, 3, 2), np.float32)
    options = {"strides": strides, "padding": padding, "transpose_kernel": flip}
    oracle.check(ops.conv_transpose, jax.lax.conv_transpose, x, w, **options)
    oracle.check_grad(ops.conv_transpose, jax.lax.conv_transpose, x, w, argnums=(0, 1), **options)
    layout = ("NHWC", "HWOI" if flip else "HWIO", "NHWC")
    if not flip:
        assert conv_shapes.conv_transpose_shape_tuple(x.shape, w.shape, strides, padding, layout) == tuple(
            ops.conv_transpose(x, w, strides, padding).shape
        )


def test_consistent_padding_agrees_with_jax() -> None:
    x, w = uniform(-1, 1, (1, 4, 2), np.float32), uniform(-1, 1, (3, 2, 2), np.float32)
    options = {"strides": (2,), "padding": ((1, 0),), "use_consistent_padding": True, "rhs_dilation": (2,)}
    oracle.check(ops.conv_transpose, jax.lax.conv_transpose, x, w, **options)


@pytest.mark.parametrize("layout", [None, ("NHWC", "HWIO", "NHWC")])
def test_patches_and_local_agree_with_jax(layout: Any) -> None:
    x = uniform(-1, 1, (2, 3, 5, 4) if layout is None else (2, 5, 4, 3), np.float32)
    options = {
        "filter_shape": (2, 3),
        "window_strides": (2, 1),
        "padding": "VALID",
        "dimension_numbers": layout,
    }
    oracle.check(ops.conv_general_dilated_patches, jax.lax.conv_general_dilated_patches, x, **options)
    w = uniform(-1, 1, (4, 18, 2, 2) if layout is None else (2, 2, 18, 4), np.float32)
    local = {"rhs_dilation": (1, 1), **options}
    oracle.check(ops.conv_general_dilated_local, jax.lax.conv_general_dilated_local, x, w, **local, units=32)


def test_short_forms_agree_with_jax() -> None:
    x, w = uniform(-1, 1, (2, 3, 6, 5), np.float32), uniform(-1, 1, (4, 3, 2, 2), np.float32)
    oracle.check(ops.conv, jax.lax.conv, x, w, window_strides=(2, 1), padding="SAME")
    options = {
        "window_strides": (1, 1),
        "padding": ((1, 0), (0, 2)),
        "lhs_dilation": None,
        "rhs_dilation": (2, 1),
    }
    oracle.check(ops.conv_with_general_padding, jax.lax.conv_with_general_padding, x, w, **options)
    low = x.astype(BFLOAT16), w.astype(BFLOAT16)
    options = {"window_strides": (1, 1), "padding": "SAME", "preferred_element_type": np.float32}
    oracle.check(ops.conv, jax.lax.conv, *low, **options)
    assert conv_shapes.conv_shape_tuple(x.shape, w.shape, (2, 1), "SAME") == (2, 4, 3, 5)
    layout = ("NHWC", "HWIO", "NHWC")
    assert conv_shapes.conv_general_shape_tuple((2, 6, 5, 3), (2, 2, 3, 4), (1, 1), "VALID", layout) == (
        2,
        5,
        4,
        4,
    )


@pytest.mark.parametrize(
    ("x", "w", "options", "message"),
    [
        ((2, 3, 7), (4, 2, 3), {}, "input features"),
        ((2, 3, 7), (4, 3), {}, "one rank"),
        ((2, 4, 7), (3, 2, 3), {"feature_group_count": 2}, "must divide"),
        ((3, 3, 7), (4, 3, 3), {"batch_group_count": 2}, "must divide"),
        ((2, 3, 7), (4, 3, 3), {"window_strides": (0,)}, "positive window_strides"),
        ((2, 3, 7), (4, 3, 3), {"padding": ((0, 0), (0, 0))}, "pairs of padding"),
        ((2, 3, 7), (4, 3, 3), {"padding": "WIDE"}, "unknown padding 'WIDE'"),
        ((2, 3, 7), (4, 3, 3), {"dimension_numbers": ("NCH", "OIW", "NCW")}, "layout 'NCH'"),
    ],
)
def test_errors_explain(x: Any, w: Any, options: Any, message: str) -> None:
    options = {"window_strides": (1,), "padding": "VALID", **options}
    with pytest.raises((ShapeError, ValueError), match=message):
        ops.conv_general_dilated(np.zeros(x, np.float32), np.zeros(w, np.float32), **options)
