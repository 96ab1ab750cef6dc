"""Why primitives run in Python: what the coverage page and inspections say."""

from __future__ import annotations

from .elementwise import rules
from .inline import CALLS
from .lower import lowerings

NUMPY = "an algorithm of NumPy's, SciPy's or LAPACK's, called as it is"

# Primitives that always run in Python, and why.
_CALLBACK = "it runs the user's Python function"
always: dict[str, str] = {
    "debug_callback": _CALLBACK,
    "io_callback": _CALLBACK,
    "pure_callback": _CALLBACK,
}

# Primitives that run in Python in some cases, and in which.
sometimes: dict[str, str] = {}


def is_native(name: str) -> bool:
    """Whether there is native code for a primitive, at least in some cases."""
    return name in lowerings or name in rules or name in CALLS


def reason(name: str) -> str:
    """Why an equation of this primitive runs in Python, given that it does."""
    if is_native(name):
        return sometimes.get(name, "there is no native code for operands of these types or these parameters")
    return always.get(name, NUMPY)
