"""Blueprints on disk: a known program is neither lowered nor compiled, and runs as it did."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import lax
from pullback._src.base.config import background_compilation, config, enable_compilation_cache
from pullback._src.core.program import Program
from pullback._src.engines.llvm import blueprint, jit, tiers
from pullback._src.engines.llvm.engine import simplified
from pullback._src.engines.llvm.fingerprint import fingerprint

ENGINE = sys.modules[simplified.__module__]  # the package has an object of this name


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    before = config.compilation_cache_dir
    config.update("compilation_cache_dir", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    tiers.wait()
    config.update("compilation_cache_dir", before)


def loss(w: Any, x: Any) -> Any:
    return (pnp.tanh(x @ w["a"] + w["b"]) ** 2).sum()


def table(i: Any, x: Any) -> Any:
    """With an array of constants."""
    return x * pnp.asarray([0.5, 2.0, 3.0, 7.0, -1.0])[i]


def loop(x: Any) -> Any:
    return lax.scan(lambda c, t: (pnp.sin(c) * t, c), x, pnp.arange(4.0))


def sampled(key: Any) -> Any:
    return pb.random.normal(key, (7,)) + lax.cond(True, lambda: 1.0, lambda: 2.0)


W = {"a": np.full((3, 4), 0.3, np.float32), "b": np.arange(4, dtype=np.float32)}
X = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
CASES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "gradient": (pb.value_and_grad(loss), (W, X)),
    "constants": (table, (np.array([4, 1]), np.array([1.0, 2.0], np.float32))),
    "loop": (pb.vmap(loop), (X[:, 0],)),
    "random": (sampled, (np.array([0, 5], np.uint32),)),
    "factors": (lambda a: pnp.linalg.cholesky(a @ a.T + pnp.eye(3)), (X.T @ X,)),
}


def results(function: Any, args: tuple[Any, ...]) -> list[bytes]:
    out = pb.jit(functools.partial(function))(*pb.tree_util.tree_map(pnp.asarray, args))
    return [np.asarray(leaf).tobytes() for leaf in pb.tree_util.tree_leaves(out)]


@pytest.mark.parametrize("case", CASES)
def test_a_known_program_is_not_lowered(case: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = results(*CASES[case])

    def refuse(*args: Any, **options: Any) -> Any:
        raise AssertionError("it was lowered or compiled again")

    monkeypatch.setattr(ENGINE, "Compilation", refuse)
    monkeypatch.setattr(jit, "compile_ir", refuse)
    assert results(*CASES[case]) == expected


def test_donated_memory_is_used_by_a_known_program(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> tuple[bytes, bool]:
        step = pb.jit(lambda x, y: x.at[1].set(7.0) + y, donate_argnums=0)
        x = pnp.arange(4000.0)
        return np.asarray(step(x, pnp.ones(4000))).tobytes(), x.is_deleted()

    expected = run()
    assert expected[1]
    monkeypatch.setattr(ENGINE, "Compilation", None)
    assert run() == expected


def test_a_known_program_becomes_hot(folder: Path) -> None:
    def f(x: Any) -> Any:
        return pnp.tanh(x) * pnp.exp(-x * x) + pnp.cumsum(x)

    x = pnp.linspace(-1, 1, 500)
    expected = np.asarray(pb.jit(functools.partial(f))(x)).tobytes()
    again = pb.jit(functools.partial(f))
    seen = {np.asarray(again(x)).tobytes() for _ in range(tiers.PATIENCE + 5)}
    tiers.wait()
    seen.add(np.asarray(again(x)).tobytes())
    assert seen == {expected}


def test_a_program_compiled_in_two_tiers_is_lowered_again_without_them(folder: Path) -> None:
    def f(x: Any) -> Any:
        return pnp.tanh(x) + pnp.cumsum(x)

    x = pnp.linspace(-1, 1, 300)
    expected = np.asarray(pb.jit(functools.partial(f))(x))
    with background_compilation(False):
        assert np.array_equal(pb.jit(functools.partial(f))(x), expected)


def test_a_damaged_blueprint_is_made_again(folder: Path) -> None:
    expected = results(*CASES["gradient"])
    entries = sorted(folder.rglob("*.object"))
    assert entries
    for entry in entries:
        content = bytearray(entry.read_bytes())
        content[-1] ^= 1
        entry.write_bytes(bytes(content))
    assert results(*CASES["gradient"]) == expected


def program_of(function: Any, *args: Any) -> Program:
    return pb.jit(function).stage(tuple(map(pnp.asarray, args)), {}).open_program


def test_fingerprints_tell_programs_apart() -> None:
    x = np.ones(3, np.float32)
    programs = [
        program_of(lambda x: x + 1, x),
        program_of(lambda x: x + 2, x),
        program_of(lambda x: x + 1, x.astype(np.int32)),
        program_of(lambda x: x + 1, np.ones(4, np.float32)),
        program_of(lambda x: (x + 1, x), x),
        program_of(lambda x: x - 1, x),
        program_of(lambda x, y: x - y, x, x),
        program_of(lambda x, y: y - x, x, x),
        program_of(pnp.cumsum, x),
        program_of(lambda x: pnp.flip(pnp.cumsum(pnp.flip(x))), x),
        program_of(lambda x: lax.fori_loop(0, 3, lambda i, c: c * 2, x), x),
        program_of(lambda x: lax.fori_loop(0, 4, lambda i, c: c * 2, x), x),
        program_of(lambda x: lax.fori_loop(0, 4, lambda i, c: c * 3, x), x),
    ]
    keys = [fingerprint(simplified(p)) for p in programs]
    assert None not in keys
    assert len(set(keys)) == len(keys)
    assert fingerprint(simplified(programs[0]), (0,)) not in keys
    again = program_of(lambda y: y + 1, x)
    assert fingerprint(simplified(again)) == keys[0]


def test_what_calls_python_has_no_fingerprint() -> None:
    callback = program_of(lambda x: pb.pure_callback(lambda v: v, x, x), 1.0)
    assert fingerprint(simplified(callback)) is None


def test_fingerprints_are_the_same_in_all_processes() -> None:
    script = """
import pullback as pb, pullback.numpy as pnp
from pullback._src.engines.llvm.engine import simplified
from pullback._src.engines.llvm.fingerprint import fingerprint
f = pb.grad(lambda x: pb.lax.fori_loop(0, 5, lambda i, c: pnp.sin(c) * x, x).sum())
print(fingerprint(simplified(pb.jit(f).stage((pnp.ones(3),), {}).open_program)))
"""
    root = Path(__file__).resolve().parents[3]
    seen = {
        subprocess.run(
            [sys.executable, "-c", script], cwd=root, check=True, capture_output=True, text=True
        ).stdout
        for _ in range(2)
    }
    assert len(seen) == 1
    assert len(seen.pop().strip()) == 64


def test_large_constants_stay_off_the_disk(folder: Path) -> None:
    module = blueprint.ModuleText("define i32 @program(ptr %frame) {\n  ret i32 0\n}")
    plan = blueprint.Blueprint(module, [], 0, 0, 2, 0, 0.0, {}, [], [np.zeros(1 << 16)])
    blueprint.save("ab" * 32, plan)
    assert blueprint.load("ab" * 32) is None
    blueprint.save("ab" * 32, plan._replace(constants=[np.arange(3), np.zeros((2, 0, 3))]))
    found = blueprint.load("ab" * 32)
    assert found is not None
    assert found.module.text == module.text
    assert [c.tolist() for c in found.constants] == [[0, 1, 2], [[], []]]


def test_without_a_cache_nothing_is_kept(tmp_path: Path) -> None:
    with enable_compilation_cache(False):
        blueprint.save(
            "cd" * 32, blueprint.Blueprint(blueprint.ModuleText("x"), [], 0, 0, 2, 0, 0.0, {}, [], [])
        )
        assert blueprint.load("cd" * 32) is None
