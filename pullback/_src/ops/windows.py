"""Reductions over sliding windows, as in pooling, and what their derivatives need.

The windows of an operand are those of XLA (https://openxla.org/xla/operation_semantics#reducewindow): the
operand's elements are spread by `base_dilation`, surrounded by `padding` (negative padding removes), and
windows of `window_dimensions` elements, `window_dilation` apart, start every `window_strides` places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..base.errors import DTypeError, ShapeError
from ..core import dtypes, rules
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.kinds import kind
from ..core.primitive import Primitive
from .joining import with_batch_dim
from .structural import linear_primitive

Pairs = tuple[tuple[int, int], ...]


class Windows(NamedTuple):
    """Where the windows of an operand lie; one entry for each of its dimensions."""

    dimensions: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Pairs
    base_dilation: tuple[int, ...]
    window_dilation: tuple[int, ...]

    def counts(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """How many windows there are along each dimension of an operand of `shape`."""
        out = []
        for n, k, s, (lo, hi), b, w in zip(shape, *self, strict=True):
            padded = (b * (n - 1) + 1 if n else 0) + lo + hi
            room = padded - (w * (k - 1) + 1)
            out.append(room // s + 1 if room >= 0 else 0)
        return tuple(out)

    def batched(self) -> Windows:
        """The same windows with one more dimension in front, along which they do not extend."""
        return Windows(
            (1, *self.dimensions),
            (1, *self.strides),
            ((0, 0), *self.padding),
            (1, *self.base_dilation),
            (1, *self.window_dilation),
        )

    def transposed(self, shape: tuple[int, ...]) -> Windows:
        """The windows over the cotangent of a sum whose sums are the cotangent of an operand of `shape`.

        Element i of the operand lies at b i + lo after dilation and padding; window j covers s j + w k for
        k < K. So the cotangent of i sums those of all j with s j = b i + lo - w k: with the cotangent spread
        by s, these are the elements of a window of the same kind that starts at b i + lo - w (K - 1).
        """
        padding = []
        for n, count, k, s, (lo, _), b, w in zip(shape, self.counts(shape), *self, strict=True):
            spread = s * (count - 1) + 1 if count else 0
            before = w * (k - 1) - lo
            padding.append(
                (before, (n - 1) * b + 1 + w * (k - 1) - before - spread if n else -before - spread)
            )
        return Windows(
            self.dimensions, self.base_dilation, tuple(padding), self.strides, self.window_dilation
        )


def check_windows(name: str, x: ShapedArray, windows: Windows) -> None:
    """Raise unless `windows` has an entry for each dimension of `x` and sizes are positive."""
    values: Any
    for field, values in zip(windows._fields, windows, strict=True):
        if len(values) != x.ndim:
            raise ShapeError(
                f"{name}: {field} {values} must have {x.ndim} entries for an operand of shape {x.shape}"
            )
        if field != "padding" and any(v < 1 for v in values):
            raise ValueError(f"{name}: {field} {values} must be positive")


def _abstract(name: str, accepts: str) -> Any:
    def rule(x: ShapedArray, *, windows: Windows) -> ShapedArray:
        if kind(x.dtype) not in accepts:
            raise DTypeError(f"{name} does not accept dtype {dtypes.dtype_name(x.dtype)}")
        check_windows(name, x, windows)
        return shaped_array(windows.counts(x.shape), x.dtype, x.weak_type)

    return rule


def _define_batch(primitive: Primitive) -> None:
    def rule(
        axis: Any, values: Sequence[Any], dims: Sequence[int | None], *, windows: Windows, **params: Any
    ) -> Any:
        aligned = [with_batch_dim(v, d, axis.size) for v, d in zip(values, dims, strict=True)]
        return primitive.bind(*aligned, windows=windows.batched(), **params), 0

    rules.batch[primitive] = rule


# sums ---------------------------------------------------------------------------------------------

reduce_window_sum_p = linear_primitive("reduce_window_sum")
rules.abstract[reduce_window_sum_p] = _abstract("reduce_window_sum", "iufc")
rules.transpose[reduce_window_sum_p] = lambda ct, x, *, windows: [
    reduce_window_sum_p.bind(ct, windows=windows.transposed(x.shape))
]
_define_batch(reduce_window_sum_p)

# extrema ------------------------------------------------------------------------------------------


def _define_extremum(name: str, greatest: bool) -> Primitive:
    primitive = Primitive(name)

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], *, windows: Windows) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        ans = primitive.bind(x, windows=windows)
        if type(t) is Zero:
            return ans, Zero(ans.aval.tangent)
        return ans, window_select_p.bind(t, x, windows=windows, greatest=greatest)

    rules.abstract[primitive] = _abstract(name, "biuf")
    rules.jvp[primitive] = jvp
    _define_batch(primitive)
    return primitive


reduce_window_max_p = _define_extremum("reduce_window_max", True)
reduce_window_min_p = _define_extremum("reduce_window_min", False)

# window_select(t, x): for each window the element of t at the place of the first extremum of x, zero where
# all is padding. window_deposit(u, x), its transpose: the elements of u added up at those places.
window_select_p = Primitive("window_select")
window_deposit_p = Primitive("window_deposit")


def _select_abstract(t: ShapedArray, x: ShapedArray, *, windows: Windows, greatest: bool) -> ShapedArray:
    if t.shape != x.shape:
        raise ShapeError(f"window_select: operands of one shape expected; got {t.shape} and {x.shape}")
    check_windows("window_select", x, windows)
    return shaped_array(windows.counts(x.shape), t.dtype)


def _deposit_abstract(u: ShapedArray, x: ShapedArray, *, windows: Windows, greatest: bool) -> ShapedArray:
    check_windows("window_deposit", x, windows)
    if u.shape != windows.counts(x.shape):
        raise ShapeError(f"window_deposit: {windows.counts(x.shape)} windows, but values of shape {u.shape}")
    return shaped_array(x.shape, u.dtype)


def _define_routing(primitive: Primitive, abstract: Any, transposed: Primitive) -> None:
    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
        values, x = primals
        out = primitive.bind(values, x, **params)
        t = tangents[0]
        # The places of the extrema do not change with the operand, almost everywhere.
        return out, Zero(out.aval.tangent) if type(t) is Zero else primitive.bind(t, x, **params)

    rules.abstract[primitive] = abstract
    rules.jvp[primitive] = jvp
    rules.transpose[primitive] = lambda ct, values, x, **params: [transposed.bind(ct, x, **params), None]
    _define_batch(primitive)


_define_routing(window_select_p, _select_abstract, window_deposit_p)
_define_routing(window_deposit_p, _deposit_abstract, window_select_p)
