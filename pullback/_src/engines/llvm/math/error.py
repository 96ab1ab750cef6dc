"""erf, erfc, erf_inv.

erf: a polynomial below 1, 1 - erfc(x) above. erfc(a) = exp(-a^2) p(q) / (1 + 2 a) with q = (a - s) / (a +
s), which maps the axis to a finite interval (M. M. Shepherd and J. G. Laframboise, "Chebyshev approximation
of (1 + 2x) exp(x^2) erfc x", 1981). For floats the denominators are the same (a + 1), so one division will
do; it costs them half a unit of the last place.
"""

from __future__ import annotations

import math

from ...inverse_error import DOUBLE_CENTRE, DOUBLE_MIDDLE, DOUBLE_TAIL, SINGLE_CENTRE, SINGLE_TAIL
from ..ir import Emitter, Value
from . import coefficients as c
from .base import add_exact, at_most, poly, sub_exact
from .exponential import exp, log1p

_ERF = {"float": c.ERF_32, "double": c.ERF_64}
# From here on the complement is 0.
_END = {"float": 10.1, "double": 27.3}


def scaled_complement(e: Emitter, a: Value) -> Value:
    """exp(a^2) erfc(a) for 0 <= a <= 28 (float: from 0.5 to 10.25)."""
    one = e.const(1.0, a)
    if a.elem == "float":
        inverse = e.fdiv(one, add_exact(e, a, one))
        q = e.binary("fmul", sub_exact(e, a, one), inverse)
        return e.binary("fmul", poly(e, q, c.ERFCX_32), inverse)
    shift = e.const(4.0, a)
    q = e.fdiv(sub_exact(e, a, shift), add_exact(e, a, shift))
    return e.fdiv(poly(e, q, c.ERFCX_64), e.fma(a, e.const(2.0, a), one))


def _complement(e: Emitter, x: Value) -> Value:
    """erfc(|x|).

    erf(x), erfc(x), erfc(-x) and their derivatives, of which exp(-x^2) is a part, have most of it in common.
    """
    p = scaled_complement(e, at_most(e, e.fabs(x), _END[x.elem]))
    square = e.fmul(x, x)
    lost = e.fma(x, x, e.fneg(square))
    least = e.const(-1.0, x)  # where the square overflows, its error is no number
    lost = e.select(e.fcmp("ogt", lost, least), lost, least)
    gaussian = exp(e, e.fneg(square))
    return e.binary("fmul", gaussian, e.fma(e.fneg(p), lost, p))


def _near(e: Emitter, x: Value) -> Value:
    """erf(x) for |x| < 1."""
    return e.fma(x, poly(e, e.fmul(x, x), _ERF[x.elem]), x)


def erf(e: Emitter, x: Value) -> Value:
    one = e.const(1.0, x)
    far = e.copysign(sub_exact(e, one, _complement(e, x)), x)
    return e.select(e.fcmp("olt", e.fabs(x), one), _near(e, x), far)


def erfc(e: Emitter, x: Value) -> Value:
    """1 - erf(x) below 1/2, where the complement is larger than a half."""
    y = _complement(e, x)
    y = e.select(e.fcmp("olt", x, e.const(0.0, x)), sub_exact(e, e.const(2.0, x), y), y)
    inside = e.fcmp("olt", e.fabs(x), e.const(0.5, x))
    return e.select(inside, sub_exact(e, e.const(1.0, x), _near(e, x)), y)


def erf_inv(e: Emitter, x: Value) -> Value:
    """By Giles's polynomials; x^2 is rounded as `engines.numpy.special` says."""
    elem = x.elem
    square = e.binary("fmul", x, x)
    w = e.fneg(log1p(e, e.fneg(square)))
    root = e.sqrt(w)
    if elem == "float":
        p = poly(e, sub_exact(e, w, e.const(2.5, x)), SINGLE_CENTRE[::-1])
        tail = poly(e, sub_exact(e, root, e.const(3.0, x)), SINGLE_TAIL[::-1])
        p = e.select(e.fcmp("olt", w, e.const(5.0, x)), p, tail)
    else:
        p = poly(e, sub_exact(e, w, e.const(3.125, x)), DOUBLE_CENTRE[::-1])
        middle = poly(e, sub_exact(e, root, e.const(3.25, x)), DOUBLE_MIDDLE[::-1])
        tail = poly(e, sub_exact(e, root, e.const(5.0, x)), DOUBLE_TAIL[::-1])
        tail = e.select(e.fcmp("olt", root, e.const(4.0, x)), middle, tail)
        p = e.select(e.fcmp("olt", w, e.const(6.25, x)), p, tail)
    y = e.binary("fmul", p, x)
    end = e.fcmp("oeq", e.fabs(x), e.const(1.0, x))
    return e.select(end, e.copysign(e.const(math.inf, x), x), y)
