"""Scalar types, questions about dtypes and shapes, against JAX."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback._src.lib.numpy import types

from .expressions import check, parametrize


@parametrize(
    [
        "jnp.linspace(jnp.float16(0),1,3)",
        "jnp.linspace(jnp.bfloat16(0),1,3)",
        "jnp.frombuffer(np.ones(2,np.float32),dtype=jnp.float32)",
        "jnp.astype(-f,jnp.uint8)",
        "jnp.float32(1.5)",
        "jnp.float32([1,2])",
        "jnp.float32()",
        "jnp.int32(1.7)",
        "jnp.bool_(2)",
        "jnp.float32 == np.float32",
        "np.float32==jnp.float32",
        "f.dtype==jnp.float32",
        "jnp.float32==f.dtype",
        "jnp.float32==np.dtype('float32')",
        "jnp.float32=='float32'",
        "jnp.float32==jnp.float64",
        "hash(jnp.float32)==hash(np.float32)",
        "isinstance(jnp.float32(1),jnp.float32)",
        "isinstance(f,jnp.float32)",
        "isinstance(np.float32(1),jnp.float32)",
        "jnp.float64(1)",
        "jnp.float32.__name__",
        "issubclass(jnp.float32,jnp.floating)",
        "jnp.issubdtype(f.dtype,jnp.float32)",
        "jnp.issubdtype(float,jnp.floating)",
        "jnp.issubdtype('int8',jnp.integer)",
        "jnp.isdtype(f.dtype,'real floating')",
        "jnp.isdtype('int8','integral')",
        "jnp.isdtype('int8',('bool','signed integer'))",
        "jnp.isdtype('int8','foo')",
        "jnp.isdtype('int8',jnp.int8)",
        "jnp.isdtype('complex64','complex floating')",
        "jnp.isdtype('uint8','unsigned integer')",
        "jnp.isdtype('int8',3)",
        "jnp.can_cast('int8','float16')",
        "jnp.can_cast(jnp.int32,jnp.float32)",
        "jnp.can_cast(jnp.bfloat16,jnp.float32)",
        "jnp.promote_types('int8','uint8')",
        "jnp.promote_types(jnp.bfloat16,jnp.float16)",
        "jnp.promote_types(int,'float16')",
        "jnp.result_type(1,f)",
        "jnp.result_type(1,2.)",
        "jnp.result_type()",
        "jnp.result_type([1])",
        "jnp.finfo('bfloat16').eps",
        "jnp.finfo(1.).max",
        "jnp.finfo(f.dtype).tiny",
        "jnp.finfo(int)",
        "jnp.iinfo('uint4').max",
        "jnp.iinfo(float)",
        "jnp.finfo(jnp.complex64).eps",
        "jnp.shape(f)",
        "jnp.shape([1,2])",
        "jnp.shape(1)",
        "jnp.ndim([[1]])",
        "jnp.ndim(1)",
        "jnp.size(f)",
        "jnp.size(jnp.ones((2,3)),1)",
        "jnp.size([1,2])",
        "jnp.size(jnp.ones((2,3)),(0,1))",
        "jnp.size(f,2)",
        "jnp.iterable(f)",
        "jnp.iterable(3)",
        "jnp.dtype('float32')",
        "isinstance(f,jnp.ndarray)",
        "jnp.get_printoptions()['precision']",
        "jnp.shape(None)",
        "jnp.float8_e4m3fn(1.1)",
        "jnp.int4(3)",
        "jnp.float32(f).dtype",
        "jnp.float32(x=1)",
        "jnp.int8(300)",
        "jnp.uint8(-1)",
        "jnp.int32(jnp.float32(2.7))",
        "jnp.finfo(jnp.float16).bits",
        "jnp.iinfo(jnp.uint8).max",
        "jnp.finfo(f).eps",
        "jnp.iinfo(i).min",
        "jnp.dtype(jnp.bfloat16) == jnp.bfloat16",
        "f.dtype != jnp.float16",
        "jnp.float32 in [f.dtype]",
        "{np.dtype('float32'): 1}[f.dtype]",
        "jnp.float32.dtype",
        "jnp.int_ is jnp.int64",
        "np.zeros(2, jnp.float32).dtype",
        "jnp.pi",
        "jnp.e",
        "jnp.inf",
        "jnp.nan",
        "jnp.euler_gamma",
        "jnp.newaxis",
        "np.float32 == jnp.float32",
        "f.astype(jnp.bool_)",
        "jnp.issubdtype(jnp.int4, jnp.integer)",
        "jnp.zeros(2, jnp.float8_e4m3fn)",
    ]
)
def test_types(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    "name", ["int8", "uint64", "float16", "bfloat16", "float8_e5m2", "complex64", "bool_"]
)
def test_scalar_types(name: str) -> None:
    scalar_type = getattr(pnp, name)
    dtype = np.dtype(getattr(ml_dtypes if "8_" in name or "bf" in name else np, name))
    assert scalar_type == dtype and dtype == scalar_type and scalar_type.dtype == dtype
    assert hash(scalar_type) == hash(dtype.type)
    assert scalar_type != np.dtype(np.float64)
    assert scalar_type != "something else"
    assert isinstance(dtype.type(1), scalar_type)
    assert repr(scalar_type) == f"<class 'pullback.numpy.{dtype.name}'>"


def test_scalar_types_make_arrays() -> None:
    x = pnp.float32(1.5)
    assert isinstance(x, pnp.ndarray) and x.dtype == pnp.float32 and not x.weak_type
    assert float(pb.jit(pnp.float16)(2.0)) == 2.0


def test_scalar_types_survive_copies() -> None:
    for other in (copy.deepcopy(pnp.float32), copy.copy(pnp.bfloat16)):
        assert other in (pnp.float32, pnp.bfloat16)
    assert {pnp.float32: 1}[np.float32] == 1  # type: ignore[index]


def test_files(tmp_path: Any) -> None:
    path = tmp_path / "a.npz"
    pnp.savez(path, pnp.arange(3), b=pnp.ones(2))
    with pnp.load(path) as found:
        np.testing.assert_array_equal(found["arr_0"], [0, 1, 2])
        np.testing.assert_array_equal(found["b"], [1, 1])
    with io.BytesIO() as file:
        pnp.save(file, pnp.ones(2, pnp.bfloat16))
        file.seek(0)
        assert pnp.load(file).dtype == pnp.bfloat16


def test_arrays_survive_pickling() -> None:
    x = pickle.loads(pickle.dumps(pnp.arange(3.0)))
    np.testing.assert_array_equal(np.asarray(x), [0, 1, 2])


def test_printing() -> None:
    x = pnp.array([1.23456789, 2.0])
    assert pnp.array_repr(x, precision=2) == "Array([1.23, 2.  ], dtype=float32)"
    assert pnp.array_str(x, precision=3) == "[1.235 2.   ]"
    assert pnp.array2string(x, precision=1) == "[1.2 2. ]"
    before = pnp.get_printoptions()["precision"]
    with pnp.printoptions(precision=2):
        assert str(x) == "[1.23 2.  ]"
        assert pnp.get_printoptions()["precision"] == 2
    pnp.set_printoptions(precision=before)
    assert pnp.get_printoptions()["precision"] == before


def test_namespace_info() -> None:
    info = pnp.__array_namespace_info__()
    assert info.default_dtypes()["real floating"] == np.float32
    assert set(info.dtypes(kind="integral")) == {"int8", "int16", "int32", "uint8", "uint16", "uint32"}
    assert info.devices() == [info.default_device()]
    assert info.capabilities()["boolean indexing"]


def test_the_facade_holds_every_chapter() -> None:
    for name in types.__all__:
        assert getattr(pnp, name) is getattr(types, name)
