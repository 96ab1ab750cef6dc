import ctypes
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from pullback._src.engines.llvm import jit, runtime

from .modules import FEW, PARALLEL


@pytest.fixture(scope="module")
def code() -> jit.Linked:
    return jit.link(jit.compile_ir(PARALLEL), runtime.native().symbols, ("program", "run"))


@pytest.fixture
def run(code: jit.Linked) -> Iterator[Callable[[np.ndarray, int], int]]:
    function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int64)(code.address("run"))
    yield lambda table, chunks: function(table.ctypes.data, chunks)
    runtime.native().set_threads(runtime.thread_count())


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("chunks", [0, 1, 2, 3, 50])
def test_each_chunk_runs_once(run: Callable[..., int], threads: int, chunks: int) -> None:
    runtime.native().set_threads(threads)
    table = np.zeros(chunks + 1, np.int64)
    table[0] = 20
    for _ in range(200):
        assert run(table, chunks) == 0
    assert (table[1:] == 200).all()
    assert runtime.workers_started() >= min(threads, chunks) - 1


@pytest.mark.parametrize("wait", [0, 1])
@pytest.mark.parametrize("most", [1, 2, 3])
def test_few_threads(most: int, wait: int) -> None:
    """At most so many threads, whose numbers are below that, run each chunk once; the caller begins."""
    code = jit.link(jit.compile_ir(FEW), runtime.native().symbols, ("run",))
    types = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int32
    function = ctypes.CFUNCTYPE(ctypes.c_int, *types)(code.address("run"))

    def run(threads: int, chunks: int, steps: int) -> set[int]:
        """The numbers of the threads that ran a chunk."""
        runtime.native().set_threads(threads)
        table = np.zeros(chunks + 2, np.int64)
        table[0] = steps
        assert function(table.ctypes.data, chunks, most, wait) == 0
        numbers = table[1:-1] - 1
        assert table[-1] == 0
        assert ((numbers >= 0) & (numbers < min(threads, most))).all()
        if wait and chunks:
            assert numbers[0] == 0
        return set(numbers.tolist())

    for threads in (1, 2, 5):
        for chunks in (0, 1, 2, 3, 40):
            for steps in (1, 20_000):
                run(threads, chunks, steps)
    seen: set[int] = set()
    for _ in range(1000):  # on a busy machine some thread may come late
        seen |= run(5, 40, 20_000)
        if seen == set(range(most)):
            break
    else:
        raise AssertionError(f"only {seen} have run chunks")
    runtime.native().set_threads(runtime.thread_count())


def test_workers_wake_up_after_a_pause(run: Callable[..., int]) -> None:
    runtime.native().set_threads(3)
    table = np.zeros(4, np.int64)
    for _ in range(5):
        threading.Event().wait(0.005)
        run(table, 3)
    assert (table[1:] == 5).all()


def test_callers_in_several_threads(run: Callable[..., int]) -> None:
    runtime.native().set_threads(3)
    tables = [np.zeros(31, np.int64) for _ in range(5)]

    def work(table: np.ndarray) -> None:
        table[0] = 30
        for _ in range(300):
            run(table, 30)

    workers = [threading.Thread(target=work, args=(t,)) for t in tables]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert all((t[1:] == 300).all() for t in tables)


def test_parallel_inside_of_parallel() -> None:
    text = """
    declare i32 @pb_parallel(ptr, ptr, i64)
    define internal void @inner(ptr %count, i64 %chunk, i64 %thread) {
      %old = atomicrmw add ptr %count, i64 1 monotonic
      ret void
    }
    define internal void @outer(ptr %count, i64 %chunk, i64 %thread) {
      %status = call i32 @pb_parallel(ptr @inner, ptr %count, i64 7)
      ret void
    }
    define i32 @program(ptr %count) {
      %status = call i32 @pb_parallel(ptr @outer, ptr %count, i64 11)
      ret i32 %status
    }"""
    runtime.native().set_threads(3)
    linked = jit.link(jit.compile_ir(text), runtime.native().symbols)
    count = ctypes.c_int64()
    for _ in range(50):
        ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(linked.address("program"))(ctypes.addressof(count))
    assert count.value == 50 * 77


# Forks happen in processes of their own: the test runner's may have threads of other libraries.
FORK = """
import ctypes, os, sys, threading
import numpy as np
from pullback._src.engines.llvm import jit, runtime
from tests.engines.llvm.modules import PARALLEL

code = jit.link(jit.compile_ir(PARALLEL), runtime.native().symbols, ("program", "run"))
function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int64)(code.address("run"))
runtime.native().set_threads(3)
table = np.zeros(21, np.int64)
table[0] = 20
function(table.ctypes.data, 20)
child = os.fork()
if child == 0:
    good = False
    try:
        started = runtime.workers_started()
        for _ in range(20):
            function(table.ctypes.data, 20)
        good = started == 0 and runtime.workers_started() == 2 and bool((table[1:] == 21).all())
    finally:
        os._exit(0 if good else 1)
assert os.waitpid(child, 0)[1] == 0
function(table.ctypes.data, 20)
assert (table[1:] == 2).all()
print("done")
"""

FORK_WHILE_COMPILING = """
import ctypes, os, threading
from pullback._src.engines.llvm import jit

text = "define i32 @program(ptr %frame) {{\\n  ret i32 {}\\n}}"
done = threading.Event()

def work():
    while not done.is_set():
        jit.link(jit.compile_ir(text.format(0)), {})

worker = threading.Thread(target=work)
worker.start()
try:
    for number in range(1, 6):
        child = os.fork()
        if child == 0:
            code = 100
            try:
                linked = jit.link(jit.compile_ir(text.format(number)), {})
                code = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(linked.address("program"))(None)
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == number
finally:
    done.set()
    worker.join()
print("done")
"""


@pytest.mark.parametrize(
    "script", [FORK, FORK_WHILE_COMPILING], ids=["workers", "while another thread compiles"]
)
def test_a_forked_child_goes_on(script: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr


EXIT = """
import ctypes, sys, threading, time
import numpy as np
from pullback._src.engines.llvm import jit, runtime
from tests.engines.llvm.modules import PARALLEL
native = runtime.native()
native.set_threads(3)
code = jit.link(jit.compile_ir(PARALLEL), native.symbols, ("program", "run"))
run = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int64)(code.address("run"))
table = np.zeros(5, np.int64)
run(table.ctypes.data, 4)
if sys.argv[1] == "asleep":
    time.sleep(0.01)
elif sys.argv[1] == "inside":  # a thread that is in compiled code when the process ends
    long = np.full(5, 1 << 40)
    threading.Thread(target=run, args=(long.ctypes.data, 4), daemon=True).start()
    time.sleep(0.01)
print("done", (table[1:] == 1).all())
"""


@pytest.mark.parametrize("state", ["spinning", "asleep", "inside"])
def test_the_process_ends(state: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", EXIT, state], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "done True\n"), ended.stderr
