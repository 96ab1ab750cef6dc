"""Object code on disk, so that a second process compiles nothing.

An entry is a file named by the SHA-256 of all that the object code depends on: the module's text, the effort
of the code generator, the versions of LLVM and of its binding, the CPU and its features. It holds a header,
the SHA-256 of header and code, and the code. What does not verify is not used: it is compiled again and
overwritten. Code from disk is code that will run, so only files that belong to the user and that nobody else
can write to are trusted.

Files are written under a temporary name and renamed, so readers and other writers never see half of one. No
failure (a full disk, a read-only folder, no home) is an error of the program: it only costs a compilation. A
write failure switches writing off for the process.

The folder is that of `base.cache_folder`. Now and then a writer removes the entries that were used longest
ago, down to three quarters of the limit.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ...base.cache_folder import folder_now as folder_now
from . import generation, jit

SIZE_LIMIT = 512 << 20
"""Bytes that the folder may hold; checked at one write in 64."""

_MAGIC = b"pullback object code 2\n"
_SUFFIX = ".object"
_RECENTLY = 3600.0  # seconds after which it is noted that an entry was used
_writes = 0
_broken: set[Path] = set()  # folders that could not be written to


def compiled(text: str, *, opt: int = 1, stream: generation.Stream | None = None) -> bytes:
    """The object code of a module, from disk if it was compiled before (see `generation.object_code`)."""

    def compile_now() -> bytes:
        return generation.object_code(text, opt=opt, stream=stream)

    return compiled_in(folder_now(), text, opt, compile_now)[0]


def compiled_in(
    folder: Path | None, text: str, opt: int, compile_now: Callable[[], bytes]
) -> tuple[bytes, bool]:
    """The object code of a module, and whether it was on disk, in what `folder_now` returned."""
    if folder is None:
        return compile_now(), False
    name = key_of(text, opt)
    code = _read(_place(folder, name), name)
    if code is not None:
        return code, True
    code = compile_now()
    _write(folder, name, code)
    return code, False


def knows(text: str, opt: int) -> bool:
    """Whether there is a file for a module's object code."""
    folder = folder_now()
    return folder is not None and os.path.exists(_place(folder, key_of(text, opt)))


def read(key: str) -> bytes | None:
    """What is on disk under a key (64 hexadecimal digits), or None."""
    folder = folder_now()
    return None if folder is None else _read(_place(folder, key), key)


def write(key: str, content: bytes) -> None:
    """Keep content on disk under a key."""
    folder = folder_now()
    if folder is not None:
        _write(folder, key, content)


def _place(folder: Path, key: str) -> str:
    return f"{folder}{os.sep}{key[:2]}{os.sep}{key}{_SUFFIX}"


def key_of(text: str, opt: int) -> str:
    """The key of a module's object code."""
    digest = hashlib.sha256(_MAGIC)
    for part in (jit.version(), str(opt), text):
        data = part.encode()
        digest.update(b"%d\n" % len(data))
        digest.update(data)
    return digest.hexdigest()


def _is_ours(about: os.stat_result) -> bool:
    return about.st_uid == os.geteuid() and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _read(path: str, name: str) -> bytes | None:
    """The code in an entry, or None if there is none or it is damaged."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
        try:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode) or not _is_ours(about):
                return None
            content = os.read(descriptor, about.st_size)
            if time.time() - about.st_mtime > _RECENTLY:
                with suppress(OSError):  # a read-only folder
                    os.utime(descriptor)  # when it was last used
        finally:
            os.close(descriptor)
    except OSError:
        return None
    header = _MAGIC + name.encode() + b"\n"
    start = len(header) + 32
    if content[: len(header)] != header or len(content) <= start:
        return None
    code = content[start:]
    if hashlib.sha256(header + code).digest() != content[len(header) : start]:
        return None
    return code


def _write(folder: Path, name: str, code: bytes) -> None:
    global _writes
    if folder in _broken:
        return
    header = _MAGIC + name.encode() + b"\n"
    temporary = None
    try:
        place = folder / name[:2]
        place.mkdir(mode=0o700, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=place)  # readable by the owner only
        with open(descriptor, "wb") as file:
            file.write(header + hashlib.sha256(header + code).digest() + code)
        os.replace(temporary, place / (name + _SUFFIX))
        temporary = None
    except OSError:
        _broken.add(folder)
    finally:
        if temporary is not None:
            _remove(temporary)
    # It takes time to look at a large folder, so short processes should seldom be the ones that do.
    _writes += 1
    if (_writes + os.getpid()) % 64 == 0:
        _shrink(folder)


def _remove(path: str | Path) -> None:
    with suppress(OSError):
        os.unlink(path)


def _shrink(folder: Path) -> None:
    """Remove the entries (and forgotten temporary files) used longest ago if all exceed the limit."""
    found = []
    try:
        with os.scandir(folder) as places:
            for place in places:
                if not place.is_dir(follow_symlinks=False) or len(place.name) != 2:
                    continue
                with os.scandir(place) as files:
                    for file in files:
                        if file.name.endswith(_SUFFIX) or file.name.startswith(".new-"):
                            with suppress(FileNotFoundError):  # renamed or removed by another process
                                about = file.stat(follow_symlinks=False)
                                found.append((about.st_mtime, about.st_size, file.path))
    except OSError:
        pass  # another process is shrinking it too
    total = sum(size for _, size, _ in found)
    if total <= SIZE_LIMIT:
        return
    for _, size, path in sorted(found):
        if total <= SIZE_LIMIT * 3 // 4:
            break
        _remove(path)
        total -= size


def clear() -> None:
    """Remove all entries."""
    folder = folder_now()
    if folder is not None:
        for path in folder.glob(f"??/*{_SUFFIX}"):
            _remove(path)
