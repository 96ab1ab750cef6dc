"""Elementwise arithmetic: + - * / rem, extrema, rounding, powers (and the logarithm they need), bits."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base.errors import DTypeError
from ..core import dtypes, rules
from ..core.array import Array, ConcreteArray, as_array, scalar
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.kinds import kind
from ..core.primitive import Primitive
from .compare import eq_p, ge_p, gt_p, lt_p, select_n_p
from .complex import conj_p, neg_p, real_p
from .convert import convert_element_type
from .families import (
    REAL,
    batch_broadcasting,
    binary,
    broadcast_shapes,
    check_kind,
    define_jvp,
    elementwise,
    operands,
    result_weak,
    unary,
    unbroadcast,
)
from .structural import broadcast_to, full, linear_coefficient, product_coefficient

__all__ = [
    "abs",
    "add",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "ceil",
    "clamp",
    "clz",
    "div",
    "floor",
    "integer_pow",
    "is_finite",
    "log",
    "max",
    "min",
    "mul",
    "nextafter",
    "population_count",
    "pow",
    "rem",
    "round",
    "shift_left",
    "shift_right_arithmetic",
    "shift_right_logical",
    "sign",
    "square",
    "sub",
]

Linear = rules.Linear


def _like(x: Any, value: int | float) -> Any:
    """A scalar constant of x's dtype."""
    return scalar(value, x.aval.dtype)


# add, sub, mul, div -------------------------------------------------------------------------------

add_p = elementwise("add", lambda t, ans, x, y: t, lambda t, ans, x, y: t, accepts="iufc")
sub_p = elementwise("sub", lambda t, ans, x, y: t, lambda t, ans, x, y: neg_p.bind(t), accepts="iufc")
mul_p: Primitive = elementwise(
    "mul", lambda t, ans, x, y: mul_p.bind(t, y), lambda t, ans, x, y: mul_p.bind(x, t), accepts="iufc"
)
div_p: Primitive = elementwise(
    "div",
    lambda t, ans, x, y: div_p.bind(t, y),
    lambda t, ans, x, y: mul_p.bind(neg_p.bind(div_p.bind(ans, y)), t),
    accepts="iufc",
)


def _add_transpose(ct: Any, x: Any, y: Any) -> list[Any]:
    return [
        unbroadcast(ct, x.aval) if type(x) is Linear else None,
        unbroadcast(ct, y.aval) if type(y) is Linear else None,
    ]


def _sub_transpose(ct: Any, x: Any, y: Any) -> list[Any]:
    return [
        unbroadcast(ct, x.aval) if type(x) is Linear else None,
        unbroadcast(neg_p.bind(ct), y.aval) if type(y) is Linear else None,
    ]


def _mul_transpose(ct: Any, x: Any, y: Any) -> list[Any]:
    if type(x) is Linear:
        return [unbroadcast(mul_p.bind(ct, y), x.aval), None]
    return [None, unbroadcast(mul_p.bind(x, ct), y.aval)]


_div_by_operands = rules.jvp[div_p]


def _div_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """(dx - (x / y) dy) / y: one division for both tangents, and for both cotangents."""
    x, y = primals
    dx, dy = tangents
    if type(dx) is Zero or type(dy) is Zero:
        return _div_by_operands(primals, tangents)
    ans = div_p.bind(x, y)
    return ans, div_p.bind(sub_p.bind(dx, mul_p.bind(ans, dy)), y)


rules.jvp[div_p] = _div_jvp
rules.transpose[add_p] = _add_transpose
rules.transpose[sub_p] = _sub_transpose
rules.transpose[mul_p] = _mul_transpose
rules.transpose[div_p] = lambda ct, x, y: [unbroadcast(div_p.bind(ct, y), x.aval), None]


def _sum_coefficient(primitive: Primitive) -> rules.Rule:
    both = linear_coefficient(primitive)

    def rule(k: int, out: Sequence[Any], args: Sequence[Any]) -> Any:
        (x, y), shape = (a[k] for a in args), out[0].aval.shape
        if type(y) is Zero and type(x) is not Zero:
            return broadcast_to(x, shape)
        if type(x) is Zero and type(y) is not Zero:
            return broadcast_to(neg_p.bind(y) if primitive is sub_p else y, shape)
        return both(k, out, args)

    return rule


def _quotient_coefficient(k: int, out: Sequence[Any], args: Sequence[Any]) -> Any:
    # From z y = x: z_k = (x_k - sum of z_(k-j) y_j over j > 0) / y_0.
    x, y = args
    total = x[k]
    for j in range(1, k + 1):
        if type(y[j]) is not Zero and type(out[k - j]) is not Zero:
            term = mul_p.bind(out[k - j], y[j])
            total = neg_p.bind(term) if type(total) is Zero else sub_p.bind(total, term)
    return Zero(out[0].aval.tangent) if type(total) is Zero else div_p.bind(total, y[0])


rules.coefficient[add_p] = _sum_coefficient(add_p)
rules.coefficient[sub_p] = _sum_coefficient(sub_p)
rules.coefficient[mul_p] = product_coefficient(mul_p)
rules.coefficient[div_p] = _quotient_coefficient


def add(x: Any, y: Any) -> Array:
    """x + y, for operands of one dtype."""
    return binary(add_p, x, y)


def sub(x: Any, y: Any) -> Array:
    """x - y, for operands of one dtype."""
    return binary(sub_p, x, y)


def mul(x: Any, y: Any) -> Array:
    """x * y, for operands of one dtype."""
    return binary(mul_p, x, y)


def div(x: Any, y: Any) -> Array:
    """x / y, for operands of one dtype (integers truncate towards zero)."""
    return binary(div_p, x, y)


# rem ----------------------------------------------------------------------------------------------

rem_p = elementwise(
    "rem",
    lambda t, ans, x, y: t,
    lambda t, ans, x, y: mul_p.bind(neg_p.bind(t), _truncate(div_p.bind(x, y))),
    accepts="iuf",
)


def _truncate(x: Any) -> Any:
    return select_n_p.bind(lt_p.bind(x, _like(x, 0)), floor_p.bind(x), ceil_p.bind(x))


def rem(x: Any, y: Any) -> Array:
    """The remainder of x / y with the sign of x."""
    return binary(rem_p, x, y)


# max, min -----------------------------------------------------------------------------------------


def _extremum_partial(t: Any, ans: Any, this: Any, other: Any) -> Any:
    """t where `this` is the extremum; half of it where both are equal."""
    is_this = eq_p.bind(this, ans)
    both = eq_p.bind(this, other)
    weight = select_n_p.bind(is_this, _like(ans, 0), select_n_p.bind(both, _like(ans, 1), _like(ans, 0.5)))
    return mul_p.bind(t, weight)


max_p = elementwise(
    "max",
    _extremum_partial,
    lambda t, ans, x, y: _extremum_partial(t, ans, y, x),
    accepts="biufc",
)
min_p = elementwise(
    "min",
    _extremum_partial,
    lambda t, ans, x, y: _extremum_partial(t, ans, y, x),
    accepts="biufc",
)


def max(x: Any, y: Any) -> Array:
    """The elementwise maximum; NaN where either operand is NaN."""
    return binary(max_p, x, y)


def min(x: Any, y: Any) -> Array:
    """The elementwise minimum; NaN where either operand is NaN."""
    return binary(min_p, x, y)


# max(x, 0) as activation functions want it: its derivative is 0 at 0 and at NaN.
relu_p = elementwise("relu", lambda t, ans, x: _where(gt_p.bind(x, _like(x, 0)), t), accepts="biuf")


# clamp --------------------------------------------------------------------------------------------

clamp_p = Primitive("clamp", elementwise=True)


def clamp(min: Any, x: Any, max: Any) -> Array:
    """x limited to [min, max], for operands of one real dtype."""
    low, x, high = operands("clamp", min, x, max)
    check_kind("clamp", x.aval.dtype, REAL)
    return clamp_p.bind(low, x, high)


def _clamp_abstract(low: ShapedArray, x: ShapedArray, high: ShapedArray) -> ShapedArray:
    check_kind("clamp", x.dtype, REAL)
    if low.dtype != x.dtype or high.dtype != x.dtype:
        raise DTypeError(f"clamp expects operands of one dtype; got {low.dtype}, {x.dtype}, {high.dtype}")
    shape = broadcast_shapes("clamp", low.shape, x.shape, high.shape)
    return shaped_array(shape, x.dtype, result_weak((low, x, high)))


rules.abstract[clamp_p] = _clamp_abstract
define_jvp(
    clamp_p,
    lambda t, ans, low, x, high: _where(gt_p.bind(low, x), t),
    lambda t, ans, low, x, high: _where_inside(low, x, high, t),
    lambda t, ans, low, x, high: _where(gt_p.bind(x, high), t),
)
rules.batch[clamp_p] = lambda axis, values, dims: batch_broadcasting(clamp_p, values, dims, {})


def _where(condition: Any, t: Any) -> Any:
    return select_n_p.bind(condition, scalar(0, t.aval.dtype), t)


def _where_inside(low: Any, x: Any, high: Any, t: Any) -> Any:
    inside = and_p.bind(gt_p.bind(x, low), lt_p.bind(x, high))
    return _where(inside, t)


# sign, abs, rounding ------------------------------------------------------------------------------

sign_p = elementwise("sign", None, accepts="iufc")
floor_p = elementwise("floor", None, accepts="f")
ceil_p = elementwise("ceil", None, accepts="f")
round_p = elementwise("round", None, accepts="f")
is_finite_p = elementwise("is_finite", None, accepts="f", result=lambda _: np.dtype(np.bool_))
rules.abstract[is_finite_p] = lambda x: shaped_array(x.shape, np.dtype(np.bool_))
nextafter_p = elementwise("nextafter", None, None, accepts="f")


def sign(x: Any) -> Array:
    """-1, 0 or 1 (for complex x: x / |x|)."""
    return unary(sign_p, x)


def floor(x: Any) -> Array:
    """The largest integer that is not greater than x."""
    return unary(floor_p, x)


def ceil(x: Any) -> Array:
    """The smallest integer that is not less than x."""
    return unary(ceil_p, x)


def round(x: Any, rounding_method: int = 0) -> Array:
    """The nearest integer; halves away from zero (method 0) or to even (method 1)."""
    return unary(round_p, x, rounding_method=int(rounding_method))


def is_finite(x: Any) -> Array:
    """Whether x is neither infinite nor NaN."""
    return unary(is_finite_p, x)


def nextafter(x1: Any, x2: Any) -> Array:
    """The next representable number after x1 in the direction of x2."""
    return binary(nextafter_p, x1, x2)


def _abs_abstract(x: ShapedArray) -> ShapedArray:
    check_kind("abs", x.dtype, "iufc")
    return shaped_array(x.shape, dtypes.to_real_dtype(x.dtype), x.weak_type) if kind(x.dtype) == "c" else x


def _abs_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    (x,), (t,) = primals, tangents
    ans = abs_p.bind(x)
    if type(t) is Zero:
        return ans, Zero(ans.aval.tangent)
    if kind(x.aval.dtype) == "c":
        # d|z| = Re(conj(z) dz) / |z|, and zero at z = 0.
        at_zero = eq_p.bind(ans, _like(ans, 0))
        size = select_n_p.bind(at_zero, ans, full((), 1, ans.aval.dtype))
        direction = div_p.bind(conj_p.bind(x), convert_element_type(size, x.aval.dtype))
        return ans, real_p.bind(mul_p.bind(t, direction))
    # At zero the derivative from the right.
    direction = select_n_p.bind(
        ge_p.bind(x, _like(x, 0)), full((), -1, x.aval.dtype), full((), 1, x.aval.dtype)
    )
    return ans, mul_p.bind(t, direction)


abs_p = elementwise("abs", None, accepts="iufc")
rules.abstract[abs_p] = _abs_abstract
rules.jvp[abs_p] = _abs_jvp


def abs(x: Any) -> Array:
    """|x|."""
    return unary(abs_p, x)


# powers -------------------------------------------------------------------------------------------


def _integer_pow_partial(t: Any, ans: Any, x: Any, *, y: int) -> Any:
    if y == 0:
        return Zero(ans.aval)
    return mul_p.bind(t, mul_p.bind(_like(x, y), integer_pow(x, y - 1)))


integer_pow_p = elementwise("integer_pow", _integer_pow_partial, accepts="iufc")
square_p = elementwise("square", lambda t, ans, x: mul_p.bind(t, mul_p.bind(_like(x, 2), x)), accepts="iufc")


def integer_pow(x: Any, y: int) -> Array:
    """x to a fixed integer power, by repeated multiplication."""
    x = as_array(x, name="integer_pow")
    y = operator.index(y)
    if y == 1:
        return x
    if y == 2:
        return square_p.bind(x)
    if y < 0 and kind(x.aval.dtype) in "iu":
        raise DTypeError(
            f"integer_pow: integers ({x.aval.str_short()}) have no negative powers ({y}); "
            "convert to a float dtype"
        )
    return integer_pow_p.bind(x, y=y)


def square(x: Any) -> Array:
    """x * x."""
    return unary(square_p, x)


def _integer_pow_jet(order: int, values: Sequence[Any], terms: Sequence[Any], *, y: int) -> tuple[Any, Any]:
    """By squaring and multiplying series; a negative power is the reciprocal of a positive one."""
    (x,), (given,) = values, terms
    ans = integer_pow_p.bind(x, y=y)
    if y == 0 or given is None:
        return ans, None
    square, power = [x, *given], None
    rest = operator.index(y) if y > 0 else -y
    while rest:
        if rest & 1:
            power = square if power is None else _product(order, power, square)
        rest >>= 1
        if rest:
            square = _product(order, square, square)
    if y < 0:
        one = [full((), 1, x.aval.dtype)] + [Zero(x.aval)] * order
        quotient = [ans]
        for k in range(1, order + 1):
            quotient.append(_quotient_coefficient(k, quotient, (one, power)))
        power = quotient
    assert power is not None
    return ans, power[1:]


def _product(order: int, x: Sequence[Any], y: Sequence[Any]) -> list[Any]:
    out: list[Any] = [mul_p.bind(x[0], y[0])]
    return out + [rules.coefficient[mul_p](k, out, (x, y)) for k in range(1, order + 1)]


rules.jet[integer_pow_p] = _integer_pow_jet


log_p = elementwise("log", lambda t, ans, x: div_p.bind(t, x))


def log(x: Any) -> Array:
    """The natural logarithm (for complex x: the principal branch)."""
    return unary(log_p, x)


pow_p = Primitive("pow", elementwise=True)


def pow(x: Any, y: Any) -> Array:
    """x to the power y. The exponent may be of an integer dtype; otherwise the dtypes agree."""
    if isinstance(y, int) and not isinstance(y, bool):
        return integer_pow(x, y)
    x_is_array = isinstance(x, (Array, np.ndarray, np.generic))
    if x_is_array and isinstance(y, (Array, np.ndarray, np.generic)):
        x, y = as_array(x), as_array(y)
        if kind(y.aval.dtype) not in "iu":
            x, y = operands("pow", x, y)
    else:
        x, y = operands("pow", x, y)
    return pow_p.bind(x, y)


def _pow_abstract(x: ShapedArray, y: ShapedArray) -> ShapedArray:
    check_kind("pow", x.dtype, "iufc" if kind(y.dtype) in "iu" else "fc")
    if kind(y.dtype) not in "iu" and x.dtype != y.dtype:
        raise DTypeError(
            f"pow expects operands of one dtype or an integer exponent; got {x.dtype} and {y.dtype}"
        )
    weak = x.weak_type and (y.weak_type or kind(y.dtype) in "iu")
    return shaped_array(broadcast_shapes("pow", x.shape, y.shape), x.dtype, weak)


def _pow_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    x, y = primals
    tx, ty = tangents
    ans = pow_p.bind(x, y)
    total = None
    if type(tx) is not Zero:
        # y x^(y-1), and exactly zero for y = 0, where x^(y-1) may be infinite.
        if type(y) is ConcreteArray and not y.aval.shape:  # engines know the powers of some numbers better
            less = full((), y._data - 1 if y._data else 1, y.aval.dtype)
        else:
            is_zero = eq_p.bind(y, _like(y, 0))
            less = select_n_p.bind(is_zero, sub_p.bind(y, _like(y, 1)), full((), 1, y.aval.dtype))
        factor = mul_p.bind(convert_element_type(y, x.aval.dtype), pow_p.bind(x, less))
        total = mul_p.bind(tx, factor)
    if type(ty) is not Zero:
        # x^y log x; at x = 0 the limit for y > 0 is zero.
        at_zero = eq_p.bind(x, _like(x, 0))
        safe = select_n_p.bind(at_zero, x, full((), 1, x.aval.dtype))
        term = mul_p.bind(ty, mul_p.bind(ans, log_p.bind(safe)))
        total = term if total is None else add_p.bind(total, term)
    if total is None:
        return ans, Zero(ans.aval.tangent)
    return ans, total if total.aval.shape == ans.aval.shape else broadcast_to(total, ans.aval.shape)


rules.abstract[pow_p] = _pow_abstract
rules.jvp[pow_p] = _pow_jvp
rules.batch[pow_p] = lambda axis, values, dims: batch_broadcasting(pow_p, values, dims, {})

# bits ---------------------------------------------------------------------------------------------

not_p = elementwise("not", None, accepts="iub")
and_p = elementwise("and", None, None, accepts="iub")
or_p = elementwise("or", None, None, accepts="iub")
xor_p = elementwise("xor", None, None, accepts="iub")
shift_left_p = elementwise("shift_left", None, None, accepts="iu")
shift_right_logical_p = elementwise("shift_right_logical", None, None, accepts="iu")
shift_right_arithmetic_p = elementwise("shift_right_arithmetic", None, None, accepts="iu")
population_count_p = elementwise("population_count", None, accepts="iu")
clz_p = elementwise("clz", None, accepts="iu")


def bitwise_not(x: Any) -> Array:
    """Bitwise (for bool: logical) negation."""
    return unary(not_p, x)


def bitwise_and(x: Any, y: Any) -> Array:
    """Bitwise (for bool: logical) and."""
    return binary(and_p, x, y)


def bitwise_or(x: Any, y: Any) -> Array:
    """Bitwise (for bool: logical) or."""
    return binary(or_p, x, y)


def bitwise_xor(x: Any, y: Any) -> Array:
    """Bitwise (for bool: logical) exclusive or."""
    return binary(xor_p, x, y)


def shift_left(x: Any, y: Any) -> Array:
    """x with its bits moved y places up; zero if y is at least the width."""
    return binary(shift_left_p, x, y)


def shift_right_logical(x: Any, y: Any) -> Array:
    """x with its bits moved y places down, filled with zeros."""
    return binary(shift_right_logical_p, x, y)


def shift_right_arithmetic(x: Any, y: Any) -> Array:
    """x with its bits moved y places down, filled with the sign."""
    return binary(shift_right_arithmetic_p, x, y)


def population_count(x: Any) -> Array:
    """The number of bits that are set."""
    return unary(population_count_p, x)


def clz(x: Any) -> Array:
    """The number of leading zero bits."""
    return unary(clz_p, x)
