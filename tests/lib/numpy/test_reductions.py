"""Reductions, cumulative operations and differences of `numpy`, against JAX."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pullback as pb
from pullback._src.base.errors import DTypeError, ShapeError
from pullback._src.core.array import wrap
from pullback._src.lib.numpy import averages, cumulatives, nan_reductions, reductions

from ... import oracle
from ...ops.domains import BFLOAT16, FLOAT16, distinct, integers, uniform

pytestmark = pytest.mark.usefixtures("together")

_ALL = {**vars(cumulatives), **vars(nan_reductions), **vars(reductions), **vars(averages)}
_REDUCTIONS = [
    "sum",
    "prod",
    "max",
    "min",
    "mean",
    "var",
    "std",
    "any",
    "all",
    "ptp",
    "count_nonzero",
    "average",
]
_NAN = ["nansum", "nanprod", "nanmax", "nanmin", "nanmean", "nanvar", "nanstd"]
_POSITIONS = ["argmax", "argmin", "nanargmax", "nanargmin"]
_MASKED = [
    "sum",
    "prod",
    "mean",
    "var",
    "std",
    "any",
    "all",
    "nansum",
    "nanprod",
    "nanmean",
    "nanvar",
    "nanstd",
]
_DTYPES = [np.float32, np.complex64, np.int32, np.int8, np.uint8, np.bool_, FLOAT16, BFLOAT16]


def _pair(name: str) -> tuple[Any, Any]:
    return _ALL[name], getattr(jnp, name)


def _array(dtype: Any, shape: tuple[int, ...] = (2, 3, 4)) -> Any:
    if np.dtype(dtype).kind in "biu":
        return integers(0, 1 if dtype is np.bool_ else 5, shape, dtype)
    return uniform(-2, 2, shape, dtype)


@pytest.mark.filterwarnings("ignore:Casting complex values")
@pytest.mark.parametrize("name", _REDUCTIONS + _NAN)
@pytest.mark.parametrize("dtype", _DTYPES)
def test_reductions_like_jax(name: str, dtype: Any) -> None:
    ours, theirs = _pair(name)
    x = _array(dtype)
    # JAX compiles each case anew; all axes are tried on one dtype.
    cases: list[Any] = [((0, -1), False)]
    if dtype is np.float32:
        cases += [(None, False), (1, True), ((), False)]
    for axis, keepdims in cases:
        oracle.check(ours, theirs, x, axis=axis, keepdims=keepdims, units=32)


@pytest.mark.parametrize("name", _REDUCTIONS + _NAN)
def test_scalars_and_empty_arrays_like_jax(name: str) -> None:
    ours, theirs = _pair(name)
    oracle.check(ours, theirs, 2.5)
    oracle.check(ours, theirs, 3)
    oracle.check(ours, theirs, True)
    oracle.check(ours, theirs, [1, 2])
    for axis in (0, 1, None):
        oracle.check(ours, theirs, np.zeros((0, 3), np.float32), axis=axis)
    oracle.check(ours, theirs, np.zeros((2, 3), np.float32), axis=(0, 0))
    oracle.check(ours, theirs, np.zeros((2, 3), np.float32), axis=5)


@pytest.mark.parametrize("name", _MASKED)
def test_masks_like_jax(name: str) -> None:
    ours, theirs = _pair(name)
    x = distinct((3, 4), np.float32)
    for mask in (np.arange(4) != 1, np.zeros((3, 1), bool), np.arange(12).reshape(3, 4) % 3 == 0):
        masked = lambda f: lambda v, m: f(v, axis=1, where=m)
        oracle.check(masked(ours), masked(theirs), x, mask, units=32)
    with_numbers = lambda f: lambda v: f(v, where=np.ones(4, np.int32))
    if name in ("sum", "prod", "nansum", "nanprod", "any", "all"):
        oracle.check(with_numbers(ours), with_numbers(theirs), x)


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "nansum", "nanprod", "nanmax", "nanmin"])
def test_initial_values_like_jax(name: str) -> None:
    ours, theirs = _pair(name)
    x = distinct((3, 4), np.float32)
    mask = x > 0
    for initial in (0.5, 3):
        oracle.check(ours, theirs, x, axis=0, initial=initial)
        masked = lambda f, initial=initial: lambda v, m: f(v, axis=0, initial=initial, where=m)
        oracle.check(masked(ours), masked(theirs), x, mask)
        oracle.check(ours, theirs, np.arange(3, dtype=np.int8), initial=initial)
        oracle.check(ours, theirs, np.zeros((0,), np.float32), initial=initial)
    oracle.check(ours, theirs, x, initial=np.ones(2, np.float32))


@pytest.mark.parametrize("name", ["max", "min"])
def test_a_mask_without_initial_value_is_refused_as_in_jax(name: str) -> None:
    ours, theirs = _pair(name)
    masked = lambda f: lambda v: f(v, where=np.ones(3, bool))
    oracle.check(masked(ours), masked(theirs), np.ones(3, np.float32))


@pytest.mark.filterwarnings("ignore:Casting complex values")
@pytest.mark.parametrize(
    "name", ["sum", "prod", "mean", "var", "std", "nansum", "nanmean", "cumsum", "cumprod"]
)
def test_dtypes_like_jax(name: str) -> None:
    ours, theirs = _pair(name)
    if name in ("var", "std"):
        with pytest.raises(TypeError, match=f"{name}: dtype must be floating-point or complex; got int32"):
            ours(np.ones(3, np.float32), dtype=np.int32)
    for before, wanted in itertools.product((np.int32, np.float32), (np.int32, np.complex64, FLOAT16)):
        if name not in ("var", "std") or wanted is not np.int32:  # there JAX's two functions disagree
            oracle.check(ours, theirs, _array(before, (4,)), dtype=wanted, units=32)
    oracle.check(ours, theirs, _array(np.int8, (4,)), x64=True)
    oracle.check(ours, theirs, _array(np.float64, (4,)), x64=True, units=32)


def test_integers_stay_narrow_on_request_like_jax() -> None:
    for name in ("sum", "prod"):
        oracle.check(*_pair(name), np.array([100, 100], np.int8), promote_integers=False)


@pytest.mark.parametrize("name", ["var", "std", "nanvar", "nanstd"])
def test_degrees_of_freedom_like_jax(name: str) -> None:
    ours, theirs = _pair(name)
    x = distinct((3, 4), np.float32)
    for ddof in (1, 3, 4, 2.5 if name in ("var", "std") else 2):
        oracle.check(ours, theirs, x, axis=1, ddof=ddof, units=32)
    if name in ("var", "std"):
        oracle.check(ours, theirs, x, axis=1, correction=1, units=32)
        oracle.check(ours, theirs, x, axis=1, ddof=1, correction=1)
    with_mean = lambda f: lambda v, m: f(v, axis=1, mean=m)
    oracle.check(with_mean(ours), with_mean(theirs), x, np.full((3, 1), 0.25, np.float32), units=32)


@pytest.mark.parametrize("name", _POSITIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.bool_, FLOAT16])
def test_positions_like_jax(name: str, dtype: Any) -> None:
    ours, theirs = _pair(name)
    x = _array(dtype, (3, 4))
    for axis, keepdims in ((None, False), (0, None), (-1, True), (None, True)):
        oracle.check(ours, theirs, x, axis=axis, keepdims=keepdims)
    oracle.check(ours, theirs, 3.0)
    oracle.check(ours, theirs, np.zeros((0, 2), np.float32), axis=0)
    oracle.check(ours, theirs, np.zeros((0, 2), np.float32), axis=1)
    oracle.check(ours, theirs, np.zeros((2,), np.complex64))


@pytest.mark.parametrize("name", _NAN + _POSITIONS + ["nancumsum", "nancumprod", "max", "min", "any", "all"])
def test_nan_like_jax(name: str) -> None:
    ours, theirs = _pair(name)
    nan = np.nan
    x = np.array([[1, nan, 3], [nan, nan, nan], [2, 1, -np.inf], [0, nan, np.inf]], np.float32)
    for axis in (None, 0, 1):
        oracle.check(ours, theirs, x, axis=axis, units=32)


@pytest.mark.parametrize(
    "name", ["cumsum", "cumprod", "cumulative_sum", "cumulative_prod", "nancumsum", "nancumprod"]
)
@pytest.mark.parametrize("dtype", _DTYPES)
def test_cumulative_operations_like_jax(name: str, dtype: Any) -> None:
    ours, theirs = _pair(name)
    cases: list[Any] = [((2, 3), -1)]
    if dtype is np.float32:
        cases += [((2, 3), 0), ((2, 3), None), ((4,), None), ((0,), None), ((), None), ((2,), 3)]
    for shape, axis in cases:
        oracle.check(ours, theirs, _array(dtype, shape), axis=axis, units=32)
    if name.startswith("cumulative"):
        oracle.check(ours, theirs, _array(dtype, (2, 3)), axis=1, include_initial=True)
    else:
        oracle.check(ours, theirs, _array(np.int32, (3,)), dtype=np.bool_)


@pytest.mark.parametrize("dtype", _DTYPES)
def test_differences_like_jax(dtype: Any) -> None:
    x = _array(dtype, (3, 5))
    for n, axis in itertools.product((0, 1, 2, 6), (0, 1)) if dtype is np.float32 else ((2, 1),):
        oracle.check(*_pair("diff"), x, n=n, axis=axis)
    oracle.check(*_pair("diff"), x, n=-1)
    oracle.check(*_pair("diff"), 1.0)
    oracle.check(*_pair("ediff1d"), x)


def test_differences_with_ends_like_jax() -> None:
    x = distinct((2, 3), np.float32)
    oracle.check(*_pair("diff"), x, prepend=1.0, append=np.ones((2, 2), np.float32))
    oracle.check(*_pair("diff"), np.arange(3, dtype=np.int32), prepend=0, append=9)
    oracle.check(*_pair("ediff1d"), x, to_end=2.0, to_begin=np.ones(2, np.float32))


def test_gradients_on_a_grid_like_jax() -> None:
    x = distinct((4, 5), np.float32)
    gradient = _pair("gradient")
    oracle.check(*gradient, x)
    oracle.check(*gradient, x, 2.0, axis=1)
    oracle.check(*gradient, x, 2.0, 0.5)
    oracle.check(*gradient, x, 0.5, axis=(1, 0))
    places = np.array([0, 1, 1.5, 3, 3.25], np.float32)
    oracle.check(*gradient, x, places, axis=1, units=32)
    oracle.check(*gradient, np.arange(3, dtype=np.int32))
    oracle.check(*gradient, np.ones((1, 3), np.float32))
    oracle.check(*gradient, x, 1.0, 2.0, 3.0)


def test_trapezoidal_rule_like_jax() -> None:
    y = distinct((3, 5), np.float32)
    trapezoid = _pair("trapezoid")
    oracle.check(*trapezoid, y)
    oracle.check(*trapezoid, y, dx=0.5, axis=0)
    oracle.check(*trapezoid, y, np.array([0, 1, 1.5, 3, 4], np.float32))
    oracle.check(*trapezoid, y, np.cumsum(np.abs(y), 0), axis=0)
    oracle.check(*trapezoid, np.arange(4, dtype=np.int32))


def test_weighted_averages_like_jax() -> None:
    x, w = distinct((3, 4), np.float32), uniform(0.5, 1, (4,), np.float32)
    average = lambda f: lambda v, u, **options: f(v, weights=u, **options)
    ours, theirs = map(average, _pair("average"))
    oracle.check(ours, theirs, x, w, axis=1, returned=True)
    oracle.check(ours, theirs, x, np.abs(x), returned=True)
    oracle.check(ours, theirs, x, np.abs(x), axis=0, keepdims=True)
    oracle.check(ours, theirs, x, w)
    oracle.check(*_pair("average"), x, axis=0, returned=True)
    oracle.check(*_pair("average"), np.arange(3), returned=True)


_DIFFERENTIABLE = [
    "sum",
    "prod",
    "max",
    "min",
    "mean",
    "var",
    "std",
    "ptp",
    "average",
    *_NAN,
    "cumsum",
    "cumprod",
    "diff",
]


# JAX has no order of complex numbers in the derivatives of these.
_REAL = {"ptp", "nanmax", "nanmin"}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        (n, d)
        for n in _DIFFERENTIABLE
        for d in (np.float32, np.complex64)
        if d is np.float32 or n not in _REAL
    ],
)
def test_derivatives_like_jax(name: str, dtype: Any) -> None:
    ours, theirs = _pair(name)
    x = _array(dtype, (3, 4))
    oracle.check_grad(ours, theirs, x, axis=1, units=256)


def test_derivatives_with_nan_like_jax() -> None:
    x = np.array([[1, np.nan, 3], [4, 2, np.nan]], np.float32)
    for name in _NAN:
        oracle.check_grad(*_pair(name), x, axis=1, units=256)


def test_batching_and_staging_agree_with_eager() -> None:
    x = jax.numpy.asarray(distinct((3, 4, 5), np.float32))
    for name in ("sum", "mean", "var", "max", "cumsum", "diff", "nanmean"):
        ours = _ALL[name]
        mapped = pb.jit(pb.vmap(lambda v, f=ours: f(v, axis=1)))(np.asarray(x))
        np.testing.assert_allclose(
            np.asarray(mapped), np.asarray(ours(np.asarray(x), axis=2)), rtol=1e-5, atol=1e-6
        )


def test_errors_say_what_is_wrong() -> None:
    x = wrap(np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match=r"sum: axis 2 is out of bounds for an array of shape \(2, 3\)"):
        reductions.sum(x, 2)
    with pytest.raises(TypeError, match="sum requires arrays or numbers, got <class 'list'>"):
        reductions.sum([1, 2])
    with pytest.raises(NotImplementedError, match="sum does not support the argument 'out'"):
        reductions.sum(x, out=x)  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match="where must be a boolean array; got dtype int32"):
        reductions.sum(x, where=np.ones((2, 3), np.int32))
    with pytest.raises(ValueError, match=r"max of no elements \(shape \(0, 3\), axes \(0,\)\)"):
        reductions.max(wrap(np.ones((0, 3), np.float32)), 0)
    with pytest.raises(ShapeError, match=r"weights of shape \(4,\) fit neither"):
        averages.average(x, 1, weights=np.ones(4, np.float32))


@given(st.data())
def test_any_shape(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 4), max_size=4)))
    axis = tuple(data.draw(st.sets(st.integers(0, len(shape) - 1)))) if shape else ()
    keepdims = data.draw(st.booleans())
    x = distinct(shape, np.float32)
    for name in ("sum", "mean", "max", "var"):
        actual = np.asarray(_ALL[name](x, axis, keepdims=keepdims))
        expected = getattr(np, name)(x, axis=axis, keepdims=keepdims)
        assert actual.shape == expected.shape
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
