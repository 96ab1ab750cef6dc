"""`donate_argnums`: results in the memory of arguments, and what becomes of those."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pullback as pb
import pullback.lax as lax
import pullback.numpy as pnp
from pullback._src.base.config import engine
from pullback._src.core.array import ConcreteArray, DeletedArray, scalar
from pullback.errors import DeletedArrayError


def fresh(*shape: int, seed: int = 0) -> Any:
    """An array to which nothing else refers."""
    return pnp.asarray(np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32))


def address(x: Any) -> int:
    return int(x._data.ctypes.data)


# Where the memory goes ----------------------------------------------------------------------------------

N = 1000


def aliased(function: Callable[..., Any], *args: Any, donate: Any = 0) -> int:
    """The bytes of results in donated memory."""
    lowered = pb.jit(function, donate_argnums=donate).lower(*args)
    return int(lowered.compile().memory_analysis().alias_size_in_bytes)


def test_the_memory_is_used() -> None:
    f = pb.jit(lambda x, y: x * 2 + y, donate_argnums=0)
    x, y = fresh(N), fresh(N, seed=1)
    expected = np.asarray(x) * 2 + np.asarray(y)
    place = address(x)
    z = f(x, y)
    assert address(z) == place
    assert x.is_deleted() and not y.is_deleted() and not z.is_deleted()
    np.testing.assert_allclose(np.asarray(z), expected, rtol=1e-6)
    for _ in range(3):  # and used again
        z = f(z, y)
        assert address(z) == place


def test_memory_is_used_where_it_can_be() -> None:
    x, s = np.zeros(N, np.float32), np.zeros((40, 40), np.float32)
    assert aliased(lambda x: pnp.sin(x) + 1, x) == 4 * N
    assert aliased(lambda x: x, x) == 4 * N
    assert aliased(lambda x: (pnp.sum(x), x + 1), x) == 4 * N
    assert aliased(lambda x: (x + 1, pnp.sum(x)), x) == 4 * N
    assert aliased(lambda s: s - 0.1 * (s.T @ (s @ s)), s) == 4 * 1600
    assert aliased(lambda x: x.at[3].set(1.0), x) == 4 * N
    assert aliased(lambda x, i: lax.dynamic_update_slice(x, pnp.ones(5), (i,)), x, 3) == 4 * N
    assert aliased(lambda x: x.at[::2].add(1.0), x) == 4 * N
    assert aliased(lambda x, y: (y + 1, x + 1), x, x, donate=(0, 1)) == 8 * N
    assert aliased(lambda p: {k: v * 2 for k, v in p.items()}, {"a": x, "b": s}) == 4 * (N + 1600)
    assert aliased(lambda x: x + 1, x, donate=()) == 0


def test_memory_is_not_used_where_it_cannot_be() -> None:
    x, s = np.zeros(N, np.float32), np.zeros((40, 40), np.float32)
    assert aliased(lambda x: x.sum(), x) == 0
    assert aliased(lambda x: x[:-1] + 1, x) == 0
    assert aliased(lambda x: x.astype(pnp.int32), x) == 0
    assert aliased(lambda x: x[::-1] + 1, x) == 0
    assert aliased(lambda x: pnp.roll(x, 1), x) == 0
    assert aliased(lambda s: s + s.T, s) == 0
    assert aliased(lambda s: s @ s, s) == 0
    assert aliased(pnp.cumsum, x) == 0
    x = fresh(N)
    pb.jit(lambda x: x[::-1] + 1, donate_argnums=0)(x)
    assert not x.is_deleted()


def test_parameters_and_moments() -> None:
    def step(params: Any, moments: Any, grads: Any) -> Any:
        moments = {k: 0.9 * m + 0.1 * grads[k] for k, m in moments.items()}
        return {k: p - 0.01 * moments[k] for k, p in params.items()}, moments

    shapes = {"w": (30, 40), "v": (30, 40), "b": (40,)}
    params, moments, grads = ({k: fresh(*s, seed=i) for k, s in shapes.items()} for i in range(3))
    expected = step(*({k: np.asarray(x) for k, x in d.items()} for d in (params, moments, grads)))
    places = {address(x) for d in (params, moments) for x in d.values()}
    new = pb.jit(step, donate_argnums=(0, 1))(params, moments, grads)
    assert {address(x) for d in new for x in d.values()} == places
    assert all(x.is_deleted() for d in (params, moments) for x in d.values())
    for ours, theirs in zip(new, expected, strict=True):
        for k in shapes:
            np.testing.assert_allclose(np.asarray(ours[k]), theirs[k], rtol=1e-5)


def test_the_state_of_a_loop() -> None:
    def f(x: Any) -> Any:
        return lax.fori_loop(0, 100, lambda i, c: c.at[i].add(c[i - 1]), x)

    x = fresh(N)
    expected = np.asarray(pb.jit(f)(x))
    place = address(x)
    out = pb.jit(f, donate_argnums=0)(x)
    assert address(out) == place and x.is_deleted()
    np.testing.assert_array_equal(np.asarray(out), expected)


# What must not be used ----------------------------------------------------------------------------------


def double(x: Any) -> Any:
    return x * 2


def test_memory_that_numpy_sees_is_not_used() -> None:
    f = pb.jit(double, donate_argnums=0)
    x = fresh(N)
    view = np.asarray(x)
    before = view.copy()
    f(x)
    assert not x.is_deleted()
    np.testing.assert_array_equal(view, before)
    del view
    f(x)
    assert x.is_deleted()


def test_memory_of_the_users_arrays_is_not_used() -> None:
    f = pb.jit(double, donate_argnums=0)
    mine = np.ones(N, np.float32)
    np.testing.assert_array_equal(np.asarray(f(mine)), 2.0)
    np.testing.assert_array_equal(mine, 1.0)
    f(pnp.from_dlpack(mine))
    np.testing.assert_array_equal(mine, 1.0)


def test_memory_that_another_array_shares_is_not_used() -> None:
    f = pb.jit(double, donate_argnums=0)
    x = fresh(N)
    y = pnp.reshape(x, (10, 100))
    values = np.asarray(y).copy()
    f(x)
    np.testing.assert_array_equal(np.asarray(y), values)


def test_an_argument_that_is_passed_twice() -> None:
    f = pb.jit(lambda x, y: (x + 1, y[::-1] * 2), donate_argnums=0)
    x = fresh(N)
    values = np.asarray(x).copy()
    a, b = f(x, x)
    np.testing.assert_array_equal(np.asarray(a), values + 1)
    np.testing.assert_array_equal(np.asarray(b), values[::-1] * 2)
    assert not x.is_deleted()


def test_closed_over_arrays_are_not_used() -> None:
    x = fresh(N)
    values = np.asarray(x).copy()
    f = pb.jit(lambda y: (y + 1, x * 2), donate_argnums=0)
    for _ in range(2):
        a, b = f(x)
        np.testing.assert_array_equal(np.asarray(a), values + 1)
        np.testing.assert_array_equal(np.asarray(b), values * 2)
    g = pb.jit(lambda y: y + x)
    for _ in range(3):
        g(values)  # has an entry, which holds the memory of x
    del f
    pb.jit(double, donate_argnums=0)(x)
    np.testing.assert_array_equal(np.asarray(g(values)), 2 * values)


def test_constants_are_not_used() -> None:
    f = pb.jit(lambda x: x + 1, donate_argnums=0)
    for _ in range(3):
        assert float(f(1.0)) == 2.0
    for _ in range(3):
        assert int(f(pnp.int32(1))) == 2


def test_nothing_is_used_under_transformations() -> None:
    f = pb.jit(lambda x: pnp.sum(x * x), donate_argnums=0)
    g = pb.jit(lambda x: x * x, donate_argnums=0)
    x = fresh(N)
    values = np.asarray(x).copy()
    np.testing.assert_allclose(np.asarray(pb.grad(f)(x)), 2 * values)
    np.testing.assert_allclose(np.asarray(pb.vmap(g)(pnp.reshape(x, (10, 100)))).ravel(), values**2)
    np.testing.assert_allclose(np.asarray(pb.jit(lambda x: g(x) + 1)(x)), values**2 + 1, rtol=1e-6)
    assert not x.is_deleted()


def test_the_numpy_engine_uses_nothing() -> None:
    with engine("numpy"):
        x = fresh(N)
        np.testing.assert_array_equal(np.asarray(pb.jit(double, donate_argnums=0)(x)), 2 * np.asarray(x))
        assert not x.is_deleted()


def test_a_program_that_fails_has_deleted_what_it_used() -> None:
    def fail(x: Any) -> Any:
        raise RuntimeError("told so")

    def f(x: Any) -> Any:
        y = x.at[0].set(1.0)
        return pb.pure_callback(fail, pb.ShapeDtypeStruct((), np.float32), y[0]), y

    x = fresh(N)
    with pytest.raises(RuntimeError, match="told so"):
        pb.jit(f, donate_argnums=0)(x)
    assert x.is_deleted()


# Native entries -----------------------------------------------------------------------------------------


def entered(f: Any, *args: Any) -> Any:
    """What the native entry of `f` returns: NotImplemented if it leaves the call to Python."""
    assert f._entry is not None
    return f._entry(*args)


def step_of_dicts(p: Any, x: Any) -> Any:
    return {"a": p["a"] + x, "b": (p["b"] * x, pnp.sum(x))}


def test_repeated_calls_have_a_native_entry() -> None:
    f = pb.jit(lambda x, y: (y[::-1], x * 2 + y, pnp.sum(y), y - x), donate_argnums=0)
    for _ in range(2):
        f(fresh(N), fresh(N))
    x, y = fresh(N), fresh(N, seed=1)
    a, b = np.asarray(x).copy(), np.asarray(y).copy()
    place, references = address(x), sys.getrefcount(y._data)
    types = [sys.getrefcount(t) for t in (ConcreteArray, DeletedArray)]
    results = entered(f, x, y)
    counts = [sys.getrefcount(r._data) for r in results]
    after = sys.getrefcount(y._data)
    assert (counts, after) == ([2] * 4, references)
    assert [sys.getrefcount(t) for t in (ConcreteArray, DeletedArray)] == [types[0] + 3, types[1] + 1]
    assert x.is_deleted() and not y.is_deleted()
    assert place in [address(r) for r in results]
    for found, expected in zip(results, (b[::-1], a * 2 + b, b.sum(), b - a), strict=True):
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5)


def test_containers_have_a_native_entry() -> None:
    f = pb.jit(step_of_dicts, donate_argnums=0)
    p = {"a": fresh(N), "b": fresh(N, seed=1)}
    x = fresh(N, seed=2)
    a, b, c = np.asarray(p["a"]).copy(), np.asarray(p["b"]).copy(), np.asarray(x)
    for turn in range(4):
        old = p
        out = f(p, x) if turn < 2 else entered(f, p, x)
        p = {"a": out["a"], "b": out["b"][0]}
        assert all(v.is_deleted() for v in old.values())
        a, b = a + c, b * c
        np.testing.assert_allclose(np.asarray(out["b"][1]), c.sum(), rtol=1e-4)
    np.testing.assert_allclose(np.asarray(p["a"]), a, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(p["b"]), b, rtol=1e-5)


def test_an_entry_leaves_shared_memory_to_python() -> None:
    f = pb.jit(lambda x, y: (x + 1, y[::-1] * 2), donate_argnums=0)
    for _ in range(2):
        f(fresh(N), fresh(N))
    y = fresh(N, seed=1)
    twice, seen, shared, constant = fresh(N), fresh(N), fresh(N), np.ones(N, np.float32)
    view, other = np.asarray(seen), pnp.reshape(shared, (10, 100))
    frozen = fresh(N)
    frozen._data.flags.writeable = False
    window = pnp.asarray(np.zeros(2 * N, np.float32))
    part = ConcreteArray(window._data[:N], frozen.aval)
    cases = [(twice, twice), (seen, y), (shared, y), (constant, y), (frozen, y), (part, y), (y, shared)]
    for x, z in cases[:-1]:
        before, after = np.asarray(x).copy(), np.asarray(z).copy()
        assert entered(f, x, z) is NotImplemented
        first, second = f(x, z)
        np.testing.assert_array_equal(np.asarray(first), before + 1)
        np.testing.assert_array_equal(np.asarray(second), after[::-1] * 2)
        np.testing.assert_array_equal(np.asarray(x), before)
        assert not isinstance(x, pb.Array) or not x.is_deleted()
    np.testing.assert_array_equal(view, np.asarray(seen))
    np.testing.assert_array_equal(np.asarray(other).ravel(), np.asarray(shared))
    assert entered(f, y, shared) is not NotImplemented  # what is only read may be shared
    assert y.is_deleted() and not shared.is_deleted()


def test_an_entry_leaves_constants_alone() -> None:
    f = pb.jit(lambda x: x + 1, donate_argnums=0)
    one = scalar(1.0, np.dtype(np.float32))
    for _ in range(5):
        assert float(f(one)) == 2.0
        assert float(f(1.0)) == 2.0
    counter = f(1.0)
    for k in range(5):
        old = counter
        counter = entered(f, counter)
        assert old.is_deleted() and float(counter) == k + 3


def test_an_entry_refuses_deleted_arrays() -> None:
    f = pb.jit(double, donate_argnums=0)
    for _ in range(3):
        x = fresh(3, 4)
        f(x)
    with pytest.raises(DeletedArrayError, match="has been deleted"):
        f(x)
    assert entered(f, x) is NotImplemented


def test_an_entry_does_nothing_under_transformations() -> None:
    f = pb.jit(lambda x: x * x, donate_argnums=0)
    for _ in range(2):
        f(fresh(N))
    x = fresh(N)
    values = np.asarray(x).copy()
    np.testing.assert_allclose(np.asarray(pb.grad(lambda y: pnp.sum(f(y) + f(x)))(x)), 2 * values)
    np.testing.assert_allclose(np.asarray(pb.jit(lambda y: f(y) + f(x))(x)), 2 * values**2)
    assert not x.is_deleted()


def test_an_entry_of_a_program_that_fails() -> None:
    wanted: list[bool] = []

    def maybe(x: Any) -> Any:
        if wanted:
            raise RuntimeError("told so")
        return x

    def f(x: Any) -> Any:
        y = x.at[0].set(1.0)
        return pb.pure_callback(maybe, pb.ShapeDtypeStruct((), np.float32), y[0]), y

    f = pb.jit(f, donate_argnums=0)
    for _ in range(3):
        f(fresh(N))
    wanted.append(True)
    x = fresh(N)
    with pytest.raises(RuntimeError, match="told so"):
        entered(f, x)
    assert x.is_deleted()


def test_an_entry_when_the_program_deletes_its_argument() -> None:
    box: list[Any] = []

    def drop(v: Any) -> Any:
        box[0].delete()
        return v

    @partial(pb.jit, donate_argnums=0)
    def f(x: Any) -> Any:
        return x * pb.pure_callback(drop, pb.ShapeDtypeStruct((), np.float32), np.float32(2))

    for _ in range(4):
        box[:] = [fresh(N)]
        expected = 2 * np.asarray(box[0])
        np.testing.assert_array_equal(np.asarray(f(box[0])), expected)
        assert box[0].is_deleted()


# Deleted arrays -----------------------------------------------------------------------------------------


def deleted() -> Any:
    x = fresh(3, 4)
    x.delete()
    return x


READERS: dict[str, Callable[[Any], Any]] = {
    "numpy": np.asarray,
    "operator": lambda x: x + 1,
    "eager": pnp.sin,
    "index": lambda x: x[0],
    "item": lambda x: x.tolist(),
    "jit": pb.jit(lambda y: y + 1),
    "compiled": pb.jit(lambda y: y + 1).lower(np.ones((3, 4), np.float32)).compile(),
    "grad": pb.grad(lambda y: pnp.sum(y * y)),
    "vmap": pb.vmap(pnp.sin),
    "donate": pb.jit(lambda y: y + 1, donate_argnums=0),
    "closed over": lambda x: pb.jit(lambda y: y + x)(1.0),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
    "ready": lambda x: x.block_until_ready(),
    "dlpack": lambda x: x.__dlpack__(),
}


@pytest.mark.parametrize("name", READERS)
def test_reading_a_deleted_array_is_an_error(name: str) -> None:
    x = deleted()
    with pytest.raises(DeletedArrayError, match=r"array of type f32\[3,4\] has been deleted: it was donated"):
        READERS[name](x)
    with pytest.raises(RuntimeError):
        READERS[name](x)


def test_a_jitted_function_that_has_an_entry_refuses_deleted_arrays() -> None:
    f = pb.jit(lambda x: x + 1)
    for _ in range(4):
        f(fresh(3, 4))
    with pytest.raises(DeletedArrayError, match="has been deleted"):
        f(deleted())
    with pytest.raises(DeletedArrayError, match="has been deleted"):
        pb.jit(lambda d: d["x"])({"x": deleted()})


def test_reading_a_deleted_scalar_is_an_error() -> None:
    for reader in (bool, int, float, complex, lambda x: x.item(), lambda x: f"{x:.2f}"):
        x = fresh()
        x.delete()
        with pytest.raises(DeletedArrayError, match=r"array of type f32\[\] has been deleted"):
            reader(x)


def test_deleted_arrays_have_a_type() -> None:
    x = deleted()
    assert x.is_deleted()
    assert (x.shape, x.dtype, x.ndim, x.size, len(x)) == ((3, 4), np.float32, 2, 12, 3)
    assert repr(x) == str(x) == "Array(deleted, f32[3,4])"
    assert isinstance(x, pb.Array)
    assert pb.tree.leaves([x])[0] is x
    x.delete()
    assert x.is_deleted()


def test_deleting_frees_the_memory() -> None:
    x = fresh(N)
    data = x._data
    before = sys.getrefcount(data)
    x.delete()
    assert sys.getrefcount(data) == before - 1


# Options ------------------------------------------------------------------------------------------------


def test_which_arguments() -> None:
    def f(a: Any, n: int, b: Any, *, c: Any) -> Any:
        return a * n, b + n, c - n

    def used(**options: Any) -> list[bool]:
        a, b, c = fresh(N), fresh(N, seed=1), fresh(N, seed=2)
        pb.jit(f, static_argnums=1, **options)(a, 3, b, c=c)
        return [x.is_deleted() for x in (a, b, c)]

    assert used() == [False, False, False]
    assert used(donate_argnums=0) == [True, False, False]
    assert used(donate_argnums=2) == [False, True, False]
    assert used(donate_argnums=-1) == [False, True, False]
    assert used(donate_argnames="b") == [False, True, False]
    assert used(donate_argnames=("a", "c")) == [True, False, True]
    assert used(donate_argnums=(0, 2), donate_argnames="c") == [True, True, True]


def test_options_are_checked() -> None:
    f = lambda a, b: a + b
    with pytest.raises(ValueError, match=r"jit\(<lambda>\): donate_argnums=2 is out of range"):
        pb.jit(f, donate_argnums=2)
    with pytest.raises(ValueError, match="donate_argnames names 'c', but the parameters are a, b"):
        pb.jit(f, donate_argnames="c")
    with pytest.raises(ValueError, match="arguments cannot be both static and donated, but these are: 0, a"):
        pb.jit(f, donate_argnums=0, static_argnames="a")


def test_compiled_functions_donate() -> None:
    compiled = pb.jit(lambda x, y: (x + y, y), donate_argnums=0).lower(fresh(N), fresh(N)).compile()
    x, y = fresh(N), fresh(N, seed=1)
    expected = np.asarray(x) + np.asarray(y)
    np.testing.assert_array_equal(np.asarray(compiled(x, y)[0]), expected)
    assert x.is_deleted() and not y.is_deleted()


# Whatever the program -----------------------------------------------------------------------------------

SIZES = [
    (3,),
    (9,),
    (33,),
    (40,),
    (63,),
    (65,),
    (100,),
    (1000,),
    (7, 7),
    (12, 12),
    (40, 40),
    (100, 100),
    (257, 257),
]

# What makes one array of several of the same square (or one-dimensional) shape, and values.
STEPS: list[Callable[[Any, Any], Any]] = [
    lambda x, y: x + y,
    lambda x, y: x * 0.5 - y,
    lambda x, y: pnp.tanh(x) + y,
    lambda x, y: x[::-1],
    lambda x, y: x.T + y,
    lambda x, y: pnp.sum(x) * 0.01 + y,
    lambda x, y: x - pnp.max(x, axis=-1, keepdims=True),
    lambda x, y: pnp.dot(x, y) * 0.01 + x,
    lambda x, y: x.at[1].set(y[0]),
    lambda x, y: x.at[::2].add(0.5),
    lambda x, y: pnp.concatenate([x[1:], y[:1]]),
    lambda x, y: pnp.cumsum(x, axis=0) * 0.1,
    lambda x, y: pnp.roll(x, 1, axis=0) + x,
    lambda x, y: lax.fori_loop(0, 3, lambda i, c: c * 0.5 + y, x),
    lambda x, y: lax.fori_loop(0, 3, lambda i, c: c.at[i].set(y[i] + c[0]), x),
    lambda x, y: pnp.where(x > 0, x, y),
    lambda x, y: pnp.pad(x, [(1, 1)] * x.ndim)[tuple([slice(2, None)] * x.ndim)],
    lambda x, y: lax.cond(pnp.sum(x) > 0, lambda a, b: a + 1, lambda a, b: b * 2, x, y),
    lambda x, y: x[pnp.arange(x.shape[0]) * 7 % x.shape[0]] + y,
]


@pytest.mark.parametrize("step", range(len(STEPS)))
@pytest.mark.parametrize("shape", [(65,), (40, 40)], ids=str)
def test_what_is_read_later_is_not_overwritten(step: int, shape: tuple[int, ...]) -> None:
    args = [fresh(*shape, seed=k) for k in range(2)]
    x, y = (np.asarray(a).copy() for a in args)
    first = np.asarray(pb.jit(STEPS[step])(*args)).copy()
    for f in (
        lambda x, y: (STEPS[step](x, y), x),
        lambda x, y: (STEPS[step](x, y), x + y, y),
        lambda x, y: (STEPS[step](x, y), STEPS[step](y, x), x[::-1]),
    ):
        results = pb.jit(f, donate_argnums=(0, 1))(*map(pnp.asarray, (x, y)))
        expected = pb.jit(f)(x, y)
        for a, b in zip(results, expected, strict=True):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(np.asarray(results[0]), first, rtol=1e-4, atol=1e-5)


@settings(max_examples=120)
@given(data=st.data())
def test_donation_changes_no_value(data: Any) -> None:
    """Random programs compute the same with and without donation.

    Loops may be fused otherwise, so that other products are contracted with sums: results differ by rounding.
    """
    shape = data.draw(st.sampled_from(SIZES))
    inputs = data.draw(st.integers(1, 3))
    steps = data.draw(
        st.lists(
            st.tuples(st.integers(0, len(STEPS) - 1), st.integers(0, 9), st.integers(0, 9)),
            min_size=1,
            max_size=6,
        )
    )
    outputs = data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=4))
    donated = data.draw(st.sets(st.integers(0, inputs - 1), min_size=1))

    def f(*xs: Any) -> Any:
        values = list(xs)
        for number, a, b in steps:
            values.append(STEPS[number](values[-1 - a % len(values)], values[-1 - b % len(values)]))
        return [values[-1 - k % len(values)] for k in outputs]

    args = [fresh(*shape, seed=k) for k in range(inputs)]
    expected = [np.asarray(x).copy() for x in pb.jit(f)(*args)]
    kept = [np.asarray(x).copy() for x in args]
    donating = pb.jit(f, donate_argnums=tuple(donated))
    for _ in range(3):  # the last time by a native entry
        found = donating(*args)
        for x, y in zip(found, expected, strict=True):
            np.testing.assert_allclose(np.asarray(x), y, rtol=1e-4, atol=1e-5)
        for k, x in enumerate(args):
            if not x.is_deleted():
                np.testing.assert_array_equal(np.asarray(x), kept[k])
            else:
                assert k in donated
        del found, x, y
        args = [fresh(*shape, seed=k) for k in range(inputs)]


# While programs run -------------------------------------------------------------------------------------


def test_deleting_an_argument_within_the_program() -> None:
    """The memory stays until the program has ended."""
    x = fresh(1 << 18)
    expected = 2 * np.asarray(x)

    def drop(v: Any) -> Any:
        x.delete()
        np.ones(1 << 18, np.float32)  # would take freed memory
        return v

    @pb.jit
    def f(x: Any) -> Any:
        one = pb.pure_callback(drop, pb.ShapeDtypeStruct((), np.float32), np.float32(2))
        return x * one

    np.testing.assert_array_equal(np.asarray(f(x)), expected)
    assert x.is_deleted()


def test_memory_in_use_by_a_program_is_not_used() -> None:
    x = fresh(1 << 18)
    expected = 2 * np.asarray(x)
    double = pb.jit(lambda x: x * 2, donate_argnums=0)

    def give(v: Any) -> Any:
        double(x)
        return v

    @pb.jit
    def f(x: Any) -> Any:
        one = pb.pure_callback(give, pb.ShapeDtypeStruct((), np.float32), np.float32(2))
        return x * one

    for _ in range(3):  # the last ones by a native entry
        np.testing.assert_array_equal(np.asarray(f(x)), expected)
        assert not x.is_deleted()


def test_donation_in_threads() -> None:
    """What one thread reads, another does not overwrite."""
    n = 1 << 18
    square = pb.jit(lambda x: pnp.sum(pnp.tanh(x) * x))
    double = pb.jit(lambda x: x * 2 + 1, donate_argnums=0)
    x = fresh(n)
    expected = float(square(x))
    stop = threading.Event()
    wrong: list[Any] = []

    def read(y: Any) -> None:
        while not stop.is_set() and not y.is_deleted():
            try:
                value = float(square(y))
            except DeletedArrayError:
                return
            if abs(value - expected) > 1e-3 * abs(expected):
                wrong.append(value)

    for _ in range(20):
        y = pnp.asarray(np.asarray(x))
        thread = threading.Thread(target=read, args=(y,))
        thread.start()
        time.sleep(0.002)
        for _ in range(20):
            double(y)
            if y.is_deleted():
                break
        stop.set()
        thread.join()
        stop.clear()
    assert not wrong
