"""Quantiles, covariances and histograms of `numpy`, against JAX and NumPy."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback._src.base.errors import ConcretizationTypeError

from ... import oracle
from ...ops.domains import FLOAT16, distinct, integers, uniform

_METHODS = ["linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf"]


def _pair(name: str) -> tuple[Any, Any]:
    return getattr(pnp, name), getattr(jnp, name)


@pytest.mark.parametrize("name", ["quantile", "nanquantile"])
@pytest.mark.parametrize("method", _METHODS)
def test_quantiles_like_jax(name: str, method: str) -> None:
    x = distinct((3, 4, 5), np.float32)
    q = np.array([0, 0.1, 0.25, 0.5, 1], np.float32)
    oracle.check(*_pair(name), x, q, axis=1, method=method)
    oracle.check(*_pair(name), x, 0.3, axis=(0, 2), keepdims=True, method=method)


@pytest.mark.parametrize(
    "name", ["median", "nanmedian", "quantile", "nanquantile", "percentile", "nanpercentile"]
)
def test_quantiles_with_nan_and_other_dtypes_like_jax(name: str) -> None:
    q = () if "median" in name else (40.0 if "percentile" in name else 0.4,)
    nan = np.nan
    x = np.array([[1, nan, 3, 7], [nan, nan, nan, nan], [2, 1, 5, -1]], np.float32)
    for axis in (None, 0, 1):
        oracle.check(*_pair(name), x, *q, axis=axis)
    oracle.check(*_pair(name), np.arange(7, dtype=np.int32), *q)
    oracle.check(*_pair(name), np.array([True, False, True]), *q)
    oracle.check(*_pair(name), distinct((7,), FLOAT16), *q)
    oracle.check(*_pair(name), 3.0, *q)
    oracle.check(*_pair(name), distinct((7,), np.float64), *q, x64=True)
    oracle.check(*_pair(name), [1, 2, 3], *q)
    oracle.check_grad(
        lambda v: _pair(name)[0](v, *q, axis=1),
        lambda v: _pair(name)[1](v, *q, axis=1),
        distinct((2, 5), np.float32),
    )


def test_errors_of_quantiles() -> None:
    with pytest.raises(ValueError, match="method must be one of linear, lower"):
        pnp.quantile(np.ones(3, np.float32), 0.5, method="cubic")
    with pytest.raises(ValueError, match=r"quantile of no elements \(shape \(0,\)"):
        pnp.quantile(np.ones(0, np.float32), 0.5)
    with pytest.raises(ValueError, match="does not accept complex"):
        pnp.median(np.ones(3, np.complex64))
    assert np.isnan(np.asarray(pnp.quantile(np.ones(3, np.float32), 1.5)))


@pytest.mark.parametrize("name", ["quantile", "nanquantile"])
def test_weighted_quantiles_like_jax_and_numpy(name: str) -> None:
    ours, theirs = _pair(name)
    x = distinct((3, 4), np.float32)
    q = np.array([0.25, 0.4, 0.5, 0.9, 1], np.float32)
    options = {"method": "inverted_cdf"}
    weighted = lambda f: lambda v, w, **more: f(v, q, weights=w, **options, **more)
    columns = np.float32([1, 0, 2.5, 1])
    for w, axis in ((columns, 1), (columns[1:], 0), (x * x, None), (x * x, (0, 1))):
        oracle.check(weighted(ours), weighted(theirs), x, w, axis=axis)
        oracle.check(weighted(ours), weighted(theirs), x, w, axis=axis, keepdims=True)
    oracle.check_grad(weighted(ours), weighted(theirs), x, columns, argnums=(0, 1), axis=1)
    with_nan = np.where(x == x.max(), np.float32(np.nan), x)
    oracle.check(weighted(ours), weighted(theirs), with_nan, columns, axis=1)
    # No share of nothing: NumPy refuses both.
    for w in (0 * columns, -columns):
        assert np.isnan(np.asarray(weighted(ours)(x, w, axis=1))).all()
    with pytest.raises(ValueError, match="fit neither"):
        weighted(ours)(x, columns, axis=0)
    with pytest.raises(NotImplementedError, match="inverted_cdf"):
        ours(x, q, axis=1, weights=columns)
    # At 0, an element without weight is a quantile in JAX, and none in NumPy and here.
    q = np.array([0, 0.3, 1], np.float32)
    found = np.asarray(pb.jit(lambda v, w: weighted(ours)(v, w, axis=1))(x, columns))
    np.testing.assert_array_equal(found, np.quantile(x, q, axis=1, weights=columns, **options))


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.int32])
def test_covariances_like_jax(dtype: Any) -> None:
    x = integers(-3, 3, (3, 6), dtype) if dtype is np.int32 else uniform(-1, 1, (3, 6), dtype)
    for options in ({}, {"rowvar": False}, {"bias": True}, {"ddof": 2}):
        oracle.check(*_pair("cov"), x, units=64, **options)
    oracle.check(*_pair("cov"), x[0], units=64)
    oracle.check(*_pair("cov"), x, x[:1] * 2, units=64)
    oracle.check(*_pair("corrcoef"), x, units=64)
    oracle.check(*_pair("corrcoef"), x, rowvar=False, units=64)
    oracle.check(*_pair("corrcoef"), x[0], units=64)


def test_weighted_covariances_like_jax() -> None:
    x = uniform(-1, 1, (3, 6), np.float32)
    f, a = integers(1, 3, (6,), np.int32), uniform(0.5, 2, (6,), np.float32)
    weighted = lambda cov: lambda x, f, a, **options: cov(x, fweights=f, aweights=a, **options)
    ours, theirs = map(weighted, _pair("cov"))
    oracle.check(ours, theirs, x, f, None, units=64)
    oracle.check(ours, theirs, x, None, a, units=64)
    oracle.check(ours, theirs, x, f, a, units=64)
    oracle.check(ours, theirs, x, f, a, ddof=0, units=64)
    with pytest.raises(TypeError, match="fweights must be integers; got float32"):
        pnp.cov(x, fweights=a)
    with pytest.raises(ValueError, match=r"fweights must be a vector with one element for each of 6"):
        pnp.cov(x, fweights=f[:3])
    oracle.check_grad(*_pair("cov"), x, units=256)


def test_counts_like_jax() -> None:
    x = integers(0, 6, (20,), np.int32)
    oracle.check(*_pair("bincount"), x)
    oracle.check(*_pair("bincount"), x, minlength=12)
    oracle.check(*_pair("bincount"), x, length=4)
    oracle.check(*_pair("bincount"), x - 2, length=6)
    oracle.check(*_pair("bincount"), x, uniform(0, 1, (20,), np.float32))
    oracle.check(*_pair("bincount"), x.astype(np.uint8), np.arange(20, dtype=np.int32))
    oracle.check(*_pair("bincount"), np.zeros(0, np.int32))
    oracle.check(*_pair("bincount"), x.astype(np.float32))
    with pytest.raises(ConcretizationTypeError, match="bincount"):
        pb.jit(pnp.bincount)(x)
    assert pb.jit(lambda v: pnp.bincount(v, length=3))(x).shape == (3,)


def test_digitize_like_jax() -> None:
    x = np.array([[-1, 0, 0.5], [1, 2.5, np.nan]], np.float32)
    bins = np.array([0, 1, 2], np.float32)
    for right in (False, True):
        oracle.check(*_pair("digitize"), x, bins, right=right)
        oracle.check(*_pair("digitize"), x, bins[::-1].copy(), right=right)
    oracle.check(*_pair("digitize"), x, np.zeros(0, np.float32))
    oracle.check(*_pair("digitize"), x, 1.0)


def test_histograms_like_jax() -> None:
    x = uniform(-1, 1, (5, 8), np.float32)
    edges = np.array([-1, -0.5, 0, 1], np.float32)
    for bins in (10, 3, edges):
        oracle.check(*_pair("histogram"), x, bins)
        oracle.check(*_pair("histogram"), x, bins, density=True)
        oracle.check(*_pair("histogram_bin_edges"), x, bins)
    with_range = lambda f: lambda v: f(v, 4, range=(-0.5, 0.5))
    oracle.check(with_range(pnp.histogram), with_range(jnp.histogram), x)
    weighted = lambda f: lambda v, w: f(v, 4, weights=w)
    oracle.check(weighted(pnp.histogram), weighted(jnp.histogram), x, np.abs(x))
    oracle.check(weighted(pnp.histogram), weighted(jnp.histogram), x, np.abs(x[0]))
    oracle.check(*_pair("histogram"), np.arange(9, dtype=np.int32), 4)
    oracle.check(*_pair("histogram"), np.full(3, 2, np.float32), 4)
    oracle.check(*_pair("histogram"), np.zeros(0, np.float32), 4)
    with pytest.raises(NotImplementedError, match="got the rule 'auto'"):
        pnp.histogram(x, "auto")


def test_histograms_of_several_dimensions_like_jax() -> None:
    x, y = uniform(-1, 1, (30,), np.float32), uniform(-1, 1, (30,), np.float32, 1)
    oracle.check(*_pair("histogram2d"), x, y, 4)
    oracle.check(*_pair("histogram2d"), x, y, [3, 4], density=True)
    with_edges = lambda f: (
        lambda u, v: f(u, v, bins=[3, np.array([-1, 0, 1], np.float32)], range=[[-1, 1], None])
    )
    oracle.check(with_edges(pnp.histogram2d), with_edges(jnp.histogram2d), x, y)
    points = np.stack([x, y, x * y], 1)
    oracle.check(*_pair("histogramdd"), points, 3)
    weighted = lambda f: lambda p, w: f(p, 3, weights=w, density=True)
    oracle.check(weighted(pnp.histogramdd), weighted(jnp.histogramdd), points, np.abs(x), units=64)
