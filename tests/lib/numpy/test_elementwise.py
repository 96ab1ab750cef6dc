"""Arithmetic, exponentials, trigonometry, against JAX; derivatives against finite differences."""

from __future__ import annotations

import inspect
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback._src.base.config import enable_x64, engine
from pullback._src.lib.numpy import elementwise
from pullback.test_util import check_grads

from ... import oracle
from ...ops.domains import BFLOAT16, FLOAT16, uniform
from .expressions import check, check_type, parametrize

_INEXACT = [
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sqrt",
    "cbrt",
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arccos",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
    "arcsinh",
    "arctanh",
    "asin",
    "acos",
    "atan",
    "asinh",
    "atanh",
    "sinc",
    "deg2rad",
    "rad2deg",
    "radians",
    "degrees",
    "reciprocal",
    "fabs",
    "angle",
]
_ANY = ["absolute", "abs", "negative", "positive", "sign", "square", "real", "imag", "conj", "conjugate"]
_ABOVE_ONE = ["arccosh", "acosh"]
_UNARY = _INEXACT + _ANY + _ABOVE_ONE
_BINARY = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "true_divide",
    "arctan2",
    "atan2",
    "maximum",
    "minimum",
    "logaddexp",
    "logaddexp2",
    "floor_divide",
    "remainder",
    "mod",
    "fmod",
    "power",
    "pow",
    "float_power",
    "hypot",
    "fmax",
    "fmin",
    "divmod",
]
# Angles of complex numbers near branch cuts differ in rounding; so do quotients of logarithms.
_LOOSE = 32.0

_UNARY_ARGUMENTS = [
    "i",
    "b",
    "u",
    "h",
    "c",
    "z",
    "2",
    "0.5",
    "True",
    "0.5j",
    "np.float64(0.5)",
    "np.int8(1)",
    "f[:0]",
]
_BINARY_ARGUMENTS = [
    "f, f",
    "i, f",
    "i, i",
    "u, u",
    "i, 2",
    "f, 2",
    "f, 2.5",
    "2, f",
    "2.5, i",
    "2, i",
    "i, 2.5",
    "2, 3",
    "2.5, 3",
    "2, 3.5",
    "b, b",
    "b, 1",
    "True, i",
    "b, 1.5",
    "f, True",
    "z, z",
    "z, 2",
    "f, z",
    "f, 1j",
    "i, u",
    "n, 3",
    "n, -3",
    "f, np.float64(2)",
    "i, np.int8(2)",
    "f[:, None], m[:, :1].T",
    "m, f",
    "f, jnp.ones(2)",
    "[1.0], f",
    "f, [1.0]",
    "f, None",
    "'a', f",
    "f",
    "f, f, f",
    "jnp.float16(2), jnp.float32(3)",
    "jnp.bfloat16(2), jnp.float16(3)",
    "jnp.bfloat16(3), 2",
]


@pytest.mark.parametrize("name", _INEXACT + _ANY)
def test_unary_types(name: str) -> None:
    for argument in _UNARY_ARGUMENTS:
        check_type(f"jnp.{name}({argument})")


@pytest.mark.parametrize("name", _BINARY)
def test_binary_types(name: str) -> None:
    for argument in _BINARY_ARGUMENTS:
        # JAX's own composition of these drops the weak type of an integer with a weak float.
        check_type(f"jnp.{name}({argument})", weak=name not in ("hypot", "logaddexp2"))


@parametrize(f"jnp.{name}({argument})" for name in _INEXACT + _ANY for argument in ["h", "z"])
def test_unary(text: str) -> None:
    check(text, units=_LOOSE)


@parametrize(f"jnp.{name}({argument})" for name in _ABOVE_ONE for argument in ["i", "z"])
def test_above_one(text: str) -> None:
    check(text, units=_LOOSE)


@parametrize(f"jnp.{name}({argument})" for name in _BINARY for argument in ["n, 3", "m, f"])
def test_binary(text: str) -> None:
    check(text, units=_LOOSE)


@parametrize(
    [
        "jnp.power(z, 2)",
        "jnp.power(z, z)",
        "jnp.power(f, n[:3])",
        "jnp.power(n, 2)",
        "jnp.power(2, i)",
        "jnp.power(b, 2)",
        "jnp.power(f, 0)",
        "jnp.power(f, -2)",
        "jnp.power(i, jnp.array(2))",
        "jnp.power(i, jnp.array(-1))",
        "jnp.divide(z, z)",
        "jnp.logaddexp(z, z)",
        "jnp.maximum(z, z[::-1])",
        "jnp.floor_divide(n, 0)",
        "jnp.remainder(n, 0)",
        "jnp.floor_divide(b, b)",
        "jnp.divmod(n, -3)",
        "jnp.fmod(n, 3)",
    ]
)
def test_binary_of_other_dtypes(text: str) -> None:
    check(text, units=_LOOSE)


@parametrize(
    f"jnp.{name}({argument})"
    for name in ["tanh", "add", "absolute"]
    for argument in ["x=f", "", "[1.0, 2.0]", "None", "'a'", "object()"]
)
def test_wrong_arguments(text: str) -> None:
    check_type(text)


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16, np.dtype(np.float64), np.dtype(np.complex128)])
@pytest.mark.parametrize("name", ["exp", "tanh", "log2", "sinc", "deg2rad", "reciprocal", "angle"])
def test_unary_dtypes(name: str, dtype: np.dtype[Any]) -> None:
    x = uniform(0.25, 0.9, (4,), dtype)
    oracle.check(getattr(pnp, name), getattr(jnp, name), x, x64=dtype.itemsize > 4, units=_LOOSE)


@pytest.mark.parametrize(
    "name", [n for n in _UNARY if n not in ("sign", "imag", "real", "conj", "conjugate", "angle")]
)
def test_unary_gradients(name: str) -> None:
    low, high = (1.25, 2.0) if name in _ABOVE_ONE else (0.2, 0.8)
    function = getattr(pnp, name)
    with enable_x64(True):
        check_grads(function, (pnp.asarray(uniform(low, high, (3,), np.float64)),), 2)
        if name not in ("cbrt", "fabs"):
            check_grads(function, (pnp.asarray(uniform(low, high, (3,), np.complex128)),), 2)


@pytest.mark.parametrize(
    "name",
    [
        "add",
        "subtract",
        "multiply",
        "divide",
        "arctan2",
        "maximum",
        "logaddexp",
        "logaddexp2",
        "power",
        "hypot",
        "fmax",
    ],
)
def test_binary_gradients(name: str) -> None:
    x, y = uniform(0.5, 2, (2, 3), np.float64), uniform(2.1, 3, (3,), np.float64, 1)
    with enable_x64(True):
        check_grads(getattr(pnp, name), (pnp.asarray(x), pnp.asarray(y)), 2)


@parametrize(
    f"jnp.{name}(s)" for name in [*_INEXACT[:25], "sinc", "reciprocal", "angle", *_ANY[:6], "arccosh"]
)
def test_unary_special_values(text: str) -> None:
    check(text, units=_LOOSE)


@parametrize(f"jnp.{name}(s[:, None], s)" for name in _BINARY if name != "divmod")
def test_binary_special_values(text: str) -> None:
    check(text, units=_LOOSE)


@parametrize(
    [
        "grad(jnp.abs)(0.0)",
        "grad(jnp.abs)(-0.0)",
        "grad(jnp.abs)(jnp.nan)",
        "grad(jnp.abs, holomorphic=False)(0j)",
        "grad(jnp.fabs)(0.0)",
        "grad(jnp.maximum)(1.0, 1.0)",
        "grad(jnp.maximum, argnums=(0, 1))(jnp.nan, 1.0)",
        "grad(jnp.minimum, argnums=1)(2.0, 2.0)",
        "grad(jnp.fmax, argnums=(0, 1))(1.0, 1.0)",
        "grad(jnp.fmax, argnums=(0, 1))(jnp.nan, 1.0)",
        "grad(jnp.fmin, argnums=(0, 1))(1.0, jnp.nan)",
        "grad(jnp.sqrt)(0.0)",
        "grad(jnp.cbrt)(0.0)",
        "grad(jnp.log1p)(-1.0)",
        "grad(jnp.sinc)(0.0)",
        "grad(grad(jnp.sinc))(0.0)",
        "grad(jnp.power)(0.0, 2.0)",
        "grad(jnp.power, argnums=1)(0.0, 2.0)",
        "grad(jnp.power, argnums=1)(0.0, 0.0)",
        "grad(jnp.power, argnums=1)(-1.0, 2.0)",
        "grad(jnp.power)(0.0, 0.5)",
        "grad(lambda x: x**0)(0.0)",
        "grad(lambda x: x**1)(0.0)",
        "grad(lambda x: x**2)(0.0)",
        "grad(lambda x: x**3)(0.0)",
        "grad(lambda x: x**-1)(0.0)",
        "grad(lambda x: 0**x)(0.0)",
        "grad(jnp.logaddexp, argnums=(0, 1))(-jnp.inf, 1.0)",
        "grad(jnp.logaddexp, argnums=(0, 1))(1e10, -1e10)",
        "grad(jnp.logaddexp, argnums=(0, 1))(0.0, 0.0)",
        "grad(jnp.logaddexp, argnums=(0, 1))(jnp.nan, 1.0)",
        "grad(jnp.logaddexp2, argnums=(0, 1))(-jnp.inf, 1.0)",
        "grad(jnp.hypot, argnums=(0, 1))(0.0, 2.0)",
        "grad(jnp.hypot, argnums=(0, 1))(3.0, 3.0)",
        "grad(jnp.arctan2)(0.0, 0.0)",
        "grad(jnp.arctan2, argnums=(0, 1))(1.0, 0.0)",
        "grad(jnp.fmod, argnums=(0, 1))(-5.0, 3.0)",
        "grad(jnp.remainder, argnums=(0, 1))(-5.0, 3.0)",
        "grad(jnp.floor_divide, argnums=(0, 1))(5.0, 3.0)",
        "grad(jnp.sign)(1.0)",
        "grad(lambda x: jnp.sign(x).real)(1 + 1j)",
        "grad(lambda x: jnp.angle(x))(1 + 1j)",
        "grad(lambda x: jnp.real(x))(1 + 1j)",
        "grad(lambda x: jnp.imag(x))(1 + 1j)",
        "grad(jnp.reciprocal)(0.0)",
    ]
)
def test_gradients_at_special_points(text: str) -> None:
    check(
        f"jnp.asarray({text})[None] * jnp.ones(1)", units=_LOOSE
    )  # weak types of gradients are not compared


def test_gradients_that_are_better_defined_than_jax() -> None:
    """Where JAX gives NaN or an artefact, these are limits or the subgradient of smallest norm."""
    grads = pb.grad(pnp.logaddexp, argnums=(0, 1))
    for infinity in (np.inf, -np.inf):
        assert [float(g) for g in grads(infinity, infinity)] == [0.5, 0.5]
    assert [float(g) for g in grads(1.0, np.inf)] == [0.0, 1.0]
    assert [float(g) for g in grads(np.inf, 1.0)] == [1.0, 0.0]
    assert [float(g) for g in pb.grad(pnp.hypot, argnums=(0, 1))(0.0, 0.0)] == [0.0, 0.0]
    assert float(pb.grad(lambda x: x**0.0)(0.0)) == 0.0


def test_logaddexp_second_derivative_at_equal_arguments() -> None:
    hessian = pb.hessian(pnp.logaddexp)(1.0, 1.0)
    np.testing.assert_allclose(float(hessian), 0.25)


@pytest.mark.parametrize("order", range(6))
def test_sinc_derivatives(order: int) -> None:
    """Against the integral of (pi t)^k cos(pi x t + k pi / 2) over t from 0 to 1 (Gauss, 60 points)."""
    t, weights = np.polynomial.legendre.leggauss(60)
    t, weights = (t + 1) / 2, weights / 2
    x = np.concatenate([np.linspace(-4, 4, 33), [1e-3, 1e-8, 0.3183, 0.6]])
    expected = ((np.pi * t) ** order * np.cos(np.pi * np.outer(x, t) + order * np.pi / 2)) @ weights
    function = pnp.sinc
    for _ in range(order):
        function = (
            pb.vmap(pb.grad(function))
            if function is pnp.sinc
            else pb.vmap(pb.grad(lambda v, f=function: f(v[None])[0]))
        )
    with enable_x64(True):
        np.testing.assert_allclose(np.asarray(function(pnp.asarray(x))), expected, rtol=1e-10, atol=1e-9)


@parametrize(
    [
        "u + 300",
        "u * 256",
        "jnp.maximum(u, 300)",
    ]
)
def test_python_integers_out_of_range_raise(text: str) -> None:
    """JAX wraps them around silently."""
    with pytest.raises(OverflowError, match="uint8"):
        eval(text, {"u": pnp.asarray(np.array([1, 2], np.uint8)), "jnp": pnp})


@pytest.mark.parametrize("name", elementwise.__all__)
def test_names_and_signatures(name: str) -> None:
    function = getattr(pnp, name)
    assert function.__name__ == name
    assert function.__doc__
    if name not in (
        "add",
        "subtract",
        "multiply",
        "negative",
        "maximum",
        "minimum",
        "logaddexp",
        "logaddexp2",
    ):
        expected = inspect.signature(getattr(jnp, name)).parameters.values()
        found = inspect.signature(function).parameters.values()
        assert [p.kind for p in found] == [p.kind for p in expected]


@pytest.mark.parametrize("name", [*_UNARY, "logical_not", "floor", "isnan"])
def test_traced_is_eager(name: str) -> None:
    x = pnp.asarray(
        uniform(1.1, 1.9, (4,), np.float32) if name in _ABOVE_ONE else uniform(0.1, 0.9, (4,), np.float32)
    )
    function = getattr(pnp, name)
    eager = function(x)
    with engine("numpy"):
        traced = pb.jit(function)(x)
    np.testing.assert_array_equal(np.asarray(traced), np.asarray(eager))
    traced = pb.jit(function)(x)
    assert traced.aval is eager.aval
    if eager.dtype.kind == "f":  # compiled programs have functions of their own
        np.testing.assert_array_max_ulp(np.asarray(traced), np.asarray(eager), 4)
    else:
        np.testing.assert_array_equal(np.asarray(traced), np.asarray(eager))
    np.testing.assert_array_equal(np.asarray(pb.vmap(function)(x)), np.asarray(eager))
