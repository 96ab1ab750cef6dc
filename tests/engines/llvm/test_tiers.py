"""Programs are compiled quickly, and better when they are hot."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import lax
from pullback._src.base.config import background_compilation, compilation_cache_dir, enable_compilation_cache
from pullback._src.engines.llvm import control, jit, tiers
from pullback._src.engines.llvm.engine import LONG, Compilation


@pytest.fixture
def efforts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The levels at which modules are compiled, in order."""
    seen: list[int] = []
    compile_ir = jit.compile_ir

    def counted(text: str, *, opt: int = 1) -> bytes:
        seen.append(opt)
        return compile_ir(text, opt=opt)

    monkeypatch.setattr(jit, "compile_ir", counted)
    with enable_compilation_cache(False):
        yield seen


def wave(x: Any) -> Any:
    return pnp.tanh(x) * pnp.exp(-x * x) + pnp.sin(x)


def call_until_hot(f: Callable[..., Any], *args: Any) -> list[bytes]:
    results = [np.asarray(f(*args)).tobytes() for _ in range(tiers.PATIENCE + 5)]
    tiers.wait()
    return [*results, np.asarray(f(*args)).tobytes()]


def test_a_hot_program_is_compiled_again_and_its_results_stay(efforts: list[int]) -> None:
    pb.jit(wave)(pnp.ones(3))  # what the first program of a process needs is there now
    efforts.clear()
    f, x = pb.jit(wave), pnp.linspace(-3, 3, 1001)
    f(x)
    assert efforts == [0]
    assert len(set(call_until_hot(f, x))) == 1
    assert efforts == [0, 1]
    call_until_hot(f, x)
    assert efforts == [0, 1]


def test_a_program_that_is_called_twice_stays_as_it_is(efforts: list[int]) -> None:
    f, x = pb.jit(lambda x: wave(x) + 1), pnp.linspace(-3, 3, 1001)
    f(x)
    efforts.clear()
    f(x)
    tiers.wait()
    assert efforts == []


def test_without_background_compilation_there_is_one_level(efforts: list[int]) -> None:
    with background_compilation(False):
        f, x = pb.jit(lambda x: wave(x) + 2), pnp.linspace(-3, 3, 1001)
        call_until_hot(f, x)
    assert efforts[-1] == 1
    assert efforts.count(1) == 1


def test_loops_that_may_be_long_are_compiled_well_at_once(efforts: list[int]) -> None:
    f = pb.jit(lambda x: lax.while_loop(lambda s: s[0] < 1e9, lambda s: (s[0] + 1, s[1] * 1.5), (x, x))[1])
    f(2e9)
    assert efforts[-1] == 1


SQUARE = pnp.asarray(np.eye(200, dtype=np.float32))
OF_MATRICES: dict[str, Callable[[Any], Any]] = {
    "matmul": lambda x: x @ x,
    "cholesky": lax.linalg.cholesky,
    "triangular_solve": lambda x: lax.linalg.triangular_solve(x, x, left_side=True, lower=True),
    "lu": lax.linalg.lu,
    "solve": lambda x: pnp.linalg.solve(x, x),
    "inv": pnp.linalg.inv,
    "det": pnp.linalg.det,
    "qr": lax.linalg.qr,
    "eigh": lax.linalg.eigh,
    "svd": lax.linalg.svd,
    "conv": lambda x: lax.conv(x[None, None], pnp.ones((16, 1, 7, 7), np.float32), (1, 1), "SAME"),
    "in a call": lambda x: pb.jit(pb.jit(pnp.matmul))(x, x),
    "in a loop": lambda x: lax.fori_loop(0, 200, lambda _, y: y @ y, x[:40, :40]),
}


@pytest.mark.parametrize("name", OF_MATRICES)
def test_the_work_of_libraries_is_counted(name: str) -> None:
    """It lets other threads of Python run; a better level of the code generator would not make it quicker."""
    found = compilation(OF_MATRICES[name], SQUARE)
    module = found.lowering.module
    assert module.elsewhere > 5_000
    assert found.work == module.work + module.elsewhere > LONG
    assert tiers.tiers(module, found.text.count("\n")).first == 0


@pytest.mark.parametrize("name", ["cholesky", "eigh", "svd", "matmul", "qr"])
def test_the_estimate_grows_with_the_matrices(name: str) -> None:
    small, large = [
        compilation(OF_MATRICES[name], pnp.zeros((n, n), np.float32)).lowering.module.elsewhere
        for n in (200, 400)
    ]
    assert 7 < large / small < 8.1


def test_other_work_of_the_program_is_counted() -> None:
    x = pnp.zeros(40_000, np.float32)
    i = pnp.zeros(40_000, np.int32)
    for f in (pnp.cumsum, lambda x: lax.sort_key_val(x, x), pnp.zeros(9).at[i].add):
        module = compilation(f, x).lowering.module
        assert module.work > 10_000
        assert module.elsewhere == 0


def compilation(f: Callable[..., Any], *args: Any) -> Compilation:
    return Compilation(pb.jit(f).stage(args, {}).open_program)


def test_short_straight_code_is_the_same_at_all_levels(efforts: list[int]) -> None:
    f = pb.jit(lambda x: x * 2 + 1)
    call_until_hot(f, pnp.ones(3))
    assert efforts[-1] == 0


def test_straight_code_with_more_values_than_registers_is_compiled_again(efforts: list[int]) -> None:
    def fun(x: Any) -> Any:
        v = [x[i] for i in range(12)]
        for _ in range(12):
            v = [v[i] * v[(i + 5) % 12] - v[(i + 1) % 12] for i in range(12)]
        return pnp.stack(v)

    f, x = pb.jit(fun), pnp.linspace(-1, 1, 12)
    f(x)
    assert efforts[-1] == 0
    expected = np.asarray(f(x)).tobytes()
    assert {np.asarray(f(x)).tobytes() for _ in range(tiers.STRAIGHT_PATIENCE + 5)} == {expected}
    tiers.wait()
    assert efforts[-1] == 1
    assert np.asarray(f(x)).tobytes() == expected


def test_the_better_code_is_on_disk_for_the_next_process(efforts: list[int], tmp_path: Path) -> None:
    with enable_compilation_cache(True), compilation_cache_dir(str(tmp_path)):
        x = pnp.linspace(-3, 3, 1001)
        first = pb.jit(lambda x: wave(x) + 3)
        expected = call_until_hot(first, x)[0]
        assert sorted(efforts)[-1] == 1
        efforts.clear()
        again = pb.jit(lambda x: wave(x) + 3)
        assert set(call_until_hot(again, x)) == {expected}
        assert efforts == []


def test_threads_may_call_a_program_while_it_is_replaced(efforts: list[int]) -> None:
    f, x = pb.jit(lambda x: wave(x) + 4), pnp.linspace(-3, 3, 5001)
    expected = np.asarray(f(x)).tobytes()
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(turn for turn in range(300) if np.asarray(f(x)).tobytes() != expected)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    tiers.wait()
    assert not wrong
    assert 1 in efforts


def test_a_program_that_is_gone_is_not_compiled(efforts: list[int]) -> None:
    f = pb.jit(lambda x: wave(x) + 7)
    x = pnp.linspace(-3, 3, 1001)
    with jit.lock:  # the worker must wait
        for _ in range(tiers.PATIENCE + 1):
            f(x)
        efforts.clear()
        f.clear_cache()
        del f
    tiers.wait()
    assert efforts == []


# In a process of its own: the test runner's may have threads of other libraries.
FORK = """
import os
import pullback as pb, pullback.numpy as pnp
pb.config.update("enable_compilation_cache", False)
from tests.engines.llvm.test_tiers import call_until_hot, wave

call_until_hot(pb.jit(lambda x: wave(x) + 5), pnp.linspace(-3, 3, 101))
child = os.fork()
if child == 0:
    good = False
    try:
        f = pb.jit(lambda x: wave(x) + 6)
        good = len(set(call_until_hot(f, pnp.linspace(-3, 3, 101)))) == 1
    finally:
        os._exit(0 if good else 1)
assert os.waitpid(child, 0)[1] == 0
print("done")
"""


def test_a_forked_child_has_a_worker_of_its_own() -> None:
    root = Path(__file__).resolve().parents[3]
    ended = subprocess.run(
        [sys.executable, "-c", FORK], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr


EXIT = """
import sys
import pullback as pb, pullback.numpy as pnp
pb.config.update("enable_compilation_cache", False)
from pullback._src.engines.llvm import tiers
def f(x):
    for k in range(60):
        x = pnp.tanh(x * k) + pnp.cumsum(x)
    return x
f = pb.jit(f)
x = pnp.ones(2000)
while not tiers._waiting:
    f(x)
"""


def test_a_process_ends_while_its_compiler_works() -> None:
    root = Path(__file__).resolve().parents[3]
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", EXIT], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - begin < 60


def loop_until(limit: Any, step: Any = 1) -> Any:
    def f(x: Any) -> Any:
        start = (0, x, pnp.full_like(x, pnp.inf))
        return lax.while_loop(
            lambda s: (s[2] > 1e-4) & limit(s[0]),
            lambda s: (s[0] + step, pnp.cos(s[1]), pnp.abs(s[1] - pnp.cos(s[1]))),
            start,
        )[1]

    return f


@pytest.mark.parametrize(
    ("function", "turns"),
    [
        (loop_until(lambda k: k < 50), 50.0),
        (loop_until(lambda k: lax.ge(60, k)), 60.0),
        (loop_until(lambda k: k < 50, 5), 10.0),
        (pb.vmap(loop_until(lambda k: k < 50)), 50.0),
        (loop_until(lambda k: (k < 50) | (k < 70)), control.UNKNOWN),
        (loop_until(lambda k: ~(k < 50)), control.UNKNOWN),
        (loop_until(lambda k: k < 50, -1), control.UNKNOWN),
        (loop_until(lambda k: True), control.UNKNOWN),
    ],
)
def test_loops_with_a_counter_are_known_to_end(
    function: Any, turns: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[float] = []
    estimate = control.most_turns

    def noted(params: Any) -> float:
        found.append(estimate(params))
        return found[-1]

    monkeypatch.setattr(control, "most_turns", noted)
    x = pnp.linspace(0.0, 1.0, 100) if function.__name__.startswith("vmap") else pnp.asarray(0.5)
    Compilation(pb.jit(function).stage((x,), {}).open_program)
    assert found == [turns]


def test_small_products_are_compiled_quickly_at_first() -> None:
    x = pnp.ones((250_000, 4, 4), np.float32)
    program = pb.jit(lambda x: pnp.einsum("bij,bjk->bik", x, x)).stage((x,), {}).open_program
    assert Compilation(program).plan().first == 0, "what is read for one term serves the others"
