"""Sorting the numbers of one long row's elements with several threads: radix sort as in `radix`, each pass of
which is shared.

The row is cut into parts, whose number follows from its length alone. For each digit the parts count their
keys, sums say where each digit's keys of each part begin, and the parts move their keys there: stable, so the
result is that of sorting the row at once, whatever threads do the work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .ir import Emitter, Value, constant
from .parallel import parallel_for
from .sorting_ir import FAR_DIGIT, MOST, NEAR, NEAR_DIGIT, SUMS

LEAST = 1 << 16  # elements of a row that is worth sharing
PART = 1 << 15  # elements of a part, at least

Body = Callable[[Emitter, Value, Value, Value], None]


def parts_of(length: int) -> int:
    """Into how many parts a row is cut."""
    return min(MOST, length // PART)


def digit_of(length: int, bits: int) -> int:
    """The bits of a digit: few where its values' places are far apart."""
    return NEAR_DIGIT if length * bits // 8 <= NEAR else FAR_DIGIT


def counts_bytes(length: int, bits: int) -> int:
    """The memory for the parts' counts."""
    return (4 << digit_of(length, bits)) * parts_of(length)


def sort_shared(
    e: Emitter,
    bits: int,
    length: int,
    first: int,
    counts: Value,
    keys: Sequence[Value],
    numbers: Sequence[Value] = (),
) -> tuple[Value, Value | None]:
    """Sort keys of so many bits by those from `first` on; the addresses of the keys and of the numbers then.

    Args:
        counts: the address of `counts_bytes(length, bits)` bytes.
        keys: the addresses of the keys and of memory for as many more.
        numbers: likewise, of 32-bit numbers that move along.
    """
    digit = digit_of(length, bits)
    names = _declared(e, bits, bool(numbers), digit)
    parts = parts_of(length)
    state = [*keys, *numbers]
    for shift in range(first, bits, digit):

        def each(function: str, pointers: Sequence[Value], shift: int = shift) -> int:
            def body(inner: Emitter, start: Value, stop: Value, chunk: Value) -> None:
                own = inner.mul(chunk, constant(4 << digit, "i64"))
                base = inner.local(counts)
                place = inner.here(f"getelementptr i8, ptr {base.name}, i64 {own.name}", "ptr", 1)
                given = [*[inner.local(p) for p in pointers], place, start, stop]
                inner.line(f"call void @{function}({', '.join(v.typed for v in given)}, i{bits} {shift})")

            return parallel_for(e, length, parts, body)

        used = each(names["count"], state[:1])
        alike = e.here(
            f"call i1 @{SUMS}({counts.typed}, i64 {used}, i64 {1 << digit}, i64 {length})", "i1", 1
        )

        def move(state: list[Value] = state, each: Callable[..., int] = each) -> Sequence[Value]:
            each(names["move"], state)
            return [v for k in range(0, len(state), 2) for v in (state[k + 1], state[k])]

        # A digit that all keys have in common changes nothing.
        state = e.branch(alike, [lambda state=state: state, move])  # type: ignore[misc]
    return state[0], state[2] if numbers else None


def _declared(e: Emitter, bits: int, numbered: bool, digit: int) -> dict[str, str]:
    """The names of the functions for one part, which the module gets."""
    names = {
        "count": f"pb_radix_count_{bits}_{digit}",
        "move": f"pb_radix_move_{bits}_{digit}{'_numbered' if numbered else ''}",
    }
    texts = {"count": _count(bits, digit), "move": _move(bits, numbered, digit)}
    for kind, name in names.items():
        e.module.declarations.setdefault(name, texts[kind].replace("@name", f"@{name}"))
    e.module.declare("llvm.memset.p0.i64", "void", ["ptr", "i8", "i64", "i1"])
    e.module.declare(SUMS, "i1", ["ptr", "i64", "i64", "i64"])
    return names


def _digit(bits: int, digit: int) -> list[str]:
    lines = [f"%high = lshr i{bits} %k, %shift", f"%low = and i{bits} %high, {(1 << digit) - 1}"]
    wide = "%low"
    if bits != 64:
        lines.append(f"%wide = zext i{bits} %low to i64")
        wide = "%wide"
    return [*lines, f"%own = getelementptr i32, ptr %counts, i64 {wide}", "%old = load i32, ptr %own"]


def _loop(bits: int, digit: int, body: Sequence[str]) -> list[str]:
    return [
        "br label %loop",
        "loop:",
        "%i = phi i64 [%start, %entry], [%next, %loop]",
        f"%from = getelementptr i{bits}, ptr %keys, i64 %i",
        f"%k = load i{bits}, ptr %from",
        *_digit(bits, digit),
        "%new = add i32 %old, 1",
        "store i32 %new, ptr %own",
        *body,
        "%next = add i64 %i, 1",
        "%more = icmp ult i64 %next, %stop",
        "br i1 %more, label %loop, label %done",
        "done:",
        "ret void",
        "}",
    ]


def _count(bits: int, digit: int) -> str:
    return "\n".join(
        [
            f"define internal void @name(ptr %keys, ptr %counts, i64 %start, i64 %stop, i{bits} %shift) {{",
            "entry:",
            f"call void @llvm.memset.p0.i64(ptr %counts, i8 0, i64 {4 << digit}, i1 false)",
            *_loop(bits, digit, []),
        ]
    )


def _move(bits: int, numbered: bool, digit: int) -> str:
    given = "ptr %keys, ptr %to" + (", ptr %numbers, ptr %numbers_to" if numbered else "")
    body = [
        "%place = zext i32 %old to i64",
        f"%k.to = getelementptr i{bits}, ptr %to, i64 %place",
        f"store i{bits} %k, ptr %k.to",
    ]
    if numbered:
        body += [
            "%n.from = getelementptr i32, ptr %numbers, i64 %i",
            "%n = load i32, ptr %n.from",
            "%n.to = getelementptr i32, ptr %numbers_to, i64 %place",
            "store i32 %n, ptr %n.to",
        ]
    head = f"define internal void @name({given}, ptr %counts, i64 %start, i64 %stop, i{bits} %shift) {{"
    return "\n".join([head, "entry:", *_loop(bits, digit, body)])


__all__ = ["LEAST", "counts_bytes", "parts_of", "sort_shared"]
