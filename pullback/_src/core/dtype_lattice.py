"""The dtypes that arrays may have, in groups, and the lattice by which they promote.

The lattice is JAX's, documented in https://docs.jax.dev/en/latest/type_promotion.html; this file says what
promotes to what, and ``dtypes`` builds on it what the rest of the library calls.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import ml_dtypes
import numpy as np

from ..base.errors import DTypeError

DType: TypeAlias = np.dtype[Any]


class TypePromotionError(DTypeError, ValueError):
    """Operands whose dtypes have no common type to which they are promoted implicitly."""


float0: Final[DType] = np.dtype([("float0", np.void, 0)])
"""The dtype of tangents of values that have no continuous neighbours."""

KEY_DTYPE: Final[DType] = np.dtype([("fry", np.uint32, (2,))])
"""The dtype of the memory of threefry keys: two 32-bit words each."""


def _named(module: Any, names: str) -> tuple[DType, ...]:
    return tuple(np.dtype(getattr(module, name)) for name in names.split())


BOOL: Final[DType] = np.dtype(np.bool_)
SMALL_SIGNED: Final = _named(ml_dtypes, "int2 int4")
SMALL_UNSIGNED: Final = _named(ml_dtypes, "uint2 uint4")
SMALL_FLOATS: Final = _named(
    ml_dtypes,
    "float4_e2m1fn float6_e2m3fn float6_e3m2fn float8_e3m4 float8_e4m3 float8_e8m0fnu float8_e4m3b11fnuz "
    "float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz",
)
BFLOAT16: Final[DType] = np.dtype(ml_dtypes.bfloat16)

SIGNED: Final = frozenset((*SMALL_SIGNED, *_named(np, "int8 int16 int32 int64")))
UNSIGNED: Final = frozenset((*SMALL_UNSIGNED, *_named(np, "uint8 uint16 uint32 uint64")))
INTEGERS: Final = SIGNED | UNSIGNED
FLOATS: Final = frozenset((*SMALL_FLOATS, BFLOAT16, *_named(np, "float16 float32 float64")))
COMPLEXES: Final = frozenset(_named(np, "complex64 complex128"))
INEXACT: Final = FLOATS | COMPLEXES
NUMERIC: Final = frozenset({BOOL}) | INTEGERS | INEXACT
SUPPORTED: Final = NUMERIC | {float0, KEY_DTYPE}


@functools.lru_cache(maxsize=256)
def dtype_name(dtype: Any) -> str:
    """The full name: 'float32', 'key<fry>', 'float0'."""
    if dtype == KEY_DTYPE:
        return "key<fry>"
    if dtype == float0:
        return "float0"
    return str(dtype.name)


# A node of the lattice is a NumPy dtype or, for weakly typed values, one of Python's int, float, complex.
Node: TypeAlias = Any


def _upper_sets(strict: bool) -> dict[Node, frozenset[Node]]:
    """For each node the nodes to which it promotes, itself included: what its arrows reach.

    In the strict lattice only weak types promote, to what is of their kind or above.
    """
    signed = [np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)]
    unsigned = [np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)]
    half, single, double = (np.dtype(f"float{bits}") for bits in (16, 32, 64))
    complex_single, complex_double = np.dtype(np.complex64), np.dtype(np.complex128)
    arrows: dict[Node, Iterable[Node]] = dict.fromkeys(NUMERIC, ())
    if strict:
        arrows[int] = (*INTEGERS, float)
        arrows[float] = (*FLOATS, complex)
        arrows[complex] = COMPLEXES
    else:
        arrows[BOOL] = (int,)
        arrows[int] = (*SMALL_SIGNED, *SMALL_UNSIGNED, signed[0], unsigned[0])
        for i in range(3):
            arrows[unsigned[i]] = (unsigned[i + 1], signed[i + 1])
            arrows[signed[i]] = (signed[i + 1],)
        arrows[unsigned[3]] = arrows[signed[3]] = (float,)
        arrows[float] = (*SMALL_FLOATS, BFLOAT16, half, complex)
        arrows[BFLOAT16] = arrows[half] = (single,)
        arrows[single] = (double, complex_single)
        arrows[double] = (complex_double,)
        arrows[complex] = (complex_single,)
        arrows[complex_single] = (complex_double,)

    def reach(node: Node) -> frozenset[Node]:
        return frozenset({node}).union(*(reach(above) for above in arrows[node]))

    return {node: reach(node) for node in arrows}


_UPPER: Final = {"standard": _upper_sets(False), "strict": _upper_sets(True)}


@functools.lru_cache(maxsize=4096)
def least_upper_bound(mode: str, nodes: frozenset[Node]) -> Node:
    """The lowest node to which all of ``nodes`` promote.

    Raises:
      TypePromotionError: there is none, or a node is no number.
    """
    upper = _UPPER[mode]
    for node in nodes:
        if node not in upper:
            raise TypePromotionError(
                f"Values of dtype {_name(node)} do not promote, but they were combined with values of dtype "
                f"{', '.join(sorted(_name(other) for other in nodes if other != node))}."
            )
    bounds = frozenset.intersection(*(upper[node] for node in nodes))
    for bound in bounds:
        if upper[bound] == bounds:
            return bound
    names = " and ".join(sorted(_name(node) for node in nodes))
    message = f"Operands of dtypes {names} have no available implicit dtype promotion path"
    if mode == "strict":
        message += (
            " when numpy_dtype_promotion is 'strict'. Convert them with .astype(...) to the dtype "
            "that you want, or set numpy_dtype_promotion='standard'."
        )
    elif any(node in SMALL_FLOATS for node in nodes):
        message += ": floats of 8 bits or fewer promote only with weakly typed Python scalars and integers. "
        message += "Convert one operand, for example with .astype('float32')."
    else:
        message += ": integers of 4 bits or fewer promote only with Python scalars. "
        message += "Convert one operand, for example with .astype('int32')."
    raise TypePromotionError(message)


def _name(node: Node) -> str:
    return f"Python {node.__name__}" if isinstance(node, type) else dtype_name(node)
