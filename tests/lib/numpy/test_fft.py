"""`numpy.fft` against JAX."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from pullback._src.base.errors import DTypeError
from pullback._src.lib.numpy import fft

from ... import oracle
from ...ops.domains import BFLOAT16, integers, uniform

pytestmark = pytest.mark.usefixtures("together")

_ONE = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
_MANY = ["fftn", "ifftn", "rfftn", "irfftn", "fft2", "ifft2", "rfft2", "irfft2"]
_REAL = {"rfft", "ihfft", "rfftn", "rfft2"}


def _argument(name: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return uniform(-1, 1, shape, np.float32 if name in _REAL else np.complex64)


@pytest.mark.parametrize("norm", [None, "backward", "ortho", "forward", "sideways"])
@pytest.mark.parametrize("name", _ONE)
def test_one_axis_agrees_with_jax(name: str, norm: str | None) -> None:
    x = _argument(name, (3, 6))
    for options in ({}, {"n": 4}, {"n": 9}, {"axis": 0}, {"n": 0}, {"axis": 2}):
        oracle.check(getattr(fft, name), getattr(jnp.fft, name), x, norm=norm, **options)
    if norm != "sideways":
        oracle.check_grad(getattr(fft, name), getattr(jnp.fft, name), x, norm=norm)
        oracle.check_grad(getattr(fft, name), getattr(jnp.fft, name), x, norm=norm, n=7, axis=0)


@pytest.mark.parametrize("norm", [None, "ortho", "forward"])
@pytest.mark.parametrize("name", _MANY)
def test_several_axes_agree_with_jax(name: str, norm: str | None) -> None:
    x = _argument(name, (3, 4, 5))
    cases: list[dict[str, Any]] = [
        {},
        {"s": (2, 6)},
        {"axes": (0, 2)},
        {"s": (2, 6), "axes": (2, 0)},
        {"axes": (0, 0)},
    ]
    if name.endswith("n"):
        cases += [{"axes": (1,)}, {"s": (2, 2), "axes": (1,)}, {"axes": (2, 0, 1)}]
    else:
        cases += [{"axes": (0,)}]
    for options in cases:
        oracle.check(getattr(fft, name), getattr(jnp.fft, name), x, norm=norm, **options)
    oracle.check_grad(getattr(fft, name), getattr(jnp.fft, name), x, norm=norm, axes=(0, 2))


@pytest.mark.parametrize("name", _ONE)
def test_dtypes_agree_with_jax(name: str) -> None:
    for dtype in (np.bool_, np.int32, np.float16, BFLOAT16, np.float32, np.complex64):
        oracle.check(getattr(fft, name), getattr(jnp.fft, name), integers(0, 3, (5,), dtype))
    for dtype in (np.int64, np.float64, np.complex128):
        oracle.check(getattr(fft, name), getattr(jnp.fft, name), integers(0, 3, (5,), dtype), x64=True)


@pytest.mark.parametrize("name", ["fftfreq", "rfftfreq"])
def test_frequencies_agree_with_jax(name: str) -> None:
    for args in ((1,), (4,), (5,), (6, 0.5), (7, 2), (0,)):
        oracle.check(getattr(fft, name), getattr(jnp.fft, name), *args)
    oracle.check(getattr(fft, name), getattr(jnp.fft, name), 4, dtype=np.float16)
    oracle.check(getattr(fft, name), getattr(jnp.fft, name), 4, x64=True)


@pytest.mark.parametrize("name", ["fftshift", "ifftshift"])
def test_shifts_agree_with_jax(name: str) -> None:
    x = integers(0, 9, (3, 4, 5), np.int32)
    for axes in (None, 0, -1, (0, 2), (1, 1)):
        oracle.check(getattr(fft, name), getattr(jnp.fft, name), x, axes=axes)


def test_errors_explain() -> None:
    z = np.zeros(4, np.complex64)
    with pytest.raises(DTypeError, match="rfft transforms real arrays; got c64"):
        fft.rfft(z)
    with pytest.raises(ValueError, match="norm must be None, 'backward', 'ortho' or 'forward'; got 'half'"):
        fft.fft(z, norm="half")
    with pytest.raises(ValueError, match="one axis"):
        fft.fft(z, axis=(0,))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be positive"):
        fft.fft(z, n=0)
    with pytest.raises(ValueError, match="as many lengths"):
        fft.fftn(z, s=(2, 2), axes=(0,))
    with pytest.raises(TypeError, match="fft"):
        fft.fft([1, 2])
