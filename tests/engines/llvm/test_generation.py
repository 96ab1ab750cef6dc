"""Modules in parts, which native threads compile while Python goes on."""

import ctypes
import subprocess
import sys

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback._src.base.config import enable_compilation_cache
from pullback._src.engines.llvm import generation, jit, runtime
from pullback._src.engines.llvm.engine import Compilation
from pullback._src.engines.llvm.module import PART, SEPARATOR, Function, Module

ANSWER = "define i32 @program() {{\nret i32 {value}\n}}\n"


def run(code: bytes) -> int:
    linked = jit.link(code, {})
    return ctypes.CFUNCTYPE(ctypes.c_int)(linked.address("program"))()


@pytest.fixture(autouse=True, scope="module")
def _linked() -> None:
    runtime.native()


def chain(module: Module, count: int, lines: int) -> None:
    """Functions that each add `lines` to a number; all call the one before."""
    before = None
    for k in range(count):
        body = [f"%v{n + 1} = add i32 %v{n}, 1" for n in range(lines)]
        if before:
            body.append(f"call void @{before}(ptr %p, i32 %v{lines})")
        else:
            body.append(f"store i32 %v{lines}, ptr %p")
        name = f"part{k}"
        module.add(Function(name, "void", "ptr %p, i32 %v0", "\n".join([*body, "ret void"]), False))
        before = name
    body = f"%p = alloca i32\ncall void @{before}(ptr %p, i32 0)\n%r = load i32, ptr %p\nret i32 %r"
    module.add(Function("program", "i32", "", body, True))


def test_parts_call_each_other() -> None:
    taken: list[str] = []
    module = Module(taken.append)
    chain(module, 10, 100)
    text = module.text()
    assert text.split(SEPARATOR)[:-1] == taken  # the last one is left to the caller
    assert 3 <= len(taken) <= 6
    assert all(part.count("\n") < 2 * PART for part in taken)
    assert run(generation.object_code(text, opt=0)) == 1000
    assert run(generation.by_itself(text, opt=0)) == 1000


def test_a_short_module_is_one_part() -> None:
    module = Module()
    chain(module, 2, 50)
    text = module.text()
    assert SEPARATOR not in text
    assert "define internal void @part0" in text
    assert run(generation.object_code(text)) == 100


def test_parts_hold_what_they_refer_to() -> None:
    """Constants, declarations and helper functions, and nothing else."""
    taken: list[str] = []
    module = Module(taken.append)
    module.globals["three"] = "@three = internal constant i32 3, align 4"
    module.declarations["helper"] = (
        "define internal i32 @helper(i32 %x) {\n%y = call i32 @llvm.smax.i32(i32 %x, i32 5)\nret i32 %y\n}"
    )
    module.declare("llvm.smax.i32", "i32", ["i32", "i32"])
    module.declare("unused", "void", [])
    filler = "\n".join(f"%v{n + 1} = add i32 %v{n}, 1" for n in range(PART))
    for k in range(2):
        body = (
            f"%v0 = load i32, ptr @three\n{filler}\n%r = call i32 @helper(i32 %v{PART})\nstore i32 %r, ptr %p"
        )
        module.add(Function(f"part{k}", "void", "ptr %p", f"{body}\nret void", False))
    body = "%p = alloca i32\ncall void @part1(ptr %p)\n%r = load i32, ptr %p\nret i32 %r"
    module.add(Function("program", "i32", "", body, True))
    text = module.text()
    assert len(taken) == 2
    assert "unused" not in text
    assert ["@helper" in part for part in text.split(SEPARATOR)] == [True, True, False]
    assert run(generation.object_code(text)) == PART + 3


def test_equal_functions_are_written_once() -> None:
    module = Module()
    names = [module.function("part", "ptr %p", "entry:\nret void") for _ in range(3)]
    assert names == ["part1"] * 3
    assert module.function("part", "ptr %q", "entry:\nret void") == "part2"


def test_what_was_begun_is_taken() -> None:
    parts = [ANSWER.format(value=7), "define i32 @other() {\nret i32 8\n}\n"]
    stream = generation.Stream(0)
    stream.add(*parts)
    task = stream.take(parts[1], 0)
    assert task is not None
    assert stream.take(parts[1], 0) is None
    assert stream.take(parts[0], 1) is None, "another effort is other code"
    assert run(generation.object_code(SEPARATOR.join(parts), opt=0, stream=stream)) == 7
    assert jit.code_size(task.result()) > 0


@pytest.mark.parametrize("threads", [0, 1])
def test_the_first_stream_prepares_a_thread(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = generation._driver[0]._replace(threads=lambda: threads)
    monkeypatch.setattr(generation, "_driver", [driver])
    monkeypatch.setattr(generation, "_prepared", [])
    streams = [generation.Stream(0) for _ in range(3)]
    assert len(generation._prepared) == threads, "without threads, the caller compiles all parts"
    assert all(jit.code_size(task.result()) > 0 for task in generation._prepared)
    assert [stream.take("", 0) for stream in streams] == [None] * 3


FIRST = """
import pullback as pb
from pullback._src.engines.llvm import generation
pb.config.update("enable_compilation_cache", False)
pb.config.update("num_threads", 2)
pb.jit(lambda x: x + 1)(1.0)
print(len(generation._prepared))
"""


def test_a_thread_is_prepared_with_the_first_program() -> None:
    command = [sys.executable, "-c", FIRST]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.stdout == "1\n", done.stderr


def test_the_same_code_as_alone() -> None:
    part = ANSWER.format(value=7)
    assert generation.Task(part, 1).result() == jit.compile_ir(part)


@pytest.mark.parametrize(
    "text", ["define nonsense", "define i32 @program() {\n%x = add i32 %y, 1\nret i32 %x\n}"]
)
def test_a_part_that_llvm_refuses(text: str) -> None:
    with pytest.raises(
        jit.CompileError, match=r"LLVM refused a module that the compiler wrote: .*(%y|expected type)"
    ):
        generation.Task(text, 0).result()
    good = ANSWER.format(value=3)
    with pytest.raises(jit.CompileError):
        generation.object_code(SEPARATOR.join([text, good]))
    assert run(generation.object_code(good)) == 3


def test_an_invalid_module_is_refused() -> None:
    """What can be parsed, but is no valid program: a value that is used before it exists."""
    text = "define i32 @program() {\nbr label %b\na:\n%x = add i32 1, 1\nret i32 %x\nb:\nret i32 %x\n}"
    with pytest.raises(jit.CompileError, match="dominate"):
        generation.Task(text, 0).result()


def test_tasks_that_nobody_asks() -> None:
    for k in range(20):
        generation.Task(ANSWER.format(value=k), 0)
    assert run(generation.Task(ANSWER.format(value=5), 0).result()) == 5


def test_more_tasks_than_the_ring_holds() -> None:
    tasks = [generation.Task(ANSWER.format(value=k), 0) for k in range(300)]
    assert [run(t.result()) for t in tasks[::30]] == list(range(0, 300, 30))


def test_one_long_part_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the thread that has written it."""
    begun: list[str] = []
    stream = generation.Stream(0)
    monkeypatch.setattr(generation, "Task", lambda text, opt: begun.append(text))
    module = Module(stream.add)
    body = "\n".join(["%v0 = add i32 1, 0", *[f"%v{n + 1} = add i32 %v{n}, 1" for n in range(2 * PART)]])
    module.add(Function("program", "i32", "", f"{body}\nret i32 %v{2 * PART}", True))
    assert run(generation.object_code(module.text(), opt=0, stream=stream)) == 2 * PART + 1
    assert not begun


def test_without_further_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = generation._driver[0]
    monkeypatch.setattr(generation, "_driver", [driver._replace(threads=lambda: 0)])
    test_parts_call_each_other()


def long_program(x: pb.Array) -> pb.Array:
    for k in range(12):
        x = pnp.tanh(x @ x.T + k) @ pnp.cumsum(pnp.sort(x, axis=1), axis=0) / (1 + pnp.abs(x).sum())
    return x


def test_programs_are_compiled_while_they_are_lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    task = generation.Task
    monkeypatch.setattr(generation, "Task", lambda text, opt: events.append("part") or task(text, opt))
    lowered = Compilation.__init__

    def lower(*args: object, **options: object) -> None:
        lowered(*args, **options)  # type: ignore[arg-type]
        events.append("lowered")

    monkeypatch.setattr(Compilation, "__init__", lower)
    x = np.random.default_rng(0).normal(size=(40, 40)).astype(np.float32)
    with enable_compilation_cache(False):
        found = np.asarray(pb.jit(long_program)(x))
    parts = events.count("part")
    assert parts >= 3
    assert events.index("lowered") == parts - 1, "only the last one is left to begin after lowering"
    np.testing.assert_allclose(found, np.asarray(long_program(pnp.asarray(x))), rtol=2e-4, atol=1e-5)


FORK = """
import os, sys, threading
import numpy as np
import pullback as pb, pullback.numpy as pnp
pb.config.update("enable_compilation_cache", False)
def program(k):
    def f(x):
        for i in range(4):
            x = pnp.tanh(x @ x.T + k + i) @ pnp.cumsum(x, axis=0)
        return x
    return pb.jit(f)
x = np.ones((30, 30), np.float32)
program(-1)(x)
stop = threading.Event()
def compile_on():
    k = 0
    while not stop.is_set():
        program(k)(x); k += 1
thread = threading.Thread(target=compile_on); thread.start()
for _ in range(5):
    child = os.fork()
    if child == 0:
        ok = np.isfinite(np.asarray(program(1000)(x))).all()
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
stop.set(); thread.join()
print("fine")
"""


def test_forks_and_threads_beside_it() -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORK]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.stdout == "fine\n", done.stderr


def test_an_error_while_lowering_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Module) -> str:
        raise RuntimeError("stopped here")

    x = np.ones((40, 40), np.float32)
    with enable_compilation_cache(False), monkeypatch.context() as patch:
        patch.setattr(Module, "text", fail)
        with pytest.raises(RuntimeError, match="stopped here"):
            pb.jit(lambda x: long_program(x) + 1)(x)
    assert np.isfinite(np.asarray(pb.jit(lambda x: long_program(x) + 2)(x))).all()
