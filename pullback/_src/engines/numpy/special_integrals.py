"""Kernels of `ops.special_integrals`, by SciPy, which is imported when the first one runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.primitive import Primitive
from ...ops import special_integrals as ops
from .register import kernel
from .special import scipy_kernel

Array = np.ndarray[Any, Any]


def _one_of_two(primitive: Primitive, name: str, index: int) -> None:
    """Register one of the two results of `scipy.special.<name>`."""
    function: Callable[..., Any] | None = None

    @kernel(primitive)
    def compute(x: Array) -> Array:
        nonlocal function
        if function is None:
            import scipy.special

            function = getattr(scipy.special, name)
        return np.asarray(function(x.astype(np.float64))[index]).astype(x.dtype)


_one_of_two(ops.sine_integral_p, "sici", 0)
_one_of_two(ops.cosine_integral_p, "sici", 1)
_one_of_two(ops.fresnel_sine_p, "fresnel", 0)
_one_of_two(ops.fresnel_cosine_p, "fresnel", 1)
scipy_kernel(ops.owens_t_p, "owens_t", wide=True)
scipy_kernel(ops.hyp1f1_p, "hyp1f1", wide=True)
scipy_kernel(ops.hyp2f1_p, "hyp2f1", wide=True)
scipy_kernel(ops.bessel_j_p, "jv", wide=True)


@kernel(ops.wofz_p)
def wofz(z: Array) -> Array:
    from scipy.special import wofz as function

    return np.asarray(function(z.astype(np.complex128))).astype(z.dtype)
