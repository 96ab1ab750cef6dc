"""Jacobians and Hessians: values and structures against JAX, also when called again."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import pullback as pb
import pullback.lax as lax
import pullback.numpy as pnp

from .oracle import compare

X = np.array([0.1, -0.2, 0.3], np.float32)
M = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
BOTH = ["jacfwd", "jacrev"]


class Pair(NamedTuple):
    left: Any
    right: Any


def jac(api: Any, mode: str) -> Any:
    return getattr(api, mode)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("function", "args"),
    [
        (lambda np_: np_.sin, (X,)),
        (lambda np_: lambda x: x * np_.sum(x), (X,)),
        (lambda np_: lambda x: np_.sum(x**3), (X,)),
        (lambda np_: lambda x: x**2, (np.float32(2.0),)),
        (lambda np_: lambda x: x * np_.asarray(M), (np.float32(2.0),)),
        (lambda np_: lambda m: np_.asarray(m) @ X, (M,)),
        (lambda np_: lambda m: m.T @ m, (M,)),
        (lambda np_: lambda x: np_.ones(2), (X,)),
        (lambda np_: lambda x: x[:0], (X,)),
        (lambda np_: lambda x: x[::-1][1:] * 2.0, (X,)),
        (lambda np_: lambda x: np_.where(x > 0, x, 0.0), (X,)),
        (lambda np_: lambda x: np_.concatenate([x, np_.cumsum(x)]), (X,)),
    ],
)
def test_one_array(mode: str, function: Any, args: Any) -> None:
    compare(lambda api, np_: jac(api, mode)(function(np_)), *args, rtol=1e-5)
    compare(lambda api, np_: api.jit(jac(api, mode)(function(np_))), *args, rtol=1e-5)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("argnums", [0, 1, -1, (0, 1), (1,), (0, -1)])
def test_argnums(mode: str, argnums: Any) -> None:
    f = lambda np_: (
        lambda x, y: np_.outer(np_.sin(x), y) if hasattr(np_, "outer") else np_.sin(x)[:, None] * y
    )
    compare(lambda api, np_: jac(api, mode)(f(np_), argnums=argnums), X, X[:2] + 1, rtol=1e-5)


@pytest.mark.parametrize("mode", BOTH)
def test_containers(mode: str) -> None:
    f = lambda np_: (
        lambda d: {"p": Pair(d["a"] * d["b"][0], None), "q": [np_.sum(d["b"][0]), d["b"][1] * d["a"]]}
    )
    tree = {"a": X, "b": (np.float32(2.0), M)}
    small = {"a": X, "b": (np.float32(2.0), M[0])}
    compare(lambda api, np_: jac(api, mode)(f(np_)), small)
    compare(lambda api, np_: jac(api, mode)(lambda d: (d["a"] * 2.0, np_.sum(d["b"][1]))), tree)
    out = pb.jacrev(f(pnp))(small)
    assert (
        type(out["p"]) is Pair and out["p"].left["a"].shape == (3, 3) and out["q"][1]["b"][1].shape == (3, 3)
    )


@pytest.mark.parametrize("mode", BOTH)
def test_auxiliary_data(mode: str) -> None:
    compare(lambda api, np_: jac(api, mode)(lambda x: (x**2, {"n": np_.sum(x)}), has_aux=True), X)


@pytest.mark.parametrize("mode", BOTH)
def test_complex(mode: str) -> None:
    z = np.array([1 + 2j, 0.5 - 1j], np.complex64)
    compare(lambda api, np_: jac(api, mode)(lambda z: np_.sin(z) * z, holomorphic=True), z, rtol=1e-5)


def test_complex_outputs_forward() -> None:
    compare(lambda api, np_: api.jacfwd(lambda x: np_.exp(1j * x)), X, rtol=1e-5)


def test_integers() -> None:
    n = np.array([1, 2], np.int32)
    by_n, by_x = pb.jacrev(lambda n, x: n * x, argnums=(0, 1), allow_int=True)(n, X[:2])
    assert by_n.dtype == pb.float0 and by_n.shape == (2, 2)
    assert by_x.tolist() == [[1, 0], [0, 2]]


def test_keyword_arguments() -> None:
    compare(lambda api, np_: lambda x: api.jacfwd(lambda x, *, k: x * k)(x, k=2.0), X)
    compare(lambda api, np_: lambda x: api.jacrev(lambda x, *, k: x * k)(x, k=2.0), X)


def test_hessian() -> None:
    f = lambda np_: lambda x: np_.sum(np_.sin(x) * x**2) * np_.sum(x)
    expected = compare(lambda api, np_: api.jit(api.hessian(f(np_))), X, rtol=1e-5)
    for outer in (pb.jacfwd, pb.jacrev):
        for inner in (pb.jacfwd, pb.jacrev):
            for _ in range(3):
                np.testing.assert_allclose(
                    np.asarray(outer(inner(f(pnp)))(X)), np.asarray(expected), rtol=1e-5, atol=1e-6
                )
    rows = np.stack([X, X + 1])
    batched = pb.vmap(pb.hessian(f(pnp)))(rows)
    for row, found in zip(rows, batched, strict=True):
        np.testing.assert_allclose(
            np.asarray(found), np.asarray(pb.hessian(f(pnp))(row)), rtol=1e-5, atol=1e-5
        )


def test_hessian_of_containers() -> None:
    f = lambda np_: lambda d, s: np_.sum(d["a"] ** 2 * d["b"]) * s
    d = {"a": X, "b": np.float32(1.5)}
    compare(lambda api, np_: api.jit(api.hessian(f(np_))), d, np.float32(2.0), rtol=1e-5)
    compare(lambda api, np_: api.jit(api.hessian(f(np_), argnums=(0, 1))), d, np.float32(2.0), rtol=1e-5)
    hessian = lambda d: pb.hessian(f(pnp))(d, np.float32(2.0))
    for a, b in zip(pb.tree.leaves(hessian(d)), pb.tree.leaves(pb.jit(hessian)(d)), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5)
    out = compare(lambda api, np_: api.hessian(lambda x: (np_.sum(x**3), np_.sum(x)), has_aux=True), X)
    assert len(out) == 2


def test_hessian_of_vector_functions() -> None:
    f = lambda np_: lambda x: np_.stack([np_.sum(x**3), np_.prod(x)])
    expected = compare(lambda api, np_: api.jit(api.hessian(f(np_))), X, rtol=1e-4)
    np.testing.assert_allclose(np.asarray(pb.hessian(f(pnp))(X)), np.asarray(expected), rtol=1e-4, atol=1e-6)


ENTRYWISE: list[Any] = [
    lambda x: pnp.sin(x) * 2.0,
    lambda x: pnp.sin(x) * x.sum(),
    lambda x: pnp.sin(x) + lax.rev(x, (0,)),
    lambda x: pnp.where(x > 0, x**2, 3.0 * x),
    lambda x: x * pnp.asarray([1.0, 2.0, 3.0]),
    lambda x: pnp.broadcast_to(x, (2, 3)) * x,
    lambda x: x.reshape(3, 1) * 2.0,
    lambda x: (x.reshape(1, 3) * pnp.ones((1, 1))).reshape(3, 1) * pnp.ones((1, 1)),
    lambda x: (x.reshape(3, 1) * 2.0 + x.reshape(3, 1) * pnp.asarray([[1.0], [2.0], [3.0]])).ravel(),
    lambda x: (x.reshape(3, 1) * pnp.asarray([[2.0]])).reshape(3),
    lambda x: -x / (1.0 + x**2) - x,
    lambda x: (x, pnp.cos(x)),
    lambda x: pnp.exp(x) - pb.stop_gradient(x) * 2.0,
]


@pytest.mark.parametrize("f", ENTRYWISE)
@pytest.mark.parametrize("mode", BOTH)
def test_entrywise_functions(f: Any, mode: str) -> None:
    """Their Jacobians may be computed entry by entry; whether they are must not show."""
    dense = pb.vmap(lambda t: pb.jvp(f, (pnp.asarray(X),), (t,))[1], out_axes=-1)(pnp.eye(3))
    for _ in range(3):
        found = jac(pb, mode)(f)(X)
        for a, b in zip(pb.tree.leaves(found), pb.tree.leaves(dense), strict=True):
            assert a.aval is b.aval
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5, atol=1e-7)


def test_rosenbrock() -> None:
    """Values known by hand."""
    f = lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
    point = np.array([1.0, 1.0], np.float32)
    assert pb.hessian(f)(point).tolist() == [[802, -400], [-400, 200]]
    assert pb.jacrev(f)(point).tolist() == pb.jacfwd(f)(point).tolist() == [0, 0]


def test_jacobian_is_jacrev() -> None:
    compare(lambda api, np_: api.jacobian(lambda x: x * np_.sum(x)), X)
