"""The LLVM engine: programs as native code."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ...core import engine as registry
from ...core.program import Program
from ...transforms.simplify import eliminate_dead_code
from . import blas, cache, jit, runtime, substitution, tiers
from .donation import DonatingExecutable, Watch, WatchedBuffer, candidates
from .executable import Executable
from .host import HostCalls, host_call
from .inline import inline_calls
from .inspection import LlvmInspection
from .ir import Emitter, Module, Value
from .lower import Lowering, Observer, same_place
from .math import scalars
from .nodes import Buffer, Node, View

LONG = 20_000.0  # ns of a program during which other Python threads may run
LONG_PROGRAM = 96  # equations


class Compilation:
    """A program's way to native code; the stages can be looked at.

    Args:
        program: what is compiled.
        donated: inputs whose memory may be used for results.
        observer: is told what the lowering does.

    Attributes:
        aliases: results that are in the memory of an input, with the number of that.
        overwritten: inputs whose memory is written over.
    """

    def __init__(
        self, program: Program, donated: Sequence[int] = (), observer: Observer | None = None
    ) -> None:
        started = time.perf_counter()
        registry.load_eager()
        self.program = eliminate_dead_code(inline_calls(program))
        module = Module()
        module.long = len(self.program.eqns) >= LONG_PROGRAM
        e = Emitter(module)
        watch = Watch(observer or Observer())
        # The frame's pointers. Constants are found while lowering; their names come before their places.
        self.lowering = lw = Lowering(
            module, e, _pointer(e, "arena"), host_call, watch if donated else observer
        )
        invars, outvars = self.program.invars, self.program.outvars
        sources = [
            _buffer(_pointer(e, f"in{k}"), watch if k in donated else None) for k in range(len(invars))
        ]
        given = candidates([v.aval for v in invars], [v.aval for v in outvars], donated)
        targets = [_buffer(_pointer(e, f"out{k}"), watch if donated else None) for k in range(len(outvars))]
        args = [View(b, v.aval.shape, v.aval.dtype) for b, v in zip(sources, invars, strict=True)]
        results = [View(b, v.aval.shape, v.aval.dtype) for b, v in zip(targets, outvars, strict=True)]
        final = lw.run(
            self.program, args, results, [None if k is None else args[k] for k in given] if donated else ()
        )
        lw.flush()
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
            lw.arena_base,
        ]
        head = []
        for k, pointer in enumerate(frame):
            head.append(f"%frame.{k} = getelementptr ptr, ptr %frame, i64 {k}")
            head.append(f"{pointer.name} = load ptr, ptr %frame.{k}, align 8")
        for k, source in self.aliases.items():
            head.append(
                f"{_address(targets[k]).name} = getelementptr i8, ptr {_address(sources[source]).name}, i64 0"
            )
        tail = ["ret i32 0", "failed:", "ret i32 2", "interrupted:", "ret i32 1"]
        module.functions.append(
            "\n".join(["define i32 @program(ptr %frame) {", "entry:", *head, e.text(), *tail, "}"])
        )
        self.text = module.text()
        self.arena_bytes = lw.arena.size
        self.work = module.work
        self.constants = lw.constants
        self.seconds = time.perf_counter() - started

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

    def finish(self) -> Any:
        """Generate code and link it."""
        native = runtime.native()
        host = HostCalls(self.lowering.host_calls)
        names = self.lowering.module.declarations
        libraries = (blas, scalars, substitution)
        symbols = {**native.symbols, **{k: v for lib in libraries for k, v in lib.symbols(names).items()}}
        symbols["pb_host"] = host.address
        times = [time.perf_counter()]
        levels = tiers.tiers(self.lowering.module, self.text)
        better = cache.known(self.text, opt=levels.hot) if levels.hot > levels.first else None
        if better is not None:
            machine_code, known, levels = better, True, tiers.Tiers(levels.hot, levels.hot)
        else:
            machine_code, known = cache.compiled_or_known(self.text, opt=levels.first)
        times.append(time.perf_counter())
        code = jit.link(machine_code, symbols, ("program",))
        times.append(time.perf_counter())
        outvars = self.program.outvars
        executable = Executable(
            code,
            [v.aval for v in self.program.invars],
            [v.aval for k, v in enumerate(outvars) if k not in self.aliases],
            constants=self.constants,
            arena_bytes=self.arena_bytes,
            release_gil=self.work > LONG,
            on_failure=host.raise_error,
        )
        if levels.hot > levels.first:
            executable.promote_after(
                tiers.calls_until_hot(self.lowering.module, self.text),
                tiers.Promotion(executable, self.text, symbols, levels.hot),
            )
        lowering, generation, linking = [
            1e3 * t for t in (self.seconds, times[1] - times[0], times[2] - times[1])
        ]
        executable.report = (
            f"lowering {lowering:.1f} ms, "
            + ("code from the cache on disk" if known else f"code generation {generation:.1f} ms")
            + f", linking {linking:.1f} ms; {self.arena_bytes} bytes of scratch memory"
            + (f", {len(self.lowering.host_calls)} host calls" if self.lowering.host_calls else "")
        )
        if not self.overwritten:
            return executable
        return DonatingExecutable(executable, self.aliases, self.overwritten, [v.aval for v in outvars])


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
        return Compilation(program).finish()

    def compile_donating(self, program: Program, donated: Sequence[int]) -> Any:
        """An executable that may use the memory of the inputs with the numbers `donated`."""
        return Compilation(program, donated).finish()

    def inspect(self, program: Program, donated: Sequence[int] = ()) -> LlvmInspection:
        """The stages of compilation, to look at."""
        return LlvmInspection(
            Compilation(program, donated), lambda observer: Compilation(program, donated, observer)
        )


engine = LlvmEngine()

__all__: Sequence[str] = ["Compilation", "LlvmEngine", "engine"]
