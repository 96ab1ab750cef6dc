"""Discrete Fourier transforms."""

from .._src.lib.numpy.fft import *
