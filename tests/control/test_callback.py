"""Callbacks: values, batching, effects, and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from jax.experimental import io_callback as jax_io_callback

import pullback as pb
import pullback.numpy as pnp
from pullback._src.base.errors import NotDifferentiableError
from pullback._src.core.verify import verify
from pullback.experimental import io_callback

from .library import assert_same

XS = np.linspace(0.1, 1.0, 4, dtype=np.float32)
YS = np.arange(3, dtype=np.float32)


def _numpy_function(x: Any, y: Any) -> Any:
    return {"s": np.sin(x) * np.asarray(y), "n": np.int32(np.size(x))}


def _call(lib: Any, method: str | None = None, shape: tuple[int, ...] = ()) -> Any:
    types = {"s": lib.pb.ShapeDtypeStruct(shape, "float32"), "n": lib.pb.ShapeDtypeStruct((), "int32")}
    return lambda x, y: lib.pb.pure_callback(_numpy_function, types, x, y, vmap_method=method)


CASES: dict[str, Callable[[Any], Any]] = {
    "value": lambda lib: _call(lib)(np.float32(0.5), np.float32(2.0)),
    "jit": lambda lib: lib.pb.jit(_call(lib))(np.float32(0.5), np.float32(2.0)),
    "sequential": lambda lib: lib.pb.vmap(_call(lib, "sequential"), (0, None))(XS, np.float32(2.0)),
    "sequential-jit": lambda lib: lib.pb.jit(lib.pb.vmap(_call(lib, "sequential")))(XS, XS),
    "sequential-twice": lambda lib: lib.pb.vmap(lib.pb.vmap(_call(lib, "sequential"), (None, 0)), (0, None))(
        XS, YS
    ),
    "sequential-axis": lambda lib: lib.pb.vmap(_call(lib, "sequential", (3,)), (1, None))(
        np.stack([YS, YS + 1], 1), np.float32(2.0)
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_pure_callback(name: str) -> None:
    assert_same(CASES[name])


@pytest.mark.parametrize("method", ["expand_dims", "broadcast_all", "legacy_vectorized"])
def test_vectorized_pure_callback(method: str) -> None:
    def body(lib: Any) -> Any:
        shapes: list[Any] = []

        def function(x: Any, y: Any) -> Any:
            shapes.append((np.shape(x), np.shape(y)))
            return np.broadcast_to(np.asarray(x) * 2 + np.asarray(y), np.broadcast_shapes(x.shape, y.shape))

        out_type = lib.pb.ShapeDtypeStruct((), "float32")
        f = lambda x, y: lib.pb.pure_callback(function, out_type, x, y, vmap_method=method)
        out = lib.pb.vmap(f, (0, None))(XS, np.float32(1.0))
        twice = (
            lib.pb.vmap(lib.pb.vmap(f, (None, 0)), (0, None))(XS, YS) if method != "legacy_vectorized" else 0
        )
        return out, twice, [np.array(s[0]) for s in shapes], [np.array(s[1]) for s in shapes]

    assert_same(body)


def test_pure_callback_arguments_and_static_shapes() -> None:
    def body(lib: Any) -> Any:
        f = lambda x, scale: lib.pb.pure_callback(
            lambda x, scale: np.asarray(x["a"]) * np.asarray(scale), x["a"], x, scale=scale
        )
        return f({"a": lib.np.array(XS)}, lib.np.array(3.0)), lib.pb.pure_callback(
            lambda: np.float32(3.0), np.float32(0)
        )

    assert_same(body)
    out = pb.pure_callback(lambda: 3, pb.ShapeDtypeStruct((), "float32"))  # a Python number takes the dtype
    assert out.dtype == np.float32 and not out.weak_type
    seen: list[Any] = []
    pb.pure_callback(lambda x: seen.append(isinstance(x, pb.Array)) or x, np.float32(0), 1.0)
    assert seen == [True]


def test_callbacks_run_on_concrete_values_inside_transformations() -> None:
    inner = lambda x: np.asarray(pb.jit(pb.grad(lambda v: v * v))(x))
    f = lambda x: pb.pure_callback(inner, np.float32(0), x, vmap_method="sequential")
    np.testing.assert_allclose(np.asarray(pb.jit(pb.vmap(f))(XS)), 2 * XS, rtol=1e-6)


def test_pure_callback_with_a_rule_of_its_own() -> None:
    @pb.custom_jvp
    def sine(x: Any) -> Any:
        return pb.pure_callback(np.sin, x, x, vmap_method="expand_dims")

    sine.defjvp(lambda p, t: (sine(*p), pnp.cos(p[0]) * t[0]))
    out = pb.jit(pb.vmap(pb.grad(sine)))(XS)
    np.testing.assert_allclose(np.asarray(out), np.cos(XS), rtol=1e-6)


def test_pure_callback_program_and_dead_code() -> None:
    calls: list[int] = []
    f = lambda x: pb.pure_callback(lambda v: calls.append(1) or v, np.float32(0), x) * 0
    program = pb.make_jaxpr(f)(1.0)
    verify(program)
    assert not program.effectful and "pure_callback[" in str(program)
    assert calls == []


@pytest.mark.parametrize(
    ("callback", "error", "message"),
    [
        (
            lambda x: np.ones(3, np.float32),
            ValueError,
            r"shape \(3,\), but result_shape_dtypes says float32\[\]",
        ),
        (lambda x: np.int32(1), TypeError, r"dtype int32, but result_shape_dtypes says float32\[\]"),
        (lambda x: (x, x), TypeError, r"structure of result_shape_dtypes.*tuple"),
        (lambda x: None, TypeError, r"structure of result_shape_dtypes"),
        (lambda x: "text", TypeError, r"result of <lambda>"),
    ],
)
def test_wrong_results(callback: Any, error: type[Exception], message: str) -> None:
    for f in (
        lambda x: pb.pure_callback(callback, np.float32(0), x),
        lambda x: io_callback(callback, np.float32(0), x),
    ):
        with pytest.raises(error, match=message):
            f(1.0)
        with pytest.raises(error, match=message):
            pb.jit(f)(1.0)


def test_errors() -> None:
    f = lambda x: pb.pure_callback(np.sin, x, x)
    with pytest.raises(
        NotDifferentiableError,
        match=r"'pure_callback' cannot be differentiated: nothing.*custom_jvp",
    ):
        pb.grad(f)(1.0)
    with pytest.raises(NotDifferentiableError, match="'io_callback' cannot be differentiated"):
        pb.grad(lambda x: io_callback(np.sin, x, x))(1.0)
    with pytest.raises(NotImplementedError, match="vmap_method='sequential'"):
        pb.vmap(f)(XS)
    with pytest.raises(ValueError, match="vmap_method must be one of"):
        pb.pure_callback(np.sin, np.float32(0), 1.0, vmap_method="fast")
    with pytest.raises(TypeError, match=r"shape and a dtype.*got 'f'"):
        pb.pure_callback(np.sin, "f", 1.0)
    with pytest.raises(ValueError, match="ordered io_callback"):
        pb.vmap(lambda x: io_callback(np.sin, np.float32(0), x, ordered=True))(XS)
    with pytest.raises(TypeError, match=r"pure_callback of sin.*'text'"):
        pb.pure_callback(np.sin, np.float32(0), "text")


def test_exceptions_of_the_callback_arrive() -> None:
    def fail(x: Any) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        pb.jit(lambda x: pb.pure_callback(fail, np.float32(0), x))(1.0)


def test_io_callback() -> None:
    def body(lib: Any) -> Any:
        log: list[float] = []
        call = jax_io_callback if lib.pb is jax else io_callback

        def record(x: Any) -> Any:
            log.append(float(x))
            return np.float32(len(log))

        f = lambda x: call(record, np.float32(0), x, ordered=False)
        unused = lib.pb.jit(lambda x: (f(x), x)[1])
        out = f(1.0), unused(2.0), lib.pb.vmap(f)(XS)
        lib.pb.block_until_ready(out)
        jax.effects_barrier()
        return out, np.array(log)

    assert_same(body)


def test_io_callback_in_loops() -> None:
    log: list[int] = []

    def step(c: Any, x: Any) -> Any:
        io_callback(lambda v: log.append(int(v)), None, x, ordered=True)
        return c + x, None

    pb.jit(lambda xs: pb.lax.scan(step, 0, xs))(np.arange(4))
    assert log == [0, 1, 2, 3]


def test_debug_print(capsys: pytest.CaptureFixture[str]) -> None:
    def f(x: Any) -> Any:
        pb.debug.print("x = {x}, {}", 2, x=x)
        return pnp.sin(x)

    cases: list[tuple[Any, Any, int]] = [
        (f, 1.0, 1),
        (pb.jit(f), 1.0, 1),
        (pb.grad(f), 1.0, 1),
        (pb.jit(pb.grad(f)), 1.0, 1),
        (pb.grad(pb.jit(f)), 1.0, 1),
        (pb.vmap(f), pnp.ones(3), 3),
        (pb.jit(pb.vmap(f)), pnp.ones(3), 3),
        (pb.jit(lambda x: (f(x), 1)[1]), 1.0, 1),
    ]
    for function, argument, count in cases:
        function(argument)
        assert capsys.readouterr().out == "x = 1.0, 2\n" * count
    pb.vmap(lambda x: pb.debug.print("{}", x, ordered=True))(YS)
    assert capsys.readouterr().out == "0.0\n1.0\n2.0\n"
    assert pb.make_jaxpr(f)(1.0).effectful


def test_debug_print_format(capsys: pytest.CaptureFixture[str]) -> None:
    pb.debug.print("{x:.2f} {y[0]} {z}", x=pnp.array(1.234), y=np.array([5, 6]), z="text")
    assert capsys.readouterr().out == "1.23 5 text\n"
    with pytest.raises(ValueError, match="does not use the positional argument 0"):
        pb.debug.print("x", 1.0)
    with pytest.raises(ValueError, match="does not use x"):
        pb.debug.print("text", x=1.0)
    with pytest.raises(KeyError):
        pb.debug.print("{y}")
    with pytest.raises(TypeError, match="format string"):
        pb.debug.print(1.0)
    pb.debug.print("text", 1.0, skip_format_check=True)
    assert capsys.readouterr().out == "text\n"


def test_debug_callback() -> None:
    log: list[Any] = []
    f = lambda x: pb.debug.callback(lambda v, *, tag: log.append((float(v), tag)), x, tag="t") or x
    pb.jit(f)(1.0)
    pb.jvp(f, (2.0,), (1.0,))
    pb.vmap(f)(pnp.array([3.0, 4.0]))
    assert log == [(1.0, "t"), (2.0, "t"), (3.0, "t"), (4.0, "t")]
    with pytest.raises(TypeError, match=r"debug\.callback expects a function"):
        pb.debug.callback(3)
