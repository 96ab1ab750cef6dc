"""Sorting large arrays by themselves: native routines that programs call, linked with the runtime.

`pb_sort_f32(in, out, work, n)` stores the sorted elements of `in`, and there is one for each other type of 32
or 64 bits; `pb_sort_rows_f32(in, out, work, n, rows)` does it for each of several rows. Elements become
unsigned integers of the same order (NaN last), which are sorted by radix, least significant digits first,
between the memory of `work` and that of the result. The array is cut into parts: for each digit the parts
count their keys, sums say where each digit's keys of each part begin, and the parts move them there. Threads
share the parts, or groups of rows; the result is the same whatever threads do the work. A routine returns 0,
or 1 if the user interrupted it. The memory of the result must not be that of the elements.

Zeros of both signs are equal, so they keep their order: where both occur, they are stored once more.
"""

from __future__ import annotations

import numpy as np

from .parallel import POLLED

LEAST = 1 << 16  # elements of one row from which on it pays
LEAST_ROW, LEAST_ROWS = 128, 1 << 14  # elements of each row, and of all
_PART = 15  # the logarithm of a part's elements, at least
MOST = 8  # parts: more of them leave too few keys of a digit to each
_LONG = 22  # the logarithm of a part's elements, roughly at most: between parts one looks for interrupts
NEAR = 1 << 22  # bytes of keys that caches hold: there, a digit may have many values
_SHORT = 1 << 12  # elements of a row which more values would be too many for
NEAR_DIGIT, FAR_DIGIT = 11, 8  # bits of a digit
_VECTOR = 512  # bits


def routine(dtype: np.dtype) -> str | None:
    """The end of the routines' names for a dtype, if there are such."""
    return _NAMES.get(dtype)


_NAMES = {np.dtype(f"{kind}{size}"): f"{kind}{8 * size}" for kind in "iuf" for size in (4, 8)}
SUMS = "pb_radix_sums"  # which programs that sort numbers of elements call, too
ROUTINES = (SUMS, *[f"pb_sort_{form}{name}" for form in ("", "rows_") for name in _NAMES.values()])


def work_bytes(length: int, rows: int, itemsize: int) -> int:
    """The memory that a routine needs: for keys, and for the counts of the parts, for each group of rows."""
    parts = max(min(length >> _PART, MOST), length >> _LONG, 1)
    row = (length * itemsize + 63) // 64 * 64 + parts * (4 << NEAR_DIGIT)
    return row * max(min(rows, MOST), min(rows, length * rows >> _LONG))


# What threads share: where keys are and go, the counts, the array's length and that of a part, the digit's
# place and its largest value, the elements and the result, and the bit in which keys of integers differ; for
# rows, the memory of all groups, that of one, and the length of one row, while `n` and `per` count rows.
_CONTEXT = {
    "from": "ptr", "to": "ptr", "counts": "ptr", "n": "i64", "per": "i64", "shift": "i64", "mask": "i64",
    "in": "ptr", "out": "ptr", "flip": "i64", "work": "ptr", "bytes": "i64", "length": "i64",
}  # fmt: skip


def _kernel(name: str, uses: str, body: str) -> str:
    """A function for one part, from `%start` to `%stop`, which uses some of the context."""
    loads = []
    for used in uses.split():
        place = list(_CONTEXT).index(used)
        loads.append(f"  %{used}.at = getelementptr i64, ptr %context, i64 {place}")
        loads.append(f"  %{used} = load {_CONTEXT[used]}, ptr %{used}.at")
    return "\n".join(
        [
            f"define internal void @{name}(ptr %context, i64 %chunk, i64 %thread) {{",
            "entry:",
            *loads,
            "  %start = mul i64 %chunk, %per",
            "  %end = add i64 %start, %per",
            "  %stop = call i64 @llvm.umin.i64(i64 %end, i64 %n)",
            body,
            "  ret void",
            "}\n",
        ]
    )


def _mapped(source: str, target: str, element: str, key: str, text: str, back: bool) -> str:
    """A loop that makes keys of elements, or elements of keys if `back`: vectors, then what is left.

    Args:
        source, target: the addresses.
        element, key: the types of one.
        text: what is done, where `$T`, `$K` and `$B` are the types of elements, keys and truth values, `$(`
            and `)` are around constants, names begin with `%.`, and `%.flip` is the bit that is flipped.
    """
    lanes = _VECTOR // int(key[1:])
    before, after = (key, element) if back else (element, key)
    old, new = ("key", "x") if back else ("x", "key")

    def turn(label: str, lanes: int) -> str:
        def kind(type_: str) -> str:
            return f"<{lanes} x {type_}>" if lanes > 1 else type_

        body = text.replace("$T", kind(element)).replace("$K", kind(key)).replace("$B", kind("i1"))
        body = body.replace("$(", f"splat ({key} " if lanes > 1 else "(")
        if lanes == 1:
            body = body.replace("(", "").replace(")", "")
        body = f"""\
  %.from = getelementptr {before}, ptr %{source}, i64 %.i
  %.{old} = load {kind(before)}, ptr %.from, align {_bytes(key)}
{body}
  %.to = getelementptr {after}, ptr %{target}, i64 %.i
  store {kind(after)} %.{new}, ptr %.to, align {_bytes(key)}
  %.next = add i64 %.i, {lanes}"""
        return body.replace("%.", f"%{label}.")

    flip = f"""\
  %s.flip = {f"trunc i64 %flip to {key}" if key != "i64" else "add i64 %flip, 0"}
  %flips = insertelement <{lanes} x {key}> poison, {key} %s.flip, i64 0
  %v.flip = shufflevector <{lanes} x {key}> %flips, <{lanes} x {key}> poison,
      <{lanes} x i32> zeroinitializer
"""
    return f"""\
{flip if "%.flip" in text else ""}\
  %length = sub i64 %stop, %start
  %whole = and i64 %length, {-lanes}
  %middle = add i64 %start, %whole
  %long = icmp ne i64 %whole, 0
  br i1 %long, label %vectors, label %rest
vectors:
  %v.i = phi i64 [%start, %entry], [%v.next, %vectors]
{turn("v", lanes)}
  %v.more = icmp ult i64 %v.next, %middle
  br i1 %v.more, label %vectors, label %rest
rest:
  %some = icmp ult i64 %middle, %stop
  br i1 %some, label %scalars, label %done
scalars:
  %s.i = phi i64 [%middle, %rest], [%s.next, %scalars]
{turn("s", 1)}
  %s.more = icmp ult i64 %s.next, %stop
  br i1 %s.more, label %scalars, label %done
done:"""


def _bytes(key: str) -> int:
    return int(key[1:]) // 8


def _each(key: str, before: str = "", turn: str = "") -> str:
    """A loop over the keys `%k` of a part, which adds one to their digits' counts `%old`.

    Args:
        before: what is done before it; `%counted` are the counts of the part, of so many `%values`.
        turn: what is done in each turn.
    """
    bits = int(key[1:])
    wide = "" if bits == 64 else f"  %k.wide = zext {key} %k to i64\n"
    return f"""\
  %values = add i64 %mask, 1
  %before = mul i64 %chunk, %values
  %counted = getelementptr i32, ptr %counts, i64 %before
{before}  br label %loop
loop:
  %i = phi i64 [%start, %entry], [%next, %loop]
  %k.at = getelementptr {key}, ptr %from, i64 %i
  %k = load {key}, ptr %k.at
{wide}  %high = lshr i64 {"%k" if bits == 64 else "%k.wide"}, %shift
  %digit = and i64 %high, %mask
  %own = getelementptr i32, ptr %counted, i64 %digit
  %old = load i32, ptr %own
  %new = add i32 %old, 1
  store i32 %new, ptr %own
{turn}  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %stop
  br i1 %more, label %loop, label %done
done:"""


def _passes(key: str) -> str:
    """What all types of so many bits share: counting and moving the keys of a part."""
    count = _each(
        key,
        before="  %size = mul i64 %values, 4\n"
        "  call void @llvm.memset.p0.i64(ptr %counted, i8 0, i64 %size, i1 false)\n",
    )
    move = _each(
        key,
        turn="  %place = zext i32 %old to i64\n"
        f"  %k.to = getelementptr {key}, ptr %to, i64 %place\n"
        f"  store {key} %k, ptr %k.to\n",
    )
    return _kernel(f"radix_count_{key}", "from counts n per shift mask", count) + _kernel(
        f"radix_move_{key}", "from to counts n per shift mask", move
    )


_SUMS = f"""\
; Counts become places: all parts' keys of a digit come before those of the next. Whether all keys have the
; same digit.
define i1 @{SUMS}(ptr %counts, i64 %parts, i64 %values, i64 %n) {{
entry:
  %all = trunc i64 %n to i32
  br label %digits
digits:
  %digit = phi i64 [0, %entry], [%digit.next, %digits.end]
  %first = phi i32 [0, %entry], [%total.next, %digits.end]
  %alike = phi i1 [false, %entry], [%alike.next, %digits.end]
  br label %each
each:
  %part = phi i64 [0, %digits], [%part.next, %each]
  %total = phi i32 [%first, %digits], [%total.next, %each]
  %row = mul i64 %part, %values
  %at = add i64 %row, %digit
  %own = getelementptr i32, ptr %counts, i64 %at
  %count = load i32, ptr %own
  store i32 %total, ptr %own
  %total.next = add i32 %total, %count
  %part.next = add i64 %part, 1
  %more.parts = icmp ult i64 %part.next, %parts
  br i1 %more.parts, label %each, label %digits.end
digits.end:
  %here = sub i32 %total.next, %first
  %everything = icmp eq i32 %here, %all
  %alike.next = or i1 %alike, %everything
  %digit.next = add i64 %digit, 1
  %more = icmp ult i64 %digit.next, %values
  br i1 %more, label %digits, label %done
done:
  ret i1 %alike.next
}}
"""


def _first_at_least(key: str) -> str:
    """The number of sorted keys below a bound, by bisection."""
    return f"""\
define internal i64 @first_at_least_{key}(ptr %keys, i64 %n, {key} %bound) {{
entry:
  br label %loop
loop:
  %low = phi i64 [0, %entry], [%low.next, %loop]
  %high = phi i64 [%n, %entry], [%high.next, %loop]
  %sum = add i64 %low, %high
  %middle = lshr i64 %sum, 1
  %at = getelementptr {key}, ptr %keys, i64 %middle
  %k = load {key}, ptr %at
  %below = icmp ult {key} %k, %bound
  %after = add i64 %middle, 1
  %low.next = select i1 %below, i64 %after, i64 %low
  %high.next = select i1 %below, i64 %high, i64 %middle
  %more = icmp ult i64 %low.next, %high.next
  br i1 %more, label %loop, label %done
done:
  ret i64 %low.next
}}
"""


def _zeros(element: str) -> str:
    """Store the zeros once more, in their order, from a place on; 1 if the user interrupts."""
    return f"""\
define internal i32 @store_zeros_{element}(ptr %in, ptr %out, i64 %n, i64 %begin) {{
entry:
  %last = sub i64 %n, 1
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %end]
  %place = phi i64 [%begin, %entry], [%place.next, %end]
  %due.bits = and i64 %i, {POLLED - 1}
  %due = icmp eq i64 %due.bits, 0
  br i1 %due, label %poll, label %look
poll:
  %status = call i32 @pb_poll()
  %stop = icmp ne i32 %status, 0
  br i1 %stop, label %interrupted, label %look
look:
  %x.at = getelementptr {element}, ptr %in, i64 %i
  %x = load {element}, ptr %x.at
  %zero = fcmp oeq {element} %x, 0.0
  br i1 %zero, label %put, label %end
put:  ; there are as many zeros as places; the bound is for memory that changes meanwhile
  %safe = call i64 @llvm.umin.i64(i64 %place, i64 %last)
  %x.to = getelementptr {element}, ptr %out, i64 %safe
  store {element} %x, ptr %x.to
  br label %end
end:
  %more.places = zext i1 %zero to i64
  %place.next = add i64 %place, %more.places
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret i32 0
interrupted:
  ret i32 1
}}
"""


_INTEGERS = "  %.{} = xor $K %.{}, %.flip"
_KEY_OF_FLOAT = """\
  %.word = bitcast $T %.x to $K
  %.sign = ashr $K %.word, $($LAST)
  %.flipped = or $K %.sign, $($SIGN)
  %.number = xor $K %.word, %.flipped
  %.nan = fcmp uno $T %.x, %.x
  %.key = select $B %.nan, $K $(-1), $K %.number"""
_FLOAT_OF_KEY = """\
  %.sign = ashr $K %.key, $($LAST)
  %.positive = xor $K %.sign, $(-1)
  %.flipped = or $K %.positive, $($SIGN)
  %.word = xor $K %.key, %.flipped
  %.x = bitcast $K %.word to $T"""


def _sorting(element: str, key: str) -> str:
    """The routine `@sort_...(in, out, work, n, flip)` for a type, whose keys have this one."""
    name = f"sort_{element}"
    bits = int(key[1:])
    floats = element != key

    def filled(text: str) -> str:
        return text.replace("$SIGN", str(-(1 << (bits - 1)))).replace("$LAST", str(bits - 1))

    make = _mapped(
        "in", "to", element, key, filled(_KEY_OF_FLOAT) if floats else _INTEGERS.format("key", "x"), False
    )
    give = _mapped(
        "from", "out", element, key, filled(_FLOAT_OF_KEY) if floats else _INTEGERS.format("x", "key"), True
    )
    sets = "\n".join(
        f"  %{used}.place = getelementptr i64, ptr %context, i64 {k}" for k, used in enumerate(_CONTEXT)
    )
    minus = (1 << (bits - 1)) - 1  # the key of -0.0
    look, repair = "  br label %give", "  ret i32 0"
    if floats:
        look = f"""\
  %low = call i64 @first_at_least_{key}(ptr %a, i64 %n, {key} {minus})
  %high = call i64 @first_at_least_{key}(ptr %a, i64 %n, {key} {minus + 2})
  %some = icmp ult i64 %low, %high
  %last = sub i64 %n, 1
  %safe = call i64 @llvm.umin.i64(i64 %low, i64 %last)
  %least.at = getelementptr {key}, ptr %a, i64 %safe
  %least = load {key}, ptr %least.at
  %negative = icmp eq {key} %least, {minus}
  %mixed = and i1 %some, %negative
  br label %give"""
        repair = f"""\
  br i1 %mixed, label %zeros, label %fine
zeros:
  %zeros.status = call i32 @store_zeros_{element}(ptr %in, ptr %out, i64 %n, i64 %low)
  ret i32 %zeros.status
fine:
  ret i32 0"""
    return f"""\
{_kernel(f"make_{name}", "in to n per flip", make)}{_kernel(f"give_{name}", "from out n per flip", give)}
define internal i32 @{name}(ptr %in, ptr %out, ptr %work, i64 %n, i64 %flip) {{
entry:
  %context = alloca [{len(_CONTEXT)} x i64], align 16
{sets}
  %parts = call i64 @parts_of(i64 %n)
  %more.n = add i64 %n, %parts
  %less.n = sub i64 %more.n, 1
  %per = udiv i64 %less.n, %parts
  %size = mul i64 %n, {bits // 8}
  %not.far = icmp ule i64 %size, {NEAR}
  %not.short = icmp uge i64 %n, {_SHORT}
  %near = and i1 %not.far, %not.short
  %digit = select i1 %near, i64 {NEAR_DIGIT}, i64 {FAR_DIGIT}
  %values = shl i64 1, %digit
  %mask = sub i64 %values, 1
  %size.more = add i64 %size, 63
  %size.whole = and i64 %size.more, -64
  %counts = getelementptr i8, ptr %work, i64 %size.whole
  store ptr %work, ptr %to.place
  store ptr %counts, ptr %counts.place
  store i64 %n, ptr %n.place
  store i64 %per, ptr %per.place
  store i64 %mask, ptr %mask.place
  store ptr %in, ptr %in.place
  store ptr %out, ptr %out.place
  store i64 %flip, ptr %flip.place
{_step("made", f"make_{name}", "pass")}
pass:
  %a = phi ptr [%work, %entry], [%a.next, %after]
  %b = phi ptr [%out, %entry], [%b.next, %after]
  %shift = phi i64 [0, %entry], [%shift.next, %after]
  store ptr %a, ptr %from.place
  store ptr %b, ptr %to.place
  store i64 %shift, ptr %shift.place
  %left = icmp ult i64 %shift, {bits}
  br i1 %left, label %count, label %look
count:
{_step("counted", f"radix_count_{key}", "sum")}
sum:
  %alike = call i1 @{SUMS}(ptr %counts, i64 %parts, i64 %values, i64 %n)
  br i1 %alike, label %after, label %move
move:
{_step("moved", f"radix_move_{key}", "after")}
after:
  %a.next = phi ptr [%a, %sum], [%b, %move]
  %b.next = phi ptr [%b, %sum], [%a, %move]
  %shift.next = add i64 %shift, %digit
  br label %pass
look:
{look}
give:
{_step("given", f"give_{name}", "repair")}
repair:
{repair}
interrupted:
  ret i32 1
}}
"""


_TYPES = (("float", "i32"), ("double", "i64"), ("i32", "i32"), ("i64", "i64"))


_SHARE = """\
; Run a kernel for so many parts, by this thread if there is one.
define internal i32 @share(ptr %kernel, ptr %context, i64 %parts) {
entry:
  %one = icmp eq i64 %parts, 1
  br i1 %one, label %alone, label %shared
alone:
  call void %kernel(ptr %context, i64 0, i64 0)
  ret i32 0
shared:
  %status = call i32 @pb_parallel(ptr %kernel, ptr %context, i64 %parts)
  ret i32 %status
}
"""


_PARTS_OF = f"""\
; Into how many parts an array is cut; `work_bytes` has room for as many.
define internal i64 @parts_of(i64 %n) {{
  %whole = lshr i64 %n, {_PART}
  %few = call i64 @llvm.umin.i64(i64 %whole, i64 {MOST})
  %long = lshr i64 %n, {_LONG}
  %some = call i64 @llvm.umax.i64(i64 %few, i64 %long)
  %parts = call i64 @llvm.umax.i64(i64 %some, i64 1)
  ret i64 %parts
}}
"""


def _step(name: str, kernel: str, after: str) -> str:
    """Run a kernel for all parts, then go on at a label."""
    return f"""\
  %{name} = call i32 @share(ptr @{kernel}, ptr %context, i64 %parts)
  %{name}.not = icmp ne i32 %{name}, 0
  br i1 %{name}.not, label %interrupted, label %{after}"""


def _rows(element: str, key: str) -> str:
    """The routine `@sort_rows_...(in, out, work, n, rows, flip)`, whose threads have groups of rows."""
    size = int(key[1:]) // 8
    body = f"""\
  %own.bytes = mul i64 %chunk, %bytes
  %own = getelementptr i8, ptr %work, i64 %own.bytes
  br label %loop
loop:
  %row = phi i64 [%start, %entry], [%next, %turn]
  %more = icmp ult i64 %row, %stop
  br i1 %more, label %turn, label %done
turn:
  %first = mul i64 %row, %length
  %row.in = getelementptr {element}, ptr %in, i64 %first
  %row.out = getelementptr {element}, ptr %out, i64 %first
  %status = call i32 @sort_{element}(ptr %row.in, ptr %row.out, ptr %own, i64 %length, i64 %flip)
  %next = add i64 %row, 1
  %go = icmp eq i32 %status, 0
  br i1 %go, label %loop, label %done
done:"""
    sets = [
        f"  %{used}.place = getelementptr i64, ptr %context, i64 {list(_CONTEXT).index(used)}\n"
        f"  store {_CONTEXT[used]} %{value}, ptr %{used}.place"
        for used, value in {
            "in": "in", "out": "out", "work": "work", "bytes": "bytes", "n": "rows", "per": "per",
            "length": "n", "flip": "flip",
        }.items()
    ]  # fmt: skip
    return f"""\
{_kernel(f"group_{element}", "in out work bytes n per length flip", body)}
define internal i32 @sort_rows_{element}(ptr %in, ptr %out, ptr %work, i64 %n, i64 %rows, i64 %flip) {{
entry:
  %context = alloca [{len(_CONTEXT)} x i64], align 16
  %parts = call i64 @parts_of(i64 %n)
  %counts = mul i64 %parts, {4 << NEAR_DIGIT}
  %keys = mul i64 %n, {size}
  %keys.more = add i64 %keys, 63
  %keys.whole = and i64 %keys.more, -64
  %bytes = add i64 %keys.whole, %counts
  %all = mul i64 %n, %rows
  %all.long = lshr i64 %all, {_LONG}
  %most = call i64 @llvm.umax.i64(i64 %all.long, i64 {MOST})
  %groups = call i64 @llvm.umin.i64(i64 %rows, i64 %most)
  %rows.more = add i64 %rows, %groups
  %rows.less = sub i64 %rows.more, 1
  %per = udiv i64 %rows.less, %groups
{chr(10).join(sets)}
  %status = call i32 @pb_parallel(ptr @group_{element}, ptr %context, i64 %groups)
  ret i32 %status
}}
"""


def _exported(dtype: np.dtype, name: str) -> str:
    bits = 8 * dtype.itemsize
    element = {"f32": "float", "f64": "double"}.get(f"{dtype.kind}{bits}", f"i{bits}")
    flip = -(1 << (bits - 1)) if dtype.kind == "i" else 0
    return f"""\
define i32 @pb_sort_{name}(ptr %in, ptr %out, ptr %work, i64 %n) {{
  %status = call i32 @sort_{element}(ptr %in, ptr %out, ptr %work, i64 %n, i64 {flip})
  ret i32 %status
}}
define i32 @pb_sort_rows_{name}(ptr %in, ptr %out, ptr %work, i64 %n, i64 %rows) {{
  %status = call i32 @sort_rows_{element}(ptr %in, ptr %out, ptr %work, i64 %n, i64 %rows, i64 {flip})
  ret i32 %status
}}
"""


def text() -> str:
    """The module of all routines."""
    return "\n".join(
        [
            "declare i32 @pb_parallel(ptr, ptr, i64)",
            "declare i32 @pb_poll()",
            "declare i64 @llvm.umin.i64(i64, i64)",
            "declare i64 @llvm.umax.i64(i64, i64)",
            "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)",
            _SUMS,
            _SHARE,
            _PARTS_OF,
            *[part(key) for key in ("i32", "i64") for part in (_passes, _first_at_least)],
            _zeros("float"),
            _zeros("double"),
            *[part(t, k) for t, k in _TYPES for part in (_sorting, _rows)],
            *[_exported(dtype, name) for dtype, name in _NAMES.items()],
        ]
    )


__all__ = [
    "FAR_DIGIT", "LEAST", "LEAST_ROW", "LEAST_ROWS", "MOST", "NEAR", "NEAR_DIGIT", "ROUTINES", "SUMS",
    "routine", "text", "work_bytes",
]  # fmt: skip
