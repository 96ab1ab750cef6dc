"""Array types: interning, tangent types, text; the public `ShapeDtypeStruct`."""

from __future__ import annotations

import copy
import pickle
import threading

import ml_dtypes
import numpy as np
import pytest

import pullback as pb
from pullback._src.core import dtypes
from pullback._src.core.aval import ShapedArray, Zero, shaped_array
from pullback.errors import ShapeError

TYPES = [
    ((), np.float32, False),
    ((3,), np.float32, True),
    ((2, 0), np.int8, False),
    ((1, 2, 3), np.complex64, False),
    ((), np.bool_, False),
    ((4,), ml_dtypes.bfloat16, False),
    ((5,), dtypes.KEY_DTYPE, False),
    ((2,), dtypes.float0, False),
]


@pytest.mark.parametrize(("shape", "dtype", "weak"), TYPES)
def test_equal_types_are_one_object(shape: tuple[int, ...], dtype: object, weak: bool) -> None:
    one = ShapedArray(shape, dtype, weak)
    assert ShapedArray(list(shape), np.dtype(dtype), weak) is one
    assert shaped_array(tuple(shape), np.dtype(dtype), weak) is one
    assert pickle.loads(pickle.dumps(one)) is one
    assert copy.deepcopy(one) is one
    assert one.update() is one


def test_different_types_are_different_objects() -> None:
    base = ShapedArray((2, 3), np.float32)
    for other in (
        ShapedArray((3, 2), np.float32),
        ShapedArray((2, 3), np.float16),
        ShapedArray((2, 3), np.float32, True),
        ShapedArray((6,), np.float32),
    ):
        assert other is not base and other != base


def test_interning_holds_across_threads() -> None:
    shapes = [(1000 + i, 7) for i in range(200)]
    found: list[list[ShapedArray]] = []
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        found.append([ShapedArray(s, np.float32) for s in shapes])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for column in zip(*found, strict=True):
        assert len({id(a) for a in column}) == 1


def test_parts() -> None:
    aval = ShapedArray((2, 3), np.float32)
    assert (aval.ndim, aval.size, len(aval)) == (2, 6, 2)
    assert ShapedArray((), np.float32).size == 1
    with pytest.raises(TypeError, match="without dimensions"):
        len(ShapedArray((), np.float32))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.complex64])
def test_tangents_of_inexact_types_have_the_same_type(dtype: object) -> None:
    aval = ShapedArray((3,), dtype)
    assert aval.to_tangent_aval() is aval


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.bool_, dtypes.KEY_DTYPE])
def test_tangents_of_other_types_are_float0(dtype: object) -> None:
    tangent = ShapedArray((3,), dtype).to_tangent_aval()
    assert tangent is ShapedArray((3,), dtypes.float0)
    assert tangent.to_tangent_aval() is tangent


def test_text() -> None:
    assert ShapedArray((3, 4), np.float32).str_short() == "f32[3,4]"
    assert ShapedArray((), ml_dtypes.bfloat16).str_short() == "bf16[]"
    assert ShapedArray((2,), np.bool_).str_short() == "bool[2]"
    assert repr(ShapedArray((3,), np.int32)) == "ShapedArray(int32[3])"
    assert repr(ShapedArray((), np.float32, True)) == "ShapedArray(float32[], weak_type=True)"


def test_update() -> None:
    aval = ShapedArray((3,), np.float32, True)
    assert aval.strip_weak_type() is ShapedArray((3,), np.float32)
    assert aval.update(shape=(4,)) is ShapedArray((4,), np.float32, True)
    assert aval.update(dtype=np.int8, weak_type=False) is ShapedArray((3,), np.int8)


def test_zero_is_a_type_without_a_value() -> None:
    zero = Zero(ShapedArray((2,), np.float32))
    assert (zero.shape, zero.dtype, repr(zero)) == ((2,), np.dtype(np.float32), "Zero(f32[2])")


def test_shape_dtype_struct() -> None:
    one = pb.ShapeDtypeStruct((2, 3), np.float32)
    assert (one.shape, one.dtype, one.ndim, one.size, len(one)) == ((2, 3), np.dtype(np.float32), 2, 6, 2)
    assert one == pb.ShapeDtypeStruct([2, 3], "float32") and hash(one) == hash(
        pb.ShapeDtypeStruct([2, 3], "float32")
    )
    assert one != pb.ShapeDtypeStruct((2, 3), np.float32, weak_type=True)
    assert one != pb.ShapeDtypeStruct((3, 2), np.float32)
    assert one != (2, 3)
    assert one.update(shape=(4,)) == pb.ShapeDtypeStruct((4,), np.float32)
    assert repr(one) == "ShapeDtypeStruct(shape=(2, 3), dtype=float32)"
    with pytest.raises(ValueError, match="dtype"):
        pb.ShapeDtypeStruct((2,), None)
    with pytest.raises(TypeError, match="without dimensions"):
        len(pb.ShapeDtypeStruct((), np.float32))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((2**63,), "int8"),
        ((2**61,), "float32"),
        ((2**32, 2**32), "bool"),
        ((10**30,), "int8"),
        ((2**62, 0), "int16"),
    ],
)
def test_more_bytes_than_addresses(shape: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(
        ShapeError, match=rf"shape \({shape[0]}, ?.*\) and dtype {dtype} would take 2\*\*63 bytes"
    ):
        ShapedArray(shape, dtype)


def test_large_programs_are_refused_and_never_wrap() -> None:
    assert ShapedArray((2**61 - 1,), "float32").size == 2**61 - 1
    x = pb.numpy.ones(3)
    for function in (
        lambda x: pb.numpy.broadcast_to(x, (2**62, 3)).sum(),
        lambda x: pb.numpy.pad(x, (2**62, 2**62)),
        lambda x: pb.lax.scan(lambda c, _: (c, c), x, None, length=2**61),
        pb.vmap(lambda a: pb.numpy.zeros(2**61) + a),
    ):
        with pytest.raises(ShapeError, match="2\\*\\*63 bytes"):
            pb.jit(function).lower(x)
