"""Discrete Fourier transforms over the last dimensions.

The transforms are linear and, as matrices, symmetric: FFT and IFFT are their own transposes. The transposes
of the real ones are each other's with weights for the half of the spectrum that stands for both halves: with
m_k = 1 for frequency 0 (and n/2 for even n) and m_k = 2 for all others,

    irfft(z) = Re(sum_k m_k z_k e^(2 pi i jk/n)) / n,   so   irfft^T(y) = m conj(rfft(y)) / n,
    rfft(x)_k = sum_j x_j e^(-2 pi i jk/n),              so   rfft^T(z) = n irfft(conj(z) / m).
"""

from __future__ import annotations

import enum
import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base.errors import DTypeError, ShapeError
from ..core import dtypes, rules
from ..core.array import Array, ConcreteArray, as_array, wrap
from ..core.aval import ShapedArray, shaped_array
from ..core.kinds import kind
from .arithmetic import mul_p
from .complex import conj_p
from .convert import convert_element_type
from .structural import linear_primitive, moveaxis

__all__ = ["FftType", "fft"]


class FftType(enum.IntEnum):
    """The kinds of discrete Fourier transforms."""

    FFT = 0
    IFFT = 1
    RFFT = 2
    IRFFT = 3

    def __repr__(self) -> str:
        return f"FftType.{self.name}"

    __str__ = __repr__


fft_p = linear_primitive("fft")


def fft(x: Any, fft_type: FftType | str, fft_lengths: Any) -> Array:
    """The discrete Fourier transform over the last `len(fft_lengths)` dimensions.

    Args:
        x: complex (FFT, IFFT, IRFFT) or real (RFFT); real input to the complex kinds is converted.
        fft_type: an `FftType` or its name; the inverse kinds divide by the number of elements.
        fft_lengths: sizes of the transformed dimensions in real space (of x itself, but for IRFFT, whose
            last one is n for n // 2 + 1 frequencies).

    Raises:
        ShapeError: lengths that do not fit x.
    """
    x = as_array(x, name="fft")
    lengths = (
        (operator.index(fft_lengths),)
        if isinstance(fft_lengths, int)
        else tuple(map(operator.index, fft_lengths))
    )
    found = FftType[fft_type.upper()] if isinstance(fft_type, str) else FftType(fft_type)
    if not lengths:
        return x
    if found is not FftType.RFFT and kind(x.aval.dtype) == "f":
        x = convert_element_type(x, dtypes.to_complex_dtype(x.aval.dtype))
    _fft_abstract(x.aval, fft_type=found, fft_lengths=lengths)
    return fft_p.bind(x, fft_type=found, fft_lengths=lengths)


def _fft_abstract(x: ShapedArray, *, fft_type: FftType, fft_lengths: tuple[int, ...]) -> ShapedArray:
    wanted = (np.float32, np.float64) if fft_type is FftType.RFFT else (np.complex64, np.complex128)
    if x.dtype not in wanted:
        raise DTypeError(
            f"fft of kind {fft_type.name} expects {' or '.join(t.__name__ for t in wanted)}; got "
            f"{dtypes.dtype_name(x.dtype)}"
        )
    rank = len(fft_lengths)
    given = x.shape[x.ndim - rank :] if x.ndim >= rank else None
    expected = (*fft_lengths[:-1], fft_lengths[-1] // 2 + 1) if fft_type is FftType.IRFFT else fft_lengths
    if given != expected:
        raise ShapeError(
            f"fft of kind {fft_type.name} with lengths {fft_lengths} expects the last dimensions to "
            f"be {expected}; got "
            f"shape {x.shape}"
        )
    if any(n < 1 for n in fft_lengths):
        raise ShapeError(
            f"fft needs at least one element along each transformed dimension; got lengths {fft_lengths}"
        )
    if fft_type is FftType.RFFT:
        return shaped_array(
            (*x.shape[:-1], fft_lengths[-1] // 2 + 1), dtypes.to_complex_dtype(x.dtype), x.weak_type
        )
    if fft_type is FftType.IRFFT:
        return shaped_array((*x.shape[:-1], fft_lengths[-1]), dtypes.to_real_dtype(x.dtype), x.weak_type)
    return x


@functools.lru_cache(maxsize=256)
def _weights(length: int, power: int, scale: float, dtype: np.dtype[Any]) -> ConcreteArray:
    """scale * m_k ** power for the frequencies k of a real transform."""
    k = np.arange(length // 2 + 1)
    multiplicity = np.where((k == 0) | (2 * k == length), 1.0, 2.0)
    return wrap((scale * multiplicity**power).astype(dtype))


def _fft_transpose(ct: Any, x: Any, *, fft_type: FftType, fft_lengths: tuple[int, ...]) -> list[Any]:
    size = math.prod(fft_lengths)
    if fft_type is FftType.RFFT:
        weights = _weights(fft_lengths[-1], -1, float(size), ct.aval.dtype)
        weighted = mul_p.bind(conj_p.bind(ct), weights)
        return [fft_p.bind(weighted, fft_type=FftType.IRFFT, fft_lengths=fft_lengths)]
    if fft_type is FftType.IRFFT:
        spectrum = conj_p.bind(fft_p.bind(ct, fft_type=FftType.RFFT, fft_lengths=fft_lengths))
        return [mul_p.bind(spectrum, _weights(fft_lengths[-1], 1, 1 / size, spectrum.aval.dtype))]
    return [fft_p.bind(ct, fft_type=fft_type, fft_lengths=fft_lengths)]


def _fft_batch(
    axis: Any, values: Sequence[Any], dims: Sequence[int], *, fft_type: FftType, fft_lengths: tuple[int, ...]
) -> tuple[Any, int]:
    (x,), (dim,) = values, dims
    if dim >= x.aval.ndim - len(fft_lengths):
        x, dim = moveaxis(x, dim, 0), 0
    return fft_p.bind(x, fft_type=fft_type, fft_lengths=fft_lengths), dim


rules.abstract[fft_p] = _fft_abstract
rules.transpose[fft_p] = _fft_transpose
rules.batch[fft_p] = _fft_batch
