"""Engines: the registry, and warnings and NumPy's error state around kernels."""

from __future__ import annotations

import contextvars
import gc
import subprocess
import sys
import threading
import warnings
import weakref
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback._src.core import engine


def test_registry() -> None:
    assert engine.get(engine.default()).name == "llvm"
    assert engine.get("numpy").name == "numpy"
    with pytest.raises(ValueError, match=r"unknown engine 'fpga'; known: .*numpy"):
        engine.get("fpga")


def test_import_is_light() -> None:
    code = "import sys, pullback; print(*[m for m in ('scipy', 'llvmlite', 'jax') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""


EXCEPTIONAL = {
    "log of zero": lambda: pnp.log(pnp.zeros(2)),
    "log of -1": lambda: pnp.log(-pnp.ones(())),
    "division by zero": lambda: pnp.ones(2) / pnp.zeros(2),
    "division by a zero number": lambda: pnp.ones(2) / 0.0,
    "division of a number": lambda: 1.0 / pnp.zeros(2),
    "0/0": lambda: pnp.zeros(2) / 0.0,
    "overflow": lambda: pnp.full(2, 1e38) * 1e38,
    "square": lambda: pnp.full(2, 1e38) ** 2,
    "integer division": lambda: pnp.arange(3) // 0,
    "integer remainder": lambda: pnp.arange(3) % 0,
    "exp": lambda: pnp.exp(pnp.full(2, 1e9)),
    "inf - inf": lambda: pnp.asarray(np.inf) - np.inf,
    "cast of nan": lambda: pnp.asarray(np.nan).astype(int),
    "cast of a large number": lambda: pnp.asarray(1e30).astype(pnp.float16),
    "sum": lambda: pnp.sum(pnp.full(3, 3e38)),
    "jit": lambda: pb.jit(pnp.log)(pnp.zeros(2)),
    "grad": lambda: pb.grad(pnp.log)(0.0),
    "vmap": lambda: pb.vmap(pnp.log)(pnp.zeros(2)),
    "comparison with nan": lambda: pnp.asarray(np.nan) < 1.0,
    "negation": lambda: -pnp.asarray(np.nan),
}


@pytest.mark.parametrize("case", EXCEPTIONAL)
def test_exceptional_values_come_without_warnings(case: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):  # un-jitted code changes its ways with repetition
            EXCEPTIONAL[case]()


def test_the_users_error_state_is_untouched_and_without_effect() -> None:
    with np.errstate(all="raise"):
        before = np.geterr()
        assert float(pnp.log(pnp.asarray(0.0))) == -np.inf
        assert float(pb.jit(lambda x: 1.0 / x)(0.0)) == np.inf
        assert np.geterr() == before
        with pytest.raises(FloatingPointError):
            np.log(np.zeros(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning):
            np.log(np.zeros(1))


def test_python_code_inside_sees_the_users_error_state() -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        pnp.log(x)
        seen.append(np.geterr()["divide"])
        return x

    with np.errstate(divide="raise"):
        pb.grad(f)(0.0)
        pb.jit(f)(0.0)
    assert seen == ["raise", "raise"]


def test_every_thread_is_quiet() -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with warnings.catch_warnings():
                for _ in range(50):
                    pnp.log(pnp.zeros(2))
                    pb.grad(pnp.sqrt)(0.0)
        except BaseException as error:
            failures.append(error)

    warnings.simplefilter("error")
    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert failures == []


def test_quietly_may_be_nested() -> None:
    def inner() -> Any:
        return engine.quietly(np.log, np.zeros(1))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert engine.quietly(inner)[0] == -np.inf


def test_errors_pass_through() -> None:
    def bad() -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        engine.quietly(bad)


def test_the_quiet_context_keeps_nothing_alive() -> None:
    class Big:
        pass

    variable: contextvars.ContextVar[Any] = contextvars.ContextVar("test_engine_variable")
    references = []

    def work() -> None:
        big = Big()
        references.append(weakref.ref(big))
        variable.set(big)
        pnp.log(pnp.ones(2))
        variable.set(None)
        del big
        gc.collect()
        references.append(references[0]() is None)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert references[1] is True
