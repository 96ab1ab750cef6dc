"""Discrete Fourier transforms."""

from .._src.lib.numpy.fft import *

__all__ = [name for name in dir() if not name.startswith("_")]
