"""`jit(f).lower(...)`, `.compile()`, and what they tell about a program."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pullback as pb
import pullback.lax as lax
import pullback.nn as nn
import pullback.numpy as pnp
from pullback._src.api import cost
from pullback._src.base.config import engine
from pullback._src.core.engine import get
from pullback._src.ops.triangular import solve_p

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coverage.md"
X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
W = np.linspace(0, 1, 20, dtype=np.float32).reshape(4, 5)


def layer(x: Any, w: Any) -> Any:
    return pnp.tanh(x @ w), x.T


def compiled(function: Any, *args: Any, **options: Any) -> Any:
    return pb.jit(function, **options).lower(*args).compile()


# Texts --------------------------------------------------------------------------------------------------


def test_lowered_shows_the_program() -> None:
    lowered = pb.jit(layer).lower(X, W)
    assert lowered.as_text().splitlines()[0] == "{ lambda ; a:f32[3,4] b:f32[4,5]. let"
    assert lowered.as_text() == str(pb.make_jaxpr(layer)(X, W))
    assert f"# {__file__}:" in lowered.as_text(debug_info=True)
    assert [a.str_short() for a in lowered.in_avals] == ["f32[3,4]", "f32[4,5]"]
    assert lowered.out_info[1] == pb.ShapeDtypeStruct((4, 3), np.float32)


def test_stages_of_the_llvm_engine() -> None:
    def f(x: Any, w: Any) -> Any:
        pnp.sin(x)  # not needed
        return layer(x, w)

    stages = compiled(f, X, W)
    assert stages.stages == ("program", "simplified", "loops", "llvm", "assembly")
    assert "sin" in stages.as_text()
    assert "sin" in stages.as_text("program")
    assert "sin" not in stages.as_text("simplified") and "tanh" in stages.as_text("simplified")
    assert "define i32 @program(ptr %frame)" in stages.as_text("llvm")
    assert "program:" in stages.as_text("assembly") and "ret" in stages.as_text("assembly")
    assert stages.out_info[0].shape == (3, 5)
    np.testing.assert_allclose(np.asarray(stages(X, W)[0]), np.tanh(X @ W), rtol=1e-5)


def test_stages_of_the_numpy_engine() -> None:
    with engine("numpy"):
        stages = compiled(layer, X, W)
    assert stages.stages == ("program", "simplified", "python")
    assert "# dot_general" in stages.as_text("python") and "# transpose" in stages.as_text("python")
    assert stages.host_calls == []
    assert stages.memory_analysis().argument_size_in_bytes == 4 * (12 + 20)
    np.testing.assert_allclose(np.asarray(stages(X, W)[0]), np.tanh(X @ W), rtol=1e-5)
    with pytest.raises(ValueError, match=r"engine 'numpy' has no stage 'llvm'; it has program, simp"):
        stages.as_text("llvm")


def test_the_listing_of_loops_shows_fusion() -> None:
    big = np.zeros((1000, 64), np.float32)
    text = compiled(nn.softmax, big).as_text("loops").splitlines()
    assert text[0].startswith("for each of 1000")
    assert sum(line.startswith("  loop over 64") for line in text) == 3
    assert sum("row t" in line for line in text) >= 2
    assert "max of" in "".join(text) and "sum of" in "".join(text)
    (last,) = [line for line in text if "out0" in line]
    assert last.split(" = ")[0].strip() == "out0 : float32[1000,64]" and "div(" in last


def test_the_listing_of_loops_shows_threads() -> None:
    big = np.zeros(1 << 20, np.float32)
    assert " parts for threads:" in compiled(pnp.sin, big).as_text("loops")
    assert "threads" not in compiled(pnp.sin, big[:100]).as_text("loops")


def test_the_listing_of_loops_shows_loops_of_the_program_and_routines() -> None:
    def f(x: Any) -> Any:
        def step(carry: Any, row: Any) -> Any:
            return carry * 2 + row, pnp.sum(carry)

        return lax.scan(step, x[0], x)

    text = compiled(f, np.zeros((50, 300), np.float32)).as_text("loops")
    assert (
        "scan, 50 turns:\n  loop over 300, 300 of it reduced:\n    out1[...] : float32[] = sum of t" in text
    )
    square = np.zeros((100, 100), np.float32)
    assert compiled(lambda x: x @ x, square).as_text("loops") == (
        "out0 : float32[100,100] = dot_general(in0, in0)"
    )
    text = compiled(lambda x: lax.fori_loop(0, 9, lambda i, c: c * 2, x), 1.0).as_text("loops")
    assert text.splitlines()[0] == "scan, 9 turns: in registers"


def test_unknown_stage() -> None:
    with pytest.raises(ValueError, match=r"no stage 'mlir'; it has program, simplified, loops, llvm, a"):
        compiled(layer, X, W).as_text("mlir")


@pytest.mark.parametrize("name", ["llvm", "numpy"])
def test_engines_refuse_unknown_stages_themselves(name: str) -> None:
    target: Any = get(name)
    with pytest.raises(ValueError, match="no stage 'mlir'"):
        target.inspect(pb.make_jaxpr(layer)(X, W)).text("mlir")


# Costs --------------------------------------------------------------------------------------------------


def counted(function: Any, *args: Any) -> dict[str, float]:
    return pb.jit(function).lower(*args).cost_analysis()


def test_cost_of_a_layer() -> None:
    expected = {"flops": 2 * 3 * 4 * 5, "transcendentals": 15, "bytes accessed": 4 * (12 + 20 + 15 + 30 + 24)}
    assert counted(layer, X, W) == expected
    assert compiled(layer, X, W).cost_analysis() == expected


S = np.eye(6, dtype=np.float32)
FLOPS: list[tuple[Any, float, float]] = [
    (lambda x: x + x * 2, 72, 0),
    (pnp.sum, 35, 0),
    (lambda x: pnp.sum(x, axis=0), 30, 0),
    (lambda x: pnp.cumsum(x, axis=0), 36, 0),
    (lambda x: pnp.exp(x) > 0, 36, 36),
    (lambda x: x**3, 72, 0),
    (lambda x: pnp.reshape(x.T, (4, 9)), 0, 0),
    (lambda x: lax.scan(lambda c, row: (c + row, pnp.sin(c)), x[0], x), 36, 36),
    (lambda x: lax.cond(True, lambda y: y, lambda y: y + pnp.sin(y), x), 36, 36),
    (lambda x: lax.reduce_window(x, 0.0, lax.add, (2, 2), (1, 1), "VALID"), 75, 0),
    (lambda x: lax.conv(x[None, None], pnp.ones((2, 1, 3, 3), np.float32), (1, 1), "VALID"), 576, 0),
    (lambda x: lax.linalg.cholesky(x, symmetrize_input=False), 72, 0),
    (lax.linalg.lu, 144, 0),
    (lambda x: lax.linalg.qr(x, full_matrices=False), 576, 0),
    (lambda x: lax.linalg.eigh(x, symmetrize_input=False), 1944, 0),
    (lambda x: lax.linalg.svd(x, compute_uv=False), 576, 0),
    (lax.linalg.svd, 22 * 216, 0),
    (lax.linalg.schur, 25 * 216, 0),
    (lax.linalg.hessenberg, 720, 0),
    (lambda x: lax.linalg.triangular_solve(x, x[:4], left_side=False), 144, 0),
    (lambda x: solve_p.bind(x, x[:, :2], transpose_a=False), 144 + 144, 0),
    (lambda x: lax.linalg.tridiagonal_solve(x[0], x[1], x[2], x), 18 + 180, 0),
    (lambda x: pb.vmap(pb.jit(pnp.linalg.inv))(pnp.stack([x, x])), 2 * 432, 0),
    (lambda x: lax.scan(lambda c, _: (pb.jit(pnp.matmul)(c, x), None), x, None, 3), 3 * 432, 0),
    (pb.jit(lambda y: y + y), 36, 0),
]


@pytest.mark.parametrize("case", range(len(FLOPS)))
def test_operations_are_counted(case: int) -> None:
    function, flops, transcendentals = FLOPS[case]
    found = counted(function, S)
    assert (found["flops"], found["transcendentals"]) == (flops, transcendentals)


def test_counts_agree_with_xla() -> None:
    """On operations that XLA does not rewrite."""

    def f(np_: Any) -> Any:
        return lambda x, w: np_.tanh(x @ w) + np_.sin(x @ w) * 2

    theirs = jax.jit(f(jnp)).lower(X, W).cost_analysis()
    ours = counted(f(pnp), X, W)
    assert ours["transcendentals"] == theirs["transcendentals"]
    assert ours["flops"] == theirs["flops"]


def test_every_counted_primitive_exists() -> None:
    names = set(re.findall(r"^\| `(\w+)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    counted = [cost._ENTRYWISE, cost._TRANSCENDENTAL, cost._REDUCTIONS, frozenset(cost._COUNTS)]
    assert names.issuperset(frozenset().union(*counted))
    assert sum(map(len, counted)) == len(frozenset().union(*counted))


# Memory -------------------------------------------------------------------------------------------------


def test_memory_of_a_program() -> None:
    x, w = np.zeros((300, 400)), np.zeros((400, 500))
    memory = compiled(lambda x, w: pnp.sum(x @ w) + x[0, 0], x, w).memory_analysis()
    assert memory.argument_size_in_bytes == 4 * (300 * 400 + 400 * 500)
    assert memory.output_size_in_bytes == 4
    assert memory.alias_size_in_bytes == 0
    assert 4 * 300 * 500 <= memory.temp_size_in_bytes < 6 * 300 * 500
    assert 50 < memory.generated_code_size_in_bytes < 100_000


def test_closed_over_arrays_are_arguments() -> None:
    w = pnp.asarray(W)
    assert compiled(lambda x: x @ w, X).memory_analysis().argument_size_in_bytes == 4 * (12 + 20)


def test_host_calls_are_listed() -> None:
    def f(x: Any) -> Any:
        y = pb.pure_callback(np.sin, pb.ShapeDtypeStruct(x.shape, x.dtype), x)
        return y + 1

    assert compiled(layer, X, W).host_calls == []
    (call,) = compiled(f, X).host_calls
    assert call.primitive == "pure_callback"
    assert call.types == "f32[3,4] -> f32[3,4]"
    assert "Python" in call.reason
    assert call.location is not None and call.location.file == __file__
    assert f"{__file__}:" in str(call) and "pure_callback (f32[3,4] -> f32[3,4]): " in str(call)
