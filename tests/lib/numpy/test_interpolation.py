"""Interpolation and unwrapping, against JAX."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback._src.base.config import enable_x64
from pullback.test_util import check_grads

from ...ops.domains import uniform
from .expressions import check, parametrize


@parametrize(
    [
        "jnp.unwrap(f*3)",
        "jnp.unwrap(i*3)",
        "jnp.unwrap(i*3,period=4)",
        "jnp.interp(1.5,f,f)",
        "jnp.interp(1,i,i)",
        "jnp.interp(i,f,f,left=0)",
        "jnp.interp(5.,f,f,right=-1.)",
        "jnp.interp(5.,f,f,period=2)",
        "jnp.interp(5.,f,f,left='extrapolate')",
        "jnp.interp(m,f,f*2)",
        "jnp.interp(f,f,m)",
        "jnp.interp(jnp.array([0.,4.]),f,f*2,left=-5.,right=7.)",
        "jnp.interp(jnp.array([0.,4.]),f,f*f,left='extrapolate',right='extrapolate')",
        "jnp.interp(jnp.array([0.,4.]),f,f*f,left='foo')",
        "jnp.interp(jnp.array([0.5,3.5,-1.]),f,f*f,period=3)",
        "jnp.interp(1.5,f,c[0]*f)",
        "jnp.interp(1.5+1j,f,f)",
        "jnp.interp(jnp.nan,f,f)",
        "jnp.interp(2.,jnp.array([1.,2.,2.,3.]),jnp.array([1.,2.,5.,6.]))",
        "jnp.interp(jnp.array([1.,2.,3.]),jnp.array([1.,2.,2.,3.]),jnp.array([1.,2.,5.,6.]))",
        "jnp.interp(1,[1,2],[3,4])",
        "jnp.interp(0.5,jnp.array([1.]),jnp.array([2.]))",
        "jnp.interp(jnp.array([350.,-170.,0.1]),jnp.array([-180.,-90.,0.,90.]),jnp.array([1.,2.,3.,4.]),period=360)",
        "jnp.interp(0.3,f[::-1],f)",
        "jnp.interp(jnp.inf,f,f)",
        "jnp.interp(jnp.array([1.5]),i,f)",
        "jnp.unwrap(jnp.array([0.,3.,6.,9.5,1.]))",
        "jnp.unwrap(jnp.array([0.,3.2,-3.2]))",
        "jnp.unwrap(jnp.array([0.,4.,8.,1.]),period=5)",
        "jnp.unwrap(jnp.array([0,4,8,1]),period=5)",
        "jnp.unwrap(jnp.array([0.,4.,8.,1.]),discont=5.)",
        "jnp.unwrap(jnp.array([[0.,4.],[8.,1.]]),axis=0)",
        "jnp.unwrap(jnp.array([[0.,4.],[8.,1.]]))",
        "jnp.unwrap(jnp.array([0.,np.pi,0.]))",
        "jnp.unwrap(c)",
        "jnp.unwrap([1.])",
        "jnp.unwrap(jnp.array([]))",
        "jnp.unwrap(jnp.array([1,5,2],jnp.uint8),period=4)",
        "jnp.unwrap(jnp.array([1,5,2]),period=4.)",
        "jnp.unwrap(b)",
    ]
)
def test_interpolation(text: str) -> None:
    check(text)


def test_interp_gradients() -> None:
    with enable_x64(True):
        xp = pnp.array([0.0, 1.0, 2.5, 3.0])
        fp = pnp.asarray(uniform(-1, 1, (4,), np.float64))
        x = pnp.array([0.3, 1.7, 2.8, -1.2, 5.3])
        check_grads(lambda x, fp: pnp.interp(x, xp, fp), (x, fp), 2)
        check_grads(lambda x, xp: pnp.interp(x, xp, fp, left="extrapolate"), (x, xp), 2)
        check_grads(lambda x, fp: pnp.interp(x, xp, fp, period=4.0), (x, fp), 2)


def test_interp_batched() -> None:
    x, fp = uniform(0, 4, (5,), np.float32), uniform(-1, 1, (3, 4), np.float32)
    xp = np.arange(4, dtype=np.float32)
    found = pb.jit(pb.vmap(lambda f: pnp.interp(x, xp, f)))(fp)
    np.testing.assert_allclose(np.asarray(found), np.stack([np.interp(x, xp, f) for f in fp]), rtol=1e-5)


def test_unwrap_gradients() -> None:
    with enable_x64(True):
        check_grads(pnp.unwrap, (pnp.array([0.1, 3.5, -2.9, 9.0]),), 2)


def test_errors() -> None:
    with pytest.raises(ValueError, match="period must not be 0"):
        pnp.interp(0.5, pnp.arange(3.0), pnp.arange(3.0), period=0)
    with pytest.raises(ValueError, match="vectors of one size"):
        pnp.interp(0.5, pnp.arange(3.0), pnp.arange(2.0))
    with pytest.raises(ValueError, match="at least one dimension"):
        pnp.unwrap(1.0)
