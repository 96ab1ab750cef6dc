"""Rounding, limits, and the parts of floating-point numbers."""

from __future__ import annotations

import builtins
import operator
from typing import Any

import numpy as np

from ...base.errors import DTypeError
from ...core import dtypes
from ...core.array import Array, as_array, scalar
from ...core.kinds import kind
from ...ops import arithmetic as ar
from ...ops import compare as cmp
from ...ops.complex import complex_p, imag_p, neg_p, real_p
from ...ops.convert import bitcast_convert_type_p, convert_element_type, stop_gradient_array
from ...ops.special import bessel_i0e
from ...ops.structural import full
from ...ops.transcendental import exp_p
from .elementwise import maximum, minimum
from .factories import unary
from .logic import isfinite, isnan
from .promotion import asarray, check_arraylike, promote, promote_inexact, refuse_out, strengthen

__all__ = [
    "around",
    "ceil",
    "clip",
    "copysign",
    "fix",
    "floor",
    "frexp",
    "heaviside",
    "i0",
    "ldexp",
    "modf",
    "nan_to_num",
    "nextafter",
    "rint",
    "round",
    "signbit",
    "spacing",
    "trunc",
]


def _c(x: Any, value: Any) -> Any:
    return scalar(value, x.aval.dtype)


# Rounding -----------------------------------------------------------------------------------------


floor = unary(
    "floor",
    lambda x: x if kind(x.aval.dtype) in "biu" else ar.floor_p.bind(x),
    "The largest integer that is not above x, elementwise (integers are returned as they are).",
    ar.floor_p,
    "f",
)
ceil = unary(
    "ceil",
    lambda x: x if kind(x.aval.dtype) in "biu" else ar.ceil_p.bind(x),
    "The smallest integer that is not below x, elementwise (integers are returned as they are).",
    ar.ceil_p,
    "f",
)


def trunc(x: Any) -> Array:
    """The nearest integer towards zero, elementwise (integers are returned as they are)."""
    (x,) = promote("trunc", x)
    if kind(x.aval.dtype) in "biu":
        return x
    return cmp.select_n_p.bind(cmp.lt_p.bind(x, _c(x, 0)), ar.floor_p.bind(x), ar.ceil_p.bind(x))


def fix(x: Any, out: None = None) -> Array:
    """The nearest integer towards zero, elementwise: `trunc`."""
    refuse_out("fix", out)
    return trunc(x)


def rint(x: Any, /) -> Array:
    """The nearest integer as a float, halves to even, elementwise."""
    (x,) = promote_inexact("rint", x)
    return _round_half_even(x)


def _round_half_even(x: Any) -> Any:
    if kind(x.aval.dtype) == "c":
        return complex_p.bind(
            *(ar.round_p.bind(part, rounding_method=1) for part in (real_p.bind(x), imag_p.bind(x)))
        )
    return ar.round_p.bind(x, rounding_method=1)


def round(a: Any, decimals: int = 0, out: None = None) -> Array:
    """Round to a number of decimals, halves to even, elementwise.

    Args:
        a: an array or number; integers are returned as they are.
        decimals: how many; negative ones (for floats) round to tens, hundreds, ...
        out: not supported.

    Raises:
        NotImplementedError: integers with negative `decimals`.
    """
    refuse_out("round", out)
    decimals = operator.index(decimals)
    (x,) = promote("round", a)
    letter = kind(x.aval.dtype)
    if letter == "b":
        raise ValueError("round expects numbers; got dtype bool")
    if letter in "iu":
        if decimals < 0:
            raise NotImplementedError("round: integers with decimals < 0; convert to a float dtype first")
        return x
    if decimals == 0:
        return _round_half_even(x)
    if x.aval.dtype.itemsize == 2:  # the scaled numbers would overflow and lose digits
        wide = convert_element_type(x, np.float32, weak_type=x.aval.weak_type)
        return convert_element_type(round(wide, decimals), x.aval.dtype, weak_type=x.aval.weak_type)
    factor = _c(x, 10.0 ** builtins.abs(decimals))
    if decimals > 0:
        return ar.div_p.bind(_round_half_even(ar.mul_p.bind(x, factor)), factor)
    return ar.mul_p.bind(_round_half_even(ar.div_p.bind(x, factor)), factor)


def around(a: Any, decimals: int = 0, out: None = None) -> Array:
    """Round to a number of decimals, halves to even, elementwise: `round`."""
    return round(a, decimals, out)


# Limits -------------------------------------------------------------------------------------------


def clip(
    arr: Any = None,
    /,
    min: Any = None,
    max: Any = None,
    *,
    a: Any = None,
    a_min: Any = None,
    a_max: Any = None,
) -> Array:
    """arr limited to [min, max], elementwise; where min > max, max.

    Args:
        arr: an array or number (older programs say `a`).
        min: the lower bound, or None (older programs say `a_min`).
        max: the upper bound, or None (older programs say `a_max`).

    Raises:
        ValueError: complex numbers, which have no order, or no array.
    """
    arr = a if arr is None else arr
    min = a_min if min is None else min
    max = a_max if max is None else max
    if arr is None:
        raise ValueError("clip needs an array as its first argument")
    check_arraylike("clip", arr)
    (x,) = promote("clip", arr)
    for bound, limit in ((min, maximum), (max, minimum)):
        if bound is None:
            continue
        check_arraylike("clip", bound)
        if type(bound) is int and kind(x.aval.dtype) in "iu":
            # A bound beyond the dtype's range limits nothing, as the end of the range does.
            info = dtypes.iinfo(x.aval.dtype)
            bound = builtins.min(builtins.max(bound, int(info.min)), int(info.max))
        x = limit(x, bound)
    if kind(x.aval.dtype) == "c":
        raise ValueError("clip: complex numbers have no order; clip real and imaginary parts by themselves")
    return x


def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Array:
    """Numbers in the places of NaN and infinities, elementwise.

    Args:
        x: an array or number.
        copy: ignored; arrays are immutable.
        nan: the number for NaN.
        posinf: the number for positive infinity (default: the dtype's largest).
        neginf: the number for negative infinity (default: the dtype's smallest).
    """
    (x,) = promote("nan_to_num", x)
    x = strengthen(x)
    dtype = x.aval.dtype
    letter = kind(dtype)
    if letter in "biu":
        return x
    if letter == "c":
        parts = [nan_to_num(p, copy, nan, posinf, neginf) for p in (real_p.bind(x), imag_p.bind(x))]
        return complex_p.bind(*parts)
    info = dtypes.finfo(dtype)
    zero_derivative = [
        (isnan(x), nan),
        (cmp.eq_p.bind(x, _c(x, np.inf)), info.max if posinf is None else posinf),
        (cmp.eq_p.bind(x, _c(x, -np.inf)), info.min if neginf is None else neginf),
    ]
    out = x
    for condition, value in zero_derivative:
        out = cmp.select_n_p.bind(condition, out, strengthen(convert_element_type(as_array(value), dtype)))
    return out


def heaviside(x1: Any, x2: Any, /) -> Array:
    """0 where x1 < 0, x2 where x1 = 0, 1 where x1 > 0, NaN where x1 is NaN, elementwise."""
    x, y = promote_inexact("heaviside", x1, x2)
    if kind(x.aval.dtype) == "c":
        raise DTypeError("heaviside does not accept complex numbers, which have no sign")
    zero = _c(x, 0)
    step = cmp.select_n_p.bind(cmp.lt_p.bind(x, zero), _c(x, 1), zero)
    out = cmp.select_n_p.bind(cmp.eq_p.bind(x, zero), step, y)
    return cmp.select_n_p.bind(cmp.ne_p.bind(x, x), out, x)


# Bits of floating-point numbers -------------------------------------------------------------------


class _Layout:
    """How a floating-point dtype is laid out: the integer dtype of its width, and the fields."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        info = dtypes.finfo(dtype)
        self.integer = np.dtype(f"int{dtype.itemsize * 8}")
        self.mantissa_bits = int(info.nmant)
        self.exponent_bits = dtype.itemsize * 8 - 1 - self.mantissa_bits
        self.bias = (1 << (self.exponent_bits - 1)) - 1
        self.exponent_mask = (1 << self.exponent_bits) - 1


def _bits(x: Any) -> Any:
    return bitcast_convert_type_p.bind(x, new_dtype=np.dtype(f"int{x.aval.dtype.itemsize * 8}"))


def _from_bits(bits: Any, dtype: np.dtype[Any]) -> Any:
    return bitcast_convert_type_p.bind(bits, new_dtype=dtype)


def signbit(x: Any, /) -> Array:
    """Whether the sign bit is set (so True for -0.0), elementwise.

    Raises:
        ValueError: complex numbers.
    """
    (x,) = promote("signbit", x)
    letter = kind(x.aval.dtype)
    if letter in "bu":
        return full(x.aval.shape, False, np.dtype(np.bool_))
    if letter == "c":
        raise ValueError("signbit is defined for real numbers; complex ones have no sign")
    bits = x if letter == "i" else _bits(x)
    return cmp.lt_p.bind(bits, _c(bits, 0))


def copysign(x1: Any, x2: Any, /) -> Array:
    """|x1| with the sign of x2, elementwise.

    Raises:
        TypeError: complex numbers.
    """
    x, y = promote_inexact("copysign", x1, x2)
    if kind(x.aval.dtype) == "c":
        raise DTypeError("copysign does not accept complex numbers, which have no sign")
    differs = ar.xor_p.bind(signbit(x), signbit(y))
    return cmp.select_n_p.bind(differs, x, neg_p.bind(x))


def nextafter(x: Any, y: Any, /) -> Array:
    """The next representable number after x in the direction of y, elementwise."""
    return ar.nextafter_p.bind(*promote_inexact("nextafter", x, y))


def spacing(x: Any, /) -> Array:
    """The distance of |x| to the next representable number, with the sign of x, elementwise.

    Raises:
        ValueError: complex numbers.
    """
    (x,) = promote_inexact("spacing", x)
    if kind(x.aval.dtype) == "c":
        raise ValueError("spacing is defined for real numbers")
    x = strengthen(x)
    size = ar.abs_p.bind(stop_gradient_array(x))
    step = ar.sub_p.bind(ar.nextafter_p.bind(size, full((), np.inf, x.aval.dtype)), size)
    step = copysign(step, stop_gradient_array(x))
    nan = full((), np.nan, x.aval.dtype)
    return cmp.select_n_p.bind(isfinite(x), nan, step)


def _power_of_two(n: Any, dtype: np.dtype[Any]) -> Any:
    """2**n of a float dtype, for integers n (of the dtype's width) in the range of normal numbers."""
    layout = _Layout(dtype)
    shifted = ar.shift_left_p.bind(ar.add_p.bind(n, _c(n, layout.bias)), _c(n, layout.mantissa_bits))
    return _from_bits(shifted, dtype)


def ldexp(x1: Any, x2: Any, /) -> Array:
    """x1 * 2**x2, elementwise, correct also where the power alone overflows or underflows.

    Args:
        x1: floats (integers become floats).
        x2: integers.

    Raises:
        ValueError: x2 is not of an integer dtype, or x1 is complex.
    """
    check_arraylike("ldexp", x1, x2)
    x, n = asarray(x1), asarray(x2)
    if kind(x.aval.dtype) == "c" or kind(n.aval.dtype) not in "biu":
        raise ValueError(
            f"ldexp expects real numbers and integer exponents; got dtypes {x.dtype} and {n.dtype}"
        )
    (x,) = promote_inexact("ldexp", x)
    x = strengthen(x)
    dtype = x.aval.dtype
    layout = _Layout(dtype)
    limit = layout.bias - 1
    # Beyond 4 limits every number is infinite or zero; within, four factors of normal size are enough.
    n = convert_element_type(n, np.int32)
    n = ar.clamp_p.bind(_c(n, -4 * limit), n, _c(n, 4 * limit))
    out = x
    for _ in range(4):
        part = ar.clamp_p.bind(_c(n, -limit), n, _c(n, limit))
        n = ar.sub_p.bind(n, part)
        out = ar.mul_p.bind(out, _power_of_two(convert_element_type(part, layout.integer), dtype))
    return out


def frexp(x: Any, /) -> tuple[Array, Array]:
    """The pair (m, n) with x = m * 2**n and 0.5 <= |m| < 1, elementwise; n is int32.

    Zero, infinities and NaN are their own m, with n = 0.

    Raises:
        TypeError: complex numbers.
    """
    (x,) = promote_inexact("frexp", x)
    dtype = x.aval.dtype
    if kind(dtype) == "c":
        raise DTypeError("frexp does not accept complex numbers")
    x = strengthen(x)
    layout = _Layout(dtype)
    # Subnormal numbers are scaled to normal ones first.
    tiny = full((), dtypes.finfo(dtype).smallest_normal, dtype)
    subnormal = cmp.lt_p.bind(ar.abs_p.bind(x), tiny)
    shift = layout.mantissa_bits + 1
    scaled = cmp.select_n_p.bind(subnormal, x, ar.mul_p.bind(x, full((), 2.0**shift, dtype)))
    bits = _bits(scaled)
    field = ar.shift_right_arithmetic_p.bind(bits, _c(bits, layout.mantissa_bits))
    field = ar.and_p.bind(field, _c(bits, layout.exponent_mask))
    exponent = ar.sub_p.bind(
        convert_element_type(field, np.int32), scalar(layout.bias - 1, np.dtype(np.int32))
    )
    exponent = cmp.select_n_p.bind(
        subnormal, exponent, ar.sub_p.bind(exponent, scalar(shift, np.dtype(np.int32)))
    )
    special = ar.or_p.bind(cmp.eq_p.bind(x, _c(x, 0)), ar.not_p.bind(isfinite(x)))
    exponent = cmp.select_n_p.bind(special, exponent, full((), 0, np.dtype(np.int32)))
    # m = x * 2**-n, so that its derivative is 2**-n.
    return cmp.select_n_p.bind(special, ldexp(x, neg_p.bind(exponent)), x), exponent


def modf(x: Any, /, out: None = None) -> tuple[Array, Array]:
    """The fractional and the integral part, both with the sign of x, elementwise."""
    refuse_out("modf", out)
    (x,) = promote_inexact("modf", x)
    if kind(x.aval.dtype) == "c":
        raise DTypeError("modf does not accept complex numbers")
    whole = trunc(x)
    return ar.sub_p.bind(x, whole), whole


def i0(x: Any) -> Array:
    """The modified Bessel function of the first kind of order 0, elementwise.

    Raises:
        ValueError: complex numbers.
    """
    (x,) = promote_inexact("i0", x)
    if kind(x.aval.dtype) == "c":
        raise ValueError("i0 is defined for real numbers here")
    # |x| with derivative zero at zero, as that of the scaled function has.
    size = ar.mul_p.bind(x, ar.sign_p.bind(x))
    return ar.mul_p.bind(exp_p.bind(size), bessel_i0e(x))


METHODS: dict[str, Any] = {
    "round": lambda self, decimals=0, out=None: round(self, decimals, out),
    "clip": lambda self, min=None, max=None: clip(self, min, max),
    "__round__": lambda self, ndigits=None: (
        convert_element_type(round(self), dtypes.default_int_dtype())
        if ndigits is None
        else round(self, ndigits)
    ),
    "__floor__": floor,
    "__ceil__": ceil,
    "__trunc__": trunc,
}
