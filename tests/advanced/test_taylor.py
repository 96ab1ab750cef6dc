"""`jet` against closed forms, mpmath, JAX and nested forward mode; under every other transformation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from jax.experimental import jet as jax_jet

import pullback as pb
import pullback.numpy as pnp
import pullback.scipy.special as special
from pullback import lax, nn
from pullback.experimental import jet as facade
from pullback.test_util import check_grads

ORDER = 9


@pytest.fixture(autouse=True)
def _wide() -> Iterator[None]:
    with pb.enable_x64(True), jax.enable_x64(True):
        yield


def along(f: Callable[..., Any], x: Any, order: int = ORDER) -> Any:
    """The derivatives of a function of one number at x."""
    return pb.jet(f, (x,), ((1.0,) + (0.0,) * (order - 1),))[1]


def nested(f: Callable[..., Any], x: Any, v: Any, order: int) -> list[Any]:
    def pushed(f: Any) -> Any:
        return lambda x: pb.jvp(f, (x,), (v,))[1]

    found = []
    for _ in range(order):
        f = pushed(f)
        found.append(f(x))
    return found


FUNCTIONS: list[tuple[str, Any, Any, float]] = [
    ("exp", pnp.exp, mpmath.exp, 0.4),
    ("exp2", pnp.exp2, lambda x: mpmath.power(2, x), 0.4),
    ("expm1", pnp.expm1, mpmath.expm1, 0.4),
    ("log", pnp.log, mpmath.log, 0.7),
    ("log2", pnp.log2, lambda x: mpmath.log(x, 2), 0.7),
    ("log1p", pnp.log1p, mpmath.log1p, 0.7),
    ("sqrt", pnp.sqrt, mpmath.sqrt, 0.7),
    ("rsqrt", lax.rsqrt, lambda x: 1 / mpmath.sqrt(x), 0.7),
    ("cbrt", pnp.cbrt, mpmath.cbrt, 0.7),
    ("reciprocal", lambda x: 1 / x, lambda x: 1 / x, 0.7),
    ("sin", pnp.sin, mpmath.sin, 0.7),
    ("cos", pnp.cos, mpmath.cos, 0.7),
    ("tan", pnp.tan, mpmath.tan, 0.7),
    ("arcsin", pnp.arcsin, mpmath.asin, 0.4),
    ("arccos", pnp.arccos, mpmath.acos, 0.4),
    ("arctan", pnp.arctan, mpmath.atan, 0.4),
    ("sinh", pnp.sinh, mpmath.sinh, 0.4),
    ("cosh", pnp.cosh, mpmath.cosh, 0.4),
    ("tanh", pnp.tanh, mpmath.tanh, 0.4),
    ("arcsinh", pnp.arcsinh, mpmath.asinh, 0.4),
    ("arccosh", pnp.arccosh, mpmath.acosh, 1.6),
    ("arctanh", pnp.arctanh, mpmath.atanh, 0.4),
    ("logistic", nn.sigmoid, lambda x: 1 / (1 + mpmath.exp(-x)), 0.4),
    ("erf", special.erf, mpmath.erf, 0.4),
    ("erfc", special.erfc, mpmath.erfc, 0.4),
    ("erfinv", special.erfinv, mpmath.erfinv, 0.3),
    ("i0", special.i0, lambda x: mpmath.besseli(0, x), 0.8),
    ("i1", special.i1, lambda x: mpmath.besseli(1, x), 0.8),
    ("zeta", lambda x: special.zeta(3.0, x), lambda x: mpmath.zeta(3, x), 1.3),
    ("sinc", pnp.sinc, mpmath.sincpi, 0.3),
    ("power", lambda x: x**2.5, lambda x: x ** mpmath.mpf("2.5"), 0.7),
    ("exponent", lambda x: 2.5**x, lambda x: mpmath.mpf("2.5") ** x, 0.7),
    ("both", lambda x: x**x, lambda x: x**x, 0.7),
    ("negative", lambda x: x**-3, lambda x: x**-3, 0.7),
    ("polynomial", lambda x: x**7 - 2 * x**3, lambda x: x**7 - 2 * x**3, 0.7),
    ("quotient", lambda x: pnp.sin(x) / (1 + x * x), lambda x: mpmath.sin(x) / (1 + x * x), 0.7),
    ("arctan2", lambda x: pnp.arctan2(x, 1 + x), lambda x: mpmath.atan2(x, 1 + x), 0.7),
    ("hypot", lambda x: pnp.hypot(x, 1 + x), lambda x: mpmath.hypot(x, 1 + x), 0.7),
    (
        "logaddexp",
        lambda x: pnp.logaddexp(x, 0.2),
        lambda x: mpmath.log(mpmath.exp(x) + mpmath.exp(0.2)),
        0.7,
    ),
    ("gelu", lambda x: nn.gelu(x, approximate=False), lambda x: x * mpmath.ncdf(x), 0.7),
]


@pytest.mark.parametrize(("f", "reference", "x"), [c[1:] for c in FUNCTIONS], ids=[c[0] for c in FUNCTIONS])
def test_functions_of_one_number(f: Any, reference: Any, x: float) -> None:
    with mpmath.workdps(60):
        expected = [
            c * math.factorial(k) for k, c in enumerate(mpmath.taylor(reference, mpmath.mpf(x), ORDER))
        ]
    found = along(f, x)
    size = max(abs(float(e)) / math.factorial(k) for k, e in enumerate(expected))
    for k in range(1, ORDER + 1):
        np.testing.assert_allclose(
            found[k - 1],
            float(expected[k]),
            rtol=1e-11,
            atol=1e-13 * size * math.factorial(k),
            err_msg=str(k),
        )


def test_the_gamma_function() -> None:
    expected = [float(mpmath.polygamma(k, 2.5)) for k in range(ORDER + 1)]
    np.testing.assert_allclose(along(special.gammaln, 2.5), expected[:-1], rtol=1e-11)
    np.testing.assert_allclose(along(special.digamma, 2.5), expected[1:], rtol=1e-11)


@pytest.mark.parametrize("jit", [False, True])
def test_orders_of_bessel_functions_are_recognised(jit: bool) -> None:
    """Each derivative leads to two more functions, but all in all to one for each order."""
    x = pnp.asarray(1.5)
    f = lambda x, order=12: along(lambda x: special.bessel_jn(x, v=3)[3], x, order)
    sizes = [len(pb.make_jaxpr(lambda x, order=order: f(x, order))(x).eqns) for order in (6, 12)]
    assert sizes[1] < 6 * sizes[0]
    with mpmath.workdps(40):
        exact = mpmath.taylor(lambda x: mpmath.besselj(3, x), mpmath.mpf(1.5), 12)
    expected = [float(c) * math.factorial(k) for k, c in enumerate(exact)][1:]
    np.testing.assert_allclose((pb.jit(f) if jit else f)(x), expected, rtol=1e-10)


def test_high_orders() -> None:
    np.testing.assert_allclose(along(pnp.exp, 1.0, 40), [math.e] * 40, rtol=1e-12)
    np.testing.assert_allclose(
        along(pnp.sin, 0.0, 40), [math.sin(k * math.pi / 2) for k in range(1, 41)], atol=1e-9
    )
    (_, terms) = pb.jet(lambda x: 1 / (1 - x), (0.0,), ((1.0,) + (0.0,) * 59,), factorial_scaled=False)
    np.testing.assert_array_equal(terms, np.ones(60))
    np.testing.assert_array_equal(along(lambda x: x**200, 0.0, 12), np.zeros(12))


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda x: x**3, [0, 0, 6, 0]),
        (lambda x: x**2.0, [0, 2, 0, 0]),
        (pnp.abs, [1, 0, 0, 0]),
        (pnp.sinc, [0, -(math.pi**2) / 3, 0, math.pi**4 / 5]),
        (nn.relu, [0, 0, 0, 0]),
        (pnp.floor, [0, 0, 0, 0]),
    ],
)
def test_special_points(f: Any, expected: list[float]) -> None:
    np.testing.assert_allclose(along(f, 0.0, 4), expected, atol=1e-14)


CURVES = [
    ("dot", lambda n, x, y: x @ y.T @ n.sin(x)),
    ("sum", lambda n, x, y: n.sum(n.exp(x) / (2 + n.cos(y)), axis=0)),
    ("max", lambda n, x, y: n.max(x * y) + n.maximum(x, y)),
    ("where", lambda n, x, y: n.where(x > 0.1, x * y, n.sqrt(2 + y))),
    ("cumsum", lambda n, x, y: n.cumsum(x * y, axis=1)),
    ("logsumexp", lambda n, x, y: n.log(n.sum(n.exp(x * y)))),
    ("concatenate", lambda n, x, y: n.concatenate([x, n.tanh(y)])[::2, 1:]),
]


@pytest.mark.parametrize("f", [c[1] for c in CURVES], ids=[c[0] for c in CURVES])
def test_agrees_with_jax(f: Any) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 3, 3))
    series = rng.normal(size=(2, 5, 3, 3)) / 3
    value, terms = pb.jet(lambda x, y: f(pnp, x, y), (x, y), (list(series[0]), list(series[1])))
    wanted, wanted_terms = jax_jet.jet(lambda x, y: f(jnp, x, y), (x, y), (list(series[0]), list(series[1])))
    np.testing.assert_allclose(value, wanted, rtol=1e-12)
    assert len(terms) == len(wanted_terms) == 5
    for k, (found, expected) in enumerate(zip(terms, wanted_terms, strict=True)):
        size = np.max(np.abs(expected))
        # JAX computes factorials by lgamma, to fewer digits.
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10 * size, err_msg=f"order {k + 1}")


def test_convolution_and_linear_algebra() -> None:
    rng = np.random.default_rng(5)
    a, v = pnp.asarray(rng.normal(size=(2, 4, 4)) / 4)

    def f(a: Any) -> Any:
        s = a @ a.T + 2 * pnp.eye(4)
        factor = pnp.linalg.cholesky(s)
        w, q = pnp.linalg.eigh(s + pnp.diag(pnp.arange(4.0)))
        image = lax.conv(a[None, None], pnp.sin(a[None, None, :2, :2]), (1, 1), "SAME")
        return factor, w, pnp.abs(q), pnp.linalg.solve(s, a), pnp.linalg.inv(s), pnp.linalg.det(s), image

    _, terms = pb.jet(f, (a,), ([v, 0 * v, 0 * v],))
    expected = nested(f, a, v, 3)
    for found, *column in zip(terms, *expected, strict=True):
        for k in range(3):
            np.testing.assert_allclose(found[k], column[k], rtol=1e-8, atol=1e-9)


def test_complex_numbers() -> None:
    z, v = 0.3 + 0.4j, 0.5 - 1j
    f = lambda z: pnp.exp(z) / (1 + z * z)
    _, terms = pb.jet(f, (z,), ((v, 0j, 0j, 0j, 0j),))
    with mpmath.workdps(40):
        g = lambda t: mpmath.exp(z + t * v) / (1 + (z + t * v) ** 2)
        expected = [complex(c) * math.factorial(k) for k, c in enumerate(mpmath.taylor(g, 0, 5))]
    np.testing.assert_allclose(terms, expected[1:], rtol=1e-12)
    _, terms = pb.jet(lambda z: pnp.abs(z) ** 2, (pnp.asarray(z),), ((v, 0j),))
    np.testing.assert_allclose(terms, [2 * (z * v.conjugate()).real, 2 * abs(v) ** 2], rtol=1e-12)


# Control flow and rules of users ----------------------------------------------------------------------


def _scan(x: Any) -> Any:
    def body(carry: Any, y: Any) -> Any:
        still, moving = carry
        return (still + 1.0, pnp.tanh(moving * y) + x), (moving**2, still)

    return lax.scan(body, (0.0, 0.5), pnp.arange(1.0, 4.0))


def _while(x: Any) -> Any:
    return lax.while_loop(lambda c: c[0] < 5, lambda c: (c[0] + 1, pnp.sin(c[1]) * x), (0, 1.0))[1]


def _cond(x: Any) -> Any:
    return lax.cond(x > 0, lambda x: pnp.exp(2 * x), pnp.ones_like, x)


def _switch(x: Any) -> Any:
    return lax.switch(pnp.floor(x * 10).astype(int), [pnp.sin, pnp.cos, lambda x: x**3, pnp.exp], x)


def _fori(x: Any) -> Any:
    return lax.fori_loop(0, 4, lambda i, c: c * x + i, 1.0)


FLOWS = [
    _scan,
    _while,
    _cond,
    _switch,
    _fori,
    pb.jit(lambda x: pnp.sin(x) * x),
    pb.checkpoint(lambda x: pnp.sin(x) * pnp.exp(x)),
    lambda x: lax.map(lambda y: pnp.sin(y * x), pnp.arange(3.0)),
    pb.grad(lambda x: _scan(x)[0][1]),
    lambda x: pb.vmap(lambda y: _while(y * x))(pnp.arange(3.0)),
    pb.grad(pb.jit(_fori)),
]


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("index", range(len(FLOWS)))
def test_control_flow(index: int, jit: bool, engine: str) -> None:
    f, x, order = FLOWS[index], pnp.asarray(0.3), 4
    pb.config.update("engine", engine)
    try:
        derivatives = lambda x: along(f, x, order)
        found = (pb.jit(derivatives) if jit else derivatives)(x)
    finally:
        pb.config.update("engine", "llvm")
    expected = nested(f, x, pnp.asarray(1.0), order)
    is_list = lambda v: isinstance(v, list)
    columns = pb.tree.leaves(found, is_leaf=is_list)
    for i, column in enumerate(columns):
        for k in range(order):
            wanted = pb.tree.leaves(expected[k])[i]
            np.testing.assert_allclose(column[k], wanted, rtol=1e-10, atol=1e-12)


def test_rules_of_users_are_followed() -> None:
    through = pb.custom_jvp(pnp.round)  # a straight-through estimator
    through.defjvp(lambda p, t: (through(*p), t[0]))
    np.testing.assert_allclose(along(lambda x: through(x) ** 2, 1.2, 3), [2, 2, 0])

    @pb.custom_jvp
    def log1pexp(x: Any) -> Any:
        return pnp.log(1 + pnp.exp(x))

    log1pexp.defjvp(lambda p, t: (log1pexp(*p), pnp.exp(p[0] - log1pexp(*p)) * t[0]))
    with mpmath.workdps(40):
        exact = mpmath.taylor(lambda x: mpmath.log(1 + mpmath.exp(x)), 0.5, 6)
    np.testing.assert_allclose(
        along(log1pexp, 0.5, 6), [float(c) * math.factorial(k) for k, c in enumerate(exact)][1:], rtol=1e-9
    )

    sine = pb.custom_vjp(pnp.sin)
    sine.defvjp(lambda x: (sine(x), x), lambda x, ct: (ct * pnp.cos(x),))
    derived = pb.custom_rule(pnp.sin, vjp=(lambda x: (pnp.sin(x), x), lambda x, ct: (ct * pnp.cos(x),)))
    for f in (sine, pb.jit(sine), derived, pb.jit(derived)):
        np.testing.assert_allclose(along(f, 0.4, 5), along(pnp.sin, 0.4, 5), rtol=1e-14)


@pytest.mark.parametrize("jit", [False, True])
def test_implicit_functions(jit: bool) -> None:
    """The series of solutions, whatever found them, satisfy the equations."""

    def root(a: Any) -> Any:
        def newton(f: Any, x: Any) -> Any:
            return lax.fori_loop(0, 60, lambda _, x: x - f(x) / (3 * x * x + 1), x)

        return lax.custom_root(lambda x: x**3 + x - a, 1.0, newton, lambda g, y: y / g(1.0))

    derivatives = lambda x: along(root, x, 8)
    terms = (pb.jit(derivatives) if jit else derivatives)(2.0)
    value, back = pb.jet(lambda x: x**3 + x, (root(2.0),), (terms,))
    np.testing.assert_allclose([value, *back], [2.0, 1.0] + [0.0] * 7, atol=1e-10)

    m, b = np.array([[2.0, 0.3], [0.1, 1.5]]), np.array([1.0, 2.0])

    def solution(a: Any) -> Any:
        s = m + a * np.eye(2)
        direct, transposed = (lambda _, r: pnp.linalg.solve(s, r)), (lambda _, r: pnp.linalg.solve(s.T, r))
        return lax.custom_linear_solve(lambda x: s @ x, b * pnp.sin(a), direct, transposed)

    derivatives = lambda a: along(solution, a, 8)
    terms = (pb.jit(derivatives) if jit else derivatives)(0.5)
    a = (0.5, [1.0] + [0.0] * 7)
    _, back = pb.jet(lambda a, x: (m + a * np.eye(2)) @ x, (a[0], solution(0.5)), (a[1], terms))
    sines = along(pnp.sin, 0.5, 8)
    np.testing.assert_allclose(back, [s * b for s in sines], atol=1e-9)


# Under other transformations --------------------------------------------------------------------------


def _smooth(x: Any) -> Any:
    return pnp.tanh(x) * pnp.exp(-x) / (1 + x**2)


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
def test_under_transformations(engine: str) -> None:
    x = pnp.asarray(0.3)
    exact = [float(d) for d in nested(_smooth, x, pnp.asarray(1.0), 6)]
    third = lambda x: along(_smooth, x, 3)[-1]
    pb.config.update("engine", engine)
    try:
        for transform in (lambda f: f, pb.jit):
            np.testing.assert_allclose(transform(third)(x), exact[2], rtol=1e-11)
            np.testing.assert_allclose(transform(pb.grad(third))(x), exact[3], rtol=1e-11)
            np.testing.assert_allclose(transform(pb.jacfwd(third))(x), exact[3], rtol=1e-11)
            np.testing.assert_allclose(transform(pb.hessian(third))(x), exact[4], rtol=1e-11)
            np.testing.assert_allclose(transform(pb.grad(pb.grad(third)))(x), exact[4], rtol=1e-11)
            np.testing.assert_allclose(transform(lambda x: along(third, x, 3)[-1])(x), exact[5], rtol=1e-11)
            np.testing.assert_allclose(
                transform(lambda x: along(pb.grad(_smooth), x, 3)[-1])(x), exact[3], rtol=1e-11
            )
            xs = pnp.asarray([0.3, -0.4])
            np.testing.assert_allclose(transform(pb.vmap(third))(xs), [third(v) for v in xs], rtol=1e-13)
    finally:
        pb.config.update("engine", "llvm")
    check_grads(third, (x,), order=2, modes=("fwd", "rev"))


def test_known_zeros_cost_nothing() -> None:
    x, zero = pnp.ones(3), pnp.zeros(3)
    counts = {}
    for order in (10, 20):
        f = lambda x, order=order: pb.jet(pnp.exp, (x,), ([pnp.ones(3)] + [zero] * (order - 1),))[1]
        counts[order] = len(pb.make_jaxpr(f)(x).eqns)
        np.testing.assert_allclose(f(x), np.full((order, 3), math.e), rtol=1e-13)
    assert counts[20] < 2.2 * counts[10]


def test_terms_are_differentiable() -> None:
    # d^2/dt^2 f(x + a t + b t^2 / 2) = f''(x) a^2 + f'(x) b
    f = lambda a, b: pb.jet(pnp.sin, (0.5,), ((a, b),))[1][1]
    np.testing.assert_allclose(
        pb.grad(f, (0, 1))(0.3, 0.2), (-2 * math.sin(0.5) * 0.3, math.cos(0.5)), rtol=1e-12
    )


# Arguments ----------------------------------------------------------------------------------------------


def test_containers_and_constants() -> None:
    def f(p: Any, x: Any) -> Any:
        return {"y": p["w"] * pnp.sin(x), "n": pnp.arange(2), "c": 3.0}

    p, dp = {"w": pnp.asarray([1.0, 2.0])}, {"w": pnp.asarray([0.5, 0.0])}
    value, terms = pb.jet(f, (p, 0.1), ([dp, pb.tree.map(pnp.zeros_like, dp)], [1.0, 0.0]))
    assert terms["n"][0].dtype == value["n"].dtype and not np.any(terms["n"][1]) and terms["c"] == [0.0, 0.0]
    np.testing.assert_allclose(terms["y"][0], 0.1 * 0 + np.sin(0.1) * dp["w"] + np.cos(0.1) * p["w"])
    np.testing.assert_allclose(terms["y"][1], 2 * np.cos(0.1) * dp["w"] - np.sin(0.1) * p["w"])
    assert pb.jet(lambda x: x, (1.0,), ([],))[1] == []


def test_conventions() -> None:
    series = ((0.3, 0.2, 0.1),)
    _, terms = pb.jet(pnp.exp, (0.5,), series)
    # Faà di Bruno: the complete Bell polynomials of the exponential.
    bell = [0.3, 0.3**2 + 0.2, 0.3**3 + 3 * 0.3 * 0.2 + 0.1]
    np.testing.assert_allclose(terms, np.exp(0.5) * np.array(bell), rtol=1e-14)
    scaled = ([t / math.factorial(k + 1) for k, t in enumerate(series[0])],)
    _, coefficients = pb.jet(pnp.exp, (0.5,), scaled, factorial_scaled=False)
    np.testing.assert_allclose(
        [c * math.factorial(k + 1) for k, c in enumerate(coefficients)], terms, rtol=1e-14
    )
    assert facade.jet is pb.jet
    assert pb.jet(pnp.sin, (np.float32(0.5),), ((np.float32(1),),))[1][0].dtype == np.float32


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pb.jet(1, (1.0,), ((1.0,),)), TypeError, "expects a function"),
        (lambda: pb.jet(pnp.sin, 1.0, ((1.0,),)), TypeError, "tuples or lists as primals"),
        (lambda: pb.jet(pnp.sin, (1.0,), ()), ValueError, "1 primals need as many series; got 0"),
        (lambda: pb.jet(pnp.sin, (1.0,), (1.0,)), TypeError, "must be a tuple or list of terms"),
        (lambda: pb.jet(pnp.add, (1.0, 2.0), ((1.0,), (1.0, 2.0))), ValueError, r"but they have \[1, 2\]"),
        (lambda: pb.jet(pnp.sin, (1,), ((1.0,),)), TypeError, "Convert it with .astype"),
        (
            lambda: pb.jet(pnp.sin, (1.0,), ((pnp.ones(2),),)),
            ValueError,
            r"has shape \(2,\), the argument \(\)",
        ),
        (
            lambda: pb.jet(pnp.sin, (1.0,), ((np.float32(1),),)),
            TypeError,
            "dtype float32, the argument float64",
        ),
        (lambda: pb.jet(pnp.sin, (1.0,), ((1j,),)), TypeError, "convert the term"),
        (
            lambda: pb.jet(lambda p: p["a"], ({"a": 1.0},), (({"b": 1.0},),)),
            ValueError,
            "structure of its argument",
        ),
        (
            lambda: pb.jet(
                lambda x: pb.pure_callback(np.sin, pb.ShapeDtypeStruct((), np.float64), x), (1.0,), ((1.0,),)
            ),
            pb.errors.NotDifferentiableError,
            "cannot be differentiated",
        ),
    ],
)
def test_errors(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call()
