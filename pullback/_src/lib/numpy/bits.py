"""Bits packed into bytes, and out of them."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ...base.errors import DTypeError
from ...core.array import Array
from ...core.kinds import kind
from ...ops import arithmetic as ar
from ...ops.convert import convert_element_type
from ...ops.joining import concatenate
from ...ops.structural import canonical_axis, full, moveaxis, reduce_sum_p, reshape
from .creation import array
from .logic import truth
from .promotion import asarray, check_arraylike

__all__ = ["packbits", "unpackbits"]

_UINT8 = np.dtype(np.uint8)


def _shifts(name: str, bitorder: str) -> Array:
    if bitorder not in ("big", "little"):
        raise ValueError(f"{name}: bitorder must be 'big' or 'little'; got {bitorder!r}")
    places = np.arange(8, dtype=np.uint8)
    return array(places[::-1] if bitorder == "big" else places)


def packbits(a: Any, axis: int | None = None, bitorder: str = "big") -> Array:
    """Eight neighbouring elements along `axis` (None: of the flattened array) as the bits of one uint8.

    Args:
        a: integers or bools; nonzero means 1. The last byte is filled with zeros.
        axis: the dimension to pack.
        bitorder: whether the first element is the highest ("big") or the lowest bit ("little").
    """
    check_arraylike("packbits", a)
    x = asarray(a)
    if kind(x.aval.dtype) not in "biu":
        raise DTypeError(f"packbits expects integers or bools; got dtype {x.dtype}")
    shifts = _shifts("packbits", bitorder)
    if axis is None:
        x, axis = reshape(x, (x.aval.size,)), 0
    place = canonical_axis(axis, x.aval.ndim)
    bits = convert_element_type(moveaxis(truth(x), place, x.aval.ndim - 1), _UINT8)
    *rest, count = bits.aval.shape
    missing = -count % 8
    if missing:
        bits = concatenate([bits, full((*rest, missing), 0, _UINT8)], len(rest))
    groups = reshape(bits, (*rest, (count + missing) // 8, 8))
    packed = reduce_sum_p.bind(ar.shift_left_p.bind(groups, shifts), axes=(len(rest) + 1,))
    return moveaxis(packed, len(rest), place)


def unpackbits(a: Any, axis: int | None = None, count: int | None = None, bitorder: str = "big") -> Array:
    """The bits of uint8 numbers along `axis` (None: of the flattened array), as uint8 numbers 0 and 1.

    Args:
        a: uint8 numbers.
        axis: the dimension to unpack, which becomes eight times as long.
        count: how many bits to keep (negative: how many to drop at the end; beyond the end: zeros are added).
        bitorder: whether the highest ("big") or the lowest bit ("little") comes first.
    """
    check_arraylike("unpackbits", a)
    x = asarray(a)
    if x.aval.dtype != _UINT8:
        raise DTypeError(f"unpackbits expects dtype uint8; got {x.dtype}")
    shifts = _shifts("unpackbits", bitorder)
    if axis is None:
        x, axis = reshape(x, (x.aval.size,)), 0
    place = canonical_axis(axis, x.aval.ndim)
    x = moveaxis(x, place, x.aval.ndim - 1)
    *rest, size = x.aval.shape
    shifted = ar.shift_right_logical_p.bind(reshape(x, (*rest, size, 1)), shifts)
    bits: Any = reshape(ar.and_p.bind(shifted, full((), 1, _UINT8)), (*rest, size * 8))
    if count is not None:
        wanted = operator.index(count)
        wanted = max(wanted + size * 8, 0) if wanted < 0 else wanted
        if wanted <= size * 8:
            bits = bits[..., :wanted]
        else:
            bits = concatenate([bits, full((*rest, wanted - size * 8), 0, _UINT8)], len(rest))
    return moveaxis(bits, len(rest), place)
