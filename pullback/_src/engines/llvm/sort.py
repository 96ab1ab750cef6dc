"""Lowerings of `sort` and `top_k`.

Elements become unsigned integers of the same order, which are sorted row by row (see `radix`), alone or with
the numbers of the elements they stand for. Several keys are sorted by from the last to the first. Large
arrays of common types that are sorted alone are left to routines of the runtime (`sorting_ir.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ...core.program import Equation
from . import sorting_ir
from .index import ZERO, Index
from .ir import Emitter, Value, constant, leave_unless
from .lower import HEAVY, Lowering, lowering
from .math.base import is_any
from .nodes import Accesses, Node, View, variables
from .parallel import chunks_for, parallel_for, poll_in
from .radix import sort_row
from .shared_sort import LEAST, counts_bytes, parts_of, sort_shared
from .storage import Content, Element, components, load, storage_of, store

Out = Sequence[View | None]

LANES = 16
MOST = 8  # rows that are sorted at the same time
COST = 12.0  # ns of an element
SELECTED = 32  # greatest elements that are found without sorting
UINT8, UINT32 = np.dtype(np.uint8), np.dtype(np.uint32)
WORDS = {32: np.dtype(np.uint32), 64: np.dtype(np.uint64)}


def width(dtype: np.dtype) -> int:
    """The bits of an element's key."""
    part = dtype.itemsize // 2 if dtype.kind == "c" else dtype.itemsize
    return 64 if part == 8 else 32


def ordered(e: Emitter, x: Value, dtype: np.dtype, signed_zeros: bool) -> Value:
    """An integer, unsigned, in the order of the elements; NaN is the largest.

    signed_zeros: whether -0.0 is less than 0.0; otherwise they are equal.
    """
    if x.elem in ("float", "double"):
        integer = "i32" if x.elem == "float" else "i64"
        bits = 32 if x.elem == "float" else 64
        if not signed_zeros:
            x = e.binary("fadd", x, e.const(0.0, x))
        word = e.bitcast(x, integer)
        negative = e.ashr(word, e.const(bits - 1, word))
        key = e.xor(word, e.or_(negative, e.const(1 << (bits - 1), word)))
        return e.select(e.isnan(x), e.const(-1, key), key)
    bits = width(dtype)
    signed = dtype.kind == "i"
    if x.elem != f"i{bits}":
        x = e.convert("sext" if signed else "zext", x, f"i{bits}")
    return e.xor(x, e.const(1 << (bits - 1), x)) if signed else x


def element_of_key(e: Emitter, key: Value, dtype: np.dtype) -> Value:
    """The element that a key (with signed zeros) stands for, as it is held in a register."""
    register = storage_of(dtype).register
    bits = int(key.elem[1:])
    if register in ("float", "double"):
        negative = e.xor(e.ashr(key, e.const(bits - 1, key)), e.const(-1, key))
        return e.bitcast(e.xor(key, e.or_(negative, e.const(1 << (bits - 1), key))), register)
    if dtype.kind == "i":
        key = e.xor(key, e.const(1 << (bits - 1), key))
    if register == key.elem:
        return key
    return e.convert("trunc", key, register)


class Row:
    """One row of an array in the making: the loops over its elements."""

    def __init__(self, e: Emitter, at: Sequence[Index], axis: int, length: int) -> None:
        self.e, self.at, self.axis, self.length = e, list(at), axis, length

    def element(self, node: Node, index: Index) -> Element:
        at = list(self.at)
        at[self.axis] = index
        return node.element(self.e, tuple(at))

    def each(self, body: Callable[[Index, int], None], lanes: int = LANES) -> None:
        """`body(index, lanes)` for all of the row."""
        whole, rest = self.length // lanes * lanes, self.length % lanes
        if whole:
            with self.e.loop(constant(0, "i64"), constant(whole, "i64"), lanes) as loop:
                poll_in(self.e, loop.index, whole, 1, lanes)
                body(Index.of_lanes(range(lanes)) + Index.along(loop.index, 0, whole - 1), lanes)
        if rest:
            body(Index.of_lanes(range(rest)) + whole, rest)

    def set(self, view: View, index: Index, element: Element, lanes: int) -> None:
        at = list(self.at)
        at[self.axis] = index
        store(self.e, view.address(self.e), view.where(tuple(at)), view.storage, element, lanes)


class Work:
    """Memory for one row: keys, and perhaps the numbers of the elements, twice.

    Numbers stand in the low half of 64-bit words whose high half is the key, or for wide keys beside them.
    """

    def __init__(self, e: Emitter, base: Value, bits: int, length: int, numbered: bool) -> None:
        self.e, self.bits, self.length, self.numbered = e, bits, length, numbered
        self.packed = numbered and bits == 32
        self.words = storage_of(WORDS[64 if self.packed else bits])
        self.kinds = storage_of(UINT32)
        part = self.part(bits, length, numbered)
        self.keys, self.spare, self.numbers, self.spare_numbers = [
            e.here(f"getelementptr i8, ptr {base.name}, i64 {k * part}", "ptr", 1) for k in range(4)
        ]

    @staticmethod
    def part(bits: int, length: int, numbered: bool) -> int:
        return -(-length * (64 if numbered else bits) // 512) * 64 + 64

    @staticmethod
    def bytes(bits: int, length: int, numbered: bool) -> int:
        return Work.part(bits, length, numbered) * (4 if numbered and bits == 64 else 2)

    def put(self, index: Index, key: Value, number: Value | None, lanes: int) -> None:
        """Set the key (and the number, i32) of an element."""
        e = self.e
        if self.packed:
            assert number is not None
            wide = e.convert("zext", key, "i64")
            high = e.shl(wide, e.const(32, wide))
            store(
                e,
                self.keys,
                index,
                self.words,
                e.or_(*e.match(high, e.convert("zext", number, "i64"))),
                lanes,
            )
            return
        store(e, self.keys, index, self.words, key, lanes)
        if number is not None:
            store(e, self.numbers, index, self.kinds, number, lanes)

    def number(self, numbers: Value, index: Index) -> Value:
        """The number at a place, as i64."""
        e = self.e
        found = load(e, Content.now(e, numbers, self.kinds), index * 2 if self.packed else index)
        assert isinstance(found, Value)
        return e.convert("zext", found, "i64")

    def sort(self, counts: Value | None = None) -> tuple[Value, Value]:
        """Sort; the addresses of the keys and of the numbers.

        counts: memory for the counts of several threads that share the work (`sort_shared`).
        """
        e = self.e
        if counts is not None:
            keys = self.keys, self.spare
            if self.packed:
                address, _ = sort_shared(e, 64, self.length, 32, counts, keys)
                return address, address
            both = self.numbers, self.spare_numbers
            address, numbers = sort_shared(e, 64, self.length, 0, counts, keys, both)
            assert numbers is not None
            return address, numbers
        if self.numbered and not self.packed:
            both = (self.numbers, self.spare_numbers)
            moved = sort_row(e, 64, self.length, self.keys, self.spare, both)
            return e.select(moved, self.spare, self.keys), e.select(moved, *reversed(both))
        if self.packed:
            moved = sort_row(e, 64, self.length, self.keys, self.spare, first=32)
        else:
            moved = sort_row(e, self.bits, self.length, self.keys, self.spare)
        address = e.select(moved, self.spare, self.keys)
        return address, address


def rows(
    lw: Lowering,
    shape: Sequence[int],
    axis: int,
    bits: int,
    numbered: bool,
    body: Callable[[Row, Work], None],
) -> None:
    """Run `body` for each row along an axis, several at a time if there is much to do."""
    main = lw.e
    length = shape[axis]
    others = [d for d, n in enumerate(shape) if d != axis and n > 1]
    count = math.prod(shape[d] for d in others)
    cost = COST * math.prod(shape)
    main.module.work += main.module.turns * cost
    chunks = 1 if main.outlined else min(chunks_for(cost, count), MOST)
    chunks = -(-count // -(-count // chunks))
    size = Work.bytes(bits, length, numbered)
    memory = lw.result(Node((chunks * size,), UINT8))
    base = lw.address(memory)

    def some(e: Emitter, dims: Sequence[int], at: list[Index], place: Value) -> None:
        if not dims:
            body(Row(e, at, axis, length), Work(e, place, bits, length, numbered))
            return
        n = shape[dims[0]]
        with e.loop(constant(0, "i64"), constant(n, "i64")) as loop:
            poll_in(e, loop.index, n, length * math.prod(shape[d] for d in dims[1:]))
            at[dims[0]] = Index.along(loop.index, 0, n - 1)
            some(e, dims[1:], at, place)

    if chunks == 1:
        some(main, others, [ZERO] * len(shape), base)
        return

    def part(e: Emitter, start: Value, stop: Value, chunk: Value) -> None:
        place = e.here(
            f"getelementptr i8, ptr {e.local(base).name}, i64 {e.mul(chunk, constant(size, 'i64')).name}",
            "ptr",
            1,
        )
        with e.loop(start, stop) as loop:
            poll_in(e, loop.index, count, length)
            at = [ZERO] * len(shape)
            rest = loop.index
            for d in reversed(others):
                n = constant(shape[d], "i64")
                digit = e.binary("urem", rest, n) if d != others[0] else rest
                at[d] = Index.along(digit, 0, shape[d] - 1)
                rest = e.binary("udiv", rest, n)
            some(e, [], at, place)

    parallel_for(main, count, chunks, part)


def readable(lw: Lowering, node: Node) -> Node:
    """A node whose elements may be computed several times, in any order."""
    found = Accesses()
    node.visit(variables(node.shape), found)
    return lw.memory(node) if found.cost > HEAVY else node


@lowering("sort")
def sort(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    axis, count = eqn.params["dimension"], eqn.params["num_keys"]
    first = operands[0]
    if not all(x.storage.computable for x in operands) or any(x.dtype.names for x in operands[:count]):
        return None
    if not first.size or first.shape[axis] >= 2**31:
        return None
    one_row = first.size == first.shape[axis] and not lw.e.outlined
    if len(operands) == 1 and not lw.e.outlined and (name := sorting_ir.routine(first.dtype)) is not None:
        length, last_axis = first.shape[axis], axis == len(first.shape) - 1
        if one_row and length >= sorting_ir.LEAST:
            return [_by_routine(lw, name, first, 1, out[0])]
        several = length >= sorting_ir.LEAST_ROW and first.size >= sorting_ir.LEAST_ROWS
        if last_axis and several and not one_row:
            return [_by_routine(lw, name, first, first.size // length, out[0])]
    bits = max(width(x.dtype) for x in operands[:count])
    results = [lw.result(v.aval, w) for v, w in zip(eqn.outvars, out, strict=True)]
    operands = [readable(lw, x) for x in operands]
    lw.settle(*operands)
    lw.flush()
    for view in results:
        lw.place(view.buffer)
    if len(operands) == 1 and first.dtype.kind != "c":
        rows(lw, first.shape, axis, bits, False, lambda row, work: _alone(row, work, operands[0], results[0]))
    else:
        keys = [(x, c) for x in operands[:count] for c in range(2 if x.dtype.kind == "c" else 1)]
        if one_row and first.size >= LEAST:
            _shared(lw, axis, bits, operands, keys, results)
            return list(results)
        rows(
            lw, first.shape, axis, bits, True, lambda row, work: _together(row, work, operands, keys, results)
        )
    return list(results)


def _by_routine(lw: Lowering, name: str, x: Node, rows: int, where: View | None) -> View:
    """A long array, or one of so many rows, sorted by one of the runtime's routines."""
    e, (_, source) = lw.e, lw.pointer(x)
    result = lw.result(x, where if where is not None and where.contiguous else None)
    length = x.size // rows
    work = lw.result(Node((sorting_ir.work_bytes(length, rows, x.dtype.itemsize),), UINT8))
    places = [source, lw.address(result), lw.address(work)]
    lw.module.elsewhere += lw.module.turns * COST * x.size
    sizes = [length] if rows == 1 else [length, rows]
    name = f"pb_sort_{name}" if rows == 1 else f"pb_sort_rows_{name}"
    lw.module.declare(name, "i32", ["ptr"] * 3 + ["i64"] * len(sizes))
    given = ", ".join([f"ptr {place.name}" for place in places] + [f"i64 {size}" for size in sizes])
    status = e.here(f"call i32 @{name}({given})", "i32", 1)
    leave_unless(e, e.icmp("eq", status, constant(0, "i32")), "interrupted")
    return result


def _alone(row: Row, work: Work, x: Node, result: View) -> None:
    """A row of one array: its elements come back from the sorted keys."""
    e = row.e
    floating = x.storage.register in ("float", "double")
    minus = (1 << (work.bits - 1)) - 1  # the key of -0.0

    def make(index: Index, lanes: int) -> None:
        key = ordered(e, components(row.element(x, index))[0], x.dtype, True)
        store(e, work.keys, index, work.words, key, lanes)

    row.each(make)
    keys, _ = work.sort()

    def give(index: Index, lanes: int) -> None:
        key = load(e, Content.now(e, keys, work.words), index)
        assert isinstance(key, Value)
        row.set(result, index, element_of_key(e, key, x.dtype), lanes)

    row.each(give)
    if not floating:
        return
    # Zeros of both signs are equal: they keep their order. Their place is found by bisection.
    low = _first_at_least(row, work, keys, minus)
    end = _first_at_least(row, work, keys, minus + 2)
    at = e.call("llvm.umin", "i64", low, constant(row.length - 1, "i64"))
    key = load(e, Content.now(e, keys, work.words), Index.along(at, 0, row.length - 1))
    assert isinstance(key, Value)
    mixed = e.and_(e.icmp("ult", low, end), e.icmp("eq", key, e.const(minus, key)))

    def repair() -> Sequence[Value]:
        with e.loop(constant(0, "i64"), constant(row.length, "i64"), 1, [low]) as loop:
            poll_in(e, loop.index, row.length, 1)
            index = Index.along(loop.index, 0, row.length - 1)
            value = components(row.element(x, index))[0]
            (place,) = loop.carried
            zero = e.fcmp("oeq", value, e.const(0.0, value))

            def put() -> Sequence[Value]:
                # There are as many zeros as places; the bound is for memory that changes meanwhile.
                safe = e.call("llvm.umin", "i64", place, constant(row.length - 1, "i64"))
                row.set(result, Index.along(safe, 0, row.length - 1), value, 1)
                return [e.add(place, constant(1, "i64"))]

            loop.update(e.branch(zero, [put, lambda: [place]]))
        return []

    e.branch(mixed, [repair, list])


def _first_at_least(row: Row, work: Work, keys: Value, bound: int) -> Value:
    """The number of sorted keys below a bound."""
    e = row.e
    steps = row.length.bit_length()
    start, top = constant(0, "i64"), constant(1 << (steps - 1), "i64")
    with e.loop(constant(0, "i64"), constant(steps, "i64"), 1, [start, top]) as loop:
        found, step = loop.carried
        probe = e.add(found, step)
        inside = e.icmp("ule", probe, constant(row.length, "i64"))
        at = e.sub(e.call("llvm.umin", "i64", probe, constant(row.length, "i64")), constant(1, "i64"))
        key = load(e, Content.now(e, keys, work.words), Index.along(at, 0, row.length - 1))
        assert isinstance(key, Value)
        below = e.and_(inside, e.icmp("ult", key, e.const(bound, key)))
        loop.update([e.select(below, probe, found), e.lshr(step, constant(1, "i64"))])
    return loop.results[0]


def _together(
    row: Row, work: Work, operands: Sequence[Node], keys: Sequence[tuple[Node, int]], results: Sequence[View]
) -> None:
    """Rows of several arrays: the numbers of the elements are sorted."""
    e = row.e
    numbers: Value | None = None
    for x, part in reversed(keys):

        def key_of(index: Index, x: Node = x, part: int = part) -> Value:
            key = ordered(e, components(row.element(x, index))[part], x.dtype, False)
            return key if key.elem == f"i{work.bits}" else e.convert("zext", key, f"i{work.bits}")

        numbers = _sorted_by(row, work, key_of, numbers)
    assert numbers is not None
    permuted(row, work, numbers, list(zip(operands, results, strict=True)), row.length)


def _shared(
    lw: Lowering,
    axis: int,
    bits: int,
    operands: Sequence[Node],
    keys: Sequence[tuple[Node, int]],
    results: Sequence[View],
) -> None:
    """As `_together`, for one long row that several threads share."""
    main, shape = lw.e, operands[0].shape
    length = shape[axis]
    base = lw.address(lw.result(Node((Work.bytes(bits, length, True),), UINT8)))
    counts = lw.address(lw.result(Node((counts_bytes(length, 64),), UINT8)))

    def each(body: Callable[[Row, Work, Index, int], None], lanes: int) -> None:
        """`body` for all of the row, so many elements at a time."""
        whole, rest = divmod(length, lanes)

        def here(e: Emitter) -> tuple[Row, Work]:
            return Row(e, [ZERO] * len(shape), axis, length), Work(e, e.local(base), bits, length, True)

        def part(e: Emitter, start: Value, stop: Value, chunk: Value) -> None:
            row, work = here(e)
            step, at = constant(lanes, "i64"), Index.of_lanes(range(lanes))
            with e.loop(e.mul(start, step), e.mul(stop, step), lanes) as loop:
                body(row, work, at + Index.along(loop.index, 0, (whole - 1) * lanes), lanes)

        parallel_for(main, whole, parts_of(length), part)
        if rest:
            body(*here(main), Index.of_lanes(range(rest)) + whole * lanes, rest)

    def sorted_by(x: Node, component: int, before: Value | None) -> Value:
        """The address of the numbers in the order of a key, equal ones in the order before."""

        def make(row: Row, work: Work, index: Index, lanes: int) -> None:
            e = row.e
            number = index.value(e)
            if before is not None:
                number = work.number(e.local(before), index)
                index, place = Index.along(number, 0, length - 1), index
            else:
                place = index
            key = ordered(e, components(row.element(x, index))[component], x.dtype, False)
            key = key if key.elem == f"i{bits}" else e.convert("zext", key, f"i{bits}")
            work.put(place, key, e.convert("trunc", number, "i32"), lanes)

        each(make, LANES if before is None else 1)
        return Work(main, base, bits, length, True).sort(counts)[1]

    numbers: Value | None = None
    for x, component in reversed(keys):
        numbers = sorted_by(x, component, numbers)
    assert numbers is not None

    def give(row: Row, work: Work, index: Index, lanes: int) -> None:
        place = Index.along(work.number(row.e.local(numbers), index), 0, length - 1)
        for x, result in zip(operands, results, strict=True):
            row.set(result, index, row.element(x, place), lanes)

    each(give, 1)


def _sorted_by(row: Row, work: Work, key_of: Callable[[Index], Value], numbers: Value | None) -> Value:
    """Sort stably by a key, after the order that `numbers` say; the address of the new numbers."""
    e = row.e
    if numbers is None:

        def make(index: Index, lanes: int) -> None:
            work.put(index, key_of(index), e.convert("trunc", index.value(e), "i32"), lanes)

        row.each(make)
    else:
        given = numbers
        with e.loop(constant(0, "i64"), constant(row.length, "i64")) as loop:
            poll_in(e, loop.index, row.length, 1)
            index = Index.along(loop.index, 0, row.length - 1)
            number = work.number(given, index)
            key = key_of(Index.along(number, 0, row.length - 1))
            work.put(index, key, e.convert("trunc", number, "i32"), 1)
    return work.sort()[1]


def permuted(row: Row, work: Work, numbers: Value, pairs: Sequence[tuple[Node, View]], count: int) -> None:
    """Store the elements with the first `count` numbers."""
    e = row.e
    with e.loop(constant(0, "i64"), constant(count, "i64")) as loop:
        poll_in(e, loop.index, count, len(pairs))
        index = Index.along(loop.index, 0, count - 1)
        place = Index.along(work.number(numbers, index), 0, row.length - 1)
        for x, result in pairs:
            row.set(result, index, row.element(x, place), 1)


def _selected(row: Row, work: Work, key_of: Callable[[Index], Value], k: int) -> Value:
    """The numbers of the k least keys in order, the first of equal ones first; the address of the result.

    A list of k entries is kept in order. Few elements are less than its last entry, of most vectors none. If
    too many are (the elements are nearly in order), all are sorted.
    """
    e = row.e
    limit = row.length // 8 + 4 * k
    after = constant(-1, "i64")
    base, held, count = work.keys, e.stack("i64", LANES), e.stack("i64", 1)
    e.line(f"store i64 0, ptr {count.name}, align 8")

    def counted() -> Value:
        return e.here(f"load i64, ptr {count.name}, align 8", "i64", 1)

    def few() -> Value:
        return e.icmp("ult", counted(), constant(limit, "i64"))

    def entry(number: Value) -> tuple[Value, Value]:
        place = e.here(f"getelementptr i64, ptr {base.name}, i64 {number.name}", "ptr", 1)
        return place, e.here(f"load i64, ptr {place.name}, align 8", "i64", 1)

    for first in range(0, k, LANES):
        lanes = min(LANES, k - first)
        store(e, base, Index.of_lanes(range(lanes)) + first, work.words, e.splat(after, lanes), lanes)

    def insert(value: Value) -> None:
        """Move the larger entries on by one, beginning with the last, which is lost."""
        with e.whilst([constant(k - 1, "i64"), constant(True, "i1")]) as loop:
            place, _ = loop.carried
            # The first place has nothing before it; it stands for its own neighbour, which is not used.
            before = e.sub(place, e.convert("zext", e.icmp("ne", place, constant(0, "i64")), "i64"))
            _, old = entry(before)
            larger = e.and_(e.icmp("ne", place, constant(0, "i64")), e.icmp("ugt", old, value))
            loop.test(larger)
            to, _ = entry(place)
            e.line(f"store i64 {old.name}, ptr {to.name}, align 8")
            loop.update([e.sub(place, constant(1, "i64")), larger])
        to, _ = entry(loop.results[0])
        e.line(f"store i64 {value.name}, ptr {to.name}, align 8")

    def block(index: Index, lanes: int) -> None:
        keys = e.splat(key_of(index), lanes)
        _, last = entry(constant(k - 1, "i64"))
        bound = e.convert("trunc", e.lshr(last, constant(32, "i64")), "i32")
        # An equal key comes later: it is not less, but for the list's first content.
        some = is_any(e, e.icmp("ule", keys, e.splat(bound, lanes)))

        def take() -> Sequence[Value]:
            wide = e.shl(e.convert("zext", keys, "i64"), e.const(32, e.convert("zext", keys, "i64")))
            numbers = e.convert("trunc", index.value(e), "i32")
            entries = e.splat(e.or_(*e.match(wide, e.convert("zext", numbers, "i64"))), lanes)
            store(e, held, Index.of_lanes(range(lanes)), work.words, entries, lanes)
            with e.loop(constant(0, "i64"), constant(lanes, "i64")) as loop:
                lane = Index.along(loop.index, 0, lanes - 1)
                value = load(e, Content.now(e, held, work.words), lane)
                assert isinstance(value, Value)
                _, worst = entry(constant(k - 1, "i64"))

                def one() -> Sequence[Value]:
                    insert(value)
                    e.line(f"store {e.add(counted(), constant(1, 'i64')).typed}, ptr {count.name}, align 8")
                    return []

                e.branch(e.icmp("ult", value, worst), [one, list])
            return []

        e.branch(e.and_(some, few()), [take, list])

    row.each(block)
    return e.branch(few(), [lambda: [base], lambda: [_sorted_by(row, work, key_of, None)]])[0]


class Number(Node):
    """The index along the sorted axis."""

    __slots__ = ("axis",)

    def __init__(self, shape: tuple[int, ...], axis: int) -> None:
        super().__init__(shape, np.dtype(np.int32))
        self.axis = axis

    def compute(self, e: Emitter, at: Sequence[Index]) -> Element:
        return e.convert("trunc", at[self.axis].value(e), "i32")


@lowering("top_k")
def top_k(lw: Lowering, eqn: Equation, operands: Sequence[Node], out: Out) -> list[Node] | None:
    (x,) = operands
    k, axis = eqn.params["k"], eqn.params["axis"]
    if not x.storage.computable or x.storage.components != 1 or not x.size or x.shape[axis] >= 2**31:
        return None
    results = [lw.result(v.aval, w) for v, w in zip(eqn.outvars, out, strict=True)]
    if not k:
        return list(results)
    x = readable(lw, x)
    lw.settle(x)
    lw.flush()
    for view in results:
        lw.place(view.buffer)

    def body(row: Row, work: Work) -> None:
        def key_of(index: Index) -> Value:
            key = ordered(row.e, components(row.element(x, index))[0], x.dtype, True)
            return row.e.not_(key)

        if work.packed and k <= SELECTED and row.length >= 4 * k:
            numbers = _selected(row, work, key_of, k)
        else:
            numbers = _sorted_by(row, work, key_of, None)
        permuted(row, work, numbers, [(x, results[0]), (Number(x.shape, axis), results[1])], k)

    rows(lw, x.shape, axis, width(x.dtype), True, body)
    return list(results)


__all__ = ["element_of_key", "ordered", "readable", "sort", "top_k"]
