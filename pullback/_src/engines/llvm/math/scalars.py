"""Scalar functions for rare lanes: huge arguments of trigonometric functions, long divisions of floats.

They are a module of their own, compiled once (and kept on disk): in each program that calls them, they would
cost several milliseconds of code generation. Programs declare them; `symbols` has their addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from .. import cache as disk
from .. import jit
from . import scipy_functions
from .base import INTEGER, LANES

PREFIX = "pb_math_"
# `{ double, double, i64 } f(double x)`: r, what r lacks, and q with x = q pi/2 + r (q modulo 4).
QUADRANT = {"float": PREFIX + "quadrant_f32", "double": PREFIX + "quadrant_f64"}
# `{ double } f(double x, double y)`: the exact remainder.
FMOD = {"float": PREFIX + "fmod_f32", "double": PREFIX + "fmod_f64"}
_SCALAR = (*QUADRANT.values(), *FMOD.values())
NAMES = (*_SCALAR, *[name + LANES for name in _SCALAR])

# The bits of 2/pi, after 64 zeros.
_TWO_BY_PI = (
    0x0, 0xA2F9836E4E441529, 0xFC2757D1F534DDC0, 0xDB6295993C439041, 0xFE5163ABDEBBC561, 0xB7246E3A424DD2E0,
    0x06492EEA09D1921C, 0xFE1DEB1CB129A73E, 0xE88235F52EBB4484, 0xE99C7026B45F7E41, 0x3991D639835339F4,
    0x9C845F8BBDF9283B, 0x1FF897FFDE05980F, 0xEF2F118B5A0A6D1F, 0x6D367ECF27CB09B7, 0x4F463F669E5FEA2D,
    0x7527BAC7EBE5F17B, 0x3D0739F78A5292EA, 0x6BFB5FB11F8D5D08, 0x56033046FC7B6BAB, 0xF0CFBC209AF4361D,
)  # fmt: skip

# M. Payne and R. Hanek, "Radian reduction for trigonometric functions", 1983.
# With |x| = m 2^e: the 192 bits of 2/pi from the one of weight 2^(1 - e) on, times m, modulo 2^192. The two
# highest bits are the quadrant; what follows is the fraction, which is rounded to the nearest quadrant and
# normalised before it becomes a double. Infinity gives NaN.
_DOUBLE = """
@pb.two_by_pi = internal constant [21 x i64] [{words}]
declare i64 @llvm.fshl.i64(i64, i64, i64)
declare i128 @llvm.ctlz.i128(i128, i1)
define {{ double, double, i64 }} @pb_math_quadrant_f64(double %x) {{
  %bits = bitcast double %x to i64
  %raised = lshr i64 %bits, 52
  %biased = and i64 %raised, 2047
  %fraction = and i64 %bits, 4503599627370495
  %m = or i64 %fraction, 4503599627370496
  %place = sub i64 %biased, 1013
  %low_place = icmp slt i64 %place, 0
  %p = select i1 %low_place, i64 0, i64 %place
  %word = lshr i64 %p, 6
  %shift = and i64 %p, 63
  %a0 = getelementptr i64, ptr @pb.two_by_pi, i64 %word
  %a1 = getelementptr i64, ptr %a0, i64 1
  %a2 = getelementptr i64, ptr %a0, i64 2
  %a3 = getelementptr i64, ptr %a0, i64 3
  %w0 = load i64, ptr %a0
  %w1 = load i64, ptr %a1
  %w2 = load i64, ptr %a2
  %w3 = load i64, ptr %a3
  %v0 = call i64 @llvm.fshl.i64(i64 %w0, i64 %w1, i64 %shift)
  %v1 = call i64 @llvm.fshl.i64(i64 %w1, i64 %w2, i64 %shift)
  %v2 = call i64 @llvm.fshl.i64(i64 %w2, i64 %w3, i64 %shift)
  %wide = zext i64 %m to i128
  %x1 = zext i64 %v1 to i128
  %x2 = zext i64 %v2 to i128
  %t0 = mul i64 %m, %v0
  %t1 = mul i128 %wide, %x1
  %t2 = mul i128 %wide, %x2
  %s0 = zext i64 %t0 to i128
  %u0 = shl i128 %s0, 64
  %u2 = lshr i128 %t2, 64
  %u1 = add i128 %u0, %t1
  %product = add i128 %u1, %u2
  %rounded = add i128 %product, 42535295865117307932921825928971026432
  %quadrant = lshr i128 %rounded, 126
  %whole = shl i128 %quadrant, 126
  %rest = sub i128 %product, %whole
  %negative = icmp slt i128 %rest, 0
  %opposite = sub i128 0, %rest
  %size = select i1 %negative, i128 %opposite, i128 %rest
  %z = call i128 @llvm.ctlz.i128(i128 %size, i1 false)
  %zeros = and i128 %z, 127
  %n = shl i128 %size, %zeros
  %n0 = lshr i128 %n, 75
  %n1 = lshr i128 %n, 22
  %h = trunc i128 %n0 to i64
  %l1 = trunc i128 %n1 to i64
  %l = and i64 %l1, 9007199254740991
  %hf = sitofp i64 %h to double
  %lf = sitofp i64 %l to double
  %ls = fmul double %lf, 0x3CA0000000000000
  %r0 = fmul double %hf, 0x3FF921FB54442D18
  %rn = fneg double %r0
  %e0 = call double @llvm.fma.f64(double %hf, double 0x3FF921FB54442D18, double %rn)
  %e1 = call double @llvm.fma.f64(double %hf, double 0x3C91A62633145C07, double %e0)
  %e2 = call double @llvm.fma.f64(double %ls, double 0x3FF921FB54442D18, double %e1)
  %r1 = fadd double %r0, %e2
  %zs = trunc i128 %zeros to i64
  %exponent = sub i64 972, %zs
  %power = shl i64 %exponent, 52
  %unit = bitcast i64 %power to double
  %r2 = fmul double %r1, %unit
  %flip = icmp slt i64 %bits, 0
  %back = xor i1 %flip, %negative
  %r3 = fneg double %r2
  %r4 = select i1 %back, double %r3, double %r2
  %nothing = fsub double %x, %x
  %r = fadd double %r4, %nothing
  %d0 = fsub double %r0, %r1
  %d1 = fadd double %d0, %e2
  %d2 = fmul double %d1, %unit
  %d3 = fneg double %d2
  %d = select i1 %back, double %d3, double %d2
  %q0 = trunc i128 %quadrant to i64
  %q1 = sub i64 0, %q0
  %q = select i1 %flip, i64 %q1, i64 %q0
  %o0 = insertvalue {{ double, double, i64 }} poison, double %r, 0
  %o1 = insertvalue {{ double, double, i64 }} %o0, double %d, 1
  %o2 = insertvalue {{ double, double, i64 }} %o1, i64 %q, 2
  ret {{ double, double, i64 }} %o2
}}""".format(words=", ".join(f"i64 {w - (w >> 63 << 64)}" for w in _TWO_BY_PI))

_FLOAT = """
define { float, float, i32 } @pb_math_quadrant_f32(float %x) {
  %d = fpext float %x to double
  %o = call { double, double, i64 } @pb_math_quadrant_f64(double %d)
  %r = extractvalue { double, double, i64 } %o, 0
  %q = extractvalue { double, double, i64 } %o, 2
  %s = fptrunc double %r to float
  %b = fpext float %s to double
  %t = fsub double %r, %b
  %l = fptrunc double %t to float
  %k = trunc i64 %q to i32
  %o0 = insertvalue { float, float, i32 } poison, float %s, 0
  %o1 = insertvalue { float, float, i32 } %o0, float %l, 1
  %o2 = insertvalue { float, float, i32 } %o1, i32 %k, 2
  ret { float, float, i32 } %o2
}"""

_FMOD = """
define {{ {t} }} @{name}({t} %x, {t} %y) {{
  %r = frem {t} %x, %y
  %o = insertvalue {{ {t} }} poison, {t} %r, 0
  ret {{ {t} }} %o
}}"""

# The results of a scalar function for the lanes that the bits of %m tell, of vectors in memory.
_LANES = """
define void @{name}{LANES}({parameters}, i64 %all) {{
entry:
  br label %head
head:
  %m = phi i64 [ %all, %entry ], [ %rest, %body ]
  %more = icmp ne i64 %m, 0
  br i1 %more, label %body, label %done
body:
  %k = call i64 @llvm.cttz.i64(i64 %m, i1 true)
  %less = sub i64 %m, 1
  %rest = and i64 %m, %less
{lines}
  br label %head
done:
  ret void
}}"""


def _for_lanes(name: str, inputs: Sequence[str], outputs: Sequence[str]) -> str:
    kinds = "{ " + ", ".join(outputs) + " }"
    lines = []
    for n, elem in enumerate(inputs):
        lines.append(f"  %a{n} = getelementptr {elem}, ptr %x{n}, i64 %k")
        lines.append(f"  %v{n} = load {elem}, ptr %a{n}")
    values = ", ".join([f"{elem} %v{n}" for n, elem in enumerate(inputs)])
    lines.append(f"  %o = call {kinds} @{name}({values})")
    for n, elem in enumerate(outputs):
        lines.append(f"  %w{n} = extractvalue {kinds} %o, {n}")
        lines.append(f"  %b{n} = getelementptr {elem}, ptr %r{n}, i64 %k")
        lines.append(f"  store {elem} %w{n}, ptr %b{n}")
    parameters = [f"ptr %x{n}" for n in range(len(inputs))] + [f"ptr %r{n}" for n in range(len(outputs))]
    return _LANES.format(name=name, LANES=LANES, parameters=", ".join(parameters), lines="\n".join(lines))


def text() -> str:
    """The module."""
    division = [_FMOD.format(t=t, name=name) for t, name in FMOD.items()]
    declared = ["declare double @llvm.fma.f64(double, double, double)", "declare i64 @llvm.cttz.i64(i64, i1)"]
    lanes = [_for_lanes(name, [t], [t, t, INTEGER[t]]) for t, name in QUADRANT.items()]
    lanes += [_for_lanes(name, [t, t], [t]) for t, name in FMOD.items()]
    return "\n".join([*declared, _DOUBLE, _FLOAT, *division, *lanes])


@cache
def _linked() -> jit.Linked:
    linked = jit.link(disk.compiled(text(), opt=0), {}, NAMES)
    jit.keep_forever(linked)
    return linked


def symbols(names: Iterable[str]) -> dict[str, int]:
    """The addresses of those functions that are among the names (SciPy's too), for `jit.link`."""
    names = list(names)
    linked = _linked()  # with the first program, as the rest of what all programs share
    own = {name: linked.address(name) for name in names if name.startswith(PREFIX)}
    return {**own, **scipy_functions.symbols(names)}
