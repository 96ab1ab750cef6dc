"""The elementwise primitives as vector code: a table from a primitive's name to its rule.

`rule(e, types, *xs, **params)` emits the code and returns an element (`threefry2x32`: a list of two). An
element is a `Value` of any number of lanes, or a pair of them: (real, imaginary) for complex dtypes, the
two words of a random key. In registers, bools are `i1`, float16 and bfloat16 are `float` (the caller rounds
when a primitive of such a dtype has been computed), integers have their width; whether they are signed is in
`types`.

Integers wrap around; x / 0 and min / -1 have the results of the NumPy engine. A primitive that is not in the
table runs as a callback.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .ir import Emitter, Value, constant
from .math import bessel, bounds, error, exponential, gamma, hyperbolic, integer, normal, power, trigonometric
from .math import complex as pairs
from .math import complex_functions as cf
from .math.base import WIDTH
from .math.convert import Element, bitcast, convert, from_stored_bits, kind, register_elem, stored_bits
from .math.scipy_functions import FUNCTIONS

__all__ = ["Element", "Types", "kind", "register_elem", "rules"]


class Types(NamedTuple):
    """The dtypes of an equation's operands and of its (first) result."""

    inputs: tuple[np.dtype[Any], ...]
    out: np.dtype[Any]


Rule = Callable[..., Any]
rules: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        for name in names:
            rules[name] = function
        return function

    return register


def _real(name: str, function: Callable[..., Value], pair: Callable[..., Any] | None = None) -> None:
    """Register a function of floats, and perhaps one of complex numbers."""
    if pair is None:
        rules[name] = lambda e, types, *xs: function(e, *xs)
    else:
        rules[name] = lambda e, types, *xs: (pair if type(xs[0]) is tuple else function)(e, *xs)


# Arithmetic ---------------------------------------------------------------------------------------


def _arithmetic(name: str, real: str, whole: str, pair: Callable[..., Any]) -> None:
    def emit(e: Emitter, types: Types, x: Element, y: Element) -> Element:
        if type(x) is tuple:
            return pair(e, x, y)
        if kind(types.out) == "f":
            return bounded(e, getattr(e, real)(x, y), x, y)
        result = getattr(e, whole)(x, y)
        return bounds.whole(e, whole, result, x, y) if e.bounds else result

    bounded = bounds.COMBINED[real]
    rules[name] = emit


_arithmetic("add", "fadd", "add", pairs.add)
_arithmetic("add_any", "fadd", "add", pairs.add)
_arithmetic("sub", "fsub", "sub", pairs.sub)
_arithmetic("mul", "fmul", "mul", pairs.mul)


@rule("div")
def _div(e: Emitter, types: Types, x: Element, y: Element) -> Element:
    if type(x) is tuple:
        return pairs.div(e, x, y)
    if kind(types.out) == "f":
        return e.fdiv(x, y)
    return integer.divide(e, x, y, kind(types.out) == "i")


@rule("rem")
def _rem(e: Emitter, types: Types, x: Value, y: Value) -> Value:
    if kind(types.out) == "f":
        return integer.fmod(e, x, y)
    return integer.remainder(e, x, y, kind(types.out) == "i")


@rule("neg")
def _neg(e: Emitter, types: Types, x: Element) -> Element:
    if type(x) is tuple:
        return pairs.neg(e, x)
    return bounds.neg(e, e.fneg(x), x) if kind(types.out) == "f" else e.sub(e.const(0, x), x)


@rule("square")
def _square(e: Emitter, types: Types, x: Element) -> Element:
    return rules["mul"](e, types, x, x)


@rule("abs")
def _abs(e: Emitter, types: Types, x: Element) -> Value:
    if type(x) is tuple:
        return pairs.absolute(e, x)
    if kind(types.out) == "f":
        return bounds.within(e, e.fabs(x), 0.0, max(map(abs, bounds.of(e, x))))
    if kind(types.out) == "u":
        return x
    return e.select(e.icmp("slt", x, e.const(0, x)), e.sub(e.const(0, x), x), x)


@rule("sign")
def _sign(e: Emitter, types: Types, x: Element) -> Element:
    if type(x) is tuple:
        return pairs.sign(e, x)
    if kind(types.out) == "f":
        return integer.sign(e, x)
    zero, one = e.const(0, x), e.const(1, x)
    if kind(types.out) == "u":
        return e.select(e.icmp("ne", x, zero), one, zero)
    return e.select(e.icmp("sgt", x, zero), one, e.select(e.icmp("slt", x, zero), e.const(-1, x), zero))


def _extreme(e: Emitter, types: Types, x: Element, y: Element, larger: bool) -> Element:
    if type(x) is tuple:
        return pairs.extreme(e, x, y, "oge" if larger else "ole")
    k = kind(types.out)
    if k == "f":
        x, y = e.match(x, y)
        return bounds.extreme(e, x, y, larger)
    if k == "b":
        return e.or_(x, y) if larger else e.and_(x, y)
    return e.call(f"llvm.{'s' if k == 'i' else 'u'}{'max' if larger else 'min'}", x.elem, x, y)


@rule("max")
def _max(e: Emitter, types: Types, x: Element, y: Element) -> Element:
    return _extreme(e, types, x, y, True)


@rule("min")
def _min(e: Emitter, types: Types, x: Element, y: Element) -> Element:
    return _extreme(e, types, x, y, False)


@rule("clamp")
def _clamp(e: Emitter, types: Types, low: Element, x: Element, high: Element) -> Element:
    return _extreme(e, types, _extreme(e, types, low, x, True), high, False)


@rule("relu")
def _relu(e: Emitter, types: Types, x: Value) -> Value:
    k = kind(types.out)
    if k in "bu":
        return x
    if k == "i":
        return e.call("llvm.smax", x.elem, x, e.const(0, x))
    zero = e.const(0.0, x)
    return e.select(e.fcmp("ogt", zero, x), zero, x)


@rule("integer_pow")
def _integer_pow(e: Emitter, types: Types, x: Element, *, y: int) -> Element:
    def multiply(a: Element, b: Element) -> Element:
        # Floats are multiplied as written: no fma with what the product is added to later.
        if type(a) is tuple:
            return pairs.mul(e, a, b)
        return e.binary("fmul" if kind(types.out) == "f" else "mul", a, b)

    one: Element
    if type(x) is tuple:
        one = e.const(1.0, x[0]), e.const(0.0, x[0])
    else:
        one = e.const(1, x)
    if y == 0:
        return one
    result = power.integer_power(abs(y), x, multiply)
    if y == 2 and kind(types.out) == "f":
        bounds.mul(e, result, x, x)
    return result if y > 0 else rules["div"](e, types, one, result)


@rule("pow")
def _pow(e: Emitter, types: Types, x: Element, y: Element) -> Element:
    base, exponent = types.inputs
    if kind(base) in "iu":
        if exponent != base:  # the bits of the exponent count; a narrower one is extended
            y = convert(e, y, exponent, np.dtype(f"{kind(exponent)}{base.itemsize}"))
        return integer.power(e, x, y, kind(exponent) == "i")
    y = convert(e, y, exponent, base)
    return cf.pow(e, x, y) if type(x) is tuple else power.pow(e, x, y)


# Rounding, bits -----------------------------------------------------------------------------------

rules["floor"] = lambda e, types, x: e.floor(x)
rules["ceil"] = lambda e, types, x: e.ceil(x)
rules["round"] = lambda e, types, x, *, rounding_method: (
    e.rint(x) if rounding_method == 1 else integer.round_away(e, x)
)
rules["is_finite"] = lambda e, types, x: e.fcmp("olt", e.fabs(x), e.const(math.inf, x))
rules["shift_left"] = lambda e, types, x, y: integer.shift_left(e, x, y)
rules["shift_right_arithmetic"] = lambda e, types, x, y: integer.shift_right_arithmetic(e, x, y)
rules["population_count"] = lambda e, types, x: integer.population_count(e, x)
rules["clz"] = lambda e, types, x: integer.clz(e, x)
rules["and"] = lambda e, types, x, y: e.and_(x, y)
rules["xor"] = lambda e, types, x, y: e.xor(x, y)
rules["not"] = lambda e, types, x: e.not_(x)
rules["threefry2x32"] = lambda e, types, k0, k1, c0, c1: integer.threefry2x32(e, k0, k1, c0, c1)


@rule("shift_right_logical")
def _shift_right_logical(e: Emitter, types: Types, x: Value, y: Value) -> Value:
    result, count = integer.shift_right_logical(e, x, y), bounds.number(y)
    if count is not None and 0 < count < WIDTH[x.elem]:
        bounds.within(e, result, 0, 2 ** (WIDTH[x.elem] - count) - 1)
    return result


@rule("or")
def _or(e: Emitter, types: Types, x: Value, y: Value) -> Value:
    result = e.or_(x, y)
    if e.bounds:
        (a, b), (c, d) = bounds.of(e, x), bounds.of(e, y)
        if a >= 0 and c >= 0:
            bounds.within(e, result, max(a, c), b + d)
    return result


@rule("nextafter")
def _nextafter(e: Emitter, types: Types, x: Value, y: Value) -> Value:
    x, y = e.match(x, y)
    bits = integer.next_bits(e, stored_bits(e, x, types.out), stored_bits(e, y, types.out))
    moved = from_stored_bits(e, bits, types.out)
    return e.select(e.fcmp("uno", x, y), e.binary("fadd", x, y), moved)


@rule("reduce_precision")
def _reduce_precision(e: Emitter, types: Types, x: Value, *, exponent_bits: int, mantissa_bits: int) -> Value:
    mantissa, exponent = {"e": (10, 5), "f": (23, 8), "d": (52, 11)}.get(types.out.char, (7, 8))
    out = x
    if mantissa_bits < mantissa:
        bits = integer.drop_bits(e, stored_bits(e, x, types.out), mantissa - mantissa_bits)
        out = from_stored_bits(e, bits, types.out)
    if exponent_bits < exponent:
        out = integer.limit_exponent(e, out, exponent_bits)
    return e.select(e.isnan(x), x, out)


# Comparison, selection ----------------------------------------------------------------------------


def _comparison(name: str, order: str) -> None:
    def emit(e: Emitter, types: Types, x: Element, y: Element) -> Value:
        k = kind(types.inputs[0])
        if type(x) is tuple:
            if k == "k":
                same = e.and_(e.icmp("eq", x[0], y[0]), e.icmp("eq", x[1], y[1]))
                return same if name == "eq" else e.not_(same)
            if name == "eq":
                return pairs.equal(e, x, y)
            if name == "ne":
                return e.not_(pairs.equal(e, x, y))
            return pairs.less(e, x, y, "o" + name)
        if k == "f":
            return e.fcmp("une" if name == "ne" else "o" + name, x, y)
        known = bounds.compared(e, name, x, y) if e.bounds and k != "b" else None
        if known is not None:
            return constant(known, "i1", max(x.lanes, y.lanes))
        return e.icmp(order if name in ("eq", "ne") else ("s" if k == "i" else "u") + order, x, y)

    rules[name] = emit


for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    _comparison(_name, _name)


def choose(e: Emitter, condition: Value, x: Element, y: Element) -> Element:
    """x where the condition holds, else y."""
    if type(x) is tuple:
        return e.select(condition, x[0], y[0]), e.select(condition, x[1], y[1])
    return e.select(condition, x, y)


@rule("select_n")
def _select_n(e: Emitter, types: Types, which: Value, *cases: Element) -> Element:
    if len(cases) == 1:
        return cases[0]
    if which.elem == "i1":
        return choose(e, which, cases[1], cases[0])
    if len(cases) == 2:
        return choose(e, e.icmp("ne", which, e.const(0, which)), cases[1], cases[0])
    # Indices out of range take the nearest case.
    signed = kind(types.inputs[0]) == "i"
    result = cases[0]
    for k, case in enumerate(cases[1:], 1):
        result = choose(e, e.icmp("sge" if signed else "uge", which, e.const(k, which)), case, result)
    return result


# Conversion, complex numbers ----------------------------------------------------------------------

rules["convert_element_type"] = lambda e, types, x, **_: convert(e, x, types.inputs[0], types.out)


@rule("bitcast_convert_type")
def _bitcast(e: Emitter, types: Types, x: Element, **_: Any) -> Element:
    result = bitcast(e, x, types.inputs[0], types.out)
    if e.bounds and types.out.char in "fd" and type(x) is Value:
        # Positive floats are in the order of their bits.
        low, high = bounds.of(e, x)
        if low >= 0 and high < np.asarray(np.inf, types.out).view(f"i{types.out.itemsize}"):
            ends = np.array([low, high]).astype(f"i{types.out.itemsize}").view(types.out)
            bounds.within(e, result, *map(float, ends))
    return result


for _name in ("copy", "stop_gradient", "name"):
    rules[_name] = lambda e, types, x, **_: x
rules["real"] = lambda e, types, z: z[0]
rules["imag"] = lambda e, types, z: z[1]
rules["conj"] = lambda e, types, z: (z[0], e.fneg(z[1]))
rules["complex"] = lambda e, types, x, y: tuple(e.match(x, y))

# Transcendental functions -------------------------------------------------------------------------


def _sqrt(e: Emitter, x: Value) -> Value:
    return e.sqrt(x)


def _rsqrt(e: Emitter, x: Value) -> Value:
    return e.fdiv(e.const(1.0, x), e.sqrt(x))


_real("sqrt", _sqrt, cf.sqrt)
_real("rsqrt", _rsqrt, cf.rsqrt)
_real("cbrt", power.cbrt)
_real("hypot", power.hypot)
_real("exp", exponential.exp, cf.exp)
_real("exp2", exponential.exp2, cf.exp2)
_real("expm1", exponential.expm1, cf.expm1)
_real("log", exponential.log, cf.log)
_real("log1p", exponential.log1p, cf.log1p)
_real("log2", exponential.log2, cf.log2)
_real("log10", exponential.log10, cf.log10)
_real("logistic", exponential.logistic, cf.logistic)
_real("logaddexp", exponential.logaddexp, cf.logaddexp)
_real("sin", trigonometric.sin, cf.sin)
_real("cos", trigonometric.cos, cf.cos)
_real("tan", trigonometric.tan, cf.tan)
_real("asin", trigonometric.asin, cf.asin)
_real("acos", trigonometric.acos, cf.acos)
_real("atan", trigonometric.atan, cf.atan)
_real("atan2", trigonometric.atan2, cf.atan2)
_real("sinh", hyperbolic.sinh, cf.sinh)
_real("cosh", hyperbolic.cosh, cf.cosh)
_real("tanh", hyperbolic.tanh, cf.tanh)
_real("asinh", hyperbolic.asinh, cf.asinh)
_real("acosh", hyperbolic.acosh, cf.acosh)
_real("atanh", hyperbolic.atanh, cf.atanh)
_real("erf", error.erf)
_real("erfc", error.erfc)
_real("erf_inv", error.erf_inv)
_real("erfcx", normal.erfcx)
_real("log_ndtr", normal.log_ndtr)
_real("ndtri", normal.ndtri)
_real("bessel_i0e", bessel.i0e)
_real("bessel_i1e", bessel.i1e)
_real("lgamma", gamma.lgamma)
_real("digamma", gamma.digamma)

for _name, _function in FUNCTIONS.items():
    _real(_name, _function)
