"""The folder in which files are kept that spare later processes work.

It is `$PULLBACK_COMPILATION_CACHE_DIR` (the flag `compilation_cache_dir`), else `$PULLBACK_CACHE_DIR`, else
`pullback` in the user's cache folder. The flag `enable_compilation_cache` switches it off.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path

from .config import settings


def folder_now() -> Path | None:
    """The folder, made if need be, or None if there is to be none or it cannot be made."""
    now = settings()
    if not now.enable_compilation_cache:
        return None
    return _made(now.compilation_cache_dir or os.environ.get("PULLBACK_CACHE_DIR") or _default_folder())


def _default_folder() -> str | None:
    if sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = os.path.join(os.path.expanduser(base), "pullback")
    return folder if os.path.isabs(folder) else None


@lru_cache(maxsize=16)
def _made(name: str | None) -> Path | None:
    """The folder, made if need be, or None if it cannot be."""
    if name is None:
        return None
    try:
        folder = Path(name).expanduser()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, ValueError, RuntimeError):  # a name that cannot be, no home
        return None
    return folder
