"""Jacobians by vertex elimination beside jit(jacfwd) and jit(jacrev), on four published tasks.

    python benchmarks/elimination.py [--budget SECONDS] [--points N]

The tasks are those of the tests (`tests/advanced/data`). Two tables: what each order costs in
multiplications, with the time of a search that begins from nothing; and how long a Jacobian takes, in a call
from Python (of which a call of any compiled function takes about 0.5 µs), at many points at once (`vmap`) and
in a loop in which each point depends on the Jacobian before. Variants take turns, and figures are minima, so
that all meet the same disturbances.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import pullback as pb
import pullback.numpy as pnp
from pullback import lax
from pullback._src.advanced.elimination.search import search
from pullback._src.advanced.elimination.structure import Structure
from pullback._src.engines.llvm import tiers

TASKS = Path(__file__).resolve().parents[1] / "tests" / "advanced" / "data" / "elimination_tasks.json"
TURNS = 1000
CALLS = 2000  # after which what is called often has got its better code


def function(task: dict[str, Any]) -> Callable[[Any], Any]:
    """The task's function of one vector, evaluated entry by entry."""

    def run(x: Any) -> Any:
        values = [x[i] for i in range(task["inputs"])]
        for op in task["ops"]:
            a = [arg["const"] if isinstance(arg, dict) else values[arg] for arg in op["args"]]
            values.append(_OPERATIONS[op["op"]](op, *a))
        return pnp.stack([values[i] for i in task["outputs"]])

    return run


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": lambda op, x, y: x + y,
    "sub": lambda op, x, y: x - y,
    "mul": lambda op, x, y: x * y,
    "div": lambda op, x, y: x / y,
    "neg": lambda op, x: -x,
    "integer_pow": lambda op, x: x ** op["exponent"],
    "atan2": lambda op, x, y: pnp.arctan2(x, y),
    "sqrt": lambda op, x: pnp.sqrt(x),
    "sin": lambda op, x: pnp.sin(x),
    "cos": lambda op, x: pnp.cos(x),
    "abs": lambda op, x: pnp.abs(x),
}


def structure_of(task: dict[str, Any]) -> Structure:
    """The task's graph, from its listing: nodes have its numbers, sums and negatives the edges 1 and -1."""
    edges = []
    for k, op in enumerate(task["ops"]):
        for a in {arg for arg in op["args"] if not isinstance(arg, dict)}:
            edges += [(a, task["inputs"] + k, op["op"] in ("add", "sub", "neg"))]
    size = task["inputs"] + len(task["ops"])
    vertices = [v for v in range(task["inputs"], size) if v not in task["outputs"]]
    return Structure(size, edges, vertices)


def counts(tasks: dict[str, Any], budget: float) -> dict[str, tuple[int, ...]]:
    """Print the costs of all orders; returns the order found for each task."""
    print("| task | forward | reverse | Markowitz | search | s | search, ±1 counted | s |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    found = {}
    for name, task in tasks.items():
        structure = structure_of(task)
        fixed = [structure.forward(), structure.reverse(), structure.markowitz()]
        cells = [f"{c.all} / {c.proper}" for c in map(structure.cost, fixed)]
        for count_units in (False, True):
            result = search(structure, count_units, budget)
            cost = structure.cost(result.order)
            cells += [f"{cost.all} / {cost.proper}", f"{result.seconds:.1f}"]
            if not count_units:
                found[name] = result.order
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print("\nMultiplications: all / without those by 1 and -1.\n")
    return found


def once(run: Callable[[Any], Any], argument: Any) -> float:
    """Seconds of a call, of several if one is short."""
    started = time.perf_counter()
    run(argument)
    seconds = time.perf_counter() - started
    repeats = max(1, int(0.01 / max(seconds, 1e-7)))
    started = time.perf_counter()
    for _ in range(repeats):
        run(argument)
    return (time.perf_counter() - started) / repeats


def in_loop(jacobian: Callable[[Any], Any], rows: int) -> Callable[[Any], Any]:
    weights = pnp.asarray(np.linspace(0.5, 1.5, rows))

    @pb.jit
    def run(x: Any) -> Any:
        return lax.fori_loop(0, TURNS, lambda i, x: x + 1e-9 * (weights @ jacobian(x)), x)

    return run


def times(tasks: dict[str, Any], found: dict[str, tuple[int, ...]], points: int) -> None:
    """Print nanoseconds for a Jacobian, and how many times faster the searched order is."""
    print("| task | where | jacfwd, ns | jacrev | Markowitz | search | jacfwd / search | jacrev / search |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for name, task in tasks.items():
        fun = function(task)
        variants = {
            "jacfwd": pb.jacfwd(fun),
            "jacrev": pb.jacrev(fun),
            "markowitz": pb.jacobian(fun, order="markowitz"),
            "search": pb.jacobian(fun, order=found[name]),
        }
        x = pnp.array(task["point"])
        random = np.random.default_rng(0)
        batch = pnp.asarray(np.asarray(x) * random.uniform(0.9, 1.1, (points, len(task["point"]))))
        single = {k: pb.jit(j) if k.startswith("jac") else j for k, j in variants.items()}
        for run in single.values():
            for _ in range(CALLS):
                run(x)
        tiers.wait()
        batched = {k: pb.jit(pb.vmap(j)) for k, j in variants.items()}
        looped = {k: in_loop(j, len(task["outputs"])) for k, j in variants.items()}
        for where, runs, argument, per in (
            ("one call", single, x, 1),
            (f"{points} points", batched, batch, points),
            ("in a loop", looped, x, TURNS),
        ):
            best = dict.fromkeys(runs, float("inf"))
            for _ in range(100 if per == 1 else 15):
                for k, run in runs.items():
                    best[k] = min(best[k], once(run, argument) / per * 1e9)
            cells = [f"{best[k]:.0f}" for k in variants]
            cells += [f"{best[k] / best['search']:.2f}" for k in ("jacfwd", "jacrev")]
            print(f"| {name} | {where} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--budget", type=float, default=30.0, help="seconds for a search (default 30)")
    parser.add_argument("--points", type=int, default=1000, help="points at once (default 1000)")
    options = parser.parse_args()
    pb.config.update("enable_x64", True)
    tasks = json.loads(TASKS.read_text())
    times(tasks, counts(tasks, options.budget), options.points)


if __name__ == "__main__":
    main()
