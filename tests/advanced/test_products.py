"""`hvp` and `gnvp` against dense Hessians, JAX and finite differences; under every other transformation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback.errors import DTypeError, ShapeError, StructureError
from pullback.test_util import check_grads

RNG = np.random.default_rng(3)
A = RNG.normal(size=(3, 4))
X = RNG.normal(size=4)
V = RNG.normal(size=4)


@pytest.fixture(autouse=True)
def _wide() -> Iterator[None]:
    with pb.enable_x64(True), jax.enable_x64(True):
        yield


@pytest.fixture(params=["llvm", "numpy"])
def engine(request: pytest.FixtureRequest) -> Iterator[None]:
    before = pb.config.engine
    pb.config.update("engine", request.param)
    try:
        yield
    finally:
        pb.config.update("engine", before)


def f(x: Any, np: Any = pnp) -> Any:
    return np.sum(np.sin(A @ x) ** 2) + x[0] * x[1] ** 2


def close(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    pb.tree_map(lambda a, b: np.testing.assert_allclose(a, b, tolerance, tolerance), found, expected)


def dense() -> Any:
    return jax.hessian(lambda x: f(x, jnp))(X)


@pytest.mark.usefixtures("engine")
def test_products_with_the_hessian() -> None:
    operator = pb.hvp(f, X)
    close(operator(V), dense() @ V)
    close(operator.T(V), dense() @ V)
    close(operator.value, f(X, np))
    close(operator.gradient, jax.grad(lambda x: f(x, jnp))(X))
    assert operator.aux is None
    assert repr(operator) == "HessianOperator of f, on vectors of f64[4]"


def test_the_function_runs_once() -> None:
    runs = []

    def counted(x: Any) -> Any:
        runs.append(0)
        return f(x)

    operator = pb.hvp(counted, X)
    for v in np.eye(4):
        close(operator(v), dense() @ v)
    assert len(runs) == 1


def test_several_arguments_and_pytrees() -> None:
    def g(p: Any, scale: float, q: Any) -> Any:
        return scale * pnp.sum(p["a"] ** 2 * q**3) + pnp.sum(p["b"] ** 3)

    p, q = {"a": np.array([1.0, 2.0]), "b": np.array(0.5)}, np.array([0.3, 0.7])
    v = {"a": np.array([0.1, -1.0]), "b": np.array(2.0)}
    first = pb.hvp(g, p, 2.0, q)
    close(first(v), {"a": 4 * q**3 * v["a"], "b": 6 * p["b"] * v["b"]})
    both = pb.hvp(g, p, 2.0, q, argnums=(2, 0))
    w = np.array([1.0, -2.0])
    by_q, by_p = both((w, v))
    close(by_q, 12 * p["a"] ** 2 * q * w + 12 * p["a"] * q**2 * v["a"])
    close(by_p, {"a": 4 * q**3 * v["a"] + 12 * p["a"] * q**2 * w, "b": 6 * p["b"] * v["b"]})
    assert isinstance(both.gradient, tuple)


def test_auxiliary_data_pass_through() -> None:
    operator = pb.hvp(lambda x: (f(x), {"twice": 2 * x, "name": "here"}), X, has_aux=True)
    close(operator.aux["twice"], 2 * X)
    assert operator.aux["name"] == "here"
    close(operator(V), dense() @ V)


@pytest.mark.usefixtures("engine")
def test_an_operator_is_mapped_over_vectors_and_over_points() -> None:
    close(pb.vmap(pb.hvp(f, X))(np.eye(4)), dense())
    points = np.stack([X, 2 * X])
    operators = pb.vmap(lambda x: pb.hvp(f, x))(points)
    found = pb.vmap(lambda h, v: h(v))(operators, np.stack([V, V]))
    close(found, jnp.stack([jax.hessian(lambda x: f(x, jnp))(p) @ V for p in points]))


@pytest.mark.usefixtures("engine")
def test_compiled_code_is_traced_once_for_all_points() -> None:
    traces = []

    @pb.jit
    def apply(h: Any, v: Any) -> Any:
        traces.append(0)
        return h(v)

    for k in range(4):
        x = X + k
        close(apply(pb.hvp(f, x), V), jax.hessian(lambda x: f(x, jnp))(x) @ V)
    assert len(traces) <= 2  # the first use of an operation takes the general way
    operator = pb.jit(lambda x: pb.hvp(f, x))(X)
    close(operator(V), dense() @ V)
    close(pb.jit(lambda x, v: pb.hvp(f, x)(v))(X, V), dense() @ V)


def test_derivatives_of_products() -> None:
    def along(x: Any, v: Any) -> Any:
        return pb.hvp(f, x)(v)

    third = jax.jacfwd(jax.hessian(lambda x: f(x, jnp)))(X)
    close(pb.jacfwd(along)(X, V), third @ V, 1e-10)
    close(pb.jacrev(along)(X, V), third @ V, 1e-10)
    check_grads(along, (X, V), order=2, modes=("fwd", "rev"))
    close(pb.jacrev(pb.hvp(f, X))(V), dense())


def test_nested_products() -> None:
    fourth = pb.hvp(lambda x: pb.hvp(f, x)(V) @ V, X)
    expected = jax.hessian(lambda x: V @ jax.hessian(lambda x: f(x, jnp))(x) @ V)(X)
    close(fourth(V), expected @ V, 1e-10)


def test_complex_variables() -> None:
    z, w = X[:2] + 1j * X[2:], V[:2] + 1j * V[2:]

    def g(z: Any) -> Any:
        return pnp.sum(pnp.abs(z) ** 4)

    step = 1e-6
    expected = (pb.grad(g)(z + step * w) - pb.grad(g)(z - step * w)) / (2 * step)
    close(pb.hvp(g, z)(w), expected, 1e-7)


def model(p: Any, np: Any = pnp) -> Any:
    return {"y": np.tanh(A @ p["w"]) + p["b"], "z": p["b"] ** 2}


def loss(y: Any, np: Any = pnp) -> Any:
    return np.sum(np.exp(y["y"])) + np.cos(y["z"]) * y["y"][0]


PARAMS = {"w": X, "b": np.array(0.3)}
CHANGE = {"w": V, "b": np.array(-0.8)}


def gauss_newton() -> Any:
    def flat(x: Any) -> Any:
        out = model({"w": x[:4], "b": x[4]}, jnp)
        return jnp.append(out["y"], out["z"])

    x = jnp.append(X, 0.3)
    jacobian = jax.jacfwd(flat)(x)
    hessian = jax.hessian(lambda y: loss({"y": y[:3], "z": y[3]}, jnp))(flat(x))
    return jacobian.T @ hessian @ jacobian


@pytest.mark.usefixtures("engine")
def test_products_with_the_gauss_newton_matrix() -> None:
    operator = pb.gnvp(model, loss, PARAMS)
    expected = gauss_newton() @ np.append(V, -0.8)

    @pb.jit
    def compiled(v: Any) -> Any:
        return pb.gnvp(model, loss, PARAMS)(v)

    for apply in (operator, operator.T, compiled):
        found = apply(CHANGE)
        close(np.append(found["w"], found["b"]), expected)
    close(operator.value, loss(model(PARAMS, np), np))
    close(operator.gradient, jax.grad(lambda p: loss(model(p, jnp), jnp))(PARAMS))
    close(operator.outputs, model(PARAMS, np))


def test_gauss_newton_of_a_linear_model_is_the_hessian() -> None:
    def linear(x: Any) -> Any:
        return A @ x, "aux"

    def curved(y: Any) -> Any:
        return pnp.sum(y**4)

    operator = pb.gnvp(linear, curved, X, has_aux=True)
    assert operator.aux == "aux"
    close(operator(V), pb.hvp(lambda x: curved(linear(x)[0]), X)(V))
    check_grads(lambda x, v: pb.gnvp(linear, curved, x, has_aux=True)(v), (X, V), order=2)
    close(pb.vmap(operator)(np.eye(4)), operator_matrix(A, A @ X))


def operator_matrix(a: Any, y: Any) -> Any:
    return a.T @ np.diag(12 * y**2) @ a


def test_complex_outputs_of_real_parameters() -> None:
    b = RNG.normal(size=(3, 4)) + 1j * RNG.normal(size=(3, 4))
    found = pb.vmap(pb.gnvp(lambda x: b @ x, lambda y: pnp.sum(pnp.abs(y) ** 2), X))(np.eye(4))
    close(found, 2 * (b.conj().T @ b).real)


def test_transposes_of_linearizations() -> None:
    _, push = pb.linearize(lambda x: pnp.sin(A @ x), X)
    _, pull = pb.vjp(lambda x: pnp.sin(A @ x), X)
    u = np.array([1.0, -2.0, 0.5])
    close(push.T(u), pull(u))
    close(pull.T(V), push(V))
    close(push.T.T(V), push(V))


def test_float32() -> None:
    assert pb.hvp(lambda x: pnp.sum(x**3), X.astype(np.float32))(V.astype(np.float32)).dtype == np.float32


def test_errors() -> None:
    operator = pb.hvp(f, X)
    with pytest.raises(StructureError, match="hvp"):
        operator((V,))
    with pytest.raises(ShapeError, match=r"hvp.*\(4,\)"):
        operator(V[:2])
    with pytest.raises(DTypeError, match=r"hvp.*float64"):
        operator(V.astype(np.float32))
    with pytest.raises(ShapeError, match="scalar"):
        pb.hvp(lambda x: x, X)
    with pytest.raises(DTypeError, match="hvp expects variables of a floating-point"):
        pb.hvp(f, np.arange(4))
    with pytest.raises(TypeError, match="hvp expects a function"):
        pb.hvp(X, X)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="argnums"):
        pb.hvp(f, X, argnums=1)
    with pytest.raises(TypeError, match="gnvp: loss expects a function"):
        pb.gnvp(model, 3, PARAMS)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="gnvp with has_aux=True"):
        pb.gnvp(model, loss, PARAMS, has_aux=True)
    with pytest.raises(StructureError, match="gnvp"):
        pb.gnvp(model, loss, PARAMS)(V)
    with pytest.raises(DTypeError, match="gnvp expects variables"):
        pb.gnvp(lambda x: x, pnp.sum, np.arange(3))
