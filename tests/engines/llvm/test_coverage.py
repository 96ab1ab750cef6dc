"""What the coverage page says of the LLVM engine is true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.lax as lax
import pullback.numpy as pnp
from pullback._src.engines.llvm import coverage

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "coverage.md").read_text(encoding="utf-8")
NAMES = set(re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE))


def test_each_primitive_is_native_or_has_a_reason() -> None:
    assert {name for name in NAMES if not coverage.is_native(name)} == set(coverage.always)


def test_only_native_primitives_have_exceptions() -> None:
    assert all(name in NAMES and coverage.is_native(name) for name in coverage.sometimes)


def calls(function: Any, *args: Any) -> list[str]:
    return [call.primitive for call in pb.jit(function).lower(*args).compile().host_calls]


X = np.ones((4, 4), np.float32)
C = X.astype(np.complex64)
H = X.astype(np.float16)
IN_PYTHON: dict[str, tuple[Any, Any]] = {
    "argmax": (pnp.argmax, np.ones(4, pnp.float8_e5m2)),
    "cummax": (lambda x: lax.cummax(x, 0), C),
    "reduce_max": (pnp.max, C),
    "scatter_max": (lambda x: x.at[0].max(1), C),
    "det": (pnp.linalg.det, np.ones((0, 0), np.float32)),
    "sort": (pnp.sort, pb.ShapeDtypeStruct((1 << 31,), np.int8)),
    "fft": (pnp.fft.fft, C),
    "pure_callback": (lambda x: pb.pure_callback(np.sin, pb.ShapeDtypeStruct(x.shape, x.dtype), x), X),
    "add": (lambda x: lax.add(x, x), X.astype(pnp.float8_e5m2)),
}


@pytest.mark.parametrize("name", IN_PYTHON)
def test_what_the_page_says_is_in_python_is(name: str) -> None:
    function, x = IN_PYTHON[name]
    assert name in calls(function, x)


@pytest.mark.parametrize(
    ("function", "x"),
    [
        (pnp.max, X), (pnp.sum, C), (pnp.linalg.cholesky, np.eye(4, dtype=np.float32)), (pnp.sort, X),
        (pnp.argmax, X), (pnp.linalg.svd, X), (pnp.cumsum, C), (lambda x: x @ x, H),
    ],
)  # fmt: skip
def test_what_the_page_says_is_native_is(function: Any, x: Any) -> None:
    assert calls(function, x) == []


def test_calls_in_the_bodies_of_loops_and_branches_are_native() -> None:
    sine = pb.custom_jvp(pnp.sin)
    sine.defjvp(lambda p, t: (sine(*p), pnp.cos(p[0]) * t[0]))

    def body(carry: Any) -> Any:
        i, c = carry
        c = lax.cond(c > 0.5, pb.jit(sine), pb.checkpoint(pnp.cos), c)
        return i + 1, lax.scan(lambda c, _: (pb.jit(sine)(c) * 1.5, None), c, None, length=2)[0]

    f = lambda x: lax.while_loop(lambda carry: pb.jit(pnp.less)(carry[0], 3), body, (0, x))[1]
    assert calls(f, 1.0) == []
    x = 1.0
    for _ in range(3):
        x = np.sin(np.sin(np.sin(x) if x > 0.5 else np.cos(x)) * 1.5) * 1.5
    np.testing.assert_allclose(pb.jit(f)(1.0), x, rtol=1e-6)
