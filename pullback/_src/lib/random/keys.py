"""Random keys: making, splitting and folding them, and their bits.

A key is an array of dtype `key<fry>`; the older form, a uint32 array with a last dimension of size 2, is
accepted wherever a key is, and functions that return keys return the form that they were given.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ...base.config import settings
from ...base.errors import DTypeError, PullbackError, ShapeError
from ...core import dtypes
from ...core.array import Array, ConcreteArray, as_array, wrap
from ...core.kinds import kind
from ...ops import prng
from ...ops.convert import convert_element_type
from ...ops.joining import slice_p
from ...ops.structural import canonical_shape, reshape

__all__ = [
    "PRNGKey",
    "bits",
    "clone",
    "fold_in",
    "key",
    "key_data",
    "key_dtype",
    "key_impl",
    "split",
    "wrap_key_data",
]

IMPLEMENTATION = "threefry2x32"
_KEY = dtypes.KEY_DTYPE
_UINT32 = np.dtype(np.uint32)


# Checks shared by all functions of this package ---------------------------------------------------


def check_keys(name: str, keys: Any) -> tuple[Any, bool]:
    """An array of keys (of dtype `key<fry>`), and whether it came as uint32 words.

    Raises:
        TypeError: this is no key; the message says how to make one.
    """
    if isinstance(keys, Array):
        if keys.aval.dtype == _KEY:
            return keys, False
    elif isinstance(keys, (list, tuple)):
        raise DTypeError(
            f"{name} expects a random key, got a {type(keys).__name__} of length {len(keys)}. Pass one key; "
            "for several, stack them into an array with numpy.stack and map over it with vmap."
        )
    elif keys is None or isinstance(keys, (bool, int, float, complex, str)):
        raise DTypeError(
            f"{name} expects a random key as its first argument, got {keys!r} of type {type(keys).__name__}. "
            "Make a key with random.key(seed)."
        )
    words = as_array(keys, name=name)
    aval = words.aval
    if aval.dtype != _UINT32 or not aval.shape or aval.shape[-1] != 2:
        raise DTypeError(
            f"{name} expects a random key (dtype key<fry>, or uint32 with a last dimension of size 2), got "
            f"{aval.str_short()}. Make a key with random.key(seed)."
        )
    return prng.random_wrap(words), True


def check_key(name: str, key: Any) -> tuple[Any, bool]:
    """Like `check_keys`, for exactly one key.

    Raises:
        ValueError: an array of several keys.
    """
    keys, raw = check_keys(name, key)
    shape = keys.aval.shape
    if shape:
        raise ShapeError(
            f"{name} accepts a single key, but was given a key array of shape {shape} != (). "
            "Use vmap for batching."
        )
    return keys, raw


def like_given(keys: Any, raw: bool) -> Any:
    """Keys in the form of the ones that the user passed."""
    return prng.random_unwrap(keys) if raw else keys


def split_key(key: Any, n: int) -> list[Any]:
    """n keys from one, as a list."""
    keys = prng.random_split(key, (n,))
    return [_item(keys, i) for i in range(n)]


def _item(keys: Any, index: int) -> Any:
    if type(keys) is ConcreteArray:
        return wrap(keys._data[index, ...])
    one = slice_p.bind(keys, start_indices=(index,), limit_indices=(index + 1,), strides=None)
    return reshape(one, ())


# Making keys --------------------------------------------------------------------------------------


def _check_implementation(impl: Any) -> None:
    name = settings().default_prng_impl if impl is None else impl
    if name is dtypes.key_dtype or isinstance(name, prng.Threefry) or name in (IMPLEMENTATION, "fry"):
        return
    raise ValueError(f"unrecognized generator {name!r}: the one that exists here is {IMPLEMENTATION!r}")


def _seeded(name: str, seed: Any, impl: Any) -> Any:
    _check_implementation(impl)
    if isinstance(seed, int) and not isinstance(seed, np.generic):
        # Bits beyond the default integer type are cut off, as they would be by a conversion.
        if not -(2**63) <= seed < 2**63:
            raise OverflowError(f"{name} expects a seed of at most 64 bits, got {seed}")
        words = np.array(seed, np.int64)
        return prng.random_seed(wrap(words if settings().enable_x64 else words.astype(np.int32)))
    if isinstance(seed, (list, tuple)):
        raise DTypeError(
            f"{name} accepts a scalar seed, got a {type(seed).__name__}. Use vmap for several seeds."
        )
    if isinstance(seed, Array) and seed.aval.dtype == _KEY:
        raise DTypeError(f"{name} accepts a scalar seed, but was given a random key. Use split or fold_in.")
    value = as_array(seed, name=name)
    if value.aval.shape:
        raise ShapeError(
            f"{name} accepts a scalar seed, but was given an array of shape {value.aval.shape} != (). "
            "Use vmap for batching."
        )
    if kind(value.aval.dtype) == "b":
        value = convert_element_type(value, np.int32)
    if kind(value.aval.dtype) not in "iu":
        raise DTypeError(f"{name} expects an integer as its seed, got {value.aval.str_short()}")
    return prng.random_seed(value)


def key(seed: Any, *, impl: Any = None, dtype: Any = None) -> Array:
    """A random key from a seed.

    Args:
        seed: an integer, or an integer array without dimensions; without 64-bit types, its low 32 bits count.
        impl: the generator; 'threefry2x32' is the only one.
        dtype: the keys' dtype, as another way to name the generator.

    Returns:
        A key: an array of dtype `key<fry>` and shape ().
    """
    return _seeded("key", seed, dtype if impl is None else impl)


def PRNGKey(seed: Any, *, impl: Any = None) -> Array:
    """A random key in the older form: uint32[2]. See `key`."""
    new = _seeded("PRNGKey", seed, impl)
    return new if settings().enable_custom_prng else prng.random_unwrap(new)


def wrap_key_data(key_bits_array: Any, *, impl: Any = None, dtype: Any = None) -> Array:
    """Keys from their words.

    Args:
        key_bits_array: uint32[..., 2].
        impl, dtype: the generator, as for `key`.

    Returns:
        Keys of shape [...].
    """
    _check_implementation(dtype if impl is None else impl)
    return prng.random_wrap(as_array(key_bits_array, name="wrap_key_data"))


def key_data(keys: Any) -> Array:
    """The words of keys: uint32[..., 2]."""
    return prng.random_unwrap(check_keys("key_data", keys)[0])


def key_impl(keys: Any) -> str:
    """The name of the keys' generator."""
    check_keys("key_impl", keys)
    return IMPLEMENTATION


def key_dtype(impl_spec: Any = None) -> Any:
    """The dtype of keys of a generator (the default one if None)."""
    _check_implementation(impl_spec)
    return dtypes.key_dtype


# Using keys ---------------------------------------------------------------------------------------


def split(key: Any, num: Any = 2) -> Array:
    """Independent new keys from one; the old one must not be used again.

    Args:
        key: a random key.
        num: how many, or the shape of the array of new keys.

    Returns:
        Keys of shape (num,) or num.
    """
    single, raw = check_key("split", key)
    shape = (num,) if type(num) is int and num >= 0 else canonical_shape(num)
    return like_given(prng.random_split(single, shape), raw)


def fold_in(key: Any, data: Any) -> Array:
    """A new key from a key and an integer (a loop counter, the number of a device).

    Args:
        key: a random key.
        data: an integer, or an integer array without dimensions, taken as 32 unsigned bits.
    """
    single, raw = check_key("fold_in", key)
    if type(data) is int:
        if not 0 <= data < 2**32:
            raise OverflowError(f"fold_in expects data from 0 to 2**32 - 1, got {data}")
        word: Any = wrap(np.array(data, np.uint32))
    else:
        value = as_array(data, name="fold_in")
        if value.aval.shape:
            raise ShapeError(
                f"fold_in accepts a scalar, but was given an array of shape {value.aval.shape} != (). "
                "Use vmap for batching."
            )
        word = convert_element_type(value, np.uint32)
    return like_given(prng.random_fold_in(single, word), raw)


def clone(key: Any) -> Array:
    """The same key again, for deliberate reuse."""
    keys, raw = check_keys("clone", key)
    return like_given(keys, raw)


def bits(key: Any, shape: Any = (), dtype: Any = None) -> Array:
    """Uniformly distributed bits.

    Args:
        key: a random key.
        shape: the result's shape.
        dtype: an unsigned integer dtype of 8 to 64 bits (default: uint32, or uint64 with 64-bit types).
    """
    single, _ = check_key("bits", key)
    wanted = dtypes.canonicalize_dtype(np.uint64) if dtype is None else dtypes.check_user_dtype(dtype, "bits")
    if not dtypes.is_unsigned_integer(wanted) or dtypes.itemsize_bits(wanted) < 8:
        raise ArgumentError(
            f"dtype argument to `bits` must be an unsigned int dtype, got {dtypes.dtype_name(wanted)}"
        )
    return prng.random_bits(single, wanted.itemsize * 8, canonical_shape(shape))


class ArgumentError(PullbackError, ValueError):
    """An argument of a random function has a value that it cannot have."""


def float_dtype(name: str, dtype: Any) -> np.dtype[Any]:
    """The canonical form of a float dtype that the user gave (None: the default one).

    Raises:
        ValueError: another kind of dtype.
    """
    if dtype is None:
        return dtypes.default_float_dtype()
    wanted = dtypes.check_user_dtype(dtype, name)
    if not dtypes.is_floating(wanted):
        raise ArgumentError(
            f"dtype argument to `{name}` must be a float dtype, got {dtypes.dtype_name(wanted)}"
        )
    return wanted


def whole_number(name: str, value: Any) -> int:
    """A Python int from an int-like argument."""
    try:
        return operator.index(value)
    except TypeError:
        raise DTypeError(f"{name} must be an integer known before tracing, got {value!r}") from None
