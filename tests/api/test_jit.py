"""`jit` and `make_jaxpr`: static arguments, caching, methods, stages, nesting."""

from __future__ import annotations

import functools
import threading
from typing import Any

import jax
import numpy as np
import pytest

import pullback as pb
import pullback.lax as lax
import pullback.numpy as pnp
from pullback._src.core.array import ConcreteArray

from .oracle import compare

X = np.array([0.1, -0.2, 0.3], np.float32)


class Counted:
    """A jitted function that counts how often it is traced."""

    def __init__(self, function: Any, **options: Any) -> None:
        self.traces = 0

        @functools.wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.traces += 1
            return function(*args, **kwargs)

        self.jitted = pb.jit(counted, **options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.jitted(*args, **kwargs)


# Values -------------------------------------------------------------------------------------------


def test_structures() -> None:
    f = lambda np_: lambda x, d, *, k=2.0: {"a": (np_.sin(x), None), "b": [d["y"] * k, 3, x]}
    compare(lambda api, np_: api.jit(f(np_)), X, {"y": 2.0})
    compare(lambda api, np_: lambda x, d: api.jit(f(np_))(x, d, k=x), X, {"y": 2.0})
    compare(lambda api, np_: api.jit(f(np_)), np.zeros((0, 2), np.float32), {"y": 1}, weak=True)
    compare(lambda api, np_: api.jit(lambda: ()))
    compare(lambda api, np_: api.jit(lambda x: x), 3, weak=True)
    compare(lambda api, np_: api.jit(lambda x: (x, x)), True)


def test_values_are_those_of_un_jitted_code() -> None:
    def f(x: Any) -> Any:
        y = pnp.sin(x) * 2.0
        return y, pnp.sum(y > 0), y.astype(pnp.bfloat16), y[::-1], y.at[0].set(9.0)

    for a, b in zip(pb.jit(f)(X), f(pnp.asarray(X)), strict=True):
        assert a.aval is b.aval and a.tolist() == b.tolist()


def test_keyword_arguments_need_no_order() -> None:
    f = Counted(lambda *, a, b: a - b)
    assert float(f(a=3.0, b=1.0)) == float(f(b=1.0, a=3.0)) == 2.0
    assert f.traces == 1


def test_dictionaries_need_no_order() -> None:
    f = Counted(lambda d: d["a"] - d["b"])
    assert float(f({"a": 3.0, "b": 1.0})) == float(f({"b": 1.0, "a": 3.0})) == 2.0


# Caching ------------------------------------------------------------------------------------------


def test_traced_once_for_each_combination_of_types() -> None:
    f = Counted(lambda x: x * 2)
    for _ in range(3):
        f(X)
        f(pnp.asarray(X))
        f(np.ones(3, np.float64))  # becomes float32
    assert f.traces == 1
    f(X[:2])
    assert f.traces == 2, "another shape"
    f(np.ones(3, np.int32))
    assert f.traces == 3, "another dtype"
    f(2.0)
    f(3.0)
    assert f.traces == 4, "numbers are traced by type, not by value"
    f(np.float32(2.0))
    assert f.traces == 5, "not weakly typed"
    f(2)
    assert f.traces == 6
    f(True)
    assert f.traces == 7
    f([X])
    assert f.traces == 8, "another structure"
    assert f.jitted._cache_size() == 8
    f.jitted.clear_cache()
    f(X)
    assert f.traces == 9


def test_one_cache_for_each_jitted_function() -> None:
    calls = []
    f = lambda x: calls.append(1) or x
    pb.jit(f)(1.0)
    pb.jit(f)(1.0)
    assert len(calls) in (1, 2)  # sharing is allowed, not promised


def test_configuration_is_part_of_the_key() -> None:
    f = Counted(lambda x: x * 2.0)
    f(1)
    with pb.enable_x64(True):
        assert f(1).dtype == np.float64
    assert f(1).dtype == np.float32
    assert f.traces == 2
    with pb.numpy_dtype_promotion("strict"):
        f(1.0)
    f(1.0)
    assert f.traces == 4
    with pb.numpy_rank_promotion("raise"):
        f(1.0)
    assert f.traces == 5


def test_bound_axes_are_part_of_the_key() -> None:
    f = Counted(lambda x: x / lax.psum(1.0, "i"))
    assert pb.vmap(f, axis_name="i")(pnp.ones(2)).tolist() == [0.5, 0.5]
    assert pb.vmap(f, axis_name="i")(pnp.ones(4)).tolist() == [0.25] * 4


def test_effects_of_python_happen_at_tracing() -> None:
    seen: list[Any] = []
    f = pb.jit(lambda x: seen.append(type(x).__name__) or x)
    f(1.0)
    f(2.0)
    assert seen == ["StagingTracer"]


def test_an_error_leaves_nothing_in_the_cache() -> None:
    fail = [True]

    def f(x: Any) -> Any:
        if fail[0]:
            raise KeyError("once")
        return x

    jitted = pb.jit(f)
    with pytest.raises(KeyError):
        jitted(1.0)
    fail[0] = False
    assert float(jitted(1.0)) == 1.0


def test_closures() -> None:
    table = pnp.asarray(X)
    f = Counted(lambda x: x * table + np.float32(1))
    np.testing.assert_allclose(np.asarray(f(2.0)), 2 * X + 1, rtol=1e-6)

    def outer(y: Any) -> Any:
        return pb.jit(lambda x: x * y)(2.0)

    assert float(pb.jit(outer)(3.0)) == 6.0
    assert float(pb.grad(outer)(3.0)) == 2.0
    assert pb.vmap(outer)(pnp.arange(3.0)).tolist() == [0, 2, 4]
    assert float(pb.grad(lambda y: pb.grad(lambda x: pb.jit(lambda z: z * x * y)(x))(y))(3.0)) == 12.0


def test_a_function_jitted_once_closing_over_changing_tracers() -> None:
    box: list[Any] = [None]
    inner = pb.jit(lambda x: x * box[0])

    def outer(y: Any) -> Any:
        box[0] = y
        return inner(y)

    for y in (2.0, 3.0):
        assert float(pb.grad(outer)(y)) == 2 * y
        assert float(pb.jit(outer)(y)) == y * y
        assert pb.vmap(outer)(pnp.asarray([y, 1.0])).tolist() == [y * y, 1.0]
        assert float(pb.grad(pb.jit(outer))(y)) == 2 * y
    box[0] = 2.0
    assert float(inner(3.0)) == 6.0


# Static arguments ---------------------------------------------------------------------------------


def power(x: Any, n: Any = 2, *, negate: Any = False) -> Any:
    for _ in range(n - 1):
        x = x * x
    return -x if negate else x


@pytest.mark.parametrize(
    "options",
    [
        {"static_argnums": 1, "static_argnames": "negate"},
        {"static_argnums": (1,), "static_argnames": ("negate",)},
        {"static_argnums": [-1], "static_argnames": ["negate"]},
        {"static_argnames": ("n", "negate")},
    ],
)
def test_static_arguments(options: dict[str, Any]) -> None:
    f = Counted(power, **options)
    for _ in range(2):
        assert float(f(3.0)) == 9.0
        assert float(f(3.0, 1)) == 3.0
        assert float(f(3.0, n=1)) == 3.0
        assert float(f(3.0, n=3, negate=True)) == -81.0
    assert f.traces == 4 or f.traces == 3  # by number and by name may count as two


def test_static_values_are_compared_with_their_types() -> None:
    f = Counted(lambda x, k: x * k if isinstance(k, bool) else x + k, static_argnums=1)
    assert float(f(3.0, 1)) == 4.0
    assert float(f(3.0, True)) == 3.0
    assert float(f(3.0, 1.0)) == 4.0
    assert f.traces == 3
    g = Counted(lambda x, text: x * len(text), static_argnames="text")
    assert float(g(2.0, "abc")) == 6.0 and float(g(2.0, text="ab")) == 4.0
    h = Counted(lambda x, function: function(x), static_argnums=1)
    assert (
        float(h(4.0, pnp.sqrt)) == 2.0
        and float(h(4.0, pnp.square)) == 16.0
        and float(h(4.0, pnp.sqrt)) == 2.0
    )
    assert h.traces == 2


def test_negative_zero_and_nan_are_static_values_too() -> None:
    f = pb.jit(lambda x, k: x * k, static_argnums=1)
    assert np.signbit(float(f(1.0, -0.0))) and not np.signbit(float(f(1.0, 0.0)))
    assert np.isnan(float(f(1.0, float("nan"))))
    g = pb.jit(lambda x, k: x * k[0], static_argnums=1)
    assert [g(2.0, (k,)).dtype for k in (1, True, 1.0)] == [np.float32] * 3
    assert np.signbit(float(g(1.0, (-0.0,)))) and not np.signbit(float(g(1.0, (0.0,))))


def test_static_arguments_of_variadic_functions() -> None:
    f = pb.jit(lambda *args: args[0] * args[1], static_argnums=(1,))
    assert float(f(2.0, 3)) == 6.0
    g = pb.jit(lambda x, **options: x * options["k"], static_argnames="k")
    assert float(g(2.0, k=3)) == 6.0


def test_hashable_objects_may_be_static_by_identity() -> None:
    class Model:
        def __init__(self, scale: float) -> None:
            self.scale = scale

        @functools.partial(pb.jit, static_argnums=0)
        def apply(self, x: Any) -> Any:
            return x * self.scale

    two, three = Model(2.0), Model(3.0)
    assert float(two.apply(5.0)) == 10.0
    assert float(three.apply(5.0)) == 15.0
    assert "lambda" in str(two.apply.lower(two, 5.0).as_text())


def test_static_and_class_methods() -> None:
    class Tools:
        @staticmethod
        @pb.jit
        def double(x: Any) -> Any:
            return x * 2

        @classmethod
        def make(cls, x: Any) -> Any:
            return pb.jit(lambda y: y + 1)(x)

    assert (
        float(Tools.double(2.0)) == 4.0
        and float(Tools().double(2.0)) == 4.0
        and float(Tools.make(1.0)) == 2.0
    )


def test_partial_and_callable_objects() -> None:
    class Scale:
        def __call__(self, x: Any) -> Any:
            return x * 3

    assert float(pb.jit(functools.partial(power, n=1))(2.0)) == 2.0
    assert float(pb.jit(Scale())(2.0)) == 6.0
    assert float(pb.jit(pb.jit(Scale()))(2.0)) == 6.0


# Options, names, stages ---------------------------------------------------------------------------


def test_decorator_with_and_without_options() -> None:
    @pb.jit
    def f(x: Any) -> Any:
        """Doc."""
        return x

    @pb.jit(static_argnums=1, donate_argnums=(0,), inline=True, keep_unused=True)
    def g(x: Any, n: Any) -> Any:
        return x * n

    assert f.__name__ == "f" and f.__doc__ == "Doc." and f.__wrapped__ is not None
    assert float(f(1.0)) == 1.0 and float(g(2.0, 3)) == 6.0
    assert repr(f) == "<jit of f, 1 traced>"


def test_donated_arguments_stay_usable_or_not_but_results_are_right() -> None:
    x = pnp.asarray(X)
    f = pb.jit(lambda a, b: a + b, donate_argnums=0, donate_argnames="b")
    np.testing.assert_allclose(np.asarray(f(x, b=x)), 2 * X)


def test_inline() -> None:
    f = pb.jit(lambda x: pnp.sin(x) * 2.0, inline=True)
    assert [e.primitive.name for e in pb.make_jaxpr(f)(1.0).eqns] == ["sin", "mul"]
    g = pb.jit(lambda x: pnp.sin(x) * 2.0)
    assert [e.primitive.name for e in pb.make_jaxpr(g)(1.0).eqns] == ["jit"]


def test_nested() -> None:
    inner = Counted(lambda x: pnp.sin(x) * x)
    outer = Counted(lambda x: inner(x) + inner(x))
    expected = 2 * np.sin(X) * X
    np.testing.assert_allclose(np.asarray(outer(X)), expected, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(pb.jit(outer)(X)), expected, rtol=1e-6)
    assert inner.traces == 1 and outer.traces == 1


def test_lower_and_compile() -> None:
    f = pb.jit(lambda x, n: x * n + 1.0, static_argnums=1)
    lowered = f.lower(X, 2)
    assert "mul" in lowered.as_text() and lowered.out_info == pb.ShapeDtypeStruct((3,), np.float32)
    assert lowered.jaxpr.in_avals[0].shape == (3,)
    compiled = lowered.compile()
    np.testing.assert_allclose(np.asarray(compiled(X)), 2 * X + 1, rtol=1e-6)
    assert "mul" in compiled.as_text()
    with pytest.raises(TypeError, match=r"arguments of types \[f32\[2\]\]; it was compiled for \[f32\[3\]\]"):
        compiled(X[:2])
    shape = pb.ShapeDtypeStruct((3,), np.float32)
    np.testing.assert_allclose(np.asarray(f.lower(shape, 3).compile()(X)), 3 * X + 1, rtol=1e-6)
    assert f.eval_shape(shape, 2) == shape


def test_disable_jit() -> None:
    seen: list[Any] = []
    f = pb.jit(lambda x: seen.append(x) or x * 2)
    with pb.disable_jit():
        assert float(f(2.0)) == 4.0
        f(pnp.asarray(3.0))
    assert seen[0] == 2.0 and type(seen[1]) is ConcreteArray
    f(2.0)
    assert type(seen[2]) is not ConcreteArray


def test_threads() -> None:
    f = pb.jit(lambda x: pnp.sin(x) * 2.0)
    wrong: list[BaseException] = []

    def work(n: int) -> None:
        try:
            for size in (n, 3, 4, n):
                x = np.ones(size, np.float32)
                np.testing.assert_allclose(np.asarray(f(x)), np.sin(x) * 2, rtol=1e-6)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(i % 3 + 1,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


# make_jaxpr ---------------------------------------------------------------------------------------


def test_make_jaxpr() -> None:
    make = pb.make_jaxpr(power, static_argnums=1)
    assert make.__name__ == "make_jaxpr(power)"
    assert str(make(2.0, 1)) == "{ lambda ; a:f32[]. let in (a,) }"
    assert len(make(2.0, 3).eqns) == 2
    assert len(pb.make_jaxpr(power, static_argnames=("n", "negate"))(2.0, n=2, negate=True).eqns) == 2
    program, shape = pb.make_jaxpr(lambda x: {"a": x}, return_shape=True)(X)
    assert shape == {"a": pb.ShapeDtypeStruct((3,), np.float32)}
    assert len(pb.make_jaxpr(lambda x: lax.psum(x, "i"), axis_env=[("i", 3)])(X).eqns) >= 1
    assert (
        pb.make_jaxpr(lambda x: x)(pb.ShapeDtypeStruct((10**9, 10**3), np.float32)).in_avals[0].size == 10**12
    )
    assert program.out_avals[0].shape == (3,)


def test_every_operation_is_recorded() -> None:
    program = pb.make_jaxpr(lambda x: (pnp.ones(3) + 1.0, x)[1])(1.0)
    assert len(program.eqns) >= 1, "also those on constants"


def test_programs_agree_with_jax() -> None:
    """The equations of simple functions carry the same names."""
    cases: list[Any] = [
        lambda np_: lambda x: np_.sin(np_.cos(x)) + x * 2.0,
        lambda np_: lambda x: np_.exp(-x) / (1.0 + np_.exp(-x)),
        lambda np_: lambda x: np_.tanh(x) - np_.sqrt(x),
    ]
    for case in cases:
        mine = [e.primitive.name for e in pb.make_jaxpr(case(pnp))(1.0).eqns]
        theirs = [e.primitive.name for e in jax.make_jaxpr(case(jax.numpy))(1.0).eqns]
        assert mine == theirs
