"""Branches and loops whose course differs from lane to lane under `vmap`, beside JAX.

    python benchmarks/control_flow.py [--rounds N] [--lanes N ...]

Three tables, all of compiled code. Branches of a few operations, against `where`. A branch with a loop of 200
turns that no lane, one lane, half of the lanes or all of them take. A `while_loop` in which lanes take 20 or
2,000 turns: its value, its forward and its reverse mode (which JAX does not have), in chunks of lanes, as is
the default, and with all lanes in step. Ways take turns; a figure is the least of the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import pullback as pb
import pullback.numpy as pnp
from pullback._src.control import chunks

Way = Callable[[], Any]
LIBRARIES: dict[str, tuple[Any, Any]] = {"Pullback": (pb, pnp), "JAX": (jax, jnp)}


def minima(ways: dict[str, Way], rounds: int) -> dict[str, float]:
    """The least time of each way in microseconds."""
    best = dict.fromkeys(ways, float("inf"))
    repeats = {}
    for name, way in ways.items():
        way()
        start = time.perf_counter()
        way()
        repeats[name] = max(1, int(2e-3 / (time.perf_counter() - start)))
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                way()
            best[name] = min(best[name], (time.perf_counter() - start) / repeats[name])
    return {name: 1e6 * seconds for name, seconds in best.items()}


def mapped(lib: Any, f: Any, kind: str, *args: Any) -> Way:
    """A compiled call of the values, tangents or gradients of `f` in all lanes."""
    of = {
        "value": f,
        "jvp": lambda *xs: lib.jvp(lambda x: f(x, *xs[1:]), xs[:1], (lib.numpy.ones_like(xs[0]),))[1],
        "grad": lib.grad(f),
    }[kind]
    run = lib.jit(lib.vmap(of))
    given = [lib.numpy.asarray(a) for a in args]
    return lambda: lib.block_until_ready(run(*given))


CHEAP: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "sin or cos": lambda lib, np_: (np_.sin, np_.cos),
    "2x + 1 or x² - 1": lambda lib, np_: (lambda x: 2 * x + 1, lambda x: x * x - 1),
    "√x or 0": lambda lib, np_: (np_.sqrt, np_.zeros_like),
}


def cheap(lanes: list[int], rounds: int) -> None:
    print(
        "| branches | lanes | | `cond`, µs | `where`, µs | JAX `cond` | JAX `where` |\n"
        "|---|---:|---|---:|---:|---:|---:|"
    )
    for name, branches in CHEAP.items():
        for n in lanes:
            x = np.random.default_rng(0).normal(size=n).astype(np.float32)
            for kind in ("value", "grad"):
                ways = {}
                for library, (lib, np_) in LIBRARIES.items():
                    one, other = branches(lib, np_)
                    chosen = lambda x, lib=lib, one=one, other=other: lib.lax.cond(x > 0, one, other, x)
                    both = lambda x, np_=np_, one=one, other=other: np_.where(x > 0, one(x), other(x))
                    ways[f"{library} cond"] = mapped(lib, chosen, kind, x)
                    ways[f"{library} where"] = mapped(lib, both, kind, x)
                found = minima(ways, rounds)
                print(
                    f"| {name} | {n:,} | {kind} | " + " | ".join(f"{v:.1f}" for v in found.values()) + " |",
                    flush=True,
                )


def costly(rounds: int, lanes: int = 1000) -> None:
    print(
        f"\n| {lanes:,} lanes, a branch of 200 turns taken by | | Pullback, µs | JAX, µs |\n"
        "|---|---|---:|---:|"
    )
    taken = {"none": 0, "one": 1, "half": lanes // 2, "all": lanes}
    for kind in ("value", "grad"):
        for name, count in taken.items():
            x = np.where(np.arange(lanes) < count, 0.5, -0.5).astype(np.float32)
            ways = {}
            for library, (lib, np_) in LIBRARIES.items():

                def loop(x: Any, lib: Any = lib, np_: Any = np_) -> Any:
                    return lib.lax.fori_loop(0, 200, lambda i, y: np_.sin(y + x), x)

                def f(x: Any, lib: Any = lib, loop: Any = loop) -> Any:
                    return lib.lax.cond(x > 0, loop, lambda x: x, x)

                ways[library] = mapped(lib, f, kind, x)
            found = minima(ways, rounds)
            print(f"| {name} | {kind} | {found['Pullback']:.0f} | {found['JAX']:.0f} |", flush=True)


@contextlib.contextmanager
def in_step() -> Iterator[None]:
    """What is compiled within takes all lanes of a loop together."""
    before = dict(chunks.WIDTH)
    chunks.WIDTH.update(dict.fromkeys(before, chunks.Width(1 << 62, 1 << 62)))
    try:
        yield
    finally:
        chunks.WIDTH.update(before)


def loops(rounds: int, lanes: int = 1000) -> None:
    print(
        f"\n| {lanes:,} lanes that take 20 turns, but for | | Pullback, µs | in step, µs | JAX, µs |\n"
        "|---|---|---:|---:|---:|"
    )
    long = {"none": 0, "one that takes 2,000": 1, "half": lanes // 2, "all": lanes}
    for kind in ("value", "jvp", "grad"):
        for name, count in long.items():
            turns = np.where(np.arange(lanes) < count, 2000, 20).astype(np.int32)
            x = np.linspace(0.1, 0.9, lanes).astype(np.float32)
            ways = {}
            for library, (lib, np_) in LIBRARIES.items():

                def f(x: Any, n: Any, lib: Any = lib, np_: Any = np_) -> Any:
                    turn = lambda s: (s[0] + 1, np_.sin(s[1]) + 0.1 * x)
                    return lib.lax.while_loop(lambda s: s[0] < n, turn, (0, x))[1]

                if library == "Pullback":
                    with in_step():
                        ways["in step"] = mapped(lib, f, kind, x, turns)
                        ways["in step"]()
                if library == "Pullback" or kind != "grad":
                    ways[library] = mapped(lib, f, kind, x, turns)
            found = minima(ways, rounds)
            figures = [f"{found[k]:.0f}" if k in found else "error" for k in ("Pullback", "in step", "JAX")]
            print(f"| {name} | {kind} | {' | '.join(figures)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--lanes", type=int, nargs="*", default=[1_000, 1_000_000])
    options = parser.parse_args()
    cheap(options.lanes, options.rounds)
    costly(options.rounds)
    loops(options.rounds)


if __name__ == "__main__":
    main()
