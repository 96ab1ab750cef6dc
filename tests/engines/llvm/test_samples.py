"""Every sample of every operation, compiled to native code, agrees with the NumPy engine."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from pullback._src.core import engine
from pullback._src.engines.llvm.engine import Compilation
from tests.flat import flat, staged
from tests.matrix import Sample, arrays, assert_close, epsilon, is_inexact, precision_of

OPS = Path(__file__).resolve().parents[2] / "ops"
SAMPLES = [
    sample
    for path in sorted(OPS.glob("test_*.py"))
    for sample in getattr(importlib.import_module(f"tests.ops.{path.stem}"), "SAMPLES", ())
]
UNITS = 64  # of rounding, relative to the largest entry: the engines add and approximate differently


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_value(sample: Sample) -> None:
    with precision_of(sample):
        args = arrays(sample.args)
        program = staged(flat(sample.function), *args)
        expected = engine.get("numpy").compile(program)(args)
        actual = Compilation(program).finish()(args)
        units = [UNITS * epsilon(r.aval.dtype) for r in expected if is_inexact(r)]
        rtol = max([sample.rtol or 0.0, *units])
        assert_close(actual, expected, sample.name, rtol=rtol)
