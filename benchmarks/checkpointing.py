"""Reverse mode of long loops with bounded memory: what the plan says, and what is measured.

    python benchmarks/checkpointing.py [--steps N] [--size N] [--slots S ...]

The gradient of N steps on a state of single-precision numbers with few states (`checkpoint(slots=...)`). Each
number of states is measured in a process of its own: the peak is that of its resident memory, less what it
was after compiling.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def _resident(which: int) -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[which])
    return pages * resource.getpagesize()


def _once(steps: int, size: int, slots: int) -> dict[str, Any]:
    """Measure in this process."""
    import pullback as pb
    import pullback.numpy as pnp

    def simulate(x: Any) -> Any:
        return pb.lax.fori_loop(0, steps, lambda i, c: c + 0.001 * pnp.sin(c), x).sum()

    x = pnp.linspace(0.0, 1.0, size)
    bounded = pb.checkpoint(simulate, slots=slots)
    compiled = pb.jit(pb.grad(bounded)).lower(x).compile()
    value = pb.jit(simulate).lower(x).compile()
    value(x)
    start = time.perf_counter()
    value(x)
    value_seconds = time.perf_counter() - start
    before = _resident(1)
    start = time.perf_counter()
    gradient = compiled(x)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    (plan,) = bounded.plan(x).loops
    return {
        "value": value_seconds,
        "seconds": seconds,
        "peak": peak,
        "scratch": compiled.memory_analysis().temp_size_in_bytes,
        "checksum": float(gradient.sum()),
        "planned": plan.peak_bytes,
        "extra": plan.extra_steps,
        "total": plan.total_steps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--slots", type=int, nargs="+", default=[20, 50])
    parser.add_argument("--once", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once is not None:
        print(json.dumps(_once(options.steps, options.size, options.once)))
        return
    print(
        "| slots | extra steps | planned memory | scratch memory | measured peak | time / value | planned |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for slots in options.slots:
        command = [sys.executable, str(Path(__file__).resolve()), "--once", str(slots)]
        command += ["--steps", str(options.steps), "--size", str(options.size)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        row = json.loads(done.stdout)
        ratio = row["seconds"] / row["value"]
        mb = [f"{row[key] / 1e6:.1f} MB" for key in ("planned", "scratch", "peak")]
        steps = row["total"] / options.steps
        print(f"| {slots} | {row['extra']:,} | {' | '.join(mb)} | {ratio:.1f} | {steps:.1f} steps each |")


if __name__ == "__main__":
    main()
