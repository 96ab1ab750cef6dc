"""Sums of exponentials without overflow: logsumexp, softmax and their kin."""

from __future__ import annotations

from typing import Any

from ...core.array import Array, scalar
from ...ops.arithmetic import abs_p, add_p, div_p, is_finite_p, log_p, mul_p, sign_p, sub_p
from ...ops.compare import select_n_p
from ...ops.complex import real_p
from ...ops.convert import convert_element_type, stop_gradient_array
from ...ops.families import broadcast_shapes
from ...ops.reduction import reduce_max_p
from ...ops.structural import broadcast_to, full, reduce_sum_p, reshape
from ...ops.transcendental import exp_p
from ..numpy.promotion import promote_inexact, strengthen
from ..numpy.reductions import masked, reduction_axes, with_kept_axes

__all__ = ["log_softmax", "logsumexp", "softmax"]


def _maximum(x: Any, axes: tuple[int, ...]) -> Any:
    """The maximum over the axes (of real parts), kept as dimensions of size 1; -inf of no elements."""
    real = real_p.bind(x) if x.aval.dtype.kind == "c" else x
    shape = tuple(1 if i in axes else d for i, d in enumerate(x.aval.shape))
    if any(x.aval.shape[i] == 0 for i in axes):
        return full(shape, float("-inf"), real.aval.dtype)
    return reshape(reduce_max_p.bind(stop_gradient_array(real), axes=axes), shape)


def logsumexp(
    a: Any,
    axis: Any = None,
    b: Any = None,
    keepdims: bool = False,
    return_sign: bool = False,
    where: Any = None,
) -> Any:
    """log(sum(b exp(a))) without overflow.

    Args:
        a: exponents.
        axis: the dimensions to sum over (default: all).
        b: factors, which broadcast against `a` (default: 1).
        keepdims: keep the summed dimensions with size 1.
        return_sign: also return the sign of the sum; without it a negative sum of real numbers gives NaN.
        where: a boolean mask of the elements that count.

    Returns:
        The logarithm, or the logarithm of the absolute value and the sign.
    """
    if b is None:
        (x,) = promote_inexact("logsumexp", a)
        factors = None
    else:
        x, factors = promote_inexact("logsumexp", a, b)
        shape = broadcast_shapes("logsumexp", x.aval.shape, factors.aval.shape)
        x, factors = broadcast_to(x, shape), broadcast_to(factors, shape)
        # A factor of zero removes its element, whatever the exponent is.
        x = select_n_p.bind(factors != 0, scalar(float("-inf"), x.aval.dtype), x)
    if where is not None:
        x = masked("logsumexp", x, where, float("-inf"))
    axes = reduction_axes("logsumexp", axis, x.aval)
    largest = _maximum(x, axes)
    largest = select_n_p.bind(is_finite_p.bind(largest), scalar(0.0, largest.aval.dtype), largest)
    shift = convert_element_type(largest, x.aval.dtype)
    terms = exp_p.bind(sub_p.bind(x, shift))
    if factors is not None:
        terms = mul_p.bind(factors, terms)
    total = reduce_sum_p.bind(terms, axes=axes)
    shift = reshape(largest, total.aval.shape)
    complex_valued = total.aval.dtype.kind == "c"
    if not return_sign:
        if factors is None and not complex_valued:
            out = add_p.bind(log_p.bind(total), shift)
        elif complex_valued:
            out = add_p.bind(log_p.bind(total), convert_element_type(shift, total.aval.dtype))
        else:
            sign = sign_p.bind(total)
            out = add_p.bind(log_p.bind(abs_p.bind(total)), shift)
            out = select_n_p.bind(sign < 0, out, scalar(float("nan"), out.aval.dtype))
        return with_kept_axes(out, x.aval.shape, axes) if keepdims else out
    sign = sign_p.bind(total)
    out = add_p.bind(log_p.bind(abs_p.bind(total)), shift)
    if keepdims:
        out, sign = (with_kept_axes(v, x.aval.shape, axes) for v in (out, sign))
    return out, sign


def _shifted(name: str, x: Any, axis: Any, where: Any) -> tuple[Any, Any, tuple[int, ...]]:
    """x less its maximum, the exponentials of that (0 where masked), and the axes."""
    (x,) = promote_inexact(name, x)
    axes = reduction_axes(name, axis, x.aval)
    considered = x if where is None else masked(name, x, where, float("-inf"))
    largest = _maximum(considered, axes)
    largest = convert_element_type(largest, x.aval.dtype, largest.aval.weak_type)
    shifted = sub_p.bind(x if where is None else considered, largest)
    return shifted, exp_p.bind(shifted), axes


def _sum_kept(x: Any, axes: tuple[int, ...]) -> Any:
    total = strengthen(reduce_sum_p.bind(x, axes=axes))
    return reshape(total, tuple(1 if i in axes else d for i, d in enumerate(x.aval.shape)))


def softmax(x: Any, axis: Any = -1, where: Any = None) -> Array:
    """exp(x) / sum(exp(x)).

    Args:
        x: an array.
        axis: the dimensions along which the results sum to 1.
        where: a boolean mask of the elements that count; the results for others are 0.
    """
    _, exponentials, axes = _shifted("softmax", x, axis, where)
    result = div_p.bind(exponentials, _sum_kept(exponentials, axes))
    return result if where is None else masked("softmax", result, where, 0.0)


def log_softmax(x: Any, axis: Any = -1, where: Any = None) -> Array:
    """log(softmax(x)), accurate where softmax underflows.

    Args:
        x: an array.
        axis: the dimensions along which the exponentials of the results sum to 1.
        where: a boolean mask of the elements that count; the results for others are -inf.
    """
    shifted, exponentials, axes = _shifted("log_softmax", x, axis, where)
    result = sub_p.bind(shifted, log_p.bind(_sum_kept(exponentials, axes)))
    return result if where is None else masked("log_softmax", result, where, float("-inf"))
