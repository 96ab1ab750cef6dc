"""Fourier transforms against NumPy and JAX."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback._src.base.errors import DTypeError, ShapeError
from pullback._src.ops import fft as ops

from .. import oracle
from ..matrix import Sample, matrix_cells, run_cell
from .domains import uniform

_NUMPY: dict[str, Any] = {
    "FFT": np.fft.fftn,
    "IFFT": np.fft.ifftn,
    "RFFT": np.fft.rfftn,
    "IRFFT": np.fft.irfftn,
}


def _argument(name: str, lengths: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    """Input of a transform: two rows, real for RFFT."""
    if name == "RFFT":
        dtype = np.dtype(np.dtype(dtype).char.lower())
    if name == "IRFFT":
        lengths = (*lengths[:-1], lengths[-1] // 2 + 1)
    return uniform(-1, 1, (2, *lengths), dtype)


def _samples() -> list[Sample]:
    out = []
    for name, transform in _NUMPY.items():
        for lengths in ((5,), (6,), (1,), (3, 4)):
            for dtype, order in ((np.complex128, 2), (np.complex64, 1)):
                if order == 1 and lengths != (6,):
                    continue
                axes = tuple(range(-len(lengths), 0))
                out.append(
                    Sample(
                        f"{name}-{'x'.join(map(str, lengths))}-{np.dtype(dtype).name}",
                        lambda x, name=name, lengths=lengths: ops.fft(x, name, lengths),
                        (_argument(name, lengths, dtype),),
                        lambda x, transform=transform, lengths=lengths, axes=axes: transform(
                            x, lengths, axes
                        ),
                        (0,),
                        order,
                        primitives=("fft",),
                    )
                )
    return out


SAMPLES = _samples()


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(_NUMPY)), st.lists(st.integers(1, 7), min_size=1, max_size=3))
def test_gradients_agree_with_jax(name: str, lengths: list[int]) -> None:
    x = _argument(name, tuple(lengths), np.complex64)
    options = {"fft_type": name, "fft_lengths": tuple(lengths)}
    oracle.check(ops.fft, jax.lax.fft, x, **options)
    oracle.check_grad(ops.fft, jax.lax.fft, x, **options)


def test_kinds_by_name_and_number() -> None:
    x = uniform(-1, 1, (4,), np.complex64)
    for kind in ("fft", "FFT", ops.FftType.FFT, 0):
        np.testing.assert_allclose(ops.fft(x, kind, (4,)), np.fft.fft(x), rtol=1e-5)
    assert ops.fft(x, "FFT", ()).shape == (4,)


def test_real_input_of_a_complex_kind_is_converted() -> None:
    x = uniform(-1, 1, (4,), np.float32)
    oracle.check(ops.fft, jax.lax.fft, x, fft_type="FFT", fft_lengths=(4,))


def test_errors_explain() -> None:
    z = np.zeros((2, 4), np.complex64)
    with pytest.raises(DTypeError, match="RFFT expects float32 or float64; got complex64"):
        ops.fft(z, "RFFT", (4,))
    with pytest.raises(ShapeError, match=r"expects the last dimensions to be \(5,\); got shape \(2, 4\)"):
        ops.fft(z, "FFT", (5,))
    with pytest.raises(ShapeError, match=r"expects the last dimensions to be \(3,\)"):
        ops.fft(z, "IRFFT", (4,))
    with pytest.raises(ShapeError, match="at least one element"):
        ops.fft(np.zeros((2, 0), np.complex64), "FFT", (0,))
