"""Operations that do not promote dtypes, and control flow: the layer below `pullback.numpy`."""

from pullback._src.api.misc import stop_gradient as stop_gradient
from pullback._src.control.cond import *
from pullback._src.control.linear_solve import *
from pullback._src.control.map import *
from pullback._src.control.reduce import *
from pullback._src.control.root import *
from pullback._src.control.scan import *
from pullback._src.control.while_loop import *
from pullback._src.lib.numpy.creation import full_like as full_like
from pullback._src.lib.numpy.manipulation import broadcast_shapes as broadcast_shapes
from pullback._src.ops.arithmetic import *
from pullback._src.ops.collective import *
from pullback._src.ops.compare import *
from pullback._src.ops.complex import *
from pullback._src.ops.conv import *
from pullback._src.ops.conv_shapes import *
from pullback._src.ops.convert import *
from pullback._src.ops.cumulative import *
from pullback._src.ops.dot import *
from pullback._src.ops.fft import *
from pullback._src.ops.gather import *
from pullback._src.ops.iota import *
from pullback._src.ops.joining import *
from pullback._src.ops.reduction import *
from pullback._src.ops.scatter import *
from pullback._src.ops.slicing import *
from pullback._src.ops.sort import *
from pullback._src.ops.special import *
from pullback._src.ops.structural import *
from pullback._src.ops.transcendental import *

from . import linalg  # noqa: F401 - a sub-module

__all__ = [name for name in dir() if not name.startswith("_")]
