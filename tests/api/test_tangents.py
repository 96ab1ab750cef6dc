"""`register_type`: derivatives of functions of rotations and positive definite matrices, by tangents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.linalg

import pullback as pb
import pullback.numpy as pnp
from pullback.errors import StructureError
from pullback.test_util import check_grads
from pullback.tree_util import register_dataclass

RNG = np.random.default_rng(11)
B = RNG.normal(size=(3, 3))


@register_dataclass
@dataclass
class SO3:
    m: Any

    def __matmul__(self, other: SO3) -> SO3:
        return SO3(self.m @ other.m)


@register_dataclass
@dataclass
class Positive:
    """A positive definite matrix; tangents are symmetric matrices in its own frame: C exp(v) Cᵀ, P = C Cᵀ."""

    p: Any


@register_dataclass
@dataclass
class NoLocal:
    x: Any


def hat(v: Any) -> Any:
    zero = 0 * v[0]
    rows = [zero, -v[2], v[1], v[2], zero, -v[0], -v[1], v[0], zero]
    return pnp.stack(rows).reshape(3, 3)


def cayley(v: Any) -> Any:
    return pnp.linalg.solve(pnp.eye(3) - hat(v) / 2, pnp.eye(3) + hat(v) / 2)


def inverse_cayley(q: Any) -> Any:
    a = 2 * pnp.linalg.solve((q + pnp.eye(3)).T, (q - pnp.eye(3)).T).T
    return pnp.stack([a[2, 1], a[0, 2], a[1, 0]])


def move_positive(point: Positive, v: Any) -> Positive:
    c = pnp.linalg.cholesky(point.p)
    v = (v + v.T) / 2
    return Positive(c @ (pnp.eye(len(v)) + v + v @ v / 2) @ c.T)  # the exponential to second order


pb.register_type(
    SO3,
    tangent=lambda r: pnp.zeros(3),
    retract=lambda r, v: SO3(r.m @ cayley(v)),
    local=lambda r, s: inverse_cayley(r.m.T @ s.m),
)
pb.register_type(Positive, tangent=lambda p: pnp.zeros_like(p.p), retract=move_positive)
pb.register_type(NoLocal, tangent=lambda p: pnp.zeros_like(p.x), retract=lambda p, v: NoLocal(p.x + v))


@pytest.fixture(autouse=True)
def _wide() -> Iterator[None]:
    with pb.enable_x64(True):
        yield


def exponential(v: Any) -> Any:
    return scipy.linalg.expm(np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]]))


def rotation(*v: float) -> SO3:
    return SO3(
        np.asarray(scipy.linalg.expm(np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])))
    )


R, S = rotation(0.1, 0.2, 0.3), rotation(-0.4, 0.5, 0.7)
V = np.array([0.3, -1.0, 0.6])


def f(r: SO3) -> Any:
    return pnp.sum((r.m - B) ** 3)


def by_differences(g: Any, step: float = 1e-5) -> Any:
    """The gradient of g(v) at 0."""
    return np.stack([(g(step * e) - g(-step * e)) / (2 * step) for e in np.eye(3)])


def along(v: Any) -> float:
    return float(np.sum((R.m @ exponential(v) - B) ** 3))


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
def test_gradients_are_in_the_lie_algebra(engine: str) -> None:
    expected = by_differences(along)
    before = pb.config.engine
    pb.config.update("engine", engine)
    try:
        for gradient in (pb.grad(f), pb.jit(pb.grad(f)), pb.jacfwd(f), pb.jacrev(f)):
            np.testing.assert_allclose(gradient(R), expected, rtol=1e-7)
    finally:
        pb.config.update("engine", before)
    value, found = pb.value_and_grad(f)(R)
    np.testing.assert_allclose(value, along(np.zeros(3)))
    np.testing.assert_allclose(found, expected, rtol=1e-7)
    np.testing.assert_allclose(pb.jvp(f, (R,), (V,))[1], expected @ V, rtol=1e-7)
    np.testing.assert_allclose(pb.vjp(f, R)[1](2.0)[0], 2 * expected, rtol=1e-7)
    np.testing.assert_allclose(pb.linearize(f, R)[1](V), expected @ V, rtol=1e-7)


def test_hessians_are_symmetric_second_derivatives() -> None:
    # The Cayley transform agrees with the exponential to second order.
    step = 1e-4
    expected = by_differences(lambda v: by_differences(lambda w: along(v + w), step), step)
    found = pb.hessian(f)(R)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found, np.asarray(found).T, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(pb.hessian(f, batch_size=2)(R), found, rtol=1e-12)
    operator = pb.hvp(f, R)
    np.testing.assert_allclose(operator(V), np.asarray(found) @ V, rtol=1e-12)
    np.testing.assert_allclose(operator.gradient, pb.grad(f)(R), rtol=1e-12)


def test_products_with_the_gauss_newton_matrix() -> None:
    operator = pb.gnvp(lambda r: r.m, lambda m: pnp.sum((m - B) ** 2), R)
    np.testing.assert_allclose(operator(V), 4 * V, rtol=1e-12)  # a rotation by v moves its matrix by √2 |v|


def test_functions_between_rotations() -> None:
    product = lambda a, b: a @ b
    w = np.array([1.0, 0.5, -0.2])
    out, tangent = pb.jvp(product, (R, S), (V, w))
    assert type(out) is SO3
    np.testing.assert_allclose(out.m, R.m @ S.m)
    np.testing.assert_allclose(tangent, S.m.T @ V + w, rtol=1e-12)
    out, pull = pb.vjp(product, R, S)
    assert type(out) is SO3
    by_r, by_s = pull(w)
    np.testing.assert_allclose(by_r, S.m @ w, rtol=1e-12)
    np.testing.assert_allclose(by_s, w, rtol=1e-12)
    for jacobian in (pb.jacfwd, pb.jacrev):
        np.testing.assert_allclose(jacobian(product)(R, S), S.m.T, rtol=1e-12, atol=1e-12)
    out, push, aux = pb.linearize(lambda a: (a @ S, {"n": 2 * a.m}), R, has_aux=True)
    np.testing.assert_allclose(push(V), S.m.T @ V, rtol=1e-12)
    np.testing.assert_allclose(aux["n"], 2 * R.m, rtol=1e-12)
    out, tangent, aux = pb.jvp(lambda a: (a @ S, a), (R,), (V,), has_aux=True)
    assert type(out) is type(aux) is SO3


def test_derivatives_of_tangents_of_results() -> None:
    """d/dt of local coordinates, where the point around which they are moves as well."""
    turn = lambda t: SO3(cayley(t * t * V))
    velocity = lambda t: pb.jvp(turn, (t,), (1.0,))[1]
    step = 1e-5
    expected = (velocity(0.7 + step) - velocity(0.7 - step)) / (2 * step)
    np.testing.assert_allclose(pb.jvp(velocity, (0.7,), (1.0,))[1], expected, rtol=1e-7)
    np.testing.assert_allclose(pb.jacrev(velocity)(0.7), expected, rtol=1e-7)


def test_points_within_arguments_and_maps() -> None:
    loss = lambda p, x: f(p["r"][0]) * p["s"] + pnp.sum(x)
    found = pb.grad(loss)({"r": [R], "s": 2.0}, np.ones(2))
    np.testing.assert_allclose(found["r"][0], 2 * pb.grad(f)(R), rtol=1e-12)
    np.testing.assert_allclose(found["s"], f(R), rtol=1e-12)
    both = SO3(np.stack([R.m, S.m]))
    np.testing.assert_allclose(
        pb.vmap(pb.grad(f))(both), np.stack([pb.grad(f)(R), pb.grad(f)(S)]), rtol=1e-12
    )
    two = pb.grad(lambda a, b: f(a @ b), (0, 1))(R, S)
    np.testing.assert_allclose(two[1], pb.grad(f)(R @ S), rtol=1e-10)
    # Points that are not differentiated stay as they are; so do arrays next to them.
    check_grads(lambda x: pnp.sum(R.m @ x), (V,), order=2)


def test_positive_definite_matrices() -> None:
    """The derivative of log det along C exp(v) Cᵀ is the trace of v, everywhere."""
    a = RNG.normal(size=(4, 4))
    point = Positive(a @ a.T + np.eye(4))
    log_det = lambda p: pnp.linalg.slogdet(p.p)[1]
    np.testing.assert_allclose(pb.grad(log_det)(point), np.eye(4), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(pb.hessian(log_det)(point), 0, atol=1e-9)


def test_array_like_objects_and_containers() -> None:
    class Celsius:
        def __init__(self, degrees: Any) -> None:
            self.degrees = degrees

        def __pullback_array__(self) -> Any:
            return pnp.asarray(self.degrees + 273.0)

    square = lambda t: pnp.sum(t**2)
    t = Celsius(np.array([0.0, 1.0]))
    expected = 2 * np.array([273.0, 274.0])
    np.testing.assert_allclose(pb.grad(square)(t), expected)
    np.testing.assert_allclose(pb.jit(pb.grad(square))(t), expected)
    np.testing.assert_allclose(pb.vmap(lambda t: t * 2)(t), expected)
    np.testing.assert_allclose(pb.jvp(square, (t,), (np.ones(2),))[1], expected.sum())
    np.testing.assert_allclose(pb.vjp(square, t)[1](1.0)[0], expected)
    np.testing.assert_allclose(pb.hessian(square)(t), 2 * np.eye(2))


def test_errors() -> None:
    with pytest.raises(ValueError, match="SO3 has been registered before"):
        pb.register_type(SO3, tangent=lambda r: 0, retract=lambda r, v: r)
    with pytest.raises(TypeError, match="expects a class"):
        pb.register_type(R, tangent=lambda r: 0, retract=lambda r, v: r)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="retract must be a function"):
        pb.register_type(type("X", (), {}), tangent=lambda r: 0, retract=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"local=.*register_type"):
        pb.jvp(NoLocal, (1.0,), (1.0,))
    with pytest.raises(StructureError, match="tangents"):
        pb.jvp(f, (R,), (R,))
    with pytest.raises(ValueError, match=r"\(3,\)"):
        pb.jvp(f, (R,), (np.ones(2),))


def test_errors_of_what_was_registered() -> None:
    plain = type("Plain", (), {})
    pb.register_type(plain, tangent=lambda p: pnp.zeros(2), retract=lambda p, v: p)
    with pytest.raises(TypeError, match=r"Plain.*no pytrees"):
        pb.grad(lambda p: 0.0)(plain())

    @register_dataclass
    @dataclass
    class Wrong:
        x: Any

    pb.register_type(Wrong, tangent=lambda p: p.x, retract=lambda p, v: p.x + v)
    with pytest.raises(StructureError, match="retract of Wrong must return a Wrong"):
        pb.grad(lambda p: 0.0)(Wrong(np.ones(2)))
