"""What k products with a Hessian or a Gauss-Newton matrix cost: linearized once, or differentiated k times.

    python benchmarks/products.py [--rounds N] [--products K ...]

The function is the loss of a network of three layers on a batch. For each k it takes the time of
`H = hvp(loss, params)` followed by k calls of H, and of k calls of `jvp(grad(loss))`, un-jitted and compiled
(there H and the vector are arguments of a compiled function, so that H is computed once as well). Ways take
turns, round by round; a figure is the median of the rounds. The output is a Markdown table; below it are the
costs of one linearization and one application, and how often the loss was run.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import pullback as pb
import pullback.numpy as pnp

_SIZES = (64, 256, 256, 8)
_BATCH = 128


def network(seed: int = 0) -> tuple[Any, Any, Any]:
    """Parameters, a batch, and a vector of the parameters' structure."""
    generator = np.random.default_rng(seed)

    def layers() -> Any:
        return [
            (
                pnp.asarray(generator.normal(0, n**-0.5, (n, m)).astype(np.float32)),
                pnp.asarray(generator.normal(0, 0.1, m).astype(np.float32)),
            )
            for n, m in itertools.pairwise(_SIZES)
        ]

    x = pnp.asarray(generator.normal(0, 1, (_BATCH, _SIZES[0])).astype(np.float32))
    y = pnp.asarray(generator.normal(0, 1, (_BATCH, _SIZES[-1])).astype(np.float32))
    return layers(), (x, y), layers()


class Problem:
    """The loss, which counts its runs, and the four ways to multiply."""

    def __init__(self) -> None:
        self.params, (x, y), self.vector = network()
        self.runs = 0

        def model(params: Any) -> Any:
            self.runs += 1
            h = x
            for w, b in params:
                h = pnp.tanh(h @ w + b)
            return h

        def distance(outputs: Any) -> Any:
            return pnp.mean((outputs - y) ** 2)

        def loss(params: Any) -> Any:
            return distance(model(params))

        def forward_over_reverse(params: Any, v: Any) -> Any:
            return pb.jvp(pb.grad(loss), (params,), (v,))[1]

        def apply(operator: Any, v: Any) -> Any:
            return operator(v)

        self.linearize = {
            "hvp": lambda params: pb.hvp(loss, params),
            "gnvp": lambda params: pb.gnvp(model, distance, params),
        }
        self.apply = {False: apply, True: pb.jit(apply)}
        self.separate = {False: forward_over_reverse, True: pb.jit(forward_over_reverse)}
        self.compiled = {name: pb.jit(f) for name, f in self.linearize.items()}

    def once(self, name: str, compiled: bool, k: int) -> None:
        make = self.compiled[name] if compiled else self.linearize[name]
        operator = make(self.params)
        for _ in range(k):
            out = self.apply[compiled](operator, self.vector)
        pb.block_until_ready(out if k else operator.gradient)

    def each(self, compiled: bool, k: int) -> None:
        for _ in range(k):
            out = self.separate[compiled](self.params, self.vector)
        pb.block_until_ready(out)


def medians(ways: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """The median time of each way in milliseconds; they take turns."""
    for way in ways.values():
        for _ in range(3):
            way()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(t) for name, t in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--products", type=int, nargs="+", default=[1, 5, 50])
    options = parser.parse_args()
    problem = Problem()
    count = sum(w.size + b.size for w, b in problem.params)
    print(f"{count} parameters, {_BATCH} examples; milliseconds\n")
    print("| Code | k | hvp once | gnvp once | k jvp(grad) | ratio |\n|---|---|---|---|---|---|")
    for compiled in (False, True):
        for k in options.products:
            ways: dict[str, Callable[[], None]] = {
                "hvp": lambda k=k, compiled=compiled: problem.once("hvp", compiled, k),  # type: ignore[misc]
                "gnvp": lambda k=k, compiled=compiled: problem.once("gnvp", compiled, k),  # type: ignore[misc]
                "each": lambda k=k, compiled=compiled: problem.each(compiled, k),  # type: ignore[misc]
            }
            found = medians(ways, options.rounds)
            print(
                f"| {'compiled' if compiled else 'un-jitted'} | {k} | {found['hvp']:.2f} | "
                f"{found['gnvp']:.2f} | {found['each']:.2f} | {found['each'] / found['hvp']:.2f} |"
            )
    print()
    for compiled in (False, True):
        found = medians(
            {str(k): (lambda k=k, compiled=compiled: problem.once("hvp", compiled, k)) for k in (0, 100)},  # type: ignore[misc]
            max(options.rounds // 3, 3),
        )
        print(
            f"{'compiled' if compiled else 'un-jitted'}: one linearization {found['0']:.2f} ms, one "
            f"application {(found['100'] - found['0']) / 100:.2f} ms"
        )
    before = problem.runs
    problem.once("hvp", False, 50)
    once = problem.runs - before
    problem.each(False, 50)
    print(
        f"runs of the un-jitted loss for 50 products: {once} with hvp, {problem.runs - before - once} without"
    )


if __name__ == "__main__":
    main()
