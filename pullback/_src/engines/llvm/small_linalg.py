"""Linear algebra on many small matrices: the algorithms written out, a lane for each matrix.

LAPACK takes some hundred nanoseconds for each call, many times what a matrix of nine numbers takes. Here each
element of a matrix is a vector over the stack, and a factorization is straight code on these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .deferred import Part, Remap, Results
from .index import Index
from .ir import Emitter, Value, constant
from .lower import Lowering
from .nodes import Node, Position, View
from .stages import Output, Stage

MANY = 16  # matrices that are worth it
ELEMENTS = 72  # of a matrix and its right-hand sides, up to which code is written out

Grid = list[list[Any]]


def few(count: int, *nodes: Node) -> bool:
    """Whether stacks of `count` such matrices are many and small enough."""
    sizes = [node.shape[-1] * node.shape[-2] for node in nodes]
    return count >= MANY and sum(sizes) <= ELEMENTS and all(n.dtype.char in "fd" for n in nodes)


def element(x: Node, i: int, j: int) -> Node:
    """One element of all matrices."""
    batch = x.shape[:-2]
    if isinstance(x, View):
        offset = i * x.strides[-2] + j * x.strides[-1]
        return x.with_layout(batch, x.strides[:-2], offset)

    def mapping(at: Position) -> Position:
        return (*at, Index.of(i), Index.of(j))

    return Remap(x, batch, mapping)


def written(
    lw: Lowering,
    view: View,
    operands: Sequence[Node],
    places: Sequence[tuple[int, int]],
    rule: Callable[..., Sequence[Value]],
    cost: float,
) -> View:
    """Store the results of `rule(e, *elements)` at the given rows and columns of all matrices."""
    batch = view.shape[:-2]
    whole = Results(lambda e, types, *xs: tuple(rule(e, *xs)), operands, batch, view.dtype, {}, cost)
    outputs = []
    for k, (i, j) in enumerate(places):
        target = element(view, i, j)
        assert isinstance(target, View)
        outputs.append(Output(target, Part(whole, k, view.dtype)))
    lw.stage(Stage(batch, (False,) * len(batch), outputs))
    lw.flush()
    return view


def less_products(e: Emitter, x: Value, pairs: Sequence[tuple[Value, Value]]) -> Value:
    """x less the products of the pairs."""
    for a, b in pairs:
        x = e.fma(e.fneg(a), b, x)
    return x


def cholesky(lw: Lowering, x: Node, view: View) -> View:
    """The lower triangular factors; NaNs for matrices that are not positive definite."""
    n = x.shape[-1]
    lower = [(i, j) for i in range(n) for j in range(i + 1)]
    upper = [(i, j) for i in range(n) for j in range(i + 1, n)]

    def rule(e: Emitter, *xs: Value) -> list[Value]:
        a = dict(zip(lower, xs, strict=True))
        factor: dict[tuple[int, int], Value] = {}
        good: Value | None = None
        for j in range(n):
            square = less_products(e, a[j, j], [(factor[j, k], factor[j, k]) for k in range(j)])
            positive = e.fcmp("ugt", square, e.const(0.0, square))  # as LAPACK: NaNs only spread
            good = positive if good is None else e.and_(good, positive)
            root = factor[j, j] = e.sqrt(square)
            for i in range(j + 1, n):
                rest = less_products(e, a[i, j], [(factor[i, k], factor[j, k]) for k in range(j)])
                factor[i, j] = e.fdiv(rest, root)
        assert good is not None
        results = [e.select(good, factor[p], e.const(np.nan, factor[p])) for p in lower]
        return results + [constant(0.0, results[0].elem, results[0].lanes)] * len(upper)

    return written(lw, view, [element(x, i, j) for i, j in lower], lower + upper, rule, 0.1 * n**3)


def triangular_solve(
    lw: Lowering, a: Node, b: Node, view: View, *, left: bool, lower: bool, transpose: bool, unit: bool
) -> View:
    """The solutions of op(A) X = B, or of X op(A) = B."""
    n = a.shape[-1]
    sides = b.shape[-1] if left else b.shape[-2]
    # As op(A) X = B with rows and columns of all others exchanged.
    flip = transpose == left
    below = lower != flip
    entries = [
        (i, j) for i in range(n) for j in range(n) if (i > j if below else i < j) or (i == j and not unit)
    ]
    places = [(i, s) if left else (s, i) for i in range(n) for s in range(sides)]
    elements = [element(a, j, i) if flip else element(a, i, j) for i, j in entries]

    def rule(e: Emitter, *xs: Value) -> list[Value]:
        m = dict(zip(entries, xs, strict=False))
        x: Grid = [list(xs[len(entries) + i * sides :][:sides]) for i in range(n)]
        order = range(n) if below else range(n - 1, -1, -1)
        known: list[int] = []
        for i in order:
            for s in range(sides):
                rest = less_products(e, x[i][s], [(m[i, k], x[k][s]) for k in known])
                x[i][s] = rest if unit else e.fdiv(rest, m[i, i])
            known.append(i)
        return [v for row in x for v in row]

    return written(
        lw, view, [*elements, *[element(b, *p) for p in places]], places, rule, 0.1 * n * n * sides
    )


def eliminated(e: Emitter, a: Grid) -> tuple[Grid, Value]:
    """Gaussian elimination with row exchanges: the rows (with all that stands right of the matrix) in upper
    triangular form, and whether the number of exchanges is odd.

    The pivot is the largest element; rows are exchanged lane by lane, by selections. Columns of zeros stay.
    """
    n = len(a)
    odd = constant(False, "i1", a[0][0].lanes)
    for k in range(n):
        for r in range(k + 1, n):
            larger = e.fcmp("ogt", e.fabs(a[r][k]), e.fabs(a[k][k]))
            odd = e.xor(odd, larger)
            for c in range(k, len(a[0])):
                x, y = a[k][c], a[r][c]
                a[k][c], a[r][c] = e.select(larger, y, x), e.select(larger, x, y)
        for r in range(k + 1, n):
            zero = e.const(0.0, a[r][k])
            factor = e.select(e.fcmp("oeq", a[r][k], zero), zero, e.fdiv(a[r][k], a[k][k]))
            for c in range(k + 1, len(a[0])):
                a[r][c] = e.fma(e.fneg(factor), a[k][c], a[r][c])
    return a, odd


def solve(lw: Lowering, a: Node, b: Node | None, view: View, *, transpose: bool = False) -> View:
    """The solutions of A X = B (the inverses without `b`), by elimination."""
    n, sides = view.shape[-2:]
    entries = [(i, j) for i in range(n) for j in range(n)]
    places = [(i, s) for i in range(n) for s in range(sides)]
    operands = [element(a, j, i) if transpose else element(a, i, j) for i, j in entries]
    if b is not None:
        operands += [element(b, i, s) for i, s in places]

    def rule(e: Emitter, *xs: Value) -> list[Value]:
        right = xs[n * n :] or [constant(float(i == s), xs[0].elem, xs[0].lanes) for i, s in places]
        rows = [[*xs[i * n : (i + 1) * n], *right[i * sides : (i + 1) * sides]] for i in range(n)]
        rows = [list(e.match(*row)) for row in rows]
        rows, _ = eliminated(e, rows)
        for i in range(n - 1, -1, -1):
            for s in range(n, n + sides):
                rest = less_products(e, rows[i][s], [(rows[i][k], rows[k][s]) for k in range(i + 1, n)])
                rows[i][s] = e.fdiv(rest, rows[i][i])
        return [rows[i][n + s] for i, s in places]

    return written(lw, view, operands, places, rule, 0.1 * n * n * (n + sides))


def determinants(lw: Lowering, x: Node, where: View | None) -> Node:
    """The determinants, by elimination."""
    n = x.shape[-1]
    entries = [(i, j) for i in range(n) for j in range(n)]

    def rule(e: Emitter, types: Any, *xs: Value) -> tuple[Value]:
        rows: Grid = [list(e.match(*xs[i * n : (i + 1) * n])) for i in range(n)]
        rows, odd = eliminated(e, rows)
        product = rows[0][0]
        for i in range(1, n):
            product = e.fmul(product, rows[i][i])
        return (e.select(odd, e.fneg(product), product),)

    batch = x.shape[:-2]
    whole = Results(rule, [element(x, i, j) for i, j in entries], batch, x.dtype, {}, 0.1 * n**3)
    view = lw.result(Node(batch, x.dtype), where)
    return lw.store(view, Part(whole, 0, x.dtype))
