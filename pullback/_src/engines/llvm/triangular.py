"""Lowerings of Cholesky factors and triangular systems.

Real matrices take the engine's own routines (`substitution`). Large ones are cut into blocks, so that most
of the work is products of matrices, which threads share. Complex ones take LAPACK's routines; see `linalg`
for how matrices lie.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from ...core import dtypes
from ...core.program import Equation
from . import blas, elementwise, small_linalg, substitution
from .deferred import Map
from .index import ZERO, Index
from .ir import Emitter, Value, constant
from .linalg import (
    Out,
    Stacks,
    fill_nan,
    report,
    supported,
    triangle,
    turned,
    turned_node,
    unless_failed,
)
from .lower import Lowering, lowering
from .matrices import RATE, Stack, as_stack, changed, gemm, result_stack
from .nodes import Node, View
from .parallel import chunks_for, parallel_for
from .products import NARROW, TILE

PANEL = 64  # unknowns of a triangular system that LAPACK solves for at once
BLOCK = 256  # rows of a Cholesky factor that are made at once, at least ...
BLOCKS = 8  # ... so that there are not more blocks than these
TALL = 192  # rows of a product's tile

# Cholesky -----------------------------------------------------------------------------------------------


@lowering("cholesky")
def cholesky(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    (x,) = operands
    if not supported(x):
        return None
    where = out[0] if out[0] is not None and out[0].contiguous else None
    if isinstance(x, View) and where is not None and where.buffer is x.buffer:
        where = None
    if small_linalg.few(math.prod(x.shape[:-2]), x):
        return [small_linalg.cholesky(lw, x, lw.result(x, where))]
    if substitution.supported(x.dtype):
        return [factored(lw, x, where)]
    n = x.shape[-1]
    stacks = Stacks(lw, x.shape[:-2], x.dtype, n**3 / 3)
    factor = lw.into(triangle(x, lower=True), lw.result(x, where))

    def one(e: Emitter, matrix: Index, chunk: Index) -> None:
        # The transpose of the lower triangle is an upper one: conj(A) = U^H U, so A = L L^H with L = U^T.
        here, info = stacks.at(e, factor, matrix), report(e)
        blas.call(e, f"{blas.letter(x.dtype)}potrf", ["U", n, here, n, info])

        def fill() -> None:
            with e.loop(constant(0, "i64"), constant(n, "i64")) as loop:
                row = factor.with_layout((), (), matrix * (n * n) + Index.along(loop.index, 0, n - 1) * n)
                fill_nan(e, row.pointer(e), e.add(loop.index, constant(1, "i64")), x.dtype)

        unless_failed(e, info, fill)

    stacks.run(one)
    return [changed(lw, factor)]


def factored(lw: Lowering, x: Node, where: View | None) -> View:
    """The lower triangular factors of real matrices, made as upper ones: A = U^T U and L = U^T.

    They are copied only if they have to be at `where`.
    """
    n, dtype, batch = x.shape[-1], x.dtype, x.shape[:-2]
    goal = None if where is None else Stack(where, n * n, n, n, n, 1)
    height, pitch = substitution.padded(n, dtype)
    stacks = Stacks(lw, batch, dtype, n**3 / 6)
    memory = stacks.memory(height, pitch)
    upper = memory.with_layout(x.shape, memory.strides)
    lw.store(upper, turned_node(x))
    u = Stack(memory, height * pitch, n, n, pitch, 1)
    size = max(BLOCK, -(-n // (16 * BLOCKS)) * 16)
    starts = range(0, n, size) if n >= 2 * BLOCK else range(1)

    def one(e: Emitter, matrix: Index, chunk: Index) -> None:
        failed = constant(False, "i1")
        for start in starts:
            end = n if start == starts[-1] else start + size
            corner = u.place(e, matrix, Index.of(start), Index.of(start))
            failed = e.or_(failed, substitution.cholesky(e, dtype, end - start, corner, pitch))
            if end < n:
                complete(e, u, matrix, start, end, serial=stacks.count > 1)
        substitution.finish(e, dtype, n, u.place(e, matrix), pitch, failed)
        if goal is not None:
            substitution.turn(e, dtype, n, n, (u.place(e, matrix), pitch), (goal.place(e, matrix), n))

    if stacks.count == 1:
        lw.flush()
        lw.place(memory.buffer)
        one(lw.e, ZERO, ZERO)
    else:
        stacks.run(one, library=len(starts) > 1)
    return turned(changed(lw, upper)) if where is None else changed(lw, where)


def complete(e: Emitter, u: Stack, matrix: Index, start: int, end: int, *, serial: bool) -> None:
    """Solve for the rows of U from `start` to `end` right of the block on the diagonal, and subtract their
    products from what is below."""
    n, known, dtype = u.columns, end - start, u.view.dtype
    system = System(u.transposed, True, False, start, end)

    def rows(e: Emitter, first: Index, count: int | Value) -> None:
        with multiplying(e, system):
            substitute(e, system, u, matrix, first + end, count)

    share(e, system, n - end, rows, serial=serial)

    def tiles(e: Emitter, first: Value, stop: Value, chunk: Value | None = None) -> None:
        with blas.alone(e), e.loop(first, stop) as loop:
            row = e.add(e.mul(loop.index, constant(TALL, "i64")), constant(end, "i64"))
            across = e.sub(constant(n, "i64"), row)
            down = e.call("llvm.smin", "i64", across, constant(TALL, "i64"))
            here = Index.along(row, end, n - 1)
            lines = u.place(e, matrix, Index.of(start), here)
            goal = u.place(e, matrix, here, here), u.row
            sizes = down, across, known
            gemm(e, dtype, sizes, (lines, True, u.row), (lines, False, u.row), goal, subtract=True)

    count = -(-(n - end) // TALL)
    chunks = 1 if serial else chunks_for((n - end) ** 2 / 2 * known * RATE[dtype.char], count)
    if chunks > 1:
        parallel_for(e, count, chunks, tiles)
    else:
        tiles(e, constant(0, "i64"), constant(count, "i64"))


# Triangular systems -------------------------------------------------------------------------------------


class System(NamedTuple):
    """M X = B with the rows and columns from `start` to `end` of (a stack of) triangular matrices M.

    The rows of X are numbered likewise.
    """

    matrix: Stack
    lower: bool
    unit: bool
    start: int
    end: int

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """The unknowns that are solved for at once, in their order."""
        n = self.end - self.start
        size = -(-n // -(-n // substitution.MOST))
        size = -(-size // 16) * 16
        blocks = [(s, min(s + size, self.end)) for s in range(self.start, self.end, size)]
        return blocks if self.lower else blocks[::-1]


def substitute(e: Emitter, system: System, x: Stack, number: Index, first: Index, count: int | Value) -> None:
    """Solve for some right-hand sides (columns of x, which holds B) in place."""
    matrix, dtype = system.matrix, x.view.dtype
    assert matrix.leading is not None and x.leading is not None
    (flipped, distance), (turned, step) = matrix.leading, x.leading
    sign = 1 if system.lower else -1
    for start, end in system.blocks:
        low, high = (system.start, start) if system.lower else (end, system.end)  # what is known
        if low < high:
            corner = matrix.place(e, number, Index.of(start), Index.of(low))
            coefficients = corner, flipped != turned, distance
            others = x.place(e, number, Index.of(low), first), False, step
            goal = x.place(e, number, Index.of(start), first), step
            size, known = end - start, high - low
            if turned:
                gemm(e, dtype, (count, size, known), others, coefficients, goal, subtract=True)
            else:
                gemm(e, dtype, (size, count, known), coefficients, others, goal, subtract=True)
        edge = Index.of(start if system.lower else end - 1)
        substitution.solve(
            e, dtype, end - start, count,
            (matrix.place(e, number, edge, edge), sign * matrix.row, sign * matrix.column), system.unit,
            (x.place(e, number, edge, first), sign * x.row, x.column),
        )  # fmt: skip


def multiplying(e: Emitter, system: System) -> AbstractContextManager[None]:
    """Around `substitute`, which calls BLAS if there are several blocks."""
    return blas.alone(e) if len(system.blocks) > 1 else nullcontext()


def share(
    e: Emitter, system: System, sides: int, body: Callable[[Emitter, Index, int | Value], None], *,
    serial: bool = False,
) -> None:  # fmt: skip
    """Run `body(e, first, count)` for all right-hand sides, or for parts of them."""
    dtype = system.matrix.view.dtype
    columns = substitution.columns(dtype)
    strips = -(-sides // columns)
    chunks = chunks_for((system.end - system.start) ** 2 / 2 * sides * RATE[dtype.char], strips)
    if len(system.blocks) > 1:
        chunks = min(chunks, max(sides // NARROW, 1))
    if serial or chunks == 1:
        body(e, ZERO, sides)
        return

    def some(e: Emitter, start: Value, stop: Value, chunk: Value) -> None:
        first = e.mul(start, constant(columns, "i64"))
        end = e.call("llvm.smin", "i64", e.mul(stop, constant(columns, "i64")), constant(sides, "i64"))
        body(e, Index.along(first, 0, sides - 1), e.sub(end, first))

    parallel_for(e, strips, chunks, some)


@lowering("triangular_solve")
def triangular_solve(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    a, b = operands
    if not supported(a, b):
        return None
    where = out[0] if out[0] is not None and out[0].contiguous else None
    if where is not None and any(isinstance(o, View) and o.buffer is where.buffer for o in operands):
        where = None
    params = eqn.params
    flags = {
        "left": params["left_side"],
        "lower": params["lower"],
        "transpose": params["transpose_a"],
        "unit": params["unit_diagonal"],
    }
    if small_linalg.few(math.prod(b.shape[:-2]), a, b):
        return [small_linalg.triangular_solve(lw, a, b, lw.result(b, where), **flags)]
    # For one right-hand side, a large matrix is only read: there is nothing to gain.
    alone = b.shape[-1 if flags["left"] else -2] == 1 and a.shape[-1] > substitution.MOST
    if substitution.supported(b.dtype) and not alone:
        return [substituted(lw, a, b, where, **flags)]
    conjugate = params["conjugate_a"] and dtypes.is_complex(b.dtype)
    return [by_lapack(lw, a, b, where, conjugate=conjugate, **flags)]


def substituted(
    lw: Lowering, a: Node, b: Node, where: View | None, *,
    left: bool, lower: bool, transpose: bool, unit: bool,
) -> View:  # fmt: skip
    """The solutions of real systems. X op(A) = B is solved as op(A)^T X^T = B^T."""
    rank = len(a.shape)
    matrix = as_stack(lw, a, (range(rank - 2), [rank - 2], [rank - 1]))
    flip = transpose == left
    n, sides = a.shape[-1], b.shape[-1] if left else b.shape[-2]
    system = System(matrix.transposed if flip else matrix, lower != flip, unit, 0, n)
    stacks = Stacks(lw, b.shape[:-2], b.dtype, n * n * sides / 2)
    result = lw.into(b, lw.result(b, where))
    x = result_stack(result, stacks.count, *b.shape[-2:])
    x = x if left else x.transposed
    if stacks.count == 1:
        lw.flush()

        def some(e: Emitter, first: Index, count: int | Value) -> None:
            with multiplying(e, system):
                substitute(e, system, x, ZERO, first, count)

        share(lw.e, system, sides, some)
    else:

        def one(e: Emitter, number: Index, chunk: Index) -> None:
            substitute(e, system, x, number, ZERO, sides)

        stacks.run(one, library=len(system.blocks) > 1)
    return changed(lw, result)


def by_lapack(
    lw: Lowering, a: Node, b: Node, where: View | None, *,
    left: bool, lower: bool, transpose: bool, unit: bool, conjugate: bool,
) -> View:  # fmt: skip
    """The solutions of op(A) X = B, or of X op(A) = B."""
    dtype, n = b.dtype, a.shape[-1]
    rank = len(a.shape)
    groups = range(rank - 2), [rank - 2], [rank - 1]
    if conjugate and not transpose:
        a, conjugate = Map(elementwise.rules["conj"], [a], a.shape, dtype, {}, 0.03), False
    matrix = as_stack(lw, a, groups)
    assert matrix.leading is not None
    flipped, distance = matrix.leading
    if flipped and conjugate:
        a, conjugate, flipped = Map(elementwise.rules["conj"], [a], a.shape, dtype, {}, 0.03), False, False
        matrix = as_stack(lw, a, groups)
        assert matrix.leading is not None
        flipped, distance = matrix.leading
    # What LAPACK sees is X^T and B^T, and A^T (or A, if it is flipped): X^T op(A)^T = B^T.
    mode = "N" if transpose == flipped else "C" if conjugate else "T"
    stacks = Stacks(lw, b.shape[:-2], dtype, n * b.size / max(math.prod(b.shape[:-2]), 1) / 2)
    x = lw.into(b, lw.result(b, where))
    rows, columns = b.shape[-2:]
    triangle_of = "U" if lower != flipped else "L"
    diagonal = "U" if unit else "N"
    # op(A) is lower triangular: rows of X depend on those before (columns of X on those behind).
    forward = (lower != transpose) == left
    letter = blas.letter(dtype)
    one = blas.number(lw.e, 1.0, dtype)
    effective = ("C" if conjugate else None) if transpose else None

    def solve(e: Emitter, number: Index, first: Index, count: int | Value) -> None:
        """Solve for some of the right-hand sides, a block of unknowns after the other.

        BLAS multiplies much faster than it solves.
        """

        def unknowns(start: int) -> Value:
            at = number * (rows * columns) + (first + start * columns if left else first * columns + start)
            return x.with_layout((), (), at).pointer(e)

        starts = list(range(0, n, PANEL)) if n >= 2 * PANEL else [0]
        sizes = [min(n, end) - start for start, end in zip(starts, [*starts[1:], n], strict=True)]
        done: tuple[int, int] | None = None  # the unknowns that are known: from, to
        for k in range(len(starts)) if forward else reversed(range(len(starts))):
            start, size = starts[k], sizes[k]
            if done is not None:
                known = done[1] - done[0]
                row, column = (start, done[0]) if left else (done[0], start)
                if transpose:
                    row, column = column, row
                place = matrix.place(e, number, Index.of(row), Index.of(column))
                coefficients = place, transpose != flipped, distance
                others = unknowns(done[0]), False, columns
                goal = unknowns(start), columns
                if left:
                    gemm(e, dtype, (size, count, known), coefficients, others, goal,
                         subtract=True, modes=(effective, None))  # fmt: skip
                else:
                    gemm(e, dtype, (count, size, known), others, coefficients, goal,
                         subtract=True, modes=(None, effective))  # fmt: skip
            corner = matrix.place(e, number, Index.of(start), Index.of(start))
            side, shape = ("R", [count, size]) if left else ("L", [size, count])
            blas.call(
                e,
                f"{letter}trsm",
                [side, triangle_of, mode, diagonal, *shape, one, corner, distance, unknowns(start), columns],
            )
            end = start + size
            done = (start, end) if done is None else (min(start, done[0]), max(end, done[1]))

    sides = columns if left else rows
    work = n * n * sides * RATE[dtype.char]
    parts = min(int(work / TILE), max(sides // NARROW, 1))
    if stacks.count == 1 and parts > 1:
        lw.flush()
        size = -(-sides // parts)

        def some(e: Emitter, start: Value, stop: Value, chunk: Value) -> None:
            with blas.alone(e):
                solve(e, ZERO, Index.along(start, 0, sides - 1), e.sub(stop, start))

        parallel_for(lw.e, sides, -(-sides // size), some)
        return changed(lw, x)
    stacks.run(lambda e, number, chunk: solve(e, number, ZERO, sides))
    return changed(lw, x)


__all__ = ["System", "cholesky", "share", "substitute", "triangular_solve"]
