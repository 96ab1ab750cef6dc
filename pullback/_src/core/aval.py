"""Abstract values: the types of the intermediate representation.

A `ShapedArray` is the type of an array: shape, dtype, weak type. Instances are interned, so
two equal types are the same object: comparing them is a pointer comparison, and compiled code
can check its arguments without running Python.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..base.errors import ShapeError
from . import dtypes

_interned: dict[tuple[Any, ...], ShapedArray] = {}
_MOST = 1 << 63


class ShapedArray:
    """The type of an array with static `shape`, `dtype` and `weak_type`."""

    __slots__ = ("shape", "dtype", "weak_type", "ndim", "size", "tangent")

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    weak_type: bool
    ndim: int
    size: int
    tangent: ShapedArray

    def __new__(cls, shape: Any, dtype: Any, weak_type: bool = False) -> ShapedArray:
        dtype = dtypes.as_numpy_dtype(dtype)
        return shaped_array(tuple(int(d) for d in shape), dtype, bool(weak_type))

    def str_short(self, short_dtypes: bool = True) -> str:
        """`f32[3,4]`, as in printed programs."""
        name = dtypes.short_name(self.dtype) if short_dtypes else dtypes.dtype_name(self.dtype)
        return f"{name}[{','.join(map(str, self.shape))}]"

    def update(self, shape: Any = None, dtype: Any = None, weak_type: bool | None = None) -> ShapedArray:
        """This type with some of its parts replaced."""
        return ShapedArray(
            self.shape if shape is None else shape,
            self.dtype if dtype is None else dtype,
            self.weak_type if weak_type is None else weak_type,
        )

    def strip_weak_type(self) -> ShapedArray:
        return shaped_array(self.shape, self.dtype, False) if self.weak_type else self

    def to_tangent_aval(self) -> ShapedArray:
        """The type of tangents: itself for inexact dtypes, `float0` for all others."""
        return self.tangent

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array without dimensions")
        return self.shape[0]

    def __repr__(self) -> str:
        weak = ", weak_type=True" if self.weak_type else ""
        return f"ShapedArray({self.str_short(short_dtypes=False)}{weak})"

    def __reduce__(self) -> Any:
        return ShapedArray, (self.shape, self.dtype, self.weak_type)


def check_size(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse shapes of more bytes than there are addresses, dimensions of size zero left out, as NumPy does.

    Raises:
        ShapeError: the array would take 2**63 bytes or more.
    """
    if math.prod([n for n in shape if n]) * max(dtype.itemsize, 1) >= _MOST:
        raise ShapeError(
            f"An array of shape {shape} and dtype {dtypes.dtype_name(dtype)} would take 2**63 bytes or more, "
            "beyond what any machine can address. Use smaller dimensions."
        )


def shaped_array(shape: tuple[int, ...], dtype: np.dtype[Any], weak_type: bool = False) -> ShapedArray:
    """The interned type. `shape` must be a tuple of ints and `dtype` a NumPy dtype (not checked)."""
    key = (shape, dtype, weak_type)
    try:
        return _interned[key]
    except KeyError:
        pass
    check_size(shape, dtype)
    aval = object.__new__(ShapedArray)
    aval.shape = shape
    aval.dtype = dtype
    aval.weak_type = weak_type
    aval.ndim = len(shape)
    aval.size = math.prod(shape)
    if dtype == dtypes.float0 or dtypes.is_inexact(dtype):
        aval.tangent = aval
    else:
        aval.tangent = shaped_array(shape, dtypes.float0)
    return _interned.setdefault(key, aval)


class ShapeDtypeStruct:
    """The shape and dtype of an array that need not exist: what `eval_shape` returns and accepts."""

    __slots__ = ("shape", "dtype", "weak_type", "sharding")

    def __init__(self, shape: Any, dtype: Any, *, sharding: Any = None, weak_type: bool = False) -> None:
        if dtype is None:
            raise ValueError("ShapeDtypeStruct needs a dtype, got None")
        self.shape = tuple(int(d) for d in shape)
        self.dtype = dtypes.public_dtype(dtypes.as_numpy_dtype(dtype))
        self.weak_type = bool(weak_type)
        self.sharding = sharding

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def update(self, **changes: Any) -> ShapeDtypeStruct:
        """A copy with some attributes replaced."""
        now = {
            "shape": self.shape,
            "dtype": self.dtype,
            "weak_type": self.weak_type,
            "sharding": self.sharding,
        }
        return ShapeDtypeStruct(**{**now, **changes})

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array without dimensions")
        return self.shape[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ShapeDtypeStruct) and self._key() == other._key()

    def _key(self) -> tuple[Any, ...]:
        return self.shape, self.dtype, self.weak_type, self.sharding

    def __hash__(self) -> int:
        return hash((self.shape, str(self.dtype), self.weak_type))

    def __repr__(self) -> str:
        weak = ", weak_type=True" if self.weak_type else ""
        return f"ShapeDtypeStruct(shape={self.shape}, dtype={dtypes.dtype_name(self.dtype)}{weak})"


class Typed:
    """What has a type, `aval`: its shape, dtype, ... are those of the type."""

    __slots__ = ()

    aval: ShapedArray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.aval.shape

    @property
    def dtype(self) -> Any:
        return self.aval.dtype

    @property
    def ndim(self) -> int:
        return self.aval.ndim

    @property
    def size(self) -> int:
        return self.aval.size

    @property
    def weak_type(self) -> bool:
        return self.aval.weak_type


class Zero(Typed):
    """A tangent or cotangent that is known to be zero; no array is built for it."""

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray) -> None:
        self.aval = aval

    def __repr__(self) -> str:
        return f"Zero({self.aval.str_short()})"
