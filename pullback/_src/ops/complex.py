"""Negation, and complex numbers and their parts.

Derivatives are real-linear: a cotangent pairs with a tangent by the complex bilinear product, without
conjugation, so that grad of a real function f(x + iy) is df/dx - i df/dy.
"""

from __future__ import annotations

from typing import Any

from ..core import dtypes, rules
from ..core.array import Array, as_array, scalar
from ..core.kinds import kind
from ..core.primitive import Primitive
from .families import binary, checked, elementwise, unary, unbroadcast
from .structural import linear_coefficient

__all__ = ["complex", "conj", "imag", "neg", "real"]

neg_p: Primitive = elementwise("neg", lambda t, ans, x: neg_p.bind(t), accepts="iufc")
rules.transpose[neg_p] = lambda ct, x: [neg_p.bind(ct)]

real_p: Primitive = elementwise(
    "real", lambda t, ans, z: real_p.bind(t), accepts="c", result=dtypes.to_real_dtype
)
imag_p: Primitive = elementwise(
    "imag", lambda t, ans, z: imag_p.bind(t), accepts="c", result=dtypes.to_real_dtype
)
complex_p: Primitive = elementwise(
    "complex",
    lambda t, ans, x, y: complex_p.bind(t, scalar(0, t.aval.dtype)),
    lambda t, ans, x, y: complex_p.bind(scalar(0, t.aval.dtype), t),
    accepts="f",
    result=dtypes.to_complex_dtype,
)
conj_p: Primitive = elementwise("conj", lambda t, ans, z: conj_p.bind(t), accepts="c")


def neg(x: Any) -> Array:
    """-x."""
    return unary(neg_p, x)


def real(x: Any) -> Array:
    """The real part of a complex array."""
    return unary(real_p, x)


def imag(x: Any) -> Array:
    """The imaginary part of a complex array."""
    return unary(imag_p, x)


def complex(x: Any, y: Any) -> Array:
    """x + iy, for float32 or float64 parts."""
    return binary(complex_p, x, y)


def conj(x: Any) -> Array:
    """The complex conjugate (an array of real floats becomes complex, as in lax)."""
    x = as_array(x, name="conj")
    if kind(x.aval.dtype) != "c":
        return checked(complex_p, x, scalar(0, x.aval.dtype))
    return conj_p.bind(x)


def _zero(ct: Any) -> Any:
    return scalar(0, ct.aval.dtype)


def _complex_transpose(ct: Any, x: Any, y: Any) -> list[Any]:
    return [
        unbroadcast(real_p.bind(ct), x.aval) if type(x) is rules.Linear else None,
        unbroadcast(neg_p.bind(imag_p.bind(ct)), y.aval) if type(y) is rules.Linear else None,
    ]


for _linear in (neg_p, real_p, imag_p, complex_p, conj_p):
    rules.coefficient[_linear] = linear_coefficient(_linear)
rules.transpose[real_p] = lambda ct, z: [complex_p.bind(ct, _zero(ct))]
rules.transpose[imag_p] = lambda ct, z: [complex_p.bind(_zero(ct), neg_p.bind(ct))]
rules.transpose[complex_p] = _complex_transpose
rules.transpose[conj_p] = lambda ct, z: [conj_p.bind(ct)]
