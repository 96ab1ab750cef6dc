"""Convolutions and windows of the LLVM engine agree with the NumPy engine's."""

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as jnp
from pullback import lax

from .agreement import check, draw

NHWC = ("NHWC", "HWIO", "NHWC")
NCHW = ("NCHW", "OIHW", "NCHW")
SHAPES = {NHWC: ((4, 9, 10, 8), (3, 2, 8, 12)), NCHW: ((4, 8, 9, 10), (12, 8, 3, 2))}
PARAMETERS = [
    {"window_strides": (1, 1), "padding": "SAME"},
    {"window_strides": (2, 3), "padding": "VALID"},
    {"window_strides": (1, 2), "padding": ((2, 1), (0, -1)), "rhs_dilation": (2, 1)},
    {"window_strides": (1, 1), "padding": ((-1, 3), (1, 0)), "lhs_dilation": (2, 3)},
]


@pytest.fixture(autouse=True)
def _wide() -> Any:
    with pb.enable_x64(True):
        yield


def with_gradients(f: Any) -> Any:
    """The function's value and its gradients by both arguments."""
    return lambda x, w: (f(x, w), *pb.grad(lambda x, w: jnp.sum(jnp.sin(f(x, w))), (0, 1))(x, w))


@pytest.mark.parametrize("parameters", PARAMETERS)
@pytest.mark.parametrize("layout", [NHWC, NCHW])
def test_value_and_gradients(layout: Any, parameters: Any) -> None:
    x, w = (draw(*shape) for shape in SHAPES[layout])
    f = with_gradients(lambda x, w: lax.conv_general_dilated(x, w, dimension_numbers=layout, **parameters))
    check(f, x, w, tolerance=1e-4)


@pytest.mark.parametrize("dtype", ["float64", "complex64", "float16", "bfloat16", "int32"])
@pytest.mark.parametrize("layout", [NHWC, NCHW])
def test_dtypes(layout: Any, dtype: str) -> None:
    x, w = (draw(*shape, dtype=dtype) for shape in SHAPES[layout])
    check(lambda x, w: lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=layout), x, w)


@pytest.mark.parametrize(("groups", "inputs", "outputs"), [(2, 8, 24), (4, 4, 8), (8, 8, 16)])
@pytest.mark.parametrize("layout", [NHWC, NCHW])
def test_groups(layout: Any, groups: int, inputs: int, outputs: int) -> None:
    nhwc = layout is NHWC
    x = draw(*((3, 12, 13, inputs) if nhwc else (3, inputs, 12, 13)))
    w = draw(*((3, 2, inputs // groups, outputs) if nhwc else (outputs, inputs // groups, 3, 2)))

    def f(x: Any, w: Any) -> Any:
        return lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=layout, feature_group_count=groups
        )

    check(with_gradients(f), x, w, tolerance=1e-4)


def test_groups_of_the_batch() -> None:
    x, w = draw(6, 16, 9, 8), draw(24, 16, 3, 3)
    check(lambda x, w: lax.conv_general_dilated(x, w, (1, 1), "SAME", batch_group_count=3), x, w)


@pytest.mark.parametrize(
    ("x", "w"),
    [
        ((2, 8, 60), (16, 8, 5)),
        ((2, 8, 7, 8, 9), (6, 8, 2, 3, 2)),
        ((16, 32), (24, 32)),
        ((1, 3, 40, 50), (8, 3, 5, 5)),
        ((1, 70, 90, 20), (8, 70, 3, 3)),
        ((2, 1, 5, 5), (1, 1, 3, 3)),
        ((40, 16, 6, 6), (8, 16, 1, 1)),
        ((5, 16, 6, 6), (8, 16, 6, 6)),
    ],
)
def test_shapes(x: Any, w: Any) -> None:
    rank = len(x) - 2
    f = with_gradients(lambda x, w: lax.conv_general_dilated(x, w, (1,) * rank, [(0, 0)] * rank))
    check(f, draw(*x), draw(*w), tolerance=1e-4)


@pytest.mark.parametrize(
    ("x", "w"), [((0, 8, 9, 9), (4, 8, 3, 3)), ((2, 0, 9, 9), (4, 0, 3, 3)), ((2, 8, 9, 9), (0, 8, 3, 3)),
                 ((2, 8, 2, 9), (4, 8, 3, 3))]
)  # fmt: skip
def test_empty(x: Any, w: Any) -> None:
    check(lambda x, w: lax.conv_general_dilated(x, w, (1, 1), "VALID"), draw(*x), draw(*w))


def test_operands_and_results_among_other_operations() -> None:
    x, w = draw(4, 9, 10, 8), draw(3, 2, 8, 12)

    def f(x: Any, w: Any) -> Any:
        y = lax.conv_general_dilated(jnp.tanh(x), w * 2, (1, 1), "SAME", dimension_numbers=NHWC)
        return jnp.maximum(y + 1, 0).sum((0, 1)), y.transpose(0, 3, 1, 2)

    check(f, x, w)


@pytest.mark.parametrize("layout", [NHWC, NCHW])
def test_results_do_not_depend_on_the_number_of_threads(layout: Any) -> None:
    x = draw(*((8, 14, 14, 32) if layout is NHWC else (8, 32, 14, 14)))
    w = draw(*((3, 3, 32, 64) if layout is NHWC else (64, 32, 3, 3)))
    f = with_gradients(
        lambda x, w: lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=layout) / 10
    )
    results = []
    before = pb.config.num_threads
    try:
        for count in (1, 3):
            pb.config.update("num_threads", count)
            results.append(check(f, x, w, tolerance=1e-4))
    finally:
        pb.config.update("num_threads", before)
    for one, three in zip(*results, strict=True):
        np.testing.assert_array_equal(one, three)


# Windows ----------------------------------------------------------------------------------------------

WINDOWS = [
    {"window_dimensions": (1, 2, 2, 1), "window_strides": (1, 2, 2, 1), "padding": "VALID"},
    {"window_dimensions": (1, 3, 3, 1), "window_strides": (1, 2, 2, 1), "padding": "SAME"},
    {"window_dimensions": (1, 3, 2, 1), "window_strides": (1, 1, 1, 1), "padding": "SAME"},
    {"window_dimensions": (2, 2, 2, 1), "window_strides": (2, 3, 2, 1),
     "padding": ((1, 0), (0, 1), (-1, 2), (0, 0)), "base_dilation": (1, 1, 3, 1),
     "window_dilation": (1, 2, 1, 1)},
    {"window_dimensions": (1, 2, 2, 2), "window_strides": (1, 1, 2, 1),
     "padding": ((0, 0), (1, 2), (0, -1), (0, 0)), "window_dilation": (1, 2, 1, 1)},
]  # fmt: skip


@pytest.mark.parametrize("windows", WINDOWS)
def test_pooling_and_its_derivatives(windows: Any) -> None:
    x, t = draw(3, 7, 8, 3), draw(3, 7, 8, 3, seed=1)
    x[0, :4, :4] = 0  # equal elements: the first is chosen
    x[1, 2, 3, 0], x[1, 3, 3, 1], x[1, 3, 4, 1] = np.nan, -np.inf, np.inf

    def pool(x: Any, kind: Any = lax.max) -> Any:
        return lax.reduce_window(x, -np.inf if kind is lax.max else np.inf, kind, **windows)

    def low(x: Any) -> Any:
        return pool(x, lax.min)

    def mean(x: Any) -> Any:
        return lax.reduce_window(x, 0.0, lax.add, **windows)

    for f in (pool, low, mean):
        check(f, x)
        check(lambda x, t, f=f: pb.jvp(f, (x,), (t,))[1], x, t)
        check(pb.grad(lambda x, f=f: jnp.sum(f(x) * jnp.arange(f(x).size).reshape(f(x).shape))), x)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "int32", "uint8"])
def test_dtypes_of_windows(dtype: str) -> None:
    x = draw(3, 7, 8, 3, dtype=dtype)
    least = -np.inf if jnp.issubdtype(dtype, jnp.floating) else np.iinfo(dtype).min
    pool = (1, 2, 2, 1), (1, 2, 1, 1), "SAME"
    check(lambda x: lax.reduce_window(x, jnp.asarray(least, dtype), lax.max, *pool), x)
    check(lambda x: lax.reduce_window(x, jnp.asarray(0, dtype), lax.add, *pool), x)


def test_large_and_empty_windows() -> None:
    x = draw(20, 30)
    check(lambda x: lax.reduce_window(x, 0.0, lax.add, (10, 30), (1, 1), ((9, 0), (0, 0))), x)
    check(lambda x: lax.reduce_window(x, 0.0, lax.add, (25, 3), (1, 1), "VALID"), x)
    check(lambda x: lax.reduce_window(x, 0.0, lax.add, (2, 3), (1, 1), "VALID"), draw(0, 5))
