"""Special functions with derivatives."""

from ..._src.lib.scipy.special import *
