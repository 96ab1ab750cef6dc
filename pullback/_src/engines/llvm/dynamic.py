"""Functions of shared libraries: their addresses, without the objects that ctypes makes for calls of them.

ctypes makes classes for a library and an object for each function, which takes longer than to find the
function.
"""

from __future__ import annotations

import os
from _ctypes import dlopen, dlsym


def opened(path: str | None) -> int:
    """A handle of a shared library, or, for None, of all that is in the process for everybody.

    Raises:
        OSError: there is no such library.
    """
    return dlopen(path, os.RTLD_NOW)  # type: ignore[arg-type]  # which says nothing of None


def find(handle: int, name: str) -> int:
    """The address of a function that a library or one that it needs has; 0 if there is none."""
    try:
        return dlsym(handle, name)
    except OSError:
        return 0


__all__ = ["find", "opened"]
