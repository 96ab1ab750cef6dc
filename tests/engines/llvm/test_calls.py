"""Calls of jitted functions: when they take the native entry, and that it makes no difference."""

import functools
import gc
import sys
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback._src.base.config import config, disable_jit, enable_x64
from pullback._src.core import engine
from pullback._src.core.program import Program
from pullback._src.engines.llvm import jit, runtime
from pullback._src.engines.llvm.executable import Executable

from .modules import copies


class Copying:
    """An engine for programs whose results are copies of their inputs, beginning with the last one."""

    name = "copying"

    def __init__(self) -> None:
        self.compiled = 0

    def compile(self, program: Program) -> Executable:
        self.compiled += 1
        ins, outs = program.in_avals, program.out_avals
        pairs = []
        for k, aval in enumerate(outs):
            source = len(ins) - 1 - k
            pairs.append((source, len(ins) + k, aval.size * aval.dtype.itemsize))
        code = jit.link(jit.compile_ir(copies(pairs)), runtime.native().symbols)
        return Executable(code, ins, outs)


@pytest.fixture
def copying(monkeypatch: pytest.MonkeyPatch) -> Copying:
    made = Copying()
    monkeypatch.setitem(engine._engines, "copying", made)  # type: ignore[arg-type]
    monkeypatch.setattr(engine, "default", lambda: "copying")
    return made


X = pnp.arange(3.0)


def check(f: Any, *args: Any, **kwargs: Any) -> None:
    """Call several times: the first traces, the second makes the entry, the others take it."""
    expected = f.__wrapped__(*args, **kwargs)
    for _ in range(4):
        got = f(*args, **kwargs)
        assert pb.tree_util.tree_structure(got) == pb.tree_util.tree_structure(expected)
        leaves = pb.tree_util.tree_leaves(got)
        for a, b in zip(leaves, pb.tree_util.tree_leaves(expected), strict=True):
            b = pnp.asarray(b)
            assert (a.dtype, a.weak_type) == (b.dtype, b.weak_type)
            np.testing.assert_array_equal(a, b)
    assert f._cache_size() == 1


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [
        (lambda x: x, (X,), {}),
        (lambda x, y: (y, x), (X, X + 1), {}),
        (lambda x, y: [y], (X, 2.5), {}),
        (lambda x, y: {"out": y}, (X, 3), {}),
        (lambda x, y: y, (X, True), {}),
        (lambda x, y: y, (X, np.arange(4, dtype=np.float32)), {}),
        (lambda x, y: (y, None), (X, np.arange(4.0)), {}),
        (lambda d: {"w": d["b"]}, ({"a": X, "b": X * 2},), {}),
        (lambda p: p[1][0], ([X, (X * 2,)],), {}),
        (lambda x, y: y, (X,), {"y": X * 3}),
        (lambda x, y: y, (X, X.reshape(3, 1).T), {}),
        (lambda: (), (), {}),
        (lambda x: (), (X,), {}),
    ],
)
def test_calls(copying: Copying, function: Any, args: Any, kwargs: Any) -> None:
    check(pb.jit(function), *args, **kwargs)


def test_other_types_are_traced_anew(copying: Copying) -> None:
    f = pb.jit(lambda x: x)
    for _ in range(3):
        for x in (X, pnp.arange(4.0), pnp.arange(3), X.reshape(3, 1), 1.0, 1, True):
            np.testing.assert_array_equal(f(x), x)
    assert f._cache_size() == copying.compiled == 7


def test_transformations_see_the_function(copying: Copying) -> None:
    f = pb.jit(lambda x: x)
    for _ in range(3):
        f(X)
    assert f._entry is not None
    _, tangent = pb.jvp(f, (X,), (X,))
    np.testing.assert_array_equal(tangent, X)
    np.testing.assert_array_equal(pb.vmap(f)(pnp.ones((2, 3))), np.ones((2, 3)))
    assert "jit" in str(pb.make_jaxpr(f)(X))
    assert "jit" in str(pb.make_jaxpr(lambda y: f(X))(X))  # recorded though its argument is concrete


def test_the_configuration_is_looked_at(copying: Copying) -> None:
    seen = []

    def function(x: Any) -> Any:
        seen.append(config.x64)
        return x

    f = pb.jit(function)
    for _ in range(3):
        f(X)
    assert seen == [False]
    with enable_x64(True):
        for _ in range(3):
            f(X)
        assert seen == [False, True]
    for _ in range(3):
        f(X)
    assert seen == [False, True]
    with disable_jit(True):
        f(X)
    assert seen == [False, True, False]
    config.update("jax_disable_jit", True)
    try:
        f(X)
    finally:
        config.update("jax_disable_jit", False)
    assert len(seen) == 4
    f(X)
    assert len(seen) == 4


def test_static_arguments(copying: Copying) -> None:
    f = pb.jit(lambda x, flag: (x,) if flag else [x], static_argnums=1)
    for _ in range(3):
        assert type(f(X, True)) is tuple
        assert type(f(X, False)) is list


def test_constants_are_bound(copying: Copying) -> None:
    y = pnp.arange(5.0) * 7
    f = pb.jit(lambda: y)
    for _ in range(4):
        np.testing.assert_array_equal(f(), y)


def test_clearing_the_cache_drops_the_entries(copying: Copying) -> None:
    f = pb.jit(lambda x: x)
    for _ in range(3):
        f(X)
    f.clear_cache()
    assert f._entry is None and not f._entries
    f(X)
    assert f._cache_size() == 1


def test_errors_are_those_of_the_long_way(copying: Copying) -> None:
    f = pb.jit(lambda x: x)
    for _ in range(3):
        f(X)
    with pytest.raises(TypeError, match="argument x"):
        f("text")
    with pytest.raises(TypeError):
        f(X, X)
    with pytest.raises(TypeError):
        f()


def test_the_global_programs_are_tracers_of_nobody(copying: Copying) -> None:
    f = pb.jit(lambda x: x)
    for _ in range(3):
        f(X)

    def inner(y: Any) -> Any:
        return f(y) * f(X)

    np.testing.assert_allclose(pb.grad(lambda y: inner(y).sum())(X), X)


class Pair(NamedTuple):
    a: Any
    b: Any


NESTED = {"w": [X, (X + 1, None)], "b": {"z": X + 2, "a": X + 3}}


def test_containers_are_taken_apart_natively(copying: Copying) -> None:
    f = pb.jit(lambda p, y: (y, {"rest": [p["w"][1][0], (p["w"][0],)], "a": None}, ()))
    arguments = {"b": {"a": 1.5}, "w": [X, (X + 1, None)]}
    for _ in range(3):
        y, rest, empty = f(arguments, X + 9)
    assert f._entry is not None and f._entry(arguments, X + 9) is not NotImplemented
    np.testing.assert_array_equal(y, X + 9)
    assert empty == () and list(rest) == ["rest", "a"] and rest["a"] is None
    assert type(rest["rest"]) is list and type(rest["rest"][1]) is tuple

    shuffled = {"w": [X, (X + 1, None)], "b": {"a": 1.5}}  # the keys' order makes no difference
    assert f._entry(shuffled, X + 9) is not NotImplemented
    for other in (
        {"b": {"a": 1.5}, "w": [X, (X + 1, X)]},
        {"b": {"a": 1.5}, "w": [X, (X + 1,)]},
        {"b": {"a": 1.5}, "w": [X, [X + 1, None]]},
        {"b": {"a": 1.5}, "w": (X, (X + 1, None))},
        {"b": {"a": 1.5}, "w": [X, (X + 1, None), X]},
        {"b": {"a": 1.5}, "w": [X, (pnp.ones(4), None)]},
        {"b": {"c": 1.5}, "w": [X, (X + 1, None)]},
        {"b": {"a": 1.5, "c": X}, "w": [X, (X + 1, None)]},
        {"b": {}, "w": [X, (X + 1, None)]},
        OrderedDict(arguments),
        [X, X, X],
        X,
        None,
    ):
        assert f._entry(other, X + 9) is NotImplemented
    assert f._entry(arguments) is NotImplemented
    assert f._entry(arguments, X, X) is NotImplemented


@pytest.mark.parametrize(
    "argument",
    [
        NESTED,
        OrderedDict(b=X, a=X + 1),
        Pair(X, X + 1),
        {1: X, 0: X + 1},
        {"p": Pair(X, [X + 1]), "n": None},
        [[[[[[X]]]]]],
        functools.reduce(lambda tree, _: [tree], range(80), X),
        [],
        None,
        {"a": 2.5, "b": True, "c": 3, "d": np.ones(2, np.float32)},
    ],
    ids=str,
)
def test_containers_agree_with_the_long_way(copying: Copying, argument: Any) -> None:
    leaves = pb.tree_util.tree_leaves(argument)
    f = pb.jit(lambda p: pb.tree_util.tree_leaves(p)[::-1])
    for _ in range(4):
        for got, expected in zip(f(argument), leaves[::-1], strict=True):
            np.testing.assert_array_equal(got, expected)
    assert f._cache_size() == 1
    # The copies are made in the order of the results: so may the output be nested.
    g = pb.jit(lambda p: {"out": pb.tree_util.tree_leaves(p)[::-1], "first": None, "a": (Pair(None, []),)})
    for _ in range(4):
        out = g(argument)
        assert list(out) == ["out", "first", "a"] and out["a"] == (Pair(None, []),)
        for got, expected in zip(out["out"], leaves[::-1], strict=True):
            np.testing.assert_array_equal(got, expected)


def test_containers_leak_nothing(copying: Copying) -> None:
    f = pb.jit(lambda p, y: {"y": y, "x": [(p["w"][1][0],), None]})
    tree = {"b": {"a": X + 3}, "w": [X, (X + 1, None)]}
    other = {"b": {"a": X + 3}, "w": [X, (X + 1, X)]}
    for _ in range(3):
        f(tree, X)
    entry = f._entry
    assert entry is not None and entry(tree, X) is not NotImplemented and entry(other, X) is NotImplemented
    leaves = [
        *pb.tree_util.tree_leaves(tree),
        *pb.tree_util.tree_leaves(other),
        X,
        tree,
        tree["w"],
        tree["b"],
        None,
    ]
    gc.collect()
    before, blocks = [sys.getrefcount(leaf) for leaf in leaves], sys.getallocatedblocks()
    for _ in range(20_000):
        entry(tree, X)
        entry(other, X)
    gc.collect()
    after = [sys.getrefcount(leaf) for leaf in leaves]
    assert after[:-1] == before[:-1]
    assert abs(after[-1] - before[-1]) < 100  # None has many friends
    assert abs(sys.getallocatedblocks() - blocks) < 100


def test_a_key_that_runs_code_is_survived(copying: Copying) -> None:
    class Evil(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return hash("a")

        def __eq__(self, other: object) -> bool:
            victims.clear()
            gc.collect()
            raise ZeroDivisionError("from a key")

    victims: list[Any] = []
    f = pb.jit(lambda p: p)
    for _ in range(3):
        f([{"a": X}])
    assert f._entry is not None
    victims.append({Evil("b"): X})
    assert f._entry(victims) is NotImplemented
