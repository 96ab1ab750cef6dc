"""`grad` and `value_and_grad`: arguments, structures, auxiliary data, dtypes; against JAX."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp

from .oracle import compare

X = np.array([0.1, -0.2, 0.3], np.float32)
Y = np.array([1.0, 2.0, -3.0], np.float32)
T = np.polynomial.Polynomial([0, 1])


class Pair(NamedTuple):
    left: Any
    right: Any


@pytest.mark.parametrize("argnums", [0, 1, -1, -2, (0,), (0, 1), (1, 0), (-1, 0), [0, 1], ()])
def test_argnums(argnums: Any) -> None:
    given = tuple(argnums) if isinstance(argnums, list) else argnums
    f = lambda np_: lambda x, y: np_.sum(np_.sin(x) * y**2)
    mine = pb.grad(f(pnp), argnums)(X, Y)
    if argnums != ():
        compare(lambda api, np_: api.grad(f(np_), given), X, Y)
        compare(lambda api, np_: api.value_and_grad(f(np_), given), X, Y)
    else:
        assert mine == ()


@pytest.mark.parametrize("x", [1.0, np.float32(1), np.float16(1), np.ones(()), np.float64(1)], ids=repr)
def test_numbers(x: Any) -> None:
    rtol = 1e-3 if isinstance(x, np.float16) else 1e-6
    compare(lambda api, np_: api.grad(np_.tanh), x, weak=True, rtol=rtol)


@pytest.mark.parametrize(
    "tree",
    [
        {"w": X, "b": 2.0},
        (X, [Y, {"a": 1.0}]),
        [X, None, (Y,)],
        Pair(X, {"c": Y}),
        {"empty": {}, "none": None, "x": X},
        {"b": X, "a": Y},
    ],
    ids=["dict", "tuple", "none", "namedtuple", "empty", "order"],
)
def test_structures(tree: Any) -> None:
    def f(api: Any, np_: Any) -> Any:
        def loss(t: Any) -> Any:
            leaves = (jax.tree if api is jax else pb.tree).leaves(t)
            return sum(np_.sum(np_.sin(v) * (i + 1)) for i, v in enumerate(leaves))

        return loss

    out = compare(lambda api, np_: api.grad(f(api, np_)), tree)
    assert type(out) is type(tree)
    compare(lambda api, np_: api.jit(api.value_and_grad(f(api, np_))), tree)


def test_dataclasses() -> None:
    @pb.tree_util.register_dataclass
    @dataclasses.dataclass
    class Layer:
        weight: Any
        bias: Any
        name: str = dataclasses.field(default="layer", metadata={"static": True})

    layer = Layer(pnp.asarray(X), pnp.asarray(0.5), "first")
    out = pb.grad(lambda p: pnp.sum(p.weight**2) + p.bias * 3)(layer)
    assert type(out) is Layer and out.name == "first"
    np.testing.assert_allclose(np.asarray(out.weight), 2 * X)
    assert float(out.bias) == 3.0


def test_keyword_arguments_are_passed_through() -> None:
    compare(
        lambda api, np_: lambda x, k: api.grad(lambda x, *, scale: np_.sum(x**2) * scale)(x, scale=k), X, 3.0
    )
    compare(lambda api, np_: api.grad(lambda x, y=2.0: np_.sum(x**2) * y), X)
    assert pb.grad(lambda x, flag: x * 2 if flag else x)(1.0, flag=True) == 2.0
    assert pb.grad(lambda x, name: x * len(name))(1.0, "abc") == 3.0  # other arguments may be anything


def test_auxiliary_data() -> None:
    f = lambda np_: lambda x: (np_.sum(x**2), {"x": x, "n": np_.max(x), "static": 3})
    compare(lambda api, np_: api.grad(f(np_), has_aux=True), X)
    value, aux = pb.value_and_grad(f(pnp), has_aux=True)(X)[0]
    assert isinstance(aux["x"], pb.Array) and float(value) == pytest.approx(0.14)
    compare(lambda api, np_: api.value_and_grad(f(np_), has_aux=True), X)
    compare(lambda api, np_: api.jit(api.grad(f(np_), has_aux=True)), X)
    compare(lambda api, np_: api.vmap(api.grad(f(np_), has_aux=True)), np.stack([X, Y]))


@pytest.mark.parametrize("data", ["text", None, ("text", 3, np.ones(2)), [1.5], len])
def test_auxiliary_data_may_be_anything(data: Any) -> None:
    f = lambda x: (x**2, data)
    for got in (
        pb.grad(f, has_aux=True)(2.0)[1],
        pb.vjp(f, 2.0, has_aux=True)[2],
        pb.jvp(f, (2.0,), (1.0,), has_aux=True)[2],
        pb.linearize(f, 2.0, has_aux=True)[2],
        pb.jacrev(f, has_aux=True)(2.0)[1],
    ):
        assert repr(got) == repr(data)


def test_auxiliary_data_are_not_tracers_and_may_be_differentiated_from_outside() -> None:
    def outer(x: Any) -> Any:
        g, aux = pb.grad(lambda y: (y**2, y * x), has_aux=True)(x)
        return g * aux

    assert float(pb.grad(outer)(2.0)) == 6 * 4.0


def test_complex() -> None:
    z = np.complex64(1 + 2j)
    compare(lambda api, np_: api.grad(lambda z: np_.sin(z) * z, holomorphic=True), z)
    compare(lambda api, np_: api.grad(lambda z: np_.abs(z) ** 2), z)
    compare(lambda api, np_: api.grad(lambda z: np_.real(z * z * 1j)), z)
    compare(lambda api, np_: api.grad(lambda x: np_.real(np_.exp(1j * x))), np.float32(0.4))
    compare(
        lambda api, np_: api.grad(lambda z: np_.sum(np_.abs(z))), np.array([1 + 2j, 3 - 1j], np.complex64)
    )


def test_integers_are_allowed_on_request() -> None:
    f = lambda np_: lambda n, x: np_.sum(n * x)
    n = np.array([1, 2, 3], np.int32)
    compare(lambda api, np_: api.grad(f(np_), argnums=(0, 1), allow_int=True), n, X)
    out = pb.grad(f(pnp), allow_int=True)(n, X)
    assert out.dtype == pb.float0 and out.shape == (3,)
    mixed = {"n": n, "x": X}
    compare(lambda api, np_: api.grad(lambda d: np_.sum(d["n"] * d["x"]), allow_int=True), mixed)


def test_unused_arguments_have_zero_gradients() -> None:
    compare(lambda api, np_: api.grad(lambda x, y: np_.sum(x), (0, 1)), X, Y)
    compare(lambda api, np_: api.grad(lambda x: 3.0), X)
    stop = lambda api: jax.lax.stop_gradient if api is jax else pb.stop_gradient
    compare(lambda api, np_: api.grad(lambda x: np_.sum(stop(api)(x)) * 1.0), X)


def test_python_control_flow() -> None:
    def f(np_: Any) -> Any:
        def g(x: Any) -> Any:
            y = x
            while np_.sum(y) < 10:
                y = y * y if np_.sum(y) > 2 else y * 3.0
            return np_.sum(y)

        return g

    compare(lambda api, np_: api.grad(f(np_)), np.array([0.5, 0.7], np.float32), rtol=1e-5)


def test_closures_over_arrays_and_tracers() -> None:
    compare(lambda api, np_: lambda x: api.grad(lambda y: np_.sum(np_.sin(y) * x))(x), X)
    compare(lambda api, np_: api.grad(lambda x: np_.sum(api.grad(lambda y: np_.sum(y**2 * x))(x))), X)


def test_higher_orders() -> None:
    f = lambda x: pnp.sin(x) * x
    derivative: Any = f
    for order in range(1, 6):
        derivative = pb.grad(derivative)
        expected = jax.grad
        theirs: Any = lambda x: jax.numpy.sin(x) * x
        for _ in range(order):
            theirs = expected(theirs)
        assert float(derivative(0.7)) == pytest.approx(float(theirs(0.7)), rel=1e-5)


def test_perturbations_are_not_confused() -> None:
    """d/dx x * d/dy (x + y) at y=1: the inner derivative is 1, whatever x is."""
    assert float(pb.grad(lambda x: x * pb.grad(lambda y: x + y)(1.0))(1.0)) == 1.0
    assert float(pb.grad(lambda x: x * pb.grad(lambda y: x * y)(2.0))(3.0)) == 6.0
    forward = lambda f, x: pb.jvp(f, (x,), (1.0,))[1]
    assert float(forward(lambda x: x * forward(lambda y: x + y, 1.0), 1.0)) == 1.0
    assert float(pb.grad(lambda x: x * forward(lambda y: x * y, 2.0))(3.0)) == 6.0
    assert float(forward(lambda x: x * pb.grad(lambda y: x * y)(2.0), 3.0)) == 6.0
    assert float(pb.grad(lambda x: forward(lambda y: pb.grad(lambda z: x * y * z * z)(x), x))(2.0)) == 8.0
    assert float(pb.grad(pb.grad(lambda x: x * pb.grad(lambda x: x**3)(x)))(2.0)) == 36.0


# Nests of transformations, with polynomials as the independent reference: all of these turn an entrywise
# polynomial into another.
NESTED: dict[str, tuple[Any, Any]] = {
    "grad": (lambda f: pb.grad(lambda x: pnp.sum(f(x) * x)), lambda p: p.deriv() * T + p),
    "jit": (pb.jit, lambda p: p),
    "vmap": (lambda f: lambda x: pb.vmap(f)(pnp.stack([x, 2.0 * x]))[1], lambda p: p(2 * T)),
    "jvp": (lambda f: lambda x: pb.jvp(f, (x,), (x,))[1], lambda p: p.deriv() * T),
    "linear": (lambda f: lambda x: pb.linearize(f, x)[1](x), lambda p: p.deriv() * T),
}


@pytest.mark.parametrize("outer", NESTED)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_nests_of_transformations(depth: int, outer: str) -> None:
    x = np.array([0.3, -0.4], np.float32)
    for nest in itertools.product(NESTED, repeat=depth - 1):
        f: Any = lambda v: 0.5 * v * v * v - v * v + v
        p: Any = np.polynomial.Polynomial([0, 1, -1, 0.5])
        for name in (*nest, outer):
            transform, reference = NESTED[name]
            f, p = transform(f), reference(p)
        result = f(x)
        assert result.shape == (2,) and result.dtype == np.float32
        np.testing.assert_allclose(
            np.asarray(result), p(x), rtol=2e-5, atol=1e-5, err_msg=str((*nest, outer))
        )


def test_results_are_fresh_functions_with_names() -> None:
    def energy(x: Any) -> Any:
        """The energy."""
        return x**2

    assert pb.grad(energy).__name__ == "grad(energy)"
    assert "The energy." in (pb.grad(energy).__doc__ or "")
    assert pb.value_and_grad(energy).__name__ == "value_and_grad(energy)"


def test_threads() -> None:
    f = lambda x: pnp.sum(pnp.sin(x) * x**2)
    expected = np.asarray(pb.grad(f)(X))
    wrong: list[Any] = []

    def work(seed: int) -> None:
        try:
            for i in range(40):
                g = pb.grad(f)(X) if (i + seed) % 2 else pb.jit(pb.grad(f))(X)
                h = pb.vmap(pb.grad(f))(np.stack([X, X]))
                np.testing.assert_allclose(np.asarray(g), expected, rtol=1e-6)
                np.testing.assert_allclose(np.asarray(h)[1], expected, rtol=1e-6)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []
