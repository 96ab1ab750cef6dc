"""Special functions, against SciPy and mpmath; derivatives against finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import ml_dtypes
import mpmath
import numpy as np
import pytest
import scipy.special as reference

import pullback as pb
from pullback._src.base.config import enable_x64
from pullback._src.base.errors import NotDifferentiableError
from pullback._src.core.array import as_array
from pullback._src.ops import special as ops
from pullback._src.ops import special_integrals as integrals

from ..matrix import Sample, matrix_cells, run_cell
from .domains import BFLOAT16, FLOAT16, uniform

# primitive, reference, ranges of the arguments, differentiable positions, order of derivatives to check
_FUNCTIONS: list[tuple[Any, Callable[..., Any], list[tuple[float, float]], tuple[int, ...], int]] = [
    (ops.erf_p, reference.erf, [(-3, 3)], (0,), 2),
    (ops.erfc_p, reference.erfc, [(-3, 3)], (0,), 2),
    (ops.erf_inv_p, reference.erfinv, [(-0.9, 0.9)], (0,), 2),
    (ops.erfcx_p, reference.erfcx, [(-2, 3)], (0,), 2),
    (ops.dawsn_p, reference.dawsn, [(-3, 3)], (0,), 2),
    (ops.ndtri_p, reference.ndtri, [(0.1, 0.9)], (0,), 2),
    (ops.log_ndtr_p, reference.log_ndtr, [(-4, 2)], (0,), 2),
    (ops.lgamma_p, reference.gammaln, [(0.5, 6)], (0,), 2),
    (ops.digamma_p, reference.digamma, [(0.5, 6)], (0,), 2),
    (ops.polygamma_p, lambda n, x: reference.polygamma(np.round(n), x), [(1, 1), (0.5, 4)], (1,), 2),
    (ops.zeta_p, reference.zeta, [(1.5, 4), (0.5, 4)], (1,), 2),
    (ops.spence_p, reference.spence, [(0.2, 3)], (0,), 2),
    (ops.igamma_p, reference.gammainc, [(0.5, 5), (0.5, 5)], (0, 1), 1),
    (ops.igammac_p, reference.gammaincc, [(0.5, 5), (0.5, 5)], (0, 1), 1),
    (ops.regularized_incomplete_beta_p, reference.betainc, [(0.5, 4), (0.5, 4), (0.1, 0.9)], (2,), 2),
    (ops.bessel_i0e_p, reference.i0e, [(0.3, 4)], (0,), 2),
    (ops.bessel_i1e_p, reference.i1e, [(-4, -0.3)], (0,), 2),
    (ops.expi_p, reference.expi, [(0.3, 3)], (0,), 2),
    (ops.expn_p, lambda n, x: reference.expn(np.round(n), x), [(2, 2), (0.3, 3)], (1,), 2),
    (integrals.sine_integral_p, lambda x: reference.sici(x)[0], [(-4, 4)], (0,), 2),
    (integrals.cosine_integral_p, lambda x: reference.sici(x)[1], [(0.3, 4)], (0,), 2),
    (integrals.fresnel_sine_p, lambda x: reference.fresnel(x)[0], [(-2, 2)], (0,), 2),
    (integrals.fresnel_cosine_p, lambda x: reference.fresnel(x)[1], [(-2, 2)], (0,), 2),
    (integrals.owens_t_p, reference.owens_t, [(-2, 2), (-2, 2)], (0, 1), 2),
    (integrals.hyp1f1_p, reference.hyp1f1, [(0.5, 2), (1, 3), (-1, 1)], (2,), 2),
    (integrals.hyp2f1_p, reference.hyp2f1, [(0.5, 2), (0.5, 2), (1, 3), (-0.5, 0.5)], (3,), 2),
    (integrals.bessel_j_p, reference.jv, [(1, 1), (0.5, 6)], (1,), 2),
]


def _in_double(function: Callable[..., Any], args: Any) -> np.ndarray[Any, Any]:
    return np.asarray(function(*[x.astype(np.float64) for x in args])).astype(args[0].dtype)


def _samples() -> list[Sample]:
    out = []
    for primitive, function, ranges, differentiable, order in _FUNCTIONS:
        for dtype, label in ((np.float32, "f32"), (np.float64, "f64")):
            args = tuple(uniform(low, high, (2, 3), np.float64).astype(dtype) for low, high in ranges)
            wide = lambda *xs, f=function: _in_double(f, xs)
            out.append(
                Sample(
                    f"{primitive.name}-{label}",
                    primitive.bind,
                    args,
                    wide,
                    differentiable,
                    order if label == "f64" else 1,
                    # Orders are whole numbers, which the matrix's perturbed copies are not.
                    batchable=(len(args) - 1,) if ranges[0][0] == ranges[0][1] else tuple(range(len(args))),
                    rtol=None if label != "f64" else 1e-13,
                    atol=None if label != "f64" else 1e-14,
                    primitives=(primitive.name,),
                )
            )
    a, x = uniform(0.3, 20, (40,), np.float64), uniform(0.1, 25, (40,), np.float64)
    for primitive, function in (
        (ops.igamma_grad_a_p, jax.lax.igamma_grad_a),
        (ops.random_gamma_grad_p, jax.lax.random_gamma_grad),
    ):
        out.append(
            Sample(
                f"{primitive.name}-f64",
                primitive.bind,
                (a, x),
                lambda *xs, f=function: np.asarray(f(*xs)),
                batchable=(0, 1),
                rtol=1e-9,
                atol=1e-12,
                primitives=(primitive.name,),
            )
        )
    z = uniform(-2, 2, (3,), np.complex128)
    out.append(Sample("wofz-c128", integrals.wofz_p.bind, (z,), reference.wofz, (0,), primitives=("wofz",)))
    return out


SAMPLES = _samples()


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


def _value(out: Any) -> np.ndarray[Any, Any]:
    return np.asarray(out)


@pytest.mark.parametrize("primitive", [ops.erf_p, ops.lgamma_p, ops.igamma_p, ops.erf_inv_p], ids=str)
def test_half_precision(primitive: Any) -> None:
    arity = 2 if primitive is ops.igamma_p else 1
    x = uniform(0.2, 0.9, (5,), np.float32)
    for dtype in (FLOAT16, BFLOAT16):
        args = [as_array(x.astype(dtype))] * arity
        out = primitive.bind(*args)
        wide = primitive.bind(*[as_array(x.astype(dtype).astype(np.float32))] * arity)
        assert out.dtype == dtype
        np.testing.assert_array_equal(_value(out), _value(wide).astype(dtype))


def test_erf_inv_is_accurate_in_the_centre_and_in_the_tails() -> None:
    near_one = 1 - np.logspace(-15, -1, 60)
    x = np.concatenate([np.linspace(-0.99, 0.99, 61), near_one, -near_one])
    with mpmath.workdps(40):
        exact = np.array([float(mpmath.erfinv(mpmath.mpf(float(v)))) for v in x])
    with enable_x64(True):
        found = _value(ops.erf_inv(as_array(x)))
    # x^2 is rounded before it is subtracted from 1 (which keeps normal numbers equal to JAX's).
    tolerance = 1e-14 + np.finfo(np.float64).eps / (1 - np.abs(x))
    assert (np.abs(found - exact) <= tolerance * np.abs(exact)).all()


def test_erf_inv_at_and_beyond_the_ends() -> None:
    found = _value(ops.erf_inv(as_array(np.float32([1, -1, 0, -0.0, 2, np.nan]))))
    np.testing.assert_array_equal(found, np.float32([np.inf, -np.inf, 0, -0.0, np.nan, np.nan]))
    assert np.signbit(found[3])


def test_erf_inv_of_many_elements_equals_that_of_few() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, 40_000).astype(np.float32)
    whole = _value(ops.erf_inv(as_array(x)))
    for start in (0, 16_380, 39_990):
        part = _value(ops.erf_inv(as_array(x[start : start + 10])))
        np.testing.assert_array_equal(whole[start : start + 10], part)


@pytest.mark.parametrize("a", [1e-3, 0.1, 0.5, 1.0, 2.5, 10.0, 100.0])
@pytest.mark.parametrize("quantile", [1e-6, 0.01, 0.5, 0.7, 0.99])
def test_derivative_of_the_incomplete_gamma_function_by_its_parameter(a: float, quantile: float) -> None:
    x = float(reference.gammaincinv(a, quantile))
    if x < 1e-300:
        pytest.skip("the quantile underflows")
    with mpmath.workdps(40):
        exact = float(mpmath.diff(lambda s: mpmath.gammainc(s, 0, x, regularized=True), mpmath.mpf(a)))
    with enable_x64(True):
        found = float(ops.igamma_grad_a(as_array(np.array(a)), as_array(np.array(x))))
    assert found == pytest.approx(exact, rel=1e-11)


@pytest.mark.parametrize("a", [1e5, 9e5, 1.1e6, 1e8])
def test_gradient_of_gamma_samples_for_large_parameters(a: float) -> None:
    # The samples are nearly normal: x = a + z sqrt(a) + ..., so that dx/da = 1 + z / (2 sqrt(a)) + ...
    z = 1.5
    x = a + z * np.sqrt(a) + (z * z - 1) / 3
    with enable_x64(True):
        found = float(ops.random_gamma_grad(as_array(np.array(a)), as_array(np.array(x))))
    assert found == pytest.approx(1 + z / (2 * np.sqrt(a)), abs=2 / a)


def test_invalid_arguments_of_the_gamma_derivatives() -> None:
    a, x = as_array(np.float32([-1, 0, 2, 2, np.nan])), as_array(np.float32([1, 1, 0, -1, 1]))
    expected = [np.nan, np.nan, 0, np.nan, np.nan]
    np.testing.assert_array_equal(_value(ops.igamma_grad_a(a, x)), expected)
    np.testing.assert_array_equal(_value(ops.random_gamma_grad(a, x)), expected)


def test_derivatives_by_orders_raise() -> None:
    half = np.float32(0.5)
    for function in (ops.zeta, ops.polygamma):
        with pytest.raises(NotDifferentiableError, match="no derivative by"):
            pb.grad(lambda s, f=function: f(s, as_array(half)))(np.float32(2.0))
    with pytest.raises(NotDifferentiableError, match="parameter a"):
        pb.grad(lambda a: ops.betainc(a, as_array(half), as_array(half)))(half)


def test_derivatives_at_removable_singularities() -> None:
    assert float(pb.grad(ops.bessel_i1e)(0.0)) == 0.5
    assert float(pb.grad(ops.spence_p.bind)(1.0)) == -1.0
    assert float(pb.grad(integrals.sine_integral_p.bind)(0.0)) == 1.0


def test_lgamma_at_minus_infinity() -> None:
    # As C and JAX have it; SciPy says -inf.
    for function in (ops.lgamma, pb.jit(ops.lgamma)):
        assert function(np.float32(-np.inf)) == np.inf
        assert float(function(as_array(ml_dtypes.bfloat16(-np.inf)))) == np.inf
