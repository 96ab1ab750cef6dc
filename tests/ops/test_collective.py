"""Collectives over the named axes of vmap, against JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pullback as pb
import pullback.lax as lax
import pullback.numpy as pnp
from pullback._src.base.errors import ShapeError
from pullback._src.ops import collective

N, M = 3, 4
X = np.linspace(-1, 1, N * M * N * 6, dtype=np.float32).reshape(N, M, N, 6)
X[0, 0, 0, 0] = 1.5

# Functions of x[N, 6], inside vmaps over "i" (N) and, for some, "j" (M).
ONE_NAME: dict[str, Callable[[Any, Any], Any]] = {
    "psum": lambda lax, x: lax.psum(x, "i"),
    "psum-tree": lambda lax, x: lax.psum({"a": x, "b": (x[0], 2)}, "i"),
    "psum-unmapped": lambda lax, x: lax.psum(np.ones(2, np.float32), "i") * x[0, 0],
    "psum-times": lambda lax, x: x * lax.psum(x**2, "i"),
    "pmean": lambda lax, x: lax.pmean(x, "i"),
    "pmax": lambda lax, x: lax.pmax(x, "i"),
    "pmin": lambda lax, x: lax.pmin(x, "i"),
    "axis_index": lambda lax, x: x * lax.axis_index("i").astype("float32"),
    "all_gather": lambda lax, x: lax.all_gather(x, "i"),
    "all_gather-axis": lambda lax, x: lax.all_gather(x, "i", axis=1) * x[0, 0],
    "all_gather-last": lambda lax, x: lax.all_gather(x, "i", axis=-1),
    "all_gather-tiled": lambda lax, x: lax.all_gather(x, "i", axis=1, tiled=True),
    "ppermute": lambda lax, x: lax.ppermute(x, "i", [(0, 1), (1, 2), (2, 0)]) * x,
    "pshuffle": lambda lax, x: lax.pshuffle(x, "i", [2, 0, 1]),
    "pswapaxes": lambda lax, x: lax.pswapaxes(x, "i", 0),
    "all_to_all": lambda lax, x: lax.all_to_all(x, "i", 0, 1),
    "all_to_all-same": lambda lax, x: lax.all_to_all(x, "i", 0, 0) * x,
    "all_to_all-tiled": lambda lax, x: lax.all_to_all(x, "i", 1, 0, tiled=True),
    "all_to_all-tiled-back": lambda lax, x: lax.all_to_all(x, "i", 0, 1, tiled=True),
    "psum_scatter": lambda lax, x: lax.psum_scatter(x, "i"),
    "psum_scatter-tiled": lambda lax, x: lax.psum_scatter(x, "i", scatter_dimension=1, tiled=True),
}
TWO_NAMES: dict[str, Callable[[Any, Any], Any]] = {
    "psum": lambda lax, x: lax.psum(x, ("i", "j")),
    "psum-psum": lambda lax, x: lax.psum(lax.psum(x, "j") * x, "i"),
    "pmean": lambda lax, x: lax.pmean(x, ("j", "i")),
    "pmax": lambda lax, x: lax.pmax(x, ("i", "j")),
    "axis_index": lambda lax, x: x * lax.axis_index(("i", "j")).astype("float32"),
    "outer": lambda lax, x: lax.psum(x, "i") * x,
    "all_gather-outer": lambda lax, x: lax.all_gather(x, "i"),
    "ppermute-inner": lambda lax, x: lax.ppermute(x, "j", [(0, 1), (1, 0), (2, 3), (3, 2)]),
}
NOT_DIFFERENTIABLE_IN_JAX = ("pmax", "pmin")


def _same(ours: Any, theirs: Any) -> None:
    a, b = jax.tree.leaves(ours), jax.tree.leaves(theirs)
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert np.shape(x) == np.shape(y) and np.asarray(x).dtype == np.asarray(y).dtype
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=1e-5, atol=1e-5)


def _mapped(lib: Any, lax: Any, f: Any, names: int, out_axes: int = 0) -> Any:
    g = lambda x: f(lax, x)
    if names == 2:
        g = lib.vmap(g, axis_name="j")
    return lib.vmap(g, axis_name="i", out_axes=out_axes)


def _both(case: str, names: int) -> tuple[Any, Any, Any]:
    f = (ONE_NAME if names == 1 else TWO_NAMES)[case]
    return _mapped(pb, lax, f, names), _mapped(jax, jax.lax, f, names), X if names == 2 else X[:, 0]


CASES = [(c, 1) for c in ONE_NAME] + [(c, 2) for c in TWO_NAMES]


@pytest.mark.parametrize(("case", "names"), CASES)
def test_values(case: str, names: int) -> None:
    ours, theirs, x = _both(case, names)
    expected = jax.jit(theirs)(x)
    _same(ours(x), expected)
    _same(pb.jit(ours)(x), expected)
    f = (ONE_NAME if names == 1 else TWO_NAMES)[case]
    jitted = _mapped(pb, lax, lambda lax, v: pb.jit(lambda v: f(lax, v))(v), names)
    _same(jitted(x), expected)


def _total(np_: Any, f: Any) -> Any:
    def total(x: Any) -> Any:
        leaves = [v for v in jax.tree.leaves(f(x)) if "float" in str(getattr(v, "dtype", ""))]
        return sum(np_.sum(np_.sin(v)) for v in leaves)

    return total


@pytest.mark.parametrize(("case", "names"), [c for c in CASES if c[0] not in NOT_DIFFERENTIABLE_IN_JAX])
def test_gradient_of_the_mapped_function(case: str, names: int) -> None:
    ours, theirs, x = _both(case, names)
    expected = jax.jit(jax.grad(_total(jnp, theirs)))(x)
    _same(pb.grad(_total(pnp, ours))(x), expected)
    _same(pb.grad(pb.jit(_total(pnp, ours)))(x), expected)


@pytest.mark.parametrize(("case", "names"), [c for c in CASES if c[0] not in NOT_DIFFERENTIABLE_IN_JAX])
def test_derivatives_inside_the_map(case: str, names: int) -> None:
    f = (ONE_NAME if names == 1 else TWO_NAMES)[case]
    x = X if names == 2 else X[:, 0]
    if case == "all_to_all":  # JAX's transpose gives a wrong shape here; by hand: out[i][a, j] is x[j][i, a]
        weights = np.cos(jax.vmap(lambda v: f(jax.lax, v), axis_name="i")(x))
        expected = np.transpose(weights, (2, 0, 1))
        got = pb.vmap(pb.grad(_total(pnp, lambda v: f(lax, v))), axis_name="i")(x)
        _same(got, expected)
        return
    inside = lambda lib, np_, lax: _mapped(
        lib, lax, lambda lax, v: lib.grad(_total(np_, lambda v: f(lax, v)))(v), names
    )
    expected = jax.jit(inside(jax, jnp, jax.lax))(x)
    _same(inside(pb, pnp, lax)(x), expected)
    _same(pb.jit(inside(pb, pnp, lax))(x), expected)
    pushed = lambda lib, np_, lax: _mapped(
        lib, lax, lambda lax, v: lib.jvp(_total(np_, lambda v: f(lax, v)), (v,), (v,))[1], names
    )
    _same(pushed(pb, pnp, lax)(x), jax.jit(pushed(jax, jnp, jax.lax))(x))


@pytest.mark.parametrize("case", ONE_NAME)
def test_map_over_another_axis(case: str) -> None:
    # The unnamed vmap is inside of the named one, so that the collectives' own batch rules run.
    f = ONE_NAME[case]
    if case == "psum_scatter":  # JAX's rule fails here; the mapped dimension is the second of x
        out = pb.vmap(pb.vmap(lambda v: f(lax, v), in_axes=1), axis_name="i")(np.moveaxis(X, 1, 2))
        _same(out, np.moveaxis(X.sum(0), 1, 0))
        return
    run = lambda lib, lax: lib.vmap(lib.vmap(lambda v: f(lax, v), in_axes=1, out_axes=0), axis_name="i")
    x = np.ascontiguousarray(np.moveaxis(X, 1, 2))
    expected = jax.jit(run(jax, jax.lax))(x)
    _same(run(pb, lax)(x), expected)
    _same(pb.jit(run(pb, lax))(x), expected)


@pytest.mark.parametrize("case", ["pmax", "pmin"])
def test_derivatives_of_extrema(case: str) -> None:
    # JAX has none; those of the reduction over the mapped axis are the reference.
    x = X[:, 0]
    reduce = getattr(jnp, case[1:])
    expected = jax.grad(lambda x: jnp.sum(jnp.sin(reduce(x, 0))))(x)
    ours = lambda x: pnp.sum(pnp.sin(pb.vmap(lambda v: getattr(lax, case)(v, "i"), axis_name="i")(x))) / N
    _same(pb.grad(ours)(x), expected)
    _same(pb.jvp(ours, (x,), (x,))[1], jnp.sum(expected * x))


def test_python_numbers() -> None:
    seen: list[Any] = []
    pb.vmap(
        lambda x: seen.append((lax.psum(1, "i"), lax.psum(2.5, "i"), lax.axis_size("i"))) or x, axis_name="i"
    )(X)
    assert seen == [(N, 7.5, N)] and type(seen[0][0]) is int
    _same(
        pb.vmap(lambda x: lax.psum(x > 0, "i"), axis_name="i")(X),
        np.broadcast_to((X > 0).sum(0, np.int32), X.shape),
    )


def test_positions_of_extrema() -> None:
    x = X[:, 0]
    out = pb.vmap(lambda v: (collective.pargmax(v, "i"), collective.pargmin(v, "i")), axis_name="i")(x)
    _same(out, [np.broadcast_to(f(x, 0).astype(np.int32), x.shape) for f in (np.argmax, np.argmin)])


def test_pbroadcast_and_partial_permutation() -> None:
    x = X[:, 0]
    _same(pb.vmap(lambda v: lax.pbroadcast(v, "i", 1), axis_name="i")(x), np.broadcast_to(x[1], x.shape))
    out = pb.vmap(lambda v: lax.ppermute(v, "i", [(2, 0)]), axis_name="i")(x)
    _same(out, np.stack([x[2], 0 * x[0], 0 * x[0]]))


def test_inside_control_flow_and_without_mapped_operands() -> None:
    def body(lib: Any, lax: Any, np_: Any) -> Any:
        def f(x: Any) -> Any:
            index = lib.jit(lambda: lax.axis_index("i"))()
            looped = lax.fori_loop(0, 2, lambda k, c: c + lax.psum(c, "i"), x)
            chosen = lax.cond(True, lambda v: lax.psum(v, "i"), lambda v: v, x)
            total, _ = lax.scan(lambda c, _: (c + lax.axis_index("i"), None), np_.array(0), None, length=2)
            return looped, chosen, index, total

        return lib.vmap(f, axis_name="i")(X[:, 0])

    _same(body(pb, lax, pnp), body(jax, jax.lax, jnp))


def test_in_functions_with_rules() -> None:
    def body(lib: Any, lax: Any) -> Any:
        f = lib.custom_jvp(lambda x: x * lax.axis_index("i").astype("float32"))
        f.defjvp(lambda p, t: (f(*p), 2 * t[0] * lax.psum(t[0], "i")))
        constant = lib.custom_jvp(lambda x: x + lax.axis_index("i").astype("float32"))
        constant.defjvp(lambda p, t: (constant(*p), t[0]))
        g = lambda x: (lib.jvp(f, (x,), (x,)), lib.checkpoint(lambda v: lax.psum(v, "i"))(x), constant(1.0))
        return lib.vmap(g, axis_name="i")(X[:, 0])

    _same(body(pb, lax), body(jax, jax.lax))


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: lax.psum(x, "k"), NameError, r"unbound axis name 'k'; bound axes here: 'i'"),
        (lambda x: lax.axis_index("k"), NameError, "unbound axis name 'k'"),
        (lambda x: lax.psum(x, ("i", "i")), ValueError, "repeated"),
        (
            lambda x: lax.psum(x, "i", axis_index_groups=[[0, 1], [2]]),
            NotImplementedError,
            "axis_index_groups",
        ),
        (lambda x: lax.ppermute(x, "i", [(0, 1), (0, 2)]), ValueError, "source index is repeated"),
        (lambda x: lax.ppermute(x, "i", [(0, 1), (2, 1)]), ValueError, "destination index is repeated"),
        (lambda x: lax.ppermute(x, "i", [(0, 3)]), ValueError, r"not in 0\.\.2"),
        (lambda x: lax.pshuffle(x, "i", [0, 0, 1]), ValueError, "permutation"),
        (lambda x: lax.all_to_all(x, "i", 1, 0), ShapeError, r"split_axis=1 .* must have size 3"),
        (lambda x: lax.all_to_all(x[:2], "i", 0, 0, tiled=True), ShapeError, "a multiple of 3"),
        (lambda x: lax.psum_scatter(x, "i", scatter_dimension=1), ShapeError, "scatter_dimension=1"),
        (lambda x: lax.all_gather(x, "i", axis=4), ValueError, "out of range"),
    ],
)
def test_errors(function: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        pb.vmap(function, axis_name="i")(X[:, 0])


def test_unbound_outside() -> None:
    with pytest.raises(NameError, match=r"unbound axis name 'i'.*vmap"):
        lax.psum(1.0, "i")
