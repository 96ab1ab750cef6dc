"""Initial values of weights."""

from ..._src.lib.nn.initializers import *
