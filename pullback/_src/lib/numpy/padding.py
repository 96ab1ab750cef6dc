"""`pad`, in all of its modes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ...base.errors import ShapeError
from ...core import dtypes
from ...core.array import Array, wrap
from ...core.kinds import kind
from ...ops.arithmetic import add_p, mul_p, round_p, sub_p
from ...ops.convert import convert_element_type
from ...ops.families import operands
from ...ops.joining import concatenate, pad_p
from ...ops.joining import slice as lax_slice
from ...ops.sort import sort
from ...ops.structural import broadcast_to, full, rev
from . import averages, reductions
from .indexing import general_getitem
from .promotion import arraylike, asarray, weak_as
from .selection import apply_along_axis

__all__ = ["pad"]

_OPTIONS: dict[str, dict[str, Any]] = {
    "constant": {"constant_values": 0},
    "edge": {},
    "empty": {},
    "linear_ramp": {"end_values": 0},
    "maximum": {"stat_length": None},
    "mean": {"stat_length": None},
    "median": {"stat_length": None},
    "minimum": {"stat_length": None},
    "reflect": {"reflect_type": "even"},
    "symmetric": {"reflect_type": "even"},
    "wrap": {},
}


def pad(array: Any, pad_width: Any, mode: str | Callable[..., Any] = "constant", **kwargs: Any) -> Array:
    """Add elements at both ends of each dimension.

    Args:
        array: the array.
        pad_width: how many: ((before, after), ...) for each dimension, or one pair or one int for all.
        mode: what they are. "constant": `constant_values` (one, a pair, or a pair for each dimension);
            "linear_ramp": from `end_values` (likewise) to the edge; "edge": the edge's; "maximum",
            "minimum", "mean", "median": of the `stat_length` (likewise; None: all) elements next to the
            edge; "reflect" and "symmetric": mirrored without and with the edge (`reflect_type` "even", or
            "odd": twice the edge minus the mirror image); "wrap": from the other end; "empty": anything. A
            function (vector, (before, after), dimension, kwargs) receives each padded line and returns it
            filled.

    Raises:
        ValueError: negative widths or an unknown keyword; NotImplementedError: an unknown mode.
    """
    x = arraylike("pad", array)
    widths = _pairs("pad_width", pad_width, x.aval.ndim, integral=True)
    if any(lo < 0 or hi < 0 for lo, hi in widths):
        raise ValueError(f"pad: widths must not be negative; got {pad_width}")
    if callable(mode):
        return _by_function(x, widths, mode, kwargs)
    if mode not in _OPTIONS:
        raise NotImplementedError(
            f"pad: unknown mode {mode!r}; expected one of {', '.join(sorted(_OPTIONS))}"
        )
    unknown = set(kwargs) - set(_OPTIONS[mode])
    if unknown:
        raise ValueError(f"pad: mode {mode!r} does not take {', '.join(sorted(unknown))}")
    options = {**_OPTIONS[mode], **kwargs}
    if mode in ("constant", "empty"):
        return _constant(x, widths, options.get("constant_values", 0))
    for axis, (lo, hi) in enumerate(widths):
        if lo == 0 and hi == 0:
            continue
        if x.aval.shape[axis] == 0:
            raise ValueError(
                f"pad: dimension {axis} of shape {x.aval.shape} is empty; only mode 'constant' pads it"
            )
        x = weak_as(_along(x, axis, lo, hi, mode, options), x)
    return x


def _pairs(name: str, value: Any, ndim: int, *, integral: bool) -> list[tuple[Any, Any]]:
    """A number, a pair, or a sequence of pairs, as a pair for each dimension."""
    if isinstance(value, dict):
        pairs: list[tuple[Any, Any]] = [(0, 0)] * ndim
        for axis, item in value.items():
            first, last = item if isinstance(item, (tuple, list)) else (item, item)
            pairs[operator.index(axis) % ndim] = (first, last)
        value = pairs
    if isinstance(value, (Array, np.ndarray)):
        value = np.asarray(value).tolist()
    if not isinstance(value, (tuple, list)):
        out = [(value, value)] * ndim
    else:
        items = [tuple(v) if isinstance(v, (tuple, list)) else (v,) for v in value]
        if all(len(i) == 1 for i in items) and not any(isinstance(v, (tuple, list)) for v in value):
            flat = [i[0] for i in items]
            if len(flat) == 1:
                flat = flat * 2
            items = [tuple(flat)]
        items = [i * 2 if len(i) == 1 else i for i in items]
        if len(items) == 1:
            items = items * ndim
        if len(items) != ndim or any(len(i) != 2 for i in items):
            raise ShapeError(f"pad: {name} must be one number, one pair, or {ndim} pairs; got {value}")
        out = [(i[0], i[1]) for i in items]
    if integral:
        try:
            return [(operator.index(lo), operator.index(hi)) for lo, hi in out]
        except TypeError:
            raise TypeError(f"pad: {name} must be integers; got {value}") from None
    return out


def _constant(x: Any, widths: list[tuple[int, int]], values: Any) -> Any:
    pairs = _pairs("constant_values", values, x.aval.ndim, integral=False)
    distinct = {id(v) if not isinstance(v, (int, float, complex)) else v for pair in pairs for v in pair}
    if len(distinct) <= 1:
        value = _value(pairs[0][0] if pairs else 0, x)
        return pad_p.bind(x, value, padding_config=tuple((lo, hi, 0) for lo, hi in widths))
    for axis, ((lo, hi), (first, last)) in enumerate(zip(widths, pairs, strict=True)):
        none = [(0, 0, 0)] * x.aval.ndim
        for width, value in (((lo, 0, 0), first), ((0, hi, 0), last)):
            if width[0] or width[1]:
                config = [*none]
                config[axis] = width
                x = pad_p.bind(x, _value(value, x), padding_config=tuple(config))
    return x


def _value(value: Any, x: Any) -> Any:
    """A padding value as a scalar of the dtype of x."""
    if isinstance(value, (int, float, complex)) and not isinstance(value, np.generic):
        return weak_as(wrap(np.asarray(value).astype(x.aval.dtype)), x)
    return convert_element_type(asarray(value), x.aval.dtype, weak_type=x.aval.weak_type)


def _part(x: Any, axis: int, start: int, limit: int) -> Any:
    shape = x.aval.shape
    starts, limits = [0] * len(shape), list(shape)
    starts[axis], limits[axis] = start, limit
    return lax_slice(x, starts, limits)


def _along(x: Any, axis: int, lo: int, hi: int, mode: str, options: dict[str, Any]) -> Any:
    """Pad one dimension."""
    size = x.aval.shape[axis]
    ndim = x.aval.ndim
    if mode == "edge":
        places = np.clip(np.arange(-lo, size + hi), 0, size - 1)
        return _picked(x, axis, places)
    if mode == "wrap":
        return _picked(x, axis, np.arange(-lo, size + hi) % size)
    if mode in ("reflect", "symmetric"):
        return _mirrored(x, axis, lo, hi, mode, options["reflect_type"])
    first, last = _part(x, axis, 0, 1), _part(x, axis, size - 1, size)
    before, after = [*x.aval.shape], [*x.aval.shape]
    before[axis], after[axis] = lo, hi
    if mode == "linear_ramp":
        (start, end) = _pairs("end_values", options["end_values"], ndim, integral=False)[axis]
        left = _ramp(_value(start, x), first, lo, axis)
        right = rev(_ramp(_value(end, x), last, hi, axis), (axis,)) if hi else last
    else:
        lengths = _pairs("stat_length", options["stat_length"], ndim, integral=False)[axis]
        counts = [size if n is None else operator.index(n) for n in lengths]
        if any(n < 0 or (n == 0 and mode in ("maximum", "minimum")) for n in counts):
            raise ValueError(f"pad: stat_length must be positive; got {options['stat_length']}")
        counts = [min(n, size) for n in counts]
        left = broadcast_to(_statistic(_part(x, axis, 0, counts[0]), axis, mode), tuple(before))
        right = broadcast_to(_statistic(_part(x, axis, size - counts[1], size), axis, mode), tuple(after))
    return concatenate([*([left] if lo else []), x, *([right] if hi else [])], axis)


def _picked(x: Any, axis: int, places: np.ndarray[Any, Any]) -> Any:
    return general_getitem(x, (slice(None),) * axis + (wrap(places.astype(np.int32)),))


def _mirrored(x: Any, axis: int, lo: int, hi: int, mode: str, kind_of: str) -> Any:
    if kind_of not in ("even", "odd"):
        raise ValueError(f"pad: reflect_type must be 'even' or 'odd'; got {kind_of!r}")
    size = x.aval.shape[axis]
    at = np.arange(-lo, size + hi)
    if size == 1 and mode == "reflect":
        return _picked(x, axis, np.zeros(at.size, np.int64))
    if kind_of == "even":
        # The pattern repeats with period 2 (n - 1) without the edges doubled, 2 n with them.
        period = 2 * (size - 1) if mode == "reflect" else 2 * size
        phase = at % period
        back = period - phase if mode == "reflect" else period - 1 - phase
        return _picked(x, axis, np.where(phase < size, phase, back))
    # Odd: reflected at the point of the edge; wide paddings are built from pieces no longer than the array.
    skip = 1 if mode == "reflect" else 0
    while lo or hi:
        size = x.aval.shape[axis]
        most = size - skip
        first, last = _part(x, axis, 0, 1), _part(x, axis, size - 1, size)
        pieces = [x]
        if lo:
            width = min(lo, most)
            image = rev(_part(x, axis, skip, skip + width), (axis,))
            pieces.insert(0, sub_p.bind(add_p.bind(first, first), image))
            lo -= width
        if hi:
            width = min(hi, most)
            image = rev(_part(x, axis, size - skip - width, size - skip), (axis,))
            pieces.append(sub_p.bind(add_p.bind(last, last), image))
            hi -= width
        x = concatenate(pieces, axis)
    return x


def _ramp(start: Any, edge: Any, count: int, axis: int) -> Any:
    """`count` equal steps from `start` up to (but without) `edge`."""
    if count == 0:
        return edge
    dtype = edge.aval.dtype
    wide = dtype if kind(dtype) in "fc" else dtypes.default_float_dtype()
    shape = [1] * edge.aval.ndim
    shape[axis] = count
    fraction = wrap((np.arange(count) / count).reshape(shape).astype(wide))
    low, high = convert_element_type(start, wide), convert_element_type(edge, wide)
    low, high = operands("pad", low, high)
    out = add_p.bind(low, mul_p.bind(fraction, sub_p.bind(high, low)))
    return convert_element_type(out, dtype)


def _statistic(x: Any, axis: int, mode: str) -> Any:
    dtype = x.aval.dtype
    if mode == "maximum":
        return reductions.max(x, axis=axis, keepdims=True)
    if mode == "minimum":
        return reductions.min(x, axis=axis, keepdims=True)
    if mode == "mean":
        out = averages.mean(x, axis=axis, keepdims=True)
    else:
        out = _median(x, axis)
    if kind(dtype) not in "fc":
        out = round_p.bind(out, rounding_method=1)
    return convert_element_type(out, dtype)


def _median(x: Any, axis: int) -> Any:
    ordered = sort(x, axis)
    size = x.aval.shape[axis]
    middle = _part(ordered, axis, (size - 1) // 2, size // 2 + 1)
    return averages.mean(middle, axis=axis, keepdims=True)


def _by_function(
    x: Any, widths: list[tuple[int, int]], function: Callable[..., Any], options: dict[str, Any]
) -> Any:
    zero = full((), False if kind(x.aval.dtype) == "b" else 0, x.aval.dtype)
    x = pad_p.bind(x, zero, padding_config=tuple((lo, hi, 0) for lo, hi in widths))
    for axis, width in enumerate(widths):
        x = apply_along_axis(lambda line, w=width, a=axis: function(line, w, a, options), axis, x)
    return x
