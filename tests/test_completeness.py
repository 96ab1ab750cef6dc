"""Every primitive × rule is there or explained; samples cover every primitive and transpose rule."""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pullback._src.core import engine, rules
from pullback._src.core.primitive import Primitive
from pullback._src.core.program import Program, subprograms
from pullback._src.transforms.linearize import linearize

from .flat import flat
from .matrix import Sample, arrays, precision_of

_ROOT = Path(__file__).parent.parent


def _load_generator() -> Any:
    spec = importlib.util.spec_from_file_location(
        "generate_coverage", _ROOT / "docs" / "generate_coverage.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generator = _load_generator()
PRIMITIVES: list[Primitive] = [p for members in generator.primitives().values() for p in members]
# The vmap that binds a collective's axis rewrites it, so that no sample's program contains one;
# tests/ops/test_collective.py tests them.
SAMPLED = [p for p in PRIMITIVES if p not in rules.collective]


@cache
def samples() -> tuple[Sample, ...]:
    """All samples of the test modules of primitives."""
    found: list[Sample] = []
    for folder in ("ops", "control"):
        for path in sorted((_ROOT / "tests" / folder).glob("test_*.py")):
            if "SAMPLES" in path.read_text(encoding="utf-8"):
                found += importlib.import_module(f"{__package__}.{folder}.{path.stem}").SAMPLES
    return tuple(found)


def _names(program: Program, within: bool) -> set[str]:
    names = set()
    for eqn in program.eqns:
        names.add(eqn.primitive.name)
        if within:
            for sub in subprograms(eqn.params):
                names |= _names(sub, within)
    return names


@cache
def linear_names(within: bool) -> frozenset[str]:
    """The primitives in the linear programs of all differentiable samples.

    `within` adds those in sub-programs: they may also recompute residuals there, with operations that are not
    linear.
    """
    names: set[str] = set()
    for sample in samples():
        if sample.differentiable:
            with precision_of(sample):
                args = arrays(sample.args)
                mask = [i in sample.differentiable for i in range(len(args))]
                _, linear = linearize(flat(sample.function), args, mask)
                names |= _names(linear.program, within)
    return frozenset(names)


@pytest.mark.parametrize("primitive", PRIMITIVES, ids=str)
def test_rules_are_complete(primitive: Primitive) -> None:
    decomposed = primitive in rules.decompose
    assert primitive in engine.kernels or primitive in rules.evaluate or decomposed, "no implementation"
    assert primitive in rules.abstract or primitive in rules.staging, "no shape rule"
    differentiable = primitive in rules.jvp or primitive in rules.linearize or decomposed
    assert differentiable != (primitive in rules.not_differentiable), (
        "a jvp rule or the reason why there is none"
    )
    assert primitive in rules.batch or primitive in rules.collective or decomposed, "no batching rule"
    if primitive.name in linear_names(within=False):
        transposable = primitive in rules.transpose
        assert transposable != (primitive in rules.not_transposable), (
            "a transpose rule or the reason why there is none"
        )


@pytest.mark.parametrize("primitive", SAMPLED, ids=str)
def test_a_sample_covers_the_primitive(primitive: Primitive) -> None:
    assert any(primitive.name in s.primitives for s in samples()), f"no sample names {primitive.name!r}"


@pytest.mark.parametrize("primitive", [p for p in SAMPLED if p in rules.transpose], ids=str)
def test_a_sample_transposes_the_primitive(primitive: Primitive) -> None:
    assert primitive.name in linear_names(within=True), f"no sample's derivative contains {primitive.name!r}"


def test_the_coverage_page_is_up_to_date() -> None:
    committed = generator.PAGE.read_text(encoding="utf-8") if generator.PAGE.exists() else ""
    assert committed == generator.page(), "run `python docs/generate_coverage.py` and commit docs/coverage.md"
