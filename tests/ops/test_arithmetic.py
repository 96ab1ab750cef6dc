"""Elementwise arithmetic, against NumPy and JAX."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import pullback as pb
from pullback._src.core.array import wrap
from pullback._src.ops import arithmetic as ops

from .. import oracle
from ..matrix import Sample, matrix_cells, run_cell
from .domains import BFLOAT16, DTYPE_NAMES, FLOAT16, SPECIAL, distinct, integers, uniform

Array = np.ndarray[Any, Any]
_F, _D, _C, _Z, _I = np.float32, np.float64, np.complex64, np.complex128, np.int32


def _name(dtype: Any) -> str:
    return DTYPE_NAMES[np.dtype(dtype).name]


def _divided(x: Array, y: Array) -> Array:
    return np.trunc(x.astype(np.float64) / y).astype(x.dtype) if x.dtype.kind in "iu" else np.divide(x, y)


def _inputs(dtype: Any, shape: tuple[int, ...], seed: int) -> Array:
    return (
        integers(1, 6, shape, dtype, seed)
        if np.dtype(dtype).kind in "iu"
        else uniform(0.5, 2, shape, dtype, seed)
    )


_BINARY: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "add": (np.add, (_F, _D, _C, _Z, _I, np.uint8)),
    "sub": (np.subtract, (_F, _D, _C, _Z, _I)),
    "mul": (np.multiply, (_F, _D, _C, _Z, _I)),
    "div": (_divided, (_F, _D, _C, _Z, _I, np.uint8)),
    "rem": (np.fmod, (_F, _D, _I, np.uint8)),
    "max": (np.maximum, (_F, _D, _I, np.uint8)),
    "min": (np.minimum, (_F, _D, _I)),
    "pow": (np.power, (_F, _D, _C, _Z)),
    "nextafter": (np.nextafter, (_F, _D)),
}
_DIFFERENTIABLE = {"add", "sub", "mul", "div", "rem", "max", "min", "pow"}
_UNARY: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "sign": (np.sign, (_F, _D, _I)),
    "floor": (np.floor, (_F, _D)),
    "ceil": (np.ceil, (_F, _D)),
    "is_finite": (np.isfinite, (_F, _D)),
    "abs": (np.abs, (_F, _D, _C, _Z, _I)),
    "square": (np.square, (_F, _D, _C, _Z, _I)),
    "log": (np.log, (_F, _D, _C, _Z)),
}
_BITS: dict[str, Callable[..., Any]] = {
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
}
_BIT_NAMES = {"bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor", "bitwise_not": "not"}


def _low(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *xs: np.asarray(function(*[x.astype(np.float32) for x in xs])).astype(xs[0].dtype)


def _binary_samples() -> list[Sample]:
    out = []
    for name, (reference, kinds) in _BINARY.items():
        function = getattr(ops, name)
        both = (0, 1) if name in _DIFFERENTIABLE else ()
        for dtype in kinds:
            differentiable = both if np.dtype(dtype).kind in "fc" else ()
            order = 2 if np.dtype(dtype).itemsize >= 8 and dtype is not _C else 1
            pairs = {
                "same": ((2, 3), (2, 3)),
                "rank": ((3,), (2, 3)),
                "scalar": ((), (3,)),
            }
            if order == 2:
                pairs = {"same": ((2, 3), (2, 3)), "outer": ((2, 1), (3,))}
            for label, shapes in pairs.items():
                x, y = _inputs(dtype, shapes[0], 1), _inputs(dtype, shapes[1], 2)
                tolerance = 1e-5 if name == "pow" and dtype in (_F, _C) else None
                out.append(
                    Sample(
                        f"{name}-{_name(dtype)}-{label}",
                        function,
                        (x, y),
                        reference,
                        differentiable,
                        order,
                        (0, 1),
                        tolerance,
                        primitives=(name,),
                    )
                )
        if both:
            empty = (np.zeros((0, 3), _F), np.zeros((3,), _F))
            out.append(Sample(f"{name}-empty", function, empty, reference, both, 1, (0, 1)))
            for dtype in (FLOAT16, BFLOAT16):
                x, y = _inputs(dtype, (3,), 1), _inputs(dtype, (3,), 2)
                out.append(Sample(f"{name}-{_name(dtype)}", function, (x, y), _low(reference), (), 1, (0, 1)))
    return out


def _unary_samples() -> list[Sample]:
    out = []
    for name, (reference, kinds) in _UNARY.items():
        function = getattr(ops, name)
        for dtype in kinds:
            inexact = np.dtype(dtype).kind in "fc"
            x = distinct((2, 3), dtype) if np.dtype(dtype).kind in "fi" else uniform(0.3, 2, (2, 3), dtype)
            x = np.abs(x) if name == "log" and x.dtype.kind == "f" else x
            differentiable = (0,) if inexact and name != "is_finite" else ()
            order = 2 if dtype in (_D, _Z) else 1
            out.append(
                Sample(
                    f"{name}-{_name(dtype)}",
                    function,
                    (x,),
                    reference,
                    differentiable,
                    order,
                    primitives=(name,),
                )
            )
        if _F in kinds:
            for dtype in (FLOAT16, BFLOAT16):
                low = reference if name == "is_finite" else _low(reference)
                out.append(Sample(f"{name}-{_name(dtype)}", function, (np.abs(distinct((3,), dtype)),), low))
    for method in (0, 1):
        away = lambda v: np.copysign(np.floor(np.abs(v) + 0.5), v)
        x = np.array([-2.5, -1.4, -0.5, 0.5, 0.75, 1.5, 2.5], _F)
        out.append(
            Sample(
                f"round-{method}",
                lambda v, m=method: ops.round(v, m),
                (x,),
                np.rint if method else away,
                (),
                primitives=("round",),
            )
        )
        y = distinct((4,), _D) + 0.05
        out.append(
            Sample(
                f"round-{method}-f64",
                lambda v, m=method: ops.round(v, m),
                (y,),
                np.rint if method else away,
                (0,),
            )
        )
    for power in (-2, -1, 0, 1, 2, 3, 7):
        for dtype in (_F, _D, _Z, _I):
            if dtype is _I and power < 0:
                continue
            x = integers(-3, 3, (2, 3), _I) if dtype is _I else distinct((2, 3), _D).astype(dtype)
            reference = lambda v, p=power: v**p if p >= 0 else 1 / v**-p
            name = "square" if power == 2 else "integer_pow"
            out.append(
                Sample(
                    f"integer_pow-{_name(dtype)}-{power}",
                    lambda v, p=power: ops.integer_pow(v, p),
                    (x,),
                    reference,
                    () if dtype is _I else (0,),
                    1 if dtype is _F else 2,
                    rtol=2e-6 if dtype is _F else None,
                    primitives=() if power == 1 else (name,),
                )
            )
    return out


def _bit_samples() -> list[Sample]:
    out = []
    for name, reference in _BITS.items():
        for dtype in (np.bool_, _I, np.uint8, np.int64):
            x, y = (
                integers(0, 1 if dtype is np.bool_ else 100, s, dtype, i)
                for i, s in enumerate(((2, 3), (3,)))
            )
            out.append(
                Sample(
                    f"{name}-{_name(dtype)}",
                    getattr(ops, name),
                    (x, y),
                    reference,
                    batchable=(0, 1),
                    primitives=(_BIT_NAMES[name],),
                )
            )
    for dtype in (np.bool_, _I, np.uint8):
        x = integers(0, 1, (2, 3), dtype)
        out.append(
            Sample(f"bitwise_not-{_name(dtype)}", ops.bitwise_not, (x,), np.invert, primitives=("not",))
        )
    x, y = integers(-1000, 1000, (2, 3), _I), integers(0, 31, (3,), _I, 1)
    logical = lambda a, b: (a.view(np.uint32) >> b.view(np.uint32)).view(np.int32)
    for name, reference in (
        ("shift_left", np.left_shift),
        ("shift_right_arithmetic", np.right_shift),
        ("shift_right_logical", logical),
    ):
        out.append(
            Sample(f"{name}-i32", getattr(ops, name), (x, y), reference, batchable=(0, 1), primitives=(name,))
        )
    counted = lambda v: np.array([bin(int(i) & 0xFFFFFFFF).count("1") for i in v.ravel()], v.dtype).reshape(
        v.shape
    )
    leading = lambda v: np.array(
        [32 - (int(i) & 0xFFFFFFFF).bit_length() for i in v.ravel()], v.dtype
    ).reshape(v.shape)
    out.append(
        Sample("population_count-i32", ops.population_count, (x,), counted, primitives=("population_count",))
    )
    out.append(Sample("clz-i32", ops.clz, (x,), leading, primitives=("clz",)))
    return out


def _clamp_samples() -> list[Sample]:
    out = []
    for dtype in (_F, _D, _I):
        low, x, high = (
            np.array(-1, dtype),
            (distinct((3, 4), _D) * 4).astype(dtype),
            np.array([1, 2, 3, 4], dtype),
        )
        differentiable, order = ((), 1) if dtype is _I else ((0, 1, 2), 2 if dtype is _D else 1)
        reference = lambda lo, v, hi: np.minimum(np.maximum(lo, v), hi)
        out.append(
            Sample(
                f"clamp-{_name(dtype)}",
                ops.clamp,
                (low, x, high),
                reference,
                differentiable,
                order,
                (0, 1, 2),
                primitives=("clamp",),
            )
        )
    return out


def _pow_samples() -> list[Sample]:
    x, y = uniform(0.5, 2, (2, 3), _D), integers(-2, 3, (3,), np.int64)
    reference = lambda v, p: v ** p.astype(np.float64)
    out = [Sample("pow-f64-int-exponent", ops.pow, (x, y), reference, (0,), 2, (0, 1), primitives=("pow",))]
    base, exponent = integers(-3, 3, (4,), _I), integers(0, 4, (4,), _I, 1)
    return [*out, Sample("pow-i32", ops.pow, (base, exponent), np.power, (), 1, (0, 1))]


def _relu_samples() -> list[Sample]:
    reference = lambda v: np.maximum(v, 0)
    out = []
    for dtype, differentiable, order in ((_F, (0,), 1), (_D, (0,), 2), (_I, (), 1)):
        x = distinct((3, 4), _D).astype(dtype)
        out.append(
            Sample(
                f"relu-{_name(dtype)}",
                ops.relu_p.bind,
                (x,),
                reference,
                differentiable,
                order,
                primitives=("relu",),
            )
        )
    return out


SAMPLES = [
    *_binary_samples(),
    *_unary_samples(),
    *_bit_samples(),
    *_clamp_samples(),
    *_relu_samples(),
    *_pow_samples(),
]


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


_GRID = [np.array(v, _F) for v in zip(*itertools.product(SPECIAL, SPECIAL), strict=True)]


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "rem", "max", "min", "nextafter"])
def test_special_values_of_two_operands_like_jax(name: str) -> None:
    oracle.check(getattr(ops, name), getattr(jax.lax, name), *_GRID)


@pytest.mark.parametrize("name", ["sign", "floor", "ceil", "round", "is_finite", "abs", "square", "log"])
def test_special_values_of_one_operand_like_jax(name: str) -> None:
    x = np.array([*SPECIAL, 0.49999997, 2.5, -0.5, 1e10], _F)
    oracle.check(getattr(ops, name), getattr(jax.lax, name), x)


@pytest.mark.parametrize("dtype", [_I, np.int8, np.uint8])
def test_integer_division_like_jax(dtype: Any) -> None:
    info = np.iinfo(dtype)
    values = [info.min, info.max, 0, 1, 2, 7] + ([] if info.min == 0 else [-1, -3, info.min + 1])
    x, y = (np.array(v, dtype) for v in zip(*itertools.product(values, values), strict=True))
    overflow = (x == info.min) & (y == info.max if info.min == 0 else y == -1) & (info.min != 0)
    for name in ("div", "rem"):
        oracle.check(getattr(ops, name), getattr(jax.lax, name), x[~overflow], y[~overflow])


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_derivatives_of_quotients_divide_once(mode: str) -> None:
    def derivatives(x: Any, y: Any) -> Any:
        if mode == "forward":
            return pb.jvp(ops.div, (x, y), (x, y))[1]
        return pb.vjp(ops.div, x, y)[1](x)

    text = str(pb.make_jaxpr(derivatives)(np.float32(3), np.float32(2)))
    assert text.count(" div ") == 2  # one of them is the quotient


@pytest.mark.parametrize("dtype", [_I, np.int8, np.uint8])
def test_integer_powers_like_jax(dtype: Any) -> None:
    x, y = (
        np.array(v, dtype)
        for v in zip(*itertools.product(range(0 if dtype is np.uint8 else -3, 4), range(9)), strict=True)
    )
    oracle.check(ops.pow, jax.numpy.power, x, y)  # lax.pow has no integer powers in JAX
    for power in range(5):
        oracle.check(ops.integer_pow, jax.lax.integer_pow, x, power)


def test_powers_at_special_points_like_jax() -> None:
    x, y = (
        np.array(v, _F)
        for v in zip(
            *itertools.product([0, -0.0, 1, -2, 0.5, np.inf, np.nan], [0, 1, 2, -1, 0.5, -0.5, 3]),
            strict=True,
        )
    )
    oracle.check(ops.pow, jax.lax.pow, x, y)
    for argnums in ((0,), (1,)):
        keep = (x > 0) & np.isfinite(x)
        oracle.check_grad(ops.pow, jax.lax.pow, x[keep], y[keep], argnums=argnums)
    oracle.check_grad(ops.pow, jax.lax.pow, np.zeros(5, _F), np.array([0, 1, 2, 0.5, 3], _F), argnums=(1,))
    oracle.check_grad(ops.pow, jax.lax.pow, np.zeros(3, _F), np.array([1, 2, 3], _F))
    at_zero = pb.grad(ops.pow)(np.float32(0), np.float32(0))  # x^0 is constant; JAX says NaN
    assert float(at_zero) == 0


@pytest.mark.parametrize("name", ["shift_left", "shift_right_logical", "shift_right_arithmetic"])
@pytest.mark.parametrize("dtype", [_I, np.int8, np.uint8, np.uint32])
def test_shifts_beyond_the_width_like_jax(name: str, dtype: Any) -> None:
    info = np.iinfo(dtype)
    x = np.array([info.min, info.max, 0, 1, 5], dtype)[:, None]
    y = np.array([0, 1, info.bits - 1, info.bits, info.bits + 1, 100], dtype)[None]
    x, y = (np.array(v) for v in np.broadcast_arrays(x, y))
    oracle.check(getattr(ops, name), getattr(jax.lax, name), x, y)


@pytest.mark.parametrize("name", ["population_count", "clz"])
@pytest.mark.parametrize("dtype", [_I, np.int8, np.uint8, np.uint32])
def test_bit_counts_like_jax(name: str, dtype: Any) -> None:
    info = np.iinfo(dtype)
    oracle.check(
        getattr(ops, name), getattr(jax.lax, name), np.array([info.min, info.max, 0, 1, 5, 64], dtype)
    )


@pytest.mark.parametrize("name", ["max", "min"])
def test_derivatives_at_ties_like_jax(name: str) -> None:
    x, y = np.array([1, 2, 3, np.nan, 0.0], _F), np.array([1, 3, 2, 1, -0.0], _F)
    for argnums in ((0,), (1,)):
        oracle.check_grad(getattr(ops, name), getattr(jax.lax, name), x, y, argnums=argnums)


def test_derivatives_of_abs_and_sign_like_jax() -> None:
    oracle.check_grad(ops.abs, jax.lax.abs, np.array([0.0, -0.0, 1, -1], _F))
    oracle.check_grad(ops.abs, jax.lax.abs, np.array([0, 3 + 4j, -2j, -1], _C))
    oracle.check(ops.sign, jax.lax.sign, np.array([0, 3 + 4j, -2j, -1], _C))
    oracle.check_grad(
        ops.clamp,
        jax.lax.clamp,
        *(np.array(v, _F) for v in ([0, 0, 0, 0], [-1, 0, 0.5, 1], [1, 1, 1, 1])),
        argnums=(0, 1, 2),
    )


def test_weak_types_and_numbers_like_jax() -> None:
    x = np.array([1, 2], _F)
    for name in ("add", "sub", "mul", "div", "max", "pow"):
        ours, theirs = getattr(ops, name), getattr(jax.lax, name)
        oracle.check(ours, theirs, x, 2.0)
        oracle.check(ours, theirs, 2.0, x)
        oracle.check(ours, theirs, 2.0, 3.0)
        oracle.check(ours, theirs, x, np.array([1, 2], np.float16))
        oracle.check(ours, theirs, x, np.ones(3, _F))
    oracle.check(ops.add, jax.lax.add, np.array([True]), np.array([True]))
    oracle.check(ops.integer_pow, jax.lax.integer_pow, np.array([2], _I), -1)


@given(npst.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3))
def test_any_broadcasting(shapes: Any) -> None:
    x, y = (distinct(s, _F) for s in shapes.input_shapes)
    out = ops.add(x, y)
    assert out.shape == shapes.result_shape
    np.testing.assert_array_equal(np.asarray(out), x + y)


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1))
def test_any_integer_division(a: int, b: int) -> None:
    if b == 0 or (a == -(2**31) and b == -1):
        return
    x, y = wrap(np.array(a, _I)), wrap(np.array(b, _I))
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    assert int(ops.div(x, y)) == quotient
    assert int(ops.rem(x, y)) == a - quotient * b
