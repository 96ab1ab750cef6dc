"""Cumulative operations along an axis: sums, products, extrema and log-sum-exps of all leading parts.

The sum is linear. The others are scans of an associative operation of two operands; their derivative is the
same scan of that operation's jvp rule, in log2(n) steps on the whole array (Hillis and Steele, "Data parallel
algorithms", 1986).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from ..core import rules
from ..core.array import Array, as_array, scalar
from ..core.aval import ShapedArray, Zero
from ..core.primitive import Primitive
from .arithmetic import add_p, is_finite_p, log_p, max_p, min_p, mul_p, sub_p
from .compare import select_n_p
from .convert import stop_gradient_p
from .families import check_kind
from .joining import concatenate_p
from .joining import slice as static_slice
from .structural import canonical_axis, linear_primitive
from .transcendental import exp_p

__all__ = ["cumlogsumexp", "cummax", "cummin", "cumprod", "cumsum"]

PairRule = Callable[[Sequence[Any], Sequence[Any]], tuple[Any, Any]]


def _define(primitive: Primitive, accepts: str) -> Primitive:
    def abstract(x: ShapedArray, *, axis: int, reverse: bool) -> ShapedArray:
        check_kind(primitive.name, x.dtype, accepts)
        if not 0 <= axis < x.ndim:
            raise ValueError(f"{primitive.name}: axis {axis} is out of range for shape {x.shape}")
        return x

    def batch(
        mapped: Any, values: Sequence[Any], dims: Sequence[int], *, axis: int, reverse: bool
    ) -> tuple[Any, int]:
        (x,), (dim,) = values, dims
        return primitive.bind(x, axis=axis + (axis >= dim), reverse=reverse), dim

    rules.abstract[primitive] = abstract
    rules.batch[primitive] = batch
    return primitive


def _scan(name: str, accepts: str, pair_rule: PairRule) -> Primitive:
    """A cumulative primitive whose operation of two operands has the jvp rule `pair_rule`."""
    primitive = _define(Primitive(name), accepts)

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], *, axis: int, reverse: bool) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        ans = primitive.bind(x, axis=axis, reverse=reverse)
        if type(t) is Zero:
            return ans, Zero(ans.aval.tangent)
        size = x.aval.shape[axis]
        step = 1
        while step < size:
            # Element i becomes the result over i and the (up to 2 * step - 1) elements that precede it.
            kept = (0, step) if not reverse else (size - step, size)
            low = [_part(v, axis, 0, size - step) for v in (x, t)]
            high = [_part(v, axis, step, size) for v in (x, t)]
            rest = [_part(v, axis, *kept) for v in (x, t)]
            combined = pair_rule((low[0], high[0]), (low[1], high[1]))
            x, t = (
                concatenate_p.bind(*((c, r) if reverse else (r, c)), dimension=axis)
                for c, r in zip(combined, rest, strict=True)
            )
            step *= 2
        return ans, t

    rules.jvp[primitive] = jvp
    return primitive


def _part(x: Any, axis: int, start: int, stop: int) -> Any:
    starts = [0] * x.aval.ndim
    stops = list(x.aval.shape)
    starts[axis], stops[axis] = start, stop
    return static_slice(x, starts, stops)


def _logaddexp_rule(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """log(e^x + e^y), and the mean of the tangents weighted by e^x and e^y."""
    x, y = primals
    tx, ty = tangents
    shift = _finite_or_zero(max_p.bind(x, y))
    total = add_p.bind(exp_p.bind(sub_p.bind(x, shift)), exp_p.bind(sub_p.bind(y, shift)))
    ans = add_p.bind(shift, log_p.bind(total))
    level = select_n_p.bind(is_finite_p.bind(ans), scalar(0, ans.aval.dtype), ans)
    weight_x, weight_y = (exp_p.bind(sub_p.bind(v, level)) for v in (x, y))
    return ans, add_p.bind(mul_p.bind(tx, weight_x), mul_p.bind(ty, weight_y))


def _finite_or_zero(x: Any) -> Any:
    x = stop_gradient_p.bind(x)
    return select_n_p.bind(is_finite_p.bind(x), scalar(0, x.aval.dtype), x)


cumsum_p = _define(linear_primitive("cumsum"), "iufc")
rules.transpose[cumsum_p] = lambda ct, x, *, axis, reverse: [
    cumsum_p.bind(ct, axis=axis, reverse=not reverse)
]
cumprod_p = _scan("cumprod", "iufc", rules.jvp[mul_p])
cummax_p = _scan("cummax", "iufc", rules.jvp[max_p])
cummin_p = _scan("cummin", "iufc", rules.jvp[min_p])
cumlogsumexp_p = _scan("cumlogsumexp", "f", _logaddexp_rule)


def _cumulative(primitive: Primitive, operand: Any, axis: Any, reverse: Any) -> Array:
    operand = as_array(operand, name=primitive.name)
    axis = canonical_axis(operator.index(axis), operand.aval.ndim)
    rules.abstract[primitive](operand.aval, axis=axis, reverse=bool(reverse))
    return primitive.bind(operand, axis=axis, reverse=bool(reverse))


def cumsum(operand: Any, axis: int = 0, reverse: bool = False) -> Array:
    """The sums of the elements up to each place along `axis` (with `reverse`: from each place on)."""
    return _cumulative(cumsum_p, operand, axis, reverse)


def cumprod(operand: Any, axis: int = 0, reverse: bool = False) -> Array:
    """The products of the elements up to each place along `axis` (with `reverse`: from each place on)."""
    return _cumulative(cumprod_p, operand, axis, reverse)


def cummax(operand: Any, axis: int = 0, reverse: bool = False) -> Array:
    """The maximum of the elements up to each place along `axis`; NaN from the first NaN on.

    The derivative is shared between two equal elements, as with `max`.
    """
    return _cumulative(cummax_p, operand, axis, reverse)


def cummin(operand: Any, axis: int = 0, reverse: bool = False) -> Array:
    """The minimum of the elements up to each place along `axis`; NaN from the first NaN on."""
    return _cumulative(cummin_p, operand, axis, reverse)


def cumlogsumexp(operand: Any, axis: int = 0, reverse: bool = False) -> Array:
    """log(sum(exp(...))) of the elements up to each place along `axis`, without overflow."""
    return _cumulative(cumlogsumexp_p, operand, axis, reverse)
