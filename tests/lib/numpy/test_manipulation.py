"""Shapes, joining, padding, selection and index grids, against JAX and NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pullback as pb
import pullback.numpy as pnp
from pullback._src.base.errors import ConcretizationTypeError, ShapeError
from pullback._src.core.array import wrap

from ... import oracle
from ...flat import jit_of, vjp_of
from ...matrix import Sample, matrix_cells, run_cell

Array = np.ndarray[Any, Any]


def _x(shape: tuple[int, ...], seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


V = _x((5,))
X = _x((3, 4))
T = _x((2, 3, 4))
N = np.array([[0, 3, 1], [2, 0, 5]], np.int32)

# Each call is made with pullback.numpy and jax.numpy as `np`: eagerly, staged, and for its pullback.
CALLS: dict[str, tuple[Callable[..., Any], tuple[Array, ...]]] = {
    "reshape": (lambda np, x: np.reshape(x, (2, -1)), (X,)),
    "reshape-int": (lambda np, x: np.reshape(x, 12), (X,)),
    "reshape-F": (lambda np, x: np.reshape(x, (4, 3), order="F"), (X,)),
    "reshape-method": (lambda np, x: (x.reshape(2, 6), x.reshape((6, 2)), x.reshape(-1, order="F")), (X,)),
    "ravel": (lambda np, x: (np.ravel(x), np.ravel(x, "F"), x.flatten(), x.ravel()), (X,)),
    "transpose": (lambda np, x: (np.transpose(x), np.transpose(x, (0, -1, 1)), x.T, x.mT), (T,)),
    "transpose-method": (lambda np, x: (x.transpose(), x.transpose(1, 0, 2), x.transpose([2, 0, 1])), (T,)),
    "permute_dims": (lambda np, x: (np.permute_dims(x, (2, 0, 1)), np.matrix_transpose(x)), (T,)),
    "swapaxes": (lambda np, x: (np.swapaxes(x, 0, -1), x.swapaxes(1, 2)), (T,)),
    "moveaxis": (lambda np, x: (np.moveaxis(x, 0, -1), np.moveaxis(x, (0, 1), (-1, 0))), (T,)),
    "rollaxis": (lambda np, x: (np.rollaxis(x, 2), np.rollaxis(x, 0, 3), np.rollaxis(x, 1, 0)), (T,)),
    "expand_dims": (lambda np, x: (np.expand_dims(x, 1), np.expand_dims(x, (0, -1))), (X,)),
    "squeeze": (
        lambda np, x: (np.squeeze(x[None, :, None]), np.squeeze(x[None], 0), x[..., None].squeeze(-1)),
        (X,),
    ),
    "atleast": (
        lambda np, x: (np.atleast_1d(x[0]), np.atleast_2d(x), np.atleast_3d(x), *np.atleast_2d(x, x[0])),
        (V,),
    ),
    "broadcast": (lambda np, x: (np.broadcast_to(x, (2, 3, 4)), *np.broadcast_arrays(x, x[:, :1])), (X,)),
    "flip": (lambda np, x: (np.flip(x), np.flip(x, 0), np.fliplr(x), np.flipud(x), np.flip(x, (0, 2))), (T,)),
    "rot90": (lambda np, x: [np.rot90(x, k) for k in range(-1, 5)], (X,)),
    "rot90-axes": (lambda np, x: np.rot90(x, 1, (2, 0)), (T,)),
    "tile": (lambda np, x: (np.tile(x, 2), np.tile(x, (2, 1, 3)), np.tile(x, (1, 1)), np.tile(x, 0)), (X,)),
    "repeat": (
        lambda np, x: (np.repeat(x, 2), np.repeat(x, 3, axis=0), np.repeat(x, 0, 1), x.repeat(2, -1)),
        (X,),
    ),
    "resize": (lambda np, x: (np.resize(x, (2, 9)), np.resize(x, 5), np.resize(x, (0, 2))), (X,)),
    "roll": (
        lambda np, x: (np.roll(x, 5), np.roll(x, -1, 0), np.roll(x, (1, 2), (0, 1)), np.roll(x, (1, 2), 0)),
        (X,),
    ),
    "diagonal": (
        lambda np, x: (np.diagonal(x), np.diagonal(x, 1, 2, 0), np.diagonal(x, -2, 1, 2), x.diagonal(5)),
        (T,),
    ),
    "diag": (lambda np, x: (np.diag(x), np.diag(x, 2), np.diag(x, -1), np.diag(np.diag(x, 1), 1)), (V,)),
    "diagflat": (lambda np, x: np.diagflat(x, -1), (X,)),
    "triangles": (
        lambda np, x: (np.tril(x), np.triu(x), np.tril(x, 1), np.triu(x, -1), np.tril(x, -9)),
        (T,),
    ),
    "concatenate": (
        lambda np, x, y: (np.concatenate([x, y], 1), np.concatenate((x, y), None), np.concat([x, x])),
        (X, X[:, :2]),
    ),
    "concatenate-dtypes": (
        lambda np, x: np.concatenate([x, np.ones((1, 4), "int32")], dtype="float16"),
        (X,),
    ),
    "concatenate-array": (
        lambda np, x: (np.concatenate(x), np.stack(x, 1), np.vstack(x), np.hstack(x)),
        (T,),
    ),
    "stack": (lambda np, x, y: (np.stack([x, y]), np.stack([x, y], -1), np.stack([x, y], 1)), (X, X + 1)),
    "vstack": (
        lambda np, x, y: (np.vstack([x, x]), np.vstack([x, y]), np.dstack([x, x]), np.hstack([x, x])),
        (V, _x((2, 5))),
    ),
    "column_stack": (lambda np, x, y: np.column_stack([x, y, x]), (V, _x((5, 2)))),
    "block": (lambda np, x, y: np.block([[x, y], [y, x]]), (X, X + 1)),
    "append": (lambda np, x: (np.append(x, x), np.append(x, x, 0)), (X,)),
    "unstack": (lambda np, x: (*np.unstack(x), *np.unstack(x, axis=-1)), (X,)),
    "split": (
        lambda np, x: (*np.split(x, 2, 1), *np.split(x, [1, 3], -1), *np.array_split(x, 2), *np.hsplit(x, 4)),
        (X,),
    ),
    "split-more": (lambda np, x: (*np.vsplit(x, 2), *np.dsplit(x, [1]), *np.array_split(x, 5, 2)), (T,)),
    "pad-constant": (
        lambda np, x: (
            np.pad(x, 1),
            np.pad(x, (1, 2), constant_values=3.0),
            np.pad(x, ((0, 1), (2, 0)), constant_values=((1, 2), (3, 4))),
        ),
        (X,),
    ),
    "pad-edge": (
        lambda np, x: (np.pad(x, (2, 1), "edge"), np.pad(x, ((1, 0), (0, 3)), "wrap"), np.pad(x, 9, "wrap")),
        (X,),
    ),
    "pad-mirror": (
        lambda np, x: (
            np.pad(x, 2, "reflect"),
            np.pad(x, 9, "reflect"),
            np.pad(x, 2, "symmetric"),
            np.pad(x, 9, "symmetric"),
        ),
        (X,),
    ),
    "pad-odd": (
        lambda np, x: (
            np.pad(x, 7, "reflect", reflect_type="odd"),
            np.pad(x, 7, "symmetric", reflect_type="odd"),
        ),
        (X,),
    ),
    "pad-ramp": (
        lambda np, x: (np.pad(x, 3, "linear_ramp"), np.pad(x, (0, 2), "linear_ramp", end_values=(1.0, 2.0))),
        (X,),
    ),
    "pad-mean": (
        lambda np, x: (
            np.pad(x, 1, "mean"),
            np.pad(x, ((2, 1), (0, 3)), "mean", stat_length=2),
            np.pad(x, 2, "median"),
        ),
        (X,),
    ),
    "pad-extrema": (
        lambda np, x: (np.pad(x, 1, "maximum"), np.pad(x, 2, "minimum", stat_length=((1, 2), (2, 1)))),
        (X,),
    ),
    "pad-function": (
        lambda np, x: np.pad(x, 1, lambda line, width, axis, options: line.at[0].set(line[1] * 2)),
        (X,),
    ),
    "select": (lambda np, x, y: np.select([x > 0, y > 0], [x, y * 2], 7.0), (X, X[::-1].copy())),
    "choose": (lambda np, x, y: np.choose(N % 2, [x[:, :3][:2], y[:2, :3]], mode="clip"), (X, X + 1)),
    "piecewise": (lambda np, x: np.piecewise(x, [x < -1, x > 0], [lambda v: -v, lambda v: v * v, 3.0]), (X,)),
    "compress": (
        lambda np, x: (
            np.compress(np.array([True, False, True]), x, axis=0),
            np.compress(np.array([False, True]), x),
        ),
        (X,),
    ),
    "insert": (
        lambda np, x: (
            np.insert(x, 1, 9.0),
            np.insert(x, np.array([0, 2, 2]), 7.0, 1),
            np.insert(x, -1, x[0], 0),
        ),
        (X,),
    ),
    "insert-slice": (lambda np, x: np.insert(x, slice(0, 3, 2), x[:2], 0), (X,)),
    "delete": (
        lambda np, x: (
            np.delete(x, 1),
            np.delete(x, np.array([0, -1]), 1),
            np.delete(x, slice(None, None, 2), 1),
        ),
        (X,),
    ),
    "apply_along_axis": (
        lambda np, x: (
            np.apply_along_axis(np.cumsum, 1, x),
            np.apply_along_axis(lambda v: np.outer(v, v), 0, x),
        ),
        (X,),
    ),
    "apply_over_axes": (lambda np, x: np.apply_over_axes(np.sum, x, (0, -1)), (T,)),
    "meshgrid": (
        lambda np, x, y: (
            *np.meshgrid(x, y),
            *np.meshgrid(x, y, x, indexing="ij"),
            *np.meshgrid(x, y, sparse=True),
        ),
        (V, X[0]),
    ),
    "ix_": (lambda np, x: x[np.ix_(np.array([0, 2]), np.array([1, 1, 3]))], (X,)),
    "r_": (lambda np, x: (np.r_[x, 1.0, x[:2]], np.c_[x, x]), (V,)),
    "triangle-indices": (
        lambda np, x: (x[np.tril_indices(3)], x[np.triu_indices(3, 1, 4)], x[np.diag_indices(3)]),
        (X,),
    ),
}


# JAX wants the places or masks of these outside of jit.
CONCRETE = ("compress", "delete")


@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients_like_jax(name: str) -> None:
    call, args = CALLS[name]
    theirs = [jnp.asarray(a) for a in args]
    reference = lambda *xs: oracle.leaves(call(jnp, *xs))
    shapes = reference(*theirs) if name in CONCRETE else jax.eval_shape(reference, *theirs)
    cotangents = [_x(e.shape, k).astype(e.dtype) for k, e in enumerate(shapes)]
    differentiate = lambda xs, cts: (reference(*xs), jax.vjp(reference, *xs)[1](cts))
    if name not in CONCRETE:
        differentiate = jax.jit(differentiate)  # one compilation is faster than many
    expected, wanted_gradients = differentiate(theirs, cotangents)
    ours = [wrap(a) for a in args]
    run = lambda *xs: oracle.leaves(call(pnp, *xs))
    oracle.assert_same(run(*ours), expected, name)
    oracle.assert_same(jit_of(run)(*ours), expected, f"{name}, staged")
    gradients = vjp_of(run, tuple(range(len(args))), len(args))(*ours, *map(wrap, cotangents))
    for actual, wanted in zip(gradients, wanted_gradients, strict=True):
        np.testing.assert_allclose(np.asarray(actual), np.asarray(wanted), rtol=1e-4, atol=1e-5, err_msg=name)


SAMPLES = [
    Sample(name, function, args, reference, differentiable=(0, 1)[: len(args)], batchable=(0, 1)[: len(args)])
    for name, function, reference, args in (
        ("diag", lambda x: pnp.diag(x, -1), lambda x: np.diag(x, -1), (V,)),
        ("diagonal", lambda x: pnp.diagonal(x, 1, 1, 2), lambda x: np.diagonal(x, 1, 1, 2), (T,)),
        ("tril", lambda x: pnp.tril(x, 1), lambda x: np.tril(x, 1), (X,)),
        ("tile", lambda x: pnp.tile(x, (2, 1, 2)), lambda x: np.tile(x, (2, 1, 2)), (X,)),
        ("roll", lambda x: pnp.roll(x, (1, -1), (0, 1)), lambda x: np.roll(x, (1, -1), (0, 1)), (X,)),
        ("vstack", lambda x, y: pnp.vstack([x, y]), lambda x, y: np.vstack([x, y]), (V, V + 1)),
        ("pad-reflect", lambda x: pnp.pad(x, 2, "reflect"), lambda x: np.pad(x, 2, "reflect"), (X,)),
        (
            "pad-odd",
            lambda x: pnp.pad(x, 4, "symmetric", reflect_type="odd"),
            lambda x: np.pad(x, 4, "symmetric", reflect_type="odd"),
            (V,),
        ),
    )
]


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


# Types --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda np: np.concatenate([np.array([1, 2]), np.array([0.5])]),
        lambda np: np.stack([1, 2.0]),
        lambda np: np.stack([1, 2]),
        lambda np: np.hstack([1, np.array([2.0])]),
        lambda np: np.vstack([1, 2]),
        lambda np: np.block([1, 2.0]),
        lambda np: np.append(np.array([1, 2]), 0.5),
        lambda np: np.broadcast_to(1, (2,)),
        lambda np: np.broadcast_arrays(np.array([1.0]), 2),
        lambda np: np.atleast_1d(1, 2.0),
        lambda np: np.select([np.array([True, False])], [np.array([1, 2])], 0.5),
        lambda np: np.tile(True, 3),
        lambda np: np.pad(np.array([1, 2, 4]), 2, "mean"),
        lambda np: np.pad(np.array([1, 2, 4]), 2, "linear_ramp", end_values=9),
        lambda np: np.pad(np.array([1, 2, 4]), 1, constant_values=2.7),
        lambda np: np.tril(np.array([[True, True]])),
        lambda np: np.diag(np.array([1, 2], "uint8")),
        lambda np: np.indices((2, 3)),
        lambda np: np.indices((2, 3), dtype="float32", sparse=True),
        lambda np: np.mgrid[0:2, 1:4],
        lambda np: np.mgrid[0:1:3j, 0:2],
        lambda np: np.ogrid[0:2, 0:1:0.5],
        lambda np: np.mgrid[0:3],
        lambda np: np.r_[1, 2, 3:5],
        lambda np: np.tril_indices_from(np.zeros((2, 3)), 1),
        lambda np: np.triu_indices_from(np.zeros((2, 3)), -1),
        lambda np: np.diag_indices_from(np.zeros((2, 2))),
        lambda np: np.mask_indices(3, np.triu),
        lambda np: np.unravel_index(np.array([5, -1, 99]), (3, 4)),
        lambda np: np.ravel_multi_index((np.array([1, 2]), np.array([1, 3])), (3, 4)),
        lambda np: np.ravel_multi_index((np.array([5]), np.array([-1])), (3, 4), mode="clip"),
        lambda np: np.ravel_multi_index((np.array([5]), np.array([-1])), (3, 4), mode="wrap", order="F"),
        lambda np: np.choose(np.array([0, 1, 2]), [np.array([1, 2, 3]), 0.5], mode="wrap"),
        lambda np: np.extract(np.array([1, 0, 2]), np.array([5, 6, 7])),
        lambda np: np.compress(np.array([True, False, True]), np.array([5, 6, 7]), size=3, fill_value=9),
        lambda np: np.trim_zeros(np.array([0, 1, 0, 2, 0])),
        lambda np: np.trim_zeros(np.array([0, 1, 0, 2, 0]), "f"),
        lambda np: np.trim_zeros(np.zeros(3)),
        lambda np: np.trim_zeros(np.pad(np.ones((2, 1)), ((1, 2), (0, 1)))),
        lambda np: np.trim_zeros(np.pad(np.ones((2, 1)), ((1, 2), (0, 1))), "b", axis=-2),
        lambda np: np.trim_zeros(np.zeros((2, 3)), axis=(1,)),
        lambda np: np.delete(np.array([1, 2, 3]), np.array([True, False, True])),
        lambda np: np.broadcast_shapes((2, 1), (3,)),
        lambda np: np.roll(np.zeros((0, 3)), 1),
    ],
)
def test_types_like_jax(call: Callable[..., Any]) -> None:
    oracle.assert_same(call(pnp), call(jnp))


# Shapes from Hypothesis ---------------------------------------------------------------------------


@given(st.lists(st.integers(0, 4), max_size=4), st.data())
@settings(max_examples=100)
def test_shapes_like_numpy(sizes: list[int], data: Any) -> None:
    x = _x(tuple(sizes))
    ndim = len(sizes)
    axis = st.integers(-ndim, max(ndim - 1, 0))
    calls: list[Callable[[Any, Any], Any]] = [
        lambda np, x: np.expand_dims(x, -1),
        lambda np, x: np.transpose(x),
    ]
    if ndim:
        i, j, shift = data.draw(axis), data.draw(axis), data.draw(st.integers(-6, 6))
        count = data.draw(st.integers(0, 3))
        calls += [
            lambda np, x: np.swapaxes(x, i, j),
            lambda np, x: np.moveaxis(x, i, j),
            lambda np, x: np.roll(x, shift, i),
            lambda np, x: np.repeat(x, count, i),
            lambda np, x: np.flip(x, i),
            lambda np, x: np.concatenate([x, x], i),
            lambda np, x: np.stack([x, x], i),
            lambda np, x: np.array_split(x, 1 + count, i),
            lambda np, x: np.tile(x, (count, 1)),
        ]
    if ndim >= 2:
        calls += [lambda np, x: np.tril(x, shift), lambda np, x: np.diagonal(x, shift)]
    for call in calls:
        expected = oracle.leaves(call(np, x))
        for actual in (
            oracle.leaves(call(pnp, wrap(x))),
            jit_of(lambda v, c=call: oracle.leaves(c(pnp, v)))(wrap(x)),
        ):
            assert len(actual) == len(expected)
            for a, e in zip(actual, expected, strict=True):
                assert a.shape == e.shape
                np.testing.assert_array_equal(np.asarray(a), e)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=2),
    st.sampled_from(
        ["edge", "reflect", "symmetric", "wrap", "linear_ramp", "maximum", "minimum", "mean", "median"]
    ),
    st.sampled_from(["even", "odd"]),
)
@settings(max_examples=150)
def test_pad_like_numpy(sides: list[tuple[int, int, int]], mode: str, kind: str) -> None:
    x = _x(tuple(n for n, _, _ in sides))
    widths = [(lo, hi) for _, lo, hi in sides]
    options = {"reflect_type": kind} if mode in ("reflect", "symmetric") else {}
    expected = np.pad(x, widths, mode, **options)  # type: ignore[call-overload]
    actual = pnp.pad(wrap(x), widths, mode, **options)
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-5, atol=1e-5)


# Traced arguments ---------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [2, 3, 7])
def test_repeat_with_a_total_length(total: int) -> None:
    counts = np.array([1, 0, 2], np.int32)
    expected = jnp.repeat(X, counts, 0, total_repeat_length=total)
    function = lambda x, c: [pnp.repeat(x, c, 0, total_repeat_length=total)]
    oracle.assert_same(function(wrap(X), wrap(counts))[0], expected)
    oracle.assert_same(jit_of(function)(wrap(X), wrap(counts))[0], expected)
    with pytest.raises(ConcretizationTypeError, match="give total_repeat_length"):
        pb.jit(pnp.repeat)(wrap(V[:3]), wrap(counts))


@pytest.mark.parametrize("shift", [0, 1, -7, 11])
def test_roll_by_a_traced_amount(shift: int) -> None:
    function = lambda x, s: [pnp.roll(x, s, 1), pnp.roll(x, s)]
    actual = jit_of(function)(wrap(X), wrap(np.array(shift, np.int32)))
    for a, e in zip(actual, (np.roll(X, shift, 1), np.roll(X, shift)), strict=True):
        np.testing.assert_array_equal(np.asarray(a), e)


def test_delete_at_traced_places() -> None:
    function = lambda x, i: [pnp.delete(x, i, 1, assume_unique_indices=True)]
    (actual,) = jit_of(function)(wrap(X), wrap(np.array([3, 0], np.int32)))
    np.testing.assert_array_equal(np.asarray(actual), X[:, 1:3])


@pytest.mark.parametrize(
    "call",
    [
        lambda x: pnp.compress(x > 0, x),
        lambda x: pnp.choose(x > 0, [x, x]),
        lambda x: pnp.delete(x, pnp.array(x > 0)),
        lambda x: pnp.ravel_multi_index((x > 0,), (2,)),
        lambda x: pnp.ix_(x > 0),
        pnp.trim_zeros,
        lambda x: pnp.reshape(x, (x[0], 1)),
    ],
)
def test_what_must_be_concrete(call: Any) -> None:
    with pytest.raises(TypeError):
        pb.jit(call)(wrap(V))


# Errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: pnp.reshape(wrap(X), (5, -1)), ShapeError, "does not divide 12"),
        (lambda: pnp.reshape(wrap(X), (-1, -1)), ShapeError, "only one size can be -1"),
        (lambda: pnp.reshape(wrap(X), (5, 2)), ShapeError, r"cannot turn shape \(3, 4\) \(12 elements\)"),
        (lambda: pnp.reshape([1, 2], (2, 1)), TypeError, "list"),
        (lambda: pnp.reshape(wrap(X), (3.0, 4)), TypeError, "sequence of integers"),
        (lambda: wrap(X).reshape((4, 3), order="A"), NotImplementedError, "'C' or 'F'"),
        (lambda: pnp.transpose(wrap(X), (0,)), ShapeError, "no permutation"),
        (lambda: pnp.swapaxes(wrap(X), 0, 2), ValueError, "axis 2 is out of range"),
        (lambda: pnp.moveaxis(wrap(X), (0, 1), (1,)), ValueError, "as many destinations"),
        (lambda: pnp.squeeze(wrap(X), 0), ShapeError, "only dimensions of size 1"),
        (lambda: pnp.flip(wrap(X), (0, 0)), ValueError, "must be distinct"),
        (
            lambda: pnp.broadcast_to(wrap(V), (2, 2)),
            ShapeError,
            r"shape \(5,\) cannot be broadcast to \(2, 2\)",
        ),
        (lambda: pnp.broadcast_shapes((2,), (3,)), ShapeError, "cannot be broadcast together"),
        (lambda: pb.lax.broadcast_shapes((2,), (3,)), ShapeError, "cannot be broadcast together"),
        (lambda: pnp.concatenate([]), ValueError, "at least one array"),
        (lambda: pnp.concatenate([1.0, 2.0]), ShapeError, "use stack"),
        (lambda: pnp.concatenate([wrap(X), wrap(V)]), ShapeError, "must agree in all other dimensions"),
        (lambda: pnp.concatenate([wrap(V), [1, 2]]), TypeError, "list"),
        (lambda: pnp.concatenate(3.0), TypeError, "expects a sequence of arrays; got float"),
        (lambda: pnp.stack([wrap(V), wrap(X)]), ShapeError, "same shape; got"),
        (lambda: pnp.block([[1], 2]), ValueError, "same depth"),
        (lambda: pnp.split(wrap(X), 2), ValueError, "3 elements cannot be cut into 2 equal pieces"),
        (lambda: pnp.split(wrap(V), [3, 1]), ValueError, "must ascend"),
        (lambda: pnp.repeat(wrap(V), -1), ValueError, "must not be negative"),
        (lambda: pnp.repeat(wrap(V), wrap(np.array([1, 2]))), ValueError, r"shape \(5,\)"),
        (lambda: pnp.roll(wrap(X), (1, 2, 3), (0, 1)), ShapeError, "do not broadcast together"),
        (lambda: pnp.rot90(wrap(V)), ValueError, "at least 2 dimensions"),
        (lambda: pnp.tril(wrap(V)), ValueError, "at least 2 dimensions"),
        (lambda: pnp.diag(wrap(T)), ValueError, "1 or 2 dimensions"),
        (lambda: pnp.pad(wrap(V), -1), ValueError, "must not be negative"),
        (lambda: pnp.pad(wrap(V), 1.5), TypeError, "must be integers"),
        (lambda: pnp.pad(wrap(V), 1, "foo"), NotImplementedError, "unknown mode 'foo'"),
        (lambda: pnp.pad(wrap(V), 1, "edge", foo=3), ValueError, "does not take foo"),
        (lambda: pnp.pad(wrap(V[:0]), 1, "edge"), ValueError, "is empty"),
        (lambda: pnp.insert(wrap(V), 9, 0.0), IndexError, "out of range"),
        (lambda: pnp.delete(wrap(V), 5), IndexError, "out of range"),
        (lambda: pnp.select([], []), ValueError, "at least one"),
        (lambda: pnp.choose(wrap(np.array([2])), [1, 2]), ValueError, r"within 0\.\.1"),
        (lambda: pnp.ravel_multi_index((wrap(np.array([5])),), (3,)), ValueError, r"within 0\.\.2"),
        (lambda: pnp.meshgrid(wrap(X)), ShapeError, "1-dimensional arrays"),
        (lambda: pnp.compress(wrap(np.array([0, 0, 0, 1])), wrap(X), 0), ValueError, "beyond the end"),
    ],
)
def test_errors(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()
