"""Calls of a long program become functions, some at a time."""

from __future__ import annotations

import re
from typing import Any

import pytest

import pullback as pb
import pullback.lax as lax
import pullback.numpy as jnp
from pullback._src.engines.llvm import segments
from pullback._src.engines.llvm.engine import Compilation

from .agreement import check, draw


def functions(function: Any, *args: Any) -> dict[str, int]:
    """The lines of a program's functions."""
    text = str(Compilation(pb.jit(function).stage(tuple(args), {}).open_program).text)
    found = re.findall(r"^define [^@]*@(\w+)\([^{]*\{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    return {name: body.count("\n") for name, body in found}


def unrolled(turns: int) -> Any:
    def loss(x: Any) -> Any:
        speed = jnp.zeros_like(x)
        for _ in range(turns):
            speed = speed - 0.1 * jnp.sin(x)
            x = x + 0.1 * speed
        return jnp.sum(x**2)

    return pb.value_and_grad(loss)


def test_no_function_is_long() -> None:
    lines = functions(unrolled(200), draw(64))
    assert sum(name.startswith("segment") for name in lines) >= 3
    assert lines["program"] < segments.ARGUMENTS
    check(unrolled(200), draw(64))


def test_equal_segments_are_written_once() -> None:
    def run(x: Any, y: Any) -> Any:
        for _ in range(1000):
            y = x @ y * 0.1
        return y

    lines = functions(run, draw(64, 64), draw(64, 64))
    assert sum(name.startswith("segment") for name in lines) <= 3
    assert lines["program"] < segments.ARGUMENTS
    check(run, draw(64, 64) / 2, draw(64, 64))


@pytest.mark.parametrize("arguments", [1, 6, 10, 20])
def test_what_stands_between_calls(monkeypatch: pytest.MonkeyPatch, arguments: int) -> None:
    """Loops, numbers in registers, results that are read much later."""
    monkeypatch.setattr(segments, "ARGUMENTS", arguments)

    def run(x: Any, i: Any) -> Any:
        first = x = jnp.cos(x)
        kept = []
        for k in range(40):
            x = jnp.sin(x - jnp.mean(x)) @ first * 0.1
            if k % 5 == 0:
                kept.append(x)
            if k % 7 == 3:
                x = lax.fori_loop(0, i, lambda _, c: jnp.tanh(c) + first * kept[0][0, 0], x)
            if k % 11 == 3:
                x = lax.dynamic_update_slice(x, kept[-1][:2, :2] * i, (i, i))
        return x, first, sum(kept), jnp.stack(kept).sum(0)

    check(run, draw(30, 30), 3)
    assert any(name.startswith("segment") for name in functions(run, draw(30, 30), 3))
