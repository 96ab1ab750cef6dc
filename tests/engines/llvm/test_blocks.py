"""Loads of whole blocks of lanes, and shuffles in blocks of their own."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as jnp
from pullback._src.base.config import enable_x64

from .comparison import agree


def random(*shape: int, dtype: str = "f") -> Any:
    return np.random.RandomState(0).randn(*shape).astype(dtype)


def text(f: Any, *args: Any) -> str:
    return str(pb.jit(f).lower(*args).compile().as_text("llvm"))


def products(x: Any, y: Any) -> Any:
    return jnp.einsum("bij,bjk->bik", x, y)


@pytest.mark.parametrize("dtype", ["f", "d", "D", "i"])
@pytest.mark.parametrize("n", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("batch", [1, 2, 3, 7, 64, 65])
def test_small_products_stay_inside(batch: int, n: int, dtype: str) -> None:
    """The arrays end right before memory that cannot be read, or begin right after it."""
    scale = 10 if dtype == "i" else 1
    x, y = (scale * random(2, batch, n, n)).astype(dtype)
    rtol = {"f": 1e-5, "d": 1e-13, "D": 1e-13, "i": 0}[dtype]
    with enable_x64(True):
        agree(products, x, y, rtol=rtol, guard=True)
        agree(lambda x, y: products(x[1:, ::-1], y[1:, :, ::-1]), x, y, rtol=rtol, guard=True)
        agree(lambda x, y: jnp.swapaxes(x, 1, 2)[:, 1:, None, ::2] + y[:, None, :1, :1], x, y, guard=True)


@pytest.mark.parametrize("size", [1, 13, 16, 29, 61, 64, 125, 128, 1021])
@pytest.mark.parametrize("start", [0, 1, 3])
def test_blocks_end_with_the_array(size: int, start: int) -> None:
    agree(lambda x: x[start::4, None] + jnp.arange(4), random(size), guard=True)
    agree(lambda x: (x + 1)[start::4, None] * jnp.ones(8), random(size), guard=True)


def test_terms_share_what_they_read() -> None:
    x = random(6, 4, 4)
    loads = re.findall(r"load <(\d+) x float>", text(products, x, x))
    assert set(loads) <= {"16", "32", "64"}, "whole blocks"
    assert len(loads) == 2 * len(set(loads)), "one of each factor"


def test_steps_of_a_transposition_are_basic_blocks() -> None:
    x = random(300, 200)
    inner = text(lambda x: x.T + 1, x)
    blocks = [block.count("shufflevector") for block in re.split(r"(?m)^[\w.]+:$", inner)]
    assert max(blocks) == 8
    assert sum(blocks) == 24
    agree(lambda x: x.T + 1, x, guard=True)
