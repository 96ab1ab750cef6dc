"""Forward mode from reverse mode only, and reverse mode from forward mode only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback._src.base.errors import NotDifferentiableError
from pullback.test_util import check_grads, check_jvp, check_vjp

X = np.array([0.3, -0.7, 1.1], np.float32)
A = np.array([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]], np.float32)


def function(lib: Any) -> Callable[..., Any]:
    def f(p: Any, x: Any) -> Any:
        h = lib.tanh(p["w"] @ x) * p["s"]
        return {"h": h, "e": lib.sum(lib.exp(x)) * p["s"]}

    return f


F, G = function(pnp), function(jnp)
ARGS = ({"w": A, "s": np.float32(1.5)}, X)
TANGENTS = ({"w": A[:, ::-1].copy(), "s": np.float32(-0.5)}, X[::-1].copy())
COTANGENT = {"h": np.array([1.0, -2.0], np.float32), "e": np.float32(0.25)}


def same(ours: Any, theirs: Any, rtol: float = 2e-5) -> None:
    a, b = pb.tree_util.tree_leaves(ours), jax.tree.leaves(theirs)
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert x.dtype == y.dtype
        scale = np.max(np.abs(np.asarray(y)), initial=0.0)
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=rtol, atol=rtol * scale)


def our_jvp(f: Any, primals: Any, tangents: Any) -> Any:
    return pb.jvp_from_vjp(f)(primals, tangents)


def our_vjp(f: Any, *primals: Any) -> Any:
    return pb.vjp_from_jvp(f)(*primals)


@pytest.mark.parametrize("f", [F, pb.jit(F)])
def test_against_jax(f: Any) -> None:
    same(our_jvp(f, ARGS, TANGENTS), jax.jvp(G, ARGS, TANGENTS))
    same(pb.jit(lambda p, t: our_jvp(f, p, t))(ARGS, TANGENTS), jax.jvp(G, ARGS, TANGENTS))
    out, pull = our_vjp(f, *ARGS)
    expected, reference = jax.vjp(G, *ARGS)
    same((out, pull(COTANGENT)), (expected, reference(COTANGENT)))
    same(pb.jit(lambda *a: our_vjp(f, *a)[1](COTANGENT))(*ARGS), reference(COTANGENT))


def test_vmap() -> None:
    xs, ts = np.stack([X, 2 * X]), np.stack([X[::-1], X])
    ours = pb.vmap(lambda x, t: our_jvp(lambda x: F(ARGS[0], x), (x,), (t,)))(xs, ts)
    same(ours, jax.vmap(lambda x, t: jax.jvp(lambda x: G(ARGS[0], x), (x,), (t,)))(xs, ts))
    ours = pb.vmap(lambda x: our_vjp(F, ARGS[0], x)[1](COTANGENT))(xs)
    same(ours, jax.vmap(lambda x: jax.vjp(G, ARGS[0], x)[1](COTANGENT))(xs))
    # Pullbacks and pushforwards over a basis.
    _, pull = our_vjp(lambda x: F(ARGS[0], x)["h"], X)
    jacobian = jax.jacobian(lambda x: G(ARGS[0], x)["h"])(X)
    same(pb.vmap(pull)(np.eye(2, dtype=np.float32)), (jacobian,))
    rows = pb.vmap(lambda t: our_jvp(lambda x: F(ARGS[0], x)["h"], (X,), (t,))[1])(
        np.eye(3, dtype=np.float32)
    )
    same(rows, jacobian.T)


def loss(lib: Any) -> Any:
    return lambda w, x: lib.sum(lib.tanh(w @ x) ** 2) * lib.sum(lib.exp(x))


def test_nested_both_ways() -> None:
    """Derivatives of, and through, derived modes, by values over which the function closes as well."""
    f, g = loss(pnp), loss(jnp)
    slope = lambda w, x: our_jvp(lambda x: f(w, x), (x,), (X,))[1]
    gradient = lambda w, x: our_vjp(lambda x: f(w, x), x)[1](1.0)[0]
    slope_ref = lambda w, x: jax.jvp(lambda x: g(w, x), (x,), (X,))[1]
    gradient_ref = jax.grad(g, 1)
    for transform in (lambda t: t, pb.jit):
        for a, b in ((slope, slope_ref), (gradient, gradient_ref)):
            same(transform(pb.jacrev(a, (0, 1)))(A, X), jax.jacrev(b, (0, 1))(A, X))
            same(transform(pb.jacfwd(a, (0, 1)))(A, X), jax.jacfwd(b, (0, 1))(A, X))
            same(pb.jvp(transform(a), (A, X), (A, X)), jax.jvp(b, (A, X), (A, X)))
            same(
                pb.grad(lambda w, x, a=a: a(w, x).sum() ** 2)(A, X),
                jax.grad(lambda w, x, b=b: b(w, x).sum() ** 2)(A, X),
            )
    # Reverse mode by forward mode by reverse mode, and the other way round.
    same(
        our_vjp(lambda x: our_jvp(lambda x: f(A, x), (x,), (X,))[1], X)[1](1.0)[0],
        jax.grad(slope_ref, 1)(A, X),
    )
    hvp = jax.jvp(lambda x: gradient_ref(A, x), (X,), (X,))[1]
    same(our_jvp(lambda x: our_vjp(lambda x: f(A, x), x)[1](1.0)[0], (X,), (X,))[1], hvp)


def test_higher_orders() -> None:
    with pb.enable_x64(True):
        f = lambda x: {"a": pnp.sin(x) * x[0], "b": pnp.prod(x)}
        x = (X.astype(np.float64),)
        check_jvp(f, pb.jvp_from_vjp(f), x)
        check_vjp(f, pb.vjp_from_jvp(f), x)
        check_grads(lambda x: pb.jvp_from_vjp(f)((x,), (x,))[1], x, 2)
        check_grads(lambda x: pb.vjp_from_jvp(f)(x)[1]({"a": x, "b": x[0]}), x, 2)


def test_complex_and_integers() -> None:
    z, t = np.complex64(0.3 + 0.2j), np.complex64(-1.0 + 0.5j)
    for name in ("f", "g"):
        lib = pnp if name == "f" else jnp
        f = lambda z, n, lib=lib: (lib.conj(z) * z**n, lib.abs(z) ** 2, n + 1)
        if name == "f":
            zero = np.zeros((), pb.float0)
            ours = our_jvp(f, (z, 2), (t, zero))
            pulled = our_vjp(f, z, 2)[1]((t, np.float32(2.0), zero))
        else:
            zero = np.zeros((), jax.dtypes.float0)
            same((ours[0][:2], ours[1][:2]), [v[:2] for v in jax.jvp(f, (z, 2), (t, zero))])
            same(pulled[0], jax.vjp(f, z, 2)[1]((t, np.float32(2.0), zero))[0])
    assert ours[1][2].dtype == pb.float0
    assert pulled[1].dtype == pb.float0


def test_given_rules() -> None:
    """A derivative from elsewhere in place of Pullback's: here, twice the derivative of x * x."""
    forward = pb.jvp_from_vjp(vjp=lambda x: (x * x, lambda ct: (4 * x * ct,)))
    same(forward((X,), (X,)), (X * X, 4 * X * X))
    same(pb.jit(pb.grad(lambda x: forward((x,), (X,))[1].sum()))(X), 4 * X)
    backward = pb.vjp_from_jvp(jvp=lambda p, t: (p[0] * p[0], 4 * p[0] * t[0]))
    out, pull = backward(X)
    same((out, pull(X)), (X * X, (4 * X * X,)))
    same(pb.jit(pb.jacfwd(lambda x: backward(x)[1](X)[0]))(X), np.diag(4 * X))
    # From one to the other and back.
    _, pull = pb.vjp_from_jvp(jvp=forward)(X)
    same(pull(X), (4 * X * X,))


def test_loops_run_forwards_and_back() -> None:
    f = lambda x: pb.lax.fori_loop(0, 3, lambda i, c: pnp.sin(c) * x, x)
    g = lambda x: jnp.sin(jnp.sin(jnp.sin(x) * x) * x) * x
    same(our_jvp(f, (X,), (X,)), jax.jvp(g, (X,), (X,)))
    out, pull = our_vjp(f, X)
    same((out, pull(X)), (g(X), jax.vjp(g, X)[1](X)))


def test_errors() -> None:
    with pytest.raises(TypeError, match=r"either a function, or its derivative as vjp=.*neither"):
        pb.jvp_from_vjp()
    with pytest.raises(TypeError, match=r"either a function, or its derivative as jvp=.*both"):
        pb.vjp_from_jvp(F, jvp=F)
    with pytest.raises(TypeError, match="expects a function, got 3"):
        pb.vjp_from_jvp(3)  # type: ignore[arg-type]
    with pytest.raises(NotDifferentiableError, match="linear in the cotangent"):
        pb.jvp_from_vjp(vjp=lambda x: (x, lambda ct: (ct * ct,)))((1.0,), (1.0,))
    with pytest.raises(NotDifferentiableError, match="linear"):
        pb.vjp_from_jvp(jvp=lambda p, t: (p[0], t[0] * t[0]))(1.0)[1](1.0)
    with pytest.raises(TypeError, match=r"must return a pair \(output, pullback\)"):
        pb.jvp_from_vjp(vjp=lambda x: x)((1.0,), (1.0,))
    with pytest.raises(TypeError, match=r"expected float32\[3\], got float32\[\]; expand it"):
        pb.vjp_from_jvp(jvp=lambda p, t: (p[0], t[0].sum()))(X)
    with pytest.raises(TypeError, match="jvp: each tangent must have the shape of its primal"):
        pb.jvp_from_vjp(F)(ARGS, (TANGENTS[0], X[:2]))
