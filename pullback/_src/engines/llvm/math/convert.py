"""Conversions between dtypes, of elements as registers hold them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....core import dtypes
from ..ir import Emitter, Value
from .base import WIDTH, from_bits, narrow, to_bits, widen

Element = Any  # a Value, or a pair of them: (real, imaginary), the two words of a key

_ELEMENTS = {
    np.dtype(np.bool_): "i1",
    np.dtype(np.float64): "double",
    np.dtype(np.complex128): "double",
    np.dtype(np.float32): "float",
    np.dtype(np.complex64): "float",
    np.dtype(np.float16): "float",
    np.dtype(dtypes.bfloat16): "float",
    **{np.dtype(f"{s}{w}"): f"i{8 * w}" for s in "iu" for w in (1, 2, 4, 8)},
}
_KINDS = {d: d.kind if d.kind in "biufc" else "f" for d in _ELEMENTS} | {dtypes.KEY_DTYPE: "k"}


def register_elem(dtype: np.dtype[Any]) -> str:
    """The LLVM type that holds an element (a part of it, for complex numbers) in a register."""
    return _ELEMENTS[dtype]


def kind(dtype: np.dtype[Any]) -> str:
    """b, i, u, f (bfloat16 too), c, or k for keys."""
    return _KINDS[dtype]


def _saturated(e: Emitter, x: Value, elem: str, signed: bool) -> Value:
    """A float as an integer: the nearest representable one out of range, 0 for NaN."""
    width = WIDTH[elem]
    # Small integers pass through i32 (i64 for unsigned ones of 32 bits), for which there are instructions.
    through = "i32" if width < 32 or (width == 32 and signed) else "i64"
    low = -(2.0 ** (width - 1)) if signed else 0.0
    limit = 2.0 ** (width - 1) if signed else 2.0**width
    inside = e.and_(e.fcmp("ogt", x, e.const(low, x)), e.fcmp("olt", x, e.const(limit, x)))
    safe = e.select(inside, x, e.const(0.0, x))
    op = "fptoui" if not signed and width == 64 else "fptosi"
    y = e.convert(op, safe, through)
    if through != elem:
        y = e.convert("trunc", y, elem)
    top = (1 << (width - 1)) - 1 if signed else (1 << width) - 1
    y = e.select(e.fcmp("oge", x, e.const(limit, x)), e.const(top, y), y)
    if signed:
        y = e.select(e.fcmp("ole", x, e.const(low, x)), e.const(-(1 << (width - 1)), y), y)
    return y


def to_odd(e: Emitter, x: Value) -> Value:
    """A double as a float that is rounded to odd, so that rounding it again to half rounds only once."""
    y = narrow(e, x)
    back = widen(e, y)
    bits = to_bits(e, y)
    one = e.const(1, bits)
    beyond = e.fcmp("ogt", e.fabs(back), e.fabs(x))
    bits = e.select(beyond, e.sub(bits, one), bits)
    inexact = e.fcmp("one", back, x)
    return from_bits(e, e.select(inexact, e.or_(bits, one), bits))


def _real(e: Emitter, x: Value, source: np.dtype[Any], target: np.dtype[Any]) -> Value:
    """One number from a real dtype to another (also the parts of complex ones)."""
    old, new = kind(source), kind(target)
    elem = register_elem(target)
    if new == "b":
        if old == "b":
            return x
        return e.fcmp("une", x, e.const(0.0, x)) if old == "f" else e.icmp("ne", x, e.const(0, x))
    if new in "iu":
        if old == "f":
            return _saturated(e, x, elem, new == "i")
        if WIDTH[x.elem] == WIDTH[elem]:
            return x
        if WIDTH[x.elem] > WIDTH[elem]:
            return e.convert("trunc", x, elem)
        return e.convert("sext" if old == "i" else "zext", x, elem)
    if old == "f":
        if x.elem == elem:
            return x
        if elem == "double":
            return widen(e, x)
        return to_odd(e, x) if target == np.float16 else narrow(e, x)
    if elem == "float" and target != np.float32 and WIDTH[x.elem] > 16:
        # Half precision by one rounding (bfloat16 goes by float32, as in ml_dtypes).
        if target == np.float16:
            return to_odd(e, e.convert("sitofp" if old == "i" else "uitofp", x, "double"))
        return e.convert("sitofp" if old == "i" else "uitofp", x, "float")
    return e.convert("sitofp" if old == "i" else "uitofp", x, elem)


def convert(e: Emitter, x: Element, source: np.dtype[Any], target: np.dtype[Any]) -> Element:
    """An element of dtype `source` as one of dtype `target`; complex to real keeps the real part."""
    if source == target:
        return x
    if kind(source) == "c":
        part = np.dtype(f"f{source.itemsize // 2}")
        if kind(target) == "c":
            half = np.dtype(f"f{target.itemsize // 2}")
            return tuple(_real(e, v, part, half) for v in x)
        if kind(target) == "b":
            return e.or_(*(_real(e, v, part, target) for v in x))
        return _real(e, x[0], part, target)
    if kind(target) == "c":
        half = np.dtype(f"f{target.itemsize // 2}")
        y = _real(e, x, source, half)
        return y, e.const(0.0, y)
    return _real(e, x, source, target)


def stored_bits(e: Emitter, x: Value, dtype: np.dtype[Any]) -> Value:
    """The bits of a real number in its own dtype, as an integer."""
    if kind(dtype) in "iu":
        return x
    if dtype == np.float16:
        return e.convert("bitcast", e.convert("fptrunc", x, "half"), "i16")
    if dtype.itemsize == 2:
        return e.convert("trunc", e.lshr(to_bits(e, x), e.const(16, to_bits(e, x))), "i16")
    return e.convert("zext", x, "i8") if kind(dtype) == "b" else to_bits(e, x)


def from_stored_bits(e: Emitter, bits: Value, dtype: np.dtype[Any]) -> Value:
    """The register's number from its bits in dtype `dtype`."""
    if dtype == np.float16:
        return e.convert("fpext", e.convert("bitcast", bits, "half"), "float")
    if dtype.itemsize > 2:
        return from_bits(e, bits)
    wide = e.convert("zext", bits, "i32")
    return from_bits(e, e.shl(wide, e.const(16, wide)))


def rounded_bits(e: Emitter, x: Value, dtype: np.dtype[Any]) -> Value:
    """The bits (i16) of the float16 or bfloat16 nearest to a float, ties to even.

    `fptrunc` to bfloat may use an instruction that turns subnormal numbers into zeros (AVX512-BF16).
    """
    if dtype == np.float16:
        return stored_bits(e, x, dtype)
    bits = to_bits(e, x)
    sixteen = e.const(16, bits)
    odd = e.and_(e.lshr(bits, sixteen), e.const(1, bits))
    up = e.add(bits, e.add(odd, e.const(0x7FFF, bits)))
    quiet = e.or_(bits, e.const(0x400000, bits))  # a carry would make some NaN infinite
    return e.convert("trunc", e.lshr(e.select(e.isnan(x), quiet, up), sixteen), "i16")


def bitcast(e: Emitter, x: Value, source: np.dtype[Any], target: np.dtype[Any]) -> Value:
    """The bits read as another real dtype of the same width."""
    bits = stored_bits(e, x, source)
    if kind(target) in "iu":
        return bits
    if kind(target) == "b":
        return e.icmp("ne", bits, e.const(0, bits))
    return from_stored_bits(e, bits, target)
