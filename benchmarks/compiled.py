"""Compiled programs: the time to compile and to run, beside JAX in the same run.

    python benchmarks/compiled.py [--only NAME ...] [--rounds N] [--compile-rounds N] [--json FILE] [--list]

Needs jax (part of the test extra). Each program is one text for both libraries (`programs/`), compiled
with `jit` and run on the same inputs, which are arrays of the library made beforehand.

* Run: both libraries are in one process and take turns, round by round, so that both meet the same
  disturbances; a figure is the median of the rounds. JAX's result is waited for at each call. Before
  that, each program is called until it is hot.
* Compile: `jit(f).lower(*arguments).compile()` of a new function, so tracing included and the running
  of the program excluded, in a fresh process that has imported this library only, and has compiled and
  run one other program before; the median of several processes. Caches on disk are off.
* Programs that take long have fewer rounds.
* Results: the largest difference, relative to the largest entry of each array. A program whose results
  differ by more than its tolerance counts as failed.

Threads are as each library chooses by default. The required ratio is that of the times stated for the
program or for the one that it is like. The exit status is 1 if a program failed.
"""

import argparse
import gc
import importlib
import importlib.metadata
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise, repeat
from pathlib import Path
from typing import Any

import numpy as np
from programs import GROWTH, PROGRAMS, TABLE, Program

_LIBRARIES = ("jax", "pullback")
_SUBMODULES = ("lax", "nn", "numpy", "numpy.linalg", "random", "scipy.linalg", "scipy.special", "scipy.stats")
_COMPILE_RATIO = 8.0
# The time per equation may grow by as much from one length of a series to the next.
_LINEARITY = 1.5
_ROUND_SECONDS = 0.05
# After so many calls, or so long, a program is hot.
_HOT_CALLS = 120
_HOT_SECONDS = 1.0
_REST = 0.5
_ROW_SECONDS = 20.0
_MIN_ROUNDS = 3
_COMPILE_SECONDS = 400


@dataclass
class Row:
    """What was measured of a program: medians in seconds; `None` where nothing was measured."""

    name: str
    title: str
    group: str
    required_ratio: float | None
    length: int | None
    run: dict[str, float] | None = None
    compile: dict[str, float] | None = None
    compile_samples: list[dict[str, float]] = field(default_factory=list)
    rounds: int = 0
    error: float | None = None
    tolerance: float = 0.0
    failure: str | None = None

    @property
    def run_ratio(self) -> float | None:
        return self.run["jax"] / self.run["pullback"] if self.run else None

    @property
    def compile_ratio(self) -> float | None:
        return self.compile["jax"] / self.compile["pullback"] if self.compile else None

    @property
    def agrees(self) -> bool:
        return self.failure is None and self.error is not None and self.error <= self.tolerance

    @property
    def verdict(self) -> str:
        if self.failure is not None:
            return "**failed**"
        if not self.agrees:
            return "**disagrees**"
        missed = []
        if self.required_ratio is not None and self.run_ratio is not None:
            missed += ["run"] if self.run_ratio < self.required_ratio else []
        if self.compile_ratio is not None:
            missed += ["compile"] if self.compile_ratio < _COMPILE_RATIO else []
        return f"**{' and '.join(missed)} not met**" if missed else "met"


@contextmanager
def settings(program: Program, names: Sequence[str] = _LIBRARIES) -> Iterator[dict[str, Any]]:
    """The libraries with the settings of the program, and without caches on disk."""
    libraries = {name: importlib.import_module(name) for name in names}
    for name in names:
        for module in _SUBMODULES:
            importlib.import_module(f"{name}.{module}")
    values = {
        "jax_enable_x64": program.x64,
        "jax_threefry_partitionable": program.partitionable,
        "jax_enable_compilation_cache": False,
    }
    before = {
        name: {key: getattr(library.config, key) for key in values} for name, library in libraries.items()
    }
    for library in libraries.values():
        for key, value in values.items():
            library.config.update(key, value)
    try:
        yield libraries
    finally:
        for name, library in libraries.items():
            for key, value in before[name].items():
                library.config.update(key, value)


def inputs_of(library: Any, program: Program) -> Any:
    arrays = program.inputs(np.random.default_rng(0))
    return library.tree_util.tree_map(library.numpy.asarray, arrays)


def wait(library: Any, result: Any) -> Any:
    return library.block_until_ready(result)


def warm_up(library: Any) -> None:
    """Compile and run one program, so that the library is loaded and ready."""
    function = library.jit(library.grad(lambda W, x: library.numpy.sum(library.numpy.tanh(x @ W))))
    wait(library, function(library.numpy.ones((5, 3)), library.numpy.ones((2, 5))))


def _compile_once(program: Program, name: str) -> float:
    """Seconds to compile the program with a library, in this process, which has seen no other."""
    with settings(program, (name,)) as libraries:
        library = libraries[name]
        arguments = inputs_of(library, program)
        gc.collect()  # not later: it empties the processor's caches, as nothing does before a user's program
        warm_up(library)
        function = library.jit(program.make(library))
        start = time.perf_counter()
        function.lower(*arguments).compile()
        return time.perf_counter() - start


def _compile(row: Row, rounds: int) -> None:
    """Measure the compile times, each in a fresh process of its own."""
    begin = time.perf_counter()
    for _ in range(rounds):
        sample = {}
        for name in _LIBRARIES:
            command = [sys.executable, str(Path(__file__).resolve()), "--compile-once", row.name, name]
            try:
                done = subprocess.run(
                    command, check=False, capture_output=True, text=True, timeout=_COMPILE_SECONDS
                )
            except subprocess.TimeoutExpired:
                row.failure = f"compiling it with {name} takes more than {_COMPILE_SECONDS} s"
                return
            if done.returncode:
                print(done.stderr, file=sys.stderr, end="")
                row.failure = (done.stderr.strip().splitlines() or ["the process that compiles died"])[-1]
                return
            sample[name] = float(done.stdout.splitlines()[-1])
        row.compile_samples.append(sample)
        if time.perf_counter() - begin > _ROW_SECONDS:
            break
    if rounds:
        row.compile = {
            name: statistics.median(sample[name] for sample in row.compile_samples) for name in _LIBRARIES
        }


def _time(call: Callable[[], Any], calls: int) -> float:
    start = time.perf_counter()
    for _ in repeat(None, calls):
        call()
    return (time.perf_counter() - start) / calls


def waiting_call(library: Any, function: Any, arguments: Any, result: Any) -> Callable[[], Any]:
    """A call that returns when the result is there, in the cheapest way that the library offers."""
    if library.__name__ == "pullback":  # computes before it returns
        return partial(function, *arguments)
    if hasattr(result, "block_until_ready"):
        return lambda: function(*arguments).block_until_ready()
    return lambda: library.block_until_ready(function(*arguments))


def _difference(own: Any, reference: Any) -> float:
    """The largest difference of two arrays relative to the reference's largest entry; infinite if the
    arrays differ in shape, in dtype or in the places of NaNs and infinities."""
    a, b = np.asarray(own), np.asarray(reference)
    if a.shape != b.shape or a.dtype != b.dtype:
        return math.inf
    if not a.size:
        return 0.0
    a, b = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(finite, np.isfinite(a)) or not np.array_equal(
        a[~finite], b[~finite], equal_nan=True
    ):
        return math.inf
    scale = np.max(np.abs(b[finite]), initial=0.0)
    return float(np.max(np.abs(a - b)[finite], initial=0.0) / (scale or 1.0))


def _run(row: Row, program: Program, rounds: int) -> None:
    """Measure the run times, with the libraries taking turns, and compare the results."""
    with settings(program) as libraries:
        calls, counts, leaves = {}, {}, {}
        for name, library in libraries.items():
            arguments = inputs_of(library, program)
            function = library.jit(program.make(library))
            result = wait(library, function(*arguments))
            leaves[name] = library.tree_util.tree_leaves(result)
            calls[name] = waiting_call(library, function, arguments, result)
            once = min(_time(calls[name], 1) for _ in range(2))
            _time(calls[name], max(3, min(_HOT_CALLS, round(_HOT_SECONDS / once))))
            time.sleep(_REST)  # for the compiler in the background
            counts[name] = max(1, round(_ROUND_SECONDS / max(once, 1e-7)))
            # A count for a quick function is better estimated by several calls.
            counts[name] = max(1, round(_ROUND_SECONDS / _time(calls[name], min(counts[name], 100))))
        own, reference = leaves["pullback"], leaves["jax"]
        same = len(own) == len(reference)
        row.error = max(map(_difference, own, reference), default=0.0) if same else math.inf
        gc.collect()
        gc.disable()
        seconds: dict[str, list[float]] = {name: [] for name in _LIBRARIES}
        begin = time.perf_counter()
        try:
            for i in range(rounds):
                for name in _LIBRARIES[:: 1 if i % 2 else -1]:
                    seconds[name].append(_time(calls[name], counts[name]))
                if i + 1 >= _MIN_ROUNDS and time.perf_counter() - begin > _ROW_SECONDS:
                    break
        finally:
            gc.enable()
    row.rounds = len(seconds["jax"])
    row.run = {name: statistics.median(values) for name, values in seconds.items()}


def measure(program: Program, rounds: int, compile_rounds: int) -> Row:
    """Measure one program; a failure of either library is noted in the row."""
    row = Row(
        name=program.name,
        title=program.title,
        group=program.group,
        required_ratio=program.required_ratio,
        length=program.length,
        tolerance=program.tolerance,
    )
    _compile(row, compile_rounds)
    try:
        if row.failure is None:
            _run(row, program, rounds)
    except Exception as error:
        traceback.print_exc()
        row.failure = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return row


def duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


_HEADER = """\
| program | JAX run | Pullback run | ratio | required | JAX compile | Pullback compile | ratio | error | |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---|"""


def _line(row: Row) -> str:
    def pair(times: dict[str, float] | None, ratio: float | None) -> list[str]:
        if times is None or ratio is None:
            return ["", "", ""]
        return [duration(times["jax"]), duration(times["pullback"]), f"{ratio:.3g}"]

    required = "" if row.required_ratio is None else f"{row.required_ratio:.3g}"
    error = "" if row.error is None else f"{row.error:.1e}"
    cells = [row.title, *pair(row.run, row.run_ratio), required, *pair(row.compile, row.compile_ratio)]
    return "| " + " | ".join([*cells, error, row.verdict]) + " |"


def _geometric_mean(values: Sequence[float | None]) -> float | None:
    logarithms = [math.log(value) for value in values if value is not None]
    return math.exp(statistics.fmean(logarithms)) if logarithms else None


def geometric_means(rows: Sequence[Row]) -> dict[str, dict[str, float | None]]:
    """The means of the ratios: of the table's programs, of the others, of all, and of the growing series."""
    groups = {
        "table": [row for row in rows if row.group == TABLE],
        "others": [row for row in rows if row.group not in (TABLE, GROWTH)],
        "all but growth": [row for row in rows if row.group != GROWTH],
        "growth": [row for row in rows if row.group == GROWTH],
    }
    return {
        name: {
            "required": _geometric_mean([row.required_ratio for row in members if row.run]),
            "run": _geometric_mean([row.run_ratio for row in members]),
            "compile": _geometric_mean([row.compile_ratio for row in members]),
        }
        for name, members in groups.items()
        if members
    }


def growth(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each two lengths of a series: how much the compile time per unit of length grew."""
    steps = []
    measured = [row for row in rows if row.length is not None and row.compile is not None]
    for one, two in pairwise(measured):
        assert one.length and two.length and one.compile and two.compile
        if one.name.rsplit("_", 1)[0] == two.name.rsplit("_", 1)[0]:
            steps.append(
                {"from": one.name, "to": two.name}
                | {lib: two.compile[lib] / two.length / (one.compile[lib] / one.length) for lib in _LIBRARIES}
            )
    return steps


def _print_summary(rows: Sequence[Row]) -> None:
    steps = growth(rows)
    if steps:
        print("\n| compile time per unit of length, grown by | JAX | Pullback | required | |")
        print("|---|---:|---:|---:|---|")
        for step in steps:
            verdict = "met" if step["pullback"] <= _LINEARITY else "**not met**"
            name = f"{step['from']} to {step['to']}"
            print(f"| {name} | {step['jax']:.2f} | {step['pullback']:.2f} | ≤ {_LINEARITY} | {verdict} |")
    print("\n| geometric means | run ratio | required | compile ratio | required |")
    print("|---|---:|---:|---:|---:|")
    for name, means in geometric_means(rows).items():
        run, required, compiling = (
            "" if means[key] is None else f"{means[key]:.3g}" for key in ("run", "required", "compile")
        )
        print(f"| {name} | {run} | {required} | {compiling} | {_COMPILE_RATIO:g} |")
    for row in rows:
        if row.failure is not None:
            print(f"\n{row.name}: {row.failure}")


def _machine() -> dict[str, Any]:
    names = ("pullback", "jax", "jaxlib", "numpy", "scipy", "llvmlite")
    return {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in names},
        "load": os.getloadavg()[0],
    }


def select(names: Sequence[str] | None) -> list[Program]:
    if not names:
        return list(PROGRAMS.values())
    known = {*PROGRAMS, *(program.group for program in PROGRAMS.values())}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"no program or group is called {', '.join(unknown)}; --list prints all names")
    return [program for program in PROGRAMS.values() if program.name in names or program.group in names]


def _write(path: Path, rows: Sequence[Row]) -> None:
    record = {
        "machine": _machine(),
        "rows": [
            asdict(row)
            | {"run_ratio": row.run_ratio, "compile_ratio": row.compile_ratio, "verdict": row.verdict}
            for row in rows
        ],
        "growth": growth(rows),
        "geometric_means": geometric_means(rows),
    }
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    """Measure the selected programs and print the table."""
    parser = argparse.ArgumentParser(description="Compiled programs, beside JAX.")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of programs or of groups")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of a run (default: 9)")
    parser.add_argument("--compile-rounds", type=int, default=3, help="processes that compile (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file")
    parser.add_argument("--list", action="store_true", help="print the names of the programs")
    parser.add_argument("--compile-once", nargs=2, metavar=("NAME", "LIBRARY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rounds < 1 or options.compile_rounds < 0:
        parser.error("--rounds must be at least 1 and --compile-rounds at least 0")
    if options.list:
        for program in PROGRAMS.values():
            print(f"{program.name:24} {program.group:12} {program.title}")
        return
    if options.compile_once:
        name, library = options.compile_once
        print(_compile_once(PROGRAMS[name], library))
        return
    machine = _machine()
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    print(f"{machine['machine']}, {machine['cores']} cores, Python {machine['python']}, {versions}\n")
    print(_HEADER)
    rows = []
    selected = select(options.only)
    for i, program in enumerate(selected):
        print(f"[{i + 1}/{len(selected)}] {program.name}", file=sys.stderr, flush=True)
        rows.append(measure(program, options.rounds, options.compile_rounds))
        print(_line(rows[-1]), flush=True)
    _print_summary(rows)
    if options.json is not None:
        _write(options.json, rows)
    if not all(row.agrees for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
