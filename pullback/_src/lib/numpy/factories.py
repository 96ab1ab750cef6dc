"""Makers of elementwise functions, with a short cut for concrete operands.

In un-jitted code most of the time of a small operation is Python. A function made here goes straight to the
primitive's kernel when its operands are concrete arrays that need no promotion; everything else takes the
general way: promotion, then the primitive under the current trace.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.array import Array, ConcreteArray
from ...core.aval import ShapedArray, shaped_array
from ...core.engine import kernels, quiet
from ...core.kinds import kind
from ...core.primitive import Primitive
from ...core.trace import CURRENT
from .promotion import check_rank_promotion, promote, promote_inexact, rank_promotion_is_checked, strengthen

Unary = Callable[[Any], Array]
Binary = Callable[[Any, Any], Array]

_current = CURRENT.get


def _named(function: Any, name: str, doc: str) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    function.__module__ = "pullback.numpy"
    return function


def unary_inexact(name: str, primitive: Primitive, doc: str, *, strong: bool = False) -> Unary:
    """The function of floating-point or complex numbers that applies `primitive`; integers become floats.

    With `strong` no result is weakly typed.
    """

    def function(x: Any, /) -> Any:
        if type(x) is ConcreteArray and _current().eager:
            aval = x.aval
            if aval.tangent is aval and not (strong and aval.weak_type):  # an inexact dtype
                try:
                    return ConcreteArray(quiet.context.run(kernels[primitive], x._data), aval)
                except Exception:  # the general way knows the better error
                    pass
        out = primitive.bind(*promote_inexact(name, x))
        return strengthen(out) if strong else out

    return _named(function, name, doc)


def unary(name: str, general: Unary, doc: str, primitive: Primitive | None = None, kinds: str = "") -> Unary:
    """The function of one array or number that `general` computes from an `Array`.

    For dtypes of `kinds` it is `primitive`, whose result has the operand's type.
    """

    def function(x: Any, /) -> Any:
        if type(x) is ConcreteArray and _current().eager:
            aval = x.aval
            if kind(aval.dtype) in kinds:
                try:
                    return ConcreteArray(quiet.context.run(kernels[primitive], x._data), aval)  # type: ignore[index]  # there are kinds
                except Exception:  # the general way knows the better error
                    pass
        return general(x if isinstance(x, Array) else promote(name, x)[0])

    return _named(function, name, doc)


def binary(
    name: str,
    primitive: Primitive,
    doc: str,
    *,
    kinds: str = "iufc",
    inexact: bool = False,
    compares: bool = False,
    general: Binary | None = None,
) -> Binary:
    """The function of two arrays or numbers that promotes them and applies `primitive`.

    Args:
        name: the function's name.
        primitive: the operation on operands of one dtype.
        doc: the docstring.
        kinds: kinds of dtypes for which `primitive` alone gives the result; `general` does all others.
        inexact: whether integers become floats.
        compares: whether the result is bool (and so never weakly typed).
        general: the function of any operands (default: promotion, then `primitive`).
    """
    promoted = promote_inexact if inexact else promote

    def bound(x: Any, y: Any) -> Any:
        x, y = promoted(name, x, y)
        if rank_promotion_is_checked():
            check_rank_promotion(name, x.aval.shape, y.aval.shape)
        return primitive.bind(x, y)

    otherwise = bound if general is None else general
    # Kinds of arrays in which a Python number stays a number of the array's dtype.
    with_float = "".join(k for k in kinds if k in "fc")
    with_int = "".join(k for k in kinds if k in "iufc")

    def function(x: Any, y: Any, /) -> Any:
        if type(x) is ConcreteArray and _current().eager:
            a: ShapedArray = x.aval
            if type(y) is ConcreteArray:
                b: ShapedArray = y.aval
                if (
                    a.dtype is b.dtype
                    and (a.ndim == b.ndim or not a.ndim or not b.ndim)
                    and kind(a.dtype) in kinds
                ):
                    try:
                        data = quiet.context.run(kernels[primitive], x._data, y._data)
                    except Exception:  # the general way knows the better error
                        return otherwise(x, y)
                    if a is b and not compares and data.shape == a.shape:
                        return ConcreteArray(data, a)
                    weak = a.weak_type and b.weak_type and not compares
                    return ConcreteArray(data, shaped_array(data.shape, data.dtype, weak))
            elif a.dtype.isbuiltin == 1 and (
                (type(y) is float and a.dtype.kind in with_float)
                or (type(y) is int and a.dtype.kind in with_int)
            ):
                try:
                    data = quiet.context.run(kernels[primitive], x._data, y)
                except Exception:  # an integer out of range, for example
                    return otherwise(x, y)
                return ConcreteArray(data, shaped_array(a.shape, data.dtype) if compares else a)
        return otherwise(x, y)

    return _named(function, name, doc)
