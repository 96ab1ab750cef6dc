"""Random bits, bit for bit against JAX in both layouts; samplers' rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest

import pullback as pb
from pullback._src.base.config import enable_x64, threefry_partitionable
from pullback._src.base.errors import DTypeError, ShapeError
from pullback._src.core.array import as_array, wrap
from pullback._src.engines.numpy import prng as kernels
from pullback._src.ops import prng as ops
from pullback._src.ops import sampling

from .. import oracle
from ..matrix import Sample, matrix_cells, run_cell
from .domains import uniform


@pytest.fixture(params=[False, True], ids=["historical", "partitionable"], autouse=True)
def layout(request: pytest.FixtureRequest) -> Iterator[bool]:
    with threefry_partitionable(request.param), jax.threefry_partitionable(request.param):
        yield request.param


def _key(seed: int) -> Any:
    return ops.random_seed(wrap(np.array(seed, np.int32)))


def _words(keys: Any) -> np.ndarray[Any, Any]:
    return np.asarray(ops.random_unwrap(keys))


def _equal(ours: Any, theirs: Any) -> None:
    a, b = np.asarray(ours), np.asarray(theirs)
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("seed", [0, 1, 42, -1, 2**31 - 1, -(2**31)])
def test_seeds(seed: int) -> None:
    _equal(_words(_key(seed)), jax.random.key_data(jax.random.key(seed)))


def test_wide_seeds() -> None:
    with enable_x64(True), jax.enable_x64(True):
        for seed in (123456789012345, -1, -(2**63)):
            ours = ops.random_seed(wrap(np.array(seed)))
            _equal(_words(ours), jax.random.key_data(jax.random.key(seed)))


# Sizes on both sides of where the kernels change from integers to vectors, and to several pieces of them.
@pytest.mark.parametrize(
    "shape", [(), (0,), (1,), (2,), (3,), (7, 5), (127,), (256,), (257,), (1000,), (40_000,)]
)
@pytest.mark.parametrize("width", [8, 16, 32, 64])
def test_bits(shape: tuple[int, ...], width: int) -> None:
    with enable_x64(True), jax.enable_x64(True):
        expected = jax.random.bits(jax.random.key(7), shape, f"uint{width}")
        _equal(ops.random_bits(_key(7), width, shape), expected)


@pytest.mark.parametrize("shape", [(0,), (1,), (2,), (3,), (2, 3), (200,), (1000,)])
def test_split(shape: tuple[int, ...]) -> None:
    _equal(
        _words(ops.random_split(_key(3), shape)),
        jax.random.key_data(jax.random.split(jax.random.key(3), shape)),
    )


@pytest.mark.parametrize("data", [0, 5, 2**31, 2**32 - 1])
def test_fold_in(data: int) -> None:
    ours = ops.random_fold_in(_key(3), wrap(np.array(data, np.uint32)))
    _equal(_words(ours), jax.random.key_data(jax.random.fold_in(jax.random.key(3), np.uint32(data))))


@pytest.mark.parametrize("keys", [(2,), (300,), (2, 3)])
@pytest.mark.parametrize("n", [1, 2, 5, 300])
def test_many_keys_at_once(keys: tuple[int, ...], n: int) -> None:
    ours, theirs = ops.random_split(_key(1), keys), jax.random.split(jax.random.key(1), keys)
    bits, split = (
        lambda k: jax.random.bits(k, (n,), "uint32"),
        lambda k: jax.random.key_data(jax.random.split(k, n)),
    )
    for _ in keys:
        bits, split = jax.vmap(bits), jax.vmap(split)
    expected = oracle.quickly(lambda k: (bits(k), split(k)), theirs)
    _equal(ops.random_bits(ours, 32, (n,)), expected[0])
    _equal(_words(ops.random_split(ours, (n,))), expected[1])


def test_both_forms_of_the_generator_agree() -> None:
    rng = np.random.default_rng(0)
    k0, k1, c0, c1 = rng.integers(0, 2**32, (4, 1000), dtype=np.uint32)
    whole = kernels.threefry(k0, k1, c0, c1)
    for start in range(0, 1000, 100):
        piece = slice(start, start + 100)
        few = kernels.threefry(k0[piece], k1[piece], c0[piece], c1[piece])
        for a, b in zip(few, whole, strict=True):
            np.testing.assert_array_equal(a, b[piece])


def test_the_published_test_vectors() -> None:
    # Random123's known answers for threefry2x32 with 20 rounds: counter, key, result.
    known = [
        (0, 0, 0, 0, 0x6B200159, 0x99BA4EFE),
        (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0x1CB996FC, 0xBB002BE7),
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xC4923A9C, 0x483DF7A0),
    ]
    for c0, c1, k0, k1, *expected in known:
        out = ops.threefry2x32(*[wrap(np.array([v], np.uint32)) for v in (k0, k1, c0, c1)])
        assert [int(np.asarray(o)[0]) for o in out] == expected


def test_vmap_over_keys_gives_what_each_key_gives() -> None:
    keys = ops.random_split(_key(5), (4,))
    mapped = pb.vmap(lambda k: ops.random_bits(k, 32, (3,)))(keys)
    words = pb.vmap(lambda k: ops.random_unwrap(ops.random_split(k, (2,))))(keys)
    folded = pb.vmap(lambda k, d: ops.random_unwrap(ops.random_fold_in(k, d)))(
        keys, np.arange(4, dtype=np.uint32)
    )
    for i in range(4):
        one = ops.random_wrap(wrap(_words(keys)[i]))
        _equal(np.asarray(mapped)[i], ops.random_bits(one, 32, (3,)))
        _equal(np.asarray(words)[i], _words(ops.random_split(one, (2,))))
        _equal(np.asarray(folded)[i], _words(ops.random_fold_in(one, wrap(np.array(i, np.uint32)))))


def test_a_program_keeps_its_layout(layout: bool) -> None:
    text = str(pb.make_jaxpr(lambda k: ops.random_bits(k, 32, (3,)))(_key(0)))
    assert ("partitionable=True" in text) is layout
    assert "random_bits[bit_width=32" in text and "shape=(3,)" in text and "key<fry>[]" in text


def test_keys_pass_through_structural_operations() -> None:
    keys = ops.random_split(_key(0), (2, 3))
    turned = pb.lax.reshape(pb.lax.transpose(keys, (1, 0)), (6,))
    _equal(_words(turned), _words(keys).transpose(1, 0, 2).reshape(6, 2))


def test_errors_name_what_came() -> None:
    x = as_array(np.float32(1.0))
    with pytest.raises(DTypeError, match=r"expects random keys; got f32\[\]"):
        ops.random_bits(x, 32, ())
    with pytest.raises(DTypeError, match="integers as seeds"):
        ops.random_seed(x)
    with pytest.raises(ShapeError, match="last dimension of size 2"):
        ops.random_wrap(wrap(np.zeros(3, np.uint32)))
    with pytest.raises(DTypeError, match="bit_width"):
        ops.random_bits(_key(0), 12, ())


# The matrix of the primitives that take numbers ---------------------------------------------------

_SEEDS = np.arange(5, dtype=np.int32)
_WORDS = np.arange(8, dtype=np.uint32).reshape(4, 2)


def _reference_words(seeds: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.stack([np.zeros(seeds.shape, np.uint32), seeds.astype(np.uint32)], axis=-1)


def _each(function: Any) -> Any:
    """A function of one key applied by JAX, in the historical layout, to uint32[..., 2]."""

    def apply(words: np.ndarray[Any, Any], *rest: Any) -> np.ndarray[Any, Any]:
        with jax.threefry_partitionable(False):
            flat = words.reshape(-1, 2)
            rows = [
                np.asarray(
                    function(
                        jax.random.wrap_key_data(w),
                        *[r.reshape(-1, *r.shape[words.ndim - 1 :])[i] for r in rest],
                    )
                )
                for i, w in enumerate(flat)
            ]
        return np.stack(rows).reshape(*words.shape[:-1], *rows[0].shape)

    return apply


_DATA = np.arange(4, dtype=np.uint32)
_RATES = uniform(0.5, 40, (4, 3), np.float32)


def _with_keys(function: Any) -> Any:
    """A function of keys as one of their words."""
    return lambda words, *rest: function(ops.random_wrap(words), *rest)


SAMPLES = [
    Sample(
        "random_seed",
        lambda s: ops.random_unwrap(ops.random_seed(s)),
        (_SEEDS,),
        _reference_words,
        primitives=("random_seed", "random_unwrap"),
    ),
    Sample(
        "random_split",
        _with_keys(lambda k: ops.random_unwrap(ops.random_split(k, (3,)))),
        (_WORDS,),
        _each(lambda k: jax.random.key_data(jax.random.split(k, 3))),
        primitives=("random_wrap", "random_split"),
    ),
    Sample(
        "random_fold_in",
        _with_keys(lambda k, d: ops.random_unwrap(ops.random_fold_in(k, d))),
        (_WORDS, _DATA),
        _each(lambda k, d: jax.random.key_data(jax.random.fold_in(k, d))),
        batchable=(0, 1),
        primitives=("random_fold_in",),
    ),
    Sample(
        "random_bits",
        _with_keys(lambda k: ops.random_bits(k, 32, (5,))),
        (_WORDS,),
        _each(lambda k: jax.random.bits(k, (5,), "uint32")),
        primitives=("random_bits",),
    ),
    Sample(
        "threefry2x32",
        lambda a, b: ops.threefry2x32(a, b, a, b),
        (_WORDS[:, 0], _WORDS[:, 1]),
        lambda a, b: kernels.threefry(a, b, a, b),
        batchable=(0, 1),
        primitives=("threefry2x32",),
    ),
    Sample(
        "random_gamma",
        _with_keys(lambda k, a: sampling.random_gamma(k, a, False)),
        (_WORDS, _RATES),
        _each(jax.random.gamma),
        rtol=1e-5,
        batchable=(0, 1),
        primitives=("random_gamma",),
    ),
    Sample(
        "random_loggamma",
        _with_keys(lambda k, a: sampling.random_gamma(k, a, True)),
        (_WORDS, _RATES),
        _each(jax.random.loggamma),
        rtol=1e-5,
        atol=1e-5,
        batchable=(0, 1),
    ),
    Sample(
        "random_poisson",
        _with_keys(lambda k, a: sampling.random_poisson(k, a, np.dtype(np.int32))),
        (_WORDS, _RATES),
        _each(jax.random.poisson),
        batchable=(0, 1),
        primitives=("random_poisson",),
    ),
    Sample(
        "random_binomial",
        _with_keys(lambda k, n: sampling.random_binomial(k, n, n / 50)),
        (_WORDS, _RATES),
        _each(lambda k, n: jax.random.binomial(k, n, n / 50)),
        batchable=(0, 1),
        primitives=("random_binomial",),
    ),
]


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str, layout: bool) -> None:
    with threefry_partitionable(False):
        run_cell(sample, cell)


@pytest.mark.parametrize("log_space", [False, True])
def test_gradient_of_gamma_samples_against_jax(log_space: bool) -> None:
    a = np.float32([0.3, 1.5, 20.0])
    draw = jax.random.loggamma if log_space else jax.random.gamma
    expected = oracle.quickly(jax.grad(lambda v: draw(jax.random.key(4), v).sum()), a)
    found = pb.grad(lambda v: sampling.random_gamma(_key(4), v, log_space).sum())(a)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=2e-4)


def test_counts_have_derivative_zero() -> None:
    rates = np.float32([2.0, 30.0])
    out = pb.grad(lambda v: sampling.random_binomial(_key(4), v, v / 100).sum())(rates)
    np.testing.assert_array_equal(np.asarray(out), [0, 0])
