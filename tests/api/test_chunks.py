"""`vmap`, Jacobians and `lax.map` with batch_size: the results of all at once, in the memory of a chunk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import lax
from pullback.test_util import check_grads

RNG = np.random.default_rng(5)
A = RNG.normal(size=(5, 7))
X = RNG.normal(size=7)
SIZES = [1, 2, 3, 5, 7, 100]


@pytest.fixture(autouse=True)
def _wide() -> Iterator[None]:
    with pb.enable_x64(True):
        yield


def f(x: Any) -> Any:
    return pnp.tanh(A @ x)


def close(found: Any, expected: Any) -> None:
    pb.tree_map(lambda a, b: np.testing.assert_allclose(a, b, 1e-12, 1e-12), found, expected)


def exact(x: Any) -> Any:
    return (1 - np.tanh(A @ x) ** 2)[:, None] * A


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("jacobian", [pb.jacfwd, pb.jacrev])
def test_jacobians(jacobian: Any, size: int) -> None:
    close(jacobian(f, batch_size=size)(X), exact(X))
    close(pb.jit(jacobian(f, batch_size=size))(X), exact(X))


@pytest.mark.parametrize("engine", ["numpy", "llvm"])
def test_jacobians_of_containers(engine: str) -> None:
    def g(p: Any, q: Any) -> Any:
        return {"u": p["a"][:, None] * q, "v": (pnp.sum(p["b"] ** 2) * q, pnp.sin(p["b"]))}, {"aux": q}

    p, q = {"a": X[:3], "b": X[3:5]}, X[5:]
    before = pb.config.engine
    pb.config.update("engine", engine)
    try:
        for jacobian in (pb.jacfwd, pb.jacrev):
            expected, aux = jacobian(g, (0, 1), has_aux=True)(p, q)
            found, found_aux = jacobian(g, (0, 1), has_aux=True, batch_size=2)(p, q)
            close(found, expected)
            close(found_aux, aux)
    finally:
        pb.config.update("engine", before)


@pytest.mark.parametrize("size", [1, 3, 7])
def test_hessians(size: int) -> None:
    total = lambda x: pnp.sum(f(x) ** 3)
    close(pb.hessian(total, batch_size=size)(X), pb.hessian(total)(X))
    close(pb.hessian(f, batch_size=size)(X), pb.hessian(f)(X))
    close(pb.jacfwd(lambda z: z * z[::-1], holomorphic=True, batch_size=size)(X + 1j), expected_holomorphic())


def expected_holomorphic() -> Any:
    z = X + 1j
    return np.diag(z[::-1]) + np.fliplr(np.diag(z))


@pytest.mark.parametrize("size", SIZES)
def test_vmap(size: int) -> None:
    xs, ys = RNG.normal(size=(7, 10)), RNG.normal(size=(10, 3))

    def g(x: Any, s: Any, y: Any = 0.0) -> Any:
        return {"a": f(x) * s, "s": s, "y": (y, pnp.sum(y))}

    mapped = pb.vmap(g, (1, None), {"a": 1, "s": None, "y": 0}, batch_size=size)
    expected = {"a": np.tanh(A @ xs) * 2.0, "s": 2.0, "y": (ys, ys.sum(1))}
    for call in (mapped, pb.jit(mapped)):
        close(call(xs, 2.0, y=ys), expected)
    with pb.disable_jit():
        close(pb.vmap(f, 1, 1, batch_size=size)(xs), np.tanh(A @ xs))


def test_derivatives_and_nesting() -> None:
    xs = RNG.normal(size=(5, 7))
    mapped = lambda w, xs: pb.vmap(lambda x: pnp.sum(f(x) * w), batch_size=2)(xs)
    w = RNG.normal(size=5)
    check_grads(mapped, (w, xs), order=2)
    close(
        pb.vmap(pb.grad(lambda x: pnp.sum(f(x))), batch_size=2)(xs), np.stack([exact(x).sum(0) for x in xs])
    )
    close(pb.vmap(pb.jacrev(f, batch_size=2), batch_size=3)(xs), np.stack([exact(x) for x in xs]))
    close(
        pb.vmap(lambda w: mapped(w, xs))(np.stack([w, 2 * w])), np.stack([mapped(w, xs), 2 * mapped(w, xs)])
    )
    check_grads(pb.jacfwd(f, batch_size=3), (X,), order=1)


def test_the_function_is_traced_once() -> None:
    runs = []

    def counted(x: Any) -> Any:
        runs.append(x.shape)
        return f(x)

    for _ in range(3):
        close(pb.vmap(counted, batch_size=2)(np.stack([X] * 5)), np.tanh(np.stack([A @ X] * 5)))
    assert runs == [(7,)]


def test_memory_is_that_of_a_chunk() -> None:
    """Intermediate values of a lane are many; all results are few."""

    def wide(x: Any) -> Any:
        return pnp.sum(pnp.sort(pnp.sin(x * pnp.arange(20_000.0))))

    def memory(mapped: Any) -> int:
        compiled = pb.jit(mapped).lower(np.zeros(64)).compile()
        return int(compiled.memory_analysis().temp_size_in_bytes)

    whole, chunk = memory(pb.vmap(wide)), memory(pb.vmap(wide, batch_size=4))
    assert whole > 64 * 20_000 * 8 * 0.9
    assert chunk < whole / 8


def test_map_uses_the_same_chunks() -> None:
    xs = RNG.normal(size=(10, 7))
    for size in SIZES:
        close(lax.map(f, xs, batch_size=size), np.tanh(xs @ A.T))


def test_errors() -> None:
    with pytest.raises(ValueError, match="vmap: batch_size must be at least 1, got 0"):
        pb.vmap(f, batch_size=0)
    with pytest.raises(TypeError, match=r"vmap: batch_size must be an integer .*2\.5"):
        pb.vmap(f, batch_size=2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="jacfwd: batch_size must be at least 1, got -1"):
        pb.jacfwd(f, batch_size=-1)
    with pytest.raises(ValueError, match="exclude each other"):
        pb.vmap(f, axis_name="i", batch_size=2)
    with pytest.raises(ValueError, match="map: batch_size must be at least 1"):
        lax.map(f, np.zeros((2, 7)), batch_size=-1)
