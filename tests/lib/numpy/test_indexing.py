"""x[...], iteration, take and take_along_axis: values against NumPy, the rest against JAX."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pullback as pb
import pullback.numpy as pnp
from pullback._src.base.errors import NonConcreteBooleanIndexError
from pullback._src.core.array import wrap
from pullback._src.core.dtypes import KEY_DTYPE
from pullback._src.lib.numpy.indexing import general_getitem

from ... import oracle
from ...flat import jit_of, run_program, staged, vjp_of, vmap_of
from ...matrix import Sample, matrix_cells, run_cell
from .index_strategies import is_traceable, items_of, rebuilt, shaped_indices

Array = np.ndarray[Any, Any]


def _x(shape: tuple[int, ...], seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


X = _x((3, 4))
_ROWS = np.array([2, 0, -1], np.int32)
_COLUMNS = np.array([[1], [3]], np.int32)

SAMPLES = [
    *[
        Sample(
            f"getitem-{name}",
            lambda x, i=index: x[i],
            (_x((3, 4, 2)),),
            lambda x, i=index: x[i],
            differentiable=(0,),
        )
        for name, index in (
            ("int", 1),
            ("slice", (slice(None, None, -2), slice(1, 3))),
            ("new", (None, 0, ..., None)),
            ("mask", np.array([True, False, True])),
            ("constant-array", (slice(None), np.array([0, 0, 3]))),
        )
    ],
    *[
        Sample(
            f"getitem-traced-{name}",
            lambda x, i, f=function: f(x, i),
            (_x((3, 4, 2)), index),
            lambda x, i, f=function: f(x, i),
            differentiable=(0,),
            batchable=(0, 1),
        )
        for name, index, function in (
            ("scalar", np.array(-2, np.int32), lambda x, i: x[i]),
            ("scalar-last", np.array(1, np.int32), lambda x, i: x[1:, ..., i]),
            ("rows", _ROWS, lambda x, i: x[i]),
            ("middle", _COLUMNS, lambda x, i: x[:, i, ::-1]),
            ("apart", np.array([1, 0], np.int32), lambda x, i: x[i, :, i]),
            ("with-int", np.array([1, 0], np.int32), lambda x, i: x[0, :, i]),
        )
    ],
    *[
        Sample(
            f"take-{axis}",
            lambda x, i, a=axis: pnp.take(x, i, a),
            (_x((3, 4)), np.array([[1, 2], [0, -1]], np.int32)),
            lambda x, i, a=axis: np.take(x, i, a),
            differentiable=(0,),
            batchable=(0, 1),
        )
        for axis in (0, 1, None)
    ],
    *[
        Sample(
            f"take_along_axis-{axis}",
            lambda x, i, a=axis: pnp.take_along_axis(x, i, a),
            (_x((3, 4)), index),
            lambda x, i, a=axis: np.take_along_axis(x, i, a),
            differentiable=(0,),
            batchable=(0, 1),
        )
        for axis, index in ((0, np.array([[0, 2, 1, 1]])), (1, np.array([[0], [3], [-1]])))
    ],
]


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


# Random indices -----------------------------------------------------------------------------------


@given(shaped_indices())
@settings(max_examples=200)
def test_like_numpy(case: tuple[tuple[int, ...], Any]) -> None:
    """Eagerly by NumPy's own indexing, by the general way, and staged with traced index arrays."""
    shape, index = case
    x = _x(shape)
    expected = x[index]
    arrays = [i for i in items_of(index) if is_traceable(i)]
    concrete = rebuilt(index, [wrap(a) for a in arrays], wrap)
    function = lambda v, *given: [v[rebuilt(index, given, wrap)]]
    args = [wrap(x), *map(wrap, arrays)]
    for actual in (
        wrap(x)[concrete],
        general_getitem(wrap(x), concrete),
        run_program(staged(function, *args), args)[0],
    ):
        assert actual.shape == expected.shape
        np.testing.assert_array_equal(np.asarray(actual), expected)


@given(shaped_indices())
@settings(max_examples=60)
def test_vmap_like_a_loop(case: tuple[tuple[int, ...], Any]) -> None:
    shape, index = case
    arrays = [i for i in items_of(index) if is_traceable(i)]
    function = lambda v, *given: [v[rebuilt(index, given, wrap)]]
    xs = [_x(shape, k) for k in range(2)]
    others = [[a, a[::-1].copy() if a.ndim else a] for a in arrays]
    every = [xs, *others]
    for mapped in ({0}, set(range(len(every))), set(range(1, len(every)))):
        if not mapped:
            continue
        args = [wrap(np.stack(v)) if i in mapped else wrap(v[0]) for i, v in enumerate(every)]
        dims = [0 if i in mapped else None for i in range(len(every))]
        (actual,) = vmap_of(function, dims, 2)(*args)
        rows = [[v[k] if i in mapped else v[0] for i, v in enumerate(every)] for k in range(2)]
        expected = np.stack([r[0][rebuilt(index, r[1:], lambda m: m)] for r in rows])
        np.testing.assert_array_equal(np.asarray(actual), expected)


@given(shaped_indices(outside=True))
@settings(max_examples=12, deadline=None)
def test_out_of_bounds_like_jax(case: tuple[tuple[int, ...], Any]) -> None:
    shape, index = case
    x = _x(shape)
    arrays = [i for i in items_of(index) if is_traceable(i)]
    ours = rebuilt(index, [wrap(a) for a in arrays], wrap)
    theirs = rebuilt(index, [jnp.asarray(a) for a in arrays], jnp.asarray)
    for options in ({}, {"mode": "fill"}, {"mode": "clip"}, {"mode": "fill", "fill_value": 7.0}):
        oracle.assert_same(
            wrap(x).at[ours].get(**options), jnp.asarray(x).at[theirs].get(**options), f"{index}"
        )
    oracle.assert_same(wrap(x)[ours], jnp.asarray(x)[theirs], f"{index}")


@given(shaped_indices())
@settings(max_examples=12, deadline=None)
def test_gradient_like_jax(case: tuple[tuple[int, ...], Any]) -> None:
    shape, index = case
    x = _x(shape)
    arrays = [i for i in items_of(index) if is_traceable(i)]
    ours = rebuilt(index, [wrap(a) for a in arrays], wrap)
    theirs = rebuilt(index, [jnp.asarray(a) for a in arrays], jnp.asarray)
    out, pullback = jax.vjp(lambda v: v[theirs], x)
    cotangent = _x(out.shape, 1)
    (actual,) = vjp_of(lambda v: [v[ours]], (0,), 1)(wrap(x), wrap(cotangent))
    np.testing.assert_allclose(np.asarray(actual), np.asarray(pullback(cotangent)[0]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", ["fill", "clip"])
def test_gradient_out_of_bounds_like_jax(mode: str) -> None:
    index = np.array([5, 0, -7, 0], np.int32)
    oracle.check_grad(
        lambda x: x.at[wrap(index)].get(mode=mode), lambda x: x.at[jnp.asarray(index)].get(mode=mode), X
    )


def test_clamped_reads_have_the_gradient_of_what_they_read() -> None:
    out = pb.grad(lambda x: x[wrap(np.array([9, 0]))].sum())(wrap(np.ones(3, np.float32)))
    np.testing.assert_array_equal(np.asarray(out), [1, 0, 1])


# Particular cases ---------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [5, -5, (0, 7), (slice(1, None), -9), np.array(5), np.array([5, -9])])
def test_static_indices_out_of_bounds_are_clamped(index: Any) -> None:
    oracle.assert_same(wrap(X)[index], jnp.asarray(X)[index])
    (staged_result,) = jit_of(lambda x: [x[index]])(wrap(X))
    oracle.assert_same(staged_result, jnp.asarray(X)[index])


@pytest.mark.parametrize(
    "index",
    [
        True,
        False,
        np.bool_(True),
        (0, True),
        (slice(None), np.array([True, False, True, True])),
        (X > 0,),
        ((0, 1), (1, 2)),
        (0, [1]),
    ],
    ids=str,
)
def test_bools_and_lists_like_numpy(index: Any) -> None:
    expected = X[index]
    for actual in (wrap(X)[index], general_getitem(wrap(X), index)):
        np.testing.assert_array_equal(np.asarray(actual), expected)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint32"])
def test_narrow_index_dtypes(dtype: str) -> None:
    x = np.arange(200, dtype=np.float32)
    index = np.array([0, 100, 127]).astype(dtype)
    np.testing.assert_array_equal(np.asarray(wrap(x)[wrap(index)]), x[index])
    (actual,) = jit_of(lambda v, i: [v[i]])(wrap(x), wrap(index))
    np.testing.assert_array_equal(np.asarray(actual), x[index])


def test_weak_types_stay() -> None:
    ours, theirs = pnp.broadcast_to(1.0, (3,)), jnp.broadcast_to(1.0, (3,))
    for index in (0, slice(1, None), np.array([0, 1])):
        oracle.assert_same(ours[index], theirs[index])
        (out,) = jit_of(lambda x, i=index: [x[i]])(ours)
        assert out.weak_type


def test_random_keys_are_indexed() -> None:
    words = np.zeros(3, KEY_DTYPE)
    words["fry"] = [[1, 2], [3, 4], [5, 6]]
    keys = wrap(words)
    for out in (keys[np.array([2, 0])], jit_of(lambda k, i: [k[i]])(keys, wrap(np.array([2, 0])))[0]):
        assert out.dtype == keys.dtype
        np.testing.assert_array_equal(out._data["fry"], [[5, 6], [1, 2]])
    assert keys[0].shape == () and [k.shape for k in keys] == [(), (), ()]


def test_iteration() -> None:
    rows = list(wrap(X))
    assert len(rows) == 3 and all(isinstance(r, pb.Array) for r in rows)
    np.testing.assert_array_equal(np.stack([np.asarray(r) for r in rows]), X)
    assert [float(v) for v in wrap(X[0])] == X[0].tolist()
    _a, _b, c = wrap(X)
    np.testing.assert_array_equal(np.asarray(c), X[2])
    gradient = pb.grad(lambda x: sum(k * r.sum() for k, r in enumerate(x)))(wrap(X))
    np.testing.assert_array_equal(np.asarray(gradient), np.repeat([[0.0], [1.0], [2.0]], 4, 1))
    assert list(wrap(np.zeros((0, 2), np.float32))) == []


def test_iteration_is_one_equation_and_a_reshape_for_each_row() -> None:
    program = staged(list, wrap(X))
    assert [e.primitive.name for e in program.eqns] == ["split", "reshape", "reshape", "reshape"]


@pytest.mark.parametrize(
    ("index", "error", "match"),
    [
        ([0, 1], TypeError, r"use x\[array\(i\)\]"),
        ([slice(None)], TypeError, r"use x\[tuple\(i\)\]"),
        (range(2), TypeError, "a range is no index"),
        (1.0, TypeError, "integer or bool dtype; got float32"),
        (np.array([1.5]), TypeError, "integer or bool dtype; got float32"),
        (np.array(["a"]), TypeError, "integer or bool dtype"),
        ("a", TypeError, "strings are no indices"),
        pytest.param(object(), IndexError, "only integers, slices", id="object"),
        ((0, 0, 0), IndexError, r"shape \(3, 4\) has 2 dimensions, but 3 are indexed"),
        ((..., ...), IndexError, "single ellipsis"),
        (np.array([True, False]), IndexError, r"got \(2,\), expected \(3,\)"),
        (slice(None, None, 0), ValueError, "slice step cannot be zero"),
        (slice(1.5, None), TypeError, "slice indices must be integers"),
        (2**40, OverflowError, "too large"),
        ((np.zeros(2, int), np.zeros(3, int)), ValueError, "index arrays do not fit together"),
    ],
    ids=str,
)
def test_errors(index: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        wrap(X)[index]
    with pytest.raises(error, match=match):
        jit_of(lambda x: [x[index]])(wrap(X))


def test_traced_masks_and_slices() -> None:
    with pytest.raises(NonConcreteBooleanIndexError, match="a bool index must be concrete"):
        pb.jit(lambda x, m: x[m])(wrap(X), wrap(X > 0))
    with pytest.raises(IndexError, match="bounds of a slice must be static"):
        pb.jit(lambda x, i: x[i : i + 1])(wrap(X), 1)
    assert pb.grad(lambda x: x[x > 0].sum())(wrap(X)).shape == X.shape


def test_empty_dimension() -> None:
    empty = wrap(np.zeros((0, 3), np.float32))
    assert empty[np.zeros(0, int)].shape == (0, 3)
    assert empty[:, 1].shape == (0,)
    for index in (0, np.array([0])):
        with pytest.raises(IndexError, match="has size 0"):
            empty[index]


def test_len_of_scalar() -> None:
    with pytest.raises(TypeError, match="without dimensions"):
        iter(wrap(np.zeros((), np.float32)))


# take ---------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(-9, 9), max_size=4),
    st.sampled_from([None, 0, 1, -1]),
    st.sampled_from([None, "fill", "clip", "wrap"]),
)
@settings(max_examples=12, deadline=None)
def test_take_like_jax(values: list[int], axis: int | None, mode: str | None) -> None:
    index = np.array(values, np.int32)
    oracle.check(pnp.take, jnp.take, X, index, axis=axis, mode=mode)
    (staged_result,) = jit_of(lambda x, i: [pnp.take(x, i, axis, mode=mode)])(wrap(X), wrap(index))
    oracle.assert_same(staged_result, jnp.take(X, index, axis, mode=mode))


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.complex64, np.bool_])
def test_take_fill_values(dtype: Any) -> None:
    x = np.array([1, 0, 1]).astype(dtype)
    oracle.check(pnp.take, jnp.take, x, np.array([0, 5, -1]))
    oracle.check(pnp.take, jnp.take, x, np.array([0, 5, -1]), fill_value=1)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("mode", [None, "clip", "fill"])
def test_take_along_axis_like_jax(axis: int, mode: str | None) -> None:
    index = np.array([[0, 9, -1, -9]] if axis == 0 else [[0, 9], [-1, 2], [-9, 3]], np.int32)
    oracle.check(pnp.take_along_axis, jnp.take_along_axis, X, index, axis, mode=mode)


def test_take_errors() -> None:
    with pytest.raises(TypeError, match="list"):
        pnp.take(wrap(X), [0, 1])
    with pytest.raises(TypeError, match="indices must be integers"):
        pnp.take(wrap(X), wrap(np.array([0.5])))
    with pytest.raises(NotImplementedError, match="mode 'raise'"):
        pnp.take(wrap(X), 0, mode="raise")
    with pytest.raises(ValueError, match="same number of dimensions"):
        pnp.take_along_axis(wrap(X), wrap(np.array([0])), 1)
    with pytest.raises(IndexError, match="no elements to take"):
        pnp.take(wrap(np.zeros(0, np.float32)), 0)
