"""`ravel_pytree`: a pytree of arrays as one vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..base.errors import ShapeError
from ..base.pytree import flatten, unflatten
from ..core.array import Array
from ..ops.convert import convert_element_type
from ..ops.joining import concatenate
from ..ops.joining import slice as slice_array
from ..ops.structural import reshape
from .numpy.promotion import asarray, promote


def ravel_pytree(pytree: Any) -> tuple[Array, Callable[[Any], Any]]:
    """All leaves of a pytree as one flat vector, and the function that undoes it.

    Args:
        pytree: a pytree of arrays and numbers.

    Returns:
        `(vector, unravel)`: the vector's dtype is the leaves' promoted one; `unravel(vector)` restores
        structure, shapes and dtypes.
    """
    leaves, treedef = flatten(pytree)
    arrays = [asarray(v) for v in leaves]
    if not arrays:
        return asarray(np.zeros(0, np.float32)), lambda _: unflatten(treedef, [])
    promoted = promote("ravel_pytree", *arrays)
    dtype = promoted[0].aval.dtype
    avals = [a.aval for a in arrays]
    total = sum(a.size for a in avals)
    flat = (
        concatenate([reshape(a, (a.aval.size,)) for a in promoted], 0)
        if len(promoted) > 1
        else reshape(promoted[0], (total,))
    )

    def unravel(vector: Any) -> Any:
        vector = asarray(vector)
        if vector.aval.shape != (total,):
            raise ShapeError(f"unravel expects a vector of {total} elements, got shape {vector.aval.shape}")
        if vector.aval.dtype != dtype:
            raise TypeError(f"unravel expects a vector of dtype {dtype}, got {vector.aval.dtype}")
        out = []
        offset = 0
        for aval in avals:
            part = slice_array(vector, (offset,), (offset + aval.size,)) if len(avals) > 1 else vector
            out.append(convert_element_type(reshape(part, aval.shape), aval.dtype))
            offset += aval.size
        return unflatten(treedef, out)

    return flat, unravel
