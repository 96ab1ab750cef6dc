"""Object code on disk."""

from __future__ import annotations

from . import jit


def compiled(text: str, *, opt: int = 1) -> bytes:
    return jit.compile_ir(text, opt=opt)
