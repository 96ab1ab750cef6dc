"""Every sample of every operation, compiled to native code, agrees with the NumPy engine.

Code made with more effort has the same results bit for bit.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pullback.numpy as pnp
from pullback._src.core import engine
from pullback._src.core.array import as_array
from pullback._src.engines.llvm.engine import Compilation, simplified
from pullback._src.engines.llvm.executable import Executable
from pullback._src.engines.llvm.fingerprint import fingerprint
from tests.flat import Flat, flat, staged, vjp_of, vmap_of
from tests.matrix import Sample, arrays, assert_close, epsilon, is_inexact, precision_of

OPS = Path(__file__).resolve().parents[2] / "ops"
SAMPLES = [
    sample
    for path in sorted(OPS.glob("test_*.py"))
    for sample in getattr(importlib.import_module(f"tests.ops.{path.stem}"), "SAMPLES", ())
]
UNITS = 64  # of rounding, relative to the largest entry: the engines add and approximate differently


def _agree(sample: Sample, function: Flat, args: list[Any]) -> None:
    program = staged(function, *args)
    expected = engine.get("numpy").compile(program)(args)
    executable = Compilation(program).finish()
    actual = executable(args)
    if isinstance(executable, Executable) and executable.promotion is not None:
        executable.promotion.carry_out()
        assert executable.promotion is None
        for quick, better in zip(actual, executable(args), strict=True):
            assert np.asarray(quick).tobytes() == np.asarray(better).tobytes()
    units = [UNITS * epsilon(r.aval.dtype) for r in expected if is_inexact(r)]
    assert_close(actual, expected, sample.name, rtol=max([sample.rtol or 0.0, *units]))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_value(sample: Sample) -> None:
    with precision_of(sample):
        _agree(sample, flat(sample.function), arrays(sample.args))


@pytest.mark.parametrize("sample", [s for s in SAMPLES if s.batchable], ids=lambda sample: sample.name)
def test_vmap(sample: Sample) -> None:
    with precision_of(sample):
        args = arrays(sample.args)
        dims = [0 if i in sample.batchable else None for i in range(len(args))]
        stacked = [pnp.stack([a, a]) if d == 0 else a for a, d in zip(args, dims, strict=True)]
        _agree(sample, vmap_of(flat(sample.function), dims, 2), stacked)


@pytest.mark.parametrize("sample", [s for s in SAMPLES if s.differentiable], ids=lambda sample: sample.name)
def test_vjp(sample: Sample) -> None:
    with precision_of(sample):
        function, args = flat(sample.function), arrays(sample.args)
        rng = np.random.default_rng(0)
        cotangents = [
            as_array(np.asarray(rng.normal(size=o.aval.shape)).astype(o.aval.dtype))
            for o in function(*args)
            if is_inexact(o)
        ]
        _agree(sample, vjp_of(function, sample.differentiable, len(args)), [*args, *cotangents])


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_fingerprint(sample: Sample) -> None:
    """A program without calls of Python can be told apart from others, so it is found on disk again."""
    with precision_of(sample):
        program = simplified(staged(flat(sample.function), *arrays(sample.args)))
        assert fingerprint(program) is not None
