"""The engine that compiles programs to native code with LLVM."""

from . import lowerings  # noqa: F401 (fills the table of lowerings)
from .engine import engine

__all__ = ["engine"]
