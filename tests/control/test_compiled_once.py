"""Loops in un-jitted code are compiled at their first run only."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import lax
from pullback._src.base.config import log_compiles


def step(i: Any, c: Any) -> Any:
    return pnp.sin(c) + 0.1


def turn(c: Any, t: Any) -> Any:
    return c * t, c


def below(s: Any) -> Any:
    return s[0] < 5


def body(s: Any) -> Any:
    return s[0] + 1, pnp.cos(s[1])


def half(x: Any) -> Any:
    return x * 0.5


def double(x: Any) -> Any:
    return x * 2.0


LOOPS: dict[str, Callable[[Any], Any]] = {
    "fori": lambda x: lax.fori_loop(0, 4, step, x),
    "scan": lambda x: lax.scan(turn, x, pnp.arange(3.0))[0],
    "while": lambda x: lax.while_loop(below, body, (0, x))[1],
    "map": lambda x: lax.map(double, pnp.stack([x, x])).sum(),
    "cond": lambda x: lax.cond(x > 0, half, double, x),
}


@pytest.mark.parametrize("derivative", [False, True])
@pytest.mark.parametrize("name", LOOPS)
def test_the_second_run_compiles_nothing(
    name: str, derivative: bool, caplog: pytest.LogCaptureFixture
) -> None:
    loop = LOOPS[name]
    f = pb.grad(loop) if derivative else loop
    for value in (0.3, 0.4, 0.5):  # operations by themselves are compiled at their second use
        f(value)
    with log_compiles(True), caplog.at_level(logging.WARNING, logger="pullback"):
        f(0.6)
    assert not [record.getMessage() for record in caplog.records]


def test_the_first_run_compiles(caplog: pytest.LogCaptureFixture) -> None:
    with log_compiles(True), caplog.at_level(logging.WARNING, logger="pullback"):
        lax.fori_loop(0, 4, lambda i, c: c * 3.0 - i, 0.5)
    assert any("Compiled" in record.getMessage() for record in caplog.records)
