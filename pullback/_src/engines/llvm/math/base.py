"""What the functions of this package share: constants by type, parts of a number, and rare slow paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from .. import jit
from ..ir import Emitter, Value, mangle

INTEGER = {"float": "i32", "double": "i64"}
MANTISSA = {"float": 23, "double": 52}
BIAS = {"float": 127, "double": 1023}
MAX_EXPONENT = {"float": 255, "double": 2047}
SMALLEST_NORMAL = {"float": 2.0**-126, "double": 2.0**-1022}
# Added to a number, it pushes the fraction out and leaves the nearest integer in the lowest bits.
MAGIC = {"float": 1.5 * 2.0**23, "double": 1.5 * 2.0**52}
MAGIC_BITS = {"float": 0x4B400000, "double": 0x4338000000000000}
LANES = "_lanes"  # a scalar helper's name and this: the helper for some lanes of vectors in memory
WIDTH = {"i1": 1, "i8": 8, "i16": 16, "i32": 32, "i64": 64}


def literal(x: Value) -> int | None:
    """The value of an integer literal, None for what is computed."""
    name = x.name
    if name[0] == "%":
        return None
    text = name[:-1].rsplit(" ", 1)[-1] if name.startswith("splat") else name
    return int(text) if text.lstrip("-").isdigit() else None


def sub_exact(e: Emitter, x: Value, y: Value) -> Value:
    """x - y as written: not fused with a product that x or y may be."""
    return e.binary("fsub", x, y)


def add_exact(e: Emitter, x: Value, y: Value) -> Value:
    return e.binary("fadd", x, y)


def mul_exact(e: Emitter, x: Value, y: Value) -> Value:
    """x * y, never fused with a later addition."""
    return e.binary("fmul", x, y)


def fms(e: Emitter, x: Value, y: Value, z: Value) -> Value:
    """x * y - z, rounded once."""
    return e.fma(x, y, e.fneg(z))


def fnma(e: Emitter, x: Value, y: Value, z: Value) -> Value:
    """z - x * y, rounded once."""
    return e.fma(e.fneg(x), y, z)


def at_least(e: Emitter, x: Value, bound: float) -> Value:
    """The larger of x and a number; NaN stays (one instruction on x86)."""
    c = e.const(bound, x)
    return e.select(e.fcmp("ogt", c, x), c, x)


def at_most(e: Emitter, x: Value, bound: float) -> Value:
    """The smaller of x and a number; NaN stays."""
    c = e.const(bound, x)
    return e.select(e.fcmp("olt", c, x), c, x)


def maximum(e: Emitter, x: Value, y: Value) -> Value:
    """The larger one, NaN if one of them is."""
    return e.select(e.isnan(x), x, e.select(e.fcmp("ogt", x, y), x, y))


def minimum(e: Emitter, x: Value, y: Value) -> Value:
    """The smaller one, NaN if one of them is."""
    return e.select(e.isnan(x), x, e.select(e.fcmp("olt", x, y), x, y))


def to_bits(e: Emitter, x: Value) -> Value:
    return e.bitcast(x, INTEGER[x.elem])


def from_bits(e: Emitter, x: Value) -> Value:
    return e.bitcast(x, "float" if x.elem == "i32" else "double")


def nearest(e: Emitter, x: Value, factor: float) -> tuple[Value, Value]:
    """The integer k nearest to x * factor: as a float, and as an integer in the lowest bits of the second.

    The second value is k plus `MAGIC_BITS`; |k| must be below 2^22 (2^51).
    """
    magic = e.const(MAGIC[x.elem], x)
    moved = e.fma(x, e.const(factor, x), magic)
    return sub_exact(e, moved, magic), to_bits(e, moved)


def power_of_two(e: Emitter, k: Value) -> Value:
    """2^k for an integer k of a normal result; `MAGIC_BITS` in k do no harm."""
    elem = "float" if k.elem == "i32" else "double"
    shifted = e.shl(k, e.const(MANTISSA[elem], k))
    return from_bits(e, e.add(shifted, e.const(BIAS[elem] << MANTISSA[elem], k)))


@cache
def scales() -> bool:
    """Whether the CPU has an instruction for `scale`."""
    _, name, features = jit.host()
    return name == "x86-64-v4" or {"+avx512f", "+avx512dq", "+avx512vl"} <= set(features.split(","))


def scale(e: Emitter, x: Value, k: Value) -> Value:
    """x * 2^k, where 2^k itself may be far outside of the range; rounded once for x in [0.5, 2)."""
    if scales():
        suffix = f"{mangle(x.elem, x.lanes)}.{mangle(k.elem, x.lanes)}"
        return e.call("llvm.ldexp", x.elem, x, k, suffix=suffix)
    half = e.ashr(k, e.const(1, k))
    return e.binary("fmul", e.binary("fmul", x, power_of_two(e, half)), power_of_two(e, e.sub(k, half)))


def to_float(e: Emitter, k: Value) -> Value:
    """An integer of small size as a float (64 bits: |k| < 2^51; AVX2 has no instruction for that)."""
    if k.elem == "i32":
        return e.convert("sitofp", k, "float")
    bits = e.add(k, e.const(MAGIC_BITS["double"], k))
    moved = e.bitcast(bits, "double")
    return sub_exact(e, moved, e.const(MAGIC["double"], moved))


def poly(e: Emitter, x: Value, coefficients: Sequence[float]) -> Value:
    return e.poly(x, coefficients)


def widen(e: Emitter, x: Value) -> Value:
    return e.convert("fpext", x, "double")


def narrow(e: Emitter, x: Value) -> Value:
    return e.convert("fptrunc", x, "float")


def through_double(f: Callable[..., Value]) -> Callable[..., Value]:
    """A function of doubles made one of both types: floats go through double, so they are nearly exact."""

    def function(e: Emitter, *xs: Value) -> Value:
        if xs[0].elem == "double":
            return f(e, *xs)
        return narrow(e, f(e, *[widen(e, x) for x in xs]))

    return function


def is_any(e: Emitter, condition: Value) -> Value:
    """Whether the condition holds in some lane, as one bit."""
    if condition.lanes == 1:
        return condition
    bits = _bits(e, condition)
    return e.pure(f"icmp ne {bits.typed}, 0", "i1", 1, bits.level)


def is_all(e: Emitter, condition: Value) -> Value:
    """Whether the condition holds in all lanes, as one bit."""
    if condition.lanes == 1:
        return condition
    bits = _bits(e, condition)
    return e.pure(f"icmp eq {bits.typed}, -1", "i1", 1, bits.level)


def _bits(e: Emitter, condition: Value) -> Value:
    """A condition's lanes as the bits of an integer."""
    elem = f"i{condition.lanes}"
    return e.pure(f"bitcast {condition.typed} to {elem}", elem, 1, condition.level)


def _scratch(e: Emitter, elem: str, lanes: int, number: int) -> Value:
    """Memory of a function for its rare lanes, wherever they occur."""
    known = e.scopes[0].known
    key = "rarely", elem, lanes, number
    if key not in known:
        known[key] = e.stack(elem, lanes)
    place: Value = known[key]
    return place


MASK = 64  # lanes of which one integer can say in which ones something holds


def rarely(
    e: Emitter, condition: Value, fast: Sequence[Value | None], helper: str, xs: Sequence[Value]
) -> list[Any]:
    """`fast`, but for lanes where `condition` holds the results of a scalar function (see `scalars`).

    `helper` returns a structure of as many scalars as `fast` has values; None stands for one that nobody
    needs. If no lane needs it, this costs one jump. The values of a lane never depend on the other lanes.
    """
    lanes = condition.lanes
    if lanes > MASK:
        halves = []
        for part in (range(lanes // 2), range(lanes // 2, lanes)):
            kept = [f and e.shuffle(e.splat(f, lanes), part) for f in fast]
            inputs = [e.shuffle(e.splat(x, lanes), part) for x in xs]
            halves.append(rarely(e, e.shuffle(condition, part), kept, helper, inputs))
        return [low and e.concat([low, high]) for low, high in zip(*halves, strict=True)]
    wanted = {k: e.splat(f, lanes) for k, f in enumerate(fast) if f is not None}
    xs = [e.splat(x, lanes) for x in xs]
    needed = is_any(e, condition)
    slow, done, before = e.fresh("slow"), e.fresh("join"), e.scope.label
    e.line(f"br i1 {needed.name}, label %{slow}, label %{done}")
    e.label(slow)
    results = {}
    if lanes == 1:
        kinds = "{ " + ", ".join([f.elem if f else xs[0].elem for f in fast]) + " }"
        e.module.declare(helper, kinds, [x.elem for x in xs])
        got = e.here(f"call {kinds} @{helper}({', '.join([x.typed for x in xs])})", "struct", 1)
        for k, f in wanted.items():
            results[k] = e.here(f"extractvalue {kinds} {got.name}, {k}", f.elem, 1)
    else:
        # Through memory: vectors whose lanes are picked by a variable take long to compile.
        inputs = [_scratch(e, x.elem, lanes, k) for k, x in enumerate(xs)]
        outputs = [_scratch(e, f.elem if f else xs[0].elem, lanes, len(xs) + k) for k, f in enumerate(fast)]
        for x, place in [*zip(xs, inputs, strict=True), *[(f, outputs[k]) for k, f in wanted.items()]]:
            e.line(f"store {x.typed}, ptr {place.name}, align 8")
        mask = e.pure(f"bitcast {condition.typed} to i{lanes}", f"i{lanes}", 1, condition.level)
        if lanes < MASK:
            mask = e.here(f"zext {mask.typed} to i64", "i64", 1)
        pointers = [*inputs, *outputs]
        e.module.declare(helper + LANES, "void", ["ptr"] * len(pointers) + ["i64"])
        e.line(f"call void @{helper}{LANES}({', '.join([p.typed for p in pointers])}, {mask.typed})")
        for k, f in wanted.items():
            results[k] = e.here(f"load {f.type}, ptr {outputs[k].name}, align 8", f.elem, lanes)
    e.line(f"br label %{done}")
    e.label(done)
    return [
        f
        and e.here(
            f"phi {wanted[k].type} [{wanted[k].name}, %{before}], [{results[k].name}, %{slow}]", f.elem, lanes
        )
        for k, f in enumerate(fast)
    ]


def remember(e: Emitter, key: Any, compute: Callable[[], Any]) -> Any:
    """What `compute` returns, computed once where this place of the code can see it."""
    for scope in e.scopes:
        found = scope.known.get(key)
        if found is not None:
            return found
    found = e.scopes[-1].known[key] = compute()
    return found
