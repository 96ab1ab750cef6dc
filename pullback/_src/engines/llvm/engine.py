"""The LLVM engine: programs as native code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core import engine as registry
from ...core.aval import ShapedArray
from ...core.program import Program
from ...transforms.simplify import eliminate_dead_code
from . import blas, cache, jit, runtime
from .executable import Executable
from .host import HostCalls, host_call
from .inline import inline_calls
from .ir import Emitter, Module, Value
from .lower import Lowering
from .math import scalars
from .nodes import Buffer, View


LONG = 20_000.0  # ns of a program during which other Python threads may run


class Compilation:
    """A program's way to native code; the stages can be looked at."""

    def __init__(self, program: Program) -> None:
        registry.load_eager()
        self.program = eliminate_dead_code(inline_calls(program))
        module = Module()
        e = Emitter(module)
        # The frame's pointers. Constants are found while lowering; their names come before their places.
        self.lowering = lw = Lowering(module, e, _pointer(e, "arena"), host_call)
        args = [_argument(_pointer(e, f"in{k}"), v.aval) for k, v in enumerate(self.program.invars)]
        results = [_argument(_pointer(e, f"out{k}"), v.aval) for k, v in enumerate(self.program.outvars)]
        lw.run(self.program, args, results)
        lw.flush()
        constants = [_pointer(e, f"const{k}") for k in range(len(lw.constants))]
        frame = [*[v.buffer.base for v in args], *constants, *[v.buffer.base for v in results], lw.arena_base]
        head = []
        for k, pointer in enumerate(frame):
            assert pointer is not None
            head.append(f"%frame.{k} = getelementptr ptr, ptr %frame, i64 {k}")
            head.append(f"{pointer.name} = load ptr, ptr %frame.{k}, align 8")
        tail = ["ret i32 0", "failed:", "ret i32 2", "interrupted:", "ret i32 1"]
        module.functions.append(
            "\n".join(["define i32 @program(ptr %frame) {", "entry:", *head, e.text(), *tail, "}"])
        )
        self.text = module.text()
        self.arena_bytes = lw.arena.size
        self.work = module.work
        self.constants = lw.constants

    def finish(self) -> Executable:
        """Generate code and link it."""
        native = runtime.native()
        host = HostCalls(self.lowering.host_calls)
        names = self.lowering.module.declarations
        symbols = {**native.symbols, **blas.symbols(names), **scalars.symbols(names)}
        symbols["pb_host"] = host.address
        code = jit.link(cache.compiled(self.text, opt=1), symbols, ("program",))
        executable = Executable(
            code,
            [v.aval for v in self.program.invars],
            [v.aval for v in self.program.outvars],
            constants=self.constants,
            arena_bytes=self.arena_bytes,
            release_gil=self.work > LONG,
            on_failure=host.raise_error,
        )
        return executable


def _pointer(e: Emitter, name: str) -> Value:
    return Value(f"{e.own}{name}", "ptr", 1, 0)


def _argument(base: Value, aval: ShapedArray) -> View:
    return View(Buffer(base), aval.shape, aval.dtype)


class LlvmEngine:
    """The engine that compiles programs to native code with LLVM."""

    name = "llvm"

    def compile(self, program: Program) -> Any:
        return Compilation(program).finish()


engine = LlvmEngine()

__all__: Sequence[str] = ["Compilation", "LlvmEngine", "engine"]
