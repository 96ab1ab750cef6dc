import ctypes
import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pullback._src.base.config import config, enable_compilation_cache
from pullback._src.engines.llvm import cache, jit

ANSWER = "define i32 @program(ptr %frame) {\n  ret i32 42\n}"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    before = config.compilation_cache_dir
    config.update("compilation_cache_dir", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    config.update("compilation_cache_dir", before)
    cache._broken.clear()


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    compile_ir = jit.compile_ir

    def counted(text: str, **options: Any) -> bytes:
        seen.append(text)
        return compile_ir(text, **options)

    monkeypatch.setattr(jit, "compile_ir", counted)
    return seen


def check(code: bytes) -> None:
    linked = jit.link(code, {})
    assert ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(linked.address("program"))(None) == 42


def entries(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file()]


def test_the_second_time_nothing_is_compiled(folder: Path, compilations: list[str]) -> None:
    first = cache.compiled(ANSWER)
    assert cache.compiled(ANSWER) == first
    check(first)
    assert len(compilations) == 1
    cache.compiled(ANSWER, opt=2)
    cache.compiled(ANSWER + "\n; other")
    assert len(compilations) == 3
    assert len(entries(folder)) == 3
    cache.clear()
    assert entries(folder) == []


def test_another_cpu_or_version_is_another_entry(
    folder: Path, compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.compiled(ANSWER)
    monkeypatch.setattr(jit, "version", lambda: "another")
    cache.compiled(ANSWER)
    assert len(compilations) == 2


def test_it_can_be_switched_off(folder: Path, compilations: list[str]) -> None:
    with enable_compilation_cache(False):
        cache.compiled(ANSWER)
        cache.compiled(ANSWER)
    assert len(compilations) == 2
    assert not folder.exists()


def test_only_the_owner_has_access(folder: Path) -> None:
    old = os.umask(0)
    try:
        cache.compiled(ANSWER)
    finally:
        os.umask(old)
    for path in [folder, *folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def replace_by_other(path: Path) -> None:
    code = jit.compile_ir(ANSWER.replace("42", "43"))
    cache._write(path.parent.parent, "0" * 64, code)
    path.write_bytes((path.parent.parent / "00" / ("0" * 64 + ".object")).read_bytes())


def make_writable(path: Path) -> None:
    flip(path)
    path.chmod(0o666)


def link_elsewhere(path: Path) -> None:
    target = path.parent / "target"
    path.rename(target)
    path.symlink_to(target)


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        flip,
        replace_by_other,
        make_writable,
        link_elsewhere,
        lambda p: p.write_bytes(b""),
        lambda p: p.write_bytes(cache._MAGIC),
        lambda p: p.chmod(0o622),
    ],
)
def test_damaged_entries_are_compiled_again(folder: Path, compilations: list[str], damage: Any) -> None:
    cache.compiled(ANSWER)
    (path,) = entries(folder)
    damage(path)
    compilations.clear()
    check(cache.compiled(ANSWER))
    assert compilations == [ANSWER]
    check(cache.compiled(ANSWER))
    assert compilations == [ANSWER]  # it was repaired


def test_an_entry_that_is_a_folder(folder: Path) -> None:
    cache.compiled(ANSWER)
    (path,) = entries(folder)
    path.unlink()
    path.mkdir()
    check(cache.compiled(ANSWER))


def test_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch, compilations: list[str]) -> None:
    real_open = open

    def full(path: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        file = real_open(path, mode, *args, **options)
        if "w" in mode:
            file.close()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return file

    monkeypatch.setitem(cache.__dict__, "open", full)
    check(cache.compiled(ANSWER))
    check(cache.compiled(ANSWER + "; more"))
    assert entries(folder) == []


@pytest.mark.parametrize("place", ["/proc/nowhere/cache", "/dev/null", "/dev/null/x", "\0"])
def test_folders_that_cannot_be(place: str, compilations: list[str]) -> None:
    before = config.compilation_cache_dir
    config.update("compilation_cache_dir", place)
    try:
        check(cache.compiled(ANSWER))
        check(cache.compiled(ANSWER))
    finally:
        config.update("compilation_cache_dir", before)
    assert len(compilations) == 2


def test_a_read_only_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Permissions do not stop root, under which tests may run: the calls that would fail do so.
    cache.compiled(ANSWER)

    def refuse(*args: Any, **options: Any) -> Any:
        raise PermissionError(errno.EROFS, os.strerror(errno.EROFS))

    for name in ("utime", "replace", "unlink"):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(cache.tempfile, "mkstemp", refuse)
    check(cache.compiled(ANSWER))
    check(cache.compiled(ANSWER + "; more"))


def test_the_size_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(jit.together([jit.compile_ir(ANSWER)])) + 130  # of the header
    monkeypatch.setattr(cache, "SIZE_LIMIT", 8 * size)
    texts = [f"{ANSWER}; {i}" for i in range(9)]
    for age, text in enumerate(texts[:8]):
        cache.compiled(text)
        name = cache.key_of(text, 1)
        os.utime(folder / name[:2] / (name + ".object"), (1000 + age, 1000 + age))
    cache.compiled(texts[0])  # used again: young now
    monkeypatch.setattr(cache, "_writes", 63 - os.getpid())  # the next write looks at the size
    cache.compiled(texts[8])
    left = {p.name for p in entries(folder)}
    assert sum(p.stat().st_size for p in entries(folder)) <= 8 * size
    alive = [cache.key_of(t, 1) + ".object" in left for t in texts]
    assert alive[0] and alive[8] and not alive[1]


WRITER = """
import sys
from pullback._src.base.config import config
from pullback._src.engines.llvm import cache, jit
config.update("compilation_cache_dir", sys.argv[1])
for i in range(30):
    text = f"define i32 @program(ptr %frame) {{\\n  ret i32 {i}\\n}}"
    code = cache.compiled(text)
    assert code == jit.together([jit.compile_ir(text)])
print("done")
"""


def test_processes_write_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [w.communicate(timeout=60)[0] for w in writers] == ["done\n", "done\n"]
    assert len(entries(tmp_path)) == 30


GRADIENT = """
import sys
import numpy as np
import pullback as pb
import pullback.numpy as jnp
from pullback._src.engines.llvm import jit

compiled = []
compile_ir = jit.compile_ir

def counted(text, **options):
    compiled.append(text)
    return compile_ir(text, **options)

jit.compile_ir = counted
pb.config.update("compilation_cache_dir", sys.argv[1])

def loss(layers, x):
    for W, b in layers:
        x = jnp.tanh(x @ W + b)
    return (x**2).sum()

g = np.random.default_rng(0)
layers = [(g.standard_normal(s).astype(np.float32), np.zeros(s[1], np.float32)) for s in ((40, 50), (50, 7))]
x = g.standard_normal((30, 40)).astype(np.float32)
key = pb.random.key(0)
value, gradient = pb.jit(pb.value_and_grad(loss))(layers, x)
scanned = pb.jit(lambda x: pb.lax.scan(lambda c, r: (jnp.sin(c + r), c.sum()), x[0], x))(x)
drawn = pb.jit(lambda k: jnp.sort(pb.random.normal(k, (300, 2)), 0))(key)
updated = pb.jit(lambda x: x.at[3].add(1.0), donate_argnums=0)(jnp.asarray(x))
print(len(compiled), float(value), float(scanned[1].sum()), float(drawn[5, 1]), float(updated.sum()))
"""


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    """The texts that programs become do not depend on the process (its addresses, the order of its sets)."""
    found = []
    for seed in ("1", "2", "3"):
        ended = subprocess.run(
            [sys.executable, "-c", GRADIENT, str(tmp_path)],
            capture_output=True, text=True, timeout=120, check=False,
            env=os.environ | {"PYTHONHASHSEED": seed},
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        count, *values = ended.stdout.split()
        found.append((int(count), values))
    assert found[0][0] >= 4
    assert [count for count, _ in found[1:]] == [0, 0]
    assert found[1][1] == found[2][1] == found[0][1]
