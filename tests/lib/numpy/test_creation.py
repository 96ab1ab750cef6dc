"""Arrays from values, filled arrays, ranges and buffers, against JAX."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback._src.base.config import enable_x64
from pullback.test_util import check_grads

from .expressions import check, parametrize


@parametrize(
    [
        "jnp.isclose(jnp.array([1e-9,1.]),jnp.array([0.,1.00001]))",
        "jnp.isscalar(jnp.ones(1))",
        "jnp.bitwise_count(jnp.array([-128],jnp.int8))",
        "jnp.array([1,2.])",
        "jnp.array(1)",
        "jnp.array(1.)",
        "jnp.array([])",
        "jnp.array(True)",
        "jnp.array([1,True])",
        "jnp.array(2,jnp.float16)",
        "jnp.array([1,2],dtype='int8')",
        "jnp.array([300],dtype='int8')",
        "jnp.array(300,dtype='int8')",
        "jnp.array([1.5],dtype=int)",
        "jnp.array([1+2j],dtype=float)",
        "jnp.array(2**40)",
        "jnp.array([2**40])",
        "jnp.array(np.float64(1.5))",
        "jnp.array(np.int64(3))",
        "jnp.array([np.float64(1.5),1])",
        "jnp.array([jnp.float32(1),2])",
        "jnp.array([jnp.array([1,2]),jnp.array([3,4])])",
        "jnp.array([f,i])",
        "jnp.array('a')",
        "jnp.array(None)",
        "jnp.array([None])",
        "jnp.array(object())",
        "jnp.array([[1,2],[3]])",
        "jnp.array(1,ndmin=2)",
        "jnp.array(f,order='F')",
        "jnp.array(f,order='X')",
        "jnp.array(np.array(['a']))",
        "jnp.array(range(3))",
        "jnp.array((1,2))",
        "jnp.array({1:2})",
        "jnp.array(b'abc')",
        "jnp.array(bytearray(b'ab'))",
        "jnp.array([[]])",
        "jnp.array([1j,2])",
        "jnp.array(jnp.array(1.)+0)",
        "jnp.array(2.0*jnp.ones(()))",
        "jnp.asarray(1.)",
        "jnp.asarray(1.,dtype=float)",
        "jnp.asarray([1.,2.],copy=False)",
        "jnp.asarray(np.ones(2,np.float32),copy=False)",
        "jnp.asarray(f,dtype=jnp.int32,copy=False)",
        "jnp.array(f,dtype=None)",
        "jnp.zeros(3)",
        "jnp.zeros((2,),int)",
        "jnp.zeros(())",
        "jnp.zeros(3.)",
        "jnp.zeros(-1)",
        "jnp.zeros((2,-1))",
        "jnp.zeros(3,dtype='f2')",
        "jnp.zeros(3,'float64')",
        "jnp.zeros(None)",
        "jnp.zeros(jnp.array(3))",
        "jnp.zeros([2,1])",
        "jnp.zeros('a')",
        "jnp.ones(2,bool)",
        "jnp.full(2,1)",
        "jnp.full(2,1.5)",
        "jnp.full((2,),True)",
        "jnp.full(2,1,float)",
        "jnp.full((2,2),f[:2])",
        "jnp.full((2,),[1,2])",
        "jnp.full((2,),f)",
        "jnp.full(2,jnp.float16(2))",
        "jnp.full(2,1.5,int)",
        "jnp.zeros_like(f)",
        "jnp.zeros_like(1)",
        "jnp.zeros_like(1.)",
        "jnp.zeros_like([1,2])",
        "jnp.zeros_like(f,dtype=int)",
        "jnp.zeros_like(f,shape=(2,))",
        "jnp.zeros_like(jnp.array(1.)*1)",
        "jnp.ones_like(2.)",
        "jnp.full_like(f,2)",
        "jnp.full_like(i,2.5)",
        "jnp.full_like(1,2.5)",
        "jnp.full_like(1.,2)",
        "jnp.full_like(f,i)",
        "jnp.full_like(f,jnp.ones((2,3)))",
        "jnp.empty_like(1)",
        "jnp.empty(2)",
        "jnp.zeros_like(None)",
        "jnp.arange(3)",
        "jnp.arange(3.)",
        "jnp.arange(1,3)",
        "jnp.arange(1,3.)",
        "jnp.arange(0,1,0.25)",
        "jnp.arange(3,dtype=float)",
        "jnp.arange(3,dtype='int8')",
        "jnp.arange(5,0,-2)",
        "jnp.arange(0)",
        "jnp.arange(-3)",
        "jnp.arange(1,None)",
        "jnp.arange(3,None,2)",
        "jnp.arange()",
        "jnp.arange(1j)",
        "jnp.arange(jnp.array(3))",
        "jnp.arange(np.int8(3))",
        "jnp.arange(True)",
        "jnp.arange(0,3,0)",
        "jnp.arange(2.5)",
        "jnp.arange(0,2.5)",
        "jnp.arange(1,10,3)",
        "jnp.arange(stop=3)",
        "jnp.arange(start=3)",
        "jnp.arange(np.float16(3))",
        "jnp.arange(3,dtype=bool)",
        "jnp.arange(2,dtype=bool)",
        "jnp.arange(3,dtype=complex)",
        "jnp.arange('a')",
        "jnp.arange(0.,1.,.1)",
        "jnp.arange(f)",
        "jnp.arange(0,10,dtype=jnp.bfloat16)",
        "jnp.arange(3,dtype='uint8')",
        "jnp.arange(-2,3,dtype='uint8')",
        "jnp.arange(0, 300, dtype='uint8').sum()",
        "jnp.linspace(0,1,5)",
        "jnp.linspace(0,1,5,endpoint=False)",
        "jnp.linspace(0,1,3,retstep=True)",
        "jnp.linspace(0,10,3,dtype=int)",
        "jnp.linspace(0,1,1)",
        "jnp.linspace(0,1,0)",
        "jnp.linspace(0,1,1,endpoint=False)",
        "jnp.linspace(0,1,1,retstep=True)",
        "jnp.linspace(0,1,0,retstep=True)",
        "jnp.linspace(f,2*f,2)",
        "jnp.linspace(f,2*f,2,axis=1)",
        "jnp.linspace(f,2*f,2,axis=-1)",
        "jnp.linspace(1j,2,3)",
        "jnp.linspace(i,5,3)",
        "jnp.linspace(0,1,-1)",
        "jnp.linspace(0,1,2.5)",
        "jnp.linspace([0],[1],2)",
        "jnp.linspace(jnp.float16(0),1,3)",
        "jnp.linspace(-2,2,4,dtype=int)",
        "jnp.linspace(0,1,3,dtype='int8')",
        "jnp.linspace(jnp.bfloat16(0),1,3)",
        "jnp.logspace(0,2,3)",
        "jnp.logspace(0,2,3,base=2)",
        "jnp.logspace(0,2,3,dtype=int)",
        "jnp.logspace(0,2,3,endpoint=False)",
        "jnp.logspace(i,3,2)",
        "jnp.geomspace(1,100,3)",
        "jnp.geomspace(1,100,3,endpoint=False)",
        "jnp.geomspace(-1,-100,3)",
        "jnp.geomspace(1,-1,3)",
        "jnp.geomspace(1,1j,3)",
        "jnp.geomspace(1,1000,4,dtype=int)",
        "jnp.geomspace(1,100,1)",
        "jnp.geomspace(i,100,2,axis=1)",
        "jnp.geomspace(0,1,3)",
        "jnp.eye(2)",
        "jnp.eye(2,3)",
        "jnp.eye(2,3,1)",
        "jnp.eye(2,3,-1)",
        "jnp.eye(2,dtype=int)",
        "jnp.eye(2,dtype=bool)",
        "jnp.eye(-1)",
        "jnp.eye(2.)",
        "jnp.eye(2,k=jnp.array(1))",
        "jnp.identity(2)",
        "jnp.identity(2,int)",
        "jnp.tri(2)",
        "jnp.tri(2,3,1)",
        "jnp.tri(2,3,-1,int)",
        "jnp.eye(2,k=5)",
        "jnp.eye(2,k=1.)",
        "jnp.eye(0)",
        "jnp.fromfunction(lambda i,j:i+j,(2,2))",
        "jnp.fromfunction(lambda i,j:i*j,(2,2),dtype=int)",
        "jnp.fromfunction(lambda i,j:(i,j),(2,2))",
        "jnp.fromfunction(lambda i:1,(2,))",
        "jnp.frombuffer(b'\x01\x02',dtype='int8')",
        "jnp.frombuffer(np.ones(2,np.float32))",
        "jnp.frombuffer(np.ones(2,np.float32),dtype=jnp.float32)",
        "jnp.fromstring('1 2',sep=' ')",
        "jnp.fromstring('1,2',int,sep=',')",
        "jnp.from_dlpack(np.ones(2,np.float32))",
        "jnp.from_dlpack(f)",
        "jnp.copy(f)",
        "jnp.copy([1])",
        "jnp.copy(1)",
        "jnp.copy(1.)",
        "jnp.astype(f,int)",
        "jnp.astype(f,None)",
        "jnp.astype(c,float)",
        "jnp.astype(c,int)",
        "jnp.astype(c,bool)",
        "jnp.astype(f,bool)",
        "jnp.astype([1],float)",
        "jnp.astype(1.,int)",
        "jnp.astype(1.5,None)",
        "jnp.astype(-f,jnp.uint8)",
        "jnp.astype(jnp.array([300.5,-5.,jnp.nan]),jnp.uint8)",
        "jnp.size(jnp.ones((2,3)),1)",
        "jnp.size(jnp.ones((2,3)),(0,1))",
        "jnp.full((2,),1j,float)",
        "jnp.full(3,jnp.ones((2,3)))",
        "jnp.full((2,3),jnp.ones(3))",
        "jnp.linspace(0.1,1.7,7)",
        "jnp.linspace(0.,1.,1000)[-3:]",
        "jnp.linspace(jnp.inf,1,3)",
        "jnp.linspace(0,jnp.nan,3)",
        "jnp.linspace(3,3,3)",
        "jnp.geomspace(-1,-100,3,dtype=complex)",
        "jnp.geomspace(1.,256.,9)",
        "jnp.arange(0,-1,0.1)",
        "jnp.arange(0,5,jnp.array(2))",
        "jnp.arange(jnp.float16(0),5)",
        "jnp.arange(jnp.array(0.),5,2)",
        "jnp.eye(3,k=-1,dtype=complex)",
        "jnp.from_dlpack(np.ones(2))",
        "jnp.frombuffer(b'abc',dtype='int16')",
        "jnp.frombuffer(b'abcd',dtype='int8',count=2,offset=1)",
        "jnp.copy(np.ones(2))",
        "jnp.zeros_like(f,device=None)",
        "jnp.ones_like(f,shape=3)",
        "jnp.full_like(f,[1])",
        "jnp.full_like([1.,2.],1)",
        "jnp.zeros_like(np.ones(3))",
        "jnp.zeros_like(True)",
        "jnp.full_like(f,1,dtype=int,shape=(2,))",
        "jnp.full_like(f,1.,dtype=int)",
        "jnp.tri(2.)",
        "jnp.tri(2,k=jnp.array(1))",
        "jnp.identity(2,dtype='int8')",
        "jnp.asarray(f,'int8')",
        "jnp.asarray(f,order='C')",
        "jnp.asarray(f,order='F')",
        "jnp.asarray(np.ones(3),copy=False)",
        "jnp.asarray(3,dtype='float16')",
        "jnp.asarray(3.7,dtype='int8')",
        "jnp.asarray(1j,dtype=float)",
        "jnp.asarray([1,2.5],dtype='int8')",
        "jnp.array([1.5,True])",
        "jnp.array([True,False],dtype=float)",
        "jnp.array([np.int8(1),np.int16(2)])",
        "jnp.array([np.float32(1),1.0])",
        "jnp.array([jnp.bfloat16(1),1.0])",
        "jnp.array([jnp.array(1.),1])",
        "jnp.array([jnp.array(1,jnp.int8),1])",
        "jnp.array([[jnp.array(1.),2],[3,4]])",
        "jnp.array([np.array([1,2]),[3,4]])",
        "jnp.array(np.array(1.))",
        "jnp.array(np.array([1,2]),dtype=float)",
        "jnp.array(memoryview(b'ab'))",
        "jnp.array(jnp.arange(3),copy=False)",
        "jnp.array(f,ndmin=3)",
        "jnp.array(3,copy=None)",
        "jnp.array(float('nan'))",
        "jnp.array([1,2],dtype=bool)",
        "jnp.array(['a'])",
        "jnp.array(iter([1]))",
        "jnp.array([[],[]])",
        "jnp.array(((1,),(2,)))",
        "jnp.array([2**31])",
        "jnp.array([2**63])",
        "jnp.array(-2**31)",
        "jnp.array(np.array([2**40]))",
        "jnp.array([3000000000],dtype='uint32')",
        "jnp.array([-1],dtype='uint8')",
        "jnp.array(np.array([300]),dtype='int8')",
        "jnp.array([np.int64(300)],dtype='int8')",
        "jnp.array([float('nan')],dtype=int)",
        "jnp.array(1,dtype='U')",
        "jnp.array(1,'foo')",
        "jnp.array([1],dtype=object)",
        "jnp.asarray(range(2,4),dtype=float)",
        "jnp.zeros(2,dtype='O')",
        "jnp.zeros_like(ShapeDtypeStruct((2,), np.int8))",
        "jnp.ones_like(ShapeDtypeStruct((2,), np.float32))",
        "jnp.array([1e10], dtype='int32')",
        "jnp.geomspace(1.0, 256.0, 9)[3]",
    ]
)
def test_creation(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    ("function", "primitives"),
    [
        (lambda: pnp.zeros((300, 300)), {"broadcast_in_dim"}),
        (lambda: pnp.ones((300, 300), np.int8), {"broadcast_in_dim"}),
        (lambda: pnp.full((300, 300), 2.5), {"broadcast_in_dim"}),
        (lambda: pnp.zeros_like(np.ones((300, 300))), {"broadcast_in_dim"}),
        (lambda: pnp.arange(10_000), {"iota"}),
        (lambda: pnp.arange(3, 10_000, 2), {"iota", "mul", "add"}),
        (lambda: pnp.arange(0.0, 1000.0, 0.1), {"iota", "mul", "convert_element_type"}),
        (lambda: pnp.eye(300), {"iota", "eq", "convert_element_type"}),
        (lambda: pnp.tri(300, k=1), {"iota", "add", "ge", "convert_element_type"}),
    ],
)
def test_large_arrays_are_recorded_not_baked(function: Any, primitives: set[str]) -> None:
    program = pb.make_jaxpr(function)()
    assert {eqn.primitive.name for eqn in program.eqns} == primitives
    assert not program.consts
    eager, traced = function(), pb.jit(function)()
    assert eager.aval is traced.aval
    np.testing.assert_array_equal(np.asarray(traced), np.asarray(eager))


def test_the_users_memory_is_copied() -> None:
    data = np.zeros(3, np.float32)
    arrays = [pnp.array(data), pnp.asarray(data), pnp.asarray(data, copy=False), pnp.from_dlpack(data)]
    data[:] = 1
    for x in arrays:
        assert not np.asarray(x).any()


def test_linspace_gradients() -> None:
    with enable_x64(True):
        check_grads(lambda a, b: pnp.linspace(a, b, 5), (0.5, 2.0), 2)
        check_grads(lambda a, b: pnp.geomspace(a, b, 4), (0.5, 2.0), 2)
        check_grads(lambda a, b: pnp.logspace(a, b, 4, base=1.5), (0.5, 2.0), 2)


def test_geomspace_against_numpy() -> None:
    with enable_x64(True):
        for start, stop in ((1.0, 256.0), (-1.0, -1000.0), (1000.0, 1.0)):
            found = np.asarray(pnp.geomspace(start, stop, 9))
            np.testing.assert_allclose(found, np.geomspace(start, stop, 9), rtol=1e-12)


def test_numbers_within_sequences_keep_their_dtype_under_tracing() -> None:
    stacked = pb.jit(lambda x: pnp.array([[x, 1], [2.5, x]]))(pnp.array(3.0))
    np.testing.assert_array_equal(np.asarray(stacked), [[3, 1], [2.5, 3]])
    assert stacked.dtype == np.float32


def test_arange_needs_known_bounds() -> None:
    with pytest.raises(pb.errors.ConcretizationTypeError):
        pb.jit(pnp.arange)(3)


def test_functions_that_jax_refuses() -> None:
    np.testing.assert_array_equal(np.asarray(pnp.fromiter((n * n for n in range(4)), int)), [0, 1, 4, 9])
    np.testing.assert_array_equal(np.asarray(pnp.fromfunction(lambda i, k: i + k, (2,), k=3)), [3, 4])
    assert pnp.asfarray([1, 2]).dtype == np.float32
    assert pnp.ascontiguousarray(1.0).shape == (1,)
    with io.BytesIO() as file:
        pnp.save(file, pnp.arange(3))
        file.seek(0)
        np.testing.assert_array_equal(np.asarray(pnp.load(file)), [0, 1, 2])


@pytest.mark.parametrize("name", ["zeros", "ones", "empty", "full", "array", "asarray", "arange"])
def test_device_is_accepted_and_sharding_refused(name: str) -> None:
    arguments = ((2,), 1.0) if name == "full" else (3,)
    function = getattr(pnp, name)
    assert function(*arguments, device=None).size
    with pytest.raises(NotImplementedError, match="out_sharding"):
        function(*arguments, out_sharding=object())


def test_views_go_both_ways() -> None:
    x = pnp.arange(4.0)
    np.testing.assert_array_equal(np.asarray(x.view(np.uint8).view(np.float32)), np.asarray(x))
    with pytest.raises(ValueError, match="no multiple"):
        pnp.zeros(3, np.uint8).view(np.int16)
    with pytest.raises(ValueError, match="without dimensions"):
        pnp.float32(1).view(np.int8)
