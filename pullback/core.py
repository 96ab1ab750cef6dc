"""The types behind traced functions."""

from ._src.core.aval import ShapedArray
from ._src.core.primitive import Primitive
from ._src.core.program import Literal, Program, Var
from ._src.core.trace import Tracer

__all__ = ["Literal", "Primitive", "Program", "ShapedArray", "Tracer", "Var"]
