"""Choice by a condition, against JAX."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback._src.base.config import enable_x64
from pullback.test_util import check_grads

from .expressions import check, parametrize


@parametrize(
    [
        "jnp.where(b)",
        "jnp.where(b,1,2)",
        "jnp.where(b,1,2.)",
        "jnp.where(b,f[:2],2)",
        "jnp.where(f,1,2)",
        "jnp.where(b,1)",
        "jnp.where(True,f,i)",
        "jnp.where(b,[1,2],0)",
        "jnp.where([True,False],1,0)",
        "jnp.where(condition=b)",
        "jnp.where(b,1,2,size=3)",
        "jnp.where(b,x=1,y=2)",
        "jnp.where(c,1,2)",
        "jnp.where(b,True,False)",
        "jnp.where(b,None,None)",
        "jnp.where(s > 0, s, -s)",
        "jnp.where(b[:, None], f, 0)",
        "jnp.where(n > 0)",
        "jnp.where(n > 0, size=2)",
        "jnp.where(n > 0, size=9, fill_value=-1)",
        "jnp.where(m > 2)",
        "jit(lambda x: jnp.where(x > 1, x, 0))(f)",
        "jnp.where(b, u[:2], 1.5)",
        "jnp.where(b, True, 2)",
    ]
)
def test_where(text: str) -> None:
    check(text)


@parametrize(
    [
        "grad(lambda x: jnp.where(x > 0, x, 0.0).sum())(s)",
        "grad(lambda x: jnp.where(x > 0, jnp.sqrt(x), 0.0).sum())(s)",
        "grad(lambda x: jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1.0)), 0.0).sum())(f - 2)",
        "grad(lambda x: jnp.where(True, x, 2.0))(1.0)[None] * jnp.ones(1)",
        "grad(lambda x: jnp.where(jnp.array([True, False]), x, 3 * x).sum())(f[:1])",
    ]
)
def test_gradients_against_jax(text: str) -> None:
    check(text)


def test_gradients() -> None:
    with enable_x64(True):
        condition = pnp.array([[True], [False]])
        check_grads(lambda x, y: pnp.where(condition, x * x, y * y), (pnp.arange(3.0), 2.5), 2)


def test_unknown_numbers_of_indices() -> None:
    with pytest.raises(pb.errors.ConcretizationTypeError):
        pb.jit(pnp.where)(pnp.ones(3))
    (found,) = pb.jit(lambda c: pnp.where(c, size=2, fill_value=7))(pnp.array([0, 1, 0]))
    np.testing.assert_array_equal(np.asarray(found), [1, 7])
