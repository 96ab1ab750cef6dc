"""The operators of arrays, with a short cut for concrete operands.

In un-jitted code most of the time of a small operation is Python. So `x + y` on concrete arrays of one
dtype, or with a Python number, goes straight to the NumPy ufunc: NumPy's own promotion (NEP 50) agrees
with the library's there. Everything else takes the general way: promotion, then the primitive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...base.errors import DTypeError
from ...core import dtypes
from ...core.array import Array, ConcreteArray, scalar
from ...core.aval import ShapedArray, shaped_array
from ...core.engine import quietly
from ...core.kinds import kind
from ...core.primitive import Primitive
from ...core.trace import CURRENT
from ...ops import arithmetic as ar
from ...ops import compare as cmp
from ...ops.complex import neg_p
from ...ops.convert import convert_element_type
from ...ops.structural import full
from . import promotion
from .promotion import check_arraylike, is_arraylike, promote, promote_inexact, strengthen

Binary = Callable[[Any, Any], Any]

_current = CURRENT.get
_COMMON = (Array, float, int)


def _short_cut(
    ufunc: np.ufunc,
    primitive: Primitive | None,
    general: Binary,
    array_kinds: str,
    int_kinds: str,
    result_bool: bool,
) -> Binary:
    """An operator: on operands that need no promotion `ufunc` (if concrete) or `primitive`, else `general`.

    `array_kinds`: dtypes for which NumPy's and the library's result dtypes agree; `int_kinds`: those
    among them in which a Python int stays a weakly typed number.
    """
    number_kinds = {float: "fc" if "f" in array_kinds else "", int: int_kinds}
    bind = general if primitive is None else primitive.bind

    def operator(self: Any, other: Any) -> Any:
        a: ShapedArray = self.aval
        concrete = type(self) is ConcreteArray and _current().eager
        if isinstance(other, Array):
            b: ShapedArray = other.aval
            if a.dtype is b.dtype and kind(a.dtype) in array_kinds:
                if concrete and type(other) is ConcreteArray:
                    try:
                        data = quietly(ufunc, self._data, other._data, out=...)
                    except ValueError:
                        return general(self, other)  # shapes that do not fit: its error says more
                    if a is b and not result_bool and data.shape == a.shape:
                        return ConcreteArray(data, a)
                    weak = a.weak_type and b.weak_type and not result_bool
                    return ConcreteArray(data, shaped_array(data.shape, data.dtype, weak))
                if a.ndim == b.ndim or not a.ndim or not b.ndim:
                    return bind(self, other)
        else:
            kinds = number_kinds.get(type(other))
            if kinds is not None and kind(a.dtype) in kinds and a.dtype.isbuiltin == 1:
                try:
                    if not concrete:
                        return bind(self, scalar(other, a.dtype))
                    data = quietly(ufunc, self._data, other, out=...)
                except OverflowError:
                    return general(self, other)
                if result_bool:
                    return ConcreteArray(data, shaped_array(a.shape, data.dtype))
                return ConcreteArray(data, a)
        if not isinstance(other, _COMMON) and not is_arraylike(other):
            if result_bool and isinstance(other, (list, tuple)):
                # Python would answer `array == [1, 2]` with False, which hides a mistake.
                check_arraylike(ufunc.__name__, self, other)
            return NotImplemented
        return general(self, other)

    return operator


def _reflected(operator: Binary) -> Binary:
    """`other op self`; concrete arrays need no short cut of their own here but for Python numbers."""

    def reflected(self: Any, other: Any) -> Any:
        if not is_arraylike(other):
            return NotImplemented
        return operator(other, self)

    return reflected


def _number_first(
    ufunc: np.ufunc, primitive: Primitive, general: Binary, kinds: str, int_kinds: str
) -> Binary:
    """`number op array` with the same short cut."""

    def reflected(self: Any, other: Any) -> Any:
        a: ShapedArray = self.aval
        allowed = kinds if type(other) is float else int_kinds if type(other) is int else ""
        if allowed and kind(a.dtype) in allowed and a.dtype.isbuiltin == 1:
            try:
                if type(self) is ConcreteArray and _current().eager:
                    return ConcreteArray(quietly(ufunc, other, self._data, out=...), a)
                return primitive.bind(scalar(other, a.dtype), self)
            except OverflowError:
                return general(other, self)
        if not is_arraylike(other):
            return NotImplemented
        return general(other, self)

    return reflected


def _binary(name: str, primitive: Any, logical: Any = None) -> Binary:
    """The function of any operands; `logical`, where given, takes the place of `primitive` on two bools."""

    def function(x: Any, y: Any) -> Any:
        if not (isinstance(x, Array) and isinstance(y, Array) and x.aval.dtype is y.aval.dtype):
            x, y = promote(name, x, y)
        if logical is not None and x.aval.dtype.kind == "b":
            return logical.bind(x, y)
        if promotion.rank_promotion_is_checked():
            promotion.check_rank_promotion(name, x.aval.shape, y.aval.shape)
        return primitive.bind(x, y)

    return function


add = _binary("add", ar.add_p, ar.or_p)
multiply = _binary("multiply", ar.mul_p, ar.and_p)
subtract = _binary("subtract", ar.sub_p)


def divide(x: Any, y: Any) -> Any:
    x, y = promote_inexact("divide", x, y)
    if promotion.rank_promotion_is_checked():
        promotion.check_rank_promotion("divide", x.aval.shape, y.aval.shape)
    return ar.div_p.bind(x, y)


def _promote_numbers(name: str, x: Any, y: Any) -> list[Any]:
    """`promote`, with bools as integers."""
    x, y = promote(name, x, y)
    if x.aval.dtype.kind == "b":
        dtype = dtypes.default_int_dtype()
        return [convert_element_type(x, dtype), convert_element_type(y, dtype)]
    return [x, y]


def floor_divide(x: Any, y: Any) -> Any:
    """The largest integer not above x / y."""
    x, y = _promote_numbers("floor_divide", x, y)
    letter = kind(x.aval.dtype)
    if letter == "u":
        return ar.div_p.bind(x, y)
    zero = scalar(0, x.aval.dtype)
    if letter == "i":
        quotient = ar.div_p.bind(x, y)
        remainder = ar.rem_p.bind(x, y)
        adjust = ar.and_p.bind(
            cmp.ne_p.bind(remainder, zero), cmp.ne_p.bind(ar.sign_p.bind(x), ar.sign_p.bind(y))
        )
        return cmp.select_n_p.bind(adjust, quotient, ar.sub_p.bind(quotient, scalar(1, x.aval.dtype)))
    if letter == "c":
        raise DTypeError("floor_divide does not accept complex numbers, which have no order")
    # floor(x / y) would be one too large where x / y rounds up to an integer. The quotient of x minus its
    # remainder is exact up to rounding, where both are finite.
    remainder = ar.rem_p.bind(x, y)
    quotient = ar.div_p.bind(ar.sub_p.bind(x, remainder), y)
    adjust = ar.and_p.bind(
        cmp.ne_p.bind(remainder, zero), cmp.ne_p.bind(cmp.lt_p.bind(remainder, zero), cmp.lt_p.bind(y, zero))
    )
    quotient = cmp.select_n_p.bind(adjust, quotient, ar.sub_p.bind(quotient, scalar(1, x.aval.dtype)))
    quotient = ar.round_p.bind(quotient, rounding_method=0)
    return cmp.select_n_p.bind(cmp.eq_p.bind(y, zero), quotient, ar.div_p.bind(x, y))


def remainder_of(x: Any, y: Any) -> Any:
    """The remainder of x / y with the sign of y (as `%` in Python); 0 for integers and y = 0."""
    x, y = _promote_numbers("remainder", x, y)
    letter = kind(x.aval.dtype)
    if letter not in "iuf":
        raise DTypeError(f"remainder does not accept dtype {x.dtype}")
    remainder = ar.rem_p.bind(x, y)
    zero = scalar(0, x.aval.dtype)
    if letter != "f":
        remainder = cmp.select_n_p.bind(cmp.eq_p.bind(y, zero), remainder, zero)
        if letter == "u":
            return remainder
    differs = cmp.ne_p.bind(cmp.lt_p.bind(remainder, zero), cmp.lt_p.bind(y, zero))
    adjust = ar.and_p.bind(differs, cmp.ne_p.bind(remainder, zero))
    return cmp.select_n_p.bind(adjust, remainder, ar.add_p.bind(remainder, y))


def divmod_(x: Any, y: Any) -> tuple[Any, Any]:
    return floor_divide(x, y), remainder_of(x, y)


def power(x: Any, y: Any) -> Any:
    """x ** y; a Python int or a concrete integer scalar as exponent means repeated multiplication."""
    check_arraylike("power", x, y)
    static = None
    if type(y) is ConcreteArray:
        if y.aval.ndim == 0 and kind(y.aval.dtype) in "iu":
            static = int(y._data)
    elif (isinstance(y, int) and not isinstance(y, bool)) or isinstance(y, np.integer):
        static = int(y)
    if static is not None:
        x = promotion.asarray(x)
        if isinstance(y, (Array, np.integer)):
            # The exponent's dtype takes part in the promotion of integers.
            x = x if kind(x.aval.dtype) in "fc" else promote("power", x, y)[0]
        elif x.aval.dtype.kind == "b":
            x = convert_element_type(x, dtypes.default_int_dtype())
        if static == 0:
            return full(x.aval.shape, 1, x.aval.dtype)
        return ar.integer_pow(x, static)
    if not promotion.is_number(y) and kind((exponent := promotion.asarray(y)).aval.dtype) in "iu":
        base = promotion.asarray(x)
        if kind(base.aval.dtype) in "fc":
            return ar.pow_p.bind(strengthen(base), exponent)
    return ar.pow_p.bind(*_promote_numbers("power", x, y))


_comparisons = {
    "__eq__": (np.equal, cmp.eq_p, "equal"),
    "__ne__": (np.not_equal, cmp.ne_p, "not_equal"),
    "__lt__": (np.less, cmp.lt_p, "less"),
    "__le__": (np.less_equal, cmp.le_p, "less_equal"),
    "__gt__": (np.greater, cmp.gt_p, "greater"),
    "__ge__": (np.greater_equal, cmp.ge_p, "greater_equal"),
}


def comparison(name: str, primitive: Any, ufunc: np.ufunc) -> Binary:
    """A comparison of any operands; with Python integers beyond the dtype's range too."""
    general = _binary(name, primitive)

    def function(x: Any, y: Any) -> Any:
        try:
            return general(x, y)
        except OverflowError:
            # Every number of the dtype lies on the same side of such an integer as 0 does.
            if type(y) is int and isinstance(x, Array):
                return full(x.aval.shape, bool(ufunc(0, y)), np.dtype(np.bool_))
            if type(x) is int and isinstance(y, Array):
                return full(y.aval.shape, bool(ufunc(x, 0)), np.dtype(np.bool_))
            raise

    return function


_bitwise = {
    "and": (np.bitwise_and, ar.and_p, "bitwise_and"),
    "or": (np.bitwise_or, ar.or_p, "bitwise_or"),
    "xor": (np.bitwise_xor, ar.xor_p, "bitwise_xor"),
}


def right_shift(x: Any, y: Any) -> Any:
    x, y = _promote_numbers("right_shift", x, y)
    primitive = ar.shift_right_logical_p if kind(x.aval.dtype) == "u" else ar.shift_right_arithmetic_p
    return primitive.bind(x, y)


def left_shift(x: Any, y: Any) -> Any:
    return ar.shift_left_p.bind(*_promote_numbers("left_shift", x, y))


def _negative(self: Any) -> Any:
    if type(self) is ConcreteArray and _current().eager and kind(self.aval.dtype) in "ifc":
        return ConcreteArray(np.negative(self._data, out=...), self.aval)
    return neg_p.bind(self)


def _invert(self: Any) -> Any:
    return ar.not_p.bind(self)


def _abs(self: Any) -> Any:
    return self if self.aval.dtype.kind == "b" else ar.abs_p.bind(self)


def _power_operator(self: Any, other: Any) -> Any:
    if other.__class__ is int and other == 2 and kind(self.aval.dtype) in "ifc":
        if type(self) is ConcreteArray and _current().eager:
            return ConcreteArray(quietly(np.square, self._data, out=...), self.aval)
        return ar.square_p.bind(self)
    if not is_arraylike(other):
        return NotImplemented
    return power(self, other)


def _methods() -> dict[str, Any]:
    add_op = _short_cut(np.add, ar.add_p, add, "iufc", "iufc", False)
    mul_op = _short_cut(np.multiply, ar.mul_p, multiply, "iufc", "iufc", False)
    table: dict[str, Any] = {
        "__add__": add_op,
        "__radd__": _number_first(np.add, ar.add_p, add, "fc", "iufc"),
        "__sub__": _short_cut(np.subtract, ar.sub_p, subtract, "iufc", "iufc", False),
        "__rsub__": _number_first(np.subtract, ar.sub_p, subtract, "fc", "iufc"),
        "__mul__": mul_op,
        "__rmul__": _number_first(np.multiply, ar.mul_p, multiply, "fc", "iufc"),
        "__truediv__": _short_cut(np.divide, ar.div_p, divide, "fc", "fc", False),
        "__rtruediv__": _number_first(np.divide, ar.div_p, divide, "fc", "fc"),
        "__floordiv__": _short_cut(np.floor_divide, None, floor_divide, "f", "f", False),
        "__rfloordiv__": _reflected(floor_divide),
        "__mod__": _short_cut(np.remainder, None, remainder_of, "f", "f", False),
        "__rmod__": _reflected(remainder_of),
        "__divmod__": _general(divmod_),
        "__rdivmod__": _reflected(divmod_),
        "__pow__": _power_operator,
        "__rpow__": _reflected(power),
        "__lshift__": _general(left_shift),
        "__rlshift__": _reflected(left_shift),
        "__rshift__": _general(right_shift),
        "__rrshift__": _reflected(right_shift),
        "__neg__": _negative,
        "__pos__": lambda self: self,
        "__abs__": _abs,
        "__invert__": _invert,
    }
    ufunc: np.ufunc
    for method, (ufunc, primitive, name) in _comparisons.items():
        # Complex numbers compare lexicographically in both; integers beyond the dtype need the general way.
        table[method] = _short_cut(ufunc, primitive, comparison(name, primitive, ufunc), "biuf", "if", True)
    for word, (ufunc, primitive, name) in _bitwise.items():
        general = _binary(name, primitive)
        table[f"__{word}__"] = _short_cut(ufunc, primitive, general, "biu", "iu", False)
        table[f"__r{word}__"] = _reflected(general)
    return table


def _general(function: Binary) -> Binary:
    def operator(self: Any, other: Any) -> Any:
        if not is_arraylike(other):
            return NotImplemented
        return function(self, other)

    return operator


METHODS = _methods()
