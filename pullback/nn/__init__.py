"""Functions of neural networks: activations, normalization, attention, initializers."""

from .._src.lib.nn.activations import *
from .._src.lib.nn.attention import *
from .._src.lib.nn.normalization import *
from . import initializers as initializers

__all__ = [name for name in dir() if not name.startswith("_")]
