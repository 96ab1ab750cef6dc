"""Un-jitted speed, import time and tracing time, beside JAX in the same run.

    python benchmarks/eager_and_tracing.py [--rounds N]

Needs jax (part of the test extra). Both libraries run in one process and take turns, round by round,
so that both meet the same disturbances; a figure is the median of its rounds. What is measured is
what a user waits for: JAX's results, which it computes asynchronously, are waited for at the end of
each round. Import times are of fresh processes that have imported NumPy before. The output is a
Markdown table; the last column says whether the figure that is required of Pullback is met.
"""

import argparse
import importlib
import importlib.metadata
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_LIBRARIES = ("pullback", "jax")
_GRADIENT_RATIO = 20.0
_EAGER_MICROSECONDS = 4.0
_IMPORT_SECONDS = 0.15
_TRACING_RATIO = 3.0
_CHAIN_LENGTHS = (10, 100, 1_000, 10_000)
# The time per equation may grow by as much from the second-shortest chain to the longest; the shortest
# is mostly the cost of calling make_jaxpr at all.
_LINEARITY = 1.5
_ROUND_SECONDS = 0.05
_IMPORT_ROUNDS = 7


@dataclass(frozen=True)
class Case:
    """One thing to time: how to make it for a library, and what is required of Pullback.

    Attributes:
      name: the row's name.
      make: from a library's name to the function to time.
      max_seconds: at most this much for a call.
      min_ratio: at least this many times faster than JAX.
    """

    name: str
    make: Callable[[str], Callable[[], Any]]
    max_seconds: float | None = None
    min_ratio: float | None = None


class Documents:
    """The functions and values of the Autodiff Cookbook, made with one library."""

    def __init__(self, library: str) -> None:
        self.lib = importlib.import_module(library)
        self.np = importlib.import_module(f"{library}.numpy")
        random = importlib.import_module(f"{library}.random")
        np = self.np
        inputs = [[0.52, 1.12, 0.77], [0.88, -1.08, 0.15], [0.52, 0.06, -1.30], [0.74, -2.49, 1.39]]
        self.inputs = np.array(inputs)
        self.targets = np.array([True, True, False, True])
        keys = random.split(random.PRNGKey(0), 6)
        self.W = random.normal(keys[0], (3,))
        self.b = random.normal(keys[1], ())
        self.X = random.normal(keys[2], (30, 40))
        self.V = random.normal(keys[3], (30, 40))
        self.U = random.normal(keys[4], (128, 4))
        self.S = random.normal(keys[5], (128, 3))

    def predict(self, W: Any, b: Any) -> Any:
        logits = self.np.dot(self.inputs, W) + b
        return 0.5 * (self.np.tanh(logits / 2) + 1)

    def predict_of_weights(self, W: Any) -> Any:
        return self.predict(W, self.b)

    def loss(self, W: Any, b: Any) -> Any:
        predictions = self.predict(W, b)
        label_probabilities = predictions * self.targets + (1 - predictions) * (1 - self.targets)
        return -self.np.sum(self.np.log(label_probabilities))

    def sum_of_squares(self, X: Any) -> Any:
        return self.np.sum(self.np.tanh(X) ** 2)

    def forward_over_reverse(self) -> Any:
        return self.lib.jvp(self.lib.grad(self.sum_of_squares), (self.X,), (self.V,))[1]

    def reverse_over_forward(self) -> Any:
        return self.lib.grad(lambda X: self.lib.jvp(self.sum_of_squares, (X,), (self.V,))[1])(self.X)

    def reverse_over_reverse(self) -> Any:
        gradient = self.lib.grad(self.sum_of_squares)
        return self.lib.grad(lambda X: self.np.vdot(gradient(X), self.V))(self.X)

    def full_hessian(self) -> Any:
        hessian = self.lib.jacfwd(self.lib.jacrev(self.sum_of_squares))
        return self.np.tensordot(hessian(self.X), self.V, 2)

    def vmapped_matrix_jacobian(self) -> Any:
        _, pullback = self.lib.vjp(self.predict_of_weights, self.W)
        return self.lib.vmap(pullback)(self.U)[0]

    def looped_matrix_jacobian(self) -> Any:
        _, pullback = self.lib.vjp(self.predict_of_weights, self.W)
        return self.np.vstack([pullback(u)[0] for u in self.U])

    def vmapped_jacobian_matrix(self) -> Any:
        return self.lib.vmap(self._pushforward)(self.S)

    def looped_jacobian_matrix(self) -> Any:
        return self.np.vstack([self._pushforward(s) for s in self.S])

    def _pushforward(self, tangent: Any) -> Any:
        return self.lib.jvp(self.predict_of_weights, (self.W,), (tangent,))[1]


def eager_add(library: str) -> Callable[[], Any]:
    d = Documents(library)
    W, b = d.W, d.b
    return lambda: W + b


def eager_scale(library: str) -> Callable[[], Any]:
    W = Documents(library).W
    return lambda: W * 2.5


def logistic_gradient(library: str) -> Callable[[], Any]:
    d = Documents(library)
    return lambda: d.lib.grad(d.loss, (0, 1))(d.W, d.b)


def _method(name: str) -> Callable[[str], Callable[[], Any]]:
    def make(library: str) -> Callable[[], Any]:
        function: Callable[[], Any] = getattr(Documents(library), name)
        return function

    return make


EAGER_CASES = [
    Case("eager `W + b`, shapes (3,) and ()", eager_add, max_seconds=_EAGER_MICROSECONDS * 1e-6),
    Case("eager `W * 2.5`, shape (3,)", eager_scale, max_seconds=_EAGER_MICROSECONDS * 1e-6),
    Case("`grad` of the logistic loss", logistic_gradient, min_ratio=_GRADIENT_RATIO),
    *(
        Case(name, _method(method), min_ratio=_GRADIENT_RATIO)
        for name, method in (
            ("hvp 30×40, forward over reverse", "forward_over_reverse"),
            ("hvp 30×40, reverse over forward", "reverse_over_forward"),
            ("hvp 30×40, reverse over reverse", "reverse_over_reverse"),
            ("full Hessian 30×40 and `tensordot`", "full_hessian"),
            ("128 matrix-Jacobian products, vmapped", "vmapped_matrix_jacobian"),
            ("128 matrix-Jacobian products, looped", "looped_matrix_jacobian"),
        )
    ),
    # Forward mode, of which nothing is required.
    Case("128 Jacobian-matrix products, vmapped", _method("vmapped_jacobian_matrix")),
    Case("128 Jacobian-matrix products, looped", _method("looped_jacobian_matrix")),
]


def chain(library: str, length: int) -> Callable[[], Any]:
    """A function that traces a chain of `length` equations afresh at each call."""
    lib = importlib.import_module(library)
    np = importlib.import_module(f"{library}.numpy")
    x = np.ones(3)

    def trace() -> Any:
        # A new function each time: neither library may answer from a cache of traced functions.
        def body(x: Any) -> Any:
            for i in range(length):
                x = np.sin(x) if i % 2 else x * x
            return x

        return lib.make_jaxpr(body)(x)

    equations = len(trace().jaxpr.eqns)
    if equations != length:
        raise RuntimeError(f"expected {library} to trace {length} equations, got {equations}")
    return trace


def measure(functions: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Seconds for a call of each function: medians of rounds in which the functions take turns."""
    wait: Callable[[Any], Any] = importlib.import_module("jax").block_until_ready

    def time_round(function: Callable[[], Any], calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            result = function()
        wait(result)
        return (time.perf_counter() - start) / calls

    calls = {}
    for name, function in functions.items():
        time_round(function, 2)
        calls[name] = max(1, round(_ROUND_SECONDS / time_round(function, 1)))
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            seconds[name].append(time_round(function, calls[name]))
    return {name: statistics.median(values) for name, values in seconds.items()}


_IMPORT_PROGRAM = """
import sys, time
import numpy
start = time.perf_counter()
import {library}
print(time.perf_counter() - start, *(m for m in ("scipy", "llvmlite", "jax") if m in sys.modules))
"""


def import_times() -> tuple[dict[str, float], list[str]]:
    """Seconds to import each library after NumPy, and which packages Pullback loads that it should not."""
    seconds: dict[str, list[float]] = {library: [] for library in _LIBRARIES}
    loaded: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        # An installed package has its bytecode beside it; here it is kept in a folder of the benchmark's own.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = folder
        for _ in range(_IMPORT_ROUNDS):
            for library in _LIBRARIES:
                command = [sys.executable, "-c", _IMPORT_PROGRAM.format(library=library)]
                done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
                output = done.stdout.split()
                seconds[library].append(float(output[0]))
                if library == "pullback":
                    loaded = output[1:]
    # The first round also reads the files from the disk and compiles them.
    return {library: statistics.median(values[1:]) for library, values in seconds.items()}, loaded


def _duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def _row(name: str, own: float, jax: float, required: str, verdict: str) -> str:
    return f"| {name} | {_duration(own)} | {_duration(jax)} | {jax / own:.1f} | {required} | {verdict} |"


def _verdict(met: bool) -> str:
    return "met" if met else "**not met**"


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description="Un-jitted speed, import and tracing time, beside JAX's.")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each measurement (default: 9)")
    rounds = parser.parse_args().rounds
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in (*_LIBRARIES, "numpy"))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}\n")
    print("| | Pullback | JAX | times faster | required | |")
    print("|---|---:|---:|---:|---|---|")
    ratios = []
    for case in EAGER_CASES:
        times = measure({library: case.make(library) for library in _LIBRARIES}, rounds)
        own, jax = times["pullback"], times["jax"]
        ratios.append(jax / own)
        if case.max_seconds is not None:
            required, met = f"≤ {_duration(case.max_seconds)}", own <= case.max_seconds
        elif case.min_ratio is None:
            print(_row(case.name, own, jax, "", ""), flush=True)
            continue
        else:
            required, met = f"≥ {case.min_ratio:g}×", jax / own >= case.min_ratio
        print(_row(case.name, own, jax, required, _verdict(met)), flush=True)

    per_equation = {}
    for length in _CHAIN_LENGTHS:
        times = measure({library: chain(library, length) for library in _LIBRARIES}, rounds)
        own, jax = times["pullback"] / length, times["jax"] / length
        ratios.append(jax / own)
        per_equation[length] = own
        name = f"tracing, per equation of {length:,}"
        print(
            _row(name, own, jax, f"≥ {_TRACING_RATIO:g}×", _verdict(jax / own >= _TRACING_RATIO)), flush=True
        )
    growth = per_equation[_CHAIN_LENGTHS[-1]] / per_equation[_CHAIN_LENGTHS[1]]
    verdict = _verdict(growth <= _LINEARITY)
    print(f"| tracing, growth per equation, 100 to 10,000 | {growth:.2f} | | | ≤ {_LINEARITY} | {verdict} |")

    imports, loaded = import_times()
    ratios.append(imports["jax"] / imports["pullback"])
    met = imports["pullback"] <= _IMPORT_SECONDS
    limit = f"≤ {_duration(_IMPORT_SECONDS)}"
    print(_row("import, over NumPy's", imports["pullback"], imports["jax"], limit, _verdict(met)))
    verdict = _verdict(not loaded)
    print(f"| import loads of SciPy, llvmlite, JAX | {' '.join(loaded) or 'none'} | | | none | {verdict} |")

    mean = math.exp(statistics.fmean(math.log(ratio) for ratio in ratios))
    print(f"\nGeometric mean: {mean:.1f} times faster than JAX.")


if __name__ == "__main__":
    main()
