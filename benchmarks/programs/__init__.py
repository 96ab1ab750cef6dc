"""The programs that are compiled and run, each written once as a function of the library."""

from programs import adbench, arrays, growth, linalg, networks, registry, sampling, simulation
from programs.registry import GROWTH, TABLE, Program

__all__ = [
    "GROWTH",
    "PROGRAMS",
    "TABLE",
    "Program",
    "adbench",
    "arrays",
    "growth",
    "linalg",
    "networks",
    "sampling",
    "simulation",
]

_ORDER = [
    *("add_one", "logistic", "hvp", "elementwise", "softmax", "transpose", "einsum", "sort", "cumsum"),
    *("random_normal", "lorenz", "mlp", "cnn", "log_determinant", "gmm", "lstm"),
]

PROGRAMS = {name: registry.PROGRAMS[name] for name in (*_ORDER, *registry.PROGRAMS)}
"""All programs by name: the table's in its order, the others, the growing series."""

# The growing series come last.
PROGRAMS |= {name: PROGRAMS.pop(name) for name, program in [*PROGRAMS.items()] if program.group == GROWTH}
