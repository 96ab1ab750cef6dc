"""The test matrix: one sample record drives every transformation of one operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Sample:
    """One operation at one set of arguments.

    Attributes:
        name: unique, e.g. "tanh-f32-3x4".
        function: a function of arrays (closing over static parameters), built from pullback operations.
        args: NumPy arrays or numbers; their dtypes are what is tested (64-bit ones run under enable_x64).
        reference: an independent function of the same arguments (NumPy, SciPy, mpmath or JAX); its result is
            compared in value, shape and dtype.
        differentiable: positions of the arguments by which to differentiate (empty: derivatives are not tested).
        order: order to which `check_grads` goes.
        batchable: positions of the arguments that vmap may map.
        rtol, atol: tolerances of the value (None: a few units of the dtype's rounding).
        grad_rtol: tolerance of derivatives against finite differences.
        primitives: names of the primitives that the sample covers (for the completeness test).
    """

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    reference: Callable[..., Any]
    differentiable: tuple[int, ...] = ()
    order: int = 2
    batchable: tuple[int, ...] = (0,)
    rtol: float | None = None
    atol: float | None = None
    grad_rtol: float | None = None
    primitives: tuple[str, ...] = field(default=())


def check_matrix(sample: Sample) -> None:
    """Run the sample through the whole matrix (see the functions below, each one cell)."""
    raise NotImplementedError
