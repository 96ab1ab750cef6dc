"""`Array`: text as JAX's, conversions to Python and NumPy, exchange of memory, immutability, constants."""

from __future__ import annotations

import array
import copy
import math
import pickle
import re
import sys
from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback._src.base.config import enable_x64
from pullback._src.core import dtypes
from pullback._src.core.array import CONSTANTS, ConcreteArray, as_array, from_numpy, scalar, wrap
from pullback._src.core.aval import ShapedArray

# Text ---------------------------------------------------------------------------------------------

VALUES: list[Any] = [
    1, 2.5, True, 1j, -0.0, 1e-30, 1e30, float("nan"),
    [1, 2, 3], [1.5, 2.0], [True, False], [], [[1.0, 2.0], [3.0, 4.0]],
    np.zeros((0, 3)), np.zeros((3, 0, 2)), np.arange(2000), np.arange(30.0).reshape(5, 6) / 7,
    np.arange(40) * 1.1, np.array([np.nan, np.inf, -np.inf]), np.zeros((2, 3, 4), bool),
    np.ones((2, 2)) * 1e10, np.ones(16, np.complex64) * (1 + 2j) / 3, np.full((2, 1, 1, 2), 1.25),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda v: re.sub(r"\s+", " ", repr(v))[:30])
def test_text_is_that_of_jax(value: Any) -> None:
    assert repr(pnp.asarray(value)) == repr(jnp.asarray(value))
    assert str(pnp.asarray(value)) == str(jnp.asarray(value))


@pytest.mark.parametrize(
    "name", ["bfloat16", "float16", "int8", "uint16", "bool", "complex64", "float8_e4m3fn", "int4"]
)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,), (20,)])
def test_text_of_all_kinds_of_dtypes_is_that_of_jax(name: str, shape: tuple[int, ...]) -> None:
    mine, theirs = (repr(library.ones(shape, name)) for library in (pnp, jnp))
    # JAX does not break the line before a dtype that does not fit; NumPy does, and so do we.
    assert re.sub(r"\s+", " ", mine) == re.sub(r"\s+", " ", theirs)
    assert all(len(line) <= 76 for line in mine.splitlines())


def test_text_of_weak_types() -> None:
    assert repr(pnp.asarray(1.0)) == "Array(1., dtype=float32, weak_type=True)"
    assert repr(pnp.asarray(1.0) * 2) == repr(jnp.asarray(1.0) * 2)


def test_text_of_keys() -> None:
    key = wrap(np.zeros((2,), dtypes.KEY_DTYPE))
    assert repr(key).startswith("Array((2,), dtype=key<fry>) overlaying:\n[[0 0]")
    assert str(key) == repr(key)


def test_text_of_float0() -> None:
    assert repr(wrap(np.zeros(2, dtypes.float0))) == "Array([False, False], dtype=float0)"


def test_format() -> None:
    x = pnp.asarray(2.0) / 3
    assert f"{x:.3f}" == "0.667"
    assert f"{x}" == str(x) == "0.6666667"
    assert f"{pnp.asarray(7):04d}" == "0007"
    assert f"{pnp.ones(2)}" == "[1. 1.]"
    with pytest.raises(TypeError, match=r"'\.3f' applies to arrays without dimensions, got shape \(2,\)"):
        f"{pnp.ones(2):.3f}"


# Conversions to Python ----------------------------------------------------------------------------


def test_numbers() -> None:
    assert int(pnp.asarray(3.7)) == 3
    assert float(pnp.asarray(3)) == 3.0
    assert complex(pnp.asarray(1 + 2j)) == 1 + 2j
    assert bool(pnp.asarray(0.0)) is False
    assert bool(pnp.ones((1, 1))) is True
    assert [10, 20, 30][pnp.asarray(1)] == 20
    assert list(range(pnp.asarray(3))) == [0, 1, 2]
    assert round(float(pnp.asarray(2.6))) == 3
    assert pnp.asarray(5).item() == 5 and type(pnp.asarray(5).item()) is int
    assert pnp.arange(4).item(2) == 2
    assert pnp.asarray([[1, 2]]).tolist() == [[1, 2]]
    assert math.sqrt(pnp.asarray(4.0)) == 2.0


@pytest.mark.parametrize("convert", [int, float, complex])
def test_only_scalars_become_numbers(convert: Any) -> None:
    with pytest.raises(TypeError, match=rf"Python {convert.__name__}; got shape \(1,\)"):
        convert(pnp.ones(1))


def test_truth_values() -> None:
    with pytest.raises(ValueError, match=r"2 elements \(shape \(2,\)\) is ambiguous; use .any\(\) or .all"):
        bool(pnp.ones(2))
    with pytest.raises(ValueError, match=r"0 elements"):
        bool(pnp.ones(0))


@pytest.mark.parametrize("value", [1.5, [1], [[1]]])
def test_only_integers_index(value: Any) -> None:
    with pytest.raises(TypeError, match="only integer arrays without dimensions"):
        [1, 2, 3][pnp.asarray(value)]


def test_length_and_iteration() -> None:
    assert len(pnp.ones((3, 2))) == 3
    rows = list(pnp.asarray(np.arange(6).reshape(3, 2)))
    assert [r.tolist() for r in rows] == [[0, 1], [2, 3], [4, 5]]
    assert all(isinstance(r, pb.Array) for r in rows)
    _, second = pnp.asarray([1.0, 2.0])
    assert float(second) == 2.0
    with pytest.raises(TypeError, match="without dimensions"):
        len(pnp.asarray(1.0))
    with pytest.raises(TypeError, match="without dimensions"):
        list(pnp.asarray(1.0))


def test_arrays_have_no_hash() -> None:
    with pytest.raises(TypeError, match=r"unhashable type: arrays have no hash \(here f32\[2\]\)"):
        hash(pnp.ones(2))
    with pytest.raises(TypeError, match="unhashable"):
        {pnp.ones(2): 1}


def test_attributes() -> None:
    x = pnp.ones((2, 3), pnp.bfloat16)
    assert (x.shape, x.ndim, x.size, x.itemsize, x.nbytes) == ((2, 3), 2, 6, 2, 12)
    assert x.dtype == ml_dtypes.bfloat16 and not x.weak_type
    assert pnp.asarray(1).weak_type
    assert x.block_until_ready() is x
    with pytest.raises(AttributeError):
        x.shape = (6,)
    with pytest.raises(AttributeError):
        x.something = 1


def test_tracers_are_arrays() -> None:
    seen = []
    pb.jit(lambda x: seen.append(x) or x)(1.0)
    pb.grad(lambda x: seen.append(x) or x)(1.0)
    pb.vmap(lambda x: seen.append(x) or x)(pnp.ones(2))
    assert len(seen) == 3 and all(isinstance(s, pb.Array) for s in seen)
    assert not any(isinstance(s, ConcreteArray) for s in seen)


# NumPy and other owners of memory -----------------------------------------------------------------


def test_array_protocol_gives_a_read_only_view() -> None:
    x = pnp.arange(3.0)
    view = np.asarray(x)
    assert view.dtype == np.float32 and not view.flags.writeable
    assert np.shares_memory(view, x._data)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 5


def test_array_protocol_copies_on_request() -> None:
    x = pnp.arange(3.0)
    copied = np.array(x)
    assert copied.flags.writeable and not np.shares_memory(copied, x._data)
    copied[0] = 7
    assert x[0] == 0
    assert np.asarray(x, np.float64).dtype == np.float64
    assert np.array(x, copy=False) is not None
    with pytest.raises(ValueError, match=r"dtype float32 cannot become one of dtype float64 without a copy"):
        np.array(x, dtype=np.float64, copy=False)


def test_keys_do_not_become_numpy_arrays() -> None:
    with pytest.raises(TypeError, match="key_data"):
        np.asarray(wrap(np.zeros(2, dtypes.KEY_DTYPE)))


@pytest.mark.parametrize(
    "value",
    [
        np.arange(4.0),
        np.arange(4.0, dtype=np.float32),
        np.arange(8, dtype=np.float32)[::2],
        np.arange(6, dtype=np.float32).reshape(2, 3).T,
        np.asfortranarray(np.ones((3, 2), np.float32)),
        np.arange(4, dtype=">f4"),
        np.array(3.0, np.float32),
        np.zeros((0, 2), np.float32),
        np.ma.masked_array([1.0, 2.0]),
    ],
    ids=str,
)
def test_numpy_memory_is_copied_in(value: Any) -> None:
    before = np.array(value)
    for x in (pnp.asarray(value), as_array(value), from_numpy(value)):
        assert not np.shares_memory(x._data, value)
        assert x._data.flags.c_contiguous and x._data.dtype.isnative and type(x._data) is np.ndarray
        assert x.shape == before.shape
        np.testing.assert_array_equal(np.asarray(x), before)
    if value.size:
        x = pnp.asarray(value)
        value[...] = 9
        np.testing.assert_array_equal(np.asarray(x), before)


def test_arguments_of_transformations_are_copied_in() -> None:
    value = np.ones(3, np.float32)
    out = [
        pb.jit(lambda x: x)(value),
        pb.vmap(lambda x: x)(value),
        pb.jvp(lambda x: x, (value,), (value,))[0],
    ]
    value[:] = 5
    for x in out:
        np.testing.assert_array_equal(np.asarray(x), np.ones(3))


def test_results_are_not_views_that_numpy_may_write_to() -> None:
    x = pnp.arange(6.0)
    y = x.reshape(2, 3)
    out = np.asarray(y)
    with pytest.raises(ValueError, match="read-only"):
        out[0, 0] = 1
    with pytest.raises((ValueError, TypeError)):
        np.add(1.0, 1.0, out=np.asarray(x)[:1])


def test_numpy_subclasses_of_numbers_keep_their_dtype() -> None:
    assert as_array(np.float16(1)).dtype == np.float16
    assert as_array(np.float64(1)).aval is ShapedArray((), np.float32)  # a float, but typed: not weak
    assert as_array(1.0).weak_type
    assert as_array(True).aval is ShapedArray((), np.bool_)


def test_64_bit_values_are_narrowed_unless_enabled() -> None:
    for dtype in (np.float64, np.int64, np.uint64, np.complex128):
        value = np.ones(2, dtype)
        assert as_array(value).dtype.itemsize == np.dtype(dtype).itemsize // 2
        with enable_x64(True):
            assert as_array(value).dtype == dtype


def test_objects_that_convert_themselves() -> None:
    class Wrapped:
        def __jax_array__(self) -> Any:
            return pnp.arange(3)

    class Old:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return np.arange(3)

    for value in (Wrapped(), Old(), array.array("i", [0, 1, 2]), memoryview(array.array("i", [0, 1, 2]))):
        assert as_array(value).tolist() == [0, 1, 2]


@pytest.mark.parametrize("value", ["text", b"text", None, object(), [1.0], {"a": 1}, {1}])
def test_other_objects_are_refused_with_their_type(value: Any) -> None:
    with pytest.raises(TypeError, match=f"the weights: .*{type(value).__name__}"):
        as_array(value, name="the weights")


@pytest.mark.parametrize("value", [np.array(["a"]), np.array([object()]), np.array(0, "datetime64[D]")])
def test_dtypes_without_numbers_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="numbers"):
        as_array(value)


def test_binary_operators_with_numpy_give_arrays() -> None:
    x, y = pnp.arange(3.0), np.arange(3.0)
    for out in (x + y, y + x, np.float32(2) * x, x - np.float64(1), np.array(2.0) / (x + 1)):
        assert isinstance(out, pb.Array) and out.dtype == np.float32


@pytest.mark.parametrize("dtype", ["float32", "int8", "complex64", "uint32", "bool"])
def test_dlpack_both_ways(dtype: str) -> None:
    x = pnp.asarray([[1, 0], [3, 4]], dtype)
    seen = np.from_dlpack(x)
    assert seen.dtype == dtype and not seen.flags.writeable and np.shares_memory(seen, x._data)
    np.testing.assert_array_equal(seen, np.asarray(x))
    back = pnp.from_dlpack(np.array(x))
    assert back.dtype == dtype
    np.testing.assert_array_equal(np.asarray(back), np.asarray(x))
    assert x.__dlpack_device__() == (1, 0)


def test_dlpack_never_hands_out_writable_memory() -> None:
    x = pnp.arange(3.0)
    copied = np.from_dlpack(x, copy=True)
    assert not np.shares_memory(copied, x._data)

    class OldConsumer:
        """Asks as consumers before version 1.0 of the protocol did."""

        def __init__(self, source: Any) -> None:
            self.capsule = source.__dlpack__()

        def __dlpack__(self, **options: Any) -> Any:
            return self.capsule

        def __dlpack_device__(self) -> tuple[int, int]:
            return (1, 0)

    old = np.from_dlpack(OldConsumer(x))
    assert not np.shares_memory(old, x._data)
    np.testing.assert_array_equal(old, np.asarray(x))
    with pytest.raises(BufferError, match="immutable"):
        x.__dlpack__(copy=False)


def test_dlpack_to_and_from_jax() -> None:
    x = pnp.asarray(np.arange(6.0).reshape(2, 3))
    there = jnp.from_dlpack(x)
    np.testing.assert_array_equal(np.asarray(there), np.asarray(x))
    np.testing.assert_array_equal(np.asarray(pnp.from_dlpack(there)), np.asarray(x))


def test_buffer_protocol() -> None:
    x = pnp.arange(3.0)
    if sys.version_info >= (3, 12):
        view = memoryview(x)
    else:
        # Before 3.12 a Python class cannot offer a buffer itself; it is one step away.
        with pytest.raises(TypeError, match="bytes-like"):
            memoryview(x)  # type: ignore[arg-type]
        view = x.__buffer__(0)
    assert view.readonly and view.tolist() == [0.0, 1.0, 2.0] and view.format == "f"
    assert x.tobytes() == np.arange(3, dtype=np.float32).tobytes()


def test_jax_arrays_are_accepted() -> None:
    assert pnp.asarray(jnp.arange(3)).tolist() == [0, 1, 2]


# Copies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "x",
    [
        pnp.asarray(np.arange(6.0).reshape(2, 3)),
        pnp.ones((), pnp.bfloat16),
        pnp.zeros((0, 2), bool),
        pnp.asarray(2),
        wrap(np.zeros(2, dtypes.KEY_DTYPE)),
    ],
    ids=repr,
)
def test_pickle_and_copies(x: Any) -> None:
    back = pickle.loads(pickle.dumps(x))
    assert back.aval is x.aval and type(back) is ConcreteArray
    assert back._data.tobytes() == x._data.tobytes()
    assert copy.copy(x) is x and copy.deepcopy(x) is x
    assert copy.deepcopy({"a": [x]})["a"][0] is x


# Constants ----------------------------------------------------------------------------------------


def test_scalars_are_cached_and_weak() -> None:
    f32 = np.dtype(np.float32)
    assert scalar(2, f32) is scalar(2, f32)
    assert scalar(2, f32).aval is ShapedArray((), np.float32, True)
    assert scalar(0.0, f32) is scalar(0.0, f32)
    assert scalar(2, f32) is not scalar(2, np.dtype(np.int32))


def test_numbers_that_come_in_are_no_constants() -> None:
    assert as_array(2.0) is not as_array(2.0)
    assert id(scalar(2.0, np.dtype(np.float32))) in CONSTANTS
    assert id(as_array(2.0)) not in CONSTANTS


@pytest.mark.parametrize(
    ("one", "other"), [(0.0, -0.0), (1, True), (1, 1.0), (complex(1, 0.0), complex(1, -0.0)), (0j, -0j)]
)
def test_equal_numbers_that_differ_are_not_mixed_up(one: Any, other: Any) -> None:
    dtype = np.dtype(np.complex64)
    for value in (one, other, one, other):
        assert scalar(value, dtype)._data.tobytes() == np.array(value, dtype).tobytes()


def test_integers_that_do_not_fit() -> None:
    with pytest.raises(OverflowError, match=r"2147483648 does not fit into int32; enable 64-bit"):
        scalar(2**31, np.dtype(np.int32))
    with pytest.raises(OverflowError, match="-1 does not fit into uint8"):
        scalar(-1, np.dtype(np.uint8))
