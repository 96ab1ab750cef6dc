"""Kernels of `ops.prng`: threefry-2x32, in two forms of the same arithmetic.

Many blocks: uint32 vectors, updated in place, in pieces that stay in the cache. Few blocks: NumPy's cost is
then a hundred calls, so the words lie side by side in 64-bit lanes of two Python integers, and one integer
operation acts on all lanes. A lane's low half holds the word; additions and left shifts spill into the high
half only, and masking clears it.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ...ops import prng as ops
from .register import kernel

Array = np.ndarray[Any, Any]

_PARITY = 0x1BD11BDA
# Five groups of four rounds; rotation distances alternate between two sets.
_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_FEW = 128
_PIECE = 1 << 14


@functools.lru_cache(maxsize=2 * _FEW)
def _lanes(n: int) -> tuple[int, int]:
    """For n lanes: one in each, and the mask of their low halves."""
    ones = int.from_bytes(np.ones(n, np.uint64).tobytes(), "little")
    return ones, ones * 0xFFFFFFFF


def _rounds_of_integers(k0: int, k1: int, x0: int, x1: int, ones: int, mask: int) -> tuple[int, int]:
    """Twenty rounds on words in the lanes of integers."""
    keys = (k0, k1, k0 ^ k1 ^ (ones * _PARITY))
    x0 = (x0 + k0) & mask
    x1 = (x1 + k1) & mask
    for group in range(1, 6):
        for r in _ROTATIONS[:4] if group & 1 else _ROTATIONS[4:]:
            x0 = (x0 + x1) & mask
            x1 = (((x1 << r) | (x1 >> (32 - r))) & mask) ^ x0
        x0 = (x0 + keys[group % 3]) & mask
        x1 = (x1 + keys[(group + 1) % 3] + ones * group) & mask
    return x0, x1


def _rounds_of_vectors(k0: Any, k1: Any, x0: Array, x1: Array, spare: Array) -> None:
    """Twenty rounds in place on uint32 vectors; the keys are scalars or vectors."""
    keys = (k0, k1, k0 ^ k1 ^ np.uint32(_PARITY))
    np.add(x0, k0, out=x0)
    np.add(x1, k1, out=x1)
    for group in range(1, 6):
        for r in _ROTATIONS[:4] if group & 1 else _ROTATIONS[4:]:
            np.add(x0, x1, out=x0)
            np.left_shift(x1, np.uint32(r), out=spare)
            np.right_shift(x1, np.uint32(32 - r), out=x1)
            np.bitwise_or(x1, spare, out=x1)
            np.bitwise_xor(x1, x0, out=x1)
        np.add(x0, keys[group % 3], out=x0)
        np.add(x1, keys[(group + 1) % 3] + np.uint32(group), out=x1)


def _vectors(k0: Any, k1: Any, x0: Array, x1: Array) -> None:
    """The generator in place on contiguous vectors, piece by piece; the keys are scalars or vectors."""
    n = x0.size
    spare = np.empty(min(n, _PIECE), np.uint32)
    for start in range(0, n, _PIECE):
        piece = slice(start, min(start + _PIECE, n))
        if isinstance(k0, np.ndarray):
            keys: tuple[Any, Any] = k0[piece], k1[piece]
        else:
            keys = k0, k1
        _rounds_of_vectors(*keys, x0[piece], x1[piece], spare[: piece.stop - start])


@functools.lru_cache(maxsize=64)
def _paired_counters(n: int) -> tuple[int, int]:
    """The historical counters in integer lanes: i and m + i for i < m = ceil(n / 2); odd n ends in 0."""
    half = (n + 1) // 2
    low = np.arange(half, dtype=np.uint64)
    high = low + np.uint64(half)
    if n % 2:
        high[-1] = 0
    return int.from_bytes(low.tobytes(), "little"), int.from_bytes(high.tobytes(), "little")


@functools.lru_cache(maxsize=64)
def _element_counters(n: int) -> int:
    """The counters 0 ... n - 1 in integer lanes."""
    return int.from_bytes(np.arange(n, dtype=np.uint64).tobytes(), "little")


def _words(value: int, n: int) -> Array:
    return np.frombuffer(value.to_bytes(8 * n, "little"), np.uint32)[::2]


def paired(k0: int, k1: int, n: int) -> Array:
    """n words in the historical layout, as a contiguous vector."""
    half = (n + 1) // 2
    if half <= _FEW:
        ones, mask = _lanes(half)
        low, high = _paired_counters(n)
        y0, y1 = _rounds_of_integers(ones * k0, ones * k1, low, high, ones, mask)
        # Both halves in one buffer: y1's lanes follow y0's.
        return np.ascontiguousarray(_words(y0 | (y1 << (64 * half)), 2 * half)[:n])
    out = np.empty(2 * half, np.uint32)
    out[:n] = np.arange(n, dtype=np.uint32)
    if n % 2:
        out[-1] = 0
    _vectors(np.uint32(k0), np.uint32(k1), out[:half], out[half:])
    return out[:n]


def by_element(k0: int, k1: int, n: int) -> tuple[Array, Array]:
    """Two words for each of n elements in the partitionable layout."""
    if n <= _FEW:
        ones, mask = _lanes(n)
        y0, y1 = _rounds_of_integers(ones * k0, ones * k1, 0, _element_counters(n), ones, mask)
        return _words(y0, n), _words(y1, n)
    counter = np.arange(n, dtype=np.uint64)
    x1 = counter.astype(np.uint32)
    x0 = (counter >> np.uint64(32)).astype(np.uint32) if n > 1 << 32 else np.zeros(n, np.uint32)
    _vectors(np.uint32(k0), np.uint32(k1), x0, x1)
    return x0, x1


def threefry(k0: Any, k1: Any, c0: Any, c1: Any) -> tuple[Array, Array]:
    """The generator on uint32 arrays of any shapes, which broadcast."""
    k0, k1, c0, c1 = np.broadcast_arrays(k0, k1, c0, c1)
    n = c0.size
    if n == 0:
        return np.empty(c0.shape, np.uint32), np.empty(c0.shape, np.uint32)
    if n <= _FEW:
        packed = [int.from_bytes(v.astype("<u8").tobytes(), "little") for v in (k0, k1, c0, c1)]
        ones, mask = _lanes(n)
        y0, y1 = _rounds_of_integers(packed[0], packed[1], packed[2], packed[3], ones, mask)
        return _words(y0, n).reshape(c0.shape), _words(y1, n).reshape(c0.shape)
    x0 = np.array(c0, np.uint32, order="C").reshape(-1)
    x1 = np.array(c1, np.uint32, order="C").reshape(-1)
    _vectors(np.ascontiguousarray(k0).reshape(-1), np.ascontiguousarray(k1).reshape(-1), x0, x1)
    return x0.reshape(c0.shape), x1.reshape(c1.shape)


def bits(k0: int, k1: int, bit_width: int, n: int, partitionable: bool) -> Array:
    """n unsigned integers of `bit_width` bits from one key, as a vector."""
    if n == 0:
        return np.empty(0, ops.UNSIGNED[bit_width])
    if partitionable:
        high, low = by_element(k0, k1, n)
        if bit_width == 64:
            return (high.astype(np.uint64) << np.uint64(32)) | low
        mixed = high ^ low
        return mixed if bit_width == 32 else mixed.astype(ops.UNSIGNED[bit_width])
    if bit_width == 32:
        return paired(k0, k1, n)
    if bit_width == 64:
        words = paired(k0, k1, 2 * n)
        return (words[:n].astype(np.uint64) << np.uint64(32)) | words[n:]
    # Narrow integers are cut from the words, lowest bits first.
    words = paired(k0, k1, -(-n * bit_width // 32))
    return (
        words.astype("<u4", copy=False)
        .view(ops.UNSIGNED[bit_width].newbyteorder("<"))[:n]
        .astype(ops.UNSIGNED[bit_width], copy=False)
    )


def key_words(keys: Array) -> list[tuple[int, int]]:
    """The words of each key, in row-major order."""
    flat = keys["fry"].reshape(-1, 2).tolist()
    return [(k0, k1) for k0, k1 in flat]


def from_words(words: Array) -> Array:
    """Keys from uint32[..., 2]."""
    return np.ascontiguousarray(words).view(ops.KEY).reshape(words.shape[:-1])


def split(k0: int, k1: int, n: int, partitionable: bool) -> Array:
    """n keys from one, as uint32[n, 2]."""
    if n == 0:
        return np.empty((0, 2), np.uint32)
    if partitionable:
        return np.stack(by_element(k0, k1, n), axis=-1)
    return paired(k0, k1, 2 * n).reshape(n, 2)


@kernel(ops.threefry2x32_p)
def threefry2x32(k0: Array, k1: Array, c0: Array, c1: Array) -> tuple[Array, Array]:
    return threefry(k0, k1, c0, c1)


@kernel(ops.random_seed_p)
def random_seed(seeds: Array, *, impl: Any) -> Array:
    if seeds.dtype.kind not in "iu":
        raise TypeError("seeds are integers")  # the shape rule's error, which says more, replaces this one
    # A 32-bit seed has no high half, whatever its sign.
    words = np.empty((*seeds.shape, 2), np.uint32)
    if seeds.dtype.itemsize == 8:
        whole = seeds.view(np.uint64)
        words[..., 0] = whole >> np.uint64(32)
        words[..., 1] = whole & np.uint64(0xFFFFFFFF)
    else:
        words[..., 0] = 0
        words[..., 1] = seeds.astype(np.uint32)
    return from_words(words)


@kernel(ops.random_wrap_p)
def random_wrap(words: Array, *, impl: Any) -> Array:
    return from_words(words)


@kernel(ops.random_unwrap_p)
def random_unwrap(keys: Array) -> Array:
    return keys["fry"]


@kernel(ops.random_split_p)
def random_split(keys: Array, *, shape: tuple[int, ...], partitionable: bool = False) -> Array:
    n = math.prod(shape)
    if keys.ndim == 0:
        k0, k1 = keys["fry"].tolist()
        return from_words(split(k0, k1, n, partitionable).reshape(*shape, 2))
    if n <= _PIECE:
        stacked = _split_many(keys["fry"].reshape(-1, 2), n, partitionable)
    else:
        stacked = np.stack([split(k0, k1, n, partitionable) for k0, k1 in key_words(keys)])
    return from_words(stacked.reshape(*keys.shape, *shape, 2))


def _split_many(words: Array, n: int, partitionable: bool) -> Array:
    """n keys from each of many, as uint32[len(words), n, 2]."""
    k0, k1 = words[:, :1], words[:, 1:]
    counter = np.arange(n, dtype=np.uint32)
    if partitionable:
        return np.stack(threefry(k0, k1, np.uint32(0), counter), axis=-1)
    return np.concatenate(threefry(k0, k1, counter, counter + np.uint32(n)), axis=-1).reshape(
        len(words), n, 2
    )


@kernel(ops.random_fold_in_p)
def random_fold_in(keys: Array, data: Array) -> Array:
    if keys.ndim == 0 and data.ndim == 0:
        k0, k1 = keys["fry"].tolist()
        y0, y1 = _rounds_of_integers(k0, k1, 0, int(data), 1, 0xFFFFFFFF)
        return from_words(np.array((y0, y1), np.uint32))
    words = keys["fry"]
    return from_words(np.stack(threefry(words[..., 0], words[..., 1], np.uint32(0), data), axis=-1))


@kernel(ops.random_bits_p)
def random_bits(keys: Array, *, bit_width: int, shape: tuple[int, ...], partitionable: bool = False) -> Array:
    n = math.prod(shape)
    if keys.ndim == 0:
        k0, k1 = keys["fry"].tolist()
        return bits(k0, k1, bit_width, n, partitionable).reshape(shape)
    out = np.empty((keys.size, n), ops.UNSIGNED[bit_width])
    if bit_width == 32 and n <= _PIECE:
        _fill_many(out, keys["fry"].reshape(-1, 2), n, partitionable)
    else:
        for row, (k0, k1) in zip(out, key_words(keys), strict=True):
            row[...] = bits(k0, k1, bit_width, n, partitionable)
    return out.reshape(*keys.shape, *shape)


def _fill_many(out: Array, words: Array, n: int, partitionable: bool) -> None:
    """n words from each of many keys, in one run of the vector form."""
    k0, k1 = words[:, :1], words[:, 1:]
    if partitionable:
        np.bitwise_xor(*threefry(k0, k1, np.uint32(0), np.arange(n, dtype=np.uint32)), out=out)
        return
    half = (n + 1) // 2
    low = np.arange(half, dtype=np.uint32)
    high = low + np.uint32(half)
    if n % 2:
        high[-1] = 0
    y0, y1 = threefry(k0, k1, low, high)
    out[:, :half] = y0
    out[:, half:] = y1[:, : n - half]
