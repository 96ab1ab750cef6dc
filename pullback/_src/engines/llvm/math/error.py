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
from . import bounds
from . import coefficients as c
from .base import add_exact, is_any, poly, sub_exact
from .exponential import exp_of_square, log1p_inside

_ERF = {"float": c.ERF_32, "double": c.ERF_64}


def scaled_complement(e: Emitter, a: Value, whole: bool = True) -> Value:
    """exp(a^2) erfc(a) for 0 <= a <= 28 (float: up to 10.25, and from 0.5 on unless `whole`)."""
    one = e.const(1.0, a)
    if a.elem == "float":
        inverse = e.fdiv(one, add_exact(e, a, one))
        q = e.binary("fmul", sub_exact(e, a, one), inverse)
        return e.binary("fmul", poly(e, q, c.ERFCX_WHOLE_32 if whole else c.ERFCX_32), inverse)
    shift = e.const(4.0, a)
    q = e.fdiv(sub_exact(e, a, shift), add_exact(e, a, shift))
    return e.fdiv(poly(e, q, c.ERFCX_64), e.fma(a, e.const(2.0, a), one))


def _complement(e: Emitter, x: Value, whole: bool) -> tuple[Value, Value]:
    """erfc(|x|), unless `whole` for |x| >= 1/2; and the square of x where that is not 0.

    The function and its derivative, of which exp(-x^2) is a part, have most of it in common.
    """
    gaussian, a, square = exp_of_square(e, x)
    p = scaled_complement(e, a, whole)
    lost = e.fma(a, a, e.fneg(square))
    return e.binary("fmul", gaussian, e.fma(e.fneg(p), lost, p)), square


def _near(e: Emitter, x: Value, square: Value) -> Value:
    """erf(x) for |x| < 1."""
    return e.fma(x, poly(e, square, _ERF[x.elem]), x)


def erf(e: Emitter, x: Value) -> Value:
    one = e.const(1.0, x)
    y, square = _complement(e, x, whole=False)
    far = e.copysign(sub_exact(e, one, y), x)
    y = e.select(e.fcmp("olt", e.fabs(x), one), _near(e, x, square), far)
    return bounds.within(e, y, -1.0, 1.0)


def erfc(e: Emitter, x: Value) -> Value:
    """For doubles below 1/2, where the complement is larger than a half, 1 - erf(x)."""
    y, square = _complement(e, x, whole=True)
    y = e.select(e.fcmp("olt", x, e.const(0.0, x)), sub_exact(e, e.const(2.0, x), y), y)
    if x.elem == "double":
        near = sub_exact(e, e.const(1.0, x), _near(e, x, square))
        y = e.select(e.fcmp("olt", e.fabs(x), e.const(0.5, x)), near, y)
    return bounds.within(e, y, 0.0, 2.0)


def erf_inv(e: Emitter, x: Value) -> Value:
    """By Giles's polynomials; x^2 is rounded as `engines.numpy.special` says."""
    elem = x.elem
    low, high = bounds.of(e, x)
    square = bounds.within(e, e.binary("fmul", x, x), 0.0, math.inf)
    y, _ = log1p_inside(e, bounds.neg(e, e.fneg(square), square))
    w = e.fneg(y)
    if elem == "float":
        limit, centre = 5.0, poly(e, sub_exact(e, w, e.const(2.5, x)), SINGLE_CENTRE[::-1])
    else:
        limit, centre = 6.25, poly(e, sub_exact(e, w, e.const(3.125, x)), DOUBLE_CENTRE[::-1])
    far = e.fcmp("oge", w, e.const(limit, x))
    (p,) = e.branch(is_any(e, far), [lambda: [_tail(e, far, w, centre)], lambda: [centre]])
    y = e.binary("fmul", p, x)
    if low > -1 and high < 1:
        return y
    a, one = e.fabs(x), e.const(1.0, x)
    end = e.select(e.fcmp("oeq", a, one), e.copysign(e.const(math.inf, x), x), e.const(math.nan, x))
    return e.select(e.fcmp("olt", a, one), y, end)


def _tail(e: Emitter, far: Value, w: Value, centre: Value) -> Value:
    """The polynomials for few numbers, those next to 1 and -1, in place of that of the `centre`."""
    w = Value(w.name, w.elem, w.lanes, e.level)  # nothing of this is written before the branch
    root = e.sqrt(w)
    if w.elem == "float":
        tail = poly(e, sub_exact(e, root, e.const(3.0, w)), SINGLE_TAIL[::-1])
    else:
        middle = poly(e, sub_exact(e, root, e.const(3.25, w)), DOUBLE_MIDDLE[::-1])
        tail = poly(e, sub_exact(e, root, e.const(5.0, w)), DOUBLE_TAIL[::-1])
        tail = e.select(e.fcmp("olt", root, e.const(4.0, w)), middle, tail)
    return e.select(far, tail, centre)
