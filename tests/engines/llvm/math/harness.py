"""Compiles one rule of the elementwise table as a loop over buffers, and runs it on NumPy arrays."""

from __future__ import annotations

import ctypes
import re
from functools import cache
from typing import Any

import numpy as np

from pullback._src.core import dtypes
from pullback._src.engines.llvm import jit, runtime
from pullback._src.engines.llvm.elementwise import Types, kind, register_elem, rules
from pullback._src.engines.llvm.ir import Emitter, Value, constant, type_text
from pullback._src.engines.llvm.math import scalars, scipy_functions
from pullback._src.engines.llvm.math.convert import rounded_bits
from pullback._src.engines.llvm.module import Function, Module

BF16 = np.dtype(dtypes.bfloat16)


def stored(dtype: np.dtype[Any]) -> str:
    """The LLVM type of (a part of) an element in memory."""
    if dtype == np.float16:
        return "half"
    return "bfloat" if dtype == BF16 else "i8" if dtype == np.bool_ else register_elem(dtype)


def load(e: Emitter, pointer: Value, dtype: np.dtype[Any], index: Value, lanes: int) -> Any:
    elem = stored(dtype)
    if kind(dtype) == "c":
        first = e.here(f"shl i64 {index.name}, 1", "i64", 1)
        at = e.here(f"getelementptr {elem}, ptr {pointer.name}, i64 {first.name}", "ptr", 1)
        both = e.here(f"load {type_text(elem, 2 * lanes)}, ptr {at.name}, align 1", elem, 2 * lanes)
        return e.shuffle(both, range(0, 2 * lanes, 2)), e.shuffle(both, range(1, 2 * lanes, 2))
    at = e.here(f"getelementptr {elem}, ptr {pointer.name}, i64 {index.name}", "ptr", 1)
    x = e.here(f"load {type_text(elem, lanes)}, ptr {at.name}, align 1", elem, lanes)
    if elem in ("half", "bfloat"):
        return e.convert("fpext", x, "float")
    return e.icmp("ne", x, e.const(0, x)) if dtype == np.bool_ else x


def store(e: Emitter, pointer: Value, dtype: np.dtype[Any], index: Value, lanes: int, x: Any) -> None:
    elem = stored(dtype)
    if kind(dtype) == "c":
        first = e.here(f"shl i64 {index.name}, 1", "i64", 1)
        at = e.here(f"getelementptr {elem}, ptr {pointer.name}, i64 {first.name}", "ptr", 1)
        pair = e.concat([e.splat(v, lanes) for v in x])
        both = e.shuffle(pair, [k // 2 + (k % 2) * lanes for k in range(2 * lanes)])
        e.line(f"store {both.typed}, ptr {at.name}, align 1")
        return
    x = e.splat(x, lanes)
    if elem in ("half", "bfloat"):
        x = e.convert("bitcast", rounded_bits(e, x, dtype), elem)
    elif dtype == np.bool_:
        x = e.convert("zext", x, "i8")
    assert x.elem == elem, (x, elem)
    at = e.here(f"getelementptr {elem}, ptr {pointer.name}, i64 {index.name}", "ptr", 1)
    e.line(f"store {x.typed}, ptr {at.name}, align 1")


def text(name: str, types: Types, lanes: int, outputs: int = 1, **params: Any) -> str:
    """The module: `program(n, inputs..., outputs...)` over n elements, a multiple of the lanes."""
    module = Module()
    e = Emitter(module)
    inputs = [Value(f"%in{k}", "ptr", 1, 0) for k in range(len(types.inputs))]
    results = [Value(f"%out{k}", "ptr", 1, 0) for k in range(outputs)]
    with e.loop(constant(0, "i64"), Value("%n", "i64", 1, 0), lanes) as loop:
        xs = [load(e, p, d, loop.index, lanes) for p, d in zip(inputs, types.inputs, strict=True)]
        ys = rules[name](e, types, *xs, **params)
        for p, y in zip(results, ys if outputs > 1 else [ys], strict=True):
            store(e, p, types.out, loop.index, lanes, y)
    e.line("ret void")
    names = ", ".join(f"ptr {p.name}" for p in [*inputs, *results])
    module.add(Function("program", "void", f"i64 %n, {names}", f"entry:\n{e.text()}", True))
    return module.text()


HELPERS = {**runtime.native().symbols, **scalars.symbols(scalars.NAMES)}
_linked: list[Any] = []


@cache
def compiled(name: str, types: Types, lanes: int, outputs: int, params: tuple[tuple[str, Any], ...]) -> Any:
    ir = text(name, types, lanes, outputs, **dict(params))
    code = jit.link(
        jit.compile_ir(ir), {**HELPERS, **scipy_functions.symbols(re.findall(r"@(pb_scipy_\w+)", ir))}
    )
    _linked.append(code)
    signature = ctypes.CFUNCTYPE(None, ctypes.c_int64, *[ctypes.c_void_p] * (len(types.inputs) + outputs))
    return signature(code.address("program"))


def run(name: str, *arrays: Any, out: Any = None, lanes: int = 16, outputs: int = 1, **params: Any) -> Any:
    """The rule `name` on flat arrays of equal sizes; `out` is the result's dtype (default: the operand's)."""
    arrays = tuple(np.ascontiguousarray(a) for a in arrays)
    n = arrays[0].size
    padded = -(-n // lanes) * lanes
    arrays = tuple(np.concatenate([a.reshape(-1), np.resize(a.reshape(-1), padded - n)]) for a in arrays)
    out = arrays[0].dtype if out is None else np.dtype(out)
    types = Types(tuple(a.dtype for a in arrays), out)
    results = [np.empty(padded, out) for _ in range(outputs)]
    function = compiled(name, types, lanes, outputs, tuple(sorted(params.items())))
    function(padded, *[a.ctypes.data for a in arrays], *[r.ctypes.data for r in results])
    results = [r[:n] for r in results]
    return results if outputs > 1 else results[0]
