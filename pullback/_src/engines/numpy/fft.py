"""Kernels of `ops.fft`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import fft as ops
from .register import kernel

Array = np.ndarray[Any, Any]


@kernel(ops.fft_p)
def fft(x: Array, *, fft_type: ops.FftType, fft_lengths: tuple[int, ...]) -> Array:
    if len(fft_lengths) == 1:
        (n,) = fft_lengths
        return _ONE[fft_type](x, n)
    axes = tuple(range(-len(fft_lengths), 0))
    return _MANY[fft_type](x, fft_lengths, axes)


_ONE: Any = {
    ops.FftType.FFT: np.fft.fft,
    ops.FftType.IFFT: np.fft.ifft,
    ops.FftType.RFFT: np.fft.rfft,
    ops.FftType.IRFFT: np.fft.irfft,
}
_MANY: Any = {
    ops.FftType.FFT: np.fft.fftn,
    ops.FftType.IFFT: np.fft.ifftn,
    ops.FftType.RFFT: np.fft.rfftn,
    ops.FftType.IRFFT: np.fft.irfftn,
}
