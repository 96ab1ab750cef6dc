"""Code for other CPUs: the choice, and what programs compute there."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from pullback._src.engines.llvm import cpu, jit

X86 = platform.machine().lower() in ("x86_64", "amd64")
HAS = dict.fromkeys(cpu.NEEDED["x86-64-v3"], True)


def test_the_choice() -> None:
    assert cpu.chosen("", "zen2", HAS) is None
    assert cpu.chosen("native", "zen2", HAS) is None
    assert cpu.chosen("generic", "zen2", HAS) == ("generic", "")
    assert cpu.chosen("x86-64-v3", "zen2", HAS) == ("x86-64-v3", "")


def test_what_the_machine_cannot_run_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(zen2\) cannot run code for x86-64-v4: it has no avx512f, "):
        cpu.chosen("x86-64-v4", "zen2", HAS)
    with pytest.raises(ValueError, match="x86-64-v2"):
        cpu.chosen("x86-64-v2", "cortex-a72", {"neon": True})


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected one of native, generic, .*; got 'pentium'"):
        cpu.chosen("pentium", "zen2", HAS)


PROGRAM = """
import sys
import numpy as np
import pullback as pb
import pullback.numpy as jnp
from pullback import lax
from pullback._src.base.config import engine

def f(x, y, i):
    w = lax.scan(lambda c, row: (jnp.tanh(c + row), c.sum()), x[0], x)
    return (
        jnp.sin(x) * jnp.exp(-x * x) + x.sum(), x @ x.T, jnp.cumsum(y), jnp.argsort(y), x.at[i].add(1.0),
        y.astype(jnp.bfloat16) * 2, w, jnp.argmax(x, 1),
        (y * 100).astype(jnp.int32) // 7, y[i], jnp.log1p(y * y),
    )

g = np.random.default_rng(0)
x, y, i = g.standard_normal((40, 50)), g.standard_normal(40), g.integers(0, 40, 33)
x, y = x.astype(np.float32), y.astype(np.float32)
lowered = pb.jit(f).lower(x, y, i)
ours = pb.tree.leaves(lowered.compile()(x, y, i))
with engine("numpy"):
    theirs = pb.tree.leaves(pb.jit(f)(x, y, i))
for a, b in zip(ours, theirs, strict=True):
    np.testing.assert_allclose(np.asarray(a, np.float64), np.asarray(b, np.float64), rtol=2e-5, atol=2e-5)
text = lowered.compile().as_text("assembly")
print(*[name in text for name in ("%zmm", "%ymm", "vfmadd")])
"""


@pytest.mark.skipif(not X86, reason="levels of x86-64")
@pytest.mark.parametrize(
    ("name", "expected"), [("x86-64-v3", "False True True"), ("x86-64-v2", "False False False"),
                           ("generic", "False False False")],
)  # fmt: skip
def test_programs_run_with_fewer_instructions(
    name: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        llvm = jit.binding()
        cpu.chosen(name, llvm.get_host_cpu_name(), llvm.get_host_cpu_features())
    except ValueError as error:
        pytest.skip(str(error))
    monkeypatch.setenv("PULLBACK_CPU", name)
    monkeypatch.setenv("PULLBACK_CACHE_DIR", str(tmp_path))
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.stdout == expected + "\n", ended.stderr
