"""Small programs in LLVM IR for the tests of the native runtime."""

from __future__ import annotations

ADD_ONE = """
; out[i] = in[i] + 1, for n elements; `place` is the frame's place of the result
define i32 @program(ptr %frame) {{
entry:
  %in = load ptr, ptr %frame
  %place = getelementptr ptr, ptr %frame, i64 {place}
  %out = load ptr, ptr %place
  br label %test
test:
  %i = phi i64 [0, %entry], [%next, %body]
  %more = icmp ult i64 %i, {n}
  br i1 %more, label %body, label %done
body:
  %p = getelementptr {type}, ptr %in, i64 %i
  %v = load {type}, ptr %p
  %w = {add} {type} %v, {one}
  %q = getelementptr {type}, ptr %out, i64 %i
  store {type} %w, ptr %q
  %next = add i64 %i, 1
  br label %test
done:
  ret i32 0
}}
"""


def add_one(n: int, place: int = 1, type: str = "float") -> str:
    """A program that adds one to the `n` numbers of its first input."""
    floating = type in ("half", "bfloat", "float", "double")
    one = "1.0" if floating else "1"
    return ADD_ONE.format(n=n, place=place, type=type, add="fadd" if floating else "add", one=one)


def copies(pairs: list[tuple[int, int, int]], status: str = "ret i32 0") -> str:
    """A program that copies (input's place, result's place, bytes)."""
    lines = ["declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)", "define i32 @program(ptr %frame) {"]
    for k, (source, target, size) in enumerate(pairs):
        lines += [
            f"  %a{k} = getelementptr ptr, ptr %frame, i64 {source}",
            f"  %p{k} = load ptr, ptr %a{k}",
            f"  %b{k} = getelementptr ptr, ptr %frame, i64 {target}",
            f"  %q{k} = load ptr, ptr %b{k}",
            f"  call void @llvm.memcpy.p0.p0.i64(ptr %q{k}, ptr %p{k}, i64 {size}, i1 false)",
        ]
    return "\n".join([*lines, "  " + status, "}"])


# A kernel that takes some steps and adds a number and one to that of its chunk. The table has the number of
# steps a chunk takes, then a number for each chunk.
_KERNEL = """
define internal void @kernel(ptr %table, i64 %chunk, i64 %thread) {
entry:
  %work = load i64, ptr %table
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%n, %loop]
  %x = phi i64 [%chunk, %entry], [%y, %loop]
  %x1 = mul i64 %x, 6364136223846793005
  %y = add i64 %x1, 1442695040888963407
  %n = add i64 %i, 1
  %more = icmp ult i64 %n, %work
  br i1 %more, label %loop, label %done
done:
  %place = add i64 %chunk, 1
  %p = getelementptr i64, ptr %table, i64 %place
  %old = load i64, ptr %p
  %number = add i64 $NUMBER, 1
  %new = add i64 %old, %number
  store i64 %new, ptr %p
  ret void
}
"""

# The frame: a table of i64 (the number of steps a chunk takes, then a counter for each chunk). Each chunk
# adds one to its counter.
PARALLEL = (
    _KERNEL.replace("$NUMBER", "0")
    + """
declare i32 @pb_parallel(ptr, ptr, i64)
declare i32 @pb_poll()
define i32 @run(ptr %table, i64 %chunks) {
  %status = call i32 @pb_parallel(ptr @kernel, ptr %table, i64 %chunks)
  ret i32 %status
}
define i32 @program(ptr %frame) {
  %table = load ptr, ptr %frame
  %status = call i32 @pb_parallel(ptr @kernel, ptr %table, i64 1000000)
  ret i32 %status
}
"""
)

# The table: the number of steps a chunk takes, then a number for each chunk.
# The thread that runs a chunk adds its own number and one.
FEW = (
    _KERNEL.replace("$NUMBER", "%thread")
    + """
declare i32 @pb_parallel_few(ptr, ptr, i64, i64, i32)
define i32 @run(ptr %table, i64 %chunks, i64 %most, i32 %wait) {
  %status = call i32 @pb_parallel_few(ptr @kernel, ptr %table, i64 %chunks, i64 %most, i32 %wait)
  ret i32 %status
}
"""
)

# Runs until it is interrupted.
ENDLESS = """
declare i32 @pb_poll()
define i32 @program(ptr %frame) {
entry:
  br label %outer
outer:
  %status = call i32 @pb_poll()
  %stop = icmp ne i32 %status, 0
  br i1 %stop, label %end, label %inner
inner:
  %i = phi i64 [0, %outer], [%n, %inner]
  %n = add i64 %i, 1
  %more = icmp ult i64 %n, 4096
  br i1 %more, label %inner, label %outer
end:
  ret i32 1
}
"""
