"""The conversions of half precision that CPUs without instructions for them call: every bit is NumPy's."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from pullback._src.engines.llvm import jit, runtime

LOOP = """
declare {b} @{name}({a})
define i32 @program(ptr %frame) {{
entry:
  %n = load i64, ptr %frame
  %x.place = getelementptr ptr, ptr %frame, i64 1
  %xs = load ptr, ptr %x.place
  %y.place = getelementptr ptr, ptr %frame, i64 2
  %ys = load ptr, ptr %y.place
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
  %from = getelementptr {a}, ptr %xs, i64 %i
  %x = load {a}, ptr %from
  %y = call {b} @{name}({a} %x)
  %to = getelementptr {b}, ptr %ys, i64 %i
  store {b} %y, ptr %to
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret i32 0
}}
"""


def check(name: str, a: str, b: str, x: np.ndarray[Any, Any], dtype: Any, bits: Any) -> None:
    code = jit.link(jit.compile_ir(LOOP.format(name=name, a=a, b=b)), runtime.native().symbols)
    y = np.zeros(x.size, dtype)
    frame = (ctypes.c_uint64 * 3)(x.size, x.ctypes.data, y.ctypes.data)
    run = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(code.address("program"))
    assert run(ctypes.addressof(frame)) == 0
    with np.errstate(all="ignore"):
        expected = x.astype(dtype)
    nan = np.isnan(x)
    np.testing.assert_array_equal(y[~nan].view(bits), expected[~nan].view(bits))
    assert np.isnan(y[nan]).all()


HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
# All numbers in the middle between two halves, and those next to them.
FINITE = HALVES[:31744].astype(np.float32)
MIDDLE = (FINITE[1:] + FINITE[:-1]) / 2
SINGLES = np.concatenate([
    MIDDLE, -MIDDLE, np.nextafter(MIDDLE, np.float32(np.inf)), np.nextafter(MIDDLE, np.float32(0)), FINITE,
    np.array([65504, 65519.996, 65520, 65536, 1e30, np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-45], np.float32),
    np.random.default_rng(0).integers(0, 1 << 32, 300_000, np.uint32).view(np.float32),
])  # fmt: skip


def test_extending() -> None:
    check("__extendhfsf2", "half", "float", HALVES, np.float32, np.uint32)


def test_truncating() -> None:
    check("__truncsfhf2", "float", "half", SINGLES, np.float16, np.uint16)


def test_truncating_doubles_rounds_once() -> None:
    middle = MIDDLE.astype(np.float64)
    with np.errstate(invalid="ignore"):  # signalling NaNs
        singles = SINGLES.astype(np.float64)
    near = [
        singles,
        middle * (1 + 2.0**-40),
        middle * (1 - 2.0**-40),
        -middle * (1 + 2.0**-50),
    ]
    check("__truncdfhf2", "double", "half", np.concatenate([*near, [1e300, 5e-324]]), np.float16, np.uint16)
