"""custom_rule: which rule is used where, rules that are derived, and wrong rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback._src.base.errors import NotDifferentiableError, StructureError, UnexpectedTracerError
from pullback._src.core.verify import verify
from pullback.custom_derivatives import SymbolicZero, custom_jvp, custom_rule
from pullback.test_util import check_grads

from .library import PULLBACK
from .test_custom_jvp import TRANSFORMED, XS, X, Y
from .test_custom_vjp import FORWARD_CASES

CASES: dict[str, Callable[[Any], Any]] = {
    **{n: lambda f, n=n: TRANSFORMED[n](PULLBACK, f) for n in TRANSFORMED},  # type: ignore[misc]
    **FORWARD_CASES,
    "jacrev-jacfwd": lambda f: pb.jacrev(pb.jacfwd(f, (0, 1)), (0, 1))(X, Y),
    "jacrev-jacrev": lambda f: pb.jacrev(pb.jacrev(f, (0, 1)), (0, 1))(X, Y),
    "jacfwd-jacfwd": lambda f: pb.jacfwd(pb.jacfwd(f, (0, 1)), (0, 1))(X, Y),
    "jit-hessian": lambda f: pb.jit(pb.hessian(f, (0, 1)))(X, Y),
    "vmap-hessian": lambda f: pb.vmap(pb.hessian(f, (0, 1)), (0, None))(XS, Y),
    "grad-grad-grad": lambda f: pb.grad(pb.grad(pb.grad(f)))(X, Y),
    "jet": lambda f: pb.jet(lambda x: f(x, Y), (X,), ((1.0, 0.0, 0.0),)),
    "scan": lambda f: pb.hessian(lambda x: pb.lax.scan(lambda c, y: (f(c, y), c), x, pnp.array(XS))[0])(X),
    "checkpoint": lambda f: pb.grad(pb.checkpoint(f), (0, 1))(X, Y),
    "vmap-linearized-vmap": lambda f: pb.vmap(pb.linearize(pb.vmap(f), XS, XS)[1])(
        np.stack([XS, 2 * XS]), np.stack([XS, XS])
    ),
    "transposed-linearized": lambda f: pb.linear_transpose(pb.linearize(f, X, Y)[1], X, Y)(2.0),
}


@pytest.fixture(params=["llvm", "numpy"])
def engine(request: pytest.FixtureRequest) -> Iterator[None]:
    before = pb.config.engine
    pb.config.update("engine", request.param)
    yield
    pb.config.update("engine", before)


def _value(x: Any, y: Any) -> Any:
    return pnp.sin(x) * y


def _with_both() -> Any:
    """All rules give the derivative times two, so that it is seen that they are used."""
    f = custom_rule(_value)

    @f.defvjp
    def vjp(x: Any, y: Any) -> Any:
        cos = pnp.cos(x)
        return f(x, y), lambda ct: (2 * cos * y * ct, pnp.sin(x) * ct)

    @f.defjvp
    def jvp(primals: Any, tangents: Any) -> Any:
        (x, y), (tx, ty) = primals, tangents
        return f(x, y), 2 * pnp.cos(x) * y * tx + pnp.sin(x) * ty

    return f


def _with_jvp() -> Any:
    return custom_rule(_value, jvp=_with_both().jvp)


def _with_vjp() -> Any:
    @custom_rule(vjp=lambda x, y: (f(x, y), _pullback(pnp.cos(x), x, y)))
    def f(x: Any, y: Any) -> Any:
        return _value(x, y)

    return f


def _pullback(cos: Any, x: Any, y: Any) -> Any:
    return lambda ct: (2 * cos * y * ct, pnp.sin(x) * ct)


def _with_pair() -> Any:
    def fwd(x: Any, y: Any) -> Any:
        return f(x, y), {"cos": pnp.cos(x), "rest": (x, y)}

    def bwd(residuals: Any, ct: Any) -> Any:
        return _pullback(residuals["cos"], *residuals["rest"])(ct)

    f = custom_rule(_value, vjp=(fwd, bwd))
    return f


def _reference() -> Any:
    f = custom_jvp(_value)
    f.defjvps(
        lambda t, ans, x, y: 2 * pnp.cos(x) * y * t,
        lambda t, ans, x, y: pnp.sin(x) * t,
    )
    return f


KINDS = {"both": _with_both, "jvp": _with_jvp, "vjp": _with_vjp, "pair": _with_pair}


def _same(a: Any, b: Any, rtol: float = 1e-5) -> None:
    assert pb.tree_util.tree_structure(a) == pb.tree_util.tree_structure(b)
    for x, y in zip(pb.tree_util.tree_leaves(a), pb.tree_util.tree_leaves(b), strict=True):
        assert x.shape == y.shape and x.dtype == y.dtype
        if x.dtype == pb.float0:
            continue
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_transformations(name: str, kind: str) -> None:
    _same(CASES[name](KINDS[kind]()), CASES[name](_reference()))


def _distinct() -> Any:
    """x * y by rules of which the jvp is twice, and the vjp three times the derivative."""
    f = custom_rule(lambda x, y: x * y)
    f.defjvp(lambda p, t: (f(*p), 2 * (p[1] * t[0] + p[0] * t[1])))
    f.defvjp(lambda x, y: (f(x, y), lambda ct: (3 * y * ct, 3 * x * ct)))
    return f


def test_each_mode_uses_its_rule(engine: None) -> None:
    f = _distinct()
    for g in (f, pb.jit(f), lambda x, y: pb.vmap(f)(x[None], y[None])[0], pb.jit(pb.checkpoint(f))):
        x, y = pnp.array(X), pnp.array(Y)
        assert float(pb.jvp(g, (x, y), (1.0, 0.0))[1]) == pytest.approx(2 * Y)
        assert float(pb.linearize(g, x, y)[1](1.0, 0.0)) == pytest.approx(2 * Y)
        assert float(pb.jacfwd(g)(x, y)) == pytest.approx(2 * Y)
        assert float(pb.grad(g)(x, y)) == pytest.approx(3 * Y)
        assert float(pb.jacrev(g, 1)(x, y)) == pytest.approx(3 * X)
        assert float(pb.jit(pb.grad(g))(x, y)) == pytest.approx(3 * Y)
        # The rules are themselves differentiated; they apply ordinary multiplication.
        assert float(pb.jacfwd(pb.grad(g), 1)(x, y)) == pytest.approx(3)
        assert float(pb.grad(lambda x, y: pb.jvp(g, (x, y), (1.0, 0.0))[1], 1)(x, y)) == pytest.approx(2)  # noqa: B023
    # Mapped by one argument only, forwards and backwards.
    by_x = pb.vmap(f, (0, None))
    tangent = pb.vmap(lambda t: pb.jvp(by_x, (XS, Y), (t * XS, 0.0))[1])(XS)
    np.testing.assert_allclose(np.asarray(tangent), 2 * Y * np.outer(XS, XS), rtol=1e-6)
    _, pushed = pb.linearize(by_x, XS, Y)
    np.testing.assert_allclose(np.asarray(pushed(XS, 0.5)), 2 * (Y + 0.5) * XS, rtol=1e-6)
    np.testing.assert_allclose(
        np.asarray(pb.vmap(pushed, (None, 0))(XS, XS)), 2 * (Y + XS)[:, None] * XS, rtol=1e-6
    )
    np.testing.assert_allclose(float(pb.grad(lambda y: by_x(XS, y).sum())(Y)), 3 * XS.sum(), rtol=1e-6)


def test_jvp_of_a_linearized_function_differentiates_the_rule() -> None:
    f = _distinct()

    def pushed(x: Any) -> Any:
        return pb.linearize(f, x, Y)[1](1.0, x)

    # 2 (y + x x), by x.
    assert float(pb.jvp(pushed, (X,), (1.0,))[1]) == pytest.approx(4 * X)
    assert float(pb.grad(pushed)(X)) == pytest.approx(4 * X)
    assert float(pb.jit(pb.grad(pb.jit(pushed)))(X)) == pytest.approx(4 * X)


def _softplus(**rules: Any) -> Any:
    return custom_rule(lambda x: pnp.log1p(pnp.exp(x)), **rules)


def _jvp(p: Any, t: Any) -> Any:
    return pnp.log1p(pnp.exp(p[0])), t[0] * (1 - 1 / (1 + pnp.exp(p[0])))


def _vjp(x: Any) -> Any:
    slope = 1 - 1 / (1 + pnp.exp(x))
    return pnp.log1p(pnp.exp(x)), lambda ct: (ct * slope,)


@pytest.mark.parametrize("rules", [{"jvp": _jvp}, {"vjp": _vjp}, {"jvp": _jvp, "vjp": _vjp}])
def test_higher_orders(rules: Any, engine: None) -> None:
    with pb.enable_x64(True):
        f = _softplus(**rules)
        x = pnp.linspace(-1.0, 1.0, 5)
        check_grads(f, (x,), 2)
        check_grads(pb.jit(pb.vmap(f)), (x,), 2)
        s = 1 / (1 + np.exp(-np.asarray(x)))
        expected = np.diag(s * (1 - s))
        for outer, inner in ((pb.jacfwd, pb.jacrev), (pb.jacrev, pb.jacfwd), (pb.jacrev, pb.jacrev)):
            found = pb.jit(outer(inner(lambda x: f(x).sum())))(x)
            np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-12, atol=1e-14)
        # A product with the Hessian, forward over reverse, through a loop.
        loss = lambda x: pb.lax.fori_loop(0, 3, lambda i, c: f(c), x).sum()
        plain = lambda x: pnp.log1p(pnp.exp(pnp.log1p(pnp.exp(pnp.log1p(pnp.exp(x)))))).sum()
        hvp = lambda f: pb.jvp(pb.grad(f), (x,), (pnp.ones(5),))[1]
        np.testing.assert_allclose(np.asarray(hvp(loss)), np.asarray(hvp(plain)), rtol=1e-12)


def test_a_rule_by_vjp_itself() -> None:
    g = lambda p, x: {"o": p["w"] * pnp.sin(x), "n": 3}
    f = custom_rule(g, vjp=lambda *args: pb.vjp(g, *args))
    args = ({"w": pnp.array(XS)}, pnp.array(2 * XS))
    _same(pb.jvp(f, args, args), pb.jvp(g, args, args))
    loss = lambda f: lambda p, x: f(p, x)["o"].sum()
    for transform in (pb.grad, pb.hessian, lambda f, a: pb.jit(pb.jacfwd(pb.grad(f, a), a)), pb.jacfwd):
        _same(transform(loss(f), (0, 1))(*args), transform(loss(g), (0, 1))(*args))
    f = custom_rule(
        pnp.sin, vjp=lambda x: (pnp.sin(x), pb.tree_util.Partial(lambda c, ct: (c * ct,), pnp.cos(x)))
    )
    assert float(pb.grad(pb.grad(f))(X)) == pytest.approx(-np.sin(X))
    assert float(pb.jvp(pb.jit(f), (X,), (1.0,))[1]) == pytest.approx(np.cos(X))


def test_pytrees_none_and_integers(engine: None) -> None:
    def value(p: Any, n: Any) -> Any:
        return {"a": p["w"] * n + p["v"][0], "count": n + 1}

    def vjp(p: Any, n: Any) -> Any:
        def pullback(ct: Any) -> Any:
            assert ct["count"].dtype == pb.float0
            return {"w": ct["a"] * n, "v": (ct["a"],)}, None

        return value(p, n), pullback

    p, n = {"w": pnp.array(XS), "v": (pnp.array(2 * XS),)}, pnp.array([1, 2, 3, 4])
    for f in (custom_rule(value, vjp=vjp), pb.jit(custom_rule(value, vjp=vjp))):
        for g in (f, pb.vmap(f)):
            _same(
                pb.grad(lambda p: g(p, n)["a"].sum())(p),  # noqa: B023
                pb.grad(lambda p: value(p, n)["a"].sum())(p),
            )
            zero = np.zeros(4, pb.float0)
            _, tangent = pb.jvp(g, (p, n), (p, zero))
            _same(tangent["a"], pb.jvp(value, (p, n), (p, zero))[1]["a"])
            assert tangent["count"].dtype == pb.float0


def test_complex() -> None:
    """Holomorphic or not, the rules follow the conventions of vjp (a cotangent is not conjugated)."""
    z = np.asarray([0.3 + 0.2j, -1.0 + 0.5j], np.complex64)

    def value(z: Any) -> Any:
        return pnp.conj(z) * z.real + z**2

    def jvp(p: Any, t: Any) -> Any:
        (z,), (t,) = p, t
        return value(z), pnp.conj(t) * z.real + pnp.conj(z) * t.real + 2 * z * t

    for rules in ({"jvp": jvp}, {"vjp": lambda z: pb.vjp(value, z)}):
        f = custom_rule(value, **rules)
        _same(pb.jvp(f, (z,), (z * 1j,)), pb.jvp(value, (z,), (z * 1j,)))
        _same(pb.vjp(f, z)[1](z), pb.vjp(value, z)[1](z))
        loss = lambda f: lambda z: pnp.sum(pnp.abs(f(z)) ** 2)
        _same(pb.grad(loss(f))(z), pb.grad(loss(value))(z))
        check_grads(f, (z,), 2)


def test_nondiff_arguments() -> None:
    value = lambda g, x, n: g(x) * n
    jvp = lambda g, n, p, t: (value(g, p[0], n), 2 * n * t[0])
    vjp = lambda g, x, n: (value(g, x, n), lambda ct: (3 * n * ct,))
    pair = (lambda g, x, n: (value(g, x, n), None), lambda g, n, _, ct: (5 * n * ct,))
    for rules, factor in (
        ({"jvp": jvp}, 2),
        ({"vjp": vjp}, 3),
        ({"vjp": pair}, 5),
        ({"jvp": jvp, "vjp": vjp}, 3),
    ):
        f = custom_rule(value, **rules, nondiff_argnums=0, nondiff_argnames="n")  # type: ignore[arg-type]
        assert float(pb.grad(f, 1)(pnp.sin, X, 2)) == 2 * factor
        assert float(pb.jit(pb.grad(lambda x, n: f(pnp.sin, n=n, x=x)))(X, 2.0)) == 2 * factor  # noqa: B023
        if "jvp" not in rules or len(rules) == 1:
            _, tangent = pb.jvp(lambda x: f(pnp.sin, x, 2), (X,), (1.0,))  # noqa: B023
            assert float(tangent) == 2 * factor


def test_forward_mode_beside_a_rule_that_cannot_be_transposed() -> None:
    """A clipped gradient has no derivative to push forward; a jvp rule says what it shall be."""
    pair = (lambda x: (x, None), lambda _, ct: (pnp.clip(ct, -0.1, 0.1),))
    with pytest.raises(NotDifferentiableError, match=r"(?s)linear in the cotangent.*custom_rule"):
        pb.jvp(custom_rule(lambda x: x, vjp=pair), (1.0,), (1.0,))
    f = custom_rule(lambda x: x, jvp=lambda p, t: (p[0], t[0]), vjp=pair)
    assert float(pb.jvp(f, (1.0,), (3.0,))[1]) == 3.0
    assert float(pb.grad(lambda x: 3 * f(x))(1.0)) == pytest.approx(0.1)
    assert float(pb.vmap(pb.linearize(pb.jit(f), 1.0)[1])(XS)[2]) == pytest.approx(float(XS[2]))


def test_python_control_flow_on_values() -> None:
    f = custom_rule(abs)
    f.defvjp(lambda x: (f(x), (lambda ct: (ct,)) if x > 0 else (lambda ct: (-ct,))))
    assert [float(pb.grad(f)(v)) for v in (2.0, -2.0)] == [1.0, -1.0]
    assert [float(pb.jvp(f, (v,), (1.0,))[1]) for v in (2.0, -2.0)] == [1.0, -1.0]


def test_symbolic_zeros() -> None:
    seen: list[Any] = []
    f = custom_rule(lambda x, y: (x * y, x + y))
    f.defvjp(
        lambda x, y: (f(x.value, y.value), (y.value, seen.append((x.perturbed, y.perturbed)))),
        lambda r, ct: (seen.append([type(c) is SymbolicZero for c in ct]), (r[0] * ct[0], None))[1],
        symbolic_zeros=True,
    )
    f.defjvp(
        lambda p, t: (seen.append([type(v) is SymbolicZero for v in t]), (f(*p), (t[0] * p[1], t[0])))[1],
        symbolic_zeros=True,
    )
    assert float(pb.grad(lambda x: f(x, 3.0)[0])(2.0)) == 3.0
    assert float(pb.jvp(lambda x: f(x, 3.0)[0], (2.0,), (1.0,))[1]) == 3.0
    assert seen == [(True, False), [False, True], [False, True]]
    with pytest.raises(ValueError, match=r"defvjp\(fwd, bwd, symbolic_zeros=True\)"):
        f.defvjp(lambda x, y: None, symbolic_zeros=True)


def test_method_and_program() -> None:
    class Model:
        scale = 3.0

        @custom_rule(
            vjp=lambda self, x: (x * self.scale, lambda ct: (10 * self.scale * ct,)), nondiff_argnums=0
        )
        def call(self, x: Any) -> Any:
            return x * self.scale

    assert float(pb.grad(Model().call)(1.0)) == 30.0
    assert float(pb.jvp(Model().call, (1.0,), (1.0,))[1]) == 30.0
    program = pb.make_jaxpr(pb.vmap(_distinct(), (0, None)))(XS, Y)
    verify(program)
    assert "custom_vjp_call[" in str(program)
    verify(pb.make_jaxpr(pb.linearize(_distinct(), X, Y)[1])(1.0, 1.0))


def _wrong(**rules: Any) -> Any:
    def f(x: Any, p: Any) -> Any:
        return x * p["w"]

    return pb.grad(custom_rule(f, **rules), (0, 1))


_VALUE = lambda x, p: x * p["w"]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            {"vjp": _VALUE},
            r"custom_rule function f must return a pair \(output, pullback\)",
        ),
        ({"vjp": lambda x, p: (_VALUE(x, p), x)}, r"must return a pair \(output, pullback\)"),
        (
            {"vjp": lambda x, p: (_VALUE(x, p), lambda ct: ct)},
            r"must return a tuple with a cotangent for each",
        ),
        ({"vjp": lambda x, p: (_VALUE(x, p), lambda ct: (ct, {"v": ct}))}, r"at key path \[1\].*'w'"),
        (
            {"vjp": lambda x, p: (_VALUE(x, p), lambda ct: (ct, {"w": ct * pnp.ones(3)}))},
            r"custom_rule function f: the cotangent at output\[1\]\['w'\].*got float32\[3\]; sum it over",
        ),
        (
            {"vjp": lambda x, p: (_VALUE(x, p), lambda ct: (ct * 1j, {"w": ct}))},
            r"output\[0\]: expected float32\[\], got complex64\[\]; .*numpy\.real",
        ),
        ({"vjp": lambda x, p: (_VALUE(x, p), lambda ct: ("no", None))}, r"\[0\] is 'no' of type str"),
        (
            {"jvp": lambda p, t: (_VALUE(*p), t[0].astype("float16"))},
            r"custom_rule function f: the tangent at output: expected float32\[\], got float16.*\.astype",
        ),
        (
            {"jvp": lambda p, t: (_VALUE(*p), t[0].astype("int32"))},
            r"expected float32\[\], got int32\[\]; convert it with \.astype\('float32'\)",
        ),
        ({"jvp": lambda p, t: (_VALUE(*p), (t[0],))}, r"structure of the primal output"),
        ({"jvp": lambda p, t: (_VALUE(*p), np.zeros((), pb.float0))}, r"float0.*zero_from_primal"),
    ],
)
def test_wrong_rules(rules: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        _wrong(**rules)(2.0, {"w": 3.0})


def test_shape_remedies() -> None:
    f = custom_rule(lambda x: x * pnp.ones(3), jvp=lambda p, t: (p[0] * pnp.ones(3), t[0]))
    with pytest.raises(StructureError, match=r"expected float32\[3\], got float32\[\]; expand it .*\(3,\)\)"):
        pb.jvp(f, (1.0,), (1.0,))
    f = custom_rule(lambda x: x, jvp=lambda p, t: (p[0], pnp.ones(4)))
    with pytest.raises(StructureError, match=r"expected float32\[3\], got float32\[4\](?!;)"):
        pb.jvp(f, (pnp.ones(3),), (pnp.ones(3),))


def test_wrong_use() -> None:
    f = custom_rule(_value)
    with pytest.raises(AttributeError, match=r"_value has no rule.*_value\.defjvp or _value\.defvjp"):
        f(1.0, 2.0)
    with pytest.raises(TypeError, match="defjvp expects a function, got 3"):
        custom_rule(_value, jvp=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="defvjp expects a function as bwd, got 3"):
        custom_rule(_value, vjp=(_value, 3))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"one function, or a pair \(fwd, bwd\)"):
        custom_rule(_value, vjp=(_value,))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="custom_rule expects a function, got 3"):
        custom_rule(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="out of range"):
        custom_rule(_value, nondiff_argnums=2)
    other = custom_rule(lambda x: (x, x), vjp=lambda x: ([x, x], lambda ct: (ct[0],)))
    with pytest.raises(StructureError, match="same structure as the function"):
        pb.grad(pb.jit(lambda x: other(x)[0]))(1.0)


def test_closure_over_a_differentiated_value() -> None:
    def outer(y: Any, x: Any) -> Any:
        f = custom_rule(lambda x: x * y, vjp=lambda x: (x * y, lambda ct: (ct * y,)))
        return f(x)

    with pytest.raises(UnexpectedTracerError, match=r"custom_rule.*closes over the traced value 'y'"):
        pb.grad(outer)(3.0, 2.0)
    with pytest.raises(NotDifferentiableError, match=r"closes over a value.*closure_convert"):
        pb.grad(pb.jit(outer))(3.0, 2.0)
    np.testing.assert_allclose(np.asarray(pb.vmap(pb.grad(outer, 1), (0, None))(XS, 2.0)), XS)
