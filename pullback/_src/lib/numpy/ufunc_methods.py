"""The methods of `ufunc`: reductions where there are fast ones, loops for all other functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...control.scan import scan
from ...core import dtypes
from ...core.array import Array
from ...ops.arithmetic import and_p
from ...ops.compare import eq_p, gt_p, lt_p, select_n_p
from ...ops.convert import convert_element_type
from ...ops.cumulative import cumlogsumexp, cummax, cummin, cumprod, cumsum
from ...ops.iota import iota
from ...ops.joining import concatenate
from ...ops.structural import broadcast_to, canonical_axis, full, moveaxis, reshape
from . import elementwise, logic, reductions
from .creation import array
from .promotion import asarray, check_arraylike, promote, promote_inexact
from .ufunc import ufunc

__all__: list[str] = []


def _operand(name: str, a: Any, dtype: Any) -> Any:
    check_arraylike(name, a)
    return asarray(a) if dtype is None else asarray(a, dtype)


def _fold(function: Any, init: Any, xs: Any) -> Any:
    return scan(
        lambda carry, x: (convert_element_type(function(carry, x), carry.aval.dtype), None), init, xs
    )[0]


def _row(x: Any, i: int) -> Any:
    return x[i]


def _lifted(self: ufunc, x: Any) -> Any:
    """`x` in the dtype of the function's results, so that a loop over them has one type."""
    probe = full((), True if x.aval.dtype.kind == "b" else 1, x.aval.dtype)
    return convert_element_type(x, self(probe, probe).aval.dtype)


def reduce(self: ufunc, a: Any, *, axis: Any, dtype: Any, keepdims: bool, initial: Any, where: Any) -> Array:
    name = f"{self.__name__}.reduce"
    x = _operand(name, a, dtype)
    if isinstance(axis, tuple):
        raise NotImplementedError(f"{name}: a tuple of axes; reduce along one after the other")
    if where is not None and self.identity is None and initial is None:
        raise ValueError(f"{name}: {self.__name__} has no identity, so a `where` mask needs `initial`")
    shape = x.aval.shape
    if where is not None:
        where = broadcast_to(logic.truth(asarray(where)), shape)
    if axis is None:
        x = reshape(x, (x.aval.size,))
        where = None if where is None else reshape(where, (x.aval.size,))
        kept = (1,) * len(shape)
        place = 0
    else:
        place = canonical_axis(axis, len(shape))
        kept = (*shape[:place], 1, *shape[place + 1 :])
    x = _lifted(self, moveaxis(x, place, 0))
    where = None if where is None else moveaxis(where, place, 0)
    start = self.identity if initial is None else initial
    if start is None:
        if x.aval.shape[0] == 0:
            raise ValueError(f"{name}: {self.__name__} has no identity, so an empty array needs `initial`")
        init, rest = _row(x, 0), x[1:]
    else:
        init, rest = broadcast_to(asarray(start, x.dtype), x.aval.shape[1:]), x
    if where is None:
        out = _fold(self, init, rest)
    else:
        step = lambda carry, pair: select_n_p.bind(
            pair[1], carry, convert_element_type(self(carry, pair[0]), carry.aval.dtype)
        )
        out = _fold(step, init, (rest, where))
    return reshape(out, kept) if keepdims else out


def accumulate(self: ufunc, a: Any, *, axis: Any, dtype: Any) -> Array:
    name = f"{self.__name__}.accumulate"
    x = _operand(name, a, dtype)
    place = canonical_axis(axis, x.aval.ndim)
    x = _lifted(self, moveaxis(x, place, 0))
    if x.aval.shape[0] == 0:
        return moveaxis(x, 0, place)

    def step(carry: Any, row: Any) -> tuple[Any, Any]:
        first, previous = carry
        new = select_n_p.bind(first, convert_element_type(self(previous, row), row.aval.dtype), row)
        return (full((), False, np.dtype(np.bool_)), new), new

    _, rows = scan(step, (full((), True, np.dtype(np.bool_)), _row(x, 0)), x)
    return moveaxis(rows, 0, place)


def outer(self: ufunc, A: Any, B: Any) -> Array:
    check_arraylike(f"{self.__name__}.outer", A, B)
    x, y = asarray(A), asarray(B)
    return self(reshape(x, x.aval.shape + (1,) * y.aval.ndim), y)


def at(self: ufunc, a: Any, indices: Any, b: Any) -> Array:
    check_arraylike(f"{self.__name__}.at", a)
    x: Any = array(a)
    arrays = indices if isinstance(indices, tuple) else (indices,)
    if any(isinstance(i, slice) or i is None or i is Ellipsis for i in arrays):
        # Each element is touched once.
        picked = x.at[indices].get()
        new = self(picked) if b is None else self(picked, b)
        return x.at[indices].set(convert_element_type(new, x.aval.dtype))
    places = [asarray(i) for i in arrays]
    shape = np.broadcast_shapes(*[p.aval.shape for p in places])
    rest = x.aval.shape[len(places) :]
    size = math.prod(shape)
    flat = [reshape(broadcast_to(p, shape), (size,)) for p in places]
    values = None
    if b is not None:
        values = reshape(broadcast_to(asarray(b), (*shape, *rest)), (size, *rest))

    def step(carry: Any, item: tuple[Any, Any]) -> tuple[Any, None]:
        index, value = item
        picked = carry[tuple(index)]
        new = self(picked) if value is None else self(picked, value)
        return carry.at[tuple(index)].set(convert_element_type(new, carry.aval.dtype)), None

    return scan(step, x, (flat, values), length=size)[0]


def reduceat(self: ufunc, a: Any, indices: Any, *, axis: Any, dtype: Any) -> Array:
    name = f"{self.__name__}.reduceat"
    check_arraylike(name, a, indices)
    x = _operand(name, a, dtype)
    starts: Any = asarray(indices)
    if starts.aval.ndim != 1 or not dtypes.is_integer(starts.aval.dtype):
        raise ValueError(f"{name}: indices must be a vector of integers; got {starts.aval.str_short()}")
    place = canonical_axis(axis, x.aval.ndim)
    x = _lifted(self, moveaxis(x, place, 0))
    size, count = x.aval.shape[0], starts.aval.shape[0]
    column = (count,) + (1,) * (x.aval.ndim - 1)
    begins = reshape(starts, column)
    following = elementwise.maximum(
        starts + 1, concatenate([starts[1:], full((1,), size, starts.aval.dtype)], 0)
    )
    ends = reshape(following, column)

    # One pass over the elements, all slices at once: each begins at its own start and stops at its own end.
    def step(carry: Any, item: tuple[Any, Any]) -> tuple[Any, None]:
        i, row = item
        here = eq_p.bind(*promote(name, begins, i))
        inside = and_p.bind(gt_p.bind(*promote(name, i, begins)), lt_p.bind(*promote(name, i, ends)))
        combined = convert_element_type(self(carry, row), carry.aval.dtype)
        new = select_n_p.bind(inside, carry, combined)
        return select_n_p.bind(here, new, row), None

    init = full((count, *x.aval.shape[1:]), False if x.aval.dtype.kind == "b" else 0, x.aval.dtype)
    out, _ = scan(step, init, (iota(starts.dtype, size), x))
    return moveaxis(out, 0, place)


ufunc._methods.update(reduce=reduce, accumulate=accumulate, outer=outer, at=at, reduceat=reduceat)


def _reduces_by(
    function: Any, reduction: Callable[..., Any], *, takes_dtype: bool = False, masks: bool = True
) -> None:
    """Let a `ufunc` reduce by a function of `reductions`."""
    name = f"{function.__name__}.reduce"

    def special(a: Any, *, axis: Any, dtype: Any, keepdims: bool, initial: Any, where: Any) -> Any:
        if where is not None and initial is None and not masks:
            raise ValueError(
                f"{name}: {function.__name__} has no identity, so a `where` mask needs `initial`"
            )
        options: dict[str, Any] = {"axis": axis, "keepdims": keepdims, "where": where}
        if initial is not None:
            options["initial"] = initial
        if takes_dtype:
            return reduction(a, dtype=dtype, **options)
        return reduction(_operand(name, a, dtype), **options)

    function._reduce = special


def _accumulates_by(function: Any, operation: Callable[..., Any], *, inexact: bool = False) -> None:
    """Let a `ufunc` accumulate by an operation of `ops.cumulative`."""

    def special(a: Any, *, axis: Any, dtype: Any) -> Any:
        x = _operand(f"{function.__name__}.accumulate", a, dtype)
        if inexact:
            (x,) = promote_inexact(function.__name__, x)
        elif x.aval.dtype.kind == "b":
            x = convert_element_type(x, dtypes.default_int_dtype())
        return operation(x, canonical_axis(axis, x.aval.ndim))

    function._accumulate = special


def _updates_by(function: Any, method: str) -> None:
    """Let a `ufunc` update by a method of `Array.at`."""

    def special(a: Any, indices: Any, b: Any) -> Any:
        check_arraylike(f"{function.__name__}.at", a)
        x: Any = array(a)
        return getattr(x.at[indices], method)(b)

    function._at = special


_reduces_by(elementwise.add, reductions.sum, takes_dtype=True)
_reduces_by(elementwise.multiply, reductions.prod, takes_dtype=True)
_reduces_by(elementwise.maximum, reductions.max, masks=False)
_reduces_by(elementwise.minimum, reductions.min, masks=False)
_accumulates_by(elementwise.add, cumsum)
_accumulates_by(elementwise.multiply, cumprod)
_accumulates_by(elementwise.maximum, cummax)
_accumulates_by(elementwise.minimum, cummin)
_accumulates_by(elementwise.logaddexp, cumlogsumexp, inexact=True)
_updates_by(elementwise.add, "add")
_updates_by(elementwise.multiply, "multiply")
_updates_by(elementwise.maximum, "max")
_updates_by(elementwise.minimum, "min")
