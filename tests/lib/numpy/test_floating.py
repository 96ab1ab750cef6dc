"""Rounding, limits and parts of floating-point numbers, against JAX."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback._src.base.config import enable_x64
from pullback.test_util import check_grads

from ...ops.domains import BFLOAT16, FLOAT16
from .expressions import check, parametrize


@parametrize(
    [
        "jnp.floor(i)",
        "jnp.floor(b)",
        "jnp.floor(3)",
        "jnp.ceil(i)",
        "jnp.trunc(i)",
        "jnp.trunc(2.5)",
        "jnp.rint(i)",
        "jnp.rint(2.5)",
        "jnp.rint(c)",
        "jnp.round(i)",
        "jnp.round(i,-1)",
        "jnp.round(f,1)",
        "jnp.round(c,1)",
        "jnp.round(2.567,2)",
        "jnp.round(b)",
        "jnp.round(True)",
        "jnp.signbit(i)",
        "jnp.signbit(f)",
        "jnp.signbit(b)",
        "jnp.signbit(c)",
        "jnp.copysign(i,-1)",
        "jnp.copysign(f,-1)",
        "jnp.copysign(c,-1)",
        "jnp.heaviside(i,2)",
        "jnp.heaviside(c,c)",
        "jnp.nan_to_num(i)",
        "jnp.nan_to_num(jnp.inf)",
        "jnp.nan_to_num(c)",
        "jnp.ldexp(f,i)",
        "jnp.ldexp(1,2)",
        "jnp.ldexp(1.,2)",
        "jnp.ldexp(f,f)",
        "jnp.ldexp(i,i)",
        "jnp.frexp(f)",
        "jnp.frexp(3)",
        "jnp.modf(f)",
        "jnp.modf(-2.5)",
        "jnp.modf(i)",
        "jnp.modf(jnp.array([jnp.inf,-0.,-jnp.inf,jnp.nan]))",
        "jnp.nextafter(1,2)",
        "jnp.nextafter(1.,2)",
        "jnp.spacing(1.)",
        "jnp.spacing(f)",
        "jnp.spacing(i)",
        "jnp.spacing(c)",
        "jnp.spacing(jnp.array([-1.,0.,jnp.inf,jnp.nan]))",
        "jnp.i0(f)",
        "jnp.i0(i)",
        "jnp.i0(c)",
        "jnp.clip(f,1,2)",
        "jnp.clip(f,min=2)",
        "jnp.clip(f,max=2)",
        "jnp.clip(f)",
        "jnp.clip(f,None,2)",
        "jnp.clip(i,1.5,2.5)",
        "jnp.clip(arr=f,max=2)",
        "jnp.clip(c,1,2)",
        "jnp.clip(f,1j)",
        "jnp.clip(b,0,1)",
        "jnp.clip(3,1,2)",
        "jnp.clip(f,3,1)",
        "jnp.clip(u,1,2)",
        "jnp.clip(f,jnp.nan,2)",
        "jnp.clip()",
        "jnp.clip([1],0)",
        "jnp.clip(x=f,min=0)",
        "jnp.floor(s)",
        "jnp.ceil(s)",
        "jnp.trunc(s)",
        "jnp.rint(s)",
        "jnp.signbit(s)",
        "jnp.nan_to_num(s)",
        "jnp.spacing(s)",
        "jnp.modf(s)",
        "jnp.i0(s)",
        "jnp.copysign(s[:, None], s)",
        "jnp.heaviside(s[:, None], s)",
        "jnp.nextafter(s[:, None], s)",
        "jnp.round(s * 1.37, 1)",
        "jnp.round(f * 123.456, -1)",
        "jnp.round((f * 1.26).astype(jnp.float16), 2)",
        "jnp.round((f * 1.26).astype(jnp.bfloat16), 1)",
        "jnp.round(jnp.array([0.5, 1.5, 2.5, -0.5]))",
        "jnp.around(f * 0.37, decimals=2)",
        "jnp.nan_to_num(s, nan=1, posinf=2, neginf=3)",
        "jnp.nan_to_num(s.astype(jnp.float16))",
        "jnp.nan_to_num(s + 1j * s)",
        "jnp.ldexp(s, 3)",
        "jnp.ldexp(f, jnp.array([100, -100, 120]))",
        "jnp.ldexp(f, jnp.array([-1, 1, 300]))",
        "jnp.frexp(s)",
        "jnp.frexp(f.astype(jnp.float16))",
        "jnp.clip(s, -1, 1)",
        "jnp.clip(n, -2, 5)",
        "jnp.clip(f, f[::-1], 2.5)",
        "jnp.clip(u, 2)",
        "jnp.clip(i, max=jnp.array([1, 5, 2]))",
        "jnp.spacing(f.astype(jnp.float16))",
        "jnp.heaviside(f - 2, 0.5)",
        "jnp.signbit(n)",
        "jnp.signbit(f.astype(jnp.bfloat16) - 2)",
        "jnp.fmax(s[:, None], s)",
    ]
)
def test_floating(text: str) -> None:
    check(text)


@parametrize(
    [
        "grad(jnp.clip)(1.0, 1.0, 2.0)",
        "grad(jnp.clip)(2.0, 1.0, 2.0)",
        "grad(jnp.clip)(1.5, 1.0, 2.0)",
        "grad(jnp.clip, argnums=(1, 2))(1.0, 1.0, 2.0)",
        "grad(jnp.clip, argnums=(1, 2))(3.0, 1.0, 2.0)",
        "grad(jnp.nan_to_num)(jnp.inf)",
        "grad(jnp.nan_to_num)(jnp.nan)",
        "grad(jnp.nan_to_num)(1.0)",
        "grad(jnp.heaviside, argnums=(0, 1))(0.0, 2.0)",
        "grad(jnp.copysign, argnums=(0, 1))(2.0, -1.0)",
        "grad(jnp.copysign)(0.0, -1.0)",
        "grad(lambda x: jnp.ldexp(x, 3))(2.0)",
        "grad(lambda x: jnp.frexp(x)[0])(2.0)",
        "grad(lambda x: jnp.modf(x)[0])(2.5)",
        "grad(lambda x: jnp.modf(x)[1])(2.5)",
        "grad(jnp.i0)(0.0)",
        "grad(jnp.i0)(1.0)",
        "grad(jnp.rint)(1.0)",
        "grad(jnp.round)(1.5)",
        "grad(jnp.trunc)(1.5)",
    ]
)
def test_gradients_at_special_points(text: str) -> None:
    check(f"jnp.asarray({text})[None] * jnp.ones(1)")  # weak types of gradients are not compared


@pytest.mark.parametrize(
    "function",
    [
        lambda x: pnp.clip(x, -0.6, 0.6),
        pnp.nan_to_num,
        lambda x: pnp.copysign(x, -x * x),
        lambda x: pnp.ldexp(x, pnp.array([3, -2, 0, 1])),
        lambda x: pnp.frexp(x)[0],
        lambda x: pnp.modf(x)[0],
        lambda x: pnp.heaviside(x, x),
        pnp.i0,
    ],
)
def test_gradients(function: Any) -> None:
    with enable_x64(True):
        check_grads(function, (pnp.array([-0.9, -0.3, 0.4, 0.8]),), 2)


@pytest.mark.parametrize("dtype", [np.dtype(np.float32), np.dtype(np.float64), FLOAT16, BFLOAT16])
def test_frexp_and_ldexp_are_inverse(dtype: np.dtype[Any]) -> None:
    """For all magnitudes, subnormal ones (which JAX flushes to zero) included."""
    info = pnp.finfo(dtype)
    with enable_x64(True):
        values = [info.max, info.smallest_normal, info.smallest_subnormal, 1.0, -3.5, 0.0]
        x = pnp.asarray(np.array([float(v) for v in values]).astype(dtype))
        m, n = pnp.frexp(x)
        assert m.dtype == dtype and n.dtype == np.int32
        size = np.abs(np.asarray(m).astype(np.float64))
        assert np.all((size >= 0.5) & (size < 1) | (size == 0))
        np.testing.assert_array_equal(np.asarray(pnp.ldexp(m, n)), np.asarray(x))


def test_frexp_against_math() -> None:
    for value in (1e-40, 5e-324, 1.0, -2.5, 1e300):
        with enable_x64(True):
            m, n = pnp.frexp(pnp.array(value))
            assert (float(m), int(n)) == math.frexp(value)


def test_older_spellings_of_clip() -> None:
    x = pnp.arange(4.0)
    for clipped in (pnp.clip(x, a_min=1, a_max=2), pnp.clip(a=x, a_min=1, a_max=2), x.clip(1, 2)):
        np.testing.assert_array_equal(np.asarray(clipped), [1, 1, 2, 2])
    np.testing.assert_array_equal(np.asarray(pnp.fix(pnp.array([-1.5, 1.5]))), [-1, 1])


def test_clip_bounds_beyond_the_dtype_limit_nothing() -> None:
    x = pnp.array([0, 7, 255], np.uint8)
    clipped = pnp.clip(x, -5, 300)
    assert clipped.dtype == np.uint8
    np.testing.assert_array_equal(np.asarray(clipped), np.asarray(x))


def test_spacing_has_derivative_zero() -> None:
    assert float(pb.grad(pnp.spacing)(1.5)) == 0.0


def test_out_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="immutable"):
        pnp.round(1.5, out=pnp.zeros(()))


def test_rounding_methods_of_python() -> None:
    x = pnp.array(2.75)
    assert (round(x).dtype, float(round(x))) == (np.int32, 3.0)
    assert float(round(x, 1)) == pytest.approx(2.8)
    assert (float(math.floor(x)), float(math.ceil(x)), float(math.trunc(x))) == (2.0, 3.0, 2.0)
