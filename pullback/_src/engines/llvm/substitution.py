"""Native routines for triangular systems and Cholesky factors, in LLVM IR.

For a few hundred unknowns, LAPACK's routines take several times as long as a product of matrices with as
many multiplications. Here both are one loop nest: a *tile* of some rows and columns stays in registers while
all rows above are subtracted from it, then the small triangle on the diagonal is solved for. The columns of
a tile are lanes of vectors, so all right-hand sides are done alike, and each element is computed in an order
that depends neither on how many there are nor on which thread solves for them.

The unknowns are eliminated from the first to the last. A routine is given the distances from one row of the
triangle to the next and from one column to the next, which may be negative: so one routine solves with lower
and upper triangles, transposed or not.

The routines are a module of their own, compiled once for a CPU and kept on disk; programs only call them.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from . import cache as disk
from . import generation, jit
from .ir import Emitter, Value, constant, type_text
from .module import SEPARATOR, Function, Module
from .storage import BYTES

PREFIX = "pb_substitution_"  # of the routines' names in programs
EFFORT = 1  # of the code generator
MOST = 384  # unknowns for which `solve` is called at once
ELEMENTS = {"f": "float", "d": "double"}


class Tile(NamedTuple):
    """The shape of a tile, which fits into the CPU's registers together with a row of what is known.

    `rows` divides the number of columns, so that a block of rows ends where a tile's columns do.
    """

    bytes: int  # of a vector
    rows: int
    vectors: int

    def lanes(self, elem: str) -> int:
        return self.bytes // BYTES[elem]

    def columns(self, elem: str) -> int:
        return self.vectors * self.lanes(elem)


@cache
def tile() -> Tile | None:
    """The tile for this CPU; None if it may not multiply and add vectors in one instruction."""
    features = jit.host()[2].split(",")
    machine = platform.machine().lower()
    if machine in ("aarch64", "arm64"):
        return Tile(16, 4, 4)
    if machine not in ("x86_64", "amd64"):
        return None
    if "+avx512f" in features:
        return Tile(64, 8, 2)
    return Tile(32, 4, 3) if "+fma" in features and "+avx2" in features else None


def supported(dtype: np.dtype[Any]) -> bool:
    """Whether there are routines for a dtype."""
    return dtype.char in ELEMENTS and tile() is not None


class Routines:
    """The text of the routines for one element type."""

    def __init__(self, module: Module, letter: str, shape: Tile) -> None:
        self.module = module
        self.letter = letter
        self.elem = ELEMENTS[letter]
        self.rows = shape.rows
        self.vectors = shape.vectors
        self.lanes = shape.lanes(self.elem)
        self.columns = shape.columns(self.elem)
        self._panel()
        self._copy()
        self._turn()
        self._solve()
        self._cholesky()
        self._finish()

    # Instructions --------------------------------------------------------------------------------------

    def _begin(
        self, name: str, parameters: dict[str, str], result: str = "void", *, exported: bool = False
    ) -> tuple[Emitter, list[Value]]:
        """A new function, and its arguments."""
        texts = ", ".join([f"{kind} %{parameter}" for parameter, kind in parameters.items()])
        self._head = name, result, texts, exported
        return Emitter(self.module), [Value(f"%{p}", kind, 1, 0) for p, kind in parameters.items()]

    def _end(self, e: Emitter, result: str = "void") -> None:
        e.line(f"ret {result}")
        name, returned, parameters, exported = self._head
        self.module.add(Function(name, returned, parameters, f"entry:\n{e.text()}", exported))

    def _place(self, e: Emitter, base: Value, at: Value | int) -> Value:
        """The address of an element."""
        at = constant(at, "i64") if isinstance(at, int) else at
        if at.name == "0":
            return base
        level = max(base.level, at.level)
        return e.pure(f"getelementptr {self.elem}, ptr {base.name}, {at.typed}", "ptr", 1, level)

    def _load(self, e: Emitter, base: Value, at: Value | int = 0, lanes: int = 1) -> Value:
        kind, where = type_text(self.elem, lanes), self._place(e, base, at)
        return e.here(f"load {kind}, ptr {where.name}, align {BYTES[self.elem]}", self.elem, lanes)

    def _store(self, e: Emitter, value: Value, base: Value, at: Value | int = 0) -> None:
        where = self._place(e, base, at)
        e.line(f"store {value.typed}, ptr {where.name}, align {BYTES[self.elem]}")

    def _fill(
        self, e: Emitter, base: Value, start: Value, stop: Value, lanes: int, value: float = 0.0
    ) -> None:
        """A number from one element to another, in vectors of some lanes."""
        with e.whilst([start]) as loop:
            (at,) = loop.carried
            loop.test(e.icmp("slt", at, stop))
            self._store(e, constant(value, self.elem, lanes), base, at)
            loop.update([e.add(at, _integer(lanes))])

    # Routines ------------------------------------------------------------------------------------------

    def _panel(self) -> None:
        """Solve for the rows `known`, `known + 1`, ... of x (%width columns), given those before.

        %a is the triangle's row `known`; rows behind number `last` are not read. Without %reciprocals (of the
        diagonal from row `known` on), what is known is subtracted, and that is all.
        """
        e, (width, a, row, column, last, known, reciprocals, x, pitch) = self._begin(
            f"panel.{self.letter}",
            {"width": "i64", "a": "ptr", "row": "i64", "column": "i64", "last": "i64", "known": "i64",
             "reciprocals": "ptr", "x": "ptr", "pitch": "i64"},
        )  # fmt: skip
        lanes, rows = self.lanes, range(self.rows)
        goal = self._place(e, x, e.mul(known, pitch))
        sources, goals = [a], [goal]
        for r in rows[1:]:
            number = e.call("llvm.smin", "i64", last, _integer(r))
            sources.append(self._place(e, a, e.mul(number, row)))
            goals.append(self._place(e, goals[-1], pitch))

        def update(vectors: int, start: Value) -> None:
            targets = [self._place(e, goals[r], start) for r in rows]
            acc = [self._load(e, targets[r], v * lanes, lanes) for r in rows for v in range(vectors)]
            with e.whilst([ZERO, ZERO, self._place(e, x, start), *acc]) as loop:
                k, at, above, *acc = loop.carried
                loop.test(e.icmp("slt", k, known))
                others = [e.fneg(self._load(e, above, v * lanes, lanes)) for v in range(vectors)]
                for r in rows:
                    factor = e.splat(self._load(e, sources[r], at), lanes)
                    for v in range(vectors):
                        acc[r * vectors + v] = e.fma(factor, others[v], acc[r * vectors + v])
                loop.update([e.add(k, ONE), e.add(at, column), self._place(e, above, pitch), *acc])
            for number, value in enumerate(loop.results[3:]):
                self._store(e, value, targets[number // vectors], number % vectors * lanes)

        def whole() -> list[Value]:
            update(self.vectors, ZERO)
            return []

        def vector_by_vector() -> list[Value]:
            with e.loop(ZERO, width, lanes) as loop:
                update(1, loop.index)
            return []

        e.branch(e.icmp("sge", width, _integer(self.columns)), [whole, vector_by_vector])
        solving, done = e.fresh("solve"), e.fresh("done")
        some = e.here(f"icmp ne ptr {reciprocals.name}, null", "i1", 1)
        e.line(f"br i1 {some.name}, label %{solving}, label %{done}")
        e.label(solving)
        first = e.mul(known, column)
        with e.loop(ZERO, e.call("llvm.smin", "i64", width, _integer(self.columns)), lanes) as loop:
            lines = [self._load(e, goals[r], loop.index, lanes) for r in rows]
            for c in rows:
                lines[c] = e.fmul(lines[c], e.splat(self._load(e, reciprocals, c), lanes))
                self._store(e, lines[c], goals[c], loop.index)
                # Rows behind the last are garbage, and so may their columns be; they are not there to read.
                number = e.call("llvm.smin", "i64", last, _integer(c)) if c else ZERO
                at = e.add(first, e.mul(column, number)) if c else first
                less = e.fneg(lines[c])
                for r in rows[c + 1 :]:
                    factor = e.splat(self._load(e, sources[r], at), lanes)
                    lines[r] = e.fma(factor, less, lines[r])
        e.line(f"br label %{done}")
        e.label(done)
        self._end(e)

    def _call(self, e: Emitter, name: str, *arguments: Value) -> None:
        e.line(f"call void @{name}({', '.join([v.typed for v in arguments])})")

    def _copy(self) -> None:
        """Copy %rows rows of %width elements."""
        e, (rows, width, source, step, goal, pitch) = self._begin(
            f"copy.{self.letter}",
            {"rows": "i64", "width": "i64", "source": "ptr", "step": "i64", "goal": "ptr", "pitch": "i64"},
        )
        full = e.and_(width, _integer(-self.lanes))
        with e.loop(ZERO, rows) as loop:
            here = self._place(e, source, e.mul(loop.index, step))
            there = self._place(e, goal, e.mul(loop.index, pitch))
            done = ZERO
            for stop, lanes in ((full, self.lanes), (width, 1)):
                with e.whilst([done]) as columns:
                    (at,) = columns.carried
                    columns.test(e.icmp("slt", at, stop))
                    self._store(e, self._load(e, here, at, lanes), there, at)
                    columns.update([e.add(at, _integer(lanes))])
                (done,) = columns.results
        self._end(e)

    def _turn(self) -> None:
        """Copy a matrix with rows and columns exchanged: %rows rows of %width elements are written."""
        e, (rows, width, source, step, goal, pitch) = self._begin(
            f"{PREFIX}turn_{self.letter}",
            {"rows": "i64", "width": "i64", "source": "ptr", "step": "i64", "goal": "ptr", "pitch": "i64"},
            exported=True,
        )
        size = min(self.lanes, 8)
        down, across = e.and_(rows, _integer(-size)), e.and_(width, _integer(-size))
        with e.whilst([ZERO]) as outer:
            (i,) = outer.carried
            outer.test(e.icmp("slt", i, down))
            with e.whilst([ZERO]) as inner:
                (j,) = inner.carried
                inner.test(e.icmp("slt", j, across))
                here = self._place(e, self._place(e, source, e.mul(j, step)), i)
                there = self._place(e, self._place(e, goal, e.mul(i, pitch)), j)
                lines = []
                for _ in range(size):
                    lines.append(self._load(e, here, 0, size))
                    here = self._place(e, here, step)
                for line in _exchanged(e, lines):
                    self._store(e, line, there)
                    there = self._place(e, there, pitch)
                inner.update([e.add(j, _integer(size))])
            outer.update([e.add(i, _integer(size))])
        with e.loop(ZERO, rows) as loop:
            i = loop.index
            there = self._place(e, goal, e.mul(i, pitch))
            with e.whilst([e.select(e.icmp("slt", i, down), across, ZERO)]) as inner:
                (j,) = inner.carried
                inner.test(e.icmp("slt", j, width))
                here = self._place(e, self._place(e, source, e.mul(j, step)), i)
                self._store(e, self._load(e, here), there, j)
                inner.update([e.add(j, ONE)])
        self._end(e)

    def _solve(self) -> None:
        """Solve for x in place: %m right-hand sides for up to MOST unknowns.

        %down is the distance from one unknown to the next, %across that from one right-hand side to the
        next; either is 1, or %down is -1. The right-hand sides of a tile are copied: so they lie close
        together and fill their vectors.
        """
        e, (n, m, a, row, column, unit, x, down, across) = self._begin(
            f"{PREFIX}solve_{self.letter}",
            {"n": "i64", "m": "i64", "a": "ptr", "row": "i64", "column": "i64", "unit": "i1", "x": "ptr",
             "down": "i64", "across": "i64"},
            exported=True,
        )  # fmt: skip
        most = -(-MOST // self.rows) * self.rows
        reciprocals, packed = e.stack(self.elem, most), e.stack(self.elem, most * self.columns)
        one = constant(1.0, self.elem)
        diagonal = e.add(row, column)
        with e.loop(ZERO, n) as loop:
            value = self._load(e, a, e.mul(loop.index, diagonal))
            self._store(e, e.select(unit, one, e.fdiv(one, value)), reciprocals, loop.index)
        whole, behind = self._up(e, n, self.rows), e.sub(n, ONE)
        straight, up = e.icmp("eq", across, ONE), e.icmp("slt", down, ZERO)
        with e.loop(ZERO, m, self.columns) as strips:
            width = e.call("llvm.smin", "i64", e.sub(m, strips.index), _integer(self.columns))
            source = self._place(e, x, e.mul(strips.index, across))
            pitch = self._up(e, width, self.lanes)
            # In the order of memory, for what is turned.
            lowest = self._place(e, source, e.select(up, e.sub(ZERO, behind), ZERO))
            first = self._place(e, packed, e.select(up, e.mul(behind, pitch), ZERO))
            step = e.select(up, e.sub(ZERO, pitch), pitch)

            def copied(name: str, *arguments: Value) -> Callable[[], list[Value]]:
                def call() -> list[Value]:
                    self._call(e, name, *arguments)
                    return []

                return call

            copy, turn = f"copy.{self.letter}", f"{PREFIX}turn_{self.letter}"
            self._fill(e, packed, ZERO, e.mul(whole, pitch), self.lanes)
            e.branch(
                straight,
                [
                    copied(copy, n, width, source, down, packed, pitch),
                    copied(turn, n, width, lowest, across, first, step),
                ],
            )
            with e.loop(ZERO, n, self.rows) as panels:
                known = panels.index
                last = e.sub(e.sub(n, known), ONE)
                self._call(
                    e, f"panel.{self.letter}", width, self._place(e, a, e.mul(known, row)), row, column, last,
                    known, self._place(e, reciprocals, known), packed, pitch,
                )  # fmt: skip
            e.branch(
                straight,
                [
                    copied(copy, n, width, packed, pitch, source, down),
                    copied(turn, width, n, first, step, lowest, across),
                ],
            )
        self._end(e)

    def _up(self, e: Emitter, number: Value, size: int) -> Value:
        """The number rounded up to a multiple of a power of two."""
        return e.and_(e.add(number, _integer(size - 1)), _integer(-size))

    def _cholesky(self) -> None:
        """The upper triangular factor of a matrix in place, A = U^T U; returns whether there is none.

        Of the lower triangle nothing is read, and some becomes garbage: see `finish`. Up to whole tiles and
        vectors, the matrix is filled up as the identity.
        """
        e, (given, u, pitch) = self._begin(
            f"{PREFIX}cholesky_{self.letter}", {"n": "i64", "u": "ptr", "pitch": "i64"}, "i1", exported=True
        )
        size, block = self.rows, self.columns
        n, width = self._up(e, given, size), self._up(e, given, max(size, self.lanes))
        with e.loop(ZERO, n) as loop:
            line = self._place(e, u, e.mul(loop.index, pitch))
            behind = e.icmp("sge", loop.index, given)
            self._fill(e, line, e.select(behind, ZERO, given), width, 1)

            def set_diagonal() -> list[Value]:
                self._store(e, constant(1.0, self.elem), line, loop.index)
                return []

            e.branch(behind, [set_diagonal, list])
        reciprocals = e.stack(self.elem, block)
        last = _integer(size - 1)
        panel, nothing = f"panel.{self.letter}", Value("null", "ptr", 1, 0)
        with e.loop(ZERO, n, block) as blocks:
            top = blocks.index
            bottom = e.call("llvm.smin", "i64", e.add(top, _integer(block)), n)
            # The columns from the diagonal on ...
            wide = e.sub(width, top)
            strip = self._place(e, u, top)
            end = e.call("llvm.smin", "i64", wide, _integer(block))
            with e.loop(top, bottom, size) as panels:
                first = panels.index
                self._call(
                    e, panel, wide, self._place(e, u, first), ONE, pitch, last, first, nothing, strip, pitch
                )
                before = e.sub(first, top)
                with e.loop(ZERO, _integer(size)) as rows:
                    at = e.add(before, rows.index)
                    line = self._place(e, strip, e.mul(e.add(first, rows.index), pitch))
                    square = self._load(e, line, at)
                    # As in LAPACK: a NaN spreads, what is not positive fails.
                    following = e.fresh("go")
                    positive = e.fcmp("ugt", square, constant(0.0, self.elem))
                    e.line(f"br i1 {positive.name}, label %{following}, label %failed")
                    e.label(following)
                    root = e.sqrt(square)
                    reciprocal = e.fdiv(constant(1.0, self.elem), root)
                    self._store(e, reciprocal, reciprocals, at)
                    with e.loop(ZERO, end, self.lanes) as columns:
                        value = self._load(e, line, columns.index, self.lanes)
                        scaled = e.fmul(value, e.splat(reciprocal, self.lanes))
                        self._store(e, scaled, line, columns.index)
                    with e.whilst([e.add(rows.index, ONE)]) as others:
                        (other,) = others.carried
                        others.test(e.icmp("slt", other, _integer(size)))
                        goal = self._place(e, strip, e.mul(e.add(first, other), pitch))
                        factor = e.splat(e.fneg(self._load(e, line, e.add(before, other))), self.lanes)
                        with e.loop(ZERO, end, self.lanes) as columns:
                            known = self._load(e, line, columns.index, self.lanes)
                            value = self._load(e, goal, columns.index, self.lanes)
                            self._store(e, e.fma(factor, known, value), goal, columns.index)
                        others.update([e.add(other, ONE)])
                    self._store(e, root, line, at)
            # ... and all others.
            with e.whilst([e.add(top, _integer(block))]) as strips:
                (start,) = strips.carried
                strips.test(e.icmp("slt", start, width))
                wide = e.sub(width, start)
                strip = self._place(e, u, start)
                with e.loop(top, bottom, size) as panels:
                    first = panels.index
                    self._call(
                        e, panel, wide, self._place(e, u, first), ONE, pitch, last, first,
                        self._place(e, reciprocals, e.sub(first, top)), strip, pitch,
                    )  # fmt: skip
                strips.update([e.add(start, _integer(block))])
        e.line("ret i1 false")
        e.label("failed")
        self._end(e, "i1 true")

    def _finish(self) -> None:
        """Zeros below the diagonal, and NaNs everywhere else if there is no factor."""
        e, (n, u, pitch, failed) = self._begin(
            f"{PREFIX}finish_{self.letter}",
            {"n": "i64", "u": "ptr", "pitch": "i64", "failed": "i1"},
            exported=True,
        )
        with e.loop(ZERO, n) as loop:
            line = self._place(e, u, e.mul(loop.index, pitch))
            whole = e.and_(loop.index, _integer(-self.lanes))
            self._fill(e, line, ZERO, whole, self.lanes)
            self._fill(e, line, whole, loop.index, 1)
            self._fill(e, line, loop.index, e.select(failed, n, ZERO), 1, np.nan)
        self._end(e)


def _integer(value: int) -> Value:
    return constant(value, "i64")


ZERO, ONE = _integer(0), _integer(1)


def _exchanged(e: Emitter, lines: list[Value]) -> list[Value]:
    """The columns of a square matrix as vectors, from its rows."""
    size = len(lines)
    distance = size // 2
    while distance:
        low = [
            (k // distance % 2) * size + k % distance + k // (2 * distance) * 2 * distance
            for k in range(size)
        ]
        high = [k + distance for k in low]
        for r in range(size):
            if not r & distance:
                x, y = lines[r], lines[r + distance]
                lines[r], lines[r + distance] = e.mix(x, y, low), e.mix(x, y, high)
        distance //= 2
    return lines


def text(letter: str, shape: Tile) -> str:
    """The module with the routines for an element type."""
    module = Module()
    Routines(module, letter, shape)
    return module.text()


ROUTINES = ("solve", "cholesky", "finish", "turn")


def columns(dtype: np.dtype[Any]) -> int:
    """The columns of a tile."""
    shape = tile()
    assert shape is not None
    return shape.columns(ELEMENTS[dtype.char])


def padded(n: int, dtype: np.dtype[Any]) -> tuple[int, int]:
    """The rows that `cholesky` needs for a matrix of n, and their distance.

    They have room for whole tiles and vectors, and do not share a few places in the cache.
    """
    shape = tile()
    assert shape is not None
    unit = max(shape.lanes(ELEMENTS[dtype.char]), shape.rows)
    pitch = -(-n // unit) * unit
    if pitch * dtype.itemsize % 512 == 0:
        pitch += unit
    return -(-n // shape.rows) * shape.rows, pitch


# Calls ----------------------------------------------------------------------------------------------------


def _number(value: int | Value) -> Value:
    return value if isinstance(value, Value) else _integer(value)


def solve(
    e: Emitter, dtype: np.dtype[Any], n: int, m: int | Value, a: tuple[Value, int, int], unit: bool,
    x: tuple[Value, int, int],
) -> None:  # fmt: skip
    """Solve A X = B in place for up to MOST unknowns, with the lower triangle A.

    a: the address of its first element, the distances from row to row and from column to column. x: likewise
    for the right-hand sides, which are its m columns; their columns or rows lie one after the other.
    """
    arguments = [
        _number(n), _number(m), e.local(a[0]), _number(a[1]), _number(a[2]), constant(unit, "i1"),
        e.local(x[0]), _number(x[1]), _number(x[2]),
    ]  # fmt: skip
    _call(e, f"{PREFIX}solve_{dtype.char}", arguments)


def turn(
    e: Emitter, dtype: np.dtype[Any], rows: int, width: int, x: tuple[Value, int], out: tuple[Value, int]
) -> None:
    """Write the transpose of a matrix: `rows` rows of `width` elements; addresses and distances of rows."""
    arguments = [
        _number(rows), _number(width), e.local(x[0]), _number(x[1]), e.local(out[0]), _number(out[1]),
    ]  # fmt: skip
    _call(e, f"{PREFIX}turn_{dtype.char}", arguments)


def _call(e: Emitter, name: str, arguments: Sequence[Value]) -> None:
    _declare(e, name, "void", arguments)
    e.line(f"call void @{name}({', '.join([v.typed for v in arguments])})")


def _declare(e: Emitter, name: str, result: str, arguments: Sequence[Value]) -> None:
    e.module.declare(name, result, [v.elem for v in arguments])
    if e.module.ahead:
        _begin(name[-1])


def cholesky(e: Emitter, dtype: np.dtype[Any], n: int, u: Value, pitch: int) -> Value:
    """The upper triangular factor of the matrix at u in place; whether there is none (i1).

    Its memory is to have room for the rows that `padded` tells, unless n is a multiple of 16. What is below
    the diagonal afterwards is garbage.
    """
    arguments = [_number(n), e.local(u), _number(pitch)]
    name = f"{PREFIX}cholesky_{dtype.char}"
    _declare(e, name, "i1", arguments)
    return e.here(f"call i1 @{name}({', '.join([v.typed for v in arguments])})", "i1", 1)


def finish(e: Emitter, dtype: np.dtype[Any], n: int, u: Value, pitch: int, failed: Value) -> None:
    """Clear what is below the diagonal of factors; NaNs everywhere else if `failed` (i1)."""
    arguments = [_number(n), e.local(u), _number(pitch), e.local(failed)]
    _call(e, f"{PREFIX}finish_{dtype.char}", arguments)


# Linking --------------------------------------------------------------------------------------------------


_streams: dict[str, generation.Stream] = {}  # of routines that are being compiled, or were


def _begin(letter: str) -> None:
    """Have the routines for an element type compiled, of which a program that is being lowered needs some."""
    if letter not in _streams:
        stream = _streams[letter] = generation.Stream(EFFORT)
        module = _module(letter)
        if not disk.knows(module, EFFORT):
            stream.add(*module.split(SEPARATOR))


@cache
def _module(letter: str) -> str:
    shape = tile()
    assert shape is not None
    return text(letter, shape)


@cache
def _linked(letter: str) -> dict[str, int]:
    """The routines for an element type, by name."""
    _begin(letter)
    names = tuple([f"{PREFIX}{name}_{letter}" for name in ROUTINES])
    code = disk.compiled(_module(letter), opt=EFFORT, stream=_streams[letter])
    linked = jit.keep_forever(jit.link(code, {}, names))
    return {name: linked.address(name) for name in names}


def symbols(names: Iterable[str]) -> dict[str, int]:
    """The addresses of those of the names that programs know the routines by."""
    found = {}
    for name in names:
        if name.startswith(PREFIX):
            with jit.lock:
                found[name] = _linked(name[-1])[name]
    return found


__all__ = [
    "MOST", "PREFIX", "ROUTINES", "Tile", "cholesky", "columns", "finish", "padded", "solve", "supported",
    "symbols", "text", "tile", "turn",
]  # fmt: skip
