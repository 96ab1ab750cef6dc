"""erf, erfc, erf_inv.

erf: a polynomial below 1, 1 - erfc(x) above. erfc(a) = exp(-a^2) p(q) / (1 + 2 a) with q = (a - s) / (a +
s), which maps the axis to a finite interval (M. M. Shepherd and J. G. Laframboise, "Chebyshev approximation
of (1 + 2x) exp(x^2) erfc x", 1981).
"""

from __future__ import annotations

import math

from ..ir import Emitter, Value
from . import coefficients as c
from .base import add_exact, at_most, poly, sub_exact
from .exponential import exp, log1p

_ERF = {"float": c.ERF_32, "double": c.ERF_64}
_ERFCX = {"float": (2.0, c.ERFCX_32), "double": (4.0, c.ERFCX_64)}
# From here on the complement is 0.
_END = {"float": 10.1, "double": 27.3}


def scaled_complement(e: Emitter, a: Value) -> Value:
    """exp(a^2) erfc(a) for 0 <= a <= 28 (float: 11)."""
    centre, coefficients = _ERFCX[a.elem]
    shift = e.const(centre, a)
    q = e.fdiv(sub_exact(e, a, shift), add_exact(e, a, shift))
    return e.fdiv(poly(e, q, coefficients), e.fma(a, e.const(2.0, a), e.const(1.0, a)))


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
    """The engine of the specification's polynomials (M. Giles, 2012): see `engines.numpy.special`."""
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


# Highest power first, as published.
SINGLE_CENTRE = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
    -0.00417768164, 0.246640727, 1.50140941,
)  # fmt: skip
SINGLE_TAIL = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613,
    0.00943887047, 1.00167406, 2.83297682,
)  # fmt: skip
DOUBLE_CENTRE = (
    -3.6444120640178196996e-21, -1.685059138182016589e-19, 1.2858480715256400167e-18,
    1.115787767802518096e-17, -1.333171662854620906e-16, 2.0972767875968561637e-17,
    6.6376381343583238325e-15, -4.0545662729752068639e-14, -8.1519341976054721522e-14,
    2.6335093153082322977e-12, -1.2975133253453532498e-11, -5.4154120542946279317e-11,
    1.051212273321532285e-09, -4.1126339803469836976e-09, -2.9070369957882005086e-08,
    4.2347877827932403518e-07, -1.3654692000834678645e-06, -1.3882523362786468719e-05,
    0.0001867342080340571352, -0.00074070253416626697512, -0.0060336708714301490533,
    0.24015818242558961693, 1.6536545626831027356,
)  # fmt: skip
DOUBLE_MIDDLE = (
    2.2137376921775787049e-09, 9.0756561938885390979e-08, -2.7517406297064545428e-07,
    1.8239629214389227755e-08, 1.5027403968909827627e-06, -4.013867526981545969e-06,
    2.9234449089955446044e-06, 1.2475304481671778723e-05, -4.7318229009055733981e-05,
    6.8284851459573175448e-05, 2.4031110387097893999e-05, -0.0003550375203628474796,
    0.00095328937973738049703, -0.0016882755560235047313, 0.0024914420961078508066,
    -0.0037512085075692412107, 0.005370914553590063617, 1.0052589676941592334, 3.0838856104922207635,
)  # fmt: skip
DOUBLE_TAIL = (
    -2.7109920616438573243e-11, -2.5556418169965252055e-10, 1.5076572693500548083e-09,
    -3.7894654401267369937e-09, 7.6157012080783393804e-09, -1.4960026627149240478e-08,
    2.9147953450901080826e-08, -6.7711997758452339498e-08, 2.2900482228026654717e-07,
    -9.9298272942317002539e-07, 4.5260625972231537039e-06, -1.9681778105531670567e-05,
    7.5995277030017761139e-05, -0.00021503011930044477347, -0.00013871931833623122026,
    1.0103004648645343977, 4.8499064014085844221,
)  # fmt: skip
