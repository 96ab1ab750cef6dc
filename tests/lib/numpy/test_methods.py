"""Methods of arrays work on tracers, too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback._src.core.array import Array
from pullback._src.core.trace import Tracer


def _subclasses(cls: type) -> Iterator[type]:
    for sub in cls.__subclasses__():
        yield sub
        yield from _subclasses(sub)


def test_no_tracer_hides_a_method() -> None:
    public = {name for name in dir(Array) if not name.startswith("_")}
    allowed = {"aval", "sharding"}
    for cls in (Tracer, *_subclasses(Tracer)):
        hidden = {n for n in public - allowed if n in vars(cls) and vars(cls)[n] is not vars(Array).get(n)}
        assert not hidden, f"{cls.__name__} hides {hidden}"


@pytest.mark.parametrize("name", ["var", "std", "mean", "sum", "max", "argmin", "trace", "cumsum", "ravel"])
def test_methods_under_jit(name: str) -> None:
    x = pnp.arange(9.0).reshape(3, 3)
    assert (pb.jit(lambda x: getattr(x, name)())(x) == getattr(x, name)()).all()
