"""The methods of universal functions, `frompyfunc` and `vectorize`, against JAX."""

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
        "jnp.add.reduce(m)",
        "jnp.add.reduce(m, axis=None)",
        "jnp.add.reduce(m, axis=(0, 1))",
        "jnp.add.reduce(m, axis=1, keepdims=True)",
        "jnp.add.reduce(m, where=m > 2)",
        "jnp.add.reduce(i, dtype=float)",
        "jnp.add.reduce(jnp.array([100, 100], jnp.int8))",
        "jnp.add.reduce(b)",
        "jnp.multiply.reduce(jnp.array([]))",
        "jnp.multiply.reduce(m, axis=1, initial=2)",
        "jnp.maximum.reduce(m, initial=10)",
        "jnp.maximum.reduce(m, where=m > 2)",
        "jnp.maximum.reduce(m, where=m > 2, initial=-1)",
        "jnp.maximum.reduce(jnp.array([]))",
        "jnp.minimum.reduce(m, axis=1)",
        "jnp.subtract.reduce(m, axis=1)",
        "jnp.subtract.reduce(m, axis=None)",
        "jnp.subtract.reduce(m, axis=1, keepdims=True)",
        "jnp.subtract.reduce(m, axis=(0, 1))",
        "jnp.subtract.reduce(m, where=m > 2)",
        "jnp.subtract.reduce(jnp.array([]))",
        "jnp.subtract.reduce(f, initial=5.)",
        "jnp.logical_and.reduce(i)",
        "jnp.logical_or.reduce(m, axis=1)",
        "jnp.logical_xor.reduce(m, axis=None)",
        "jnp.bitwise_and.reduce(i)",
        "jnp.bitwise_or.reduce(n)",
        "jnp.bitwise_xor.reduce(u)",
        "jnp.logaddexp.reduce(f)",
        "jnp.logaddexp.reduce(m, axis=1)",
        "jnp.logaddexp2.reduce(f)",
        "jnp.negative.reduce(f)",
        "jnp.add.accumulate(i)",
        "jnp.add.accumulate(m, axis=1)",
        "jnp.multiply.accumulate(m, axis=-1)",
        "jnp.maximum.accumulate(n[::-1])",
        "jnp.minimum.accumulate(n[::-1])",
        "jnp.subtract.accumulate(f)",
        "jnp.subtract.accumulate(m, axis=1)",
        "jnp.logaddexp.accumulate(f)",
        "jnp.negative.accumulate(f)",
        "jnp.add.at(f, jnp.array([0, 0]), 1., inplace=False)",
        "jnp.add.at(f, jnp.array([0, 0]), 1.)",
        "jnp.subtract.at(f, jnp.array([0, 0]), 1., inplace=False)",
        "jnp.multiply.at(m, (0, jnp.array([1, 1])), 2., inplace=False)",
        "jnp.maximum.at(f, 1, 5., inplace=False)",
        "jnp.negative.at(f, 1, inplace=False)",
        "jnp.bitwise_or.at(i, 1, 8, inplace=False)",
        "jnp.multiply.outer(f, i)",
        "jnp.add.outer(m, f)",
        "jnp.maximum.outer(2, f)",
        "jnp.add.reduceat(jnp.arange(8), jnp.array([0, 4, 1, 5]))",
        "jnp.multiply.reduceat(jnp.arange(8), jnp.array([0, 4, 1, 5]))",
        "jnp.add.reduceat(m, jnp.array([0, 1]), axis=1)",
        "jnp.add.reduceat(jnp.arange(8), [0, 4])",
        "(jnp.add.nin, jnp.add.nout, jnp.add.nargs, jnp.add.identity, jnp.maximum.identity)",
        "(jnp.logaddexp.identity, jnp.bitwise_and.identity, jnp.subtract.identity)",
        "jnp.frompyfunc(lambda x, y: x + 2 * y, 2, 1)(m, f)",
        "jnp.frompyfunc(lambda x, y: x + 2 * y, 2, 1, identity=0).reduce(f)",
        "jnp.frompyfunc(lambda x, y: x + 2 * y, 2, 1, identity=0).reduce(m, axis=None)",
        "jnp.frompyfunc(lambda x, y: x + 2 * y, 2, 1, identity=0).reduce(jnp.array([]))",
        "jnp.frompyfunc(lambda x, y: x + 2 * y, 2, 1, identity=0).reduce(f, where=f > 1)",
        "jnp.frompyfunc(lambda x, y: x + 2 * y, 2, 1, identity=0).reduce(f, initial=5.)",
        "jnp.frompyfunc(lambda x, y: x + 2 * y, 2, 1).accumulate(f)",
        "jnp.frompyfunc(lambda x, y: x + 2 * y, 2, 1).outer(f, f)",
        "jnp.frompyfunc(lambda x, y: x + 2 * y, 2, 1).at(f, jnp.array([0, 0]), 1., inplace=False)",
        "jnp.frompyfunc(lambda x, y: x + 2 * y, 2, 1).reduceat(f, jnp.array([0, 1]))",
        "jnp.frompyfunc(lambda x: (x, x + 1), 1, 2)(f)",
        "jnp.frompyfunc(lambda x, y: x + y, 2, 1)(f)",
        "isinstance(jnp.add, jnp.ufunc)",
        "jnp.add.__name__",
    ]
)
def test_methods(text: str) -> None:
    check(text)


@parametrize(
    [
        "jnp.vectorize(lambda x, y=1: x + y.sum(), excluded={'y'})(f, y=f)",
        "jnp.vectorize(lambda x: jnp.stack([x, x]))(f)",
        "jnp.vectorize(lambda x: (x, x + 1))(f)",
        "jnp.vectorize(jnp.dot, signature='(n),(n)->()')(m, f)",
        "jnp.vectorize(jnp.dot, signature='(n),(n)->()')(m, f[:2])",
        "jnp.vectorize(lambda x: x, signature='(n)->()')(m)",
        "jnp.vectorize(lambda x: x.sum(), signature='(n)->()')(1.)",
        "jnp.vectorize(lambda x: x.sum(), signature='(n)->()')(f, f)",
        "jnp.vectorize(lambda x: jnp.concatenate([x, x]), signature='(n)->(k)')(m)",
        "jnp.vectorize(lambda x: (x, x), signature='(n)->(n)')(m)",
        "jnp.vectorize(lambda x: (x.sum(), x), signature='(n)->(),(n)')(m)",
        "jnp.vectorize(lambda x, y: x)(f, None)",
        "jnp.vectorize(lambda x, y: x + y.sum(), excluded={1})(f, m)",
        "jnp.vectorize(lambda x, y: x, excluded={-1})",
        "jnp.vectorize(lambda x, y: x.sum() + y.sum(), excluded={1}, signature='(n)->()')(m, m)",
        "jnp.vectorize(lambda x: x)(1.)",
        "jnp.vectorize(lambda x: x.sum(), signature='(3)->()')(m)",
        "jnp.vectorize(jnp.add)(m[:, None], f)",
        "jnp.vectorize(jnp.matmul, signature='(n,m),(m)->(n)')(jnp.ones((4, 1, 2, 3)), jnp.ones((5, 3)))",
        "jnp.vectorize(jnp.add)(f, f[:2])",
        "jit(jnp.vectorize(lambda x, y: x * y))(m, f)",
        "vmap(jnp.vectorize(lambda x, y: x * y))(m, m)",
        "grad(lambda x: jnp.vectorize(lambda v: v * v)(x).sum())(m)",
    ]
)
def test_vectorize(text: str) -> None:
    check(text)


def test_a_call_has_no_wrapper() -> None:
    assert type(pnp.add).__call__ is not type(pnp.frompyfunc(lambda x: x, 1, 1)).__call__
    assert repr(pnp.add) == "<ufunc 'add'>"
    assert pnp.add == pnp.add
    assert pnp.add != pnp.subtract


def test_invalid_signatures() -> None:
    for signature in ("(n->()", "n->n", "(n)", "(n)->", 3):
        with pytest.raises(ValueError, match="signature"):
            pnp.vectorize(lambda x: x, signature=signature)
    with pytest.raises(TypeError, match="expects a function"):
        pnp.vectorize(3)
    with pytest.raises(TypeError, match="positions and names"):
        pnp.vectorize(lambda x: x, excluded={1.5})


def test_gradients_of_methods() -> None:
    with enable_x64(True):
        x = pnp.array([0.5, -1.5, 2.5])
        fold = pnp.frompyfunc(lambda a, b: a * pnp.cos(b), 2, 1)
        check_grads(fold.reduce, (x,), 2)
        check_grads(fold.accumulate, (x,), 2)
        check_grads(lambda x: fold.reduceat(x, pnp.array([0, 1])), (x,), 2)
        check_grads(lambda x, y: fold.at(x, pnp.array([0, 0]), y, inplace=False), (x, 1.5), 2)


def test_a_reduction_is_one_loop_whatever_the_size() -> None:
    fold = pnp.frompyfunc(lambda a, b: a - 2 * b, 2, 1)
    sizes = [len(pb.make_jaxpr(fold.reduce)(pnp.ones(n)).eqns) for n in (4, 400)]
    assert sizes[0] == sizes[1]
    np.testing.assert_allclose(float(pb.jit(fold.reduce)(pnp.ones(5))), 1 - 2 * 4)


def test_what_jax_leaves_out() -> None:
    """JAX refuses slices in `at`, and drops keyword arguments of vectorized functions."""
    x = pnp.arange(4.0)
    found = pnp.minimum.at(x, slice(1, None), 1.5, inplace=False)
    np.testing.assert_array_equal(np.asarray(found), [0, 1, 1.5, 1.5])
    found = pnp.subtract.at(x, slice(1, None), 1.0, inplace=False)
    np.testing.assert_array_equal(np.asarray(found), [0, 0, 1, 2])
    add = pnp.vectorize(lambda x, y=1: x + y)
    np.testing.assert_array_equal(np.asarray(add(x, y=x)), [0, 2, 4, 6])
    np.testing.assert_array_equal(np.asarray(add(x, y=2)), [2, 3, 4, 5])
    with pytest.raises(ValueError, match="expected 2"):
        pnp.vectorize(pnp.sum, signature="(2)->()")(x)
