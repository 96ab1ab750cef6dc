"""Operands of one lane beside vectors: literals, values from outside of the loop, values of the loop."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

from pullback._src.engines.llvm import jit
from pullback._src.engines.llvm.elementwise import Types, kind, register_elem, rules
from pullback._src.engines.llvm.ir import Emitter, Value, constant
from pullback._src.engines.llvm.module import Function, Module

from .harness import HELPERS, load, run, store

_LANES, _SIZE = 16, 32
_RNG = np.random.default_rng(0)


def _mixed(name: str, types: Types, which: int, form: str, value: Any) -> jit.Linked:
    """The rule in a loop, with operand `which` in one lane."""
    module = Module()
    e = Emitter(module)
    pointers = [Value(f"%in{k}", "ptr", 1, 0) for k in range(len(types.inputs))]
    out, zero = Value("%out", "ptr", 1, 0), constant(0, "i64")
    outer = load(e, pointers[which], types.inputs[which], zero, 1) if form == "outer" else None
    with e.loop(zero, Value("%n", "i64", 1, 0), _LANES) as loop:
        xs: list[Any] = []
        for k, (pointer, dtype) in enumerate(zip(pointers, types.inputs, strict=True)):
            elem = register_elem(dtype)
            if k != which:
                xs.append(load(e, pointer, dtype, loop.index, _LANES))
            elif form == "outer":
                xs.append(outer)
            elif form == "inner":
                xs.append(load(e, pointer, dtype, zero, 1))
            elif kind(dtype) == "c":
                xs.append((constant(value.real, elem), constant(value.imag, elem)))
            else:
                xs.append(constant(value, elem))
        store(e, out, types.out, loop.index, _LANES, rules[name](e, types, *xs))
    names = ", ".join(f"ptr {p.name}" for p in [*pointers, out])
    module.add(Function("program", "void", f"i64 %n, {names}", f"entry:\n{e.text()}\nret void", True))
    return jit.link(jit.compile_ir(module.text()), HELPERS)


def _values(dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    if dtype.kind == "b":
        return _RNG.integers(0, 2, _SIZE).astype(bool)
    if dtype.kind in "iu":
        return _RNG.integers(0 if dtype.kind == "u" else -9, 9, _SIZE).astype(dtype)
    x = _RNG.normal(0, 2, _SIZE)
    return (x + 1j * _RNG.normal(0, 2, _SIZE) if dtype.kind == "c" else x).astype(dtype)


_CASES: list[tuple[str, str, str]] = [
    *[(n, "f4 f4", "f4") for n in ("add", "mul", "div", "rem", "max", "pow", "atan2", "hypot", "nextafter")],
    *[(n, "f8 f8", "f8") for n in ("sub", "pow", "logaddexp", "rem")],
    *[(n, "f4", "f4") for n in ("exp", "sin", "lgamma")],
    *[(n, "c8 c8", "c8") for n in ("add", "mul", "div", "pow", "max")],
    *[(n, "i4 i4", "i4") for n in ("div", "rem", "pow", "shift_left", "shift_right_arithmetic")],
    *[(n, "u8 u8", "u8") for n in ("div", "pow", "min", "shift_right_logical")],
    ("clamp", "f4 f4 f4", "f4"),
    ("select_n", "? c16 c16", "c16"),
    ("select_n", "i4 f4 f4 f4", "f4"),
    ("pow", "f4 i4", "f4"),
    ("eq", "c8 c8", "?"),
    ("complex", "f4 f4", "c8"),
]


@pytest.mark.parametrize(("name", "inputs", "out"), _CASES)
def test_one_lane_beside_many(name: str, inputs: str, out: str) -> None:
    types = Types(tuple(np.dtype(t) for t in inputs.split()), np.dtype(out))
    xs = [_values(d) for d in types.inputs]
    for which in range(len(xs)):
        full = [x.copy() for x in xs]
        full[which][:] = full[which][0]
        want = run(name, *full, out=out)
        for form in ("outer", "inner", "literal"):
            code = _mixed(name, types, which, form, full[which][0].item())
            signature = ctypes.CFUNCTYPE(None, ctypes.c_int64, *[ctypes.c_void_p] * (len(xs) + 1))
            got = np.empty(_SIZE, out)
            signature(code.address("program"))(_SIZE, *[x.ctypes.data for x in full], got.ctypes.data)
            np.testing.assert_array_equal(got, want, err_msg=f"{which} {form}")
