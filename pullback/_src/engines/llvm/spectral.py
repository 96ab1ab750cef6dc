"""Lowerings of `ops.spectral`: eigenvalues of symmetric matrices and singular values, by LAPACK.

See `linalg` for how matrices lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core import dtypes
from ...core.program import Equation
from . import blas
from .index import Index
from .ir import Emitter
from .linalg import (
    WORK,
    Stacks,
    fill_nan,
    real_dtype,
    report,
    supported,
    turned,
    unless_failed,
    whole_number,
)
from .lower import Lowering, lowering
from .matrices import changed
from .nodes import Node, View

Out = Sequence[View | None]


@lowering("eigh", "eigvalsh")
def eigh(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    (x,) = operands
    if not supported(x):
        return None
    vectors = eqn.primitive.name == "eigh"
    n = x.shape[-1]
    dtype, real = x.dtype, real_dtype(x.dtype)
    is_complex = dtypes.is_complex(dtype)
    stacks = Stacks(lw, x.shape[:-2], dtype, 4.0 * n**3)
    v = stacks.copy(x)
    w = stacks.memory(n, dtype=real)
    size = 2 * n + n * n + WORK * n + 1 if is_complex else 1 + 6 * n + 2 * n * n + WORK * n
    real_size, integers = 1 + 5 * n + 2 * n * n, 3 + 5 * n
    work = stacks.scratch(size)
    more = stacks.scratch(real_size, dtype=real) if is_complex else None
    whole = stacks.scratch(integers, dtype=whole_number())
    name = f"{blas.letter(dtype)}{'heevd' if is_complex else 'syevd'}"

    def one(e: Emitter, matrix: Index, chunk: Index) -> None:
        a, values, info = stacks.at(e, v, matrix), stacks.at(e, w, matrix), report(e)
        extra: list[Any] = [stacks.part(e, more, chunk), real_size] if more is not None else []
        blas.call(
            e,
            name,
            ["V" if vectors else "N", "L" if eqn.params["lower"] else "U", n, a, n, values,
             stacks.part(e, work, chunk), size, *extra, stacks.part(e, whole, chunk), integers, info],
        )  # fmt: skip

        def fill() -> None:
            fill_nan(e, a, n * n, dtype)
            fill_nan(e, values, n, real)

        unless_failed(e, info, fill)

    stacks.run(one)
    return [turned(changed(lw, v)), w] if vectors else [w]


@lowering("svd")
def svd(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    (x,) = operands
    if not supported(x):
        return None
    rows, columns = x.shape[-2:]
    few, many = min(rows, columns), max(rows, columns)
    dtype, real = x.dtype, real_dtype(x.dtype)
    is_complex = dtypes.is_complex(dtype)
    vectors = eqn.params["compute_uv"]
    full = eqn.params["full_matrices"]
    stacks = Stacks(lw, x.shape[:-2], dtype, 8.0 * rows * columns * few)
    a = stacks.copy(x)
    s = stacks.memory(few, dtype=real)
    left, right = (rows, columns) if full else (few, few)
    u = stacks.memory(left, rows) if vectors else None
    vh = stacks.memory(columns, right) if vectors else None
    size = 4 * few * few + 8 * few + many + WORK * (rows + columns)
    real_size = max(5 * few * few + 7 * few, 2 * many * few + 2 * few * few + few)
    work = stacks.scratch(size)
    more = stacks.scratch(real_size, dtype=real) if is_complex else None
    whole = stacks.scratch(8 * few, dtype=whole_number())
    job = "N" if not vectors else "A" if full else "S"

    def one(e: Emitter, matrix: Index, chunk: Index) -> None:
        here, values, info = stacks.at(e, a, matrix), stacks.at(e, s, matrix), report(e)
        place = stacks.part(e, work, chunk)
        first = stacks.at(e, u, matrix) if u is not None else place
        second = stacks.at(e, vh, matrix) if vh is not None else place
        extra = [stacks.part(e, more, chunk)] if more is not None else []
        blas.call(
            e,
            f"{blas.letter(dtype)}gesdd",
            [job, rows, columns, here, rows, values, first, rows, second, right if vectors else 1,
             place, size, *extra, stacks.part(e, whole, chunk), info],
        )  # fmt: skip

        def fill() -> None:
            fill_nan(e, values, few, real)
            if vectors:
                fill_nan(e, first, left * rows, dtype)
                fill_nan(e, second, right * columns, dtype)

        unless_failed(e, info, fill)

    stacks.run(one)
    return [s] if u is None or vh is None else [s, turned(u), turned(vh)]


__all__ = ["eigh", "svd"]
