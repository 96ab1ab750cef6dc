"""Comparisons and selection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base.errors import DTypeError
from ..core import dtypes, rules
from ..core.array import Array, as_array, scalar
from ..core.aval import ShapedArray, Zero, shaped_array
from ..core.kinds import kind
from ..core.primitive import Primitive
from .families import (
    batch_broadcasting,
    binary,
    broadcast_shapes,
    elementwise,
    mismatch,
    operands,
    result_weak,
    unbroadcast,
)
from .structural import broadcast_to, linear_coefficient

__all__ = ["eq", "ge", "gt", "le", "lt", "ne", "select", "select_n"]

_BOOL = np.dtype(np.bool_)


def _comparison(name: str, accepts: str) -> Primitive:
    primitive = elementwise(name, None, None, accepts=accepts, result=lambda _: _BOOL)
    # Results of comparisons are never weakly typed.
    typed = rules.abstract[primitive]
    rules.abstract[primitive] = lambda x, y: typed(x, y).strip_weak_type()
    return primitive


eq_p = _comparison("eq", "biufck")
ne_p = _comparison("ne", "biufck")
lt_p = _comparison("lt", "biufc")
le_p = _comparison("le", "biufc")
gt_p = _comparison("gt", "biufc")
ge_p = _comparison("ge", "biufc")


def eq(x: Any, y: Any) -> Array:
    """Elementwise x == y, for operands of one dtype."""
    return binary(eq_p, x, y)


def ne(x: Any, y: Any) -> Array:
    """Elementwise x != y, for operands of one dtype."""
    return binary(ne_p, x, y)


def lt(x: Any, y: Any) -> Array:
    """Elementwise x < y, for operands of one dtype (complex numbers compare lexicographically)."""
    return binary(lt_p, x, y)


def le(x: Any, y: Any) -> Array:
    """Elementwise x <= y, for operands of one dtype."""
    return binary(le_p, x, y)


def gt(x: Any, y: Any) -> Array:
    """Elementwise x > y, for operands of one dtype."""
    return binary(gt_p, x, y)


def ge(x: Any, y: Any) -> Array:
    """Elementwise x >= y, for operands of one dtype."""
    return binary(ge_p, x, y)


# select_n: cases[which] ---------------------------------------------------------------------------

select_n_p = Primitive("select_n", elementwise=True)


def select_n(which: Any, *cases: Any) -> Array:
    """Choose elementwise among `cases`: a bool (False: the first, True: the second) or int32 `which`."""
    which = as_array(which, name="select_n")
    letter = kind(which.aval.dtype)
    if letter != "i" and (letter != "b" or len(cases) > 2):
        raise _wrong_selector(which.aval, len(cases))
    return select_n_p.bind(which, *operands("select_n", *cases))


def select(pred: Any, on_true: Any, on_false: Any) -> Array:
    """Elementwise `on_true` where `pred` holds, else `on_false`."""
    return select_n(pred, on_false, on_true)


def _wrong_selector(which: ShapedArray, count: int) -> DTypeError:
    return DTypeError(
        f"select_n: `which` must be bool (two cases) or int32; got {which.str_short()} for {count} cases"
    )


def _select_n_abstract(which: ShapedArray, *cases: ShapedArray) -> ShapedArray:
    if kind(which.dtype) not in "bi" or (which.dtype == _BOOL and len(cases) > 2):
        raise _wrong_selector(which, len(cases))
    if any(c.dtype != cases[0].dtype for c in cases):
        raise mismatch("select_n", [dtypes.dtype_name(c.dtype) for c in cases])
    shape = broadcast_shapes("select_n", which.shape, *[c.shape for c in cases])
    return shaped_array(shape, cases[0].dtype, result_weak(cases))


def _select_n_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    out = select_n_p.bind(*primals)
    case_tangents = tangents[1:]
    if all(type(t) is Zero for t in case_tangents):
        return out, Zero(out.aval.tangent)
    zero = scalar(0, out.aval.dtype)
    out_tangent = select_n_p.bind(primals[0], *[zero if type(t) is Zero else t for t in case_tangents])
    return out, out_tangent if out_tangent.aval.shape == out.aval.shape else broadcast_to(
        out_tangent, out.aval.shape
    )


def _select_n_transpose(ct: Any, which: Any, *cases: Any) -> list[Any]:
    zero = scalar(0, ct.aval.dtype)
    out: list[Any] = [None]
    for i, case in enumerate(cases):
        if type(case) is rules.Linear:
            picked = select_n_p.bind(which, *[ct if i == j else zero for j in range(len(cases))])
            out.append(unbroadcast(picked, case))
        else:
            out.append(None)
    return out


rules.abstract[select_n_p] = _select_n_abstract
rules.jvp[select_n_p] = _select_n_jvp
rules.coefficient[select_n_p] = linear_coefficient(select_n_p)
rules.transpose[select_n_p] = _select_n_transpose
rules.batch[select_n_p] = lambda axis, values, dims: batch_broadcasting(select_n_p, values, dims, {})
