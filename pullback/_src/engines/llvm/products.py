"""Products of matrices in memory by BLAS: one call of the runtime for each.

What is to be done is a constant of the program (`Task`). The runtime (`blas_ir.py`) calls BLAS for it: once,
for each matrix of a stack, or for each tile of a large product. Stacks and tiles are shared by threads, in
chunks which follow from the shapes, so results do not depend on the number of threads.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from . import blas
from .ir import Emitter, Value, constant, leave_unless
from .lower import Lowering
from .matrices import RATE, Stack, leading
from .parallel import MOST_CHUNKS, called, chunks_for

TILE = 120_000.0  # ns of a product's tile
NARROW = 128  # rows and columns that a tile has at least: fewer make BLAS slow


class Task(NamedTuple):
    """A kind of product.

    Attributes:
        text: the constant, of 64-bit words (BLAS reads the low half of them if its integers are short).
        chunks: in how many it is done.
        work: nanoseconds that it takes, roughly.
    """

    text: str
    chunks: int
    work: float


def multiply(lw: Lowering, x: Stack, y: Stack, out: Stack, batch: int, factor: float = 1.0) -> None:
    """out = factor x y for stacks of matrices that are in memory.

    In long programs, products of the same kind are calls of one function.
    """
    e, dtype = lw.e, x.view.dtype
    module = e.module
    task = _task(dtype, factor, batch, x[1:], y[1:], out[1:])
    module.elsewhere += module.turns * task.work
    places = [stack.view.pointer(e) for stack in (x, y, out)]

    def write(e: Emitter, places: Sequence[Value]) -> None:
        what = module.constants.get(task.text)
        if what is None:
            what = module.constants[task.text] = module.unique("task")
            module.globals[what] = f"@{what} = internal constant {task.text}, align 16"
        gemm = f"{blas.PREFIX}{blas.letter(dtype)}gemm"
        module.declare(gemm, "void", ["ptr"] * 13 + ["i64", "i64"])
        arguments = ", ".join([f"ptr @{what}", f"ptr @{gemm}", *[e.local(place).typed for place in places]])
        if task.chunks == 1:
            module.declare("pb_product", "void", ["ptr"] * 5)
            e.line(f"call void @pb_product({arguments})")
        else:
            module.declare("pb_products", "i32", ["ptr"] * 5)
            status = e.here(f"call i32 @pb_products({arguments})", "i32", 1)
            leave_unless(e, e.icmp("eq", status, constant(0, "i32")), "interrupted")

    if module.long:
        called(e, ("product", task.text, dtype), places, write)
    else:
        write(e, places)


@lru_cache(maxsize=1024)
def _task(
    dtype: np.dtype[Any],
    factor: float,
    batch: int,
    x: tuple[int, ...],
    y: tuple[int, ...],
    out: tuple[int, ...],
) -> Task:
    """The task for stacks of matrices without their views; memory is read as BLAS does, by columns: what it
    computes is the transpose, y^T x^T."""
    step_x, m, k, *strides_x = x
    step_y, _, n, *strides_y = y
    step_out, _, _, *strides_out = out
    of_x, of_y = leading(m, k, *strides_x), leading(k, n, *strides_y)
    assert of_x is not None and of_y is not None, "BLAS cannot read this"
    work = m * n * k * RATE[dtype.char] + 100.0
    if batch > 1:
        several = -(-batch // chunks_for(work * batch, batch))
        chunks, height, width, across = -(-batch // several), m, n, 1
    else:
        down, across = tiles(m, n, work)
        several, chunks, height, width = 1, down * across, -(-m // down), -(-n // across)
    size = dtype.itemsize
    words = [
        ord("NT"[of_y[0]]), ord("NT"[of_x[0]]), n, m, k, of_y[1], of_x[1], strides_out[0],
        *struct.unpack("2q", np.array(factor, dtype).tobytes().ljust(16, b"\0")), 0, 0,
        step_x * size, step_y * size, step_out * size, batch, several, chunks, height, width, across,
        strides_x[0] * size, strides_y[1] * size, strides_out[0] * size, strides_out[1] * size,
    ]  # fmt: skip
    text = f"[{len(words)} x i64] [{', '.join([f'i64 {word}' for word in words])}]"
    return Task(text, chunks, batch * work)


@lru_cache(maxsize=1024)
def tiles(rows: int, columns: int, work: float) -> tuple[int, int]:
    """Into how many tiles a product is cut, along rows and columns."""
    down = across = 1
    while 2 * down * across <= min(work / TILE, MOST_CHUNKS):
        height, width = rows / down, columns / across
        if max(height, width) < 2 * NARROW:
            break
        if height >= width:
            down *= 2
        else:
            across *= 2
    # No tile may be empty.
    height, width = -(-rows // down), -(-columns // across)
    return -(-rows // height), -(-columns // width)


__all__ = ["multiply"]
