"""Interrupts, in processes of their own: a signal could otherwise hit the test runner."""

import subprocess
import sys

import pytest

SCRIPT = """
import os, signal, sys, threading, time
import numpy as np
from pullback._src.core.array import wrap
from pullback._src.engines.llvm import jit, runtime
from pullback._src.engines.llvm.executable import Executable
from tests.engines.llvm import modules

text, release_gil, threads = getattr(modules, sys.argv[1]), sys.argv[2] == "True", int(sys.argv[3])
os.environ.pop("PULLBACK_NUM_THREADS", None)
from pullback._src.base.config import config
config.update("num_threads", threads)
table = np.zeros(1_000_001, np.int64)
table[0] = 1_000_000
x = wrap(table)
code = jit.link(jit.compile_ir(text), runtime.native().symbols)
run = Executable(code, [x.aval], [x.aval], release_gil=release_gil)
fast = run.entry()

def handler(number, frame):
    handled.append(number)
handled = []
signal.signal(signal.SIGUSR1, handler)  # a handler that does not raise does not stop the program
child = os.fork()
if child == 0:
    time.sleep(0.2)
    os.kill(os.getppid(), signal.SIGUSR1)
    time.sleep(0.2)
    os.kill(os.getppid(), signal.SIGINT)
    os._exit(0)
start = time.monotonic()
try:
    fast(x)
    print("finished")
except KeyboardInterrupt:
    print("interrupted", handled == [signal.SIGUSR1], time.monotonic() - start < 10)
os.waitpid(child, 0)
small = jit.link(jit.compile_ir(modules.add_one(8)), runtime.native().symbols)
y = wrap(np.zeros(8, np.float32))
print(Executable(small, [y.aval], [y.aval])([y])[0].tolist()[0])
"""


@pytest.mark.parametrize(
    ("program", "release_gil", "threads"),
    [("ENDLESS", False, 1), ("ENDLESS", True, 1), ("PARALLEL", True, 1), ("PARALLEL", True, 3)],
)
def test_control_c_ends_a_program(program: str, release_gil: bool, threads: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, program, str(release_gil), str(threads)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.stdout == "interrupted True True\n1.0\n", ended.stderr


OTHER = """
import os, signal, threading, time
import numpy as np
from pullback._src.core.array import wrap
from pullback._src.engines.llvm import jit, runtime
from pullback._src.engines.llvm.executable import Executable
from tests.engines.llvm import modules

table = np.zeros(1_000_001, np.int64)
table[0] = 300
x = wrap(table)
run = Executable(
    jit.link(jit.compile_ir(modules.PARALLEL), runtime.native().symbols), [x.aval], [x.aval], release_gil=True
)
endless = Executable(
    jit.link(jit.compile_ir(modules.ENDLESS), runtime.native().symbols), [x.aval], [x.aval], release_gil=True
)
worker = threading.Thread(target=run, args=([x],))
worker.start()
child = os.fork()
if child == 0:
    time.sleep(0.1)
    os.kill(os.getppid(), signal.SIGINT)
    os._exit(0)
try:
    endless([x])
except KeyboardInterrupt:
    print("interrupted")
worker.join()
print((table[1:] == 1).all())
"""


def test_programs_of_other_threads_go_on() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", OTHER], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout == "interrupted\nTrue\n", ended.stderr


LONG = """
import os, signal, sys, time
import numpy as np
import pullback as pb
import pullback.numpy as jnp
from pullback import lax

random = np.random.default_rng(0)

def scatter(n):
    return (lambda x, i: x.at[i].add(1.0)), (np.zeros(n, np.float32), random.integers(0, n, n, np.int32))

def rows(n):
    i = random.integers(0, 100, n // 1000, np.int32)
    return (lambda x, i: x.at[i].add(jnp.float32(1))), (np.zeros((100, 100_000), np.float32), i)

def sort(n):
    return jnp.sort, (random.standard_normal(n).astype(np.float32),)

def argsort(n):
    return jnp.argsort, (random.standard_normal(n).astype(np.float32),)

def pairs(n):
    keys = random.integers(0, 1000, n, np.int32)
    return (lambda x, y: lax.sort((x, y), num_keys=2)), (keys, random.standard_normal(n).astype(np.float32))

def short_rows(n):
    return (lambda x: jnp.argsort(x, axis=1)), (random.standard_normal((n // 100, 100)).astype(np.float32),)

def turns(n):
    def turn(c, x):
        return jnp.linalg.cholesky(c) + x, x.sum()
    return (lambda xs: lax.scan(turn, 9 * jnp.eye(100), xs)), (np.zeros((n // 1000, 100, 100), np.float32),)

def turns_of(n):
    return lax.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, jnp.sin(s[1])), (0, jnp.float32(1)))[1]

def lanes(n):
    return (lambda ns: lax.map(turns_of, ns)), (np.full(16, n // 16, np.int32),)

def one_lane(n):  # the others are done, and who made them waits
    return (lambda ns: lax.map(turns_of, ns)), (np.array([20_000] * 15 + [n], np.int32),)

def bodies(n):
    body = lambda row: jnp.tanh(jnp.sin(row)).sum()
    return (lambda x: lax.map(body, x)), (np.ones((n // 100, 100), np.float32),)

pb.config.update("num_threads", int(sys.argv[2]))
size = 2_000_000
while True:  # as much as takes a second
    function, args = globals()[sys.argv[1]](size)
    args = [jnp.asarray(a) for a in args]
    function = pb.jit(function).lower(*args).compile()
    start = time.monotonic()
    function(*args)
    whole = time.monotonic() - start
    if whole > 0.8 or size > 2**27:
        break
    size *= 2 if whole > 0.2 else 4
child = os.fork()
if child == 0:
    time.sleep(0.2 * whole)
    os.kill(os.getppid(), signal.SIGINT)
    os._exit(0)
start = time.monotonic()
try:
    function(*args)
    print("finished")
except KeyboardInterrupt:
    took = time.monotonic() - start
    print("interrupted", took < 0.7 * whole or (took, whole))
os.waitpid(child, 0)
"""


@pytest.mark.parametrize(
    ("program", "threads"),
    [
        *[
            ("scatter", 1),
            ("rows", 1),
            ("sort", 1),
            ("argsort", 1),
            ("pairs", 3),
            ("short_rows", 3),
            ("turns", 3),
        ],
        *[("lanes", 1), ("lanes", 3), ("one_lane", 3), ("bodies", 3)],
    ],
)
def test_control_c_ends_long_operations(program: str, threads: int) -> None:
    """Those whose loops are not shared between threads, long turns of loops, and turns that threads share."""
    ended = subprocess.run(
        [sys.executable, "-c", LONG, program, str(threads)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.stdout == "interrupted True\n", ended.stderr
