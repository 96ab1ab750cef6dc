"""The exception tree.

Every error that the library raises on purpose is a `PullbackError` and also the built-in
exception that a NumPy programmer would expect (`TypeError`, `ValueError`, `IndexError`), so
that both kinds of `except` clause work. Messages state what was expected, what came, and
what to do; the user's line that was at work is added to them.
"""

from __future__ import annotations

import re
from typing import Any

from . import source

_PLACE = re.compile(r"\bat .+:\d+ \(")


class PullbackError(Exception):
    """Base class of the library's own errors; adds the place in the user's code to the message."""

    def __init__(self, message: str = "", *rest: Any) -> None:
        if not _PLACE.search(message):
            message = f"{message.rstrip()}\n{source.describe(source.capture())}".rstrip()
        super().__init__(message, *rest)


class ShapeError(PullbackError, TypeError, ValueError):
    """Operands whose shapes do not fit together."""


class DTypeError(PullbackError, TypeError):
    """Operands whose dtypes do not fit together, or that a function does not accept."""


class StructureError(PullbackError, TypeError, ValueError):
    """Pytrees whose structures differ where they must agree."""


class NotDifferentiableError(PullbackError, TypeError):
    """A derivative was asked for that does not exist or is not defined here."""


class VerificationError(PullbackError):
    """A program breaks an invariant of the intermediate representation (an internal bug)."""


class ConcretizationTypeError(PullbackError, TypeError):
    """A value that is only known abstractly was needed concretely."""


class TracerArrayConversionError(ConcretizationTypeError):
    """`numpy.asarray` (or a NumPy function) was applied to a traced value."""


class TracerBoolConversionError(ConcretizationTypeError):
    """A traced value was used where Python needs a bool (`if`, `while`, `and`, `assert`)."""


class TracerIntegerConversionError(ConcretizationTypeError):
    """A traced value was used where Python needs an int (`range`, indexing a list)."""


class NonConcreteBooleanIndexError(ConcretizationTypeError, IndexError):
    """A traced boolean mask was used as an index: the result's shape would depend on values."""


class UnexpectedTracerError(PullbackError, TypeError):
    """A traced value was used after the transformation that made it had ended (a leak)."""


class DeletedArrayError(PullbackError, RuntimeError):
    """An array was read whose memory had been given away by donation, or freed."""


class KeyReuseError(PullbackError, ValueError):
    """A random key was used twice."""


class ConvergenceError(PullbackError, RuntimeError):
    """An iteration ended before it reached its tolerance."""
