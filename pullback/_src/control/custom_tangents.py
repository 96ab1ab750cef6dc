"""Tangents and cotangents as users' rules take and return them: symbolic zeros, and checks of types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..base.errors import StructureError
from ..core import dtypes
from ..core.array import as_array
from ..core.aval import ShapedArray, Typed, Zero
from ..ops.convert import convert_element_type
from ..ops.structural import zeros


class SymbolicZero(Typed):
    """A tangent or cotangent that is known to be zero, in rules defined with `symbolic_zeros=True`.

    Attributes:
        aval: its type; `shape`, `dtype`, `ndim` and `size` are those of the type.
    """

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray) -> None:
        self.aval = aval

    def __eq__(self, other: object) -> bool:
        return self.aval == other.aval if isinstance(other, SymbolicZero) else NotImplemented

    def __hash__(self) -> int:
        return hash((SymbolicZero, self.aval))

    def __repr__(self) -> str:
        return f"SymbolicZero({self.aval!r})"


class CustomVJPPrimal:
    """An argument of a `fwd` rule defined with `symbolic_zeros=True`.

    Attributes:
        value: the argument.
        perturbed: whether it is being differentiated by.
    """

    __slots__ = ("value", "perturbed")

    def __init__(self, value: Any, perturbed: bool) -> None:
        self.value = value
        self.perturbed = perturbed

    def __repr__(self) -> str:
        return f"CustomVJPPrimal(value={self.value!r}, perturbed={self.perturbed})"


def zero_from_primal(val: Any, symbolic_zeros: bool = False) -> Any:
    """The zero tangent of a value: an array of zeros, or a `SymbolicZero`.

    Args:
        val: an array or number (or a `CustomVJPPrimal`).
        symbolic_zeros: return a `SymbolicZero` and build no array.
    """
    if isinstance(val, CustomVJPPrimal):
        val = val.value
    return user_zero(as_array(val, name="zero_from_primal").aval.tangent, symbolic_zeros)


def user_zero(aval: ShapedArray, symbolic: bool) -> Any:
    """The zero of a tangent type as users see it."""
    if symbolic:
        return SymbolicZero(aval)
    return np.zeros(aval.shape, dtypes.float0) if aval.dtype == dtypes.float0 else zeros(aval)


def for_user(value: Any, symbolic: bool) -> Any:
    """A tangent or cotangent as users see it."""
    return user_zero(value.aval.tangent, symbolic) if type(value) is Zero else value


def from_user(value: Any, expected: ShapedArray, what: Callable[[], str], *, exact: bool = False) -> Any:
    """A tangent or cotangent that a user's rule returned, as an array or `Zero` of the type `expected`.

    Args:
        exact: refuse an array of another floating-point dtype, which is otherwise converted. (Python numbers,
            whose dtype is weak, are converted always.)

    Raises:
        TypeError: no array, or one of another shape or of a dtype that does not convert.
    """
    if value is None or type(value) is Zero:
        return Zero(expected)
    if isinstance(value, SymbolicZero):
        _check_shape(value.shape, f"a SymbolicZero of shape {value.shape}", expected, what)
        return Zero(expected)
    if getattr(value, "dtype", None) == dtypes.float0:
        if expected.dtype != dtypes.float0:
            raise TypeError(
                f"{what()}: expected {expected.str_short(False)}, got an array of dtype float0, which is the "
                "tangent of integers only; use zeros of the expected type, or zero_from_primal(value)"
            )
        _check_shape(np.shape(value), f"float0{list(np.shape(value))}", expected, what)
        return Zero(expected)
    try:
        value = as_array(value)
    except TypeError:
        raise TypeError(
            f"{what()}: expected an array of type {expected.str_short(False)}, got {value!r}"
        ) from None
    aval = value.aval
    _check_shape(aval.shape, aval.str_short(False), expected, what)
    if aval.dtype == expected.dtype:
        return value
    number = aval.weak_type and not dtypes.is_complex(aval.dtype)
    converts = number or (dtypes.is_floating(aval.dtype) and not exact)
    if not converts or not dtypes.is_inexact(expected.dtype):
        raise TypeError(
            f"{what()}: expected {expected.str_short(False)}, got {aval.str_short(False)}; "
            + _dtype_remedy(aval, expected)
        )
    return convert_element_type(value, expected.dtype)


def _dtype_remedy(found: ShapedArray, expected: ShapedArray) -> str:
    if expected.dtype == dtypes.float0:
        return "integers have tangents of dtype float0: return None, or zeros of that dtype"
    if dtypes.is_complex(found.dtype):
        return "a real value has a real tangent: take the real part, with numpy.real"
    return f"convert it with .astype({dtypes.dtype_name(expected.dtype)!r})"


def _check_shape(shape: tuple[int, ...], got: str, expected: ShapedArray, what: Callable[[], str]) -> None:
    shape = tuple(shape)
    if shape == expected.shape:
        return
    remedy = ""
    if _broadcasts(expected.shape, shape):
        remedy = "; sum it over the axes along which the value was broadcast"
    elif _broadcasts(shape, expected.shape):
        remedy = f"; expand it with numpy.broadcast_to(..., {expected.shape})"
    raise StructureError(
        f"{what()}: the shapes do not match: expected {expected.str_short(False)}, got {got}{remedy}"
    )


def _broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether an array of one shape broadcasts to another."""
    return len(shape) <= len(target) and all(
        n in (1, m) for n, m in zip(reversed(shape), reversed(target), strict=False)
    )
