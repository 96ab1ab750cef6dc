"""Vectors whose length is no power of two."""

import re
from typing import Any

import numpy as np
import pytest

import pullback.numpy as jnp
from pullback._src.engines.llvm import jit
from pullback._src.engines.llvm.odd import lengthened

from .agreement import check, draw

SUM = """define void @f(ptr %a, ptr %b, i64 %n) {
entry:
%first = load <5 x float>, ptr %b, align 4
%twice = fadd <5 x float> %first, %first
br label %head
head:
%i = phi i64 [0, %entry], [%next, %head]
%c = phi <5 x float> [<float 1.0, float 2.0, float 3.0, float 4.0, float 5.0>, %entry], [%sum, %head]
%d = phi <5 x float> [splat (float 0.0), %entry], [%c, %head]
%place = getelementptr float, ptr %a, i64 %i
%x = load <5 x float>, ptr %place, align 4
%y = fmul <5 x float> %x, %twice
%sum = fadd <5 x float> %c, %y
%next = add i64 %i, 5
%done = icmp sge i64 %next, %n
br i1 %done, label %exit, label %head
exit:
%r = phi <5 x float> [%sum, %head]
%total = fadd <5 x float> %r, %d
store <5 x float> %total, ptr %b, align 4
ret void
}"""


def test_only_what_crosses_a_border_is_lengthened() -> None:
    text = lengthened(SUM)
    assert not re.search(r"phi <5", text)
    assert len(re.findall(r"phi <8 x float>", text)) == 3
    assert "%x.w" not in text
    assert "%y.w" not in text
    assert "load <5 x float>" in text
    jit.compile_ir(text)


@pytest.mark.parametrize(
    "text", [SUM.replace("5 x float", "4 x float").replace(", float 5.0", ""), "ret void"]
)
def test_other_functions_stay_as_they_are(text: str) -> None:
    assert lengthened(text) is text


def test_loops_get_quicker() -> None:
    """Far fewer instructions than where LLVM takes vectors apart."""
    text = SUM.replace("5 x float", "20 x double").replace("float", "double")
    text = re.sub(r"\[<double.*?>, %entry\]", "[zeroinitializer, %entry]", text)
    assert jit.assembly(lengthened(text)).count("\n") < 0.7 * jit.assembly(text).count("\n")


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float64, np.int32, np.int8, np.complex64, np.bool_, np.float16]
)
@pytest.mark.parametrize("width", [3, 5, 10, 13])
def test_rows_of_odd_lengths(width: int, dtype: Any) -> None:
    def f(x: Any, b: Any) -> Any:
        y = x + b
        return y, y.sum(0), (y * y).max(0) if y.dtype.kind != "c" else y.prod(0), y.sum(1)

    tolerance = 2e-2 if dtype is np.float16 else 2e-4 if dtype is np.complex64 else None
    check(f, draw(70, width, dtype=dtype), draw(width, dtype=dtype), tolerance=tolerance)


def test_carried_and_rare_lanes() -> None:
    check(lambda x: jnp.sin(x * 1e6).sum(0), draw(200, 5), tolerance=1e-4)
    check(lambda x: jnp.cumsum(x, 0), draw(200, 7))
