"""Nests that are alike are written once, and nests that are not are told apart.

The text of a program must be the same, byte for byte, as if each nest had been written: equal functions have
one name in either case.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import pullback as pb
import pullback.numpy as jnp
from pullback import lax
from pullback._src.base.config import enable_x64
from pullback._src.engines.llvm import nests
from pullback._src.engines.llvm.engine import Compilation

from ...thorough import THOROUGH
from . import programs
from .agreement import check, draw
from .test_fuzz import PROGRAMS, SHAPES, _arguments

compiler = sys.modules[Compilation.__module__]


@pytest.fixture(autouse=True, scope="module")
def _all_apart() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "LONG_PROGRAM", 0)
        yield


class Counted:
    """Counts nests, and those that were not written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.nests = self.written = 0
        write_once = nests.write_once

        def counted(e: Any, description: Any, body: Callable[[Any], None], outlined: bool) -> None:
            def writing(inner: Any) -> None:
                self.written += 1
                body(inner)

            self.nests += 1
            write_once(e, description, writing, outlined)

        monkeypatch.setattr(nests, "write_once", counted)


def texts(function: Callable[..., Any], *args: Any) -> tuple[str, str]:
    """The program's text, and what it would be if each nest were written."""
    program = pb.jit(function).stage(tuple(args), {}).open_program
    found = Compilation(program).text
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nests, "described", lambda *_: None)
        return found, Compilation(program).text


def steps(turns: int) -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        for _ in range(turns):
            x = jnp.cos(x - jnp.mean(x))
        return x

    return run


def test_each_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    x = draw(1000)
    found, expected = texts(steps(30), x)
    assert found == expected
    again = Counted(monkeypatch)
    check(steps(30), x)
    assert counted.nests >= 30
    assert again.nests >= 30
    assert again.written <= 6


def pairs() -> dict[str, Callable[[Any], Any]]:
    """Two nests that differ in one thing."""
    mean = jnp.mean
    return {
        "factors": lambda x: (x * mean(x) * 2.0, x * mean(x) * 3.0),
        "signs of zero": lambda x: (x * mean(x) + 0.0, x * mean(x) + -0.0),
        "functions": lambda x: (jnp.sin(x * mean(x)), jnp.cos(x * mean(x))),
        "dtypes": lambda x: (x * mean(x) + x, (x * mean(x) + x).astype(jnp.float16)),
        "parameters": lambda x: ((x - mean(x)) ** 3, (x - mean(x)) ** 5),
        "transposition": lambda x: (x @ x + x, (x @ x).T + x),
        "direction": lambda x: (x @ x + x[::-1], x @ x + x[:, ::-1]),
        "starts": lambda x: (jnp.exp((x @ x)[1:]), jnp.exp((x @ x)[:-1])),
        "steps": lambda x: (jnp.exp((x @ x)[::2, :20]), jnp.exp((x @ x)[:20, ::2])),
        "reduced dimensions": lambda x: ((x @ x).sum(0), (x @ x).sum(1)),
        "reductions": lambda x: ((x @ x).max(0), (x @ x).min(0), (x @ x).sum(0), (x @ x).prod(0)),
        "shared operands": lambda x: (x * mean(x) + x * mean(x), x * mean(x) + x.T * mean(x)),
        "the same memory twice": lambda x: ((x @ x) * (x @ x), (x @ x) * (x.T @ x)),
        "lengths": lambda x: (jnp.exp((x @ x)[:17]), jnp.exp((x @ x)[:18])),
        "counting": lambda x: ((x @ x) + jnp.arange(40), (x @ x) + jnp.arange(40)[:, None]),
        "comparison": lambda x: ((x @ x > 0), (x @ x >= 0)),
        "signs of integers": lambda x: [
            jnp.sum(jnp.sort(lax.bitcast_convert_type(x.ravel(), kind)).astype("float32"))
            for kind in ("int32", "uint32")
        ],
        "places written": lambda x: x.at[1:5].set(mean(x)).at[2:6].set(mean(x) * 2),
    }


@pytest.mark.parametrize("name", pairs())
def test_what_differs_is_told_apart(name: str) -> None:
    function = pairs()[name]

    def twice(x: Any) -> Any:
        """With further nests like each, of which nothing is to be written."""
        return function(x), function(x * 2), function(jnp.tanh(x))

    x = draw(40, 40)
    found, expected = texts(twice, x)
    assert found == expected
    check(twice, x)


def test_random_programs() -> None:
    """Each is lowered twice, and the second time no nest is left out."""
    met = written = 0

    @settings(
        max_examples=1500 if THOROUGH else 150,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    @given(instructions=PROGRAMS, shapes=SHAPES)
    def run(instructions: Any, shapes: Any) -> None:
        nonlocal met, written
        args = _arguments(shapes, ("float32", "int32", "float16"), 1)
        once = programs.function(instructions, smooth=False)

        def twice(*xs: Any) -> Any:
            return once(*xs), once(*[x[::-1] if x.ndim else x for x in xs])

        with pytest.MonkeyPatch.context() as patch, enable_x64(True):
            counted = Counted(patch)
            found, expected = texts(twice, *args)
        met += counted.nests
        written += counted.written
        assert found == expected

    run()
    assert met > 100
    assert met - written > 0.05 * met


def test_long_gradients_agree() -> None:
    def loss(x: Any) -> Any:
        speed = jnp.zeros_like(x)
        for _ in range(25):
            speed = speed - 0.1 * jnp.sin(x)
            x = x + 0.1 * speed
        return jnp.sum(x**2)

    gradient = pb.grad(loss)
    check(gradient, draw(64))
    found, expected = texts(gradient, np.asarray(draw(64)))
    assert found == expected
