"""`vjp`, `jvp`, `linearize`, `linear_transpose`: values against JAX, and their linear maps as pytrees."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

import pullback as pb
import pullback.lax as lax
import pullback.numpy as pnp

from .oracle import compare

X = np.array([0.1, -0.2, 0.3], np.float32)
Y = np.array([1.0, 2.0, -3.0], np.float32)
F0 = jax.dtypes.float0


class State(NamedTuple):
    position: Any
    velocity: Any


def f(np_: Any) -> Any:
    return lambda x, d: {"a": np_.sin(x) * d["y"], "b": (np_.sum(x), d["y"] ** 2)}


def test_jvp() -> None:
    args = ((X, {"y": Y}), (Y, {"y": X}))
    compare(lambda api, np_: lambda p, t: api.jvp(f(np_), p, t), *args)
    compare(lambda api, np_: api.jit(lambda p, t: api.jvp(f(np_), p, t)), *args)
    compare(lambda api, np_: lambda p, t: api.jvp(f(np_), list(p), list(t)), *args)
    compare(lambda api, np_: lambda x, t: api.jvp(lambda x: (x**2, x), (x,), (t,), has_aux=True), X, Y)


def test_vjp() -> None:
    ct = {"a": Y, "b": (np.float32(2.0), X)}
    compare(lambda api, np_: lambda x, d: api.vjp(f(np_), x, d)[1](ct), X, {"y": Y})
    compare(lambda api, np_: api.jit(lambda x, d: api.vjp(f(np_), x, d)[1](ct)), X, {"y": Y})
    value, pull, aux = pb.vjp(lambda x: (x**2, {"aux": x}), X, has_aux=True)
    assert list(aux) == ["aux"] and len(pull(value)) == 1


def test_linearize() -> None:
    compare(lambda api, np_: lambda x, d: api.linearize(f(np_), x, d)[1](Y, {"y": X}), X, {"y": Y})
    compare(lambda api, np_: api.jit(lambda x, d: api.linearize(f(np_), x, d)[1](Y, {"y": X})), X, {"y": Y})
    runs = []
    _, push = pb.linearize(lambda x: runs.append(1) or pnp.sin(x), X)
    for _ in range(4):
        np.testing.assert_allclose(np.asarray(push(Y)), np.cos(X) * Y, rtol=1e-6)
    assert runs == [1], "the function runs once"
    _, push, aux = pb.linearize(lambda x: (pnp.sin(x), x), X, has_aux=True)
    np.testing.assert_array_equal(np.asarray(aux), X)
    np.testing.assert_allclose(np.asarray(push(Y)), np.cos(X) * Y, rtol=1e-6)


def test_integer_inputs_and_outputs() -> None:
    g = lambda np_: lambda n, x: (n * 2, n * x, x > 0)
    n = np.array([1, 2, 3], np.int32)
    zeros = np.zeros(3, F0)
    compare(lambda api, np_: lambda n, x: api.jvp(g(np_), (n, x), (zeros, x)), n, X)
    compare(lambda api, np_: lambda n, x: api.vjp(g(np_), n, x)[1]((zeros, x, zeros)), n, X)
    compare(lambda api, np_: lambda n, x: api.linearize(g(np_), n, x)[1](zeros, x), n, X)


def test_complex() -> None:
    z = np.array([1 + 2j, -1 + 0.5j], np.complex64)
    for g in (
        lambda np_: lambda z: np_.sin(z) * np_.conj(z),
        lambda np_: lambda z: np_.abs(z) ** 2 * z,
        lambda np_: lambda z: np_.real(z) + 1j * np_.imag(z) * 3,
    ):
        compare(lambda api, np_, g=g: lambda z: api.vjp(g(np_), z)[1](z), z, rtol=1e-5)
        compare(lambda api, np_, g=g: lambda z: api.jvp(g(np_), (z,), (z,)), z, rtol=1e-5)


def test_symbolic_zeros_become_zeros_at_the_boundary() -> None:
    compare(lambda api, np_: lambda x: api.jvp(lambda x: (np_.ones(2), x), (x,), (x,)), X)
    compare(lambda api, np_: lambda x: api.vjp(lambda x, y: y, x, x)[1](x), X)
    compare(lambda api, np_: lambda x: api.linearize(lambda x: (np_.ones(2), x), x)[1](x), X)
    compare(lambda api, np_: lambda x: api.vjp(lambda x: np_.ones(2), x)[1](np.ones(2, np.float32)), X)


# Linear maps are pytrees --------------------------------------------------------------------------


def dynamic(x: Any) -> Any:
    """A function whose operations depend on values."""
    for _ in range(int(pnp.sum(pnp.abs(x)) * 5)):
        x = pnp.sin(x) * 2.0 if x[0] > 0 else x * x
    return {"out": x, "sum": pnp.sum(x)}


def test_vjp_of_python_control_flow_can_be_jitted_and_vmapped() -> None:
    _value, pull = pb.vjp(dynamic, X)
    ct = {"out": pnp.asarray(Y), "sum": pnp.asarray(np.float32(2))}
    expected = pull(ct)[0]
    np.testing.assert_allclose(np.asarray(pb.jit(pull)(ct)[0]), np.asarray(expected), rtol=1e-6)
    np.testing.assert_allclose(
        np.asarray(pb.jit(lambda p, c: p(c))(pull, ct)[0]), np.asarray(expected), rtol=1e-6
    )
    rows = pb.vmap(pull)({"out": pnp.eye(3), "sum": pnp.zeros(3)})[0]
    np.testing.assert_allclose(
        np.asarray(rows), np.asarray(pb.jacrev(lambda x: dynamic(x)["out"])(X)), rtol=1e-5
    )
    basis = {"out": pnp.zeros((2, 3)), "sum": pnp.asarray([1.0, 2.0])}
    sums = pb.jit(pb.vmap(pull))(basis)[0]
    np.testing.assert_allclose(np.asarray(sums[1]), 2 * np.asarray(sums[0]), rtol=1e-6)


def test_residuals_are_the_leaves() -> None:
    _, pull = pb.vjp(lambda x: pnp.sin(x) * 2.0, X)
    leaves, tree = pb.tree_util.tree_flatten(pull)
    assert leaves and all(isinstance(v, pb.Array) for v in leaves)
    doubled = pb.tree_util.tree_map(lambda r: 2.0 * r, pull)
    np.testing.assert_allclose(np.asarray(doubled(Y)[0]), 2 * np.asarray(pull(Y)[0]), rtol=1e-6)
    back = pb.tree_util.tree_unflatten(tree, leaves)
    assert type(back) is type(pull)
    assert "residuals" in repr(pull)


def test_linear_maps_as_results_of_jit_and_vmap() -> None:
    pull = pb.jit(lambda x: pb.vjp(pnp.sin, x)[1])(X)
    np.testing.assert_allclose(np.asarray(pull(Y)[0]), np.cos(X) * Y, rtol=1e-6)
    push = pb.jit(lambda x: pb.linearize(pnp.sin, x)[1])(X)
    np.testing.assert_allclose(np.asarray(push(Y)), np.cos(X) * Y, rtol=1e-6)
    pulls = pb.vmap(lambda x: pb.vjp(pnp.sin, x)[1])(np.stack([X, Y]))
    both = pb.vmap(lambda p, c: p(c)[0])(pulls, np.stack([Y, X]))
    np.testing.assert_allclose(np.asarray(both), [np.cos(X) * Y, np.cos(Y) * X], rtol=1e-5)


def test_linear_maps_can_be_differentiated_and_transposed() -> None:
    _, push = pb.linearize(lambda x: pnp.sin(x) * x, X)
    (transposed,) = pb.linear_transpose(push, X)(Y)
    np.testing.assert_allclose(
        np.asarray(transposed), np.asarray(pb.vjp(lambda x: pnp.sin(x) * x, X)[1](Y)[0])
    )
    assert pb.jvp(push, (X,), (Y,))[1].tolist() == push(Y).tolist()
    _, pull = pb.vjp(pnp.sin, X)
    # By the residuals: the pullback is linear in them too.
    d = pb.grad(lambda p: pnp.sum(p(Y)[0]))(pull)
    (residual,) = pb.tree_util.tree_leaves(d)
    np.testing.assert_allclose(np.asarray(residual), Y)


def test_pullbacks_called_inside_other_transformations() -> None:
    g = lambda x: pb.vjp(lambda y: pnp.sin(y) * x, x)[1](x)[0]
    theirs = lambda x: jax.vjp(lambda y: jax.numpy.sin(y) * x, x)[1](x)[0]
    np.testing.assert_allclose(
        np.asarray(pb.jacfwd(g)(X)), np.asarray(jax.jacfwd(theirs)(X)), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        np.asarray(pb.vmap(g)(np.stack([X, Y]))), np.asarray(jax.vmap(theirs)(np.stack([X, Y]))), rtol=1e-5
    )


def test_programs_of_equal_structure_are_shared() -> None:
    """Two linearizations of one function share the program, and with it its transpose and compiled forms."""

    def g(x: Any) -> Any:
        return pnp.sum(pnp.sin(x) * x**2)

    programs = [pb.vjp(g, x)[1].program for x in (X, X, Y, X * 2)]
    assert programs[2] is programs[3] is pb.vjp(g, X)[1].program
    assert pb.vjp(g, X[:2])[1].program is not programs[3], "another shape"
    assert pb.vjp(lambda x: pnp.sum(pnp.sin(x) * x**2), X)[1].program is not programs[3], "another place"

    def branch(x: Any) -> Any:
        return x * 2.0 if x > 0 else x * 3.0

    for _ in range(3):
        up, down = pb.vjp(branch, 1.0)[1], pb.vjp(branch, -1.0)[1]
        assert up.program is not down.program
        assert (float(up(1.0)[0]), float(down(1.0)[0])) == (2.0, 3.0)


def test_literals_and_residuals_keep_their_values_when_programs_are_shared() -> None:
    def scaled(x: Any, factor: Any) -> Any:
        return pnp.sum(x * factor)

    for _ in range(3):
        for factor in (2.0, 3.0, -0.0, 0.0, 1, True, np.float32(5.0), pnp.asarray(7.0)):
            g = pb.grad(scaled)(X, factor)
            np.testing.assert_array_equal(np.asarray(g), np.full(3, np.float32(factor)))
            assert np.signbit(np.asarray(g)).all() == np.signbit(np.float32(factor))


def test_two_residuals_that_are_one_value() -> None:
    x = pnp.asarray(X)
    for _ in range(3):
        _, pull = pb.vjp(lambda a, b: (a * x + b * x, a * a), x, x)
        da, db = pull((pnp.ones(3), pnp.ones(3)))
        np.testing.assert_allclose(np.asarray(da), 3 * X, rtol=1e-6)
        np.testing.assert_allclose(np.asarray(db), X, rtol=1e-6)
        _, pull = pb.vjp(lambda a, b: a * b, x, x)
        assert pull(pnp.ones(3))[0].tolist() == pull(pnp.ones(3))[1].tolist() == x.tolist()


def test_a_pullback_takes_one_cotangent() -> None:
    _, pullback = pb.vjp(lambda x: (x, x), 1.0)
    assert float(pullback((1.0, 2.0))[0]) == 3.0
    with pytest.raises(TypeError, match=r"takes one cotangent, in the structure .* got 2 arguments"):
        pullback(1.0, 2.0)


def test_pullback_text() -> None:
    text = repr(pb.vjp(pnp.sin, X)[1])
    assert text.startswith("Pullback of sin, with 1 residuals; pushforward:\n{ lambda")


# linear_transpose ---------------------------------------------------------------------------------


def test_linear_transpose() -> None:
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    linear = lambda np_: lambda x: {"a": np_.sum(x * 2.0), "b": (np_.reshape(x, (3, 1)) * a.T)}
    ct = {"a": np.float32(1.5), "b": np.ones((3, 2), np.float32)}
    compare(lambda api, np_: api.linear_transpose(linear(np_), X), ct)
    compare(lambda api, np_: api.jit(api.linear_transpose(linear(np_), X)), ct)
    shape = lambda api: api.ShapeDtypeStruct((3,), np.float32)
    compare(lambda api, np_: api.linear_transpose(linear(np_), shape(api)), ct)
    many = np.stack([np.ones((3, 2), np.float32)] * 2)
    batched = {"a": np.ones(2, np.float32), "b": many}
    compare(lambda api, np_: api.vmap(api.linear_transpose(linear(np_), X)), batched)


def test_linear_transpose_of_tangents_of_jitted_functions() -> None:
    """A jvp of a call has values and tangents among its results; the values are factors of other tangents."""
    square = pb.jit(lambda x: pb.jit(lambda x: (x * x, x))(x)[0])

    def transposed(x: Any) -> Any:
        push = lambda t: pb.jvp(lambda x: square(x) * x, (x,), (t,))[1]
        return pb.linear_transpose(push, x)(1.0)[0]

    assert float(transposed(2.0)) == float(pb.jit(transposed)(2.0)) == 12.0
    assert float(pb.grad(transposed)(2.0)) == 12.0


def test_linear_transpose_of_several_arguments() -> None:
    g = lambda np_: lambda x, d: x * 2.0 + d["y"]
    compare(lambda api, np_: api.linear_transpose(g(np_), X, {"y": Y}), X)


def test_linear_transpose_twice_is_the_function() -> None:
    g = lambda x: pnp.cumsum(x)[::-1] * 2.0
    transpose = pb.linear_transpose(g, X)
    again = pb.linear_transpose(lambda ct: transpose(ct)[0], X)
    np.testing.assert_allclose(np.asarray(again(Y)[0]), np.asarray(g(Y)), rtol=1e-6)


def test_linear_transpose_of_a_nonlinear_function() -> None:
    for g in (pnp.sin, lambda x: x * x):
        with pytest.raises(
            TypeError, match=r"(?s)'(sin|mul)' cannot be transposed .* not linear.*" + __file__
        ):
            pb.linear_transpose(g, X)(X)


def test_linear_transpose_of_a_nonlinear_function_under_jit() -> None:
    def square(c: Any) -> Any:
        return pb.linear_transpose(lambda x: x * x, 1.0)(c)

    with pytest.raises(TypeError, match="'mul' cannot be transposed"):
        pb.jit(square)(1.0)


def test_control_flow_inside() -> None:
    g = lambda x: lax.scan(lambda c, r: (c * r, c), pnp.asarray(1.0), x)[0]
    theirs = lambda x: jax.lax.scan(lambda c, r: (c * r, c), jax.numpy.float32(1.0), x)[0]
    for x in (X, Y):
        np.testing.assert_allclose(np.asarray(pb.grad(g)(x)), np.asarray(jax.grad(theirs)(x)), rtol=1e-5)
