"""The LLVM engine: programs as native code."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ...base.config import background_compilation
from ...core import engine as registry
from ...core.program import Program
from . import blas, blueprint, cache, generation, jit, runtime, streaming, substitution, tiers
from .blueprint import Blueprint, ModuleText
from .donation import DonatingExecutable, Watch, WatchedBuffer, candidates
from .executable import Executable
from .fingerprint import fingerprint
from .host import HostCall, HostCalls, host_call
from .inline import inline_calls
from .inspection import LlvmInspection
from .ir import Emitter, Value
from .liveness import same_place
from .lower import Lowering, Unshareable
from .math import scalars
from .module import Function, Module
from .nodes import Buffer, Node, View
from .observer import Observer
from .separate import long_loops
from .unused import without_unused

LONG = 20_000.0  # ns of a program during which other Python threads may run
LONG_PROGRAM = 96  # equations
DIVIDED_PROGRAM = 24


class Compilation:
    """A program's way to native code; the stages can be looked at.

    Args:
        program: what is compiled.
        donated: inputs whose memory may be used for results.
        observer: is told what the lowering does.
        shares: whether turns of loops may be shared by threads, as far as one knows.
        ahead: whether code is wanted, so that it is generated while the program is lowered.

    Attributes:
        shares: whether they may.
        aliases: results that are in the memory of an input, with the number of that.
        overwritten: inputs whose memory is written over.
    """

    def __init__(
        self,
        program: Program,
        donated: Sequence[int] = (),
        observer: Observer | None = None,
        *,
        shares: bool = True,
        ahead: bool = False,
    ) -> None:
        started = time.perf_counter()
        if ahead:
            runtime.native()  # whose threads compile the first parts, and are prepared with the first program
        registry.load_eager()
        self.program = simplified(program)
        self.shares = shares
        try:
            self._lower(donated, observer, ahead)
        except Unshareable:
            self.shares = False
            self._lower(donated, observer, ahead)
        self.seconds = time.perf_counter() - started

    def _lower(self, donated: Sequence[int], observer: Observer | None, ahead: bool) -> None:
        self.stream = generation.Stream(lambda: tiers.tiers(module, module.lines).first) if ahead else None
        module = Module(self.stream.add if self.stream else None)
        module.long = len(self.program.eqns) >= LONG_PROGRAM
        module.divided = len(self.program.eqns) >= DIVIDED_PROGRAM
        module.reduces = sum([e.primitive.name.startswith("reduce_") for e in self.program.eqns]) > 1
        module.separate = long_loops(self.program) > 1
        e = Emitter(module)
        watch = Watch(observer or Observer())
        # The frame's pointers. Constants are found while lowering; their names come before their places.
        self.lowering = lw = Lowering(
            module, e, _pointer(e, "arena"), host_call, watch if donated else observer
        )
        lw.shares = self.shares
        invars, outvars = self.program.invars, self.program.outvars
        sources = [
            _buffer(_pointer(e, f"in{k}"), watch if k in donated else None) for k in range(len(invars))
        ]
        given = candidates([v.aval for v in invars], [v.aval for v in outvars], donated)
        targets = [_buffer(_pointer(e, f"out{k}"), watch if donated else None) for k in range(len(outvars))]
        if not donated:  # whose memory is in the cache when it is written over
            for buffer in targets:
                buffer.streams = streaming.possible()
        args = [View(b, v.aval.shape, v.aval.dtype) for b, v in zip(sources, invars, strict=True)]
        results = [View(b, v.aval.shape, v.aval.dtype) for b, v in zip(targets, outvars, strict=True)]
        final = lw.run(
            self.program, args, results, [None if k is None else args[k] for k in given] if donated else ()
        )
        lw.flush()
        if lw.segments is not None:
            lw.segments.finish()
        self.aliases: dict[int, int] = {}
        self.overwritten: list[int] = []
        if donated:
            self._find_aliases(watch, sources, targets, final, args, given, donated)
        constants = [_pointer(e, f"const{k}") for k in range(len(lw.constants))]
        own = [k for k in range(len(outvars)) if k not in self.aliases]
        frame = [
            *[_address(b) for b in sources],
            *constants,
            *[_address(targets[k]) for k in own],
            *([lw.arena_base] if lw.arena.size else []),
        ]
        head = []
        for k, pointer in enumerate(frame):
            place = f"%frame.{k}" if k else "%frame"
            if k:
                head.append(f"{place} = getelementptr ptr, ptr %frame, i64 {k}")
            head.append(f"{pointer.name} = load ptr, ptr {place}, align 8")
        for k, source in self.aliases.items():
            head.append(
                f"{_address(targets[k]).name} = getelementptr i8, ptr {_address(sources[source]).name}, i64 0"
            )
        tail = ["ret i32 0", "failed:", "ret i32 2", "interrupted:", "ret i32 1"]
        body = "\n".join(["entry:", *head, e.text(), *tail])
        module.add(Function("program", "i32", "ptr %frame", body, True))
        self.text = module.text()
        self.arena_bytes = lw.arena.size
        self.work = module.work + module.elsewhere
        self.constants = lw.constants

    def _find_aliases(
        self,
        watch: Watch,
        sources: Sequence[Buffer],
        targets: Sequence[Buffer],
        final: Sequence[Node],
        args: Sequence[View],
        given: Sequence[int | None],
        donated: Sequence[int],
    ) -> None:
        """Decide which results are in the memory of which donated inputs."""
        self.overwritten = [k for k in donated if _address(sources[k]).name in self.lowering.renewals]
        for j, (node, k) in enumerate(zip(final, given, strict=True)):
            if k is not None and same_place(node, args[k]):
                self.aliases[j] = k  # it has been made there
        left = [k for k in donated if k not in self.aliases.values() and k not in self.overwritten]
        for j, (target, first) in enumerate(zip(targets, given, strict=True)):
            if j in self.aliases:
                continue
            aval = self.program.outvars[j].aval
            for k in sorted(left, key=lambda k: k != first):
                source, kind = sources[k], self.program.invars[k].aval
                assert isinstance(source, WatchedBuffer) and isinstance(target, WatchedBuffer)
                fits = (kind.shape, kind.dtype) == (aval.shape, aval.dtype)
                if fits and aval.size and watch.overwrites(source, target):
                    self.aliases[j] = k
                    left.remove(k)
                    break
        self.overwritten = sorted({*self.overwritten, *self.aliases.values()})

    def plan(self) -> Blueprint:
        """What an executable is made from."""
        module = self.lowering.module
        lines = self.text.count("\n")
        levels = tiers.tiers(module, lines, straight=" phi " not in self.text)
        return Blueprint(
            ModuleText(self.text),
            list(module.declarations),
            levels.first,
            levels.hot,
            tiers.calls_until_hot(module, lines),
            self.arena_bytes,
            self.work,
            self.aliases,
            self.overwritten,
            self.constants,
        )

    def finish(self, plan: Blueprint | None = None) -> Any:
        """Generate code and link it."""
        report = f"lowering {1e3 * self.seconds:.1f} ms, "
        return executable_of(self.program, plan or self.plan(), self.lowering.host_calls, report, self.stream)


def executable_of(
    program: Program,
    plan: Blueprint,
    host_calls: Sequence[HostCall] = (),
    report: str = "",
    stream: generation.Stream | None = None,
) -> Any:
    """The executable that a blueprint describes.

    Args:
        program: whose inputs and outputs it has.
        plan: what compiling found.
        host_calls: what it runs in Python.
        report: how the blueprint was made.
        stream: where parts of the code may be in the making.
    """
    native = runtime.native()
    host = HostCalls(host_calls) if host_calls else None
    libraries = (blas, scalars, substitution)
    symbols = native.symbols_for(plan.names)
    for library in libraries:
        symbols |= library.symbols(plan.names)
    if host is not None:
        symbols["pb_host"] = host.address
    times = [time.perf_counter()]
    level, module = plan.first, plan.module
    machine_code = None
    if cache.folder_now() is not None:
        for level in sorted({plan.first, plan.hot}, reverse=True):  # at last it is the first one
            machine_code = cache.read(module.keys[level])
            if machine_code is not None:
                break
    known = machine_code is not None
    if machine_code is None:
        machine_code = cache.compiled(module.text, opt=level, stream=stream)
    times.append(time.perf_counter())
    code = jit.link(machine_code, symbols, ("program",))
    times.append(time.perf_counter())
    out_avals = program.out_avals
    executable = Executable(
        code,
        program.in_avals,
        [a for k, a in enumerate(out_avals) if k not in plan.aliases],
        constants=plan.constants,
        arena_bytes=plan.arena_bytes,
        release_gil=plan.work > LONG,
        on_failure=None if host is None else host.raise_error,
    )
    if plan.hot > level:
        executable.promote_after(plan.calls, tiers.Promotion(executable, module, symbols, plan.hot))
    generation, linking = [1e3 * t for t in (times[1] - times[0], times[2] - times[1])]
    executable.report = (
        report
        + ("code from the cache on disk" if known else f"code generation {generation:.1f} ms")
        + f", linking {linking:.1f} ms; {plan.arena_bytes} bytes of scratch memory"
        + (f", {len(host_calls)} host calls" if host_calls else "")
    )
    if not plan.overwritten:
        return executable
    return DonatingExecutable(executable, plan.aliases, plan.overwritten, out_avals)


def simplified(program: Program) -> Program:
    """The program as it is lowered: without calls, and without what nobody needs."""
    found: Program | None = program.memo.get("simplified")
    if found is None:
        found = program.memo["simplified"] = without_unused(inline_calls(program))
    return found


def _pointer(e: Emitter, name: str) -> Value:
    return Value(f"{e.own}{name}", "ptr", 1, 0)


def _buffer(address: Value, watch: Watch | None) -> Buffer:
    return Buffer(address) if watch is None else WatchedBuffer(address, watch)


def _address(buffer: Buffer) -> Value:
    address = buffer.address
    assert address is not None
    return address


class LlvmEngine:
    """The engine that compiles programs to native code with LLVM."""

    name = "llvm"

    def compile(self, program: Program) -> Any:
        return self.compile_donating(program, ())

    def compile_donating(self, program: Program, donated: Sequence[int]) -> Any:
        """An executable that may use the memory of the inputs with the numbers `donated`."""
        if cache.folder_now() is None:
            return Compilation(program, donated, ahead=True).finish()
        key = fingerprint(program, donated)
        plan = None if key is None else blueprint.load(key)
        if plan is not None and (background_compilation.value or plan.first == plan.hot):
            return executable_of(program, plan)
        compilation = Compilation(program, donated, ahead=True)
        plan = compilation.plan()
        made = compilation.finish(plan)
        if key is not None and not compilation.lowering.host_calls:
            blueprint.save(key, plan)
        return made

    def inspect(self, program: Program, donated: Sequence[int] = ()) -> LlvmInspection:
        """The stages of compilation, to look at."""
        first = Compilation(program, donated)
        return LlvmInspection(
            first, lambda observer: Compilation(program, donated, observer, shares=first.shares)
        )


engine = LlvmEngine()

__all__: Sequence[str] = ["Compilation", "LlvmEngine", "engine"]
