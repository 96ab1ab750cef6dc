"""Compiled programs beside JAX and beside C that does the same: what the machine gives.

    python benchmarks/beside_c.py [--only NAME ...] [--rounds N] [--threads N] [--cpu]

Needs jax and a C compiler (`cc`, or what CC names) with OpenMP. The programs are those of `compiled.py`;
`c/programs.c` has each of them as one would write it by hand, with the same arrays and as many threads. It is
compiled twice when the script runs, into a temporary folder: with the elementary functions of the C library,
of which gcc has vector versions, and with the methods and polynomials of Pullback's engine. Some programs
have variants: stores past the cache, a table that bisections begin with. The C functions write into memory
that is there and was used before. Linear algebra is beside the same routines of SciPy's LAPACK alone.

All of them take turns, round by round. A time is the least of the rounds; with `--cpu` it is the processor
time of all threads, which means something on a busy machine, too. `--threads` says how many threads Pullback,
C and LAPACK take (JAX takes what it will): with one, nobody waits for anybody. Errors are in units of the
last place of the result computed with float64, the largest one; results smaller than a thousandth of the
largest count as if they were that.
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
from scipy import linalg, special

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


def _logsumexp(x: Any) -> tuple[Any, ...]:
    return (special.logsumexp(x, axis=0),)


def _variance(x: Any) -> tuple[Any, ...]:
    return x.mean((0, 2)), x.var((0, 2)), x.max(1)


def _life(cells: Any) -> tuple[Any, ...]:
    for _ in range(50):
        across = np.roll(cells, 1, 1) + cells + np.roll(cells, -1, 1)
        near = np.roll(across, 1, 0) + across + np.roll(across, -1, 0) - cells
        cells = ((near == 3) | ((cells == 1) & (near == 2))).astype(np.int32)
    return (cells,)


def _gradient_of_solve(a: Any, b: Any) -> tuple[Any, ...]:
    x = np.linalg.solve(a, b)
    adjoint = np.linalg.solve(a.T, 2 * x)
    return -np.outer(adjoint, x), adjoint


def _recurrence(start: Any) -> tuple[Any, ...]:
    values = [float(v) for v in start]
    while len(values) < 5_000:
        values.append(float(np.cos(values[-1]) + 0.3 * values[-2]))
    return (np.array(values),)


def _lapack_solve(arrays: Arrays) -> tuple[Callable[[], Any], list[Any]]:
    """The gradient through a solve by LAPACK alone: one factorization for two systems, and the product."""
    a, b = np.asfortranarray(arrays[0]), arrays[1]
    results = [np.empty_like(arrays[0]), np.empty_like(b)]

    def call() -> None:
        factors, pivots, _ = linalg.lapack.sgetrf(a)
        x, _ = linalg.lapack.sgetrs(factors, pivots, b)
        results[1][...], _ = linalg.lapack.sgetrs(factors, pivots, 2 * x, trans=1)
        np.multiply(-results[1][:, None], x, out=results[0])

    return call, results


def _grid() -> Any:
    return np.linspace(0.0, 1.0, 1_000, dtype=np.float32)


@dataclass(frozen=True)
class Case:
    """How a program is called in C.

    Attributes:
      functions: its variants.
      outputs: the shapes of the results, or how many there are of the first input's shape.
      sizes: the numbers given after the arrays, from the program's arrays.
      exact: the results in float64.
      inputs: the arrays given to C, from the program's.
      dtype: of the results.
      routines: instead of C, a call of LAPACK's routines and where its results are, from the
        program's arrays.
    """

    functions: Sequence[str]
    outputs: int | Sequence[tuple[int, ...]]
    sizes: Callable[[Arrays], Sequence[Any]]
    exact: Callable[..., tuple[Any, ...]]
    inputs: Callable[[Arrays], Arrays] = lambda arrays: arrays
    dtype: type = np.float32
    routines: Callable[[Arrays], tuple[Callable[[], Any], list[Any]]] | None = None


def _length(arrays: Arrays) -> Sequence[Any]:
    return [ctypes.c_ssize_t(arrays[0].size)]


def _shape(arrays: Arrays) -> Sequence[Any]:
    return [ctypes.c_ssize_t(n) for n in arrays[0].shape]


CASES = {
    "softmax": Case(("softmax", "softmax_streamed"), 1, _shape, _softmax),
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
    "logsumexp": Case(("logsumexp",), [(1000,)], _shape, _logsumexp),
    "variance": Case(
        ("variance",), [(200,), (200,), (300, 50)], lambda a: [ctypes.c_ssize_t(len(a[0]))], _variance
    ),
    "segment_sum": Case(
        ("segment_sum",),
        [(1000,)],
        lambda a: [*_length(a), ctypes.c_int(1000)],
        lambda values, segments: (np.bincount(segments.astype(np.int64), values, 1000),),
    ),
    "life": Case(
        ("life",), 1, lambda a: [*_shape(a), ctypes.c_int(50)], _life, dtype=np.int32
    ),
    "vmapped_products": Case(
        ("vmapped_products",),
        [(50_000, 4)],
        lambda a: [ctypes.c_ssize_t(len(a[0]))],
        lambda a, b, v: (np.einsum("nij,nj->ni", np.tanh(a @ b), v),),
    ),
    "softplus_f64": Case(
        ("softplus",), 1, _length, lambda x: (np.logaddexp(0.0, x),), dtype=np.float64
    ),
    "polar": Case(("polar",), 2, _length, lambda x, y: (np.hypot(x, y), np.arctan2(y, x))),
    "permute": Case(
        ("permute",), [(64, 200, 300)], _shape, lambda x: (2 * x.transpose(2, 0, 1),)
    ),
    "recurrence": Case(
        ("recurrence",), [(5000,)], lambda a: [ctypes.c_ssize_t(5000)], _recurrence
    ),
    "solve": Case((), 0, _length, _gradient_of_solve, routines=_lapack_solve),
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
    shapes = [arrays[0].shape] * case.outputs if isinstance(case.outputs, int) else case.outputs
    results = [_aligned(np.zeros(shape, case.dtype)) for shape in shapes]
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
        if case.routines is not None:
            calls["LAPACK"], results = case.routines(arrays)
            calls["LAPACK"]()
            errors["LAPACK"] = _error(results, exact)
            variants.append("LAPACK")
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
    parser.add_argument("--threads", type=int, help="threads of Pullback, C and LAPACK (default: all)")
    parser.add_argument("--cpu", action="store_true", help="processor time of all threads, not elapsed time")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if options.threads is not None:
        if options.threads < 1:
            parser.error("--threads must be at least 1")
        count = str(options.threads)
        names = ("PULLBACK_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        if any(
            os.environ.get(name) != count for name in names
        ):  # the libraries read them when they are loaded
            os.environ.update(dict.fromkeys(names, count))
            os.execv(sys.executable, [sys.executable, *sys.argv])
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
