"""Programs run by the LLVM engine and by the NumPy engine, which is the specification."""

from typing import Any

import numpy as np

import pullback as pb
import pullback.numpy as jnp
from pullback._src.core import engine as registry
from pullback._src.engines.llvm.engine import Compilation

TOLERANCES = {"e": 2e-3, "f": 2e-5, "F": 2e-5, "d": 1e-12, "D": 1e-12}
LETTERS = "fdFD"


def draw(*shape: int, dtype: Any = np.float32, seed: int = 0) -> Any:
    """Normal numbers (small integers for integer dtypes)."""
    generator = np.random.default_rng([seed, *shape])
    values = generator.standard_normal(shape)
    dtype = jnp.dtype(dtype)
    if dtype.kind == "c":
        values = values + 1j * generator.standard_normal(shape)
    if dtype.kind in "iub":
        values = np.floor(values * 2)
    return values.astype(dtype)


def check(
    function: Any,
    *args: Any,
    native: bool = True,
    tolerance: float | None = None,
    unique: tuple[int, ...] | None = None,
) -> list[np.ndarray[Any, Any]]:
    """Compare the results of both engines; with `native`, nothing may have run in Python.

    Of results that are not unique, such as eigenvectors, only shapes and dtypes are compared: `unique` names
    the others. Returns the LLVM engine's results.
    """
    arrays = [jnp.asarray(a) for a in args]
    staged = pb.jit(function).stage(tuple(arrays), {})
    values = [*staged.consts, *arrays]
    compilation = Compilation(staged.open_program)
    if native:
        assert not compilation.lowering.host_calls
    ours = compilation.finish()(values)
    theirs = registry.get("numpy").compile(staged.open_program)(values)
    for number, (out, reference) in enumerate(zip(ours, theirs, strict=True)):
        a, b = np.asarray(out), np.asarray(reference)
        if unique is None or number in unique:
            same(a, b, tolerance)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
    return [np.asarray(out) for out in ours]


def same(out: Any, reference: Any, tolerance: float | None = None) -> None:
    """Equal shapes, dtypes, and values up to rounding relative to the largest; NaNs in the same places."""
    assert out.shape == reference.shape
    assert out.dtype == reference.dtype
    if out.dtype.kind in "iub":
        np.testing.assert_array_equal(out, reference)
        return
    tolerance = tolerance or TOLERANCES.get(out.dtype.char, 2e-2)
    kind = np.complex128 if out.dtype.kind == "c" else np.float64
    a, b = out.astype(kind), reference.astype(kind)
    np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
    finite = np.isfinite(b)
    np.testing.assert_array_equal(a[~finite & ~np.isnan(b)], b[~finite & ~np.isnan(b)])
    if finite.any():
        np.testing.assert_allclose(
            a[finite], b[finite], rtol=0, atol=tolerance * max(np.abs(b[finite]).max(), 1e-30)
        )
