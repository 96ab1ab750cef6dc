"""What the time to compile is made of, beside JAX, and what a second process needs.

    python benchmarks/compile_times.py [--only NAME ...] [--rounds N]
    python benchmarks/compile_times.py --second-process [--only NAME ...] [--rounds N]

The programs are those of `compiled.py`, by default those that the table compares (`--list` there prints the
names). Each library has a process of its own, without a cache on disk, which has compiled and run one other
program before.

* First: the time of the first `jit(f).lower(*arguments).compile()`, as `compiled.py` measures it.
* Again: the median of the next seven, each of a new function with the same text, so that everything is
  done anew but nothing for the first time: the processor has in its caches what it needs.
* Pullback's parts: tracing, lowering, and code generation, which is LLVM's part (in programs of several
  parts, what is left of it when the last one is lowered); first and again.

All figures are medians of the processes. With `--second-process` they are Pullback's first calls in a process
that finds nothing on disk, and in the next one, which finds the code.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compiled import duration, inputs_of, select, settings, wait, warm_up
from programs import PROGRAMS, TABLE, Program

_AGAIN = 7
_PARTS = {  # where the log says how long they take
    "tracing": r"Traced .* in ([0-9.]+) ms",
    "lowering": r"lowering ([0-9.]+) ms",
    "code generation": r"code generation ([0-9.]+) ms",
}
_SECONDS = 400  # for a process


class _Collecting(logging.Handler):
    """Adds what is logged to a list."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__()
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())


def _compile_often(program: Program, name: str, parts: bool) -> list[dict[str, float]]:
    """The seconds that a library takes for a program, again and again, or Pullback takes for the parts."""
    times = []
    messages: list[str] = []
    with settings(program, (name,)) as libraries:
        library = libraries[name]
        arguments = inputs_of(library, program)
        gc.collect()
        warm_up(library)
        if parts:
            library.config.update("log_compiles", True)
            logger = logging.getLogger("pullback")
            logger.addHandler(_Collecting(messages))
            logger.propagate = False
        for _ in range(1 + _AGAIN):
            function = library.jit(program.make(library))
            start = time.perf_counter()
            function.lower(*arguments).compile()
            times.append({"all": time.perf_counter() - start})
            if parts:
                text = "\n".join(messages)
                times[-1] = {
                    part: 1e-3 * float(re.findall(pattern, text)[-1]) for part, pattern in _PARTS.items()
                }
    return times


def _first_call(program: Program) -> dict[str, float]:
    """The seconds that parts of Pullback's first call in this process take, with the cache on disk."""
    with settings(program, ("pullback",)) as libraries:
        library = libraries["pullback"]
        library.config.update("enable_compilation_cache", True)
        arguments = inputs_of(library, program)
        np = library.numpy
        library.jit(lambda x: np.sum(np.tanh(x)))(np.ones(3))
        gc.collect()
        function = library.jit(program.make(library))
        start = time.perf_counter()
        lowered = function.lower(*arguments)
        traced = time.perf_counter()
        compiled = lowered.compile()
        made = time.perf_counter()
        wait(library, compiled(*arguments))
        return {"trace": traced - start, "compile": made - traced, "run": time.perf_counter() - made}


def _in_process(*options: str, **environment: str) -> Any:
    """What this script prints in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), *options]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=os.environ | environment, timeout=_SECONDS
    )
    return json.loads(done.stdout.splitlines()[-1])


def _medians(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {part: statistics.median([row[part] for row in rows]) for part in rows[0]}


def _print_often(programs: Sequence[Program], rounds: int) -> None:
    print(
        "| program | JAX first | again | Pullback first | again | JAX/Pullback first | again | "
        "tracing first, again | lowering | code generation |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    kinds = (("jax", "all"), ("pullback", "all"), ("pullback", "parts"))
    for program in programs:
        first: dict[tuple[str, str], list[dict[str, float]]] = {kind: [] for kind in kinds}
        again: dict[tuple[str, str], list[dict[str, float]]] = {kind: [] for kind in kinds}
        for _ in range(rounds):
            for kind, rows in first.items():
                times = _in_process("--compile-often", program.name, *kind)
                rows.append(times[0])
                again[kind].append(_medians(times[1:]))
        (jax, jax_again), (own, own_again), (parts, parts_again) = [
            (_medians(first[kind]), _medians(again[kind])) for kind in kinds
        ]
        totals = [times["all"] for times in (jax, jax_again, own, own_again)]
        ratios = [f"{totals[k] / totals[k + 2]:.3g}" for k in range(2)]
        divided = [f"{duration(parts[part])}, {duration(parts_again[part])}" for part in _PARTS]
        print(f"| {' | '.join([program.title, *map(duration, totals), *ratios, *divided])} |", flush=True)


def _print_processes(programs: Sequence[Program], rounds: int) -> None:
    print("| program | first process: trace | compile | second: trace | compile | second of first |")
    print("|---|---:|---:|---:|---:|---:|")
    for program in programs:
        found: list[list[dict[str, float]]] = [[], []]
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                for seconds in found:
                    seconds.append(
                        _in_process("--first-call", program.name, PULLBACK_COMPILATION_CACHE_DIR=folder)
                    )
        medians = [_medians(seconds) for seconds in found]
        totals = [one["trace"] + one["compile"] for one in medians]
        cells = [duration(one[part]) for one in medians for part in ("trace", "compile")]
        print(f"| {program.title} | {' | '.join(cells)} | {totals[1] / totals[0]:.2f} |", flush=True)


def main() -> None:
    """Measure the selected programs and print a table."""
    parser = argparse.ArgumentParser(description="What the time to compile is made of.")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[TABLE], help="programs or groups")
    parser.add_argument("--rounds", type=int, default=3, help="processes for each (default: 3)")
    parser.add_argument("--second-process", action="store_true", help="instead: with the code from disk")
    parser.add_argument(
        "--compile-often", nargs=3, metavar=("NAME", "LIBRARY", "WHAT"), help=argparse.SUPPRESS
    )
    parser.add_argument("--first-call", metavar="NAME", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if options.compile_often:
        name, library, what = options.compile_often
        print(json.dumps(_compile_often(PROGRAMS[name], library, what == "parts")))
    elif options.first_call:
        print(json.dumps(_first_call(PROGRAMS[options.first_call])))
    elif options.second_process:
        _print_processes(select(options.only), options.rounds)
    else:
        _print_often(select(options.only), options.rounds)


if __name__ == "__main__":
    main()
