"""`vmap`: axes of arguments and results, structures, names, nesting; against JAX and against loops."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

import pullback as pb
import pullback.lax as lax
import pullback.numpy as pnp

from .oracle import compare

A = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 24
B = np.arange(8, dtype=np.float32).reshape(4, 2) - 3


class Pair(NamedTuple):
    left: Any
    right: Any


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("out", [0, 1, 2, -1])
def test_axes_of_one_argument(axis: int, out: int) -> None:
    compare(lambda api, np_: api.vmap(lambda x: np_.sin(x) * 2.0, in_axes=axis, out_axes=out), A)


@pytest.mark.parametrize(
    ("in_axes", "args"),
    [
        ((0, None), (A, B)),
        ((2, 0), (A, B)),
        ([2, 0], (A, B)),
        ((None, 1), (A, B)),
        ((0, {"x": 1, "y": None}), (A, {"x": B, "y": 2.0})),
        ((0, {"x": 1, "y": (None, 0)}), (A, {"x": B, "y": (1.0, np.ones(2, np.float32))})),
        ((0, 0), (A, {"x": A, "y": (A, [A])})),
        (((0, None), 1), ((A, B), np.ones((3, 2), np.float32))),
        (0, ({"x": A},)),
    ],
)
def test_axes_as_prefixes(in_axes: Any, args: Any) -> None:
    def total(api: Any, np_: Any) -> Any:
        tree = jax.tree if api is jax else pb.tree
        return lambda *xs: [np_.sin(v) for v in tree.leaves(xs)]

    compare(lambda api, np_: api.vmap(total(api, np_), in_axes=in_axes), *args)
    compare(lambda api, np_: api.jit(api.vmap(total(api, np_), in_axes=in_axes)), *args)


def test_axes_of_results_as_prefixes() -> None:
    f = lambda np_: lambda x: {"a": (x, x * 2), "b": np_.sum(x), "c": np_.ones(())}
    for out_axes in (0, {"a": 1, "b": 0, "c": 0}, {"a": (1, -1), "b": 0, "c": None}):
        compare(lambda api, np_, o=out_axes: api.vmap(f(np_), out_axes=o), B)


def test_results_that_are_not_mapped_are_broadcast_or_returned_once() -> None:
    compare(lambda api, np_: api.vmap(lambda x: (x, np_.ones(2))), B)
    compare(lambda api, np_: api.vmap(lambda x: (x, np_.ones(2)), out_axes=(0, 1)), B)
    compare(lambda api, np_: api.vmap(lambda x: (x, np_.ones(2)), out_axes=(0, None)), B)
    compare(lambda api, np_: api.vmap(lambda x: 1.0), B)


def test_keyword_arguments_are_mapped_over_axis_0() -> None:
    compare(lambda api, np_: lambda x, y: api.vmap(lambda x, *, y: x * y)(x, y=y), A, np.ones(2, np.float32))
    compare(
        lambda api, np_: lambda x, y: api.vmap(lambda x, *, y: x * y, in_axes=(None,))(x, y=y),
        A,
        np.ones(2, np.float32),
    )


def test_axis_size() -> None:
    compare(lambda api, np_: api.vmap(lambda x: x * 2, in_axes=None, axis_size=3), A)
    compare(lambda api, np_: api.vmap(lambda: np_.ones(2), axis_size=3))
    compare(lambda api, np_: api.vmap(lambda x: x * 2, axis_size=2), A)


def test_containers_keep_their_type() -> None:
    out = compare(lambda api, np_: api.vmap(lambda p: Pair(p.right, (p.left, None))), Pair(B, B + 1))
    assert type(out) is Pair and out.right[1] is None


def test_empty_axes() -> None:
    compare(lambda api, np_: api.vmap(lambda x: np_.sum(x) * x), np.zeros((0, 3), np.float32))
    compare(lambda api, np_: api.vmap(api.grad(lambda x: np_.sum(x**2))), np.zeros((0, 3), np.float32))


def test_nesting() -> None:
    compare(
        lambda api, np_: api.vmap(api.vmap(lambda x, y: x * y, (0, None)), (0, 0)),
        A,
        np.ones((2, 4), np.float32),
    )
    compare(lambda api, np_: api.vmap(api.vmap(lambda x, y: x - y, (None, 0)), (0, None)), B[0], B[1])
    compare(lambda api, np_: api.vmap(api.vmap(api.vmap(np_.sin, -1, -1), 1), -1, 1), A)
    outer = lambda api, np_: lambda x: api.vmap(lambda y: x * y + np_.sum(x))(x)
    compare(lambda api, np_: api.vmap(outer(api, np_)), B)


def test_closures_over_values_mapped_outside() -> None:
    compare(lambda api, np_: api.vmap(lambda x: api.grad(lambda y: np_.sum(np_.sin(y) * x))(x)), B)
    compare(lambda api, np_: api.vmap(lambda x: api.jit(lambda y: y * x)(2.0)), B)


def test_grad_of_vmap() -> None:
    f = lambda api, np_: lambda x: np_.sum(api.vmap(lambda r, s: np_.sum(r) * s**2)(x, x[:, 0]))
    compare(lambda api, np_: api.grad(f(api, np_)), B, rtol=1e-5)
    compare(lambda api, np_: api.jit(api.grad(f(api, np_))), B, rtol=1e-5)


def test_names_and_collectives() -> None:
    g = lambda api: jax.lax if api is jax else lax
    compare(lambda api, np_: api.vmap(lambda x: x - g(api).pmean(x, "i"), axis_name="i"), B)
    compare(lambda api, np_: api.vmap(lambda x: g(api).axis_index("i") * x, axis_name="i"), B)
    both = lambda api, np_: lambda x: x / g(api).psum(x, ("i", "j"))
    compare(lambda api, np_: api.vmap(api.vmap(both(api, np_), axis_name="j"), axis_name="i"), B + 10)
    compare(lambda api, np_: api.vmap(api.jit(lambda x: x - g(api).psum(x, "i")), axis_name="i"), B)
    with pytest.raises(NameError, match=r"unbound axis name 'k'; bound axes here: 'i'"):
        pb.vmap(lambda x: lax.psum(x, "k"), axis_name="i")(B)
    with pytest.raises(NameError, match="bound axes here: none"):
        lax.psum(pnp.ones(2), "k")


def test_the_mapped_function_sees_values_without_the_axis() -> None:
    seen: list[Any] = []
    pb.vmap(lambda x: seen.append((x.shape, x.ndim, x.dtype, len(x))) or x, in_axes=1)(A)
    assert seen == [((2, 4), 2, np.float32, 2)]


def test_random_matrices_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    for shape, axis in [((3, 2, 2), 0), ((2, 3, 2), 1), ((2, 2, 3), 2)]:
        m = rng.normal(size=shape).astype(np.float32)
        out = pb.vmap(lambda a: a @ a.T + pnp.trace(a), in_axes=axis)(m)
        for i in range(3):
            a = np.take(m, i, axis)
            np.testing.assert_allclose(np.asarray(out[i]), a @ a.T + np.trace(a), rtol=1e-4, atol=1e-5)


def test_name_of_the_result() -> None:
    assert pb.vmap(dict.get).__name__ == "vmap(get)"
