"""Compiled programs beside JAX and beside C that does the same: what the machine gives.

    python benchmarks/beside_c.py [--only NAME ...] [--rounds N] [--cpu]

Needs jax and a C compiler (`cc`, or what CC names) with OpenMP. The programs are those of `compiled.py`;
`c/programs.c` has each of them as one would write it by hand, with the same arrays and as many threads. It is
compiled twice when the script runs, into a temporary folder: with the elementary functions of the C library,
of which gcc has vector versions, and with the methods and polynomials of Pullback's engine. Some programs
have variants: stores past the cache, a table that bisections begin with. The C functions write into memory
that is there and was used before.

All of them take turns, round by round. A time is the least of the rounds; with `--cpu` it is the processor
time of all threads, which means something on a busy machine, too. Errors are in units of the last place of
the result computed with float64, the largest one; results smaller than a thousandth of the largest count as
if they were that.
"""

import argparse
import ctypes
import gc
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import compiled
import numpy as np
from programs import PROGRAMS
from scipy import special

_SOURCE = Path(__file__).resolve().parent / "c" / "programs.c"
_FLAGS = ("-std=gnu11", "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC")
# Sums of several parts must stay as written for the polynomials, whose constants have parts.
_KINDS = {
    "polynomials": ("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-ffinite-math-only"),
    "C library": ("-DLIBM", "-ffast-math"),
}
_WIDE = "-mprefer-vector-width=512"
_ROUND_SECONDS = 0.02
_SMALL = 1e-3

Arrays = Sequence[np.ndarray[Any, Any]]


def _softmax(x: Any) -> tuple[Any, ...]:
    return (special.softmax(x, axis=-1),)


def _gelu(x: Any) -> tuple[Any, ...]:
    c, d = np.sqrt(2 / np.pi), 0.044715
    t = np.tanh(c * (x + d * x**3))
    phi = 0.5 * (1 + t)
    return (2 * x * phi * (phi + x * 0.5 * (1 - t * t) * c * (1 + 3 * d * x * x)),)


def _black_scholes(spot: Any, strike: Any, time: Any, rate: Any, volatility: Any) -> tuple[Any, ...]:
    root = np.sqrt(time)
    d1 = (np.log(spot / strike) + (rate + 0.5 * volatility**2) * time) / (volatility * root)
    p1, p2 = special.ndtr(d1), special.ndtr(d1 - volatility * root)
    discounted = strike * np.exp(-rate * time)
    vega = spot * np.exp(-0.5 * d1 * d1) / np.sqrt(2 * np.pi) * root
    return spot * p1 - discounted * p2, p1, time * discounted * p2, vega


def _grid() -> Any:
    return np.linspace(0.0, 1.0, 1_000, dtype=np.float32)


@dataclass(frozen=True)
class Case:
    """How a program is called in C.

    Attributes:
      functions: its variants.
      inputs: the arrays given to C, from the program's.
      outputs: how many arrays there are of results, of the first input's shape.
      sizes: the numbers given after the arrays, from the program's arrays.
      exact: the results in float64.
      dtype: of the results.
    """

    functions: Sequence[str]
    outputs: int
    sizes: Callable[[Arrays], Sequence[Any]]
    exact: Callable[..., tuple[Any, ...]]
    inputs: Callable[[Arrays], Arrays] = lambda arrays: arrays
    dtype: type = np.float32


def _length(arrays: Arrays) -> Sequence[Any]:
    return [ctypes.c_ssize_t(arrays[0].size)]


CASES = {
    "softmax": Case(
        ("softmax", "softmax_streamed"), 1, lambda a: [ctypes.c_ssize_t(n) for n in a[0].shape], _softmax
    ),
    "gelu": Case(("gelu",), 1, _length, _gelu),
    "black_scholes": Case(("black_scholes",), 4, _length, _black_scholes),
    "interpolation": Case(
        ("interpolation", "interpolation_bucketed"),
        1,
        lambda a: [*_length(a), ctypes.c_int(a[1].size)],
        lambda x, f: (np.interp(x, _grid().astype(np.float64), f),),
        lambda a: [a[0], _grid(), a[1]],
    ),
    "argsort": Case(
        ("argsort",), 1, _length, lambda x: (np.argsort(x, kind="stable"),), dtype=np.int32
    ),
}  # fmt: skip


def build(folder: Path) -> dict[str, ctypes.CDLL]:
    """The C programs, compiled in each way.

    Raises:
      SystemExit: if there is no C compiler, or it cannot compile them.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise SystemExit("no C compiler was found: install one that is called cc, or name one in CC")
    libraries = {}
    for kind, flags in _KINDS.items():
        target = folder / f"{kind.replace(' ', '_')}.so"
        common = [compiler, *_FLAGS, *flags, "-o", str(target), str(_SOURCE), "-lm"]
        for command in ([*common, _WIDE], common):  # vectors of 512 bits where the compiler knows such
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode == 0:
                break
        else:
            raise SystemExit(
                f"{compiler} could not compile {_SOURCE.name} (OpenMP is needed):\n{done.stderr}"
            )
        libraries[kind] = ctypes.CDLL(str(target))
    return libraries


def _aligned(array: Any) -> Any:
    """A copy whose memory begins with a line of the cache, as the libraries' does."""
    memory = np.zeros(array.nbytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    copy = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def _bound(function: Any, case: Case, arrays: Arrays) -> tuple[Callable[[], Any], Arrays]:
    """A call of a C function, and where its results are."""
    given = [_aligned(a) for a in case.inputs(arrays)]
    results = [_aligned(np.zeros(arrays[0].shape, case.dtype)) for _ in range(case.outputs)]
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in (*given, *results)]
    sizes = case.sizes(arrays)
    function.restype = None

    def call(kept: Any = (given, results)) -> None:
        function(*pointers, *sizes)

    return call, results


def _error(own: Arrays, exact: Sequence[Any]) -> float:
    """The largest error in units of the last place."""
    worst = 0.0
    for mine, best in zip(own, exact, strict=True):
        if mine.dtype.kind != "f":
            worst = max(worst, 0.0 if np.array_equal(mine, best) else np.inf)
            continue
        size = np.maximum(np.abs(best), _SMALL * np.max(np.abs(best))).astype(mine.dtype)
        worst = max(worst, float(np.max(np.abs(mine.astype(np.float64) - best) / np.spacing(size))))
    return worst


def _time(call: Callable[[], Any], calls: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(calls):
        call()
    return (clock() - start) / calls


def measure(name: str, libraries: dict[str, ctypes.CDLL], rounds: int, clock: Callable[[], float]) -> str:
    """One line of the table for each variant of a program in C."""
    program, case = PROGRAMS[name], CASES[name]
    arrays = program.inputs(np.random.default_rng(0))
    exact = case.exact(*[a.astype(np.float64) for a in arrays])
    calls: dict[str, Callable[[], Any]] = {}
    errors: dict[str, float] = {}
    with compiled.settings(program) as packages:
        for package, library in packages.items():
            arguments = compiled.inputs_of(library, program)
            function = library.jit(program.make(library))
            result = library.block_until_ready(function(*arguments))
            leaves = [np.asarray(leaf) for leaf in library.tree_util.tree_leaves(result)]
            errors[package] = _error(leaves, exact)
            calls[package] = compiled.waiting_call(library, function, arguments, result)
        variants = []
        for variant in case.functions:
            for kind, library in libraries.items():
                key = variant.removeprefix(name).lstrip("_")
                label = f"{key}, {kind}" if key else kind
                calls[label], results = _bound(getattr(library, variant), case, arrays)
                calls[label]()
                errors[label] = _error(results, exact)
                variants.append(label)
        counts = {}
        for label, call in calls.items():
            once = min(_time(call, 1, time.perf_counter) for _ in range(3))
            # Until the code is what it will be: Pullback compiles again in the background.
            _time(call, max(3, min(120, round(0.5 / once))), time.perf_counter)
            counts[label] = max(1, round(_ROUND_SECONDS / once))
        time.sleep(0.5)
        seconds: dict[str, list[float]] = {label: [] for label in calls}
        gc.collect()
        for _ in range(rounds):
            for label, call in calls.items():
                seconds[label].append(_time(call, counts[label], clock))
    best = {label: min(values) for label, values in seconds.items()}
    jax, own = best["jax"], best["pullback"]
    lines = []
    for label in variants:
        cells = [
            program.title, label,
            *[compiled.duration(s) for s in (jax, own, best[label])],
            *[f"{ratio:.3g}" for ratio in (jax / own, own / best[label])],
            *[f"{errors[key]:.3g}" for key in ("jax", "pullback", label)],
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure the selected programs and print the table."""
    parser = argparse.ArgumentParser(description="Compiled programs, beside JAX and C.")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=25, help="rounds (default: 25)")
    parser.add_argument("--cpu", action="store_true", help="processor time of all threads, not elapsed time")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    # Threads that wait for the next loop would take the processor from the others, whose turn it is.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with tempfile.TemporaryDirectory() as folder:
        libraries = build(Path(folder))
        print("| program | in C | JAX | Pullback | C | JAX/Pullback | Pullback/C | ulp: JAX | Pullback | C |")
        print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
        for name in options.only:
            print(name, file=sys.stderr, flush=True)
            clock = time.process_time if options.cpu else time.perf_counter
            print(measure(name, libraries, options.rounds, clock), flush=True)


if __name__ == "__main__":
    main()
