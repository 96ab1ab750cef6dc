"""The sizes of the named axes that are bound at the moment (vmap's `axis_name`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

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
        raise NameError(f"unbound axis name {name!r}; bound axes here: {bound}. Bind it with vmap(..., axis_name={name!r})")
    return sizes[name]


def bound_axes() -> dict[Any, int]:
    """All bound axes; part of the keys of tracing caches."""
    return _sizes.get()
