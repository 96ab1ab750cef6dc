"""Kernels of `ops.compare`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import compare as ops
from .register import kernel, ufunc

Array = np.ndarray[Any, Any]

ufunc(ops.eq_p, np.equal)
ufunc(ops.ne_p, np.not_equal)
ufunc(ops.lt_p, np.less)
ufunc(ops.le_p, np.less_equal)
ufunc(ops.gt_p, np.greater)
ufunc(ops.ge_p, np.greater_equal)


@kernel(ops.select_n_p)
def select_n(which: Array, *cases: Array) -> Array:
    if len(cases) == 1:
        return np.array(np.broadcast_to(cases[0], np.broadcast_shapes(which.shape, cases[0].shape)))
    if len(cases) == 2:
        return np.where(which if which.dtype.kind == "b" else which != 0, cases[1], cases[0])
    index = np.clip(which, 0, len(cases) - 1)
    result = np.select([index == i for i in range(len(cases) - 1)], cases[:-1], cases[-1])
    return np.asarray(result, cases[0].dtype)
