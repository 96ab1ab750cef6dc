"""Sorting rows of unsigned integers: the text of native functions, one for each width.

Radix sort, least significant digits first: stable, and as fast on any input. One sweep counts the digits of
all passes; a pass in which all digits agree is left out. Short rows are sorted by insertion. Sorting a long
row looks for interrupts.
"""

from __future__ import annotations

from collections.abc import Sequence

from .ir import Emitter, Value, constant, leave_unless
from .parallel import POLLED

INSERTION = 24  # elements of a row that is sorted by insertion
INTERRUPTED = 2
NARROW = 4096  # elements of a row from which on longer digits pay


def sort_row(
    e: Emitter,
    bits: int,
    length: int,
    keys: Value,
    spare: Value,
    numbers: Sequence[Value] = (),
    first: int = 0,
) -> Value:
    """Sort `length` keys at an address; whether the result is in `spare` (i1).

    numbers: the addresses of 32-bit numbers that move along, and of memory for as many more.
    first: the lowest bit that counts.
    """
    kind = "insertion" if length <= INSERTION else "short" if length < NARROW else "long"
    name = f"pb_sort_{kind}_{bits}_{first}{'_numbered' if numbers else ''}"
    if name not in e.module.declarations:
        if kind == "insertion":
            text = _insertion(name, bits, bool(numbers), first)
        else:
            text = _radix(name, bits, 8 if kind == "short" else 11, bool(numbers), first, kind == "long")
            e.module.declare("llvm.memset.p0.i64", "void", ["ptr", "i8", "i64", "i1"])
            if kind == "long":
                e.module.declare("pb_poll", "i32", [])
        e.module.declarations[name] = text
    given = [keys, spare, *numbers]
    status = e.here(f"call i8 @{name}({', '.join(v.typed for v in given)}, i64 {length})", "i8", 1)
    if kind == "long":
        leave_unless(e, e.icmp("ne", status, constant(INTERRUPTED, "i8")), "interrupted")
    return e.icmp("ne", status, constant(0, "i8"))


def _head(name: str, numbered: bool) -> str:
    more = ", ptr %numbers, ptr %spare_numbers" if numbered else ""
    return f"define internal i8 @{name}(ptr %keys, ptr %spare{more}, i64 %n) {{"


def _insertion(name: str, bits: int, numbered: bool, first: int) -> str:
    key = f"i{bits}"
    lines = [
        _head(name, numbered),
        "entry:",
        "br label %outer",
        "outer:",
        "%i = phi i64 [0, %entry], [%i.next, %placed]",
        f"%k.at = getelementptr {key}, ptr %keys, i64 %i",
        f"%k = load {key}, ptr %k.at",
        f"%k.counts = lshr {key} %k, {first}",
    ]
    if numbered:
        lines += ["%v.at = getelementptr i32, ptr %numbers, i64 %i", "%v = load i32, ptr %v.at"]
    lines += [
        "br label %inner",
        "inner:",
        "%j = phi i64 [%i, %outer], [%j.less, %move]",
        "%first = icmp eq i64 %j, 0",
        "br i1 %first, label %placed, label %test",
        "test:",
        "%j.less = sub i64 %j, 1",
        f"%b.at = getelementptr {key}, ptr %keys, i64 %j.less",
        f"%b = load {key}, ptr %b.at",
        f"%b.counts = lshr {key} %b, {first}",
        f"%greater = icmp ugt {key} %b.counts, %k.counts",
        "br i1 %greater, label %move, label %placed",
        "move:",
        f"%to = getelementptr {key}, ptr %keys, i64 %j",
        f"store {key} %b, ptr %to",
    ]
    if numbered:
        lines += [
            "%w.at = getelementptr i32, ptr %numbers, i64 %j.less",
            "%w = load i32, ptr %w.at",
            "%w.to = getelementptr i32, ptr %numbers, i64 %j",
            "store i32 %w, ptr %w.to",
        ]
    lines += [
        "br label %inner",
        "placed:",
        f"%place = getelementptr {key}, ptr %keys, i64 %j",
        f"store {key} %k, ptr %place",
    ]
    if numbered:
        lines += ["%v.place = getelementptr i32, ptr %numbers, i64 %j", "store i32 %v, ptr %v.place"]
    lines += [
        "%i.next = add i64 %i, 1",
        "%more = icmp ult i64 %i.next, %n",
        "br i1 %more, label %outer, label %done",
        "done:",
        "ret i8 0",
        "}",
    ]
    return "\n".join(lines)


def _next_or_poll(name: str, counter: str, more: str, again: str, after: str, polls: bool) -> list[str]:
    """The end of a loop's turn, after a look for an interrupt now and then: on to `again` if `more`."""
    if not polls:
        return [f"br i1 {more}, label %{again}, label %{after}"]
    return [
        f"%{name}.low = and i64 {counter}, {POLLED - 1}",
        f"%{name}.due = icmp eq i64 %{name}.low, 0",
        f"br i1 %{name}.due, label %{name}.poll, label %{name}.end",
        f"{name}.poll:",
        f"%{name}.status = call i32 @pb_poll()",
        f"%{name}.stop = icmp ne i32 %{name}.status, 0",
        f"br i1 %{name}.stop, label %interrupted, label %{name}.end",
        f"{name}.end:",
        f"br i1 {more}, label %{again}, label %{after}",
    ]


def _end(label: str, polls: bool) -> str:
    """The block from which a loop's turn ends that begins in the block `label`."""
    return f"{label}.end" if polls else label


def _radix(name: str, bits: int, digit: int, numbered: bool, first: int, polls: bool) -> str:
    key = f"i{bits}"
    shifts = range(first, bits, digit)
    buckets = 1 << digit
    lines = [
        _head(name, numbered),
        "entry:",
        f"%counts = alloca [{len(shifts) * buckets} x i32], align 64",
        f"call void @llvm.memset.p0.i64(ptr %counts, i8 0, i64 {4 * len(shifts) * buckets}, i1 false)",
        "%n.narrow = trunc i64 %n to i32",
        "br label %count",
        "count:",
        f"%i = phi i64 [0, %entry], [%i.next, %{_end('count', polls)}]",
        f"%k.at = getelementptr {key}, ptr %keys, i64 %i",
        f"%k = load {key}, ptr %k.at",
    ]
    for p, shift in enumerate(shifts):
        lines += [
            *_digit(f"c{p}", "%k", key, shift, buckets, p),
            f"%c{p}.at = getelementptr i32, ptr %counts, i64 %c{p}.place",
            f"%c{p}.old = load i32, ptr %c{p}.at",
            f"%c{p}.new = add i32 %c{p}.old, 1",
            f"store i32 %c{p}.new, ptr %c{p}.at",
        ]
    lines += [
        "%i.next = add i64 %i, 1",
        "%more = icmp ult i64 %i.next, %n",
        *_next_or_poll("count", "%i.next", "%more", "count", "pass0", polls),
    ]
    before = {0: [("%keys", "%spare", "%numbers", "%spare_numbers", f"%{_end('count', polls)}")]}
    for p, shift in enumerate(shifts):
        names = ("a", "b") + (("u", "w") if numbered else ())
        lines.append(f"pass{p}:")
        for position, x in zip((0, 1, 2, 3), names, strict=False):
            sources = ", ".join(f"[{s[position]}, {s[4]}]" for s in before[p])
            lines.append(f"%{x}{p} = phi ptr {sources}")
        lines += [
            f"%f{p} = load {key}, ptr %a{p}",
            *_digit(f"f{p}", f"%f{p}", key, shift, buckets, p),
            f"%f{p}.at = getelementptr i32, ptr %counts, i64 %f{p}.place",
            f"%f{p}.count = load i32, ptr %f{p}.at",
            f"%f{p}.all = icmp eq i32 %f{p}.count, %n.narrow",
            f"br i1 %f{p}.all, label %pass{p + 1}, label %sums{p}",
            # Where each digit's keys begin.
            f"sums{p}:",
            f"%s{p} = phi i64 [{p * buckets}, %pass{p}], [%s{p}.next, %sums{p}]",
            f"%t{p} = phi i32 [0, %pass{p}], [%t{p}.next, %sums{p}]",
            f"%s{p}.at = getelementptr i32, ptr %counts, i64 %s{p}",
            f"%s{p}.count = load i32, ptr %s{p}.at",
            f"store i32 %t{p}, ptr %s{p}.at",
            f"%t{p}.next = add i32 %t{p}, %s{p}.count",
            f"%s{p}.next = add i64 %s{p}, 1",
            f"%s{p}.more = icmp ult i64 %s{p}.next, {(p + 1) * buckets}",
            f"br i1 %s{p}.more, label %sums{p}, label %move{p}",
            f"move{p}:",
            f"%m{p} = phi i64 [0, %sums{p}], [%m{p}.next, %{_end(f'move{p}', polls)}]",
            f"%x{p}.at = getelementptr {key}, ptr %a{p}, i64 %m{p}",
            f"%x{p} = load {key}, ptr %x{p}.at",
            *_digit(f"x{p}", f"%x{p}", key, shift, buckets, p),
            f"%x{p}.count = getelementptr i32, ptr %counts, i64 %x{p}.place",
            f"%p{p} = load i32, ptr %x{p}.count",
            f"%p{p}.next = add i32 %p{p}, 1",
            f"store i32 %p{p}.next, ptr %x{p}.count",
            f"%p{p}.wide = zext i32 %p{p} to i64",
            f"%x{p}.to = getelementptr {key}, ptr %b{p}, i64 %p{p}.wide",
            f"store {key} %x{p}, ptr %x{p}.to",
        ]
        if numbered:
            lines += [
                f"%y{p}.at = getelementptr i32, ptr %u{p}, i64 %m{p}",
                f"%y{p} = load i32, ptr %y{p}.at",
                f"%y{p}.to = getelementptr i32, ptr %w{p}, i64 %p{p}.wide",
                f"store i32 %y{p}, ptr %y{p}.to",
            ]
        lines += [
            f"%m{p}.next = add i64 %m{p}, 1",
            f"%m{p}.more = icmp ult i64 %m{p}.next, %n",
            *_next_or_poll(f"move{p}", f"%m{p}.next", f"%m{p}.more", f"move{p}", f"pass{p + 1}", polls),
        ]
        before[p + 1] = [
            (f"%a{p}", f"%b{p}", f"%u{p}", f"%w{p}", f"%pass{p}"),
            (f"%b{p}", f"%a{p}", f"%w{p}", f"%u{p}", f"%{_end(f'move{p}', polls)}"),
        ]
    last = len(shifts)
    sources = ", ".join(f"[{s[0]}, {s[4]}]" for s in before[last])
    lines += [
        f"pass{last}:",
        f"%end = phi ptr {sources}",
        "%moved = icmp ne ptr %end, %keys",
        "%status = zext i1 %moved to i8",
        "ret i8 %status",
        *(["interrupted:", f"ret i8 {INTERRUPTED}"] if polls else []),
        "}",
    ]
    return "\n".join(lines)


def _digit(name: str, value: str, key: str, shift: int, buckets: int, number: int) -> list[str]:
    """A digit's place among the counts."""
    lines = [
        f"%{name}.shifted = lshr {key} {value}, {shift}",
        f"%{name}.digit = and {key} %{name}.shifted, {buckets - 1}",
    ]
    wide = f"%{name}.digit"
    if key != "i64":
        lines.append(f"%{name}.wide = zext {key} {wide} to i64")
        wide = f"%{name}.wide"
    lines.append(f"%{name}.place = add i64 {wide}, {number * buckets}")
    return lines


__all__ = ["sort_row"]
