"""custom_vjp and what belongs to it: against JAX, forward mode (which JAX lacks), and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import lax
from pullback._src.base.config import enable_x64
from pullback._src.base.errors import NotDifferentiableError, StructureError, UnexpectedTracerError
from pullback._src.core.verify import verify
from pullback.custom_derivatives import (
    SymbolicZero,
    closure_convert,
    custom_gradient,
    custom_vjp,
    custom_vjp_primal_tree_values,
    linear_call,
    zero_from_primal,
)

from .library import PULLBACK, assert_same
from .test_custom_jvp import TRANSFORMED, XS, X, Y


def _f(lib: Any) -> Any:
    """sin(x) * y, with a rule that is recognizably not its derivative (a factor of 2)."""

    @lib.derivatives.custom_vjp
    def f(x: Any, y: Any) -> Any:
        return lib.np.sin(x) * y

    def fwd(x: Any, y: Any) -> Any:
        return f(x, y), {"cos": lib.np.cos(x), "rest": (x, y)}

    def bwd(residuals: Any, g: Any) -> Any:
        x, y = residuals["rest"]
        return 2 * residuals["cos"] * y * g, lib.np.sin(x) * g

    f.defvjp(fwd, bwd)
    return f


FORWARD = ("jvp", "jvp-jit", "jvp-vmap", "hessian", "jacfwd-jacrev", "linearize")


@pytest.mark.parametrize("name", [n for n in TRANSFORMED if n not in FORWARD])
def test_transformations(name: str) -> None:
    assert_same(lambda lib: TRANSFORMED[name](lib, _f(lib)))


def _reference(x: Any, y: Any) -> Any:
    """As a custom_jvp function, whose derivatives of all orders are those of `_f`."""
    f = pb.custom_derivatives.custom_jvp(lambda x, y: pnp.sin(x) * y)

    @f.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x, y), (tx, ty) = primals, tangents
        return f(x, y), 2 * pnp.cos(x) * y * tx + pnp.sin(x) * ty

    return f(x, y)


FORWARD_CASES: dict[str, Callable[[Any], Any]] = {
    "jvp": lambda f: pb.jvp(f, (X, Y), (1.0, 0.5)),
    "jvp-one-argument": lambda f: pb.jvp(lambda y: f(X, y), (Y,), (0.5,)),
    "jvp-jit": lambda f: pb.jvp(pb.jit(f), (X, Y), (1.0, 0.5)),
    "jit-jvp": lambda f: pb.jit(lambda x, y: pb.jvp(f, (x, y), (1.0, 0.5)))(X, Y),
    "jvp-vmap": lambda f: pb.jvp(pb.vmap(f), (XS, XS), (XS, 2 * XS)),
    "jvp-vmap-jit": lambda f: pb.jvp(pb.vmap(pb.jit(f), (0, None)), (XS, Y), (XS, 1.0)),
    "vmap-jvp": lambda f: pb.vmap(lambda x: pb.jvp(f, (x, Y), (x, 1.0)))(XS),
    "linearize": lambda f: pb.linearize(f, X, Y)[1](1.0, 2.0),
    "vmap-linearized": lambda f: pb.vmap(pb.linearize(f, X, Y)[1])(XS, XS),
    "linearize-vmap": lambda f: pb.linearize(pb.vmap(f, (0, None)), XS, Y)[1](XS, 2.0),
    "jacfwd": lambda f: pb.jacfwd(f, (0, 1))(X, Y),
    "jvp-jvp": lambda f: pb.jvp(lambda x: pb.jvp(lambda x: f(x, Y), (x,), (1.0,))[1], (X,), (1.0,)),
    "jvp-linearized": lambda f: pb.jvp(lambda t: pb.linearize(f, X, Y)[1](t, t), (1.0,), (2.0,)),
}


@pytest.mark.parametrize("name", FORWARD_CASES)
def test_forward_mode(name: str) -> None:
    ours, reference = FORWARD_CASES[name](_f(_LIB)), FORWARD_CASES[name](_reference)
    for a, b in zip(pb.tree_util.tree_leaves(ours), pb.tree_util.tree_leaves(reference), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5, atol=1e-6)


_LIB = type("Lib", (), {"derivatives": pb.custom_derivatives, "np": pnp, "pb": pb})


def test_second_derivatives_differentiate_the_rule() -> None:
    # By forward over reverse and reverse over forward; both differentiate bwd: d/dx 2 cos(x) y = -2 sin(x) y.
    f = _f(_LIB)
    expected = -2 * np.sin(X) * Y
    for outer, inner in ((pb.jacfwd, pb.jacrev), (pb.jacrev, pb.jacfwd), (pb.jacrev, pb.jacrev)):
        np.testing.assert_allclose(float(outer(inner(f))(X, Y)), expected, rtol=1e-5)


def test_forward_mode_needs_a_linear_rule() -> None:
    clip = custom_vjp(lambda x: x)
    clip.defvjp(lambda x: (x, None), lambda _, g: (pnp.clip(g, -0.1, 0.1),))
    np.testing.assert_allclose(float(pb.grad(lambda x: 3 * clip(x))(1.0)), 0.1, rtol=1e-6)
    square = custom_vjp(lambda x: x)
    square.defvjp(lambda x: (x, None), lambda _, g: (g * g,))
    branch = custom_vjp(lambda x: x)
    branch.defvjp(lambda x: (x, None), lambda _, g: (g if g > 0 else -g,))
    for f in (clip, square, branch):
        with pytest.raises(NotDifferentiableError, match=r"(?s)linear in the cotangent.*custom_jvp"):
            pb.jvp(f, (1.0,), (1.0,))
    np.testing.assert_allclose(
        np.asarray(pb.vmap(pb.grad(lambda x: 3 * clip(x)))(XS)), np.full(4, 0.1), rtol=1e-6
    )
    np.testing.assert_allclose(
        np.asarray(pb.grad(lambda x: pnp.sum(3 * pb.vmap(clip)(x)))(XS)), np.full(4, 0.1), rtol=1e-6
    )


def test_pytrees_and_none() -> None:
    def body(lib: Any) -> Any:
        @lib.derivatives.custom_vjp
        def f(p: Any, q: Any, s: Any) -> Any:
            return {"o": (p["a"] * p["b"] * s, q[0])}

        f.defvjp(
            lambda p, q, s: (f(p, q, s), (p, s)),
            lambda r, g: ({"a": None, "b": 5 * g["o"][0] * r[0]["a"]}, None, r[1] * 0 + 1.0),
        )
        loss = lambda p, q, s: lib.np.sum(f(p, q, s)["o"][0]) + q[0]
        p = {"a": lib.np.array(XS), "b": 2 * lib.np.array(XS)}
        return lib.pb.grad(loss, (0, 1, 2))(p, (1.0, lib.np.array(XS)), lib.np.array(2.0))

    assert_same(body)


def test_python_control_flow_and_static_residuals() -> None:
    def body(lib: Any) -> Any:
        f = lib.derivatives.custom_vjp(lambda x: x * 2 if x > 0 else x * 3)
        f.defvjp(lambda x: (f(x), x), lambda x, g: (g * (20 if x > 0 else 30),))
        return [lib.pb.grad(f)(v) for v in (1.0, -1.0)]

    assert_same(body)
    g = custom_vjp(lambda x: 2 * pnp.sum(x) - pnp.sum(x))
    g.defvjp(lambda x: (g(x), (x.shape, "name")), lambda r, ct: (pnp.broadcast_to(ct, r[0]),))
    np.testing.assert_array_equal(np.asarray(pb.grad(g)(XS)), np.ones(4))
    np.testing.assert_array_equal(np.asarray(pb.jit(pb.grad(g))(XS)), np.ones(4))


def test_nondiff_argnums() -> None:
    def body(lib: Any) -> Any:
        f = lib.derivatives.custom_vjp(lambda g, x, n: g(x) * n, nondiff_argnums=(0, 2))
        f.defvjp(lambda g, x, n: (f(g, x, n), x), lambda g, n, x, ct: (ct * n * x,))
        return lib.pb.grad(f, 1)(lib.np.sin, X, 3), lib.pb.jit(lib.pb.grad(lambda x: f(lib.np.sin, x, 3)))(X)

    assert_same(body)


def test_traced_nondiff_argument() -> None:
    f = custom_vjp(lambda n, x: x * n, nondiff_argnums=(0,))
    f.defvjp(lambda n, x: (f(n, x), None), lambda n, _, g: (7 * g * n,))
    # Arrays by which nobody differentiates may be traced; JAX refuses these.
    np.testing.assert_allclose(float(pb.jit(pb.grad(f, 1))(3.0, 2.0)), 21.0)
    np.testing.assert_allclose(float(pb.grad(pb.jit(f), 1)(3.0, 2.0)), 21.0)
    np.testing.assert_allclose(np.asarray(pb.vmap(pb.grad(f, 1), (0, None))(XS, 2.0)), 7 * XS, rtol=1e-6)
    with pytest.raises(UnexpectedTracerError, match="marked by nondiff_argnums"):
        pb.grad(f, (0, 1))(3.0, 2.0)


def test_integers_and_float0() -> None:
    f = custom_vjp(lambda x, n: (x * n, n + 1))
    f.defvjp(lambda x, n: (f(x, n), n), lambda n, g: (g[0] * n, None))
    assert float(pb.grad(lambda x: f(x, 3)[0])(2.0)) == 3.0
    f.defvjp(lambda x, n: (f(x, n), n), lambda n, g: (g[0] * n, np.zeros((), pb.float0)))
    assert float(pb.grad(lambda x: f(x, 3)[0])(2.0)) == 3.0
    f.defvjp(lambda x, n: (f(x, n), n), lambda n, g: (g[0] * n, n))
    with pytest.raises(TypeError, match=r"output\[1\].*float0.*return None"):
        pb.grad(lambda x: f(x, 3)[0])(2.0)


def test_complex() -> None:
    def body(lib: Any) -> Any:
        f = lib.derivatives.custom_vjp(lib.np.sin)
        f.defvjp(lambda x: (f(x), lib.np.cos(x)), lambda c, g: (g * c,))
        return lib.pb.grad(lambda x: lib.np.sum(lib.np.abs(f(x)) ** 2))(np.complex64(0.3 + 0.2j))

    assert_same(body)
    f = custom_vjp(pnp.sin)
    f.defvjp(lambda x: (f(x), pnp.cos(x)), lambda c, g: (g * c,))
    z, t = np.complex64(0.3 + 0.2j), np.complex64(0.5 - 1j)
    np.testing.assert_allclose(np.asarray(pb.jvp(f, (z,), (t,))[1]), np.cos(z) * t, rtol=1e-5)


def test_symbolic_zeros() -> None:
    seen: list[Any] = []
    f = custom_vjp(lambda x, y: (x * y, x + y))

    def fwd(x: Any, y: Any) -> Any:
        seen.append((x.perturbed, y.perturbed))
        return f(x.value, y.value), custom_vjp_primal_tree_values((x, y))

    def bwd(residuals: Any, g: Any) -> Any:
        _x, y = residuals
        seen.append(tuple(type(v) is SymbolicZero for v in g))
        return y * g[0], zero_from_primal(y, symbolic_zeros=True)

    f.defvjp(fwd, bwd, symbolic_zeros=True)
    assert float(pb.grad(lambda x: f(x, 3.0)[0])(2.0)) == 3.0
    assert seen == [(True, False), (False, True)]
    assert repr(zero_from_primal(1.0, True)) == "SymbolicZero(ShapedArray(float32[], weak_type=True))"
    assert float(zero_from_primal(pnp.ones(()))) == 0.0
    assert zero_from_primal(3).dtype == pb.float0


def test_closed_over_mapped_value() -> None:
    def body(lib: Any) -> Any:
        def outer(y: Any, x: Any) -> Any:
            f = lib.derivatives.custom_vjp(lambda x: x * y)
            f.defvjp(lambda x: (x * y, None), lambda _, g: (3 * g * y,))
            return f(x)

        return (
            lib.pb.vmap(outer, (0, None))(XS, 2.0),
            lib.pb.vmap(lib.pb.grad(outer, 1), (0, None))(XS, 2.0),
            outer,
        )

    assert_same(lambda lib: body(lib)[:2])
    outer = body(_LIB)[2]
    gradient = pb.grad(lambda x: pnp.sum(pb.vmap(outer, (0, None))(XS, x)))(2.0)  # JAX finds a leak here
    np.testing.assert_allclose(float(gradient), 3 * np.sum(XS), rtol=1e-6)


def test_in_control_flow() -> None:
    def body(lib: Any) -> Any:
        f = _f(lib)

        def loss(x: Any) -> Any:
            return lib.lax.scan(lambda c, y: (f(c, y), c), x, lib.np.array(XS))[0]

        return lib.pb.grad(loss)(X), lib.pb.grad(lib.pb.jit(loss))(X), lib.pb.vmap(lib.pb.grad(loss))(XS)

    assert_same(body)


def test_program() -> None:
    f = _f(_LIB)
    for program in (
        pb.make_jaxpr(f)(X, Y),
        pb.make_jaxpr(pb.grad(f))(X, Y),
        pb.make_jaxpr(pb.vmap(f))(XS, XS),
    ):
        verify(program)
        assert "custom_vjp_call[" in str(program) and "name=f" in str(program)


def _with(fwd: Any, bwd: Any) -> Any:
    def f(x: Any, p: Any) -> Any:
        return x * p["w"]

    out = custom_vjp(f)
    out.defvjp(fwd, bwd)
    return pb.grad(out, (0, 1))


_FWD = lambda x, p: (x * p["w"], None)


@pytest.mark.parametrize(
    ("fwd", "bwd", "message"),
    [
        (lambda x, p: x * p["w"], None, r"fwd rule .* must return a pair \(output, residuals\)"),
        (lambda x, p: (["a"], None), None, r"primal output of the fwd rule.*\[0\] is 'a' of type str"),
        (_FWD, lambda r, g: (g,), r"each of the 2 differentiable arguments.*tuple of length 2"),
        (_FWD, lambda r, g: g, r"must return a tuple"),
        (_FWD, lambda r, g: (g, {"v": g}), r"at key path \[1\].*'w'"),
        (_FWD, lambda r, g: (g, g), r"at key path \[1\]"),
        (
            _FWD,
            lambda r, g: (g, {"w": pnp.ones(3)}),
            r"output\[1\]\['w'\].*expected float32\[\], got float32\[3\]",
        ),
        (
            _FWD,
            lambda r, g: (g, {"w": g + 0j}),
            r"output\[1\]\['w'\].*expected float32\[\], got complex64\[\]",
        ),
        (_FWD, lambda r, g: (g, {"w": "no"}), r"output\[1\]\['w'\].*got 'no'"),
    ],
)
def test_wrong_rules(fwd: Any, bwd: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        _with(fwd, bwd or (lambda r, g: (g, None)))(2.0, {"w": 3.0})


def test_fwd_must_return_the_functions_output() -> None:
    f = custom_vjp(lambda x: (x, x))
    f.defvjp(lambda x: ([x, x], None), lambda r, g: (g[0],))
    with pytest.raises(StructureError, match="same structure as the function"):
        pb.grad(pb.jit(lambda x: f(x)[0]))(1.0)


def test_missing_rule() -> None:
    with pytest.raises(AttributeError, match=r"has no rule: define one with .*defvjp"):
        custom_vjp(lambda x: x)(1.0)


def test_closure_over_a_differentiated_value() -> None:
    def outer(y: Any, x: Any) -> Any:
        f = custom_vjp(lambda x: x * y)
        f.defvjp(lambda x: (x * y, None), lambda _, g: (g * y,))
        return f(x)

    with pytest.raises(UnexpectedTracerError, match=r"closes over the traced value 'y'.*closure_convert"):
        pb.grad(outer)(3.0, 2.0)
    with pytest.raises(NotDifferentiableError, match=r"closes over a value.*closure_convert"):
        pb.grad(pb.jit(outer))(3.0, 2.0)
    with pytest.raises(UnexpectedTracerError, match="closure_convert"):
        pb.grad(pb.jit(outer), 1)(3.0, 2.0)


# Relatives -----------------------------------------------------------------------------------------------


def _minimize(lib: Any) -> Any:
    """The documents' pattern: a solver with a rule, of an objective that closes over a parameter."""

    def solve(objective: Any, x0: Any) -> Any:
        converted, consts = lib.derivatives.closure_convert(objective, x0)
        return inner(converted, x0, *consts)

    def inner(objective: Any, x0: Any, *consts: Any) -> Any:
        return objective(x0, *consts) * 2

    inner = lib.derivatives.custom_vjp(inner, nondiff_argnums=(0,))
    inner.defvjp(
        lambda objective, x0, *consts: (inner(objective, x0, *consts), (x0, consts)),
        lambda objective, r, g: (None, *[10 * g * r[0] for _ in r[1]]),
    )
    return solve


def test_closure_convert() -> None:
    def body(lib: Any) -> Any:
        solve = _minimize(lib)
        outer = lambda w, x: solve(lambda z: w * z, x)
        return (
            lib.pb.grad(outer, (0, 1))(3.0, 2.0),
            lib.pb.jit(lib.pb.grad(outer))(3.0, 2.0),
            lib.pb.vmap(lib.pb.grad(outer), (0, None))(XS, 2.0),
            outer(3.0, 2.0),
        )

    assert_same(body)


def test_closure_convert_checks_arguments() -> None:
    converted, consts = closure_convert(lambda x: x["a"] * XS, {"a": 2.0})
    assert consts == []
    np.testing.assert_allclose(np.asarray(converted({"a": 3.0})), 3 * XS)
    with pytest.raises(StructureError, match="structure of the example's"):
        converted({"b": 3.0})


def test_custom_gradient() -> None:
    def body(lib: Any) -> Any:
        @lib.derivatives.custom_gradient
        def f(x: Any) -> Any:
            s = lib.np.sin(x)
            return x**2, lambda g: (g * s,)

        @lib.derivatives.custom_gradient
        def h(x: Any, y: Any) -> Any:
            return x * y, lambda g: (y, x)

        x, y = lib.np.array(X), lib.np.array(Y)  # JAX would compute with bare numbers in Python
        return (
            f(x),
            lib.pb.grad(f)(x),
            lib.pb.jit(lib.pb.grad(f))(x),
            lib.pb.grad(lib.pb.jit(f))(x),
            lib.pb.vmap(lib.pb.grad(f))(XS),
            lib.pb.grad(h, (0, 1))(x, y),
        )

    assert_same(body)
    with pytest.raises(TypeError, match="return a pair"):
        custom_gradient(lambda x: x)(1.0)


def test_linear_call() -> None:
    def body(lib: Any) -> Any:
        def f(w: Any, x: Any) -> Any:
            fun = lambda w, x: {"o": x / w}
            transpose = lambda w, ct: 5 * ct["o"] / w
            return lib.derivatives.linear_call(fun, transpose, w, x)["o"]

        g = lambda x: lib.np.sum(f(2.0, x))
        return (
            f(2.0, X),
            lib.pb.grad(g)(X),
            lib.pb.jvp(lambda x: f(2.0, x), (X,), (1.0,)),
            lib.pb.jit(lib.pb.grad(g))(X),
        )

    assert_same(body)
    f = lambda w, x: linear_call(lambda w, x: x / w, lambda w, ct: ct / w, w, x)
    np.testing.assert_allclose(np.asarray(pb.vmap(pb.grad(f, 1), (0, None))(XS, 1.0)), 1 / XS, rtol=1e-6)
    np.testing.assert_allclose(
        np.asarray(pb.grad(lambda x: pnp.sum(pb.vmap(f, (0, None))(XS, x)))(1.0)), np.sum(1 / XS), rtol=1e-6
    )
    back = pb.linear_transpose(lambda x: f(4.0, x), 1.0)
    np.testing.assert_allclose(float(back(1.0)[0]), 0.25)
    np.testing.assert_allclose(float(pb.linear_transpose(lambda ct: back(ct)[0], 1.0)(1.0)[0]), 0.25)
    for transpose, message in (
        (
            lambda w, ct: ct * pnp.ones(3),
            r"cotangent from .*expected float32\[\], got float32\[3\]; sum it over",
        ),
        (lambda w, ct: ct * 1j, r"expected float32\[\], got complex64\[\].*numpy\.real"),
        (lambda w, ct: {"a": ct}, "in the structure of linear_args"),
    ):
        with pytest.raises(TypeError, match=message):
            pb.grad(lambda x: linear_call(lambda w, x: x / w, transpose, 2.0, x))(1.0)  # noqa: B023


QUOTIENTS = {
    "operation": lambda w, x: x / w,
    "jit": lambda w, x: pb.jit(lambda w: 1 / w)(w) * x,
    "loop": lambda w, x: lax.fori_loop(0, 1, lambda i, x: x / w, x),
}


@pytest.mark.parametrize("name", QUOTIENTS)
def test_derivatives_of_linear_call_by_residuals(name: str) -> None:
    quotient = QUOTIENTS[name]
    calls = []

    def f(w: Any, x: Any) -> Any:
        def transpose(w: Any, ct: Any) -> Any:
            calls.append(ct)
            return quotient(w, ct)

        return linear_call(quotient, transpose, w, pnp.sin(x))

    with enable_x64(True):
        w, x = 1.5, 0.7
        s, c = np.sin(x), np.cos(x)
        for wrap in (lambda f: f, pb.jit):
            np.testing.assert_allclose(wrap(pb.grad(f, (0, 1)))(w, x), (-s / w**2, c / w), rtol=1e-14)
            np.testing.assert_allclose(wrap(pb.jacfwd(f, (0, 1)))(w, x), (-s / w**2, c / w), rtol=1e-14)
            expected = [[2 * s / w**3, -c / w**2], [-c / w**2, -s / w]]
            for outer in (pb.jacfwd, pb.jacrev):
                for inner in (pb.jacfwd, pb.jacrev):
                    found = wrap(outer(inner(f, (0, 1)), (0, 1)))(w, x)
                    np.testing.assert_allclose(found, expected, rtol=1e-13)
        assert calls
        ws = np.array([1.0, 2.0, 4.0])
        np.testing.assert_allclose(pb.vmap(pb.grad(f), (0, None))(ws, x), -s / ws**2, rtol=1e-14)
        np.testing.assert_allclose(
            pb.grad(lambda w: pb.vmap(f, (None, 0))(w, ws).sum())(w), -np.sin(ws).sum() / w**2, rtol=1e-14
        )
        pb.test_util.check_grads(f, (w, x), order=2)


def test_custom_vmap() -> None:
    def body(lib: Any) -> Any:
        @lib.batching.custom_vmap
        def f(x: Any, y: Any) -> Any:
            return x * y

        @f.def_vmap
        def rule(axis_size: Any, in_batched: Any, x: Any, y: Any) -> Any:
            assert axis_size == 4
            return x * y * (100 if in_batched[1] else 10), in_batched[0] or in_batched[1]

        g = lib.batching.sequential_vmap(lambda x: {"a": lib.np.sin(x), "b": x})
        xs = lib.np.array(XS)
        return (
            f(lib.np.array(2.0), 3.0),
            lib.pb.vmap(f, (0, None))(xs, 2.0),
            lib.pb.vmap(f)(xs, xs),
            lib.pb.jit(lib.pb.vmap(f))(xs, xs),
            lib.pb.vmap(lib.pb.jit(f))(xs, xs),
            lib.pb.vmap(g)(xs),
            f,
        )

    assert_same(lambda lib: body(lib)[:-1])
    f = body(PULLBACK)[-1]  # JAX cannot differentiate such functions
    gradient = pb.grad(lambda x: pnp.sum(pb.vmap(f, (0, None))(x, 2.0)))(XS)
    np.testing.assert_allclose(np.asarray(gradient), np.full(4, 20.0))
    assert float(pb.grad(f)(2.0, 3.0)) == 3.0
    assert float(pb.grad(pb.jit(f), 1)(2.0, 3.0)) == 2.0


def test_custom_vmap_errors() -> None:
    f = pb.custom_batching.custom_vmap(lambda x: x)
    with pytest.raises(AttributeError, match="def_vmap"):
        f(1.0)
    f.def_vmap(lambda size, batched, x: x)
    with pytest.raises(TypeError, match="must return a pair"):
        pb.vmap(f)(XS)
    f.def_vmap(lambda size, batched, x: (x, (True,)))
    with pytest.raises(StructureError, match="flags"):
        pb.vmap(f)(XS)
    f.def_vmap(lambda size, batched, x: (x[:2], True))
    with pytest.raises(TypeError, match="leading axis must have size 4"):
        pb.vmap(f)(XS)
