"""Fourier transforms: `numpy.fft`.

The lengths `n` or `s` cut the input or append zeros to it; `norm` says which of the pair of transforms
divides by the
number of elements: the inverse one ("backward"), the forward one ("forward"), or each by its square root
("ortho").
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...base.errors import DTypeError
from ...core import dtypes
from ...core.array import Array, scalar
from ...core.kinds import kind
from ...ops.arithmetic import mul_p
from ...ops.complex import conj_p
from ...ops.convert import convert_element_type
from ...ops.fft import FftType
from ...ops.fft import fft as _fft
from ...ops.joining import pad
from ...ops.structural import canonical_axis, transpose
from . import creation, manipulation
from .promotion import promote, promote_inexact

__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]


def _input(name: str, a: Any, fft_type: FftType) -> Any:
    (x,) = promote("fft." + name, a)
    if fft_type is FftType.RFFT:
        if kind(x.aval.dtype) == "c":
            raise DTypeError(
                f"fft.{name} transforms real arrays; got {x.aval.str_short()}. Use the complex "
                "transform, or take "
                "the real part."
            )
        (x,) = promote_inexact("fft." + name, x)
        if x.aval.dtype.itemsize < 4:
            raise DTypeError(
                f"fft.{name} works in float32 and float64; got {x.aval.str_short()}. Use astype first."
            )
        return x
    if kind(x.aval.dtype) != "c":
        (x,) = promote_inexact("fft." + name, x)
        x = convert_element_type(x, dtypes.to_complex_dtype(x.aval.dtype))
    return x


def _transform(name: str, fft_type: FftType, a: Any, s: Any, axes: Any, norm: str | None) -> Array:
    if norm not in (None, "backward", "ortho", "forward"):
        raise ValueError(f"fft.{name}: norm must be None, 'backward', 'ortho' or 'forward'; got {norm!r}")
    x = _input(name, a, fft_type)
    rank = x.aval.ndim
    lengths = None if s is None else [operator.index(n) for n in s]
    if axes is None:
        axes = range(rank) if lengths is None else range(rank - len(lengths), rank)
    places = [canonical_axis(i, rank) for i in axes]
    if len(set(places)) < len(places):
        raise ValueError(f"fft.{name}: axes must be distinct; got {tuple(axes)} for shape {x.aval.shape}")
    if lengths is None:
        lengths = [x.aval.shape[i] for i in places]
        if fft_type is FftType.IRFFT and places:
            lengths[-1] = 2 * (lengths[-1] - 1)
    if len(lengths) != len(places):
        raise ValueError(
            f"fft.{name}: needs as many lengths as axes; got s={tuple(lengths)} for axes {tuple(axes)}"
        )
    if any(n < 1 for n in lengths):
        raise ValueError(f"fft.{name}: the lengths of transforms must be positive; got {tuple(lengths)}")
    if not places:
        return x
    sizes = list(lengths)
    if fft_type is FftType.IRFFT:
        sizes[-1] = lengths[-1] // 2 + 1
    config = [(0, 0, 0)] * rank
    for place, size in zip(places, sizes, strict=True):
        config[place] = (0, size - x.aval.shape[place], 0)
    if any(high for _, high, _ in config):
        x = pad(x, scalar(0, x.aval.dtype), config)
    order = [i for i in range(rank) if i not in places] + places
    out = _fft(transpose(x, order), fft_type, lengths)
    out = transpose(out, sorted(range(rank), key=order.__getitem__))
    return _scaled(out, fft_type, math.prod(lengths), norm)


def _scaled(x: Any, fft_type: FftType, count: int, norm: str | None) -> Any:
    if norm in (None, "backward"):
        return x
    inverse = fft_type in (FftType.IFFT, FftType.IRFFT)
    if norm == "ortho":
        factor = math.sqrt(count) if inverse else 1 / math.sqrt(count)
    else:
        factor = float(count) if inverse else 1 / count
    return mul_p.bind(x, scalar(factor, x.aval.dtype))


def _one(name: str, fft_type: FftType, a: Any, n: int | None, axis: int, norm: str | None) -> Array:
    if not isinstance(axis, (int, np.integer)):
        raise ValueError(f"fft.{name} expects one axis; got {axis!r}. Use fft.{name}n for several.")
    return _transform(name, fft_type, a, None if n is None else (n,), (axis,), norm)


def _two(name: str, fft_type: FftType, a: Any, s: Any, axes: Any, norm: str | None) -> Array:
    if len(tuple(axes)) != 2:
        raise ValueError(f"fft.{name} expects two axes; got {tuple(axes)}")
    return _transform(name, fft_type, a, s, axes, norm)


def fft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The discrete Fourier transform along an axis: sum_j a_j e^(-2 pi i jk/n)."""
    return _one("fft", FftType.FFT, a, n, axis, norm)


def ifft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The inverse of `fft`."""
    return _one("ifft", FftType.IFFT, a, n, axis, norm)


def rfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The transform of a real array: the n // 2 + 1 frequencies that determine the others."""
    return _one("rfft", FftType.RFFT, a, n, axis, norm)


def irfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The inverse of `rfft`: a real array with n elements (default: twice the number of frequencies
    less 2).
    """
    return _one("irfft", FftType.IRFFT, a, n, axis, norm)


_OPPOSITE = {None: "forward", "backward": "forward", "ortho": "ortho", "forward": "backward"}


def hfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The real transform of the signal whose non-negative times are `a` and which is Hermitian."""
    (x,) = promote("fft.hfft", a)
    conjugate = conj_p.bind(x) if kind(x.aval.dtype) == "c" else x
    return _one("hfft", FftType.IRFFT, conjugate, n, axis, _OPPOSITE.get(norm, norm))


def ihfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The inverse of `hfft`."""
    return conj_p.bind(_one("ihfft", FftType.RFFT, a, n, axis, _OPPOSITE.get(norm, norm)))


def fftn(
    a: Any, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Array:
    """The transform over several axes (default: all, or the last `len(s)`)."""
    return _transform("fftn", FftType.FFT, a, s, axes, norm)


def ifftn(
    a: Any, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Array:
    """The inverse of `fftn`."""
    return _transform("ifftn", FftType.IFFT, a, s, axes, norm)


def rfftn(
    a: Any, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Array:
    """`fftn` of a real array, with half of the frequencies of the last axis."""
    return _transform("rfftn", FftType.RFFT, a, s, axes, norm)


def irfftn(
    a: Any, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Array:
    """The inverse of `rfftn`."""
    return _transform("irfftn", FftType.IRFFT, a, s, axes, norm)


def fft2(
    a: Any, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Array:
    """The transform over two axes."""
    return _two("fft2", FftType.FFT, a, s, axes, norm)


def ifft2(
    a: Any, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Array:
    """The inverse of `fft2`."""
    return _two("ifft2", FftType.IFFT, a, s, axes, norm)


def rfft2(
    a: Any, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Array:
    """`fft2` of a real array, with half of the frequencies of the last axis."""
    return _two("rfft2", FftType.RFFT, a, s, axes, norm)


def irfft2(
    a: Any, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Array:
    """The inverse of `rfft2`."""
    return _two("irfft2", FftType.IRFFT, a, s, axes, norm)


def _frequencies(name: str, numbers: np.ndarray[Any, Any], n: int, d: Any, dtype: Any) -> Array:
    found = dtypes.default_float_dtype() if dtype is None else dtypes.check_user_dtype(dtype, f"fft.{name}")
    if isinstance(d, (list, tuple)):
        raise ValueError(f"fft.{name}: the sample spacing d must be a number; got {d!r}")
    ks = creation.asarray(numbers.astype(found))
    return ks / (d * creation.asarray(n, dtype=found))


def fftfreq(n: int, d: Any = 1.0, *, dtype: Any = None, device: Any = None) -> Array:
    """The frequencies of `fft`'s results for n samples at distance d: 0, 1, ..., -2, -1 over n d."""
    n = operator.index(n)
    half = (n - 1) // 2 + 1
    return _frequencies("fftfreq", np.concatenate([np.arange(half), np.arange(half - n, 0)]), n, d, dtype)


def rfftfreq(n: int, d: Any = 1.0, *, dtype: Any = None, device: Any = None) -> Array:
    """The frequencies of `rfft`'s results for n samples at distance d."""
    n = operator.index(n)
    return _frequencies("rfftfreq", np.arange(n // 2 + 1), n, d, dtype)


def _shifted(name: str, x: Any, axes: Any, sign: int) -> Array:
    (x,) = promote(name, x)
    if axes is None:
        axes = tuple(range(x.aval.ndim))
    elif isinstance(axes, (int, np.integer)):
        axes = (int(axes),)
    shape = x.aval.shape
    shifts = [sign * (shape[i] // 2) for i in axes]
    return manipulation.roll(x, shifts, tuple(axes))


def fftshift(x: Any, axes: Any = None) -> Array:
    """Move frequency 0 to the middle of the axes (default: all)."""
    return _shifted("fft.fftshift", x, axes, 1)


def ifftshift(x: Any, axes: Any = None) -> Array:
    """The inverse of `fftshift`."""
    return _shifted("fft.ifftshift", x, axes, -1)
