"""What `log_compiles` and `explain_cache_misses` write."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback._src.base.config import compilation_cache_dir, engine, explain_cache_misses, log_compiles

X = np.ones(3, np.float32)


class Log:
    """The messages that are logged while it is entered, at the warning level."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def __call__(self, function: Any, *args: Any, **kwargs: Any) -> list[str]:
        self._caplog.clear()
        with self._caplog.at_level(logging.DEBUG, logger="pullback"):
            function(*args, **kwargs)
        assert all(r.levelno == logging.WARNING and r.name == "pullback" for r in self._caplog.records)
        return [r.getMessage() for r in self._caplog.records]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    return Log(caplog)


# Compilations -------------------------------------------------------------------------------------------


def test_nothing_is_logged_unless_asked_for(log: Log) -> None:
    assert log(pb.jit(lambda x: x + 1), X) == []


def test_traces_and_compilations_are_logged(log: Log, tmp_path: Any) -> None:
    @pb.jit
    def f(x: Any, d: Any) -> Any:
        return x * d["y"] + 1

    with log_compiles(True), compilation_cache_dir(str(tmp_path)):
        traced, compiled = log(f, X, {"y": 2.0})
        assert re.fullmatch(r"Traced f\(x: f32\[3\], d\['y'\]: f32\[\]\) in \d+\.\d ms: 2 equations", traced)
        assert re.fullmatch(
            r"Compiled f \(2 equations\) for the engine llvm in \d+\.\d ms: lowering \d+\.\d ms, "
            r"code generation \d+\.\d ms, linking \d+\.\d ms; \d+ bytes of scratch memory",
            compiled,
        )
        assert log(f, X, {"y": 2.0}) == []
        f.clear_cache()
        _, compiled = log(f, X, {"y": 2.0})
        assert "code from the cache on disk, linking" in compiled


def test_host_calls_are_counted(log: Log) -> None:
    f = pb.jit(lambda x: pb.pure_callback(np.sin, pb.ShapeDtypeStruct(x.shape, x.dtype), x) + 1)
    with log_compiles(True):
        (compiled,) = [line for line in log(f, X) if line.startswith("Compiled <lambda>")]
    assert compiled.endswith(", 1 host calls")


def test_donating_programs_are_logged(log: Log) -> None:
    f = pb.jit(lambda x: x + 1, donate_argnums=0)
    with log_compiles(True):
        assert [line.split(" ")[0] for line in log(f, X)] == ["Traced", "Compiled"]
        assert log(f, X) == []


def test_the_numpy_engine_logs(log: Log) -> None:
    f = pb.jit(lambda x: x + 1)
    with log_compiles(True), engine("numpy"):
        traced, compiled = log(f, X)
    assert traced.startswith("Traced <lambda>(x: f32[3])")
    assert re.fullmatch(r"Compiled <lambda> \(1 equations\) for the engine numpy in \d+\.\d ms", compiled)


def test_the_environment_switches_logs_on() -> None:
    code = "import pullback as pb; pb.jit(lambda x: x + 1)(1.0)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PULLBACK_LOG_COMPILES": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stderr.splitlines()
    assert [line.split(" ")[:2] for line in lines] == [["Traced", "<lambda>(x:"], ["Compiled", "<lambda>"]]


# Cache misses -------------------------------------------------------------------------------------------


def reasons(log: Log, function: Any, *args: Any, **kwargs: Any) -> list[str]:
    """The reasons given in the one message about a call."""
    with explain_cache_misses(True):
        (message,) = log(function, *args, **kwargs)
    head, *rest = message.splitlines()
    assert head.startswith(f"jit traces {function.__name__} at {__file__}:")
    return [line.strip() for line in rest if line.strip().startswith("because")]


def function() -> Any:
    @pb.jit
    def f(x: Any, d: Any = None) -> Any:
        return x

    return f


def test_the_users_line_is_named(log: Log) -> None:
    f = function()
    with explain_cache_misses(True):
        (message,) = log(lambda: f(X))  # here
        assert log(lambda: f(X)) == []
    assert re.search(r"test_logs.py:\d+ \(.*<lambda>\)\n +\(message,\) = log\(.*  # here", message)


def test_first_call(log: Log) -> None:
    def f(x: Any) -> Any:
        return x

    assert reasons(log, pb.jit(f), X) == ["because it is its first call"]
    (reason,) = reasons(log, pb.jit(f), X)
    assert "another one, of the same code" in reason and "apply jit once" in reason


CASES: list[tuple[Any, Any, str]] = [
    ((X,), (X[:2],), r"because of the argument x: its shape is \(2,\) and was \(3,\)"),
    ((X,), (X.astype(np.int32),), "because of the argument x: its dtype is int32 and was float32"),
    ((1.0,), (np.float32(1),), r"because of the argument x: its type is not weak .* and was weak \(of a Py"),
    ((X, {"a": X}), (X, {"a": X[:1]}), r"because of the argument d\['a'\]: its shape is \(1,\) and was"),
    ((X, {"a": X}), (X, {"b": X}), r"because of the structure of the arguments: new are d\['b'\]"),
    ((X, {"a": X}), (X, {"b": X}), r"because of the structure of the arguments: missing are d\['a'\]"),
    ((X,), (X, [X, X]), r"because of the structure of the arguments: new are d\[0\], d\[1\]"),
    ((X, (X,)), (X, [X]), "because the structure of the arguments is .* and was"),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_other_arguments(log: Log, case: int) -> None:
    before, after, expected = CASES[case]
    f = function()
    f(*before)
    found = reasons(log, f, *after)
    assert any(re.match(expected, reason) for reason in found), found


def test_the_nearest_call_before_is_compared(log: Log) -> None:
    f = function()
    f(X, X)
    f(X.astype(np.int32), X[:2])
    f(X, {"a": X})
    assert reasons(log, f, X, X[:1]) == ["because of the argument d: its shape is (1,) and was (3,)"]


def test_static_arguments(log: Log) -> None:
    f = pb.jit(lambda x, n, k=1: x * n + k, static_argnums=1, static_argnames="k")
    f(X, 2)
    assert reasons(log, f, X, 3) == ["because the static argument 1 is 3 and was 2"]
    assert reasons(log, f, X, 2, k=5) == ["because the static argument 'k' is 5 and was not given"]
    assert reasons(log, f, X, 2.0) == ["because the static argument 1 is 2.0 and was 2"]


def test_flags_and_axes(log: Log) -> None:
    f = function()
    f(1)
    with pb.numpy_dtype_promotion("strict"):
        assert reasons(log, f, 1) == ["because the flag numpy_dtype_promotion is 'strict' and was 'standard'"]
    with explain_cache_misses(True):
        (message,) = log(pb.vmap(lambda x: f(1) + x, axis_name="i"), X)
    assert "because the axes {'i': 3} are bound and {} were" in message


def test_closed_over_tracers(log: Log) -> None:
    def f(x: Any) -> Any:
        g = pb.jit(lambda y: y * x)
        return g(2.0) + g(2.0)

    with explain_cache_misses(True):
        messages = log(pb.grad(f), 1.0)
    assert len(messages) == 2
    assert messages[0].endswith("because it is its first call")
    assert "because the programs of calls before could not be kept: the function closes over" in messages[1]
