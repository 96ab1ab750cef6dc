"""Long programs: nests as functions of their own, written once; and loops whose last vector overlaps."""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.lax as lax
import pullback.numpy as jnp
from pullback._src.engines.llvm.engine import Compilation

from .agreement import check, draw

SIZES = (1, 5, 31, 33, 47, 65, 100, 1000)


def text_of(function: Any, *args: Any) -> str:
    return str(Compilation(pb.jit(function).stage(tuple(args), {}).open_program).text)


def repeated(turns: int) -> Any:
    def run(x: Any) -> Any:
        for _ in range(turns):
            x = jnp.cos(x - jnp.mean(x))
        return x

    return run


def test_equal_loops_are_written_once() -> None:
    """The text of 80 turns has as many functions as that of 40."""
    x = draw(1000)
    short, long = text_of(repeated(40), x), text_of(repeated(80), x)
    kinds = [set(re.findall(r"^define .*@(part\d+)", text, re.MULTILINE)) for text in (short, long)]
    assert len(kinds[0]) == len(kinds[1]) < 8
    assert len(long) < 1.5 * len(short)
    check(repeated(40), x)


def test_a_chain_is_cut_into_equal_loops() -> None:
    def run(x: Any) -> Any:
        for _ in range(100):
            x = jnp.cos(x) * 0.5 + x
        return x

    assert text_of(run, draw(1000)).count("define ") < 8
    check(run, draw(1000))


@pytest.mark.parametrize("size", SIZES)
def test_parts_see_values_of_the_function_around(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(sys.modules[Compilation.__module__], "LONG_PROGRAM", 0)

    def run(x: Any, i: Any) -> Any:
        def step(carry: Any, k: Any) -> Any:
            row = lax.dynamic_slice_in_dim(x, k * i[0], 1)
            carry = jnp.tanh(carry - carry.max()) + row * i[0]
            return carry, (carry.sum(), carry[::-1])

        last, (sums, rows) = lax.scan(step, x, jnp.arange(3))
        return last, sums, jnp.exp(rows).sum(0), x.at[i].add(last[i])

    check(run, draw(size), np.array([1, 0], np.int32))


@pytest.mark.parametrize("size", SIZES)
def test_vectors_that_overlap(size: int) -> None:
    """Elements computed twice are stored twice, and counted once."""

    def run(x: Any) -> Any:
        y = jnp.exp(jnp.sin(x))
        return y, x + 1, y.sum(), x.sum(), y.max(), x.min(), (y > 1).sum(), jnp.argmax(y), y.sum(0), x.prod()

    check(run, draw(size))
    check(lambda x: (x.sum(-1), jnp.exp(x).sum(-1), jnp.exp(x).sum(0), jnp.exp(x).max(-1)), draw(3, size))


@pytest.mark.parametrize("size", SIZES)
def test_in_place_loops_do_not_overlap(size: int) -> None:
    """What a loop writes over must not be read a second time."""

    def run(x: Any) -> Any:
        return lax.fori_loop(0, 3, lambda _, y: y.at[0].set(jnp.sin(y[0]) + y[1]), x)

    check(run, draw(2, size))
