"""Random bits: the counter-based generator threefry-2x32 (Salmon, Moraes, Dror & Shaw, SC 2011).

A key is a pair of 32-bit words. Keys are made from seeds, split into independent keys, folded with data, and
expanded into bits; each is a pure function of the key. All primitives act on arrays of keys: the results'
leading dimensions are those of the keys.

Two layouts of the counters exist, and programs record theirs in the parameter `partitionable` (absent:
False).
The historical one pairs counter i with counter i + n/2; the partitionable one gives element i the 64-bit
counter i, so that any part of the result can be computed by itself.

Keys and bits have no derivatives; all derivatives of random numbers come from the operations that turn bits
into numbers.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..base.config import settings
from ..base.errors import DTypeError, ShapeError
from ..core import dtypes, rules
from ..core.aval import ShapedArray, shaped_array
from ..core.kinds import kind
from ..core.primitive import Primitive
from .families import batch_broadcasting, broadcast_shapes
from .structural import moveaxis

KEY = dtypes.KEY_DTYPE
_UINT32 = np.dtype(np.uint32)
UNSIGNED = {bits: np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)}

_WHY = "keys and random bits are discrete"


class Threefry:
    """The name of the one generator, as it stands in programs."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "fry"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Threefry)

    def __hash__(self) -> int:
        return hash("fry")


THREEFRY = Threefry()


def _primitive(name: str, abstract: Callable[..., ShapedArray]) -> Primitive:
    primitive = Primitive(name)
    rules.abstract[primitive] = abstract
    rules.not_differentiable[primitive] = _WHY
    rules.not_transposable[primitive] = _WHY
    return primitive


def _layout() -> dict[str, Any]:
    """The parameter that records the layout in force: nothing for the default one."""
    return {"partitionable": True} if settings().threefry_partitionable else {}


def _check_keys(name: str, keys: ShapedArray) -> None:
    if keys.dtype != KEY:
        raise DTypeError(
            f"{name} expects random keys; got {keys.str_short()}. Make a key with random.key(seed)."
        )


# Seeds, and the two words of a key ----------------------------------------------------------------


def _seed_abstract(seeds: ShapedArray, *, impl: Any) -> ShapedArray:
    if kind(seeds.dtype) not in "iu":
        raise DTypeError(f"random_seed expects integers as seeds; got {seeds.str_short()}")
    return shaped_array(seeds.shape, KEY)


def _wrap_abstract(words: ShapedArray, *, impl: Any) -> ShapedArray:
    if words.dtype != _UINT32:
        raise DTypeError(f"key data must be of dtype uint32; got {words.str_short()}")
    if not words.shape or words.shape[-1] != 2:
        raise ShapeError(
            f"key data must have a last dimension of size 2 (the words of a key); got {words.str_short()}"
        )
    return shaped_array(words.shape[:-1], KEY)


def _unwrap_abstract(keys: ShapedArray) -> ShapedArray:
    _check_keys("random_unwrap", keys)
    return shaped_array((*keys.shape, 2), _UINT32)


random_seed_p = _primitive("random_seed", _seed_abstract)
random_wrap_p = _primitive("random_wrap", _wrap_abstract)
random_unwrap_p = _primitive("random_unwrap", _unwrap_abstract)

rules.batch[random_seed_p] = lambda axis, values, dims, *, impl: (
    random_seed_p.bind(values[0], impl=impl),
    dims[0],
)
rules.batch[random_wrap_p] = lambda axis, values, dims, *, impl: (
    random_wrap_p.bind(moveaxis(values[0], dims[0], 0), impl=impl),
    0,
)
rules.batch[random_unwrap_p] = lambda axis, values, dims: (random_unwrap_p.bind(values[0]), dims[0])


def random_seed(seeds: Any) -> Any:
    """Keys from an array of integers: the high and low 32 bits of each are the words."""
    return random_seed_p.bind(seeds, impl=THREEFRY)


def random_wrap(words: Any) -> Any:
    """uint32[..., 2] words as keys of shape [...]."""
    return random_wrap_p.bind(words, impl=THREEFRY)


def random_unwrap(keys: Any) -> Any:
    """The words of keys: uint32[..., 2]."""
    return random_unwrap_p.bind(keys)


# Splitting and folding ----------------------------------------------------------------------------


def _split_abstract(keys: ShapedArray, *, shape: tuple[int, ...], partitionable: bool = False) -> ShapedArray:
    _check_keys("random_split", keys)
    return shaped_array((*keys.shape, *shape), KEY)


def _fold_in_abstract(keys: ShapedArray, data: ShapedArray) -> ShapedArray:
    _check_keys("random_fold_in", keys)
    if data.dtype != _UINT32:
        raise DTypeError(f"random_fold_in expects data of dtype uint32; got {data.str_short()}")
    return shaped_array(broadcast_shapes("random_fold_in", keys.shape, data.shape), KEY)


random_split_p = _primitive("random_split", _split_abstract)
random_fold_in_p = _primitive("random_fold_in", _fold_in_abstract)


def _leading_batch(primitive: Primitive) -> Callable[..., tuple[Any, int]]:
    """The batch rule where the results' leading dimensions are those of the one operand."""

    def rule(axis: Any, values: Sequence[Any], dims: Sequence[int], **params: Any) -> tuple[Any, int]:
        return primitive.bind(values[0], **params), dims[0]

    return rule


rules.batch[random_split_p] = _leading_batch(random_split_p)
rules.batch[random_fold_in_p] = lambda axis, values, dims: batch_broadcasting(
    random_fold_in_p, values, dims, {}
)


def random_split(keys: Any, shape: tuple[int, ...]) -> Any:
    """Of each key, `shape` new keys."""
    return random_split_p.bind(keys, shape=shape, **_layout())


def random_fold_in(keys: Any, data: Any) -> Any:
    """New keys from keys and uint32 data, which broadcast."""
    return random_fold_in_p.bind(keys, data)


# Bits ---------------------------------------------------------------------------------------------


def _bits_abstract(
    keys: ShapedArray, *, bit_width: int, shape: tuple[int, ...], partitionable: bool = False
) -> ShapedArray:
    _check_keys("random_bits", keys)
    if bit_width not in UNSIGNED:
        raise DTypeError(f"random_bits: bit_width must be 8, 16, 32 or 64; got {bit_width}")
    return shaped_array((*keys.shape, *shape), UNSIGNED[bit_width])


random_bits_p = _primitive("random_bits", _bits_abstract)
rules.batch[random_bits_p] = _leading_batch(random_bits_p)


def random_bits(keys: Any, bit_width: int, shape: tuple[int, ...]) -> Any:
    """Of each key, `shape` uniformly distributed unsigned integers of `bit_width` (8, 16, 32 or 64) bits."""
    return random_bits_p.bind(keys, bit_width=operator.index(bit_width), shape=shape, **_layout())


# The generator itself -----------------------------------------------------------------------------


def _threefry_abstract(*avals: ShapedArray) -> list[ShapedArray]:
    for a in avals:
        if a.dtype != _UINT32:
            raise DTypeError(
                f"threefry2x32 expects uint32 operands; got {', '.join(a.str_short() for a in avals)}"
            )
    shape = broadcast_shapes("threefry2x32", *[a.shape for a in avals])
    return [shaped_array(shape, _UINT32)] * 2


threefry2x32_p = Primitive("threefry2x32", multiple_results=True, elementwise=True)
rules.abstract[threefry2x32_p] = _threefry_abstract
rules.not_differentiable[threefry2x32_p] = _WHY
rules.not_transposable[threefry2x32_p] = _WHY


def _threefry_batch(
    axis: Any, values: Sequence[Any], dims: Sequence[int | None]
) -> tuple[list[Any], list[int]]:
    out, dim = batch_broadcasting(threefry2x32_p, values, dims, {})
    return out, [dim, dim]


rules.batch[threefry2x32_p] = _threefry_batch


def threefry2x32(key0: Any, key1: Any, count0: Any, count1: Any) -> list[Any]:
    """The two output words of threefry-2x32 (20 rounds) for uint32 operands, which broadcast."""
    return threefry2x32_p.bind(key0, key1, count0, count1)
