"""`nn`, against JAX in value, type and derivative; initializers number by number."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import pullback as pb
from pullback import nn
from pullback._src.base.config import threefry_partitionable
from pullback.nn import initializers

from .. import oracle

pytestmark = pytest.mark.usefixtures("together")

_RNG = np.random.default_rng(0)
_POINTS = np.float32([-7, -2.5, -1, -0.3, 0, 0.4, 1, 3, 6, 8])
_ACTIVATIONS = [
    "celu", "elu", "gelu", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "identity", "leaky_relu",
    "log_sigmoid", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_sign", "softplus", "sparse_plus",
    "sparse_sigmoid", "squareplus", "swish", "tanh",
]  # fmt: skip


@pytest.mark.parametrize("name", _ACTIVATIONS)
def test_activations(name: str) -> None:
    ours, theirs = getattr(nn, name), getattr(jax.nn, name)
    oracle.check(ours, theirs, _POINTS, units=16)
    oracle.check(ours, theirs, 0.5, units=16)
    oracle.check(ours, theirs, _POINTS.astype(np.float16), units=16)
    # Kinks included: there JAX's choice is the specification.
    oracle.check_grad(ours, theirs, _POINTS)
    with_vmap = pb.vmap(pb.grad(ours))(_POINTS)
    np.testing.assert_allclose(
        np.asarray(with_vmap), jax.vmap(jax.grad(theirs))(_POINTS), rtol=1e-5, atol=1e-6
    )
    # 1 + tanh cancels in some of them: units of 1 are what can be asked for.
    np.testing.assert_allclose(
        np.asarray(pb.jit(ours)(_POINTS)), np.asarray(ours(_POINTS)), rtol=1e-6, atol=2 * np.finfo("f").eps
    )


@pytest.mark.parametrize(
    "name", [n for n in _ACTIVATIONS if n not in ("hard_tanh", "gelu", "relu", "identity")]
)
def test_activations_of_extreme_values(name: str) -> None:
    x = np.float32([-np.inf, -1e30, 1e30, np.inf, np.nan])
    with np.errstate(all="ignore"):
        oracle.check(getattr(nn, name), getattr(jax.nn, name), x)


def test_second_derivatives() -> None:
    x = np.linspace(-2.9, 2.9, 8)
    for name in ("gelu", "mish", "silu", "softplus", "selu", "squareplus"):
        pb.test_util.check_grads(getattr(nn, name), (np.float32(x),), order=2, rtol=5e-2, atol=5e-2)


def test_options() -> None:
    oracle.check(nn.gelu, jax.nn.gelu, _POINTS, approximate=False, units=16)
    oracle.check(nn.leaky_relu, jax.nn.leaky_relu, _POINTS, negative_slope=0.2)
    oracle.check(nn.elu, jax.nn.elu, _POINTS, alpha=0.3)
    oracle.check(nn.celu, jax.nn.celu, _POINTS, alpha=0.3)
    oracle.check(nn.squareplus, jax.nn.squareplus, _POINTS, b=1.0)
    x = np.float32([0.01, 0.5, np.log(2), 1, 30])
    oracle.check(nn.log1mexp, jax.nn.log1mexp, x, units=16)
    oracle.check_grad(nn.log1mexp, jax.nn.log1mexp, x)


@pytest.mark.parametrize(
    "name", ["relu", "relu6", "leaky_relu", "elu", "celu", "selu", "hard_tanh", "hard_sigmoid"]
)
def test_derivatives_at_zero_infinity_and_nan_are_those_of_jax(name: str) -> None:
    points = np.float32([np.nan, -np.inf, np.inf, -0.0, 0.0, 6.0])
    ours = pb.vmap(pb.grad(getattr(nn, name)))(points)
    np.testing.assert_allclose(ours, jax.vmap(jax.grad(getattr(jax.nn, name)))(points), rtol=1e-6)
    one_by_one = [float(pb.jvp(getattr(nn, name), (x,), (np.float32(1),))[1]) for x in points]
    np.testing.assert_allclose(one_by_one, ours, rtol=1e-6)


def test_relu_has_derivative_zero_at_zero() -> None:
    assert float(pb.grad(nn.relu)(0.0)) == 0.0
    assert np.isnan(float(nn.relu(np.float32(np.nan))))


@pytest.mark.parametrize("axis", [0, -1])
def test_glu(axis: int) -> None:
    x = _RNG.normal(size=(4, 6)).astype(np.float32)
    oracle.check(nn.glu, jax.nn.glu, x, axis=axis)
    oracle.check_grad(nn.glu, jax.nn.glu, x, axis=axis)
    with pytest.raises(ValueError, match="divisible by 2"):
        nn.glu(x[:3, :3], axis)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp", "logmeanexp", "standardize"])
@pytest.mark.parametrize("axis", [0, -1, (0, 1)])
@pytest.mark.parametrize("masked", [False, True])
def test_along_axes(name: str, axis: Any, masked: bool) -> None:
    x = _RNG.normal(size=(3, 4)).astype(np.float32)
    where = (
        {"where": np.array([[True, False, True, True], [True] * 4, [True, True, False, True]])}
        if masked
        else {}
    )
    oracle.check(getattr(nn, name), getattr(jax.nn, name), x, axis=axis, **where, units=16)
    if not (masked and name == "log_softmax"):
        oracle.check_grad(getattr(nn, name), getattr(jax.nn, name), x, axis=axis, **where)


def test_softmax_of_large_numbers() -> None:
    x = np.float32([1e4, 1e4, -1e4])
    np.testing.assert_allclose(np.asarray(nn.softmax(x)), [0.5, 0.5, 0])
    assert np.isfinite(np.asarray(nn.log_softmax(x))).all()


def test_standardize_by_two_passes() -> None:
    x = (1e4 + _RNG.normal(size=(3, 50))).astype(np.float32)
    exact = (x.astype(np.float64) - x.astype(np.float64).mean(-1, keepdims=True)) / x.astype(np.float64).std(
        -1, keepdims=True
    )
    out = np.asarray(nn.standardize(x, algorithm="two_pass"))
    np.testing.assert_allclose(out, exact, atol=2e-3)
    with pytest.raises(ValueError, match="two_pass"):
        nn.standardize(x, algorithm="three_pass")


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_one_hot(axis: int) -> None:
    x = np.array([[0, 1, 4], [-1, 2, 3]], np.int32)
    oracle.check(nn.one_hot, jax.nn.one_hot, x, 4, axis=axis)
    oracle.check(nn.one_hot, jax.nn.one_hot, x, 4, dtype=np.int32, axis=axis)


def test_one_hot_over_a_mapped_axis() -> None:
    function = lambda lib: lambda i: lib.nn.one_hot(i, 4, axis="classes")
    ours = pb.vmap(function(pb), in_axes=None, axis_name="classes", axis_size=4)(2)
    np.testing.assert_array_equal(np.asarray(ours), [0, 0, 1, 0])


_ATTENTION: list[dict[str, Any]] = [
    {},
    {"is_causal": True},
    {"scale": 0.3},
    {"local_window_size": (1, 2)},
    {"local_window_size": 1},
    {"query_seq_lengths": np.int32([3, 5]), "key_value_seq_lengths": np.int32([2, 6])},
    {"bias": _RNG.normal(size=(2, 4, 5, 6)).astype(np.float32)},
    {"mask": _RNG.normal(size=(1, 1, 5, 6)) > -1},
]


@pytest.mark.parametrize("options", _ATTENTION, ids=lambda o: "-".join(o) or "plain")
def test_attention(options: dict[str, Any]) -> None:
    q = _RNG.normal(size=(2, 5, 4, 8)).astype(np.float32)
    k, v = _RNG.normal(size=(2, 2, 6, 2, 8)).astype(np.float32)
    oracle.check(nn.dot_product_attention, jax.nn.dot_product_attention, q, k, v, **options, units=32)
    ours = pb.grad(lambda *a: nn.dot_product_attention(*a, **options).sum(), (0, 1, 2))(q, k, v)
    theirs = jax.grad(lambda *a: jax.nn.dot_product_attention(*a, **options).sum(), (0, 1, 2))(q, k, v)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(np.asarray(a), b, rtol=1e-4, atol=1e-5)


def test_attention_without_batch_and_its_residual() -> None:
    q, k, v = _RNG.normal(size=(3, 5, 4, 8)).astype(np.float32)
    oracle.check(nn.dot_product_attention, jax.nn.dot_product_attention, q, k, v, units=32)
    options: dict[str, Any] = {"return_residual": True}
    oracle.check(nn.dot_product_attention, jax.nn.dot_product_attention, q, k, v, **options, units=32)
    with pytest.raises(ValueError, match="multiple of groups"):
        nn.dot_product_attention(q, k[:, :3], v[:, :3])


_INITIALIZERS: list[tuple[str, tuple[Any, ...]]] = [
    ("normal", ()), ("uniform", ()), ("truncated_normal", ()), ("truncated_normal", (0.1, None, -1.0, 3.0)),
    ("lecun_normal", ()), ("lecun_uniform", ()), ("glorot_normal", ()), ("glorot_uniform", ()),
    ("he_normal", ()), ("he_uniform", ()), ("orthogonal", ()), ("orthogonal", (2.0, 0)), ("constant", (3.0,)),
    ("variance_scaling", (2.0, "fan_geo_avg", "uniform")), ("variance_scaling", (2.0, "fan_out", "normal")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args"), _INITIALIZERS, ids=lambda v: str(v)[:30])
@pytest.mark.parametrize("shape", [(4, 6), (3, 3, 4, 5)])
def test_initializers(name: str, args: tuple[Any, ...], shape: tuple[int, ...]) -> None:
    with threefry_partitionable(False), jax.threefry_partitionable(False):
        ours = getattr(initializers, name)(*args)(pb.random.key(3), shape)
        theirs = getattr(jax.nn.initializers, name)(*args)(jax.random.key(3), shape)
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("distribution", ["normal", "uniform", "truncated_normal"])
def test_complex_initializers(distribution: str) -> None:
    with threefry_partitionable(False), jax.threefry_partitionable(False):
        ours = initializers.variance_scaling(1.0, "fan_in", distribution)(
            pb.random.key(3), (5, 6), np.complex64
        )
        theirs = jax.nn.initializers.variance_scaling(1.0, "fan_in", distribution)(
            jax.random.key(3), (5, 6), np.complex64
        )
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-5, atol=1e-6)


def test_delta_orthogonal() -> None:
    with threefry_partitionable(False), jax.threefry_partitionable(False):
        ours = initializers.delta_orthogonal()(pb.random.key(3), (3, 3, 2, 4))
        theirs = jax.nn.initializers.delta_orthogonal()(jax.random.key(3), (3, 3, 2, 4))
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), atol=2e-6)


def test_plain_initializers() -> None:
    key = pb.random.key(0)
    np.testing.assert_array_equal(np.asarray(initializers.zeros(key, (2, 3))), np.zeros((2, 3), np.float32))
    np.testing.assert_array_equal(np.asarray(initializers.ones(key, (2,), np.int32)), np.ones(2, np.int32))
    with pytest.raises(ValueError, match="at least two dimensions"):
        initializers.he_normal()(key, (3,))
    with pytest.raises(ValueError, match="invalid mode"):
        initializers.variance_scaling(1.0, "fan", "normal")(key, (3, 3))
    with pytest.raises(ValueError, match="invalid distribution"):
        initializers.variance_scaling(1.0, "fan_in", "cauchy")(key, (3, 3))


def test_complex_activations_are_the_same_when_compiled() -> None:
    z = np.array([1 + 1j, 2 - 1j], np.complex64)
    for function in (nn.softmax, nn.log_softmax, nn.soft_sign):
        assert np.allclose(pb.jit(function)(z), function(z), rtol=1e-6)
