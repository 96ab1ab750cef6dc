"""custom_jvp: against JAX under every transformation, and its errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback._src.base.errors import NotDifferentiableError, UnexpectedTracerError
from pullback._src.core.verify import verify
from pullback.custom_derivatives import SymbolicZero, custom_jvp

from .library import assert_same

X, Y = 0.7, 1.3
XS = np.linspace(0.1, 1.0, 4, dtype=np.float32)


def _f(lib: Any) -> Any:
    """sin(x) * y, with a rule whose tangent is recognizably not its derivative (a factor of 2)."""

    @lib.derivatives.custom_jvp
    def f(x: Any, y: Any) -> Any:
        return lib.np.sin(x) * y

    @f.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x, y), (tx, ty) = primals, tangents
        return f(x, y), 2 * lib.np.cos(x) * y * tx + lib.np.sin(x) * ty

    return f


TRANSFORMED: dict[str, Callable[[Any, Any], Any]] = {
    "value": lambda lib, f: f(X, Y),
    "keywords": lambda lib, f: lib.pb.grad(lambda x: f(y=Y, x=x))(X),
    "jvp": lambda lib, f: lib.pb.jvp(f, (X, Y), (1.0, 0.5)),
    "grad": lambda lib, f: lib.pb.grad(f, (0, 1))(X, Y),
    "jit": lambda lib, f: lib.pb.jit(f)(X, Y),
    "jit-grad": lambda lib, f: lib.pb.jit(lib.pb.grad(f, (0, 1)))(X, Y),
    "grad-jit": lambda lib, f: lib.pb.grad(lib.pb.jit(f), (0, 1))(X, Y),
    "jvp-jit": lambda lib, f: lib.pb.jvp(lib.pb.jit(f), (X, Y), (1.0, 0.5)),
    "vmap": lambda lib, f: lib.pb.vmap(f, (0, None))(XS, Y),
    "vmap-grad": lambda lib, f: lib.pb.vmap(lib.pb.grad(f, (0, 1)), (0, None))(XS, Y),
    "grad-vmap": lambda lib, f: lib.pb.grad(lambda x, y: lib.np.sum(lib.pb.vmap(f, (0, None))(x, y)), (0, 1))(
        XS, Y
    ),
    "jvp-vmap": lambda lib, f: lib.pb.jvp(lib.pb.vmap(f), (XS, XS), (XS, XS)),
    "jit-vmap-grad-jit": lambda lib, f: lib.pb.jit(lib.pb.vmap(lib.pb.grad(lib.pb.jit(f)), (0, None)))(XS, Y),
    "grad-jit-vmap": lambda lib, f: lib.pb.grad(
        lambda x: lib.np.sum(lib.pb.jit(lib.pb.vmap(f, (0, None)))(x, Y))
    )(XS),
    "vmap-vmap-grad": lambda lib, f: lib.pb.vmap(lib.pb.vmap(lib.pb.grad(f, 1), (None, 0)), (0, None))(
        XS, XS
    ),
    "vmap-out-axes": lambda lib, f: lib.pb.vmap(lambda x: f(x, XS), in_axes=1, out_axes=1)(
        np.stack([XS, 2 * XS], 1)
    ),
    "grad-grad": lambda lib, f: lib.pb.grad(lib.pb.grad(f))(X, Y),
    "hessian": lambda lib, f: lib.pb.hessian(f, (0, 1))(X, Y),
    "jacfwd-jacrev": lambda lib, f: lib.pb.jacfwd(lib.pb.jacrev(f))(X, Y),
    "linearize": lambda lib, f: lib.pb.linearize(f, X, Y)[1](1.0, 2.0),
}


@pytest.mark.parametrize("name", TRANSFORMED)
def test_transformations(name: str) -> None:
    assert_same(lambda lib: TRANSFORMED[name](lib, _f(lib)))


@pytest.mark.parametrize("kind", ["jit", "loop", "scan"])
def test_rules_that_push_tangents_through_programs(kind: str) -> None:
    """The rule is the jvp of a program, in which values and tangents come from one equation."""

    def body(lib: Any) -> Any:
        programs = {
            "jit": lib.pb.jit(lambda x: lib.np.sin(x) * x),
            "loop": lambda x: lib.lax.fori_loop(0, 3, lambda i, c: lib.np.sin(c) * x, x),
            "scan": lambda x: lib.lax.scan(lambda c, _: (lib.np.sin(c) * x, None), x, None, length=3)[0],
        }
        g = programs[kind]
        f = lib.derivatives.custom_jvp(g)
        f.defjvp(lambda p, t: lib.pb.jvp(g, p, t))
        out, pull = lib.pb.vjp(f, lib.np.array(XS))
        total = lambda x: lib.np.sum(f(x))
        return (
            out,
            pull(out),
            lib.pb.jit(lib.pb.value_and_grad(total))(XS),
            lib.pb.value_and_grad(lib.pb.jit(total))(XS),
            lib.pb.vmap(lib.pb.value_and_grad(f))(XS),
            lib.pb.hessian(total)(XS),
            lib.pb.linearize(f, lib.np.array(XS))[1](XS),
        )

    assert_same(body, rtol=1e-4)


def test_pytrees() -> None:
    def body(lib: Any) -> Any:
        @lib.derivatives.custom_jvp
        def f(p: Any, s: Any = 2.0) -> Any:
            return {"a": p["w"] * s, "b": (p["v"],)}

        @f.defjvp
        def rule(primals: Any, tangents: Any) -> Any:
            (p, s), (tp, ts) = primals, tangents
            return f(p, s), {"a": 3 * tp["w"] * s + p["w"] * ts, "b": (tp["v"],)}

        p = {"w": lib.np.array(XS), "v": 2 * lib.np.array(XS)}
        out = lib.pb.jvp(f, (p,), (p,))
        grad = lib.pb.grad(lambda p: lib.np.sum(f(p)["a"]) + lib.np.sum(f(p)["b"][0]))(p)
        return out, grad

    assert_same(body)


def test_python_control_flow_on_values() -> None:
    def body(lib: Any) -> Any:
        @lib.derivatives.custom_jvp
        def f(x: Any) -> Any:
            return x * 2 if x > 0 else x * 3

        @f.defjvp
        def rule(primals: Any, tangents: Any) -> Any:
            (x,), (t,) = primals, tangents
            return f(x), t * (20 if x > 0 else 30)

        return [lib.pb.grad(f)(v) for v in (1.0, -1.0)]

    assert_same(body)


def test_nondiff_argnums() -> None:
    def body(lib: Any) -> Any:
        def apply(g: Any, x: Any, n: Any) -> Any:
            return g(x) * n

        f = lib.derivatives.custom_jvp(apply, nondiff_argnums=(0, 2))
        f.defjvp(lambda g, n, primals, tangents: (f(g, primals[0], n), tangents[0] * n * 7))
        grad = lambda x, n: lib.pb.grad(lambda x: f(lib.np.sin, x, n))(x)
        return grad(X, 3), lib.pb.vmap(grad, (0, None))(XS, 3.0), lib.pb.jit(grad)(X, 2.0)

    assert_same(body)


def test_nondiff_argnames() -> None:
    f = custom_jvp(lambda x, n: x * n, nondiff_argnames=("n",))
    f.defjvp(lambda n, primals, tangents: (f(primals[0], n), 5 * tangents[0]))
    assert float(pb.grad(f)(2.0, 3)) == 5.0
    with pytest.raises(ValueError, match="nondiff_argnames has 'm'"):
        custom_jvp(lambda x, n: x * n, nondiff_argnames="m")
    with pytest.raises(ValueError, match="out of range"):
        custom_jvp(lambda x: x, nondiff_argnums=(1,))


def test_mapped_nondiff_argument_is_stopped() -> None:
    f = custom_jvp(lambda n, x: x * n, nondiff_argnums=(0,))
    f.defjvp(lambda n, primals, tangents: (f(n, *primals), tangents[0] * n))
    out = pb.vmap(lambda n: pb.grad(lambda x: f(n, x))(2.0))(XS)
    np.testing.assert_allclose(np.asarray(out), XS)
    assert float(pb.grad(f, 0)(3.0, 2.0)) == 0.0


def test_defjvps() -> None:
    def body(lib: Any) -> Any:
        f = lib.derivatives.custom_jvp(lambda x, y, z: lib.np.sin(x) * y + z)
        f.defjvps(lambda t, ans, x, y, z: 2 * lib.np.cos(x) * y * t, lambda t, ans, x, y, z: t * ans, None)
        return lib.pb.grad(f, (0, 1, 2))(X, Y, 0.0), lib.pb.jvp(f, (X, Y, 1.0), (1.0, 1.0, 1.0))

    assert_same(body)


def test_integer_arguments_get_float0_tangents() -> None:
    seen = []
    f = custom_jvp(lambda x, n: x * n)

    @f.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        seen.append(tangents[1].dtype)
        return f(*primals), tangents[0] * primals[1]

    assert float(pb.grad(f)(2.0, 3)) == 3.0
    assert seen == [pb.float0]


def test_symbolic_zeros() -> None:
    seen: list[Any] = []
    f = custom_jvp(lambda x, y: x * y)

    def rule(primals: Any, tangents: Any) -> Any:
        seen.extend(type(t) for t in tangents)
        return f(*primals), tangents[0] * primals[1]

    f.defjvp(rule, symbolic_zeros=True)
    assert float(pb.grad(f)(2.0, 3.0)) == 3.0
    assert seen[1] is SymbolicZero and seen[0] is not SymbolicZero
    f.defjvp(lambda p, t: (f(*p), t[1]), symbolic_zeros=True)
    assert float(pb.grad(f)(2.0, 3.0)) == 0.0


def test_closed_over_mapped_value() -> None:
    def body(lib: Any) -> Any:
        def outer(y: Any, x: Any) -> Any:
            f = lib.derivatives.custom_jvp(lambda x: x * y)
            f.defjvp(lambda p, t: (p[0] * y, 3 * t[0] * y))
            return f(x)

        return (
            lib.pb.vmap(outer, (0, None))(XS, 2.0),
            lib.pb.vmap(lib.pb.grad(outer, 1), (0, None))(XS, 2.0),
            lib.pb.grad(lambda x: lib.np.sum(lib.pb.vmap(outer, (0, None))(XS, x)))(2.0),
        )

    assert_same(body)


def test_unmapped_call_under_vmap_stays_concrete() -> None:
    f = custom_jvp(lambda x: x * 2)
    f.defjvp(lambda p, t: (f(*p), t[0]))
    out = pb.vmap(lambda x: x if f(pnp.array(1.0)) > 0 else -x)(XS)
    np.testing.assert_array_equal(np.asarray(out), XS)


def test_program() -> None:
    f = _f(type("Lib", (), {"derivatives": pb.custom_derivatives, "np": pnp}))
    program = pb.make_jaxpr(f)(1.0, 2.0)
    verify(program)
    text = str(program)
    assert "custom_jvp_call[" in text and "name=f" in text and "jvp=rule" in text
    verify(pb.make_jaxpr(pb.vmap(f))(XS, XS))


def test_method() -> None:
    class Model:
        def __init__(self) -> None:
            self.scale = 3.0

        def _call(self, x: Any) -> Any:
            return x * self.scale

        call = custom_jvp(_call, nondiff_argnums=(0,))
        call.defjvp(lambda self, p, t: (p[0] * self.scale, 10 * t[0]))

    assert float(pb.grad(Model().call)(1.0)) == 10.0


def _rule(out: Callable[[Any, Any], Any]) -> Any:
    f = custom_jvp(lambda x: {"a": x, "b": x})
    f.defjvp(lambda p, t: out(p[0], t[0]))
    return f


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (lambda x, t: {"a": x, "b": x}, r"must return a pair \(output, output tangent\)"),
        (lambda x, t: ({"a": x, "b": x}, {"a": t, "c": t}), r"structure of the primal output.*'b'"),
        (
            lambda x, t: ({"a": x, "b": x}, {"a": t, "b": pnp.ones(3)}),
            r"tangent at output\['b'\].*expected float32\[\], got float32\[3\]",
        ),
        (
            lambda x, t: ({"a": x, "b": x}, {"a": t, "b": pnp.ones((), "int32")}),
            r"tangent at output\['b'\].*expected float32\[\], got int32\[\]",
        ),
        (
            lambda x, t: ({"a": x, "b": x}, {"a": t, "b": t.astype("float16")}),
            r"tangent at output\['b'\].*expected float32\[\], got float16\[\]; .*astype\('float32'\)",
        ),
        (lambda x, t: ({"a": x, "b": "no"}, {"a": t, "b": t}), r"output.*\['b'\] is 'no' of type str"),
    ],
)
def test_wrong_rules(out: Callable[[Any, Any], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        pb.jvp(_rule(out), (1.0,), (1.0,))
    with pytest.raises(TypeError, match=message):
        pb.vjp(_rule(out), 1.0)


def test_rule_must_return_the_functions_output() -> None:
    f = custom_jvp(lambda x: x)
    f.defjvp(lambda p, t: (pnp.ones(2), pnp.ones(2)))
    with pytest.raises(TypeError, match=r"same type as the function.*expected float32\[\], got float32\[2\]"):
        pb.grad(pb.jit(f))(1.0)


def test_missing_rule() -> None:
    f = custom_jvp(lambda x: x)
    f.fun.__name__ = "f"
    with pytest.raises(AttributeError, match=r"custom_jvp function f has no rule: define one with f\.defjvp"):
        f(1.0)


def test_argument_that_is_no_array() -> None:
    f = custom_jvp(lambda x, s: x)
    f.defjvp(lambda p, t: (p[0], t[0]))
    with pytest.raises(TypeError, match=r"argument\[1\] is 'text'.*nondiff_argnums"):
        pb.grad(f)(1.0, "text")


def test_closure_over_a_differentiated_value() -> None:
    def outer(y: Any) -> Any:
        f = custom_jvp(lambda x: x * y)
        f.defjvp(lambda p, t: (p[0] * y, t[0] * y))
        return f(2.0)

    with pytest.raises(UnexpectedTracerError, match=r"closes over the traced value.*'y'.*closure_convert"):
        pb.grad(outer)(3.0)
    with pytest.raises(NotDifferentiableError, match=r"closes over a value.*closure_convert"):
        pb.grad(pb.jit(outer))(3.0)
