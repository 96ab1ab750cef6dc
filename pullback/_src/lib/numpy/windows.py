"""Windows for the analysis of signals."""

from __future__ import annotations

import math
import operator
from typing import Any

from ...core import dtypes
from ...core.array import Array, scalar
from ...ops import arithmetic as ar
from ...ops.iota import iota_p
from ...ops.transcendental import cos_p, sqrt_p
from .creation import ones
from .elementwise import divide
from .floating import i0
from .promotion import promote_inexact

__all__ = ["bartlett", "blackman", "hamming", "hanning", "kaiser"]


def _positions(M: int) -> Any:
    """2 n / (M - 1) - 1 for n = 0, ..., M - 1: from -1 to 1."""
    dtype = dtypes.default_float_dtype()
    n = iota_p.bind(dtype=dtype, shape=(M,), dimension=0)
    return ar.div_p.bind(
        ar.sub_p.bind(ar.mul_p.bind(n, scalar(2, dtype)), scalar(M - 1, dtype)), scalar(M - 1, dtype)
    )


def _cosines(M: Any, *coefficients: float) -> Array:
    """The sum over k of coefficients[k] cos(k pi x) for x from -1 to 1."""
    count = operator.index(M)
    if count <= 1:
        return ones(count)
    x = _positions(count)
    dtype = x.aval.dtype
    total: Any = scalar(coefficients[0], dtype)
    for k, c in enumerate(coefficients[1:], 1):
        wave = cos_p.bind(ar.mul_p.bind(x, scalar(k * math.pi, dtype)))
        total = ar.add_p.bind(total, ar.mul_p.bind(wave, scalar(c, dtype)))
    return total


def bartlett(M: int) -> Array:
    """The triangular window of M points that is zero at both ends."""
    count = operator.index(M)
    if count <= 1:
        return ones(count)
    x = _positions(count)
    return ar.sub_p.bind(scalar(1, x.aval.dtype), ar.abs_p.bind(x))


def blackman(M: int) -> Array:
    """Blackman's window of M points: 0.42 + 0.5 cos(pi x) + 0.08 cos(2 pi x), x from -1 to 1."""
    return _cosines(M, 0.42, 0.5, 0.08)


def hamming(M: int) -> Array:
    """Hamming's window of M points: 0.54 + 0.46 cos(pi x), x from -1 to 1."""
    return _cosines(M, 0.54, 0.46)


def hanning(M: int) -> Array:
    """Von Hann's window of M points: 0.5 + 0.5 cos(pi x), x from -1 to 1."""
    return _cosines(M, 0.5, 0.5)


def kaiser(M: int, beta: Any) -> Array:
    """Kaiser's window of M points: I0(beta sqrt(1 - x^2)) / I0(beta), x from -1 to 1.

    `beta` is a number, differentiable.
    """
    count = operator.index(M)
    if count <= 1:
        return ones(count)
    x, shape = promote_inexact("kaiser", _positions(count), beta)
    one = scalar(1, x.aval.dtype)
    root = sqrt_p.bind(ar.max_p.bind(ar.sub_p.bind(one, ar.square_p.bind(x)), scalar(0, x.aval.dtype)))
    return divide(i0(ar.mul_p.bind(shape, root)), i0(shape))
