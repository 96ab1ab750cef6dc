"""Lowerings of linear algebra to LAPACK: factorizations, systems, eigenvalues, determinants.

LAPACK's matrices have their columns one after the other. A matrix is given to it as a copy with rows and
columns exchanged (which it overwrites), and what it returns is seen through exchanged strides: no result is
copied. Where a routine can be told so, matrices are read as they are (triangular systems, Cholesky).

Each matrix of a stack is one call; stacks are shared among threads. A routine that fails gives NaNs.

Pivoted QR, general eigenvalues, Schur, Hessenberg and tridiagonal forms, tridiagonal systems, cofactors,
pseudoinverses, permutations of given pivots, and matrices without elements are left to the NumPy engine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from ...core import dtypes
from ...core.program import Atom, Equation
from . import blas, elementwise, small_linalg
from .deferred import Constant, Iota, Map, Remap
from .index import ZERO, Index
from .ir import Emitter, Value, constant
from .lower import Lowering, lowering
from .matrices import RATE, arranged, changed
from .nodes import Node, View
from .parallel import chunks_for, parallel_for
from .reducers import reducer
from .reduction import reduced

Out = Sequence[View | None]
Lines = Callable[[Emitter, Index, Index], None]

CALL = 300.0  # ns that a call of a routine takes at least
WORK = 64  # columns of a routine's work array, enough for its blocked form


class Stacks:
    """A loop over the matrices of stacks, some of them a chunk for a thread.

    Args:
        lw: what writes it.
        shape: of the stacks.
        dtype: of the matrices.
        flops: multiplications with additions on one matrix, roughly.
    """

    def __init__(self, lw: Lowering, shape: Sequence[int], dtype: np.dtype[Any], flops: float) -> None:
        self.lw = lw
        self.batch = tuple(shape)
        self.count = math.prod(shape)
        self.dtype = dtype
        work = (2 * flops * RATE[dtype.char] + CALL) * self.count
        lw.module.elsewhere += lw.module.turns * work
        parts = chunks_for(work, self.count)
        each = -(-self.count // parts)
        self.parts = -(-self.count // each)
        self._places: list[View] = []

    def memory(self, *shape: int, dtype: Any = None) -> View:
        """An array for each matrix."""
        view = self.lw.result(Node((*self.batch, *shape), np.dtype(dtype or self.dtype)))
        self._places.append(view)
        return view

    def scratch(self, count: int, dtype: Any = None) -> View:
        """An array for each chunk."""
        view = self.lw.result(Node((self.parts, max(count, 1)), np.dtype(dtype or self.dtype)))
        self._places.append(view)
        return view

    def copy(self, node: Node) -> View:
        """A stack of matrices with rows and columns exchanged, in memory that may be overwritten."""
        rank = len(node.shape)
        turned = arranged(node, (range(rank - 2), [rank - 1], [rank - 2]))
        return self.lw.into(turned, self.lw.result(Node(turned.shape, turned.dtype)))

    def run(self, lines: Lines, *, library: bool = True) -> None:
        """Write `lines(e, matrix, chunk)` in a loop; `library` tells whether they call BLAS or LAPACK."""
        lw = self.lw
        alone = blas.alone if library else nullcontext
        lw.flush()
        for view in self._places:
            lw.place(view.buffer)
        e = lw.e

        def some(e: Emitter, start: Value, stop: Value, chunk: Value | None = None) -> None:
            part = ZERO if chunk is None else Index.along(chunk, 0, self.parts - 1)
            with alone(e), e.loop(start, stop) as loop:
                lines(e, Index.along(loop.index, 0, self.count - 1), part)

        if self.count == 1:
            with alone(e):
                lines(e, ZERO, ZERO)
        elif self.parts > 1:
            parallel_for(e, self.count, self.parts, some)
        else:
            some(e, constant(0, "i64"), constant(self.count, "i64"))

    def at(self, e: Emitter, view: View, matrix: Index) -> Value:
        """The address of a matrix's part of an array without gaps."""
        size = math.prod(view.shape[len(self.batch) :])
        return view.with_layout((), (), matrix * size).pointer(e)

    def part(self, e: Emitter, view: View, chunk: Index) -> Value:
        """The address of a chunk's scratch memory."""
        return view.with_layout((), (), chunk * view.shape[1]).pointer(e)


def turned(view: View) -> View:
    """The matrices with rows and columns exchanged."""
    shape, strides = view.shape, view.strides
    return view.with_layout((*shape[:-2], shape[-1], shape[-2]), (*strides[:-2], strides[-1], strides[-2]))


def whole_number() -> np.dtype[Any]:
    """The dtype of the library's integers."""
    return np.dtype(np.int64 if blas.library().integer == "i64" else np.int32)


def real_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(dtype.char.lower())


def report(e: Emitter) -> Value:
    """Where a routine reports a failure."""
    return e.stack(blas.library().integer, 1)


def unless_failed(e: Emitter, info: Value, fill: Callable[[], None]) -> None:
    """Run `fill` if a routine has reported a failure."""
    elem = blas.library().integer
    status = e.here(f"load {elem}, ptr {info.name}, align 4", elem, 1)

    def failed() -> list[Value]:
        fill()
        return []

    e.branch(e.icmp("ne", status, constant(0, elem)), [failed, list])


def fill_nan(e: Emitter, pointer: Value, count: int | Value, dtype: np.dtype[Any]) -> None:
    """Set elements to NaN."""
    elem = "float" if dtype.char in "fF" else "double"
    stop = count if isinstance(count, Value) else constant(count, "i64")
    if dtypes.is_complex(dtype):
        stop = e.mul(stop, constant(2, "i64"))
    with e.loop(constant(0, "i64"), stop) as loop:
        place = e.here(f"getelementptr {elem}, ptr {pointer.name}, i64 {loop.index.name}", "ptr", 1)
        e.line(f"store {constant(np.nan, elem).typed}, ptr {place.name}, align 4")


def supported(*nodes: Node) -> bool:
    """Whether there are routines for these matrices, and something to do."""
    return all(blas.letter(n.dtype) is not None and n.size > 0 for n in nodes)


def rule(name: str, *nodes: Node, dtype: np.dtype[Any] | None = None, **params: Any) -> Node:
    """An elementwise function of nodes of one shape."""
    return Map(elementwise.rules[name], nodes, nodes[0].shape, dtype or nodes[0].dtype, params, 0.3)


def triangle(x: Node, *, lower: bool, shape: tuple[int, ...] | None = None) -> Node:
    """The matrices' lower (or upper) triangles, zeros elsewhere; of the leading part of `shape`."""
    shape = shape or x.shape
    rank = len(shape)
    integer = np.dtype(np.int32)
    rows, columns = Iota(shape, integer, rank - 2), Iota(shape, integer, rank - 1)
    part = Remap(x, shape, lambda at: at)

    def keep(e: Any, types: Any, i: Any, j: Any, value: Any) -> Any:
        inside = e.icmp("sge" if lower else "sle", i, j)
        if isinstance(value, tuple):
            return tuple([e.select(inside, v, e.const(0.0, v)) for v in value])
        return e.select(inside, value, e.const(0.0, value))

    return Map(keep, [rows, columns, part], shape, x.dtype, {}, 0.05)


# LU and what is made of it ---------------------------------------------------------------------------------


@lowering("lu")
def lu(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    (x,) = operands
    if not supported(x):
        return None
    rows, columns = x.shape[-2:]
    k = min(rows, columns)
    stacks = Stacks(lw, x.shape[:-2], x.dtype, rows * columns * k / 2)
    factors = stacks.copy(x)
    pivots = stacks.memory(k, dtype=whole_number())
    permutation = stacks.memory(rows, dtype=np.int32)

    def one(e: Emitter, matrix: Index, chunk: Index) -> None:
        swaps = stacks.at(e, pivots, matrix)
        factor(e, x.dtype, rows, columns, stacks.at(e, factors, matrix), swaps, report(e))
        permute(e, stacks.at(e, permutation, matrix), swaps, rows, k)

    stacks.run(one)
    return [turned(changed(lw, factors)), first_is_zero(pivots), permutation]


def factor(
    e: Emitter, dtype: np.dtype[Any], rows: int, columns: int, a: Value, pivots: Value, info: Value
) -> None:
    """LU factors in place."""
    blas.call(e, f"{blas.letter(dtype)}getrf", [rows, columns, a, rows, pivots, info])


def permute(e: Emitter, permutation: Value, pivots: Value, rows: int, count: int) -> None:
    """The permutation that the swaps amount to."""
    elem = blas.library().integer

    def entry(base: Value, at: Value, kind: str) -> Value:
        return e.here(f"getelementptr {kind}, ptr {base.name}, i64 {at.name}", "ptr", 1)

    def read(place: Value, kind: str) -> Value:
        return e.here(f"load {kind}, ptr {place.name}, align 4", kind, 1)

    with e.loop(constant(0, "i64"), constant(rows, "i64")) as loop:
        number = e.convert("trunc", loop.index, "i32")
        e.line(f"store {number.typed}, ptr {entry(permutation, loop.index, 'i32').name}, align 4")
    with e.loop(constant(0, "i64"), constant(count, "i64")) as loop:
        found = read(entry(pivots, loop.index, elem), elem)
        wide = found if elem == "i64" else e.convert("sext", found, "i64")
        other = e.sub(wide, constant(1, "i64"))
        other = e.call("llvm.umin", "i64", other, constant(rows - 1, "i64"))
        here, there = entry(permutation, loop.index, "i32"), entry(permutation, other, "i32")
        a, b = read(here, "i32"), read(there, "i32")
        e.line(f"store {b.typed}, ptr {here.name}, align 4")
        e.line(f"store {a.typed}, ptr {there.name}, align 4")


def first_is_zero(pivots: View) -> Node:
    """LAPACK's row numbers, which begin with 1, as int32 that begin with 0."""

    def lowered(e: Any, types: Any, x: Any) -> Any:
        narrow = x if x.elem == "i32" else e.convert("trunc", x, "i32")
        return e.sub(narrow, e.const(1, narrow))

    return Map(lowered, [pivots], pivots.shape, np.dtype(np.int32), {}, 0.03)


def solved(lw: Lowering, a: Node, b: Node, exchanged: bool, matrix_of: Atom | None = None) -> View:
    """The solutions of A X = B, or of A^T X = B.

    matrix_of: the equation's operand that `a` is. If other systems with it come later, as those of
        derivatives do, the factors are kept for them.
    """
    n, columns = b.shape[-2:]
    dtype = b.dtype
    known = lw.factors_of(matrix_of)
    stacks = Stacks(lw, a.shape[:-2], dtype, (0.0 if known else n**3 / 3) + n * n * columns)
    if known is None:
        factors = stacks.copy(turned_node(a) if exchanged else a)
        pivots, of_transpose = stacks.memory(n, dtype=whole_number()), exchanged
        lw.keep_factors(matrix_of, factors, pivots, of_transpose)
    else:
        factors, pivots, of_transpose = known
    x = stacks.copy(b)
    form = "N" if exchanged == of_transpose else "T"

    def one(e: Emitter, matrix: Index, chunk: Index) -> None:
        swaps, info = stacks.at(e, pivots, matrix), report(e)
        left = stacks.at(e, factors, matrix)
        if known is None:
            factor(e, dtype, n, n, left, swaps, info)
        right = stacks.at(e, x, matrix)
        blas.call(e, f"{blas.letter(dtype)}getrs", [form, n, columns, left, n, swaps, right, n, info])

    stacks.run(one)
    return turned(changed(lw, x))


def turned_node(x: Node) -> Node:
    rank = len(x.shape)
    if isinstance(x, View):
        return turned(x)
    return arranged(x, (range(rank - 2), [rank - 1], [rank - 2]))


@lowering("solve")
def solve(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    a, b = operands
    if not supported(a, b):
        return None
    transpose = eqn.params["transpose_a"]
    if small_linalg.few(math.prod(b.shape[:-2]), a, b):
        return [small_linalg.solve(lw, a, b, lw.result(b), transpose=transpose)]
    return [solved(lw, a, b, transpose, eqn.invars[0])]


@lowering("inv")
def inv(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    (a,) = operands
    if not supported(a):
        return None
    if small_linalg.few(math.prod(a.shape[:-2]), a, a):
        return [small_linalg.solve(lw, a, None, lw.result(a))]
    rank = len(a.shape)
    integer = np.dtype(np.int32)
    i, j = Iota(a.shape, integer, rank - 2), Iota(a.shape, integer, rank - 1)

    def unit(e: Any, types: Any, i: Any, j: Any) -> Any:
        elem = "float" if types.out.char in "fF" else "double"
        one = e.select(e.icmp("eq", i, j), constant(1.0, elem), constant(0.0, elem))
        return (one, constant(0.0, elem)) if dtypes.is_complex(types.out) else one

    return [solved(lw, a, Map(unit, [i, j], a.shape, a.dtype, {}, 0.05), False)]


def sign_and_logarithm(lw: Lowering, x: Node) -> tuple[Node, Node]:
    """The determinants' signs (phases) and the logarithms of their sizes."""
    n = x.shape[-1]
    batch = x.shape[:-2]
    stacks = Stacks(lw, batch, x.dtype, n**3 / 3)
    factors = stacks.copy(x)
    pivots = stacks.memory(n, dtype=whole_number())

    def one(e: Emitter, matrix: Index, chunk: Index) -> None:
        swaps = stacks.at(e, pivots, matrix)
        factor(e, x.dtype, n, n, stacks.at(e, factors, matrix), swaps, report(e))

    stacks.run(one)
    factors = changed(lw, factors)
    strides = factors.strides
    diagonal = factors.with_layout((*batch, n), (*strides[:-2], n + 1))
    real = real_dtype(x.dtype)
    size = rule("abs", diagonal, dtype=real)
    logarithm = reduced(lw, rule("log", size), [len(batch)], reducer("sum", real), Node(batch, real), None)

    def parity(e: Any, types: Any, pivot: Any, row: Any, value: Any) -> Any:
        moved = e.icmp("ne", pivot, row)
        if isinstance(value, tuple):
            return tuple([e.select(moved, e.fneg(v), v) for v in value])
        return e.select(moved, e.fneg(value), value)

    rows = Iota((*batch, n), np.dtype(np.int32), len(batch))
    signs = Map(parity, [first_is_zero(pivots), rows, rule("sign", diagonal)], (*batch, n), x.dtype, {}, 0.1)
    sign = reduced(lw, signs, [len(batch)], reducer("prod", x.dtype), Node(batch, x.dtype), None)
    return sign, logarithm


@lowering("slogdet")
def slogdet(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    (x,) = operands
    return list(sign_and_logarithm(lw, x)) if supported(x) else None


@lowering("det")
def det(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    (x,) = operands
    if not supported(x):
        return None
    if small_linalg.few(math.prod(x.shape[:-2]), x):
        return [small_linalg.determinants(lw, x, out[0])]
    sign, logarithm = sign_and_logarithm(lw, x)

    def scaled(e: Any, types: Any, sign: Any, size: Any) -> Any:
        if isinstance(sign, tuple):
            return tuple([e.fmul(s, size) for s in sign])
        return e.fmul(sign, size)

    value = Map(scaled, [sign, rule("exp", logarithm)], sign.shape, x.dtype, {}, 0.1)
    return [lw.computed(value)]


# QR -----------------------------------------------------------------------------------------------------


def reflected(lw: Lowering, x: Node) -> tuple[View, View]:
    """The reflectors and R (rows and columns exchanged), and the factors of the reflectors."""
    rows, columns = x.shape[-2:]
    k = min(rows, columns)
    stacks = Stacks(lw, x.shape[:-2], x.dtype, rows * columns * k)
    reflectors = stacks.copy(x)
    taus = stacks.memory(k)
    size = WORK * max(columns, 1)
    work = stacks.scratch(size)

    def one(e: Emitter, matrix: Index, chunk: Index) -> None:
        a, tau = stacks.at(e, reflectors, matrix), stacks.at(e, taus, matrix)
        place = stacks.part(e, work, chunk)
        blas.call(e, f"{blas.letter(x.dtype)}geqrf", [rows, columns, a, rows, tau, place, size, report(e)])

    stacks.run(one)
    return changed(lw, reflectors), taus


def multiplied(lw: Lowering, q: View, taus: View) -> View:
    """The product of the reflectors in q, in place; rows and columns are exchanged."""
    columns, rows = q.shape[-2:]
    k = taus.shape[-1]
    dtype = q.dtype
    stacks = Stacks(lw, q.shape[:-2], dtype, rows * columns * k)
    size = WORK * max(columns, 1)
    work = stacks.scratch(size)
    name = f"{blas.letter(dtype)}{'ungqr' if dtypes.is_complex(dtype) else 'orgqr'}"

    def one(e: Emitter, matrix: Index, chunk: Index) -> None:
        a, tau = stacks.at(e, q, matrix), stacks.at(e, taus, matrix)
        blas.call(e, name, [rows, columns, k, a, rows, tau, stacks.part(e, work, chunk), size, report(e)])

    stacks.run(one)
    return changed(lw, q)


@lowering("qr")
def qr(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    (x,) = operands
    if eqn.params["pivoting"] or not supported(x):
        return None
    rows, columns = x.shape[-2:]
    batch = x.shape[:-2]
    k = rows if eqn.params["full_matrices"] else min(rows, columns)
    reflectors, taus = reflected(lw, x)
    r = lw.memory(triangle(turned(reflectors), lower=False, shape=(*batch, k, columns)))
    q = lw.result(Node((*batch, k, rows), x.dtype))
    some = min(k, columns)
    lw.store(
        q.with_layout((*batch, some, rows), q.strides),
        reflectors.with_layout((*batch, some, rows), reflectors.strides),
    )
    if k > some:
        rest = (*batch, k - some, rows)
        zero = Remap(Constant(0, x.dtype), rest, lambda at: ())
        lw.store(q.with_layout(rest, q.strides, some * rows), zero)
    return [turned(multiplied(lw, q, taus)), r]


@lowering("geqrf")
def geqrf(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    (x,) = operands
    if not supported(x):
        return None
    reflectors, taus = reflected(lw, x)
    return [turned(reflectors), taus]


@lowering("householder_product")
def householder_product(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    a, taus = operands
    if not supported(a) or (taus.size and not supported(taus)):
        return None
    factors = lw.memory(taus)
    q = Stacks(lw, a.shape[:-2], a.dtype, 0.0).copy(a)
    return [turned(multiplied(lw, q, factors))]


__all__ = [
    "WORK", "Stacks", "fill_nan", "lu", "qr", "real_dtype", "report", "solve", "supported",
    "triangle", "turned", "turned_node", "unless_failed", "whole_number",
]  # fmt: skip
