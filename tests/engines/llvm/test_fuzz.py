"""Random programs (see `programs`) give the same results on the LLVM engine and on the NumPy engine.

`PULLBACK_TEST_THOROUGH=1` runs thousands of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pullback as pb
import pullback.numpy as jnp
from pullback._src.base.config import enable_x64
from pullback._src.core import engine as registry
from pullback._src.engines.llvm import lower, parallel, segments
from pullback._src.engines.llvm.engine import Compilation

from ...thorough import THOROUGH
from . import programs

compiler = sys.modules[Compilation.__module__]  # the package has an attribute of the module's name

NUMBER = st.integers(0, 1 << 12)


def _instructions(depth: int, most: int) -> st.SearchStrategy[Any]:
    body = _instructions(depth - 1, 5) if depth else st.just([])
    return st.lists(st.tuples(NUMBER, st.integers(0, 40), NUMBER, NUMBER, body), max_size=most)


PROGRAMS = _instructions(2, 16).filter(bool)
SHAPES = st.lists(st.lists(st.integers(0, len(programs.SIZES) - 1), max_size=3), min_size=1, max_size=3)


@pytest.fixture(scope="module", autouse=True)
def _wide() -> Iterator[None]:
    with enable_x64(True):
        yield


def _arguments(shapes: Any, dtypes: Any, divisor: int) -> list[np.ndarray[Any, Any]]:
    arrays = []
    for k, sizes in enumerate(shapes):
        shape = [programs.SIZES[n] for n in sizes]
        while np.prod(shape) > 20_000:
            shape.pop(0)
        x = programs.argument(shape, dtypes[k % len(dtypes)], k)
        arrays.append((x / divisor).astype(x.dtype) if divisor > 1 else x)
    return arrays


def _run(f: Any, args: Any, thresholds: tuple[int, float, int]) -> tuple[list[Any], list[Any], bool]:
    """The results on both engines, with other thresholds of what is small, worth sharing, and a long program.

    Also whether something is computed in single precision.
    """
    arrays = [jnp.asarray(a) for a in args]
    staged = pb.jit(f).stage(tuple(arrays), {})
    values = [*staged.consts, *arrays]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lower, "SMALL", thresholds[0])
        patch.setattr(parallel, "CHUNK", thresholds[1])
        patch.setattr(compiler, "LONG_PROGRAM", thresholds[2])
        if thresholds[2] < compiler.DIVIDED_PROGRAM:
            patch.setattr(compiler, "DIVIDED_PROGRAM", thresholds[2])
            patch.setattr(segments, "ARGUMENTS", 6)
        ours = Compilation(staged.open_program).finish()(values)
    theirs = registry.get("numpy").compile(staged.open_program)(values)
    single = "f32" in str(staged.open_program) or "c64" in str(staged.open_program)
    return [np.asarray(x._data) for x in ours], [np.asarray(x._data) for x in theirs], single


THRESHOLDS = st.tuples(
    st.sampled_from([256, 256, 0, 64]), st.sampled_from([20_000.0, 300.0]), st.sampled_from([96, 96, 4])
)
COMMON = settings(
    max_examples=3000 if THOROUGH else 150, suppress_health_check=list(HealthCheck), print_blob=True
)


@COMMON
@given(
    PROGRAMS,
    SHAPES,
    st.lists(st.sampled_from(programs.DTYPES), min_size=1, max_size=3),
    st.booleans(),
    THRESHOLDS,
)
def test_exact(instructions: Any, shapes: Any, dtypes: Any, mapped: bool, thresholds: Any) -> None:
    """Small integers in any dtype: bit for bit."""
    args = _arguments(shapes, dtypes, 1)
    f = programs.function(instructions, smooth=False)
    if mapped:
        args[0] = np.stack([args[0], args[0][::-1] if args[0].ndim else args[0], args[0]])
        f = pb.vmap(f, in_axes=(0, *[None] * (len(args) - 1)))
    ours, theirs, _ = _run(f, args, thresholds)
    for x, y in zip(ours, theirs, strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        np.testing.assert_array_equal(x.astype(np.complex128), y.astype(np.complex128))


@COMMON
@given(
    PROGRAMS,
    SHAPES,
    st.sampled_from(["float64", "float64", "float32"]),
    st.sampled_from(["none", "vmap", "grad", "jvp", "vmap of grad", "grad of vmap"]),
    THRESHOLDS,
)
def test_derivatives(
    instructions: Any, shapes: Any, dtype: str, transformation: str, thresholds: Any
) -> None:
    """Smooth functions and their derivatives: up to rounding."""
    args = _arguments(shapes, [dtype], 4)
    f = transformed(programs.function(instructions, smooth=True), transformation, len(args))
    if "vmap" in transformation:
        args = [np.stack([a, a / 2]) for a in args]
    ours, theirs, single = _run(f, args, thresholds)
    tolerance = 2e-4 if single else 1e-9
    for x, y in zip(ours, theirs, strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        x, y = x.astype(np.complex128), y.astype(np.complex128)
        np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * max(1, np.max(np.abs(y), initial=0)))


def transformed(f: Any, transformation: str, count: int) -> Any:
    """A transformation of a function with several results; gradients are those of a weighted sum of all."""

    def weighted(*args: Any) -> Any:
        total = jnp.float64(0)
        for x in (f if "grad of" not in transformation else pb.vmap(f))(*args):
            if x.dtype.kind == "c":
                x = x.real + 2 * x.imag
            if x.dtype.kind == "f":
                weights = jnp.cos(jnp.arange(x.size)).astype(x.dtype).reshape(x.shape)
                total += (x * weights).sum()
        return total

    gradient = pb.grad(weighted, argnums=tuple(range(count)))
    match transformation:
        case "vmap":
            return pb.vmap(f)
        case "jvp":
            return lambda *args: pb.jvp(f, args, args)
        case "vmap of grad":
            return pb.vmap(gradient)
        case "grad" | "grad of vmap":
            return gradient
    return f
