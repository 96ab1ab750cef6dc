"""The sizes of the named axes that are bound at the moment (vmap's `axis_name`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from . import rules
from .program import Program, subprograms

_sizes: ContextVar[dict[Any, int]] = ContextVar("pullback_axes", default={})  # noqa: B039 - never mutated


@contextmanager
def bind_axis(name: Any, size: int) -> Iterator[None]:
    """Bind `name` (unless it is None) to an axis of `size` elements."""
    if name is None:
        yield
        return
    token = _sizes.set({**_sizes.get(), name: size})
    try:
        yield
    finally:
        _sizes.reset(token)


def axis_size(name: Any) -> int:
    """The size of the axis bound to `name`.

    Raises:
        NameError: no enclosing transformation binds the name.
    """
    sizes = _sizes.get()
    if name not in sizes:
        bound = ", ".join(map(repr, sizes)) or "none"
        raise NameError(
            f"unbound axis name {name!r}; bound axes here: {bound}. Bind it with vmap(..., "
            f"axis_name={name!r})"
        )
    return sizes[name]


def bound_axes() -> dict[Any, int]:
    """All bound axes; part of the keys of tracing caches."""
    return _sizes.get()


def named_axes(program: Program) -> frozenset[Any]:
    """The names of the axes over which a program, or one within it, has collectives."""
    found = program.memo.get("named_axes")
    if found is None:
        names: set[Any] = set()
        for eqn in program.eqns:
            if eqn.primitive in rules.collective:
                names.update(eqn.params["axes"])
            for sub in subprograms(eqn.params):
                names |= named_axes(sub)
        found = program.memo["named_axes"] = frozenset(names)
    return found
