"""Parts of a program as functions of their own: loops that several threads share, and nests of long programs.

The body of a shared loop is called for one *chunk* of the range at a time. Chunks follow from the program
alone and never from the number of threads, so results do not depend on it.

Functions with the same text are written once. So a Python loop that was unrolled while tracing costs the code
generator little more than one turn of it, and no function is so long that it takes more than linear time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from . import streaming
from .ir import Emitter, Value, constant, leave_unless
from .storage import BYTES

CHUNK = 20_000.0  # nanoseconds of work that are worth handing to another thread
MOST_CHUNKS = 64
POLL = 64  # turns of a loop of any length between looks for an interrupt
POLLED = 1 << 17  # elements of a loop between looks for an interrupt


def chunks_for(work: float, count: int) -> int:
    """Into how many chunks a loop of `count` turns is cut that takes `work` ns in all; 1: not worth it."""
    if work < 2 * CHUNK:
        return 1
    return max(1, min(MOST_CHUNKS, int(work / CHUNK), count))


def parallel_for(
    e: Emitter, total: int, chunks: int, body: Callable[[Emitter, Value, Value, Value], None]
) -> int:
    """Run `body(emitter, first, end, chunk)` for each of about `chunks` parts of range(total).

    Returns the number of chunks. No chunk is empty.
    """
    size = -(-total // chunks)
    chunks = -(-total // size)
    inner = Emitter(e.module, prefix="k.", outlined=True)
    chunk = Value("%" + inner.fresh("chunk"), "i64", 1, 0)
    first = inner.mul(chunk, constant(size, "i64"))
    end = inner.call("llvm.smin", "i64", inner.add(first, constant(size, "i64")), constant(total, "i64"))
    body(inner, first, end, chunk)
    run_shared(e, inner, chunk, chunks)
    return chunks


def run_shared(
    e: Emitter,
    inner: Emitter,
    chunk: Value,
    chunks: int,
    *,
    head: Sequence[str] = (),
    threads: int = 0,
    wait: bool = False,
) -> None:
    """Make a function of what `inner` has written, and have it called for each of `chunks` chunks.

    Args:
        e: writes the function around.
        inner: has written the body of a chunk.
        chunk: the chunk's number in it.
        chunks: how many there are.
        head: lines of the function before those of `inner`, after those for what it captures. `%thread` is
            the number of the thread, below `threads`.
        threads: how many may run chunks at the same time; 0: any number.
        wait: whether the caller begins alone, since nobody knows how long it takes (if `threads` are given).
    """
    module = e.module
    module.shared.append(chunks)
    streaming.fence(inner)
    inner.line("ret void")
    context, store = context_of(e, inner)
    inner.frame.extend([*context, *head])
    text = inner.text()
    if "label %interrupted" in text:  # `pb_parallel` looks for itself and says so
        text += "\ninterrupted:\nret void"
    name = module.function("kernel", f"ptr %context, i64 {chunk.name}, i64 %thread", f"entry:\n{text}")
    job = f"ptr @{name}, ptr {store().name}, i64 {chunks}"
    if threads:
        module.declare("pb_parallel_few", "i32", ["ptr", "ptr", "i64", "i64", "i32"])
        call = f"call i32 @pb_parallel_few({job}, i64 {threads}, i32 {int(wait)})"
    else:
        module.declare("pb_parallel", "i32", ["ptr", "ptr", "i64"])
        call = f"call i32 @pb_parallel({job})"
    status = e.here(call, "i32", 1)
    leave_unless(e, e.icmp("eq", status, constant(0, "i32")), "interrupted")


def context_of(e: Emitter, inner: Emitter) -> tuple[list[str], Callable[[], Value]]:
    """How a function gets what it captures, through memory at its parameter `%context`.

    Returns the lines at its beginning that load it, and what writes that memory before a call: it returns
    the address.
    """
    lines: list[str] = []
    places: list[tuple[Value, int]] = []
    offset = 0
    for outer in inner.captured:
        align = BYTES[outer.elem]
        offset = -(-offset // align) * align
        local = inner.captures[outer.name]
        place = "%context"
        if offset:
            place = "%" + inner.fresh("p")
            lines.append(f"{place} = getelementptr i8, ptr %context, i64 {offset}")
        lines.append(f"{local.name} = load {local.type}, ptr {place}, align {align}")
        places.append((outer, offset))
        offset += align * outer.lanes
    size = max(offset, 1)

    def store() -> Value:
        memory = e.stack("i8", size)
        for outer, at in places:
            place = e.here(f"getelementptr i8, ptr {memory.name}, i64 {at}", "ptr", 1) if at else memory
            e.line(f"store {e.local(outer).typed}, ptr {place.name}, align {BYTES[outer.elem]}")
        return memory

    return lines, store


def poll(e: Emitter, counter: Value, turns: int, step: int = 1) -> None:
    """In a loop: look for an interrupt every so many turns, and leave the program if there was one.

    `turns` and `step`, by which the counter grows, are powers of two.
    """
    e.module.declare("pb_poll", "i32", [])

    following = e.fresh("go")
    if turns > 1:
        low = e.and_(counter, constant(turns * step - 1, "i64"))
        due = e.icmp("eq", low, constant((turns - 1) * step, "i64"))
        look = e.fresh("look")
        e.line(f"br i1 {due.name}, label %{look}, label %{following}")
        e.label(look)
    status = e.here("call i32 @pb_poll()", "i32", 1)
    fine = e.here(f"icmp eq i32 {status.name}, 0", "i1", 1)
    e.line(f"br i1 {fine.name}, label %{following}, label %interrupted")
    e.label(following)


def poll_in(e: Emitter, counter: Value, size: int, inner: int, step: int = 1) -> None:
    """In a loop over `size` indices, with `inner` elements for each: look for an interrupt now and then.

    Not if the loop is short, or if loops within it are long enough to look for themselves.
    """
    turns = turns_between_polls(size // step, inner * step)
    if turns:
        poll(e, counter, turns, step)


def turns_between_polls(turns: int, inner: int) -> int:
    """How many turns, over `inner` elements each, a loop may take between looks for an interrupt; 0: all."""
    return 1 << (POLLED // inner).bit_length() - 1 if inner < POLLED <= turns * inner else 0


class Callee(NamedTuple):
    """A function of the module: its name, and its result, which says whether it was interrupted."""

    name: str
    result: str

    def call(self, e: Emitter, arguments: Sequence[Value]) -> None:
        """Call it; leave the program if it was interrupted."""
        call = f"call {self.result} @{self.name}({_passed(e, arguments)})"
        if self.result == "void":
            e.line(call)
        else:
            leave_unless(e, e.icmp("eq", e.here(call, "i32", 1), constant(0, "i32")), "interrupted")


def _passed(e: Emitter, arguments: Sequence[Value]) -> str:
    return ", ".join([e.local(v).typed for v in arguments])


def _begun(e: Emitter, arguments: Sequence[Value], outlined: bool) -> tuple[Emitter, list[Value]]:
    """What writes a function of such arguments, and its parameters."""
    inner = Emitter(e.module, prefix="p.", outlined=outlined)
    return inner, [Value("%" + inner.fresh("a"), v.elem, v.lanes, 0) for v in arguments]


def _written(inner: Emitter, parameters: Sequence[Value]) -> Callee:
    """The function that `inner` has written."""
    streaming.fence(inner)
    text, head = inner.text(), ", ".join([v.typed for v in parameters])
    if "label %interrupted" not in text:
        return Callee(inner.module.function("part", head, f"entry:\n{text}\nret void"), "void")
    text = f"entry:\n{text}\nret i32 0\ninterrupted:\nret i32 1"
    return Callee(inner.module.function("part", head, text, "i32"), "i32")


def apart(e: Emitter, body: Callable[[Emitter], None], outlined: bool) -> tuple[Callee, list[Value]]:
    """Write `body(emitter)` as a function, and a call of it; returns that and its arguments.

    If `outlined`, it shares no loops between threads.
    """
    inner = Emitter(e.module, prefix="p.", outlined=outlined)
    body(inner)
    callee = _written(inner, [inner.captures[v.name] for v in inner.captured])
    callee.call(e, inner.captured)
    return callee, inner.captured


def called(
    e: Emitter,
    key: tuple[Any, ...],
    arguments: Sequence[Value],
    write: Callable[[Emitter, Sequence[Value]], None],
) -> None:
    """Call the function that `write(emitter, parameters)` writes; one with an equal key is not written again.

    It may use nothing of the function around but its arguments.
    """
    known: Callee | None = e.module.routines.get(key)
    if known is None:
        inner, parameters = _begun(e, arguments, e.outlined)
        write(inner, parameters)
        known = e.module.routines[key] = _written(inner, parameters)
    known.call(e, arguments)


def evaluated(
    e: Emitter,
    key: tuple[Any, ...],
    arguments: Sequence[Value],
    compute: Callable[[Emitter, Sequence[Value]], Value],
) -> Value:
    """The value that `compute(emitter, parameters)` computes from them alone, here or in a function.

    Whatever else has an equal key computes the same. It is a function from the second time on; in a long
    program at once, because functions with the same text are found there.
    """
    module = e.module
    known = module.routines.get(key)
    if known is None and not module.long and key not in module.computed:
        module.computed.add(key)
        return compute(e, arguments)
    if known is None:
        inner, parameters = _begun(e, arguments, outlined=True)
        value = compute(inner, parameters)
        head, text = ", ".join([v.typed for v in parameters]), f"entry:\n{inner.text()}\nret {value.typed}"
        known = module.routines[key] = module.function("part", head, text, value.type), value.elem
    name, elem = known
    return e.here(f"call {elem} @{name}({_passed(e, arguments)})", elem, 1)
