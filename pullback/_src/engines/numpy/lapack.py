"""What the kernels of linear algebra share: SciPy's LAPACK, loaded when first needed, and loops
over stacks.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@functools.cache
def blas(name: str, dtype: np.dtype[Any]) -> Callable[..., Any]:
    """The BLAS routine for matrices of the dtype."""
    from scipy.linalg import blas as library

    return getattr(library, _PREFIX[dtype.char] + name)


@functools.cache
def lapack(name: str, dtype: np.dtype[Any]) -> Callable[..., Any]:
    """The LAPACK routine for matrices of the dtype."""
    from scipy.linalg import lapack as library

    return getattr(library, _PREFIX[dtype.char] + name)


_PREFIX = {"f": "s", "d": "d", "F": "c", "D": "z"}


def flat(x: Array, rank: int = 2) -> Array:
    """x with its leading dimensions merged into one."""
    return x.reshape(math.prod(x.shape[: x.ndim - rank]), *x.shape[x.ndim - rank :])


def indices(x: Array, rank: int = 2) -> Iterator[tuple[int, ...]]:
    """The indices of a stack's matrices."""
    return np.ndindex(x.shape[: x.ndim - rank])


def per_matrix(
    function: Callable[[Array], tuple[Array, ...]], x: Array, outputs: tuple[Array, ...]
) -> tuple[Array, ...]:
    """Fill `outputs` with the function's results for each matrix; those for which it fails become NaN."""
    for index in indices(x):
        try:
            results = function(x[index])
        except (np.linalg.LinAlgError, ValueError):
            for out in outputs:
                out[index] = np.nan
        else:
            for out, result in zip(outputs, results, strict=True):
                out[index] = result
    return outputs


def real_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of the parts of a complex number, or the dtype itself."""
    return np.dtype(dtype.char.lower()) if dtype.kind == "c" else dtype


def complex_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The complex dtype with parts of the dtype, or the dtype itself."""
    return np.dtype(dtype.char.upper()) if dtype.kind != "c" else dtype
