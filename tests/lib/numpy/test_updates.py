"""x.at[...] and the functions that write by index, against JAX and NumPy."""

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
from pullback._src.base.errors import ShapeError
from pullback._src.core.array import wrap
from pullback._src.core.dtypes import KEY_DTYPE

from ... import oracle
from ...flat import jit_of, staged, vjp_of
from ...matrix import Sample, matrix_cells, run_cell
from .index_strategies import is_traceable, items_of, rebuilt, shaped_indices

Array = np.ndarray[Any, Any]
OPERATIONS = ("set", "add", "subtract", "multiply", "divide", "power", "min", "max")


def _x(shape: tuple[int, ...], seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(0.5, 2, shape).astype(np.float32)


X = _x((3, 4))


def _numpy_update(operation: str, x: Array, index: Any, value: Array) -> Array:
    out = x.copy()
    if operation == "set":
        out[index] = value
    else:
        functions = {"min": np.minimum, "max": np.maximum}
        (functions.get(operation) or getattr(np, operation)).at(out, index, value)
    return out


SAMPLES = [
    *[
        Sample(
            f"at-{operation}-array",
            lambda x, i, v, o=operation: getattr(x.at[i, 1:3], o)(v),
            (_x((3, 4)), np.array([2, 0], np.int32), _x((2, 2), 1)),
            lambda x, i, v, o=operation: _numpy_update(o, x, (i, slice(1, 3)), v),
            differentiable=(0, 2),
            batchable=(0, 1, 2),
        )
        for operation in OPERATIONS
    ],
    *[
        Sample(
            f"at-{operation}-static",
            lambda x, v, o=operation: getattr(x.at[1, ::-2], o)(v),
            (_x((3, 4)), _x((2,), 1)),
            lambda x, v, o=operation: _numpy_update(o, x, (1, slice(None, None, -2)), v),
            differentiable=(0, 1),
            batchable=(0, 1),
        )
        for operation in ("set", "add", "max")
    ],
    Sample(
        "at-set-window",
        lambda x, v: x.at[1:, 2].set(v),
        (_x((3, 4)), _x((2,), 1)),
        lambda x, v: _numpy_update("set", x, (slice(1, None), 2), v),
        differentiable=(0, 1),
        batchable=(0, 1),
        primitives=("dynamic_update_slice",),
    ),
    Sample(
        "at-apply-repeated",
        lambda x: x.at[np.array([0, 2, 0])].apply(pnp.sin),
        (_x((3,)),),
        lambda x: np.array([np.sin(np.sin(x[0])), x[1], np.sin(x[2])]),
        differentiable=(0,),
    ),
    Sample(
        "put_along_axis",
        lambda x, i, v: pnp.put_along_axis(x, i, v, 1, inplace=False),
        (_x((3, 4)), np.array([[0], [3], [-1]], np.int32), _x((3, 1), 1)),
        lambda x, i, v: np.concatenate(
            [[np.where(np.arange(4) == j[0] % 4, w, r)] for r, j, w in zip(x, i, v, strict=True)]
        ),
        differentiable=(0, 2),
        batchable=(0, 1, 2),
    ),
]


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@st.composite
def _updates(draw: Any, outside: bool) -> tuple[Array, Any, Array]:
    shape, index = draw(shaped_indices(outside=outside))
    x = _x(shape)
    inside = rebuilt(index, [np.zeros_like(i) for i in items_of(index) if is_traceable(i)], lambda m: m)
    target = x[inside].shape
    target = tuple(draw(st.sampled_from([n, n, 1])) for n in target)[draw(st.integers(0, len(target))) :]
    return x, index, _x(target, 1)


@given(_updates(outside=False), st.sampled_from(["set", "add", "subtract", "multiply", "min", "max"]))
@settings(max_examples=120)
def test_like_numpy(case: tuple[Array, Any, Array], operation: str) -> None:
    """Eagerly, and staged with everything traced."""
    x, index, value = case
    expected = _numpy_update(operation, x, index, value)
    arrays = [wrap(i) for i in items_of(index) if is_traceable(i)]
    function = lambda v, w, *given: [getattr(v.at[rebuilt(index, given, wrap)], operation)(w)]
    args = [wrap(x), wrap(value), *arrays]
    for actual in (function(*args)[0], jit_of(function)(*args)[0]):
        np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-5)


@given(_updates(outside=True), st.sampled_from(OPERATIONS), st.sampled_from([None, "drop", "clip"]))
@settings(max_examples=12, deadline=None)
def test_out_of_bounds_like_jax(case: tuple[Array, Any, Array], operation: str, mode: str | None) -> None:
    x, index, value = case
    arrays = [i for i in items_of(index) if is_traceable(i)]
    theirs = jnp.asarray(x).at[rebuilt(index, [jnp.asarray(a) for a in arrays], jnp.asarray)]
    expected = getattr(theirs, operation)(value, mode=mode)
    function = lambda v, w, *given: [getattr(v.at[rebuilt(index, given, wrap)], operation)(w, mode=mode)]
    args = [wrap(x), wrap(value), *map(wrap, arrays)]
    for actual in (function(*args)[0], jit_of(function)(*args)[0]):
        oracle.assert_same(actual, expected, f"{operation} at {index}", units=64)


@given(_updates(outside=True), st.sampled_from(["set", "add", "divide", "min", "max"]))
@settings(max_examples=12, deadline=None)
def test_gradient_like_jax(case: tuple[Array, Any, Array], operation: str) -> None:
    x, index, value = case
    arrays = [i for i in items_of(index) if is_traceable(i)]
    ours = rebuilt(index, [wrap(a) for a in arrays], wrap)
    theirs = rebuilt(index, [jnp.asarray(a) for a in arrays], jnp.asarray)
    # JAX knows the derivative of a product only where no element is met twice.
    argnums = (0,) if operation == "divide" else (0, 1)
    update = lambda i: lambda *args: getattr(args[0].at[i], operation)(args[1] if len(args) > 1 else value)
    args = [x, value][: len(argnums)]
    _, pullback = jax.vjp(update(theirs), *map(jnp.asarray, args))
    cotangent = _x(x.shape, 2)
    expected = pullback(jnp.asarray(cotangent))
    given_value = wrap(value)
    function = lambda *a: [getattr(a[0].at[ours], operation)(a[1] if len(a) > 1 else given_value)]
    actual = vjp_of(function, argnums, len(args))(*map(wrap, args), wrap(cotangent))
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(e), rtol=1e-5, atol=1e-6)


def test_derivative_of_repeated_products() -> None:
    """Beyond JAX: by each of several factors of one element, also zero ones."""
    factors = wrap(np.array([2.0, 0.0, 3.0], np.float32))
    gradient = pb.grad(lambda v: wrap(X).at[wrap(np.array([0, 0, 1])), 0].multiply(v).sum())(factors)
    np.testing.assert_allclose(np.asarray(gradient), [0, 2 * X[0, 0], X[1, 0]], rtol=1e-6)


# dtypes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["set", "add", "multiply", "min", "divide", "power"])
@pytest.mark.parametrize("value", [2, 1.5, True, np.float16(2), np.int8(3), 1j], ids=repr)
@pytest.mark.parametrize("dtype", ["int32", "float32", "uint8", "complex64"])
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::numpy.exceptions.ComplexWarning")
def test_dtypes_like_jax(operation: str, value: Any, dtype: str) -> None:
    if value == 1j and operation == "min":
        return  # JAX has no minima of complex numbers
    x = np.array([1, 2, 3]).astype(dtype)
    theirs = getattr(jnp.asarray(x).at[1], operation)(value)
    oracle.assert_same(getattr(wrap(x).at[1], operation)(value), theirs)


def test_unsafe_casts_warn() -> None:
    x = wrap(np.array([1, 2, 3], np.int32))
    with pytest.warns(FutureWarning, match="float32 cannot be cast safely to the array's dtype int32"):
        x.at[0].set(1.5)


def test_weak_types_stay() -> None:
    x = pnp.broadcast_to(1.0, (3,))
    assert x.at[0].set(2.0).weak_type and x.at[np.array([0])].add(wrap(np.ones(1, np.float32))).weak_type


def test_originals_are_not_changed() -> None:
    x = wrap(X.copy())
    for operation in OPERATIONS:
        getattr(x.at[0], operation)(2.0)
        getattr(x.at[np.array([0, 1])], operation)(2.0)
    np.testing.assert_array_equal(np.asarray(x), X)


def test_random_keys_are_written() -> None:
    words = np.zeros(3, KEY_DTYPE)
    words["fry"] = [[1, 2], [3, 4], [5, 6]]
    keys = wrap(words)
    for changed in (keys.at[0].set(keys[2]), keys.at[np.array([0])].set(keys[2])):
        np.testing.assert_array_equal(changed._data["fry"], [[5, 6], [3, 4], [5, 6]])


# options ------------------------------------------------------------------------------------------


def test_negative_indices_without_wrapping() -> None:
    for index in (-1, np.array([-1, 0])):
        ours, theirs = wrap(X).at[index], jnp.asarray(X).at[index]
        oracle.assert_same(
            ours.set(9.0, wrap_negative_indices=False), theirs.set(9.0, wrap_negative_indices=False)
        )
        options: dict[str, Any] = {"wrap_negative_indices": False, "mode": "fill"}
        oracle.assert_same(ours.get(**options), theirs.get(**options))


def test_static_windows_are_dynamic_update_slices() -> None:
    program = staged(lambda x, v: [x.at[1:, 2].set(v)], wrap(X), wrap(X[1:, 2].copy()))
    assert "dynamic_update_slice" in [e.primitive.name for e in program.eqns]


def test_apply() -> None:
    for index in (0, (slice(None), 1), np.array([0, 2])):
        ours = wrap(X).at[index].apply(pnp.exp)
        oracle.assert_same(ours, jnp.asarray(X).at[index].apply(jnp.exp))
    repeated = np.array([0, 0, 5, -1], np.int32)
    expected = jnp.asarray(X).at[repeated].apply(lambda v: 2 * v + 1)
    function = lambda x, i: [x.at[i].apply(lambda v: 2 * v + 1)]
    oracle.assert_same(function(wrap(X), wrap(repeated))[0], expected)
    oracle.assert_same(jit_of(function)(wrap(X), wrap(repeated))[0], expected)


def test_errors() -> None:
    x = wrap(X)
    with pytest.raises(
        ShapeError, match=r"values of shape \(3,\) cannot be broadcast to the indexed shape \(2, 4\)"
    ):
        x.at[0:2].set(np.ones(3, np.float32))
    with pytest.raises(ShapeError, match=r"shape \(1,\) cannot be broadcast to the indexed shape \(\)"):
        x.at[0, 0].set(wrap(np.ones(1, np.float32)))
    with pytest.raises(ValueError, match="unknown mode 'wrap'"):
        x.at[0].set(1.0, mode="wrap")
    with pytest.raises(TypeError, match=r"use x\[array\(i\)\]"):
        x.at[[0, 1]].set(1.0)
    with pytest.raises(TypeError, match="scatter_add expects operands of kind"):
        wrap(X > 0).at[0].add(True)


# functions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [None, "clip", "wrap"])
@pytest.mark.parametrize("values", [np.array([7.0, 8.0], np.float32), np.array(3.0, np.float32)])
def test_put(mode: str | None, values: Array) -> None:
    index = np.array([[1, 99], [-1, 5]], np.int32)
    oracle.check(pnp.put, jnp.put, X, index, values, mode=mode, inplace=False)


def test_place() -> None:
    for values in (np.array([7.0, 8.0], np.float32), 3.0):
        oracle.check(pnp.place, jnp.place, X, X > 1, values, inplace=False)
    with pytest.raises(TypeError, match="concrete mask"):
        pb.jit(lambda x: pnp.place(x, x > 0, 1.0, inplace=False))(wrap(X))


@pytest.mark.parametrize("shape", [(3, 3), (2, 5), (7, 3), (3, 3, 3)])
@pytest.mark.parametrize("wrapped", [False, True])
def test_fill_diagonal(shape: tuple[int, ...], wrapped: bool) -> None:
    for value in (5.0, np.array([1.0, 2.0], np.float32)):
        expected = np.zeros(shape, np.float32)
        np.fill_diagonal(expected, value, wrap=wrapped)
        actual = pnp.fill_diagonal(wrap(np.zeros(shape, np.float32)), value, wrapped, inplace=False)
        np.testing.assert_array_equal(np.asarray(actual), expected)


def test_put_along_axis_like_jax() -> None:
    for axis, index in ((1, [[0], [1], [9]]), (0, [[0, 9, -1, 2]]), (None, [0, -1])):
        for mode in (None, "clip"):
            oracle.check(
                pnp.put_along_axis,
                jnp.put_along_axis,
                X,
                np.array(index),
                9.0,
                axis,
                inplace=False,
                mode=mode,
            )


@pytest.mark.parametrize(
    "call",
    [
        lambda: pnp.put(wrap(X), 0, 1.0),
        lambda: pnp.place(wrap(X), wrap(X > 0), 1.0),
        lambda: pnp.fill_diagonal(wrap(X), 1.0),
        lambda: pnp.put_along_axis(wrap(X), wrap(np.array([[0]])), 1.0, 1),
    ],
)
def test_no_changes_in_place(call: Any) -> None:
    with pytest.raises(ValueError, match="pass inplace=False"):
        call()
