"""`random`, number by number against JAX in both layouts, and its errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest
import scipy.stats

import pullback as pb
from pullback import random
from pullback._src.base.config import enable_x64, threefry_partitionable

from .. import oracle


@pytest.fixture(params=[False, True], ids=["historical", "partitionable"], autouse=True)
def layout(request: pytest.FixtureRequest) -> Iterator[bool]:
    with threefry_partitionable(request.param), jax.threefry_partitionable(request.param):
        yield request.param


_SHAPE = (300,)
_MATRIX = np.arange(20, dtype=np.float32).reshape(4, 5)
_MEAN = np.float32([1, 2])
_COVARIANCE = np.float32([[2, 0.5], [0.5, 1]])
_P = np.arange(1, 11, dtype=np.float32) / 55

# Bits, and what comes from them by integer operations and comparisons: equal in every bit.
_EXACT: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("bits", (_SHAPE,), {}),
    ("uniform", (_SHAPE,), {}),
    ("uniform", (_SHAPE, "bfloat16"), {}),
    ("uniform", (_SHAPE, "float16"), {}),
    ("uniform", ((),), {"minval": -1.0, "maxval": 1.0}),
    ("randint", (_SHAPE, 0, 10), {}),
    ("randint", (_SHAPE, -5, 1 << 30), {}),
    ("randint", (_SHAPE, -(2**31), 2**31 - 1), {}),
    ("randint", (_SHAPE, 5, 2), {}),
    ("randint", (_SHAPE, 0, 300, "uint8"), {}),
    ("randint", (_SHAPE, -3, 300, "int8"), {}),
    ("randint", (_SHAPE, -3, 20, "int16"), {}),
    ("randint", (_SHAPE, 0, 2**31 - 1, "uint32"), {}),
    ("randint", (_SHAPE, np.int32(3), np.int32(9)), {}),
    ("randint", ((10,), np.arange(10), np.arange(10)[::-1].copy()), {}),
    ("bernoulli", (0.3, _SHAPE), {}),
    ("bernoulli", (0.3, _SHAPE, "high"), {}),
    ("bernoulli", (np.float32([0.1, 0.9]),), {}),
    ("rademacher", (_SHAPE,), {}),
    ("rademacher", (_SHAPE, "float32"), {}),
    ("geometric", (0.3, _SHAPE), {}),
    ("permutation", (100,), {}),
    ("permutation", (_MATRIX,), {}),
    ("permutation", (_MATRIX, 1), {}),
    ("permutation", (_MATRIX, 1, True), {}),
    ("permutation", (3000,), {}),
    ("choice", (10, _SHAPE), {}),
    ("choice", (200, (10, 20)), {"replace": False}),
    ("choice", (10, _SHAPE), {"p": _P}),
    ("choice", (10, (5,)), {"p": _P, "replace": False}),
    ("choice", (_MATRIX, (3, 2)), {"axis": 1}),
    ("choice", (_MATRIX, (3,)), {"axis": 1, "replace": False}),
    ("choice", (_MATRIX, ()), {"p": np.float32([0.1, 0.2, 0.3, 0.4])}),
    ("choice", (5, (0,)), {}),
    ("categorical", (np.log(np.float32([0.1, 0.2, 0.7])),), {"shape": _SHAPE}),
    ("categorical", (np.zeros((3, 4), np.float32),), {}),
    ("categorical", (np.zeros((3, 4), np.float32), 0), {"shape": (5, 4)}),
    ("categorical", (np.zeros((3, 4), np.float32),), {"shape": (2, 3), "replace": False}),
    ("poisson", (2.0, _SHAPE), {}),
    ("poisson", (20.0, _SHAPE), {}),
    ("poisson", (np.float32([0, 2, 30, 1000]),), {}),
    ("binomial", (10.0, 0.3, _SHAPE), {}),
    ("binomial", (np.float32([-1, np.nan, np.inf, 5, 100]), np.float32([0.3, 0.3, 0.3, -0.1, 0.5])), {}),
    ("multinomial", (20.0, np.float32([0.2, 0.3, 0.5])), {}),
]  # fmt: skip

# Transforms by elementary functions: equal up to their rounding.
_CLOSE: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("uniform", (_SHAPE,), {"minval": -0.3, "maxval": 2.7}),
    ("normal", (_SHAPE,), {}),
    ("normal", (_SHAPE, "float16"), {}),
    ("normal", (_SHAPE, "complex64"), {}),
    ("truncated_normal", (-1.0, 2.0, _SHAPE), {}),
    ("exponential", (_SHAPE,), {}),
    ("gumbel", (_SHAPE,), {}),
    ("gumbel", (_SHAPE,), {"mode": "high"}),
    ("laplace", (_SHAPE,), {}),
    ("logistic", (_SHAPE,), {}),
    ("cauchy", (_SHAPE,), {}),
    ("maxwell", (_SHAPE,), {}),
    ("double_sided_maxwell", (1.0, 2.0, _SHAPE), {}),
    ("lognormal", (0.5, _SHAPE), {}),
    ("pareto", (2.0, _SHAPE), {}),
    ("weibull_min", (2.0, 3.0, _SHAPE), {}),
    ("rayleigh", (2.0, _SHAPE), {}),
    ("wald", (0.3, _SHAPE), {}),
    ("triangular", (0.0, 0.3, 1.0, _SHAPE), {}),
    ("gamma", (2.0, _SHAPE), {}),
    ("gamma", (np.float32([0.1, 1, 20]),), {}),
    ("loggamma", (0.01, _SHAPE), {}),
    ("beta", (0.5, 2.0, _SHAPE), {}),
    ("chisquare", (3.0, _SHAPE), {}),
    ("dirichlet", (np.float32([0.3, 1, 5]), (40,)), {}),
    ("f", (3.0, 4.0, _SHAPE), {}),
    ("t", (3.0, _SHAPE), {}),
    ("generalized_normal", (3.0, _SHAPE), {}),
    ("ball", (3, 2, (40,)), {}),
    ("multivariate_normal", (np.float32([1, 2]), np.float32([[2, 0.5], [0.5, 1]]), (50,)), {}),
    (
        "multivariate_normal",
        (np.float32([1, 2]), np.float32([[2, 0.5], [0.5, 1]]), (50,)),
        {"method": "eigh"},
    ),
    (
        "multivariate_normal",
        (np.zeros((3, 2), np.float32), np.tile(np.eye(2, dtype=np.float32), (3, 1, 1))),
        {},
    ),
    ("orthogonal", (5,), {}),
    ("orthogonal", (3,), {"m": 5}),
    ("orthogonal", (3, (2,)), {"m": 2}),
]


def _both(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, Any]:
    ours = getattr(random, name)(random.key(7), *args, **options)
    function = getattr(jax.random, name)
    theirs = oracle.quickly(lambda key: function(key, *args, **options), jax.random.key(7))
    assert (ours.dtype, ours.shape, ours.weak_type) == (theirs.dtype, theirs.shape, theirs.weak_type)
    return np.asarray(ours), np.asarray(theirs)


# The layout changes the bits only, so a few functions are enough for the second one.
_IN_BOTH = {"bits", "uniform", "normal", "randint", "permutation", "gamma", "categorical"}


def _in_layouts(cases: list[tuple[str, tuple[Any, ...], dict[str, Any]]]) -> list[Any]:
    return [
        pytest.param(layout, *case, id=f"{case[0]}{i}-{'partitionable' if layout else 'historical'}")
        for layout in (False, True)
        for i, case in enumerate(cases)
        if not layout or case[0] in _IN_BOTH
    ]


_HISTORICAL = pytest.mark.parametrize("layout", [False], indirect=True)


@pytest.mark.parametrize(("layout", "name", "args", "options"), _in_layouts(_EXACT), indirect=["layout"])
def test_equal_numbers(layout: bool, name: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
    ours, theirs = _both(name, args, options)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("layout", "name", "args", "options"), _in_layouts(_CLOSE), indirect=["layout"])
def test_numbers_equal_up_to_rounding(
    layout: bool, name: str, args: tuple[Any, ...], options: dict[str, Any]
) -> None:
    ours, theirs = _both(name, args, options)
    if ours.dtype == np.float16:
        ours, theirs = ours.astype(np.float32), theirs.astype(np.float32)
    np.testing.assert_allclose(ours, theirs, rtol=5e-6, atol=2e-6)


def test_normal_numbers_are_within_two_units_in_the_last_place() -> None:
    ours, theirs = _both("normal", ((20_000,),), {})
    distance = np.abs(ours.view(np.int32).astype(np.int64) - theirs.view(np.int32))
    assert distance.max() <= 3
    assert (distance == 0).mean() > 0.9


@_HISTORICAL
@pytest.mark.parametrize("name", ["uniform", "normal", "exponential", "gumbel", "gamma", "randint"])
def test_64_bit_numbers(name: str) -> None:
    args: tuple[Any, ...] = {"gamma": (2.0, _SHAPE), "randint": (_SHAPE, 0, 10**15)}.get(name, (_SHAPE,))
    with enable_x64(True), jax.enable_x64(True):
        ours, theirs = _both(name, args, {})
    if name in ("uniform", "randint"):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("raw", [False, True])
def test_both_forms_of_keys(raw: bool) -> None:
    make, reference = (random.PRNGKey, jax.random.PRNGKey) if raw else (random.key, jax.random.key)
    ours, theirs = make(3), reference(3)
    words = lambda k, data: np.asarray(k if raw else data(k))
    for name, args in (
        ("split", ()),
        ("split", (5,)),
        ("split", ((2, 3),)),
        ("fold_in", (9,)),
        ("clone", ()),
    ):
        a, b = getattr(random, name)(ours, *args), getattr(jax.random, name)(theirs, *args)
        assert a.shape == b.shape
        np.testing.assert_array_equal(words(a, random.key_data), words(b, jax.random.key_data))
    np.testing.assert_array_equal(np.asarray(random.uniform(ours, (3,))), jax.random.uniform(theirs, (3,)))
    assert random.key_impl(ours) == jax.random.key_impl(theirs)


@_HISTORICAL
def test_key_data_and_back() -> None:
    keys = random.split(random.key(0), 3)
    data = random.key_data(keys)
    again = random.wrap_key_data(data)
    assert again.dtype == keys.dtype == random.key_dtype()
    np.testing.assert_array_equal(np.asarray(random.key_data(again)), np.asarray(data))
    assert pb.numpy.issubdtype(keys.dtype, pb.dtypes.prng_key)


@_HISTORICAL
@pytest.mark.parametrize("seed", [0, -1, 2**31, 2**40, True])
def test_seeds(seed: int) -> None:
    ours, theirs = random.key_data(random.key(seed)), jax.random.key_data(jax.random.key(seed))
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


@_HISTORICAL
def test_the_documents_weights() -> None:
    with threefry_partitionable(False):
        _, weight_key, bias_key = random.split(random.key(0), 3)
        weights, bias = random.normal(weight_key, (3,)), random.normal(bias_key, ())
    with jax.threefry_partitionable(False):
        _, weight_key, bias_key = jax.random.split(jax.random.key(0), 3)
        np.testing.assert_allclose(np.asarray(weights), jax.random.normal(weight_key, (3,)), rtol=2e-7)
        np.testing.assert_allclose(float(bias), float(jax.random.normal(bias_key, ())), rtol=2e-7)


def test_keys_iterate_index_and_unpack() -> None:
    first, second = random.split(random.key(1))
    assert first.shape == second.shape == ()
    keys = random.split(random.key(1), 4)
    np.testing.assert_array_equal(
        np.asarray(random.key_data(keys[1:3])), np.asarray(random.key_data(keys))[1:3]
    )


# Transformations ----------------------------------------------------------------------------------

_DRAWS: list[Any] = [
    lambda k: random.uniform(k, (3,)),
    lambda k: random.normal(k, (3,)),
    lambda k: random.randint(k, (3,), 0, 100),
    lambda k: random.permutation(k, 6),
    lambda k: random.choice(k, 10, (4,), replace=False),
    lambda k: random.categorical(k, np.zeros(5, np.float32)),
    lambda k: random.gamma(k, 2.0, (3,)),
    lambda k: random.poisson(k, 5.0, (3,)),
    lambda k: random.binomial(k, 20.0, 0.3, (3,)),
    lambda k: random.dirichlet(k, np.ones(3, np.float32)),
    lambda k: random.multivariate_normal(k, np.zeros(2, np.float32), np.eye(2, dtype=np.float32)),
]


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("draw", _DRAWS)
def test_vmap_and_jit_give_the_same_numbers(draw: Any, raw: bool) -> None:
    keys = random.split((random.PRNGKey if raw else random.key)(2), 3)
    each = np.stack([np.asarray(draw(keys[i])) for i in range(3)])
    np.testing.assert_allclose(np.asarray(pb.vmap(draw)(keys)), each, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(pb.jit(pb.vmap(draw))(keys)), each, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(pb.jit(draw)(keys[1])), each[1], rtol=1e-6)


@_HISTORICAL
@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("uniform", (0.5, 2.0)), ("truncated_normal", (-0.5, 1.5)), ("gamma", (2.5,)), ("loggamma", (0.4,)),
        ("beta", (0.7, 2.0)), ("t", (3.0,)), ("pareto", (2.0,)), ("rayleigh", (2.0,)), ("lognormal", (0.3,)),
        ("wald", (1.3,)), ("chisquare", (3.0,)),
    ],
)  # fmt: skip
def test_gradients_by_parameters(name: str, args: tuple[float, ...]) -> None:
    def total(module: Any, key: Any) -> Any:
        def f(*parameters: Any) -> Any:
            if name == "uniform":
                return module.uniform(key, (5,), minval=parameters[0], maxval=parameters[1]).sum()
            return getattr(module, name)(key, *parameters, shape=(5,)).sum()

        return f

    positions = tuple(range(len(args)))
    ours = pb.grad(total(random, random.key(3)), positions)(*args)
    theirs = jax.grad(total(jax.random, jax.random.key(3)), positions)(*args)
    np.testing.assert_allclose([float(g) for g in ours], [float(g) for g in theirs], rtol=1e-4)


def test_draws_depend_on_a_traced_seed_and_data() -> None:
    seeded = pb.jit(lambda s, d: random.uniform(random.fold_in(random.key(s), d), (2,)))
    direct = random.uniform(random.fold_in(random.key(3), 4), (2,))
    np.testing.assert_array_equal(np.asarray(seeded(3, 4)), np.asarray(direct))


# Distributions ------------------------------------------------------------------------------------


@_HISTORICAL
@pytest.mark.parametrize(
    ("draw", "cdf"),
    [
        (random.normal, scipy.stats.norm.cdf),
        (lambda k, s: random.gamma(k, 0.3, s), scipy.stats.gamma(0.3).cdf),
        (lambda k, s: random.beta(k, 0.5, 3.0, s), scipy.stats.beta(0.5, 3).cdf),
        (lambda k, s: random.t(k, 4.0, s), scipy.stats.t(4).cdf),
        (lambda k, s: random.wald(k, 0.7, s), lambda x: scipy.stats.invgauss(0.7).cdf(x)),
        (lambda k, s: random.generalized_normal(k, 3.0, s), scipy.stats.gennorm(3).cdf),
        (lambda k, s: random.triangular(k, 0.0, 0.2, 1.0, s), scipy.stats.triang(0.2).cdf),
    ],
)
def test_distributions(draw: Any, cdf: Any) -> None:
    samples = np.asarray(draw(random.key(11), (4000,)), np.float64)
    assert scipy.stats.kstest(samples, cdf).pvalue > 1e-3


@_HISTORICAL
def test_distributions_of_counts() -> None:
    key, n = random.key(12), 4000
    for samples, mean, variance in (
        (random.poisson(key, 3.5, (n,)), 3.5, 3.5),
        (random.poisson(key, 60.0, (n,)), 60.0, 60.0),
        (random.binomial(key, 12.0, 0.4, (n,)), 4.8, 2.88),
        (random.binomial(key, 300.0, 0.6, (n,)), 180.0, 72.0),
        (random.geometric(key, 0.25, (n,)), 4.0, 12.0),
    ):
        values = np.asarray(samples, np.float64)
        assert abs(values.mean() - mean) < 5 * np.sqrt(variance / n)
        assert abs(values.var() / variance - 1) < 0.2


@_HISTORICAL
def test_points_in_the_ball_and_orthogonal_matrices() -> None:
    points = np.asarray(random.ball(random.key(0), 3, shape=(500,)))
    radii = np.linalg.norm(points, axis=-1)
    assert radii.max() <= 1
    assert scipy.stats.kstest(radii**3, "uniform").pvalue > 1e-3
    q = np.asarray(random.orthogonal(random.key(0), 4, (3,)))
    np.testing.assert_allclose(q @ q.transpose(0, 2, 1), np.tile(np.eye(4), (3, 1, 1)), atol=1e-5)


# Errors -------------------------------------------------------------------------------------------


@_HISTORICAL
def test_what_is_no_key() -> None:
    key = random.key(0)
    with pytest.raises(TypeError, match=r"list of length 2.*vmap"):
        random.normal([key, key])
    with pytest.raises(TypeError, match=r"got 3 of type int.*random.key"):
        random.normal(3)
    with pytest.raises(TypeError, match=r"u32\[3\]"):
        random.normal(np.zeros(3, np.uint32))
    with pytest.raises(ValueError, match=r"single key.*shape \(3,\)"):
        random.normal(random.split(key, 3))
    with pytest.raises(TypeError, match="last dimension of size 2"):
        random.wrap_key_data(np.zeros((2, 3), np.uint32))


@_HISTORICAL
def test_what_is_no_seed() -> None:
    key = random.key(0)
    with pytest.raises(TypeError, match="integer as its seed"):
        random.key(1.0)
    with pytest.raises(TypeError, match="given a random key"):
        random.key(key)
    with pytest.raises(ValueError, match="scalar seed"):
        random.key(np.arange(3))
    with pytest.raises(TypeError, match="scalar seed, got a list"):
        random.key([1])
    with pytest.raises(OverflowError, match="64 bits"):
        random.key(2**70)
    with pytest.raises(ValueError, match="threefry2x32"):
        random.key(0, impl="rbg")
    with pytest.raises(OverflowError, match="fold_in"):
        random.fold_in(key, -1)
    with pytest.raises(TypeError, match="accepts a scalar"):
        random.fold_in(key, np.arange(2))


@_HISTORICAL
def test_wrong_parameters() -> None:
    key = random.key(0)
    with pytest.raises(ValueError, match="float dtype"):
        random.uniform(key, (3,), int)
    with pytest.raises(ValueError, match="unsigned int dtype"):
        random.bits(key, (3,), "float32")
    with pytest.raises(ValueError, match="broadcast"):
        random.uniform(key, (3,), minval=np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="non-negative"):
        random.normal(key, (-1,))
    with pytest.raises(TypeError, match="sequence of integers"):
        random.normal(key, (2.0,))
    with pytest.raises(TypeError, match="integer dtypes"):
        random.randint(key, (3,), 0, 10, "float32")
    with pytest.raises(OverflowError, match="out of range"):
        random.randint(key, (3,), 0, 2**40)
    with pytest.raises(TypeError, match="floating dtype"):
        random.bernoulli(key, np.arange(3))
    with pytest.raises(ValueError, match="larger sample"):
        random.choice(key, 5, (7,), replace=False)
    with pytest.raises(ValueError, match="greater than 0"):
        random.choice(key, 0, (3,))
    with pytest.raises(ValueError, match=r"p has shape \(3,\)"):
        random.choice(key, 5, (3,), p=np.ones(3, np.float32))
    with pytest.raises(ValueError, match="axis 4"):
        random.permutation(key, _MATRIX, axis=4)
    with pytest.raises(ValueError, match="mode"):
        random.gumbel(key, (3,), mode="medium")
    with pytest.raises(ValueError, match="method"):
        random.multivariate_normal(key, np.zeros(2), np.eye(2), method="lu")


@_HISTORICAL
def test_no_import_of_scipy_for_normal_numbers() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from pullback import random as r; k = r.key(0); r.normal(k, (3,)); "
        "r.truncated_normal(k, -1.0, 1.0, (3,)); r.permutation(k, 5); assert 'scipy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
